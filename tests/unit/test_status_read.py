# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router is no host of the plan's, and is read all the same: what status and verify ask of a host, the plan has for both."""

from __future__ import annotations

import pathlib
import re

import yaml

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.duties import ROUTING
from ansible_collections.overloom.fabric.tests.unit.intents import inventory_plan

CHECKOUT = pathlib.Path(__file__).parents[2]


def asked(role: str, file: str) -> set[str]:
    """What a role's file asks of the plan's reads."""
    return set(
        re.findall(rf"{role}_reads\.(\w+)", (CHECKOUT / "roles" / role / "tasks" / file).read_text(encoding="utf-8"))
    )


def test_a_router_has_all_that_is_asked_of_a_host() -> None:
    plan, _groups = inventory_plan("lab")
    host, router = plan["reads"]["kvm1"], plan["reads"]["r1"]
    assert "r1" not in plan["hosts"]
    # Where OVN's routers lead is verify's question.
    assert asked("status", "read.yml") == set(host) - {"hops"} and set(host) == set(router)
    assert asked("verify", "measure.yml") < set(host)
    # A host of this lab routes, too; its router has nothing else.
    assert host["switch"] and host["guests"] and host["namespaces"] == ["web1", "db1"]
    assert host["routing"] == router["routing"] == [*ROUTING]
    assert not any(value for option, value in router.items() if option != "routing")


def test_the_role_and_the_plan_mean_the_same_options() -> None:
    module = (CHECKOUT / "plugins/modules/status_info.py").read_text(encoding="utf-8")
    options = yaml.safe_load(module.split('DOCUMENTATION = r"""')[1].split('"""')[0])["options"]
    plan, _groups = inventory_plan("lab")
    assert set(options) == set(plan["reads"]["kvm1"])


def test_the_plan_says_which_roles_build_a_host() -> None:
    """site.yml and drift ask for these, and for nothing that they are derived from."""
    plan, _groups = inventory_plan("lab")
    assert plan["roles"] == {
        "kvm1": ["kvm_host", "frr_router", "linux_guest"],
        "kvm2": ["kvm_host", "frr_router", "linux_guest"],
        "r1": ["frr_router"],
    }
    ovn, groups = inventory_plan("ovn")
    assert {name for name, roles in ovn["roles"].items() if "ovn_central" in roles} == set(groups["ovn_central"])
    assert all("ovn_chassis" in roles for name, roles in ovn["roles"].items() if name in groups["kvm_hosts"])

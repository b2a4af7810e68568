# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/intent.md says what is so."""

from __future__ import annotations

import importlib.util
import re

import pytest
import yaml

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT, SPEC

PAGE = (CHECKOUT / "docs/intent.md").read_text(encoding="utf-8")
INVENTORY, SMALLEST, *CHANGES = [
    yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
]


def fabric(change):
    """The page's smallest intent, with one of its later examples on top."""
    hosts = INVENTORY["all"]["children"]["kvm_hosts"]["hosts"]
    own = {"fabric_endpoints": change["fabric_endpoints"]} if "fabric_endpoints" in change else {}
    common = {**SMALLEST, **{name: value for name, value in change.items() if name not in own}}
    fabric = {name: {**common, **variables} for name, variables in hosts.items()}
    fabric["kvm1"].update(own)
    return fabric


def test_the_reference_is_what_the_specification_says():
    spec = importlib.util.spec_from_file_location("generate", CHECKOUT / "docs/generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.page() == PAGE, "run `make docs`"


def test_the_smallest_intent_gives_what_the_page_says():
    plan = compile_plan(fabric({}), SPEC)
    assert [tep["address"] for tep in plan["teps"]] == ["192.168.200.1", "192.168.200.2"]
    assert [tunnel["type"] for host in plan["hosts"].values() for tunnel in host["tunnels"]] == ["vxlan", "vxlan"]
    assert [bridge["name"] for bridge in plan["hosts"]["kvm1"]["bridges"]] == ["br-underlay", "br-int"]


@pytest.mark.parametrize("change", CHANGES, ids="-".join)
def test_every_example_compiles(change):
    hosts = fabric(change)
    # The example of links has a router besides the hosts.
    common = {name: value for name, value in hosts["kvm1"].items() if name != "fabric_endpoints"}
    compile_plan(hosts, SPEC, routers={"r1": common} if "fabric_links" in change else None, central=["kvm1"])


def test_every_variable_is_in_the_reference():
    for variable in SPEC:
        assert f"\n### {variable}\n" in PAGE

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of docs/intent.md is built in a lab and verified: the smallest intent, and on top of it the later ones, together where they do not meet."""

from __future__ import annotations

import os
import re
import typing as t

import pytest
import yaml
from harness import REPOSITORY
from test_site import Fabric
from verifier import Verifier, give_library, plan_of

PAGE = (REPOSITORY / "docs/intent.md").read_text(encoding="utf-8")
INVENTORY, SMALLEST, *CHANGES = [
    yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
]

# Examples that no lab can carry as they are, each by a word that only it has.
NOT_HERE = {
    "switch1": "nobody plays the switch that the tunnel leads to: docs/scenarios/vxlan.md has that, with its own test",
    "fabric_flows": "what it drops is what fabric_denied says must not come through: the two are built together",
    "localhost/app": "the image is the reader's own; containers are run by molecule/geneve_containers",
    "nginx": "the service is the reader's own; services are run by molecule/netns_service",
    "lacp": "nobody plays the switch that knows of LACP: bonds are built by molecule/bond_vlan",
    "engine: kernel": "bonds, VLANs and Open vSwitch's datapath are the kernel's, which a lab may lack: tests/machines has them",
    "genericcloud": "the image is the reader's own; guests are built by the default lab and tests/integration/test_site_guests.py",
}
# An example that says what must not come through stands with the flow that sees to it.
TOGETHER = {"fabric_denied": "fabric_flows"}


def shape(change: dict[str, t.Any]) -> str:
    """A name for an example: its variables, and the first words of it."""
    words = re.sub(r"[^a-z0-9]+", "-", yaml.safe_dump(change, default_flow_style=True, sort_keys=False).lower()).strip(
        "-"
    )
    return words[:48]


def why_not(change: dict[str, t.Any]) -> str | None:
    """Why an example is not built, if so."""
    text = yaml.safe_dump(change)
    return next((reason for word, reason in NOT_HERE.items() if word in text), None)


BUILT = [change for change in CHANGES if not why_not(change)]


def alone(change: dict[str, t.Any]) -> bool:
    """Whether an example is built by itself: it says several things that belong together, or drops what others let pass."""
    return (len(change) > 1 and "fabric_links" not in change) or "fabric_denied" in change or "ovn" in str(change)


def meet(one: dict[str, t.Any], other: dict[str, t.Any]) -> bool:
    """Whether two examples say the same thing; links are an underlay, too."""
    says = [{"fabric_underlay" if name == "fabric_links" else name for name in change} for change in (one, other)]
    return bool(says[0] & says[1])


def fits(change: dict[str, t.Any], group: list[dict[str, t.Any]]) -> bool:
    """Whether an example can be together with those of a group."""
    return not alone(change) and not alone(group[0]) and not any(meet(change, one) for one in group)


def grouped(changes: list[dict[str, t.Any]]) -> list[list[dict[str, t.Any]]]:
    """The examples, those together that can be."""
    groups: list[list[dict[str, t.Any]]] = []
    for change in changes:
        group = next((group for group in groups if fits(change, group)), None)
        if group is None:
            groups.append([change])
        else:
            group.append(change)
    return groups


def apply(fabric: Fabric, changes: list[dict[str, t.Any]]) -> None:
    """The smallest intent with the examples on top, as a reader would write it down."""
    change = {name: value for one in changes for name, value in one.items()}
    hosts = INVENTORY["all"]["children"]["kvm_hosts"]["hosts"]
    together = [other for name in change if name in TOGETHER for other in CHANGES if TOGETHER[name] in other]
    own = {
        key: value
        for one in [change, *together]
        for key, value in one.items()
        if key in ("fabric_endpoints", "fabric_flows")
    }
    shared = {key: value for key, value in change.items() if key not in own}
    common = {**SMALLEST, **shared, "fabric_name": fabric.lab.name, "ansible_connection": "overloom.fabric.lab"}
    # Where an example has segments of its own, the smallest one's endpoints follow to the first of them.
    first = common["fabric_segments"][0]["name"]
    fabric.intent = common
    fabric.hosts = {}
    for name, host in hosts.items():
        fabric.hosts[name] = {"fabric_endpoints": [{**one, "segment": first} for one in host["fabric_endpoints"]]}
    if "fabric_endpoints" in own:
        fabric.hosts["kvm1"]["fabric_endpoints"] = [*fabric.hosts["kvm1"]["fabric_endpoints"], *own["fabric_endpoints"]]
    if "fabric_flows" in own:
        fabric.hosts["kvm1"]["fabric_flows"] = own["fabric_flows"]
    fabric.routers = {"r1": {}} if "fabric_links" in change else {}
    fabric.write()


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    fabric = Fabric(tmp_path_factory.mktemp("examples"), f"examples-{os.getpid()}")
    apply(fabric, [])
    try:
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


def test_each_example_is_built_or_says_why_not():
    assert len(BUILT) + len(NOT_HERE) == len(CHANGES) and len(BUILT) >= 11


GROUPS = [[], *grouped(BUILT)]
# The first that are built together are those that a user of the smallest intent adds one by one.
CASES = [
    pytest.param(group, id="+".join(map(shape, group)) or "the-smallest", marks=[] if number == 1 else pytest.mark.long)
    for number, group in enumerate(GROUPS)
]


@pytest.mark.parametrize("changes", CASES)
def test_the_examples_are_built_and_hold(fabric, changes):
    apply(fabric, changes)
    fabric.play("playbooks/lab.yml")
    fabric.play("site.yml")
    verifier = Verifier(plan_of(fabric.folder), fabric.lab, settle=10)
    for host in verifier.hosts.values():
        if not host.exists("/opt/overloom-test/ansible"):
            give_library(host)
    report = verifier.run()
    assert report["failed"] == 0 and report["passed"] > 8, "\n".join(report["lines"])
    if any("fabric_denied" in change for change in changes):
        assert sum(check["kind"] == "denied-tcp" for check in report["checks"]) == 2

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of declared networks on a host: the steps, what is told, and what is refused."""

from __future__ import annotations

import copy
import typing as t
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_plan import Actions as DomainActions
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.network_declaration import SPEC, want
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.network_plan import (
    Actions,
    Found,
    Guest,
    Here,
    Plan,
    plan,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import parse, read_mark
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils.libvirt_documents import filled

OWNER = "fabric-1"
URI = "qemu:///system"
LAN = {"mode": "isolated", "bridge": "lan0", "addresses": [{"address": "10.5.0.1/24"}]}
GROUPS = {"portgroups": [{"name": "blue", "vlan": 10}, {"name": "red", "vlan": 20}]}


def planned(
    networks: dict[str, Here],
    *items: dict[str, t.Any],
    guests: t.Sequence[Guest] = (),
    adopt: bool = False,
    purge: bool = False,
) -> Plan:
    found = Found(networks, list(guests), {}, {})
    wanted = [want(filled(SPEC, {"name": "n1", **item})) for item in items]
    return plan(found, wanted, OWNER, adopt, purge, Actions(None, URI), DomainActions(None, URI), False)


def verbs(*args: t.Any, **options: t.Any) -> list[str]:
    change = planned(*args, **options).change()
    assert bool(change.steps) == (change.before != change.after)
    return [step.argv[1] for step in change.steps]


def here(active: bool = True, marked: bool = True, **options: t.Any) -> dict[str, Here]:
    """A network as a run defines it, or as if somebody else had."""
    step = planned({}, {"state": "inactive", **(options or LAN)}).steps[0]
    root = parse(step.stdin, "network")
    if not marked:
        root.remove(root.find("metadata"))
    return {"n1": Here(root, copy.deepcopy(root) if active else None, active)}


def guest(portgroup: str = "") -> Guest:
    """A running guest in the network."""
    group = f" portgroup='{portgroup}'" if portgroup else ""
    nic = f"<interface type='network'><mac address='52:54:00:00:00:01'/><source network='n1'{group}/></interface>"
    root = ET.fromstring(f"<domain><name>web</name><devices>{nic}</devices></domain>")
    return Guest("web", root, copy.deepcopy(root))


def test_a_new_network_is_defined_started_and_starts_with_the_host() -> None:
    assert verbs({}, LAN) == ["net-define", "net-start", "net-autostart"]
    assert verbs(here(), LAN) == []
    assert verbs(here(active=False), LAN) == ["net-start"]


def test_a_network_of_others_is_changed_only_when_it_is_adopted() -> None:
    theirs = here(marked=False)
    assert verbs(theirs, {"addresses": LAN["addresses"]}) == []
    with pytest.raises(
        FabricError,
        match=r"network n1 is not ours and is in use \(domain web\), and addresses would be replaced; choose another name, or give adopt",
    ):
        planned(theirs, {"addresses": [{"address": "10.6.0.1/24"}]}, guests=[guest()])
    with pytest.raises(FabricError, match="state would be replaced"):
        planned(theirs, {"state": "inactive"})
    # A portgroup or a name more replaces nothing.
    assert verbs(theirs, {"dns_hosts": [{"address": "10.5.0.9", "hostnames": ["nine"]}]}) == [
        "net-define",
        "net-update",
    ]
    assert verbs(theirs, {"domain": "lan.example"}, adopt=True) == ["net-define"]


def test_an_adopted_network_is_given_back_and_removed_only_by_another_word() -> None:
    theirs = here(marked=False)
    step = planned(theirs, {}, adopt=True).steps[0]
    root = parse(step.stdin, "network")
    assert read_mark(root).owner == OWNER and read_mark(root).adopted
    taken = {"n1": theirs["n1"]._replace(inactive=root)}
    result = planned(taken, {"state": "absent"})
    assert [step.argv[1] for step in result.steps] == [
        "net-define"
    ] and "network n1 was there before it was adopted" in result.warnings[0]
    assert verbs(taken, {"state": "absent"}, adopt=True) == ["net-destroy", "net-undefine"]
    change = planned(taken, purge=True).change()
    assert [each.argv[1] for each in change.steps] == ["net-define"]
    back = parse(change.steps[0].stdin, "network")
    assert ET.canonicalize(ET.tostring(back), strip_text=True) == ET.canonicalize(
        ET.tostring(theirs["n1"].inactive), strip_text=True
    )
    assert verbs(here(), purge=True) == ["net-destroy", "net-undefine"]


def test_a_portgroup_that_a_guest_uses_is_kept_or_refused() -> None:
    fabric = here(active=True, mode="openvswitch", bridge="lo", **GROUPS)
    fewer = {"portgroups": GROUPS["portgroups"][:1]}
    assert verbs(fabric, fewer) == ["net-define", "net-update"]
    with pytest.raises(FabricError, match="portgroup red is used by domain web"):
        planned(fabric, fewer, guests=[guest("red")])
    assert verbs(fabric, {**fewer, "keep_used": True}, guests=[guest("red")]) == []


def test_a_running_network_tells_what_waits_for_its_restart() -> None:
    result = planned(here(), {**LAN, "mtu": 1400})
    assert result.restart == {"n1": ["mtu"]} and [step.argv[1] for step in result.steps] == ["net-define"]
    assert verbs(here(), {**LAN, "mtu": 1400, "restart": True}) == ["net-define", "net-destroy", "net-start"]
    with pytest.raises(FabricError, match="cannot be restarted while domain web runs in it"):
        planned(here(), {**LAN, "mtu": 1400, "restart": True}, guests=[guest()])

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import: the intent that is made of hosts gives the plan that they were built by, and what has no place in it is told."""

from __future__ import annotations

import copy
import typing as t

import pytest
from hypothesis import HealthCheck, assume, given, settings

from ansible_collections.overloom.fabric.plugins.plugin_utils._import.intent import Imported, imported
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, fabrics
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.import_read import PORT, as_read

Item = t.Dict[str, t.Any]
COMMON = {
    "fabric_name": "f",
    "fabric_underlay": {"bridge": "br-ul", "tep": "tep1"},
    "fabric_overlays": [
        {"encapsulation": "gre", "bridge": "br2", "tunnel_names": {"kvm1": {"kvm2": "gre0"}, "kvm2": {"kvm1": "gre0"}}}
    ],
    "fabric_segments": [
        {"name": "blue", "vlan": 10, "subnet": "10.1.1.0/24"},
        {"name": "red", "vlan": 20, "subnet": "10.1.2.0/24", "mtu": 1400},
    ],
}
POINTS = {
    "kvm1": [
        {"name": "red", "segment": "red", "address": "10.1.2.1", "interface": "veth1", "outer": "veth0"},
        {"name": "blue", "segment": "blue", "address": "10.1.1.3", "routes": [{"to": "default", "via": "10.1.1.1"}]},
    ],
    "kvm2": [
        {"name": "red", "segment": "red", "address": "10.1.2.2"},
        {"name": "blue", "segment": "blue", "address": "10.1.1.2"},
    ],
}
PLAN = compile_plan({name: {**COMMON, "fabric_endpoints": points} for name, points in POINTS.items()}, SPEC)
READS = {name: as_read(host) for name, host in PLAN["hosts"].items()}


def imported_again(plan: Item) -> tuple[Imported, Item]:
    """What is imported of hosts as a plan has them, and its plan."""
    found = imported({name: as_read(host) for name, host in plan["hosts"].items()}, plan["fabric"], SPEC)
    return found, compile_plan({name: {**found.common, **own} for name, own in found.hosts.items()}, SPEC)


def on_hosts(plan: Item) -> dict[str, Item]:
    """What stands on the hosts. Open vSwitch knows a delay of a bond that is not set as 0."""
    found: dict[str, Item] = {}
    for name, host in plan["hosts"].items():
        for bridge in host["bridges"]:
            for port in bridge.get("ports", ()):
                port.update({option: port[option] or 0 for option in port if option.endswith("delay")})
        kinds = ("bridges", "tunnels", "namespaces")
        found[name] = {kind: sorted(host[kind], key=lambda item: item["name"]) for kind in kinds}
    return found


@given(fabrics())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_the_plan_of_what_was_imported_is_that_of_the_hosts(variables: dict[str, Item]) -> None:
    used = {point["segment"] for own in variables.values() for point in own["fabric_endpoints"]}
    for own in variables.values():
        own["fabric_segments"] = [segment for segment in own["fabric_segments"] if segment["name"] in used]
    plan = compile_plan(variables, SPEC)
    # An overlay without tunnels leaves no trace.
    assume(all(overlay["tunnels"] for overlay in plan["overlays"]))
    found, again = imported_again(plan)
    assert found.unknown == []
    assert found.refused == []
    assert found.changes == []
    assert on_hosts(again) == on_hosts(plan)


def test_names_that_the_hosts_have_are_kept() -> None:
    found, again = imported_again(PLAN)
    assert on_hosts(again) == on_hosts(PLAN)
    assert found.common["fabric_overlays"][0]["tunnel_names"] == {"kvm1": {"kvm2": "gre0"}, "kvm2": {"kvm1": "gre0"}}
    assert {"interface": "veth1", "outer": "veth0"}.items() <= found.hosts["kvm1"]["fabric_endpoints"][1].items()


def changed(host: str = "kvm1") -> tuple[dict[str, Item], Item]:
    """Hosts to be changed, and one of them."""
    reads = copy.deepcopy(READS)
    return reads, reads[host]


def port(read: Item, name: str) -> Item:
    """A port of a host."""
    return next(one for bridge in read["bridges"] for one in bridge["ports"] if one["name"] == name)


def sentences(reads: dict[str, Item]) -> list[str]:
    """What was not understood."""
    return [note.sentence() for note in imported(reads, "f", SPEC).unknown]


def test_nothing_is_told_of_hosts_that_are_understood() -> None:
    assert sentences(READS) == []


def _second_interface(read: Item) -> None:
    read["namespaces"][0]["interfaces"].append({**read["namespaces"][0]["interfaces"][0], "name": "eth9"})


def _further_address(read: Item) -> None:
    read["namespaces"][0]["interfaces"][0]["addresses"] = ["10.1.2.1/24", "10.1.2.9/24"]


def _other_subnet(read: Item) -> None:
    third = copy.deepcopy(read["namespaces"][1])
    third["name"] = third["interfaces"][0]["outer"] = "third"
    third["interfaces"][0]["addresses"] = ["10.9.9.1/24"]
    read["namespaces"].append(third)


def _far_tunnel(read: Item) -> None:
    read["tunnels"][0]["options"]["remote_ip"] = "192.0.2.9"


def _odd_option(read: Item) -> None:
    read["tunnels"][0]["options"]["seq"] = "true"


def _no_tunnel_back(read: Item) -> None:
    read["tunnels"][0]["options"]["key"] = "7"


def _by_flow(read: Item) -> None:
    read["tunnels"][0]["options"]["remote_ip"] = "flow"


def _plain_nic(read: Item) -> None:
    read["spaces"][""]["links"]["eth1"]["addresses"] = read["spaces"][""]["links"].pop("tep1")["addresses"]


def _tagged_nic(read: Item) -> None:
    port(read, "eth1")["trunks"] = [5]


def _guest(read: Item) -> None:
    read["domains"] = {"vm1": {"interfaces": [{"dev": "vnet0"}]}}
    read["bridges"][1]["ports"].append({**PORT, "name": "vnet0", "members": ["vnet0"], "tag": 10})


def _bridge(read: Item) -> None:
    read["bridges"].append({**read["bridges"][1], "name": "br9", "ports": []})


def _flows(read: Item) -> None:
    read["bridges"][1]["flow_count"] = 5


def _frr(read: Item) -> None:
    read["routing"] = ["router ospf"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_second_interface, "kvm1 namespace red: an endpoint has one interface, and this has 2 (veth1, eth9)"),
        (
            _further_address,
            "kvm1 namespace red: veth1 has 2 addresses (10.1.2.1/24, 10.1.2.9/24), where an endpoint has one of a family",
        ),
        (
            _other_subnet,
            "kvm1 namespace third: its addresses are in 10.9.9.0/24, and those of others on its VLAN are in 10.1.1.0/24",
        ),
        (_far_tunnel, "kvm1 tunnel gre0: it leads to 192.0.2.9, which is no tunnel endpoint of these hosts"),
        (_odd_option, "kvm1 tunnel gre0: the intent has no seq"),
        (_no_tunnel_back, "kvm1 tunnel gre0: kvm2 has no tunnel back of the same kind, key and options on bridge br2"),
        (_by_flow, "kvm1 tunnel gre0: flows decide where it leads (remote_ip=flow)"),
        (
            _plain_nic,
            "kvm1 tunnel endpoint 192.168.200.1/24: it is on eth1, which is no internal port of an Open vSwitch bridge",
        ),
        (_tagged_nic, "kvm1 tunnel endpoint 192.168.200.1/24: port eth1 of bridge br-ul carries some VLANs only"),
        (
            _guest,
            "kvm1 port vnet0: it is a NIC of guest vm1 on VLAN 10 of bridge br2, and guests of others are never taken; it stays as it is.",
        ),
        (_bridge, "kvm1 bridge br9: no tunnel and no endpoint of the intent is on it"),
        (_flows, "kvm1 bridge br2: it has 5 flows, which the intent does not have"),
        (_frr, "kvm1 FRR 'router ospf': import does not read FRR's configuration"),
    ],
)
def test_what_has_no_place_in_the_intent_is_told(change: t.Callable[[Item], None], told: str) -> None:
    reads, read = changed()
    change(read)
    found = sentences(reads)
    assert any(sentence.startswith(told) for sentence in found), found


def test_a_vlan_without_endpoints_is_not_given_a_subnet() -> None:
    reads = copy.deepcopy(READS)
    for read in reads.values():
        read["tunnels"][0]["trunks"] = [10, 20, 30]
        port(read, "gre0")["trunks"] = [10, 20, 30]
    found = imported(reads, "f", SPEC)
    assert [note.thing for note in found.unknown] == ["VLAN 30 of bridge br2"]
    assert "add {name: vlan30, vlan: 30, overlay: gre, subnet: SUBNET} to fabric_segments" in found.unknown[0].way
    assert ("kvm1", "port gre0", "trunks 10 20 30", "trunks 10 20") in found.changes


def test_a_guest_on_a_vlan_of_its_own_is_not_cut_off_in_silence() -> None:
    reads, read = changed()
    for one in reads.values():
        one["tunnels"][0]["trunks"] = []
    read["domains"] = {"vm1": {"interfaces": [{"dev": "vnet0"}, {"dev": "vnet1"}]}}
    ports = [{**PORT, "name": name, "members": [name], "tag": tag} for name, tag in (("vnet0", 40), ("vnet1", None))]
    read["bridges"][1]["ports"] += ports
    things = [note.thing for note in imported(reads, "f", SPEC).unknown]
    assert things == ["untagged frames of bridge br2", "VLAN 40 of bridge br2", "port vnet0", "port vnet1"]


def test_tunnels_that_do_not_say_where_they_send_from_are_left_so() -> None:
    reads, read = changed()
    del read["tunnels"][0]["options"]["local_ip"]
    found = imported(reads, "f", SPEC)
    assert found.changes == [] and found.common["fabric_overlays"][0]["local_ip"] is False
    assert "local_ip" not in imported(READS, "f", SPEC).common["fabric_overlays"][0]


def test_what_the_plan_has_otherwise_is_told() -> None:
    reads, read = changed()
    read["namespaces"][1]["interfaces"][0]["mtu"] = 1500
    assert imported(reads, "f", SPEC).changes == [
        ("kvm1", "namespace blue", "mtu 1500", "mtu 1458"),
    ]


def test_hosts_without_an_underlay_give_no_intent() -> None:
    found = imported({"kvm1": {}, "kvm2": {}}, "f", SPEC)
    assert (found.common, found.hosts) == ({"fabric_name": "f"}, {})
    assert [note.thing for note in found.unknown] == ["tunnel endpoint"] * 2


def test_a_host_on_another_underlay_bridge_is_left_out() -> None:
    reads, read = changed("kvm2")
    bridge = read["bridges"][0]
    bridge["name"] = "br-x"
    found = imported(reads, "f", SPEC)
    assert list(found.hosts) == ["kvm1"]
    assert any("the intent has one for all" in note.why for note in found.unknown)


def test_forwarding_in_a_namespace_is_kept() -> None:
    reads, read = changed()
    read["spaces"]["red"] = {"forwarding": 1, "forwarding6": 0}
    point = next(one for one in imported(reads, "f", SPEC).hosts["kvm1"]["fabric_endpoints"] if one["name"] == "red")
    assert point["sysctls"] == {"net.ipv4.ip_forward": 1}

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OVN in the plan: switches, ports, routers and ACLs, what makes a host a chassis, and what is refused with which sentence."""

from __future__ import annotations

import copy
import ipaddress
import re
import typing as t

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from ansible_collections.overloom.fabric.plugins.plugin_utils._drift import report as drift_report
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import Packet, Rule, allowed
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.ovn import Place, acls
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge, state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.causes import World
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations, host_state
from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT, SPEC, fabrics, inventory_plan
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.test_policy import (
    SEGMENTS,
    packets,
    rule_lists,
    segment_of,
)

Item = t.Dict[str, t.Any]
OVERLAY: Item = {"name": "ov", "engine": "ovn", "encapsulation": "geneve"}
EDGE: Item = {
    "name": "gw",
    "legs": [
        {"segment": "web", "address": "10.1.1.1", "address6": "2001:db8:1::1"},
        {"segment": "db", "address": "10.1.2.1"},
    ],
}
RULE: Item = {"name": "web-to-db", "from": ["web"], "to": ["db"], "protocol": "tcp", "ports": ["5432"]}


def fabric(**more: t.Any) -> Item:
    """Two hosts with endpoints on two segments of OVN."""
    base: Item = {
        "fabric_name": "test",
        "fabric_overlays": [OVERLAY],
        "fabric_segments": [
            {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:1::/64"},
            {"name": "db", "subnet": "10.1.2.0/24"},
        ],
        **more,
    }
    first: list[Item] = [{"name": "web1", "segment": "web", "mac": "02:00:00:00:00:01"}]
    second: list[Item] = [{"name": "web2", "segment": "web"}, {"name": "db2", "segment": "db"}]
    hosts = {"kvm1": {**base, "fabric_endpoints": first}, "kvm2": {**base, "fabric_endpoints": second}}
    return copy.deepcopy(hosts)


def planned(hosts: Item | None = None, **more: t.Any) -> Item:
    """The plan, with the databases on kvm1."""
    return compile_plan(hosts or fabric(**more), SPEC, central=["kvm1"])


def central(plan: Item) -> Item:
    """What the host of the databases gets."""
    return next(filter(None, (host["ovn_central"] for host in plan["hosts"].values())), t.cast(Item, None))


def named(items: t.Iterable[Item]) -> dict[str, Item]:
    """Items by name."""
    return {item["name"]: item for item in items}


def ports(plan: Item) -> dict[str, Item]:
    """All logical ports."""
    return named(port for switch in central(plan)["northbound"]["switches"] for port in switch["ports"])


def test_a_segment_is_a_switch_and_an_endpoint_a_port_that_may_send_as_itself_alone() -> None:
    plan = planned()
    assert list(named(central(plan)["northbound"]["switches"])) == ["test/web", "test/db"]
    known = ["02:00:00:00:00:01 10.1.1.65 2001:db8:1::1:1"]
    web1 = {"name": "test/kvm1/web1", "type": "", "addresses": known, "port_security": known}
    web1.update(dhcpv4_options="", dhcpv6_options="", mirror_rules=[])
    assert ports(plan)["test/kvm1/web1"] == web1
    assert plan["hosts"]["kvm1"]["namespaces"][0]["iface_id"] == "test/kvm1/web1"
    assert plan["hosts"]["kvm1"]["namespaces"][0]["bridge"] == "br-ovn"
    # OVN numbers its switches itself: what tells segments apart elsewhere means nothing here.
    assert plan["hosts"]["kvm1"]["namespaces"][0]["tag"] == ""
    assert central(plan)["bindings"] == {"test/kvm1/web1": "kvm1", "test/kvm2/web2": "kvm2", "test/kvm2/db2": "kvm2"}


def test_every_host_is_a_chassis_and_asks_the_central_one_by_its_tunnel_endpoint() -> None:
    plan = planned()
    assert central(plan)["southbound_listeners"] == ["ptcp:6642:192.168.200.1"]
    assert central(plan)["cluster"] == {} and central(plan)["ssl"] == {}
    assert plan["hosts"]["kvm2"]["ovn_chassis"] == {
        "name": "kvm2",
        "remotes": ["tcp:192.168.200.1:6642"],
        "ssl": {},
        "encapsulations": ["geneve"],
        "encapsulation_ip": "192.168.200.2",
        "bridge": "br-ovn",
        "bridge_mappings": {},
        "gateway": False,
    }
    six = planned(fabric_underlay={"subnet": "fd00:200::/64"})
    assert six["hosts"]["kvm2"]["ovn_chassis"]["remotes"] == ["tcp:[fd00:200::1]:6642"]
    bridge = next(one for one in plan["hosts"]["kvm1"]["bridges"] if one["name"] == "br-ovn")
    assert bridge["fail_mode"] == "secure" and not plan["hosts"]["kvm1"]["tunnels"]


def test_a_fabric_without_ovn_has_none_of_it() -> None:
    plan = compile_plan(fabric(fabric_overlays=[{"encapsulation": "vxlan"}]), SPEC, central=["kvm1"])
    assert central(plan) is None and plan["hosts"]["kvm1"]["ovn_chassis"] is None
    assert plan["hosts"]["kvm1"]["namespaces"][0]["iface_id"] == ""


@pytest.mark.parametrize(
    ("encapsulation", "subnet", "mtu"),
    [
        ("geneve", "192.168.200.0/24", 1442),
        ("vxlan", "192.168.200.0/24", 1450),
        ("geneve", "fd00:200::/64", 1422),
        ("vxlan", "fd00:200::/64", 1430),
    ],
)
def test_the_mtu_has_room_for_the_option_of_ovn(encapsulation: str, subnet: str, mtu: int) -> None:
    plan = planned(fabric_overlays=[{**OVERLAY, "encapsulation": encapsulation}], fabric_underlay={"subnet": subnet})
    assert {segment["mtu"] for segment in plan["segments"]} == {mtu}
    assert plan["hosts"]["kvm1"]["namespaces"][0]["mtu"] == mtu
    assert ("OVN's option 8" in plan["sources"]["segments.web.mtu"]) == (encapsulation == "geneve")


def test_an_mtu_that_has_no_room_for_the_option_of_ovn_is_refused_with_what_takes_the_room() -> None:
    hosts = fabric()
    for host in hosts.values():
        host["fabric_segments"][1]["mtu"] = 1450
    said = r"fabric_segments\[db\].mtu 1450 does not fit; at most 1442 = underlay 1500 .* OVN's option 8 "
    with pytest.raises(PlanError, match=said):
        planned(hosts)


def test_an_edge_between_segments_of_ovn_is_a_router_on_every_host_and_no_namespace() -> None:
    routes = [{"to": "default", "via": "10.1.2.9"}]
    plan = planned(fabric_edges=[{**EDGE, "routes": routes}], fabric_policy=[RULE])
    (router,) = central(plan)["northbound"]["routers"]
    assert router["name"] == "test/gw"
    assert router["static_routes"] == [{"ip_prefix": "0.0.0.0/0", "nexthop": "10.1.2.9"}]
    assert [port["networks"] for port in router["ports"]] == [
        ["10.1.1.1/24", "2001:db8:1::1/64"],
        ["10.1.2.1/24"],
    ]
    ends = [port for port in ports(plan).values() if port["type"] == "router"]
    assert [end["options"] for end in ends] == [{"router-port": port["name"]} for port in router["ports"]]
    assert not {port["name"] for port in router["ports"]} & set(ports(plan))
    assert len({port["mac"] for port in router["ports"]}) == 2
    assert not plan["hosts"]["kvm1"]["nft_tables"] and len(plan["endpoints"]) == 3
    web1 = plan["hosts"]["kvm1"]["namespaces"][0]
    assert {route["via"] for route in web1["routes"]} == {"10.1.1.1", "2001:db8:1::1"}
    # verify takes what passes, and what does not, from the edge as from any other one.
    expected = expectations(plan)
    assert [(link["to"], link["port"]) for link in expected["connections"]] == [("kvm2/db2", 5432)]
    apart = {("kvm1/web1", "kvm2/db2"), ("kvm2/db2", "kvm1/web1")}
    assert apart <= {(pair["from"], pair["to"]) for pair in expected["denied"] if pair["probe"] == "tcp"}


def test_an_edge_has_the_same_mac_addresses_on_each_engine_and_host_but_not_on_two_at_once() -> None:
    (router,) = central(planned(fabric_edges=[EDGE]))["northbound"]["routers"]
    as_router = {port["name"].partition(":")[2]: port["mac"] for port in router["ports"]}
    segments = [{**one, "vlan": 10 * nth, "key": nth} for nth, one in enumerate(fabric()["kvm1"]["fabric_segments"], 1)]

    def in_namespaces(hosts: list[str], **overlay: str) -> dict[tuple[str, str], str]:
        edge, former = {**EDGE, "hosts": hosts}, {"name": "ov", "encapsulation": "geneve", **overlay}
        plan = planned(fabric_edges=[edge], fabric_overlays=[former], fabric_segments=segments)
        return {(one["host"], one["segment"]): one["mac"] for one in plan["endpoints"] if one.get("edge")}

    assert {segment: mac for (_host, segment), mac in in_namespaces(["kvm1"]).items()} == as_router
    for host in ("kvm1", "kvm2"):
        found = in_namespaces([host], segments_by="key")
        assert found == {(host, segment): mac for segment, mac in as_router.items()}
    # By VRRP both are there.
    both = in_namespaces(["kvm1", "kvm2"])
    assert len(set(both.values()) - set(as_router.values())) == 4


def test_what_is_logged_is_five_packets_a_second_of_each_acl() -> None:
    plan = planned(fabric_edges=[{**EDGE, "log": True}], fabric_policy=[RULE])
    (meter,) = central(plan)["northbound"]["meters"]
    assert meter == {"name": "test/log", "unit": "pktps", "fair": True, "bands": [{"rate": 5}]}
    listed = [acl for group in central(plan)["northbound"]["port_groups"] for acl in group["acls"]]
    assert {(acl["name"], acl.get("meter")) for acl in listed} == {("denied", "test/log"), ("rule-web-to-db", None)}
    assert central(planned(fabric_edges=[EDGE]))["northbound"]["meters"] == []


def test_a_router_in_a_namespace_on_ovn_may_send_what_others_have_sent_to_it() -> None:
    hosts = fabric()
    hosts["kvm1"]["fabric_endpoints"][0]["sysctls"] = {"net.ipv4.ip_forward": 1}
    assert ports(planned(hosts))["test/kvm1/web1"]["port_security"] == ["02:00:00:00:00:01"]


def test_tunnel_endpoints_are_measured_between_all_hosts() -> None:
    assert {(way["from"], way["to"]) for way in expectations(planned())["teps"]} == {("kvm1", "kvm2"), ("kvm2", "kvm1")}


def test_tenants_with_the_same_addresses_are_switches_routers_and_groups_apart() -> None:
    plan, _groups = inventory_plan("ovn")
    northbound = central(plan)["northbound"]
    # The fifth is the provider network's.
    assert len(northbound["switches"]) == 5 and len(northbound["routers"]) == 2
    groups = [group["name"] for group in northbound["port_groups"]]
    assert len(set(groups)) == 4 and all(re.fullmatch("[A-Za-z_.][A-Za-z0-9_.]*", name) for name in groups)
    # Learning bridges beside OVN, with a bridge of their own.
    assert [one["name"] for one in plan["hosts"]["kvm2"]["bridges"]] == ["br-underlay", "br-ovn", "br-int"]
    assert [one["bridge"] for one in plan["hosts"]["kvm2"]["tunnels"]] == ["br-int", "br-int"]


# ACLs ------------------------------------------------------------------------------------------------------------------


def holds(match: str, packet: Packet) -> bool:
    """Whether a match of OVN is about a packet: its expression, with what it names put in."""
    fields = {f"ip{packet.source.version}.src": packet.source, f"ip{packet.source.version}.dst": packet.target}

    def comparison(found: re.Match[str]) -> str:
        field, operator, values = found.groups()
        inside = field in fields and any(
            fields[field] in ipaddress.ip_network(text.strip()) for text in values.strip("{}").split(",")
        )
        assert operator == "=="  # others are thousands of flows
        return str(inside)

    def port(found: re.Match[str]) -> str:
        protocol, operator, number = found.groups()
        return f"({protocol == packet.protocol} and {packet.port} {operator} {number})"

    text = re.sub(r"outport == @\w+|eth.src == [0-9a-f:]+|\bip\b(?!\.)", "True", match)
    text = re.sub(r"(ip[46]\.(?:src|dst)) (==) (\{[^}]*\}|\S+?)(?=[ )]|$)", comparison, text)
    text = re.sub(r"\bip([46])\b(?!\.)", lambda one: str(packet.source.version == int(one[1])), text)
    text = re.sub(r"\b(tcp|udp)\.dst (==|>=|<=) (\d+)", port, text)
    text = re.sub(
        r"\bicmp([46])\b", lambda one: str(packet.protocol == "icmp" and packet.source.version == int(one[1])), text
    )
    text = re.sub(r"\b(tcp|udp)\b", lambda one: str(packet.protocol == one[0]), text)
    assert re.fullmatch(r"[TrueFalsandior0-9()&|<>= ]+", text), text
    return bool(eval(text.replace("&&", " and ").replace("||", " or ")))  # noqa: S307 - of the characters above


def passes(listed: list[Item], packet: Packet) -> bool:
    """What OVN does with what a router brings: the ACL of the highest priority decides, and without one a packet passes."""
    for acl in sorted(listed, key=lambda one: -one["priority"]):
        if holds(acl["match"], packet):
            return bool(acl["action"] == "allow-related")
    return True


@settings(max_examples=300, deadline=None)
@given(rule_lists(), packets())
def test_acls_let_pass_of_what_a_router_brings_what_the_policy_allows(rules: list[Rule], packet: Packet) -> None:
    target = segment_of(packet.target)
    if target is None:
        return
    subnets = [ipaddress.ip_network(text) for text in SEGMENTS[target]]
    listed = acls(rules, Place("pg", target, subnets, "02:00:00:00:00:01", "log"), log=False)
    assert passes(listed, packet) == allowed(rules, packet), listed
    assert len({acl["priority"] for acl in listed}) == len(listed) and all(0 < a["priority"] < 32767 for a in listed)


def test_acls_are_about_the_router_of_their_segment_alone() -> None:
    plan = planned(fabric_edges=[{**EDGE, "log": True}], fabric_policy=[RULE])
    macs = {port["name"]: port["mac"] for port in central(plan)["northbound"]["routers"][0]["ports"]}
    for group, leg in zip(central(plan)["northbound"]["port_groups"], ("web", "db")):
        begin = f"outport == @{group['name']} && eth.src == {macs[f'test/gw:{leg}']} && "
        assert all(acl["match"].startswith(begin) for acl in group["acls"])
        assert group["acls"][-1]["log"] and group["acls"][-1]["severity"] == "info"


# Random fabrics --------------------------------------------------------------------------------------------------------


def on_ovn(hosts: Item) -> Item:
    """A fabric of any engine with `engine` changed, and what the engine does not take left out."""
    first: Item = next(iter(hosts.values()))
    overlays = first.get("fabric_overlays") or [{}]
    changed = {"name": overlays[0].get("name", "vxlan"), "engine": "ovn", "encapsulation": "geneve"}
    others = [overlay for overlay in overlays[1:] if overlay["encapsulation"] == "gre"]
    names = {changed["name"], *(overlay["name"] for overlay in others)}
    segments = [{**one, "overlay": one.get("overlay", changed["name"])} for one in first["fabric_segments"]]
    for segment in segments:
        if segment["overlay"] not in names:
            segment["overlay"] = changed["name"]
    return {
        name: {**variables, "fabric_overlays": [changed, *others], "fabric_segments": segments}
        for name, variables in hosts.items()
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fabrics())
def test_each_endpoint_on_ovn_is_one_port_that_its_host_binds(hosts: Item) -> None:
    given_hosts = on_ovn(hosts)
    plan = compile_plan(given_hosts, SPEC, central=[sorted(given_hosts)[0]])
    segments = {one["name"] for one in plan["segments"] if one["engine"] == "ovn"}
    wanted = {f"{plan['fabric']}/{one['id']}": one for one in plan["endpoints"] if one["segment"] in segments}
    found = ports(plan)
    assert set(found) == set(wanted) == set(central(plan)["bindings"])
    plugged = {
        space["iface_id"]: name
        for name, host in plan["hosts"].items()
        for space in host["namespaces"]
        if space["iface_id"]
    }
    assert plugged == central(plan)["bindings"]
    for name, point in wanted.items():
        assert found[name]["addresses"] == [" ".join(filter(None, (point["mac"], point["address"], point["address6"])))]


# Refusals --------------------------------------------------------------------------------------------------------------

GUEST: Item = {
    "name": "vm",
    "kind": "guest",
    "segment": "web",
    "guest": {"image": "lab", "nics": [{"trunks": ["web", "db"]}]},
}
REFUSED: list[tuple[Item, str]] = [
    ({"fabric_overlays": [{**OVERLAY, "encapsulation": "gre"}]}, "encapsulation gre is for the engine openvswitch"),
    ({"fabric_overlays": [{**OVERLAY, "encapsulation": "vlan"}]}, "encapsulation vlan is for the engine openvswitch"),
    ({"fabric_overlays": [{**OVERLAY, "bfd": True}]}, r"fabric_overlays\[ov\].bfd is for the engine openvswitch"),
    ({"fabric_overlays": [{**OVERLAY, "topology": "ring"}]}, "topology is for the engine openvswitch"),
    ({"fabric_overlays": [{**OVERLAY, "segments_by": "key"}]}, "segments_by is for the engine openvswitch"),
    (
        {"fabric_overlays": [OVERLAY, {**OVERLAY, "name": "two", "bridge": "br-two"}]},
        "both have the engine ovn, of which a host can have one",
    ),
    (
        {"fabric_overlays": [{**OVERLAY, "bridge": "br-int"}, {"name": "vx"}]},
        "bridge br-int is also that of vx, but OVN needs one for itself",
    ),
    (
        {"fabric_overlays": [OVERLAY, {"name": "g", "encapsulation": "geneve", "key": 7}]},
        r"fabric_overlays\[g\] is geneve with the key 7, but OVN gives out the keys of geneve",
    ),
    (
        {"fabric_overlays": [OVERLAY, {"name": "g", "encapsulation": "geneve", "segments_by": "key"}]},
        r"fabric_overlays\[g\] is geneve with segments by key, but OVN gives out the keys",
    ),
    (
        {"fabric_edges": [{**EDGE, "hosts": ["kvm1"]}]},
        r"\[gw\].hosts is for a gateway, and all legs of this edge are on",
    ),
    ({"fabric_edges": [{**EDGE, "nat": [{"from": "web", "out": "db"}]}]}, r"\[gw\].nat is for a gateway"),
    (
        {"fabric_edges": [{**EDGE, "forwards": [{"name": "f", "segment": "db", "port": 80, "to": "kvm1/web1"}]}]},
        r"\[gw\].forwards is for a gateway, and all legs",
    ),
    (
        {"fabric_edges": [{**EDGE, "routes": [{"to": "default", "via": "10.8.0.1"}]}]},
        "goes via 10.8.0.1, which is on none of its segments",
    ),
    ({"fabric_edges": [{**EDGE, "vrid": 7}]}, "vrid is for an edge on two hosts, and this one is on every host"),
    (
        {"fabric_edges": [{**EDGE, "routes": [{"to": to, "via": "10.1.2.9"} for to in ("default", "0.0.0.0/0")]}]},
        "routes to 0.0.0.0/0 via 10.1.2.9 is there twice",
    ),
    (
        {"fabric_edges": [{**EDGE, "routes": [{"to": "default", "via": "10.1.2.1"}]}]},
        "routes to default via 10.1.2.1 leads to the edge itself; give the address of another router",
    ),
    (
        {"fabric_policy": [{"name": "inside", "from": ["web"], "to": ["web"]}]},
        r"fabric_policy\[inside\] is enforced by nobody on segment web, as OVN asks for leave between segments alone",
    ),
    (
        {"fabric_denied": [{"from": "kvm1/web1", "to": "kvm2/web2"}]},
        "is on an overlay with the engine ovn, which has no flows",
    ),
]


@pytest.mark.parametrize(("more", "sentence"), REFUSED)
def test_what_ovn_cannot_do_is_refused_with_the_engine_that_can(more: Item, sentence: str) -> None:
    if len(more.get("fabric_overlays", ())) > 1:
        segments = fabric()["kvm1"]["fabric_segments"]
        more = {**more, "fabric_segments": [{**segment, "overlay": "ov"} for segment in segments]}
    with pytest.raises(PlanError, match=sentence):
        planned(**more)


@pytest.mark.parametrize(
    ("leg", "sentence"),
    [
        ({"address": "10.1.3.1"}, r"address 10.1.3.1 is no address of segment db \(10.1.2.0/24\)"),
        ({"address": "10.1.2.0"}, "address 10.1.2.0 is no address of segment db"),
        ({"address": "10.1.2.66"}, "address 10.1.2.66 is also that of kvm2/db2"),
        ({"interface": "eth0"}, "interface is for edges in a namespace"),
        ({"host_addresses": ["10.1.2.2", "10.1.2.3"]}, "host_addresses is for an edge on two hosts"),
        ({"address6": "2001:db8:2::1"}, "address6 2001:db8:2::1 is given, but segment db has no subnet6"),
        ({"segment": "wep"}, "segment wep is no segment; did you mean web"),
    ],
)
def test_a_leg_of_a_router_is_on_its_segment_alone(leg: Item, sentence: str) -> None:
    edge = copy.deepcopy(EDGE)
    edge["legs"][1].update(leg)
    with pytest.raises(PlanError, match=sentence):
        planned(fabric_edges=[edge])


def test_two_routers_with_one_address_and_two_gateways_are_refused() -> None:
    with pytest.raises(PlanError, match="both the gateway of segment web") as error:
        planned(fabric_edges=[EDGE, {**EDGE, "name": "too"}])
    assert "legs[0].address 10.1.1.1 is also that of fabric_edges[gw].legs[0]" in str(error.value)


TLS = {"private_key": "/etc/k", "certificate": "/etc/c", "ca_cert": "/etc/a"}


def test_three_hosts_of_databases_are_a_cluster_that_all_chassis_know() -> None:
    hosts = fabric(fabric_overlays=[{**OVERLAY, "tls": TLS}])
    hosts["kvm3"] = {**hosts["kvm2"], "fabric_endpoints": []}
    plan = compile_plan(hosts, SPEC, central=sorted(hosts))
    members = ["192.168.200.1", "192.168.200.2", "192.168.200.3"]
    for number, host in enumerate(sorted(hosts)):
        part = plan["hosts"][host]
        assert part["ovn_central"]["cluster"] == {"address": members[number], "members": members}
        assert part["ovn_central"]["southbound_listeners"] == ["pssl:6642"] and part["ovn_central"]["ssl"] == TLS
        assert part["ovn_chassis"]["remotes"] == [f"ssl:{member}:6642" for member in members]
        assert part["ovn_chassis"]["ssl"] == TLS
    plain = compile_plan(fabric_without_tls(hosts), SPEC, central=sorted(hosts))
    # By TCP a server listens on the address of its host alone, by itself.
    assert plain["hosts"]["kvm1"]["ovn_central"]["southbound_listeners"] == []
    assert plain["hosts"]["kvm1"]["ovn_chassis"]["remotes"][2] == "tcp:192.168.200.3:6642"


def test_chassis_with_a_role_have_a_port_of_their_own_where_northd_of_a_cluster_has_the_other() -> None:
    hosts = fabric(fabric_overlays=[{**OVERLAY, "tls": TLS, "rbac": True}])
    alone = compile_plan(hosts, SPEC, central=["kvm1"])["hosts"]["kvm1"]
    assert alone["ovn_central"]["southbound_listeners"] == []
    assert alone["ovn_central"]["southbound_rbac"] == ["pssl:6642:192.168.200.1"]
    assert alone["ovn_chassis"]["remotes"] == ["ssl:192.168.200.1:6642"]
    hosts["kvm3"] = {**hosts["kvm2"], "fabric_endpoints": []}
    many = compile_plan(hosts, SPEC, central=sorted(hosts))["hosts"]["kvm1"]
    assert many["ovn_central"]["southbound_listeners"] == ["pssl:6642"]
    assert many["ovn_central"]["southbound_rbac"] == ["pssl:16642"]
    assert many["ovn_chassis"]["remotes"][1] == "ssl:192.168.200.2:16642"


def fabric_without_tls(hosts: Item) -> Item:
    return {name: {**values, "fabric_overlays": [OVERLAY]} for name, values in hosts.items()}


@pytest.mark.parametrize(
    ("overlay", "sentence"),
    [
        (
            {**OVERLAY, "tls": {**TLS, "ca_cert": None}},
            r"tls.ca_cert is missing; give all of private_key, certificate, ca_cert",
        ),
        (
            {**OVERLAY, "tls": {**TLS, "private_key": "key.pem"}},
            "tls.private_key is 'key.pem'; give the path of a file",
        ),
        (
            {**OVERLAY, "engine": "openvswitch", "tls": TLS},
            "tls is for the engine ovn, whose databases are asked by it",
        ),
        ({**OVERLAY, "rbac": True}, "rbac needs tls, as a chassis is known by its certificate; give .*tls, with"),
        (
            {"name": "ov", "engine": "openvswitch", "rbac": True},
            "rbac is for the engine ovn, whose chassis have a role by it",
        ),
    ],
)
def test_files_of_tls_that_are_none_are_refused(overlay: Item, sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        planned(fabric(fabric_overlays=[overlay]))


def test_a_host_that_no_chassis_can_be_called_is_refused() -> None:
    hosts = fabric()
    hosts["kvm one"] = hosts.pop("kvm2")
    with pytest.raises(PlanError, match="The host kvm one is a chassis of OVN, whose name begins with"):
        planned(hosts)


@pytest.mark.parametrize(
    ("central", "sentence"),
    [
        ([], "engine ovn needs a host for OVN's databases; put one of the KVM hosts into the group ovn_central"),
        (["kvm1", "kvm2"], "has the 2 hosts kvm1, kvm2, but a cluster of databases has three or five"),
        (
            ["kvm1", "kvm2", "db8", "db9"],
            "has the 4 hosts kvm1, kvm2, db8, db9, but a cluster of databases has three or",
        ),
        (["db9"], "db9 is in the group ovn_central and is no KVM host"),
    ],
)
def test_the_databases_are_on_one_host_of_the_fabric(central: list[str], sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        compile_plan(fabric(), SPEC, central=central)


@pytest.mark.parametrize(
    ("segment", "endpoint", "flow", "sentence"),
    [
        (
            {"learn": True},
            {},
            None,
            "learn is for overlays with segments_by: key; leave it out, as OVN knows its ports",
        ),
        ({"policy": "deny"}, {}, None, "has a policy within the segment, which is for overlays with segments_by: key"),
        (
            {},
            GUEST,
            None,
            r"fabric_endpoints\[vm\].guest.nics\[0\].trunks has segment web, whose overlay has the engine ovn and no VLANs",
        ),
        ({}, {}, {"bridge": "br-ovn", "actions": []}, "bridge br-ovn is that of overlay ov, whose flows are OVN's"),
    ],
)
def test_what_is_not_built_yet_is_one_sentence(segment: Item, endpoint: Item, flow: Item | None, sentence: str) -> None:
    hosts = fabric()
    hosts["kvm1"]["fabric_segments"][0].update(segment)
    hosts["kvm2"]["fabric_segments"][0].update(segment)
    hosts["kvm1"]["fabric_endpoints"] += [endpoint] * bool(endpoint)
    hosts["kvm1"]["fabric_flows"] = [flow] if flow else []
    with pytest.raises(PlanError, match=sentence):
        planned(hosts)


# What the other playbooks make of it -----------------------------------------------------------------------------------


def test_the_southbound_database_is_held_against_the_plan() -> None:
    plan = planned()
    chassis = [
        {"name": f"kvm{n}", "encapsulations": ["geneve"], "address": f"192.168.200.{n}", "nb_cfg": 7} for n in (1, 2)
    ]
    bindings = [{"name": port, "chassis": host, "up": True} for port, host in central(plan)["bindings"].items()]
    read = {"ovn": {"chassis": chassis, "bindings": bindings, "nb_cfg": 7, "northd": True}, "unread": {}}
    wanted = {key: host_state(plan["hosts"]["kvm1"])[key] for key in ("northd", "chassis", "bindings")}

    def wrong() -> dict[str, str]:
        return {
            f"{check['kind']} {check['thing']}": check["observed"]
            for check in state.judge("kvm1", {**wanted, "flows": {}}, read)
            if not check["passed"]
        }

    assert wrong() == {}
    # The slow chassis is named, and so is the port that is on the wrong host.
    chassis[1]["nb_cfg"] = 6
    bindings[0].update(chassis=None, up=False)
    read["ovn"]["northd"] = False
    assert wrong() == {
        "northd ovn-northd": "running False",
        "chassis kvm2": "current False",
        "binding test/kvm1/web1": "chassis not set, up False",
    }
    assert not host_state(plan["hosts"]["kvm2"])["chassis"]


def test_a_chassis_that_is_gone_is_the_cause_of_what_its_host_has_lost() -> None:
    plan = planned()
    world = World(plan, {})
    gone = {"host": "kvm1", "kind": "chassis", "thing": "kvm2"}
    assert world.part_of_state(gone) == ("switch", "kvm2")
    unbound = {"host": "kvm1", "kind": "binding", "thing": "test/kvm2/db2"}
    assert world.part_of_state(unbound) == ("endpoint", "kvm2/db2")


def test_endpoints_ask_for_neighbors_as_themselves_and_a_group_answers_nobody() -> None:
    plan, _groups = inventory_plan("ovn")
    expected = expectations(plan)
    ends = {end["id"]: end for host in judge.options(plan, expected).values() for end in host["endpoints"]}
    assert ends["kvm1/web1"]["secured"] and "secured" not in ends["kvm2/old2"]
    assert not any(one["others"] for one in expected["alone"] if one["from"] == "kvm1/web1")


def test_an_address_that_another_tenant_has_too_is_not_expected_to_be_silent_where_an_edge_lets_pings_pass() -> None:
    expected = expectations(inventory_plan("ovn")[0], None)
    asked = {(pair["from"], pair["to"]) for pair in expected["isolated"]}
    # bolt's web has the addresses of acme's, which db reaches.
    assert ("kvm1/db1", "kvm1/bolt-web1") not in asked and ("kvm1/web1", "kvm2/bolt-db2") in asked


def test_a_guest_behind_an_edge_that_lets_pings_pass_is_not_expected_to_be_silent() -> None:
    expected = expectations(inventory_plan("ovn")[0], None)
    asked = {(pair["from"], pair["to"]) for pair in expected["isolated"] if pair["family"] == 4}
    assert not {("kvm2/bolt-vm2", "kvm2/bolt-db2"), ("kvm2/bolt-db2", "kvm2/bolt-vm2")} & asked
    # Nor is another tenant's endpoint, which has the guest's address; one that is behind no edge of the guest's is.
    assert ("kvm2/bolt-db2", "kvm2/web2") not in asked and ("kvm2/bolt-vm2", "kvm2/old2") in asked


def member(leader: str | None = "tcp:192.168.200.1:6643", **servers: t.Any) -> Item:
    """What a host's server says: of each host, whether it is connected, or by how much it is behind."""
    rows = [
        {
            "address": f"tcp:192.168.200.{name[-1]}:6643",
            "connected": said is not False,
            "behind": said if isinstance(said, int) else None,
        }
        for name, said in servers.items()
    ]
    return {"model": "clustered", "status": "cluster member", "leader": leader, "servers": rows}


def test_members_of_a_cluster_that_are_gone_or_behind_are_told_by_their_hosts() -> None:
    hosts = fabric()
    hosts["kvm3"] = {**hosts["kvm2"], "fabric_endpoints": []}
    plan = compile_plan(hosts, SPEC, central=sorted(hosts))
    whole = member(kvm1=None, kvm2=None, kvm3=None)
    nothing = {"chassis": [], "bindings": [], "nb_cfg": 1, "northd": True}
    wanted = {"flows": {}, "members": host_state(plan["hosts"]["kvm1"])["members"]}

    def told(northbound: Item) -> list[tuple[str, str]]:
        read = {"ovn": {**nothing, "cluster": {"northbound": northbound, "southbound": whole}}, "unread": {}}
        checks = state.judge("kvm1", wanted, read)
        assert [check["thing"] for check in checks] == ["OVN_Northbound", "OVN_Southbound"] and checks[1]["passed"]
        seen = {"others": {"others": []}, "failed": [], "made": {}, "members": read["ovn"]}
        drifted = drift_report.report(plan, {"kvm1": seen})
        assert drifted["passed"] == checks[0]["passed"]
        return [] if checks[0]["passed"] else [(checks[0]["expected"], checks[0]["observed"])]

    assert told(whole) == []
    assert told(member(kvm1=None, kvm2=False, kvm3=None)) == [("gone not set", "gone kvm2")]
    # Removed, or never joined.
    assert told(member(kvm1=None, kvm2=None)) == [("gone not set", "gone kvm3")]
    assert told(member(kvm1=0, kvm2=0, kvm3=7)) == [("behind not set", "behind kvm3 by 7")]
    assert told(member(None, kvm1=None, kvm2=None, kvm3=None)) == [("leader known", "leader not set")]
    stopped = {"model": "clustered", "status": "stopped", "leader": None, "servers": []}
    assert told(stopped) == [("status cluster member, leader known", "status stopped, leader not set")]
    # One host's databases are in no cluster.
    alone = compile_plan(hosts, SPEC, central=["kvm1"])
    assert not host_state(alone["hosts"]["kvm1"])["members"]


def test_a_guest_is_a_port_by_the_uuid_that_libvirt_gives_its_nic() -> None:
    hosts = fabric(fabric_edges=[EDGE], fabric_policy=[RULE])
    guest = {"image": "lab", "nics": [{"segment": "db", "address": "10.1.2.9"}]}
    hosts["kvm2"]["fabric_endpoints"].append(
        {"name": "vm", "kind": "guest", "segment": "web", "address": "10.1.1.9", "guest": guest}
    )
    plan = compile_plan(hosts, SPEC, central=["kvm1"])
    nics = plan["hosts"]["kvm2"]["guests"][0]["domain"]["nics"]
    held = plan["hosts"]["kvm1"]["ovn_central"]
    ports = {port["name"]: port for switch in held["northbound"]["switches"] for port in switch["ports"]}
    for nic, address, called in zip(nics, ("10.1.1.9", "10.1.2.9"), ("test/kvm2/vm", "test/kvm2/vm/1")):
        port = ports[nic["interface_id"]]
        assert port["external_ids"] == {"neutron:port_name": called}
        assert port["port_security"][0].split()[:2] == [nic["mac"], address]
        assert held["bindings"][nic["interface_id"]] == "kvm2"
    groups = [set(group["ports"]) for group in held["northbound"]["port_groups"]]
    assert [nic["interface_id"] in group for nic, group in zip(nics, groups)] == [True, True]
    point = next(point for point in plan["endpoints"] if point["name"] == "vm")
    assert point["logical_port"] == nics[0]["interface_id"]
    other = fabric()
    for variables in other.values():
        variables["fabric_overlays"] = [{"name": "ov", "encapsulation": "geneve"}]
        variables["fabric_segments"] = [
            {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24"},
            {"name": "db", "vlan": 20, "subnet": "10.1.2.0/24"},
        ]
    other["kvm2"]["fabric_endpoints"].append(
        {"name": "vm", "kind": "guest", "segment": "web", "guest": {"image": "lab"}}
    )
    plain = compile_plan(other, SPEC)
    assert "interface_id" not in plain["hosts"]["kvm2"]["guests"][0]["domain"]["nics"][0]


# Multicast, rates and marks -----------------------------------------------------------------------------------------------


def test_a_segment_that_snoops_is_asked_for_members_with_the_address_of_its_router() -> None:
    hosts = fabric(fabric_edges=[EDGE])
    for host in hosts.values():
        host["fabric_segments"][0]["multicast_snooping"] = True
    switches = named(central(planned(hosts))["northbound"]["switches"])
    asked = switches["test/web"]["other_config"]
    assert asked.pop("mcast_eth_src").startswith("02:") and asked.pop("mcast_ip6_src").startswith("fe80::")
    assert asked == {"mcast_snoop": "true", "mcast_querier": "true", "mcast_ip4_src": "10.1.1.1"}
    assert switches["test/db"]["other_config"] == {}
    for host in hosts.values():
        host["fabric_edges"] = []
    alone = named(central(planned(hosts))["northbound"]["switches"])["test/web"]["other_config"]
    assert "mcast_ip4_src" not in alone and alone["mcast_snoop"] == "true"


def test_an_endpoint_has_a_rule_for_each_direction_in_which_something_is_stated() -> None:
    hosts = fabric()
    hosts["kvm1"]["fabric_endpoints"][0]["qos"] = {"send_rate": 1000, "dscp": 46}
    hosts["kvm2"]["fabric_endpoints"][0]["qos"] = {"receive_rate": 2000}
    switches = named(central(planned(hosts))["northbound"]["switches"])
    assert switches["test/web"]["qos_rules"] == [
        {
            "direction": "from-lport",
            "priority": 1000,
            "match": 'inport == "test/kvm1/web1"',
            "action": {"dscp": 46},
            "bandwidth": {"rate": 1000},
        },
        {
            "direction": "to-lport",
            "priority": 1000,
            "match": 'outport == "test/kvm2/web2"',
            "action": {},
            "bandwidth": {"rate": 2000},
        },
    ]
    assert switches["test/db"]["qos_rules"] == []


def test_what_other_engines_do_not_snoop_limit_and_mark_is_refused() -> None:
    hosts = fabric(fabric_overlays=[{"encapsulation": "vxlan"}])
    hosts["kvm1"]["fabric_endpoints"][0]["qos"] = {"dscp": 46}
    for host in hosts.values():
        host["fabric_segments"][1].update(vlan=20, multicast_snooping=True)
    with pytest.raises(PlanError) as error:
        planned(hosts)
    assert error.value.problems == [
        "fabric_segments[db].multicast_snooping is for segments of an overlay with the engine ovn, as a bridge would snoop for all its segments alike;"
        " leave it out, or put the segment on such an overlay.",
        "kvm1: fabric_endpoints[web1].qos is for endpoints on an overlay with the engine ovn, as no other one limits and marks; leave it out, or put"
        " segment web on such an overlay.",
    ]


def test_a_rate_and_a_mark_are_within_their_limits() -> None:
    hosts = fabric()
    hosts["kvm1"]["fabric_endpoints"][0]["qos"] = {"send_rate": 0, "dscp": 64}
    with pytest.raises(PlanError) as error:
        planned(hosts)
    assert error.value.problems == [
        "kvm1: fabric_endpoints[web1].qos.send_rate must be 1 to 4294967295, not 0.",
        "kvm1: fabric_endpoints[web1].qos.dscp must be 0 to 63, not 64.",
    ]


# Mirrors -----------------------------------------------------------------------------------------------------------------


def test_mirrors_with_one_tunnel_are_one_row_that_each_of_their_ports_refers_to() -> None:
    hosts = fabric()
    hosts["kvm1"]["fabric_endpoints"][0]["mirrors"] = [
        {"to": "192.168.200.9", "direction": "sent", "key": 7},
        {"to": "192.168.200.9", "direction": "received", "encapsulation": "erspan", "key": 8},
    ]
    hosts["kvm2"]["fabric_endpoints"][0]["mirrors"] = [{"to": "192.168.200.9", "direction": "sent", "key": 7}]
    plan = planned(hosts)
    assert central(plan)["northbound"]["mirrors"] == [
        {
            "name": "test/gre:192.168.200.9:7",
            "filter": "from-lport",
            "sink": "192.168.200.9",
            "type": "gre",
            "index": 7,
        },
        {
            "name": "test/erspan:192.168.200.9:8",
            "filter": "to-lport",
            "sink": "192.168.200.9",
            "type": "erspan",
            "index": 8,
        },
    ]
    told = {name: port.get("mirror_rules") for name, port in ports(plan).items()}
    assert told == {
        "test/kvm1/web1": ["test/gre:192.168.200.9:7", "test/erspan:192.168.200.9:8"],
        "test/kvm2/web2": ["test/gre:192.168.200.9:7"],
        "test/kvm2/db2": [],
    }


@pytest.mark.parametrize(
    ("mirrors", "sentence"),
    [
        (
            [{"to": "192.168.200.9", "direction": "sent"}, {"to": "192.168.200.9", "direction": "received"}],
            "kvm1: fabric_endpoints[web1].mirrors[1] is of what is received, and kvm1: fabric_endpoints[web1].mirrors[0] of what is sent, by the same"
            " tunnel to 192.168.200.9; give one of them another key.",
        ),
        (
            [{"to": "192.168.200.9", "direction": "sent", "encapsulation": "erspan", "key": 1024}],
            "kvm1: fabric_endpoints[web1].mirrors[0].key must be 0 to 1023, not 1024.",
        ),
        (
            [{"to": "there", "direction": "sent"}],
            "kvm1: fabric_endpoints[web1].mirrors[0].to 'there' is no address; write it as 10.1.1.2 or 2001:db8:1::2.",
        ),
    ],
)
def test_wrong_mirrors_are_one_sentence(mirrors: list[Item], sentence: str) -> None:
    hosts = fabric()
    hosts["kvm1"]["fabric_endpoints"][0]["mirrors"] = mirrors
    with pytest.raises(PlanError) as error:
        planned(hosts)
    assert error.value.problems == [sentence]


def test_mirrors_of_other_engines_are_refused() -> None:
    hosts = fabric(fabric_overlays=[{"encapsulation": "vxlan"}])
    for host in hosts.values():
        host["fabric_segments"][1]["vlan"] = 20
    hosts["kvm1"]["fabric_endpoints"][0]["mirrors"] = [{"to": "192.168.200.9", "direction": "sent"}]
    with pytest.raises(PlanError) as error:
        planned(hosts)
    assert error.value.problems == [
        "kvm1: fabric_endpoints[web1].mirrors is for endpoints on an overlay with the engine ovn; leave it out, and see elsewhere with"
        " playbooks/capture.yml."
    ]


def test_the_role_hands_on_all_that_the_plan_writes() -> None:
    tasks = yaml.safe_load((CHECKOUT / "roles/ovn_central/tasks/main.yml").read_text(encoding="utf-8"))
    (given,) = (task["overloom.fabric.ovn_northbound"] for task in tasks if "overloom.fabric.ovn_northbound" in task)
    assert set(central(planned())["northbound"]) <= set(given)

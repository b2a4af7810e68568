# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OVN's gateways in the plan: provider networks, hosts that take over, NAT, forwarded ports, floating addresses, spoofed sources, and wrong input."""

from __future__ import annotations

import copy
import ipaddress
import typing as t

import pytest
from hypothesis import given, settings

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import Packet, Rule, allowed
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.ovn import Place, leaving
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import state, vrrp
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.test_plan_ovn import (
    OVERLAY,
    central,
    fabric,
    named,
    passes,
    planned,
    ports,
)
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.test_policy import (
    SEGMENTS,
    packets,
    rule_lists,
    segment_of,
)

Item = t.Dict[str, t.Any]
WAN: Item = {"name": "wan", "overlay": "office", "vlan": 30, "subnet": "10.9.0.0/24"}
GATEWAY: Item = {
    "name": "gw",
    "hosts": ["kvm2", "kvm1"],
    "legs": [
        {"segment": "web", "address": "10.1.1.1", "address6": "2001:db8:1::1"},
        {"segment": "db", "address": "10.1.2.1"},
        {"segment": "wan", "address": "10.9.0.1", "gateway": False},
    ],
    "routes": [{"to": "default", "via": "10.9.0.2"}],
    "nat": [{"from": "web", "out": "wan"}, {"from": "db", "out": "wan", "address": "10.9.0.8"}],
    "forwards": [{"name": "www", "segment": "wan", "port": 80, "to": "kvm2/web2", "to_port": 8080}],
    "floating": [
        {"segment": "wan", "address": "10.9.0.20", "to": "kvm1/web1"},
        {"segment": "wan", "address": "10.9.0.21", "to": "kvm2/db2", "distributed": True},
    ],
}
POLICY: list[Item] = [
    {"name": "out", "from": ["web"], "to": ["wan"]},
    {"name": "in", "from": ["wan"], "to": ["kvm1/web1"], "protocol": "tcp"},
]


def outside(gateway: Item | None = None, **more: t.Any) -> Item:
    """A fabric with a provider network, and somebody in it."""
    hosts = fabric(
        fabric_overlays=[OVERLAY, {"name": "office", "encapsulation": "vlan"}],
        fabric_edges=[gateway or GATEWAY],
        **{"fabric_policy": POLICY, **more},
    )
    for host in hosts.values():
        segments = [{**segment, "overlay": "ov"} for segment in host["fabric_segments"]]
        host["fabric_segments"] = [*segments, WAN]
    hosts["kvm2"]["fabric_endpoints"].append({"name": "isp", "segment": "wan", "address": "10.9.0.2"})
    return copy.deepcopy(hosts)


def northbound(plan: Item) -> Item:
    """What the northbound database holds."""
    return t.cast(Item, central(plan)["northbound"])


def router(plan: Item) -> Item:
    """The only router."""
    (found,) = northbound(plan)["routers"]
    return t.cast(Item, found)


def test_a_provider_network_is_a_switch_that_leads_out_by_the_underlay_bridge_of_the_edges_hosts() -> None:
    plan = planned(outside())
    port = ports(plan)["test/wan@@outside"]
    assert (port["type"], port["tag"], port["options"]) == ("localnet", 30, {"network_name": "office"})
    assert ports(plan)["test/wan@gw"]["options"] == {"router-port": "test/gw:wan", "nat-addresses": "router"}
    for host in ("kvm1", "kvm2"):
        chassis = plan["hosts"][host]["ovn_chassis"]
        assert (chassis["bridge_mappings"], chassis["gateway"]) == ({"office": "br-underlay"}, True)
    # Nothing of it is a namespace.
    assert not any(host["nft_tables"] or host["vrrp"] for host in plan["hosts"].values())


def test_another_host_reaches_the_provider_network_for_a_distributed_address_alone() -> None:
    one = {**GATEWAY, "hosts": ["kvm1"]}
    assert planned(outside(one))["hosts"]["kvm2"]["ovn_chassis"]["bridge_mappings"] == {"office": "br-underlay"}
    central_ones = [{**floating, "distributed": False} for floating in one["floating"]]
    chassis = planned(outside({**one, "floating": central_ones}))["hosts"]["kvm2"]["ovn_chassis"]
    assert (chassis["bridge_mappings"], chassis["gateway"]) == ({}, False)


def test_the_hosts_of_an_edge_take_over_in_their_order() -> None:
    plan = planned(outside())
    (group,) = northbound(plan)["ha_chassis_groups"]
    assert group["chassis"] == [{"chassis_name": "kvm2", "priority": 2}, {"chassis_name": "kvm1", "priority": 1}]
    told = {port["name"]: port["ha_chassis_group"] for port in router(plan)["ports"]}
    assert told == {"test/gw:web": "", "test/gw:db": "", "test/gw:wan": group["name"]}
    assert northbound(plan)["nb_global_options"] == {"bfd-min-rx": "200", "bfd-min-tx": "200", "bfd-mult": "3"}
    alone = planned(outside({**GATEWAY, "hosts": ["kvm1"]}))
    assert northbound(alone)["nb_global_options"] == {}


def test_nat_forwards_and_floating_addresses_are_rows_of_the_router() -> None:
    plan = planned(outside())
    assert router(plan)["static_routes"] == [{"ip_prefix": "0.0.0.0/0", "nexthop": "10.9.0.2"}]
    mac = router(plan)["nat"][-1].pop("external_mac")
    assert router(plan)["nat"] == [
        {"type": "snat", "external_ip": "10.9.0.1", "logical_ip": "10.1.1.0/24"},
        {"type": "snat", "external_ip": "10.9.0.8", "logical_ip": "10.1.2.0/24"},
        {"type": "dnat_and_snat", "external_ip": "10.9.0.20", "logical_ip": "10.1.1.65"},
        {
            "type": "dnat_and_snat",
            "external_ip": "10.9.0.21",
            "logical_ip": "10.1.2.66",
            "logical_port": "test/kvm2/db2",
        },
    ]
    assert mac.startswith("02:")
    (balancer,) = northbound(plan)["load_balancers"]
    assert (balancer["protocol"], balancer["vips"]) == ("tcp", {"10.9.0.1:80": "10.1.1.66:8080"})
    # On the switches for those inside, so that whoever asks from the target's own segment is answered, too.
    users = [router(plan), *northbound(plan)["switches"]]
    assert [one["name"] for one in users if one["load_balancers"]] == ["test/gw", "test/web", "test/db"]


def test_who_sends_what_is_too_large_for_the_next_segment_is_told() -> None:
    hosts = outside()
    for host in hosts.values():
        host["fabric_segments"][1]["mtu"] = 1400
    options = {port["name"]: port["options"] for port in router(planned(hosts))["ports"]}
    assert options == {
        "test/gw:web": {"gateway_mtu": "1442"},
        "test/gw:db": {"gateway_mtu": "1400"},
        "test/gw:wan": {},
    }


def test_a_source_that_is_behind_another_port_of_the_router_is_dropped() -> None:
    policies = router(planned(outside()))["policies"]

    def dropped(port: str, source: str) -> bool:
        version = ipaddress.ip_address(source).version
        for policy in sorted(policies, key=lambda one: -one["priority"]):
            begin, _and, condition = policy["match"].partition(" && ")
            if begin != f'inport == "test/gw:{port}"':
                continue
            nets = condition.partition("== ")[2].strip("{}")
            inside = not nets or any(
                ipaddress.ip_address(source) in ipaddress.ip_network(net.strip()) for net in nets.split(",")
            )
            if condition.startswith(f"ip{version}") and inside:
                return bool(policy["action"] == "drop")
        return False

    assert not dropped("web", "10.1.1.7") and not dropped("web", "2001:db8:1::7") and not dropped("wan", "192.0.2.1")
    assert dropped("web", "10.1.2.7") and dropped("web", "192.0.2.1") and dropped("db", "2001:db8:1::7")
    assert dropped("wan", "10.1.1.7") and dropped("wan", "2001:db8:1::7")


@settings(max_examples=300, deadline=None)
@given(rule_lists(), packets())
def test_acls_of_what_leaves_let_pass_what_the_policy_allows(rules: list[Rule], packet: Packet) -> None:
    source, target = segment_of(packet.source), segment_of(packet.target)
    names = list(SEGMENTS)
    outer = names[-1]
    if source is None or source == outer or target not in (None, outer):
        return
    inside = [ipaddress.ip_network(text) for name in names[:-1] for text in SEGMENTS[name]]
    subnets = [ipaddress.ip_network(text) for text in SEGMENTS[source]]
    listed = leaving(rules, Place("pg", source, subnets, "02:00:00:00:00:01", "log"), outer, inside, [], log=False)
    for acl in listed:
        acl["match"] = acl["match"].replace("inport == @pg && eth.dst", "outport == @pg && eth.src")
    assert passes(listed, packet) == allowed(rules, packet), listed


def test_what_is_for_another_segment_of_the_router_is_judged_there_alone() -> None:
    groups = named(northbound(planned(outside()))["port_groups"])
    assert len(groups) == 2
    for group in groups.values():
        leaving_acls = [acl for acl in group["acls"] if acl["direction"] == "from-lport"]
        first = max(leaving_acls, key=lambda acl: acl["priority"])
        assert (first["name"], first["action"]) == ("inside", "allow-related")
        assert "10.1.1.0/24, 10.1.2.0/24" in first["match"] and "10.9.0.0/24" not in first["match"]
        assert leaving_acls[-1]["name"] == "denied" and leaving_acls[-1]["action"] == "drop"


def test_a_forwarded_port_is_open_to_all_of_the_router_unless_a_rule_denies_it() -> None:
    plan = planned(outside())
    opened = [rule for rule in plan["edges"][0]["rules"] if rule["name"] == "forward-www"]
    assert len(opened) == 1
    group = next(one for one in northbound(plan)["port_groups"] if "_web_" in one["name"])
    names = [acl["name"] for acl in group["acls"] if acl["direction"] == "to-lport"]
    assert names == ["rule-in", "rule-forward-www", "denied"]
    asked = [acl for acl in group["acls"] if acl["name"] == "forward-www"]
    assert asked[0]["match"].endswith("ip4.dst == 10.9.0.1 && tcp.dst == 80")


def test_verify_asks_floating_addresses_and_forwards_from_outside_and_knows_the_active_host() -> None:
    plan = planned(outside())
    expected = expectations(plan)
    asked = {(pair["from"], pair["address"]): pair for pair in expected["pairs"]}
    web1 = asked["kvm2/isp", "10.9.0.20"]
    # What the policy lets pass, and no more.
    assert (web1["to"], web1["ping"], web1["tcp"]) == ("kvm1/web1", False, True)
    assert [(one["from"], one["address"]) for one in expected["denied"] if one["address"] == "10.9.0.21"] == [
        ("kvm2/isp", "10.9.0.21")
    ]
    assert ("kvm2/isp", "10.9.0.1", 80) in {(c["from"], c["address"], c["port"]) for c in expected["connections"]}
    assert expected["hosts"]["kvm1"]["gateways"] == {"cr-test/gw:wan": {"name": "cr-test/gw:wan", "chassis": "kvm2"}}
    # An edge on two hosts, without VRRP.
    assert vrrp.judge_active(plan, {"kvm1": {}, "kvm2": {}}) == []


@pytest.mark.parametrize(("host", "passed"), [("kvm2", True), ("kvm1", False)])
def test_a_gateway_on_another_host_is_told(host: str, passed: bool) -> None:
    expected = expectations(planned(outside()))["hosts"]["kvm1"]
    rows = [{"name": "cr-test/gw:wan", "type": "chassisredirect", "chassis": host, "up": True}]
    read = {"ovn": {"chassis": [], "bindings": rows, "nb_cfg": 1, "northd": True}}
    (check,) = [one for one in state.judge("kvm1", expected, read) if one["kind"] == "gateway"]
    assert check["passed"] is passed


# Refusals --------------------------------------------------------------------------------------------------------------


def changed(**more: t.Any) -> Item:
    """The gateway with something else."""
    return {**copy.deepcopy(GATEWAY), **more}


def floating(*items: Item) -> Item:
    """The gateway with other floating addresses."""
    return changed(floating=[{"segment": "wan", "to": "kvm1/web1", **item} for item in items])


@pytest.mark.parametrize(
    ("gateway", "sentence"),
    [
        (changed(hosts=[]), r"\[gw\].hosts is empty; name one host that the edge is on, or several of which one is"),
        (changed(hosts=["kvm9"]), "hosts has kvm9, which is no host of the fabric"),
        (changed(hosts=["kvm1", "kvm1"]), "hosts names kvm1 twice"),
        (
            floating({"address": "10.8.0.1"}),
            r"address 10.8.0.1 is no address of the provider network wan \(10.9.0.0/24\)",
        ),
        (floating({"address": "10.9.0.255"}), "address 10.9.0.255 is no address of the provider network"),
        (floating({"address": "10.9.0.1"}), r"floating\[0\].address 10.9.0.1 is also that of .*legs\[2\].address"),
        (floating({"address": "10.9.0.2"}), "address 10.9.0.2 is also that of kvm2/isp"),
        (floating({"address": "10.9.0.8"}), r"floating\[0\].address 10.9.0.8 is also that of .*nat\[1\].address"),
        (
            floating({"address": "10.9.0.30"}, {"address": "10.9.0.30", "to": "kvm2/db2"}),
            r"floating\[1\].address 10.9.0.30 is also that of .*floating\[0\].address",
        ),
        (
            floating({"address": "10.9.0.30"}, {"address": "10.9.0.31"}),
            "both lead to kvm1/web1, which can leave by one address",
        ),
        (floating({"address": "2001:db8::1"}), "address 2001:db8::1 is IPv6, which is routed"),
        (floating({"address": "10.9.0.30", "to": "kvm1/wep1"}), "to kvm1/wep1 is no endpoint; did you mean kvm1/web1"),
        (floating({"address": "10.9.0.30", "to": "kvm2/isp"}), "to kvm2/isp is on segment wan, whose gateway the edge"),
        (
            floating({"address": "10.9.0.30", "segment": "db"}),
            "segment db is not the edge's provider network; name wan",
        ),
        (changed(nat=[{"from": "web", "out": "db"}]), r"nat\[0\].out db is not the edge's provider network; name wan"),
        (changed(nat=[{"from": "web", "out": "wan", "address": "10.8.0.1"}]), "10.8.0.1 is no address of the provider"),
        (
            changed(nat=[{"from": "web", "out": "wan"}, {"from": "10.1.1.0/24", "out": "wan", "address": "10.9.0.8"}]),
            r"nat\[0\] and .*nat\[1\] both translate 10.1.1.0/24, which can leave by one",
        ),
        (
            changed(nat=[{"from": "10.1.1.65", "out": "wan", "address": "10.9.0.8"}]),
            r"nat\[0\] and .*floating\[0\] both translate 10.1.1.65, which can leave by one",
        ),
        (changed(nat=[{"from": "web", "out": "wan", "address": "2001:db8::1"}]), "2001:db8::1 is IPv6, and NAT is for"),
        (
            changed(forwards=[{**GATEWAY["forwards"][0], "address": "2001:db8::1"}]),
            r"forwards\[www\].address 2001:db8::1 is no address of the provider network wan \(10.9.0.0/24\)",
        ),
        (
            changed(legs=[*GATEWAY["legs"][:2], {**GATEWAY["legs"][2], "address": "2001:db8::1"}]),
            r"legs\[2\].address 2001:db8::1 is no address of the provider network wan \(10.9.0.0/24\)",
        ),
        (
            changed(forwards=[{**GATEWAY["forwards"][0], "segment": "db"}]),
            r"forwards\[www\].segment db is not the edge's provider network",
        ),
        (changed(vrid=7), "vrid is for an edge on two hosts"),
    ],
)
def test_what_a_gateway_cannot_be_is_one_sentence(gateway: Item, sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        planned(outside(gateway))


def test_a_leg_that_is_none_is_told_beside_what_hangs_on_it() -> None:
    legs = [{"address": "10.1.1.1"}, *GATEWAY["legs"][1:]]
    with pytest.raises(PlanError) as refused:
        planned(outside(changed(legs=legs)))
    assert "fabric_edges[gw].nat[0].from web is no segment of the edge; known here: db, wan." in refused.value.problems


def test_two_gateways_with_one_address_outside_are_refused() -> None:
    hosts = outside()
    other = {
        "name": "too",
        "hosts": ["kvm1"],
        "legs": [
            {"segment": "db", "address": "10.1.2.2", "gateway": False},
            {"segment": "wan", "address": "10.9.0.8", "gateway": False},
        ],
    }
    for host in hosts.values():
        host["fabric_edges"].append(other)
    with pytest.raises(
        PlanError, match=r"\[too\].legs\[1\].address 10.9.0.8 is also that of .*\[gw\].nat\[1\].address"
    ):
        planned(hosts)


def test_addresses_of_a_provider_network_of_ipv6_are_of_that() -> None:
    hosts = outside(changed(legs=[*GATEWAY["legs"][:2], {**GATEWAY["legs"][2], "address": "2001:db8:9::1"}], nat=[]))
    for host in hosts.values():
        host["fabric_segments"][-1] = {**WAN, "subnet": "2001:db8:9::/64"}
    hosts["kvm2"]["fabric_endpoints"][-1]["address"] = "2001:db8:9::2"
    sentence = r"floating\[0\].address 10.9.0.20 is no address of the provider network wan \(2001:db8:9::/64\)"
    with pytest.raises(PlanError, match=sentence):
        planned(hosts)


def test_what_a_namespace_edge_or_a_guests_further_nic_has_is_refused_of_a_router() -> None:
    lan = {"name": "lan", "overlay": "office", "vlan": 40, "subnet": "10.8.0.0/24"}
    edge: Item = {
        "name": "old",
        "hosts": ["kvm1"],
        "legs": [
            {"segment": "lan", "address": "10.8.0.1"},
            {"segment": "wan", "address": "10.9.0.5", "gateway": False},
        ],
        "nat": [{"from": "lan", "out": "wan", "address": "10.9.0.20"}],
    }
    hosts = outside(fabric_policy=[])
    for host in hosts.values():
        host["fabric_edges"] = [GATEWAY, edge]
        host["fabric_segments"].append(lan)
    with pytest.raises(PlanError, match="address 10.9.0.20 is also that of kvm1/old-wan"):
        planned(hosts)
    hosts = outside()
    nics = [{"segment": "web", "address": "10.1.1.1"}, {"segment": "wan", "address": "10.9.0.21"}]
    guest = {"role": "linux", "image": "lab", "nics": nics}
    hosts["kvm1"]["fabric_endpoints"].append({"name": "g", "kind": "guest", "segment": "db", "guest": guest})
    with pytest.raises(PlanError) as refused:
        planned(hosts)
    assert "floating[1].address 10.9.0.21 is also that of kvm1/g" in str(refused.value)
    assert "legs[0].address 10.1.1.1 is also that of kvm1/g" in str(refused.value)


def test_dhcp_on_the_provider_network_leases_no_address_of_a_router() -> None:
    hosts = outside(floating({"address": "10.9.0.100"}))
    served = [{"hosts": ["kvm1"]}, {"hosts": ["kvm1"], "ranges": ["10.9.0.90-10.9.0.110"]}]
    for host in hosts.values():
        host["fabric_segments"][-1] = {**WAN, "dhcp": served[0]}
    (server,) = planned(hosts)["hosts"]["kvm1"]["dhcp_servers"]
    (begin, end) = (ipaddress.ip_address(one) for one in server["ranges"][0].split("-"))
    taken = [ipaddress.ip_address(one) for one in ("10.9.0.1", "10.9.0.8", "10.9.0.100")]
    assert not any(begin <= one <= end for one in taken)
    for host in hosts.values():
        host["fabric_segments"][-1] = {**WAN, "dhcp": served[1]}
    with pytest.raises(PlanError, match="has 10.9.0.100, the address of edge gw; give ranges without it"):
        planned(hosts)


def test_forwards_and_floating_addresses_to_what_may_move_are_verified_too() -> None:
    mobile = {"name": "mob", "host": "kvm1", "segment": "web"}
    gateway = {**floating({"address": "10.9.0.20", "to": "mob"}), "forwards": [{**GATEWAY["forwards"][0], "to": "mob"}]}
    hosts = outside(gateway, fabric_policy=[{"name": "in", "from": ["wan"], "to": ["mob"]}])
    for host in hosts.values():
        host["fabric_endpoints"].append(mobile)
    expected = expectations(planned(hosts))
    assert ("kvm2/isp", "kvm1/mob", "10.9.0.20") in {(p["from"], p["to"], p["address"]) for p in expected["pairs"]}
    assert ("kvm2/isp", "kvm1/mob", 80) in {(c["from"], c["to"], c["port"]) for c in expected["connections"]}


def test_a_router_between_tenants_with_one_subnet_is_refused() -> None:
    hosts = outside()
    for host in hosts.values():
        host["fabric_segments"].append({"name": "bolt", "overlay": "ov", "tenant": "bolt", "subnet": "10.1.1.0/24"})
        host["fabric_edges"][0]["legs"].append({"segment": "bolt", "address": "10.1.1.1"})
    with pytest.raises(PlanError, match=r"10.1.1.0/24 .*overlaps"):
        planned(hosts)


def test_a_floating_address_of_an_edge_in_a_namespace_is_refused() -> None:
    hosts = outside(changed(hosts=["kvm1"], routes=[]))
    for host in hosts.values():
        host["fabric_edges"][0]["legs"][2]["gateway"] = True
    with pytest.raises(PlanError, match=r"floating\[0\] is for an edge between segments with the engine ovn"):
        planned(hosts)


@pytest.mark.parametrize(("option", "value"), [("advert_interval", 500), ("preempt", True), ("preempt", False)])
def test_how_a_host_takes_over_is_refused_where_none_does(option: str, value: t.Any) -> None:
    said = f"fabric_edges[gw].{option} is for an edge with several hosts of which one is active, and this one is "
    with pytest.raises(PlanError) as refused:
        planned(outside({**GATEWAY, "hosts": ["kvm1"], option: value}))
    assert refused.value.problems == [said + "on one; leave it out."]
    inner = {"name": "gw", "legs": GATEWAY["legs"][:2], option: value}
    with pytest.raises(PlanError) as refused:
        planned(outside(inner, fabric_policy=[]))
    assert refused.value.problems == [said + "on every host, as its segments are OVN's; leave it out."]


def test_ovns_first_host_cannot_be_kept_from_being_the_gateway_again() -> None:
    with pytest.raises(PlanError) as refused:
        planned(outside({**GATEWAY, "preempt": False}))
    assert "fabric_edges[gw].preempt is false, but with OVN the first host is the gateway again" in str(refused.value)
    assert planned(outside({**GATEWAY, "preempt": True, "advert_interval": 500}))


TWO_HOPS = [{"to": "default", "via": "10.9.0.2"}, {"to": "default", "via": "10.9.0.3"}]


def test_several_next_hops_to_one_destination_are_as_many_rows() -> None:
    rows = router(planned(outside({**GATEWAY, "routes": TWO_HOPS})))["static_routes"]
    assert rows == [{"ip_prefix": "0.0.0.0/0", "nexthop": hop} for hop in ("10.9.0.2", "10.9.0.3")]


def test_an_edge_in_a_namespace_has_one_next_hop_to_a_destination() -> None:
    hosts = outside({**GATEWAY, "hosts": ["kvm1"], "routes": TWO_HOPS, "floating": [], "nat": [], "forwards": []})
    for host in hosts.values():
        host["fabric_overlays"] = [
            {"name": "ov", "encapsulation": "vxlan"},
            {"name": "office", "encapsulation": "vlan"},
        ]
        host["fabric_segments"][1]["vlan"] = 20
    with pytest.raises(PlanError) as refused:
        planned(hosts)
    assert refused.value.problems == [
        "fabric_edges[gw].routes to default goes via 10.9.0.2 and 10.9.0.3, and several next hops are for an edge between segments with the engine ovn;"
        " leave one of them out."
    ]


# Several targets ---------------------------------------------------------------------------------------------------------

SHARED: Item = {
    "name": "www",
    "segment": "wan",
    "port": 80,
    "targets": ["kvm1/web1", "kvm2/web2"],
    "to_port": 8080,
    "health_check": {"source": "10.1.1.9", "interval": 2},
}


def sharing(**more: t.Any) -> Item:
    """A fabric whose forwarded port has several targets."""
    return outside({**GATEWAY, "forwards": [{name: value for name, value in {**SHARED, **more}.items() if value}]})


def test_targets_share_a_load_balancer_that_asks_whether_they_live() -> None:
    plan = planned(sharing())
    (balancer,) = northbound(plan)["load_balancers"]
    assert balancer["vips"] == {"10.9.0.1:80": "10.1.1.65:8080,10.1.1.66:8080"}
    assert balancer["ip_port_mappings"] == {
        "10.1.1.65": "test/kvm1/web1:10.1.1.9",
        "10.1.1.66": "test/kvm2/web2:10.1.1.9",
    }
    options = {"interval": "2", "timeout": "2", "success_count": "1", "failure_count": "3"}
    assert balancer["health_checks"] == [{"vip": "10.9.0.1:80", "options": options}]
    assert router(plan)["load_balancers"] == ["test/gw/www"]
    # All of them are open to those inside and outside.
    opened = [acl["match"] for group in northbound(plan)["port_groups"] for acl in group["acls"]]
    assert all(any(f"== {target}" in one and "8080" in one for one in opened) for target in ("10.1.1.65", "10.1.1.66"))
    # Nobody listens long enough for verify.
    assert not [one for one in expectations(plan)["connections"] if one.get("target_port")]


def test_targets_without_a_health_check_are_asked_by_verify_each() -> None:
    plan = planned(sharing(health_check=None))
    (balancer,) = northbound(plan)["load_balancers"]
    assert (balancer["health_checks"], balancer["ip_port_mappings"]) == ([], {})
    asked = [one for one in expectations(plan)["connections"] if one.get("target_port")]
    assert {(one["address"], one["to"]) for one in asked} == {("10.9.0.1", "kvm1/web1"), ("10.9.0.1", "kvm2/web2")}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            {"to": "kvm1/web1"},
            "fabric_edges[gw].forwards[www] needs to for one endpoint, or targets for several; give one of them.",
        ),
        (
            {"targets": None},
            "fabric_edges[gw].forwards[www] needs to for one endpoint, or targets for several; give one of them.",
        ),
        (
            {"targets": ["kvm1/web1", "kvm2/web3"]},
            "fabric_edges[gw].forwards[www].to kvm2/web3 is no endpoint; did you mean kvm2/web2?",
        ),
        (
            {"health_check": {"source": "10.1.2.9"}},
            "fabric_edges[gw].forwards[www].health_check.source 10.1.2.9 is no address of segment web (10.1.1.0/24 and 2001:db8:1::/64); give one there.",
        ),
        (
            {"health_check": {"source": "10.1.1.1"}},
            "fabric_edges[gw].forwards[www].health_check.source 10.1.1.1 is also that of fabric_edges[gw].legs[0]; give an address that nobody has.",
        ),
        (
            {"health_check": {"source": "10.1.1.65"}},
            "fabric_edges[gw].forwards[www].health_check.source 10.1.1.65 is also that of kvm1/web1; give an address that nobody has.",
        ),
        (
            {"targets": ["kvm1/web1", "kvm2/db2"]},
            "fabric_edges[gw].forwards[www].health_check asks from one segment, and the targets are on web and db; name targets on one of them.",
        ),
        (
            {"health_check": {"source": "10.1.1.9", "interval": 4000}},
            "fabric_edges[gw].forwards[www].health_check.interval must be 1 to 3600, not 4000.",
        ),
    ],
)
def test_wrong_targets_are_one_sentence(more: Item, sentence: str) -> None:
    with pytest.raises(PlanError) as refused:
        planned(sharing(**more))
    assert refused.value.problems == [sentence]


def test_an_edge_in_a_namespace_has_one_target_to_a_port() -> None:
    hosts = sharing(health_check=None)
    for host in hosts.values():
        host["fabric_overlays"] = [
            {"name": "ov", "encapsulation": "vxlan"},
            {"name": "office", "encapsulation": "vlan"},
        ]
        host["fabric_segments"][1]["vlan"] = 20
        host["fabric_edges"][0].update(hosts=["kvm1"], nat=[], floating=[])
    with pytest.raises(PlanError) as refused:
        planned(hosts)
    assert refused.value.problems == [
        "fabric_edges[gw].forwards[www].targets is for an edge between segments with the engine ovn and a provider network; give to with one endpoint."
    ]


# Routers on the provider network ------------------------------------------------------------------------------------

BESIDE: Item = {"ends": ["r1:eth1.30"], "subnet": "10.9.0.0/24"}


def routed(link: Item | None = None, gateway: Item | None = None, **endpoint: str) -> Item:
    """The plan of a gateway with a router of the fabric outside, which tells another one of what is behind the gateway."""
    links = [{**BESIDE, **(link or {})}, {"ends": ["r1:eth2", "r2:eth1"]}]
    # The router has the link's first address.
    legs = [{**leg, "address": "10.9.0.9"} if leg["segment"] == "wan" else leg for leg in GATEWAY["legs"]]
    hosts = outside(gateway or {**GATEWAY, "legs": legs}, fabric_links=links)
    for point in hosts["kvm2"]["fabric_endpoints"]:
        point.update(endpoint if point["name"] == "isp" else {})
    common = {name: value for name, value in hosts["kvm1"].items() if name != "fabric_endpoints"}
    static = [{"prefix": "10.1.2.0/24", "via": "10.9.0.9"}]
    told = {"static": static, "redistribute": [{"protocol": "static"}]}
    routers = {"r1": {**common, "fabric_router": told}, "r2": common}
    return compile_plan(hosts, SPEC, central=["kvm1"], routers=routers)


def test_a_router_on_the_provider_network_tells_others_of_floating_addresses_and_of_what_is_behind_the_gateway() -> (
    None
):
    plan = routed()
    prefixes = {route["prefix"] for route in plan["routers"]["r2"]["routes"]}
    # Floating addresses are in the provider network.
    assert {"10.9.0.0/24", "10.1.2.0/24"} <= prefixes
    assert routed({"ends": ["r1:wan"]})["routers"]["r1"]["interfaces"]


@pytest.mark.parametrize(
    ("link", "gateway", "endpoint", "sentence"),
    [
        (
            {"ends": ["r1:eth1.31"]},
            None,
            {},
            "r1:eth1.31 is VLAN 31, and its subnet is that of segment wan, which is VLAN 30; give both the same",
        ),
        ({}, GATEWAY, {}, r"legs\[2\].address 10.9.0.1 is also that of r1:eth1.30; give one of them another address"),
        ({}, None, {"address": "10.9.0.1"}, "the address 10.9.0.1 of r1:eth1.30 is also that of kvm2/isp"),
        (
            {"subnet": "10.9.0.0/25"},
            None,
            {},
            r"fabric_segments\[wan\].subnet 10.9.0.0/24 overlaps fabric_links\[r1\].subnet 10.9.0.0/25",
        ),
        (
            {"subnet": "10.1.1.0/24"},
            None,
            {},
            r"fabric_segments\[web\].subnet 10.1.1.0/24 overlaps fabric_links\[r1\].subnet 10.1.1.0/24",
        ),
    ],
)
def test_a_router_on_the_provider_network_is_in_its_vlan_with_an_address_of_its_own(
    link: Item, gateway: Item | None, endpoint: dict[str, str], sentence: str
) -> None:
    with pytest.raises(PlanError, match=sentence):
        routed(link, gateway, **endpoint)

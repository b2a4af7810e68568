# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges with OSPF or BGP: what they announce and hear, what verify says of them, and what is refused with which sentence."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations, host_state
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

Item = t.Dict[str, t.Any]
WEB: Item = {"segment": "web", "address": "10.1.1.1", "address6": "2001:db8:1::1"}
DB: Item = {"segment": "db", "address": "10.1.2.1"}
OUT: Item = {"segment": "out", "address": "10.9.0.1", "address6": "2001:db8:9::1", "gateway": False}
EDGE: Item = {"name": "edge", "hosts": ["kvm1"], "legs": [WEB, DB, OUT]}
OSPF: Item = {**EDGE, "ospf": {"hello_interval": 1, "dead_interval": 4}}
PEER: Item = {"address": "10.9.0.254", "asn": "64500"}
BGP: Item = {**EDGE, "bgp": {"asn": "64512", "neighbors": [PEER]}}


def planned(edge: Item, points: t.Mapping[str, list[tuple[str, str]]] | None = None, **common: t.Any) -> Item:
    """The plan of two hosts with an edge between the segments web, db and out. points: name and segment of endpoints by host; then out has no IPv6."""
    base: Item = {
        "fabric_name": "test",
        "fabric_segments": [
            {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:1::/64"},
            {"name": "db", "vlan": 20, "subnet": "10.1.2.0/24"},
            {"name": "out", "vlan": 30, "subnet": "10.9.0.0/24", "subnet6": "2001:db8:9::/64"},
        ],
        "fabric_edges": [copy.deepcopy(edge)],
        **common,
    }
    if points is not None:
        base["fabric_segments"][2].pop("subnet6")
    ends = {host: [{"name": n, "segment": s} for n, s in named] for host, named in (points or {}).items()}
    return compile_plan(
        {host: {**base, "fabric_endpoints": ends.get(host, [])} for host in ("kvm1", "kvm2")},
        SPEC,
    )


def uplink(edge: Item) -> Item:
    """What the edge's host gets."""
    plan = planned(edge)
    assert not plan["hosts"]["kvm2"]["uplinks"] and not plan["reads"]["kvm2"]["uplinks"]
    assert plan["reads"]["kvm1"]["uplinks"]
    return t.cast(Item, plan["hosts"]["kvm1"]["uplinks"][0])


def heard(edge: Item) -> list[str]:
    """What the edge's own table takes of its routers."""
    content = planned(edge)["hosts"]["kvm1"]["nft_tables"][0]["content"]
    return [line.strip() for line in content.splitlines() if "l4proto 89" in line or "dport 179" in line]


def refused(edge: Item) -> list[str]:
    """What is refused."""
    with pytest.raises(PlanError) as caught:
        planned(edge)
    return caught.value.problems


def test_ospf_is_spoken_outside_and_announces_the_segments() -> None:
    item = uplink(OSPF)
    assert item["announce"] == ["10.1.1.0/24", "2001:db8:1::/64", "10.1.2.0/24"]
    assert item["router_id"] == "10.9.0.1" and item["asn"] is None and item["neighbors"] == []
    assert item["ospf"] == {
        "interfaces": ["out"],
        "families": ["ipv4", "ipv6"],
        "area": "0.0.0.0",
        "cost": 10,
        "hello_interval": 1,
        "dead_interval": 4,
    }
    assert heard(OSPF) == ['iifname "out" meta l4proto 89 accept'] and heard(EDGE) == []
    assert planned(EDGE)["hosts"]["kvm1"]["uplinks"] == []


def test_what_nat_translates_is_not_announced() -> None:
    assert uplink({**OSPF, "nat": [{"from": "web", "out": "out"}]})["announce"] == ["2001:db8:1::/64", "10.1.2.0/24"]
    assert uplink({**OSPF, "nat": [{"from": "10.1.0.0/16", "out": "out"}]})["announce"] == ["2001:db8:1::/64"]
    # A part of it is.
    assert "10.1.2.0/24" in uplink({**OSPF, "nat": [{"from": "10.1.2.0/25", "out": "out"}]})["announce"]


def test_bgp_speaks_from_the_address_on_the_neighbors_segment() -> None:
    six = {"address": "2001:db8:9::fe", "asn": "1.1"}
    edge = {**EDGE, "bgp": {"asn": "64512", "neighbors": [PEER, six]}}
    item = uplink(edge)
    assert item["asn"] == 64512 and item["ospf"] is None
    assert item["neighbors"] == [
        {"address": "10.9.0.254", "local": "10.9.0.1", "asn": 64500},
        {"address": "2001:db8:9::fe", "local": "2001:db8:9::1", "asn": 65537},
    ]
    assert heard(edge) == [
        'iifname "out" ip saddr 10.9.0.254 tcp dport 179 accept',
        'iifname "out" ip6 saddr 2001:db8:9::fe tcp dport 179 accept',
    ]


def test_of_two_hosts_both_speak_from_their_own_address_and_the_active_one_announces() -> None:
    legs = [WEB, DB, {**OUT, "host_addresses": ["10.9.0.3", "10.9.0.4"]}]
    nat = [{"from": "db", "out": "out"}]
    edge = {**EDGE, "hosts": ["kvm1", "kvm2"], "legs": legs, "nat": nat, "ospf": {}, "bgp": BGP["bgp"]}
    plan = planned(edge)
    for host, own in {"kvm1": "10.9.0.3", "kvm2": "10.9.0.4"}.items():
        item, vrrp = plan["hosts"][host]["uplinks"][0], plan["hosts"][host]["vrrp"][0]
        assert item["router_id"] == own and item["neighbors"][0]["local"] == own
        assert item["ospf"]["families"] == ["ipv4", "ipv6"]
        assert item["announce"] == [] and item["announce_table"] == vrrp["table"] == 101
        # What NAT translates has no route there, and neither has the network outside.
        routes = {leg["interface"]: leg["routes"] for leg in vrrp["interfaces"]}
        assert routes == {"web": ["10.1.1.0/24", "2001:db8:1::/64"], "db": [], "out": []}
    assert plan["edges"][0]["announces"] == ["10.1.1.0/24", "2001:db8:1::/64"]
    # Without a router outside, nothing is announced.
    assert "table" not in planned({**edge, "ospf": None, "bgp": None})["hosts"]["kvm1"]["vrrp"][0]
    assert uplink(OSPF)["announce_table"] is None


def test_who_may_have_learned_a_way_is_not_held_to_silence() -> None:
    def silent(edge: Item) -> set[tuple[str, str]]:
        points = {"kvm1": [("web1", "web"), ("db1", "db")], "kvm2": [("client", "out")]}
        rules = [{"name": "all", "from": ["web", "db"], "to": ["out"]}]
        plan = planned(edge, points, fabric_policy=rules)
        assert plan["edges"][0]["announces"] == (["2001:db8:1::/64", "10.1.2.0/24"] if "ospf" in edge else [])
        found = expectations(plan)["isolated"]
        return {(one["from"], one["to"]) for one in found if "kvm2/client" in (one["from"], one["to"])}

    # web is translated, and outside has no IPv6, so that db alone can be learned of.
    legs = [WEB, DB, {**OUT, "address6": None}]
    edge = {**EDGE, "legs": legs, "nat": [{"from": "web", "out": "out"}]}
    without = silent(edge)
    assert ("kvm1/db1", "kvm2/client") in without and ("kvm1/web1", "kvm2/client") not in without
    # Nobody outside may begin, whatever he has learned.
    assert without - silent({**edge, "ospf": {}}) == {("kvm1/db1", "kvm2/client")}
    assert ("kvm2/client", "kvm1/db1") in silent({**edge, "ospf": {}})


@pytest.mark.parametrize("edge", [OSPF, BGP], ids=["ospf", "bgp"])
def test_verify_wants_the_default_route_and_the_sessions(edge: Item) -> None:
    wanted = host_state(planned(edge)["hosts"]["kvm1"])
    hop = [{"via": "10.9.0.254", "interface": "out"}]
    sessions = {peer["address"]: "Established" for peer in edge.get("bgp", {}).get("neighbors", ())}
    families = ["ipv4", "ipv6"] if edge is OSPF else ["ipv4"]
    row = {"name": "edge", "running": True, "namespace": "edge", "sessions": sessions}
    row["defaults"] = dict.fromkeys(families, hop)

    def check(**change: t.Any) -> Item:
        checks = state.judge("kvm1", wanted, {"uplinks": [{**row, **change}]})
        return next(one for one in checks if one["kind"] == "uplink")

    assert check()["passed"] and check()["thing"] == "edge"
    assert not check(defaults={})["passed"] and "default_routes" in check(defaults={})["observed"]
    assert not check(running=False)["passed"]
    assert edge is OSPF or not check(sessions={"10.9.0.254": "Active"})["passed"]


@pytest.mark.parametrize(
    ("edge", "said"),
    [
        (
            {
                **BGP,
                "hosts": ["kvm1", "kvm2"],
                "legs": [WEB, DB, {**OUT, "host_addresses": ["10.9.0.2", "10.9.0.254"]}],
            },
            "fabric_edges[edge].bgp.neighbors[0].address 10.9.0.254 is the edge's own; give that of the other router.",
        ),
        (
            {**EDGE, "legs": [WEB, DB], "ospf": {}},
            "fabric_edges[edge].ospf finds no router, as all legs are gateways of their segments; give gateway: false to the leg that leads outside.",
        ),
        (
            {**OSPF, "routes": [{"to": "default", "via": "10.9.0.254"}]},
            "fabric_edges[edge].routes has a default route via 10.9.0.254, which ospf is to bring; leave one of them out.",
        ),
        (
            {**EDGE, "ospf": {"hello_interval": 10, "dead_interval": 10}},
            "fabric_edges[edge].ospf.dead_interval 10 is not above hello_interval 10; give four times that.",
        ),
        (
            {**EDGE, "ospf": {"area": "backbone"}},
            "fabric_edges[edge].ospf.area 'backbone' is no area; write it as a number or with dots, such as 1 or 0.0.0.1.",
        ),
        (
            {**EDGE, "bgp": {"asn": "64512", "neighbors": []}},
            "fabric_edges[edge].bgp.neighbors is empty; name the routers that it has sessions with.",
        ),
        (
            {**EDGE, "bgp": {"asn": "64512", "neighbors": [{**PEER, "address": "10.8.0.1"}]}},
            "fabric_edges[edge].bgp.neighbors[0].address 10.8.0.1 is on none of the edge's segments; give an address of a router there.",
        ),
        (
            {**EDGE, "bgp": {"asn": "64512", "neighbors": [{**PEER, "address": "10.9.0.1"}]}},
            "fabric_edges[edge].bgp.neighbors[0].address 10.9.0.1 is the edge's own; give that of the other router.",
        ),
        (
            {**EDGE, "bgp": {"asn": "64512", "neighbors": [PEER, PEER]}},
            "fabric_edges[edge].bgp.neighbors has 10.9.0.254 twice; give it once.",
        ),
    ],
)
def test_what_is_refused(edge: Item, said: str) -> None:
    assert refused(edge) == [said]


def test_a_router_of_ovn_takes_none() -> None:
    with pytest.raises(PlanError) as caught:
        planned(
            {"name": "edge", "legs": [WEB, DB], "ospf": {}},
            fabric_overlays=[{"name": "ov", "engine": "ovn", "encapsulation": "geneve"}],
        )
    said = "fabric_edges[edge].ospf is for an edge with a namespace, and OVN's router has none in which somebody could speak; give it routes instead."
    assert said in caught.value.problems

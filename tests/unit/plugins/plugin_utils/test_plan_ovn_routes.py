# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes for what comes from one source: policies of OVN's router, and what is refused with which sentence."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.causes import World
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import host_state
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.test_plan_ovn import (
    EDGE,
    Item,
    central,
    planned,
)


def routed(*routes: Item) -> Item:
    """The router of OVN with these routes."""
    (router,) = central(planned(fabric_edges=[{**EDGE, "routes": list(routes)}]))["northbound"]["routers"]
    return t.cast(Item, router)


# What all others take, without which OVN asks for no source.
PLAIN = [{"to": "default", "via": "10.1.2.8"}, {"to": "::/0", "via": "2001:db8:1::8"}]


def policies(*routes: Item) -> list[Item]:
    """The policies that are there for routes alone."""
    return [one for one in routed(*PLAIN, *routes)["policies"] if one["priority"] >= 1000]


WEB4 = 'inport == "test/gw:web" && ip4.src == 10.1.1.0/24'
FIREWALL = {"from": "web", "to": "default", "via": "10.1.2.9"}


def test_a_route_of_a_source_is_a_policy_and_no_route_and_what_is_for_the_edges_segments_stays() -> None:
    router = routed(PLAIN[0], FIREWALL)
    assert router["static_routes"] == [{"ip_prefix": "0.0.0.0/0", "nexthop": "10.1.2.8"}]
    own, rerouted = policies(FIREWALL)
    assert own["match"] == f"{WEB4} && ip4.dst == {{10.1.1.0/24, 10.1.2.0/24}}" and own["action"] == "allow"
    assert rerouted == {"priority": 1024, "match": WEB4, "action": "reroute", "nexthops": ["10.1.2.9"]}
    assert own["priority"] > rerouted["priority"]
    # What holds sources to their segments is as without it.
    assert [one for one in router["policies"] if one["priority"] < 1000] == routed()["policies"]


def test_the_longest_destination_wins_then_the_longest_source_and_next_hops_share() -> None:
    found = policies(
        FIREWALL,
        {"from": "web", "to": "default", "via": "10.1.2.10"},
        {"from": "10.1.1.66", "to": "default", "via": "10.1.2.11"},
        {"from": "web", "to": "10.0.0.0/8", "via": "10.1.2.12"},
        {"from": "web", "to": "default", "via": "2001:db8:1::9"},
    )
    hops = {one["match"]: one for one in found if one["action"] == "reroute"}
    assert hops[WEB4]["nexthops"] == ["10.1.2.9", "10.1.2.10"]
    one, narrow = WEB4.replace("10.1.1.0/24", "10.1.1.66/32"), f"{WEB4} && ip4.dst == 10.0.0.0/8"
    assert hops[WEB4]["priority"] < hops[one]["priority"] < hops[narrow]["priority"]
    assert hops['inport == "test/gw:web" && ip6.src == 2001:db8:1::/64']["nexthops"] == ["2001:db8:1::9"]
    # No destination is as long as to come before what is the edge's own.
    longest = policies({"from": "web", "to": "2001:db8:9::1/128", "via": "2001:db8:1::9"})
    assert longest[0]["action"] == "allow" and longest[0]["priority"] > longest[1]["priority"]


@pytest.mark.parametrize(
    ("routes", "sentence"),
    [
        (
            [{**FIREWALL, "from": "wep"}],
            r"fabric_edges\[gw\].routes.from wep is no segment of the edge that it is the gateway of, .*; did you mean web",
        ),
        ([{**FIREWALL, "from": "10.3.0.0/24"}], "from 10.3.0.0/24 is no segment of the edge"),
        ([{**FIREWALL, "from": "db", "via": "2001:db8:1::9"}], "from db to default via 2001:db8:1::9 has a source of"),
        (
            [{**FIREWALL, "via": "10.8.0.1"}],
            "via 10.8.0.1 has a next hop on none of the edge's segments; give one there",
        ),
        ([{**FIREWALL, "via": "10.1.2.1"}], "via 10.1.2.1 leads to the edge itself; give the address of another"),
        ([{**FIREWALL, "to": "10.1.2.0/25"}], "is for 10.1.2.0/24, a segment of the edge, where it leads itself"),
        (
            [FIREWALL, {"to": "0.0.0.0/1", "via": "10.1.2.8"}],
            "from web to default via 10.1.2.9 has no route without a source to the same place, .* state one for all others",
        ),
        ([FIREWALL, {**FIREWALL, "to": "0.0.0.0/0"}], "from web to 0.0.0.0/0 via 10.1.2.9 is there twice"),
        ([{**FIREWALL, "to": "2001:db8::/32"}], "both must be of the same address family"),
    ],
)
def test_what_is_wrong_with_a_source_is_refused(routes: list[Item], sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        routed(*routes)


def test_routes_without_a_source_cover_one_together() -> None:
    halves = [{"to": to, "via": "10.1.2.8"} for to in ("0.0.0.0/1", "128.0.0.0/1")]
    assert len(routed(FIREWALL, *halves)["static_routes"]) == 2


def test_in_a_namespace_a_route_has_no_source() -> None:
    edge = {**EDGE, "hosts": ["kvm1"], "routes": [FIREWALL]}
    former = {"fabric_overlays": [{"name": "ov"}]}
    segments = [
        {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:1::/64"},
        {"name": "db", "vlan": 20, "subnet": "10.1.2.0/24"},
    ]
    with pytest.raises(
        PlanError, match="routes to default has a source, which is for an edge between segments with the engine ovn"
    ):
        planned(fabric_edges=[edge], fabric_segments=segments, **former)


# What OVN is asked ---------------------------------------------------------------------------------------------------------


def asked(*routes: Item) -> dict[str, Item]:
    """The questions about these routes, by their names."""
    hops = central(planned(fabric_edges=[{**EDGE, "routes": [*PLAIN, *routes]}]))["hops"]
    return {one["name"]: one for one in hops}


def test_a_packet_of_the_source_and_one_of_each_other_segment_are_asked_for() -> None:
    found = asked(FIREWALL, {"from": "10.1.1.128/25", "to": "default", "via": "10.1.2.10"})
    assert {name: one["nexthops"] for name, one in found.items()} == {
        "gw: 10.1.1.2 (web) to 198.51.100.1": ["10.1.2.9"],
        "gw: 10.1.1.129 (web) to 198.51.100.1": ["10.1.2.10"],
        "gw: 10.1.2.2 (db) to 198.51.100.1": ["10.1.2.8"],
    }
    one = found["gw: 10.1.1.2 (web) to 198.51.100.1"]
    assert (
        one["router"] == "test/gw" and 'inport == "test/gw:web"' in one["flow"] and "ip4.src == 10.1.1.2" in one["flow"]
    )
    # A source within a segment has its neighbors as the others, and of several routes the longest is theirs.
    alone = asked(
        {"from": "10.1.1.66", "to": "10.7.0.0/16", "via": "10.1.2.9"},
        {"to": "10.7.0.0/24", "via": "10.1.2.12"},
        {"to": "10.7.0.0/24", "via": "10.1.2.13"},
    )
    assert {name: one["nexthops"] for name, one in alone.items()} == {
        "gw: 10.1.1.66 (web) to 10.7.0.1": ["10.1.2.9"],
        "gw: 10.1.1.2 (web) to 10.7.0.1": ["10.1.2.12", "10.1.2.13"],
        "gw: 10.1.2.2 (db) to 10.7.0.1": ["10.1.2.12", "10.1.2.13"],
    }
    assert not asked()


def test_what_a_longer_destination_takes_is_asked_of_that_one() -> None:
    found = asked(
        FIREWALL, {"from": "web", "to": "198.51.100.0/24", "via": "10.1.2.10"}, {**FIREWALL, "via": "10.1.2.11"}
    )
    assert found["gw: 10.1.1.2 (web) to 198.51.100.1"]["nexthops"] == ["10.1.2.10"]
    assert found["gw: 10.1.1.2 (web) to 203.0.113.1"]["nexthops"] == ["10.1.2.9", "10.1.2.11"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["web", "db", "10.1.1.0/25", "10.1.1.64/26", "10.1.1.66", "10.1.2.128/25"]),
            st.sampled_from(
                ["default", "10.7.0.0/16", "10.7.0.0/24", "198.51.100.0/24", "203.0.113.1/32", "192.0.2.0/24"]
            ),
            st.sampled_from(["10.1.2.9", "10.1.2.10", "10.1.2.11"]),
        ),
        max_size=8,
        unique=True,
    )
)
@settings(max_examples=60, deadline=None)
def test_the_highest_policy_that_fits_a_question_has_its_next_hops(drawn: list[tuple[str, str, str]]) -> None:
    routes = [{"from": source, "to": to, "via": via} for source, to, via in drawn] + PLAIN[:1]
    plan = central(planned(fabric_edges=[{**EDGE, "routes": routes}]))
    (router,) = plan["northbound"]["routers"]
    for question in plan["hops"]:
        fitting = [
            one for one in router["policies"] if one["action"] == "reroute" and fits(one["match"], question["flow"])
        ]
        best = max(fitting, key=lambda one: one["priority"], default={"nexthops": ["10.1.2.8"]})
        assert sorted(question["nexthops"]) == sorted(best["nexthops"])


def fits(match: str, flow: str) -> bool:
    """Whether a packet of a question is one that a policy is for; ports, sources and destinations are all that it names."""
    said, wanted = (dict(part.split(" == ") for part in text.split(" && ")) for text in (flow, match))
    for field, value in wanted.items():
        if field not in said:
            continue
        inside = field.startswith("ip") and ipaddress.ip_address(said[field]) in ipaddress.ip_network(value)
        if not inside and said[field] != value:
            return False
    return True


# As ovn-trace 23.03 said it of a router, without the stages that change nothing.
TRACED = """# udp,reg14=0x2,dl_src=02:00:00:00:00:01,nw_src=10.1.1.2,nw_dst=198.51.100.1,nw_ttl=64

ingress(dp="test/gw", inport="test/gw:web")
-------------------------------------------
13. lr_in_ip_routing (northd.c:10521): ip4.dst == 0.0.0.0/0, priority 1, uuid 5bbe1a3b
    ip.ttl--;
    reg8[0..15] = 0;
    reg0 = 10.1.2.8;
    reg1 = 10.1.2.1;
    next;
14. lr_in_ip_routing_ecmp (northd.c:12072): reg8[0..15] == 0, priority 150, uuid 9a3ff4a5
    next;
15. lr_in_policy (northd.c:9541): inport == "test/gw:web" && ip4.src == 10.1.1.0/24, priority 1024, uuid 13aa1a3c
    reg0 = 10.1.2.9;
    reg1 = 10.1.2.1;
    next;
16. lr_in_policy_ecmp (northd.c:12238): reg8[0..15] == 0, priority 150, uuid 2a9c1a0e
    next;

ingress(dp="test/db", inport="test/db@gw")
------------------------------------------
15. lr_in_policy (northd.c:9541): 1, priority 1, uuid 13aa1a3d
    reg0 = 10.1.2.77;
"""


def held(said: t.Callable[[str], str]) -> dict[str, str]:
    """What verify says of the routes of sources, where a function gives the answer to each question by its name."""
    plan = planned(fabric_edges=[{**EDGE, "routes": [*PLAIN, FIREWALL, {**FIREWALL, "via": "10.1.2.10"}]}])
    (host,) = [host for host in plan["hosts"].values() if host["ovn_central"]]
    hops = {one["name"]: said(one["name"]) for one in host["ovn_central"]["hops"]}
    read = {"ovn": {"hops": hops, "northd": True, "chassis": [], "bindings": [], "nb_cfg": 0}, "unread": {}}
    checks = state.judge("kvm1", {"flows": {}, "hops": host_state(host)["hops"]}, read)
    assert {World(plan, {}).part_of_state(check) for check in checks} == {("ovn", "kvm1")}
    assert all("ovn-trace test/gw 'inport ==" in check["look"] for check in checks)
    return {check["thing"]: check["observed"] for check in checks}


WEB, DB = "gw: 10.1.1.2 (web) to 198.51.100.1", "gw: 10.1.2.2 (db) to 198.51.100.1"


def test_verify_holds_the_next_hop_of_a_source_and_that_others_have_theirs() -> None:
    plain = TRACED.replace("10.1.2.9", "10.1.2.8")
    answers = {WEB: TRACED, DB: plain}
    assert held(answers.__getitem__) == {WEB: "as planned", DB: "as planned"}
    # One of several next hops is as good as the other.
    assert held({**answers, WEB: TRACED.replace("10.1.2.9", "10.1.2.10")}.__getitem__)[WEB] == "as planned"
    assert held(lambda _name: plain) == {WEB: "nexthops 10.1.2.8", DB: "as planned"}
    assert held(lambda _name: TRACED) == {WEB: "as planned", DB: "nexthops 10.1.2.9"}
    dropped = TRACED.replace("    reg0 = 10.1.2.8;", "    drop;").partition("15. ")[0]
    assert held({**answers, WEB: dropped}.__getitem__)[WEB] == "nexthops not set"
    assert held({**answers, WEB: "error: unknown datapath"}.__getitem__)[WEB] == "nexthops unknown datapath"

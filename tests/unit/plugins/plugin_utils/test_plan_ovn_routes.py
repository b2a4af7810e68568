# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes for what comes from one source: policies of OVN's router, and what is refused with which sentence."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
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


def policies(*routes: Item) -> list[Item]:
    """The policies that are there for routes alone."""
    return [one for one in routed(*routes)["policies"] if one["priority"] >= 1000]


WEB4 = 'inport == "test/gw:web" && ip4.src == 10.1.1.0/24'
FIREWALL = {"from": "web", "to": "default", "via": "10.1.2.9"}


def test_a_route_of_a_source_is_a_policy_and_no_route_and_what_is_for_the_edges_segments_stays() -> None:
    router = routed({"to": "10.7.0.0/16", "via": "10.1.2.8"}, FIREWALL)
    assert router["static_routes"] == [{"ip_prefix": "10.7.0.0/16", "nexthop": "10.1.2.8"}]
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
        ([FIREWALL, {**FIREWALL, "to": "0.0.0.0/0"}], "from web to 0.0.0.0/0 via 10.1.2.9 is there twice"),
        ([{**FIREWALL, "to": "2001:db8::/32"}], "both must be of the same address family"),
    ],
)
def test_what_is_wrong_with_a_source_is_refused(routes: list[Item], sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        routed(*routes)


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

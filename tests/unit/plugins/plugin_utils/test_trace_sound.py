# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trace on what was read of sound fabrics, and of fabrics of which anything is missing: no false cause, and a verdict in each case."""

from __future__ import annotations

import functools
import itertools
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._capture.points import points, questions
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import draw, walk
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Packet, Route, TraceError
from ansible_collections.overloom.fabric.tests.unit.intents import INVENTORIES, SPEC, fabrics, inventory_plan, one_each
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils import (
    test_trace,
    test_trace_edges,
    test_trace_ovn,
)
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.test_plan_ovn import planned
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.test_plan_ovn_gateways import outside
from ansible_collections.overloom.fabric.tests.unit.trace_world import World

Item = t.Dict[str, t.Any]

OUTSIDE = ("203.0.113.9", "2001:db8:ffff::9")
MEASURED = (None, {"sent": 5, "received": 0}, {"sent": 5, "received": 5})
# Dictionaries of a reading whose keys are names of what is there.
NAMED = {
    "links",
    "bridges",
    "ports",
    "spaces",
    "traces",
    "guests",
    "units",
    "ids",
    "members",
    "options",
    "rp_filter",
    "arp_ignore",
}


@functools.lru_cache(maxsize=None)
def world(name: str) -> World:
    """The world of an inventory."""
    return World(inventory_plan(name)[0])


def all_ends(plan: Item) -> list[str]:
    """Whatever a trace may be from or to: endpoints, hosts, routers, addresses of edges, and of nobody."""
    legs = [leg for edge in plan["edges"] for leg in edge["legs"]]
    gateways = [leg[key] for leg in legs for key in ("address", "address6") if leg[key]]
    taken = [one["address"] for edge in plan["edges"] for one in [*edge["forwards"], *edge["floating"]]]
    points = [point["id"] for point in plan["endpoints"]]
    return list(dict.fromkeys([*points, *plan["hosts"], *plan["routers"], *gateways, *taken, *OUTSIDE]))


def ways(plan: Item) -> t.Iterator[Route]:
    """Each way that may be asked for."""
    for source, target in itertools.permutations(all_ends(plan), 2):
        try:
            yield Route(plan, source, target, Packet())
        except TraceError as error:
            assert str(error).endswith(".") or str(error).endswith("?"), error


def sound(here: World) -> int:
    """Judge each way of a sound fabric; returns how many of them the plan knows from end to end."""
    known = 0
    for way in ways(here.plan):
        report = walk.judge(way, here.seen(way), None)
        told = "\n".join(draw.lines(report))
        if (way.switched or way.crossed) and way.target.space != "":
            known += 1
            if report["died"] and report["died"]["planned"].startswith("the plan has no route of"):
                continue
            doubts = [*report["there"]["doubts"], *report["back"]["doubts"]]
            # A router of the intent's may have no way on to an address outside.
            assert report["passed"] and {one["cause"] for one in doubts} <= {"no-route"}, told
        assert report["died"] is None or report["died"]["cause"] == "no-route", told
        assert way.probe() is None or questions(way, points(way), True, {}), told
    return known


@pytest.mark.parametrize("name", INVENTORIES)
def test_no_way_of_a_sound_inventory_gives_an_alarm(name):
    here = world(name)
    pairs = [one for one in itertools.permutations(here.plan["endpoints"], 2) if one[0]["segment"] == one[1]["segment"]]
    assert sound(here) >= len(pairs)


def crowd() -> Item:
    """OVN with a gateway, a guest on it, a client of its DHCP, and somebody on each host in the provider network."""
    hosts = outside()
    for host in hosts.values():
        host["fabric_segments"] = [
            {**one, "dhcp": {}} if one["name"] == "web" else one for one in host["fabric_segments"]
        ]
    guest = {"kind": "guest", "guest": {"image": "lab"}}
    hosts["kvm1"]["fabric_endpoints"] += [
        {"name": "vm1", "segment": "web", **guest},
        {"name": "wan1", "segment": "wan"},
    ]
    client = {"name": "ask2", "segment": "web", "address": "dhcp"}
    hosts["kvm2"]["fabric_endpoints"] += [{"name": "vm2", "segment": "db", **guest}, client]
    return t.cast(Item, planned(hosts))


def over_ipv6() -> Item:
    """GRE and Geneve on an underlay with IPv6 alone."""
    common = {
        "fabric_name": "six",
        "fabric_underlay": {"subnet": "fd00:99::/64"},
        "fabric_overlays": [{"name": "gre", "encapsulation": "gre"}, {"name": "gnv", "bridge": "br-gnv"}],
        "fabric_segments": [
            {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "overlay": "gre"},
            {"name": "db", "vlan": 20, "subnet": "2001:db8::/64", "overlay": "gnv"},
        ],
    }
    hosts = {f"kvm{n}": {**common, "fabric_endpoints": one_each(n, ("web", "db"))} for n in (1, 2)}
    return t.cast(Item, compile_plan(hosts, SPEC))


PLANS = {
    "an underlay of IPv6": over_ipv6(),
    "routed, keys, a guest": test_trace.PLAN,
    "bonds": test_trace.BONDED,
    "both families": test_trace.DUAL,
    "an edge with NAT, RSTP and BGP": test_trace_edges.PLAN,
    "OVN on a routed underlay": test_trace_ovn.PLAN,
    "OVN with a gateway": crowd(),
}


@pytest.mark.parametrize("name", PLANS)
def test_no_way_of_a_sound_fabric_of_other_tests_gives_an_alarm(name):
    assert sound(World(PLANS[name]))


@settings(max_examples=12)
@given(fabrics(most=3))
def test_no_way_of_a_sound_random_fabric_gives_an_alarm(variables):
    sound(World(compile_plan(variables, SPEC)))


def places(value: t.Any, path: tuple = ()) -> t.Iterator[tuple[tuple, t.Any]]:
    """Each place of a reading, with what it may be instead; ... where it may be missing."""
    named = bool(path) and path[-1] in NAMED
    if isinstance(value, dict):
        for key, one in value.items():
            if named:
                yield (*path, key), ...
            yield from places(one, (*path, key))
    elif isinstance(value, list):
        yield path, []
        for number, one in enumerate(value):
            yield from places(one, (*path, number))
    elif isinstance(value, bool):
        yield path, not value
    elif isinstance(value, int):
        yield path, 0


def texts(value: t.Any, path: tuple = ()) -> t.Iterator[tuple[tuple, str]]:
    """Each text of a reading: addresses, states, names, and what FRR and OVN say."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        if isinstance(one, str):
            yield (*path, key), one
        yield from texts(one, (*path, key))


def otherwise(seen: Item) -> list[tuple[tuple, t.Any]]:
    """Each text with what stands elsewhere under the same key: another one's address, name or state."""
    words: dict[t.Any, set[str]] = {}
    for path, text in texts(seen):
        words.setdefault(path[-1], set()).add(text)
    return [(path, other) for path, text in texts(seen) for other in sorted(words[path[-1]] - {text})]


def changed(value: t.Any, path: tuple, other: t.Any) -> t.Any:
    """A copy with another value in one place."""
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    if path[1:] or other is not ...:
        copy[path[0]] = changed(copy[path[0]], path[1:], other)
    else:
        del copy[path[0]]
    return copy


def silent(seen: Item) -> list[tuple[tuple, t.Any]]:
    """Hosts, switches and databases that do not answer, and programs that are not installed."""
    logical = {"northd": None, "chassis": [], "bindings": [], "traces": {}, "ports": {}, "made": {}}
    switch = {"bridges": {}, "traces": {}, "ids": {}}
    found: list[tuple[tuple, t.Any]] = [((host,), {"unreachable": True, "msg": "timed out"}) for host in seen]
    found += [((host,), {"failed": True, "msg": "ip is not installed"}) for host in seen]
    found += [((host, "switch"), {"error": "no such file", **switch}) for host in seen if "switch" in seen[host]]
    found += [((host, "logical"), {"error": "refused", **logical}) for host in seen if "logical" in seen[host]]
    return [*found, *(((host, name), None) for host in seen for name in ("controller", "guests") if name in seen[host])]


@settings(max_examples=300)
@given(st.data())
def test_whatever_was_read_or_not_there_is_a_verdict_in_words(data):
    here = world(data.draw(st.sampled_from(INVENTORIES)))
    way = data.draw(
        st.sampled_from([one for one in ways(here.plan) if one.switched or one.crossed or not one.target.host])
    )
    seen = here.seen(way)
    for _number in range(data.draw(st.integers(1, 3))):
        kind = data.draw(
            st.sampled_from([lambda seen: [*places(seen)], otherwise, lambda _seen: silent(here.seen(way))])
        )
        spots = kind(seen)
        path, other = data.draw(st.sampled_from(spots or silent(here.seen(way))))
        if path[1:] and path[1] not in seen[path[0]]:
            continue
        seen = changed(seen, path, other)
    report = walk.judge(way, seen, data.draw(st.sampled_from(MEASURED)))
    assert all(line.strip() for line in draw.verdict(report)) and draw.sentence(report)
    assert report["passed"] or report["undecided"] or report["died"]["because"]


@pytest.mark.parametrize(
    "name,source,target,says",
    [
        (
            "tenants",
            "kvm1/acme-web1",
            "kvm1/bolt-web1",
            "both have the address 10.0.0.1, in segments that are kept apart",
        ),
        (
            "netns_service",
            "kvm1/web-outbound",
            "kvm2/client",
            "has kvm1/web on that segment, and sends by it; name kvm1/web",
        ),
    ],
)
def test_ends_between_which_no_packet_goes_so_are_refused(name, source, target, says):
    with pytest.raises(TraceError, match=says):
        Route(world(name).plan, source, target, Packet())


@pytest.mark.parametrize("target", ["kvm3/isp", "198.51.100.7", "10.9.0.20"])
def test_what_leaves_by_a_gateway_of_ovn_is_followed_to_it(target):
    """Its NAT gives the packet another header, so nothing of the far end is held against this one."""
    here = world("ovn")
    way = Route(here.plan, "kvm1/web1", target, Packet())
    report = walk.judge(way, here.seen(way), {"sent": 5, "received": 5})
    told = "\n".join(draw.lines(report))
    end = "endpoint  kvm3/isp" if target == "kvm3/isp" else "by edge acme, OVN's gateway on kvm2 or kvm1"
    assert report["passed"] and end in told, told
    assert report["to"] == target and report["back"]["hops"][0]["kind"] == "outside"


def test_a_vlan_of_the_underlay_itself_goes_by_the_nics():
    here = world("vxlan")
    way = Route(here.plan, "kvm1/office", "kvm2/office", Packet())
    seen = here.seen(way)
    told = "\n".join(draw.lines(walk.judge(way, seen, None)))
    assert "leaves by NIC eth1" in told and "underlay  kvm2: VLAN 30" in told, told
    assert seen["kvm2"]["switch"]["traces"], "the far switch is asked about what comes in by its NIC"
    for place, other, cause in (
        (("spaces", "", "links", "eth1", "carrier"), False, "underlay-down"),
        (("switch", "bridges", "br-underlay", "ports", "eth1", "trunks"), [10], "trunks"),
        (("switch", "bridges", "br-underlay", "ports", "eth1", "tag"), 4, "tag"),
    ):
        died = walk.judge(way, changed(seen, ("kvm2", *place), other), None)["died"]
        assert (died["cause"], died["at"]["host"]) == (cause, "kvm2"), died


@pytest.mark.parametrize("source", ["kvm1/edge", "kvm1/edge-db", "kvm2/edge"])
def test_the_virtual_address_of_an_edge_is_no_duplicate(source):
    here = world("edge_vrrp")
    way = Route(here.plan, source, "10.1.1.1", Packet())
    told = "\n".join(draw.lines(walk.judge(way, here.seen(way), None)))
    assert "● arrives" in told and "itself" not in told, told


@pytest.mark.parametrize("former,cause", [(True, "neighbor"), (False, "duplicate-address")])
def test_a_neighbor_from_before_a_failover_is_no_duplicate_address(former, cause):
    """Who still sends to the host that was active is served by it, too: answers make it a remark."""
    here = world("edge_vrrp")
    way = Route(here.plan, "kvm3/web3", "kvm3/db3", Packet())
    mac = next(point["mac"] for point in here.plan["endpoints"] if point["id"] == "kvm2/edge")
    entry = {"to": "10.1.1.1", "dev": "eth0", "mac": mac if former else "02:00:00:00:00:77", "state": "STALE"}
    seen = changed(here.seen(way), ("kvm3", "spaces", "web3", "neighbors"), [entry])
    report = walk.judge(way, seen, {"sent": 5, "received": 5})
    told = report["remark"] if former else report["died"]
    assert report["passed"] == former and told["cause"] == cause, report
    assert ("kvm2/edge's, where the edge is not active" in told["because"]) == former, told


VRRP = "overloom-keepalived-edge.service"


def held(seen, host, *taken):
    """What is read of an edge's host, with some or all of the virtual addresses of its interfaces."""
    links = seen[host]["spaces"]["edge"]["links"]
    every = {"web": ["10.1.1.1/32", "2001:db8:0:1::1/128"], "db": ["10.1.2.1/32", "2001:db8:0:2::1/128"]}
    every["outside"] = ["10.9.0.1/32", "10.9.0.8/32"]
    for dev, addresses in every.items():
        own = [one for one in links[dev]["addresses"] if one not in addresses and not one.endswith("/32")]
        now = own + [one for one in addresses if not taken or one in taken]
        seen = changed(seen, (host, "spaces", "edge", "links", dev, "addresses"), now)
    return seen


def deaf(chain):
    """A table with a rule against VRRP in a chain."""
    table = {"family": "inet", "table": "byhand"}
    based = {**table, "name": chain, "hook": chain, "prio": 0, "type": "filter", "policy": "accept"}
    match = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": "vrrp"}}
    return [{"chain": based}, {"rule": {**table, "chain": chain, "handle": 4, "expr": [match, {"drop": None}]}}]


@pytest.mark.parametrize(
    "place,other,says,mends",
    [
        (None, None, "at once, so that each answers for its addresses", "on kvm2: systemctl restart " + VRRP),
        (("kvm2", "units"), {VRRP: "failed"}, f"{VRRP} of kvm2/edge is failed", "on kvm2: systemctl restart " + VRRP),
        (
            ("kvm1", "spaces", "edge", "firewall"),
            deaf("input"),
            "inet byhand input: ip protocol vrrp drop",
            "on kvm1: ip netns exec edge nft delete rule inet byhand input handle 4",
        ),
        (
            ("kvm2", "spaces", "edge", "firewall"),
            deaf("output"),
            "inet byhand output: ip protocol vrrp drop",
            "on kvm2: ip netns exec edge nft delete rule inet byhand output handle 4",
        ),
        (
            ("kvm2", "switch", "bridges", "br-int", "ports", "v-edge-db", "tag"),
            77,
            "port v-edge-db on kvm2 has tag 77",
            "on kvm2: ovs-vsctl set port v-edge-db tag=20",
        ),
    ],
)
@pytest.mark.parametrize("both", [True, False])
def test_what_keeps_the_routers_of_an_edge_from_each_other_is_told(place, other, says, mends, both):
    """Where both are active it is why; where one is, the other could not take over."""
    here = world("edge_vrrp")
    way = Route(here.plan, "kvm1/web1", "kvm3/db3", Packet())
    seen = held(here.seen(way), "kvm2") if both else here.seen(way)
    seen = changed(seen, place, other) if place else seen
    report = walk.judge(way, seen, {"sent": 5, "received": 5})
    told = report["remark"]
    assert report["passed"]
    if not both and place is None:
        assert told is None
        return
    assert says in told["because"] and mends in told["mend"], told
    assert ("is active on kvm1 and kvm2 at once" in told["because"]) == both, told
    lost = walk.judge(way, seen, {"sent": 5, "received": 0})
    assert not both or lost["died"]["because"] == told["because"], lost["died"]


def test_a_virtual_address_that_keepalived_has_not_put_there_is_told():
    here = world("edge_vrrp")
    way = Route(here.plan, "kvm1/web1", "kvm3/db3", Packet())
    seen = held(here.seen(way), "kvm2", "10.1.1.1/32")
    told = walk.judge(way, seen, {"sent": 5, "received": 5})["remark"]
    assert told["mend"] == "on kvm2: ip -n edge address del 10.1.1.1/32 dev web", told


@pytest.mark.parametrize("former", ["kvm1/edge", "kvm2/edge"])
@pytest.mark.parametrize("both", [True, False])
def test_whom_the_sender_knows_as_the_edge_decides_where_it_is_crossed(former, both):
    """Of two active hosts, the one that it sends to; of none, that one's service is the reason, and not who remembers it."""
    here = world("edge_vrrp")
    way = Route(here.plan, "kvm3/web3", "kvm3/db3", Packet())
    mac = next(point["mac"] for point in here.plan["endpoints"] if point["id"] == former)
    seen = here.seen(way)
    seen = held(seen, "kvm2") if both else held(seen, "kvm1", "nothing")
    seen = changed(seen, ("kvm1", "units"), {VRRP: "active" if both else "inactive"})
    seen = changed(seen, ("kvm2", "units"), {VRRP: "active" if both else "inactive"})
    entry = {"to": "10.1.1.1", "dev": "eth0", "mac": mac, "state": "STALE"}
    report = walk.judge(way, changed(seen, ("kvm3", "spaces", "web3", "neighbors"), [entry]), None)
    if both:
        assert former in [hop["name"] for hop in report["there"]["hops"]] and not report["died"], report["died"]
    else:
        assert report["died"]["cause"] == "service-down" and report["died"]["at"]["name"] == former, report["died"]
        for host in ("kvm1", "kvm2"):
            seen = changed(seen, (host, "units"), {VRRP: "active"})
        assert walk.judge(way, seen, None)["died"]["cause"] == "address"


@pytest.mark.parametrize("received", [0, 5])
def test_segments_that_are_kept_apart_are_told_where_the_sender_is_not_read(received):
    """A guest may send by any route; where an answer came, somebody leads there."""
    here = world("tenants")
    way = Route(here.plan, "kvm2/acme-vm", "kvm3/bolt-web3", Packet())
    report = walk.judge(way, here.seen(way), {"sent": 5, "received": received})
    assert report["passed"] == bool(received), report
    if not received:
        assert (report["died"]["cause"], report["undecided"]) == ("no-route", False), report
        assert "segments acme-web and bolt-web are kept apart" in report["died"]["because"], report


def test_a_target_is_refused_whose_address_is_somebody_elses_for_the_source():
    """Else an answer of the other tenant's endpoint would count."""
    plan = world("ovn").plan
    with pytest.raises(TraceError, match=r"10\.1\.1\.65 is that of kvm1/web1 there, .*; name kvm1/web1\."):
        Route(plan, "kvm3/db3", "kvm1/bolt-web1", Packet())
    assert Route(plan, "kvm3/db3", "kvm1/web1", Packet()).target.id == "kvm1/web1"
    assert Route(plan, "kvm2/bolt-vm2", "kvm1/bolt-web1", Packet()).target.id == "kvm1/bolt-web1"

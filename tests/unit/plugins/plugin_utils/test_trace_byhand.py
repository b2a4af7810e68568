# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""More of what a person may break by hand. The sound reading is the control: each test changes one thing in it."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import counters, nft, underlay
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import Path, View
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Packet, Route
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils import test_trace, test_trace_edges
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.test_trace import (
    ANSWERED,
    DROP,
    GRE,
    KEY,
    NIC,
    SILENT,
    SOUND,
    VM,
    WEB,
    WRONG,
    both,
    link,
    port,
    put,
    routed,
    rules,
    the_space,
    unrouted,
    verdict,
)
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.test_trace_kernel import (
    ACCEPT,
    DPORT,
    MET,
    SADDR,
    match,
    ruleset,
)

Item = t.Dict[str, t.Any]
HOSTS = ("kvm1", "kvm2")
ECHO = {"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": "echo-request"}}


def tunnel(host: str, **options: str) -> t.Callable[[Item], None]:
    """Another tunnel on a host, to the same far end."""

    def change(seen: Item) -> None:
        ports = seen[host]["switch"]["bridges"]["br-int"]["ports"]
        keyed = seen[host]["switch"]["bridges"]["br-key"]["ports"]
        (planned,) = [row for name, row in keyed.items() if name.startswith("keyed-")]
        ports["evil"] = {**planned, "options": {**planned["options"], **options}}

    return change


def overridden(to: str, dev: str) -> t.Callable[[Item], None]:
    return lambda seen: seen["kvm1"]["switch"].update(overridden=[{"to": to, "dev": dev, "line": ""}])


def having(host: str, space: str, dev: str, address: str) -> t.Callable[[Item], None]:
    return lambda seen: seen[host]["spaces"][space]["links"][dev]["addresses"].append(address)


def with_nic(host: str) -> t.Callable[[Item], None]:
    return lambda seen: seen[host]["spaces"][""]["links"].update(eth9=copy.deepcopy(NIC))


# What is changed, which packet, and cause, host and words of the sentence.
CERTAIN = {
    "tunnel endpoint of another on a host": (
        having("kvm1", "", "lo", "192.168.200.2/32"),
        WEB,
        "duplicate-address",
        "kvm1",
        "has the address 192.168.200.2",
    ),
    "route of a host to a NIC of nobody": (
        both(with_nic("kvm1"), routed("kvm1", "192.168.200.2", metric=-1, hops=[{"via": None, "dev": "eth9"}])),
        WEB,
        "wrong-route",
        "kvm1",
        "leads to eth9, where nobody has it",
    ),
    "route of a router to a NIC of nobody": (
        both(with_nic("r1"), routed("r1", "192.168.200.2", metric=-1, hops=[{"via": None, "dev": "eth9"}])),
        WEB,
        "wrong-route",
        "r1",
        "leads to eth9",
    ),
    "router's interface in a bridge": (put(link("r1", "", "eth2"), master="br9"), WEB, "enslaved", "r1", "eth2 on r1"),
    "rule before routing at a host": (
        put(the_space("kvm2"), firewall=rules("prerouting", ECHO, DROP)),
        HOSTS,
        "firewall",
        "kvm2",
        "icmp type echo-request drop",
    ),
    "prefix length of a link": (
        both(
            put(link("r1", "", "eth2"), addresses=["10.254.0.19/32"]),
            unrouted("r1", "10.254.0.18/31"),
            unrouted("r1", "192.168.200.2"),
        ),
        WEB,
        "underlay-address",
        "r1",
        "10.254.0.19/32, another prefix length",
    ),
}
SOUND_TOO = {
    "rule of another hook": (put(the_space("kvm2"), firewall=rules("postrouting", ECHO, DROP)), HOSTS),
    "an address beside": (having("kvm1", "", "lo", "192.0.2.9/32"), WEB),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_what_a_person_breaks_is_named(name: str) -> None:
    change, ends, cause, host, says = CERTAIN[name]
    seen = copy.deepcopy(SOUND)
    change(seen)
    died = verdict(seen, ends)["died"]
    assert died and (died["cause"], died["at"]["host"]) == (cause, host), died
    assert says in died["because"] and died["mend"], died


@pytest.mark.parametrize("name", SOUND_TOO)
def test_what_breaks_nothing_is_no_alarm(name: str) -> None:
    change, ends = SOUND_TOO[name]
    seen = copy.deepcopy(SOUND)
    change(seen)
    report = verdict(seen, ends)
    assert report["passed"] and not report["remark"], report["died"] or report["remark"]


@pytest.mark.parametrize("found,died", [(WRONG, True), (None, False)])
def test_a_guest_with_another_mac_address_is_named(found: str | None, died: bool) -> None:
    seen, way = copy.deepcopy(SOUND), Route(test_trace.PLAN, *VM, Packet())
    row = seen["kvm2"]["switch"]["bridges"][way.target.bridge]["ports"][way.target.port]
    row["attached_mac"] = found or way.target.mac
    report = verdict(seen, VM)
    assert bool(report["died"]) is died
    if died:
        assert (report["died"]["cause"], report["died"]["at"]["name"]) == ("mac", "kvm2/vm2"), report["died"]


def hops(*vias: str) -> t.Callable[[Item], None]:
    """The router's route to the far tunnel endpoint by several next hops."""
    ways = [{"via": via, "dev": "eth2"} for via in vias]
    return both(unrouted("r1", "192.168.200.2"), routed("r1", "192.168.200.2", hops=ways))


SUSPECTS = {
    "MTU of a router's route": (
        both(
            unrouted("r1", "192.168.200.2"),
            routed("r1", "192.168.200.2", mtu=100, hops=[{"via": "10.254.0.18", "dev": "eth2"}]),
        ),
        "mtu",
        "r1",
        "the MTU 100 of the route of r1",
    ),
    "one of several next hops": (hops("10.254.0.18", "10.254.0.77"), "wrong-route", "r1", "one of 2 next hops"),
    "filters at an interface": (put(link("kvm2", "web2", "eth0"), filters=True), "queue", "kvm2/web2", "filters of tc"),
    "filters at a port": (put(link("kvm2", "", "v-web2"), filters=True), "queue", "v-web2", "filters of tc"),
    "rate of a NIC": (put(port("kvm2", "br-underlay", "eth1"), policing=8), "policing", "kvm2", "eth1 on kvm2"),
    "connections of a zone": (
        lambda seen: seen["kvm2"]["switch"].update(zones={"5": [3, 3]}),
        "conntrack-full",
        "br-int",
        "3 connections of zone 5",
    ),
    "switch that waits": (
        lambda seen: seen["kvm2"]["switch"].update(paused=True),
        "ovs-down",
        "br-int",
        "flow-restore-wait",
    ),
    "connections of each zone": (
        lambda seen: seen["kvm2"]["switch"].update(zones={"default": [1, None]}),
        "conntrack-full",
        "br-int",
        "1 connections of each zone",
    ),
    "TTL that a rule writes": (
        put(
            the_space("r1"),
            firewall=rules(
                "forward", GRE, {"mangle": {"key": {"payload": {"protocol": "ip", "field": "ttl"}}, "value": 1}}
            ),
        ),
        "firewall",
        "r1",
        "ip ttl set 1",
    ),
}


@pytest.mark.parametrize(
    "options,at",
    [
        ({"key": "5001"}, "keyed-kvm1"),
        ({"in_key": "0x1389", "key": ""}, "keyed-kvm1"),
        ({"key": "5002"}, None),
        ({"key": "5001", "remote_ip": "192.168.200.77"}, None),
    ],
)
def test_another_tunnel_with_the_key_of_a_segment_is_a_suspect(options: dict[str, str], at: str | None) -> None:
    seen = copy.deepcopy(SOUND)
    tunnel("kvm2", **options)(seen)
    assert verdict(seen, KEY, measured=ANSWERED)["passed"] and verdict(seen, KEY)["passed"]
    report = verdict(seen, KEY, measured=SILENT)
    assert report["undecided"] is (at is None)
    assert at is None or (report["died"]["cause"], report["died"]["at"]["name"]) == ("tunnel-key", at)


@pytest.mark.parametrize(
    "to,suspect", [("192.168.200.2/32", True), ("192.168.0.0/16", True), ("198.51.100.0/24", False)]
)
def test_a_route_of_the_switch_is_a_suspect(to: str, suspect: bool) -> None:
    seen = copy.deepcopy(SOUND)
    overridden(to, "br-int")(seen)
    assert verdict(seen)["passed"]
    report = verdict(seen, measured=SILENT)
    assert report["undecided"] is not suspect
    assert not suspect or (report["died"]["cause"] == "tunnel-route" and to in report["died"]["mend"])


@pytest.mark.parametrize("name", SUSPECTS)
def test_what_may_stop_packets_is_a_cause_when_they_are_lost(name: str) -> None:
    change, cause, at, says = SUSPECTS[name]
    seen = copy.deepcopy(SOUND)
    change(seen)
    assert verdict(seen)["passed"] and verdict(seen, measured=ANSWERED)["passed"]
    died = verdict(seen, measured=SILENT)["died"]
    assert died and (died["cause"], died["at"]["name"]) == (cause, at) and says in died["because"], died


@pytest.mark.parametrize(
    "change",
    [
        hops("10.254.0.18"),
        lambda seen: seen["kvm2"]["switch"].update(zones={"5": [3, 2]}),
        put(
            the_space("r1"),
            firewall=rules("forward", GRE, {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}),
        ),
        put(link("kvm2", "web2", "eth0"), filters=False),
    ],
)
def test_what_stops_nothing_is_no_suspect(change: t.Callable[[Item], None]) -> None:
    seen = copy.deepcopy(SOUND)
    change(seen)
    assert verdict(seen, measured=SILENT)["undecided"]


def test_a_prefix_length_of_an_edge_is_the_reason_of_its_route() -> None:
    seen = copy.deepcopy(test_trace_edges.SOUND)
    test_trace_edges.unrouted("kvm1", "10.1.2.0/24", "edge")(seen)
    assert test_trace_edges.verdict(seen, test_trace_edges.ROUTED)["died"]["cause"] == "wrong-route"
    links = seen["kvm1"]["spaces"]["edge"]["links"]
    links["db"]["addresses"] = [one.replace("10.1.2.1/24", "10.1.2.1/32") for one in links["db"]["addresses"]]
    died = test_trace_edges.verdict(seen, test_trace_edges.ROUTED)["died"]
    assert died["cause"] == "address" and "10.1.2.1/32, another prefix length" in died["because"], died


def test_one_of_several_next_hops_of_an_endpoint_that_leads_elsewhere_is_told() -> None:
    seen = copy.deepcopy(SOUND)
    ways = [{"via": None, "dev": "eth0"}, {"via": "10.1.1.9", "dev": "eth0"}]
    routed("kvm1", "10.1.1.66", "web1", hops=ways)(seen)
    died = verdict(seen)["died"]
    assert died["cause"] == "wrong-route" and "via 10.1.1.9" in died["because"], died
    seen = copy.deepcopy(SOUND)
    routed("kvm1", "10.1.1.66", "web1", hops=ways[:1])(seen)
    assert verdict(seen)["passed"]


@pytest.mark.parametrize("hook", ["prerouting", "output"])
def test_rules_against_ospf_and_bgp_count_at_each_hook(hook: str) -> None:
    seen = test_trace_edges.copy.deepcopy(test_trace_edges.SOUND)
    test_trace_edges.unrouted("tor", "192.168.200.3")(seen)
    test_trace_edges.session("tor", "10.99.3.1", state="Active")(seen)
    of_bgp = match({"meta": {"key": "l4proto"}}, "tcp")
    seen["kvm3"]["spaces"][""]["firewall"] = rules(hook, of_bgp, DROP)
    died = test_trace_edges.verdict(seen, test_trace_edges.ROUTED)["died"]
    assert (died["cause"], died["at"]["host"]) == ("firewall", "kvm3"), died
    seen = test_trace.without_adjacency({})
    of_ospf = match({"payload": {"protocol": "ip", "field": "protocol"}}, 89)
    seen["kvm2"]["spaces"][""]["firewall"] = rules(hook, of_ospf, DROP)
    died = verdict(seen, WEB)["died"]
    assert (died["cause"], died["at"]["host"]) == ("firewall", "kvm2"), died


def test_a_flat_underlay_with_another_prefix_length_is_told() -> None:
    """Hosts on one wire have no router, and the kernel makes their route."""
    plan = test_trace.BONDED
    tep = plan["hosts"]["kvm1"]["underlay"]["tep"]["name"]
    for address, says in (("192.168.200.1/32", "192.168.200.1/32, another prefix length"), ("192.168.200.1/24", "")):
        space = {"links": {tep: {**NIC, "name": tep, "addresses": [address]}}, "routes": []}
        below = underlay.Underlay(View(plan, {"kvm1": {"spaces": {"": space}}}))
        died = underlay._unrouted(below, Path(), "kvm1", underlay.Outer("192.168.200.1", "192.168.200.2", 99), "")
        assert died.cause == ("underlay-address" if says else "no-route") and says in died.because


def test_a_table_of_neighbors_that_is_full_is_told_by_its_counter() -> None:
    report = verdict(copy.deepcopy(SOUND), measured=SILENT)
    after = copy.deepcopy(SOUND)
    after["kvm2"]["spaces"]["web2"]["discards"] = {"NeighborTableFull": 5}
    counters.decide(Route(test_trace.PLAN, *WEB, Packet()), report, SOUND, after)
    assert report["died"]["cause"] == "neighbor-table-full" and "gc_thresh" in report["died"]["mend"]


def named(kind: str, *elements: t.Any) -> Item:
    return {kind: {"family": "inet", "table": "t", "name": "s", "elem": [*elements]}}


NET = {"prefix": {"addr": "10.1.0.0", "len": 16}}
SOURCE_AND_PORT = {"concat": [SADDR, DPORT]}


@pytest.mark.parametrize(
    "elements,dropped",
    [
        (["10.1.1.1"], True),
        ([NET], True),
        ([{"range": ["10.1.1.0", "10.1.1.9"]}], True),
        ([{"elem": {"val": "10.1.1.1", "counter": {"packets": 1}}}], True),
        (["10.1.1.9"], False),
        ([], False),
    ],
)
def test_a_named_set_decides_by_its_elements(elements: list[t.Any], dropped: bool) -> None:
    rule = ruleset([match(SADDR, "@s"), DROP])
    found = nft.verdict([named("set", *elements), *rule], "input", MET)
    assert bool(found) is dropped
    assert not found or (found.certain and found.rule.endswith("ip saddr @s drop"))
    # One that is not listed is not told.
    unsaid = nft.verdict(rule, "input", MET)
    assert unsaid and not unsaid.certain


@pytest.mark.parametrize(
    "key,pairs,dropped",
    [
        (SADDR, [["10.1.1.1", DROP], [NET, ACCEPT]], True),
        (SADDR, [["10.1.1.9", DROP], [NET, ACCEPT]], False),
        (SADDR, [["10.1.1.9", DROP]], False),
        (SADDR, [[{"elem": {"val": "10.1.1.1"}}, DROP]], True),
        (DPORT, [[80, {"jump": {"target": "other"}}]], True),
        (DPORT, [[81, {"jump": {"target": "other"}}]], False),
        (SOURCE_AND_PORT, [[{"concat": ["10.1.1.1", 80]}, DROP]], True),
        (SOURCE_AND_PORT, [[{"concat": ["10.1.1.1", 81]}, DROP]], False),
    ],
)
@pytest.mark.parametrize("by_name", [False, True])
def test_a_map_of_verdicts_decides_by_its_keys(key: Item, pairs: list[t.Any], dropped: bool, by_name: bool) -> None:
    data = "@s" if by_name else {"set": pairs}
    other = [
        {"chain": {"family": "inet", "table": "t", "name": "other"}},
        {"rule": {"family": "inet", "table": "t", "chain": "other", "expr": [DROP]}},
    ]
    rows = [named("map", *pairs), *ruleset([{"vmap": {"key": key, "data": data}}]), *other]
    found = nft.verdict(rows, "input", MET)
    assert bool(found) is dropped and (not found or found.certain)
    udp = MET._replace(protocol="udp", source="10.9.9.9")
    assert nft.verdict(rows, "input", udp) is None


def test_a_map_of_verdicts_that_cannot_be_told_is_a_doubt_where_it_may_drop() -> None:
    for says, doubted in ((DROP, True), (ACCEPT, False)):
        rows = ruleset([{"vmap": {"key": {"meta": {"key": "mark"}}, "data": {"set": [[1, says]]}}}])
        found = nft.verdict(rows, "input", MET)
        assert bool(found) is doubted and (not found or not found.certain)

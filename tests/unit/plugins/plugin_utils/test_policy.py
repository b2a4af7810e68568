# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy: which rule decides, which one never can, and what nftables would do with it, for random rules and packets."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import (
    Packet,
    Place,
    Rule,
    allowed,
    allowed_ports,
    as_data,
    between,
    covers,
    deciding,
    from_data,
    merged,
    shadowed,
    takes,
    without_packets,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.nft import counter, statements

SEGMENTS = {
    "web": ("10.1.1.0/24", "2001:db8:1::/64"),
    "db": ("10.1.2.0/24", "2001:db8:2::/64"),
    "far": ("10.1.3.0/24", "2001:db8:3::/64"),
}
OUTSIDE = ("0.0.0.0/0", "192.0.2.0/24", "2001:db8:ff::/48")
PORTS = [0, 1, 22, 80, 81, 443, 8000, 8100, 65535]


def places_of(name: str) -> list[Place]:
    """A segment's networks, an endpoint's addresses, or a range."""
    if name in SEGMENTS:
        return [Place(name, ipaddress.ip_network(text)) for text in SEGMENTS[name]]
    segment, _slash, number = name.partition("/")
    if segment in SEGMENTS:
        return [
            Place(segment, ipaddress.ip_network(ipaddress.ip_network(text)[int(number)])) for text in SEGMENTS[segment]
        ]
    return [Place(None, ipaddress.ip_network(name))]


NAMES = st.sampled_from([*SEGMENTS, "web/1", "db/1", "far/2", *OUTSIDE])
ENDS = st.lists(NAMES, max_size=2, unique=True).map(lambda names: tuple(p for name in names for p in places_of(name)))
RANGES = st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS)).map(lambda pair: (min(pair), max(pair)))


@st.composite
def rule_lists(draw: t.Any) -> list[Rule]:
    """Some rules with names of their own."""
    rules = []
    for number in range(draw(st.integers(0, 6))):
        protocol = draw(st.sampled_from([None, "tcp", "udp", "icmp"]))
        ports = tuple(draw(st.lists(RANGES, max_size=2))) if protocol in ("tcp", "udp") else ()
        rules.append(
            Rule(f"r{number}", draw(st.booleans()), draw(ENDS), draw(ENDS), protocol, ports, draw(st.booleans()))
        )
    return rules


@st.composite
def packets(draw: t.Any) -> Packet:
    """A packet of one address family between two addresses that rules may know."""
    version = draw(st.sampled_from([0, 1]))
    nets = [ipaddress.ip_network(pair[version]) for pair in SEGMENTS.values()]
    nets.append(ipaddress.ip_network(("192.0.2.0/24", "2001:db8:ff::/48")[version]))
    source, target = (draw(st.sampled_from(nets))[draw(st.integers(1, 3))] for _end in range(2))
    protocol = draw(st.sampled_from(["tcp", "udp", "icmp"]))
    return Packet(source, target, protocol, 0 if protocol == "icmp" else draw(st.sampled_from(PORTS)))


def segment_of(address: t.Any) -> str | None:
    """The segment that an address is in."""
    return next(
        (name for name, nets in SEGMENTS.items() if any(address in ipaddress.ip_network(n) for n in nets)), None
    )


@settings(max_examples=300, deadline=None)
@given(rule_lists(), packets())
def test_a_rule_that_is_shadowed_decides_about_no_packet(rules: list[Rule], packet: Packet) -> None:
    decides = deciding(rules, packet)
    for rule, before in shadowed(rules):
        assert decides != rule
        assert not takes(rule, packet) or takes(before, packet)


def test_what_covers_another_rule_is_told_of_and_a_narrower_one_before_is_not() -> None:
    web, db = tuple(places_of("web")), tuple(places_of("db"))
    wide = Rule("wide", True, web, db)
    narrow = Rule("narrow", False, tuple(places_of("web/1")), db, "tcp", ((80, 90),))
    assert shadowed([wide, narrow]) == [(narrow, wide)] and not shadowed([narrow, wide])
    assert covers(Rule("all", True), wide) and not covers(wide, Rule("all", True))
    touching = Rule("touching", True, (), (), "tcp", ((1, 10), (11, 20)))
    assert covers(touching, Rule("over both", True, (), (), "tcp", ((5, 15),)))
    assert not covers(touching, Rule("all ports", True, (), (), "tcp"))
    # Of one family there is always more than a rule of the other one takes.
    assert not covers(Rule("four", True, tuple(places_of("0.0.0.0/0"))), Rule("all", True))


@settings(max_examples=300, deadline=None)
@given(rule_lists(), packets())
def test_who_joins_two_segments_decides_as_the_whole_policy_does(rules: list[Rule], packet: Packet) -> None:
    ends = segment_of(packet.source), segment_of(packet.target)
    if ends[0] == ends[1] or "far" in ends:
        return
    assert allowed(between(rules, ["web", "db"]), packet) == allowed(rules, packet)


@settings(max_examples=200, deadline=None)
@given(rule_lists(), packets(), RANGES)
def test_a_range_of_ports_is_allowed_denied_or_both(rules: list[Rule], packet: Packet, ports: tuple[int, int]) -> None:
    packet = packet._replace(protocol="tcp")
    told = allowed_ports(rules, packet, ports)
    for port in (ports[0], (ports[0] + ports[1]) // 2, ports[1]):
        assert told is None or allowed(rules, packet._replace(port=port)) == told


@given(st.lists(RANGES), st.integers(0, 65535))
def test_merged_ports_are_the_same_ports_in_order_and_apart(ports: list[tuple[int, int]], port: int) -> None:
    found = merged(ports)
    assert any(low <= port <= high for low, high in found) == any(low <= port <= high for low, high in ports)
    assert all(one[1] + 1 < following[0] for one, following in zip(found, found[1:]))


@given(rule_lists())
def test_rules_are_the_same_after_the_way_through_the_plan(rules: list[Rule]) -> None:
    def bare(rule: Rule) -> Rule:
        ends = (tuple(place._replace(segment=None) for place in places) for places in (rule.sources, rule.targets))
        sources, targets = ends
        return rule._replace(sources=sources, targets=targets)

    assert [from_data(as_data(rule)) for rule in rules] == [bare(rule) for rule in rules]


def matches(statement: str, packet: Packet) -> bool:
    """What nftables makes of the conditions of a statement (nft(8)), apart from the code that wrote it."""
    family = {4: "ip", 6: "ip6"}[packet.source.version]
    for named, end, values in re.findall(r"(ip6?) ([sd])addr { ([^}]*) }", statement):
        address = packet.source if end == "s" else packet.target
        if named != family or not any(address in ipaddress.ip_network(one) for one in values.split(", ")):
            return False
    protocols = re.search(r"meta l4proto (?:{ ([^}]*) }|(\S+))", statement)
    sent = {"icmp": {4: "icmp", 6: "ipv6-icmp"}[packet.source.version]}.get(packet.protocol, packet.protocol)
    if protocols and sent not in (protocols.group(1) or protocols.group(2)).split(", "):
        return False
    ports = re.search(r"(tcp|udp) dport { ([^}]*) }", statement)
    if not ports:
        return True
    ranges = [[int(end) for end in one.split("-")] for one in ports.group(2).split(", ")]
    return packet.protocol == ports.group(1) and any(one[0] <= packet.port <= one[-1] for one in ranges)


@settings(max_examples=400, deadline=None)
@given(rule_lists(), packets())
def test_the_statements_for_nftables_decide_as_the_policy_does(rules: list[Rule], packet: Packet) -> None:
    lines = [line for rule in rules for line in statements(rule)]
    deciders = [line for line in lines if line.endswith((" accept", " drop"))]
    first = next((line for line in deciders if matches(line, packet)), "drop")
    assert first.endswith("accept") == allowed(rules, packet)
    rule = deciding(rules, packet)
    assert rule is None or f"counter name {counter(rule)} " in first
    # What is logged is limited, and is what the rule is about.
    for line in set(lines) - set(deciders):
        assert "limit rate" in line and "log prefix" in line


def test_ends_of_different_families_have_no_packet() -> None:
    four, six = tuple(places_of("192.0.2.0/24")), tuple(places_of("2001:db8:ff::/48"))
    rule = Rule("none", True, four, six)
    assert without_packets(rule) and statements(rule) == []
    assert not without_packets(Rule("some", True, four, tuple(places_of("web")))) and not without_packets(
        Rule("all", True)
    )

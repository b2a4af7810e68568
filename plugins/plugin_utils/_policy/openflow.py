# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy in OpenFlow with connection tracking. Pure. Sources: ovs-fields(7) on ct_state and conjunctive matches, ovs-actions(7) on ct.

A rule is matched by conjunction: its sources, its targets and its ports are flows of their own, and one flow more has the verdict. So a rule costs
the sum of its ends and not their product, and the flow with the verdict counts what the rule takes. Each end is there twice, for the packets
of a connection and for its answers (+rpl), so that the rules judge every packet of a connection, and a changed policy takes effect at once.

This file is private to the collection.
"""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import (
    ICMP,
    Address,
    Network,
    Place,
    Ports,
    Rule,
    merged,
    networks,
    overlapping,
)

# The free bits of a cookie tell which rule a flow is of, and these what no rule is about. A rule's number is also that of its conjunction.
DEFAULT, INVALID_STATE, SPOOFED, LINK_LOCAL = 0xFFFF, 0xFFFE, 0xFFFD, 0xFFFC
WITHOUT_RULE = {
    DEFAULT: "no rule takes it",
    INVALID_STATE: "of no connection that the switch knows",
    SPOOFED: "an address that is not the endpoint's own",
    LINK_LOCAL: "a link-local address",
}
HIGHEST_NUMBER = 0xEFFF
# The first rule stands highest.
FIRST_PRIORITY, DEFAULT_PRIORITY = 60000, 10
MOST_RULES = FIRST_PRIORITY - DEFAULT_PRIORITY - 1

FAMILIES = {4: "ip", 6: "ipv6"}
_ADDRESS = {4: ("nw_src", "nw_dst"), 6: ("ipv6_src", "ipv6_dst")}
_PROTOCOLS = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6"), ICMP: ("icmp", "icmp6")}
_DIRECTIONS = (("ct_state=-rpl+trk", False), ("ct_state=+rpl+trk", True))
# What is for several receivers at once: IPv4 multicast and broadcast, IPv6 multicast.
GROUPS = tuple(ipaddress.ip_network(text) for text in ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8"))


class Numbered(t.NamedTuple):
    """A rule with its place in the whole policy, from 0, and its number."""

    rule: Rule
    place: int
    number: int


class Judged(t.NamedTuple):
    """A segment on which flows enforce the policy.

    zone: of its connections. default: whether what no rule takes passes. rules, groups: for packets to one endpoint and to all of them.
    exempt: addresses of edges, who judge by themselves what they forward and translate. cookie: of the fabric's flows.
    """

    zone: int
    default: bool
    rules: list[Numbered]
    groups: list[Numbered]
    exempt: list[Address]
    cookie: int


class Table(t.NamedTuple):
    """Where the flows go. table: their own; passed: the one for what may pass; tracked: whether connections are known there."""

    table: int
    passed: int
    tracked: bool


def numbered(rules: t.Sequence[Rule]) -> list[Numbered]:
    """The rules with numbers from their names, so that others that come and go do not change them, unless two meet."""
    found: list[Numbered] = []
    taken: set[int] = set()
    for place, rule in enumerate(rules):
        number = int.from_bytes(hashlib.sha256(rule.name.encode()).digest()[:4], "big") % HIGHEST_NUMBER + 1
        while number in taken:
            number = number % HIGHEST_NUMBER + 1
        taken.add(number)
        found.append(Numbered(rule, place, number))
    return found


def flows(rules: t.Iterable[Numbered], default: bool, key: str, table: Table, cookie: int) -> t.Iterator[str]:
    """The flows of a segment's rules, and the one for what no rule takes. key: the match of the segment; cookie: the owner's."""
    for one in rules:
        yield from _rule(one, key, table, cookie)
    start = f"cookie={cookie | DEFAULT:#x},table={table.table},priority={DEFAULT_PRIORITY},{key}"
    yield f"{start},actions={_verdict(default, table)}"


def _rule(one: Numbered, key: str, table: Table, cookie: int) -> t.Iterator[str]:
    dimensions = list(_dimensions(one.rule, table.tracked))
    start = f"cookie={cookie | one.number:#x},table={table.table},priority={FIRST_PRIORITY - one.place},{key}"
    verdict = _verdict(one.rule.allow, table)
    if len(dimensions) < 2:
        for match in dimensions[0] if dimensions else FAMILIES.values():
            yield f"{start},{match},actions={verdict}"
        return
    for number, matches in enumerate(dimensions, 1):
        for match in matches:
            yield f"{start},{match},actions=conjunction({one.number},{number}/{len(dimensions)})"
    yield f"{start},conj_id={one.number},actions={verdict}"


def _verdict(allow: bool, table: Table) -> str:
    return f"goto_table:{table.passed}" if allow else "drop"


def _dimensions(rule: Rule, tracked: bool) -> t.Iterator[list[str]]:
    """What a packet of the rule has to match, one flow of each list; what is anywhere has no list."""
    if rule.sources:
        yield list(_ends(rule.sources, False, tracked))
    if rule.targets:
        yield list(_ends(rule.targets, True, tracked))
    if rule.protocol and rule.ports:
        yield list(_ports(rule.protocol, rule.ports, tracked))
    elif rule.protocol:
        yield list(_PROTOCOLS[rule.protocol])


def _ends(places: t.Sequence[Place], target: bool, tracked: bool) -> t.Iterator[str]:
    """The addresses at one end; those of an answer stand at the other one."""
    for version in FAMILIES:
        for network in _halved(networks(places, version)):
            for state, answer in _DIRECTIONS if tracked else (("", False),):
                field = _ADDRESS[version][target != answer]
                address = network.network_address if network.prefixlen == network.max_prefixlen else network
                yield ",".join(filter(None, [state, f"{FAMILIES[version]},{field}={address}"]))


def _halved(found: t.Iterable[Network]) -> t.Iterator[Network]:
    """Prefixes that a field can match: all addresses as two halves, as a flow without the field is the same one for both ends."""
    for network in found:
        yield from [network] if network.prefixlen else network.subnets()


def _ports(protocol: str, ports: t.Iterable[Ports], tracked: bool) -> t.Iterator[str]:
    masks = [mask for low, high in merged(ports) for mask in port_masks(low, high)]
    for (state, answer), name in itertools.product(_DIRECTIONS if tracked else (("", False),), _PROTOCOLS[protocol]):
        for value, mask in masks:
            field = "tp_src" if answer else "tp_dst"
            port = str(value) if mask == 0xFFFF else f"{value:#x}/{mask:#x}"
            yield ",".join(filter(None, [state, f"{name},{field}={port}" if mask else name]))


def port_masks(low: int, high: int) -> list[tuple[int, int]]:
    """A range of ports as values with masks, as few as there can be."""
    found = []
    while low <= high:
        size = low & -low or 1 << 16
        while low + size - 1 > high:
            size >>= 1
        found.append((low, 0xFFFF & -size))
        low += size
    return found


def for_groups(rules: t.Iterable[Numbered], subnets: t.Collection[Network]) -> list[Numbered]:
    """The rules for packets that all endpoints of a segment get at once, and that have no connection.

    What is denied to one of them is denied to all, as nobody can be left out; what is allowed to all of them is allowed. Rules
    that name addresses of groups are about these.
    """
    found = []
    for one in rules:
        targets = tuple(_group_targets(one.rule, subnets))
        if targets or not one.rule.targets:
            found.append(one._replace(rule=one.rule._replace(targets=targets)))
    return found


def _group_targets(rule: Rule, subnets: t.Collection[Network]) -> t.Iterator[Place]:
    """The groups' addresses that a rule is about; none for a rule about anywhere, or about no group."""
    for version in FAMILIES if rule.targets else ():
        wide = networks(rule.targets, version)
        here = [net for net in subnets if net.version == version]
        if rule.allow:
            everybody = bool(here) and all(any(net.subnet_of(other) for other in wide) for net in here)  # type: ignore[arg-type]
        else:
            everybody = any(overlapping(net, wide) for net in here)
        if everybody:
            yield Place(None, ipaddress.ip_network("0.0.0.0/0" if version == 4 else "::/0"))
        else:
            yield from (Place(None, net) for net in wide if overlapping(net, GROUPS))

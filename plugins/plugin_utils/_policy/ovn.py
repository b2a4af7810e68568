# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy as ACLs of OVN. Pure. Source: ovn-nb(5), table ACL; ovn-sb(5), column match.

An ACL of what comes stands before the port of whoever is asked (to-lport), and is about what a router brings there: within a segment nobody is asked for leave.
What the router brings has its MAC address, which port security lets nobody else have. (That the source is of no address of the segment would be
tens of thousands of flows in IPv6, as OpenFlow knows no "not".) Answers of a connection need no ACL, as those that allow are allow-related.

Outside of OVN nobody stands before whoever is asked, so an ACL of what leaves stands behind the port of whoever asks (from-lport).

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import (
    ICMP,
    WITH_PORTS,
    Network,
    Ports,
    Rule,
    merged,
    networks,
)

Item = t.Dict[str, t.Any]

# The first rule's priority; OVN takes 0 to 32767. That of what no rule is about.
FIRST, LAST = 30000, 1
DENIED = "denied"
# What is for another segment of the router is judged there.
INSIDE = "inside"
# Of a router's policies, in which whoever is the source of what comes by a port is held to its segment.
KNOWN, SPOOFED = 200, 100
# Packets of each ACL that are logged in a second, at the most.
LOGGED = 5


class Place(t.NamedTuple):
    """Before whom ACLs stand.

    group: of the ports of a segment. subnets: the segment's own. router: the MAC address of the router's port there.
    meter: that of what is logged.
    """

    group: str
    segment: str
    subnets: t.Sequence[Network]
    router: str
    meter: str


def meter(name: str) -> Item:
    """The limit of what is logged. It is fair: each ACL has one of its own."""
    return {"name": name, "unit": "pktps", "fair": True, "bands": [{"rate": LOGGED}]}


class Side(t.NamedTuple):
    """A router's port. inner: whether all behind it is in its subnets, as it is their gateway."""

    port: str
    subnets: t.Sequence[Network]
    inner: bool


class Asked(t.NamedTuple):
    """A forwarded port, as those inside ask for it."""

    name: str
    address: Address
    protocol: str
    port: int


def acls(rules: t.Sequence[Rule], place: Place, log: bool) -> list[Item]:
    """The ACLs before a place. rules: of the router, in their order. log: whether what no rule is about is logged."""
    found = []
    for number, rule in enumerate(rules):
        if not _leads(rule, (None, place.segment)):
            continue
        matches = [match for net in place.subnets for match in _matches(rule, net)]
        if matches:
            found.append(_judged(rule, FIRST - number, _before(place), place, matches))
    return [*found, _acl(DENIED, LAST, _before(place), place, ["ip"], "drop", log)]


def leaving(
    rules: t.Sequence[Rule],
    place: Place,
    outside: str,
    inside: t.Sequence[Network],
    forwards: t.Sequence[Asked],
    log: bool,
) -> list[Item]:
    """The ACLs behind a place, of what leaves OVN by a router. outside: the provider network. inside: the subnets of the router's other legs."""
    begin = _behind(place)
    within = [f"ip{version}.dst == {_set(nets)}" for version, nets in _by_version(inside)]
    found = [_acl(INSIDE, FIRST + 1, begin, place, within, "allow-related", False)]
    for number, rule in enumerate(rules):
        if not _leads(rule, (None, outside)):
            continue
        matches = [match for net in place.subnets for match in _matches(rule, net)]
        if matches:
            found.append(_judged(rule, FIRST - number, begin, place, matches))
    for number, one in enumerate(forwards, LAST + 1):
        match = f"ip{one.address.version}.dst == {one.address} && {one.protocol}.dst == {one.port}"
        found.append(_acl(one.name, number, begin, place, [match], "allow-related", False))
    return [*found, _acl(DENIED, LAST, begin, place, ["ip"], "drop", log)]


def sources(sides: t.Sequence[Side]) -> list[Item]:
    """A router's policies against spoofed sources: behind a gateway's port is its segment alone, and behind another one none of these segments."""
    inside = [net for side in sides if side.inner for net in side.subnets]
    found = []
    for side in sides:
        begin = f'inport == "{side.port}" && '
        if side.inner:
            found += [
                _policy(KNOWN, f"{begin}ip{version}.src == {_set(nets)}", "allow")
                for version, nets in _by_version(side.subnets)
            ]
            found += [_policy(SPOOFED, f"{begin}ip{version}", "drop") for version in (4, 6)]
        else:
            found += [
                _policy(SPOOFED, f"{begin}ip{version}.src == {_set(nets)}", "drop")
                for version, nets in _by_version(inside)
            ]
    return found


def _policy(priority: int, match: str, action: str) -> Item:
    return {"priority": priority, "match": match, "action": action}


def _by_version(nets: t.Sequence[Network]) -> list[tuple[int, list[Network]]]:
    """Networks by their address family, without families that there are none of."""
    found = [(version, [net for net in nets if net.version == version]) for version in (4, 6)]
    return [(version, of_version) for version, of_version in found if of_version]


def _before(place: Place) -> tuple[str, str]:
    """The direction and the begin of the match of what a router brings to a place."""
    return "to-lport", f"outport == @{place.group} && eth.src == {place.router} && "


def _behind(place: Place) -> tuple[str, str]:
    """Likewise of what a place sends to a router."""
    return "from-lport", f"inport == @{place.group} && eth.dst == {place.router} && "


def _judged(rule: Rule, priority: int, begin: tuple[str, str], place: Place, matches: t.Sequence[str]) -> Item:
    action = "allow-related" if rule.allow else "drop"
    return _acl(f"rule-{rule.name}", priority, begin, place, matches, action, rule.log)


def _acl(
    name: str,
    priority: int,
    begin: tuple[str, str],
    place: Place,
    matches: t.Sequence[str],
    action: str,
    log: bool,
) -> Item:
    either = matches[0] if len(matches) == 1 else f"({' || '.join(f'({match})' for match in matches)})"
    return {
        "name": name,
        "direction": begin[0],
        "priority": priority,
        "match": f"{begin[1]}{either}",
        "action": action,
        "log": log,
        **({"severity": "info", "meter": place.meter} if log else {}),
    }


def _leads(rule: Rule, segments: t.Container[str | None]) -> bool:
    """Whether a rule has a target in one of these segments, or anywhere."""
    return not rule.targets or any(place.segment in segments for place in rule.targets)


def _matches(rule: Rule, net: Network) -> list[str]:
    """What of a rule is about packets of a subnet's address family; at most one."""
    sources, targets = networks(rule.sources, net.version), networks(rule.targets, net.version)
    if bool(rule.sources) > bool(sources) or bool(rule.targets) > bool(targets):
        return []
    family = f"ip{net.version}"
    parts = [family]
    parts += [f"{family}.src == {_set(sources)}"] if sources else []
    parts += [f"{family}.dst == {_set(targets)}"] if targets else []
    return [" && ".join([*parts, *_protocol(rule, net.version)])]


def _protocol(rule: Rule, version: int) -> list[str]:
    """The condition on protocol and ports."""
    if rule.protocol is None:
        return []
    if rule.protocol == ICMP:
        return [f"icmp{version}"]
    if rule.protocol in WITH_PORTS and rule.ports:
        ranges = [_range(rule.protocol, ports) for ports in merged(rule.ports)]
        return [ranges[0] if len(ranges) == 1 else f"({' || '.join(ranges)})"]
    return [rule.protocol]


def _range(protocol: str, ports: Ports) -> str:
    low, high = ports
    return f"{protocol}.dst == {low}" if low == high else f"({protocol}.dst >= {low} && {protocol}.dst <= {high})"


def _set(values: t.Sequence[Network]) -> str:
    return str(values[0]) if len(values) == 1 else "{" + ", ".join(map(str, values)) + "}"

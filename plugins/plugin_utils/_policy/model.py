# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy: who may open connections to whom. Pure, and of no engine: nft.py and openflow.py beside it write it for nftables and for Open vSwitch.

A rule is about the first packet of a connection. The first rule that takes it decides, and what no rule takes is dropped, unless who enforces
the rules says otherwise. Answers of a connection that was allowed always pass.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Item = t.Dict[str, t.Any]
Ports = t.Tuple[int, int]

TCP, UDP, ICMP = "tcp", "udp", "icmp"
WITH_PORTS = (TCP, UDP)
ALL_PORTS = (0, 65535)


class Place(t.NamedTuple):
    """Addresses at one end of a rule. segment: where they are; None for a range outside of the fabric."""

    segment: str | None
    network: Network


class Rule(t.NamedTuple):
    """One rule.

    sources, targets: where connections come from and go to; empty for anywhere. protocol: tcp, udp, icmp (ICMPv6 as well), or None for all.
    ports: ranges of the target's ports, of tcp and udp; empty for all.
    """

    name: str
    allow: bool
    sources: tuple[Place, ...] = ()
    targets: tuple[Place, ...] = ()
    protocol: str | None = None
    ports: tuple[Ports, ...] = ()
    log: bool = False


class Layer(t.NamedTuple):
    """Somebody who enforces rules. default: whether what no rule takes passes there."""

    name: str
    rules: t.Sequence[Rule]
    default: bool = False


class Packet(t.NamedTuple):
    """The first packet of a connection. port: the target's, of tcp and udp."""

    source: Address
    target: Address
    protocol: str
    port: int = 0


def networks(places: t.Iterable[Place], version: int) -> list[Network]:
    """The networks of an address family, none inside of another."""
    found = [place.network for place in places if place.network.version == version]
    return list(ipaddress.collapse_addresses(found))  # type: ignore[type-var]


def takes(rule: Rule, packet: Packet) -> bool:
    """Whether a rule is about a packet."""
    if rule.protocol not in (None, packet.protocol):
        return False
    if rule.ports and not any(low <= packet.port <= high for low, high in rule.ports):
        return False
    return _inside(packet.source, rule.sources) and _inside(packet.target, rule.targets)


def _inside(address: Address, places: t.Sequence[Place]) -> bool:
    return not places or any(address in place.network for place in places)


def deciding(rules: t.Iterable[Rule], packet: Packet) -> Rule | None:
    """The rule that decides about a packet; None if no rule takes it, and it is dropped."""
    return next((rule for rule in rules if takes(rule, packet)), None)


def allowed(rules: t.Iterable[Rule], packet: Packet, default: bool = False) -> bool:
    """Whether a connection may be opened. default: whether it may where no rule takes it."""
    rule = deciding(rules, packet)
    return default if rule is None else rule.allow


def passes(layers: t.Iterable[Layer], packet: Packet) -> bool:
    """Whether a connection may be opened by all who see its first packet."""
    return all(allowed(layer.rules, packet, layer.default) for layer in layers)


def passes_ports(layers: t.Iterable[Layer], packet: Packet, ports: Ports) -> bool | None:
    """Whether it may be opened to each port of a range, or to none of it (False); None where that depends on the port."""
    verdicts = {allowed_ports(layer.rules, packet, ports, layer.default) for layer in layers}
    return False if False in verdicts else None if None in verdicts else True


def allowed_ports(rules: t.Sequence[Rule], packet: Packet, ports: Ports, default: bool = False) -> bool | None:
    """Whether a connection may be opened to each port of a range, or to none of it (False); None where that depends on the port."""
    low, high = ports
    edges = {low, high}
    for rule in rules:
        for first, last in rule.ports:
            edges |= {port for port in (first - 1, first, last, last + 1) if low <= port <= high}
    verdicts = {allowed(rules, packet._replace(port=port), default) for port in edges}
    return verdicts.pop() if len(verdicts) == 1 else None


def covers(first: Rule, other: Rule) -> bool:
    """Whether the first rule takes every packet that the other one would take."""
    if first.protocol not in (None, other.protocol):
        return False
    if first.ports and not _ports_inside(other.ports or (ALL_PORTS,), first.ports):
        return False
    return _places_inside(other.sources, first.sources) and _places_inside(other.targets, first.targets)


def merged(ports: t.Iterable[Ports]) -> list[Ports]:
    """The same ports in ranges that neither overlap nor touch, in order."""
    found: list[Ports] = []
    for low, high in sorted(ports):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def _ports_inside(inner: t.Iterable[Ports], outer: t.Iterable[Ports]) -> bool:
    wide = merged(outer)
    return all(any(first <= low and high <= last for first, last in wide) for low, high in merged(inner))


def _places_inside(inner: t.Sequence[Place], outer: t.Sequence[Place]) -> bool:
    """Whether all addresses of the inner places are among the outer ones; no places are all addresses."""
    if not outer:
        return True
    everything = [Place(None, ipaddress.ip_network(text)) for text in ("0.0.0.0/0", "::/0")]
    for version in (4, 6):
        wide = networks(outer, version)
        for network in networks(inner or everything, version):
            if not any(network.subnet_of(other) for other in wide):  # type: ignore[arg-type]
                return False
    return True


def shadowed(rules: t.Sequence[Rule]) -> list[tuple[Rule, Rule]]:
    """Rules that never decide, each with the one before it that takes all of its packets."""
    found = []
    for number, rule in enumerate(rules):
        before = next((other for other in rules[:number] if covers(other, rule)), None)
        if before is not None:
            found.append((rule, before))
    return found


def without_packets(rule: Rule) -> bool:
    """Whether no packet can be of a rule, as its ends have no address family in common."""
    versions = {place.network.version for place in rule.sources} & {place.network.version for place in rule.targets}
    return bool(rule.sources and rule.targets) and not versions


def on_segment(
    rules: t.Iterable[Rule], segment: str, subnets: t.Collection[Network], visible: t.Collection[str]
) -> list[Rule]:
    """The rules that somebody who sees all packets of a segment's endpoints has to enforce, each with what concerns it.

    subnets: the segment's. visible: the segments whose packets may come there, itself among them; others may have the same addresses.
    """
    found = []
    for rule in rules:
        sources = tuple(place for place in rule.sources if place.segment is None or place.segment in visible)
        targets = tuple(place for place in rule.targets if place.segment is None or place.segment in visible)
        elsewhere = bool(rule.sources) > bool(sources) or bool(rule.targets) > bool(targets)
        here = _are_at(sources, segment, subnets) or _are_at(targets, segment, subnets)
        if here and not elsewhere:
            found.append(rule._replace(sources=sources, targets=targets))
    return found


def _are_at(ends: t.Collection[Place], segment: str, subnets: t.Collection[Network]) -> bool:
    """Whether ends, or those of a rule that says none, may be on a segment."""
    return not ends or any(place.segment == segment or overlapping(place.network, subnets) for place in ends)


def overlapping(network: Network, others: t.Iterable[Network]) -> bool:
    """Whether a network has addresses in common with others."""
    return any(network.version == other.version and network.overlaps(other) for other in others)


def between(rules: t.Iterable[Rule], segments: t.Collection[str]) -> list[Rule]:
    """The rules that somebody who joins these segments has to enforce, each with what concerns it."""
    found = []
    for rule in rules:
        sources = tuple(place for place in rule.sources if place.segment is None or place.segment in segments)
        targets = tuple(place for place in rule.targets if place.segment is None or place.segment in segments)
        elsewhere = bool(rule.sources) > bool(sources) or bool(rule.targets) > bool(targets)
        if not elsewhere and not _within_one_segment(sources, targets):
            found.append(rule._replace(sources=sources, targets=targets))
    return found


def _within_one_segment(sources: t.Sequence[Place], targets: t.Sequence[Place]) -> bool:
    """Whether both ends are on one segment, whose packets no router sees."""
    segments = {place.segment for place in (*sources, *targets)}
    return bool(sources and targets) and len(segments) == 1 and None not in segments


# As plain data ---------------------------------------------------------------------------------------------------------


def as_data(rule: Rule) -> Item:
    """A rule as the plan has it."""
    return {
        "name": rule.name,
        "action": "allow" if rule.allow else "deny",
        "from": [str(place.network) for place in rule.sources],
        "to": [str(place.network) for place in rule.targets],
        "protocol": rule.protocol,
        "ports": [list(ports) for ports in rule.ports],
        "log": rule.log,
    }


def _places(texts: t.Iterable[str]) -> tuple[Place, ...]:
    return tuple(Place(None, ipaddress.ip_network(text)) for text in texts)


def from_data(data: Item) -> Rule:
    """A rule of the plan."""
    sources, targets = _places(data["from"]), _places(data["to"])
    ports = tuple((low, high) for low, high in data["ports"])
    return Rule(data["name"], data["action"] == "allow", sources, targets, data["protocol"], ports, data["log"])

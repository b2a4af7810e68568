# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes of OVN's routers for what comes from one source: rows of Logical_Router_Policy, what OVN is asked to prove them, and what is refused.

Source: ovn-nb(5), ovn-sb(5).

A policy is asked behind the routing table and goes before it. Among them the longest destination wins, then the longest source, as in a routing table.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import itertools
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.edges import Edge, Leg, SourceRoute
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address, Network
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]
Name = t.Callable[[str], str]

# Above the policies that hold sources to their segments. OVN takes 0 to 32767.
LOWEST, OWN = 1000, 30000
LENGTHS = 129

# Beyond everything: networks for documentation (RFC 5737, RFC 3849), of which one is asked for where a route leads everywhere.
_BEYOND = {
    4: ("198.51.100.1", "203.0.113.1", "192.0.2.1"),
    6: ("2001:db8:ffff::1", "2001:db8:fffe::1"),
}
# How many addresses of a prefix are tried until one is found that no longer prefix has.
_TRIED = 64


class Way(t.NamedTuple):
    """A route of a source. segment: the one that it comes from."""

    segment: str
    source: Network
    to: Network
    via: str


def rows(values: Values, edge: Edge, port: Name) -> list[Item]:
    """The policies of a router; several next hops of one source and destination share its connections. port: the name of the port on a segment."""
    hops: dict[tuple[str, Network, Network], list[str]] = {}
    ways = [way for route in edge.source_routes for way in _ways(values, edge, route)]
    for way in ways:
        hops.setdefault((port(way.segment), way.source, way.to), []).append(way.via)
    return [*_own(values, edge, ways, port), *(_reroute(*key, nexthops) for key, nexthops in hops.items())]


def _reroute(port: str, source: Network, to: Network, nexthops: list[str]) -> Item:
    family = f"ip{source.version}"
    match = f'inport == "{port}" && {family}.src == {source}'
    return {
        "priority": LOWEST + to.prefixlen * LENGTHS + source.prefixlen,
        "match": f"{match} && {family}.dst == {to}" if to.prefixlen else match,
        "action": "reroute",
        "nexthops": nexthops,
    }


def _own(values: Values, edge: Edge, ways: list[Way], port: Name) -> list[Item]:
    """What is for the edge's own segments stays there, from whichever source."""
    found = {}
    for way in ways:
        family = f"ip{way.source.version}"
        own = [str(net) for leg in edge.legs for net in subnets(values, leg) if net.version == way.source.version]
        match = (
            f'inport == "{port(way.segment)}" && {family}.src == {way.source} && {family}.dst == {{{", ".join(own)}}}'
        )
        found[match] = {"priority": OWN, "match": match, "action": "allow"}
    return list(found.values())


# What OVN is asked ---------------------------------------------------------------------------------------------------------


def questions(values: Values, edge: Edge, port: Name, mac: t.Callable[[Leg], str]) -> list[Item]:
    """For each route of a source a packet that takes it, and packets of other sources to the same destinations, each with its next hops.

    mac: the MAC address of the router on a leg. Nothing is asked of a route whose packets all take routes with longer prefixes.
    """
    ways = [way for route in edge.source_routes for way in _ways(values, edge, route)]
    own = {address for leg in edge.legs for address in (leg.address, leg.address6) if address}
    inside = [net for leg in edge.legs for net in subnets(values, leg)]
    legs = {leg.segment: leg for leg in edge.legs}
    found: dict[str, Item] = {}
    for segment, source, target in [*_taking(ways, own, inside), *_apart(values, edge, ways, own, inside)]:
        decided = _deciding(ways, segment, source, target)
        name = f"{edge.name}: {source} ({segment}) to {target}"
        flow = _flow(port(segment), mac(legs[segment]), source, target)
        found[name] = {
            "name": name,
            "flow": flow,
            "nexthops": [way.via for way in decided] or _routed(edge, target),
        }
    return list(found.values())


def _flow(port: str, mac: str, source: Address, target: Address) -> str:
    """A packet that comes to a router, in OVN's words."""
    family = f"ip{source.version}"
    return (
        f'inport == "{port}" && eth.src == 02:00:00:00:00:01 && eth.dst == {mac} && ip.ttl == 64'
        f" && {family}.src == {source} && {family}.dst == {target} && udp.dst == 9"
    )


def _taking(
    ways: list[Way], own: t.Container[Address], inside: list[Network]
) -> t.Iterator[tuple[str, Address, Address]]:
    """A packet for each way that it decides about: segment, source and target."""
    for way in ways:
        pairs = itertools.product(_some(way.source, own), _targets(way.to, inside))
        for source, target in pairs:
            if way in _deciding(ways, way.segment, source, target):
                yield way.segment, source, target
                break


def _apart(
    values: Values, edge: Edge, ways: list[Way], own: t.Container[Address], inside: list[Network]
) -> t.Iterator[tuple[str, Address, Address]]:
    """For each destination and segment a packet whose source no way is for."""
    nets = [(leg.segment, net) for leg in edge.legs if leg.gateway for net in subnets(values, leg)]
    for to, (segment, net) in itertools.product(dict.fromkeys(way.to for way in ways), nets):
        if net.version != to.version:
            continue
        pairs = itertools.product(_some(net, own), _targets(to, inside))
        apart = (pair for pair in pairs if not _deciding(ways, segment, *pair))
        yield from ((segment, *pair) for pair in itertools.islice(apart, 1))


def _deciding(ways: list[Way], segment: str, source: Address, target: Address) -> list[Way]:
    """The ways that a packet takes, which share it: those with the longest destination, and among them with the longest source."""
    fitting = [way for way in ways if way.segment == segment and source in way.source and target in way.to]
    best = max(((way.to.prefixlen, way.source.prefixlen) for way in fitting), default=None)
    return [way for way in fitting if (way.to.prefixlen, way.source.prefixlen) == best]


def _routed(edge: Edge, target: Address) -> list[str]:
    """The next hops of the routes without a source, of which the longest destination wins."""
    fitting = [(net, via) for net, via in map(_route, edge.routes) if target in net]
    longest = max((net.prefixlen for net, _via in fitting), default=0)
    return [via for net, via in fitting if net.prefixlen == longest]


def _route(route: t.Mapping[str, str]) -> tuple[Network, str]:
    return _destination(route["to"], route["via"]), route["via"]


def _some(net: Network, own: t.Container[Address]) -> list[Address]:
    """Addresses of a prefix that a host may have: the first ones, or the last."""
    size = int(net.broadcast_address) - int(net.network_address)
    offsets = [*range(1, min(1 + _TRIED, size)), max(size - 1, 0)]
    found: list[Address] = [net.network_address + offset for offset in offsets]
    return [address for address in found if address not in own]


def _targets(to: Network, inside: list[Network]) -> list[Address]:
    """Addresses of a destination that are on none of the edge's segments."""
    beyond = [ipaddress.ip_address(text) for text in _BEYOND[to.version]] if not to.prefixlen else _some(to, ())
    return [address for address in beyond if not any(address in net for net in inside)]


# The routes ----------------------------------------------------------------------------------------------------------------


def subnets(values: Values, leg: Leg) -> list[Network]:
    """The subnets of a leg's segment."""
    segment = values.segments.get(leg.segment)
    return segment.subnets if segment else []


def _ways(values: Values, edge: Edge, route: SourceRoute) -> list[Way]:
    """A route by the ports that its source comes by, of the family of its next hop."""
    to = _destination(route.to, route.via)
    return [
        Way(segment, net, to, route.via)
        for segment, net in _sources(values, edge, route.source)
        if net.version == to.version
    ]


def _destination(to: str, via: str) -> Network:
    """The prefix that a route leads to, of the family of its next hop."""
    return ipaddress.ip_network(("::/0" if ":" in via else "0.0.0.0/0") if to == "default" else to)


def _sources(values: Values, edge: Edge, source: str) -> list[tuple[str, Network]]:
    """The segment that a source is in, with its subnets or the stated one; none if it is behind no leg."""
    inner = [(leg.segment, net) for leg in edge.legs if leg.gateway for net in subnets(values, leg)]
    named = [(segment, net) for segment, net in inner if segment == source]
    if named:
        return named
    try:
        stated = ipaddress.ip_network(source)
    except ValueError:
        return []
    return [(segment, stated) for segment, net in inner if _within(stated, net)]


def check(values: Values, edge: Edge) -> None:
    """Each route's source is behind the edge, its destination beyond the edge's segments, and it is stated once."""
    known = [leg.segment for leg in edge.legs if leg.gateway]
    seen: set[Way] = set()
    for route in edge.source_routes if all(leg.segment in values.segments for leg in edge.legs) else ():
        if not _sources(values, edge, route.source):
            values.problems.append(
                f"{route.where}.from {word(route.source)} is no segment of the edge that it is the gateway of, and no prefix in one"
                f"{suggest(route.source, known)}"
            )
            continue
        ways = _ways(values, edge, route)
        said = f"{route.where} from {route.source} to {route.to} via {route.via}"
        values.problems += [f"{said} {fault}" for fault in _faults(values, edge, route, ways)]
        if seen.intersection(ways):
            values.problems.append(f"{said} is there twice; leave one of them out.")
        seen.update(ways)


def _faults(values: Values, edge: Edge, route: SourceRoute, ways: list[Way]) -> list[str]:
    """What is wrong with a route by itself."""
    own = [address for leg in edge.legs for address in (leg.address, leg.address6) if address]
    nets = [net for leg in edge.legs for net in subnets(values, leg)]
    via = ipaddress.ip_address(route.via)
    found = [] if ways else ["has a source of another address family; give a next hop of that one."]
    if via in own:
        found.append("leads to the edge itself; give the address of another router.")
    elif not any(via in net for net in nets):
        found.append("has a next hop on none of the edge's segments; give one there.")
    plain = [net for net, _via in map(_route, edge.routes)]
    if ways and not _covered(ways[0].to, plain):
        found.append(
            "has no route without a source to the same place, and OVN drops what its routing table has no route for before it asks for the source;"
            " state one for all others, too."
        )
    inside = [net for net in nets if any(_within(way.to, net) for way in ways)]
    if inside:
        found.append(f"is for {inside[0]}, a segment of the edge, where it leads itself; give a destination beyond it.")
    return found


def _covered(to: Network, nets: list[Network]) -> bool:
    """Whether prefixes, alone or together, have all addresses of another one."""
    same = [t.cast(t.Any, net) for net in nets if net.version == to.version]
    return any(_within(to, net) for net in ipaddress.collapse_addresses(same))


def _within(net: Network, other: Network) -> bool:
    return net.version == other.version and net.subnet_of(t.cast(t.Any, other))

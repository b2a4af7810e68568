# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes of OVN's routers for what comes from one source: rows of Logical_Router_Policy, and what is refused of them. Source: ovn-nb(5).

A policy is asked behind the routing table and goes before it. Among them the longest destination wins, then the longest source, as in a routing table.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.edges import Edge, Leg, SourceRoute
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Network
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]
Name = t.Callable[[str], str]

# Above the policies that hold sources to their segments. OVN takes 0 to 32767.
LOWEST, OWN = 1000, 30000
LENGTHS = 129


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


def subnets(values: Values, leg: Leg) -> list[Network]:
    """The subnets of a leg's segment."""
    segment = values.segments.get(leg.segment)
    return [net for net in (segment.subnet, segment.subnet6) if net] if segment else []


def _ways(values: Values, edge: Edge, route: SourceRoute) -> list[Way]:
    """A route by the ports that its source comes by, of the family of its next hop."""
    via = ipaddress.ip_address(route.via)
    to = ipaddress.ip_network(("0.0.0.0/0" if via.version == 4 else "::/0") if route.to == "default" else route.to)
    return [
        Way(segment, net, to, route.via)
        for segment, net in _sources(values, edge, route.source)
        if net.version == to.version
    ]


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
    inside = [net for net in nets if any(_within(way.to, net) for way in ways)]
    if inside:
        found.append(f"is for {inside[0]}, a segment of the edge, where it leads itself; give a destination beyond it.")
    return found


def _within(net: Network, other: Network) -> bool:
    return net.version == other.version and net.subnet_of(t.cast(t.Any, other))

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges with OSPF or BGP: which routers they speak with, what they announce, and what is refused of them.

What NAT translates is not announced, as nobody outside sees its addresses. Of two hosts both speak and take the default route, and the
active one alone announces: answers that came in by the other would meet no connection there. So keepalived has the subnets in a routing
table of their own while it is active, and BIRD announces what is in that.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.edges import Bgp, Edge, Leg, Peer
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address, Network, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.vrrp import interface_of

Item = t.Dict[str, t.Any]
Segments = t.Mapping[str, Segment]

# A leg's own addresses on a host, by the names of the segments.
Own = t.Mapping[str, t.Sequence[Address]]

DEFAULT_ROUTES = ("default", "0.0.0.0/0", "::/0")
# Of the namespace alone, and no rule looks into it.
ANNOUNCED_TABLE = 101


def check(edge: Edge, segments: Segments, problems: list[str]) -> None:
    """An edge that takes its default route from others has somebody to take it from, and none of its own."""
    option = "ospf" if edge.ospf else "bgp" if edge.bgp else None
    if option is None:
        return
    where = f"{edge.where}.{option}"
    if edge.distributed:
        problems.append(
            f"{where} is for an edge with a namespace, and OVN's router has none in which somebody could speak; give it routes instead."
        )
        return
    if edge.ospf and not _outside(edge):
        problems.append(
            f"{edge.where}.ospf finds no router, as all legs are gateways of their segments; give gateway: false to the leg that leads outside."
        )
    if not any(address.version == 4 for address in _own(edge)):
        problems.append(f"{where} needs a leg with IPv4, whose address is the router id; give one.")
    for route in edge.routes:
        if route["to"] in DEFAULT_ROUTES:
            problems.append(
                f"{edge.where}.routes has a default route via {route['via']}, which {option} is to bring; leave one of them out."
            )
    if edge.bgp:
        _check_peers(edge, edge.bgp, segments, problems)


def _check_peers(edge: Edge, bgp: Bgp, segments: Segments, problems: list[str]) -> None:
    seen: list[Address] = []
    for peer in bgp.peers:
        if not peer.address:
            continue
        if peer.address in [*_own(edge), *_stated(edge)]:
            problems.append(f"{peer.where}.address {peer.address} is the edge's own; give that of the other router.")
        elif peer.address in seen:
            problems.append(f"{edge.where}.bgp.neighbors has {peer.address} twice; give it once.")
        elif not _towards(edge, peer, segments) and all(leg.segment in segments for leg in edge.legs):
            problems.append(
                f"{peer.where}.address {peer.address} is on none of the edge's segments; give an address of a router there."
            )
        seen.append(peer.address)


def item(edge: Edge, segments: Segments, own: Own) -> Item:
    """An edge on a host as the module netns_bird takes it."""
    every = [address for leg in _outside_first(edge) for address in own[leg.segment]]
    return {
        "name": edge.name,
        "namespace": edge.name,
        "router_id": str(next(address for address in every if address.version == 4)),
        "announce": [] if edge.redundant else [str(network) for network in announced(edge, segments)],
        "announce_table": ANNOUNCED_TABLE if edge.redundant else None,
        "ospf": _ospf(edge),
        "asn": edge.bgp.asn if edge.bgp else None,
        "neighbors": [
            {"address": str(peer.address), "local": str(_local(edge, peer, segments, own)), "asn": peer.asn}
            for peer in (edge.bgp.peers if edge.bgp else ())
        ],
    }


def shared(edge: Edge, segments: Segments, router: Item) -> Item:
    """The VRRP router of an edge on two hosts, with the routes of which the active one's are announced."""
    if not (edge.ospf or edge.bgp):
        return router
    told = announced(edge, segments)
    legs = []
    for leg, interface in zip(edge.legs, router["interfaces"]):
        routes = [str(net) for net in segments[leg.segment].subnets if net in told]
        legs.append({**interface, "routes": routes})
    return {**router, "table": ANNOUNCED_TABLE, "interfaces": legs}


def _ospf(edge: Edge) -> Item | None:
    if edge.ospf is None:
        return None
    outside = _outside(edge)
    versions = {address.version for leg in outside for address in _of(leg)}
    return {
        "interfaces": [interface_of(leg) for leg in outside],
        "families": [f"ipv{version}" for version in sorted(versions)],
        "area": edge.ospf.area,
        "cost": edge.ospf.cost,
        "hello_interval": edge.ospf.hello,
        "dead_interval": edge.ospf.dead,
    }


def announced(edge: Edge, segments: Segments) -> list[Network]:
    """The subnets that others are told of."""
    hidden = [_source(nat.source, segments) for nat in edge.nat]
    inside = [segments[leg.segment] for leg in edge.legs if leg.gateway]
    subnets = [net for segment in inside for net in segment.subnets]
    return [net for net in subnets if not any(one and _within(net, one) for one in hidden)]


def speakers(edge: Edge, leg: Leg, segments: Segments) -> list[Address]:
    """The routers on a leg with which an edge has sessions of BGP."""
    segment = segments[leg.segment]
    peers = edge.bgp.peers if edge.bgp else []
    return [peer.address for peer in peers if _is_on(segment, peer.address)]


def _source(source: str, segments: Segments) -> Network | None:
    return segments[source].subnet if source in segments else ipaddress.ip_network(source)


def _within(one: Network, other: Network) -> bool:
    return one.version == other.version and one.network_address in other and one.prefixlen >= other.prefixlen


def _outside(edge: Edge) -> list[Leg]:
    return [leg for leg in edge.legs if not leg.gateway]


def _of(leg: Leg) -> list[Address]:
    return [address for address in (leg.address, leg.address6) if address]


def _own(edge: Edge) -> list[Address]:
    """All addresses of an edge, those outside first; of two hosts the virtual ones."""
    return [address for leg in _outside_first(edge) for address in _of(leg)]


def _outside_first(edge: Edge) -> list[Leg]:
    return sorted(edge.legs, key=lambda leg: bool(leg.gateway))


def _stated(edge: Edge) -> list[Address]:
    """The addresses that legs have on each of two hosts, where the intent gives them."""
    return [address for leg in edge.legs for address in (*(leg.own or ()), *(leg.own6 or ())) if address]


def _towards(edge: Edge, peer: Peer, segments: Segments) -> list[Leg]:
    """The legs on the segment of a neighbor that have an address of its family."""
    on_segment = [leg for leg in edge.legs if leg.segment in segments and _is_on(segments[leg.segment], peer.address)]
    return [leg for leg in on_segment if peer.address.version in {one.version for one in _of(leg)}]


def _local(edge: Edge, peer: Peer, segments: Segments, own: Own) -> Address:
    """The edge's own address on the segment of a neighbor."""
    here = [address for leg in _towards(edge, peer, segments) for address in own[leg.segment]]
    return next(address for address in here if address.version == peer.address.version)


def _is_on(segment: Segment, address: Address) -> bool:
    return any(addresses.contains(net, str(address)) for net in segment.subnets)

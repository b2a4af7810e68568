# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From segment to segment by edges: the legs of a way, each on one segment, and what the packet's header has on each. Pure: from the plan.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.ovn import leg_name
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.packet import End, Gateway, Packet, outside

Item = t.Dict[str, t.Any]

# More edges than this between two ends are a circle.
MOST = 8


class Leg(t.NamedTuple):
    """A part of the way. there, back: the router of OVN between its ends, as the source and as the target see it; None on one segment."""

    source: End
    target: End
    packet: Packet
    there: Gateway | None = None
    back: Gateway | None = None


class Entrance(t.NamedTuple):
    """Into OVN: the edge that is its router, the router's MAC address outside, the endpoint, and the port there, None where it stays."""

    edge: str
    mac: str
    endpoint: str
    port: int | None


class Crossing:
    """Where routers between segments lead a packet. end_of: an endpoint of the plan as an end.

    active: edge -> the host that has its virtual addresses, where it has several; the first one if it is not told.
    """

    def __init__(
        self,
        plan: Item,
        points: t.Mapping[str, Item],
        end_of: t.Callable[[Item], End],
        active: t.Mapping[str, str],
    ) -> None:
        self.plan = plan
        self.active = active
        self.points = points
        self.end_of = end_of
        self.segments = {segment["name"]: segment for segment in plan["segments"]}
        self.edges = {edge["name"]: edge for edge in plan.get("edges", ())}
        # Those of OVN, which are on every host.
        central = [host["ovn_central"] for host in plan["hosts"].values() if host.get("ovn_central")]
        self.routers: list[Item] = [router for one in central for router in one["northbound"]["routers"]]

    def legs(self, source: End, packet: Packet) -> list[Leg]:
        """The legs from an endpoint to the packet's target; none where no planned router leads there.

        The last one may end at a router that the plan knows by its address alone.
        """
        found: list[Leg] = []
        here: End | None = source
        edge = self.edge_of(source)
        for _number in range(MOST):
            if here is None:
                return []
            if edge is not None:
                here = self._leaving(edge, packet.target)
                if here is None:
                    return []
                packet = self._translated(edge, here, packet) if found else packet._replace(source=here.address)
            leg = self._next(here, packet)
            if leg is None:
                return []
            found.append(leg)
            far = leg.target
            edge = self.edge_of(far)
            packet = self._forwarded(edge, packet) if edge else packet
            if edge is None or packet.target in self._addresses(edge):
                return found
        return []

    def edge_of(self, end: End) -> Item | None:
        """The edge that an end is an interface of."""
        return self.edges.get(self.points.get(end.id, {}).get("edge") or "")

    def _host(self, edge: Item) -> str:
        return self.active.get(edge["name"], str(edge["hosts"][0]))

    def _interfaces(self, edge: Item) -> list[Item]:
        """The interfaces of an edge on the host where it is active, with the addresses that others ask for; a router of OVN has none."""
        if not edge["hosts"]:
            return []
        asked = {leg["segment"]: {"address": leg["address"], "address6": leg["address6"]} for leg in edge["legs"]}
        return [
            {**point, **asked[point["segment"]]}
            for point in self.points.values()
            if point.get("edge") == edge["name"] and point["host"] == self._host(edge)
        ]

    def _addresses(self, edge: Item) -> set[str]:
        """All addresses of an edge, also those that each of its hosts has for itself."""
        own = [point for point in self.points.values() if point.get("edge") == edge["name"]]
        return {point[key] for point in [*own, *edge["legs"]] for key in ("address", "address6")}

    def on_link(self, segment: str, address: str) -> bool:
        """Whether an address is on a segment."""
        nets = [self.segments[segment][key] for key in ("subnet", "subnet6")]
        return any(net and inside(address, net) for net in nets)

    def _leaving(self, edge: Item, target: str) -> End | None:
        """The interface of an edge by which a packet leaves."""
        point = next((one for one in self._interfaces(edge) if self.on_link(one["segment"], target)), None)
        if point is None:
            via = self._planned_route(self._host(edge), edge["name"], target)
            on = [one for one in self._interfaces(edge) if via and self.on_link(one["segment"], via)]
            point = on[0] if on else None
        return _of_family(self.end_of(point), point, target) if point else None

    def _next(self, here: End, packet: Packet) -> Leg | None:
        """Who gets the packet on the segment of an end: the target, or the next router; behind OVN's routers, which are on every host."""
        segment = here.segment or ""
        address: str | None = packet.target
        if not self.on_link(segment, packet.target):
            address = self.way_out(here, packet.target)
        if address is None:
            return None
        found = self._having(segment, address)
        if found:
            return Leg(here, found, packet)
        for edge in self.edges.values():
            there = self._distributed(edge, segment, address)
            if there and address != packet.target:
                return self._behind(edge, there, here, packet)
        return Leg(here, outside(address), packet)

    def _having(self, segment: str, address: str) -> End | None:
        """Who has an address on a segment: an interface of an edge, or an endpoint."""
        edges = [point for edge in self.edges.values() for point in self._interfaces(edge)]
        for point in [*edges, *self.points.values()]:
            if point["segment"] == segment and address in (point["address"], point["address6"]):
                return _of_family(self.end_of(point), point, address)
        return None

    def _behind(self, edge: Item, there: Gateway, here: End, packet: Packet) -> Leg | None:
        """Through a router of OVN: to the target on another of its segments, or to whom its routes lead."""
        hop = self.next_hop(next((one["name"] for one in self.routers if there.port in _names(one)), ""), packet.target)
        for leg in edge["legs"]:
            if leg["segment"] == edge["provider"]:
                # What leaves OVN is translated by the host that is the gateway: see leaves.
                continue
            for address in (packet.target, hop):
                far = self._having(leg["segment"], address) if self.on_link(leg["segment"], address) else None
                if far:
                    back = self._distributed(edge, leg["segment"], _alike(leg, packet.target))
                    return Leg(here, far, packet, there, back)
        return None

    def next_hop(self, router: str, target: str) -> str:
        """Whom a router of OVN sends a packet to, by its planned routes: the target itself on its own segments, and where it has no route."""
        row: Item = next((one for one in self.routers if one["name"] == router), {"ports": [], "static_routes": []})
        ways = [(net, target) for port in row["ports"] for net in port["networks"]]
        ways += [(one["ip_prefix"], one["nexthop"]) for one in row["static_routes"]]
        fitting = [(_length(net), hop) for net, hop in ways if inside(target, net)]
        return str(max(fitting, key=lambda one: one[0])[1]) if fitting else target

    def leaves(self, source: End, target: str) -> Gateway | None:
        """The router of OVN whose gateway sends a packet out to its provider network, or None."""
        segment = source.segment or ""
        if self.on_link(segment, target):
            return None
        address = self.way_out(source, target)
        found = [self._distributed(one, segment, address) for one in self.edges.values() if address]
        gateway = next(filter(None, found), None)
        edge = self.edges[gateway.edge] if gateway else None
        if edge is None or edge["provider"] is None:
            return None
        own = [leg["segment"] for leg in edge["legs"] if leg["segment"] != edge["provider"]]
        return None if any(self.on_link(one, target) for one in own) else gateway

    def landing(self, gateway: Gateway, target: str) -> End | None:
        """The endpoint of a provider network that a packet is for, behind a gateway of OVN."""
        return self._having(self.edges[gateway.edge]["provider"], target)

    def outer(self, gateway: Gateway, source: str) -> tuple[str | None, bool]:
        """The address that an endpoint has behind a gateway of OVN, and whether its own host translates to it."""
        edge = self.edges[gateway.edge]
        for one in edge["floating"]:
            if one["inner"] == source:
                return one["address"], one["distributed"]
        return next((one["address"] for one in edge["nat"] if inside(source, one["from"])), None), False

    def translated_by(self, address: str) -> Item | None:
        """The edge that is a router of OVN and answers for an address: of a leg, of NAT, of a forwarded port, or floating."""
        for edge in self.edges.values():
            taken = [*edge["nat"], *edge["forwards"], *edge["floating"]]
            if edge["provider"] and address in {*self._addresses(edge), *(one["address"] for one in taken)}:
                return edge
        return None

    def enters(self, source: End, packet: Packet) -> Entrance | None:
        """Where a packet from a provider network is for an endpoint behind a router of OVN, by a floating address or a forwarded port."""
        edge = self.translated_by(packet.target)
        if edge is None or edge["provider"] != source.segment:
            return None
        name = leg_name(self.plan["fabric"], edge["name"], edge["provider"])
        router: Item = next((one for one in self.routers if name in _names(one)), {"ports": [], "nat": []})
        mac = next((port["mac"] for port in router["ports"] if port["name"] == name), "")
        for one in edge["floating"]:
            if one["address"] == packet.target:
                own = [row.get("external_mac") for row in router["nat"] if row["external_ip"] == one["address"]]
                return Entrance(edge["name"], next(filter(None, own), mac), one["to"], None)
        asked = (packet.target, packet.protocol, packet.port)
        for one in edge["forwards"]:
            if (one["address"], one["protocol"], one["port"]) == asked:
                return Entrance(edge["name"], mac, one["to"], one["to_port"])
        return None

    def forwarded_by_ovn(self, packet: Packet) -> bool:
        """Whether a packet is for a forwarded port of an edge that is a router of OVN, which answers pings itself."""
        edge = self.translated_by(packet.target)
        asked = (packet.target, packet.protocol, packet.port)
        forwards = edge["forwards"] if edge else ()
        return any((one["address"], one["protocol"], one["port"]) == asked for one in forwards)

    def _distributed(self, edge: Item, segment: str, address: str) -> Gateway | None:
        """An edge that is OVN's router, by its address on a segment."""
        name = leg_name(self.plan["fabric"], edge["name"], segment)
        for leg in edge["legs"]:
            if leg["segment"] == segment and address in (leg["address"], leg["address6"]):
                ports = [port for router in self.routers for port in router["ports"] if port["name"] == name]
                return Gateway(edge["name"], address, ports[0]["mac"], name) if ports else None
        return None

    def _planned_route(self, host: str, space: str, target: str) -> str | None:
        """The planned next hop of a namespace, by the longest prefix."""
        rows = [
            (ipaddress.ip_network(_prefix(route["to"], route["via"]), strict=False), route["via"])
            for one in self.plan["hosts"].get(host, {}).get("namespaces", ())
            if one["name"] == space
            for route in one["routes"]
            if route.get("via")
        ]
        fitting = [(net.prefixlen, via) for net, via in rows if inside(target, str(net))]
        return max(fitting)[1] if fitting else None

    def way_out(self, end: End, target: str) -> str | None:
        """The planned next hop of an end beyond its segment. What is not in a namespace, and a client of DHCP, is told of the gateway."""
        found = self._planned_route(end.host or "", end.space or "", target)
        told = not end.space or (self.points.get(end.id) or {}).get("dhcp")
        return found or (self._gateway(end.segment or "", target) if told else None)

    def _gateway(self, segment: str, target: str) -> str | None:
        """The gateway of a segment: what a guest or a client of DHCP has as its default route."""
        for edge in self.edges.values():
            for leg in edge["legs"]:
                if leg["segment"] == segment and leg["gateway"]:
                    return _alike(leg, target) or None
        return None

    def _forwarded(self, edge: Item, packet: Packet) -> Packet:
        """The packet after a forwarded port."""
        for one in edge["forwards"]:
            if (packet.target, packet.protocol, packet.port) == (one["address"], one["protocol"], one["port"]):
                point = self.points[one["to"]]
                target = _alike(point, packet.target)
                original = (packet.target, packet.port)
                return packet._replace(target=target, port=one["to_port"], original=original)
        return packet

    def _translated(self, edge: Item, leaving: End, packet: Packet) -> Packet:
        """The packet after source NAT."""
        if packet.original and self.on_link(leaving.segment or "", packet.source):
            return packet._replace(source=leaving.address)
        for one in edge["nat"]:
            if one["out"] == leaving.segment and inside(packet.source, one["from"]):
                return packet._replace(source=one["address"] or leaving.address)
        return packet


def _names(router: Item) -> list[str]:
    return [port["name"] for port in router["ports"]]


def _length(network: str) -> int:
    return ipaddress.ip_network(network, strict=False).prefixlen


def inside(address: str, network: str) -> bool:
    """Whether an address is in a network, of the same family."""
    one, net = ipaddress.ip_address(address), ipaddress.ip_network(network, strict=False)
    return one.version == net.version and one in net


def _prefix(to: str, via: str) -> str:
    return ("::/0" if ":" in via else "0.0.0.0/0") if to == "default" else to


def _of_family(end: End, point: Item, address: str) -> End:
    """An end with its address of the family of another."""
    return end._replace(address=_alike(point, address))


def _alike(point: Item, address: str) -> str:
    """The address of an endpoint or a leg that is of the family of another; empty if it has none. That of its segment's only subnet may be IPv6."""
    own = [one for one in (point["address"], point["address6"]) if one and (":" in one) == (":" in address)]
    return str(own[0]) if own else ""

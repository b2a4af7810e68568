# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges on two hosts: who hears whom, with which numbers, and what is refused of them.

Each interface has an address of its own on each host, from which it sends adverts to the other host's one alone: multicast would reach all
endpoints of the segment, several times a second. The order of the hosts is that of their priorities, so no two can be the same.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.edges import VRIDS, Edge, Leg
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address, Endpoint
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import mesh
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]

MOST_HOSTS = 2
PRIORITIES = (200, 100)
INTERFACE_LENGTH = 15


def interface_of(leg: Leg) -> str:
    """An interface is called as its segment, where that is short enough."""
    name = leg.interface or leg.segment
    return mesh.shortened(name) if name and len(name) > INTERFACE_LENGTH else name


def check(edge: Edge, problems: list[str]) -> None:
    """What an edge states of VRRP fits its hosts."""
    for leg in edge.legs:
        for option, given in (("host_addresses", leg.own), ("host_addresses6", leg.own6)):
            if given is None:
                continue
            if not edge.redundant:
                problems.append(
                    f"{leg.where}.{option} is for an edge on two hosts; leave it out, as address is its own."
                )
            elif len(given) != len(edge.hosts):
                problems.append(
                    f"{leg.where}.{option} has {len(given)} addresses; give one for each of {', '.join(edge.hosts)}, in this order."
                )
    if edge.vrid and not edge.redundant:
        problems.append(f"{edge.where}.vrid is for an edge on two hosts; leave it out, or name another host.")
    if edge.interval and edge.interval % 10:
        problems.append(
            f"{edge.where}.advert_interval {edge.interval} is no multiple of 10 ms, which VRRP counts in; give one."
        )


class Vrrp:
    """The VRRP routers of all edges that are on two hosts. What is wrong goes to the values' problems.

    vrids: by the names of the edges.
    """

    def __init__(self, values: Values, edges: list[Edge]) -> None:
        self.values = values
        self.edges = [edge for edge in edges if edge.redundant]
        for edge in self.edges:
            self._check_segments(edge)
        self.vrids = self._vrids()

    def item(self, edge: Edge, host: str) -> Item:
        """An edge on a host, as the module netns_keepalived takes it."""
        return {
            "name": edge.name,
            "namespace": edge.name,
            "vrid": self.vrids[edge.name],
            "priority": PRIORITIES[edge.hosts.index(host)],
            "interval": edge.interval,
            "preempt": edge.preempt,
            "interfaces": [self._interface(edge, leg, host) for leg in edge.legs],
        }

    def peers(self, edge: Edge, leg: Leg, host: str) -> list[Address]:
        """A leg's addresses on the other hosts."""
        return [self._own(edge, leg, other) for other in edge.hosts if other != host]

    def _interface(self, edge: Edge, leg: Leg, host: str) -> Item:
        point = self.point(edge, leg, host)
        return {
            "interface": interface_of(leg),
            "addresses": alone(point.virtual),
            "source": str(self._own(edge, leg, host)),
            "peers": [str(peer) for peer in self.peers(edge, leg, host)],
        }

    def point(self, edge: Edge, leg: Leg, host: str) -> Endpoint:
        """The endpoint that is a leg of an edge on a host."""
        here = self.values.intent.hosts[host].endpoints
        return next(one for one in here if one.edge == edge.name and one.segment == leg.segment)

    def _own(self, edge: Edge, leg: Leg, host: str) -> Address:
        return t.cast(Address, self.values.addressed[self.point(edge, leg, host).id].address.value)

    def _check_segments(self, edge: Edge) -> None:
        """Adverts go over IPv4, and who has the addresses is learned."""
        for leg in edge.legs:
            segment = self.values.segments.get(leg.segment)
            if segment is None:
                continue
            if segment.subnet and segment.subnet.version == 6:
                self.values.problems.append(
                    f"{leg.where}.segment {segment.name} is IPv6 alone, and the two hosts of an edge hear of each other by IPv4;"
                    " give it an IPv4 subnet and a subnet6, or name one host."
                )
            if self.values.ovn(segment):
                self.values.problems.append(
                    f"{leg.where}.segment {segment.name} is OVN's, which leads an address to one host alone; name one host,"
                    " or let all legs be on segments of OVN, whose router is on every host."
                )
            elif self.values.keyed(segment):
                self.values.problems.append(
                    f"{leg.where}.segment {segment.name} is told apart by key, and its flows lead an address to one host alone;"
                    " name one host, or set segments_by: vlan for its overlay."
                )

    # Numbers

    def _vrids(self) -> dict[str, int]:
        """The given numbers, and for each other edge the lowest that is free on its segments."""
        found: dict[str, int] = {}
        for edge in self.edges:
            if edge.vrid:
                self._check_vrid(edge, found)
                found[edge.name] = edge.vrid
        for edge in self.edges:
            taken = {found[other.name] for other in self.edges if other.name in found and _meet(edge, other)}
            free = next((number for number in range(VRIDS[0], VRIDS[1] + 1) if number not in taken), None)
            if free is None:
                self.values.problems.append(f"{edge.where} finds no free VRID on its segments; put fewer edges there.")
            found.setdefault(edge.name, free or VRIDS[0])
        return found

    def _check_vrid(self, edge: Edge, found: dict[str, int]) -> None:
        for other in self.edges:
            if found.get(other.name) == edge.vrid and _meet(edge, other):
                both = next(leg.segment for leg in edge.legs if leg.segment in _segments(other))
                self.values.problems.append(
                    f"{other.where} and {edge.where} both have the vrid {edge.vrid} on segment {both}; give one of them another, or leave it out."
                )


def alone(addresses: t.Iterable[Address]) -> list[str]:
    """Addresses without a subnet, so that they bring no route, and go with no other address of the interface."""
    return [f"{address}/{address.max_prefixlen}" for address in addresses]


def _segments(edge: Edge) -> set[str]:
    return {leg.segment for leg in edge.legs if leg.segment}


def _meet(edge: Edge, other: Edge) -> bool:
    """Whether two edges share a segment."""
    return bool(_segments(edge) & _segments(other))

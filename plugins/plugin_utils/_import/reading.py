# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was read of a host that somebody has built by hand, by name, and the notes on what the intent cannot say of it.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

Item = t.Dict[str, t.Any]
Interface = t.Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]


class Note(t.NamedTuple):
    """Something that was not understood: on which host, what it is, why, and the way on."""

    host: str
    thing: str
    why: str
    way: str

    def sentence(self) -> str:
        """For a person."""
        return f"{self.host} {self.thing}: {self.why}; {self.way}."


class Host:
    """One host as it was read.

    bridges, tunnels, namespaces: by name, as ovs_info and netns_info return them. ports: likewise, each with its bridge, without tunnels
    and the bridges' own. links: the host's interfaces, as trace_info returns them. forwarding: of each namespace, by address family.
    guests: by the host's end of a NIC, the guest's name. routing: the lines of frr.conf that begin a routing process.
    """

    def __init__(self, name: str, read: Item) -> None:
        self.name = name
        self.bridges: dict[str, Item] = {bridge["name"]: bridge for bridge in read.get("bridges", ())}
        self.tunnels: dict[str, Item] = {tunnel["name"]: tunnel for tunnel in read.get("tunnels", ())}
        self.namespaces: dict[str, Item] = {space["name"]: space for space in read.get("namespaces", ())}
        spaces = read.get("spaces", {})
        self.links: dict[str, Item] = spaces.get("", {}).get("links", {})
        self.forwarding = {name: (space["forwarding"], space["forwarding6"]) for name, space in spaces.items() if name}
        self.guests = _guests(read.get("domains") or {})
        self.routing: list[str] = read.get("routing", [])
        self.ports: dict[str, Item] = {}
        for bridge in self.bridges.values():
            for port in bridge["ports"]:
                if port["name"] not in (bridge["name"], *self.tunnels):
                    self.ports[port["name"]] = {**port, "bridge": bridge["name"]}
        self.outers = {link["outer"] for space in self.namespaces.values() for link in space["interfaces"]} - {None}

    def addresses(self) -> t.Iterator[tuple[str, Interface]]:
        """The host's own addresses, each with its interface; not those of the loopback and of links only."""
        for name, link in self.links.items():
            for text in link["addresses"] if name != "lo" else ():
                address = ipaddress.ip_interface(text)
                if not address.is_link_local:
                    yield name, address

    def nics(self, bridge: str) -> list[Item]:
        """The ports of a bridge that lead out of the host: NICs and bonds."""
        inside = {*self.outers, *self.guests}
        return [
            port
            for port in self.ports.values()
            if port["bridge"] == bridge and not port["type"] and port["name"] not in inside
        ]


def _guests(domains: Item) -> dict[str, str]:
    """The guests' names by the host's ends of their NICs."""
    found = {}
    for name, domain in domains.items():
        for nic in domain.get("interfaces") or ():
            if nic.get("dev"):
                found[nic["dev"]] = name
    return found


def most_common(values: t.Iterable[t.Any]) -> t.Any:
    """The value that comes most often, the first of several; None of nothing."""
    listed = list(values)
    return max(listed, key=listed.count) if listed else None

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints of hosts that were built by hand: network namespaces with a veth pair to a bridge.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import default_outer
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.reading import Host, Interface, Note
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import matching_name

Item = t.Dict[str, t.Any]

MAIN_TABLE = 254
FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")


class Endpoint(t.NamedTuple):
    """A namespace that is on one segment. mtu: in bytes. address, address6: with prefix lengths, None for none."""

    host: str
    name: str
    bridge: str
    vlan: int | None
    mtu: int
    link: Item
    address: Interface | None
    address6: Interface | None
    sysctls: dict[str, int]

    @property
    def networks(self) -> tuple[t.Any, t.Any]:
        """The subnets of its addresses."""
        return tuple(each and each.network for each in (self.address, self.address6))  # type: ignore[return-value]

    def item(self, segment: str) -> Item:
        """As the intent has it."""
        found: Item = {"name": self.name, "segment": segment}
        first, second = (self.address or self.address6, self.address6 if self.address else None)
        found["address"] = str(first.ip) if first else None
        if second:
            found["address6"] = str(second.ip)
        found["mac"] = self.link["mac"]
        if self.link["name"] != "eth0":
            found["interface"] = self.link["name"]
        if self.link["outer"] != default_outer(self.name, self.link["name"]):
            found["outer"] = self.link["outer"]
        if self.link["routes"]:
            found["routes"] = [{"to": route["to"], "via": route["via"]} for route in self.link["routes"]]
        if self.sysctls:
            found["sysctls"] = self.sysctls
        return found


def endpoints(host: Host, notes: list[Note]) -> list[Endpoint]:
    """The endpoints of a host; namespaces that are none are told of."""
    found = []
    for space in host.namespaces.values():
        why = _unlike(space)
        if why:
            way = "it stays as it is, outside of the fabric, and is not made again at boot"
            notes.append(Note(host.name, f"namespace {space['name']}", why, way))
            continue
        found.append(_endpoint(host, space))
    return found


def _unlike(space: Item) -> str | None:
    """Why a namespace is no endpoint of the intent, if so."""
    problems: list[str] = []
    matching_name(space["name"], "", problems)
    if problems:
        return "its name is none that the intent takes"
    if space["owner"]:
        return f"it belongs to {space['owner']} already"
    if space["rules"]:
        return "it has policy rules of its own (ip rule)"
    links = space["interfaces"]
    if len(links) != 1:
        names = ", ".join(link["name"] for link in links) or "none"
        return f"an endpoint has one interface, and this has {len(links)} ({names})"
    return _unlike_link(links[0])


def _unlike_link(link: Item) -> str | None:
    """Why an interface is not that of an endpoint, if so."""
    name = link["name"]
    if link["kind"] != "veth" or not link["bridge"]:
        return f"{name} is not one end of a veth pair whose other end is a port of an Open vSwitch bridge"
    if not link["up"]:
        return f"{name} is down"
    if (link["tag"] is not None and link["trunks"]) or link["trunks"] not in ([], [0]):
        return f"its port {link['outer']} carries several VLANs"
    if link["vlan_mode"] not in (None, "access"):
        return f"its port {link['outer']} has the vlan_mode {link['vlan_mode']}"
    families = [ipaddress.ip_interface(address).version for address in link["addresses"]]
    if not families or len(families) != len(set(families)):
        return f"{name} has {len(families)} addresses ({', '.join(link['addresses'])}), where an endpoint has one of a family"
    if any(route["table"] != MAIN_TABLE or route["metric"] or route["onlink"] for route in link["routes"]):
        return "it has routes with a metric, onlink, or in another table"
    return None


def _endpoint(host: Host, space: Item) -> Endpoint:
    link = space["interfaces"][0]
    by_family = {address.version: address for address in map(ipaddress.ip_interface, link["addresses"])}
    on = zip(FORWARDING, host.forwarding.get(space["name"], (0, 0)))
    return Endpoint(
        host.name,
        space["name"],
        link["bridge"],
        link["tag"],
        link["mtu"],
        link,
        by_family.get(4),
        by_family.get(6),
        {name: value for name, value in on if value},
    )

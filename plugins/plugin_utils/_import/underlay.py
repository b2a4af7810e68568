# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The underlay of hosts that were built by hand: who has which tunnel endpoint, on which bridge, behind which NIC or bond.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._import.reading import Host, Interface, Note, most_common

Item = t.Dict[str, t.Any]

BOND_MODES = {None: "active-backup", "active-backup": "active-backup", "balance-slb": "balance-slb"}


class Place(t.NamedTuple):
    """Where a host has its tunnel endpoint. nic: the port of the NIC or the bond. mtu: in bytes."""

    bridge: str
    port: str
    vlan: int | None
    address: Interface
    nic: Item
    mtu: int

    def common(self) -> tuple[t.Any, ...]:
        """What the intent has once for all hosts."""
        return self.bridge, self.port, self.vlan, self.address.network


class Underlay(t.NamedTuple):
    """places: of the hosts that the intent can have. mtu: in bytes, what all of them carry."""

    places: dict[str, Place]
    mtu: int

    def host_of(self, address: str) -> str | None:
        """The host with this tunnel endpoint."""
        wanted = ipaddress.ip_address(address)
        return next((name for name, place in self.places.items() if place.address.ip == wanted), None)

    def variables(self) -> Item:
        """The variable fabric_underlay."""
        place = next(iter(self.places.values()))
        found: Item = {
            "subnet": str(place.address.network),
            "mtu": self.mtu,
            "bridge": place.bridge,
            "tep": place.port,
        }
        if place.vlan:
            found["vlan"] = place.vlan
        return found

    def of_host(self, name: str) -> Item:
        """What a host says for itself."""
        place = self.places[name]
        bond = bond_of(place.nic)
        nic = {"fabric_underlay_bond": bond} if bond else {"fabric_underlay_interface": place.nic["name"]}
        return {"fabric_tep_address": str(place.address.ip), **nic}


def underlay(hosts: t.Mapping[str, Host], notes: list[Note]) -> Underlay:
    """The underlay of those hosts that agree on it; the others are told of."""
    wanted = _tunnel_endpoints(hosts.values())
    found = {name: place for name, host in hosts.items() for place in [_place(host, wanted, notes)] if place}
    shared = most_common(place.common() for place in found.values())
    for name, place in found.items():
        if place.common() != shared:
            notes.append(
                Note(
                    name,
                    f"tunnel endpoint {place.address}",
                    f"it is port {place.port} of bridge {place.bridge} in {place.address.network}, and the other hosts have port {shared[1]} of bridge"
                    f" {shared[0]} in {shared[3]}, but the intent has one for all",
                    "the host is left out; give it the others' names and subnet, or an inventory of its own",
                )
            )
    places = {name: place for name, place in found.items() if place.common() == shared}
    return Underlay(places, min((place.mtu for place in places.values()), default=0))


def bond_of(port: Item) -> Item | None:
    """A port as the intent has a bond; None for a single NIC."""
    if len(port["members"]) < 2:
        return None
    bond: Item = {"name": port["name"], "interfaces": port["members"]}
    if port["lacp"] == "active":
        bond["mode"] = "lacp"
        given = {"lacp_rate": port["lacp_time"]}
    else:
        bond["mode"] = BOND_MODES[port["bond_mode"]]
        delays = {"up_delay": port["bond_updelay"] or None, "down_delay": port["bond_downdelay"] or None}
        given = {"primary": port["bond_primary"], **delays}
    return {**bond, **{option: value for option, value in given.items() if value is not None}}


def _tunnel_endpoints(hosts: t.Iterable[Host]) -> set[t.Any]:
    """The addresses that tunnels lead from and to."""
    found = set()
    for host in hosts:
        for tunnel in host.tunnels.values():
            for option in ("local_ip", "remote_ip"):
                text = tunnel["options"].get(option)
                if text and text != "flow":
                    found.add(ipaddress.ip_address(text))
    return found


def _place(host: Host, wanted: set[t.Any], notes: list[Note]) -> Place | None:
    """A host's tunnel endpoint, where the intent can have it so."""
    own = list(host.addresses())
    found = [(link, address) for link, address in own if address.ip in wanted] or [
        (link, address) for link, address in own if _leads_out(host, link)
    ]
    if len(found) != 1:
        listed = ", ".join(str(address) for _link, address in found)
        why = f"several addresses may be it ({listed})" if found else "no address of this host is one"
        notes.append(
            Note(
                host.name, "tunnel endpoint", why, "the host is left out; state its underlay yourself (docs/intent.md)"
            )
        )
        return None
    link, address = found[0]
    reason = _unfit(host, link)
    if reason:
        way = "the host is left out; the fabric needs an internal port of the bridge that has the NIC"
        notes.append(Note(host.name, f"tunnel endpoint {address}", reason, way))
        return None
    port = host.ports[link]
    nic = host.nics(port["bridge"])[0]
    return Place(port["bridge"], link, port["tag"], address, nic, host.links[link]["mtu"])


def _leads_out(host: Host, link: str) -> bool:
    """Whether an interface is an internal port of a bridge with a NIC."""
    return _unfit(host, link) is None


def _unfit(host: Host, link: str) -> str | None:
    """Why the plan could not have its tunnel endpoint on this interface, if so."""
    port = host.ports.get(link)
    if port is None or port["type"] != "internal":
        return f"it is on {link}, which is no internal port of an Open vSwitch bridge"
    bridge = port["bridge"]
    nics = host.nics(bridge)
    if len(nics) != 1:
        names = ", ".join(nic["name"] for nic in nics) or "none"
        return f"bridge {bridge} needs one NIC or bond, and has {names}"
    nic = nics[0]
    if nic["tag"] is not None or nic["trunks"] or nic["vlan_mode"]:
        return f"port {nic['name']} of bridge {bridge} carries some VLANs only"
    if len(nic["members"]) > 1 and not _known_bond(nic):
        return f"bond {nic['name']} has the mode {nic['bond_mode']} with LACP {nic['lacp'] or 'off'}, which the intent does not know"
    return None


def _known_bond(port: Item) -> bool:
    """Whether the intent has a mode for a bond."""
    if port["lacp"] in (None, "off"):
        return port["bond_mode"] in BOND_MODES
    return port["lacp"] == "active" and port["bond_mode"] == "balance-tcp"

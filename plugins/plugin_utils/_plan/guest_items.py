# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's part of the plan as the modules take it: libvirt domains and networks, and what verify measures of it.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import shown_size
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Endpoint, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses, wires
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guest_machines import device, flash, machine, wait
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guests import BUILT, Guest, Guests, Nic
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.ovn_guests import interface_id
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.placement import STATED

Item = t.Dict[str, t.Any]

CONSOLE = "/var/log/libvirt/qemu/{}-console.log"


class GuestItems:
    """What the hosts of a plan have for its guests."""

    def __init__(self, guests: Guests) -> None:
        self.values = guests.values
        self.by_host = guests.by_host

    def parts(self, name: str) -> Item:
        """What a host gets for its guests: the guests themselves, their images, memory and libvirt networks."""
        guests = self.by_host[name]
        return {
            "guests": [self._item(guest) for guest in guests],
            "guest_images": BUILT.format(self.values.intent.name),
            "guest_memory": sum(guest.memory for guest in guests),
            "networks": self._networks(guests),
        }

    def points(self) -> dict[str, Item]:
        """What the endpoints that are guests have besides others, by their id."""
        return {guest.endpoint.id: self._point(guest) for guests in self.by_host.values() for guest in guests}

    def _point(self, guest: Guest) -> Item:
        # A transfer needs tools that only the lab's guest is known to have. Without an agent, a guest's own API is asked.
        linux = guest.options["role"] == "linux"
        asked = None if linux else device(guest, self._spaces(guest))
        return {
            "interface": guest.endpoint.interface if linux else guest.kind.first,
            "port": guest.nics[0].dev,
            "measures": linux or asked is not None,
            "sends": linux and guest.built,
            "device": asked,
            "nics": [_further(guest, number, nic) for number, nic in enumerate(guest.nics) if number and nic.addresses],
        }

    def sources(self) -> dict[str, str]:
        """Where the values of points() came from."""
        return {
            f"endpoints.{guest.endpoint.id}.interface": f"derived: first NIC of {guest.options['role']}"
            for guests in self.by_host.values()
            for guest in guests
        }

    def _spaces(self, guest: Guest) -> list[Endpoint]:
        """The namespaces on the guest's host and segment, from which it can be asked."""
        here = self.values.intent.hosts[guest.endpoint.host].endpoints
        return [e for e in here if (e.kind, e.segment) == ("namespace", guest.endpoint.segment)]

    def _bridge(self, nic: Nic) -> str:
        """The bridge that libvirt plugs a NIC into."""
        bridge = self.values.bridge_of(nic.segment or nic.trunks[0])
        return wires.plug_bridge(bridge) if nic.segment and self.values.keyed(nic.segment) else bridge

    def _portgroup(self, nic: Nic) -> str:
        """The portgroup of a NIC: named after its wire, its segment, or the VLANs of its trunk."""
        return nic.dev if nic.segment and self.values.keyed(nic.segment) else portgroup(nic)

    def _networks(self, guests: list[Guest]) -> list[Item]:
        """A libvirt network for each bridge that guests are on: a portgroup for each of its segments, and for each trunk that is used."""
        found: dict[str, Item] = {}
        for guest in guests:
            for nic in guest.nics:
                bridge = self._bridge(nic)
                name = network_name(self.values.intent.name, bridge)
                if name not in found:
                    groups = [_access(s) for s in self.values.segments.values() if self.values.bridge_of(s) == bridge]
                    groups += [
                        {"name": wire.name, "vlan": wire.vlan}
                        for wire in self.values.wires[guest.endpoint.host]
                        if wires.plug_bridge(self.values.bridge_of(wire.segment)) == bridge
                    ]
                    found[name] = {"name": name, "mode": "openvswitch", "bridge": bridge, "portgroups": groups}
                if nic.trunks and portgroup(nic) not in [group["name"] for group in found[name]["portgroups"]]:
                    trunk = {"name": portgroup(nic), "trunks": [str(vlan) for vlan in nic.vlans]}
                    found[name]["portgroups"].append({**trunk, "native_vlan": nic.native.vlan} if nic.native else trunk)
        return list(found.values())

    def _logical(self, guest: Guest, number: int, nic: Nic) -> Item:
        """The logical port that a NIC on a segment of OVN is."""
        if nic.segment is None or not self.values.ovn(nic.segment):
            return {}
        return {"interface_id": interface_id(self.values.intent.name, guest.endpoint, number)}

    def _item(self, guest: Guest) -> Item:
        """A guest with the domain as the module takes it, what to wait for, and what its role needs besides."""
        endpoint, options = guest.endpoint, guest.options
        domain = {
            "name": endpoint.name,
            "state": "running",
            "uuid": guest.uuid,
            "title": f"{options['role']} guest {endpoint.name} of fabric {self.values.intent.name}",
            "machine": "pc",
            "memory": shown_size(guest.memory),
            "vcpus": options["vcpus"] or (1 if guest.built else guest.kind.vcpus),
            "nics": [
                {
                    "mac": nic.mac,
                    "model": options["model"] or guest.kind.model,
                    "offload": "auto",
                    "network": network_name(self.values.intent.name, self._bridge(nic)),
                    "portgroup": self._portgroup(nic),
                    "dev": nic.dev,
                    "mtu": nic.mtu,
                    "rom": False,
                    **self._logical(guest, number, nic),
                }
                for number, nic in enumerate(guest.nics)
            ],
            "serial": {"log": CONSOLE.format(endpoint.name)},
            "graphics": [],
            "guest_agent": options["role"] == "linux",
            **_stated(endpoint),
            "autostart": True,
            "restart": options["restart"],
            "force": options["restart"],
        }
        return {
            "name": endpoint.name,
            "role": options["role"],
            "image": options["image"],
            "placement": options["placement"],
            "storage": options["storage"],
            "sums": [
                {"path": options[name], "sha256": options[f"{name}_sha256"]}
                for name in ("image", "aboot")
                if options[name] and options[f"{name}_sha256"]
            ],
            "user": options["user"],
            "addresses": [
                {"nic": number, "address": addresses.with_prefix(*pair)}
                for number, nic in enumerate(guest.nics)
                for pair in nic.addresses
            ],
            "built": guest.built,
            "domain": {**domain, **machine(guest)},
            "wait": wait(guest, self._spaces(guest)),
            "flash": flash(guest),
        }


def _stated(endpoint: Endpoint) -> Item:
    """What tells a guest that others have migrated from one that the intent moves; one that is still to be moved keeps what it has."""
    return {"metadata": {STATED: endpoint.stated}} if endpoint.movable and not endpoint.moving else {}


def _further(guest: Guest, number: int, nic: Nic) -> Item:
    """A NIC besides the first, as verify measures it: in the form of an endpoint, as far as it differs from the guest's."""
    name = {"linux": "eth", "veos": "Ethernet", "chr": "ether"}[guest.options["role"]] + str(
        number + (guest.options["role"] == "chr")
    )
    by_version = {address.version: (str(address), subnet.prefixlen) for address, subnet in nic.addresses}
    (address, prefix), (address6, prefix6) = (by_version.get(version, (None, None)) for version in (4, 6))
    return {
        "id": f"{guest.endpoint.id}:{name}",
        "interface": name,
        "segment": nic.segment.name if nic.segment else None,
        "address": address,
        "prefix": prefix,
        "address6": address6,
        "prefix6": prefix6,
        "mac": nic.mac,
        "mtu": nic.mtu,
        "port": nic.dev,
    }


def network_name(fabric: str, bridge: str) -> str:
    """The libvirt network of a fabric's bridge: several fabrics share a host, and each has its own."""
    return f"{fabric}-{bridge}"


def portgroup(nic: Nic) -> str:
    """The portgroup of a NIC: named after its segment, or after the VLANs of its trunk."""
    if nic.segment:
        return nic.segment.name
    return "trunk-" + "-".join(map(str, nic.vlans)) + (f"-native-{nic.native.vlan}" if nic.native else "")


def _access(segment: Segment) -> Item:
    return {"name": segment.name, **({"vlan": segment.vlan} if segment.vlan else {})}

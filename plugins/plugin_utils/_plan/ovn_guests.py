# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NICs of guests as logical ports of OVN.

libvirt writes `iface-id` itself at each start of a guest and takes nothing but a UUID for it (libvirt's formatdomain on virtualport), so the logical
port of such a NIC is named by one. It follows from the name that the port of a namespace would have.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import derived_uuid
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import IN_NAMESPACE, Endpoint, Segment

if t.TYPE_CHECKING:
    from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guests import Guest

Item = t.Dict[str, t.Any]


class Further(t.NamedTuple):
    """A NIC of a guest besides its first, on a segment of OVN."""

    endpoint: Endpoint
    segment: str
    name: str
    called: str
    mac: str
    addresses: list[str]


def interface_id(fabric: str, endpoint: Endpoint, number: int) -> str:
    """The logical port of a guest's NIC, counted from 0."""
    return derived_uuid("interface", fabric, endpoint.identity, str(number))


def logical_port(fabric: str, endpoint: Endpoint) -> str:
    """The logical port that an endpoint is: by its identity, so that it moves with it, or the UUID of a guest's first NIC."""
    return f"{fabric}/{endpoint.identity}" if endpoint.kind in IN_NAMESPACE else interface_id(fabric, endpoint, 0)


def called(fabric: str, endpoint: Endpoint, number: int) -> Item:
    """The external_ids of such a port: by this key of Neutron's, `ovn-nbctl show` tells a name beside the UUID."""
    return {"neutron:port_name": f"{fabric}/{endpoint.identity}" + (f"/{number}" if number else "")}


def further(fabric: str, guests: t.Iterable[Guest], on_ovn: t.Callable[[Segment], bool]) -> list[Further]:
    """The further NICs of guests that are on OVN."""
    found = []
    for guest in guests:
        for number, nic in enumerate(guest.nics):
            if number == 0 or nic.segment is None or not on_ovn(nic.segment):
                continue
            found.append(
                Further(
                    guest.endpoint,
                    nic.segment.name,
                    interface_id(fabric, guest.endpoint, number),
                    called(fabric, guest.endpoint, number)["neutron:port_name"],
                    nic.mac,
                    [str(address) for address, _subnet in nic.addresses],
                )
            )
    return found

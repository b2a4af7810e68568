# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet that is followed, and the ends of its way. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

PROTOCOLS = ("icmp", "tcp", "udp")
DEFAULT_SIZE = 84


class Packet(t.NamedTuple):
    """What is followed. port: None for ICMP; size: of the IP packet in bytes, not to be fragmented; family: that of the ends' addresses.

    source, target: addresses of the header, which NAT changes from segment to segment. answer: it is on its way back, so that port is its source port.
    original: target and port before a forwarded port changed them.
    """

    protocol: str = "icmp"
    port: int | None = None
    size: int = DEFAULT_SIZE
    family: int = 4
    source: str = ""
    target: str = ""
    answer: bool = False
    original: tuple[str, int | None] | None = None


class End(t.NamedTuple):
    """One end of a way.

    space: the network namespace; "" is the host's own, None a guest's inside, which is not read.
    interface, port, bridge, mac, segment, guest: None where the end is no endpoint.
    host: None for an address outside of the plan.
    """

    id: str
    host: str | None
    address: str
    space: str | None
    interface: str | None = None
    port: str | None = None
    bridge: str | None = None
    mac: str | None = None
    segment: str | None = None
    guest: str | None = None
    tag: int | None = None


class Gateway(t.NamedTuple):
    """A router of OVN as a segment sees it: the edge that it is, its address and MAC address there, and the name of its port."""

    edge: str
    address: str
    mac: str
    port: str


def outside(address: str) -> End:
    """An end that the plan does not know."""
    return End(address, None, address, None)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets of two addresses, taken at several interfaces of a host at once, by sockets of the kernel (packet(7)).

This file is private to the collection. It writes no file, changes no interface (none becomes promiscuous), and its sockets are gone
with the process.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import selectors
import socket
import struct
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import visit
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

Item = t.Dict[str, t.Any]

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_AUXDATA = 8
PACKET_OUTGOING = 4
SO_TIMESTAMPNS = 35
VLAN_VALID = 0x10
# if_arp.h: with Ethernet's header; loopback has it, too.
ETHERNET = (1, 772)
# A buffer that holds what comes while Python looks at one packet.
BUFFER = 4 << 20
LARGEST = 65535


Pair = t.Tuple[bytes, bytes]


class Point(t.NamedTuple):
    """Where packets are taken. namespace: empty for the host's own. pairs: the addresses of packets there, none for those of all points."""

    name: str
    namespace: str
    interface: str
    pairs: tuple[Pair, ...] = ()


def pairs_of(addresses: t.Sequence[str]) -> tuple[Pair, ...]:
    """Two addresses after the other as pairs, as NAT may give a packet several on its way past a point."""
    return tuple(pair_of(addresses[number : number + 2]) for number in range(0, len(addresses), 2))


def pair_of(addresses: t.Sequence[str]) -> Pair:
    """Both addresses as they follow each other in the IP header of a packet, there and back."""
    if len(addresses) != 2:
        raise FabricError(f"addresses: {len(addresses)} are given; give two addresses")
    try:
        one, other = (ipaddress.ip_address(address) for address in addresses)
    except ValueError as error:
        raise FabricError(f"addresses: {error}; give two addresses") from error
    if one.version != other.version:
        raise FabricError(f"addresses: {one} and {other} are of two families; give two of one")
    return one.packed + other.packed, other.packed + one.packed


def found_in(frame: bytes, pair: tuple[bytes, bytes]) -> tuple[int, bool] | None:
    """Where a frame has the addresses, in a tunnel's packet, too, and whether it goes back; None without them."""
    for back, both in enumerate(pair):
        at = frame.find(both)
        if at >= 0:
            return at, bool(back)
    return None


def open_all(points: t.Sequence[Point]) -> tuple[dict[str, socket.socket], dict[str, str]]:
    """A socket for each point, and why there is none for the others."""
    sockets: dict[str, socket.socket] = {}
    errors: dict[str, str] = {}

    def open_those(some: t.Sequence[Point]) -> bool:
        for point in some:
            try:
                sockets[point.name] = _open(point.interface)
            except OSError as error:
                errors[point.name] = f"interface {point.interface}: {error.strerror}"
        return True

    open_those([point for point in points if not point.namespace])
    spaces: dict[str, list[Point]] = {}
    for point in points:
        if point.namespace:
            spaces.setdefault(point.namespace, []).append(point)
    questions = {space: functools.partial(open_those, some) for space, some in spaces.items()}
    for space, answer in visit(questions).items():
        if answer is None:
            errors.update({point.name: f"there is no namespace {space}" for point in spaces[space]})
    return sockets, errors


def _open(interface: str) -> socket.socket:
    # Without a protocol until it is bound, so that it takes no packet of another interface.
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        opened.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        opened.setblocking(False)
        opened.bind((interface, ETH_P_ALL))
    except OSError:
        opened.close()
        raise
    return opened


def receive(opened: socket.socket) -> tuple[int, bool, bytes] | None:
    """One frame with its time in nanoseconds and whether it went out; None where it is not Ethernet's."""
    data, ancillary, _flags, address = opened.recvmsg(LARGEST, 256)
    if address[3] not in ETHERNET:
        return None
    when = time.time_ns()
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", value[:16])
            when = seconds * 10**9 + nanoseconds
        elif level == SOL_PACKET and kind == PACKET_AUXDATA:
            data = _with_tag(data, value)
    return when, address[2] == PACKET_OUTGOING, data


def _with_tag(frame: bytes, auxiliary: bytes) -> bytes:
    """The frame with the VLAN tag that the kernel has taken out of it."""
    status, _length, _snap, _mac, _net, tag, kind = struct.unpack("IIIHHHH", auxiliary[:20])
    if not status & VLAN_VALID:
        return frame
    return frame[:12] + struct.pack("!HH", kind or 0x8100, tag) + frame[12:]


def capture(points: t.Sequence[Point], pair: Pair, until: float, most: int, snap: int) -> list[Item]:
    """Take packets until a time of the monotonic clock, or until each point has its most."""
    sockets, errors = open_all(points)
    taken: dict[str, list[Item]] = {name: [] for name in sockets}
    missed = dict.fromkeys(sockets, 0)
    pairs = {point.name: point.pairs or (pair,) for point in points}
    try:
        with selectors.DefaultSelector() as selector:
            for name, opened in sockets.items():
                selector.register(opened, selectors.EVENT_READ, name)
            while selector.get_map() and time.monotonic() < until:
                for key, _events in selector.select(min(0.2, max(0.0, until - time.monotonic()))):
                    _take(key.fileobj, taken[key.data], pairs[key.data], snap)
                    if len(taken[key.data]) >= most:
                        selector.unregister(key.fileobj)
        for name, opened in sockets.items():
            missed[name] = struct.unpack("II", opened.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
    finally:
        for opened in sockets.values():
            opened.close()
    return [
        {
            "name": point.name,
            "error": errors.get(point.name),
            "packets": taken.get(point.name, []),
            "full": len(taken.get(point.name, [])) >= most,
            "missed": missed.get(point.name, 0),
        }
        for point in points
    ]


def _take(opened: t.Any, into: list[Item], pairs: t.Sequence[Pair], snap: int) -> None:
    """Take one frame, if it has the addresses."""
    try:
        received = receive(opened)
    except OSError:
        # The interface went down, or is gone.
        return
    if received is None:
        return
    when, out, frame = received
    found = next(filter(None, (found_in(frame, pair) for pair in pairs)), None)
    if found is None:
        return
    at, back = found
    data = base64.b64encode(frame[:snap]).decode()
    into.append({"time": when, "out": out, "length": len(frame), "at": at, "back": back, "data": data})

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packets that probes send, and what they read in the answers; pure.

This file is private to the collection.
"""

from __future__ import annotations

import socket
import struct

ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD


def internet_checksum(data: bytes) -> int:
    """The checksum of RFC 1071 over data."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(version: int, identifier: int, sequence: int, payload: int) -> bytes:
    """An ICMP echo request (RFC 792; RFC 4443, whose checksum the kernel computes) with payload bytes of data."""
    kind = 8 if version == 4 else 128
    body = bytes(payload)
    packet = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + body
    if version == 4:
        packet = packet[:2] + struct.pack("!H", internet_checksum(packet)) + packet[4:]
    return packet


def parse_echo_reply(version: int, packet: bytes) -> tuple[int, int] | None:
    """(identifier, sequence) of an echo reply as a raw socket delivers it, or None for anything else."""
    offset = (packet[0] & 0x0F) * 4 if version == 4 and packet else 0
    if len(packet) < offset + 8 or packet[offset] != (0 if version == 4 else 129):
        return None
    return struct.unpack("!HH", packet[offset + 4 : offset + 8])


def arp_probe(mac: bytes, target: str, source: str | None = None) -> bytes:
    """An Ethernet frame with an ARP probe for target (RFC 5227: sender address 0.0.0.0), or from a source that the switch holds the sender to.

    Every owner of the address that the frame reaches answers it, whatever its routes are: it tests the layer-2
    network and nothing else.
    """
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + socket.inet_aton(source or "0.0.0.0")
    arp += bytes(6) + socket.inet_aton(target)
    return b"\xff" * 6 + mac + struct.pack("!H", ETH_P_ARP) + arp


def parse_arp_reply(frame: bytes) -> tuple[str, str] | None:
    """(address, MAC) of the sender of an ARP reply, or None."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x06" or frame[20:22] != b"\x00\x02":
        return None
    return socket.inet_ntoa(frame[28:32]), frame[22:28].hex(":")


def neighbor_probe(mac: bytes, target: str, source: str | None = None) -> bytes:
    """An Ethernet frame with a neighbor solicitation for target from the unspecified address (RFC 4862, 5.4.2), or from a source (RFC 4861, 4.3)."""
    asker = socket.inet_pton(socket.AF_INET6, source or "::")
    wanted = socket.inet_pton(socket.AF_INET6, target)
    group = bytes.fromhex("ff0200000000000000000001ff") + wanted[-3:]
    body = struct.pack("!BBHI", 135, 0, 0, 0) + wanted + (b"\x01\x01" + mac if source else b"")
    pseudo = asker + group + struct.pack("!IxxxB", len(body), 58)
    body = body[:2] + struct.pack("!H", internet_checksum(pseudo + body)) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + asker + group
    return b"\x33\x33" + group[-4:] + mac + struct.pack("!H", ETH_P_IPV6) + header + body


def parse_neighbor_advert(frame: bytes) -> tuple[str, str] | None:
    """(address, MAC) of a neighbor advertisement's sender (RFC 4861, 4.4), or None."""
    if len(frame) < 78 or frame[12:14] != b"\x86\xdd" or frame[20] != 58 or frame[54] != 136:
        return None
    return socket.inet_ntop(socket.AF_INET6, frame[62:78]), frame[6:12].hex(":")

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packets of several hosts as one file of pcapng, with an interface and a comment for each point. Pure.

This file is private to the collection. Source: draft-ietf-opsawg-pcapng (sections 4.1 to 4.3).
"""

from __future__ import annotations

import base64
import struct
import typing as t

Item = t.Dict[str, t.Any]

ETHERNET = 1
# Options of blocks.
END, COMMENT, IF_NAME, IF_TSRESOL, EPB_FLAGS, SHB_APPLICATION = 0, 1, 2, 9, 2, 4
NANOSECONDS = b"\x09"


def pcapng(points: t.Sequence[Item], packets: t.Sequence[Item], comment: str) -> bytes:
    """A file. points: their name and comment; packets: in the order of time, each with the number of its point."""
    parts = [_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options([(COMMENT, comment.encode())]))]
    for point in points:
        told = [
            (IF_NAME, point["name"].encode()),
            (COMMENT, point["what"].encode()),
            (IF_TSRESOL, NANOSECONDS),
        ]
        parts.append(_block(1, struct.pack("<HHI", ETHERNET, 0, 0) + _options(told)))
    return b"".join(parts + [_packet(packet) for packet in packets])


def _packet(packet: Item) -> bytes:
    data = base64.b64decode(packet["data"])
    high, low = divmod(packet["time"], 1 << 32)
    head = struct.pack("<IIIII", packet["point"], high, low, len(data), packet["length"])
    direction = struct.pack("<I", 2 if packet["out"] else 1)
    return _block(6, head + _padded(data) + _options([(EPB_FLAGS, direction)]))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _options(options: t.Iterable[tuple[int, bytes]]) -> bytes:
    parts = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options if value]
    return b"".join([*parts, struct.pack("<HH", END, 0)])


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A seed for cloud-init's NoCloud data source, made without any tool: an ISO 9660 volume with Joliet names (ECMA-119).

The same content gives the same bytes, so that a seed on a host can be compared. This file is private to the collection.
"""

from __future__ import annotations

import json
import struct
import typing as t

SECTOR = 2048
JOLIET = b"%/E"


def seed_files(options: t.Mapping[str, t.Any], name: str, identity: str) -> dict[str, bytes]:
    """The files of a seed. options: user_data, meta_data, network_config, each a text or a mapping. identity: the instance id.

    A mapping is written as JSON, which is YAML too.
    """
    meta = options.get("meta_data")
    if meta is None or isinstance(meta, dict):
        meta = {"instance-id": identity, "local-hostname": name, **(meta or {})}
    user = options.get("user_data")
    files = {"meta-data": _text(meta), "user-data": _text({} if user is None else user, "#cloud-config\n")}
    if options.get("network_config") is not None:
        files["network-config"] = _text(options["network_config"])
    return files


def _text(value: t.Any, head: str = "") -> bytes:
    text = value if isinstance(value, str) else head + json.dumps(value, indent=1, sort_keys=True) + "\n"
    return text.encode("utf-8")


def iso_image(files: t.Mapping[str, bytes], label: str = "cidata") -> bytes:
    """The volume. Its dates are fixed; its names must be ASCII and fit Joliet (64 characters)."""
    contents = sorted(files.items())
    # 16 sectors for the system, three descriptors, two path tables of each kind, two root folders, then the files.
    tables, roots, place = (19, 21), (23, 24), 25
    extents = []
    for _name, content in contents:
        extents.append((place, len(content)))
        place += max(1, -(-len(content) // SECTOR))
    short = [f"FILE{n}.;1".encode("ascii") for n in range(len(contents))]
    long = [name.encode("utf-16-be") for name, _content in contents]
    image = bytearray(place * SECTOR)
    for sector, data in (
        (16, _descriptor(1, label.upper().encode("ascii"), b"", place, tables[0], roots[0])),
        (17, _descriptor(2, label.encode("utf-16-be"), JOLIET, place, tables[1], roots[1])),
        (18, b"\xffCD001\x01"),
        (tables[0], _path_table("<", roots[0])),
        (tables[0] + 1, _path_table(">", roots[0])),
        (tables[1], _path_table("<", roots[1])),
        (tables[1] + 1, _path_table(">", roots[1])),
        (roots[0], _folder(roots[0], zip(short, extents))),
        (roots[1], _folder(roots[1], zip(long, extents))),
        *((extent[0], content) for extent, (_name, content) in zip(extents, contents)),
    ):
        image[sector * SECTOR : sector * SECTOR + len(data)] = data
    return bytes(image)


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _record(name: bytes, place: int, length: int, folder: bool) -> bytes:
    """A directory record (ECMA-119, 9.1)."""
    pad = b"" if len(name) % 2 else b"\0"
    date = bytes((120, 1, 1, 0, 0, 0, 0))
    body = b"\0" + _both32(place) + _both32(length) + date + bytes((2 if folder else 0, 0, 0)) + _both16(1) + bytes((len(name),)) + name + pad
    return bytes((len(body) + 1,)) + body


def _folder(place: int, entries: t.Iterable[tuple[bytes, tuple[int, int]]]) -> bytes:
    records = [_record(b"\0", place, SECTOR, True), _record(b"\1", place, SECTOR, True)]
    return b"".join(records + [_record(name, start, length, False) for name, (start, length) in entries])


def _path_table(order: str, root: int) -> bytes:
    return struct.pack(order + "BBIH", 1, 0, root, 1) + b"\0\0"


def _descriptor(kind: int, label: bytes, escape: bytes, sectors: int, table: int, root: int) -> bytes:
    """A volume descriptor (ECMA-119, 8.4 and 8.5). Joliet pads its texts with two-byte blanks."""
    blank = b"\0 " if escape else b" "

    def text(value: bytes, length: int) -> bytes:
        return (value + blank * length)[: length - length % len(blank)].ljust(length, b"\0")

    dates = b"2020010100000000\0" * 2 + b"0" * 16 + b"\0" + b"2020010100000000\0"
    return b"".join(
        (
            bytes((kind,)), b"CD001\x01\0", text(b"", 32), text(label, 32), bytes(8), _both32(sectors), escape.ljust(32, b"\0"),
            _both16(1), _both16(1), _both16(SECTOR), _both32(10), struct.pack("<II", table, 0), struct.pack(">II", table + 1, 0),
            _record(b"\0", root, SECTOR, True), text(b"", 128), text(b"", 128), text(b"", 128), text(b"", 128),
            text(b"", 37), text(b"", 37), text(b"", 37), dates, b"\x01\0",
        )  # fmt: skip
    )

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


def iso_image(files: t.Mapping[str, bytes], label: str = "cidata", boot: str = "") -> bytes:
    """The volume. Its dates are fixed; its names must be ASCII and fit Joliet (64 characters).

    boot: the file that a BIOS starts (El Torito, no emulation), whose names must fit 8.3 then; ISOLINUX's boot information is filled in.
    """
    contents = sorted(files.items())
    # 16 sectors for the system, three or four descriptors, two path tables of each kind, two root folders, a boot catalogue, then the files.
    more = 1 if boot else 0
    tables, roots, place = (19 + more, 21 + more), (23 + more, 24 + more), 25 + 2 * more
    extents = []
    for _name, content in contents:
        extents.append((place, len(content)))
        place += max(1, -(-len(content) // SECTOR))
    short = [
        (name.upper() + ("" if "." in name else ".") + ";1" if boot else f"FILE{n}.;1").encode("ascii")
        for n, (name, _c) in enumerate(contents)
    ]
    start: list[tuple[int, bytes]] = []
    if boot:
        at = extents[[name for name, _content in contents].index(boot)][0]
        contents = [(name, _boot_information(content, at) if name == boot else content) for name, content in contents]
        start = [(17, _boot_record(roots[1] + 1)), (roots[1] + 1, _boot_catalogue(at))]
    long = [name.encode("utf-16-be") for name, _content in contents]
    image = bytearray(place * SECTOR)
    for sector, data in (
        (16, _descriptor(1, label.upper().encode("ascii"), b"", place, tables[0], roots[0])),
        *start,
        (17 + more, _descriptor(2, label.encode("utf-16-be"), JOLIET, place, tables[1], roots[1])),
        (18 + more, b"\xffCD001\x01"),
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


def _boot_record(catalogue: int) -> bytes:
    """The descriptor that leads to the boot catalogue (El Torito 1.0, figure 7)."""
    return b"\0CD001\x01" + b"EL TORITO SPECIFICATION".ljust(32, b"\0") + bytes(32) + struct.pack("<I", catalogue)


def _boot_catalogue(place: int) -> bytes:
    """One entry: start the file at this sector, of which the BIOS reads four of 512 bytes (El Torito 1.0, figures 2 and 3)."""
    head = struct.pack("<BBH24sH", 1, 0, 0, b"", 0) + b"\x55\xaa"
    total = sum(struct.unpack("<16H", head)) & 0xFFFF
    head = head[:28] + struct.pack("<H", -total & 0xFFFF) + head[30:]
    return head + struct.pack("<BBHBBHI20x", 0x88, 0, 0, 0, 0, 4, place)


def _boot_information(content: bytes, place: int) -> bytes:
    """The file with what ISOLINUX wants to know of its own place (the boot information table of genisoimage(1))."""
    padded = content + bytes(-len(content) % 4)
    total = sum(struct.unpack(f"<{len(padded) // 4 - 16}I", padded[64:])) & 0xFFFFFFFF
    return content[:8] + struct.pack("<IIII40x", 16, place, len(content), total) + content[64:]


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _record(name: bytes, place: int, length: int, folder: bool) -> bytes:
    """A directory record (ECMA-119, 9.1)."""
    pad = b"" if len(name) % 2 else b"\0"
    date = bytes((120, 1, 1, 0, 0, 0, 0))
    body = (
        b"\0"
        + _both32(place)
        + _both32(length)
        + date
        + bytes((2 if folder else 0, 0, 0))
        + _both16(1)
        + bytes((len(name),))
        + name
        + pad
    )
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
            bytes((kind,)),
            b"CD001\x01\0",
            text(b"", 32),
            text(label, 32),
            bytes(8),
            _both32(sectors),
            escape.ljust(32, b"\0"),
            _both16(1),
            _both16(1),
            _both16(SECTOR),
            _both32(10),
            struct.pack("<II", table, 0),
            struct.pack(">II", table + 1, 0),
            _record(b"\0", root, SECTOR, True),
            text(b"", 128),
            text(b"", 128),
            text(b"", 128),
            text(b"", 128),
            text(b"", 37),
            text(b"", 37),
            text(b"", 37),
            dates,
            b"\x01\0",
        )  # fmt: skip
    )

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files inside a disk image, written while no guest has it open: no mount, no root rights over its file system, no kernel module.

qemu-img cuts the partition out of an image of whatever format and puts it back; debugfs writes to ext2, ext3 and ext4, and mtools to FAT.
This file is private to the collection.
"""

from __future__ import annotations

import glob
import os
import re
import struct
import tempfile
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._guest import image as _image
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    AnyStep,
    Change,
    FabricError,
    Remove,
    Runner,
    Step,
    Write,
)

SECTOR = 512
HEAD = 1 << 20
PART = ".overloom-part"
NAME = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)+")


class Found(t.NamedTuple):
    """What one read brings. place: (first byte, bytes) of the partition; kind: ext or fat; files: content by path, None when missing."""

    exists: bool = False
    format: str = ""
    place: tuple[int, int] = (0, 0)
    kind: str = ""
    files: dict[str, str | None] = {}


def check_files(files: t.Sequence[t.Mapping[str, t.Any]], image: str) -> dict[str, str]:
    """The wanted contents by path. Raises FabricError."""
    wanted: dict[str, str] = {}
    for item in files:
        if not NAME.fullmatch(item["path"]):
            raise FabricError(
                f"image {image}: path {item['path']!r} is not one inside it; write it like /startup-config, of letters, digits and ._-"
            )
        if item["path"] in wanted:
            raise FabricError(f"image {image}: {item['path']} is declared twice; declare it once")
        wanted[item["path"]] = item["content"]
    return wanted


def partitions(head: bytes) -> list[tuple[int, int]]:
    """(first byte, bytes) of each partition, by its number from 1, in a GPT (UEFI 2.10, 5.3) or a master boot record; (0, 0) for unused ones."""
    if head[SECTOR : SECTOR + 8] == b"EFI PART":
        first, count, length = struct.unpack_from("<QII", head, SECTOR + 72)
        found = []
        for number in range(count):
            at = first * SECTOR + number * length
            if at + 48 > len(head):
                break
            begin, end = struct.unpack_from("<QQ", head, at + 32)
            found.append((begin * SECTOR, (end - begin + 1) * SECTOR) if head[at : at + 16] != bytes(16) else (0, 0))
        return found
    if head[510:512] != b"\x55\xaa":
        return []
    entries = [struct.unpack_from("<II", head, 446 + 16 * number + 8) for number in range(4)]
    return [(begin * SECTOR, size * SECTOR) for begin, size in entries]


def file_system(head: bytes) -> str:
    """ext or fat, from a partition's first bytes (the ext4 superblock; Microsoft's FAT specification), or an empty text."""
    if head[1080:1082] == b"\x53\xef":
        return "ext"
    return "fat" if head[510:512] == b"\x55\xaa" and (head[54:57] == b"FAT" or head[82:85] == b"FAT") else ""


def _slice(image: str, kind: str, place: tuple[int, int]) -> str:
    """A part of an image as qemu-img names it."""
    escaped = image.replace(",", ",,")
    return f"driver=raw,offset={place[0]},size={place[1]},file.driver={kind},file.file.driver=file,file.file.filename={escaped}"


def _cut(image: str, kind: str, place: tuple[int, int], target: str) -> Step:
    return Step(("qemu-img", "convert", "-O", "raw", "--image-opts", _slice(image, kind, place), target))


def read(runner: Runner, image: str, number: int, paths: t.Iterable[str]) -> Found:
    """Read the image once. Raises FabricError."""
    seen = _image.look(image)
    if not seen.exists:
        return Found()
    with tempfile.TemporaryDirectory(prefix=".overloom-", dir=os.path.dirname(image)) as scratch:
        head, part = os.path.join(scratch, "head"), os.path.join(scratch, "part")
        runner(_cut(image, seen.format, (0, min(HEAD, seen.size or HEAD)), head))
        with open(head, "rb") as stream:
            table = partitions(stream.read())
        if number > len(table) or not table[number - 1][1]:
            used = [str(n) for n, place in enumerate(table, 1) if place[1]]
            raise FabricError(f"image {image} has no partition {number}; it has {', '.join(used) or 'none'}")
        place = table[number - 1]
        runner(_cut(image, seen.format, place, part))
        with open(part, "rb") as stream:
            kind = file_system(stream.read(4096))
        if not kind:
            raise FabricError(
                f"image {image}: partition {number} holds neither ext nor FAT; name the partition with the files"
            )
        files = {path: _read_file(runner, kind, part, path, scratch) for path in paths}
    return Found(True, seen.format, place, kind, files)


def _read_file(runner: Runner, kind: str, part: str, path: str, scratch: str) -> str | None:
    target = os.path.join(scratch, "file")
    if os.path.exists(target):
        os.unlink(target)
    if kind == "ext":
        # debugfs ends with 0 whatever happened; a file that is not there leaves none here.
        runner(["debugfs", "-R", f"dump {path} {target}", part])
    else:
        status, _out, said = runner.run(["mcopy", "-n", "-i", part, f"::{path}", target])
        if status == 127:
            raise FabricError(f"{path} is on a FAT partition, which takes mcopy; install the package mtools")
    if not os.path.exists(target):
        return None
    with open(target, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def compare(
    wanted: t.Mapping[str, str], found: Found, image: str, keep: bool, secrets: t.Sequence[str], check: bool
) -> Change:
    """The steps that put the wanted files into the image; pure.

    keep: leave all as it is when one of the files is there. check: whether the image may be one that an earlier task only foretold.
    """
    if not found.exists:
        text = f"image {image} does not exist; make it first, with libvirt_domain"
        if not check:
            raise FabricError(text)
        # Only foretold: how the image will be cut up is not known yet.
        foretold: list[AnyStep] = [
            Write(f"{image}:{path}", content, 0o600, tuple(secrets)) for path, content in wanted.items()
        ]
        return Change(foretold, dict.fromkeys(wanted), dict(wanted), (text,))
    todo = {path: content for path, content in wanted.items() if found.files.get(path) != content}
    if keep and any(content is not None for content in found.files.values()):
        todo = {}
    if not todo:
        return Change([], {}, {})
    part = image + PART
    sources = {path: f"{part}.{number}" for number, path in enumerate(todo)}
    steps: list[AnyStep] = [_cut(image, found.format, found.place, part)]
    steps += [Write(sources[path], content, 0o600, tuple(secrets)) for path, content in todo.items()]
    if found.kind == "ext":
        lines = []
        for path, source in sources.items():
            lines += [f"rm {path}"] if found.files[path] is not None else []
            lines += [f"cd {os.path.dirname(path)}", f"write {source} {os.path.basename(path)}"]
        steps.append(Step(("debugfs", "-w", "-f", "-", part), "\n".join(lines) + "\n"))
    else:
        steps += [Step(("mcopy", "-o", "-i", part, source, f"::{path}")) for path, source in sources.items()]
    steps.append(
        Step(
            (
                "qemu-img",
                "convert",
                "-n",
                "-f",
                "raw",
                part,
                "--target-image-opts",
                _slice(image, found.format, found.place),
            )
        )
    )
    steps += [Remove(path) for path in (*sources.values(), part)]
    return Change(steps, {path: found.files[path] for path in todo}, dict(todo))


def leftovers(image: str) -> list[Remove]:
    """What a step that failed has left beside the image; it may hold a password."""
    return [Remove(path) for path in sorted(glob.glob(glob.escape(image) + PART + "*"))]


def judge(wanted: t.Mapping[str, str], found: Found, image: str, keep: bool) -> list[str]:
    """debugfs tells no errors by its exit status, so what it wrote is read back."""
    if keep and found.exists and all(content is not None for content in found.files.values()):
        return []
    return [
        f"image {image}: {path} could not be written; is its folder there, and room?"
        for path, text in wanted.items()
        if found.files.get(path) != text
    ]

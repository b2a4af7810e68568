# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk images: what lies in a file, told from its first bytes, and the commands that make and grow it.

This file is private to the collection.
"""

from __future__ import annotations

import os
import struct
import tempfile
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Step

FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhdx", "vpc", "iso")


class Image(t.NamedTuple):
    """What a path holds. size: bytes that a guest sees, 0 when the format does not tell. backing: the file beneath, or empty."""

    exists: bool = False
    format: str = ""
    size: int = 0
    backing: str = ""


def look(path: str) -> Image:
    """What a file or a block device holds. Raises FabricError when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(4096)
            length = stream.seek(0, os.SEEK_END)
    except FileNotFoundError:
        return Image()
    except IsADirectoryError:
        raise FabricError(f"{path} is a folder: name a file in it") from None
    except OSError as error:
        raise FabricError(f"{path} cannot be read: {error.strerror}") from error
    return parse_head(head, length)


def parse_head(head: bytes, length: int) -> Image:
    """Format, size and backing file from an image's first 4096 bytes (docs/interop/qcow2.txt in QEMU, VMDK's specification)."""
    if head[:4] == b"QFI\xfb" and len(head) >= 32:
        offset, name, _bits, virtual = struct.unpack(">QIIQ", head[8:32])
        backing = head[offset : offset + name].decode("utf-8", "replace") if offset else ""
        return Image(True, "qcow2", virtual, backing)
    if head[:4] == b"KDMV" and len(head) >= 20:
        return Image(True, "vmdk", struct.unpack("<Q", head[12:20])[0] * 512)
    for start, magic, name in (
        (0, b"# Disk DescriptorFile", "vmdk"),
        (0, b"vhdxfile", "vhdx"),
        (0, b"conectix", "vpc"),
        (64, b"\x7f\x10\xda\xbe", "vdi"),
    ):
        if head[start : start + len(magic)] == magic:
            return Image(True, name)
    return Image(True, "raw", length)


def create(path: str, kind: str, size: int, backing: str, backing_format: str) -> Step:
    """The command that makes an image; size 0 takes the backing file's."""
    options = ["-b", backing, "-F", backing_format] if backing else []
    return Step(("qemu-img", "create", "-q", "-f", kind, *options, path, *([str(size)] if size else [])))


def grow(path: str, kind: str, size: int) -> Step:
    """The command that grows an image that no guest has open."""
    return Step(("qemu-img", "resize", "-q", "-f", kind, path, str(size)))


class WriteBytes(t.NamedTuple):
    """A file of bytes, put in place atomically. command: what a person would type to make it."""

    path: str
    content: bytes
    command: str
    mode: int = 0o600

    def shown(self) -> str:
        """The command."""
        return self.command

    def do(self) -> None:
        """Write beside the file and rename; who has the old one open keeps it."""
        folder = os.path.dirname(self.path)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".overloom-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(self.content)
            os.chmod(temporary, self.mode)
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: seeds, what lies in a file, and the lab's guest."""

from __future__ import annotations

import io
import lzma
import pathlib
import struct
import tarfile
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._guest.image import Image, look, parse_head
from ansible_collections.overloom.fabric.plugins.module_utils._guest.iso import SECTOR, iso_image, seed_files
from ansible_collections.overloom.fabric.plugins.module_utils._lab import guest_image as _lab_guest
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError


def joliet(image: bytes) -> tuple[str, dict[str, bytes]]:
    """Label and files of a volume, read by its supplementary descriptor (ECMA-119, 8.5)."""
    descriptor = image[17 * SECTOR : 18 * SECTOR]
    assert descriptor[:6] == b"\x02CD001" and descriptor[88:91] == b"%/E"
    assert image[16 * SECTOR : 16 * SECTOR + 6] == b"\x01CD001" and image[18 * SECTOR : 18 * SECTOR + 6] == b"\xffCD001"
    assert struct.unpack("<I", descriptor[80:84])[0] * SECTOR == len(image)
    label = descriptor[40:72].decode("utf-16-be").strip()
    place = struct.unpack("<I", descriptor[158:162])[0] * SECTOR
    files = {}
    while image[place]:
        record = image[place : place + image[place]]
        start, length = struct.unpack("<I", record[2:6])[0], struct.unpack("<I", record[10:14])[0]
        if not record[25] & 2:
            files[record[33 : 33 + record[32]].decode("utf-16-be")] = image[start * SECTOR : start * SECTOR + length]
        place += len(record)
    return label, files


NAMES = st.sampled_from(["user-data", "meta-data", "network-config", "vendor-data", "startup-config"])


@given(st.dictionaries(NAMES, st.binary(max_size=5000)))
@settings(max_examples=300, deadline=None)
def test_a_seed_holds_its_files_and_is_the_same_each_time(files: dict[str, bytes]) -> None:
    image = iso_image(files)
    assert joliet(image) == ("cidata", files)
    assert image == iso_image(dict(reversed(files.items())))


def test_a_seed_has_instance_id_and_host_name_and_reads_mappings_as_yaml() -> None:
    files = seed_files(
        {"user_data": {"users": []}, "meta_data": {"local-hostname": "x"}, "network_config": None}, "vm1", "id-1"
    )
    assert (
        files["user-data"].startswith(b"#cloud-config\n{")
        and b'"instance-id": "id-1"' in files["meta-data"]
        and b'"local-hostname": "x"' in files["meta-data"]
    )
    assert seed_files({"user_data": "#!/bin/sh\n"}, "vm1", "i")["user-data"] == b"#!/bin/sh\n"


def test_what_a_file_holds(tmp_path: pathlib.Path) -> None:
    backing = b"/srv/base.qcow2"
    head = b"QFI\xfb" + struct.pack(">IQIIQ", 3, 104, len(backing), 16, 2**30)
    assert parse_head(head.ljust(104, b"\0") + backing, 200000) == Image(True, "qcow2", 2**30, "/srv/base.qcow2")
    assert parse_head(b"KDMV" + bytes(8) + struct.pack("<Q", 2048) + bytes(100), 99) == Image(True, "vmdk", 2**20)
    assert parse_head(b"vhdxfile" + bytes(100), 99).format == "vhdx"
    assert parse_head(b"", 0) == Image(True, "raw", 0)
    plain = tmp_path / "x"
    assert look(str(plain)) == Image()
    plain.write_bytes(bytes(1536))
    assert look(str(plain)) == Image(True, "raw", 1536)
    with pytest.raises(FabricError, match="folder"):
        look(str(tmp_path))


def package(tmp_path: pathlib.Path, name: str, files: dict[str, bytes], member: str = "data.tar.xz") -> str:
    """A Debian package of these files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo("./" + path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data = lzma.compress(archive.getvalue())

    def entry(title: str, content: bytes) -> bytes:
        return (
            f"{title:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
            + content
            + b"\n" * (len(content) % 2)
        )

    target = tmp_path / name
    target.write_bytes(
        b"!<arch>\n" + entry("debian-binary", b"2.0\n") + entry("control.tar.xz", b"abc") + entry(member, data)
    )
    return str(target)


def module(depends: str) -> bytes:
    return b"\x7fELF..\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0"


class Apt:
    """apt as far as a build needs it."""

    def __init__(self, tmp_path: pathlib.Path, kernel: dict[str, bytes]) -> None:
        self.tmp_path, self.kernel, self.spawned = tmp_path, kernel, 0

    def __call__(self, step: t.Any) -> str:
        self.spawned += 1
        if not hasattr(step, "argv"):
            return "linux-image-amd64\n  Depends: linux-image-6.1.0-1-amd64\n"
        assert step.argv[:2] == ("apt-get", "download")
        package(pathlib.Path("."), "linux-image-6.1.0-1-amd64_1_amd64.deb", self.kernel)
        package(pathlib.Path("."), "busybox-static_1_amd64.deb", {"bin/busybox": b"BUSYBOX"})
        return ""


def test_a_build_takes_kernel_busybox_and_the_modules_with_what_they_need(tmp_path: pathlib.Path) -> None:
    drivers = "lib/modules/6.1.0-1-amd64/kernel/drivers/net/"
    files = {
        "boot/vmlinuz-6.1.0-1-amd64": b"KERNEL",
        drivers + "geneve.ko": module("udp_tunnel,ip6-udp-tunnel"),
        drivers + "udp_tunnel.ko": module(""),
        drivers + "ip6-udp-tunnel.ko": module("udp_tunnel"),
    }
    apt = Apt(tmp_path, files)
    image = _lab_guest.build(apt, str(tmp_path / "cache"), "linux-image-amd64", ["geneve"])
    assert image.complete and apt.spawned == 2
    assert pathlib.Path(image.kernel).read_bytes() == b"KERNEL"
    root = pathlib.Path(image.initrd).read_bytes()
    assert root.startswith(b"070701") and b"TRAILER!!!" in root and b"BUSYBOX" in root and len(root) % 4 == 0
    assert b"udp_tunnel.ko:\nip6_udp_tunnel.ko: udp_tunnel.ko\ngeneve.ko: ip6_udp_tunnel.ko udp_tunnel.ko\n" in root
    assert _lab_guest.locate(str(tmp_path / "cache"), "linux-image-amd64", ["geneve"]).complete
    assert not _lab_guest.locate(str(tmp_path / "cache"), "linux-image-amd64", ["vxlan"]).complete
    with pytest.raises(FabricError, match="lacks nonsense"):
        _lab_guest.build(apt, str(tmp_path / "cache"), "linux-image-amd64", ["nonsense"])
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [pathlib.Path(image.kernel).parent.name]


def test_a_broken_package_is_named(tmp_path: pathlib.Path) -> None:
    broken = tmp_path / "x.deb"
    broken.write_bytes(b"<html>")
    with pytest.raises(FabricError, match="x.deb is no Debian package"):
        list(_lab_guest.deb_members(str(broken)))
    with pytest.raises(FabricError, match="data.tar.zst"):
        list(_lab_guest.deb_members(package(tmp_path, "y.deb", {}, "data.tar.zst")))


def test_the_kernel_is_unpacked_from_a_bzimage_without_its_symbols() -> None:
    header = bytearray(64)
    header[:5] = b"\x7fELF\x02"
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<Q", header, 40, 4000)
    struct.pack_into("<HHHHH", header, 54, 56, 1, 64, 9, 8)
    load = struct.pack("<IIQQQQQQ", 1, 5, 128, 0, 0, 72, 72, 8)
    elf = bytes(header) + load + bytes(8) + b"C" * 72 + b"SYMBOLS" * 99
    packed = lzma.compress(elf)
    image = bytearray(1024)
    image[0x1F1] = 1
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 0, len(packed))
    fast = _lab_guest.fast_kernel(bytes(image) + packed)
    assert fast[:4] == b"\x7fELF" and fast.endswith(b"C" * 72) and len(fast) == 200
    assert _lab_guest.fast_kernel(b"other" * 300) == b"other" * 300

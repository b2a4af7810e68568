# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files written into real images with the real tools, and read back from them."""

from __future__ import annotations

import os
import pathlib
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._guest import disk_files as disk
from ansible_collections.overloom.fabric.plugins.module_utils._lab.guest_image import partition_table
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

MIB = 1 << 20


def run(argv, stdin):
    done = subprocess.run(list(argv), input=stdin, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def gpt(parts):
    """The first sectors of a GPT disk (UEFI 2.10, 5.3) with partitions of (first byte, bytes)."""
    head = bytearray(34 * 512)
    head[:512] = partition_table([(512, 1 << 30)])
    head[512:520] = b"EFI PART"
    struct.pack_into("<QII", head, 512 + 72, 2, 128, 128)
    for number, (begin, size) in enumerate(parts):
        if not size:
            continue
        struct.pack_into(
            "<16s16sQQ", head, 1024 + 128 * number, b"\1" * 16, bytes(16), begin // 512, (begin + size) // 512 - 1
        )
    return bytes(head)


# The layouts of flash disks: format of the image, partition table, how the second partition is made, and its MiB.
EXT2, EXT4 = ["mke2fs", "-q", "-F", "-t", "ext2"], ["mke2fs", "-q", "-F", "-t", "ext4"]
FAT16, FAT32 = ["mkfs.vfat", "-F", "16"], ["mkfs.vfat", "-F", "32"]
LAYOUTS = {
    "ext2 in a VMDK with a boot record": ("vmdk", partition_table, EXT2, 6),
    "ext4 in a qcow2 with a boot record": ("qcow2", partition_table, EXT4, 6),
    "ext4 in a qcow2 with a GPT": ("qcow2", gpt, EXT4, 6),
    "FAT32 in a VMDK with a boot record": ("vmdk", partition_table, FAT32, 40),
    "FAT32 in a qcow2 with a GPT": ("qcow2", gpt, FAT32, 40),
    "FAT16 in a raw image with a boot record": ("raw", partition_table, FAT16, 20),
}


@pytest.fixture(params=LAYOUTS)
def image(request, tmp_path):
    """A disk with two partitions: the first holds nothing, the second a file system with a folder rw."""
    kind, table, make, size = LAYOUTS[request.param]
    raw, part, made = tmp_path / "raw", tmp_path / "part", tmp_path / f"disk,1.{kind}"
    with open(part, "wb") as stream:
        stream.truncate(size * MIB)
    # The tools of Debian are where only root looks.
    tools = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    subprocess.run([*make, part], check=True, env=tools, stdout=subprocess.DEVNULL)
    folder = ["debugfs", "-w", "-R", "mkdir rw", part] if make[0] == "mke2fs" else ["mmd", "-i", part, "::rw"]
    subprocess.run(folder, check=True, env=tools, capture_output=True)
    with open(raw, "wb") as stream:
        stream.write(table([(MIB, MIB), (2 * MIB, size * MIB)]))
        stream.seek(2 * MIB)
        stream.write(part.read_bytes())
    subprocess.run(["qemu-img", "convert", "-q", "-f", "raw", "-O", kind, raw, made], check=True)
    return str(made)


def independently(image, tmp_path, path):
    """The file in the second partition as another tool reads it from the whole image."""
    raw = tmp_path / "whole"
    subprocess.run(["qemu-img", "convert", "-q", "-O", "raw", image, raw], check=True)
    with open(raw, "rb") as stream:
        stream.seek(2 * MIB)
        fat = stream.read(512)[510:] == b"\x55\xaa"
    if fat:
        return subprocess.run(
            ["mtype", "-i", f"{raw}@@{2 * MIB}", f"::{path}"], check=True, capture_output=True, text=True
        ).stdout
    part = tmp_path / "alone"
    part.write_bytes(raw.read_bytes()[2 * MIB :])
    return subprocess.run(
        ["/usr/sbin/debugfs", "-R", f"cat {path}", part], check=True, capture_output=True, text=True
    ).stdout


def write(image, wanted, keep=False):
    runner = Runner(run)
    found = disk.read(runner, image, 2, wanted)
    change = disk.compare(wanted, found, image, keep, (), False)
    try:
        for step in change.steps:
            runner.do(step)
    except FabricError:
        for step in disk.leftovers(image):
            runner.do(step)
    after = disk.read(runner, image, 2, wanted)
    return change, after, disk.judge(wanted, after, image, keep)


def test_files_are_there_afterwards_and_a_second_time_nothing_is_to_do(image, tmp_path):
    wanted = {"/startup-config": "hostname leaf1\n! $(reboot) 'x' \"y\"\n", "/rw/autorun.scr": "/ip address print\n"}
    change, after, errors = write(image, wanted)
    assert change.steps and after.files == wanted and not errors
    assert not write(image, wanted)[0].steps
    changed = {**wanted, "/startup-config": "hostname leaf2\n"}
    assert not write(image, changed, keep=True)[0].steps, "a guest's own files were not kept"
    change, after, errors = write(image, changed)
    assert after.files == changed and not errors and change.before == {"/startup-config": wanted["/startup-config"]}
    assert independently(image, tmp_path, "/startup-config") == "hostname leaf2\n"
    assert independently(image, tmp_path, "/rw/autorun.scr") == wanted["/rw/autorun.scr"]


def test_a_missing_folder_is_told_and_nothing_is_left_beside_the_image(image):
    before = set(pathlib.Path(image).parent.iterdir())
    assert "/no/file could not be written" in write(image, {"/no/file": "x"})[2][0]
    assert set(pathlib.Path(image).parent.iterdir()) == before


def test_what_is_no_partition_or_no_image_is_refused(image, tmp_path):
    with pytest.raises(FabricError, match="has no partition 3; it has 1, 2"):
        disk.read(Runner(run), image, 3, [])
    with pytest.raises(FabricError, match="partition 1 holds neither ext nor FAT"):
        disk.read(Runner(run), image, 1, [])
    assert disk.read(Runner(run), str(tmp_path / "none"), 2, []) == disk.Found()
    with pytest.raises(FabricError, match="does not exist; make it first"):
        disk.compare({"/a": "b"}, disk.Found(), "/none", False, (), False)
    foretold = disk.compare({"/a": "b"}, disk.Found(), "/none", False, (), True)
    assert foretold.steps and foretold.warnings


@pytest.mark.parametrize("path", ["startup-config", "/a b", "/../x", "/-f", "/a\nrm x", "/a;b", "/", "/$(x)"])
def test_a_path_that_a_tool_could_misread_is_refused(path):
    with pytest.raises(FabricError, match="is not one inside it"):
        disk.check_files([{"path": path, "content": ""}], "/image")


@given(st.lists(st.tuples(st.integers(1, 2**20), st.integers(1, 2**20)), min_size=1, max_size=4))
def test_a_master_boot_record_reads_back(parts):
    table = partition_table([(begin * 512, size * 512) for begin, size in parts])
    assert disk.partitions(table)[: len(parts)] == [(begin * 512, size * 512) for begin, size in parts]


def test_a_gpt_is_read_before_its_protective_record():
    assert disk.partitions(gpt([(0, 0), (4096 * 512, 4096 * 512)]))[1:3] == [(4096 * 512, 4096 * 512), (0, 0)]


@given(st.binary(max_size=2048))
def test_any_bytes_are_read_without_an_accident(head):
    disk.file_system(head)
    assert isinstance(disk.partitions(head.ljust(1024, b"\0")), list)

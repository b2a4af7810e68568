# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files written into real images with the real tools, and read back from them."""
from __future__ import annotations

import struct
import subprocess

import pytest
from ansible_collections.overloom.fabric.plugins.module_utils import _disk_files as disk
from ansible_collections.overloom.fabric.plugins.module_utils._lab_guest import partition_table
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20


def run(argv, stdin):
    done = subprocess.run(list(argv), input=stdin, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(params=["qcow2", "vmdk", "raw"])
def image(request, tmp_path):
    """A disk of 8 MiB with two partitions, the second an ext2 with a folder rw."""
    raw, made = tmp_path / "raw", tmp_path / f"disk,1.{request.param}"
    (tmp_path / "content/rw").mkdir(parents=True)
    with open(raw, "wb") as stream:
        stream.write(partition_table([(MIB, MIB), (2 * MIB, 6 * MIB)]))
        stream.truncate(8 * MIB)
    subprocess.run(["mke2fs", "-q", "-F", "-E", f"offset={2 * MIB}", "-d", tmp_path / "content", raw, "6144k"], check=True)
    subprocess.run(["qemu-img", "convert", "-q", "-f", "raw", "-O", request.param, raw, made], check=True)
    return str(made)


def write(image, wanted, keep=False):
    runner = Runner(run)
    found = disk.read(runner, image, 2, wanted)
    change = disk.compare(wanted, found, image, keep, (), False)
    for step in change.steps:
        runner.do(step)
    after = disk.read(runner, image, 2, wanted)
    return change, after, disk.judge(wanted, after, image, keep)


def test_files_are_there_afterwards_and_a_second_time_nothing_is_to_do(image):
    wanted = {"/startup-config": "hostname leaf1\n! $(reboot) 'x' \"y\"\n", "/rw/autorun.scr": "/ip address print\n"}
    change, after, errors = write(image, wanted)
    assert change.steps and after.files == wanted and not errors
    assert not write(image, wanted)[0].steps
    changed = {**wanted, "/startup-config": "hostname leaf2\n"}
    assert not write(image, changed, keep=True)[0].steps, "a guest's own files were not kept"
    change, after, errors = write(image, changed)
    assert after.files == changed and not errors and change.before == {"/startup-config": wanted["/startup-config"]}


def test_a_missing_folder_is_told(image):
    assert "/no/file could not be written" in write(image, {"/no/file": "x"})[2][0]


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
    entry = bytes([1] * 16) + bytes(16) + struct.pack("<QQ", 4096, 8191) + bytes(80)
    head = bytearray(34 * 512)
    head[:512] = partition_table([(512, 100 * 512)])
    head[512:520] = b"EFI PART"
    struct.pack_into("<QII", head, 512 + 72, 2, 4, 128)
    head[1024 + 128 : 1024 + 256] = entry
    assert disk.partitions(bytes(head)) == [(0, 0), (4096 * 512, 4096 * 512), (0, 0), (0, 0)]


@given(st.binary(max_size=2048))
def test_any_bytes_are_read_without_an_accident(head):
    disk.file_system(head)
    assert isinstance(disk.partitions(head.ljust(1024, b"\0")), list)

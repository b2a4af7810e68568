# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest that leaves a host: what is done, and that nothing of it is removed that it still needs."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.migrate import (
    Here,
    Migration,
    compare,
    reached_disk,
    want,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import Mark
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

THERE = "qemu+ssh://root@192.0.2.2/system"
ACTIONS = Migration(None, "qemu:///system", {})
OURS = Mark(owner="test", storage=("/images/vm1-vda.qcow2", "pool/vm1-vdb"))
UNDEFINE = "virsh undefine vm1 --managed-save --snapshots-metadata --checkpoints-metadata --nvram"
REMOVALS = ["rm -f /images/vm1-vda.qcow2", "virsh vol-delete vm1-vdb --pool pool"]


def guest(**options: t.Any) -> dict[str, t.Any]:
    return {"name": "vm1", "destination": THERE, "data": None, "storage": "copy", "timeout": 60, **options}


def steps(here: Here | None, check: bool = False, **options: t.Any) -> list[str]:
    found = {} if here is None else {"vm1": here}
    return [step.shown() for step in compare(found, [want(guest(**options))], "test", ACTIONS, check).steps]


def test_a_running_guest_goes_with_its_disks() -> None:
    move = f"virsh migrate --live --persistent --auto-converge --copy-storage-inc vm1 {THERE} tcp://192.0.2.2  # within 60 s"
    assert steps(Here("running", OURS, "shutoff"), data="tcp://192.0.2.2") == [move, UNDEFINE, *REMOVALS]


def test_shared_disks_stay() -> None:
    move = f"virsh migrate --live --persistent --auto-converge vm1 {THERE}  # within 60 s"
    assert steps(Here("running", OURS, "absent"), storage="shared") == [move, UNDEFINE]


def test_what_an_interrupted_move_has_left_goes() -> None:
    assert steps(Here("shutoff", OURS, "running")) == [UNDEFINE, *REMOVALS]
    assert steps(Here("shutoff", OURS, "running"), storage="shared") == [UNDEFINE]


def test_one_that_is_gone_changes_nothing() -> None:
    assert steps(None) == []


def test_one_that_is_shut_off_goes_without_disks() -> None:
    assert steps(Here("shutoff", OURS, "shutoff"), storage="shared") == [UNDEFINE]
    assert steps(Here("shutoff", Mark(owner="test"), "shutoff")) == [UNDEFINE]
    # Where its definition there is only foretold.
    assert steps(Here("shutoff", Mark(owner="test"), "absent"), check=True) == [UNDEFINE]


@pytest.mark.parametrize(
    ("here", "sentence"),
    [
        (Here("running", Mark(), "absent"), "domain vm1 carries no mark, so it is not migrated"),
        (Here("running", Mark(owner="other"), "absent"), "domain vm1 belongs to other, so it is not migrated"),
        (Here("running", OURS, "running"), "domain vm1 runs here and on .*, or is just being migrated"),
        (
            Here("shutoff", OURS, "shutoff"),
            "only a guest that runs is moved with them: start it, or set storage to shared",
        ),
        (Here("shutoff", Mark(owner="test"), "absent"), "define it there first"),
        (Here("running", OURS, "shutoff", "the disk /a on nfs"), "the disk /a on nfs, which .* set storage to shared"),
        # What is left after the move is the disk that the guest now runs on.
        (Here("shutoff", OURS, "running", "the disk /a on nfs"), "set storage to shared"),
    ],
)
def test_what_would_lose_it_is_refused(here: Here, sentence: str) -> None:
    with pytest.raises(FabricError, match=sentence):
        steps(here)


MOUNTS = """rootfs / ext4 rw 0 0
server:/images /srv/shared\\040disks nfs4 rw 0 0
/dev/sdb /srv/shared\\040disks/local xfs rw 0 0
cluster /srv/gluster fuse.glusterfs rw 0 0
"""


@pytest.mark.parametrize(
    ("disk", "told"),
    [
        (
            "<disk type='file'><source file='/srv/shared disks/a.qcow2'/></disk>",
            "the disk /srv/shared disks/a.qcow2 on nfs4",
        ),
        ("<disk type='file'><source file='/srv/gluster/a'/></disk>", "the disk /srv/gluster/a on fuse.glusterfs"),
        ("<disk type='network'><source protocol='rbd' name='vms/a'/></disk>", "the disk vms/a on rbd"),
        ("<disk type='file'><source file='/srv/shared disks/local/a'/></disk>", ""),
        ("<disk type='file'><source file='/srv/shared diskset/a'/></disk>", ""),
        ("<disk type='file'><source file='/var/lib/a'/></disk>", ""),
        ("<disk type='file' device='cdrom'><source file='/srv/shared disks/a.iso'/><readonly/></disk>", ""),
        ("<disk type='file' device='cdrom'/>", ""),
        ("<disk type='block'><source dev='/dev/sda'/></disk>", ""),
    ],
)
def test_a_disk_that_other_hosts_reach_is_not_copied_onto_itself(disk: str, told: str) -> None:
    document = ElementTree.fromstring(f"<domain><devices>{disk}</devices></domain>")
    assert reached_disk(document, MOUNTS) == told


def test_a_shared_disk_of_a_guest_stays_where_both_hosts_have_it() -> None:
    here = Here("running", OURS, "absent", "the disk /a on nfs")
    assert steps(here, storage="shared")[1:] == [UNDEFINE]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"destination": None}, "domain vm1: destination is missing: give the URI"),
        ({"destination": "a\nb"}, "destination"),
        ({"timeout": 0}, "domain vm1: timeout"),
    ],
)
def test_wrong_input_is_told(options: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(FabricError, match=sentence):
        want(guest(**options))

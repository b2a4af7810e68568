# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest that leaves a host: what is done, and that nothing of it is removed that it still needs."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.migrate import Here, Migration, compare, want
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
    ],
)
def test_what_would_lose_it_is_refused(here: Here, sentence: str) -> None:
    with pytest.raises(FabricError, match=sentence):
        steps(here)


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

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do beside site.yml: they restart Open vSwitch by hand, and run it twice at once. What others have on a host is in test_site_refused.py."""

from __future__ import annotations

import json
import os

import pytest
from test_site import Fabric, changed


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    fabric = Fabric(tmp_path_factory.mktemp("others"), f"others-{os.getpid()}")
    fabric.play("playbooks/lab.yml")
    fabric.on("kvm1", "systemctl", "start", "openvswitch-switch")
    try:
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


@pytest.fixture
def empty(fabric):
    """The fabric's hosts without the fabric, and after the test without what others made."""
    fabric.play("playbooks/teardown.yml")
    yield fabric
    fabric.intent.pop("fabric_adopt", None)
    fabric.write()
    fabric.play("playbooks/teardown.yml")
    for command in (
        "for bridge in $(ovs-vsctl list-br); do ovs-vsctl del-br $bridge; done",
        "for name in $(ls /run/netns); do ip netns delete $name; done",
    ):
        fabric.on("kvm1", "sh", "-c", command)


def test_open_vswitch_that_was_restarted_by_hand_is_taken_as_it_runs(empty):
    empty.play("site.yml")
    empty.on("kvm1", "/usr/share/openvswitch/scripts/ovs-ctl", "restart")
    state = empty.on("kvm1", "systemctl", "show", "--property=ActiveState", "--value", "ovs-vswitchd.service")
    assert state.strip() != "active", "systemd knows of it here"
    empty.play("site.yml")
    assert set(changed(empty.play("site.yml")).values()) == {0}
    assert empty.verify()["failed"] == 0
    empty.on("kvm1", "systemctl", "stop", "ovs-vswitchd.service")
    empty.on("kvm1", "/usr/share/openvswitch/scripts/ovs-ctl", "stop")
    empty.play("site.yml")
    assert empty.verify()["failed"] == 0


def both(fabric: Fabric, *commands: tuple[str, ...]) -> None:
    """Run playbooks side by side, all of which have to succeed."""
    for run in [fabric.start("ansible-playbook", *command) for command in commands]:
        out, _err = run.communicate(timeout=600)
        assert run.returncode == 0, out


def verify_into(fabric: Fabric, name: str) -> tuple[str, ...]:
    """The command of a verify with a report of its own."""
    return ("playbooks/verify.yml", "-e", f"verify_report={fabric.folder}/{name}")


def seen(fabric: Fabric, name: str) -> list[tuple[str, str, str, bool]]:
    """The checks of a report, with what came of each."""
    checks = json.loads((fabric.folder / name / "verify.json").read_text())["checks"]
    return sorted((check["kind"], check["from"], str(check["to"]), check["passed"]) for check in checks)


def test_two_runs_at_once_do_not_disturb_each_other(empty):
    """Two people with one fabric: both build it from nothing, both measure it, and one builds while the other measures."""
    both(empty, ("site.yml",), ("site.yml",))
    assert set(changed(empty.play("site.yml")).values()) == {0}
    both(empty, verify_into(empty, "one"), verify_into(empty, "two"))
    assert seen(empty, "one") == seen(empty, "two") and all(check[-1] for check in seen(empty, "one"))
    both(empty, ("site.yml",), verify_into(empty, "one"))
    assert all(check[-1] for check in seen(empty, "one"))
    # A fault is told by both: neither takes the other's listeners for the endpoint's.
    empty.on("kvm2", "ovs-vsctl", "set", "port", "v-vm2", "tag=77")
    for run in [empty.start("ansible-playbook", *verify_into(empty, name)) for name in ("one", "two")]:
        out, _err = run.communicate(timeout=600)
        assert run.returncode != 0 and "endpoint kvm2/vm2" in out, out
    assert seen(empty, "one") == seen(empty, "two")
    both(empty, ("site.yml",), ("site.yml",))
    assert empty.verify()["failed"] == 0


def test_a_killed_run_leaves_no_lock(empty):
    empty.play("site.yml")
    hold = "import socket,time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('\\0overloom-lock/network'); print(1, flush=True); time.sleep(600)"
    empty.on("kvm1", "sh", "-c", f'python3 -c "{hold}" >/dev/null 2>&1 & echo $! >/run/holder')
    empty.on("kvm1", "sh", "-c", "kill -KILL $(cat /run/holder)")
    assert set(changed(empty.play("site.yml")).values()) == {0}

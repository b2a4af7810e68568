# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of verify: of a fabric with a host that is down, two side by side, one that was killed, one that asks a switch twice."""

from __future__ import annotations

import concurrent.futures
import json
import os

import pytest
from test_verify_breaks import measuring, routed


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    with routed(tmp_path_factory.mktemp("runs"), f"verify-runs-{os.getpid()}").built() as fabric:
        yield fabric


def test_a_host_that_is_down_is_asked_once_and_named_once_by_the_playbook(fabric):
    """One sentence, and a next command on a host that answers."""
    fabric.lab.host("kvm2").power_off()
    said = fabric.play(
        "playbooks/verify.yml", "-e", f"verify_report={fabric.folder}/reports", "-e", "verify_settle=2", ok=False
    )
    report = json.loads((fabric.folder / "reports/verify.json").read_text())
    assert [cause["title"] for cause in report["causes"]] == ["host kvm2 does not answer"], said
    assert said.count("UNREACHABLE") == 1 and "1 cause: host kvm2 does not answer" in said
    assert "on kvm1: ping -c 3 192.168.200.2" in said and "look on kvm2" not in said


def test_booted_again_all_is_well_and_two_runs_side_by_side_do_not_disturb_each_other(fabric):
    fabric.play("playbooks/lab.yml")
    fabric.play("site.yml")
    verifier = measuring(fabric)
    verifier.settle = 10
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        reports = list(pool.map(lambda _number: verifier.run(), range(2)))
    for report in reports:
        assert report["failed"] == 0, "\n".join(report["lines"])


def test_a_run_that_was_killed_leaves_the_next_one_alone_and_no_old_report(fabric):
    """Killed while it listens, as by Ctrl-C: its listeners answer nobody else, and its report is not taken for the next one's."""
    old = fabric.folder / "reports/verify.json"
    old.parent.mkdir(exist_ok=True)
    old.write_text("{}")
    process = fabric.start("ansible-playbook", "playbooks/verify.yml", "-e", f"verify_report={fabric.folder}/reports")
    for line in process.stdout:
        if "Transfer by TCP" in line:
            break
    process.kill()
    process.communicate()
    assert not old.exists()
    assert fabric.verify()["failed"] == 0


def test_a_switch_that_is_being_restarted_is_asked_again(fabric):
    """It answers nobody for some moments; one question falls into them, and no more."""
    once = '#!/bin/sh\nrm -- "$0"\necho "ovs-ofctl: br-int is not a bridge or a socket" >&2\nexit 1\n'
    place = "/usr/local/sbin/ovs-ofctl"
    fabric.on("kvm1", "sh", "-c", f"printf '%s' '{once}' > {place}; chmod 755 {place}")
    said = fabric.play("playbooks/verify.yml", "-e", f"verify_report={fabric.folder}/reports")
    assert "RETRYING: [kvm1]: Read the switch" in said.replace("verify : ", ""), said
    assert json.loads((fabric.folder / "reports/verify.json").read_text())["failed"] == 0

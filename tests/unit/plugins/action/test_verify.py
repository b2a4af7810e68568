# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify in Ansible, with no host that answers: never green for nothing, never a report of an earlier run."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT, sentences

EVERYONE = {
    # Nobody listens there, so a connection is refused at once.
    "ansible_connection": "ssh",
    "ansible_host": "127.0.0.1",
    "ansible_port": 1,
    "ansible_become": False,
    "fabric_name": "test",
    "fabric_segments": [{"name": "blue", "vlan": 10, "subnet": "10.1.1.0/24"}],
}
HOSTS = {f"kvm{number}": {"fabric_endpoints": [{"name": "a", "segment": "blue"}]} for number in (1, 2)}


@pytest.fixture
def verify(tmp_path):
    """Runs verify on an inventory whose group of hosts has the given name; an old report lies there. Returns the process and the report's folder."""
    reports = tmp_path / "reports"
    reports.mkdir()
    for name in ("verify.json", "verify.xml"):
        (reports / name).write_text("old")

    def run(group):
        (tmp_path / "hosts.yml").write_text(
            yaml.safe_dump({"all": {"vars": EVERYONE, "children": {group: {"hosts": HOSTS}}}})
        )
        command = [
            str(pathlib.Path(sys.executable).parent / "ansible-playbook"),
            "playbooks/verify.yml",
            "-i",
            str(tmp_path / "hosts.yml"),
        ]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_NOCOLOR": "1",
        }
        options = {
            "capture_output": True,
            "text": True,
            "cwd": CHECKOUT,
            "env": environment,
            "timeout": 300,
        }
        return subprocess.run([*command, "-e", f"verify_report={reports}"], check=False, **options), reports

    return run


def test_hosts_that_do_not_answer_are_asked_once_named_once_and_no_success(verify):
    done, reports = verify("kvm_hosts")
    assert done.returncode != 0, done.stdout
    report = json.loads((reports / "verify.json").read_text())
    assert [cause["title"] for cause in report["causes"]] == ["host kvm1 does not answer", "host kvm2 does not answer"]
    assert report["passed"] == 0 and "<testsuites" in (reports / "verify.xml").read_text()
    assert done.stdout.count("UNREACHABLE") == 2, done.stdout
    assert done.stdout.count("✗ host kvm1 does not answer") == 1
    assert "2 causes: host kvm1 does not answer; host kvm2 does not answer" in sentences(done.stdout + done.stderr)
    assert not [name for name in os.listdir(reports) if name.startswith(".")], "no half of a report is left"


def test_an_inventory_without_hosts_of_the_fabric_leaves_no_old_report(verify):
    done, reports = verify("kvmhosts")
    assert done.returncode != 0, done.stdout
    assert os.listdir(reports) == []

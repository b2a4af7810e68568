# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diagram in Ansible: a picture of hosts that nobody can reach, and what is said where there can be none."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import time
import typing as t
import xml.etree.ElementTree as ET

import pytest
import yaml

from ansible_collections.overloom.fabric.plugins.action import diagram as action
from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT

BIN = pathlib.Path(sys.executable).parent
EVERYONE = {
    # Nobody listens there, so whoever connects fails.
    "ansible_connection": "ssh",
    "ansible_host": "127.0.0.1",
    "ansible_port": 1,
    "fabric_name": "test",
    "fabric_segments": [{"name": "blue", "vlan": 10, "subnet": "10.1.1.0/24"}],
}
HOSTS = {f"kvm{number}": {"fabric_endpoints": [{"name": "a", "segment": "blue"}]} for number in (1, 2)}


class Diagram:
    """The playbook on an inventory of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self.reports = folder, folder / "reports"
        groups = {"kvm_hosts": {"hosts": HOSTS}}
        (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": EVERYONE, "children": groups}}))

    def run(self, *more: str, path: str | None = None, playbook: str = "diagram") -> subprocess.CompletedProcess[str]:
        """path: where programs are looked for."""
        command = [str(BIN / "ansible-playbook"), f"playbooks/{playbook}.yml", "-i", str(self.folder / "hosts.yml")]
        environment = {
            **os.environ,
            **({"PATH": path} if path else {}),
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
        }
        reports = [word for role in ("diagram", "status") for word in ("-e", f"{role}_report={self.reports}")]
        return subprocess.run(
            [*command, *reports, *more],
            capture_output=True,
            text=True,
            cwd=CHECKOUT,
            env=environment,
            timeout=300,
            check=False,
        )

    def texts(self) -> list[str]:
        """The texts of the picture."""
        root = ET.parse(self.reports / "fabric.svg")
        return [node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture
def diagram(tmp_path: pathlib.Path) -> Diagram:
    return Diagram(tmp_path)


def recap(text: str) -> dict[str, tuple[int, int]]:
    """How many tasks changed each host, and how many could not reach it."""
    found = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+)", text, re.MULTILINE)
    return {name: (int(changed), int(unreachable)) for name, changed, unreachable in found}


def test_hosts_that_cannot_be_reached_are_drawn_and_nothing_is_changed(diagram: Diagram) -> None:
    done = diagram.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert recap(done.stdout) == {"kvm1": (0, 0), "kvm2": (0, 0)}
    assert f"{diagram.reports}/fabric.svg: 2 hosts, 1 segment, 2 endpoints, 1 tunnel" in done.stdout
    assert {"kvm1", "kvm2", "fabric test"} <= set(diagram.texts()) and sorted(os.listdir(diagram.reports)) == [
        "fabric.html",
        "fabric.svg",
    ]
    # The control: a playbook that connects does not pass.
    assert diagram.run(playbook="status").returncode != 0


def report(**other: t.Any) -> dict[str, t.Any]:
    """A report of status, of which the second host did not answer."""
    down = {
        "kind": "host",
        "host": "kvm2",
        "thing": "kvm2",
        "from": "kvm2",
        "to": "",
        "expected": "answers",
        "observed": "down",
    }
    return {"fabric": "test", "time": 0, "hosts": {"kvm1": "answers", "kvm2": "down"}, "problems": [down], **other}


def test_a_report_of_status_is_shown_and_may_be_left_out(diagram: Diagram) -> None:
    diagram.reports.mkdir()
    (diagram.reports / "status.json").write_text(json.dumps(report()))
    assert "state of 1970-01-01 00:00:00 UTC: 1 problem" in diagram.run().stdout
    assert "down; planned: answers" in (diagram.reports / "fabric.html").read_text(encoding="utf-8")
    assert {"kvm1", "✗ kvm2", "state of 1970-01-01 00:00:00 UTC: 1 problem"} <= set(diagram.texts())
    done = diagram.run("-e", "diagram_layers=underlay,overlay")
    assert done.returncode == 0 and "problem" not in done.stdout
    assert "kvm2" in diagram.texts() and "✗ kvm2" not in diagram.texts()


def test_a_report_that_does_not_fit_is_left_out_with_a_sentence(tmp_path: pathlib.Path) -> None:
    assert action.read_reports(str(tmp_path), "test") == ({}, [])
    file = tmp_path / "status.json"
    for text, sentence in (
        (json.dumps(report(fabric="other")), "is of fabric other, and is left out."),
        (json.dumps(report(hosts=None)), "is no report of status, and is left out."),
        (json.dumps(report(problems=[{}])), "is no report of status, and is left out."),
        (json.dumps(report(time=1e30)), "is no report of status, and is left out."),
        ("[]", "is no report of status, and is left out."),
        ("half of a rep", "is no report of status, and is left out."),
    ):
        file.write_text(text)
        assert action.read_reports(str(tmp_path), "test") == ({}, [f"{file} {sentence}"])
    file.write_text(json.dumps(report()))
    (tmp_path / "trace.json").write_text('{"fabric": "test"}')
    found, left_out = action.read_reports(str(tmp_path), "test")
    assert list(found) == ["status", "trace"] and found["status"].data == report() and not left_out
    assert abs(found["status"].written - time.time()) < 60


def test_without_graphviz_one_sentence_names_the_package(diagram: Diagram) -> None:
    done = diagram.run(path=str(BIN))
    assert done.returncode != 0
    text = " ".join((done.stdout + done.stderr).split())
    assert (
        "Drawing needs the program dot on the controller; install Graphviz, whose package is called graphviz." in text
    )
    assert not diagram.reports.exists()

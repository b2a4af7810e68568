# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""make's help, the hints after `make lab`, and the way into a host."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tools"))

import enter  # noqa: E402  # pylint: disable=wrong-import-position
import hints  # noqa: E402  # pylint: disable=wrong-import-position

LAB_HOST = {"ansible_connection": enter.LAB, "fabric_name": "demo"}


def test_help_shows_every_target_with_its_whole_text():
    targets = re.findall(r"^([a-z-]+):.*## (.+)$", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    assert len(targets) > 10 and any(":" in text for _name, text in targets)
    assert [line.split(None, 2)[1:] for line in shown.splitlines()] == [[name, text] for name, text in targets]


def test_the_hints_for_another_inventory_name_it_and_its_hosts():
    hosts = {"n1": {}, "n2": {"fabric_endpoints": [{"name": "a"}, {"name": "vm7", "kind": "guest"}]}}
    commands = [command for command, _purpose in hints.hints("inventory/other", hosts)]
    assert all("inventory/other" in command for command in commands)
    assert "make shell INVENTORY=inventory/other HOST=n2" in commands
    assert "make console INVENTORY=inventory/other HOST=n2 GUEST=vm7" in commands
    assert commands[-1] == "make lab-down INVENTORY=inventory/other"


def test_the_hints_for_the_default_inventory_are_short_and_without_guests_name_none():
    commands = [
        command for command, _purpose in hints.hints(hints.DEFAULT, {"n1": {"fabric_endpoints": [{"name": "a"}]}})
    ]
    assert "make shell HOST=n1" in commands and commands[-1] == "make lab-down"
    assert not [command for command in commands if "console" in command or hints.DEFAULT in command]


def test_endpoints_that_a_template_makes_name_no_guest():
    hosts = {"n1": {"fabric_endpoints": "{{ points }}"}}
    assert not [command for command, _purpose in hints.hints("inventory/other", hosts) if "console" in command]


def test_a_lab_host_is_entered_by_its_namespaces(tmp_path):
    folder = tmp_path / "demo/hosts/n1"
    folder.mkdir(parents=True)
    (folder / "leader").write_text("4711 x\n", encoding="ascii")
    line = enter.command("n1", LAB_HOST, ["virsh", "console", "vm1"], tmp_path)
    assert "nsenter" in line[:2] and "--target=4711" in line and line[-3:] == ["virsh", "console", "vm1"]
    assert enter.command("n1", LAB_HOST, [], tmp_path)[-2:] == ["bash", "-l"]


def test_a_lab_host_that_is_not_up_is_named(tmp_path):
    with pytest.raises(LookupError, match="host n1 of lab demo is not up; boot it with make lab"):
        enter.command("n1", LAB_HOST, [], tmp_path)


def test_another_host_is_entered_over_ssh():
    variables = {"fabric_name": "demo", "ansible_host": "192.0.2.1", "ansible_user": "me", "ansible_port": 2222}
    assert enter.command("n1", variables, []) == ["ssh", "-t", "-lme", "-p2222", "192.0.2.1"]
    assert enter.command("n1", variables, ["virsh", "console", "a b"])[-1] == "virsh console 'a b'"
    assert enter.command("n1", {}, []) == ["ssh", "-t", "n1"]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["inventory/lab", ""], "has no host without a name; say HOST=NAME, NAME being one of: kvm1, kvm2, r1"),
        (["inventory/lab", "kvm9"], "has no host kvm9; say HOST=NAME"),
        (["inventory/lab", "kvm1", "virsh", "console", ""], "say GUEST=NAME; guests of kvm1: vm1"),
        (["inventory/lab", "r1", "virsh", "console", ""], "say GUEST=NAME; guests of r1: none"),
    ],
)
def test_a_missing_name_is_asked_for_in_one_sentence(argv, sentence):
    done = subprocess.run(
        [sys.executable, "tools/enter.py", *argv], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and sentence in done.stderr and len(done.stderr.splitlines()) == 1

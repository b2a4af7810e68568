# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Outputs in Ansible, and the playbooks of a stack: real runs on the controller, with no host behind them."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest
import yaml

from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT

BIN = pathlib.Path(sys.executable).parent
GUEST = {"name": "a", "segment": "blue", "kind": "guest", "guest": {"image": "lab"}}
INVENTORY = {
    "all": {
        "vars": {
            "ansible_host": "192.0.2.1",
            "ansible_user": "admin",
            "fabric_name": "test",
            "fabric_segments": [{"name": "blue", "vlan": 10, "subnet": "10.1.1.0/24"}],
        },
        "children": {
            "kvm_hosts": {
                "hosts": {
                    "kvm1": {"fabric_endpoints": [GUEST, {"name": "b", "segment": "blue"}]},
                    "kvm2": {"fabric_endpoints": [GUEST]},
                }
            }
        },
    }
}


def ansible(playbook, inventory, *arguments):
    """Run a playbook; its exit status and all that it said."""
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), "-i", str(inventory), str(playbook), *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def inventory(tmp_path):
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(INVENTORY), encoding="utf-8")
    return path


def test_they_are_printed_and_written_for_programs(inventory, tmp_path):
    folder = tmp_path / "my reports"
    status, output = ansible(
        CHECKOUT / "playbooks/outputs.yml", inventory, "-e", json.dumps({"outputs_report": str(folder)})
    )
    assert status == 0, output
    assert "on kvm1: virsh console a" in output and "10.1.1.65/24" in output and "changed=0" in output
    assert "Underlay" not in output
    for name in ("outputs.json", "ssh_config", "guests.yml"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o644
    found = json.loads((folder / "outputs.json").read_text(encoding="utf-8"))
    assert found["endpoints"][0]["command"] == "ssh -l admin -t 192.0.2.1 'sudo virsh console a'"
    listed = subprocess.run(
        [str(BIN / "ansible-inventory"), "-i", str(folder / "guests.yml"), "--list"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "WARNING" not in listed.stderr
    known = json.loads(listed.stdout)
    assert known["segment_blue"]["hosts"] == ["a.kvm1", "a.kvm2"] and known["host_kvm2"]["hosts"] == ["a.kvm2"]
    assert known["_meta"]["hostvars"]["a.kvm2"]["ansible_ssh_common_args"] == f"-F '{folder}/ssh_config'"


def test_a_restart_that_a_guest_needs_is_a_warning_and_an_output(inventory, tmp_path):
    known = "{ansible.builtin.set_fact: {linux_guest_made_guests: {restart_required: {a: [cmdline, nics]}}}, when: inventory_hostname == 'kvm1'}"
    plan = "{overloom.fabric.outputs: {plan: '{{ fabric_plan }}'}, run_once: true}"
    play = tmp_path / "play.yml"
    play.write_text(
        f"[{{hosts: kvm_hosts, gather_facts: false, roles: [overloom.fabric.plan], tasks: [{known}, {plan}]}}]",
        encoding="utf-8",
    )
    status, output = ansible(play, inventory)
    assert status == 0, output
    said = " ".join(output.split())
    assert (
        "kvm1: guest a still runs as it was before a change of cmdline, nics, which needs a restart; set guest.restart: true for a"
        in said
    )
    assert "kvm2: guest a still runs" not in said and said.count("guest, restart needed") == 1


@pytest.mark.parametrize("name", ["up", "down", "outputs"])
def test_an_inventory_without_a_host_of_the_fabric_is_never_green(name, tmp_path):
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"children": {"kvm_host": {"hosts": {"kvm1": None}}}}}), encoding="utf-8")
    status, output = ansible(CHECKOUT / f"playbooks/{name}.yml", path)
    assert status != 0 and "did you mean kvm_hosts with kvm_host?" in " ".join(output.split())


def test_another_number_of_web_servers_leaves_every_other_endpoint_as_it_was(tmp_path):
    found = {}
    for number in ("0", "1", "3"):
        # As the command line gives it, a text.
        status, output = ansible(
            CHECKOUT / "playbooks/outputs.yml",
            CHECKOUT / "inventory/stack",
            "-e",
            f"stack_web_count={number}",
            "-e",
            f"outputs_report={tmp_path}/{number}",
        )
        assert status == 0, output
        points = json.loads((tmp_path / number / "outputs.json").read_text(encoding="utf-8"))["endpoints"]
        found[number] = {point["name"]: point for point in points}
    assert found["1"].items() <= found["3"].items() and found["0"].items() <= found["1"].items()
    assert found["3"].keys() - found["1"].keys() == {f"{host}/web{i}" for host in ("kvm1", "kvm2") for i in (2, 3)}

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan in Ansible: real runs on the controller, with no host behind them."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from ansible_collections.overloom.fabric.plugins.action.plan import _templates
from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT, sentences

EVERYONE = {
    # Any connection would do, for none is made.
    "ansible_connection": "ssh",
    "ansible_host": "192.0.2.1",
    "fabric_name": "test",
    "fabric_segments": [{"name": "blue", "vlan": 10, "subnet": "{{ blue_subnet }}"}],
    "blue_subnet": "10.1.1.0/24",
}
HOSTS = {
    "kvm1": {"fabric_endpoints": [{"name": "a", "segment": "blue"}]},
    "kvm2": {"last": 9, "fabric_endpoints": [{"name": "b", "segment": "blue", "address": "10.1.1.{{ last }}"}]},
}
PLAY = """
- hosts: kvm_hosts
  gather_facts: false
  roles:
    - overloom.fabric.plan
  tasks:
    - ansible.builtin.copy:
        content: "{{ fabric_plan | to_json }}"
        dest: "{{ out }}/{{ inventory_hostname }}"
        mode: "0600"
      delegate_to: localhost
      vars: {ansible_connection: local}
      check_mode: false
    - ansible.builtin.set_fact:
        fabric_computed_by_a_task: 1
        lab_computed_by_a_task: 1
    - overloom.fabric.plan:
      run_once: true
"""


@pytest.fixture
def fabric(tmp_path):
    """Runs a playbook on an inventory of HOSTS, changed by what the caller gives; returns (exit status, output)."""

    def run(playbook, *arguments, hosts=None, everyone=None, others=None):
        groups = {"kvm_hosts": {"hosts": HOSTS if hosts is None else hosts}, "others": {"hosts": others or {}}}
        inventory = tmp_path / "inventory"
        (inventory / "group_vars").mkdir(parents=True, exist_ok=True)
        (inventory / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}), encoding="utf-8")
        (inventory / "group_vars/all.yml").write_text(
            yaml.safe_dump({**EVERYONE, **(everyone or {})}), encoding="utf-8"
        )
        if not isinstance(playbook, pathlib.Path):
            (tmp_path / "play.yml").write_text(playbook, encoding="utf-8")
            playbook = tmp_path / "play.yml"
        done = subprocess.run(
            [
                str(pathlib.Path(sys.executable).parent / "ansible-playbook"),
                "-i",
                str(inventory),
                str(playbook),
                "-e",
                f"out={tmp_path}",
                *arguments,
            ],
            cwd=CHECKOUT,
            env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


SHOW = CHECKOUT / "playbooks/plan.yml"


def test_the_playbook_prints_tables(fabric):
    status, output = fabric(SHOW)
    assert status == 0, output
    assert "10.1.1.65/24 a" in output and "10.1.1.9/24 g" in output
    assert "changed=0" in output


def test_a_query_prints_the_part_that_it_selects(fabric):
    status, output = fabric(SHOW, "-e", "plan_query=hosts.kvm2.tunnels[0].name")
    assert status == 0, output
    assert "\nvxlan-kvm1\n" in output and "kvm2" not in output.replace("vxlan-kvm1", "")


def test_a_query_that_is_none_is_told(fabric):
    status, output = fabric(SHOW, "-e", "plan_query=hosts.[")
    assert status != 0
    assert "query 'hosts.[' is no JMESPath expression" in sentences(output)


@pytest.mark.parametrize("arguments, hosts", [((), ["kvm1", "kvm2"]), (("--limit", "kvm2", "--check"), ["kvm2"])])
def test_the_role_hands_the_whole_plan_to_each_host_even_with_a_limit(fabric, tmp_path, arguments, hosts):
    status, output = fabric(PLAY, *arguments)
    assert status == 0, output
    for host in hosts:
        plan = json.loads((tmp_path / host).read_text(encoding="utf-8"))
        assert list(plan["hosts"]) == ["kvm1", "kvm2"]
        assert [point["address"] for point in plan["endpoints"]] == ["10.1.1.65", "10.1.1.9"]
    assert [host for host in ("kvm1", "kvm2") if (tmp_path / host).exists()] == hosts


def test_all_errors_come_as_one_numbered_list_before_any_host_is_asked(fabric):
    status, output = fabric(
        PLAY,
        everyone={"fabric_segmants": [], "lab_link": [], "fabric_overlays": [{"encapsulation": "grx"}]},
        others={"web1": {"fabric_endpoints": [{"name": "c", "segment": "blue"}]}},
    )
    assert status != 0
    assert "UNREACHABLE" not in output
    found = [
        line.strip()
        for line in output.partition("fatal:")[2].splitlines()
        if line.strip()[:2] in ("1.", "2.", "3.", "4.", "5.")
    ]
    assert found == [
        "1. fabric_segmants (of kvm1, kvm2, web1) is no variable of the fabric; did you mean fabric_segments?",
        "2. lab_link (of kvm1, kvm2, web1) is no variable of the lab; did you mean lab_links?",
        "3. web1: fabric_endpoints is set, but the host is not in the fabric; put it into the group kvm_hosts.",
        "4. fabric_overlays[0].encapsulation must be one of gre, vxlan, geneve, vlan, not 'grx'; did you mean gre?",
    ]


def test_a_template_that_fails_is_told_with_its_variable(fabric):
    status, output = fabric(SHOW, everyone={"fabric_segments": "{{ nothing_like_it }}"})
    assert status != 0
    assert "kvm1: fabric_segments has a template that fails: " in output and "nothing_like_it" in output


@pytest.mark.parametrize("value", ["{{ nokey }}", "{% if nokey %}x{% endif %}", "{{\n nokey }}word"])
def test_a_template_that_stays_as_text_is_no_key(value):
    """As ansible-core 2.18 leaves one whose variable is not defined."""
    problems = list(_templates({"key": value, "links": [{"password": value}], "interval": 5}, "fabric_routing"))
    assert [problem.split(" has a template that fails")[0] for problem in problems] == [
        "fabric_routing.key",
        "fabric_routing.links[0].password",
    ]
    assert not list(_templates({"key": "a{b}%c", "links": [{"description": "{ {x} }"}]}, "fabric_routing"))


def test_a_key_whose_variable_is_not_defined_is_refused(fabric):
    status, output = fabric(SHOW, everyone={"fabric_routing": {"protocol": "ospf", "key": "{{ nokey }}"}})
    assert status != 0
    assert "has a template that fails" in output and "nokey" in output and "no host was touched" in output


def test_an_empty_group_is_told(fabric):
    status, output = fabric(
        "- {hosts: localhost, connection: local, gather_facts: false, roles: [overloom.fabric.plan]}", hosts={}
    )
    assert status != 0
    assert "The group kvm_hosts has no host" in output


def test_an_unknown_option_of_the_task_is_refused(fabric):
    status, output = fabric("- {hosts: kvm_hosts, gather_facts: false, tasks: [{overloom.fabric.plan: {filter: x}}]}")
    assert status != 0
    assert "filter" in output

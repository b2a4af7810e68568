# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback in real runs of Ansible, on this machine and without a fabric."""

from __future__ import annotations

import os
import pathlib
import re
import stat
import subprocess
import sys

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[4]
BIN = pathlib.Path(sys.executable).parent
# Without the tasks that run a module.
QUICK = ("-e", "{quick: true}")
PLAYBOOK = """
- name: A play
  hosts: all
  gather_facts: false
  tasks:
    - name: Change it
      ansible.builtin.set_fact:
        said: changed-output
      changed_when: true
    - name: Leave it
      ansible.builtin.set_fact:
        said: quiet-output
    - name: Say it
      ansible.builtin.debug:
        msg: A sentence for a person.
      run_once: true
    - name: Try it again
      ansible.builtin.set_fact:
        said: again
      register: seen
      until: seen.attempts > 1
      retries: 3
      delay: 0
    - name: Write a secret
      ansible.builtin.copy:
        content: "{{ inventory_hostname }} hunter2"
        dest: "{{ playbook_dir }}/secret-{{ inventory_hostname }}"
        mode: "0600"
      when: not (quick | default(false))
      no_log: true
    - name: Write a file
      ansible.builtin.copy:
        content: "new line"
        dest: "{{ playbook_dir }}/file-{{ inventory_hostname }}"
        mode: "0600"
      when: not (quick | default(false))
    - name: Items
      ansible.builtin.fail:
        msg: "item {{ item }} is wrong"
      loop: [1, 2]
      when: (breaks is defined and item == 2) or (ignored is defined and item == 1)
      ignore_errors: "{{ ignored is defined }}"
    - name: Last
      ansible.builtin.command: sleep 2
      when: lasts is defined
    - name: Break
      ansible.builtin.command: sh -c "echo details; exit 3"
      when: breaks_plain is defined and inventory_hostname == 'a'
"""


@pytest.fixture
def play(tmp_path):
    (tmp_path / "test.yml").write_text(PLAYBOOK, encoding="utf-8")
    (tmp_path / "hosts").write_text("[all:vars]\nansible_connection=local\n[group]\na\nb\n", encoding="utf-8")

    def run(*argv, ok=True, tool="ansible-playbook", **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment.update(
            ANSIBLE_CONFIG=str(CHECKOUT / "ansible.cfg"),
            ANSIBLE_PYTHON_INTERPRETER=sys.executable,
            ANSIBLE_HOME=str(tmp_path / "home"),
            ANSIBLE_COLLECTIONS_PATH=str(CHECKOUT / ".collections"),
            OVERLOOM_RUN_FOLDER=str(tmp_path / "reports"),
        )
        environment.update(variables)
        done = subprocess.run(
            [str(BIN / tool), "-i", str(tmp_path / "hosts"), *argv],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode == 0) is ok, done.stdout
        return done.stdout

    return run


def test_a_good_run_is_short_and_the_file_has_all_of_it(play, tmp_path):
    out = play("test.yml")
    file = tmp_path / "reports/test.log"
    lines = out.splitlines()
    assert lines[0] == "A play" and lines[-1].endswith(f"; all output: {file}")
    assert len(lines) < 15
    assert [line for line in lines if "Change it" in line] == ["  changed  Change it: a, b"]
    assert "Leave it" not in out
    assert lines.count("  A sentence for a person.") == 1
    assert "  waiting: Try it again (a), try 2 of 4" in lines
    assert "FAILED" not in out and "\x1b" not in out
    assert lines[-1].startswith("2 hosts, 3 changed each, ")
    full = file.read_text(encoding="utf-8")
    assert "TASK [Leave it]" in full and "ok: [a]" in full and "PLAY RECAP" in full and "changed=3" in full
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "hunter2" not in out + full


def test_a_task_that_lasts_is_told_while_it_does(play):
    out = play("test.yml", *QUICK, "-e", "lasts=1", OVERLOOM_RUN_PATIENCE="0.7")
    assert re.search("^  running: Last, for [0-9]+ s$", out, re.MULTILINE)
    # Each time twice as long.
    assert out.count("running: Last") <= 8
    assert "running" not in play("test.yml", *QUICK, OVERLOOM_RUN_PATIENCE="60")


def test_a_failure_is_shown_whole_with_its_sentence_first(play):
    out = play("test.yml", *QUICK, "-e", "breaks_plain=1", ok=False)
    lines = out.splitlines()
    at = lines.index("  failed   Break: a")
    assert "non-zero return code" in lines[at + 1]
    details = [line.strip() for line in lines[at:]]
    assert "rc: 3" in details and "stdout: details" in details
    assert any(line.startswith("1 failed") and line.endswith(": a") for line in lines)


def test_each_item_that_fails_is_told_by_name(play):
    out = play("test.yml", *QUICK, "-e", "breaks=1", ok=False)
    assert "    2: item 2 is wrong" in out.splitlines()
    assert "    1: item" not in out


def test_what_is_ignored_is_no_failure(play):
    out = play("test.yml", *QUICK, "-e", "ignored=1")
    assert "  ignored  Items: " in out and "  failed " not in out


def test_check_mode_shows_differences_and_no_secret(play, tmp_path):
    out = play("test.yml", "--check", "--diff")
    assert "+new line" in out and "would change" in out
    assert "hunter2" not in out + (tmp_path / "reports/test.log").read_text(encoding="utf-8")


def test_more_verbose_is_all_of_it(play):
    out = play("test.yml", *QUICK, "-v")
    assert "TASK [Leave it]" in out and "quiet-output" in out and "PLAY RECAP" in out


def test_a_folder_that_cannot_be_written_stops_nothing(play, tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    out = play("test.yml", *QUICK, OVERLOOM_RUN_FOLDER=str(tmp_path / "taken"))
    assert "all output" not in out and "2 hosts, 1 changed each" in out


def test_a_link_in_the_place_of_the_file_is_not_followed(play, tmp_path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "theirs").write_text("theirs", encoding="utf-8")
    (tmp_path / "reports/test.log").symlink_to(tmp_path / "theirs")
    play("test.yml", *QUICK)
    assert (tmp_path / "theirs").read_text(encoding="utf-8") == "theirs"
    assert "PLAY RECAP" in (tmp_path / "reports/test.log").read_text(encoding="utf-8")


def test_the_commands_of_one_module_print_what_ansible_prints(play, tmp_path):
    out = play("a", "-m", "command", "-a", "echo adhoc", tool="ansible")
    assert out.startswith("a | CHANGED | rc=0 >>\nadhoc")
    assert not (tmp_path / "reports").exists()

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's connection where it needs no lab: who may enter, and what is taken for a host. (How it runs things: the integration tests.)"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.playbook.play_context import PlayContext

from ansible_collections.overloom.fabric.plugins.connection import lab


@pytest.fixture
def connection(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Any:
    """A connection to host kvm1 of lab demo, whose state is below tmp_path."""
    monkeypatch.setattr(lab, "LABS", str(tmp_path))
    (tmp_path / "demo/hosts/kvm1").mkdir(parents=True)
    # `sudo` is one of ours, which leaves nsenter and the namespaces out.
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(
        lab.Connection, "get_option", lambda _self, name: {"lab_name": "demo", "host": "kvm1", "address": None}[name]
    )
    return lab.Connection(PlayContext())


def script(path: pathlib.Path, text: str) -> None:
    path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize("leader", [None, "", "x\n", "999999999 1.0\n", f"{os.getpid()} 1.0\n", "1 1.0\n"])
def test_only_process_1_of_a_namespace_of_its_own_is_a_host(
    connection: t.Any, tmp_path: pathlib.Path, leader: str | None
) -> None:
    if leader is not None:
        (tmp_path / "demo/hosts/kvm1/leader").write_text(leader, encoding="ascii")
    with pytest.raises(
        AnsibleConnectionFailure, match="^lab host kvm1 of lab demo is not running; make it with playbooks/lab.yml$"
    ):
        connection.exec_command("true")


@pytest.mark.parametrize(("address", "host"), [(None, "kvm1"), ("kvm2", "kvm2"), ("192.0.2.1", "kvm1"), ("..", "kvm1")])
def test_a_delegated_task_runs_where_it_is_sent(
    connection: t.Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, address: str, host: str
) -> None:
    """An address that is no host of the lab is for another connection, and means nothing here."""
    (tmp_path / "demo/hosts/kvm2").mkdir()
    monkeypatch.setattr(
        lab.Connection, "get_option", lambda _self, name: {"lab_name": "demo", "host": "kvm1", "address": address}[name]
    )
    assert connection._host() == host


def test_who_is_not_root_enters_by_sudo_which_must_not_ask(
    connection: t.Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.Connection, "_leader", lambda _self: 4711)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    script(tmp_path / "bin/sudo", f'printf "%s\\n" "$@" >{tmp_path}/argv\ncat\n')
    assert connection.exec_command("echo $HOME; id", in_data=b"given") == (0, b"given", b"")
    argv = (tmp_path / "argv").read_text(encoding="utf-8").splitlines()
    assert argv[:3] == ["-n", "nsenter", "--target=4711"] and argv[-3:] == ["/bin/sh", "-c", "echo $HOME; id"]
    assert argv[argv.index("env") + 1] == "-i" and "HOME=/root" in argv
    script(tmp_path / "bin/sudo", "echo 'sudo: a password is required' >&2\nexit 1\n")
    with pytest.raises(
        AnsibleConnectionFailure, match="root is needed to enter a lab host, and sudo: a password is required"
    ):
        connection.exec_command("true")
    # What a command itself says is its own affair.
    script(tmp_path / "bin/sudo", "echo 'no: sudo: here' >&2\nexit 1\n")
    assert connection.exec_command("false") == (1, b"", b"no: sudo: here\n")


def test_a_file_that_is_not_there_is_named(connection: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.Connection, "_leader", lambda _self: 4711)
    with pytest.raises(AnsibleFileNotFound, match="/nonexistent/file"):
        connection.put_file("/nonexistent/file", "/root/file")


def test_a_process_that_stops_itself_is_continued() -> None:
    """As nsenter does with its child, when a host that goes down stops all its processes."""
    program = "import os, signal, sys; print(sys.stdin.read()); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGSTOP); print('on')"
    streams: dict[str, t.Any] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with lab.given(b"given") as stdin, subprocess.Popen(
        [sys.executable, "-c", program], stdin=stdin, **streams
    ) as process:
        assert lab.outcome(process) == (b"given\non\n", b"")
    assert process.returncode == 0


def test_a_process_that_reads_late_gets_more_than_a_pipe_holds() -> None:
    program = "import sys, time; time.sleep(1.5); print(len(sys.stdin.read()))"
    with lab.given(b"x" * 300_000) as stdin, subprocess.Popen(
        [sys.executable, "-c", program], stdin=stdin, stdout=subprocess.PIPE
    ) as process:
        assert lab.outcome(process)[0] == b"300000\n"

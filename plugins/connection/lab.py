# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: lab
short_description: Run tasks in a host of a lab on this machine
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Runs commands in a host that the module M(overloom.fabric.lab) has booted, by entering its namespaces (C(nsenter)).
  - The host is found afresh for each command, because a reboot gives it another process to enter.
    The connection C(community.docker.nsenter) does not serve here for that reason, as its process is a fixed option, and
    because it would make the C(ansible) package, with all its collections, a requirement of the lab.
  - Commands find the environment that they would find on a server, whatever the person who runs the play has in front of it.
  - When Ansible does not run as root, C(sudo) is used, which must not ask for a password.
notes:
  - The module M(ansible.builtin.reboot) works with this connection.
options:
  lab_name:
    description: The name of the lab.
    type: str
    required: true
    vars:
      - name: fabric_name
      - name: lab_name
  host:
    description: The name of the host in the lab.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
  address:
    description:
      - Where it is the name of a host of the lab, that host is the one. A task with C(delegate_to) has there the host that it runs on,
        while O(host) is the one that it runs for.
    type: str
    vars:
      - name: ansible_host
  remote_user:
    description: Who runs the commands in the host. Entering a host's namespaces makes it root, so that C(become) to root needs no C(sudo) there.
    type: str
    choices: [root]
    default: root
  pipelining:
    description: Give modules to the interpreter without writing them to a file in the host first.
    type: bool
    default: true
    vars:
      - name: ansible_pipelining
"""

import contextlib
import os
import shutil
import signal
import subprocess
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

display = Display()

LABS = "/run/overloom/labs"
ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "USER=root",
    "LOGNAME=root",
    "SHELL=/bin/sh",
    "LANG=C.UTF-8",
)


@contextlib.contextmanager
def given(data: bytes) -> t.Iterator[t.BinaryIO]:
    """Input for a process, in memory.

    Not a pipe, as Popen.communicate() forgets what it has not written of its input when its time is over, and a busy host reads late.
    """
    with open(os.memfd_create("input"), "w+b") as stream:
        stream.write(data)
        stream.seek(0)
        yield stream


def outcome(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Take a process's output and errors when it has ended. One that has stopped is continued.

    A host that goes down stops all its processes for a moment before it ends them (systemd-shutdown). nsenter(1) stops itself with its child,
    and a child that nobody has waited for keeps the host from going down.
    """
    while True:
        try:
            return process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            _continue(process.pid)


def _continue(pid: int) -> None:
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as stream:
        # proc(5): the state comes after the name, which may have blanks and parentheses.
        if stream.read().rpartition(b")")[2].split()[0] == b"T":
            os.kill(pid, signal.SIGCONT)


class Connection(ConnectionBase):
    """A host of a lab, entered by nsenter(1)."""

    transport = "overloom.fabric.lab"
    has_pipelining = True

    def _connect(self) -> Connection:
        # There is nothing to keep open: each command enters the host as it is then.
        self._connected = True
        return self

    def _host(self) -> str:
        """The name of the host in the lab."""
        address = self.get_option("address")
        with contextlib.suppress(OSError):
            if address in os.listdir(f"{LABS}/{self.get_option('lab_name')}/hosts"):
                return address
        return self.get_option("host")

    def _leader(self) -> int:
        """The pid, as this machine sees it, of the host's process 1.

        Raises AnsibleConnectionFailure when the host is not up.
        """
        lab, host = self.get_option("lab_name"), self._host()
        try:
            with open(f"{LABS}/{lab}/hosts/{host}/leader", encoding="ascii") as stream:
                leader = int(stream.read().split()[0])
            with open(f"/proc/{leader}/status", encoding="utf-8", errors="replace") as stream:
                pids = next(line.split()[1:] for line in stream if line.startswith("NSpid:"))
        except (OSError, ValueError, IndexError, StopIteration):
            pids = []
        # The pid may be another process's by now: the right one is process 1 of its own namespace.
        if len(pids) < 2 or pids[-1] != "1":
            raise AnsibleConnectionFailure(
                f"lab host {host} of lab {lab} is not running; make it with playbooks/lab.yml"
            )
        return leader

    def _enter(self, argv: t.Sequence[str]) -> list[str]:
        """The argument list that runs argv in the host."""
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        command = ["nsenter", f"--target={self._leader()}", *namespaces, "--", "env", "-i", *ENVIRONMENT, *argv]
        return command if os.geteuid() == 0 else ["sudo", "-n", *command]

    def _execute(self, argv: t.Sequence[str], **streams: t.Any) -> tuple[int, bytes, bytes]:
        command = self._enter(argv)
        display.vvv(f"EXEC {command}", host=self._host())
        if not shutil.which(command[0]):
            raise AnsibleError(f"{command[0]} is not installed on this machine, and the lab connection needs it")
        with subprocess.Popen(command, stderr=subprocess.PIPE, **streams) as process:
            out, err = outcome(process)
        # sudo(8) says so itself, with its own name in front, before anything runs.
        if process.returncode == 1 and command[0] == "sudo" and err.startswith(b"sudo: "):
            raise AnsibleConnectionFailure(
                f"root is needed to enter a lab host, and {err.decode('utf-8', 'replace').strip()}"
            )
        return process.returncode, out or b"", err

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command line in the host; its exit status, standard output and standard error."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        with given(in_data or b"") as stream:
            return self._execute(["/bin/sh", "-c", cmd], stdin=stream, stdout=subprocess.PIPE)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of this machine into the host."""
        super().put_file(in_path, out_path)
        with contextlib.ExitStack() as opened:
            try:
                source = opened.enter_context(open(in_path, "rb"))
            except FileNotFoundError as error:
                raise AnsibleFileNotFound(f"file {in_path} does not exist") from error
            self._copy(
                ["dd", "status=none", "bs=1M", f"of={out_path}"],
                f"{in_path} to {out_path}",
                stdin=source,
                stdout=subprocess.DEVNULL,
            )

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the host to this machine."""
        super().fetch_file(in_path, out_path)
        with open(out_path, "wb") as target:
            self._copy(
                ["dd", "status=none", "bs=1M", f"if={in_path}"],
                f"{in_path} to {out_path}",
                stdin=subprocess.DEVNULL,
                stdout=target,
            )

    def _copy(self, argv: t.Sequence[str], what: str, **streams: t.Any) -> None:
        status, _out, err = self._execute(argv, **streams)
        if status:
            raise AnsibleError(
                f"could not copy {what} of lab host {self._host()}: {err.decode('utf-8', 'replace').strip()}"
            )

    def close(self) -> None:
        """Nothing is open."""
        self._connected = False

    def reset(self) -> None:
        """Each command finds the host afresh."""

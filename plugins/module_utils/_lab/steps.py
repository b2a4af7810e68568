# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of the lab that are no commands: starting and killing hosts, and what has no tool.

This file is private to the collection.
"""

# A step is done without an AnsibleModule, which run_command is of.
# pylint: disable=ansible-bad-function
from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._lab.state import (
    MARK,
    lab_processes,
    mount_points,
    strangers,
    supervisor_source,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Remove, Write

# Seconds for the kernel to see off what was killed: on a busy machine far longer than it works.
SEEN_OFF = 60

# The path of a server, whatever the person who runs the play has in front of it.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Folder(t.NamedTuple):
    """A folder, and those above it."""

    path: str

    def shown(self) -> str:
        """The command that does the same."""
        return f"mkdir -p {shlex.quote(self.path)}"

    def do(self) -> None:
        """Make it."""
        os.makedirs(self.path, mode=0o755, exist_ok=True)


class Program(t.NamedTuple):
    """The program of the hosts' power supply (_lab/supervisor.py)."""

    path: str

    def shown(self) -> str:
        """The command, without the program's text."""
        return f"install -m 0755 plugins/module_utils/_lab/supervisor.py {shlex.quote(self.path)}"

    def do(self) -> None:
        """Write it."""
        Write(self.path, supervisor_source(), 0o755).do()


class PowerOn(t.NamedTuple):
    """Start a host's power supply; it goes on after the task, in a control group of its own.

    groups: control groups to make and to enter, where systemd does not run this machine and so cannot make one (argv then has no
    systemd-run). Two hosts in one group would take each other's services for their own.
    """

    path: str
    mark: str
    argv: tuple[str, ...]
    groups: tuple[str, ...]

    def shown(self) -> str:
        """The command that does the same."""
        enter = "".join(f"mkdir {path} && echo $$ >{path}/cgroup.procs && " for path in self.groups)
        return (
            f"{enter}{MARK}={self.mark} setsid --fork {shlex.join(self.argv)} </dev/null >{self.path}/console.log 2>&1"
        )

    def do(self) -> None:
        """Leave the task behind by two forks, as daemon(7) tells."""
        for group in self.groups:
            os.makedirs(group, exist_ok=True)
        # Of a boot before a power failure.
        Remove(f"{self.path}/leader").do()
        console = os.open(f"{self.path}/console.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        # Closed by the kernel as the program starts: only from then on does the process carry the lab's mark.
        started, starting = os.pipe()
        child = os.fork()
        if child:
            os.close(console)
            os.close(starting)
            os.waitpid(child, 0)
            os.read(started, 1)
            os.close(started)
            return
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            for group in self.groups:
                with open(f"{group}/cgroup.procs", "w", encoding="ascii") as stream:
                    stream.write("0")
            null = os.open("/dev/null", os.O_RDONLY)
            for number, handle in enumerate((null, console, console)):
                os.dup2(handle, number)
            os.chdir("/")
            os.execve(self.argv[0], self.argv, {"PATH": PATH, "LANG": "C.UTF-8", MARK: self.mark})
        except OSError as error:
            os.write(console, f"{self.argv[0]}: {error}\n".encode())
        finally:
            os._exit(127)


class PowerOff(t.NamedTuple):
    """Kill a host as a power failure does: its processes on the machine, with the leader all inside, and strangers in its network.

    path: its network namespace.
    host: the host, or "" for the lab's switches.
    pids: those known when the lab was read; they are found afresh until none is left.
    """

    path: str
    name: str
    host: str
    pids: tuple[int, ...]

    def shown(self) -> str:
        """The command that does the same."""
        return f"kill -KILL {' '.join(str(pid) for pid in self.pids)}"

    def do(self) -> None:
        """Kill, and wait until all are gone."""
        until = time.monotonic() + SEEN_OFF
        while True:
            left = [process.pid for process in lab_processes(self.name).get(self.host, [])] + strangers(self.path)
            if not left:
                return
            if time.monotonic() > until:
                raise FabricError(
                    f"lab {self.name}: processes {left} of host {self.host} do not end; look at them with ps"
                )
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)


class RemoveTree(t.NamedTuple):
    """Remove a folder with all that is mounted in it.

    mounts: those known when the lab was read. A host that was just booting then has mounted others since, so they are found afresh.
    """

    path: str
    mounts: tuple[str, ...]

    def shown(self) -> str:
        """The commands that do the same."""
        unmount = f"umount --lazy {shlex.join(self.mounts)}\n" if self.mounts else ""
        return f"{unmount}rm -rf --one-file-system {shlex.quote(self.path)}"

    def do(self) -> None:
        """Remove it; what a run that was killed had started may end a moment later."""
        until = time.monotonic() + SEEN_OFF
        while True:
            mounts = [path for path in mount_points() if path.startswith(self.path + "/")]
            # Lazily: a person's shell that stands in a host's folder must not keep the lab.
            commands = [["umount", "--lazy", *reversed(mounts)]] if mounts else []
            results = [
                subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
                for command in [*commands, ["rm", "-rf", "--one-file-system", self.path]]
            ]
            if not os.path.lexists(self.path):
                return
            if time.monotonic() > until:
                told = " ".join(result.stdout.decode("utf-8", "replace").strip() for result in results)
                raise FabricError(f"{self.path} is not removed: {told}")
            time.sleep(0.02)


class RemoveGroup(t.NamedTuple):
    """Remove a control group and those below it, once the kernel has seen their last process off; or any tree of empty folders."""

    path: str

    def shown(self) -> str:
        """The command that does the same."""
        return f"find {self.path} -depth -type d -delete"

    def do(self) -> None:
        """Remove it; a group is busy for a moment after its processes are gone."""
        until = time.monotonic() + SEEN_OFF
        while os.path.isdir(self.path):
            try:
                for above, _folders, _files in os.walk(self.path, topdown=False):
                    os.rmdir(above)
            except FileNotFoundError:
                continue
            except OSError as error:
                if time.monotonic() > until:
                    raise FabricError(
                        f"{self.path} is still busy after {SEEN_OFF} s: {error.strerror}; look at the processes in it"
                    ) from error
                time.sleep(0.02)

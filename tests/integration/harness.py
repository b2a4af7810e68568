# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab to test modules in: real systemd hosts, and modules run in them as Ansible would, without Ansible's start."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import re
import select
import subprocess
import sys
import time
import typing as t

import ansible

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
LABS = pathlib.Path("/run/overloom/labs")
# Where the hosts see the collection and ansible.module_utils (and nothing else of the virtual environment).
LIBRARY = "/opt/overloom-test"
PYTHON = "/usr/bin/python3"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What Ansible's own wrapper does (ansible.module_utils._internal._ansiballz._loader), with the arguments on standard input.
DRIVER = """
import runpy, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = 'legacy'
sys.path.pop(0)
runpy.run_module('ansible_collections.overloom.fabric.plugins.modules.' + sys.argv[1], run_name='__main__', alter_sys=True)
"""

MODULE_SERVER = pathlib.Path(__file__).with_name("module_server.py").read_text(encoding="utf-8")

# Takes away what tests make in a host, much faster than a new host would come.
CLEAN = r"""
import glob, json, os, shutil, subprocess

def run(*argv, **options):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, universal_newlines=True, **options).stdout

units = glob.glob('/etc/systemd/system/overloom*') + glob.glob('/etc/systemd/system/*/overloom*')
if units:
    run('systemctl', 'stop', 'overloom*')
    for unit in units:
        shutil.rmtree(unit) if os.path.isdir(unit) and not os.path.islink(unit) else os.path.lexists(unit) and os.unlink(unit)
    run('systemctl', 'daemon-reload')
    run('systemctl', 'reset-failed')
for folder in ('/etc/overloom', '/var/lib/overloom', '/run/overloom'):
    shutil.rmtree(folder, ignore_errors=True)
if subprocess.call(['systemctl', '--quiet', 'is-active', 'openvswitch-switch', 'ovs-vswitchd', 'ovsdb-server']):
    subprocess.run(['systemctl', 'reset-failed', 'openvswitch-switch', 'ovsdb-server', 'ovs-vswitchd'], check=False, stderr=subprocess.DEVNULL)
    run('systemctl', 'restart', 'openvswitch-switch')
bridges = run('ovs-vsctl', 'list-br').split()
if bridges:
    # Such a set keeps the row of a bridge that goes, its ports, and what these refer to.
    run('ovs-vsctl', *'-- --all destroy Flow_Sample_Collector_Set'.split(), *(word for bridge in bridges for word in ('--', '--if-exists', 'del-br', bridge)))
run('ovs-vsctl', *'-- --all destroy QoS -- --all destroy Queue -- --all destroy Flow_Sample_Collector_Set -- del-manager -- del-ssl'.split())
for line in run('ip', 'netns', 'list').splitlines():
    run('ip', 'netns', 'delete', line.split()[0])
for link in json.loads(run('ip', '-json', '-details', 'link', 'show')):
    name = link['ifname']
    if name == 'lo' or name.startswith('ovs-'):
        continue
    if link['group'] == 'default':
        subprocess.call(['ip', 'link', 'delete', 'dev', name])
    else:
        run('ip', 'link', 'set', 'dev', name, 'down', 'nomaster', 'mtu', '1500', 'alias', '')
        run('ip', 'address', 'flush', 'dev', name)
"""


class Failed(AssertionError):
    """A command or module did not end as the test claims."""


def privileged(argv: t.Sequence[str]) -> list[str]:
    """The command as root."""
    return list(argv) if os.geteuid() == 0 else ["sudo", "-n", *argv]


def execute(
    argv: t.Sequence[str], ok: bool | None = True, stdin: str | None = None, timeout: float = 120
) -> subprocess.CompletedProcess:
    """Run a command of this machine.

    ok: True asserts that it succeeds, False that it fails, None takes it either way.
    """
    done = subprocess.run(
        argv, input=stdin or "", capture_output=True, text=True, timeout=timeout, check=False, env=_environment()
    )
    if ok is not None and ok != (done.returncode == 0):
        raise Failed(f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def _environment() -> dict[str, str]:
    return {"PATH": PATH, "HOME": os.environ.get("HOME", "/root"), "LANG": "C.UTF-8"}


def result_of(done: subprocess.CompletedProcess, name: str, ok: bool | None) -> dict[str, t.Any]:
    """The JSON that a module printed; ok as in `execute`."""
    try:
        result = json.loads(done.stdout)
    except ValueError:
        raise Failed(f"{name} printed no result\n{done.stdout}{done.stderr}") from None
    # From ansible-core 2.19 on, a module tells more of a warning than its text.
    if "warnings" in result:
        result["warnings"] = [w if isinstance(w, str) else w["event"]["msg"] for w in result["warnings"]]
    if ok is not None and ok == bool(result.get("failed")):
        raise Failed(f"{name}: {json.dumps(result, indent=2)}")
    return result


def module_input(args: dict[str, t.Any], check: bool, diff: bool) -> str:
    """What a module reads, as Ansible gives it."""
    return json.dumps({"ANSIBLE_MODULE_ARGS": {**args, "_ansible_check_mode": check, "_ansible_diff": diff}})


# The module servers that wait for a request, by their command, which has the host's process 1 in it: a rebooted host gets another.
_idle: dict[tuple[str, ...], list[subprocess.Popen[str]]] = {}


def served(command: t.Sequence[str], name: str, given: str, timeout: float = 120) -> subprocess.CompletedProcess:
    """Have a module run by a module server (see module_server.py), which `command` starts where none waits."""
    waiting = _idle.setdefault(tuple(command), [])
    if waiting:
        server = waiting.pop()
    else:
        pipes: dict[str, t.Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        # It outlives this call, for the next ones.
        server = subprocess.Popen(command, text=True, env=_environment(), **pipes)  # pylint: disable=consider-using-with
        # What was started ends at once, and leaves the server to the host.
        if server.wait(timeout) != 0:
            raise Failed(f"{name}: the module server did not start")
    assert server.stdin and server.stdout
    print(json.dumps([name, given]), file=server.stdin, flush=True)
    answered = select.select([server.stdout], [], [], timeout)[0] and server.stdout.readline()
    if not answered:
        raise Failed(f"{name} did not end within {timeout} s, or its host ended")
    waiting.append(server)
    return subprocess.CompletedProcess([*command, name], *json.loads(answered))


class Runs:
    """Where modules run: `command` prefixes an argument list so that it runs there."""

    library: str

    def command(self, argv: t.Sequence[str]) -> list[str]:
        raise NotImplementedError

    def run(self, argv: t.Sequence[str], ok: bool | None = True, stdin: str | None = None, timeout: float = 120) -> str:
        """Run a command and return its standard output; ok: True asserts success, False failure (and adds what it complained about)."""
        done = execute(self.command(argv), ok, stdin, timeout)
        return done.stdout if ok else done.stdout + done.stderr

    def answered(self, address: str, inside: t.Sequence[str] = (), seconds: float = 60, size: int = 56) -> bool:
        """Whether an address answers a ping that must not be fragmented, at the latest after some seconds.

        inside: what enters a namespace. (By itself ping gives up when nobody has told the neighbor's address for three seconds.)
        """
        ping = self.command([*inside, "ping", "-n", "-q", "-c", "1", "-W", "2", "-M", "do", "-s", str(size), address])
        until = time.monotonic() + seconds
        while execute(ping, None).returncode:
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True

    def module(
        self,
        name: str,
        args: dict[str, t.Any] | None = None,
        check: bool = False,
        diff: bool = False,
        ok: bool | None = True,
    ) -> dict[str, t.Any]:
        """Run a module of the collection and return its result.

        ok: True asserts that it does not fail, False that it does, None takes it either way.
        """
        environment = ["env", f"PYTHONPATH={self.library}", "PYTHONPYCACHEPREFIX=/tmp/overloom-test-pycache"]
        given = module_input(args or {}, check, diff)
        return result_of(served(self.command([*environment, PYTHON, "-c", MODULE_SERVER]), name, given), name, ok)

    def apply(self, name: str, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Foretell, do, and foretell again; the result of the second.

        Asserts that check mode foretold exactly the commands, and that the last says unchanged.
        """
        foretold = self.module(name, args, check=True, diff=True)
        done = self.module(name, args, diff=True)
        again = self.module(name, args, check=True, diff=True)
        for key in ("changed", "commands", "diff"):
            assert foretold.get(key) == done.get(key), f"{name}: check mode foretold another {key}"
        assert not again["changed"] and not again.get("commands"), (
            f"{name} is not idempotent: {json.dumps(again, indent=2)}"
        )
        return done


class Machine(Runs):
    """The machine that the tests run on."""

    def __init__(self, library: pathlib.Path) -> None:
        """library: an empty folder, which becomes what the hosts see at LIBRARY."""
        (library / "ansible_collections" / "overloom").mkdir(parents=True)
        (library / "ansible_collections" / "overloom" / "fabric").symlink_to(REPOSITORY)
        (library / "ansible").symlink_to(pathlib.Path(ansible.__file__).parent)
        self.library = str(library)

    def command(self, argv: t.Sequence[str]) -> list[str]:
        return privileged(argv)


class Lab:
    """A lab, made by the module `lab`."""

    def __init__(self, machine: Machine | None, name: str, root: str = "/") -> None:
        """machine: None for a lab that others make and remove. root: the folder that its hosts boot from."""
        self.machine = machine
        self.name = name
        self.root = root

    def make(
        self, hosts: t.Sequence[str], links: t.Sequence[t.Sequence[str]] = (), ok: bool | None = True, **options: t.Any
    ) -> dict[str, t.Any]:
        """Make or change the lab; the module's result."""
        return self._maker().module("lab", self.arguments(hosts, links, **options), ok=ok)

    def arguments(
        self, hosts: t.Sequence[str], links: t.Sequence[t.Sequence[str]] = (), **options: t.Any
    ) -> dict[str, t.Any]:
        """The module's options for such a lab, whose hosts see the collection."""
        binds = [
            f"{REPOSITORY}:{LIBRARY}/ansible_collections/overloom/fabric",
            f"{pathlib.Path(ansible.__file__).parent}:{LIBRARY}/ansible",
        ]
        return {
            "name": self.name,
            "hosts": list(hosts),
            "links": [list(link) for link in links],
            "root": self.root,
            "binds": binds,
            **options,
        }

    def remove(self) -> dict[str, t.Any]:
        """Remove it."""
        return self._maker().module("lab", {"name": self.name, "state": "absent"})

    def _maker(self) -> Machine:
        """The machine that makes and removes the lab."""
        if self.machine is None:
            raise ValueError(f"others make and remove the lab {self.name}")
        return self.machine

    def host(self, name: str) -> Host:
        """One of its hosts."""
        return Host(self, name)


class Host(Runs):
    """A host of a lab."""

    library = LIBRARY

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.name = name
        self.folder = LABS / lab.name / "hosts" / name

    @property
    def leader(self) -> int | None:
        """The pid of the host's process 1 as the machine sees it, or None when it is not up."""
        try:
            pid = int((self.folder / "leader").read_text().split()[0])
        except FileNotFoundError:
            return None
        return pid if os.path.exists(f"/proc/{pid}") else None

    def command(self, argv: t.Sequence[str]) -> list[str]:
        """An argument list that runs argv in the host, from the machine; also for subprocess.Popen."""
        leader = self.leader
        if leader is None:
            raise Failed(f"host {self.name} is not up")
        enter = ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return privileged([*enter, "env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", *argv])

    def reboot(self, timeout: float = 120) -> None:
        """Reboot the host and wait until it is up again: until systemd has started all that is started at boot, which may go on by itself."""
        before = self.leader
        self.run(["systemctl", "reboot"])
        until = time.monotonic() + timeout
        while self.leader in (None, before):
            if time.monotonic() > until:
                raise Failed(
                    f"host {self.name} is not up {timeout} s after a reboot:\n{(self.folder / 'console.log').read_text()[-3000:]}"
                )
            time.sleep(0.02)

    def power_off(self) -> None:
        """Switch the host off, and wait until it is."""
        # What asks for it may be ended with all else.
        self.run(["systemctl", "poweroff"], ok=None)
        wait(lambda: self.leader is None, f"the end of {self.name}", 120)

    def write(self, path: str, text: str) -> None:
        """Write a file in the host."""
        self.run(["mkdir", "-p", os.path.dirname(path)])
        self.run(["dd", "status=none", f"of={path}"], stdin=text)

    def exists(self, path: str) -> bool:
        """Whether there is a file in the host."""
        return execute(self.command(["test", "-e", path]), None).returncode == 0

    def clean(self) -> None:
        """Take away what a test has made: bridges, namespaces, interfaces, units of the collection; NICs are down again."""
        self.run([PYTHON, "-c", CLEAN])


def cached(name: str, make: t.Callable[[pathlib.Path], t.Any]) -> pathlib.Path:
    """A file or folder that takes long to make and stays the same: made once, and kept in the person's cache.

    make: makes it at the path that it is given. Other runs wait meanwhile; a run that is killed leaves nothing that looks whole.
    """
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "overloom"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / name).exists():
            aside = cache / f"{name}.new"
            for path in mounts_below(aside):
                # What makes a root tree mounts /proc and more in it, and may have been killed.
                execute(privileged(["umount", "--lazy", path]))
            execute(privileged(["rm", "-rf", "--one-file-system", str(aside)]))
            make(aside)
            aside.rename(cache / name)
    return cache / name


def mounts_below(folder: pathlib.Path) -> list[str]:
    """What is mounted below a folder of this machine, the innermost first."""
    paths = [line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    return [path for path in reversed(paths) if path.startswith(f"{folder}/")]


def wait(
    true: t.Callable[[], t.Any], what: str, seconds: float = 60, look: t.Callable[[], object] = lambda: ""
) -> t.Any:
    """Wait until something is true, and return it; what `look` finds is told if it does not come.

    What comes by itself after a change (routes, learned addresses, states of services) is asked this way, and never at one moment.
    """
    until = time.monotonic() + seconds
    while True:
        value = true()
        if value:
            return value
        if time.monotonic() > until:
            raise Failed(f"{what} did not come within {seconds} s\n{look()}".rstrip())
        time.sleep(0.1)


def lab_name(suffix: str = "") -> str:
    """A name that no other run has at the same time."""
    return f"test-{os.getpid()}{suffix}"


def remove_abandoned(machine: Machine) -> None:
    """Remove the labs of test runs that were killed. One that stays is told of; it is no fault of the tests that run now."""
    for folder in LABS.glob("test-*"):
        match = re.match(r"test-(\d+)", folder.name)
        if match and not os.path.exists(f"/proc/{match[1]}"):
            try:
                Lab(machine, folder.name).remove()
            except Failed as failure:
                print(f"the lab {folder.name} of an earlier run stays: {failure}", file=sys.stderr)


if sys.version_info < (3, 9):
    raise RuntimeError("the tests need Python 3.9; the modules run on older ones")

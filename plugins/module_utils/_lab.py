# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: real systemd hosts on one machine, over its own root file system, wired with veth cables.

This file is private to the collection. A lab is a folder below /run/overloom/labs:

    lab.json           the root and the storage that it was made with
    supervisor.py      the power supply of its hosts (_lab_supervisor.py)
    layers/            a tmpfs, unless the storage is elsewhere
      clean/           what hides the machine's own state (units, logs, databases) from all hosts
      HOST/upper       what the host has written, HOST/work (overlayfs's own)
    hosts/HOST/        net (its network namespace), merged (its root), host.json, cables.json, leader, console.log, ...
    switch             the network namespace of the lab's switches

Every process of a lab carries LAB/HOST in its environment, so that it is found whatever was killed. What the kernel
shows is compared with what is wanted; nothing relies on a former run having come to its end.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import sys
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils import _lab_supervisor
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Remove,
    Runner,
    Step,
    Write,
)

LABS = "/run/overloom/labs"
# The former value of the one kernel setting that a lab may raise, until the last lab is gone.
FORMER_LIMIT = "/run/overloom/max_user_instances"
LIMIT = "/proc/sys/fs/inotify/max_user_instances"
NSPAWN = "/run/systemd/nspawn"
MARK = "OVERLOOM_LAB_HOST"
# What a switch carries; a frame of a host whose card has a smaller MTU fits in any case.
SWITCH_MTU = 9216

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
HOST = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)
INTERFACE = re.compile(r"(?!-|\.\.?$)[!-$&-.0-9;-~]{1,15}")

# Folders of the root that a lab host finds without files; the folders inside, with their owners, stay.
EMPTIED = (
    "etc/cron.d",
    "etc/frr",
    "etc/libvirt/qemu",
    "etc/libvirt/storage",
    "etc/NetworkManager/system-connections",
    "etc/netns",
    "etc/netplan",
    "etc/network/interfaces.d",
    "etc/openvswitch",
    "etc/rc0.d",
    "etc/rc1.d",
    "etc/rc2.d",
    "etc/rc3.d",
    "etc/rc4.d",
    "etc/rc5.d",
    "etc/rc6.d",
    "etc/rcS.d",
    "etc/sysctl.d",
    "etc/systemd/network",
    "etc/systemd/system",
    "var/lib/libvirt",
    "var/lib/openvswitch",
    "var/log",
    "var/spool/cron",
)
# Folders that it finds empty: they belong to the people of the machine.
HIDDEN = ("home", "root", "var/tmp")
# Files that it does not find.
GONE = (".dockerenv", "etc/crypttab", "etc/sysctl.conf", "usr/sbin/policy-rc.d", "var/lib/dbus/machine-id")
# Files that it finds with this content, where the root has them.
REPLACED = {
    "etc/fstab": "",
    "etc/network/interfaces": "auto lo\niface lo inet loopback\n",
}
# Units that the distribution enables by itself and that a lab host has no use for: consoles and periodic cleaning.
MASKED = ("console-getty.service", "getty.target", "systemd-tmpfiles-clean.timer", "systemd-networkd-wait-online.service")


class Wanted(t.NamedTuple):
    """The lab as its user declares it, checked.

    links: each a sorted tuple of at least two ends (host, interface).
    binds: (folder of the machine, where the hosts see it).
    """

    name: str
    hosts: tuple[str, ...]
    links: tuple[tuple[tuple[str, str], ...], ...]
    root: str
    storage: str
    mtu: int
    binds: tuple[tuple[str, str], ...]
    present: bool


class Entry(t.NamedTuple):
    """One name in the layer that hides the machine's state: a folder (opaque or not), a file, a link, or a hole (whiteout)."""

    path: str
    kind: str
    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)
    content: str = ""


class HostFound(t.NamedTuple):
    """What there is of one host.

    pids: the lab's own processes of this host in the machine's process namespace, the supervisor first, and strangers in its network.
    definition, cables: what host.json and cables.json say, or None.
    interfaces: name to group (see cable_group) of what is in its network namespace, or None when there is none.
    """

    pids: tuple[int, ...] = ()
    supervisor: bool = False
    leader: int | None = None
    boot_seconds: float | None = None
    definition: t.Any = None
    cables: tuple[dict, ...] = ()
    interfaces: dict[str, str] | None = None
    mounted: bool = False
    prepared: bool = False

    @property
    def state(self) -> str:
        """running, booting, or off; a host without its supervisor could not reboot, so it counts as off."""
        if not self.supervisor:
            return "off"
        return "booting" if self.boot_seconds is None else "running"


class Found(t.NamedTuple):
    """What there is of a lab, and of the machine what a lab needs to know."""

    exists: bool
    record: t.Any
    hosts: dict[str, HostFound]
    switch: dict[str, dict] | None
    switch_pids: tuple[int, ...]
    mounts: tuple[str, ...]
    layer: bool
    entries: tuple[Entry, ...]
    supervisor_current: bool
    storage_exists: bool
    leftovers: tuple[str, ...]
    locks: dict[str, str]
    labs: tuple[str, ...]
    others: int
    limit: int
    former_limit: int | None
    systemd: bool
    cgroups: tuple[str, ...]
    python: str


# --- Names ---------------------------------------------------------------------------------------------------------------


def lab_folder(name: str) -> str:
    """Where a lab keeps its state; gone after a reboot of the machine, as its processes are."""
    return f"{LABS}/{name}"


def host_folder(name: str, host: str) -> str:
    """Where a lab keeps the state of one host."""
    return f"{LABS}/{name}/hosts/{host}"


def machine(name: str, host: str) -> str:
    """The name that a host has among all machines of all labs: 64 characters at most (machinectl(1)).

    A lab's name has no dot, so the first dot ends it, and no two hosts of two labs share a name.
    """
    full = f"{name}.{host}"
    return full if len(full) <= 64 else full[:51] + "-" + _digest(full)[:12]


def unit(name: str, host: str) -> str:
    """The name of a host's control group."""
    return "overloom-lab-" + machine(name, host)


def mac_address(name: str, host: str, interface: str) -> str:
    """The address of a network card: locally administered, and the same whenever the cable is made again."""
    return "02:" + ":".join(re.findall("..", _digest(name, host, interface)[:10]))


def cable_group(mtu: int, *ends: t.Sequence[str]) -> str:
    """The interface group of both ends of a cable: tells which cable it is, and is set as it is made, so that it is never in doubt."""
    return str(int(_digest(str(mtu), *("\0".join(end) for end in sorted(ends)))[:7], 16) + 1)


def switch_port(end: tuple[str, str]) -> str:
    """The name of the switch's end of a cable."""
    return "p" + _digest(*end)[:10]


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


# --- Input ---------------------------------------------------------------------------------------------------------------


def wanted_lab(params: dict[str, t.Any]) -> Wanted:
    """Check the module's options.

    Raises FabricError with one sentence that names the option and the object.
    """
    name = params["name"]
    if not NAME.fullmatch(name):
        raise FabricError(f"name: {name!r} is no lab name; use 1 to 32 lower-case letters, digits and '-', beginning with a letter or digit")
    hosts = params["hosts"] or []
    for host in hosts:
        if not HOST.fullmatch(host):
            raise FabricError(f"hosts: {host!r} is no host name; use letters, digits, '-' and '.', at most 63 characters")
        if hosts.count(host) > 1:
            raise FabricError(f"hosts: {host} is listed twice; list it once")
    links = []
    used: dict[tuple[str, str], int] = {}
    for number, words in enumerate(params["links"] or [], 1):
        ends = [_end(word, number, hosts) for word in words]
        if len(ends) < 2:
            raise FabricError(f"links: link {number} has {len(ends)} end{'s' * (len(ends) != 1)}; name at least two as host:interface")
        for end in ends:
            if end in used:
                raise FabricError(f"links: {end[0]}:{end[1]} is used by link {used[end]} and link {number}; an interface has one cable")
            used[end] = number
        links.append(tuple(sorted(ends)))
    for option in ("root", "storage"):
        path = params[option]
        if path is not None and (not path.startswith("/") or set(path) & set(",:\\\n")):
            raise FabricError(f"{option}: {path!r} must be an absolute path without comma, colon, backslash or newline")
    if not 68 <= params["mtu"] <= 65535:
        raise FabricError(f"mtu: {params['mtu']} is not in 68..65535")
    return Wanted(
        name=name,
        hosts=tuple(hosts),
        links=tuple(links),
        root=os.path.normpath(params["root"]),
        storage=os.path.join(params["storage"], "overloom-lab-" + name) if params["storage"] else lab_folder(name) + "/layers",
        mtu=params["mtu"],
        binds=tuple(_bind(word) for word in params["binds"] or []),
        present=params["state"] == "present",
    )


def _end(word: t.Any, number: int, hosts: t.Sequence[str]) -> tuple[str, str]:
    host, colon, interface = str(word).partition(":")
    if not colon:
        raise FabricError(f"links: {word!r} in link {number} is no end of a cable; write it as host:interface")
    if host not in hosts:
        raise FabricError(f"links: link {number} names {host!r}, which is not one of the hosts; add it to hosts or correct the link")
    if not INTERFACE.fullmatch(interface) or interface == "lo":
        raise FabricError(f"links: {interface!r} of {host} in link {number} is no interface name; use 1 to 15 printable characters without '/', ':', '%' or space")
    return host, interface


def _bind(word: str) -> tuple[str, str]:
    source, _colon, target = word.partition(":")
    target = target or source
    for path in (source, target):
        if not path.startswith("/") or ":" in path or "\\" in path:
            raise FabricError(f"binds: {word!r} must be an absolute path, or two as machine:host")
    return source, target


def check_machine(wanted: Wanted, tools: t.Mapping[str, str | None]) -> None:
    """Refuse a machine that cannot have the lab, before anything is changed.

    tools: tool to its path, or None when it is not installed.
    """
    if os.geteuid() != 0:
        raise FabricError(f"lab {wanted.name}: root is needed to make or remove a lab; use become")
    if not wanted.present:
        return
    for tool, package in (("systemd-nspawn", "systemd-container"), ("ip", "iproute2"), ("nsenter", "util-linux")):
        if not tools.get(tool):
            raise FabricError(f"lab {wanted.name}: {tool} is not installed on this machine; install the package {package} (its name on Debian)")
    if not any(os.path.exists(os.path.join(wanted.root, path)) for path in ("usr/lib/systemd/systemd", "lib/systemd/systemd")):
        raise FabricError(f"root: {wanted.root} holds no systemd, which a lab host boots; name the root folder of a system that has it")
    for source, _target in wanted.binds:
        if not os.path.exists(source):
            raise FabricError(f"binds: {source} does not exist on this machine")
    parent = os.path.dirname(wanted.storage)
    if parent != lab_folder(wanted.name):
        if not os.path.isdir(parent):
            raise FabricError(f"storage: {parent} is no folder; make it, or leave storage out to use memory")
        inside = os.path.realpath(parent) + "/"
        if inside.startswith(os.path.realpath(wanted.root).rstrip("/") + "/") and os.stat(parent).st_dev == os.stat(wanted.root).st_dev:
            raise FabricError(f"storage: {parent} lies in root {wanted.root} on the same filesystem, which overlayfs refuses; name a folder on another filesystem")


# --- Reading -------------------------------------------------------------------------------------------------------------


def lock(name: str, seconds: float) -> socket.socket:
    """Keep other runs from changing the lab until the returned socket is closed, which the end of the process does at the latest.

    An abstract socket leaves no file behind, whatever kills this process. Raises FabricError after waiting for so many seconds.
    """
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    until = time.monotonic() + seconds
    while True:
        try:
            holder.bind(f"\0overloom-lab-lock/{name}")
            return holder
        except OSError:
            if time.monotonic() > until:
                raise FabricError(f"lab {name}: another run is changing it; wait for that run to end") from None
            time.sleep(0.1)


def await_boot(name: str, seconds: float) -> None:
    """Wait until none of the lab's hosts is booting any more, for so many seconds at most.

    A host's network namespace is being exchanged while it boots, so it is read afterwards.
    """
    until = time.monotonic() + seconds
    supervisors = [
        (process.pid, host)
        for host, processes in lab_processes(name).items()
        for process in processes
        if process.role == "supervisor"
    ]

    def waits(pid: int, host: str) -> bool:
        # A supervisor whose host has just ended will end or boot it again in a moment.
        leader = (_text(host_folder(name, host) + "/leader") or "0").split()[0]
        return _host_of(str(pid), name) is not None and _host_of(leader, name) != host

    while time.monotonic() < until and any(waits(pid, host) for pid, host in supervisors):
        time.sleep(0.02)


def read_lab(wanted: Wanted, runner: Runner) -> Found:
    """Read once what there is of the lab, from the kernel wherever it knows."""
    folder = lab_folder(wanted.name)
    mounts = _mounts()
    record = _json(f"{folder}/lab.json")
    storage = record["storage"] if record else wanted.storage
    processes = lab_processes(wanted.name)
    names = set(_names(f"{folder}/hosts")) | set(processes)
    names |= {name for name in _names(storage) if name != "clean"}
    layer = os.path.isdir(f"{storage}/clean")
    # What is to be removed needs no look inside, which might fail where a run was killed.
    looks = runner if wanted.present else None
    hosts = {host: _read_host(wanted.name, host, storage, processes.get(host, []), mounts, looks) for host in sorted(names)}
    prefix = unit(wanted.name, "")
    inside = tuple(path for path in mounts if path.startswith(folder + "/"))
    return Found(
        exists=os.path.isdir(folder),
        record=record,
        hosts=hosts,
        switch=_interfaces(f"{folder}/switch", looks) if looks and f"{folder}/switch" in mounts else None,
        switch_pids=tuple(_strangers(f"{folder}/switch")),
        mounts=inside,
        layer=layer,
        entries=() if layer or not wanted.present else tuple(clean_layer(wanted.root)),
        supervisor_current=_text(f"{folder}/supervisor.py") == supervisor_source(),
        storage_exists=os.path.isdir(storage),
        leftovers=tuple(
            f"{parent}/{name}"
            for parent in [*cgroup_roots(), NSPAWN + "/propagate"]
            for name in _names(parent)
            if name.startswith(prefix if parent[:4] == "/sys" else wanted.name + ".")
        ),
        locks={path: inode for path in inside if path.endswith("/merged") for inode in [_nspawn_lock(path)] if inode},
        labs=tuple(_names(LABS)),
        others=sum(len(_names(f"{LABS}/{lab}/hosts")) for lab in _names(LABS) if lab != wanted.name),
        limit=int(_text(LIMIT) or 0),
        former_limit=int(_text(FORMER_LIMIT) or 0) or None,
        systemd=os.path.isdir("/run/systemd/system"),
        cgroups=tuple(cgroup_roots()),
        python=sys.executable,
    )


def _read_host(name: str, host: str, storage: str, processes: list, mounts: t.Container[str], runner: Runner | None) -> HostFound:
    folder = host_folder(name, host)
    booted = (_text(f"{folder}/leader") or "").split()
    leader = next((process.pid for process in processes if process.role == "leader"), None)
    return HostFound(
        pids=(*(process.pid for process in processes), *_strangers(f"{folder}/net")),
        supervisor=any(process.role == "supervisor" for process in processes),
        leader=leader,
        boot_seconds=float(booted[1]) if len(booted) == 2 and booted[0] == str(leader) else None,
        definition=_json(f"{folder}/host.json"),
        cables=tuple(_json(f"{folder}/cables.json") or ()),
        interfaces=(
            {link: found["group"] for link, found in _interfaces(f"{folder}/net", runner).items()}
            if runner and f"{folder}/net" in mounts
            else None
        ),
        mounted=f"{folder}/merged" in mounts,
        prepared=os.path.isdir(f"{storage}/{host}/upper"),
    )


class Process(t.NamedTuple):
    """A process of a lab: its pid, and whether it is the supervisor, systemd-nspawn, or the leader (the host's process 1)."""

    pid: int
    role: str


def lab_processes(name: str) -> dict[str, list[Process]]:
    """The lab's processes of each host, the supervisors first: they would boot what is killed.

    Processes deeper inside a host end with its leader, and a lab inside a lab host is another one's, so both are left out.
    """
    own = len(_pids("self"))
    found: dict[str, list[Process]] = {}
    for entry in os.listdir("/proc"):
        host = _host_of(entry, name) if entry.isdigit() and int(entry) != os.getpid() else None
        if host is None:
            continue
        try:
            pids = _pids(entry)
            with open(f"/proc/{entry}/cmdline", "rb") as stream:
                supervisor = b"/supervisor.py\0" in stream.read()
        except OSError:
            continue
        if len(pids) == own:
            found.setdefault(host, []).append(Process(int(entry), "supervisor" if supervisor else "nspawn"))
        elif len(pids) == own + 1 and pids[-1] == "1":
            found.setdefault(host, []).append(Process(int(entry), "leader"))
    order = {"supervisor": 0, "nspawn": 1, "leader": 2}
    return {host: sorted(processes, key=lambda p: (order[p.role], p.pid)) for host, processes in found.items()}


def _host_of(pid: str, name: str) -> str | None:
    """The host of the lab that a process carries the mark of; None also for one that has ended."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            environment = stream.read()
    except OSError:
        return None
    start = f"{MARK}={name}/".encode()
    mark = next((word for word in environment.split(b"\0") if word.startswith(start)), None)
    return None if mark is None else mark[len(start):].decode()


def _strangers(net: str) -> list[int]:
    """The machine's own processes in the network namespace that is mounted at net; they would keep it, and all cables in it, alive.

    A capture that somebody has started from outside, for instance. What runs in a host is not among them: it ends with the leader.
    """
    try:
        wanted, own = os.stat(net), os.stat("/proc/self/ns/net")
    except OSError:
        return []
    # Not mounted (a plain file), or the machine's own: nobody is to be killed.
    if wanted.st_dev != own.st_dev or wanted.st_ino == own.st_ino:
        return []
    depth = len(_pids("self"))
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.stat(f"/proc/{entry}/ns/net").st_ino == wanted.st_ino and len(_pids(entry)) == depth:
                found.append(int(entry))
        except OSError:
            continue
    return found


def _pids(process: str) -> list[str]:
    """The pids of a process in its nested process namespaces, the outermost visible one first (proc(5), NSpid)."""
    with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as stream:
        return next((line.split()[1:] for line in stream if line.startswith("NSpid:")), [])


def _interfaces(net: str, runner: Runner) -> dict[str, dict]:
    command = _in(net, "ip", "-json", "link", "show")
    try:
        out = runner(command)
    except FabricError:
        # A host that reboots just now gets another namespace; it is there in a moment.
        time.sleep(0.2)
        out = runner(command)
    links = json.loads(out or "[]")
    return {link["ifname"]: {"group": link.get("group", "default"), "master": link.get("master")} for link in links if link["ifname"] != "lo"}


def _mounts() -> tuple[str, ...]:
    """Where something is mounted, in the order of mounting (proc(5), mountinfo)."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        return tuple(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4]) for line in stream)


def cgroup_roots() -> list[str]:
    """The control group hierarchies that systemd uses: version 2, and version 1's name=systemd."""
    roots = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            words = line.split()
            kind, options = words[words.index("-") + 1], words[-1].split(",")
            if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options):
                roots.append(words[4])
    return roots


def _nspawn_lock(merged: str) -> str | None:
    """The lock that systemd-nspawn keeps on a root folder; it stays behind when nspawn is killed."""
    try:
        found = os.stat(merged)
    except OSError:
        return None
    return f"{NSPAWN}/locks/inode-{found.st_dev}:{found.st_ino}"


def clean_layer(root: str) -> t.Iterator[Entry]:
    """What hides the machine's own state from the hosts, given what the root holds."""

    def entry(path: str, kind: str) -> Entry:
        found = os.stat(os.path.join(root, path))
        return Entry(path, kind, stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid))

    def parents(path: str) -> t.Iterator[Entry]:
        # An overlaid folder shows the upper one's owner and mode, so they are the root's.
        above = os.path.dirname(path)
        if above and above not in seen:
            yield from parents(above)
            seen.add(above)
            yield entry(above, "folder")

    seen: set[str] = set()
    for path in EMPTIED + HIDDEN:
        if not os.path.isdir(os.path.join(root, path)):
            continue
        yield from parents(path)
        yield entry(path, "opaque")
        seen.add(path)
        if path in EMPTIED:
            for above, folders, _files in os.walk(os.path.join(root, path)):
                for folder in folders:
                    inner = os.path.join(above, folder)
                    if not os.path.islink(inner):
                        yield entry(os.path.relpath(inner, root), "folder")
    for path in GONE:
        if os.path.lexists(os.path.join(root, path)):
            yield from parents(path)
            yield Entry(path, "hole")
    for path, content in REPLACED.items():
        if os.path.lexists(os.path.join(root, path)):
            yield from parents(path)
            yield Entry(path, "file", 0o644, content=content)
    yield from parents("etc/systemd/system/x")
    for name in MASKED:
        yield Entry(f"etc/systemd/system/{name}", "link", content="/dev/null")


def supervisor_source() -> str:
    """The program text of the power supply: it runs after the task, so it cannot stay in the task's archive."""
    return t.cast(t.Any, _lab_supervisor.__loader__).get_source(_lab_supervisor.__name__)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def _json(path: str) -> t.Any:
    text = _text(path)
    return None if text is None else json.loads(text)


# --- Steps that are no commands ------------------------------------------------------------------------------------------


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
    """The program of the hosts' power supply (_lab_supervisor.py)."""

    path: str

    def shown(self) -> str:
        """The command, without the program's text."""
        return f"install -m 0755 plugins/module_utils/_lab_supervisor.py {shlex.quote(self.path)}"

    def do(self) -> None:
        """Write it."""
        Write(self.path, supervisor_source(), 0o755).do()


class Layer(t.NamedTuple):
    """The layer that hides the machine's state: built aside and renamed, so that it is there as a whole or not at all."""

    path: str
    entries: tuple[Entry, ...]

    def shown(self) -> str:
        """The commands that do the same."""
        lines = []
        for entry in self.entries:
            path = shlex.quote(f"{self.path}/{entry.path}")
            if entry.kind in ("folder", "opaque"):
                lines.append(f"install -d -m {entry.mode:04o} -o {entry.owner[0]} -g {entry.owner[1]} {path}")
            if entry.kind == "opaque":
                lines.append(f"setfattr -n trusted.overlay.opaque -v y {path}")
            if entry.kind == "hole":
                lines.append(f"mknod {path} c 0 0")
            if entry.kind == "link":
                lines.append(f"ln -s {shlex.quote(entry.content)} {path}")
            if entry.kind == "file":
                lines.append(f"printf %s {shlex.quote(entry.content)} >{path}")
        return "\n".join(lines)

    def do(self) -> None:
        """Build it."""
        aside = self.path + ".new"
        shutil.rmtree(aside, ignore_errors=True)
        os.makedirs(aside)
        for entry in self.entries:
            path = os.path.join(aside, entry.path)
            if entry.kind in ("folder", "opaque"):
                os.makedirs(path, exist_ok=True)
                os.chown(path, *entry.owner)
                os.chmod(path, entry.mode)
            if entry.kind == "opaque":
                os.setxattr(path, "trusted.overlay.opaque", b"y")
            if entry.kind == "hole":
                os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
            if entry.kind == "link":
                os.symlink(entry.content, path)
            if entry.kind == "file":
                with open(path, "w", encoding="utf-8") as stream:
                    stream.write(entry.content)
        os.rename(aside, self.path)


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
        return f"{enter}{MARK}={self.mark} setsid --fork {shlex.join(self.argv)} </dev/null >{self.path}/console.log 2>&1"

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
            # The path of a server, whatever the person who runs the play has in front of it.
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
        until = time.monotonic() + 10
        while True:
            left = [process.pid for process in lab_processes(self.name).get(self.host, [])] + _strangers(self.path)
            if not left:
                return
            if time.monotonic() > until:
                raise FabricError(f"lab {self.name}: processes {left} of host {self.host} do not end; look at them with ps")
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)


class RemoveGroup(t.NamedTuple):
    """Remove a control group and those below it, once the kernel has seen their last process off; or any tree of empty folders."""

    path: str

    def shown(self) -> str:
        """The command that does the same."""
        return f"find {self.path} -depth -type d -delete"

    def do(self) -> None:
        """Remove it; a group is busy for a moment after its processes are gone."""
        until = time.monotonic() + 5
        while os.path.isdir(self.path):
            try:
                for above, _folders, _files in os.walk(self.path, topdown=False):
                    os.rmdir(above)
            except FileNotFoundError:
                continue
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)


# --- Comparing -----------------------------------------------------------------------------------------------------------

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def compare_lab(wanted: Wanted, found: Found) -> Change:
    """The steps from what was found to what is wanted; pure."""
    return _build(wanted, found) if wanted.present else _demolish(wanted, found)


def needed_limit(hosts: int) -> int:
    """fs.inotify.max_user_instances for so many hosts: systemd and the services of a host take about 16, and others have theirs."""
    return 64 + 32 * hosts


def _build(wanted: Wanted, found: Found) -> Change:
    folder = lab_folder(wanted.name)
    record = {"root": wanted.root, "storage": wanted.storage}
    if found.record and found.record != record:
        raise FabricError(
            f"lab {wanted.name}: it was made with root {found.record['root']} and storage {found.record['storage']}; "
            f"remove it with state=absent before it is made with root {wanted.root} and storage {wanted.storage}"
        )
    steps: list = []
    warnings = []
    limit = needed_limit(len(wanted.hosts) + found.others)
    if found.limit < limit:
        warnings.append(f"fs.inotify.max_user_instances is raised from {found.limit} to {limit} until the last lab is gone")
        if found.former_limit is None:
            steps.append(Write(FORMER_LIMIT, f"{found.limit}\n"))
        steps.append(_sysctl("fs.inotify.max_user_instances", limit))

    if found.record != record:
        steps.append(Write(f"{folder}/lab.json", json.dumps(record) + "\n"))
    if not found.supervisor_current:
        steps.append(Program(f"{folder}/supervisor.py"))
    if wanted.storage == f"{folder}/layers":
        if wanted.storage not in found.mounts:
            steps += [Folder(wanted.storage), Step(("mount", "-t", "tmpfs", "-o", "mode=0755", "overloom-lab", wanted.storage))]
    elif not found.storage_exists:
        steps.append(Folder(wanted.storage))
    if not found.layer:
        steps.append(Layer(f"{wanted.storage}/clean", found.entries))

    cards = _cards(wanted)
    switches = _switches(wanted)
    gone = [host for host in found.hosts if host not in wanted.hosts]
    # Cables first: the far end of a removed host's card goes with it only after a while, and its name is taken until then.
    steps += _pull(wanted, found, cards, switches)
    for host in gone:
        steps += _remove_host(wanted, found, host)

    boot = []
    for host in wanted.hosts:
        steps += _prepare_host(wanted, host, found.hosts.get(host, HostFound()), cards[host], boot)
    steps += _plug(wanted, found, cards, switches)
    for host in boot:
        steps.append(_power_on(wanted, found, host))
    return Change(steps, _shape_found(found), _shape_wanted(wanted, found), tuple(warnings))


def _sysctl(key: str, value: t.Any) -> Step:
    return Step(("sysctl", "--quiet", "--write", f"{key}={value}"))


def _in(net: str, *argv: str) -> Step:
    return Step(("nsenter", "--net=" + net, *argv))


def _net(wanted: Wanted, host: str) -> str:
    return host_folder(wanted.name, host) + "/net"


def _switches(wanted: Wanted) -> list[tuple[tuple[str, str], ...]]:
    return [link for link in wanted.links if len(link) > 2]


def _cards(wanted: Wanted) -> dict[str, dict[str, dict[str, t.Any]]]:
    """The network cards of each host, by name, as cables.json has them."""
    cards: dict[str, dict[str, dict[str, t.Any]]] = {host: {} for host in wanted.hosts}
    for link in wanted.links:
        for host, interface in link:
            ends = link if len(link) == 2 else ((host, interface), ("", switch_port((host, interface))))
            cards[host][interface] = {
                "interface": interface,
                "address": mac_address(wanted.name, host, interface),
                "mtu": wanted.mtu,
                "group": cable_group(wanted.mtu, *ends),
            }
    return cards


def _group_at(found: Found, end: tuple[str, str]) -> str | None:
    """The group of an interface that exists; the host "" is the lab's switches."""
    host, interface = end
    if not host:
        return (found.switch or {}).get(interface, {}).get("group")
    return ((found.hosts.get(host) or HostFound()).interfaces or {}).get(interface)


def _cables(wanted: Wanted, cards: dict) -> list[tuple[str, tuple[tuple[str, str], tuple[str, str]]]]:
    """Every cable as its group and its two ends."""
    cables = []
    for link in wanted.links:
        pairs = [link] if len(link) == 2 else [(end, ("", switch_port(end))) for end in link]
        for pair in pairs:
            host, interface = pair[0]
            cables.append((cards[host][interface]["group"], (pair[0], pair[1])))
    return cables


def _whole(found: Found, group: str, ends: t.Iterable[tuple[str, str]]) -> bool:
    return all(_group_at(found, end) == group for end in ends)


def _pull(wanted: Wanted, found: Found, cards: dict, switches: list) -> list:
    """Remove the cables that are no longer wanted, and what is in the way of wanted ones."""
    whole = {group for group, ends in _cables(wanted, cards) if _whole(found, group, ends)}
    steps = []
    pulled: set[str] = set()

    def pull(net: str, interface: str, group: str) -> None:
        # The other end goes with this one.
        if group not in pulled:
            steps.append(_in(net, "ip", "link", "delete", "dev", interface))
        if group != "default":
            pulled.add(group)

    for host in wanted.hosts:
        known = found.hosts.get(host, HostFound())
        recorded = {(card["interface"], card["group"]) for card in known.cables}
        for interface, group in (known.interfaces or {}).items():
            if group not in whole and (interface in cards[host] or (interface, group) in recorded):
                pull(_net(wanted, host), interface, group)
    ports = {switch_port(end) for link in switches for end in link}
    bridges = set(_bridges(switches, found))
    for interface, link in (found.switch or {}).items():
        if (interface in ports and link["group"] in whole) or interface in bridges:
            continue
        pull(f"{lab_folder(wanted.name)}/switch", interface, link["group"])
    return steps


def _bridges(switches: list, found: Found) -> list[str]:
    """The bridge of each switch: the one that most of its cables are in already, so that a new cable disturbs no other."""
    existing = found.switch or {}
    names: list[str] = []
    for link in switches:
        masters = [existing[port]["master"] for port in map(switch_port, link) if port in existing]
        votes = sorted({m for m in masters if m and m not in names}, key=lambda m: (-masters.count(m), m))
        names.append(votes[0] if votes else "")
    taken = set(names)
    free = (f"s{number}" for number in range(1, len(switches) * 2 + 1) if f"s{number}" not in taken)
    return [name or next(free) for name in names]


def _plug(wanted: Wanted, found: Found, cards: dict, switches: list) -> list:
    """Make the cables that are missing, and the switches."""
    steps = []
    switch = f"{lab_folder(wanted.name)}/switch"
    bridges = _bridges(switches, found)
    if switches and found.switch is None:
        steps += [Write(switch, ""), Step(("unshare", "--net=" + switch, "true"))]
        # A switch has no address of its own, and says nothing by itself.
        steps.append(_in(switch, "sysctl", "--quiet", "--write", "net.ipv6.conf.default.disable_ipv6=1"))
    for bridge in bridges:
        if bridge not in (found.switch or {}):
            steps.append(_in(switch, "ip", "link", "add", "name", bridge, "mtu", str(SWITCH_MTU), "up", "type", "bridge", "mcast_snooping", "0"))
    for group, ends in _cables(wanted, cards):
        if _whole(found, group, ends):
            continue
        argv = ["ip", "link", "add"]
        for number, (host, interface) in enumerate(ends):
            card = cards[host][interface] if host else {"mtu": max(SWITCH_MTU, wanted.mtu)}
            argv += ["name", interface, "netns", _net(wanted, host) if host else switch]
            argv += ["address", card["address"]] if host else []
            argv += ["mtu", str(card["mtu"]), "group", group]
            argv += ["type", "veth", "peer"] if number == 0 else []
        steps.append(Step(tuple(argv)))
    for bridge, link in zip(bridges, switches):
        for end in link:
            port = switch_port(end)
            group = cards[end[0]][end[1]]["group"]
            if not (_whole(found, group, [end, ("", port)]) and (found.switch or {})[port]["master"] == bridge):
                steps.append(_in(switch, "ip", "link", "set", "dev", port, "master", bridge, "up"))
    return steps


def _definition(wanted: Wanted, host: str) -> dict[str, t.Any]:
    """What host.json says: the command that boots the host."""
    folder = host_folder(wanted.name, host)
    return {
        "argv": [
            "systemd-nspawn",
            "--quiet",
            f"--directory={folder}/merged",
            f"--machine={machine(wanted.name, host)}",
            f"--hostname={host}",
            f"--network-namespace-path={folder}/net",
            # No machined and no unit of its own: neither is there on every machine. The supervisor is in a group of its own.
            "--register=no",
            "--keep-unit",
            "--capability=all",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            "--notify-ready=yes",
            "--console=read-only",
            f"--setenv={MARK}={wanted.name}/{host}",
            *(f"--bind-ro={source}:{target}" for source, target in wanted.binds),
            "--boot",
        ]
    }


def _outdated(wanted: Wanted, host: str, found: HostFound) -> bool:
    """Whether the host must be booted (again)."""
    return (
        found.state == "off"
        or found.definition != _definition(wanted, host)
        or found.interfaces is None
        or not found.mounted
    )


def _prepare_host(wanted: Wanted, host: str, found: HostFound, cards: dict, boot: list[str]) -> list:
    folder = host_folder(wanted.name, host)
    layers = f"{wanted.storage}/{host}"
    steps: list = []
    if _outdated(wanted, host, found):
        boot.append(host)
        if found.pids:
            steps.append(PowerOff(f"{folder}/net", wanted.name, host, found.pids))
    if found.definition is None or not found.prepared:
        # The host's files are written once: what it changes in them later is its own, and outlives a power failure.
        steps += [
            Folder(f"{layers}/work"),
            Write(f"{layers}/upper/etc/hostname", host + "\n"),
            Write(f"{layers}/upper/etc/hosts", f"127.0.0.1\tlocalhost\n127.0.1.1\t{host}\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
            Write(f"{layers}/upper/etc/machine-id", _digest("machine-id", wanted.name, host)[:32] + "\n", 0o444),
        ]
    if not found.mounted:
        layered = f"lowerdir={wanted.storage}/clean:{wanted.root},upperdir={layers}/upper,workdir={layers}/work"
        steps += [Folder(f"{folder}/merged"), Step(("mount", "-t", "overlay", "-o", layered, "overloom-lab", f"{folder}/merged"))]
    if found.interfaces is None:
        steps += [Write(f"{folder}/net", ""), Step(("unshare", f"--net={folder}/net", "true"))]
    if list(found.cables) != list(cards.values()) or found.definition is None:
        steps.append(Write(f"{folder}/cables.json", json.dumps(list(cards.values())) + "\n"))
    if found.definition != _definition(wanted, host):
        steps.append(Write(f"{folder}/host.json", json.dumps(_definition(wanted, host)) + "\n"))
    return steps


def _power_on(wanted: Wanted, found: Found, host: str) -> PowerOn:
    folder = host_folder(wanted.name, host)
    argv = [found.python, "-I", f"{lab_folder(wanted.name)}/supervisor.py", folder]
    if found.systemd:
        properties = ["--property=Delegate=yes", "--property=TasksMax=infinity"]
        argv = ["/usr/bin/systemd-run", "--scope", "--quiet", "--collect", f"--unit={unit(wanted.name, host)}", *properties, *argv]
    groups = () if found.systemd else tuple(f"{root}/{unit(wanted.name, host)}" for root in found.cgroups)
    return PowerOn(folder, f"{wanted.name}/{host}", tuple(argv), groups)


def _unmount(paths: t.Iterable[str]) -> list:
    # Lazily: a person's shell that stands in a host's folder must not keep the lab.
    return [Step(("umount", "--lazy", path)) for path in paths]


def _remove_host(wanted: Wanted, found: Found, host: str) -> list:
    """Everything of one host, whatever there is of it."""
    folder = host_folder(wanted.name, host)
    storage = found.record["storage"] if found.record else wanted.storage
    steps: list = []
    if found.hosts[host].pids:
        steps.append(PowerOff(f"{folder}/net", wanted.name, host, found.hosts[host].pids))
    steps += [Remove(inode) for path, inode in found.locks.items() if path.startswith(folder + "/")]
    steps += _unmount(path for path in reversed(found.mounts) if path.startswith(folder + "/"))
    steps.append(Step(("rm", "-rf", "--one-file-system", folder, f"{storage}/{host}")))
    steps += [RemoveGroup(path) for path in found.leftovers if os.path.basename(path) in (unit(wanted.name, host), machine(wanted.name, host))]
    return steps


def _demolish(wanted: Wanted, found: Found) -> Change:
    folder = lab_folder(wanted.name)
    storage = found.record["storage"] if found.record else wanted.storage
    steps: list = []
    for host in found.hosts:
        steps += _remove_host(wanted, found, host)
    known = {unit(wanted.name, host) for host in found.hosts} | {machine(wanted.name, host) for host in found.hosts}
    steps += [RemoveGroup(path) for path in found.leftovers if os.path.basename(path) not in known]
    if found.switch_pids:
        steps.append(PowerOff(f"{folder}/switch", wanted.name, "", found.switch_pids))
    steps += _unmount(path for path in reversed(found.mounts) if not path.startswith(f"{folder}/hosts/"))
    if found.storage_exists and storage != f"{folder}/layers":
        steps.append(Step(("rm", "-rf", "--one-file-system", storage)))
    if found.exists:
        steps.append(Step(("rm", "-rf", "--one-file-system", folder)))
    if found.labs == (wanted.name,) or (found.former_limit and not found.labs):
        if found.former_limit:
            if found.limit > found.former_limit:
                steps.append(_sysctl("fs.inotify.max_user_instances", found.former_limit))
            steps.append(Remove(FORMER_LIMIT))
        steps.append(Step(("rmdir", "--ignore-fail-on-non-empty", LABS, os.path.dirname(LABS))))
    return Change(steps, _shape_found(found), {"lab": "absent"} if steps else _shape_found(found))


def _shape_found(found: Found) -> dict[str, t.Any]:
    """The lab as found, for a person."""
    if not (found.exists or found.hosts):
        return {"lab": "absent"}
    return {
        "lab": "present" if found.record and found.layer else "incomplete",
        "hosts": {host: known.state for host, known in found.hosts.items()},
        "interfaces": sorted(f"{host}:{card['interface']}" for host, known in found.hosts.items() for card in known.cables),
    }


def _shape_wanted(wanted: Wanted, found: Found) -> dict[str, t.Any]:
    return {
        "lab": "present",
        "hosts": {
            host: "running" if host not in found.hosts or _outdated(wanted, host, found.hosts[host]) else found.hosts[host].state
            for host in sorted(wanted.hosts)
        },
        "interfaces": sorted(f"{host}:{interface}" for link in wanted.links for host, interface in link),
    }


# --- After the steps -----------------------------------------------------------------------------------------------------


def judge_boot(wanted: Wanted, found: Found, runner: Runner, seconds: float, booted: t.Container[str]) -> list[str]:
    """What is wrong with the hosts that this run has booted, and with those that do not come up; one sentence for each host."""
    errors = []
    for name in wanted.hosts if wanted.present else ():
        host = found.hosts.get(name, HostFound())
        if host.state == "running":
            if name not in booted:
                continue
            inside = ["nsenter", f"--target={host.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "systemctl"]
            state = runner([*inside, "is-system-running"], accept=range(256)).strip()
            if state == "running":
                continue
            failed = [line.split()[0] for line in runner([*inside, "list-units", "--failed", "--plain", "--no-legend"]).splitlines() if line.strip()]
            what = f"is {state}: failed units {', '.join(failed) or 'none'}"
        elif host.state == "booting":
            what = f"was not up after {seconds:g} s (boot_timeout)"
        else:
            what = "went off while it booted"
        tail = "".join((_text(f"{host_folder(wanted.name, name)}/console.log") or "").splitlines(True)[-15:])
        errors.append(f"lab {wanted.name}: host {name} {what}; the last lines of its console:\n{tail}")
    return errors


def lab_state(found: Found) -> dict[str, t.Any]:
    """The result: the hosts as they are."""
    return {
        "hosts": [
            {"name": name, "state": host.state, "leader": host.leader, "boot_seconds": host.boot_seconds}
            for name, host in found.hosts.items()
        ]
    }


class Lab:
    """One run: what the module hands to reconcile."""

    def __init__(self, wanted: Wanted, runner: Runner, boot_timeout: float, check_mode: bool) -> None:
        self.wanted = wanted
        self.runner = runner
        self.boot_timeout = boot_timeout
        self.booted: set[str] = set()
        # Kept until the process ends.
        self.lock = None if check_mode else lock(wanted.name, boot_timeout)

    def read(self) -> Found:
        """What there is, when no host is booting any more."""
        if self.wanted.present:
            await_boot(self.wanted.name, self.boot_timeout)
        return read_lab(self.wanted, self.runner)

    def compare(self, found: Found) -> Change:
        """The steps; remembers the hosts that they boot."""
        change = compare_lab(self.wanted, found)
        self.booted = {step.mark.partition("/")[2] for step in change.steps if isinstance(step, PowerOn)}
        return change

    def judge(self, found: Found) -> list[str]:
        """What is wrong with the hosts."""
        return judge_boot(self.wanted, found, self.runner, self.boot_timeout, self.booted)

    def state(self, found: Found) -> dict[str, t.Any]:
        """The hosts as they are."""
        return lab_state(found)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab as its user wants it, as it is found on the machine, and what its parts are called.

This file is private to the collection.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import sys
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._lab import supervisor as _lab_supervisor
from ansible_collections.overloom.fabric.plugins.module_utils._lab.clean import CLEAN, Entry, clean_layer
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, Step

LABS = "/run/overloom/labs"
# The former values of the kernel settings that a lab may raise, until the last lab is gone.
FORMER_LIMITS = "/run/overloom/limits.json"
# For each kernel setting that all hosts share: a base, and what each host adds. systemd and the services of a host take
# about 16 inotify instances. The neighbor tables are one for all network namespaces of the machine (arp(7)): when one
# is full, packets are dropped; above gc_thresh2 its entries are forgotten early.
LIMITS = {
    "fs.inotify.max_user_instances": (64, 32),
    **{
        f"net.{family}.neigh.default.gc_thresh{level}": (0, 2048 * (level - 1))
        for family in ("ipv4", "ipv6")
        for level in (3, 2)
    },
}
NSPAWN = "/run/systemd/nspawn"
MARK = "OVERLOOM_LAB_HOST"
# Where proc(5) has env_start among the fields of /proc/PID/stat, counted from the state, which follows the name. env_end is the next.
ENV_START = 50 - 3
# Seconds after which an empty environment is no longer that of a process which starts another program.
NONE_FOR_GOOD = 0.05


class Wanted(t.NamedTuple):
    """The lab as its user declares it, checked.

    links: each a sorted tuple of at least two ends (host, interface).
    binds: (folder of the machine, where the hosts see it).
    inventory: the folder whose lab it is, or "".
    """

    name: str
    hosts: tuple[str, ...]
    links: tuple[tuple[tuple[str, str], ...], ...]
    root: str
    storage: str
    mtu: int
    binds: tuple[tuple[str, str], ...]
    present: bool
    inventory: str = ""


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
    """What there is of a lab, and of the machine what a lab needs to know.

    record: what lab.json says, or None.
    switch: name to group and master of what is in the switches' network namespace, or None when there is none.
    switch_pids: strangers in it.
    mounts: where something is mounted below the lab's folder, in order.
    entries: what the layer that hides the machine's state will hold; empty when the layer is there.
    leftovers: control groups and folders of systemd-nspawn that bear the lab's name.
    locks: locks of systemd-nspawn, by the root folder that they are for.
    labs, others: the labs of the machine, and how many hosts all others have.
    limits, former_limits: the kernel settings of LIMITS that there are, and what those were that a lab has raised.
    systemd: whether systemd runs the machine; cgroups: the hierarchies to make control groups in where it does not.
    python: the interpreter for the supervisors.
    """

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
    limits: dict[str, int]
    former_limits: dict[str, int]
    systemd: bool
    cgroups: tuple[str, ...]
    python: str


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
    return full if len(full) <= 64 else full[:51] + "-" + digest(full)[:12]


def unit(name: str, host: str) -> str:
    """The name of a host's control group."""
    return "overloom-lab-" + machine(name, host)


def mac_address(name: str, host: str, interface: str) -> str:
    """The address of a NIC: locally administered, and the same whenever the cable is made again."""
    return "02:" + ":".join(re.findall("..", digest(name, host, interface)[:10]))


def digest(*words: str) -> str:
    """A number of 64 hexadecimal digits that always comes of these words, and of no others."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


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


def await_boot(name: str, seconds: float) -> dict[str, str | None]:
    """Wait until none of the lab's hosts is booting any more, for so many seconds at most.

    A host's network namespace is being exchanged while it boots, so it is read afterwards. Returns each host's leader: its pid, "" of
    one that still boots, None of one that has gone off.
    """
    until = time.monotonic() + seconds
    supervisors = [
        (process.pid, host)
        for host, processes in lab_processes(name).items()
        for process in processes
        if process.role == "supervisor"
    ]

    def leader(supervisor: int, host: str) -> str | None:
        if _host_of(str(supervisor), name) is None:
            return None
        # A supervisor whose host has just ended will end or boot it again in a moment.
        pid = (text_of(host_folder(name, host) + "/leader") or "0").split()[0]
        return pid if _host_of(pid, name) == host else ""

    while True:
        leaders = {host: leader(supervisor, host) for supervisor, host in supervisors}
        if "" not in leaders.values() or time.monotonic() > until:
            return leaders
        time.sleep(0.02)


def read_lab(wanted: Wanted, runner: Runner) -> Found:
    """Read once what there is of the lab, from the kernel wherever it knows."""
    folder = lab_folder(wanted.name)
    mounts = mount_points()
    record = _record(f"{folder}/lab.json")
    storage = record["storage"] if record else wanted.storage
    processes = lab_processes(wanted.name)
    names = set(names_in(f"{folder}/hosts")) | set(processes)
    names |= set(names_in(storage)) - {CLEAN, CLEAN + ".new"}
    layer = os.path.isdir(f"{storage}/{CLEAN}")
    # What is to be removed needs no look inside, which might fail where a run was killed.
    looks = runner if wanted.present else None
    hosts = {
        host: _read_host(wanted.name, host, storage, processes.get(host, []), mounts, looks) for host in sorted(names)
    }
    inside = tuple(path for path in mounts if path.startswith(folder + "/"))
    return Found(
        exists=os.path.isdir(folder),
        record=record,
        hosts=hosts,
        switch=_interfaces(f"{folder}/switch", looks) if looks and f"{folder}/switch" in mounts else None,
        switch_pids=tuple(strangers(f"{folder}/switch")),
        mounts=inside,
        layer=layer,
        entries=() if layer or not wanted.present else tuple(clean_layer(wanted.root)),
        supervisor_current=text_of(f"{folder}/supervisor.py") == supervisor_source(),
        storage_exists=os.path.isdir(storage),
        leftovers=_leftovers(wanted.name),
        locks={path: inode for path in inside if path.endswith("/merged") for inode in [_nspawn_lock(path)] if inode},
        labs=tuple(names_in(LABS)),
        others=sum(len(names_in(f"{LABS}/{lab}/hosts")) for lab in names_in(LABS) if lab != wanted.name),
        limits=_limits(),
        former_limits=json.loads(text_of(FORMER_LIMITS) or "{}"),
        systemd=os.path.isdir("/run/systemd/system"),
        cgroups=tuple(cgroup_roots()),
        python=sys.executable,
    )


def _leftovers(lab: str) -> tuple[str, ...]:
    """What systemd-nspawn has left of a lab's hosts beside the lab's folder."""
    places = [*((root, unit(lab, "")) for root in cgroup_roots()), (NSPAWN + "/propagate", machine(lab, ""))]
    return tuple(f"{place}/{name}" for place, prefix in places for name in names_in(place) if name.startswith(prefix))


def _limits() -> dict[str, int]:
    """The kernel's limits as they are; without those that this kernel has not."""
    values = {key: text_of("/proc/sys/" + key.replace(".", "/")) for key in LIMITS}
    return {key: int(value) for key, value in values.items() if value}


def _record(path: str) -> t.Any:
    """What lab.json says, or None. An inventory that was removed keeps its lab from nobody."""
    record = json_of(path)
    if record and not os.path.isdir(record.get("inventory") or ""):
        record["inventory"] = ""
    return record


def _read_host(
    name: str, host: str, storage: str, processes: list, mounts: t.Container[str], runner: Runner | None
) -> HostFound:
    folder = host_folder(name, host)
    booted = (text_of(f"{folder}/leader") or "").split()
    leader = next((process.pid for process in processes if process.role == "leader"), None)
    return HostFound(
        pids=(*(process.pid for process in processes), *strangers(f"{folder}/net")),
        supervisor=any(process.role == "supervisor" for process in processes),
        leader=leader,
        boot_seconds=float(booted[1]) if len(booted) == 2 and booted[0] == str(leader) else None,
        definition=json_of(f"{folder}/host.json"),
        cables=tuple(json_of(f"{folder}/cables.json") or ()),
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

    Processes deeper inside a host end with its leader, and a lab inside a lab host is another one's, so both are left out. So is this
    machine's own process 1, which has the mark when the machine is a lab host itself.
    """
    own = len(_pids("self"))
    found: dict[str, list[Process]] = {}
    for entry in os.listdir("/proc"):
        host = _host_of(entry, name) if entry.isdigit() and int(entry) not in (1, os.getpid()) else None
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
    start = f"{MARK}={name}/".encode()
    mark = next((word for word in _environment(pid).split(b"\0") if word.startswith(start)), None)
    return None if mark is None else mark[len(start) :].decode()


def _environment(pid: str) -> bytes:
    """The environment of a process; empty for one that has ended.

    While a process starts another program (execve(2)), the kernel shows an empty one until it has written the new one, so it is read
    again until then. On a busy machine that may be more than a moment. One that was given none looks the same, but for good.
    """
    until = time.monotonic() + 10
    none_since: float | None = None
    while True:
        try:
            with open(f"/proc/{pid}/environ", "rb") as stream:
                environment = stream.read()
            now = time.monotonic()
            if environment or now > until:
                return environment
            # Of a zombie and of the kernel's own threads there is none.
            os.readlink(f"/proc/{pid}/exe")
            none_since = (none_since or now) if _has_none(pid) else None
        except OSError:
            return b""
        if none_since is not None and now - none_since > NONE_FOR_GOOD:
            return b""
        time.sleep(0.001)


def _has_none(pid: str) -> bool:
    """Whether a process has an empty environment (env_start and env_end of proc(5)). Raises OSError if it has ended."""
    with open(f"/proc/{pid}/stat", "rb") as stream:
        # The name, in parentheses, may hold anything.
        fields = stream.read().rpartition(b") ")[2].split()
    return fields[ENV_START] == fields[ENV_START + 1] != b"0"


def strangers(net: str) -> list[int]:
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
            if (
                entry.isdigit()
                and os.stat(f"/proc/{entry}/ns/net").st_ino == wanted.st_ino
                and len(_pids(entry)) == depth
            ):
                found.append(int(entry))
        except OSError:
            continue
    return found


def _pids(process: str) -> list[str]:
    """The pids of a process in its nested process namespaces, the outermost visible one first (proc(5), NSpid)."""
    with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as stream:
        return next((line.split()[1:] for line in stream if line.startswith("NSpid:")), [])


def in_network(net: str, *argv: str) -> Step:
    """A command in a network namespace."""
    return Step(("nsenter", "--net=" + net, *argv))


def _interfaces(net: str, runner: Runner) -> dict[str, dict]:
    command = in_network(net, "ip", "-json", "link", "show")
    try:
        out = runner(command)
    except FabricError:
        # A host that reboots just now gets another namespace; it is there in a moment.
        time.sleep(0.2)
        out = runner(command)
    links = json.loads(out or "[]")
    return {
        link["ifname"]: {"group": link.get("group", "default"), "master": link.get("master")}
        for link in links
        if link["ifname"] != "lo"
    }


def mount_points() -> tuple[str, ...]:
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


def supervisor_source() -> str:
    """The program text of the power supply: it runs after the task, so it cannot stay in the task's archive."""
    return t.cast(t.Any, _lab_supervisor.__loader__).get_source(_lab_supervisor.__name__)


def names_in(folder: str) -> list[str]:
    """What is in a folder; nothing when it does not exist."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def text_of(path: str) -> str | None:
    """What is in a file, or None when it does not exist."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def json_of(path: str) -> t.Any:
    """The data in a JSON file, or None when it does not exist."""
    text = text_of(path)
    return None if text is None else json.loads(text)

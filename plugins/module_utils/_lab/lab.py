# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: real systemd hosts on one machine, over its own root file system, wired with veth cables.

This file is private to the collection. A lab is a folder below /run/overloom/labs:

    lab.json           the root and the storage that it was made with
    supervisor.py      the power supply of its hosts (_lab/supervisor.py)
    layers/            a tmpfs, unless the storage is elsewhere
      .clean/          what hides the machine's own state (units, logs, databases) from all hosts
      HOST/upper       what the host has written, HOST/work (overlayfs's own)
    hosts/HOST/        net (its network namespace), merged (its root), host.json, cables.json, leader, console.log, ...
    switch             the network namespace of the lab's switches

Every process of a lab carries LAB/HOST in its environment, so that it is found whatever was killed. What the kernel
shows is compared with what is wanted; nothing relies on a former run having come to its end.
"""

from __future__ import annotations

import json
import os
import re
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._lab.clean import CLEAN, Layer
from ansible_collections.overloom.fabric.plugins.module_utils._lab.state import (
    FORMER_LIMITS,
    LABS,
    LIMITS,
    MARK,
    NSPAWN,
    Found,
    HostFound,
    Wanted,
    await_boot,
    digest,
    host_folder,
    in_network,
    lab_folder,
    lock,
    mac_address,
    machine,
    read_lab,
    text_of,
    unit,
)
from ansible_collections.overloom.fabric.plugins.module_utils._lab.steps import (
    Folder,
    PowerOff,
    PowerOn,
    Program,
    RemoveGroup,
    RemoveTree,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Remove,
    RemoveFolder,
    Runner,
    Step,
    Write,
)

# What a switch carries; a frame of a host whose NIC has a smaller MTU fits in any case.
SWITCH_MTU = 9216

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
HOST = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)
INTERFACE = re.compile(r"(?!-|\.\.?$)[!-$&-.0-9;-~]{1,15}")


# What a machine needs to make a lab, and the package of Debian that has it.
TOOLS = (
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("ethtool", "ethtool"),
)


def wanted_lab(params: dict[str, t.Any]) -> Wanted:
    """Check the module's options.

    Raises FabricError with one sentence that names the option and the object.
    """
    name = params["name"]
    if not NAME.fullmatch(name):
        raise FabricError(
            f"name: {name!r} is no lab name; use 1 to 32 lower-case letters, digits and '-', beginning with a letter or digit"
        )
    hosts = params["hosts"] or []
    _check_hosts(hosts)
    links = _links(params["links"] or [], hosts)
    for option in ("root", "storage"):
        path = params[option]
        if path is not None and (not path.startswith("/") or set(path) & set(",:\\\n")):
            raise FabricError(f"{option}: {path!r} must be an absolute path without comma, colon, backslash or newline")
    if not 68 <= params["mtu"] <= 65535:
        raise FabricError(f"mtu: {params['mtu']} is not in 68..65535")
    return Wanted(
        name=name,
        hosts=tuple(hosts),
        links=links,
        root=os.path.normpath(params["root"]),
        storage=os.path.join(params["storage"], "overloom-lab-" + name)
        if params["storage"]
        else lab_folder(name) + "/layers",
        mtu=params["mtu"],
        binds=tuple(_bind(word) for word in params["binds"] or []),
        present=params["state"] == "present",
        inventory=os.path.normpath(params["inventory"]) if params.get("inventory") else "",
    )


def _check_hosts(hosts: t.Sequence[str]) -> None:
    for host in hosts:
        if not HOST.fullmatch(host):
            raise FabricError(
                f"hosts: {host!r} is no host name; use letters, digits, '-' and '.', at most 63 characters"
            )
        if hosts.count(host) > 1:
            raise FabricError(f"hosts: {host} is listed twice; list it once")


def _links(declared: t.Sequence[t.Sequence[t.Any]], hosts: t.Sequence[str]) -> tuple[tuple[tuple[str, str], ...], ...]:
    """The cables and switches, each as its sorted ends."""
    links = []
    used: dict[tuple[str, str], int] = {}
    for number, words in enumerate(declared, 1):
        ends = [_end(word, number, hosts) for word in words]
        if len(ends) < 2:
            raise FabricError(
                f"links: link {number} has {len(ends)} end{'s' * (len(ends) != 1)}; name at least two as host:interface"
            )
        for end in ends:
            if end in used:
                raise FabricError(
                    f"links: {end[0]}:{end[1]} is used by link {used[end]} and link {number}; an interface has one cable"
                )
            used[end] = number
        links.append(tuple(sorted(ends)))
    return tuple(links)


def _end(word: t.Any, number: int, hosts: t.Sequence[str]) -> tuple[str, str]:
    host, colon, interface = str(word).partition(":")
    if not colon:
        raise FabricError(f"links: {word!r} in link {number} is no end of a cable; write it as host:interface")
    if host not in hosts:
        raise FabricError(
            f"links: link {number} names {host!r}, which is not one of the hosts; add it to hosts or correct the link"
        )
    if not INTERFACE.fullmatch(interface) or interface == "lo":
        raise FabricError(
            f"links: {interface!r} of {host} in link {number} is no interface name; use 1 to 15 printable characters without '/', ':', '%' or space"
        )
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
    for tool, package in TOOLS:
        if not tools.get(tool):
            raise FabricError(
                f"lab {wanted.name}: {tool} is not installed on this machine; install the package {package} (its name on Debian)"
            )
    if not any(
        os.path.exists(os.path.join(wanted.root, path)) for path in ("usr/lib/systemd/systemd", "lib/systemd/systemd")
    ):
        raise FabricError(
            f"root: {wanted.root} holds no systemd, which a lab host boots; name the root folder of a system that has it"
        )
    for source, _target in wanted.binds:
        if not os.path.exists(source):
            raise FabricError(f"binds: {source} does not exist on this machine")
    if os.path.dirname(wanted.storage) != lab_folder(wanted.name):
        _check_storage(os.path.dirname(wanted.storage), wanted.root)


def _check_storage(folder: str, root: str) -> None:
    """Refuse a folder for the hosts' layers that overlayfs cannot use."""
    if not os.path.isdir(folder):
        raise FabricError(f"storage: {folder} is no folder; make it, or leave storage out to use memory")
    inside = (os.path.realpath(folder) + "/").startswith(os.path.realpath(root).rstrip("/") + "/")
    if inside and os.stat(folder).st_dev == os.stat(root).st_dev:
        raise FabricError(
            f"storage: {folder} lies in root {root} on the same filesystem, which overlayfs refuses; name a folder on another filesystem"
        )


def cable_group(mtu: int, *ends: t.Sequence[str]) -> str:
    """The interface group of both ends of a cable: tells which cable it is, and is set as it is made, so that it is never in doubt."""
    return str(int(digest(str(mtu), *("\0".join(end) for end in ends))[:7], 16) + 1)


def switch_port(end: tuple[str, str]) -> str:
    """The name of the switch's end of a cable."""
    return "p" + digest(*end)[:10]


def compare_lab(wanted: Wanted, found: Found) -> Change:
    """The steps from what was found to what is wanted; pure."""
    _refuse_another(wanted, found)
    return _build(wanted, found) if wanted.present else _demolish(wanted, found)


def _refuse_another(wanted: Wanted, found: Found) -> None:
    """A lab is that of one inventory: a second one with the same name would exchange or remove the first one's hosts."""
    known = found.record["inventory"] if found.record else ""
    if known and wanted.inventory and known != wanted.inventory:
        raise FabricError(
            f"lab {wanted.name}: it belongs to the inventory in {known}, not to that in {wanted.inventory}; "
            f"give this one another fabric_name or lab_name, or remove the lab with the inventory in {known}"
        )


def _build(wanted: Wanted, found: Found) -> Change:
    raised = _raised_limits(found, len(wanted.hosts) + found.others)
    steps = _raise_limits(found, raised)
    steps += _ground(wanted, found)
    nics = _nics(wanted)
    switches = _switches(wanted)
    gone = [host for host in found.hosts if host not in wanted.hosts]
    # Cables first: the far end of a removed host's NIC goes with it only after a while, and its name is taken until then.
    steps += _pull(wanted, found, nics, switches)
    for host in gone:
        steps += _remove_host(wanted, found, host)

    for host in wanted.hosts:
        steps += _prepare_host(wanted, found, host, nics[host])
    steps += _plug(wanted, found, nics, switches)
    steps += [_power_on(wanted, found, host) for host in wanted.hosts if _outdated(wanted, found, host)]
    before, after = _shape_found(found), _shape_wanted(wanted, found)
    if raised:
        # Settings of the whole machine, which whoever asks for differences should see.
        before["kernel"], after["kernel"] = {key: found.limits[key] for key in raised}, raised
    return Change(steps, before, after)


def _raised_limits(found: Found, hosts: int) -> dict[str, int]:
    """The kernel settings that are too low for so many hosts, with the values that they need."""
    needed = {key: LIMITS[key][0] + LIMITS[key][1] * hosts for key in found.limits}
    return {key: value for key, value in needed.items() if found.limits[key] < value}


def _raise_limits(found: Found, raised: dict[str, int]) -> list:
    """The steps that raise kernel settings; what these were is noted first."""
    steps: list = []
    former = {**{key: found.limits[key] for key in raised}, **found.former_limits}
    if former != found.former_limits:
        steps.append(Write(FORMER_LIMITS, json.dumps(former) + "\n"))
    return steps + [_sysctl(key, value) for key, value in raised.items()]


def _ground(wanted: Wanted, found: Found) -> list:
    """The steps to what all hosts lie on: the lab's record, its program, the storage, and the layer over the root."""
    folder = lab_folder(wanted.name)
    known = (found.record or {}).get("inventory", "")
    record = {"root": wanted.root, "storage": wanted.storage, "inventory": wanted.inventory or known}
    if found.record and (found.record["root"], found.record["storage"]) != (wanted.root, wanted.storage):
        raise FabricError(
            f"lab {wanted.name}: it was made with root {found.record['root']} and storage {found.record['storage']}; "
            f"remove it with state=absent before it is made with root {wanted.root} and storage {wanted.storage}"
        )
    steps: list = []
    if found.record != record:
        steps.append(Write(f"{folder}/lab.json", json.dumps(record) + "\n"))
    if not found.supervisor_current:
        steps.append(Program(f"{folder}/supervisor.py"))
    in_memory = wanted.storage == f"{folder}/layers"
    if wanted.storage not in found.mounts if in_memory else not found.storage_exists:
        steps.append(Folder(wanted.storage))
        if in_memory:
            steps.append(Step(("mount", "-t", "tmpfs", "-o", "mode=0755", "overloom-lab", wanted.storage)))
    if not found.layer:
        steps.append(Layer(f"{wanted.storage}/{CLEAN}", found.entries))
    return steps


def _sysctl(key: str, value: t.Any) -> Step:
    return Step(("sysctl", "--quiet", "--write", f"{key}={value}"))


def _net(wanted: Wanted, host: str) -> str:
    return host_folder(wanted.name, host) + "/net"


def _switches(wanted: Wanted) -> list[tuple[tuple[str, str], ...]]:
    return [link for link in wanted.links if len(link) > 2]


def _nics(wanted: Wanted) -> dict[str, dict[str, dict[str, t.Any]]]:
    """The NICs of each host, by name, as cables.json has them."""
    nics: dict[str, dict[str, dict[str, t.Any]]] = {host: {} for host in wanted.hosts}
    for link in wanted.links:
        for host, interface in link:
            ends = link if len(link) == 2 else ((host, interface), ("", switch_port((host, interface))))
            nics[host][interface] = {
                "interface": interface,
                "address": mac_address(wanted.name, host, interface),
                "mtu": wanted.mtu,
                "group": cable_group(wanted.mtu, *ends),
            }
    return nics


def _group_at(found: Found, end: tuple[str, str]) -> str | None:
    """The group of an interface that exists; the host "" is the lab's switches."""
    host, interface = end
    if not host:
        return (found.switch or {}).get(interface, {}).get("group")
    return ((found.hosts.get(host) or HostFound()).interfaces or {}).get(interface)


def _cables(wanted: Wanted, nics: dict) -> list[tuple[str, tuple[tuple[str, str], tuple[str, str]]]]:
    """Every cable as its group and its two ends."""
    cables = []
    for link in wanted.links:
        pairs = [link] if len(link) == 2 else [(end, ("", switch_port(end))) for end in link]
        for pair in pairs:
            host, interface = pair[0]
            cables.append((nics[host][interface]["group"], (pair[0], pair[1])))
    return cables


def _whole(found: Found, group: str, ends: t.Iterable[tuple[str, str]]) -> bool:
    return all(_group_at(found, end) == group for end in ends)


def _pull(wanted: Wanted, found: Found, nics: dict, switches: list) -> list:
    """Remove the cables that are no longer wanted, and what is in the way of wanted ones."""
    whole = {group for group, ends in _cables(wanted, nics) if _whole(found, group, ends)}
    steps = []
    pulled: set[str] = set()

    def pull(net: str, interface: str, group: str) -> None:
        # The other end goes with this one.
        if group not in pulled:
            steps.append(in_network(net, "ip", "link", "delete", "dev", interface))
        if group != "default":
            pulled.add(group)

    for host in wanted.hosts:
        known = found.hosts.get(host, HostFound())
        recorded = {(nic["interface"], nic["group"]) for nic in known.cables}
        for interface, group in (known.interfaces or {}).items():
            if group not in whole and (interface in nics[host] or (interface, group) in recorded):
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


def _plug(wanted: Wanted, found: Found, nics: dict, switches: list) -> list:
    """Make the cables that are missing, and the switches."""
    steps = []
    switch = f"{lab_folder(wanted.name)}/switch"
    bridges = _bridges(switches, found)
    if switches and found.switch is None:
        steps += [Write(switch, ""), Step(("unshare", "--net=" + switch, "true"))]
        # A switch has no address of its own, and says nothing by itself.
        steps.append(in_network(switch, "sysctl", "--quiet", "--write", "net.ipv6.conf.default.disable_ipv6=1"))
    made = found.switch or {}
    steps += [in_network(switch, *_BRIDGE, bridge, *_BRIDGE_OPTIONS) for bridge in bridges if bridge not in made]
    for group, ends in _cables(wanted, nics):
        if not _whole(found, group, ends):
            steps += _cable(wanted, nics, group, ends)
    for bridge, link in zip(bridges, switches):
        for end in link:
            port = switch_port(end)
            group = nics[end[0]][end[1]]["group"]
            if not (_whole(found, group, [end, ("", port)]) and made[port]["master"] == bridge):
                steps.append(in_network(switch, "ip", "link", "set", "dev", port, "master", bridge, "up"))
    return steps


_BRIDGE = ("ip", "link", "add", "name")
_BRIDGE_OPTIONS = ("mtu", str(SWITCH_MTU), "up", "type", "bridge", "mcast_snooping", "0")


def _cable(wanted: Wanted, nics: dict, group: str, ends: t.Sequence[tuple[str, str]]) -> list[Step]:
    """Make one cable: a veth pair. An end without a host is at the switch."""
    argv = ["ip", "link", "add"]
    for number, (host, interface) in enumerate(ends):
        argv += ["name", interface]
        if number:
            argv += ["netns", _net(wanted, host) if host else f"{lab_folder(wanted.name)}/switch"]
        if host:
            argv += ["address", nics[host][interface]["address"]]
        argv += ["mtu", str(wanted.mtu if host else max(SWITCH_MTU, wanted.mtu)), "group", group]
        argv += [] if number else ["type", "veth", "peer"]
    # Made in the namespace of its first end: elsewhere, an interface of the same name (the machine's own eth1) is in the way.
    steps = [in_network(_net(wanted, ends[0][0]), *argv)]
    # Frames on a wire have their checksums; the kernel leaves them out on a veth, and Open vSwitch in user space then delivers them wrong.
    return steps + [in_network(_net(wanted, host), "ethtool", "-K", name, "tx", "off") for host, name in ends if host]


def _scope(*properties: str) -> list[str]:
    """What runs a command in a unit of its own, where systemd runs the machine: it outlives the person's session there."""
    return ["/usr/bin/systemd-run", "--scope", "--quiet", "--collect", *(f"--property={word}" for word in properties)]


def _definition(wanted: Wanted, found: Found, host: str) -> dict[str, t.Any]:
    """What host.json says: the command that boots the host."""
    folder = host_folder(wanted.name, host)
    return {
        "argv": [
            # A unit without the supervisor in it, because control groups (version 2) are handed on only by one that has no process.
            *(_scope("Delegate=yes", "TasksMax=infinity") if found.systemd else ()),
            "systemd-nspawn",
            "--quiet",
            f"--directory={folder}/merged",
            f"--machine={machine(wanted.name, host)}",
            f"--hostname={host}",
            f"--network-namespace-path={folder}/net",
            # No machined, and no unit of nspawn's own making: neither is there on every machine.
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


def _outdated(wanted: Wanted, found: Found, host: str) -> bool:
    """Whether the host must be booted (again)."""
    known = found.hosts.get(host, HostFound())
    return (
        known.state == "off"
        or known.definition != _definition(wanted, found, host)
        or known.interfaces is None
        or not known.mounted
    )


def _prepare_host(wanted: Wanted, found: Found, host: str, nics: dict) -> list:
    """Everything of one host but its cables, and without switching it on."""
    folder = host_folder(wanted.name, host)
    layers = f"{wanted.storage}/{host}"
    known = found.hosts.get(host, HostFound())
    definition = _definition(wanted, found, host)
    steps: list = []
    if known.pids and _outdated(wanted, found, host):
        steps.append(PowerOff(f"{folder}/net", wanted.name, host, known.pids))
    if known.definition is None or not known.prepared:
        # The host's files are written once: what it changes in them later is its own, and outlives a power failure.
        steps += [
            Folder(f"{layers}/work"),
            Write(f"{layers}/upper/etc/hostname", host + "\n"),
            Write(
                f"{layers}/upper/etc/hosts",
                f"127.0.0.1\tlocalhost\n127.0.1.1\t{host}\n::1\tlocalhost ip6-localhost ip6-loopback\n",
            ),
            Write(f"{layers}/upper/etc/machine-id", digest("machine-id", wanted.name, host)[:32] + "\n", 0o444),
        ]
    if not known.mounted:
        layered = f"lowerdir={wanted.storage}/{CLEAN}:{wanted.root},upperdir={layers}/upper,workdir={layers}/work"
        steps += [
            Folder(f"{folder}/merged"),
            Step(("mount", "-t", "overlay", "-o", layered, "overloom-lab", f"{folder}/merged")),
        ]
    if known.interfaces is None:
        steps += [Write(f"{folder}/net", ""), Step(("unshare", f"--net={folder}/net", "true"))]
    if list(known.cables) != list(nics.values()) or known.definition is None:
        steps.append(Write(f"{folder}/cables.json", json.dumps(list(nics.values())) + "\n"))
    if known.definition != definition:
        steps.append(Write(f"{folder}/host.json", json.dumps(definition) + "\n"))
    return steps


def _power_on(wanted: Wanted, found: Found, host: str) -> PowerOn:
    folder = host_folder(wanted.name, host)
    argv = [
        *(_scope() if found.systemd else ()),
        found.python,
        "-I",
        f"{lab_folder(wanted.name)}/supervisor.py",
        folder,
    ]
    groups = () if found.systemd else tuple(f"{root}/{unit(wanted.name, host)}" for root in found.cgroups)
    return PowerOn(folder, f"{wanted.name}/{host}", tuple(argv), groups)


def _remove_host(wanted: Wanted, found: Found, host: str) -> list:
    """Everything of one host, whatever there is of it."""
    folder = host_folder(wanted.name, host)
    storage = found.record["storage"] if found.record else wanted.storage
    known = found.hosts[host]
    steps: list = []
    if known.pids:
        steps.append(PowerOff(f"{folder}/net", wanted.name, host, known.pids))
    steps += [Remove(inode) for path, inode in found.locks.items() if path.startswith(folder + "/")]
    steps.append(RemoveTree(folder, tuple(path for path in reversed(found.mounts) if path.startswith(folder + "/"))))
    steps.append(Step(("rm", "-rf", "--one-file-system", f"{storage}/{host}")))
    names = (unit(wanted.name, host), machine(wanted.name, host))
    left = [path for path in found.leftovers if os.path.basename(path) in names]
    if known.pids:
        # A host that is just booting makes them between the look and its end.
        made = [f"{NSPAWN}/propagate/{names[1]}", *(f"{root}/{names[0]}" for root in found.cgroups)]
        left += [path for path in made if path not in left]
    return steps + [RemoveGroup(path) for path in left]


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
    if found.storage_exists and storage != f"{folder}/layers":
        steps.append(Step(("rm", "-rf", "--one-file-system", storage)))
    if found.exists:
        rest = [path for path in found.mounts if not path.startswith(f"{folder}/hosts/")]
        steps.append(RemoveTree(folder, tuple(reversed(rest))))
    if found.labs == (wanted.name,) or (found.former_limits and not found.labs):
        if found.former_limits:
            steps += [
                _sysctl(key, value) for key, value in found.former_limits.items() if found.limits.get(key, 0) > value
            ]
            steps.append(Remove(FORMER_LIMITS))
        steps += [RemoveFolder(LABS), RemoveFolder(os.path.dirname(LABS))]
    return Change(steps, _shape_found(found), {"lab": "absent"} if steps else _shape_found(found))


def _shape_found(found: Found) -> dict[str, t.Any]:
    """The lab as found, for a person."""
    if not (found.exists or found.hosts):
        return {"lab": "absent"}
    return {
        "lab": "present" if found.record and found.layer else "incomplete",
        "hosts": {host: known.state for host, known in found.hosts.items()},
        "interfaces": sorted(
            f"{host}:{nic['interface']}" for host, known in found.hosts.items() for nic in known.cables
        ),
    }


def _shape_wanted(wanted: Wanted, found: Found) -> dict[str, t.Any]:
    return {
        "lab": "present",
        "hosts": {
            host: "running" if _outdated(wanted, found, host) else found.hosts[host].state
            for host in sorted(wanted.hosts)
        },
        "interfaces": sorted(f"{host}:{interface}" for link in wanted.links for host, interface in link),
    }


def judge_boot(wanted: Wanted, found: Found, runner: Runner, seconds: float, booted: t.Container[str]) -> list[str]:
    """What is wrong with the hosts that this run has booted, and with those that do not come up; one sentence for each host."""
    errors = []
    for name in wanted.hosts if wanted.present else ():
        host = found.hosts.get(name, HostFound())
        if host.state == "running":
            if name not in booted:
                continue
            inside = [
                "nsenter",
                f"--target={host.leader}",
                "--mount",
                "--uts",
                "--ipc",
                "--net",
                "--pid",
                "--cgroup",
                "systemctl",
            ]
            state = runner([*inside, "is-system-running"], accept=range(256)).strip()
            if state == "running":
                continue
            failed = [
                line.split()[0]
                for line in runner([*inside, "list-units", "--failed", "--plain", "--no-legend"]).splitlines()
                if line.strip()
            ]
            what = f"is {state}: failed units {', '.join(failed) or 'none'}"
        elif host.state == "booting":
            what = f"was not up after {seconds:g} s (boot_timeout)"
        else:
            what = "went off while it booted"
        tail = "".join((text_of(f"{host_folder(wanted.name, name)}/console.log") or "").splitlines(True)[-15:])
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
        name, until = self.wanted.name, time.monotonic() + self.boot_timeout
        while self.wanted.present:
            leaders = await_boot(name, max(0.0, until - time.monotonic()))
            found = read_lab(self.wanted, self.runner)
            # A host that rebooted meanwhile was read in part before and in part after.
            if await_boot(name, 0) == leaders or time.monotonic() > until:
                return found
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

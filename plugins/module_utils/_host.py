# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role must know of a host before it changes it, read from files, with one process for the services.

This file is private to the collection.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import shlex
import shutil
import socket
import struct
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import identity
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import property_blocks

SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where distributions keep it (ovs-ctl(8)).
OVS_DATABASES = ("/etc/openvswitch/conf.db", "/var/lib/openvswitch/conf.db")
SIOCGIFADDR = 0x8915  # netdevice(7)
CAP_SYS_MODULE = 16  # capabilities(7)


def content(path: str) -> str:
    """The text of a file; empty when there is none, as with the files of IPv6 where the kernel has none.

    What is no UTF-8, such as a remark of somebody who wrote Latin-1, is kept as it is.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return ""


def answers(path: str) -> bool:
    """Whether somebody listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def switch_runs(folders: t.Iterable[str] = ("/run/openvswitch", "/var/run/openvswitch")) -> bool:
    """Whether Open vSwitch's database and its daemon answer, whoever has started them."""
    for folder in folders:
        pid = content(f"{folder}/ovs-vswitchd.pid").strip()
        if pid and answers(f"{folder}/db.sock") and answers(f"{folder}/ovs-vswitchd.{pid}.ctl"):
            return True
    return False


def contained_switch(proc: str = "/proc", folder: str = "/run/openvswitch") -> int | None:
    """An ovs-vswitchd in this host's network whose run folder is another than the host's, as the container of a Kubernetes network has it.

    Both would rule the kernel's one datapath of this network namespace, and each removes the ports that it does not know.
    """
    own, network = identity(folder), identity(f"{proc}/self/ns/net")
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):
        if content(f"{proc}/{pid}/comm").strip() != "ovs-vswitchd" or identity(f"{proc}/{pid}/ns/net") != network:
            continue
        if identity(f"{proc}/{pid}/root{folder}") not in (own, None):
            return pid
    return None


def parse_os_release(text: str) -> dict[str, t.Any]:
    """The distribution of os-release(5): its id, what it is like, and its version."""
    values = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.startswith("#"):
            values[key.strip()] = "".join(shlex.split(value))
    family = [values.get("ID", "linux"), *values.get("ID_LIKE", "").split()]
    return {"id": family[0], "like": family[1:], "version": values.get("VERSION_ID", "")}


def parse_routes(text: str) -> list[dict[str, str]]:
    """The default routes of /proc/net/route: interface and gateway."""
    defaults = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
            packed = bytes.fromhex(fields[2])[::-1]
            defaults.append({"interface": fields[0], "gateway": ".".join(str(byte) for byte in packed)})
    return defaults


def parse_routes6(text: str) -> list[dict[str, str]]:
    """The default routes of /proc/net/ipv6_route: interface and gateway; unreachable ones, which the kernel keeps at lo, are none."""
    defaults = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 10 and fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            defaults.append({"interface": fields[9], "gateway": str(ipaddress.IPv6Address(int(fields[4], 16)))})
    return defaults


def ssh_address(environments: t.Iterable[bytes]) -> str | None:
    """The host's own address in SSH_CONNECTION (ssh(1)) in the first of several process environments that has it."""
    for environment in environments:
        for variable in environment.split(b"\0"):
            key, _equals, value = variable.partition(b"=")
            fields = value.decode("ascii", "replace").split()
            if key == b"SSH_CONNECTION" and len(fields) == 4:
                return fields[2].partition("%")[0]
    return None


def parent_environments(root: str = "/") -> t.Iterator[bytes]:
    """The environment of this process, its parent, and so on: sudo(8) hides SSH_CONNECTION from what it starts."""
    pid = str(os.getpid())
    while pid not in ("", "0"):
        try:
            with open(os.path.join(root, "proc", pid, "environ"), "rb") as stream:
                yield stream.read()
            with open(os.path.join(root, "proc", pid, "stat"), encoding="utf-8", errors="replace") as stream:
                pid = stream.read().rpartition(")")[2].split()[1]
        except OSError:
            return


def interface_of(address: str, interfaces: t.Iterable[str], inet6: str) -> str | None:
    """The interface that has an address, or None. inet6: the text of /proc/net/if_inet6."""
    wanted = ipaddress.ip_address(address)
    wanted = getattr(wanted, "ipv4_mapped", None) or wanted
    if wanted.version == 6:
        fields = [line.split() for line in inet6.splitlines()]
        return next((line[5] for line in fields if len(line) == 6 and int(line[0], 16) == int(wanted)), None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for name in interfaces:
            request = struct.pack("256s", name.encode())
            try:
                answer = fcntl.ioctl(asker, SIOCGIFADDR, request)
            except OSError:
                continue
            if answer[20:24] == wanted.packed:
                return name
    return None


def neighbor_limits(root: str = "/") -> dict[str, int]:
    """The size of the kernel's neighbor table of each address family, in entries; empty where they are another machine's, as in a container."""
    sizes = {
        family: content(os.path.join(root, f"proc/sys/net/{family}/neigh/default/gc_thresh3"))
        for family in ("ipv4", "ipv6")
    }
    return {family: int(size) for family, size in sizes.items() if size}


def parse_units(text: str) -> dict[str, dict[str, bool]]:
    """State of each unit in the output of `systemctl show --property=Id,LoadState,ActiveState,UnitFileState`."""
    units = {}
    for values in property_blocks(text):
        if "Id" in values:
            units[values["Id"]] = {
                "exists": values.get("LoadState") == "loaded",
                "active": values.get("ActiveState") == "active",
                "enabled": values.get("UnitFileState", "") in ("enabled", "static", "alias", "indirect", "generated"),
            }
    return units


def kernel_has_module(name: str, root: str = "/") -> bool:
    """Whether a kernel module is loaded, built in, or can be loaded on demand by this host."""
    if os.path.isdir(os.path.join(root, "sys/module", name)):
        return True
    folder = os.path.join(root, "lib/modules", os.uname().release)
    if _mentions(os.path.join(folder, "modules.builtin"), name):
        return True
    # A container sees its machine's module files and may still not load one.
    return _may_load_modules(root) and _mentions(os.path.join(folder, "modules.dep"), name)


def _mentions(path: str, name: str) -> bool:
    try:
        with open(path, encoding="utf-8") as stream:
            return any(f"/{name}.ko" in line.partition(":")[0] for line in stream)
    except OSError:
        return False


def _may_load_modules(root: str) -> bool:
    try:
        with open(os.path.join(root, "proc/self/status"), encoding="utf-8") as stream:
            effective = next(line for line in stream if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return False
    return bool(int(effective.split()[1], 16) >> CAP_SYS_MODULE & 1)


def read_interfaces(root: str = "/") -> dict[str, dict[str, t.Any]]:
    """MTU, link state, and arp_ignore (0: answers ARP for every address of the host) of each interface, from sysfs and procfs."""
    folder = os.path.join(root, "sys/class/net")
    found = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        try:
            with open(os.path.join(path, "mtu"), encoding="ascii") as stream:
                mtu = int(stream.read())
            with open(os.path.join(path, "operstate"), encoding="ascii") as stream:
                up = stream.read().strip() in ("up", "unknown")
        except OSError:
            continue
        ignore = content(os.path.join(root, "proc/sys/net/ipv4/conf", name, "arp_ignore"))
        found[name] = {
            "mtu": mtu,
            "up": up,
            "physical": os.path.exists(os.path.join(path, "device")),
            "arp_ignore": int(ignore or 0),
        }
    return found


def parse_memory(text: str) -> int:
    """The host's memory in bytes, from /proc/meminfo (proc(5))."""
    line = next(line for line in text.splitlines() if line.startswith("MemTotal:"))
    return int(line.split()[1]) * 1024


def frr_notes(folder: str = "/etc/overloom/frr") -> list[dict[str, str]]:
    """The modules of FRR that keep something for an owner, from the names of their files."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    found = (re.fullmatch(r"(.+)-(frr_[a-z]+)\.json", name) for name in names)
    return [{"module": match.group(2), "owner": match.group(1)} for match in found if match]


def missing_commands(wanted: t.Iterable[str]) -> list[str]:
    """Those of the wanted commands that are in no folder where an administrator's commands are."""
    return [name for name in wanted if shutil.which(name, path=SBIN) is None]

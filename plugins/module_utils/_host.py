# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role must know of a host before it changes it, read from files, with one process for the services.

This file is private to the collection.
"""
from __future__ import annotations

import os
import shlex
import shutil
import typing as t

SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CAP_SYS_MODULE = 16  # capabilities(7)


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


def parse_units(text: str) -> dict[str, dict[str, bool]]:
    """State of each unit in the output of `systemctl show --property=Id,LoadState,ActiveState,UnitFileState`."""
    units = {}
    for block in text.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
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
    """Name, MTU, link state, and master of each interface, from sysfs."""
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
        found[name] = {"mtu": mtu, "up": up, "physical": os.path.exists(os.path.join(path, "device"))}
    return found


def missing_commands(wanted: t.Iterable[str]) -> list[str]:
    """Those of the wanted commands that are in no folder where an administrator's commands are."""
    return [name for name in wanted if shutil.which(name, path=SBIN) is None]

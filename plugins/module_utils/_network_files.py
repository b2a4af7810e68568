# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces that a host's own network configuration names: systemd-networkd, NetworkManager, ifupdown, netplan.

What they make may not be there yet, as a cable is out or the host has not been rebooted since. This file is private to the collection.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host import SBIN, content

# Each with the program that reads it, as upgrades leave the files of the former manager: "" for that of systemd itself.
FILES = (
    ("/etc/systemd/network/*.netdev", ""),
    ("/etc/systemd/network/*.network", ""),
    ("/etc/NetworkManager/system-connections/*.nmconnection", "NetworkManager"),
    ("/etc/network/interfaces", "ifup"),
    ("/etc/network/interfaces.d/*", "ifup"),
    ("/etc/netplan/*.yaml", "netplan"),
)


class Named(t.NamedTuple):
    """An interface that a file names.

    made: whether the file makes it; else it configures one that is there. addressed: with addresses that it gets by itself, as at boot.
    """

    name: str
    path: str
    made: bool
    addressed: bool


def read() -> list[Named]:
    """What the host's files name, but for those of the collection, and of managers that the host does not have."""
    used = [pattern for pattern, program in FILES if not program or shutil.which(program, path=SBIN)]
    paths = [
        path for pattern in used for path in sorted(glob.glob(pattern)) if "overloom" not in os.path.basename(path)
    ]
    return [named for path in paths for named in parse(path, content(path))]


def parse(path: str, text: str) -> list[Named]:
    """The interfaces that one file names; pure."""
    text = re.sub(r"(?m)^\s*[#;].*\n?", "", text)
    if path.endswith((".netdev", ".network")):
        addressed = bool(re.search(r"(?mi)^\s*(Address|DHCP)\s*=\s*(?!(?:no|none|false|off|0)\s*$)\S", text))
        return [Named(name, path, path.endswith(".netdev"), addressed) for name in _values(text, "Name")]
    if path.endswith(".nmconnection"):
        made = "ethernet" not in _values(text, "type")
        # Installers leave a connection for each NIC, which nobody starts.
        starts = "false" not in _values(text, "autoconnect")
        addressed = starts and bool({"auto", "manual"} & {*_values(text, "method")})
        return [Named(name, path, made, addressed) for name in _values(text, "interface-name")]
    if path.endswith(".yaml"):
        return _netplan(path, text)
    return _ifupdown(path, text)


def _ifupdown(path: str, text: str) -> list[Named]:
    """The stanzas of interfaces(5); one that no `auto` or `allow-...` names is started by nobody."""
    stanzas = re.findall(r"(?m)^\s*iface\s+(\S+)\s+inet6?\s+(\S+)((?:\n(?!\s*(?:iface|auto|allow-)).*)*)", text)
    started = {name for line in re.findall(r"(?m)^\s*(?:auto|allow-\S+)\s+(.*)$", text) for name in line.split()}
    makes = re.compile(r"(?m)^\s*(bridge[_-]ports|bond[_-]slaves|ovs_type\s+OVSBridge|vlan[_-]raw)")
    return [
        Named(name, path, bool(makes.search(rest)), name in started and way in ("static", "dhcp", "auto"))
        for name, way, rest in stanzas
    ]


def _values(text: str, key: str) -> list[str]:
    """The words of each line KEY=words."""
    return [word for line in re.findall(rf"(?m)^\s*{key}\s*=\s*(.*)$", text) for word in line.split()]


def _netplan(path: str, text: str) -> list[Named]:
    """Netplan's kinds are keys of `network`, and each one's interfaces are keys below, one level deeper; their options are one level deeper still."""
    found: list[Named] = []
    kind, depth, deeper = "", 0, 0
    for line in text.splitlines():
        match = re.match(r"( *)[\"']?([^\s\"':]+)[\"']?:", line)
        if not match:
            continue
        indent, key = len(match[1]), match[2]
        if re.fullmatch(r"ethernets|bridges|bonds|vlans|tunnels|vrfs|dummy-devices|wifis", key):
            kind, depth = key, 0
        elif kind and (not depth or indent == depth):
            depth, deeper = indent, 0
            found.append(Named(key, path, kind not in ("ethernets", "wifis"), False))
        elif depth and indent < depth:
            kind = ""
        elif kind:
            deeper = deeper or indent
            # Name servers have addresses, too.
            if indent == deeper and re.match(r"\s*(addresses\s*:(?!\s*\[\s*\])|dhcp[46]\s*:\s*(true|yes|on)\b)", line):
                found[-1] = found[-1]._replace(addressed=True)
    return found

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces that a host's own network configuration names: systemd-networkd, NetworkManager, ifupdown, netplan, libvirt.

What they make may not be there yet, as a cable is out or the host has not been rebooted since. This file is private to the collection.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._host import SBIN, content

# Each with the program that reads it, as upgrades leave the files of the former manager: "" for that of systemd itself.
FILES = (
    ("/etc/systemd/network/*.netdev", ""),
    ("/etc/systemd/network/*.network", ""),
    ("/etc/NetworkManager/system-connections/*.nmconnection", "NetworkManager"),
    ("/etc/network/interfaces", "ifup"),
    ("/etc/network/interfaces.d/*", "ifup"),
    ("/etc/netplan/*.yaml", "netplan"),
    ("/etc/libvirt/qemu/networks/*.xml", ""),
)
# libvirt makes the bridge of a network of these kinds; those of the others are there.
_LIBVIRT_MAKES = ("nat", "route", "open", None)


class Named(t.NamedTuple):
    """An interface that a file names.

    made: whether the file makes it; else it configures one that is there. used: by itself, as at boot, it gets addresses or becomes a part
    of a bridge or a bond, or has VLANs upon it.
    """

    name: str
    path: str
    made: bool
    used: bool


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
        found = re.search(r"(?mi)^\s*(Address|DHCP|Bridge|Bond|VLAN|VRF)\s*=\s*(?!(?:no|none|false|off|0)\s*$)\S", text)
        return [Named(name, path, path.endswith(".netdev"), bool(found)) for name in _values(text, "Name")]
    if path.endswith(".nmconnection"):
        made = "ethernet" not in _values(text, "type")
        # Installers leave a connection for each NIC, which nobody starts.
        starts = "false" not in _values(text, "autoconnect")
        plugged = _values(text, "master") + _values(text, "controller")
        used = starts and bool({"auto", "manual"} & {*_values(text, "method")} or plugged)
        return [Named(name, path, made, used) for name in _values(text, "interface-name")]
    if path.endswith(".yaml"):
        return _netplan(path, text)
    if path.endswith(".xml"):
        return _libvirt(path, text)
    return _ifupdown(path, text)


def _libvirt(path: str, text: str) -> list[Named]:
    """The bridge of a libvirt network, which is there while the network is active."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError:
        return []
    mode = next((forward.get("mode", "nat") for forward in root.iterfind("forward")), None)
    names = [bridge.get("name", "") for bridge in root.iterfind("bridge") if mode in _LIBVIRT_MAKES]
    return [Named(name, path, True, False) for name in names if name]


_MAKES = re.compile(
    r"(?m)^\s*(bridge[_-]ports|bond[_-](slaves|mode)|ovs_type\s+OVS(?!Port\s*$)|vlan[_-](raw|id)|vxlan[_-]id|vrf[_-]table)"
)
_PARTS = re.compile(r"(?m)^\s*(?:bridge[_-]ports|bond[_-]slaves|ovs_ports|ovs_bonds|vlan[_-]raw[_-]device)\s+(.*)$")
_PLUGGED = re.compile(r"(?m)^\s*(ovs_bridge|bond[_-]master)\s+\S")


def _ifupdown(path: str, text: str) -> list[Named]:
    """The stanzas of interfaces(5), also without a family (ifupdown2); one that no `auto` or `allow-...` names is started by nobody."""
    text = text.replace("\\\n", " ")
    stanzas = re.findall(
        r"(?m)^[ \t]*iface[ \t]+(\S+)(?:[ \t]+inet6?[ \t]+(\S+))?.*((?:\n(?!\s*(?:iface|auto|allow-|source|mapping)).*)*)",
        text,
    )
    started = {name for line in re.findall(r"(?m)^\s*(?:auto|allow-\S+)\s+(.*)$", text) for name in line.split()}
    found = []
    for name, way, rest in stanzas:
        starts = name in started
        used = way in ("static", "dhcp", "auto") or bool(_PLUGGED.search(rest))
        found.append(Named(name, path, bool(_MAKES.search(rest)), starts and used))
        parts = [part for line in _PARTS.findall(rest) for part in line.split() if starts and part != "none"]
        found += [Named(part, path, False, True) for part in parts]
    return found


def _values(text: str, key: str) -> list[str]:
    """The words of each line KEY=words."""
    return [word for line in re.findall(rf"(?m)^\s*{key}\s*=\s*(.*)$", text) for word in line.split()]


_KINDS = "ethernets|bridges|bonds|vlans|tunnels|vrfs|dummy-devices|virtual-ethernets|wifis"


def _netplan(path: str, text: str) -> list[Named]:
    """Netplan's kinds are keys of `network`, and each one's interfaces are keys below, one level deeper; their options are one level deeper still."""
    found: list[Named] = []
    kind, depth, deeper = "", 0, 0
    # Lists are often written item by item.
    for line in re.sub(r"(?m):[ ]*\n\s*-[ ]+((?:.*\n\s*-[ ]+)*.*)$", _listed, text).splitlines():
        match = re.match(r"( *)[\"']?([^\s\"':]+)[\"']?:", line)
        if not match:
            continue
        indent, key = len(match[1]), match[2]
        if re.fullmatch(_KINDS, key):
            kind, depth = key, 0
        elif kind and (not depth or indent == depth):
            depth, deeper = indent, 0
            found.append(Named(key, path, kind not in ("ethernets", "wifis"), False))
            one = len(found) - 1
        elif depth and indent < depth:
            kind = ""
        elif kind:
            deeper = deeper or indent
            # Name servers have addresses, too.
            if indent == deeper:
                found[one] = found[one]._replace(used=found[one].used or bool(_ADDRESSED.match(line)))
                found += [Named(part, path, False, True) for part in _parts(key, line[match.end() :])]
    return found


_ADDRESSED = re.compile(r"\s*(addresses\s*:(?!\s*\[\s*\])|dhcp[46]\s*:\s*(true|yes|on)\b)")


def _listed(match: re.Match[str]) -> str:
    return ": [" + re.sub(r"\n\s*-[ ]+", ", ", match[1]) + "]"


def _parts(key: str, value: str) -> list[str]:
    """What a bridge, a bond or a VLAN takes."""
    return re.findall(r"[^\s\[\],\"']+", value) if key in ("interfaces", "link") else []

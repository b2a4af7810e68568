# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own interfaces as files of ifupdown (interfaces(5)), with the words of ifenslave for bonds.

This file is private to the collection. Everything here is pure.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host_network.declaration import Item, Kept

FOLDER = "/etc/network/interfaces.d"
PREFIX = "overloom-"
NOTE = "# overloom: "
_HEAD = "# Made by overloom.fabric (host_network); the next run of it replaces what is changed here.\n"
_SETTINGS = {
    "mode": "mode",
    "miimon": "miimon",
    "updelay": "updelay",
    "downdelay": "downdelay",
    "ad_lacp_rate": "lacp-rate",
    "xmit_hash_policy": "xmit-hash-policy",
    "primary": "primary",
}


def path_of(name: str) -> str:
    """The file of an interface. `source-directory` takes letters, digits, _ and - alone in a name."""
    return f"{FOLDER}/{PREFIX}" + re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):02x}", name)


def files(kept: t.Iterable[Kept], _foreign: t.Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """The text and mode of each file."""
    return {path_of(one.item.name): (_stanzas(one), 0o644) for one in kept}


def _stanzas(one: Kept) -> str:
    """An interface: a stanza for each address, of which the first has all the rest."""
    item = one.item
    rest = [*_device(item), *([f"mtu {item.mtu}"] if item.mtu else [])]
    lines = [f"auto {item.name}"]
    for address in item.addresses or ("",):
        family = "inet6" if ":" in address else "inet"
        lines.append(f"iface {item.name} {family} {'static' if address else 'manual'}")
        lines += [f"    {line}" for line in ([f"address {address}"] if address else []) + rest]
        rest = []
    return f"{NOTE}{one.note()}\n{_HEAD}" + "\n".join(lines) + "\n"


def _device(item: Item) -> list[str]:
    if item.members:
        settings = [f"bond-{_SETTINGS[key]} {value}" for key, value in item.bond_settings().items()]
        return [f"bond-slaves {' '.join(item.members)}", *settings]
    if item.parent:
        # The word vlan-raw-device needs the package vlan, or a name that says the number.
        there = f"ip link show dev {item.name} >/dev/null 2>&1"
        return [
            f"pre-up ip link set dev {item.parent} up",
            f"pre-up {there} || ip link add link {item.parent} name {item.name} type vlan id {item.vlan}",
            f"post-down ! {there} || ip link delete dev {item.name}",
        ]
    return []


def defined(text: str) -> list[str]:
    """The interfaces that a file of interfaces(5) has a stanza for."""
    joined = re.sub(r"\\\n", " ", text)
    return re.findall(r"(?m)^\s*iface\s+(\S+)", joined)


def sourced(text: str) -> list[str]:
    """The patterns of the files that a file of interfaces(5) reads besides."""
    found = []
    for word, pattern in re.findall(r"(?m)^\s*(source|source-directory)\s+(\S+)", text):
        found.append(pattern if word == "source" else f"{pattern}/*")
    return found

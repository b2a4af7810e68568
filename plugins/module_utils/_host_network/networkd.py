# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own interfaces as files of systemd-networkd (systemd.netdev(5), systemd.network(5)).

This file is private to the collection. Everything here is pure.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host_network.declaration import Item, Kept

FOLDER = "/etc/systemd/network"
# Before the host's own files, of which the first that matches counts.
PREFIX = "00-overloom-net-"
DROPIN = "overloom-net-"
NOTE = "# overloom: "
_HEAD = "# Made by overloom.fabric (host_network); the next run of it replaces what is changed here.\n"
_SETTINGS = {
    "mode": "Mode",
    "miimon": "MIIMonitorSec",
    "updelay": "UpDelaySec",
    "downdelay": "DownDelaySec",
    "ad_lacp_rate": "LACPTransmitRate",
    "xmit_hash_policy": "TransmitHashPolicy",
}


def path_of(name: str, kind: str) -> str:
    """The file of an interface; kind: `netdev` or `network`."""
    return f"{FOLDER}/{PREFIX}{name}.{kind}"


def dropin_of(network_file: str, vlan: str) -> str:
    """The file beside another's .network file, by which the interface of that one carries a VLAN."""
    return f"{FOLDER}/{os.path.basename(network_file)}.d/{DROPIN}{vlan}.conf"


def for_one(text: str) -> bool:
    """Whether a .network file of others is for one interface alone: by its name, its hardware's address, or its place."""
    section = "".join(re.findall(r"(?ms)^\[Match\]\s*?$(.*?)(?=^\[|\Z)", text))
    values = re.findall(r"(?m)^\s*(?:Name|MACAddress|PermanentMACAddress|Path)\s*=\s*(\S+)\s*$", section)
    return any(value[0] != "!" and not set(value) & set("*?[") for value in values)


def files(kept: t.Iterable[Kept], foreign: t.Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """The text and mode of each file. foreign: of interfaces that others configure, the file that does so."""
    kept = list(kept)
    own = {one.item.name: one for one in kept}
    stacked: dict[str, list[str]] = {}
    for one in kept:
        if one.item.parent:
            stacked.setdefault(one.item.parent, []).append(one.item.name)
    made: dict[str, str] = {}
    for one in kept:
        item = one.item
        made[path_of(item.name, "network")] = _network(one, stacked.get(item.name, ()))
        if item.kind != "nic":
            made[path_of(item.name, "netdev")] = _netdev(item)
        for member in item.members or ():
            made[path_of(member, "network")] = _member(item, member)
    for parent, vlans in stacked.items():
        if parent in own:
            continue
        for vlan in vlans if parent in foreign else ():
            made[dropin_of(foreign[parent], vlan)] = f"{_HEAD}[Network]\nVLAN={vlan}\n"
        if parent not in foreign:
            made[path_of(parent, "network")] = _carrier(parent, vlans)
    return {path: (text, 0o644) for path, text in made.items()}


def _text(*sections: tuple[str, t.Sequence[str]]) -> str:
    return _HEAD + "\n".join("\n".join([f"[{name}]", *lines, ""]) for name, lines in sections if lines)


def _mtu(item: Item) -> list[str]:
    return [f"MTUBytes={item.mtu}"] if item.mtu else []


def _netdev(item: Item) -> str:
    """The device."""
    base = [f"Name={item.name}", f"Kind={item.kind}", *_mtu(item)]
    if item.kind == "vlan":
        return _text(("NetDev", base), ("VLAN", [f"Id={item.vlan}"]))
    unit = {"miimon": "ms", "updelay": "ms", "downdelay": "ms"}
    settings = [
        f"{_SETTINGS[key]}={value}{unit.get(key, '')}"
        for key, value in item.bond_settings().items()
        if key in _SETTINGS
    ]
    return _text(("NetDev", base), ("Bond", settings))


def _network(one: Kept, vlans: t.Sequence[str]) -> str:
    """The interface itself, with its addresses, also while it has no carrier."""
    item = one.item
    addresses = item.addresses or ()
    six = any(":" in address for address in addresses)
    lines = [
        f"LinkLocalAddressing={'ipv6' if six else 'no'}",
        "IPv6AcceptRA=no",
        "ConfigureWithoutCarrier=yes",
        *(f"Address={address}" for address in addresses),
        *(f"VLAN={vlan}" for vlan in vlans),
    ]
    link = [*_mtu(item), "RequiredForOnline=no"]
    return f"{NOTE}{one.note()}\n" + _text(("Match", [f"Name={item.name}"]), ("Link", link), ("Network", lines))


def _member(bond: Item, name: str) -> str:
    """A NIC of a bond."""
    lines = [f"Bond={bond.name}", *(["PrimarySlave=yes"] if bond.bond_settings().get("primary") == name else [])]
    return _text(("Match", [f"Name={name}"]), ("Link", [*_mtu(bond), "RequiredForOnline=no"]), ("Network", lines))


def _carrier(name: str, vlans: t.Sequence[str]) -> str:
    """A NIC that is nobody's, and carries VLANs of ours."""
    lines = [
        "LinkLocalAddressing=no",
        "IPv6AcceptRA=no",
        "ConfigureWithoutCarrier=yes",
        *(f"VLAN={one}" for one in vlans),
    ]
    return _text(("Match", [f"Name={name}"]), ("Link", ["RequiredForOnline=no"]), ("Network", lines))

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own interfaces as keyfiles of NetworkManager (nm-settings-keyfile(5)).

This file is private to the collection. Everything here is pure.
"""

from __future__ import annotations

import os
import typing as t
import uuid

from ansible_collections.overloom.fabric.plugins.module_utils._host_network.declaration import Item, Kept

FOLDER = "/etc/NetworkManager/system-connections"
PREFIX = "overloom-"
SUFFIX = ".nmconnection"
# NetworkManager keeps this setting when it writes a connection anew, and no remark.
NOTE = "overloom.note="
# Of several connections of one interface, that of the highest priority is started; others have 0.
_PRIORITY = 100
# What nmcli says of a VLAN or a member whose bond is just being made; how often it is started, and after how many seconds again.
_NOT_YET = ("could not be readied", "dependency of the connection failed")
TRIES, PAUSE = 10, 1.0
_NAMESPACE = uuid.UUID("4f5e2c1a-9d0b-5c63-8a57-6f7665726c6f")
_SETTINGS = {
    "mode": "mode",
    "miimon": "miimon",
    "updelay": "updelay",
    "downdelay": "downdelay",
    "ad_lacp_rate": "lacp_rate",
    "xmit_hash_policy": "xmit_hash_policy",
    "primary": "primary",
}


def path_of(name: str) -> str:
    """The keyfile of an interface."""
    return f"{FOLDER}/{PREFIX}{name}{SUFFIX}"


def kept(path: str) -> bool:
    """Whether somebody keeps the connection of a keyfile: what is below /run is made up by NetworkManager, or comes from Netplan's files."""
    return bool(path) and (not path.startswith("/run/") or os.path.basename(path).startswith("netplan-"))


def once_more(argv: t.Sequence[str], status: int, said: str, tries: int) -> bool:
    """Whether a connection that did not start is started again, as what it is upon may not be ready yet. tries: how often it was."""
    starts = tuple(argv[:1]) == ("nmcli",) and "up" in argv
    return starts and status != 0 and tries < TRIES and any(words in said for words in _NOT_YET)


def uuid_of(owner: str, name: str) -> str:
    """The UUID of an interface's connection, which is the same on each run."""
    return str(uuid.uuid5(_NAMESPACE, f"{owner}/{name}"))


def files(kept: t.Iterable[Kept], _foreign: t.Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """The text and mode of each keyfile; NetworkManager takes none that others may read."""
    made: dict[str, str] = {}
    for one in kept:
        made[path_of(one.item.name)] = _connection(one)
        for member in one.item.members or ():
            made[path_of(member)] = _member(one, member)
    return {path: (text, 0o600) for path, text in made.items()}


def _text(sections: t.Iterable[tuple[str, t.Mapping[str, t.Any]]]) -> str:
    blocks = []
    for name, settings in sections:
        if settings:
            blocks.append("\n".join([f"[{name}]", *(f"{key}={value}" for key, value in settings.items()), ""]))
    return "\n".join(blocks)


def _mtu(item: Item) -> tuple[str, dict[str, t.Any]]:
    return "ethernet", {"mtu": item.mtu} if item.mtu else {}


def _base(owner: str, name: str, kind: str) -> dict[str, t.Any]:
    return {
        "id": f"overloom {name}",
        "uuid": uuid_of(owner, name),
        "type": kind,
        "interface-name": name,
        "autoconnect-priority": _PRIORITY,
    }


def _connection(one: Kept) -> str:
    """The connection of the interface itself."""
    item = one.item
    kind = {"bond": "bond", "vlan": "vlan", "nic": "ethernet"}[item.kind]
    base = _base(one.owner, item.name, kind)
    settings: dict[str, t.Any] = {}
    if item.kind == "bond":
        base["autoconnect-slaves"] = 1
        settings = {_SETTINGS[key]: value for key, value in item.bond_settings().items()}
    if item.kind == "vlan":
        settings = {"flags": 1, "id": item.vlan, "parent": item.parent}
    own = [(kind, settings)] if settings else []
    note = {NOTE.rstrip("="): one.note()}
    return _text([("connection", base), *own, _mtu(item), *_addresses(item), ("user", note)])


def _addresses(item: Item) -> list[tuple[str, dict[str, t.Any]]]:
    made = []
    for section, six in (("ipv4", False), ("ipv6", True)):
        given = [address for address in item.addresses or () if (":" in address) == six]
        numbered = {f"address{number}": address for number, address in enumerate(given, 1)}
        made.append((section, {"method": "manual" if given else "disabled", **numbered}))
    return made


def _member(bond: Kept, name: str) -> str:
    """The connection of a NIC of a bond."""
    base = {**_base(bond.owner, name, "ethernet"), "master": bond.item.name, "slave-type": "bond"}
    return _text([("connection", base), _mtu(bond.item)])

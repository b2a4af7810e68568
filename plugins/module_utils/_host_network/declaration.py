# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller declares of the host's own interfaces: bonds, VLANs and NICs, and what is noted of them in the files that make them.

This file is private to the collection. Everything here is pure.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import (
    check_addresses,
    check_interface_name,
    check_mtu,
    check_once,
    check_range,
    listed,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

MODES = ("active-backup", "balance-rr", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
HASH_POLICIES = ("layer2", "layer2+3", "layer3+4", "encap2+3", "encap3+4")
# Milliseconds between two looks at the links, where nothing is said; the kernel's own 0 would never notice a lost link.
MIIMON = 100
LONGEST_DELAY = 2**31 - 1
INTERFACE: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str"},
    "members": {"type": "list", "elements": "str"},
    "mode": {"type": "str", "choices": list(MODES)},
    "primary": {"type": "str"},
    "miimon": {"type": "int"},
    "up_delay": {"type": "int"},
    "down_delay": {"type": "int"},
    "lacp_rate": {"type": "str", "choices": ["slow", "fast", ""]},
    "xmit_hash_policy": {"type": "str", "choices": [*HASH_POLICIES, ""]},
    "parent": {"type": "str"},
    "vlan": {"type": "int"},
    "mtu": {"type": "int"},
    "addresses": {"type": "list", "elements": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
# What each manager takes as it is: a pattern, a quote or a line break in a name would mean something to one of them.
_NAME = re.compile(r"[A-Za-z0-9_.@+-]+", re.ASCII)
_OF_BONDS = ("members", "mode", "primary", "miimon", "up_delay", "down_delay", "lacp_rate", "xmit_hash_policy")
_OF_VLANS = ("parent", "vlan")


class Item(t.NamedTuple):
    """One interface; None for what is left out. Delays and miimon are in milliseconds, mtu in bytes, where 0 leaves it to the manager."""

    name: str
    members: tuple[str, ...] | None = None
    mode: str | None = None
    primary: str | None = None
    miimon: int | None = None
    up_delay: int | None = None
    down_delay: int | None = None
    lacp_rate: str | None = None
    xmit_hash_policy: str | None = None
    parent: str | None = None
    vlan: int | None = None
    mtu: int | None = None
    addresses: tuple[str, ...] | None = None
    present: bool = True

    @property
    def kind(self) -> str:
        """`bond`, `vlan`, or `nic` for an interface that is there by itself."""
        return "bond" if self.members else "vlan" if self.parent else "nic"

    @property
    def what(self) -> str:
        """The interface in a sentence."""
        kind = {"bond": "bond", "vlan": "VLAN", "nic": "NIC"}[self.kind]
        return f"{kind} {self.name}"

    def uses(self) -> tuple[str, ...]:
        """The interfaces that have to be there for this one: members, parent, or the NIC itself."""
        return self.members or ((self.parent,) if self.parent else (self.name,))

    def bond_settings(self) -> dict[str, t.Any]:
        """The settings of a bond under the kernel's names (`ip -details link`), with defaults; without those that its mode does not have."""
        mode = self.mode or MODES[0]
        found: dict[str, t.Any] = {
            "mode": mode,
            "miimon": MIIMON if self.miimon is None else self.miimon,
            "updelay": self.up_delay or 0,
            "downdelay": self.down_delay or 0,
        }
        if mode == "802.3ad":
            found["ad_lacp_rate"] = self.lacp_rate or "slow"
        if mode in _HASHED:
            found["xmit_hash_policy"] = self.xmit_hash_policy or "layer2"
        if mode in _WITH_PRIMARY and self.primary:
            found["primary"] = self.primary
        return found


_HASHED = ("balance-xor", "802.3ad", "balance-tlb")
_WITH_PRIMARY = ("active-backup", "balance-tlb", "balance-alb")


class Kept(t.NamedTuple):
    """An interface that is ours. former: of each NIC it uses, what it was before: `up`, `mtu`, `addresses`, and `by`, the files of others."""

    owner: str
    item: Item
    former: t.Mapping[str, t.Mapping[str, t.Any]]

    def note(self) -> str:
        """It as one line of a file."""
        options = {key: value for key, value in self.item._asdict().items() if value is not None and key != "present"}
        said = {"owner": self.owner, "interface": options, "former": self.former}
        return json.dumps(said, sort_keys=True, separators=(",", ":"))


def noted(line: str) -> Kept | None:
    """What a note says; None for a line that is none."""
    try:
        said = json.loads(line)
        options: dict[str, t.Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in said["interface"].items()
        }
        return Kept(said["owner"], Item(**options), said["former"])
    except (ValueError, KeyError, TypeError):
        return None


def items(params: t.Mapping[str, t.Any]) -> list[Item]:
    """The declared interfaces, each option by itself checked. Raises FabricError with the first wrong input."""
    made = [_item(row) for row in listed(params, "interfaces", "interface")]
    check_once([item.name for item in made], "interface")
    return made


def _item(row: t.Mapping[str, t.Any]) -> Item:
    if not row["name"]:
        raise FabricError("name is missing; give the interface, such as bond0")
    name = _checked_name(row["name"], "name")
    what = f"interface {name}"
    members = (
        None if row["members"] is None else tuple(_checked_name(one, f"{what}: members") for one in row["members"])
    )
    for option in ("miimon", "up_delay", "down_delay"):
        if row[option] is not None:
            check_range(row[option], 0, LONGEST_DELAY, f"{what}: {option}", "milliseconds")
    if row["vlan"] is not None and not 1 <= row["vlan"] <= 4094:
        raise FabricError(f"{what}: vlan {row['vlan']} is no VLAN; give 1 to 4094")
    addresses = None if row["addresses"] is None else check_addresses(row["addresses"], f"{what}: addresses")
    if row["mtu"]:
        check_mtu(row["mtu"], addresses or (), f"{what}: mtu")
    return Item(
        name=name,
        members=members,
        primary=_checked_name(row["primary"], f"{what}: primary") if row["primary"] else row["primary"],
        parent=_checked_name(row["parent"], f"{what}: parent") if row["parent"] else row["parent"],
        addresses=addresses,
        present=row["state"] == "present",
        **{
            option: row[option]
            for option in ("mode", "miimon", "up_delay", "down_delay", "lacp_rate", "xmit_hash_policy", "vlan", "mtu")
        },
    )


def is_name(name: str) -> bool:
    """Whether each manager takes the name of an interface as it is."""
    return bool(_NAME.fullmatch(name))


def _checked_name(name: str, what: str) -> str:
    check_interface_name(name, what)
    if not is_name(name):
        raise FabricError(f"{what}: {name!r} is no name that each manager takes; use letters, digits and _.@+-")
    return name


def merged(item: Item, old: Item | None) -> Item:
    """What is wanted of an interface: an option that is left out is as it was. Raises FabricError for what does not go together."""
    if old is not None:
        given = {key: value for key, value in item._asdict().items() if value is not None}
        if item.mode not in (None, old.mode):
            # What was said of the former mode goes with it.
            old = old._replace(primary=None, lacp_rate=None, xmit_hash_policy=None)
        item = old._replace(**given)
        if item.members and item.parent or item.kind != old.kind:
            raise FabricError(f"{old.what} cannot become another kind of interface; remove it first with state: absent")
    _check(item)
    return item


def _check(item: Item) -> None:
    """Refuse options that do not go together."""
    what = item.what
    if item.members and item.parent:
        raise FabricError(
            f"interface {item.name}: members and parent exclude each other; a VLAN of a bond is an interface of its own"
        )
    for options, has, of in (
        (_OF_BONDS, item.members, "a bond, which has members"),
        (_OF_VLANS, item.parent, "a VLAN, which has a parent"),
    ):
        for option in options:
            if getattr(item, option) not in (None, "", ()) and not has:
                raise FabricError(
                    f"interface {item.name}: {option} is for {of}; leave it out, or complete the interface"
                )
    if item.parent and item.vlan is None:
        raise FabricError(f"{what}: vlan is missing; give its number, 1 to 4094")
    if item.parent == item.name or item.name in (item.members or ()):
        raise FabricError(f"{what} is named as its own {'parent' if item.parent else 'member'}; correct the name")
    if item.members:
        _check_bond(item, what, item.members)
    if item.mtu:
        check_mtu(item.mtu, item.addresses or (), f"{what}: mtu")


def _check_bond(item: Item, what: str, members: tuple[str, ...]) -> None:
    if len(members) < 2:
        raise FabricError(f"{what}: members names {members[0]} alone; a bond needs two or more NICs")
    for name in members:
        if members.count(name) > 1:
            raise FabricError(f"{what}: members names {name} twice; name each NIC once")
    settings = item.bond_settings()
    for option, key, modes in (
        ("primary", "primary", _WITH_PRIMARY),
        ("lacp_rate", "ad_lacp_rate", ("802.3ad",)),
        ("xmit_hash_policy", "xmit_hash_policy", _HASHED),
    ):
        if getattr(item, option) and key not in settings:
            raise FabricError(
                f"{what}: {option} is for the mode {' or '.join(modes)}; leave it out with {settings['mode']}"
            )
    if item.primary and item.primary not in members:
        raise FabricError(f"{what}: primary {item.primary} is not among its members; name one of {', '.join(members)}")
    for option, key in (("up_delay", "updelay"), ("down_delay", "downdelay")):
        # The kernel would round it.
        if settings[key] and (not settings["miimon"] or settings[key] % settings["miimon"]):
            raise FabricError(
                f"{what}: {option} {settings[key]} is no multiple of miimon {settings['miimon']}; correct one of them"
            )

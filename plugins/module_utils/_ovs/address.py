# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of Open vSwitch's ports, and whether they are up: what its database does not keep.

The kernel has them now; a systemd unit gives them to the port again at boot, and whenever ovs-vswitchd makes it anew.
This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.before import was_there
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    AddBridge,
    AddPort,
    Database,
    MovePort,
    Op,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Item
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import Put
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Unit, ovs_port_unit, unit_name, unit_steps

KIND = "port"


class Device(t.NamedTuple):
    """What is declared of a port's device. None leaves as it is, empty addresses clear."""

    name: str
    addresses: tuple[str, ...] | None
    up: bool | None

    @property
    def declared(self) -> bool:
        """Is anything declared of it?"""
        return self.addresses is not None or self.up is not None


class Target(t.NamedTuple):
    """What a port's device will be, from what is declared and what its unit notes.

    up: as declared, or None. A device with addresses is up unless it is declared otherwise.
    before: the addresses that a device of a port which was there before had; None for any other.
    """

    addresses: tuple[str, ...]
    up: bool | None
    owner: str
    before: tuple[str, ...] | None = None

    def wanted(self, name: str) -> _ip.Wanted:
        """In the terms of ip(8)."""
        return _ip.Wanted(name, up=True if self.up is None and self.addresses else self.up, addresses=self.addresses)


class Steps(t.NamedTuple):
    """The steps before and after Open vSwitch's own, and the touched devices before and after them.

    Units go before their ports, so that a run that is killed in between leaves none behind.
    """

    first: list[t.Any]
    last: list[t.Any]
    before: dict[str, Item]
    after: dict[str, Item]


def noted(unit: Unit | None) -> Target | None:
    """What a unit gives its port."""
    if unit is None or "Owner" not in unit.notes():
        return None
    notes = unit.notes()
    up = {"yes": True, "no": False}.get(notes.get("Up", ""))
    before = tuple(notes["Before"].split()) if "Before" in notes else None
    return Target(tuple(notes.get("Addresses", "").split()), up, notes["Owner"], before)


def remembered(units: t.Mapping[str, Unit], owner: str) -> bool:
    """Whether a device of this owner's may have to get its former addresses back."""
    targets = [noted(unit) for unit in units.values()]
    return any(target.owner == owner and target.before is not None for target in targets if target)


def port_unit(name: str, target: Target) -> Unit | None:
    """The unit that a device needs, or None if there is nothing to keep."""
    if not target.addresses and not target.up and not target.before:
        return None
    notes = {"Owner": target.owner, "Addresses": " ".join(target.addresses)}
    if target.before is not None:
        notes["Before"] = " ".join(target.before)
    if target.up is not None:
        notes["Up"] = "yes" if target.up else "no"
    return ovs_port_unit(name, notes, _ip.interface_batch(None, target.wanted(name)))


def compare(
    found: Database,
    after: Database,
    ops: t.Iterable[Op],
    devices: t.Sequence[Device],
    interfaces: t.Mapping[str, _ip.Interface],
    units: t.Mapping[str, Unit],
    owner: str,
    purge: bool,
    running: bool,
) -> Steps:
    """The pure comparison of the declared devices, and of the units of ports that go or are made anew.

    interfaces: as found, before the ops. units: those of the kind port. running: does systemd run this host?
    """
    ops = list(ops)
    fresh = _made_anew(found, after, ops)
    # Open vSwitch in user space takes a device down for a moment to give it another MAC address.
    bounced = {op.record for op in ops if isinstance(op, Put) and (op.table, op.column) == ("Interface", "mac")}
    declared = {device.name: device for device in devices}
    wanted_units: dict[str, Unit | None] = {}
    lines: list[str] = []
    diff = _Diff()
    for name in sorted({*declared, *fresh}):
        device = declared.get(name, Device(name, None, None))
        file = unit_name(KIND, name)
        old = noted(units.get(file))
        if not device.declared and (old is None or name not in fresh):
            continue
        interface = None if name in fresh else interfaces.get(name)
        target = _target(device, old, owner)
        if _is_first(device, old) and interface is not None and _was_there(after, name, owner):
            target = target._replace(before=interface.addresses)
        wanted_units[file] = port_unit(name, target)
        wanted = target.wanted(name)
        if device.addresses is None and interface is not None:
            wanted = wanted._replace(addresses=None)
        lines += _ip.interface_batch(interface, wanted, name in bounced)
        diff.device(interface, wanted)
    for file, unit in units.items():
        if file not in wanted_units and _orphaned(unit, found, after, owner, purge):
            wanted_units[file] = None
            lines += _given_back(unit, after, interfaces, diff)
    changes = unit_steps(units, wanted_units, running)
    for file, new_unit in sorted(wanted_units.items()):
        diff.unit(file, units.get(file), new_unit)
    last = [*_ip.batch_steps(lines), *changes.put]
    return Steps(changes.drop, last, diff.before, diff.after)


def _given_back(unit: Unit, after: Database, interfaces: t.Mapping[str, _ip.Interface], diff: _Diff) -> list[str]:
    """The lines that give a port which stays the addresses that it had before ours."""
    name, before = unit.notes().get("Name", ""), _before(unit)
    interface = interfaces.get(name) if name in _interfaces(after) else None
    if interface is None or before is None:
        return []
    wanted = _ip.Wanted(name, addresses=before)
    diff.device(interface, wanted)
    return _ip.interface_batch(interface, wanted)


def _target(device: Device, old: Target | None, owner: str) -> Target:
    """What a device will be: as declared, and where nothing is, as its unit notes."""
    if old is None:
        return Target(device.addresses or (), device.up, owner)
    return Target(
        old.addresses if device.addresses is None else device.addresses,
        old.up if device.up is None else device.up,
        # Another's unit of a port that is declared here stays another's.
        old.owner,
        old.before,
    )


def _is_first(device: Device, old: Target | None) -> bool:
    """Whether a device is given addresses for the first time; an earlier unit may have been about the state alone."""
    return device.addresses is not None and (old is None or (old.before is None and not old.addresses))


def _before(unit: Unit) -> tuple[str, ...] | None:
    """The addresses that a unit notes as those that were there before."""
    target = noted(unit)
    return target.before if target else None


def _orphaned(unit: Unit, found: Database, after: Database, owner: str, purge: bool) -> bool:
    """Is it the unit of a port that goes or is given back or, with purge, our unit of one that is gone already?"""
    target, name = noted(unit), unit.notes().get("Name", "")
    if target is None:
        return False
    if name in _interfaces(after):
        return target.owner == owner and _was_there(found, name, owner) and not _was_there(after, name, owner)
    return name in _interfaces(found) or (purge and target.owner == owner)


def _was_there(database: Database, interface: str, owner: str) -> bool:
    """Whether the port of an interface, or the bridge whose local port it is, was there before this owner."""
    ports = [database.tables["Port"][port] for port, members in database.members.items() if interface in members]
    bridge = database.tables["Bridge"].get(interface)
    return any(was_there(row, owner) for row in (*ports, *([bridge] if bridge else [])))


def _interfaces(database: Database) -> set[str]:
    """The interfaces of all ports: a unit may be that of a bond's member."""
    return {name for members in database.members.values() for name in members}


class _Diff:
    """The touched devices before and after."""

    def __init__(self) -> None:
        self.before: dict[str, Item] = {}
        self.after: dict[str, Item] = {}

    def device(self, interface: _ip.Interface | None, wanted: _ip.Wanted) -> None:
        """What changes of a device in the kernel."""
        held = interface.addresses if interface else ()
        if wanted.addresses is not None and set(held) != set(wanted.addresses):
            self._note(wanted.name, "addresses", list(held), list(wanted.addresses))
        is_up = bool(interface and interface.up)
        if wanted.up is not None and is_up != wanted.up:
            self._note(wanted.name, "up", is_up, wanted.up)

    def unit(self, file: str, old: Unit | None, new: Unit | None) -> None:
        """What changes at boot."""
        named_by = new or old
        if named_by is not None and _essence(old) != _essence(new):
            self._note(named_by.notes().get("Name", file), "at_boot", _kept(old), _kept(new))

    def _note(self, name: str, field: str, before: t.Any, after: t.Any) -> None:
        self.before.setdefault(name, {})[field] = before
        self.after.setdefault(name, {})[field] = after


def _essence(unit: Unit | None) -> tuple[str, frozenset[str]] | None:
    """A unit's text and what wants it, in no order."""
    return None if unit is None else (unit.content, frozenset(unit.wanted_by))


def _kept(unit: Unit | None) -> list[str] | None:
    """What a unit does and when, without its comments."""
    if unit is None:
        return None
    return [*(line for line in unit.content.splitlines() if line.startswith("Exec")), *sorted(unit.wanted_by)]


def _made_anew(found: Database, after: Database, ops: t.Iterable[Op]) -> set[str]:
    """The ports whose device Open vSwitch makes anew in these ops, so that it is down and without addresses."""
    fresh: set[str] = set()
    for op in ops:
        if isinstance(op, AddBridge):
            fresh.add(op.bridge)
        elif isinstance(op, (AddPort, MovePort)):
            fresh.add(op.port)
        elif isinstance(op, Put) and (op.table, op.column) == ("Interface", "type"):
            fresh.add(op.record)
        elif isinstance(op, Put) and (op.table, op.column) == ("Bridge", "datapath_type"):
            fresh.update(port for port, bridge in found.bridge_of.items() if bridge == op.record)
    return {p for p in fresh if p in after.members and after.interface(p)["type"] == "internal"}


def check(device: Device, kind: str, what: str) -> None:
    """Refuse addresses where frames to them would never arrive."""
    if device.addresses and kind != "internal":
        raise FabricError(
            f"{what}: addresses applies only to type internal; its type is {kind or 'system'}, so put them on an internal port of the bridge"
        )
    if device.up is not None and kind not in ("internal", "", "system", "tap"):
        raise FabricError(f"{what}: up does not apply to type {kind}; leave it out")

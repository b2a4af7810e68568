# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open vSwitch objects that were there before us: what is refused on them, what is remembered, what is given back.

This file is private to the collection. The former value of each setting that we change on such an object is kept in its
external_ids, so that it moves, comes back after a reboot and goes with the object. The rule itself is in _owner.py.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    AddMember,
    Database,
    DelMember,
    MovePort,
    Op,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import STATUS, TABLES
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import CLEAR, Put
from ansible_collections.overloom.fabric.plugins.module_utils._owner import (
    OVS_BEFORE,
    OVS_OWNER,
    Caller,
    is_ovs_mark,
    may_change,
)

Row = t.Dict[str, t.Any]
# (column, key or None for the whole column) -> the value before our first change; CLEAR: there was none.
Former = t.Dict[t.Tuple[str, t.Any], t.Any]

# Settings without which a bridge still works for nobody: what a person who prepares it gives it.
_PREPARED = {"datapath_type", "fail_mode", "protocols", "other_config", "external_ids", "controller", "ports"}
# What Open vSwitch, or the tool that made the bridge, notes there by itself.
_HARMLESS_KEYS = ("bridge-id", "overloom-")
# Rows beside those of others in columns where others' stay.
_SHARED_COLUMNS = ("mirrors", "collector_sets")


# The record ----------------------------------------------------------------------------------------------------------


def _packed(value: t.Any) -> t.Any:
    """A value of the model as JSON that keeps tuples and keys of any kind apart."""
    if isinstance(value, dict):
        return {"map": [[key, _packed(item)] for key, item in sorted(value.items(), key=str) if key not in STATUS]}
    if isinstance(value, tuple):
        return {"set": list(value)}
    return value


def _unpacked(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: _unpacked(item) for key, item in value["map"]} if "map" in value else tuple(value["set"])
    return value


def former_text(former: Former) -> str:
    """The record as external_ids hold it."""
    cells = sorted(former.items(), key=lambda cell: (cell[0][0], str(cell[0][1])))
    return json.dumps([[column, key, _packed(value)] for (column, key), value in cells], separators=(",", ":"))


def former_of(row: Row, owner: str) -> Former | None:
    """What this owner found on an object that was there before; None for an object that it made, or never changed."""
    text = row["external_ids"].get(OVS_BEFORE + owner)
    if text is None:
        return None
    try:
        return {(column, key): _unpacked(value) for column, key, value in json.loads(text)}
    except (ValueError, TypeError, KeyError):
        # Somebody has written into it: what cannot be read cannot be given back.
        return {}


def was_there(row: Row, owner: str) -> bool:
    """Was the object there before this owner?"""
    return OVS_BEFORE + owner in row["external_ids"]


def _held(row: Row, column: str, key: t.Any) -> t.Any:
    return row.get(column) if key is None else row.get(column, {}).get(key, CLEAR)


def _vacant(table: str, column: str, value: t.Any) -> bool:
    """Is it what a new row has?"""
    return value is CLEAR or value == TABLES[table][column].default


def given_back(table: str, name: str, row: Row, owner: str) -> list[Put]:
    """The changes that put back the former settings of a row, and take the record from it."""
    former = former_of(row, owner)
    if former is None:
        return []
    ops = []
    for (column, key), value in former.items():
        held = _held(row, column, key)
        if column.startswith("@") or held == value:
            continue
        uuid = held.get("_uuid", "") if isinstance(held, dict) and key is not None else ""
        ops.append(Put(table, name, column, key, value, uuid))
    return [*ops, Put(table, name, "external_ids", OVS_BEFORE + owner, CLEAR)]


# Who uses a bridge ---------------------------------------------------------------------------------------------------


def users(
    found: Database, bridge: str, owner: str | None, flows: t.Callable[[str], t.Sequence[str]] = lambda _bridge: ()
) -> list[str]:
    """Who uses a bridge besides this owner, in words; empty for a fresh bridge that nobody uses.

    owner: None for all but this collection. flows: from a bridge to the flows, groups and meters of others on it, in words.
    """
    row = found.tables["Bridge"][bridge]
    former = (former_of(row, owner) or {}) if owner else {}
    said = [f"controller {target}" for target in row["controller"] if ("controller", target) not in former]
    if former.get(("fail_mode", None), row["fail_mode"]) == "secure":
        said.append("fail_mode secure")
    said += _used_columns(row, former, owner)
    ids = [
        key
        for key in sorted(row["external_ids"])
        if not key.startswith(_HARMLESS_KEYS) and ("external_ids", key) not in former
    ]
    said += [f"external_ids {key}" for key in ids]
    marks = {port: found.tables["Port"][port]["external_ids"].get(OVS_OWNER) for port in found.ports_of(bridge)}
    said += [f"port {port}" for port, mark in marks.items() if mark is None or owner is not None and mark != owner]
    return [*said, *flows(bridge)]


# Columns of a bridge that Open vSwitch itself writes, or that name it.
_ITS_OWN = ("_uuid", "name", "datapath_id", "status", "rstp_status")


def _used_columns(row: Row, former: t.Mapping[t.Any, t.Any], owner: str | None) -> list[str]:
    """The columns, and rows that they hold, which somebody has set for a use of the bridge."""
    said: list[str] = []
    for column in TABLES["Bridge"]:
        if column not in row or column in _PREPARED or column in _ITS_OWN:
            continue
        held = row[column]
        if isinstance(held, dict) and TABLES["Bridge"][column].kind != "row":
            others = [key for key in held if (column, key) not in former and not _ours(held[key], owner)]
            said += [f"{column} {key}" for key in sorted(others, key=str)]
        elif not _vacant("Bridge", column, former.get((column, None), held)):
            said.append(column)
    return said


def _ours(row: t.Any, owner: str | None) -> bool:
    return isinstance(row, dict) and owner is not None and row.get("external_ids", {}).get(OVS_OWNER) == owner


# Changes -------------------------------------------------------------------------------------------------------------


class Before:
    """Judges the changes of one call to rows that were there before it.

    words: how errors call an option, from the change. flows: see `users`. left: what an empty value has left as others set it, in words.
    """

    def __init__(
        self,
        found: Database,
        caller: Caller,
        words: t.Callable[[Put], str],
        flows: t.Callable[[str], t.Sequence[str]] = lambda _bridge: (),
    ) -> None:
        self._found = found
        self._caller = caller
        self._words = words
        self._flows = flows
        self._users: dict[str, list[str]] = {}
        self.left: list[str] = []
        self._port_of = {name: port for port, members in found.members.items() for name in members}

    def settle(self, ops: t.Sequence[Op]) -> list[Op]:
        """The ops that are to be done. Raises FabricError for one that would harm others.

        On an object that was there before, an empty value takes back our own setting and leaves what others set.
        """
        settled: list[Op] = []
        formers: dict[tuple[str, str], Former] = {}
        for op in ops:
            if isinstance(op, (MovePort, AddMember, DelMember)):
                self._structure(op, formers)
                settled.append(op)
            elif isinstance(op, Put) and self._existed(op.table, op.record):
                settled += self._put(op, formers)
            else:
                settled.append(op)
        for (table, record), former in formers.items():
            # The switch is nobody's: that there is a record says nothing of it.
            text = former_text(former) if former or table != "Open_vSwitch" else CLEAR
            key = OVS_BEFORE + self._caller.owner
            if self._row(table, record)["external_ids"].get(key) != text:
                settled.append(Put(table, record, "external_ids", key, text))
        return settled

    def _row(self, table: str, record: str) -> Row:
        return self._found.tables[table][record]

    def _existed(self, table: str, record: str) -> bool:
        return table in ("Open_vSwitch", "Bridge", "Port", "Interface") and record in self._found.tables[table]

    def _object(self, table: str, record: str) -> tuple[str, str]:
        """The (table, name) of the object that carries the mark for a row: a bridge for its local port, a port for its interfaces."""
        if table == "Open_vSwitch":
            return table, record
        if table == "Interface":
            record = self._port_of[record]
        return ("Bridge" if table == "Bridge" or record in self._found.tables["Bridge"] else "Port"), record

    def _what(self, table: str, record: str) -> str:
        """How errors call the object behind a row."""
        owner_table, name = self._object(table, record)
        if table == "Open_vSwitch":
            return "switch"
        return f"bridge {name}" if owner_table == "Bridge" else f"port {name} of bridge {self._found.bridge_of[name]}"

    def _mark(self, table: str, record: str) -> str | None:
        owner_table, name = self._object(table, record)
        return self._row(owner_table, name)["external_ids"].get(OVS_OWNER)

    def _foreign(self, table: str, record: str) -> bool:
        """Was it there before the caller, so that what is changed of it is remembered?"""
        owner_table, name = self._object(table, record)
        row = self._row(owner_table, name)
        return row["external_ids"].get(OVS_OWNER) != self._caller.owner or was_there(row, self._caller.owner)

    def _former(self, table: str, record: str, formers: dict[tuple[str, str], Former]) -> Former:
        if (table, record) not in formers:
            formers[table, record] = former_of(self._row(table, record), self._caller.owner) or {}
        return formers[table, record]

    def _structure(self, op: t.Any, formers: dict[tuple[str, str], Former]) -> None:
        if not self._foreign("Port", op.port):
            return
        bridge = self._found.bridge_of[op.port]
        moves = isinstance(op, MovePort)
        change = f"it would move to bridge {op.target}" if moves else "its members would change"
        may_change(f"port {op.port} of bridge {bridge}", self._mark("Port", op.port), self._caller, change)
        place = ("@bridge", None) if moves else ("@members", None)
        self._former("Port", op.port, formers).setdefault(place, bridge if moves else self._found.members[op.port])

    def _put(self, op: Put, formers: dict[tuple[str, str], Former]) -> list[Op]:
        """One change of a setting as it is to be done."""
        if not self._foreign(op.table, op.record):
            return [op]
        former, cell = self._former(op.table, op.record, formers), (op.column, op.key)
        held = _held(self._row(op.table, op.record), op.column, op.key)
        empties = op.value is not False and _vacant(op.table, op.column, op.value)
        if not is_ovs_mark(op.key) and cell not in former:
            self._judge(op, held, empties)
        if not empties:
            former.setdefault(cell, held)
            return [op]
        if cell not in former:
            self.left.append(
                f"{self._what(op.table, op.record)}: its {self._words(op)} was set by others and stays; give a value to change it"
            )
            return []
        value = former.pop(cell)
        return [] if value == held else [op._replace(value=value)]

    def _judge(self, op: Put, held: t.Any, empties: bool) -> None:
        mark = self._mark(op.table, op.record)
        if mark == self._caller.owner or self._caller.adopt:
            return
        change = f"its {self._words(op)} would be {'emptied' if empties else 'changed'}"
        if op.table == "Open_vSwitch":
            # The switch is nobody's; each of its settings is whose who made it.
            if not empties and not _vacant(op.table, op.column, held):
                may_change("switch", mark, self._caller, change, way="leave the option out")
            return
        beside = held is CLEAR and op.key is not None and op.column in ("external_ids", *_SHARED_COLUMNS)
        table, name = self._object(op.table, op.record)
        bridge = name if table == "Bridge" else self._found.bridge_of[name]
        bridge_mark = self._row("Bridge", bridge)["external_ids"].get(OVS_OWNER)
        if bridge not in self._users:
            self._users[bridge] = (
                users(self._found, bridge, self._caller.owner, self._flows) if bridge_mark != self._caller.owner else []
            )
        replaces = table == "Port" and (op.column == "type" or not _vacant(op.table, op.column, held))
        if not beside and (self._users[bridge] or replaces):
            what = self._what(op.table, op.record)
            may_change(what, mark, self._caller, change, self._users[bridge] if table == "Bridge" else ())


# Side effects --------------------------------------------------------------------------------------------------------


def flushes(before: Row, after: Row) -> bool:
    """Does Open vSwitch drop all flows, groups and meters of a bridge in this change of its row?

    It does when the bridge comes under a controller's rule or leaves it (its first controller comes, its last one goes, fail_mode
    turns to or from secure), and when another datapath makes it anew. Tried with Open vSwitch 3.1.
    """
    return any(told(before) != told(after) for told in (_netdev, _secure, _controlled))


def _netdev(row: Row) -> bool:
    return row["datapath_type"] == "netdev"


def _secure(row: Row) -> bool:
    return row["fail_mode"] == "secure"


def _controlled(row: Row) -> bool:
    """Has it a controller that rules it, and not only one that is let in, as one that Open vSwitch listens for?"""
    kinds = (
        controller["type"] or ("primary" if target.startswith(("tcp:", "ssl:")) else "service")
        for target, controller in row["controller"].items()
    )
    return "primary" in kinds


# Giving back ---------------------------------------------------------------------------------------------------------


def moves_back(found: Database, port: str, owner: str) -> bool:
    """Does a port go to another bridge when it is given back?"""
    bridge = (former_of(found.tables["Port"][port], owner) or {}).get(("@bridge", None))
    return bridge in found.tables["Bridge"] and bridge != found.bridge_of[port]


def port_given_back(found: Database, port: str, owner: str) -> list[Op]:
    """The changes that make a port what it was before this owner changed it."""
    row = found.tables["Port"][port]
    former = former_of(row, owner) or {}
    ops: list[Op] = []
    if moves_back(found, port, owner):
        ops.append(MovePort(port, row["_uuid"], found.bridge_of[port], former["@bridge", None]))
    held = found.members[port]
    members = former.get(("@members", None), held)
    ops += [AddMember(port, name) for name in members if name not in held and name not in found.tables["Interface"]]
    ops += [DelMember(port, name, found.tables["Interface"][name]["_uuid"]) for name in held if name not in members]
    ops += given_back("Port", port, row, owner)
    for name in (name for name in held if name in members):
        ops += given_back("Interface", name, found.tables["Interface"][name], owner)
    return ops


def bridge_given_back(found: Database, bridge: str, owner: str) -> list[Op]:
    """The changes that make a bridge and its local port what they were before this owner changed them."""
    return [
        *given_back("Bridge", bridge, found.tables["Bridge"][bridge], owner),
        *port_given_back(found, bridge, owner),
    ]

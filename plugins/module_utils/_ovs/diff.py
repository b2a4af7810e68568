# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference that changes of Open vSwitch's database make, as a person reads it.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    AddBridge,
    AddMember,
    AddPort,
    Database,
    DelBridge,
    DelMember,
    DelPort,
    MovePort,
    Op,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Item, Option, owner_of
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import Put
from ansible_collections.overloom.fabric.plugins.module_utils._owner import OVS_OWNER, is_ovs_mark


def described(
    found: Database, after: Database, ops: t.Iterable[Op], options: t.Sequence[Option], noun: str
) -> tuple[dict[str, Item], dict[str, Item]]:
    """The touched objects before and after the ops, in the words of the options.

    options: of the module; where two share a name and a place, either serves. noun: what a port is called.
    """
    words = _Words(found, after, options, noun)
    before, later = _Side(found, words), _Side(after, words, is_new=True)
    for op in ops:
        if isinstance(op, Put):
            before.note(op)
            later.note(op)
        else:
            before.note_structure(op, _was(op, found))
            later.note_structure(op, _will_be(op, after))
    return before.objects, later.objects


def _was(op: Op, found: Database) -> Item | None:
    """What an op takes away of an object's structure; None if it takes nothing."""
    if isinstance(op, DelBridge):
        return {"state": "present"}
    if isinstance(op, DelPort):
        return {"bridge": op.bridge}
    if isinstance(op, MovePort):
        return {"bridge": op.source}
    if isinstance(op, (AddMember, DelMember)):
        return {"members": list(found.members[op.port])}
    return None


def _will_be(op: Op, after: Database) -> Item | None:
    """What an op makes of an object's structure; None if it makes nothing."""
    if isinstance(op, AddBridge):
        return {"state": "present"}
    if isinstance(op, AddPort):
        return {"bridge": op.bridge, **({} if op.members == (op.port,) else {"members": list(op.members)})}
    if isinstance(op, MovePort):
        return {"bridge": op.target}
    if isinstance(op, (AddMember, DelMember)):
        return {"members": list(after.members[op.port])}
    return None


class _Words:
    """How the difference calls objects and settings."""

    def __init__(self, found: Database, after: Database, options: t.Sequence[Option], noun: str) -> None:
        self._noun = noun
        self._options: dict[tuple[str, str, str | None], Option] = {(o.table, o.column, o.key): o for o in options}
        self._port_of: dict[str, str] = {}
        for database in (found, after):
            for port, members in database.members.items():
                self._port_of.update(dict.fromkeys(members, port))

    def option(self, put: Put) -> Option | None:
        """The option whose place it is."""
        return self._options.get((put.table, put.column, put.key))

    def whole(self, put: Put) -> Option | None:
        """The option for the whole map that it is an entry of."""
        return self._options.get((put.table, put.column, None))

    def record(self, table: str, record: str) -> str:
        """The name of a row."""
        if table == "Open_vSwitch":
            return "switch"
        if table == "Bridge":
            return f"bridge {record}"
        if table == "Interface" and self._port_of.get(record) != record:
            return f"interface {record}"
        return f"{self._noun} {record}"


class _Side:
    """The touched objects, before or after."""

    def __init__(self, database: Database, words: _Words, is_new: bool = False) -> None:
        self.objects: dict[str, Item] = {}
        self._database = database
        self._words = words
        self._is_new = is_new

    def note_structure(self, op: Op, fields: Item | None) -> None:
        """An object that comes, goes or moves."""
        if fields is None:
            return
        if isinstance(op, (AddBridge, DelBridge)):
            self._fields("Bridge", op.bridge).update(fields)
        elif isinstance(op, (AddPort, DelPort, MovePort, AddMember, DelMember)):
            self._fields("Port", op.port).update(fields)

    def note(self, put: Put) -> None:
        """A setting, if its object is there on this side."""
        row = self._database.tables[put.table].get(put.record)
        if row is None:
            return
        fields = self._fields(put.table, put.record)
        option = self._words.option(put)
        if is_ovs_mark(put.key):
            # On a row that carries the record of an object alone, such as an interface, there is no owner to show.
            if put.key == OVS_OWNER or put.table != "Interface":
                fields["owner"] = owner_of(row)
        elif option is not None:
            fields[option.name] = self._shown(option, row)
        else:
            self._note_entry(fields, put, row)

    def _fields(self, table: str, record: str) -> Item:
        return self.objects.setdefault(self._words.record(table, record), {})

    def _shown(self, option: Option, row: Item) -> t.Any:
        value = option.value(row)
        if value is None:
            return None
        if option.secret:
            value = "********" + (" (new)" if self._is_new else "")
        return option.kind.shown(value)

    def _note_entry(self, fields: Item, put: Put, row: Item) -> None:
        """An entry of a map."""
        whole = self._words.whole(put)
        entries = fields.setdefault(whole.name if whole else put.column, {})
        if put.key in row[put.column]:
            value = row[put.column][put.key]
            entries[put.key] = whole.kind.entry(value) if whole else value

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared of a northbound database, held against what it has: the comparison of `ovn_northbound`, and its view of rows.

This file is private to the collection and pure.

A row is known by its owner's mark in external_ids and by its keys. Rows of others stay byte for byte, wherever they hang, but
for what the caller adopts; what is adopted keeps its former values in its own external_ids, and is given back, not removed.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.database import (
    GLOBAL,
    Create,
    Destroy,
    Id,
    Move,
    Op,
    Put,
    Row,
    Tables,
    applied,
    is_new,
    new_row,
    transaction,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.declaration import Key, Node, words
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.tables import (
    ADDRESS_SET,
    NAME_KEY,
    PLACES,
    PORT_GROUP,
    ROOTS,
    ROUTER_PORT,
    SWITCH,
    SWITCH_PORT,
    TABLES,
    Field,
    Table,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Item
from ansible_collections.overloom.fabric.plugins.module_utils._owner import (
    OVS_BEFORE,
    OVS_OWNER,
    Settings,
    in_words,
    may_change,
    may_remove,
    returned,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Change, FabricError

IDS = "external_ids"
# Of an adopted row that was moved: where it was.
_PLACE = "@place"
# What of a match is text, and what of the rest names a port group or an address set (ovn-sb(5), match of Logical_Flow).
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAMED = re.compile(r"([@$])([A-Za-z_.][A-Za-z0-9_.]*)")
# Release of OVN, and the first patch of it whose northd has several forwarding groups on a switch.
_SEVERAL_GROUPS = {(23, 6): 5, (23, 9): 5, (24, 3): 3}
# A list of rows, in one row: (table, row, column).
Place = t.Tuple[str, Id, str]


class Wanted(t.NamedTuple):
    """What a call declares. options: keys of NB_Global's options, or None where they are not declared."""

    nodes: list[Node]
    options: dict[str, t.Any] | None


def owner_of(row: Row) -> str | None:
    """Whose mark a row carries."""
    return row.get(IDS, {}).get(OVS_OWNER)


class _Rows:
    """The rows that were found, by what tells them apart."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.place: dict[str, Place] = {}
        self._by_key: dict[tuple[str, Key], list[Id]] = {}
        for above, child in PLACES:
            for uuid, row in tables[above.name].items():
                for ref in row[child.column]:
                    self.place[ref] = (above.name, Id(uuid), child.column)
        for table in TABLES.values():
            for uuid, row in sorted(tables[table.name].items()):
                self._by_key.setdefault((table.name, table.key_of(row)), []).append(Id(uuid))

    def named(self, table: Table, key: Key, place: Place | None) -> list[Id]:
        """The rows with these keys: in a list, or, of what is unique or hangs in no list, anywhere."""
        rows = self._by_key.get((table.name, key), [])
        return rows if table.unique or place is None else [ref for ref in rows if self.place.get(ref) == place]

    def row(self, table: Table, ref: str) -> Row:
        """A row."""
        return self.tables[table.name][ref]

    def hanging(self, place: Place) -> tuple[str, ...]:
        """The rows in a list."""
        table, above, column = place
        return self.tables[table].get(above, {}).get(column, ())


class _Comparison:
    """Collects the ops; each step of it sees what was found, and what the steps before have matched."""

    def __init__(self, found: Tables, settings: Settings) -> None:
        self.found, self.settings = _Rows(found), settings
        self.removals: list[Op] = []
        self.creations: list[Op] = []
        self.changes: list[Op] = []
        self.destroyed: list[Op] = []
        self.warnings: list[str] = []
        # What is declared, by its row; and the rows that go.
        self.matched: dict[Id, Node] = {}
        self.gone: set[str] = set()
        self._removed: set[str] = set()
        # Rows that move to another list.
        self.leaving: set[str] = set()
        self._names: dict[tuple[str, Key], Id] = {}
        self._new: dict[Id, Row] = {}

    @property
    def ops(self) -> list[Op]:
        """All ops, in the order in which they can be done."""
        return [*self._released(), *self.removals, *self.creations, *self.changes, *self.destroyed]

    def _released(self) -> list[Op]:
        """The changes that let rows go to which only rows refer that go as well: the database counts these until they are gone."""
        going = {op.row for op in self.destroyed if isinstance(op, Destroy)}
        ops: list[Op] = []
        for table in TABLES.values():
            leaving = sorted(uuid for uuid in self.found.tables[table.name] if uuid in self._removed)
            rows = [(uuid, self.found.tables[table.name][uuid]) for uuid in leaving]
            for field in (field for field in table.fields if field.strong):
                referring = [uuid for uuid, row in rows if row[field.column] in going]
                ops += [Put(table.name, Id(uuid), field.column, None, None) for uuid in referring]
        return ops

    # Which rows ----------------------------------------------------------------------------------------------------

    def match(self, node: Node, place: Place | None) -> None:
        """Find or make the row of a declared one, and of those below it."""
        ref = self._found(node, place)
        if not node.present:
            if ref is not None:
                self._absent(node, ref)
            return
        if ref is None:
            ref = self._create(node, place)
        elif place is not None and self.found.place.get(ref) != place:
            self._move(node.table, ref, place)
        self.matched[ref] = node
        self._names[node.table.name, node.key] = ref
        for child, below in node.below():
            self.match(below, (node.table.name, ref, child.column))

    def _move(self, table: Table, ref: Id, place: Place) -> None:
        self.leaving.add(ref)
        self.creations.append(Move(table.name, ref, self.found.place[ref], place))

    def _found(self, node: Node, place: Place | None) -> Id | None:
        rows = [ref for ref in self.found.named(node.table, node.key, place) if ref not in self.matched]
        own = [ref for ref in rows if owner_of(self.found.row(node.table, ref)) == self.settings.owner]
        if own or not rows:
            return own[0] if own else None
        if len(rows) > 1:
            raise FabricError(f"{node.what}: others have made {len(rows)} of this name; choose another name")
        mark = owner_of(self.found.row(node.table, rows[0]))
        if node.present and not node.is_place:
            may_change(node.what, mark, self.settings.caller, "it would be changed")
        return rows[0]

    def _create(self, node: Node, place: Place | None) -> Id:
        lacking = [name for name in node.table.required if not (node.cells.get(name) or node.lists.get(name))]
        if lacking:
            raise FabricError(f"{node.what} is not there yet and needs {' and '.join(lacking)}; give {lacking[0]}")
        ref = Id(f"@new{len(self._new) + 1}")
        puts = [
            Put(node.table.name, ref, field.column, field.key, value)
            for field, value in zip(map(node.table.field, node.table.keys), node.key)
            if value != field.kind.canonical(field.default())
        ]
        puts += [Put(node.table.name, ref, column, None, text) for column, text in node.table.fixed]
        if node.table.label and place is not None:
            label = "-".join(str(part) for part in (*self.matched[place[1]].key, *node.key))
            puts.append(Put(node.table.name, ref, node.table.label, None, label))
        puts.append(Put(node.table.name, ref, IDS, OVS_OWNER, self.settings.owner))
        self.creations += [Create(node.table.name, ref, place), *puts]
        self._new[ref] = new_row(node.table.name, puts)
        return ref

    # What goes -----------------------------------------------------------------------------------------------------

    def _absent(self, node: Node, ref: Id) -> None:
        row = self.found.row(node.table, ref)
        may_remove(node.what, owner_of(row), self.settings.caller)
        if self._was_there(row) and not self.settings.adopt:
            self.warnings.append(returned(node.what))
            self._give_back(node.table, ref)
            return
        foreign = self._foreign_below(node.table, ref)
        if foreign and not self.settings.adopt:
            raise FabricError(
                f"{node.what} still has rows that this owner did not make ({in_words(foreign)}); "
                "remove them, or give adopt: true to remove all"
            )
        self._destroy(node.table, ref)

    def _was_there(self, row: Row) -> bool:
        return OVS_BEFORE + self.settings.owner in row[IDS]

    def _is_ours(self, row: Row) -> bool:
        return owner_of(row) == self.settings.owner

    def _foreign_below(self, table: Table, ref: Id) -> list[str]:
        """The rows below one that its owner did not make, in words."""
        found: list[str] = []
        for child in table.children:
            for uuid in self.found.row(table, ref)[child.column]:
                if uuid in self.leaving:
                    continue
                row = self.found.row(child.table, uuid)
                if not self._is_ours(row) or self._was_there(row):
                    found.append(words(child.table, child.table.key_of(row)))
                found += self._foreign_below(child.table, Id(uuid))
        return found

    def _destroy(self, table: Table, ref: Id) -> None:
        """Remove a row with all that hangs below it, but for what moves elsewhere."""
        self.gone.add(ref)
        self._removed.add(ref)
        for child in table.children:
            for uuid in self.found.row(table, ref)[child.column]:
                if uuid not in self.matched and uuid not in self.leaving:
                    self._forget(child.table, Id(uuid))
        place = self.found.place.get(ref)
        if place is None:
            self.destroyed.append(Destroy(table.name, ref))
        else:
            self.removals.append(Move(table.name, ref, place))

    def _forget(self, table: Table, ref: Id) -> None:
        self.gone.add(ref)
        self._removed.add(ref)
        for child in table.children:
            for uuid in self.found.row(table, ref)[child.column]:
                self._forget(child.table, Id(uuid))

    def drop_undeclared(self) -> None:
        """Remove what is ours, hangs in a declared list, and is not declared in it; with purge, wherever it is."""
        undeclared = [
            (table, Id(uuid), row)
            for table in TABLES.values()
            for uuid, row in sorted(self.found.tables[table.name].items())
            if uuid not in self.matched and self._is_ours(row)
        ]
        # What goes back to another list comes first, as it does not keep the row that it leaves.
        for table, ref, row in sorted(undeclared, key=lambda one: _PLACE not in self._former(one[2])):
            if ref not in self.gone and (self.settings.purge or self._in_declared_list(ref)):
                self._drop(table, ref, row)

    def _in_declared_list(self, ref: Id) -> bool:
        place = self.found.place.get(ref)
        above = self.matched.get(place[1]) if place else None
        if place is None or above is None:
            return False
        return any(child.column == place[2] and child.option in above.lists for child in above.table.children)

    def _drop(self, table: Table, ref: Id, row: Row) -> None:
        if self._was_there(row):
            self._give_back(table, ref)
            return
        foreign = self._foreign_below(table, ref)
        if foreign:
            what = words(table, table.key_of(row))
            self.warnings.append(f"{what} is kept, because it has rows of others: {in_words(foreign)}")
            return
        self._destroy(table, ref)

    def _give_back(self, table: Table, ref: Id) -> None:
        """Put back what an adopted row had, and take the marks off; what is ours below it goes."""
        self.gone.add(ref)
        row = self.found.row(table, ref)
        former = self._former(row)
        place = former.pop(_PLACE, None)
        if place and place[1] in self.found.tables.get(place[0], {}) and self.found.place[ref] != place:
            self._move(table, ref, (place[0], Id(place[1]), place[2]))
        ids = former.pop(IDS, {key: text for key, text in row[IDS].items() if not _is_kept(key)})
        named = {key: text for key, text in row[IDS].items() if key == NAME_KEY}
        refers = {field.column for field in table.fields if field.refers}
        for column, value in former.items():
            self.changes += _puts(table.name, ref, row, column, _as_ids(value) if column in refers else value)
        self.changes += _puts(table.name, ref, row, IDS, {**ids, **named})
        for child in table.children:
            for uuid in row[child.column]:
                below = self.found.row(child.table, uuid)
                if uuid not in self.matched and uuid not in self.gone and self._is_ours(below):
                    self._drop(child.table, Id(uuid), below)

    def _former(self, row: Row) -> dict[str, t.Any]:
        """What an adopted row had in the columns that were changed since."""
        try:
            noted = json.loads(row[IDS].get(OVS_BEFORE + self.settings.owner, "{}"))
            return {column: tuple(value) if isinstance(value, list) else value for column, value in noted.items()}
        except (ValueError, AttributeError):
            # Somebody has written into it: what cannot be read cannot be given back.
            return {}

    # What is in them -----------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Set the columns of all declared rows."""
        for ref, node in self.matched.items():
            new = is_new(ref)
            row = self._new[ref] if new else self.found.row(node.table, ref)
            mark = owner_of(row)
            puts = [put for field in node.table.fields for put in self._put(node, ref, row, field)]
            if not new and not node.is_place and (mark != self.settings.owner or self._was_there(row)):
                puts += self._adopt(node, ref, row, puts)
            (self.creations if new else self.changes).extend(puts)

    def _adopt(self, node: Node, ref: Id, row: Row, puts: t.Iterable[Put]) -> list[Put]:
        """The marks of a row that others made, with what it had in the columns that change."""
        former = self._former(row)
        if ref in self.leaving:
            former.setdefault(_PLACE, self.found.place[ref])
        for put in puts:
            held = row[put.column]
            if put.column == IDS:
                held = {key: text for key, text in held.items() if not _is_kept(key)}
            former.setdefault(put.column, held)
        marks = {OVS_OWNER: self.settings.owner, OVS_BEFORE + self.settings.owner: json.dumps(former, sort_keys=True)}
        return [Put(node.table.name, ref, IDS, key, text) for key, text in marks.items() if row[IDS].get(key) != text]

    def _put(self, node: Node, ref: Id, row: Row, field: Field) -> list[Put]:
        if field.name not in node.cells:
            return []
        value = node.cells[field.name]
        table, column = node.table.name, field.column
        if field.refers:
            value = self._referred(node, row, field, value)
            return [] if value == row[column] else [Put(table, ref, column, None, value)]
        if isinstance(value, dict):
            kept = {key: text for key, text in row[column].items() if column == IDS and _is_kept(key)}
            return _puts(table, ref, row, column, {**value, **kept})
        if field.kind.canonical(field.value(row)) == field.kind.canonical(value):
            return []
        return [Put(table, ref, column, field.key, value)]

    def _referred(self, node: Node, row: Row, field: Field, value: t.Any) -> t.Any:
        """The rows that an option names. Of a set that is not exact, what others made stays in it."""
        if field.by:
            own = dict(zip(node.table.keys, node.key))
            keys = [tuple(own[name] for name in field.by)] if value else []
        else:
            keys = [(name,) for name in (value if isinstance(value, tuple) else (value,) if value else ())]
        refs = {self._named(node, field, key) for key in keys}
        if field.stored.kind != "set":
            return next(iter(refs), None)
        if not field.exact:
            refs |= {Id(ref) for ref in row[field.column] if not self._will_be_ours(field.refers, Id(ref))}
        return tuple(sorted(refs))

    def _will_be_ours(self, table: str, ref: Id) -> bool:
        """Is it a row of ours, or one that this call adopts?"""
        node = self.matched.get(ref)
        return self._is_ours(self.found.tables[table].get(ref, {})) or (node is not None and not node.is_place)

    def _named(self, node: Node, field: Field, key: Key) -> Id:
        declared = self._names.get((field.refers, key))
        if declared is not None:
            return declared
        table = TABLES[field.refers]
        rows = [ref for ref in self.found.named(table, key, None) if ref not in self.gone]
        rows = [ref for ref in rows if self._is_ours(self.found.row(table, ref))] or rows
        if len(rows) == 1:
            return rows[0]
        many = f"there are {len(rows)} of it" if rows else "which is neither declared nor in the database"
        raise FabricError(
            f"{node.what}: {field.name} names the {words(table, key)}, {many}; declare it, or correct the name"
        )

    def put_options(self, wanted: dict[str, t.Any] | None) -> None:
        """Set the declared keys of NB_Global's options, remember what was there, and put that back where one is declared no longer."""
        rows = self.found.tables[GLOBAL]
        if wanted is None and not self.settings.purge:
            return
        if not rows:
            if wanted:
                raise FabricError("nb_global_options: the database has no row NB_Global; start ovn-northd first")
            return
        ref, row = next(iter(rows.items()))
        key = OVS_BEFORE + self.settings.owner
        noted = row[IDS].get(key)
        before: dict[str, str | None] = json.loads(noted) if noted else {}
        kept = {name: before.get(name, row["options"].get(name)) for name in wanted or {}}
        target = {**{name: value for name, value in before.items() if name not in kept}, **(wanted or {})}
        for name, value in sorted(target.items()):
            if row["options"].get(name) != value:
                self.changes.append(Put(GLOBAL, Id(ref), "options", name, value))
        note = json.dumps(kept, sort_keys=True) if kept else None
        if note != noted:
            self.changes.append(Put(GLOBAL, Id(ref), IDS, key, note))


def _is_kept(key: str) -> bool:
    """Is it a key of external_ids that belongs to this collection?"""
    return key in (OVS_OWNER, NAME_KEY) or key.startswith(OVS_BEFORE)


def _as_ids(value: t.Any) -> t.Any:
    """References as the ops have them."""
    return tuple(Id(ref) for ref in value) if isinstance(value, tuple) else value and Id(value)


def _puts(table: str, ref: Id, row: Row, column: str, value: t.Any) -> list[Put]:
    """The changes that give a column a value."""
    held = row[column]
    if not isinstance(value, dict):
        return [] if held == value else [Put(table, ref, column, None, value)]
    puts = [Put(table, ref, column, key, item) for key, item in sorted(value.items()) if held.get(key) != item]
    return puts + [Put(table, ref, column, key, None) for key in sorted(held) if key not in value]


# The whole ---------------------------------------------------------------------------------------------------------


def compared(found: Tables, wanted: Wanted, settings: Settings) -> _Comparison:
    """The ops that make the database hold what is declared."""
    comparison = _Comparison(found, settings)
    for node in wanted.nodes:
        comparison.match(node, None)
    comparison.drop_undeclared()
    comparison.fill()
    comparison.put_options(wanted.options)
    return comparison


def compare(found: Tables, wanted: Wanted, settings: Settings, begin: t.Sequence[str]) -> Change:
    """The steps that make the database hold what is declared."""
    comparison = compared(found, wanted, settings)
    ops = comparison.ops
    if not ops:
        return Change([], {}, {}, tuple(comparison.warnings))
    later = applied(found, ops)
    _check_referred(found, later)
    _check_names(later, settings.owner)
    _check_matches(later, settings.owner)
    _check_forwarding_groups(found, later)
    before, after = _sides(found, later)
    return Change(list(transaction(begin, ops, settings.owner)), before, after, tuple(comparison.warnings))


def _check_referred(found: Tables, later: Tables) -> None:
    """Refuse to remove what the database would not let go."""
    for table in TABLES.values():
        for field in table.fields:
            if field.strong:
                for row in later[table.name].values():
                    ref = row[field.column]
                    if ref and ref not in later[field.refers]:
                        gone = TABLES[field.refers]
                        raise FabricError(
                            f"{words(gone, gone.key_of(found[gone.name][ref]))} is still the {field.name} of "
                            f"{words(table, table.key_of(row))}; take it from there first, or declare it again"
                        )


def _check_matches(later: Tables, owner: str) -> None:
    """Refuse a match of ours about a group or set that nobody has: OVN would say so in a log alone, and the rule be none.

    A port group also is two address sets, of its ports' addresses of each family (ovn-nb(5), Port_Group).
    """
    groups = {row["name"] for row in later[PORT_GROUP.name].values()}
    sets = {row["name"] for row in later[ADDRESS_SET.name].values()}
    known = {"@": groups, "$": sets | {f"{name}_ip{version}" for name in groups for version in (4, 6)}}
    for table in TABLES.values():
        for row in later[table.name].values():
            if owner_of(row) != owner or not {"@", "$"} & set(row.get("match", "")):
                continue
            for sign, name in _NAMED.findall(_QUOTED.sub("", row["match"])):
                if name not in known[sign]:
                    what = words(PORT_GROUP if sign == "@" else ADDRESS_SET, (name,))
                    raise FabricError(
                        f"{words(table, table.key_of(row))}: match names the {what}, which is neither declared nor in the database;"
                        " declare it, or correct the name"
                    )


def _check_forwarding_groups(found: Tables, later: Tables) -> None:
    """Refuse a second forwarding group of a switch where ovn-northd would skip groups, or loop for ever and serve nobody any more."""
    version = next((row["options"].get("northd_internal_version", "") for row in found[GLOBAL].values()), "")
    if _takes_several_groups(version):
        return
    for ref, row in later[SWITCH.name].items():
        count = len(row["forwarding_groups"])
        if count > max(1, len(found[SWITCH.name].get(ref, {}).get("forwarding_groups", ()))):
            raise FabricError(
                f"{words(SWITCH, SWITCH.key_of(row))}: forwarding_groups: it would have {count}, and ovn-northd {version.partition('-')[0]}"
                " takes one of a switch (with more it leaves out some, or never ends); give one, or upgrade OVN to 23.06.5, 23.09.5, 24.03.3 or 24.09"
            )


def _takes_several_groups(version: str) -> bool:
    """Whether northd of such a version has several forwarding groups on a switch (OVN's commit b64c5643a); one that is not known may."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if numbers is None:
        return True
    release, patch = (int(numbers[1]), int(numbers[2])), int(numbers[3])
    return release >= (24, 9) or patch >= _SEVERAL_GROUPS.get(release, patch + 1)


def _check_names(later: Tables, owner: str) -> None:
    """Refuse a switch port of ours and a router port of one name: both are the logical port of that name, and northd takes one of them."""
    ports = {row["name"]: row for row in later[SWITCH_PORT.name].values()}
    for row in later[ROUTER_PORT.name].values():
        twin = ports.get(row["name"])
        if twin is not None and owner in (owner_of(row), owner_of(twin)):
            raise FabricError(
                f"port {row['name']} is to be one of a switch and one of a router, which are not told apart by OVN; choose another name for one of them"
            )


def _sides(found: Tables, after: Tables) -> tuple[Item, Item]:
    """Both sides of a change, without the objects that stay as they are."""
    sides = (whole(found), whole(after))
    result: tuple[Item, Item] = ({}, {})
    for option in sides[0]:
        for label in dict.fromkeys([*sides[0][option], *sides[1][option]]):
            held = [side[option].get(label) for side in sides]
            for shown, value in zip(result, held):
                if held[0] != held[1] and value is not None:
                    shown.setdefault(option, {})[label] = value
    return result


def whole(tables: Tables) -> dict[str, Item]:
    """All objects, by their option and their keys."""
    objects: dict[str, Item] = {root.option: {} for root in ROOTS}
    for root in ROOTS:
        for uuid, row in sorted(tables[root.table.name].items()):
            label = label_of(root.table, row)
            objects[root.option][f"{label} {uuid}" if not label or label in objects[root.option] else label] = view(
                tables, root.table, row, keyed=True
            )
    objects["nb_global_options"] = next(({**row["options"]} for row in tables[GLOBAL].values()), {})
    return objects


def label_of(table: Table, row: Row) -> str:
    """The keys of a row as one text."""
    return " ".join(str(part) for part in table.key_of(row) if part not in (None, ""))


def view(tables: Tables, table: Table, row: Row, keyed: bool = False) -> Item:
    """A row with those below it, typed as it would be declared. keyed: each list by the keys of its rows, as a diff needs it."""
    result: Item = {}
    for field in table.fields:
        value = field.value(row)
        if field.refers:
            names = sorted(label_of(TABLES[field.refers], held) for held in _referred_rows(tables, field, value))
            value = bool(names) if field.by else names if field.stored.kind == "set" else next(iter(names), None)
        elif field.name == IDS:
            value = {key: text for key, text in sorted(value.items()) if not _is_kept(key)}
        elif value is not None:
            value = field.kind.shown(value)
        result[field.name] = value
    result["owner"] = owner_of(row)
    for child in table.children:
        below = sorted(
            (tables[child.table.name][ref] for ref in row[child.column]), key=lambda r: str(child.table.key_of(r))
        )
        seen = [(label_of(child.table, held), view(tables, child.table, held, keyed)) for held in below]
        result[child.option] = _by_label(seen) if keyed else [shown for _label, shown in seen]
    return result


def _by_label(seen: t.Iterable[tuple[str, Item]]) -> Item:
    shown: Item = {}
    for label, item in seen:
        # Others may have made the same again.
        shown[label if label not in shown else f"{label} ({len(shown)})"] = item
    return shown


def _referred_rows(tables: Tables, field: Field, value: t.Any) -> list[Row]:
    refs = value if isinstance(value, tuple) else (value,) if value else ()
    return [tables[field.refers][ref] for ref in refs if ref in tables[field.refers]]


def state(found: Tables, nodes: t.Iterable[Node], owner: str) -> Item:
    """The declared objects as they are, by the module's lists."""
    rows = _Rows(found)
    result: Item = {root.option: [] for root in ROOTS}
    options = {root.table.name: root.option for root in ROOTS}
    for node in nodes:
        refs = rows.named(node.table, node.key, None) if node.present else []
        own = [ref for ref in refs if owner_of(rows.row(node.table, ref)) == owner] or refs
        if own:
            result[options[node.table.name]].append(view(found, node.table, rows.row(node.table, own[0])))
    return result

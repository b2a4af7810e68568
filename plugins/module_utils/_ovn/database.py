# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OVN's northbound database through ovn-nbctl: read in one call, changed in one transaction.

This file is private to the collection. Source: ovn-nb(5) for tables and columns; ovn-nbctl(8) for the commands.
"""

from __future__ import annotations

import typing as t
import uuid

from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.tables import PLACES, TABLES, Child, Table, stored
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import MAP, NUMBER, TEXT, Column, value_of
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import argument_bytes, quote
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, Step

# The one row of what holds for the whole database.
GLOBAL = "NB_Global"
_GLOBAL: dict[str, Column] = {
    "_uuid": TEXT,
    "nb_cfg": NUMBER,
    "sb_cfg": NUMBER,
    "hv_cfg": NUMBER,
    "options": MAP,
    "external_ids": MAP,
}
# Bytes of arguments in one call (see _ovs/database.py).
LONGEST = 1_500_000
_NAMESPACE = uuid.UUID("0f6a3d2e-6f76-4e62-9c0b-6f7665726c6f")

# Tables whose rows hang in lists.
_HANGING = {child.table.name for _table, child in PLACES}

Row = t.Dict[str, t.Any]
# Table -> UUID -> column -> value.
Tables = t.Dict[str, t.Dict[str, Row]]


class Id(str):
    """A row's UUID, or @NAME of one that the same call makes."""

    __slots__ = ()


def is_new(ref: str) -> bool:
    """Is it a row that the same call makes?"""
    return ref.startswith("@")


def queries() -> list[str]:
    """The words that ask for every table."""
    return [word for table in (GLOBAL, *TABLES) for word in ("--", "list", table)]


def read_tables(runner: Runner, begin: t.Sequence[str]) -> Tables:
    """Every row of the tables that the modules know, in one call."""
    return decode(runner([*begin, "--format=json", *queries()]))


def decode(text: str) -> Tables:
    """The output of read_tables' call."""
    answers = documents(text)
    names = (GLOBAL, *TABLES)
    if len(answers) != len(names):
        raise FabricError(f"ovn-nbctl answered {len(answers)} of {len(names)} questions; run this again")
    return {name: _rows(name, answer) for name, answer in zip(names, answers)}


def _rows(table: str, document: t.Any) -> dict[str, Row]:
    columns = _GLOBAL if table == GLOBAL else stored(table)
    rows = {}
    for values in document["data"]:
        row = {
            name: value_of(columns[name].kind, value)
            for name, value in zip(document["headings"], values)
            if name in columns
        }
        rows[row["_uuid"]] = row
    return rows


def empty_row(table: str) -> Row:
    """A new row as the database would make it."""
    return {
        name: dict(column.default) if isinstance(column.default, dict) else column.default
        for name, column in (_GLOBAL if table == GLOBAL else stored(table)).items()
    }


# Changing ----------------------------------------------------------------------------------------------------------


class Create(t.NamedTuple):
    """Make a row. under: (table, row, column) of the list that it hangs in, or None."""

    table: str
    row: Id
    under: tuple[str, Id, str] | None


class Put(t.NamedTuple):
    """Set a column, or one key of a map; None clears it."""

    table: str
    row: Id
    column: str
    key: str | None
    value: t.Any


class Move(t.NamedTuple):
    """Take a row out of a list, and, unless target is None, hang it into another. What hangs in no list goes."""

    table: str
    row: Id
    source: tuple[str, Id, str]
    target: tuple[str, Id, str] | None = None


class Destroy(t.NamedTuple):
    """Remove a row that hangs in no list."""

    table: str
    row: Id


Op = t.Union[Create, Put, Move, Destroy]


def applied(found: Tables, ops: t.Iterable[Op]) -> Tables:
    """What the database holds after the ops: the model behind the diff. What was found is not written to."""
    draft = _Draft(found)
    for op in ops:
        draft.do(op)
    draft.settle()
    return draft.tables


class _Draft:
    """A database that changes. Rows that are not touched are shared with what was found, others copied."""

    def __init__(self, found: Tables) -> None:
        self._found = found
        self.tables = {name: dict(rows) for name, rows in found.items()}

    def do(self, op: Op) -> None:
        """Do one op."""
        rows = self.tables[op.table]
        if isinstance(op, Create):
            rows[op.row] = dict(empty_row(op.table), _uuid=op.row)
            if op.under:
                self._hang(op.under, op.row, True)
        elif isinstance(op, Put):
            _put(self._row(op.table, op.row), op)
        elif isinstance(op, Destroy):
            del rows[op.row]
        else:
            self._hang(op.source, op.row, False)
            if op.target:
                self._hang(op.target, op.row, True)
            else:
                del rows[op.row]

    def _row(self, table: str, ref: str) -> Row:
        held = self.tables[table][ref]
        if held is self._found[table].get(ref):
            held = {name: dict(value) if isinstance(value, dict) else value for name, value in held.items()}
            self.tables[table][ref] = held
        return held

    def _hang(self, place: tuple[str, Id, str], ref: Id, there: bool) -> None:
        table, above, column = place
        held = self._row(table, above)
        held[column] = (*held[column], ref) if there else tuple(one for one in held[column] if one != ref)

    def settle(self) -> None:
        """What the database does at the end: rows that hang nowhere go, and what refers to rows that are gone no longer does."""
        for name, table in TABLES.items():
            if table.name in _HANGING:
                kept = {ref for above, child in PLACES if child.table is table for ref in self._held(above, child)}
                self.tables[name] = {ref: row for ref, row in self.tables[name].items() if ref in kept}
        for name, table in TABLES.items():
            columns = [child.column for child in table.children]
            refers = {field.column: field.refers for field in table.fields if field.refers and not field.strong}
            for ref, row in list(self.tables[name].items()):
                for column in columns:
                    if row[column] != tuple(sorted(row[column])):
                        self._row(name, ref)[column] = tuple(sorted(row[column]))
                for column, target in refers.items():
                    self._drop_dangling(name, ref, column, self.tables[target])

    def _held(self, table: Table, child: Child) -> t.Iterator[str]:
        for row in self.tables[table.name].values():
            yield from row[child.column]

    def _drop_dangling(self, table: str, ref: str, column: str, there: t.Container[str]) -> None:
        value = self.tables[table][ref][column]
        if isinstance(value, tuple):
            kept: t.Any = tuple(sorted(one for one in value if one in there))
        else:
            kept = value if value in there else None
        if kept != value:
            self._row(table, ref)[column] = kept


def _put(row: Row, op: Put) -> None:
    if op.column not in row:
        return
    if op.key is None:
        row[op.column] = op.value
    elif op.value is None:
        row[op.column].pop(op.key, None)
    else:
        row[op.column][op.key] = op.value


def new_row(table: str, puts: t.Iterable[Put]) -> Row:
    """A new row with these values."""
    row = empty_row(table)
    for put in puts:
        _put(row, put)
    return row


# As arguments ------------------------------------------------------------------------------------------------------


def transaction(begin: t.Sequence[str], ops: t.Sequence[Op], owner: str) -> list[Step]:
    """One ovn-nbctl call that does all ops at once or nothing; no call if there are none.

    Only what is longer than LONGEST (some ten thousand new ports) becomes several calls, each of which is atomic.
    """
    if not ops:
        return []
    argv = (*begin, *_arguments(ops))
    if argument_bytes(argv) <= LONGEST:
        return [Step(argv)]
    steps: list[Step] = []
    part: list[Op] = []
    size = 0
    for unit in _units(_with_uuids(ops, owner)):
        length = argument_bytes(_arguments(unit))
        if part and size + length > LONGEST:
            steps.append(Step((*begin, *_arguments(part))))
            part, size = [], 0
        part += unit
        size += length
    return [*steps, Step((*begin, *_arguments(part)))]


def _with_uuids(ops: t.Iterable[Op], owner: str) -> list[Op]:
    """The ops with UUIDs for new rows, which another call can name, too; check mode foretells the same."""
    ids: dict[str, Id] = {}

    def known(value: t.Any) -> t.Any:
        if isinstance(value, Id) and is_new(value):
            return ids.setdefault(value, Id(uuid.uuid5(_NAMESPACE, f"{owner} {value} {seed}")))
        if isinstance(value, tuple):
            return tuple(known(item) for item in value)
        return value

    named = list(ops)
    # Two changes of one owner make rows with different UUIDs, as both may be there.
    seed = uuid.uuid5(_NAMESPACE, repr(named))
    return [type(op)(*(known(value) for value in op)) for op in named]


def _units(ops: t.Iterable[Op]) -> list[list[Op]]:
    """The ops in their order, those on a new row together with it, but for what may refer to rows that come later."""
    units: list[list[Op]] = []
    last: list[list[Op]] = []
    of_row: dict[str, list[Op]] = {}
    for op in ops:
        if isinstance(op, Put) and _refers(op.value):
            last.append([op])
        elif isinstance(op, Put) and op.row in of_row:
            of_row[op.row].append(op)
        elif isinstance(op, Create) and op.under and op.under[0] == "Meter" and op.under[1] in of_row:
            # A meter without a band is none.
            of_row[op.row] = of_row[op.under[1]]
            of_row[op.row].append(op)
        else:
            units.append([op])
            of_row[op.row] = units[-1]
    return units + last


def _refers(value: t.Any) -> bool:
    return isinstance(value, Id) or (isinstance(value, tuple) and any(isinstance(item, Id) for item in value))


def _word(value: t.Any) -> str:
    if value is None or value == ():
        return "[]"
    if isinstance(value, tuple):
        return ",".join(_word(item) for item in value)
    return str(value) if isinstance(value, Id) else quote(value)


def _cell(put: Put) -> str:
    if put.key is None:
        return f"{put.column}={_word(put.value)}"
    return f"{put.column}:{quote(put.key)}={quote(put.value)}"


def _arguments(ops: t.Sequence[Op]) -> list[str]:
    """The words of one call: what comes, each new row with the rows below it, what leaves a list, what changes, and what goes."""
    argv: list[str] = []
    cells: dict[tuple[str, Id], list[Put]] = {}
    for op in ops:
        if isinstance(op, Put):
            cells.setdefault((op.table, op.row), []).append(op)
    joined = _by_place(_comers(ops))
    columns: dict[Id, list[tuple[str, Id, str]]] = {}
    for place in joined:
        columns.setdefault(place[1], []).append(place)
    for op in ops:
        if isinstance(op, Create):
            hung = [f"{place[2]}={','.join(joined.pop(place))}" for place in columns.get(op.row, ())]
            argv += ["--", f"--id={op.row}", "create", op.table]
            argv += [*(_cell(put) for put in cells.pop((op.table, op.row), ())), *hung]
    for (table, row, column), rows in joined.items():
        argv += ["--", "add", table, row, column, *rows]
    # After what comes, as some lists may not be empty in between.
    left = _by_place((op.source, op.row) for op in ops if isinstance(op, Move))
    for (table, row, column), rows in left.items():
        argv += ["--", "remove", table, row, column, *rows]
    for (table, row), puts in cells.items():
        argv += _changes(table, row, puts)
    return argv + [word for op in ops if isinstance(op, Destroy) for word in ("--", "destroy", op.table, op.row)]


def _comers(ops: t.Iterable[Op]) -> t.Iterator[tuple[tuple[str, Id, str], Id]]:
    """Each row that comes into a list of another row, with that list."""
    for op in ops:
        if isinstance(op, Create) and op.under:
            yield op.under, op.row
        elif isinstance(op, Move) and op.target:
            yield op.target, op.row


def _by_place(pairs: t.Iterable[tuple[tuple[str, Id, str], Id]]) -> dict[tuple[str, Id, str], list[Id]]:
    rows: dict[tuple[str, Id, str], list[Id]] = {}
    for place, row in pairs:
        rows.setdefault(place, []).append(row)
    return rows


def _changes(table: str, row: str, puts: t.Sequence[Put]) -> list[str]:
    argv = []
    # In a database that is new, the client tells the UUID of a row that it would make itself.
    row = "." if table == GLOBAL else row
    values = [_cell(put) for put in puts if put.key is None or put.value is not None]
    if values:
        argv += ["--", "set", table, row, *values]
    gone: dict[str, list[str]] = {}
    for put in puts:
        if put.key is not None and put.value is None:
            gone.setdefault(put.column, []).append(quote(put.key))
    for column, keys in gone.items():
        argv += ["--", "remove", table, row, column, *keys]
    return argv

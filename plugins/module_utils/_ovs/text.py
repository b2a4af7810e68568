# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values, cells and rows of Open vSwitch's database as ovs-vsctl takes them.

This file is private to the collection. Source: ovs-vsctl(8), "Database Values" and "Database Command Syntax".
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import STATUS, TABLES
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

# A map's key that is not there; a column that is cleared.
CLEAR = None

_PLAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*")


class Put(t.NamedTuple):
    """Set a column, or one key of a map or of a column of rows; the value CLEAR removes the key, or clears the column.

    uuid: of the row that goes with a key, where the column is no map.
    """

    table: str
    record: str
    column: str
    key: t.Any
    value: t.Any
    uuid: str = ""

    @property
    def of_rows(self) -> bool:
        """Does the column hold rows of its own?"""
        return bool(TABLES[self.table][self.column].table)


def quote(value: t.Any) -> str:
    """A value as ovs-vsctl reads it; a string always as a JSON string, so that nothing in it has a meaning."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return ",".join(quote(v) for v in value) if value else "[]"
    # A plain word needs no quotes, and reads better; a string that looks like a UUID would be one.
    if _PLAIN.fullmatch(value) and value.count("-") < 4:
        return value
    return json.dumps(value, ensure_ascii=False)


def checked_text(value: str, where: str) -> str:
    """The value, if Open vSwitch can hold it: a Unicode string without null bytes (ovs-vsctl(8))."""
    if "\0" in value:
        raise FabricError(f"{where} holds a null byte, which Open vSwitch cannot store; remove it")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise FabricError(f"{where} is not valid UTF-8, which Open vSwitch needs; give it as UTF-8 text") from None
    return value


def _ranges(numbers: t.Sequence[int]) -> str:
    """VLANs as ovs-vsctl takes them, with ranges: 10,20-29."""
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in runs(numbers)) or "[]"


def runs(numbers: t.Sequence[int]) -> list[tuple[int, int]]:
    """The runs (first, last) in a sorted sequence of integers."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def assignment(put: Put) -> str:
    """A cell as `set` and `create` take it."""
    column = TABLES[put.table][put.column]
    value = column.default if put.value is CLEAR else put.value
    if put.key is not None:
        return f"{put.column}:{quote(put.key)}={quote(value)}"
    if value is None:
        return f"{put.column}=[]"
    if isinstance(value, tuple) and value and isinstance(value[0], int):
        return f"{put.column}={_ranges(value)}"
    return f"{put.column}={quote(value)}"


def row_words(put: Put, name: str) -> list[str]:
    """The commands for a cell that holds rows of its own; name: for the new row, not used yet in this call."""
    spec = TABLES[put.table][put.column]
    target = [put.table, put.record, put.column]
    words: list[str] = []
    if spec.back and put.uuid:
        words += ["--", "--if-exists", "destroy", spec.table, put.uuid]
    elif spec.kind == "rows" and put.uuid and spec.key:
        words += ["--", "remove", *target, put.uuid]
    if put.value is CLEAR:
        if spec.kind == "row":
            words += ["--", "clear", *target]
        elif not spec.key:
            words += ["--", "remove", *target, quote(put.key)]
        return words
    if spec.back:
        words += ["--", f"--id=@{name}.{spec.back}", "get", put.table, put.record]
        return words + _created(spec.table, put.value, name, [f"{spec.back}=@{name}.{spec.back}"])
    words += _created(spec.table, put.value, name)
    if spec.kind == "row":
        return [*words, "--", "set", put.table, put.record, f"{put.column}=@{name}"]
    if spec.key:
        return [*words, "--", "add", *target, f"@{name}"]
    return [*words, "--", "set", put.table, put.record, f"{put.column}:{quote(put.key)}=@{name}"]


def _created(table: str, row: t.Mapping[str, t.Any], name: str, more: t.Sequence[str] = ()) -> list[str]:
    """The commands that make a row which is called @name in the rest of the call, with what it refers to. more: cells besides."""
    words: list[str] = []
    cells: list[str] = list(more)
    for column, spec in TABLES[table].items():
        value = row.get(column, spec.default)
        if column in STATUS or value == spec.default:
            continue
        if spec.kind in ("port", "ports"):
            ids: list[str] = []
            for port in (value,) if spec.kind == "port" else value:
                ids.append(f"@{name}.{column}.{len(ids)}")
                words += ["--", f"--id={ids[-1]}", "get", "Port", port]
            cells.append(f"{column}={','.join(ids)}")
        elif spec.kind == "rows":
            for key, child in sorted(value.items()):
                words += _created(spec.table, child, f"{name}.{key}")
                cells.append(f"{column}:{quote(key)}=@{name}.{key}")
        elif spec.kind == "row":
            words += _created(spec.table, value, f"{name}.{column}")
            cells.append(f"{column}=@{name}.{column}")
        elif spec.kind in ("map", "numbers"):
            cells += [assignment(Put(table, "", column, key, item)) for key, item in sorted(value.items())]
        else:
            cells.append(assignment(Put(table, "", column, None, value)))
    # A row that is as new in all columns: ovs-vsctl wants one of them all the same.
    cells = cells or [
        assignment(Put(table, "", next(c for c, spec in TABLES[table].items() if c not in STATUS), None, CLEAR))
    ]
    return [*words, "--", f"--id=@{name}", "create", table, *cells]


def argument_bytes(argv: t.Iterable[str]) -> int:
    """What arguments take of the kernel's limit, in bytes: each with its end and its pointer (execve(2))."""
    return sum(len(word.encode("utf-8")) + 9 for word in argv)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared of a northbound database: the argument spec, and its options as rows that are checked and ready for the comparison.

This file is private to the collection and pure.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.tables import (
    ROOTS,
    Child,
    Field,
    Table,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Item, Pairs
from ansible_collections.overloom.fabric.plugins.module_utils._owner import is_ovs_mark
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

Key = t.Tuple[t.Any, ...]


class Node(t.NamedTuple):
    """A declared row.

    cells: the values of options that are declared, by the option's name, but for those that only tell the row apart.
    lists: the declared rows below it, by the list's option. what: its name in sentences.
    """

    table: Table
    key: Key
    cells: dict[str, t.Any]
    lists: dict[str, list[Node]]
    present: bool
    what: str

    @property
    def is_place(self) -> bool:
        """Is it declared only for what hangs below it?"""
        return self.present and bool(self.lists) and not self.cells

    def below(self) -> t.Iterator[tuple[Child, Node]]:
        """The declared rows below it, each with the list that it is in."""
        for child in self.table.children:
            for node in self.lists.get(child.option, ()):
                yield child, node


def argument_spec() -> Item:
    """The lists of rows that the module takes."""
    return {root.option: _list_spec(root.table, top=True) for root in ROOTS}


def _list_spec(table: Table, top: bool = False) -> Item:
    options: Item = {}
    for field in table.fields:
        options[field.name] = dict(field.kind.spec)
        if field.name in table.keys and field.name not in table.optional:
            # What tells a row apart cannot be empty.
            options[field.name].update(required=True, **_choices(field))
    for child in table.children:
        options[child.option] = _list_spec(child.table)
    if top:
        options["state"] = {"type": "str", "choices": ["present", "absent"], "default": "present"}
    return {"type": "list", "elements": "dict", "options": options}


def _choices(field: Field) -> Item:
    choices = field.kind.spec.get("choices")
    return {"choices": [choice for choice in choices if choice]} if choices else {}


def declared(params: Item) -> list[Node]:
    """The declared rows of all lists. Raises FabricError with one sentence about the first that will not do."""
    nodes = []
    for root in ROOTS:
        items = params.get(root.option)
        nodes += _nodes(root.table, items or (), "")
    return nodes


def _nodes(table: Table, items: t.Iterable[Item], above: str) -> list[Node]:
    nodes: dict[Key, Node] = {}
    for item in items:
        node = _node(table, item, above)
        if node.key in nodes:
            raise FabricError(f"{node.what} is declared twice; leave one of them out")
        nodes[node.key] = node
    return list(nodes.values())


def words(table: Table, key: Key, above: str = "") -> str:
    """A row in sentences."""
    said = " ".join(str(part) for part in key if part not in (None, ""))
    return f"{above}{table.what} {said}"


def _node(table: Table, item: Item, above: str) -> Node:
    key = []
    rough = words(table, tuple(item.get(name) for name in table.keys), above)
    for field in map(table.field, table.keys):
        value = item.get(field.name)
        if value is None or field.kind.is_empty(value):
            if field.name not in table.optional:
                raise FabricError(f"{rough}: {field.name} is empty; give one")
            value = field.default()
        else:
            value = field.kind.parse(value, f"{rough}: {field.name}")
        key.append(field.kind.canonical(value))
    what = words(table, tuple(key), above)
    cells = {}
    for field in table.fields:
        if field.name not in table.keys:
            value = _cell(table, field, item.get(field.name), what)
            if value is not _LEFT_OUT:
                cells[field.name] = value
    _settle_instead(table, cells, what)
    lists = {
        child.option: _nodes(child.table, item[child.option], f"{what}: ")
        for child in table.children
        if item.get(child.option) is not None
    }
    return Node(table, tuple(key), cells, lists, item.get("state", "present") == "present", what)


def _settle_instead(table: Table, cells: dict[str, t.Any], what: str) -> None:
    """Of what OVN makes out of another option, one of both counts: the other is left to OVN, or cleared."""
    for made, asked in table.instead:
        if cells.get(asked) is not None:
            if cells.pop(made, None) is not None:
                raise FabricError(f"{what}: OVN makes {made} out of {asked}; give one of them")
        elif made in cells:
            cells[asked] = None


_LEFT_OUT = object()


def _cell(table: Table, field: Field, value: t.Any, what: str) -> t.Any:
    """The value of an option for its column; of a row that is declared as a whole, what is left out is as in a new row."""
    if value is None:
        return field.default() if table.whole and field.name != "external_ids" else _LEFT_OUT
    where = f"{what}: {field.name}"
    if field.kind.is_empty(value):
        return field.default()
    parsed = field.kind.parse(value, where)
    if field.name == "external_ids" and isinstance(field.kind, Pairs):
        for key in parsed:
            if is_ovs_mark(key) or key.startswith("overloom-"):
                raise FabricError(f"{where}: the key {key} is the collection's own; use another, or the option owner")
    return parsed

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that belong to a bridge, a port or the switch (a mirror, a QoS with its queues): their comparison.

This file is private to the collection. Such a row is compared as a whole, and replaced as a whole by a new one, because a
row that somebody made by hand may serve others too.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import Database, Destroy
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import STATUS, TABLES
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import CLEAR, Put
from ansible_collections.overloom.fabric.plugins.module_utils._owner import OVS_OWNER

Row = t.Dict[str, t.Any]


def essence(value: t.Any) -> t.Any:
    """What a row says, without its identity, its marks, and its state."""
    if not isinstance(value, dict):
        return value
    return {key: essence(item) for key, item in value.items() if key not in STATUS and key != "external_ids"}


def marked(table: str, row: Row, marks: t.Mapping[str, str]) -> Row:
    """The row with these marks, and those that belong to it likewise."""
    result = dict(row)
    for column, spec in TABLES[table].items():
        if column == "external_ids":
            result[column] = dict(marks)
        elif spec.kind == "rows":
            result[column] = {key: marked(spec.table, item, marks) for key, item in row[column].items()}
        elif spec.kind == "row" and row[column]:
            result[column] = marked(spec.table, row[column], marks)
    return result


def row_differences(row: Row, record: str, option: t.Any, value: t.Any, marks: t.Mapping[str, str]) -> list[Put]:
    """The changes to a column of rows.

    option: whose kind says whether rows with another owner's mark, or none, stay though they are not declared.
    """
    table, column = option.table, option.column
    spec, held = TABLES[table][column], row[column]
    if spec.kind == "row":
        if essence(held) == essence(value):
            return []
        return [Put(table, record, column, None, value if value is CLEAR else marked(spec.table, value, marks))]
    ops = []
    for key, item in value.items():
        old = held.get(key)
        if essence(old) != essence(item):
            # What another made stays another's.
            kept = (
                marks
                if old is None
                else {name: text for name, text in old.get("external_ids", {}).items() if name in marks}
            )
            ops.append(Put(table, record, column, key, marked(spec.table, item, kept), old["_uuid"] if old else ""))
    for key, old in held.items():
        foreign = old.get("external_ids", {}).get(OVS_OWNER) != marks.get(OVS_OWNER)
        if key not in value and not (foreign and option.kind.others_stay):
            ops.append(Put(table, record, column, key, CLEAR, old["_uuid"]))
    return ops


def left_over(found: Database, after: Database, owner: str) -> list[Destroy]:
    """The QoS and queues of this owner to which a port referred and to which none does any longer, and whosever collector sets of bridges that go."""

    def held(database: Database, table: str) -> t.Iterator[Row]:
        for port in database.tables["Port"].values():
            if port["qos"]:
                yield from (port["qos"],) if table == "QoS" else port["qos"]["queues"].values()

    holders: dict[str, tuple[tuple[str, str], ...]] = {}
    for name, port in found.tables["Port"].items():
        if port["qos"] and name not in after.tables["Port"]:
            uuid = port["qos"]["_uuid"]
            holders[uuid] = (*holders.get(uuid, ()), (found.bridge_of[name], port["_uuid"]))
    ops = []
    for table in ("QoS", "Queue"):
        used = {row["_uuid"] for row in held(after, table)}
        gone = {row["_uuid"] for row in held(found, table) if row["external_ids"].get(OVS_OWNER) == owner}
        ops += [Destroy(table, uuid, holders.get(uuid, ())) for uuid in sorted(gone - used)]
    for name in sorted(set(found.tables["Bridge"]) - set(after.tables["Bridge"])):
        # They would keep the bridge's row, and with it its name.
        ops += [
            Destroy("Flow_Sample_Collector_Set", row["_uuid"])
            for row in found.tables["Bridge"][name]["collector_sets"].values()
        ]
    return ops

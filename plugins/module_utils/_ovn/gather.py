# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ovn_info: what OVN says of itself, and its northbound database as ovn_northbound takes it.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.client import begin, client_runner
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.compare import owner_of, view
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.database import Tables, read_tables
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.info import Row, southbound
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.raft import BASES, count_rows, members
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.tables import ROOTS, Table
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Module, Runner

# Seconds in which a member that is only just behind comes after.
_PATIENCE = 2
_PARTS = ("chassis", "bindings", "progress", "northbound", "cluster")


def info_argument_spec() -> Row:
    """The options of ovn_info."""
    return {
        "gather": {"type": "list", "elements": "str", "choices": list(_PARTS), "default": list(_PARTS[:3])},
        "owner": {"type": "str"},
        "timeout": {"type": "int", "default": 60},
    }


def told(seen: Row, gather: t.Container[str]) -> Row:
    """What of the southbound database is asked for, with what each chassis is behind."""
    chassis = [{**row, "lag": max(seen["nb_cfg"] - row["nb_cfg"], 0)} for row in seen["chassis"]]
    slow = [row["name"] for row in chassis if row["lag"]]
    parts = {
        "chassis": chassis,
        "bindings": seen["bindings"],
        "progress": {"nb_cfg": seen["nb_cfg"], "slow": slow},
    }
    return {name: part for name, part in parts.items() if name in gather}


def _cluster(runner: Runner) -> Row:
    """What each database is; of one that stands alone, how many rows it has by somebody's intent."""
    rows = members(runner, _PATIENCE)
    for base in BASES:
        if rows[base.name]["model"] == "standalone":
            rows[base.name]["rows"] = count_rows(runner, base)
    return rows


def northbound(tables: Tables, owner: str | None) -> Row:
    """The objects of the northbound database, or those of one owner."""
    return {root.option: _of_table(tables, root.table, owner) for root in ROOTS}


def _of_table(tables: Tables, table: Table, owner: str | None) -> list[Row]:
    rows = sorted(tables[table.name].values(), key=lambda row: str(table.key_of(row)))
    return [view(tables, table, row) for row in rows if owner in (None, owner_of(row))]


def run(module: Module) -> None:
    """The module ovn_info."""
    params, runner = module.params, client_runner(module, "ovn-nbctl", "ovn-sbctl")
    gather = params["gather"]
    result: Row = {}
    try:
        if "cluster" in gather:
            result["cluster"] = _cluster(runner)
        if set(gather) & set(_PARTS[:3]):
            result.update(told(southbound(runner, begin("ovn-sbctl", params)), gather))
        if "northbound" in gather:
            tables = read_tables(runner, begin("ovn-nbctl", params))
            result["northbound"] = northbound(tables, params["owner"])
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    module.exit_json(changed=False, spawned=runner.spawned, **result)

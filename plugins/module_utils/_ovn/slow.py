# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has not taken up the last change of the northbound database: ovn-northd, or which chassis.

This file is private to the collection. Source: ovn-nb(5), NB_Global; ovn-sb(5), Chassis_Private.
"""

from __future__ import annotations

import json
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.client import begin
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.database import GLOBAL, Row, Tables
from ansible_collections.overloom.fabric.plugins.module_utils._owner import in_words
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner

# Seconds between two looks.
_PAUSE = 0.3


def read_lag(runner: Runner, found: Tables, waiting: str, params: t.Mapping[str, t.Any], patience: float) -> list[str]:
    """What is behind, in one sentence; nothing if all is well, or nobody waits for it. patience: seconds until somebody is behind."""
    row = next(iter(found[GLOBAL].values()), None)
    if waiting == "none" or row is None:
        return []
    until = time.monotonic() + patience
    while row[f"{waiting}_cfg"] < row["nb_cfg"] and time.monotonic() < until:
        time.sleep(_PAUSE)
        row = _read_global(runner, params) or row
    seconds = params["timeout"]
    if row["sb_cfg"] < row["nb_cfg"]:
        return [
            f"ovn-northd did not take up the northbound database's change {row['nb_cfg']} in {seconds} s: the database holds it already; "
            "check that the service ovn-northd runs and reaches both databases, then run this again"
        ]
    if waiting == "sb" or row["hv_cfg"] >= row["nb_cfg"]:
        return []
    slow = _slow_chassis(runner, row["nb_cfg"], params)
    whom = f"chassis {in_words(slow)}" if slow else "a chassis"
    return [
        f"{whom} did not take up the northbound database's change {row['nb_cfg']} in {seconds} s: the database holds it already; check that "
        "ovn-controller runs there and reaches the southbound database, or remove a chassis that is gone for good with ovn-sbctl chassis-del"
    ]


def _read_global(runner: Runner, params: t.Mapping[str, t.Any]) -> Row | None:
    columns = ["nb_cfg", "sb_cfg", "hv_cfg"]
    command = [*begin("ovn-nbctl", params), "--format=json", f"--columns={','.join(columns)}", "list", GLOBAL]
    rows = json.loads(runner(command))["data"]
    return dict(zip(columns, rows[0])) if rows else None


def _slow_chassis(runner: Runner, number: int, params: t.Mapping[str, t.Any]) -> list[str]:
    """The chassis that are behind, as far as the southbound database on this host tells."""
    command = [
        *begin("ovn-sbctl", {"timeout": params["timeout"]}),
        "--format=json",
        "--columns=name,nb_cfg",
        "list",
        "Chassis_Private",
    ]
    status, out, _err = runner.run(command)
    if status:
        return []
    return sorted(name for name, seen in json.loads(out)["data"] if seen < number)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OVN says of itself: chassis, bindings, and how far everybody has come.

This file is private to the collection. Source: ovn-sb(5), ovn-nb(5).
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host import answers, content
from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import value_of
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

Row = t.Dict[str, t.Any]
_RUN = "/run/ovn"
_ASKED = {
    "SB_Global": ("nb_cfg",),
    "Chassis": ("name", "hostname", "encaps"),
    "Encap": ("_uuid", "type", "ip"),
    "Chassis_Private": ("name", "nb_cfg"),
    "Port_Binding": ("logical_port", "chassis", "up", "type"),
}


def asked(begin: t.Sequence[str], tables: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """The call that reads columns of several tables."""
    words = [*begin, "--format=json"]
    for table, columns in tables.items():
        words += ["--", f"--columns={','.join(columns)}", "list", table]
    return words


def rows_of(text: str, tables: t.Mapping[str, t.Sequence[str]]) -> dict[str, list[Row]]:
    """The answer to such a call."""
    answers = documents(text)
    if len(answers) != len(tables):
        raise FabricError(f"OVN answered {len(answers)} of {len(tables)} questions; run this again")
    found = {}
    for table, answer in zip(tables, answers):
        found[table] = [_row(answer["headings"], values) for values in answer["data"]]
    return found


def _row(names: t.Sequence[str], values: t.Sequence[t.Any]) -> Row:
    return {name: value_of("set" if name == "encaps" else "", value) for name, value in zip(names, values)}


def southbound(
    runner: Runner, begin: t.Sequence[str] = ("ovn-sbctl", "--timeout=30", "--no-leader-only")
) -> dict[str, t.Any]:
    """What the southbound database tells, in one call.

    chassis: name, hostname, encapsulations, address, and the number of the last change (nb_cfg) that each has taken up.
    bindings: each logical port with its type, its chassis or None, and whether it is up. nb_cfg: the last change of the northbound database
    that ovn-northd has seen; sb_cfg: the same, as the database's clients see it. northd: whether this host's ovn-northd runs.
    """
    tables = {**_ASKED, "Chassis": ("_uuid", *_ASKED["Chassis"])}
    rows = rows_of(runner(asked(begin, tables)), tables)
    encaps = {row["_uuid"]: row for row in rows["Encap"]}
    reached = {row["name"]: row["nb_cfg"] for row in rows["Chassis_Private"]}
    names = {row["_uuid"]: row["name"] for row in rows["Chassis"]}
    number = rows["SB_Global"][0]["nb_cfg"] if rows["SB_Global"] else 0
    return {
        "chassis": sorted((_chassis(row, encaps, reached) for row in rows["Chassis"]), key=lambda row: row["name"]),
        "bindings": sorted((_binding(row, names) for row in rows["Port_Binding"]), key=lambda row: row["name"]),
        "nb_cfg": number,
        "sb_cfg": number,
        "northd": _northd_runs(),
    }


def _northd_runs() -> bool:
    """Whether ovn-northd answers. The service that started it may be active without it."""
    pid = content(f"{_RUN}/ovn-northd.pid").strip()
    return bool(pid) and answers(f"{_RUN}/ovn-northd.{pid}.ctl")


def _chassis(row: Row, encaps: t.Mapping[str, Row], reached: t.Mapping[str, int]) -> Row:
    tunnels = [encaps[uuid] for uuid in row["encaps"] if uuid in encaps]
    return {
        "name": row["name"],
        "hostname": row["hostname"],
        "encapsulations": sorted({tunnel["type"] for tunnel in tunnels}),
        "address": next(iter(sorted(tunnel["ip"] for tunnel in tunnels)), None),
        "nb_cfg": reached.get(row["name"], 0),
    }


def _binding(row: Row, names: t.Mapping[str, str]) -> Row:
    return {
        "name": row["logical_port"],
        "type": row["type"],
        "chassis": names.get(row["chassis"]),
        "up": row["up"] is True,
    }

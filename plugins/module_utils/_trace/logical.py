# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OVN would do with a packet, on the host of its databases, read and not judged.

One process a packet, and five for all that the databases say of it; up to three more where routers count. This file is private to the collection.
Sources: ovn-trace(8), ovn-nb(5), ovn-sb(5).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.info import southbound
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

Item = t.Dict[str, t.Any]

_NORTH = ("ovn-nbctl", "--timeout=10", "--no-leader-only")
_SOUTH = ("ovn-sbctl", "--timeout=10", "--no-leader-only")
# How often a packet is looked up among connections on its way, at the most.
LOOKUPS = 6
# A flow of a stage for ACLs, each of which is made from one ACL; the rest of them are OVN's own.
_ACL = re.compile(r"^ *\d+\. ls_(?:in|out)_acl(?:_eval)? .*, uuid ([0-9a-f]+)$", re.MULTILINE)
_PORT_COLUMNS = {
    "Logical_Switch_Port": ("name", "addresses", "port_security", "enabled", "type", "options", "tag"),
    "Logical_Router_Port": ("name", "mac", "networks", "enabled"),
}
# What a router translates, by the columns that decide.
_NAT = ("type", "external_ip", "logical_ip")
_NEIGHBOR = ("logical_port", "ip", "mac")
_SETS = ("addresses", "port_security", "networks")
_ROW_COLUMNS = ("_uuid", "name", "action", "priority", "match", "external_ids")


def read_logical(
    runner: Runner,
    traces: t.Sequence[Item],
    ports: t.Mapping[str, t.Sequence[str]],
    routers: t.Sequence[str] = (),
) -> Item:
    """Chassis and bindings, the answers of ovn-trace, the ports as the northbound database has them, and what made the flows of an answer.

    ports: names of ports of switches and of routers. routers: those that are read. error: why the databases did not answer, if so.
    """
    found: Item = {
        "error": None,
        "traces": {},
        "ports": {},
        "made": {},
        "translations": {},
        "disabled": [],
        "neighbors": [],
    }
    try:
        south = southbound(runner, _SOUTH)
    except FabricError as error:
        return {**found, "error": str(error), "northd": None, "chassis": [], "bindings": []}
    names = {name for some in ports.values() for name in some}
    # Of a router's port that one host alone has, as OVN calls it there.
    names |= {f"cr-{name}" for name in ports.get("Logical_Router_Port", ())}
    found.update(northd=south["northd"], chassis=south["chassis"])
    found["bindings"] = [row for row in south["bindings"] if row["name"] in names]
    found["traces"] = {one["name"]: _traced(runner, one) for one in traces}
    try:
        found["ports"] = _ports(runner, ports)
        found["made"] = _made(runner, found["traces"].values())
        found["translations"], found["disabled"] = _routers(runner, routers)
        found["neighbors"] = _neighbors(runner) if routers else []
    except FabricError as error:
        found["error"] = str(error)
    return found


def _traced(runner: Runner, question: Item) -> str:
    return traced(runner, question["switch"], question["flow"], "est,rpl" if question.get("answer") else "new")


def traced(runner: Runner, datapath: str, flow: str, state: str = "new") -> str:
    """What ovn-trace says of a packet that enters a switch or router, or why it says nothing. state: what its connection is taken for."""
    argv = ["ovn-trace", "--no-leader-only", *[f"--ct={state}"] * LOOKUPS, datapath, flow]
    status, out, err = runner.run(argv)
    return out if status == 0 else "error: " + (err or out).strip()


def _ports(runner: Runner, ports: t.Mapping[str, t.Sequence[str]]) -> Item:
    """The rows by name; one that is not there is left out."""
    asked = {table: columns for table, columns in _PORT_COLUMNS.items() if ports.get(table)}
    if not asked:
        return {}
    words = [*_NORTH, "--format=json"]
    for table, columns in asked.items():
        words += ["--", "--if-exists", f"--columns={','.join(columns)}", "list", table, *ports[table]]
    found: Item = {}
    for columns, answer in zip(asked.values(), documents(runner(words))):
        for values in answer["data"]:
            row = {name: _plain(name, value) for name, value in zip(columns, values)}
            found[row["name"]] = row
    return found


def _routers(runner: Runner, routers: t.Sequence[str]) -> tuple[Item, list[str]]:
    """What each router translates, as rows of the columns of _NAT, and those that are disabled."""
    if not routers:
        return {}, []
    asked = [*_NORTH, "--format=json", "--if-exists", "--columns=name,nat,enabled", "list", "Logical_Router", *routers]
    read = documents(runner(asked))[0]["data"]
    having, disabled = {row[0]: _members(row[1]) for row in read}, [row[0] for row in read if row[2] is False]
    uuids = [uuid for some in having.values() for uuid in some]
    rows: Item = {}
    if uuids:
        asked = [*_NORTH, "--format=json", "--if-exists", f"--columns=_uuid,{','.join(_NAT)}", "list", "NAT", *uuids]
        rows = {row[0][1]: dict(zip(_NAT, row[1:])) for row in documents(runner(asked))[0]["data"]}
    return {name: [rows[uuid] for uuid in some if uuid in rows] for name, some in having.items()}, disabled


def _neighbors(runner: Runner) -> list[Item]:
    """MAC addresses of neighbors that somebody has set, which ovn-trace does not know of; none where OVN is too old to have them."""
    asked = [*_NORTH, "--format=json", f"--columns={','.join(_NEIGHBOR)}", "list", "Static_MAC_Binding"]
    status, out, _err = runner.run(asked)
    return [dict(zip(_NEIGHBOR, row)) for row in documents(out)[0]["data"]] if status == 0 else []


def _members(value: t.Any) -> list[str]:
    """The UUIDs of a cell of references."""
    return [value[1]] if value[0] == "uuid" else [one[1] for one in value[1]]


def _plain(name: str, value: t.Any) -> t.Any:
    """A cell as RFC 7047 has it: a set of one comes as its only value."""
    listed = value[1] if isinstance(value, list) and value[0] == "set" else None
    if isinstance(value, list) and value[0] == "map":
        return dict(value[1])
    if name in _SETS:
        return sorted([value] if listed is None else listed)
    return None if listed == [] else value


def _made(runner: Runner, answers: t.Iterable[str]) -> Item:
    """For the beginnings of UUIDs of flows, the ACL that each was made from."""
    flows = sorted({uuid for text in answers for uuid in _ACL.findall(text)})
    if not flows:
        return {}
    asked = ["--columns=_uuid,external_ids", "--if-exists", "list", "Logical_Flow", *flows]
    text = runner([*_SOUTH, "--format=json", *asked])
    hints = {uuid[1][:8]: dict(ids[1]).get("stage-hint") for uuid, ids in documents(text)[0]["data"]}
    rows = {}
    text = runner([*_NORTH, "--format=json", f"--columns={','.join(_ROW_COLUMNS)}", "list", "ACL"])
    for values in documents(text)[0]["data"]:
        row = dict(zip(_ROW_COLUMNS, values))
        name = row["name"] if isinstance(row["name"], str) else ""
        uuid, ids = row["_uuid"][1], dict(row["external_ids"][1])
        kept = {key: row[key] for key in ("action", "priority", "match")}
        rows[uuid[:8]] = {"uuid": uuid, "name": name, **kept, "external_ids": ids}
    return {flow: rows[hint] for flow, hint in hints.items() if hint in rows}

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a host's Open vSwitch says of itself, gathered by kind: its configuration, its state and its tables.

This file is private to the collection. Sources: ovs-vswitchd(8) for what ovs-appctl prints, ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow import bundle
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import state as ovs_state
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import switch as _ovs_switch
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    OvsRunner,
    ovs_runner,
    read_database,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    Item,
    is_remote,
    ovs_argument_spec,
    owner_of,
    vsctl,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import STATE
from ansible_collections.overloom.fabric.plugins.module_utils._owner import DEFAULT_OWNER
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Module

OPENFLOW = ("flows", "groups", "meters", "tables", "tlvs")
# What ovs-vswitchd on this host is asked for, and not the database.
LOCAL = ("fdb", *OPENFLOW, "datapath_flows")
KINDS = ("switch", "bridges", "statistics", "tunnels", *LOCAL)
DEFAULT = ["switch", "bridges", "tunnels"]

_FDB = re.compile(r"^\s*(\S+)\s+(\d+)\s+([0-9a-f]{2}(?::[0-9a-f]{2}){5})\s+(\d+|static)\s*$", re.MULTILINE)
_DATAPATH = re.compile(
    r"(?P<match>.*), packets:(?P<packets>\d+), bytes:(?P<bytes>\d+), used:(?P<used>never|[0-9.]+)s?,(?P<more>.*?)\s*actions:(?P<actions>.*)"
)


def info_argument_spec() -> dict:
    """All options of ovs_info."""
    return {
        "gather": {"type": "list", "elements": "str", "choices": list(KINDS), "default": DEFAULT},
        "bridges": {"type": "list", "elements": "str"},
        "owned": {"type": "bool", "default": False},
        "owner": {"type": "str", "default": DEFAULT_OWNER},
        **ovs_argument_spec(),
    }


def parse_fdb(text: str, names: t.Mapping[str, str]) -> list[Item]:
    """What fdb/show prints; names: from a port's number, or LOCAL, to its name. A static entry has no age."""
    return [
        {
            "port": names.get(port, port),
            "vlan": int(vlan),
            "mac": mac,
            "age": None if age == "static" else int(age),
            "static": age == "static",
        }
        for port, vlan, mac, age in _FDB.findall(text)
    ]


def parse_datapath_flows(text: str) -> list[Item]:
    """What dpif/dump-flows prints. used: seconds since the last packet, None if there was none."""
    flows = []
    for line in text.splitlines():
        found = _DATAPATH.fullmatch(line.strip())
        if found:
            flows.append(
                {
                    "match": found["match"],
                    "actions": found["actions"],
                    "n_packets": int(found["packets"]),
                    "n_bytes": int(found["bytes"]),
                    "used": None if found["used"] == "never" else float(found["used"]),
                    "offloaded": "offloaded:yes" in found["more"],
                }
            )
    return flows


def chosen(database: Database, wanted: t.Container[str] | None, owner: str | None) -> list[str]:
    """The bridges that are asked for, sorted; with an owner, those that carry its mark."""
    rows = database.tables["Bridge"]
    return [
        name for name in sorted(rows) if (wanted is None or name in wanted) and owner in (None, owner_of(rows[name]))
    ]


def gather_all(
    runner: OvsRunner, database: Database, bridges: list[str], kinds: t.Container[str], owner: str, timeout: int
) -> Item:
    """What is asked for of these bridges."""
    result: Item = {kind: [] for kind in KINDS if kind in kinds and kind not in ("switch", "statistics")}
    if "switch" in kinds:
        result["switch"] = _ovs_switch.state(database)
    if "bridges" in kinds:
        fakes = [
            name
            for name in sorted(database.tables["Port"])
            if ovs_state.is_fake(database, name) and database.bridge_of[name] in bridges
        ]
        result["bridges"] = [ovs_state.bridge_state(database, name) for name in sorted([*bridges, *fakes])]
    if "tunnels" in kinds:
        result["tunnels"] = [
            ovs_state.tunnel_state(database, name)
            for name in ovs_state.tunnel_names(database)
            if database.bridge_of[name] in bridges
        ]
    for bridge in bridges:
        for kind, things in _in_switch(runner, database, bridge, kinds, owner, timeout).items():
            result[kind] += [{"bridge": bridge, **thing} for thing in things]
    return result


def _in_switch(
    runner: OvsRunner, database: Database, bridge: str, kinds: t.Container[str], owner: str, timeout: int
) -> dict[str, list[Item]]:
    """What is asked for and the switch alone knows of a bridge."""
    found: dict[str, list[Item]] = {}
    if "fdb" in kinds:
        names = {str(database.interface(port)["ofport"]): port for port in database.ports_of(bridge)}
        found["fdb"] = parse_fdb(appctl(runner, timeout, "fdb/show", bridge), {**names, "LOCAL": bridge})
    if "datapath_flows" in kinds:
        found["datapath_flows"] = parse_datapath_flows(appctl(runner, timeout, "dpif/dump-flows", bridge))
    openflow = [kind for kind in OPENFLOW if kind in kinds]
    if openflow:
        found.update(bundle.gathered(runner, database, bridge, openflow, "", owner, timeout))
    return found


def appctl(runner: OvsRunner, timeout: int, *words: str) -> str:
    """Ask ovs-vswitchd."""
    status, out, err = runner.run(["ovs-appctl", f"--timeout={timeout}", *words])
    if status:
        said = (err or out).strip().splitlines()
        raise FabricError(
            f"ovs-vswitchd did not answer {' '.join(words)} ({said[-1] if said else 'nothing was said'}); check that its service runs"
        )
    return out


def run(module: Module) -> t.NoReturn:
    """The module ovs_info."""
    params = module.params
    runner, kinds = ovs_runner(module), set(params["gather"])
    result: Item = {}
    try:
        local = [kind for kind in LOCAL if kind in kinds]
        if local and is_remote(params["database"]):
            raise FabricError(
                f"gather: {', '.join(local)} needs the host itself, and database is on another; leave it out, or run this there"
            )
        database = read_database(runner, vsctl(params), STATE if "statistics" in kinds else ())
        bridges = chosen(database, params["bridges"], params["owner"] if params["owned"] else None)
        result = gather_all(runner, database, bridges, kinds, params["owner"], params["timeout"])
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    module.exit_json(changed=False, spawned=runner.spawned, **result)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port of a veth pair in a bridge: the comparison of declared and found, and the late errors of ovs-vswitchd.

This file is private to the collection.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import Settings, Veth
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import OVS_BEGIN, OVS_OPTIONS, port_view
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.before import Before, port_given_back, was_there
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    AddPort,
    Database,
    DelPort,
    MovePort,
    Op,
    Put,
    empty_row,
    read_database,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.lost import LOOSE
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    configurable,
    differences,
    late_error,
    made_by,
    mark,
    own_keys,
    owner_of,
    removable,
    words_for,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.port import check_vlans
from ansible_collections.overloom.fabric.plugins.module_utils._owner import OVS_MODULE, OVS_OWNER, Caller
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

MODULE = "netns_veth"
# How long a port whose device was made again may take until ovs-vswitchd has noticed, in seconds.
PATIENCE = 5.0

_OWNED = own_keys(OVS_OPTIONS)

Row = t.Dict[str, t.Any]


class End(t.NamedTuple):
    """The host's end of a veth pair. mine: this module makes it at boot. anew: the device is made anew.

    lost: it was made anew by others, and ovs-vswitchd has not noticed (_ovs/lost.py).
    """

    name: str
    mine: bool
    anew: bool
    lost: bool = False


class PortChange(t.NamedTuple):
    """The port before and after, for the diff, and the ops between. unplug: ops before the device is made anew."""

    before: Row
    after: Row
    unplug: t.Sequence[Op] = ()
    ops: t.Sequence[Op] = ()
    warnings: t.Sequence[str] = ()


def compare_port(database: Database, veth: Veth, end: End, settings: Settings) -> PortChange:
    """What makes the port in the bridge what is declared."""
    if veth.bridge is None and not veth.port:
        return PortChange({}, {})
    names = ["bridge", *(wanted.option.name for wanted in veth.port)]
    before = {key: value for key, value in port_view(database, end.name).items() if key in names}
    current = database.bridge_of.get(end.name)
    row = database.tables["Port"][end.name] if current else empty_row("Port", end.name)
    if veth.bridge == "":
        return PortChange(before, dict.fromkeys(before), ops=_taken_out(current, row, end, settings))

    target = current if veth.bridge is None else veth.bridge
    if not target:
        raise FabricError(f"{veth.what}: {veth.port[0].option.name} needs a port in a bridge; give bridge")
    warnings = _missing_bridge(database, target, veth, settings)
    if current:
        configurable(row, f"port {end.name}", settings.owner, settings.adopt)
    kind = database.tables["Interface"][end.name]["type"] if current else ""
    marks = _marks(current, row, end, settings)
    ops: list[Op] = [
        *_placed(current, target, row, end),
        *_plugged(kind, end, bool(current)),
        *_settings(database, row, end.name, veth, bool(current)),
        *marks,
    ]
    if current and not end.anew and kind != LOOSE and (settings.adopt or was_there(row, settings.owner)):
        settled = Before(database, Caller(settings.owner, settings.adopt), words_for([w.option for w in veth.port]))
        ops = settled.settle(ops)
        warnings = [*warnings, *settled.left]
    _check_vlans(veth, row)
    before["port_owner"] = _owner_shown(row["external_ids"])
    before["plugged"] = bool(current) and kind != LOOSE and not end.lost
    return PortChange(before, _later(veth, target, row, marks), _unplugged(kind, end, bool(current)), ops, warnings)


def _check_vlans(veth: Veth, row: Row) -> None:
    """Refuse VLAN options that do not go together, those that stay included."""
    later = {**row, **{one.option.column: one.value for one in veth.port if one.option.table == "Port"}}
    check_vlans({one.option.name: one.value for one in veth.port}, later, veth.what)


def _later(veth: Veth, bridge: str, row: Row, marks: t.Sequence[Op]) -> Row:
    """The port as it will be, for the diff."""
    wanted = {w.option.name: w.option.kind.shown(w.value) if w.value is not None else None for w in veth.port}
    ids = {**row["external_ids"], **{put.key: put.value for put in marks if isinstance(put, Put)}}
    return {"bridge": bridge, **wanted, "port_owner": _owner_shown(ids), "plugged": True}


def _settings(database: Database, row: Row, name: str, veth: Veth, there: bool) -> list[Op]:
    """What is declared of the port, and of its interface. there: whether it is a port already."""
    interface = database.tables["Interface"][name] if there else empty_row("Interface", name)
    ops: list[Op] = []
    for table, found in (("Port", row), ("Interface", interface)):
        ops += differences(found, name, [one for one in veth.port if one.option.table == table], _OWNED)
    return ops


def port_left(database: Database, name: str, settings: Settings, deletes: bool) -> list[Op]:
    """What the port of an interface that is no longer ours needs: removal if this module made it, else its former settings.

    deletes: whoever made it.
    """
    bridge = database.bridge_of.get(name)
    if bridge is None or name not in database.tables["Port"]:
        return []
    row = database.tables["Port"][name]
    if deletes:
        return [DelPort(bridge, name, row["_uuid"])]
    if not made_by(row, settings.owner, MODULE):
        return []
    if was_there(row, settings.owner):
        return port_given_back(database, name, settings.owner)
    return [DelPort(bridge, name, row["_uuid"])]


def late_ports(runner: Runner, database: Database, names: t.Sequence[str]) -> list[str]:
    """What ovs-vswitchd says late about ports; one that it has not noticed yet is given some time."""
    until = time.monotonic() + PATIENCE
    while True:
        ports = [(database.bridge_of[name], name) for name in names if name in database.bridge_of]
        errors = [error for error in (late_error(database, bridge, port) for bridge, port in ports) if error]
        if not errors or time.monotonic() > until:
            return errors
        time.sleep(0.1)
        database = read_database(runner, OVS_BEGIN)


def _taken_out(current: str | None, row: Row, end: End, settings: Settings) -> list[Op]:
    """The port leaves its bridge."""
    if not current:
        return []
    removable(row, f"port {end.name}", settings.owner, settings.adopt)
    return [DelPort(current, end.name, row["_uuid"])]


def _missing_bridge(database: Database, target: str, veth: Veth, settings: Settings) -> list[str]:
    """Refuse a bridge that is not there; in check mode an earlier task may still make it, and this is a warning."""
    if target in database.tables["Bridge"]:
        return []
    if not settings.lenient:
        raise FabricError(f"{veth.what}: bridge {target} does not exist; create it first, for example with ovs_bridge")
    return [f"{veth.what}: bridge {target} does not exist yet; it has to be created first"]


def _placed(current: str | None, target: str, row: Row, end: End) -> list[Op]:
    """The port comes into its bridge, from nowhere or from another one."""
    if not current:
        return [AddPort(target, end.name, (end.name,))]
    return [MovePort(end.name, row["_uuid"], current, target)] if current != target else []


def _unplugged(kind: str, end: End, there: bool) -> list[Op]:
    """What makes ovs-vswitchd let go of a device that is made anew: in user space it would go on with the one that is gone."""
    let_go = there and (end.anew or end.lost) and kind != LOOSE
    return [Put("Interface", end.name, "type", None, LOOSE)] if let_go else []


def _plugged(kind: str, end: End, there: bool) -> list[Op]:
    """What makes ovs-vswitchd take the device that was made anew, also after a run that was interrupted in between."""
    if not there or not (end.anew or end.lost or kind == LOOSE):
        return []
    return [Put("Interface", end.name, "type", None, "" if kind == LOOSE else kind)]


def _marks(current: str | None, row: Row, end: End, settings: Settings) -> list[Op]:
    """The owner mark: a port of our own interface is ours, unless it carries a mark already."""
    if not current or settings.adopt or (end.mine and owner_of(row) is None):
        return mark("Port", end.name, row, settings.owner, MODULE)
    return []


def _owner_shown(ids: t.Mapping[str, str]) -> str | None:
    """The mark of a port, for a comparison by eye."""
    return f"{ids[OVS_OWNER]}, by {ids.get(OVS_MODULE)}" if OVS_OWNER in ids else None

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules ovs_bridge and ovs_bridge_info do.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import address as _ovs_address
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.compare import Settings, compare
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    AddBridge,
    AddPort,
    Database,
    DelBridge,
    DelPort,
    MovePort,
    Op,
    ovs_runner,
    read_database,
    read_or_foresee,
    transaction,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.declaration import (
    BRIDGE_OPTIONS,
    FAKE_BRIDGE,
    OPTIONS,
    Bridge,
    bridge_argument_spec,
    declared,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.diff import described
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.held import Holdings
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.lost import (
    loose_devices,
    lost_devices,
    plugged,
    replugged,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    extra_columns,
    failed_bridge,
    is_remote,
    late_error,
    network_devices,
    vsctl,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.port import write_steps
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.state import bridge_state, is_fake
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Module,
    Step,
    reconcile,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Unit, booted, read_units


class Found(t.NamedTuple):
    """What was read. interfaces: the kernel's, empty if nothing is declared of them.

    lost: the interfaces whose device ovs-vswitchd has lost. loose: those that an interrupted run has left without one.
    """

    database: Database
    interfaces: dict[str, _ip.Interface]
    units: dict[str, Unit]
    lost: frozenset[str] = frozenset()
    loose: frozenset[str] = frozenset()


def run(module: t.Any) -> None:
    """The module ovs_bridge."""
    params = module.params
    items = params["bridges"]
    if items is None:
        items = [{name: params[name] for name in bridge_argument_spec()}] if params["name"] else []
    try:
        bridges = declared(items)
        if is_remote(params["database"]):
            _check_remote(bridges)
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[])
    call = _Call(module, bridges)
    reconcile(
        module,
        read=call.read,
        compare=call.compare,
        runner=call.runner,
        state=call.state,
        judge=call.judge,
        undo=call.undo,
    )


def _check_remote(bridges: list[Bridge]) -> None:
    """Refuse what needs the host itself, when its database is read over the network."""
    for port in (port for bridge in bridges for port in bridge.ports if port.present):
        if port.device.declared:
            raise FabricError(
                f"{port.what}: addresses and up need the host itself, and database is on another; leave them out"
            )


class _Call:
    """A call of the module ovs_bridge with its checked bridges."""

    def __init__(self, module: t.Any, bridges: list[Bridge]) -> None:
        params = module.params
        self._module = module
        self._bridges = bridges
        self._settings = Settings(params["owner"], params["adopt"], params["purge"], module.check_mode)
        self._begin = vsctl(params)
        self._remote = is_remote(params["database"])
        self._present = [bridge for bridge in bridges if bridge.present]
        self._ports = [port for bridge in self._present for port in bridge.ports if port.present]
        self._devices = [device for port in self._ports for device in port.devices]
        self._done: list[Op] = []
        self.runner = ovs_runner(module)

    def read(self) -> Found:
        """Read the host."""
        columns = extra_columns(OPTIONS, (port.item for port in self._ports))
        database = read_or_foresee(self._module, self.runner, self._begin, columns, here=not self._remote)
        units = {} if self._remote else read_units(_ovs_address.KIND)
        # A second process only for those who declare what needs it.
        asks = any(device.declared for device in self._devices) or _ovs_address.remembered(units, self._settings.owner)
        interfaces = _ip.read_interfaces(self.runner) if asks else {}
        if self._remote or not self._ports:
            return Found(database, interfaces, units)
        names = {name for port in self._ports for name in database.members.get(port.name, ())}
        return Found(database, interfaces, units, lost_devices(database) & names, loose_devices(database) & names)

    def compare(self, found: Found) -> Change:
        """The steps from what was found to what is declared."""
        replug = replugged(self._begin, found.database, found.lost, found.loose)
        database, settings = plugged(found.database, found.loose), self._settings
        known = None if self._remote or not self._ports else network_devices()
        held = Holdings(self.runner, database, self._module.params["timeout"], self._remote)
        ops, after, warnings = compare(database, self._bridges, settings, known, held.others)
        self._done.extend(ops)
        steps: list[t.Any] = [*replug, *write_steps(self._begin, database, after, ops), *held.put_back(after)]
        before, later = described(database, after, ops, [*BRIDGE_OPTIONS, *OPTIONS, FAKE_BRIDGE], "port")
        addressed = _ovs_address.compare(
            database, after, ops, self._devices, found.interfaces, found.units, settings.owner, settings.purge, booted()
        )
        taken = found.lost | found.loose
        for side, fields, is_after in ((before, addressed.before, False), (later, addressed.after, True)):
            for name in taken:
                side.setdefault(f"port {name}", {})["plugged"] = is_after
            for name, values in fields.items():
                side.setdefault(f"port {name}", {}).update(values)
        return Change([*addressed.first, *steps, *addressed.last], before, later, tuple(warnings))

    def judge(self, found: Found) -> list[str]:
        """What ovs-vswitchd and the kernel say late."""
        if self.runner.unanswered:
            return []
        database, ports = found.database, self._ports
        errors = [failed_bridge(database, bridge.name) for bridge in self._present]
        errors += [late_error(database, port.bridge, port.name) for port in ports if port.name != port.bridge]
        for port in ports:
            interface = found.interfaces.get(port.name)
            for address in interface.broken if interface and port.device.addresses else ():
                errors.append(
                    f"{port.what}: another node on the link has the address {address} too; give one of them another"
                )
        return [error for error in errors if error]

    def undo(self, found: Found) -> list[Step]:
        """The steps that take back what was refused."""
        return transaction(self._begin, taken_back(found.database, self._done))

    def state(self, found: Found) -> dict[str, t.Any]:
        """The declared bridges as they are."""
        known = found.database
        names = [bridge.name for bridge in self._present]
        states = [bridge_state(known, name) for name in names if name in known.tables["Bridge"] or is_fake(known, name)]
        for port in (port for bridge in states for port in bridge["ports"]):
            interface = found.interfaces.get(port["name"])
            if interface is not None:
                port.update(addresses=list(interface.addresses), up=interface.up)
            elif len(port["members"]) > 1 and found.interfaces:
                members = [found.interfaces.get(name) for name in port["members"]]
                port.update(up=all(member is not None and member.up for member in members))
        return {"bridges": states}


def taken_back(found: Database, done: t.Iterable[Op]) -> list[Op]:
    """The ops that take back what was newly made and which Open vSwitch then refused.

    Ports that moved into a bridge that failed go back; if their old bridge is gone, the new one has to stay.
    """
    moved = [op for op in done if isinstance(op, MovePort) and failed_bridge(found, op.target)]
    back: list[Op] = [
        MovePort(op.port, op.uuid, op.target, op.source) for op in moved if op.source in found.tables["Bridge"]
    ]
    stuck = {op.target for op in moved if op.source not in found.tables["Bridge"]}
    gone = {op.bridge for op in done if isinstance(op, AddBridge) and failed_bridge(found, op.bridge)} - stuck
    back += [DelBridge(bridge) for bridge in sorted(gone)]
    for op in done:
        if (
            isinstance(op, AddPort)
            and op.bridge not in gone
            and op.port in found.members
            and late_error(found, op.bridge, op.port)
        ):
            back.append(DelPort(op.bridge, op.port, found.tables["Port"][op.port]["_uuid"]))
    return back


def run_info(module: Module) -> t.NoReturn:
    """The module ovs_bridge_info."""
    name, owner = module.params["name"], module.params["owner"]
    runner = ovs_runner(module)
    try:
        found = read_database(runner, vsctl(module.params))
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    names = [*found.tables["Bridge"], *(x for x in found.tables["Port"] if is_fake(found, x))]
    held = Holdings(runner, found, module.params["timeout"], is_remote(module.params["database"]))
    states = [bridge_state(found, x, held.flows) for x in sorted(names) if name in (None, x)]
    module.exit_json(changed=False, bridges=[x for x in states if owner in (None, x["owner"])], spawned=runner.spawned)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference between declared bridges and those in the database, as operations on it.

This file is private to the collection and pure. Source: ovs-vswitchd.conf.db(5), tables Bridge, Port and Interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs import address as _ovs_address
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.before import (
    Before,
    bridge_given_back,
    moves_back,
    port_given_back,
    was_there,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    AddBridge,
    AddMember,
    AddPort,
    Database,
    DelBridge,
    DelMember,
    DelPort,
    MovePort,
    Op,
    apply,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.declaration import (
    BRIDGE_OPTIONS,
    DEVICE_TYPES,
    FAKE_BRIDGE,
    MODULE,
    NAMED_TYPES,
    OPTIONS,
    OWNED,
    Bridge,
    Port,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.nested import check_mirrors
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    TUNNEL_TYPES,
    Item,
    Wanted,
    configurable,
    differences,
    interface_name,
    made_by,
    mark,
    marks_of,
    owner_of,
    removable,
    words_for,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.port import check_types, check_vlans
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.rows import left_over
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.state import fake_ports, is_fake
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import CLEAR
from ansible_collections.overloom.fabric.plugins.module_utils._owner import OVS_MODULE, Caller, returned
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError


class Settings(t.NamedTuple):
    """What holds for all bridges of a call."""

    owner: str
    adopt: bool = False
    purge: bool = False
    # In check mode what an earlier task may still make is a warning.
    lenient: bool = False


def compare(
    found: Database,
    bridges: list[Bridge],
    settings: Settings,
    devices: t.Container[str] | None,
    flows: t.Callable[[str], t.Sequence[str]] = lambda _bridge: (),
) -> tuple[list[Op], Database, list[str]]:
    """The pure comparison: the changes, the database after them, and warnings.

    devices: the names of the host's network devices, or None if they are not to be looked at.
    flows: from a bridge that is not ours to the flows of others on it, in words.
    """
    warnings: list[str] = []
    ports = [port for bridge in bridges for port in bridge.ports]
    ops = _structure(found, bridges, ports, settings, warnings)
    staged = apply(found, ops)
    _check_members(staged, ports)
    for bridge in bridges:
        if bridge.real:
            ops += _bridge_values(found, staged, bridge, settings)
    for port in ports:
        if port.present:
            ops += _port_values(found, staged, port, settings)
    before = Before(
        found, Caller(settings.owner, settings.adopt), words_for([*BRIDGE_OPTIONS, *OPTIONS, FAKE_BRIDGE]), flows
    )
    ops = before.settle(ops) + _given_back(found, bridges, ports, settings)
    warnings += before.left
    after = apply(found, ops)
    ops += left_over(found, after, settings.owner)
    for bridge in bridges:
        if bridge.real:
            _check_bridge(after, bridge)
    for port in ports:
        if port.present:
            warnings += _check_port(found, after, port, settings, devices)
    return ops, after, warnings


def _bridge_values(found: Database, staged: Database, bridge: Bridge, settings: Settings) -> list[Op]:
    """The changes of a bridge's settings, with its owner mark."""
    row, ops = staged.tables["Bridge"][bridge.name], []
    if bridge.name not in found.tables["Bridge"] or settings.adopt and bridge.itself:
        ops += mark("Bridge", bridge.name, row, settings.owner, MODULE)
    return ops + differences(row, bridge.name, bridge.wanted, OWNED, marks_of(settings.owner, MODULE))


def _port_values(found: Database, staged: Database, port: Port, settings: Settings) -> list[Op]:
    """The changes of a port's settings and of its interfaces', with its owner mark."""
    row, ops = staged.tables["Port"][port.name], []
    marks = marks_of(settings.owner, MODULE)
    # The local port comes and goes with its bridge, whose mark is enough.
    if port.name != port.bridge and (port.name not in found.tables["Port"] or settings.adopt):
        ops += mark("Port", port.name, row, settings.owner, MODULE)
    ops += differences(row, port.name, [w for w in port.wanted if w.option.table == "Port"], OWNED, marks)
    for member in staged.members[port.name]:
        interface = staged.tables["Interface"][member]
        ops += differences(interface, member, _of_interface(port, member), OWNED, marks)
    return ops


def _check_bridge(after: Database, bridge: Bridge) -> None:
    """Refuse what contradicts what the bridge has besides: mirrors of ports that are not there, two kinds of spanning tree."""
    for wanted in bridge.wanted:
        if wanted.option.name == "mirrors":
            check_mirrors(bridge.name, wanted.value, [bridge.name, *after.ports_of(bridge.name)])
    row = after.tables["Bridge"][bridge.name]
    if row["stp_enable"] and row["rstp_enable"] and (bridge.item.get("stp") or bridge.item.get("rstp")):
        on, off = ("stp", "rstp") if bridge.item.get("stp") else ("rstp", "stp")
        raise FabricError(f"{bridge.what}: {off} is on, and it excludes {on}; set {off}: false")


def _of_interface(port: Port, name: str) -> list[Wanted]:
    """What is wanted of one interface of a port: what all of them get, and over it what it alone gets."""
    own = port.interfaces.get(name, [])
    named = {wanted.option.name for wanted in own}
    return [
        wanted for wanted in port.wanted if wanted.option.table == "Interface" and wanted.option.name not in named
    ] + own


def _structure(
    found: Database, bridges: list[Bridge], ports: list[Port], settings: Settings, warnings: list[str]
) -> list[Op]:
    """What comes, goes and moves."""
    structure = _Structure(found, ports, settings, warnings)
    for bridge in bridges:
        structure.bridge(bridge, bridges)
    for port in ports:
        structure.port(port)
    if settings.purge:
        structure.purge_bridges({bridge.name for bridge in bridges})
        structure.purge_ports()
    return structure.ops


class _Structure:
    """The changes of a call by which bridges and ports come, go and move."""

    def __init__(self, found: Database, ports: list[Port], settings: Settings, warnings: list[str]) -> None:
        self.found = found
        self.settings = settings
        self.owner, self.adopt = settings.owner, settings.adopt
        self.warnings = warnings
        self.stays = {port.name for port in ports if port.present}
        self.ops: list[Op] = []
        self._gone: set[str] = set()

    def bridge(self, bridge: Bridge, bridges: list[Bridge]) -> None:
        """A declared bridge."""
        row = self.found.tables["Bridge"].get(bridge.name)
        if bridge.parent:
            self._check_fake(bridge, bridges)
        elif not bridge.present and is_fake(self.found, bridge.name):
            self._remove_fake(bridge)
        elif bridge.present and row is None:
            self._add_bridge(bridge)
        elif row is None:
            return
        elif not bridge.present:
            self._remove_bridge(bridge, row)
        elif bridge.itself:
            configurable(row, bridge.what, self.owner, self.adopt)

    def _check_fake(self, bridge: Bridge, bridges: list[Bridge]) -> None:
        if bridge.name in self.found.tables["Bridge"]:
            raise FabricError(
                f"{bridge.what} is a bridge of its own already, and has no parent; choose another name, or remove it first"
            )
        declared_parents = {other.name for other in bridges if other.present and not other.parent}
        if bridge.parent not in declared_parents and bridge.parent not in self.found.tables["Bridge"]:
            raise FabricError(
                f"{bridge.what}: there is no bridge {bridge.parent}, its parent, on this host; declare it too"
            )

    def _remove_fake(self, bridge: Bridge) -> None:
        itself = self.found.tables["Port"][bridge.name]
        removable(itself, bridge.what, self.owner, self.adopt)
        for name in fake_ports(self.found, bridge.name):
            row = self.found.tables["Port"][name]
            if name not in self.stays and not _stays(row, self.settings):
                removable(row, f"port {name} of {bridge.what}", self.owner, self.adopt)
                self._remove_port(name)

    def _add_bridge(self, bridge: Bridge) -> None:
        if bridge.name in self.found.tables["Port"] or bridge.name in self.found.tables["Interface"]:
            raise FabricError(
                f"{bridge.what}: {bridge.name} is a port of bridge {self.found.bridge_of.get(bridge.name)} already; choose another name"
            )
        self.ops.append(AddBridge(bridge.name))

    def _goes(self, row: Item, what: str) -> bool:
        """Whether an object that is to be absent is removed; it is given back where we found it. Raises FabricError for what is not ours."""
        stays = _stays(row, self.settings)
        if owner_of(row) or not stays:
            removable(row, what, self.owner, self.adopt)
        if stays:
            self.warnings.append(returned(what))
        return not stays

    def _remove_bridge(self, bridge: Bridge, row: Item) -> None:
        if not self._goes(row, bridge.what):
            for name in _own_ports(self.found, bridge.name, self.stays, self.owner):
                self._remove_port(name)
            return
        foreign = _foreign(self.found, bridge.name, self.stays, self.owner)
        if foreign and not self.adopt:
            raise FabricError(
                f"{bridge.what} still has ports that this collection did not make ({', '.join(foreign)}); "
                "remove them, or give adopt: true to remove all"
            )
        self.ops.append(DelBridge(bridge.name))

    def port(self, port: Port) -> None:
        """A declared port."""
        row = self.found.tables["Port"].get(port.name)
        if not port.present:
            self._absent_port(port)
        elif port.name == port.bridge:
            return
        elif row is None:
            self.ops.append(AddPort(port.bridge, port.name, port.members or (port.name,)))
        else:
            self._change_port(port, row)

    def _absent_port(self, port: Port) -> None:
        row = self.found.tables["Port"].get(port.name)
        if row is None or self.found.bridge_of.get(port.name) != port.bridge or port.name in self.stays:
            return
        if self._goes(row, port.what):
            self._remove_port(port.name)

    def _change_port(self, port: Port, row: Item) -> None:
        if port.name in self.found.tables["Bridge"]:
            raise FabricError(f"{port.what}: {port.name} is a bridge; choose another name")
        configurable(row, port.what, self.owner, self.adopt)
        bridge = self.found.bridge_of[port.name]
        if bridge != port.bridge:
            self.ops.append(MovePort(port.name, row["_uuid"], bridge, port.bridge))
        if port.members is not None:
            self._change_members(port.name, port.members)

    def _change_members(self, port: str, members: tuple[str, ...]) -> None:
        held = self.found.members[port]
        self.ops += [AddMember(port, name) for name in members if name not in held]
        interfaces = self.found.tables["Interface"]
        self.ops += [DelMember(port, name, interfaces[name]["_uuid"]) for name in held if name not in members]

    def _remove_port(self, port: str) -> None:
        if port not in self._gone:
            self._gone.add(port)
            row = self.found.tables["Port"][port]
            self.ops.append(DelPort(self.found.bridge_of[port], port, row["_uuid"], row["fake_bridge"]))

    def _is_leftover(self, row: Item) -> bool:
        return made_by(row, self.owner, MODULE) and not was_there(row, self.owner)

    def purge_bridges(self, declared_names: t.Container[str]) -> None:
        """Remove this owner's bridges that are not declared."""
        for name, row in sorted(self.found.tables["Bridge"].items()):
            if name in declared_names or not self._is_leftover(row):
                continue
            foreign = _foreign(self.found, name, self.stays, self.owner)
            if foreign:
                self.warnings.append(
                    f"bridge {name} is kept, because it has ports that this collection did not make: {', '.join(foreign)}"
                )
            else:
                self.ops.append(DelBridge(name))

    def purge_ports(self) -> None:
        """Remove this owner's ports that are not declared; those of a bridge that goes do so with it."""
        dropped = {op.bridge for op in self.ops if isinstance(op, DelBridge)}
        for name, row in sorted(self.found.tables["Port"].items()):
            gives_way = name not in self.stays and self.found.bridge_of.get(name) not in dropped
            if gives_way and self._is_leftover(row):
                self._remove_port(name)


def _stays(row: Item, settings: Settings) -> bool:
    """Does an object stay that is to be absent, because it was there before us? To adopt means to have it removed all the same."""
    return was_there(row, settings.owner) and not settings.adopt


def _own_ports(found: Database, bridge: str, stays: t.Container[str], owner: str) -> list[str]:
    """The ports that this owner made on a bridge which was there before."""
    rows = found.tables["Port"]
    return [
        port
        for port in found.ports_of(bridge)
        if port not in stays and owner_of(rows[port]) == owner and not was_there(rows[port], owner)
    ]


def _given_back(found: Database, bridges: list[Bridge], ports: list[Port], settings: Settings) -> list[Op]:
    """The changes that put back what was there before, of what is absent now or, with purge, no longer declared."""
    owner = settings.owner
    declared_bridges = {bridge.name: bridge for bridge in bridges}
    declared_ports = {port.name: port for port in ports}
    removed = {bridge.name for bridge in bridges if not bridge.present and bridge.name in found.tables["Bridge"]}

    def goes(declared_item: t.Any, place: str | None = None) -> bool:
        if declared_item is None:
            return settings.purge or place in removed
        return not declared_item.present and not settings.adopt

    ops: list[Op] = []
    for name, row in sorted(found.tables["Bridge"].items()):
        if was_there(row, owner) and goes(declared_bridges.get(name)):
            ops += bridge_given_back(found, name, owner)
    for name, row in sorted(found.tables["Port"].items()):
        local = name in found.tables["Bridge"]
        tunnel = found.interface(name)["type"] in TUNNEL_TYPES
        place = found.bridge_of[name]
        if name not in declared_ports and row["external_ids"].get(OVS_MODULE, MODULE) != MODULE:
            continue
        deleted = (
            place in removed
            and not was_there(found.tables["Bridge"][place], owner)
            and not moves_back(found, name, owner)
        )
        if was_there(row, owner) and not local and not tunnel and not deleted and goes(declared_ports.get(name), place):
            ops += port_given_back(found, name, owner)
    return ops


def _foreign(found: Database, bridge: str, stays: t.Container[str], owner: str) -> list[str]:
    """The ports of a bridge that this owner did not make, and which do not leave it in this call."""
    rows = found.tables["Port"]
    others = [port for port in found.ports_of(bridge) if owner_of(rows[port]) != owner or was_there(rows[port], owner)]
    return [port for port in others if port not in stays and not moves_back(found, port, owner)]


def _check_members(staged: Database, ports: list[Port]) -> None:
    """Refuse an interface that is to be in two ports."""
    holder: dict[str, str] = {}
    declared_names = {port.name for port in ports if port.present}
    for name in sorted(staged.members, key=lambda n: n in declared_names):
        for member in staged.members[name]:
            if member in holder:
                raise FabricError(
                    f"port {name} of bridge {staged.bridge_of[name]}: interface {member} is in port {holder[member]} "
                    f"of bridge {staged.bridge_of[holder[member]]} already; remove it there first"
                )
            holder[member] = name


def _check_port(
    found: Database, after: Database, port: Port, settings: Settings, devices: t.Container[str] | None
) -> list[str]:
    """Refuse a port that Open vSwitch would take and not follow; returns warnings."""
    members = after.members[port.name]
    check_vlans(port.item, after.tables["Port"][port.name], port.what)
    if members == (port.name,):
        _ovs_address.check(port.device, after.interface(port.name)["type"], port.what)
    elif port.device.addresses:
        raise FabricError(f"{port.what} is a bond and has no device of its own; put addresses on an internal port")
    elif port.device.up is not None and port.members is None:
        raise FabricError(f"{port.what} is a bond, and up is for its members; declare members too, or leave up out")
    for name in port.interfaces:
        if name not in members:
            raise FabricError(
                f"{port.what}: interfaces holds {name}, which is not among its members; add it there, or correct the name"
            )
    warnings = []
    for member in members:
        _check_interface(found, after, port, member)
        warnings += _check_device(after, port, member, settings, devices)
    return warnings


def _check_interface(found: Database, after: Database, port: Port, member: str) -> None:
    """Refuse settings of an interface that do not go with its type."""
    row = after.tables["Interface"][member]
    kind, old = row["type"], found.tables["Interface"].get(member, {}).get("type")
    check_types(after, kind, port.what)
    if kind in NAMED_TYPES and old != kind:
        interface_name(
            member, f"bridge {port.bridge}: ports: name" if member == port.name else f"{port.what}: members:"
        )
    if old in TUNNEL_TYPES and kind != old:
        raise FabricError(f"{port.what} is a {old} tunnel; remove it with ovs_tunnel first")
    for wanted in _of_interface(port, member):
        option = wanted.option
        if option.types and wanted.value is not CLEAR and kind not in option.types:
            raise FabricError(
                f"{port.what}: {option.name} applies only to type {', '.join(option.types)}; its type is {kind or 'system'}"
            )
    if kind == "patch" and not row["options"].get("peer"):
        raise FabricError(
            f"{port.what}: peer is missing; a patch port needs the name of the patch port at the other end"
        )


def _check_device(
    after: Database, port: Port, member: str, settings: Settings, devices: t.Container[str] | None
) -> list[str]:
    """Refuse a network device that is not there; in check mode an earlier task may still make it, and this is a warning."""
    kind = after.tables["Interface"][member]["type"]
    if kind not in DEVICE_TYPES or devices is None or member in devices:
        return []
    missing = f"{port.what}: there is no interface {member} on this host; create it first, or set type: internal to have it made"
    if not settings.lenient:
        raise FabricError(missing)
    return [missing]

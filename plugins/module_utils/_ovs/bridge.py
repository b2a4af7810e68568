# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridges of Open vSwitch and their ports: what is declared, and the comparison with what is there.

This file is private to the collection. Source: ovs-vswitchd.conf.db(5), tables Bridge, Port and Interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import address as _ovs_address
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.before import (
    Before,
    bridge_given_back,
    flushes,
    moves_back,
    port_given_back,
    users,
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
    ovs_runner,
    read_database,
    read_or_foresee,
    transaction,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.diff import described
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.held import Reader, others, put_back
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.nested import (
    AUTO_ATTACH,
    COLLECTOR_SETS,
    CONTROLLERS,
    FLOW_TABLES,
    IPFIX,
    MIRRORS,
    NETFLOW,
    SFLOW,
    PortName,
    check_mirrors,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    TUNNEL_TYPES,
    Flag,
    Integer,
    Item,
    Mac,
    Option,
    Pairs,
    Text,
    Vlans,
    Wanted,
    Words,
    argument_spec,
    configurable,
    differences,
    extra_columns,
    failed_bridge,
    interface_name,
    is_remote,
    late_error,
    made_by,
    mark,
    marks_of,
    network_devices,
    own_keys,
    owner_of,
    parse,
    port_name,
    removable,
    view,
    vsctl,
    words_for,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.port import (
    PORT_OPTIONS,
    check_types,
    check_vlans,
    write_steps,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.rows import left_over
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import CLEAR
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, returned
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Module,
    Step,
    reconcile,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Unit, booted, read_units

MODULE = "ovs_bridge"

_MANY = 2**31 - 1
_DATAPATH_ID = (r"0x[0-9a-fA-F]{1,16}|[0-9a-fA-F]{16}", "16 hexadecimal digits, or 0x and up to 16 of them")

BRIDGE_OPTIONS = [
    Option("datapath_type", "Bridge", "datapath_type", Text("system", "netdev", same={"system": ""})),
    Option("fail_mode", "Bridge", "fail_mode", Text("standalone", "secure")),
    Option("mac", "Bridge", "other_config", Mac(), "hwaddr"),
    Option("datapath_id", "Bridge", "other_config", Text(pattern=_DATAPATH_ID), "datapath-id"),
    Option("description", "Bridge", "other_config", Text(), "dp-desc"),
    Option("serial_number", "Bridge", "other_config", Text(), "dp-sn"),
    Option("protocols", "Bridge", "protocols", Words(*(f"OpenFlow1{minor}" for minor in range(6)))),
    Option("disable_in_band", "Bridge", "other_config", Flag(), "disable-in-band"),
    Option("in_band_queue", "Bridge", "other_config", Integer(0, 2**32 - 1), "in-band-queue"),
    Option("controller_queue_size", "Bridge", "other_config", Integer(1, 512), "controller-queue-size"),
    Option("controllers", "Bridge", "controller", CONTROLLERS),
    Option("flood_vlans", "Bridge", "flood_vlans", Vlans()),
    Option("forward_bpdu", "Bridge", "other_config", Flag(), "forward-bpdu"),
    Option("mac_aging_time", "Bridge", "other_config", Integer(1, _MANY), "mac-aging-time"),
    Option("mac_table_size", "Bridge", "other_config", Integer(1, _MANY), "mac-table-size"),
    Option("stp", "Bridge", "stp_enable", Flag()),
    Option("stp_system_id", "Bridge", "other_config", Mac(), "stp-system-id"),
    Option("stp_priority", "Bridge", "other_config", Integer(0, 65535), "stp-priority"),
    Option("stp_hello_time", "Bridge", "other_config", Integer(1, 10), "stp-hello-time"),
    Option("stp_max_age", "Bridge", "other_config", Integer(6, 40), "stp-max-age"),
    Option("stp_forward_delay", "Bridge", "other_config", Integer(4, 30), "stp-forward-delay"),
    Option("rstp", "Bridge", "rstp_enable", Flag()),
    Option("rstp_address", "Bridge", "other_config", Mac(), "rstp-address"),
    Option("rstp_priority", "Bridge", "other_config", Integer(0, 61440, step=4096), "rstp-priority"),
    Option("rstp_max_age", "Bridge", "other_config", Integer(6, 40), "rstp-max-age"),
    Option("rstp_forward_delay", "Bridge", "other_config", Integer(4, 30), "rstp-forward-delay"),
    Option("rstp_force_protocol_version", "Bridge", "other_config", Integer(0, _MANY), "rstp-force-protocol-version"),
    Option("rstp_transmit_hold_count", "Bridge", "other_config", Integer(1, 10), "rstp-transmit-hold-count"),
    Option("mcast_snooping", "Bridge", "mcast_snooping_enable", Flag()),
    Option("mcast_snooping_aging_time", "Bridge", "other_config", Integer(1, _MANY), "mcast-snooping-aging-time"),
    Option("mcast_snooping_table_size", "Bridge", "other_config", Integer(1, _MANY), "mcast-snooping-table-size"),
    Option(
        "mcast_snooping_disable_flood_unregistered",
        "Bridge",
        "other_config",
        Flag(),
        "mcast-snooping-disable-flood-unregistered",
    ),
    Option("mirrors", "Bridge", "mirrors", MIRRORS),
    Option("netflow", "Bridge", "netflow", NETFLOW),
    Option("sflow", "Bridge", "sflow", SFLOW),
    Option("ipfix", "Bridge", "ipfix", IPFIX),
    Option("collector_sets", "Bridge", "collector_sets", COLLECTOR_SETS),
    Option("flow_tables", "Bridge", "flow_tables", FLOW_TABLES),
    Option("auto_attach", "Bridge", "auto_attach", AUTO_ATTACH),
    Option("external_ids", "Bridge", "external_ids", Pairs()),
    Option("other_config", "Bridge", "other_config", Pairs()),
]

PORT_TYPES = (
    "system",
    "internal",
    "patch",
    "tap",
    "afxdp",
    "afxdp-nonpmd",
    "dpdk",
    "dpdkvhostuser",
    "dpdkvhostuserclient",
)
# The types that attach a network device which must be there already.
AFXDP_TYPES = ("afxdp", "afxdp-nonpmd")
DEVICE_TYPES = ("", "system", *AFXDP_TYPES)
# The types whose interface is a network device of the kernel's, with a name as it takes it.
NAMED_TYPES = (*DEVICE_TYPES, "internal", "tap")

# Of one interface, be it the port's only one or a member of a bond.
INTERFACE_OPTIONS = [
    Option("type", "Interface", "type", Text(*PORT_TYPES, same={"system": ""})),
    Option("mtu", "Interface", "mtu_request", Integer(68, 65535)),
    Option("dpdk_devargs", "Interface", "options", Text(), "dpdk-devargs", types=("dpdk",)),
    Option("vhost_server_path", "Interface", "options", Text(), "vhost-server-path", types=("dpdkvhostuserclient",)),
    Option("n_rxq", "Interface", "options", Integer(1, _MANY), "n_rxq", types=("dpdk", *AFXDP_TYPES)),
    Option(
        "xdp_mode",
        "Interface",
        "options",
        Text("best-effort", "native-with-zerocopy", "native", "generic"),
        "xdp-mode",
        types=AFXDP_TYPES,
    ),
    Option("lacp_port_id", "Interface", "other_config", Integer(1, 65535), "lacp-port-id"),
    Option("lacp_port_priority", "Interface", "other_config", Integer(1, 65535), "lacp-port-priority"),
    Option("lacp_aggregation_key", "Interface", "other_config", Integer(1, 65535), "lacp-aggregation-key"),
    Option("options", "Interface", "options", Pairs()),
]
MEMBER_OPTIONS = [
    Option("peer", "Interface", "options", PortName(), "peer", types=("patch",)),
    Option("mac", "Interface", "mac", Mac(), types=("internal",)),
    Option("bridge_mac", "Port", "mac", Mac()),
    Option("bond_mode", "Port", "bond_mode", Text("active-backup", "balance-slb", "balance-tcp")),
    Option("bond_updelay", "Port", "bond_updelay", Integer(0, _MANY)),
    Option("bond_downdelay", "Port", "bond_downdelay", Integer(0, _MANY)),
    Option("bond_primary", "Port", "other_config", Text(), "bond-primary"),
    Option("bond_detect_mode", "Port", "other_config", Text("carrier", "miimon"), "bond-detect-mode"),
    Option("bond_miimon_interval", "Port", "other_config", Integer(1, _MANY), "bond-miimon-interval"),
    Option("bond_rebalance_interval", "Port", "other_config", Integer(0, _MANY), "bond-rebalance-interval"),
    Option("bond_hash_basis", "Port", "other_config", Integer(0, _MANY), "bond-hash-basis"),
    Option("bond_lb_output_action", "Port", "other_config", Flag(), "lb-output-action"),
    Option("bond_all_members_active", "Port", "other_config", Flag(), "all-members-active"),
    Option("bond_fake_iface", "Port", "bond_fake_iface", Flag()),
    Option("lacp", "Port", "lacp", Text("active", "passive", "off")),
    Option("lacp_time", "Port", "other_config", Text("fast", "slow"), "lacp-time"),
    Option("lacp_fallback_ab", "Port", "other_config", Flag(), "lacp-fallback-ab"),
    Option("lacp_system_id", "Port", "other_config", Mac(), "lacp-system-id"),
    Option("lacp_system_priority", "Port", "other_config", Integer(1, 65535), "lacp-system-priority"),
]
OPTIONS = INTERFACE_OPTIONS + MEMBER_OPTIONS + PORT_OPTIONS
# What makes a port a bridge of its own, on one VLAN of its parent: never declared by this name.
FAKE_BRIDGE = Option("fake_bridge", "Port", "fake_bridge", Flag())
OWNED = own_keys(BRIDGE_OPTIONS + OPTIONS)


def port_argument_spec() -> dict:
    """The options of one port."""
    return {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "members": {"type": "list", "elements": "str"},
        "interfaces": {
            "type": "list",
            "elements": "dict",
            "options": {"name": {"type": "str", "required": True}, **argument_spec(INTERFACE_OPTIONS)},
        },
        "addresses": {"type": "list", "elements": "str"},
        "up": {"type": "bool"},
        **argument_spec(OPTIONS),
    }


def bridge_argument_spec() -> dict:
    """The options of one bridge."""
    return {
        "name": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "parent": {"type": "str"},
        "vlan": {"type": "int"},
        **argument_spec(BRIDGE_OPTIONS),
        "ports": {"type": "list", "elements": "dict", "options": port_argument_spec()},
    }


class Port(t.NamedTuple):
    """One declared port.

    members: its interfaces, None to leave them. wanted: its checked values. interfaces: those of single interfaces, over these.
    item: as declared.
    """

    name: str
    bridge: str
    present: bool
    members: tuple[str, ...] | None
    wanted: list[Wanted]
    interfaces: dict[str, list[Wanted]]
    device: _ovs_address.Device
    item: Item

    @property
    def what(self) -> str:
        """How errors call it."""
        return f"port {self.name} of bridge {self.bridge}"

    @property
    def devices(self) -> list[_ovs_address.Device]:
        """The devices that are declared: its own, or those of a bond's members, which may be up and have no addresses."""
        members = self.members or (self.name,)
        if members == (self.name,):
            return [self.device]
        return [_ovs_address.Device(member, None, self.device.up) for member in members]


class Bridge(t.NamedTuple):
    """One declared bridge. parent: of a fake bridge, whose ports, and itself as a port, are the parent's."""

    name: str
    present: bool
    wanted: list[Wanted]
    ports: list[Port]
    item: Item
    parent: str | None = None

    @property
    def what(self) -> str:
        """How errors call it."""
        return f"bridge {self.name}"

    @property
    def itself(self) -> bool:
        """Is the bridge itself declared, and not only named as the place of ports?"""
        return bool(self.wanted) or not self.ports

    @property
    def real(self) -> bool:
        """Is a bridge of its own declared, with a row in the table Bridge?"""
        return self.present and not self.parent


class Settings(t.NamedTuple):
    """What holds for all bridges of a call."""

    owner: str
    adopt: bool = False
    purge: bool = False
    # In check mode what an earlier task may still make is a warning.
    lenient: bool = False


def declared(items: t.Iterable[Item]) -> list[Bridge]:
    """The declared bridges, checked as far as that goes without the host."""
    bridges: list[Bridge] = []
    for item in items:
        name = interface_name(item.get("name") or "", "bridge: name")
        if any(bridge.name == name for bridge in bridges):
            raise FabricError(f"bridge {name} is declared twice; declare it once")
        bridges.append(_bridge(name, item))
    _check_names(bridges)
    return bridges


def _bridge(name: str, item: Item) -> Bridge:
    """One declared bridge."""
    if item.get("state") == "absent":
        return Bridge(name, False, [], [], item)
    if item.get("stp") and item.get("rstp"):
        raise FabricError(f"bridge {name}: stp and rstp exclude each other; turn on one")
    if item.get("parent"):
        return _fake_bridge(name, item)
    if item.get("vlan") is not None:
        raise FabricError(f"bridge {name}: vlan is for a fake bridge; name its parent too")
    ports = [_port(name, port) for port in item.get("ports") or []]
    return Bridge(name, True, parse(BRIDGE_OPTIONS, item, f"bridge {name}"), ports, item)


def _check_names(bridges: list[Bridge]) -> None:
    """Refuse a name that two bridges, ports or members of ports share."""
    taken = {bridge.name: bridge.what for bridge in bridges if bridge.real}
    for bridge in bridges:
        for port in bridge.ports:
            if not port.present or port.name == bridge.name:
                continue
            names = dict.fromkeys((port.name, *(port.members or ())))
            for name in names:
                if name in taken:
                    raise FabricError(f"{port.what}: {name} is declared also as {taken[name]}; declare it once")
            taken.update(dict.fromkeys(names, port.what))


def _fake_bridge(name: str, item: Item) -> Bridge:
    """A bridge on one VLAN of another: an internal port of the parent, with its ports tagged alike (ovs-vsctl(8), "Fake Bridges")."""
    what = f"bridge {name}"
    parent = interface_name(item["parent"], f"{what}: parent")
    vlan = item.get("vlan")
    if vlan is None or not 1 <= vlan <= 4094:
        raise FabricError(f"{what}: vlan is {vlan}; a fake bridge needs its VLAN, from 1 to 4094")
    if parent == name:
        raise FabricError(f"{what}: parent is the bridge itself; name another bridge")
    for option in BRIDGE_OPTIONS:
        if item.get(option.name) is not None:
            raise FabricError(f"{what}: {option.name} does not apply to a fake bridge; give it to its parent {parent}")
    ports = {port.get("name"): port for port in item.get("ports") or []}
    local = {**ports.pop(name, {}), "name": name, "type": "internal", "fake_bridge": True}
    if local.get("state") == "absent":
        raise FabricError(f"{what}: its local port cannot be absent; set state: absent on the bridge")
    items = [local, *ports.values()]
    for port in items:
        if port.get("tag") not in (None, vlan, str(vlan)):
            raise FabricError(
                f"{what}: port {port['name']}: tag is {port['tag']}, and all ports of this bridge have its vlan {vlan}; leave tag out"
            )
    return Bridge(name, True, [], [_port(parent, {**port, "tag": vlan}) for port in items], item, parent)


def _port(bridge: str, item: Item) -> Port:
    name = port_name(item.get("name") or "", f"bridge {bridge}: ports: name")
    what = f"port {name} of bridge {bridge}"
    present = item.get("state") != "absent"
    members = item.get("members")
    if members is not None:
        members = tuple(sorted({port_name(member, f"{what}: members:") for member in members})) or (name,)
    if name == bridge:
        if not present:
            raise FabricError(
                f"{what} is the bridge's local port and cannot be absent; set state: absent on the bridge"
            )
        if item.get("type") not in (None, "internal") or members not in (None, (name,)):
            raise FabricError(f"{what} is the bridge's local port, which is internal; leave type and members out")
    if item.get("peer") and item["peer"] == name:
        raise FabricError(f"{what}: peer is the port itself; name the patch port at the other end")
    addresses = item.get("addresses")
    if addresses is not None:
        addresses = _ip.check_addresses(addresses, f"{what}: addresses")
        if item.get("mtu") and any(_ip.family(address) == 6 for address in addresses) and str(item["mtu"]).isdigit():
            _ip.check_mtu(int(item["mtu"]), addresses, f"{what}: mtu")
    device = _ovs_address.Device(name, addresses, item.get("up"))
    interfaces = {
        port_name(single["name"], f"{what}: interfaces: name"): parse(
            INTERFACE_OPTIONS, single, f"{what}: interface {single['name']}"
        )
        for single in item.get("interfaces") or []
    }
    wanted = parse([*OPTIONS, FAKE_BRIDGE], item, what) if present else []
    return Port(name, bridge, present, members, wanted, interfaces if present else {}, device, item)


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
        deleted = (
            place in removed
            and not was_there(found.tables["Bridge"][place], owner)
            and not moves_back(found, name, owner)
        )
        if was_there(row, owner) and not local and not tunnel and not deleted and goes(declared_ports.get(name), place):
            ops += port_given_back(found, name, owner)
    return ops


def is_fake(database: Database, name: str) -> bool:
    """Is there a fake bridge of this name?"""
    return database.tables["Port"].get(name, {}).get("fake_bridge", False)


def fake_ports(database: Database, name: str) -> list[str]:
    """The ports of a fake bridge, itself first: those of its parent with its tag (ovs-vsctl(8))."""
    rows = database.tables["Port"]
    alike = (port for port in database.ports_of(database.bridge_of[name]) if rows[port]["tag"] == rows[name]["tag"])
    return [name, *(port for port in alike if not rows[port]["fake_bridge"])]


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


def port_state(database: Database, name: str) -> Item:
    """A port as the modules return it."""
    row = database.interface(name)
    members = database.members[name]
    result = {
        "name": name,
        "bridge": database.bridge_of.get(name),
        "owner": owner_of(database.tables["Port"][name]),
        "members": list(members),
        "ofport": row["ofport"],
        "error": next((e for e in (database.tables["Interface"][m]["error"] for m in members) if e), None),
        "mac_in_use": row["mac_in_use"],
        "mtu_in_use": row["mtu"],
        "admin_state": row["admin_state"],
        "link_state": row["link_state"],
        "lacp_current": row["lacp_current"],
        "active_member_mac": database.tables["Port"][name]["bond_active_slave"],
        **view(database, "Port", name, OPTIONS),
        **view(database, "Interface", members[0], OPTIONS),
    }
    if "statistics" in row:
        result["statistics"] = row["statistics"]
        result.update({key: database.tables["Port"][name][key] for key in ("status", "rstp_status")})
    if len(members) > 1:
        result["interfaces"] = [
            {
                "name": name,
                **view(database, "Interface", name, INTERFACE_OPTIONS),
                **{key: database.tables["Interface"][name][key] for key in ("link_state", "lacp_current")},
            }
            for name in members
        ]
    if "psk" in result["options"]:
        result["options"]["psk"] = "********"
    return result


def bridge_state(
    database: Database, name: str, flows: t.Callable[[str], tuple[int | None, list[str]]] | None = None
) -> Item:
    """A bridge with its ports as the modules return it.

    flows: from a bridge to the number of its flows and those of others, in words; with it, those who use the bridge are told.
    """
    if is_fake(database, name):
        port = database.tables["Port"][name]
        return {
            "name": name,
            "parent": database.bridge_of[name],
            "vlan": port["tag"],
            "owner": owner_of(port),
            "error": database.interface(name)["error"],
            "ports": [port_state(database, x) for x in fake_ports(database, name)],
        }
    row = database.tables["Bridge"][name]
    local = database.interface(name)
    result: Item = {key: row[key] for key in ("status", "rstp_status") if key in row}
    if flows is not None:
        result["flow_count"], foreign = flows(name)
        result["users"] = users(database, name, None, lambda _bridge: foreign)
    return {
        **result,
        "name": name,
        "owner": owner_of(row),
        "adopted": was_there(row, owner_of(row) or ""),
        "datapath_id_in_use": row["datapath_id"],
        "mac_in_use": local["mac_in_use"],
        "error": failed_bridge(database, name),
        "parent": None,
        "vlan": None,
        **view(database, "Bridge", name, BRIDGE_OPTIONS),
        "ports": [port_state(database, port) for port in [name, *database.ports_of(name)] if port in database.members],
    }


class Found(t.NamedTuple):
    """What was read. interfaces: the kernel's, empty if nothing is declared of them."""

    database: Database
    interfaces: dict[str, _ip.Interface]
    units: dict[str, Unit]


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
        asks = any(device.declared for device in self._devices)
        return Found(database, _ip.read_interfaces(self.runner) if asks else {}, units)

    def compare(self, found: Found) -> Change:
        """The steps from what was found to what is declared."""
        database, settings = found.database, self._settings
        known = None if self._remote or not self._ports else network_devices()
        held = Holdings(self.runner, database, self._module.params["timeout"], self._remote)
        ops, after, warnings = compare(database, self._bridges, settings, known, held.others)
        self._done.extend(ops)
        steps: list[t.Any] = [*write_steps(self._begin, database, after, ops), *held.put_back(after)]
        before, later = described(database, after, ops, [*BRIDGE_OPTIONS, *OPTIONS, FAKE_BRIDGE], "port")
        addressed = _ovs_address.compare(
            database, after, ops, self._devices, found.interfaces, found.units, settings.owner, settings.purge, booted()
        )
        for side, fields in ((before, addressed.before), (later, addressed.after)):
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


class Holdings:
    """What bridges hold in the memory of ovs-vswitchd; it is read only where it matters.

    remote: is the database another host's, so that nothing can be read?
    """

    def __init__(self, runner: t.Any, database: Database, timeout: int, remote: bool = False) -> None:
        self._runner, self._database, self._timeout, self._remote = runner, database, timeout, remote

    def _reader(self, bridge: str) -> Reader:
        return Reader(self._runner, bridge, self._database.tables["Bridge"][bridge], self._timeout)

    def others(self, bridge: str) -> list[str]:
        """The flows of others on a bridge, in words."""
        return [] if self._remote else others(self._reader(bridge).flows())

    def flows(self, bridge: str) -> tuple[int | None, list[str]]:
        """How many flows a bridge has, None if that cannot be read, and those of others, in words."""
        reader = self._reader(bridge)
        flows = None if self._remote else reader.all_flows()
        return (None, []) if flows is None else (len(flows), others(reader.made(flows)))

    def put_back(self, after: Database) -> list[Step]:
        """The commands that bring back what Open vSwitch drops by the side when the database becomes this."""
        steps: list[Step] = []
        for name, row in sorted(self._database.tables["Bridge"].items()):
            later = after.tables["Bridge"].get(name)
            if later is not None and flushes(row, later) and not self._remote:
                # A new datapath makes the bridge anew, and its map of GENEVE options with it.
                held = self._reader(name).held(tlvs=row["datapath_type"] != later["datapath_type"])
                steps += put_back(held, name, later["protocols"], self._timeout)
        return steps


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

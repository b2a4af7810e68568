# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridges of Open vSwitch and their ports as they are declared: the options of the module ovs_bridge as typed data.

This file is private to the collection and pure. Source: ovs-vswitchd.conf.db(5), tables Bridge, Port and Interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import address as _ovs_address
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
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
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
    interface_name,
    own_keys,
    parse,
    port_name,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.port import PORT_OPTIONS
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

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

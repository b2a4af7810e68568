# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every port of an Open vSwitch bridge has, be it a device, a bond or a tunnel.

This file is private to the collection. Source for each row: ovs-vswitchd.conf.db(5), tables Port and Interface.
"""

from __future__ import annotations

import ipaddress
import itertools
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip.routes import Address as IpAddress
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    AddBridge,
    AddPort,
    Database,
    MovePort,
    Op,
    transaction,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.nested import QOS
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    TUNNEL_TYPES,
    Address,
    Flag,
    Integer,
    Item,
    Mac,
    Option,
    Pairs,
    Structure,
    Text,
    Vlans,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import CLEAR, Put
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Step

_MANY = 2**31 - 1

# The destination port that Open vSwitch uses when none is given; with the type it tells tunnels apart.
DEFAULT_PORTS = {"vxlan": "4789", "geneve": "6081", "stt": "7471", "lisp": "4341", "gtpu": "2152", "bareudp": "6635"}

PORT_OPTIONS = [
    # VLANs
    Option("tag", "Port", "tag", Integer(1, 4094)),
    Option("trunks", "Port", "trunks", Vlans()),
    Option(
        "vlan_mode", "Port", "vlan_mode", Text("access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel")
    ),
    Option("cvlans", "Port", "cvlans", Vlans()),
    Option("qinq_ethtype", "Port", "other_config", Text("802.1ad", "802.1q"), "qinq-ethtype"),
    Option("priority_tags", "Port", "other_config", Text("always", "if-nonzero", "never"), "priority-tags"),
    Option("protected", "Port", "protected", Flag()),
    # Quality of service
    Option("qos", "Port", "qos", QOS),
    # Spanning trees and multicast
    Option("stp", "Port", "other_config", Flag(True), "stp-enable"),
    Option("stp_port_num", "Port", "other_config", Integer(1, 255), "stp-port-num"),
    Option("stp_port_priority", "Port", "other_config", Integer(0, 255), "stp-port-priority"),
    Option("stp_path_cost", "Port", "other_config", Integer(0, 65535), "stp-path-cost"),
    Option("rstp", "Port", "other_config", Flag(True), "rstp-enable"),
    Option("rstp_port_num", "Port", "other_config", Integer(1, 4095), "rstp-port-num"),
    Option("rstp_port_priority", "Port", "other_config", Integer(0, 240, step=16), "rstp-port-priority"),
    Option("rstp_path_cost", "Port", "other_config", Integer(0, 200000000), "rstp-path-cost"),
    Option("rstp_admin_edge", "Port", "other_config", Flag(), "rstp-port-admin-edge"),
    Option("rstp_auto_edge", "Port", "other_config", Flag(True), "rstp-port-auto-edge"),
    Option("rstp_mcheck", "Port", "other_config", Flag(), "rstp-port-mcheck"),
    Option("mcast_snooping_flood", "Port", "other_config", Flag(), "mcast-snooping-flood"),
    Option("mcast_snooping_flood_reports", "Port", "other_config", Flag(), "mcast-snooping-flood-reports"),
    # The interface
    Option("ofport_request", "Interface", "ofport_request", Integer(1, 65279)),
    Option("ingress_policing_rate", "Interface", "ingress_policing_rate", Integer(0, _MANY)),
    Option("ingress_policing_burst", "Interface", "ingress_policing_burst", Integer(0, _MANY)),
    Option("ingress_policing_kpkts_rate", "Interface", "ingress_policing_kpkts_rate", Integer(0, _MANY)),
    Option("ingress_policing_kpkts_burst", "Interface", "ingress_policing_kpkts_burst", Integer(0, _MANY)),
    Option("lldp", "Interface", "lldp", Flag(), "enable"),
    Option(
        "bfd",
        "Interface",
        "bfd",
        Structure(
            enable=Flag(),
            min_rx=Integer(1, _MANY),
            min_tx=Integer(1, _MANY),
            mult=Integer(1, 255),
            decay_min_rx=Integer(0, _MANY),
            forwarding_if_rx=Flag(),
            cpath_down=Flag(),
            check_tnl_key=Flag(),
            oam=Flag(),
            bfd_local_src_mac=Mac(),
            bfd_local_dst_mac=Mac(),
            bfd_remote_dst_mac=Mac(),
            bfd_src_ip=Address(version=4),
            bfd_dst_ip=Address(version=4),
        ),
    ),
    Option("cfm_mpid", "Interface", "cfm_mpid", Integer(1, 2**63 - 1)),
    Option("cfm_interval", "Interface", "other_config", Integer(1, 600000), "cfm_interval"),
    Option("cfm_extended", "Interface", "other_config", Flag(), "cfm_extended"),
    Option("cfm_demand", "Interface", "other_config", Flag(), "cfm_demand"),
    Option("cfm_opstate", "Interface", "other_config", Text("up", "down"), "cfm_opstate"),
    Option("cfm_ccm_vlan", "Interface", "other_config", Integer(1, 4095), "cfm_ccm_vlan"),
    Option("cfm_ccm_pcp", "Interface", "other_config", Integer(1, 7), "cfm_ccm_pcp"),
    # Kept by ovs-ctl only as long as the host runs
    Option("transient", "Port", "other_config", Flag(), "transient"),
    # Maps
    Option("external_ids", "Port", "external_ids", Pairs()),
    Option("other_config", "Port", "other_config", Pairs()),
    Option("interface_external_ids", "Interface", "external_ids", Pairs()),
    Option("interface_other_config", "Interface", "other_config", Pairs()),
]


def check_vlans(item: Item, row: Item, what: str) -> None:
    """Refuse VLAN settings that Open vSwitch would take and then not follow.

    item: the declared options; row: the Port row as it will be. what: names the port in the sentence.
    """
    if not any(item.get(name) for name in ("tag", "trunks", "vlan_mode")):
        return
    mode, tag = row["vlan_mode"], row["tag"]
    if mode in ("access", "native-tagged", "native-untagged", "dot1q-tunnel") and tag is None:
        raise FabricError(f"{what}: vlan_mode {mode} needs a VLAN; give tag")
    if item.get("trunks") and tag is not None and mode in (None, "access", "dot1q-tunnel"):
        raise FabricError(
            f"{what}: trunks has no effect on an access port, and its tag is {tag}; "
            "clear tag with an empty value, or set vlan_mode to native-tagged or native-untagged"
        )


def check_types(database: Database, kind: str, what: str) -> None:
    """Refuse an interface type that the installed Open vSwitch does not have."""
    if database.types and kind and kind not in database.types:
        raise FabricError(
            f"{what}: the installed Open vSwitch {database.version} does not support the type {kind}; it has {', '.join(database.types)}"
        )


def ip_address(text: str | None) -> IpAddress | None:
    """The address that a text spells, or None."""
    try:
        return ipaddress.ip_address(text) if text else None
    except ValueError:
        return None


def identity(database: Database, port: str) -> tuple[t.Any, ...]:
    """What tells a tunnel from the others of its datapath (ovs-vswitchd.conf.db(5), "Tunnel Options").

    A key of 0 is no key, and each type has its default port.
    """
    row = database.interface(port)
    options, kind = row["options"], row["type"]
    bridge = database.tables["Bridge"].get(database.bridge_of.get(port, ""), {})
    key = "0" if kind == "bareudp" else options.get("in_key", options.get("key", "0"))
    local, remote = options.get("local_ip"), options.get("remote_ip")
    return (
        "netdev" if bridge.get("datapath_type") == "netdev" else "system",
        kind,
        str(ip_address(local) or local),
        str(ip_address(remote) or remote),
        key if key == "flow" else Integer(0, 0).canonical(key),
        options.get("dst_port", DEFAULT_PORTS.get(kind)),
    )


def write_steps(
    begin: t.Sequence[str], found: Database, after: Database, ops: t.Sequence[Op], secrets: tuple[str, ...] = ()
) -> list[Step]:
    """The transaction, and another call before or after it where one is needed.

    The row of a bridge that was removed by hand, but for the collector sets that keep it, has to go before the name is used again.
    A tunnel port that comes to its bridge while another that could not be told from it leaves is refused at first
    ("File exists"), because ovs-vswitchd forgets the old one only at the end of its round. Any later change makes it
    try again; clearing the error is the one that changes nothing else.
    A patch port that turns to a peer which comes at the same time would never find it: it turns in a call of its own.
    """
    remains = [uuid for op in ops if isinstance(op, AddBridge) for uuid in found.remains.get(op.bridge, ())]
    steps = [Step((*begin, "--", "--if-exists", "destroy", "Flow_Sample_Collector_Set", *remains))] if remains else []
    peers = [op for op in ops if isinstance(op, Put) and (op.column, op.key) == ("options", "peer")]
    turns = [op for op in peers if op.record in found.members and op.value not in (CLEAR, *found.members)]
    steps += transaction(begin, [op for op in ops if op not in turns] if turns else ops, secrets) + transaction(
        begin, turns
    )
    again = [("--", "clear", "Interface", port, "error") for port in _refused_at_first(found, after, ops)]
    return steps + ([Step((*begin, *itertools.chain(*again)))] if again else [])


def _refused_at_first(found: Database, after: Database, ops: t.Iterable[Op]) -> list[str]:
    """The tunnel ports that come, or change their type, while one leaves that cannot be told from them."""
    taken = {identity(found, port) for port in found.members if found.interface(port)["type"] in TUNNEL_TYPES}
    refused = []
    for op in ops:
        comes = isinstance(op, (AddPort, MovePort)) or isinstance(op, Put) and op.column == "type"
        port = op.record if isinstance(op, Put) else getattr(op, "port", "")
        is_tunnel = comes and port in after.members and after.interface(port)["type"] in TUNNEL_TYPES
        if is_tunnel and identity(after, port) in taken:
            refused.append(port)
    return refused

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of bridges and their ports, for one bridge and for a list of them."""

from __future__ import annotations

from ansible_collections.overloom.fabric.plugins.doc_fragments.ovs_port import PORT, nested

# What controllers and managers have in common.
REMOTE = r"""
connection_mode:
  description:
    - Whether the other end is reached by a bridge itself or by another network. An empty value clears it.
  type: str
  choices: ["", in-band, out-of-band]
inactivity_probe:
  description:
    - After how many idle milliseconds the connection is probed; 0 turns that off.
  type: raw
max_backoff:
  description:
    - How many milliseconds lie between two attempts to connect at the most, at least 1000.
  type: raw
dscp:
  description:
    - The DSCP of the packets of the connection, from 0 to 63.
  type: raw
other_config:
  description:
    - Its other settings.
  type: dict
"""

# Of the bridge, and of a set of collectors for single flows.
IPFIX = r"""
targets:
  description:
    - The collectors, at least one, as V(192.0.2.9:4739).
  type: list
  elements: str
sampling:
  description:
    - One packet of so many is sampled.
  type: raw
obs_domain_id:
  description:
    - The observation domain.
  type: raw
obs_point_id:
  description:
    - The observation point.
  type: raw
cache_active_timeout:
  description:
    - For how many seconds a flow is held at the most, from 0 to 4200.
  type: raw
cache_max_flows:
  description:
    - How many flows are held at the most; 0 holds none.
  type: raw
enable_tunnel_sampling:
  description:
    - Whether the outer headers of tunnels are reported.
  type: bool
enable_input_sampling:
  description:
    - Whether packets are sampled when they come in.
  type: bool
enable_output_sampling:
  description:
    - Whether packets are sampled when they go out.
  type: bool
virtual_obs_id:
  description:
    - A name for what is observed.
  type: str
other_config:
  description:
    - Its other settings.
  type: dict
"""

BRIDGE = (
    r"""
state:
  description:
    - Whether it should be there. What this collection did not make is removed only with O(adopt=true).
    - Removing what is not there changes nothing.
    - A bridge that has ports which this collection did not make is removed only with O(adopt=true).
  type: str
  choices: [present, absent]
  default: present
parent:
  description:
    - >-
      The bridge of which this is one VLAN, which makes it a fake bridge: an internal port of the parent, and ports with its VLAN.
    - Of the other options only O(vlan), O(ports) and O(state) go with it.
  type: str
vlan:
  description:
    - The VLAN of a fake bridge, from 1 to 4094. Its ports get it as their tag.
  type: int
datapath_type:
  description:
    - V(system), or empty, is the kernel's datapath, V(netdev) the one in user space.
  type: str
  choices: ["", system, netdev]
fail_mode:
  description:
    - What the bridge does without a controller. An empty value clears it.
  type: str
  choices: ["", standalone, secure]
mac:
  description:
    - The bridge's MAC address. An empty value clears it.
  type: str
datapath_id:
  description:
    - The OpenFlow datapath identifier, 16 hexadecimal digits. An empty value clears it.
  type: str
description:
  description:
    - What the bridge says of itself to OpenFlow controllers. An empty value clears it.
  type: str
serial_number:
  description:
    - The serial number that the bridge tells OpenFlow controllers. An empty value clears it.
  type: str
protocols:
  description:
    - The OpenFlow versions that may be spoken. An empty list clears it.
  type: list
  elements: str
  choices: [OpenFlow10, OpenFlow11, OpenFlow12, OpenFlow13, OpenFlow14, OpenFlow15]
disable_in_band:
  description:
    - Whether control by OpenFlow over the bridge itself is off.
  type: bool
in_band_queue:
  description:
    - The queue that control by OpenFlow over the bridge itself uses. An empty value clears it.
  type: raw
controller_queue_size:
  description:
    - How many packets for controllers wait at the most, from 1 to 512. An empty value clears it.
  type: raw
controllers:
  description:
    - >-
      The OpenFlow controllers, all of them: those that are not given are removed, an empty list removes all.
    - With C(ssl) and C(pssl), M(overloom.fabric.ovs_switch) gives the switch its key and certificates.
  type: list
  elements: dict
  suboptions:
    target:
      description:
        - Where the controller is, or where to listen for it, such as V(tcp:192.0.2.1:6653), V(ssl:192.0.2.1:6653) or V(ptcp:6653).
      type: str
      required: true
    @REMOTE
    local_ip:
      description:
        - The IPv4 address of the local port for an in-band controller.
      type: str
    local_netmask:
      description:
        - Its netmask.
      type: str
    local_gateway:
      description:
        - Its gateway.
      type: str
    enable_async_messages:
      description:
        - Whether the controller gets messages that it did not ask for.
      type: bool
    rate_limit:
      description:
        - How many packets a second go to the controller at the most, at least 100.
      type: raw
    burst_limit:
      description:
        - How many packets may be saved up beyond that, at least 25.
      type: raw
    queue_size:
      description:
        - How many packets wait for it at the most, from 1 to 512.
      type: raw
    type:
      description:
        - Whether it is a controller that the bridge itself heeds in its O(fail_mode), or one that only serves, such as C(ovs-ofctl).
      type: str
      choices: ["", primary, service]
flood_vlans:
  description:
    - The VLANs on which no MAC addresses are learned, as numbers and ranges. An empty list clears it.
  type: list
  elements: raw
forward_bpdu:
  description:
    - Whether frames of spanning tree protocols and the like are forwarded.
  type: bool
mac_aging_time:
  description:
    - After how many seconds a learned MAC address is forgotten. An empty value clears it.
  type: raw
mac_table_size:
  description:
    - How many MAC addresses are learned at the most. An empty value clears it.
  type: raw
stp:
  description:
    - Whether the spanning tree protocol (802.1D) is on.
  type: bool
stp_system_id:
  description:
    - The bridge's identifier in the spanning tree, a MAC address. An empty value clears it.
  type: str
stp_priority:
  description:
    - The bridge's priority in the spanning tree, from 0 to 65535. An empty value clears it.
  type: raw
stp_hello_time:
  description:
    - The interval of hello messages in seconds, from 1 to 10. An empty value clears it.
  type: raw
stp_max_age:
  description:
    - The maximum age of information in seconds, from 6 to 40. An empty value clears it.
  type: raw
stp_forward_delay:
  description:
    - The delay before a port forwards in seconds, from 4 to 30. An empty value clears it.
  type: raw
rstp:
  description:
    - Whether the rapid spanning tree protocol is on. It excludes O(stp).
  type: bool
rstp_address:
  description:
    - The bridge's identifier in the rapid spanning tree, a MAC address. An empty value clears it.
  type: str
rstp_priority:
  description:
    - The bridge's priority in the rapid spanning tree, from 0 to 61440 in steps of 4096. An empty value clears it.
  type: raw
rstp_max_age:
  description:
    - The maximum age of information in seconds, from 6 to 40. An empty value clears it.
  type: raw
rstp_forward_delay:
  description:
    - The delay before a port forwards in seconds, from 4 to 30. An empty value clears it.
  type: raw
rstp_force_protocol_version:
  description:
    - The version of the rapid spanning tree protocol; below 2 it is the older one. An empty value clears it.
  type: raw
rstp_transmit_hold_count:
  description:
    - How many messages a port sends in a second at the most, from 1 to 10. An empty value clears it.
  type: raw
mcast_snooping:
  description:
    - Whether multicast snooping is on.
  type: bool
mcast_snooping_aging_time:
  description:
    - After how many seconds a multicast group is forgotten. An empty value clears it.
  type: raw
mcast_snooping_table_size:
  description:
    - How many multicast groups are learned at the most. An empty value clears it.
  type: raw
mcast_snooping_disable_flood_unregistered:
  description:
    - Whether frames to groups that nobody joined go only to the ports of multicast routers.
  type: bool
mirrors:
  description:
    - Copies of frames, to a port (SPAN) or to a VLAN (RSPAN).
    - Mirrors that carry the mark of O(owner) and are not in the list are removed; those that others made stay. An empty list removes all own ones.
  type: list
  elements: dict
  suboptions:
    name:
      description:
        - The mirror's name.
      type: str
      required: true
    select_all:
      description:
        - Whether every frame is copied that O(mirrors[].select_vlans) allows.
      type: bool
    select_src_ports:
      description:
        - Ports of the bridge, whose frames are copied when they come in.
      type: list
      elements: str
    select_dst_ports:
      description:
        - Ports of the bridge, whose frames are copied when they go out.
      type: list
      elements: str
    select_vlans:
      description:
        - The VLANs whose frames are copied, as numbers and ranges; all without it.
      type: list
      elements: raw
    output_port:
      description:
        - The port of the bridge that gets the copies, and nothing else.
      type: str
    output_vlan:
      description:
        - The VLAN that gets the copies. Put it into O(flood_vlans) too.
      type: raw
    snaplen:
      description:
        - To how many bytes copies are cut, from 14 to 65535.
      type: raw
netflow:
  description:
    - Where the bridge reports flows by NetFlow. All of it, so what is not given is as Open vSwitch has it. An empty dictionary turns it off.
  type: dict
  suboptions:
    targets:
      description:
        - The collectors, at least one, as V(192.0.2.9:2055).
      type: list
      elements: str
    active_timeout:
      description:
        - After how many seconds a flow that goes on is reported; 0 is the default of 600, -1 turns it off.
      type: raw
    engine_type:
      description:
        - The type of engine that is reported, from 0 to 255.
      type: raw
    engine_id:
      description:
        - The number of engine that is reported, from 0 to 255.
      type: raw
    add_id_to_interface:
      description:
        - Whether the seven highest bits of an interface's number are the engine's.
      type: bool
sflow:
  description:
    - Where the bridge reports samples by sFlow. All of it, so what is not given is as Open vSwitch has it. An empty dictionary turns it off.
  type: dict
  suboptions:
    targets:
      description:
        - The collectors, at least one, as V(192.0.2.9) or V(192.0.2.9:6343).
      type: list
      elements: str
    agent:
      description:
        - The interface whose address is the agent's, or the address itself.
      type: str
    sampling:
      description:
        - One packet of so many is sampled.
      type: raw
    polling:
      description:
        - The interval of counters in seconds.
      type: raw
    header:
      description:
        - How many bytes of a packet are reported.
      type: raw
ipfix:
  description:
    - Where the bridge reports flows by IPFIX. All of it, so what is not given is as Open vSwitch has it. An empty dictionary turns it off.
  type: dict
  suboptions:
    @IPFIX
collector_sets:
  description:
    - Collectors for single flows, to which OpenFlow's action C(sample) sends by their number.
    - Sets that carry the mark of O(owner) and are not in the list are removed; those that others made stay. An empty list removes all own ones.
  type: list
  elements: dict
  suboptions:
    id:
      description:
        - The set's number.
      type: raw
      required: true
    ipfix:
      description:
        - As O(ipfix), for the packets of these flows; what samples which packets is the flow's matter.
      type: dict
      suboptions:
        @IPFIX
flow_tables:
  description:
    - >-
      Settings of OpenFlow tables, all of them: tables that are not given have none, an empty list removes all.
    - What is in the tables is the matter of M(overloom.fabric.ovs_flow).
  type: list
  elements: dict
  suboptions:
    table:
      description:
        - The table's number, from 0 to 254.
      type: raw
      required: true
    name:
      description:
        - The table's name.
      type: str
    flow_limit:
      description:
        - How many flows it takes.
      type: raw
    overflow_policy:
      description:
        - What happens to one more.
      type: str
      choices: ["", refuse, evict]
    groups:
      description:
        - By which fields flows to be evicted are chosen fairly.
      type: list
      elements: str
    prefixes:
      description:
        - The fields whose prefixes are looked up by a tree, three at the most.
      type: list
      elements: str
auto_attach:
  description:
    - How the bridge attaches itself to a fabric (802.1Qcj). All of it, so what is not given is as Open vSwitch has it. An empty dictionary turns it off.
    - Open vSwitch then adds the VLANs of O(auto_attach.mappings) to the O(ports[].trunks) of ports with O(ports[].lldp) by itself, so leave these out.
  type: dict
  suboptions:
    system_name:
      description:
        - The name of the system.
      type: str
    system_description:
      description:
        - Its description.
      type: str
    mappings:
      description:
        - From the number of a service (I-SID) to its VLAN.
      type: dict
external_ids:
  description:
    - >-
      The bridge's external identifiers, all of them: keys that are not given are removed, an empty dictionary removes all.
    - The owner mark, and keys that hypervisors and Open vSwitch itself set (such as V(bridge-id)), stay unless they are given.
  type: dict
other_config:
  description:
    - >-
      The bridge's other settings, all of those that have no option of their own: keys that are not given are removed, an empty dictionary removes all.
  type: dict
""".replace("    @REMOTE\n", nested(REMOTE, 2))
    .replace("        @IPFIX\n", nested(IPFIX, 4))
    .replace("    @IPFIX\n", nested(IPFIX, 2))
)

# Of one interface: the port's only one, or a member of a bond.
INTERFACE = r"""
type:
  description:
    - The type of the interface. V(system), or empty, is a network device that is on the host already;
    - V(internal) is one that Open vSwitch makes; V(patch) is one end of a cable to another bridge.
    - If it is left out, a new port is V(system), and the type of one that is there is left.
  type: str
  choices: ["", system, internal, patch, tap, afxdp, afxdp-nonpmd, dpdk, dpdkvhostuser, dpdkvhostuserclient]
mtu:
  description:
    - The MTU of the interface, from 68 to 65535 (C(mtu_request)). An empty value clears it.
  type: raw
dpdk_devargs:
  description:
    - The device of type V(dpdk), such as V(0000:06:00.0). An empty value clears it.
  type: str
vhost_server_path:
  description:
    - The socket of type V(dpdkvhostuserclient). An empty value clears it.
  type: str
n_rxq:
  description:
    - The number of receive queues of types V(dpdk), V(afxdp) and V(afxdp-nonpmd). An empty value clears it.
  type: raw
xdp_mode:
  description:
    - How the driver is used by types V(afxdp) and V(afxdp-nonpmd). An empty value clears it.
  type: str
  choices: ["", best-effort, native-with-zerocopy, native, generic]
lacp_port_id:
  description:
    - The interface's number in LACP, from 1 to 65535. An empty value clears it.
  type: raw
lacp_port_priority:
  description:
    - The interface's priority in LACP, from 1 to 65535; a lower number is preferred. An empty value clears it.
  type: raw
lacp_aggregation_key:
  description:
    - The interface's key in LACP, from 1 to 65535; only interfaces with the same key are used together. An empty value clears it.
  type: raw
options:
  description:
    - >-
      The interface's options, all of those that have no option of their own: keys that are not given are removed, an empty dictionary removes all.
  type: dict
"""

PORTS = r"""
ports:
  description:
    - Ports of the bridge. A port that hangs in another bridge moves to this one with all its settings.
    - Ports that are not named stay as they are, unless O(purge=true).
  type: list
  elements: dict
  suboptions:
"""

OF_PORT = r"""
name:
  description:
    - The port's name, and its interface's. The bridge's own name stands for the bridge's local port.
  type: str
  required: true
state:
  description:
    - Whether it should be there. What this collection did not make is removed only with O(adopt=true).
    - Removing what is not there changes nothing.
  type: str
  choices: [present, absent]
  default: present
members:
  description:
    - The interfaces of a bond. With one interface, or left out, the port is no bond.
    - Members come and go without the bond going down.
  type: list
  elements: str
interfaces:
  description:
    - Settings of single members of a bond, over those that the port gives to all.
  type: list
  elements: dict
  suboptions:
    name:
      description:
        - The name of the member.
      type: str
      required: true
"""

REST_OF_PORT = r"""
addresses:
  description:
    - The addresses of an internal port, such as V(10.1.1.1/24) and V(fd00::1/64); the port is up then.
    - They are there again after a reboot, and after a restart of C(ovs-vswitchd), by a systemd unit V(overloom-port-NAME.service).
    - An empty list removes all.
  type: list
  elements: str
up:
  description:
    - Whether the port's device is up, now and after a reboot; of a bond, all of its members. Without it, a port with addresses is up, and others
      are left.
  type: bool
peer:
  description:
    - The name of the patch port at the other end. Declare both in the same call.
  type: str
mac:
  description:
    - The MAC address of an internal interface. An empty value clears it.
  type: str
bridge_mac:
  description:
    - The MAC address that counts when Open vSwitch chooses the bridge's. An empty value clears it.
  type: str
bond_mode:
  description:
    - How a bond chooses among its members. An empty value clears it.
  type: str
  choices: ["", active-backup, balance-slb, balance-tcp]
bond_updelay:
  description:
    - For how many milliseconds a member must be up before it is used. An empty value clears it.
  type: raw
bond_downdelay:
  description:
    - For how many milliseconds a member must be down before it is no longer used. An empty value clears it.
  type: raw
bond_primary:
  description:
    - The member that is used while it is up, with V(active-backup). An empty value clears it.
  type: str
bond_detect_mode:
  description:
    - How the failure of a member is found out. An empty value clears it.
  type: str
  choices: ["", carrier, miimon]
bond_miimon_interval:
  description:
    - The interval in milliseconds of V(miimon). An empty value clears it.
  type: raw
bond_rebalance_interval:
  description:
    - After how many milliseconds flows may move to another member; 0 turns that off. An empty value clears it.
  type: raw
bond_hash_basis:
  description:
    - A number that is hashed along with flows when a member is chosen. An empty value clears it.
  type: raw
bond_lb_output_action:
  description:
    - Whether V(balance-tcp) chooses the member without recirculation, in the datapath in user space.
  type: bool
bond_all_members_active:
  description:
    - Whether broadcast and multicast frames are taken from members that are not active.
  type: bool
bond_fake_iface:
  description:
    - Whether a device of the bond's name is made, for software that expects one.
  type: bool
lacp:
  description:
    - Whether the port speaks LACP, and whether it begins. An empty value clears it.
  type: str
  choices: ["", active, passive, "off"]
lacp_time:
  description:
    - Whether LACP messages are asked for every second (V(fast)) or every 30 seconds (V(slow)). An empty value clears it.
  type: str
  choices: ["", fast, slow]
lacp_fallback_ab:
  description:
    - Whether a bond whose peer does not speak LACP falls back to V(active-backup).
  type: bool
lacp_system_id:
  description:
    - The LACP system identifier, a MAC address. An empty value clears it.
  type: str
lacp_system_priority:
  description:
    - The LACP system priority, from 1 to 65535. An empty value clears it.
  type: raw
"""

NAME = r"""
name:
  description:
    - The bridge's name, of 1 to 15 characters.
  type: str
"""

BRIDGES = r"""
bridges:
  description:
    - Any number of bridges; the options of each are those of this module for one bridge.
    - With O(purge=true), own bridges that are not in the list are removed, and so are own ports that no bridge of the
      list names, also where its O(bridges[].ports) is left out. An empty list removes all own bridges.
  type: list
  elements: dict
  suboptions:
"""


def _port(depth: int) -> str:
    shared = INTERFACE + REST_OF_PORT + PORT.replace("O(@", "O(ports[].")
    return nested(PORTS, depth) + nested(OF_PORT, depth + 2) + nested(INTERFACE, depth + 4) + nested(shared, depth + 2)


class ModuleDocFragment:
    """All of it. Annotated, because the linter of YAML takes every plain assignment here for a document as it stands."""

    DOCUMENTATION: str = (
        "options:\n"
        + nested(NAME, 1)
        + nested(BRIDGE, 1)
        + _port(1)
        + nested(BRIDGES, 1)
        + nested(NAME, 3)
        + "        required: true\n"
        + nested(BRIDGE, 3)
        + _port(3)
    )

#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_bridge
short_description: Make Open vSwitch bridges and their ports what is declared
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Creates, changes and removes bridges of Open vSwitch with their ports, in one transaction of C(ovs-vsctl).
  - Takes one bridge as plain options, or any number of them as O(bridges).
  - An option that is left out leaves things as they are; an empty value clears; a value makes it so.
  - What Open vSwitch reports only after the change, such as an interface that it cannot open, is an error of the task,
    and what was newly made and came to nothing is removed again.
  - Bridges and ports made here carry the mark of O(owner) in their C(external_ids). Others are configured when they are
    declared, and never removed.
  - Each option's meaning is that of ovs-vswitchd.conf.db(5).
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
  - overloom.fabric.ovs
options:
  name:
    description:
      - The bridge's name, of 1 to 15 characters.
    type: str
  # A bridge's other options, here and in each item of the list.
  <<: &bridge
    state:
      description:
        - Whether it should be there. What this collection did not make is removed only with O(adopt=true).
        - Removing what is not there changes nothing.
        - A bridge that has ports which this collection did not make is removed only with O(adopt=true).
      type: str
      choices: [present, absent]
      default: present
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
    controllers:
      description:
        - The OpenFlow controllers, such as V(tcp:192.0.2.1:6653) or V(ptcp:6653). An empty list removes all.
      type: list
      elements: str
    ports:
      description:
        - Ports of the bridge. A port that hangs in another bridge moves to this one with all its settings.
        - Ports that are not named stay as they are, unless O(purge=true).
      type: list
      elements: dict
      suboptions:
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
        addresses:
          description:
            - The addresses of an internal port, such as V(10.1.1.1/24) and V(fd00::1/64); the port is up then.
            - They are there again after a reboot, and after a restart of C(ovs-vswitchd), by a systemd unit V(overloom-port-NAME.service).
            - An empty list removes all.
          type: list
          elements: str
        up:
          description:
            - Whether the port's device is up, now and after a reboot. Without it, a port with addresses is up, and others are left.
          type: bool
        type:
          description:
            - The type of the interface. V(system), or empty, is a network device that is on the host already;
            - V(internal) is one that Open vSwitch makes; V(patch) is one end of a cable to another bridge.
            - If it is left out, a new port is V(system), and the type of one that is there is left.
          type: str
          choices: ["", system, internal, patch, tap, afxdp, afxdp-nonpmd, dpdk, dpdkvhostuser, dpdkvhostuserclient]
        peer:
          description:
            - The name of the patch port at the other end. Declare both in the same call.
          type: str
        mtu:
          description:
            - The MTU of the interface, from 68 to 65535 (C(mtu_request)). An empty value clears it.
          type: raw
        mac:
          description:
            - The MAC address of an internal interface. An empty value clears it.
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
        options:
          description:
            - >-
              The interface's options, all of those that have no option of their own: keys that are not given are removed, an empty dictionary removes all.
          type: dict
        tag:
          description:
            - The VLAN of an access port, or the native VLAN, from 1 to 4094. An empty value clears it.
          type: raw
        trunks:
          description:
            - The VLANs that a trunk port carries, as numbers and ranges such as V(10-20). V(0) stands for untagged frames.
            - An empty list clears it, and the port carries all VLANs.
          type: list
          elements: raw
        vlan_mode:
          description:
            - How the port treats VLANs. Without it a port with O(ports[].tag) is an access port, and every other a trunk port. An empty value clears it.
          type: str
          choices: ["", access, trunk, native-tagged, native-untagged, dot1q-tunnel]
        cvlans:
          description:
            - The customer VLANs that a port with O(ports[].vlan_mode=dot1q-tunnel) carries, as numbers and ranges.
            - An empty list clears it.
          type: list
          elements: raw
        qinq_ethtype:
          description:
            - The Ethernet type of the outer tag of a port with O(ports[].vlan_mode=dot1q-tunnel). An empty value clears it.
          type: str
          choices: ["", "802.1ad", "802.1q"]
        priority_tags:
          description:
            - When a frame without a VLAN leaves with a priority tag. An empty value clears it.
          type: str
          choices: ["", always, if-nonzero, never]
        protected:
          description:
            - Frames never go from one protected port to another protected port of the bridge (split horizon).
          type: bool
        stp:
          description:
            - Whether the port takes part in the bridge's spanning tree, where that is on.
          type: bool
        stp_port_priority:
          description:
            - The port's priority in the spanning tree, from 0 to 255. An empty value clears it.
          type: raw
        stp_path_cost:
          description:
            - The port's path cost in the spanning tree, from 0 to 65535. An empty value clears it.
          type: raw
        rstp:
          description:
            - Whether the port takes part in the bridge's rapid spanning tree, where that is on.
          type: bool
        rstp_port_priority:
          description:
            - The port's priority in the rapid spanning tree, from 0 to 240 in steps of 16. An empty value clears it.
          type: raw
        rstp_path_cost:
          description:
            - The port's path cost in the rapid spanning tree. An empty value clears it.
          type: raw
        rstp_admin_edge:
          description:
            - Whether the port is an edge port of the rapid spanning tree.
          type: bool
        rstp_auto_edge:
          description:
            - Whether the rapid spanning tree finds out by itself that the port is an edge port.
          type: bool
        mcast_snooping_flood:
          description:
            - Whether multicast frames, except reports, always go to this port.
          type: bool
        mcast_snooping_flood_reports:
          description:
            - Whether multicast reports always go to this port.
          type: bool
        ofport_request:
          description:
            - The OpenFlow port number to ask for, from 1 to 65279. An empty value clears it.
          type: raw
        ingress_policing_rate:
          description:
            - The highest rate at which frames are taken from the interface, in kbit/s; 0 is no limit. An empty value clears it.
          type: raw
        ingress_policing_burst:
          description:
            - The burst that goes with O(ports[].ingress_policing_rate), in kbit. An empty value clears it.
          type: raw
        ingress_policing_kpkts_rate:
          description:
            - The highest rate at which frames are taken from the interface, in thousands of packets a second; 0 is no limit. An empty value clears it.
          type: raw
        ingress_policing_kpkts_burst:
          description:
            - The burst that goes with O(ports[].ingress_policing_kpkts_rate), in thousands of packets. An empty value clears it.
          type: raw
        lldp:
          description:
            - Whether LLDP is on for the interface.
          type: bool
        bfd:
          description:
            - Bidirectional forwarding detection (RFC 5880) on the interface. The keys that are given are made so, all others are removed.
            - An empty dictionary clears it.
          type: dict
          suboptions:
            enable:
              description:
                - Whether BFD is on.
              type: bool
            min_rx:
              description:
                - The shortest interval in milliseconds at which messages are taken.
              type: raw
            min_tx:
              description:
                - The shortest interval in milliseconds at which messages are sent.
              type: raw
            mult:
              description:
                - After how many lost messages the session is down, from 1 to 255.
              type: raw
            decay_min_rx:
              description:
                - The interval in milliseconds at which messages are taken while there is no traffic; 0 turns this off.
              type: raw
            forwarding_if_rx:
              description:
                - Whether received traffic counts as a sign that the interface forwards.
              type: bool
            cpath_down:
              description:
                - Whether the other end is told not to send traffic here.
              type: bool
            check_tnl_key:
              description:
                - Whether only messages with a tunnel key of zero are taken.
              type: bool
            oam:
              description:
                - Whether messages are marked as OAM frames, where the encapsulation can do so.
              type: bool
            bfd_local_src_mac:
              description:
                - The source MAC address of messages.
              type: str
            bfd_local_dst_mac:
              description:
                - The destination MAC address of messages.
              type: str
            bfd_remote_dst_mac:
              description:
                - The destination MAC address that received messages must have.
              type: str
            bfd_src_ip:
              description:
                - The source IPv4 address of messages.
              type: str
            bfd_dst_ip:
              description:
                - The destination IPv4 address of messages.
              type: str
        cfm_mpid:
          description:
            - The maintenance point identifier of connectivity fault management (802.1ag) on the interface; setting it turns it on. An empty value clears it.
          type: raw
        cfm_interval:
          description:
            - The interval of its heartbeats in milliseconds. An empty value clears it.
          type: raw
        cfm_extended:
          description:
            - Whether it runs in extended mode.
          type: bool
        cfm_demand:
          description:
            - Whether it runs in demand mode, in which traffic counts as a heartbeat.
          type: bool
        cfm_opstate:
          description:
            - The operational state that it announces in extended mode. An empty value clears it.
          type: str
          choices: ["", up, down]
        external_ids:
          description:
            - >-
              The port's external identifiers, all of them: keys that are not given are removed, an empty dictionary removes all.
            - The owner mark, and keys that hypervisors and Open vSwitch itself set (such as V(iface-id)), stay unless they are given.
          type: dict
        other_config:
          description:
            - >-
              The port's other settings, all of those that have no option of their own: keys that are not given are removed, an empty dictionary removes all.
          type: dict
        interface_external_ids:
          description:
            - As O(ports[].external_ids), for the port's interface.
          type: dict
        interface_other_config:
          description:
            - As O(ports[].other_config), for the port's interface.
          type: dict
  bridges:
    description:
      - Any number of bridges; the options of each are those of this module for one bridge.
      - With O(purge=true), own bridges that are not in the list are removed, and so are own ports that no bridge of the
        list names, also where its O(bridges[].ports) is left out. An empty list removes all own bridges.
    type: list
    elements: dict
    suboptions:
      <<: *bridge
      name:
        description:
          - The bridge's name, of 1 to 15 characters.
        type: str
        required: true
seealso:
  - module: overloom.fabric.ovs_bridge_info
  - module: overloom.fabric.ovs_tunnel
"""

EXAMPLES = r"""
- name: An integration bridge in user space
  overloom.fabric.ovs_bridge:
    name: br-int
    datapath_type: netdev
    fail_mode: standalone

- name: An access port, a trunk port and an internal port
  overloom.fabric.ovs_bridge:
    name: br-int
    ports:
      - name: veth-red
        tag: 20
      - name: eth1
        trunks: [10, 20-29]
      - name: tep0
        type: internal
        mtu: 1500
        addresses: [192.168.200.20/24]

- name: Two bridges with a patch cable between them, and nothing else of ours
  overloom.fabric.ovs_bridge:
    purge: true
    bridges:
      - name: br-ex
        ports:
          - {name: to-int, type: patch, peer: to-ex}
      - name: br-int
        ports:
          - {name: to-ex, type: patch, peer: to-int}

- name: A bond with LACP
  overloom.fabric.ovs_bridge:
    name: br-ex
    ports:
      - name: bond0
        members: [eth1, eth2]
        bond_mode: balance-tcp
        lacp: active

- name: Remove a bridge
  overloom.fabric.ovs_bridge:
    name: br-int
    state: absent
"""

RETURN = r"""
bridges:
  description:
    - The declared bridges as they are now. In check mode, as they were found.
    - Each holds the options of this module, typed, and what is listed here.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The bridge's name.
      type: str
      sample: br-int
    owner:
      description: Whose mark it carries.
      type: str
    mac_in_use:
      description: The MAC address of its local port.
      type: str
    datapath_id_in_use:
      description: Its OpenFlow datapath identifier.
      type: str
    error:
      description: Why it does not work, if so.
      type: str
    ports:
      description: Its ports, the local one first, with the options of O(ports) and what is listed here.
      type: list
      elements: dict
      contains:
        ofport:
          description: The OpenFlow port number.
          type: int
        error:
          description: What Open vSwitch says is wrong with the port, if so.
          type: str
        mac_in_use:
          description: The interface's MAC address.
          type: str
        mtu_in_use:
          description: The interface's MTU.
          type: int
        link_state:
          description: Whether the link is V(up) or V(down).
          type: str
commands:
  description: The commands that were executed, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
  sample: ["ovs-vsctl --timeout=60 -- --may-exist add-br br-int -- set Bridge br-int datapath_type=netdev"]
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovs import ovs_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._ovs_bridge import bridge_argument_spec, run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    """Ansible's entry."""
    single = bridge_argument_spec()
    item = dict(single, name={"type": "str", "required": True})
    module = AnsibleModule(
        argument_spec={
            "bridges": {"type": "list", "elements": "dict", "options": item},
            **single,
            **ovs_argument_spec(),
            **owner_argument_spec(),
        },
        mutually_exclusive=[("bridges", name) for name in single if name != "state"],
        required_one_of=[("bridges", "name")],
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_tunnel
short_description: Make tunnels of Open vSwitch what is declared
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Creates, changes and removes tunnel ports of Open vSwitch bridges, hundreds in one transaction of C(ovs-vsctl).
  - Takes one tunnel as plain options, or any number of them as O(tunnels).
  - An option that is left out leaves things as they are; an empty value clears; a value makes it so. Whatever was
    changed by hand is repaired.
  - A tunnel that could not work is refused before anything changes, with one sentence that says why. What Open vSwitch
    reports only after the change is an error of the task, and a new tunnel that came to nothing is removed again.
  - Tunnels made here carry the mark of O(owner) in their C(external_ids). Others are configured when they are declared,
    and never removed.
  - All tunnels of a call are one transaction. Only beyond some four thousand new tunnels, where the kernel's limit for
    the arguments of a command comes near, they become several, each of which is done as a whole or not at all.
  - Each option's meaning is that of ovs-vswitchd.conf.db(5).
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
  - overloom.fabric.ovs
options:
  name:
    description:
      - The tunnel port's name, of 1 to 15 characters.
    type: str
  # A tunnel's other options, here and in each item of the list.
  <<: &tunnel
    bridge:
      description:
        - The bridge that the tunnel hangs in. A tunnel that hangs in another bridge moves to this one with all its settings.
        - Needed unless O(state=absent).
      type: str
    state:
      description:
        - Whether it should be there. What this collection did not make is removed only with O(adopt=true).
        - Removing what is not there changes nothing.
      type: str
      choices: [present, absent]
      default: present
    type:
      description:
        - The encapsulation. Needed for a new tunnel; if it changes, the tunnel is made anew, and options that the new type does not know are removed.
        - V(gre) and V(erspan) run over IPv4 in the kernel's datapath, V(ip6gre) and V(ip6erspan) over IPv6.
      type: str
      choices: [gre, ip6gre, vxlan, geneve, stt, lisp, erspan, ip6erspan, gtpu, bareudp, srv6]
    remote_ip:
      description:
        - The other end's IPv4 or IPv6 address, or V(flow) to have it set by OpenFlow. Needed for a new tunnel.
      type: str
    local_ip:
      description:
        - This end's IPv4 or IPv6 address, or V(flow). An empty value clears it.
      type: str
    key:
      description:
        - The tunnel's key (VNI) in both directions, or V(flow). At most 24 bits for V(vxlan), V(geneve) and V(lisp), 32 for V(gre), V(ip6gre) and V(gtpu), 64
          for V(stt), 10 for V(erspan) and V(ip6erspan). An empty value clears it.
      type: raw
    in_key:
      description:
        - As O(key), for packets that are received. An empty value clears it.
      type: raw
    out_key:
      description:
        - As O(key), for packets that are sent. An empty value clears it.
      type: raw
    dst_port:
      description:
        - The destination port of encapsulations over UDP or TCP. An empty value clears it.
      type: raw
    csum:
      description:
        - Whether packets are sent with a checksum of the encapsulation.
      type: bool
    ttl:
      description:
        - The time to live of the outer packet, from 1 to 255, or V(inherit). An empty value clears it.
      type: raw
    tos:
      description:
        - The type of service of the outer packet, from 0 to 252 in steps of 4, or V(inherit). An empty value clears it.
      type: raw
    df_default:
      description:
        - Whether the outer packet must not be fragmented.
      type: bool
    egress_pkt_mark:
      description:
        - The packet mark of the outer packet. An empty value clears it.
      type: raw
    exts:
      description:
        - The extensions of VXLAN, V(gbp) or V(gpe). An empty value clears it.
      type: str
    packet_type:
      description:
        - Which packets the tunnel carries and how they are shown to OpenFlow. An empty value clears it.
      type: str
      choices: ["", legacy_l2, legacy_l3, ptap]
    seq:
      description:
        - Whether GRE packets carry a sequence number.
      type: bool
    erspan_ver:
      description:
        - The version of ERSPAN, 1 (type II) or 2 (type III). An empty value clears it.
      type: raw
    erspan_idx:
      description:
        - The index of ERSPAN version 1, 20 bits. An empty value clears it.
      type: raw
    erspan_dir:
      description:
        - The direction of ERSPAN version 2, 0 for ingress and 1 for egress. An empty value clears it.
      type: raw
    erspan_hwid:
      description:
        - The hardware identifier of ERSPAN version 2, 6 bits. An empty value clears it.
      type: raw
    payload_type:
      description:
        - The Ethernet type, or protocol, that a V(bareudp) tunnel carries. An empty value clears it.
      type: str
    srv6_segs:
      description:
        - The segments of an V(srv6) tunnel, IPv6 addresses separated by commas. An empty value clears it.
      type: str
    srv6_flowlabel:
      description:
        - How the flow label of an V(srv6) tunnel is set. An empty value clears it.
      type: str
      choices: ["", copy, zero, compute]
    psk:
      description:
        - The pre-shared key of IPsec; it is never shown. An empty value clears it.
      type: str
    remote_cert:
      description:
        - The certificate of the other end for IPsec, a name of a PEM file. An empty value clears it.
      type: str
    remote_name:
      description:
        - The common name in the certificate of the other end for IPsec. An empty value clears it.
      type: str
    options:
      description:
        - >-
          The tunnel's other options, all of those that have no option of their own: keys that are not given are removed, an empty dictionary removes all.
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
        - How the port treats VLANs. Without it a port with O(tag) is an access port, and every other a trunk port. An empty value clears it.
      type: str
      choices: ["", access, trunk, native-tagged, native-untagged, dot1q-tunnel]
    cvlans:
      description:
        - The customer VLANs that a port with O(vlan_mode=dot1q-tunnel) carries, as numbers and ranges.
        - An empty list clears it.
      type: list
      elements: raw
    qinq_ethtype:
      description:
        - The Ethernet type of the outer tag of a port with O(vlan_mode=dot1q-tunnel). An empty value clears it.
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
        - The burst that goes with O(ingress_policing_rate), in kbit. An empty value clears it.
      type: raw
    ingress_policing_kpkts_rate:
      description:
        - The highest rate at which frames are taken from the interface, in thousands of packets a second; 0 is no limit. An empty value clears it.
      type: raw
    ingress_policing_kpkts_burst:
      description:
        - The burst that goes with O(ingress_policing_kpkts_rate), in thousands of packets. An empty value clears it.
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
        - As O(external_ids), for the port's interface.
      type: dict
    interface_other_config:
      description:
        - As O(other_config), for the port's interface.
      type: dict
  tunnels:
    description:
      - Any number of tunnels; the options of each are those of this module for one tunnel.
      - With O(purge=true), own tunnels that are not in the list are removed. An empty list removes all own tunnels.
    type: list
    elements: dict
    suboptions:
      <<: *tunnel
      name:
        description:
          - The tunnel port's name, of 1 to 15 characters.
        type: str
        required: true
  check_route:
    description:
      - Refuse a tunnel to whose O(remote_ip) the host has no route in its main table. In check mode it is a warning.
      - Turn it off where the route comes up later, or where policy routing leads to it.
    type: bool
    default: true
seealso:
  - module: overloom.fabric.ovs_tunnel_info
  - module: overloom.fabric.ovs_bridge
"""

EXAMPLES = r"""
- name: A GRE tunnel that is a trunk of three VLANs
  overloom.fabric.ovs_tunnel:
    bridge: br2
    name: gre0
    type: gre
    remote_ip: 192.168.200.21
    trunks: [10, 20, 30]

- name: A mesh of VXLAN tunnels without loops, watched by BFD, and no other tunnel of ours
  overloom.fabric.ovs_tunnel:
    purge: true
    tunnels:
      - bridge: br-int
        name: vx-kvm2
        type: vxlan
        key: 100
        remote_ip: 192.168.200.21
        local_ip: 192.168.200.20
        protected: true
        bfd: {enable: true, min_rx: 300, min_tx: 300}
      - bridge: br-int
        name: vx-kvm3
        type: vxlan
        key: 100
        remote_ip: 192.168.200.22
        local_ip: 192.168.200.20
        protected: true
        bfd: {enable: true, min_rx: 300, min_tx: 300}

- name: One tunnel for all peers, set by OpenFlow
  overloom.fabric.ovs_tunnel:
    bridge: br-int
    name: gnv0
    type: geneve
    remote_ip: flow
    key: flow

- name: Remove a tunnel
  overloom.fabric.ovs_tunnel:
    name: gre0
    state: absent
"""

RETURN = r"""
tunnels:
  description:
    - The declared tunnels as they are now. In check mode, as they were found.
    - Each holds what is listed here, and the options that all ports share, typed.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The tunnel port's name.
      type: str
      sample: gre0
    bridge:
      description: The bridge that it hangs in.
      type: str
      sample: br2
    owner:
      description: Whose mark it carries.
      type: str
    type:
      description: The encapsulation.
      type: str
      sample: gre
    options:
      description: The tunnel's options as Open vSwitch holds them, with secrets masked.
      type: dict
      sample: {"remote_ip": "192.168.200.21", "key": "100"}
    ofport:
      description: The OpenFlow port number; -1 if Open vSwitch could not set it up.
      type: int
      sample: 1
    error:
      description: What Open vSwitch says is wrong with the tunnel, if so.
      type: str
    bfd_status:
      description: The state of BFD, empty when it is off.
      type: dict
      sample: {"state": "up", "forwarding": "true"}
    egress_interface:
      description: The interface by which packets to the other end leave, if Open vSwitch says so.
      type: str
      sample: tep0
commands:
  description: The commands that were executed, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovs import ovs_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._ovs_tunnel import run, tunnel_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    """Ansible's entry."""
    single = tunnel_argument_spec()
    item = dict(single, name={"type": "str", "required": True})
    module = AnsibleModule(
        argument_spec={
            "tunnels": {"type": "list", "elements": "dict", "options": item},
            "check_route": {"type": "bool", "default": True},
            **single,
            **ovs_argument_spec(),
            **owner_argument_spec(),
        },
        mutually_exclusive=[("tunnels", name) for name in single if name != "state"],
        required_one_of=[("tunnels", "name")],
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every port of an Open vSwitch bridge has, be it a device, a bond or a tunnel: written once, shown in two modules."""

from __future__ import annotations

import textwrap


def nested(text: str, depth: int) -> str:
    """Options for this depth of a document."""
    return textwrap.indent(text.strip("\n"), "  " * depth) + "\n"


# O(@NAME) is another option of the same port.
PORT = r"""
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
    - How the port treats VLANs. Without it a port with O(@tag) is an access port, and every other a trunk port. An empty value clears it.
  type: str
  choices: ["", access, trunk, native-tagged, native-untagged, dot1q-tunnel]
cvlans:
  description:
    - The customer VLANs that a port with O(@vlan_mode=dot1q-tunnel) carries, as numbers and ranges.
    - An empty list clears it.
  type: list
  elements: raw
qinq_ethtype:
  description:
    - The Ethernet type of the outer tag of a port with O(@vlan_mode=dot1q-tunnel). An empty value clears it.
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
qos:
  description:
    - How frames leave the port (QoS). All of it, so what is not given is as Open vSwitch has it. An empty dictionary removes it.
    - It becomes a row of the port alone, which goes with the port. One that was made by hand may serve other ports too, and stays.
  type: dict
  suboptions:
    type:
      description:
        - The discipline, such as V(linux-htb), V(linux-hfsc), V(linux-sfq), V(linux-codel), V(linux-fq_codel), V(linux-netem), V(linux-noop).
        - The datapath in user space has V(egress-policer) and V(trtcm-policer).
      type: str
    max_rate:
      description:
        - The highest rate of all queues together, in bit/s.
      type: raw
    cir:
      description:
        - The committed rate of V(egress-policer) and V(trtcm-policer), in byte/s.
      type: raw
    cbs:
      description:
        - The committed burst of V(egress-policer) and V(trtcm-policer), in bytes.
      type: raw
    eir:
      description:
        - The excess rate of V(trtcm-policer), in byte/s.
      type: raw
    ebs:
      description:
        - The excess burst of V(trtcm-policer), in bytes.
      type: raw
    queues:
      description:
        - The queues. OpenFlow sends to one by its number (C(set_queue)); what is sent to none goes to number 0.
      type: list
      elements: dict
      suboptions:
        queue_id:
          description:
            - The queue's number.
          type: raw
          required: true
        dscp:
          description:
            - What frames of the queue get as their DSCP, from 0 to 63.
          type: raw
        min_rate:
          description:
            - The rate that is kept for the queue, in bit/s.
          type: raw
        max_rate:
          description:
            - The highest rate of the queue, in bit/s.
          type: raw
        burst:
          description:
            - The burst of V(linux-htb), in bits.
          type: raw
        priority:
          description:
            - The priority of V(linux-htb); a lower number comes first.
          type: raw
        other_config:
          description:
            - The queue's other settings.
          type: dict
    other_config:
      description:
        - Its other settings, such as C(latency) of V(linux-netem).
      type: dict
stp:
  description:
    - Whether the port takes part in the bridge's spanning tree, where that is on.
  type: bool
stp_port_num:
  description:
    - The port's number in the spanning tree, from 1 to 255. An empty value clears it.
  type: raw
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
rstp_port_num:
  description:
    - The port's number in the rapid spanning tree, from 1 to 4095. An empty value clears it.
  type: raw
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
rstp_mcheck:
  description:
    - Whether the rapid spanning tree tests if bridges of the older one are still on the link.
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
    - The burst that goes with O(@ingress_policing_rate), in kbit. An empty value clears it.
  type: raw
ingress_policing_kpkts_rate:
  description:
    - The highest rate at which frames are taken from the interface, in thousands of packets a second; 0 is no limit. An empty value clears it.
  type: raw
ingress_policing_kpkts_burst:
  description:
    - The burst that goes with O(@ingress_policing_kpkts_rate), in thousands of packets. An empty value clears it.
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
cfm_ccm_vlan:
  description:
    - The VLAN tag of heartbeats, from 1 to 4095. An empty value clears it.
  type: raw
cfm_ccm_pcp:
  description:
    - The priority in the VLAN tag of heartbeats, from 1 to 7. An empty value clears it.
  type: raw
transient:
  description:
    - Whether the port is removed when Open vSwitch starts with C(--delete-transient-ports).
  type: bool
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
    - As O(@external_ids), for the port's interface.
  type: dict
interface_other_config:
  description:
    - As O(@other_config), for the port's interface.
  type: dict
"""


class ModuleDocFragment:
    """The options of one port, for a module whose own options they are."""

    DOCUMENTATION: str = "options:\n" + nested(PORT.replace("O(@", "O("), 1)

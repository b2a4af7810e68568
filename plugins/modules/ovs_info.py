#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_info
short_description: Read the whole state of a host's Open vSwitch
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Returns what is asked for by O(gather), typed. What the database holds is read by one call of C(ovs-vsctl);
    the learned addresses, OpenFlow tables and datapath flows take some calls for each bridge.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.attributes.info
  - overloom.fabric.database
  - overloom.fabric.ovs
options:
  gather:
    description:
      - What to read. V(statistics) adds counters and the state of spanning trees to V(bridges).
    type: list
    elements: str
    choices: [switch, bridges, statistics, tunnels, fdb, flows, groups, meters, tables, tlvs, datapath_flows]
    default: [switch, bridges, tunnels]
  bridges:
    description:
      - Only the bridges of exactly these names, with what belongs to them; all without it.
    type: list
    elements: str
  owned:
    description:
      - Only the bridges that carry the mark of O(owner).
    type: bool
    default: false
  owner:
    description:
      - Whose bridges with O(owned=true), and whose flows are marked as ours.
    type: str
    default: overloom.fabric
seealso:
  - module: overloom.fabric.ovs_bridge_info
  - module: overloom.fabric.ovs_tunnel_info
  - module: overloom.fabric.ovs_flow_info
"""

EXAMPLES = r"""
- name: Read the switch, its bridges and its tunnels
  overloom.fabric.ovs_info:
  register: ovs

- name: Tunnels that do not work
  ansible.builtin.debug:
    msg: "{{ ovs.tunnels | rejectattr('error', 'none') | map(attribute='name') }}"

- name: Where the addresses of br-int were learned, and what its datapath does
  overloom.fabric.ovs_info:
    bridges: [br-int]
    gather: [fdb, datapath_flows]
"""

RETURN = r"""
switch:
  description: The switch as a whole, as M(overloom.fabric.ovs_switch) returns it.
  returned: when asked for
  type: dict
bridges:
  description:
    - The bridges with their ports, as M(overloom.fabric.ovs_bridge_info) returns them.
    - With V(statistics) in O(gather), each port has its counters as C(statistics), and C(status) and C(rstp_status).
  returned: when asked for
  type: list
  elements: dict
tunnels:
  description: The tunnels with BFD, CFM and errors, as M(overloom.fabric.ovs_tunnel_info) returns them.
  returned: when asked for
  type: list
  elements: dict
fdb:
  description: The learned addresses.
  returned: when asked for
  type: list
  elements: dict
  contains:
    bridge:
      description: The bridge.
      type: str
      sample: br-int
    port:
      description: The name of the port behind which the address is.
      type: str
      sample: gre0
    vlan:
      description: The VLAN; 0 is none.
      type: int
      sample: 10
    mac:
      description: The address.
      type: str
      sample: 02:00:00:00:00:01
    age:
      description: The seconds since it was seen; none for a static one.
      type: int
    static:
      description: Whether it was set by hand.
      type: bool
flows:
  description: The flows with their counters, as M(overloom.fabric.ovs_flow_info) returns them, each with its bridge.
  returned: when asked for
  type: list
  elements: dict
groups:
  description: The groups with their counters, likewise.
  returned: when asked for
  type: list
  elements: dict
meters:
  description: The meters with their counters, likewise.
  returned: when asked for
  type: list
  elements: dict
tables:
  description: The tables that have flows, likewise.
  returned: when asked for
  type: list
  elements: dict
tlvs:
  description: The GENEVE options that each bridge maps to fields, likewise.
  returned: when asked for
  type: list
  elements: dict
datapath_flows:
  description: What the datapath does with packets that it has seen lately.
  returned: when asked for
  type: list
  elements: dict
  contains:
    bridge:
      description: The bridge.
      type: str
    match:
      description: The packets that it is for.
      type: str
      sample: "recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no)"
    actions:
      description: What is done with them.
      type: str
      sample: "3"
    n_packets:
      description: How many packets it has handled, without the first.
      type: int
    n_bytes:
      description: How many bytes these had.
      type: int
    used:
      description: The seconds since the last of them, if there was one.
      type: float
    offloaded:
      description: Whether the NIC does it.
      type: bool
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.info import info_argument_spec, run


def main() -> None:
    """Ansible's entry."""
    module = AnsibleModule(argument_spec=info_argument_spec(), supports_check_mode=True)
    run(module)


if __name__ == "__main__":
    main()

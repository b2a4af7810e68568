#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_flow_info
short_description: Read the OpenFlow flows, groups, meters and tables of an Open vSwitch bridge
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Returns the flows of one bridge with their counters, its groups and meters with theirs, and the tables that have flows.
  - A flow, group or meter is returned in the words of the options of M(overloom.fabric.ovs_flow).
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.attributes.info
options:
  bridge:
    description:
      - The bridge's name.
    type: str
    required: true
  table:
    description:
      - Return flows of this table only.
    type: int
  cookie:
    description:
      - Return flows with this cookie only, or with those that a cookie/mask holds, such as V(0x6f76000000000000/0xffff000000000000).
    type: str
  match:
    description:
      - Return only flows that match on at least these fields, with the same form as in M(overloom.fabric.ovs_flow).
    type: dict
  gather:
    description:
      - What to read.
    type: list
    elements: str
    choices: [flows, groups, meters, tables, tlvs]
    default: [flows, groups, meters, tables, tlvs]
  owner:
    description:
      - Whose flows are marked as ours.
    type: str
    default: overloom.fabric
  timeout:
    description:
      - For how many seconds each command may wait for C(ovs-vswitchd).
    type: int
    default: 60
requirements:
  - Open vSwitch 2.10 or newer, with its commands C(ovs-ofctl) and C(ovs-vsctl)
seealso:
  - module: overloom.fabric.ovs_flow
"""

EXAMPLES = r"""
- name: The flows of table 5 that are for IPv4 from port red
  overloom.fabric.ovs_flow_info:
    bridge: br0
    gather: [flows]
    table: 5
    match: {in_port: red, ip: true}
  register: openflow

- name: Those that have seen no packet
  ansible.builtin.debug:
    msg: "{{ openflow.flows | selectattr('n_packets', 'eq', 0) }}"
"""

RETURN = r"""
flows:
  description: The flows, with the options of M(overloom.fabric.ovs_flow), their counters, and whether they are ours.
  returned: when asked for
  type: list
  elements: dict
  contains:
    table:
      description: The table.
      type: int
    priority:
      description: The priority.
      type: int
    match:
      description: The fields that it matches on; a protocol's value is true.
      type: dict
      sample: {"ip": true, "in_port": "red", "nw_dst": "10.1.1.0/24"}
    actions:
      description: The actions; none drop.
      type: list
      elements: str
      sample: ["output:gre0"]
    cookie:
      description: The cookie.
      type: str
      sample: "0x6f76112233440000"
    ours:
      description: Whether the cookie is one of O(owner).
      type: bool
    n_packets:
      description: How many packets it has matched.
      type: int
    n_bytes:
      description: How many bytes these had.
      type: int
    duration:
      description: Since how many seconds it is there.
      type: float
    idle_age:
      description: Since how many seconds it has matched nothing.
      type: int
    hard_age:
      description: Since how many seconds it is unchanged, if it was changed.
      type: int
    idle_timeout:
      description: After how many seconds without a packet it goes away; 0 is never.
      type: int
    hard_timeout:
      description: After how many seconds it goes away; 0 is never.
      type: int
    importance:
      description: Its importance when flows are evicted.
      type: int
    send_flow_rem:
      description: Whether controllers are told when it goes away. The other flags of M(overloom.fabric.ovs_flow) are returned likewise.
      type: bool
groups:
  description: The groups, with the options of M(overloom.fabric.ovs_flow), and their counters as C(statistics).
  returned: when asked for
  type: list
  elements: dict
  sample: [{"group_id": 1, "type": "all", "buckets": [], "statistics": {"packet_count": 0, "byte_count": 0, "ref_count": 1}}]
meters:
  description: The meters, with the options of M(overloom.fabric.ovs_flow), and their counters as C(statistics).
  returned: when asked for
  type: list
  elements: dict
  sample: [{"meter_id": "1", "unit": "kbps", "bands": [{"type": "drop", "rate": 1000}], "statistics": {"packet_in_count": 0}}]
tables:
  description: The tables that have flows, with how many, how many packets were looked up, and how many found a flow.
  returned: when asked for
  type: list
  elements: dict
  sample: [{"table": 0, "active": 3, "lookup": 10, "matched": 9}]
tlvs:
  description: The GENEVE options that the bridge maps to fields, with the options of M(overloom.fabric.ovs_flow).
  returned: when asked for
  type: list
  elements: dict
  sample: [{"class": "0x0102", "type": 128, "length": 4, "field": "tun_metadata0"}]
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 7
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.bundle import info_argument_spec, run_info


def main() -> None:
    """Ansible's entry."""
    module = AnsibleModule(argument_spec=info_argument_spec(), supports_check_mode=True)
    run_info(module)


if __name__ == "__main__":
    main()

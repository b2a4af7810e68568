#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_flow
short_description: Manage the OpenFlow flows, groups and meters of an Open vSwitch bridge
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Adds, changes and removes flows and groups of one bridge as one bundle of C(ovs-ofctl). All of it happens at once, or none.
    Meters cannot be in a bundle. They are made before it, and removed after it.
  - Takes one flow as plain options, or any number of them as O(flows), each as structured data or as C(ovs-ofctl)'s text.
  - An option that is left out leaves things as they are; an empty value clears; a value makes it so.
    A flow, group or meter given as text states the whole thing.
  - What is wanted and what is there are compared in the words of Open vSwitch itself, so its own spelling is never a change.
    Only what differs is sent. Counters are kept, also those of a flow whose actions change, unless O(reset_counts=true).
  - Each flow made here carries a cookie, by which it is known to be ours. Unless O(cookie) says otherwise, its bits 63 to 48 are
    C(0x6f76), its bits 47 to 16 the first 32 bits of the SHA-256 of O(owner), and its bits 15 to 0 are free for use in the
    C(cookie) of each of O(flows). Flows with other cookies are never changed or removed without O(adopt=true), and neither is a group
    or meter of others that such a flow uses.
  - Groups and meters have no cookie. Those which were made here are listed in a file of the host, see O(persist).
    A group or meter that is still used is not removed.
  - Flows that the action C(learn) makes carry the cookie that this action gives them, 0 by default. Give them one that is not
    ours, or a table of their own that is not among O(tables), so that O(purge) leaves them alone.
  - C(ovs-vswitchd) keeps flows, groups and meters in its memory only. A service brings them back, see O(persist).
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  bridge:
    description:
      - The bridge's name.
    type: str
    required: true
  flows:
    description:
      - The flows, with the same options as one flow has.
      - O(purge) removes flows only if this is given or one flow is; an empty list removes all flows that are ours
        if O(purge=true).
    type: list
    elements: dict
    suboptions:
      <<: &flow
        flow:
          description:
            - The whole flow as C(ovs-ofctl add-flow) takes it, for example V(table=0,priority=10,ip,nw_dst=10.0.0.0/24,actions=drop).
            - A line of C(ovs-ofctl dump-flows) can be given as it is.
            - With O(state=absent), actions may be missing.
          type: str
        table:
          description:
            - The table, from 0 to 254. It is 0 if it is left out.
          type: int
        priority:
          description:
            - The priority, from 0 to 65535. It is 32768 if it is left out.
          type: int
        match:
          description:
            - The packets that the flow is for, by the names of fields of ovs-fields(7). Left out or empty, it is for all packets.
            - A protocol such as C(ip), C(tcp6), C(arp) is a key whose value is V(true).
            - C(in_port) is a port's name or its number.
          type: dict
        actions:
          description:
            - What is done with the packets, one action of ovs-actions(7) an element. An empty list drops them.
            - >-
              An element is text, such as V(output:gre0), or a dictionary with one key. C({output: gre0}) is C(output:gre0),
              C({normal: true}) is C(normal), C({ct: {commit: true, zone: 1}}) is C(ct(commit,zone=1)), and
              C({resubmit: ["", 3]}) is C(resubmit(,3)).
            - Ports are given by their name or number.
          type: list
          elements: raw
        idle_timeout:
          description:
            - After how many seconds without a packet the flow goes away. V(0) is never.
          type: int
        hard_timeout:
          description:
            - After how many seconds the flow goes away. V(0) is never.
          type: int
        importance:
          description:
            - The flow's importance when the switch must evict some, from 0 to 65535. V(0) is not to be evicted for its importance.
          type: int
        send_flow_rem:
          description:
            - Whether controllers are told when the flow goes away.
          type: bool
        check_overlap:
          description:
            - Whether the flow is refused when another of the same priority overlaps with it.
          type: bool
        reset_counts:
          description:
            - Whether a change of the flow sets its counters to 0.
          type: bool
        no_packet_counts:
          description:
            - Tells the switch that the flow's packets need not be counted.
          type: bool
        no_byte_counts:
          description:
            - Tells the switch that the flow's bytes need not be counted.
          type: bool
        state:
          description:
            - Whether it should be there. Removing what is not there changes nothing.
          type: str
          choices: [present, absent]
          default: present
      cookie:
        description:
          - The flow's cookie, which must be one of those of the call.
        type: str
  groups:
    description:
      - The groups. A group is made before the flows of the same call that use it, and removed after them.
      - O(purge) removes groups only if this is given.
    type: list
    elements: dict
    suboptions:
      group:
        description:
          - The whole group as C(ovs-ofctl add-group) takes it, for example V(group_id=1,type=all,bucket=output:1,bucket=output:2).
        type: str
      group_id:
        description:
          - The group's number.
        type: int
      type:
        description:
          - Which of the buckets are used. V(ff) is the first that is live. A new group needs it.
        type: str
        choices: [all, select, indirect, ff]
      buckets:
        description:
          - The buckets, in order.
        type: list
        elements: dict
        suboptions:
          actions:
            description:
              - What the bucket does, as the actions of a flow. An empty list drops.
            type: list
            elements: raw
            default: []
          weight:
            description:
              - The bucket's weight in a group of type V(select), 1 if it is left out.
            type: int
          watch_port:
            description:
              - The port, by name or number, that must be up for the bucket to be live.
            type: str
          watch_group:
            description:
              - The group that must be live for the bucket to be live.
            type: int
          bucket_id:
            description:
              - The bucket's number; the lowest free one if it is left out.
            type: int
      selection_method:
        description:
          - How a group of type V(select) chooses the bucket. An empty value leaves it to Open vSwitch.
        type: str
        choices: ["", hash, dp_hash]
      selection_method_param:
        description:
          - The parameter of the selection method.
        type: int
      fields:
        description:
          - The fields that are hashed if the selection method is V(hash).
        type: list
        elements: str
      state:
        description:
          - Whether it should be there.
        type: str
        choices: [present, absent]
        default: present
  meters:
    description:
      - The meters. A meter is made before the flows of the same call that use it, and removed after them.
      - O(purge) removes meters only if this is given.
    type: list
    elements: dict
    suboptions:
      meter:
        description:
          - The whole meter as C(ovs-ofctl add-meter) takes it, for example V(meter=1,kbps,bands=type=drop,rate=1000).
        type: str
      meter_id:
        description:
          - The meter's number, or V(controller) or V(slowpath).
        type: str
      unit:
        description:
          - The unit of rates and bursts, kilobits or packets per second. A new meter needs it.
        type: str
        choices: [kbps, pktps]
      stats:
        description:
          - Whether the meter is to keep statistics.
        type: bool
      bands:
        description:
          - The bands, at least one.
        type: list
        elements: dict
        suboptions:
          type:
            description:
              - What happens to packets above the rate.
            type: str
            choices: [drop, dscp_remark]
            default: drop
          rate:
            description:
              - The rate above which the band is used.
            type: int
            required: true
          burst_size:
            description:
              - The size of a burst that is let through.
            type: int
          prec_level:
            description:
              - By how much the drop precedence is raised, for V(dscp_remark).
            type: int
      state:
        description:
          - Whether it should be there.
        type: str
        choices: [present, absent]
        default: present
  tlvs:
    description:
      - Entries of the bridge's map from GENEVE options to the fields C(tun_metadata0) to C(tun_metadata63), without which no flow on such a field
        works. They are made before the flows of the same call, removed after them, and brought back before them, see O(persist).
      - Entries of others stay. One that is in the way of a declared one is replaced only with O(adopt=true).
      - An entry that a flow uses is not removed.
      - O(purge) removes entries only if this is given.
    type: list
    elements: dict
    version_added: 0.1.0
    suboptions:
      class:
        description:
          - The option class (RFC 8926), from V(0) to V(0xffff).
        type: str
        required: true
      type:
        description:
          - The option type, from 0 to 255. From 128 on, the option is critical.
        type: int
        required: true
      length:
        description:
          - The length of the option's data in bytes, from 4 to 124 in steps of 4. Needed for a new entry.
        type: int
      field:
        description:
          - The field, from V(tun_metadata0) to V(tun_metadata63). Needed for a new entry.
        type: str
      state:
        description:
          - Whether it should be there.
        type: str
        choices: [present, absent]
        default: present
  cookie:
    description:
      - The cookie, or cookie/mask, of the flows that are ours, instead of the one that is made from O(owner).
        New flows get its value.
      - With O(purge), V(0x5) keeps exactly the declared flows among those with the cookie 5, and V(0/0), which holds every cookie,
        keeps exactly the declared flows of the whole bridge, or of all O(tables).
    type: str
  tables:
    description:
      - The tables that the call is about. O(purge) removes flows in these only, and a flow in another is refused.
      - If it is left out, it is about all tables.
    type: list
    elements: int
  persist:
    description:
      - Whether the declared things come back whenever C(ovs-vswitchd) has started, at boot or after a restart.
      - They are kept in C(/etc/overloom/flows/<bridge>:<owner>.flows), with the names of ports, and a systemd service
        C(overloom-flows-<bridge>:<owner>.service) gives them to the bridge as one bundle. It waits up to 10 seconds for the ports
        that the flows name. If one is still missing, it fails and says which; the next run of this module brings the flows back then.
      - V(false) removes the file and the service of O(owner) for the bridge. Then flows, groups and meters come back with the next run,
        and no group or meter is known to be ours.
    type: bool
    default: true
  timeout:
    description:
      - For how many seconds each command may wait for C(ovs-vswitchd).
    type: int
    default: 60
  <<: *flow
requirements:
  - Open vSwitch 2.10 or newer, with its commands C(ovs-ofctl) and C(ovs-vsctl)
seealso:
  - module: overloom.fabric.ovs_flow_info
  - module: overloom.fabric.ovs_bridge
"""

EXAMPLES = r"""
- name: A small policy, and nothing else of ours on the bridge
  overloom.fabric.ovs_flow:
    bridge: br0
    purge: true
    flows:
      - {priority: 100, match: {arp: true}, actions: [normal]}
      - {priority: 100, match: {in_port: red, ip: true, nw_dst: 10.1.1.0/24}, actions: [output:gre0]}
      - {priority: 10, match: {in_port: red}, actions: []}
      - flow: table=0,priority=0,actions=normal

- name: Exactly these flows in table 5, whoever made the others
  overloom.fabric.ovs_flow:
    bridge: br0
    cookie: 0/0
    tables: [5]
    purge: true
    flows:
      - {table: 5, priority: 0, actions: [{resubmit: ["", 6]}]}

- name: Two uplinks, the second for when the first is down, at most 10 Mbit/s
  overloom.fabric.ovs_flow:
    bridge: br0
    meters:
      - {meter_id: 1, unit: kbps, bands: [{rate: 10000}]}
    groups:
      - group_id: 1
        type: ff
        buckets:
          - {watch_port: gre0, actions: [output:gre0]}
          - {watch_port: gre1, actions: [output:gre1]}
    flows:
      - {priority: 50, match: {dl_vlan: 10}, actions: [meter:1, group:1]}

- name: A flow on a GENEVE option, with the field that holds it
  overloom.fabric.ovs_flow:
    bridge: br0
    tlvs:
      - {class: "0x102", type: 128, length: 4, field: tun_metadata0}
    flow: table=0,priority=20,tun_metadata0=0x2a,actions=drop

- name: No such flow
  overloom.fabric.ovs_flow:
    bridge: br0
    flow: table=0,priority=50,dl_vlan=10
    state: absent
"""

RETURN = r"""
bridge:
  description: The bridge.
  returned: when the bridge could be read
  type: str
  sample: br0
cookie:
  description: The cookies of the flows that are ours, as value and mask.
  returned: when the bridge could be read
  type: str
  sample: "0x6f7611223344000000/0xffffffffffff0000"
flows:
  description: The declared flows as they are on the bridge, with the options of O(flows).
  returned: when the bridge could be read
  type: list
  elements: dict
  sample: [{"table": 0, "priority": 10, "match": {"in_port": "red"}, "actions": [], "cookie": "0x6f76112233440000"}]
groups:
  description: The declared groups as they are on the bridge, with the options of O(groups).
  returned: when the bridge could be read
  type: list
  elements: dict
meters:
  description: The declared meters as they are on the bridge, with the options of O(meters).
  returned: when the bridge could be read
  type: list
  elements: dict
tlvs:
  description: The declared GENEVE options as they are on the bridge, with the options of O(tlvs).
  returned: when the bridge could be read
  type: list
  elements: dict
  sample: [{"class": "0x0102", "type": 128, "length": 4, "field": "tun_metadata0"}]
commands:
  description: The commands that were executed, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
  sample: ["ovs-ofctl --timeout=60 -O OpenFlow15 bundle br0 - <<'EOF'\nflow add table=0,priority=0,actions=drop\nEOF"]
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.bundle import run
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.declaration import argument_spec, exclusions
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    """Ansible's entry."""
    module = AnsibleModule(
        argument_spec={**argument_spec(), **owner_argument_spec()},
        mutually_exclusive=exclusions(),
        required_one_of=[("flows", "groups", "meters", "tlvs", "flow", "match", "actions")],
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()

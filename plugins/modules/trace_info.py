#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: trace_info
short_description: Read what a packet meets on a host
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Reads, for the host and for named network namespaces, links with their addresses and counters, routes, neighbors, policy rules, forwarding,
    reverse path filters, open checksums, ports that somebody listens on, tracked connections, counters of packets that the kernel gave up,
    and rules of nftables and iptables; ports of Open vSwitch;
    what the switch, and OVN, would do with given packets; the states of guests and services.
  - Judges nothing. M(overloom.fabric.trace) follows a packet through what several hosts returned.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  namespaces:
    description: Network namespaces to read besides the host's own. One that is not there is left out.
    type: list
    elements: str
    default: []
  switch:
    description: Whether to read Open vSwitch.
    type: bool
    default: true
  traces:
    description: Packets that the switch is asked about by C(ovs-appctl ofproto/trace). None is sent, and nothing is learned from it.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The key of the answer in RV(switch).
        type: str
        required: true
      bridge:
        description: The bridge that the packet enters.
        type: str
        required: true
      flow:
        description: The packet, as ovs-fields(7) writes it.
        type: str
        required: true
      answer:
        description: Where flows look for its connection, whether it is an answer of one that there is. Otherwise it begins one.
        type: bool
        default: false
  guests:
    description: Whether to read the states of libvirt's guests.
    type: bool
    default: false
  plugs:
    description: NICs of libvirt's guests, to read whether they are plugged in.
    type: list
    elements: dict
    default: []
    suboptions:
      guest:
        description: The guest's name.
        type: str
        required: true
      port:
        description: The NIC's port on the host.
        type: str
        required: true
  units:
    description: Services of systemd to read the states of.
    type: list
    elements: str
    default: []
  chassis:
    description: Whether the host is a chassis of OVN, to read whether its C(ovn-controller) is connected.
    type: bool
    default: false
  logical_traces:
    description: Packets that OVN is asked about by C(ovn-trace), on the host of its databases. None is sent.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The key of the answer in RV(logical).
        type: str
        required: true
      switch:
        description: The logical switch that the packet enters.
        type: str
        required: true
      flow:
        description: The packet, as an expression of ovn-sb(5).
        type: str
        required: true
      answer:
        description: Whether it is an answer of a connection that there is. Otherwise it begins one.
        type: bool
        default: false
  switch_ports:
    description: With O(logical_traces), ports of logical switches to read.
    type: list
    elements: str
    default: []
  router_ports:
    description: With O(logical_traces), ports of logical routers to read.
    type: list
    elements: str
    default: []
  logical_routers:
    description: With O(logical_traces), logical routers to read the translation of.
    type: list
    elements: str
    default: []
notes:
  - Needs root and iproute2 on the host. Rules are shown where C(nft) is installed; those of C(iptables-legacy) as C(nft) would list them.
seealso:
  - module: overloom.fabric.trace
"""

EXAMPLES = r"""
- name: Read the host, a namespace, and what the bridge does with a packet of its endpoint
  overloom.fabric.trace_info:
    namespaces: [web1]
    traces:
      - name: out
        bridge: br-int
        flow: in_port="v-web1",icmp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.1.1.1,nw_dst=10.1.1.2
  register: seen

- name: The actions of the datapath
  ansible.builtin.debug:
    msg: "{{ seen.switch.traces.out.splitlines() | last }}"
"""

RETURN = r"""
spaces:
  description: The host itself under the empty name, and each of O(namespaces) that is there.
  returned: success
  type: dict
  sample:
    web1:
      links:
        eth0: {name: eth0, mac: "02:00:00:00:00:01", mtu: 1458, up: true, carrier: true, arp: true, addresses: [10.1.1.1/24], received: 5, sent: 7, dropped: 0,
          unusable: [], master: null, queue: null}
      routes: [{to: 10.1.1.0/24, type: unicast, table: main, protocol: kernel, source: 10.1.1.1, metric: 0, mtu: null, dead: false,
        hops: [{via: null, dev: eth0}]}]
      neighbors: [{to: 10.1.1.2, dev: eth0, mac: "02:00:00:00:00:02", state: REACHABLE}]
      rules: [{src: all, dst: null, priority: 32766, iif: null, table: main, action: null, decided: true}]
      tx_checksum: {eth0: false}
      forwarding: 0
      forwarding6: 0
      echo_ignored: 0
      echo_ignored6: 0
      ttl: 64
      connections: 3
      connections_most: 262144
      listening: {tcp: [22], udp: []}
      rp_filter: {all: 0, eth0: 0}
      forwards: {all: 0, eth0: 0}
      arp_ignore: {all: 0, eth0: 0}
      ipv6_off: {all: 0, eth0: 0}
      discards: {IpInAddrErrors: 2}
      firewall: []
switch:
  description: Why Open vSwitch could not be read, if so; its bridges with their ports; the answers to O(traces) as C(ovs-appctl) printed them.
    Where an answer looks for a connection, how many there are, and how many there can be, or null where the kernel tracks them.
  returned: with O(switch)
  type: dict
  sample: {error: null, bridges: {}, traces: {}}
guests:
  description: The states of libvirt's guests by name, or null when libvirt does not answer.
  returned: with O(guests)
  type: dict
  sample: {vm1: running}
plugs:
  description: For each of O(plugs) by its port V(up) or V(down), or null when libvirt does not say.
  returned: success
  type: dict
  sample: {v-vm1: up}
units:
  description: The states of O(units) by name.
  returned: success
  type: dict
  sample: {overloom-container-app1.service: active}
controller:
  description: What C(ovn-controller) says of its connection to the databases, or null when it does not answer.
  returned: with O(chassis)
  type: str
  sample: connected
logical:
  description:
    - Why OVN's databases could not be read, if so; whether C(ovn-northd) runs; all chassis, and the bindings of the ports;
      the answers to O(logical_traces); the ports as the northbound database has them; for flows in the answers the ACLs that they were made from;
      what O(logical_routers) translate, which of them are disabled, and the neighbors that were set for them.
  returned: with O(logical_traces)
  type: dict
  sample: {error: null, northd: true, chassis: [], bindings: [], traces: {}, ports: {}, made: {}, translations: {}, disabled: [], neighbors: []}
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 6
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import ovs_runner
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.module_utils._trace.reader import read


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "namespaces": {"type": "list", "elements": "str", "default": []},
            "switch": {"type": "bool", "default": True},
            "traces": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    **{name: {"type": "str", "required": True} for name in ("name", "bridge", "flow")},
                    "answer": {"type": "bool", "default": False},
                },
            },
            "guests": {"type": "bool", "default": False},
            "plugs": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {name: {"type": "str", "required": True} for name in ("guest", "port")},
            },
            "units": {"type": "list", "elements": "str", "default": []},
            "chassis": {"type": "bool", "default": False},
            "logical_traces": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    **{name: {"type": "str", "required": True} for name in ("name", "switch", "flow")},
                    "answer": {"type": "bool", "default": False},
                },
            },
            "switch_ports": {"type": "list", "elements": "str", "default": []},
            "router_ports": {"type": "list", "elements": "str", "default": []},
            "logical_routers": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    runner = ovs_runner(module)
    try:
        found = read(runner, module.params)
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    module.exit_json(changed=False, spawned=runner.spawned, **found)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: status_info
short_description: Read a host's part of a fabric in one call
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Reads bridges, ports, tunnels and their counters, network namespaces, the states of guests, and what FRR knows of its neighbors and routes.
  - Judges nothing. M(overloom.fabric.status) and M(overloom.fabric.verify) hold it against the plan.
  - A part that cannot be read is left out, and RV(unread) says why.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  switch:
    description: Whether to read Open vSwitch.
    type: bool
    default: true
  namespaces:
    description: The network namespaces to read.
    type: list
    elements: str
    default: []
  host_network:
    description: The bonds, VLANs and NICs of the kernel to read.
    type: list
    elements: str
    default: []
  containers:
    description: Whether to read the containers of Podman.
    type: bool
    default: false
  services:
    description: Whether to read the services that M(overloom.fabric.netns_service) has placed.
    type: bool
    default: false
  dhcp:
    description: Whether to read DHCP servers and clients.
    type: bool
    default: false
  vrrp:
    description: Whether to read the VRRP routers that M(overloom.fabric.netns_keepalived) runs.
    type: bool
    default: false
  uplinks:
    description: Whether to read the routers that M(overloom.fabric.netns_bird) runs, and their default routes.
    type: bool
    default: false
  tables:
    description: Whether to read the tables of nftables that M(overloom.fabric.nft_table) has loaded.
    type: bool
    default: false
  ovn:
    description: Whether to read the chassis and bindings of OVN's southbound database, which is on this host.
    type: bool
    default: false
  hops:
    description: With O(ovn), packets that OVN's routers are asked about by C(ovn-trace). None is sent.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The key of the answer.
        type: str
        required: true
      router:
        description: The logical router that the packet enters.
        type: str
        required: true
      flow:
        description: The packet, as an expression of ovn-sb(5).
        type: str
        required: true
  policies:
    description: The bridges on which the packets are counted that rules of a policy took.
    type: list
    elements: str
    default: []
  guests:
    description: Whether to read the states of libvirt's guests.
    type: bool
    default: false
  routing:
    description: What to ask of FRR, as O(overloom.fabric.frr_info#module:gather) has it.
    type: list
    elements: str
    choices: [ospf, ospf6, bgp, bgp_refused, routes, interfaces, bfd]
    default: []
seealso:
  - module: overloom.fabric.ovs_info
  - module: overloom.fabric.netns_info
  - module: overloom.fabric.frr_info
"""

EXAMPLES = r"""
- name: Read a KVM host that is a router, too
  overloom.fabric.status_info:
    namespaces: [web1, web2]
    guests: true
    routing: [ospf, routes]
  register: seen
"""

RETURN = r"""
bridges:
  description: The bridges with their ports, as M(overloom.fabric.ovs_bridge_info) returns them.
  returned: with O(switch), when Open vSwitch answers
  type: list
  elements: dict
tunnels:
  description: The tunnels with BFD and errors, as M(overloom.fabric.ovs_tunnel_info) returns them, and their counters as C(statistics).
  returned: with O(switch), when Open vSwitch answers
  type: list
  elements: dict
namespaces:
  description: The namespaces with their interfaces, as M(overloom.fabric.netns_info) returns them. One that is not there is left out.
  returned: when they could be read
  type: list
  elements: dict
host_network:
  description: The interfaces with their settings, members and addresses, as M(overloom.fabric.host_network) returns them.
  returned: with O(host_network), when they could be read
  type: list
  elements: dict
containers:
  description: The containers, as M(overloom.fabric.netns_container_info) returns them.
  returned: with O(containers), when they could be read
  type: list
  elements: dict
services:
  description: The services, as M(overloom.fabric.netns_service_info) returns them.
  returned: with O(services), when they could be read
  type: list
  elements: dict
dhcp:
  description: C(servers) and C(clients) of DHCP, as M(overloom.fabric.netns_dhcp_info) returns them.
  returned: with O(dhcp), when they could be read
  type: dict
vrrp:
  description: The VRRP routers, as M(overloom.fabric.netns_keepalived_info) returns them.
  returned: with O(vrrp), when they could be read
  type: list
  elements: dict
uplinks:
  description: The routers that take a default route, as M(overloom.fabric.netns_bird_info) returns them.
  returned: with O(uplinks), when they could be read
  type: list
  elements: dict
tables:
  description: The tables of nftables that M(overloom.fabric.nft_table) has loaded. One that was changed since is not C(as_loaded).
  returned: with O(tables), when they could be read
  type: list
  elements: dict
  sample: [{netns: edge, family: inet, name: edge, owner: myfabric, running: true, as_loaded: true}]
ovn:
  description: The C(chassis) and C(bindings) that M(overloom.fabric.ovn_info) returns, the number of the last change (C(nb_cfg)),
    whether the host's C(ovn-northd) runs (C(northd)), and what M(overloom.fabric.ovn_info) returns as C(cluster). A database without a leader, or without
    one of its members, is given ten seconds to find them. C(hops) has what C(ovn-trace) said of each of O(hops), by its name.
  returned: with O(ovn), when the southbound database answers
  type: dict
policies:
  description: For each bridge of O(policies) the packets by the rule's number, the last 16 bits of its flows' cookies.
  returned: with O(policies), when Open vSwitch answers
  type: dict
  sample: {br-int: {"27425": 128, "65535": 82}}
guests:
  description: The states of libvirt's guests by name.
  returned: with O(guests), when libvirt answers
  type: dict
  sample: {vm1: running}
impairments:
  description: The impairments that M(overloom.fabric.link_impairment) has made, of whichever owner, with the seconds that are left of each.
  returned: always
  type: list
  elements: dict
  sample: [{name: link-kvm1-kvm2-eth1, owner: myfabric, interface: eth1, netns: null, effect: cut, seconds: 30, left: 12}]
daemons:
  description: The daemons of FRR that run. What else M(overloom.fabric.frr_info) returns is here, too, under its names.
  returned: with O(routing), when FRR answers
  type: list
  elements: str
unread:
  description: Why a part could not be read, by the name of the option.
  returned: always
  type: dict
  sample: {switch: ovs-vsctl did not answer}
msg:
  description: All that stands in RV(unread), in one line.
  returned: when something could not be read
  type: str
spawned:
  description: Number of processes that were started.
  returned: always
  type: int
  sample: 6
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._frr.runner import frr_runner
from ansible_collections.overloom.fabric.plugins.module_utils._frr.subsets import CHOICES
from ansible_collections.overloom.fabric.plugins.module_utils._frr.vtysh import LOOK
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import ovs_runner
from ansible_collections.overloom.fabric.plugins.module_utils._status.reader import read

HOP = {name: {"type": "str", "required": True} for name in ("name", "router", "flow")}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "switch": {"type": "bool", "default": True},
            "namespaces": {"type": "list", "elements": "str", "default": []},
            "host_network": {"type": "list", "elements": "str", "default": []},
            "containers": {"type": "bool", "default": False},
            "services": {"type": "bool", "default": False},
            "dhcp": {"type": "bool", "default": False},
            "vrrp": {"type": "bool", "default": False},
            "uplinks": {"type": "bool", "default": False},
            "tables": {"type": "bool", "default": False},
            "ovn": {"type": "bool", "default": False},
            "hops": {"type": "list", "elements": "dict", "default": [], "options": HOP},
            "policies": {"type": "list", "elements": "str", "default": []},
            "guests": {"type": "bool", "default": False},
            "routing": {"type": "list", "elements": "str", "choices": CHOICES, "default": []},
        },
        supports_check_mode=True,
    )
    runner, frr = ovs_runner(module), frr_runner(module, LOOK)
    found, unread = read(runner, frr, module.params)
    said = {"msg": "; ".join(unread.values())} if unread else {}
    module.exit_json(changed=False, unread=unread, spawned=runner.spawned + frr.spawned, **found, **said)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_bird
short_description: Run routers in network namespaces that take their default route by OSPF or BGP
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Runs BIRD in named network namespaces, such as those of M(overloom.fabric.netns_veth), each as a systemd service
    C(overloom-bird-NAME.service) with its file in C(/etc/overloom/bird/NAME).
  - A router announces what it is told to, and takes a default route. Nothing else of what its neighbors announce gets into the kernel.
  - A change of the file is read again by the running router, which keeps the neighbors that did not change. A change of its namespace restarts it.
  - When it stops, its default route goes with it.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  routers:
    description:
      - Many items, each with the options below, in one call.
      - With O(purge=true), routers of O(owner) that are not in the list are removed.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the router, 1 to 64 letters, digits and V(_.+@-).
        type: str
        required: true
      <<: &item
        state:
          description:
            - V(present) runs the router.
            - V(absent) stops and removes it.
          type: str
          choices: [present, absent]
          default: present
        namespace:
          description:
            - Name of the network namespace, which has to exist; that of O(name) by default.
          type: str
        router_id:
          description:
            - Router id, written as an IPv4 address. Needed with O(state=present).
          type: str
        announce:
          description:
            - Prefixes that are announced, such as the subnets of its interfaces.
          type: list
          elements: str
          default: []
        announce_table:
          description:
            - Number of a routing table in the kernel whose routes are announced as well, each as long as it is there,
              such as those that M(overloom.fabric.netns_keepalived) has in its C(table) while it is active. One that no rule looks into.
            - OSPF announces them as external routes of type 1, with its O(ospf.cost), which stub areas do not carry.
          type: int
        ospf:
          description:
            - OSPF. With O(state=present), this or O(neighbors) is needed.
          type: dict
          suboptions:
            interfaces:
              description: Interfaces on which neighbors are looked for. What is announced is a stub network of the same area.
              type: list
              elements: str
              required: true
            families:
              description: V(ipv4) is OSPFv2, V(ipv6) is OSPFv3.
              type: list
              elements: str
              choices: [ipv4, ipv6]
              default: [ipv4]
            area:
              description: Area, written as an IPv4 address.
              type: str
              default: 0.0.0.0
            cost:
              description: Cost of its interfaces, V(1) to V(65535).
              type: int
              default: 10
            hello_interval:
              description: Seconds between hellos, the same on all routers of the network.
              type: int
              default: 10
            dead_interval:
              description: Seconds without a hello until a neighbor is gone, the same on all routers of the network.
              type: int
              default: 40
        asn:
          description:
            - AS number of the router. Needed with O(neighbors).
          type: int
        neighbors:
          description:
            - Neighbors of BGP. Each gets and gives routes of its address's family.
          type: list
          elements: dict
          default: []
          suboptions:
            address:
              description: Address of the neighbor, on a subnet of the namespace.
              type: str
              required: true
            local:
              description: Address to speak from, of the same family.
              type: str
              required: true
            asn:
              description: AS number of the neighbor.
              type: int
              required: true
  <<: *item
  name:
    description:
      - Name of the router, 1 to 64 letters, digits and V(_.+@-). Needed, unless O(routers) is given.
    type: str
notes:
  - Needs root, BIRD 2 and systemd on the host. The distribution's own BIRD service, its processes and files are not touched.
  - M(overloom.fabric.netns_veth) leaves routes of routing daemons alone.
  - The owner mark is in the unit, as C(X-Overloom-Owner).
seealso:
  - module: overloom.fabric.netns_bird_info
  - module: overloom.fabric.netns_veth
"""

EXAMPLES = r"""
- name: A router between VLAN 10 and a provider's network that takes its default route by OSPF
  block:
    - name: Its networks
      overloom.fabric.netns_veth:
        namespaces:
          - name: edge
            interface: web
            bridge: br-int
            tag: 10
            addresses: [10.1.1.1/24]
            sysctls: {net.ipv4.ip_forward: 1}
          - name: edge
            interface: outside
            outer: v-edge-outside
            bridge: br-int
            tag: 30
            addresses: [10.9.0.1/24]

    - name: The router
      overloom.fabric.netns_bird:
        name: edge
        router_id: 10.9.0.1
        announce: [10.1.1.0/24]
        ospf: {interfaces: [outside]}

- name: The same by BGP
  overloom.fabric.netns_bird:
    name: edge
    router_id: 10.9.0.1
    announce: [10.1.1.0/24]
    asn: 64512
    neighbors:
      - {address: 10.9.0.254, local: 10.9.0.1, asn: 64500}

- name: No routers of this owner any more
  overloom.fabric.netns_bird:
    owner: my-fabric
    purge: true
    routers: []
"""

RETURN = r"""
commands:
  description: The commands, in order. In check mode those that would be executed.
  returned: always
  type: list
  elements: str
  sample: ["systemctl restart overloom-bird-edge.service"]
routers:
  description:
    - The declared routers, as M(overloom.fabric.netns_bird_info) returns them. In check mode as they are before the change.
  returned: success
  type: list
  elements: dict
  sample:
    - name: edge
      owner: overloom.fabric
      running: true
      pid: 4711
      namespace: edge
      service: overloom-bird-edge.service
      sessions: {10.9.0.254: Established}
      awaited: [ipv4]
      defaults: {ipv4: [{via: 10.9.0.254, interface: outside}]}
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 4
"""

from ansible_collections.overloom.fabric.plugins.module_utils._bird.router import KIND
from ansible_collections.overloom.fabric.plugins.module_utils._netns import daemon


def main() -> None:
    """Hand over: the services of all kinds are declared alike."""
    daemon.main(KIND)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_keepalived
short_description: Run VRRP routers in network namespaces
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Runs keepalived in named network namespaces, such as those of M(overloom.fabric.netns_veth), each as a systemd service
    C(overloom-keepalived-NAME.service) with its file in C(/etc/overloom/keepalived/NAME).
  - Several hosts have the same router. The active one has the virtual addresses of all its interfaces, and another one takes over all of them together
    when it is heard no more, or loses an interface.
  - VRRP version 3. Neighbors learn of a change by gratuitous ARP and unsolicited neighbor advertisements, again every ten seconds.
    Each host keeps its own MAC address. Addresses of IPv6 move with those of IPv4.
  - It listens for three seconds after its start before it becomes active.
  - A change of the file is read again by the running router, which stays active or on standby. A change of its namespace restarts it.
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
            - V(absent) stops and removes it. Another host's router takes over at once.
          type: str
          choices: [present, absent]
          default: present
        namespace:
          description:
            - Name of the network namespace, which has to exist; that of O(name) by default.
          type: str
        vrid:
          description:
            - Virtual router identifier, V(1) to V(255), the same on all hosts, and on each segment of this router alone. Needed with O(state=present).
          type: int
        priority:
          description:
            - V(1) to V(254), another one on each host. The highest becomes active.
          type: int
          default: 100
        interval:
          description:
            - Milliseconds between the active router's adverts, V(10) to V(40950) by tens, the same on all hosts. Another one takes over when three were missed.
          type: int
          default: 1000
        preempt:
          description:
            - Whether a router with a higher priority takes over from one that is active, as it does after its host's reboot.
              Otherwise it waits until the active one is lost.
          type: bool
          default: false
        table:
          description:
            - Number of the routing table in the kernel for O(interfaces[].routes), such as one that M(overloom.fabric.netns_bird) announces.
          type: int
        interfaces:
          description:
            - Interfaces of the namespace, which change hands together. Needed with O(state=present).
          type: list
          elements: dict
          suboptions:
            interface:
              description: Name of the interface. It needs an IPv4 address of its own.
              type: str
              required: true
            addresses:
              description: Virtual addresses with their prefix lengths, one of IPv4 at least. A length of 32, or 128, adds no route.
              type: list
              elements: str
              required: true
            source:
              description: Address to send from, the interface's own one. Needed with O(interfaces[].peers).
              type: str
            peers:
              description:
                - Addresses of the same router on other hosts. Adverts go to these by unicast, and are accepted from these alone.
                - Without any, adverts are multicast.
              type: list
              elements: str
            routes:
              description: Prefixes of which the active router has a route by this interface in O(table). One on standby has none.
              type: list
              elements: str
  <<: *item
  name:
    description:
      - Name of the router, 1 to 64 letters, digits and V(_.+@-). Needed, unless O(routers) is given.
    type: str
notes:
  - Needs root, keepalived and systemd on the host. The distribution's own keepalived service, its processes and files are not touched.
  - M(overloom.fabric.netns_veth) removes addresses that it was not told of; give it these as C(virtual_addresses).
  - The owner mark is in the unit, as C(X-Overloom-Owner).
seealso:
  - module: overloom.fabric.netns_keepalived_info
  - module: overloom.fabric.netns_veth
"""

EXAMPLES = r"""
- name: A gateway of VLAN 10 that another host has, too
  block:
    - name: Its network
      overloom.fabric.netns_veth:
        name: edge
        bridge: br-int
        tag: 10
        addresses: [10.1.1.2/24]
        virtual_addresses: [10.1.1.1/32]
        sysctls: {net.ipv4.ip_forward: 1}

    - name: The router
      overloom.fabric.netns_keepalived:
        name: edge
        vrid: 1
        priority: 200
        interval: 200
        interfaces:
          - {interface: eth0, addresses: [10.1.1.1/32], source: 10.1.1.2, peers: [10.1.1.3]}

- name: No routers of this owner any more
  overloom.fabric.netns_keepalived:
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
  sample: ["systemctl restart overloom-keepalived-edge.service"]
routers:
  description:
    - The declared routers, as M(overloom.fabric.netns_keepalived_info) returns them. In check mode as they are before the change.
  returned: success
  type: list
  elements: dict
  sample:
    - name: edge
      owner: overloom.fabric
      running: true
      pid: 4711
      namespace: edge
      service: overloom-keepalived-edge.service
      vrid: 1
      priority: 200
      state: active
      addresses: [10.1.1.1/32]
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 4
"""

from ansible_collections.overloom.fabric.plugins.module_utils._netns import daemon
from ansible_collections.overloom.fabric.plugins.module_utils._vrrp.router import KIND


def main() -> None:
    """Hand over: the services of all kinds are declared alike."""
    daemon.main(KIND)


if __name__ == "__main__":
    main()

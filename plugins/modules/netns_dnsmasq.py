#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_dnsmasq
short_description: Run DHCP and DNS servers in network namespaces
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Runs dnsmasq in named network namespaces, such as those of M(overloom.fabric.netns_veth), each as a systemd service
    C(overloom-dnsmasq-NAME.service) with files in C(/etc/overloom/dnsmasq/NAME).
  - It reads nothing of the host (C(/etc/dnsmasq.conf), C(/etc/hosts), C(/etc/resolv.conf)), listens on its one interface, and passes no query on.
  - Known machines get their address by MAC address. Several servers may have the same leases, as long as their ranges share no address.
    So a client renews its lease with any of them.
  - With an IPv6 subnet it sends router advertisements (managed addresses, the MTU, no default route) and answers DHCPv6.
  - A change of leases, names and options is read again by the running server. Any other change restarts it, and it keeps what it has given out.
  - An option that is left out is not announced to clients.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  servers:
    description:
      - Many items, each with the options below, in one call.
      - With O(purge=true), servers of O(owner) that are not in the list are removed.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the server, 1 to 64 letters, digits and V(_.+@-).
        type: str
        required: true
      <<: &item
        state:
          description:
            - V(present) runs the server.
            - V(absent) stops and removes it, with what it has given out.
          type: str
          choices: [present, absent]
          default: present
        namespace:
          description:
            - Name of the network namespace, which has to exist; that of O(name) by default.
          type: str
        interface:
          description:
            - Interface in the namespace. It needs an address in each of O(subnets).
          type: str
          default: eth0
        subnets:
          description:
            - Subnets of the interface, one for each address family. Needed with O(state=present).
          type: list
          elements: str
        ranges:
          description:
            - Addresses for machines that are not known, as C(10.1.1.100-10.1.1.199). Without any of an address family, only known machines get one.
          type: list
          elements: str
        leases:
          description:
            - Known machines.
          type: list
          elements: dict
          suboptions:
            mac:
              description: MAC address.
              type: str
              required: true
            addresses:
              description: Its address, one for each address family.
              type: list
              elements: str
              required: true
            name:
              description: Its name in DNS, without the domain.
              type: str
        router:
          description:
            - IPv4 default gateway (option 3).
          type: str
        dns:
          description:
            - DNS servers (option 6, and of DHCPv6 option 23).
          type: list
          elements: str
        domain:
          description:
            - Domain of the names (option 15).
          type: str
        lease_time:
          description:
            - Seconds that a lease lasts, at least 120.
          type: int
          default: 3600
        mtu:
          description:
            - MTU (option 26, and in router advertisements).
          type: int
        routes:
          description:
            - IPv4 routes (option 121, RFC 3442). With them, the default route of O(router) is added, as clients then ignore option 3.
          type: list
          elements: dict
          suboptions:
            to:
              description: Destination prefix.
              type: str
              required: true
            via:
              description: Next hop, an address in O(subnets).
              type: str
              required: true
  <<: *item
  name:
    description:
      - Name of the server, 1 to 64 letters, digits and V(_.+@-). Needed, unless O(servers) is given.
    type: str
notes:
  - Needs root, dnsmasq (the package C(dnsmasq-base) is enough) and systemd on the host. Processes and files of another dnsmasq are not touched.
  - The owner mark is in the unit, as C(X-Overloom-Owner).
seealso:
  - module: overloom.fabric.netns_dhcp_info
  - module: overloom.fabric.netns_udhcpc
  - module: overloom.fabric.netns_veth
"""

EXAMPLES = r"""
- name: DHCP for VLAN 10
  block:
    - name: Its network
      overloom.fabric.netns_veth:
        name: dhcp10
        bridge: br-int
        tag: 10
        addresses: [10.1.1.2/24]

    - name: The server
      overloom.fabric.netns_dnsmasq:
        name: dhcp10
        subnets: [10.1.1.0/24]
        ranges: [10.1.1.100-10.1.1.199]
        router: 10.1.1.1
        dns: [10.1.1.2]
        domain: lab.example
        mtu: 1446

- name: Exactly these servers, no others of this owner
  overloom.fabric.netns_dnsmasq:
    owner: my-fabric
    purge: true
    servers:
      - name: dhcp10
        subnets: [10.1.1.0/24]
        leases:
          - {mac: "02:00:00:00:00:05", addresses: [10.1.1.5], name: web}
        routes:
          - {to: 10.2.0.0/16, via: 10.1.1.1}
"""

RETURN = r"""
commands:
  description: The commands, in order. In check mode those that would be executed.
  returned: always
  type: list
  elements: str
  sample: ["systemctl restart overloom-dnsmasq-dhcp10.service"]
servers:
  description:
    - The declared servers, as M(overloom.fabric.netns_dhcp_info) returns them. In check mode as they are before the change.
  returned: success
  type: list
  elements: dict
  sample:
    - name: dhcp10
      owner: overloom.fabric
      running: true
      pid: 4711
      namespace: dhcp10
      service: overloom-dnsmasq-dhcp10.service
      leases:
        - {expires: 1790000000, mac: "02:00:00:00:00:05", address: 10.1.1.5, name: web}
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 3
"""

from ansible_collections.overloom.fabric.plugins.module_utils._dhcp.server import KIND
from ansible_collections.overloom.fabric.plugins.module_utils._netns import daemon


def main() -> None:
    """Hand over: the services of all kinds are declared alike."""
    daemon.main(KIND)


if __name__ == "__main__":
    main()

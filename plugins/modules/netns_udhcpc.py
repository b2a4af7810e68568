#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_udhcpc
short_description: Run DHCP clients in network namespaces
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Runs BusyBox's DHCP client udhcpc in named network namespaces, such as those of M(overloom.fabric.netns_veth), each as a systemd service
    C(overloom-udhcpc-NAME.service).
  - The interface gets the address for the time of the lease, the MTU (option 26), and routes, those of option 121 (RFC 3442),
    else the router of option 3. M(overloom.fabric.netns_veth) leaves all of it alone.
  - Only IPv4. The namespace's DNS is not changed.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  clients:
    description:
      - Many items, each with the options below, in one call.
      - With O(purge=true), clients of O(owner) that are not in the list are removed.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the client, 1 to 64 letters, digits and V(_.+@-).
        type: str
        required: true
      <<: &item
        state:
          description:
            - V(present) runs the client.
            - V(absent) gives the lease back, and removes the client.
          type: str
          choices: [present, absent]
          default: present
        namespace:
          description:
            - Name of the network namespace, which has to exist; that of O(name) by default.
          type: str
        interface:
          description:
            - Interface in the namespace.
          type: str
          default: eth0
  <<: *item
  name:
    description:
      - Name of the client, 1 to 64 letters, digits and V(_.+@-). Needed, unless O(clients) is given.
    type: str
notes:
  - Needs root, BusyBox with udhcpc (the package C(busybox-static) or C(busybox)), Python and systemd on the host.
  - The task does not wait for an answer; M(overloom.fabric.netns_dhcp_info) shows it.
seealso:
  - module: overloom.fabric.netns_dhcp_info
  - module: overloom.fabric.netns_dnsmasq
  - module: overloom.fabric.netns_veth
"""

EXAMPLES = r"""
- name: A namespace on VLAN 10 that asks for its address
  block:
    - name: Its network
      overloom.fabric.netns_veth:
        name: web
        bridge: br-int
        tag: 10

    - name: The client
      overloom.fabric.netns_udhcpc:
        name: web

- name: Exactly these clients, no others of this owner
  overloom.fabric.netns_udhcpc:
    owner: my-fabric
    purge: true
    clients:
      - {name: web}
      - {name: backup, namespace: web, interface: eth1}
"""

RETURN = r"""
commands:
  description: The commands, in order. In check mode those that would be executed.
  returned: always
  type: list
  elements: str
  sample: ["systemctl restart overloom-udhcpc-web.service"]
clients:
  description:
    - The declared clients, as M(overloom.fabric.netns_dhcp_info) returns them. In check mode as they are before the change.
  returned: success
  type: list
  elements: dict
  sample:
    - name: web
      owner: overloom.fabric
      running: true
      pid: 4712
      namespace: web
      interface: eth0
      service: overloom-udhcpc-web.service
      lease:
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 3
"""

from ansible_collections.overloom.fabric.plugins.module_utils._dhcp.client import KIND
from ansible_collections.overloom.fabric.plugins.module_utils._netns import daemon


def main() -> None:
    """Hand over: the services of all kinds are declared alike."""
    daemon.main(KIND)


if __name__ == "__main__":
    main()

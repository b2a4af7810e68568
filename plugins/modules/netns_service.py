#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_service
short_description: Place systemd services in network namespaces
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Runs a systemd service of yours in a named network namespace of M(overloom.fabric.netns_veth), with the namespace's interfaces, routes
    and name servers instead of the host's.
  - Its unit file is never changed. A drop-in C(/etc/systemd/system/UNIT.d/overloom-netns.conf) says the namespace, and the order. So the service
    starts after its namespace at boot, and is stopped and restarted with the unit C(overloom-netns-NAMESPACE.service).
  - A service that runs elsewhere is restarted. That includes one whose namespace was deleted and made anew. One that does not run is not started.
  - A service whose namespace is removed by M(overloom.fabric.netns_veth) is stopped with it.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  services:
    description:
      - Many items, each with the options below, in one call.
      - With O(purge=true), services of O(owner) that are not in the list are given back to the host's network.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the service's unit, such as V(nginx) or V(nginx.service). It has to exist.
        type: str
        required: true
      <<: &item
        state:
          description:
            - V(present) places the service in O(namespace).
            - V(absent) gives it back to the host's network, and restarts it if it runs.
          type: str
          choices: [present, absent]
          default: present
        namespace:
          description:
            - Name of the network namespace, which M(overloom.fabric.netns_veth) has made.
          type: str
        dns:
          description:
            - Addresses of name servers, three at most, written to C(/etc/netns/NAMESPACE/resolv.conf). V([]) removes that file.
            - Where there is such a file, whoever made it, the service sees it as C(/etc/resolv.conf), as what C(ip netns exec) starts does. The resolver of the
              host (C(systemd-resolved), C(nscd)) is out of its reach then.
            - A file that this module did not make is refused, and replaced only with O(adopt=true).
          type: list
          elements: str
        search:
          description:
            - Domains in which short names are looked up. Needs O(dns).
          type: list
          elements: str
  <<: *item
  name:
    description:
      - Name of the service's unit, such as V(nginx) or V(nginx.service). It has to exist. Needed, unless O(services) is given.
    type: str
notes:
  - Needs root and a running systemd 242 or later on the host.
  - A service to which a file of others gives a network of its own (C(NetworkNamespacePath=), C(PrivateNetwork=)), or that a socket unit starts, is refused.
seealso:
  - module: overloom.fabric.netns_service_info
  - module: overloom.fabric.netns_veth
  - module: overloom.fabric.netns_container
"""

EXAMPLES = r"""
- name: A web server on VLAN 20
  block:
    - name: Its network
      overloom.fabric.netns_veth:
        name: web
        bridge: br-int
        tag: 20
        addresses: [10.1.2.1/24]

    - name: Its place
      overloom.fabric.netns_service:
        name: nginx
        namespace: web
        dns: [10.1.2.53]

- name: Exactly these services, no others of this owner
  overloom.fabric.netns_service:
    owner: my-fabric
    purge: true
    services:
      - {name: nginx, namespace: web}
      - {name: postgresql@15-main, namespace: db, dns: [10.1.2.53], search: [example.org]}

- name: Back to the host's network
  overloom.fabric.netns_service:
    name: nginx
    state: absent
"""

RETURN = r"""
commands:
  description: The commands, in order. In check mode those that would be executed.
  returned: always
  type: list
  elements: str
  sample: ["systemctl restart nginx.service"]
services:
  description: The declared services, as M(overloom.fabric.netns_service_info) returns them. In check mode as they are before the change.
  returned: success
  type: list
  elements: dict
  sample:
    - name: nginx.service
      owner: overloom.fabric
      namespace: web
      running: true
      pid: 4711
      joined: web
      dns: [10.1.2.53]
      resolv_conf: /etc/netns/web/resolv.conf
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._service.reconcile import argument_spec, exclusive, run


def main() -> None:
    """Declare the options and hand over."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=exclusive(),
        required_one_of=[("name", "services")],
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()

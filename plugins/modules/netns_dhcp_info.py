#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_dhcp_info
short_description: Show DHCP servers and clients in network namespaces
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Returns the servers of M(overloom.fabric.netns_dnsmasq) with what they have given out, and the clients of M(overloom.fabric.netns_udhcpc)
    with what they were given.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  owner:
    description:
      - Only what carries this owner mark.
    type: str
seealso:
  - module: overloom.fabric.netns_dnsmasq
  - module: overloom.fabric.netns_udhcpc
"""

EXAMPLES = r"""
- name: All DHCP servers and clients of the host
  overloom.fabric.netns_dhcp_info:
  register: found
"""

RETURN = r"""
servers:
  description: The servers, by name.
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
clients:
  description: The clients, by name. C(lease) is V(null) for one that has none.
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
        address: 10.1.1.5/24
        mtu: 1446
        router: 10.1.1.1
        dns: [10.1.1.2]
        domain: lab.example
        routes: [{to: 0.0.0.0/0, via: 10.1.1.1}]
        seconds: 3600
        server: 10.1.1.2
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 2
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._dhcp.info import KINDS
from ansible_collections.overloom.fabric.plugins.module_utils._netns.daemon import run_info


def main() -> None:
    """Declare the options and hand over."""
    module = AnsibleModule(argument_spec={"owner": {"type": "str"}}, supports_check_mode=True)
    run_info(module, KINDS)


if __name__ == "__main__":
    main()

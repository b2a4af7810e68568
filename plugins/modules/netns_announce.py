#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_announce
short_description: Announce the addresses of network namespaces
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Sends a gratuitous ARP request (RFC 5227) for each IPv4 address, and an unsolicited neighbor advertisement (RFC 4861) for each IPv6 address of the
    interfaces in network namespaces, as C(arping -U) and C(ndsend) do.
  - Switches that learn then send to this host what is for these MAC addresses, and neighbors know the addresses by them. It is for a namespace that was on
    another host before.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  namespaces:
    description:
      - Names of the network namespaces. Interfaces in them that are down announce nothing.
    type: list
    elements: str
    required: true
  count:
    description:
      - How often each address is announced, a tenth of a second apart.
    type: int
    default: 3
notes:
  - Needs root and iproute2 on the host.
seealso:
  - module: overloom.fabric.netns_veth
"""

EXAMPLES = r"""
- name: A namespace that was on another host
  overloom.fabric.netns_announce:
    namespaces: [web1]
"""

RETURN = r"""
announced:
  description: The addresses that were announced; in check mode those that would be.
  returned: always
  type: list
  elements: dict
  sample: [{namespace: web1, interface: eth0, address: 10.1.1.140}]
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._netns.announce import run


def main() -> None:
    """Declare the options and hand over."""
    run(
        AnsibleModule(
            argument_spec={
                "namespaces": {"type": "list", "elements": "str", "required": True},
                "count": {"type": "int", "default": 3},
            },
            supports_check_mode=True,
        )
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ip_interface
short_description: Manage addresses, MTU and state of a host's interfaces
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Gives addresses, an MTU and the state up to interfaces that exist, such as the NICs and the loopback of a router, now and at boot.
  - Makes VLANs on NICs (IEEE 802.1Q), as a router on a stick has them.
  - Addresses that others gave to an interface are left, also where they are declared here too, unless O(adopt=true).
  - NetworkManager leaves an interface that is up by this module alone, where nobody has made a connection for it. It would ask for a lease by it,
    and when no server answers, take away the addresses that the interface has.
  - The plain options describe one interface; O(interfaces) describes several.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  interfaces:
    description: Several interfaces, instead of the plain options. An empty list declares none.
    type: list
    elements: dict
    suboptions: &item
      name:
        description: Name of the interface. Needed, unless the list of items is given.
        type: str
      parent:
        description: The interface that this one is a VLAN of, with O(interfaces[].vlan). The VLAN is made when it is missing, and its parent is up.
        type: str
      vlan:
        description: Number of the VLAN on O(interfaces[].parent), 1 to 4094.
        type: int
      addresses:
        description: Exactly the addresses that this module gives, with their prefix lengths. An interface with addresses is up.
        type: list
        elements: str
      mtu:
        description: MTU in bytes.
        type: int
      up:
        description: Whether the interface is up.
        type: bool
      state:
        description:
          - With V(absent), the addresses that this module gave are taken away, and a VLAN that it made.
          - MTU and state become what they were before this module set them, unless somebody has changed them since. An interface stays up while it has
            addresses of others (a lease is one), or VLANs, or is in a switch.
        type: str
        choices: [present, absent]
        default: present
  <<: *item
notes:
  - The kernel keeps no marks of addresses. They are noted in the systemd unit C(overloom-interface-NAME.service), which also makes them at boot.
  - NetworkManager is told by the file C(/etc/NetworkManager/conf.d/overloom-unmanaged-NAME.conf), which goes with the unit.
  - For an internal port of Open vSwitch, use M(overloom.fabric.ovs_bridge), which gives the addresses again when the port is made anew.
"""

EXAMPLES = r"""
- name: A loopback and two links of a router
  overloom.fabric.ip_interface:
    interfaces:
      - {name: lo, addresses: [10.255.0.1/32]}
      - {name: eth1, addresses: [10.254.0.1/31], mtu: 9000}
      - {name: eth2, addresses: [10.254.0.3/31, 'fd00:254::3/127']}
    purge: true

- name: A router on a stick
  overloom.fabric.ip_interface:
    interfaces:
      - {name: eth1.10, parent: eth1, vlan: 10, addresses: [10.1.10.1/24]}
      - {name: eth1.20, parent: eth1, vlan: 20, addresses: [10.1.20.1/24]}
"""

RETURN = r"""
commands:
  description: What was executed, in order, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: ["ip -batch - <<'EOF'\naddress replace 10.254.0.1/31 dev eth1\nlink set dev eth1 up\nEOF"]
interfaces:
  description: The declared interfaces as they are.
  returned: always
  type: list
  elements: dict
  sample: [{name: eth1, mtu: 1500, mac: '02:00:00:00:00:01', up: true, addresses: [10.254.0.1/31]}]
spawned:
  description: Number of processes that were started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ip.interface import INTERFACE, run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **owner_argument_spec(),
            **INTERFACE,
            "interfaces": {"type": "list", "elements": "dict", "options": INTERFACE},
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_takeover
short_description: Move the addresses of a NIC to its Open vSwitch bridge
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Once a NIC is a port of a bridge, the host is not reached by the NIC's addresses any more. This module moves its addresses, routes and MAC
    address to the bridge's own port, as soon as Open vSwitch has the NIC, and again at each boot.
  - It comes before the task that puts the NIC on the bridge, such as M(overloom.fabric.ovs_bridge), as a systemd unit waits for that on the host.
    So also the NIC that carries the SSH connection is moved. Use M(overloom.fabric.host_checkpoint) for a way back.
  - The host's own configuration of the NIC is not changed. systemd-networkd gets files that stand before it; ifupdown may go on giving the NIC
    its addresses at boot, and the unit moves them. A NIC of NetworkManager, or one with an address by DHCP, is refused.
  - Addresses from router advertisements are not moved, as the bridge gets its own.
  - The plain options describe one NIC; O(takeovers) describes several.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  takeovers:
    description: Several NICs, instead of the plain options. An empty list declares none.
    type: list
    elements: dict
    suboptions: &item
      name:
        description: Name of the NIC. Needed, unless the list of items is given.
        type: str
      bridge:
        description: The bridge whose own port takes the addresses. Needed with O(takeovers[].state=present).
        type: str
      mac:
        description:
          - MAC address of the bridge's own port. Left out, it is that of the NIC.
          - With the datapath in user space it has to be another one, as the kernel sees what the NIC receives, too.
        type: str
      state:
        description:
          - With V(absent), the NIC is taken from the bridge, and gets back what it had.
        type: str
        choices: [present, absent]
        default: present
  <<: *item
seealso:
  - module: overloom.fabric.host_checkpoint
  - module: overloom.fabric.ovs_bridge
"""

EXAMPLES = r"""
- name: Have the bridge take over the NIC's addresses
  overloom.fabric.ovs_takeover:
    name: eth1
    bridge: br0

- name: Put the NIC on the bridge
  overloom.fabric.ovs_bridge:
    name: br0
    ports:
      - {name: eth1}
"""

RETURN = r"""
takeovers:
  description: The NICs whose addresses bridges have taken over, as they are now; in check mode, as they were found.
  returned: success
  type: list
  elements: dict
  sample: [{name: eth0, owner: overloom.fabric, bridge: br0, addresses: [192.0.2.10/24 broadcast 192.0.2.255], moved: true}]
commands:
  description: What was executed, in order, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [systemctl restart --no-block overloom-takeover-eth0.service]
spawned:
  description: Number of processes that were started.
  returned: always
  type: int
  sample: 6
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.takeover import TAKEOVER, run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **owner_argument_spec(),
            **TAKEOVER,
            "takeovers": {"type": "list", "elements": "dict", "options": TAKEOVER},
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()

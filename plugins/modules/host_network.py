#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_network
short_description: Manage bonds and VLANs of the kernel in the host's own configuration
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Makes bonds and VLANs of the kernel, and gives them and NICs addresses and an MTU, in files of the manager that runs on the host. That is systemd-networkd,
    NetworkManager (keyfiles) or ifupdown with ifenslave. The manager itself makes them, now and at boot.
  - An interface with O(members) is a bond, one with O(parent) is a VLAN, any other is a NIC that is there.
  - Files and connections of others are not touched. A NIC that another file or connection configures is refused. A file of systemd-networkd for
    whichever NIC there is, such as C(Name=en*) of many images, refuses only a NIC that has addresses, or VLANs upon it.
  - What does not come up within 30 s is taken back, and the task fails with what is missing.
  - The plain options describe one interface; O(interfaces) describes several. An option that is left out is as it was.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  manager:
    description:
      - Who makes the interfaces.
      - V(auto) is the manager that has interfaces of O(owner) already; else NetworkManager where it runs and has not left the NICs unmanaged; else
        systemd-networkd where it runs; else ifupdown where it is installed.
    type: str
    choices: [auto, networkd, networkmanager, ifupdown]
    default: auto
  interfaces:
    description: Several interfaces, instead of the plain options. An empty list declares none.
    type: list
    elements: dict
    suboptions: &item
      name:
        description: Name of the interface, of letters, digits and V(_.@+-). Needed, unless the list of items is given.
        type: str
      members:
        description: The NICs of a bond, two or more.
        type: list
        elements: str
      mode:
        description:
          - Which NICs of a bond are used (bonding, "mode"); V(active-backup) where nothing is said. V(802.3ad) is LACP.
          - Open vSwitch's C(balance-slb) is none of the kernel's modes. V(active-backup), V(balance-alb) and V(balance-tlb) need nothing of the switch either.
        type: str
        choices: [active-backup, balance-rr, balance-xor, broadcast, 802.3ad, balance-tlb, balance-alb]
      primary:
        description: The NIC that is used while it works, for the modes V(active-backup), V(balance-tlb) and V(balance-alb). An empty value clears it.
        type: str
      miimon:
        description: Milliseconds between two looks at the links; 100 where nothing is said.
        type: int
      up_delay:
        description: Milliseconds for which a NIC must have a link until it is used, a multiple of O(interfaces[].miimon).
        type: int
      down_delay:
        description: Milliseconds for which a NIC must have no link until it is given up, a multiple of O(interfaces[].miimon).
        type: int
      lacp_rate:
        description: How often the partner is asked to send, for the mode V(802.3ad). An empty value is V(slow).
        type: str
        choices: [slow, fast, '']
      xmit_hash_policy:
        description: What tells connections apart, for the modes V(802.3ad), V(balance-xor) and V(balance-tlb). An empty value is V(layer2).
        type: str
        choices: [layer2, layer2+3, layer3+4, encap2+3, encap3+4, '']
      parent:
        description: The interface that a VLAN is on.
        type: str
      vlan:
        description: Number of the VLAN, 1 to 4094.
        type: int
      mtu:
        description: MTU in bytes, of a bond's members, too; V(0) leaves it to the manager.
        type: int
      addresses:
        description: Addresses with their prefix lengths.
        type: list
        elements: str
      state:
        description:
          - With V(absent), the files go, a bond or VLAN with them, and NICs are what they were before.
        type: str
        choices: [present, absent]
        default: present
  <<: *item
notes:
  - Needs root, Python, iproute2 and systemd on the host; for bonds with ifupdown the package C(ifenslave).
  - O(adopt=true) lets a file of ours come before another's of the same manager, systemd-networkd's or NetworkManager's, and takes addresses
    away that others gave a NIC.
    ifupdown would use both files, so there it is refused all the same.
  - A NIC that carries the SSH connection is refused like any other that has addresses. With O(adopt=true) use M(overloom.fabric.host_checkpoint).
  - A bond whose settings change is made anew, and is without its NICs for a moment.
  - Netplan writes files for systemd-networkd or NetworkManager; they count as files of others.
seealso:
  - module: overloom.fabric.ip_interface
  - module: overloom.fabric.ovs_bridge
"""

EXAMPLES = r"""
- name: A bond that speaks LACP, and an address on VLAN 200 of it
  overloom.fabric.host_network:
    interfaces:
      - name: bond0
        members: [eth1, eth2]
        mode: 802.3ad
        lacp_rate: fast
      - name: bond0.200
        parent: bond0
        vlan: 200
        addresses: [192.168.200.1/24]

- name: The VLAN alone goes
  overloom.fabric.host_network:
    name: bond0.200
    state: absent
"""

RETURN = r"""
interfaces:
  description: The declared interfaces as they are; in check mode, as they were found.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the interface.
      type: str
    manager:
      description: Whose files make it, V(networkd), V(networkmanager) or V(ifupdown); null where no file of this module does.
      type: str
    owner:
      description: Owner that its file names, or null.
      type: str
    exists:
      description: Whether the kernel has it. Without it, nothing else is told.
      type: bool
    kind:
      description: V(bond), V(vlan), V(nic), or the kernel's word for another kind.
      type: str
    up:
      description: Whether it is up.
      type: bool
    link_state:
      description: V(up) with a carrier, else V(down).
      type: str
    mtu:
      description: MTU in bytes.
      type: int
    addresses:
      description: Its addresses.
      type: list
      elements: str
    parent:
      description: Of a VLAN, the interface that it is on.
      type: str
    vlan:
      description: Of a VLAN, its number.
      type: int
    settings:
      description: Of a bond, its settings under the kernel's names, with C(active_slave).
      type: dict
    members:
      description: Of a bond, its members, each with C(link_state), and C(lacp_current), whether a partner in LACP answers.
      type: dict
  sample:
    - {name: bond0, manager: networkd, owner: overloom.fabric, exists: true, kind: bond, up: true, link_state: up, mtu: 1500, addresses: []}
commands:
  description: What was executed, in order, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [networkctl reload]
spawned:
  description: Number of processes that were started.
  returned: always
  type: int
  sample: 5
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._host_network.compare import run
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.declaration import INTERFACE
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.reader import MANAGERS
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **owner_argument_spec(),
            **INTERFACE,
            "manager": {"type": "str", "choices": ["auto", *MANAGERS], "default": "auto"},
            "interfaces": {"type": "list", "elements": "dict", "options": INTERFACE},
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()

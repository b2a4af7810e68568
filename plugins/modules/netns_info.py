#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_info
short_description: Show network namespaces with their interfaces, addresses, and routes
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Returns the named network namespaces of a host (those of C(ip netns)), whoever made them.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  names:
    description:
      - Only these namespaces, by their exact names. One that is not there is left out.
    type: list
    elements: str
  owner:
    description:
      - Only the namespaces with this owner mark.
    type: str
notes:
  - Needs root and iproute2 on the host. Bridges and VLANs are shown if Open vSwitch is there.
seealso:
  - module: overloom.fabric.netns_veth
"""

EXAMPLES = r"""
- name: All namespaces of the host
  overloom.fabric.netns_info:
  register: found

- name: The addresses of one interface
  ansible.builtin.debug:
    msg: "{{ (found.namespaces | selectattr('name', 'eq', 'red') | first).interfaces[0].addresses }}"

- name: Only what one fabric owns
  overloom.fabric.netns_info:
    owner: my-fabric
"""

RETURN = r"""
namespaces:
  description: The namespaces, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the namespace.
      type: str
      returned: success
      sample: red
    owner:
      description: Whose mark it carries; V(null) for none.
      type: str
      returned: success
      sample: overloom.fabric
    foreign:
      description: Whether it was not made by M(overloom.fabric.netns_veth), which then never removes it.
      type: bool
      returned: success
      sample: false
    processes:
      description: Process ids of what runs in it.
      type: list
      elements: int
      returned: success
      sample: [4711]
    sysctls:
      description: The sysctls that M(overloom.fabric.netns_veth) set, with the values they have now.
      type: dict
      returned: success
      sample: {net/ipv4/ip_forward: "1"}
    rules:
      description: Its policy rules, without those of the kernel and of routing daemons.
      type: list
      elements: dict
      returned: success
      sample: [{priority: 1000, from: 10.1.1.7/32, table: 100}]
    interfaces:
      description: Its interfaces, except C(lo).
      type: list
      elements: dict
      returned: success
      contains:
        name:
          description: Name of the interface.
          type: str
          returned: success
          sample: eth0
        kind:
          description: What it is, for example V(veth); empty for hardware.
          type: str
          returned: success
          sample: veth
        outer:
          description: The other end of a veth pair, if it is in the host.
          type: str
          returned: success
          sample: v-red
        bridge:
          description: The Open vSwitch bridge that has RV(namespaces[].interfaces[].outer) as a port.
          type: str
          returned: success
          sample: br-int
        tag:
          description: VLAN of the port.
          type: int
          returned: success
          sample: 20
        trunks:
          description: VLANs that the port carries tagged, and ranges of them.
          type: list
          elements: raw
          returned: success
          sample: [10, 20-29]
        vlan_mode:
          description: How the port uses its VLANs; V(null) if it is not set.
          type: str
          returned: success
          sample: access
        iface_id:
          description: Name by which a controller such as OVN knows the interface; V(null) if it is not set.
          type: str
          returned: success
          sample: test/kvm1/web1
        addresses:
          description: Addresses with prefix lengths, without those that the kernel, DHCP or router advertisements made.
          type: list
          elements: str
          returned: success
          sample: [10.1.2.1/24]
        routes:
          description: Routes through a gateway that were set by hand or by this collection.
          type: list
          elements: dict
          returned: success
          sample: [{to: default, via: 10.1.2.254, metric: 0, onlink: false, table: 254}]
        mtu:
          description: MTU in bytes.
          type: int
          returned: success
          sample: 1458
        mac:
          description: MAC address.
          type: str
          returned: success
          sample: "02:00:00:00:00:01"
        up:
          description: Whether it is up.
          type: bool
          returned: success
          sample: true
        tx_checksum:
          description: Whether it leaves transmit checksums to its other end; V(null) if it cannot tell.
          type: bool
          returned: success
          sample: false
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._netns.info import run


def main() -> None:
    """Declare the options and hand over."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str"},
            "owner": {"type": "str"},
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()

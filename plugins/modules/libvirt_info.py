#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_info
short_description: Read guests, networks and pools of libvirt, typed
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Returns the options that M(overloom.fabric.libvirt_domain), M(overloom.fabric.libvirt_network) and M(overloom.fabric.libvirt_pool)
    would have to be given to make what is there, and of running guests their NICs as they are.
requirements:
  - libvirt-python (the package C(python3-libvirt)), libvirt 6.0 or newer
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  gather:
    description: What is read. V(host) also tries whether KVM works.
    type: list
    elements: str
    choices: [domains, host, networks, pools]
    default: [domains, networks, pools]
  owner:
    description: Only guests and networks with this mark, and pools of this owner.
    type: str
  uri:
    description: The URI that libvirt is connected to by.
    type: str
    default: qemu:///system
"""

EXAMPLES = r"""
- name: See the guests of a fabric
  overloom.fabric.libvirt_info:
    gather: [domains]
    owner: gre-vlan
  register: guests
"""

RETURN = r"""
domains:
  description: The guests by name. RV(domains) holds for each also C(interfaces), its NICs as they run.
  returned: when asked for
  type: dict
  sample: {web1: {state: running, memory: 512MiB, owner: gre-vlan, interfaces: [{mac: "52:54:00:00:00:01", dev: vnet0, bridge: br-int, vlan: 10}]}}
networks:
  description: The networks by name.
  returned: when asked for
  type: dict
  sample: {fabric: {mode: openvswitch, bridge: br-int, state: active}}
pools:
  description: The pools by name.
  returned: when asked for
  type: dict
  sample: {fabric: {type: dir, path: /var/lib/libvirt/fabric, state: active}}
host:
  description: Versions, memory, CPUs, and V(kvm) or V(tcg), whichever really runs a guest.
  returned: when asked for
  type: dict
  sample: {libvirt: 9.0.0, memory: 16GiB, cpus: 8, accelerator: kvm}
spawned:
  description: The number of processes that the module started.
  returned: always
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import DEFAULT_URI
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.info import GATHER, run


def main() -> None:
    run(
        AnsibleModule(
            argument_spec={
                "gather": {
                    "type": "list",
                    "elements": "str",
                    "choices": list(GATHER),
                    "default": ["domains", "networks", "pools"],
                },
                "owner": {"type": "str"},
                "uri": {"type": "str", "default": DEFAULT_URI},
            },
            supports_check_mode=True,
        )
    )


if __name__ == "__main__":
    main()

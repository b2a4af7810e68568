#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ownership_info
short_description: Find names on a host that others use already
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Takes the names of things that are to be made on a host, and returns those that are there already and belong to somebody else, with the traces that show it.
  - A thing with another owner's mark is another's. One without a mark is another's if it is in use. A bridge with a controller, flows, C(fail_mode) secure,
    C(external_ids) or ports of others; a namespace with processes or interfaces in it; a guest or network that is defined in libvirt; a routing process
    in C(frr.conf); an interface or a port of that name; a bridge or an interface that the host's own network configuration makes (systemd-networkd,
    NetworkManager, ifupdown, netplan, libvirt), also if it is not there yet; a NIC with addresses, now or in these files, or with VLANs or macvlans
    upon it; an address that another interface has;
    for a host as chassis, the address of OVN's southbound database in its Open vSwitch.
  - Warns of other interfaces in the subnet of an V(address), as packets may then leave by either.
  - Reads with two processes, and with one more for each bridge or namespace that is there and carries no mark.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  owner:
    description: The owner whose things these are to be. What carries its mark is never returned.
    type: str
    required: true
  claims:
    description: The things.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description:
          - What it is.
          - A V(nic) has to be there; it is plugged into the bridge O(claims[].on), if that is given.
          - The image of a V(container) and the unit of a V(service) have to be there as well.
          - A V(cluster) is that of OVN's databases. Where it is to have other members, most of those that it has must stay, and be reached.
        type: str
        choices: [address, bridge, chassis, cluster, container, guest, interface, namespace, network, nic, port, router, service]
        required: true
      name:
        description: Its name; of a V(chassis) the host's, of a V(router) the line of C(frr.conf), of an V(address) the address.
        type: str
        required: true
      'on':
        description:
          - The bridge of a port or NIC, the interface of an address, the image of a container, or the name that this collection's notes have for a router.
          - Of a cluster the addresses of its members, with commas between them.
        type: str
      instead:
        description: The way on for a person, as a part of the sentence in RV(findings[].msg).
        type: str
        default: take another name
  adopt:
    description: Names of things that may be others'; V(*) for all that carry no owner's mark. They are returned in RV(adopted).
    type: list
    elements: str
    default: []
  others:
    description:
      - Return also what does not carry the mark of O(owner), whatever its name, as RV(others).
      - Containers are Podman's.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: See whether somebody uses the bridge already
  overloom.fabric.ownership_info:
    owner: myfabric
    claims:
      - {kind: bridge, name: br-int}
  register: claimed
"""

RETURN = r"""
findings:
  description: The things that are another's, or, for a NIC and an image, are missing.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: What it is.
      type: str
    name:
      description: Its name.
      type: str
    owner:
      description: The owner whose mark it carries, or V(null).
      type: str
    traces:
      description: What shows that it is in use.
      type: list
      elements: str
    adoptable:
      description: Whether it may be used all the same, by O(adopt).
      type: bool
    msg:
      description: One sentence for a person.
      type: str
  sample:
    - kind: bridge
      name: br-int
      owner: null
      traces: [fail_mode secure, 2 flows with cookie 0x2a]
      adoptable: true
      msg: bridge br-int was there before the fabric and is in use (fail_mode secure, 2 flows with cookie 0x2a); take another name
adopted:
  description: Likewise, what O(adopt) allows.
  returned: success
  type: list
  elements: dict
chassis:
  description: What the host is to OVN, whosever it is.
  returned: with a claim of the kind V(chassis)
  type: dict
  contains:
    owner:
      description: The owner whose mark the chassis carries, or V(null).
      type: str
      sample: myfabric
    bridge:
      description: The integration bridge, or V(null) where none is set.
      type: str
      sample: br-int
others:
  description:
    - Bridges, ports, namespaces, guests, networks and containers without the mark of O(owner).
    - A port that a bridge has by itself is not listed, and neither is one that libvirt has plugged in for a guest of O(owner).
  returned: with O(others=true)
  type: list
  elements: dict
  contains:
    kind:
      description: What it is.
      type: str
      sample: bridge
    name:
      description: Its name.
      type: str
      sample: br-storage
    owner:
      description: The owner whose mark it carries, or V(null).
      type: str
    traces:
      description: What shows its use.
      type: list
      elements: str
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 2
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._others import others
from ansible_collections.overloom.fabric.plugins.module_utils._ownership import KINDS, run


def main() -> None:
    """Ansible's entry."""
    claim = {
        "kind": {"type": "str", "choices": list(KINDS), "required": True},
        "name": {"type": "str", "required": True},
        "on": {"type": "str"},
        "instead": {"type": "str", "default": "take another name"},
    }
    module = AnsibleModule(
        argument_spec={
            "owner": {"type": "str", "required": True},
            "claims": {"type": "list", "elements": "dict", "default": [], "options": claim},
            "adopt": {"type": "list", "elements": "str", "default": []},
            "others": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    owner = module.params["owner"]
    run(module, lambda runner: {"others": others(runner, owner)} if module.params["others"] else {})


if __name__ == "__main__":
    main()

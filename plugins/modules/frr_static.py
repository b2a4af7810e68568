#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: frr_static
short_description: Manage static routes in FRR
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Manages static routes of FRR, of both address families.
  - The plain options describe one route; O(routes) describes several.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
  - overloom.fabric.frr
options:
  routes:
    description: Several routes, instead of the plain options. An empty list declares none.
    type: list
    elements: dict
    suboptions: &item
      prefix:
        description: Destination. Needed, unless the list of items is given.
        type: str
      via:
        description: Address of the next hop.
        type: str
      interface:
        description: Interface that the next hop is on, or that the destination is on.
        type: str
      discard:
        description: Drop the packets, silently (V(blackhole)) or with an ICMP message (V(reject)).
        type: str
        choices: [blackhole, reject]
      onlink:
        description: The next hop is on the interface's link though no address says so.
        type: bool
        default: false
      distance:
        description: Administrative distance.
        type: int
        default: 1
      tag:
        description: Route tag.
        type: int
      table:
        description: Number of the kernel's routing table.
        type: int
      vrf:
        description: VRF of the route.
        type: str
        default: default
      nexthop_vrf:
        description: VRF of the next hop, when it is another.
        type: str
      state:
        description: Whether the route is there.
        type: str
        choices: [present, absent]
        default: present
  <<: *item
"""

EXAMPLES = r"""
- name: A route through a next hop, and one that drops
  overloom.fabric.frr_static:
    routes:
      - {prefix: 10.20.0.0/16, via: 192.0.2.1}
      - {prefix: 10.0.0.0/8, discard: blackhole, distance: 250}
    purge: true
"""

RETURN = r"""
commands:
  description: What was executed, in order, or would be in check mode, with the secrets masked.
  returned: always
  type: list
  elements: str
  sample: ["install -m 0600 /dev/stdin change.conf <<'EOF'\nip route 10.20.0.0/16 192.0.2.1\nEOF\nvtysh -f change.conf"]
running:
  description: The declared things as FRR's running configuration shows them, with the secrets masked.
  returned: always
  type: list
  elements: str
  sample: [ip route 10.20.0.0/16 192.0.2.1]
spawned:
  description: Number of processes that were started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._frr.run import run
from ansible_collections.overloom.fabric.plugins.module_utils._frr.static import ROUTE, daemons, things
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **owner_argument_spec(),
            **ROUTE,
            "routes": {"type": "list", "elements": "dict", "options": ROUTE},
        },
        supports_check_mode=True,
    )
    run(
        module,
        "frr_static",
        "routes",
        ROUTE,
        things,
        daemons,
    )


if __name__ == "__main__":
    main()

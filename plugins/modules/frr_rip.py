#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: frr_rip
short_description: Manage RIP in FRR
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Manages RIP processes of FRR (RIPv2 for IPv4), their interfaces, and the lists that they refer to.
  - The plain options describe one process; O(instances) describes several.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
  - overloom.fabric.frr
  - overloom.fabric.frr.filters
  - overloom.fabric.frr.key_chains
options:
  instances:
    description: Several processes, instead of the plain options. An empty list declares none.
    type: list
    elements: dict
    suboptions: &item
      vrf:
        description: VRF of the process.
        type: str
        default: default
      networks:
        description: Exactly the prefixes and interfaces that take part.
        type: list
        elements: str
      neighbors:
        description: Exactly the neighbors that are spoken to without multicast.
        type: list
        elements: str
      passive_interfaces:
        description: Exactly the interfaces that only listen.
        type: list
        elements: str
      default_metric:
        description: Metric of redistributed routes that have none.
        type: int
      distance:
        description: Administrative distance of the routes.
        type: int
      default_information:
        description: Announce a default route.
        type: bool
      allow_ecmp:
        description: Use several paths of one metric.
        type: bool
      timers:
        description: Timers in seconds.
        type: dict
        suboptions:
          update:
            description: Interval of the updates.
            type: int
            required: true
          timeout:
            description: Time until a route is invalid.
            type: int
            required: true
          garbage:
            description: Time until an invalid route is forgotten.
            type: int
            required: true
      redistribute:
        description: Exactly the protocols whose routes are announced.
        type: list
        elements: dict
        suboptions:
          protocol:
            description: The protocol, such as V(connected) or V(static).
            type: str
            required: true
          metric:
            description: Metric of the routes.
            type: int
          route_map:
            description: Route-map that they pass through.
            type: str
      interfaces:
        description: Interfaces.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the interface. It need not exist yet.
            type: str
            required: true
          split_horizon:
            description: How routes are kept from going back.
            type: str
            choices: [plain, poisoned_reverse, none]
          authentication:
            description: Kind of authentication.
            type: str
            choices: [none, text, md5]
          authentication_key:
            description: The password.
            type: str
          key_chain:
            description: Name of the key chain.
            type: str
          state:
            description: Whether the interface's settings are there.
            type: str
            choices: [present, absent]
            default: present
      state:
        description: Whether the process is there.
        type: str
        choices: [present, absent]
        default: present
  <<: *item
"""

EXAMPLES = r"""
- name: RIP on two interfaces
  overloom.fabric.frr_rip:
    networks: [eth1, 10.0.2.0/24]
    redistribute: [{protocol: connected, metric: 2}]
    interfaces:
      - {name: eth1, authentication: text, authentication_key: "{{ vault_rip_key }}"}
"""

RETURN = r"""
commands:
  description: What was executed, in order, or would be in check mode, with the secrets masked.
  returned: always
  type: list
  elements: str
  sample: ["install -m 0600 /dev/stdin change.conf <<'EOF'\nrouter rip\n network eth1\nexit\nEOF\nvtysh -f change.conf"]
running:
  description: The declared things as FRR's running configuration shows them, with the secrets masked.
  returned: always
  type: list
  elements: str
  sample: [router rip, " network eth1", exit]
spawned:
  description: Number of processes that were started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._frr.rip import INSTANCE, LISTS, daemons, things
from ansible_collections.overloom.fabric.plugins.module_utils._frr.run import run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **owner_argument_spec(),
            **INSTANCE,
            "instances": {"type": "list", "elements": "dict", "options": INSTANCE},
            **LISTS,
        },
        supports_check_mode=True,
    )
    run(
        module,
        "frr_rip",
        "instances",
        INSTANCE,
        lambda items, found: things(module.params, items, found, module.params["owner"]),
        daemons,
    )


if __name__ == "__main__":
    main()

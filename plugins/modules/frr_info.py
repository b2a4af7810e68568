#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: frr_info
short_description: Read neighbors, sessions and routes from FRR
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Reads what FRR knows from its JSON output, with the same names and types for all its releases.
  - Starts two processes, whatever is asked, and a third for what sessions of BGP refused.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  gather:
    description:
      - Subsets to read; no value is returned of the others.
      - A subset of a daemon that does not run is returned empty. V(bgp_refused) includes V(bgp).
    type: list
    elements: str
    choices: [ospf, ospf6, bgp, bgp_refused, routes, interfaces, bfd, ospf_interfaces, bgp_reasons, running_config]
    default: [ospf, ospf6, bgp, routes, interfaces, bfd]
  prefixes:
    description: Return only routes inside these prefixes.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Read the adjacencies
  overloom.fabric.frr_info:
    gather: [ospf]
  register: frr

- name: All of them are Full
  ansible.builtin.assert:
    that: frr.ospf_neighbors | rejectattr('state', 'equalto', 'Full') | length == 0

- name: Read the routes to the tunnel endpoints
  overloom.fabric.frr_info:
    gather: [routes]
    prefixes: [10.255.0.0/24]
"""

RETURN = r"""
daemons:
  description: The daemons that run.
  returned: always
  type: list
  elements: str
  sample: [zebra, ospfd, staticd]
ospf_neighbors:
  description:
    - Neighbors of OSPFv2 with the history of the adjacency. C(state_changes) counts its states. C(uptime_seconds) have passed since it last
      got on, C(dropped_seconds) since it last fell back, for C(dropped_reason); null and empty if it never did.
  returned: with C(ospf) in O(gather)
  type: list
  elements: dict
  sample:
    - {vrf: default, router_id: 10.0.0.2, address: 192.0.2.2, interface: eth1, state: Full, role: '-', area: 0.0.0.0, priority: 1,
       state_changes: 6, uptime_seconds: 125, dropped_seconds: null, dropped_reason: ''}
ospf6_neighbors:
  description: Neighbors of OSPFv3.
  returned: with C(ospf6) in O(gather)
  type: list
  elements: dict
  sample:
    - {vrf: default, router_id: 10.0.0.2, address: 'fe80::2', interface: eth1, state: Full, area: 0.0.0.0, priority: 1, uptime_seconds: 125}
bgp_neighbors:
  description:
    - Sessions of BGP, one for each address family. C(prefixes_received) is what was taken. C(prefixes_refused) is what was received besides and
      filtered out; it is known with C(bgp_refused) in O(gather), of sessions with C(soft_reconfiguration_inbound).
  returned: with C(bgp) in O(gather)
  type: list
  elements: dict
  sample:
    - {vrf: default, family: ipv4_unicast, neighbor: 192.0.2.2, remote_as: 64513, local_as: 64512, state: Established, dynamic: false,
       prefixes_received: 2, prefixes_refused: 0, prefixes_sent: 1, established_count: 1, dropped_count: 0, uptime_seconds: 60}
routes:
  description: Routes of both address families, with all that a protocol offers for a prefix.
  returned: with C(routes) in O(gather)
  type: list
  elements: dict
  sample:
    - {vrf: default, prefix: 10.0.0.2/32, protocol: ospf, selected: true, distance: 110, metric: 10, table: 254, uptime_seconds: 60,
       nexthops: [{address: 192.0.2.2, interface: eth1, active: true, installed: true, discard: false}]}
interfaces:
  description: Interfaces by name.
  returned: with C(interfaces) in O(gather)
  type: dict
  sample: {eth1: {vrf: default, up: true, running: true, mtu: 1500, addresses: [192.0.2.1/30]}}
bfd_peers:
  description: Sessions of BFD.
  returned: with C(bfd) in O(gather)
  type: list
  elements: dict
  sample:
    - {vrf: default, peer: 192.0.2.2, local: 192.0.2.1, interface: eth1, state: up, uptime_seconds: 60, diagnostic: ok,
       receive_interval: 300, transmit_interval: 300, detect_multiplier: 3}
ospf_interfaces:
  description: Interfaces of OSPFv2, with what two ends of a link must have alike. C(authentication) is V(password), V(message-digest) or empty.
  returned: with C(ospf_interfaces) in O(gather)
  type: list
  elements: dict
  sample:
    - {vrf: default, interface: eth1, address: 192.0.2.1, area: 0.0.0.0, router_id: 10.0.0.1, network_type: point-to-point, hello_interval: 10,
       dead_interval: 40, mtu: 1500, passive: false, authentication: ''}
bgp_reasons:
  description: Why sessions of BGP do not stand, or last fell. C(shut_down) is by this side's configuration.
  returned: with C(bgp_reasons) in O(gather)
  type: list
  elements: dict
  sample:
    - {vrf: default, neighbor: 192.0.2.2, remote_as: 64513, local_as: 64512, shut_down: false, families: [ipv4Unicast], reset: BGP Notification received,
       notification: OPEN Message Error/Bad Peer AS}
running_config:
  description: The running configuration as FRR shows it, without what it begins with, and with its passwords and keys masked.
  returned: with C(running_config) in O(gather)
  type: str
  sample: |
    router bgp 64512
     neighbor 192.0.2.2 remote-as 64513
    exit
hanging:
  description: The daemons of FRR that take connections and do not answer.
  returned: when FRR does not answer
  type: list
  elements: str
  sample: [ospfd]
spawned:
  description: Number of processes that were started.
  returned: always
  type: int
  sample: 2
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._frr.info import facts
from ansible_collections.overloom.fabric.plugins.module_utils._frr.lists import check_prefix
from ansible_collections.overloom.fabric.plugins.module_utils._frr.runner import HangsError, frr_runner
from ansible_collections.overloom.fabric.plugins.module_utils._frr.subsets import CHOICES, DETAILS, SUBSETS
from ansible_collections.overloom.fabric.plugins.module_utils._frr.vtysh import LOOK
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "gather": {"type": "list", "elements": "str", "choices": [*CHOICES, *DETAILS], "default": SUBSETS},
            "prefixes": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    runner = frr_runner(module, LOOK)
    try:
        within = [check_prefix(prefix, "prefixes") for prefix in module.params["prefixes"]]
        found = facts(runner, module.params["gather"], within)
    except HangsError as error:
        module.fail_json(msg=str(error), hanging=error.daemons, spawned=runner.spawned)
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    module.exit_json(changed=False, spawned=runner.spawned, **found)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: frr_ospf
short_description: Manage OSPF in FRR
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Manages OSPFv2 and OSPFv3 processes of FRR, their areas and interfaces, and the lists that they refer to.
  - Only lines that differ are sent, so an adjacency that need not drop does not drop.
  - The plain options describe one process; O(instances) describes several.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
  - overloom.fabric.frr
  - overloom.fabric.frr.filters
  - overloom.fabric.frr.key_chains
  - overloom.fabric.frr.bfd
options:
  instances:
    description: Several processes, instead of the plain options. An empty list declares none.
    type: list
    elements: dict
    suboptions: &item
      version:
        description: V(2) for IPv4 (RFC 2328), V(3) for IPv6 (RFC 5340).
        type: int
        choices: [2, 3]
        default: 2
      vrf:
        description: VRF of the process.
        type: str
        default: default
      router_id:
        description: Router id, four numbers with dots. Empty text leaves the choice to FRR.
        type: str
      reference_bandwidth:
        description: Bandwidth whose cost is 1, in Mbit/s.
        type: int
      maximum_paths:
        description: Number of paths of equal cost that are used.
        type: int
      distance:
        description: Administrative distance of the routes.
        type: int
      default_metric:
        description: Metric of redistributed routes that have none. OSPFv2 only.
        type: int
      log_adjacency_changes:
        description: Which changes of adjacencies are logged.
        type: str
        choices: [none, changes, detail]
      passive_default:
        description: Interfaces are passive unless they say otherwise. OSPFv2 only.
        type: bool
      spf_timers:
        description: Delays of the shortest path calculation, in milliseconds.
        type: dict
        suboptions:
          delay:
            description: Delay after the first change.
            type: int
            required: true
          initial_hold:
            description: Hold time between two calculations.
            type: int
            required: true
          maximum_hold:
            description: Longest hold time.
            type: int
            required: true
      graceful_restart:
        description: Graceful restart (RFC 3623, RFC 5187).
        type: dict
        suboptions:
          enabled:
            description: Ask the neighbors to keep the routes while the daemon restarts.
            type: bool
          period:
            description: Grace period in seconds.
            type: int
            default: 120
          helper:
            description: Help neighbors that restart.
            type: bool
      default_information:
        description: The default route that the router announces. An empty dictionary clears.
        type: dict
        suboptions:
          originate:
            description: Announce a default route.
            type: bool
            default: false
          always:
            description: Also when the router has none itself.
            type: bool
            default: false
          metric:
            description: Metric of the routes.
            type: int
          metric_type:
            description: Type of the external metric.
            type: int
            choices: [1, 2]
            default: 2
          route_map:
            description: Route-map that decides.
            type: str
      redistribute:
        description: Exactly the protocols whose routes are announced.
        type: list
        elements: dict
        suboptions:
          protocol:
            description: The protocol, such as V(connected), V(static) or V(bgp).
            type: str
            required: true
          metric:
            description: Metric of the routes.
            type: int
          metric_type:
            description: Type of the external metric.
            type: int
            choices: [1, 2]
            default: 2
          route_map:
            description: Route-map that they pass through.
            type: str
      networks:
        description:
          - Exactly the networks whose interfaces take part. OSPFv2 only.
          - Excludes the area of an interface.
        type: list
        elements: dict
        suboptions:
          prefix:
            description: Prefix that holds the interfaces' addresses.
            type: str
            required: true
          area:
            description: Area, as a number or with dots.
            type: str
            required: true
      neighbors:
        description:
          - Exactly the neighbors that the router speaks to by itself, on interfaces whose C(network_type) is V(non-broadcast). OSPFv2 only.
        type: list
        elements: dict
        suboptions:
          address:
            description: Address of the neighbor on the network that is shared.
            type: str
            required: true
          priority:
            description: Its priority in the election of the designated router, until it says it itself; V(0) never waits for it.
            type: int
            default: 0
          poll_interval:
            description: Seconds between hellos to a neighbor that is silent; V(0) is FRR's own value.
            type: int
            default: 60
      summaries:
        description: Exactly the external summaries that are announced.
        type: list
        elements: dict
        suboptions:
          prefix:
            description: The summary.
            type: str
            required: true
          tag:
            description: Route tag.
            type: int
          advertise:
            description: Whether it is announced, or what it covers is hidden.
            type: bool
            default: true
      areas:
        description: Areas.
        type: list
        elements: dict
        suboptions:
          area:
            description: The area, as a number or with dots.
            type: str
            required: true
          type:
            description: Kind of the area. V(totally_stubby) and V(totally_nssa) take no inter-area routes.
            type: str
            choices: [normal, stub, totally_stubby, nssa, totally_nssa]
          default_cost:
            description: Cost of the default route that a border router gives the area. OSPFv2 only.
            type: int
          authentication:
            description: Authentication of all interfaces in the area. OSPFv2 only.
            type: str
            choices: [none, simple, message_digest]
          ranges:
            description: Exactly the ranges that a border router summarizes.
            type: list
            elements: dict
            suboptions:
              prefix:
                description: The range.
                type: str
                required: true
              advertise:
                description: Whether it is announced, or what it covers is hidden.
                type: bool
                default: true
              cost:
                description: Cost of the summary.
                type: int
              substitute:
                description: Prefix that is announced in its place. OSPFv2 only.
                type: str
          state:
            description: Whether the area's settings are there.
            type: str
            choices: [present, absent]
            default: present
      interfaces:
        description: Interfaces.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the interface. It need not exist yet.
            type: str
            required: true
          area:
            description: Area of the interface, as a number or with dots.
            type: str
          cost:
            description: Cost of the interface.
            type: int
          network_type:
            description: Network type. Empty text leaves the choice to FRR.
            type: str
            choices: ['', broadcast, non-broadcast, point-to-point, point-to-multipoint]
          hello_interval:
            description: Seconds between hellos.
            type: int
          dead_interval:
            description: Seconds without a hello until a neighbor is gone.
            type: int
          hello_multiplier:
            description:
              - Hellos in a second, with a dead interval of one second. OSPFv2 only.
              - Zero clears it.
            type: int
          retransmit_interval:
            description: Seconds until an unacknowledged LSA is sent again.
            type: int
          transmit_delay:
            description: Seconds that an LSA is taken to need for the link.
            type: int
          priority:
            description: Priority in the election of the designated router.
            type: int
          passive:
            description: Announce the network and speak to nobody on it.
            type: bool
          mtu_ignore:
            description: Take neighbors with another MTU.
            type: bool
          bfd:
            description: Watch the neighbors with BFD.
            type: bool
          bfd_profile:
            description: BFD profile, which implies BFD.
            type: str
          authentication:
            description:
              - Kind of authentication. Empty text leaves it to the area, V(none) turns it off.
              - V(simple) and V(message_digest) are for OSPFv2, V(key) for OSPFv3; V(key_chain) needs an FRR that has it.
            type: str
            choices: ['', none, simple, message_digest, key_chain, key]
          authentication_key:
            description: The password of V(simple) authentication (8 characters), or the key of V(key).
            type: str
          authentication_key_id:
            description: Number of the key for OSPFv3.
            type: int
          authentication_algorithm:
            description: Algorithm of the key for OSPFv3 (RFC 7166).
            type: str
            choices: [md5, hmac-sha-1, hmac-sha-256, hmac-sha-384, hmac-sha-512]
            default: hmac-sha-256
          message_digest_keys:
            description: Exactly the MD5 keys of OSPFv2.
            type: list
            elements: dict
            suboptions:
              id:
                description: Number of the key.
                type: int
                required: true
              key:
                description: The key, up to 16 characters.
                type: str
                required: true
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
- name: A router with two links in the backbone and a stub area
  overloom.fabric.frr_ospf:
    router_id: 10.0.0.1
    areas:
      - {area: 1, type: stub}
    interfaces:
      - {name: lo, area: 0, passive: true}
      - {name: eth1, area: 0, network_type: point-to-point, cost: 10, hello_interval: 1, dead_interval: 4, bfd: true}
      - {name: eth2, area: 1}

- name: Speak to two neighbors on a network without multicast
  overloom.fabric.frr_ospf:
    neighbors: [{address: 192.0.2.2, priority: 10}, {address: 192.0.2.3}]
    interfaces: [{name: eth1, area: 0, network_type: non-broadcast}]

- name: Authenticate one link with MD5
  overloom.fabric.frr_ospf:
    interfaces:
      - name: eth1
        authentication: message_digest
        message_digest_keys: [{id: 1, key: "{{ vault_ospf_key }}"}]

- name: Exactly this, with the connected routes that a route-map lets through, for IPv4 and IPv6
  overloom.fabric.frr_ospf:
    prefix_lists:
      - name: LOOPBACKS
        entries: [{prefix: 10.0.0.0/24, ge: 32}]
    route_maps:
      - name: CONNECTED
        entries: [{match: [ip address prefix-list LOOPBACKS], set: [metric 20]}]
    instances:
      - router_id: 10.0.0.1
        redistribute: [{protocol: connected, route_map: CONNECTED}]
        interfaces: [{name: eth1, area: 0}]
      - version: 3
        router_id: 10.0.0.1
        interfaces: [{name: eth1, area: 0}]
    purge: true
"""

RETURN = r"""
commands:
  description: What was executed, in order, or would be in check mode, with the secrets masked.
  returned: always
  type: list
  elements: str
  sample: ["install -m 0600 /dev/stdin change.conf <<'EOF'\ninterface eth1\n ip ospf cost 20\nexit\nEOF\nvtysh -f change.conf"]
running:
  description: The declared things as FRR's running configuration shows them, with the secrets masked.
  returned: always
  type: list
  elements: str
  sample: [interface eth1, " ip ospf cost 20", exit]
spawned:
  description: Number of processes that were started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._frr.ospf import INSTANCE, LISTS, daemons, things
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
        "frr_ospf",
        "instances",
        INSTANCE,
        lambda items, found: things(module.params, items, found, module.params["owner"]),
        daemons,
    )


if __name__ == "__main__":
    main()

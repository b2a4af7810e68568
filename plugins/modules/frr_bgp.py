#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: frr_bgp
short_description: Manage BGP in FRR
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Manages BGP processes of FRR, their neighbors, peer groups and address families, and the lists that they refer to.
  - Only lines that differ are sent, so a session that need not drop does not drop.
  - The plain options describe one process; O(instances) describes several.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
  - overloom.fabric.frr
  - overloom.fabric.frr.filters
  - overloom.fabric.frr.bgp
  - overloom.fabric.frr.bfd
options:
  instances:
    description: Several processes, instead of the plain options. An empty list declares none.
    type: list
    elements: dict
    suboptions: &item
      asn:
        description:
          - AS number, plain or dotted. Needed, unless the list of items is given.
          - When it changes, the process is made anew and every session drops.
        type: str
      vrf:
        description: VRF of the process.
        type: str
        default: default
      router_id:
        description: Router id, four numbers with dots. Empty text leaves the choice to FRR.
        type: str
      cluster_id:
        description: Cluster id of a route reflector.
        type: str
      log_neighbor_changes:
        description: Log when a session comes or goes.
        type: bool
      default_ipv4_unicast:
        description: New neighbors exchange IPv4 routes without being told.
        type: bool
      ebgp_requires_policy:
        description: Exchange no routes with other AS without a filter (RFC 8212).
        type: bool
      network_import_check:
        description: Announce a network only when the router has a route to it.
        type: bool
      multipath_relax:
        description: Use several paths through different AS of one length.
        type: bool
      compare_router_id:
        description: Compare router ids among external paths.
        type: bool
      deterministic_med:
        description: Compare MED independently of the order of arrival.
        type: bool
      always_compare_med:
        description: Compare MED between different AS.
        type: bool
      listen_limit:
        description: Most dynamic neighbors.
        type: int
      timers:
        description: Timers of all sessions that have none of their own.
        type: dict
        suboptions:
          keepalive:
            description: Seconds between keepalives.
            type: int
            required: true
          hold:
            description: Seconds without one until the session is gone.
            type: int
            required: true
      graceful_restart:
        description: Graceful restart (RFC 4724).
        type: dict
        suboptions:
          mode:
            description: V(helper) is FRR's default.
            type: str
            choices: [helper, enabled, disabled]
          restart_time:
            description: Seconds that neighbors wait.
            type: int
          stalepath_time:
            description: Seconds that stale paths are kept.
            type: int
      listen_ranges:
        description: Exactly the prefixes from which neighbors may connect without being configured.
        type: list
        elements: dict
        suboptions:
          prefix:
            description: The prefix.
            type: str
            required: true
          peer_group:
            description: Peer group of these neighbors.
            type: str
            required: true
      peer_groups:
        description: Peer groups.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the group.
            type: str
            required: true
          <<: &session
            remote_as:
              description: AS number, plain or dotted, or V(internal) or V(external).
              type: str
            description:
              description: Free text.
              type: str
            password:
              description: Password of the TCP session (RFC 2385).
              type: str
            shutdown:
              description: Keep the session down.
              type: bool
            timers:
              description: Timers of the session.
              type: dict
              suboptions:
                keepalive:
                  description: Seconds between keepalives.
                  type: int
                  required: true
                hold:
                  description: Seconds without one until the session is gone.
                  type: int
                  required: true
            connect_timer:
              description: Seconds until a failed connection is tried again.
              type: int
            advertisement_interval:
              description: Seconds between updates.
              type: int
            update_source:
              description: Interface or address that the session comes from.
              type: str
            ebgp_multihop:
              description: Hops that the neighbor may be away.
              type: int
            ttl_security_hops:
              description: Hops that the neighbor is away at most (RFC 5082).
              type: int
            disable_connected_check:
              description: Take a neighbor that is not on a connected network.
              type: bool
            passive:
              description: Wait for the neighbor to connect.
              type: bool
            local_as:
              description:
                - AS number to appear as. Empty clears it with its words.
                - Another number keeps the words that are there.
              type: str
            local_as_no_prepend:
              description: Leave the number of C(local_as) out of the paths of received routes.
              type: bool
            local_as_replace_as:
              description: Put it in the place of the process's own number in the paths of sent routes. Implies C(local_as_no_prepend).
              type: bool
            extended_nexthop:
              description: Announce IPv4 routes with IPv6 next hops (RFC 8950).
              type: bool
            bfd:
              description: Watch the neighbor with BFD.
              type: bool
            bfd_profile:
              description: BFD profile, which implies BFD.
              type: str
            address_families:
              description: Settings of an address family.
              type: list
              elements: dict
              suboptions:
                family:
                  description: The address family.
                  type: str
                  choices: [ipv4_unicast, ipv6_unicast, l2vpn_evpn]
                  required: true
                activate:
                  description: Exchange routes of this family.
                  type: bool
                route_reflector_client:
                  description: Reflect routes to this neighbor (RFC 4456).
                  type: bool
                route_server_client:
                  description: Serve as a route server.
                  type: bool
                next_hop_self:
                  description: Announce itself as next hop; V(force) also for reflected routes.
                  type: str
                  choices: [none, plain, force]
                send_community:
                  description: Exactly the kinds of communities that are sent.
                  type: list
                  elements: str
                  choices: [standard, extended, large]
                soft_reconfiguration_inbound:
                  description: Keep the routes as received.
                  type: bool
                default_originate:
                  description: Announce a default route.
                  type: bool
                default_originate_route_map:
                  description: Route-map that decides on it.
                  type: str
                route_map_in:
                  description: Route-map for received routes.
                  type: str
                route_map_out:
                  description: Route-map for sent routes.
                  type: str
                prefix_list_in:
                  description: Prefix list for received routes.
                  type: str
                prefix_list_out:
                  description: Prefix list for sent routes.
                  type: str
                as_path_list_in:
                  description: AS path list for received routes.
                  type: str
                as_path_list_out:
                  description: AS path list for sent routes.
                  type: str
                maximum_prefix:
                  description: Most prefixes that are taken. A limit of 0 clears.
                  type: dict
                  suboptions:
                    limit:
                      description: Number of prefixes.
                      type: int
                      required: true
                    threshold:
                      description: Percentage at which a warning is logged.
                      type: int
                      default: 75
                    restart:
                      description: Minutes until a session that went over it starts again.
                      type: int
                    warning_only:
                      description: Only warn.
                      type: bool
                      default: false
                weight:
                  description: Weight of received routes.
                  type: int
                allowas_in:
                  description: How often the own AS number may be in a path.
                  type: int
                as_override:
                  description: Put the own AS number in the place of the neighbor's.
                  type: bool
                remove_private_as:
                  description: Take private AS numbers out of the path, or replace them.
                  type: str
                  choices: [none, plain, all, replace, all_replace]
                addpath_tx_all_paths:
                  description: Send all paths (RFC 7911).
                  type: bool
            state:
              description: Whether it is there.
              type: str
              choices: [present, absent]
              default: present
      neighbors:
        description: Neighbors.
        type: list
        elements: dict
        suboptions:
          neighbor:
            description: Address, or name of an interface for a session without addresses.
            type: str
            required: true
          peer_group:
            description: Peer group that it belongs to.
            type: str
          <<: *session
      address_families:
        description: What is announced in each address family.
        type: list
        elements: dict
        suboptions:
          family:
            description: The address family.
            type: str
            choices: [ipv4_unicast, ipv6_unicast, l2vpn_evpn]
            required: true
          networks:
            description: Exactly the networks that are announced.
            type: list
            elements: dict
            suboptions:
              prefix:
                description: The network.
                type: str
                required: true
              route_map:
                description: Route-map that they pass through.
                type: str
          aggregates:
            description: Exactly the aggregates that are announced.
            type: list
            elements: dict
            suboptions:
              prefix:
                description: The aggregate.
                type: str
                required: true
              as_set:
                description: Announce the AS numbers that it covers.
                type: bool
                default: false
              summary_only:
                description: Hide what it covers.
                type: bool
                default: false
          redistribute:
            description: Exactly the protocols whose routes are announced.
            type: list
            elements: dict
            suboptions:
              protocol:
                description: The protocol, such as V(connected), V(static) or V(ospf).
                type: str
                required: true
              metric:
                description: Metric of the routes.
                type: int
              route_map:
                description: Route-map that they pass through.
                type: str
          maximum_paths:
            description: Number of external paths that are used.
            type: int
          maximum_paths_ibgp:
            description: Number of internal paths that are used.
            type: int
          advertise_all_vni:
            description: Announce all VXLAN networks of the host.
            type: bool
          advertise_ipv4_unicast:
            description: Announce IPv4 routes as EVPN type 5.
            type: bool
          advertise_ipv6_unicast:
            description: Announce IPv6 routes as EVPN type 5.
            type: bool
      state:
        description: Whether the process is there.
        type: str
        choices: [present, absent]
        default: present
  <<: *item
"""

EXAMPLES = r"""
- name: A top-of-rack router that takes service prefixes from any node of a cluster
  overloom.fabric.frr_bgp:
    asn: 64512
    router_id: 10.0.0.1
    prefix_lists:
      - name: SERVICES
        entries: [{prefix: 10.10.0.0/23, ge: 32}, {prefix: 172.21.0.0/24, ge: 32}]
    peer_groups:
      - name: NODES
        remote_as: internal
        password: "{{ vault_bgp_password }}"
        address_families:
          - {family: ipv4_unicast, route_reflector_client: true, prefix_list_in: SERVICES, maximum_prefix: {limit: 100}}
    listen_ranges: [{prefix: 192.168.10.0/24, peer_group: NODES}]
    address_families:
      - {family: ipv4_unicast, maximum_paths_ibgp: 8}

- name: A spine without addresses on its links
  overloom.fabric.frr_bgp:
    asn: "65000.1"
    ebgp_requires_policy: false
    neighbors:
      - {neighbor: eth1, remote_as: external, bfd: true}
      - {neighbor: eth2, remote_as: external, bfd: true}
    address_families:
      - {family: ipv4_unicast, redistribute: [{protocol: connected}], maximum_paths: 4}

- name: Appear as the AS that was taken over, in paths that do not show both
  overloom.fabric.frr_bgp:
    asn: 64512
    neighbors: [{neighbor: 192.0.2.9, remote_as: 64999, local_as: 64513, local_as_no_prepend: true, local_as_replace_as: true}]

- name: Remove one neighbor
  overloom.fabric.frr_bgp:
    asn: 64512
    neighbors: [{neighbor: 192.0.2.9, state: absent}]
"""

RETURN = r"""
commands:
  description: What was executed, in order, or would be in check mode, with the secrets masked.
  returned: always
  type: list
  elements: str
  sample: ["install -m 0600 /dev/stdin change.conf <<'EOF'\nrouter bgp 64512\n neighbor 192.0.2.9 remote-as 64513\nexit\nEOF\nvtysh -f change.conf"]
running:
  description: The declared things as FRR's running configuration shows them, with the secrets masked.
  returned: always
  type: list
  elements: str
  sample: [router bgp 64512, " neighbor 192.0.2.9 remote-as 64513", exit]
spawned:
  description: Number of processes that were started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._frr.bgp import INSTANCE, LISTS, daemons, things
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
        "frr_bgp",
        "instances",
        INSTANCE,
        lambda items, found: things(module.params, items, found, module.params["owner"], module.params["adopt"]),
        daemons,
    )


if __name__ == "__main__":
    main()

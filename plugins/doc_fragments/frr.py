# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists that FRR's routers refer to by name, shared by the modules of its protocols."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
requirements:
  - FRR 8.4 or newer, with the integrated configuration (C(service integrated-vtysh-config))
notes:
  - What differs is sent to FRR with one C(vtysh -f), after C(vtysh -C) has checked it, read again, and put into
    C(/etc/frr/frr.conf), whose other lines are left as they are. What FRR refuses is taken back, and the task fails and names the line.
  - FRR keeps no marks. What was made for O(owner) is remembered in C(/etc/overloom/frr), and only that is ever removed.
  - A list of values, such as networks, is taken as a whole. Lists of things that have a C(state), such as interfaces
    or neighbors, leave alone what they do not name, unless O(purge) removes what was made by an earlier call.
  - FRR applies a changed route-map to the routes that it has. A changed prefix list that a neighbor uses directly counts for new routes
    only, until C(clear bgp * soft); a route-map that matches it does not have this limit.
  - A zero or an empty text clears an option that has no other use for it.
"""

    FILTERS = r"""
options:
  prefix_lists:
    description: Prefix lists, each with exactly its entries.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the list.
        type: str
        required: true
      family:
        description: Address family; both may have a list of one name.
        type: str
        choices: [ipv4, ipv6]
        default: ipv4
      description:
        description: Free text.
        type: str
      entries:
        description: The entries in order.
        type: list
        elements: dict
        suboptions:
          seq:
            description: Sequence number. The entry before, rounded up to a multiple of five, when left out.
            type: int
          action:
            description: What happens to a prefix that matches.
            type: str
            choices: [permit, deny]
            default: permit
          prefix:
            description: The prefix, or V(any).
            type: str
            required: true
          ge:
            description: Shortest prefix length that matches.
            type: int
          le:
            description: Longest prefix length that matches.
            type: int
      state:
        description: Whether the list is there.
        type: str
        choices: [present, absent]
        default: present
  route_maps:
    description: Route-maps, each with exactly its entries.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the route-map.
        type: str
        required: true
      entries:
        description: The entries in order.
        type: list
        elements: dict
        suboptions:
          seq:
            description: Sequence number. The entry before, rounded up to a multiple of ten, when left out.
            type: int
          action:
            description: What happens to a route that matches.
            type: str
            choices: [permit, deny]
            default: permit
          description:
            description: Free text.
            type: str
          match:
            description: Conditions in FRR's own words without C(match), such as V(ip address prefix-list SERVICES), spelled as FRR shows them.
            type: list
            elements: str
            default: []
          set:
            description: Changes in FRR's own words without C(set), such as V(local-preference 200), spelled as FRR shows them.
            type: list
            elements: str
            default: []
          call:
            description: Another route-map to run through.
            type: str
          on_match:
            description: Where to go on after a match, V(next) or V(goto) with an entry's number.
            type: str
      state:
        description: Whether the route-map is there.
        type: str
        choices: [present, absent]
        default: present
"""

    KEY_CHAINS = r"""
options:
  key_chains:
    description: Key chains for authentication, each with exactly its keys.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the chain.
        type: str
        required: true
      keys:
        description: The keys.
        type: list
        elements: dict
        suboptions:
          id:
            description: Number of the key.
            type: int
            required: true
          algorithm:
            description: Cryptographic algorithm.
            type: str
            choices: [md5, hmac-sha-1, hmac-sha-256, hmac-sha-384, hmac-sha-512]
          string:
            description: The key.
            type: str
            required: true
      state:
        description: Whether the chain is there.
        type: str
        choices: [present, absent]
        default: present
"""

    BFD = r"""
options:
  bfd_profiles:
    description: Profiles of Bidirectional Forwarding Detection (RFC 5880), for the options C(bfd_profile).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the profile.
        type: str
        required: true
      detect_multiplier:
        description: Packets that may be lost.
        type: int
      receive_interval:
        description: Interval in which packets are wanted, in milliseconds.
        type: int
      transmit_interval:
        description: Interval in which packets are sent, in milliseconds.
        type: int
      passive_mode:
        description: Wait for the other end to begin.
        type: bool
      minimum_ttl:
        description: Smallest TTL that is accepted over several hops.
        type: int
      state:
        description: Whether the profile is there.
        type: str
        choices: [present, absent]
        default: present
"""

    BGP = r"""
options:
  community_lists:
    description: Lists of communities, each with exactly its entries.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the list.
        type: str
        required: true
      kind:
        description: Communities (RFC 1997), large (RFC 8092) or extended (RFC 4360) communities.
        type: str
        choices: [community, large-community, extcommunity]
        default: community
      type:
        description: Whether the entries are communities (V(standard)) or regular expressions (V(expanded)).
        type: str
        choices: [standard, expanded]
        default: standard
      entries:
        description: The entries in order.
        type: list
        elements: dict
        suboptions:
          seq:
            description: Sequence number. The entry before, rounded up to a multiple of five, when left out.
            type: int
          action:
            description: What happens to a route that matches.
            type: str
            choices: [permit, deny]
            default: permit
          communities:
            description: The communities, or a regular expression.
            type: str
            required: true
      state:
        description: Whether the list is there.
        type: str
        choices: [present, absent]
        default: present
  as_path_lists:
    description: Lists of AS paths, each with exactly its entries.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the list.
        type: str
        required: true
      entries:
        description: The entries in order.
        type: list
        elements: dict
        suboptions:
          seq:
            description: Sequence number. The entry before, rounded up to a multiple of five, when left out.
            type: int
          action:
            description: What happens to a route that matches.
            type: str
            choices: [permit, deny]
            default: permit
          regex:
            description: Regular expression on the AS path.
            type: str
            required: true
      state:
        description: Whether the list is there.
        type: str
        choices: [present, absent]
        default: present
  rpki:
    description:
      - Lines of FRR's C(rpki) block, passed through as they are and spelled as FRR shows them.
      - Needs FRR's RPKI module (package C(frr-rpki-rtrlib) on Debian) and C(-M rpki) among the options of bgpd.
    type: list
    elements: str
"""

#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: Compile the intent of the inventory into the plan of the whole fabric
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Reads the C(fabric_*) variables of all hosts in the groups C(kvm_hosts) and C(routers), whatever C(--limit) says, checks them,
    and computes what each host gets. Bridges, tunnel endpoints, tunnels, namespaces, addresses, VLANs, MTUs, loop guards, routers.
  - Everything that is wrong is told in one message, one sentence each, with the variable and what to do.
  - The variables are described with the role P(overloom.fabric.plan#role), entry point C(intent), and in C(docs/intent.md).
  - This module is an action plugin. It runs on the controller and touches no host, so use it with C(run_once=true).
options:
  query:
    description:
      - A JMESPath expression; only the part of the plan that it selects is returned in RV(plan).
      - Needs the Python library C(jmespath) on the controller.
    type: str
  show:
    description:
      - Print the plan on the terminal as tables, or as YAML the part that O(query) selects.
    type: bool
    default: false
  guests:
    description:
      - For each KVM host of the run what M(overloom.fabric.libvirt_info) returned of the fabric's guests, or its error. The plan then knows where they are.
        One that somebody migrated to another host is there, if its C(guest.placement) says so, and C(moves) in RV(plan) are those that are to be moved.
    type: dict
  refuse:
    description:
      - Fail when a guest is on another host than its own, and its C(guest.placement) says neither to leave nor to move it. Else that is a warning.
    type: bool
    default: false
  secrets:
    description:
      - Return only the secrets that the plan names, in RV(secrets). Use it with C(no_log=true).
    type: bool
    default: false
extends_documentation_fragment:
  - overloom.fabric.attributes.info
requirements:
  - jmespath on the controller, for O(query)
seealso:
  - module: overloom.fabric.outputs
  - module: overloom.fabric.ovs_bridge
  - module: overloom.fabric.ovs_tunnel
  - module: overloom.fabric.netns_veth
"""

EXAMPLES = r"""
- name: Compile the plan
  overloom.fabric.plan:
  run_once: true
  register: compiled

- name: See where each address came from
  overloom.fabric.plan:
    query: sources
    show: true
  run_once: true
"""

RETURN = r"""
plan:
  description: The plan, or the part of it that O(query) selects. Secrets are not in it, only the places where they stand.
  returned: without O(secrets)
  type: raw
  sample:
    fabric: example
    hosts:
      kvm1:
        id: 1
        owner: example
        underlay:
          bridge: br-underlay
          interface: eth1
          mtu: 1500
          tep: {name: tep0, address: 192.168.200.1/24, vlan: null}
        bridges: [{name: br-underlay}, {name: br-int}]
        tunnels: [{bridge: br-int, name: vxlan-kvm2, type: vxlan, local_ip: 192.168.200.1, remote_ip: 192.168.200.2}]
        namespaces: [{name: red, interface: eth0, outer: v-red, bridge: br-int, tag: 20, mtu: 1446}]
    overlays: []
    segments: []
    endpoints: []
    teps: [{host: kvm1, address: 192.168.200.1, mtu: 1500}]
    sources:
      hosts.kvm1.id: "derived: trailing digits of the name"
secrets:
  description: Each secret by the place where it stands.
  returned: with O(secrets)
  type: dict
  sample: {fabric_routing.key: a secret}
"""

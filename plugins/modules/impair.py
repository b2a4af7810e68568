#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: impair
short_description: Find the interfaces of a tunnel, link or endpoint to impair
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Returns what M(overloom.fabric.link_impairment) is told on each host, so that a tunnel, a link or an endpoint's port is impaired in both directions.
  - This module is an action plugin. It runs on the controller and touches no host, so use it with C(run_once=true).
options:
  effect:
    description:
      - V(cut), or an effect in words, such as V(delay=50ms,loss=1%), of the options of M(overloom.fabric.link_impairment).
      - V(off) ends it; without a O(tunnel), O(link) or O(endpoint) it ends all of the fabric's.
    type: str
    required: true
  for:
    description: How long, V(1s) to V(24h).
    type: str
    default: 30s
  tunnel:
    description: All tunnels between two hosts, as V(kvm1/kvm2), and nothing else that these send each other.
    type: str
  link:
    description: All cables between two hosts, as V(kvm1/r1), or a NIC with its cable, as V(kvm1/eth1).
    type: str
  endpoint:
    description: The port of an endpoint in a namespace or container, as V(kvm1/web1).
    type: str
  cables:
    description: The cables, each a list of ends like V(kvm1:eth1). The links of the plan are known.
    type: list
    elements: list
    default: []
extends_documentation_fragment:
  - overloom.fabric.attributes.info
  - overloom.fabric.plan
seealso:
  - module: overloom.fabric.link_impairment
"""

EXAMPLES = r"""
- name: Find the ends of a tunnel
  overloom.fabric.impair:
    plan: "{{ fabric_plan }}"
    tunnel: kvm1/kvm2
    effect: loss=2%
    for: 60s
  run_once: true
  register: asked

- name: Impair it
  overloom.fabric.link_impairment:
    owner: "{{ fabric_plan.fabric }}"
    impairments: "{{ asked.hosts[inventory_hostname] }}"
    state: "{{ asked.state }}"
  when: inventory_hostname in asked.hosts
"""

RETURN = r"""
hosts:
  description: For each host the impairments that M(overloom.fabric.link_impairment) is given.
  returned: success
  type: dict
state:
  description: The state that it is given.
  returned: success
  type: str
  sample: present
all:
  description: Whether all impairments of the fabric end.
  returned: success
  type: bool
"""

#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: outputs
short_description: Show what a fabric gives its user, and write it for programs
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Prints where each endpoint and router of the hosts that the run reached is, its addresses and the command that leads into it.
  - Writes the same of the whole plan as JSON, as an SSH configuration, and as an inventory of the guests.
  - It follows from the plan and from the variables by which Ansible reaches the hosts.
  - This module is an action plugin. It runs on the controller and touches no host, so use it with C(run_once=true).
options:
  report:
    description:
      - Folder on the controller for C(outputs.json), C(ssh_config) and C(guests.yml). Nothing is written if it is left out.
      - C(outputs.json) has also the hosts with their tunnel endpoints, and the commands that lead in from the controller.
      - C(ssh_config) has an entry for each guest that a namespace or container of the fabric shares a segment with. The connection goes
        through it, as a KVM host has no address on a segment.
      - C(guests.yml) is an inventory with the groups C(guests), C(segment_NAME), C(host_NAME) and C(role_NAME).
    type: path
extends_documentation_fragment:
  - overloom.fabric.attributes.info
  - overloom.fabric.plan
seealso:
  - module: overloom.fabric.plan
  - module: overloom.fabric.status
"""

EXAMPLES = r"""
- name: Compile the plan
  overloom.fabric.plan:
  run_once: true
  register: compiled

- name: Print addresses and consoles
  overloom.fabric.outputs:
    plan: "{{ compiled.plan }}"
    report: reports
  run_once: true
"""

RETURN = r"""
outputs:
  description: What the fabric gives its user, on the hosts that this run reached. But for RV(outputs[].restart_required), it is a part of the plan, too.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The endpoint's id, or the router's name.
      type: str
    kind:
      description: C(namespace), C(guest), C(container), C(service) or C(router).
      type: str
    role:
      description: What runs in a guest, C(linux), C(veos) or C(chr). V(null) for all else.
      type: str
    host:
      description: The host that it is on.
      type: str
    segment:
      description: The segment that it is plugged into, or V(null).
      type: str
    mac:
      description: Its MAC address, or V(null).
      type: str
    addresses:
      description: Its addresses with their prefix lengths, of all NICs.
      type: list
      elements: str
    management:
      description: The address by which a guest that is a router or switch is managed, or V(null).
      type: str
    console:
      description: The command that leads into it on its host, or V(null).
      type: str
    restart_required:
      description: The options of a guest that wait for its restart, which the intent does not allow (C(guest.restart)). A warning tells them, too.
      type: list
      elements: str
  sample:
    - name: kvm1/vm1
      kind: guest
      role: linux
      host: kvm1
      segment: web
      mac: "02:96:aa:4a:3c:2e"
      addresses: [10.1.1.2/24]
      management: null
      console: virsh console vm1
      restart_required: []
"""

#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: capture
short_description: Merge the packets of two ends that several hosts took
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Without O(observed), returns what M(overloom.fabric.capture_info) is asked on each host of a packet's way.
  - With O(observed), merges what the hosts took into one pcapng file, in which each point is an interface with its name and a comment, and shows
    how many packets each point saw and where they stopped.
  - Where clocks of hosts differ, times are corrected by the packets themselves, which take the same least time there and back.
  - Fails when no answers came back.
  - This module is an action plugin. It runs on the controller and touches no host, so use it with C(run_once=true).
options:
  seconds:
    description: How long packets are taken, 4 to 600.
    type: int
    default: 10
  packets:
    description: The most packets of a point.
    type: int
    default: 1000
  snap:
    description: The most bytes of a packet.
    type: int
    default: 256
  ping:
    description: Whether an end sends pings meanwhile. A guest sends none; then the other end does.
    type: bool
    default: true
  observed:
    description: The variable in which each host has what M(overloom.fabric.capture_info) returned there.
    type: str
  report:
    description: Folder on the controller for C(capture-FROM-TO.pcapng).
    type: path
    default: reports
extends_documentation_fragment:
  - overloom.fabric.attributes.info
  - overloom.fabric.plan
  - overloom.fabric.plan.ends
seealso:
  - module: overloom.fabric.capture_info
  - module: overloom.fabric.trace
"""

EXAMPLES = r"""
- name: Derive the points of the way
  overloom.fabric.capture:
    plan: "{{ fabric_plan }}"
    from: kvm1/web1
    to: kvm2/web2
  run_once: true
  register: asked

- name: Take the packets
  overloom.fabric.capture_info:
    addresses: "{{ asked.hosts[inventory_hostname].addresses }}"
    points: "{{ asked.hosts[inventory_hostname].points }}"
    ping: "{{ asked.hosts[inventory_hostname].ping or omit }}"
  when: inventory_hostname in asked.hosts
  register: taken

- name: Merge the packets
  overloom.fabric.capture:
    plan: "{{ fabric_plan }}"
    from: kvm1/web1
    to: kvm2/web2
    observed: taken
  run_once: true
"""

RETURN = r"""
hosts:
  description: For each host the options of M(overloom.fabric.capture_info).
  returned: without O(observed)
  type: dict
path:
  description: The file.
  returned: with O(observed)
  type: str
  sample: reports/capture-kvm1_web1-kvm2_web2.pcapng
points:
  description: The points in the order of the way, each with how many different packets it saw there and back while all hosts listened.
  returned: with O(observed), when RV(passed)
  type: list
  elements: dict
passed:
  description: Whether packets went and answers came back.
  returned: with O(observed)
  type: bool
"""

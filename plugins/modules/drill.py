#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: drill
short_description: Plan the cuts of a drill, judge them, and report
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Says what is cut in turn and which endpoints measure meanwhile, and holds what M(overloom.fabric.drill_watch) saw against the plan, which
    knows what has another way.
  - This module is an action plugin. It runs on the controller and touches no host, so use it with C(run_once=true).
options:
  stage:
    description:
      - V(planned) returns the cuts. V(begun) tells what is cut now. V(judged) says what came of one cut. V(reported) writes C(drill.json), and fails
        if something did not come back that should.
    type: str
    choices: [planned, begun, judged, reported]
    required: true
  cables:
    description: The cables, each a list of ends like V(kvm1:eth1). The links of the plan are known.
    type: list
    elements: list
    default: []
  kinds:
    description: What is cut; of V(tunnel), V(link), V(router), V(host).
    type: list
    elements: str
    default: [tunnel, link, router, host]
  hosts:
    description: Whether hosts are rebooted.
    type: bool
    default: false
  seconds:
    description: How long each cut lasts. With V(0), so long that the slowest planned timer notices it.
    type: int
    default: 0
  lead:
    description: Seconds in which all hosts have to begin to measure, before each cut; 1 to 600.
    type: int
    default: 5
  recovery:
    description: Seconds after a cut at most, until all is as before; 3600 at most.
    type: int
    default: 60
  number:
    description: The number of the cut, from 0.
    type: int
    default: 0
  drill:
    description: What V(planned) returned as RV(drill).
    type: dict
    default: {}
  results:
    description: What V(judged) returned as RV(result), of all cuts.
    type: list
    elements: dict
    default: []
  before:
    description: The variable in which each host has what M(overloom.fabric.status_info) returned before the first cut.
    type: str
  observed:
    description: The variable in which each host has what M(overloom.fabric.drill_watch) returned, or in the last stage M(overloom.fabric.status_info).
    type: str
  compare:
    description: The report of an earlier drill.
    type: path
  report:
    description: Folder on the controller for C(drill.json).
    type: path
    default: reports
extends_documentation_fragment:
  - overloom.fabric.attributes.info
  - overloom.fabric.plan
seealso:
  - module: overloom.fabric.drill_watch
"""

EXAMPLES = r"""
- name: Plan the cuts of links and tunnels
  overloom.fabric.drill:
    plan: "{{ fabric_plan }}"
    stage: planned
    kinds: [link, tunnel]
  run_once: true
  register: planned

- name: Show them
  ansible.builtin.debug:
    msg: "{{ planned.drill.cuts | map(attribute='name') }}"
  run_once: true
"""

RETURN = r"""
drill:
  description: The cuts with what each host is told, the pairs that are measured, and which of them should survive each cut.
  returned: with V(planned) as O(stage)
  type: dict
result:
  description: What came of the cut.
  returned: with V(judged) as O(stage)
  type: dict
passed:
  description: Whether everything came back that should, and nothing is broken since.
  returned: with V(reported) as O(stage)
  type: bool
compared:
  description: What became worse or better; V(null) without O(compare).
  returned: with V(reported) as O(stage)
  type: list
  elements: dict
"""

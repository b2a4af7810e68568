#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: Judge the measurements of a fabric against its plan
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Runs on the controller, once for all hosts, in three steps.
  - With O(plan) but without O(observed) it derives from the plan what each host must measure, as options for M(overloom.fabric.probe), and removes an
    earlier report.
  - With O(again) it derives what has to be measured once more, as it failed. A busy machine loses a packet now and then. A leak is never
    asked again, as nothing excuses it.
  - With O(observed) alone it judges what the hosts measured and what their C(*_info) modules read, prints a matrix,
    writes a report as JSON and as JUnit XML, names the cause of what is not as planned, and fails if there is any.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  plan:
    description: The plan, as M(overloom.fabric.plan) returns it. Without it, an earlier report is removed and nothing else is done.
    type: dict
  observed:
    description:
      - Names of the registered variables that hold what the hosts' tasks returned. A host where one is missing or failed
        fails the checks that needed it.
    type: dict
    suboptions:
      reached:
        description: The variable with the result of the first task that needed the host. One that failed says that the host is down.
        type: str
      pings_again:
        description: The variable with the result of M(overloom.fabric.probe) for the pings that O(again) named.
        type: str
      transfers_again:
        description: The variable with the result of M(overloom.fabric.probe) for the transfers and silences that O(again) named.
        type: str
      firewall:
        description:
          - The variable with the result of M(overloom.fabric.trace_info) of hosts and routers, where O(again) returned RV(firewalls).
          - A rule of a host's own firewall that drops what failed checks need is named as a reason of theirs.
        type: str
      pings:
        description: The variable with the result of M(overloom.fabric.probe) for the pings.
        type: str
        required: true
      transfers:
        description: The variable with the result of M(overloom.fabric.probe) for the transfers and what must stay silent.
        type: str
        required: true
      denied:
        description: The variable with the result of M(overloom.fabric.probe) for what flows must not let through.
        type: str
        required: true
      read:
        description: The variable with the result of M(overloom.fabric.status_info).
        type: str
        required: true
      flows:
        description: The variable with the results of M(overloom.fabric.ovs_flow) in check mode, in a loop over the host's C(flows) of the plan.
        type: str
        required: true
      routers:
        description: The variable with the result of M(overloom.fabric.frr_info), where the plan has routers.
        type: str
      routers_again:
        description:
          - The variable with the result of M(overloom.fabric.frr_info) after something had failed, where O(again) returned RV(routers).
          - What was read then counts.
        type: str
  again:
    description: Derive from O(observed) what has to be measured once more, and judge nothing yet.
    type: bool
    default: false
  report:
    description: Folder for C(verify.json) and C(verify.xml), on the controller. It is made when it is missing.
    type: path
  isolation_limit:
    description:
      - How many pairs of endpoints that must not reach each other are measured at most. Beyond it a sample is taken in which
        each pair of segments on each pair of hosts is met, and the report says how many of how many were measured.
    type: int
    default: 2000
"""

EXAMPLES = r"""
- name: Derive what each host must measure
  overloom.fabric.verify:
    plan: "{{ fabric_plan }}"
  run_once: true
  register: verify_expected
"""

RETURN = r"""
hosts:
  description:
    - For each host the option O(overloom.fabric.probe#module:endpoints), and under C(pings) and C(transfers) two rounds of
      O(overloom.fabric.probe#module:probes). The second must not begin before every host has ended the first, as a forwarder
      that is busy with transfers drops pings. C(denied) is a third one, of what flows must not let through.
  returned: without O(observed), and with O(again)
  type: dict
port:
  description: A TCP port for the responders of this run.
  returned: without O(observed)
  type: int
  sample: 62044
firewalls:
  description: Whether something failed that the hosts' own firewalls may be the reason of.
  returned: with O(again)
  type: bool
routers:
  description: Whether a measurement failed, so that routers are to be read once more before it is repeated.
  returned: with O(again)
  type: bool
count:
  description: How many echo requests are to be counted when a ping is taken once more.
  returned: with O(again)
  type: int
  sample: 20
passed:
  description: How many checks passed.
  returned: with O(observed)
  type: int
  sample: 44
failed_checks:
  description: How many checks failed. Which, and why, is in C(verify.json).
  returned: with O(observed)
  type: int
  sample: 0
seconds:
  description: How long the slowest host measured, both rounds together.
  returned: with O(observed)
  type: float
  sample: 1.6
isolation:
  description: How many of the pairs that must be kept apart were measured.
  returned: with O(observed)
  type: dict
  sample: {checked: 8, of: 8}
"""

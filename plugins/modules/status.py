#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: status
short_description: Show a fabric at a glance, held against its plan
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Holds what M(overloom.fabric.status_info) read on each host of the play against the plan, without sending a packet, and shows it.
  - Fails when something is not as planned, so that the exit status of the playbook tells a monitoring system.
  - This module is an action plugin. It runs on the controller and touches no host, so use it with C(run_once=true).
options:
  observed:
    description: The variable in which each host has what M(overloom.fabric.status_info) returned there.
    type: str
    required: true
  report:
    description:
      - Folder on the controller for C(status.json).
      - The report of an earlier run there gives the rates since then.
    type: path
  prometheus:
    description: File on the controller for metrics in Prometheus' text format, as the textfile collector of node_exporter reads them.
    type: path
extends_documentation_fragment:
  - overloom.fabric.attributes.info
  - overloom.fabric.plan
seealso:
  - module: overloom.fabric.status_info
  - module: overloom.fabric.verify
"""

EXAMPLES = r"""
- name: Read the hosts
  overloom.fabric.status_info:
    namespaces: "{{ fabric_plan.hosts[inventory_hostname].namespaces | map(attribute='name') }}"
  register: seen
  ignore_unreachable: true

- name: Show the fabric
  overloom.fabric.status:
    plan: "{{ fabric_plan }}"
    observed: seen
    prometheus: /var/lib/node_exporter/overloom.prom
  run_once: true
"""

RETURN = r"""
passed:
  description: Whether all is as planned.
  returned: always
  type: bool
problems:
  description: How many things are not as planned. What they are is on the terminal and in the report.
  returned: always
  type: int
  sample: 0
"""

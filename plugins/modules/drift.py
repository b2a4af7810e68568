#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: drift
short_description: Show what differs from the intent
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Collects what the roles of C(site.yml) found in check mode on each host of the play, and shows what differs from the intent, what is the
    fabric's and no longer declared, and what belongs to others.
  - The role P(overloom.fabric.drift#role) runs these roles before it.
  - Fails when something differs or is orphaned, a guest waits for a restart, or a host could not be compared.
    So the exit status of the playbook tells a monitoring system.
  - This module is an action plugin. It runs on the controller and touches no host, so use it with C(run_once=true).
options:
  report:
    description: Folder on the controller for C(drift.json).
    type: path
extends_documentation_fragment:
  - overloom.fabric.attributes.info
  - overloom.fabric.plan
seealso:
  - module: overloom.fabric.status
  - module: overloom.fabric.ownership_info
"""

EXAMPLES = r"""
- name: Compare the hosts with the intent
  hosts: all
  gather_facts: false
  check_mode: true
  diff: true
  tasks:
    - name: Look at the bridges, as the role kvm_host does
      overloom.fabric.ovs_bridge:
        owner: "{{ fabric_plan.fabric }}"
        bridges: "{{ fabric_plan.hosts[inventory_hostname].bridges }}"
        purge: true
      register: kvm_host_made_bridges

    - name: Show the drift
      overloom.fabric.drift:
        plan: "{{ fabric_plan }}"
      run_once: true
"""

RETURN = r"""
passed:
  description: Whether all is as the intent says.
  returned: always
  type: bool
differing:
  description: How many things differ. What they are is on the terminal and in the report.
  returned: always
  type: int
  sample: 0
orphaned:
  description: How many things are the fabric's and no longer in the intent.
  returned: always
  type: int
  sample: 0
restarts:
  description: How many guests run as they were before a change, and wait for a restart.
  returned: always
  type: int
  sample: 0
foreign:
  description: How many things belong to others.
  returned: always
  type: int
  sample: 0
"""

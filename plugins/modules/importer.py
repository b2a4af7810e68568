#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: importer
short_description: Write an inventory of hosts that were built by hand
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Makes the intent whose plan gives just what the role P(overloom.fabric.importer#role) has read of the hosts of the play, and writes it as an inventory.
  - Lists what it did not understand, and what a run of C(site.yml) will set otherwise. It guesses nothing.
  - Fails when a host could not be read or has no place in the intent, or the plan refuses it, and when the folder has other files of these names.
  - This module is an action plugin. It runs on the controller and touches no host, so use it with C(run_once=true).
options:
  fabric:
    description: Name of the fabric to be.
    type: str
    required: true
  folder:
    description: Folder on the controller for C(hosts.yml) and C(group_vars/all.yml).
    type: path
    required: true
  report:
    description: Folder on the controller for C(import.json).
    type: path
extends_documentation_fragment:
  - overloom.fabric.attributes
seealso:
  - module: overloom.fabric.plan
  - module: overloom.fabric.drift
"""

EXAMPLES = r"""
- name: Write the inventory
  overloom.fabric.importer:
    fabric: mine
    folder: inventory/mine
  run_once: true
"""

RETURN = r"""
hosts:
  description: The hosts that the intent has.
  returned: always
  type: list
  elements: str
  sample: [kvm1, kvm2]
unknown:
  description: How many things were not understood. What they are is on the terminal, in the files and in the report.
  returned: always
  type: int
  sample: 0
changes:
  description: How many things C(site.yml) will set otherwise.
  returned: always
  type: int
  sample: 2
"""

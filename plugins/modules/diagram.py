#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: diagram
short_description: Draw a fabric from its plan
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Writes an SVG of the fabric, C(fabric.svg). Graphviz lays it out.
  - Writes a page with this picture, C(fabric.html), which needs nothing else. It has all that the plan says of each thing, and the last reports of
    M(overloom.fabric.status), M(overloom.fabric.verify), M(overloom.fabric.drift) and M(overloom.fabric.trace) in the folder O(report).
  - Up to 12 hosts and routers are drawn one by one. More share a box for each group of the inventory, with the numbers of what is in it.
  - A report of M(overloom.fabric.status) on the same fabric in the folder O(report) gives things the colors of their state.
  - This module is an action plugin. It runs on the controller and touches no host, so use it with C(run_once=true).
options:
  layers:
    description:
      - What is drawn.
      - V(underlay) has links, NICs and tunnel endpoints, V(overlay) bridges, segments, endpoints and tunnels, V(routing) areas, AS numbers,
        adjacencies and sessions.
      - V(state) has the colors of a report of M(overloom.fabric.status).
    type: list
    elements: str
    choices: [underlay, overlay, routing, state]
    default: [underlay, overlay, routing, state]
  report:
    description: Folder on the controller for C(fabric.svg) and C(fabric.html), in which the reports of the other modules are looked for.
    type: path
    default: reports
requirements:
  - Graphviz (the program C(dot)) on the controller
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

- name: Draw the tunnels and what they carry
  overloom.fabric.diagram:
    plan: "{{ compiled.plan }}"
    layers: [overlay]
  run_once: true
"""

RETURN = r"""
path:
  description: The file with the picture.
  returned: always
  type: str
  sample: reports/fabric.svg
page:
  description: The file with the page.
  returned: always
  type: str
  sample: reports/fabric.html
reports:
  description: The reports on this fabric that the folder has.
  returned: always
  type: list
  elements: str
  sample: [status, verify]
"""

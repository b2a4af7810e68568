# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that take a plan and work on the controller have in common."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  plan:
    description: The plan, as M(overloom.fabric.plan) returns it.
    type: dict
    required: true
"""

    # The two ends of a packet's way.
    ENDS = r"""
options:
  from:
    description: The sender; an endpoint as C(HOST/NAME), a host or router of the plan, or an address of one of them.
    type: str
    required: true
  to:
    description: The receiver, likewise, or an address outside of the plan.
    type: str
    required: true
"""

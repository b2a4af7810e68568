# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a router is as the plan has it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: as_planned
short_description: Compare a router with its plan
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Holds what M(overloom.fabric.frr_info) read on a router against the plan, adjacencies, routes and sessions, so that a task can wait for it.
positional: plan, name
options:
  _input:
    description: What M(overloom.fabric.frr_info) returned.
    type: dict
    required: true
  plan:
    description: The plan, as M(overloom.fabric.plan) returns it.
    type: dict
    required: true
  name:
    description: The router's name in the inventory.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Wait until the router knows its ways
  overloom.fabric.frr_info:
  register: routers
  until: routers | overloom.fabric.as_planned(fabric_plan, inventory_hostname)
"""

RETURN = r"""
_value:
  description: Whether nothing differs.
  type: bool
"""

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.routers import judge, routing


def as_planned(observed: dict[str, t.Any], plan: dict[str, t.Any], name: str) -> bool:
    """Whether nothing differs."""
    expected = {name: routing(plan)[name]}
    return all(check["passed"] for check in judge(expected, {name: {"routers": observed}}))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {"as_planned": as_planned}

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets put in the places that the plan keeps for them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: reveal
short_description: Put secrets in the places that the plan keeps for them
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
positional: secrets
description:
  - The plan has only the place of a secret, in angle brackets. This filter puts the secret there, in data of any depth.
options:
  _input:
    description: A part of the plan.
    type: raw
    required: true
  secrets:
    description: Each secret by its place, as P(overloom.fabric.plan#module) returns them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Route by OSPF with the keys of the intent
  overloom.fabric.frr_ospf:
    instances: "{{ fabric_plan.routers[inventory_hostname].ospf.instances | overloom.fabric.reveal(fabric_secrets) }}"
"""

RETURN = r"""
_value:
  description: The same with its secrets.
  type: raw
"""

import typing as t


def reveal(data: t.Any, secrets: dict[str, str]) -> t.Any:
    """The data with its secrets; a text that is no place of one stays as it is."""
    if isinstance(data, dict):
        return {key: reveal(value, secrets) for key, value in data.items()}
    if isinstance(data, list):
        return [reveal(value, secrets) for value in data]
    if isinstance(data, str) and data.startswith("<") and data.endswith(">"):
        return secrets.get(data[1:-1], data)
    return data


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {"reveal": reveal}

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router is no host of the plan's, and is read for status all the same: what the role asks of a host, it has a value for where there is none."""

from __future__ import annotations

import pathlib
import re

import yaml

from ansible_collections.overloom.fabric.tests.unit.intents import inventory_plan

ROLE = pathlib.Path(__file__).parents[2] / "roles" / "status"


def test_a_router_has_all_that_is_asked_of_a_host() -> None:
    asked = set(re.findall(r"status_here\.(\w+)", (ROLE / "tasks" / "read.yml").read_text(encoding="utf-8")))
    given = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))["status_here"]
    without = set(re.findall(r"'(\w+)':", given))
    assert asked and asked == without
    plan, _groups = inventory_plan("lab")
    assert asked <= set(plan["hosts"]["kvm1"]) and "r1" not in plan["hosts"]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventories in which something is wrong: the plan says so in sentences, or what it makes of them is taken by all modules."""

from __future__ import annotations

import copy
import functools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._outputs.entries import outputs
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.tables import render
from ansible_collections.overloom.fabric.tests.unit.acceptance import refusals
from ansible_collections.overloom.fabric.tests.unit.intents import INVENTORIES, SPEC, inventory

# What people write where something else belongs.
WRONG = st.sampled_from(
    [None, True, False, 0, -1, 1, 4095, 70000, 2**40, 1.5, [], {}, [None], [""], ["x"], [[1]], {"x": 1}, "", " ", "x", "a b", "a/b", "a\nb"]
    + ["10.0.0.0/8", "10.1.1.1", "10.1.1.1/24", "10.1.1.0/31", "0.0.0.0/0", "::/0", "fd00::1", "fe80::1", "224.0.0.1", "127.0.0.1"]
    + ["kvm1", "kvm1/web1", "*", "any", "br-int", "eth1", "default", "ff:ff:ff:ff:ff:ff", "100-50", "{{ x }}", "n" * 64, "\N{LATIN SMALL LETTER E WITH ACUTE}"]
)  # fmt: skip


@functools.lru_cache(maxsize=None)
def stated(name):
    """The variables of an inventory's hosts and routers, and its groups."""
    hosts, routers, groups = inventory(name)
    return {"hosts": hosts, "routers": routers}, groups


def places(node, path=()):
    """The ways to all values below a node that stand in a host's variables."""
    if len(path) > 2:
        yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def value_at(node, path):
    return functools.reduce(lambda inner, key: inner[key], path, node)


@st.composite
def wrong_intents(draw, name):
    """The variables of an inventory with one to three values replaced, taken out or stated twice, on one host or on all that say it."""
    variables = copy.deepcopy(stated(name)[0])
    for _number in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(variables))))
        before, new = copy.deepcopy(value_at(variables, path)), draw(WRONG)
        change = draw(st.sampled_from(["replace", "other", "without", "twice"]))
        if change == "other":
            new = copy.deepcopy(value_at(variables, draw(st.sampled_from(list(places(variables))))))
        same = [(kind, host, *path[2:]) for kind, hosts in variables.items() for host in hosts]
        for place in [path] if draw(st.booleans()) else same:
            try:
                parent = value_at(variables, place[:-1])
                if parent[place[-1]] != before:
                    continue
            except (KeyError, IndexError, TypeError):
                continue
            if change == "without":
                del parent[place[-1]]
            elif change == "twice" and isinstance(parent, list):
                parent.append(copy.deepcopy(before))
            else:
                parent[place[-1]] = copy.deepcopy(new)
    return variables


@pytest.mark.parametrize("name", INVENTORIES)
def test_what_is_wrong_is_told_in_sentences_and_what_is_accepted_every_module_takes(name):
    groups = stated(name)[1]

    @settings(max_examples=100, deadline=None)
    @given(wrong_intents(name))
    def judged(variables):
        hosts, routers = variables["hosts"], variables["routers"]
        try:
            plan = compile_plan(hosts, SPEC, routers=routers, central=groups.get("ovn_central", ()))
        except PlanError as error:
            assert error.problems
            for sentence in error.problems:
                assert "INVALID" not in sentence and "\n" not in sentence and len(sentence) < 600, sentence
                assert sentence[-1] in ".?", sentence
            return
        json.dumps(plan)
        outputs(plan)
        render(plan)
        assert [refusals(host) for host in plan["hosts"].values()] == [[]] * len(plan["hosts"])

    judged()

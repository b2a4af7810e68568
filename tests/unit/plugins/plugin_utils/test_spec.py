# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of values against an argument specification."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, conform, suggest
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, fabrics


def checked(value, **spec):
    problems = []
    return conform(value, spec, "here", problems), problems


@pytest.mark.parametrize(
    "value, spec, expected",
    [
        ("10", {"type": "int"}, 10),
        (" 10 ", {"type": "int"}, 10),
        (10, {"type": "str"}, "10"),
        ("yes", {"type": "bool"}, True),
        (0, {"type": "bool"}, False),
        (None, {"type": "int", "default": 5}, 5),
        (None, {"type": "list", "default": []}, []),
        ({}, {"type": "dict", "options": {"a": {"type": "int", "default": 1}}}, {"a": 1}),
    ],
)
def test_converts_as_ansible_does(value, spec, expected):
    assert checked(value, **spec) == (expected, [])


@pytest.mark.parametrize(
    "value, spec, sentence",
    [
        ("ten", {"type": "int"}, "here must be a whole number, not 'ten'."),
        (1.0, {"type": "int"}, "here must be a whole number, not 1.0."),
        (1.10, {"type": "str"}, "here must be text (in quotes, if need be), not 1.1."),
        (True, {"type": "str"}, "here must be text (in quotes, if need be), not True."),
        ("perhaps", {"type": "bool"}, "here must be true or false, not 'perhaps'."),
        ("a,b", {"type": "list", "elements": "str"}, "here must be a list, not 'a,b'."),
        ("x=1", {"type": "dict"}, "here must be a dictionary, not 'x=1'."),
        ("x" * 80, {"type": "int"}, "here must be a whole number, not '" + "x" * 56 + "...."),
        (None, {"type": "str", "required": True}, "here is missing; it is required."),
        ({"b": 1}, {"type": "dict", "options": {"a": {"type": "int", "required": True}}}, None),
    ],
)
def test_refuses_with_one_sentence(value, spec, sentence):
    result, problems = checked(value, **spec)
    if sentence is None:
        assert problems == ["here has no option 'b'; known here: a.", "here.a is missing; it is required."]
    else:
        assert (result, problems) == (INVALID, [sentence])


def test_an_item_of_a_list_is_named_by_its_name_or_its_place():
    items = [{"name": "blue", "n": "x"}, {"n": "x"}, "x"]
    result, problems = checked(
        items, type="list", elements="dict", options={"name": {"type": "str"}, "n": {"type": "int"}}
    )
    assert problems == [
        "here[blue].n must be a whole number, not 'x'.",
        "here[1].n must be a whole number, not 'x'.",
        "here[2] must be a dictionary, not 'x'.",
    ]
    assert result == [{"name": "blue", "n": INVALID}, {"name": None, "n": INVALID}, INVALID]


def test_a_misspelt_option_is_not_told_as_missing_too():
    problems = []
    spec = {"type": "dict", "options": {"subnet": {"type": "str", "required": True}}}
    assert conform({"subnt": "x"}, spec, "here", problems) == {"subnet": INVALID}
    assert problems == ["here has no option 'subnt'; did you mean subnet?"]


def test_suggests_the_nearest_or_lists_all():
    assert suggest("vlna", ["vlan", "mtu"]) == "; did you mean vlan?"
    assert suggest("x", ["vlan", "mtu"]) == "; known here: mtu, vlan."
    assert suggest("x", ["vlan", INVALID, "mtu"]) == "; known here: mtu, vlan."
    assert suggest("x", []) == "."


@settings(max_examples=60, deadline=None)
@given(fabrics())
def test_ansible_accepts_what_the_plan_accepts(hosts):
    for variables in hosts.values():
        result = ArgumentSpecValidator(SPEC).validate(variables)
        assert result.error_messages == []


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "vlan", "subnet", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(JUNK.filter(lambda value: value is not None), st.sampled_from(sorted(SPEC)))
def test_what_ansible_refuses_is_refused_and_junk_never_crashes(value, variable):
    problems = []
    conform(value, SPEC[variable], variable, problems)
    try:
        refused = ArgumentSpecValidator({variable: SPEC[variable]}).validate({variable: value}).error_messages
    except (
        TypeError,
        OverflowError,
    ):  # the validator itself stumbles over false for a dictionary, and over huge numbers
        refused = True
    if refused:
        assert problems

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan on a terminal."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.tables import ranges, render, table
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, fabrics


@settings(max_examples=80, deadline=None)
@given(fabrics())
def test_fits_a_hundred_columns_and_shows_every_name_and_address(hosts):
    plan = compile_plan(hosts, SPEC)
    text = render(plan)
    assert max(map(len, text.splitlines())) <= 100
    squeezed = "".join(text.split())
    for point in plan["endpoints"]:
        assert point["mac"] in text and str(point["mtu"]) in text
        assert point["address"] in squeezed
    for tep in plan["teps"]:
        for tunnel in plan["hosts"][tep["host"]]["tunnels"]:
            assert tep["address"] in text and tunnel["remote_ip"] in text


def test_a_value_is_marked_with_where_it_came_from():
    hosts = {
        "kvm1": {
            "fabric_name": "test",
            "fabric_segments": [{"name": "s", "vlan": 10, "subnet": "10.1.1.0/24"}],
            "fabric_endpoints": [{"name": "a", "segment": "s"}, {"name": "b", "segment": "s", "address": "10.1.1.2"}],
        }
    }
    text = render(compile_plan(hosts, SPEC))
    for marked in ("10.1.1.65/24 a", "10.1.1.2/24 g", "1500 d", "1446 c", "10 g"):
        assert marked in text


def test_numbers_become_ranges():
    assert ranges([]) == ""
    assert ranges([0, 10, 11, 12, 20]) == "0,10-12,20"


@given(
    st.lists(st.lists(st.text("abc -", max_size=60), min_size=3, max_size=3), min_size=1, max_size=5),
    st.integers(50, 120),
)
def test_a_table_loses_no_word_and_keeps_its_width(rows, width):
    text = table("Title", ("One", "Two", "Three"), rows, width)
    assert max(map(len, text.splitlines())) <= width
    for letter in "abc":
        assert sum(r.count(letter) for one in rows for r in one) == "".join(text.splitlines()[3:]).count(letter)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule of owners, and what Open vSwitch objects were before us."""

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import owner_cookie
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.flow import Flow
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import compare as ovs_compare
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import declaration as ovs_declaration
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.before import flushes, former_of, former_text, users
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import Database, apply, empty_database
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.held import others
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import empty_row
from ansible_collections.overloom.fabric.plugins.module_utils._owner import (
    Caller,
    is_ovs_mark,
    may_change,
    may_declare,
    may_remove,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

OWNERS = st.sampled_from(["me", "you"])
MARKS = st.none() | OWNERS
OWNER = "me"


def refused(rule: t.Callable[..., None], *arguments: t.Any) -> str:
    """The sentence of a refusal, empty for none."""
    try:
        rule(*arguments)
    except FabricError as error:
        return str(error)
    return ""


@given(MARKS, OWNERS, st.booleans(), st.lists(st.sampled_from(["controller tcp:192.0.2.1", "port tap1"]), max_size=9))
def test_only_the_owner_and_who_adopts_may_change_or_remove(
    mark: str | None, owner: str, adopt: bool, used_by: list[str]
) -> None:
    caller = Caller(owner, adopt)
    free = mark == owner or adopt
    for said in (
        refused(may_remove, "bridge b", mark, caller),
        refused(may_change, "bridge b", mark, caller, "its mac would be changed", used_by),
    ):
        assert bool(said) != free
        assert not said or said.startswith("bridge b ") and "adopt: true" in said and "\n" not in said
    assert bool(refused(may_declare, "bridge b", mark, caller)) == (not free and mark is not None)


def test_a_line_break_in_a_name_of_others_does_not_break_the_sentence() -> None:
    said = refused(
        may_change, "bridge b", None, Caller(OWNER), "its mac would be changed", ["external_ids a\nb", "port é"]
    )
    assert "external_ids a\\nb, port é" in said and "\n" not in said


CELLS = st.dictionaries(
    st.tuples(
        st.sampled_from(["fail_mode", "other_config", "queues"]), st.none() | st.text(max_size=3) | st.integers(0, 9)
    ),
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.tuples(st.integers(), st.integers())
    | st.dictionaries(st.text(max_size=2) | st.integers(0, 9), st.text() | st.tuples(st.text())),
)


@given(CELLS)
def test_what_is_remembered_reads_back_as_it_was(cells: dict[tuple[str, t.Any], t.Any]) -> None:
    assert former_of({"external_ids": {"overloom-before:me": former_text(cells)}}, "me") == cells


@pytest.mark.parametrize("text", ["", "{", "[1]", "[[1,2]]", '"x"', "null", '[["a","b",{"c":1}]]'])
def test_a_record_that_somebody_wrote_into_gives_nothing_back(text: str) -> None:
    assert former_of({"external_ids": {"overloom-before:me": text}}, "me") == {}


def bridge(**cells: t.Any) -> Database:
    """A database with one bridge that nobody marked."""
    found = empty_database()
    row = {**empty_row("Bridge", "b"), "_uuid": "u0", "datapath_type": "netdev", **cells}
    port = {**empty_row("Port", "b"), "_uuid": "u1"}
    interface = {**empty_row("Interface", "b"), "_uuid": "u2", "type": "internal"}
    tables = {**found.tables, "Bridge": {"b": row}, "Port": {"b": port}, "Interface": {"b": interface}}
    return found._replace(tables=tables, bridge_of={"b": "b"}, members={"b": ("b",)})


CONTROLLER = {**empty_row("Controller"), "target": "tcp:192.0.2.1:6653", "_uuid": "c"}
USED = [
    {"fail_mode": "secure"},
    {"controller": {"tcp:192.0.2.1:6653": CONTROLLER}},
    {"external_ids": {"ovn-x": "1"}},
    {"stp_enable": True},
    {"rstp_enable": True},
    {"mcast_snooping_enable": True},
    {"flood_vlans": (5,)},
    {"netflow": {**empty_row("NetFlow"), "_uuid": "n"}},
    {"mirrors": {"m": {**empty_row("Mirror"), "_uuid": "m", "external_ids": {}}}},
    {"flow_tables": {0: {**empty_row("Flow_Table"), "_uuid": "f", "external_ids": {}}}},
]
PREPARED = [
    {},
    {"fail_mode": "standalone"},
    {"protocols": ("OpenFlow13",)},
    {"other_config": {"hwaddr": "02:00:00:00:00:01"}},
]
CHANGES = [
    {"fail_mode": "standalone"},
    {"fail_mode": ""},
    {"datapath_type": "system"},
    {"protocols": ["OpenFlow10"]},
    {"stp": True},
    {"stp": False},
    {"controllers": []},
    {"controllers": [{"target": "tcp:192.0.2.9:6653"}]},
    {"mac": "02:00:00:00:00:09"},
    {"netflow": {}},
    {"flow_tables": []},
    {"ports": [{"name": "b", "mtu": 1400}]},
]


def compared(found: Database, item: dict[str, t.Any], **how: t.Any) -> tuple[list, Database, list[str]]:
    """One call of ovs_bridge, as a comparison."""
    return ovs_compare.compare(
        found, ovs_declaration.declared([{"name": "b", **item}]), ovs_compare.Settings(**{"owner": OWNER, **how}), None
    )


def plain(database: Database) -> str:
    """What is configured, as text."""
    rows = {table: database.tables[table] for table in ("Bridge", "Port", "Interface")}
    return json.dumps([rows, database.bridge_of, database.members], sort_keys=True, default=list)


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("cells", USED, ids=lambda cells: next(iter(cells)))
def test_a_used_bridge_is_changed_only_when_adopted_and_given_back_exactly(
    cells: dict[str, t.Any], change: dict[str, t.Any]
) -> None:
    found = bridge(**cells)
    assert users(found, "b", OWNER)
    if "rstp_enable" in cells and change.get("stp"):
        change = {**change, "rstp": False}
    try:
        changed = bool(compared(found, change)[0])
    except FabricError as error:
        assert "bridge b is not ours and is in use (" in str(error) and "adopt: true" in str(error)
        changed = True
    else:
        assert not changed
    ops, after, warnings = compared(
        found, {**change, **({"mac": "02:00:00:00:00:07"} if "ports" in change else {})}, adopt=True
    )
    assert ops and after.tables["Bridge"]["b"]["external_ids"]["overloom-owner"] == OWNER
    assert users(after, "b", OWNER) == users(found, "b", OWNER) or changed
    assert all("set by others and stays" in warning for warning in warnings)
    back, same, _warnings = ovs_compare.compare(after, [], ovs_compare.Settings(OWNER, purge=True), None)
    assert back and plain(same) == plain(found)
    absent = compared(after, {"state": "absent"})
    assert plain(absent[1]) == plain(found) and "given back" in absent[2][0]
    assert compared(after, {"state": "absent"}, adopt=True)[1].tables["Bridge"] == {}


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("cells", PREPARED, ids=str)
def test_a_bridge_that_nobody_uses_is_configured_and_stays_ours_to_change(
    cells: dict[str, t.Any], change: dict[str, t.Any]
) -> None:
    found = bridge(**cells)
    assert users(found, "b", OWNER) == []
    after = compared(found, change)[1]
    assert "overloom-owner" not in after.tables["Bridge"]["b"]["external_ids"]
    assert users(after, "b", OWNER) == []
    for later in CHANGES:
        after = compared(after, later)[1]
        assert compared(after, later)[0] == []
    assert plain(ovs_compare.compare(after, [], ovs_compare.Settings(OWNER, purge=True), None)[1]) == plain(found)


def test_the_flows_of_others_are_counted_and_ours_are_not() -> None:
    flows = [Flow(cookie=owner_cookie("any")), Flow(cookie=7), Flow(cookie=5, priority=1)]
    assert (
        others(flows) == ["2 flows with cookie 0x5, 0x7"]
        and others(flows[:1]) == []
        and others(flows[:2]) == ["1 flow with cookie 0x7"]
    )


@pytest.mark.parametrize(
    ("before", "after", "drops"),
    [
        ({"fail_mode": None}, {"fail_mode": "secure"}, True),
        ({"fail_mode": None}, {"fail_mode": "standalone"}, False),
        ({"fail_mode": "secure"}, {"fail_mode": "standalone"}, True),
        ({}, {"controller": {"tcp:192.0.2.1:6653": CONTROLLER}}, True),
        ({"controller": {"tcp:192.0.2.1:6653": CONTROLLER}}, {"controller": {"tcp:192.0.2.2:6653": CONTROLLER}}, False),
        ({}, {"controller": {"ptcp:6653": CONTROLLER}}, False),
        ({}, {"controller": {"ptcp:6653": {**CONTROLLER, "type": "primary"}}}, True),
        ({}, {"controller": {"tcp:192.0.2.1:6653": {**CONTROLLER, "type": "service"}}}, False),
        ({"datapath_type": ""}, {"datapath_type": "netdev"}, True),
        ({"datapath_type": ""}, {"datapath_type": "system"}, False),
        ({}, {"protocols": ("OpenFlow13",), "stp_enable": True}, False),
    ],
)
def test_what_drops_all_flows(before: dict[str, t.Any], after: dict[str, t.Any], drops: bool) -> None:
    row = empty_row("Bridge", "b")
    assert flushes({**row, **before}, {**row, **before, **after}) == drops


def test_marks_are_known_by_their_keys() -> None:
    assert all(map(is_ovs_mark, ("overloom-owner", "overloom-module", "overloom-before:x"))) and not any(
        map(is_ovs_mark, ("overloom", "a", 5))
    )


def test_nothing_is_written_to_what_was_found() -> None:
    found = bridge(fail_mode="secure")
    before = plain(found)
    ops, _after, _warnings = compared(found, {"fail_mode": "standalone", "mac": "02:00:00:00:00:01"}, adopt=True)
    apply(found, ops)
    assert plain(found) == before

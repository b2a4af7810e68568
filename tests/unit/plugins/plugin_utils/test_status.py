# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of a fabric, from what was read of hosts that are as planned, and from one thing changed at a time."""

from __future__ import annotations

import copy
import re
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._status import show, summary
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.status_seen import PLAN, host_as_read, port


@pytest.fixture
def seen() -> dict[str, t.Any]:
    return {host: host_as_read(host) for host in PLAN["hosts"]}


def test_a_fabric_as_planned_is_all_well(seen):
    report = summary.report(PLAN, seen, 100.0)
    assert report["passed"] and not report["problems"], report["problems"]
    assert report["things"]["host"] == {"planned": 2, "good": 2} and report["things"]["tunnel"]["good"] == 2
    assert report["segments"] == [{"name": "web", "endpoints": 3, "good": 3}]
    shown = "\n".join(show.lines(report))
    assert "all as planned" in shown and "2 kB out, 1 kB in, BFD up" in shown


def test_what_is_impaired_on_purpose_is_told_and_is_no_problem(seen):
    row = {"name": "cut", "owner": "x", "interface": "eth1", "netns": None, "effect": "cut", "seconds": 30, "left": 12}
    seen["kvm1"]["impairments"] = [row]
    report = summary.report(PLAN, seen, 100.0)
    assert report["passed"] and report["impaired"] == [{"host": "kvm1", **row}]
    assert "  ! kvm1 eth1 is impaired by cut (cut), 12 s left" in show.lines(report)


CHANGES = {
    "tag": (lambda seen: port(seen, "kvm1", "v-a").update(tag=77), "port", "tag 77", 2),
    "tunnel gone": (lambda seen: seen["kvm1"].update(tunnels=[]), "tunnel", "not there", 3),
    "remote end": (
        lambda seen: seen["kvm1"]["tunnels"][0]["options"].update(remote_ip="192.0.2.9"),
        "tunnel",
        "192.0.2.9",
        3,
    ),
    "error": (lambda seen: seen["kvm2"]["tunnels"][0].update(error="no such device"), "tunnel", "no such device", 3),
    "BFD": (lambda seen: seen["kvm2"]["tunnels"][0].update(bfd_status={"state": "down"}), "tunnel", "BFD down", 3),
    "flows": (lambda seen: seen["kvm1"]["bridges"][-1].update(flow_count=0), "bridge", "flow_count 0", 3),
    "namespace": (lambda seen: seen["kvm2"].update(namespaces=[]), "namespace", "not there", 2),
    "guest": (lambda seen: seen["kvm1"].update(guests={"vm": "shut off"}), "guest", "shut off", 2),
    "libvirt": (
        lambda seen: (seen["kvm1"].pop("guests"), seen["kvm1"].update(unread={"guests": "libvirt does not answer"})),
        "guest",
        "kvm1 was not read: libvirt does not answer",
        2,
    ),
    "host": (lambda seen: seen.update(kvm2={"unreachable": True, "msg": "no route"}), "host", "down: no route", 2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_one_thing_that_is_not_as_planned_is_named(seen, name):
    change, kind, observed, good = CHANGES[name]
    change(seen)
    report = summary.report(PLAN, seen, 100.0)
    assert not report["passed"]
    (problem,) = report["problems"]
    assert problem["kind"] == kind and observed in problem["observed"]
    assert report["segments"][0]["good"] == good
    shown = "\n".join(show.lines(report))
    assert observed in shown and problem["look"] in shown and "all as planned" not in shown
    assert show.sentence(report).startswith("Not as planned: 1 of ")
    assert 'overloom_as_planned{fabric="f"} 0' in show.prometheus(report)


def test_a_switch_that_does_not_answer_fails_all_that_it_has_and_nothing_else(seen):
    for key in ("bridges", "tunnels"):
        del seen["kvm1"][key]
    seen["kvm1"].update(unread={"switch": "no database"}, msg="no database")
    report = summary.report(PLAN, seen, 100.0)
    assert {problem["kind"] for problem in report["problems"]} == {"bridge", "port", "tunnel"}
    assert all(problem["observed"] == "kvm1 was not read: no database" for problem in report["problems"])
    assert not report["tunnels"][0]["there"] and "not there" in "\n".join(show.lines(report))


def test_a_host_that_was_not_asked_is_not_told_of(seen):
    del seen["kvm2"]
    report = summary.report(PLAN, seen, 100.0)
    assert report["passed"] and report["hosts"] == {"kvm1": "answers"}
    assert report["segments"][0] == {"name": "web", "endpoints": 2, "good": 2}


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 10**6))
def test_rates_are_those_since_the_earlier_report(old, new, seconds):
    before = {host: host_as_read(host) for host in PLAN["hosts"]}
    before["kvm1"]["tunnels"][0]["statistics"]["tx_bytes"] = old
    after = copy.deepcopy(before)
    after["kvm1"]["tunnels"][0]["statistics"]["tx_bytes"] = new
    first = summary.report(PLAN, before, 1000.0)
    row = summary.report(PLAN, after, 1000.0 + seconds, first)["tunnels"][0]
    # Counters begin anew when a host boots.
    assert row["tx_rate"] == (None if new < old else int((new - old) * 8 / seconds))
    assert row["rx_rate"] == 0 and first["tunnels"][0]["tx_rate"] is None
    assert row["rates"] == {"rx": [None, 0], "tx": [None, row["tx_rate"]]}


def test_rates_of_the_last_runs_are_kept_and_those_of_another_fabric_are_not():
    seen = {host: host_as_read(host) for host in PLAN["hosts"]}
    report = None
    for run in range(summary.RUNS_KEPT + 5):
        report = summary.report(PLAN, seen, 1000.0 + run, report)
    assert report["times"] == [1005.0 + run for run in range(summary.RUNS_KEPT)]
    assert all(row["rates"] == {"rx": [0] * 30, "tx": [0] * 30} for row in report["tunnels"])
    other = summary.report(PLAN, seen, 2000.0, {**report, "fabric": "other"})
    assert other["times"] == [2000.0] and other["tunnels"][0]["tx_rate"] is None


@given(st.text())
def test_metrics_have_prometheus_form_whatever_a_fabric_is_called(name):
    report = {**summary.report(PLAN, {host: host_as_read(host) for host in PLAN["hosts"]}, 1.5), "fabric": name}
    metric = re.compile(r'[a-z_]+\{[a-z]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z]+="(?:[^"\\\n]|\\[\\"n])*")*\} [0-9.]+')
    text = show.prometheus(report)
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        assert line.startswith(("# HELP overloom_", "# TYPE overloom_")) or metric.fullmatch(line), line

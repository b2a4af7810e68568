# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils import _run_view as run_view
from ansible_collections.overloom.fabric.plugins.plugin_utils._run_view import Outcome, View

QUIET = {"ok": 3, "changed": 0, "failures": 0, "unreachable": 0, "rescued": 0, "ignored": 0, "skipped": 1}
TEXT = st.text("ab\n", max_size=5)
OUTCOMES = st.lists(
    st.builds(Outcome, st.sampled_from(["kvm1", "kvm2", "r1"]), st.sampled_from(["changed", "failed"]), TEXT)
)


def texts(lines):
    return [text for _kind, text in lines]


def test_hosts_share_the_line_of_a_task():
    view = View()
    assert view.play("Build", 0) == [("play", "Build")]
    assert view.task("Configure the tunnels", 0) == []
    view.outcome(Outcome("kvm2", "changed"))
    view.outcome(Outcome("kvm1", "changed"))
    assert texts(view.task("Next", 1)) == ["  changed  Configure the tunnels: kvm1, kvm2"]
    assert view.task("After", 2) == []


def test_a_task_that_lasts_is_told_while_it_does():
    view = View()
    assert view.running(0) == []
    view.task("Install missing packages", 10)
    assert texts(view.running(77)) == ["  running: Install missing packages, for 1 min 7 s"]
    view.task("", 80)
    assert view.running(90) == []


def test_a_play_that_only_looks_tells_of_failures_and_not_of_what_it_foretells():
    view = View()
    view.play("Compare", 0, looks=True)
    view.task("Configure the tunnels", 0)
    view.outcome(Outcome("kvm1", "changed", "+ a"))
    view.outcome(Outcome("kvm2", "failed", "no"))
    assert texts(view.task("", 1)) == ["  failed   Configure the tunnels: kvm2", "    no"]
    assert texts(view.end({"kvm1": {**QUIET, "changed": 2}}, 1, 1.0, True, "")) == [
        "",
        "1 host, nothing would change, 1 s",
    ]
    view.play("Build", 2)
    view.task("Configure the tunnels", 2)
    view.outcome(Outcome("kvm1", "changed"))
    assert texts(view.task("", 3)) == ["  changed  Configure the tunnels: kvm1"]


def test_a_failure_is_whole_and_its_sentence_comes_first():
    view = View()
    view.task("Make it", 0)
    view.outcome(Outcome("kvm1", "failed", "There is no bridge.\nrc: 1"))
    assert view.task("", 1) == [
        ("failed", "  failed   Make it: kvm1"),
        ("failed", "    There is no bridge."),
        ("failed", "    rc: 1"),
    ]


def test_a_slow_task_is_told_and_a_fast_one_is_not():
    view = View()
    view.task("Copy", 0)
    assert texts(view.task("Copy less", run_view.SLOW)) == ["  ok       Copy (10 s)"]
    assert view.task("", run_view.SLOW + 1) == []


def test_a_wait_is_told_at_first_and_from_time_to_time():
    view = View()
    told = [bool(view.waiting("Read", "r1", second + 2, 30, float(second))) for second in range(21)]
    assert [second for second, shown in enumerate(told) if shown] == [0, 10, 20]
    assert texts(view.waiting("Read", "kvm1", 3, 30, 1.0)) == ["  waiting: Read (kvm1), try 3 of 30"]


def test_a_warning_of_check_mode_waits_only_where_something_is_foretold():
    view = View()
    view.task("Start it", 0)
    view.outcome(Outcome("kvm1", "changed"))
    assert view.note("kvm1", "it is not there") and view.note("kvm1", "it is not there")
    assert not view.note("kvm2", "it is not there")
    lines = texts(view.end({"kvm1": {**QUIET, "changed": 1}, "kvm2": QUIET}, 9, 9.2, True, ""))
    assert lines[-5:] == [
        "Not there yet, as seen without the changes above",
        "  kvm1: it is not there",
        "",
        "1 would change: kvm1",
        "2 hosts, 9 s",
    ]


def test_the_recap_of_a_run_without_changes_is_one_line():
    lines = texts(View().end({"kvm1": QUIET, "kvm2": QUIET}, 0, 75, False, "reports/site.log"))
    assert lines == ["", "2 hosts, nothing changed, 1 min 15 s; all output: reports/site.log"]


def test_the_recap_names_only_hosts_with_something_to_tell():
    hosts = {"kvm1": QUIET, "r1": {**QUIET, "failures": 1, "changed": 2}}
    lines = View().end(hosts, 0, 1, False, "")
    assert lines[1:] == [("failed", "1 failed, 2 changed: r1"), ("end", "2 hosts, 1 s")]


def test_hosts_that_ended_alike_share_a_line_of_the_recap():
    hosts = {f"kvm{number}": {**QUIET, "changed": 3} for number in (1, 2)}
    lines = texts(View().end({**hosts, "r1": {**QUIET, "changed": 1}}, 0, 1, False, ""))
    assert lines == ["", "3 changed: kvm1, kvm2", "1 changed: r1", "3 hosts, 1 s"]
    assert texts(View().end(hosts, 0, 1, False, "")) == ["", "2 hosts, 3 changed each, 1 s"]
    failed = {name: {**QUIET, "failures": 1} for name in hosts}
    assert texts(View().end(failed, 0, 1, False, "")) == ["", "1 failed: kvm1, kvm2", "2 hosts, 1 s"]


@given(OUTCOMES)
def test_nothing_that_happened_is_lost(outcomes):
    view = View()
    view.task("Task", 0)
    for outcome in outcomes:
        view.outcome(outcome)
    heads = [text for _kind, text in view.task("", 0) if text.startswith("  ") and "Task: " in text]
    assert len(heads) == len({(outcome.kind, outcome.text) for outcome in outcomes})
    for outcome in outcomes:
        assert any(outcome.kind in head and outcome.host in head for head in heads)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import pathlib
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._status import summary
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import report

DOCS = pathlib.Path(__file__).resolve().parents[4] / "docs"
KINDS = ["tep-ping", "ping", "mtu", "tcp", "isolation", "tunnel"]
NAMES = st.sampled_from([f"kvm{number}/red" for number in range(1, 5)])
CHECKS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(KINDS),
            "from": NAMES,
            "to": NAMES,
            "expected": st.text(max_size=20),
            "observed": st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
            "passed": st.booleans(),
        }
    ),
    max_size=30,
)
ENDPOINTS = [
    {"id": f"kvm{number}/red", "segment": f"s{number % 2}", "address": f"10.0.0.{number}"} for number in range(1, 5)
]


@given(CHECKS)
def test_the_counts_agree_in_every_form(checks):
    result = report.summary("f", checks, 1.0)
    assert result["passed"] + result["failed"] == len(checks) == len(json.loads(json.dumps(result))["checks"])
    lines = report.terminal(result, ENDPOINTS)
    assert lines[-1] == f"  {result['passed']} passed, {result['failed']} failed in 1.0 s"


@given(CHECKS)
def test_junit_reads_back_with_a_case_a_check_and_a_failure_a_failed_one(checks):
    checks = [{**one, "expected": 'a <b> & "c"'} for one in checks]
    tree = ElementTree.fromstring(report.junit(report.summary("f", checks, 1.0)).split("\n", 1)[1])
    assert len(tree.findall(".//testcase")) == len(checks)
    assert len(tree.findall(".//failure")) == sum(not check["passed"] for check in checks)


def check(kind, source, target, passed):
    return {"kind": kind, "from": source, "to": target, "expected": "e", "observed": "o", "passed": passed}


def test_one_failed_check_of_a_pair_decides_its_cell():
    leak = {**check("isolation", "b", "a", False), "leak": True}
    pair = [check("ping", "a", "b", True), check("mtu", "a", "b", False), check("tcp", "a", "b", True)]
    found = report.cells([*pair, leak, check("isolation", "a", "c", False)])
    assert found == {("a", "b"): report.LOST, ("b", "a"): report.LEAK, ("a", "c"): report.UNPROVEN}


def test_a_cause_is_told_once_with_what_shows_it_and_where_to_look():
    result = report.summary("f", [check("ping", "kvm1/red", "kvm2/red", False)], 1.0)
    result["causes"] = [
        {
            "title": "tunnel a <-> b",
            "because": ["1 pair fails (ping)"],
            "checks": [0],
            "samples": ["ping x"],
            "look": "on a: ovs-vsctl show",
        }
    ]
    text = "\n".join(report.terminal(result, ENDPOINTS))
    assert "✗ tunnel a <-> b: 1 pair fails (ping)" in text and "ping x" in text and "look on a: ovs-vsctl show" in text
    assert (
        report.sentence(result, "reports")
        == "1 of 1 checks failed, for 1 cause: tunnel a <-> b. The report is reports/verify.json."
    )


def test_what_passed_only_when_asked_again_is_said_and_counts_as_passed():
    unsteady = {
        **check("ping", "kvm1/red", "kvm2/red", True),
        "observed": "first 4 of 5; asked again: 20 of 20",
        "unsteady": True,
    }
    lines = report.terminal(report.summary("f", [unsteady], 1.0), ENDPOINTS)
    assert any("1 check failed first and passed when asked again" in line for line in lines)
    assert any("first 4 of 5; asked again: 20 of 20" in line for line in lines) and lines[-1].startswith(
        "  1 passed, 0 failed"
    )


def test_rates_are_told_by_what_carries_them_with_the_slowest_pair():
    def tcp(sort, source, rate):
        return {**check("tcp", source, "b", True), "sort": sort, "mbit_per_second": rate}

    result = report.summary(
        "f", [tcp("rated", "x", 300), tcp("rated", "y", 100), tcp("plain", "z", 1), tcp("guest", "g", 4)], 1.0
    )
    result["underlay"] = [{"from": "kvm1", "to": "kvm2", "mbit_per_second": 400}]
    text = "\n".join(report.terminal(result, []))
    assert "TCP over the underlay         median 400 Mbit/s, slowest 400 (kvm1 -> kvm2)" in text
    assert "TCP between namespaces        median 300 Mbit/s, slowest 100 (y -> b)" in text
    assert "TCP with guests               median 4.0 Mbit/s" in text and "z -> b" not in text


def test_each_kind_and_blank_cells_are_explained_where_they_are_seen():
    text = "\n".join(
        report.terminal(
            report.summary(
                "f", [check("tep-ping", "kvm1", "kvm2", True), check("host", "kvm1/red", "kvm1", True)], 1.0
            ),
            ENDPOINTS,
        )
    )
    assert (
        "tunnel endpoint to tunnel endpoint" in text
        and "no answer from the host itself" in text
        and "blank: not measured" in text
    )


def routing(kind, source, target, passed=True, observed="as planned"):
    return {**check(kind, source, target, passed), "observed": observed}


def test_routers_that_are_as_planned_take_few_lines():
    checks = [
        routing("adjacency", "kvm1:eth1", "r1:eth1", observed="Full"),
        routing("adjacency", "r1:eth1", "kvm1:eth1", observed="Full"),
        *(routing("route", "kvm1", f"10.0.{number}.0/24", observed="by ospf") for number in range(6)),
    ]
    lines = report.terminal(report.summary("f", checks, 1.0), [])
    assert "  ● kvm1:eth1  <-> r1:eth1  Full" in lines
    assert "  ● kvm1  6 as planned  10.0.0.0/24, 10.0.1.0/24, 10.0.2.0/24, 10.0.3.0/24 and 2 more" in lines


def test_what_is_wrong_with_a_router_has_a_line_of_its_own():
    checks = [
        routing("adjacency", "kvm1:eth1", "r1:eth1", observed="Full"),
        routing("adjacency", "r1:eth1", "kvm1:eth1", passed=False, observed="Init"),
        *(
            routing("route", "kvm1", f"10.0.{number}.0/24", passed=not number, observed="no route")
            for number in range(7)
        ),
    ]
    lines = report.terminal(report.summary("f", checks, 1.0), [])
    assert "  ● kvm1:eth1  r1:eth1    Full" in lines and "  ✗ r1:eth1    kvm1:eth1  Init" in lines
    assert "  ● kvm1  1 as planned      10.0.0.0/24" in lines
    assert "  ✗ kvm1  10.0.1.0/24       no route" in lines and "  ✗ kvm1  10.0.5.0/24       no route" not in lines
    assert "  ✗ kvm1  6 not as planned  all of them are in the report" in lines


def test_many_endpoints_are_told_by_segment():
    endpoints = [{"id": f"k/{number}", "segment": f"s{number % 3}", "address": "x"} for number in range(60)]
    checks = [
        check("ping", "k/0", "k/3", True),
        check("isolation", "k/0", "k/1", True),
        check("isolation", "k/1", "k/0", False),
    ]
    lines = report.terminal(report.summary("f", checks, 1.0), endpoints)
    assert lines[0].split() == "● s0 1 of 1 pairs reach each other, 1 of 1 kept apart from the others".split()
    assert lines[1].split() == "✗ s1 0 of 0 pairs reach each other, 0 of 1 kept apart from the others".split()


@pytest.mark.parametrize(("page", "kinds"), [("verify.md", report.KINDS), ("status.md", summary.KINDS)])
def test_each_kind_of_check_is_documented(page, kinds):
    rows = re.findall(r"^\| ([^|]+) \|", (DOCS / page).read_text(encoding="utf-8"), re.M)
    told = {word.strip("`") for row in rows for word in row.split(", ")}
    assert set(kinds) <= told

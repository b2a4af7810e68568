# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of verify for people (a matrix on the terminal) and for machines (JSON, JUnit). Pure.

A check is a dict: kind, from, to, expected, observed (sentences), passed, and where a failed one is to be looked at.

This file is private to the collection.
"""
from __future__ import annotations

import typing as t
from xml.etree import ElementTree

from ansible_collections.overloom.fabric.plugins.plugin_utils import _verify_routers

GOOD, QUIET, LOST, LEAK, UNPROVEN = "●", "·", "✗", "!", "?"
MATRIX_LIMIT = 24
FAILURES_SHOWN = 12


def summary(fabric: str, checks: t.Sequence[dict], seconds: float, isolation: dict | None = None) -> dict[str, t.Any]:
    """The report as plain data: what reports/verify.json holds.

    seconds: how long the slowest host measured. isolation: how many pairs that must be kept apart were measured
    (checked) of how many there are (of).
    """
    failed = sum(not check["passed"] for check in checks)
    return {
        "fabric": fabric,
        "passed": len(checks) - failed,
        "failed": failed,
        "seconds": round(seconds, 2),
        "isolation": isolation or {},
        "checks": list(checks),
    }


def junit(report: dict[str, t.Any]) -> str:
    """The report as JUnit XML, one test case a check, grouped by kind."""
    suites = ElementTree.Element("testsuites", name=report["fabric"], tests=str(len(report["checks"])), failures=str(report["failed"]))
    by_kind: dict[str, list[dict]] = {}
    for check in report["checks"]:
        by_kind.setdefault(check["kind"], []).append(check)
    for kind, checks in by_kind.items():
        failures = sum(not check["passed"] for check in checks)
        suite = ElementTree.SubElement(suites, "testsuite", name=kind, tests=str(len(checks)), failures=str(failures))
        for check in checks:
            case = ElementTree.SubElement(suite, "testcase", classname=f"{report['fabric']}.{kind}", name=pair(check))
            if not check["passed"]:
                failure = ElementTree.SubElement(case, "failure", message=f"expected {check['expected']}; observed {check['observed']}")
                failure.text = check.get("look", "")
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def terminal(report: dict[str, t.Any], endpoints: t.Sequence[dict]) -> list[str]:
    """The report as lines for a terminal: the matrix, a line a kind, every failure with where to look next."""
    lines = []
    if endpoints:
        lines += matrix(report["checks"], endpoints) if len(endpoints) <= MATRIX_LIMIT else segment_table(report["checks"], endpoints)
        lines.append("")
    lines += _verify_routers.terminal(report["checks"])
    by_kind: dict[str, list[dict]] = {}
    for check in report["checks"]:
        by_kind.setdefault(check["kind"], []).append(check)
    width = max((len(kind) for kind in by_kind), default=0)
    for kind, checks in by_kind.items():
        failures = sum(not check["passed"] for check in checks)
        mark = "ok    " if not failures else "FAILED"
        lines.append(f"  {mark}  {kind:{width}}  {len(checks) - failures:>5} of {len(checks)}  {_figures(checks)}".rstrip())
    failed = [check for check in report["checks"] if not check["passed"]]
    for check in failed[:FAILURES_SHOWN]:
        lines += ["", f"  {LOST} {check['kind']}: {pair(check)}", f"      expected  {check['expected']}", f"      observed  {check['observed']}"]
        if check.get("look"):
            lines.append(f"      look at   {check['look']}")
    if len(failed) > FAILURES_SHOWN:
        lines += ["", f"  and {len(failed) - FAILURES_SHOWN} more failures, all of them in the report"]
    isolation = report["isolation"]
    if isolation.get("checked", 0) < isolation.get("of", 0):
        lines += ["", f"  isolation: {isolation['checked']} of {isolation['of']} pairs were measured (verify_isolation_limit)"]
    lines += ["", f"  {report['passed']} passed, {report['failed']} failed in {report['seconds']:.1f} s"]
    return lines


def _figures(checks: t.Sequence[dict]) -> str:
    rates = sorted(check["mbit_per_second"] for check in checks if check.get("mbit_per_second"))
    times = sorted(check["rtt_ms"] for check in checks if check.get("rtt_ms"))
    if rates:
        return f"median {rates[len(rates) // 2]:.0f} Mbit/s, slowest {rates[0]:.0f}"
    if times:
        return f"median {times[len(times) // 2]:.2f} ms, slowest {times[-1]:.2f}"
    return ""


def pair(check: dict) -> str:
    """What a check is about, as one text."""
    return f"{check['from']} -> {check['to']}" if check["to"] else check["from"]


def cells(checks: t.Sequence[dict]) -> dict[tuple[str, str], str]:
    """What each ordered pair of endpoints shows in the matrix; one failed check of a pair decides its cell."""
    found: dict[tuple[str, str], str] = {}
    for check in checks:
        ends = (check["from"], check["to"])
        if check["kind"].startswith("denied-"):
            if not check["passed"]:
                found[ends] = LEAK if check["leak"] else UNPROVEN
            found.setdefault(ends, QUIET)
            continue
        if check["kind"] not in ("ping", "mtu", "tcp", "isolation"):
            continue
        if check["kind"] == "isolation":
            mark = QUIET if check["passed"] else LEAK if check.get("leak") else UNPROVEN
        else:
            mark = GOOD if check["passed"] else LOST
        if found.get(ends) not in (LOST, LEAK, UNPROVEN):
            found[ends] = mark
    return found


def matrix(checks: t.Sequence[dict], endpoints: t.Sequence[dict]) -> list[str]:
    """A table of who reaches whom: rows measure, columns are measured."""
    found = cells(checks)
    names = [endpoint["id"] for endpoint in endpoints]
    columns = [[str(endpoint[key]) for endpoint in endpoints] for key in ("id", "segment", "address")]
    widths = [max(map(len, column)) for column in columns]
    labels = ["  ".join(text.ljust(width) for text, width in zip(row, widths)) for row in zip(*columns)]
    width = max(map(len, labels))
    corner = "from \\ to".ljust(width)
    lines = [f"  {corner}  " + " ".join(f"{number:>2}" for number in range(1, len(names) + 1))]
    for number, (name, label) in enumerate(zip(names, labels), start=1):
        row = " ".join(f"{' –' if name == other else found.get((name, other), ' ').rjust(2)}" for other in names)
        lines.append(f"  {label.ljust(width)}  {row}  {number}")
    return lines + [
        f"  {GOOD} reaches, as planned   {QUIET} kept apart, as planned   {LOST} should reach, does not",
        f"  {LEAK} should not reach, does   {UNPROVEN} kept apart, but nothing showed that it could be told",
    ]


def segment_table(checks: t.Sequence[dict], endpoints: t.Sequence[dict]) -> list[str]:
    """A table of segments, where there are too many endpoints for a matrix that fits a terminal."""
    found = cells(checks)
    segment_of = {endpoint["id"]: endpoint["segment"] for endpoint in endpoints}
    segments = list(dict.fromkeys(segment_of.values()))
    counts: dict[tuple[str, str], list[int]] = {}
    for (source, target), mark in found.items():
        count = counts.setdefault((segment_of[source], segment_of[target]), [0, 0])
        count[0] += mark in (GOOD, QUIET)
        count[1] += 1
    width = max(9, *map(len, segments))
    lines = []
    for source in segments:
        inside = counts.get((source, source), [0, 0])
        others = [counts[source, target] for target in segments if target != source and (source, target) in counts]
        apart = [sum(count[0] for count in others), sum(count[1] for count in others)]
        mark = GOOD if inside[0] == inside[1] and apart[0] == apart[1] else LOST
        lines.append(f"  {mark} {source.ljust(width)}  {inside[0]} of {inside[1]} pairs reach each other, {apart[0]} of {apart[1]} kept apart from the others")
    return lines

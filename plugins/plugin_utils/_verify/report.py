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

from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import routers as _verify_routers

GOOD, QUIET, LOST, LEAK, UNPROVEN = "●", "·", "✗", "!", "?"
MATRIX_LIMIT = 24
CAUSES_SHOWN = 8
UNSTEADY_SHOWN = 4
PAIRS_SHOWN = 4

# What each kind of check measures or compares.
KINDS = {
    "bridge": "bridges of Open vSwitch, as planned",
    "port": "ports, their VLANs and MTU",
    "interface": "bonds and VLANs of the kernel, their members and addresses",
    "tunnel": "tunnels, their ends and keys",
    "namespace": "namespaces, their addresses, routes, MTU",
    "container": "containers, their images and namespaces",
    "service": "services in namespaces, and their name servers",
    "dhcp": "DHCP servers, and what clients were given",
    "vrrp": "VRRP routers of edges",
    "active": "edges on two hosts, of which one is active",
    "uplink": "edges with OSPF or BGP, their default routes and sessions",
    "table": "tables of edges, as they were loaded and at boot",
    "northd": "ovn-northd, which brings changes to OVN's chassis",
    "member": "OVN's databases in a cluster, each with a leader and without a member that is gone or behind",
    "chassis": "OVN's chassis, and whether they have taken up the last change",
    "binding": "OVN's logical ports, bound on their endpoints' hosts",
    "gateway": "OVN's gateways, on the first host of each edge",
    "hop": "next hops of OVN's routers by source, for packets of a route's source and of others",
    "flows": "flows of a bridge",
    "adjacency": "OSPF neighbors",
    "session": "BGP sessions and their prefixes",
    "route": "routes of the routers",
    "tep-ping": "tunnel endpoint to tunnel endpoint, over the underlay",
    "tep-mtu": "the same with packets that fill the underlay's MTU",
    "ping": "endpoint to endpoint of its segment, or by an edge",
    "mtu": "the same with packets that fill the segment's MTU",
    "tcp": "TCP transfers between endpoints of a segment, or by an edge",
    "connect": "connections to the ports of services, or that rules allow",
    "isolation": "no answer from endpoints of other segments",
    "host": "no answer from the host itself on its endpoints' links",
    "denied-ping": "pings that flows must drop",
    "denied-tcp": "TCP that flows or edges must drop",
}


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
        "violations": violations(checks),
        "checks": list(checks),
    }


def violations(checks: t.Sequence[dict]) -> dict[str, list[str]]:
    """What came through although the policy denies it: for each rule the pairs, each with the kinds of probes that did."""
    found: dict[str, dict[str, list[str]]] = {}
    for check in checks:
        if check.get("rule") and check.get("leak"):
            kinds = found.setdefault(check["rule"], {}).setdefault(pair(check), [])
            kinds.append(check["kind"].partition("-")[2])
    return {rule: [_violated(*item) for item in pairs.items()] for rule, pairs in found.items()}


def _violated(ends: str, kinds: t.Iterable[str]) -> str:
    return f"{ends} ({', '.join(dict.fromkeys(kinds))})"


def junit(report: dict[str, t.Any]) -> str:
    """The report as JUnit XML, one test case a check, grouped by kind."""
    suites = ElementTree.Element(
        "testsuites", name=report["fabric"], tests=str(len(report["checks"])), failures=str(report["failed"])
    )
    by_kind: dict[str, list[dict]] = {}
    for check in report["checks"]:
        by_kind.setdefault(check["kind"], []).append(check)
    for kind, checks in by_kind.items():
        failures = sum(not check["passed"] for check in checks)
        suite = ElementTree.SubElement(suites, "testsuite", name=kind, tests=str(len(checks)), failures=str(failures))
        for check in checks:
            case = ElementTree.SubElement(suite, "testcase", classname=f"{report['fabric']}.{kind}", name=pair(check))
            if not check["passed"]:
                failure = ElementTree.SubElement(
                    case, "failure", message=f"expected {check['expected']}; observed {check['observed']}"
                )
                failure.text = check.get("look", "")
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def terminal(report: dict[str, t.Any], endpoints: t.Sequence[dict]) -> list[str]:
    """The report as lines for a terminal: the matrix, a line a kind, every failure with where to look next."""
    lines = []
    if endpoints:
        lines += (
            matrix(report["checks"], endpoints)
            if len(endpoints) <= MATRIX_LIMIT
            else segment_table(report["checks"], endpoints)
        )
        lines.append("")
    lines += _verify_routers.terminal(report["checks"])
    by_kind: dict[str, list[dict]] = {}
    for check in report["checks"]:
        by_kind.setdefault(check["kind"], []).append(check)
    width = max((len(kind) for kind in by_kind), default=0)
    for kind, checks in by_kind.items():
        failures = sum(not check["passed"] for check in checks)
        mark = "ok    " if not failures else "FAILED"
        lines.append(
            f"  {mark}  {kind:{width}}  {len(checks) - failures:>5} of {len(checks):<5}  {KINDS.get(kind, '')}".rstrip()
        )
    spreads = _times(by_kind) + _rates(report)
    lines += ["", *spreads] if spreads else []
    isolation = report["isolation"]
    if isolation.get("checked", 0) < isolation.get("of", 0):
        lines += [
            "",
            f"  isolation: {isolation['checked']} of {isolation['of']} pairs were measured (verify_isolation_limit)",
        ]
    lines += _unsteady(report["checks"]) + _violations(report) + _causes(report)
    return lines + ["", f"  {report['passed']} passed, {report['failed']} failed in {report['seconds']:.1f} s"]


def _violations(report: dict[str, t.Any]) -> list[str]:
    """Each violated rule with the first pairs."""
    lines = []
    for rule, pairs in report.get("violations", {}).items():
        more = f", and {len(pairs) - PAIRS_SHOWN} more pairs" if len(pairs) > PAIRS_SHOWN else ""
        lines += ["", f"  {LEAK} violated: {rule}: {'; '.join(pairs[:PAIRS_SHOWN])}{more}"]
    return lines


def _causes(report: dict[str, t.Any]) -> list[str]:
    """Each cause with what shows it and where to look next."""
    lines: list[str] = []
    causes = report.get("causes", [])
    for cause in causes[:CAUSES_SHOWN]:
        lines += ["", f"  {LOST} {cause['title']}: {'; '.join(cause['because'])}"]
        lines += [f"      {sample}" for sample in cause["samples"]]
        if cause["look"]:
            lines.append(f"      look {cause['look']}")
    if len(causes) > CAUSES_SHOWN:
        lines += ["", f"  and {len(causes) - CAUSES_SHOWN} more causes, all of them in the report"]
    return lines


def _unsteady(checks: t.Sequence[dict]) -> list[str]:
    """What failed first and passed when it was asked again: no failure, and not nothing."""
    found = [check for check in checks if check.get("unsteady")]
    if not found:
        return []
    count = f"{len(found)} {'check' if len(found) == 1 else 'checks'}"
    lines = ["", f"  {count} failed first and passed when asked again (a busy machine, or a link that comes and goes):"]
    lines += [f"      {check['kind']} {pair(check)}: {check['observed']}" for check in found[:UNSTEADY_SHOWN]]
    return lines + (
        [f"      and {len(found) - UNSTEADY_SHOWN} more in the report"] if len(found) > UNSTEADY_SHOWN else []
    )


def sentence(report: dict[str, t.Any], folder: str | None) -> str:
    """A failed run in one sentence."""
    total = report["passed"] + report["failed"]
    causes = report["causes"]
    text = (
        f"{report['failed']} of {total} checks failed, for {len(causes)} {'cause' if len(causes) == 1 else 'causes'}: "
    )
    text += "; ".join(cause["title"] for cause in causes[:CAUSES_SHOWN]) + (
        f" and {len(causes) - CAUSES_SHOWN} more" if len(causes) > CAUSES_SHOWN else ""
    )
    return text + (f". The report is {folder}/verify.json." if folder else ".")


def _spread(values: t.Sequence[tuple[float, dict]], unit: str, slowest: int, digits: int) -> str:
    """The median and the slowest with its pair. slowest: where in the sorted values that one is."""
    ordered = sorted(values, key=lambda value: value[0])
    value, check = ordered[slowest]
    median = ordered[len(ordered) // 2][0]
    digits = digits if median >= 10 else max(1, digits)
    return f"median {median:.{digits}f} {unit}, slowest {value:.{digits}f} ({pair(check)})"


def _times(by_kind: dict[str, list[dict]]) -> list[str]:
    lines = []
    for kind, name in (("tep-ping", "round trip over the underlay"), ("ping", "round trip of endpoints")):
        values = [(check["rtt_ms"], check) for check in by_kind.get(kind, ()) if check.get("rtt_ms")]
        if values:
            lines.append(f"  {name:28}  {_spread(values, 'ms', -1, 2)}")
    return lines


def _rates(report: dict[str, t.Any]) -> list[str]:
    """The rates of transfers, one TCP connection each, that were long enough, beside the underlay's own."""
    rows = [("TCP over the underlay", [(way["mbit_per_second"], way) for way in report.get("underlay", ())])]
    for sort, name in (("rated", "TCP between namespaces"), ("guest", "TCP with guests")):
        rows.append(
            (
                name,
                [
                    (c["mbit_per_second"], c)
                    for c in report["checks"]
                    if c.get("sort") == sort and c.get("mbit_per_second")
                ],
            )
        )
    return [f"  {name:28}  {_spread(values, 'Mbit/s', 0, 0)}" for name, values in rows if values]


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
        if check["kind"] not in ("ping", "mtu", "tcp", "connect", "isolation"):
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
    blank = any((one, other) not in found for one in names for other in names if one != other)
    legend = (
        ["  blank: not measured, as too many pairs must be kept apart, or this kind of endpoint cannot ask"]
        if blank
        else []
    )
    return lines + [
        f"  {GOOD} reaches, as planned   {QUIET} kept apart, as planned   {LOST} should reach, does not",
        f"  {LEAK} should not reach, does   {UNPROVEN} kept apart, but nothing showed that it could be told",
        *legend,
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
        lines.append(
            f"  {mark} {source.ljust(width)}  {inside[0]} of {inside[1]} pairs reach each other, {apart[0]} of {apart[1]} kept apart from the others"
        )
    return lines

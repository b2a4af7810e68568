# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections of the page, each from one report. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._drift import show as drift_show
from ansible_collections.overloom.fabric.plugins.plugin_utils._page.markup import Html, join, table, tag
from ansible_collections.overloom.fabric.plugins.plugin_utils._page.plots import Frame, plot
from ansible_collections.overloom.fabric.plugins.plugin_utils._page.things import Thing
from ansible_collections.overloom.fabric.plugins.plugin_utils._status import show
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import draw
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import report as verify_report
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import points_of

Item = t.Dict[str, t.Any]

# A table of who reaches whom has a cell a pair.
MATRIX_SHOWN = 80
ROWS_SHOWN = 500
ROUTING = ("adjacency", "session", "route")
# What the marks of the matrix mean.
MARKS = {
    verify_report.GOOD: ("good", "reaches, as planned"),
    verify_report.QUIET: ("quiet", "kept apart, as planned"),
    verify_report.LOST: ("wrong", "should reach, does not"),
    verify_report.LEAK: ("wrong", "should not reach, does"),
    verify_report.UNPROVEN: ("doubt", "kept apart, but nothing showed that it could be told"),
}


def mark(passed: bool) -> Html:
    """Whether something is as planned."""
    return tag("span", "●" if passed else "✗", class_="good" if passed else "wrong")


def _rows(head: t.Sequence[str], rows: t.Sequence[t.Sequence[t.Any]]) -> Html:
    """A table, and how many rows it does not show."""
    more = len(rows) - ROWS_SHOWN
    rest = tag("p", f"and {more} more in the report") if more > 0 else ""
    return join(table(head, rows[:ROWS_SHOWN]), rest)


def status(report: Item) -> Html:
    """What is not as planned, and how many things of each kind are."""
    counts = [
        (mark(count["good"] == count["planned"]), kind, f"{count['good']} of {count['planned']}")
        for kind, count in report["things"].items()
    ]
    problems = [
        (one["kind"], _pair(one), one["observed"], one["expected"], tag("code", one["look"]))
        for one in report["problems"]
    ]
    told = (
        _rows(("kind", "where", "observed", "planned", "look"), problems) if problems else tag("p", "All as planned.")
    )
    return join(told, table(("", "kind", "as planned"), counts))


def _pair(check: Item) -> str:
    return check["from"] + (f" → {check['to']}" if check["to"] else "")


def verify(report: Item, plan: Item) -> Html:
    """What was measured: causes, the matrix, and each kind of check."""
    causes = [
        tag(
            "article",
            tag("h3", f"✗ {cause['title']}"),
            tag("p", "; ".join(cause["because"])),
            tag("pre", "\n".join(cause["samples"])) if cause["samples"] else "",
            tag("p", "look ", tag("code", cause["look"])) if cause["look"] else "",
        )
        for cause in report.get("causes", ())
    ]
    kinds: dict[str, list[bool]] = {}
    for check in report["checks"]:
        kinds.setdefault(check["kind"], []).append(check["passed"])
    counts = [
        (mark(all(passed)), kind, f"{sum(passed)} of {len(passed)}", verify_report.KINDS.get(kind, ""))
        for kind, passed in kinds.items()
    ]
    failed: dict[str, list[Item]] = {}
    for check in report["checks"]:
        if not check["passed"]:
            failed.setdefault(_pair(check), []).append(check)
    return join(
        tag("p", f"{report['passed']} passed, {report['failed']} failed in {report['seconds']:.1f} s."),
        *causes,
        matrix(report["checks"], points_of(plan)),
        table(("", "kind", "passed", "what it measures"), counts),
        tag("div", *(_failure(where, checks) for where, checks in failed.items()), class_="things") if failed else "",
    )


def failure_id(where: str) -> str:
    """What a cell of the matrix that is not as planned leads to."""
    return f"failure:{where}"


def _failure(where: str, checks: t.Sequence[Item]) -> Html:
    """All that failed of a pair or of a thing, and where to look."""
    parts = [
        _facts(
            {
                "measured": f"{check['kind']}, {verify_report.KINDS.get(check['kind'], '')}".rstrip(", "),
                "observed": check["observed"],
                "planned": check["expected"],
                "look": tag("code", check["look"]) if check["look"] else "",
            }
        )
        for check in checks
    ]
    return tag("article", tag("h3", f"✗ {where}"), *parts, id=failure_id(where), class_="thing")


def matrix(checks: t.Sequence[Item], points: t.Sequence[Item]) -> Html:
    """Who reaches whom: rows measure, columns are measured."""
    if not points:
        return Html("")
    if len(points) > MATRIX_SHOWN:
        return tag("pre", "\n".join(verify_report.segment_table(checks, points)))
    found, names = verify_report.cells(checks), [point["id"] for point in points]

    def cell(source: str, target: str) -> Html:
        shown = found.get((source, target), "")
        kind, meaning = MARKS.get(shown, ("", "not measured"))
        if source == target:
            shown, kind, meaning = "–", "", "itself"
        wrong = shown in (verify_report.LOST, verify_report.LEAK, verify_report.UNPROVEN)
        content = tag("a", shown, href=f"#{failure_id(f'{source} → {target}')}", class_="reason") if wrong else shown
        return tag("td", content, class_=kind or None, title=f"{source} → {target}: {meaning}")

    head = [tag("th", "from \\ to"), *(tag("th", number, title=name) for number, name in enumerate(names, 1))]
    rows = []
    for number, source in enumerate(names, 1):
        measured = [cell(source, target) for target in names]
        rows.append(tag("tr", tag("th", f"{number} {source}", scope="row"), *measured))
    legend = [tag("li", tag("span", shown, class_=kind), f" {meaning}") for shown, (kind, meaning) in MARKS.items()]
    return join(
        tag("div", tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_="matrix"), class_="wide"),
        tag("ul", *legend, class_="legend"),
    )


def routing(report: Item) -> Html:
    """Adjacencies, sessions and routes as verify found them."""
    rows = [
        (mark(check["passed"]), check["kind"], check["from"], check["to"], check["observed"], check["expected"])
        for check in report["checks"]
        if check["kind"] in ROUTING
    ]
    head = ("", "kind", "router", "with, to", "observed", "planned")
    return _rows(head, rows) if rows else tag("p", "The fabric has no routers.")


def drift(report: Item) -> Html:
    """What differs from the intent, what is orphaned, what is others', and the commands that repair it."""
    hosts = [(mark(state == "compared"), name, state) for name, state in report["hosts"].items()]
    differing = []
    for one in report["differing"]:
        details = join(*(tag("div", _detail(detail)) for detail in one["details"]))
        differing.append((one["host"], one["thing"], "not there" if one["kind"] == "missing" else "", details))
    repairs = [
        tag("pre", f"on {one['host']} ({one['concern']}):\n" + "\n".join(map(str, one["commands"])))
        for one in report["repairs"]
    ]
    parts: list[t.Any] = [
        tag("p", "No drift." if report["passed"] else drift_show.sentence(report)),
        table(("", "host", "state"), hosts),
    ]
    if report["failed"]:
        parts.append(_rows(("host", "task", "error"), [(f["host"], f["task"], f["msg"]) for f in report["failed"]]))
    if differing:
        parts += [tag("h3", "Differs from the intent"), _rows(("host", "thing", "", "found and planned"), differing)]
    for title, name, kind in (
        ("Of the fabric, and no longer in the intent", "orphaned", "thing"),
        ("Of others, and left alone", "foreign", "name"),
    ):
        rows = [
            (one["host"], one[kind] if name == "orphaned" else f"{one['kind']} {one['name']}") for one in report[name]
        ]
        parts += [tag("h3", title), _rows(("host", "thing"), rows)] if rows else []
    return join(*parts, tag("details", tag("summary", "Commands of site.yml"), *repairs) if repairs else "")


def _detail(detail: Item) -> str:
    return f"{detail['option']}: {drift_show.value(detail['is'])}; planned: {drift_show.value(detail['planned'])}"


def trace(report: Item) -> Html:
    """The last packet that was followed."""
    return tag("pre", "\n".join(draw.lines(report)))


def traced(report: Item) -> str:
    """What the last trace is on the picture, in words."""
    packet, died = report["packet"], report["died"]
    ended = f"; it dies at {died['at']['kind']} {died['at']['name']} on {died['at']['host']}" if died else ""
    return f"Outlined: the way of {packet['protocol']} from {report['from']} to {report['to']} and back{ended}."


def rates(report: Item) -> Html:
    """What each tunnel carried in the last runs of status, all drawn to one scale."""
    times, tunnels = report["times"], report["tunnels"]
    drawn = [row["rates"][way] for row in tunnels for way in ("tx", "rx")]
    known = [rate for rates in drawn for rate in rates if rate is not None]
    if not known:
        return tag("p", "A rate is known from the second run of status on.")
    frame = Frame(times[0], times[-1], max(known))
    head = ("host", "tunnel", "out", "", "in", "")
    rows = [
        (row["host"], row["name"], *_plotted(times, row, "tx", frame), *_plotted(times, row, "rx", frame))
        for row in tunnels
    ]
    told = f"{len(times)} runs in {times[-1] - times[0]:.0f} s; the upper edge of each plot is {show.rate(max(known))}."
    return join(tag("p", told), _rows(head, rows))


def _plotted(times: t.Sequence[float], row: Item, way: str, frame: Frame) -> tuple[Html, str]:
    """The plot of a tunnel's rates in one direction, and the last rate."""
    values = row["rates"][way]
    last = row[f"{way}_rate"]
    return plot(times[-len(values) :], values, frame), "" if last is None else show.rate(last)


def _facts(facts: t.Mapping[str, t.Any], sources: t.Mapping[str, str] | None = None) -> Html:
    """A table of what is known, without what is empty. sources: tooltips."""
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", _value(value), title=(sources or {}).get(name)))
        for name, value in facts.items()
        if value not in (None, "", [], {})
    ]
    return tag("table", tag("tbody", *rows))


def details(thing: Thing) -> Html:
    """All that is known of a thing; the origin of a value is its tooltip."""
    problems = [tag("p", line, class_="wrong") for line in thing.verdict.problems]
    return tag(
        "article",
        tag("h3", thing.verdict.mark(f"{thing.kind} {thing.name}".strip())),
        *problems,
        _facts(thing.facts, thing.sources),
        id=thing.id,
        class_="thing",
    )


def _value(value: t.Any) -> t.Any:
    """A value as a person reads it, a part of a thing on a line of its own."""
    if isinstance(value, Html):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_value(one)}" for key, one in value.items() if one not in (None, "", [], {}))
    if isinstance(value, list):
        if any(isinstance(one, dict) for one in value):
            return join(*(tag("div", _value(one)) for one in value))
        return ", ".join(str(_value(one)) for one in value)
    return str(value)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fabric on one page that needs nothing else: the picture, what the last reports say, and the details of each thing. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram import edges, tables
from ansible_collections.overloom.fabric.plugins.plugin_utils._page import sections, trail
from ansible_collections.overloom.fabric.plugins.plugin_utils._page.markup import Html, join, tag
from ansible_collections.overloom.fabric.plugins.plugin_utils._page.things import Thing, things

Item = t.Dict[str, t.Any]

_HERE = os.path.dirname(__file__)


class Report(t.NamedTuple):
    """A report of another playbook. written: seconds since the epoch."""

    data: Item
    written: float


class Section(t.NamedTuple):
    """A section that is made of a report."""

    name: str
    title: str
    report: str
    make: t.Callable[[Item, Item], Html]


SECTIONS = (
    Section("status", "Status", "status", lambda report, _plan: sections.status(report)),
    Section("rates", "Rates", "status", lambda report, _plan: sections.rates(report)),
    Section("verify", "Verify", "verify", sections.verify),
    Section("routing", "Adjacencies and routes", "verify", lambda report, _plan: sections.routing(report)),
    Section("drift", "Drift", "drift", lambda report, _plan: sections.drift(report)),
    Section("trace", "Trace", "trace", lambda report, _plan: sections.trace(report)),
)
REPORTS = tuple(dict.fromkeys(section.report for section in SECTIONS))

# What the picture's colors are where the reader wants it dark.
DARK = {
    "white": "#14181d",
    tables.PLAIN: "#1b2127",
    tables.HEAD: "#33414f",
    tables.BRIDGE: "#252d35",
    tables.LINE: "#8a99a8",
    tables.GOOD: "#1f4d27",
    tables.WRONG: "#6b2323",
    edges.BROKEN: "#ff8a80",
    edges.ROUTING: "#6fce7f",
    **dict(
        zip(tables.SEGMENTS, ("#4d4315", "#17405c", "#43285a", "#5a3520", "#17493e", "#572238", "#434820", "#2b3168"))
    ),
    **dict(zip(edges.OVERLAYS, ("#82b7ff", "#d59bea", "#5fd0c0", "#ffb74d", "#c9a594", "#a9bac4"))),
}


def page(
    plan: Item,
    svg: str,
    groups: t.Mapping[str, t.Sequence[str]],
    reports: t.Mapping[str, Report],
    now: float,
) -> str:
    """The page as a text.

    svg: the picture, of dot.unseal(). groups: the inventory's groups with their hosts. reports: by the names of REPORTS, those that there
    are of this fabric, that of status being usable(). now: seconds since the epoch.
    """
    status = reports.get("status")
    made = [_section(section, plan, reports) for section in SECTIONS]
    links = [("picture", "Picture"), *((section.name, section.title) for section in SECTIONS), ("things", "Things")]
    style, script = Html(_file("page.css") + _dark()), Html(_file("page.js"))
    title = f"fabric {plan['fabric']}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        # Nothing is loaded, and no other script runs than this one.
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}",
        ),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", style),
    )
    body = tag(
        "body",
        tag(
            "header",
            tag("h1", title),
            tag("nav", *(join(tag("a", text, href=f"#{name}"), " ") for name, text in links)),
            tag("input", id="search", type="search", placeholder="Search", aria_label="Search", hidden="hidden"),
        ),
        tag("p", f"Written {_when(now)} from the plan of the inventory."),
        tag("section", *_picture(svg, reports.get("trace"), plan), id="picture"),
        tag("aside", id="panel"),
        *made,
        tag(
            "section", tag("h2", "Things"), *_things(things(plan, groups, status.data if status else None)), id="things"
        ),
        tag("script", script),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _section(section: Section, plan: Item, reports: t.Mapping[str, Report]) -> Html:
    """A section, or which playbook would fill it."""
    report = reports.get(section.report)
    if not report:
        content = tag("p", "No report; ", tag("code", f"playbooks/{section.report}.yml"), " writes one.")
    else:
        content = join(tag("p", f"As of {_when(report.written)}."), _made(section, report, plan))
    return tag("section", tag("h2", section.title), content, id=section.name)


def _made(section: Section, report: Report, plan: Item) -> Html:
    """What a section says. A report of another release may lack what this one has."""
    try:
        return section.make(report.data, plan)
    except (AttributeError, KeyError, TypeError, ValueError):
        return tag("p", f"{section.report}.json has another form than this release writes.")


def _things(found: t.Sequence[Thing]) -> list[Html]:
    groups: dict[str, list[Html]] = {}
    for thing in found:
        groups.setdefault(thing.kind, []).append(sections.details(thing))
    return [tag("div", *group, class_="things") for group in groups.values()]


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _picture(svg: str, trace: Report | None, plan: Item) -> list[Html]:
    """The picture, with the last trace on it where there is one."""
    inline = _inline(svg)
    try:
        drawn = trail.marked(inline, trace.data, plan) if trace else inline
        told = sections.traced(trace.data) if trace else ""
    except (AttributeError, KeyError, TypeError, ValueError):
        drawn, told = inline, ""
    return [tag("div", Html(drawn), class_="picture"), tag("p", told, class_="legend") if told else Html("")]


def _inline(svg: str) -> Html:
    """The picture without what only a document of its own has."""
    return Html(re.sub(r"<!--.*?-->\n?", "", svg[svg.index("<svg") :], flags=re.DOTALL))


def _dark() -> str:
    """The rules for the picture's colors in the dark."""
    rules = [
        f'.picture [{attribute}="{light}"] {{ {attribute}: {dark}; }}'
        for light, dark in DARK.items()
        for attribute in ("fill", "stroke")
    ]
    rules.append(".picture text:not([fill]) { fill: var(--text); }")
    return "@media screen and (prefers-color-scheme: dark) {\n" + "\n".join(rules) + "\n}\n"


def _hash(content: str) -> str:
    """What a content security policy calls a piece of a page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode('utf-8')).digest()).decode()}'"


def _file(name: str) -> str:
    with open(os.path.join(_HERE, name), encoding="utf-8") as stream:
        return stream.read()

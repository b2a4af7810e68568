# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a fabric: all of it is there, it needs nothing else, and no text of the plan or of a report is anything but text."""

from __future__ import annotations

import base64
import copy
import hashlib
import html.parser
import json
import re
import subprocess
import typing as t
import urllib.parse

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram import dot, picture, state
from ansible_collections.overloom.fabric.plugins.plugin_utils._drift import report as drift_report
from ansible_collections.overloom.fabric.plugins.plugin_utils._page import markup, page, plots, sections, trail
from ansible_collections.overloom.fabric.plugins.plugin_utils._page.things import Thing, things
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._status import summary
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import walk
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Packet, Route
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import report as verify_report
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.causes import causes
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations, points_of
from ansible_collections.overloom.fabric.tests.unit.intents import INVENTORIES, SPEC, inventory, inventory_plan
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.status_seen import PLAN, host_as_read

Item = t.Dict[str, t.Any]

ROOM = sections.__file__.rpartition("/")[0]
EMPTY = ("meta", "input")
# What SVG has beside HTML here, as `dot` writes it.
DRAWN = {"svg", "g", "polygon", "path", "text", "a", "title", "polyline", "ellipse", "circle"}
KNOWN = {
    *DRAWN, "html", "head", "meta", "style", "body", "header", "h1", "h2", "h3", "nav", "input", "p", "section", "div", "aside", "script", "table",
    "thead", "tbody", "tr", "th", "td", "article", "pre", "code", "span", "ul", "li", "details", "summary",
}  # fmt: skip


class Page(html.parser.HTMLParser):
    """A page as a browser reads it; elements that are not closed in order fail."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.contents: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self.texts: list[str] = []
        self.raw = text
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in KNOWN, tag
        given_ = {name: value or "" for name, value in attrs}
        assert not [name for name in given_ if name.startswith("on") or name in ("src", "style", "action")], given_
        self.elements.append((tag, given_))
        self.ids += [given_["id"]] if "id" in given_ else []
        self.links += [given_[name] for name in ("href", "xlink:href") if name in given_]
        if tag in self.contents:
            self.contents[tag].append("")
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # In SVG an element may close itself.
        self.handle_starttag(tag, attrs)
        if tag not in EMPTY:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.contents:
            self.contents[self.open[-1]][-1] += data
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        assert decl == "DOCTYPE html"

    def things(self) -> set[str]:
        """The ids of the things that have details."""
        return {given_["id"] for tag, given_ in self.elements if given_.get("class") == "thing" and tag == "article"}


def drawn(plan: Item, groups: t.Mapping[str, t.Sequence[str]], status: Item | None = None) -> str:
    text = picture.picture(plan, groups=groups, status=status)
    done = subprocess.run(["dot", "-Tsvg"], input=text.encode("utf-8"), capture_output=True, check=True)
    return dot.unseal(done.stdout.decode("utf-8"))


def made(plan: Item, reports: t.Mapping[str, Item] | None = None, groups: Item | None = None, svg: str = "") -> Page:
    read = {name: page.Report(report, 1_700_000_000.0) for name, report in (reports or {}).items()}
    svg = svg or drawn(plan, groups or {}, (reports or {}).get("status"))
    return Page(page.page(plan, svg, groups or {}, read, 1_700_000_100.0))


def reports_of(plan: Item, seen: Item) -> dict[str, Item]:
    """What each playbook reports of PLAN. seen: what status read; nothing was measured, so verify has failures of all kinds."""
    expected = expectations(plan)
    checks = judge.judge(plan, expected, {})
    verify = verify_report.summary(plan["fabric"], checks, 1.5, expected["isolation"])
    verify["causes"] = causes(plan, checks, {})
    differing = {
        "changed": True,
        "commands": ["ovs-vsctl set port a tag=1"],
        "diff": {"before": "", "after": ""},
    }
    others = {"others": [{"kind": "bridge", "name": "br-x", "owner": "somebody", "traces": ["a controller"]}]}
    drift = drift_report.report(
        plan,
        {
            "kvm1": {
                "others": others,
                "failed": [{"task": "a task", "msg": "an error"}],
                "made": {"kvm_host_made_bridges": differing},
            }
        },
    )
    drift["differing"] = [
        {
            "host": "kvm1",
            "thing": "tunnel x",
            "kind": "different",
            "details": [{"option": "key", "is": None, "planned": [1]}],
        },
        {"host": "kvm1", "thing": "tunnel y", "kind": "missing", "details": []},
    ]
    drift["orphaned"] = [{"host": "kvm1", "thing": "tunnel z", "kind": "orphaned", "details": []}]
    packet = Packet("icmp", None, 84)
    trace = walk.judge(Route(plan, "kvm1/a", "kvm2/b", packet), {}, None)
    return {
        "status": summary.report(plan, seen, 1_700_000_000.0),
        "verify": verify,
        "drift": drift,
        "trace": json.loads(json.dumps({"fabric": plan["fabric"], **trace})),
    }


SEEN = {"kvm1": host_as_read("kvm1"), "kvm2": {"unreachable": True, "msg": "no route"}}
REPORTS = reports_of(PLAN, SEEN)
SVG = drawn(PLAN, {}, REPORTS["status"])


@pytest.mark.parametrize("name", INVENTORIES)
def test_each_link_of_the_picture_leads_to_the_details_of_a_thing(name: str) -> None:
    plan, groups = inventory_plan(name)
    shown = made(plan, groups=groups)
    linked = {urllib.parse.unquote(link[1:]) for link in shown.links if ":" in link}
    assert linked and linked <= shown.things()
    assert sorted(shown.ids) == sorted(set(shown.ids))
    assert {f"endpoint:{point['id']}" for point in points_of(plan)} <= linked
    assert {f"host:{host}" for host in {**plan["hosts"], **plan["routers"]}} <= linked


def test_each_link_of_a_folded_picture_does_too() -> None:
    common = {"fabric_name": "f", "fabric_segments": [{"name": "web", "vlan": 1, "subnet": "10.1.0.0/16"}]}
    point = {"fabric_endpoints": [{"name": "a", "segment": "web"}]}
    plan = compile_plan({f"kvm{n}": {**common, **point} for n in range(1, 31)}, SPEC)
    groups = {
        "kvm_hosts": list(plan["hosts"]),
        **{f"rack{n}": list(plan["hosts"])[n * 10 : n * 10 + 10] for n in range(3)},
    }
    shown = made(plan, groups=groups)
    linked = {urllib.parse.unquote(link[1:]) for link in shown.links if ":" in link}
    assert linked <= shown.things() and {"group:rack0", "host:kvm30", "overlay:vxlan"} <= linked
    assert "tunnel:vxlan/kvm1/kvm30" in shown.things()


def test_the_page_needs_nothing_else_and_runs_its_own_script_only() -> None:
    shown = made(PLAN, REPORTS)
    assert all(link.startswith("#") for link in shown.links)
    assert not re.search(r"(?i)https?://(?!www\.(w3|gnu)\.org/)", shown.raw)
    (script,), (style,) = shown.contents["script"], shown.contents["style"]
    policy = next(
        given_["content"] for tag, given_ in shown.elements if given_.get("http-equiv") == "Content-Security-Policy"
    )
    hashes = {
        base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode(): kind
        for text, kind in ((script, "script-src"), (style, "style-src"))
    }
    assert policy == "default-src 'none'; " + "; ".join(
        f"{kind} 'sha256-{digest}'" for digest, kind in sorted(hashes.items(), key=lambda one: one[1], reverse=True)
    )
    with open(f"{ROOM}/page.js", encoding="utf-8") as stream:
        assert script == stream.read()


def test_a_page_of_nothing_but_the_plan_says_which_playbooks_would_tell_more() -> None:
    shown = "".join(made(PLAN).texts)
    for name in page.REPORTS:
        assert f"No report; playbooks/{name}.yml writes one." in shown


def test_all_reports_are_on_the_page() -> None:
    shown = "".join(made(PLAN, REPORTS).texts)
    for text in (
        "host", "down: no route",  # status
        *(cause["title"] for cause in REPORTS["verify"]["causes"]),
        "key: none; planned: 1", "tunnel z", "bridge br-x", "ovs-vsctl set port a tag=1", "an error",  # drift
        "kvm1/a → kvm2/b: icmp, 84 bytes",  # trace
    ):  # fmt: skip
        assert text in shown
    assert "No report" not in shown and shown.count("As of 2023-11-14 22:13:20 UTC.") == len(page.SECTIONS)
    assert "another form" not in shown


@pytest.mark.parametrize("name", page.REPORTS)
@given(key=st.data())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_report_of_another_release_costs_its_section_only(name: str, key: st.DataObject) -> None:
    report = copy.deepcopy(REPORTS[name])
    report[key.draw(st.sampled_from(sorted(report)))] = key.draw(
        st.sampled_from([None, 7, "text", ["text"], [None], {"a": None}])
    )
    if name != "status" or state.usable(report):
        texts = "".join(made(PLAN, {**REPORTS, name: report}, svg=SVG).texts)
        assert "Things" in texts and "kvm1/a" in texts


def test_the_matrix_shows_what_verify_shows() -> None:
    checks, points = REPORTS["verify"]["checks"], points_of(PLAN)
    found = verify_report.cells(checks)
    text = sections.matrix(checks, points)
    for (source, target), shown in found.items():
        kind, meaning = sections.MARKS[shown]
        reason = f'<a href="#failure:{source} → {target}" class="reason">{shown}</a>'
        content = shown if kind in ("good", "quiet") else reason
        assert f'<td class="{kind}" title="{source} → {target}: {meaning}">{content}</td>' in text
    assert "wrong" in {sections.MARKS[shown][0] for shown in found.values()}
    many = [{**points[0], "id": f"h/{number}"} for number in range(sections.MATRIX_SHOWN + 1)]
    assert "pairs reach each other" in sections.matrix([], many)


def test_each_failure_of_verify_has_its_reason_and_a_cell_leads_there() -> None:
    shown = made(PLAN, REPORTS, svg=SVG)
    failed = [check for check in REPORTS["verify"]["checks"] if not check["passed"]]
    places = {sections.failure_id(sections._pair(check)) for check in failed}
    assert places == {one for one in shown.things() if one.startswith("failure:")}
    assert {link[1:] for link in shown.links if link.startswith("#failure:")} <= places
    texts = "".join(shown.texts)
    assert all(check["observed"] in texts and check["look"] in texts for check in failed)


def walked(*hops: tuple[str, str, str], died: int | None = None) -> Item:
    """A report of trace whose packet goes there by these hops, and whose answer is lost at once."""
    way = {"hops": [{"host": host, "kind": kind, "name": name, "notes": []} for host, kind, name in hops]}
    end = None if died is None else {"direction": "there", "hop": died, "at": way["hops"][died]}
    return {"there": way, "back": None, "died": end}


def test_the_last_trace_is_on_the_picture() -> None:
    hops = (
        ("kvm1", "endpoint", "kvm1/a"),
        ("kvm1", "port", "a-eth0"),
        ("kvm1", "switch", "br-int"),
        ("kvm1", "tunnel", "vxlan-kvm2"),
        ("kvm2", "underlay", "kvm2"),
    )
    met, died = trail.trail(walked(*hops, died=3), PLAN)
    assert {"host:kvm1", "endpoint:kvm1/a", "bridge:kvm1/br-int", "tunnel:vxlan/kvm1/kvm2", "host:kvm2"} <= met
    assert "endpoint:kvm2/b" not in met and died == {"tunnel:vxlan/kvm1/kvm2"}
    assert trail.trail(walked(*hops, died=1), PLAN)[1] == {"host:kvm1"}
    assert trail.trail(walked(*hops), PLAN)[1] == set()
    drawn_ = trail.marked(SVG, walked(*hops, died=3), PLAN)
    classes = dict(re.findall(r'<a class="([^"]*)" xlink:href="#([^"]*)"', drawn_))
    assert set(classes) == {"traced", "traced died"} and drawn_.count("<a ") == SVG.count("<a ")
    assert re.search(r'<a xlink:href="#endpoint:kvm2/b"', drawn_)
    assert re.search(r'<a class="traced died" xlink:href="#tunnel:vxlan/kvm1/kvm2"', drawn_)


def test_a_link_between_two_hosts_of_the_way_is_on_it() -> None:
    plan, _groups = inventory_plan("lab")
    met, _died = trail.trail(walked(("kvm1", "underlay", "kvm1"), ("r1", "router", "r1")), plan)
    names = {link["name"] for link in plan["links"] if {end["host"] for end in link["ends"]} == {"kvm1", "r1"}}
    assert names and {f"link:{name}" for name in names} <= met


def test_rates_are_drawn_from_the_second_run_on() -> None:
    assert "from the second run of status on" in sections.rates(REPORTS["status"])
    row = {"host": "kvm1", "name": "vxlan-kvm2", "tx_rate": 2_000_000, "rx_rate": None}
    rates = {"tx": [None, 1_000_000, 2_000_000], "rx": [None, None, None]}
    text = sections.rates({"times": [0.0, 60.0, 120.0], "tunnels": [{**row, "rates": rates}]})
    assert "3 runs in 120 s" in text and "2 Mbit/s" in text and text.count("<polyline") == 1


@given(st.lists(st.one_of(st.none(), st.integers(0, 10**12)), max_size=40))
def test_a_plot_stays_in_its_frame_and_has_a_gap_where_nothing_is_known(values: list[int | None]) -> None:
    times = [float(number) for number in range(len(values))]
    top = max([one for one in values if one is not None], default=0)
    frame = plots.Frame(times[0] if times else 0, times[-1] if times else 0, top)
    lines = plots._parts(times, values, frame)
    assert sum(map(len, lines)) == sum(value is not None for value in values)
    assert all(0 < x < plots.WIDTH and 0 < y < plots.HEIGHT for line in lines for x, y in line)
    assert len(lines) == len("".join(" " if value is None else "x" for value in values).split())


def test_every_color_of_a_picture_has_one_in_the_dark() -> None:
    seen = set()
    for name in ("vxlan", "lab", "bgp_k8s"):
        hosts, routers, groups = inventory(name)
        seen |= set(re.findall(r'(?:fill|stroke)="([^"]+)"', drawn(compile_plan(hosts, SPEC, routers=routers), groups)))
    seen |= set(re.findall(r'(?:fill|stroke)="([^"]+)"', SVG))
    assert seen - {"none", "transparent"} <= set(page.DARK)
    assert len(set(page.DARK.values())) == len(page.DARK)


def test_the_origin_of_a_value_is_at_the_value() -> None:
    point = next(one for one in things(PLAN, {}, None) if one.id == "endpoint:kvm1/a")
    assert re.search(r'<td title="(given|derived|allocated)[^"]*">10\.1\.1\.\d+</td>', sections.details(point))


def test_problems_of_status_are_with_their_things() -> None:
    found = {one.id: one.verdict.state for one in things(PLAN, {}, REPORTS["status"])}
    assert found["host:kvm2"] == "wrong" and found["endpoint:kvm1/a"] == "good" and found["endpoint:kvm2/b"] == ""


# Texts

SPECIAL = [
    "</script>",
    "<script>alert(1)</script>",
    "</style>",
    "-->",
    "<!--",
    "]]>",
    "&lt;",
    '"',
    "'",
    "<img src=x onerror=1>",
    "\\",
    "`",
    "é",
    "\x00",
    "\n",
]
TEXTS = st.lists(st.one_of(st.sampled_from(SPECIAL), st.text(max_size=5)), max_size=5).map("".join)


def shown_as(text: str) -> str:
    """What HTML can hold of a text; a browser reads each end of a line as a line feed."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", text)


@given(TEXTS, TEXTS)
def test_a_text_is_text_in_an_element_and_in_an_attribute(content: str, value: str) -> None:
    read = Page(markup.tag("p", content, title=value))
    assert "".join(read.texts) == shown_as(content)
    assert read.elements == [("p", {"title": shown_as(value)})]


@given(TEXTS)
def test_a_piece_in_an_attribute_is_text_too(value: str) -> None:
    piece = markup.tag("b", value)
    assert Page(markup.tag("p", title=piece)).elements == [("p", {"title": str(piece)})]


def with_texts(value: t.Any, texts: t.Iterator[str], kept: t.Collection[str]) -> t.Any:
    """Plain data with other texts in the place of its own. kept: keys of those that decide what is shown."""
    if isinstance(value, dict):
        return {key: one if key in kept else with_texts(one, texts, kept) for key, one in value.items()}
    if isinstance(value, list):
        return [with_texts(one, texts, kept) for one in value]
    return next(texts) if isinstance(value, str) else value


@settings(max_examples=30, deadline=None)
@given(st.lists(TEXTS, min_size=3, max_size=12))
def test_no_text_of_a_report_or_of_the_plan_closes_an_element(texts: list[str]) -> None:
    def endless() -> t.Iterator[str]:
        while True:
            yield from texts

    kept = ("kind", "direction", "hosts")
    strange = with_texts(copy.deepcopy(REPORTS), endless(), kept)
    plan = copy.deepcopy(PLAN)
    plan["fabric"], plan["sources"] = texts[0], with_texts(plan["sources"], endless(), ())
    for segment in plan["segments"]:
        segment["subnet"] = texts[1]
    shown = made(plan, strange, {texts[2]: ["kvm1"]}, svg=SVG)
    assert len(shown.contents["script"]) == 1 and len(shown.contents["style"]) == 1
    assert shown.contents["title"][0] == shown_as(f"fabric {texts[0]}")
    thing = Thing("endpoint", texts[0], {texts[1]: [{"a": texts[2]}, texts[0]], "b": texts[1]}, sources={"b": texts[2]})
    read = Page(sections.details(thing))
    assert read.elements[0] == ("article", {"id": shown_as(f"endpoint:{texts[0]}"), "class": "thing"})

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a fabric, as the real `dot` draws it: all of the plan is in it, whatever things are called."""

from __future__ import annotations

import re
import subprocess
import typing as t
import urllib.parse
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram import dot, fold, picture
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._status import summary
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import points_of
from ansible_collections.overloom.fabric.tests.unit.intents import (
    CHECKOUT,
    INVENTORIES,
    SPEC,
    fabrics,
    inventory,
    inventory_plan,
    scale,
)
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.status_seen import PLAN, host_as_read, port

Item = t.Dict[str, t.Any]

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
# Each example starts a program.
few = settings(max_examples=15, deadline=None)


class Drawn:
    """An SVG: its texts, and what it links to with the lines of the tooltips there."""

    def __init__(self, svg: str) -> None:
        self.svg = svg
        root = ET.fromstring(svg)
        # `dot` writes a blank that follows another one as a no-break space.
        self.texts = [(node.text or "").replace("\xa0", " ") for node in root.iter(f"{SVG}text")]
        self.tips: dict[str, list[str]] = {}
        for node in root.iter(f"{SVG}a"):
            link = urllib.parse.unquote(node.attrib[f"{XLINK}href"])
            assert node.attrib[f"{XLINK}href"].startswith("#"), "a picture leads nowhere else"
            self.tips.setdefault(link[1:], []).append(node.attrib[f"{XLINK}title"])

    def of(self, kind: str) -> set[str]:
        """The names of the things of a kind."""
        return {name.partition(":")[2] for name in self.tips if name.startswith(f"{kind}:")}

    @property
    def wrong(self) -> set[str]:
        """What has a problem in its tooltip."""
        return {name for name, tips in self.tips.items() if any("✗" in tip for tip in tips)}


def by_graphviz(text: str) -> Drawn:
    """What `dot` draws without a complaint."""
    done = subprocess.run(["dot", "-Tsvg"], input=text.encode("utf-8"), capture_output=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    return Drawn(dot.unseal(done.stdout.decode("utf-8")))


def draw(plan: Item, *layers: str, **more: t.Any) -> Drawn:
    return by_graphviz(picture.picture(plan, layers or picture.LAYERS, **more))


def fabric(count: int, **overlay: t.Any) -> Item:
    """A fabric of hosts with an endpoint on each of two segments."""
    common = {
        "fabric_name": "f",
        "fabric_overlays": [{"name": "vx", "encapsulation": "vxlan", **overlay}],
        "fabric_segments": [
            {"name": name, "vlan": vlan, "subnet": f"10.{vlan}.0.0/16"} for name, vlan in (("web", 1), ("db", 2))
        ],
    }
    points = [{"name": f"{name}-0", "segment": name} for name in ("web", "db")]
    return compile_plan({f"kvm{i}": {**common, "fabric_endpoints": points} for i in range(1, count + 1)}, SPEC)


def hosts_of(plan: Item) -> set[str]:
    return {*plan["hosts"], *plan["routers"]}


def assert_whole(plan: Item, drawn: Drawn) -> None:
    """Everything of a plan that fits is in its picture, and nothing else."""
    assert drawn.of("host") == hosts_of(plan)
    assert drawn.of("endpoint") == {point["id"] for point in points_of(plan)}
    for name in hosts_of(plan):
        assert name in drawn.texts
    for point in points_of(plan):
        assert point["id"].partition("/")[2] in drawn.texts
    assert drawn.of("bridge") == {
        f"{name}/{one['name']}" for name, host in plan["hosts"].items() for one in host["bridges"]
    }
    assert drawn.of("link") == {link["name"] for link in plan["links"]}
    assert drawn.of("router") == set(plan["routers"])
    sessions = {
        frozenset((name, one["peer"])) for name, router in plan["routers"].items() for one in router["sessions"]
    }
    assert {frozenset(name.split("/")) for name in drawn.of("session")} == sessions
    assert drawn.of("peer") == {
        f"{overlay['name']}/{peer['name']}" for overlay in plan["overlays"] for peer in overlay["peers"]
    }
    assert_tunnels(plan, drawn)


def assert_tunnels(plan: Item, drawn: Drawn) -> None:
    """Each end of each tunnel is at its edge, or counted at the overlay's node."""
    single = {name.partition("/")[0] for name in drawn.of("tunnel")}
    told = "\n".join(tip for name, tips in drawn.tips.items() if name.startswith("tunnel:") for tip in tips)
    for overlay in plan["overlays"]:
        pairs = len(overlay["tunnels"]) + len(overlay["peers"]) * len(plan["hosts"])
        shown = overlay["name"] in single
        assert (overlay["name"] in drawn.of("overlay")) is (pairs > 0 and not shown)
        assert not shown or len([n for n in drawn.of("tunnel") if n.startswith(f"{overlay['name']}/")]) == pairs
        if pairs and not shown:
            assert any(
                re.search(rf"\b{pairs} tunnels?$", tip, re.M) for tip in drawn.tips[f"overlay:{overlay['name']}"]
            )
    if len(single) == sum(bool(overlay["tunnels"] or overlay["peers"]) for overlay in plan["overlays"]):
        teps = {one["host"]: one["address"] for one in plan["teps"]}
        for name, host in plan["hosts"].items():
            for tunnel in host["tunnels"]:
                # Which a tunnel states or, with local_ip: false, does not.
                assert tunnel.get("local_ip", teps[name]) == teps[name]
                assert f"{name}:{tunnel['name']} {teps[name]} → {tunnel['remote_ip']}" in told


@pytest.mark.parametrize("name", INVENTORIES)
def test_all_of_each_inventory_is_in_its_picture(name: str) -> None:
    plan, groups = inventory_plan(name)
    drawn = draw(plan, groups=groups)
    assert_whole(plan, drawn)
    assert f"fabric {plan['fabric']}" in drawn.texts and not drawn.wrong
    assert len(drawn.svg) < 60_000


def test_the_picture_in_the_documentation_is_of_the_default_lab_of_today() -> None:
    hosts, routers, groups = inventory("lab")
    drawn = draw(compile_plan(hosts, SPEC, routers=routers), groups=groups)
    shown = Drawn((CHECKOUT / "docs/images/diagram.svg").read_text(encoding="utf-8"))
    assert (shown.texts, shown.tips) == (drawn.texts, drawn.tips), (
        "draw it anew: make diagram, and copy reports/fabric.svg to docs/images/diagram.svg"
    )


@few
@given(fabrics())
def test_all_of_any_fabric_is_in_its_picture(hosts: Item) -> None:
    plan = compile_plan(hosts, SPEC)
    if all(sum(point["host"] == name for point in points_of(plan)) <= 24 for name in hosts):
        assert_whole(plan, draw(plan))


@pytest.mark.parametrize("count", [2, 4, 5, 12])
@pytest.mark.parametrize(
    "overlay",
    [
        {},
        {"local_ip": False},
        {"topology": "hub_and_spoke", "hubs": ["kvm1"]},
        {"topology": "ring"},
        {"topology": "hub_and_spoke", "hubs": ["kvm1", "kvm2"], "loop_guard": "rstp"},
    ],
    ids=["full_mesh", "no local_ip", "hub", "ring", "two hubs"],
)
def test_hosts_that_fit_are_drawn_one_by_one(count: int, overlay: Item) -> None:
    plan = fabric(count, **overlay)
    assert_whole(plan, draw(plan))


def test_a_mesh_of_more_tunnels_than_six_is_one_node_with_spokes() -> None:
    four, five = draw(fabric(4)), draw(fabric(5))
    assert len(four.of("tunnel")) == 6 and not four.of("overlay")
    assert not five.of("tunnel") and five.of("overlay") == {"vx"}
    assert "10 tunnels" in five.texts
    # The node and its spokes.
    assert len(five.tips["overlay:vx"]) == 1 + 5


@pytest.mark.parametrize("count", [13, 50])
def test_more_hosts_share_a_box_for_each_group_with_what_is_in_it_by_number(count: int) -> None:
    plan = fabric(count)
    groups = {"kvm_hosts": list(plan["hosts"]), "all": list(plan["hosts"])}
    for number, host in enumerate(plan["hosts"]):
        groups.setdefault(f"rack{number // 10}", []).append(host)
    drawn = draw(plan, groups=groups)
    assert drawn.of("host") == set(plan["hosts"]) and not drawn.of("endpoint")
    racks = {name: len(members) for name, members in groups.items() if name.startswith("rack")}
    assert drawn.of("group") == set(racks)
    for size in racks.values():
        assert f"{size} hosts" in drawn.texts and f"{size} endpoints" in drawn.texts and f"× {size}" in drawn.texts
    assert f"{count * (count - 1) // 2} tunnels" in drawn.texts
    assert f"{count} hosts, 2 segments, {2 * count} endpoints, {count * (count - 1) // 2} tunnels" in drawn.texts


def test_links_and_sessions_between_boxes_are_counted_and_those_inside_are_not_drawn() -> None:
    common = {
        "fabric_name": "f",
        "fabric_links": [{"ends": [f"r{n}:eth1", f"r{n + 1}:eth2"]} for n in range(1, 14)],
        "fabric_bgp": {"asn": "65000"},
    }
    routers = {f"r{n}": {**common, "fabric_host_id": n} for n in range(1, 15)}
    for first, second in (("r7", "r8"), ("r1", "r2")):
        for one, other in ((first, second), (second, first)):
            routers[one] = {**routers[one], "fabric_bgp": {"asn": "65000", "neighbors": [{"name": other}]}}
    plan = compile_plan({}, SPEC, routers=routers)
    groups = {"routers": list(routers), "low": list(routers)[:7], "high": list(routers)[7:]}
    drawn = draw(plan, groups=groups)
    assert drawn.of("host") == set(routers) and drawn.of("group") == {"low", "high"}
    assert drawn.of("link") == {"r7-r8"} and drawn.of("session") == {"r7/r8"}


def test_of_many_endpoints_on_a_host_the_numbers_are_shown() -> None:
    drawn = draw(compile_plan(scale(200), SPEC))
    assert not drawn.of("endpoint") and drawn.of("host") == {f"kvm{n}" for n in range(1, 11)}
    shown = [text for text in drawn.texts if re.fullmatch(r"\d+ endpoints?", text)]
    assert sum(int(text.split()[0]) for text in shown) == 400


LAYERS = {
    "underlay": {"host", "bridge", "underlay", "link"},
    "overlay": {"host", "bridge", "segment", "endpoint", "tunnel", "peer"},
    "routing": {"host", "router", "adjacency", "session"},
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", ["lab", "vxlan", "ospf", "ospf_interop", "bgp_k8s"])
def test_a_layer_has_its_own_kinds_of_things(name: str, layer: str) -> None:
    plan, _groups = inventory_plan(name)
    kinds = {link.partition(":")[0] for link in draw(plan, layer).tips}
    # Adjacencies of more than two ends need the node of their link.
    assert kinds <= LAYERS[layer] | ({"link"} if layer == "routing" else set())
    assert draw(plan, layer).of("host") == hosts_of(plan)


def test_all_layers_have_kinds_of_their_own_somewhere() -> None:
    seen: dict[str, set[str]] = {layer: set() for layer in LAYERS}
    for name in INVENTORIES:
        plan, _groups = inventory_plan(name)
        for layer in LAYERS:
            seen[layer] |= {link.partition(":")[0] for link in draw(plan, layer).tips}
    assert {layer: kinds >= LAYERS[layer] for layer, kinds in seen.items()} == dict.fromkeys(LAYERS, True)


# Names

SPECIAL = [
    "<b>",
    "&lt;",
    "&amp;lt;",
    "&#10;",
    '"',
    "\\",
    "\\N",
    '\\"',
    "'",
    "]]>",
    "-->",
    "<!--",
    ">",
    "{",
    "%41",
    "ä",
    "日本",
    "😀",
]
NAMES = st.lists(st.one_of(st.sampled_from(SPECIAL), st.text(max_size=6)), max_size=6).map("".join)


def shown_as(name: str) -> str:
    """What XML can hold of a name."""
    return re.sub("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ue000-\ue006\ufffe\uffff]", "\ufffd", name)


@settings(max_examples=40, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=12, unique=True))
def test_names_come_back_from_graphviz_as_they_are(names: list[str]) -> None:
    lines = ["graph g { node [shape=plain]"]
    for number, name in enumerate(names):
        table = dot.table([[dot.cell(dot.lines(dot.text(name)), dot.reference("cell", name), [name, "second"])]])
        lines.append(dot.node(f"n{number}", table))
        tips = dict.fromkeys(("tooltip", "labeltooltip"), f"{name}\nsecond")
        edge = {"href": dot.reference("edge", name), **tips, "label": name}
        lines.append(dot.edge(f"n{number}", "n0" if number else "m", edge))
    drawn = by_graphviz("\n".join([*lines, "}"]))
    for name in names:
        plain = name.encode("utf-8", "replace").decode()
        for kind in ("cell", "edge"):
            # Of two spaces, `dot` makes the second one that does not collapse.
            tips = {tip.replace("\xa0", " ") for tip in drawn.tips[f"{kind}:{plain}"]}
            assert tips == {f"{shown_as(name)}\nsecond".replace("\xa0", " ")}
        shown = " ".join(shown_as(" ".join(name.split())).split())
        assert not shown or any(" ".join(text.split()) == shown for text in drawn.texts), (shown, drawn.texts)


def named(names: t.Sequence[str]) -> Item:
    common = {
        "fabric_name": "f",
        "fabric_overlays": [{"encapsulation": "gre"}],
        "fabric_segments": [{"name": "web", "vlan": 1, "subnet": "10.1.0.0/16"}],
        "fabric_endpoints": [{"name": "a", "segment": "web"}],
    }
    return compile_plan({name: {**common, "fabric_host_id": n} for n, name in enumerate(names, 1)}, SPEC)


@few
@given(st.lists(NAMES.filter(str.strip), min_size=2, max_size=3, unique_by=shown_as))
def test_hosts_and_groups_may_have_any_name(names: list[str]) -> None:
    plan = named(names)
    plain = {name.encode("utf-8", "replace").decode() for name in names}
    assert draw(plan).of("host") == plain
    assert draw(plan).of("endpoint") == {f"{name}/a" for name in plain}


# State


def status(**changed: t.Callable[[Item], t.Any]) -> Item:
    """The report of status on the two hosts of PLAN, after changes."""
    seen = {host: host_as_read(host) for host in PLAN["hosts"]}
    for change in changed.values():
        change(seen)
    return summary.report(PLAN, seen, 1_700_000_000.0)


CHANGES: dict[str, tuple[t.Callable[[Item], t.Any], set[str]]] = {
    "port": (lambda seen: port(seen, "kvm1", "v-a").update(tag=77), {"host:kvm1", "endpoint:kvm1/a"}),
    "tunnel": (lambda seen: seen["kvm1"].update(tunnels=[]), {"host:kvm1", "tunnel:vxlan/kvm1/kvm2"}),
    "bridge": (lambda seen: seen["kvm1"]["bridges"][-1].update(flow_count=0), {"host:kvm1", "bridge:kvm1/br-int"}),
    "namespace": (lambda seen: seen["kvm2"].update(namespaces=[]), {"host:kvm2", "endpoint:kvm2/b"}),
    "guest": (lambda seen: seen["kvm1"].update(guests={"vm": "shut off"}), {"host:kvm1", "endpoint:kvm1/vm"}),
    "host": (lambda seen: seen.update(kvm2={"unreachable": True, "msg": "no route"}), {"host:kvm2"}),
}


def test_a_fabric_as_planned_has_no_mark_and_says_when_it_was_read() -> None:
    drawn = draw(PLAN, status=status())
    assert not drawn.wrong and "state of 2023-11-14 22:13:20 UTC: all as planned" in drawn.texts
    assert "#d3eed6" in drawn.svg and "#f8cfcf" not in drawn.svg
    assert "#d3eed6" not in draw(PLAN).svg


@pytest.mark.parametrize("name", CHANGES)
def test_a_problem_marks_the_thing_and_its_host_and_nothing_else(name: str) -> None:
    change, marked = CHANGES[name]
    report = status(change=change)
    drawn = draw(PLAN, status=report)
    assert drawn.wrong == marked
    assert "1 problem" in "\n".join(drawn.texts)
    observed = report["problems"][0]["observed"]
    assert all(any(observed in tip for tip in drawn.tips[thing]) for thing in marked)


def test_a_host_that_was_not_asked_has_no_state() -> None:
    report = status()
    del report["hosts"]["kvm2"]
    assert draw(PLAN, status=report).svg.count("#d3eed6") < draw(PLAN, status=status()).svg.count("#d3eed6")


def problem(kind: str, host: str, source: str, target: str) -> Item:
    return {
        "kind": kind,
        "host": host,
        "from": source,
        "to": target,
        "expected": "Full",
        "observed": "no neighbor",
        "passed": False,
    }


@pytest.mark.parametrize(
    ("name", "one", "marked"),
    [
        (
            "lab",
            problem("adjacency", "kvm1", "kvm1:eth1", "r1:eth1"),
            {"host:kvm1", "router:kvm1", "adjacency:kvm1-r1"},
        ),
        ("ospf_interop", problem("adjacency", "r1", "r1:eth2", "b2:eth1"), {"host:r1", "router:r1", "adjacency:lan"}),
        ("lab", problem("route", "r1", "r1", "192.168.200.1/32"), {"host:r1", "router:r1"}),
        (
            "bgp_k8s",
            problem("session", "edge", "edge", "tor (10.254.0.26)"),
            {"host:edge", "router:edge", "session:tor/edge"},
        ),
    ],
    ids=["adjacency", "adjacency of many", "route", "session"],
)
def test_a_problem_of_routing_marks_its_router_and_its_edge(name: str, one: Item, marked: set[str]) -> None:
    plan, _groups = inventory_plan(name)
    report = {
        "fabric": plan["fabric"],
        "time": 0,
        "hosts": dict.fromkeys(hosts_of(plan), "answers"),
        "problems": [one],
    }
    assert draw(plan, status=report).wrong == marked


def test_boxes_of_a_large_fabric_tell_what_is_wrong_inside() -> None:
    plan = fabric(13)
    report = {
        "fabric": "f",
        "time": 0,
        "hosts": dict.fromkeys(plan["hosts"], "answers"),
        "problems": [{**problem("tunnel", "kvm3", "kvm3:vx-kvm1", "kvm1"), "thing": "vx-kvm1"}],
    }
    drawn = draw(plan, groups={"kvm_hosts": list(plan["hosts"])}, status=report)
    assert drawn.wrong == {"host:kvm3", "group:kvm_hosts", "overlay:vx"}
    assert "13 hosts, ✗ 1 not as planned" in drawn.texts


# Boxes

HOSTS = [f"h{number}" for number in range(20)]


@given(
    st.integers(1, 20),
    st.dictionaries(st.sampled_from(["a", "b", "c", "all", "kvm_hosts", "d"]), st.lists(st.sampled_from(HOSTS))),
    st.integers(1, 20),
)
def test_each_host_is_in_one_box_of_its_own_group(count: int, groups: dict[str, list[str]], most: int) -> None:
    found = fold.boxes(HOSTS[:count], groups, most)
    assert bool(found) is (count > most)
    if found:
        assert list(found) == HOSTS[:count]
        assert all(box == "others" or host in groups[box] and box != "all" for host, box in found.items())


def test_the_smallest_groups_are_taken_unless_they_are_too_many() -> None:
    halves = {"left": HOSTS[:10], "right": HOSTS[10:]}
    pairs = {f"pair{number}": HOSTS[2 * number : 2 * number + 2] for number in range(10)}
    assert set(fold.boxes(HOSTS, {**halves, **pairs}, 12).values()) == set(pairs)
    assert set(fold.boxes(HOSTS, {**halves, **pairs}, 5).values()) == set(halves)
    assert set(fold.boxes(HOSTS, {"all": HOSTS, "kvm_hosts": HOSTS}, 5).values()) == {"kvm_hosts"}

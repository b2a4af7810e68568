# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a fabric, from its plan to the language of Graphviz, which lays it out. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram import dot, fold
from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram.edges import (
    BROKEN,
    OVERLAYS,
    ROUTING,
    Edge,
    Edges,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram.state import State
from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram.tables import LINE, Tables, count

Item = t.Dict[str, t.Any]

LAYERS = ("underlay", "overlay", "routing")
FONT = "Helvetica,Arial,sans-serif"
# How many hosts are drawn one by one.
HOSTS_SHOWN = 12
PROBLEMS_TOLD = 8


def picture(
    plan: Item,
    layers: t.Collection[str] = LAYERS,
    groups: t.Mapping[str, t.Sequence[str]] | None = None,
    status: Item | None = None,
) -> str:
    """A fabric in DOT; dot.unseal() takes the SVG that `dot` makes of it.

    layers: which of LAYERS are shown. groups: the inventory's groups with their hosts, which a large fabric is folded by.
    status: a report of status on this fabric, whose colors things then have.
    """
    state = State(status)
    hosts = [*plan["hosts"], *(name for name in plan["routers"] if name not in plan["hosts"])]
    inside = fold.boxes(hosts, groups or {}, HOSTS_SHOWN)
    tables, edges = Tables(plan, layers, state), Edges(plan, layers, state, bool(inside))
    labels: dict[str, str] = {}
    for host in hosts:
        if not inside:
            labels[host] = tables.host(host)
        elif f"/group/{inside[host]}" not in labels:
            members = [name for name in hosts if inside[name] == inside[host]]
            labels[f"/group/{inside[host]}"] = tables.group(inside[host], members)
    labels.update(edges.nodes)
    nodes = {key: f"n{number}" for number, key in enumerate(labels)}
    place = {**nodes, **{host: nodes[f"/group/{group}"] for host, group in inside.items()}}
    lines = [
        "graph fabric {",
        f"graph [{dot.attributes({'charset': 'UTF-8', 'bgcolor': 'white', 'fontname': FONT, 'labelloc': 't', 'nodesep': 0.5})}"
        f" label=<{_caption(plan, layers, status)}>]",
        f"node [{dot.attributes({'shape': 'plain', 'fontname': FONT, 'fontsize': 12})}]",
        f"edge [{dot.attributes({'fontname': FONT, 'fontsize': 10, 'penwidth': 1.5})}]",
        *(dot.node(nodes[key], label) for key, label in labels.items()),
        *_lines(edges.edges, place, bool(inside)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _lines(edges: t.Sequence[Edge], place: t.Mapping[str, str], folded: bool) -> list[str]:
    """The edges between nodes. Of a box, those alike are one with their number; those inside it are not drawn."""
    alike: dict[t.Any, list[Edge]] = {}
    for number, edge in enumerate(edges):
        ends = frozenset((place[edge.tail], place[edge.head]))
        if len(ends) == 2:
            kind = edge.link.partition(":")[0]
            alike.setdefault((ends, kind, edge.color) if folded else number, []).append(edge)
    return [_line(same, place) for same in alike.values()]


def _line(same: t.Sequence[Edge], place: t.Mapping[str, str]) -> str:
    """Edges that are drawn as one; what is wrong is not told by a color alone."""
    first, several = same[0], len(same) > 1
    wrong = [edge for edge in same if edge.verdict.state == "wrong"]
    problems = [line for edge in wrong for line in edge.verdict.problems]
    tip = [edge.tip[0] for edge in same[:PROBLEMS_TOLD]] + problems[:PROBLEMS_TOLD] if several else first.tip
    words = [*("✗" for _one in wrong[:1]), *(f"× {len(same)}" for _one in same[1:2])]
    values = {
        "href": first.link,
        "tooltip": "\n".join(tip),
        "labeltooltip": "\n".join(tip),
        "color": BROKEN if wrong else first.color,
        "style": first.style,
        "penwidth": 2.5 if first.color in OVERLAYS else None,
        "fontcolor": BROKEN if wrong else LINE,
        "label": " ".join(words) or None,
        "taillabel": None if several else first.tail_text or None,
        "headlabel": None if several else first.head_text or None,
        "constraint": None if first.ranks else "false",
    }
    return dot.edge(place[first.tail], place[first.head], values)


def told(plan: Item, status: Item | None) -> str:
    """How much the picture shows, and whose state, in one line."""
    routers = sum(not router["kvm"] for router in plan["routers"].values())
    tunnels = sum(len(overlay["tunnels"]) for overlay in plan["overlays"])
    numbers = [
        (len(plan["hosts"]), "host"),
        (routers, "router"),
        (len(plan["segments"]), "segment"),
        (len(plan["endpoints"]), "endpoint"),
        (tunnels, "tunnel"),
    ]
    what = ", ".join(count(number, thing) for number, thing in numbers if number)
    return f"{what}; {_state(status)}" if status else what


def _caption(plan: Item, layers: t.Collection[str], status: Item | None) -> str:
    """What the picture is of, the colors of its overlays, and whose state it shows."""
    rows = [
        [dot.cell(dot.text(f"fabric {plan['fabric']}", bold=True, size=16))],
        [dot.cell(dot.text(told(plan, None)))],
    ]
    shown = []
    if "overlay" in layers and plan["hosts"]:
        shown += [
            (OVERLAYS[number % len(OVERLAYS)], _overlay(overlay)) for number, overlay in enumerate(plan["overlays"])
        ]
    if "routing" in layers and plan["routers"]:
        shown.append((ROUTING, "╌ adjacencies and sessions"))
    legend = [f'<FONT COLOR="{color}">{dot.text(what)}</FONT>' for color, what in shown]
    rows += [[dot.cell(one)] for one in legend]
    if status:
        rows.append([dot.cell(dot.text(_state(status), size=11))])
    return dot.table(rows, CELLBORDER=0, CELLPADDING=2)


def _overlay(overlay: Item) -> str:
    line = "" if overlay["encapsulation"] == "vlan" else "━ "
    return f"{line}{overlay['name']} ({overlay['encapsulation']})"


def _state(status: Item) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(status["time"]))
    wrong = count(len(status["problems"]), "problem") if status["problems"] else "all as planned"
    return f"state of {when}: {wrong}"

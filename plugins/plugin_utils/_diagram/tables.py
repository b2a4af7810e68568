# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the picture: a host with its bridges, segments, endpoints and routing, a group of hosts, and all else that is a node. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram import dot
from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram.state import OF_ENDPOINTS, State, Verdict
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import KERNEL
from ansible_collections.overloom.fabric.plugins.plugin_utils._status.summary import things_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import points_of

Item = t.Dict[str, t.Any]
Row = t.List[str]

# The colors are few and fixed, so that the CSS of a page can replace each of them by its value.
LINE, PLAIN, HEAD, BRIDGE = "#5b6b7c", "#ffffff", "#dbe4ee", "#f1f4f7"
GOOD, WRONG = "#d3eed6", "#f8cfcf"
SEGMENTS = ("#fff3c4", "#dff1ff", "#f0e2fb", "#ffe6d5", "#dcf5ef", "#fde2ec", "#e9ecd0", "#e2e5fb")

# Of more endpoints on a host, only their number in each segment is shown.
ENDPOINTS_SHOWN = 24
SEGMENTS_SHOWN = 12
ROUTES_SHOWN = 12
IN_A_ROW = 4


def filled(verdict: Verdict, otherwise: str) -> str:
    """The color of a cell."""
    return {"good": GOOD, "wrong": WRONG}.get(verdict.state, otherwise)


def count(number: int, thing: str) -> str:
    """A number of things in words."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def attached(underlay: Item) -> str:
    """The NICs by which a host is on the underlay, in words."""
    nics, bond = ", ".join(underlay["nics"]), underlay["bond"]
    whose = ", the kernel's" if underlay["engine"] == KERNEL else ""
    named = f"{bond['name']} of {nics} ({bond['mode']})" if bond else f"NIC{'s' * (len(underlay['nics']) > 1)} {nics}"
    return named + whose


def box(lines: t.Sequence[str], link: str, tip: t.Sequence[str], color: str = PLAIN) -> str:
    """A node that is one thing: its name, and what else is to be read at once."""
    shown = "<BR/>".join([dot.text(lines[0], bold=True), *(dot.text(line, size=11) for line in lines[1:])])
    return dot.table([[dot.cell(shown, link, tip, BGCOLOR=color, ALIGN="CENTER")]], COLOR=LINE, STYLE="ROUNDED")


class Tables:
    """The tables of a plan's hosts. layers: of underlay, overlay and routing those that are shown."""

    def __init__(self, plan: Item, layers: t.Collection[str], state: State) -> None:
        self._plan, self._layers, self._state = plan, layers, state
        self._segments = {segment["name"]: segment for segment in plan["segments"]}
        colors = {name: SEGMENTS[number % len(SEGMENTS)] for number, name in enumerate(self._segments)}
        self._colors = colors
        self._points: dict[str, list[Item]] = collections.defaultdict(list)
        for point in points_of(plan):
            self._points[point["host"]].append(point)

    def host(self, name: str) -> str:
        """A host or a router."""
        rows = [[self._head(name, COLSPAN=2)]]
        if "overlay" in self._layers or "underlay" in self._layers:
            rows += self._bridges(name)
        if "routing" in self._layers and name in self._plan["routers"]:
            rows.append([self._router(name)])
        return dot.table(rows, COLOR=LINE)

    def group(self, name: str, hosts: t.Sequence[str]) -> str:
        """Hosts that share a box: each by its name, and their endpoints by number."""
        wrong = sum(self._state.host(host).state == "wrong" for host in hosts)
        what = count(len(hosts), "host") + (f", ✗ {wrong} not as planned" if wrong else "")
        title = dot.lines(dot.text(name, bold=True), dot.text(what, size=11))
        heads = [self._head(host) for host in hosts]
        grid = [heads[start : start + IN_A_ROW] for start in range(0, len(heads), IN_A_ROW)]
        rows = [
            [
                dot.cell(
                    title,
                    dot.reference("group", name),
                    [f"group {name}", what],
                    COLSPAN=2,
                    BGCOLOR=WRONG if wrong else HEAD,
                )
            ],
            [dot.cell(dot.table(grid, COLOR=LINE, CELLPADDING=2), COLSPAN=2)],
        ]
        if "overlay" in self._layers:
            rows += self._counted([point for host in hosts for point in self._points[host]])
        return dot.table(rows, COLOR=LINE)

    def _head(self, name: str, **more: t.Any) -> str:
        """The cell with the name of a host."""
        verdict = self._state.host(name)
        planned, router = self._plan["hosts"].get(name), self._plan["routers"].get(name)
        tip = [f"{'host' if planned else 'router'} {name}"]
        if planned:
            tip.append(f"tunnel endpoint {planned['underlay']['tep']['address']}")
        if router:
            tip.append(f"router id {router['router_id']}")
        return dot.cell(
            dot.text(verdict.mark(name), bold=True),
            dot.reference("host", name),
            [*tip, *verdict.problems],
            BGCOLOR=filled(verdict, HEAD),
            **more,
        )

    def _bridges(self, name: str) -> list[Row]:
        """The bridges of a host, each with the segments and endpoints that hang at it."""
        rows: list[Row] = []
        host = self._plan["hosts"].get(name)
        if not host:
            return rows
        used = {segment["bridge"] for segment in self._segments.values()}
        for bridge in host["bridges"]:
            under = bridge["name"] == host["underlay"]["bridge"]
            if ("underlay" if under else "overlay") not in self._layers and bridge["name"] not in used:
                continue
            rows.append([self._bridge(name, bridge, host["underlay"] if under else None)])
            if "overlay" in self._layers:
                points = [p for p in self._points[name] if self._segments[p["segment"]]["bridge"] == bridge["name"]]
                many = len(self._points[name]) > ENDPOINTS_SHOWN
                rows += self._counted(points) if many else self._each(name, points)
        return rows

    def _bridge(self, host: str, bridge: Item, underlay: Item | None) -> str:
        verdict = self._state.things(host, ("bridge",), (bridge["name"],))
        shown = [dot.text(verdict.mark(bridge["name"]))]
        tip = [f"bridge {bridge['name']} of {host}"]
        if underlay and "underlay" in self._layers:
            place = f"{', '.join(underlay['nics'])} · {underlay['tep']['name']} {underlay['tep']['address']}"
            shown.append(dot.text(place, size=10))
            tip.append(f"{attached(underlay)}, MTU {underlay['mtu']}")
        return dot.cell(
            dot.lines(*shown),
            dot.reference("bridge", f"{host}/{bridge['name']}"),
            [*tip, *verdict.problems],
            COLSPAN=2,
            BGCOLOR=filled(verdict, BRIDGE),
        )

    def _each(self, host: str, points: t.Sequence[Item]) -> list[Row]:
        """A row for each endpoint; those of a segment share the segment's cell."""
        rows = []
        for name in dict.fromkeys(point["segment"] for point in points):
            inside = [point for point in points if point["segment"] == name]
            cells = [[self._endpoint(host, point)] for point in inside]
            cells[0].insert(0, self._segment(name, len(inside)))
            rows += cells
        return rows

    def _counted(self, points: t.Sequence[Item]) -> list[Row]:
        """A row for each segment, with the number of its endpoints."""
        numbers = collections.Counter(point["segment"] for point in points)
        shown = list(numbers.items())[:SEGMENTS_SHOWN]
        rows = [[self._segment(name), dot.cell(dot.text(count(number, "endpoint")))] for name, number in shown]
        more = len(numbers) - len(shown)
        if more:
            rest = len(points) - sum(number for _name, number in shown)
            rows.append([dot.cell(dot.text(count(more, "more segment"))), dot.cell(dot.text(count(rest, "endpoint")))])
        return rows

    def _segment(self, name: str, rows: int = 1) -> str:
        segment = self._segments[name]
        tag = (
            f"key {segment['key']}"
            if segment["key"] is not None
            else f"VLAN {segment['vlan']}"
            if segment["vlan"] is not None
            else "untagged"
        )
        tip = [f"segment {name}: {tag}, MTU {segment['mtu']}"]
        tip += [str(segment[option]) for option in ("subnet", "subnet6") if segment[option]]
        tip += [f"tenant {segment['tenant']}"] if segment["tenant"] else []
        tip += [f"overlay {segment['overlay']}"] if segment["overlay"] else []
        return dot.cell(
            dot.lines(dot.text(name), dot.text(tag, size=10)),
            dot.reference("segment", name),
            tip,
            ROWSPAN=rows,
            BGCOLOR=self._colors[name],
        )

    def _endpoint(self, host: str, point: Item) -> str:
        verdict = self._state.things(host, OF_ENDPOINTS, things_of(self._plan, point))
        name = point["id"].partition("/")[2]
        addresses = [point[option] for option in ("address", "address6") if point[option]]
        what = [] if point["kind"] == "namespace" else [point["kind"]]
        tip = [f"{point['kind']} {point['id']} in segment {point['segment']}"]
        tip += [f"{one}/{point[prefix]}" for one, prefix in zip(addresses, ("prefix", "prefix6"))]
        tip += [f"{point['interface']}, MAC address {point['mac']}, MTU {point['mtu']}"]
        return dot.cell(
            dot.lines(dot.text(verdict.mark(name)), dot.text(" · ".join([*what, *addresses[:1]]), size=10)),
            dot.reference("endpoint", point["id"]),
            [*tip, *verdict.problems],
            BGCOLOR=filled(verdict, PLAIN),
        )

    def _router(self, name: str) -> str:
        router, verdict = self._plan["routers"][name], self._state.routing(name)
        runs = []
        if router["areas"]:
            runs.append(f"OSPF area {', '.join(router['areas'])}")
        if router["asn"]:
            runs.append(f"BGP AS {router['asn']}")
        routes = [row["prefix"] for row in router["routes"]]
        tip = [f"routing of {name}, router id {router['router_id']}", f"{count(len(routes), 'route')} to be learned"]
        tip += routes[:ROUTES_SHOWN] + (["..."] if len(routes) > ROUTES_SHOWN else [])
        return dot.cell(
            dot.text(verdict.mark(" · ".join(runs) or "static routes"), size=11),
            dot.reference("router", name),
            [*tip, *verdict.problems],
            COLSPAN=2,
            BGCOLOR=filled(verdict, BRIDGE),
        )

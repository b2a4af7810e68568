# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edges of the picture: links and the shared underlay, tunnels, adjacencies and sessions. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram import dot
from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram.state import State, Verdict
from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram.tables import LINE, PLAIN, attached, box, count
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import planned_tunnel, tep_address

Item = t.Dict[str, t.Any]

CABLE, BROKEN = LINE, "#c62828"
OVERLAYS = ("#1565c0", "#8e24aa", "#00796b", "#b26a00", "#5d4037", "#455a64")
ROUTING = "#2e7d32"
# A full mesh of more tunnels is drawn as one node with a spoke to each host.
MESH_SHOWN = 6


class Edge(t.NamedTuple):
    """A line between two places. A place is a host's name, or the key of a node in Edges.nodes."""

    tail: str
    head: str
    link: str
    tip: tuple[str, ...]
    verdict: Verdict
    color: str
    style: str = "solid"
    tail_text: str = ""
    head_text: str = ""
    # Whether its tail is to be drawn above its head.
    ranks: bool = True


class Edges:
    """All edges of a plan, and the nodes that are no hosts. folded: hosts share boxes, so single tunnels would tell nothing."""

    def __init__(self, plan: Item, layers: t.Collection[str], state: State, folded: bool) -> None:
        self._plan, self._layers, self._state, self._folded = plan, layers, state, folded
        # The labels of the nodes, by keys that no host has.
        self.nodes: dict[str, str] = {}
        self.edges: list[Edge] = []
        if "underlay" in layers:
            self._underlay()
        if "overlay" in layers:
            for number, overlay in enumerate(plan["overlays"]):
                self._overlay(overlay, OVERLAYS[number % len(OVERLAYS)])
        if "routing" in layers:
            self._adjacencies()
            self._sessions()

    # Underlay

    def _underlay(self) -> None:
        """A cable a link; hosts without links hang at the one subnet."""
        underlay = self._plan["underlay"]
        for name, host in self._plan["hosts"].items():
            if host["underlay"]["links"]:
                continue
            self.nodes.setdefault(
                "/underlay",
                box(
                    ["underlay", str(underlay["subnet"])],
                    dot.reference("underlay", ""),
                    [f"underlay {underlay['subnet']}, MTU {underlay['mtu']}"],
                ),
            )
            tep, bond, nics = (host["underlay"][key] for key in ("tep", "bond", "nics"))
            tip = (f"{name}: {tep['name']} {tep['address']}, {attached(host['underlay'])}",)
            verdict = self._state.things(name, ("port", "interface"), (tep["name"], bond["name"] if bond else nics[0]))
            self.edges.append(Edge(name, "/underlay", dot.reference("host", name), tip, verdict, CABLE))
        for link in self._plan["links"]:
            self._link(link)

    def _link(self, link: Item) -> None:
        words = [f"link {link['name']}", *(str(link[net]) for net in ("subnet", "subnet6") if link[net])]
        tip = (*words, *(_end(end) for end in link["ends"]))
        self._joined(link, tip, Verdict(""), CABLE, "link")

    def _joined(self, link: Item, tip: tuple[str, ...], verdict: Verdict, color: str, kind: str) -> None:
        """A link of two ends as an edge, any other as a node with an edge to each end."""
        address, style = dot.reference(kind, link["name"]), "dashed" if kind == "adjacency" else "solid"
        ends = sorted(link["ends"], key=lambda end: end["host"] not in self._plan["hosts"])
        if len(ends) == 2:
            one, other = ends
            near, far = (one["interface"], other["interface"]) if kind == "link" else ("", "")
            places = (one["host"], other["host"])
            # Adjacencies follow the links, if those are drawn.
            ranks = kind == "link" or "underlay" not in self._layers
            edge = Edge(*places, address, tip, verdict, color, style, near, far, ranks)
            self.edges.append(edge)
            return
        subnet = str(link["subnet"] or link["subnet6"] or "")
        self.nodes.setdefault(
            f"/link/{link['name']}", box([link["name"], subnet], dot.reference("link", link["name"]), tip)
        )
        for end in ends:
            text = end["interface"] if kind == "link" else ""
            own = (
                self._state.adjacency([f"{end['host']}:{end['interface']}"], everybody=True)
                if kind == "adjacency"
                else verdict
            )
            lines = (*tip[:1], _end(end), *own.problems)
            self.edges.append(Edge(end["host"], f"/link/{link['name']}", address, lines, own, color, style, text))

    # Overlay

    def _overlay(self, overlay: Item, color: str) -> None:
        """The tunnels of an overlay: each by itself, or as spokes of one node where they are many."""
        name, hosts = overlay["name"], list(self._plan["hosts"])
        pairs = overlay["tunnels"]
        for peer in overlay["peers"]:
            key = f"/peer/{name}/{peer['name']}"
            behind = [f"{one['segment']}: {one['address']}" for one in peer["endpoints"]]
            tip = [f"peer {peer['name']} of overlay {name}", f"tunnel endpoint {peer['address']}", *behind]
            self.nodes[key] = box(
                [peer["name"], str(peer["address"])], dot.reference("peer", f"{name}/{peer['name']}"), tip
            )
        total = len(pairs) + len(overlay["peers"]) * len(hosts)
        if total and (self._folded or (overlay["topology"] == "full_mesh" and total > MESH_SHOWN)):
            self._spokes(overlay, color, total)
            return
        ranks = overlay["topology"] in ("hub_and_spoke", "links")
        for one, other in pairs:
            ends = [(one, planned_tunnel(overlay, one, other)), (other, planned_tunnel(overlay, other, one))]
            self._tunnel(overlay, ends, f"{one}/{other}", (one, other), color, ranks)
        for peer in overlay["peers"]:
            for host in hosts:
                ends = [(host, planned_tunnel(overlay, host, peer["name"]))]
                places = (host, f"/peer/{name}/{peer['name']}")
                self._tunnel(overlay, ends, f"{host}/{peer['name']}", places, color, True)

    def _tunnel(
        self,
        overlay: Item,
        ends: t.Sequence[tuple[str, str]],
        what: str,
        places: tuple[str, str],
        color: str,
        ranks: bool,
    ) -> None:
        verdict = self._state.both(ends, "tunnel")
        tip = [f"{overlay['encapsulation']} tunnel of overlay {overlay['name']}"]
        for host, port in ends:
            found = next(one for one in self._plan["hosts"][host]["tunnels"] if one["name"] == port)
            tip.append(f"{host}:{port} {tep_address(self._plan, host)} → {found['remote_ip']}")
        link = dot.reference("tunnel", f"{overlay['name']}/{what}")
        lines = (*tip, *verdict.problems)
        self.edges.append(Edge(*places, link, lines, verdict, color, "solid", ranks=ranks))

    def _spokes(self, overlay: Item, color: str, total: int) -> None:
        name, key = overlay["name"], f"/overlay/{overlay['name']}"
        what = f"{overlay['encapsulation']}, {overlay['topology'].replace('_', ' ')}"
        self.nodes[key] = box(
            [name, what, count(total, "tunnel")],
            dot.reference("overlay", name),
            [f"overlay {name}: {what}, {count(total, 'tunnel')}", f"loop guard {overlay['loop_guard']}"],
            PLAIN,
        )
        ports: dict[str, list[str]] = {}
        for one, other in overlay["tunnels"]:
            ports.setdefault(one, []).append(planned_tunnel(overlay, one, other))
            ports.setdefault(other, []).append(planned_tunnel(overlay, other, one))
        for peer in overlay["peers"]:
            for host in self._plan["hosts"]:
                ports.setdefault(host, []).append(planned_tunnel(overlay, host, peer["name"]))
        for host, names in ports.items():
            verdict = self._state.things(host, ("tunnel",), names)
            tip = (f"{count(len(names), 'tunnel')} of {host} in overlay {name}", *verdict.problems)
            self.edges.append(Edge(key, host, dot.reference("overlay", name), tip, verdict, color, "solid"))
        for peer in overlay["peers"]:
            place, tip = f"/peer/{name}/{peer['name']}", (f"tunnels of all hosts to {peer['name']}",)
            self.edges.append(
                Edge(key, place, dot.reference("peer", f"{name}/{peer['name']}"), tip, Verdict(""), color, "solid")
            )

    # Routing

    def _adjacencies(self) -> None:
        for link in self._plan["links"]:
            active = [end for end in link["ends"] if not end["passive"]]
            if not link["ospf"] or len(active) < 2:
                continue
            ends = [f"{end['host']}:{end['interface']}" for end in active]
            verdict = self._state.adjacency(ends, everybody=False)
            costs = (f"{end['host']}:{end['interface']} cost {end['cost']}" for end in active)
            tip = (f"OSPF on {link['name']}, area {link['area']}", *costs, *verdict.problems)
            # The node is that of the link, whatever ends are passive.
            shape = active if len(link["ends"]) == 2 or f"/link/{link['name']}" not in self.nodes else link["ends"]
            shown = {**link, "ends": [end for end in shape if not end["passive"]]}
            self._joined(shown, tip, verdict, ROUTING, "adjacency")

    def _sessions(self) -> None:
        """Each session once, whichever of its ends the plan has first."""
        routers = self._plan["routers"]
        done: set[frozenset[str]] = set()
        for name, router in routers.items():
            for session in router["sessions"]:
                pair = frozenset((name, session["peer"]))
                if pair in done:
                    continue
                done.add(pair)
                back = [one for one in routers[session["peer"]]["sessions"] if one["peer"] == name]
                ends = [(name, session), *((session["peer"], one) for one in back)]
                verdict = self._state.session([(host, f"{one['peer']} ({one['remote']})") for host, one in ends])
                tip = [f"BGP session {name}, {session['peer']}"]
                tip += [f"{host} to {one['remote']}, AS {one['asn']}" for host, one in ends]
                lines = (*tip, *verdict.problems)
                link = dot.reference("session", f"{name}/{session['peer']}")
                self.edges.append(Edge(name, session["peer"], link, lines, verdict, ROUTING, "dashed", ranks=False))


def _end(end: Item) -> str:
    addresses = ", ".join(end[option] for option in ("address", "address6") if end[option])
    return f"{end['host']}:{end['interface']} {addresses}".rstrip()

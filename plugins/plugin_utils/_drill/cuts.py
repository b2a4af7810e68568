# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill cuts, in which order, between whom it measures meanwhile, and what should survive. Pure: from the plan.

A pair survives a cut when two ways remain: one of tunnels between its hosts, and for each of these tunnels one of cables between the tunnel's
ends. This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._impair.places import (
    Cable,
    ImpairError,
    pairs_with_tunnels,
    places,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import IN_NAMESPACE, OVN
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations

Item = t.Dict[str, t.Any]
Edge = t.FrozenSet[str]

KINDS = ("tunnel", "link", "router", "host")
PAIRS = 40
# Seconds: the shortest and the longest cut that is derived, what is added to the time in which it is noticed, and the most that may be given.
SHORTEST, LONGEST, MORE, MOST = 8, 60, 6, 3600


class Fabric:
    """The graphs of a plan: cables between hosts, and tunnels of each overlay. Switches are nodes of the graph of cables, too."""

    def __init__(self, plan: Item, cables: t.Sequence[Cable]) -> None:
        self.plan = plan
        self.cables = [_ends(cable, number) for number, cable in enumerate(cables)]
        self.routed = bool(plan["links"])
        self.overlays = {overlay["name"]: overlay for overlay in plan["overlays"]}
        self.segments = {segment["name"]: segment for segment in plan["segments"]}

    def survives(self, cut: Item, pair: Item) -> bool:
        """Whether a pair should be connected while something is cut, as soon as that is noticed."""
        # A router whose routing has stopped tells nobody the way to it; on an underlay that is one network, nobody asks.
        gone = cut["name"] if cut["kind"] == "host" or (cut["kind"] == "router" and self.routed) else None
        one, other = (end.partition("/")[0] for end in (pair["from"], pair["to"]))
        if gone in (one, other):
            return False
        overlay = self.overlays[self.segments[pair["segment"]]["overlay"]]
        if overlay["engine"] != OVN and not overlay["tunnels"]:
            # VLANs of the underlay itself.
            cables = self._cables(cut, gone)
            return _connected(cables, one, other, _switches(cables, set(self.plan["hosts"])))
        tunnels = self._tunnels(overlay, cut, gone)
        if overlay["engine"] == OVN or overlay["loop_guard"] == "split_horizon":
            # No frame crosses two tunnels.
            return frozenset((one, other)) in tunnels
        return _connected(tunnels, one, other)

    def _tunnels(self, overlay: Item, cut: Item, gone: str | None) -> set[Edge]:
        """The tunnels of an overlay that work while something is cut."""
        every = pairs_with_tunnels(self.plan) if overlay["engine"] == OVN else overlay["tunnels"]
        cables = self._cables(cut, gone)
        found = {frozenset(pair) for pair in every}
        if cut["kind"] == "tunnel":
            found.discard(frozenset(cut["name"].split("/")))
        through = None if self.routed else _switches(cables, set(self.plan["hosts"]))
        ways = (tuple(sorted(pair)) for pair in found)
        return {frozenset(way) for way in ways if gone not in way and _connected(cables, way[0], way[1], through)}

    def _cables(self, cut: Item, gone: str | None) -> set[Edge]:
        """Who is next to whom on the underlay, without what is cut. Two cables between two hosts are apart."""
        found: set[Edge] = set()
        for cable in self.cables:
            for one, other in _steps(cable):
                hit = any(list(end) in cut["ends"] for end in (one, other))
                if not hit and gone not in (one[0], other[0]):
                    found.add(frozenset((one[0], other[0])))
        return found


def _ends(cable: Cable, number: int) -> list[tuple[str, str]]:
    ends = [(end.split(":", 1)[0], end.split(":", 1)[1]) for end in cable]
    # A switch is a node without an interface.
    return ends if len(ends) == 2 else [*ends, (f"switch {number}", "")]


def _steps(cable: list[tuple[str, str]]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    return [(cable[0], cable[1])] if len(cable) == 2 else [(end, cable[-1]) for end in cable[:-1]]


def _switches(cables: set[Edge], hosts: set[str]) -> set[str]:
    """What passes frames on without being a router: on an underlay that is one network, no host does."""
    return {node for cable in cables for node in cable} - hosts


def _connected(edges: set[Edge], one: str, other: str, through: set[str] | None = None) -> bool:
    """Whether there is a way. through: the nodes that it may cross; None for any."""
    seen, ahead = {one}, [one]
    while ahead:
        node = ahead.pop()
        for edge in edges:
            if node in edge and len(edge) == 2:
                (peer,) = edge - {node}
                if peer == other:
                    return True
                if peer not in seen and (through is None or peer in through):
                    seen.add(peer)
                    ahead.append(peer)
    return False


def cuts(plan: Item, cables: t.Sequence[Cable], hosts: bool, kinds: t.Collection[str] = KINDS) -> list[Item]:
    """Everything that is cut, in order: kind, name, places (for each host what link_impairment is told), ends (of a link)."""
    found: list[Item] = []
    if plan["underlay"]["vlan"] is None:
        found += [_cut("tunnel", f"{one}/{other}", plan, cables) for one, other in pairs_with_tunnels(plan)]
    for cable in cables:
        if len(cable) == 2:
            host, interface = cable[0].split(":", 1)
            found.append(_cut("link", f"{host}/{interface}", plan, cables))
        else:
            found += [_cut("link", end.replace(":", "/", 1), plan, cables) for end in cable]
    found += [_cut("router", name, plan, cables) for name, one in plan["routers"].items() if one["managed"]]
    everyone = dict.fromkeys([*plan["hosts"], *(name for name, one in plan["routers"].items() if one["managed"])])
    found += [_cut("host", name, plan, cables) for name in everyone] if hosts else []
    return [cut for cut in found if cut["kind"] in kinds and (cut["places"] or cut["kind"] in ("router", "host"))]


def _cut(kind: str, name: str, plan: Item, cables: t.Sequence[Cable]) -> Item:
    at = {} if kind in ("router", "host") else places(plan, cables, kind, name)
    known = {*plan["hosts"], *(one for one, router in plan["routers"].items() if router["managed"])}
    at = {host: items for host, items in at.items() if host in known}
    ends = [[host, item["interface"]] for host, items in at.items() for item in items] if kind == "link" else []
    return {"kind": kind, "name": name, "places": at, "ends": ends}


def pairs(plan: Item, most: int = PAIRS) -> list[Item]:
    """Between whom is measured: one pair of endpoints for each two hosts of each segment, in namespaces, one way, as an echo goes both."""
    points = {point["id"]: point for point in plan["endpoints"]}
    found: dict[tuple[str, str, str], Item] = {}
    for pair in expectations(plan, 0)["pairs"]:
        ends = [points.get(pair[end]) for end in ("from", "to")]
        if not pair["ping"] or "segment" not in pair or any(end is None for end in ends):
            continue
        one, other = (t.cast(Item, end) for end in ends)
        if one["host"] < other["host"] and one["kind"] in IN_NAMESPACE and one["segment"] == other["segment"]:
            sender = {"id": one["id"], "namespace": one.get("namespace", one["name"]), "interface": one["interface"]}
            row = {key: pair[key] for key in ("from", "to", "address", "segment")}
            found.setdefault((one["segment"], one["host"], other["host"]), {**row, "sender": sender})
    return list(found.values())[:most]


def noticed_after(plan: Item) -> int:
    """In how many seconds the slowest of the planned timers notices a cut: OSPF's dead interval, where no BFD is faster."""
    ends = [end for link in plan["links"] if len(link["ends"]) > 1 and link["ospf"] for end in link["ends"]]
    return max([1, *(end["dead_interval"] or 40 for end in ends if not end["bfd"] and not end["passive"])])


def seconds(plan: Item, given: int = 0) -> int:
    """How long a cut lasts: as given, else until it is noticed, and some more. Raises ImpairError."""
    if given:
        if not 1 <= given <= MOST:
            raise ImpairError(
                f"drill_seconds: {given} is not between 1 and {MOST}; leave it out, or give the seconds of one cut."
            )
        return given
    return max(SHORTEST, min(LONGEST, noticed_after(plan) + MORE))


def drill(plan: Item, cables: t.Sequence[Cable], hosts: bool, kinds: t.Collection[str] = KINDS) -> Item:
    """The whole drill. Raises ImpairError where there is nothing to cut or nobody to measure."""
    found, between, fabric = cuts(plan, cables, hosts, kinds), pairs(plan), Fabric(plan, cables)
    if not found:
        raise ImpairError("the plan has no tunnel, link or router that a drill could cut.")
    if not between:
        raise ImpairError(
            "a drill measures between endpoints in namespaces or containers of one segment on different hosts, and the plan has none."
        )
    for cut in found:
        cut["survives"] = [fabric.survives(cut, pair) for pair in between]
    return {"cuts": found, "pairs": between, "seconds": seconds(plan)}

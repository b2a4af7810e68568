# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges on two hosts: by which of them a packet goes, and why both are active. Pure: from the plan and what was read.

This file is private to the collection. Sources: RFC 5798, keepalived.conf(5).
"""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._systemd import unit_name
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import ends, kernel, nft, parameters
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import SITE, Died, Path, View
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route

Item = t.Dict[str, t.Any]
Follow = t.Callable[[Route, t.Mapping[str, Item]], Item]

# What follows from an edge that is not active where the packet is sent, so that it tells less than any other cause.
FOLLOWS = ("address", "neighbor")


def actives(way: Route, seen: t.Mapping[str, Item]) -> list[Route]:
    """The ways by the hosts where edges are active: those that have the virtual addresses. All ways where none has."""

    def holds(host: str, namespace: str, address: str) -> bool:
        space = (seen.get(host) or {}).get("spaces", {}).get(namespace)
        return bool(space and kernel.has_address(space, address))

    every = way.alternatives()
    return every if len(every) == 1 else way.actives(holds) or every


def likeliest(found: t.Sequence[Item]) -> Item:
    """Of one direction by several hosts the one that the packet takes, as who sends it there knows; else the one that tells most."""

    def rank(direction: Item) -> int:
        died = direction["died"]
        return 1 + (FOLLOWS.index(died["cause"]) + 1 if died["cause"] in FOLLOWS else 0) if died else 0

    return min(found, key=rank)


def second(ways: t.Sequence[Route], there: Item, seen: t.Mapping[str, Item], follow: Follow) -> None:
    """Note, at its hop, an edge of whose hosts more than one is active, or no other could be, and why."""
    way = ways[0]
    view = View(way.plan, seen)
    crossed = [(leg.target, way.crossing.edge_of(leg.target)) for one in ways for leg in one.crossed]
    for number, hop in enumerate(there["hops"]):
        edge = next((edge for end, edge in crossed if edge and hop["kind"] == "edge" and end.host == hop["host"]), None)
        if edge is None or len(edge["hosts"]) < 2:
            continue
        hosts = list(dict.fromkeys(str(end.host) for end, one in crossed if one and one["name"] == edge["name"]))
        if there["died"] and there["died"]["hop"] <= number:
            return
        try:
            told = _rival(view, way, edge, hosts, follow) if len(hosts) > 1 else _alone(view, way, edge, hosts, follow)
        except Died as reason:
            told = reason
        if told and len(hosts) > 1:
            there["doubts"].append(told.data(number))
        if told:
            there["remarks"].append(told.data(number))
        return


def _rival(view: View, way: Route, edge: Item, hosts: t.Sequence[str], follow: Follow) -> Died:
    """An edge that is active on several hosts at once, by what keeps their routers from hearing each other."""
    name = edge["name"]
    said = f"edge {name} is active on {' and '.join(hosts)} at once, so that each answers for its addresses"
    reason = _borrowed(view, name, hosts) or _apart(view, way, edge, follow)
    if reason is None:
        anew = "; ".join(f"on {host}: systemctl restart {unit_name('keepalived', name)}" for host in hosts[::-1])
        return Died("duplicate-address", said, "one of them is active", f"{SITE}; {anew}")
    return Died("duplicate-address", f"{said}: {reason.because}", reason.planned, reason.mend)


def _alone(view: View, way: Route, edge: Item, hosts: t.Sequence[str], follow: Follow) -> Died | None:
    """An edge that is active on one host, and that no other one could take over."""
    reason = _apart(view, way, edge, follow)
    if reason is None:
        return None
    other = " and ".join(host for host in edge["hosts"] if host not in hosts)
    said = f"{other} could not take over edge {edge['name']} as planned: {reason.because}"
    return Died(reason.cause, said, reason.planned, reason.mend)


def _apart(view: View, way: Route, edge: Item, follow: Follow) -> Died | None:
    """What keeps the routers of VRRP of an edge from hearing each other."""
    reason = _stopped(view, edge["name"], edge["hosts"]) or _unheard(view, edge["name"], edge["hosts"])
    links = [] if reason else [one for one in way.between_hosts() if way.crossing.edge_of(one.source) == edge]
    found = (follow(one, view.seen)["died"] for link in links for one in (link, link.reversed()))
    told = next(filter(None, found), None)
    return Died(told["cause"], told["because"], told["planned"], told["mend"]) if told else reason


def _router(view: View, edge: str, host: str) -> Item:
    """A planned router of VRRP."""
    found: Item = next(one for one in view.plan["hosts"][host]["vrrp"] if one["name"] == edge)
    return found


def _stopped(view: View, edge: str, hosts: t.Iterable[str]) -> Died | None:
    """A router of VRRP that does not run."""
    unit = unit_name("keepalived", edge)
    for host in hosts:
        state = ((view.seen.get(host) or {}).get("units") or {}).get(unit, "active")
        if state != "active":
            said = f"{unit} of {host}/{edge} is {state}"
            return Died("service-down", said, f"{unit} is active", f"on {host}: systemctl restart {unit}")
    return None


def _borrowed(view: View, edge: str, hosts: t.Iterable[str]) -> Died | None:
    """A host that has some of the virtual addresses alone: its router of VRRP has not given it those."""
    for host in hosts:
        router = _router(view, edge, host)
        links = view.space(host, router["namespace"])["links"]
        planned = [(leg["interface"], kernel.bare(one)) for leg in router["interfaces"] for one in leg["addresses"]]
        held = [
            (dev, full)
            for dev, address in planned
            for full in (links.get(dev) or {"addresses": ()})["addresses"]
            if kernel.bare(full) == address
        ]
        if held and len(held) < len(planned):
            dev, full = held[0]
            said = f"{host}/{edge} has {kernel.bare(full)} on {dev}, and not the others of the edge: its keepalived has not put it there"
            mend = f"on {host}: " + ends.entered(router["namespace"], f"address del {full} dev {dev}")
            return Died("duplicate-address", said, f"{kernel.bare(full)} is where the edge is active", mend)
    return None


def _unheard(view: View, edge: str, hosts: t.Iterable[str]) -> Died | None:
    """A rule by which a router of VRRP sends no adverts, or takes none."""
    for host in hosts:
        router = _router(view, edge, host)
        name = router["namespace"]
        space, place = view.space(host, name), parameters.Place(host, name, f"{host}/{edge}")
        try:
            for hook, advert in (one for leg in router["interfaces"] for one in _adverts(leg)):
                ends.filtered(Path(), space, hook, advert, place)
        except Died as died:
            return died
    return None


def _adverts(leg: Item) -> t.Iterator[tuple[str, nft.Met]]:
    """The adverts that a router of VRRP takes and sends at an interface, with the hooks that they pass."""
    for peer in leg["peers"]:
        takes = nft.Met(peer, leg["source"], "vrrp", None, leg["interface"], "")
        sends = nft.Met(leg["source"], peer, "vrrp", None, "", leg["interface"])
        yield from itertools.product(("ingress", "prerouting", "input"), (takes,))
        yield from itertools.product(("output", "postrouting", "egress"), (sends,))

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The things of a plan that the picture leads to, each with all that the plan and a report of status know of it. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram.state import OF_ENDPOINTS, State, Verdict
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import planned_tunnel
from ansible_collections.overloom.fabric.plugins.plugin_utils._status.summary import things_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import points_of

Item = t.Dict[str, t.Any]

# Parts of a host that are things of their own here, or too long to be read.
ELSEWHERE = ("bridges", "tunnels", "namespaces", "flows", "guests", "containers", "services", "networks", "underlay")


class Thing(t.NamedTuple):
    """A thing of the fabric. sources: where the plan's values came from, by the names of the facts."""

    kind: str
    name: str
    facts: Item
    verdict: Verdict = Verdict("")
    sources: t.Mapping[str, str] = {}

    @property
    def id(self) -> str:
        """What the picture's links lead to."""
        return f"{self.kind}:{self.name}"


def things(plan: Item, groups: t.Mapping[str, t.Sequence[str]], status: Item | None) -> list[Thing]:
    """All things, by kind. groups: the inventory's, of which those with hosts of the fabric are things."""
    state = State(status)
    everybody = {*plan["hosts"], *plan["routers"]}
    shared = {name: [host for host in members if host in everybody] for name, members in groups.items()}
    found = [Thing("underlay", "", plan["underlay"], sources=_sources(plan, "underlay"))]
    found += [Thing("group", name, {"hosts": members}) for name, members in shared.items() if members]
    for maker in (_hosts, _overlay_things, _endpoints, _routing):
        found += maker(plan, state)
    return found


def _sources(plan: Item, prefix: str) -> dict[str, str]:
    """Where the values of a thing came from."""
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in plan["sources"].items() if key.startswith(start)}


def _hosts(plan: Item, state: State) -> t.Iterator[Thing]:
    for name in dict.fromkeys([*plan["hosts"], *plan["routers"]]):
        host = plan["hosts"].get(name)
        if host:
            facts = {**host["underlay"], **{key: value for key, value in host.items() if key not in ELSEWHERE}}
            facts["tunnels"] = [tunnel["name"] for tunnel in host["tunnels"]]
        else:
            facts = {key: plan["routers"][name][key] for key in ("id", "router_id", "interfaces")}
        yield Thing("host", name, facts, state.host(name), _sources(plan, f"hosts.{name}"))
        for bridge in host["bridges"] if host else ():
            verdict = state.things(name, ("bridge",), (bridge["name"],))
            yield Thing("bridge", f"{name}/{bridge['name']}", bridge, verdict)


def _overlay_things(plan: Item, state: State) -> t.Iterator[Thing]:
    for segment in plan["segments"]:
        points = [point["id"] for point in plan["endpoints"] if point["segment"] == segment["name"]]
        facts = {**segment, "endpoints": points}
        yield Thing("segment", segment["name"], facts, sources=_sources(plan, f"segments.{segment['name']}"))
    for overlay in plan["overlays"]:
        name = overlay["name"]
        facts = {**overlay, "tunnels": len(overlay["tunnels"]), "peers": [peer["name"] for peer in overlay["peers"]]}
        yield Thing("overlay", name, facts, sources=_sources(plan, f"overlays.{name}"))
        for one, other in overlay["tunnels"]:
            yield _tunnel(plan, state, name, f"{one}/{other}", tunnel_ends(overlay, one, other))
        for peer in overlay["peers"]:
            yield Thing("peer", f"{name}/{peer['name']}", {**peer, "overlay": name})
            for host in plan["hosts"]:
                ends = [(host, planned_tunnel(overlay, host, peer["name"]))]
                yield _tunnel(plan, state, name, f"{host}/{peer['name']}", ends)


def tunnel_ends(overlay: Item, one: str, other: str) -> list[tuple[str, str]]:
    """The two ends of a tunnel: the host, and the port's name there."""
    return [(one, planned_tunnel(overlay, one, other)), (other, planned_tunnel(overlay, other, one))]


def _tunnel(plan: Item, state: State, overlay: str, name: str, ends: t.Sequence[tuple[str, str]]) -> Thing:
    facts = {}
    for host, port in ends:
        facts[f"{host}:{port}"] = next(one for one in plan["hosts"][host]["tunnels"] if one["name"] == port)
    return Thing("tunnel", f"{overlay}/{name}", facts, state.both(ends, "tunnel"))


def _endpoints(plan: Item, state: State) -> t.Iterator[Thing]:
    for point in points_of(plan):
        verdict = state.things(point["host"], OF_ENDPOINTS, things_of(plan, point))
        facts = {**point, "nics": [nic["id"] for nic in point.get("nics", ())]}
        yield Thing("endpoint", point["id"], facts, verdict, _sources(plan, f"endpoints.{point['id']}"))


def _routing(plan: Item, state: State) -> t.Iterator[Thing]:
    for link in plan["links"]:
        yield Thing("link", link["name"], _ended(link))
        active = [f"{end['host']}:{end['interface']}" for end in link["ends"] if not end["passive"]]
        if link["ospf"] and len(active) > 1:
            yield Thing("adjacency", link["name"], _ended(link), state.adjacency(active, everybody=False))
    for name, router in plan["routers"].items():
        facts = {
            **{
                key: router[key]
                for key in ("managed", "router_id", "loopback", "loopback6", "areas", "asn", "networks")
            },
            "routes": [f"{row['prefix']} by {row['protocol']} via {_hops(row)}" for row in router["routes"]],
        }
        yield Thing("router", name, facts, state.routing(name), _sources(plan, f"routers.{name}"))
        for session in router["sessions"]:
            verdict = state.session([(name, f"{session['peer']} ({session['remote']})")])
            yield Thing("session", f"{name}/{session['peer']}", session, verdict)


def _ended(link: Item) -> Item:
    return {**link, "ends": None, **{f"{end['host']}:{end['interface']}": end for end in link["ends"]}}


def _hops(row: Item) -> str:
    return ", ".join(str(hop["address"] or hop["interface"]) for hop in row["nexthops"]) or "nowhere"

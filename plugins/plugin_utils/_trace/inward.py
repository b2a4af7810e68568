# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a provider network into OVN: to a floating address or a forwarded port, by the gateway, as far as the logical port of its endpoint. Pure.

This file is private to the collection. Sources: ovn-nb(5), ovn-trace(8).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import chassis, edges, logical, nft
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import SITE, Died, Path, View
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route

Item = t.Dict[str, t.Any]

# What a router of OVN makes the target, by the action of a floating address or of a load balancer.
_MADE = re.compile(r"^ct_dnat\w*\(([^)]+)\)|^ct_lb\w*\(backends=([^;)]+)")


def pipeline(view: View, path: Path, way: Route, turn: Route) -> Route:
    """The verdict of OVN's switches and routers; returns the way of the packet with the header that it has behind them."""
    into, found = way.inner(), chassis.answers(view)
    notes = path.at(path.hops[-1]["host"], "logical", way.source.segment or "")
    if not found:
        notes.append(f"OVN's databases on {logical.central(view.plan)} were not read")
        return into
    goal = logical.port_of(view.plan, turn.source.id)
    answer = chassis.answered(view, way, goal)
    notes += [f"{name}: {where}" for name, where in chassis.legs(answer)]
    chassis.northd(view, path)
    wrong = _untranslated(view, way, into, answer)
    if wrong:
        raise wrong if found["northd"] else chassis.not_in_force(view)
    if goal not in answer.outputs:
        raise chassis.stopped(view, turn, into, found, answer)
    notes.append(f"target {_spelled(way)} becomes {_spelled(into)}")
    return into


def _untranslated(view: View, way: Route, into: Route, answer: logical.Answer) -> Died | None:
    """A target that OVN's router does not make what is planned. A packet that it has no address for does not come as far as its routes."""
    steps = [step for step in answer.steps if step.stage == "lr_in_dnat"]
    found = [_MADE.match(action) for step in steps for action in step.actions]
    made = next((one[1] or one[2] for one in found if one), None)
    if not answer.steps or made in (_spelled(into), into.packet.target):
        return None
    router = logical.router_of(into)
    done = f"makes {_spelled(way)} the target {made}" if made else f"does not translate the target {_spelled(way)}"
    kind = "lr-lb-list" if into.packet.original else "lr-nat-list"
    look = f"on {logical.central(view.plan)}: ovn-nbctl {kind} {router}; then {SITE}"
    return Died("nat", f"OVN's router {router} {done}", f"{_spelled(way)} becomes {_spelled(into)}", look)


def _spelled(way: Route) -> str:
    """The target of a packet; with its port where a port is forwarded."""
    packet = way.packet
    forwarded = packet.original or way.crossing.forwarded_by_ovn(packet)
    return f"{packet.target}:{packet.port}" if forwarded else packet.target


def permitted(way: Route) -> bool:
    """Whether the policy of the edge lets the packet in, by the intent."""
    into = way.inner()
    packet = into.packet
    met = nft.Met(packet.source, packet.target, packet.protocol, packet.port, "", "", False, packet.original)
    edge = into.crossing.edges[into.outward.edge if into.outward else ""]
    found = edges.decision(edge, met)
    return bool(found and found[1] == "allow")

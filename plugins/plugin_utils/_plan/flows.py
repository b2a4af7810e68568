# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenFlow in the plan: segments that are told apart by tunnel key, the user's own flows, and who they keep apart.

This file is private to the collection.
"""

from __future__ import annotations

import itertools
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.declaration import argument_spec, declaration
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    DST_PORTS,
    IN_NAMESPACE,
    KEY_BITS,
    Endpoint,
    Overlay,
    Segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, label, suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import mesh
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guests import Guests
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.pipeline import Point, Tenancy, pipeline
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.policy import Judged
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]

# The options of a flow as the module takes it.
_FLOW = ("flow", "table", "priority", "match", "actions")


# Checks ------------------------------------------------------------------------------------------------------------


def check(values: Values) -> None:
    """All checks of this file; what is wrong goes to the values' problems."""
    carried = values.carried()
    for keyed in values.overlays.values():
        if keyed.keyed:
            _overlay(values, keyed, carried[keyed.name])
    for segment in values.segments.values():
        overlay = values.overlays.get(segment.overlay) if segment.overlay is not INVALID else None
        if segment.overlay is not INVALID and not (overlay and overlay.segments_by != "vlan"):
            values.problems += [
                f"{segment.where}.{option} is for overlays with segments_by: key; leave it out, or say so in"
                f" {overlay.where if overlay else 'an overlay of fabric_overlays'}.segments_by."
                for option in ("key", "learn")
                if getattr(segment, option)
            ]
    _guests(values)
    _flows(values)
    _denied(values)


def _guests(values: Values) -> None:
    """What the NICs of guests cannot be where flows tell segments apart: trunks, and without an address where nothing is learned."""
    for endpoint in values.endpoints:
        guest = endpoint.guest if endpoint.kind == "guest" and isinstance(endpoint.guest, dict) else {}
        for number, nic in enumerate(guest.get("nics") or ()):
            if not isinstance(nic, dict):
                continue
            where = f"{endpoint.where}.guest.nics[{number}]"
            for name in nic["trunks"] or ():
                segment = values.segments.get(name)
                if segment and values.keyed(segment):
                    values.problems.append(
                        f"{where}.trunks has segment {name}, whose overlay has segments_by: key and no VLANs; give it a NIC of its own."
                    )
            segment = values.segments.get(nic["segment"])
            if segment and values.keyed(segment) and not segment.learn and nic["address"] is None:
                values.problems.append(
                    f"{where}.address is missing; segment {segment.name} forwards to addresses that the plan knows, so give one, or set learn: true there."
                )


def _overlay(values: Values, overlay: Overlay, segments: list[Segment]) -> None:
    """An overlay whose segments are told apart by key."""
    problems, where = values.problems, overlay.where
    if overlay.key is not None:
        problems.append(
            f"{where}.key is of no use with segments_by: key, where each segment has its own; leave it out."
        )
    if overlay.loop_guard in ("rstp", "none"):
        problems.append(
            f"{where}.loop_guard {overlay.loop_guard} is for segments_by: vlan; leave it out, as the flows let nothing circle."
        )
    sharing = [
        other
        for other in values.overlays.values()
        if other is not overlay and other.bridge and other.bridge == overlay.bridge
    ]
    for other in sharing:
        if not other.keyed or other.name < overlay.name:
            problems.append(
                f"{where}.bridge {overlay.bridge} is also that of {other.name}, but with segments_by: key it belongs to one overlay alone;"
                " give it another bridge."
            )
    owner: dict[int, Segment] = {}
    bits = KEY_BITS.get(overlay.encapsulation, 32)
    for segment in segments:
        if segment.key is None:
            problems.append(
                f"{segment.where}.key is missing; overlay {overlay.name} has segments_by: key, so give each segment a key of its own."
            )
        elif segment.key is not INVALID and segment.key >= 2**bits:
            problems.append(
                f"{segment.where}.key must be 1 to {2**bits - 1} ({bits} bits with {overlay.encapsulation}), not {segment.key}."
            )
        elif segment.key is not INVALID and owner.setdefault(segment.key, segment) is not segment:
            problems.append(
                f"{owner[segment.key].where} and {segment.where} both have the key {segment.key}; give one of them another key."
            )
    _same_key(values, overlay, owner)
    _direct(values, overlay, segments)


def _same_key(values: Values, overlay: Overlay, keys: dict[int, Segment]) -> None:
    """No other overlay's tunnels between the same hosts take the packets of a segment's key."""

    def port(one: Overlay) -> int | None:
        return one.options["dst_port"] or DST_PORTS.get(one.encapsulation)

    pairs = {frozenset(pair) for pair in values.edges.get(overlay.name, ())}
    for other in values.overlays.values():
        same_tunnels = other.encapsulation == overlay.encapsulation and port(other) == port(overlay)
        shared_pairs = pairs & {frozenset(pair) for pair in values.edges.get(other.name, ())}
        if other.key in keys and same_tunnels and shared_pairs:
            values.problems.append(
                f"{other.where}.key {other.key} is also that of {keys[other.key].where}; give one of them another key."
            )


def _direct(values: Values, overlay: Overlay, segments: list[Segment]) -> None:
    """Hosts with endpoints of a segment have a tunnel to each other, because nothing is forwarded from tunnel to tunnel."""
    pairs = values.edges.get(overlay.name)
    if pairs is None or INVALID in (overlay.hubs, overlay.links) or mesh.missing(pairs) is None:
        return  # Hosts that the overlay does not join at all are told by the checks of every overlay.
    joined, part = {frozenset(pair) for pair in pairs}, mesh.components(values.order, pairs)
    hosts = values.members()
    for segment in segments:
        for first, other in itertools.combinations(hosts.get(segment.name, ()), 2):
            if part[first] == part[other] and frozenset((first, other)) not in joined:
                values.problems.append(
                    f"{segment.where} has endpoints on {first} and {other}, but overlay {overlay.name} has no tunnel between them, and with"
                    " segments_by: key a frame crosses one tunnel only; add the tunnel, or take topology full_mesh."
                )
                return


def _flows(values: Values) -> None:
    """The user's flows are flows, and on bridges that the host has."""
    decided = {overlay.bridge: overlay for overlay in values.overlays.values() if overlay.keyed or overlay.ovn}
    for name, host in values.intent.hosts.items():
        bridges = values.bridges_of(name)
        for i, item in enumerate(host.flows):
            where, bridge = f"{name}: fabric_flows[{label(item, i)}]", item["bridge"]
            if bridge in decided:
                whose = "OVN's" if decided[bridge].ovn else "the plan's"
                values.problems.append(
                    f"{where}.bridge {bridge} is that of overlay {decided[bridge].name}, whose flows are {whose}; take another bridge."
                )
            elif bridge is not INVALID and bridge not in bridges and not values.problems:
                values.problems.append(
                    f"{where}.bridge {word(bridge)} is no integration bridge of {name}{suggest(bridge, bridges)}"
                )
            given = {option: item[option] for option in _FLOW if item[option] is not None}
            if INVALID in given.values():
                continue
            if not given or ("flow" not in given and "actions" not in given):
                values.problems.append(
                    f"{where} says nothing to do; give actions, an empty list to drop, or the whole as flow."
                )
                continue
            try:
                declaration(_module_options(given))
            except FabricError as error:
                # To the module this is its only flow, whose number means nothing here.
                values.problems.append(f"{where}: {re.sub('^flow 1,? ?', '', str(error))}.")


def _module_options(flow: Item) -> Item:
    """The options of ovs_flow for one flow on any bridge, to have it checked as the module would."""
    spec = argument_spec()
    item = {name: option.get("default") for name, option in spec["flows"]["options"].items()}
    options = {name: option.get("default") for name, option in spec.items()}
    return {**options, "bridge": "br", "owner": "fabric", "purge": True, "adopt": False, "flows": [{**item, **flow}]}


def _denied(values: Values) -> None:
    """Who must not be reached is known, and would be reached but for the flows."""
    points = {endpoint.identity: endpoint for endpoint in values.endpoints}
    seen: dict[tuple[str, str], str] = {}
    for denied in values.intent.denied:
        ends = []
        for option, name in (("from", denied.source), ("to", denied.target)):
            if not isinstance(name, str):
                # Refused where it was read.
                continue
            if name not in points:
                values.problems.append(f"{denied.where}.{option} {word(name)} is no endpoint{suggest(name, points)}")
            elif points[name].kind == "guest":
                values.problems.append(
                    f"{denied.where}.{option} {name} is a guest; verify tries this between namespaces only, so leave it out."
                )
            else:
                ends.append(points[name])
        if len(ends) < 2:
            continue
        if ends[0] is ends[1] or ends[0].segment != ends[1].segment:
            values.problems.append(
                f"{denied.where} has {denied.source} and {denied.target}; name two endpoints of one segment, as others are kept apart anyway."
            )
        first = seen.setdefault((ends[0].id, ends[1].id), denied.where)
        if first != denied.where:
            values.problems.append(
                f"{first} and {denied.where} both are from {ends[0].id} to {ends[1].id}; make them one."
            )


# The items of the plan ---------------------------------------------------------------------------------------------


def flows(values: Values, guests: Guests, judged: dict[str, Judged]) -> dict[str, list[Item]]:
    """The flows of each host, one entry a bridge, as the module ovs_flow takes them. judged: the segments with a policy."""
    found = {name: _users_flows(values.intent.hosts[name].flows) for name in values.order}
    for overlay, tenancies in _tenancies(values, guests, judged):
        for name, here in tenancies.items():
            found[name].append({"bridge": overlay.bridge, "flows": [{"flow": flow} for flow in pipeline(here)]})
    return found


def _users_flows(items: list[Item]) -> list[Item]:
    """The flows that the intent itself states."""
    by_bridge: dict[str, list[Item]] = {}
    for item in items:
        flow = {option: item[option] for option in _FLOW if item[option] is not None}
        by_bridge.setdefault(item["bridge"], []).append(flow)
    return [{"bridge": bridge, "flows": there} for bridge, there in by_bridge.items()]


def secure(entries: list[Item]) -> set[str]:
    """The bridges on which one of the flows is for all packets, so that the bridge forwards nothing by itself."""
    return {entry["bridge"] for entry in entries if any(map(_catches_all, entry["flows"]))}


def _catches_all(item: Item) -> bool:
    """Whether a flow is the one of priority 0 for all packets in table 0."""
    if "flow" in item:
        head = item["flow"].partition("actions=")[0].replace(" ", "").strip(",")
        return set(filter(None, head.split(","))) in ({"priority=0"}, {"priority=0", "table=0"})
    return not item.get("table") and item.get("priority") == 0 and not item.get("match")


def _tenancies(
    values: Values, guests: Guests, judged: dict[str, Judged]
) -> t.Iterator[tuple[Overlay, dict[str, list[Tenancy]]]]:
    """For each overlay by key, what of its segments is on each host that has a tunnel or an endpoint of it."""
    points: dict[str, dict[str, list[Point]]] = {}
    for segment_name, host, point in _points(values, guests):
        points.setdefault(segment_name, {}).setdefault(host, []).append(point)
    sockets = {(wire.name, host): wire.port for host, found in values.wires.items() for wire in found if not wire.user}
    carried = values.carried()
    for overlay in values.overlays.values():
        if not overlay.keyed:
            continue
        joined = {frozenset(pair) for pair in values.edges[overlay.name]}
        result: dict[str, list[Tenancy]] = {name: [] for pair in joined for name in pair}
        for segment in carried[overlay.name]:
            if segment.key is None:
                raise LookupError(f"{segment.where} has no key, in an overlay by key")
            on_hosts = points.get(segment.name, {})
            for name, local in on_hosts.items():
                others = [other for other in on_hosts if frozenset((name, other)) in joined]
                tunnel = {other: mesh.tunnel_name(overlay.name, overlay.tunnel_names, name, other) for other in others}
                result.setdefault(name, []).append(
                    Tenancy(
                        segment.key,
                        [point._replace(also=tunnel.get(point.also or "")) for point in local],
                        list(_remote(name, tunnel, on_hosts)),
                        [tunnel[other] for other in others],
                        sockets.get((segment.name, name)),
                        guarded=segment.dhcp is not None,
                        judged=judged.get(segment.name),
                    )
                )
        yield overlay, result


def _remote(name: str, tunnel: dict[str, str], on_hosts: dict[str, list[Point]]) -> t.Iterator[Point]:
    """What a host sees of the others' endpoints. tunnel: to each of these hosts."""
    for other, port in tunnel.items():
        for point in on_hosts[other]:
            # One that is moved is a point of both its hosts, and once here.
            first = point.also not in tunnel or other < str(point.also)
            if point.also != name and first:
                yield point._replace(port=port, also=tunnel.get(point.also or ""))


def _points(values: Values, guests: Guests) -> t.Iterator[tuple[str, str, Point]]:
    """Everything that is plugged into bridges of flows: (segment, host, what the host sees of it)."""
    for endpoint in values.endpoints:
        if endpoint.kind in IN_NAMESPACE:
            addressed = values.addressed[endpoint.id]
            found = [str(value.value) for value in (addressed.address, addressed.address6) if value.value]
            found += map(str, (*endpoint.further, *endpoint.virtual))
            yield (
                endpoint.segment,
                endpoint.host,
                Point(
                    endpoint.outer,
                    addressed.mac.value,
                    found,
                    serves=endpoint.serves,
                    routes=endpoint.forwards(6),
                    trusted=endpoint.is_router,
                ),
            )
    for host, there in guests.by_host.items():
        ports = {wire.user: wire.port for wire in values.wires[host]}
        for guest in there:
            for number, nic in enumerate(guest.nics):
                if nic.segment is not None and (guest.endpoint.id, number) in ports:
                    point = Point(
                        ports[guest.endpoint.id, number],
                        nic.mac,
                        [str(address) for address, _subnet in nic.addresses],
                        trusted=guest.endpoint.is_router,
                    )
                    # While it is moved it is on both hosts, behind wires of one name, and whichever it runs on has what is sent to it.
                    for place, other in _places(guest.endpoint):
                        yield nic.segment.name, place, point._replace(also=other)


def _places(endpoint: Endpoint) -> list[tuple[str, str | None]]:
    """The hosts of an endpoint, each with the other one between which it is just being moved."""
    if not endpoint.moving:
        return [(endpoint.host, None)]
    return [(endpoint.host, endpoint.stated), (endpoint.stated, endpoint.host)]

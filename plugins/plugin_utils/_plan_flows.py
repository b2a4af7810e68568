# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenFlow in the plan: segments that are told apart by tunnel key, the user's own flows, and who they keep apart.

This file is private to the collection.
"""
from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns_veth import default_outer
from ansible_collections.overloom.fabric.plugins.module_utils._ovs_flow import argument_spec, declaration
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.plugin_utils import _plan_mesh as mesh
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent import DST_PORTS, KEY_BITS, Endpoint, Overlay, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._pipeline import TABLES, Point, Tenancy, pipeline
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan_values import Values
from ansible_collections.overloom.fabric.plugins.plugin_utils._spec import INVALID, label, suggest, word

Item = t.Dict[str, t.Any]

# The options of a flow as the module takes it.
_FLOW = ("flow", "table", "priority", "match", "actions")


# Checks ------------------------------------------------------------------------------------------------------------


def check(values: Values) -> None:
    """All checks of this file; what is wrong goes to the values' problems."""
    carried = values.carried()
    for overlay in values.overlays.values():
        if overlay.keyed:
            _overlay(values, overlay, carried[overlay.name])
    for segment in values.segments.values():
        overlay = values.overlays.get(segment.overlay) if segment.overlay is not INVALID else None
        if segment.key and segment.overlay is not INVALID and not (overlay and overlay.segments_by != "vlan"):
            values.problems.append(
                f"{segment.where}.key is for overlays with segments_by: key; leave it out, or say so in"
                f" {overlay.where if overlay else 'an overlay of fabric_overlays'}.segments_by."
            )
    _guests(values)
    _flows(values)
    _denied(values)


def _guests(values: Values) -> None:
    """A guest's port has another number after each start of the guest, so flows that name it would be about another port."""
    for endpoint in values.endpoints:
        guest = endpoint.guest if isinstance(endpoint.guest, dict) else {}
        for name in [endpoint.segment] * (endpoint.kind == "guest") + [nic["segment"] for nic in guest.get("nics") or () if isinstance(nic, dict)]:
            segment = values.segments.get(name) if name else None
            if segment and values.keyed(segment):
                values.problems.append(
                    f"{endpoint.where} is a guest on segment {name}, whose overlay has segments_by: key, where guests cannot be yet;"
                    " put it on a segment with a vlan."
                )


def _overlay(values: Values, overlay: Overlay, segments: list[Segment]) -> None:
    """An overlay whose segments are told apart by key."""
    problems, where = values.problems, overlay.where
    if overlay.key is not None:
        problems.append(f"{where}.key is of no use with segments_by: key, where each segment has its own; leave it out.")
    if overlay.loop_guard in ("rstp", "none"):
        problems.append(f"{where}.loop_guard {overlay.loop_guard} is for segments_by: vlan; leave it out, as the flows let nothing circle.")
    sharing = [other for other in values.overlays.values() if other is not overlay and other.bridge and other.bridge == overlay.bridge]
    for other in sharing:
        if not other.keyed or other.name < overlay.name:
            problems.append(
                f"{where}.bridge {overlay.bridge} is also that of {other.name}, but with segments_by: key it belongs to one overlay alone;"
                " give it another bridge."
            )
    owner: dict[int, Segment] = {}
    bits = KEY_BITS.get(overlay.encapsulation, 32)
    for segment in segments:
        if segment.vlan is not None:
            problems.append(f"{segment.where}.vlan is of no use on overlay {overlay.name}, which tells segments apart by key; leave it out.")
        if segment.key is None:
            problems.append(f"{segment.where}.key is missing; overlay {overlay.name} has segments_by: key, so give each segment a key of its own.")
        elif segment.key is not INVALID and segment.key >= 2**bits:
            problems.append(f"{segment.where}.key must be 1 to {2**bits - 1} ({bits} bits with {overlay.encapsulation}), not {segment.key}.")
        elif segment.key is not INVALID and owner.setdefault(segment.key, segment) is not segment:
            problems.append(f"{owner[segment.key].where} and {segment.where} both have the key {segment.key}; give one of them another key.")
    _same_key(values, overlay, owner)
    _direct(values, overlay, segments)


def _same_key(values: Values, overlay: Overlay, keys: dict[int, Segment]) -> None:
    """No other overlay's tunnels between the same hosts take the packets of a segment's key."""

    def port(one: Overlay) -> int | None:
        return one.options["dst_port"] or DST_PORTS.get(one.encapsulation)

    pairs = {frozenset(pair) for pair in values.edges.get(overlay.name, ())}
    for other in values.overlays.values():
        if other.key in keys and other.encapsulation == overlay.encapsulation and port(other) == port(overlay):
            if pairs & {frozenset(pair) for pair in values.edges.get(other.name, ())}:
                values.problems.append(f"{other.where}.key {other.key} is also that of {keys[other.key].where}; give one of them another key.")


def _direct(values: Values, overlay: Overlay, segments: list[Segment]) -> None:
    """Hosts with endpoints of a segment have a tunnel to each other, because nothing is forwarded from tunnel to tunnel."""
    pairs = values.edges.get(overlay.name)
    if pairs is None or INVALID in (overlay.hubs, overlay.links) or mesh.missing(pairs) is None:
        return  # Hosts that the overlay does not join at all are told by the checks of every overlay.
    joined, part = {frozenset(pair) for pair in pairs}, mesh.components(values.order, pairs)
    hosts: dict[str, dict[str, None]] = {}
    for endpoint in values.endpoints:
        hosts.setdefault(endpoint.segment, {})[endpoint.host] = None
    for segment in segments:
        first, *others = hosts.get(segment.name, {None: None})
        while others:
            for other in others:
                if part[first] == part[other] and frozenset((first, other)) not in joined:
                    values.problems.append(
                        f"{segment.where} has endpoints on {first} and {other}, but overlay {overlay.name} has no tunnel between them, and with"
                        " segments_by: key a frame crosses one tunnel only; add the tunnel, or take topology full_mesh."
                    )
                    return
            first, *others = others


def _flows(values: Values) -> None:
    """The user's flows are flows, and on bridges that the host has."""
    keyed = {overlay.bridge: overlay for overlay in values.overlays.values() if overlay.keyed}
    for name, host in values.intent.hosts.items():
        bridges = values.bridges_of(name)
        for i, item in enumerate(host.flows):
            where, bridge = f"{name}: fabric_flows[{label(item, i)}]", item["bridge"]
            if bridge in keyed:
                values.problems.append(f"{where}.bridge {bridge} is that of overlay {keyed[bridge].name}, whose flows are the plan's; take another bridge.")
            elif bridge is not INVALID and bridge not in bridges and not values.problems:
                values.problems.append(f"{where}.bridge {word(bridge)} is no integration bridge of {name}{suggest(bridge, bridges)}")
            given = {option: item[option] for option in _FLOW if item[option] is not None}
            if INVALID in given.values():
                continue
            if not given or ("flow" not in given and "actions" not in given):
                values.problems.append(f"{where} says nothing to do; give actions, an empty list to drop, or the whole as flow.")
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
    points = {endpoint.id: endpoint for endpoint in values.endpoints}
    seen: dict[tuple[str, str], str] = {}
    for denied in values.intent.denied:
        ends = []
        for option, name in (("from", denied.source), ("to", denied.target)):
            if name is not INVALID and name not in points:
                values.problems.append(f"{denied.where}.{option} {word(name)} is no endpoint{suggest(name, points)}")
            elif name is not INVALID and points[name].kind == "guest":
                values.problems.append(f"{denied.where}.{option} {name} is a guest; verify tries this between namespaces only, so leave it out.")
            elif name is not INVALID:
                ends.append(points[name])
        if len(ends) < 2:
            continue
        if ends[0] is ends[1] or ends[0].segment != ends[1].segment:
            values.problems.append(
                f"{denied.where} has {denied.source} and {denied.target}; name two endpoints of one segment, as others are kept apart anyway."
            )
        first = seen.setdefault((ends[0].id, ends[1].id), denied.where)
        if first != denied.where:
            values.problems.append(f"{first} and {denied.where} both are from {ends[0].id} to {ends[1].id}; make them one.")


# The items of the plan ---------------------------------------------------------------------------------------------


def fill(values: Values, hosts: dict[str, Item]) -> None:
    """Give each host its `flows`, one entry a bridge, and each integration bridge its fail mode and the names of its tables."""
    for name, host in hosts.items():
        host["flows"] = []
        for item in values.intent.hosts[name].flows:
            entry = next((entry for entry in host["flows"] if entry["bridge"] == item["bridge"]), None)
            if entry is None:
                entry = {"bridge": item["bridge"], "flows": []}
                host["flows"].append(entry)
            entry["flows"].append({option: item[option] for option in _FLOW if item[option] is not None})
    for overlay, tenancies in _tenancies(values):
        for name, found in tenancies.items():
            hosts[name]["flows"].append({"bridge": overlay.bridge, "flows": [{"flow": flow} for flow in pipeline(found)]})
    keyed = {overlay.bridge for overlay in values.overlays.values() if overlay.keyed}
    for name, host in hosts.items():
        whole = {entry["bridge"] for entry in host["flows"] if any(map(_catches_all, entry["flows"]))}
        for bridge in host["bridges"]:
            if "ports" not in bridge:  # The underlay's bridge is no integration bridge.
                # Without a controller, Open vSwitch itself keeps NORMAL at table 0, priority 0 of a bridge that is not secure.
                bridge["fail_mode"] = "secure" if bridge["name"] in whole else ""
                named = TABLES.items() if bridge["name"] in keyed else ()
                bridge["flow_tables"] = [{"table": table, "name": title} for table, title in named]


def _catches_all(item: Item) -> bool:
    """Whether a flow is the one of priority 0 for all packets in table 0."""
    if "flow" in item:
        head = item["flow"].partition("actions=")[0].replace(" ", "").strip(",")
        return set(filter(None, head.split(","))) in ({"priority=0"}, {"priority=0", "table=0"})
    return not item.get("table") and item.get("priority") == 0 and not item.get("match")


def _tenancies(values: Values) -> t.Iterator[tuple[Overlay, dict[str, list[Tenancy]]]]:
    """For each overlay by key, what of its segments is on each host that has a tunnel or an endpoint of it."""
    points: dict[str, dict[str, list[Endpoint]]] = {}
    for endpoint in values.endpoints:
        points.setdefault(endpoint.segment, {}).setdefault(endpoint.host, []).append(endpoint)
    carried = values.carried()
    for overlay in values.overlays.values():
        if not overlay.keyed:
            continue
        result: dict[str, list[Tenancy]] = {name: [] for pair in values.edges[overlay.name] for name in pair}
        tunnel = {name: mesh.tunnel_name(overlay.name, name) for name in values.order}
        for segment in carried[overlay.name]:
            on_hosts = points.get(segment.name, {})
            for name, local in on_hosts.items():
                others = [other for other in on_hosts if other != name]
                result.setdefault(name, []).append(
                    Tenancy(
                        segment.key,
                        [_point(values, endpoint, default_outer(endpoint.name, endpoint.interface)) for endpoint in local],
                        [_point(values, endpoint, tunnel[other]) for other in others for endpoint in on_hosts[other]],
                        [tunnel[other] for other in others],
                    )
                )
        yield overlay, result


def _point(values: Values, endpoint: Endpoint, port: str) -> Point:
    addressed = values.addressed[endpoint.id]
    found = (addressed.address.value, addressed.address6.value)
    return Point(port, addressed.mac.value, [str(address) for address in found if address])

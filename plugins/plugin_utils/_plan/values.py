# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of a plan that one thing alone decides: which overlay a segment is on, MTUs, addresses, the mesh and its guard.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    IPV4_MIN_MTU,
    IPV6_MIN_MTU,
    Endpoint,
    Intent,
    Segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses, mesh, wires
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mtu import overhead, spelled
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.routers import Routers

# The bridge of segments that no overlay carries.
LOCAL_BRIDGE = "br-int"


class Values:
    """All of them, each settled once. What is wrong goes to problems; a value that hangs on a refused one is INVALID or absent.

    overlays, segments: by name. order: the hosts by id. ids, teps: of each host. edges, guards: of each overlay.
    mtus: of each segment. on_segment: endpoints by segment. addressed: of each endpoint, by its id. routing: links and routers. wires: of each host.
    """

    def __init__(self, intent: Intent, problems: list[str]) -> None:
        self.intent = intent
        self.problems = problems
        self.overlays = {overlay.name: overlay for overlay in intent.overlays}
        self.segments = {segment.name: segment for segment in intent.segments}
        self.endpoints: list[Endpoint] = [endpoint for host in intent.hosts.values() for endpoint in host.endpoints]
        self.on_segment: dict[str, list[Endpoint]] = {}
        for endpoint in self.endpoints:
            self.on_segment.setdefault(endpoint.segment, []).append(endpoint)
        self.ids = addresses.host_ids(intent, problems)
        self.order = sorted(intent.hosts, key=lambda name: (self.ids[name].value or 0, name))
        self.teps = addresses.teps(intent, self.ids, problems)
        self.routing = Routers(intent, self.ids, self.teps, problems)
        self._resolve_overlays()
        self._forget_numbers()
        self.edges = {name: mesh.edges(o, self.order, problems) for name, o in self.overlays.items() if o.topology}
        self.guards = {name: mesh.guard(self.overlays[name], pairs, problems) for name, pairs in self.edges.items()}
        self.mtus = {name: self._mtu(segment) for name, segment in self.segments.items()}
        self.addressed = addresses.endpoints(intent, self.segments, self.ids, problems)
        keyed = {name: segment for name, segment in self.segments.items() if self.keyed(segment)}
        self.wires = {
            name: wires.wires(name, host.endpoints, keyed, problems) if keyed else []
            for name, host in intent.hosts.items()
        }

    def bridge_of(self, segment: Segment) -> str | t.Any:
        """The bridge that a segment's endpoints are plugged into."""
        if segment.overlay is None:
            return LOCAL_BRIDGE
        return self.overlays[segment.overlay].bridge if segment.overlay else INVALID

    def keyed(self, segment: Segment) -> bool:
        """Whether the segment is told apart from others by its tunnel key."""
        return bool(segment.overlay) and self.overlays[segment.overlay].keyed

    def ovn(self, segment: Segment) -> bool:
        """Whether the segment is a logical switch of OVN."""
        return bool(segment.overlay) and self.overlays[segment.overlay].ovn

    def holders(self, segment: str, address: addresses.Address | None) -> list[str]:
        """The endpoints that have an address of a segment, edges in namespaces among them."""
        found = []
        for endpoint in self.on_segment.get(segment, ()):
            addressed = self.addressed.get(endpoint.id)
            own = (addressed.address.value, addressed.address6.value) if addressed else ()
            if addressed and address and address in (*own, *endpoint.further, *endpoint.virtual):
                found.append(endpoint.id)
        return found

    def members(self) -> dict[str, dict[str, None]]:
        """For each segment that there is the hosts that have an endpoint of it, or a guest with a further NIC there."""
        found: dict[str, dict[str, None]] = {}
        for endpoint in self.endpoints:
            for _number, name in wires.nics(endpoint):
                if name in self.segments:
                    found.setdefault(name, {})[endpoint.host] = None
        return found

    def bridges_of(self, host: str) -> list[str]:
        """The integration bridges that a host has: those of its tunnels and of its endpoints."""
        found = []
        for name, pairs in self.edges.items():
            overlay = self.overlays[name]
            if overlay.ovn or overlay.peers or any(host in pair for pair in pairs):
                found.append(overlay.bridge)
        found += [
            self.bridge_of(self.segments[e.segment])
            for e in self.intent.hosts[host].endpoints
            if e.segment in self.segments
        ]
        return [bridge for bridge in dict.fromkeys(found) if bridge]

    def joined(self) -> dict[str, dict[str, str]]:
        """For each overlay the hosts that it joins, each by the name of its component."""
        return {
            name: dict.fromkeys(self.order, name)
            if self.overlays[name].bare or self.overlays[name].ovn
            else mesh.components(self.order, pairs)
            for name, pairs in self.edges.items()
        }

    def carried(self) -> dict[str, list[Segment]]:
        """The segments of each overlay."""
        result: dict[str, list[Segment]] = {name: [] for name in self.overlays}
        for segment in self.segments.values():
            if segment.overlay:
                result[segment.overlay].append(segment)
        return result

    def _resolve_overlays(self) -> None:
        """The overlay of each segment that does not name one."""
        sure = "fabric_overlays" not in self.intent.refused
        for segment in self.segments.values():
            where, named = f"{segment.where}.overlay", segment.overlay
            if named is INVALID or named in self.overlays:
                continue
            if named is None and not self.overlays and sure:
                continue
            segment.overlay = INVALID
            if not sure:
                continue
            if named is not None:
                ending = suggest(named, self.overlays) if self.overlays else "; fabric_overlays is empty."
                self.problems.append(f"{where} {word(named)} is no overlay{ending}")
            elif len(self.overlays) == 1:
                segment.overlay = next(iter(self.overlays))
            else:
                self.problems.append(
                    f"{where} is missing; there are several overlays, so name one: {', '.join(self.overlays)}."
                )

    def _forget_numbers(self) -> None:
        """What the engine of a segment does not tell it apart by means nothing there, so one intent has the numbers of several.

        OVN numbers its switches by itself. A key without a VLAN ID, where bridges learn, is one that was forgotten, and is told.
        """
        for segment in self.segments.values():
            # One that was refused stays so.
            if self.ovn(segment) or self.keyed(segment):
                segment.vlan = segment.vlan and None
            if self.ovn(segment) or (segment.overlay and segment.vlan):
                segment.key = segment.key and None

    def _room(self, segment: Segment) -> tuple[int, str] | None:
        """The largest MTU that a segment may have, and how it comes about; None if something that it hangs on was refused."""
        underlay = self.intent.underlay
        if not (underlay.mtu and segment.subnet) or segment.mtu is INVALID or segment.vlan is INVALID:
            return None
        if segment.overlay is None:
            return underlay.mtu, f"underlay {underlay.mtu}, as the segment is local"
        overlay = self.overlays[segment.overlay] if segment.overlay else None
        if not (overlay and overlay.encapsulation and underlay.subnet) or overlay.key is INVALID:
            return None
        # A VLAN tag is outside of what a NIC counts as its MTU (IEEE 802.3, 3.2.7).
        parts = (
            []
            if overlay.bare
            else overhead(
                overlay.encapsulation,
                underlay.subnet.version,
                overlay.key is not None or overlay.keyed,
                bool(overlay.options["csum"]),
                segment.vlan is not None,
                overlay.ovn,
            )
        )
        return underlay.mtu - sum(size for _what, size in parts), spelled(underlay.mtu, parts)

    def _mtu(self, segment: Segment) -> addresses.Value:
        """The segment's MTU: as given, else the largest that fits."""
        unknown = addresses.Value(INVALID, "")
        room = self._room(segment)
        if room is None:
            return unknown
        largest, how = room
        # What stays on its host passes no underlay.
        if segment.mtu and segment.overlay is None:
            return addresses.Value(segment.mtu, f"given: {segment.where}.mtu")
        six = segment.subnet.version == 6 or segment.subnet6
        if segment.mtu and segment.mtu > largest:
            self.problems.append(
                f"{segment.where}.mtu {segment.mtu} does not fit; at most {largest} = {how}: lower it, leave it out, or raise fabric_underlay.mtu."
            )
            return unknown
        if segment.mtu:
            return addresses.Value(segment.mtu, f"given: {segment.where}.mtu")
        least = IPV6_MIN_MTU if six else IPV4_MIN_MTU
        if largest < least:
            self.problems.append(
                f"{segment.where} gets the MTU {largest} = {how}, but IPv{6 if six else 4} needs {least}; raise fabric_underlay.mtu."
            )
            return unknown
        return addresses.Value(largest, f"derived: {how}")

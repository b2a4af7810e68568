# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wires: how a port that comes and goes is plugged into a bridge whose flows tell segments apart by key.

Flows know ports by number, and a guest's port has another number after each start of the guest. So it is not plugged into that bridge but
into a second one beside it, the plug bridge, which switches by VLANs and has no flows. Each VLAN there is one wire: a patch cable, which is
always there, leads from it to the bridge of flows. The numbers of these VLANs mean something on their host only.

A guest's NIC has a wire of its own, so what the flows know of it they know of its port. A segment with `learn` has one on each of its hosts, for
whatever somebody plugs in.

This file is private to the collection.
"""

from __future__ import annotations

import hashlib
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import default_outer
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Endpoint, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import mesh
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.unset import UNSET

Item = t.Dict[str, t.Any]
VLANS = 4094


class Wire(t.NamedTuple):
    """One wire on a host.

    name: of the portgroup that leads to it: the guest's port, or the segment. port: the cable's end at the bridge of flows;
    far: that at the plug bridge. user: (endpoint's id, number of its NIC), or None for the wire of a segment.
    """

    name: str
    segment: Segment
    port: str
    far: str
    vlan: int
    user: tuple[str, int] | None


def plug_bridge(bridge: str) -> str:
    """The bridge beside a bridge of flows that guests are plugged into."""
    name = f"{bridge}-plug"
    return name if len(name) <= 15 else mesh.shortened(name)


def nics(endpoint: Endpoint) -> list[tuple[int, str]]:
    """The NICs of an endpoint that are access ports: (number, segment's name)."""
    guest = endpoint.guest if endpoint.kind == "guest" and isinstance(endpoint.guest, dict) else {}
    further = [
        (number, item["segment"]) for number, item in enumerate(guest.get("nics") or (), 1) if isinstance(item, dict)
    ]
    return [(0, endpoint.segment), *((number, name) for number, name in further if name)]


def wires(host: str, endpoints: t.Iterable[Endpoint], keyed: dict[str, Segment], problems: list[str]) -> list[Wire]:
    """The wires of a host. keyed: the segments that are told apart by key, by name."""
    wanted: dict[str, tuple[str, Segment, tuple[str, int] | None]] = {}
    learning: dict[str, Segment] = {}
    for endpoint in endpoints:
        for number, name in nics(endpoint):
            segment = keyed.get(name)
            if segment and segment.learn:
                learning[name] = segment
            if segment and endpoint.kind == "guest":
                dev = default_outer(endpoint.name, f"eth{number}")
                wanted[f"{endpoint.id}/{number}"] = (dev, segment, (endpoint.id, number))
    wanted.update({f"/{name}": (name, segment, None) for name, segment in learning.items()})
    found: list[Wire] = []
    taken: set[int] = set()
    for identity, (name, segment, user) in wanted.items():
        # From the name, so that others that come and go do not move it, unless two meet.
        vlan = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") % VLANS + 1
        while vlan in taken:
            vlan = vlan % VLANS + 1
        taken.add(vlan)
        if len(taken) == VLANS:
            problems.append(
                f"{host}: has {len(wanted)} NICs of guests and segments with learn on overlays with segments_by: key, but {VLANS - 1} at most can be."
            )
            break
        ends = (f"p{name[1:]}", f"q{name[1:]}") if user else (_end("s", name), _end("t", name))
        found.append(Wire(name, segment, *ends, vlan, user))
    return found


def _end(letter: str, name: str) -> str:
    return letter + default_outer(name, "eth0")[1:]


Cables = t.Dict[t.Tuple[str, str], t.List[Wire]]


def cables(bridge_of: t.Callable[[Segment], str], found: t.Iterable[Wire]) -> Cables:
    """The wires of a host by the two bridges that they join: that of flows, and the plug bridge beside it."""
    joined: Cables = {}
    for wire in found:
        near = bridge_of(wire.segment)
        joined.setdefault((near, plug_bridge(near)), []).append(wire)
    return joined


def ends(bridge: str, joined: Cables) -> Item:
    """A bridge's ends of the cables, as options of ovs_bridge; nothing for a bridge that no cable leads to."""
    for (near, far), found in joined.items():
        if bridge == near:
            return {"ports": [_patch(wire.port, wire.far, UNSET) for wire in found]}
        if bridge == far:
            return {
                # A wire of two ends has nothing to learn, so nobody can turn it away from the guest.
                "flood_vlans": [wire.vlan for wire in found if wire.user],
                "ports": [_patch(wire.far, wire.port, wire.vlan) for wire in found],
            }
    return {}


def _patch(name: str, peer: str, tag: int | str) -> Item:
    return {"name": name, "type": "patch", "peer": peer, "tag": tag, "trunks": [], "vlan_mode": UNSET}

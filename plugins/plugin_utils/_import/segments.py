# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The segments of hosts that were built by hand: what the endpoints of one VLAN of one bridge are on.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._import.endpoints import Endpoint
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.overlays import Overlay
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.reading import Host, Note, most_common
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.underlay import Underlay
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mtu import overhead
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import LOCAL_BRIDGE

Item = t.Dict[str, t.Any]
Key = t.Tuple[str, t.Optional[int]]
STAYS = "it stays as it is, outside of the fabric, and is not made again at boot"


class Segment(t.NamedTuple):
    """A segment as the intent has it, and those who are on it."""

    item: Item
    endpoints: list[Endpoint]


def segments(found: list[Endpoint], meshes: list[Overlay], underlay: Underlay, notes: list[Note]) -> list[Segment]:
    """The segments of all endpoints that the intent can have; the others are told of."""
    by_key: dict[Key, list[Endpoint]] = {}
    for endpoint in found:
        by_key.setdefault((endpoint.bridge, endpoint.vlan), []).append(endpoint)
    vlans = [vlan for _bridge, vlan in by_key]
    result = []
    for key in sorted(by_key, key=lambda key: (key[0], key[1] or 0)):
        members = _alike(by_key[key], notes)
        carrier = _carrier(key, meshes, underlay)
        if carrier is None:
            for endpoint in members:
                why = f"no tunnel of these hosts carries {_called(key)} of bridge {endpoint.bridge}"
                notes.append(Note(endpoint.host, f"namespace {endpoint.name}", why, STAYS))
            continue
        result.append(_segment(key, vlans.count(key[1]) == 1, members, carrier, underlay))
    return result


def passing(found: list[Segment], meshes: list[Overlay], hosts: t.Collection[Host], notes: list[Note]) -> None:
    """Tell the VLANs that pass tunnels and would not any more, as no endpoint is on them: the intent needs their subnet."""
    for overlay in meshes:
        used = {each.item.get("vlan", 0) for each in found if each.item.get("overlay") == overlay.name}
        if used <= {0}:
            continue  # the plan then limits no tunnel
        for vlan in sorted(_in_use(overlay, hosts) - used):
            named = f"name: vlan{vlan}, vlan: {vlan}" if vlan else "name: untagged"
            item = f"{{{named}, overlay: {overlay.name}, subnet: SUBNET}}"
            why = "it passes the tunnels, but no endpoint is on it, so nothing tells its subnet, and site.yml would take it off the tunnels"
            where = " and ".join(host.name for host in hosts)
            thing = f"{_called((overlay.bridge, vlan or None))} of bridge {overlay.bridge}"
            notes.append(Note(where, thing, why, f"add {item} to fabric_segments with its subnet"))


def _in_use(overlay: Overlay, hosts: t.Iterable[Host]) -> set[int]:
    """The VLANs that the tunnels are limited to, and those of ports on their bridge; 0 for untagged frames."""
    found = set(overlay.vlans or ())
    for host in hosts:
        ports = [port for port in host.ports.values() if port["bridge"] == overlay.bridge]
        found |= {port["tag"] or 0 for port in ports if overlay.carries(port["tag"])}
    return found


class _Bare(t.NamedTuple):
    """What carries a segment without tunnels: the underlay itself, or nothing beyond the host."""

    name: str | None


Carrier = t.Union[Overlay, _Bare]


def _called(key: Key) -> str:
    return "untagged frames" if key[1] is None else f"VLAN {key[1]}"


def _carrier(key: Key, meshes: list[Overlay], underlay: Underlay) -> Carrier | None:
    """The overlay of a segment; None if there is none, or several may be it."""
    bridge, vlan = key
    place = next(iter(underlay.places.values()))
    if bridge == place.bridge:
        return _Bare("vlan") if vlan is not None else None
    carrying = [overlay for overlay in meshes if overlay.bridge == bridge and overlay.carries(vlan)]
    if len(carrying) == 1:
        return carrying[0]
    return _Bare(None) if not meshes and bridge == LOCAL_BRIDGE else None


def _alike(found: list[Endpoint], notes: list[Note]) -> list[Endpoint]:
    """Those endpoints that share the subnets that most of them have."""
    shared = most_common(endpoint.networks for endpoint in found)
    for endpoint in found:
        if endpoint.networks != shared:
            here, there = _listed(endpoint.networks), _listed(shared)
            why = f"its addresses are in {here}, and those of others on its VLAN are in {there}, but a segment has one subnet of a family"
            notes.append(Note(endpoint.host, f"namespace {endpoint.name}", why, STAYS))
    return [endpoint for endpoint in found if endpoint.networks == shared]


def _listed(networks: t.Iterable[t.Any]) -> str:
    return ", ".join(str(network) for network in networks if network)


def _segment(key: Key, alone: bool, members: list[Endpoint], carrier: Carrier, underlay: Underlay) -> Segment:
    """One segment. alone: whether its VLAN is on no other bridge."""
    bridge, vlan = key
    name = f"vlan{vlan}" if vlan else "untagged"
    item: Item = {"name": name if alone else f"{name}-{bridge}"}
    if vlan is not None:
        item["vlan"] = vlan
    four, six = members[0].networks
    item["subnet"] = str(four or six)
    if four and six:
        item["subnet6"] = str(six)
    if carrier.name:
        item["overlay"] = carrier.name
    mtu, largest = most_common(endpoint.mtu for endpoint in members), _largest_mtu(carrier, vlan, underlay)
    if mtu < largest:
        item["mtu"] = mtu
    return Segment(item, members)


def _largest_mtu(carrier: Carrier, vlan: int | None, underlay: Underlay) -> int:
    """The largest MTU that the plan lets a segment have, in bytes."""
    if isinstance(carrier, _Bare):
        return underlay.mtu
    version = next(iter(underlay.places.values())).address.version
    item = carrier.item
    parts = overhead(item["encapsulation"], version, "key" in item, item.get("csum", False), vlan is not None)
    return underlay.mtu - sum(size for _what, size in parts)

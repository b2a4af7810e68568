# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's part of the plan as the modules take it: tunnels and namespaces. Bridges are in bridges.py.

All that the intent governs is stated, with an empty value where it says nothing: what is taken out of the intent is
then taken off the hosts.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    IN_NAMESPACE,
    Endpoint,
    Overlay,
    Segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses, mesh
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.containers import source_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.services import policy
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.unset import UNSET, or_unset
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.vrrp import alone

Item = t.Dict[str, t.Any]


def tunnels(values: Values) -> dict[str, list[Item]]:
    """The tunnels of each host, as the module ovs_tunnel takes them."""
    carried, plain = values.carried(), _without_trunks(values)
    found: dict[str, list[Item]] = {name: [] for name in values.order}
    for overlay in values.overlays.values():
        trunks = [] if overlay.bridge in plain else sorted(segment.vlan or 0 for segment in carried[overlay.name])
        common = _tunnel(overlay, trunks, values.guards[overlay.name][0])
        # The kernel's datapath knows GRE over IPv6 by this name only; the one in user space takes either.
        six = overlay.encapsulation == "gre" and values.intent.underlay.subnet.version == 6
        for name, peer, address in _tunnel_ends(values, overlay):
            found[name].append(
                {
                    "bridge": overlay.bridge,
                    "name": mesh.tunnel_name(overlay.name, overlay.tunnel_names, name, peer),
                    "type": "ip6gre" if six else overlay.encapsulation,
                    **({"local_ip": str(values.teps[name].value)} if overlay.local_ip else {}),
                    "remote_ip": str(address),
                    **common,
                }
            )
    return found


def _tunnel_ends(values: Values, overlay: Overlay) -> t.Iterator[tuple[str, str, t.Any]]:
    """Each end of an overlay's tunnels: the host, who is at the other end, and that one's address."""
    for one, other in values.edges[overlay.name]:
        yield one, other, values.teps[other].value
        yield other, one, values.teps[one].value
    for peer in overlay.peers:
        for name in values.order:
            yield name, peer.name, peer.address


def namespaces(values: Values, logical_port: t.Callable[[Endpoint], str | None]) -> dict[str, list[Item]]:
    """The network namespaces of each host, as the module netns_veth takes them. logical_port: the name that OVN knows an endpoint by."""
    plain = _without_trunks(values)
    found: dict[str, list[Item]] = {name: [] for name in values.order}
    for endpoint in values.endpoints:
        segment = values.segments[endpoint.segment]
        if endpoint.kind in IN_NAMESPACE:
            item = _namespace(values, endpoint, segment, values.bridge_of(segment) in plain)
            found[endpoint.host].append({**item, "iface_id": or_unset(logical_port(endpoint))})
    return found


def _without_trunks(values: Values) -> set[str]:
    """The bridges that need no lists of VLANs, as all may pass: those with just one untagged segment, or whose flows decide."""
    vlans: dict[str, list[int]] = {overlay.bridge: [] for overlay in values.overlays.values()}
    for segment in values.segments.values():
        vlans.setdefault(values.bridge_of(segment), []).append(segment.vlan or 0)
    decided = {overlay.bridge for overlay in values.overlays.values() if overlay.keyed or overlay.ovn}
    return {bridge for bridge, on_bridge in vlans.items() if on_bridge == [0]} | decided


# The kernel's own limit (gc_thresh3 in arp(7)).
LEAST_NEIGHBORS = 1024


def neighbor_limits(endpoints: list[Item]) -> dict[str, int]:
    """The size of each host's neighbor tables: twice what they hold when all endpoints have talked to all of their segment, as a power of two.

    A kernel has one table for all its network namespaces, and drops packets when it is full (arp(7)).
    """
    members = collections.Counter(
        (point["segment"], family) for point in endpoints for family in ("address", "address6") if point[family]
    )
    held: collections.Counter[str] = collections.Counter()
    for point in endpoints:
        families = [family for family in ("address", "address6") if point[family]]
        held[point["host"]] += sum(members[point["segment"], family] - 1 for family in families)
    return {host: 1 << (max(2 * count, LEAST_NEIGHBORS) - 1).bit_length() for host, count in held.items()}


def _tunnel(overlay: Overlay, trunks: list[int], guard: str) -> Item:
    """What all tunnels of an overlay have in common."""
    options = overlay.options
    return {
        "key": "flow" if overlay.keyed else or_unset(overlay.key),
        "dst_port": or_unset(options["dst_port"]),
        "csum": bool(options["csum"]),
        "ttl": or_unset(options["ttl"]),
        "tos": or_unset(options["tos"]),
        "df_default": options["df_default"] is not False,
        "bfd": options["bfd"] or {},
        "tag": UNSET,
        "vlan_mode": UNSET,
        "trunks": trunks,
        "protected": guard == "split_horizon",
    }


def _namespace(values: Values, endpoint: Endpoint, segment: Segment, plain: bool) -> Item:
    """An endpoint of the kind namespace. plain: its bridge needs no trunk lists."""
    addressed = values.addressed[endpoint.id]
    # An address from DHCP is the client's to set.
    four = None if endpoint.dhcp else addressed.address.value
    pairs = ((four, segment.subnet), (addressed.address6.value, segment.subnet6))
    further = [(one, segment.subnet if one in segment.subnet else segment.subnet6) for one in endpoint.further]
    behavior = policy(endpoint, segment, [address for address, _subnet in pairs])
    if endpoint.movable:
        # While it moves, its addresses are on two hosts, which the kernel would take for a duplicate (RFC 4862).
        behavior["sysctls"] = {f"net/ipv6/conf/{endpoint.interface}/accept_dad": "0", **behavior["sysctls"]}
    return {
        "name": endpoint.space,
        "interface": endpoint.interface,
        "outer": endpoint.outer,
        "bridge": values.bridge_of(segment),
        "tag": or_unset(segment.vlan),
        # An access port needs none; a port of untagged frames would otherwise carry all VLANs of its bridge.
        "trunks": [0] if segment.vlan is None and not plain else [],
        "vlan_mode": UNSET,
        "mtu": values.mtus[segment.name].value,
        "mac": addressed.mac.value,
        "addresses": [
            addresses.with_prefix(address, subnet) for address, subnet in (*pairs, *further) if address and subnet
        ],
        "virtual_addresses": alone(endpoint.virtual),
        **behavior,
        **source_of(endpoint),
    }

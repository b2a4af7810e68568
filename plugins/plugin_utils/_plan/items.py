# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's part of the plan as the modules take it: bridges, tunnels, namespaces.

All that the intent governs is stated, with an empty value where it says nothing: what is taken out of the intent is
then taken off the hosts.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import default_outer
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Endpoint, Overlay, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses, mesh
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]


def fill(values: Values, hosts: dict[str, Item]) -> None:
    """Append the items to each host's `bridges`, `tunnels` and `namespaces`."""
    carried = values.carried()
    vlans: dict[str, list[int]] = {overlay.bridge: [] for overlay in values.overlays.values()}
    for segment in values.segments.values():
        vlans.setdefault(values.bridge_of(segment), []).append(segment.vlan or 0)
    # A bridge that has just the one untagged segment, or whose flows decide, needs no trunk lists: all may pass.
    plain = {bridge for bridge, on_bridge in vlans.items() if on_bridge == [0]} | {
        o.bridge for o in values.overlays.values() if o.keyed
    }
    users: dict[str, dict[str, bool]] = {name: {} for name in hosts}
    for overlay in values.overlays.values():
        trunks = [] if overlay.bridge in plain else sorted(segment.vlan or 0 for segment in carried[overlay.name])
        guard = values.guards[overlay.name][0]
        common = _tunnel(overlay, trunks, guard)
        # The kernel's datapath knows GRE over IPv6 by this name only; the one in user space takes either.
        six = overlay.encapsulation == "gre" and values.intent.underlay.subnet.version == 6
        ends = [
            (name, peer, values.teps[peer].value)
            for pair in values.edges[overlay.name]
            for name, peer in (pair, pair[::-1])
        ]
        ends += [(name, peer.name, peer.address) for peer in overlay.peers for name in hosts]
        for name, peer, address in ends:
            users[name][overlay.bridge] = guard == "rstp"
            hosts[name]["tunnels"].append(
                {
                    "bridge": overlay.bridge,
                    "name": mesh.tunnel_name(overlay.name, peer),
                    "type": "ip6gre" if six else overlay.encapsulation,
                    "local_ip": str(values.teps[name].value),
                    "remote_ip": str(address),
                    **common,
                }
            )
    for endpoint in values.endpoints:
        segment = values.segments[endpoint.segment]
        bridge = values.bridge_of(segment)
        users[endpoint.host].setdefault(bridge, False)
        if endpoint.kind == "namespace":
            hosts[endpoint.host]["namespaces"].append(_namespace(values, endpoint, segment, bridge in plain))
    for name, found in values.wires.items():
        for wire in found:
            users[name].setdefault(values.bridge_of(wire.segment), False)
    for name, host in hosts.items():
        host["bridges"].append(_underlay_bridge(host["underlay"]))
        host["bridges"] += [
            {"name": bridge, "rstp": rstp}
            for bridge, rstp in users[name].items()
            if bridge != host["underlay"]["bridge"]
        ]


def neighbours(endpoints: list[Item]) -> collections.Counter[str]:
    """How many entries the neighbour tables of each host's kernel hold when all endpoints have talked to all of their segment.

    A kernel has one table for all its network namespaces (arp(7)).
    """
    members = collections.Counter(
        (point["segment"], family) for point in endpoints for family in ("address", "address6") if point[family]
    )
    found: collections.Counter[str] = collections.Counter()
    for point in endpoints:
        found[point["host"]] += sum(
            members[point["segment"], family] - 1 for family in ("address", "address6") if point[family]
        )
    return found


def _tunnel(overlay: Overlay, trunks: list[int], guard: str) -> Item:
    """What all tunnels of an overlay have in common."""
    options = overlay.options
    return {
        "key": "flow" if overlay.keyed else _or_clear(overlay.key),
        "dst_port": _or_clear(options["dst_port"]),
        "csum": bool(options["csum"]),
        "ttl": _or_clear(options["ttl"]),
        "tos": _or_clear(options["tos"]),
        "df_default": options["df_default"] is not False,
        "bfd": options["bfd"] or {},
        "tag": "",
        "vlan_mode": "",
        "trunks": trunks,
        "protected": guard == "split_horizon",
    }


def _namespace(values: Values, endpoint: Endpoint, segment: Segment, plain: bool) -> Item:
    """An endpoint of the kind namespace. plain: its bridge needs no trunk lists."""
    addressed = values.addressed[endpoint.id]
    pairs = ((addressed.address.value, segment.subnet), (addressed.address6.value, segment.subnet6))
    return {
        "name": endpoint.name,
        "interface": endpoint.interface,
        "outer": default_outer(endpoint.name, endpoint.interface),
        "bridge": values.bridge_of(segment),
        "tag": _or_clear(segment.vlan),
        # An access port needs none; a port of untagged frames would otherwise carry all VLANs of its bridge.
        "trunks": [0] if segment.vlan is None and not plain else [],
        "vlan_mode": "",
        "mtu": values.mtus[segment.name].value,
        "mac": addressed.mac.value,
        "addresses": [addresses.with_prefix(address, subnet) for address, subnet in pairs if address and subnet],
        "routes": endpoint.routes,
        "sysctls": endpoint.sysctls,
    }


def _underlay_bridge(underlay: Item) -> Item:
    """The bridge of the physical NIC and the tunnel endpoint."""
    tep = underlay["tep"]
    if underlay["links"]:
        return _routed_bridge(underlay)
    return {
        "name": underlay["bridge"],
        "ports": [
            {
                "name": underlay["interface"],
                "up": True,
                "tag": "",
                "trunks": [],
                "vlan_mode": "",
                "mtu": underlay["mtu"],
            },
            {
                "name": tep["name"],
                "type": "internal",
                "tag": _or_clear(tep["vlan"]),
                "trunks": [],
                "vlan_mode": "",
                "mtu": underlay["mtu"],
                "addresses": [tep["address"]],
            },
        ],
    }


def _routed_bridge(underlay: Item) -> Item:
    """The bridge of a routed underlay: for each link its card and a port with the link's address, and the tunnel endpoint by itself.

    Each link is a VLAN inside the bridge, so that nothing passes from one to the other but through the kernel's routing. The ports
    share one MAC address: see underlay_mac().
    """
    common = {"type": "internal", "trunks": [], "vlan_mode": "", "mac": underlay["links"][0]["mac"]}
    tep = {
        "name": underlay["tep"]["name"],
        "tag": "",
        "mtu": underlay["mtu"],
        "addresses": [underlay["tep"]["address"]],
        **common,
    }
    ports = []
    for link in underlay["links"]:
        ports.append(
            {
                "name": link["interface"],
                "up": True,
                "tag": link["vlan"],
                "trunks": [],
                "vlan_mode": "",
                "mtu": link["mtu"],
            }
        )
        ports.append(
            {"name": link["port"], "tag": link["vlan"], "mtu": link["mtu"], "addresses": link["addresses"], **common}
        )
    return {"name": underlay["bridge"], "ports": [*ports, tep]}


def _or_clear(value: t.Any) -> t.Any:
    """A value, or the empty one, which clears the option on the host."""
    return "" if value is None else value

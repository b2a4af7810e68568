# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold if the fabric is as planned: the list of what verify measures. Pure: plan in, plain data out.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import itertools
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import IN_NAMESPACE, OVN
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.unset import as_read
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.containers import expected_containers
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.dhcp import expected_dhcp
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.edges import (
    Ways,
    expected_connections,
    expected_denied,
    expected_forwards,
    expected_pairs,
    expected_tables,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.host_network import expected_interfaces
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.ovn import (
    expected_bindings,
    expected_chassis,
    expected_gateways,
    expected_hops,
    expected_members,
    expected_northd,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.policy import Barred, own_address
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.routers import routing
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.services import expected_services
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.state import SOME
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.uplinks import expected_uplinks
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.vrrp import expected_vrrp

Item = t.Dict[str, t.Any]

# Of a tunnel: what is held, where the plan states it.
TUNNEL_OPTIONS = (
    "bridge",
    "type",
    "local_ip",
    "remote_ip",
    "key",
    "dst_port",
    "csum",
    "ttl",
    "tos",
    "df_default",
    "bfd",
)
# Bytes of an IP packet that are not the payload of an echo request: IPv4 20 (RFC 791) or IPv6 40 (RFC 8200), and ICMP 8.
PING_HEADERS = {4: 28, 6: 48}

# Above so many ordered pairs, a TCP transfer in one direction stands for both.
TCP_BOTH_WAYS = 2000


def expectations(plan: Item, isolation_limit: int | None = 2000) -> Item:
    """All that must hold, as a dictionary of lists.

    teps: a ping from one end of each tunnel to the other, both ways (from and to: hosts; source, address: what to ping; mtu).
    pairs: each ordered pair of endpoints of a segment, for each address of the second, and some between segments by an edge (from, to:
        endpoint ids; segment, family, address, mtu; payload: bytes of an echo request that fills the MTU exactly; ping, tcp: whether to
        try these).
    denied: what the intent or a policy says must not come through between two endpoints of a segment, or by an edge (from, to, family, address,
        mac, probe; port; rule: what denies it, in words).
    connections: the ports of services, each with an endpoint that connects to it (from, to, family, address, port), and ports that
        an edge lets pass, where any answer is good (answers).
    isolated: ordered pairs of endpoints of different segments, for each address of the second (from, to, family, address, mac;
        shared: whether the first's own segment has that address too, so that a reply alone says nothing;
        control: an endpoint and its address which the first must reach, or None where it has no peer).
    alone: endpoints in namespaces that must not find their host on their link (from; others: whether some other must answer there).
    isolation: how many such pairs were chosen, of how many there are; likewise classes, see _sample().
    routers: what FRR must tell of each router, see _verify_routers.
    hosts: the state of each host to compare: bridges, ports, tunnels, namespaces, by their names. None stands for not set.

    isolation_limit: how many isolated pairs are chosen; None for all of them.
    """
    by_segment: dict[str, list[Item]] = {}
    for point in points_of(plan):
        by_segment.setdefault(point["segment"], []).append(point)
    chosen, isolation = _sample(by_segment, isolation_limit)
    barred = Barred(plan)
    peers = _peers(plan)
    isolated = _isolated(_apart(by_segment, [*chosen, *_apart_from_peers(by_segment, peers)]), by_segment, barred)
    by_edges = Ways(plan)
    measured = [*by_edges.sample(), *by_edges.floating()]
    return {
        "teps": _teps(plan),
        "pairs": [
            *_pairs(by_segment, barred),
            *_pairs_to_peers(by_segment, peers),
            *expected_pairs(measured, PING_HEADERS),
        ],
        "denied": barred.denied(by_segment, {point["id"]: point for point in points_of(plan)})
        + expected_denied(measured),
        "connections": [
            *_connections(by_segment, barred),
            *barred.connections(by_segment),
            *expected_connections(measured),
            *expected_forwards(plan),
        ],
        # An edge lets pings pass there.
        "isolated": [entry for entry in isolated if not by_edges.pings(entry)],
        "alone": _alone(by_segment, barred),
        "isolation": isolation,
        "hosts": {name: host_state(host) for name, host in plan["hosts"].items()},
        "routers": routing(plan),
    }


def _teps(plan: Item) -> list[Item]:
    address = {tep["host"]: tep for tep in plan["teps"]}
    ends: dict[tuple[str, str], None] = {}
    for overlay in plan["overlays"]:
        for one, other in _tunnels(plan, overlay):
            ends.update({(one, other): None, (other, one): None})
    peers = [peer for overlay in plan["overlays"] for peer in overlay["peers"]]
    return [
        {
            "from": one,
            "to": other,
            "source": address[one]["address"],
            "address": address[other]["address"],
            "mtu": address[other]["mtu"],
        }
        for one, other in ends
    ] + [
        {"from": name, "to": peer["name"], "source": tep["address"], "address": peer["address"], "mtu": tep["mtu"]}
        for peer in peers
        for name, tep in address.items()
    ]


def _tunnels(plan: Item, overlay: Item) -> t.Iterable[t.Sequence[str]]:
    """The pairs of hosts with a tunnel; OVN, whose tunnels the plan does not make, has one between any two."""
    return itertools.combinations(plan["hosts"], 2) if overlay["engine"] == OVN else overlay["tunnels"]


def points_of(plan: Item) -> list[Item]:
    """All endpoints, and each further NIC of a guest that has an address, as an endpoint of its own."""
    found: list[Item] = []
    for point in plan["endpoints"]:
        found.append(point)
        found += [{**point, **nic, "of": point["id"]} for nic in point.get("nics", ())]
    return found


def _owner(point: Item) -> str:
    """The endpoint that this is, or a NIC of."""
    owner = point.get("of")
    return point["id"] if owner is None else owner


def addresses(point: Item) -> list[tuple[int, str]]:
    """The addresses of an endpoint with their families, 4 or 6."""
    return [(6 if ":" in address else 4, address) for address in (point["address"], point["address6"]) if address]


def _peers(plan: Item) -> list[Item]:
    """What is known behind tunnel endpoints of others, each in the form of an endpoint."""
    mtus = {segment["name"]: segment["mtu"] for segment in plan["segments"]}
    peers = [peer for overlay in plan["overlays"] for peer in overlay["peers"]]
    return [
        {
            "id": peer["name"],
            "kind": "peer",
            "segment": end["segment"],
            "address": end["address"],
            "address6": None,
            "mac": None,
            "mtu": mtus[end["segment"]],
        }
        for peer in peers
        for end in peer["endpoints"]
    ]


def _pairs_to_peers(by_segment: dict[str, list[Item]], peers: list[Item]) -> list[Item]:
    """Each endpoint of a segment with each address behind a peer. Nobody listens there for a transfer."""
    found = []
    for other in peers:
        for one in by_segment.get(other["segment"], ()):
            if one.get("measures", True):
                found += [_pair(one, other, *address, ping=True, tcp=False) for address in addresses(other)]
    return found


def _pair(one: Item, other: Item, family: int, address: str, ping: bool, tcp: bool) -> Item:
    """What is to come through from an endpoint to an address of another one on its segment."""
    return {
        "from": one["id"],
        "to": other["id"],
        "segment": other["segment"],
        "family": family,
        "address": address,
        "mtu": other["mtu"],
        "payload": other["mtu"] - PING_HEADERS[family],
        "ping": ping,
        "tcp": tcp,
    }


def _apart_from_peers(by_segment: dict[str, list[Item]], peers: list[Item]) -> list[tuple[Item, Item]]:
    """The first endpoint of each other segment on each host, with each address behind a peer."""
    firsts: dict[tuple[str, str], Item] = {}
    for segment, points in by_segment.items():
        for point in points:
            firsts.setdefault((segment, point["host"]), point)
    return [(one, other) for other in peers for (segment, _host), one in firsts.items() if segment != other["segment"]]


def _connections(by_segment: dict[str, list[Item]], barred: Barred) -> list[Item]:
    """Each port of a service on each of its inbound addresses, from one endpoint of the segment: one on another host, if there is any."""
    found = []
    for points in by_segment.values():
        for service in [point for point in points if point.get("service", {}).get("ports")]:
            askers = [
                point
                for point in points
                if point["kind"] in IN_NAMESPACE
                and _owner(point) != service["id"]
                and barred.passes(point, service, service["address"], "tcp")
            ]
            for asker in sorted(askers, key=lambda point: point["host"] == service["host"])[:1]:
                found += [
                    {"from": asker["id"], "to": service["id"], "family": family, "address": address, "port": port}
                    for family, address in addresses(service)
                    for port in service["service"]["ports"]
                ]
    return found


def _pairs(by_segment: dict[str, list[Item]], barred: Barred) -> list[Item]:
    both = sum(len(points) * (len(points) - 1) for points in by_segment.values()) <= TCP_BOTH_WAYS
    found = []
    for points in by_segment.values():
        for (i, one), (j, other) in itertools.product(enumerate(points), repeat=2):
            if _owner(one) == _owner(other) or not one.get("measures", True):
                continue
            for family, address in addresses(other):
                ping = barred.passes(one, other, address, "ping")
                tcp = _transfers(one, other, address, barred, both or i < j)
                found.append(_pair(one, other, family, address, ping, tcp))
    return found


def _transfers(one: Item, other: Item, address: str, barred: Barred, due: bool) -> bool:
    """Whether to try a transfer. due: whether this direction is one that is measured; if the other is denied, it is."""
    if not (one.get("sends", True) and other.get("sends", True)) or not barred.passes(one, other, address, "tcp"):
        return False
    back = own_address(one, address)
    return due or back is not None and not barred.passes(other, one, back, "tcp")


def _apart(by_segment: dict[str, list[Item]], pairs: t.Iterable[tuple[Item, Item]]) -> t.Iterator[tuple[Item, Item]]:
    """The pairs of different segments of which the first must not reach the second, without an edge."""
    owners = {segment: {_owner(point) for point in points} for segment, points in by_segment.items()}
    for one, other in pairs:
        # A switch or router may well know a way there.
        asks = one.get("measures", True) and not one.get("device")
        # A guest with NICs on both segments answers for all its addresses on each.
        answers = _owner(other) in owners[one["segment"]]
        # A service with interfaces on both segments rightly reaches both.
        reaches = one["kind"] in IN_NAMESPACE and _owner(one) in owners.get(other["segment"], ())
        if asks and not answers and not reaches:
            yield one, other


def _isolated(pairs: t.Iterable[tuple[Item, Item]], by_segment: dict[str, list[Item]], barred: Barred) -> list[Item]:
    """The entries of all pairs that must not reach each other."""
    own: dict[str, set[str]] = {}
    for segment, points in by_segment.items():
        own[segment] = {address for point in points for _family, address in addresses(point)}
    found = []
    for one, other in pairs:
        found += _isolated_from(one, other, by_segment[one["segment"]], own[one["segment"]], barred)
    return found


def _isolated_from(one: Item, other: Item, peers: list[Item], own: t.Collection[str], barred: Barred) -> list[Item]:
    """One entry for each address of the other. own: all addresses of the first's segment."""
    controls = _controls(one, [peer for peer in peers if peer["id"] == one["id"] or _asks(one, peer, barred)])
    # The last of a family stands for it; the first one for a family that has none.
    control = {entry["family"]: entry for entry in reversed(controls)}
    other_family = controls[0] if controls else None
    return [
        {
            "from": one["id"],
            "to": other["id"],
            "family": family,
            "address": address,
            "mac": other["mac"],
            "shared": address in own,
            "control": control.get(family, other_family),
        }
        for family, address in addresses(other)
    ]


def _asks(one: Item, peer: Item, barred: Barred) -> bool:
    """Whether a peer is a control: everything comes through to it, or pings where a policy decides."""
    if barred.judged(one["segment"]):
        return all(barred.passes(one, peer, address, "ping") for _family, address in addresses(peer))
    return (one["id"], peer["id"]) not in barred.stated


def _alone(by_segment: dict[str, list[Item]], barred: Barred) -> list[Item]:
    """In IPv6 every host answers on each of its links, unless it has no address there. Where a policy decides, link-local addresses are barred."""
    silent = {end for pair in barred.stated for end in pair}
    found = []
    for points in by_segment.values():
        inside = [point for point in points if point["kind"] in IN_NAMESPACE]
        for point in inside:
            answering = [other for other in inside if other is not point and not silent & {point["id"], other["id"]}]
            # OVN's firewall takes an answer to a question that went to all for one without a question.
            answered = not point["secured"] and not barred.judged(point["segment"])
            six = bool(point["address6"] or ":" in point["address"])
            found.append({"from": point["id"], "others": answered and six and bool(answering)})
    return found


def _controls(one: Item, peers: list[Item]) -> list[Item]:
    """The addresses of the next peer on the segment, one on another host if there is any, as that proves more."""
    at = next(i for i, peer in enumerate(peers) if peer["id"] == one["id"])
    others = peers[at + 1 :] + peers[:at]
    peer = next((p for p in others if p["host"] != one["host"]), others[0] if others else None)
    if peer is None:
        return []
    return [{"to": peer["id"], "family": family, "address": address} for family, address in addresses(peer)]


def _sample(by_segment: dict[str, list[Item]], limit: int | None) -> tuple[list[tuple[Item, Item]], Item]:
    """Ordered pairs of endpoints of different segments, always the same ones for a plan, and how many of how many.

    A class is (segment, host) of the first with (segment, host) of the second. One pair of each class comes first, then
    second pairs, and so on. limit pairs are chosen, or one of each class where that is more, but ten times limit at most.
    """
    cells: dict[tuple[str, str], list[Item]] = {}
    for segment, points in by_segment.items():
        for point in points:
            cells.setdefault((segment, point["host"]), []).append(point)
    keys = list(cells)
    total = _ordered_apart([len(points) for points in by_segment.values()])
    classes = _ordered_apart(list(collections.Counter(segment for segment, _host in keys).values()))
    bound = total if limit is None else min(total, max(limit, min(classes, 10 * limit)))
    chosen: list[tuple[Item, Item]] = []
    met = 0
    nth = 0
    while len(chosen) < bound:
        # Turning one list of cells against the other meets every cell early, however early the end comes.
        for turn in range(1, len(keys)):
            for i, key in enumerate(keys):
                other = keys[(i + turn) % len(keys)]
                ones, others = cells[key], cells[other]
                if key[0] == other[0] or nth >= len(ones) * len(others):
                    continue
                if len(chosen) == bound:
                    break
                chosen.append((ones[nth % len(ones)], others[nth // len(ones)]))
                met += nth == 0
        nth += 1
    return chosen, {"checked": len(chosen), "of": total, "classes_checked": met, "classes": classes}


def _ordered_apart(sizes: list[int]) -> int:
    """How many ordered pairs have their two members in different groups of these sizes."""
    return sum(sizes) ** 2 - sum(size * size for size in sizes)


def _tunnel(tunnel: Item) -> Item:
    return {name: as_read(tunnel[name]) for name in TUNNEL_OPTIONS if name in tunnel}


def host_state(host: Item) -> Item:
    """What the *_info modules must find on a host."""
    planned = {entry["bridge"]: len(entry["flows"]) for entry in host.get("flows", ())}
    return {
        "bridges": {bridge["name"]: _bridge(bridge, bridge["name"] in planned) for bridge in host["bridges"]},
        "flows": planned,
        "tep": {"interface": host["underlay"]["tep"]["name"], "address": host["underlay"]["tep"]["address"]},
        "ports": {**_bridge_ports(host), **_endpoint_ports(host)},
        "tunnels": {tunnel["name"]: _tunnel(tunnel) for tunnel in host["tunnels"]},
        "namespaces": _namespaces(host),
        "host_network": expected_interfaces(host),
        "containers": expected_containers(host),
        "services": expected_services(host),
        "dhcp": expected_dhcp(host),
        "vrrp": expected_vrrp(host),
        "uplinks": expected_uplinks(host),
        "tables": expected_tables(host),
        "northd": expected_northd(host),
        "members": expected_members(host),
        "chassis": expected_chassis(host),
        "bindings": expected_bindings(host),
        "gateways": expected_gateways(host),
        "hops": expected_hops(host),
    }


def _bridge(bridge: Item, has_flows: bool) -> Item:
    """A bridge. has_flows: whether the plan has flows for it, which are held one by one; without them, its own flow has to be there."""
    expected = {"rstp": bridge.get("rstp", False)}
    if not has_flows:
        expected["flow_count"] = SOME
    if "fail_mode" in bridge:
        expected["fail_mode"] = as_read(bridge["fail_mode"])
    return expected


def _bridge_ports(host: Item) -> dict[str, Item]:
    """The ports that bridges and tunnels bring."""
    ports: dict[str, Item] = {}
    for bridge in host["bridges"]:
        for port in bridge.get("ports", ()):
            ports[port["name"]] = {"bridge": bridge["name"], "tag": as_read(port.get("tag")), "trunks": []}
            # A patch port has none.
            if "mtu" in port:
                ports[port["name"]]["mtu"] = port["mtu"]
            if "members" in port:
                ports[port["name"]].update(_bond(port))
    for tunnel in host["tunnels"]:
        ports[tunnel["name"]] = {
            "bridge": tunnel["bridge"],
            "tag": None,
            "trunks": tunnel["trunks"],
            "protected": tunnel["protected"],
        }
    return ports


def _endpoint_ports(host: Item) -> dict[str, Item]:
    """The ports of namespaces and guests."""
    ports: dict[str, Item] = {}
    for space in host["namespaces"]:
        ports[space["outer"]] = {
            "bridge": space["bridge"],
            "tag": as_read(space["tag"]),
            "trunks": space["trunks"],
            "link_state": "up",
        }
    groups = {}
    for network in host.get("networks", ()):
        for group in network["portgroups"]:
            groups[network["name"], group["name"]] = (network["bridge"], group)
    for nic in [nic for guest in host.get("guests", ()) for nic in guest["domain"]["nics"]]:
        bridge, group = groups[nic["network"], nic["portgroup"]]
        ports[nic["dev"]] = {
            "bridge": bridge,
            "tag": group.get("vlan", group.get("native_vlan")),
            "trunks": [int(vlan) for vlan in group.get("trunks", ())],
            "mtu_in_use": nic["mtu"],
        }
    return ports


def _bond(port: Item) -> Item:
    """A bond with its settings, of which all members work."""
    settings = {name: as_read(value) for name, value in port.items() if name.startswith(("bond_", "lacp"))}
    members = port["members"]
    return {**settings, "members": members, "members_up": members, "lacp_partners": members if port["lacp"] else []}


def _namespaces(host: Item) -> dict[str, Item]:
    """The namespaces by their endpoints' names. Sysctls and rules are a namespace's, and stand with its first interface."""
    expected: dict[str, Item] = {}
    for space in host["namespaces"]:
        options = ["name", "interface", "addresses", "mtu", "mac", "routes"]
        options += ["virtual_addresses"] if space["virtual_addresses"] else []
        first = space["name"] not in expected
        if first:
            # In the namespace of a container of others they may have rules of their own.
            options += ["sysctls"] if "container" in space else ["sysctls", "rules"]
        expected[space["name"] if first else f"{space['name']}-{space['interface']}"] = {o: space[o] for o in options}
    return expected

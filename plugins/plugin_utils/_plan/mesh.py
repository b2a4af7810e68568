# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts have a tunnel to each other, and how frames are kept from circling.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Overlay
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import (
    INVALID,
    suggest,
    word,
)

Edge = t.Tuple[str, str]


def edges(overlay: Overlay, hosts: list[str], problems: list[str]) -> list[Edge]:
    """The pairs of hosts with a tunnel, each once.

    hosts: all hosts of the fabric, by host id. Unknown hosts, doubled links and links to oneself are told and left out.
    """
    if overlay.bare or overlay.ovn:
        return []
    if overlay.topology == "full_mesh":
        return list(itertools.combinations(hosts, 2))
    if overlay.topology == "ring":
        if len(hosts) < 3:
            return list(itertools.combinations(hosts, 2))
        return list(zip(hosts, hosts[1:])) + [(hosts[0], hosts[-1])]
    if overlay.topology == "hub_and_spoke":
        hubs = _known(overlay.hubs or [], hosts, f"{overlay.where}.hubs", problems)
        order = hubs + [host for host in hosts if host not in hubs]
        return [(hub, peer) for i, hub in enumerate(hubs) for peer in order[i + 1 :]]
    return _linked(overlay, hosts, problems)


def _linked(overlay: Overlay, hosts: list[str], problems: list[str]) -> list[Edge]:
    """The tunnels that an overlay of topology links lists."""
    result: dict[frozenset[str], Edge] = {}
    for link in overlay.links or []:
        if link is INVALID:
            continue
        where = f"{overlay.where}.links"
        if link[0] == link[1]:
            problems.append(f"{where} has a tunnel from {link[0]} to itself; name two different hosts.")
        elif len(_known(link, hosts, where, problems)) == 2:
            if frozenset(link) in result:
                problems.append(f"{where} has the tunnel between {link[0]} and {link[1]} twice; leave one out.")
            result[frozenset(link)] = link
    return list(result.values())


def _known(names: t.Iterable[t.Any], hosts: list[str], where: str, problems: list[str]) -> list[str]:
    """The names that are hosts of the fabric, each once."""
    result: list[str] = []
    known = set(hosts)
    for name in names:
        if name is INVALID:
            continue
        if name not in known:
            problems.append(f"{where} names {word(name)}, which is no host of the fabric{suggest(name, hosts)}")
        elif name in result:
            problems.append(f"{where} names {name} twice; leave one out.")
        else:
            result.append(name)
    return result


def components(nodes: t.Iterable[str], pairs: t.Iterable[Edge]) -> dict[str, str]:
    """Each host's component of the mesh, named by one of its hosts."""
    parent = {node: node for node in nodes}

    def root(node: str) -> str:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for one, other in pairs:
        parent[root(one)] = root(other)
    return {node: root(node) for node in parent}


def cycle(pairs: t.Iterable[Edge]) -> list[str]:
    """The hosts of one cycle in their order, or an empty list where the mesh is a forest."""
    neighbors: dict[str, list[str]] = {}
    for one, other in pairs:
        path = _path(neighbors, one, other)
        if path:
            return path
        neighbors.setdefault(one, []).append(other)
        neighbors.setdefault(other, []).append(one)
    return []


def _path(neighbors: dict[str, list[str]], start: str, end: str) -> list[str]:
    """The way from start to end in a forest, or an empty list."""
    before: dict[str, str | None] = {start: None}
    queue = collections.deque([start])
    while queue:
        node = queue.popleft()
        for peer in neighbors.get(node, ()):
            if peer not in before:
                before[peer] = node
                queue.append(peer)
    path: list[str] = []
    step: str | None = end if end in before else None
    while step is not None:
        path.append(step)
        step = before[step]
    return path[::-1]


def missing(pairs: list[Edge]) -> Edge | None:
    """Two hosts that are in one component without a tunnel between them, or None where each component is a full mesh."""
    nodes = dict.fromkeys(itertools.chain.from_iterable(pairs))
    groups: dict[str, list[str]] = {}
    for node, root in components(nodes, pairs).items():
        groups.setdefault(root, []).append(node)
    if sum(len(group) * (len(group) - 1) // 2 for group in groups.values()) == len(pairs):
        return None
    have = set(map(frozenset, pairs))
    return next(
        pair for group in groups.values() for pair in itertools.combinations(group, 2) if frozenset(pair) not in have
    )


def guard(overlay: Overlay, pairs: list[Edge], problems: list[str]) -> tuple[str, str]:
    """How the mesh is kept free of loops (none, split_horizon or rstp), and why."""
    where = f"{overlay.where}.loop_guard"
    wish = overlay.loop_guard
    if overlay.keyed and not overlay.peers:
        return "split_horizon", "derived: the flows of segments_by: key let nothing pass from tunnel to tunnel"
    if overlay.ovn:
        return "none", "derived: OVN's tunnels, of which none forwards to another"
    if overlay.bare:
        return "none", "derived: VLANs of the underlay, whose switches keep it free of loops"
    if overlay.peers:
        return _guard_peers(overlay, pairs, problems)
    absent = missing(pairs)
    if wish == "rstp":
        return "rstp", "given: loop_guard"
    if wish == "split_horizon":
        if absent:
            problems.append(
                f"{where} split_horizon needs a full mesh, and {absent[0]} has no tunnel to {absent[1]}; use rstp, or topology full_mesh."
            )
        return wish, "given: loop_guard"
    return _guard_derived(overlay, pairs, absent is None, problems)


def _guard_derived(overlay: Overlay, pairs: list[Edge], full: bool, problems: list[str]) -> tuple[str, str]:
    """The guard of a mesh for which none is chosen (auto), or which shall go without (none). full: a full mesh."""
    wish = overlay.loop_guard
    loop = cycle(pairs)
    if not loop:
        return "none", "given: loop_guard" if wish == "none" else "derived: the mesh has no cycle"
    if wish == "auto" and full:
        return "split_horizon", "derived: full mesh of three hosts or more"
    if wish == "auto" and overlay.topology == "ring":
        return "rstp", "derived: ring"
    if wish in ("auto", "none"):
        shown = " - ".join(loop[:8] + ["..."] * (len(loop) > 8) + loop[:1])
        problems.append(
            f"{overlay.where}.loop_guard {wish} would let frames circle: {shown}; set it to rstp, or take out a tunnel."
        )
    return "none", ""


def _guard_peers(overlay: Overlay, pairs: list[Edge], problems: list[str]) -> tuple[str, str]:
    """The guard of a mesh with peers: every host has a tunnel to each, so nothing needs to pass from tunnel to tunnel."""
    where = overlay.where
    if overlay.topology != "full_mesh":
        problems.append(
            f"{where}.peers needs topology full_mesh, in which every host reaches a peer by itself; not {overlay.topology}."
        )
    if overlay.keyed:
        problems.append(
            f"{where}.peers is for segments_by: vlan; the pipeline of segments_by: key knows the fabric's own hosts only."
        )
    if overlay.loop_guard == "rstp":
        problems.append(f"{where}.loop_guard rstp is no guard with peers, which may not speak it; leave it out.")
    if len(overlay.peers) + bool(pairs) < 2:
        return "none", "derived: one tunnel a host"
    if overlay.loop_guard == "none":
        problems.append(f"{where}.loop_guard none would let frames circle between hosts and peers; leave it out.")
    return "split_horizon", "derived: full mesh of hosts, and peers that do not forward from tunnel to tunnel"


def tunnel_name(overlay: str, given: t.Mapping[str, t.Mapping[str, str]], host: str, peer: str) -> str:
    """The name of a host's tunnel to a peer. given: names that the overlay's intent states, by host and peer."""
    return given.get(host, {}).get(peer) or default_tunnel_name(overlay, peer)


def planned_tunnel(overlay: dict[str, t.Any], host: str, peer: str) -> str:
    """The name of a host's tunnel to a peer, by the overlay as the plan has it."""
    return tunnel_name(overlay["name"], overlay["tunnel_names"], host, peer)


def tep_address(plan: dict[str, t.Any], host: str) -> str:
    """The address of a host's tunnel endpoint, without its prefix length."""
    return str(plan["hosts"][host]["underlay"]["tep"]["address"]).partition("/")[0]


def default_tunnel_name(overlay: str, peer: str) -> str:
    """The tunnel port's name, `OVERLAY-PEER`; with a hash at the end where that has over 15 bytes or odd characters."""
    name = f"{overlay}-{peer}"
    return name if len(name) <= 15 and re.fullmatch(r"[A-Za-z0-9_.-]+", name) else shortened(name)


def shortened(name: str) -> str:
    """Fifteen safe characters that stand for a longer name, always the same ones."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:5]
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:9] + "-" + digest

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What BGP brings on the planned sessions: prefixes taken and refused of each, and the routes that come of them.

It plays the exchange (RFC 4271, RFC 4456) with what the routers announce themselves, until nothing changes.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Network
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.routers import Peering, Router, Routers

Item = t.Dict[str, t.Any]


class Path(t.NamedTuple):
    """One way to a prefix. sender: who told of it, "" for one's own. hop: the next hop's address. originator: who brought it into the AS."""

    asns: tuple[int, ...]
    sender: str
    hop: str
    originator: str
    internal: bool


def exchange(routers: Routers) -> dict[str, list[Item]]:
    """The routes by BGP of each router; sets the counts of each session."""
    speakers = {name: router for name, router in routers.routers.items() if router.bgp}
    sessions = {(one.router, one.peer): one for one in routers.peerings}
    known = {name: _own(router) for name, router in speakers.items()}
    told: dict[tuple[str, str], dict[Network, Path]] = {}
    for _round in range(len(speakers) + 2):
        before = told
        told = {(here, there): _told(routers, sessions, known[there], here, there) for here, there in sessions}
        for name in known:
            known[name] = {prefix: {"": paths[""]} for prefix, paths in known[name].items() if "" in paths}
        for (here, there), paths in told.items():
            accept = sessions[here, there].session.accept
            for prefix, path in paths.items():
                if accept is None or any(one.holds(prefix) for one in accept):
                    known[here].setdefault(prefix, {})[there] = path
        if told == before:
            break
    for (here, there), paths in told.items():
        taken = sum(there in known[here].get(prefix, ()) for prefix in paths)
        routers.counts[here, there] = {"accepted": taken, "refused": len(paths) - taken}
    return {name: _routes(routers, name, known[name]) for name in speakers}


def _routes(routers: Routers, name: str, known: t.Mapping[Network, dict[str, Path]]) -> list[Item]:
    """The routes of a router, in the order of their prefixes' text."""
    found: list[Item] = []
    for prefix in sorted(known, key=str):
        found += _route(routers, name, prefix, known[prefix])
    return found


def _own(router: Router) -> dict[Network, dict[str, Path]]:
    """What a router announces of itself."""
    return {prefix: {"": Path((), "", "", router.name, False)} for prefix in router.speaker.networks}


def _rank(routers: Routers, path: Path) -> tuple[t.Any, ...]:
    """The order of paths, the best first; the last word has the router id (RFC 4271, section 9.1.2.2)."""
    router = routers.routers.get(path.originator if path.internal else path.sender)
    number = int(ipaddress.IPv4Address(router.router_id)) if router and router.router_id else 0
    return (path.sender != "", len(path.asns), path.internal, number)


def _told(
    routers: Routers,
    sessions: dict[tuple[str, str], Peering],
    table: dict[Network, dict[str, Path]],
    here: str,
    there: str,
) -> dict[Network, Path]:
    """What `there` tells `here`: its best paths, under the rules of internal sessions."""
    one, other = routers.routers[here].speaker, routers.routers[there].speaker
    back = sessions.get((there, here))
    internal = one.asn == other.asn
    result = {}
    for prefix, paths in table.items():
        path = min(paths.values(), key=lambda path: _rank(routers, path))
        if path.sender == here or one.asn in path.asns or (internal and path.originator == here):
            continue
        if internal and path.internal:
            source = sessions.get((there, path.sender))
            if not (back and back.session.reflector_client) and not (source and source.session.reflector_client):
                continue
        own_address = str(sessions[here, there].remote)
        self_hop = back is not None and back.session.next_hop_self and not path.internal
        hop = own_address if not internal or path.sender == "" or self_hop else path.hop
        asns = path.asns if internal else (other.asn, *path.asns)
        result[prefix] = Path(asns, there, hop, path.originator if internal and path.internal else there, internal)
    return result


def _route(routers: Routers, name: str, prefix: Network, paths: dict[str, Path]) -> list[Item]:
    """The route that a router installs: all paths as good as the best one, up to the limit."""
    ranked = sorted(paths.values(), key=lambda path: _rank(routers, path))
    if ranked[0].sender == "":
        return []
    equal = [path for path in ranked if _rank(routers, path)[:3] == _rank(routers, ranked[0])[:3]]
    hops = list(dict.fromkeys(path.hop for path in equal[: routers.routers[name].speaker.maximum_paths]))
    return [
        {
            "prefix": str(prefix),
            "cost": None,
            "protocol": "bgp",
            "distance": 200 if ranked[0].internal else 20,
            "nexthops": [{"address": hop, "interface": None} for hop in sorted(hops)],
        }
    ]

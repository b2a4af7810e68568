# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the packets of a way are captured, and what each host is asked. Pure: from the plan, before anything is read.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import End, Route

Item = t.Dict[str, t.Any]


def points(way: Route) -> list[Item]:
    """The points of a way in their order, on each segment that it crosses. Of an edge on several hosts, those of all of them."""
    unique: dict[str, Item] = {}
    for leg in [leg for one in way.alternatives() for leg in one.legs]:
        for point in _on_leg(leg):
            kept = unique.setdefault(point["name"], {**point, "addresses": []})
            pair = [leg.packet.source, leg.packet.target]
            known = kept["addresses"]
            # A NIC may be passed on several segments, and NAT makes the header another one.
            if pair not in (known[number : number + 2] for number in range(0, len(known), 2)):
                known += pair
    return list(unique.values())


def _on_leg(way: Route) -> list[Item]:
    """The points on one segment: the sender, its port, the NICs and routers between, the receiver's port, the receiver."""
    hosts = [host for host in way.hosts if host in way.plan["hosts"]]
    found = _of_end(way, way.source)
    for number, host in enumerate(hosts):
        if len(hosts) > 1:
            found += _nics(way, host)
        if number + 1 < len(hosts):
            found += [point for router in _between(way, host) for point in _links(way, router)]
    if len(hosts) < 2 and not way.switched:
        found += [point for router in way.routers() for point in _links(way, router)]
    return found + _of_end(way, way.target)[::-1]


def _of_end(way: Route, end: End) -> list[Item]:
    """An endpoint's inside and its port on the host; of a guest the port alone; of a host its links."""
    if end.host is None:
        return []
    found = []
    if end.space and end.interface:
        found.append(_point(end.host, end.space, end.interface, f"endpoint {end.id}"))
    if end.port:
        found.append(_point(end.host, "", end.port, f"port of {end.id}"))
    return found or (_links(way, end.host) if end.space == "" else [])


def _nics(way: Route, host: str) -> list[Item]:
    """The NICs of a host's underlay, where tunnels have their outer headers."""
    return [_point(host, "", name, "NIC of the underlay") for name in way.plan["hosts"][host]["underlay"]["nics"]]


def _links(way: Route, host: str) -> list[Item]:
    """The interfaces of a router's or host's links."""
    ends = [end for link in way.plan["links"] for end in link["ends"] if end["host"] == host]
    known = host in way.plan["hosts"] or way.plan["routers"].get(host, {}).get("managed")
    if known and not ends and host in way.plan["hosts"]:
        return _nics(way, host)
    return [_point(host, "", end["interface"], "link of the router") for end in ends] if known else []


def _between(way: Route, near: str) -> list[str]:
    """The routers between the hosts, the nearest to this one first."""
    edges = [[end["host"] for end in link["ends"]] for link in way.plan["links"]]
    inner, rim = set(way.routers()), {near}
    order: list[str] = []
    while rim:
        rim = {host for edge in edges if rim & set(edge) for host in edge} & inner - set(order)
        order += sorted(rim)
    return order


def _point(host: str, namespace: str, interface: str, what: str) -> Item:
    return {
        "name": f"{host}/{namespace}:{interface}" if namespace else f"{host}:{interface}",
        "host": host,
        "namespace": namespace,
        "interface": interface,
        "what": what,
    }


def questions(way: Route, found: t.Sequence[Item], ping: bool, options: Item) -> dict[str, Item]:
    """For each host the options of capture_info; one of them sends the pings."""
    addresses = [way.source.address, way.target.address]
    asked: dict[str, Item] = {}
    for point in found:
        host = asked.setdefault(point["host"], {"addresses": addresses, "points": [], "ping": None, **options})
        host["points"].append({name: point[name] for name in ("name", "namespace", "interface", "addresses")})
    sender = sender_of(way) if ping else None
    if sender and sender.host in asked:
        other = way.target if sender is way.source else way.source
        asked[sender.host or ""]["ping"] = {
            "namespace": sender.space,
            "source": sender.address,
            "target": other.address,
        }
    return asked


def sender_of(way: Route) -> End | None:
    """Who can send pings: an end that is no guest, as nobody enters one. Answers take the same way back."""
    return next((end for end in (way.source, way.target) if end.host and end.space is not None), None)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes that OSPF finds on the planned links: what verify holds the routers against.

A calculation of its own (RFC 2328, section 16): inside areas by Dijkstra's algorithm, between areas through the border
routers and the backbone. It knows nothing of what is configured, so a wrong configuration shows as another route.

This file is private to the collection.
"""

from __future__ import annotations

import heapq
import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address, Network
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.routers import BACKBONE
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.routers import End, Router, Routers

Item = t.Dict[str, t.Any]
# A next hop: its address (OSPFv3: none, as it is link-local) and the interface.
Hop = t.Tuple[t.Optional[str], str]


class Route(t.NamedTuple):
    """A route with the hops of all paths of its cost."""

    cost: int
    hops: frozenset[Hop]


# What a router knows of an area: its ways to the area's routers, and its routes to the area's networks.
Known = t.Tuple[t.Dict[str, Route], t.Dict[Network, Route]]
# That of each router of an area, by name.
Inside = t.Dict[str, Known]


def loopback_cost(router: Router, version: int) -> int:
    """What a loopback adds to the cost: nothing in FRR's OSPFv2 for `lo`, its interface's cost elsewhere."""
    return 1 if router.kvm or version == 3 else 0


def loopback_area(router: Router, version: int) -> str:
    """The area that the loopback is announced in: the backbone, if the router is in it with this version."""
    areas = {end.link.area for end in router.ends if _speaks(end, version)}
    return next((area for area in router.areas if area in areas), BACKBONE)


def fib(routers: Routers, static: dict[str, list[Item]], by_bgp: dict[str, list[Item]]) -> dict[str, list[Item]]:
    """For each router the routes by OSPF, that is, to all announced networks that are not its own.

    static, by_bgp: what each router knows otherwise, and may tell by OSPF.
    """
    result: dict[str, list[Item]] = {name: [] for name in routers.routers}
    for version in (2, 3):
        domain = _Domain(routers, version)
        tables = domain.tables()
        for name, table in domain.with_external(tables, {"static": static, "bgp": by_bgp}).items():
            rows = sorted(table.items(), key=lambda item: (item[0].version, item[0]))
            result[name] += [_row(version, prefix, route) for prefix, route in rows]
    return result


def _row(version: int, prefix: Network, route: Route) -> Item:
    hops = sorted(route.hops, key=str)
    return {
        "prefix": str(prefix),
        "cost": route.cost,
        "protocol": "ospf" if version == 2 else "ospf6",
        "distance": 110,
        "nexthops": [{"address": address, "interface": interface} for address, interface in hops],
    }


def _speaks(end: End, version: int) -> bool:
    """Whether an end speaks a version of OSPF."""
    return bool(end.link.ospf and (end.address if version == 2 else end.address6))


class _Domain:
    """The routers that speak one version of OSPF."""

    def __init__(self, routers: Routers, version: int) -> None:
        self.version = version
        self.kinds = {area.area: area for area in routers.routing.areas} if routers.routers else {}
        self.limit = routers.routing.maximum_paths if routers.routers else None
        self.ends: dict[str, list[End]] = {}
        for name, router in routers.routers.items():
            self.ends[name] = [end for end in router.ends if _speaks(end, version)]
        self.routers = {name: router for name, router in routers.routers.items() if self.ends[name]}
        self.areas = {name: {end.link.area for end in self.ends[name]} for name in self.routers}
        self.by_area: dict[str, dict[str, tuple[dict[str, Route], dict[Network, Route]]]] = {}
        self.by_link: dict[str, list[End]] = {}
        for name in self.routers:
            for end in self.ends[name]:
                self.by_link.setdefault(end.link.name, []).append(end)

    def subnet(self, end: End) -> Network | None:
        """The subnet of any end, if its link has one of this version."""
        return end.link.subnet if self.version == 2 else end.link.subnet6

    def net(self, end: End) -> Network:
        """The subnet of an end that speaks this version. LookupError for another."""
        subnet = self.subnet(end)
        if subnet is None:
            raise LookupError(f"{end.link.where} has no subnet for OSPF version {self.version}")
        return subnet

    def loopback(self, router: Router) -> Network | None:
        """The loopback of a router as a prefix."""
        address: Address | None = router.loopback if self.version == 2 else router.loopback6
        return ipaddress.ip_network(address) if address else None

    def tables(self) -> dict[str, dict[Network, Route]]:
        """The routes of each router."""
        inside = {area: self.inside(area) for areas in self.areas.values() for area in areas}
        borders = {name for name, areas in self.areas.items() if len(areas) > 1 and BACKBONE in areas}
        # What border routers tell the backbone of their areas, then what they tell their areas of all else.
        to_backbone = {name: self.summaries(name, inside, self.areas[name] - {BACKBONE}) for name in borders}
        known: dict[str, dict[Network, Route]] = {}
        for name in self.routers:
            known[name] = {}
            for area in self.areas[name]:
                self.better(known[name], inside[area][name][1])
        between: dict[str, dict[Network, Route]] = {name: {} for name in self.routers}
        # Those in the backbone first, as border routers pass on what they have learned there.
        for name in sorted(self.routers, key=lambda name: BACKBONE not in self.areas[name]):
            if BACKBONE in self.areas[name]:
                told = {border: to_backbone[border] for border in borders if border != name}
                self.inter(between[name], inside[BACKBONE][name][0], told, known[name])
                continue
            for area in self.areas[name]:
                tellers = [border for border in borders if border in inside[area] and area in self.areas[border]]
                told = {border: self.told_to(area, border, inside, between[border]) for border in tellers}
                self.inter(between[name], inside[area][name][0], told, known[name])
        return self.foreign({name: {**between[name], **known[name]} for name in self.routers})

    def told_to(
        self, area: str, border: str, inside: dict[str, Inside], between: dict[Network, Route]
    ) -> dict[Network, int]:
        """The costs of all else that a border router tells an area, by the area's kind (RFC 2328, section 12.4.3; RFC 3101)."""
        kind = self.kinds[area].type if area in self.kinds else "normal"
        costs: dict[Network, int] = {}
        if not kind.startswith("totally"):
            costs = {prefix: route.cost for prefix, route in inside[BACKBONE][border][1].items()}
            # Routes between areas reach an area too, but not the ones that came from it.
            costs.update({prefix: route.cost for prefix, route in between.items()})
            costs.update(self.summaries(border, inside, self.areas[border] - {area, BACKBONE}))
            costs = {prefix: cost for prefix, cost in costs.items() if prefix not in inside[area][border][1]}
        if kind in ("stub", "totally_stubby", "totally_nssa"):
            default = ipaddress.ip_network("0.0.0.0/0" if self.version == 2 else "::/0")
            cost = self.kinds[area].default_cost
            costs[default] = 1 if cost is None else cost
        return costs

    def foreign(self, tables: dict[str, dict[Network, Route]]) -> dict[str, dict[Network, Route]]:
        """The routes of each router without those to its own prefixes."""
        result = {}
        for name, router in self.routers.items():
            mine = {self.subnet(end) for end in router.ends} | {self.loopback(router)}
            result[name] = {
                prefix: route for prefix, route in tables[name].items() if prefix not in mine and route.hops
            }
        return result

    def with_external(
        self, tables: dict[str, dict[Network, Route]], known: dict[str, dict[str, list[Item]]]
    ) -> dict[str, dict[Network, Route]]:
        """The tables with the routes from outside (RFC 2328, section 16.4): those of type 1 first, then the cheapest.

        known: by protocol and router, the routes that may be redistributed.
        """
        result = {name: dict(table) for name, table in tables.items()}
        best: dict[tuple[str, Network], tuple[tuple[int, ...], frozenset[Hop]]] = {}
        for teller, told in (
            (name, row)
            for name, router in self.routers.items()
            for row in self.redistributed(router, tables[name], known)
        ):
            prefix, cost, kind, hop = told
            for name in self.routers:
                way = self.way(tables[name], name, teller)
                if way is not None and hop:
                    way = self.forwarded(tables[name], name, teller, hop) or way
                own = {self.net(end) for end in self.ends[name]}
                if way is None or prefix in tables[name] or prefix in own:
                    continue
                # Type 1 goes before type 2, and the way to the teller decides between equals.
                rank: tuple[int, ...] = (1, way.cost + cost) if kind == 1 else (2, cost, way.cost)
                old = best.get((name, prefix))
                if old is None or rank < old[0]:
                    best[name, prefix] = (rank, way.hops)
                elif rank == old[0]:
                    best[name, prefix] = (rank, old[1] | way.hops)
        for (name, prefix), (rank, hops) in best.items():
            result[name][prefix] = Route(rank[1], hops)
        return result

    def redistributed(
        self, router: Router, table: dict[Network, Route], known: dict[str, dict[str, list[Item]]]
    ) -> list[tuple[Network, int, int, str]]:
        """What a router tells of what it knows otherwise: prefix, cost, type and its own next hop.

        What OSPF itself knows better is not redistributed, and FRR never redistributes a default route.
        """
        told = []
        for item in router.redistribute:
            if item["protocol"] == "connected":
                subnets = [self.subnet(end) for end in router.ends if not end.link.ospf]
                pairs = [(subnet, "") for subnet in subnets if subnet is not None]
            else:
                pairs = []
                for row in known[item["protocol"]].get(router.name, ()):
                    prefix = ipaddress.ip_network(row["prefix"])
                    if row["distance"] < 110 or prefix not in table:
                        pairs.append((prefix, row["nexthops"][0]["address"] if row["nexthops"] else ""))
            told += [
                (prefix, item["metric"], item["metric_type"], hop)
                for prefix, hop in pairs
                if prefix.version == (4 if self.version == 2 else 6) and prefix.prefixlen
            ]
        return told

    def forwarded(self, table: dict[Network, Route], name: str, teller: str, hop: str) -> Route | None:
        """The way to the next hop of the one that tells, where that is on a network of OSPF: then it is told as well, and packets go there."""
        address = ipaddress.ip_address(hop)
        net = next((self.net(end) for end in self.ends[teller] if self.version == 2 and address in self.net(end)), None)
        if net is None:
            return None
        mine = next((end for end in self.ends[name] if self.net(end) == net), None)
        return Route(mine.cost, frozenset([(hop, mine.port)])) if mine else table.get(net)

    def way(self, table: dict[Network, Route], name: str, teller: str) -> Route | None:
        """How a router gets to one that tells routes from outside; None where an area keeps them from it."""
        kinds = {
            area: self.kinds[area].type if area in self.kinds else "normal"
            for area in self.areas[name] | self.areas[teller]
        }
        open_here = [area for area in self.areas[name] if kinds[area] == "normal"]
        shared = [area for area in self.areas[name] & self.areas[teller] if "stub" not in kinds[area]]
        if name == teller or not (open_here or shared):
            return None
        if shared:
            # What is inside an area goes first, and an area before the backbone.
            inside = {area: self.inside(area)[name][0].get(teller) for area in shared}
            ways = [(area == BACKBONE, way.cost, area) for area, way in inside.items() if way is not None]
            return inside[min(ways)[2]] if ways else None
        loopback = self.loopback(self.routers[teller])
        route = table.get(loopback) if loopback else None
        return route and Route(route.cost - loopback_cost(self.routers[teller], self.version), route.hops)

    def summaries(self, name: str, inside: dict[str, t.Any], areas: t.Iterable[str]) -> dict[Network, int]:
        """What a border router tells of its areas: each network with its cost, or a range with the largest of them."""
        told: dict[Network, int] = {}
        for area in areas:
            ranges = self.kinds[area].ranges if area in self.kinds and self.version == 2 else []
            for prefix, route in inside[area][name][1].items():
                cover = next((one for one in ranges if prefix.version == one.version and prefix.subnet_of(one)), None)
                if cover is None:
                    told[prefix] = min(route.cost, told.get(prefix, route.cost))
                else:
                    told[cover] = max(route.cost, told.get(cover, 0))
        return told

    @staticmethod
    def better(table: dict[Network, Route], more: dict[Network, Route]) -> None:
        """Put routes into a table; the cheaper one stays, and of equal ones all hops."""
        for prefix, route in more.items():
            old = table.get(prefix)
            if old is None or route.cost < old.cost:
                table[prefix] = route
            elif route.cost == old.cost:
                table[prefix] = Route(route.cost, route.hops | old.hops)

    def inter(
        self,
        table: dict[Network, Route],
        reach: dict[str, Route],
        told: dict[str, dict[Network, int]],
        known: dict[Network, Route],
    ) -> None:
        """Routes through border routers; what is known inside an area is preferred whatever it costs."""
        for border, networks in told.items():
            way = reach.get(border)
            if way is None:
                continue
            more = {
                prefix: Route(way.cost + cost, way.hops) for prefix, cost in networks.items() if prefix not in known
            }
            self.better(table, more)

    def inside(self, area: str) -> Inside:
        """For each router of an area, its ways to the routers, and its routes to the networks of the area."""
        if area not in self.by_area:
            members = [name for name in self.routers if area in self.areas[name]]
            self.by_area[area] = {name: self.shortest(name, area, members) for name in members}
        return self.by_area[area]

    def neighbors(self, end: End) -> list[End]:
        """Who an end forms an adjacency with."""
        if end.passive:
            return []
        return [other for other in self.by_link[end.link.name] if other is not end and not other.passive]

    def hop(self, end: End, other: End) -> Hop:
        """The next hop over a link."""
        return (str(other.address) if self.version == 2 else None, end.port)

    def shortest(self, start: str, area: str, members: list[str]) -> Known:
        """The ways from a router to the other routers of an area, and its routes to the area's networks."""
        best = self.dijkstra(start, area)
        networks: dict[Network, Route] = {}
        for name in members:
            reached = best.get(name)
            if reached is None:
                continue
            router = self.routers[name]
            loopback = self.loopback(router)
            if loopback and loopback_area(router, self.version) == area:
                self.better(
                    networks, {loopback: Route(reached.cost + loopback_cost(router, self.version), reached.hops)}
                )
            for end in self.ends[name]:
                if end.link.area == area:
                    self.better(networks, {self.net(end): Route(reached.cost + self.stub_cost(end), reached.hops)})
        return best, networks

    def dijkstra(self, start: str, area: str) -> dict[str, Route]:
        """The cheapest ways from a router to each other router of an area, with all next hops of equal cost."""
        best: dict[str, Route] = {start: Route(0, frozenset())}
        done: set[str] = set()
        queue = [(0, start)]
        while queue:
            cost, name = heapq.heappop(queue)
            if name in done:
                continue
            done.add(name)
            for end in self.ends[name]:
                if end.link.area != area:
                    continue
                for other in self.neighbors(end):
                    hops = frozenset([self.hop(end, other)]) if name == start else best[name].hops
                    way = Route(cost + end.cost, hops)
                    old = best.get(other.host)
                    if old is None or way.cost < old.cost:
                        best[other.host] = way
                        heapq.heappush(queue, (way.cost, other.host))
                    elif way.cost == old.cost:
                        best[other.host] = Route(way.cost, way.hops | old.hops)
        return best

    def stub_cost(self, end: End) -> int:
        """What the last router adds for a network: its interface's cost, on whichever side of the network the packet comes from."""
        return end.cost

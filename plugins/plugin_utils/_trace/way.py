# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a packet should cross, and what each of them is asked. Pure: from the plan and the packet, before anything is read.

This file is private to the collection.
"""

from __future__ import annotations

import difflib
import ipaddress
import itertools
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._container.service import service_name
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import quoted
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import unit_name
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import DST_PORTS, IN_NAMESPACE, OVN
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import planned_tunnel, tep_address
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.unset import as_read
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import logical, switch
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.crossing import Crossing, Entrance, Leg, inside
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.kernel import bare
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.packet import (
    DEFAULT_SIZE,
    End,
    Gateway,
    Packet,
    outside,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.causes import World
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import PING_HEADERS

Item = t.Dict[str, t.Any]

NUMBERS = {"tcp": 6, "udp": 17}
PINGS = 5


class TraceError(Exception):
    """A question that cannot be asked, in one sentence."""


class Route:
    """A packet's way as the plan has it. hosts: along the overlay, from the source's to the target's."""

    def __init__(
        self, plan: Item, source: str, target: str, packet: Packet, active: t.Mapping[str, str] | None = None
    ) -> None:
        """active: edge -> the host that has its virtual addresses, of edges on several hosts."""
        self.asked = (source, target, packet)
        self.plan = plan
        self.active = dict(active or {})
        self.world = World(plan, {})
        self.segments = self.world.segments
        self.overlays = self.world.overlays
        self.source = self._end(source, "from", None)
        self.target = self._end(target, "to", self.source)
        if self.source.host is None:
            raise TraceError(
                f"from {source}: the plan has no endpoint and no host of this name or address; name one, as in -e from=HOST/ENDPOINT."
            )
        if (self.source.host, self.source.space, self.source.guest) == (
            self.target.host,
            self.target.space,
            self.target.guest,
        ):
            raise TraceError(f"from {source} to {target}: both are the same end; name two.")
        if ":" in self.source.address + self.target.address:
            packet = packet._replace(family=6)
            self.source, self.target = self._over_ipv6(self.source), self._over_ipv6(self.target)
        self._apart(source, target)
        self.packet = packet._replace(source=self.source.address, target=self.target.address)
        self.crossed: list[Route] = []
        # The router of OVN between both ends, as each of them sees it.
        self.gateways: tuple[Gateway | None, Gateway | None] = (None, None)
        # The router of OVN that the packet leaves all planned segments by, and the endpoint of its provider network that it is for.
        self.outward: Gateway | None = None
        self.landing: End | None = None
        # Where a packet from a provider network enters OVN, and the way of its endpoint to the sender.
        self.entrance: Entrance | None = None
        self.turn: Route | None = None
        self.hosts = self._hosts()
        self._cross()
        self._owned(source, target)

    def _apart(self, source: str, target: str) -> None:
        """Refuse two ends between which no packet goes from the one to the other, or not by the interface that is named."""
        near, far = self.source, self.target
        if near.address == far.address:
            raise TraceError(
                f"from {source} to {target}: both have the address {near.address}, in segments that are kept apart; no packet goes between them."
            )
        points = self.world.points
        if near.segment == far.segment or not near.space or points[near.id].get("edge"):
            return
        other = next(
            (one for one in points.values() if (one["host"], one["segment"]) == (near.host, far.segment)), None
        )
        if other and self._endpoint(other).space == near.space:
            raise TraceError(
                f"from {source} to {target}: the namespace of {source} has {other['id']} on that segment, and sends by it; name {other['id']}."
            )

    def _cross(self) -> None:
        """Find the legs of a way from segment to segment."""
        self.crossing = Crossing(self.plan, self.world.points, self._endpoint, self.active)
        # A forwarded port of an edge may be asked from its own segment.
        if self.source.segment is None or (self.switched and not self.crossing.edge_of(self.target)):
            return
        legs = self.crossing.legs(self.source, self.packet)
        if not legs or (len(legs) == 1 and legs[0].target.host is None):
            self.outward = None if self.switched else self.crossing.leaves(self.source, self.packet.target)
            self.entrance = self.crossing.enters(self.source, self.packet)
            if self.entrance:
                self.turn = Route(self.plan, self.entrance.endpoint, self.source.id, Packet())
            if self.outward:
                self.landing = self.crossing.landing(self.outward, self.packet.target)
                # What comes there has another header.
                self.target = outside(self.target.address)._replace(id=self.target.id)
                self.hosts = self._hosts()
            return
        self.crossed = [self._leg(leg) for leg in legs]
        self.source = self.crossed[0].source

    def _owned(self, source: str, target: str) -> None:
        """Refuse a target whose address somebody else has for the source: with the addresses of several tenants, another one would answer."""
        far, last = self.target, self.crossed[-1].target if self.crossed else self.source
        if far.segment in (None, last.segment):
            return
        points = [one for one in self.world.points.values() if one["segment"] == last.segment]
        owner = next((one for one in points if far.address in (one["address"], one["address6"])), None)
        if owner:
            raise TraceError(
                f"from {source} to {target}: {far.address} is that of {owner['id']} there, and nothing leads to that of {target}; name {owner['id']}."
            )

    def _leg(self, part: Leg) -> Route:
        """A part of the way that is on one segment, or on several of OVN."""
        leg = self.with_packet(part.packet)
        leg.source, leg.target = part.source, part.target
        leg.gateways = (part.there, part.back)
        leg.crossed = []
        # A way of this same class, whose ends have just become others.
        leg.hosts = leg._hosts()  # pylint: disable=protected-access
        return leg

    def on_link(self, address: str) -> bool:
        """Whether an address is on the segment of the way's source."""
        return self.crossing.on_link(self.source.segment or "", address)

    def alternatives(self) -> list[Route]:
        """The way by each host of the edges that it crosses, as only reading tells which one is active."""
        edges = [self.crossing.edge_of(leg.target) for leg in self.crossed]
        several = {edge["name"]: edge["hosts"] for edge in edges if edge and len(edge["hosts"]) > 1}
        chosen = [dict(zip(several, hosts)) for hosts in itertools.product(*several.values())]
        return [Route(self.plan, *self.asked, active) for active in chosen] if several else [self]

    def actives(self, holds: t.Callable[[str, str, str], bool]) -> list[Route]:
        """The ways by the hosts that have the virtual addresses, which should be one. holds: whether a host's namespace has an address."""
        found = []
        for way in self.alternatives():
            edges = [(leg.target, way.crossing.edge_of(leg.target)) for leg in way.crossed]
            if all(holds(end.host or "", end.space or "", end.address) for end, edge in edges if edge):
                found.append(way)
        return found

    def between_hosts(self) -> list[Route]:
        """The ways by which the routers of VRRP of an edge hear each other, on the segments that the packet crosses."""
        found: dict[tuple[str, str | None], Route] = {}
        for end in (end for leg in self.crossed for end in (leg.source, leg.target)):
            edge = self.crossing.edge_of(end)
            if edge and len(edge["hosts"]) > 1 and (edge["name"], end.segment) not in found:
                points = [one for one in self.world.points.values() if one.get("edge") == edge["name"]]
                near, far = [self._endpoint(one) for one in points if one["segment"] == end.segment][:2]
                packet = Packet(source=near.address, target=far.address)
                found[(edge["name"], end.segment)] = self._leg(Leg(near, far, packet))
        return list(found.values())

    @property
    def legs(self) -> list[Route]:
        """The parts of the way, each on one segment; the way itself where it has no router between segments."""
        return self.crossed or [self]

    def _end(self, name: str, option: str, other: End | None) -> End:
        points = self.world.points
        if name in points:
            return self._endpoint(points[name])
        if name in self.plan["hosts"] or name in self.plan["routers"]:
            return End(name, name, self._address_of(name), "")
        try:
            address = str(ipaddress.ip_address(name))
        except ValueError:
            raise TraceError(_unknown(name, option, [*points, *self.plan["hosts"], *self.plan["routers"]])) from None
        return self._by_address(address, other)

    def _over_ipv6(self, end: End) -> End:
        """An end whose other end has an IPv6 address."""
        if ":" in end.address:
            return end
        point = self.world.points.get(end.id)
        having = [point["address6"]] if point else self.addresses(end.host) if end.host else []
        address = next((one for one in having if one and ":" in one), None)
        if address is None:
            raise TraceError(f"{end.id} has no IPv6 address, and the other end has one; name two ends of one family.")
        return end._replace(address=address)

    def _by_address(self, address: str, other: End | None) -> End:
        """The end that has an address: first of the other end's segment, as tenants may have the same addresses."""
        having = [point for point in self.world.points.values() if address in (point["address"], point["address6"])]
        near = [point for point in having if other and point["segment"] == other.segment]
        if near or len(having) == 1:
            return self._endpoint((near or having)[0])._replace(address=address)
        for host in {**self.plan["hosts"], **self.plan["routers"]}:
            if address in self.addresses(host):
                return End(host, host, address, "")
        return outside(address)

    def _endpoint(self, point: Item) -> End:
        host = self.plan["hosts"][point["host"]]
        segment = self.segments[point["segment"]]
        common = {
            "id": point["id"],
            "host": point["host"],
            "address": point["address"] or point["address6"],
            "interface": point["interface"],
            "mac": point["mac"],
            "segment": point["segment"],
        }
        if point["kind"] in IN_NAMESPACE:
            place = (point.get("namespace", point["name"]), point["interface"])
            space = next(one for one in host["namespaces"] if (one["name"], one["interface"]) == place)
            more = {
                "space": space["name"],
                "port": space["outer"],
                "bridge": space["bridge"],
                "tag": as_read(space["tag"]),
            }
            return End(**{**common, "interface": space["interface"]}, **more)
        bridge, tag = self._plug(host, point, segment)
        guest = str(point.get("of", point["id"])).partition("/")[2]
        return End(**common, space=None, port=point["port"], bridge=bridge, guest=guest, tag=tag)

    @staticmethod
    def _plug(host: Item, point: Item, segment: Item) -> tuple[str, int | None]:
        """The bridge that a guest is plugged into, and its VLAN there: with flows it is a bridge beside theirs."""
        for bridge in host["bridges"]:
            for port in bridge.get("ports", ()):
                if port.get("type") == "patch" and port.get("peer") == f"p-{point['port'][2:]}":
                    return bridge["name"], as_read(port["tag"])
        return segment["bridge"], segment["vlan"]

    def addresses(self, host: str) -> list[str]:
        """All addresses of a host on the underlay."""
        found = [end["address"] for link in self.plan["links"] for end in link["ends"] if end["host"] == host]
        found += [tep["address"] for tep in self.plan["teps"] if tep["host"] == host]
        router = self.plan["routers"].get(host, {})
        found += [router.get("loopback"), router.get("loopback6")]
        return [address for address in found if address]

    def _address_of(self, host: str) -> str:
        tep = next((tep["address"] for tep in self.plan["teps"] if tep["host"] == host), None)
        return str(tep or next(iter(self.addresses(host)[::-1]), ""))

    def _hosts(self) -> list[str]:
        # A trace begins on a host; what does not is refused before.
        here, there = self.source.host or "", self.target.host
        if self.logical or not self.switched:
            return [here, there] if there and there != here else [here]
        return self.world.hops(self.segments[self.source.segment or ""]["overlay"], here, there or here)

    @property
    def switched(self) -> bool:
        """Whether switches alone lie between both ends: they are on one segment, or OVN's router between theirs is flows of switches, too."""
        known = self.source.segment is not None
        return known and (self.source.segment == self.target.segment or self.gateways[0] is not None)

    @property
    def logical(self) -> bool:
        """Whether OVN forwards between both ends, or as far as its gateway."""
        return (self.switched or self.outward is not None) and self.segments[self.source.segment or ""]["engine"] == OVN

    @property
    def wired(self) -> bool:
        """Whether the segment is a VLAN of the underlay itself, which has no tunnels."""
        return self.switched and self.segments[self.source.segment or ""]["encapsulation"] == "vlan"

    @property
    def next_mac(self) -> str | None:
        """The MAC address that the source writes on the frame, as planned."""
        gateway = self.gateways[0] or self.outward
        return gateway.mac if gateway else self.target.mac

    @property
    def exits(self) -> list[str]:
        """The hosts by one of which the packet leaves OVN."""
        if self.outward is None:
            return []
        _address, distributed = self.crossing.outer(self.outward, self.packet.source)
        own: list[str] = self.crossing.edges[self.outward.edge]["hosts"]
        return [self.source.host or ""] if distributed else own

    @property
    def keyed(self) -> bool:
        """Whether the segment is told apart by tunnel key, so that flows decide."""
        return bool(self.source.segment and self.segments[self.source.segment]["key"] is not None)

    @property
    def guarded(self) -> bool:
        """Whether RSTP decides which tunnels carry the segment's frames, so that they may go by any host of the overlay."""
        overlay = (
            self.overlays.get(self.segments[self.source.segment or ""]["overlay"]) if self.source.segment else None
        )
        return bool(overlay and overlay["loop_guard"] == "rstp")

    def neighbors(self, host: str) -> list[str]:
        """The hosts that a host has a tunnel to, in the overlay of the segment."""
        tunnels = self.overlays[self.segments[self.source.segment or ""]["overlay"]]["tunnels"]
        return [one if other == host else other for one, other in map(tuple, tunnels) if host in (one, other)]

    def _entries(self) -> list[tuple[str, str | None]]:
        """The hosts where the packet may come in, each with the host before."""
        if not self.guarded or len(self.hosts) < 2:
            return [(host, self.hosts[number - 1] if number else None) for number, host in enumerate(self.hosts)]
        return [(self.hosts[0], None), *((host, near) for host in self.all_hosts for near in self.neighbors(host))]

    @property
    def all_hosts(self) -> list[str]:
        """The hosts that the packet may cross."""
        if not self.guarded or len(self.hosts) < 2:
            return self.hosts
        tunnels = self.overlays[self.segments[self.source.segment or ""]["overlay"]]["tunnels"]
        return list(dict.fromkeys([*self.hosts, *(host for tunnel in tunnels for host in tunnel)]))

    def reversed(self) -> Route:
        """The way back of an answer."""
        back = Route.__new__(Route)
        back.__dict__.update(self.__dict__)
        back.source, back.target, back.hosts = self.target, self.source, self.hosts[::-1]
        back.gateways = self.gateways[::-1]
        back.outward = back.landing = back.entrance = back.turn = None
        packet = self.packet
        back.packet = packet._replace(source=packet.target, target=packet.source, answer=not packet.answer)
        back.crossed = [leg.reversed() for leg in self.crossed[::-1]]
        return back

    def with_packet(self, packet: Packet) -> Route:
        """The same way for another packet."""
        other = Route.__new__(Route)
        other.__dict__.update(self.__dict__)
        other.packet = packet
        other.crossed = [leg.with_packet(_kind_of(packet, leg.packet)) for leg in self.crossed]
        return other

    def inner(self) -> Route:
        """The way of a packet that enters OVN, with the header that it has behind the router."""
        if self.turn is None or self.entrance is None:
            return self
        into, port = self.turn.reversed(), self.entrance.port
        into.source, into.outward = self.source, self.turn.outward
        original = (self.packet.target, self.packet.port) if port else None
        into.packet = self.packet._replace(
            target=self.turn.source.address, port=port or self.packet.port, original=original
        )
        return into

    def routers(self) -> list[str]:
        """The routers that lie between the hosts, by whichever way: those that links lead to without crossing another KVM host."""
        edges = [[end["host"] for end in link["ends"]] for link in self.plan["links"]]
        found: list[str] = []
        todo = [host for host in self.all_hosts if host in self.plan["routers"] or host in self.plan["hosts"]]
        seen = set(todo)
        while todo:
            here = todo.pop()
            near = {host for edge in edges if here in edge for host in edge} - seen
            inner = [host for host in near if host not in self.plan["hosts"]]
            seen.update(inner)
            found += inner
            todo += inner
        return sorted(found)

    def tunnel(self, near: str, far: str) -> Item | None:
        """The tunnel of the segment's overlay from one host to another, as planned, or as OVN makes it."""
        if self.logical:
            return logical.tunnel(self.plan, self.segments[self.source.segment or ""], far)
        overlay = self.segments[self.source.segment or ""]["overlay"]
        name = planned_tunnel(self.overlays[overlay], near, far) if overlay else None
        return next((one for one in self.plan["hosts"][near]["tunnels"] if one["name"] == name), None)

    def questions(self) -> dict[str, Item]:
        """For each host on the way the options of trace_info."""
        asked: dict[str, Item] = {}
        legs = [leg for way in self.alternatives() for leg in way.legs] + self.between_hosts()
        legs += [leg.turn for leg in legs if leg.turn]
        for host in dict.fromkeys(host for leg in legs for host in (*leg.all_hosts, *leg.beyond(), *leg.routers())):
            if host in self.plan["hosts"] or self.plan["routers"][host]["managed"]:
                asked[host] = _nothing(host in self.plan["hosts"])
        for leg in legs:
            for way in (leg, leg.reversed()):
                way.ask(asked)
                if way.logical:
                    logical.ask(way, asked.setdefault(logical.central(way.plan), _nothing(False)))
        if self.entrance:
            logical.ask_inwards(self, asked[logical.central(self.plan)])
        for options in asked.values():
            # Legs have questions in common.
            for name in ("traces", "logical_traces"):
                options[name] = list({one["name"]: one for one in options[name]}.values())
        return asked

    def questions_again(self, seen: t.Mapping[str, Item]) -> dict[str, Item]:
        """What the hosts are asked when they are read once more: the same, and of OVN what only the first answers tell how to ask.

        seen: what was read.
        """
        asked = self.questions()
        for leg in (leg for way in self.alternatives() for leg in way.legs if leg.logical and leg.switched):
            for way in (leg, leg.reversed()):
                way._ask_far(asked, seen)
        return asked

    def _ask_far(self, asked: dict[str, Item], seen: t.Mapping[str, Item]) -> None:
        """The question for the next MAC address at the source's chassis, and the packet as its tunnel hands it to that of the target."""
        near, far = self.hosts[0], self.hosts[-1]
        if self.packet.family == 4:
            asked[near]["traces"].append(self.arp_trace(near, None))
        read = {host: (seen.get(host) or {}).get("switch") or {} for host in (near, far)}
        sent = switch.parse((read[near].get("traces") or {}).get(self.trace_name(None)) or "").carried
        ports = (read[far].get("bridges") or {}).get(self.target.bridge or "", {"ports": {}})["ports"]
        remote = tep_address(self.plan, near)
        tunnel = next((name for name, row in ports.items() if row["options"].get("remote_ip") == remote), None)
        if near != far and sent and tunnel:
            flow = f"in_port={quoted(tunnel)},tun_id={sent.key},tun_metadata0={sent.ports},{self._fields(far=True)}"
            question = {"name": self.far_name(), "bridge": self.target.bridge, "flow": flow}
            asked[far]["traces"].append({**question, **self._state()})

    def far_name(self) -> str:
        """The key of the answer of the target's chassis."""
        return f"{self.trace_name(None)} at {self.hosts[-1]}"

    def _state(self) -> Item:
        """Flows that look for its connection take a packet for the first one, or for an answer."""
        return {"answer": True} if self.packet.answer else {}

    def prefixes(self, hosts: t.Iterable[str]) -> list[str]:
        """The prefixes of routes that hosts on the way may need to each other, as planned, to ask FRR of them."""
        known = list(hosts)
        found = {f"{one}/{128 if ':' in one else 32}" for host in known for one in map(bare, self.addresses(host))}
        routes = [row["prefix"] for host in known for row in self.plan["routers"].get(host, {}).get("routes", ())]
        return sorted(found.union(one for one in routes if any(inside(bare(to), one) for to in found)))

    def ask(self, asked: dict[str, Item]) -> None:
        """Add what this leg asks in this direction."""
        source = self.source
        # A router that others manage is not asked.
        if source.host is None or source.host not in asked:
            return
        if source.space and source.space not in asked[source.host]["namespaces"]:
            asked[source.host]["namespaces"].append(source.space)
        if source.guest:
            asked[source.host]["guests"] = True
            asked[source.host]["plugs"].append({"guest": source.guest, "port": source.port})
        asked[source.host]["units"] += self.units(source)
        if self.outward:
            self._ask_gateway(asked)
        if not self.switched:
            return
        for host, before in self._entries():
            asked[host]["chassis"] |= self.logical
            if before is not None and self.logical:
                # By which port of OVN's the packet comes is only known to its databases.
                asked[host]["traces"] += self.outer_traces(host, before)
                continue
            asked[host]["traces"].append(self.trace(host, before))
            if before is not None:
                asked[host]["traces"] += self.outer_traces(host, before)
            # Of IPv6, flows that segments are told apart by answer in several ways.
            answered = (before or self.packet.family == 6) and self.keyed
            if not answered and not self.logical:
                asked[host]["traces"].append(self.arp_trace(host, before))

    def beyond(self) -> list[str]:
        """The hosts behind the segment, where the packet leaves OVN and where it then lands."""
        return [*self.exits, *([self.landing.host or ""] if self.landing else [])]

    def _ask_gateway(self, asked: dict[str, Item]) -> None:
        """Add what the hosts are asked that may be the gateway of OVN."""
        near = self.source.host or ""
        for host in dict.fromkeys((near, *self.exits)):
            asked[host]["chassis"] = True
            asked[host]["traces"] += self.outer_traces(host, near) if host != near else []
        if self.landing and self.landing.space:
            asked[self.landing.host or ""]["namespaces"].append(self.landing.space)

    def leased(self, end: End) -> bool:
        """Whether an endpoint has its address by DHCP."""
        return bool((self.world.points.get(end.id) or {}).get("dhcp"))

    def units(self, end: End) -> list[str]:
        """The services that an endpoint stands or falls with: container, service, server and client of DHCP, router of VRRP."""
        point = self.world.points.get(end.id) or {}
        name, host = end.space or "", self.plan["hosts"].get(end.host or "") or {}
        units = [service_name(name)] if (point.get("container") or {}).get("managed") else []
        if point.get("service"):
            units.append(as_service(point["service"]["unit"]))
        for kind, items in (("dnsmasq", "dhcp_servers"), ("udhcpc", "dhcp_clients")):
            units += [unit_name(kind, name) for one in host.get(items, ()) if one["namespace"] == name]
        edge = self.crossing.edges.get(point.get("edge") or "")
        if edge and len(edge["hosts"]) > 1:
            units.append(unit_name("keepalived", name))
        return units

    def trace(self, host: str, before: str | None) -> Item:
        """The question to the switch of a host: the packet as it comes from the endpoint, or by the tunnel from the host before."""
        return {"name": self.trace_name(before), **self._entering(host, before, self._fields()), **self._state()}

    def arp_trace(self, host: str, before: str | None) -> Item:
        """The question for the target's MAC address, which flows answer, or which everybody gets."""
        source, asked = self.source, self.gateways[0].address if self.gateways[0] else self.target.address
        if self.packet.family == 6:
            # RFC 4861, sections 2.3 and 4.3: to the group of all who may have the address.
            low = ipaddress.ip_address(asked).packed[-3:]
            group, mac = f"ff02::1:ff{low[0]:02x}:{low[1:].hex()}", "33:33:ff:" + low.hex(":")
            ends = f"dl_src={source.mac},dl_dst={mac},ipv6_src={source.address},ipv6_dst={group}"
            fields = f"icmp6,icmpv6_type=135,icmpv6_code=0,{ends},nd_target={asked},nd_sll={source.mac}"
        else:
            ends = f"dl_src={source.mac},dl_dst=ff:ff:ff:ff:ff:ff,arp_spa={source.address},arp_tpa={asked}"
            fields = f"arp,arp_op=1,{ends},arp_sha={source.mac}"
        return {"name": self.arp_name(before), **self._entering(host, before, fields)}

    def _entering(self, host: str, before: str | None, fields: str) -> Item:
        """Bridge and flow of a question: from the endpoint's port, or from the tunnel of the host before."""
        segment = self.segments[self.source.segment or ""]
        if before is None:
            return {"bridge": self.source.bridge, "flow": f"in_port={quoted(self.source.port or '')},{fields}"}
        tunnel = self.tunnel(host, before)
        nics = self.plan["hosts"][host]["underlay"]["nics"] if self.wired else []
        port = quoted(tunnel["name"]) if tunnel else quoted(nics[0]) if nics else "0"
        inside = (
            f"tun_id={segment['key']:#x}," if self.keyed else f"dl_vlan={segment['vlan']}," if segment["vlan"] else ""
        )
        return {"bridge": segment["bridge"], "flow": f"in_port={port},{inside}{fields}"}

    def trace_name(self, before: str | None) -> str:
        """The key of the answer to trace."""
        return f"{self.source.id} to {self.target.id}" + self.entry_name(before)

    def arp_name(self, before: str | None = None) -> str:
        """The key of the answer to arp_trace."""
        return f"{self.source.id} asks for {self.target.id}" + self.entry_name(before)

    def entry_name(self, before: str | None) -> str:
        """What tells the questions of a host apart, where the packet may come from several."""
        return f" from {before}" if before and self.guarded else ""

    def outer_traces(self, host: str, before: str) -> list[Item]:
        """The tunnel's packet as it comes in by each NIC of the underlay."""
        tunnel, underlay = self.tunnel(host, before), self.plan["hosts"][host]["underlay"]
        own = tep_address(self.plan, host)
        if not tunnel or ":" in own or underlay["bridge"] is None:
            return []
        ported = f"udp_dst={udp_port(tunnel)}"
        ends = f"nw_src={tunnel['remote_ip']},nw_dst={own}"
        flow = f"ip,nw_proto=47,{ends}" if tunnel["type"] == "gre" else f"udp,{ends},{ported}"
        nics = [(link["interface"], f",dl_dst={link['mac']}") for link in underlay["links"]]
        nics = nics or [(nic, "") for nic in underlay["nics"]]
        return [
            {
                "name": f"tunnel by {nic}" + self.entry_name(before),
                "bridge": underlay["bridge"],
                "flow": f"in_port={quoted(nic)},{flow}{mac}",
            }
            for nic, mac in nics
        ]

    def _fields(self, far: bool = False) -> str:
        """The packet in the switch's words. far: behind OVN's router, if one lies between both ends."""
        packet, six = self.packet, self.packet.family == 6
        protocol = {"icmp": "icmp6" if six else "icmp"}.get(packet.protocol, packet.protocol + ("6" if six else ""))
        prefix = "ipv6_" if six else "nw_"
        echo = (129 if packet.answer else 128) if six else (0 if packet.answer else 8)
        kind = (
            ""
            if packet.protocol != "icmp"
            else f",icmp{'v6' if six else ''}_type={echo},icmp{'v6' if six else ''}_code=0"
        )
        side = "src" if packet.answer else "dst"
        port = f",{packet.protocol}_{side}={packet.port}" if packet.port else kind
        router = self.gateways[1] if far else None
        ends = f"dl_src={router.mac if router else self.source.mac},dl_dst={self.target.mac if far else self.next_mac}"
        hops = f",nw_ttl={63 if router else 64}" if self.logical else ""
        return f"{protocol},{ends},{prefix}src={packet.source},{prefix}dst={packet.target}{hops}{port}"

    def probe(self) -> Item | None:
        """The measurement beside the reading, as options of the module probe, or None where nobody can send, and where a ping takes another way."""
        if any(leg.packet.original for leg in self.legs) or self.crossing.forwarded_by_ovn(self.packet):
            return None
        source, packet = self.source, self.packet
        point = self.world.points.get(source.id, {})
        if source.segment and source.guest and not (point.get("measures") and not point.get("device")):
            return None
        end: Item = {"id": source.id, "interface": source.interface, "addresses": []}
        if source.guest:
            end["guest"] = source.guest
        elif source.space:
            end["namespace"] = source.space
        size = max(packet.size, PING_HEADERS[packet.family])
        kind = {"kind": "ping"} if size <= DEFAULT_SIZE else {"kind": "mtu", "size": size}
        probe = {**kind, "from": source.id, "to": packet.target}
        return {"endpoints": [end], "probes": [probe], "count": PINGS, "settle": 1.5}


def _nothing(switch: bool) -> Item:
    """A host of which nothing more than itself is read."""
    listed = (
        "namespaces",
        "traces",
        "plugs",
        "units",
        "logical_traces",
        "switch_ports",
        "router_ports",
        "logical_routers",
    )
    return {**{name: [] for name in listed}, "guests": False, "chassis": False, "switch": switch}


def _kind_of(kind: Packet, packet: Packet) -> Packet:
    """A packet with the protocol, port and size of another."""
    return packet._replace(protocol=kind.protocol, port=kind.port, size=kind.size)


def as_service(unit: str) -> str:
    """A unit's whole name."""
    return unit if "." in unit else unit + ".service"


def udp_port(tunnel: Item) -> int | None:
    """The UDP port of a tunnel's outer packets, or None with GRE."""
    port = as_read(tunnel["dst_port"]) or DST_PORTS.get(tunnel["type"])
    return int(port) if port else None


def _unknown(name: str, option: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else "name one of the plan, or an address."
    return f"{option} {name}: the plan has no endpoint and no host of this name; {hint}"

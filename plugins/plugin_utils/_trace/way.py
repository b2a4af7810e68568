# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a packet should cross, and what each of them is asked. Pure: from the plan and the packet, before anything is read.

This file is private to the collection.
"""

from __future__ import annotations

import difflib
import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import quoted
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import DST_PORTS, IN_NAMESPACE
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import planned_tunnel, tep_address
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.unset import as_read
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.causes import World
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import PING_HEADERS

Item = t.Dict[str, t.Any]

PROTOCOLS = ("icmp", "tcp", "udp")
NUMBERS = {"tcp": 6, "udp": 17}
DEFAULT_SIZE = 84
PINGS = 5


class TraceError(Exception):
    """A question that cannot be asked, in one sentence."""


class Packet(t.NamedTuple):
    """What is followed. port: None for ICMP; size: of the IP packet in bytes, not to be fragmented; family: that of the ends' addresses."""

    protocol: str = "icmp"
    port: int | None = None
    size: int = DEFAULT_SIZE
    family: int = 4


class End(t.NamedTuple):
    """One end of a way.

    space: the network namespace; "" is the host's own, None a guest's inside, which is not read.
    interface, port, bridge, mac, segment, guest: None where the end is no endpoint.
    host: None for an address outside of the plan.
    """

    id: str
    host: str | None
    address: str
    space: str | None
    interface: str | None = None
    port: str | None = None
    bridge: str | None = None
    mac: str | None = None
    segment: str | None = None
    guest: str | None = None
    tag: int | None = None


class Route:
    """A packet's way as the plan has it. hosts: along the overlay, from the source's to the target's."""

    def __init__(self, plan: Item, source: str, target: str, packet: Packet) -> None:
        self.plan = plan
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
        self.packet = packet
        self.hosts = self._hosts()

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
        return End(address, None, address, None)

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
        if not self.same_segment:
            return [here, there] if there and there != here else [here]
        return self.world.hops(self.segments[self.source.segment or ""]["overlay"], here, there or here)

    @property
    def same_segment(self) -> bool:
        """Whether both ends are on one segment, so that switches alone lie between them."""
        return self.source.segment is not None and self.source.segment == self.target.segment

    @property
    def keyed(self) -> bool:
        """Whether the segment is told apart by tunnel key, so that flows decide."""
        return bool(self.source.segment and self.segments[self.source.segment]["key"] is not None)

    def reversed(self) -> Route:
        """The way back of an answer."""
        back = Route.__new__(Route)
        back.__dict__.update(self.__dict__)
        back.source, back.target, back.hosts = self.target, self.source, self.hosts[::-1]
        return back

    def with_packet(self, packet: Packet) -> Route:
        """The same way for another packet."""
        other = Route.__new__(Route)
        other.__dict__.update(self.__dict__)
        other.packet = packet
        return other

    def routers(self) -> list[str]:
        """The routers that lie between the hosts, by whichever way: those that links lead to without crossing another KVM host."""
        edges = [[end["host"] for end in link["ends"]] for link in self.plan["links"]]
        found: list[str] = []
        todo = [host for host in self.hosts if host in self.plan["routers"] or host in self.plan["hosts"]]
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
        """The tunnel of the segment's overlay from one host to another, as planned."""
        overlay = self.segments[self.source.segment or ""]["overlay"]
        name = planned_tunnel(self.overlays[overlay], near, far) if overlay else None
        return next((one for one in self.plan["hosts"][near]["tunnels"] if one["name"] == name), None)

    def questions(self) -> dict[str, Item]:
        """For each host on the way the options of trace_info."""
        asked: dict[str, Item] = {}
        for host in (*self.hosts, *self.routers()):
            managed = host in self.plan["hosts"] or self.plan["routers"][host]["managed"]
            if managed and host not in asked:
                asked[host] = {"namespaces": [], "switch": host in self.plan["hosts"], "traces": [], "guests": False}
        for way in (self, self.reversed()):
            way.ask(asked)
        return asked

    def ask(self, asked: dict[str, Item]) -> None:
        """Add what this direction asks."""
        source = self.source
        if source.space:
            asked[source.host or ""]["namespaces"].append(source.space)
        if source.guest:
            asked[source.host or ""]["guests"] = True
        if not self.same_segment:
            return
        for number, host in enumerate(self.hosts):
            before = self.hosts[number - 1] if number else None
            asked[host]["traces"].append(self.trace(host, before))
            if before is not None:
                asked[host]["traces"] += self.outer_traces(host, before)
        if self.keyed and self.packet.family == 4:
            asked[source.host or ""]["traces"].append(self.arp_trace())

    def trace(self, host: str, before: str | None) -> Item:
        """The question to the switch of a host: the packet as it comes from the endpoint, or by the tunnel from the host before."""
        segment = self.segments[self.source.segment or ""]
        name = f"{self.source.id} to {self.target.id}"
        if before is None:
            return {
                "name": name,
                "bridge": self.source.bridge,
                "flow": f"in_port={quoted(self.source.port or '')},{self._fields()}",
            }
        tunnel = self.tunnel(host, before)
        port = quoted(tunnel["name"]) if tunnel else "0"
        inside = (
            f"tun_id={segment['key']:#x}," if self.keyed else f"dl_vlan={segment['vlan']}," if segment["vlan"] else ""
        )
        return {"name": name, "bridge": segment["bridge"], "flow": f"in_port={port},{inside}{self._fields()}"}

    def arp_trace(self) -> Item:
        """The question for the target's MAC address, which flows answer."""
        source, target = self.source, self.target
        ends = f"dl_src={source.mac},dl_dst=ff:ff:ff:ff:ff:ff,arp_spa={source.address},arp_tpa={target.address}"
        flow = f"in_port={quoted(source.port or '')},arp,arp_op=1,{ends},arp_sha={source.mac}"
        return {"name": self.arp_name(), "bridge": source.bridge, "flow": flow}

    def arp_name(self) -> str:
        """The key of the answer to arp_trace."""
        return f"{self.source.id} asks for {self.target.id}"

    def outer_traces(self, host: str, before: str) -> list[Item]:
        """The tunnel's packet as it comes in by each card of the underlay."""
        tunnel, underlay = self.tunnel(host, before), self.plan["hosts"][host]["underlay"]
        own = tep_address(self.plan, host)
        if not tunnel or ":" in own:
            return []
        ported = f"udp_dst={udp_port(tunnel)}"
        ends = f"nw_src={tunnel['remote_ip']},nw_dst={own}"
        flow = f"ip,nw_proto=47,{ends}" if tunnel["type"] == "gre" else f"udp,{ends},{ported}"
        cards = [(link["interface"], f",dl_dst={link['mac']}") for link in underlay["links"]]
        return [
            {"name": f"tunnel by {card}", "bridge": underlay["bridge"], "flow": f"in_port={quoted(card)},{flow}{mac}"}
            for card, mac in cards or [(nic, "") for nic in underlay["nics"]]
        ]

    def _fields(self) -> str:
        """The packet in the switch's words."""
        packet, six = self.packet, self.packet.family == 6
        protocol = {"icmp": "icmp6" if six else "icmp"}.get(packet.protocol, packet.protocol + ("6" if six else ""))
        prefix = "ipv6_" if six else "nw_"
        kind = (
            "" if packet.protocol != "icmp" else ",icmpv6_type=128,icmpv6_code=0" if six else ",icmp_type=8,icmp_code=0"
        )
        port = f",{packet.protocol}_dst={packet.port}" if packet.port else kind
        ends = f"dl_src={self.source.mac},dl_dst={self.target.mac}"
        return f"{protocol},{ends},{prefix}src={self.source.address},{prefix}dst={self.target.address}{port}"

    def probe(self) -> Item | None:
        """The measurement beside the reading, as options of the module probe, or None where nobody can send."""
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
        probe = {**kind, "from": source.id, "to": self.target.address}
        return {"endpoints": [end], "probes": [probe], "count": PINGS, "settle": 1.5}


def udp_port(tunnel: Item) -> int | None:
    """The UDP port of a tunnel's outer packets, or None with GRE."""
    port = as_read(tunnel["dst_port"]) or DST_PORTS.get(tunnel["type"])
    return int(port) if port else None


def _unknown(name: str, option: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else "name one of the plan, or an address."
    return f"{option} {name}: the plan has no endpoint and no host of this name; {hint}"

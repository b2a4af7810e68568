# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges: what the plan expects to pass between segments, and what not. Pure: plan in, plain data out.

Pings and TCP are measured, and of UDP what is allowed to stated ports: there is an answer even if nobody listens. That UDP is dropped is not.
What is measured is a sample: a pair of endpoints for each two segments and host, and one for each rule that decides about any pair.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import itertools
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import IN_NAMESPACE
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import (
    ICMP,
    TCP,
    UDP,
    Layer,
    Packet,
    Rule,
    deciding,
    from_data,
    passes,
    passes_ports,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.policy import (
    LISTENING,
    Judges,
    first_packet,
    own_address,
    rule_of,
    stated_ports,
)

Item = t.Dict[str, t.Any]

LOOK = "ip netns exec {name} nft list table inet {table}"


class Way(t.NamedTuple):
    """A way from one endpoint to another one's address by an edge. layers: the edge's rules, and those of flows at both ends.

    floating: the address that is asked for it, where that is another one.
    """

    one: Item
    other: Item
    family: int
    address: str
    layers: list[Layer]
    floating: str | None = None

    @property
    def asked(self) -> str:
        """The address that is asked."""
        return self.floating or self.address

    def packet(self, protocol: str, port: int = 0) -> Packet:
        """The first packet of a connection that takes it."""
        return first_packet(own_address(self.one, self.address) or "", self.address, protocol, port)

    @property
    def pings(self) -> bool:
        """Whether a ping passes."""
        return passes(self.layers, self.packet(ICMP))


def _family(address: str) -> int:
    return 6 if ":" in address else 4


def expected_tables(host: Item) -> dict[str, Item]:
    """The tables of a host's edges, by the names of the edges."""
    return {
        table["netns"]: {"name": table["netns"], "table": table["name"], "running": True, "as_loaded": True}
        for table in host["nft_tables"]
    }


def _layer(edge: Item) -> Layer:
    return Layer(f"edge {edge['name']}", [from_data(rule) for rule in edge["rules"]])


class Ways:
    """The ways between endpoints in namespaces by an edge that is the gateway of the first, if the answer comes back by it, too."""

    def __init__(self, plan: Item) -> None:
        self.edges = [(edge, _layer(edge)) for edge in plan["edges"]]
        self.judges = Judges(plan)
        self.hops = _hops(plan) if self.edges else {}
        points = [point for point in plan["endpoints"] if not point.get("edge")] if self.edges else []
        self.points = {point["id"]: point for point in points if point["kind"] in IN_NAMESPACE}
        # Those of guests are not measured, and yet they may come through.
        self.known = {point["id"]: point for point in points}
        self.by_address: dict[str, list[Item]] = {}
        for point in points:
            for address in filter(None, (point["address"], point["address6"])):
                self.by_address.setdefault(address, []).append(point)

    def between(self, one: Item, other: Item, learned: bool = False) -> list[Way]:
        """The ways from an endpoint to each address of another one on another segment. learned: also those that need a route which an edge announces."""
        found: list[Way] = []
        for edge, layer in self.edges:
            segments = {leg["segment"] for leg in edge["legs"]}
            if one["segment"] != other["segment"] and {one["segment"], other["segment"]} <= segments:
                found += self._by(edge, layer, one, other, learned)
        return found

    def _by(self, edge: Item, layer: Layer, one: Item, other: Item, learned: bool) -> t.Iterator[Way]:
        for address in filter(None, (other["address"], other["address6"])):
            family = _family(address)
            translated = family == 4 and _translates(edge, one, other)
            own = one["address"] if family == 4 else one["address6"]
            told = learned and _told(edge, other, own)
            back = translated or told or _leads_to(edge, other, family, self.hops)
            # What the edge gives its own address is the edge's to judge.
            far = [] if translated else self.judges.at(other)
            forth = _leads_to(edge, one, family, self.hops) or (learned and own and _told(edge, one, address))
            if back and forth:
                yield Way(one, other, family, address, [layer, *self.judges.at(one), *far])

    def floating(self) -> list[Way]:
        """The ways from an endpoint outside to each floating address."""
        outside = {point["segment"]: point for point in reversed(self.points.values())}
        return [
            Way(outside[edge["provider"]], self.points[one["to"]], 4, one["inner"], [layer], one["address"])
            for edge, layer in self.edges
            for one in edge["floating"]
            if edge["provider"] in outside and one["to"] in self.points
        ]

    def pings(self, entry: Item) -> bool:
        """Whether a ping of an expectation may pass an edge, so that no silence is expected; by its address, which others may have as well."""
        one = self.known.get(entry["from"])
        if one is None:
            return False
        others = self.by_address.get(entry["address"], ())
        ways = [way for other in others for way in self.between(one, other, learned=True)]
        return any(way.pings for way in ways if way.address == entry["address"])

    def sample(self) -> list[Way]:
        """One way for each segment and host to each other segment, and one for each rule that decides about any."""
        some = self._some()
        found: list[Way] = []
        for one, other in itertools.product(some, repeat=2):
            found += self.between(one, other)
        # To another host, if there is any such way: that proves more.
        found.sort(key=lambda way: way.one["host"] == way.other["host"])
        chosen: dict[t.Any, Way] = {}
        for way in found:
            chosen.setdefault((way.one["segment"], way.one["host"], way.other["segment"], way.family), way)
            for rule in _deciding(way):
                chosen.setdefault((rule.name, way.family), way)
        by_ends = {(way.one["id"], way.other["id"], way.address): way for way in chosen.values()}
        return list(by_ends.values())

    def _some(self) -> list[Item]:
        """The first endpoint of each segment on each host, and those that a rule names."""
        rules = [rule for _edge, layer in self.edges for rule in layer.rules]
        named = {str(place.network.network_address) for rule in rules for place in (*rule.sources, *rule.targets)}
        chosen: dict[t.Any, Item] = {}
        for point in self.points.values():
            chosen.setdefault((point["segment"], point["host"]), point)
            if named & {point["address"], point["address6"]}:
                chosen[point["id"]] = point
        return list({point["id"]: point for point in chosen.values()}.values())


def _hops(plan: Item) -> dict[str, set[str]]:
    """The next hops of default routes that each endpoint has, by its id. A guest may have any edge of its segment, as its image or its user has it."""
    segments = {segment["name"]: segment for segment in plan["segments"]}
    found: dict[str, set[str]] = {}
    for name, host in plan["hosts"].items():
        for space in host["namespaces"]:
            hops = {route["via"] for route in space["routes"] if route["to"] == "default"}
            found.setdefault(f"{name}/{space['name']}", set()).update(hops)
    gateways: dict[str, set[str]] = {}
    for leg in (leg for edge in plan["edges"] for leg in edge["legs"]):
        gateways.setdefault(leg["segment"], set()).update(filter(None, (leg["address"], leg["address6"])))
    for point in plan["endpoints"]:
        if point["kind"] not in IN_NAMESPACE:
            found.setdefault(point["id"], set()).update(gateways.get(point["segment"], ()))
        served = segments[point["segment"]]["dhcp"]
        if point["dhcp"] and served and served["router"]:
            found.setdefault(point["id"], set()).add(served["router"])
    return found


def _leads_to(edge: Item, point: Item, family: int, hops: dict[str, set[str]]) -> bool:
    """Whether the default route of an endpoint is by the edge."""
    leg = next(leg for leg in edge["legs"] if leg["segment"] == point["segment"])
    gateways = [leg[option] for option in ("address", "address6") if leg[option] and _family(leg[option]) == family]
    return any(gateway in hops.get(point["id"], ()) for gateway in gateways)


def _told(edge: Item, point: Item, address: str | None) -> bool:
    """Whether an endpoint may have learned a way to an address, as one outside that listens to what the edge announces by OSPF or BGP."""
    leg = next(leg for leg in edge["legs"] if leg["segment"] == point["segment"])
    if leg["gateway"] or not address:
        return False
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in edge["announces"])


def _translates(edge: Item, one: Item, other: Item) -> bool:
    """Whether the edge translates what leaves for the other's segment, so that the answer comes to it."""
    source = ipaddress.ip_address(one["address"])
    return any(nat["out"] == other["segment"] and source in ipaddress.ip_network(nat["from"]) for nat in edge["nat"])


def _deciding(way: Way) -> list[Rule]:
    """The rules that decide about what is measured on a way."""
    packets = [way.packet(ICMP), way.packet(TCP, LISTENING[0])]
    packets += [way.packet(protocol, port) for protocol, port in _stated_ports(way, way.layers)]
    found = (deciding(layer.rules, packet) for layer in way.layers for packet in packets)
    return [rule for rule in found if rule]


def _stated_ports(way: Way, layers: t.Sequence[Layer]) -> list[tuple[str, int]]:
    """The first port of each rule that states ports, with its protocol. Where flows judge as well, UDP is not tried."""
    measured = (TCP, UDP) if len(way.layers) == 1 else (TCP,)
    return [(protocol, port) for protocol in measured for port in stated_ports(layers, protocol)]


def expected_pairs(chosen: t.Iterable[Way], ping_headers: t.Mapping[int, int]) -> list[Item]:
    """Pings that fill the smaller MTU, and transfers, that an edge lets pass."""
    found = []
    for way in chosen:
        mtu = min(way.one["mtu"], way.other["mtu"])
        entry = {
            "from": way.one["id"],
            "to": way.other["id"],
            "segment": way.other["segment"],
            "family": way.family,
            "address": way.asked,
            "mtu": mtu,
            "payload": mtu - ping_headers[way.family],
            "ping": way.pings,
            "tcp": _transfers(way) is True,
        }
        if entry["ping"] or entry["tcp"]:
            found.append(entry)
    return found


def expected_denied(chosen: t.Iterable[Way]) -> list[Item]:
    """Transfers that an edge drops. Pings that it drops are among the isolated pairs."""
    return [
        {
            "from": way.one["id"],
            "to": way.other["id"],
            "family": way.family,
            "address": way.asked,
            "mac": way.other["mac"],
            "probe": "tcp",
            "rule": rule_of(way.layers, way.packet(TCP, LISTENING[0])),
        }
        for way in chosen
        if _transfers(way) is False
    ]


def _transfers(way: Way) -> bool | None:
    """Whether a transfer to the port that verify listens on passes; None where that depends on the port."""
    return passes_ports(way.layers, way.packet(TCP), LISTENING)


def expected_connections(chosen: t.Iterable[Way]) -> list[Item]:
    """Ports that rules allow: whoever listens or not, an answer comes back."""
    found = {}
    for way in chosen:
        for protocol, port in _stated_ports(way, way.layers[:1]):
            packet = way.packet(protocol, port)
            rule = deciding(way.layers[0].rules, packet)
            if rule and rule.ports and passes(way.layers, packet):
                found[rule.name, way.family] = _connection(way.one, way.other, way.asked, protocol, port)
    return list(found.values())


def _connection(one: Item, other: Item, address: str, protocol: str, port: int) -> Item:
    return {
        "from": one["id"],
        "to": other["id"],
        "family": _family(address),
        "address": address,
        "protocol": protocol,
        "port": port,
        "answers": True,
    }


def expected_forwards(plan: Item) -> list[Item]:
    """Each forwarded port, asked by one endpoint of each segment, its own among them."""
    found = []
    points = {point["id"]: point for point in plan["endpoints"]}
    hops, judges = _hops(plan), Judges(plan)
    for edge in plan["edges"]:
        for forward in edge["forwards"]:
            target = points[forward["to"]]
            if forward["checked"]:
                # Who listens for the test alone is not found to live in time.
                continue
            # Who listens in a guest for UDP, and need not answer, is not known. Where flows judge as well, it is not tried.
            if forward["protocol"] != TCP and (target["kind"] not in IN_NAMESPACE or judges.layers):
                continue
            for leg in edge["legs"]:
                asker = _asker(edge, leg, forward, target, plan["endpoints"], hops, judges)
                if asker is not None:
                    link = _connection(asker, target, forward["address"], forward["protocol"], forward["port"])
                    found.append({**link, "target_port": forward["to_port"]})
    return found


def _asker(
    edge: Item,
    leg: Item,
    forward: Item,
    target: Item,
    points: t.Iterable[Item],
    hops: dict[str, set[str]],
    judges: Judges,
) -> Item | None:
    """An endpoint of a segment that may ask for a forwarded port, and knows a way to it."""
    rules = [from_data(rule) for rule in edge["rules"]]
    family = _family(forward["address"])
    option = "address" if _family(target["address"]) == family else "address6"
    for point in points:
        usable = point["segment"] == leg["segment"] and point["kind"] in IN_NAMESPACE and not point.get("edge")
        if not usable or point["id"] == target["id"] or not point.get(option):
            continue
        packet = first_packet(point[option], target[option], forward["protocol"], forward["to_port"])
        rule = deciding(rules, packet)
        # Who asks asks the edge; the target's host judges what comes of it. With a hairpin that is from the edge itself.
        hairpin = point["segment"] == target["segment"]
        if not hairpin and not passes(judges.at(target), packet):
            continue
        knows = leg["segment"] == forward["segment"] or _leads_to(edge, point, family, hops)
        if knows and (rule is None or rule.allow):
            return point
    return None

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The intent's part about edges and policy, checked one by one and turned into typed objects.

What needs a look at segments and endpoints is the concern of _plan/edges.py.

This file is private to the collection.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import (
    between,
    matching_name,
    read_address,
    read_interface,
    read_routes,
    unique,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.routers import read_area, read_asn
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, label, show
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import ALL_PORTS, WITH_PORTS, Ports

Item = t.Dict[str, t.Any]

VRIDS = (1, 255)
# Seconds between health checks, and how many may fail.
CHECKED = (1, 3600)
# Milliseconds. Below, a busy host is soon taken for a dead one.
INTERVALS = (100, 40950)


@dataclasses.dataclass
class Leg:
    """An edge's interface on a segment. gateway: whether the segment's endpoints have their default route by it.

    own, own6: of an edge on two hosts, the interface's own addresses there; None for those that the plan allocates.
    """

    where: str
    segment: str | t.Any
    address: Address | t.Any
    address6: Address | None | t.Any
    gateway: bool | t.Any
    interface: str | None | t.Any
    own: list[Address | t.Any] | None = None
    own6: list[Address | t.Any] | None = None


@dataclasses.dataclass
class Nat:
    """Source NAT of what leaves by a segment. source: a segment's name or a prefix. address: None for the leg's own."""

    where: str
    source: str | t.Any
    out: str | t.Any
    address: Address | None | t.Any


@dataclasses.dataclass
class SourceRoute:
    """A route for what comes from a segment or a prefix in one. to: a prefix, or default."""

    where: str
    source: str
    to: str
    via: str


@dataclasses.dataclass
class HealthCheck:
    """How targets are asked whether they live. source: an address of their segment that nobody else has. interval: in seconds."""

    where: str
    source: Address | t.Any
    interval: int | t.Any
    failures: int | t.Any


@dataclasses.dataclass
class Forward:
    """A port of the edge that leads to an endpoint; one that leads to several is as many, with one name.

    address: None for the leg's own. to_port: None for the same port. shared: whether there are several.
    """

    where: str
    name: str | t.Any
    segment: str | t.Any
    address: Address | None | t.Any
    protocol: str | t.Any
    port: int | t.Any
    target: str | t.Any
    to_port: int | None | t.Any
    shared: bool = False
    health_check: HealthCheck | None = None


@dataclasses.dataclass
class Floating:
    """An address outside that is an endpoint's, both ways. distributed: whether the endpoint's host has it, and not the edge's."""

    where: str
    segment: str | t.Any
    address: Address | t.Any
    target: str | t.Any
    distributed: bool | t.Any


@dataclasses.dataclass
class Ospf:
    """OSPF of an edge, as the options of the module netns_bird."""

    area: str | t.Any
    cost: int | t.Any
    hello: int | t.Any
    dead: int | t.Any


@dataclasses.dataclass
class Peer:
    """A router that an edge has a session of BGP with."""

    where: str
    address: Address | t.Any
    asn: int | t.Any


@dataclasses.dataclass
class Bgp:
    """BGP of an edge."""

    asn: int | t.Any
    peers: list[Peer]


@dataclasses.dataclass
class Edge:
    """A router between segments, in a namespace of its name. log: whether it logs what it drops.

    vrid, interval, preempt: of VRRP, for an edge on two hosts. vrid: None for one that the plan allocates. interval: in milliseconds.
    distributed: whether it is no namespace but OVN's router, as its segments are OVN's. provider: the leg of such a router that leads outside.
    """

    where: str
    name: str | t.Any
    hosts: list[str] | t.Any
    legs: list[Leg]
    routes: list[dict[str, str]]
    nat: list[Nat]
    forwards: list[Forward]
    floating: list[Floating]
    log: bool | t.Any
    vrid: int | None | t.Any
    interval: int | t.Any
    preempt: bool | t.Any
    ospf: Ospf | None = None
    bgp: Bgp | None = None
    distributed: bool = False
    provider: Leg | None = None
    source_routes: list[SourceRoute] = dataclasses.field(default_factory=list)

    @property
    def redundant(self) -> bool:
        """Whether it is on two hosts, and its addresses are virtual."""
        return len(self.hosts) > 1

    def nic(self, leg: Leg) -> str:
        """What the MAC address of an interface comes from. No host is in it, so it is the same in a namespace of any host and as OVN's router."""
        return f"{self.name}:{leg.segment}"


@dataclasses.dataclass
class Stated:
    """A rule of the policy as it is stated: sources and targets are names of segments and endpoints, addresses and prefixes."""

    where: str
    name: str | t.Any
    allow: bool
    sources: list[str]
    targets: list[str]
    protocol: str | None | t.Any
    ports: list[Ports]
    log: bool | t.Any


def _items(value: t.Any) -> list[tuple[int, Item]]:
    """The items of a list that are dictionaries, with their positions."""
    return [(i, item) for i, item in enumerate(value or ()) if isinstance(item, dict)]


def _texts(value: t.Any) -> list[str]:
    """The items of a list that are text; others were refused."""
    return [item for item in value or () if isinstance(item, str)]


def read_edges(common: Item, problems: list[str]) -> list[Edge]:
    """The edges of the intent; what is wrong with them is appended to problems."""
    found = [_edge(item, f"fabric_edges[{label(item, i)}]", problems) for i, item in _items(common["fabric_edges"])]
    return unique([edge for edge in found if edge.name is not INVALID], "fabric_edges", problems)


def _edge(item: Item, where: str, problems: list[str]) -> Edge:
    forwards = [_forward(one, f"{where}.forwards[{label(one, i)}]", problems) for i, one in _items(item["forwards"])]
    forwards = unique([one for one in forwards if one.name is not INVALID], f"{where}.forwards", problems)
    targets = {item["name"]: item["targets"] for _i, item in _items(item["forwards"])}
    routes = [one for one in item["routes"] or () if one is not INVALID]
    return Edge(
        where=where,
        name=matching_name(item["name"], f"{where}.name", problems),
        hosts=_texts(item["hosts"]),
        legs=[_leg(one, f"{where}.legs[{i}]", problems) for i, one in _items(item["legs"])],
        routes=read_routes([one for one in routes if one["from"] is None], where, problems),
        source_routes=[one for route in routes for one in _source_routes(route, where, problems)],
        nat=[_nat(one, f"{where}.nat[{i}]", problems) for i, one in _items(item["nat"])],
        forwards=[one for forward in forwards for one in _each(forward, targets[forward.name], problems)],
        floating=[_floating(one, f"{where}.floating[{i}]", problems) for i, one in _items(item["floating"])],
        log=item["log"],
        vrid=between(item["vrid"], *VRIDS, f"{where}.vrid", problems),
        interval=between(item["advert_interval"], *INTERVALS, f"{where}.advert_interval", problems),
        preempt=item["preempt"],
        ospf=_ospf(item["ospf"], f"{where}.ospf", problems),
        bgp=_bgp(item["bgp"], f"{where}.bgp", problems),
    )


def _source_routes(route: Item, where: str, problems: list[str]) -> list[SourceRoute]:
    """A route of a source; none if it has no source, or is not understood."""
    if not isinstance(route["from"], str):
        return []
    return [SourceRoute(f"{where}.routes", route["from"], **one) for one in read_routes([route], where, problems)]


def _ospf(item: t.Any, where: str, problems: list[str]) -> Ospf | None:
    if not isinstance(item, dict):
        return None
    numbers = {
        option: between(item[option], 1, 65535, f"{where}.{option}", problems)
        for option in ("cost", "hello_interval", "dead_interval")
    }
    hello, dead = numbers["hello_interval"], numbers["dead_interval"]
    if isinstance(hello, int) and isinstance(dead, int) and dead <= hello:
        problems.append(f"{where}.dead_interval {dead} is not above hello_interval {hello}; give four times that.")
    area = item["area"] and read_area(item["area"], f"{where}.area", problems)
    return Ospf(area, numbers["cost"], hello, dead)


def _bgp(item: t.Any, where: str, problems: list[str]) -> Bgp | None:
    if not isinstance(item, dict):
        return None
    peers = []
    for i, one in _items(item["neighbors"]):
        here = f"{where}.neighbors[{label(one, i)}]"
        address = read_address(one["address"], f"{here}.address", problems)
        peers.append(Peer(here, address, one["asn"] and read_asn(one["asn"], f"{here}.asn", problems)))
    if not peers and item["neighbors"] is not INVALID:
        problems.append(f"{where}.neighbors is empty; name the routers that it has sessions with.")
    return Bgp(item["asn"] and read_asn(item["asn"], f"{where}.asn", problems), peers)


def _leg(item: Item, where: str, problems: list[str]) -> Leg:
    return Leg(
        where=where,
        segment=item["segment"],
        address=read_address(item["address"], f"{where}.address", problems),
        address6=read_address(item["address6"], f"{where}.address6", problems),
        gateway=item["gateway"],
        interface=read_interface(item["interface"], f"{where}.interface", problems),
        own=_addresses(item["host_addresses"], f"{where}.host_addresses", problems),
        own6=_addresses(item["host_addresses6"], f"{where}.host_addresses6", problems),
    )


def _addresses(value: t.Any, where: str, problems: list[str]) -> list[Address | t.Any] | None:
    """A list of addresses; None where it is left out."""
    if value is None:
        return None
    return [read_address(text, f"{where}[{i}]", problems) for i, text in enumerate(_texts(value))]


def _nat(item: Item, where: str, problems: list[str]) -> Nat:
    return Nat(
        where=where,
        source=item["from"],
        out=item["out"],
        address=read_address(item["address"], f"{where}.address", problems),
    )


def _forward(item: Item, where: str, problems: list[str]) -> Forward:
    return Forward(
        where=where,
        name=matching_name(item["name"], f"{where}.name", problems),
        segment=item["segment"],
        address=read_address(item["address"], f"{where}.address", problems),
        protocol=item["protocol"],
        port=between(item["port"], 1, ALL_PORTS[1], f"{where}.port", problems),
        target=item["to"],
        to_port=between(item["to_port"], 1, ALL_PORTS[1], f"{where}.to_port", problems),
        health_check=_health_check(item["health_check"], f"{where}.health_check", problems),
    )


def _health_check(item: t.Any, where: str, problems: list[str]) -> HealthCheck | None:
    if not isinstance(item, dict):
        return None
    return HealthCheck(
        where=where,
        source=read_address(item["source"], f"{where}.source", problems),
        interval=between(item["interval"], *CHECKED, f"{where}.interval", problems),
        failures=between(item["failures"], *CHECKED, f"{where}.failures", problems),
    )


def _each(forward: Forward, targets: t.Any, problems: list[str]) -> list[Forward]:
    """A forward for each of its targets."""
    if (forward.target is None) == (targets is None):
        problems.append(f"{forward.where} needs to for one endpoint, or targets for several; give one of them.")
        return []
    if targets is None:
        return [forward]
    names = list(dict.fromkeys(_texts(targets)))
    if not names and targets is not INVALID:
        problems.append(f"{forward.where}.targets is empty; name the endpoints that answer.")
    return [dataclasses.replace(forward, target=name, shared=True) for name in names]


def _floating(item: Item, where: str, problems: list[str]) -> Floating:
    return Floating(
        where=where,
        segment=item["segment"],
        address=read_address(item["address"], f"{where}.address", problems),
        target=item["to"],
        distributed=item["distributed"],
    )


def read_policy(common: Item, problems: list[str]) -> list[Stated]:
    """The rules of the policy in their order; what is wrong with them is appended to problems."""
    found = [_rule(item, f"fabric_policy[{label(item, i)}]", problems) for i, item in _items(common["fabric_policy"])]
    return unique([rule for rule in found if rule.name is not INVALID], "fabric_policy", problems)


def _rule(item: Item, where: str, problems: list[str]) -> Stated:
    protocol = item["protocol"]
    if item["ports"] and protocol is not INVALID and protocol not in WITH_PORTS:
        problems.append(f"{where}.ports are for tcp and udp; give one of them as protocol, or leave ports out.")
    return Stated(
        where=where,
        name=matching_name(item["name"], f"{where}.name", problems),
        allow=item["action"] == "allow",
        sources=_texts(item["from"]),
        targets=_texts(item["to"]),
        protocol=protocol,
        ports=_ports(item["ports"], f"{where}.ports", problems),
        log=item["log"],
    )


def _ports(values: t.Any, where: str, problems: list[str]) -> list[Ports]:
    """Ranges of ports, of those that are understood."""
    found = []
    for text in _texts(values):
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
        low, high = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (1, 0)
        if low <= high <= ALL_PORTS[1]:
            found.append((low, high))
        else:
            problems.append(f"{where} {show(text)} is no port; write 443, or a range as 8000-8100.")
    return found

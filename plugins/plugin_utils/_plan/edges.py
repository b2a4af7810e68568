# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges: routers between segments, what is refused of them, and what each host gets.

An interface of an edge is an endpoint of its segment like any other, so its address, port and flows are planned where those of all endpoints are.
Each enforces what of the policy passes between its own segments.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.edges import Edge, Forward, Leg, Nat
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    Address,
    Endpoint,
    Intent,
    Network,
    Segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses, uplinks, vrrp
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.edge_table import (
    Forwarded,
    Side,
    Table,
    Translated,
    content,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.policy import Policy, segments_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.vrrp import interface_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import Place, Rule, as_data, between

Item = t.Dict[str, t.Any]

# A namespace has one table of ours.
TABLE = "edge"
FORWARDING = {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}
DEFAULT_ROUTES = ("default", "0.0.0.0/0", "::/0")


# Interfaces are endpoints ----------------------------------------------------------------------------------------------


def add_legs(intent: Intent, edges: list[Edge], problems: list[str]) -> None:
    """Give the host of each edge an endpoint for each of its interfaces, and endpoints of the segments their default route."""
    segments = {segment.name: segment for segment in intent.segments}
    for edge in edges:
        _check_legs(edge, problems)
        _find_router(intent, edge, segments)
        if edge.distributed:
            _check_distributed(edge, segments, problems)
            if edge.provider:
                # The hosts of a gateway may be many.
                _hosts_of(intent, edge, problems, most=None)
            continue
        for floating in edge.floating:
            problems.append(
                f"{floating.where} is for an edge between segments with the engine ovn and a provider network; forward ports instead."
            )
        for forward in edge.forwards:
            if forward.health_check or forward.shared:
                problems.append(
                    f"{forward.where}.{'health_check' if forward.health_check else 'targets'} is for an edge between segments with the engine ovn and a"
                    " provider network; give to with one endpoint."
                )
                break
        for route in edge.source_routes[:1]:
            problems.append(
                f"{route.where} to {route.to} has a source, which is for an edge between segments with the engine ovn; leave from out."
            )
        hosts = _hosts_of(intent, edge, problems)
        if hosts:
            vrrp.check(edge, problems)
        for number, host in enumerate(hosts):
            _add_edge(intent, edge, number, host, problems)
    _add_gateways(intent, _gateways(edges, problems))


def _find_router(intent: Intent, edge: Edge, segments: dict[str, Segment]) -> None:
    """Whether an edge is OVN's router, and by which leg it leads outside: the one on a VLAN of the underlay, whose gateway it is not."""
    known = [(leg, segments[leg.segment]) for leg in edge.legs if leg.segment in segments]
    outside = [leg for leg, segment in known if not leg.gateway and intent.on_vlans(segment)]
    inside = [segment for leg, segment in known if leg not in outside]
    edge.distributed = len(outside) < 2 and bool(inside) and all(map(intent.on_ovn, inside))
    edge.provider = next(iter(outside), None) if edge.distributed else None


def _hosts_of(intent: Intent, edge: Edge, problems: list[str], most: int | None = vrrp.MOST_HOSTS) -> list[str]:
    """The hosts that an edge is on, if these are of the fabric. most: how many it may be on; None for as many as there are."""
    where, before = f"{edge.where}.hosts", len(problems)
    if not edge.hosts or (most and len(edge.hosts) > most):
        much = f"names {len(edge.hosts)} hosts" if edge.hosts else "is empty"
        problems.append(
            f"{where} {much}; name one host that the edge is on, or {'two' if most else 'several'} of which one is active."
        )
    if len(set(edge.hosts)) < len(edge.hosts):
        twice = next(name for name in edge.hosts if edge.hosts.count(name) > 1)
        problems.append(
            f"{where} names {twice} twice, and two routers of one priority would both be active; name another host."
        )
    problems += [
        f"{where} has {word(name)}, which is no host of the fabric{suggest(name, intent.hosts)}"
        for name in dict.fromkeys(edge.hosts)
        if name not in intent.hosts
    ]
    return edge.hosts if len(problems) == before else []


def _check_legs(edge: Edge, problems: list[str]) -> None:
    """An edge has two segments or more, each once, and its routes leave by one of them."""
    segments = [leg.segment for leg in edge.legs if leg.segment]
    for name in dict.fromkeys(name for name in segments if segments.count(name) > 1):
        problems.append(f"{edge.where}.legs names segment {name} twice; name each once.")
    if len(edge.legs) < 2:
        problems.append(f"{edge.where}.legs must be two or more, as an edge routes between segments.")


def _add_edge(intent: Intent, edge: Edge, nth: int, host: str, problems: list[str]) -> None:
    """The endpoints of an edge on its nth host. The first has its name, and is its namespace; the others are in there."""
    taken = {endpoint.name: endpoint for endpoint in intent.hosts[host].endpoints}
    segments = {segment.name: segment for segment in intent.segments}
    routed: list[dict[str, str]] = []
    for leg in edge.legs:
        if leg.segment is INVALID:
            continue
        endpoint = _leg_endpoint(edge, leg, host, first=leg is edge.legs[0])
        segment = segments.get(leg.segment)
        if segment is not None:
            if nth == 0:
                _check_both_families(leg, segment, problems)
            endpoint.routes = [route for route in edge.routes if _is_on(segment, route["via"])]
            _give_addresses(endpoint, edge, leg, nth)
            routed += endpoint.routes
        if endpoint.name in taken:
            problems.append(
                f"{edge.where} would be {endpoint.id}, which is an endpoint already; give one another name."
            )
        else:
            intent.hosts[host].endpoints.append(endpoint)
    if nth == 0:
        _check_routes(edge, segments, routed, problems)
        _check_hops(edge, problems)


def _check_distributed(edge: Edge, segments: dict[str, Segment], problems: list[str]) -> None:
    """An edge without a namespace: its addresses are stated, and its routes leave by one of its segments."""
    joined = [(leg, segments[leg.segment]) for leg in edge.legs if leg.segment in segments]
    for leg, segment in joined:
        _check_both_families(leg, segment, problems)
    routed = [route for _leg, segment in joined for route in edge.routes if _is_on(segment, route["via"])]
    _check_routes(edge, segments, routed, problems)


def _check_routes(edge: Edge, segments: t.Container[str], routed: list[dict[str, str]], problems: list[str]) -> None:
    """Each route leaves by a segment of the edge. routed: those that do."""
    known = all(leg.segment in segments for leg in edge.legs)
    for route in edge.routes if known else ():
        if route not in routed:
            problems.append(
                f"{edge.where}.routes to {route['to']} goes via {route['via']}, which is on none of its segments; give a next hop there."
            )


def _check_hops(edge: Edge, problems: list[str]) -> None:
    """A namespace has one next hop to each destination."""
    for to, via, second in addresses.second_hops(edge.routes):
        problems.append(
            f"{edge.where}.routes to {to} goes via {via} and {second}, and several next hops are for an edge between segments"
            " with the engine ovn; leave one of them out."
        )


def _leg_endpoint(edge: Edge, leg: Leg, host: str, first: bool) -> Endpoint:
    interface = interface_of(leg)
    return Endpoint(
        where=leg.where,
        host=host,
        name=edge.name if first else f"{edge.name}-{interface}",
        kind="namespace",
        segment=leg.segment,
        address=None,
        address6=None,
        mac=None,
        interface=interface,
        routes=[],
        sysctls=dict(FORWARDING),
        inside="" if first else edge.name,
        edge=edge.name,
        # Of two hosts, each has a MAC address of its own.
        nic="" if edge.redundant else edge.nic(leg),
    )


def _give_addresses(endpoint: Endpoint, edge: Edge, leg: Leg, nth: int) -> None:
    """The addresses of a leg on the nth host of its edge: its own, or of two hosts those of the active one."""
    if not edge.redundant:
        endpoint.address, endpoint.address6, endpoint.further = leg.address, leg.address6, _further(edge, leg)
        return
    endpoint.address, endpoint.address6 = (own[nth] if own and nth < len(own) else None for own in (leg.own, leg.own6))
    endpoint.virtual = [one for one in (leg.address, leg.address6) if one] + _further(edge, leg)


def _check_both_families(leg: Leg, segment: Segment, problems: list[str]) -> None:
    """A gateway's address is stated, as endpoints that come and go must not move it."""
    if segment.subnet6 and leg.address6 is None:
        problems.append(
            f"{leg.where}.address6 is missing; segment {segment.name} has the subnet6 {segment.subnet6}, so give an address there."
        )


def _further(edge: Edge, leg: Leg) -> list[Address]:
    """The addresses on a segment that NAT needs besides the edge's own."""
    wanted = [nat.address for nat in edge.nat if nat.out == leg.segment]
    wanted += [forward.address for forward in edge.forwards if forward.segment == leg.segment]
    return [address for address in dict.fromkeys(wanted) if address and address not in (leg.address, leg.address6)]


def _is_on(segment: Segment, address: str) -> bool:
    return any(addresses.contains(net, address) for net in segment.subnets)


def _gateways(edges: list[Edge], problems: list[str]) -> dict[str, Leg]:
    """The gateway of each segment that has one."""
    found: dict[str, Leg] = {}
    for leg in (leg for edge in edges for leg in edge.legs if leg.gateway and leg.segment):
        other = found.setdefault(leg.segment, leg)
        if other.where.partition(".")[0] != leg.where.partition(".")[0]:
            problems.append(
                f"{other.where} and {leg.where} are both the gateway of segment {leg.segment}; give one of them gateway: false."
            )
    return found


def _add_gateways(intent: Intent, gateways: dict[str, Leg]) -> None:
    """The default routes of endpoints that state none, and the router that DHCP tells of."""
    for segment in intent.segments:
        leg = gateways.get(segment.name)
        if leg and segment.dhcp and segment.dhcp.router is None and leg.address and leg.address.version == 4:
            segment.dhcp.router = leg.address
        if leg and segment.dhcp and segment.dhcp.dns is None and intent.on_ovn(segment):
            segment.dhcp.dns = [address for address in (leg.address, leg.address6) if address]
    for host in intent.hosts.values():
        for endpoint in host.endpoints:
            leg = gateways.get(endpoint.segment)
            if leg and _takes_a_gateway(endpoint):
                _add_default_routes(endpoint, leg)


def _takes_a_gateway(endpoint: Endpoint) -> bool:
    """Routers and servers are asked by their neighbors alone; in a container of others, routes are theirs."""
    foreign = isinstance(endpoint.container, dict) and endpoint.container["managed"] is False
    return not (endpoint.edge or endpoint.serves or foreign)


def _add_default_routes(endpoint: Endpoint, leg: Leg) -> None:
    for address in (leg.address, leg.address6):
        if not address or (endpoint.dhcp and address.version == 4):
            continue
        hops = [route["via"] for route in endpoint.routes if route["to"] in DEFAULT_ROUTES]
        if not any(ipaddress.ip_address(hop).version == address.version for hop in hops):
            endpoint.routes = [*endpoint.routes, {"to": "default", "via": str(address)}]


# The plan --------------------------------------------------------------------------------------------------------------


class Edges:
    """All edges of the fabric, each checked once. What is wrong goes to the values' problems."""

    def __init__(self, values: Values, edges: list[Edge], policy: Policy) -> None:
        self.values = values
        self.problems = values.problems
        self.edges = edges
        self.points = policy.points
        self.vrrp = vrrp.Vrrp(values, [edge for edge in edges if not edge.distributed])
        self.rules = policy.rules
        for edge in edges:
            self._check_tenants(edge)
            self._check_nat(edge)
            uplinks.check(edge, values.segments, self.problems)
            for forward in edge.forwards:
                self._check_forward(edge, forward)

    def part(self, host: str) -> Item:
        """What a host gets of its edges, as the modules nft_table, netns_keepalived and netns_bird take it."""
        here = [edge for edge in self.edges if host in edge.hosts and not edge.distributed]
        return {
            "nft_tables": [
                {"name": TABLE, "family": "inet", "netns": edge.name, "content": content(self._table(edge, host))}
                for edge in here
            ],
            "vrrp": [
                uplinks.shared(edge, self.values.segments, self.vrrp.item(edge, host))
                for edge in here
                if edge.redundant
            ],
            "uplinks": [
                uplinks.item(edge, self.values.segments, self._own(edge, host))
                for edge in here
                if edge.ospf or edge.bgp
            ],
        }

    def _own(self, edge: Edge, host: str) -> dict[str, list[Address]]:
        """The addresses that each leg of an edge has on a host, but for virtual ones, by its segment."""
        return {leg.segment: self._addresses(self.vrrp.point(edge, leg, host)) for leg in edge.legs}

    def of_endpoint(self, endpoint: Endpoint) -> Item:
        """What the plan says of an endpoint besides, if it is an edge's interface; nobody asks it for a transfer."""
        return {"edge": endpoint.edge, "sends": False} if endpoint.edge else {}

    def rules_of(self, edge: Edge) -> list[Rule]:
        """What of the policy an edge enforces. Where OVN judges, a target no longer knows by which address it was asked, so its port is open to all."""
        opened = [
            _opened(one, self.points[forward.target].segment)
            for forward, one in zip(edge.forwards, self.forwarded(edge) if edge.distributed else ())
        ]
        return [*between(self.rules, segments_of(edge)), *opened]

    def translated(self, edge: Edge) -> list[Translated]:
        """The source NAT of an edge."""
        return [self._translated(edge, nat) for nat in edge.nat]

    def forwarded(self, edge: Edge) -> list[Forwarded]:
        """The forwarded ports of an edge."""
        return [self._forwarded(edge, forward) for forward in edge.forwards]

    def plan(self) -> list[Item]:
        """What the plan says of the edges."""
        return [self._edge(edge) for edge in self.edges]

    def _edge(self, edge: Edge) -> Item:
        table = self._table(edge, next(iter(edge.hosts), ""))
        return {
            "name": edge.name,
            "hosts": edge.hosts,
            "vrid": self.vrrp.vrids.get(edge.name),
            "legs": [
                {
                    "segment": leg.segment,
                    "address": str(leg.address),
                    "address6": str(leg.address6) if leg.address6 else None,
                    "gateway": leg.gateway,
                }
                for leg in edge.legs
            ],
            "rules": [as_data(rule) for rule in table.rules],
            "nat": [
                {"from": str(one.source), "out": nat.out, "address": str(one.address) if one.address else None}
                for nat, one in zip(edge.nat, table.nat)
            ],
            "forwards": [
                {
                    "name": forward.name,
                    "segment": forward.segment,
                    "address": str(one.address),
                    "protocol": one.protocol,
                    "port": one.port,
                    "to": self.points[forward.target].id,
                    "to_port": one.to_port,
                    "checked": bool(forward.health_check),
                }
                for forward, one in zip(edge.forwards, table.forwards)
            ],
            "floating": [
                {
                    "address": str(one.address),
                    "to": self.points[one.target].id,
                    "inner": str(self.values.addressed[self.points[one.target].id].address.value),
                    "distributed": one.distributed,
                }
                for one in edge.floating
            ],
            "provider": edge.provider.segment if edge.provider else None,
            "announces": [
                str(network)
                for network in (uplinks.announced(edge, self.values.segments) if edge.ospf or edge.bgp else ())
            ],
        }

    def _table(self, edge: Edge, host: str) -> Table:
        """What the edge's table of nftables is made of on a host."""
        return Table(
            sides=[self._side(edge, leg, host) for leg in edge.legs],
            rules=self.rules_of(edge),
            nat=self.translated(edge),
            forwards=self.forwarded(edge),
            log=bool(edge.log),
        )

    def _side(self, edge: Edge, leg: Leg, host: str) -> Side:
        segment = self.values.segments[leg.segment]
        return Side(
            interface_of(leg),
            segment.subnets,
            inner=bool(leg.gateway),
            mtu=self.values.mtus[leg.segment].value,
            peers=[] if edge.distributed else self.vrrp.peers(edge, leg, host),
            ospf=bool(edge.ospf) and not leg.gateway,
            bgp=uplinks.speakers(edge, leg, self.values.segments),
        )

    def _interface(self, edge: Edge, segment: str) -> str:
        leg = next(leg for leg in edge.legs if leg.segment == segment)
        return interface_of(leg)

    def _check_tenants(self, edge: Edge) -> None:
        """Segments of different tenants may have the same addresses, but not where they meet."""
        segments = self.values.segments
        known = [leg for leg in edge.legs if leg.segment in segments]
        if len({segments[leg.segment].tenant for leg in known}) < 2:
            return
        networks = [
            (net, f"{leg.where}.segment {leg.segment}")
            for leg in known
            for net in (segments[leg.segment].subnet, segments[leg.segment].subnet6)
            if net
        ]
        addresses.overlaps(networks, self.problems)

    def _addresses(self, endpoint: Endpoint) -> list[Address]:
        addressed = self.values.addressed.get(endpoint.id)
        values = (addressed.address.value, addressed.address6.value) if addressed else ()
        return [address for address in values if address]

    # NAT

    def _check_nat(self, edge: Edge) -> None:
        """Each translates what leaves by another segment of the edge, to an address there."""
        sources: dict[Network, Nat] = {}
        for nat in edge.nat:
            self._check_on_edge(edge, f"{nat.where}.out", nat.out)
            source = self._nat_source(edge, nat)
            if nat.address and nat.address.version == 6:
                self.problems.append(
                    f"{nat.where}.address {nat.address} is IPv6, and NAT is for IPv4; give an address of that."
                )
            other = sources.setdefault(source, nat) if source and edge.distributed else nat
            if other is not nat:
                self.problems.append(
                    f"{other.where} and {nat.where} both translate {source}, which can leave by one address; leave one of them out."
                )
            out = self.values.segments.get(nat.out) if nat.out else None
            if source is None or out is None:
                continue
            if out.subnet and out.subnet.version == 4 and source.overlaps(out.subnet):
                self.problems.append(
                    f"{nat.where} translates {nat.source} onto itself, as what leaves by segment {nat.out} is in {out.subnet}; name another segment in out."
                )
            elif out.subnet and out.subnet.version == 6:
                self.problems.append(f"{nat.where}.out {nat.out} is IPv6, which is routed; leave it out.")

    def _nat_source(self, edge: Edge, nat: Nat) -> Network | None:
        """The IPv4 network that is translated; None where that was refused."""
        if not isinstance(nat.source, str):
            return None
        segment = self.values.segments.get(nat.source)
        if segment is not None:
            self._check_on_edge(edge, f"{nat.where}.from", nat.source)
        network = segment.subnet if segment is not None else addresses.as_network(nat.source)
        if network is None:
            self.problems.append(
                f"{nat.where}.from {word(nat.source)} is no segment and no prefix{suggest(nat.source, self.values.segments)}"
            )
            return None
        if network and network.version == 6:
            self.problems.append(f"{nat.where}.from {nat.source} is IPv6, which is routed; leave it out.")
            return None
        return network or None

    def _check_on_edge(self, edge: Edge, where: str, segment: str | t.Any) -> None:
        known = segments_of(edge)
        if isinstance(segment, str) and segment not in known:
            self.problems.append(f"{where} {word(segment)} is no segment of the edge{suggest(segment, known)}")

    def _translated(self, edge: Edge, nat: Nat) -> Translated:
        source = t.cast(ipaddress.IPv4Network, self._nat_source(edge, nat))
        # Whoever is active translates to the same address, so that connections may go on.
        shared = None
        if edge.redundant or edge.distributed:
            shared = next(leg.address for leg in edge.legs if leg.segment == nat.out)
        return Translated(source, self._interface(edge, nat.out), nat.address or shared)

    # Forwards

    def _check_forward(self, edge: Edge, forward: Forward) -> None:
        """A forward is to an endpoint behind the edge, and its port is nobody else's."""
        self._check_on_edge(edge, f"{forward.where}.segment", forward.segment)
        if not isinstance(forward.target, str):
            return
        target = self.points.get(forward.target)
        if target is None:
            self.problems.append(
                f"{forward.where}.to {word(forward.target)} is no endpoint{suggest(forward.target, self.points)}"
            )
        elif target.segment in self.values.segments and not any(
            leg.segment == target.segment and leg.gateway for leg in edge.legs
        ):
            self.problems.append(
                f"{forward.where}.to {target.id} is on segment {target.segment}, whose gateway the edge is not; name an endpoint behind it."
            )
        elif forward.segment in self.values.segments and not self.problems:
            self._check_forwarded(edge, forward)

    def _check_forwarded(self, edge: Edge, forward: Forward) -> None:
        one = self._forwarded(edge, forward)
        if one.target is None:
            self.problems.append(
                f"{forward.where}.to {forward.target} has no address of the family of {one.address}; name another endpoint."
            )
        for other in edge.forwards[: edge.forwards.index(forward)]:
            if (
                other.name != forward.name
                and other.segment in self.values.segments
                and self._forwarded(edge, other).key == one.key
            ):
                self.problems.append(
                    f"{other.where} and {forward.where} both are {one.protocol} port {one.port} of {one.address}; give one of them another port."
                )

    def _forwarded(self, edge: Edge, forward: Forward) -> Forwarded:
        leg = next(leg for leg in edge.legs if leg.segment == forward.segment)
        address = forward.address or leg.address
        endpoint = self.points[forward.target]
        target = next((one for one in self._addresses(endpoint) if one.version == address.version), None)
        segment = self.values.segments[endpoint.segment]
        subnet = next((net for net in segment.subnets if target and target in net), None)
        return Forwarded(
            name=forward.name,
            address=address,
            protocol=forward.protocol,
            port=forward.port,
            target=target,
            to_port=forward.to_port or forward.port,
            subnet=subnet,
            interface=self._interface(edge, endpoint.segment),
        )


def _opened(forward: Forwarded, segment: str) -> Rule:
    """A forwarded port as the rule that lets it pass. segment: that of the target."""
    target = Place(segment, ipaddress.ip_network(t.cast(Address, forward.target)))
    ports = ((forward.to_port, forward.to_port),)
    return Rule(forward.counter, True, (), (target,), forward.protocol, ports, False)

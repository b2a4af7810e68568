# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OVN's routers that lead outside: the provider network, the hosts that are the gateway, NAT, forwarded ports and floating addresses.

The provider network is a segment that is a VLAN of the underlay itself. OVN reaches it by the underlay bridge of the edge's hosts, of which the first
that answers is the gateway. Source: ovn-nb(5); ovn-architecture(7), Distributed Gateway Ports.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.edges import (
    Edge,
    Floating,
    Forward,
    HealthCheck,
    Leg,
    Nat,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address, Endpoint, Network, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses, ovn_guests
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.edge_table import Forwarded
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.edges import Edges
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guests import Guests
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]

# Packets of BFD that may be lost until a gateway is taken for dead.
LOST = "3"


class Used(t.NamedTuple):
    """An address outside that an edge has. nets: of which subnets it has to be. alone: whether it is nobody else's, not even the edge's own."""

    where: str
    edge: Edge
    segment: str
    address: t.Any
    nets: list[Network]
    alone: bool = False


def outside_name(fabric: str, segment: str) -> str:
    """The port of a provider network's switch that leads out of OVN."""
    return f"{fabric}/{segment}@@outside"


def group_name(fabric: str, edge: str) -> str:
    """The hosts that are an edge's gateway."""
    return f"{fabric}/{edge}"


def balancer_name(fabric: str, edge: str, forward: str) -> str:
    """The load balancer of a forwarded port."""
    return f"{fabric}/{edge}/{forward}"


def active_name(port: str) -> str:
    """The port that the southbound database binds to the active gateway of a router's port (ovn-sb(5), chassisredirect)."""
    return f"cr-{port}"


def spelled(address: Address | None, port: int) -> str:
    """An address with a port, as a load balancer has it."""
    return f"{bracketed(address)}:{port}"


def bracketed(address: Address | None) -> str:
    """An address as connections and the keys and values of ip_port_mappings have it."""
    return f"[{address}]" if address and address.version == 6 else str(address)


def _options(check: HealthCheck) -> dict[str, str]:
    """What OVN's service monitor goes by. An answer may take as long as it is to the next question."""
    seconds, failures = str(check.interval), str(check.failures)
    return {"interval": seconds, "timeout": seconds, "success_count": "1", "failure_count": failures}


def _by_priority(hosts: t.Sequence[str]) -> list[Item]:
    """The hosts of an edge as chassis, in the order in which one takes over from the other."""
    return [{"chassis_name": host, "priority": len(hosts) - nth} for nth, host in enumerate(hosts)]


def _inside(edge: Edge) -> set[str]:
    """The segments of an edge's legs but that outside."""
    return {leg.segment for leg in edge.legs if leg is not edge.provider}


class Gateways:
    """The edges of OVN with a leg outside, each checked once. What is wrong goes to the values' problems."""

    def __init__(self, values: Values, edges: t.Iterable[Edge], routers: Edges, guests: Guests) -> None:
        self.values = values
        self.guests = guests
        self.problems = values.problems
        self.fabric = values.intent.name
        self.routers = routers
        self.points = {endpoint.identity: endpoint for endpoint in values.endpoints}
        mine = [edge for edge in edges if edge.distributed]
        for edge in mine:
            self._check_outside(edge)
        self.edges = [edge for edge in mine if edge.provider]
        for edge in self.edges:
            for floating in edge.floating:
                self._check_floating(edge, floating)
            for forward in {one.name: one for one in edge.forwards}.values():
                if forward.health_check:
                    self._check_health(edge, forward, forward.health_check)
        self._check_addresses()

    # Hosts

    def chassis(self, host: str) -> Item:
        """What makes a host one of an edge's gateways, or one with a distributed floating address, as the module ovn_chassis takes it."""
        reached = {
            str(self._provider(edge).overlay): self.values.bridge_of(self._provider(edge))
            for edge in self.edges
            if host in edge.hosts or host in self._distributed(edge)
        }
        return {"bridge_mappings": reached, "gateway": any(host in edge.hosts for edge in self.edges)}

    def _distributed(self, edge: Edge) -> set[str]:
        return {self.points[one.target].host for one in edge.floating if one.distributed}

    def groups(self) -> list[Item]:
        """The hosts of each edge, in the order in which one takes over from the other."""
        return [
            {"name": group_name(self.fabric, edge.name), "chassis": _by_priority(edge.hosts)} for edge in self.edges
        ]

    def options(self) -> dict[str, str]:
        """How fast a dead gateway is noticed, which is one thing for all of OVN; none where no edge has two hosts."""
        intervals = [edge.interval for edge in self.edges if edge.redundant]
        if not intervals:
            return {}
        fastest = str(min(intervals))
        return {"bfd-min-rx": fastest, "bfd-min-tx": fastest, "bfd-mult": LOST}

    # Switches and routers

    def providers(self) -> list[Segment]:
        """The provider networks, each once."""
        return list({edge.provider.segment: self._provider(edge) for edge in self.edges if edge.provider}.values())

    def outside(self, segment: Segment) -> Item:
        """The port by which a provider network's switch leads out of OVN."""
        return {
            "name": outside_name(self.fabric, segment.name),
            "type": "localnet",
            "addresses": ["unknown"],
            "tag": segment.vlan or "",
            "options": {"network_name": str(segment.overlay)},
        }

    def plug(self, edge: Edge, segment: str) -> Item:
        """What the end of a router's port at a switch has besides: outside, all addresses that it translates are told at a takeover."""
        return {"nat-addresses": "router"} if edge.provider and edge.provider.segment == segment else {}

    def port(self, edge: Edge, leg: Leg) -> Item:
        """What a router's port has besides: who is the gateway, and that it tells who sends what is too large for the segment there."""
        mtu = self.values.mtus[leg.segment].value
        smaller = any(self.values.mtus[one.segment].value > mtu for one in edge.legs)
        return {
            "ha_chassis_group": group_name(self.fabric, edge.name) if leg is edge.provider else "",
            "options": {"gateway_mtu": str(mtu)} if smaller else {},
        }

    def router(self, edge: Edge) -> Item:
        """The addresses that a router translates, and its forwarded ports."""
        if not edge.provider:
            return {"nat": [], "load_balancers": []}
        nat = [
            {"type": "snat", "external_ip": str(one.address), "logical_ip": str(one.source)}
            for one in self.routers.translated(edge)
        ]
        return {
            "nat": [*nat, *(self._floating(one) for one in edge.floating)],
            "load_balancers": self._balancers(edge),
        }

    def _floating(self, floating: Floating) -> Item:
        endpoint = self.points[floating.target]
        found = {
            "type": "dnat_and_snat",
            "external_ip": str(floating.address),
            "logical_ip": str(self.inner(floating)),
        }
        if floating.distributed:
            found["logical_port"] = ovn_guests.logical_port(self.fabric, endpoint)
            found["external_mac"] = addresses.derived_mac(self.values.intent, f"floating:{floating.address}")
        return found

    def inner(self, floating: Floating) -> Address | None:
        """The endpoint's own address behind a floating one."""
        target = self.points.get(floating.target)
        addressed = self.values.addressed.get(target.id) if target else None
        four = addressed.address.value if addressed else None
        return four if four and four.version == 4 else None

    def forwarded(self, edge: Edge) -> list[Forwarded]:
        """The forwarded ports of an edge."""
        return self.routers.forwarded(edge) if edge.provider else []

    def balancers(self) -> list[Item]:
        """The forwarded ports as load balancers, which are on the router for those outside, and on its switches for those inside."""
        found = []
        for edge in self.edges:
            by_name: dict[str, list[tuple[Forward, Forwarded]]] = {}
            for forward, forwarded in zip(edge.forwards, self.forwarded(edge)):
                by_name.setdefault(forward.name, []).append((forward, forwarded))
            found += [self._balancer(edge, pairs) for pairs in by_name.values()]
        return found

    def _balancer(self, edge: Edge, pairs: list[tuple[Forward, Forwarded]]) -> Item:
        """The load balancer of a forwarded port, by its targets."""
        forward, first = pairs[0]
        vip = spelled(first.address, first.port)
        check = forward.health_check
        return {
            "name": balancer_name(self.fabric, edge.name, forward.name),
            "protocol": first.protocol,
            "vips": {vip: ",".join(spelled(one.target, one.to_port) for _forward, one in pairs)},
            "health_checks": [{"vip": vip, "options": _options(check)}] if check else [],
            "ip_port_mappings": {
                bracketed(one.target): f"{self._port_of(asked)}:{bracketed(check.source)}" for asked, one in pairs
            }
            if check
            else {},
        }

    def _port_of(self, forward: Forward) -> str:
        return ovn_guests.logical_port(self.fabric, self.points[forward.target])

    def _balancers(self, edge: Edge) -> list[str]:
        """The load balancers of an edge, each once."""
        return list(dict.fromkeys(balancer_name(self.fabric, edge.name, one.name) for one in edge.forwards))

    def balancers_of(self, segment: str) -> list[str]:
        """The load balancers of a switch."""
        inside = [edge for edge in self.edges if segment in _inside(edge)]
        return [name for edge in inside for name in self._balancers(edge)]

    def _provider(self, edge: Edge) -> Segment:
        return self.values.segments[t.cast(Leg, edge.provider).segment]

    # Checks

    def _check_outside(self, edge: Edge) -> None:
        """What leads outside needs a leg there."""
        for option in ("hosts", "nat", "forwards", "floating"):
            if getattr(edge, option) and not edge.provider:
                self.problems.append(
                    f"{edge.where}.{option} is for a gateway, and all legs of this edge are on segments of OVN; give it a leg with gateway: false"
                    " on a provider network, a segment of an overlay with the encapsulation vlan, or leave it out."
                )
        stated = [(f"{nat.where}.out", nat.out) for nat in edge.nat]
        stated += [(f"{forward.where}.segment", forward.segment) for forward in edge.forwards]
        stated += [(f"{floating.where}.segment", floating.segment) for floating in edge.floating]
        provider = edge.provider.segment if edge.provider else None
        for where, segment in stated if provider else ():
            if segment and segment != provider:
                self.problems.append(
                    f"{where} {word(segment)} is not the edge's provider network; name {provider}, where OVN translates."
                )

    def _check_floating(self, edge: Edge, floating: Floating) -> None:
        """A floating address is that of one endpoint behind the edge, and IPv4."""
        if floating.address and floating.address.version == 6:
            self.problems.append(f"{floating.where}.address {floating.address} is IPv6, which is routed; leave it out.")
        if not isinstance(floating.target, str):
            return
        target = self.points.get(floating.target)
        if target is None:
            self.problems.append(
                f"{floating.where}.to {word(floating.target)} is no endpoint{suggest(floating.target, self.points)}"
            )
            return
        self._check_target(edge, floating, target)

    def _check_target(self, edge: Edge, floating: Floating, target: Endpoint) -> None:
        if target.segment is INVALID:
            return
        if not any(leg.segment == target.segment and leg.gateway for leg in edge.legs):
            self.problems.append(
                f"{floating.where}.to {target.id} is on segment {target.segment}, whose gateway the edge is not; name an endpoint behind it."
            )
        elif target.id in self.values.addressed and self.inner(floating) is None:
            self.problems.append(f"{floating.where}.to {target.id} has no IPv4 address; name another endpoint.")
        inner = self.inner(floating) if target.id in self.values.addressed else None
        for nat in edge.nat:
            if inner and nat.source in (str(inner), f"{inner}/32"):
                self.problems.append(
                    f"{nat.where} and {floating.where} both translate {inner}, which can leave by one address; leave one of them out."
                )
        for other in edge.floating[: edge.floating.index(floating)]:
            if other.target == floating.target:
                self.problems.append(
                    f"{other.where} and {floating.where} both lead to {target.id}, which can leave by one address; leave one of them out."
                )

    def _check_health(self, edge: Edge, forward: Forward, check: HealthCheck) -> None:
        """Targets that are asked are on one segment, and nobody there has the address that asks."""
        targets = [self.points.get(one.target) for one in edge.forwards if one.name == forward.name]
        names = list(dict.fromkeys(target.segment for target in targets if target))
        segment = self.values.segments.get(names[0]) if names else None
        if segment is None or not check.source:
            return
        if len(names) > 1:
            self.problems.append(
                f"{check.where} asks from one segment, and the targets are on {' and '.join(names)}; name targets on one of them."
            )
            return
        nets = segment.subnets
        said = f"{check.where}.source {check.source}"
        if not any(check.source in net and not addresses.reserved(net, check.source) for net in nets):
            self.problems.append(
                f"{said} is no address of segment {segment.name} ({' and '.join(map(str, nets))}); give one there."
            )
        legs = [leg for one in self.routers.edges for leg in one.legs if check.source in (leg.address, leg.address6)]
        for holder in [
            *holders(self.values, self.guests, segment.name, check.source),
            *(leg.where for leg in legs if leg.segment == segment.name),
        ]:
            self.problems.append(f"{said} is also that of {holder}; give an address that nobody has.")

    def _check_addresses(self) -> None:
        """Each address outside is in the provider network, and answered by one router alone."""
        used = [one for edge in self.edges for one in self._used(edge)]
        for number, one in enumerate(used):
            said = f"{one.where} {one.address}"
            if one.nets and not any(
                one.address in net and not addresses.reserved(net, one.address) for net in one.nets
            ):
                nets = " and ".join(map(str, one.nets))
                self.problems.append(
                    f"{said} is no address of the provider network {one.segment} ({nets}); give one there."
                )
            for holder in holders(self.values, self.guests, one.segment, one.address):
                self.problems.append(f"{said} is also that of {holder}; give one of them another address.")
            for other in used[:number]:
                same = (other.segment, other.address) == (one.segment, one.address)
                if same and (one.alone or other.alone or other.edge is not one.edge):
                    self.problems.append(f"{said} is also that of {other.where}; give one of them another address.")

    def _used(self, edge: Edge) -> list[Used]:
        """The addresses outside that an edge has. What is IPv6 and would be translated is refused elsewhere."""
        leg, provider = t.cast(Leg, edge.provider), self._provider(edge)
        nets = provider.subnets
        found = [
            Used(f"{leg.where}.{option}", edge, leg.segment, address, [net] if net else [])
            for option, address, net in (
                ("address", leg.address, provider.subnet),
                ("address6", leg.address6, provider.subnet6),
            )
        ]
        stated: list[Nat | Forward | Floating] = [*edge.nat, *edge.forwards, *edge.floating]
        found += [
            Used(f"{one.where}.address", edge, leg.segment, one.address, nets, isinstance(one, Floating))
            for one in stated
            if one.address and (isinstance(one, Forward) or one.address.version == 4)
        ]
        return [one for one in found if one.address]


def holders(values: Values, guests: Guests, segment: str, address: t.Any) -> list[str]:
    """Who has an address of a segment, but for OVN's routers: endpoints, edges in namespaces among them, further NICs of guests, and routers beside it."""
    found = values.holders(segment, address)
    found += [guests.taken[segment, address]] if (segment, address) in guests.taken else []
    found += values.routing.neighbors(values.segments[segment], address)
    return list(dict.fromkeys(found))

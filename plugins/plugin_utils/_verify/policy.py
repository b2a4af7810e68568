# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What flows let pass between endpoints, and what not, by which rule. Pure: plan in, plain data out.

Pings and TCP are measured, of each pair of endpoints of a segment with a policy, both ways. UDP is not, as silence of an endpoint that does not
answer is no proof.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import IN_NAMESPACE
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import (
    ICMP,
    TCP,
    Layer,
    Packet,
    deciding,
    from_data,
    passes,
    passes_ports,
)

Item = t.Dict[str, t.Any]

# The ports of which verify takes one to listen on, see the action plugin.
LISTENING = (61000, 65535)
PROBES = ("ping", "tcp")


def first_packet(source: str, target: str, protocol: str, port: int = 0) -> Packet:
    """The first packet of a connection."""
    return Packet(ipaddress.ip_address(source), ipaddress.ip_address(target), protocol, port)


def stated_ports(layers: t.Iterable[Layer], protocol: str = TCP) -> list[int]:
    """The first port of each rule that states ports of a protocol."""
    return [rule.ports[0][0] for layer in layers for rule in layer.rules if rule.ports and rule.protocol == protocol]


def rule_of(layers: t.Iterable[Layer], packet: Packet) -> str | None:
    """What denies a connection, in words; None if nobody does."""
    for layer in layers:
        if not passes([layer], packet):
            rule = deciding(layer.rules, packet)
            return f"rule {rule.name}" if rule else f"{layer.name}: no rule allows it"
    return None


def own_address(point: Item, other: str) -> str | None:
    """The address of an endpoint of the same family as another one."""
    found = [address for address in (point["address"], point["address6"]) if address]
    return next((address for address in found if (":" in address) == (":" in other)), None)


def _layer(policy: Item) -> Layer:
    rules = [from_data(rule) for rule in policy["rules"]]
    return Layer(f"segment {policy['segment']}", rules, policy["default"] == "allow")


class Judges:
    """Who judges what endpoints send each other, by flows."""

    def __init__(self, plan: Item) -> None:
        policies = plan.get("policy", ())
        self.layers = {one["segment"]: _layer(one) for one in policies}
        self.exempt = {one["segment"]: set(one["exempt"]) for one in policies}

    def within(self, one: Item, other: Item, address: str) -> list[Layer]:
        """Who judges a connection from an endpoint to an address of another one on its segment."""
        segment, source = one["segment"], own_address(one, address)
        if segment not in self.layers or source is None or {source, address} & self.exempt[segment]:
            return []
        return [] if one["router"] and other["router"] else [self.layers[segment]]

    def at(self, point: Item) -> list[Layer]:
        """Who judges what an endpoint sends to other segments and gets from there."""
        return [] if point["router"] or point["segment"] not in self.layers else [self.layers[point["segment"]]]


class Barred:
    """What must not come through between endpoints of one segment, as the intent says of single pairs and the policy of all."""

    def __init__(self, plan: Item) -> None:
        self.judges = Judges(plan)
        self.stated = {(pair["from"], pair["to"]): pair["probes"] for pair in plan.get("denied", ())}

    def judged(self, segment: str) -> bool:
        """Whether a policy decides on a segment."""
        return segment in self.judges.layers

    def verdicts(self, one: Item, other: Item, address: str) -> dict[str, bool | None]:
        """For each kind of probe whether it comes through; None where that depends on what is sent."""
        stated = self.stated.get((one["id"], other["id"]), ())
        found: dict[str, bool | None] = {probe: probe not in stated for probe in PROBES}
        layers = self.judges.within(one, other, address)
        if layers:
            source = own_address(one, address) or ""
            found["ping"] = found["ping"] and passes(layers, first_packet(source, address, ICMP))
            tcp = passes_ports(layers, first_packet(source, address, TCP), LISTENING)
            found["tcp"] = tcp if found["tcp"] else False
        return found

    def passes(self, one: Item, other: Item, address: str, probe: str) -> bool:
        """Whether a probe surely comes through."""
        return self.verdicts(one, other, address)[probe] is True

    def free(self, one: Item, other: Item) -> bool:
        """Whether everything comes through from one endpoint to another."""
        mine = [address for address in (other["address"], other["address6"]) if address]
        return all(self.passes(one, other, address, probe) for address in mine for probe in PROBES)

    def denied(self, by_segment: dict[str, list[Item]], points: dict[str, Item]) -> list[Item]:
        """What is probed in vain."""
        found = []
        for (one, other), probes in self.stated.items():
            for address in filter(None, (points[other]["address"], points[other]["address6"])):
                found += [_denied(points[one], points[other], address, probe) for probe in probes]
        for segment in self.judges.layers:
            for one, other, address in _pairs(by_segment.get(segment, [])):
                found += self._by_policy(one, other, address)
        return found + self._ports(by_segment, allow=False)

    def _by_policy(self, one: Item, other: Item, address: str) -> t.Iterator[Item]:
        """The denied probes of a pair on a segment with a policy; those that the intent states stand already."""
        stated = self.stated.get((one["id"], other["id"]), ())
        layers = self.judges.within(one, other, address)
        for probe, verdict in self.verdicts(one, other, address).items():
            if verdict is False and probe not in stated:
                port, protocol = (LISTENING[0], TCP) if probe == "tcp" else (0, ICMP)
                packet = first_packet(own_address(one, address) or "", address, protocol, port)
                yield {**_denied(one, other, address, probe), "rule": rule_of(layers, packet)}

    def connections(self, by_segment: dict[str, list[Item]]) -> list[Item]:
        """Ports that rules allow: whoever listens or not, an answer comes back."""
        return self._ports(by_segment, allow=True)

    def _ports(self, by_segment: dict[str, list[Item]], allow: bool) -> list[Item]:
        """The first port of each rule of TCP: of those that allow for each pair, of those that deny for one, as each of these waits."""
        found: dict[t.Any, Item] = {}
        for segment, layer in self.judges.layers.items():
            ports = stated_ports([layer])
            for one, other, address in _pairs(by_segment.get(segment, [])) if ports else ():
                for port in ports if self.judges.within(one, other, address) else ():
                    rule = deciding(layer.rules, first_packet(own_address(one, address) or "", address, TCP, port))
                    if rule is None or not rule.ports or rule.allow != allow:
                        continue
                    if allow:
                        entry = {**_ends(one, other, address), "port": port, "answers": True}
                        found.setdefault((rule.name, one["id"], address), entry)
                    else:
                        entry = {**_denied(one, other, address, "connect"), "port": port, "rule": f"rule {rule.name}"}
                        found.setdefault((rule.name, segment, ":" in address), entry)
        return list(found.values())


def _pairs(points: list[Item]) -> t.Iterator[tuple[Item, Item, str]]:
    """Ordered pairs of endpoints in namespaces, with each address of the second."""
    inside = [point for point in points if point["kind"] in IN_NAMESPACE]
    for one in inside:
        for other in inside:
            addresses = [address for address in (other["address"], other["address6"]) if address]
            if one["id"] != other["id"]:
                yield from ((one, other, address) for address in addresses)


def _ends(one: Item, other: Item, address: str) -> Item:
    return {"from": one["id"], "to": other["id"], "family": 6 if ":" in address else 4, "address": address}


def _denied(one: Item, other: Item, address: str, probe: str) -> Item:
    return {**_ends(one, other, address), "mac": other["mac"], "probe": probe}

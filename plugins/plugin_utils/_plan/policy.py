# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy in the plan: from names to addresses, who enforces which rule, and what is refused.

One list for the whole fabric. Edges enforce it between their segments, and flows on segments with a policy, where each endpoint's own host judges
what it sends and what it gets.

This file is private to the collection.
"""

from __future__ import annotations

import hashlib
import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import owner_cookie
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.edges import Edge, Stated
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address, Endpoint, Network, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guests import Guests
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import (
    Place,
    Rule,
    as_data,
    between,
    on_segment,
    shadowed,
    without_packets,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.openflow import (
    MOST_RULES,
    Judged,
    for_groups,
    numbered,
)

Item = t.Dict[str, t.Any]

LABEL = "label:"
# Zones of connection tracking; 0 is everybody's.
ZONES = 65535


def segments_of(edge: Edge) -> list[str]:
    """The names of an edge's segments."""
    return [leg.segment for leg in edge.legs]


class Policy:
    """The policy, checked once. What is wrong goes to the values' problems. judged: the segments on which flows enforce it, by name."""

    def __init__(self, values: Values, guests: Guests, edges: list[Edge], stated: list[Stated]) -> None:
        self.values = values
        self.problems = values.problems
        self.edges = edges
        self.points = {endpoint.identity: endpoint for endpoint in values.endpoints}
        self.places_of = self._all_places(guests)
        self.labels: dict[str, list[str]] = {}
        for endpoint in values.endpoints:
            for name in endpoint.labels:
                self.labels.setdefault(name, []).append(endpoint.identity)
        policed = {
            name: default for name in values.segments for default in [self._default(name)] if default is not None
        }
        before = len(self.problems)
        self.rules = [self._rule(one) for one in stated]
        self.judged: dict[str, Judged] = {}
        # Without a name that was not found, a rule would be about anywhere.
        if len(self.problems) == before:
            self.judged = self._judged(policed)
            self._check(stated)

    def plan(self) -> list[Item]:
        """What the plan says of the segments on which flows enforce the policy."""
        return [_segment(name, judged) for name, judged in self.judged.items()]

    def of_endpoint(self, endpoint: Endpoint) -> Item:
        """What the plan says of an endpoint besides: its labels, and whether it is a router, which its host does not judge."""
        return {"labels": endpoint.labels, "router": endpoint.is_router}

    # Names

    def _all_places(self, guests: Guests) -> dict[str, list[Place]]:
        """The addresses of each endpoint, those of a guest's further NICs among them."""
        found: dict[str, list[Place]] = {}
        for endpoint in self.values.endpoints:
            addressed = self.values.addressed.get(endpoint.id)
            values = [addressed.address.value, addressed.address6.value] if addressed else []
            found[endpoint.identity] = [_place(endpoint.segment, address) for address in values if address]
        for guest in (guest for here in guests.by_host.values() for guest in here):
            for nic in guest.nics[1:]:
                if nic.segment is not None:
                    name = nic.segment.name
                    found[guest.endpoint.identity] += [_place(name, address) for address, _subnet in nic.addresses]
        return found

    def _rule(self, stated: Stated) -> Rule:
        sources = self._places(f"{stated.where}.from", stated.sources)
        targets = self._places(f"{stated.where}.to", stated.targets)
        ports = tuple(stated.ports)
        return Rule(stated.name, stated.allow, sources, targets, stated.protocol, ports, bool(stated.log))

    def _places(self, where: str, names: list[str]) -> tuple[Place, ...]:
        found: list[Place] = []
        for name in names:
            found += self._named(where, name)
        return tuple(dict.fromkeys(found))

    def _named(self, where: str, name: str) -> list[Place]:
        """The addresses behind the name of a segment, an endpoint or a label, or a range."""
        if name in self.values.segments and name in self.points:
            self.problems.append(
                f"{where} has {name}, which is both a segment and an endpoint; give one of them another name."
            )
        if name in self.values.segments:
            return [Place(name, net) for net in self.values.segments[name].subnets]
        if name in self.points:
            return self.places_of[name]
        if name.startswith(LABEL):
            return self._labelled(where, name[len(LABEL) :])
        network = addresses.as_network(name)
        if network is None:
            known = [*self.values.segments, *self.points, *(LABEL + label for label in self.labels)]
            self.problems.append(
                f"{where} has {word(name)}, which is no segment, endpoint (HOST/NAME, or NAME where it says its host), label (label:NAME),"
                f" address or prefix{suggest(name, known)}"
            )
            return []
        return [Place(None, network)]

    def _labelled(self, where: str, label: str) -> list[Place]:
        if label not in self.labels:
            self.problems.append(
                f"{where} has the label {word(label)}, which no endpoint of fabric_endpoints has in labels{suggest(label, self.labels)}"
            )
        return [place for identity in self.labels.get(label, ()) for place in self.places_of[identity]]

    # Segments with a policy

    def _default(self, name: str) -> bool | None:
        """What becomes of connections that no rule takes on a segment; None where flows do not judge."""
        segment = self.values.segments[name]
        overlay = self.values.overlays.get(segment.overlay) if segment.overlay else None
        stated = segment.policy or (overlay.policy if overlay else None)
        if not stated or stated == "none":
            return None
        where = f"{segment.where if segment.policy else overlay.where if overlay else ''}.policy"
        if segment.overlay is not INVALID and not (overlay and overlay.segments_by != "vlan"):
            self._once(
                f"{where} is for overlays with segments_by: key, as bridges that learn judge nothing; leave it out, or say so in"
                f" {overlay.where if overlay else 'an overlay of fabric_overlays'}.segments_by."
            )
            return None
        if segment.learn:
            self.problems.append(
                f"{segment.where} has learn: true and a policy, but who is not in the plan has no place in a rule; leave one of them out."
            )
        return bool(stated == "allow")

    def _once(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _judged(self, policed: dict[str, bool]) -> dict[str, Judged]:
        numbers = numbered(self.rules)
        if policed and len(numbers) > MOST_RULES:
            self.problems.append(
                f"fabric_policy has {len(numbers)} rules, but flows can have {MOST_RULES}; make them fewer."
            )
        found: dict[str, Judged] = {}
        zones: set[int] = set()
        for name, default in policed.items():
            segment = self.values.segments[name]
            here = {rule.name: rule for rule in on_segment(self.rules, name, segment.subnets, self._visible(segment))}
            rules = [one._replace(rule=here[one.rule.name]) for one in numbers if one.rule.name in here]
            zone = self._zone(name, zones)
            zones.add(zone)
            legs = [endpoint for endpoint in self.values.endpoints if endpoint.edge and endpoint.segment == name]
            exempt = [address for leg in legs for address in self._own(leg)]
            cookie = owner_cookie(str(self.values.intent.name))
            found[name] = Judged(zone, default, rules, for_groups(rules, segment.subnets), exempt, cookie)
        return found

    def _visible(self, segment: Segment) -> set[str]:
        """The segments whose packets may come to a segment: those of its tenant, and those that an edge joins it to."""
        found = {other.name for other in self.values.segments.values() if other.tenant == segment.tenant}
        for edge in self.edges:
            if segment.name in segments_of(edge):
                found.update(segments_of(edge))
        return found

    def _zone(self, segment: str, taken: t.Collection[int]) -> int:
        """A segment's zone on all of its hosts, from its name and the fabric's."""
        text = f"{self.values.intent.name}/{segment}"
        zone = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % ZONES + 1
        while zone in taken:
            zone = zone % ZONES + 1
        return zone

    def _own(self, endpoint: Endpoint) -> list[Address]:
        addressed = self.values.addressed.get(endpoint.id)
        values = (addressed.address.value, addressed.address6.value) if addressed else ()
        return [address for address in (*values, *endpoint.further, *endpoint.virtual) if address]

    def _own_of(self, edge: Edge) -> set[Address]:
        """The addresses of an edge by which it forwards nothing. Whoever a router of OVN sends to judges its own as well."""
        legs = [] if edge.distributed else [point for point in self.values.endpoints if point.edge == edge.name]
        return {address for leg in legs for address in self._own(leg)}

    # Checks

    def _check(self, stated: list[Stated]) -> None:
        """Each rule decides about something, somewhere. Elsewhere it may well be shadowed, or concern nobody."""
        shadows: dict[str, str] = {}
        decide: set[str] = set()
        places = [(between(self.rules, segments_of(edge)), self._own_of(edge)) for edge in self.edges]
        places += [([one.rule for one in judged.rules], set(judged.exempt)) for judged in self.judged.values()]
        for rules, own in places:
            here = [rule for rule in rules if not _about(rule, own)]
            hidden = {rule.name: other.name for rule, other in shadowed(here)}
            shadows.update(hidden)
            decide |= {rule.name for rule in here} - hidden.keys()
        for one, rule in zip(stated, self.rules):
            if without_packets(rule):
                self.problems.append(
                    f"{one.where} has from and to without an address family in common; give both of the same family."
                )
            elif rule.name in shadows and rule.name not in decide:
                self.problems.append(
                    f"{one.where} never decides, as fabric_policy[{shadows[rule.name]}] before it takes all of its packets;"
                    f" put {rule.name} first, or leave one of them out."
                )
            elif rule.name not in decide and any(_about(rule, own) for _rules, own in places):
                self.problems.append(
                    f"{one.where} is enforced by nobody, as an edge's own address is all that from or to names, and an edge judges what it forwards"
                    " and takes nothing but pings itself; name endpoints behind it, or leave the rule out."
                )
            else:
                self._check_enforced(one, rule, rule.name in decide)

    def _check_enforced(self, stated: Stated, rule: Rule, somewhere: bool) -> None:
        """What a rule denies within a segment is denied by flows alone; what it allows there, bridges that learn let pass anyway."""
        open_here = self._unjudged(rule)
        if open_here and (not rule.allow or not somewhere):
            segment = self.values.segments[open_here]
            if self.values.ovn(segment):
                self.problems.append(
                    f"{stated.where} is enforced by nobody on segment {open_here}, as OVN asks for leave between segments alone;"
                    " put its ends on two segments with an edge between them, or leave the rule out."
                )
                return
            overlay = (
                self.values.overlays[segment.overlay].where if segment.overlay else "an overlay of fabric_overlays"
            )
            self.problems.append(
                f"{stated.where} is enforced by nobody on segment {open_here}, where packets between its ends meet no edge;"
                f" give {overlay} segments_by: key and policy: deny or allow, or leave the rule out."
            )
        elif not somewhere:
            self.problems.append(
                f"{stated.where} is enforced by nobody, as no edge of fabric_edges is between these segments and none of them is on an overlay with"
                " policy; add one, or leave the rule out."
            )

    def _unjudged(self, rule: Rule) -> str | None:
        """A segment that both ends of a rule name, and on which no flows judge."""
        sources, targets = ({place.segment for place in ends} for ends in (rule.sources, rule.targets))
        both = [name for name in self.values.segments if name in sources & targets and name not in self.judged]
        return next((name for name in both if _apart(rule, name)), None)


def _segment(name: str, judged: Judged) -> Item:
    """What the plan says of the policy of a segment."""
    return {
        "segment": name,
        "default": "allow" if judged.default else "deny",
        "zone": judged.zone,
        "exempt": [str(address) for address in judged.exempt],
        "rules": [{**as_data(one.rule), "number": one.number} for one in judged.rules],
    }


def _about(rule: Rule, own: t.Container[Address]) -> bool:
    """Whether one end of a rule is nothing but addresses of these."""
    return any(ends and all(_is_one_of(end.network, own) for end in ends) for ends in (rule.sources, rule.targets))


def _is_one_of(network: Network, own: t.Container[Address]) -> bool:
    return network.num_addresses == 1 and network[0] in own


def _apart(rule: Rule, segment: str) -> bool:
    """Whether the two ends of a rule on a segment are not just one and the same endpoint."""
    ends = [{place.network for place in places if place.segment == segment} for places in (rule.sources, rule.targets)]
    alone = all(network.prefixlen == network.max_prefixlen for end in ends for network in end)
    return not (alone and ends[0] == ends[1] and len({network.version for network in ends[0]}) == len(ends[0]))


def _place(segment: str, address: Address) -> Place:
    return Place(segment, ipaddress.ip_network(address))

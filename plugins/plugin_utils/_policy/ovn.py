# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy as ACLs of OVN. Pure. Source: ovn-nb(5), table ACL; ovn-sb(5), column match.

An ACL stands before the port of whoever is asked (to-lport), and is about what a router brings there: within a segment nobody is asked for leave.
What the router brings has its MAC address, which port security lets nobody else have. (That the source is of no address of the segment would be
tens of thousands of flows in IPv6, as OpenFlow knows no "not".) Answers of a connection need no ACL, as those that allow are allow-related.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import (
    ICMP,
    WITH_PORTS,
    Network,
    Ports,
    Rule,
    merged,
    networks,
)

Item = t.Dict[str, t.Any]

# The first rule's priority; OVN takes 0 to 32767. That of what no rule is about.
FIRST, LAST = 30000, 1
DENIED = "denied"
# Packets of each ACL that are logged in a second, at the most.
LOGGED = 5


class Place(t.NamedTuple):
    """Before whom ACLs stand.

    group: of the ports of a segment. subnets: the segment's own. router: the MAC address of the router's port there.
    meter: that of what is logged.
    """

    group: str
    segment: str
    subnets: t.Sequence[Network]
    router: str
    meter: str


def meter(name: str) -> Item:
    """The limit of what is logged. It is fair: each ACL has one of its own."""
    return {"name": name, "unit": "pktps", "fair": True, "bands": [{"rate": LOGGED}]}


def acls(rules: t.Sequence[Rule], place: Place, log: bool) -> list[Item]:
    """The ACLs of a place. rules: of the router, in their order. log: whether what no rule is about is logged."""
    found = []
    for number, rule in enumerate(rules):
        matches = [match for net in place.subnets for match in _matches(rule, place.segment, net)]
        if matches:
            action = "allow-related" if rule.allow else "drop"
            found.append(_acl(f"rule-{rule.name}", FIRST - number, place, matches, action, rule.log))
    return [*found, _acl(DENIED, LAST, place, ["ip"], "drop", log)]


def _acl(name: str, priority: int, place: Place, matches: t.Sequence[str], action: str, log: bool) -> Item:
    either = matches[0] if len(matches) == 1 else f"({' || '.join(f'({match})' for match in matches)})"
    return {
        "name": name,
        "direction": "to-lport",
        "priority": priority,
        "match": f"outport == @{place.group} && eth.src == {place.router} && {either}",
        "action": action,
        "log": log,
        **({"severity": "info", "meter": place.meter} if log else {}),
    }


def _matches(rule: Rule, segment: str, net: Network) -> list[str]:
    """What of a rule is about packets that a router brings to a segment, of the subnet's address family; at most one."""
    if rule.targets and not any(place.segment in (None, segment) for place in rule.targets):
        return []
    sources, targets = networks(rule.sources, net.version), networks(rule.targets, net.version)
    if bool(rule.sources) > bool(sources) or bool(rule.targets) > bool(targets):
        return []
    family = f"ip{net.version}"
    parts = [family]
    parts += [f"{family}.src == {_set(sources)}"] if sources else []
    parts += [f"{family}.dst == {_set(targets)}"] if targets else []
    return [" && ".join([*parts, *_protocol(rule, net.version)])]


def _protocol(rule: Rule, version: int) -> list[str]:
    """The condition on protocol and ports."""
    if rule.protocol is None:
        return []
    if rule.protocol == ICMP:
        return [f"icmp{version}"]
    if rule.protocol in WITH_PORTS and rule.ports:
        ranges = [_range(rule.protocol, ports) for ports in merged(rule.ports)]
        return [ranges[0] if len(ranges) == 1 else f"({' || '.join(ranges)})"]
    return [rule.protocol]


def _range(protocol: str, ports: Ports) -> str:
    low, high = ports
    return f"{protocol}.dst == {low}" if low == high else f"({protocol}.dst >= {low} && {protocol}.dst <= {high})"


def _set(values: t.Sequence[Network]) -> str:
    return str(values[0]) if len(values) == 1 else "{" + ", ".join(map(str, values)) + "}"

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy in the language of nftables. Pure. Source: nft(8).

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import (
    ICMP,
    WITH_PORTS,
    Ports,
    Rule,
    merged,
    networks,
)

# What is logged of one rule at most, so that a flood fills no disk.
LOG_LIMIT = "limit rate 5/second burst 10 packets"
FAMILIES = {4: "ip", 6: "ip6"}
ICMP_NAMES = {4: "icmp", 6: "ipv6-icmp"}


def counter(rule: Rule) -> str:
    """The name of a rule's counter."""
    return f"rule-{rule.name}"


def logged(match: str, prefix: str) -> str:
    """The statement that logs what matches, a few packets a second."""
    return " ".join(filter(None, [match, LOG_LIMIT, f'log prefix "{prefix}: "']))


def statements(rule: Rule) -> list[str]:
    """The statements of one rule, for a chain that new connections alone reach."""
    verdict = "accept" if rule.allow else "drop"
    found = []
    for match in _matches(rule):
        if rule.log:
            found.append(logged(match, counter(rule)))
        found.append(" ".join(filter(None, [match, f"counter name {counter(rule)}", verdict])))
    return found


def _matches(rule: Rule) -> t.Iterator[str]:
    """The conditions of a rule: one for each address family where it names addresses, else one for both."""
    if not rule.sources and not rule.targets:
        yield _protocol(rule, None)
        return
    for version, family in FAMILIES.items():
        sources, targets = networks(rule.sources, version), networks(rule.targets, version)
        if bool(rule.sources) > bool(sources) or bool(rule.targets) > bool(targets):
            continue
        ends = [f"{family} saddr {as_set(sources)}"] if sources else []
        ends += [f"{family} daddr {as_set(targets)}"] if targets else []
        yield " ".join(filter(None, [*ends, _protocol(rule, version)]))


def _protocol(rule: Rule, version: int | None) -> str:
    """The condition on protocol and ports. version: the address family, None for both."""
    if rule.protocol is None:
        return ""
    if rule.protocol == ICMP:
        return f"meta l4proto {as_set(ICMP_NAMES.values()) if version is None else ICMP_NAMES[version]}"
    if rule.protocol in WITH_PORTS and rule.ports:
        return f"{rule.protocol} dport {as_set(map(_spelled, merged(rule.ports)))}"
    return f"meta l4proto {rule.protocol}"


def _spelled(ports: Ports) -> str:
    low, high = ports
    return str(low) if low == high else f"{low}-{high}"


def as_set(values: t.Iterable[t.Any]) -> str:
    """Values as an anonymous set."""
    return "{ " + ", ".join(map(str, values)) + " }"

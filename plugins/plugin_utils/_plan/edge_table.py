# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of nftables of an edge: from its interfaces, rules and NAT to the text that nft(8) loads. Pure.

Hooks in the order in which a packet meets them: spoofed sources, NAT of the target, the policy, NAT of the source (nft(8), netfilter's packet flow).

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address, Network
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import Rule
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.nft import (
    FAMILIES,
    as_set,
    counter,
    logged,
    statements,
)

# Counters of packets that no rule is about. They have no prefix, so no rule or forward can be called so.
SPOOFED, INVALID_STATE, DENIED, TO_EDGE = "spoofed", "invalid", "denied", "to-edge"
# As numbers, as a host need not have /etc/protocols and /etc/services.
OSPF, BGP_PORT = 89, 179
# What somebody sends who has no address yet, and neighbors among themselves (RFC 2131, RFC 4861).
WITHOUT_ADDRESS = {4: ["0.0.0.0"], 6: ["fe80::/10", "::"]}


class Side(t.NamedTuple):
    """An interface of an edge. inner: whether all behind it is in its subnets, as it is their gateway. mtu: in bytes.

    peers: the edge's addresses there on other hosts, which it hears by VRRP. ospf: whether it hears OSPF there. bgp: those that may open sessions of BGP.
    """

    interface: str
    subnets: list[Network]
    inner: bool
    mtu: int
    peers: list[Address]
    ospf: bool = False
    bgp: t.Sequence[Address] = ()


class Translated(t.NamedTuple):
    """Source NAT. address: None for masquerade, which takes the address of the interface."""

    source: Network
    interface: str
    address: Address | None


class Forwarded(t.NamedTuple):
    """A forwarded port. target: None where the endpoint has no address of that family. subnet, interface: where the target is."""

    name: str
    address: Address
    protocol: str
    port: int
    target: Address | None
    to_port: int
    subnet: Network | None
    interface: str

    @property
    def key(self) -> tuple[t.Any, ...]:
        """What can be forwarded once."""
        return self.address, self.protocol, self.port

    @property
    def counter(self) -> str:
        """The name of its counter."""
        return f"forward-{self.name}"


class Table(t.NamedTuple):
    """What an edge's table is made of. log: whether what no rule is about is logged."""

    sides: list[Side]
    rules: list[Rule]
    nat: list[Translated]
    forwards: list[Forwarded]
    log: bool


def content(table: Table) -> str:
    """What is between the braces of the table."""
    names = [SPOOFED, INVALID_STATE, DENIED, TO_EDGE]
    names += [counter(rule) for rule in table.rules]
    names += [forward.counter for forward in table.forwards]
    chains = [
        _chain("antispoofing", "type filter hook prerouting priority raw; policy accept;", _sources(table)),
        _chain("clamping", "type filter hook forward priority mangle; policy accept;", _clamp(table)),
        _chain("forward", "type filter hook forward priority filter; policy drop;", _policy(table)),
        _chain("input", "type filter hook input priority filter; policy drop;", _input(table)),
        _chain("prerouting", "type nat hook prerouting priority dstnat; policy accept;", _targets(table)),
        _chain("postrouting", "type nat hook postrouting priority srcnat; policy accept;", _translated(table)),
    ]
    return "\n".join([*(f"counter {name} {{ }}" for name in names), *filter(None, chains)]) + "\n"


def _chain(name: str, hook: str, lines: list[str]) -> str:
    """A chain, if it has anything to do."""
    if not lines:
        return ""
    return "\n".join([f"chain {name} {{", f"  {hook}", *(f"  {line}" for line in lines), "}"])


def _sources(table: Table) -> list[str]:
    """Anti-spoofing: behind a gateway's interface is its segment alone, and behind another one none of these segments."""
    inside = [net for side in table.sides if side.inner for net in side.subnets]
    lines = []
    for side in table.sides:
        for version, family in FAMILIES.items():
            own = [net for net in side.subnets if net.version == version]
            others = [net for net in inside if net.version == version]
            if side.inner:
                sources = f"!= {as_set([*own, *WITHOUT_ADDRESS[version]])}"
            elif others:
                sources = as_set(others)
            else:
                continue
            lines.append(f'iifname "{side.interface}" {family} saddr {sources} counter name {SPOOFED} drop')
    return lines


def _clamp(table: Table) -> list[str]:
    """TCP is told of the smaller MTU before it finds out by lost packets."""
    if len({side.mtu for side in table.sides}) < 2:
        return []
    return ["tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu"]


def _policy(table: Table) -> list[str]:
    """Answers pass, then the first rule decides, then forwarded ports pass, and all else is dropped."""
    lines = ["ct state established,related accept", f"ct state invalid counter name {INVALID_STATE} drop"]
    for rule in table.rules:
        lines += statements(rule)
    for forward in table.forwards:
        original = f"ct original {FAMILIES[forward.address.version]} daddr {forward.address}"
        port = f"meta l4proto {forward.protocol} ct original proto-dst {forward.port}"
        lines.append(f"ct status dnat {original} {port} counter name {forward.counter} accept")
    if table.log:
        lines.append(logged("", DENIED))
    return [*lines, f"counter name {DENIED} drop"]


def _input(table: Table) -> list[str]:
    """The edge itself answers pings and hears its peer and its routers, and is asked for nothing else."""
    heard = [
        f'iifname "{side.interface}" ip saddr {peer} ip protocol vrrp accept'
        for side in table.sides
        for peer in side.peers
    ]
    heard += [f'iifname "{side.interface}" meta l4proto {OSPF} accept' for side in table.sides if side.ospf]
    heard += [
        f'iifname "{side.interface}" {FAMILIES[router.version]} saddr {router} tcp dport {BGP_PORT} accept'
        for side in table.sides
        for router in side.bgp
    ]
    return [
        "ct state established,related accept",
        'iifname "lo" accept',
        "meta l4proto { icmp, ipv6-icmp } accept",
        *heard,
        f"counter name {TO_EDGE} drop",
    ]


def _targets(table: Table) -> list[str]:
    """Forwarded ports. Wherever the question comes from, so that those inside reach them as well."""
    return [
        f"{FAMILIES[one.address.version]} daddr {one.address} {one.protocol} dport {one.port}"
        f" dnat {FAMILIES[one.address.version]} to {_with_port(one)}"
        for one in table.forwards
    ]


def _with_port(forward: Forwarded) -> str:
    target = f"[{forward.target}]" if forward.address.version == 6 else forward.target
    return f"{target}:{forward.to_port}"


def _translated(table: Table) -> list[str]:
    """Source NAT. First the hairpin: who asks by the edge for somebody on the own segment must get the answer by the edge, too."""
    lines = [
        f'ct status dnat oifname "{one.interface}" {FAMILIES[one.address.version]} saddr {one.subnet}'
        f" {FAMILIES[one.address.version]} daddr {one.target} masquerade"
        for one in table.forwards
    ]
    for one in table.nat:
        action = f"snat ip to {one.address}" if one.address else "masquerade"
        lines.append(f'oifname "{one.interface}" ip saddr {one.source} {action}')
    return list(dict.fromkeys(lines))

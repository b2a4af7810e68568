# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which means of the kernel an impairment is done: netem where it is, else HTB for a rate and nftables for loss. Pure.

All of them act on packets that leave an interface, as there every datapath's packets come by: Open vSwitch in user space sends through a packet
socket, and receives before any filter of the kernel. A cut is always nftables', as it takes no queueing discipline.

Nothing is dropped on the spot: a sender on the host would be told so (ENOBUFS), `ping` would send again, and Open vSwitch would drop the rest of its
batch. The packet goes to the loop device instead, addressed to nobody, where the kernel drops it as another host's.

This file is private to the collection. Sources: tc-netem(8), tc-htb(8), tc-u32(8), nft(8).
"""

from __future__ import annotations

import typing as t
import zlib

from ansible_collections.overloom.fabric.plugins.module_utils._impair.effects import NETEM_ONLY, Match, Wanted
from ansible_collections.overloom.fabric.plugins.module_utils._owner import interface_alias
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

# The mark of our queueing disciplines: the kernel's own have the handle 0:, and tc gives others numbers from 8001: on.
HANDLE = "6f76:"
_CLASS = "6f76:1"
# The end of a packet that is lost.
_LOSE = 'ether daddr set 02:00:00:00:00:00 fwd to "lo"'
# As much as HTB's 32-bit rate tables hold: no bound.
_UNBOUND = "32gbit"
# What a queue before a rate holds, in seconds; and the packets that one without a rate holds.
_QUEUE = 0.05
_PACKETS = 100000


class Means(t.NamedTuple):
    """tc: lines of `tc -batch`, but for the device; table: the text that `nft` loads, but for the device; None where it takes none."""

    tc: tuple[str, ...] = ()
    table: str | None = None


def asks_netem(wanted: Wanted) -> bool:
    """Whether it matters that the kernel has netem."""
    return bool(wanted.loss or any(getattr(wanted, key) for key in NETEM_ONLY))


def means(wanted: Wanted, netem: bool, owner: str) -> Means:
    """How an impairment is done. Raises FabricError where the kernel cannot."""
    only = [key for key in NETEM_ONLY if getattr(wanted, key)]
    if only and not netem:
        raise FabricError(
            f"impairment {wanted.name}: {only[0]} needs netem, which this kernel lacks; load its module sch_netem"
            " (in linux-modules-extra or kernel-modules-extra), or take loss, rate or cut"
        )
    by_netem = netem and asks_netem(wanted)
    lines = _tc(wanted, by_netem) if by_netem or wanted.rate else ()
    some = [] if wanted.cut else [f"numgen random mod 10000 < {round(wanted.loss * 100)}"]
    table = _table(wanted, owner, some) if wanted.cut or (wanted.loss and not by_netem) else None
    return Means(lines, table)


def table_name(name: str) -> str:
    """The table of an impairment, whose name may have letters that nft takes for others."""
    return f"overloom_impair_{zlib.crc32(name.encode()):08x}"


def _tc(wanted: Wanted, netem: bool) -> tuple[str, ...]:
    """HTB with one class for what is impaired; all else passes by it, unbound."""
    rate = _UNBOUND if netem or not wanted.rate else f"{wanted.rate}bit"
    leaf = _netem(wanted) if netem else f"bfifo limit {max(20000, int(wanted.rate * _QUEUE / 8))}"
    every = "0" if wanted.matches else "1"
    filters = [
        f"filter add dev {{dev}} parent {HANDLE} protocol {'ipv6' if one.six else 'ip'} u32 {_u32(one)} flowid {_CLASS}"
        for one in wanted.matches
    ]
    return (
        f"qdisc add dev {{dev}} root handle {HANDLE} htb default {every}",
        f"class add dev {{dev}} parent {HANDLE} classid {_CLASS} htb rate {rate} quantum 60000",
        f"qdisc add dev {{dev}} parent {_CLASS} handle 6f77: {leaf}",
        *filters,
    )


def _netem(wanted: Wanted) -> str:
    words = ["netem"]
    if wanted.rate:
        held = wanted.rate * (wanted.delay / 10**6 + _QUEUE) / 8
        words += ["limit", str(max(20, int(held / 1000)))]
    else:
        words += ["limit", str(_PACKETS)]
    if wanted.delay:
        words += ["delay", f"{wanted.delay}us", *([f"{wanted.jitter}us"] if wanted.jitter else [])]
    for key in ("loss", "duplicate", "reorder"):
        if getattr(wanted, key):
            words += [key, f"{getattr(wanted, key):g}%"]
    return " ".join([*words, *(["rate", f"{wanted.rate}bit"] if wanted.rate else [])])


def _u32(one: Match) -> str:
    family = "ip6" if one.six else "ip"
    length = 128 if one.six else 32
    words = [f"match {family} src {one.source}/{length}", f"match {family} dst {one.destination}/{length}"]
    words += [f"match {family} protocol {one.protocol} 0xff"] if one.protocol is not None else []
    words += [f"match {family} dport {one.port} 0xffff"] if one.port is not None else []
    return " ".join(words)


def _table(wanted: Wanted, owner: str, some: list[str]) -> str:
    rules = "; ".join(" ".join([_nft(one), *some, _LOSE]) for one in wanted.matches)
    chain = f'type filter hook egress device "{{dev}}" priority 0; {rules or " ".join([*some, _LOSE])};'
    return f'table netdev {table_name(wanted.name)} {{ comment "{_comment(owner)}"; chain out {{ {chain} }}; }}'


def _comment(owner: str) -> str:
    """The owner mark, which must not end the string that it stands in."""
    return "".join(letter for letter in interface_alias(owner) if letter.isprintable() and letter not in '"\\{}')[:128]


def _nft(one: Match) -> str:
    family = "ip6" if one.six else "ip"
    words = f"{family} saddr {one.source} {family} daddr {one.destination}"
    if one.port is not None:
        return f"{words} {'tcp' if one.protocol == 6 else 'udp'} dport {one.port}"
    return words + (f" meta l4proto {one.protocol}" if one.protocol is not None else "")

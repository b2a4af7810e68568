# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that bring FRR from one configuration to another, in an order that it takes.

This file is private to the collection, and pure.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import (
    ACTIVE,
    BLOCK,
    PASSIVE,
    Address,
    Config,
    hide,
    negation,
    rank,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.wanted import Index

_ENTRY = re.compile(r"(route-map \S+) (permit|deny) (\d+)$")
# Definitions that routers refer to: added before the routers change, and removed after.
_DEFINITION = re.compile(
    r"(?:key chain|ip prefix-list|ipv6 prefix-list|access-list|bgp [a-z-]*(?:access|community)-list|bgp as-path|route-map|bfd)\b"
)
# Settings where a second line is refused, or merged with the first, unless the first is taken away before.
_REMOVE_FIRST = re.compile(
    r"(?:neighbor \S+$|ip ospf area|ip ospf bfd profile|ipv6 ospf6 (?:area|authentication)|ip ospf dead-interval|redistribute|network"
    r"|aggregate-address|area \S+ (?:type|authentication|range)|default-information|summary-address|bgp listen range|graceful-restart"
    r"|neighbor \S+ (?:peer-group|next-hop-self|remove-private-AS|allowas-in|default-originate|maximum-prefix|local-as)"
    r"|ip ospf authentication|ip rip authentication string|distance|log-adjacency-changes)(?: |$)"
)
# The address of the line that makes a neighbor or a peer group of BGP.
_PEER = re.compile(r"neighbor (\S+) (?:remote-as|peer-group|interface)$")

Drop = t.Tuple[Address, str, t.Tuple[t.Sequence[t.Any], ...]]


class _Difference:
    """The lines that bring a configuration to the wanted settings, collected in three stages and sorted in each.

    before: what goes; during: what comes; after: definitions (lists, route-maps) that go once no router uses them.
    gone: the settings that go; covered: those of them that a line takes away which stands for several.
    """

    def __init__(self, config: Config, changes: t.Mapping[Address, str | None]) -> None:
        self.config, self.changes = config, changes
        self.before: list[Row] = []
        self.during: list[Row] = []
        self.after: list[Row] = []
        self.gone = {address for address, line in changes.items() if line is None and address in config}
        self.covered: set[Address] = set()
        self._order_of: dict[Address, int] = {}

    def lines(self) -> list[tuple[Address, str]]:
        """All of them in their order."""
        # Address families after the lines of their router, so that each block is entered once.
        self.before.sort(key=lambda row: (rank(row.path[0]), row.path) if row.path else (-1, ()))
        self.during.sort(key=lambda row: row.place)
        return [(row.path, row.line) for row in longest_first(self.before) + self.during + self.after]

    def drop_wholes(self, drops: t.Iterable[Drop]) -> None:
        """Take away what goes as a whole: blocks in which nothing stays, then things by the line that drops them."""
        blocks = [address for address in self.gone if BLOCK.match(self.config[address]) and not self._holds(address)]
        for block in blocks:
            self.covered |= {a for a in self.gone if a[: len(block)] == block and a != block}
        index = Index(self.config)
        for path, line, scope in drops:
            hit = set(index.inside(scope))
            if hit and hit <= self.gone and not hit <= self.covered | set(blocks):
                self.covered |= hit
                stage = self.after if _DEFINITION.match(line[3:]) else self.before
                stage.append(Row((0, path), path, line))

    def move_entries(self) -> set[Address]:
        """FRR ignores an entry of a list that says what another one says, so the old one goes before the new one comes."""
        changed = {a: line for a, line in self.changes.items() if self.config.get(a) != line and not a[1:]}
        coming = {_rule(address, line) for address, line in changed.items() if line is not None}
        moved = {
            address
            for address in changed
            if " seq " in address[0] and address in self.config and _rule(address, self.config[address]) in coming
        }
        for address in (address for address in self.config if address in moved):
            self.during.append(Row((rank(address[0]), -1), (), negation(self.config[address])))
        return moved

    def clear(self, address: Address) -> None:
        """Take a setting away."""
        old = self.config.get(address)
        if old is None or address in self.covered or (BLOCK.match(old) and self._holds(address)):
            return
        path = address[:-1]
        twin = self._entry_in_its_place(old)
        if twin:
            # The entry that takes its number comes right after.
            place = self._place((), twin)[:1] + (self._order_of[(twin,)] - 0.5,)
            self.during.append(Row(place, path, negation(old)))
        elif not _DEFINITION.match(path[0] if path else old):
            self.before.append(Row((len(self.before),), path, negation(old)))
        else:
            stage = self.during if path else self.after
            stage.append(Row(self._place(path, ""), path, negation(old)))

    def set(self, address: Address, line: str) -> None:
        """Bring a line, after the former value of its setting has gone where FRR wants that."""
        path, old = address[:-1], self.config.get(address)
        if old is not None and _REMOVE_FIRST.match(address[-1]):
            self.before.append(Row((len(self.before),), path, negation(old)))
        row = Row(self._place(path, line), path, line)
        if old is not None:
            self._bring_back(address, old)
        # Where an interface still says that it is not passive, which means nothing, the first one only takes that away.
        self.during += [row, row] if line == PASSIVE else [row]

    def _bring_back(self, address: Address, old: str) -> None:
        """Say once more what others have set of an NSSA, which goes with its type."""
        gone = negation(old)[3:]
        for other, line in self.config.items() if gone.endswith(" nssa") else ():
            stays = other != address and other not in self.gone
            if stays and other[:-1] == address[:-1] and line.startswith(f"{gone} "):
                self.during.append(Row(self._place(other[:-1], line), other[:-1], line))

    def _holds(self, block: Address) -> bool:
        """Whether something in a block stays."""
        return any(a[: len(block)] == block and a not in self.gone for a in self.config if a != block)

    def _entry_in_its_place(self, old: str) -> str | None:
        """The entry of a route-map that permits where this one denies, or the other way round, if it comes."""
        entry = _ENTRY.match(old)
        if not entry:
            return None
        twin = f"{entry.group(1)} {'deny' if entry.group(2) == 'permit' else 'permit'} {entry.group(3)}"
        return twin if self.changes.get((twin,)) is not None else None

    def _place(self, path: Address, line: str) -> tuple[float, ...]:
        """Where a line belongs: its blocks in their rank and order, then its own rank and order."""
        order: list[float] = []
        for depth, part in enumerate(path + (line,)):
            spot = path[:depth] + (part,)
            order += [rank(part), self._order_of.setdefault(spot, len(self._order_of))]
        return tuple(order)


class Row(t.NamedTuple):
    """A line with its blocks, and its place among the lines of its stage."""

    place: tuple[t.Any, ...]
    path: Address
    line: str


def longest_first(rows: t.Sequence[Row]) -> list[Row]:
    """What begins as another line does goes ahead of that: FRR may bring the other one back with it, as `bfd` of a neighbor with its profile."""
    ordered: list[Row] = []
    seen: set[tuple[Address, str]] = set()
    for row in rows:
        words = row.line.split(" ")
        begins = {(row.path, " ".join(words[:count])) for count in range(1, len(words))} & seen
        ahead = (number for number, one in enumerate(ordered) if (one.path, one.line) in begins)
        ordered.insert(next(ahead) if begins else len(ordered), row)
        seen.add((row.path, row.line))
    return ordered


def difference(
    config: Config, changes: t.Mapping[Address, str | None], drops: t.Iterable[Drop]
) -> list[tuple[Address, str]]:
    """The lines, each with its path, that bring a configuration to the wanted settings, in an order that FRR takes.

    Lines go before lines come, but definitions (lists, route-maps) come before the routers that use them, and go after.
    A block goes only when everything in it does.
    """
    plan = _Difference(config, changes)
    plan.drop_wholes(drops)
    moved = plan.move_entries()
    defaults = {a: line for a, line in changes.items() if a[-1] == "passive-interface default"}
    # Without the default, an interface is active by itself; the line's negation would make it passive.
    active = None in defaults.values()
    # Changing the default makes FRR forget what the interfaces say.
    forgotten = any(config.get(a) != line for a, line in defaults.items())
    for address, line in changes.items():
        if line is None:
            if address not in moved and not (active and config.get(address) == ACTIVE):
                plan.clear(address)
        elif config.get(address) != line or (forgotten and address[-1] == PASSIVE):
            plan.set(address, line)
    return plan.lines()


def turned_on(config: Config, changes: t.Mapping[Address, t.Optional[str]]) -> Config:
    """The configuration as FRR has it once the changes turn the default that activates BGP's neighbors for IPv4.

    Those that are there stay as active as they were, and are shown with what was unsaid before. Told only of those that change.
    """
    turned = dict(config)
    for address, line in changes.items():
        if address[1:] != ("bgp default ipv4-unicast",) or config.get(address) == line:
            continue
        for made, first in config.items():
            peer = made[:1] == address[:1] and _PEER.match(made[-1])
            if not peer or len(made) != 2:
                continue
            name = peer.group(1)
            group = re.search(r" peer-group (\S+)$", first)
            at, of_group = (
                address[:1] + ("address-family ipv4 unicast", f"neighbor {who} activate")
                for who in (name, group.group(1) if group else name)
            )
            said = config.get(at, config.get(of_group))
            active = not said.startswith("no ") if said else address not in config
            turned.pop(at, None)
            if at in changes and active != (line is None):
                turned[at] = f"{'' if active else 'no '}neighbor {name} activate"
    return turned


def _rule(address: Address, line: str) -> tuple[str, str]:
    """What an entry of a list says, without its sequence number: the list, and the rest of the line."""
    return address[0].partition(" seq ")[0], line[len(address[0]) :]


def untaken(running: Config, changes: t.Mapping[Address, t.Optional[str]]) -> list[str]:
    """Each line of a change that FRR does not have, with its blocks and what it has instead."""
    left = []
    for address, line in changes.items():
        now = running.get(address)
        if now in (line, ACTIVE) or (line is None and BLOCK.match(now or "")):
            continue
        inside = f" in '{' / '.join(address[:-1])}'" if address[:-1] else ""
        kept = f" (it shows '{hide(now)}')" if now else ""
        left.append(f"the line '{hide(line or negation(now or ''))}'{inside}{kept}")
    return left

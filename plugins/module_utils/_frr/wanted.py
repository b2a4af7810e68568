# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module wants of FRR: things with their settings, and where in the configuration these are.

This file is private to the collection, and pure.
"""

from __future__ import annotations

import bisect
import functools
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr import profile as profiles
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import (
    BLOCK,
    Address,
    Config,
    canonical,
    key_of,
    negation,
)


class Thing(t.NamedTuple):
    """One thing that a module can make and remove: a process, an interface's settings, a neighbor, a list.

    name: what it is called, unique within the module.
    lines: its settings by address in the order of their dependence; None clears one.
    scope: where its lines are: pairs of a path and the beginning of a key; an empty beginning is the block itself.
    drop: a line that takes all of it away at once, with its path; None when its lines go one by one.
    renew: the change needs it to be made anew; what it has besides the wanted lines is kept.
    """

    name: str
    lines: dict[Address, t.Optional[str]]
    scope: tuple[tuple[Address, str], ...]
    drop: tuple[Address, str] | None = None
    present: bool = True
    renew: bool = False

    def holds(self, address: Address) -> bool:
        """Whether a setting belongs to this thing."""
        return within(self.scope, address)


def within(scope: t.Iterable[t.Sequence[t.Any]], address: Address) -> bool:
    """Whether an address lies in one of the pairs of a path and the beginning of a key; a line break ends a whole key."""
    for path, begin in scope:
        if address[: len(path)] == tuple(path):
            if len(address) == len(path):
                if not begin:
                    return True
            elif (address[len(path)] + "\n").startswith(begin):
                return True
    return False


class Index:
    """Settings in the order of their addresses, so that a thing finds its own among thousands by two bisections."""

    def __init__(self, config: Config) -> None:
        self.addresses = list(config)

    @functools.cached_property
    def sorted(self) -> list[tuple[Address, int]]:
        """The addresses with a line break after each part, as in scopes, where it ends a whole key; each with its place."""
        return sorted((_ended(address), place) for place, address in enumerate(self.addresses))

    def inside(self, scope: t.Iterable[t.Sequence[t.Any]]) -> list[Address]:
        """The settings in a scope, in their order."""
        places: set[int] = set()
        for path, begin in scope:
            around = _ended(path)
            low, high = (around + (begin,) if begin else around), around + (begin + _LAST,)
            places.update(
                place
                for _address, place in self.sorted[
                    bisect.bisect_left(self.sorted, (low, -1)) : bisect.bisect_left(self.sorted, (high, -1))
                ]
            )
        return [self.addresses[place] for place in sorted(places)]


# Sorts after every character that FRR takes.
_LAST = "\x7f"


def _ended(path: t.Iterable[str]) -> Address:
    return tuple(part + "\n" for part in path)


class Lines:
    """Collects the settings of a thing.

    found: the running configuration, for options whose value is the whole list.
    """

    def __init__(self, found: Config) -> None:
        self.found = found
        self.wanted: dict[Address, t.Optional[str]] = {}

    def put(self, path: Address, line: str, present: bool = True) -> None:
        """Want a line, or want its setting cleared."""
        if BLOCK.match(line):
            self.wanted[path + (line,)] = line if present else None
            return
        lines = canonical(line)
        if profiles.depends(path + (key_of(line),)):
            # Said in either case, as what FRR does unsaid depends.
            self.wanted[path + (key_of(line),)] = line if present else negation(line)
            return
        if not lines:
            self.wanted[path + (key_of(line),)] = None
        for one in lines:
            self.wanted[path + (key_of(one),)] = one if present else None

    def options(self, path: Address, params: t.Mapping[str, t.Any], rows: t.Iterable[tuple[str, str]]) -> None:
        """Want each given option of params, by rows of an option's name and its line.

        {} in a line takes the value. A line with `no ` in front belongs to an option that FRR has on by itself. None leaves a
        setting, and false, 0 and the empty text clear it.
        """
        for name, line in rows:
            value = params.get(name)
            if value is None:
                continue
            if line.startswith("no ") and "{}" not in line:
                value = not value
            # A word in the place of an empty value, so that the key is found where the value is not the last word.
            self.put(path, line.format(value or "-"), present=bool(value))

    def exactly(self, path: Address, begin: str, lines: t.Iterable[str]) -> None:
        """Want these lines, and no other whose key begins so."""
        wanted = [one for line in lines for one in canonical(line)]
        keys = {key_of(line) for line in wanted}
        for address in self.found:
            if address[:-1] == path and address[-1].startswith(begin) and address[-1] not in keys:
                self.wanted[address] = None
        for line in wanted:
            self.put(path, line)

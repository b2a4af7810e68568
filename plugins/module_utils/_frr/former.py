# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others had set where ours was put: remembered in the notes, and given back when ours goes.

This file is private to the collection, and pure. docs/architecture.md ("Objects that were there before") has the rule.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr import conf
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import BLOCK, Address, Config


class Former(t.NamedTuple):
    """A setting of others that ours took the place of.

    was: its line as it ran, None where it did not run; saved: the same of frr.conf; said: how the file said it, none for the one spelling;
    ours: the lines that we have put in its place, None for having cleared it: several while a change is under way.
    """

    was: str | None
    saved: str | None
    said: tuple[conf.Said, ...]
    ours: tuple[str | None, ...]


Formers = t.Dict[Address, Former]
Words = t.Mapping[Address, t.Tuple[conf.Said, ...]]


class Places(t.NamedTuple):
    """Where settings of others may stand: what runs, what is saved, what frr.conf says though FRR does it anyway, and in which words."""

    running: Config
    saved: Config
    idle: Config
    words: Words


def noted(note: t.Mapping[str, t.Any] | None) -> Formers:
    """What a note remembers."""
    return {
        tuple(one["address"]): Former(one["was"], one["saved"], tuple(_said(one)), tuple(one["ours"]))
        for one in (note or {}).get("former", ())
    }


def _said(one: t.Mapping[str, t.Any]) -> t.Iterator[conf.Said]:
    """The lines of the file that a note remembers."""
    address = tuple(one["address"])
    for block, text, line in one.get("said", ()):
        yield conf.Said(text, ((address, line),), tuple(block))


def for_note(formers: Formers) -> dict[str, t.Any]:
    """The part of a note that remembers; nothing where there is nothing to remember."""
    rows = []
    for address, one in formers.items():
        said = [[list(line.block or ()), line.text, line.entries[0][1]] for line in one.said]
        rows.append({"address": list(address), **one._asdict(), "said": said, "ours": list(one.ours)})
    return {"former": rows} if rows else {}


def remembered(
    formers: Formers, lines: t.Mapping[Address, str | None], places: Places, ours: t.Container[Address]
) -> Formers:
    """What others had before these lines, the first of it where ours change again; ours: the settings that they have no part in."""
    found = dict(formers)
    for address, line in lines.items():
        now, file = places.running.get(address), places.saved.get(address)
        if BLOCK.match(address[-1]) and file != address[-1]:
            # What undoes a block stays where it is, and ours stands behind it.
            file = None
        elif file is None and line is not None:
            file = places.idle.get(address)
        # What is remembered keeps its place: a second run writes the same note.
        one = found.get(address)
        if one is None and address in ours:
            continue
        # What is there is theirs where it is none of what we put.
        was = one.was if one and now in one.ours else now
        saved = one.saved if one and file in one.ours else file
        said = one.said if one and file in one.ours else places.words.get(address, ())
        theirs = [value for value in (was, saved) if value is not None]
        if any(value != line for value in theirs):
            found[address] = Former(was, saved, said, (line,))
        else:
            found.pop(address, None)
    return found


def both(old: Formers, new: Formers) -> Formers:
    """What is remembered while a change is under way: either of our lines may stand there."""
    joined = {**old, **new}
    return {
        address: one._replace(ours=tuple(dict.fromkeys(old[address].ours + one.ours))) if address in old else one
        for address, one in joined.items()
    }


def spelled(lines: t.Sequence[conf.Line], meant: t.Sequence[conf.Entries]) -> Words:
    """The lines of a file as somebody said them, by their setting, each with its block; none where one says something else as well.

    A setting may be said several times, as under `router bgp` and in its address family. A line that another one makes mean nothing counts
    where it can be put back so that it does again.
    """
    blocks: dict[conf.Path, Address] = {(): ()}
    words: dict[Address, list[conf.Said]] = {}
    mixed: set[Address] = set()
    for line, entries in zip(lines, meant):
        if not line.lives or not entries:
            continue
        if line.opens:
            blocks[(*line.path, line.text)] = entries[0][0]
            continue
        if len(entries) > 1 or line.kept or line.path not in blocks:
            mixed.update(address for address, _one in entries)
            continue
        words.setdefault(entries[0][0], []).append(conf.Said(line.text, entries, blocks[line.path]))
    return {address: _as_before(said) for address, said in words.items() if address not in mixed}


def _as_before(said: t.Sequence[conf.Said]) -> tuple[conf.Said, ...]:
    """The lines of a setting that mean the same, whichever of their blocks comes first."""
    last = said[-1]
    return tuple(one for one in said if one.entries == last.entries or one.block == last.block)

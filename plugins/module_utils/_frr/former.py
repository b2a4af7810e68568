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

    was: its line as it ran, None where it did not run; saved: the same of frr.conf; text: how the file spelled it, empty for the one
    spelling; ours: the lines that we have put in its place, None for having cleared it: several while a change is under way.
    """

    was: str | None
    saved: str | None
    text: str
    ours: tuple[str | None, ...]

    def words(self, address: Address) -> tuple[conf.Said, ...]:
        """The line of the file, as its owner spelled it."""
        return (conf.Said(self.text, ((address, self.saved or ""),)),)


Formers = t.Dict[Address, Former]


class Places(t.NamedTuple):
    """Where settings of others may stand: what runs, what is saved, and how frr.conf spells it."""

    running: Config
    saved: Config
    texts: t.Mapping[Address, str]


def noted(note: t.Mapping[str, t.Any] | None) -> Formers:
    """What a note remembers."""
    return {
        tuple(one["address"]): Former(one["was"], one["saved"], one["text"], tuple(one["ours"]))
        for one in (note or {}).get("former", ())
    }


def for_note(formers: Formers) -> dict[str, t.Any]:
    """The part of a note that remembers; nothing where there is nothing to remember."""
    rows = [{"address": list(address), **one._asdict(), "ours": list(one.ours)} for address, one in formers.items()]
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
        # What is remembered keeps its place: a second run writes the same note.
        one = found.get(address)
        if one is None and address in ours:
            continue
        # What is there is theirs where it is none of what we put.
        was = one.was if one and now in one.ours else now
        saved = one.saved if one and file in one.ours else file
        text = one.text if one and file in one.ours else places.texts.get(address, "")
        theirs = [value for value in (was, saved) if value is not None]
        if any(value != line for value in theirs):
            found[address] = Former(was, saved, text, (line,))
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


def spelled(lines: t.Sequence[conf.Line], meant: t.Sequence[conf.Entries]) -> dict[Address, str]:
    """The lines of a file as somebody spelled them, by their setting, where one says nothing else and stands in the block of today."""
    blocks: dict[conf.Path, Address] = {(): ()}
    texts: dict[Address, str] = {}
    for line, entries in zip(lines, meant):
        if line.dead or not entries:
            continue
        if line.opens:
            blocks[(*line.path, line.text)] = entries[0][0]
            continue
        for address, _one in entries:
            texts[address] = line.text if len(entries) == 1 and blocks.get(line.path) == address[:-1] else ""
    return texts

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change leaves behind: frr.conf, and the notes of what is ours.

FRR shows lines beside those that it is sent (`attribute-unchanged next-hop` beside `route-server-client`; `activate` of every neighbor
once `bgp default ipv4-unicast` is off), takes others away, and has words of its own. The file takes all of that: whatever FRR shows
otherwise after a change comes of the change, and would be lost, or back, with the next start. So nobody has to list what follows
from what. What others had not saved before stays unsaved, with what FRR shows of it now. This file is private to the collection.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr import conf, former
from ansible_collections.overloom.fabric.plugins.module_utils._frr import profile as profiles
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import Found, Notes, made_by, notes_path
from ansible_collections.overloom.fabric.plugins.module_utils._frr.saved import checked, edited, meanings, needed
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import (
    BLOCK,
    SHOWN_ANYWAY,
    Address,
    Config,
    Words,
    in_words,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.writer import Apply, Note, Save
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import AnyStep, Runner

# The name under which notes have the settings that FRR shows beside those that were declared; no thing is called so.
BESIDE = "beside"

Changes = t.Dict[Address, t.Optional[str]]


class Caller(t.Protocol):
    """Of the options of a module, what tells its notes."""

    @property
    def module(self) -> str:
        """The module's name."""

    @property
    def owner(self) -> str:
        """Whose the notes are."""


class Lasting:
    """What is written down, foretold by what FRR shows before a change, and settled by what it shows afterwards.

    saved: what the file says; notes: what is ours after the change, by owner; to_save: what the file has to say of what is declared, and
    said: the words of others for what is given back to them.
    """

    def __init__(
        self,
        runner: Runner,
        found: Found,
        saved: Config,
        notes: t.Mapping[str, Notes],
        caller: Caller,
        to_save: t.Mapping[Address, str | None],
        said: t.Mapping[Address, tuple[conf.Said, ...]],
    ) -> None:
        self.runner, self.found, self.saved, self.planned, self.caller = runner, found, saved, notes, caller
        self.to_save, self.said = to_save, said
        self.before = in_words(found.text)
        self.idle = set(in_words(found.text, idle=True)) - set(self.before)
        # What was read again already, by what was made.
        self.checked: dict[str, str] = {}
        self.ours = made_by(caller.owner) | _noted(notes.get(caller.owner, {}))

    def steps(self, apply: Apply | None) -> list[AnyStep]:
        """The change of FRR, if there is one, of frr.conf and of the notes. Raises FabricError for a file that cannot be edited."""
        kept = [step for step in self._written(self.found.text) if step.content != self._had(step)]
        if apply is None:
            return [*kept]
        foretold = {step.path: step for step in kept}

        def settle(text: str) -> None:
            for step in self._written(text):
                if step.path in foretold:
                    foretold[step.path].content = step.content
                elif step.content != self._had(step):
                    # No check mode could foretell it.
                    self.runner.do(step)

        apply.settle = settle
        self._note_ahead(apply)
        return [apply, *kept]

    def file(self, text: str) -> str:
        """frr.conf once FRR shows this. Raises FabricError when another line would mean something else."""
        after = in_words(text)
        wanted = dict(self.to_save)
        wanted.update(self._beside(after))
        words = {a: after[a] for a in wanted if self._in_these_words(a, wanted, after)}
        words.update(self.said)
        changes = unsaved(self.saved, wanted)
        spelled = {a: [one.text for one in words[a]] for a in self._turned(after) if a in words}
        # What is ours goes, also where it says what FRR does anyway.
        going = [a for a, line in wanted.items() if line is None and a in self.ours and profiles.depends(a)]
        if spelled or going:
            stands = _texts(self.found.lines)
            changes.update((a, wanted[a]) for a, texts in spelled.items() if stands.get(a) != texts)
            changes.update((a, None) for a in going if a in stands)
        if not changes:
            return self.found.saved
        made = edited(self.found.lines, changes, words)
        if made.text not in self.checked:
            self.checked[made.text] = checked(self.runner, made, text)
        return self.checked[made.text]

    def notes(self, text: str) -> dict[str, Notes]:
        """What is ours once FRR shows this, by owner."""
        after = in_words(text)
        notes: dict[str, Notes] = copied(self.planned)
        mine = notes.setdefault(self.caller.owner, {})
        beside = _noted({BESIDE: mine.pop(BESIDE, {"lines": []})})
        beside.update(a for a, line in self._beside(after).items() if line is not None and a not in self.before)
        left = sorted(a for a in beside - _noted(mine) if a in after)
        if left and mine:
            mine[BESIDE] = {"lines": [list(address) for address in left], "scope": [], "drop": None}
        return notes

    def _written(self, text: str) -> list[Save | Note]:
        """The files once FRR shows this."""
        return [Save(self.file(text)), *(self._note(owner, note) for owner, note in self.notes(text).items())]

    def _had(self, step: Save | Note) -> str:
        """What a file has now."""
        if isinstance(step, Save):
            return self.found.saved
        notes = {self._note(owner, note).path: self._note(owner, note) for owner, note in self.found.notes.items()}
        return notes[step.path].content if step.path in notes else ""

    def _note(self, owner: str, note: Notes) -> Note:
        """The file that remembers this for an owner; nothing is no file."""
        content = json.dumps(note, indent=1, sort_keys=True) + "\n" if note else ""
        return Note(notes_path(owner, self.caller.module), content)

    def _note_ahead(self, apply: Apply) -> None:
        """Have a change remembered before it comes, and what undoes that."""
        had = self.found.notes
        ahead = {owner: _joined(had.get(owner, {}), note) for owner, note in self.notes(self.found.text).items()}
        ahead = {owner: note for owner, note in ahead.items() if note != had.get(owner, {})}
        apply.back = [self._note(owner, had.get(owner, {})) for owner in ahead]
        apply.ahead = [self._note(owner, note) for owner, note in ahead.items()]

    def _beside(self, after: Words) -> Changes:
        """What turned and was not declared, where frr.conf says something else; what it says comes of itself, as while FRR starts."""
        turned = {a: _line(after, a) for a in self._turned(after) if a not in self.to_save and self._settled(a)}
        # A block that nobody sent, as FRR 10 shows `router pim` of a new VRF, comes of itself with what is in it.
        itself = {a for a in turned if len(a) == 1 and a not in self.before and BLOCK.match(a[0])}
        turned = {a: line for a, line in turned.items() if a[:1] not in itself}
        # A line of others that FRR takes away stays in the file, and the next run tells of it.
        beside = {a: line for a, line in turned.items() if self.saved.get(a) != line and (line or a in self.ours)}
        comes = {a: line for a, line in {**self.saved, **self.to_save, **beside}.items() if line is not None}
        return {a: line for a, line in beside.items() if line is None or lacking(a, comes) is None}

    def _settled(self, address: Address) -> bool:
        """Whether a setting is ours, or ran as the file says; where it did not, others have not saved theirs."""
        return address in self.ours or self.found.running.get(address) == self.saved.get(address)

    def _turned(self, after: Words) -> list[Address]:
        """The settings that FRR shows otherwise than before; a line that stood there and meant nothing is none."""
        turned = (a for a in {**self.before, **after} if self.before.get(a) != after.get(a))
        return [a for a in turned if a not in self.idle or a not in after]

    def _in_these_words(self, address: Address, wanted: Changes, after: Words) -> bool:
        """Whether a line of the file is said as FRR shows it.

        Not where the file may state other defaults than those that run, nor in a line that says something of others as well.
        """
        line = wanted[address]
        profiled = address in self.to_save and profiles.depends(address)
        if line is None or profiled or _line(after, address) != line:
            return False
        said = (entry for one in after[address] for entry in one.entries)
        return all(other == address or wanted.get(other) == text for other, text in said)


def lacking(address: Address, comes: Config) -> Address | None:
    """What a line needs that a file does not have: a block around it, or what makes its neighbor. None where nothing is missing."""
    for depth in range(1, len(address)):
        header = address[depth - 1]
        if BLOCK.match(header) and not SHOWN_ANYWAY.match(header) and address[:depth] not in comes:
            return address[:depth]
    makers = needed(address)
    return makers[0] if makers and not any(maker in comes for maker in makers) else None


def _line(words: Words, address: Address) -> str | None:
    """The line of a setting, in the one spelling; the last one counts."""
    return dict(words[address][-1].entries)[address] if address in words else None


def _texts(lines: t.Sequence[conf.Line]) -> dict[Address, list[str]]:
    """The lines of a file by what they set."""
    found: dict[Address, list[str]] = {}
    for line, entries in zip(lines, meanings(lines)):
        for address, _one in entries if line.lives else ():
            found.setdefault(address, []).append(line.text)
    return found


def _noted(notes: Notes) -> set[Address]:
    """The settings that notes have."""
    return {tuple(address) for note in notes.values() for address in note["lines"]}


def copied(notes: t.Any) -> t.Any:
    """Notes as a file holds them, which knows no tuples."""
    return json.loads(json.dumps(notes))


def _others_inside(block: Address, config: Config, changes: t.Mapping[Address, str | None]) -> Address | None:
    """A setting in a block that stays when the changes are made, or None."""
    depth = len(block)
    return next(
        (a for a in config if a[:depth] == block and a != block and changes.get(a, "") is not None),
        None,
    )


def leaving_blocks(config: Config, changes: t.Mapping[Address, str | None]) -> dict[Address, Address | None]:
    """The blocks that the changes take away, each with a setting of somebody else's in it, if there is one."""
    blocks = [a for a, line in changes.items() if line is None and BLOCK.match(config.get(a, ""))]
    return {block: _others_inside(block, config, changes) for block in blocks}


def unsaved(saved: Config, to_save: t.Mapping[Address, str | None]) -> dict[Address, str | None]:
    """The settings in which frr.conf differs; a block stays that somebody else's line is in."""
    kept = {block for block, foreign in leaving_blocks(saved, to_save).items() if foreign}
    return {a: line for a, line in to_save.items() if saved.get(a) != line and a not in kept}


def _joined(old: Notes, new: Notes) -> Notes:
    """What an owner has before a change and after it."""
    both = {**old, **new}
    return {name: {**note, **_lines_and_former(old.get(name), new.get(name))} for name, note in both.items()}


def _lines_and_former(old: t.Mapping[str, t.Any] | None, new: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """The lines of a thing before a change and after it, and what they replace."""
    lines = {tuple(line) for note in (old, new) if note for line in note.get("lines", ())}
    had = former.for_note(former.both(former.noted(old), former.noted(new)))
    return {"lines": [list(line) for line in sorted(lines)], **had}

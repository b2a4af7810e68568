# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What FRR does not read of frr.conf because a daemon refused the beginning of a block.

This file is private to the collection. vtysh knows the commands of every module, a daemon only those of the modules that
it has loaded: `rpki`, `bmp targets` and `pcep` are refused by most. vtysh then stays in the block around, so that the
closing of the refused block closes that one, and what follows is lost up to the end of the file. No dry run tells, as no
daemon takes part in it. So each block that does not run is tried: vtysh reads the file as if that line were unknown, and
what would be lost by it is held against what runs. All of it is pure.
"""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.conf import Entries, Line

# From the place of a line to the file as FRR reads it when that line is refused.
Reread = t.Callable[[int], t.Sequence[Line]]
Setting = t.Tuple[t.Tuple[str, ...], str]

# How many blocks of a kind are tried, as each takes a process or two.
_TRIES = 3


class File(t.NamedTuple):
    """frr.conf: its lines, what each of them sets, and what runs."""

    lines: t.Sequence[Line]
    meant: t.Sequence[Entries]
    running: t.FrozenSet[Setting]

    def runs(self, place: int) -> bool:
        """Whether all that a line sets runs."""
        return bool(self.meant[place]) and self.running.issuperset(self.meant[place])

    def inside(self, place: int) -> range:
        """The lines of the block that a line opens, up to its closing."""
        block = (*self.lines[place].path, self.lines[place].text)
        end = place + 1
        while end < len(self.lines) and self.lines[end].path[: len(block)] == block:
            end += 1
        return range(place + 1, end)

    def lost(self, again: t.Sequence[Line], inside: range) -> list[int]:
        """The lines behind a block that have another place, or none, when it is refused; its closing where none follows."""
        behind = range(inside.stop, len(self.lines))
        lost = [n for n in behind if self.lines[n].text and _place(self.lines[n]) != _place(again[n])]
        # A remark is nothing that FRR could lose.
        read = [n for n in inside if self.lines[n].text or self.lines[n].closes]
        if not lost and read and _end(self.lines[read[-1]]) != _end(again[read[-1]]):
            return read[-1:]
        return lost

    def read(self, lost: t.Sequence[int]) -> set[int]:
        """Those of the lost lines that FRR has read all the same, as what they set runs, and no other line sets it."""
        others = set(range(len(self.lines))) - set(lost)
        said = {setting for place in others for setting in self.meant[place]}
        settings = [n for n in lost if not self.lines[n].opens and self.runs(n) and not said.issuperset(self.meant[n])]
        # A block with a line that was read was read as well.
        around = {block for n in settings for block in lost if n in self.inside(block) and self.lines[block].opens}
        return {*settings, *around}


def mark_unread(file: File, reread: Reread, apart: bool) -> list[Line]:
    """The lines of a file, where those that FRR does not read are dead.

    apart: whether each daemon reads the file by itself, so that another one's lines are not lost (from FRR 10 on).
    """
    marked = list(file.lines)
    tried: collections.Counter[tuple[str, ...]] = collections.Counter()
    for place, line in enumerate(file.lines):
        kind = _kind(line)
        # A block that a later line undoes means nothing, and was not refused.
        undone = not file.meant[place]
        if not line.opens or undone or marked[place].dead or file.runs(place) or tried[kind] == _TRIES:
            continue
        tried[kind] += 1
        inside = file.inside(place)
        lost = file.lost(reread(place), inside)
        read = file.read(lost)
        if not lost or (read and not apart):
            continue
        for number in {place, *inside, *lost} - read:
            marked[number] = file.lines[number]._replace(dead=True)
    return marked


def _kind(line: Line) -> tuple[str, ...]:
    """The words by which blocks are of one kind: `router bgp` is another one than `router ospf`."""
    words = line.text.split()
    return (*(header.split()[0] for header in line.path), *words[: 2 if words[:1] == ["router"] else 1])


def _place(line: Line) -> tuple[t.Any, ...]:
    return line.path, line.text


def _end(line: Line) -> tuple[t.Any, ...]:
    return line.inside, line.dead

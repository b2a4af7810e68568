# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""frr.conf as settings, edited in its place: every line of others stays where it is.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr import conf
from ansible_collections.overloom.fabric.plugins.module_utils._frr.conf import CONF
from ansible_collections.overloom.fabric.plugins.module_utils._frr.refused import File, mark_unread
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import (
    ACTIVE,
    BLOCK,
    SHOWN_ANYWAY,
    Address,
    Config,
    canonical,
    hide,
    key_of,
    rank,
    release_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.spelling import Speller
from ansible_collections.overloom.fabric.plugins.module_utils._frr.words import written_out
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, Step


def meanings(lines: t.Iterable[conf.Line]) -> list[conf.Entries]:
    """What each line of the file sets, by the addresses of the running configuration; nothing where a later line undoes it."""
    paths: dict[conf.Path, Address] = {(): ()}
    speller = Speller()
    lines = list(lines)
    meant = [_meaning(line, paths, speller) for line in lines]
    for number in _undone(lines, meant):
        meant[number] = ()
    return meant


# What stands for more than one line.
_WHOLE = re.compile(
    r"no ((?:router|route-map|key chain|profile|key|neighbor|ip prefix-list|ipv6 prefix-list|bgp as-path access-list) \S+|route-map \S+ \S+ \d+"
    r"|router \S+ (?:\S+|vrf \S+)(?: vrf \S+)?|bgp \S+-list (?:standard|expanded) \S+|bfd)$"
)


def _undone(lines: t.Sequence[conf.Line], meant: t.Sequence[conf.Entries]) -> set[int]:
    """The lines that a later line takes away with others, as `no router rip` and `no neighbor 192.0.2.1` do."""
    undone: set[int] = set()
    # By the blocks around and two words, so that a line is held against few.
    begins: dict[tuple[Address, tuple[str, ...]], list[tuple[int, str]]] = {}
    if not any(line.text.startswith("no ") for line in lines):
        return undone
    for number, (line, entries) in enumerate(zip(lines, meant)):
        if line.dead or not entries:
            continue
        whole = _WHOLE.match(entries[0][1])
        if whole:
            alike = begins.get((entries[0][0][:-1], _head(whole.group(1))), [])
            undone.update(n for n, part in alike if _goes(part, whole.group(1)))
            alike[:] = [(n, part) for n, part in alike if n not in undone]
        for address, _one in entries:
            for depth, part in enumerate(address):
                # A neighbor goes with what its families have of it.
                path = address[:1] if part.startswith("neighbor ") else address[:depth]
                begins.setdefault((path, _head(part)), []).append((number, part))
    return undone


def _head(part: str) -> tuple[str, ...]:
    return tuple(part.split(" ", 2)[:2])


def _goes(part: str, whole: str) -> bool:
    """Whether a line, or a block that it is in, goes with a whole; a router of a VRF is another one."""
    rest = part[len(whole) :]
    return part.startswith(whole) and rest[:1] in ("", " ") and not rest.startswith((" vrf ", " view "))


def _meaning(line: conf.Line, paths: dict[conf.Path, Address], speller: Speller) -> conf.Entries:
    """What one line sets. paths: the addresses of the blocks so far."""
    if not line.text:
        return ()
    around = line.kept or line.path
    placed = speller.respelled(paths.get(around, around), line.text)
    if line.opens:
        path, said = placed[0]
        # A block that says what FRR does anyway is a block all the same.
        header = next(iter(canonical(said)), said)
        paths[line.path + (line.text,)] = path + (header,)
        return ((path + (header,), header),)
    return tuple((path + (key_of(one),), one) for path, said in placed for one in canonical(said))


def settings(lines: t.Sequence[conf.Line], meant: t.Sequence[conf.Entries]) -> Config:
    """The configuration that a file makes, as `parse` reads it from what runs."""
    config: Config = {}
    for line, entries in zip(lines, meant):
        for address, one in entries if line.lives else ():
            if not (line.opens and SHOWN_ANYWAY.match(one)):
                # The last one counts.
                config.pop(address, None)
                config[address] = one
    if not any(address[-1] == "passive-interface default" for address in config):
        config = {address: line for address, line in config.items() if line != ACTIVE}
    return config


def needed(address: Address) -> list[Address]:
    """The settings that have to stand before one in the file: what makes its neighbor."""
    peer = re.match(r"(neighbor \S+) ", address[-1])
    if not peer or not address[0].startswith("router bgp "):
        return []
    return [(address[0], f"{peer.group(1)} {made}") for made in ("remote-as", "peer-group", "interface")]


def mark_kept(lines: list[conf.Line], running: frozenset[tuple[Address, str]]) -> list[conf.Line]:
    """The lines of a file, where each has the block that its daemon never left, if it runs in that.

    vtysh goes from `vrf V1` to `router bgp 1` without a word to staticd, which takes the next route outside all blocks into V1.
    """
    paths: dict[conf.Path, Address] = {(): ()}
    speller = Speller()
    meant = [_meaning(line, paths, speller) for line in lines]
    said = {entry for entries in meant for entry in entries}
    inside = {one for address, one in running if address[1:]}
    # The headers that no words have closed so far.
    still: list[str] = []
    marked = []
    for line, entries in zip(lines, meant):
        outside = line.text and not line.path and not line.opens and not line.dead
        elsewhere = not running.issuperset(entries) and inside.issuperset(one for _address, one in entries)
        for header in reversed(still) if outside and elsewhere else ():
            there = _meaning(line._replace(kept=(header,)), paths, Speller())
            if running.issuperset(there) and said.isdisjoint(there):
                line = line._replace(kept=(header,))
                break
        still = _still_open(still, line)
        marked.append(line)
    return marked


def _still_open(headers: list[str], line: conf.Line) -> list[str]:
    """The headers of blocks that no words have closed after one more line."""
    if line.opens and not line.path:
        return [*(header for header in headers if header != line.text), line.text]
    if line.closes and line.path and not line.inside:
        return [header for header in headers if header != line.path[0]]
    return headers


# staticd takes routes that follow one another as one change, VRFs between them or not. When it refuses one, it takes none, and says so at
# the next line, which then is refused as well: as the header of a VRF, so that the routes in it get into the default one.
_STATIC = re.compile(r"(?:ip|ipv6) route |vrf ")
GRAMMAR = conf.Grammar(
    lambda line: bool(BLOCK.match(line)),
    rank,
    lambda line: bool(SHOWN_ANYWAY.match(line)),
    needed,
    lambda line: bool(_STATIC.match(line)),
    # All other blocks are no business of staticd's.
    lambda line: line.startswith(("interface ", "vrf ")),
)


def edit(text: str, changes: t.Mapping[Address, t.Optional[str]], lines: t.Sequence[conf.Line] = ()) -> str:
    """A configuration file with settings changed, and every other byte of it kept. lines: the file as FRR reads it."""
    lines = lines or conf.by_indentation(text, BLOCK.match)
    return conf.Editor(lines, meanings(lines), GRAMMAR).change(changes).text


# An interface named with the VRF that it is in, as FRR 7 and people write it.
_IN_VRF = re.compile(r"(interface \S+) vrf \S+$")
# What FRR shows where its VRFs are namespaces, of which each may have an interface of the name.
_NAMESPACES = re.compile(r"^(?:interface \S+ vrf | netns )", re.M)


def without_vrfs(lines: list[conf.Line], text: str) -> list[conf.Line]:
    """The lines of a file, with interfaces as FRR shows them: the kernel's VRFs are no part of their names. text: what runs."""
    bare: dict[str, str] = {}
    for line in lines:
        named = _IN_VRF.match(written_out((), line.text)) if line.opens and not line.path else None
        if named:
            bare[line.text] = named.group(1)
    if not bare or _NAMESPACES.search(text):
        return lines

    def shown(line: conf.Line) -> conf.Line:
        path = tuple(bare.get(header, header) if depth == 0 else header for depth, header in enumerate(line.path))
        return line._replace(path=path, text=line.text if path else bare.get(line.text, line.text))

    return [shown(line) for line in lines]


def saved_lines(
    runner: Runner, saved: str, text: str, known: t.Collection[tuple[Address, str]] = frozenset()
) -> list[conf.Line]:
    """The lines of frr.conf in their blocks. vtysh is asked only where the file is not what FRR shows of itself.

    known: lines beside these, each with its block, that FRR takes there.
    """
    lines = conf.by_indentation(saved, BLOCK.match)
    if conf.closed(lines):
        shown = {(line.path, line.text) for line in conf.by_indentation(text, BLOCK.match)}.union(known)
        if all((line.path, line.text) in shown for line in lines if line.text):
            return lines

    def read_again(refused: int | None = None) -> list[conf.Line]:
        read = conf.read(saved, lambda argv, asked: runner.run(Step(argv, asked))[1:], BLOCK.match, refused)
        return without_vrfs(read, text)

    lines = read_again()
    if not text:
        return lines
    runs = meanings(conf.by_indentation(text, BLOCK.match))
    running = frozenset(setting for entries in runs for setting in entries)
    lines = mark_kept(lines, running)
    # A daemon of FRR 10 takes all routes of the file or none.
    apart = release_of(text) >= 10
    lines = mark_unread(File(lines, meanings(lines), running), read_again, apart)
    return lines if apart else mark_refused(lines, running)


def mark_refused(lines: list[conf.Line], running: frozenset[tuple[Address, str]]) -> list[conf.Line]:
    """The lines of a file, where each route that does not run is one that FRR may have refused.

    Those are idle that it has refused together: none of them runs, unless it is said elsewhere as well.
    """
    runs = {address for address, _line in running}
    meant = meanings(lines)

    def may_be_refused(line: conf.Line, entries: conf.Entries) -> bool:
        return not line.dead and any(" route " in one[:11] and address not in runs for address, one in entries)

    lines = [line._replace(refused=may_be_refused(line, entries)) for line, entries in zip(lines, meant)]
    if not any(line.refused for line in lines):
        return lines
    said = collections.Counter(one for entries in meant for one in entries)
    idle: set[int] = set()
    for group in conf.Editor(lines, meant, GRAMMAR).groups():
        here = [number for number in group if meant[number] and not lines[number].dead]
        silent = {number for number in here if not running.issuperset(meant[number])}
        inside = collections.Counter(one for number in here for one in meant[number])
        if silent and all(number in silent or all(said[one] > inside[one] for one in meant[number]) for number in here):
            idle.update(here)
    return [
        line._replace(refused=line.refused or number in idle, idle=number in idle) for number, line in enumerate(lines)
    ]


def edited(
    lines: t.Sequence[conf.Line],
    changes: t.Mapping[Address, t.Optional[str]],
    words: t.Mapping[Address, t.Sequence[conf.Said]],
) -> conf.Edited:
    """frr.conf with settings changed. words: the lines by which FRR says settings."""
    return conf.Editor(lines, meanings(lines), GRAMMAR).change(changes, words)


def checked(runner: Runner, made: conf.Edited, text: str) -> str:
    """The text of a changed file, read again as FRR would. text: what runs.

    Raises FabricError when another line would mean something else.
    """
    lost = _lost(runner, made, made.text, text)
    if lost and made.closed != made.text:
        lost = _lost(runner, made, made.closed, text)
        if not lost:
            return made.closed
    if lost:
        path, line = lost[0]
        raise FabricError(
            f"{CONF}: '{hide(line)}' in '{' / '.join(path) or 'no block'}' would not be read as before; close the blocks of the file with 'exit'"
        )
    return made.text


def _lost(runner: Runner, made: conf.Edited, file: str, text: str) -> list[tuple[Address, str]]:
    """The lines, each with its blocks, that a changed file would not have as often as it should."""
    again = saved_lines(runner, file, text, made.added)
    now = conf.counted(again, meanings(again))
    return [one for one, times in made.lines.items() if now[one] != times]

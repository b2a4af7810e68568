# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""frr.conf as settings, edited in its place: every line of others stays where it is.

This file is private to the collection.
"""

from __future__ import annotations

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
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, Step


def meanings(lines: t.Iterable[conf.Line]) -> list[conf.Entries]:
    """What each line of the file sets, by the addresses of the running configuration."""
    paths: dict[conf.Path, Address] = {(): ()}
    speller = Speller()
    return [_meaning(line, paths, speller) for line in lines]


def _meaning(line: conf.Line, paths: dict[conf.Path, Address], speller: Speller) -> conf.Entries:
    """What one line sets. paths: the addresses of the blocks so far."""
    if not line.text:
        return ()
    placed = speller.respelled(paths.get(line.path, line.path), line.text)
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
        for address, one in () if line.dead else entries:
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


GRAMMAR = conf.Grammar(lambda line: bool(BLOCK.match(line)), rank, lambda line: bool(SHOWN_ANYWAY.match(line)), needed)


def edit(text: str, changes: t.Mapping[Address, t.Optional[str]], lines: t.Sequence[conf.Line] = ()) -> str:
    """A configuration file with settings changed, and every other byte of it kept. lines: the file as FRR reads it."""
    lines = lines or conf.by_indentation(text, BLOCK.match)
    return conf.Editor(lines, meanings(lines), GRAMMAR).change(changes).text


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
        return conf.read(saved, lambda argv, asked: runner.run(Step(argv, asked))[1:], BLOCK.match, refused)

    lines = read_again()
    if not text:
        return lines
    runs = meanings(conf.by_indentation(text, BLOCK.match))
    running = frozenset(setting for entries in runs for setting in entries)
    return mark_unread(File(lines, meanings(lines), running), read_again, release_of(text) >= 10)


def edited(
    lines: t.Sequence[conf.Line],
    changes: t.Mapping[Address, t.Optional[str]],
    words: t.Mapping[Address, t.Sequence[conf.Said]],
) -> conf.Edited:
    """frr.conf with settings changed. words: the lines by which FRR says settings."""
    return conf.Editor(lines, meanings(lines), GRAMMAR).change(changes, words)


def check_edited(runner: Runner, made: conf.Edited, text: str) -> None:
    """Read a changed file again as FRR would. Raises FabricError when another line would mean something else. text: what runs."""
    again = saved_lines(runner, made.text, text, made.added)
    now = conf.counted(again, meanings(again))
    lost = [(path, line) for path, line in made.lines if now[path, line] != made.lines[path, line]]
    if lost:
        path, line = lost[0]
        raise FabricError(
            f"{CONF}: '{hide(line)}' in '{' / '.join(path) or 'no block'}' would not be read as before; close the blocks of the file with 'exit'"
        )

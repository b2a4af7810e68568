# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One read of FRR: what runs, what is saved, and what was noted as ours.

This file is private to the collection.
"""

from __future__ import annotations

import glob
import json
import os
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr import conf, vtysh
from ansible_collections.overloom.fabric.plugins.module_utils._frr.conf import CONF
from ansible_collections.overloom.fabric.plugins.module_utils._frr.files import apart, own_files
from ansible_collections.overloom.fabric.plugins.module_utils._frr.runner import check_allowed
from ansible_collections.overloom.fabric.plugins.module_utils._frr.saved import saved_lines
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import Address, Config, parse, release_of
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

DAEMONS = "/etc/frr/daemons"
NOTES = "/etc/overloom/frr"
READ = ("vtysh", "-c", "show running-config no-header", "-c", "show daemons")


Notes = t.Dict[str, t.Dict[str, t.Any]]


class Found(t.NamedTuple):
    """What one read saw.

    running: the running configuration; text: the same as FRR shows it; daemons: those that vtysh is connected to.
    saved: the text of frr.conf; lines: the same as FRR reads it; profile: what FRR starts with where the file states none.
    notes: for each owner what a module made: by a thing's name `lines` (addresses), `scope` and `drop`.
    """

    running: Config
    text: str
    daemons: tuple[str, ...]
    saved: str
    notes: dict[str, Notes]
    lines: t.Sequence[conf.Line] = ()
    profile: str = "traditional"


def release(found: Found) -> int:
    """The first number of FRR's version; 0 where it does not run."""
    return release_of(found.text)


def notes_path(owner: str, module: str) -> str:
    """The file that remembers what a module made for an owner, as FRR keeps no comment that could."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", owner, re.ASCII):
        raise FabricError(
            f"owner {owner!r} cannot be part of a file name; use letters, digits, dots, hyphens and underscores"
        )
    return f"{NOTES}/{owner}-{module}.json"


def divided(out: str) -> tuple[str, tuple[str, ...]]:
    """What READ printed: the running configuration, and the daemons that vtysh is connected to."""
    text, _end, rest = out.rpartition("\nend")
    return text, tuple(rest.split())


def read(runner: Runner, module: str, last: str | None = None) -> Found:
    """Read the running configuration, frr.conf and the notes of a module, once FRR has read its file. Spawns one process.

    last: what READ prints now, where that is known; then no process is spawned.
    Raises FabricError when this user may not, or FRR keeps its configuration in several files. That FRR does not run is left to `compare`.
    """
    if last is None:
        vtysh.await_loaded()
    status, out, err = runner.run(READ) if last is None else (0, last, "")
    check_allowed(status, out + err)
    text, daemons = divided(out) if status == 0 else ("", ())
    own = () if os.path.exists(CONF) else own_files()
    if own:
        raise apart(own)
    if "no service integrated-vtysh-config" in text:
        raise FabricError(
            "FRR keeps a file for each daemon; put 'service integrated-vtysh-config' into /etc/frr/vtysh.conf, as the role frr_router does"
        )
    notes: dict[str, Notes] = {}
    for path in glob.glob(f"{glob.escape(NOTES)}/*-{module}.json"):
        content = _read(path)
        try:
            notes[os.path.basename(path)[: -len(f"-{module}.json")]] = json.loads(content)
        except ValueError as error:
            raise FabricError(f"{path} is not JSON ({error}); mend it, or remove it to forget what was made") from error
    saved = _read(CONF)
    profile = re.search(r"""^\s*frr_profile=["']?(\w+)""", _read(DAEMONS), re.M)
    lines = saved_lines(runner, saved, text)
    return Found(parse(text), text, daemons, saved, notes, lines, profile.group(1) if profile else "traditional")


def _read(path: str) -> str:
    try:
        # A carriage return at the end of a line is a byte of somebody's as well.
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise FabricError(f"{path} cannot be read: {error.strerror}") from error


def made_by(owner: str) -> set[Address]:
    """The settings that an owner's modules have made."""
    made: set[Address] = set()
    for path in glob.glob(f"{glob.escape(NOTES)}/{glob.escape(owner)}-frr_*.json"):
        try:
            notes = json.loads(_read(path))
        except ValueError:
            # The module whose notes these are says so.
            continue
        made.update(tuple(address) for note in notes.values() for address in note["lines"])
    return made

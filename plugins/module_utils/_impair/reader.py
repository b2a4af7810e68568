# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The impairments that a host has.

This file is private to the collection.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._systemd import read_units

KIND = "impair"
# Not /etc: a boot finds nothing there.
FOLDER = "/run/systemd/system"


def impairments(owner: str | None = None) -> list[dict[str, t.Any]]:
    """The impairments of this host, in the order of their names: of one owner, or of all. Spawns nothing."""
    rows = []
    for file, unit in sorted(read_units(KIND, FOLDER).items()):
        notes = unit.notes()
        try:
            begun = os.stat(f"{FOLDER}/{file}").st_mtime
        except OSError:
            # It has ended meanwhile.
            continue
        if "Seconds" not in notes or (owner is not None and notes.get("Owner") != owner):
            continue
        length = int(notes["Seconds"])
        left = max(0, round(length - (time.time() - begun)))
        row = {key.lower(): notes.get(key) for key in ("Name", "Owner", "Interface", "Netns", "Effect")}
        rows.append({**row, "seconds": length, "left": min(left, length)})
    return rows

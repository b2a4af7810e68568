# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a report on the controller: each whole or not at all, whoever else writes there.

This file is private to the collection.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import typing as t


def write(folder: str, texts: t.Mapping[str, str | bytes]) -> None:
    """Put files into a folder, which is made if need be. texts: by the names of the files."""
    os.makedirs(folder, exist_ok=True)
    for name, text in texts.items():
        handle, path = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
        with os.fdopen(handle, "wb") as stream:
            stream.write(text if isinstance(text, bytes) else text.encode("utf-8"))
        os.chmod(path, 0o644)
        os.replace(path, os.path.join(folder, name))


def remove(folder: str | None, names: t.Iterable[str]) -> None:
    """Remove the files of an earlier run, so that nobody takes them for this one's."""
    for name in names if folder else ():
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(folder or "", name))

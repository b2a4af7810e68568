# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the root of the tests' lab hosts: Python compiles each source of a zip file once, and not twice at each start of a module.

Ansible sends a module as a zip file, which has no compiled code beside its sources; a fifth of a test's time went into compiling the same lines.
A file compiled_once.pth has Python import this one at its start (site.py). Hosts of users have nothing of it.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import types
import zipimport

FOLDER = "/var/cache/overloom-compiled"

_compile = getattr(zipimport, "_compile_source", None)
_known: dict[str, types.CodeType] = {}


def compiled(path: str, source: bytes) -> types.CodeType:
    """The code of a source in a zip file, from this process, from the folder, or compiled now."""
    import hashlib  # a start of Python without a zip file does without it  # pylint: disable=import-outside-toplevel

    name = hashlib.sha256(source + path.rpartition(".zip")[2].encode()).hexdigest()
    if name not in _known:
        _known[name] = _kept(f"{FOLDER}/{name}") or _compiled_now(f"{FOLDER}/{name}", path, source)
    return _known[name]


def _kept(file: str) -> types.CodeType | None:
    with contextlib.suppress(OSError, EOFError, ValueError, TypeError), open(file, "rb") as stream:
        return marshal.load(stream)
    return None


def _compiled_now(file: str, path: str, source: bytes) -> types.CodeType:
    code = _compile(path, source)
    # Whoever may not write there compiles each time.
    with contextlib.suppress(OSError):
        os.makedirs(FOLDER, mode=0o755, exist_ok=True)
        with open(f"{file}.{os.getpid()}", "wb") as stream:
            marshal.dump(code, stream)
        os.replace(f"{file}.{os.getpid()}", file)
    return code


if _compile is not None:
    zipimport._compile_source = compiled  # type: ignore[attr-defined]

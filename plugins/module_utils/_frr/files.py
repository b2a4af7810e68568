# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR's files, which others may keep elsewhere: behind a link, with rights of their own, as a mount, on a file system that only reads.

This file is private to the collection.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.conf import CONF
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Write, text_of

# Of a file that is made.
MODE = 0o640
# What has vtysh keep one file for all daemons, and where it is said.
VTYSH_CONF = "/etc/frr/vtysh.conf"
INTEGRATED = "service integrated-vtysh-config"
# The file of one daemon, or of one instance of it. FRR reads none of them where frr.conf is there.
_OWN_FILE = re.compile(r"(?:zebra|[a-z][a-z0-9]*d)(?:-\d+)?\.conf")


def own_files() -> tuple[str, ...]:
    """The files of single daemons that say something."""
    folder = os.path.dirname(CONF)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return tuple(f"{folder}/{name}" for name in names if _OWN_FILE.fullmatch(name) and _says(f"{folder}/{name}"))


def _says(path: str) -> bool:
    lines = (text_of(path) or "").splitlines()
    return any(line.strip() and not line.lstrip().startswith(("!", "#")) for line in lines)


def apart(own: t.Sequence[str]) -> FabricError:
    """The error where FRR reads a file for each daemon, which one file for all would silence."""
    return FabricError(
        f"FRR keeps a file for each daemon here ({', '.join(own)}), which it would no longer read; "
        f"put '{INTEGRATED}' into {VTYSH_CONF} and run vtysh -c 'write integrated' to have them in {CONF}, then run this again"
    )


def check_writable(path: str) -> None:
    """Raises FabricError where a file could not be written, so that it is said before anything changes."""
    path = os.path.realpath(path)
    try:
        if os.path.exists(path):
            os.close(os.open(path, os.O_WRONLY))
        elif os.path.isdir(os.path.dirname(path)) and not os.access(os.path.dirname(path), os.W_OK):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    except OSError as error:
        raise FabricError(
            f"{path} cannot be written ({error.strerror}), so FRR's next start would not know of this; make it writable"
        ) from error


def rewrite(path: str, content: str) -> bool:
    """Write a file where it is, with the owner and the rights that it has. Returns whether it is new."""
    path = os.path.realpath(path)
    new = not os.path.exists(path)
    try:
        Write(path, content, MODE if new else stat.S_IMODE(os.stat(path).st_mode)).do()
    except OSError as error:
        # One that is mounted by itself, as engines of containers do, cannot be replaced.
        if error.errno != errno.EBUSY:
            raise
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    return new

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change of a host at a time: two runs take turns, module by module.

This file is private to the collection. The lock is the name of an abstract Unix socket (unix(7)): the kernel keeps it for each host
by itself, no file is left, and it is free as soon as the process that holds it is gone, whatever ended it. A second socket, whose
name is never asked for, tells who holds the lock.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
import typing as t

# How long a run waits for another one's module, in seconds; the start of guests takes the longest.
PATIENCE = 300.0
_LOCK = "\0overloom-lock/{}"
_HOLDER = "overloom-holder/{}/"


@contextlib.contextmanager
def host_lock(what: str, who: str, patience: float = PATIENCE) -> t.Iterator[None]:
    """Hold the lock of a part of the host. who: how others call the holder. Raises TimeoutError after waiting in vain."""
    with contextlib.ExitStack() as held:
        lock = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        until = time.monotonic() + patience
        while not _bound(lock, _LOCK.format(what)):
            if time.monotonic() > until:
                raise TimeoutError(
                    f"another run is changing this host ({holder(what) or 'unknown'}), since more than {patience:.0f} s; wait for its end"
                )
            time.sleep(0.05)
        sign = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        _bound(sign, f"\0{_HOLDER.format(what)}{who[:60]}")
        yield


def _bound(end: socket.socket, name: str) -> bool:
    try:
        end.bind(name)
    except OSError:
        return False
    return True


def holder(what: str) -> str | None:
    """Who holds a lock, as it calls itself."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as stream:
        found = re.search(rf"@{re.escape(_HOLDER.format(what))}(.*)", stream.read())
    return found.group(1).strip() if found else None


def caller(module_name: str, owner: str) -> str:
    """How a module's process is called: what runs, for whom, from where, and its number."""
    client = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    origin = f" from {client}" if client else ""
    return f"{module_name} for {owner}{origin}, process {os.getpid()}"

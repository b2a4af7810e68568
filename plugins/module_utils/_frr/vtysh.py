# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transport of lines to vtysh: a file without a name instead of a pipe.

This file is private to the collection. From FRR 10 on, `vtysh -f` starts a process for each daemon, and each opens the file by itself. From a
pipe each would read some of the bytes, and the exit status would be 0. The file is in memory and has no name, so that no secret
stays behind, however the run ends.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import socket
import time
import typing as t

STDIN = "/dev/stdin"
# The file in the commands that are shown, which a person can repeat with any FRR.
SHOWN = "change.conf"

# Seconds that a command of FRR may take; thousands of lines take some, and a look takes few.
LONGEST = 300
LOOK = 20
# Where each daemon of FRR listens for vtysh, and the seconds in which one that works answers.
SOCKETS = "/var/run/frr/*.vty"
ANSWER = 3
# Processes, and the seconds that FRR may take to read its file when it starts; watchfrr by itself gives it 20.
PROCESSES = "/proc"
START = 120
# Each with an argument that it has while FRR starts: what starts the daemons, and what then hands the file on to them.
_STARTERS = {"watchfrr.sh": ("start", "restart"), "vtysh": ("-b",)}

# What the processes of FRR 10 say of themselves.
_PROGRESS = re.compile(r"^(?:\[\d+\|\w+\] .*|Waiting for children to finish applying config.*)\n?", re.M)


@contextlib.contextmanager
def nameless_file(text: str) -> t.Iterator[int]:
    """The descriptor of a file that holds a text and is gone afterwards."""
    with os.fdopen(os.memfd_create("vtysh"), "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(text)
        stream.flush()
        yield stream.fileno()


def hanging() -> list[str]:
    """The daemons of FRR that take a connection and do not answer. A daemon that does not run refuses it, and is none of them. Spawns nothing."""
    found = []
    for path in sorted(glob.glob(SOCKETS)):
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as link:
            link.settimeout(ANSWER)
            try:
                link.connect(path)
                link.sendall(b"show version\0")
                link.recv(1)
            except (socket.timeout, BlockingIOError):
                found.append(os.path.basename(path)[: -len(".vty")])
            except OSError:
                continue
    return found


def loading() -> bool:
    """Whether FRR is starting, or reads its file: its daemons answer before they have all of it. Spawns nothing."""
    for path in glob.glob(f"{PROCESSES}/[0-9]*"):
        # One may be gone, and those of other users or of containers are not of this FRR.
        with contextlib.suppress(OSError):
            with open(f"{path}/cmdline", "rb") as stream:
                words = [os.path.basename(word) for word in stream.read().decode("utf-8", "replace").split("\0")]
            name = next((word for word in words[:2] if word in _STARTERS), "")
            if name and set(_STARTERS[name]).intersection(words) and _is_here(path):
                return True
    return False


def _is_here(path: str) -> bool:
    return os.readlink(f"{path}/ns/pid") == os.readlink(f"{PROCESSES}/self/ns/pid")


def await_loaded() -> None:
    """Wait until FRR has read its file; not for ever, as what does not end by then is told by what is asked next."""
    end = time.monotonic() + START
    while loading() and time.monotonic() < end:
        time.sleep(0.1)


def execute(module: t.Any, argv: t.Sequence[str], text: str | None, longest: int = LONGEST) -> tuple[int, str, str]:
    """Run a command of FRR that ends in time, and give it a text as the file that it knows as standard input."""
    # A daemon that hangs would make vtysh wait for ever.
    command = ["timeout", "--kill-after=5", str(longest), *argv]
    options = {"environ_update": {"LC_ALL": "C"}, "handle_exceptions": False}
    if text is None:
        return module.run_command(command, **options)
    with nameless_file(text) as descriptor:
        command = [f"/proc/self/fd/{descriptor}" if word == STDIN else word for word in command]
        status, out, err = module.run_command(command, pass_fds=(descriptor,), **options)
    return status, _PROGRESS.sub("", out), _PROGRESS.sub("", err)


def shown(text: str) -> str:
    """A change as a person would type it, with whatever FRR."""
    return f"install -m 0600 {STDIN} {SHOWN} <<'EOF'\n{text.rstrip()}\nEOF\nvtysh -f {SHOWN}"

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow a container: whenever it runs, its network namespace has a name, and the veth pairs that were declared for that name.

    python3 FILE ENGINE CONTAINER NAMESPACE UNIT

This file is private to the collection, and a program of its own: netns_veth writes it to the host, where a service runs it. A
container's first process is asked for only while none is known; that it lives is seen in /proc, which starts nothing.
"""

# A program of its own has no AnsibleModule to run commands.
# pylint: disable=ansible-bad-function
from __future__ import annotations

import os
import subprocess
import sys
import time
import typing as t

FOLDER = "/run/netns"
# Seconds between two looks at the process of a container that runs, and at most between two questions for one that does not.
LOOK, ASK = 0.2, 1.0


def identity(path: str) -> tuple[int, int] | None:
    """What tells a namespace from all others."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def first_process(engine: str, container: str) -> int:
    """The first process of a container; 0 while it does not run."""
    command = [engine, "inspect", "--type=container", "--format={{.State.Pid}}", container]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    text = done.stdout.decode("utf-8", "replace").strip()
    return int(text) if done.returncode == 0 and text.isdigit() else 0


def let_go(name: str) -> None:
    """Take the name from the namespace of a container that has ended; with it, the kernel removes the veth pairs."""
    if os.path.exists(os.path.join(FOLDER, name)):
        subprocess.run(["ip", "netns", "delete", name], check=False)


def attach(pid: int, name: str, unit: str) -> bool:
    """Name the namespace of a process and plug it in; whether that was done, or was so already."""
    if identity(os.path.join(FOLDER, name)) == identity(f"/proc/{pid}/ns/net"):
        return True
    let_go(name)
    if subprocess.run(["ip", "netns", "attach", name, str(pid)], check=False).returncode:
        return False
    if subprocess.run(["systemctl", "restart", unit], check=False).returncode == 0:
        return True
    # Else it would count as plugged in.
    let_go(name)
    return False


def follow(engine: str, container: str, name: str, unit: str, rounds: t.Iterable[object] = iter(int, 1)) -> None:
    """Follow a container for ever."""
    pause = LOOK
    for _round in rounds:
        pid = first_process(engine, container)
        space = identity(f"/proc/{pid}/ns/net") if pid else None
        if space is None:
            let_go(name)
            time.sleep(pause)
            pause = min(2 * pause, ASK)
            continue
        if attach(pid, name, unit):
            pause = LOOK
            while identity(f"/proc/{pid}/ns/net") == space:
                time.sleep(LOOK)
        else:
            time.sleep(ASK)


if __name__ == "__main__":
    follow(*sys.argv[1:5])

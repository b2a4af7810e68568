# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces of containers and processes: whose namespace has a declared name, found out, and kept over restarts.

This file is private to the collection. The namespace of a container has no name by itself. It gets one (`ip netns attach`), and is
then a namespace of others like any: it gets the declared interfaces, and is never removed. A service follows the container.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._container.podman import check_container_name
from ansible_collections.overloom.fabric.plugins.module_utils._netns import follower as _follower
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import FOLDER, identity
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    Command,
    Unit,
    service,
    unit_name,
)

ENGINES = ("podman", "docker")
UNIT_KIND = "follow"
SCRIPTS = "/var/lib/overloom/follow"


class Source(t.NamedTuple):
    """Whose namespace it is: that of a container of an engine, or of a process."""

    container: str | None = None
    engine: str = "podman"
    pid: int | None = None

    @property
    def what(self) -> str:
        """How errors call it."""
        return f"process {self.pid}" if self.container is None else f"container {self.container} of {self.engine}"


class Place(t.NamedTuple):
    """Where the namespace of a source is.

    pid: its first process, 0 without one. attached: whether it has its name. taken: whether the name stands for another one.
    """

    pid: int
    attached: bool
    taken: bool = False

    @property
    def path(self) -> str:
        """The namespace's file."""
        return f"/proc/{self.pid}/ns/net"


def declared_source(item: t.Mapping[str, t.Any], what: str) -> Source | None:
    """The source that an item declares."""
    container, pid = item.get("container"), item.get("pid")
    if container is not None and pid is not None:
        raise FabricError(f"{what}: container and pid exclude each other; give one of them")
    if pid is not None:
        if pid < 1:
            raise FabricError(f"{what}: pid must be the number of a process, not {pid}")
        return Source(pid=pid)
    if container is None:
        return None
    return Source(check_container_name(container, f"{what}: container"), item.get("engine") or "podman")


def find(runner: Runner, name: str, source: Source) -> Place:
    """Where the namespace of a source is."""
    pid = source.pid if source.pid is not None else _first_process(runner, source)
    space = identity(f"/proc/{pid}/ns/net") if pid else None
    if space is None:
        return Place(0, False)
    if space == identity("/proc/self/ns/net"):
        raise FabricError(
            f"namespace {name}: {source.what} has the host's own network; run it with a network of its own, as with --network=none"
        )
    named = identity(os.path.join(FOLDER, name))
    return Place(pid or 0, named == space, named not in (None, space))


def _first_process(runner: Runner, source: Source) -> int:
    command = (source.engine, "inspect", "--type=container", "--format={{.State.Pid}}", str(source.container))
    status, out, _err = runner.run(command)
    if status == 127:
        raise FabricError(f"{source.engine} is not installed on this host; install it, or correct engine")
    return int(out) if status == 0 and out.strip().isdigit() else 0


def script(name: str) -> str:
    """The file of the program that follows a container for a namespace."""
    return f"{SCRIPTS}/{name}.py"


def script_source() -> str:
    """The program's text: it runs after the task, so it cannot stay in the task's archive."""
    return t.cast(t.Any, _follower.__loader__).get_source(_follower.__name__)


def follow_unit(name: str, source: Source, plug: str) -> Unit:
    """The service that follows a container. plug: the unit that plugs it in."""
    engine = {"podman": [], "docker": ["docker.service"]}[source.engine]
    return service(
        UNIT_KIND,
        name,
        f"Follow {source.what} for network namespace {name}",
        {},
        unit={"After": " ".join(["network-pre.target", *engine]), "StartLimitIntervalSec": "0"},
        settings={"Type": "simple", "Restart": "always", "RestartSec": "1"},
        commands=[("ExecStart", Command(("python3", script(name), source.engine, str(source.container), name, plug)))],
        wanted_by=["multi-user.target"],
    )


def follow_name(name: str) -> str:
    """The name of that service."""
    return unit_name(UNIT_KIND, name)

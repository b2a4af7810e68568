# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers of a host, as Podman and Docker tell of them.

This file is private to the collection. One process lists all containers, and one each distinct image.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, Step

# The label with the owner mark.
LABEL = "overloom-owner"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
LIST = Step(("podman", "ps", "--all", "--no-trunc", "--format", "json"))


class Container(t.NamedTuple):
    """A container. owner: the owner mark, or None. pid: its first process, 0 while it does not run."""

    name: str
    id: str
    image: str
    image_id: str
    pid: int
    running: bool
    owner: str | None

    def uses(self) -> list[str]:
        """The traces of its user, in words."""
        return [f"{'runs' if self.running else 'was made from'} image {self.image}"]


def check_container_name(name: str, what: str) -> str:
    """A name that Podman takes for a container."""
    if not _NAME.fullmatch(name):
        raise FabricError(
            f"{what}: {name!r} is no name for a container; give 1 to 63 letters, digits, '_', '.' and '-', "
            "the first of them a letter or a digit"
        )
    return name


def parse_list(text: str) -> dict[str, Container]:
    """The containers by name, from `podman ps --format json`."""
    try:
        rows = json.loads(text or "[]") or []
    except ValueError as error:
        raise FabricError(f"podman ps did not answer with JSON: {error}") from error
    found = [_container(row) for row in rows]
    return {container.name: container for container in found}


def _container(row: dict[str, t.Any]) -> Container:
    running = row.get("State") == "running"
    return Container(
        name=(row.get("Names") or [""])[0],
        id=row["Id"],
        image=row.get("Image") or "",
        image_id=row.get("ImageID") or "",
        pid=int(row.get("Pid") or 0) if running else 0,
        running=running,
        owner=(row.get("Labels") or {}).get(LABEL),
    )


def containers(runner: Runner) -> dict[str, Container] | None:
    """The containers by name; None where Podman is not installed."""
    status, out, err = runner.run(LIST)
    if status == 127:
        return None
    if status != 0:
        raise FabricError(f"{LIST.shown()} ended with {status}: {(err or out).strip()}")
    return parse_list(out)


def image_ids(runner: Runner, images: t.Iterable[str]) -> dict[str, str]:
    """The id of each image that is on the host, by the name that it is asked for with."""
    found = {}
    for image in sorted(set(images)):
        status, out, _err = runner.run(("podman", "image", "inspect", "--format", "{{.Id}}", image))
        if status == 0:
            found[image] = out.strip()
    return found


def may_make_cgroups(root: str = "/sys/fs/cgroup") -> bool:
    """Whether this host may make control groups: as a container itself, it may not. The first version's root is read-only everywhere."""
    first = os.path.join(root, "memory")
    return os.access(first if os.path.isdir(first) else root, os.W_OK)

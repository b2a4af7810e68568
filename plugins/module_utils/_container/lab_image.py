# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small image for containers of labs, made of the host's own BusyBox.

This file is private to the collection.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._container.service import check_image
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Runner,
    Step,
    module_runner,
    reconcile,
)

APPLETS = (
    "arp arping cat cp cut date df echo env false grep head hostname httpd id ifconfig ip kill ln ls mkdir nc nslookup ping ps rm route sed sh "
    "sleep sort stat tail telnet test top touch tr traceroute true udhcpc uname vi wc wget"
).split()
# A shell as the first process has to be told to end.
COMMAND = ("sh", "-c", "trap exit TERM; httpd -p 80 -h /www; while :; do sleep 1 & wait $!; done")
PAGE = b"A container of overloom.fabric's lab.\n"


def archive(busybox: bytes) -> bytes:
    """The image's files as a tar archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, content, mode in (("bin/busybox", busybox, 0o755), ("www/index.html", PAGE, 0o644)):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
        for applet in APPLETS:
            member = tarfile.TarInfo(f"bin/{applet}")
            member.type, member.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(member)
    return stream.getvalue()


class Import(t.NamedTuple):
    """A step that imports the image."""

    path: str
    name: str
    runner: Runner

    def argv(self, file: str) -> tuple[str, ...]:
        """The command with the file of the archive."""
        changes = (f"CMD {json.dumps(COMMAND)}", "ENV PATH=/bin")
        return (
            *("podman", "import", "--quiet"),
            *(f"--change={change}" for change in changes),
            *(file, self.name),
        )

    def shown(self) -> str:
        """The command that a person can repeat, with an archive of BusyBox and its applets."""
        return Step(self.argv("busybox.tar")).shown()

    def do(self) -> None:
        """Import it from a file that is gone afterwards."""
        with open(self.path, "rb") as stream:
            content = archive(stream.read())
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            file.write(content)
            file.flush()
            self.runner(self.argv(file.name))


def run(module: t.Any) -> None:
    """The module lab_container_image."""
    runner, name = module_runner(module), module.params["name"]
    wanted = module.params["state"] == "present"

    def read() -> bool:
        status, _out, err = runner.run(("podman", "image", "exists", check_image(name, "name")))
        if status == 127 and wanted:
            raise FabricError("Podman is not installed on this host; install the package podman")
        if status not in (0, 1, 127):
            raise FabricError(f"podman image exists {name} ended with {status}: {err.strip()}")
        return status == 0

    def compare(there: bool) -> Change:
        if there == wanted:
            return Change([], {}, {})
        step = Import(_busybox(), name, runner) if wanted else Step(("podman", "image", "rm", name))
        return Change([step], {"image": name if there else None}, {"image": name if wanted else None})

    reconcile(module, read, compare, runner, state=lambda _there: {})


def _busybox() -> str:
    """The path of the host's BusyBox."""
    path = shutil.which("busybox", path="/usr/local/bin:/usr/bin:/bin")
    if path is None or not os.path.isfile(path):
        raise FabricError("the image needs BusyBox; install the package that Debian calls busybox-static")
    return path

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests with containers share: images made of a host's own BusyBox, and the removal of what tests have made."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from harness import Host

IMAGE, OTHER = "localhost/tiny:1", "localhost/tiny:2"
_FOLDER = "/var/tmp/tiny"
_APPLETS = ("cat", "env", "false", "ip", "ping", "sh", "sleep")


def bring_images(host: Host) -> None:
    """Import two images that differ in a file."""
    host.run(["mkdir", "-p", f"{_FOLDER}/bin"])
    host.run(["cp", "/usr/bin/busybox", f"{_FOLDER}/bin/busybox"])
    for applet in _APPLETS:
        host.run(["ln", "-sf", "busybox", f"{_FOLDER}/bin/{applet}"])
    for number, image in (("1", IMAGE), ("2", OTHER)):
        host.write(f"{_FOLDER}/version", number + "\n")
        host.run(["tar", "-C", _FOLDER, "-cf", f"{_FOLDER}.tar", "."])
        host.run(["podman", "import", "--quiet", f"{_FOLDER}.tar", image])


def remove_containers(host: Host) -> None:
    """Remove all containers and images of a host."""
    host.run(["systemctl", "stop", "overloom-container-*"])
    host.run(["podman", "rm", "--all", "--force", "--time=0"])
    host.run(["podman", "rmi", "--all", "--force"])

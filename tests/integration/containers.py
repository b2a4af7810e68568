# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests with containers share: images made of a host's own BusyBox, Docker, and the removal of what tests have made."""

from __future__ import annotations

import pathlib
import typing as t

if t.TYPE_CHECKING:
    from harness import Host

IMAGE, OTHER = "localhost/tiny:1", "localhost/tiny:2"
_FOLDER = "/var/tmp/tiny"
_APPLETS = ("cat", "env", "false", "ip", "ping", "sh", "sleep")
# What lets Docker run containers in a lab host; molecule/geneve_containers has it from here, too.
_DOCKER = pathlib.Path(__file__).with_name("docker")
_RUNTIME = "/usr/local/bin/lab-runtime"
_SETTINGS = "/etc/docker/daemon.json"


def bring_images(host: Host, engine: str = "podman") -> None:
    """Import two images that differ in a file."""
    host.run(["mkdir", "-p", f"{_FOLDER}/bin"])
    host.run(["cp", "/usr/bin/busybox", f"{_FOLDER}/bin/busybox"])
    for applet in _APPLETS:
        host.run(["ln", "-sf", "busybox", f"{_FOLDER}/bin/{applet}"])
    for number, image in (("1", IMAGE), ("2", OTHER)):
        host.write(f"{_FOLDER}/version", number + "\n")
        host.run(["tar", "-C", _FOLDER, "-cf", f"{_FOLDER}.tar", "."])
        host.run([engine, "import", f"{_FOLDER}.tar", image])


def remove_containers(host: Host) -> None:
    """Remove all containers and images of Podman."""
    host.run(["systemctl", "stop", "overloom-container-*"])
    host.run(["podman", "rm", "--all", "--force", "--time=0"])
    host.run(["podman", "rmi", "--all", "--force"])


def start_docker(host: Host) -> None:
    """Start Docker, now and at every boot, without a network of its own."""
    host.write(_SETTINGS, (_DOCKER / "daemon.json").read_text(encoding="utf-8"))
    host.write(_RUNTIME, (_DOCKER / "runtime.py").read_text(encoding="utf-8"))
    host.run(["chmod", "+x", _RUNTIME])
    host.run(["systemctl", "enable", "--quiet", "--now", "docker.service"])


def remove_docker(host: Host) -> None:
    """Stop Docker, which ends its containers, and remove what it has."""
    units = ["docker.service", "docker.socket", "containerd.service"]
    host.run(["systemctl", "disable", "--quiet", "--now", *units])
    host.run(["rm", "-rf", "/var/lib/docker", "/var/lib/containerd", _SETTINGS, _RUNTIME])

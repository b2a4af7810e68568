# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A declared container, and the systemd service that runs it. Pure: plain data in, a unit file out.

This file is private to the collection. The service runs `podman run` in a named network namespace, so the port outlives
the container: whatever restarts, kills or removes the container leaves the namespace, and with it the veth pair, alone.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._container.podman import LABEL, check_container_name
from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import check_range
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import FOLDER as NAMESPACES
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import check_name
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import UNIT_KIND as NETNS
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Command, Unit, service, unit_name

UNIT_KIND = "container"
# Where Podman writes the id of the container that a service has made, so that the service removes no other one.
CIDS = "/var/lib/overloom/containers"
STOP_TIMEOUT = 10

# Options of `podman run` that are the service's own, and those that need a network of Podman's.
_TAKEN = (
    "--cidfile",
    "--detach",
    "--interactive",
    "--name",
    "--pod",
    "--pull",
    "--replace",
    "--restart",
    "--rm",
    "--sdnotify",
    "--tty",
)
_NETWORK = (
    "--ip",
    "--ip6",
    "--mac-address",
    "--net",
    "--network",
    "--network-alias",
    "--publish",
    "--publish-all",
    "--uidmap",
    "--userns",
)


class Wanted(t.NamedTuple):
    """A declared container."""

    name: str
    present: bool = True
    namespace: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    stop_timeout: int = STOP_TIMEOUT

    def shown(self) -> dict[str, t.Any]:
        """Its options as the unit notes them, and as a diff shows them."""
        return {
            "image": self.image,
            "command": list(self.command),
            "options": list(self.options),
            "namespace": self.namespace,
            "stop_timeout": self.stop_timeout,
        }


def check_image(image: str, what: str) -> str:
    """A name or an id of an image, as one word of a command."""
    if not image or image.startswith("-") or not image.isprintable() or " " in image:
        raise FabricError(f"{what}: {image!r} is no image; give its name with the tag, as localhost/web:1, or its id")
    return image


def check_options(options: t.Iterable[str], what: str) -> tuple[str, ...]:
    """Further options of `podman run`, each as one word."""
    for option in options:
        name = option.partition("=")[0]
        if not name.startswith("--") or name == "--":
            raise FabricError(
                f"{what}: {option!r} is no long option; write each as one word, as --volume=/srv/web:/srv"
            )
        if name in _TAKEN:
            raise FabricError(f"{what}: {name} is set by the service itself; leave it out")
        if name in _NETWORK:
            raise FabricError(
                f"{what}: {name} is for networks of Podman, and the container's is the namespace; leave it out"
            )
        _one_line(option, what)
    return tuple(options)


def check_command(words: t.Iterable[str], what: str) -> tuple[str, ...]:
    """The command with its arguments."""
    return tuple(_one_line(word, what) for word in words)


def _one_line(word: str, what: str) -> str:
    if not word.isprintable():
        raise FabricError(
            f"{what}: {word!r} has control characters, which a systemd unit cannot carry; put it into a file"
        )
    return word


def declared(items: t.Iterable[dict[str, t.Any]]) -> list[Wanted]:
    """The declared containers, checked as far as that goes without the host."""
    found: dict[str, Wanted] = {}
    for item in items:
        name = check_container_name(item.get("name") or "", "name")
        if name in found:
            raise FabricError(f"container {name} is declared twice; give each item a name of its own")
        found[name] = _declared(name, item)
    return list(found.values())


def _declared(name: str, item: dict[str, t.Any]) -> Wanted:
    if item.get("state", "present") == "absent":
        return Wanted(name, present=False)
    if item.get("image") is None:
        raise FabricError(f"container {name}: image is missing; give the name of an image that is on the host")
    timeout = STOP_TIMEOUT if item.get("stop_timeout") is None else item["stop_timeout"]
    check_range(timeout, 0, 3600, f"container {name}: stop_timeout", "seconds")
    return Wanted(
        name,
        namespace=check_name(item.get("namespace") or name, f"container {name}: namespace"),
        image=check_image(item["image"], f"container {name}: image"),
        command=check_command(item.get("command") or (), f"container {name}: command"),
        options=check_options(item.get("options") or (), f"container {name}: options"),
        stop_timeout=timeout,
    )


def service_name(name: str) -> str:
    """The service of a container."""
    return unit_name(UNIT_KIND, name)


def cid_file(name: str) -> str:
    """The file with the id of the container that its service has made."""
    return f"{CIDS}/{name}.cid"


def unit_of(wanted: Wanted, owner: str, cgroups: bool = True) -> Unit:
    """The service of a container. cgroups: whether the host may make control groups.

    No --replace: a container of somebody else that has the name makes the start fail, and stays. The id of the own one is kept
    over a power failure, after which it is still there.
    """
    cid = f"--cidfile={cid_file(wanted.name)}"
    clean = ("podman", "rm", "--force", "--ignore", "--time=0", cid)
    run = (
        *("podman", "run", "--rm", "--detach", "--pull=never", "--sdnotify=conmon", cid),
        f"--cgroups={'no-conmon' if cgroups else 'disabled'}",
        *(f"--name={wanted.name}", f"--label={LABEL}={owner}", f"--network=ns:{NAMESPACES}/{wanted.namespace}"),
        *(*wanted.options, wanted.image, *wanted.command),
    )
    namespace = unit_name(NETNS, wanted.namespace)
    return service(
        UNIT_KIND,
        wanted.name,
        f"Container {wanted.name}",
        {"Owner": owner, "Container": json.dumps(wanted.shown())},
        unit={
            "Wants": namespace,
            "After": namespace,
            "RequiresMountsFor": "/var/lib/containers",
            # However often it is killed, it is started again.
            "StartLimitIntervalSec": "0",
            # One that had to be killed leaves no failed unit behind when it is removed.
            "CollectMode": "inactive-or-failed",
        },
        settings={
            "Type": "notify",
            "NotifyAccess": "all",
            "Restart": "always",
            "RestartSec": "1",
            "TimeoutStopSec": str(wanted.stop_timeout + 60),
        },
        commands=[
            ("ExecStartPre", Command(clean, may_fail=True)),
            ("ExecStartPre", Command(("mkdir", "-p", CIDS))),
            ("ExecStartPre", Command(("rm", "-f", cid_file(wanted.name)))),
            ("ExecStart", Command(run)),
            ("ExecStop", Command(("podman", "stop", "--ignore", f"--time={wanted.stop_timeout}", cid), may_fail=True)),
            ("ExecStopPost", Command(clean, may_fail=True)),
        ],
        wanted_by=["multi-user.target"],
    )


def noted(unit: Unit | None) -> dict[str, t.Any] | None:
    """The options that a unit notes; None if it notes none, as after a change by hand."""
    try:
        return dict(json.loads(unit.notes()["Container"])) if unit else None
    except (KeyError, ValueError, TypeError):
        return None

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep NetworkManager off an interface that the collection configures.

NetworkManager asks for a lease by each NIC for which nobody has made a connection. When no server answers, it takes away the addresses
that the NIC has meanwhile, and begins anew. A file of its configuration (NetworkManager.conf(5), `unmanaged-devices`) has it leave the
interface alone, now and at boot. A NIC with a connection that somebody has made stays NetworkManager's.

This file is private to the collection.
"""

from __future__ import annotations

import glob
import os
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils import _network_files
from ansible_collections.overloom.fabric.plugins.module_utils._host import content
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Remove, Step, Write

FOLDER = "/etc/NetworkManager/conf.d"
PREFIX, SUFFIX = "overloom-unmanaged-", ".conf"
# The state of its devices, each in a file with the interface's index as name, and the connections that it has made up itself.
_DEVICES = "/run/NetworkManager/devices"
_MADE_UP = "/run/NetworkManager/system-connections"
_ADDRGEN = "/proc/sys/net/ipv6/conf/{}/addr_gen_mode"
# Seconds for NetworkManager to let go of an interface, which it does within a fraction of one.
_LONGEST = 10
_MANAGED = "managed=true"


class Device(t.NamedTuple):
    """An interface that NetworkManager manages.

    ifindex: the kernel's; silent: whether the kernel makes no link-local address, as NetworkManager makes them itself.
    """

    ifindex: int
    silent: bool


class Found(t.NamedTuple):
    """What NetworkManager has of a host's interfaces, by their names.

    manages: those that it manages, and nobody has made a connection for; unmanaged: those with a file of ours.
    """

    manages: t.Mapping[str, Device] = {}
    unmanaged: frozenset[str] = frozenset()


class Release(t.NamedTuple):
    """Wait until NetworkManager has let go of an interface; what it takes away as it does is not ours yet."""

    name: str
    ifindex: int

    @property
    def path(self) -> str:
        """NetworkManager's state of the interface."""
        return f"{_DEVICES}/{self.ifindex}"

    def shown(self) -> str:
        """The command that waits as long."""
        # It is only shown, and like `do` goes on when the time is over.
        return f"timeout {_LONGEST} sh -c 'while grep -qx {_MANAGED} {self.path}; do sleep 0.1; done' || true"

    def do(self) -> None:
        """Wait. When the time is over, go on: the next run sees what is missing."""
        until = time.monotonic() + _LONGEST
        while _managed(content(self.path)) and time.monotonic() < until:
            time.sleep(0.05)


def path_of(name: str) -> str:
    """The file that has NetworkManager leave an interface alone."""
    return f"{FOLDER}/{PREFIX}{name}{SUFFIX}"


def text_of(name: str, owner: str) -> str:
    """What is in it."""
    return f"# Of overloom.fabric, for {owner}: {name} is configured by it.\n[keyfile]\nunmanaged-devices+=interface-name:={name}\n"


def read(indexes: t.Mapping[str, int]) -> Found:
    """Read what NetworkManager has of these interfaces, from files alone. indexes: by the interfaces' names."""
    files = glob.glob(path_of("*"))
    unmanaged = frozenset(os.path.basename(path)[len(PREFIX) : -len(SUFFIX)] for path in files)
    states = {name: content(f"{_DEVICES}/{index}") for name, index in indexes.items()}
    managed = {name: text for name, text in states.items() if _managed(text)}
    if not managed:
        return Found({}, unmanaged)
    connections = {path: content(path) for path in glob.glob(f"{_MADE_UP}/*")}
    own = (text for path, text in connections.items() if not os.path.basename(path).startswith("netplan-"))
    made_up = {_value(text, "uuid") for text in own}
    named = {one.name for one in _network_files.read() if one.path.endswith(".nmconnection")}
    return Found(
        {
            name: Device(indexes[name], content(_ADDRGEN.format(name)).strip() == "1")
            for name, text in managed.items()
            if name not in named and _value(text, "connection-uuid") in {"", *made_up}
        },
        unmanaged,
    )


def unmanage(found: Found, names: t.Iterable[str], owner: str) -> list[t.Any]:
    """The steps that have NetworkManager leave interfaces alone, which come before these are configured; none where it does already."""
    ours = sorted(set(names) & set(found.manages))
    files: list[t.Any] = [Write(path_of(name), text_of(name, owner)) for name in ours]
    return [*files, _RELOAD, *(Release(name, found.manages[name].ifindex) for name in ours)] if ours else []


def manage(found: Found, names: t.Iterable[str]) -> list[t.Any]:
    """The steps that give interfaces back to NetworkManager."""
    ours = sorted(set(names) & found.unmanaged)
    return [*(Remove(path_of(name)) for name in ours), _RELOAD] if ours else []


# Nothing where NetworkManager does not run.
_RELOAD = Step(("systemctl", "try-reload-or-restart", "NetworkManager.service"))


def _managed(text: str) -> bool:
    return _MANAGED in text.splitlines()


def _value(text: str, key: str) -> str:
    return next((line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")), "")

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Announce the addresses of namespaces, so that switches learn where their MAC addresses are.

This file is private to the collection.
"""

from __future__ import annotations

import socket
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._checkpoint.undo import announcement
from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._netns import namespace as _netns
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, module_runner

# Seconds between two announcements of an address (RFC 5227, ANNOUNCE_INTERVAL, is 2 s, which is for links that lose packets).
INTERVAL = 0.1


class Announced(t.NamedTuple):
    """An address that is announced: where it is, and the frame that says so."""

    namespace: str
    interface: str
    address: str
    frame: bytes


def frames(namespace: str, interfaces: t.Iterable[_ip.Interface]) -> list[Announced]:
    """What is to be announced of a namespace's interfaces: each address of those that are up and have a MAC address."""
    return [
        Announced(
            namespace,
            one.name,
            address.partition("/")[0],
            announcement(bytes.fromhex(one.mac.replace(":", "")), address.partition("/")[0]),
        )
        for one in interfaces
        if one.up and one.name != "lo" and one.mac
        for address in (*one.addresses, *one.link_local)
    ]


def send(found: t.Sequence[Announced], count: int) -> None:
    """Send all frames, count times. Raises FabricError when one cannot be sent."""
    by_namespace: dict[str, list[Announced]] = {}
    for one in found:
        by_namespace.setdefault(one.namespace, []).append(one)
    for turn in range(count):
        if turn:
            time.sleep(INTERVAL)
        _netns.visit({name: _sender(there) for name, there in by_namespace.items()})


def _sender(there: t.Sequence[Announced]) -> t.Callable[[], None]:
    def sender() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
            for one in there:
                try:
                    link.bind((one.interface, 0))
                    link.send(one.frame)
                except OSError as error:
                    raise FabricError(
                        f"namespace {one.namespace}, interface {one.interface}: {one.address} could not be announced: {error.strerror}"
                    ) from error

    return sender


def run(module: t.Any) -> None:
    """Do what the module's parameters say."""
    names, count = list(dict.fromkeys(module.params["namespaces"])), module.params["count"]
    runner = module_runner(module)
    try:
        if count < 1:
            raise FabricError(f"count must be 1 or more, not {count}")
        missing = sorted({_netns.check_name(name, "namespaces") for name in names} - set(_netns.existing()))
        if missing:
            raise FabricError(f"namespace {missing[0]} does not exist on this host; make it with netns_veth first")
        found = [one for name in names for one in frames(name, _ip.read_interfaces(runner, name).values())]
        if not module.check_mode:
            send(found, count)
    except FabricError as error:
        module.fail_json(msg=str(error), announced=[], spawned=runner.spawned)
    module.exit_json(
        changed=False,
        announced=[{"namespace": one.namespace, "interface": one.interface, "address": one.address} for one in found],
        spawned=runner.spawned,
    )

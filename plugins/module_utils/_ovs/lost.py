# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that Open vSwitch in user space has lost: one went, and another came at once under its name.

ovs-vswitchd receives from a device by a packet socket, which stays with the device that is gone. It says nothing of it,
and its database looks as always; but the kernel tells which packet sockets there are, and which have lost their device.

This file is private to the collection. Source: packet(7), /proc/net/packet; netdev-linux.c of Open vSwitch.
"""

from __future__ import annotations

import socket
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host import content
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    Op,
    Put,
    apply,
    transaction,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Step

# The type of an interface that no device can have: with it in between, ovs-vswitchd lets go of a device, and the port keeps all that was set on it.
LOOSE = "patch"
# Which a packet socket shows whose device is gone.
_GONE = -1


def in_userspace(database: Database, bridge: str | None) -> bool:
    """Whether the datapath of a bridge is in user space."""
    return bool(database.tables["Bridge"].get(bridge or "", {}).get("datapath_type") == "netdev")


def lost_devices(database: Database) -> frozenset[str]:
    """The interfaces whose device ovs-vswitchd has lost, in the network namespace of this process."""
    if not any(in_userspace(database, bridge) for bridge in database.tables["Bridge"]):
        return frozenset()
    devices = {name: index for index, name in socket.if_nameindex()}
    return lost(database, devices, content("/proc/self/net/packet"))


def lost(database: Database, devices: t.Mapping[str, int], sockets: str) -> frozenset[str]:
    """The same, from the indexes of the devices and what /proc/net/packet says; pure.

    An interface is lost if no socket is that of its device, and there is a socket that has lost its own.
    """
    indexes = {int(line.split()[4]) for line in sockets.splitlines()[1:]}
    if _GONE not in indexes:
        return frozenset()
    ports = [port for port, bridge in database.bridge_of.items() if in_userspace(database, bridge)]
    names = [name for port in ports for name in database.members[port] if name in devices]
    return frozenset(name for name in names if devices[name] not in indexes and _received(database, name))


def _received(database: Database, name: str) -> bool:
    """Whether ovs-vswitchd holds that it receives from a device of the kernel."""
    row = database.tables["Interface"][name]
    return row["type"] in ("", "system") and (row["ofport"] or 0) > 0 and not row["error"]


def loose_devices(database: Database) -> frozenset[str]:
    """The interfaces with a device that a run which was interrupted in between has left without it."""
    rows = {name: database.tables["Interface"].get(name) for _index, name in socket.if_nameindex()}
    return frozenset(
        name for name, row in rows.items() if row and row["type"] == LOOSE and "peer" not in row["options"]
    )


def plugged(database: Database, names: t.Iterable[str]) -> Database:
    """The database when ovs-vswitchd takes the devices of these interfaces."""
    return apply(database, _plugs(database, names))


def _plugs(database: Database, names: t.Iterable[str]) -> list[Op]:
    kinds = {name: database.tables["Interface"][name]["type"] for name in sorted(names)}
    return [Put("Interface", name, "type", None, "" if kind == LOOSE else kind) for name, kind in kinds.items()]


def replugged(
    begin: t.Sequence[str], database: Database, lost_ones: t.AbstractSet[str], loose_ones: t.AbstractSet[str]
) -> list[Step]:
    """The two calls by which ovs-vswitchd lets go of devices that are gone, and takes those that have their names."""
    steps = transaction(begin, [Put("Interface", name, "type", None, LOOSE) for name in sorted(lost_ones)])
    return steps + transaction(begin, _plugs(database, lost_ones | loose_ones))

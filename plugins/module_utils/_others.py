# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has that does not carry an owner's mark: other people's bridges, ports, namespaces, guests, networks and containers.

This file is private to the collection.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._container.podman import Container, containers
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import read_mark
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import existing
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import UNIT_KIND, space_of
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.chassis import MARK, is_mirror
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import Database
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import owner_of
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import ROOT
from ansible_collections.overloom.fabric.plugins.module_utils._ownership import defined, documents, read_switch
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import read_units

# Podman makes it with its first container or image; to ask it before would make it.
STORAGE = "/var/lib/containers/storage"
# What ovn-controller notes of the ports that it makes: of a tunnel the other end, of a patch to a provider network its port there.
_OF_OVN = {"ovn-chassis-id", "ovn-localnet-port"}

Thing = t.Dict[str, t.Any]


def others(runner: Runner, owner: str) -> list[Thing]:
    """All things of a host that are not this owner's, read with a process for Open vSwitch and one for Podman, where these are."""
    database = read_switch(runner)
    spaces = dict(filter(None, (space_of(unit) for unit in read_units(UNIT_KIND).values())))
    found = in_switch(database, owner, guest_ports(owner)) if database else []
    found += [_thing("namespace", name, _space_owner(spaces.get(name))) for name in existing()]
    for kind in ("guest", "network"):
        for name, (mark, runs) in sorted(defined(kind).items()):
            found.append(_thing(kind, name, mark, "it runs" if runs else "it is defined"))
    kept = (containers(runner) or {}) if os.path.isdir(STORAGE) else {}
    found += [_container(container) for container in kept.values()]
    return [thing for thing in found if thing["owner"] != owner]


def guest_ports(owner: str) -> set[str]:
    """The ports of this owner's running guests, which libvirt plugs in without a mark."""
    running = [root for root, runs in documents("guest") if runs and read_mark(root).owner == owner]
    return {target.get("dev", "") for root in running for target in root.iterfind("devices/interface/target")}


def in_switch(database: Database, owner: str, plugged: t.Container[str]) -> list[Thing]:
    """The bridges, and the ports but for those that every bridge has by itself and those that are plugged in for a guest; pure."""
    found = [_thing("bridge", name, owner_of(row)) for name, row in sorted(database.tables["Bridge"].items())]
    for name, bridge in sorted(database.bridge_of.items()):
        if name != bridge and name in database.tables["Port"] and name not in plugged:
            mark = owner_of(database.tables["Port"][name])
            if _OF_OVN & set(database.tables["Port"][name]["external_ids"]) or is_mirror(database, name):
                # Whose the chassis is, theirs it is.
                mark = mark or database.tables["Open_vSwitch"][ROOT]["external_ids"].get(MARK)
            found.append(_thing("port", name, mark, f"a port of bridge {bridge}"))
    return [thing for thing in found if thing["owner"] != owner]


def _space_owner(space: t.Any) -> str | None:
    return space.owner if space else None


def _container(container: Container) -> Thing:
    return _thing("container", container.name, container.owner, *container.uses())


def _thing(kind: str, name: str, owner: str | None, *traces: str) -> Thing:
    return {"kind": kind, "name": name, "owner": owner or None, "traces": list(traces)}

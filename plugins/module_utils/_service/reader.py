# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has of services in network namespaces: read with one process, and told in plain types.

This file is private to the collection.
"""

from __future__ import annotations

import glob
import os
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host import content
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import FOLDER as NAMESPACES
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import existing, identity
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import UNIT_KIND as NETNS
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner
from ansible_collections.overloom.fabric.plugins.module_utils._service.dropin import (
    FILE,
    RESOLVERS,
    UNITS,
    noted,
    path_of,
    placed_by,
    resolver_of,
    servers_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    booted,
    property_blocks,
    read_units,
)

PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "MainPID",
    "ExecMainStatus",
    "FragmentPath",
    "DropInPaths",
    "TriggeredBy",
    "NeedDaemonReload",
)
# EXIT_NETWORK in systemd.exec(5): a namespace that was not there.
_NO_NAMESPACE = "225"

Identity = t.Optional[t.Tuple[int, int]]


class State(t.NamedTuple):
    """A service as systemd has it.

    id: the unit's own name, where it was asked for by an alias. files: its unit file and drop-ins but for ours, each with its text.
    loaded: the drop-in is known as it is in its file. stranded: it has failed because its namespace was not there.
    sockets: what starts it by a socket. place: the network namespace of its first process. resolver: the resolv.conf of a namespace
    that it sees, by the end of its path.
    """

    id: str
    load: str = "not-found"
    active: bool = False
    pid: int = 0
    files: tuple[tuple[str, str], ...] = ()
    loaded: bool = False
    stranded: bool = False
    sockets: tuple[str, ...] = ()
    place: Identity = None
    resolver: str | None = None

    @property
    def placed_by(self) -> str | None:
        """The file of others that gives it a network of its own."""
        return placed_by(self.files)


class Found(t.NamedTuple):
    """What was read.

    dropins: those of ours, by unit. services: of interest, by the name that was asked for. spaces: all named namespaces.
    kept: the namespaces that netns_veth makes at boot. resolvers: the text of each namespace's resolv.conf.
    """

    dropins: dict[str, str]
    services: dict[str, State]
    spaces: dict[str, Identity]
    kept: frozenset[str]
    resolvers: dict[str, str]

    def owner(self, name: str) -> str | None:
        """Whose drop-in a service has."""
        return noted(self.dropins[name]).owner if name in self.dropins else None

    def namespace_at(self, place: Identity) -> str | None:
        """The name of a namespace; None for one without."""
        return next((name for name, one in self.spaces.items() if place and one == place), None)


def read_dropins(folder: str = UNITS) -> dict[str, str]:
    """All drop-ins of ours, by unit."""
    paths = sorted(glob.glob(os.path.join(glob.escape(folder), "*.service.d", FILE)))
    return {os.path.basename(os.path.dirname(path))[: -len(".d")]: content(path) for path in paths}


def read_resolvers(folder: str = RESOLVERS) -> dict[str, str]:
    """The resolv.conf of each namespace that has one."""
    paths = sorted(glob.glob(os.path.join(glob.escape(folder), "*", "resolv.conf")))
    return {os.path.basename(os.path.dirname(path)): content(path) for path in paths}


def read_host(runner: Runner, names: t.Iterable[str]) -> Found:
    """Read the host. names: the services of interest, besides those that have a drop-in of ours."""
    dropins = read_dropins()
    every = sorted({*names, *dropins})
    notes = [unit.notes() for unit in read_units(NETNS).values()]
    return Found(
        dropins=dropins,
        services=_services(runner, every),
        spaces={name: identity(os.path.join(NAMESPACES, name)) for name in existing()},
        kept=frozenset(note.get("Name", "") for note in notes if note.get("Namespace") == "made"),
        resolvers=read_resolvers(),
    )


def _services(runner: Runner, names: t.Sequence[str]) -> dict[str, State]:
    if not names:
        return {}
    if not booted():
        raise FabricError("systemd does not run on this host; services are placed in namespaces by it")
    shown = runner(("systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", *names))
    return {name: _state(name, properties) for name, properties in zip(names, property_blocks(shown))}


def _state(name: str, properties: t.Mapping[str, str]) -> State:
    ours = path_of(properties.get("Id", name))
    dropins = properties.get("DropInPaths", "").split()
    paths = [properties.get("FragmentPath", ""), *dropins]
    pid = int(properties.get("MainPID") or 0)
    state = properties.get("ActiveState", "inactive")
    return State(
        id=properties.get("Id", name),
        load=properties.get("LoadState", "not-found"),
        active=state not in ("inactive", "failed", "deactivating"),
        pid=pid,
        files=tuple((path, content(path)) for path in paths if path and path != ours),
        loaded=ours in dropins and properties.get("NeedDaemonReload") != "yes",
        stranded=state == "failed" and properties.get("ExecMainStatus") == _NO_NAMESPACE,
        sockets=tuple(one for one in properties.get("TriggeredBy", "").split() if one.endswith(".socket")),
        place=identity(f"/proc/{pid}/ns/net") if pid else None,
        resolver=seen_resolver(content(f"/proc/{pid}/mountinfo")) if pid else None,
    )


def seen_resolver(mountinfo: str) -> str | None:
    """The namespace whose resolv.conf a process sees, by its mounts (proc_pid_mountinfo(5)); a file that was replaced is none."""
    roots = (fields[3] for fields in map(str.split, mountinfo.splitlines()) if len(fields) > 4)
    parts = (root.split("/") for root in roots if root.endswith("/resolv.conf"))
    return next((words[-2] for words in parts if len(words) > 3 and words[-3] == "netns"), None)


def describe(found: Found, name: str) -> dict[str, t.Any]:
    """A service in plain types, as netns_service_info returns it."""
    state, note = found.services[name], noted(found.dropins.get(name, ""))
    return {
        "name": name,
        "owner": note.owner,
        "namespace": note.namespace,
        "running": state.active,
        "pid": state.pid,
        "joined": found.namespace_at(state.place),
        "dns": servers_of(found.resolvers.get(note.namespace or "", "")),
        "resolv_conf": resolver_of(state.resolver) if state.resolver else None,
    }

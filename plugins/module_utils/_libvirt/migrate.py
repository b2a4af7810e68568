# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that leave this host for another one, while they run. The comparison is pure; this file is private to the collection.

Sources: https://libvirt.org/migration.html, https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainMigrate3.
"""

from __future__ import annotations

import os
import re
import threading
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._host import content
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import (
    Call,
    asked,
    connect,
    items_of,
    said,
    virsh,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_plan import Actions
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    Mark,
    check_line,
    check_name,
    check_number,
    libvirt_document,
    read_mark,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Module,
    Remove,
    module_runner,
    reconcile,
)

try:
    import libvirt
except ImportError:
    libvirt = None

COPY, SHARED = "copy", "shared"
# File systems that several hosts have at once.
NETWORKED = ("9p", "ceph", "cifs", "gfs2", "glusterfs", "lustre", "nfs", "nfs4", "ocfs2", "smb3", "sshfs", "virtiofs")
ABSENT, SHUTOFF, RUNNING = "absent", "shutoff", "running"
SPEC: dict[str, t.Any] = {
    "name": {"type": "str"},
    "destination": {"type": "str"},
    "data": {"type": "str"},
    "storage": {"type": "str", "choices": [COPY, SHARED], "default": COPY},
    "timeout": {"type": "int", "default": 600},
}


class Guest(t.NamedTuple):
    """A guest that is to leave. data: the URI at which QEMU listens for it, or empty for libvirt's choice. timeout: in seconds."""

    name: str
    destination: str
    data: str
    storage: str
    timeout: int

    @property
    def what(self) -> str:
        return f"domain {self.name}"


class Here(t.NamedTuple):
    """A guest on this host, and what the destination has of it: absent, shutoff, or running, which a paused one also is.

    reached: a disk that other hosts reach, too, in words.
    """

    state: str
    mark: Mark
    there: str
    reached: str = ""


def want(item: t.Mapping[str, t.Any]) -> Guest:
    """Check one item. Raises FabricError."""
    name = check_name(item["name"], "domain name")
    what = f"domain {name}:"
    if not item["destination"]:
        raise FabricError(f"{what} destination is missing: give the URI of libvirt on the host that it goes to")
    return Guest(
        name,
        check_line(item["destination"], f"{what} destination"),
        check_line(item["data"] or "", f"{what} data"),
        item["storage"],
        check_number(item["timeout"], f"{what} timeout", 1, 86400),
    )


class Steps(t.Protocol):
    """The calls that a comparison may want."""

    def migrate(self, guest: Guest) -> Call:
        """Migrate the running guest."""

    def undefine(self, name: str) -> Call:
        """Forget the guest here."""

    def remove_volume(self, pool: str, volume: str) -> Call:
        """Remove a volume from its pool."""


def compare(found: t.Mapping[str, Here], wanted: t.Sequence[Guest], owner: str, actions: Steps, check: bool) -> Change:
    """The steps after which the guests are at their destinations, and nothing of them is here. Raises FabricError."""
    steps: list[t.Any] = []
    before: dict[str, t.Any] = {}
    after: dict[str, t.Any] = {}
    for guest in wanted:
        here = found.get(guest.name)
        if here is None:
            continue
        _check(guest, here, owner, check)
        if here.state == RUNNING:
            steps.append(actions.migrate(guest))
        steps.append(actions.undefine(guest.name))
        gone = list(here.mark.storage) if guest.storage == COPY and RUNNING in (here.state, here.there) else []
        for place in gone:
            pool, slash, volume = place.partition("/")
            steps.append(actions.remove_volume(pool, volume) if pool and slash else Remove(place))
        before[guest.name] = {"state": here.state, **({"storage": gone} if gone else {})}
        after[guest.name] = {"state": ABSENT}
    return Change(steps, before, after)


def _check(guest: Guest, here: Here, owner: str, check: bool) -> None:
    if here.mark.owner != owner:
        whose = f"belongs to {here.mark.owner}" if here.mark.owner else "carries no mark"
        raise FabricError(f"{guest.what} {whose}, so it is not migrated: leave it out, or give its owner")
    if guest.storage == COPY and here.reached:
        raise FabricError(
            f"{guest.what} has {here.reached}, which {guest.destination} may reach, too, so it is not copied onto itself: set storage to shared"
        )
    if here.state == RUNNING == here.there:
        raise FabricError(
            f"{guest.what} runs here and on {guest.destination}, or is just being migrated: wait for that, or shut it down on one of them"
        )
    if here.state == SHUTOFF and here.there != RUNNING:
        if guest.storage == COPY and here.mark.storage:
            raise FabricError(
                f"{guest.what} is shut off, with its disks here, and only a guest that runs is moved with them: start it, or set storage to shared"
            )
        # In check mode it may only have been foretold there.
        if here.there == ABSENT and not check:
            raise FabricError(f"{guest.what} is shut off and not defined on {guest.destination}: define it there first")


class Migration(Actions):
    """Calls of libvirt. connections: by URI, those of the destinations."""

    def __init__(self, connection: t.Any, uri: str, connections: dict[str, t.Any]) -> None:
        super().__init__(connection, uri)
        self.connections = connections

    def migrate(self, guest: Guest) -> Call:
        """Migrate the running guest; where that fails, it runs on here as before."""
        argv = ["migrate", "--live", "--persistent", "--auto-converge"]
        flags = 0
        if libvirt:
            flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_AUTO_CONVERGE
        if guest.storage == COPY:
            argv.append("--copy-storage-inc")
            flags |= libvirt.VIR_MIGRATE_NON_SHARED_INC if libvirt else 0
        argv += [guest.name, guest.destination, *([guest.data] if guest.data else [])]

        def act() -> None:
            domain = self._domain(guest.name)
            parameters = {libvirt.VIR_MIGRATE_PARAM_URI: guest.data} if guest.data else {}
            late = threading.Timer(guest.timeout, domain.abortJob)
            late.start()
            try:
                domain.migrate3(self.connections[guest.destination], parameters, flags)
            except libvirt.libvirtError as error:
                why = f"it took more than {guest.timeout} s" if not late.is_alive() else said(error)
                raise FabricError(
                    f"{guest.what} was not migrated to {guest.destination}, and runs on here as before: {why}"
                ) from error
            finally:
                late.cancel()

        return Call(guest.what, virsh(self.uri, *argv), act, note=f"within {guest.timeout} s")


def _state(handle: t.Any) -> str:
    return SHUTOFF if handle.state()[0] in (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED) else RUNNING


def reached_disk(document: ET.Element, mounts: str) -> str:
    """The first writable disk of a guest that other hosts reach by its nature, in words; of one of blocks it cannot be told.

    mounts: /proc/self/mounts (proc_pid_mounts(5)).
    """
    kinds = {
        re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[1]): fields[2]
        for fields in map(str.split, mounts.splitlines())
        if len(fields) > 2
    }
    for disk in document.findall("devices/disk"):
        source = disk.find("source")
        if source is None or disk.find("readonly") is not None:
            continue
        if disk.get("type") == "network":
            return f"the disk {source.get('name', '')} on {source.get('protocol', 'the network')}"
        place = os.path.realpath(source.get("file") or "/")
        above = max(
            (path for path in kinds if place == path or place.startswith(path.rstrip("/") + "/")), key=len, default=""
        )
        if kinds.get(above, "").rpartition("fuse.")[2] in NETWORKED:
            return f"the disk {place} on {kinds[above]}"
    return ""


def _looked_up(call: t.Callable[[str], t.Any], key: str) -> t.Any:
    """A domain, or None where there is none."""
    try:
        return call(key)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise FabricError(f"domain {key} cannot be read: {said(error)}") from error


def read(connection: t.Any, wanted: t.Sequence[Guest], connections: dict[str, t.Any]) -> dict[str, Here]:
    """The guests that are still here. connections: gets one to each destination that is needed. Raises FabricError."""
    found = {}
    for guest in wanted:
        handle = _looked_up(connection.lookupByName, guest.name)
        if handle is None:
            continue
        if guest.destination not in connections:
            try:
                connections[guest.destination] = connect(guest.destination)
            except FabricError as error:
                raise FabricError(
                    f"{guest.what} cannot be migrated, and stays: {error}; root of this host has to get there"
                ) from error
        document = libvirt_document(asked(guest.what, handle.XMLDesc, libvirt.VIR_DOMAIN_XML_INACTIVE))
        other = _looked_up(connections[guest.destination].lookupByUUIDString, handle.UUIDString())
        found[guest.name] = Here(
            asked(guest.what, _state, handle),
            read_mark(document),
            ABSENT if other is None else asked(guest.what, _state, other),
            reached_disk(document, content("/proc/self/mounts")),
        )
    return found


def run(module: Module) -> t.NoReturn:
    """The whole of libvirt_migrate."""
    params, runner = module.params, module_runner(module)
    connections: dict[str, t.Any] = {}
    try:
        wanted = [want(item) for item in items_of(params, SPEC, "domains", "domain")]
        connection = connect(params["uri"])
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=runner.spawned)
    actions = Migration(connection, params["uri"], connections)
    reconcile(
        module,
        lambda: read(connection, wanted, connections),
        lambda found: compare(found, wanted, params["owner"], actions, module.check_mode),
        runner,
        lambda found: {"domains": {name: {"state": here.state, "there": here.there} for name, here in found.items()}},
    )

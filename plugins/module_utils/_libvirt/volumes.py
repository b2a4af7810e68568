# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of storage pools. This file is private to the collection.

libvirt keeps no metadata with a volume. Its mark is therefore a line in a ledger on the host, which also says whether it was there before it
was adopted: such a one is given back and not removed.
"""

from __future__ import annotations

import json
import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import (
    Call,
    asked,
    begin,
    items_of,
    libvirt,
    virsh,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.pools import read_kept
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    check_line,
    check_name,
    check_path,
    element,
    shown_size,
    size,
    to_xml,
)
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, may_remove, returned
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Remove,
    Write,
    reconcile,
)

LEDGER = "/var/lib/overloom/libvirt-volumes.json"
# The key of the ledger that lists the adopted volumes; those of volumes have a slash.
ADOPTED = "adopted"
VOLUME_SPEC: dict[str, t.Any] = {
    "name": {"type": "str"},
    "pool": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "size": {"type": "str"},
    "format": {"type": "str", "choices": ["raw", "qcow2", "vmdk", "vdi"]},
    "backing_path": {"type": "str"},
    "backing_format": {"type": "str", "choices": ["raw", "qcow2", "vmdk"], "default": "qcow2"},
}


class Volumes(t.NamedTuple):
    """Pools by name, each with its volumes' typed options, None for an inactive pool; whose each volume is, and which were there before."""

    pools: dict[str, dict[str, dict[str, t.Any]] | None]
    ledger: dict[str, str]
    adopted: frozenset[str] = frozenset()


def want_volume(item: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Check one item. Raises FabricError."""
    name = check_line(item["name"], "volume name")
    if not re.fullmatch(r"[A-Za-z0-9_.:+@][A-Za-z0-9_.:+@ -]*", name) or name in (".", ".."):
        raise FabricError(f"volume name {item['name']!r} is no file name: use letters, digits and _.:+@-")
    if not item["pool"]:
        raise FabricError(f"volume {name} needs pool")
    pool = check_name(item["pool"], f"volume {name}: pool")
    wanted: dict[str, t.Any] = {
        "name": name,
        "pool": pool,
        "state": item["state"],
        "backing_format": item["backing_format"],
        "options": {},
    }
    if item["size"] is not None:
        wanted["options"]["size"] = size(item["size"], f"volume {name}: size")
        if wanted["options"]["size"] % 512:
            raise FabricError(f"volume {name}: size {item['size']} is no multiple of 512 bytes")
    if item["format"] is not None:
        wanted["options"]["format"] = item["format"]
    if item["backing_path"] is not None:
        wanted["options"]["backing_path"] = check_path(item["backing_path"], f"volume {name}: backing_path")
    return wanted


def read_volumes(connection: t.Any, pools: t.Iterable[str]) -> Volumes:
    """The volumes of these pools and the ledger."""
    found: dict[str, dict[str, dict[str, t.Any]] | None] = {}
    for handle in asked("the pools cannot be listed", connection.listAllStoragePools):
        if handle.name() not in pools:
            continue
        if not handle.isActive():
            found[handle.name()] = None
            continue
        volumes: dict[str, dict[str, t.Any]] = {}
        found[handle.name()] = volumes
        for volume in asked(f"pool {handle.name()} cannot be read", handle.listAllVolumes):
            try:
                root = ET.fromstring(volume.XMLDesc())
            except libvirt.libvirtError:
                continue  # Removed since the list was made.
            kind = root.find("target/format")
            volumes[volume.name()] = {
                "path": root.findtext("target/path", ""),
                "size": int(root.findtext("capacity", "0")),
                "format": "raw" if kind is None else kind.get("type", "raw"),
                "backing_path": root.findtext("backingStore/path", ""),
            }
    ledger = read_kept(LEDGER)
    adopted = frozenset(ledger.pop(ADOPTED, []))
    return Volumes(found, ledger, adopted)


class VolumeActions:
    """Makes the calls of one connection; each is shown as its virsh command."""

    def __init__(self, connection: t.Any, uri: str) -> None:
        self.connection, self.uri = connection, uri

    def _pool(self, name: str) -> t.Any:
        return self.connection.storagePoolLookupByName(name)

    def create(self, pool: str, name: str, options: t.Mapping[str, t.Any], backing_format: str) -> Call:
        """Make a volume."""
        root = element(
            "volume",
            None,
            element("name", text=name),
            element("capacity", {"unit": "bytes"}, text=str(options.get("size", 0))),
        )
        root.append(element("target", None, element("format", {"type": options["format"]})))
        if options.get("backing_path"):
            path = element("path", text=options["backing_path"])
            root.append(element("backingStore", None, path, element("format", {"type": backing_format})))
        text = to_xml(root)
        argv = virsh(self.uri, "vol-create", pool, "/dev/stdin")
        return Call(f"volume {name} cannot be made", argv, lambda: self._pool(pool).createXML(text), text)

    def resize(self, pool: str, name: str, capacity: int) -> Call:
        """Grow a volume."""
        argv = virsh(self.uri, "vol-resize", name, f"{capacity}B", "--pool", pool)
        return Call(
            f"volume {name} cannot be grown",
            argv,
            lambda: self._pool(pool).storageVolLookupByName(name).resize(capacity),
        )

    def delete(self, pool: str, name: str) -> Call:
        """Remove a volume."""
        argv = virsh(self.uri, "vol-delete", name, "--pool", pool)
        return Call(
            f"volume {name} cannot be removed", argv, lambda: self._pool(pool).storageVolLookupByName(name).delete()
        )


def plan_volumes(
    found: Volumes,
    wanted: t.Sequence[t.Mapping[str, t.Any]],
    owner: str,
    adopt: bool,
    purge: bool,
    check: bool,
    actions: VolumeActions,
) -> Change:
    """Compare. Raises FabricError."""
    plan = _VolumePlan(found, Caller(owner, adopt), check, actions)
    for item in wanted:
        plan.add(item)
    if purge:
        plan.purge({_key(item) for item in wanted})
    return plan.change()


def _key(item: t.Mapping[str, t.Any]) -> str:
    """How the ledger calls a volume."""
    return f"{item['pool']}/{item['name']}"


class _VolumePlan:
    """The steps for each volume, the ledger as it will be, and both sides of the diff."""

    def __init__(self, found: Volumes, caller: Caller, check: bool, actions: VolumeActions) -> None:
        self.found, self.caller, self.check, self.actions = found, caller, check, actions
        self.ledger = dict(found.ledger)
        self.adopted = set(found.adopted)
        self.steps: list[t.Any] = []
        self.before: dict[str, t.Any] = {}
        self.after: dict[str, t.Any] = {}
        self.warnings: list[str] = []

    def add(self, item: t.Mapping[str, t.Any]) -> None:
        """One declared volume."""
        pool, what = item["pool"], f"volume {item['name']}"
        if self.found.pools.get(pool) is None:
            if item["state"] == "absent" and pool not in self.found.pools:
                return
            state = "is not active" if pool in self.found.pools else "does not exist"
            text = f"{what}: pool {pool} {state}: see to it with libvirt_pool"
            if not self.check:
                raise FabricError(text)
            self.warnings.append(text)
        there = (self.found.pools.get(pool) or {}).get(item["name"])
        if item["state"] == "absent":
            if there is not None:
                self._absent(item, there)
        elif there is None:
            self._create(item)
        else:
            self._match(item, there)

    def _absent(self, item: t.Mapping[str, t.Any], there: t.Mapping[str, t.Any]) -> None:
        """A volume that shall go."""
        key, what = _key(item), f"volume {item['name']} in pool {item['pool']}"
        holder = self.found.ledger.get(key)
        may_remove(what, holder, self.caller)
        self._remove(key, there, given_back=key in self.found.adopted and not self.caller.adopt)

    def _remove(self, key: str, there: t.Mapping[str, t.Any], given_back: bool) -> None:
        """Delete a volume, or give it back with its data."""
        self._forget(key)
        if given_back:
            self.warnings.append(returned(f"volume {key}"))
            self._tell(key, {"owner": self.caller.owner}, {"owner": ""})
            return
        pool, _slash, name = key.partition("/")
        self.steps.append(self.actions.delete(pool, name))
        self._tell(key, {"state": "present", "size": shown_size(there["size"])}, {"state": "absent"})

    def _create(self, item: t.Mapping[str, t.Any]) -> None:
        """A volume that is not there."""
        options = {"format": "qcow2", **item["options"]}
        if not options.get("size") and not options.get("backing_path"):
            raise FabricError(
                f"volume {item['name']} does not exist in pool {item['pool']} and size is missing: say how large it shall be"
            )
        self.steps.append(self.actions.create(item["pool"], item["name"], options, item["backing_format"]))
        self.ledger[_key(item)] = self.caller.owner
        self._tell(_key(item), {"state": "absent"}, _shown({"state": "present", **options}))

    def _match(self, item: t.Mapping[str, t.Any], there: t.Mapping[str, t.Any]) -> None:
        """A volume that is there."""
        key, what, options = _key(item), f"volume {item['name']} in pool {item['pool']}", item["options"]
        holder, owner = self.found.ledger.get(key), self.caller.owner
        if holder and holder != owner and not self.caller.adopt:
            raise FabricError(f"{what} belongs to {holder}, not to {owner}: leave it, or set adopt to take it over")
        if self.caller.adopt:
            if key not in self.ledger:
                self.adopted.add(key)
            self.ledger[key] = owner
        _check_kept(what, options, there)
        if options.get("size", 0) > there["size"]:
            self.steps.append(self.actions.resize(item["pool"], item["name"], options["size"]))
        was = {"owner": holder or "", **{option: there[option] for option in options}}
        self._tell(key, _shown(was), _shown({"owner": self.ledger.get(key, ""), **options}))

    def purge(self, declared: t.Container[str]) -> None:
        """What is noted as ours and no longer declared."""
        owner = self.caller.owner
        for key in sorted(key for key, holder in self.found.ledger.items() if holder == owner and key not in declared):
            pool, _slash, name = key.partition("/")
            there = (self.found.pools.get(pool) or {}).get(name)
            if there is not None:
                self._remove(key, there, given_back=key in self.found.adopted)
            elif pool not in self.found.pools or self.found.pools[pool] is not None:
                self._forget(key)
                self._tell(key, {"owner": owner}, {"owner": ""})

    def _forget(self, key: str) -> None:
        self.ledger.pop(key, None)
        self.adopted.discard(key)

    def _tell(self, key: str, before: dict[str, t.Any], after: dict[str, t.Any]) -> None:
        self.before[key], self.after[key] = before, after

    def change(self) -> Change:
        """The steps. New lines of the ledger are written first and old ones removed last: a line without a volume is no harm, a volume
        without its line would stay for ever."""
        kept, steps = self.found.ledger, list(self.steps)
        removed = {key: kept[key] for key in kept if key not in self.ledger}
        if {**self.ledger, **removed} != kept:
            steps.insert(0, _write_ledger({**self.ledger, **removed}, self.adopted | self.found.adopted))
        if removed:
            steps.append(_write_ledger(self.ledger, self.adopted))
        names = [key for key in self.after if self.before[key] != self.after[key]]
        before, after = ({key: side[key] for key in names} for side in (self.before, self.after))
        return Change(steps, before, after, tuple(self.warnings))


def _check_kept(what: str, options: t.Mapping[str, t.Any], there: t.Mapping[str, t.Any]) -> None:
    """What cannot be changed of a volume that is there."""
    for option in ("format", "backing_path"):
        if option in options and options[option] != there[option]:
            raise FabricError(
                f"{what} has {option} {there[option] or 'none'}, which cannot become "
                f"{options[option] or 'none'}: remove it, or correct {option}"
            )
    if 0 < options.get("size", 0) < there["size"]:
        raise FabricError(
            f"{what} has {shown_size(there['size'])} and size says {shown_size(options['size'])}: a volume is never shrunk, raise size"
        )


def _write_ledger(ledger: t.Mapping[str, str], adopted: t.AbstractSet[str]) -> Write | Remove:
    if not ledger:
        return Remove(LEDGER)
    listed = {ADOPTED: sorted(adopted)} if adopted else {}
    return Write(LEDGER, json.dumps({**ledger, **listed}, indent=1, sort_keys=True) + "\n")


def _shown(options: dict[str, t.Any]) -> dict[str, t.Any]:
    return {key: shown_size(value) if key == "size" else value for key, value in options.items()}


def _wanted_volumes(params: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """The declared volumes, checked. Two pools may hold volumes of one name, which items_of would refuse."""
    given = params["volumes"]
    keys = [(item["pool"], item["name"]) for item in given or []]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice:
        raise FabricError(f"volume {twice[1]} is declared twice in pool {twice[0]}: declare it once")
    return [want_volume(item) for item in given or items_of(params, VOLUME_SPEC, "volumes", "volume")]


def run_volumes(module: t.Any) -> None:
    """The whole of libvirt_volume."""
    params = module.params
    wanted, connection, runner = begin(module, lambda: _wanted_volumes(params), volumes={})
    actions = VolumeActions(connection, params["uri"])
    pools = {item["pool"] for item in wanted}

    def read() -> Volumes:
        found = read_volumes(connection, pools)
        # What is purged may lie in pools that are no longer declared.
        own = {key.partition("/")[0] for key, holder in found.ledger.items() if holder == params["owner"]}
        return read_volumes(connection, pools | own) if params["purge"] and own - pools else found

    def compare(found: Volumes) -> Change:
        return plan_volumes(
            found, wanted, params["owner"], params["adopt"], params["purge"], module.check_mode, actions
        )

    def judge(found: Volumes) -> list[str]:
        return [f"volume {key} is not as declared after the change" for key in compare(found).after]

    def state(found: Volumes) -> dict[str, t.Any]:
        seen = {}
        for item in wanted:
            there = (found.pools.get(item["pool"]) or {}).get(item["name"])
            if there is not None:
                key = f"{item['pool']}/{item['name']}"
                seen[key] = {**there, "size": shown_size(there["size"]), "owner": found.ledger.get(key, "")}
        return {"volumes": seen}

    reconcile(module, read, compare, runner, state, judge)

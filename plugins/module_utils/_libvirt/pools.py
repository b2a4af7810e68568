# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage pools. This file is private to the collection.

libvirt keeps no metadata with a pool. Its mark is therefore its UUID, which follows from owner and name. What was there before it was
adopted is given back and not removed: its former definition is kept on the host.
"""

from __future__ import annotations

import copy
import json
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import (
    Call,
    asked,
    begin,
    items_of,
    libvirt,
    said,
    virsh,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    check_change,
    check_line,
    check_name,
    check_path,
    derived_uuid,
    drop,
    element,
    make,
    replaces,
    set_text,
    to_xml,
)
from ansible_collections.overloom.fabric.plugins.module_utils._owner import returned
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Remove,
    Write,
    reconcile,
)

POOL_MODULE = "libvirt_pool"
POOLS_BEFORE = "/var/lib/overloom/libvirt-pools.json"
POOL_SPEC: dict[str, t.Any] = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "active", "inactive", "absent"], "default": "active"},
    "type": {"type": "str", "choices": ["dir", "fs", "netfs", "logical"]},
    "path": {"type": "str"},
    "source_device": {"type": "str"},
    "source_host": {"type": "str"},
    "source_dir": {"type": "str"},
    "source_name": {"type": "str"},
    "autostart": {"type": "bool"},
}
# Where each type of pool lies (formatstorage, "Source elements"); libvirt drops what another type has, without a word.
POOL_PLACES = {
    "dir": ("path",),
    "fs": ("path", "source_device"),
    "netfs": ("path", "source_host", "source_dir"),
    "logical": ("path", "source_name"),
}


class Pool(t.NamedTuple):
    """A pool on the host."""

    root: ET.Element
    active: bool
    autostart: bool


def want_pool(item: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Check one item; the declared options and what says how. Raises FabricError."""
    name = check_name(item["name"], "pool name")
    if "/" in name:
        raise FabricError(f"pool name {name!r} holds a slash: leave it out")
    what = f"pool {name}:"
    options: dict[str, t.Any] = {}
    if item["type"] is not None:
        options["type"] = item["type"]
    for key, check in (
        ("path", check_path),
        ("source_device", check_path),
        ("source_host", check_line),
        ("source_dir", check_path),
        ("source_name", check_line),
    ):
        if item[key] is not None:
            options[key] = check(item[key], f"{what} {key}")
    needs = {"fs": ["source_device"], "netfs": ["source_host", "source_dir"], "logical": ["source_name"]}.get(
        item["type"] or "", []
    )
    missing = next((key for key in needs if key not in options), None)
    if missing:
        raise FabricError(f"{what} type {item['type']} needs {missing}")
    _check_places(options, item["type"], what)
    return {"name": name, "state": item["state"], "options": options, "autostart": item["autostart"]}


def _check_places(options: t.Mapping[str, t.Any], kind: str | None, what: str) -> None:
    """Refuse an option of another type of pool; of types that the option does not have, all are taken."""
    places = POOL_PLACES.get(kind or "", ("path", "source_device", "source_host", "source_dir", "source_name"))
    alien = next((key for key in options if key not in ("type", *places)), None)
    if alien:
        types = " or ".join(name for name, has in POOL_PLACES.items() if alien in has)
        raise FabricError(f"{what} {alien} is for type {types}, not {kind}: leave it out, or correct type")


def view_pool(root: ET.Element) -> dict[str, t.Any]:
    """A pool's typed options."""

    def attribute(path: str, key: str) -> str:
        found = root.find(path)
        return "" if found is None else found.get(key, "")

    return {
        "type": root.get("type", ""),
        "path": root.findtext("target/path", ""),
        "source_device": attribute("source/device", "path"),
        "source_host": attribute("source/host", "name"),
        "source_dir": attribute("source/dir", "path"),
        "source_name": root.findtext("source/name", ""),
    }


def patch_pool(root: ET.Element, options: t.Mapping[str, t.Any]) -> None:
    """Make a pool's document say what is wanted; what no option says stays, but for the source of a pool that becomes one of another type."""
    if options.get("type", root.get("type")) != root.get("type"):
        root.set("type", options["type"])
        drop(root, "source")
    seen = view_pool(root)
    changed = {key: value for key, value in options.items() if seen[key] != value}
    if "path" in changed:
        set_text(make(root, "target"), "path", changed["path"])
    for key, tag, name in (
        ("source_device", "device", "path"),
        ("source_host", "host", "name"),
        ("source_dir", "dir", "path"),
    ):
        if key in changed:
            make(make(root, "source", ("target",)), tag).set(name, changed[key])
    if "source_name" in changed:
        set_text(make(root, "source", ("target",)), "name", changed["source_name"])


def pool_uuid(owner: str, name: str) -> str:
    """The UUID that marks a pool as made by this owner."""
    return derived_uuid(POOL_MODULE, owner, name)


def read_pools(connection: t.Any) -> dict[str, Pool]:
    """All pools of the host."""
    pools = {}
    for handle in asked("the pools cannot be listed", connection.listAllStoragePools):
        try:
            document = handle.XMLDesc(libvirt.VIR_STORAGE_XML_INACTIVE if handle.isPersistent() else 0)
            pools[handle.name()] = Pool(ET.fromstring(document), bool(handle.isActive()), bool(handle.autostart()))
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_POOL:
                raise FabricError(f"a pool cannot be read: {said(error)}") from error
    return pools


class PoolActions:
    """Makes the calls of one connection; each is shown as its virsh command."""

    def __init__(self, connection: t.Any, uri: str) -> None:
        self.connection, self.uri = connection, uri

    def define(self, name: str, root: ET.Element, former: Pool | None = None) -> Call:
        """Define a pool, or define it anew. former: the pool that steps before this one have stopped; it is there again if libvirt refuses this one."""
        text = to_xml(root)

        def act() -> None:
            try:
                self.connection.storagePoolDefineXML(text)
            except libvirt.libvirtError:
                if former is not None:
                    self._put_back(former)
                raise

        return Call(f"pool {name} is refused", virsh(self.uri, "pool-define", "/dev/stdin"), act, text)

    def _put_back(self, former: Pool) -> None:
        handle = self.connection.storagePoolDefineXML(to_xml(former.root, secret=True))
        handle.setAutostart(int(former.autostart))
        if former.active and not handle.isActive():
            handle.create()

    def simple(self, verb: str, name: str) -> Call:
        """build, start, destroy, undefine, or autostart."""
        calls = {"build": "build", "start": "create", "destroy": "destroy", "undefine": "undefine"}

        def act() -> None:
            getattr(self.connection.storagePoolLookupByName(name), calls[verb])()

        return Call(f"pool {name}: {verb}", virsh(self.uri, f"pool-{verb}", name), act)

    def autostart(self, name: str, wanted: bool) -> Call:
        """Start the pool with the host, or not."""
        argv = virsh(self.uri, "pool-autostart", name, *([] if wanted else ["--disable"]))
        return Call(
            f"pool {name}: autostart",
            argv,
            lambda: self.connection.storagePoolLookupByName(name).setAutostart(int(wanted)),
        )


def plan_pools(
    found: t.Mapping[str, Pool],
    wanted: t.Sequence[t.Mapping[str, t.Any]],
    owner: str,
    adopt: bool,
    purge: bool,
    actions: PoolActions,
    remembered: t.Mapping[str, t.Any] | None = None,
) -> Change:
    """Compare. A pool's files are never touched. Raises FabricError.

    remembered: the pools that were there before they were adopted, by name: their document, and whether they were active and started with
    the host.
    """
    remembered = remembered or {}
    result = PoolPlan(found, owner, adopt, actions, remembered)
    for item in wanted:
        if item["state"] == "absent":
            result.remove_declared(item["name"])
        else:
            result.declare(item)
    if purge:
        declared = {item["name"] for item in wanted}
        for name, pool in sorted(found.items()):
            if name not in declared and result.is_mine(name):
                result.remove(name, pool, given_back=name in remembered)
    names = [name for name in result.after if result.before[name] != result.after[name]]
    return Change(
        result.all_steps(),
        {name: result.before[name] for name in names},
        {name: result.after[name] for name in names},
        tuple(result.warnings),
    )


class PoolPlan:
    """The steps for all pools, and what differs."""

    def __init__(
        self,
        found: t.Mapping[str, Pool],
        owner: str,
        adopt: bool,
        actions: PoolActions,
        remembered: t.Mapping[str, t.Any],
    ) -> None:
        self.found, self.owner, self.adopt, self.actions = found, owner, adopt, actions
        self.remembered, self.kept = remembered, dict(remembered)
        self.warnings: list[str] = []
        self.steps: list[t.Any] = []
        self.before: dict[str, t.Any] = {}
        self.after: dict[str, t.Any] = {}

    def all_steps(self) -> list[t.Any]:
        """The steps, with what is remembered written before it is needed, and forgotten when it is given back."""
        gone = {name: row for name, row in self.remembered.items() if name not in self.kept}
        first = [_write_pools({**self.kept, **gone})] if {**self.kept, **gone} != self.remembered else []
        return [*first, *self.steps, *([_write_pools(self.kept)] if gone else [])]

    def is_mine(self, name: str) -> bool:
        """Whether the pool carries this owner's mark."""
        pool = self.found.get(name)
        return pool is not None and pool.root.findtext("uuid") == pool_uuid(self.owner, name)

    def remove_declared(self, name: str) -> None:
        """Remove a pool by its name. Raises FabricError for one without our mark, which is its UUID."""
        pool = self.found.get(name)
        if pool is None:
            return
        if not self.is_mine(name) and not self.adopt:
            raise FabricError(
                f"pool {name} was not made by owner {self.owner} and stays; leave it out of the task, or give adopt: true to remove it"
            )
        self.remove(name, pool, given_back=name in self.remembered and self.is_mine(name) and not self.adopt)

    def remove(self, name: str, pool: Pool, given_back: bool = False) -> None:
        """Stop and forget a pool, or make it again as it was before it was adopted."""
        if pool.active:
            self.steps.append(self.actions.simple("destroy", name))
        self.steps.append(self.actions.simple("undefine", name))
        self.before[name], self.after[name] = {"state": "active" if pool.active else "inactive"}, {"state": "absent"}
        former = self.kept.pop(name, None)
        if not given_back:
            return
        self.warnings.append(returned(f"pool {name}"))
        self.steps.append(self.actions.define(name, ET.fromstring(former["definition"])))
        self.steps += [self.actions.simple("start", name)] if former["active"] else []
        self.steps += [self.actions.autostart(name, True)] if former["autostart"] else []
        self.before[name]["owned"] = True
        self.after[name] = {"state": "active" if former["active"] else "inactive", "owned": False}

    def declare(self, item: t.Mapping[str, t.Any]) -> None:
        """Make a pool so. Raises FabricError."""
        name, options = item["name"], item["options"]
        pool = self.found.get(name)
        _check_declared(name, options, pool)
        taken = self.adopt and pool is not None and not self.is_mine(name)
        active = pool is not None and pool.active
        goal = {"active": True, "inactive": False, "present": active}[item["state"]]
        was, will = self._sides(name, options, pool, goal, taken)
        if pool is not None and not will["owned"]:
            replaced = [key for key, value in options.items() if replaces(was[key], value)]
            stopped = ["state"] if active and not goal else []
            check_change(f"pool {name}", replaced + stopped, ["it is active"] if active else [])
        if pool is None or taken or any(was[key] != value for key, value in options.items()):
            self._define(name, pool, options, taken)
            active = False
        if goal != active:
            self.steps.append(self.actions.simple("start" if goal else "destroy", name))
        self._autostart(item, pool, goal, taken, (was, will))
        self.before[name], self.after[name] = was, will

    def _sides(
        self, name: str, options: t.Mapping[str, t.Any], pool: Pool | None, goal: bool, taken: bool
    ) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """A pool before and after, as far as it is declared."""
        will: dict[str, t.Any] = {**options, "state": "active" if goal else "inactive"}
        if pool is None:
            return {"state": "absent"}, will
        seen, mine = view_pool(pool.root), self.is_mine(name)
        was = {"owned": mine, "state": "active" if pool.active else "inactive", **{key: seen[key] for key in options}}
        return was, {**will, "owned": mine or taken}

    def _define(self, name: str, pool: Pool | None, options: t.Mapping[str, t.Any], taken: bool) -> None:
        root = copy.deepcopy(pool.root) if pool is not None else element("pool", None, element("name", text=name))
        if pool is None or taken:
            set_text(root, "uuid", pool_uuid(self.owner, name))
        if pool is not None and pool.active:
            # Guests keep the files open that they have; only the pool is away for a moment.
            self.steps.append(self.actions.simple("destroy", name))
        if taken and pool is not None:
            self.kept.setdefault(
                name, {"definition": to_xml(pool.root), "active": pool.active, "autostart": pool.autostart}
            )
            self.steps.append(self.actions.simple("undefine", name))
        moved = "path" in options and view_pool(root)["path"] != options["path"] or pool is None
        patch_pool(root, options)
        drop(root, "capacity", "allocation", "available")
        self.steps.append(self.actions.define(name, root, pool))
        if root.get("type") in ("dir", "netfs", "fs") and moved:
            self.steps.append(self.actions.simple("build", name))

    def _autostart(
        self,
        item: t.Mapping[str, t.Any],
        pool: Pool | None,
        goal: bool,
        taken: bool,
        sides: tuple[dict[str, t.Any], dict[str, t.Any]],
    ) -> None:
        found = pool is not None and pool.autostart
        wanted = item["autostart"] if item["autostart"] is not None or pool is not None else goal
        # One that is defined under another UUID begins without.
        if wanted is None and taken:
            wanted = found
        if wanted is not None and wanted != (found and not taken):
            self.steps.append(self.actions.autostart(item["name"], wanted))
            sides[0]["autostart"], sides[1]["autostart"] = found, wanted


def _check_declared(name: str, options: t.Mapping[str, t.Any], pool: Pool | None) -> None:
    """Refuse options that do not say where a pool lies, or that do not go with its type."""
    if pool is not None:
        _check_places(options, options.get("type", pool.root.get("type")), f"pool {name}:")
    elif "type" not in options or ("path" not in options and options["type"] != "logical"):
        raise FabricError(
            f"pool {name} does not exist and {'path' if 'type' in options else 'type'} is missing: say where it lies"
        )


def _write_pools(kept: t.Mapping[str, t.Any]) -> Write | Remove:
    if not kept:
        return Remove(POOLS_BEFORE)
    return Write(POOLS_BEFORE, json.dumps(kept, indent=1, sort_keys=True) + "\n", 0o600)


def read_kept(path: str) -> dict[str, t.Any]:
    """What is kept on the host in a file, empty where nothing is. Raises FabricError."""
    try:
        with open(path, encoding="utf-8") as stream:
            kept: dict[str, t.Any] = json.load(stream)
            return kept
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise FabricError(f"{path} cannot be read ({error}): correct or remove it") from error


def pool_state(found: t.Mapping[str, Pool], owner: str) -> dict[str, t.Any]:
    """The typed state of pools; owned says whether a pool carries this owner's mark."""
    return {
        name: {
            **view_pool(pool.root),
            "state": "active" if pool.active else "inactive",
            "autostart": pool.autostart,
            "owned": pool.root.findtext("uuid") == pool_uuid(owner, name),
        }
        for name, pool in found.items()
    }


def run_pools(module: t.Any) -> None:
    """The whole of libvirt_pool."""
    params = module.params

    def wants() -> list[dict[str, t.Any]]:
        return [want_pool(item) for item in items_of(params, POOL_SPEC, "pools", "pool")]

    wanted, connection, runner = begin(module, wants, pools={})
    actions = PoolActions(connection, params["uri"])
    names = [item["name"] for item in wanted]

    def compare(found: dict[str, Pool]) -> Change:
        remembered = read_kept(POOLS_BEFORE)
        return plan_pools(found, wanted, params["owner"], params["adopt"], params["purge"], actions, remembered)

    def judge(found: dict[str, Pool]) -> list[str]:
        return [f"pool {name} is not as declared after the change" for name in compare(found).after]

    def state(found: dict[str, Pool]) -> dict[str, t.Any]:
        return {"pools": pool_state({name: found[name] for name in names if name in found}, params["owner"])}

    reconcile(module, lambda: read_pools(connection), compare, runner, state, judge)

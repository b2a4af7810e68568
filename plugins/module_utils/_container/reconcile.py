# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers in network namespaces: the comparison of what is declared with what runs, and the run of the modules.

This file is private to the collection.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._container import podman as _podman
from ansible_collections.overloom.fabric.plugins.module_utils._container.podman import Container, check_container_name
from ansible_collections.overloom.fabric.plugins.module_utils._container.service import (
    CIDS,
    UNIT_KIND,
    Wanted,
    cid_file,
    declared,
    noted,
    service_name,
    unit_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import existing, namespace_of
from ansible_collections.overloom.fabric.plugins.module_utils._owner import (
    Settings,
    may_change,
    may_declare,
    may_remove,
    owner_argument_spec,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Remove,
    RemoveFolder,
    Runner,
    Step,
    module_runner,
    reconcile,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Unit, booted, read_units, unit_steps

# How long a container that was just started is watched, in seconds: one whose command fails ends at once.
PATIENCE = 0.5
_MISSING = "Podman is not installed on this host; install the package podman"


class Found(t.NamedTuple):
    """What was read.

    units: of all containers of ours, by file name. active: the names of those that run. containers: None without Podman.
    images: ids by the declared names. places: the named namespace of each running container. spaces: all named namespaces.
    cgroups: whether the host may make control groups.
    """

    units: dict[str, Unit]
    active: frozenset[str]
    containers: dict[str, Container] | None
    images: dict[str, str]
    places: dict[str, str | None]
    spaces: frozenset[str]
    cgroups: bool = True

    def container(self, name: str) -> Container | None:
        """A container by its name."""
        return (self.containers or {}).get(name)

    def owner_of_unit(self, name: str) -> str | None:
        """The owner mark of the service of a container."""
        unit = self.units.get(service_name(name))
        return unit.notes().get("Owner") if unit else None


def item_argument_spec() -> dict:
    """The options of one item."""
    return {
        "name": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "namespace": {"type": "str"},
        "image": {"type": "str"},
        "command": {"type": "list", "elements": "str"},
        "options": {"type": "list", "elements": "str"},
        "stop_timeout": {"type": "int", "default": 10},
    }


def argument_spec() -> dict:
    """The options of the module."""
    item = item_argument_spec()
    listed = {**item, "name": {"type": "str", "required": True}}
    return {**item, "containers": {"type": "list", "elements": "dict", "options": listed}, **owner_argument_spec()}


def exclusive() -> list[tuple[str, str]]:
    """The pairs of options that exclude each other: an item stands alone, or in the list."""
    return [("containers", option) for option in item_argument_spec()]


# What is there ---------------------------------------------------------------------------------------------------------


def read_host(runner: Runner, images: t.Iterable[str] = ()) -> Found:
    """Read the containers, their services and the declared images."""
    units = read_units(UNIT_KIND)
    containers = _podman.containers(runner)
    running = [container for container in (containers or {}).values() if container.running]
    return Found(
        units=units,
        active=_active(runner, sorted(units)),
        containers=containers,
        images=_podman.image_ids(runner, images) if containers is not None else {},
        places={container.name: namespace_of(container.pid) for container in running},
        spaces=frozenset(existing()),
        cgroups=_podman.may_make_cgroups(),
    )


def _active(runner: Runner, units: t.Sequence[str]) -> frozenset[str]:
    """Which units are active."""
    if not units:
        return frozenset()
    _status, out, _err = runner.run(("systemctl", "is-active", *units))
    return frozenset(unit for unit, state in zip(units, out.split()) if state == "active")


# The comparison --------------------------------------------------------------------------------------------------------


def compare(found: Found, wanted: t.Sequence[Wanted], settings: Settings) -> Change:
    """The steps from what was found to what is declared; pure."""
    if found.containers is None and (wanted or found.units):
        raise FabricError(_MISSING)
    plan = _Plan(found, settings)
    for one in wanted:
        if one.present:
            plan.keep(one)
        else:
            plan.remove(one.name)
    if settings.purge:
        for name in sorted(_owned(found, settings.owner) - {one.name for one in wanted}):
            plan.remove(name)
    return plan.change()


def _owned(found: Found, owner: str) -> set[str]:
    """The names of an owner's containers and services; an interrupted run may have left either alone."""
    names = {unit.notes().get("Name", "") for unit in found.units.values() if unit.notes().get("Owner") == owner}
    names |= {container.name for container in (found.containers or {}).values() if container.owner == owner}
    return names - {""}


class _Plan:
    """The steps by kind, collected container by container."""

    def __init__(self, found: Found, settings: Settings) -> None:
        self._found = found
        self._settings = settings
        self._units: dict[str, Unit | None] = {}
        self._clear: list[Step] = []
        self._restart: list[str] = []
        self._remove: list[t.Any] = []
        self._before: dict[str, t.Any] = {}
        self._after: dict[str, t.Any] = {}

    def change(self) -> Change:
        """All steps: files first, then what is started, at last what goes."""
        steps = unit_steps(self._found.units, self._units, booted())
        started = [Step(("systemctl", "restart", *self._restart))] if self._restart else []
        every = [*steps.put, *self._clear, *started, *steps.drop, *self._remove]
        return Change(every, self._before, self._after)

    def keep(self, wanted: Wanted) -> None:
        """Run a container as it is declared; one that differs is made anew."""
        name, found = wanted.name, self._found
        self._check(wanted)
        unit, there = unit_of(wanted, self._settings.owner, self._found.cgroups), found.units.get(service_name(name))
        runs = self._runs(wanted)
        self._units[unit.name] = unit
        if not runs or there is None or there.content != unit.content:
            if found.container(name) and unit.name not in found.active:
                # What an earlier run, a power failure or its former owner has left has the name.
                self._clear.append(Step(("podman", "rm", "--force", "--time=0", name)))
            self._restart.append(unit.name)
        self._tell(wanted, there, runs)

    def _check(self, wanted: Wanted) -> None:
        """Refuse what is another's, and what cannot be started."""
        name, settings, container = wanted.name, self._settings, self._found.container(wanted.name)
        what = f"container {name}"
        may_declare(what, self._found.owner_of_unit(name), settings.caller)
        if container:
            may_declare(what, container.owner, settings.caller)
            way = "choose another name, or plug it in as it is with the option container of netns_veth"
            may_change(what, container.owner, settings.caller, "it would be removed", container.uses(), way)
        if wanted.image not in self._found.images:
            raise FabricError(
                f"{what}: there is no image {wanted.image} on this host; bring it with podman pull, load or build, or correct image"
            )
        if wanted.namespace not in self._found.spaces and not settings.lenient:
            raise FabricError(
                f"{what}: there is no network namespace {wanted.namespace}; make it first, as with netns_veth, or correct namespace"
            )

    def _runs(self, wanted: Wanted) -> bool:
        """Whether it runs, from the image as it is by now, in its namespace as it is by now."""
        container = self._found.container(wanted.name)
        return bool(
            container
            and container.running
            and container.owner == self._settings.owner
            and service_name(wanted.name) in self._found.active
            and container.image_id == self._found.images[wanted.image]
            and self._found.places.get(wanted.name) == wanted.namespace
        )

    def _tell(self, wanted: Wanted, there: Unit | None, runs: bool) -> None:
        """Both sides for the diff."""
        container, found = self._found.container(wanted.name), self._found
        self._after[wanted.name] = {
            **wanted.shown(),
            "image_id": found.images[wanted.image],
            "running": True,
            "joined": wanted.namespace,
            "owner": self._settings.owner,
            "service": "as declared",
        }
        if there is None and container is None:
            return
        same = there is not None and there.content == unit_of(wanted, self._settings.owner, self._found.cgroups).content
        self._before[wanted.name] = {
            **(noted(there) or {}),
            "image_id": container.image_id if container else None,
            "running": runs or bool(container and container.running and service_name(wanted.name) in found.active),
            "joined": found.places.get(wanted.name),
            "owner": container.owner if container else None,
            "service": "as declared" if same else "otherwise" if there else None,
        }

    def remove(self, name: str) -> None:
        """Stop and remove a container with its service."""
        settings, container, unit = self._settings, self._found.container(name), service_name(name)
        mark = self._found.owner_of_unit(name) or (container.owner if container else None)
        if unit not in self._found.units and container is None:
            return
        may_remove(f"container {name}", mark, settings.caller)
        self._units[unit] = None
        if container and unit not in self._found.active:
            self._clear.append(Step(("podman", "rm", "--force", "--time=0", name)))
        if unit in self._found.units:
            self._remove += [Remove(cid_file(name)), RemoveFolder(CIDS)]
        self._before[name] = {"running": bool(container and container.running), "service": unit in self._found.units}


# The modules -----------------------------------------------------------------------------------------------------------


def describe(found: Found, name: str) -> dict[str, t.Any]:
    """A container in plain types, as netns_container_info returns it."""
    container = found.container(name)
    unit = service_name(name)
    return {
        "name": name,
        "owner": (container.owner if container else None) or found.owner_of_unit(name),
        "id": container.id if container else None,
        "image": container.image if container else None,
        "image_id": container.image_id if container else None,
        "running": bool(container and container.running),
        "pid": container.pid if container else 0,
        "namespace": found.places.get(name),
        "service": unit if unit in found.units else None,
    }


def run(module: t.Any) -> None:
    """Do what the module's parameters say."""
    params = module.params
    settings = Settings(params["owner"], params["adopt"], params["purge"], lenient=module.check_mode)
    runner = module_runner(module)
    try:
        wanted = declared([params] if params["containers"] is None else params["containers"])
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)
    present = [one for one in wanted if one.present]
    started: list[str] = []
    begun = time.time()

    def compared(found: Found) -> Change:
        change = compare(found, wanted, settings)
        started.extend(change.after if isinstance(change.after, dict) and change.steps else ())
        return change

    reconcile(
        module,
        read=lambda: read_host(runner, [one.image for one in present]),
        compare=compared,
        runner=runner,
        state=lambda found: {"containers": [describe(found, one.name) for one in present if found.container(one.name)]},
        judge=lambda found: _judge(runner, found, present, begun, bool(started)),
        undo=lambda _found: [],
    )


def _judge(runner: Runner, found: Found, present: t.Sequence[Wanted], begun: float, watch: bool) -> list[str]:
    """The containers that do not stay up, each with what Podman or its command has said since the run began (seconds since the epoch)."""
    if watch and booted():
        time.sleep(PATIENCE)
        found = found._replace(active=_active(runner, sorted(found.units)))
    return [
        f"container {one.name} does not stay up: {_last_words(runner, service_name(one.name), begun)}"
        for one in present
        if booted() and service_name(one.name) not in found.active
    ]


def _last_words(runner: Runner, unit: str, begun: float) -> str:
    """The last error that a service has left in the journal since then."""
    since = f"--since=@{begun:.6f}"
    command = ("journalctl", "--unit", unit, since, "--lines=40", "--output=cat", "--no-pager")
    lines = [line.strip() for line in runner.run(command)[1].splitlines() if line.strip()]
    # That there is no id of an earlier container is none.
    errors = [line for line in lines if line.startswith("Error:") and "CIDFile" not in line]
    return errors[-1] if errors else f"its command ended; see journalctl -u {unit}"


def described(runner: Runner) -> list[dict[str, t.Any]]:
    """All containers of the host, sorted by name."""
    found = read_host(runner)
    every = {unit.notes().get("Name", "") for unit in found.units.values()} | set(found.containers or ())
    return [describe(found, name) for name in sorted(every - {""})]


def run_info(module: t.Any) -> None:
    """The module netns_container_info."""
    runner, names, owner = module_runner(module), module.params["names"], module.params["owner"]
    try:
        chosen = None if names is None else {check_container_name(name, "names") for name in names}
        rows = described(runner)
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    module.exit_json(
        changed=False,
        containers=[row for row in rows if (chosen is None or row["name"] in chosen) and owner in (None, row["owner"])],
        spawned=runner.spawned,
    )

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services in network namespaces: the comparison of what is declared with what runs, and the run of the modules.

This file is private to the collection.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import check_owner
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
    Write,
    module_runner,
    reconcile,
)
from ansible_collections.overloom.fabric.plugins.module_utils._service.dropin import (
    RESOLVERS,
    Wanted,
    check_unit,
    content_of,
    declared,
    noted,
    path_of,
    resolver_of,
    resolver_owner,
    resolver_text,
    servers_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._service.reader import Found, State, describe, read_host

# How long a service that was just restarted is watched, in seconds.
PATIENCE = 0.5


def item_argument_spec() -> dict:
    """The options of one item."""
    return {
        "name": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "namespace": {"type": "str"},
        "dns": {"type": "list", "elements": "str"},
        "search": {"type": "list", "elements": "str"},
    }


def argument_spec() -> dict:
    """The options of the module."""
    item = item_argument_spec()
    listed = {**item, "name": {"type": "str", "required": True}}
    return {**item, "services": {"type": "list", "elements": "dict", "options": listed}, **owner_argument_spec()}


def exclusive() -> list[tuple[str, str]]:
    """The pairs of options that exclude each other: an item stands alone, or in the list."""
    return [("services", option) for option in item_argument_spec()]


# The comparison --------------------------------------------------------------------------------------------------------


def compare(found: Found, wanted: t.Sequence[Wanted], settings: Settings) -> Change:
    """The steps from what was found to what is declared; pure."""
    plan = _Plan(found, wanted, settings)
    for one in wanted:
        if one.present:
            plan.keep(one)
        else:
            plan.remove(one.name)
    if settings.purge:
        named = {one.name for one in wanted}
        for name in sorted(found.dropins):
            if found.owner(name) == settings.owner and name not in named:
                plan.remove(name)
    return plan.change()


def refusal(name: str, state: State) -> str | None:
    """The sentence about a unit that cannot be placed."""
    what = f"service {name}"
    if state.load == "not-found":
        return f"{what}: there is no such unit on this host; install it first, or correct its name"
    if state.load != "loaded":
        return f"{what}: systemd has it as {state.load}; correct its unit file first"
    if state.id != name:
        return f"{what}: it is an alias of {state.id}; give that name"
    if state.placed_by:
        way = "take that out there, or leave the service out here"
        return f"{what}: {state.placed_by} gives it a network of its own already; {way}"
    if state.sockets:
        way = "disable that socket, or leave the service out"
        return f"{what}: {state.sockets[0]} listens for it, in the host's network; {way}"
    return None


class _Plan:
    """The steps by kind, collected service by service."""

    def __init__(self, found: Found, wanted: t.Sequence[Wanted], settings: Settings) -> None:
        self._found = found
        self._settings = settings
        self._names = {one.namespace: one for one in wanted if one.present and one.dns is not None}
        self._stays = {name: noted(content).namespace for name, content in found.dropins.items()}
        self._left: set[str | None] = set()
        self._resolvers: dict[str, Write | Remove] = {}
        self._files: list[t.Any] = []
        self._reload = False
        self._restart: list[str] = []
        self._before: dict[str, t.Any] = {}
        self._after: dict[str, t.Any] = {}

    def change(self) -> Change:
        """All steps: files first, then what is restarted, at last what nobody sees any more."""
        written = [step for step in self._resolvers.values() if isinstance(step, Write)]
        reload = [Step(("systemctl", "daemon-reload"))] if self._reload else []
        # What was started some times in a few seconds is not started again until its counter is reset (systemd.unit(5), StartLimitBurst).
        verbs = ("reset-failed", "restart") if self._restart else ()
        restart = [Step(("systemctl", verb, *self._restart)) for verb in verbs]
        steps = [*written, *self._files, *reload, *restart, *self._unused()]
        return Change(steps, self._before, self._after)

    def _unused(self) -> list[t.Any]:
        """The removal of files with names that no service of ours needs any more."""
        used, steps = set(self._stays.values()), []
        for namespace, text in self._found.resolvers.items():
            step = self._resolvers.get(namespace)
            orphan = namespace not in used and (self._settings.purge or namespace in self._left)
            if isinstance(step, Remove) or (step is None and orphan and resolver_owner(text) == self._settings.owner):
                path = resolver_of(namespace)
                steps += [Remove(path), RemoveFolder(os.path.dirname(path))]
                self._before.setdefault("resolv.conf", {})[namespace] = servers_of(text)
        return [*steps, RemoveFolder(RESOLVERS)] if steps else []

    def keep(self, wanted: Wanted) -> None:
        """Place a service in its namespace; one that runs elsewhere is restarted."""
        found, settings, name = self._found, self._settings, wanted.name
        state = found.services[name]
        self._check(wanted, state)
        self._left.add(self._stays.get(name))
        self._stays[name] = wanted.namespace
        renamed = self._name(wanted.namespace)
        own = self._has_names(wanted.namespace)
        text = content_of(name, wanted.namespace, settings.owner, own)
        same = found.dropins.get(name) == text
        if not same:
            self._files.append(Write(path_of(name), text))
        self._reload |= not same or not state.loaded
        there = self._runs_there(state, wanted.namespace, own, same)
        if state.stranded or (state.active and (not there or (own and renamed))):
            self._restart.append(name)
        self._tell(wanted, state, text, there)

    def _check(self, wanted: Wanted, state: State) -> None:
        """Refuse what is another's, what is not there, and what a namespace does not hold."""
        what, settings, found = f"service {wanted.name}", self._settings, self._found
        lack = refusal(wanted.name, state)
        if lack:
            raise FabricError(lack)
        may_declare(what, found.owner(wanted.name), settings.caller)
        if wanted.namespace not in found.spaces and not settings.lenient:
            raise FabricError(
                f"{what}: there is no network namespace {wanted.namespace}; make it first, as with netns_veth, or correct namespace"
            )
        if wanted.namespace in found.spaces and wanted.namespace not in found.kept:
            raise FabricError(
                f"{what}: nothing makes network namespace {wanted.namespace} at boot before it; give the namespace an interface by netns_veth first"
            )

    def _name(self, namespace: str) -> bool:
        """Make the names of a namespace those that are declared; whether they change."""
        wanted, there = self._names.get(namespace), self._found.resolvers.get(namespace)
        if wanted is None or namespace in self._resolvers:
            return namespace in self._resolvers
        path, owner = resolver_of(namespace), self._settings.owner
        mark = resolver_owner(there) if there is not None else owner
        if wanted.dns:
            change = "its name servers would be replaced"
            way = "leave dns out, and the service sees that file as it is"
            may_change(f"service {wanted.name}: {path}", mark, self._settings.caller, change, way=way)
            text = resolver_text(owner, wanted.dns, wanted.search)
            if text != there:
                self._resolvers[namespace] = Write(path, text)
        elif there is not None and mark == owner:
            self._resolvers[namespace] = Remove(path)
        return namespace in self._resolvers

    def _has_names(self, namespace: str) -> bool:
        """Whether there will be a resolv.conf of a namespace."""
        step = self._resolvers.get(namespace)
        return namespace in self._found.resolvers if step is None else isinstance(step, Write)

    def _runs_there(self, state: State, namespace: str, own_names: bool, same: bool) -> bool:
        """Whether a service runs in its namespace and sees its names. One that has no process is taken by its drop-in."""
        if not state.pid:
            return state.active and same
        sees = state.resolver == (namespace if own_names else None)
        return state.place == self._found.spaces.get(namespace) and sees

    def _tell(self, wanted: Wanted, state: State, text: str, there: bool) -> None:
        """Both sides for the diff."""
        found, name = self._found, wanted.name
        step, now = self._resolvers.get(wanted.namespace), found.resolvers.get(wanted.namespace)
        names = step.content if isinstance(step, Write) else "" if isinstance(step, Remove) else now or ""
        starts = state.active or state.stranded
        self._after[name] = {
            "owner": self._settings.owner,
            "namespace": wanted.namespace,
            "drop_in": "as declared",
            "resolv_conf": names.splitlines(),
            "runs_there": starts,
            "reloaded": True,
        }
        content = found.dropins.get(name)
        note = noted(content or "")
        self._before[name] = {
            "owner": note.owner,
            "namespace": note.namespace,
            "drop_in": None if content is None else "as declared" if content == text else "otherwise",
            "resolv_conf": (now or "").splitlines(),
            "runs_there": state.active and there,
            "reloaded": state.loaded,
        }

    def remove(self, name: str) -> None:
        """Give a service back to the host's network."""
        found, settings, state = self._found, self._settings, self._found.services[name]
        if name not in found.dropins:
            return
        may_remove(f"the place of service {name}", found.owner(name), settings.caller)
        path = path_of(name)
        self._files += [Remove(path), RemoveFolder(os.path.dirname(path))]
        self._reload = True
        if state.active or state.stranded:
            self._restart.append(name)
        self._left.add(self._stays.pop(name))
        self._before[name] = {"namespace": noted(found.dropins[name]).namespace, "running": state.active}


# The modules -----------------------------------------------------------------------------------------------------------


def run(module: t.Any) -> None:
    """Do what the module's parameters say."""
    params = module.params
    settings = Settings(params["owner"], params["adopt"], params["purge"], lenient=module.check_mode)
    runner = module_runner(module)
    try:
        check_owner(settings.owner)
        wanted = declared([params] if params["services"] is None else params["services"])
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)
    present = [one.name for one in wanted if one.present]
    restarted: list[str] = []

    def compared(found: Found) -> Change:
        change = compare(found, wanted, settings)
        words = {word for step in change.steps if isinstance(step, Step) for word in step.argv}
        restarted.extend(name for name in present if name in words)
        return change

    reconcile(
        module,
        read=lambda: read_host(runner, [one.name for one in wanted]),
        compare=compared,
        runner=runner,
        state=lambda found: {"services": [describe(found, name) for name in present]},
        judge=lambda _found: _judge(runner, restarted),
        undo=lambda _found: [],
    )


def _judge(runner: Runner, restarted: t.Sequence[str]) -> list[str]:
    """The services that were restarted, and do not stay up."""
    if not restarted:
        return []
    time.sleep(PATIENCE)
    now = read_host(runner, restarted)
    return [
        f"service {name} does not stay up in its namespace; see journalctl -u {name}"
        for name in restarted
        if not now.services[name].active
    ]


def described(runner: Runner, names: t.Iterable[str] = ()) -> list[dict[str, t.Any]]:
    """The services that this collection has placed, and those that are named, sorted by name."""
    found = read_host(runner, names)
    return [describe(found, name) for name in sorted(found.services)]


def run_info(module: t.Any) -> None:
    """The module netns_service_info."""
    runner, names, owner = module_runner(module), module.params["names"], module.params["owner"]
    try:
        chosen = None if names is None else [check_unit(name, "names") for name in names]
        rows = described(runner, chosen or ())
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    module.exit_json(
        changed=False,
        services=[row for row in rows if (chosen is None or row["name"] in chosen) and owner in (None, row["owner"])],
        spawned=runner.spawned,
    )

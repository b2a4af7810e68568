# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services in network namespaces, each with files of its own: the comparison of declared and found.

This file is private to the collection. A service is restarted for a changed unit, a file that it reads at its start, or a namespace that
was made anew; a file that it reads again on SIGHUP only needs that signal.
"""

from __future__ import annotations

import json
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import Interface, read_interfaces
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import check_name, existing, namespace_of
from ansible_collections.overloom.fabric.plugins.module_utils._owner import (
    Settings,
    may_declare,
    may_remove,
    owner_argument_spec,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    AnyStep,
    Change,
    FabricError,
    Remove,
    RemoveFolder,
    Runner,
    Step,
    Write,
    module_runner,
    reconcile,
    text_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    Unit,
    booted,
    property_blocks,
    read_units,
    unit_name,
    unit_steps,
)

Item = t.Dict[str, t.Any]


class Service(t.NamedTuple):
    """A declared service; one that is absent has but a name.

    files: what it reads at its start, by path. reread: likewise of what it reads again on SIGHUP. mode: permission bits of those that are no programs.
    """

    name: str
    unit: Unit | None = None
    namespace: str = ""
    files: dict[str, str] = {}
    reread: dict[str, str] = {}
    mode: int = 0o644

    @property
    def every(self) -> dict[str, str]:
        """All of its files."""
        return {**self.files, **self.reread}


class Process(t.NamedTuple):
    """A service that is active: its first process, and the named namespace that this is in, or None."""

    pid: int
    namespace: str | None


class Found(t.NamedTuple):
    """What was read: the units of the kind by file name, those that are active, files by path, and the named namespaces.

    interfaces: of the namespaces of active services, by the namespace's name, if the kind looks at these.
    answers: what active services answered, by their names, if the kind asks them.
    """

    units: dict[str, Unit]
    active: dict[str, Process]
    files: dict[str, str]
    spaces: frozenset[str]
    interfaces: dict[str, dict[str, Interface]] = {}
    answers: dict[str, Item] = {}


class Kind(t.NamedTuple):
    """A kind of service.

    unit: the kind of its units. what: how sentences call one. program: what it runs, and package: the Debian package of that.
    left: from a name to the files that one may have on a host. folders: likewise to the folders that go when they are empty.
    items: the module's option with a list of them. options: of one item, besides those that all kinds have.
    declared: from a name, an item that is present and the owner to the service.
    describe: what a service of a name has beside what all kinds have, in plain types; its process is None if it is not active.
    inside: whether the interfaces of its namespaces are read. ask: from a name to what an active service answers, without a process.
    """

    unit: str
    what: str
    program: str
    package: str
    left: t.Callable[[str], t.Sequence[str]]
    folders: t.Callable[[str], t.Sequence[str]]
    items: str
    options: Item
    declared: t.Callable[[str, Item, str], Service]
    describe: t.Callable[[Found, str, t.Optional[Process]], Item]
    inside: bool = False
    ask: t.Callable[[str], Item] | None = None

    def service_name(self, name: str) -> str:
        """The file name of a service's unit."""
        return unit_name(self.unit, name)

    def view(self, found: Found, name: str) -> Item:
        """A service in plain types, as the modules return it."""
        unit = self.service_name(name)
        process = found.active.get(unit)
        return {
            "name": name,
            "owner": found.units[unit].notes().get("Owner"),
            "running": process is not None,
            "pid": process.pid if process else 0,
            "namespace": process.namespace if process else None,
            "service": unit,
            **self.describe(found, name, process),
        }


# What is there ---------------------------------------------------------------------------------------------------------


def read_host(runner: Runner, kind: Kind) -> Found:
    """Read the services of a kind, by one process at the most, and one for each namespace that is looked into."""
    units = read_units(kind.unit)
    names = [unit.notes().get("Name", "") for unit in units.values()]
    paths = [path for name in names if name for path in kind.left(name)]
    active = _active(runner, sorted(units))
    inside = {process.namespace for process in active.values()} if kind.inside else set()
    return Found(
        units=units,
        active=active,
        files={path: text for path in paths for text in [text_of(path)] if text is not None},
        spaces=frozenset(existing()),
        interfaces={name: read_interfaces(runner, name) for name in sorted(filter(None, inside))},
        answers={name: kind.ask(name) for name in names if kind.ask and kind.service_name(name) in active},
    )


def _active(runner: Runner, units: t.Sequence[str]) -> dict[str, Process]:
    """The units that are active, with their processes."""
    if not units or not booted():
        return {}
    out = runner(("systemctl", "show", "--property=Id,ActiveState,MainPID", *units))
    found = {}
    for row in property_blocks(out):
        if row.get("ActiveState") == "active" and row.get("MainPID", "0") != "0":
            found[row["Id"]] = Process(int(row["MainPID"]), namespace_of(int(row["MainPID"])))
    return found


# The comparison --------------------------------------------------------------------------------------------------------


def compare(found: Found, wanted: t.Sequence[Service], kind: Kind, settings: Settings) -> Change:
    """The steps from what was found to what is declared; pure."""
    plan = _Plan(found, kind, settings)
    for service in wanted:
        if service.unit:
            plan.keep(service, service.unit)
        else:
            plan.remove(service.name)
    if settings.purge:
        mine = {unit.notes().get("Name", "") for unit in found.units.values() if _owner(unit) == settings.owner}
        for name in sorted(mine - {service.name for service in wanted} - {""}):
            plan.remove(name)
    return plan.change()


def _write(service: Service, path: str) -> Write:
    """The step for a file; a program is executable."""
    text = service.every[path]
    return Write(path, text, 0o755 if text.startswith("#!") else service.mode)


def _owner(unit: Unit | None) -> str | None:
    return unit.notes().get("Owner") if unit else None


class _Plan:
    """The steps by sort, collected service by service."""

    def __init__(self, found: Found, kind: Kind, settings: Settings) -> None:
        self._found = found
        self._kind = kind
        self._settings = settings
        self._units: dict[str, Unit | None] = {}
        self._write: list[AnyStep] = []
        self._restart: list[str] = []
        self._reread: list[str] = []
        self._remove: list[AnyStep] = []
        self._before: Item = {}
        self._after: Item = {}

    def change(self) -> Change:
        """All steps: files first, then the services that read them, at last what goes."""
        steps = unit_steps(self._found.units, self._units, booted())
        run: list[AnyStep] = []
        if self._restart and booted():
            run.append(Step(("systemctl", "restart", *self._restart)))
        if self._reread:
            run.append(Step(("systemctl", "kill", "--kill-who=main", "--signal=HUP", *self._reread)))
        return Change([*self._write, *steps.put, *run, *steps.drop, *self._remove], self._before, self._after)

    def keep(self, service: Service, unit: Unit) -> None:
        """Run a service as it is declared."""
        what, there = f"{self._kind.what} {service.name}", self._found.units.get(unit.name)
        may_declare(what, _owner(there), self._settings.caller)
        if service.namespace not in self._found.spaces and not self._settings.lenient:
            raise FabricError(
                f"{what}: there is no network namespace {service.namespace}; make it first, as with netns_veth, or correct namespace"
            )
        self._units[unit.name] = unit
        changed = {path for path, text in service.every.items() if self._found.files.get(path) != text}
        self._write += [_write(service, path) for path in sorted(changed)]
        process = self._found.active.get(unit.name)
        runs = process is not None and process.namespace == service.namespace
        same = there is not None and there.content == unit.content
        if not runs or not same or changed & set(service.files):
            self._restart.append(unit.name)
        elif changed:
            self._reread.append(unit.name)
        self._tell(service, there, same)

    def _tell(self, service: Service, there: Unit | None, same: bool) -> None:
        """Both sides for the diff."""
        running = {"namespace": service.namespace, "running": True} if booted() else {}
        self._after[service.name] = {
            **{path: text.splitlines() for path, text in service.every.items()},
            "owner": self._settings.owner,
            "service": "as declared",
            **running,
        }
        if there is None:
            return
        process = self._found.active.get(there.name)
        if booted():
            running = {"namespace": process.namespace if process else None, "running": process is not None}
        enabled = service.unit is not None and set(there.wanted_by) == set(service.unit.wanted_by)
        self._before[service.name] = {
            **{path: self._found.files[path].splitlines() for path in service.every if path in self._found.files},
            "owner": _owner(there),
            "service": "as declared" if same and enabled else "otherwise",
            **running,
        }

    def remove(self, name: str) -> None:
        """Stop and remove a service with its files."""
        unit = self._kind.service_name(name)
        if unit not in self._found.units:
            return
        may_remove(f"{self._kind.what} {name}", _owner(self._found.units[unit]), self._settings.caller)
        self._units[unit] = None
        self._remove += [Remove(path) for path in self._kind.left(name)]
        self._remove += [RemoveFolder(folder) for folder in self._kind.folders(name)]
        self._before[name] = {"running": unit in self._found.active, "service": "there"}


# The modules -----------------------------------------------------------------------------------------------------------


def main(kind: Kind) -> None:
    """The module of a kind: one item as plain options, or a list of items."""
    module = AnsibleModule(
        argument_spec=argument_spec(kind),
        mutually_exclusive=[(kind.items, option) for option in _item(kind)],
        required_one_of=[("name", kind.items)],
        supports_check_mode=True,
    )
    _run(module, kind)


def argument_spec(kind: Kind) -> Item:
    """The options of the module of a kind."""
    item = _item(kind)
    listed = {**item, "name": {"type": "str", "required": True}}
    return {**item, kind.items: {"type": "list", "elements": "dict", "options": listed}, **owner_argument_spec()}


def _item(kind: Kind) -> Item:
    return {
        "name": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "namespace": {"type": "str"},
        **kind.options,
    }


def declared(item: Item, kind: Kind, owner: str) -> Service:
    """The service of an item, checked as far as that goes without the host."""
    name = check_name(item.get("name") or "", "name")
    if item.get("state", "present") == "absent":
        return Service(name)
    return kind.declared(name, item, owner)


def _declared(items: t.Iterable[Item], kind: Kind, owner: str) -> list[Service]:
    services: dict[str, Service] = {}
    for item in items:
        service = declared(item, kind, owner)
        if service.name in services:
            raise FabricError(f"{kind.what} {service.name} is declared twice; give each item a name of its own")
        services[service.name] = service
    return list(services.values())


def _run(module: AnsibleModule, kind: Kind) -> None:
    """Do what the module's parameters say."""
    params, items = module.params, kind.items
    settings = Settings(params["owner"], params["adopt"], params["purge"], lenient=module.check_mode)
    runner = module_runner(module)
    try:
        wanted = _declared([params] if params[items] is None else params[items], kind, settings.owner)
        if any(service.unit for service in wanted):
            _check_program(module, kind)
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)
    present = [service.name for service in wanted if service.unit]
    reconcile(
        module,
        read=lambda: read_host(runner, kind),
        compare=lambda found: compare(found, wanted, kind, settings),
        runner=runner,
        state=lambda found: {
            items: [kind.view(found, name) for name in present if kind.service_name(name) in found.units]
        },
        judge=lambda found: _judge(runner, found, kind, present),
        undo=lambda _found: [],
    )


def _check_program(module: AnsibleModule, kind: Kind) -> None:
    if not module.get_bin_path(kind.program):
        raise FabricError(f"{kind.program} is not installed on this host; install the package {kind.package}")


def run_info(module: AnsibleModule, kinds: t.Iterable[Kind]) -> None:
    """The info module; its results have the names of the kinds' lists."""
    runner = module_runner(module)
    try:
        rows = read_all(runner, kinds)
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    owner = module.params["owner"]
    chosen = {result: [row for row in found if owner in (None, row["owner"])] for result, found in rows.items()}
    module.exit_json(changed=False, spawned=runner.spawned, **chosen)


def read_all(runner: Runner, kinds: t.Iterable[Kind]) -> dict[str, list[Item]]:
    """All services of these kinds that the host has, sorted by name; by the names of the kinds' lists."""
    result = {}
    for kind in kinds:
        found = read_host(runner, kind)
        names = {unit.notes().get("Name", "") for unit in found.units.values()} - {""}
        result[kind.items] = [kind.view(found, name) for name in sorted(names)]
    return result


def _judge(runner: Runner, found: Found, kind: Kind, names: t.Iterable[str]) -> list[str]:
    """The services that do not stay up, each with its last words."""
    units = {name: kind.service_name(name) for name in names}
    return [
        f"{kind.what} {name} does not stay up: {_last_words(runner, unit)}"
        for name, unit in units.items()
        if booted() and unit not in found.active
    ]


def _last_words(runner: Runner, unit: str) -> str:
    """The last line that the program of a service has left in the journal, without systemd's own."""
    command = (
        "journalctl",
        "--unit",
        unit,
        "--lines=40",
        "--output=json",
        "--no-pager",
        "--output-fields=MESSAGE,_PID",
    )
    lines = [line for line in runner.run(command)[1].splitlines() if '"_PID":"1"' not in line.replace(" ", "")]
    said = [_message(line) for line in lines]
    return next((text for text in reversed(said) if text), f"see journalctl -u {unit}")


def _message(line: str) -> str:
    try:
        return str(json.loads(line).get("MESSAGE") or "").strip()
    except ValueError:
        return ""


def declared_in(text: str, beginning: str) -> Item:
    """What a daemon's file says of its declaration, as JSON in the line with such a beginning; empty where it says nothing."""
    line = next((line for line in text.splitlines() if line.startswith(beginning)), beginning + "{}")
    try:
        return t.cast(Item, json.loads(line[len(beginning) :]))
    except ValueError:
        return {}

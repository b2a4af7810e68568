# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Impairments that end by themselves: each is a systemd unit of this boot, which impairs, sleeps, and takes it all back.

The unit is all there is of one: its ExecStopPost runs when the time is over, when somebody stops it, when the start fails half-way, and when the
host goes down (systemd.service(5)), whether there is a controller or not. It is in /run, so no boot starts it. The kernel is asked beforehand, in
a network namespace that is gone with the process, whether it takes the very commands.

This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._impair.effects import Wanted, check_name, declared
from ansible_collections.overloom.fabric.plugins.module_utils._impair.means import (
    HANDLE,
    Means,
    asks_netem,
    means,
    table_name,
)
from ansible_collections.overloom.fabric.plugins.module_utils._impair.reader import FOLDER, KIND, impairments
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, Settings, may_declare, may_remove
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    AnyStep,
    Change,
    FabricError,
    Remove,
    Runner,
    Step,
    Write,
    module_runner,
    reconcile,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    Command,
    Unit,
    booted,
    property_blocks,
    read_units,
    service,
    unit_name,
)

# States of a unit that has begun, or is about to.
RUNNING = ("active", "activating", "reloading")
_ASK_NETEM = ("unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")


class Declared(t.NamedTuple):
    """What the module's options ask for. present: the impairments; absent: the names of those that end."""

    present: tuple[Wanted, ...]
    absent: tuple[str, ...]


class Found(t.NamedTuple):
    """What is on the host.

    units: by file name; wanted: the unit of each declared impairment; left: handles of ours without an impairment, by its name; idle: the files of
    units that are as declared and do not run, as of a run that was killed between its writes and its start.
    """

    units: dict[str, Unit]
    wanted: dict[str, Unit]
    left: dict[str, Wanted]
    idle: frozenset[str] = frozenset()


def declaration(params: t.Mapping[str, t.Any]) -> Declared:
    """The module's options, checked. Raises FabricError with the first wrong input."""
    items = params["impairments"]
    if items is None:
        items = [] if params["name"] is None else [params]
    elif params["name"] is not None:
        raise FabricError("name and impairments are both given; give one of them")
    if not items and not params["purge"]:
        raise FabricError("there is nothing to do; give name, impairments, or purge: true")
    names = [check_name(item["name"]) for item in items]
    double = next((name for name in names if names.count(name) > 1), None)
    if double:
        raise FabricError(f"impairments: {double} is declared twice; give each a name of its own")
    if params["state"] == "absent":
        return Declared((), tuple(names))
    return Declared(tuple(map(declared, items)), ())


def unit_of(wanted: Wanted, how: Means, owner: str) -> Unit:
    """The unit that is an impairment."""
    inside = ("ip", "netns", "exec", wanted.netns) if wanted.netns else ()
    begin = [("tc", *line.replace("{dev}", wanted.interface).split()) for line in how.tc]
    end: list[tuple[str, ...]] = []
    if how.tc:
        end.append(("tc", "qdisc", "del", "dev", wanted.interface, "root", "handle", HANDLE))
    if how.table is not None:
        begin.append(("nft", how.table.replace("{dev}", wanted.interface)))
        end.append(("nft", "delete", "table", "netdev", table_name(wanted.name)))
    own_file = f"{FOLDER}/{unit_name(KIND, wanted.name)}"
    notes = {"Owner": owner, "Interface": wanted.interface, "Effect": wanted.words(), "Seconds": str(wanted.seconds)}
    return service(
        KIND,
        wanted.name,
        f"Impairment {wanted.name} of {wanted.where}, which ends by itself",
        {**notes, **({"Netns": wanted.netns} if wanted.netns else {})},
        unit={"CollectMode": "inactive-or-failed"},
        settings={"Type": "exec"},
        commands=[
            *(("ExecStartPre", Command((*inside, *argv))) for argv in begin),
            ("ExecStart", Command(("sleep", str(wanted.seconds)))),
            *(("ExecStopPost", Command((*inside, *argv), may_fail=True)) for argv in end),
            ("ExecStopPost", Command(("rm", "-f", own_file))),
        ],
        wanted_by=(),
    )


def read(runner: Runner, asked: Declared, settings: Settings) -> Found:
    """The units, and whether the kernel does what is not done yet. Raises FabricError."""
    units = read_units(KIND, FOLDER)
    netem = None
    wanted, left = {}, {}
    for one in asked.present:
        if asks_netem(one) and netem is None:
            netem = runner.run(_ASK_NETEM)[0] == 0
        how = means(one, bool(netem), settings.owner)
        unit = unit_of(one, how, settings.owner)
        wanted[one.name] = unit
        if unit.name not in units or units[unit.name].content != unit.content:
            if not booted():
                raise FabricError(f"impairment {one.name}: systemd does not run this host, so nothing would end it")
            others = {name: found for name, found in units.items() if name != unit.name}
            if _look(runner, one, how, others) and unit.name not in units:
                left[one.name] = one
            _try(runner, one, how)
    alike = [unit.name for unit in wanted.values() if unit.name in units and units[unit.name].content == unit.content]
    return Found(units, wanted, left, idle(runner, alike))


def idle(runner: Runner, units: t.Sequence[str]) -> frozenset[str]:
    """Those of the units that do not run. One process; none without units."""
    if not units:
        return frozenset()
    _status, out, _error = runner.run(("systemctl", "show", "--property=Id,ActiveState", *units))
    running = [one.get("Id") for one in property_blocks(out) if one.get("ActiveState") in RUNNING]
    return frozenset(units).difference(running)


def _look(runner: Runner, wanted: Wanted, how: Means, others: t.Mapping[str, Unit]) -> bool:
    """Whether the interface has a queueing discipline with our mark. Raises FabricError for one of others, and where there is no such interface."""
    inside = ("-n", wanted.netns) if wanted.netns else ()
    status, out, error = runner.run(("tc", *inside, "qdisc", "show", "dev", wanted.interface))
    if status == 127:
        raise FabricError(f"impairment {wanted.name}: tc is not installed on this host; install iproute2")
    if status:
        said = (error or out).strip().splitlines()
        raise FabricError(
            f"impairment {wanted.name}: there is no interface {wanted.where} ({said[-1] if said else 'tc says nothing'}); correct interface or netns"
        )
    there = roots(out)
    ours = any(handle == HANDLE for _kind, handle in there)
    if not how.tc:
        return False
    same = [unit.notes() for unit in others.values() if _place(unit.notes()) == (wanted.netns, wanted.interface)]
    if ours and same:
        raise FabricError(
            f"impairment {wanted.name}: {wanted.where} is impaired already, by {same[0]['Name']} ({same[0]['Effect']}); end that first with state=absent"
        )
    foreign = next((row for row in there if row[1] not in ("0:", HANDLE)), None)
    if foreign:
        raise FabricError(
            f"impairment {wanted.name}: {wanted.where} has a queueing discipline of others ({foreign[0]} {foreign[1]}), which stays;"
            " take cut, or another interface, or remove it there"
        )
    return ours


def roots(shown: str) -> list[tuple[str, str]]:
    """Kind and handle of each root in the output of `tc qdisc show`, which older releases print for some kinds when they are asked for JSON, too."""
    return re.findall(r"(?m)^qdisc (\S+) (\S+) (?:dev \S+ )?root\b", shown)


def _place(notes: t.Mapping[str, str]) -> tuple[str | None, str]:
    return notes.get("Netns"), notes.get("Interface", "")


def _try(runner: Runner, wanted: Wanted, how: Means) -> None:
    """Ask the kernel in a namespace of its own. Raises FabricError with what it does not take."""
    if how.tc:
        lines = "".join(f"{line}\n" for line in how.tc).replace("{dev}", "lo")
        _tried(runner.run(Step(("unshare", "--net", "tc", "-batch", "-"), lines)), wanted, "tc", "HTB and u32")
    if how.table is not None:
        text = how.table.replace("{dev}", "lo")
        needed = "an egress hook (Linux 5.16, nft 1.0.1) and nft_fwd_netdev"
        _tried(runner.run(("unshare", "--net", "nft", text)), wanted, "nft", needed)


def _tried(done: tuple[int, str, str], wanted: Wanted, tool: str, needed: str) -> None:
    status, out, error = done
    if status:
        said = (error or out).strip().splitlines()
        raise FabricError(
            f"impairment {wanted.name}: this host does not take {wanted.words()}; it needs {tool} with {needed}"
            f" ({said[0] if said else 'nothing was said'})"
        )


def compare(found: Found, asked: Declared, settings: Settings) -> Change:
    """The pure comparison: an impairment that runs as declared goes on, and keeps its end."""
    caller = settings.caller
    ends = [name for name in asked.absent if _there(found, name, caller, absent=True)]
    begins = []
    for name, unit in found.wanted.items():
        there = _there(found, name, caller)
        if there is None or there.content != unit.content or unit.name in found.idle:
            begins.append(name)
            ends += [name] if there else []
    kept = {unit_name(KIND, name) for name in (*found.wanted, *asked.absent)}
    if settings.purge:
        owned = (unit.notes() for file, unit in sorted(found.units.items()) if file not in kept)
        ends += [notes["Name"] for notes in owned if notes.get("Owner") == settings.owner]
    steps: list[AnyStep] = [*_stop(ends), *_leftovers(found, begins), *_start(found, begins)]
    if not steps:
        return Change([], {}, {})
    changed = list(dict.fromkeys([*ends, *begins]))
    before = {name: _told(found.units.get(unit_name(KIND, name))) for name in changed}
    return Change(steps, before, {name: _told(found.wanted[name] if name in begins else None) for name in changed})


def _there(found: Found, name: str, caller: Caller, absent: bool = False) -> Unit | None:
    """The unit of an impairment that is there, if it is the caller's."""
    unit = found.units.get(unit_name(KIND, name))
    if unit is not None:
        (may_remove if absent else may_declare)(f"impairment {name}", unit.notes().get("Owner"), caller)
    return unit


def _stop(names: t.Sequence[str]) -> list[AnyStep]:
    if not names:
        return []
    units = [unit_name(KIND, name) for name in names]
    # The file goes by itself, unless systemd has not seen it yet.
    return [Step(("systemctl", "stop", *units)), *(Remove(f"{FOLDER}/{name}") for name in units)]


def _leftovers(found: Found, begins: t.Collection[str]) -> list[AnyStep]:
    """What carries our mark and has no unit any more, as after a crash of a container that shares its network with the next boot."""
    steps: list[AnyStep] = []
    for name in begins:
        if name in found.left:
            one = found.left[name]
            inside = ("-n", one.netns) if one.netns else ()
            steps.append(Step(("tc", *inside, "qdisc", "del", "dev", one.interface, "root", "handle", HANDLE)))
    return steps


def _start(found: Found, names: t.Sequence[str]) -> list[AnyStep]:
    if not names:
        return []
    units = [found.wanted[name] for name in names]
    return [
        *(Write(f"{FOLDER}/{unit.name}", unit.content) for unit in units),
        Step(("systemctl", "daemon-reload")),
        Step(("systemctl", "start", *(unit.name for unit in units))),
    ]


def _told(unit: Unit | None) -> dict[str, str]:
    notes = unit.notes() if unit else {}
    return {key.lower(): notes[key] for key in ("Interface", "Netns", "Effect", "Seconds") if key in notes}


def late_errors(found: Found, asked: Declared) -> list[str]:
    """What ended as it began."""
    return [
        f"impairment {one.name}: it has ended already; see `journalctl -u {unit_name(KIND, one.name)}`"
        for one in asked.present
        if unit_name(KIND, one.name) not in found.units
    ]


def run(module: t.Any) -> None:
    """The module link_impairment."""
    runner = module_runner(module)
    settings = Settings(module.params["owner"], module.params["adopt"], module.params["purge"])
    try:
        asked = declaration(module.params)
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)
    reconcile(
        module,
        lambda: read(runner, asked, settings),
        lambda found: compare(found, asked, settings),
        runner,
        lambda _found: {"impairments": impairments(settings.owner)},
        lambda found: late_errors(found, asked),
    )

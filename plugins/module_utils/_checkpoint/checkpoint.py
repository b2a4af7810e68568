# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of a host's own network with a way back: recorded, armed, confirmed, or undone by the host itself.

This file is private to the collection. What is recorded and how it is put back is in `undo.py`, which runs on the host alone. Whoever renames
the record first has it: the confirmation, or the undoing.
"""

from __future__ import annotations

import json
import os
import re
import sys
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._checkpoint import undo as _undo
from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import check_interface_name
from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    CHECKPOINTS,
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
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    FOLDER,
    Command,
    Unit,
    booted,
    ifup_unit,
    service,
    unit_name,
)

KIND = "checkpoint"
PLACE = CHECKPOINTS
# Gone after a reboot, so that a unit knows whether the change that it belongs to is of this boot.
FLAGS = "/run/overloom/checkpoint"
NETWORKD = "/etc/systemd/network"
# Units of this collection that give an interface its addresses.
UNIT_KINDS = ("interface", "port", "takeover")
SHORTEST = 10


class Wanted(t.NamedTuple):
    """What is declared. timeout: in seconds."""

    name: str
    interfaces: tuple[str, ...]
    timeout: int
    state: str
    owner: str


class Found(t.NamedTuple):
    """What is on the host.

    record: the record that is armed; undoing: whether the host has begun to undo it, and has not ended; note: what the last undoing says of
    itself; now: what would be recorded.
    """

    record: dict[str, t.Any] | None
    undoing: bool
    note: dict[str, t.Any] | None
    now: dict[str, t.Any]
    running: bool


class Claim(t.NamedTuple):
    """Take the record, so that the host cannot undo the change by itself any more."""

    path: str
    aside: str
    name: str

    def shown(self) -> str:
        """As a command."""
        return f"mv {self.path} {self.aside}"

    def do(self) -> None:
        """Take it. Raises FabricError when the host was faster."""
        try:
            os.rename(self.path, self.aside)
        except FileNotFoundError:
            raise FabricError(
                f"checkpoint {self.name}: its time ran out meanwhile, and the host undoes the change"
            ) from None


def declared(params: t.Mapping[str, t.Any]) -> Wanted:
    """What the module's parameters ask for. Raises FabricError with the first wrong input."""
    name, interfaces, timeout = params["name"], params["interfaces"] or [], params["timeout"]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name, re.ASCII):
        raise FabricError(f"name: {name!r} is no name of a checkpoint; give up to 64 letters, digits, '_', '.' and '-'")
    if params["state"] == "armed" and not interfaces:
        raise FabricError(f"checkpoint {name}: interfaces is empty; name those that the change touches")
    if timeout < SHORTEST:
        raise FabricError(f"checkpoint {name}: timeout is {timeout} s, too short for a change; give {SHORTEST} or more")
    for one in interfaces:
        check_interface_name(one, f"checkpoint {name}: interfaces")
    return Wanted(name, tuple(dict.fromkeys(interfaces)), timeout, params["state"], params["owner"])


def paths(name: str) -> dict[str, str]:
    """The files of a checkpoint."""
    return {
        "record": f"{PLACE}/{name}.json",
        "undoing": f"{PLACE}/{name}.json.undoing",
        # A takeover's unit passes over where it finds any `*.json*`; a confirmed one is none of these.
        "confirmed": f"{PLACE}/{name}.confirmed",
        "program": f"{PLACE}/{name}.py",
        "note": f"{PLACE}/{name}.undone",
        "flag": f"{FLAGS}/{name}",
        "service": f"{FOLDER}/{unit_name(KIND, name)}",
        "timer": f"{FOLDER}/{unit_name(KIND, name, 'timer')}",
        "enabled": f"{FOLDER}/multi-user.target.wants/{unit_name(KIND, name)}",
    }


def undo_unit(wanted: Wanted) -> Unit:
    """The service that undoes the change: started by the timer, and by systemd when the host boots."""
    files = paths(wanted.name)
    later = ["network-pre.target", "ovs-vswitchd.service", "networking.service", "systemd-networkd.service"]
    return service(
        KIND,
        wanted.name,
        f"Undo the change of the checkpoint {wanted.name}",
        {"Owner": wanted.owner},
        unit={"After": " ".join([*later, "NetworkManager.service", *map(ifup_unit, wanted.interfaces)])},
        settings={"Type": "oneshot"},
        commands=[("ExecStart", Command((sys.executable, files["program"], files["record"])))],
        wanted_by=["multi-user.target"],
    )


def timer_text(wanted: Wanted) -> str:
    """The timer, which nothing starts at boot."""
    return (
        f"[Unit]\nDescription=Undo the change of the checkpoint {wanted.name} unless it is confirmed\n\n"
        f"[Timer]\nOnActiveSec={wanted.timeout}\nAccuracySec=1s\n"
    )


def kept_files(interfaces: t.Iterable[str]) -> list[str]:
    """The files that a change may leave for these interfaces: units of ours, and what hands them over in systemd-networkd."""
    found = []
    for name in interfaces:
        for kind in UNIT_KINDS:
            unit = unit_name(kind, name)
            folders = ("", "multi-user.target.wants/", "ovs-vswitchd.service.wants/")
            found += [f"{FOLDER}/{folder}{unit}" for folder in folders]
        found.append(networkd_file(name))
    return found


def networkd_file(name: str) -> str:
    """The file by which systemd-networkd is told of an interface before any of the host's own."""
    return f"{NETWORKD}/00-overloom-{name}.network"


def read(runner: Runner, wanted: Wanted) -> Found:
    """Read the host: what is armed, and what would be recorded now."""
    files = paths(wanted.name)
    record, note = (_document(files[kind]) for kind in ("record", "note"))
    now: dict[str, t.Any] = {}
    if wanted.state == "armed":
        database = _undo.open_database(0.0)
        rows = database.rows() if database else {}
        if database:
            database.close()
        links = documents(runner(("ip", "-json", "-details", "address", "show")))[0]
        routes = [row for six in ("-4", "-6") for row in _routes(runner, six)]
        now = {
            "boot_id": _undo.boot_id(),
            "timeout": wanted.timeout,
            "interfaces": {name: _undo.interface_state(links, routes, name) for name in wanted.interfaces},
            "switch": {**_undo.places(rows, wanted.interfaces), "known": database is not None},
            "files": {path: _undo.read_file(path) for path in kept_files(wanted.interfaces)},
            "networkd": os.path.exists("/run/systemd/netif/links"),
            "note": files["note"],
            "flags": FLAGS,
            "own": [files[kind] for kind in ("program", "flag", "service", "timer", "enabled")],
        }
    return Found(record, os.path.exists(files["undoing"]), note, now, booted())


def _routes(runner: Runner, six: str) -> list[dict[str, t.Any]]:
    status, out, _error = runner.run(("ip", six, *_undo.ROUTES))
    # A kernel without IPv6 knows no such routes.
    return json.loads(out or "[]") if status == 0 else []


def _document(path: str) -> dict[str, t.Any] | None:
    text = _undo.read_file(path)
    return json.loads(text) if text is not None else None


def compare(found: Found, wanted: Wanted) -> Change:
    """The pure comparison."""
    steps = {"armed": _arm, "confirmed": _confirm, "absent": _forget}[wanted.state](found, wanted)
    if not steps:
        return Change([], {}, {})
    before = {wanted.name: "armed" if armed(found) else "undone" if found.note else "absent"}
    return Change(steps, before, {wanted.name: wanted.state})


def armed(found: Found) -> bool:
    """Whether the host will undo a change, or is about to."""
    return found.record is not None or found.undoing


def _check_undoing(found: Found, wanted: Wanted) -> None:
    if found.undoing and found.record is None:
        raise FabricError(
            f"checkpoint {wanted.name}: the host has begun to undo the change, and has not ended; wait a minute, or end it with state=absent"
        )


def _arm(found: Found, wanted: Wanted) -> list[AnyStep]:
    """Record, and arm. A checkpoint that is armed keeps its record, which is of the state before, and its time."""
    if not found.running:
        raise FabricError(f"checkpoint {wanted.name}: systemd does not run this host, so nothing would undo the change")
    _check_undoing(found, wanted)
    there = [name for name, state in found.now["interfaces"].items() if state["there"]]
    if not there:
        raise FabricError(
            f"checkpoint {wanted.name}: none of the interfaces {', '.join(wanted.interfaces)} exists; correct the names"
        )
    if found.record is not None:
        if not set(wanted.interfaces) <= set(found.record["interfaces"]):
            raise FabricError(
                f"checkpoint {wanted.name} is armed for {', '.join(found.record['interfaces'])}; confirm it first, or wait until it is undone"
            )
        return []
    files, unit = paths(wanted.name), undo_unit(wanted)
    source = t.cast(t.Any, _undo.__loader__).get_source(_undo.__name__)
    return [
        Remove(files["note"]),
        Write(files["flag"], ""),
        Write(files["program"], source),
        Write(files["service"], unit.content),
        Write(files["timer"], timer_text(wanted)),
        Step(("systemctl", "reenable", unit.name)),
        # One that has run out is active still, and would not be started.
        Step(("systemctl", "restart", os.path.basename(files["timer"]))),
        # Last, so that there is no record which nothing would undo; without it, nothing is undone.
        Write(files["record"], json.dumps(found.now, indent=1) + "\n", 0o600),
    ]


def _confirm(found: Found, wanted: Wanted) -> list[AnyStep]:
    _check_undoing(found, wanted)
    if found.record is None:
        if found.note is not None:
            raise FabricError(f"checkpoint {wanted.name}: {undone(found.note)}")
        return []
    files = paths(wanted.name)
    return [Claim(files["record"], files["confirmed"], wanted.name), *_disarm(files), *_swept(files)]


def undone(note: t.Mapping[str, t.Any]) -> str:
    """What a note says, as a sentence."""
    why = "it was rebooted before" if note["why"] == "rebooted" else f"nobody did within {note['timeout']} s"
    text = f"there is nothing to confirm, as the host undid the change at {note['at']}, because {why}"
    return f"{text}; not undone: {'; '.join(note['problems'])}" if note["problems"] else text


def _disarm(files: t.Mapping[str, str]) -> list[AnyStep]:
    return [
        Step(("systemctl", "stop", os.path.basename(files["timer"]))),
        Step(("systemctl", "disable", os.path.basename(files["service"]))),
    ]


def _swept(files: t.Mapping[str, str]) -> list[AnyStep]:
    """Take all files away."""
    mine = [files[kind] for kind in ("confirmed", "program", "note", "flag", "service", "timer")]
    return [*map(Remove, mine), RemoveFolder(PLACE), RemoveFolder(FLAGS), Step(("systemctl", "daemon-reload"))]


def _forget(found: Found, wanted: Wanted) -> list[AnyStep]:
    """Undo at once what is armed, and forget that anything was undone."""
    files = paths(wanted.name)
    if armed(found):
        # What is aside already is undone without the host's lock, which this module has.
        claim = [Claim(files["record"], files["undoing"], wanted.name)] if found.record is not None else []
        start = Step(("systemctl", "start", os.path.basename(files["service"])))
        return [*claim, start, Remove(files["note"]), RemoveFolder(PLACE), RemoveFolder(FLAGS)]
    return [Remove(files["note"]), RemoveFolder(PLACE)] if found.note is not None else []


def run(module: t.Any) -> None:
    """Do what the module's parameters ask for."""
    runner = module_runner(module)
    try:
        wanted = declared(module.params)
    except FabricError as error:
        module.fail_json(msg=str(error), commands=[], spawned=0)
    reconcile(
        module,
        lambda: read(runner, wanted),
        lambda found: compare(found, wanted),
        runner,
        lambda found: {"checkpoint": {"name": wanted.name, "armed": armed(found), "undone": found.note}},
    )

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ovn_database: where the servers of OVN's two databases listen, and their TLS.

This file is private to the collection. Source: ovn-nb(5) and ovn-sb(5), tables Connection and SSL; ovsdb(7).
The rows are in the databases themselves, so they are there after a reboot.
"""

from __future__ import annotations

import re
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovn import raft
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.client import begin, client_runner
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.info import asked, rows_of
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import owner_of
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import quote
from ansible_collections.overloom.fabric.plugins.module_utils._owner import OVS_OWNER, Caller, may_change
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Module,
    Runner,
    Step,
    reconcile,
)

Row = t.Dict[str, t.Any]
_PORTS = {"northbound": 6641, "southbound": 6642}
_ROLE = {"northbound": (), "southbound": ("role",)}
_FILES = ("private_key", "certificate", "ca_cert")
# Seconds that a server may take until it listens.
_LONGEST = 15


class Base(t.NamedTuple):
    """One of the two databases. name: of the option; schema's table with the one row; program."""

    name: str
    table: str
    program: str


# What a client may write, without a role and with that of a chassis (ovn-sb(5), Connection).
_ALL, _CHASSIS = "", "ovn-controller"
# The one row of a table that has one. Its UUID will not do: in a database that is new, the client tells that of a row that it would make itself.
ROOT = "."
BASES = (Base("northbound", "NB_Global", "ovn-nbctl"), Base("southbound", "SB_Global", "ovn-sbctl"))


class Held(t.NamedTuple):
    """What a database has. connections: rows of the table by their target; ssl: the row, or None."""

    connections: dict[str, Row]
    ssl: Row | None


Found = t.Dict[str, Held]


class Wanted(t.NamedTuple):
    """What is declared of one database. targets: where it listens, each with the role of its clients (RBAC); roles: those of which something is
    declared; ssl: None for left as it is.
    """

    targets: dict[str, str]
    roles: tuple[str, ...]
    ssl: dict[str, str] | None


def listeners_argument_spec() -> dict[str, t.Any]:
    """The options of the module's own."""
    return {
        **{name: {"type": "list", "elements": "str"} for name in ("northbound", "southbound", "southbound_rbac")},
        "inactivity_probe": {"type": "int"},
        "ssl": {"type": "dict", "options": {name: {"type": "path", "no_log": False} for name in _FILES}},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


def _checked(targets: t.Iterable[str], where: str) -> None:
    for target in targets:
        if not re.fullmatch(r"p(tcp|ssl):([0-9]{1,5})?(:([0-9.]+|\[[0-9A-Fa-f:.]+\]))?", target):
            port = _PORTS[where.partition("_")[0]]
            raise FabricError(
                f"{where} holds {target!r}; give where the server listens, such as ptcp:{port}:192.0.2.1 or pssl:{port}"
            )


def _targets(base: Base, params: t.Mapping[str, t.Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Where a database is declared to listen, with the role of its clients, and the roles of which something is declared. Raises FabricError."""
    options = {base.name: _ALL, **({f"{base.name}_rbac": _CHASSIS} if base.name == "southbound" else {})}
    targets: dict[str, str] = {}
    for option, role in options.items():
        given = params[option] or ()
        _checked(given, option)
        for target in given:
            if role and not target.startswith("pssl:"):
                raise FabricError(
                    f"{option} holds {target}; a chassis is known by its certificate, so give where the server listens by TLS, such as pssl:16642"
                )
            if targets.setdefault(target, role) != role:
                raise FabricError(
                    f"{option} and {base.name} both hold {target}; a client there has one role, so give it once"
                )
    return targets, tuple(role for option, role in options.items() if params[option] is not None)


def declared(params: t.Mapping[str, t.Any]) -> dict[str, Wanted]:
    """What is declared of each database. Raises FabricError."""
    if params["state"] == "absent":
        return {base.name: Wanted({}, (_ALL, _CHASSIS), {}) for base in BASES}
    ssl = params["ssl"]
    if ssl is not None:
        ssl = {name: path for name, path in ssl.items() if path}
        lacking = [name for name in _FILES if name not in ssl]
        if ssl and lacking:
            raise FabricError(
                f"ssl: {' and '.join(lacking)} is missing; give all of {', '.join(_FILES)}, or an empty map"
            )
    return {base.name: Wanted(*_targets(base, params), ssl) for base in BASES}


def read(runner: Runner, wanted: t.Mapping[str, Wanted], timeout: int) -> Found:
    """The listeners and TLS of the databases of which something is declared, one process each."""
    found = {}
    for base in BASES:
        if wanted[base.name].roles or wanted[base.name].ssl is not None:
            found[base.name] = _read(runner, base, timeout)
    return found


def _read(runner: Runner, base: Base, timeout: int) -> Held:
    tables = {
        base.table: ("_uuid",),
        # Of the northbound database, clients have no roles.
        "Connection": ("_uuid", "target", "inactivity_probe", "external_ids", "status", *_ROLE[base.name]),
        "SSL": ("_uuid", *_FILES, "external_ids"),
    }
    rows = rows_of(runner(asked(begin(base.program, {"timeout": timeout}), tables)), tables)
    if not rows[base.table]:
        raise FabricError(f"{base.name}: the database has no row {base.table}; start the service ovn-central first")
    connections = {row["target"]: row for row in rows["Connection"]}
    return Held(connections, next(iter(rows["SSL"]), None))


def compare(found: Found, wanted: t.Mapping[str, Wanted], probe: int | None, caller: Caller, timeout: int) -> Change:
    """The steps that make the servers listen where it is declared; listeners of others stay. Pure."""
    steps = []
    before: dict[str, t.Any] = {}
    after: dict[str, t.Any] = {}
    for base in BASES:
        held = found.get(base.name)
        if held is None:
            continue
        words = [
            *_connections(base, held, wanted[base.name], probe, caller),
            *_ssl(base, held, wanted[base.name].ssl, caller),
        ]
        if words:
            call = begin(base.program, {"timeout": timeout})
            steps.append(Step((*call, *words)))
            before[base.name] = _shown(held)
            after[base.name] = _foretold(base, held, wanted[base.name], probe, caller)
    return Change(list(steps), before, after)


def _role(row: Row) -> str:
    return t.cast(str, row.get("role") or _ALL)


def _connections(base: Base, held: Held, wanted: Wanted, probe: int | None, caller: Caller) -> list[str]:
    words: list[str] = []
    for number, (target, role) in enumerate(wanted.targets.items()):
        row = held.connections.get(target)
        marked = f"external_ids:{OVS_OWNER}={quote(caller.owner)}"
        cells = [] if probe is None or (row and row["inactivity_probe"] == probe) else [f"inactivity_probe={probe}"]
        cells += [] if role == (_role(row) if row else _ALL) else [f"role={quote(role)}"]
        if row is None:
            ref = f"@listener{number + 1}"
            words += ["--", f"--id={ref}", "create", "Connection", f"target={quote(target)}", *cells, marked]
            words += ["--", "add", base.table, ROOT, "connections", ref]
            continue
        # Who made it keeps it: it listens already.
        if cells:
            changed = " and ".join(cell.partition("=")[0] for cell in cells)
            may_change(f"{base.name}: {target}", owner_of(row), caller, f"its {changed} would be changed")
            words += ["--", "set", "Connection", row["_uuid"], *cells]
        if caller.adopt and owner_of(row) != caller.owner:
            words += ["--", "set", "Connection", row["_uuid"], marked]
    gone = [row["_uuid"] for _target, row in sorted(held.connections.items()) if _goes(row, wanted, caller)]
    return words + (["--", "remove", base.table, ROOT, "connections", *gone] if gone else [])


def _goes(row: Row, wanted: Wanted, caller: Caller) -> bool:
    """Whether a listener of ours is declared no more."""
    return row["target"] not in wanted.targets and owner_of(row) == caller.owner and _role(row) in wanted.roles


def _ssl(base: Base, held: Held, ssl: dict[str, str] | None, caller: Caller) -> list[str]:
    if ssl is None:
        return []
    row = held.ssl
    ours = row is not None and owner_of(row) == caller.owner
    if not ssl:
        return ["--", "clear", base.table, ROOT, "ssl"] if ours else []
    cells = [f"{name}={quote(path)}" for name, path in ssl.items() if row is None or row[name] != path]
    if not cells:
        return []
    if row is not None:
        may_change(f"{base.name}: ssl", owner_of(row), caller, "its files would be changed", way="leave ssl out")
        mark = [] if ours else [f"external_ids:{OVS_OWNER}={quote(caller.owner)}"]
        return ["--", "set", "SSL", row["_uuid"], *cells, *mark]
    mark = [f"external_ids:{OVS_OWNER}={quote(caller.owner)}"]
    return ["--", "--id=@ssl", "create", "SSL", *cells, *mark, "--", "set", base.table, ROOT, "ssl=@ssl"]


def _shown(held: Held) -> Row:
    return {
        "listeners": {target: _listener(row) for target, row in sorted(held.connections.items())},
        "ssl": {name: held.ssl[name] for name in _FILES} if held.ssl else None,
    }


def _listener(row: Row) -> Row:
    role = {"role": row["role"] or None} if "role" in row else {}
    return {"inactivity_probe": row["inactivity_probe"], "owner": owner_of(row), **role}


def _foretold(base: Base, held: Held, wanted: Wanted, probe: int | None, caller: Caller) -> Row:
    """As _shown, after the steps."""
    shown = _shown(held)
    listeners = shown["listeners"]
    shown["listeners"] = {
        target: listeners[target] for target, row in sorted(held.connections.items()) if not _goes(row, wanted, caller)
    }
    for target, role in wanted.targets.items():
        row = dict(listeners.get(target, {"inactivity_probe": None, "owner": caller.owner}))
        row["inactivity_probe"] = row["inactivity_probe"] if probe is None else probe
        row["owner"] = caller.owner if caller.adopt else row["owner"]
        shown["listeners"][target] = {**row, **dict.fromkeys(_ROLE[base.name], role or None)}
    if wanted.ssl is not None and (wanted.ssl or (held.ssl and owner_of(held.ssl) == caller.owner)):
        shown["ssl"] = wanted.ssl or None
    return shown


def _silent(found: Found, wanted: t.Mapping[str, Wanted]) -> list[str]:
    """The declared targets on which nobody listens."""
    return [
        f"{name}: {target}"
        for name, held in found.items()
        for target in wanted[name].targets
        if not _listened(name, target, held)
    ]


def _listened(name: str, target: str, held: Held) -> bool:
    """Whether a server listens there. In a cluster it writes no status, so it is asked."""
    base = next(base for base in raft.BASES if base.name == name)
    if raft.read_model(base) != "clustered":
        return "bound_port" in held.connections.get(target, {}).get("status", {})
    port, _colon, address = target.partition(":")[2].partition(":")
    return raft.answers(address.strip("[]") or "127.0.0.1", int(port or _PORTS[name]))


def run(module: Module) -> None:
    """The module."""
    params = module.params
    timeout = params["timeout"]
    runner = client_runner(module, *(base.program for base in BASES))
    caller = Caller(params["owner"], params["adopt"])
    try:
        wanted = declared(params)
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)

    def judge(found: Found) -> list[str]:
        until = time.monotonic() + _LONGEST
        silent = _silent(found, wanted)
        while silent and time.monotonic() < until:
            time.sleep(0.5)
            silent = _silent(read(runner, wanted, timeout), wanted)
        return [
            f"{target} is not listened on: the host has no such address, another program has the port, or the files of ssl are not there; "
            "the log below /var/log/ovn says which"
            for target in silent
        ]

    reconcile(
        module,
        lambda: read(runner, wanted, timeout),
        lambda found: compare(found, wanted, params["inactivity_probe"], caller, timeout),
        runner,
        lambda found: {"databases": {name: _shown(held) for name, held in found.items()}},
        judge,
    )

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open vSwitch's database through ovs-vsctl: read in one call, changed in one transaction.

This file is private to the collection. Source for tables and columns: ovs-vswitchd.conf.db(5); for the commands
and the quoting of values: ovs-vsctl(8).
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import (
    ROOT,
    TABLES,
    empty_row,
    queries,
    value_of,
    whole_rows,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import (
    CLEAR,
    Put,
    argument_bytes,
    assignment,
    quote,
    row_words,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, Step, module_runner

# Beyond this many new or removed ports in one transaction the direct form is used, because ovs-vsctl's add-port and
# del-port take time that grows with the square of their number. Below it, what a person would type is shown.
READABLE = 16

# Bytes of arguments in one call; the kernel takes a quarter of the stack's limit, 2 MiB by default, with the environment.
LONGEST = 1_500_000


class Database(t.NamedTuple):
    """What was read, by name.

    tables: table -> name of the row -> column -> value (see Column); Bridge, Port and Interface, and Open_vSwitch with its row ROOT.
    bridge_of: port -> bridge. members: port -> its interfaces.
    version: of Open vSwitch, or None. types: the interface types that it supports; empty if it did not say.
    answered: whether ovs-vswitchd has taken up the last change.
    remains: name of a bridge that was removed by hand -> UUIDs of the collector sets that keep its row, and with it its name.
    """

    tables: dict[str, dict[str, dict[str, t.Any]]]
    bridge_of: dict[str, str]
    members: dict[str, tuple[str, ...]]
    version: str | None = None
    types: tuple[str, ...] = ()
    answered: bool = True
    remains: t.Mapping[str, tuple[str, ...]] = {}

    def ports_of(self, bridge: str) -> list[str]:
        """The names of a bridge's ports, sorted, without its local port."""
        return sorted(p for p, b in self.bridge_of.items() if b == bridge and p != bridge)

    def interface(self, port: str) -> dict[str, t.Any]:
        """The first interface of a port (its only one, unless it is a bond)."""
        return self.tables["Interface"][self.members[port][0]]


def empty_database() -> Database:
    """A database without a bridge."""
    return Database(
        {"Open_vSwitch": {ROOT: empty_row("Open_vSwitch")}, "Bridge": {}, "Port": {}, "Interface": {}}, {}, {}
    )


# Reading ---------------------------------------------------------------------------------------------------------


def ovs_vsctl(database: str | None, timeout: int) -> list[str]:
    """The beginning of every call: the database and the time limit in seconds."""
    return ["ovs-vsctl", f"--timeout={timeout}"] + ([f"--db={database}"] if database else [])


def read_database(runner: Runner, begin: t.Sequence[str], extra: t.Iterable[tuple[str, str]] = ()) -> Database:
    """Read the columns in TABLES, and the extra (table, column) pairs, in one call."""
    argv = [*begin, "--format=json"]
    asked = queries(set(extra))
    for table, names in asked.items():
        argv += ["--", "--columns=" + ",".join(names), "list", table]
    return decode(runner(argv), asked)


def read_or_foresee(
    module: t.Any, runner: Runner, begin: t.Sequence[str], extra: t.Iterable[tuple[str, str]] = (), here: bool = True
) -> Database:
    """As read_database; but in check mode, an Open vSwitch that an earlier task may only have foretold is empty, with a warning.

    here: whether the database is this host's, which an earlier task can make.
    """
    try:
        return read_database(runner, begin, extra)
    except NoSwitch as error:
        if not (module.check_mode and here):
            raise
        module.warn(str(error))
        return empty_database()


# Table -> UUID -> column -> value.
Rows = t.Dict[str, t.Dict[str, t.Dict[str, t.Any]]]


def _rows(text: str, asked: t.Iterable[str]) -> Rows:
    tables, answers = list(asked), documents(text)
    if len(answers) != len(tables):
        raise FabricError(f"ovs-vsctl answered {len(answers)} of {len(tables)} questions; run this again")
    rows: Rows = {table: {} for table in TABLES}
    for table, document in zip(tables, answers):
        kinds = {name: TABLES[table][name].kind if name in TABLES[table] else "" for name in document["headings"]}
        for values in document["data"]:
            row = {name: value_of(kind, value) for (name, kind), value in zip(kinds.items(), values)}
            rows[table][row.get("_uuid", "")] = row
    return rows


def _drop_remains(rows: Rows, bridges: t.Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Drop the rows of bridges that were removed by hand; returns what keeps each, by its name. bridges: UUIDs of those that are there."""
    gone = [rows["Bridge"].pop(uuid) for uuid in set(rows["Bridge"]) - set(bridges)]
    for port in (port for bridge in gone for port in bridge["ports"]):
        for interface in rows["Port"].pop(port)["interfaces"]:
            del rows["Interface"][interface]
    return {bridge["name"]: tuple(row["_uuid"] for row in bridge["collector_sets"].values()) for bridge in gone}


def decode(text: str, asked: t.Iterable[str] = tuple(TABLES)) -> Database:
    """The output of read_database's call: one JSON document for each table that was asked, one after the other (RFC 7047, 5.1)."""
    rows = whole_rows(_rows(text, asked))
    root = next(iter(rows["Open_vSwitch"].values()), empty_row("Open_vSwitch"))
    remains = _drop_remains(rows, root["bridges"])
    bridge_of = {
        rows["Port"][uuid]["name"]: bridge["name"] for bridge in rows["Bridge"].values() for uuid in bridge["ports"]
    }
    members = {}
    for port in rows["Port"].values():
        members[port["name"]] = tuple(sorted(rows["Interface"][uuid]["name"] for uuid in port["interfaces"]))
    tables = {table: {row["name"]: row for row in rows[table].values()} for table in ("Bridge", "Port", "Interface")}
    tables["Open_vSwitch"] = {ROOT: root}
    return Database(
        tables,
        bridge_of,
        members,
        root["ovs_version"],
        root["iface_types"],
        root["cur_cfg"] >= root["next_cfg"],
        remains,
    )


# Changing --------------------------------------------------------------------------------------------------------


class AddBridge(t.NamedTuple):
    """Make a bridge, with its local port."""

    bridge: str

    def words(self) -> list[str]:
        """The command of ovs-vsctl."""
        return ["--may-exist", "add-br", self.bridge]

    def apply(self, draft: _Draft) -> None:
        """Do it in the model."""
        draft.tables["Bridge"][self.bridge] = empty_row("Bridge", self.bridge)
        draft.add(self.bridge, self.bridge, (self.bridge,), "internal")


class DelBridge(t.NamedTuple):
    """Remove a bridge and its ports."""

    bridge: str

    def words(self) -> list[str]:
        """The command of ovs-vsctl."""
        return ["--if-exists", "del-br", self.bridge]

    def apply(self, draft: _Draft) -> None:
        """Do it in the model."""
        for port in [port for port, bridge in draft.bridge_of.items() if bridge == self.bridge]:
            draft.drop(port)
        del draft.tables["Bridge"][self.bridge]


class AddPort(t.NamedTuple):
    """Make a port with its interfaces."""

    bridge: str
    port: str
    members: tuple[str, ...]

    def words(self) -> list[str]:
        """The command of ovs-vsctl; it has none for a single interface by another name."""
        if len(self.members) > 1:
            return ["--may-exist", "add-bond", self.bridge, self.port, *self.members]
        return ["--may-exist", "add-port", self.bridge, self.port]

    def apply(self, draft: _Draft) -> None:
        """Do it in the model."""
        draft.add(self.bridge, self.port, self.members)


class DelPort(t.NamedTuple):
    """Remove a port and its interfaces. fake: is it a fake bridge, which ovs-vsctl's del-port does not find?"""

    bridge: str
    port: str
    uuid: str
    fake: bool = False

    def words(self) -> list[str]:
        """The command of ovs-vsctl."""
        return ["--if-exists", "del-port", self.bridge, self.port]

    def apply(self, draft: _Draft) -> None:
        """Do it in the model."""
        draft.drop(self.port)


class MovePort(t.NamedTuple):
    """Hang a port, as it is, into another bridge."""

    port: str
    uuid: str
    source: str
    target: str

    def words(self) -> list[str]:
        """The commands of ovs-vsctl."""
        gone = ["remove", "Bridge", self.source, "ports", self.uuid]
        return [*gone, "--", "add", "Bridge", self.target, "ports", self.uuid]

    def apply(self, draft: _Draft) -> None:
        """Do it in the model."""
        draft.bridge_of[self.port] = self.target


class AddMember(t.NamedTuple):
    """Add an interface to a bond."""

    port: str
    interface: str

    def apply(self, draft: _Draft) -> None:
        """Do it in the model."""
        draft.tables["Interface"][self.interface] = empty_row("Interface", self.interface)
        draft.members[self.port] = tuple(sorted((*draft.members[self.port], self.interface)))


class DelMember(t.NamedTuple):
    """Take an interface out of a bond."""

    port: str
    interface: str
    uuid: str

    def words(self) -> list[str]:
        """The command of ovs-vsctl."""
        return ["remove", "Port", self.port, "interfaces", self.uuid]

    def apply(self, draft: _Draft) -> None:
        """Do it in the model."""
        del draft.tables["Interface"][self.interface]
        draft.members[self.port] = tuple(name for name in draft.members[self.port] if name != self.interface)


class Destroy(t.NamedTuple):
    """Remove a row that would stay though nothing refers to it any longer (QoS, Queue), or what it refers to is gone (collector sets).

    holders: (bridge, UUID) of ports that referred to it and go in the same transaction. The database counts what they refer to
    until they are gone, and ovs-vsctl's del-port and del-br forget what was cleared in them before: they go directly.
    """

    table: str
    uuid: str
    holders: tuple[tuple[str, str], ...] = ()

    def words(self) -> list[str]:
        """The command of ovs-vsctl."""
        return ["--if-exists", "destroy", self.table, self.uuid]

    def apply(self, draft: _Draft) -> None:
        """Nothing refers to the row in the model."""


Op = t.Union[AddBridge, DelBridge, AddPort, DelPort, MovePort, AddMember, DelMember, Put, Destroy]
# Names are free before they are used: ports move and go first, then bridges, then ports come.
_ORDER = [AddBridge, MovePort, DelPort, DelBridge, DelMember, AddPort, AddMember, Put, Destroy]
_Command = t.Union[AddBridge, DelBridge, AddPort, DelPort, MovePort, DelMember, Destroy]
_AnyOp = t.TypeVar("_AnyOp", bound=Op)


def transaction(begin: t.Sequence[str], ops: t.Sequence[Op], secrets: tuple[str, ...] = ()) -> list[Step]:
    """One ovs-vsctl call that does all ops at once or nothing; no call if there are none.

    Only what is longer than LONGEST (some four thousand new tunnels) becomes several calls, each of which is atomic.
    """
    if not ops:
        return []
    if secrets:
        # Else ovs-vsctl writes its arguments to the system's log (ovs-vsctl(8)).
        begin = [*begin, "--no-syslog"]
    argv = _arguments(begin, ops)
    if argument_bytes(argv) <= LONGEST:
        return [Step(tuple(argv), secrets=secrets)]
    steps: list[Step] = []
    part: list[Op] = []
    size = 0
    for unit in _units(ops):
        length = argument_bytes(_arguments((), unit))
        if part and size + length > LONGEST:
            steps.append(Step(tuple(_arguments(begin, part)), secrets=secrets))
            part, size = [], 0
        part += unit
        size += length
    return [*steps, Step(tuple(_arguments(begin, part)), secrets=secrets)]


def _units(ops: t.Iterable[Op]) -> list[list[Op]]:
    """The ops in the order in which they have to happen, those on the rows of a new port together with it."""
    ordered = sorted(ops, key=lambda op: _ORDER.index(type(op)))
    units: list[list[Op]] = []
    of_row: dict[tuple[str, str], list[Op]] = {}
    for op in ordered:
        unit = of_row.get((op.table, op.record)) if isinstance(op, Put) else None
        if unit is not None:
            unit.append(op)
            continue
        unit = [op]
        units.append(unit)
        if isinstance(op, AddPort):
            of_row[("Port", op.port)] = unit
            of_row.update({("Interface", member): unit for member in op.members})
        elif isinstance(op, AddMember):
            of_row[("Interface", op.interface)] = unit
        elif isinstance(op, Put):
            of_row[(op.table, op.record)] = unit
    return units


def _arguments(begin: t.Sequence[str], ops: t.Sequence[Op]) -> list[str]:
    """The arguments of one call."""
    holders = [holder for row in _some(Destroy, ops) for holder in row.holders]
    cells: Cells = {}
    for put in _some(Put, ops):
        if not put.of_rows:
            cells.setdefault((put.table, put.record), []).append(put)
    argv = list(begin)
    for bridge, uuid in holders:
        argv += ["--", "clear", "Port", uuid, "qos", "--", "remove", "Bridge", bridge, "ports", uuid]
    argv += _words(_some(AddBridge, ops))
    argv += _words(_some(MovePort, ops))
    argv += _removals([op for op in _some(DelPort, ops) if (op.bridge, op.uuid) not in holders])
    argv += _words(_some(DelBridge, ops))
    argv += _words(_some(DelMember, ops))
    argv += _additions(_some(AddPort, ops), cells)
    argv += _joins(_some(AddMember, ops), cells)
    argv += _settings(cells)
    # What refers to ports comes when all ports are there.
    for number, put in enumerate(put for put in _some(Put, ops) if put.of_rows):
        argv += row_words(put, f"r{number}")
    return argv + _words(_some(Destroy, ops))


# Values by the row that they are set in: (table, record).
Cells = t.Dict[t.Tuple[str, str], t.List[Put]]


def _some(kind: type[_AnyOp], ops: t.Iterable[Op]) -> list[_AnyOp]:
    return [op for op in ops if isinstance(op, kind)]


def _words(ops: t.Iterable[_Command]) -> list[str]:
    return [word for op in ops for word in ("--", *op.words())]


def _created(reference: str, table: str, name: str, cells: t.Iterable[Put], *columns: str) -> list[str]:
    """The command that makes a row with its values. columns: assignments besides."""
    named = [f"name={quote(name)}", *columns]
    return ["--", f"--id={reference}", "create", table, *named, *map(assignment, cells)]


def _removals(gone: t.Sequence[DelPort]) -> list[str]:
    if len(gone) <= READABLE and not any(op.fake for op in gone):
        return _words(gone)
    by_bridge: dict[str, list[str]] = {}
    for op in gone:
        by_bridge.setdefault(op.bridge, []).append(op.uuid)
    argv: list[str] = []
    for bridge, uuids in by_bridge.items():
        argv += ["--", "--if-exists", "remove", "Bridge", bridge, "ports", *uuids]
    return argv


def _additions(new: t.Sequence[AddPort], cells: Cells) -> list[str]:
    """New ports; where they are created row by row, their values are taken out of cells."""
    if len(new) <= READABLE and not any(len(op.members) == 1 and op.members != (op.port,) for op in new):
        return _words(new)
    argv: list[str] = []
    by_bridge: dict[str, list[str]] = {}
    for number, op in enumerate(new):
        ids = []
        for index, member in enumerate(op.members):
            ids.append(f"@i{number}.{index}")
            argv += _created(ids[-1], "Interface", member, cells.pop(("Interface", member), []))
        interfaces = "interfaces=" + ",".join(ids)
        argv += _created(f"@p{number}", "Port", op.port, cells.pop(("Port", op.port), []), interfaces)
        by_bridge.setdefault(op.bridge, []).append(f"@p{number}")
    for bridge, ids in by_bridge.items():
        argv += ["--", "add", "Bridge", bridge, "ports", *ids]
    return argv


def _joins(new: t.Sequence[AddMember], cells: Cells) -> list[str]:
    """New interfaces of bonds; their values are taken out of cells."""
    argv: list[str] = []
    for number, op in enumerate(new):
        argv += _created(f"@m{number}", "Interface", op.interface, cells.pop(("Interface", op.interface), []))
        argv += ["--", "add", "Port", op.port, "interfaces", f"@m{number}"]
    return argv


def _settings(cells: Cells) -> list[str]:
    """The values of rows that are there: for each row one command that sets, and one for each column that loses keys."""
    argv: list[str] = []
    for (table, record), puts in cells.items():
        values = [assignment(put) for put in puts if put.key is None or put.value is not CLEAR]
        if values:
            argv += ["--", "set", table, record, *values]
        gone: dict[str, list[str]] = {}
        for put in puts:
            if put.key is not None and put.value is CLEAR:
                gone.setdefault(put.column, []).append(quote(put.key))
        for column, keys in gone.items():
            argv += ["--", "remove", table, record, column, *keys]
    return argv


def apply(found: Database, ops: t.Iterable[Op]) -> Database:
    """What the database will hold after the ops: the model behind the diff, and behind the tests."""
    draft = _Draft(found)
    for op in sorted(ops, key=lambda o: _ORDER.index(type(o))):
        if isinstance(op, Put):
            draft.put(op)
        else:
            op.apply(draft)
    return found._replace(tables=draft.tables, bridge_of=draft.bridge_of, members=draft.members)


class _Draft:
    """A database that changes. What was found is not written to: rows that are not touched are shared, others copied."""

    def __init__(self, found: Database) -> None:
        self._found = found
        self.tables = {name: dict(rows) for name, rows in found.tables.items()}
        self.bridge_of, self.members = dict(found.bridge_of), dict(found.members)

    def add(self, bridge: str, port: str, members: tuple[str, ...], kind: str = "") -> None:
        """Make a port with its interfaces."""
        self.bridge_of[port], self.members[port] = bridge, members
        self.tables["Port"][port] = empty_row("Port", port)
        for name in members:
            self.tables["Interface"][name] = dict(empty_row("Interface", name), type=kind)

    def drop(self, port: str) -> None:
        """Remove a port with its interfaces, also from the mirrors of its bridge."""
        bridge = self.tables["Bridge"][self.bridge_of.pop(port)]
        del self.tables["Port"][port]
        if bridge["mirrors"]:
            mirrors = {name: _without(mirror, port) for name, mirror in bridge["mirrors"].items()}
            self.tables["Bridge"][bridge["name"]] = dict(_copied(bridge), mirrors=mirrors)
        for name in self.members.pop(port):
            del self.tables["Interface"][name]

    def put(self, op: Put) -> None:
        """Set a value, or clear it."""
        row = self.tables[op.table][op.record]
        if row is self._found.tables[op.table].get(op.record):
            row = self.tables[op.table][op.record] = _copied(row)
        if op.key is None:
            row[op.column] = TABLES[op.table][op.column].default if op.value is CLEAR else op.value
        elif op.value is CLEAR:
            row[op.column].pop(op.key, None)
        else:
            row[op.column][op.key] = op.value


def _copied(row: dict[str, t.Any]) -> dict[str, t.Any]:
    """A row whose maps can be written to."""
    return {column: dict(value) if isinstance(value, dict) else value for column, value in row.items()}


def _without(mirror: dict[str, t.Any], port: str) -> dict[str, t.Any]:
    """A mirror when a port is gone."""
    left = dict(mirror, output_port=None if mirror["output_port"] == port else mirror["output_port"])
    for column in ("select_src_port", "select_dst_port"):
        left[column] = tuple(name for name in mirror[column] if name != port)
    return left


# Failing clearly -------------------------------------------------------------------------------------------------


class NoSwitch(FabricError):
    """Open vSwitch is not installed, or does not run."""


class OvsRunner(Runner):
    """A Runner that knows whether ovs-vswitchd let a change wait in vain."""

    unanswered = False


def ovs_runner(module: t.Any) -> OvsRunner:
    """A Runner that says in one sentence why ovs-vsctl could not do its work."""
    inner = module_runner(module)._run

    def run(argv: t.Sequence[str], stdin: str | None) -> tuple[int, str, str]:
        try:
            status, out, err = inner(argv, stdin)
        except FileNotFoundError:
            if argv[0] != "ovs-vsctl":
                raise
            raise NoSwitch(
                "ovs-vsctl is not installed: install the package openvswitch-switch (Debian, Ubuntu) or openvswitch (other distributions)"
            ) from None
        if status and argv[0] == "ovs-vsctl":
            if "database connection failed" in err:
                said = err.strip().splitlines()[-1].split("ovs-vsctl: ")[-1]
                unreachable = f"Open vSwitch's database cannot be reached ({said})"
                if "Permission denied" in said:
                    raise FabricError(f"{unreachable}: run the task with become: true")
                raise NoSwitch(
                    f"{unreachable}: start the service openvswitch-switch (Debian, Ubuntu) or openvswitch (other distributions)"
                )
            if status in (-14, 142) or "signal 14" in err:
                runner.unanswered = True
                raise FabricError(
                    f"ovs-vswitchd did not answer in time ({argv[1].split('=')[-1]} s): the database may hold the change already; "
                    "check that the service ovs-vswitchd runs, then run this again"
                )
        return status, out, err

    runner = OvsRunner(run)
    return runner

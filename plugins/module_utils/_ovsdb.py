# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open vSwitch's database through ovs-vsctl: read in one call, changed in one transaction.

This file is private to the collection. Source for tables and columns: ovs-vswitchd.conf.db(5); for the commands
and the quoting of values: ovs-vsctl(8).
"""
from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, Step, module_runner

# A map's key that is not there; a column that is cleared.
CLEAR = None

# Beyond this many new or removed ports in one transaction the direct form is used, because ovs-vsctl's add-port and
# del-port take time that grows with the square of their number. Below it, what a person would type is shown.
READABLE = 16

# Bytes of arguments in one call; the kernel takes a quarter of the stack's limit, 2 MiB by default, with the environment.
LONGEST = 1_500_000

_PLAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*")


class Column(t.NamedTuple):
    """How a column is stored.

    kind: "scalar" (always one value), "optional" (one value or None), "set" (a sorted tuple), "map" (a dict).
    default: the value in a new row.
    """

    kind: str
    default: t.Any = None


_TEXT = Column("scalar", "")
_NUMBER = Column("scalar", 0)
_FLAG = Column("scalar", False)
_MAYBE = Column("optional")
_SET = Column("set", ())
_MAP = Column("map", {})

# The columns that the modules know. Those of EXTRA are read only when an option needs them, because an older
# Open vSwitch has not all of them and ovs-vsctl refuses to list a column that is not there.
TABLES: dict[str, dict[str, Column]] = {
    "Open_vSwitch": {"ovs_version": _MAYBE, "iface_types": _SET, "cur_cfg": _NUMBER, "next_cfg": _NUMBER},
    "Bridge": {
        "_uuid": _TEXT, "name": _TEXT, "ports": _SET, "controller": _SET, "datapath_type": _TEXT, "datapath_id": _MAYBE,
        "fail_mode": _MAYBE, "stp_enable": _FLAG, "rstp_enable": _FLAG, "mcast_snooping_enable": _FLAG, "protocols": _SET,
        "flood_vlans": _SET, "external_ids": _MAP, "other_config": _MAP,
    },
    "Port": {
        "_uuid": _TEXT, "name": _TEXT, "interfaces": _SET, "tag": _MAYBE, "trunks": _SET, "cvlans": _SET, "vlan_mode": _MAYBE,
        "protected": _FLAG, "bond_mode": _MAYBE, "lacp": _MAYBE, "bond_updelay": _NUMBER,
        "bond_downdelay": _NUMBER, "external_ids": _MAP, "other_config": _MAP,
    },
    "Interface": {
        "_uuid": _TEXT, "name": _TEXT, "type": _TEXT, "options": _MAP, "ofport": _MAYBE, "ofport_request": _MAYBE, "error": _MAYBE,
        "mac": _MAYBE, "mac_in_use": _MAYBE, "mtu": _MAYBE, "mtu_request": _MAYBE, "bfd": _MAP, "bfd_status": _MAP,
        "cfm_mpid": _MAYBE, "cfm_fault": _MAYBE, "ingress_policing_rate": _NUMBER, "ingress_policing_burst": _NUMBER,
        "ingress_policing_kpkts_rate": _NUMBER, "ingress_policing_kpkts_burst": _NUMBER, "admin_state": _MAYBE,
        "link_state": _MAYBE, "lldp": _MAP, "status": _MAP, "external_ids": _MAP, "other_config": _MAP,
    },
    "Controller": {"_uuid": _TEXT, "target": _TEXT},
}
EXTRA = {("Interface", "ingress_policing_kpkts_rate"), ("Interface", "ingress_policing_kpkts_burst")}


class Database(t.NamedTuple):
    """What was read, by name.

    tables: table -> name of the row -> column -> value (see Column); Bridge, Port and Interface.
    bridge_of: port -> bridge. members: port -> its interfaces. controllers: bridge -> its controllers' targets.
    version: of Open vSwitch, or None. types: the interface types that it supports; empty if it did not say.
    answered: whether ovs-vswitchd has taken up the last change.
    """

    tables: dict[str, dict[str, dict[str, t.Any]]]
    bridge_of: dict[str, str]
    members: dict[str, tuple[str, ...]]
    controllers: dict[str, tuple[str, ...]]
    version: str | None = None
    types: tuple[str, ...] = ()
    answered: bool = True

    def ports_of(self, bridge: str) -> list[str]:
        """The names of a bridge's ports, sorted, without its local port."""
        return sorted(p for p, b in self.bridge_of.items() if b == bridge and p != bridge)

    def interface(self, port: str) -> dict[str, t.Any]:
        """The first interface of a port (its only one, unless it is a bond)."""
        return self.tables["Interface"][self.members[port][0]]


def empty_row(table: str, name: str) -> dict[str, t.Any]:
    """A new row as Open vSwitch would make it."""
    row = {column: dict(spec.default) if spec.kind == "map" else spec.default for column, spec in TABLES[table].items()}
    row["name"] = name
    return row


def empty_database() -> Database:
    """A database without a bridge."""
    return Database({"Bridge": {}, "Port": {}, "Interface": {}}, {}, {}, {})


# Reading ---------------------------------------------------------------------------------------------------------


def ovs_vsctl(database: str | None, timeout: int) -> list[str]:
    """The beginning of every call: the database and the time limit in seconds."""
    return ["ovs-vsctl", f"--timeout={timeout}"] + ([f"--db={database}"] if database else [])


def read_database(runner: Runner, begin: t.Sequence[str], extra: t.Iterable[tuple[str, str]] = ()) -> Database:
    """Read the columns in TABLES, and the extra (table, column) pairs, in one call."""
    wanted = set(extra)
    argv = [*begin, "--format=json"]
    for table, columns in TABLES.items():
        names = [c for c in columns if (table, c) not in EXTRA or (table, c) in wanted]
        argv += ["--", "--columns=" + ",".join(names), "list", table]
    return decode(runner(argv))


def decode(text: str) -> Database:
    """The output of read_database's call: one JSON document a table, one after the other (RFC 7047, 5.1)."""
    parser = json.JSONDecoder()
    rows: dict[str, dict[str, dict[str, t.Any]]] = {}
    at = 0
    for table, columns in TABLES.items():
        document, at = parser.raw_decode(text, at)
        while at < len(text) and text[at].isspace():
            at += 1
        by_uuid = {}
        for values in document["data"]:
            row = {c: _value(columns[c].kind, v) for c, v in zip(document["headings"], values)}
            by_uuid[row.get("_uuid", "")] = row
        rows[table] = by_uuid
    bridge_of, members, controllers = {}, {}, {}
    for bridge in rows["Bridge"].values():
        for uuid in bridge["ports"]:
            bridge_of[rows["Port"][uuid]["name"]] = bridge["name"]
        controllers[bridge["name"]] = tuple(sorted(rows["Controller"][uuid]["target"] for uuid in bridge["controller"]))
    for port in rows["Port"].values():
        members[port["name"]] = tuple(sorted(rows["Interface"][uuid]["name"] for uuid in port["interfaces"]))
    root = next(iter(rows["Open_vSwitch"].values()), {"ovs_version": None, "iface_types": (), "cur_cfg": 0, "next_cfg": 0})
    tables = {t_: {row["name"]: row for row in rows[t_].values()} for t_ in ("Bridge", "Port", "Interface")}
    return Database(tables, bridge_of, members, controllers, root["ovs_version"], root["iface_types"], root["cur_cfg"] >= root["next_cfg"])


def _value(kind: str, value: t.Any) -> t.Any:
    if isinstance(value, list):
        tag, content = value
        if tag == "uuid":
            value = content
        elif tag == "map":
            return dict(content)
        else:
            items = [item[1] if isinstance(item, list) else item for item in content]
            return tuple(sorted(items)) if kind == "set" else (items[0] if items else None)
    return (value,) if kind == "set" else value


# Changing --------------------------------------------------------------------------------------------------------


class AddBridge(t.NamedTuple):
    """Make a bridge, with its local port."""

    bridge: str


class DelBridge(t.NamedTuple):
    """Remove a bridge and its ports."""

    bridge: str


class AddPort(t.NamedTuple):
    """Make a port with its interfaces."""

    bridge: str
    port: str
    members: tuple[str, ...]


class DelPort(t.NamedTuple):
    """Remove a port and its interfaces."""

    bridge: str
    port: str
    uuid: str


class MovePort(t.NamedTuple):
    """Hang a port, as it is, into another bridge."""

    port: str
    uuid: str
    source: str
    target: str


class AddMember(t.NamedTuple):
    """Add an interface to a bond."""

    port: str
    interface: str


class DelMember(t.NamedTuple):
    """Take an interface out of a bond."""

    port: str
    interface: str
    uuid: str


class Controllers(t.NamedTuple):
    """Make these targets a bridge's controllers."""

    bridge: str
    targets: tuple[str, ...]


class Put(t.NamedTuple):
    """Set a column, or one key of a map; the value CLEAR removes the key, or clears the column."""

    table: str
    record: str
    column: str
    key: str | None
    value: t.Any


Op = t.Union[AddBridge, DelBridge, AddPort, DelPort, MovePort, AddMember, DelMember, Controllers, Put]


def quote(value: t.Any) -> str:
    """A value as ovs-vsctl reads it; a string always as a JSON string, so that nothing in it has a meaning."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return ",".join(quote(v) for v in value) if value else "[]"
    # A plain word needs no quotes, and reads better; a string that looks like a UUID would be one.
    if _PLAIN.fullmatch(value) and value.count("-") < 4:
        return value
    return json.dumps(value, ensure_ascii=False)


def checked_text(value: str, where: str) -> str:
    """The value, if Open vSwitch can hold it: a Unicode string without null bytes (ovs-vsctl(8))."""
    if "\0" in value:
        raise FabricError(f"{where} holds a null byte, which Open vSwitch cannot store; remove it")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise FabricError(f"{where} is not valid UTF-8, which Open vSwitch needs; give it as UTF-8 text") from None
    return value


def _ranges(numbers: t.Sequence[int]) -> str:
    """VLANs as ovs-vsctl takes them, with ranges: 10,20-29."""
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in runs(numbers)) or "[]"


def runs(numbers: t.Sequence[int]) -> list[tuple[int, int]]:
    """The runs (first, last) in a sorted sequence of integers."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _assignment(put: Put) -> str:
    column = TABLES[put.table][put.column]
    value = column.default if put.value is CLEAR else put.value
    if put.key is not None:
        return f"{put.column}:{quote(put.key)}={quote(value)}"
    if value is None:
        return f"{put.column}=[]"
    if isinstance(value, tuple) and value and isinstance(value[0], int):
        return f"{put.column}={_ranges(value)}"
    return f"{put.column}={quote(value)}"


def transaction(begin: t.Sequence[str], ops: t.Sequence[Op], secrets: tuple[str, ...] = ()) -> list[Step]:
    """One ovs-vsctl call that does all ops at once or nothing; no call if there are none.

    Only what is longer than LONGEST (some four thousand new tunnels) becomes several calls, each of which is atomic.
    """
    if not ops:
        return []
    argv = _arguments(begin, ops)
    if _length(argv) <= LONGEST:
        return [Step(tuple(argv), secrets=secrets)]
    steps: list[Step] = []
    part: list[Op] = []
    size = 0
    for unit in _units(ops):
        length = _length(_arguments((), unit))
        if part and size + length > LONGEST:
            steps.append(Step(tuple(_arguments(begin, part)), secrets=secrets))
            part, size = [], 0
        part += unit
        size += length
    return [*steps, Step(tuple(_arguments(begin, part)), secrets=secrets)]


def _length(argv: t.Iterable[str]) -> int:
    """What arguments take of the kernel's limit, in bytes: each with its end and its pointer (execve(2))."""
    return sum(len(word.encode("utf-8")) + 9 for word in argv)


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


def _arguments(begin: t.Sequence[str], ops: t.Iterable[Op]) -> list[str]:
    """The arguments of one call. Names are free before they are used: ports move and go first, then bridges, then ports come."""
    kinds: dict[type, list[t.Any]] = {}
    for op in ops:
        kinds.setdefault(type(op), []).append(op)

    def some(kind: type) -> list[t.Any]:
        return kinds.get(kind, [])

    argv = list(begin)
    for add in some(AddBridge):
        argv += ["--", "--may-exist", "add-br", add.bridge]
    for move in some(MovePort):
        argv += ["--", "remove", "Bridge", move.source, "ports", move.uuid, "--", "add", "Bridge", move.target, "ports", move.uuid]
    argv += _removals(some(DelPort))
    for gone in some(DelBridge):
        argv += ["--", "--if-exists", "del-br", gone.bridge]
    for leave in some(DelMember):
        argv += ["--", "remove", "Port", leave.port, "interfaces", leave.uuid]
    puts: dict[tuple[str, str], list[Put]] = {}
    for put in some(Put):
        puts.setdefault((put.table, put.record), []).append(put)
    argv += _additions(some(AddPort), puts)
    for number, join in enumerate(some(AddMember)):
        cells = puts.pop(("Interface", join.interface), [])
        argv += ["--", f"--id=@m{number}", "create", "Interface", f"name={quote(join.interface)}", *map(_assignment, cells)]
        argv += ["--", "add", "Port", join.port, "interfaces", f"@m{number}"]
    for control in some(Controllers):
        argv += ["--", "set-controller", control.bridge, *control.targets] if control.targets else ["--", "del-controller", control.bridge]
    for (table, record), cells in puts.items():
        values = [_assignment(p) for p in cells if p.key is None or p.value is not CLEAR]
        if values:
            argv += ["--", "set", table, record, *values]
        gone_keys: dict[str, list[str]] = {}
        for put in cells:
            if put.key is not None and put.value is CLEAR:
                gone_keys.setdefault(put.column, []).append(quote(put.key))
        for column, keys in gone_keys.items():
            argv += ["--", "remove", table, record, column, *keys]
    return argv


def _removals(gone: t.Sequence[DelPort]) -> list[str]:
    if len(gone) <= READABLE:
        return [word for op in gone for word in ("--", "--if-exists", "del-port", op.bridge, op.port)]
    by_bridge: dict[str, list[str]] = {}
    for op in gone:
        by_bridge.setdefault(op.bridge, []).append(op.uuid)
    argv: list[str] = []
    for bridge, uuids in by_bridge.items():
        argv += ["--", "--if-exists", "remove", "Bridge", bridge, "ports", *uuids]
    return argv


def _additions(new: t.Sequence[AddPort], puts: dict[tuple[str, str], list[Put]]) -> list[str]:
    """New ports; where they are created row by row, their cells are taken out of puts."""
    argv: list[str] = []
    if len(new) <= READABLE and not any(len(op.members) == 1 and op.members != (op.port,) for op in new):
        for op in new:
            bond = len(op.members) > 1
            argv += ["--", "--may-exist", "add-bond" if bond else "add-port", op.bridge, op.port, *(op.members if bond else ())]
        return argv
    by_bridge: dict[str, list[str]] = {}
    for number, op in enumerate(new):
        ids = []
        for index, member in enumerate(op.members):
            ids.append(f"@i{number}.{index}")
            cells = puts.pop(("Interface", member), [])
            argv += ["--", f"--id={ids[-1]}", "create", "Interface", f"name={quote(member)}", *map(_assignment, cells)]
        cells = puts.pop(("Port", op.port), [])
        argv += ["--", f"--id=@p{number}", "create", "Port", f"name={quote(op.port)}", "interfaces=" + ",".join(ids), *map(_assignment, cells)]
        by_bridge.setdefault(op.bridge, []).append(f"@p{number}")
    for bridge, ids in by_bridge.items():
        argv += ["--", "add", "Bridge", bridge, "ports", *ids]
    return argv


def apply(found: Database, ops: t.Iterable[Op]) -> Database:
    """What the database will hold after the ops: the model behind the diff, and behind the tests."""
    tables = {name: dict(rows) for name, rows in found.tables.items()}
    bridge_of, members, controllers = dict(found.bridge_of), dict(found.members), dict(found.controllers)

    def drop(port: str) -> None:
        del bridge_of[port], tables["Port"][port]
        for name in members.pop(port):
            del tables["Interface"][name]

    def add(bridge: str, port: str, names: tuple[str, ...], kind: str = "") -> None:
        bridge_of[port], members[port] = bridge, names
        tables["Port"][port] = empty_row("Port", port)
        for name in names:
            tables["Interface"][name] = dict(empty_row("Interface", name), type=kind)

    for op in sorted(ops, key=lambda o: _ORDER.index(type(o))):
        if isinstance(op, AddBridge):
            tables["Bridge"][op.bridge], controllers[op.bridge] = empty_row("Bridge", op.bridge), ()
            add(op.bridge, op.bridge, (op.bridge,), "internal")
        elif isinstance(op, MovePort):
            bridge_of[op.port] = op.target
        elif isinstance(op, DelPort):
            drop(op.port)
        elif isinstance(op, DelBridge):
            for port in [p for p, b in bridge_of.items() if b == op.bridge]:
                drop(port)
            del tables["Bridge"][op.bridge], controllers[op.bridge]
        elif isinstance(op, DelMember):
            del tables["Interface"][op.interface]
            members[op.port] = tuple(m for m in members[op.port] if m != op.interface)
        elif isinstance(op, AddPort):
            add(op.bridge, op.port, op.members)
        elif isinstance(op, AddMember):
            tables["Interface"][op.interface] = empty_row("Interface", op.interface)
            members[op.port] = tuple(sorted((*members[op.port], op.interface)))
        elif isinstance(op, Controllers):
            controllers[op.bridge] = op.targets
        else:
            row = tables[op.table][op.record]
            if row is found.tables[op.table].get(op.record):
                # What was found is not written to; rows that are not touched are shared.
                row = tables[op.table][op.record] = {c: dict(v) if isinstance(v, dict) else v for c, v in row.items()}
            if op.key is None:
                row[op.column] = TABLES[op.table][op.column].default if op.value is CLEAR else op.value
            elif op.value is CLEAR:
                row[op.column].pop(op.key, None)
            else:
                row[op.column][op.key] = op.value
    return found._replace(tables=tables, bridge_of=bridge_of, members=members, controllers=controllers)


_ORDER = [AddBridge, MovePort, DelPort, DelBridge, DelMember, AddPort, AddMember, Controllers, Put]


# Failing clearly -------------------------------------------------------------------------------------------------


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
            raise FabricError(
                "ovs-vsctl is not installed: install the package openvswitch-switch (Debian, Ubuntu) or openvswitch (other distributions)"
            ) from None
        if status and argv[0] == "ovs-vsctl":
            if "database connection failed" in err:
                said = err.strip().splitlines()[-1].split("ovs-vsctl: ")[-1]
                raise FabricError(
                    f"Open vSwitch's database cannot be reached ({said}): "
                    "start the service openvswitch-switch (Debian, Ubuntu) or openvswitch (other distributions)"
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

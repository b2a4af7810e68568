# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenFlow of one bridge through ovs-ofctl: read with three processes, changed as one bundle, there again after a restart.

This file is private to the collection. Sources: ovs-ofctl(8), ovs-fields(7), ovs-actions(7).
"""

from __future__ import annotations

import itertools
import os
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.model import (
    BUNDLED,
    COOKIE_MASK,
    FLAGS,
    VERSIONS,
    Cookie,
    Flow,
    Group,
    Meter,
    Plan,
    Scope,
    Switch,
    Tlv,
    Wanted,
    WantedFlow,
    WantedGroup,
    WantedMeter,
    actions_text,
    apply,
    bucket_line,
    bundle_lines,
    compare,
    kept,
    match_text,
    number,
    one_line,
    owner_cookie,
    parse_cookie,
    parse_dump,
    parse_group,
    parse_group_stats,
    parse_groups,
    parse_meter,
    parse_meter_stats,
    parse_meters,
    parse_parsed,
    parse_tables,
    parse_tlvs,
    restore_lines,
    speakable,
    spoken,
    tlvs_text,
    with_names,
    with_numbers,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.tlv import (
    TlvPlan,
    WantedTlv,
    compare_tlvs,
    tlv_argument_spec,
    wanted_tlvs,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    ovs_runner,
    ovs_vsctl,
    read_database,
    read_or_foresee,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import interface_name
from ansible_collections.overloom.fabric.plugins.module_utils._owner import DEFAULT_OWNER
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Module,
    Remove,
    RemoveFolder,
    Runner,
    Step,
    Write,
    reconcile,
    text_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    Command,
    Unit,
    booted,
    oneshot,
    read_units,
    unit_name,
    unit_steps,
)

FOLDER = "/etc/overloom/flows"

_TIMEOUTS = ("idle_timeout", "hard_timeout", "importance")
_STRUCTURED = ("table", "priority", "match", "actions", *_TIMEOUTS, *FLAGS)
# For how many seconds a restart of Open vSwitch waits for the ports that flows name.
_PORT_WAIT = 10


def flow_argument_spec() -> dict:
    """The options of one flow."""
    return {
        "flow": {"type": "str"},
        "table": {"type": "int"},
        "priority": {"type": "int"},
        "match": {"type": "dict"},
        "actions": {"type": "list", "elements": "raw"},
        "idle_timeout": {"type": "int"},
        "hard_timeout": {"type": "int"},
        "importance": {"type": "int"},
        **{flag: {"type": "bool"} for flag in FLAGS},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


def argument_spec() -> dict:
    """All options of ovs_flow but those of the owner."""
    state = {"type": "str", "choices": ["present", "absent"], "default": "present"}
    bucket = {
        "actions": {"type": "list", "elements": "raw", "default": []},
        "weight": {"type": "int"},
        "watch_port": {"type": "str"},
        "watch_group": {"type": "int"},
        "bucket_id": {"type": "int"},
    }
    group = {
        "group": {"type": "str"},
        "group_id": {"type": "int"},
        "type": {"type": "str", "choices": ["all", "select", "indirect", "ff"]},
        "buckets": {"type": "list", "elements": "dict", "options": bucket},
        "selection_method": {"type": "str", "choices": ["", "hash", "dp_hash"]},
        "selection_method_param": {"type": "int"},
        "fields": {"type": "list", "elements": "str"},
        "state": state,
    }
    band = {
        "type": {"type": "str", "choices": ["drop", "dscp_remark"], "default": "drop"},
        "rate": {"type": "int", "required": True},
        "burst_size": {"type": "int"},
        "prec_level": {"type": "int"},
    }
    meter = {
        "meter": {"type": "str"},
        "meter_id": {"type": "str"},
        "unit": {"type": "str", "choices": ["kbps", "pktps"]},
        "stats": {"type": "bool"},
        "bands": {"type": "list", "elements": "dict", "options": band},
        "state": state,
    }
    single = flow_argument_spec()

    def things(options: dict) -> dict:
        return {"type": "list", "elements": "dict", "options": options}

    return {
        "bridge": {"type": "str", "required": True},
        "flows": things({**single, "cookie": {"type": "str"}}),
        "groups": things(group),
        "meters": things(meter),
        "tlvs": things(tlv_argument_spec()),
        "cookie": {"type": "str"},
        "tables": {"type": "list", "elements": "int"},
        "persist": {"type": "bool", "default": True},
        "timeout": {"type": "int", "default": 60},
        **single,
    }


def exclusions() -> list[tuple[str, str]]:
    """Which options of the module exclude each other."""
    return [("flows", name) for name in flow_argument_spec() if name != "state"]


# What is declared --------------------------------------------------------------------------------------------------


class Declared(t.NamedTuple):
    """One flow as it was declared. text: for ovs-ofctl, with names of ports; declared: see WantedFlow."""

    where: str
    text: str
    declared: frozenset[str]
    present: bool


class Declaration(t.NamedTuple):
    """All that a call declares, checked as far as it can be without the bridge."""

    bridge: str
    flows: list[Declared] | None
    groups: list[WantedGroup] | None
    meters: list[WantedMeter] | None
    tlvs: list[WantedTlv] | None
    owner: str
    scope: Scope
    persist: bool

    @property
    def wants_something(self) -> bool:
        """Whether anything is to be there."""
        return any(
            item.present for things in (self.flows, self.groups, self.meters, self.tlvs) for item in things or ()
        )


def declaration(params: t.Mapping[str, t.Any]) -> Declaration:
    """The module's options as a declaration. Raises FabricError for what cannot be meant."""
    bridge = interface_name(params["bridge"], "option bridge:")
    owner = params["owner"]
    if not owner or not owner.isprintable():
        raise FabricError(f"owner is {owner!r}; give a name of printable characters")
    cookie = (
        Cookie(owner_cookie(owner), COOKIE_MASK)
        if params["cookie"] is None
        else parse_cookie(params["cookie"], "cookie")
    )
    tables = params["tables"]
    if tables is not None:
        tables = frozenset(number(table, 0, 254, "option tables", "table") for table in tables)
    single = any(params[name] is not None for name in ("flow", *_STRUCTURED))
    flows = params["flows"]
    if single:
        flows = [{**{name: params[name] for name in flow_argument_spec()}, "cookie": None}]
    return Declaration(
        bridge,
        None if flows is None else [_flow(item, "flow" if single else f"flow {n}") for n, item in enumerate(flows, 1)],
        None
        if params["groups"] is None
        else [_group(item, f"group {n}") for n, item in enumerate(params["groups"], 1)],
        None
        if params["meters"] is None
        else [_meter(item, f"meter {n}") for n, item in enumerate(params["meters"], 1)],
        None if params["tlvs"] is None else wanted_tlvs(params["tlvs"]),
        owner,
        Scope(cookie, tables, params["purge"], params["adopt"]),
        params["persist"],
    )


def _is_text(item: t.Mapping[str, t.Any], text: str, what: str) -> bool:
    """Whether a thing is given as text. Raises FabricError if it is given as structured data besides."""
    if item[text] is None:
        return False
    for name, value in item.items():
        if value is not None and name not in (text, "state"):
            raise FabricError(f"{what} has both {text} and {name}; state the whole thing in one of the two ways")
    return True


def _flow(item: t.Mapping[str, t.Any], what: str) -> Declared:
    present = item["state"] == "present"
    if _is_text(item, "flow", what):
        text = one_line(item["flow"], f"{what}, option flow").strip()
        where = f"{what} ({_short(text)})"
        declared = {*_TIMEOUTS, *FLAGS}
        actions = re.search(r"(?:^|[\s,])actions?\s*=", text)
        head = text[: actions.start()] if actions else text
        if re.search(r"(?:^|[\s,])cookie\s*=", head):
            declared.add("cookie")
        if actions:
            declared.add("actions")
        elif present:
            raise FabricError(f"{where} has no actions=; end it with what is to be done, such as actions=drop")
        else:
            text += ",actions=drop"
        return Declared(where, text, frozenset(declared), present)
    parts = []
    for name, low, high in (("table", 0, 254), ("priority", 0, 65535), *((name, 0, 65535) for name in _TIMEOUTS)):
        if item[name] is not None:
            parts.append(f"{name}={number(item[name], low, high, what, name)}")
    parts += [flag for flag in FLAGS if item[flag]]
    declared = {name for name in (*_TIMEOUTS, *FLAGS, "actions", "cookie") if item[name] is not None}
    if item["cookie"] is not None:
        parts.append(f"cookie={parse_cookie(item['cookie'], f'{what}, option cookie')}")
    match = match_text(item["match"] or {}, what)
    where = f"{what} ({_short(','.join(p for p in (*(p for p in parts if p.startswith(('table', 'priority'))), match) if p)) or 'any packet'})"
    parts += [match] if match else []
    parts.append("actions=" + actions_text(item["actions"] or [], where))
    return Declared(where, ",".join(parts), frozenset(declared), present)


def _short(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "..."


def _group(item: t.Mapping[str, t.Any], what: str) -> WantedGroup:
    present = item["state"] == "present"
    if _is_text(item, "group", what):
        text = one_line(item["group"], f"{what}, option group")
        if not present and "type=" not in text:
            text += ",type=all"
        group = parse_group(text, f"{what} ({_short(text)})")
        values = {**group._asdict(), "buckets": [bucket._asdict() for bucket in group.buckets]}
        return WantedGroup(f"group {group.group_id}", values.pop("group_id"), values, present)
    if item["group_id"] is None:
        raise FabricError(f"{what} has no group_id; give it one")
    group_id = number(item["group_id"], 0, 0xFFFFFF00, what, "group_id")
    where = f"group {group_id}"
    values = {
        name: item[name]
        for name in ("type", "selection_method", "selection_method_param", "fields", "buckets")
        if item[name] is not None
    }
    if "buckets" in values:
        values["buckets"] = [
            {
                **bucket,
                "actions": actions_text(bucket["actions"], f"{where}, bucket {n}"),
                "watch_port": bucket["watch_port"] and one_line(bucket["watch_port"], f"{where}, watch_port"),
            }
            for n, bucket in enumerate(item["buckets"], 1)
        ]
    return WantedGroup(where, group_id, values, present)


def _meter(item: t.Mapping[str, t.Any], what: str) -> WantedMeter:
    present = item["state"] == "present"
    if _is_text(item, "meter", what):
        text = one_line(item["meter"], f"{what}, option meter")
        meter = parse_meter(text, f"{what} ({_short(text)})")
        values = {**meter._asdict(), "bands": [band._asdict() for band in meter.bands]}
        return WantedMeter(f"meter {meter.meter_id}", values.pop("meter_id"), values, present)
    if item["meter_id"] is None:
        raise FabricError(f"{what} has no meter_id; give it one")
    name = item["meter_id"]
    if name not in ("controller", "slowpath"):
        name = str(number(name, 1, 0xFFFF0000, what, "meter_id"))
    values = {key: item[key] for key in ("unit", "stats", "bands") if item[key] is not None}
    return WantedMeter(f"meter {name}", name, values, present)


# The file that brings things back ----------------------------------------------------------------------------------


class Record(t.NamedTuple):
    """An owner's file for a bridge. flows and groups are lines for `ovs-ofctl bundle`, meters are texts.

    ports: names by the numbers that the lines have, of ports that ovs-ofctl does not find by name.
    """

    owner: str = ""
    own_groups: frozenset[int] = frozenset()
    own_meters: frozenset[str] = frozenset()
    flows: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()
    tlvs: tuple[Tlv, ...] = ()
    ports: t.Mapping[int, str] = {}


class Seen(t.Dict[int, str]):
    """Names by number as ovs-ofctl knows them, which notes the ports that are asked for.

    used: the names of these. numbered: by number, the names of those that ovs-ofctl does not find by name.
    """

    def __init__(self, names: t.Mapping[int, str]) -> None:
        super().__init__(speakable(names))
        self._all = names
        self.used: set[str] = set()
        self.numbered: dict[int, str] = {}

    def get(self, key: int, default: t.Any = None) -> t.Any:
        """As of any mapping."""
        name = super().get(key, default)
        if name is not None:
            self.used.add(name)
        elif key in self._all:
            self.numbered[key] = self._all[key]
        return name


def parse_record(text: str) -> Record:
    """An owner's file; what is in no line's known form is passed over."""
    notes = dict(re.findall(r"(?m)^# (owner|own groups|own meters): (.*)$", text))
    return Record(
        notes.get("owner", ""),
        frozenset(int(word) for word in notes.get("own groups", "").split() if word.isdigit()),
        frozenset(notes.get("own meters", "").split()),
        tuple(re.findall(r"(?m)^flow add (.*)$", text)),
        tuple(re.findall(r"(?m)^group add_or_mod (.*)$", text)),
        tuple(re.findall(r"(?m)^# meter (.*)$", text)),
        tuple(
            Tlv(*map(int, numbers)) for numbers in re.findall(r"(?m)^# tlv ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+)$", text)
        ),
        {int(port): name for port, name in re.findall(r"(?m)^# port ([0-9]+): (.*)$", text)},
    )


def record_text(
    bridge: str,
    owner: str,
    switch: Switch,
    own_groups: t.Iterable[int],
    own_meters: t.Iterable[str],
    tlvs: t.Sequence[Tlv],
    names: Seen,
) -> str:
    """An owner's file for a bridge; empty when there is nothing to bring back."""
    if not any(switch) and not tlvs:
        return ""
    restored = restore_lines(switch, names)
    lines = [
        "# Made by overloom.fabric; the next run of it replaces what is changed here.",
        f"# bridge: {bridge}",
        f"# owner: {owner}",
        f"# own groups: {' '.join(map(str, sorted(own_groups)))}".rstrip(),
        f"# own meters: {' '.join(sorted(own_meters))}".rstrip(),
        *(f"# port {number}: {name}" for number, name in sorted(names.numbered.items())),
        *(f"# tlv {tlv.option_class} {tlv.type} {tlv.length} {tlv.number}" for tlv in tlvs),
        *(f"# meter {meter.text()}" for _id, meter in sorted(switch.meters.items())),
        *restored,
    ]
    return "\n".join(lines) + "\n"


def declared_all(declared: Declaration) -> bool:
    """Does the call say what all flows of its scope are?"""
    return declared.scope.purge and declared.flows is not None


def in_scope(text: str, scope: Scope) -> bool:
    """Is a flow, as the file has it, surely one of those that the call is about?"""
    match = re.match(r"table=([0-9]+),cookie=(0x[0-9a-f]+),", text)
    return (
        match is not None
        and scope.cookie.holds(int(match.group(2), 16))
        and (scope.tables is None or int(match.group(1)) in scope.tables)
    )


def record_path(bridge: str, owner: str) -> str:
    """Where an owner's file for a bridge lies."""
    return os.path.join(FOLDER, unit_name("flows", f"{bridge}:{owner}", "flows")[len("overloom-flows-") :])


def restore_unit(
    bridge: str, owner: str, protocol: str, meters: t.Iterable[str], tlvs: t.Sequence[Tlv], ports: Seen
) -> Unit:
    """The service that fills the bridge whenever ovs-vswitchd has started, because only that keeps flows, in its memory.

    meters: their texts. ports: that have to be there first.
    """
    begin_wait = ["ovs-vsctl", f"--timeout={_PORT_WAIT}"]
    wait = [*begin_wait, "wait-until", "Bridge", bridge]
    for name in sorted(ports.used):
        wait += ["--", "wait-until", "Interface", name, "ofport>0"]
    # Without a port ovs-ofctl refuses the whole bundle, and says which; that is this unit's failure, not the wait's.
    commands = [Command(tuple(wait), may_fail=True)]
    # The database keeps a port's number. Should it have another one all the same, the flows must not reach the wrong port.
    for number_, name in sorted(ports.numbered.items()):
        commands.append(Command((*begin_wait, "wait-until", "Interface", name, f"ofport={number_}")))
    begin = ("ovs-ofctl", f"--timeout={_PORT_WAIT}", "-O", protocol)
    commands += [Command((*begin, "add-tlv-map", bridge, tlv.text()), may_fail=True) for tlv in tlvs]
    commands += [Command((*begin, "add-meter", bridge, meter), may_fail=True) for meter in meters]
    commands.append(Command((*begin, "bundle", bridge, record_path(bridge, owner))))
    return oneshot(
        "flows",
        f"{bridge}:{owner}",
        f"OpenFlow of the bridge {bridge} for {owner}",
        {"Owner": owner, "Bridge": bridge},
        commands,
        # Wanted by the daemon itself, so that it also starts after a restart that finds this unit stopped.
        wanted_by=["multi-user.target", "ovs-vswitchd.service"],
        after=["ovs-vswitchd.service"],
        part_of=["ovs-vswitchd.service"],
    )


# Reading -----------------------------------------------------------------------------------------------------------


class Found(t.NamedTuple):
    """What was read, and what is wanted in the words of the switch.

    names: ports by number; in check mode also those that are not there yet.
    content: the owner's file as it is (None: there is none); record: the same, understood.
    """

    switch: Switch
    wanted: Wanted
    names: dict[int, str]
    protocol: str
    scope: Scope
    record: Switch
    content: str | None
    units: dict[str, Unit]
    warnings: tuple[str, ...]
    tlvs: tuple[Tlv, ...] = ()
    own_tlvs: tuple[Tlv, ...] = ()


def ofctl_runner(module: t.Any) -> Runner:
    """A Runner that says in one sentence which flow ovs-ofctl, or the switch, refused."""
    inner = ovs_runner(module)._run

    def run(argv: t.Sequence[str], stdin: str | None) -> tuple[int, str, str]:
        status, out, err = inner(argv, stdin)
        if status in (-14, 142) and argv[0] == "ovs-ofctl":
            raise FabricError(
                f"ovs-vswitchd did not answer for the bridge {argv[5]} in time ({argv[1]}): the bridge may hold the change already; "
                "check that the service ovs-vswitchd runs, then run this again"
            )
        if status and argv[0] == "ovs-ofctl" and argv[4] == "bundle":
            raise FabricError(refusal(argv[5], err, stdin or ""))
        if (
            status
            and argv[0] == "ovs-ofctl"
            and re.search(r"is not a bridge or a socket|Connection refused|End of file|reset by peer", err)
        ):
            raise FabricError(
                f"the bridge {argv[5]} does not answer ({_said(err)}); check that the service ovs-vswitchd runs, then run this again"
            )
        return status, out, err

    return Runner(run)


def _said(err: str) -> str:
    lines = [line for line in err.strip().splitlines() if line.strip()]
    return re.sub(r"^ovs-ofctl: (-:\d+: )?", "", lines[-1]) if lines else "nothing was said"


def refusal(bridge: str, err: str, stdin: str) -> str:
    """Why a bundle was refused, as a sentence with the line that was refused."""
    match = re.search(r"(?m)^Error (\w+) for: [^\n]*?\(xid=0x[0-9a-f]+\):\s*([^\n]+)", err)
    if match:
        return f"the bridge {bridge} refused {match.group(2).strip()!r} with {match.group(1)}; nothing of the bundle was done"
    match = re.search(r"(?m)^ovs-ofctl: -:(\d+): (.*)", err)
    if match:
        line = stdin.splitlines()[int(match.group(1)) - 1]
        return f"ovs-ofctl refused {_short(line)!r}: {match.group(2)}; nothing of the bundle was done"
    return f"the bridge {bridge} did not take the bundle ({_said(err)}); check that the service ovs-vswitchd runs, then run this again"


def locate(database: Database, bridge: str) -> tuple[dict[str, int], str]:
    """The numbers of a bridge's ports by name, and the protocol to speak with it.

    Raises FabricError when the bridge is not there.
    """
    row = database.tables["Bridge"].get(bridge)
    if row is None:
        raise FabricError(f"bridge {bridge} is not there; make it with ovs_bridge first")
    ports = {}
    for port, owner in database.bridge_of.items():
        for interface in database.members[port] if owner == bridge else ():
            ofport = database.tables["Interface"][interface]["ofport"]
            if ofport is not None and ofport > 0:
                ports[interface] = ofport
    return ports, spoken(row["protocols"])


class Bridge:
    """Reads one bridge. The ports, and what is wanted in the switch's words, are read once only."""

    def __init__(self, module: t.Any, runner: Runner, declared: Declaration) -> None:
        self._module = module
        self._runner = runner
        self._declared = declared
        self._timeout = module.params["timeout"]
        self._check = module.check_mode
        self._warnings: list[str] = []
        self._begin: list[str] = []
        self._first: Found | None = None
        self._exists = True
        self._standalone = False
        self._ports: dict[str, int] = {}

    def read(self) -> Found:
        """What is there now."""
        path = record_path(self._declared.bridge, self._declared.owner)
        content = text_of(path)
        units = read_units("flows")
        if self._first is None:
            protocol = self._locate(read_or_foresee(self._module, self._runner, ovs_vsctl(None, self._timeout)))
            self._begin = ["ovs-ofctl", f"--timeout={self._timeout}", "-O", protocol]
            record = parse_record(content or "")
            if declared_all(self._declared):
                # They would be left out of the file in any case, so what they mean is of no interest.
                record = record._replace(
                    flows=tuple(text for text in record.flows if not in_scope(text, self._declared.scope))
                )
            scope = self._declared.scope._replace(
                own_groups=record.own_groups,
                own_meters=record.own_meters,
                others=self._others(path),
                standalone=self._standalone,
            )
            switch = self._switch()
            wanted, remembered = self._learn(record)
            names = {number: name for name, number in self._ports.items()}
            warnings = tuple(dict.fromkeys(self._warnings))
            self._first = Found(
                switch, wanted, names, protocol, scope, remembered, content, units, warnings, self._tlvs(), record.tlvs
            )
            return self._first
        return self._first._replace(switch=self._switch(), content=content, units=units, tlvs=self._tlvs())

    def _others(self, path: str) -> dict[tuple[str, t.Any], str]:
        """The owners of groups and meters by the files of the others."""
        others: dict[tuple[str, t.Any], str] = {}
        begin = os.path.basename(path).split(":")[0] + ":"
        for name in os.listdir(FOLDER) if os.path.isdir(FOLDER) else ():
            other = os.path.join(FOLDER, name)
            if name.startswith(begin) and other != path:
                record = parse_record(text_of(other) or "")
                others.update({("group", group): record.owner for group in record.own_groups})
                others.update({("meter", meter): record.owner for meter in record.own_meters})
        return others

    def _locate(self, database: Database) -> str:
        """Note whether the bridge is there and its ports by name; return the protocol to speak."""
        bridge = self._declared.bridge
        if bridge not in database.tables["Bridge"] and not self._declared.wants_something:
            # Nothing of ours is on a bridge that is gone; its file and its service still are.
            self._exists = False
            return VERSIONS[0]
        if self._check and bridge not in database.tables["Bridge"]:
            self._warnings.append(f"bridge {bridge} is not there; it is taken to be made by an earlier task")
            self._exists = False
            return VERSIONS[0]
        self._ports, protocol = locate(database, bridge)
        row = database.tables["Bridge"].get(bridge, {})
        self._standalone = row.get("fail_mode") != "secure" and not row.get("controller")
        return protocol

    def _switch(self) -> Switch:
        """The flows, and the groups and meters if the call speaks of them."""
        declared = self._declared
        if not self._exists:
            return Switch({}, {}, {})
        flows = parse_dump(self._runner([*self._begin, "dump-flows", declared.bridge, "--no-names", "--no-stats"]))
        groups = (
            self._runner([*self._begin, "dump-groups", declared.bridge, "--no-names"])
            if declared.groups is not None
            else ""
        )
        meters = self._runner([*self._begin, "dump-meters", declared.bridge]) if declared.meters is not None else ""
        return Switch({flow.key: flow for flow, _counters in flows}, parse_groups(groups), parse_meters(meters))

    def _tlvs(self) -> tuple[Tlv, ...]:
        """The map of GENEVE options if the call speaks of it."""
        if not self._exists or self._declared.tlvs is None:
            return ()
        return tuple(parse_tlvs(self._runner([*self._begin, "dump-tlv-map", self._declared.bridge])))

    # Learning the canonical forms ----------------------------------------------------------------------------------

    def _learn(self, record: Record) -> tuple[Wanted, Switch]:
        """What is wanted, and what the file holds, in the words of the switch: all in one process."""
        declared, path = self._declared, record_path(self._declared.bridge, self._declared.owner)
        lines = [(item.where, self._numbered(item.text, item.where)) for item in declared.flows or ()]
        # What the file has by number, because it has no name that ovs-ofctl knows, may have another number by now.
        remembered = [parse_group(with_names(text, record.ports), path) for text in record.groups]
        lines += [(path, self._numbered(with_names(text, record.ports), None)) for text in record.flows]
        for group in declared.groups or ():
            lines += [
                self._bucket_line(bucket["actions"], group.where, group.where)
                for bucket in group.values.get("buckets", ())
            ]
        for old_group in remembered:
            lines += [self._bucket_line(bucket.actions, path, None) for bucket in old_group.buckets]

        flows = iter(self._parse(lines))
        wanted_flows = [
            WantedFlow(item.where, next(flows), item.declared, item.present) for item in declared.flows or ()
        ]
        kept_flows = {flow.key: flow for flow in itertools.islice(flows, len(record.flows))}
        wanted_groups = [self._wanted_group(group, flows) for group in declared.groups or ()]
        kept_groups = {group.group_id: self._kept_group(group, flows) for group in remembered}
        meters = [parse_meter(text, path) for text in record.meters]
        wanted = Wanted(
            None if declared.flows is None else wanted_flows,
            None if declared.groups is None else wanted_groups,
            declared.meters,
        )
        return wanted, Switch(kept_flows, kept_groups, {meter.meter_id: meter for meter in meters})

    def _bucket_line(self, actions: str, shown: str, where: str | None) -> tuple[str, str]:
        """The actions of a bucket as those of a flow; shown: what errors call it, where: as in _numbered."""
        return shown, bucket_line(self._numbered("actions=" + actions, where)[8:])

    def _wanted_group(self, group: WantedGroup, flows: t.Iterator[Flow]) -> WantedGroup:
        """A declared group with the actions that the next flows have."""
        if "buckets" not in group.values:
            return group
        buckets = [self._bucket(bucket, next(flows), group.where) for bucket in group.values["buckets"]]
        return group._replace(values={**group.values, "buckets": buckets})

    def _kept_group(self, group: Group, flows: t.Iterator[Flow]) -> Group:
        """A group of the file with the actions that the next flows have."""
        buckets = [old._replace(**self._bucket(old._asdict(), next(flows), None)) for old in group.buckets]
        return group._replace(buckets=tuple(buckets))

    def _bucket(self, bucket: dict[str, t.Any], flow: Flow, where: str | None) -> dict[str, t.Any]:
        port = bucket["watch_port"] if bucket.get("watch_port") else None
        if port is not None:
            port = self._numbered(f"watch_port:{port}", where).partition(":")[2]
        return {**bucket, "actions": flow.actions, "watch_port": port}

    def _numbered(self, text: str, where: str | None) -> str:
        """text with numbers for the names of ports; where: None for the lines of the file, whose ports may be gone."""

        def unknown(name: str) -> int:
            if where is not None:
                if not self._check:
                    raise FabricError(
                        f"{where} names {name}, which is no port of bridge {self._declared.bridge}; add it first, or correct the name"
                    )
                if self._exists:
                    self._warnings.append(
                        f"{where} names {name}, which is no port of bridge {self._declared.bridge} yet"
                    )
            # Any number that no port has: the name comes back before anything is shown or written.
            self._ports[name] = next(n for n in range(0xFEFF, 0, -1) if n not in self._ports.values())
            return self._ports[name]

        return with_numbers(text, self._ports, unknown)

    def _parse(self, lines: list[tuple[str, str]]) -> list[Flow]:
        """What ovs-ofctl makes of each (where, text of a flow). Raises FabricError with what it says about the first bad one."""
        if not lines:
            return []
        flows, line, said = self._try(lines)
        if said:
            # What ovs-ofctl does not say with a line's number is found by halving.
            low, high = (0, len(lines)) if line is None else (line, line + 1)
            while high - low > 1:
                middle = (low + high) // 2
                _flows, _line, problem = self._try(lines[low:middle])
                low, high, said = (low, middle, problem) if problem else (middle, high, said)
            if line is None:
                said = self._try(lines[low:high])[2] or said
            raise FabricError(f"{lines[low][0]} is refused by ovs-ofctl: {said}")
        return flows

    def _try(self, lines: list[tuple[str, str]]) -> tuple[list[Flow], int | None, str]:
        """The flows, the index of a bad line if it is told, and what is wrong (empty: nothing)."""
        argv = [*self._begin, "parse-flows", "-", "--no-names"]
        status, out, err = self._runner.run(Step(tuple(argv), "".join(f"{text}\n" for _where, text in lines)))
        if status:
            match = re.search(r"(?m)^ovs-ofctl: -:(\d+): (.*)", err)
            if match:
                return [], int(match.group(1)) - 1, match.group(2)
            said = _said(err)
            if said == "no usable protocol":
                said = f"{self._begin[3]} has no such flow; an action needs a match on what it presupposes, such as dl_vlan for strip_vlan"
            return [], None, said
        parsed = parse_parsed(out)
        for index, flow in enumerate(parsed):
            if isinstance(flow, str):
                return [], index, flow
        if "normalization changed" in err:
            fields = re.search(r"pre: *(.*)", err)
            return (
                [],
                None,
                f"the match {fields.group(1) if fields else ''!r} is not in normal form, a field needs its protocol, as in ip,nw_dst=10.0.0.1",
            )
        if len(parsed) != len(lines):
            return [], None, f"of {len(lines)} flows it read {len(parsed)}"
        return t.cast("list[Flow]", parsed), None, ""


# Changing ----------------------------------------------------------------------------------------------------------


def change(declared: Declaration, timeout: int, running: bool, found: Found, diff: bool = True) -> tuple[Change, Plan]:
    """From what was found to the steps. diff: are the things before and after them wanted?"""
    plan = compare(found.wanted, found.switch, found.scope, found.names)
    bridge, names = declared.bridge, found.names
    gone = {flow.key for flow in plan.del_flows}
    tlvs = compare_tlvs(declared.tlvs, found.tlvs, found.own_tlvs, found.scope, list(found.switch.flows.values()), gone)
    _check_version(bridge, found.protocol, plan)
    begin = ("ovs-ofctl", f"--timeout={timeout}", "-O", found.protocol)
    content, unit = _restored(declared, found, plan, tlvs) if declared.persist else ("", None)
    steps = _switch_steps(begin, bridge, plan, tlvs, names) + _boot_steps(declared, found, content, unit, running)
    before, after = _shown(found.switch, plan, names, tlvs) if diff else ("", "")
    if diff and bool(steps) and before == after:
        nothing = f"# {record_path(bridge, declared.owner)}: nothing is restored\n"
        before, after = found.content or nothing, content or nothing
        if before == after:
            after += "# and the unit that restores it is enabled\n"
    return Change(steps, before, after, found.warnings), plan


def _switch_steps(
    begin: tuple[str, ...], bridge: str, plan: Plan, tlvs: TlvPlan, names: t.Mapping[int, str]
) -> list[t.Any]:
    """The commands to the switch: what others refer to comes first and goes last. begin: of each command."""
    steps = []
    for command, entries in (("del-tlv-map", tlvs.clear), ("add-tlv-map", tlvs.put)):
        if entries:
            steps.append(Step((*begin, command, bridge, tlvs_text(entries))))
    for new, meter in plan.put_meters:
        steps.append(Step((*begin, "add-meter" if new else "mod-meter", bridge, meter.text())))
    lines = bundle_lines(plan, speakable(names))
    if lines:
        steps.append(Step((*begin, "bundle", bridge, "-"), "\n".join(lines) + "\n"))
    for meter_id in plan.del_meters:
        steps.append(Step((*begin, "del-meters", bridge, f"meter={meter_id}")))
    if tlvs.drop:
        steps.append(Step((*begin, "del-tlv-map", bridge, tlvs_text(tlvs.drop))))
    return steps


def _restored(declared: Declaration, found: Found, plan: Plan, tlvs: TlvPlan) -> tuple[str, Unit | None]:
    """What is restored at boot: the file's content, and the unit that reads it; "" and None for nothing."""
    bridge, owner, seen = declared.bridge, declared.owner, Seen(found.names)
    record = kept(found.record, found.wanted, plan, found.scope)
    content = record_text(bridge, owner, record, plan.own_groups, plan.own_meters, tlvs.own, seen)
    if not content:
        return "", None
    meters = [meter.text() for _id, meter in sorted(record.meters.items())]
    return content, restore_unit(bridge, owner, found.protocol, meters, tlvs.own, seen)


def _boot_steps(declared: Declaration, found: Found, content: str, unit: Unit | None, running: bool) -> list[t.Any]:
    """The steps that make the file and the unit so."""
    path = record_path(declared.bridge, declared.owner)
    steps: list[t.Any] = [Write(path, content, 0o600)] if content and content != found.content else []
    units = unit_steps(found.units, {unit_name("flows", f"{declared.bridge}:{declared.owner}"): unit}, running)
    steps += units.put + units.drop
    if not content and found.content is not None:
        steps += [Remove(path), RemoveFolder(FOLDER), RemoveFolder(os.path.dirname(FOLDER))]
    return steps


def _check_version(bridge: str, protocol: str, plan: Plan) -> None:
    """Refuse a change on a bridge whose versions of OpenFlow have no bundles."""
    if plan and protocol not in BUNDLED:
        raise FabricError(
            f"bridge {bridge} speaks nothing newer than {protocol}, and a change needs bundles, which came with {BUNDLED[-1]}; "
            f"add {BUNDLED[0]} to its protocols"
        )


def _shown(found: Switch, plan: Plan, names: t.Mapping[int, str], tlvs: TlvPlan) -> tuple[str, str]:
    """The things that change, before and after, as ovs-ofctl's text."""
    result = []
    for switch, entries in ((found, tlvs.clear + tlvs.drop), (apply(found, plan), tlvs.put)):
        flows = {flow.key for flow in (*plan.put_flows, *plan.del_flows)}
        groups = {group.group_id for _new, group in plan.put_groups} | set(plan.del_groups)
        meters = {meter.meter_id for _new, meter in plan.put_meters} | set(plan.del_meters)
        lines = [f"tlv {tlv.text()}" for tlv in sorted(entries)]
        lines += [f"meter {switch.meters[m].text()}" for m in sorted(meters) if m in switch.meters]
        lines += [f"group {switch.groups[g].text(names)}" for g in sorted(groups) if g in switch.groups]
        order = sorted(flows & set(switch.flows), key=lambda key: (key[0], -key[1], key[2]))
        lines += [switch.flows[key].text(names) for key in order]
        result.append("".join(line + "\n" for line in lines))
    return result[0], result[1]


def late_errors(plan: Plan, found: Found) -> list[str]:
    """What the switch holds otherwise than it was told. A flow with a timeout may be gone by now."""
    names, wrong = found.names, []
    for flow in plan.put_flows:
        held = found.switch.flows.get(flow.key)
        if held != flow and not (held is None and (flow.idle_timeout or flow.hard_timeout)):
            wrong.append(f"the bridge holds the flow {flow.text(names)!r} as {held.text(names) if held else 'none'!r}")
    for _new, group in plan.put_groups:
        wrong += _held_otherwise("group", group.group_id, group, found.switch.groups.get(group.group_id))
    for _new, meter in plan.put_meters:
        wrong += _held_otherwise("meter", meter.meter_id, meter, found.switch.meters.get(meter.meter_id))
    return wrong[:1]


def _held_otherwise(kind: str, number: int | str, told: Group | Meter, held: Group | Meter | None) -> list[str]:
    return [] if held == told else [f"the bridge holds the {kind} {number} otherwise than it was told: {held}"]


def run(module: t.Any) -> t.NoReturn:
    """ovs_flow."""
    params = module.params
    try:
        declared = declaration(params)
    except FabricError as error:
        module.fail_json(msg=str(error))
    if module.check_mode and not module.get_bin_path("ovs-ofctl"):
        module.warn("ovs-ofctl is not installed, and only it can tell what would change of the flows")
        nothing: dict[str, list] = {"commands": [], "flows": [], "groups": [], "meters": [], "tlvs": []}
        module.exit_json(
            changed=declared.wants_something,
            bridge=declared.bridge,
            cookie=str(declared.scope.cookie),
            spawned=0,
            **nothing,
        )
    runner = ofctl_runner(module)
    bridge = Bridge(module, runner, declared)
    plans: list[Plan] = []

    def compared(found: Found) -> Change:
        done, plan = change(declared, params["timeout"], booted(), found, module._diff)
        plans.append(plan)
        return done

    def state(found: Found) -> dict[str, t.Any]:
        def held(things: t.Any, wanted: t.Iterable[t.Any], *names: t.Any) -> list[dict]:
            return [things[key].data(*names) for key in wanted if key in things]

        wanted = plans[0].wanted
        return {
            "bridge": declared.bridge,
            "cookie": str(declared.scope.cookie),
            "flows": held(found.switch.flows, wanted.flows, found.names),
            "groups": held(found.switch.groups, wanted.groups, found.names),
            "meters": held(found.switch.meters, wanted.meters),
            "tlvs": [
                tlv.data()
                for tlv in found.tlvs
                if any(tlv == item.tlv and item.present for item in declared.tlvs or ())
            ],
        }

    reconcile(module, bridge.read, compared, runner, state, lambda found: late_errors(plans[0], found))


# ovs_flow_info -----------------------------------------------------------------------------------------------------


def info_argument_spec() -> dict:
    """All options of ovs_flow_info."""
    kinds = ["flows", "groups", "meters", "tables", "tlvs"]
    return {
        "bridge": {"type": "str", "required": True},
        "table": {"type": "int"},
        "cookie": {"type": "str"},
        "match": {"type": "dict"},
        "gather": {"type": "list", "elements": "str", "choices": kinds, "default": kinds},
        "owner": {"type": "str", "default": DEFAULT_OWNER},
        "timeout": {"type": "int", "default": 60},
    }


def flow_filter(params: t.Mapping[str, t.Any]) -> str:
    """The flows that are asked for, as dump-flows takes it."""
    parts = []
    if params["table"] is not None:
        parts.append(f"table={number(params['table'], 0, 254, 'option table', 'table')}")
    if params["cookie"] is not None:
        cookie = parse_cookie(params["cookie"], "cookie")
        parts.append(f"cookie={cookie.value:#x}/{cookie.mask:#x}")
    if params["match"]:
        parts.append(match_text(params["match"], "ovs_flow_info"))
    return ",".join(parts)


def run_info(module: Module) -> t.NoReturn:
    """ovs_flow_info."""
    params = module.params
    runner = ofctl_runner(module)
    result: dict[str, t.Any] = {"changed": False}
    try:
        bridge = interface_name(params["bridge"], "option bridge:")
        wanted = flow_filter(params)
        database = read_database(runner, ovs_vsctl(None, params["timeout"]))
        result.update(gathered(runner, database, bridge, params["gather"], wanted, params["owner"], params["timeout"]))
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned, **result)
    module.exit_json(spawned=runner.spawned, **result)


def gathered(
    runner: Runner, database: Database, bridge: str, gather: t.Container[str], wanted: str, owner: str, timeout: int
) -> dict[str, list[dict[str, t.Any]]]:
    """What a bridge holds of each kind in gather; wanted: the flows, as dump-flows takes it."""
    ports, protocol = locate(database, bridge)
    names = {ofport: name for name, ofport in ports.items()}
    ours = Cookie(owner_cookie(owner), COOKIE_MASK)
    result: dict[str, list[dict[str, t.Any]]] = {}

    def ofctl(command: str, *arguments: str) -> str:
        return runner(["ovs-ofctl", f"--timeout={timeout}", "-O", protocol, command, bridge, *arguments, "--no-names"])

    if "flows" in gather:
        numbered = [with_numbers(wanted, ports, lambda name: _no_port(name, bridge))] if wanted else []
        flows = parse_dump(ofctl("dump-flows", *numbered))
        result["flows"] = [
            {**flow.full_data(names), **counters, "ours": ours.holds(flow.cookie)} for flow, counters in flows
        ]
    if "groups" in gather:
        counts = parse_group_stats(ofctl("dump-group-stats"))
        groups = parse_groups(ofctl("dump-groups"))
        result["groups"] = [{**group.data(names), "statistics": counts.get(key, {})} for key, group in groups.items()]
    if "meters" in gather:
        # They came with OpenFlow 1.3.
        metered = protocol >= "OpenFlow13"
        meter_counts = parse_meter_stats(ofctl("meter-stats")) if metered else {}
        meters = parse_meters(ofctl("dump-meters")) if metered else {}
        result["meters"] = [{**meter.data(), "statistics": meter_counts.get(key, {})} for key, meter in meters.items()]
    if "tables" in gather:
        result["tables"] = parse_tables(ofctl("dump-tables"))
    if "tlvs" in gather:
        result["tlvs"] = [tlv.data() for tlv in parse_tlvs(ofctl("dump-tlv-map"))]
    return result


def _no_port(name: str, bridge: str) -> int:
    raise FabricError(f"match names {name}, which is no port of bridge {bridge}; correct the name")

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One bridge's switch, read and written through ovs-ofctl.

This file is private to the collection.
"""

from __future__ import annotations

import itertools
import os
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.compare import (
    Scope,
    Wanted,
    WantedFlow,
    WantedGroup,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.declaration import Declaration, short
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.flow import Flow, parse_dump, parse_parsed
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.group import (
    Group,
    bucket_line,
    parse_group,
    parse_groups,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.meter import parse_meter, parse_meters
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.record import (
    FOLDER,
    Record,
    declared_all,
    in_scope,
    parse_record,
    record_path,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.switch import (
    VERSIONS,
    Switch,
    Tlv,
    parse_tlvs,
    spoken,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import with_names, with_numbers
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    ovs_runner,
    ovs_vsctl,
    read_or_foresee,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, Step, text_of
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Unit, read_units

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
        return f"ovs-ofctl refused {short(line)!r}: {match.group(2)}; nothing of the bundle was done"
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

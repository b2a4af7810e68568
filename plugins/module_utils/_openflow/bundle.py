# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules ovs_flow and ovs_flow_info do: OpenFlow of one bridge, read with three processes, changed as one bundle, there again after a restart.

This file is private to the collection. Sources: ovs-ofctl(8), ovs-fields(7), ovs-actions(7).
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.compare import (
    Plan,
    apply,
    bundle_lines,
    compare,
    kept,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import (
    COOKIE_MASK,
    Cookie,
    owner_cookie,
    parse_cookie,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.declaration import Declaration, declaration
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.flow import match_text, parse_dump
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.group import (
    Group,
    parse_group_stats,
    parse_groups,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.meter import (
    Meter,
    parse_meter_stats,
    parse_meters,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.ofctl import Bridge, Found, locate, ofctl_runner
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.record import (
    FOLDER,
    Seen,
    record_path,
    record_text,
    restore_unit,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.switch import (
    BUNDLED,
    Switch,
    parse_tables,
    parse_tlvs,
    tlvs_text,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import number, speakable, with_numbers
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.tlv import TlvPlan, compare_tlvs
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import Database, ovs_vsctl, read_database
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
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Unit, booted, unit_name, unit_steps

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
        present = [item.tlv for item in declared.tlvs or () if item.present]
        return {
            "bridge": declared.bridge,
            "cookie": str(declared.scope.cookie),
            "flows": held(found.switch.flows, wanted.flows, found.names),
            "groups": held(found.switch.groups, wanted.groups, found.names),
            "meters": held(found.switch.meters, wanted.meters),
            "tlvs": [tlv.data() for tlv in found.tlvs if tlv in present],
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

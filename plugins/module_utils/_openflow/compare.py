# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference between the flows, groups and meters that are wanted and those that a switch holds.

This file is private to the collection and pure.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import COOKIE_PREFIX, Cookie
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.flow import DEFAULT_FLOW, FLAGS, Flow
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.group import GROUP_TYPES, Group, make_group
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.meter import Meter, make_meter
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.switch import Switch
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import Key
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, may_change
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError


class WantedFlow(t.NamedTuple):
    """One declared flow. where: how a message names it. declared: the fields of Flow that it states, and flags by name."""

    where: str
    flow: Flow
    declared: t.FrozenSet[str]
    present: bool = True


class WantedGroup(t.NamedTuple):
    """One declared group: the values of Group that it states; buckets are dictionaries with canonical actions."""

    where: str
    group_id: int
    values: t.Dict[str, t.Any]
    present: bool = True


class WantedMeter(t.NamedTuple):
    """One declared meter: the values of Meter that it states."""

    where: str
    meter_id: str
    values: t.Dict[str, t.Any]
    present: bool = True


class Wanted(t.NamedTuple):
    """All that a call declares; None for a kind of things that it does not speak of."""

    flows: t.Optional[t.List[WantedFlow]]
    groups: t.Optional[t.List[WantedGroup]]
    meters: t.Optional[t.List[WantedMeter]]


class Scope(t.NamedTuple):
    """What a call may remove and take over.

    cookie: our flows. tables: the tables that the call is about (None: all).
    own_groups, own_meters: ids of ours. others: owner by ("group" or "meter", id) of what is another owner's.
    standalone: whether the bridge switches by itself, by the flow that Open vSwitch puts there once (fail_mode, no controller).
    """

    cookie: Cookie
    tables: t.Optional[t.FrozenSet[int]] = None
    purge: bool = False
    adopt: bool = False
    own_groups: t.FrozenSet[int] = frozenset()
    own_meters: t.FrozenSet[str] = frozenset()
    others: t.Mapping[t.Tuple[str, t.Any], str] = {}
    standalone: bool = False

    @property
    def caller(self) -> Caller:
        """The caller, for the rule of owners; what it owns is known by the cookie, not by the name."""
        return Caller("", self.adopt)


class Plan(t.NamedTuple):
    """What is to be done. Each of put_groups and put_meters is (whether it is new, the thing).

    own_groups, own_meters: ids of ours afterwards.
    wanted: the declared things as they are to be.
    """

    put_flows: t.List[Flow]
    del_flows: t.List[Flow]
    put_groups: t.List[t.Tuple[bool, Group]]
    del_groups: t.List[int]
    put_meters: t.List[t.Tuple[bool, Meter]]
    del_meters: t.List[str]
    wanted: Switch
    own_groups: t.FrozenSet[int]
    own_meters: t.FrozenSet[str]

    def __bool__(self) -> bool:
        return any(self[:6])


def compare(wanted: Wanted, found: Switch, scope: Scope, names: t.Mapping[int, str]) -> Plan:
    """From what is wanted and found to what is to be done. Raises FabricError for what must not be done."""
    put_flows, del_flows, stated = _compare_flows(wanted.flows, found.flows, scope, names)
    put_groups, del_groups, groups, own_groups = _compare_things(
        "group", wanted.groups, found.groups, scope.own_groups, scope, _merge_group
    )
    put_meters, del_meters, meters, own_meters = _compare_things(
        "meter", wanted.meters, found.meters, scope.own_meters, scope, _merge_meter
    )
    _refuse_foreign_users(
        "group", [group.group_id for new, group in put_groups if not new], found.flows, scope, scope.own_groups
    )
    _refuse_foreign_users(
        "meter", [meter.meter_id for new, meter in put_meters if not new], found.flows, scope, scope.own_meters
    )
    plan = Plan(
        put_flows,
        del_flows,
        put_groups,
        del_groups,
        put_meters,
        del_meters,
        Switch(stated, groups, meters),
        own_groups,
        own_meters,
    )
    _refuse_used(plan, found, names)
    return plan


def _compare_flows(
    wanted: list[WantedFlow] | None, found: t.Mapping[Key, Flow], scope: Scope, names: t.Mapping[int, str]
) -> tuple[list[Flow], list[Flow], dict[Key, Flow]]:
    put: list[Flow] = []
    drop: list[Flow] = []
    stated: dict[Key, Flow] = {}
    seen: dict[Key, str] = {}
    for item in wanted or ():
        flow = item.flow
        if flow.key in seen:
            raise FabricError(
                f"{item.where} and {seen[flow.key]} are the same flow: {flow.identity(names)}; declare it once"
            )
        seen[flow.key] = item.where
        _check_scope(item, scope)
        present = found.get(flow.key)
        if present is not None:
            _check_cookie(item, present, scope)
        if not item.present:
            if present is not None:
                drop.append(present)
            continue
        merged = _merge_flow(item, None, scope, True) if present is None else _changed_flow(item, present, scope)
        stated[flow.key] = merged
        if merged != present:
            put.append(merged)
    if scope.purge and wanted is not None:
        drop += [flow for key, flow in found.items() if key not in seen and _in_scope(flow, scope)]
    replaced_default = any(flow.key == DEFAULT_FLOW.key and flow != DEFAULT_FLOW for flow in drop)
    if scope.standalone and replaced_default:
        # What had replaced the flow by which the bridge switches goes, and Open vSwitch does not put that flow back.
        drop = [flow for flow in drop if flow.key != DEFAULT_FLOW.key]
        put.append(DEFAULT_FLOW)
    return put, drop, stated


def _check_scope(item: WantedFlow, scope: Scope) -> None:
    """Refuse a flow in a table or with a cookie that the call is not about."""
    if scope.tables is not None and item.flow.table not in scope.tables:
        raise FabricError(
            f"{item.where} is in table {item.flow.table}, but tables has only {', '.join(map(str, sorted(scope.tables)))}"
        )
    if "cookie" in item.declared and not scope.cookie.holds(item.flow.cookie):
        raise FabricError(
            f"{item.where} has the cookie {item.flow.cookie:#x}, which is not in {scope.cookie}; state the cookie of the call in option cookie"
        )


def _in_scope(flow: Flow, scope: Scope) -> bool:
    """Is a flow of the bridge one of those that the call is about?"""
    return scope.cookie.holds(flow.cookie) and (scope.tables is None or flow.table in scope.tables)


def _check_cookie(item: WantedFlow, present: Flow, scope: Scope) -> None:
    """Refuse a flow that is on the bridge with another's cookie, unless it is adopted or stays as it is."""
    if scope.adopt or scope.cookie.holds(present.cookie):
        return
    if present.cookie >> 48 == COOKIE_PREFIX:
        raise FabricError(
            f"{item.where} is on the bridge with the cookie {present.cookie:#x} of another owner; set adopt to take it over"
        )
    if not item.present:
        raise FabricError(
            f"{item.where} is on the bridge with the cookie {present.cookie:#x}, which is not ours, and stays;"
            " leave it out of the task, or give adopt: true to remove it"
        )
    if "cookie" in item.declared and present.cookie != item.flow.cookie:
        raise FabricError(
            f"{item.where} is on the bridge with the cookie {present.cookie:#x}; set adopt to give it another cookie"
        )


def _changed_flow(item: WantedFlow, present: Flow, scope: Scope) -> Flow:
    """A flow that is on the bridge, as it is to be. Refuses to change another's unless it is adopted."""
    ours = scope.cookie.holds(present.cookie)
    default = present == DEFAULT_FLOW
    merged = _merge_flow(item, present, scope, ours)
    if default and merged != present and "cookie" not in item.declared:
        merged = merged._replace(cookie=scope.cookie.value)
    if not (ours or default or scope.adopt) and _lasting(merged) == _lasting(present):
        merged = present
    if merged != present and not (ours or default):
        what = f"{item.where} is on the bridge with the cookie {present.cookie:#x}: it"
        may_change(what, None, scope.caller, "it would be changed", way="give yours another priority or table")
    return merged


def _lasting(flow: Flow) -> Flow:
    """A flow without what counts only while it is sent, and which Open vSwitch notes by itself for a controller of OpenFlow 1.0."""
    return flow._replace(flags=tuple(flag for flag in flow.flags if flag != "reset_counts"))


_WHOLE = frozenset((*Flow._fields[4:7], *FLAGS, "actions"))


def _merge_flow(item: WantedFlow, present: Flow | None, scope: Scope, ours: bool) -> Flow:
    """The flow as it is to be: what is declared, and for the rest what is there."""
    flow = item.flow
    if present is None:
        if "actions" not in item.declared:
            raise FabricError(f"{item.where} is not on the bridge, and has no actions; state them ([] drops)")
        return flow if "cookie" in item.declared else flow._replace(cookie=scope.cookie.value)
    if item.declared >= _WHOLE and (ours or not scope.adopt):
        # Nothing of what is there stays but the cookie, and that unless it is declared too.
        return flow if "cookie" in item.declared else flow._replace(cookie=present.cookie)
    kept = {field: getattr(present, field) for field in Flow._fields[4:7] + ("actions",) if field not in item.declared}
    flags = {flag for flag in FLAGS if (flag in flow.flags if flag in item.declared else flag in present.flags)}
    if "cookie" not in item.declared:
        kept["cookie"] = present.cookie if ours or not scope.adopt else scope.cookie.value
    return flow._replace(flags=tuple(sorted(flags)), **kept)


def _compare_things(
    kind: str,
    wanted: t.Sequence[t.Any] | None,
    found: t.Mapping[t.Any, t.Any],
    own: t.FrozenSet[t.Any],
    scope: Scope,
    merge: t.Callable[[t.Any, t.Any], t.Any],
) -> tuple[list[tuple[bool, t.Any]], list[t.Any], dict[t.Any, t.Any], t.FrozenSet[t.Any]]:
    """Groups or meters, which have no cookie: ours are those in own."""
    put, drop, stated = [], [], {}
    ours = set(own)
    seen: dict[t.Any, str] = {}
    for item in wanted or ():
        name = item[1]
        if name in seen:
            raise FabricError(f"{item.where} and {seen[name]} are the same {kind}; declare it once")
        seen[name] = item.where
        other = scope.others.get((kind, name))
        present = found.get(name)
        if other is not None and not scope.adopt:
            raise FabricError(f"{item.where} belongs to the owner {other}; set adopt to take it over")
        if not item.present:
            if present is not None and name not in own and not scope.adopt:
                raise FabricError(
                    f"{item.where} is on the bridge, but not ours, and stays; leave it out of the task, or give adopt: true to remove it"
                )
            ours.discard(name)
            if present is not None:
                drop.append(name)
            continue
        if present is None or scope.adopt:
            ours.add(name)
        stated[name] = merge(item, present)
        if stated[name] != present:
            put.append((present is None, stated[name]))
    if scope.purge and wanted is not None:
        gone = sorted(own - set(seen))
        drop += [name for name in gone if name in found]
        ours -= set(gone)
    return put, drop, stated, frozenset(ours)


def _refuse_foreign_users(
    kind: str, changed: t.Iterable[t.Any], flows: t.Mapping[Key, Flow], scope: Scope, own: t.Container[t.Any]
) -> None:
    """A group or meter that was not made here, and that a flow of others uses, is theirs."""
    for name in changed:
        for flow in flows.values():
            used = re.search(rf"\b{kind}:{name}\b", flow.actions)
            if used and name not in own and not scope.cookie.holds(flow.cookie):
                user = f"the flow {flow.identity({})} with cookie {flow.cookie:#x}"
                may_change(
                    f"{kind} {name}", None, scope.caller, "it would be changed", [user], way="choose another number"
                )


def _merge_group(item: WantedGroup, present: Group | None) -> Group:
    values = dict(item.values)
    if present is None:
        if values.get("type") is None:
            raise FabricError(
                f"{item.where} is not on the bridge, and has no type; give one of {', '.join(GROUP_TYPES)}"
            )
    else:
        kind = values.setdefault("type", present.type)
        if kind == "select":
            # Of another type, they could not stay.
            values.setdefault("selection_method", present.selection_method)
            values.setdefault(
                "selection_method_param", present.selection_method_param if values["selection_method"] else 0
            )
            values.setdefault("fields", present.fields if values["selection_method"] else ())
        values.setdefault("buckets", [bucket._asdict() for bucket in present.buckets])
    return make_group(
        item.where,
        item.group_id,
        values["type"],
        values.get("buckets", ()),
        values.get("selection_method", ""),
        values.get("selection_method_param", 0),
        values.get("fields", ()),
    )


def _merge_meter(item: WantedMeter, present: Meter | None) -> Meter:
    values = dict(item.values)
    if present is not None:
        values = {
            "unit": present.unit,
            "stats": present.stats,
            "bands": [band._asdict() for band in present.bands],
            **values,
        }
    return make_meter(
        item.where, item.meter_id, values.get("unit", ""), values.get("stats", False), values.get("bands", ())
    )


def apply(found: Switch, plan: Plan) -> Switch:
    """What the bridge holds after the plan: the model behind the diff, and behind the tests."""
    gone = {flow.key for flow in plan.del_flows}
    return Switch(
        {**{k: v for k, v in found.flows.items() if k not in gone}, **{flow.key: flow for flow in plan.put_flows}},
        {
            **{k: v for k, v in found.groups.items() if k not in plan.del_groups},
            **{g.group_id: g for _new, g in plan.put_groups},
        },
        {
            **{k: v for k, v in found.meters.items() if k not in plan.del_meters},
            **{m.meter_id: m for _new, m in plan.put_meters},
        },
    )


def _refuse_used(plan: Plan, found: Switch, names: t.Mapping[int, str]) -> None:
    """Open vSwitch deletes the flows that use a deleted group or meter, whosever they are: not with us."""
    for kind, ids in (("group", plan.del_groups), ("meter", plan.del_meters)):
        if not ids:
            continue
        pattern = re.compile(rf"\b{kind}:({'|'.join(map(str, ids))})\b")
        after = apply(found, plan)
        users = [(f"flow {flow.identity(names)}", flow.actions) for flow in after.flows.values()]
        users += [(f"group {g.group_id}", bucket.actions) for g in after.groups.values() for bucket in g.buckets]
        for user, actions in users:
            match = pattern.search(actions)
            if match:
                raise FabricError(f"{kind} {match.group(1)} is still used by the {user}; remove or change that first")


def kept(record: Switch, wanted: Wanted, plan: Plan, scope: Scope) -> Switch:
    """What an owner's file holds after the plan: what is declared, and what it held and the call does not speak of."""
    absent = {item.flow.key for item in wanted.flows or () if not item.present}
    purged = scope.purge and wanted.flows is not None
    flows = {
        key: flow
        for key, flow in record.flows.items()
        if key not in absent
        and not (purged and scope.cookie.holds(flow.cookie) and (scope.tables is None or flow.table in scope.tables))
    }
    gone_groups = {item.group_id for item in wanted.groups or ()} | (scope.own_groups - plan.own_groups)
    gone_meters = {item.meter_id for item in wanted.meters or ()} | (scope.own_meters - plan.own_meters)
    return Switch(
        {**flows, **plan.wanted.flows},
        {**{k: v for k, v in record.groups.items() if k not in gone_groups}, **plan.wanted.groups},
        {**{k: v for k, v in record.meters.items() if k not in gone_meters}, **plan.wanted.meters},
    )


def bundle_lines(plan: Plan, names: t.Mapping[int, str]) -> list[str]:
    """The lines for `ovs-ofctl bundle`: groups before the flows that use them, deletions of groups last.

    Adding a flow that is there keeps its counters (without reset_counts), and unlike modify_strict it also sets timeouts and
    flags, and does not come to nothing if the flow has just expired.
    """
    lines = [f"group {'add' if new else 'modify'} {group.text(names)}" for new, group in plan.put_groups]
    lines += [f"flow delete_strict cookie={flow.cookie:#x}/-1,{flow.identity(names)}" for flow in plan.del_flows]
    lines += [f"flow add {flow.text(names)}" for flow in plan.put_flows]
    lines += [f"group delete group_id={group}" for group in plan.del_groups]
    return lines

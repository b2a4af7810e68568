# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared of a bridge's flows, groups, meters and TLV map: the modules' options as typed data.

This file is private to the collection and pure.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.compare import Scope, WantedGroup, WantedMeter
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import (
    COOKIE_MASK,
    Cookie,
    owner_cookie,
    parse_cookie,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.flow import FLAGS, actions_text, match_text
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.group import parse_group
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.meter import parse_meter
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import number, one_line
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.tlv import (
    WantedTlv,
    tlv_argument_spec,
    wanted_tlvs,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import interface_name
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

_TIMEOUTS = ("idle_timeout", "hard_timeout", "importance")
_STRUCTURED = ("table", "priority", "match", "actions", *_TIMEOUTS, *FLAGS)


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
        return _flow_of_text(one_line(item["flow"], f"{what}, option flow").strip(), what, present)
    return _flow_of_fields(item, what, present)


def _flow_of_text(text: str, what: str, present: bool) -> Declared:
    """A flow that is stated as ovs-ofctl takes it."""
    where = f"{what} ({short(text)})"
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


def _flow_of_fields(item: t.Mapping[str, t.Any], what: str, present: bool) -> Declared:
    """A flow that is stated field by field."""
    parts = []
    for name, low, high in (("table", 0, 254), ("priority", 0, 65535), *((name, 0, 65535) for name in _TIMEOUTS)):
        if item[name] is not None:
            parts.append(f"{name}={number(item[name], low, high, what, name)}")
    parts += [flag for flag in FLAGS if item[flag]]
    declared = {name for name in (*_TIMEOUTS, *FLAGS, "actions", "cookie") if item[name] is not None}
    if item["cookie"] is not None:
        parts.append(f"cookie={parse_cookie(item['cookie'], f'{what}, option cookie')}")
    match = match_text(item["match"] or {}, what)
    place = [part for part in parts if part.startswith(("table", "priority"))]
    where = f"{what} ({short(','.join([*place, match] if match else place)) or 'any packet'})"
    parts += [match] if match else []
    parts.append("actions=" + actions_text(item["actions"] or [], where))
    return Declared(where, ",".join(parts), frozenset(declared), present)


def short(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "..."


def _group(item: t.Mapping[str, t.Any], what: str) -> WantedGroup:
    present = item["state"] == "present"
    if _is_text(item, "group", what):
        text = one_line(item["group"], f"{what}, option group")
        if not present and "type=" not in text:
            text += ",type=all"
        group = parse_group(text, f"{what} ({short(text)})")
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
        meter = parse_meter(text, f"{what} ({short(text)})")
        values = {**meter._asdict(), "bands": [band._asdict() for band in meter.bands]}
        return WantedMeter(f"meter {meter.meter_id}", values.pop("meter_id"), values, present)
    if item["meter_id"] is None:
        raise FabricError(f"{what} has no meter_id; give it one")
    name = item["meter_id"]
    if name not in ("controller", "slowpath"):
        name = str(number(name, 1, 0xFFFF0000, what, "meter_id"))
    values = {key: item[key] for key in ("unit", "stats", "bands") if item[key] is not None}
    return WantedMeter(f"meter {name}", name, values, present)

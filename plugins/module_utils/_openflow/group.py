# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenFlow groups: structured data and ovs-ofctl's text.

This file is private to the collection and pure. Source: ovs-ofctl(8).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import ALL_BITS
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import (
    PORT,
    counters,
    number,
    split_top,
    unquoted,
    with_names,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError


class Bucket(t.NamedTuple):
    """One bucket of a group; watch_port is a number's or keyword's text."""

    bucket_id: int
    weight: int
    watch_port: str | None
    watch_group: int | None
    actions: str

    def text(self, select: bool, names: t.Mapping[int, str]) -> str:
        """The bucket as ovs-ofctl reads it."""
        parts = [f"bucket_id:{self.bucket_id}"]
        if self.weight != int(select):
            parts.append(f"weight:{self.weight}")
        if self.watch_port is not None:
            parts.append(with_names(f"watch_port:{self.watch_port}", names))
        if self.watch_group is not None:
            parts.append(f"watch_group:{self.watch_group}")
        return "bucket=" + ",".join([*parts, "actions=" + with_names(self.actions, names)])


class Group(t.NamedTuple):
    """One group; type is all, select, indirect or ff."""

    group_id: int
    type: str
    selection_method: str
    selection_method_param: int
    fields: t.Tuple[str, ...]
    buckets: t.Tuple[Bucket, ...]

    def text(self, names: t.Mapping[int, str]) -> str:
        """The group as ovs-ofctl reads it, with names of ports."""
        parts = [f"group_id={self.group_id}", f"type={self.type}"]
        if self.selection_method:
            parts.append(f"selection_method={self.selection_method}")
        if self.selection_method_param:
            parts.append(f"selection_method_param={self.selection_method_param}")
        if self.fields:
            parts.append(f"fields({','.join(self.fields)})")
        return ",".join(parts + [bucket.text(self.type == "select", names) for bucket in self.buckets])

    def data(self, names: t.Mapping[int, str]) -> dict[str, t.Any]:
        """The group as the modules' options state it."""
        buckets = []
        for bucket in self.buckets:
            port = (
                None
                if bucket.watch_port is None
                else unquoted(with_names(f"watch_port:{bucket.watch_port}", names).partition(":")[2])
            )
            actions = [] if bucket.actions == "drop" else split_top(with_names(bucket.actions, names))
            buckets.append({**bucket._asdict(), "watch_port": port, "actions": actions})
        return {**self._asdict(), "fields": list(self.fields), "buckets": buckets}


# Open vSwitch prints the new names of fields, and reads both.
_FIELD_ALIASES = {
    "dl_src": "eth_src",
    "dl_dst": "eth_dst",
    "dl_type": "eth_type",
    "nw_src": "ip_src",
    "nw_dst": "ip_dst",
    "nw_proto": "ip_proto",
}
GROUP_TYPES = ("all", "select", "indirect", "ff")


def parse_group(text: str, where: str) -> Group:
    """A group from its text, as a person writes it or dump-groups prints it."""
    head, *buckets = re.split(r"[\s,]*\bbuckets?\s*=", text)
    values: dict[str, str] = {}
    fields: list[str] = []
    for part in split_top(head, ", "):
        match = re.fullmatch(r"fields(?:=|\()(.*?)\)?", part)
        if match:
            fields = split_top(match.group(1))
        else:
            key, _equals, value = part.partition("=")
            if key not in ("group_id", "type", "selection_method", "selection_method_param"):
                raise FabricError(
                    f"{where} has {part!r}; a group has group_id, type, selection_method, selection_method_param, fields and buckets"
                )
            values[key] = value
    if "group_id" not in values or "type" not in values:
        raise FabricError(f"{where} needs group_id=NUMBER and type=all, select, indirect or ff")
    return make_group(
        where,
        values["group_id"],
        values["type"],
        [_bucket(bucket) for bucket in buckets],
        values.get("selection_method", ""),
        values.get("selection_method_param", 0),
        fields,
    )


def _bucket(text: str) -> dict[str, t.Any]:
    values: dict[str, t.Any] = {}
    while True:
        match = re.match(rf"[\s,]*(bucket_id|weight|watch_port|watch_group)\s*[:=]\s*({PORT})[\s,]*", text)
        if not match:
            break
        values[match.group(1)] = match.group(2)
        text = text[match.end() :]
    values["actions"] = re.sub(r"^\s*actions\s*=\s*", "", text).strip(" ,") or "drop"
    return values


def _checked_bucket(bucket: t.Mapping[str, t.Any], where: str, kind: str, free: t.Iterator[int]) -> Bucket:
    """A bucket with its numbers checked. free: the ids for those that are given none."""
    bucket_id, weight = bucket.get("bucket_id"), bucket.get("weight")
    port, watch = bucket.get("watch_port"), bucket.get("watch_group")
    return Bucket(
        next(free) if bucket_id is None else number(bucket_id, 0, 0xFFFFFF00, where, "bucket_id"),
        int(kind == "select") if weight is None else number(weight, 0, 65535, where, "weight"),
        None if port in (None, "", "any", "none") else str(port),
        None if watch is None else number(watch, 0, 0xFFFFFF00, where, "watch_group"),
        bucket["actions"],
    )


def make_group(
    where: str,
    group_id: t.Any,
    kind: str,
    buckets: t.Sequence[dict],
    method: str,
    param: t.Any,
    fields: t.Iterable[str],
) -> Group:
    """A group with its numbers checked, and each bucket given an id: the lowest free one, as Open vSwitch itself does."""
    kind = "ff" if kind == "fast_failover" else kind
    if kind not in GROUP_TYPES:
        raise FabricError(f"{where}, type is {kind!r}; give one of {', '.join(GROUP_TYPES)}")
    if method and not re.fullmatch(r"[a-z_]{1,15}", method):
        raise FabricError(f"{where}, selection_method is {method!r}; give hash or dp_hash")
    if kind != "select" and (method or fields):
        raise FabricError(f"{where}, selection_method and fields are for type select only")
    given = [
        number(b["bucket_id"], 0, 0xFFFFFF00, where, "bucket_id") for b in buckets if b.get("bucket_id") is not None
    ]
    if len(set(given)) < len(given):
        raise FabricError(f"{where} has two buckets with one bucket_id; give each its own")
    free = iter(n for n in range(len(buckets) + len(given) + 1) if n not in given)
    made = [_checked_bucket(bucket, where, kind, free) for bucket in buckets]
    names = tuple(sorted(_FIELD_ALIASES.get(field, field) for field in fields))
    for field in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]*(=[0-9a-fA-Fx.:]+)?", field):
            raise FabricError(f"{where}, fields has {field!r}; give fields of ovs-fields(7)")
    return Group(
        number(group_id, 0, 0xFFFFFF00, where, "group_id"),
        kind,
        method,
        number(param, 0, ALL_BITS, where, "selection_method_param"),
        names,
        tuple(made),
    )


def parse_groups(text: str) -> dict[int, Group]:
    """The groups in what `ovs-ofctl -O OpenFlow15 dump-groups` printed."""
    found = [
        parse_group(line.strip(), "dump-groups") for line in text.splitlines() if line.strip().startswith("group_id=")
    ]
    return {group.group_id: group for group in found}


# What a bucket's actions need to be matched before Open vSwitch takes them in a flow; the first row that fits is used.
_PREREQUISITES = (
    (r"nd_(sll|tll|target)|nd_options_type|nd_reserved", "icmp6,icmp_type=135"),
    (r"icmpv6", "icmp6"),
    (r"icmp_", "icmp"),
    (r"arp_|NXM_OF_ARP|NXM_NX_ARP|OXM_OF_ARP", "arp"),
    (r"(?i)sctp", "sctp"),
    (r"(?i)udp", "udp"),
    (r"(?i)tcp|mod_tp_|(tp|_)_src_port", "tcp"),
    (r"(?i)mpls(?!:0x)|mpls_ttl", "mpls"),
    (r"(?i)ipv6", "ipv6"),
    (r"(?i)nw_|\bip_|ipv4|_of_ip_|nx_ip_|dec_ttl|ct\(|ct_clear|nat", "ip"),
    (r"(?i)vlan_(vid|pcp)\b", "vlan_tci=0x1000/0x1000"),
)


def bucket_line(actions: str) -> str:
    """A flow that holds a bucket's actions, for parse-flows: groups have no such command, and need no match."""
    match = next((match for pattern, match in _PREREQUISITES if re.search(pattern, actions)), "")
    return f"{match},actions={actions}".lstrip(",")


def parse_group_stats(text: str) -> dict[int, dict[str, t.Any]]:
    """The counters in what `ovs-ofctl dump-group-stats` printed, by group; `buckets` are in the order of the group's."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*group_id=([0-9]+),", line)
        if match:
            head, *buckets = re.split(r",bucket[0-9]+:", line[match.end() :])
            found[int(match.group(1))] = {**counters(head), "buckets": [counters(bucket) for bucket in buckets]}
    return found

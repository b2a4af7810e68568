# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The map from GENEVE options to the fields tun_metadata0 to tun_metadata63 of a bridge: declared, compared.

This file is private to the collection and pure. Sources: ovs-ofctl(8), add-tlv-map; RFC 8926, 3.5.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.compare import Scope
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.flow import Flow
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.switch import Tlv
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import number
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError


class WantedTlv(t.NamedTuple):
    """One declared entry. tlv: of an absent one only class and type count."""

    where: str
    tlv: Tlv
    present: bool = True


class TlvPlan(t.NamedTuple):
    """What is to be done: clear comes before the flows, put after it, drop after the flows that go. own: ours afterwards."""

    clear: t.List[Tlv]
    put: t.List[Tlv]
    drop: t.List[Tlv]
    own: t.List[Tlv]

    def __bool__(self) -> bool:
        return bool(self.clear or self.put or self.drop)


def tlv_argument_spec() -> dict:
    """The options of one entry."""
    return {
        "class": {"type": "str", "required": True},
        "type": {"type": "int", "required": True},
        "length": {"type": "int"},
        "field": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


def wanted_tlvs(items: t.Iterable[t.Mapping[str, t.Any]]) -> list[WantedTlv]:
    """The declared entries. Raises FabricError for what cannot be meant."""
    wanted: list[WantedTlv] = []
    for item in items:
        option_class = number(item["class"], 0, 0xFFFF, "tlvs", "class")
        kind = number(item["type"], 0, 0xFF, "tlvs", "type")
        where = f"GENEVE option {option_class:#06x}/{kind}"
        if any(other.where == where for other in wanted):
            raise FabricError(f"{where} is declared twice; declare it once")
        present = item["state"] != "absent"
        field = re.fullmatch(r"tun_metadata([0-9]|[1-5][0-9]|6[0-3])", item["field"] or "")
        if present and field is None:
            raise FabricError(f"{where}: field is {item['field']!r}; give one of tun_metadata0 to tun_metadata63")
        length = item["length"] if present else 4
        if length not in range(4, 125, 4):
            raise FabricError(f"{where}: length is {length!r}; give its bytes, from 4 to 124 in steps of 4")
        wanted.append(WantedTlv(where, Tlv(option_class, kind, length, int(field.group(1)) if field else 0), present))
    fields: dict[int, str] = {}
    for one in wanted:
        if one.present and fields.setdefault(one.tlv.number, one.where) != one.where:
            raise FabricError(
                f"{one.where} and {fields[one.tlv.number]} have the same field tun_metadata{one.tlv.number}; give each its own"
            )
    return wanted


def compare_tlvs(
    wanted: t.Sequence[WantedTlv] | None,
    found: t.Sequence[Tlv],
    own: t.Collection[Tlv],
    scope: Scope,
    used: t.Sequence[Flow],
    gone: t.Container[t.Any],
) -> TlvPlan:
    """From what is wanted and found to what is to be done.

    own: the entries of this owner. used: the flows of the bridge; gone: the keys of those that this call removes.
    """
    if wanted is None:
        return TlvPlan([], [], [], list(own))
    comparison = _Comparison(found, own, scope)
    for item in wanted:
        if item.present:
            comparison.put(item)
        else:
            comparison.drop(item)
    if scope.purge:
        comparison.purge(wanted)
    plan = comparison.plan()
    _refuse_used(plan.clear, used, ())
    _refuse_used(plan.drop, used, gone)
    return plan


def _key(tlv: Tlv) -> tuple[int, int]:
    """What tells one entry from another."""
    return tlv.option_class, tlv.type


class _Comparison:
    """What becomes of each entry, gathered. ours: the entries of this owner afterwards, by class and type."""

    def __init__(self, found: t.Sequence[Tlv], own: t.Collection[Tlv], scope: Scope) -> None:
        self.found, self.own, self.scope = found, own, scope
        self.held = {_key(tlv): tlv for tlv in found}
        self.fields = {tlv.number: tlv for tlv in found}
        self.ours = {_key(tlv): tlv for tlv in own}
        self.cleared: list[Tlv] = []
        self.added: list[Tlv] = []
        self.dropped: list[Tlv] = []

    def put(self, item: WantedTlv) -> None:
        """Have a declared entry, and clear those that hold its class and type, or its field. Raises FabricError for one of others."""
        key, tlv = _key(item.tlv), item.tlv
        present = self.held.get(key)
        in_the_way = {one for one in (present, self.fields.get(tlv.number)) if one is not None and one != tlv}
        for one in sorted(in_the_way - set(self.cleared)):
            _refuse_foreign(item.where, one, self.own, self.scope)
            self.ours.pop(_key(one), None)
            self.cleared.append(one)
        if present != tlv:
            self.added.append(tlv)
        if present != tlv or tlv in self.own or self.scope.adopt:
            self.ours[key] = tlv

    def drop(self, item: WantedTlv) -> None:
        """Take an entry away that is declared as absent. Raises FabricError for one of others."""
        present = self.held.get(_key(item.tlv))
        if present is not None:
            _refuse_foreign(item.where, present, self.own, self.scope)
            self.dropped.append(present)
        self.ours.pop(_key(item.tlv), None)

    def purge(self, wanted: t.Sequence[WantedTlv]) -> None:
        """Take away our entries that are not declared."""
        undeclared = set(self.ours) - {_key(item.tlv) for item in wanted}
        removed = [self.ours.pop(key) for key in sorted(undeclared)]
        self.dropped += [tlv for tlv in removed if tlv in self.found and tlv not in self.cleared]

    def plan(self) -> TlvPlan:
        """All of it."""
        return TlvPlan(self.cleared, self.added, self.dropped, sorted(self.ours.values()))


def _refuse_foreign(where: str, tlv: Tlv, own: t.Collection[Tlv], scope: Scope) -> None:
    if tlv not in own and not scope.adopt:
        raise FabricError(
            f"{where}: the bridge maps {tlv.text()}, which is not ours; choose another field, or give adopt: true to take it over"
        )


def _refuse_used(tlvs: t.Iterable[Tlv], flows: t.Iterable[Flow], gone: t.Container[t.Any]) -> None:
    """Open vSwitch does not take an entry away that a flow uses."""
    indexes = [str(tlv.number) for tlv in tlvs]
    if not indexes:
        return
    pattern = re.compile(rf"\btun_metadata({'|'.join(indexes)})\b")
    for flow in flows:
        match = pattern.search(flow.match) or pattern.search(flow.actions)
        if match and flow.key not in gone:
            raise FabricError(
                f"field tun_metadata{match.group(1)} is still used by the flow {flow.identity({})}; remove that flow first"
            )

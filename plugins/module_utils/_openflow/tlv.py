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
    held = {(tlv.option_class, tlv.type): tlv for tlv in found}
    fields = {tlv.number: tlv for tlv in found}
    clear: list[Tlv] = []
    put: list[Tlv] = []
    drop: list[Tlv] = []
    ours = {(tlv.option_class, tlv.type): tlv for tlv in own}
    for item in wanted:
        key = (item.tlv.option_class, item.tlv.type)
        present = held.get(key)
        if not item.present:
            if present is not None:
                _refuse_foreign(item.where, present, own, scope)
                drop.append(present)
            ours.pop(key, None)
            continue
        in_the_way = {tlv for tlv in (present, fields.get(item.tlv.number)) if tlv is not None and tlv != item.tlv}
        for tlv in sorted(in_the_way - set(clear)):
            _refuse_foreign(item.where, tlv, own, scope)
            ours.pop((tlv.option_class, tlv.type), None)
            clear.append(tlv)
        if present != item.tlv:
            put.append(item.tlv)
        if present != item.tlv or item.tlv in own or scope.adopt:
            ours[key] = item.tlv
    if scope.purge:
        undeclared = set(ours) - {(item.tlv.option_class, item.tlv.type) for item in wanted}
        removed = [ours.pop(key) for key in sorted(undeclared)]
        drop += [tlv for tlv in removed if tlv in found and tlv not in clear]
    _refuse_used(clear, used, ())
    _refuse_used(drop, used, gone)
    return TlvPlan(clear, put, drop, sorted(ours.values()))


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

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bridge holds as an OpenFlow switch: flows, groups, meters, tables, the map of GENEVE's options, and the versions that it speaks.

This file is private to the collection and pure. Source: ovs-ofctl(8).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.flow import Flow
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.group import Group
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.meter import Meter
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import Key, counters, whole


def parse_tables(text: str) -> list[dict[str, int]]:
    """The tables that have flows, in what `ovs-ofctl dump-tables` printed: table, active, lookup, matched."""
    found = []
    for match in re.finditer(r"(?m)^\s*table ([0-9]+)[^\n]*:\s*\n\s*(active=[^\n]*)", text):
        counts = counters(match.group(2))
        if counts["active"]:
            found.append({"table": int(match.group(1)), **counts})
    return found


class Tlv(t.NamedTuple):
    """One entry of a bridge's map from GENEVE options to fields (ovs-ofctl(8), add-tlv-map): tun_metadataNUMBER holds it.

    option_class and type: of the option (RFC 8926, 3.5). length: of its data in bytes.
    """

    option_class: int
    type: int
    length: int
    number: int

    def text(self) -> str:
        """The entry as ovs-ofctl reads it."""
        return f"{{class={self.option_class:#x},type={self.type:#x},len={self.length}}}->tun_metadata{self.number}"

    def data(self) -> dict[str, t.Any]:
        """The entry as the modules' options state it."""
        return {
            "class": f"{self.option_class:#06x}",
            "type": self.type,
            "length": self.length,
            "field": f"tun_metadata{self.number}",
        }


def parse_tlvs(text: str) -> list[Tlv]:
    """The entries in what `ovs-ofctl dump-tlv-map` printed."""
    rows = re.findall(r"(?m)^\s*(0x[0-9a-f]+|0)\s+(0x[0-9a-f]+|0)\s+([0-9]+)\s+tun_metadata([0-9]+)\s*$", text)
    return [
        Tlv(whole(option_class), whole(kind), int(length), int(index)) for option_class, kind, length, index in rows
    ]


def tlvs_text(tlvs: t.Iterable[Tlv]) -> str:
    """Entries as one argument of ovs-ofctl."""
    return ",".join(tlv.text() for tlv in tlvs)


# The newest first; the first has all of groups.
VERSIONS = tuple(f"OpenFlow1{minor}" for minor in range(5, -1, -1))
# Those that have bundles, in which all happens at once or nothing (ovs-ofctl(8), "bundle").
BUNDLED = VERSIONS[:3]


def spoken(protocols: t.Collection[str]) -> str:
    """The newest version that a bridge speaks, from its column protocols."""
    return next((version for version in VERSIONS if version in protocols), VERSIONS[0])


class Switch(t.NamedTuple):
    """What a bridge holds, or a file of an owner: flows by key, groups and meters by id."""

    flows: t.Dict[Key, Flow]
    groups: t.Dict[int, Group]
    meters: t.Dict[str, Meter]


def restore_lines(switch: Switch, names: t.Mapping[int, str]) -> list[str]:
    """The lines for `ovs-ofctl bundle` that make groups and flows anew, whatever is there already."""
    groups = [f"group add_or_mod {group.text(names)}" for _id, group in sorted(switch.groups.items())]
    flows = sorted(switch.flows.values(), key=lambda flow: (flow.table, -flow.priority, flow.match))
    return groups + [f"flow add {flow.text(names)}" for flow in flows]

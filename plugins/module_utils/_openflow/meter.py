# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenFlow meters: structured data and ovs-ofctl's text.

This file is private to the collection and pure. Source: ovs-ofctl(8).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import counters, number
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError


class Band(t.NamedTuple):
    """One band of a meter; rate and burst_size are in the meter's unit (kilobits or packets)."""

    type: str
    rate: int
    burst_size: int | None = None
    prec_level: int | None = None


class Meter(t.NamedTuple):
    """One meter; unit is kbps or pktps, meter_id a number's text, `controller` or `slowpath`."""

    meter_id: str
    unit: str
    stats: bool
    bands: t.Tuple[Band, ...]

    def text(self) -> str:
        """The meter as ovs-ofctl reads it."""
        parts = [f"meter={self.meter_id}", self.unit]
        if any(band.burst_size is not None for band in self.bands):
            parts.append("burst")
        if self.stats:
            parts.append("stats")
        bands: list[str] = []
        for band in self.bands:
            bands += [f"{key}={value}" for key, value in band._asdict().items() if value is not None]
        return ",".join(parts) + ",bands=" + ",".join(bands)

    def data(self) -> dict[str, t.Any]:
        """The meter as the modules' options state it."""
        return {**self._asdict(), "bands": [band._asdict() for band in self.bands]}


def parse_meter(text: str, where: str) -> Meter:
    """A meter from its text, as a person writes it or dump-meters prints it."""
    head, _equals, bands = text.partition("bands=")
    words = head.replace(",", " ").split()
    ids = [word[6:] for word in words if word.startswith("meter=")]
    rest = [word for word in words if not word.startswith("meter=")]
    if len(ids) != 1 or not set(rest) <= {"kbps", "pktps", "burst", "stats"}:
        raise FabricError(f"{where} is {text!r}; give meter=NUMBER, kbps or pktps, perhaps burst and stats, and bands=")
    made: list[dict[str, str]] = []
    for word in bands.replace(",", " ").split():
        key, _equals, value = word.partition("=")
        if key == "type":
            made.append({})
        if not made or key not in Band._fields:
            raise FabricError(
                f"{where}: {word!r} is no part of a band; a band is type=drop,rate=NUMBER and perhaps burst_size=NUMBER"
            )
        made[-1][key] = value
    return make_meter(where, ids[0], "".join(w for w in rest if w in ("kbps", "pktps")), "stats" in rest, made)


def make_meter(where: str, meter_id: t.Any, unit: str, stats: bool, bands: t.Sequence[t.Mapping[str, t.Any]]) -> Meter:
    """A meter with its numbers checked. If one band has a burst_size, all have one, 0 by default (a flag of the meter)."""
    if unit not in ("kbps", "pktps"):
        raise FabricError(f"{where}, unit is {unit!r}; give kbps or pktps")
    if not bands:
        raise FabricError(f"{where} has no bands; give at least one, such as type drop with a rate")
    burst = any(band.get("burst_size") is not None for band in bands)
    made = []
    for band in bands:
        kind = band.get("type") or "drop"
        level = band.get("prec_level")
        if kind not in ("drop", "dscp_remark"):
            raise FabricError(f"{where}, the type of a band is {kind!r}; give drop or dscp_remark")
        made.append(
            Band(
                kind,
                number(band.get("rate"), 0, 0xFFFFFFFF, where, "rate"),
                number(band.get("burst_size") or 0, 0, 0xFFFFFFFF, where, "burst_size") if burst else None,
                None if level is None else number(level, 0, 255, where, "prec_level"),
            )
        )
    virtual = str(meter_id) in ("controller", "slowpath")
    name = str(meter_id) if virtual else str(number(meter_id, 1, 0xFFFF0000, where, "meter_id"))
    return Meter(name, unit, bool(stats), tuple(made))


def parse_meters(text: str) -> dict[str, Meter]:
    """The meters in what `ovs-ofctl dump-meters` printed."""
    found = [parse_meter("meter=" + part, "dump-meters") for part in re.split(r"(?m)^\s*meter=", text)[1:]]
    return {meter.meter_id: meter for meter in found}


def parse_meter_stats(text: str) -> dict[str, dict[str, t.Any]]:
    """The counters in what `ovs-ofctl meter-stats` printed, by meter; `bands` are in the order of the meter's."""
    found = {}
    for part in re.split(r"(?m)^\s*meter:", text)[1:]:
        name, _blank, rest = part.partition(" ")
        head, _bands, bands = rest.partition("bands:")
        found[name] = {**counters(head), "bands": [counters(band) for band in re.findall(r"(?m)^[0-9]+:(.*)$", bands)]}
    return found

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The path of a packet as a person draws it, for a terminal. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

TITLES = {
    "edge": "edge",
    "endpoint": "endpoint",
    "guest": "guest",
    "host": "host",
    "logical": "OVN",
    "gateway": "gateway",
    "outside": "outside",
    "port": "port",
    "router": "router",
    "switch": "bridge",
    "tunnel": "tunnel",
    "underlay": "underlay",
}


def lines(report: Item) -> list[str]:
    """Both ways, and the verdict last, where a person looks first."""
    packet = report["packet"]
    what = packet["protocol"] + (f" port {packet['port']}" if packet["port"] else "") + f", {packet['size']} bytes"
    drawn = [f"{report['from']} → {report['to']}: {what}"]
    for direction in ("there", "back"):
        drawn += ["", f"  {direction}", *_way(report[direction], report["died"], direction)]
    return [*drawn, "", *verdict(report)]


def _way(way: Item, died: Item | None, direction: str) -> list[str]:
    """The hops of one direction, host by host."""
    drawn, host = [], None
    ends = died["hop"] if died and died["direction"] == direction else (way["died"] or {"hop": None})["hop"]
    for number, hop in enumerate(way["hops"]):
        if hop["host"] != host:
            host = hop["host"]
            drawn.append(f"  ┌ {host}" if not number else f"  ├ {host}")
        mark = "✗" if number == ends else "│"
        first, *rest = hop["notes"] or [""]
        drawn.append(f"  {mark}   {TITLES[hop['kind']]:<9} {hop['name']}" + (f": {first}" if first else ""))
        drawn += [f"  │             {note}" for note in rest]
    drawn.append("  └ arrived" if ends is None and way["hops"][-1]["kind"] != "outside" else "  └")
    return drawn


def verdict(report: Item) -> list[str]:
    """What came of it, why, and how to mend it."""
    died = report["died"]
    if died:
        place = f"{died['at']['host']}, {TITLES[died['at']['kind']]} {died['at']['name']}"
        told = [f"  ✗ ends at {place} ({died['direction']}): {died['because']}"]
        told += [f"      planned: {died['planned']}"] if died["planned"] else []
        return told + ([f"      mend: {died['mend']}"] if died["mend"] else [])
    if report["undecided"]:
        return ["  ✗ no answer came back, and nothing that was read says why"]
    measured, last = _measured(report["measured"]), report["there"]["hops"][-1]
    arrives = "arrives, and the answer comes back"
    if last["kind"] == report["back"]["hops"][0]["kind"] == "outside" and not (report["measured"] or {}).get("sent"):
        arrives = f"passes as far as it is followed, to {last['name']}"
    told = [f"  ● {arrives}{measured}"]
    if report["remark"]:
        told.append(f"      but {report['remark']['because']}")
    return told


def _measured(measured: Item | None) -> str:
    if not measured or not measured.get("sent"):
        return " (not measured)"
    rtt = measured.get("rtt_ms")
    return f" ({measured['received']} of {measured['sent']} packets" + (f", {rtt} ms)" if rtt is not None else ")")


def sentence(report: Item) -> str:
    """The verdict in one sentence."""
    told = verdict(report)
    return f"{report['from']} to {report['to']} " + told[0].strip().lstrip("✗● ")

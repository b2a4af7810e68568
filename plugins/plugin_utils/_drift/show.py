# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drift of a fabric for a terminal. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

THINGS_SHOWN = 30
DETAILS_SHOWN = 5
# A definition or a list of flows is for the report.
LONGEST = 120


def lines(report: Item) -> list[str]:
    """The report for a terminal: what could not be compared, what differs, what is orphaned, what waits for a restart, what is others'."""
    compared = sum(state == "compared" for state in report["hosts"].values())
    mark = "●" if compared == len(report["hosts"]) else "✗"
    shown = [f"  fabric {report['fabric']}", f"  {mark} hosts compared  {compared} of {len(report['hosts'])}"]
    shown += [
        f"      {name}: {state}" for name, state in report["hosts"].items() if state.startswith(("down", "not read"))
    ]
    shown += [f"      {one['host']}: {one['task']}: {one['msg']}" for one in report["failed"]]
    shown += _section("differs from the intent", report["differing"], _differing)
    shown += _section("of the fabric, and no longer in the intent", report["orphaned"], _orphaned)
    shown += _section("runs as it was before a change", report["restarts"], lambda one: [f"  ✗ {one['msg']}"])
    shown += _section("of others, and left alone", report["foreign"], _foreign)
    return shown + (["", "  no drift"] if report["passed"] else [])


def _section(title: str, things: t.Sequence[Item], draw: t.Callable[[Item], list[str]]) -> list[str]:
    if not things:
        return []
    shown = ["", f"  {title}"]
    for thing in things[:THINGS_SHOWN]:
        shown += draw(thing)
    more = len(things) - THINGS_SHOWN
    return shown + ([f"    and {more} more in the report"] if more > 0 else [])


def _differing(one: Item) -> list[str]:
    shown = [f"  ✗ {one['host']} {one['thing']}" + (": not there" if one["kind"] == "missing" else "")]
    for detail in one["details"][:DETAILS_SHOWN]:
        shown.append(f"      {detail['option']}: {value(detail['is'])}; planned: {value(detail['planned'])}")
    more = len(one["details"]) - DETAILS_SHOWN
    return shown + ([f"      and {more} more in the report"] if more > 0 else [])


def _orphaned(one: Item) -> list[str]:
    return [f"  ✗ {one['host']} {one['thing']}"]


def _foreign(one: Item) -> list[str]:
    told = [*one["traces"], *([f"of the owner {one['owner']}"] if one["owner"] else [])]
    return [f"    {one['host']} {one['kind']} {one['name']}" + (f" ({', '.join(told)})" if told else "")]


def value(thing: t.Any) -> str:
    """A value on one line."""
    if thing is None or thing in ("", [], {}):
        return "none"
    if isinstance(thing, bool):
        return "yes" if thing else "no"
    text = ", ".join(str(part) for part in thing) if isinstance(thing, list) else str(thing)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def sentence(report: Item) -> str:
    """What is wrong, in one sentence."""
    counted = {
        "host not compared": sum(state != "compared" for state in report["hosts"].values()),
        "difference": len(report["differing"]),
        "orphaned thing": len(report["orphaned"]),
        "pending restart": len(report["restarts"]),
    }
    names = [
        f"{count} {name.replace('host', 'hosts') if count > 1 and 'host' in name else name + 's' * (count > 1)}"
        for name, count in counted.items()
        if count
    ]
    return f"Drift: {', '.join(names)}. site.yml repairs what differs, and removes what is orphaned."

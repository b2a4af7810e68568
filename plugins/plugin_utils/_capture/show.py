# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a capture saw, for a terminal. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._capture.merge import stopped

Item = t.Dict[str, t.Any]

# Seconds in which all hosts have to listen, so that some pings and their answers are counted.
TOGETHER = 2.0


def lines(report: Item) -> list[str]:
    """A line for each point, and where packets stopped."""
    width = max(len(row["name"]) for row in report["points"])
    shown = [f"{report['from']} → {report['to']}: {report['seconds']} s at {len(report['points'])} points", ""]
    shown.append(f"    {'point':{width}}  {'there':>5}  {'back':>5}  what it is")
    for row in report["points"]:
        numbers = f"{row['there']:5}  {row['back']:5}" if not row["error"] else f"{'–':>5}  {'–':>5}"
        mark = "✗" if row["error"] else "●" if row["there"] or row["back"] else "·"
        shown.append(f"  {mark} {row['name']:{width}}  {numbers}  {_what(row)}")
    return [*shown, "", *_verdict(report), *_clocks(report)]


def arrived(report: Item) -> bool:
    """Whether the first point that was read saw packets go and answers come."""
    read = [row for row in report["points"] if not row["error"]]
    return bool(read and read[0]["there"] and read[0]["back"])


def _what(row: Item) -> str:
    told = [row["what"]]
    told += [row["error"]] if row["error"] else []
    told += ["full, later packets were not taken"] if row["full"] else []
    told += [f"the kernel dropped {row['missed']} as they came too fast"] if row["missed"] else []
    return "; ".join(told)


def _verdict(report: Item) -> list[str]:
    return [f"  {'●' if report['passed'] else '✗'} {sentence(report)}"]


def sentence(report: Item) -> str:
    """What came of it."""
    if report["passed"]:
        return "packets arrive, and answers come back"
    if report["together"] < TOGETHER:
        return f"the hosts listened at once for {report['together']} s only; give more seconds, or Ansible as many forks as hosts"
    end = stopped(report["points"])
    if end is None:
        return "packets arrive at the last point that was read"
    direction, last, following = end
    way = "on the way there" if direction == "there" else "on the way back"
    if following is None:
        none = "no packet was sent" if direction == "there" else "no answer was sent"
        return f"{none}: {last['name']} saw none"
    return (
        f"packets stop {way} after {last['name']} ({last['what']}); {following['name']} ({following['what']}) saw none"
    )


def _clocks(report: Item) -> list[str]:
    told = [
        f"{host} by {nanoseconds / 1e6:+.1f} ms"
        for host, nanoseconds in report["ahead"].items()
        if abs(nanoseconds) >= 100_000
    ]
    return [f"    clocks that were corrected: {', '.join(told)}"] if told else []

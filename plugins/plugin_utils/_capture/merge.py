# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several hosts captured, as one: the clocks of the hosts, the order of the packets, and where they stopped. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import base64
import typing as t

Item = t.Dict[str, t.Any]

# A packet is known again by its inner IP packet: that much of it, but for what a router changes.
KNOWN = 64
# Nanoseconds that a packet may take.
ARRIVES = 500_000_000


def key(packet: Item, family: int) -> tuple[bool, bytes]:
    """What a packet is known by at all points: its direction, and its inner IP packet without TTL and checksum."""
    data, at = base64.b64decode(packet["data"]), packet["at"]
    # The addresses are 12 bytes into an IPv4 header and 8 into one of IPv6; in front of them are the two things that change.
    inner = (
        data[at - 8 : at - 6] + data[at : at + KNOWN] if family == 4 else data[at - 4 : at - 2] + data[at : at + KNOWN]
    )
    return packet["back"], inner


def times(seen: t.Sequence[Item], family: int, first: bool) -> dict[tuple[bool, bytes], int]:
    """When each packet was seen first, or last, at a host's points."""
    found: dict[tuple[bool, bytes], int] = {}
    for packet in seen:
        name = key(packet, family)
        found[name] = (min if first else max)(found.get(name, packet["time"]), packet["time"])
    return found


def clocks(order: t.Sequence[str], seen: t.Mapping[str, t.Sequence[Item]], family: int) -> dict[str, int]:
    """How far each host's clock is ahead of the first host's, in nanoseconds.

    A packet that goes there and one that goes back take the same least time (RFC 5905, section 8); with one of them alone, a clock is only
    moved so far that no packet arrives before it was sent.
    """
    ahead: dict[str, int] = {}
    for number, host in enumerate(order):
        ahead[host] = ahead[order[number - 1]] + _ahead(seen[order[number - 1]], seen[host], family) if number else 0
    return ahead


def _ahead(near: t.Sequence[Item], far: t.Sequence[Item], family: int) -> int:
    """How far the far host's clock is ahead of the near one's."""
    onward = _spans(times(near, family, first=False), times(far, family, first=True), back=False)
    back = _spans(times(far, family, first=False), times(near, family, first=True), back=True)
    if onward and back:
        return (min(onward) - min(back)) // 2
    if onward:
        return min([0, *onward])
    return max(0, -min(back)) if back else 0


def _spans(left: dict[tuple[bool, bytes], int], came: dict[tuple[bool, bytes], int], back: bool) -> list[int]:
    """How long the packets of one direction took between two hosts, by their own clocks."""
    return [came[name] - left[name] for name in left if name in came and name[0] is back]


def merge(points: t.Sequence[Item], seen: t.Mapping[str, Item], family: int) -> Item:
    """All packets by the first host's clock, in order, and what was seen at each point.

    points: in the order of the way; seen: what capture_info returned of each host.
    """
    order = list(dict.fromkeys(point["host"] for point in points))
    rows = {row["name"]: row for host in order for row in seen[host].get("points", ())}
    of_host = {host: [p for row in seen[host].get("points", ()) for p in row["packets"]] for host in order}
    ahead = clocks(order, of_host, family)
    packets, table = [], []
    for number, point in enumerate(points):
        row = rows.get(point["name"], {"packets": [], "error": _why(seen[point["host"]]), "full": False, "missed": 0})
        own = [{**packet, "point": number, "time": packet["time"] - ahead[point["host"]]} for packet in row["packets"]]
        packets += own
        table.append({**point, **{name: row[name] for name in ("error", "full", "missed")}})
    packets.sort(key=lambda packet: packet["time"])
    common = _common(order, seen, ahead)
    counted = _heard_by_all(packets, common, family)
    for number, row in enumerate(table):
        names = {key(packet, family) for packet in packets if packet["point"] == number} & counted
        row.update(there=sum(not name[0] for name in names), back=sum(name[0] for name in names))
    together = max(0.0, (common[1] - common[0]) / 1e9)
    return {"points": table, "packets": packets, "ahead": ahead, "together": round(together, 3)}


def _why(found: Item) -> str:
    lines = str(found.get("msg") or "it was not read").splitlines()
    return lines[0] if lines else "it was not read"


def _common(order: t.Sequence[str], seen: t.Mapping[str, Item], ahead: t.Mapping[str, int]) -> tuple[int, int]:
    """The time in which all hosts listened."""
    spans = [
        (seen[host]["begun"] - ahead[host], seen[host]["ended"] - ahead[host])
        for host in order
        if "begun" in seen[host]
    ]
    return max((begun for begun, _ended in spans), default=0), min((ended for _begun, ended in spans), default=0)


def _heard_by_all(packets: t.Sequence[Item], common: tuple[int, int], family: int) -> set[tuple[bool, bytes]]:
    """The packets that were first seen while all hosts listened, and had time to arrive until one of them stopped."""
    begun, ended = common
    return {name for name, when in times(packets, family, first=True).items() if begun <= when <= ended - ARRIVES}


def stopped(table: t.Sequence[Item]) -> tuple[str, Item, Item | None] | None:
    """Where packets were seen last: the direction, that point, and the next one that saw none; None when answers came back.

    A point that could not be read decides nothing. Of several NICs and routers side by side some see nothing, and later ones do.
    """
    read = [row for row in table if not row["error"]]
    if not read or (read[0]["there"] and read[0]["back"]):
        return None
    for direction, way in (("there", read), ("back", read[::-1])):
        if direction == "back" and not read[-1]["there"]:
            break
        seen = [number for number, row in enumerate(way) if row[direction]]
        if not seen:
            return (direction, way[0], None)
        if seen[-1] < len(way) - 1:
            return direction, way[seen[-1]], way[seen[-1] + 1]
    return None

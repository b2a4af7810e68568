# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges with OSPF or BGP: what the plan expects of their default routes and sessions. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

LOOK = (
    "ip -n {name} route; birdc -s /run/overloom-bird-{name}.ctl show protocols all; journalctl -u overloom-bird-{name}"
)
UP = "Established"


def expected_uplinks(host: Item) -> dict[str, Item]:
    """Each router runs, has a default route of each family, and its sessions stand."""
    return {item["name"]: _expected(item) for item in host["uplinks"]}


def _expected(item: Item) -> Item:
    return {
        "running": True,
        "namespace": item["namespace"],
        "default_routes": _families(item),
        "established": sorted(neighbor["address"] for neighbor in item["neighbors"]),
    }


def _families(item: Item) -> list[str]:
    """The families of which a default route is to come."""
    spoken = ["ipv6" if ":" in neighbor["address"] else "ipv4" for neighbor in item["neighbors"]]
    return sorted({*(item["ospf"] or {}).get("families", ()), *spoken})


def uplink_rows(rows: t.Iterable[Item], _wanted: dict[str, Item]) -> dict[str, Item]:
    """What was read, by the names of the edges."""
    found = {}
    for row in rows:
        established = sorted(address for address, state in row["sessions"].items() if state == UP)
        found[row["name"]] = {**row, "default_routes": sorted(row["defaults"]), "established": established}
    return found

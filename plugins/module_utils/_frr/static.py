# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static routes in FRR: from options to settings.

This file is private to the collection, and pure.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.lists import (
    Params,
    check_host,
    check_numbers,
    check_prefix,
    check_unique,
    check_vrf,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import Found
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import key_of
from ansible_collections.overloom.fabric.plugins.module_utils._frr.wanted import Lines, Thing
from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import check_interface_name
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

ROUTE: dict[str, t.Any] = {
    "prefix": {"type": "str"},
    "via": {"type": "str"},
    "interface": {"type": "str"},
    "discard": {"type": "str", "choices": ["blackhole", "reject"]},
    "onlink": {"type": "bool", "default": False},
    "distance": {"type": "int", "default": 1},
    "tag": {"type": "int"},
    "table": {"type": "int"},
    "vrf": {"type": "str", "default": "default"},
    "nexthop_vrf": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def things(items: t.Sequence[Params], found: Found) -> tuple[list[Thing], tuple[str, ...]]:
    """The routes that are declared. Raises FabricError with the first wrong input."""
    made = [_route(item, found) for item in items]
    check_unique((thing.name for thing in made), "routes")
    return made, ()


def daemons(items: t.Iterable[Params]) -> tuple[str, ...]:
    """The daemon that the routes need."""
    return ("staticd",) if list(items) else ()


def _route(item: Params, found: Found) -> Thing:
    if not item["prefix"]:
        raise FabricError("routes: prefix is missing; give the destination, such as 10.0.0.0/8")
    prefix = check_prefix(item["prefix"], "routes: prefix")
    what = f"route {prefix}"
    version = 6 if ":" in prefix else 4
    words = ["ipv6" if version == 6 else "ip", "route", prefix]
    _check_kind(item, what)
    if item["via"]:
        words.append(check_host(item["via"], f"{what}: via", version))
    if item["interface"]:
        words.append(check_interface_name(item["interface"], f"{what}: interface"))
    if item["discard"]:
        words.append(item["discard"])
    words += _attributes(item, what)
    vrf = check_vrf(item["vrf"], f"{what}: vrf")
    path = () if vrf == "default" else (f"vrf {vrf}",)
    line = " ".join(words)
    lines = Lines(found.running)
    lines.put(path, line)
    key = key_of(line)
    return Thing(f"{key} in vrf {vrf}", lines.wanted, ((path, key + "\n"),), None, item["state"] == "present")


def _check_kind(item: Params, what: str) -> None:
    """What says where packets go, and excludes the others. Raises FabricError."""
    if bool(item["discard"]) == bool(item["via"] or item["interface"]):
        raise FabricError(f"{what}: give either a next hop (via, interface) or discard")
    if item["onlink"] and not (item["via"] and item["interface"]):
        raise FabricError(f"{what}: onlink needs via and interface")
    if item["nexthop_vrf"] and item["discard"]:
        raise FabricError(f"{what}: nexthop_vrf says nothing about a route that discards; leave one of the two out")


def _attributes(item: Params, what: str) -> list[str]:
    """The words after the next hop, in FRR's order. Raises FabricError."""
    check_numbers(item, {"distance": (1, 255), "tag": (1, 4294967295), "table": (1, 4294967295)}, what)
    words: list[str] = []
    if item["tag"]:
        words += ["tag", str(item["tag"])]
    if item["distance"] != 1:
        words.append(str(item["distance"]))
    if item["table"]:
        words += ["table", str(item["table"])]
    if item["nexthop_vrf"]:
        words += ["nexthop-vrf", check_vrf(item["nexthop_vrf"], f"{what}: nexthop_vrf")]
    return [*words, "onlink"] if item["onlink"] else words

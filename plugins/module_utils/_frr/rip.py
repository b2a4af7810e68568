# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RIP (RFC 2453) in FRR: from options to settings.

This file is private to the collection, and pure.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.lists import (
    KEY_CHAINS,
    PREFIX_LISTS,
    ROUTE_MAPS,
    Params,
    below,
    check_host,
    check_numbers,
    check_prefix,
    check_secret,
    check_unique,
    check_vrf,
    check_word,
    list_things,
    redistribute_lines,
    vrf_suffix,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import Found
from ansible_collections.overloom.fabric.plugins.module_utils._frr.wanted import Lines, Thing
from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import check_interface_name
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

_STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}

INSTANCE: dict[str, t.Any] = {
    "vrf": {"type": "str", "default": "default"},
    "networks": {"type": "list", "elements": "str"},
    "neighbors": {"type": "list", "elements": "str"},
    "passive_interfaces": {"type": "list", "elements": "str"},
    "default_metric": {"type": "int"},
    "distance": {"type": "int"},
    "default_information": {"type": "bool"},
    "allow_ecmp": {"type": "bool"},
    "timers": {
        "type": "dict",
        "options": {
            "update": {"type": "int", "required": True},
            "timeout": {"type": "int", "required": True},
            "garbage": {"type": "int", "required": True},
        },
    },
    "redistribute": {
        "type": "list",
        "elements": "dict",
        "options": {
            "protocol": {"type": "str", "required": True},
            "metric": {"type": "int"},
            "route_map": {"type": "str"},
        },
    },
    "interfaces": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "split_horizon": {"type": "str", "choices": ["plain", "poisoned_reverse", "none"]},
            "authentication": {"type": "str", "choices": ["none", "text", "md5"]},
            "authentication_key": {"type": "str", "no_log": True},
            "key_chain": {"type": "str", "no_log": False},
            "state": _STATE,
        },
    },
    "state": _STATE,
}

LISTS = {"prefix_lists": PREFIX_LISTS, "route_maps": ROUTE_MAPS, "key_chains": KEY_CHAINS}

_PROTOCOLS = ("kernel", "connected", "static", "ospf", "isis", "bgp", "eigrp", "nhrp", "babel")


def things(params: Params, items: t.Sequence[Params], found: Found, owner: str) -> tuple[list[Thing], tuple[str, ...]]:
    """The things that the options declare, and the beginnings of names that an omitted list leaves alone.

    Raises FabricError with the first wrong input.
    """
    made, kept = list_things(params, found)
    check_unique((item["vrf"] for item in items), "instances: vrf")
    for item in items:
        made += _instance(item, found, owner, kept)
    return made, tuple(kept)


def daemons(items: t.Iterable[Params]) -> tuple[str, ...]:
    """The daemon that the instances need."""
    return ("ripd",) if list(items) else ()


def _instance(item: Params, found: Found, owner: str, kept: list[str]) -> list[Thing]:
    vrf = check_vrf(item["vrf"], "vrf")
    name, header = f"RIP {vrf}", f"router rip{vrf_suffix(vrf)}"
    path = (header,)
    lines = Lines(found.running)
    process = Thing(name, lines.wanted, (((header,), ""),), None, item["state"] == "present")
    if item["state"] == "absent":
        return [process, *below(found, owner, name)]
    check_numbers(item, {"default_metric": (0, 16), "distance": (0, 255)}, name)
    lines.put((), header)
    rows = [("default_metric", "default-metric {}"), ("distance", "distance {}"), ("allow_ecmp", "allow-ecmp")]
    lines.options(path, item, [*rows, ("default_information", "default-information originate")])
    if item["timers"]:
        timers = item["timers"]
        check_numbers(timers, dict.fromkeys(timers, (5, 2147483647)), f"{name}: timers")
        lines.put(path, f"timers basic {timers['update']} {timers['timeout']} {timers['garbage']}")
    if item["networks"] is not None:
        what = f"{name}: networks"
        networks = [
            check_prefix(one, what, 4) if "/" in one else check_interface_name(one, what) for one in item["networks"]
        ]
        check_unique(networks, what)
        lines.exactly(path, "network ", [f"network {one}" for one in networks])
    if item["neighbors"] is not None:
        lines.exactly(
            path, "neighbor ", [f"neighbor {check_host(one, f'{name}: neighbors', 4)}" for one in item["neighbors"]]
        )
    if item["passive_interfaces"] is not None:
        names = [check_interface_name(one, f"{name}: passive_interfaces") for one in item["passive_interfaces"]]
        lines.exactly(path, "passive-interface ", [f"passive-interface {one}" for one in names])
    if item["redistribute"] is not None:
        check_unique((row["protocol"] for row in item["redistribute"]), f"{name}: redistribute")
        for row in item["redistribute"]:
            check_numbers(row, {"metric": (0, 16)}, f"{name}: redistribute")
        lines.exactly(
            path, "redistribute ", redistribute_lines(item["redistribute"], _PROTOCOLS, name, metric_types=False)
        )
    made = [process]
    if item["interfaces"] is None:
        kept.append(f"{name} interface ")
    else:
        check_unique((row["name"] for row in item["interfaces"]), f"{name}: interfaces")
        made += [_interface(row, name, found) for row in item["interfaces"]]
    return made


def _interface(item: Params, process: str, found: Found) -> Thing:
    name = check_interface_name(item["name"], f"{process}: interfaces: name")
    what = f"{process} interface {name}"
    path = (f"interface {name}",)
    lines = Lines(found.running)
    if item["state"] == "present":
        horizon = {
            "plain": "ip rip split-horizon",
            "poisoned_reverse": "ip rip split-horizon poisoned-reverse",
            "none": "no ip rip split-horizon",
        }
        if item["split_horizon"]:
            lines.put(path, horizon[item["split_horizon"]])
        if item["authentication_key"] and item["key_chain"]:
            raise FabricError(f"{what}: authentication_key and key_chain exclude each other; use one")
        if item["authentication_key"] is not None:
            secret = check_secret(item["authentication_key"], f"{what}: authentication_key", 16)
            if secret:
                lines.put(path, "ip rip authentication key-chain -", False)
            lines.put(path, f"ip rip authentication string {secret or '-'}", bool(secret))
        if item["key_chain"] is not None:
            chain = check_word(item["key_chain"] or "none", f"{what}: key_chain")
            if item["key_chain"]:
                lines.put(path, "ip rip authentication string -", False)
            lines.put(path, f"ip rip authentication key-chain {chain}", bool(item["key_chain"]))
        if item["authentication"]:
            lines.put(path, f"ip rip authentication mode {item['authentication']}", item["authentication"] != "none")
    return Thing(what, lines.wanted, ((path, "ip rip "),), None, item["state"] == "present")

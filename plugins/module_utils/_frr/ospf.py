# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OSPFv2 (RFC 2328) and OSPFv3 (RFC 5340) in FRR: from options to settings.

This file is private to the collection, and pure.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.lists import (
    BFD_PROFILES,
    KEY_CHAINS,
    PREFIX_LISTS,
    ROUTE_MAPS,
    Params,
    below,
    check_area,
    check_host,
    check_number,
    check_numbers,
    check_prefix,
    check_router_id,
    check_secret,
    check_unique,
    check_vrf,
    check_word,
    list_things,
    redistribute_lines,
    vrf_suffix,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import Found
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import Address
from ansible_collections.overloom.fabric.plugins.module_utils._frr.wanted import Lines, Thing
from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import check_interface_name
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

_STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}

INSTANCE: dict[str, t.Any] = {
    "version": {"type": "int", "choices": [2, 3], "default": 2},
    "vrf": {"type": "str", "default": "default"},
    "router_id": {"type": "str"},
    "reference_bandwidth": {"type": "int"},
    "maximum_paths": {"type": "int"},
    "distance": {"type": "int"},
    "default_metric": {"type": "int"},
    "log_adjacency_changes": {"type": "str", "choices": ["none", "changes", "detail"]},
    "passive_default": {"type": "bool"},
    "spf_timers": {
        "type": "dict",
        "options": {
            "delay": {"type": "int", "required": True},
            "initial_hold": {"type": "int", "required": True},
            "maximum_hold": {"type": "int", "required": True},
        },
    },
    "graceful_restart": {
        "type": "dict",
        "options": {"enabled": {"type": "bool"}, "period": {"type": "int", "default": 120}, "helper": {"type": "bool"}},
    },
    "default_information": {
        "type": "dict",
        "options": {
            "originate": {"type": "bool", "default": False},
            "always": {"type": "bool", "default": False},
            "metric": {"type": "int"},
            "metric_type": {"type": "int", "choices": [1, 2], "default": 2},
            "route_map": {"type": "str"},
        },
    },
    "redistribute": {
        "type": "list",
        "elements": "dict",
        "options": {
            "protocol": {"type": "str", "required": True},
            "metric": {"type": "int"},
            "metric_type": {"type": "int", "choices": [1, 2], "default": 2},
            "route_map": {"type": "str"},
        },
    },
    "networks": {
        "type": "list",
        "elements": "dict",
        "options": {"prefix": {"type": "str", "required": True}, "area": {"type": "str", "required": True}},
    },
    "neighbors": {
        "type": "list",
        "elements": "dict",
        "options": {
            "address": {"type": "str", "required": True},
            "priority": {"type": "int", "default": 0},
            "poll_interval": {"type": "int", "default": 60},
        },
    },
    "summaries": {
        "type": "list",
        "elements": "dict",
        "options": {
            "prefix": {"type": "str", "required": True},
            "tag": {"type": "int"},
            "advertise": {"type": "bool", "default": True},
        },
    },
    "areas": {
        "type": "list",
        "elements": "dict",
        "options": {
            "area": {"type": "str", "required": True},
            "type": {"type": "str", "choices": ["normal", "stub", "totally_stubby", "nssa", "totally_nssa"]},
            "default_cost": {"type": "int"},
            "authentication": {"type": "str", "choices": ["none", "simple", "message_digest"]},
            "ranges": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "prefix": {"type": "str", "required": True},
                    "advertise": {"type": "bool", "default": True},
                    "cost": {"type": "int"},
                    "substitute": {"type": "str"},
                },
            },
            "state": _STATE,
        },
    },
    "interfaces": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "area": {"type": "str"},
            "cost": {"type": "int"},
            "network_type": {
                "type": "str",
                "choices": ["", "broadcast", "non-broadcast", "point-to-point", "point-to-multipoint"],
            },
            "hello_interval": {"type": "int"},
            "dead_interval": {"type": "int"},
            "hello_multiplier": {"type": "int"},
            "retransmit_interval": {"type": "int"},
            "transmit_delay": {"type": "int"},
            "priority": {"type": "int"},
            "passive": {"type": "bool"},
            "mtu_ignore": {"type": "bool"},
            "bfd": {"type": "bool"},
            "bfd_profile": {"type": "str"},
            "authentication": {"type": "str", "choices": ["", "none", "simple", "message_digest", "key_chain", "key"]},
            "authentication_key": {"type": "str", "no_log": True},
            "authentication_key_id": {"type": "int", "no_log": False},
            "authentication_algorithm": {
                "type": "str",
                "choices": ["md5", "hmac-sha-1", "hmac-sha-256", "hmac-sha-384", "hmac-sha-512"],
                "default": "hmac-sha-256",
            },
            "message_digest_keys": {
                "type": "list",
                "elements": "dict",
                "no_log": False,
                "options": {
                    "id": {"type": "int", "required": True},
                    "key": {"type": "str", "required": True, "no_log": True},
                },
            },
            "key_chain": {"type": "str", "no_log": False},
            "state": _STATE,
        },
    },
    "state": _STATE,
}

LISTS = {"prefix_lists": PREFIX_LISTS, "route_maps": ROUTE_MAPS, "key_chains": KEY_CHAINS, "bfd_profiles": BFD_PROFILES}

_PROTOCOLS = {
    2: ("kernel", "connected", "static", "rip", "isis", "bgp", "eigrp", "nhrp", "babel", "table"),
    3: ("kernel", "connected", "static", "ripng", "isis", "bgp", "nhrp", "babel"),
}
_AREA_TYPES = {"stub": "stub", "totally_stubby": "stub no-summary", "nssa": "nssa", "totally_nssa": "nssa no-summary"}
_AUTHENTICATION = {"": "", "none": " null", "simple": "", "message_digest": " message-digest"}
# Options that OSPFv3 in FRR has no line for.
_ONLY_2 = ("default_metric", "passive_default", "networks", "neighbors")
_INTERFACE_ONLY_2 = ("hello_multiplier", "message_digest_keys")
_INTERFACE_RANGES = {
    "cost": (0, 65535),
    "hello_interval": (0, 65535),
    "dead_interval": (0, 65535),
    "hello_multiplier": (0, 10),
    "retransmit_interval": (0, 65535),
    "transmit_delay": (0, 65535),
    "priority": (0, 255),
    "authentication_key_id": (1, 65535),
}


def things(params: Params, items: t.Sequence[Params], found: Found, owner: str) -> tuple[list[Thing], tuple[str, ...]]:
    """The things that the options declare, and the beginnings of names that an omitted list leaves alone.

    Raises FabricError with the first wrong input.
    """
    made, kept = list_things(params, found)
    check_unique((f"version {item['version']} in vrf {item['vrf']}" for item in items), "instances")
    for item in items:
        made += _instance(item, found, owner, kept)
    declared = [
        interface["name"] + f" of version {item['version']}" for item in items for interface in item["interfaces"] or ()
    ]
    check_unique(declared, "interfaces")
    return made, tuple(kept)


def _instance(item: Params, found: Found, owner: str, kept: list[str]) -> list[Thing]:
    version, vrf = item["version"], check_vrf(item["vrf"], "vrf")
    name = f"OSPFv{version} {vrf}"
    header = ("router ospf" if version == 2 else "router ospf6") + vrf_suffix(vrf)
    path = (header,)
    lines = Lines(found.running)
    process = Thing(name, lines.wanted, (((header,), ""),), None, item["state"] == "present")
    if item["state"] == "absent":
        return [process, *below(found, owner, name)]
    if version == 3:
        _refuse(item, _ONLY_2, name)
    lines.put((), header)
    _settings(item, lines, path, version, name)
    _lists(item, lines, path, version, name)
    made = [process]
    if item["areas"] is None:
        kept.append(f"{name} area ")
    else:
        check_unique((check_area(area["area"], f"{name}: areas") for area in item["areas"]), f"{name}: areas")
        made += [_area(area, header, version, name, found) for area in item["areas"]]
    if item["interfaces"] is None:
        kept.append(f"{name} interface ")
    else:
        made += [_interface(interface, item, version, name, found) for interface in item["interfaces"]]
    if item["networks"] and any(interface["area"] for interface in item["interfaces"] or ()):
        raise FabricError(f"{name}: networks and an interface's area exclude each other in FRR; use one of the two")
    return made


def _settings(item: Params, lines: Lines, path: Address, version: int, name: str) -> None:
    """The settings of the process itself."""
    limits = {
        "reference_bandwidth": (0, 4294967),
        "maximum_paths": (0, 256),
        "distance": (0, 255),
        "default_metric": (0, 16777214),
    }
    check_numbers(item, limits, name)
    if item["router_id"] is not None:
        check_router_id(item["router_id"], f"{name}: router_id")
    lines.options(
        path,
        item,
        [
            ("router_id", "ospf router-id {}" if version == 2 else "ospf6 router-id {}"),
            ("reference_bandwidth", "auto-cost reference-bandwidth {}"),
            ("maximum_paths", "maximum-paths {}"),
            ("distance", "distance {}"),
            ("default_metric", "default-metric {}"),
            ("passive_default", "passive-interface default"),
        ],
    )
    if item["log_adjacency_changes"]:
        kind = item["log_adjacency_changes"]
        lines.put(path, "log-adjacency-changes" + (" detail" if kind == "detail" else ""), kind != "none")
    if item["spf_timers"]:
        timers = item["spf_timers"]
        check_numbers(timers, dict.fromkeys(timers, (0, 600000)), f"{name}: spf_timers")
        lines.put(path, f"timers throttle spf {timers['delay']} {timers['initial_hold']} {timers['maximum_hold']}")
    if item["graceful_restart"]:
        _graceful_restart(item["graceful_restart"], lines, path, f"{name}: graceful_restart")


def _graceful_restart(item: Params, lines: Lines, path: Address, what: str) -> None:
    check_number(item["period"], 1, 1800, f"{what}: period", " seconds")
    if item["enabled"] is not None:
        lines.put(path, f"graceful-restart grace-period {item['period']}", item["enabled"])
    if item["helper"] is not None:
        lines.put(path, "graceful-restart helper enable", item["helper"])


def _lists(item: Params, lines: Lines, path: Address, version: int, name: str) -> None:
    """What the process brings in and sums up, and to whom it speaks."""
    if item["default_information"] is not None:
        lines.put(path, *_default_information(item["default_information"], f"{name}: default_information"))
    if item["redistribute"] is not None:
        lines.exactly(path, "redistribute ", redistribute_lines(item["redistribute"], _PROTOCOLS[version], name))
        check_unique((row["protocol"] for row in item["redistribute"]), f"{name}: redistribute")
    if item["networks"] is not None:
        networks = [
            (check_prefix(row["prefix"], f"{name}: networks", 4), check_area(row["area"], f"{name}: networks"))
            for row in item["networks"]
        ]
        check_unique((prefix for prefix, _area in networks), f"{name}: networks")
        lines.exactly(path, "network ", [f"network {prefix} area {area}" for prefix, area in networks])
    if item["neighbors"] is not None:
        lines.exactly(path, "neighbor ", _neighbors(item["neighbors"], f"{name}: neighbors"))
    if item["summaries"] is not None:
        lines.exactly(path, "summary-address ", _summaries(item["summaries"], version, f"{name}: summaries"))


def _refuse(item: Params, options: t.Iterable[str], what: str) -> None:
    for option in options:
        if item[option]:
            raise FabricError(f"{what}: {option} is for OSPFv2 only")


def _neighbors(rows: t.Sequence[Params], what: str) -> list[str]:
    """Those to whom a router speaks on networks that carry no multicast."""
    lines = []
    for row in rows:
        address = check_host(row["address"], f"{what}: address", 4)
        check_numbers(row, {"priority": (0, 255), "poll_interval": (0, 65535)}, f"{what}: {address}")
        lines.append(f"neighbor {address} priority {row['priority']} poll-interval {row['poll_interval'] or 60}")
    check_unique((line.split()[1] for line in lines), what)
    return lines


def _default_information(row: Params, what: str) -> tuple[str, bool]:
    line = "default-information originate"
    if row["always"]:
        line += " always"
    if row["metric"] is not None:
        line += f" metric {check_number(row['metric'], 0, 16777214, what + ': metric')}"
    if row["metric_type"] == 1:
        line += " metric-type 1"
    if row["route_map"]:
        line += f" route-map {check_word(row['route_map'], what + ': route_map')}"
    return line, row["originate"]


def _summaries(rows: t.Iterable[Params], version: int, what: str) -> t.Iterator[str]:
    for row in rows:
        line = f"summary-address {check_prefix(row['prefix'], what, 4 if version == 2 else 6)}"
        if version == 3 and not row["advertise"]:
            # FRR 8.4 turns it into an announced one on removal, and then keeps it.
            raise FabricError(f"{what}: {row['prefix']}: advertise false is for OSPFv2 only")
        if row["tag"] is not None:
            line += f" tag {check_number(row['tag'], 1, 4294967295, what + ': tag')}"
            if not row["advertise"]:
                raise FabricError(
                    f"{what}: {row['prefix']}: tag says nothing about a summary that is not advertised; leave one of the two out"
                )
        yield line + ("" if row["advertise"] else " no-advertise")


def _area(item: Params, header: str, version: int, process: str, found: Found) -> Thing:
    area = check_area(item["area"], f"{process}: areas: area")
    what = f"{process} area {area}"
    lines = Lines(found.running)
    path = (header,)
    kind = item["type"]
    if area == "0.0.0.0" and kind not in (None, "normal"):
        raise FabricError(f"{what}: type: the backbone cannot be {kind}; use another area, or type normal")
    if item["default_cost"] and (version == 3 or kind == "normal"):
        raise FabricError(f"{what}: default_cost is for stub areas and NSSAs of OSPFv2")
    if version == 3 and item["authentication"]:
        raise FabricError(f"{what}: authentication is for OSPFv2 only; in OSPFv3 it belongs to the interfaces")
    if item["state"] == "present":
        if kind is not None:
            lines.put(path, f"area {area} {_AREA_TYPES.get(kind, 'stub')}", kind != "normal")
        check_number(item["default_cost"], 0, 16777215, f"{what}: default_cost")
        lines.options(path, item, [("default_cost", f"area {area} default-cost {{}}")])
        if item["authentication"] is not None:
            words = " message-digest" if item["authentication"] == "message_digest" else ""
            lines.put(path, f"area {area} authentication{words}", item["authentication"] != "none")
        if item["ranges"] is not None:
            check_unique((row["prefix"] for row in item["ranges"]), f"{what}: ranges")
            lines.exactly(
                path, f"area {area} range ", [_range(row, area, version, f"{what}: ranges") for row in item["ranges"]]
            )
    return Thing(what, lines.wanted, (((header,), f"area {area} "),), None, item["state"] == "present")


def _range(row: Params, area: str, version: int, what: str) -> str:
    family = 4 if version == 2 else 6
    line = f"area {area} range {check_prefix(row['prefix'], what, family)}"
    given = [option for option in ("cost", "substitute") if row[option] not in (None, "")]
    if len(given) + (not row["advertise"]) > 1:
        raise FabricError(f"{what}: {row['prefix']}: cost, substitute and advertise false exclude each other; use one")
    if not row["advertise"]:
        return line + " not-advertise"
    if row["cost"] is not None:
        return line + f" cost {check_number(row['cost'], 0, 16777215, what + ': cost')}"
    if row["substitute"]:
        if version == 3:
            raise FabricError(f"{what}: {row['prefix']}: substitute is for OSPFv2 only")
        return line + f" substitute {check_prefix(row['substitute'], what + ': substitute', 4)}"
    return line


def _interface(item: Params, process: Params, version: int, around: str, found: Found) -> Thing:
    name = check_interface_name(item["name"], f"{around}: interfaces: name")
    what = f"{around} interface {name}"
    header, begin = f"interface {name}", "ip ospf" if version == 2 else "ipv6 ospf6"
    path = (header,)
    lines = Lines(found.running)
    thing = Thing(what, lines.wanted, (((header,), begin + " "),), None, item["state"] == "present")
    if not thing.present:
        return thing
    if version == 3:
        _refuse(item, _INTERFACE_ONLY_2, what)
    check_numbers(item, _INTERFACE_RANGES, what)
    _timers(item, lines, path, begin, what)
    if item["priority"] is not None:
        lines.put(path, f"{begin} priority {item['priority']}")
    rows = [("cost", "cost"), ("network_type", "network")]
    rows += [("retransmit_interval", "retransmit-interval"), ("transmit_delay", "transmit-delay")]
    lines.options(path, item, [(option, f"{begin} {word} {{}}") for option, word in rows])
    if item["mtu_ignore"] is not None:
        lines.put(path, f"{begin} mtu-ignore", item["mtu_ignore"])
    if item["passive"] is not None:
        _passive(item["passive"], process, version, lines, path, begin)
    _bfd(item, lines, path, begin, what)
    _authentication(item, lines, path, begin, version, what)
    if item["area"] is not None:
        area = check_area(item["area"] or "0", f"{what}: area")
        lines.put(path, f"{begin} area {area}", bool(item["area"]))
    return thing


def _timers(item: Params, lines: Lines, path: Address, begin: str, what: str) -> None:
    hello, dead, multiplier = item["hello_interval"], item["dead_interval"], item["hello_multiplier"]
    if hello and dead and hello >= dead:
        raise FabricError(
            f"{what}: hello_interval {hello} has to be less than dead_interval {dead}, or no neighbor stays"
        )
    if multiplier and (hello or dead):
        raise FabricError(
            f"{what}: hello_multiplier makes the dead interval one second; leave out hello_interval and dead_interval"
        )
    lines.options(path, item, [("hello_interval", f"{begin} hello-interval {{}}")])
    if multiplier:
        lines.put(path, f"{begin} dead-interval minimal hello-multiplier {multiplier}")
        return
    lines.options(path, item, [("dead_interval", f"{begin} dead-interval {{}}")])
    if multiplier == 0 and dead is None:
        lines.put(path, f"{begin} dead-interval 40", False)


def _passive(passive: bool, process: Params, version: int, lines: Lines, path: Address, begin: str) -> None:
    by_default = process.get("passive_default")
    if by_default is None:
        by_default = any(line == "passive-interface default" for line in lines.found.values())
    if version == 3 or not by_default:
        lines.put(path, f"{begin} passive", passive)
    else:
        # FRR does not show of an interface what the process says as well.
        lines.put(path, "no ip ospf passive", not passive)


def _bfd(item: Params, lines: Lines, path: Address, begin: str, what: str) -> None:
    profile, wanted = item["bfd_profile"], item["bfd"]
    if profile is None and wanted is None:
        return
    if profile and wanted is False:
        raise FabricError(f"{what}: bfd_profile {profile} needs bfd; leave bfd out, or set it")
    # BFD itself first: it would reset the profile.
    if profile:
        lines.put(path, f"{begin} bfd")
    if profile is not None or not wanted:
        lines.put(path, f"{begin} bfd profile {check_word(profile or 'none', what + ': bfd_profile')}", bool(profile))
    if not profile and wanted is not None:
        lines.put(path, f"{begin} bfd", wanted)


def _authentication(item: Params, lines: Lines, path: Address, begin: str, version: int, what: str) -> None:
    if version == 2:
        _keys(item, lines, path, what)
    kind = item["authentication"]
    if kind is None:
        return
    if kind == "key_chain":
        if not item["key_chain"]:
            raise FabricError(f"{what}: authentication key_chain needs key_chain, the chain's name")
        word = "key-chain" if version == 2 else "keychain"
        lines.put(path, f"{begin} authentication {word} {check_word(item['key_chain'], what + ': key_chain')}")
    elif kind == "key":
        lines.put(path, f"{begin} authentication {_trailer(item, version, what)}")
    elif version == 3 and kind:
        raise FabricError(f"{what}: authentication {kind} is for OSPFv2; OSPFv3 has key_chain and key")
    else:
        lines.put(path, f"{begin} authentication{_AUTHENTICATION[kind]}", bool(kind))


def _keys(item: Params, lines: Lines, path: Address, what: str) -> None:
    """The keys of OSPFv2 on an interface."""
    if item["authentication_key"] is not None:
        secret = check_secret(item["authentication_key"], f"{what}: authentication_key", 8)
        lines.put(path, f"ip ospf authentication-key {secret or '-'}", bool(secret))
    keys = item["message_digest_keys"]
    if keys is None:
        return
    check_unique((key["id"] for key in keys), f"{what}: message_digest_keys: id")
    digests = []
    for key in keys:
        check_number(key["id"], 1, 255, f"{what}: message_digest_keys: id")
        secret = check_secret(key["key"], f"{what}: message_digest_keys: key", 16)
        digests.append(f"ip ospf message-digest-key {key['id']} md5 {secret}")
    lines.exactly(path, "ip ospf message-digest-key ", digests)


def _trailer(item: Params, version: int, what: str) -> str:
    """The authentication trailer of OSPFv3 (RFC 7166)."""
    number, algorithm = item["authentication_key_id"], item["authentication_algorithm"]
    if version == 2 or not item["authentication_key"] or number is None:
        raise FabricError(
            f"{what}: authentication key is for OSPFv3, with authentication_key and authentication_key_id"
        )
    secret = check_secret(item["authentication_key"], f"{what}: authentication_key", 64)
    return f"key-id {number} hash-algo {algorithm} key {secret}"


def daemons(items: t.Iterable[Params]) -> tuple[str, ...]:
    """The daemons that the instances need."""
    return tuple(sorted({"ospfd" if item["version"] == 2 else "ospf6d" for item in items}))

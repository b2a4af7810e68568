# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router in a network namespace that takes its default route from its neighbors: BIRD's file, and the systemd service that runs it. Pure but for ask().

This file is private to the collection. Sources: BIRD 2's documentation; RFC 2328, RFC 5340 (OSPF), RFC 4271 (BGP).
"""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._bird import control
from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._netns.daemon import (
    Found,
    Kind,
    Process,
    Service,
    declared_in,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import FOLDER as NAMESPACES
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import check_name
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import UNIT_KIND as NETNS
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Command, Unit, service, unit_name

Item = t.Dict[str, t.Any]
Network = _ip.Network

CONFIGURATION = "/etc/overloom/bird"
DEFAULTS = {4: "0.0.0.0/0", 6: "::/0"}
_HEAD = "# Made by overloom.fabric; the next run of it replaces what is changed here.\n"
_NOTE = "# Declared: "


class Ospf(t.NamedTuple):
    """OSPF on interfaces. families: 4 is OSPFv2, 6 is OSPFv3. hello, dead: in seconds."""

    interfaces: tuple[str, ...]
    families: tuple[int, ...]
    area: str
    cost: int
    hello: int
    dead: int


class Neighbor(t.NamedTuple):
    """A neighbor in BGP. local: the address to speak from."""

    address: _ip.Host
    local: _ip.Host
    asn: int


class Router(t.NamedTuple):
    """A declared router. announce: the prefixes that it announces. table: the kernel's routing table of which it announces what is there, or None."""

    name: str
    namespace: str
    router_id: str
    announce: tuple[Network, ...]
    table: int | None
    ospf: Ospf | None
    asn: int | None
    neighbors: tuple[Neighbor, ...]


def _options() -> Item:
    """The options of one item, but for those that all kinds have."""
    ospf = {
        "interfaces": {"type": "list", "elements": "str", "required": True},
        "families": {"type": "list", "elements": "str", "choices": ["ipv4", "ipv6"], "default": ["ipv4"]},
        "area": {"type": "str", "default": "0.0.0.0"},
        "cost": {"type": "int", "default": 10},
        "hello_interval": {"type": "int", "default": 10},
        "dead_interval": {"type": "int", "default": 40},
    }
    neighbor = {
        "address": {"type": "str", "required": True},
        "local": {"type": "str", "required": True},
        "asn": {"type": "int", "required": True},
    }
    return {
        "router_id": {"type": "str"},
        "announce": {"type": "list", "elements": "str", "default": []},
        "announce_table": {"type": "int"},
        "ospf": {"type": "dict", "options": ospf},
        "asn": {"type": "int"},
        "neighbors": {"type": "list", "elements": "dict", "options": neighbor, "default": []},
    }


# What is declared -------------------------------------------------------------------------------------------------------


def _declared(name: str, item: Item, owner: str) -> Service:
    """The service of an item that is present."""
    return service_of(_router(name, item), owner)


def _router(name: str, item: Item) -> Router:
    what = f"Router {name}"
    if item.get("router_id") is None or not (item.get("ospf") or item.get("neighbors")):
        raise FabricError(f"{what}: router_id, and ospf or neighbors, are needed with state present")
    if item.get("neighbors") and item.get("asn") is None:
        raise FabricError(f"{what}: asn is missing; give the router's own AS number, as neighbors are BGP's")
    return Router(
        name,
        namespace=check_name(item.get("namespace") or name, f"{what}: namespace"),
        router_id=str(_address(item["router_id"], f"{what}: router_id", 4)),
        announce=tuple(_ip.check_network(one, f"{what}: announce") for one in item.get("announce") or ()),
        table=_table(item.get("announce_table"), f"{what}: announce_table"),
        ospf=_ospf(item["ospf"], f"{what}: ospf") if item.get("ospf") else None,
        asn=None if item.get("asn") is None else _ip.check_range(item["asn"], 1, 4294967294, f"{what}: asn"),
        neighbors=tuple(_neighbor(one, f"{what}: neighbors") for one in item.get("neighbors") or ()),
    )


def _table(table: int | None, what: str) -> int | None:
    if table is None:
        return None
    if table == _ip.MAIN_TABLE:
        raise FabricError(f"{what} {table} is the main one, which the default route is for; give another, such as 100")
    return _ip.check_table(table, what)


def _ospf(item: Item, what: str) -> Ospf:
    hello = _ip.check_range(item.get("hello_interval", 10), 1, 65535, f"{what}: hello_interval")
    dead = _ip.check_range(item.get("dead_interval", 40), 1, 65535, f"{what}: dead_interval")
    if dead <= hello:
        raise FabricError(f"{what}: dead_interval {dead} is not above hello_interval {hello}; give four times that")
    return Ospf(
        interfaces=tuple(_interface(one, f"{what}: interfaces") for one in item["interfaces"]),
        families=tuple(6 if one == "ipv6" else 4 for one in item.get("families") or ["ipv4"]),
        area=str(_address(item.get("area", "0.0.0.0"), f"{what}: area", 4)),
        cost=_ip.check_range(item.get("cost", 10), 1, 65535, f"{what}: cost"),
        hello=hello,
        dead=dead,
    )


def _neighbor(item: Item, what: str) -> Neighbor:
    address = _address(item["address"], f"{what}: address")
    local = _address(item["local"], f"{what} {address}: local", address.version)
    return Neighbor(address, local, _ip.check_range(item["asn"], 1, 4294967294, f"{what} {address}: asn"))


def _interface(name: str, what: str) -> str:
    if '"' in name or "*" in name or "?" in name:
        raise FabricError(f"{what}: {name!r} would be a pattern in BIRD's file; give the interface another name")
    return _ip.check_interface_name(name, what)


def _address(text: str, what: str, version: int | None = None) -> _ip.Host:
    address = _ip.check_host(text, what)
    if version and address.version != version:
        raise FabricError(f"{what} {address} must be IPv{version}")
    return address


# The file ---------------------------------------------------------------------------------------------------------------


def file(name: str) -> str:
    """The file that a router reads."""
    return f"{CONFIGURATION}/{name}/bird.conf"


def control_socket(name: str) -> str:
    """Where a running router is asked."""
    return f"/run/overloom-bird-{name}.ctl"


def configuration(router: Router) -> str:
    """What it reads. Of what it learns it takes the default route, and nothing else; what it announces is declared."""
    lines = [
        f"router id {router.router_id};",
        "log stderr all;",
        "protocol device {",
        "}",
    ]
    for family in (4, 6):
        lines += _protocol(f"kernel kernel{family}", [_channel(family, "none", f"where net = {DEFAULTS[family]}")])
    for family in _families(router) if router.table else ():
        lines += _table_lines(t.cast(int, router.table), family)
    for family in sorted({neighbor.address.version for neighbor in router.neighbors}):
        routes = [f"route {one} blackhole;" for one in router.announce if one.version == family]
        lines += _protocol(f"static announced{family}", [f"ipv{family};", *routes])
    for family in router.ospf.families if router.ospf else ():
        lines += _ospf_lines(router, t.cast(Ospf, router.ospf), family)
    for number, neighbor in enumerate(router.neighbors, 1):
        lines += _bgp_lines(router, neighbor, number)
    note = {
        "families": [f"ipv{family}" for family in _families(router)],
        "sessions": {f"bgp{number}": str(one.address) for number, one in enumerate(router.neighbors, 1)},
    }
    return _HEAD + _NOTE + json.dumps(note) + "\n" + "\n".join(lines) + "\n"


def _protocol(head: str, lines: t.Iterable[str]) -> list[str]:
    return [f"protocol {head} {{", *(f"  {line}" for line in lines), "}"]


def _channel(family: int, taken: str, given: str) -> str:
    return f"ipv{family} {{ import {taken}; export {given}; }};"


def _quoted(names: t.Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _table_lines(table: int, family: int) -> list[str]:
    """What is in a table of the kernel, beside what is learned: BIRD has one such protocol for each table of its own."""
    return [
        f"ipv{family} table table{family};",
        *_protocol(
            f"kernel held{family}",
            [f"kernel table {table};", "learn;", f"ipv{family} {{ table table{family}; import all; export none; }};"],
        ),
        *_protocol(
            f"pipe pipe{family}",
            [f"table master{family};", f"peer table table{family};", "import all;", "export none;"],
        ),
    ]


def _ospf_lines(router: Router, ospf: Ospf, family: int) -> list[str]:
    """Subnets are announced as stub networks, which areas of every kind carry; those that come and go as external ones, whose metrics add up."""
    timers = f"cost {ospf.cost}; hello {ospf.hello}; dead {ospf.dead};"
    area = [f"interface {_quoted(ospf.interfaces)} {{ type broadcast; {timers} }};"]
    area += [f"stubnet {one} {{ cost {ospf.cost}; }};" for one in router.announce if one.version == family]
    held = f'filter {{ if proto != "held{family}" then reject; ospf_metric1 = {ospf.cost}; accept; }}'
    return _protocol(
        f"ospf v{2 if family == 4 else 3} ospf{family}",
        [
            _channel(family, f"where net = {DEFAULTS[family]}", held if router.table else "none"),
            f"area {ospf.area} {{",
            *(f"  {line}" for line in area),
            "};",
        ],
    )


def _bgp_lines(router: Router, neighbor: Neighbor, number: int) -> list[str]:
    family = neighbor.address.version
    held = f' || proto = "held{family}"' if router.table else ""
    return _protocol(
        f"bgp bgp{number}",
        [
            f"local {neighbor.local} as {router.asn};",
            f"neighbor {neighbor.address} as {neighbor.asn};",
            _channel(family, f"where net = {DEFAULTS[family]}", f"where source = RTS_STATIC{held}"),
        ],
    )


def _families(router: Router) -> list[int]:
    """The families of which a default route is awaited."""
    return sorted({*(router.ospf.families if router.ospf else ()), *(one.address.version for one in router.neighbors)})


# The service ------------------------------------------------------------------------------------------------------------


def service_of(router: Router, owner: str) -> Service:
    """The service of a router with its file, which it reads again without losing its neighbors."""
    return Service(
        router.name,
        _unit(router, owner),
        router.namespace,
        reread={file(router.name): configuration(router)},
        mode=0o640,
    )


def left(name: str) -> list[str]:
    """The files of a router."""
    return [file(name), control_socket(name)]


def _unit(router: Router, owner: str) -> Unit:
    namespace = unit_name(NETNS, router.namespace)
    return service(
        KIND.unit,
        router.name,
        f"OSPF and BGP in network namespace {router.namespace}",
        {"Owner": owner},
        # A namespace that is made anew takes its router with it.
        unit={"Wants": namespace, "After": namespace, "PartOf": namespace, "StartLimitIntervalSec": "0"},
        settings={
            "Type": "exec",
            "NetworkNamespacePath": f"{NAMESPACES}/{router.namespace}",
            "Restart": "always",
            "RestartSec": "1",
        },
        commands=[
            ("ExecStartPre", Command(("bird", "-p", "-c", file(router.name)))),
            ("ExecStart", Command(("bird", "-f", "-c", file(router.name), "-s", control_socket(router.name)))),
        ],
        wanted_by=["multi-user.target"],
    )


# What it does -----------------------------------------------------------------------------------------------------------


def _ask(name: str) -> Item:
    """What a running router knows: its protocols' states, and the next hops of its default routes by family."""
    questions = [f"show route {net} primary" for net in DEFAULTS.values()]
    states, *routes = control.ask(control_socket(name), ["show protocols", *questions])
    hops = {f"ipv{family}": control.next_hops(lines) for family, lines in zip(DEFAULTS, routes)}
    return {"states": control.protocols(states), "defaults": {family: found for family, found in hops.items() if found}}


def describe(found: Found, name: str, _process: Process | None) -> Item:
    """What a router has beside what all services have, as the modules return it."""
    said = found.answers.get(name) or {"states": {}, "defaults": {}}
    note = declared_in(found.files.get(file(name), ""), _NOTE)
    sessions = note.get("sessions", {})
    return {
        "sessions": {address: said["states"].get(protocol, "down") for protocol, address in sessions.items()},
        "awaited": note.get("families", []),
        "defaults": said["defaults"],
    }


KIND = Kind(
    unit="bird",
    what="Router",
    program="bird",
    package="bird2",
    left=left,
    items="routers",
    options=_options(),
    declared=_declared,
    describe=describe,
    folders=lambda name: [f"{CONFIGURATION}/{name}", CONFIGURATION, os.path.dirname(CONFIGURATION)],
    ask=_ask,
)

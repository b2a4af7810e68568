# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VRRP router in a network namespace: keepalived's file, and the systemd service that runs it. Pure.

This file is private to the collection. Sources: keepalived.conf(5), RFC 5798 and RFC 9568 (VRRP version 3).
"""

from __future__ import annotations

import json
import os
import re
import typing as t

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
Address = _ip.Host

CONFIGURATION = "/etc/overloom/keepalived"
VRIDS = (1, 255)
# 255 is for the router whose own address the virtual one is, which none of ours has.
PRIORITIES = (1, 254)
# Milliseconds. keepalived takes hundredths of a second, 12 bits of them (RFC 9568, 5.2.7).
INTERVALS = (10, 40950)
# Seconds after its start in which it listens, so that a host that has just booted hears of an active router before it takes itself for one.
START_DELAY = 3
# Seconds between the announcements of an active router's addresses to the neighbors, which repair what one of them has missed.
REFRESH = 10
_HEAD = "# Made by overloom.fabric; the next run of it replaces what is changed here.\n"
_NOTE = "# Declared: "
_WORD = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)


class Leg(t.NamedTuple):
    """An interface with its virtual addresses. source: the address to send from. peers: those to send to, none for multicast.

    routes: prefixes of which the active router has a route by it in the router's table.
    """

    interface: str
    addresses: tuple[str, ...]
    source: Address | None
    peers: tuple[Address, ...]
    routes: tuple[_ip.Network, ...] = ()


class Router(t.NamedTuple):
    """A declared router. interval: in milliseconds. table: the kernel's routing table of its routes, or None."""

    name: str
    namespace: str
    vrid: int
    priority: int
    interval: int
    preempt: bool
    legs: tuple[Leg, ...]
    table: int | None = None


def _options() -> Item:
    """The options of one item, but for those that all kinds have."""
    leg = {
        "interface": {"type": "str", "required": True},
        "addresses": {"type": "list", "elements": "str", "required": True},
        "source": {"type": "str"},
        "peers": {"type": "list", "elements": "str"},
        "routes": {"type": "list", "elements": "str"},
    }
    return {
        "vrid": {"type": "int"},
        "priority": {"type": "int", "default": 100},
        "interval": {"type": "int", "default": 1000},
        "preempt": {"type": "bool", "default": False},
        "table": {"type": "int"},
        "interfaces": {"type": "list", "elements": "dict", "options": leg},
    }


# What is declared -------------------------------------------------------------------------------------------------------


def _declared(name: str, item: Item, owner: str) -> Service:
    """The service of an item that is present."""
    return service_of(_router(name, item), owner)


def _router(name: str, item: Item) -> Router:
    what = f"VRRP router {name}"
    if item.get("vrid") is None or not item.get("interfaces"):
        raise FabricError(f"{what}: vrid and interfaces are needed with state present")
    router = Router(
        name,
        namespace=check_name(item.get("namespace") or name, f"{what}: namespace"),
        vrid=_ip.check_range(item["vrid"], *VRIDS, f"{what}: vrid"),
        priority=_ip.check_range(item.get("priority", 100), *PRIORITIES, f"{what}: priority"),
        interval=_ip.check_range(item.get("interval", 1000), *INTERVALS, f"{what}: interval"),
        preempt=bool(item.get("preempt")),
        legs=tuple(_leg(one, what) for one in item["interfaces"]),
        table=None if item.get("table") is None else _ip.check_table(item["table"], f"{what}: table"),
    )
    if router.table is None and any(leg.routes for leg in router.legs):
        raise FabricError(f"{what}: table is missing; give the routing table that routes are for")
    if router.interval % 10:
        raise FabricError(
            f"{what}: interval {router.interval} is no multiple of 10 ms, which is what VRRP counts in; give one"
        )
    _check_apart(router, what)
    return router


def _leg(item: Item, what: str) -> Leg:
    interface = _ip.check_interface_name(item["interface"], f"{what}: interfaces")
    here = f"{what}, interface {interface}"
    if not _WORD.fullmatch(interface):
        raise FabricError(
            f"{here}: keepalived's file takes letters, digits, '_', '.' and '-' in names; give the interface another"
        )
    leg = Leg(
        interface,
        addresses=_ip.check_addresses(item["addresses"], f"{here}: addresses"),
        source=None if item.get("source") is None else _ip.check_host(item["source"], f"{here}: source"),
        peers=tuple(_ip.check_host(text, f"{here}: peers") for text in item.get("peers") or ()),
        routes=tuple(_ip.check_network(text, f"{here}: routes") for text in item.get("routes") or ()),
    )
    if not any(_ip.family(address) == 4 for address in leg.addresses):
        raise FabricError(
            f"{here}: addresses has none of IPv4, over which the routers hear of each other; give one besides those of IPv6"
        )
    if leg.peers and leg.source is None:
        raise FabricError(f"{here}: source is missing; with peers, give the interface's own address")
    ends = [*filter(None, [leg.source]), *leg.peers]
    if any(end.version != 4 for end in ends) or len(set(ends)) < len(ends):
        raise FabricError(f"{here}: source and peers must be different IPv4 addresses")
    return leg


def _check_apart(router: Router, what: str) -> None:
    """No interface and no address twice."""
    names = [leg.interface for leg in router.legs]
    every = [address for leg in router.legs for address in leg.addresses]
    for things, option in ((names, "interface"), (every, "addresses")):
        twice = next((thing for thing in things if things.count(thing) > 1), None)
        if twice:
            raise FabricError(f"{what}: interfaces has the {option} {twice} twice; give it once")


# The file ---------------------------------------------------------------------------------------------------------------


def file(name: str) -> str:
    """The file that a router reads."""
    return f"{CONFIGURATION}/{name}/keepalived.conf"


def pid_files(name: str) -> list[str]:
    """The files with a router's two processes."""
    return [f"/run/overloom-keepalived-{name}.pid", f"/run/overloom-keepalived-{name}-vrrp.pid"]


def configuration(router: Router) -> str:
    """What it reads. All interfaces are one group, so that they change hands together."""
    lines = [
        "global_defs {",
        f"  router_id {router.name}",
        "  vrrp_version 3",
        # On a busy host it must not be late.
        "  vrrp_priority -20",
        f"  vrrp_startup_delay {START_DELAY}",
        # Where two were active for a while, as after a cut of the network, the one that stays tells the neighbors at once.
        "  vrrp_higher_prio_send_advert true",
        f"  vrrp_garp_master_refresh {REFRESH}",
        *(["  vrrp_check_unicast_src"] if any(leg.peers for leg in router.legs) else []),
        "}",
    ]
    if len(router.legs) > 1:
        group = " ".join(leg.interface for leg in router.legs)
        lines += [f"vrrp_sync_group {router.name} {{", f"  group {{ {group} }}", "}"]
    for leg in router.legs:
        lines += _instance(router, leg)
    note = {
        "priority": router.priority,
        "vrid": router.vrid,
        "interfaces": {leg.interface: leg.addresses for leg in router.legs},
    }
    return _HEAD + _NOTE + json.dumps(note) + "\n" + "\n".join(lines) + "\n"


def _instance(router: Router, leg: Leg) -> list[str]:
    """An interface. Adverts go over IPv4; addresses of IPv6 move with them, which VRRP has no room for in the same advert."""
    four, six = ([one for one in leg.addresses if _ip.family(one) == family] for family in (4, 6))
    return [
        f"vrrp_instance {leg.interface} {{",
        "  state BACKUP",
        *([] if router.preempt else ["  nopreempt"]),
        f"  interface {leg.interface}",
        f"  virtual_router_id {router.vrid}",
        f"  priority {router.priority}",
        f"  advert_int {router.interval / 1000:.2f}",
        *([f"  unicast_src_ip {leg.source}"] if leg.peers else [f"  mcast_src_ip {leg.source}"] if leg.source else []),
        *_block("unicast_peer", map(str, leg.peers)),
        *_block("virtual_ipaddress", four),
        *_block("virtual_ipaddress_excluded", six),
        *_block("virtual_routes", (f"{one} dev {leg.interface} table {router.table}" for one in leg.routes)),
        "}",
    ]


def _block(keyword: str, words: t.Iterable[str]) -> list[str]:
    lines = [f"    {word}" for word in words]
    return [f"  {keyword} {{", *lines, "  }"] if lines else []


# The service ------------------------------------------------------------------------------------------------------------


def service_of(router: Router, owner: str) -> Service:
    """The service of a router with its file, which it reads again without a change of hands."""
    return Service(
        router.name,
        _unit(router, owner),
        router.namespace,
        reread={file(router.name): configuration(router)},
        mode=0o640,
    )


def left(name: str) -> list[str]:
    """The files of a router."""
    return [file(name), *pid_files(name)]


def _unit(router: Router, owner: str) -> Unit:
    namespace = unit_name(NETNS, router.namespace)
    parent, child = pid_files(router.name)
    options = ("--use-file", file(router.name), "--vrrp", "--dont-fork", "--log-console", "--no-syslog")
    return service(
        KIND.unit,
        router.name,
        f"VRRP in network namespace {router.namespace}",
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
            # What it does not understand it would otherwise pass over.
            ("ExecStartPre", Command(("keepalived", "--config-test", *options[:2]))),
            ("ExecStart", Command(("keepalived", *options, "--pid", parent, "--vrrp_pid", child))),
            *_left_routes(router),
        ],
        wanted_by=["multi-user.target"],
    )


def _left_routes(router: Router) -> list[tuple[str, Command]]:
    """One that was killed leaves its routes, and does not look for them when it comes back; another is active by then."""
    if router.table is None:
        return []
    flush = ("route", "flush", "table", str(router.table))
    return [("ExecStopPost", Command(("ip", family, *flush), may_fail=True)) for family in ("-4", "-6")]


# What it does -----------------------------------------------------------------------------------------------------------


def describe(found: Found, name: str, process: Process | None) -> Item:
    """What a router was declared as, and whether it has its addresses."""
    note = declared_in(found.files.get(file(name), ""), _NOTE)
    interfaces = found.interfaces.get(process.namespace or "", {}) if process else {}
    legs = {leg: [*addresses] for leg, addresses in note.get("interfaces", {}).items()}
    held = {}
    for leg, addresses in legs.items():
        there = interfaces[leg].addresses if leg in interfaces else ()
        held[leg] = [one for one in addresses if one in there]
    return {
        "vrid": note.get("vrid"),
        "priority": note.get("priority"),
        "state": _state(legs, held) if process else None,
        "addresses": sorted(address for addresses in held.values() for address in addresses),
    }


def _state(legs: Item, held: Item) -> str:
    """By the addresses, which are what counts: active with all of them, standby with none."""
    if legs and held == legs:
        return "active"
    return "partial" if any(held.values()) else "standby"


KIND = Kind(
    unit="keepalived",
    what="VRRP router",
    program="keepalived",
    package="keepalived",
    left=left,
    items="routers",
    options=_options(),
    declared=_declared,
    describe=describe,
    folders=lambda name: [f"{CONFIGURATION}/{name}", CONFIGURATION, os.path.dirname(CONFIGURATION)],
    inside=True,
)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared of network namespaces and veth pairs: the options of netns_veth, checked without the host.

This file is private to the collection.
"""

from __future__ import annotations

import hashlib
import os
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._netns import namespace as _netns
from ansible_collections.overloom.fabric.plugins.module_utils._netns import rules as _rules
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import OVS_OPTIONS
from ansible_collections.overloom.fabric.plugins.module_utils._netns.rules import Rule
from ansible_collections.overloom.fabric.plugins.module_utils._netns.source import ENGINES, Source, declared_source
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    Wanted,
    interface_name,
    parse,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    argument_spec as ovs_argument_spec,
)
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

INTERFACE = "eth0"
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,63}", re.ASCII)

Item = t.Dict[str, t.Any]


def item_argument_spec() -> dict:
    """The options of one item."""
    route = {
        "to": {"type": "str", "required": True},
        "via": {"type": "str", "required": True},
        "metric": {"type": "int"},
        "onlink": {"type": "bool", "default": False},
        "table": {"type": "int"},
    }
    return {
        "name": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "container": {"type": "str"},
        "engine": {"type": "str", "choices": list(ENGINES), "default": "podman"},
        "pid": {"type": "int"},
        "interface": {"type": "str"},
        "outer": {"type": "str"},
        "addresses": {"type": "list", "elements": "str"},
        "virtual_addresses": {"type": "list", "elements": "str"},
        "routes": {"type": "list", "elements": "dict", "options": route},
        "rules": {"type": "list", "elements": "dict", "options": _rules.argument_spec()},
        "mtu": {"type": "int"},
        "mac": {"type": "str"},
        "up": {"type": "bool", "default": True},
        "sysctls": {"type": "dict"},
        "tx_checksum": {"type": "str", "choices": ["auto", "on", "off"], "default": "auto"},
        "bridge": {"type": "str"},
        **ovs_argument_spec(OVS_OPTIONS),
    }


def argument_spec() -> dict:
    """The options of the module."""
    item = item_argument_spec()
    listed = {**item, "name": {"type": "str", "required": True}}
    return {
        **item,
        "namespaces": {"type": "list", "elements": "dict", "options": listed},
        "keep": {"type": "list", "elements": "str", "default": []},
        **owner_argument_spec(),
    }


def exclusive() -> list[tuple[str, str]]:
    """The pairs of options that exclude each other: an item stands alone, or in the list."""
    return [("namespaces", option) for option in item_argument_spec()]


class Veth(t.NamedTuple):
    """One declared item, checked as far as that goes without the host; None leaves as it is.

    interface: None only when the whole namespace shall be absent. virtual: addresses that another program sets. tx: auto, on, off.
    sysctls: key with slashes -> value. port: the declared VLAN options of the port. source: whose namespace it is, of a container or process.
    """

    name: str
    interface: str | None
    present: bool = True
    outer: str | None = None
    addresses: tuple[str, ...] | None = None
    virtual: tuple[str, ...] | None = None
    routes: tuple[_ip.Route, ...] | None = None
    rules: tuple[Rule, ...] | None = None
    mtu: int | None = None
    mac: str | None = None
    up: bool = True
    sysctls: dict[str, str] | None = None
    tx: str = "auto"
    bridge: str | None = None
    port: tuple[Wanted, ...] = ()
    source: Source | None = None

    @property
    def what(self) -> str:
        """How errors call it."""
        return f"namespace {self.name}, interface {self.interface}"

    @property
    def inner(self) -> str:
        """The interface inside. LookupError for an item that is about the whole namespace."""
        if self.interface is None:
            raise LookupError(f"namespace {self.name} as a whole")
        return self.interface


class Settings(t.NamedTuple):
    """What holds for all items of a call. keep: namespaces that purge leaves. lenient: in check mode, what an earlier task may still make is a warning."""

    owner: str
    adopt: bool = False
    purge: bool = False
    lenient: bool = False
    keep: t.FrozenSet[str] = frozenset()


def default_outer(name: str, interface: str) -> str:
    """The name of the host's end where none is given; unique enough for interface names' 15 bytes."""
    full = f"v-{name}" if interface == INTERFACE else f"v-{name}-{interface}"
    return full if len(full) <= 15 else full[:10] + hashlib.sha256(full.encode()).hexdigest()[:5]


def check_owner(owner: str) -> str:
    """An owner that an interface's alias, a unit and a drop-in can carry."""
    if not _OWNER.fullmatch(owner):
        raise FabricError(
            f"owner: {owner!r} is no mark for interfaces and units; give 1 to 64 letters, digits, '_', '.', ':', '@', '+' and '-', "
            "the first of them a letter, a digit or '_'"
        )
    return owner


def declared(items: t.Iterable[Item]) -> list[Veth]:
    """The declared items, checked as far as that goes without the host."""
    veths = [_declared(item) for item in items]
    by_key: dict[tuple[str, str | None], Veth] = {}
    for veth in veths:
        if (veth.name, veth.interface) in by_key:
            raise FabricError(f"{veth.what} is declared twice; give each item a namespace or interface of its own")
        by_key[veth.name, veth.interface] = veth
    for name in {veth.name for veth in veths if veth.interface is None}:
        if sum(veth.name == name for veth in veths) > 1:
            raise FabricError(
                f"namespace {name} is declared absent as a whole, and with an interface; remove one of the items"
            )
    _check_sources(veths)
    _check_joined_options(veths)
    return veths


def _declared(item: Item) -> Veth:
    name = _netns.check_name(item.get("name") or "", "name")
    present = item.get("state", "present") == "present"
    interface = item.get("interface")
    if interface is None and present:
        interface = INTERFACE
    if interface is not None:
        _ip.check_interface_name(interface, f"namespace {name}: interface")
        if interface == "lo":
            raise FabricError(f"namespace {name}: interface lo is the loopback of every namespace; give another name")
    what = f"namespace {name}, interface {interface}"
    outer = _checked(item, "outer", _ip.check_interface_name, what)
    if not present:
        return Veth(name, interface, present=False, outer=outer)
    veth = Veth(
        name,
        interface,
        outer=outer,
        addresses=_checked(item, "addresses", _ip.check_addresses, what),
        virtual=_checked(item, "virtual_addresses", _ip.check_addresses, what),
        routes=_checked(item, "routes", _routes, what),
        rules=_checked(item, "rules", _checked_rules, what),
        mac=_checked(item, "mac", _ip.check_mac, what),
        mtu=item.get("mtu"),
        up=item.get("up", True),
        sysctls=_checked(item, "sysctls", _sysctls, what),
        tx=item.get("tx_checksum", "auto"),
        bridge=_checked(item, "bridge", _bridge, what),
        port=tuple(parse(OVS_OPTIONS, item, what)),
        source=declared_source(item, f"namespace {name}"),
    )
    if veth.mtu is not None:
        _ip.check_mtu(veth.mtu, veth.addresses or (), f"{what}: mtu")
    both = set(veth.addresses or ()) & set(veth.virtual or ())
    if both:
        raise FabricError(f"{what}: {min(both)} is in addresses and in virtual_addresses; give it once")
    if veth.routes and not veth.up:
        raise FabricError(f"{what}: routes need the interface up; remove up: false or the routes")
    if veth.bridge == "" and any(wanted.value for wanted in veth.port):
        raise FabricError(f"{what}: {veth.port[0].option.name} needs a port in a bridge; give bridge")
    return veth


_Checked = t.TypeVar("_Checked")


def _checked(item: Item, option: str, check: t.Callable[[t.Any, str], _Checked], what: str) -> _Checked | None:
    """The checked value of an option, None where it is left out."""
    value = item.get(option)
    return None if value is None else check(value, f"{what}: {option}")


def _routes(routes: t.Iterable[Item], what: str) -> tuple[_ip.Route, ...]:
    return tuple(
        _ip.check_route(
            route["to"], route["via"], route.get("metric"), bool(route.get("onlink")), what, route.get("table")
        )
        for route in routes
    )


def _checked_rules(rules: t.Iterable[Item], what: str) -> tuple[Rule, ...]:
    return tuple(_rules.check_rule(rule, what) for rule in rules)


def _sysctls(values: dict[str, t.Any], what: str) -> dict[str, str]:
    found = dict(_netns.check_sysctl(str(key), value, what) for key, value in values.items())
    if os.path.isdir("/proc/sys/net/ipv6"):
        return found
    # A kernel without IPv6 looks for no duplicates anyway.
    return {path: value for path, value in found.items() if not path.endswith("/accept_dad") or value != "0"}


def _bridge(name: str, what: str) -> str:
    """A bridge; an empty name takes the port out of its one."""
    return interface_name(name, what) if name else name


def sources_of(veths: t.Iterable[Veth]) -> dict[str, Source]:
    """The declared namespaces of containers and processes."""
    return {veth.name: veth.source for veth in veths if veth.present and veth.source}


def _check_sources(veths: t.Sequence[Veth]) -> None:
    """Refuse items of one namespace that say of different containers whose it is, and two names for one container."""
    sources: dict[str, Source | None] = {}
    names: dict[Source, str] = {}
    for veth in veths:
        if not veth.present:
            continue
        if sources.setdefault(veth.name, veth.source) != veth.source:
            raise FabricError(f"{veth.what}: container and pid must be the same in all items of the namespace")
        if veth.source and names.setdefault(veth.source, veth.name) != veth.name:
            raise FabricError(
                f"namespaces {names[veth.source]} and {veth.name} are both that of {veth.source.what}; give one of them another"
            )


def _check_joined_options(veths: t.Sequence[Veth]) -> None:
    """Refuse what contradicts between the items of one namespace: values of a sysctl, routes of one table."""
    sysctls: dict[tuple[str, str], str] = {}
    routes: dict[tuple[str, t.Any], Veth] = {}
    for veth in veths:
        for path, value in (veth.sysctls or {}).items():
            if sysctls.setdefault((veth.name, path), value) != value:
                raise FabricError(
                    f"{veth.what}: sysctls gives {path} another value than another item of the namespace does"
                )
        for route in veth.routes or ():
            other = routes.setdefault((veth.name, route.key()), veth)
            if other is not veth or sum(r.key() == route.key() for r in veth.routes or ()) > 1:
                raise FabricError(
                    f"{veth.what}: routes has a second route to {route.to} in the namespace with the metric {route.metric}; give one of them another metric"
                )
    _check_joined_rules(veths)


def _check_joined_rules(veths: t.Sequence[Veth]) -> None:
    """A priority stands for one rule of a family, so that their order is told."""
    seen: dict[tuple[str, int, int], Rule] = {}
    for veth in veths:
        for rule in veth.rules or ():
            if seen.setdefault((veth.name, rule.family, rule.priority), rule) is not rule:
                raise FabricError(
                    f"{veth.what}: rules has a second rule with the priority {rule.priority} in the namespace; give one of them another"
                )


def joined_rules(rules: t.Iterable[t.Sequence[Rule] | None]) -> list[Rule] | None:
    """The rules that all interfaces of a namespace have together; None if none has any said."""
    said = [each for each in rules if each is not None]
    return [rule for each in said for rule in each] if said else None


def joined_sysctls(veths: t.Iterable[Veth], name: str) -> dict[str, str] | None:
    """The sysctls that all items of a namespace declare together; None if none declares any."""
    given = [veth.sysctls for veth in veths if veth.name == name and veth.sysctls is not None]
    return {path: value for sysctls in given for path, value in sysctls.items()} if given else None

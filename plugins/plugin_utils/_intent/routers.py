# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The intent's part about routers: links, areas, what a router has for itself, BGP; checked one by one and turned into typed objects.

This file is private to the collection.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import dotted_area
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import IPV4_MIN_MTU, Address, Network
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import (
    between,
    matching_name,
    read_address,
    read_interface,
    read_network,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, label, show

Item = t.Dict[str, t.Any]

BACKBONE = "0.0.0.0"
# RFC 7607, RFC 6793, RFC 7300: these are nobody's.
RESERVED_ASN = {0, 23456, 65535, 4294967295}
KEY_LENGTH = 16  # RFC 2328, appendix D.3

# What an interface has that OSPF's neighbors must agree on, and what it has for itself.
SHARED = ("network_type", "hello_interval", "dead_interval", "hello_multiplier", "mtu", "bfd")
LIMITS = {
    "cost": (1, 65535),
    "priority": (0, 255),
    "hello_interval": (1, 65535),
    "dead_interval": (1, 65535),
    "hello_multiplier": (1, 10),
    "mtu": (IPV4_MIN_MTU, 65535),
    "key_id": (1, 255),
}


@dataclasses.dataclass
class Area:
    """An area that is not just normal."""

    where: str
    area: str
    type: str
    default_cost: int | None
    ranges: list[Network]


@dataclasses.dataclass
class Link:
    """A cable or a switch between interfaces; settings holds what its ends have in common, None where it says nothing."""

    where: str
    name: str
    ends: list[tuple[str, str]]
    subnet: Network | None
    subnet6: Network | None
    ospf: bool
    area: str
    settings: dict[str, t.Any]
    key: str | None
    key_id: int


@dataclasses.dataclass
class Accept:
    """Prefixes that are taken from a neighbor."""

    prefix: Network
    ge: int | None
    le: int | None

    def holds(self, prefix: Network) -> bool:
        """Whether a prefix passes; without ge and le, only the prefix itself does."""
        low = self.ge if self.ge is not None else self.prefix.prefixlen
        high = (
            self.le if self.le is not None else (prefix.max_prefixlen if self.ge is not None else self.prefix.prefixlen)
        )
        inside = prefix.network_address in self.prefix and prefix.prefixlen >= self.prefix.prefixlen
        return inside and low <= prefix.prefixlen <= high


@dataclasses.dataclass
class Session:
    """A neighbor, or with prefix a range that neighbors connect from."""

    where: str
    name: str
    accept: list[Accept] | None
    maximum_prefix: int | None
    reflector_client: bool
    next_hop_self: bool
    bfd: bool
    password: str | None
    prefix: Network | None = None
    asn: int = 0

    def takes(self, address: Address, asn: int) -> bool:
        """Whether this range is one that a neighbor of this address and AS may connect from."""
        return self.prefix is not None and address in self.prefix and self.asn == asn


@dataclasses.dataclass
class Bgp:
    """BGP on one router."""

    where: str
    asn: int
    networks: list[Network]
    maximum_paths: int
    neighbors: list[Session]
    listen: list[Session]


@dataclasses.dataclass
class Static:
    """A static route: via a next hop, or discarded."""

    where: str
    prefix: Network
    via: Address | None
    discard: str | None
    distance: int


@dataclasses.dataclass
class Own:
    """What a router has for itself."""

    managed: bool
    router_id: str | None
    loopback: Address | None
    loopback6: Address | None
    interfaces: list[Item]
    bgp: Bgp | None
    static: list[Static]
    redistribute: list[Item]


@dataclasses.dataclass
class Routing:
    """All of it. own: by host, for all hosts of the fabric."""

    loopbacks: Network
    loopbacks6: Network | None
    links_pool: Network
    links6_pool: Network | None
    areas: list[Area]
    defaults: dict[str, t.Any]
    bfd: dict[str, int]
    maximum_paths: int | None
    links: list[Link]
    own: dict[str, Own]


def load_routing(common: Item, hosts: dict[str, Item], problems: list[str]) -> Routing | None:
    """The typed intent; None, and the sentences, where something in it is wrong.

    common: fabric_routing, fabric_links and fabric_underlay, as the specification has them. hosts: of each host fabric_router and
    fabric_bgp, likewise.
    """
    before = len(problems)
    settings = common["fabric_routing"]
    if _bad(settings, common["fabric_links"], common["fabric_underlay"], *hosts.values()):
        return None
    where = "fabric_routing"
    loopbacks = read_network(settings["loopbacks"], f"{where}.loopbacks", problems, version=4)
    loopbacks6 = read_network(settings["loopbacks6"], f"{where}.loopbacks6", problems, version=6)
    pool = read_network(settings["links"], f"{where}.links", problems, version=4)
    pool6 = read_network(settings["links6"], f"{where}.links6", problems, version=6)
    for option in ("cost", "hello_interval", "dead_interval", "key_id"):
        between(settings[option], *LIMITS[option], f"{where}.{option}", problems)
    between(settings["bfd_interval"], 10, 60000, f"{where}.bfd_interval", problems)
    between(settings["bfd_multiplier"], 2, 255, f"{where}.bfd_multiplier", problems)
    between(settings["maximum_paths"], 1, 64, f"{where}.maximum_paths", problems)
    area = read_area(settings["area"], f"{where}.area", problems)
    areas = [_area_item(row, problems) for row in settings["areas"]]
    for index, one in enumerate(areas):
        if any(one.area == other.area for other in areas[:index]):
            problems.append(f"{one.where} is listed twice; leave one out.")
    links = [_link(row, i, settings, area, problems) for i, row in enumerate(common["fabric_links"])]
    own = {name: _own(name, row, problems) for name, row in hosts.items()}
    names = [link.name for link in links]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"fabric_links has the name {name} twice; give each its own.")
    if len(problems) > before:
        return None
    defaults = {key: settings[key] for key in ("cost", "hello_interval", "dead_interval", "bfd")}
    defaults["mtu"] = common["fabric_underlay"]["mtu"]
    bfd = {"interval": settings["bfd_interval"], "multiplier": settings["bfd_multiplier"]}
    return Routing(loopbacks, loopbacks6, pool, pool6, areas, defaults, bfd, settings["maximum_paths"], links, own)


def _bad(*values: t.Any) -> bool:
    """Whether anything in plain data was refused already."""
    return any(
        value is INVALID
        or (isinstance(value, dict) and _bad(*value.values()))
        or (isinstance(value, list) and _bad(*value))
        for value in values
    )


def read_area(value: str, where: str, problems: list[str]) -> str:
    """An area with dots."""
    try:
        if value.isdigit() and int(value) > 0xFFFFFFFF:
            raise ValueError
        return dotted_area(value)
    except ValueError:
        problems.append(f"{where} {show(value)} is no area; write it as a number or with dots, such as 1 or 0.0.0.1.")
        return ""


def _area_item(row: Item, problems: list[str]) -> Area:
    where = f"fabric_routing.areas[{row['area']}]"
    area = read_area(row["area"], f"{where}.area", problems)
    if area == BACKBONE and row["type"] != "normal":
        problems.append(
            f"{where}.type is {row['type']}, but area {row['area']} is the backbone, which is always normal; take another area, or leave type out."
        )
    if row["type"] == "normal" and row["default_cost"] is not None:
        problems.append(f"{where}.default_cost is for stub areas; leave it out, or set type.")
    between(row["default_cost"], 0, 16777215, f"{where}.default_cost", problems)
    ranges = [read_network(one, f"{where}.ranges", problems, version=4) for one in row["ranges"]]
    return Area(where, area, row["type"], row["default_cost"], ranges)


def _link(row: Item, index: int, settings: Item, area: str, problems: list[str]) -> Link:
    pairs = []
    for end in row["ends"]:
        host, _colon, interface = end.partition(":")
        pairs.append((host, interface))
    name = row["name"] if row["name"] is not None else "-".join(host for host, _interface in pairs)
    where = f"fabric_links[{label({'name': row['name'] or name}, index)}]"
    matching_name(row["name"], f"{where}.name", problems)
    if not pairs:
        problems.append(f"{where}.ends is empty; give at least one end, such as r1:eth1.")
    for end, (host, interface) in zip(row["ends"], pairs):
        if not host or not interface:
            problems.append(
                f"{where}.ends {show(end)} is no end of a link; write it as host:interface, such as r1:eth1."
            )
        else:
            read_interface(interface, f"{where}.ends {host}", problems)
    for option in ("cost", "mtu", "hello_interval", "dead_interval", "hello_multiplier", "key_id"):
        between(row[option], *LIMITS[option], f"{where}.{option}", problems)
    own_key = row["key"] is not None
    key = row["key"] if own_key else settings["key"]
    place = f"{where}.key" if own_key else "fabric_routing.key"
    if key is not None and not (re.fullmatch("[!-~]+", key) and len(key) <= KEY_LENGTH):
        problems.append(f"{place} has to have 1 to {KEY_LENGTH} printable characters without spaces.")
    return Link(
        where,
        name,
        pairs,
        read_network(row["subnet"], f"{where}.subnet", problems, version=4),
        read_network(row["subnet6"], f"{where}.subnet6", problems, version=6),
        row["ospf"],
        read_area(row["area"], f"{where}.area", problems) if row["area"] is not None else area,
        {
            option: row[option]
            for option in ("cost", "network_type", "hello_interval", "dead_interval", "hello_multiplier", "mtu", "bfd")
        },
        # Never the secret itself: where it stands.
        place if key else None,
        row["key_id"] if row["key_id"] is not None else settings["key_id"],
    )


def _own(host: str, row: Item, problems: list[str]) -> Own:
    router, where = row["fabric_router"], f"{host}: fabric_router"
    _check_router_id(router["router_id"], f"{where}.router_id", problems)
    loopbacks = {}
    for option, version in (("loopback", 4), ("loopback6", 6)):
        address = loopbacks[option] = read_address(router[option], f"{where}.{option}", problems)
        if address and address.version != version:
            problems.append(f"{where}.{option} {address} is IPv{address.version}; give an IPv{version} address.")
    for i, item in enumerate(router["interfaces"]):
        for option in ("cost", "priority", "mtu", "hello_interval", "dead_interval", "hello_multiplier"):
            between(item[option], *LIMITS[option], f"{where}.interfaces[{label(item, i)}].{option}", problems)
    bgp = _bgp(host, row["fabric_bgp"], problems) if row["fabric_bgp"] else None
    static = [_static(item, f"{where}.static[{item['prefix']}]", problems) for item in router["static"]]
    for option, values in (
        ("static", [one.prefix for one in static]),
        ("redistribute", [one["protocol"] for one in router["redistribute"]]),
    ):
        for value in sorted({str(value) for value in values if values.count(value) > 1}):
            problems.append(f"{where}.{option} has {value} twice; leave one out.")
    for item in router["redistribute"]:
        between(item["metric"], 0, 16777214, f"{where}.redistribute[{item['protocol']}].metric", problems)
    return Own(
        router["managed"],
        router["router_id"],
        loopbacks["loopback"],
        loopbacks["loopback6"],
        router["interfaces"],
        bgp,
        static,
        router["redistribute"],
    )


def _check_router_id(router_id: str | None, where: str, problems: list[str]) -> None:
    """A router id is written as an IPv4 address, and is not 0.0.0.0 (RFC 2328, section C.1)."""
    if router_id is None:
        return
    try:
        valid = ipaddress.IPv4Address(router_id) != ipaddress.IPv4Address(0)
    except ValueError:
        valid = False
    if not valid:
        problems.append(f"{where} {show(router_id)} is no router id; write four numbers with dots, such as 10.255.0.1.")


def _static(row: Item, where: str, problems: list[str]) -> Static:
    prefix = read_network(row["prefix"], f"{where}.prefix", problems)
    via = read_address(row["via"], f"{where}.via", problems)
    between(row["distance"], 1, 255, f"{where}.distance", problems)
    if bool(row["via"]) == bool(row["discard"]):
        problems.append(f"{where} needs either via, a next hop, or discard.")
    if prefix and via and prefix.version != via.version:
        problems.append(
            f"{where}.via {via} is IPv{via.version}, and the prefix IPv{prefix.version}; take a next hop of the same."
        )
    return Static(where, prefix, via, row["discard"], row["distance"])


def _bgp(host: str, row: Item, problems: list[str]) -> Bgp:
    where = f"{host}: fabric_bgp"
    between(row["maximum_paths"], 1, 64, f"{where}.maximum_paths", problems)
    neighbors = [_session(item, f"{where}.neighbors[{item['name']}]", problems) for item in row["neighbors"]]
    listen = []
    for item in row["listen"]:
        place = f"{where}.listen[{item['name']}]"
        session = _session(item, place, problems)
        matching_name(item["name"], f"{place}.name", problems)
        session.prefix = read_network(item["prefix"], f"{place}.prefix", problems)
        session.asn = read_asn(item["asn"], f"{place}.asn", problems)
        listen.append(session)
    names = [session.name for session in neighbors + listen]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"{where} has {name} twice; leave one out.")
    networks = [read_network(prefix, f"{where}.networks", problems) for prefix in row["networks"]]
    return Bgp(where, read_asn(row["asn"], f"{where}.asn", problems), networks, row["maximum_paths"], neighbors, listen)


def read_asn(value: str, where: str, problems: list[str]) -> int:
    """An AS number from its plain or dotted notation (RFC 5396); 0 and a sentence if it is none that a router may have."""
    found = re.fullmatch(r"(?:([0-9]{1,5})\.)?([0-9]{1,10})", value, re.ASCII)
    high, low = (int(found.group(1) or 0), int(found.group(2))) if found else (0, -1)
    number = high * 65536 + low
    if not found or high > 65535 or (found.group(1) and low > 65535) or not 1 <= number <= 4294967294:
        problems.append(
            f"{where} {show(value)} is out of range; an AS number is 1 to 4294967294, or dotted, such as 64512 or 1.10."
        )
        return 0
    if number in RESERVED_ASN:
        problems.append(f"{where} {value} is reserved and no router's; take another, such as 64512.")
        return 0
    return number


def _session(row: Item, where: str, problems: list[str]) -> Session:
    accept = None
    if row["accept"] is not None:
        accept = [_accept(item, f"{where}.accept", problems) for item in row["accept"]]
    between(row["maximum_prefix"], 1, 4294967295, f"{where}.maximum_prefix", problems)
    if row["password"] is not None and not re.fullmatch("[!-~]{1,80}", row["password"]):
        problems.append(f"{where}.password has to have 1 to 80 printable characters without spaces.")
    options = {option: row[option] for option in ("maximum_prefix", "reflector_client", "next_hop_self", "bfd")}
    return Session(where, row["name"], accept, password=f"{where}.password" if row["password"] else None, **options)


def _accept(row: Item, where: str, problems: list[str]) -> Accept:
    prefix = read_network(row["prefix"], f"{where}.prefix", problems)
    if prefix:
        low, high = prefix.prefixlen, prefix.max_prefixlen
        ge, le = row["ge"], row["le"]
        if (ge is not None and not low <= ge <= high) or (le is not None and not (ge or low) <= le <= high):
            problems.append(f"{where} of {prefix}: ge and le are prefix lengths of {low} to {high}, ge not above le.")
    return Accept(prefix, row["ge"], row["le"])


def secrets(common: Item, hosts: dict[str, Item]) -> dict[str, str]:
    """The secrets of the intent, by the place that stands for each of them in the plan."""
    found = {}
    if common["fabric_routing"]["key"]:
        found["fabric_routing.key"] = common["fabric_routing"]["key"]
    for link in common["fabric_links"]:
        if link["key"]:
            name = link["name"] or "-".join(end.partition(":")[0] for end in link["ends"])
            found[f"fabric_links[{name}].key"] = link["key"]
    for host, row in hosts.items():
        for kind in ("neighbors", "listen"):
            for session in (row["fabric_bgp"] or {}).get(kind, ()):
                if session["password"]:
                    found[f"{host}: fabric_bgp.{kind}[{session['name']}].password"] = session["password"]
    return found

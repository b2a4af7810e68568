# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces, addresses and routes of the kernel, read and written through iproute2 (ip(8)).

This file is private to the collection. Everything is read with one `ip -json -batch -` and written with one
`ip -batch -` for each network namespace. Everything is pure but `read_interfaces`, and the names of tables.
"""

from __future__ import annotations

import ipaddress
import os
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host import content
from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, Step

# RFC 791 and RFC 8200: the smallest MTU of a link that carries IPv4, and IPv6.
SMALLEST_MTU = 68
SMALLEST_MTU_IPV6 = 1280
LARGEST_MTU = 65535

# The table that is looked into without a policy rule (RT_TABLE_MAIN), and the kernel's own for addresses (RT_TABLE_LOCAL).
MAIN_TABLE, LOCAL_TABLE = 254, 255
_TABLES = {"default": 253, "main": MAIN_TABLE, "local": LOCAL_TABLE}
# Where iproute2 keeps the names of tables: of the host, and what comes with it.
_TABLE_NAMES = ("/etc/iproute2/rt_tables", "/usr/share/iproute2/rt_tables", "/usr/lib/iproute2/rt_tables")

# What the kernel gives an IPv6 route when no metric is asked for (IP6_RT_PRIO_USER); IPv4 has none, which is 0.
IPV6_METRIC = 1024

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_BARE_WORD = re.compile(r"[A-Za-z0-9_.:/@%+=,-]+", re.ASCII)

Host = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# Kinds of interfaces that lie upon another one.
UPON = ("vlan", "macvlan", "macvtap", "ipvlan", "ipvtap")


class Interface(t.NamedTuple):
    """One network interface as `ip -json -details address show` tells it.

    addresses: canonical CIDR strings, as given to `ip address`; without those that the kernel made by itself
        (the link-local one, and those from router advertisements or DHCP, which expire).
    link_local: the link-local addresses that the kernel made.
    broken: addresses that cannot be used because another node on the link has them (IPv6 duplicate detection).
    kind: `veth`, `bridge`, `tun`, ..., or "" for hardware.
    link_index, link_netnsid: the index of a veth's other end and the id of the namespace it is in
        (None: the same namespace), as this namespace counts them.
    master: the bridge or bond that has this interface as a port ("" without; `ovs-system` with the kernel datapath).
    addrgen: how the kernel makes the link-local address (`eui64`, `none`, ...), "" in a kernel without IPv6; `address show` does
        not tell it.
    parent, vlan: of a VLAN, the interface that carries it and its number (IEEE 802.1Q).
    leased: the addresses that expire, from DHCP or router advertisements.
    busy: whether somebody uses it without a lasting address or a master: by a lease, or as Open vSwitch in user space, which takes every frame.
    """

    name: str
    ifindex: int
    mtu: int
    mac: str
    up: bool
    alias: str
    kind: str
    addresses: tuple[str, ...]
    link_local: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    link_index: int | None = None
    link_netnsid: int | None = None
    master: str = ""
    addrgen: str = ""
    parent: str = ""
    vlan: int | None = None
    busy: bool = False
    leased: tuple[str, ...] = ()

    @property
    def upon(self) -> str:
        """The interface whose frames this one takes, or empty. A veth's parent is its other end."""
        return self.parent if self.kind in UPON else ""


class Wanted(t.NamedTuple):
    """What one interface shall be. None leaves as it is, an empty value clears.

    addrgen: with `none`, link-local addresses that the kernel has made already go too.
    """

    name: str
    mtu: int | None = None
    mac: str | None = None
    up: bool | None = None
    alias: str | None = None
    addresses: tuple[str, ...] | None = None
    addrgen: str | None = None


class Route(t.NamedTuple):
    """One route through one gateway.

    to: a canonical prefix, `default` for the default route of the gateway's family.
    via: the gateway's canonical address.
    metric: as the kernel keeps it (IPv4 without a metric 0, IPv6 1024).
    onlink: the gateway is on the link though no address of the interface says so.
    table: the number of the routing table.
    """

    to: str
    via: str
    metric: int
    onlink: bool = False
    table: int = MAIN_TABLE

    def key(self) -> tuple[int, str, int, int]:
        """What is unique: address family, prefix, metric, table."""
        return (family(self.via), self.to, self.metric, self.table)


def family(address: str) -> int:
    """4 or 6, for an address with or without a prefix length."""
    return 6 if ":" in address else 4


# --- reading ---------------------------------------------------------------------------------------------------------


def read_step(*queries: str, netns: str | None = None, statistics: bool = False) -> Step:
    """One command that asks several questions (`address show`, `route show table all`, `netns list`) at once.

    statistics: with the counters of interfaces.
    """
    inside = ("-n", netns) if netns is not None else ()
    details = ("-details", "-statistics") if statistics else ("-details",)
    return Step(("ip", *inside, "-json", *details, "-batch", "-"), "\n".join(queries) + "\n")


def read_interfaces(runner: Runner, netns: str | None = None) -> dict[str, Interface]:
    """All interfaces of the host, or of a named network namespace, by name. Spawns one process."""
    return parse_interfaces(documents(runner(read_step("address show", netns=netns)))[0])


def parse_interfaces(rows: t.Iterable[dict[str, t.Any]]) -> dict[str, Interface]:
    """The document of `address show` (with -details) as interfaces, by name."""
    return {row["ifname"]: _interface(row) for row in rows if row.get("ifname")}


def _interface(row: dict[str, t.Any]) -> Interface:
    given: list[str] = []
    link_local: list[str] = []
    broken: list[str] = []
    leased: list[str] = []
    for entry in row.get("addr_info", ()):
        if "local" not in entry:
            continue
        if entry.get("dynamic"):
            leased.append(_address_text(entry))
            continue
        text = _address_text(entry)
        if _made_by_kernel(entry):
            link_local.append(text)
            continue
        given.append(text)
        if entry.get("dadfailed"):
            broken.append(text)
    return Interface(
        name=row["ifname"],
        ifindex=row["ifindex"],
        mtu=row["mtu"],
        mac=row.get("address", ""),
        up="UP" in row.get("flags", ()),
        alias=row.get("ifalias", ""),
        kind=row.get("linkinfo", {}).get("info_kind", ""),
        addresses=tuple(given),
        link_local=tuple(link_local),
        broken=tuple(broken),
        link_index=row.get("link_index"),
        link_netnsid=row.get("link_netnsid"),
        master=row.get("master", ""),
        parent=row.get("link", ""),
        vlan=row.get("linkinfo", {}).get("info_data", {}).get("id")
        if row.get("linkinfo", {}).get("info_kind") == "vlan"
        else None,
        busy=bool(row.get("promiscuity")) or any(entry.get("dynamic") for entry in row.get("addr_info", ())),
        leased=tuple(leased),
    )


def _address_text(entry: dict[str, t.Any]) -> str:
    """The address as `ip address add` and `ip address delete` take it; one with a peer is deleted with its peer."""
    length = entry["prefixlen"]
    if "address" in entry:
        return f"{entry['local']} peer {entry['address']}/{length}"
    return str(ipaddress.ip_interface(f"{entry['local']}/{length}"))


def _made_by_kernel(entry: dict[str, t.Any]) -> bool:
    """Whether the kernel made this link-local address when the link came up.

    Newer kernels and iproute2 say so. Others make it from the MAC address (RFC 4291 appendix A: ff:fe in the middle) or,
    when asked for, from a secret (RFC 7217), which shows as a flag.
    """
    if entry.get("family") != "inet6" or entry.get("scope") != "link" or entry["prefixlen"] != 64:
        return False
    if "protocol" in entry:
        return entry["protocol"] == "kernel_ll"
    middle = ipaddress.IPv6Address(entry["local"]).packed[11:13]
    return middle == b"\xff\xfe" or bool(entry.get("stable-privacy"))


def routes_taken(rows: t.Iterable[dict[str, t.Any]]) -> tuple[tuple[tuple[str, int, int], str], ...]:
    """All routes of the same document, whoever made them: destination, table and metric, and through what they go.

    The kernel has one route for each of these places, and `ip route replace` swaps it for another one.
    """
    found = []
    for row in rows:
        if row.get("type", "unicast") in ("local", "broadcast", "multicast", "anycast"):
            continue
        hops = [hop.get("dev", "") for hop in row.get("nexthops", ())]
        through = row.get("dev") if row.get("type", "unicast") == "unicast" else row["type"]
        to = row["dst"] if row["dst"] == "default" else str(ipaddress.ip_network(row["dst"], strict=False))
        place = _route(row, to, "", row.get("metric", 0))
        found.append(((place.to, place.table, place.metric), through or " and ".join(hops)))
    return tuple(found)


def parse_routes(rows: t.Iterable[dict[str, t.Any]]) -> dict[str, tuple[Route, ...]]:
    """The document of `route show table all` as the routes that people make, by interface.

    These are routes through one gateway which `ip route` or a static configuration made. What the
    kernel, router advertisements, DHCP or a routing daemon made is left out: it is never a difference.
    """
    found: dict[str, list[Route]] = {}
    for row in rows:
        if row.get("type", "unicast") != "unicast":
            continue
        if row.get("protocol", "boot") not in ("boot", "static") or "gateway" not in row or "dev" not in row:
            continue
        via = str(ipaddress.ip_address(row["gateway"]))
        to = row["dst"] if row["dst"] == "default" else str(ipaddress.ip_network(row["dst"]))
        metric = row.get("metric", 0)
        found.setdefault(row["dev"], []).append(_route(row, to, via, metric))
    return {device: tuple(routes) for device, routes in found.items()}


def _route(row: dict[str, t.Any], to: str, via: str, metric: int) -> Route:
    return Route(to, via, metric, "onlink" in row.get("flags", ()), table_number(str(row.get("table", "main"))))


def table_number(name: str) -> int:
    """The number of a routing table, which ip(8) tells by a name where somebody has given it one."""
    if name.isdigit():
        return int(name)
    return _TABLES.get(name) or _named_tables().get(name, 0)


def _named_tables() -> dict[str, int]:
    """The names that the host has for routing tables."""
    found: dict[str, int] = {}
    more = sorted(os.path.join(f"{_TABLE_NAMES[0]}.d", name) for name in _listed(f"{_TABLE_NAMES[0]}.d"))
    for path in (*reversed(_TABLE_NAMES), *more):
        found.update(parse_tables(content(path)))
    return found


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def parse_tables(text: str) -> dict[str, int]:
    """A file with the names of routing tables: on each line a number and a name."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return {words[1]: int(words[0], 0) for words in lines if len(words) == 2 and words[0].isdigit()}


# --- checking what a person wrote: one sentence each -------------------------------------------------------------------


def listed(params: t.Mapping[str, t.Any], option: str, what: str) -> t.Sequence[t.Mapping[str, t.Any]]:
    """The declared rows: those of a list, or the module's own options as the only one. Raises FabricError where both are given."""
    if params[option] is None:
        return [params]
    if params["name"]:
        raise FabricError(f"name and {option} exclude each other; put the {what} into the list")
    rows: t.Sequence[t.Mapping[str, t.Any]] = params[option]
    return rows


def check_once(names: t.Sequence[str], what: str) -> None:
    """Refuse a name that is declared twice."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FabricError(f"{what} {twice} is declared twice; leave one out")


def check_range(value: int, low: int, high: int, what: str, unit: str = "") -> int:
    """A number of low to high, both included. unit: of what, such as `seconds`. Raises FabricError."""
    if not low <= value <= high:
        raise FabricError(f"{what} must be {low} to {high}{unit and ' '}{unit}, not {value}")
    return value


def check_interface_name(name: str, what: str) -> str:
    """A name that the kernel takes for an interface (dev_valid_name), and that no command can mistake for an option.

    what: the object and option that the sentence names, such as `namespace red: outer`.
    """
    bad = ""
    if not 1 <= len(name.encode("utf-8", "surrogateescape")) <= 15:
        bad = "has to have 1 to 15 bytes"
    elif not (name.isascii() and name.isprintable()) or any(c in name for c in " /:%"):
        bad = "has to be of printable ASCII characters without space, '/', ':' and '%'"
    elif name in (".", "..") or name.startswith("-"):
        bad = "must not be '.' or '..' or begin with '-'"
    if bad:
        raise FabricError(f"{what}: {name!r} is no interface name, it {bad}")
    return name


def check_address(text: str, what: str) -> str:
    """An address with its prefix length, in canonical form (`10.1.1.1/24`, `fd00::1/64`)."""
    try:
        if "/" not in text or "%" in text:
            raise ValueError
        address = ipaddress.ip_interface(text)
    except ValueError:
        raise FabricError(
            f"{what}: {text!r} is no address with a prefix length; write it like 10.1.1.1/24 or fd00::1/64"
        ) from None
    ip, network = address.ip, address.network
    if ip.is_multicast or ip.is_unspecified or (ip.version == 4 and ip == ipaddress.IPv4Address("255.255.255.255")):
        raise FabricError(f"{what}: {text!r} cannot be given to an interface, it is no unicast address")
    room = network.max_prefixlen - network.prefixlen
    if room >= 2 and ip == network.network_address:
        raise FabricError(f"{what}: {text!r} is the address of the subnet itself; give one of its hosts' addresses")
    if room >= 2 and ip.version == 4 and ip == network.broadcast_address:
        raise FabricError(f"{what}: {text!r} is the broadcast address of {network}; give one of its hosts' addresses")
    return str(address)


def check_host(text: str, what: str) -> Host:
    """An address alone. Raises FabricError for anything else, such as one with a prefix length."""
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise FabricError(f"{what}: {text!r} is no address; write it as 10.1.1.2, without a prefix length") from error


def check_network(text: str, what: str) -> Network:
    """A prefix. Raises FabricError for anything else, such as an address with host bits."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise FabricError(f"{what}: {text!r} is no prefix; write it as 10.1.1.0/24, without host bits") from error


def check_addresses(texts: t.Iterable[str], what: str) -> tuple[str, ...]:
    """Addresses in canonical form and in the order given; none twice."""
    found: list[str] = []
    for text in texts:
        address = check_address(text, what)
        if any(ipaddress.ip_interface(address).ip == ipaddress.ip_interface(other).ip for other in found):
            raise FabricError(f"{what}: {text!r} is listed twice; remove one of the two")
        found.append(address)
    return tuple(found)


def check_mac(text: str, what: str) -> str:
    """A unicast MAC address, in lower case with colons."""
    mac = text.lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise FabricError(
            f"{what}: {text!r} is no MAC address; write six pairs of hexadecimal digits, like 02:00:00:00:00:01"
        )
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise FabricError(
            f"{what}: {text!r} is not the MAC address of one node; its first byte has to be even, and not all may be zero"
        )
    return mac


def check_mtu(mtu: int, addresses: t.Iterable[str], what: str) -> int:
    """An MTU in bytes that the interface's addresses can live with."""
    if not SMALLEST_MTU <= mtu <= LARGEST_MTU:
        raise FabricError(f"{what}: {mtu} is out of range; an MTU has {SMALLEST_MTU} to {LARGEST_MTU} bytes")
    six = next((a for a in addresses if family(a) == 6), None)
    if mtu < SMALLEST_MTU_IPV6 and six is not None:
        raise FabricError(
            f"{what}: {mtu} is too small for {six}; IPv6 needs an MTU of {SMALLEST_MTU_IPV6} or more (RFC 8200)"
        )
    return mtu


def check_table(table: int, what: str) -> int:
    """A routing table that people may fill."""
    if not 1 <= table < 2**32 or table == LOCAL_TABLE:
        raise FabricError(
            f"{what}: {table} is no routing table for routes; give 1 to 4294967295, but 255 is the kernel's own"
        )
    return table


def check_route(to: str, via: str, metric: int | None, onlink: bool, what: str, table: int | None = None) -> Route:
    """One route in canonical form. Whether its gateway is on the link is `check_gateway`'s question."""
    try:
        gateway = ipaddress.ip_address("" if "%" in via else via)
    except ValueError:
        raise FabricError(f"{what}: via {via!r} of the route to {to!r} is no address") from None
    if gateway.is_multicast or gateway.is_unspecified:
        raise FabricError(f"{what}: via {via!r} of the route to {to!r} is no unicast address")
    prefix = to
    if to != "default":
        try:
            network = ipaddress.ip_network(to)
        except ValueError:
            raise FabricError(
                f"{what}: {to!r} is no destination; write 'default' or a prefix without host bits, like 10.2.0.0/16"
            ) from None
        if network.version != gateway.version:
            raise FabricError(
                f"{what}: the route to {to!r} cannot go via {via!r}, which is of the other address family"
            )
        prefix = "default" if network.prefixlen == 0 else str(network)
    if metric is not None and not (0 if gateway.version == 4 else 1) <= metric < 2**32:
        raise FabricError(f"{what}: metric {metric} of the route to {to!r} is out of range; give 1 to 4294967295")
    if metric is None:
        metric = 0 if gateway.version == 4 else IPV6_METRIC
    number = MAIN_TABLE if table is None else check_table(table, f"{what}: table of the route to {to!r}")
    return Route(prefix, str(gateway), metric, onlink, number)


def check_gateway(route: Route, addresses: t.Iterable[str], what: str) -> None:
    """The gateway has to be a neighbor by one of the interface's addresses, as the kernel asks for it."""
    gateway = ipaddress.ip_address(route.via)
    known = [ipaddress.ip_interface(a) for a in addresses if " " not in a]
    if any(gateway == a.ip for a in known):
        raise FabricError(f"{what}: via {route.via} of the route to {route.to} is the interface's own address")
    if route.onlink or gateway.is_link_local or any(gateway in a.network for a in known):
        return
    raise FabricError(
        f"{what}: via {route.via} of the route to {route.to} is in no subnet of the interface's addresses; "
        "give the interface an address in its subnet, or the route onlink: true"
    )


# --- writing ---------------------------------------------------------------------------------------------------------


def word(value: str) -> str:
    """One word of a line of `ip -batch -`.

    Raises FabricError for what such a line cannot hold: ip(8) ends it at any '#', and knows no escape for quotes.
    """
    if _BARE_WORD.fullmatch(value):
        return value
    if not value.isprintable() or "#" in value or "\\" in value or ('"' in value and "'" in value):
        raise FabricError(
            f"{value!r} cannot be given to ip(8), which reads '#', '\\', line breaks and mixed quotes itself"
        )
    return f"'{value}'" if '"' in value else f'"{value}"'


def batch_step(lines: t.Iterable[str], netns: str | None = None) -> Step:
    """One command that does all lines in their order, and stops at the first that fails."""
    inside = ("-n", netns) if netns is not None else ()
    return Step(("ip", *inside, "-batch", "-"), "\n".join(lines) + "\n")


def batch_steps(lines: t.Collection[str]) -> list[Step]:
    """The one step of some lines, none without a line."""
    return [batch_step(lines)] if lines else []


def interface_batch(found: Interface | None, wanted: Wanted, bounced: bool = False) -> list[str]:
    """The lines for `ip -batch -` that make an interface what is wanted; empty if it is so already.

    found: the interface as it is, None if an earlier line makes it (it is then down and without addresses).
    The kernel takes more away than it is asked for, which the lines make good: with an IPv4 address go the others of
    its subnet, and with the link going down all IPv6 addresses. Routes are the caller's (see `route_batch`).
    bounced: the link may have been down for a moment since it was found, and with it up again, its IPv6 addresses may be gone.
    """
    device = f"dev {word(wanted.name)}"
    goes_down = wanted.up is False and found is not None and found.up
    comes_up = bool(wanted.up) and not (found and found.up)
    return [
        *_link_lines(found, wanted, device),
        *([f"link set {device} down"] if goes_down else []),
        *_address_lines(found, wanted, device, goes_down, bounced),
        *([f"link set {device} up"] if comes_up else []),
    ]


def _link_lines(found: Interface | None, wanted: Wanted, device: str) -> list[str]:
    """The lines for the link itself, but for its state."""
    lines = []
    if wanted.mac is not None and (found is None or found.mac != wanted.mac):
        lines.append(f"link set {device} address {wanted.mac}")
    if wanted.mtu is not None and (found is None or found.mtu != wanted.mtu):
        lines.append(f"link set {device} mtu {wanted.mtu}")
    if wanted.alias is not None and (found.alias if found else "") != wanted.alias:
        lines.append(f"link set {device} alias {word(wanted.alias)}")
    if wanted.addrgen is not None and (found is None or found.addrgen != wanted.addrgen):
        lines.append(f"link set {device} addrgenmode {wanted.addrgen}")
    return lines


def _address_lines(found: Interface | None, wanted: Wanted, device: str, goes_down: bool, bounced: bool) -> list[str]:
    """The lines for the addresses. goes_down: the link went down before, and its IPv6 addresses with it."""
    present = found.addresses if found else ()
    link_local = found.link_local if found else ()
    target = present if wanted.addresses is None else wanted.addresses
    # The last first: secondaries are listed after the primary, with which they would go.
    surplus = [a for a in reversed(present) if a not in target]
    gone = _gone(present, surplus, goes_down or bounced)
    lines = []
    # An address that went down with the link is not there to be deleted.
    if wanted.addrgen == "none" and not goes_down:
        lines += [f"address delete {a} {device}" for a in link_local]
    for address in surplus:
        if family(address) == 4 or not (goes_down or bounced):
            lines.append(f"address delete {address} {device}")
        elif bounced:
            # It is no error to flush what is not there.
            lines.append(f"address flush {device} to {address.split('/')[0].split()[0]}/128")
    lines += [
        f"address replace {a} {device}" for a in target if a in gone or (a not in present and a not in link_local)
    ]
    return lines


def _gone(present: t.Sequence[str], surplus: t.Sequence[str], goes_down: bool) -> set[str]:
    """The addresses that the kernel takes away: those that it is asked to, and others with them."""
    gone = set(surplus)
    if goes_down:
        gone.update(a for a in present if family(a) == 6)
    for lost in surplus:
        gone.update(a for a in present if family(a) == family(lost) == 4 and _same_subnet(a, lost))
    return gone


def _same_subnet(one: str, other: str) -> bool:
    """Whether two IPv4 addresses are primary and secondary of one subnet."""
    if " " in one or " " in other:
        return False
    return ipaddress.ip_interface(one).network == ipaddress.ip_interface(other).network


def disturbs_routes(lines: t.Iterable[str]) -> bool:
    """Whether lines of `interface_batch` may make the kernel drop routes through the interface."""
    return any(
        line.startswith("address delete") or " mtu " in line or line.endswith((" up", " down")) for line in lines
    )


def route_batch(
    device: str, found: t.Sequence[Route], wanted: t.Iterable[Route], again: bool = False
) -> tuple[list[str], list[str]]:
    """The lines that make the routes through one interface those wanted: (before, after) the interface's own lines.

    again: write also the routes that are there, because the interface's lines disturb them (see `disturbs_routes`).
    """
    target = {route.key(): route for route in wanted}
    keys = [route.key() for route in found]
    removals = []
    for route in found:
        # One route with the same key is swapped in one go; IPv6 can have several beside each other.
        swapped = route.key() in target and keys.count(route.key()) == 1
        if route != target.get(route.key()) and not swapped:
            removals.append(_route_line("delete", route, device))
    additions = [_route_line("replace", route, device) for route in target.values() if again or route not in found]
    return removals, additions


def _route_line(verb: str, route: Route, device: str) -> str:
    metric = f" metric {route.metric}" if route.metric != (IPV6_METRIC if family(route.via) == 6 else 0) else ""
    # `default` says no family, but ip(8) takes it from the gateway.
    onlink = " onlink" if route.onlink else ""
    table = "" if route.table == MAIN_TABLE else f" table {route.table}"
    return f"route {verb} {route.to} via {route.via} dev {word(device)}{table}{metric}{onlink}"

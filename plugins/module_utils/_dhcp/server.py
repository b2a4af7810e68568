# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A DHCP and DNS server of a network namespace: dnsmasq's files, and the systemd service that runs it. Pure, but for what is given out.

This file is private to the collection. Sources: dnsmasq(8), RFC 2132, RFC 3442 (classless routes), RFC 4861 (router advertisements).
"""

from __future__ import annotations

import collections
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._netns.daemon import Found, Kind, Process, Service
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import FOLDER as NAMESPACES
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import check_name
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import UNIT_KIND as NETNS
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Command, Unit, service, unit_name

Item = t.Dict[str, t.Any]
Network = _ip.Network
Address = _ip.Host
Range = t.Tuple[Address, Address]
T = t.TypeVar("T")

CONFIGURATION = "/etc/overloom/dnsmasq"
# What it has given out, which it keeps over a restart.
STATE = "/var/lib/overloom/dnsmasq"
LEASE_TIMES = (120, 2**31 - 1)
_HEAD = "# Made by overloom.fabric; the next run of it replaces what is changed here.\n"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(_LABEL, re.ASCII)
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)


class Lease(t.NamedTuple):
    """A machine that is known by its MAC address."""

    mac: str
    addresses: tuple[Address, ...]
    name: str | None


class Server(t.NamedTuple):
    """A declared server; None and empty for what it does not announce."""

    name: str
    namespace: str
    interface: str
    subnets: tuple[Network, ...]
    ranges: tuple[Range, ...]
    leases: tuple[Lease, ...]
    router: Address | None
    dns: tuple[Address, ...]
    domain: str | None
    lease_time: int
    mtu: int | None
    routes: tuple[tuple[Network, Address], ...]

    def subnet(self, version: int) -> Network | None:
        """Its subnet of a family."""
        return next((net for net in self.subnets if net.version == version), None)


def _options() -> Item:
    """The options of one item, but for those that all kinds have."""
    lease = {
        "mac": {"type": "str", "required": True},
        "addresses": {"type": "list", "elements": "str", "required": True},
        "name": {"type": "str"},
    }
    route = {"to": {"type": "str", "required": True}, "via": {"type": "str", "required": True}}
    return {
        "interface": {"type": "str", "default": "eth0"},
        "subnets": {"type": "list", "elements": "str"},
        "ranges": {"type": "list", "elements": "str"},
        "leases": {"type": "list", "elements": "dict", "options": lease},
        "router": {"type": "str"},
        "dns": {"type": "list", "elements": "str"},
        "domain": {"type": "str"},
        "lease_time": {"type": "int", "default": 3600},
        "mtu": {"type": "int"},
        "routes": {"type": "list", "elements": "dict", "options": route},
    }


# What is declared -------------------------------------------------------------------------------------------------------


def _declared(name: str, item: Item, owner: str) -> Service:
    """The service of an item that is present."""
    return service_of(_server(name, item), owner)


def _server(name: str, item: Item) -> Server:
    what = f"DHCP server {name}"
    subnets = tuple(_ip.check_network(text, f"{what}: subnets") for text in item.get("subnets") or ())
    versions = [net.version for net in subnets]
    if not subnets or len(set(versions)) < len(versions):
        raise FabricError(f"{what}: subnets needs the subnet of the interface, one for each address family")

    def each(option: str, check: t.Callable[[t.Any, str], T]) -> tuple[T, ...]:
        return tuple(check(value, f"{what}: {option}") for value in item.get(option) or ())

    def given(option: str, check: t.Callable[[t.Any, str], T]) -> T | None:
        return None if item.get(option) is None else check(item[option], f"{what}: {option}")

    server = Server(
        name,
        namespace=check_name(item.get("namespace") or name, f"{what}: namespace"),
        interface=_ip.check_interface_name(item.get("interface") or "eth0", f"{what}: interface"),
        subnets=subnets,
        ranges=each("ranges", _range),
        leases=each("leases", _lease),
        router=given("router", _ip.check_host),
        dns=each("dns", _ip.check_host),
        domain=given("domain", _domain),
        lease_time=_ip.check_range(item.get("lease_time") or 3600, *LEASE_TIMES, f"{what}: lease_time", "seconds"),
        mtu=given("mtu", lambda value, where: _ip.check_mtu(value, map(str, subnets), where)),
        routes=each("routes", _route),
    )
    if server.interface == "lo":
        raise FabricError(f"{what}: interface lo is the loopback of every namespace; give another name")
    _check_inside(server, what)
    _check_apart(server, what)
    return server


def _route(one: Item, what: str) -> tuple[Network, Address]:
    return _ip.check_network(one["to"], what), _ip.check_host(one["via"], what)


def _range(text: str, what: str) -> Range:
    first, dash, last = text.partition("-")
    if not dash:
        raise FabricError(f"{what}: {text!r} is no range; write it as 10.1.1.100-10.1.1.199")
    found = (_ip.check_host(first.strip(), what), _ip.check_host(last.strip(), what))
    if _key(found[0]) > _key(found[1]) or found[0].version != found[1].version:
        raise FabricError(f"{what}: {text} ends before it begins; write the lower address first")
    return found


def _key(address: Address) -> tuple[int, int]:
    return address.version, int(address)


def _domain(text: str, what: str) -> str:
    if len(text) > 200 or not _DOMAIN.fullmatch(text):
        raise FabricError(f"{what}: {text!r} is no domain; write it as lab.example, of letters, digits and '-'")
    return text


def _lease(item: Item, what: str) -> Lease:
    name = item.get("name")
    if name is not None and not _HOST.fullmatch(name):
        raise FabricError(f"{what}: {name!r} is no name of a host; give 1 to 63 letters, digits and '-'")
    found = tuple(_ip.check_host(text, what) for text in item["addresses"])
    if len({address.version for address in found}) < len(found) or not found:
        raise FabricError(f"{what}: {item['mac']} needs one address of a family at the most, and one at least")
    return Lease(_ip.check_mac(item["mac"], what), found, name)


def _check_inside(server: Server, what: str) -> None:
    """What it gives out is in its subnets."""
    nets = " and ".join(map(str, server.subnets))
    leased = [("leases", address) for lease in server.leases for address in lease.addresses]
    ends = [("ranges", address) for one in server.ranges for address in one]
    ways = [("router", server.router)] if server.router else []
    for option, address in [*leased, *ends, *ways, *(("routes", via) for _to, via in server.routes)]:
        if not any(address in net for net in server.subnets):
            raise FabricError(f"{what}: {option} has {address}, which is outside of {nets}; give an address inside")
    for thing in [server.router, *(thing for route in server.routes for thing in route)]:
        if thing and thing.version != 4:
            raise FabricError(
                f"{what}: {thing} is IPv6, and DHCP carries routes of IPv4 alone; leave it to the router's own advertisements"
            )


def _check_apart(server: Server, what: str) -> None:
    """No address is given out twice."""
    ordered = sorted(server.ranges, key=lambda one: _key(one[0]))
    for one, following in zip(ordered, ordered[1:]):
        if _key(following[0]) <= _key(one[1]):
            raise FabricError(
                f"{what}: the ranges {one[0]}-{one[1]} and {following[0]}-{following[1]} overlap; give ranges that are apart"
            )
    things = [thing for lease in server.leases for thing in (lease.mac, *lease.addresses, lease.name) if thing]
    twice = [thing for thing, count in collections.Counter(things).items() if count > 1]
    if twice:
        raise FabricError(f"{what}: leases has {twice[0]} twice; give each machine its own")


# Files ------------------------------------------------------------------------------------------------------------------


def file(name: str, which: str) -> str:
    """A file that a server reads."""
    return f"{CONFIGURATION}/{name}/{which}"


def leases_file(name: str) -> str:
    """The file in which a server keeps what it has given out."""
    return f"{STATE}/{name}.leases"


def pid_file(name: str) -> str:
    """The file with a server's process."""
    return f"/run/overloom-dnsmasq-{name}.pid"


def configuration(server: Server) -> str:
    """What it reads at its start. Nothing of the host's: no /etc/dnsmasq.conf, hosts or resolv.conf, no other interface, no query passed on."""
    lines = [
        f"interface={server.interface}",
        "except-interface=lo",
        "bind-dynamic",
        "no-hosts",
        "no-resolv",
        f"addn-hosts={file(server.name, 'names')}",
        f"dhcp-hostsfile={file(server.name, 'leases')}",
        f"dhcp-optsfile={file(server.name, 'options')}",
        f"dhcp-leasefile={leases_file(server.name)}",
        f"pid-file={pid_file(server.name)}",
        # A client that the other server has served is answered at once: the two never give one address to two machines.
        "dhcp-authoritative",
    ]
    if server.domain:
        lines += [f"domain={server.domain}", f"local=/{server.domain}/"]
    for net in server.subnets:
        lines += _ranges(server, net)
    if server.subnet(6):
        mtu = f"mtu:{server.mtu}," if server.mtu else ""
        # At dnsmasq's own intervals, and with a lifetime as router of 0: it is none.
        lines += ["enable-ra", f"ra-param={server.interface},{mtu}0,0"]
    return _HEAD + "\n".join(lines) + "\n"


def _ranges(server: Server, net: Network) -> list[str]:
    """The ranges of a subnet. One for the known machines alone lets them in where there is no other."""
    size = str(net.netmask) if net.version == 4 else str(net.prefixlen)
    ends = [(str(first), str(last)) for first, last in server.ranges if first.version == net.version]
    return [
        f"dhcp-range={first},{last},{size},{server.lease_time}"
        for first, last in ends or [(str(net.network_address), "static")]
    ]


def leases(server: Server) -> str:
    """The known machines, as dnsmasq takes them."""
    lines = []
    for lease in server.leases:
        addresses = [str(one) if one.version == 4 else f"[{one}]" for one in lease.addresses]
        lines.append(",".join([lease.mac, *addresses, *filter(None, [lease.name])]))
    return _HEAD + "".join(f"{line}\n" for line in lines)


def names(server: Server) -> str:
    """The names of the known machines, as in hosts(5)."""
    lines = []
    for lease in server.leases:
        if lease.name:
            full = [f"{lease.name}.{server.domain}"] if server.domain else []
            lines += [" ".join([str(address), *full, lease.name]) for address in lease.addresses]
    return _HEAD + "".join(f"{line}\n" for line in lines)


def options(server: Server) -> str:
    """What clients are told. Without these lines dnsmasq would name itself as router and DNS server."""
    lines = []
    four = [str(address) for address in server.dns if address.version == 4]
    six = [f"[{address}]" for address in server.dns if address.version == 6]
    if server.subnet(4):
        router = [str(server.router)] if server.router else []
        lines += [",".join(["option:router", *router]), ",".join(["option:dns-server", *four])]
        lines += [f"option:mtu,{server.mtu}"] if server.mtu else []
        # A client that gets classless routes ignores the router (RFC 3442), so the default route is among them.
        routes = [(str(to), str(via)) for to, via in server.routes]
        routes += [("0.0.0.0/0", gateway) for gateway in router] if routes else []
        if routes:
            lines.append(",".join(["option:classless-static-route", *(word for route in routes for word in route)]))
    if server.subnet(6):
        lines.append(",".join(["option6:dns-server", *six]))
    return _HEAD + "".join(f"{line}\n" for line in lines)


# The service ------------------------------------------------------------------------------------------------------------


def service_of(server: Server, owner: str) -> Service:
    """The service of a server with its files."""
    return Service(
        server.name,
        _unit(server, owner),
        server.namespace,
        files={file(server.name, "dnsmasq.conf"): configuration(server)},
        reread={
            file(server.name, which): text(server)
            for which, text in (("leases", leases), ("names", names), ("options", options))
        },
    )


def left(name: str) -> list[str]:
    """The files of a server."""
    return [*(file(name, which) for which in ("dnsmasq.conf", "leases", "names", "options")), leases_file(name)]


def _unit(server: Server, owner: str) -> Unit:
    namespace = unit_name(NETNS, server.namespace)
    return service(
        KIND.unit,
        server.name,
        f"DHCP and DNS in network namespace {server.namespace}",
        {"Owner": owner},
        # A namespace that is made anew takes its server with it.
        unit={"Wants": namespace, "After": namespace, "PartOf": namespace, "StartLimitIntervalSec": "0"},
        settings={
            # It forks as soon as it is ready, and says before that why it cannot be.
            "Type": "forking",
            "PIDFile": pid_file(server.name),
            "NetworkNamespacePath": f"{NAMESPACES}/{server.namespace}",
            "Restart": "always",
            "RestartSec": "1",
        },
        commands=[
            ("ExecStartPre", Command(("mkdir", "-p", STATE))),
            ("ExecStart", Command(("dnsmasq", f"--conf-file={file(server.name, 'dnsmasq.conf')}"))),
        ],
        wanted_by=["multi-user.target"],
    )


# What it has given out --------------------------------------------------------------------------------------------------


def parse_leases(text: str) -> list[Item]:
    """What a server has given out, from its file: seconds since the epoch, MAC address (in IPv6 an id), address, name, client id."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 5 and words[0].isdigit():
            mac = words[1] if ":" in words[1] else None
            found.append(
                {
                    "expires": int(words[0]),
                    "mac": mac,
                    "address": words[2],
                    "name": None if words[3] == "*" else words[3],
                }
            )
    return found


def describe(found: Found, name: str, _process: Process | None) -> Item:
    """What a server has given out."""
    return {"leases": parse_leases(found.files.get(leases_file(name), ""))}


KIND = Kind(
    unit="dnsmasq",
    what="DHCP server",
    program="dnsmasq",
    package="dnsmasq-base",
    left=left,
    items="servers",
    options=_options(),
    declared=_declared,
    describe=describe,
    folders=lambda name: [f"{CONFIGURATION}/{name}", CONFIGURATION, STATE],
)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of a host: its kernel's interfaces, units and Open vSwitch, as far as the modules' steps go.

It takes more away than it is asked for where the kernel does: see `Link`.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import shlex
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import Sysctl
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import Found, Inside, space_of
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import Op, apply, empty_database
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Remove, Step, Write
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Unit


class Transaction(t.NamedTuple):
    """Stands for the step that does these ops."""

    ops: tuple[Op, ...]


@dataclasses.dataclass(eq=False)
class Link:
    """One interface."""

    name: str
    index: int
    kind: str = ""
    mtu: int = 1500
    mac: str = "02:aa:aa:aa:aa:aa"
    alias: str = ""
    up: bool = False
    offload: bool = True
    addresses: list[str] = dataclasses.field(default_factory=list)
    routes: list[_ip.Route] = dataclasses.field(default_factory=list)
    peer: Link | None = None
    addrgen: str = "eui64"
    link_local: list[str] = dataclasses.field(default_factory=list)

    def set(self, key: str, value: str = "") -> None:
        """`ip link set`: up makes the link-local address, down drops IPv6 addresses, and all routes."""
        if key == "up":
            self.up = True
            self.link_local = ["fe80::a8aa:aaff:feaa:aaaa/64"] if self.addrgen == "eui64" else []
        elif key == "down":
            self.up = False
            self.link_local = []
            self.addresses = [a for a in self.addresses if _ip.family(a) == 4]
            self.routes = []
        elif key == "mtu":
            self.mtu = int(value)
        elif key == "addrgenmode":
            self.addrgen = value
        else:
            assert key in ("alias", "address")
            setattr(self, "mac" if key == "address" else key, value)

    def delete_address(self, address: str) -> None:
        """`ip address delete`: an IPv4 primary takes its secondaries along, the last IPv4 address all IPv4 routes."""
        if address in self.link_local:
            self.link_local.remove(address)
            return
        assert address in self.addresses, f"{address} is not there"
        network = ipaddress.ip_interface(address).network
        same = [a for a in self.addresses if _ip.family(a) == 4 and ipaddress.ip_interface(a).network == network]
        gone = same if same and same[0] == address else [address]
        self.addresses = [a for a in self.addresses if a not in gone]
        if not any(_ip.family(a) == 4 for a in self.addresses):
            self.routes = [r for r in self.routes if _ip.family(r.via) == 6]

    def replace_address(self, address: str) -> None:
        """`ip address replace`. One that looks as if the kernel had made it counts as such."""
        if address.startswith("fe80::") and "ff:fe" in address:
            self.link_local = list(dict.fromkeys([*self.link_local, address]))
        elif address not in self.addresses:
            self.addresses.append(address)

    def replace_route(self, route: _ip.Route) -> None:
        """`ip route replace`: the gateway has to be a neighbor."""
        assert self.up, "Network is down"
        networks = [ipaddress.ip_interface(a).network for a in self.addresses]
        gateway = ipaddress.ip_address(route.via)
        assert route.onlink or gateway.is_link_local or any(gateway in n for n in networks), (
            "Nexthop has invalid gateway"
        )
        self.routes = [r for r in self.routes if r.key() != route.key()] + [route]


class World:
    """One host."""

    def __init__(self) -> None:
        self.count = 1
        self.spaces: dict[str | None, dict[str, Link]] = {None: {}}
        self.ids: dict[str, int] = {}
        self.sysctls: dict[str, dict[str, str]] = {}
        self.units: dict[str, Unit] = {}
        self.database = empty_database()
        self.add(None, "lo")

    def add(self, space: str | None, name: str, kind: str = "") -> Link:
        """A new interface."""
        assert name not in self.spaces[space], f"{name} exists"
        self.count += 1
        self.spaces[space][name] = Link(name, self.count, kind)
        return self.spaces[space][name]

    def add_space(self, name: str) -> None:
        """A new namespace."""
        assert name not in self.spaces, f"{name} exists"
        self.spaces[name] = {}
        self.ids[name] = self.count = self.count + 1
        self.sysctls[name] = {}
        self.add(name, "lo")

    def add_veth(self, outer: str, inner: str, name: str | None) -> None:
        """A new veth pair."""
        near, far = self.add(None, outer, "veth"), self.add(name, inner, "veth")
        near.peer, far.peer = far, near

    def delete(self, space: str | None, name: str) -> None:
        """Delete an interface, and its other end."""
        link = self.spaces[space].pop(name)
        for links in self.spaces.values():
            for key in [key for key, other in links.items() if other is link.peer]:
                del links[key]

    def delete_space(self, name: str) -> None:
        """Delete a namespace with its interfaces."""
        for link in list(self.spaces[name]):
            if link in self.spaces[name]:
                self.delete(name, link)
        del self.spaces[name], self.ids[name], self.sysctls[name]

    # Steps

    def do(self, step: t.Any, lines: int | None = None) -> None:
        """Take one step; lines: of a batch, only so many (an interruption)."""
        if isinstance(step, Transaction):
            self.database = apply(self.database, step.ops)
        elif isinstance(step, Write):
            name = step.path.rsplit("/", 1)[1]
            present = self.units.get(name)
            self.units[name] = Unit(name, step.content, present.wanted_by if present else ())
        elif isinstance(step, Remove):
            self.units.pop(step.path.rsplit("/", 1)[1], None)
        elif step.argv[0] == "systemctl":
            self._systemctl(step.argv[1:])
        elif step.stdin is not None:
            space = step.argv[2] if step.argv[1] == "-n" else None
            for line in step.stdin.splitlines()[:lines]:
                self._line(space, shlex.split(line))
        else:
            self._inside(step)

    def _inside(self, step: Step) -> None:
        assert step.argv[:3] == ("ip", "netns", "exec")
        name, command = step.argv[3], step.argv[4:]
        if command[0] == "ethtool":
            self.spaces[name][command[2]].offload = command[4] == "on"
        else:
            assert command[:3] == ("sysctl", "-q", "-w")
            self.sysctls[name].update(pair.split("=", 1) for pair in command[3:])

    def _systemctl(self, words: t.Sequence[str]) -> None:
        for name in words[1:]:
            if name == "--now":
                continue
            unit = self.units[name]
            match = re.search(r"^WantedBy=(.*)$", unit.content, re.MULTILINE)
            wanted_by = tuple(match.group(1).split()) if match and words[0] == "reenable" else ()
            self.units[name] = unit._replace(wanted_by=wanted_by)

    def _line(self, space: str | None, words: list[str]) -> None:
        links = self.spaces[space]
        if words[:2] == ["netns", "add"]:
            self.add_space(words[2])
        elif words[:2] == ["netns", "delete"]:
            self.delete_space(words[2])
        elif words[:2] == ["link", "add"]:
            assert words[2] == "dev" and words[4:8] == ["type", "veth", "peer", "name"] and words[9] == "netns"
            self.add_veth(words[3], words[8], words[10])
        elif words[:3] == ["link", "delete", "dev"]:
            self.delete(space, words[3])
        elif words[:3] == ["link", "set", "dev"]:
            links[words[3]].set(*words[4:])
        elif words[0] == "address":
            getattr(links[words[4]], f"{words[1]}_address")(words[2])
        else:
            assert words[0] == "route"
            self._route(links, words[1:])

    def _route(self, links: dict[str, Link], words: list[str]) -> None:
        verb, to, _via, gateway, _dev, device, *more = words
        metric = int(more[more.index("metric") + 1]) if "metric" in more else (0 if _ip.family(gateway) == 4 else 1024)
        route = _ip.Route(to, gateway, metric, "onlink" in more)
        if verb == "replace":
            links[device].replace_route(route)
        else:
            links[device].routes.remove(route)

    # Reading

    def _interface(self, space: str | None, link: Link) -> _ip.Interface:
        where = next((name for name, links in self.spaces.items() if link.peer in links.values()), None)
        number = None
        if link.peer is not None and where != space:
            number = self.ids[where] if where is not None else 0
        return _ip.Interface(
            link.name,
            link.index,
            link.mtu,
            link.mac,
            link.up,
            link.alias,
            link.kind,
            tuple(link.addresses),
            link_local=tuple(link.link_local),
            link_index=link.peer.index if link.peer else None,
            link_netnsid=number,
            addrgen=link.addrgen,
        )

    def read(self, interests: t.Mapping[str, t.Mapping[str, str]]) -> Found:
        """What the modules find."""
        inside = {}
        for name, sysctls in interests.items():
            if name in self.ids:
                links = self.spaces[name]
                inside[name] = Inside(
                    {link.name: self._interface(name, link) for link in links.values()},
                    {link.name: tuple(link.routes) for link in links.values() if link.routes},
                    {path: self.sysctls[name].get(path, "0") for path in sysctls},
                    {link.name: link.offload for link in links.values()},
                )
        tried = {}
        for name, sysctls in interests.items():
            tried[name] = {path: Sysctl("0", value) for path, value in sysctls.items()}
        return Found(
            host={link.name: self._interface(None, link) for link in self.spaces[None].values()},
            ids=dict(self.ids),
            stale=frozenset(),
            inside=inside,
            units=dict(self.units),
            spaces=dict(filter(None, map(space_of, self.units.values()))),
            database=self.database,
            tried=tried,
            processes={},
        )

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers: what each end of a link has, loopbacks, router ids, who is in which area; and what must not be.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import dataclasses
import fnmatch
import hashlib
import ipaddress
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address, Intent, Network, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.routers import (
    BACKBONE,
    SHARED,
    Bgp,
    Link,
    Own,
    Routing,
    Session,
    Static,
    load_routing,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses

# A KVM host's port on the underlay bridge that stands for a link: the bridge may have several NICs, each in a broadcast domain of its own.
PORT_PREFIX = "ul-"
# VLANs inside the underlay bridge that keep the links apart; no frame on a cable has them.
FIRST_INNER_VLAN = 4094


@dataclasses.dataclass
class End:
    """One end of a link. port: the interface that has the address; inner_vlan: see FIRST_INNER_VLAN, None on a router."""

    link: Link
    host: str
    interface: str
    port: str
    inner_vlan: int | None
    address: Address | None
    address6: Address | None
    cost: int
    network_type: str
    hello_interval: int
    dead_interval: int
    hello_multiplier: int | None
    mtu: int
    bfd: bool
    priority: int | None = None
    passive: bool = False
    mtu_ignore: bool = False

    @property
    def name(self) -> str:
        """As the user writes it."""
        return f"{self.host}:{self.interface}"

    @property
    def vlan(self) -> tuple[str, int] | None:
        """The NIC and the number, if the end is a VLAN on a router's NIC, such as eth1.10."""
        nic, _dot, number = self.interface.rpartition(".")
        on_router = self.inner_vlan is None
        return (
            (nic, int(number))
            if on_router and nic and re.fullmatch("[1-9][0-9]{0,3}", number) and int(number) <= 4094
            else None
        )


@dataclasses.dataclass
class Router:
    """A router of the fabric; loopback is a KVM host's tunnel endpoint, and loopback_port the interface that has it."""

    name: str
    kvm: bool
    managed: bool
    number: int
    router_id: str
    loopback: Address | None
    loopback6: Address | None
    loopback_port: str
    ends: list[End]
    bgp: Bgp | None
    static: list[Static]
    redistribute: list[dict[str, t.Any]]
    sources: dict[str, str]

    @property
    def speaker(self) -> Bgp:
        """Its BGP. LookupError for a router without."""
        if self.bgp is None:
            raise LookupError(f"{self.name} speaks no BGP")
        return self.bgp

    @property
    def areas(self) -> list[str]:
        """The areas that it is in, the backbone first."""
        return sorted(
            {end.link.area for end in self.ends if end.link.ospf},
            key=lambda area: (area != BACKBONE, int(ipaddress.IPv4Address(area))),
        )


@dataclasses.dataclass
class Peering:
    """One session of BGP as one of its ends sees it.

    session: what this end says of it. local, remote: the addresses. source: the interface or address to come from, where it is not the
    link's. group: the name of the range where this end only listens.
    """

    router: str
    peer: str
    session: Session
    local: Address
    remote: Address
    loopback: bool
    group: str | None


def _same(pairs: t.Iterable[tuple[Network | None, Network | None]]) -> bool:
    """Whether two things have the same network of each family, which one of them may have none of."""
    both = [(one, other) for one, other in pairs if one and other]
    return bool(both) and all(one == other for one, other in both)


class Routers:
    """All routers of a fabric, by name; empty where there are none, and with `ok` false where something is wrong.

    routed: whether the underlay is, that is, KVM hosts are ends of links.
    """

    def __init__(
        self, intent: Intent, ids: dict[str, addresses.Value], teps: dict[str, addresses.Value], problems: list[str]
    ) -> None:
        self.intent, self.problems = intent, problems
        self.routers: dict[str, Router] = {}
        self.peerings: list[Peering] = []
        # Prefixes that each session brings, by its two routers; set by the exchange.
        self.counts: dict[tuple[str, str], dict[str, int]] = {}
        self.routed = False
        before = len(problems)
        everyone = {**intent.hosts, **intent.routers}
        routing = load_routing(intent.common, {name: host.routing for name, host in everyone.items()}, problems)
        self.ok = routing is not None
        if routing is None:
            return
        self.routing: Routing = routing
        self.links = {link.name: link for link in routing.links}
        self._check_hosts(everyone)
        self.routed = any(host in intent.hosts for link in routing.links for host, _interface in link.ends)
        if not (routing.links or intent.routers) or len(problems) > before:
            self.ok = len(problems) == before
            return
        numbers = {name: value for name, value in ids.items() if value.value is not INVALID}
        numbers.update(self._numbers())
        self._allocate(numbers)
        if len(problems) > before:
            self.ok = False
            return
        self._make(numbers, teps)
        self._check()
        self.ok = len(problems) == before
        if self.ok:
            self._pair_sessions()
            self.ok = len(problems) == before

    def _make(self, numbers: dict[str, addresses.Value], teps: dict[str, addresses.Value]) -> None:
        """Make the routers, KVM hosts that are ends of links first, each kind in the order of their numbers."""
        every_end = [end for link in self.routing.links for end in self._ends(link)]
        for name in sorted(numbers, key=lambda name: (name in self.intent.routers, numbers[name].value, name)):
            ends = [end for end in every_end if end.host == name]
            if name in self.intent.routers or ends:
                self.routers[name] = self._router(name, numbers[name].value, self.routing.own[name], ends, teps)

    # What the ends have

    def _numbers(self) -> dict[str, addresses.Value]:
        """The numbers of the routers, which their loopbacks end in."""
        room = min(max(self.routing.loopbacks.num_addresses - 1, 2), 65536)
        result: dict[str, addresses.Value] = {}
        owner: dict[int, str] = {}
        for name, host in self.intent.routers.items():
            if host.id is INVALID:
                continue
            value = addresses.host_number(host, room)
            if value.value >= room:
                self.problems.append(
                    f"{name}: fabric_host_id must be 1 to {room - 1}, not {value.value}; enlarge fabric_routing.loopbacks."
                )
            elif value.value in owner:
                self.problems.append(
                    f"{owner[value.value]} and {name} both have the host id {value.value}; give one of them another fabric_host_id."
                )
            else:
                owner[value.value] = name
                result[name] = value
        return result

    def _allocate(self, numbers: dict[str, addresses.Value]) -> None:
        """Give a /31 and a /127 to links that have two ends and no subnet.

        The place in the pool follows from the numbers of the two hosts alone, so a new link elsewhere moves nothing: it is the
        place of the pair in a list of all pairs. Routers and KVM hosts count apart, as both may have a number 1.
        """
        taken: dict[int, Link] = {}
        self.allocated: set[str] = set()
        for link in self.routing.links:
            wants = [
                (option, pool)
                for option, pool in (("subnet", self.routing.links_pool), ("subnet6", self.routing.links6_pool))
                if getattr(link, option) is None and pool is not None
            ]
            if link.subnet is None and len(link.ends) != 2:
                self.problems.append(
                    f"{link.where}.subnet is missing; only links of two ends get theirs by themselves."
                )
                continue
            if len(link.ends) != 2 or not wants or any(host not in numbers for host, _interface in link.ends):
                continue
            low, high = sorted(
                2 * numbers[host].value + (host in self.intent.routers) for host, _interface in link.ends
            )
            place = high * (high - 1) // 2 + low
            if place in taken:
                self.problems.append(
                    f"{taken[place].where} and {link.where} join the same two hosts; give one of them a subnet."
                )
                continue
            taken[place] = link
            for option, pool in wants:
                if 2 * place + 1 >= pool.num_addresses:
                    self.problems.append(
                        f"{link.where}.{option} cannot be allocated: fabric_routing.links{option[6:]} {pool} is too small for these host ids;"
                        " enlarge it, or give the subnet."
                    )
                    continue
                setattr(link, option, ipaddress.ip_network((pool.network_address + 2 * place, pool.max_prefixlen - 1)))
                self.allocated.add(f"{link.name}.{option}")

    def _ends(self, link: Link) -> list[End]:
        """The ends of a link with all that they have."""
        made = []
        for index, (host, interface) in enumerate(link.ends):
            kvm = host in self.intent.hosts
            values: dict[str, t.Any] = dict(self.routing.defaults)
            values["network_type"] = "point-to-point" if len(link.ends) == 2 else "broadcast"
            values["hello_multiplier"] = None
            self._merge(values, link.settings)
            for item in self.routing.own[host].interfaces:
                if fnmatch.fnmatchcase(interface, item["name"]):
                    self._merge(values, {key: value for key, value in item.items() if key != "name"})
            if values["hello_multiplier"]:
                values["hello_interval"], values["dead_interval"] = 1, 1
            elif values["dead_interval"] is None:
                values["dead_interval"] = min(65535, 4 * values["hello_interval"])
            if len(link.ends) == 1:
                values["passive"] = True
            inner = (
                [one for other in self.routing.links for one in other.ends if one[0] == host].index((host, interface))
                if kvm
                else 0
            )
            port = (PORT_PREFIX + interface)[:15] if kvm else interface
            vlan = FIRST_INNER_VLAN - inner if kvm else None
            made.append(
                End(link, host, interface, port, vlan, _nth(link.subnet, index), _nth(link.subnet6, index), **values)
            )
        return made

    @staticmethod
    def _merge(values: dict[str, t.Any], given: dict[str, t.Any]) -> None:
        """Take what is given; either kind of timers replaces the other."""
        given = {key: value for key, value in given.items() if value is not None}
        if "hello_multiplier" not in given and ("hello_interval" in given or "dead_interval" in given):
            given["hello_multiplier"] = None
        if "hello_interval" in given and "dead_interval" not in given:
            given["dead_interval"] = None
        values.update(given)

    def _router(self, name: str, number: int, own: Own, ends: list[End], teps: dict[str, addresses.Value]) -> Router:
        kvm = name in self.intent.hosts
        sources = {}
        if kvm:
            loopback, sources["loopback"] = teps[name].value or None, teps[name].source
            loopback6 = None
            if loopback is not None and loopback.version == 6:
                loopback, loopback6 = None, loopback
            for option in ("loopback", "loopback6"):
                if getattr(own, option) is not None:
                    self.problems.append(
                        f"{name}: fabric_router.{option} is for hosts of the group routers; a KVM host has fabric_tep_address."
                    )
        else:
            loopback, sources["loopback"] = own.loopback, f"given: {name}: fabric_router.loopback"
            if loopback is None:
                loopback = self.routing.loopbacks.network_address + number
                sources["loopback"] = f"allocated: host id {number} in fabric_routing.loopbacks"
            loopback6 = own.loopback6
            if loopback6 is None and self.routing.loopbacks6 is not None:
                loopback6 = self.routing.loopbacks6.network_address + number
        router_id, sources["router_id"] = own.router_id, f"given: {name}: fabric_router.router_id"
        if router_id is None and loopback is not None:
            router_id, sources["router_id"] = str(loopback), "derived: the loopback"
        if router_id is None:
            self.problems.append(
                f"{name}: fabric_router.router_id is missing; the tunnel endpoint is IPv6, which is no router id."
            )
        port = self.intent.underlay.tep if kvm else "lo"
        return Router(
            name,
            kvm,
            own.managed,
            number,
            router_id or "",
            loopback,
            loopback6,
            port,
            ends,
            own.bgp,
            own.static,
            own.redistribute,
            sources,
        )

    # What must not be

    def _check_hosts(self, everyone: dict[str, t.Any]) -> None:
        """Ends are interfaces of the fabric's hosts, each plugged in once; patterns meet something."""
        plugged = self._plugged(everyone)
        self._check_patterns(plugged)
        self._check_groups()
        routed = {host for host, _interface in plugged}
        if not routed & set(self.intent.hosts):
            return
        for name in self.intent.hosts:
            if name not in routed:
                self.problems.append(
                    f"{name} is the end of no link, but the underlay is routed; add a link to fabric_links."
                )
        if self.intent.underlay.vlan:
            self.problems.append("fabric_underlay.vlan is for an underlay that is not routed; leave it out.")

    def _plugged(self, everyone: dict[str, t.Any]) -> dict[tuple[str, str], Link]:
        """The link that each interface, (host, name), is plugged into."""
        plugged: dict[tuple[str, str], Link] = {}
        for link in self.routing.links:
            for host, interface in link.ends:
                if host not in everyone:
                    self.problems.append(
                        f"{link.where}.ends names {word(host)}, which is no host of the fabric{suggest(host, everyone)}"
                    )
                    continue
                other = plugged.setdefault((host, interface), link)
                if other is not link or link.ends.count((host, interface)) > 1:
                    self.problems.append(
                        f"{other.where} and {link.where} are both plugged into {host}:{interface}; take another interface."
                    )
                if host in self.intent.hosts and len(PORT_PREFIX + interface) > 15:
                    self.problems.append(
                        f"{link.where}.ends {host}:{interface}: a KVM host's interface has at most {15 - len(PORT_PREFIX)} characters here."
                    )
        return plugged

    def _check_patterns(self, plugged: t.Iterable[tuple[str, str]]) -> None:
        """What a router says of its interfaces is about an interface of a link."""
        for name, own in self.routing.own.items():
            mine = [interface for host, interface in plugged if host == name]
            for item in own.interfaces:
                if not fnmatch.filter(mine, item["name"]):
                    known = f"; known here: {', '.join(sorted(mine))}." if mine else "; the host is no end of a link."
                    self.problems.append(
                        f"{name}: fabric_router.interfaces[{item['name']}] meets no interface of a link{known}"
                    )

    def _check_groups(self) -> None:
        """A host that is a router only has nothing of a KVM host."""
        for name, router in self.intent.routers.items():
            for what, value in (
                ("endpoints", router.endpoints),
                ("tep_address", router.tep_address),
                ("underlay_interface", router.interface),
                ("underlay_bond", router.bond),
            ):
                if value:
                    self.problems.append(
                        f"{name}: fabric_{what} is for KVM hosts, and the host is in the group routers only; leave it out."
                    )

    def _check(self) -> None:
        problems = self.problems
        _unique(
            [(router.router_id, router.name) for router in self.routers.values()],
            "router id",
            "fabric_router.router_id",
            problems,
        )
        loopbacks = [(str(a), r.name) for r in self.routers.values() for a in (r.loopback, r.loopback6) if a]
        _unique(loopbacks, "loopback", "fabric_router.loopback", problems)
        transit = self._transit()
        for link in self.links.values():
            self._check_link(
                link, [end for router in self.routers.values() for end in router.ends if end.link is link], transit
            )
        self._check_areas()
        self._check_networks()
        for router in self.routers.values():
            self._check_static(router)
            for end in router.ends:
                nic = next((one for one in router.ends if end.vlan and one.interface == end.vlan[0]), None)
                if nic and nic.mtu < end.mtu:
                    problems.append(
                        f"{end.link.where}: {end.name} has the MTU {end.mtu}, more than its NIC {nic.name} with {nic.mtu}; raise that one."
                    )

    def _transit(self) -> set[str]:
        """The links that tunnels may go over: what is left when routers that lead nowhere else are taken away, one after the other."""
        links = {link.name: {host for host, _interface in link.ends} for link in self.links.values() if link.ospf}
        while True:
            at_links = collections.Counter(host for hosts in links.values() for host in hosts)
            lonely = {host for host, count in at_links.items() if count == 1 and host not in self.intent.hosts}
            left = {name: hosts - lonely for name, hosts in links.items() if len(hosts - lonely) > 1}
            if left == links:
                return set(links)
            links = left

    def _check_link(self, link: Link, ends: list[End], transit: set[str]) -> None:
        """The ends of a link agree; else no adjacency would form, or one that fails under load."""
        for option, subnet in (("subnet", link.subnet), ("subnet6", link.subnet6)):
            if subnet is not None and _nth(subnet, len(link.ends) - 1) is None:
                self.problems.append(
                    f"{link.where}.{option} {subnet} has no room for {len(link.ends)} ends; enlarge it."
                )
        for end in ends:
            self._check_end(link, end, link.name in transit)
        if link.ospf:
            self._check_adjacency(link, ends)

    def _check_end(self, link: Link, end: End, transit: bool) -> None:
        """The timers of an end, and its MTU. transit: tunnels may go over the link."""
        if end.hello_multiplier is None and end.hello_interval >= end.dead_interval:
            self.problems.append(
                f"{link.where}: {end.name} has the hello interval {end.hello_interval}, which must be less than its dead interval {end.dead_interval}."
            )
        if link.subnet6 and end.mtu < 1280:
            self.problems.append(
                f"{link.where}: {end.name} has the MTU {end.mtu}, but IPv6 needs 1280 (RFC 8200); raise it."
            )
        if transit and self.intent.underlay.mtu and end.mtu < self.intent.underlay.mtu:
            self.problems.append(
                f"{link.where}: {end.name} has the MTU {end.mtu}, less than fabric_underlay.mtu {self.intent.underlay.mtu},"
                " which has to pass on the whole way; lower that one."
            )

    def _check_adjacency(self, link: Link, ends: list[End]) -> None:
        """The ends of a link agree in what OSPF compares, and one can be the designated router."""
        for first, end in zip(ends[:1] * len(ends), ends[1:]):
            for option in SHARED:
                one, other = getattr(first, option), getattr(end, option)
                if one != other and not (option == "mtu" and first.mtu_ignore and end.mtu_ignore):
                    what = option.replace("_", " ") if option not in ("mtu", "bfd") else option.upper()
                    self.problems.append(
                        f"{link.where}: {first.name} has the {what} {one} and {end.name} {other}; neighbors must agree, make them equal."
                    )
        if ends and ends[0].network_type == "point-to-point" and len(ends) > 2:
            self.problems.append(
                f"{link.where} has {len(ends)} ends, but the network type point-to-point; take broadcast."
            )
        if len(ends) > 1 and ends[0].network_type == "broadcast" and all(end.priority == 0 for end in ends):
            self.problems.append(
                f"{link.where}: all ends have the priority 0, so none can be the designated router; raise one."
            )

    def _check_areas(self) -> None:
        """Each area hangs together, and border routers hang on the backbone."""
        used = {end.link.area for router in self.routers.values() for end in router.ends if end.link.ospf}
        for declared in self.routing.areas:
            if declared.area not in used:
                self.problems.append(
                    f"{declared.where} is the area of no link; leave it out, or set the area of a link."
                )
        if len(used) < 2:
            return
        for area in sorted(used - {BACKBONE}):
            members = [router for router in self.routers.values() if area in router.areas]
            if not any(BACKBONE in router.areas for router in members):
                self.problems.append(
                    f"area {area} ({', '.join(router.name for router in members)}) has no router in the backbone, area 0;"
                    " give one of them a link there."
                )

    def _check_static(self, router: Router) -> None:
        """Next hops are neighbors, and what is told by OSPF can be told."""
        here = [
            (address, net)
            for end in router.ends
            for address, net in ((end.address, end.link.subnet), (end.address6, end.link.subnet6))
            if net
        ]
        for route in router.static:
            if route.via and not any(
                route.via in net and route.via != address for address, net in here if net.version == route.via.version
            ):
                known = ", ".join(str(net) for _address, net in here)
                self.problems.append(
                    f"{route.where}.via {route.via} is no neighbor on a link of {router.name}; its subnets are {known or 'none'}."
                )
        kinds = {area.area: area.type for area in self.routing.areas}
        for item in router.redistribute:
            where = f"{router.name}: fabric_router.redistribute[{item['protocol']}]"
            if not router.areas:
                self.problems.append(f"{where}: {router.name} has no link with OSPF; leave it out.")
            elif all(kinds.get(area) in ("stub", "totally_stubby") for area in router.areas):
                self.problems.append(
                    f"{where}: {router.name} is in the stub area {router.areas[0]} only, which takes no routes from outside; make it an NSSA."
                )

    def _check_networks(self) -> None:
        """No two networks share an address."""
        networks = self._networks()
        addresses.overlaps(networks, self.problems)
        provided = {(segment.name, link.name) for segment in self.intent.segments for link in self.beside(segment)}
        owners = {
            f"{link.where}.{option}": name for name, link in self.links.items() for option in ("subnet", "subnet6")
        }
        # Segments of different tenants may overlap; what they have in common is told elsewhere.
        for segment in self.intent.segments:
            apart = [
                (net, where)
                for net, where in networks
                if where != "fabric_underlay.subnet" and (segment.name, owners.get(where)) not in provided
            ]
            for option, subnet in (("subnet", segment.subnet), ("subnet6", segment.subnet6)):
                for net, where in apart:
                    if subnet and net.version == subnet.version and net.overlaps(subnet):
                        self.problems.append(
                            f"{segment.where}.{option} {subnet} overlaps {where} {net}; give each its own range."
                        )

    def _networks(self) -> list[tuple[Network, str]]:
        """The networks of links, pools and the underlay, each with the variable that gives it."""
        networks: list[tuple[Network, str]] = []
        for link in self.links.values():
            networks += [
                (net, f"{link.where}.{option}")
                for option, net in (("subnet", link.subnet), ("subnet6", link.subnet6))
                if net and f"{link.name}.{option}" not in self.allocated
            ]
        for option in ("links_pool", "links6_pool", "loopbacks", "loopbacks6"):
            net = getattr(self.routing, option)
            if net:
                networks.append((net, "fabric_routing." + option.replace("_pool", "")))
        if self.intent.underlay.subnet and self.intent.hosts:
            networks.append((self.intent.underlay.subnet, "fabric_underlay.subnet"))
        return networks

    def beside(self, segment: Segment) -> list[Link]:
        """The links of routers that are the network of a segment, too: a VLAN of the underlay, of which both have the same subnets."""
        overlays = {overlay.name: overlay for overlay in self.intent.overlays}
        named = segment.overlay or (next(iter(overlays)) if len(overlays) == 1 else None)
        if named not in overlays or not overlays[named].bare:
            return []
        pairs = [
            (link, ((link.subnet, segment.subnet), (link.subnet6, segment.subnet6))) for link in self.routing.links
        ]
        return [link for link, nets in pairs if _same(nets)]

    def neighbors(self, segment: Segment, address: Address | None) -> list[str]:
        """The ends of routers that have an address of a segment beside which they are."""
        names = [link.name for link in self.beside(segment)] if self.routers else []
        ends = [end for router in self.routers.values() for end in router.ends if end.link.name in names]
        return [end.name for end in ends if address and address in (end.address, end.address6)]

    # Sessions

    def _pair_sessions(self) -> None:
        """Find the two ends of each session, and their addresses."""
        speakers = {name: router for name, router in self.routers.items() if router.bgp}
        told = set()
        for name, router in speakers.items():
            for session in router.speaker.neighbors:
                other = speakers.get(session.name)
                if session.name == name or other is None:
                    what = (
                        "itself"
                        if session.name == name
                        else "no router with fabric_bgp" + suggest(session.name, speakers)
                    )
                    self.problems.append(f"{session.where} is {what}".rstrip(".") + ".")
                    continue
                found = self._addresses(router, other, session)
                if found is None:
                    continue
                local, remote, loopback = found
                back = next((one for one in other.speaker.neighbors if one.name == name), None)
                listening = next((one for one in other.speaker.listen if one.takes(local, router.speaker.asn)), None)
                if back is None and listening is None:
                    self.problems.append(
                        f"{session.where}: {other.name} neither has {name} among its fabric_bgp.neighbors nor listens for {local} of AS {router.speaker.asn};"
                        " say so on both ends."
                    )
                    continue
                self.peerings.append(Peering(name, other.name, session, local, remote, loopback, None))
                if back is None and listening is not None:
                    self.peerings.append(Peering(other.name, name, listening, remote, local, loopback, listening.name))
                elif (
                    back is not None
                    and bool(back.password) != bool(session.password)
                    and frozenset((name, other.name)) not in told
                ):
                    told.add(frozenset((name, other.name)))
                    self.problems.append(f"{session.where} and {back.where} must both have the password, or neither.")

    def _addresses(self, router: Router, other: Router, session: Session) -> tuple[Address, Address, bool] | None:
        """The addresses of a session: of a link that both are on, else the loopbacks."""
        shared = [(mine, yours) for mine in router.ends for yours in other.ends if mine.link is yours.link]
        for mine, yours in shared:
            if mine.address is not None and yours.address is not None:
                return mine.address, yours.address, False
        if router.loopback is None or other.loopback is None:
            self.problems.append(
                f"{session.where}: {router.name} and {other.name} share no link, and have no IPv4 loopbacks; add a link."
            )
            return None
        return router.loopback, other.loopback, True


def _nth(subnet: Network | None, index: int) -> Address | None:
    """The index-th address of a subnet that an interface may have; None where there is none."""
    if subnet is None:
        return None
    first = 0 if subnet.max_prefixlen - subnet.prefixlen < 2 else 1
    last = subnet.num_addresses - (1 if subnet.version == 4 and first else 0)
    return subnet.network_address + first + index if first + index < last else None


def _unique(pairs: list[tuple[str, str]], what: str, option: str, problems: list[str]) -> None:
    seen: dict[str, str] = {}
    for value, name in pairs:
        if value and value in seen:
            problems.append(
                f"{seen[value]} and {name} both have the {what} {value}; give one of them another {option}."
            )
        seen[value] = name


def underlay_mac(fabric: str, host: str) -> str:
    """The MAC address of all of a KVM host's ports on a routed underlay.

    Open vSwitch in user space takes a tunnel's packet by its destination address and the MAC address of the port which has that
    address. The packet arrives on a link's port, so that one has the same MAC address.
    """
    digest = hashlib.sha256(f"{fabric}/{host}/underlay".encode()).digest()
    return "02:" + digest[:5].hex(":")

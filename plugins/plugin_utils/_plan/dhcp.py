# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP: the servers and clients of each segment as the modules netns_dnsmasq and netns_udhcpc take them, and what is refused.

A server is an endpoint of its segment like any other, so its address, port and flows are planned where those of all endpoints are. All servers
of a segment know the same leases by MAC address, one for each endpoint; the ranges for unknown machines are shared out, so no two give out one address.

This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.edges import Edge
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    DHCP,
    IN_NAMESPACE,
    Address,
    Dhcp,
    Endpoint,
    Intent,
    Network,
    Segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses, wires
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guests import Guests
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]
Range = t.Tuple[Address, Address]

# Servers of a segment whose hosts are not named.
SERVERS = 2
# Blocks of addresses among which room for ranges is looked for; each has an address for every host.
BLOCKS = 16
INTERFACE = "eth0"


# Servers are endpoints --------------------------------------------------------------------------------------------------


def server_name(segment: Segment) -> str:
    """The endpoint, namespace and service of a segment's servers."""
    return f"{DHCP}-{segment.name}"


def add_servers(intent: Intent, problems: list[str]) -> None:
    """Give each host of a segment's servers the endpoint, unless the intent lists one of that name. OVN needs none."""
    for segment in intent.segments:
        if segment.dhcp and segment.name and not intent.on_ovn(segment):
            for name in _hosts_of_servers(intent, segment, segment.dhcp, problems):
                _add_server(intent, name, segment, segment.dhcp, problems)


def _hosts_of_servers(intent: Intent, segment: Segment, dhcp: Dhcp, problems: list[str]) -> list[str]:
    """The hosts that have a server, as given or those that have an endpoint of the segment."""
    if dhcp.hosts is INVALID:
        return []
    if dhcp.hosts is not None:
        return _given_hosts(intent, dhcp.where, dhcp.hosts, problems)
    found = []
    for name, host in intent.hosts.items():
        if any(_is_on(endpoint, segment) for endpoint in host.endpoints):
            found.append(name)
    if not found:
        problems.append(
            f"{dhcp.where}.hosts is missing; no host has an endpoint of segment {segment.name}, so name one or two."
        )
    return found[:SERVERS]


def _given_hosts(intent: Intent, where: str, names: list[t.Any], problems: list[str]) -> list[str]:
    known = [name for name in dict.fromkeys(names) if name in intent.hosts]
    for name in names:
        if isinstance(name, str) and name not in intent.hosts:
            problems.append(
                f"{where}.hosts has {word(name)}, which is no host of the fabric{suggest(name, intent.hosts)}"
            )
    if not names:
        problems.append(f"{where}.hosts is empty; name one or two hosts, or leave it out.")
    if len(known) < len([name for name in names if name in intent.hosts]):
        problems.append(f"{where}.hosts names a host twice; name each once.")
    return known


def _is_on(endpoint: Endpoint, segment: Segment) -> bool:
    return any(name == segment.name for _number, name in wires.nics(endpoint))


def _add_server(intent: Intent, host: str, segment: Segment, dhcp: Dhcp, problems: list[str]) -> None:
    """The endpoint of a server: one that is listed is taken as it is."""
    name = server_name(segment)
    listed = next((endpoint for endpoint in intent.hosts[host].endpoints if endpoint.name == name), None)
    if listed is None:
        listed = Endpoint(
            where=f"{dhcp.where} on {host}",
            host=host,
            name=name,
            kind="namespace",
            segment=segment.name,
            address=None,
            address6=None,
            mac=None,
            interface=INTERFACE,
            routes=[],
            sysctls={},
        )
        intent.hosts[host].endpoints.append(listed)
    elif (listed.kind, listed.segment, listed.dhcp) != ("namespace", segment.name, False):
        problems.append(
            f"{listed.where} has the name of the DHCP server of segment {segment.name}; give it another name,"
            " or make it a namespace of that segment with an address of its own."
        )
    listed.serves = True


# Ranges -----------------------------------------------------------------------------------------------------------------


def free_room(subnet: Network, taken: t.Iterable[Address], numbers: t.Iterable[int], size: int) -> Range | None:
    """The largest run of addresses that the plan gives to nobody, now or later, among the first blocks; None if there is none.

    numbers: the ids of the hosts, each of which has an address in every block of `size`. The first block is people's.
    """
    end = min(subnet.num_addresses - (subnet.version == 4), (1 + BLOCKS) * size)
    start = int(subnet.network_address)
    used = {int(address) - start for address in taken if address in subnet}
    used |= {block * size + number for number in numbers for block in range(1, BLOCKS + 1)}
    edges = [size - 1, *sorted(offset for offset in used if size <= offset < end), end]
    gaps = [(after - before - 1, before + 1) for before, after in zip(edges, edges[1:])]
    length, first = max(gaps, key=lambda gap: (gap[0], -gap[1]))
    if length < 1:
        return None
    return subnet.network_address + first, subnet.network_address + first + length - 1


def share(ranges: t.Iterable[Range], count: int) -> list[list[Range]]:
    """The ranges in as many parts, which share no address."""
    parts: list[list[Range]] = [[] for _number in range(count)]
    for first, last in ranges:
        whole, more = divmod(int(last) - int(first) + 1, count)
        for number, part in enumerate(parts):
            length = whole + (number < more)
            if length:
                part.append((first, first + length - 1))
                first = first + length
    return parts


def spelled(one: Range) -> str:
    """A range as people write it."""
    return f"{one[0]}-{one[1]}"


# Names ------------------------------------------------------------------------------------------------------------------


def label(name: str) -> str:
    """A name as DNS takes it (RFC 1123)."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-") or "x"


def names(leases: t.Sequence[tuple[str, str]]) -> list[str]:
    """A name for each (endpoint, host): the endpoint's own, or with the host's where two have the same."""
    short = [label(name) for name, _host in leases]
    return [label(f"{one}-{host}") if short.count(one) > 1 else one for one, (_name, host) in zip(short, leases)]


# The plan ---------------------------------------------------------------------------------------------------------------


class Served(t.NamedTuple):
    """A segment with its servers, the addresses that are taken there, each with who has it, and the ranges of all servers."""

    segment: Segment
    dhcp: Dhcp
    subnets: list[Network]
    servers: list[Endpoint]
    taken: dict[Address, str]
    ranges: list[Range]

    @property
    def four(self) -> Network | None:
        """Its IPv4 subnet."""
        return next((net for net in self.subnets if net.version == 4), None)


class DhcpServices:
    """All DHCP servers and clients of the fabric, each checked once. What is wrong goes to the values' problems."""

    def __init__(self, values: Values, guests: Guests, edges: t.Sequence[Edge]) -> None:
        self.values = values
        self.edges = edges
        self.guests = guests
        self.problems = values.problems
        self.served: dict[str, Served] = {}
        for segment in values.segments.values():
            if segment.dhcp and segment.subnet and segment.subnet6 is not INVALID:
                self.served[segment.name] = self._served(segment, segment.dhcp)
        for endpoint in values.endpoints:
            if endpoint.dhcp:
                self._check_client(endpoint)

    def part(self, host: str) -> Item:
        """What a host gets."""
        here = self.values.intent.hosts[host].endpoints
        clients = [endpoint for endpoint in here if endpoint.dhcp and endpoint.kind in IN_NAMESPACE]
        return {
            "dhcp_servers": [self._server(endpoint) for endpoint in here if endpoint.serves],
            "dhcp_clients": [
                {"name": endpoint.name, "namespace": endpoint.name, "interface": endpoint.interface}
                for endpoint in clients
            ],
            "dhcp_leases": {endpoint.name: self._lease(endpoint) for endpoint in clients},
        }

    def _lease(self, endpoint: Endpoint) -> Item:
        """What a client is given, as netns_dhcp_info reads it."""
        segment = self.values.segments[endpoint.segment]
        planned = t.cast(Item, self.of_segment(segment))
        routes = [*planned["routes"]]
        if planned["router"]:
            routes.append({"to": "0.0.0.0/0", "via": planned["router"]})
        return {
            "address": addresses.with_prefix(self.values.addressed[endpoint.id].address.value, segment.subnet),
            "mtu": self.values.mtus[segment.name].value,
            "router": planned["router"],
            "domain": planned["domain"],
            "routes": routes,
        }

    def of_segment(self, segment: Segment) -> Item | None:
        """What the plan says of a segment's servers; None where it has none."""
        served = self.served.get(segment.name)
        if served is None:
            return None
        return {
            "servers": [endpoint.id for endpoint in served.servers],
            "ranges": [spelled(one) for one in served.ranges],
            "router": str(served.dhcp.router) if served.dhcp.router else None,
            "dns": self._dns(served),
            "domain": self._domain(served),
            "lease_time": served.dhcp.lease_time,
            "routes": [{"to": str(to), "via": str(via)} for to, via in served.dhcp.routes],
        }

    # Servers

    def _server(self, endpoint: Endpoint) -> Item:
        """A server as the module netns_dnsmasq takes it."""
        served = self.served[endpoint.segment]
        parts = share(served.ranges, len(served.servers))
        planned = t.cast(Item, self.of_segment(served.segment))
        return {
            "name": endpoint.name,
            "namespace": endpoint.name,
            "interface": endpoint.interface,
            "subnets": [str(net) for net in served.subnets],
            "ranges": [spelled(one) for one in parts[served.servers.index(endpoint)]],
            "leases": self.leases(served),
            "mtu": self.values.mtus[served.segment.name].value,
            **{option: planned[option] for option in ("router", "dns", "domain", "lease_time", "routes")},
        }

    def leases(self, served: Served) -> list[Item]:
        """A lease for each endpoint of the segment, and for each further NIC of a guest that has an address there."""
        found = [
            (endpoint.name, endpoint.host, addressed.mac.value, (addressed.address.value, addressed.address6.value))
            for endpoint in self.values.endpoints
            if endpoint.segment == served.segment.name
            for addressed in [self.values.addressed[endpoint.id]]
        ]
        for host, guests in self.guests.by_host.items():
            for guest in guests:
                for number, nic in enumerate(guest.nics):
                    if number and nic.addresses and nic.segment is served.segment:
                        given = tuple(one for one, _net in nic.addresses)
                        found.append((f"{guest.endpoint.name}-eth{number}", host, nic.mac, given))
        leases = []
        called = names([(name, host) for name, host, _mac, _addresses in found])
        for name, (_name, _host, mac, given) in zip(called, found):
            leases.append({"mac": mac, "addresses": [str(one) for one in given if one], "name": name})
        return leases

    def _dns(self, served: Served) -> list[str]:
        if served.dhcp.dns is not None:
            return [str(address) for address in served.dhcp.dns]
        if self.values.ovn(served.segment):
            # OVN answers for its names whoever is asked, if the question only leaves.
            return [str(served.dhcp.router)] if served.dhcp.router else []
        settled = [self.values.addressed[endpoint.id] for endpoint in served.servers]
        return [str(value.value) for one in settled for value in (one.address, one.address6) if value.value]

    def _domain(self, served: Served) -> str:
        return served.dhcp.domain or f"{self.values.intent.name}.internal"

    # Checks

    def _served(self, segment: Segment, dhcp: Dhcp) -> Served:
        subnets = segment.subnets
        servers = [one for one in self.values.endpoints if one.serves and one.segment == segment.name]
        served = Served(segment, dhcp, subnets, servers, self._taken(segment), [])
        self._check_router(served)
        self._check_routes(served)
        self._check_ranges(served)
        self._check_ovn(served)
        return served._replace(ranges=self._ranges(served))

    def _taken(self, segment: Segment) -> dict[Address, str]:
        """The addresses of the segment that somebody has, each with who that is."""
        found = self._of_routers(segment)
        for endpoint in self.values.endpoints:
            addressed = self.values.addressed.get(endpoint.id)
            if addressed and endpoint.segment == segment.name:
                found.update(dict.fromkeys((*endpoint.further, *endpoint.virtual), endpoint.id))
                for value in (addressed.address, addressed.address6):
                    found[value.value] = endpoint.id
        found.update({one: who for (name, one), who in self.guests.taken.items() if name == segment.name})
        for overlay in self.values.intent.overlays:
            for peer in overlay.peers:
                found.update({one: f"the peer {peer.name}" for name, one in peer.endpoints if name == segment.name})
        return {address: who for address, who in found.items() if address}

    def _of_routers(self, segment: Segment) -> dict[Address, str]:
        """The addresses that OVN's routers have on a segment, each with the edge; those of edges in namespaces are endpoints."""
        found: dict[Address, str] = {}
        for edge in self.edges:
            legs = [leg for leg in edge.legs if leg.segment == segment.name] if edge.distributed else []
            for leg in legs:
                given = [leg.address, leg.address6]
                if leg is edge.provider:
                    given += [one.address for one in edge.nat] + [one.address for one in edge.forwards]
                    given += [one.address for one in edge.floating]
                found.update({address: f"edge {edge.name}" for address in given if address})
        return found

    def _ranges(self, served: Served) -> list[Range]:
        """The ranges, as given or the largest free room of each subnet."""
        given, segment = served.dhcp.ranges, served.segment
        if given is not None:
            return given
        if self.values.ovn(segment) or (self.values.keyed(segment) and not segment.learn):
            return []
        numbers = [number.value for number in self.values.ids.values() if number.value]
        fixed = [*served.taken, *filter(None, [served.dhcp.router]), *(via for _to, via in served.dhcp.routes)]
        found = []
        for net in served.subnets:
            size = addresses.block_size(net, self.values.intent.max_hosts or None)
            room = free_room(net, fixed, numbers, size)
            if room is None:
                self.problems.append(
                    f"{served.dhcp.where}.ranges: {net} has no room for a range; enlarge the subnet, give ranges,"
                    " or an empty list to serve the plan's endpoints alone."
                )
            else:
                found.append(room)
        return found

    def _check_ranges(self, served: Served) -> None:
        """Given ranges are inside of the segment, apart from each other, and touch nobody's address."""
        where, ranges = f"{served.dhcp.where}.ranges", sorted(served.dhcp.ranges or (), key=_order)
        if ranges and self.values.keyed(served.segment) and not served.segment.learn:
            self.problems.append(
                f"{where} are for machines that the plan does not know, and segment {served.segment.name} lets none in;"
                " leave them out, or set learn: true."
            )
        for one, following in zip(ranges, ranges[1:]):
            if one[0].version == following[0].version and int(following[0]) <= int(one[1]):
                self.problems.append(
                    f"{where} {spelled(one)} and {spelled(following)} overlap; give ranges that are apart."
                )
        fixed = dict(served.taken)
        if served.dhcp.router:
            fixed.setdefault(served.dhcp.router, "the router")
        for one in ranges:
            self._check_range(where, one, served.subnets, fixed)

    def _check_ovn(self, served: Served) -> None:
        """OVN answers on every host, and those alone that the plan knows."""
        if not self.values.ovn(served.segment):
            return
        if served.dhcp.hosts is not None:
            self.problems.append(
                f"{served.dhcp.where}.hosts is for segments with the engine openvswitch; leave it out, as OVN answers on every host."
            )
        if served.dhcp.ranges:
            self.problems.append(
                f"{served.dhcp.where}.ranges are for machines that the plan does not know, and OVN lets none in; leave them out."
            )

    def _check_range(self, where: str, one: Range, subnets: list[Network], fixed: dict[Address, str]) -> None:
        net = next((net for net in subnets if one[0] in net), None)
        if net is None or one[1] not in net:
            nets = " and ".join(map(str, subnets))
            self.problems.append(f"{where} {spelled(one)} is outside of the segment's {nets}; give a range inside.")
            return
        ends = [end for end in one if addresses.reserved(net, end)]
        if ends:
            what = addresses.reserved(net, ends[0])
            self.problems.append(f"{where} {spelled(one)} has the {what} address of {net}; give a range without it.")
        touched = sorted(
            address
            for address in fixed
            if address.version == net.version and int(one[0]) <= int(address) <= int(one[1])
        )
        if touched:
            self.problems.append(
                f"{where} {spelled(one)} has {touched[0]}, the address of {fixed[touched[0]]}; give ranges without it."
            )

    def _check_router(self, served: Served) -> None:
        """The router is on the segment, and no endpoint that forwards nothing."""
        router, where = served.dhcp.router, f"{served.dhcp.where}.router"
        if not router:
            return
        net = served.four
        if net is None or router not in net:
            self.problems.append(
                f"{where} {router} is outside of the segment's {net or 'subnet, which is IPv6'}; "
                + ("give an address inside." if net else "leave it out, as IPv6 routers announce themselves.")
            )
            return
        if addresses.reserved(net, router):
            self.problems.append(
                f"{where} {router} is the {addresses.reserved(net, router)} address of {net}; give another."
            )
        who = next((one for one in self.values.endpoints if one.id == served.taken.get(router)), None)
        if who and who.kind in IN_NAMESPACE and not who.forwards(4):
            self.problems.append(
                f"{where} {router} is the address of {who.id}, which forwards nothing; give the router's own address,"
                " or net.ipv4.ip_forward: 1 in the endpoint's sysctls."
            )

    def _check_routes(self, served: Served) -> None:
        for to, via in served.dhcp.routes:
            if to.version != 4 or served.four is None or via not in served.four:
                self.problems.append(
                    f"{served.dhcp.where}.routes to {to} goes via {via}; both must be IPv4, the next hop on the segment"
                    f" ({' and '.join(map(str, served.subnets))})."
                )

    # Clients

    def _check_client(self, endpoint: Endpoint) -> None:
        """An endpoint that asks for its address is one that can, on a segment with somebody to ask."""
        where, segment = f"{endpoint.where}.address", self.values.segments.get(endpoint.segment)
        if segment is None:
            return
        if segment.dhcp is None:
            self.problems.append(
                f"{where} is dhcp, but segment {segment.name} has no DHCP server; give {segment.where}.dhcp, or an address."
            )
        if segment.subnet and segment.subnet.version == 6:
            self.problems.append(f"{where} dhcp is for IPv4, and segment {segment.name} is IPv6; leave it out.")
        reason = _no_client(endpoint)
        if reason:
            self.problems.append(f"{where} dhcp is not for {reason}; give an address, or leave it out.")
        if any(":" not in route["via"] for route in endpoint.routes):
            self.problems.append(
                f"{endpoint.where}.routes of IPv4 come with the address from DHCP; move them to {segment.where}.dhcp.routes."
            )


def _order(one: Range) -> tuple[int, int]:
    return one[0].version, int(one[0])


def _no_client(endpoint: Endpoint) -> str:
    """Why an endpoint cannot ask for its address, if so."""
    if endpoint.kind == "service":
        return "a service, whose answers follow rules for its address"
    if endpoint.kind == "container" and endpoint.container and endpoint.container["managed"] is False:
        return "a container that others run"
    if endpoint.kind == "guest" and isinstance(endpoint.guest, dict):
        role, image = endpoint.guest["role"], endpoint.guest["image"]
        return f"guests of the role {role}" if role != "linux" else "the lab's guest" if image == "lab" else ""
    return ""

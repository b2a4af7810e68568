# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host ids, addresses and MAC addresses: given ones checked, the others allocated.

What is allocated to a host or an endpoint follows from its own name and its own place alone, so nothing that is added
elsewhere ever moves it. What is allocated to an endpoint that may move follows from its name, whatever its host is.

This file is private to the collection.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import typing as t
import zlib

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    Address,
    Endpoint,
    Host,
    Intent,
    Network,
    Segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID

# A block never has more addresses, so that addresses in a large subnet stay readable (10.0.1.2 and fd00::1:2 are the first
# endpoint of host 2), and a host has room for many endpoints.
MAX_BLOCK = {4: 256, 6: 65536}
# So many addresses, from the middle of a subnet on, are for endpoints that may move.
MAX_MOVABLE = 65536


class Value(t.NamedTuple):
    """A value and where it came from; value is INVALID where an error was told."""

    value: t.Any
    source: str


def block_size(subnet: Network, max_hosts: int | None) -> int:
    """How many addresses of a subnet each block has.

    The first block is for addresses that people give and for tunnel endpoints; block j is for each host's j-th endpoint.
    """
    if max_hosts:
        return 1 << max_hosts.bit_length()
    return min(subnet.num_addresses // 4, MAX_BLOCK[subnet.version])


def reserved(subnet: Network, address: Address) -> str:
    """What an address means to the subnet, if no endpoint may have it: network or broadcast address; else empty.

    With /31 and /127 (RFC 3021, RFC 6164) and with a single address nothing is reserved.
    """
    if subnet.max_prefixlen - subnet.prefixlen < 2:
        return ""
    if address == subnet.network_address:
        return "network"
    if subnet.version == 4 and address == subnet.broadcast_address:
        return "broadcast"
    return ""


def host_ids(intent: Intent, problems: list[str]) -> dict[str, Value]:
    """The number of each host, unique in the fabric."""
    if intent.max_hosts is INVALID:
        return dict.fromkeys(intent.hosts, Value(INVALID, ""))
    room = block_size(intent.underlay.subnet, intent.max_hosts) if intent.max_hosts or intent.underlay.subnet else 0
    if not intent.max_hosts:
        # A small underlay, where all tunnel endpoints are given, still lets hosts have numbers.
        room = max(room, 64)
    ids: dict[str, Value] = {}
    owner: dict[int, str] = {}
    for name, host in intent.hosts.items():
        ids[name] = host_number(host, room)
        number = ids[name].value
        if number is INVALID:
            continue
        if number >= room:
            problems.append(
                f"{name}: fabric_host_id must be 1 to {room - 1}, not {number}; enlarge fabric_underlay.subnet or raise fabric_max_hosts."
            )
            ids[name] = Value(INVALID, "")
        elif number in owner:
            problems.append(
                f"{owner[number]} and {name} both have the host id {number}; give one of them another fabric_host_id."
            )
            ids[name] = Value(INVALID, "")
        else:
            owner[number] = name
    return ids


def host_number(host: Host, room: int) -> Value:
    """The number of a host below room, as given or from its name."""
    if host.id is not None:
        return Value(host.id, "given: fabric_host_id")
    label = host.name
    if not re.fullmatch(r"[0-9.]+|.*:.*", label):
        label = label.partition(".")[0]
    digits = re.search(r"[0-9]+$", label)
    if digits and 1 <= int(digits.group()) < room:
        return Value(int(digits.group()), "derived: trailing digits of the name")
    return Value(1 + zlib.crc32(host.name.encode()) % (room - 1), "derived: CRC-32 of the name")


def teps(intent: Intent, ids: dict[str, Value], problems: list[str]) -> dict[str, Value]:
    """The address of each host's tunnel endpoint."""
    subnet = intent.underlay.subnet
    result: dict[str, Value] = {}
    owner: dict[Address, tuple[str, str]] = {}
    for name, host in intent.hosts.items():
        result[name] = Value(INVALID, "")
        if not subnet:
            continue
        value = _tep(host, subnet, ids[name], intent.max_hosts, problems)
        if value.value is INVALID:
            continue
        if value.value in owner:
            other, source = owner[value.value]
            problems.append(
                f"{other} ({source}) and {name} ({value.source}) both have the tunnel endpoint {value.value};"
                " give one of them another fabric_tep_address."
            )
            continue
        owner[value.value] = (name, value.source)
        result[name] = value
    return result


def _tep(host: Host, subnet: Network, number: Value, max_hosts: int | None, problems: list[str]) -> Value:
    where = f"{host.name}: fabric_tep_address"
    if host.tep_address is not None:
        if host.tep_address is INVALID or not _inside(
            host.tep_address, subnet, where, "fabric_underlay.subnet", problems
        ):
            return Value(INVALID, "")
        if host.tep_prefix not in (None, subnet.prefixlen):
            problems.append(
                f"{where} has the prefix length {host.tep_prefix}, but fabric_underlay.subnet is {subnet}; leave the length out."
            )
            return Value(INVALID, "")
        return Value(host.tep_address, "given: fabric_tep_address")
    if number.value is INVALID:
        return Value(INVALID, "")
    if number.value >= block_size(subnet, max_hosts) or number.value >= subnet.num_addresses - 1:
        problems.append(
            f"{host.name}: the host id {number.value} has no address in fabric_underlay.subnet {subnet};"
            " enlarge the subnet, set fabric_max_hosts, or give fabric_tep_address."
        )
        return Value(INVALID, "")
    return Value(subnet.network_address + number.value, f"allocated: host id {number.value} in fabric_underlay.subnet")


def _inside(address: Address, subnet: Network, where: str, place: str, problems: list[str]) -> bool:
    if address.version != subnet.version:
        problems.append(
            f"{where} {address} is IPv{address.version}, but {place} {subnet} is IPv{subnet.version}; give an IPv{subnet.version} address."
        )
    elif address not in subnet:
        problems.append(f"{where} {address} is outside {place} {subnet}; give an address inside, or leave it out.")
    elif reserved(subnet, address):
        problems.append(
            f"{where} {address} is the {reserved(subnet, address)} address of {place} {subnet}; give another."
        )
    else:
        return True
    return False


class Addressed(t.NamedTuple):
    """What the plan settles for an endpoint."""

    address: Value
    address6: Value
    mac: Value


def endpoints(
    intent: Intent, segments: dict[str, Segment], ids: dict[str, Value], problems: list[str]
) -> dict[str, Addressed]:
    """Addresses and MAC of each endpoint whose segment is known, by the endpoint's id."""
    owner: dict[t.Any, tuple[Endpoint, str]] = {}
    macs: dict[str, tuple[Endpoint, str]] = {}
    result = {}
    movable = _movable_addresses(intent, segments)
    for host in intent.hosts.values():
        counts: dict[tuple[str, str], int] = {}
        for endpoint in host.endpoints:
            segment = segments.get(endpoint.segment) if endpoint.segment else None
            if segment is None:
                continue
            values = []
            for option, subnet in (("address", segment.subnet), ("address6", segment.subnet6)):
                value = movable.get((endpoint.name, option)) if endpoint.movable else None
                value = value or _endpoint_address(
                    endpoint, option, subnet, segment, ids[host.name], counts, intent.max_hosts, problems
                )
                if value.value:
                    _claim(owner, (segment.name, value.value), endpoint, value, option, problems)
                values.append(value)
            for address in (*endpoint.further, *endpoint.virtual):
                _claim_further(owner, endpoint, address, segment, problems)
            mac = _mac(intent, endpoint)
            if mac.value:
                _claim(macs, mac.value, endpoint, mac, "mac", problems)
            result[endpoint.id] = Addressed(values[0], values[1], mac)
    return result


def _movable_addresses(intent: Intent, segments: dict[str, Segment]) -> dict[tuple[str, str], Value]:
    """What is allocated to endpoints that may move, by (name, option): of the upper half of the subnet what a hash of the name says.

    Where two meet, the later in the list gets the next free one. None for one for which no room is left.
    """
    found: dict[tuple[str, str], Value] = {}
    taken: set[tuple[str, Address]] = set()
    for endpoint in intent.movable:
        segment = segments.get(endpoint.segment)
        pairs = (("address", segment.subnet), ("address6", segment.subnet6)) if segment else ()
        taken.update((endpoint.segment, getattr(endpoint, option)) for option, subnet in pairs if subnet)
    for endpoint in intent.movable:
        segment = segments.get(endpoint.segment)
        pairs = (("address", segment.subnet), ("address6", segment.subnet6)) if segment else ()
        for option, subnet in pairs:
            if subnet and getattr(endpoint, option) is None:
                address = _hashed(endpoint, subnet, taken)
                place = f"{segment.where}.{option.replace('address', 'subnet')}" if segment else ""
                if address is not None:
                    taken.add((endpoint.segment, address))
                    found[endpoint.name, option] = Value(
                        address, f"allocated: hash of the name in the upper half of {place}"
                    )
    return found


def _hashed(endpoint: Endpoint, subnet: Network, taken: t.Collection[tuple[str, Address]]) -> Address | None:
    """The first address that is free, from that of the name's hash on."""
    half = subnet.num_addresses // 2
    room = min(half, MAX_MOVABLE)
    first = int.from_bytes(hashlib.sha256(endpoint.name.encode()).digest()[:8], "big")
    for step in range(room):
        address = subnet.network_address + half + (first + step) % room
        if not reserved(subnet, address) and (endpoint.segment, address) not in taken:
            return address
    return None


def _endpoint_address(
    endpoint: Endpoint,
    option: str,
    subnet: Network | None | t.Any,
    segment: Segment,
    number: Value,
    counts: dict[tuple[str, str], int],
    max_hosts: int | None,
    problems: list[str],
) -> Value:
    given = getattr(endpoint, option)
    where = f"{endpoint.where}.{option}"
    if endpoint.virtual:
        where = f"{endpoint.where}.{option.replace('address', 'host_addresses')}"
    place = segment.where + (".subnet" if option == "address" else ".subnet6")
    if given is INVALID or subnet is INVALID:
        return Value(INVALID, "")
    if subnet is None:
        if given is not None:
            problems.append(
                f"{where} is given, but segment {segment.name} has no subnet6; give {place}, or leave the address out."
            )
        return Value(None, "")
    if given is not None:
        inside = _inside(given, subnet, where, place, problems)
        return Value(given, f"given: {where}") if inside else Value(INVALID, "")
    if number.value is INVALID:
        return Value(INVALID, "")
    if endpoint.serves or endpoint.virtual:
        return _first_block_address(endpoint, subnet, place, number.value, max_hosts, problems)
    if endpoint.movable:
        problems.append(
            f"{where} cannot be allocated: the upper half of {place} {subnet} is full; enlarge the subnet, or give the address."
        )
        return Value(INVALID, "")
    nth = counts[segment.name, option] = counts.get((segment.name, option), 0) + 1
    size = block_size(subnet, max_hosts)
    offset = nth * size + number.value
    last = subnet.num_addresses - (1 if subnet.version == 4 and subnet.prefixlen < 31 else 0)
    if number.value >= size or offset >= last:
        room = max(0, (last - 1 - number.value) // size) if number.value < size else 0
        problems.append(
            f"{where} cannot be allocated: {place} {subnet} has room for {room} endpoint{'s' if room != 1 else ''} of host id {number.value}"
            f" (blocks of {size}); enlarge the subnet, {'lower' if max_hosts else 'set'} fabric_max_hosts, or give the address."
        )
        return Value(INVALID, "")
    return Value(subnet.network_address + offset, f"allocated: block {nth}, host id {number.value} in {place}")


def _first_block_address(
    endpoint: Endpoint, subnet: Network, place: str, number: int, max_hosts: int | None, problems: list[str]
) -> Value:
    """The address of a DHCP server, counted back from the end of the first block, or of an edge's leg, from its middle.

    So no endpoint ever moves it.
    """
    size = block_size(subnet, max_hosts)
    offset, at = (size - 1 - number, "end") if endpoint.serves else (size // 2 - 1 - number, "middle")
    if not 0 < offset < subnet.num_addresses - 1:
        what, way = (
            ("the DHCP server", "list the server as an endpoint with an address")
            if endpoint.serves
            else (f"the edge {endpoint.edge}", f"give {endpoint.where}.host_addresses")
        )
        problems.append(f"{place} {subnet} has no room for {what} of host id {number}; enlarge the subnet, or {way}.")
        return Value(INVALID, "")
    return Value(
        subnet.network_address + offset, f"allocated: {at} of the first block, less host id {number}, in {place}"
    )


def _claim(
    owner: dict[t.Any, tuple[Endpoint, str]],
    key: t.Any,
    endpoint: Endpoint,
    value: Value,
    option: str,
    problems: list[str],
) -> None:
    """Take an address for an endpoint; an error names both if another has it."""
    if key in owner:
        other, source = owner[key]
        problems.append(
            f"{other.id} ({source}) and {endpoint.id} ({value.source}) both have the {'MAC address' if option == 'mac' else 'address'} {value.value};"
            f" give one of them another {option}."
        )
    else:
        owner[key] = (endpoint, value.source)


def _claim_further(
    owner: dict[t.Any, tuple[Endpoint, str]],
    endpoint: Endpoint,
    address: Address,
    segment: Segment,
    problems: list[str],
) -> None:
    """Take an address that an endpoint has besides its own: it is on the segment, and nobody else's, but for the same edge on another host."""
    nets = segment.subnets
    if INVALID in (segment.subnet, segment.subnet6):
        return
    net = next((net for net in nets if address in net), None)
    if net is None or reserved(net, address):
        what = f"the {reserved(net, address)} address" if net else "outside"
        problems.append(
            f"{endpoint.id}: the address {address} is {what} of segment {segment.name} ({' and '.join(map(str, nets))}); give an address inside."
        )
        return
    value = Value(address, "given: virtual" if address in endpoint.virtual else "given: for NAT")
    there = owner.get((segment.name, address))
    if address in endpoint.virtual and there and (there[0].edge, there[1]) == (endpoint.edge, value.source):
        return
    _claim(owner, (segment.name, address), endpoint, value, "address", problems)


def _mac(intent: Intent, endpoint: Endpoint) -> Value:
    """The given MAC, else a locally administered one (IEEE 802, second-lowest bit of the first byte) from the names."""
    if endpoint.mac is not None:
        return Value(endpoint.mac, f"given: {endpoint.where}.mac")
    if endpoint.nic:
        return Value(derived_mac(intent, endpoint.nic), "derived: hash of the names of fabric, edge and segment")
    names = "fabric and endpoint" if endpoint.movable else "fabric, host and endpoint"
    return Value(derived_mac(intent, endpoint.identity), f"derived: hash of the names of {names}")


def derived_mac(intent: Intent, name: str) -> str:
    """A locally administered address from the names of the fabric and of a NIC."""
    digest = hashlib.sha256(f"{intent.name}/{name}".encode()).digest()
    return "02:" + digest[:5].hex(":")


def overlaps(networks: list[tuple[Network, str]], problems: list[str]) -> None:
    """Tell each network that overlaps an earlier one in the order of addresses; by sorting, so n log n.

    networks: (network, its place as a user finds it).
    """
    for version in (4, 6):
        widest: tuple[Network, str] | None = None
        ordered = sorted(
            (item for item in networks if item[0].version == version),
            key=lambda item: (int(item[0].network_address), item[0].prefixlen),
        )
        for network, where in ordered:
            # Prefixes are nested or apart, so the last one that was not inside another tells all.
            if widest is not None and network.network_address in widest[0]:
                problems.append(f"{where} {network} overlaps {widest[1]} {widest[0]}; give each its own range.")
            else:
                widest = (network, where)


def contains(subnet: Network, address: str) -> bool:
    """Whether an address, as text, is in the subnet."""
    return ipaddress.ip_address(address) in subnet


def second_hops(routes: t.Iterable[dict[str, str]]) -> t.Iterator[tuple[str, str, str]]:
    """The destinations that have two next hops of one family, with both."""
    first: dict[tuple[bool, str], str] = {}
    for route in routes:
        via = first.setdefault((":" in route["via"], route["to"]), route["via"])
        if via != route["via"]:
            yield route["to"], via, route["via"]


def with_prefix(address: Address, subnet: Network) -> str:
    """An address as an interface has it."""
    return str(ipaddress.ip_interface((address, subnet.prefixlen)))


def as_network(text: str) -> Network | None:
    """An address or a prefix as a network; None if it is neither."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP, router advertisements and names of OVN's segments, as rows of its northbound database. Pure. Source: ovn-nb(5), DHCP_Options, DNS.

OVN answers on the host of whoever asks, so a segment has no server: a port refers to the options, and its own addresses are its lease.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Segment

Item = t.Dict[str, t.Any]

# Whom clients take for the server where a segment has no router. Nobody gives it to himself (RFC 3927, 2.1); renewals to it are broadcast in the end.
NOBODY = "169.254.0.1"
OPTIONS = {4: "dhcpv4_options", 6: "dhcpv6_options"}


class Told(t.NamedTuple):
    """What clients of a segment are told.

    name: of the rows. server_mac: what answers come from. planned: what the plan says of the segment's DHCP. mtu: in bytes.
    """

    name: str
    server_mac: str
    planned: Item
    mtu: int


def options_name(name: str, version: int) -> str:
    """The options of a switch for an address family."""
    return f"{name}:v{version}"


def options(segment: Segment, told: Told) -> list[Item]:
    """The rows of options of a segment, one for each address family."""
    made = {4: _options4, 6: _options6}
    return [
        {"name": options_name(told.name, net.version), "cidr": str(net), "options": made[net.version](told)}
        for net in (segment.subnet, segment.subnet6)
        if net
    ]


def of_port(segment: Segment, name: str) -> Item:
    """What a port says of the options of its segment, which has DHCP or not; what it does not have is cleared."""
    versions = [net.version for net in segment.subnets if segment.dhcp]
    return {option: options_name(name, version) if version in versions else "" for version, option in OPTIONS.items()}


def _options4(told: Told) -> dict[str, str]:
    planned = told.planned
    routes = [(route["to"], route["via"]) for route in planned["routes"]]
    # Who takes option 121 takes no router besides (RFC 3442).
    routes += [("0.0.0.0/0", planned["router"])] if planned["router"] and routes else []
    servers = [address for address in planned["dns"] if ":" not in address]
    found = {
        "server_id": planned["router"] or NOBODY,
        "server_mac": told.server_mac,
        "lease_time": str(planned["lease_time"]),
        "mtu": str(told.mtu),
        "domain_name": f'"{planned["domain"]}"',
        "router": planned["router"],
        "dns_server": _set(servers),
        "classless_static_route": _set([f"{to},{via}" for to, via in routes]),
    }
    return {option: text for option, text in found.items() if text}


def _options6(told: Told) -> dict[str, str]:
    servers = [address for address in told.planned["dns"] if ":" in address]
    # No domain_search: OVN 23.03 sends it as one label, with the dots in it.
    found = {"server_id": told.server_mac, "dns_server": _set(servers)}
    return {option: text for option, text in found.items() if text}


def _set(values: list[str]) -> str:
    return f"{{{', '.join(values)}}}" if values else ""


def advertised(told: Told) -> dict[str, str]:
    """What a router's port advertises in IPv6 to a segment with DHCP."""
    return {"address_mode": "dhcpv6_stateful", "send_periodic": "true", "mtu": str(told.mtu)}


def records(leases: t.Iterable[Item], domain: str) -> dict[str, str]:
    """The names of a segment: from name to addresses, and from each address to the name."""
    found: dict[str, str] = {}
    for lease in leases:
        name = f"{lease['name']}.{domain}".lower()
        if lease["addresses"]:
            found[name] = " ".join(lease["addresses"])
        found.update({ipaddress.ip_address(one).reverse_pointer: name for one in lease["addresses"]})
    return found

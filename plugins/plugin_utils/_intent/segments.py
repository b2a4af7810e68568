# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments and their DHCP.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    IPV4_MIN_MTU,
    IPV6_MIN_MTU,
    LEASE_TIMES,
    Address,
    Dhcp,
    Segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import (
    between,
    matching_name,
    read_address,
    read_network,
    read_vlan,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, label, show

_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def read_segment(item: dict[str, t.Any], index: int, problems: list[str]) -> Segment:
    """A segment, as far as it is understood."""
    where = f"fabric_segments[{label(item, index)}]"
    subnet = read_network(item["subnet"], f"{where}.subnet", problems)
    subnet6 = read_network(item["subnet6"], f"{where}.subnet6", problems, version=6)
    if subnet and subnet6 and subnet.version == 6:
        problems.append(
            f"{where}.subnet6 stands beside an IPv4 subnet only, and subnet {subnet} is IPv6; leave one of them out."
        )
        subnet6 = INVALID
    six = (subnet and subnet.version == 6) or subnet6
    mtu = between(item["mtu"], IPV4_MIN_MTU, 65535, f"{where}.mtu", problems)
    if mtu and six and mtu < IPV6_MIN_MTU:
        problems.append(
            f"{where}.mtu {mtu} is too small for IPv6, which needs {IPV6_MIN_MTU} (RFC 8200); raise it or leave it out."
        )
        mtu = INVALID
    return Segment(
        where=where,
        name=matching_name(item["name"], f"{where}.name", problems),
        vlan=read_vlan(item["vlan"], f"{where}.vlan", problems),
        key=between(item["key"], 1, 2**32 - 1, f"{where}.key", problems),
        tenant=matching_name(item["tenant"], f"{where}.tenant", problems),
        subnet=subnet,
        subnet6=subnet6,
        mtu=mtu,
        overlay=item["overlay"],
        learn=item["learn"],
        policy=item["policy"],
        multicast_snooping=item["multicast_snooping"],
        dhcp=_dhcp(item["dhcp"], f"{where}.dhcp", problems) if isinstance(item["dhcp"], dict) else None,
    )


def _dhcp(item: dict[str, t.Any], where: str, problems: list[str]) -> Dhcp:
    """The DHCP servers of a segment; items of lists that were refused are left out."""
    ranges, dns = ([] if item[option] is INVALID else item[option] for option in ("ranges", "dns"))
    if ranges is not None:
        ranges = [found for text in ranges for found in [_range(text, f"{where}.ranges", problems)] if found]
    if dns is not None:
        dns = [found for text in dns for found in [read_address(text, f"{where}.dns", problems)] if found]
    routes = []
    for route in item["routes"] or ():
        if route:
            to = read_network(route["to"], f"{where}.routes.to", problems, version=4)
            via = read_address(route["via"], f"{where}.routes.via", problems)
            routes += [(to, via)] if to and via else []
    return Dhcp(
        where=where,
        hosts=item["hosts"],
        ranges=ranges,
        router=read_address(item["router"], f"{where}.router", problems),
        dns=dns,
        domain=_domain(item["domain"], f"{where}.domain", problems),
        lease_time=between(item["lease_time"], *LEASE_TIMES, f"{where}.lease_time", problems),
        routes=routes,
    )


def _range(text: t.Any, where: str, problems: list[str]) -> tuple[Address, Address] | None:
    """The first and the last address of a range, or None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        first, last = (ipaddress.ip_address(word.strip()) for word in text.split("-"))
    except ValueError:
        problems.append(f"{where} {show(text)} is no range; write it as 10.1.1.100-10.1.1.199.")
        return None
    if first.version != last.version or first > last:  # type: ignore[operator]
        problems.append(f"{where} {text} ends before it begins; write the lower address first.")
        return None
    return first, last


def _domain(value: t.Any, where: str, problems: list[str]) -> str | None | t.Any:
    """A domain name (RFC 1123)."""
    if isinstance(value, str) and (len(value) > 200 or not _DOMAIN.fullmatch(value)):
        problems.append(f"{where} {show(value)} is no domain; write it as lab.example, of letters, digits and '-'.")
        return INVALID
    return value

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a switch of OVN does with some packets: multicast for those who asked for it, and endpoints' rates and DSCP marks.

Sources: ovn-nb(5), tables Logical_Switch (IP Multicast Snooping Options) and QoS; RFC 4541 for snooping, RFC 2474 for DSCP.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address, Endpoint, Qos, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]

# Of a switch's QoS rules; no two of the fabric's are about one packet in one direction.
PRIORITY = 1000


def snooping(segment: Segment, mac: str, router: Address | None) -> dict[str, str]:
    """The settings of a switch. mac, router: who asks for members, as somebody must; without a router's address OVN asks for those of IPv6 alone."""
    if not segment.multicast_snooping:
        return {}
    found = {"mcast_snoop": "true", "mcast_querier": "true", "mcast_eth_src": mac, "mcast_ip6_src": link_local(mac)}
    return {**found, "mcast_ip4_src": str(router)} if router else found


def link_local(mac: str) -> str:
    """The link-local address that follows from a MAC address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + interface))


def rules(port: str, qos: Qos | None) -> list[Item]:
    """The QoS rules of a port: of what it sends and of what it receives. Both are as whoever is at the port sees it."""
    if qos is None:
        return []
    ways = (
        ("from-lport", "inport", qos.send_rate, qos.dscp),
        ("to-lport", "outport", qos.receive_rate, None),
    )
    return [
        {
            "direction": direction,
            "priority": PRIORITY,
            "match": f'{end} == "{port}"',
            "action": {"dscp": dscp} if dscp is not None else {},
            "bandwidth": {"rate": rate} if rate else {},
        }
        for direction, end, rate, dscp in ways
        if rate or dscp is not None
    ]


def check(values: Values) -> None:
    """None of it is there without OVN."""
    for segment in values.segments.values():
        if segment.multicast_snooping and not values.ovn(segment):
            values.problems.append(
                f"{segment.where}.multicast_snooping is for segments of an overlay with the engine ovn, as a bridge would snoop for all its segments"
                " alike; leave it out, or put the segment on such an overlay."
            )
    for endpoint in values.endpoints:
        _check_endpoint(values, endpoint)


def _check_endpoint(values: Values, endpoint: Endpoint) -> None:
    segment = values.segments.get(endpoint.segment)
    if endpoint.qos and segment and not values.ovn(segment):
        values.problems.append(
            f"{endpoint.where}.qos is for endpoints on an overlay with the engine ovn, as no other one limits and marks; leave it out, or put"
            f" segment {segment.name} on such an overlay."
        )

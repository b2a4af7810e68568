# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenFlow tables of a bridge whose segments are told apart by tunnel key. docs/pipeline.md is the picture of this.

Pure: what is plugged in where goes in, flows as ovs-ofctl reads them come out. Sources: ovs-fields(7), ovs-actions(7),
ARP RFC 826 and RFC 5227, neighbor discovery RFC 4861.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import quoted
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy import openflow
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.openflow import (
    INVALID_STATE,
    LINK_LOCAL,
    SPOOFED,
    Judged,
)

# The tables by the names that the documentation uses. A packet only ever goes on to a higher number, so it cannot circle.
(
    CLASSIFY,
    LEARN,
    ISOLATE,
    ANSWER,
    REPLY,
    REPLY_ND,
    TRACK,
    POLICY,
    POLICY_ALL,
    COMMIT,
    LOCAL,
    REMOTE,
    LOOK_UP,
    LEARNED,
    DELIVER,
) = (
    0,
    5,
    10,
    20,
    21,
    22,
    24,
    25,
    26,
    27,
    30,
    40,
    50,
    51,
    52,
)
TABLES = {
    CLASSIFY: "classify",
    LEARN: "learn",
    ISOLATE: "isolate",
    ANSWER: "answer",
    REPLY: "reply",
    REPLY_ND: "reply_nd",
    TRACK: "track",
    POLICY: "policy",
    POLICY_ALL: "policy_all",
    COMMIT: "commit",
    LOCAL: "local",
    REMOTE: "remote",
    LOOK_UP: "look_up",
    LEARNED: "learned",
    DELIVER: "deliver",
}

# What a segment remembers at most of addresses that no plan knows, and for how many seconds after a packet: Open vSwitch's own for a bridge.
LEARNED_MOST, LEARNED_SECONDS = 2048, 300
# Where a learned address is, in reg3.
HERE, BEYOND = 1, 2

_GROUP = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"  # broadcast and multicast, IEEE 802.3
_SINGLE = "dl_dst=00:00:00:00:00:00/01:00:00:00:00:00"
_SOLICIT = "icmp6,icmp_type=135,icmp_code=0"
_ADVERT = "icmp6,icmp_type=136,icmp_code=0"


# What only a segment's DHCP servers may say: answers of DHCP and DHCPv6, and router advertisements.
_ROUTER_ADVERT = "icmp6,icmp_type=134"
_SERVED = ("udp,tp_src=67", "udp6,tp_src=547", _ROUTER_ADVERT)


class Point(t.NamedTuple):
    """An endpoint as one host sees it. port: its own port there, or the tunnel to its host.

    serves: whether it is a DHCP server of its segment. routes: whether it is a router, whose advertisements are wanted.
    trusted: whether it forwards packets of others, so that their source says nothing about it.
    also: of one that is just being moved, the tunnel to its other host: what is for it goes to both, and to the one that it runs on.
    """

    port: str
    mac: str
    addresses: t.Sequence[str]
    serves: bool = False
    routes: bool = False
    trusted: bool = False
    also: str | None = None


class Tenancy(t.NamedTuple):
    """A segment on one host.

    local, remote: its endpoints on this host and on others; tunnels: to all hosts that have the segment.
    socket: the port behind which endpoints are that no plan knows, on a segment that learns.
    guarded: whether it has DHCP servers, so that nobody else may answer for them. judged: its policy, if flows enforce one.
    """

    key: int
    local: t.Sequence[Point]
    remote: t.Sequence[Point]
    tunnels: t.Sequence[str]
    socket: str | None = None
    guarded: bool = False
    judged: Judged | None = None


# What every such bridge has, but for the flows that lead on from the answers.
_COMMON = (
    f"table={CLASSIFY},priority=200,vlan_tci=0x1000/0x1000,actions=drop",
    f"table={CLASSIFY},priority=0,actions=drop",
    f"table={ISOLATE},priority=90,arp,arp_op=1,arp_spa=0.0.0.0,actions=goto_table:{ANSWER}",
    f"table={ISOLATE},priority=50,arp,actions=drop",
    f"table={ISOLATE},priority=90,{_ADVERT},nd_target=fe80::/10,actions=goto_table:{ANSWER}",
    f"table={ISOLATE},priority=50,icmp6,icmp_type=136,actions=drop",
    f"table={ISOLATE},priority=0,actions=goto_table:{ANSWER}",
    f"table={ANSWER},priority=50,arp,arp_op=1,actions=drop",
    f"table={REPLY},priority=100,arp,actions="
    "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],move:OXM_OF_PKT_REG1[0..47]->NXM_OF_ETH_SRC[],set_field:2->arp_op,"
    "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:OXM_OF_PKT_REG1[0..47]->NXM_NX_ARP_SHA[],"
    "move:NXM_OF_ARP_TPA[]->NXM_NX_REG1[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],move:NXM_NX_REG1[]->NXM_OF_ARP_SPA[],in_port",
    # Solicited and override: RFC 4861, 4.4. Open vSwitch lets the target's link-layer address be set in an advertisement only, so one table later.
    f"table={REPLY},priority=100,{_SOLICIT},actions="
    "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],move:OXM_OF_PKT_REG1[0..47]->NXM_OF_ETH_SRC[],"
    "move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],move:NXM_NX_ND_TARGET[]->NXM_NX_IPV6_SRC[],"
    f"set_field:136->icmpv6_type,set_field:2->nd_options_type,set_field:0x60000000->nd_reserved,goto_table:{REPLY_ND}",
    f"table={REPLY_ND},priority=100,{_ADVERT},actions=move:OXM_OF_PKT_REG1[0..47]->NXM_NX_ND_TLL[],in_port",
    f"table={LOCAL},priority=0,actions=goto_table:{REMOTE}",
    # What came by a tunnel leaves by none: no frame crosses two tunnels, whatever the mesh is.
    f"table={REMOTE},priority=200,reg0=1,actions=drop",
    f"table={REMOTE},priority=0,actions=drop",
)

# What a bridge has besides when one of its segments learns. A learned flow puts the port into reg2 and HERE or BEYOND into reg3.
_LEARNING = (
    f"table={LEARN},priority=200,dl_src=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop",
    f"table={LOOK_UP},priority=0,actions=resubmit(,{LEARNED}),goto_table:{DELIVER}",
    f"table={DELIVER},priority=110,reg0=1,reg3={BEYOND},actions=drop",
    f"table={DELIVER},priority=100,reg3={HERE},actions=output:NXM_NX_REG2[0..15]",
    f"table={DELIVER},priority=100,reg3={BEYOND},actions=move:OXM_OF_METADATA[]->NXM_NX_TUN_ID[],output:NXM_NX_REG2[0..15]",
)


def pipeline(tenancies: t.Iterable[Tenancy]) -> list[str]:
    """All flows of a bridge. Their number grows with what is on the host, not with the fabric."""
    tenancies = list(tenancies)
    policed = any(tenancy.judged for tenancy in tenancies)
    flows = [*_COMMON, *_onward(TRACK if policed else LOCAL)]
    if policed:
        flows += _tracking(tenancies)
    if any(tenancy.socket for tenancy in tenancies):
        flows += _LEARNING
    for tenancy in tenancies:
        flows += _segment(tenancy)
        if tenancy.socket:
            flows += _learning(tenancy)
        if tenancy.guarded:
            flows += _guard(tenancy)
        if tenancy.judged:
            flows += _judging(tenancy, tenancy.judged)
    return flows


def _onward(following: int) -> t.Iterator[str]:
    """What goes on from the answers. following: the table of forwarding, or of the policy before it."""
    # Without the asker's link-layer address (duplicate address detection) there is nothing to make an answer of.
    yield f"table={ANSWER},priority=200,{_SOLICIT},nd_sll=00:00:00:00:00:00,actions=goto_table:{following}"
    yield f"table={ANSWER},priority=0,actions=goto_table:{following}"


def _segment(tenancy: Tenancy) -> t.Iterator[str]:
    key = f"metadata={tenancy.key:#x}"
    ports = _ports(tenancy)
    if tenancy.tunnels:
        yield (
            f"table={CLASSIFY},priority=100,tun_id={tenancy.key:#x},"
            f"actions=set_field:{tenancy.key:#x}->metadata,set_field:1->reg0,goto_table:{_entered(tenancy)}"
        )
    for point, port in zip(tenancy.local, ports):
        mine = f"in_port={port}"
        yield f"table={CLASSIFY},priority=100,{mine},dl_src={point.mac},actions=set_field:{tenancy.key:#x}->metadata,goto_table:{ISOLATE}"
        for address in point.addresses:
            if ":" in address:
                yield f"table={ISOLATE},priority=110,{_SOLICIT},{mine},nd_target={address},actions=drop"
                yield f"table={ISOLATE},priority=100,{_ADVERT},{mine},nd_target={address},actions=goto_table:{ANSWER}"
            else:
                yield f"table={ISOLATE},priority=110,arp,{mine},arp_tpa={address},actions=drop"
                yield f"table={ISOLATE},priority=100,arp,{mine},arp_spa={address},arp_sha={point.mac},actions=goto_table:{ANSWER}"
        further = f",goto_table:{REMOTE}" if point.also else ""
        yield f"table={LOCAL},priority=100,{key},dl_dst={point.mac},actions=output:{port}{further}"
    for point in (*tenancy.local, *tenancy.remote):
        for address in point.addresses:
            asked = f"{_SOLICIT},nd_target={address}" if ":" in address else f"arp,arp_op=1,arp_tpa={address}"
            number = "0x" + point.mac.replace(":", "")
            yield f"table={ANSWER},priority=100,{key},{asked},actions=set_field:{number}->xreg1,goto_table:{REPLY}"
    if ports:
        outputs = ",".join(f"output:{port}" for port in ports)
        yield f"table={LOCAL},priority=90,{key},{_GROUP},actions={outputs},goto_table:{REMOTE}"
    send = f"set_field:{tenancy.key:#x}->tun_id"
    for mac, tunnels in _ways(tenancy):
        outputs = ",".join(f"output:{quoted(tunnel)}" for tunnel in tunnels)
        yield f"table={REMOTE},priority=100,{key},dl_dst={mac},actions={send},{outputs}"
    if tenancy.tunnels:
        outputs = ",".join(f"output:{quoted(tunnel)}" for tunnel in tenancy.tunnels)
        yield f"table={REMOTE},priority=90,{key},{_GROUP},actions={send},{outputs}"


def _guard(tenancy: Tenancy) -> t.Iterator[str]:
    """What a segment with DHCP servers has besides: endpoints of this host that are none do not pass for one."""
    for said in _SERVED:
        yield f"table={ISOLATE},priority=120,metadata={tenancy.key:#x},{said},actions=drop"
    for point in tenancy.local:
        allowed = _SERVED if point.serves else (_ROUTER_ADVERT,) if point.routes else ()
        for said in allowed:
            yield f"table={ISOLATE},priority=130,in_port={quoted(point.port)},{said},actions=goto_table:{ANSWER}"


def _entered(tenancy: Tenancy) -> int:
    """Where a packet of a segment goes on that came by a tunnel. Who learns has no policy."""
    return LEARN if tenancy.socket else TRACK if tenancy.judged else LOCAL


# What neighbors say among themselves, of which there is no connection: MLD and neighbor discovery, IGMP.
_NEIGHBORLY = (
    *(f"icmp6,icmp_type={number}" for number in (130, 131, 132, 133, 134, 135, 136, 137, 143)),
    "ip,nw_proto=2,nw_dst=224.0.0.0/4",
)


def _tracking(tenancies: list[Tenancy]) -> t.Iterator[str]:
    """What a bridge has besides when one of its segments has a policy."""
    cookie = [tenancy.judged.cookie for tenancy in tenancies if tenancy.judged][0]
    for said in _NEIGHBORLY:
        yield f"table={TRACK},priority=200,{said},actions=goto_table:{LOCAL}"
    yield f"table={TRACK},priority=0,actions=goto_table:{LOCAL}"
    yield f"cookie={cookie | INVALID_STATE:#x},table={POLICY},priority=65000,ct_state=+inv+trk,actions=drop"
    # Errors of ICMP about a connection that there is.
    yield f"table={POLICY},priority=64000,ct_state=+rel+trk,actions=goto_table:{LOCAL}"
    yield f"table={COMMIT},priority=0,actions=goto_table:{LOCAL}"


_IP = {4: ("ip", "nw_src", "nw_dst"), 6: ("ipv6", "ipv6_src", "ipv6_dst")}


def _judging(tenancy: Tenancy, judged: Judged) -> t.Iterator[str]:
    """What a segment with a policy has besides. Each host judges what its own endpoints send and get, and nothing else."""
    key = f"metadata={tenancy.key:#x}"
    yield from _exempted(tenancy, key, set(map(str, judged.exempt)))
    if tenancy.guarded:
        yield from _served_anyway(tenancy, key)
    for point in tenancy.local:
        if not point.trusted:
            yield from _own_sources(point, judged.cookie | SPOOFED)
            yield from _tracked(point, key, judged)
    for family, _source, _target in _IP.values():
        commit = f"actions=ct(commit,zone={judged.zone}),goto_table:{LOCAL}"
        yield f"table={COMMIT},priority=100,{key},ct_state=+new+trk,{family},{commit}"
    one, every = openflow.Table(POLICY, COMMIT, True), openflow.Table(POLICY_ALL, LOCAL, False)
    yield from openflow.flows(judged.rules, judged.default, key, one, judged.cookie)
    yield from openflow.flows(judged.groups, judged.default, key, every, judged.cookie)


def _exempted(tenancy: Tenancy, key: str, exempt: t.Container[str]) -> t.Iterator[str]:
    """What an edge sends and gets by its own addresses, which nobody else has by writing them on a frame."""
    for point in (*tenancy.local, *tenancy.remote):
        for address in (one for one in point.addresses if one in exempt):
            family, source, target = _IP[6 if ":" in address else 4]
            start, end = f"table={TRACK},priority", f"actions=goto_table:{LOCAL}"
            yield f"{start}=181,{key},dl_src={point.mac},{family},{source}={address},{end}"
            yield f"{start}=180,{key},dl_dst={point.mac},{family},{target}={address},{end}"


def _tracked(point: Point, key: str, judged: Judged) -> t.Iterator[str]:
    """What an endpoint sends and gets is judged, and it gets what is for its own addresses. Rules know no link-local ones, so these are no way around."""
    track, foreign = f"actions=ct(zone={judged.zone},table={POLICY})", f"cookie={judged.cookie | SPOOFED:#x}"
    unnamed = f"cookie={judged.cookie | LINK_LOCAL:#x},table={TRACK},priority=190"
    yield f"{unnamed},{key},dl_src={point.mac},ipv6,ipv6_src=fe80::/10,actions=drop"
    for address in point.addresses:
        family, _source, target = _IP[6 if ":" in address else 4]
        yield f"table={TRACK},priority=130,{key},dl_dst={point.mac},{family},{target}={address},{track}"
    for family, _source, _target in _IP.values():
        yield f"{foreign},table={TRACK},priority=120,{key},dl_dst={point.mac},{family},actions=drop"
        yield f"table={TRACK},priority=110,{key},dl_src={point.mac},{_GROUP},{family},actions=goto_table:{POLICY_ALL}"
        yield f"table={TRACK},priority=100,{key},dl_src={point.mac},{family},{track}"


# Who asks for an address: DHCP, and detection of duplicates with its report of the group (RFC 4862).
_WITHOUT_ADDRESS = ("udp,nw_src=0.0.0.0,tp_src=68,tp_dst=67", *(f"icmp6,ipv6_src=::,icmp_type={n}" for n in (135, 143)))


def _own_sources(point: Point, cookie: int) -> t.Iterator[str]:
    """An endpoint sends from its own addresses."""
    mine = f"in_port={quoted(point.port)}"
    own = [f"{family},{source}={a}" for a in point.addresses for family, source, _target in [_IP[6 if ":" in a else 4]]]
    for match in (*_WITHOUT_ADDRESS, "ipv6,ipv6_src=fe80::/10", *own):
        yield f"table={ISOLATE},priority=70,{mine},{match},actions=goto_table:{ANSWER}"
    for family, _source, _target in _IP.values():
        yield f"cookie={cookie:#x},table={ISOLATE},priority=60,{mine},{family},actions=drop"


def _served_anyway(tenancy: Tenancy, key: str) -> t.Iterator[str]:
    """Questions to the segment's DHCP servers, and their answers, whatever the policy is."""
    servers = [point.mac for point in (*tenancy.local, *tenancy.remote) if point.serves]
    for protocol, client, server, everybody in (
        ("udp", 68, 67, "ff:ff:ff:ff:ff:ff"),
        ("udp6", 546, 547, "33:33:00:01:00:02"),
    ):
        asked, answered = f"{protocol},tp_src={client},tp_dst={server}", f"{protocol},tp_src={server},tp_dst={client}"
        yield f"table={TRACK},priority=195,{key},{asked},dl_dst={everybody},actions=goto_table:{LOCAL}"
        for mac in servers:
            yield f"table={TRACK},priority=195,{key},{asked},dl_dst={mac},actions=goto_table:{LOCAL}"
            yield f"table={TRACK},priority=195,{key},{answered},dl_src={mac},actions=goto_table:{LOCAL}"


def _ways(tenancy: Tenancy) -> t.Iterator[tuple[str, list[str]]]:
    """The MAC addresses that are on other hosts, or also there, and the tunnels to them."""
    for point in tenancy.remote:
        yield point.mac, [point.port, *([point.also] if point.also else [])]
    for point in tenancy.local:
        if point.also:
            yield point.mac, [point.also]


def _ports(tenancy: Tenancy) -> list[str]:
    """The ports of a segment on its host, those of known endpoints first."""
    return [quoted(port) for port in (*(point.port for point in tenancy.local), tenancy.socket) if port]


def _learning(tenancy: Tenancy) -> t.Iterator[str]:
    """What a segment has besides for endpoints that no plan knows. What the plan knows comes before, and nobody can learn it away."""
    key, ports = f"metadata={tenancy.key:#x}", _ports(tenancy)
    for port in ports:
        yield f"table={CLASSIFY},priority=90,in_port={port},actions=set_field:{tenancy.key:#x}->metadata,goto_table:{LEARN}"
    for mac, _tunnels in _ways(tenancy):
        yield f"table={LEARN},priority=160,{key},reg0=1,dl_src={mac},actions=goto_table:{LOCAL}"
    for point in tenancy.local:
        if point.also:
            yield f"table={REMOTE},priority=220,{key},reg0=1,dl_dst={point.mac},actions=drop"
    for point in (*tenancy.local, *tenancy.remote):
        yield f"table={LEARN},priority=150,{key},dl_src={point.mac},actions=drop"
        for address in point.addresses:
            if ":" in address:
                yield f"table={ISOLATE},priority=85,{key},{_ADVERT},nd_target={address},actions=drop"
            else:
                yield f"table={ISOLATE},priority=85,{key},arp,arp_spa={address},actions=drop"
    for tunnelled, where, following in ((0, HERE, ISOLATE), (1, BEYOND, LOCAL)):
        # The cookie is the segment's, so that each has a limit of its own, and forgets what it learned when it stops to learn.
        learn = (
            f"table={LEARNED},idle_timeout={LEARNED_SECONDS},cookie={tenancy.key:#x},delete_learned,limit={LEARNED_MOST},"
            "OXM_OF_METADATA[],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
            f"load:NXM_OF_IN_PORT[]->NXM_NX_REG2[0..15],load:{where:#x}->NXM_NX_REG3[]"
        )
        yield f"table={LEARN},priority=100,{key},reg0={tunnelled},actions=learn({learn}),goto_table:{following}"
    yield f"table={ISOLATE},priority=80,{key},arp,actions=goto_table:{ANSWER}"
    yield f"table={ISOLATE},priority=80,{key},{_ADVERT},actions=goto_table:{ANSWER}"
    yield f"table={ANSWER},priority=60,{key},arp,arp_op=1,actions=goto_table:{LOCAL}"
    yield f"table={REMOTE},priority=210,{key},reg0=1,{_SINGLE},actions=goto_table:{LOOK_UP}"
    yield f"table={REMOTE},priority=80,{key},{_SINGLE},actions=goto_table:{LOOK_UP}"
    here = ",".join(f"output:{port}" for port in ports)
    yield f"table={DELIVER},priority=90,{key},reg0=1,reg3=0,actions={here}"
    beyond = "".join(f",output:{quoted(tunnel)}" for tunnel in tenancy.tunnels)
    yield f"table={DELIVER},priority=90,{key},reg0=0,reg3=0,actions={here}" + (
        f",set_field:{tenancy.key:#x}->tun_id{beyond}" if beyond else ""
    )

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random files as people and other programs leave them in /etc/frr: stanzas of daemons that the modules do not manage.

A file is drawn as blocks, then written in some hand. So what stands in which block is known without reading the file.
"""

from __future__ import annotations

import random
import typing as t

# A line, or a line with the lines of its block.
Stanza = t.Union[str, t.Tuple[str, t.List[t.Any]]]
Placed = t.Tuple[t.Tuple[str, ...], str]


def pbr(rng: random.Random, n: int) -> list[Stanza]:
    """Policy based routing."""
    groups: list[Stanza] = [(f"nexthop-group G{n}", [f"nexthop 192.0.2.{k}" for k in range(1, rng.randint(2, 4))])]
    return groups + [
        (f"pbr-map M{n} seq {5 * k}", [f"match src-ip 198.51.{k}.0/24", f"set nexthop-group G{n}"])
        for k in range(1, rng.randint(2, 4))
    ]


def bfd(rng: random.Random, n: int) -> list[Stanza]:
    """BFD with peers and profiles."""
    peers: list[Stanza] = [
        (f"peer 192.0.2.{n * 4 + k}", [f"detect-multiplier {k + 4}"]) for k in range(rng.randint(1, 3))
    ]
    return [("bfd", [(f"profile THEIRS{n}", [f"transmit-interval {rng.randint(50, 299)}"]), *peers])]


def evpn(rng: random.Random, n: int) -> list[Stanza]:
    """BGP in a VRF of theirs, with EVPN in the default one."""
    vnis: list[Stanza] = [
        (f"vni {1000 + n * 10 + k}", [f"rd {n + 1}:{k + 1}", f"route-target import {n + 1}:{k + 1}"])
        for k in range(rng.randint(1, 3))
    ]
    return [
        (
            f"router bgp 6510{n} vrf V{n}",
            [f"neighbor 198.51.100.{n + 1} remote-as 65001", ("address-family l2vpn evpn", ["advertise ipv4 unicast"])],
        )
    ] + [
        (
            "router bgp 65000",
            [
                "neighbor 203.0.113.9 remote-as 65009",
                ("address-family l2vpn evpn", ["neighbor 203.0.113.9 activate", *vnis, "advertise-svi-ip"]),
            ],
        )
    ] * (n == 0)


def vrfs(rng: random.Random, n: int) -> list[Stanza]:
    """VRFs with static routes and a VNI."""
    routes: list[Stanza] = [f"ip route 172.{16 + n}.{k}.0/24 blackhole" for k in range(rng.randint(1, 3))]
    return [(f"vrf V{n}", [*routes, f"vni {5000 + n}"])]


def isis(rng: random.Random, n: int) -> list[Stanza]:
    """IS-IS on interfaces."""
    return [
        (f"interface eth{rng.randint(1, 3)}", [f"ip router isis I{n}", "isis circuit-type level-2-only"]),
        (f"router isis I{n}", [f"net 49.0001.0000.0000.000{n}.00", "is-type level-2-only"]),
    ]


def pim(rng: random.Random, _n: int) -> list[Stanza]:
    """Multicast."""
    return [(f"interface eth{rng.randint(1, 3)}", ["ip pim", "ip igmp"]), "ip pim rp 192.0.2.77 239.0.0.0/8"]


def ldp(rng: random.Random, n: int) -> list[Stanza]:
    """MPLS's label distribution, and a pseudowire."""
    interfaces: list[Stanza] = [(f"interface eth{k}", []) for k in (1, 2, 3)[: rng.randint(1, 3)]]
    wire: Stanza = (f"member pseudowire mpw{n}", [f"neighbor lsr-id 192.0.2.{n + 1}", f"pw-id {n + 1}"])
    return [
        (
            "mpls ldp",
            ["router-id 192.0.2.1", ("address-family ipv4", ["discovery transport-address 192.0.2.1", *interfaces])],
        ),
        (f"l2vpn L{n} type vpls", ["bridge br0", f"member interface eth{n + 4}", wire]),
    ]


def segments(rng: random.Random, n: int) -> list[Stanza]:
    """Segment routing."""
    lists: list[Stanza] = [
        (f"segment-list S{n}{k}", [f"index 5 mpls label {16 + k}"]) for k in range(rng.randint(1, 3))
    ]
    policy: Stanza = (
        f"policy color {n + 1} endpoint 192.0.2.8",
        [f"candidate-path preference 100 name A{n} explicit segment-list S{n}0"],
    )
    return [("segment-routing", [("traffic-eng", [*lists, policy])])]


def others(rng: random.Random, n: int) -> list[Stanza]:
    """Processes of protocols that no module manages."""
    return rng.choice(
        (
            [(f"router eigrp {n + 1}", [f"network 10.{100 + n}.0.0/16"])],
            [("router babel", [f"network eth{n + 1}"]), ("interface eth1", ["babel wireless"])],
            [(f"interface eth{n + 1}", ["ip nhrp network-id 7", f"description uplink {n}"])],
            [("router ripng", [f"network eth{n + 1}"])],
        )
    )


def policies(rng: random.Random, n: int) -> list[Stanza]:
    """Route-maps, lists and key chains."""
    clauses: list[Stanza] = ["match ip address prefix-list THEIRS", f"set metric {rng.randint(1, 99)}"]
    return [
        f"ip prefix-list THEIRS{n} seq 5 permit 10.{n}.0.0/16",
        f"access-list T{n} seq 5 permit 10.0.0.0/8",
        f"bgp community-list standard C{n} seq 5 permit 65000:{n}",
        (f"route-map THEIRS{n} permit 10", clauses),
        (f"route-map THEIRS{n} deny 20", []),
        (f"key chain T{n}", [("key 1", ["key-string theirs"]), ("key 2", ["key-string other"])]),
    ]


def globals_(rng: random.Random, _n: int) -> list[Stanza]:
    """Lines outside blocks."""
    return rng.sample(
        [
            "ip nht resolve-via-default",
            "log syslog informational",
            "ip route 192.0.2.128/25 blackhole 200",
            "debug bgp keepalives",
        ],
        rng.randint(1, 3),
    )


KINDS = (pbr, bfd, evpn, vrfs, isis, pim, ldp, segments, others, policies, globals_)


def draw(rng: random.Random, kinds: t.Sequence[t.Callable[[random.Random, int], list[Stanza]]] = KINDS) -> list[Stanza]:
    """A file's blocks, in any order, some of them opened twice."""
    stanzas: list[Stanza] = []
    for n in range(2):
        for kind in rng.sample(kinds, rng.randint(1, len(kinds))):
            stanzas += kind(rng, n)
    rng.shuffle(stanzas)
    return stanzas


def placed(stanzas: t.Iterable[Stanza], path: tuple[str, ...] = ()) -> t.Iterator[Placed]:
    """Each line with the blocks around it."""
    for stanza in stanzas:
        if isinstance(stanza, str):
            yield path, stanza
            continue
        yield path, stanza[0]
        yield from placed(stanza[1], path + (stanza[0],))


class Hand(t.NamedTuple):
    """How somebody writes: the spaces before a line for each depth, the line break, and whether words such as exit-vrf close blocks."""

    indent: str
    eol: str
    words: bool
    remarks: bool
    ended: bool


def hand(rng: random.Random) -> Hand:
    """Some hand."""
    return Hand(
        rng.choice((" ", "", "  ", "\t")),
        rng.choice(("\n", "\n", "\n", "\r\n")),
        rng.random() < 0.5,
        rng.random() < 0.5,
        rng.random() < 0.9,
    )


def written(rng: random.Random, stanzas: t.Iterable[Stanza], how: Hand) -> str:
    """The text of a file."""
    text = how.eol.join(_lines(rng, stanzas, how, 0)) + how.eol
    return text if how.ended else text[: -len(how.eol)]


def _lines(rng: random.Random, stanzas: t.Iterable[Stanza], how: Hand, depth: int) -> t.Iterator[str]:
    indent = how.indent * depth
    for stanza in stanzas:
        if how.remarks and rng.random() < 0.2:
            yield rng.choice(("!", "", indent + "! a remark", "# another"))
        if isinstance(stanza, str):
            yield indent + stanza
            continue
        yield indent + stanza[0]
        yield from _lines(rng, stanza[1], how, depth + 1)
        yield indent + _closing(stanza[0], how)


def _closing(header: str, how: Hand) -> str:
    if how.words and header.startswith("address-family ") and "ipv4" not in header:
        return "exit-address-family"
    return "exit-vrf" if how.words and header.startswith("vrf ") else "exit"

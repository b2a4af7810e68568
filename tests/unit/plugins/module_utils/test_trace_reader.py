# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What trace_info makes of links and rules as ip(8) prints them."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._trace import reader

Item = t.Dict[str, t.Any]


def link(link_type: str = "ether", *flags: str, **linkinfo: str) -> Item:
    """A link as `ip -json -details address show` has it."""
    return {"ifname": "a0", "link_type": link_type, "flags": ["UP", *flags], "linkinfo": linkinfo, "master": "b0"}


@pytest.mark.parametrize(
    "found,arp",
    [
        (link(), True),
        (link("ether", "NOARP"), False),
        (link("ether", "NOARP", info_kind="veth"), False),
        (link("ether", "NOARP", info_kind="dummy"), True),
        (link("ether", "NOARP", info_kind="vrf"), True),
        (link("none", "NOARP", info_kind="wireguard"), True),
        (link("ppp", "NOARP"), True),
        (link("gre", "NOARP", info_kind="gre"), True),
    ],
)
def test_arp_is_off_only_where_somebody_has_turned_it_off(found: Item, arp: bool) -> None:
    assert reader._link(found)["arp"] is arp


def test_a_vrf_is_no_bridge_and_its_rule_is_no_doubt() -> None:
    assert reader._link(link(info_slave_kind="bridge"))["master"] == "b0"
    assert reader._link(link(info_slave_kind="vrf"))["master"] is None
    rules = [
        {"priority": 1000, "src": "all", "l3mdev": None},
        {"priority": 9, "src": "all", "fwmark": "0x1", "table": "7"},
    ]
    documents: t.List[t.List[Item]] = [[], [], [], rules]
    said = "\n".join(map(json.dumps, documents))

    class Said:
        def __call__(self, _step: t.Any) -> str:
            return said

        def run(self, argv: t.Sequence[str]) -> t.Tuple[int, str, str]:
            if argv[0] == "tc":
                return 127, "", "not found"
            assert "-6" in argv
            return (
                0,
                json.dumps(
                    rules[:1] + [{"priority": 5, "src": "all", "dst": "2001:db8::", "dstlen": 64, "action": "prohibit"}]
                ),
                "",
            )

    found = reader.read_kernel(t.cast(t.Any, Said()), None)
    assert [(rule["priority"], rule["decided"]) for rule in found["rules"]] == [(9, False)]
    assert [(rule["priority"], rule["dst"], rule["action"]) for rule in found["rules6"]] == [
        (5, "2001:db8::/64", "prohibit")
    ]


def test_a_switch_that_does_not_answer_is_asked_once() -> None:
    """Each question would wait for as long; one that it refuses says nothing of the next."""
    hung = "2026-11-29T23:36:40Z|00001|fatal_signal|WARN|terminating with signal 14 (Alarm clock)"
    refused = "no such bridge\novs-appctl: ovs-vswitchd: server returned an error"
    asked: t.List[t.Sequence[str]] = []

    class Switch:
        said = hung

        def run(self, argv: t.Sequence[str]) -> t.Tuple[int, str, str]:
            asked.append(argv)
            return 1, "", self.said

    questions = [{"name": name, "bridge": "br-int", "flow": "icmp"} for name in ("there", "back")]
    found = reader._traces(t.cast(t.Any, Switch()), questions)
    assert set(found.values()) == {"error: ovs-appctl: no answer of ovs-vswitchd in 10 s"} and len(asked) == 1
    Switch.said = refused
    reader._traces(t.cast(t.Any, Switch()), questions)
    assert len(asked) == 3


def test_a_program_of_xdp_is_seen() -> None:
    assert reader._link({**link(), "xdp": {"mode": 2, "prog": {"id": 7}}})["xdp"] is True
    assert reader._link(link())["xdp"] is False


def test_older_nft_tell_the_interfaces_of_a_chain_as_text_alone() -> None:
    chains = [{"chain": {"family": "netdev", "table": "t", "name": name, "hook": "egress"}} for name in ("o", "i", "n")]
    said = """table netdev t {
\tchain o {
\t\ttype filter hook egress device "eth1" priority filter; policy drop;
\t}

\tchain i {
\t\ttype filter hook ingress devices = { a, "b.10" } priority filter; policy accept;
\t}

\tchain n {
\t\ttype filter hook ingress device v-web2 priority filter; policy accept;
\t}
}
"""
    asked: t.List[t.Sequence[str]] = []

    class Nft:
        def run(self, argv: t.Sequence[str]) -> t.Tuple[int, str, str]:
            asked.append(argv)
            return 0, said, ""

    reader._place(t.cast(t.Any, Nft()), ["ip", "netns", "exec", "x"], chains)
    assert [one["chain"]["dev"] for one in chains] == [["eth1"], ["a", "b.10"], ["v-web2"]]
    reader._place(t.cast(t.Any, Nft()), [], chains)
    assert asked == [["ip", "netns", "exec", "x", "nft", "list", "ruleset", "netdev"]]


def test_counters_are_read_by_name_from_both_kinds_of_files() -> None:
    pairs = "Ip: Forwarding InAddrErrors\nIp: 1 5\nTcp: InSegs\nTcp: 3\n"
    assert reader.counters_of(pairs) == {"IpForwarding": 1, "IpInAddrErrors": 5, "TcpInSegs": 3}
    assert reader.counters_of("XfrmInError \t0\nXfrmOutPolBlock \t2\n") == {"XfrmInError": 0, "XfrmOutPolBlock": 2}
    assert reader.counters_of("") == {}


@pytest.mark.parametrize(
    "said,tracked", [((0, "3\n", ""), [3, 3]), ((2, "", "Operation not supported"), None), ((0, "?\n", ""), None)]
)
def test_connections_of_a_switch_are_numbers_or_not_told(said: t.Any, tracked: t.Any) -> None:
    class Says:
        def run(self, argv: t.Sequence[str]) -> t.Tuple[int, str, str]:
            assert argv[-1] in ("dpctl/ct-get-nconns", "dpctl/ct-get-maxconns")
            return t.cast("t.Tuple[int, str, str]", said)

    assert reader._tracked(t.cast(t.Any, Says())) == tracked


def test_filters_of_tc_are_asked_for_where_an_interface_may_have_them() -> None:
    """What `tc -json` prints; a hook without a filter drops nothing."""
    queues = [
        {"kind": "noqueue", "dev": "lo"},
        {"kind": "ingress", "dev": "a0", "parent": "ffff:fff1"},
        {"kind": "clsact", "dev": "b0", "parent": "ffff:fff1"},
        {"kind": "clsact", "dev": "c0", "parent": "ffff:fff1"},
    ]
    filters = {("b0", "egress"): [{"protocol": "all", "pref": 49152, "kind": "matchall", "chain": 0}]}
    asked: t.List[t.Tuple[str, ...]] = []

    class Tc:
        def run(self, argv: t.Sequence[str]) -> t.Tuple[int, str, str]:
            assert argv[:4] == ["tc", "-n", "web2", "-json"]
            asked.append(tuple(argv[4:]))
            return 0, json.dumps(queues if argv[4] == "qdisc" else filters.get((argv[7], argv[8]), [])), ""

    assert reader._filters(t.cast(t.Any, Tc()), "web2") == {"b0"}
    assert [row[3:] for row in asked[1:]] == [
        ("a0", "ingress"),
        ("b0", "ingress"),
        ("b0", "egress"),
        ("c0", "ingress"),
        ("c0", "egress"),
    ]


def test_what_is_counted_by_processors_is_summed_up() -> None:
    text = "entries  allocs table_fulls\n00000002  00000001 0000000a\n00000002  00000001 00000001\n"
    assert reader.hexadecimal(text, "table_fulls") == 11
    assert reader.hexadecimal(text, "drop") == 0 and reader.hexadecimal("", "drop") == 0


def test_limits_of_connections_and_routes_of_the_switch_are_read() -> None:
    """In the words of Open vSwitch 3.1."""
    assert reader.limits_of("default limit=0\nzone=1,limit=5,count=3\n") == {"1": [5, 3]}
    assert reader.limits_of("default limit=10\n") == {"default": [10, None]}
    assert reader.limits_of("") == {}
    table = "Route Table:\nCached: 10.0.0.0/8 dev eth0 SRC 10.0.0.1\nUser: 192.168.200.2/32 dev br-int SRC 10.1.1.1\n"
    assert [(one["to"], one["dev"]) for one in reader.own_routes(table)] == [("192.168.200.2/32", "br-int")]
    assert reader.own_routes("Route Table:\n") == []

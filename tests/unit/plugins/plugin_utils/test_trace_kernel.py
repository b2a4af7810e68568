# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes, filters, rules and tables by themselves, on data as the tools print it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import kernel, nft, switch

OURS = "0x6f76f8688f420000"
KEYED = f"""Flow: icmp,in_port="v-acme1",dl_src=02:3c:62:7e:9d:de,dl_dst=02:c7:d8:51:e9:6a

bridge("br-key")
----------------
 0. in_port="v-acme1",dl_src=02:3c:62:7e:9d:de, priority 100, cookie {OURS}
    set_field:0x1389->metadata
    goto_table:10
10. priority 0, cookie {OURS}
    goto_table:20
40. metadata=0x1389,dl_dst=02:c7:d8:51:e9:6a, priority 100, cookie {OURS}
    set_field:0x1389->tun_id
    output:"keyed-kvm2"
     -> output to native tunnel
     -> tunneling to 10.254.0.11 via ul-eth1

bridge("br-underlay")
---------------------
 0. priority 0
    NORMAL
     -> forwarding to learned port

Final flow: icmp,tun_id=0x1389
Megaflow: recirc_id=0,eth,ip,in_port="v-acme1"
Datapath actions: """ + (
    "tnl_push(tnl_port(genev_sys_6081),header(size=50,type=5,eth(dst=02:b2:94:4d:7f:63,src=02:fa:ca:5d:64:be,dl_type=0x0800),"
    "ipv4(src=192.168.200.1,dst=192.168.200.2,proto=17,tos=0,ttl=64,frag=0x4000),udp(src=0,dst=6081,csum=0x0),geneve(vni=0x1389)),"
    "out_port(ul-eth1)),eth1\n"
)


def traced(actions: str, flows: str = " 0. priority 0\n    NORMAL\n") -> switch.Traced:
    return switch.parse(
        f'bridge("br-int")\n--\n{flows}\nFinal flow: unchanged\nMegaflow: x\nDatapath actions: {actions}\n'
    )


def test_an_answer_of_the_switch_is_told_by_tables_and_tunnel():
    found = switch.parse(KEYED)
    assert found.tunnels == {"192.168.200.2": "02:b2:94:4d:7f:63"} and found.outputs == ("eth1",)
    assert [flow.table for flow in found.flows] == [0, 10, 40, 0]
    assert "table 40 remote: " in switch.in_words(found.flows[2], {40: "remote"})
    assert switch.whose(found.flows[2], "tracedev-r") == "ours"
    assert switch.whose(found.flows[3], "tracedev-r") == "without a cookie"


@pytest.mark.parametrize(
    "actions,outputs",
    [
        ("pop_vlan,v-web2", ("v-web2",)),
        ("push_vlan(vid=10,pcp=0),br-int,pop_vlan,v-red", ("br-int", "v-red")),
        ("drop", ()),
        ("ct(commit,zone=1,nat(src=1.2.3.4)),v-a", ("v-a",)),
    ],
)
def test_ports_are_told_from_actions(actions, outputs):
    assert traced(actions).outputs == outputs


def test_the_kernels_datapath_names_the_tunnel_too():
    assert traced(
        "set(tunnel(tun_id=0x0,src=192.168.200.1,dst=192.168.200.2,ttl=64,tp_dst=6081,flags(df))),4"
    ).tunnels == {"192.168.200.2": ""}


def test_no_flow_and_an_error_are_told():
    empty = traced("drop", " 0. No match.\n    drop\n")
    assert switch.last(empty).match is None and not empty.outputs
    assert "no flow matches" in switch.in_words(switch.last(empty), {})
    assert switch.parse("error: br-int: unknown bridge").error == "br-int: unknown bridge"


def row(to: str, dev: str = "eth0", **more) -> dict:
    via = more.pop("via", None)
    plain = {"to": to, "type": "unicast", "table": "main", "metric": 0, "dead": False}
    return {**plain, "hops": [{"via": via, "dev": dev}], **more}


def space(*routes: dict, **more) -> dict:
    return {"routes": list(routes), "rp_filter": {"all": 0}, "neighbors": [], "links": {}, **more}


def test_the_longest_prefix_wins_then_the_metric_and_a_dead_route_counts_for_nothing():
    routes = [
        row("default", "a", via="10.0.0.1"),
        row("10.1.0.0/16", "b", metric=20),
        row("10.1.0.0/16", "c", metric=5),
        row("10.1.1.0/24", "d", dead=True),
    ]
    assert kernel.route(space(*routes), "10.1.1.1")["hops"][0]["dev"] == "c"
    assert kernel.route(space(*routes), "8.8.8.8")["hops"][0]["dev"] == "a"
    # The default route of the other family.
    assert kernel.route(space(*routes), "2001:db8::1") is None


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=12), st.integers(0, 2**32 - 1))
def test_the_route_is_that_of_a_plain_search(prefixes, target):
    address = ipaddress.ip_address(target)
    networks = [ipaddress.ip_network((number, length), strict=False) for number, length in prefixes]
    found = kernel.route(space(*(row(str(network)) for network in networks)), str(address))
    fitting = [network.prefixlen for network in networks if address in network]
    assert (found is None) == (not fitting)
    if found:
        assert ipaddress.ip_network(found["to"]).prefixlen == max(fitting)


def test_a_rule_of_policy_routing_names_another_table_or_refuses():
    rule = {"priority": 9, "src": "10.9.0.0/16", "dst": None, "table": "77", "action": None, "decided": True}
    main = {**rule, "priority": 32766, "src": "all", "table": "main"}
    here = space(
        row("default", "a", via="10.0.0.1"), row("default", "b", via="10.0.0.2", table="77"), rules=[main, rule]
    )
    assert kernel.route(here, "8.8.8.8", "10.9.0.1")["hops"][0]["dev"] == "b"
    assert kernel.route(here, "8.8.8.8", "10.8.0.1")["hops"][0]["dev"] == "a"
    here["rules"] = [{**rule, "src": "all", "dst": "8.8.8.8", "table": None, "action": "prohibit"}, main]
    assert kernel.route(here, "8.8.8.8", "10.9.0.1")["type"] == "prohibit"
    here["rules"][0]["iif"] = "eth1"
    assert kernel.route(here, "8.8.8.8", "10.9.0.1")["type"] == "unicast"
    assert kernel.route(here, "8.8.8.8", "10.9.0.1", "eth1")["type"] == "prohibit"
    here["rules"][0].update(iif=None, decided=False)
    assert kernel.route(here, "8.8.8.8", "10.9.0.1")["type"] == "unicast"
    assert kernel.undecided(here) == ["priority 9, prohibit"]
    here["rules"] = [{**rule, "src": "all"}]
    assert kernel.route(space(row("default", "a"), rules=here["rules"]), "8.8.8.8") is None


@pytest.mark.parametrize(
    "mode,interface,dropped", [(0, "eth1", False), (1, "eth0", False), (1, "eth1", True), (2, "eth1", False)]
)
def test_a_strict_filter_wants_the_way_back_by_the_same_interface(mode, interface, dropped):
    here = space(row("10.1.0.0/16"), rp_filter={"all": 0, interface: mode})
    assert bool(kernel.reverse_path(here, interface, "10.1.2.3")) is dropped


def test_a_loose_filter_wants_any_way_back():
    here = space(row("10.1.0.0/16"), rp_filter={"all": 2})
    assert "no way back" in kernel.reverse_path(here, "eth1", "172.16.0.1")


MET = nft.Met("10.1.1.1", "10.1.1.2", "tcp", 80, "eth0", "")


def ruleset(*expr: list, policy: str = "accept", hook: str = "input") -> list:
    chain = {"family": "inet", "table": "t", "name": "c", "type": "filter", "hook": hook, "prio": 0, "policy": policy}
    rules = [
        {"rule": {"family": "inet", "table": "t", "chain": "c", "handle": n, "expr": one}} for n, one in enumerate(expr)
    ]
    return [{"metainfo": {}}, {"table": {"family": "inet", "name": "t"}}, {"chain": chain}, *rules]


def match(left: dict, right, op: str = "==") -> dict:
    return {"match": {"op": op, "left": left, "right": right}}


DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}
SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}
STATE = {"ct": {"key": "state"}}
DROP, ACCEPT = {"drop": None}, {"accept": None}


@pytest.mark.parametrize(
    "expr,dropped",
    [
        ([match(DPORT, 80), DROP], True),
        ([match(DPORT, 81), DROP], False),
        ([match(DPORT, 81, "!="), DROP], True),
        ([match(DPORT, {"set": [22, 80]}), DROP], True),
        ([match(DPORT, {"range": [1, 100]}), DROP], True),
        ([match(DPORT, {"range": [81, 100]}), DROP], False),
        ([match(SADDR, {"prefix": {"addr": "10.1.0.0", "len": 16}}), {"reject": {}}], True),
        ([match(SADDR, {"prefix": {"addr": "10.2.0.0", "len": 16}}), DROP], False),
        ([match({"meta": {"key": "iifname"}}, "eth*"), DROP], True),
        ([match({"meta": {"key": "l4proto"}}, "udp"), DROP], False),
        ([match({"payload": {"protocol": "icmp", "field": "type"}}, "echo-request"), DROP], False),
        ([match({"meta": {"key": "l4proto"}}, 6), DROP], True),
        ([match({"payload": {"protocol": "ip", "field": "protocol"}}, 47), DROP], False),
    ],
)
def test_a_rule_drops_what_it_matches(expr, dropped):
    assert bool(nft.verdict(ruleset(expr), "input", MET)) is dropped
    assert nft.verdict(ruleset(expr), "forward", MET) is None


def test_a_drop_is_told_with_its_rule_and_counter():
    found = nft.verdict(ruleset([match(DPORT, 80), {"counter": {"packets": 7, "bytes": 9}}, DROP]), "input", MET)
    assert (found.rule, found.packets, found.certain) == ("nftables chain inet t c: tcp dport 80 drop", 7, True)


def test_a_chain_at_an_interface_sees_what_comes_in_there():
    chain = {
        "family": "netdev",
        "table": "t",
        "name": "c",
        "hook": "ingress",
        "dev": "eth0",
        "prio": 0,
        "policy": "drop",
    }
    assert nft.verdict([{"chain": chain}], "ingress", MET)
    assert nft.verdict([{"chain": chain}], "ingress", MET._replace(iif="eth1")) is None
    # nft 1.0.6 does not tell the interface.
    chain.pop("dev")
    assert not nft.verdict([{"chain": chain}], "ingress", MET).certain


def test_what_was_accepted_before_is_not_dropped_and_a_policy_drops_the_rest():
    rules = ruleset([match(DPORT, 80), ACCEPT], policy="drop")
    assert nft.verdict(rules, "input", MET) is None
    assert "policy drop" in nft.verdict(rules, "input", MET._replace(port=81)).rule


def test_an_answer_is_established_and_a_question_is_not():
    rules = ruleset([match(STATE, {"set": ["established", "related"]}, "in"), ACCEPT], policy="drop")
    assert nft.verdict(rules, "input", MET._replace(reply=True)) is None
    assert nft.verdict(rules, "input", MET).certain


def test_a_condition_that_cannot_be_told_makes_a_drop_a_doubt():
    rules = ruleset([match({"meta": {"key": "mark"}}, 1), ACCEPT], policy="drop")
    assert not nft.verdict(rules, "input", MET).certain


VMAP = {"vmap": {"key": {"meta": {"key": "mark"}}, "data": {"set": [[1, ACCEPT], [2, {"jump": {"target": "other"}}]]}}}


@pytest.mark.parametrize(
    "onward", [[VMAP], *([match({"meta": {"key": "mark"}}, 1), {way: {"target": "other"}}] for way in ("jump", "goto"))]
)
def test_where_a_packet_goes_on_that_cannot_be_told_a_policy_that_drops_is_a_doubt(onward):
    assert not nft.verdict(ruleset(onward, policy="drop"), "input", MET).certain
    assert nft.verdict(ruleset([match(DPORT, 81), *onward], policy="drop"), "input", MET).certain


@pytest.mark.parametrize("condition", [match({"meta": {"key": "mark"}}, 1), {"xt": None}, {"limit": {"rate": 5}}])
def test_a_drop_by_a_condition_that_cannot_be_told_is_a_doubt(condition):
    found = nft.verdict(ruleset([condition, DROP]), "input", MET)
    assert found and not found.certain
    assert nft.verdict(ruleset([condition, match(DPORT, 81), DROP]), "input", MET) is None
    # A rule further on that is certain says more.
    assert nft.verdict(ruleset([condition, DROP], [match(DPORT, 80), DROP]), "input", MET).rule.endswith(
        "dport 80 drop"
    )


def test_documents_one_after_the_other():
    assert documents("[1]\n[]\n{}") == [[1], [], {}]


SYN = {"payload": {"protocol": "tcp", "field": "flags"}}
BEGINNING = {"&": [SYN, ["fin", "syn", "rst", "ack"]]}


@pytest.mark.parametrize(
    "left,op,right,first,answer,later",
    [
        (SYN, "in", "syn", True, True, False),
        (SYN, "==", "syn", True, False, False),
        (BEGINNING, "==", "syn", True, False, False),
        (BEGINNING, "!=", "syn", False, True, True),
        (SYN, "in", ["rst", "ack"], False, True, True),
        (SYN, "==", {"|": ["syn", "ack"]}, False, True, False),
    ],
)
def test_flags_of_tcp_tell_the_beginning_of_a_connection(left, op, right, first, answer, later):
    rules = ruleset([match(left, right, op), DROP])
    met = MET._replace(port=80)
    kinds = (met, met._replace(reply=True), met._replace(later=True))
    assert [bool(nft.verdict(rules, "input", one)) for one in kinds] == [first, answer, later]
    assert nft.verdict(rules, "input", MET._replace(protocol="icmp", port=None)) is None
    # A set of combinations is not told.
    unsaid = nft.verdict(ruleset([match(left, {"set": ["syn"]}, "=="), DROP]), "input", met)
    assert unsaid and not unsaid.certain


def test_rules_against_the_search_for_neighbors_of_ipv6_are_told_from_those_against_pings():
    kind = {"payload": {"protocol": "icmpv6", "field": "type"}}
    asks = MET._replace(source="2001:db8::1", target="2001:db8::2", protocol="nd", port=None)
    for right in ("nd-neighbor-solicit", 135):
        rules = ruleset([match(kind, right), DROP])
        assert nft.verdict(rules, "input", asks).certain
        assert nft.verdict(rules, "input", asks._replace(reply=True)) is None
        assert nft.verdict(rules, "input", asks._replace(protocol="icmp")) is None
    every = ruleset([match({"meta": {"key": "l4proto"}}, "ipv6-icmp"), DROP])
    assert nft.verdict(every, "input", asks).certain
    assert nft.verdict(ruleset([match(kind, "echo-request"), DROP]), "input", asks) is None


def test_nat_is_told_as_a_person_writes_it():
    rules = ruleset([{"snat": {"addr": "10.77.0.1", "port": 7}}], hook="postrouting")
    rules[2]["chain"]["type"] = "nat"
    assert nft.translation(rules, "postrouting", MET).rule.endswith("snat to 10.77.0.1 port 7")

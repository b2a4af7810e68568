# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges in the plan: interfaces, gateways, tables of nftables, what verify expects of them, and what is refused with which sentence."""

from __future__ import annotations

import copy
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._nft.table import declared
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge, state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.causes import causes
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations, host_state
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

Item = t.Dict[str, t.Any]
EDGE: Item = {
    "name": "edge",
    "hosts": ["kvm1"],
    "legs": [
        {"segment": "web", "address": "10.1.1.1", "address6": "2001:db8:1::1"},
        {"segment": "db", "address": "10.1.2.1"},
        {"segment": "out", "address": "10.9.0.1", "gateway": False},
    ],
}
RULE: Item = {"name": "web-to-db", "from": ["web"], "to": ["db"], "protocol": "tcp", "ports": ["5432"]}
WWW: Item = {"name": "www", "segment": "out", "port": 80, "to": "kvm2/web2", "to_port": 8080}


def fabric(*edges: Item, policy: t.Sequence[Item] = (), web: Item | None = None, web1: Item | None = None) -> Item:
    """Two hosts with endpoints on the segments web and db, and one outside."""
    base: Item = {
        "fabric_name": "test",
        "fabric_segments": [
            {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:1::/64", **(web or {})},
            {"name": "db", "vlan": 20, "subnet": "10.1.2.0/24"},
            {"name": "out", "vlan": 30, "subnet": "10.9.0.0/24"},
        ],
        "fabric_edges": copy.deepcopy(list(edges)),
        "fabric_policy": copy.deepcopy(list(policy)),
    }
    first: list[Item] = [{"name": "web1", "segment": "web", **(web1 or {})}]
    second: list[Item] = [
        {"name": "web2", "segment": "web"},
        {"name": "db2", "segment": "db"},
        {"name": "client", "segment": "out"},
    ]
    return {"kvm1": {**base, "fabric_endpoints": first}, "kvm2": {**base, "fabric_endpoints": second}}


def planned(*edges: Item, **more: t.Any) -> Item:
    """The plan."""
    return compile_plan(fabric(*edges, **more), SPEC)


def space(plan: Item, host: str, name: str, interface: str = "eth0") -> Item:
    """A namespace's interface."""
    found = plan["hosts"][host]["namespaces"]
    return next(one for one in found if (one["name"], one["interface"]) == (name, interface))


def table(plan: Item) -> str:
    """The content of the edge's table."""
    return t.cast(str, plan["hosts"]["kvm1"]["nft_tables"][0]["content"])


def test_an_edge_is_a_namespace_with_an_interface_in_each_segment() -> None:
    plan = planned(EDGE)
    assert [one["interface"] for one in plan["hosts"]["kvm1"]["namespaces"] if one["name"] == "edge"] == [
        "web",
        "db",
        "out",
    ]
    assert space(plan, "kvm1", "edge", "web")["addresses"] == ["10.1.1.1/24", "2001:db8:1::1/64"]
    assert space(plan, "kvm1", "edge", "web")["sysctls"]["net.ipv4.ip_forward"] == "1"
    points = {one["id"]: one for one in plan["endpoints"] if one.get("edge")}
    assert list(points) == ["kvm1/edge", "kvm1/edge-db", "kvm1/edge-out"]
    assert points["kvm1/edge-db"]["of"] == "kvm1/edge" and points["kvm1/edge-db"]["namespace"] == "edge"
    assert not plan["hosts"]["kvm2"]["nft_tables"]


def test_endpoints_have_their_default_route_by_the_gateway_unless_they_state_one() -> None:
    assert space(planned(), "kvm1", "web1")["routes"] == []
    both = [{"to": "default", "via": "10.1.1.1"}, {"to": "default", "via": "2001:db8:1::1"}]
    plan = planned(EDGE)
    assert space(plan, "kvm1", "web1")["routes"] == both
    assert space(plan, "kvm2", "client")["routes"] == []
    own = {"to": "default", "via": "10.1.1.9"}
    assert space(planned(EDGE, web1={"routes": [own]}), "kvm1", "web1")["routes"] == [own, both[1]]
    other = {"to": "10.8.0.0/16", "via": "10.1.1.9"}
    assert space(planned(EDGE, web1={"routes": [other]}), "kvm1", "web1")["routes"] == [other, *both]


def test_segments_of_tenants_with_the_same_addresses_meet_at_no_edge_and_shadow_no_rule() -> None:
    tenants: list[Item] = [
        {"name": "web3", "vlan": 13, "tenant": "other", "subnet": "10.1.1.0/24"},
        {"name": "db3", "vlan": 23, "tenant": "other", "subnet": "10.1.2.0/24"},
    ]
    legs: list[Item] = [{"segment": "web3", "address": "10.1.1.1"}, {"segment": "db3", "address": "10.1.2.1"}]
    policy = [RULE, {**RULE, "name": "theirs", "from": ["web3"], "to": ["db3"]}]
    hosts = fabric(EDGE, {"name": "edge3", "hosts": ["kvm2"], "legs": legs}, policy=policy)
    # The hosts have the lists in common.
    hosts["kvm1"]["fabric_segments"] += tenants
    plan = compile_plan(hosts, SPEC)
    assert [[rule["name"] for rule in edge["rules"]] for edge in plan["edges"]] == [["web-to-db"], ["theirs"]]
    hosts["kvm1"]["fabric_edges"][0]["legs"].append({**legs[0], "address": "10.1.1.9", "gateway": False})
    with pytest.raises(PlanError, match=r"legs\[3\].segment web3 10.1.1.0/24 overlaps fabric_edges\[edge\].legs\[0\]"):
        compile_plan(hosts, SPEC)


def test_clients_of_dhcp_have_the_gateway_from_the_server() -> None:
    plan = planned(EDGE, web={"dhcp": {}}, web1={"address": "dhcp"})
    assert next(one for one in plan["segments"] if one["name"] == "web")["dhcp"]["router"] == "10.1.1.1"
    assert space(plan, "kvm1", "web1")["routes"] == [{"to": "default", "via": "2001:db8:1::1"}]
    assert space(plan, "kvm1", "dhcp-web")["routes"] == []
    given = planned(EDGE, web={"dhcp": {"router": "10.1.1.7"}}, web1={"address": "dhcp"})
    assert next(one for one in given["segments"] if one["name"] == "web")["dhcp"]["router"] == "10.1.1.7"


def test_the_edges_own_routes_leave_by_the_interface_of_their_next_hop() -> None:
    plan = planned({**EDGE, "routes": [{"to": "default", "via": "10.9.0.254"}]})
    assert space(plan, "kvm1", "edge", "out")["routes"] == [{"to": "default", "via": "10.9.0.254"}]
    assert space(plan, "kvm1", "edge", "web")["routes"] == []


def test_the_table_drops_what_is_not_stated_and_counts_each_rule() -> None:
    content = table(planned(EDGE, policy=[RULE]))
    assert "hook forward priority filter; policy drop;" in content and "counter name denied drop" in content
    assert "counter rule-web-to-db { }" in content
    rule = "ip saddr { 10.1.1.0/24 } ip daddr { 10.1.2.0/24 } tcp dport { 5432 } counter name rule-web-to-db accept"
    assert rule in content
    # Anti-spoofing: behind a gateway its subnets alone, and none of these behind the way out.
    assert 'iifname "web" ip saddr != { 10.1.1.0/24, 0.0.0.0 } counter name spoofed drop' in content
    assert 'iifname "out" ip saddr { 10.1.1.0/24, 10.1.2.0/24 } counter name spoofed drop' in content
    assert "log" not in content and "maxseg" not in content and "hook prerouting priority dstnat" not in content
    assert 'log prefix "denied: "' in table(planned({**EDGE, "log": True}))
    assert 'log prefix "rule-web-to-db: "' in table(planned(EDGE, policy=[{**RULE, "log": True}]))
    assert "maxseg size set rt mtu" in table(planned(EDGE, web={"mtu": 1400}))


def test_nat_and_forwards_with_the_addresses_that_they_need() -> None:
    nat = [{"from": "web", "out": "out"}, {"from": "10.1.2.0/25", "out": "out", "address": "10.9.0.8"}]
    forwards = [WWW, {**WWW, "name": "ssh", "port": 22, "to_port": None, "address": "10.9.0.9"}]
    plan = planned({**EDGE, "nat": nat, "forwards": forwards})
    content = table(plan)
    assert 'oifname "out" ip saddr 10.1.1.0/24 masquerade' in content
    assert 'oifname "out" ip saddr 10.1.2.0/25 snat ip to 10.9.0.8' in content
    assert "ip daddr 10.9.0.1 tcp dport 80 dnat ip to 10.1.1.66:8080" in content
    assert "ip daddr 10.9.0.9 tcp dport 22 dnat ip to 10.1.1.66:22" in content
    # Hairpin: who asks from the same segment gets the answer by the edge.
    assert 'ct status dnat oifname "web" ip saddr 10.1.1.0/24 ip daddr 10.1.1.66 masquerade' in content
    assert space(plan, "kvm1", "edge", "out")["addresses"] == ["10.9.0.1/24", "10.9.0.8/24", "10.9.0.9/24"]
    edge = plan["edges"][0]
    assert edge["forwards"][0]["address"] == "10.9.0.1" and edge["nat"][1]["address"] == "10.9.0.8"


PORT = st.integers(1, 65535)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["web", "db", "kvm1/web1", "kvm2/db2", "198.51.100.0/24"]), PORT), max_size=5),
    st.lists(PORT, max_size=4, unique=True),
    st.booleans(),
    st.sampled_from([None, 1300, 1400]),
)
def test_any_table_is_one_that_the_module_takes_and_has_a_counter_for_each_name(
    ends: list[tuple[str, int]], ports: list[int], log: bool, mtu: int | None
) -> None:
    policy = [
        {"name": f"r{n}", "from": ["out"], "to": [to], "protocol": "udp", "ports": [str(port)], "log": log}
        for n, (to, port) in enumerate(ends)
    ]
    forwards = [{**WWW, "name": f"f{port}", "port": port} for port in ports]
    try:
        plan = planned({**EDGE, "log": log, "forwards": forwards}, policy=policy, web={"mtu": mtu} if mtu else None)
    except PlanError as error:
        assert all("never decides" in problem for problem in error.problems)
        return
    content = table(plan)
    assert declared(plan["hosts"]["kvm1"]["nft_tables"])
    used = {line.split("counter name ")[1].split()[0] for line in content.splitlines() if "counter name" in line}
    stated = {line.split()[1] for line in content.splitlines() if line.startswith("counter ")}
    assert used == stated and {f"forward-f{port}" for port in ports} <= used


# What verify expects -------------------------------------------------------------------------------------------------


def found(expected: Item, kind: str) -> set[tuple[str, str]]:
    """Who is asked, of one kind of expectation."""
    return {(one["from"], one["to"]) for one in expected[kind]}


def test_verify_expects_what_the_policy_allows_and_nothing_of_what_it_denies() -> None:
    nothing = expectations(planned(EDGE))
    assert ("kvm1/web1", "kvm2/db2") in found(nothing, "isolated") & found(nothing, "denied")
    pings = {"name": "pings", "from": ["web"], "to": ["db"], "protocol": "icmp"}
    some = expectations(planned(EDGE, policy=[RULE, pings]))
    pair = next(one for one in some["pairs"] if (one["from"], one["to"]) == ("kvm1/web1", "kvm2/db2"))
    assert pair["ping"] and not pair["tcp"] and ("kvm1/web1", "kvm2/db2") in found(some, "denied")
    assert ("kvm1/web1", "kvm2/db2") not in found(some, "isolated")
    assert ("kvm2/db2", "kvm1/web1") in found(some, "isolated")
    assert [(one["port"], one["answers"]) for one in some["connections"]] == [(5432, True)]
    every = expectations(planned(EDGE, policy=[{"name": "all", "from": ["web"], "to": ["db"]}]))
    assert next(one for one in every["pairs"] if (one["from"], one["to"]) == ("kvm1/web1", "kvm2/db2"))["tcp"]
    assert ("kvm1/web1", "kvm2/db2") not in found(every, "denied")


def test_verify_expects_answers_from_outside_only_where_they_find_back() -> None:
    allow = {"name": "out", "from": ["web"], "to": ["out"]}
    without, masked = (
        expectations(planned({**EDGE, "nat": nat}, policy=[allow])) for nat in ([], [{"from": "web", "out": "out"}])
    )
    assert ("kvm1/web1", "kvm2/client") in found(without, "isolated") - found(without, "pairs")
    assert ("kvm1/web1", "kvm2/client") in found(masked, "pairs") - found(masked, "isolated")
    assert ("kvm2/client", "kvm1/web1") in found(masked, "isolated")


def test_verify_asks_for_a_forwarded_port_from_each_segment_its_own_among_them() -> None:
    asked = expectations(planned({**EDGE, "forwards": [WWW]}))["connections"]
    assert {(one["from"], one["address"], one["port"]) for one in asked} == {
        ("kvm1/web1", "10.9.0.1", 80),
        ("kvm2/db2", "10.9.0.1", 80),
        ("kvm2/client", "10.9.0.1", 80),
    }
    deny = {"name": "no-db", "action": "deny", "from": ["db"], "to": ["kvm2/web2"]}
    less = expectations(planned({**EDGE, "forwards": [WWW]}, policy=[deny]))["connections"]
    assert {one["from"] for one in less} == {"kvm1/web1", "kvm2/client"}


def test_verify_asks_ports_of_udp_that_are_allowed() -> None:
    udp = {**RULE, "name": "names", "protocol": "udp", "ports": ["53", "5000-5010"]}
    deny = {**udp, "name": "not", "action": "deny", "ports": ["69"]}
    asked = expectations(planned(EDGE, policy=[deny, udp, RULE]))["connections"]
    assert {(one["protocol"], one["port"]) for one in asked} == {("udp", 53), ("tcp", 5432)}
    forward = {**WWW, "protocol": "udp"}
    asked = expectations(planned({**EDGE, "forwards": [forward]}))["connections"]
    assert {(one["protocol"], one["port"], one["target_port"]) for one in asked} == {("udp", 80, 8080)}


@pytest.mark.parametrize(
    ("outcome", "taken", "passed"),
    [
        ({"connected": True}, [], True),
        ({"error": "Connection refused"}, [], True),
        ({"error": "no answer"}, [54], False),
        ({"error": "no answer"}, [53], True),
        ({"error": "No route to host"}, [53], False),
    ],
)
def test_silence_of_udp_is_none_of_the_edge_only_where_somebody_listens(
    outcome: Item, taken: list[int], passed: bool
) -> None:
    plan = planned(EDGE, policy=[{**RULE, "protocol": "udp", "ports": ["53"]}])
    checks = connected(plan, outcome, {"listening": {"udp": {"kvm2/db2": taken}}})
    assert [one["passed"] for one in checks] == [passed]


def connected(plan: Item, outcome: Item, more: Item) -> list[Item]:
    """The checks of connections that all had this outcome. more: what else was seen on each host."""
    observed: Item = {}
    for host, rounds in judge.options(plan, expectations(plan)).items():
        answers = [dict(outcome) if p["kind"] == "connect" else {"error": "x"} for p in rounds["transfers"]]
        observed[host] = {"transfers": {"observed": answers}, **more}
    return [one for one in judge.judge(plan, expectations(plan), observed) if one["kind"] == "connect"]


@pytest.mark.parametrize(
    ("outcome", "passed"),
    [({"connected": True}, True), ({"error": "Connection refused"}, True), ({"error": "timed out"}, False)],
)
def test_an_answer_from_nobody_shows_that_the_edge_lets_it_pass(outcome: Item, passed: bool) -> None:
    plan = planned(EDGE, policy=[RULE])
    expected = expectations(plan)
    asked = [probe["kind"] for probes in judge.probes(plan, expected).values() for probe in probes]
    assert asked.count("connect") == 1
    observed: Item = {}
    for host, rounds in judge.options(plan, expected).items():
        answers = [dict(outcome) if p["kind"] == "connect" else {"error": "x"} for p in rounds["transfers"]]
        observed[host] = {"transfers": {"observed": answers}}
    checks = judge.judge(plan, expected, observed)
    assert [one["passed"] for one in checks if one["kind"] == "connect"] == [passed]
    assert causes(plan, checks, {})


@pytest.mark.parametrize(("as_loaded", "passed"), [(True, True), (False, False)])
def test_a_table_that_was_changed_by_hand_fails(as_loaded: bool, passed: bool) -> None:
    wanted = {"tables": host_state(planned(EDGE)["hosts"]["kvm1"])["tables"], "flows": {}}
    row = {"netns": "edge", "family": "inet", "name": "edge", "owner": "test", "running": True, "as_loaded": as_loaded}
    (check,) = (one for one in state.judge("kvm1", wanted, {"tables": [row]}) if one["kind"] == "table")
    assert check["passed"] == passed and check["thing"] == "edge"
    assert check["look"] == "on kvm1: ip netns exec edge nft list table inet edge"


# What is refused -----------------------------------------------------------------------------------------------------

NAT: Item = {"from": "web", "out": "out"}
DENY: Item = {"name": "first", "action": "deny", "from": ["web"], "to": ["db"]}


@pytest.mark.parametrize(
    ("edges", "policy", "said"),
    [
        ([{**EDGE, "hosts": []}], [], "fabric_edges[edge].hosts is empty; name one host that the edge is on, or two"),
        (
            [{**EDGE, "hosts": ["kvm9"]}],
            [],
            "fabric_edges[edge].hosts has kvm9, which is no host of the fabric; did you mean kvm2",
        ),
        (
            [{**EDGE, "name": "web1"}],
            [],
            "fabric_edges[web1] would be kvm1/web1, which is an endpoint already; give one another name.",
        ),
        (
            [{**EDGE, "legs": EDGE["legs"][:1]}],
            [],
            "fabric_edges[edge].legs must be two or more, as an edge routes between segments.",
        ),
        (
            [{**EDGE, "legs": [EDGE["legs"][1], {**EDGE["legs"][1], "interface": "b"}]}],
            [],
            "fabric_edges[edge].legs names segment db twice; name each once.",
        ),
        (
            [{**EDGE, "legs": [*EDGE["legs"][1:], {"segment": "webb", "address": "10.1.1.1"}]}],
            [],
            "fabric_edges[edge].legs[2].segment webb is no segment; did you mean web?",
        ),
        (
            [{**EDGE, "legs": [*EDGE["legs"][1:], {"segment": "web", "address": "10.1.1.1"}]}],
            [],
            "fabric_edges[edge].legs[2].address6 is missing; segment web has the subnet6 2001:db8:1::/64, so"
            " give an address there.",
        ),
        (
            [{**EDGE, "legs": [*EDGE["legs"][:2], {"segment": "out", "address": "10.8.0.1"}]}],
            [],
            "fabric_edges[edge].legs[2].address 10.8.0.1 is outside fabric_segments[out].subnet 10.9.0.0/24",
        ),
        (
            [EDGE, {**EDGE, "name": "other", "hosts": ["kvm2"]}],
            [],
            "kvm1/edge (given: fabric_edges[edge].legs[0].address) and kvm2/other (given:"
            " fabric_edges[other].legs[0].address) both have the address 10.1.1.1; give one of them another address.",
        ),
        (
            [EDGE, {**EDGE, "name": "other", "hosts": ["kvm2"]}],
            [],
            "fabric_edges[edge].legs[1] and fabric_edges[other].legs[1] are both the gateway of segment db; give"
            " one of them gateway: false.",
        ),
        (
            [{**EDGE, "legs": [EDGE["legs"][0], {"segment": "db", "address": "10.1.2.66"}]}],
            [],
            "kvm1/edge-db (given: fabric_edges[edge].legs[1].address) and kvm2/db2 (allocated: block 1, host id"
            " 2 in fabric_segments[db].subnet) both have the address 10.1.2.66; give one of them another address.",
        ),
        (
            [{**EDGE, "routes": [{"to": "default", "via": "10.7.0.1"}]}],
            [],
            "fabric_edges[edge].routes to default goes via 10.7.0.1, which is on none of its segments; give a"
            " next hop there.",
        ),
        (
            [{**EDGE, "nat": [{"from": "out", "out": "out"}]}],
            [],
            "fabric_edges[edge].nat[0] translates out onto itself, as what leaves by segment out is in"
            " 10.9.0.0/24; name another segment in out.",
        ),
        (
            [{**EDGE, "nat": [{"from": "10.0.0.0/8", "out": "db"}]}],
            [],
            "fabric_edges[edge].nat[0] translates 10.0.0.0/8 onto itself, as what leaves by segment db is in"
            " 10.1.2.0/24",
        ),
        (
            [{**EDGE, "nat": [{"from": "weeb", "out": "out"}]}],
            [],
            "fabric_edges[edge].nat[0].from weeb is no segment and no prefix; did you mean web?",
        ),
        (
            [{**EDGE, "nat": [{"from": "web", "out": "internet"}]}],
            [],
            "fabric_edges[edge].nat[0].out internet is no segment of the edge",
        ),
        (
            [{**EDGE, "nat": [{"from": "2001:db8:1::/64", "out": "out"}]}],
            [],
            "fabric_edges[edge].nat[0].from 2001:db8:1::/64 is IPv6, which is routed; leave it out.",
        ),
        (
            [{**EDGE, "nat": [{**NAT, "address": "10.8.0.1"}]}],
            [],
            "kvm1/edge-out: the address 10.8.0.1 is outside of segment out (10.9.0.0/24); give an address inside.",
        ),
        (
            [{**EDGE, "nat": [{**NAT, "address": "10.9.0.66"}]}],
            [],
            "kvm1/edge-out (given: for NAT) and kvm2/client (allocated: block 1, host id 2 in"
            " fabric_segments[out].subnet) both have the address 10.9.0.66",
        ),
        (
            [{**EDGE, "forwards": [{**WWW, "to": "kvm2/web9"}]}],
            [],
            "fabric_edges[edge].forwards[www].to kvm2/web9 is no endpoint; did you mean kvm2/web2?",
        ),
        (
            [{**EDGE, "forwards": [{**WWW, "to": "kvm2/client"}]}],
            [],
            "fabric_edges[edge].forwards[www].to kvm2/client is on segment out, whose gateway the edge is not;"
            " name an endpoint behind it.",
        ),
        (
            [{**EDGE, "forwards": [{**WWW, "port": 0}]}],
            [],
            "fabric_edges[edge].forwards[www].port must be 1 to 65535, not 0.",
        ),
        (
            [{**EDGE, "forwards": [WWW, {**WWW, "name": "two"}]}],
            [],
            "fabric_edges[edge].forwards[www] and fabric_edges[edge].forwards[two] both are tcp port 80 of"
            " 10.9.0.1; give one of them another port.",
        ),
        (
            [{**EDGE, "forwards": [{**WWW, "segment": "web", "address": "2001:db8:1::1", "to": "kvm2/db2"}]}],
            [],
            "fabric_edges[edge].forwards[www].to kvm2/db2 has no address of the family of 2001:db8:1::1; name"
            " another endpoint.",
        ),
        (
            [EDGE],
            [{**RULE, "to": ["dbb"]}],
            "fabric_policy[web-to-db].to has dbb, which is no segment, endpoint (HOST/NAME, or NAME where it says its"
            " host), label (label:NAME), address or prefix; did you mean db?",
        ),
        (
            [EDGE],
            [{**RULE, "from": ["kvm1/web9"]}],
            "fabric_policy[web-to-db].from has kvm1/web9, which is no segment, endpoint (HOST/NAME, or NAME where it says its"
            " host), label (label:NAME), address or prefix; did you mean kvm1/web1?",
        ),
        (
            [EDGE],
            [{**RULE, "ports": ["99999"]}],
            "fabric_policy[web-to-db].ports '99999' is no port; write 443, or a range as 8000-8100.",
        ),
        (
            [EDGE],
            [{**RULE, "protocol": "icmp"}],
            "fabric_policy[web-to-db].ports are for tcp and udp; give one of them as protocol, or leave ports out.",
        ),
        (
            [EDGE],
            [DENY, RULE],
            "fabric_policy[web-to-db] never decides, as fabric_policy[first] before it takes all of its packets;"
            " put web-to-db first, or leave one of them out.",
        ),
        ([EDGE], [RULE, {**RULE, "ports": ["1"]}], "fabric_policy has the name web-to-db twice; give each its own."),
        (
            [EDGE],
            [{**RULE, "from": ["10.0.0.0/8"], "to": ["2001:db8::/32"]}],
            "fabric_policy[web-to-db] has from and to without an address family in common; give both of the same"
            " family.",
        ),
        (
            [EDGE],
            [{**RULE, "to": ["kvm1/web1"]}],
            "fabric_policy[web-to-db] is enforced by nobody on segment web, where packets between its ends meet no edge; give"
            " fabric_overlays[0] segments_by: key and policy: deny or allow, or leave the rule out.",
        ),
        ([], [RULE], "fabric_policy[web-to-db] is enforced by nobody"),
    ],
)
def test_refusals(edges: list[Item], policy: list[Item], said: str) -> None:
    with pytest.raises(PlanError) as refused:
        planned(*edges, policy=policy)
    assert any(said in problem for problem in refused.value.problems), refused.value.problems
    assert all(problem.endswith((".", "?")) for problem in refused.value.problems)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy by flows: for random fabrics, rules and packets, what a pure switch does with the flows is what the model says."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import owner_cookie
from ansible_collections.overloom.fabric.plugins.module_utils._status.reader import policy_packets
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import (
    Packet,
    Place,
    Rule,
    allowed,
    deciding,
    from_data,
    on_segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.openflow import (
    DEFAULT,
    LINK_LOCAL,
    SPOOFED,
    for_groups,
    numbered,
    port_masks,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._status import show as status_show
from ansible_collections.overloom.fabric.plugins.plugin_utils._status.summary import report as status_report
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.causes import causes
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.report import summary, terminal
from ansible_collections.overloom.fabric.tests.unit.flowsim import Fabric
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

Item = t.Dict[str, t.Any]
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PORTS = [0, 1, 22, 80, 81, 443, 8000, 8100, 65535]
ENDS = [
    "pos",
    "guests",
    "label:a",
    "label:b",
    "kvm1/pos1",
    "kvm2/pos2",
    "kvm2/guests2",
    "10.1.1.0/26",
    "2001:db8:1::/64",
    "0.0.0.0/0",
    "::/0",
]
RANGES = st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS)).map(lambda pair: f"{min(pair)}-{max(pair)}")


def fabric(policy: list[Item], default: str = "deny", **more: t.Any) -> Item:
    """Two hosts with endpoints on two segments with a policy, which an edge joins."""
    legs = [
        {"segment": "pos", "address": "10.1.1.1", "address6": "2001:db8:1::1"},
        {"segment": "guests", "address": "10.1.2.1", "address6": "2001:db8:2::1"},
    ]
    common: Item = {
        "fabric_name": "test",
        "fabric_overlays": [{"name": "wan", "encapsulation": "vxlan", "segments_by": "key", "policy": default}],
        "fabric_segments": [
            {"name": "pos", "key": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:1::/64"},
            {"name": "guests", "key": 20, "subnet": "10.1.2.0/24", "subnet6": "2001:db8:2::/64"},
        ],
        "fabric_edges": [{"name": "gate", "hosts": ["kvm1"], "legs": legs}],
        "fabric_policy": policy,
        **more,
    }
    first = [
        {"name": "pos1", "segment": "pos", "labels": ["a"]},
        {"name": "pos3", "segment": "pos"},
        {"name": "guests1", "segment": "guests", "labels": ["b"]},
    ]
    second = [
        {"name": "pos2", "segment": "pos", "labels": ["a", "b"]},
        {"name": "guests2", "segment": "guests"},
    ]
    return {"kvm1": {**common, "fabric_endpoints": first}, "kvm2": {**common, "fabric_endpoints": second}}


@st.composite
def policies(draw: t.Any) -> list[Item]:
    """Some rules with names of their own."""
    rules = []
    for number in range(draw(st.integers(0, 5))):
        protocol = draw(st.sampled_from([None, "tcp", "udp", "icmp"]))
        rule = {
            "name": f"r{number}",
            "action": draw(st.sampled_from(["allow", "deny"])),
            "from": draw(st.lists(st.sampled_from(ENDS), max_size=2, unique=True)),
            "to": draw(st.lists(st.sampled_from(ENDS), max_size=2, unique=True)),
        }
        if protocol:
            rule["protocol"] = protocol
        if protocol in ("tcp", "udp"):
            rule["ports"] = draw(st.lists(RANGES, max_size=2))
        rules.append(rule)
    return rules


def planned(policy: list[Item], default: str = "deny") -> Item | None:
    """The plan, or None where a rule can never decide."""
    try:
        return compile_plan(fabric(policy, default), SPEC)
    except PlanError as error:
        assert all("never decides" in one or "address family" in one for one in error.problems), error.problems
        return None


def judged(plan: Item, segment: str) -> tuple[list[Rule], bool, dict[int, str]]:
    """The rules of a segment, its default, and the rules' names by their numbers."""
    found = next(one for one in plan["policy"] if one["segment"] == segment)
    names = {rule["number"]: rule["name"] for rule in found["rules"]}
    return [from_data(rule) for rule in found["rules"]], found["default"] == "allow", names


def frame(other: Item, packet: Packet, answer: bool = False) -> Item:
    """A packet of a connection between two endpoints as a frame; other has the MAC address that it is sent to."""
    six = packet.source.version == 6
    kind = f"{packet.protocol}6" if six else packet.protocol
    prefix = "ipv6" if six else "nw"
    source, target = (packet.target, packet.source) if answer else (packet.source, packet.target)
    ports = {"tp_src": packet.port, "tp_dst": 40000} if answer else {"tp_src": 40000, "tp_dst": packet.port}
    return {
        "protocol": kind,
        "dl_dst": other["mac"],
        f"{prefix}_src": str(source),
        f"{prefix}_dst": str(target),
        **(ports if packet.protocol != "icmp" else {"icmp_type": 128 if six else 8}),
    }


def packet_of(one: Item, other: Item, version: int, protocol: str, port: int) -> Packet:
    """The first packet of a connection."""
    option = "address6" if version == 6 else "address"
    source, target = ipaddress.ip_address(one[option]), ipaddress.ip_address(other[option])
    return Packet(source, target, protocol, 0 if protocol == "icmp" else port)


def met(switches: Fabric) -> set[int]:
    """The free bits of the cookies of all flows that the last packet met."""
    return {cookie & 0xFFFF for bridge in switches.bridges.values() for cookie in bridge.decided} - {0}


PACKETS = st.tuples(st.sampled_from([4, 6]), st.sampled_from(["tcp", "udp", "icmp"]), st.sampled_from(PORTS))


@many
@given(policies(), st.sampled_from(["allow", "deny"]), PACKETS)
def test_flows_judge_each_pair_of_a_segment_as_the_model_does_and_name_the_rule(
    policy: list[Item], default: str, sent: tuple[int, str, int]
) -> None:
    plan = planned(policy, default)
    if plan is None:
        return
    points, switches = [one for one in plan["endpoints"] if not one["router"]], Fabric(plan)
    for one in points:
        for other in (other for other in points if other is not one and other["segment"] == one["segment"]):
            rules, passes, names = judged(plan, one["segment"])
            packet = packet_of(one, other, *sent)
            switches.forget()
            arrived, _hosts = switches.send(one, **frame(other, packet))
            assert bool(arrived) == allowed(rules, packet, passes)
            rule = deciding(rules, packet)
            assert {names.get(number, number) for number in met(switches)} == {rule.name if rule else DEFAULT}
            # Answers of what passed pass, and of what did not do not, unless they might open a connection themselves.
            back, _hosts = switches.send(other, **frame(one, packet, answer=True))
            opening = Packet(
                packet.target, packet.source, packet.protocol, 40000 if packet.port or sent[1] != "icmp" else 0
            )
            assert bool(back) == (bool(arrived) or allowed(rules, opening, passes))


@many
@given(policies(), st.sampled_from(["allow", "deny"]), PACKETS)
def test_flows_judge_routed_packets_at_both_ends_alone(
    policy: list[Item], default: str, sent: tuple[int, str, int]
) -> None:
    plan = planned(policy, default)
    if plan is None:
        return
    gates = {one["segment"]: one for one in plan["endpoints"] if one.get("edge")}
    points, switches = [one for one in plan["endpoints"] if not one["router"]], Fabric(plan)
    for one in points:
        for other in (other for other in points if other["segment"] != one["segment"]):
            packet = packet_of(one, other, *sent)
            switches.forget()
            to_gate, _hosts = switches.send(one, **frame(gates[one["segment"]], packet))
            rules, passes, _names = judged(plan, one["segment"])
            assert bool(to_gate) == allowed(rules, packet, passes)
            # Whatever the gate thinks of it.
            arrived, _hosts = switches.send(gates[other["segment"]], **frame(other, packet))
            rules, passes, _names = judged(plan, other["segment"])
            assert bool(arrived) == allowed(rules, packet, passes)


@many
@given(policies(), st.sampled_from(["allow", "deny"]), PACKETS)
def test_what_everybody_gets_is_denied_to_nobody(policy: list[Item], default: str, sent: tuple[int, str, int]) -> None:
    plan = planned(policy, default)
    if plan is None:
        return
    points = [one for one in plan["endpoints"] if not one["router"]]
    for one in points:
        others = [other for other in points if other is not one and other["segment"] == one["segment"]]
        rules, passes, _names = judged(plan, one["segment"])
        everybody = {"mac": "ff:ff:ff:ff:ff:ff" if sent[0] == 4 else "33:33:00:00:00:01"}
        packet = packet_of(one, one, *sent)
        packet = packet._replace(target=ipaddress.ip_address("10.1.1.255" if sent[0] == 4 else "ff02::1"))
        arrived, _hosts = Fabric(plan).send(one, **frame(everybody, packet))
        if arrived:
            assert {name for name, _frame in arrived} >= {other["id"] for other in others}
            for other in others:
                assert allowed(rules, packet_of(one, other, *sent), passes)


def only(plan: Item, one: str, other: str, **more: t.Any) -> tuple[bool, set[int]]:
    """Whether a ping from one endpoint reaches another, with some of its fields changed, and whose flows it met."""
    points = {point["id"]: point for point in plan["endpoints"]}
    version = 6 if any("ipv6" in key for key in more) else 4
    first = frame(points[other], packet_of(points[one], points[other], version, "icmp", 0))
    switches = Fabric(plan)
    arrived, _hosts = switches.send(points[one], **{**first, **more})
    return other in [name for name, _frame in arrived], met(switches)


def test_nobody_gets_around_a_rule_by_another_address() -> None:
    plan = planned([{"name": "no", "action": "deny", "from": ["kvm1/pos3"], "to": ["kvm2/pos2"]}], "allow")
    assert plan
    number = plan["policy"][0]["rules"][0]["number"]
    assert only(plan, "kvm1/pos1", "kvm2/pos2") == (True, {DEFAULT})
    assert only(plan, "kvm1/pos3", "kvm2/pos2") == (False, {number})
    assert only(plan, "kvm1/pos3", "kvm2/pos2", nw_src="10.1.1.77") == (False, {SPOOFED})
    assert only(plan, "kvm1/pos3", "kvm2/pos2", nw_dst="10.1.1.77")[0] is False
    assert only(plan, "kvm1/pos3", "kvm2/pos2", nw_dst="255.255.255.255")[0] is False
    assert only(plan, "kvm1/pos3", "kvm2/pos2", ipv6_src="fe80::1", ipv6_dst="fe80::2") == (False, {LINK_LOCAL})
    assert only(plan, "kvm1/pos3", "kvm2/pos2", ipv6_dst="fe80::2")[0] is False
    # Neighbor discovery goes on, by whatever addresses.
    asked = {"icmp_type": 135, "icmp_code": 0, "nd_sll": "02:00:00:00:00:01", "nd_target": "fe80::2"}
    assert only(plan, "kvm1/pos3", "kvm2/pos2", ipv6_src="fe80::1", ipv6_dst="ff02::1:ff00:2", **asked)[0]


def test_a_rule_costs_the_sum_of_its_ends_and_has_one_flow_with_the_verdict() -> None:
    rule = {"name": "r", "from": ["label:a"], "to": ["label:b"], "protocol": "tcp", "ports": ["8000-8003"]}
    plan = planned([rule])
    assert plan
    flows = [
        flow["flow"]
        for flow in plan["hosts"]["kvm1"]["flows"][0]["flows"]
        if "table=25,priority=60000,metadata=0xa," in flow["flow"]
    ]
    # Two endpoints with two addresses at each end, and the ports with both families; each for both directions. And the verdict.
    assert len(flows) == 2 * 2 * 2 + 2 * 2 * 2 + 2 * 2 + 1
    assert [flow for flow in flows if "goto_table" in flow] == [flow for flow in flows if "conj_id" in flow]


@pytest.mark.parametrize("sources,targets", [(["0.0.0.0/0"], ["pos"]), (["0.0.0.0/0", "::/0"], ["0.0.0.0/0", "pos"])])
@pytest.mark.parametrize("default", ["allow", "deny"])
def test_no_two_flows_have_one_match_where_a_rule_says_all_addresses(
    sources: list[str], targets: list[str], default: str
) -> None:
    action = "deny" if default == "allow" else "allow"
    plan = planned([{"name": "all", "action": action, "from": sources, "to": targets, "protocol": "tcp"}], default)
    assert plan
    for host in plan["hosts"].values():
        texts = [flow["flow"].partition(",actions=")[0] for entry in host["flows"] for flow in entry["flows"]]
        matches = [",".join(part for part in text.split(",") if not part.startswith("cookie=")) for text in texts]
        assert len(matches) == len(set(matches))


def test_an_edges_address_on_a_frame_to_somebody_else_is_no_way_around_the_policy() -> None:
    plan = planned([])
    assert plan
    points, switches = {point["id"]: point for point in plan["endpoints"]}, Fabric(plan)
    one, gate = points["kvm1/pos1"], points["kvm1/gate"]
    for option in ("address", "address6"):
        source, target = ipaddress.ip_address(one[option]), ipaddress.ip_address(gate[option])
        packet = Packet(source, target, "tcp", 80)
        assert switches.send(one, **frame(gate, packet))[0]
        for other in ("kvm1/pos3", "kvm2/pos2"):
            assert not switches.send(one, **frame(points[other], packet))[0]
    # IGMP is for groups.
    igmp = {"protocol": "ip", "nw_proto": 2, "nw_src": one["address"]}
    group = {"dl_dst": "01:00:5e:00:00:16", "nw_dst": "224.0.0.22"}
    assert switches.send(one, **igmp, **group)[0]
    other = points["kvm2/pos2"]
    assert not switches.send(one, **igmp, dl_dst=other["mac"], nw_dst=other["address"])[0]


@pytest.mark.parametrize("gate", ["kvm1/gate", "10.1.1.1"])
@pytest.mark.parametrize("ends", [("from", "to"), ("to", "from")])
def test_a_rule_about_an_edge_itself_is_enforced_by_nobody(ends: tuple[str, str], gate: str) -> None:
    rule: Item = {"name": "no", "action": "deny", ends[0]: ["kvm1/pos1"], ends[1]: [gate]}
    said = (
        "fabric_policy[no] is enforced by nobody, as an edge's own address is all that from or to names, and an edge judges what it forwards and"
        " takes nothing but pings itself; name endpoints behind it, or leave the rule out."
    )
    with pytest.raises(PlanError) as refused:
        compile_plan(fabric([rule], "allow"), SPEC)
    assert refused.value.problems == [said]
    assert on_learning_bridges(rule) == [said]
    # With somebody besides, or from another segment, whose host judges it.
    assert planned([{**rule, ends[1]: [gate, "kvm2/pos2"]}], "allow")
    assert planned([{**rule, ends[0]: ["kvm1/guests1"]}], "allow")


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_masks_of_ports_are_the_range_and_do_not_overlap(one: int, other: int) -> None:
    low, high = min(one, other), max(one, other)
    masks = port_masks(low, high)
    assert sum(0x10000 - mask for _value, mask in masks) == high - low + 1
    for port in (low, high, (low + high) // 2, max(low - 1, 0), min(high + 1, 65535)):
        assert sum(port & mask == value for value, mask in masks) == (low <= port <= high)


def test_numbers_follow_from_names_and_are_each_one_rules() -> None:
    rules = [Rule(f"r{number}", True) for number in range(3000)]
    found = {one.rule.name: one.number for one in numbered(rules)}
    assert len(set(found.values())) == 3000 and not set(found.values()) & {0, DEFAULT, SPOOFED, LINK_LOCAL}
    assert numbered(rules[7:8])[0].number == numbered([rules[7]])[0].number


def test_rules_of_other_tenants_with_the_same_addresses_do_not_count() -> None:
    net = ipaddress.ip_network("10.1.1.0/24")
    mine, theirs = Rule("mine", True, (Place("pos", net),)), Rule("theirs", True, (Place("far", net),))
    assert on_segment([theirs, mine], "pos", [net], ["pos"]) == [mine]
    ours = Rule(
        "from outside",
        True,
        (Place(None, ipaddress.ip_network("192.0.2.0/24")),),
        (Place("far", ipaddress.ip_network("10.2.0.0/24")),),
    )
    assert on_segment([ours], "pos", [net], ["pos", "far"]) == []


def test_a_group_is_allowed_where_all_of_the_segment_are_and_denied_where_one_is() -> None:
    net = ipaddress.ip_network("10.1.1.0/24")
    one = Place("pos", ipaddress.ip_network("10.1.1.7/32"))
    everywhere = [Place(None, ipaddress.ip_network("0.0.0.0/0"))]
    rules = [
        Rule("one", True, (), (one,)),
        Rule("all", True, (), (Place("pos", net),)),
        Rule("not one", False, (), (one,)),
        Rule("group", True, (), (Place(None, ipaddress.ip_network("224.0.0.0/8")),)),
        Rule("elsewhere", False, (), (Place("far", ipaddress.ip_network("10.2.0.0/16")),)),
    ]
    found = {rule.rule.name: list(rule.rule.targets) for rule in for_groups(numbered(rules), [net])}
    assert found == {"all": everywhere, "not one": everywhere, "group": list(rules[3].targets)}


def test_a_segment_that_learns_has_no_policy() -> None:
    hosts = fabric([])
    hosts["kvm1"]["fabric_segments"][0]["learn"] = True
    with pytest.raises(PlanError) as refused:
        compile_plan(hosts, SPEC)
    assert refused.value.problems == [
        "fabric_segments[pos] has learn: true and a policy, but who is not in the plan has no place in a rule; leave one of them out."
    ]


def on_learning_bridges(*policy: Item) -> list[str]:
    """What is refused of a policy on a fabric whose bridges learn."""
    hosts = fabric(list(policy))
    for host in hosts.values():
        host["fabric_overlays"] = [{"name": "lan", "encapsulation": "vxlan"}]
        host["fabric_segments"] = [
            {"name": "pos", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:1::/64"},
            {"name": "guests", "vlan": 20, "subnet": "10.1.2.0/24", "subnet6": "2001:db8:2::/64"},
        ]
    try:
        compile_plan(hosts, SPEC)
    except PlanError as error:
        return error.problems
    return []


def test_what_learning_bridges_would_let_pass_is_refused_with_what_can_enforce_it() -> None:
    within: Item = {"name": "no", "action": "deny", "from": ["label:b"], "to": ["label:a"]}
    said = (
        "fabric_policy[no] is enforced by nobody on segment pos, where packets between its ends meet no edge; give fabric_overlays[lan]"
        " segments_by: key and policy: deny or allow, or leave the rule out."
    )
    assert on_learning_bridges(within) == [said]
    # An edge is between these.
    assert on_learning_bridges({**within, "from": ["kvm2/guests2"]}) == []
    # What is allowed there passes anyway.
    assert on_learning_bridges({**within, "action": "allow"}) == []
    assert on_learning_bridges({**within, "action": "allow", "from": ["kvm1/pos1"], "to": ["kvm2/pos2"]}) == [said]


def test_a_policy_is_refused_where_bridges_learn_and_a_label_that_nobody_has() -> None:
    hosts = fabric([{"name": "r", "from": ["label:c"]}])
    hosts["kvm1"]["fabric_overlays"][0]["segments_by"] = "vlan"
    for number, segment in enumerate(hosts["kvm1"]["fabric_segments"], 1):
        segment.update(key=None, vlan=number)
    with pytest.raises(PlanError) as refused:
        compile_plan(hosts, SPEC)
    assert refused.value.problems == [
        "fabric_overlays[wan].policy is for overlays with segments_by: key, as bridges that learn judge nothing; leave it out, or say so in"
        " fabric_overlays[wan].segments_by.",
        "fabric_policy[r].from has the label c, which no endpoint of fabric_endpoints has in labels; known here: a, b.",
    ]


def test_a_segment_has_a_default_of_its_own() -> None:
    hosts = fabric([])
    hosts["kvm1"]["fabric_segments"][0]["policy"] = "allow"
    plan = compile_plan(hosts, SPEC)
    assert {one["segment"]: one["default"] for one in plan["policy"]} == {"pos": "allow", "guests": "deny"}
    assert len({one["zone"] for one in plan["policy"]}) == 2
    hosts["kvm1"]["fabric_segments"][0]["policy"] = "none"
    assert [one["segment"] for one in compile_plan(hosts, SPEC)["policy"]] == ["guests"]


# What verify expects -------------------------------------------------------------------------------------------------

PAYMENT: Item = {"name": "payment", "from": ["label:a"], "to": ["kvm1/pos3"], "protocol": "tcp", "ports": ["8443"]}
PINGS: Item = {"name": "pings", "from": ["pos"], "to": ["pos"], "protocol": "icmp"}
NO_GUESTS: Item = {"name": "no-guests", "action": "deny", "from": ["label:b"], "to": ["label:a"]}


def expected(policy: list[Item], default: str = "deny") -> tuple[Item, Item]:
    """The plan, and what verify expects."""
    plan = planned(policy, default)
    assert plan
    return plan, expectations(plan)


def test_verify_probes_each_pair_of_a_segment_both_ways_and_names_the_rule() -> None:
    _plan, wanted = expected([NO_GUESTS, PAYMENT, PINGS])
    denied = {(one["from"], one["to"], one["probe"]): one["rule"] for one in wanted["denied"] if one["family"] == 4}
    assert denied["kvm2/pos2", "kvm1/pos1", "ping"] == denied["kvm2/pos2", "kvm1/pos1", "tcp"] == "rule no-guests"
    assert denied["kvm1/pos1", "kvm2/pos2", "tcp"] == "segment pos: no rule allows it"
    assert ("kvm1/pos1", "kvm2/pos2", "ping") not in denied
    pairs = {(one["from"], one["to"], one["family"]): one for one in wanted["pairs"]}
    assert pairs["kvm1/pos1", "kvm2/pos2", 6]["ping"] and not pairs["kvm1/pos1", "kvm2/pos2", 6]["tcp"]
    # Each pair is probed, one way or the other.
    for one in ("kvm1/pos1", "kvm1/pos3", "kvm2/pos2"):
        for other in {"kvm1/pos1", "kvm1/pos3", "kvm2/pos2"} - {one}:
            assert (one, other, "ping") in denied or pairs[one, other, 4]["ping"]
            assert (one, other, "tcp") in denied or pairs[one, other, 4]["tcp"]
    opened = {(one["from"], one["to"], one["port"], one["answers"]) for one in wanted["connections"]}
    assert opened == {("kvm1/pos1", "kvm1/pos3", 8443, True), ("kvm2/pos2", "kvm1/pos3", 8443, True)}


def test_verify_holds_both_ends_and_the_edge_against_what_is_routed() -> None:
    allow: Item = {"name": "all", "from": ["guests"], "to": ["pos"]}
    _plan, wanted = expected([{**NO_GUESTS, "to": ["kvm1/pos1"]}, allow])
    denied = {(one["from"], one["to"]): one["rule"] for one in wanted["denied"]}
    assert denied["kvm1/guests1", "kvm1/pos1"] == "rule no-guests"
    assert {("kvm1/guests1", "kvm2/pos2"), ("kvm2/guests2", "kvm1/pos3")} & {
        (one["from"], one["to"]) for one in wanted["pairs"] if one["tcp"]
    }


def test_a_port_that_a_rule_denies_must_not_answer() -> None:
    telnet: Item = {"name": "no-telnet", "action": "deny", "protocol": "tcp", "ports": ["23"]}
    plan, wanted = expected([telnet], "allow")
    found = [one for one in wanted["denied"] if one["probe"] == "connect"]
    assert {(one["port"], one["family"], one["rule"]) for one in found} == {
        (23, 4, "rule no-telnet"),
        (23, 6, "rule no-telnet"),
    }
    host = found[0]["from"].partition("/")[0]
    probes = judge.denials(plan, wanted)[host]
    for error, passed in (("timed out", True), ("Connection refused", False)):
        outcomes = [{"error": error} if probe["kind"] == "connect" else {} for probe in probes]
        checks = judge.judge(plan, wanted, {host: {"denied": {"observed": outcomes}}})
        verdicts = [one for one in checks if one.get("rule") == "rule no-telnet" and one["host"] == host]
        assert verdicts and all(one["leak"] != passed for one in verdicts)
        titles = [cause["title"] for cause in causes(plan, verdicts, {})]
        assert ("policy is violated: rule no-telnet" in titles) != passed


def test_a_violated_rule_is_one_cause_for_all_of_its_pairs() -> None:
    plan, wanted = expected([NO_GUESTS, PAYMENT, PINGS])
    observed: Item = {}
    for host, todo in judge.denials(plan, wanted).items():
        leaks = [probe["rule"] == "rule no-guests" and probe["kind"] == "isolation" for probe in todo]
        observed[host] = {"denied": {"observed": [{"echo_replies": 2} if leak else {} for leak in leaks]}}
    checks = [one for one in judge.judge(plan, wanted, observed) if one["kind"].startswith("denied")]
    (cause,) = (one for one in causes(plan, checks, {}) if one["title"].startswith("policy"))
    assert cause["title"] == "policy is violated: rule no-guests"
    assert len(cause["checks"]) == sum(one["leak"] for one in checks) > 1
    found = summary("test", checks, 1.0)
    assert found["violations"] == {"rule no-guests": ["kvm2/pos2 -> kvm1/pos1 (ping)"]}
    assert "  ! violated: rule no-guests: kvm2/pos2 -> kvm1/pos1 (ping)" in terminal(found, [])


# Status --------------------------------------------------------------------------------------------------------------


def test_status_counts_the_packets_of_each_rule_over_its_flows_and_shows_what_was_dropped() -> None:
    plan = planned([NO_GUESTS, PAYMENT])
    assert plan
    numbers = {rule["name"]: rule["number"] for one in plan["policy"] for rule in one["rules"]}
    cookie = owner_cookie("test")
    dump = "\n".join(
        f" cookie={value:#x}, duration=9.7s, table=25, n_packets={packets}, n_bytes=743, priority=1,ip actions=drop"
        for value, packets in (
            (cookie | numbers["no-guests"], 5),
            (cookie | numbers["no-guests"], 2),
            (cookie | numbers["payment"], 11),
            (cookie | DEFAULT, 3),
            (cookie, 100),
            (DEFAULT, 100),
        )
    )
    read: Item = policy_packets(t.cast(t.Any, lambda _argv: dump), "br-int")
    assert read == {str(numbers["no-guests"]): 7, str(numbers["payment"]): 11, str(DEFAULT): 3}
    report = status_report(plan, {"kvm1": {"unread": {}, "policies": {"br-int": read}}}, 100.0)
    assert {(row["host"], row["rule"], row["action"], row["packets"]) for row in report["policy"]} == {
        ("kvm1", "rule no-guests", "deny", 7),
        ("kvm1", "rule payment", "allow", 11),
        ("kvm1", "no rule takes it", "deny", 3),
    }
    shown = status_show.lines(report)
    at = shown.index("  dropped by the policy")
    assert shown[at + 1 : at + 3] == ["    rule no-guests    7 packets", "    no rule takes it  3 packets"]
    assert 'overloom_policy_packets_total{fabric="test",host="kvm1",rule="rule payment",action="allow"} 11' in (
        status_show.prometheus(report)
    )

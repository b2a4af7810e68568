# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own flows in the plan, who they keep apart, and what verify makes of both."""

from __future__ import annotations

import copy

import pytest
import yaml

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.judge import judge, options, probes
from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT, SPEC

DROP = {"match": {"icmp": True, "nw_dst": "10.1.1.9"}, "actions": []}


def fabric(flows=(), denied=(), **more):
    """Two hosts with two endpoints each in one segment; the flows are kvm1's."""
    common = {
        "fabric_name": "t",
        "fabric_segments": [{"name": "lan", "subnet": "10.1.1.0/24"}],
        "fabric_denied": list(denied),
        **more,
    }
    points = [{"name": name, "segment": "lan"} for name in ("a", "b")]
    return {
        "kvm1": {**common, "fabric_endpoints": points, "fabric_flows": list(flows)},
        "kvm2": {**common, "fabric_endpoints": points},
    }


def plan_of(*arguments, **options):
    return compile_plan(fabric(*arguments, **options), SPEC)


def modes(plan):
    found = {}
    for name, host in plan["hosts"].items():
        found[name] = [bridge["fail_mode"] for bridge in host["bridges"] if "fail_mode" in bridge]
    return found


def test_flows_are_one_call_a_bridge_in_the_words_of_the_module():
    text = {"flow": "table=5,priority=1,actions=normal"}
    plan = plan_of([DROP, text])
    assert plan["hosts"]["kvm1"]["flows"] == [{"bridge": "br-int", "flows": [DROP, text]}]
    assert plan["hosts"]["kvm2"]["flows"] == []
    assert modes(plan) == {"kvm1": [""], "kvm2": [""]}


@pytest.mark.parametrize(
    "flow",
    [
        {"priority": 0, "actions": ["normal"]},
        {"table": 0, "priority": 0, "match": {}, "actions": []},
        {"flow": "priority=0,actions=normal"},
        {"flow": "table=0, priority=0 actions=drop"},
    ],
)
def test_a_flow_for_everything_makes_the_bridge_forward_nothing_by_itself(flow):
    assert modes(plan_of([DROP, flow])) == {"kvm1": ["secure"], "kvm2": [""]}


@pytest.mark.parametrize(
    "flow",
    [
        {"priority": 0, "match": {"ip": True}, "actions": []},
        {"table": 1, "priority": 0, "actions": []},
        {"actions": ["normal"]},
    ],
)
def test_any_other_flow_does_not(flow):
    assert modes(plan_of([flow])) == {"kvm1": [""], "kvm2": [""]}


PAIR = {"from": "kvm1/a", "to": "kvm2/a"}


@pytest.mark.parametrize(
    "hosts, sentence",
    [
        (
            fabric([{"match": {"ip": True}}]),
            "kvm1: fabric_flows[0] says nothing to do; give actions, an empty list to drop, or the whole as flow.",
        ),
        (
            fabric([{**DROP, "bridge": "br-nit"}]),
            "kvm1: fabric_flows[0].bridge br-nit is no integration bridge of kvm1; did you mean br-int?",
        ),
        (
            fabric([DROP, {**DROP, "priority": 70000}]),
            "kvm1: fabric_flows[1]: priority is 70000; give a whole number from 0 to 65535.",
        ),
        (
            fabric(denied=[{**PAIR, "to": "kvm2/aa"}]),
            "fabric_denied[0].to kvm2/aa is no endpoint; did you mean kvm2/a?",
        ),
        (
            fabric(denied=[{"from": "kvm1/a", "to": "kvm1/a"}]),
            "fabric_denied[0] has kvm1/a and kvm1/a; name two endpoints of one segment, as others are kept apart anyway.",
        ),
        (
            fabric(denied=[PAIR, PAIR]),
            "fabric_denied[0] and fabric_denied[1] both are from kvm1/a to kvm2/a; make them one.",
        ),
        (
            fabric(denied=[{**PAIR, "probes": ["udp"]}]),
            "fabric_denied[0].probes[0] must be one of ping, tcp, not 'udp'.",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(hosts, sentence):
    with pytest.raises(PlanError) as refused:
        compile_plan(hosts, SPEC)
    assert refused.value.problems == [sentence]


def test_what_is_denied_is_tried_by_itself_and_nothing_else_is_left_out():
    free, held = (expectations(plan_of(denied=denied)) for denied in ([], [{**PAIR, "probes": ["ping"]}]))
    changed = [(one, other) for one, other in zip(free["pairs"], held["pairs"]) if one != other]
    assert [({**one, "ping": False}, one["from"], one["to"]) for one, _other in changed] == [
        (changed[0][1], "kvm1/a", "kvm2/a")
    ]
    assert [(pair["from"], pair["to"], pair["probe"]) for pair in held["denied"]] == [("kvm1/a", "kvm2/a", "ping")]
    assert free["denied"] == []


def outcome(probe):
    """What a probe observes in a fabric where everything comes through."""
    if probe["kind"] == "tcp":
        return {"bytes": 100, "mbit_per_second": 1.0}
    if probe["kind"] == "isolation":
        return {"answered_by": [], "echo_replies": 0, "error": None, "control_answered": True}
    if probe["kind"] == "host":
        return {"answered_by": [], "others_answered": 1, "error": None}
    return {"sent": 5, "received": 5, "rtt_ms": 1.0, "settled_after": 0.1}


def judged(plan, denied, lost=()):
    """The checks of the denied pairs, where the denials observed `denied` and the pings and transfers that touch `lost` are lost."""
    expected = expectations(plan)
    hosts = options(plan, expected)
    observed = {}
    for host, todo in probes(plan, expected).items():
        results = [
            {"sent": 5, "received": 0, "error": "lost"}
            if {probe["from"], probe["target"]} & set(lost)
            else outcome(probe)
            for probe in todo
        ]
        observed[host] = {
            "pings": {"observed": [r for p, r in zip(todo, results) if p["kind"] in ("ping", "mtu")]},
            "transfers": {"observed": [r for p, r in zip(todo, results) if p["kind"] not in ("ping", "mtu")]},
            "denied": {"observed": [denied[probe["kind"]] for probe in hosts[host]["denied"]]},
        }
    return [check for check in judge(plan, expected, observed) if check["kind"].startswith("denied")]


SILENT = {
    "isolation": {"answered_by": ["02:00:00:00:00:01"], "echo_replies": 0, "error": None},
    "tcp": {"error": "timed out"},
}


def test_silence_between_a_denied_pair_counts_only_while_both_are_alive():
    plan = plan_of(denied=[PAIR])
    assert {(check["kind"], check["passed"]) for check in judged(plan, SILENT)} == {
        ("denied-ping", True),
        ("denied-tcp", True),
    }
    for end in ("kvm1/a", "kvm2/a"):
        checks = judged(plan, SILENT, lost=[end])
        assert [check["passed"] for check in checks] == [False, False] and all(
            end in check["observed"] for check in checks
        )


def test_whatever_comes_through_between_a_denied_pair_is_a_leak():
    checks = judged(
        plan_of(denied=[PAIR]), {"isolation": {**SILENT["isolation"], "echo_replies": 1}, "tcp": {"bytes": 5}}
    )
    assert [(check["passed"], check["leak"]) for check in checks] == [(False, True)] * 2


def test_a_host_that_did_not_try_fails_what_it_had_to_try():
    plan = plan_of(denied=[PAIR])
    expected = expectations(plan)
    assert not any(check["passed"] for check in judge(plan, expected, {}) if check["kind"].startswith("denied"))


@pytest.mark.parametrize(
    "result, passed, words",
    [
        ({"commands": []}, True, "as planned"),
        (
            {"commands": ["ovs-ofctl bundle br-int - <<'EOF'\nflow add table=0,actions=drop\nEOF"]},
            False,
            "1 differ; the first is missing or changed: table=0",
        ),
        (
            {"commands": ["ovs-ofctl bundle br-int - <<'EOF'\nflow delete_strict cookie=0x5/-1,table=9\nEOF"]},
            False,
            "one too many",
        ),
        ({"commands": ["systemctl enable x"]}, False, "brings them back"),
        ({"failed": True, "msg": "bridge br-int is not there"}, False, "kvm1 was not read: bridge br-int is not there"),
    ],
)
def test_flows_are_as_planned_if_a_run_would_change_nothing(result, passed, words):
    plan = plan_of([DROP])
    observed = {"kvm1": {"flows": {"results": [{**result, "item": {"bridge": "br-int"}}]}}}
    (check,) = [check for check in judge(plan, expectations(plan), observed) if check["kind"] == "flows"]
    assert check["passed"] is passed and words in check["observed"] and check["from"] == "kvm1:br-int"


def test_an_address_that_both_tenants_have_leaks_by_its_mac_alone():
    segments = [
        {"name": name, "tenant": name, "key": key, "subnet": "10.0.0.0/24"} for name, key in (("x", 1), ("y", 2))
    ]
    common = {"fabric_name": "t", "fabric_overlays": [{"segments_by": "key"}], "fabric_segments": segments}
    points = [{"name": name, "segment": name, "address": "10.0.0.1"} for name in "xy"]
    more = [{"name": name, "segment": name, "address": "10.0.0.2"} for name in "xy"]
    plan = compile_plan(
        {"kvm1": {**common, "fabric_endpoints": points}, "kvm2": {**common, "fabric_endpoints": more}}, SPEC
    )
    expected = expectations(plan)
    assert all(pair["shared"] for pair in expected["isolated"])

    def checks(seen, lost=False):
        observed = {}
        for host, todo in probes(plan, expected).items():
            pings = [{"sent": 5, "received": 0} if lost else outcome(p) for p in todo if p["kind"] in ("ping", "mtu")]
            rest = [
                {**outcome(p), **(seen if p["kind"] == "isolation" else {})}
                for p in todo
                if p["kind"] not in ("ping", "mtu")
            ]
            observed[host] = {"pings": {"observed": pings}, "transfers": {"observed": rest}}
        return {check["passed"] for check in judge(plan, expected, observed) if check["kind"] == "isolation"}

    assert checks({"echo_replies": 3}) == {True}
    assert checks({"answered_by": ["02:00:00:00:00:09"]}) == {False}
    assert checks({}, lost=True) == {False}, "what the switch answers for is no control where nothing comes through"


def test_the_scenario_says_what_its_flows_do():
    folder = CHECKOUT / "inventory/openflow"
    hosts = yaml.safe_load((folder / "hosts.yml").read_text(encoding="utf-8"))["all"]["children"]["kvm_hosts"]["hosts"]
    common = {
        key: value
        for key, value in yaml.safe_load((folder / "group_vars/all.yml").read_text(encoding="utf-8")).items()
        if key.startswith("fabric_")
    }
    plan = compile_plan({name: {**copy.deepcopy(common), **own} for name, own in hosts.items()}, SPEC)
    denied = {(pair["from"], pair["to"], probe) for pair in plan["denied"] for probe in pair["probes"]}
    assert {(to, source, probe) for source, to, probe in denied} == denied, (
        "an answer that is dropped is missed in both directions"
    )

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold, derived from a plan."""

from __future__ import annotations

import collections
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, fabrics

many = settings(max_examples=80, deadline=None)


def apart(plan):
    """All ordered pairs of endpoints of different segments."""
    return {(a["id"], b["id"]) for a, b in itertools.permutations(plan["endpoints"], 2) if a["segment"] != b["segment"]}


@many
@given(fabrics())
def test_every_ordered_pair_is_either_to_talk_or_to_be_kept_apart(hosts):
    plan = compile_plan(hosts, SPEC)
    expected = expectations(plan, None)
    assert json.loads(json.dumps(expected)) == expected
    talk = {(pair["from"], pair["to"]) for pair in expected["pairs"]}
    silent = {(pair["from"], pair["to"]) for pair in expected["isolated"]}
    assert not talk & silent
    assert talk | silent == set(itertools.permutations([point["id"] for point in plan["endpoints"]], 2))
    assert silent == apart(plan)
    assert expected["isolation"]["checked"] == expected["isolation"]["of"] == len(silent)


@many
@given(fabrics())
def test_each_address_of_a_peer_is_pinged_at_exactly_the_planned_mtu(hosts):
    plan = compile_plan(hosts, SPEC)
    points = {point["id"]: point for point in plan["endpoints"]}
    found = collections.defaultdict(set)
    for pair in expectations(plan)["pairs"]:
        point = points[pair["to"]]
        assert pair["mtu"] == point["mtu"] == pair["payload"] + (28 if pair["family"] == 4 else 48)
        assert (pair["family"] == 6) == (":" in pair["address"])
        found[pair["from"], pair["to"]].add(pair["address"])
    for (_source, target), addresses in found.items():
        assert addresses == {points[target]["address"], points[target]["address6"]} - {None}


@many
@given(fabrics())
def test_each_negative_has_a_positive_control_where_there_is_a_peer(hosts):
    plan = compile_plan(hosts, SPEC)
    points = {point["id"]: point for point in plan["endpoints"]}
    peers = collections.Counter(point["segment"] for point in plan["endpoints"])
    for pair in expectations(plan)["isolated"]:
        source, control = points[pair["from"]], pair["control"]
        assert (control is None) == (peers[source["segment"]] == 1)
        if control:
            peer = points[control["to"]]
            assert peer["segment"] == source["segment"] and peer["id"] != source["id"]
            assert control["address"] in (peer["address"], peer["address6"])
            elsewhere = any(
                p["segment"] == source["segment"] and p["host"] != source["host"] for p in plan["endpoints"]
            )
            assert elsewhere == (peer["host"] != source["host"])


@many
@given(fabrics())
def test_each_tunnel_is_pinged_from_both_its_ends(hosts):
    plan = compile_plan(hosts, SPEC)
    ways = {(tep["from"], tep["to"]) for tep in expectations(plan)["teps"]}
    address = {tep["host"]: tep["address"] for tep in plan["teps"]}
    tunnels = {
        (address[name], tunnel["remote_ip"]) for name, host in plan["hosts"].items() for tunnel in host["tunnels"]
    }
    assert {(address[one], address[other]) for one, other in ways} == tunnels


@many
@given(fabrics(), st.integers(1, 60))
def test_a_sample_says_how_many_of_how_many_and_meets_each_class(hosts, limit):
    plan = compile_plan(hosts, SPEC)
    points = {point["id"]: point for point in plan["endpoints"]}

    def classes(pairs):
        return {tuple((points[end]["segment"], points[end]["host"]) for end in pair) for pair in pairs}

    expected = expectations(plan, limit)
    chosen = {(pair["from"], pair["to"]) for pair in expected["isolated"]}
    everything = apart(plan)
    count = expected["isolation"]
    assert chosen <= everything and count["checked"] == len(chosen) and count["of"] == len(everything)
    assert count["classes_checked"] == len(classes(chosen)) and count["classes"] == len(classes(everything))
    assert len(chosen) == min(len(everything), max(limit, min(count["classes"], 10 * limit)))
    if count["classes"] <= 10 * limit:
        assert classes(chosen) == classes(everything)
    assert expectations(plan, limit) == expected


@many
@given(fabrics())
def test_the_state_of_each_host_names_every_port_once(hosts):
    plan = compile_plan(hosts, SPEC)
    for name, state in expectations(plan)["hosts"].items():
        host = plan["hosts"][name]
        ports = [p["name"] for b in host["bridges"] for p in b.get("ports", ())]
        ports += [t["name"] for t in host["tunnels"]] + [n["outer"] for n in host["namespaces"]]
        assert sorted(state["ports"]) == sorted(ports)
        assert set(state["bridges"]) == {bridge["name"] for bridge in host["bridges"]}
        assert {port["bridge"] for port in state["ports"].values()} <= set(state["bridges"])
        assert "" not in [
            value for port in state["ports"].values() for value in port.values() if isinstance(value, str)
        ]


@pytest.mark.parametrize("endpoints, both", [(45, True), (46, False)])
def test_a_transfer_in_one_direction_stands_for_both_in_a_large_fabric(endpoints, both):
    points = [{"name": f"e{i}", "segment": "s"} for i in range(endpoints)]
    hosts = {
        "kvm1": {
            "fabric_name": "test",
            "fabric_max_hosts": 1,
            "fabric_segments": [{"name": "s", "subnet": "10.0.0.0/16"}],
            "fabric_endpoints": points,
        }
    }
    pairs = expectations(compile_plan(hosts, SPEC))["pairs"]
    assert sum(pair["tcp"] for pair in pairs) == len(pairs) // (1 if both else 2)


def test_five_thousand_endpoints_on_as_many_segments_stay_bounded():
    common = {
        "fabric_name": "big",
        "fabric_max_hosts": 20,
        "fabric_segments": [
            {"name": f"s{i}", "vlan": i + 1, "subnet": f"10.{i // 64}.{i % 64 * 4}.0/22"} for i in range(2500)
        ],
    }
    hosts = {}
    for n in range(20):
        points = [{"name": f"e{k}", "segment": f"s{(n // 2 * 250 + k) % 2500}"} for k in range(250)]
        hosts[f"kvm{n}"] = {**common, "fabric_endpoints": points}
    expected = expectations(compile_plan(hosts, SPEC), 500)
    assert len(expected["isolated"]) == expected["isolation"]["checked"] == 5000
    assert expected["isolation"]["of"] > 20_000_000


def test_namespaces_ask_for_their_host_and_guests_do_not():
    segments = [
        {"name": name, "vlan": vlan, "subnet": f"10.{vlan}.0.0/24", "subnet6": f"2001:db8:{vlan}::/64"}
        for name, vlan in (("blue", 10), ("red", 20))
    ]
    points = [
        {"name": "vm", "segment": "blue", "kind": "guest", "guest": {"image": "lab"}},
        *({"name": name, "segment": "red"} for name in ("one", "two")),
    ]
    points.append({"name": "three", "segment": "blue"})
    plan = compile_plan({"kvm1": {"fabric_name": "f", "fabric_segments": segments, "fabric_endpoints": points}}, SPEC)
    alone = {"kvm1/three": False, "kvm1/one": True, "kvm1/two": True}
    assert {entry["from"]: entry["others"] for entry in expectations(plan)["alone"]} == alone, (
        "a guest may have its own mind on answering all nodes"
    )

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge as verify
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

COMMON = {
    "fabric_name": "f",
    "fabric_overlays": [{"name": "gre", "encapsulation": "gre"}],
    "fabric_segments": [
        {"name": "blue", "vlan": 10, "subnet": "10.1.1.0/24"},
        {"name": "red", "vlan": 20, "subnet": "10.1.2.0/24", "subnet6": "2001:db8::/64"},
    ],
}
HOSTS = {
    "kvm1": {**COMMON, "fabric_endpoints": [{"name": "blue", "segment": "blue"}, {"name": "red", "segment": "red"}]},
    "kvm2": {**COMMON, "fabric_endpoints": [{"name": "blue", "segment": "blue"}, {"name": "red", "segment": "red"}]},
}


@pytest.fixture(scope="module")
def plan():
    return compile_plan(copy.deepcopy(HOSTS), SPEC)


@pytest.fixture(scope="module")
def expected(plan):
    return expectations(plan)


def as_read(name, want):
    """A tunnel as ovs_tunnel_info returns it: what makes it a tunnel is a map of texts."""
    plain = ("bridge", "type", "bfd")
    options = {key: str(value).lower() for key, value in want.items() if key not in plain and value is not None}
    return {"name": name, **{key: want[key] for key in plain}, "options": options}


@pytest.fixture
def observed(plan, expected):
    """A fabric where everything is as planned, as the hosts' tasks would return it."""
    seen = {}
    for host, todo in verify.probes(plan, expected).items():
        pings, transfers = [], []
        for probe in todo:
            if probe["kind"] == "tcp":
                transfers.append({"bytes": 100, "seconds": 0.1, "mbit_per_second": 0.008})
            elif probe["kind"] == "isolation":
                transfers.append({"echo_replies": 0, "error": None, "answered_by": [], "control_answered": True})
            elif probe["kind"] == "host":
                transfers.append({"error": None, "answered_by": [], "others_answered": 1})
            else:
                pings.append({"sent": 5, "received": 5, "rtt_ms": 0.2, "settled_after": 0.0, "error": None})
        state = expected["hosts"][host]
        bridges = {name: {"name": name, **want, "ports": []} for name, want in state["bridges"].items()}
        for name, port in state["ports"].items():
            bridges[port["bridge"]]["ports"].append(
                {"name": name, **{key: value for key, value in port.items() if key != "bridge"}}
            )
        seen[host] = {
            "pings": {"observed": pings, "seconds": 1.0},
            "transfers": {"observed": transfers, "seconds": 1.0},
            "read": {
                "bridges": list(bridges.values()),
                "tunnels": [as_read(name, want) for name, want in state["tunnels"].items()],
                "namespaces": [
                    {"name": name, "sysctls": want["sysctls"], "interfaces": [{**want, "name": want["interface"]}]}
                    for name, want in state["namespaces"].items()
                ],
            },
        }
    return seen


def failed(plan, expected, observed):
    return [check for check in verify.judge(plan, expected, observed) if not check["passed"]]


def outcome(plan, expected, observed, kind, source, target):
    """The observation of one probe, to spoil it."""
    host = source.split("/")[0]
    round_name = next(name for name, kinds in verify.ROUNDS.items() if kind in kinds)
    asked = [probe for probe in verify.probes(plan, expected)[host] if probe["kind"] in verify.ROUNDS[round_name]]
    index = next(
        i for i, probe in enumerate(asked) if (probe["kind"], probe["from"], probe["target"]) == (kind, source, target)
    )
    return observed[host][round_name]["observed"][index]


def test_an_endpoint_that_finds_its_host_on_its_link_is_a_leak_and_silence_alone_proves_nothing(
    plan, expected, observed
):
    seen = outcome(plan, expected, observed, "host", "kvm1/red", "kvm1")
    seen["answered_by"] = ["fe80::1"]
    (check,) = failed(plan, expected, observed)
    assert check["leak"] and "fe80::1 of kvm1 answered" in check["observed"] and "ip -6 addr" in check["look"]
    seen.update(answered_by=[], others_answered=0)
    assert "proves nothing" in failed(plan, expected, observed)[0]["observed"], (
        "red has IPv6, and an endpoint on the other host"
    )
    seen.clear()
    assert "nothing was measured" in failed(plan, expected, observed)[0]["observed"]
    seen.update(answered_by=[], others_answered=1)
    outcome(plan, expected, observed, "host", "kvm1/blue", "kvm1").update(
        others_answered=0, error="Cannot assign requested address"
    )
    assert not failed(plan, expected, observed), "blue has no IPv6 that anybody asked for"


def test_a_fabric_as_planned_passes_every_check(plan, expected, observed):
    checks = verify.judge(plan, expected, observed)
    assert all(check["passed"] for check in checks), [check for check in checks if not check["passed"]]
    kinds = {check["kind"] for check in checks}
    assert kinds == {
        "tep-ping",
        "tep-mtu",
        "ping",
        "mtu",
        "tcp",
        "isolation",
        "host",
        "bridge",
        "port",
        "tunnel",
        "namespace",
    }
    assert {"kind", "from", "to", "expected", "observed", "passed"} <= set.intersection(*map(set, checks))


def test_every_pair_is_measured_in_the_kinds_that_the_plan_promises(plan, expected):
    todo = [probe for probes in verify.probes(plan, expected).values() for probe in probes]
    counted = {kind: sum(probe["kind"] == kind for probe in todo) for kind in ("ping", "mtu", "tcp", "isolation")}
    # Ordered pairs of a segment times the addresses of the target: blue 2, red 2 x 2; and two ends of a tunnel, which tell the underlay's rate too.
    assert counted == {"ping": 8, "mtu": 8, "tcp": 6 + 2, "isolation": 12}


def test_the_options_of_the_probe_module_are_plain_and_small(plan, expected):
    hosts = verify.options(plan, expected)
    assert json.loads(json.dumps(hosts)) == hosts
    for host in hosts.values():
        # Transfers load a forwarder until it drops packets: no ping may be counted beside them.
        assert {probe["kind"] for probe in host["pings"]} == {"ping", "mtu"}
        assert {probe["kind"] for probe in host["transfers"]} == {"tcp", "isolation", "host"}
    for host in hosts.values():
        assert all(set(probe) <= set(verify.PROBE_OPTIONS) for name in verify.ROUNDS for probe in host[name])


@pytest.mark.parametrize(
    ("kind", "source", "target", "spoil", "says"),
    [
        ("ping", "kvm1/red", "kvm2/red", {"received": 4}, "4 of 5 packets came back"),
        ("mtu", "kvm1/red", "kvm2/red", {"received": 0, "error": "Message too long"}, "Message too long"),
        ("ping", "kvm1/red", "kvm2/red", {"settled_after": None, "received": 0, "rtt_ms": None}, "never any answer"),
        ("tcp", "kvm1/blue", "kvm2/blue", {"error": "stalled after 0 of 100 bytes"}, "stalled"),
        ("isolation", "kvm1/blue", "kvm2/red", {"answered_by": ["02:00:00:00:00:01"]}, "02:00:00:00:00:01 answered"),
        ("isolation", "kvm1/blue", "kvm2/red", {"echo_replies": 2}, "2 echo replies"),
        ("isolation", "kvm1/blue", "kvm2/red", {"control_answered": False}, "silence proves nothing"),
    ],
)
def test_what_is_not_as_planned_fails_and_names_the_pair(plan, expected, observed, kind, source, target, spoil, says):
    outcome(plan, expected, observed, kind, source, target).update(spoil)
    (check,) = failed(plan, expected, observed)
    assert (check["kind"], check["from"], check["to"]) == (kind, source, target)
    assert says in check["observed"] and check["look"]


def test_a_host_that_did_not_answer_fails_all_that_needed_it_and_no_more(plan, expected, observed):
    observed["kvm2"] = {}
    checks = failed(plan, expected, observed)
    assert {check["from"].split("/")[0].split(":")[0] for check in checks} == {"kvm2"}
    assert len(checks) == sum(check["from"].startswith("kvm2") for check in verify.judge(plan, expected, observed))
    assert "no answer from the host" in checks[0]["observed"]


def test_an_adopted_bridge_may_keep_what_the_intent_leaves_out(plan, expected, observed):
    bridge = next(found for found in observed["kvm1"]["read"]["bridges"] if "fail_mode" in found)
    bridge["fail_mode"] = "secure"
    (check,) = failed(plan, expected, observed)
    assert check["observed"] == "fail_mode secure"
    bridge["adopted"] = True
    assert failed(plan, expected, observed) == []


def test_a_wrong_tunnel_tag_trunk_mtu_or_address_on_a_host_is_told_with_both_values(plan, expected, observed):
    observed["kvm1"]["read"]["tunnels"][0]["options"]["remote_ip"] = "192.0.2.1"
    (check,) = failed(plan, expected, observed)
    assert check["expected"] == "remote_ip 192.168.200.2" and check["observed"] == "remote_ip 192.0.2.1"
    port = next(port for bridge in observed["kvm2"]["read"]["bridges"] for port in bridge["ports"] if port["tag"])
    port["tag"] = 99
    space = observed["kvm2"]["read"]["namespaces"][0]["interfaces"][0]
    space["mtu"] = 9000
    del observed["kvm1"]["read"]["namespaces"][0]
    assert sorted(check["observed"] for check in failed(plan, expected, observed)) == [
        "it is not there",
        "mtu 9000",
        "remote_ip 192.0.2.1",
        "tag 99",
    ]


def test_a_lonely_endpoint_has_no_control_and_says_so():
    hosts = copy.deepcopy(HOSTS)
    del hosts["kvm2"]["fabric_endpoints"][1]
    plan = compile_plan(hosts, SPEC)
    expected = expectations(plan)
    lonely = [
        probe
        for probe in verify.probes(plan, expected)["kvm1"]
        if probe["kind"] == "isolation" and probe["from"] == "kvm1/red"
    ]
    assert lonely and all(probe["control"] is None for probe in lonely)
    result = verify.judge(
        plan,
        expected,
        {
            "kvm1": {
                "transfers": {
                    "observed": [
                        {"echo_replies": 0, "error": None, "answered_by": [], "others_answered": 0}
                        for probe in verify.probes(plan, expected)["kvm1"]
                        if probe["kind"] in verify.ROUNDS["transfers"]
                    ]
                }
            }
        },
    )
    seen = next(check for check in result if check["kind"] == "isolation" and check["from"] == "kvm1/red")
    assert seen["passed"] and "no second endpoint" in seen["observed"]


def test_a_range_of_vlans_is_the_vlans_in_it(plan, expected, observed):
    """The info modules write 10, 11, 12 as 10-12."""
    wanted = expected["hosts"]["kvm1"]["ports"]["gre-kvm2"]["trunks"]
    assert wanted == [10, 20]
    port = next(p for b in observed["kvm1"]["read"]["bridges"] for p in b["ports"] if p["name"] == "gre-kvm2")
    many = copy.deepcopy(expected)
    many["hosts"]["kvm1"]["ports"]["gre-kvm2"]["trunks"] = [10, 11, 12, 20]
    port["trunks"] = ["10-12", "20"]
    assert failed(plan, many, observed) == []
    port["trunks"] = ["10-13", "20"]
    assert [check["from"] for check in failed(plan, many, observed)] == ["kvm1:gre-kvm2"]


def test_where_to_look_is_the_tunnel_of_the_segments_own_overlay():
    hosts = copy.deepcopy(HOSTS)
    for host in hosts.values():
        host["fabric_overlays"] = [
            {"name": "gre", "encapsulation": "gre"},
            {"name": "vx", "encapsulation": "vxlan", "bridge": "br-vx"},
        ]
        host["fabric_segments"] = [
            {**HOSTS["kvm1"]["fabric_segments"][0], "overlay": "gre"},
            {**HOSTS["kvm1"]["fabric_segments"][1], "overlay": "vx"},
        ]
    plan = compile_plan(hosts, SPEC)
    looks = {
        check["from"]: check["look"] for check in verify.judge(plan, expectations(plan), {}) if check["kind"] == "ping"
    }
    assert "list interface gre-kvm2" in looks["kvm1/blue"] and "list interface vx-kvm2" in looks["kvm1/red"]


def again(plan, expected, observed, host="kvm1"):
    """What is measured once more from a host: kind, from and to."""
    return [
        (probe["kind"], probe["from"], probe["to"])
        for name in verify.ROUNDS
        for probe in verify.again(plan, expected, observed)[host][name]
    ]


def answer_again(plan, expected, observed, **outcome_again):
    """The second measurements, all with one outcome."""
    for host, rounds in verify.again(plan, expected, observed).items():
        for name in verify.ROUNDS:
            observed[host][f"{name}_again"] = {
                "observed": [dict(outcome_again) for _probe in rounds[name]],
                "seconds": 0.1,
            }


GOOD_PING = {"sent": 20, "received": 20, "rtt_ms": 0.2, "settled_after": 0.0, "error": None}


def test_nothing_is_asked_again_of_a_fabric_as_planned(plan, expected, observed):
    assert again(plan, expected, observed) == again(plan, expected, observed, "kvm2") == []


def test_a_lost_ping_is_asked_again_and_what_comes_back_then_passes_with_both_answers_shown(plan, expected, observed):
    outcome(plan, expected, observed, "ping", "kvm1/red", "kvm2/red")["received"] = 4
    assert again(plan, expected, observed) == [("ping", "kvm1/red", "10.1.2.66")]
    answer_again(plan, expected, observed, **GOOD_PING)
    (check,) = [check for check in verify.judge(plan, expected, observed) if check.get("unsteady")]
    assert (
        check["passed"]
        and check["observed"].startswith("first 4 of 5 packets came back")
        and "again: 20 of 20" in check["observed"]
    )
    assert failed(plan, expected, observed) == []


def test_what_fails_twice_fails_and_one_of_twenty_is_enough(plan, expected, observed):
    outcome(plan, expected, observed, "ping", "kvm1/red", "kvm2/red")["received"] = 4
    answer_again(plan, expected, observed, **{**GOOD_PING, "received": 19})
    (check,) = failed(plan, expected, observed)
    assert "first 4 of 5" in check["observed"] and "asked again: 19 of 20" in check["observed"]


def test_a_leak_is_not_asked_again_and_silence_that_proved_nothing_is(plan, expected, observed):
    seen = outcome(plan, expected, observed, "isolation", "kvm1/blue", "kvm2/red")
    seen["answered_by"] = ["02:00:00:00:00:01"]
    assert again(plan, expected, observed) == []
    seen.update(answered_by=[], control_answered=False)
    assert again(plan, expected, observed) == [("isolation", "kvm1/blue", "10.1.2.66")]
    answer_again(plan, expected, observed, echo_replies=0, error=None, answered_by=[], control_answered=True)
    assert failed(plan, expected, observed) == []
    answer_again(plan, expected, observed, echo_replies=1, error=None, answered_by=[], control_answered=True)
    (leak,) = failed(plan, expected, observed)
    assert leak["leak"] and "1 echo replies" in leak["observed"]


def test_a_host_that_is_down_is_not_asked_again_and_nobody_is_asked_for_it(plan, expected, observed):
    observed["kvm2"] = {"reached": {"unreachable": True, "msg": "No route to host"}}
    outcome(plan, expected, observed, "ping", "kvm1/red", "kvm2/red")["received"] = 0
    assert again(plan, expected, observed) == again(plan, expected, observed, "kvm2") == []
    assert all(
        "No route to host" in check["observed"] for check in failed(plan, expected, observed) if check.get("unmeasured")
    )


def test_a_transfer_that_did_not_arrive_whole_fails(plan, expected, observed):
    outcome(plan, expected, observed, "tcp", "kvm1/blue", "kvm2/blue").update(bytes=99, sent_bytes=100)
    (check,) = failed(plan, expected, observed)
    assert check["observed"] == "99 of 100 bytes arrived"


def test_transfers_are_sized_by_pair_and_each_host_is_met_by_one_that_tells_a_rate():
    """Between namespaces some are long enough for a rate; with a guest, which may be emulated, they are short."""
    points = [{"name": f"e{i}", "segment": "blue"} for i in range(3)]
    hosts = {f"kvm{number}": {**COMMON, "fabric_endpoints": points} for number in range(1, 5)}
    large = compile_plan(copy.deepcopy(hosts), SPEC)
    todo = verify.probes(large, expectations(large))["kvm1"]
    rated = [probe for probe in todo if probe.get("seconds") and not probe.get("tep")]
    assert len(rated) == verify.RATED and {probe["target"].split("/")[0] for probe in rated} == {
        "kvm1",
        "kvm2",
        "kvm3",
        "kvm4",
    }
    assert all(
        probe["bytes"] == verify.PLAIN_BYTES for probe in todo if probe["kind"] == "tcp" and not probe.get("tep")
    )
    assert [probe["target"] for probe in todo if probe["kind"] == "tcp" and probe.get("tep")] == ["kvm2"], (
        "the underlay's own rate beside them"
    )


@pytest.mark.parametrize("spelled", ["net.ipv4.ip_forward", "net/ipv4/ip_forward"])
def test_a_sysctl_is_one_however_it_is_spelled(plan, expected, observed, spelled):
    wanted = copy.deepcopy(expected)
    wanted["hosts"]["kvm1"]["namespaces"]["red"]["sysctls"] = {spelled: 1, "net.ipv4.conf.eth0/10.forwarding": True}
    space = next(space for space in observed["kvm1"]["read"]["namespaces"] if space["name"] == "red")
    space["sysctls"] = {"net/ipv4/ip_forward": "1", "net/ipv4/conf/eth0.10/forwarding": "1"}
    assert failed(plan, wanted, observed) == []
    space["sysctls"]["net/ipv4/ip_forward"] = "0"
    (check,) = failed(plan, wanted, observed)
    assert "sysctls" in check["expected"]

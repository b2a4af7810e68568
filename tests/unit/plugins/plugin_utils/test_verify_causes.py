# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fault is told once: from failed checks to causes. What real breaks look like is in tests/integration/test_verify_breaks.py."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge as verify
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.causes import answering, causes
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.firewalls import dropped
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

COMMON = {
    "fabric_name": "f",
    "fabric_links": [
        {"ends": ["kvm1:eth1", "r1:eth1"]},
        {"ends": ["kvm2:eth1", "r1:eth2"]},
        {"ends": ["kvm3:eth1", "r1:eth3"]},
    ],
    "fabric_overlays": [{"name": "gre", "encapsulation": "gre"}],
    "fabric_segments": [
        {"name": "blue", "vlan": 10, "subnet": "10.1.1.0/24"},
        {"name": "red", "vlan": 20, "subnet": "10.1.2.0/24", "subnet6": "2001:db8::/64"},
    ],
    "fabric_denied": [{"from": "kvm1/blue", "to": "kvm2/blue", "probes": ["tcp"]}],
}
ENDS = [{"name": "blue", "segment": "blue"}, {"name": "red", "segment": "red"}]
HOSTS = {f"kvm{number}": {**COMMON, "fabric_endpoints": ENDS} for number in (1, 2, 3)}
PLAN = compile_plan(copy.deepcopy(HOSTS), SPEC, routers={"r1": COMMON})
EXPECTED = expectations(PLAN)
# With nothing read and nothing measured, every check is there, and fails.
CHECKS = verify.judge(PLAN, EXPECTED, {})


def failing(*wanted, **more):
    """All checks, of which those fail for which one of the wanted functions says so."""
    found = []
    for check in CHECKS:
        bad = any(one(check) for one in wanted)
        clean = {key: value for key, value in check.items() if key not in ("unread", "unmeasured")}
        found.append({**clean, "passed": not bad, "observed": "bad" if bad else "good", **(more if bad else {})})
    return found


def told(checks, down=()):
    return causes(PLAN, checks, dict.fromkeys(down, "No route to host"))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, len(CHECKS) - 1), max_size=60),
    st.sets(st.sampled_from(["kvm1", "kvm2", "r1"]), max_size=2),
    st.booleans(),
    st.booleans(),
)
def test_every_failed_check_has_exactly_one_cause(numbers, down, unread, leak):
    flags = {**({"unread": True} if unread else {}), "leak": leak}
    checks = [{**check, "passed": number not in set(numbers), **flags} for number, check in enumerate(CHECKS)]
    found = told(checks, down)
    covered = [number for cause in found for number in cause["checks"]]
    assert sorted(covered) == sorted(set(numbers))
    assert all(cause["title"] and cause["because"] for cause in found)
    assert not any(f"on {host}:" in cause["look"] for cause in found for host in down), (
        "a look is at a host that answers"
    )


def test_no_failure_has_no_cause():
    assert told(failing()) == []


def between(one, other):
    """Whether a check is of packets between endpoints of two hosts that are to reach each other."""

    def match(check):
        hosts = {check["from"].split("/")[0], check["to"].split("/")[0]}
        return check["kind"] in ("ping", "mtu", "tcp") and hosts == {one, other}

    return match


def kind(*kinds):
    return lambda check: check["kind"] in kinds


def at(kinds, source):
    return lambda check: check["kind"] in kinds and check["from"] == source


def both(*tests):
    return lambda check: all(test(check) for test in tests)


def ends(host):
    return lambda check: host in (check["from"].split("/")[0], check["to"].split("/")[0])


@pytest.mark.parametrize(
    ("wanted", "title"),
    [
        ([between("kvm1", "kvm2")], "tunnel kvm1 <-> kvm2 of overlay gre"),
        ([between("kvm1", "kvm2"), at(["tunnel"], "kvm1:gre-kvm2")], "tunnel kvm1 <-> kvm2 of overlay gre"),
        ([both(kind("ping", "mtu", "tcp"), lambda c: "kvm1/red" in (c["from"], c["to"]))], "endpoint kvm1/red"),
        (
            [
                both(kind("ping", "mtu", "tcp"), lambda c: "kvm1/red" in (c["from"], c["to"])),
                at(["port"], "kvm1:v-red"),
            ],
            "endpoint kvm1/red",
        ),
        ([at(["namespace"], "kvm1:red")], "endpoint kvm1/red"),
        ([both(kind("ping", "mtu", "tcp", "tep-ping", "tep-mtu"), ends("kvm1"))], "underlay of kvm1"),
        ([both(kind("ping", "mtu", "tcp"), ends("kvm1"))], "bridge br-int on kvm1"),
        ([both(kind("ping"), lambda c: c["from"].endswith("/blue"))], "segment blue"),
        ([at(["adjacency"], "kvm1:eth1"), both(kind("route"), ends("kvm1"))], "link kvm1:eth1 <-> r1:eth1"),
        ([both(kind("ping"), lambda c: (c["from"], c["to"]) == ("kvm1/red", "kvm2/red"))], "from kvm1/red to kvm2/red"),
    ],
)
def test_the_part_that_explains_all_is_the_only_cause(wanted, title):
    assert [cause["title"] for cause in told(failing(*wanted))] == [title]


def test_a_host_that_is_down_is_one_cause_with_all_that_was_asked_of_it():
    def bad(check):
        return any(part.split("/")[0].split(":")[0] == "kvm2" for part in (check["from"], check["to"]))

    (cause,) = told(failing(bad), ["kvm2"])
    assert cause["title"] == "host kvm2 does not answer" and "No route to host" in cause["because"][0]
    assert "on kvm1: ping" in cause["look"] and "on kvm2" not in cause["look"]


def test_only_large_packets_and_only_tcp_say_so():
    (mtu,) = told(
        failing(both(between("kvm1", "kvm2"), kind("mtu")), both(kind("tep-mtu"), ends("kvm1"), ends("kvm2")))
    )
    assert mtu["title"] == "underlay kvm1 <-> kvm2" and "full ones do not" in mtu["because"][1]
    (tcp,) = told(failing(both(kind("tcp"), lambda c: "kvm1/red" in (c["from"], c["to"]))))
    assert (
        tcp["title"] == "endpoint kvm1/red" and "TCP does not" in tcp["because"][1] and "ethtool -k eth0" in tcp["look"]
    )


def test_an_adjacency_that_hangs_in_exstart_points_at_the_mtu():
    (cause,) = told(failing(at(["adjacency"], "kvm1:eth1"), observed="ExStart in area 0.0.0.0"))
    assert cause["title"] == "link kvm1:eth1 <-> r1:eth1" and "MTUs of the two ends differ" in cause["because"][0]


def test_a_leak_is_told_by_its_segments():
    leak = both(kind("isolation"), lambda c: c["from"] == "kvm1/red")
    (cause,) = told(failing(leak, leak=True))
    assert cause["title"] == "leak: blue and red must be kept apart"


def test_open_vswitch_that_does_not_run_is_one_cause_and_two_faults_are_two():
    state = both(kind("bridge", "port", "tunnel"), lambda c: c["host"] == "kvm1")
    checks = failing(state, both(kind("ping", "mtu", "tcp"), ends("kvm1")))
    (cause,) = told([{**check, "unread": state(check)} for check in checks])
    assert cause["title"] == "Open vSwitch on kvm1"
    two = told(failing(at(["tunnel"], "kvm1:gre-kvm2"), between("kvm1", "kvm2"), at(["namespace"], "kvm3:blue")))
    assert {cause["title"] for cause in two} == {"tunnel kvm1 <-> kvm2 of overlay gre", "endpoint kvm3/blue"}


def test_a_look_leaves_out_hosts_that_do_not_answer():
    assert answering("on a: x; y; then on b: z", {"a": ""}) == "on b: z"
    assert answering("on a: x; y; then on b: z", {}) == "on a: x; y; then on b: z"


def test_a_router_whose_daemons_do_not_run_is_one_cause_with_all_that_hangs_on_it():
    """FRR stopped on r1: its own checks could not be read, its neighbors see nobody, and no packet crosses it."""
    seen = {
        name: {"routers": {"ospf_neighbors": [], "routes": [], "daemons": [] if name == "r1" else ["zebra", "ospfd"]}}
        for name in PLAN["routers"]
    }
    routing = [check for check in verify.judge(PLAN, EXPECTED, seen) if check["kind"] in ("adjacency", "route")]
    assert {check["observed"] for check in routing if check["host"] == "r1"} == {
        "r1 was not read: ospfd and zebra do not run"
    }
    rest = [
        check
        for check in failing(both(kind("ping", "mtu", "tcp", "tep-ping", "tep-mtu"), apart))
        if check["kind"] not in ("adjacency", "route")
    ]
    (cause,) = told([*routing, *rest])
    assert (
        cause["title"] == "FRR on r1"
        and "ospfd and zebra do not run" in cause["because"][0]
        and cause["look"] == "on r1: systemctl status frr --no-pager"
    )


@pytest.mark.parametrize(
    ("again", "why"),
    [
        ({"ospf_neighbors": [], "routes": [], "daemons": ["zebra", "ospfd"]}, "no neighbor"),
        ({"failed": True, "msg": "vtysh does not answer"}, "vtysh does not answer"),
        ({"skipped": True}, "ospfd and zebra do not run"),
        ({}, "ospfd and zebra do not run"),
    ],
)
def test_what_a_router_was_last_seen_to_know_counts(again, why):
    """Read once more after something had failed; a task that was skipped, as on a host without a router, has read nothing."""
    seen = {"routers": {"ospf_neighbors": [], "routes": [], "daemons": []}, "routers_again": again}
    told_of = [
        check["observed"] for check in verify.judge(PLAN, EXPECTED, {"r1": seen}) if check["kind"] == "adjacency"
    ]
    assert any(why in text for text in told_of), told_of


def apart(check):
    """Whether a check is between two hosts."""
    return check["from"].split("/")[0] != check["to"].split("/")[0]


def test_open_vswitch_that_stops_takes_the_routers_interfaces_with_it():
    state = both(kind("bridge", "port", "tunnel"), lambda c: c["host"] == "kvm2")
    neighbors = both(kind("adjacency"), lambda c: "kvm2:eth1" in (c["from"], c["to"]))
    packets = both(kind("ping", "mtu", "tcp", "tep-ping", "tep-mtu"), ends("kvm2"))
    checks = failing(state, neighbors, both(kind("route"), ends("kvm2")), packets)
    (cause,) = told([{**check, "unread": state(check)} for check in checks])
    assert cause["title"] == "Open vSwitch on kvm2"


# What drops what, as `nft -json list ruleset` has it, at which host, which checks fail for it, and what is said and shown.
def chain(hook, policy="accept", family="ip", table="filter"):
    """A base chain, as iptables-nft makes it."""
    named = {"family": family, "table": table, "name": hook.upper()}
    return {"chain": {**named, "type": "filter", "hook": hook, "prio": 0, "policy": policy}}


def rule(hook, *expr):
    """A rule of it."""
    return {"rule": {"family": "ip", "table": "filter", "chain": hook.upper(), "handle": 7, "expr": list(expr)}}


def proto(name):
    return {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": name}}


TEPS = [check for check in CHECKS if check["kind"] == "tep-ping" and {check["from"], check["to"]} == {"kvm1", "kvm2"}]
FIREWALLS = {
    "Docker's policy on a router": (
        "r1",
        [chain("forward", "drop")],
        lambda check: check in TEPS,
        "r1's own firewall does not forward from kvm1 to kvm2 (192.168.200.1 to 192.168.200.2), from kvm2 to kvm1 (192.168.200.2 to 192.168.200.1): "
        "nftables chain ip filter FORWARD has the policy drop",
        "on r1: nft -a list chain ip filter FORWARD",
    ),
    "OSPF is not let in": (
        "kvm1",
        [chain("input", "drop", "inet"), rule("input", proto("icmp"), {"accept": None})],
        lambda check: check["kind"] == "adjacency" and "kvm1:eth1" in (check["from"], check["to"]),
        "kvm1's own firewall drops OSPF from r1 on ul-eth1 (protocol 89): nftables chain inet filter INPUT has the policy drop",
        "on kvm1: nft -a list chain inet filter INPUT",
    ),
    "a rule against pings": (
        "kvm2",
        [chain("input"), rule("input", proto("icmp"), {"drop": None})],
        lambda check: check["kind"] == "tep-ping" and check["to"] == "kvm2",
        "kvm2's own firewall drops pings from kvm1 to its tunnel endpoint (192.168.200.1 to 192.168.200.2): "
        "nftables chain ip filter INPUT: l4proto icmp drop",
        "on kvm2: nft -a list chain ip filter INPUT",
    ),
    "tunnels are not let in": (
        "kvm1",
        [chain("input"), rule("input", proto("gre"), {"drop": None})],
        lambda check: check["kind"] == "ping" and {check["from"][:4], check["to"][:4]} == {"kvm1", "kvm2"},
        "kvm1's own firewall drops tunnels from kvm2 (GRE (protocol 47) from 192.168.200.2): nftables chain ip filter INPUT: l4proto gre drop",
        "on kvm1: nft -a list chain ip filter INPUT",
    ),
}  # fmt: skip


def seen_at(host, ruleset, datapath="system"):
    """What trace_info returned of one host."""
    bridges = {
        bridge["name"]: {"datapath_type": datapath} for bridge in PLAN["hosts"].get(host, {"bridges": ()})["bridges"]
    }
    return {host: {"spaces": {"": {"firewall": ruleset}}, "switch": {"bridges": bridges}}}


@pytest.mark.parametrize("host, ruleset, fails, says, look", FIREWALLS.values(), ids=FIREWALLS)
def test_a_firewall_that_drops_what_fails_is_told_in_one_sentence(host, ruleset, fails, says, look):
    checks = failing(fails)
    (cause, *_more) = causes(PLAN, checks, {}, dropped(PLAN, seen_at(host, ruleset)))
    assert says in cause["because"] and cause["look"] == look
    # Not where the rules let it through, and not where nothing fails that needs it.
    assert not [
        text
        for one in causes(PLAN, checks, {}, dropped(PLAN, seen_at(host, [])))
        for text in one["because"]
        if "firewall" in text
    ]
    elsewhere = failing(lambda check: check["kind"] == "port" and check["host"] == "kvm3")
    others = causes(PLAN, elsewhere, {}, dropped(PLAN, seen_at(host, ruleset)))
    assert others and not [text for one in others for text in one["because"] if "firewall" in text]


def test_a_tunnel_in_user_space_passes_no_firewall():
    host, ruleset, fails, _says, _look = FIREWALLS["tunnels are not let in"]
    assert dropped(PLAN, seen_at(host, ruleset)) and not dropped(PLAN, seen_at(host, ruleset, "netdev"))

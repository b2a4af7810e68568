# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges on two hosts: addresses, numbers, what verify and status say of them, and what is refused with which sentence."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._netns import daemon
from ansible_collections.overloom.fabric.plugins.module_utils._vrrp import router
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._status import summary
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge, state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations, host_state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.vrrp import judge_active
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, one_each

Item = t.Dict[str, t.Any]
EDGE: Item = {
    "name": "edge",
    "hosts": ["kvm1", "kvm2"],
    "legs": [
        {"segment": "web", "address": "10.1.1.1", "address6": "2001:db8:1::1"},
        {"segment": "out", "address": "10.9.0.1", "host_addresses": ["10.9.0.3", "10.9.0.4"], "gateway": False},
    ],
    "nat": [{"from": "web", "out": "out"}],
}
LEG: Item = EDGE["legs"][1]


def fabric(*edges: Item, web: Item | None = None, more: t.Sequence[Item] = (), **common: t.Any) -> Item:
    """Three hosts with endpoints on the segments web, db and out."""
    base: Item = {
        "fabric_name": "test",
        "fabric_segments": [
            {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:1::/64", **(web or {})},
            {"name": "db", "vlan": 20, "subnet": "10.1.2.0/24"},
            {"name": "out", "vlan": 30, "subnet": "10.9.0.0/24"},
            *more,
        ],
        "fabric_edges": copy.deepcopy(list(edges)),
        **common,
    }
    points = {"kvm1": ["web", "db"], "kvm2": ["web"], "kvm3": ["web", "out"]}
    return {host: {**base, "fabric_endpoints": one_each(host[-1], names)} for host, names in points.items()}


def planned(*edges: Item, **more: t.Any) -> Item:
    """The plan."""
    return compile_plan(fabric(*edges, **more), SPEC)


def space(plan: Item, host: str, name: str, interface: str) -> Item:
    """A namespace's interface."""
    found = plan["hosts"][host]["namespaces"]
    return next(one for one in found if (one["name"], one["interface"]) == (name, interface))


def problems(*edges: Item, **more: t.Any) -> list[str]:
    """What is refused."""
    with pytest.raises(PlanError) as refused:
        planned(*edges, **more)
    return refused.value.problems


def test_each_host_has_addresses_of_its_own_and_the_virtual_ones_apart() -> None:
    plan = planned(EDGE)
    for host, own in (("kvm1", "10.1.1.30"), ("kvm2", "10.1.1.29")):
        web = space(plan, host, "edge", "web")
        assert web["addresses"][0] == f"{own}/24" and len(web["addresses"]) == 2
        assert web["virtual_addresses"] == ["10.1.1.1/32", "2001:db8:1::1/128"]
    assert space(plan, "kvm1", "edge", "out")["addresses"] == ["10.9.0.3/24"]
    assert space(plan, "kvm2", "edge", "out")["addresses"] == ["10.9.0.4/24"]
    # Everybody else's gateway is the virtual one, on the hosts of the edge as well.
    hops = [route["via"] for route in space(plan, "kvm1", "web1", "eth0")["routes"]]
    assert hops == ["10.1.1.1", "2001:db8:1::1"]
    assert space(plan, "kvm1", "web1", "eth0")["virtual_addresses"] == []


def test_an_endpoint_that_is_added_moves_no_address_of_the_edge() -> None:
    hosts = fabric(EDGE)
    before = space(compile_plan(hosts, SPEC), "kvm1", "edge", "web")["addresses"]
    hosts["kvm1"]["fabric_endpoints"].insert(0, {"name": "new", "segment": "web"})
    assert space(compile_plan(hosts, SPEC), "kvm1", "edge", "web")["addresses"] == before


def test_the_routers_hear_each_other_alone() -> None:
    plan = planned({**EDGE, "advert_interval": 300, "preempt": True})
    first, second = (plan["hosts"][host]["vrrp"][0] for host in ("kvm1", "kvm2"))
    assert (first["priority"], second["priority"]) == (200, 100)
    assert first["vrid"] == second["vrid"] == 1 and first["interval"] == 300 and first["preempt"]
    assert first["interfaces"][1] == {
        "interface": "out",
        "addresses": ["10.9.0.1/32"],
        "source": "10.9.0.3",
        "peers": ["10.9.0.4"],
    }
    assert second["interfaces"][0]["peers"] == ["10.1.1.30"]
    # The module takes them as they are, and the table lets them in from the peer.
    assert "unicast_peer {\n    10.9.0.4\n" in daemon.declared(first, router.KIND, "test").reread[router.file("edge")]
    table = plan["hosts"]["kvm1"]["nft_tables"][0]["content"]
    assert 'iifname "web" ip saddr 10.1.1.29 ip protocol vrrp accept' in table
    assert (
        "vrrp"
        not in planned({**EDGE, "hosts": ["kvm1"], "legs": one_host()})["hosts"]["kvm1"]["nft_tables"][0]["content"]
    )
    assert plan["hosts"]["kvm3"]["vrrp"] == [] and plan["hosts"]["kvm3"]["nft_tables"] == []


def one_host() -> list[Item]:
    """The legs of an edge on one host."""
    return [{key: value for key, value in leg.items() if key != "host_addresses"} for leg in EDGE["legs"]]


def test_whoever_is_active_translates_to_the_same_addresses() -> None:
    extra = {"from": "10.1.2.0/24", "out": "out", "address": "10.9.0.8"}
    plan = planned({**EDGE, "nat": [*EDGE["nat"], extra]})
    for host in ("kvm1", "kvm2"):
        table = plan["hosts"][host]["nft_tables"][0]["content"]
        assert 'oifname "out" ip saddr 10.1.1.0/24 snat ip to 10.9.0.1' in table
        assert space(plan, host, "edge", "out")["virtual_addresses"] == ["10.9.0.1/32", "10.9.0.8/32"]
    # On one host it has no reason to.
    assert (
        "masquerade"
        in planned({**EDGE, "hosts": ["kvm1"], "legs": one_host()})["hosts"]["kvm1"]["nft_tables"][0]["content"]
    )


def test_numbers_are_allocated_where_none_is_given() -> None:
    def vrids(*edges: Item) -> list[int]:
        return [edge["vrid"] for edge in planned(*edges)["edges"]]

    other = {
        "name": "two",
        "hosts": ["kvm2", "kvm3"],
        "legs": [
            {"segment": "out", "address": "10.9.0.2", "host_addresses": ["10.9.0.5", "10.9.0.6"], "gateway": False},
            {"segment": "db", "address": "10.1.2.1"},
        ],
    }
    assert vrids(EDGE, other) == [1, 2] and vrids(EDGE, {**other, "vrid": 1}) == [2, 1]
    assert vrids({**EDGE, "vrid": 9}, other) == [9, 1]
    said = problems({**EDGE, "vrid": 9}, {**other, "vrid": 9})
    assert said == [
        "fabric_edges[edge] and fabric_edges[two] both have the vrid 9 on segment out; give one of them another, or leave it out."
    ]


def test_ranges_of_dhcp_have_no_virtual_address() -> None:
    plan = planned(EDGE, web={"dhcp": {}})
    served = next(one for one in plan["segments"] if one["name"] == "web")["dhcp"]
    assert served["router"] == "10.1.1.1"
    said = problems(EDGE, web={"dhcp": {"ranges": ["10.1.1.1-10.1.1.20"], "router": "10.1.1.250"}})
    assert any("has 10.1.1.1, the address of kvm" in one for one in said), said


def reads(**states: str | None) -> Item:
    """What status_info returned, by host; None for one that could not be read."""
    return {
        host: {"vrrp": [{"name": "edge", "state": one}]} if one is not None else {"unread": {}}
        for host, one in states.items()
    }


@pytest.mark.parametrize(
    ("states", "passed", "seen"),
    [
        ({"kvm1": "active", "kvm2": "standby"}, True, "kvm1 active, kvm2 standby"),
        ({"kvm1": "standby", "kvm2": "active"}, True, "kvm1 standby, kvm2 active"),
        ({"kvm1": "active", "kvm2": "active"}, False, "kvm1 active, kvm2 active"),
        ({"kvm1": "standby", "kvm2": "standby"}, False, "kvm1 standby, kvm2 standby"),
        ({"kvm1": "active", "kvm2": "partial"}, False, "kvm1 active, kvm2 partial"),
        ({"kvm1": "active", "kvm2": ""}, False, "kvm1 active, kvm2 not running"),
        ({"kvm1": None, "kvm2": "active"}, True, "kvm1 not read, kvm2 active"),
        ({"kvm1": None, "kvm2": "standby"}, False, "kvm1 not read, kvm2 standby"),
        ({"kvm2": "active"}, True, "kvm2 active"),
    ],
)
def test_one_host_is_active(states: Item, passed: bool, seen: str) -> None:
    plan = planned(EDGE)
    checks = judge_active(plan, reads(**states))
    assert [(check["passed"], check["observed"]) for check in checks] == [(passed, seen)]
    # Nothing is wrong yet where the active one may be that which could not be asked.
    assert bool(checks[0].get("unread")) == (states == {"kvm1": None, "kvm2": "standby"})


def test_of_a_standby_alone_nothing_is_said() -> None:
    assert judge_active(planned(EDGE), reads(kvm2="standby")) == []
    assert judge_active(planned(EDGE), reads(kvm3="standby")) == []


def test_verify_and_status_judge_it() -> None:
    plan = planned(EDGE)
    found: Item = {
        host: {"read": {**read, "namespaces": []}} for host, read in reads(kvm1="active", kvm2="active").items()
    }
    checks = judge.judge(plan, expectations(plan), found)
    assert [check["passed"] for check in checks if check["kind"] == "active"] == [False]
    seen: Item = {host: {"unread": {}, **one["read"]} for host, one in found.items()}
    problem = next(one for one in summary.report(plan, seen, 0.0)["problems"] if one["kind"] == "active")
    assert problem["thing"] == "edge" and "kvm1 active, kvm2 active" in problem["observed"]
    assert not judge_active(planned({**EDGE, "hosts": ["kvm1"], "legs": one_host()}), reads(kvm1="active"))


def test_a_namespace_is_as_planned_with_and_without_the_virtual_addresses() -> None:
    plan = planned(EDGE)
    wanted = {"namespaces": host_state(plan["hosts"]["kvm1"])["namespaces"], "flows": {}}
    web = wanted["namespaces"]["edge"]
    for more, good in ((web["virtual_addresses"], True), ([], True), (["10.1.1.66/24"], False)):
        link = {**web, "name": "web", "addresses": [*web["addresses"], *more]}
        read = {"namespaces": [{"name": "edge", "sysctls": web["sysctls"], "rules": [], "interfaces": [link]}]}
        checks = {check["thing"]: check["passed"] for check in state.judge("kvm1", wanted, read)}
        assert checks["edge"] == good


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        (
            [{**EDGE, "hosts": ["kvm1", "kvm2", "kvm3"]}],
            "fabric_edges[edge].hosts names 3 hosts; name one host that the edge is on, or two of which one is active.",
        ),
        (
            [{**EDGE, "hosts": ["kvm1", "kvm1"]}],
            "fabric_edges[edge].hosts names kvm1 twice, and two routers of one priority would both be active; name another host.",
        ),
        (
            [{**EDGE, "hosts": ["kvm1", "kvm9"]}],
            "fabric_edges[edge].hosts has kvm9, which is no host of the fabric; did you mean kvm3",
        ),
        (
            [{**EDGE, "hosts": ["kvm1"]}],
            "fabric_edges[edge].legs[1].host_addresses is for an edge on two hosts; leave it out, as address is its own.",
        ),
        (
            [{**EDGE, "legs": [EDGE["legs"][0], {**LEG, "host_addresses": ["10.9.0.3"]}]}],
            "fabric_edges[edge].legs[1].host_addresses has 1 addresses; give one for each of kvm1, kvm2, in this order.",
        ),
        (
            [{**EDGE, "legs": [EDGE["legs"][0], {**LEG, "host_addresses": ["10.9.0.3", "10.8.0.4"]}]}],
            "fabric_edges[edge].legs[1].host_addresses 10.8.0.4 is outside fabric_segments[out].subnet 10.9.0.0/24",
        ),
        (
            [{**EDGE, "legs": [EDGE["legs"][0], {**LEG, "host_addresses": ["10.9.0.1", "10.9.0.4"]}]}],
            "kvm1/edge-out (given: fabric_edges[edge].legs[1].host_addresses) and kvm1/edge-out (given: virtual)"
            " both have the address 10.9.0.1",
        ),
        (
            [{**EDGE, "legs": [EDGE["legs"][0], {**LEG, "address": "10.8.0.1"}]}],
            "kvm1/edge-out: the address 10.8.0.1 is outside of segment out (10.9.0.0/24); give an address inside.",
        ),
        ([{**EDGE, "vrid": 256}], "fabric_edges[edge].vrid must be 1 to 255, not 256."),
        (
            [{**EDGE, "hosts": ["kvm1"], "legs": one_host(), "vrid": 3}],
            "fabric_edges[edge].vrid is for an edge on two hosts; leave it out, or name another host.",
        ),
        ([{**EDGE, "advert_interval": 50}], "fabric_edges[edge].advert_interval must be 100 to 40950, not 50."),
        (
            [{**EDGE, "advert_interval": 205}],
            "fabric_edges[edge].advert_interval 205 is no multiple of 10 ms, which VRRP counts in; give one.",
        ),
        (
            [
                {**EDGE, "hosts": ["kvm1"], "legs": one_host()},
                {**EDGE, "name": "two", "hosts": ["kvm2"], "legs": one_host(), "nat": []},
            ],
            "kvm1/edge (given: fabric_edges[edge].legs[0].address) and kvm2/two (given: fabric_edges[two].legs[0].address)"
            " both have the address 10.1.1.1",
        ),
        (
            [EDGE, {**EDGE, "name": "two", "hosts": ["kvm2", "kvm3"], "nat": []}],
            "kvm1/edge (given: virtual) and kvm2/two (given: virtual) both have the address 10.1.1.1",
        ),
    ],
)
def test_refusals(edges: list[Item], said: str) -> None:
    found = problems(*edges)
    assert any(said in problem for problem in found), found


def test_segments_that_cannot_be() -> None:
    six = {"name": "six", "vlan": 40, "subnet": "2001:db8:6::/64"}
    legs = [EDGE["legs"][0], {"segment": "six", "address": "2001:db8:6::1"}]
    said = problems({**EDGE, "legs": legs, "nat": []}, more=[six])
    assert any(
        "legs[1].segment six is IPv6 alone, and the two hosts of an edge hear of each other by IPv4" in s for s in said
    )
    overlays = [
        {"name": "vlans", "encapsulation": "vxlan", "bridge": "br-int"},
        {"name": "keys", "encapsulation": "geneve", "segments_by": "key", "bridge": "br-keys"},
    ]
    hosts = fabric(EDGE, web={"vlan": None, "key": 7, "overlay": "keys"}, fabric_overlays=overlays)
    for host in hosts.values():
        for segment in host["fabric_segments"][1:]:
            segment["overlay"] = "vlans"
    with pytest.raises(PlanError) as refused:
        compile_plan(hosts, SPEC)
    told = "legs[0].segment web is told apart by key, and its flows lead an address to one host alone; name one host"
    assert any(told in problem for problem in refused.value.problems), refused.value.problems


def test_a_segment_of_ovn_is_refused_beside_others() -> None:
    overlays = [
        {"name": "vlans", "encapsulation": "vxlan", "bridge": "br-vlans"},
        {"name": "ov", "engine": "ovn", "encapsulation": "geneve"},
    ]
    hosts = fabric(EDGE, web={"overlay": "ov"}, fabric_overlays=overlays)
    for host in hosts.values():
        for segment in host["fabric_segments"][1:]:
            segment["overlay"] = "vlans"
    with pytest.raises(PlanError) as refused:
        compile_plan(hosts, SPEC, central=["kvm3"])
    told = "legs[0].segment web is OVN's, which leads an address to one host alone; name one host"
    assert any(told in problem for problem in refused.value.problems), refused.value.problems

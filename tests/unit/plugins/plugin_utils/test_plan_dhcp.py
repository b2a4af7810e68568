# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP in the plan: servers, ranges and leases, and what is refused with which sentence."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._dhcp import client, server
from ansible_collections.overloom.fabric.plugins.module_utils._netns import daemon
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.dhcp import names
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import host_state
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

Item = t.Dict[str, t.Any]
WEB: Item = {"name": "web", "segment": "blue", "address": "dhcp"}
OTHER: Item = {"name": "other", "segment": "blue"}


def fabric(dhcp: Item | None, *endpoints: Item, **segment: t.Any) -> Item:
    """Three hosts; the first has these endpoints, the second a namespace on the same segment."""
    found: Item = {"name": "blue", "subnet": "10.1.1.0/24", **segment}
    if dhcp is not None:
        found["dhcp"] = dhcp
    base: Item = {"fabric_name": "test", "fabric_segments": [found]}
    if "key" in segment:
        base["fabric_overlays"] = [{"encapsulation": "geneve", "segments_by": "key"}]
    return {
        "kvm1": {**base, "fabric_endpoints": list(endpoints)},
        "kvm2": {**base, "fabric_endpoints": [OTHER]},
        "kvm3": base,
    }


def planned(dhcp: Item | None, *endpoints: Item, **segment: t.Any) -> Item:
    """The plan."""
    return compile_plan(fabric(dhcp, *endpoints, **segment), SPEC)


def servers(plan: Item) -> dict[str, Item]:
    """The servers of the segment by host."""
    return {name: one for name, host in plan["hosts"].items() for one in host["dhcp_servers"]}


def ends(ranges: t.Iterable[str]) -> list[tuple[t.Any, t.Any]]:
    """Ranges as addresses."""
    return [tuple(ipaddress.ip_address(end) for end in one.split("-")) for one in ranges]  # type: ignore[misc]


def test_an_empty_word_gives_two_servers_with_all_leases_and_half_of_the_range_each() -> None:
    plan = planned({}, WEB)
    found = servers(plan)
    assert set(found) == {"kvm1", "kvm2"} and found["kvm1"]["leases"] == found["kvm2"]["leases"]
    assert {one["name"] for one in found["kvm1"]["leases"]} == {"web", "other", "dhcp-blue-kvm1", "dhcp-blue-kvm2"}
    assert found["kvm1"]["ranges"] == ["10.1.1.68-10.1.1.98"] and found["kvm2"]["ranges"] == ["10.1.1.99-10.1.1.128"]
    assert found["kvm1"]["dns"] == ["10.1.1.62", "10.1.1.61"] and found["kvm1"]["domain"] == "test.internal"
    assert found["kvm1"]["mtu"] == plan["segments"][0]["mtu"]
    web = next(one for one in plan["endpoints"] if one["id"] == "kvm1/web")
    assert web["address"] == "10.1.1.65"
    # The namespace gets no address: the client does.
    assert [one["addresses"] for one in plan["hosts"]["kvm1"]["namespaces"]] == [[], ["10.1.1.62/24"]]
    assert plan["hosts"]["kvm1"]["dhcp_clients"] == [{"name": "web", "namespace": "web", "interface": "eth0"}]


def test_a_server_moves_nobody_and_nobody_moves_a_server() -> None:
    def addresses(plan: Item) -> dict[str, str]:
        return {one["id"]: one["address"] for one in plan["endpoints"]}

    without, with_one = addresses(planned(None, OTHER)), addresses(planned({}, OTHER))
    assert without.items() <= with_one.items()
    more = addresses(planned({}, OTHER, {"name": "more", "segment": "blue"}))
    assert with_one.items() <= more.items()


def test_the_modules_take_what_the_plan_says() -> None:
    dhcp = {"router": "10.1.1.1", "routes": [{"to": "10.9.0.0/16", "via": "10.1.1.1"}]}
    host = planned(dhcp, WEB, subnet6="2001:db8::/64")["hosts"]["kvm1"]
    for kind in (server.KIND, client.KIND):
        checked = ArgumentSpecValidator(daemon.argument_spec(kind)).validate({kind.items: host[f"dhcp_{kind.items}"]})
        assert not checked.error_messages
        (item,) = checked.validated_parameters[kind.items]
        assert daemon.declared(item, kind, "test").unit


def test_a_server_that_is_listed_keeps_its_address() -> None:
    plan = planned({}, {"name": "dhcp-blue", "segment": "blue", "address": "10.1.1.5"})
    assert next(one["address"] for one in plan["endpoints"] if one["id"] == "kvm1/dhcp-blue") == "10.1.1.5"
    assert len([one for one in plan["endpoints"] if one["name"] == "dhcp-blue"]) == 2


def test_where_no_unknown_machine_can_be_there_is_no_range() -> None:
    assert servers(planned({}, WEB, key=7))["kvm1"]["ranges"] == []
    assert servers(planned({}, WEB, key=7, learn=True))["kvm1"]["ranges"] != []
    assert servers(planned({"ranges": []}, WEB))["kvm1"]["ranges"] == []


@settings(deadline=None)
@given(
    prefix=st.integers(20, 27),
    count=st.integers(1, 6),
    given_ones=st.sets(st.integers(1, 30), max_size=5),
    six=st.booleans(),
)
def test_ranges_touch_nobody_and_those_of_two_servers_share_nothing(
    prefix: int, count: int, given_ones: set[int], six: bool
) -> None:
    net = ipaddress.ip_network(f"10.1.0.0/{prefix}")
    base: Item = {"fabric_name": "test", "fabric_segments": [{"name": "blue", "subnet": str(net), "dhcp": {}}]}
    if six:
        base["fabric_segments"][0]["subnet6"] = "2001:db8::/112"
    size = min(net.num_addresses // 4, 256)
    listed = [
        {"name": f"g{n}", "segment": "blue", "address": str(net[n + size])}
        for n in given_ones
        if n + size < net.num_addresses - 1
    ]
    hosts = {f"kvm{n}": {**base, "fabric_endpoints": [OTHER, WEB] if n % 2 else [WEB]} for n in range(1, count + 1)}
    hosts["kvm1"]["fabric_endpoints"] = [*listed, *hosts["kvm1"]["fabric_endpoints"]]
    try:
        plan = compile_plan(hosts, SPEC)
    except PlanError as refused:
        # A subnet that is too small says so, and nothing else is wrong.
        assert all("room" in text or "both have the address" in text for text in refused.problems)
        return
    servers = [item for host in plan["hosts"].values() for item in host["dhcp_servers"]]
    every = [one for item in servers for one in ends(item["ranges"])]
    taken = [ipaddress.ip_address(one[key]) for one in plan["endpoints"] for key in ("address", "address6") if one[key]]
    for first, last in every:
        assert not [one for one in taken if one.version == first.version and first <= one <= last]
        assert first.version == 6 or (first in net and last in net and last != net.broadcast_address)
    ordered = sorted(every, key=lambda one: (one[0].version, one[0]))
    assert all(a[0].version != b[0].version or a[1] < b[0] for a, b in zip(ordered, ordered[1:]))


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 3), st.integers(0, 3))
def test_a_new_endpoint_of_these_hosts_never_moves_a_range(first: int, more: int) -> None:
    def ranges(count: int) -> list[str]:
        plan = planned({}, *({"name": f"e{n}", "segment": "blue"} for n in range(count)), subnet="10.1.0.0/22")
        return t.cast(t.List[str], plan["segments"][0]["dhcp"]["ranges"])

    assert ranges(first) == ranges(min(3, first + more))


def test_names_are_unique_and_such_as_dns_takes() -> None:
    assert names([("web", "kvm1"), ("web", "kvm2"), ("A_b.", "kvm1")]) == ["web-kvm1", "web-kvm2", "a-b"]


def test_verify_holds_what_was_given_against_the_plan() -> None:
    dhcp = {"router": "10.1.1.1", "routes": [{"to": "10.9.0.0/16", "via": "10.1.1.1"}]}
    plan = planned(dhcp, WEB)
    wanted = {"dhcp": host_state(plan["hosts"]["kvm1"])["dhcp"]}
    every: Item = {kind: {} for kind in ("bridges", "ports", "tunnels", "namespaces", "containers", "flows")}
    lease = {
        "address": "10.1.1.65/24",
        "mtu": plan["segments"][0]["mtu"],
        "router": "10.1.1.1",
        "domain": "test.internal",
        "routes": [{"to": "0.0.0.0/0", "via": "10.1.1.1"}, {"to": "10.9.0.0/16", "via": "10.1.1.1"}],
    }
    rows = [{"name": name, "running": True, "namespace": name} for name in ("dhcp-blue", "web")]

    def judged(**change: t.Any) -> list[bool]:
        client_row = {**rows[1], "lease": {**lease, **change} if change != {"lease": None} else None}
        seen = {"dhcp": {"servers": rows[:1], "clients": [client_row]}}
        return [one["passed"] for one in state.judge("kvm1", {**every, **wanted}, seen) if one["kind"] == "dhcp"]

    assert judged() == [True, True]
    for change in ({"address": "10.1.1.66/24"}, {"mtu": 1500}, {"router": None}, {"routes": []}, {"lease": None}):
        assert judged(**change) == [True, False], change
    assert [one["passed"] for one in state.judge("kvm1", {**every, **wanted}, {}) if one["kind"] == "dhcp"] == [
        False
    ] * 2


LOCAL: Item = {"name": "c", "segment": "blue", "kind": "container", "container": {"managed": False}, "address": "dhcp"}


@pytest.mark.parametrize(
    ("dhcp", "endpoints", "segment", "said"),
    [
        ({"hosts": ["kvm9"]}, [WEB], {}, "hosts has kvm9, which is no host of the fabric"),
        ({"hosts": []}, [WEB], {}, "hosts is empty"),
        ({"hosts": ["kvm1", "kvm1"]}, [WEB], {}, "names a host twice"),
        ({"ranges": ["10.1.1.100"]}, [], {}, "is no range; write it as"),
        ({"ranges": ["10.1.1.20-10.1.1.10"]}, [], {}, "ends before it begins"),
        ({"ranges": ["10.1.1.10-10.1.1.20", "10.1.1.15-10.1.1.30"]}, [], {}, "overlap; give ranges that are apart"),
        ({"ranges": ["10.1.2.10-10.1.2.20"]}, [], {}, "is outside of the segment's 10.1.1.0/24"),
        ({"ranges": ["10.1.1.250-10.1.1.255"]}, [], {}, "has the broadcast address"),
        ({"ranges": ["10.1.1.60-10.1.1.70"]}, [WEB], {}, "has 10.1.1.61, the address of kvm2/dhcp-blue"),
        ({"ranges": ["10.1.1.1-10.1.1.9"], "router": "10.1.1.1"}, [], {}, "has 10.1.1.1, the address of the router"),
        ({"ranges": ["10.1.1.9-10.1.1.10"]}, [], {"key": 7}, "lets none in; leave them out, or set learn: true"),
        ({"router": "10.1.2.1"}, [], {}, "router 10.1.2.1 is outside of the segment's 10.1.1.0/24"),
        ({"router": "10.1.1.0"}, [], {}, "router 10.1.1.0 is the network address"),
        ({"router": "10.1.1.66"}, [], {}, "router 10.1.1.66 is the address of kvm2/other, which forwards nothing"),
        (
            {"router": "2001:db8::1"},
            [],
            {"subnet": "2001:db8::/64"},
            "leave it out, as IPv6 routers announce themselves",
        ),
        (
            {"routes": [{"to": "10.9.0.0/16", "via": "10.2.1.1"}]},
            [],
            {},
            "both must be IPv4, the next hop on the segment",
        ),
        ({"lease_time": 60}, [], {}, "lease_time must be 120 to"),
        ({"domain": "no domain"}, [], {}, "is no domain; write it as lab.example"),
        ({"rnages": []}, [], {}, "has no option 'rnages'; did you mean ranges?"),
        ({}, [], {"subnet": "10.1.1.0/30"}, "has no room for"),
        (None, [WEB], {}, "address is dhcp, but segment blue has no DHCP server"),
        ({}, [WEB], {"subnet": "2001:db8::/64"}, "dhcp is for IPv4, and segment blue is IPv6"),
        ({}, [LOCAL], {}, "dhcp is not for a container that others run"),
        ({}, [{**WEB, "kind": "service", "service": {"unit": "nginx"}}], {}, "dhcp is not for a service"),
        (
            {},
            [{**WEB, "routes": [{"to": "default", "via": "10.1.1.1"}]}],
            {},
            "move them to fabric_segments[blue].dhcp.routes",
        ),
        ({}, [{**WEB, "name": "dhcp-blue"}], {}, "has the name of the DHCP server of segment blue"),
    ],
)
def test_what_cannot_be_is_refused(dhcp: Item | None, endpoints: list[Item], segment: Item, said: str) -> None:
    with pytest.raises(PlanError) as refused:
        planned(dhcp, *endpoints, **segment)
    assert [text for text in refused.value.problems if said in text], refused.value.problems


def test_a_router_that_forwards_may_be_an_endpoint() -> None:
    router = {"name": "r", "segment": "blue", "address": "10.1.1.1", "sysctls": {"net.ipv4.ip_forward": 1}}
    assert servers(planned({"router": "10.1.1.1"}, router))["kvm1"]["router"] == "10.1.1.1"


def test_where_segments_have_keys_nobody_else_passes_for_the_server() -> None:
    router = {"name": "r", "segment": "blue", "sysctls": {"net.ipv6.conf.all.forwarding": 1}}
    plan = planned({}, WEB, router, key=7, subnet6="2001:db8::/64")
    flows = [item["flow"] for item in plan["hosts"]["kvm1"]["flows"][0]["flows"]]
    guard = [flow for flow in flows if "tp_src=67" in flow or "tp_src=547" in flow or "icmp_type=134" in flow]
    assert [flow for flow in guard if "priority=120,metadata=0x7," in flow and flow.endswith("drop")] == guard[:3]
    assert len(guard) == 7 and sum("v-dhcp-blue" in flow for flow in guard) == 3
    assert [flow for flow in guard if 'in_port="v-r"' in flow or "in_port=v-r," in flow] == [
        flow for flow in guard if "icmp_type=134" in flow and "v-r" in flow
    ]
    without = planned(None, OTHER, key=7)["hosts"]["kvm1"]["flows"][0]["flows"]
    assert not [item for item in without if "tp_src" in item["flow"]]


def test_a_linux_guest_asks_by_its_own_configuration() -> None:
    guest = {**WEB, "name": "vm1", "kind": "guest", "guest": {"image": "/images/debian.qcow2"}}
    plan = planned({}, guest, subnet6="2001:db8::/64")
    ethernet = plan["hosts"]["kvm1"]["guests"][0]["domain"]["cloud_init"]["network_config"]["ethernets"]["eth0"]
    assert ethernet["dhcp4"] is True and ethernet["addresses"] == ["2001:db8::1:1/64"]
    address = next(one["address"] for one in plan["endpoints"] if one["id"] == "kvm1/vm1")
    lease = next(one for one in servers(plan)["kvm2"]["leases"] if one["name"] == "vm1")
    assert address in lease["addresses"] and lease["mac"] == ethernet["match"]["macaddress"]
    with pytest.raises(PlanError) as refused:
        planned({}, {**guest, "guest": {"image": "lab"}})
    assert "dhcp is not for the lab's guest" in refused.value.problems[0]

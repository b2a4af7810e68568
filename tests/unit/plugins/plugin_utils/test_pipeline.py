# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for the flows of any fabric whose segments are told apart by tunnel key: a pure switch carries the frames."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace as Some

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import wires as _plan_wires
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.pipeline import TABLES
from ansible_collections.overloom.fabric.tests.unit.flowsim import Fabric, number
from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT, SPEC, scale

many = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
BROADCAST = "ff:ff:ff:ff:ff:ff"
GUEST = {"kind": "guest", "guest": {"image": "lab"}}


@st.composite
def tenants(draw, learn=False):
    """The variables of a random fabric by key: tenants whose subnets overlap, endpoints and guests anywhere.

    learn: whether some segments do.
    """
    hosts = [f"kvm{number}" for number in range(1, draw(st.integers(1, 5)) + 1)]
    segments = []
    guests = draw(st.booleans())
    for count in range(draw(st.integers(1, 6))):
        # One of two subnets for each, so that most overlap; a tenant each, so that they may.
        segment = {"name": f"s{count}", "tenant": f"t{count}", "key": draw(st.integers(0, 40)) * 100 + count + 1}
        segment["subnet"] = draw(st.sampled_from(["10.0.0.0/24", "2001:db8::/64"]))
        if draw(st.booleans()) and ":" not in segment["subnet"]:
            segment["subnet6"] = "2001:db8::/64"
        if learn:
            segment["learn"] = draw(st.booleans())
        segments.append(segment)
    common = {
        "fabric_name": "tenants",
        "fabric_overlays": [{"encapsulation": draw(st.sampled_from(["gre", "vxlan", "geneve"])), "segments_by": "key"}],
        "fabric_segments": segments,
    }
    variables = {}
    for host in hosts:
        endpoints = [
            {
                "name": f"{segment['name']}-{nth}",
                "segment": segment["name"],
                **(GUEST if guests and draw(st.booleans()) else {}),
            }
            for segment in segments
            for nth in range(draw(st.integers(0, 2)))
        ]
        variables[host] = {**common, "fabric_endpoints": endpoints}
    return variables


def addresses(point):
    return [address for address in (point["address"], point["address6"]) if address]


def ask(point, address):
    """The frame by which an endpoint asks for an address."""
    source = next(mine for mine in addresses(point) if (":" in mine) == (":" in address))
    if ":" in address:
        return {
            "protocol": "icmp6",
            "icmp_type": 135,
            "icmp_code": 0,
            "nd_target": address,
            "nd_sll": point["mac"],
            "dl_dst": "33:33:ff:00:00:01",
            "ipv6_src": source,
            "ipv6_dst": "ff02::1:ff00:1",
        }
    return {
        "protocol": "arp",
        "arp_op": 1,
        "arp_spa": source,
        "arp_tpa": address,
        "arp_sha": point["mac"],
        "dl_dst": BROADCAST,
    }


@many
@given(tenants())
def test_exactly_the_pairs_of_a_segment_reach_each_other_once(hosts):
    plan = compile_plan(hosts, SPEC)
    fabric = Fabric(plan)
    for one in plan["endpoints"]:
        for other in plan["endpoints"]:
            arrived, _hosts = fabric.send(one, protocol="ip", dl_dst=other["mac"])
            reaches = one is not other and one["segment"] == other["segment"]
            assert [name for name, _frame in arrived] == [other["id"]] * reaches


@many
@given(tenants(), st.sampled_from([BROADCAST, "01:00:5e:00:00:fb", "33:33:00:00:00:01"]))
def test_a_flooded_frame_reaches_each_of_its_segment_once_and_no_host_without_the_segment(hosts, group):
    plan = compile_plan(hosts, SPEC)
    fabric = Fabric(plan)
    for one in plan["endpoints"]:
        peers = [point for point in plan["endpoints"] if point["segment"] == one["segment"]]
        arrived, seen = fabric.send(one, protocol="ip", dl_dst=group)
        assert sorted(name for name, _frame in arrived) == sorted(point["id"] for point in peers if point is not one)
        assert seen == {point["host"] for point in peers}


@many
@given(tenants())
def test_a_known_address_is_answered_on_the_host_with_the_mac_of_its_segment_and_an_unknown_one_by_nobody(hosts):
    plan = compile_plan(hosts, SPEC)
    fabric = Fabric(plan)
    everything = {address for point in plan["endpoints"] for address in addresses(point)} | {
        "10.0.0.254",
        "2001:db8::fe",
    }
    for one in plan["endpoints"]:
        own = {address: p for p in plan["endpoints"] if p["segment"] == one["segment"] for address in addresses(p)}
        for address in everything:
            if not any((":" in mine) == (":" in address) for mine in addresses(one)):
                continue
            arrived, seen = fabric.send(one, **ask(one, address))
            if address not in own or own[address] is one:
                # A multicast question in IPv6 may still be for a link-local address that no plan knows: it goes to the segment, and nobody has it.
                assert {name for name, _frame in arrived} <= (
                    {p["id"] for p in own.values()} if ":" in address else set()
                )
                continue
            assert seen == {one["host"]}
            ((name, answer),) = arrived
            mac = number(own[address]["mac"])
            assert name == one["id"] and answer["dl_src"] == mac and answer["dl_dst"] == number(one["mac"])
            if ":" in address:
                assert (answer["icmp_type"], answer["nd_tll"], answer["ipv6_src"], answer["nd_options_type"]) == (
                    136,
                    mac,
                    number(address),
                    2,
                )
                assert answer["ipv6_dst"] in map(number, addresses(one))
            else:
                assert (answer["arp_op"], answer["arp_sha"], answer["arp_spa"]) == (2, mac, number(address))
                assert answer["arp_tpa"] == number(one["address"]) and answer["arp_tha"] == number(one["mac"])


@many
@given(tenants())
def test_an_endpoints_answer_for_itself_reaches_who_asked_on_whichever_host(hosts):
    plan = compile_plan(hosts, SPEC)
    fabric = Fabric(plan)
    for one in plan["endpoints"]:
        for other in plan["endpoints"]:
            if one is other or one["segment"] != other["segment"]:
                continue
            for address in addresses(one):
                if ":" in address:
                    answer = {"protocol": "icmp6", "icmp_type": 136, "icmp_code": 0, "nd_target": address}
                else:
                    answer = {
                        "protocol": "arp",
                        "arp_op": 2,
                        "arp_spa": address,
                        "arp_tpa": other["address"],
                        "arp_sha": one["mac"],
                    }
                assert [name for name, _frame in fabric.send(one, **answer, dl_dst=other["mac"])[0]] == [other["id"]]


@many
@given(tenants(), st.data())
def test_nobody_speaks_for_another_or_in_a_vlan_of_his_own(hosts, data):
    plan = compile_plan(hosts, SPEC)
    fabric = Fabric(plan)
    if len(plan["endpoints"]) < 2:
        return
    one, other = data.draw(st.permutations(plan["endpoints"]))[:2]
    assert fabric.send(one, dl_src=other["mac"], dl_dst=BROADCAST)[0] == []
    assert fabric.send(one, vlan_tci=0x100A, dl_dst=BROADCAST)[0] == []
    foreign = [address for address in addresses(other) if address not in addresses(one)]
    for address in foreign:
        if ":" in address:
            claim = {
                "protocol": "icmp6",
                "icmp_type": 136,
                "icmp_code": 0,
                "nd_target": address,
                "dl_dst": "33:33:00:00:00:01",
            }
        else:
            claim = {
                "protocol": "arp",
                "arp_op": 2,
                "arp_spa": address,
                "arp_tpa": address,
                "arp_sha": one["mac"],
                "dl_dst": BROADCAST,
            }
        assert fabric.send(one, **claim)[0] == []


def learning(plan, fabric):
    """The segments that learn, each with (host, VLAN of its wire, a MAC address that no plan knows, what a copy that arrives there is called)."""
    found = {}
    for segment in plan["segments"]:
        ports = [
            (host, vlan) for (host, vlan), (_bridge, port) in fabric.wires.items() if port == f"s-{segment['name']}"
        ]
        found[segment["name"]] = [
            (host, vlan, f"0a:00:00:00:00:{nth:02x}", f"{host}//{vlan}") for nth, (host, vlan) in enumerate(ports)
        ]
        assert {host for host, _vlan in ports} == {
            p["host"] for p in plan["endpoints"] if p["segment"] == segment["name"] and segment["learn"]
        }
    return found


def names(sent):
    return sorted(name for name, _frame in sent[0])


@many
@given(tenants(learn=True), st.data())
def test_unknown_endpoints_reach_all_of_their_segment_by_what_is_learned_and_nobody_else(hosts, data):
    plan = compile_plan(hosts, SPEC)
    fabric = Fabric(plan)
    sockets = learning(plan, fabric)
    for segment, there in sockets.items():
        known = [point for point in plan["endpoints"] if point["segment"] == segment]
        everyone = {point["id"] for point in known} | {name for *_where, name in there}
        for host, vlan, mac, name in there:
            # Nobody has heard of it: a frame to it goes to all of the segment once, and to no other.
            one = data.draw(st.sampled_from(known))
            arrived, seen = fabric.send(one, protocol="ip", dl_dst="0a:00:00:00:99:99")
            assert sorted(name for name, _frame in arrived) == sorted(everyone - {one["id"]}) and seen == {
                p["host"] for p in known
            }
            for target in known:
                assert names(fabric.plug(host, vlan, protocol="ip", dl_src=mac, dl_dst=target["mac"])) == [target["id"]]
            assert names(fabric.plug(host, vlan, protocol="ip", dl_src=mac, dl_dst=BROADCAST)) == sorted(
                everyone - {name}
            )
            for source in known:
                assert names(fabric.send(source, protocol="ip", dl_dst=mac)) == [name], "learned"
            for host2, vlan2, mac2, name2 in there:
                if name2 != name:
                    assert names(fabric.plug(host2, vlan2, protocol="ip", dl_src=mac2, dl_dst=mac)) == [name]
                    # It moves, and is where it was last heard.
                    fabric.plug(host2, vlan2, protocol="ip", dl_src=mac, dl_dst=BROADCAST)
                    assert all(names(fabric.send(source, protocol="ip", dl_dst=mac)) == [name2] for source in known)
                    fabric.plug(host, vlan, protocol="ip", dl_src=mac, dl_dst=BROADCAST)
        for other in plan["endpoints"]:
            if (
                other["segment"] != segment
                and there
                and other["segment"] not in [s for s, where in sockets.items() if where]
            ):
                assert fabric.send(other, protocol="ip", dl_dst=there[0][2])[0] == [], "another tenant"


@many
@given(tenants(learn=True))
def test_what_the_plan_knows_cannot_be_learned_away(hosts):
    plan = compile_plan(hosts, SPEC)
    fabric = Fabric(plan)
    for segment, there in learning(plan, fabric).items():
        known = [point for point in plan["endpoints"] if point["segment"] == segment]
        for host, vlan, mac, _name in there:
            for point in known:
                assert fabric.plug(host, vlan, protocol="ip", dl_src=point["mac"], dl_dst=BROADCAST)[0] == [], (
                    "its MAC address"
                )
                for address in addresses(point):
                    if ":" in address:
                        claim = {
                            "protocol": "icmp6",
                            "icmp_type": 136,
                            "icmp_code": 0,
                            "nd_target": address,
                            "dl_dst": "33:33:00:00:00:01",
                        }
                    else:
                        claim = {
                            "protocol": "arp",
                            "arp_op": 2,
                            "arp_spa": address,
                            "arp_tpa": address,
                            "arp_sha": mac,
                            "dl_dst": BROADCAST,
                        }
                    assert fabric.plug(host, vlan, dl_src=mac, **claim)[0] == [], "its address"
            free = {
                "protocol": "arp",
                "arp_op": 1,
                "arp_spa": "10.0.0.250",
                "arp_tpa": "10.0.0.251",
                "arp_sha": mac,
                "dl_dst": BROADCAST,
            }
            assert len(fabric.plug(host, vlan, dl_src=mac, **free)[0]) == len(known) + len(there) - 1, (
                "a free address may be spoken for and asked for"
            )
        for (name, _bridge), bridge in fabric.bridges.items():
            macs = {number(point["mac"]) for point in known}
            assert not any(learned in macs for _metadata, learned in bridge.learned), name


@many
@given(tenants(learn=True))
def test_what_was_learned_of_somebody_who_has_moved_on_circles_nowhere(hosts):
    """Each host takes the address to be at another one: a frame to it crosses one tunnel, and ends there."""
    plan = compile_plan(hosts, SPEC)
    fabric = Fabric(plan)
    learns = {segment["name"]: segment["key"] for segment in plan["segments"] if segment["learn"]}
    mac = "0a:00:00:00:00:01"
    for (host, _name), bridge in fabric.bridges.items():
        tunnel = next((port for name, port in fabric.far if name == host), None)
        bridge.learned.update({(key, number(mac)): {"reg2": tunnel, "reg3": 2} for key in learns.values() if tunnel})
    for point in plan["endpoints"]:
        if point["segment"] in learns:
            arrived, seen = fabric.send(point, protocol="ip", dl_dst=mac)
            assert len(seen) <= 2 and (len(plan["hosts"]) == 1 or not arrived)


@many
@given(tenants())
def test_tunnels_take_their_key_from_the_flow_and_the_bridge_forwards_nothing_by_itself(hosts):
    plan = compile_plan(hosts, SPEC)
    for host in plan["hosts"].values():
        assert all(tunnel["key"] == "flow" and tunnel["trunks"] == [] for tunnel in host["tunnels"])
        modes = {bridge["name"]: bridge.get("fail_mode") for bridge in host["bridges"]}
        plugged = {network["bridge"]: "" for network in host["networks"]}
        assert modes == {"br-underlay": None, **{entry["bridge"]: "secure" for entry in host["flows"]}, **plugged}


def test_flows_grow_with_what_is_on_a_host_and_not_with_the_fabric():
    def most(segments, hosts):
        plan = compile_plan(scale(segments, hosts), SPEC)
        assert all(len(host["flows"]) == 1 for host in plan["hosts"].values()), "one call a host"
        return max(len(host["flows"][0]["flows"]) for host in plan["hosts"].values())

    few, many_hosts = most(60, 3), most(200, 10)
    assert many_hosts <= few, "as many segments a host, more hosts: no more flows"
    assert (most(400, 10) - many_hosts) <= 1.1 * (many_hosts - most(100, 10)) * 2


def test_five_thousand_segments_over_ten_hosts_compile_in_five_seconds():
    hosts = scale(5000)
    begun = time.process_time()
    plan = compile_plan(hosts, SPEC)
    assert time.process_time() - begun < 5
    assert all(len(host["flows"]) == 1 and len(host["flows"][0]["flows"]) > 10000 for host in plan["hosts"].values())


def test_every_table_is_documented():
    page = (CHECKOUT / "docs/pipeline.md").read_text(encoding="utf-8")
    for table, name in TABLES.items():
        assert re.search(rf"\| {table} \| `{name}` \|", page)


def keyed(segments=None, overlay=None, hosts=("kvm1", "kvm2"), **more):
    """The smallest fabric by key, changed."""
    segments = [{"name": "a", "key": 1, "subnet": "10.0.0.0/24", **(segments or {})}]
    common = {
        "fabric_name": "t",
        "fabric_overlays": [{"segments_by": "key", **(overlay or {})}],
        "fabric_segments": segments,
    }
    return {name: {**common, "fabric_endpoints": [{"name": "e", "segment": "a"}], **more} for name in hosts}


def guest(segment="a", **options):
    """The one endpoint of a fabric as a guest."""
    return [{"name": "e", "segment": segment, "kind": "guest", "guest": {"image": "lab", **options}}]


def test_a_guest_is_on_a_wire_of_its_own_that_others_do_not_move():
    two = [{"name": "a", "key": 1, "subnet": "10.0.0.0/24"}, {"name": "b", "key": 2, "subnet": "10.0.1.0/24"}]
    points = guest(nics=[{"segment": "b", "address": "10.0.1.9"}])

    def host(*more):
        return compile_plan(keyed(hosts=["kvm1"], fabric_segments=two, fabric_endpoints=[*more, *points]), SPEC)[
            "hosts"
        ]["kvm1"]

    alone = host()
    bridges = {bridge["name"]: bridge for bridge in alone["bridges"]}
    assert [port["name"] for port in bridges["br-int"]["ports"]] == ["p-e", "p-e-eth1"]
    vlans = {port["name"]: port["tag"] for port in bridges["br-int-plug"]["ports"]}
    assert bridges["br-int-plug"]["flood_vlans"] == list(vlans.values()) and len(set(vlans.values())) == 2
    (network,) = alone["networks"]
    assert network["bridge"] == "br-int-plug"
    assert network["portgroups"] == [
        {"name": "v-e", "vlan": vlans["q-e"]},
        {"name": "v-e-eth1", "vlan": vlans["q-e-eth1"]},
    ]
    assert [(nic["dev"], nic["portgroup"]) for nic in alone["guests"][0]["domain"]["nics"]] == [
        ("v-e", "v-e"),
        ("v-e-eth1", "v-e-eth1"),
    ]
    text = "\n".join(flow["flow"] for flow in alone["flows"][0]["flows"])
    assert 'in_port="p-e"' in text and "arp_tpa=10.0.1.9" in text and "v-e" not in text
    crowded = host(*[{**guest()[0], "name": f"g{number}", "address": f"10.0.0.{100 + number}"} for number in range(40)])
    assert {
        port["name"]: port["tag"]
        for bridge in crowded["bridges"]
        for port in bridge.get("ports", ())
        if port["name"] in vlans
    } == vlans


def test_a_host_without_guests_and_learning_has_no_second_bridge():
    host = compile_plan(keyed(), SPEC)["hosts"]["kvm1"]
    assert [bridge["name"] for bridge in host["bridges"]] == ["br-underlay", "br-int"] and "ports" not in host[
        "bridges"
    ][1]


def test_the_second_nic_of_a_guest_counts_as_its_segment_being_there():
    """Its host gets the segment's flows, and needs a tunnel to the others."""
    two = [{"name": "a", "key": 1, "subnet": "10.0.0.0/24"}, {"name": "b", "key": 2, "subnet": "10.0.1.0/24"}]
    hosts = keyed(overlay=LINE, hosts=("kvm1", "kvm2", "kvm3"), fabric_segments=two)
    hosts["kvm1"]["fabric_endpoints"] = guest(nics=[{"segment": "b", "address": "10.0.1.9"}])
    hosts["kvm2"]["fabric_endpoints"], hosts["kvm3"]["fabric_endpoints"] = [], [{"name": "e", "segment": "b"}]
    with pytest.raises(PlanError) as refused:
        compile_plan(hosts, SPEC)
    assert [
        problem
        for problem in refused.value.problems
        if problem.startswith("fabric_segments[b] has endpoints on kvm1 and kvm3")
    ]


def test_wires_that_meet_get_another_vlan_and_too_many_are_refused():
    segment = Some(learn=False)
    points = [Some(id=f"h/g{n}", name=f"g{n}", kind="guest", segment="s", guest={"nics": []}) for n in range(4093)]
    problems = []
    found = _plan_wires.wires("h", points, {"s": segment}, problems)
    vlans = [wire.vlan for wire in found]
    assert len(set(vlans)) == 4093 and set(vlans) <= set(range(1, 4095)) and not problems
    _plan_wires.wires(
        "h", [*points, *[Some(id="h/x", name="x", kind="guest", segment="s", guest={})]], {"s": segment}, problems
    )
    assert problems and problems[0].startswith("h: has 4094 NICs of guests and segments with learn")


@pytest.mark.parametrize("overlay, number", [({}, "key"), ({"segments_by": "vlan"}, "vlan")])
def test_a_segment_may_have_the_numbers_of_both_engines(overlay, number):
    alone, both = (
        compile_plan(keyed(numbers, overlay), SPEC) for numbers in ({"key": None, number: 5}, {"key": 5, "vlan": 5})
    )
    assert both["hosts"] == alone["hosts"] and both["segments"] == alone["segments"]
    assert {name: both["segments"][0][name] for name in ("vlan", "key")} == {"vlan": None, "key": None, number: 5}


LINE = {"topology": "links", "links": [["kvm1", "kvm2"], ["kvm2", "kvm3"]]}


@pytest.mark.parametrize(
    "hosts, sentence",
    [
        (
            keyed({"key": None}),
            "fabric_segments[a].key is missing; overlay vxlan has segments_by: key, so give each segment a key of its own.",
        ),
        (keyed({"key": 2**24}), "fabric_segments[a].key must be 1 to 16777215 (24 bits with vxlan), not 16777216."),
        (
            keyed(overlay={"key": 7}),
            "fabric_overlays[0].key is of no use with segments_by: key, where each segment has its own; leave it out.",
        ),
        (
            keyed(overlay={"loop_guard": "rstp"}),
            "fabric_overlays[0].loop_guard rstp is for segments_by: vlan; leave it out, as the flows let nothing circle.",
        ),
        (
            keyed(overlay=LINE, hosts=("kvm1", "kvm2", "kvm3")),
            "fabric_segments[a] has endpoints on kvm1 and kvm3, but overlay vxlan has no tunnel between them, and with segments_by: key a frame crosses"
            " one tunnel only; add the tunnel, or take topology full_mesh.",
        ),
        (
            keyed(
                fabric_segments=[
                    {"name": "a", "key": 1, "subnet": "10.0.0.0/24"},
                    {"name": "b", "key": 1, "subnet": "10.0.1.0/24"},
                ]
            ),
            "fabric_segments[a] and fabric_segments[b] both have the key 1; give one of them another key.",
        ),
        (
            keyed(
                fabric_segments=[
                    {"name": name, "key": key, "tenant": "x", "subnet": f"10.0.0.0/2{3 + key}"}
                    for name, key in (("a", 1), ("b", 2))
                ]
            ),
            "fabric_segments[b].subnet 10.0.0.0/25 overlaps fabric_segments[a].subnet 10.0.0.0/24; give each its own range.",
        ),
        (
            keyed(fabric_overlays=[{"name": "vlan"}]),
            "fabric_segments[a].key is for overlays with segments_by: key; leave it out, or say so in fabric_overlays[vlan].segments_by.",
        ),
        (
            keyed(
                fabric_overlays=[{"name": "k", "segments_by": "key"}, {"name": "v", "key": 9}],
                fabric_segments=[
                    {"name": "a", "key": 1, "overlay": "k", "subnet": "10.0.0.0/24"},
                    {"name": "b", "overlay": "v", "subnet": "10.0.1.0/24"},
                ],
            ),
            "fabric_overlays[k].bridge br-int is also that of v, but with segments_by: key it belongs to one overlay alone; give it another bridge.",
        ),
        (
            keyed(
                fabric_overlays=[{"name": "k", "segments_by": "key", "bridge": "br-k"}, {"name": "v", "key": 1}],
                fabric_segments=[
                    {"name": "a", "key": 1, "overlay": "k", "subnet": "10.0.0.0/24"},
                    {"name": "b", "overlay": "v", "subnet": "10.0.1.0/24"},
                ],
            ),
            "fabric_overlays[v].key 1 is also that of fabric_segments[a]; give one of them another key.",
        ),
        (
            keyed(overlay={"segments_by": "vlan"}, segments={"key": None, "learn": True}),
            "fabric_segments[a].learn is for overlays with segments_by: key; leave it out, or say so in fabric_overlays[0].segments_by.",
        ),
        (
            keyed(fabric_endpoints=guest(nics=[{"trunks": ["a"]}])),
            "kvm1: fabric_endpoints[e].guest.nics[0].trunks has segment a, whose overlay has segments_by: key and no VLANs; give it a NIC of its own.",
        ),
        (
            keyed(fabric_endpoints=guest(nics=[{"segment": "a"}])),
            "kvm1: fabric_endpoints[e].guest.nics[0].address is missing; segment a forwards to addresses that the plan knows, so give one,"
            " or set learn: true there.",
        ),
        (
            keyed({"learn": True}, overlay={"bridge": "p-e"}, fabric_endpoints=guest()),
            "kvm1: the name p-e is both fabric_overlays[0].bridge and an end of the wire of v-e; rename one of them.",
        ),
        (keyed({"learn": "perhaps"}), "fabric_segments[a].learn must be true or false, not 'perhaps'."),
        (
            keyed(fabric_flows=[{"actions": []}]),
            "kvm1: fabric_flows[0].bridge br-int is that of overlay vxlan, whose flows are the plan's; take another bridge.",
        ),
    ],
)
def test_what_cannot_work_by_key_is_refused(hosts, sentence):
    with pytest.raises(PlanError) as refused:
        compile_plan(hosts, SPEC)
    assert sentence in refused.value.problems

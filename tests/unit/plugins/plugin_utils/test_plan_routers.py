# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers in the plan: what is allocated, what is refused, and which routes and prefixes must come of it."""

from __future__ import annotations

import copy
import ipaddress
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.filter.reveal import reveal
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan, intent_secrets
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.duties import reads, roles
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.routers import judge, routing
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, inventory_plan


def plan(common, kvm=None, routers=None):
    """The plan of hosts whose own variables are given."""
    common = {"fabric_name": "test", **common}

    def group(hosts):
        return {name: {**common, **own} for name, own in (hosts or {}).items()}

    return compile_plan(group(kvm), SPEC, routers=group(routers))


def problems(common, kvm=None, routers=None):
    """All that such an intent is refused for."""
    with pytest.raises(PlanError) as error:
        plan(common, kvm, routers)
    return error.value.problems


def chain(*names, **link):
    """Links from each router to the next."""
    return [{"ends": [f"{one}:right", f"{other}:left"], **link} for one, other in zip(names, names[1:])]


def routes(made, name):
    """The routes of a router: prefix to cost and next hops."""
    found = {}
    for row in made["routers"][name]["routes"]:
        found[row["prefix"]] = (row["cost"], {hop["address"] for hop in row["nexthops"]})
    return found


# What is allocated


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(1, 40), min_size=2, max_size=8), st.data())
def test_a_new_router_and_a_new_link_move_no_address(numbers, data):
    names = [f"r{number}" for number in sorted(numbers)]
    pairs = list(itertools.combinations(names, 2))
    chosen = data.draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
    links = [{"ends": [f"{one}:to-{other}", f"{other}:to-{one}"]} for one, other in chosen]
    whole = plan({"fabric_links": links}, routers={name: {} for name in names})
    some = data.draw(st.lists(st.sampled_from(links), min_size=1, unique_by=str))
    used = {end.partition(":")[0] for link in some for end in link["ends"]}
    part = plan({"fabric_links": some}, routers={name: {} for name in used})
    subnets = {link["name"]: link["subnet"] for link in whole["links"]}
    assert len(set(subnets.values())) == len(links)
    assert {link["name"]: link["subnet"] for link in part["links"]}.items() <= subnets.items()
    for name in used:
        assert part["routers"][name]["loopback"] == whole["routers"][name]["loopback"]


def test_a_routed_underlay_has_its_endpoints_alone_in_their_subnet():
    made = plan(
        {"fabric_links": [{"ends": ["kvm1:eth1", "r1:eth1"]}, {"ends": ["kvm2:eth1", "r1:eth2"]}]},
        {"kvm1": {}, "kvm2": {}},
        {"r1": {}},
    )
    host = made["hosts"]["kvm1"]
    assert host["underlay"]["tep"]["address"] == "192.168.200.1/32"
    ports = {port["name"]: port for port in host["bridges"][0]["ports"]}
    assert list(ports) == ["eth1", "ul-eth1", "tep0"]
    # The link is a network of its own inside the bridge, and one MAC address takes the packets of all links.
    assert ports["eth1"]["tag"] == ports["ul-eth1"]["tag"] == 4094 and ports["tep0"]["tag"] == ""
    assert ports["ul-eth1"]["mac"] == ports["tep0"]["mac"] and ports["tep0"]["addresses"] == ["192.168.200.1/32"]
    assert made["routers"]["kvm1"]["sysctls"] == {"net/ipv4/conf/eth1/arp_ignore": 1}
    assert routes(made, "kvm1")["192.168.200.2/32"][0] == 21


def test_settings_of_a_host_win_over_those_of_the_link_and_those_over_the_fabric():
    common = {"fabric_routing": {"cost": 5}, "fabric_links": chain("r1", "r2", cost=7) + chain("r2", "r3")}
    made = plan(
        common, routers={"r1": {"fabric_router": {"interfaces": [{"name": "ri*", "cost": 9}]}}, "r2": {}, "r3": {}}
    )
    costs = {f"{end['host']}:{end['interface']}": end["cost"] for link in made["links"] for end in link["ends"]}
    assert costs == {"r1:right": 9, "r2:left": 7, "r2:right": 5, "r3:left": 5}


def test_secrets_are_in_no_part_of_the_plan_but_theirs():
    common = {"fabric_links": chain("r1", "r2", key="SECRET-ONE"), "fabric_routing": {"key": "SECRET-TWO"}}
    both = {"asn": "64512", "neighbors": [{"name": "r2", "password": "SECRET-THREE"}]}
    common["fabric_links"] += chain("r2", "r3")
    routers = {
        "r1": {"fabric_bgp": both},
        "r2": {"fabric_bgp": {"asn": "64512", "neighbors": [{"name": "r1", "password": "SECRET-THREE"}]}},
        "r3": {},
    }
    made = plan(common, routers=routers)
    hidden = intent_secrets({}, SPEC, {name: {"fabric_name": "test", **common, **own} for name, own in routers.items()})
    assert "SECRET" not in json.dumps(made)
    assert set(hidden.values()) == {"SECRET-ONE", "SECRET-TWO", "SECRET-THREE"}
    shown = json.dumps(reveal(made["routers"], hidden))
    assert all(shown.count(secret) == 2 for secret in hidden.values())


def test_a_router_on_a_stick_has_vlans_on_its_nic():
    links = [
        {"name": "red", "ends": ["r1:eth1.10"], "subnet": "10.1.10.0/24"},
        {"name": "blue", "ends": ["r1:eth1.20"], "subnet": "10.1.20.0/24", "mtu": 1600},
        {"name": "up", "ends": ["r1:eth2", "r2:eth2"]},
        {"name": "more", "ends": ["r1:eth2.7", "r2:eth2.7"], "subnet": "10.1.7.0/31"},
    ]
    made = plan({"fabric_links": links}, routers={"r1": {}, "r2": {}})
    items = {item["name"]: item for item in made["routers"]["r1"]["interfaces"]}
    assert list(items) == ["lo", "eth1", "eth2", "eth1.10", "eth1.20", "eth2.7"]
    # The NIC itself gets no address, and lets the largest of its VLANs pass.
    assert items["eth1"] == {"name": "eth1", "mtu": 1600, "up": True}
    assert items["eth1.10"] == {
        "name": "eth1.10",
        "parent": "eth1",
        "vlan": 10,
        "addresses": ["10.1.10.1/24"],
        "mtu": 1500,
        "up": True,
    }
    assert routes(made, "r2")["10.1.10.0/24"][0] == routes(made, "r2")["10.1.20.0/24"][0] == 20
    links[3]["mtu"] = 9000
    (problem,) = problems(
        {"fabric_links": links}, routers={"r1": {"fabric_host_id": 1, "fabric_router": {}}, "r2": {}}
    )[:1]
    assert "r1:eth2.7 has the MTU 9000, more than its NIC r1:eth2 with 1500" in problem


def test_links_with_a_secret_have_it_in_both_versions():
    common = {"fabric_links": chain("r1", "r2", subnet6="fd00::/127", key="SECRET", key_id=7)}
    made = plan(common, routers={"r1": {}, "r2": {}})
    old, new = (instance["interfaces"][-1] for instance in made["routers"]["r1"]["ospf"]["instances"])
    assert old["message_digest_keys"] == [{"id": 7, "key": "<fabric_links[r1-r2].key>"}]
    assert (new["authentication"], new["authentication_key"], new["authentication_key_id"]) == (
        "key",
        "<fabric_links[r1-r2].key>",
        7,
    )


# Which routes must come of it


def test_costs_add_up_along_the_way():
    """20 and 27: the costs of two links, and nothing for the loopback at the end."""
    made = plan(
        {"fabric_links": chain("r1", "r2", cost=20) + chain("r2", "r3", cost=7)}, routers={"r1": {}, "r2": {}, "r3": {}}
    )
    assert routes(made, "r1")["10.255.0.2/32"][0] == 20
    assert routes(made, "r1")["10.255.0.3/32"][0] == 27
    assert routes(made, "r3")["10.255.0.1/32"][0] == 27


def test_two_ways_of_one_cost_are_both_used():
    links = [
        {"ends": [f"{one}:{other}", f"{other}:{one}"]}
        for one, other in (("r1", "r2"), ("r1", "r3"), ("r2", "r4"), ("r3", "r4"))
    ]
    made = plan({"fabric_links": links}, routers={f"r{n}": {} for n in range(1, 5)})
    cost, hops = routes(made, "r1")["10.255.0.4/32"]
    assert cost == 20 and len(hops) == 2


def test_routes_between_areas_go_through_the_backbone():
    links = chain("r1", "r2", area=1) + chain("r2", "r3", area=0) + chain("r3", "r4", area=2)
    made = plan(
        {"fabric_links": [{**link, "area": str(link["area"])} for link in links]},
        routers={f"r{n}": {} for n in range(1, 5)},
    )
    assert routes(made, "r1")["10.255.0.4/32"][0] == 30
    assert made["routers"]["r2"]["areas"] == ["0.0.0.0", "0.0.0.1"]


def test_a_totally_stubby_area_gets_a_default_route_alone():
    common = {
        "fabric_links": chain("r1", "r2", area="1") + chain("r2", "r3"),
        "fabric_routing": {"areas": [{"area": "1", "type": "totally_stubby"}]},
    }
    made = plan(common, routers={"r1": {}, "r2": {}, "r3": {}})
    assert routes(made, "r1") == {"0.0.0.0/0": (11, {"10.254.0.27"})}


def test_a_passive_interface_has_its_network_announced_and_no_neighbor():
    common = {
        "fabric_links": chain("r1", "r2") + [{"name": "lan", "ends": ["r2:lan"], "subnet": "10.7.0.0/24", "cost": 3}]
    }
    made = plan(common, routers={"r1": {}, "r2": {}})
    assert routes(made, "r1")["10.7.0.0/24"][0] == 13
    assert [row["peer"] for row in routing(made)["r2"]["adjacencies"]] == ["r1:right"]


def outside(**more):
    """A router with a link to a network without OSPF, a static route into it, and what it tells of them."""
    static = [{"prefix": "10.60.0.0/16", "via": "10.50.0.9"}, {"prefix": "10.61.0.0/16", "discard": "blackhole"}]
    return {
        "fabric_router": {
            "static": static,
            "redistribute": [{"protocol": "static"}, {"protocol": "connected", "metric": 5, "metric_type": 1}],
            **more,
        }
    }


LAN = {"name": "lan", "ends": ["r1:lan"], "subnet": "10.50.0.0/24", "ospf": False}


def test_static_routes_and_what_is_told_of_them():
    """Of type 2, the cost stays; of type 1, the way adds to it; a discarded prefix goes to the one that discards it."""
    made = plan({"fabric_links": [*chain("r1", "r2", "r3"), LAN]}, routers={"r1": outside(), "r2": {}, "r3": {}})
    protocols = {row["prefix"]: row["protocol"] for row in made["routers"]["r1"]["routes"]}
    hops = {prefix: addresses for prefix, (_cost, addresses) in routes(made, "r1").items()}
    assert (protocols["10.60.0.0/16"], hops["10.60.0.0/16"]) == ("static", {"10.50.0.9"})
    assert (protocols["10.61.0.0/16"], hops["10.61.0.0/16"]) == ("static", set())
    assert made["routers"]["r1"]["static"] == [
        {"prefix": "10.60.0.0/16", "via": "10.50.0.9", "distance": 1},
        {"prefix": "10.61.0.0/16", "discard": "blackhole", "distance": 1},
    ]
    far = routes(made, "r3")
    hop = far["10.255.0.1/32"][1]
    assert far["10.60.0.0/16"] == (20, hop) and far["10.61.0.0/16"] == (20, hop) and far["10.50.0.0/24"] == (25, hop)


def test_a_static_route_wins_over_one_by_ospf():
    links = [*chain("r1", "r2"), {"name": "lan", "ends": ["r2:lan"], "subnet": "10.60.0.0/16"}]
    via = next(
        end["address"]
        for link in plan({"fabric_links": links}, routers={"r1": {}, "r2": {}})["links"]
        for end in link["ends"]
        if end["host"] == "r2"
    )
    for distance, protocol in ((1, "static"), (200, "ospf")):
        static = [{"prefix": "10.60.0.0/16", "via": via, "distance": distance}]
        made = plan({"fabric_links": links}, routers={"r1": {"fabric_router": {"static": static}}, "r2": {}})
        assert [row["protocol"] for row in made["routers"]["r1"]["routes"] if row["prefix"] == "10.60.0.0/16"] == [
            protocol
        ]


def test_a_next_hop_on_a_network_of_ospf_is_where_the_others_go():
    """The forwarding address of RFC 2328, section 12.4.4.1: r2 sends to the next hop itself, not to r1, which told of it."""
    lan = {"name": "lan", "ends": ["r1:lan", "r2:lan", "r3:lan"], "subnet": "10.50.0.0/24"}
    own = {"static": [{"prefix": "10.60.0.0/16", "via": "10.50.0.3"}], "redistribute": [{"protocol": "static"}]}
    made = plan({"fabric_links": [lan]}, routers={"r1": {"fabric_router": own}, "r2": {}, "r3": {}})
    assert routes(made, "r2")["10.60.0.0/16"] == (20, {"10.50.0.3"})


@pytest.mark.parametrize("kind", ["stub", "totally_stubby", "nssa"])
def test_a_stub_area_takes_no_routes_from_outside(kind):
    common = {
        "fabric_links": [*chain("r1", "r2"), *chain("r2", "r3", area="1"), LAN],
        "fabric_routing": {"areas": [{"area": "1", "type": kind}]},
    }
    made = plan(common, routers={"r1": outside(), "r2": {}, "r3": {}})
    assert "10.60.0.0/16" in routes(made, "r2") and "10.60.0.0/16" not in routes(made, "r3")


def test_an_nssa_tells_its_own_routes_from_outside():
    common = {
        "fabric_links": [*chain("r1", "r2", area="1"), *chain("r2", "r3"), LAN],
        "fabric_routing": {"areas": [{"area": "1", "type": "nssa"}]},
    }
    made = plan(common, routers={"r1": outside(), "r2": {}, "r3": {}})
    assert routes(made, "r2")["10.60.0.0/16"][0] == routes(made, "r3")["10.60.0.0/16"][0] == 20


def test_what_bgp_brings_is_told_by_ospf():
    links = [{**link, "ospf": False} for link in chain("r1", "r2")] + chain("r2", "r3")
    own = {"fabric_router": {"redistribute": [{"protocol": "bgp", "metric": 7}]}}
    routers = {
        "r1": bgp("r1", "r2", asn="64513", networks=["203.0.113.0/24", "0.0.0.0/0"]),
        "r2": {**bgp("r2", "r1"), **own},
        "r3": {},
    }
    made = plan({"fabric_links": links}, routers=routers)
    assert routes(made, "r3")["203.0.113.0/24"][0] == 7 and "0.0.0.0/0" not in routes(made, "r3")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_routes_are_those_of_the_cheapest_way(data):
    """Against the plainest calculation: all costs from all, until nothing gets cheaper."""
    count = data.draw(st.integers(2, 6))
    names = [f"r{n}" for n in range(1, count + 1)]
    pairs = data.draw(st.lists(st.sampled_from(list(itertools.combinations(names, 2))), min_size=1, unique=True))
    costs = {pair: data.draw(st.integers(1, 30)) for pair in pairs}
    links = [{"ends": [f"{one}:{other}", f"{other}:{one}"], "cost": cost} for (one, other), cost in costs.items()]
    made = plan({"fabric_links": links}, routers={name: {} for name in names})
    far = {(one, other): 0 if one == other else 10**6 for one in names for other in names}
    for (one, other), cost in costs.items():
        far[one, other] = far[other, one] = cost
    for middle, one, other in itertools.product(names, repeat=3):
        far[one, other] = min(far[one, other], far[one, middle] + far[middle, other])
    for one in names:
        found = {prefix: cost for prefix, (cost, _hops) in routes(made, one).items() if prefix.startswith("10.255.")}
        wanted = {
            f"10.255.0.{other[1:]}/32": far[one, other] for other in names if other != one and far[one, other] < 10**6
        }
        assert found == wanted


def bgp(_name, *neighbors, asn="64512", **more):
    """BGP of a router with neighbors."""
    return {
        "fabric_bgp": {
            "asn": asn,
            "neighbors": [{"name": one} if isinstance(one, str) else one for one in neighbors],
            **more,
        }
    }


def test_a_reflector_tells_its_clients_of_each_other_and_keeps_the_next_hop():
    links = [{**link, "ospf": False} for link in chain("r1", "r2") + chain("r2", "r3")]
    routers = {
        "r1": bgp("r1", "r2", networks=["10.1.0.0/24"]),
        "r2": bgp("r2", {"name": "r1", "reflector_client": True}, {"name": "r3", "reflector_client": True}),
        "r3": bgp("r3", "r2"),
    }
    made = plan({"fabric_links": links}, routers=routers)
    hop = next(end["address"] for end in made["links"][0]["ends"] if end["host"] == "r1")
    assert [(row["prefix"], row["nexthops"][0]["address"]) for row in made["routers"]["r3"]["routes"]] == [
        ("10.1.0.0/24", hop)
    ]
    without = copy.deepcopy(routers)
    for session in without["r2"]["fabric_bgp"]["neighbors"]:
        session["reflector_client"] = False
    assert plan({"fabric_links": links}, routers=without)["routers"]["r3"]["routes"] == []


def test_what_is_not_accepted_is_refused_and_counted():
    accept = [{"prefix": "10.10.0.0/23", "ge": 32}]
    made = plan(
        {"fabric_links": [{"ends": ["tor:eth1", "n1:eth1"], "subnet": "192.168.50.0/24", "ospf": False}]},
        routers={
            "tor": {
                "fabric_bgp": {
                    "asn": "64512",
                    "listen": [{"name": "nodes", "prefix": "192.168.50.0/24", "asn": "64512", "accept": accept}],
                }
            },
            "n1": bgp("n1", "tor", networks=["10.10.0.1/32", "10.10.1.0/24", "172.16.0.0/12"]),
        },
    )
    (session,) = made["routers"]["tor"]["sessions"]
    assert (session["accepted"], session["refused"], session["remote"]) == (1, 2, "192.168.50.2")


def test_paths_of_one_length_are_used_together():
    common = {
        "fabric_links": [
            {"ends": ["tor:eth1", "n1:eth1", "n2:eth1", "n3:eth1"], "subnet": "192.168.50.0/24", "ospf": False}
        ]
    }
    listen = [{"name": "nodes", "prefix": "192.168.50.0/24", "asn": "64512"}]
    routers = {name: bgp(name, "tor", networks=["10.10.0.1/32"]) for name in ("n1", "n2", "n3")}
    routers["tor"] = {"fabric_bgp": {"asn": "64512", "listen": listen, "maximum_paths": 8}}
    assert routes(plan(common, routers=routers), "tor")["10.10.0.1/32"][1] == {
        "192.168.50.2",
        "192.168.50.3",
        "192.168.50.4",
    }


# What is refused


REFUSED = [
    (
        {"r1": {"fabric_router": {"router_id": "1.1.1.1"}}, "r2": {"fabric_router": {"router_id": "1.1.1.1"}}},
        {},
        "r1 and r2 both have the router id 1.1.1.1",
    ),
    ({}, {"fabric_routing": {"areas": [{"area": "0", "type": "stub"}]}}, "is stub, but area 0 is the backbone"),
    (
        {"r2": {"fabric_router": {"interfaces": [{"name": "left", "mtu": 1400}]}}},
        {},
        "r1:right has the MTU 1500 and r2:left 1400",
    ),
    (
        {"r2": {"fabric_router": {"interfaces": [{"name": "left", "hello_interval": 5}]}}},
        {},
        "r1:right has the hello interval 10 and r2:left 5",
    ),
    (
        {"r2": {"fabric_router": {"interfaces": [{"name": "left", "dead_interval": 50}]}}},
        {},
        "r1:right has the dead interval 40 and r2:left 50",
    ),
    (
        {"r2": {"fabric_router": {"interfaces": [{"name": "left", "network_type": "broadcast"}]}}},
        {},
        "r1:right has the network type point-to-point and r2:left broadcast",
    ),
    (
        {"r2": {"fabric_router": {"interfaces": [{"name": "l*", "bfd": True}]}}},
        {},
        "r1:right has the BFD False and r2:left True",
    ),
    (
        {"r2": {"fabric_router": {"interfaces": [{"name": "eth*", "cost": 3}]}}},
        {},
        "fabric_router.interfaces[eth*] meets no interface of a link; known here: left.",
    ),
    ({"r2": {"fabric_bgp": {"asn": "4294967296"}}}, {}, "r2: fabric_bgp.asn '4294967296' is out of range"),
    ({"r2": {"fabric_bgp": {"asn": "70000.1"}}}, {}, "r2: fabric_bgp.asn '70000.1' is out of range"),
    ({"r2": {"fabric_bgp": {"asn": "23456"}}}, {}, "r2: fabric_bgp.asn 23456 is reserved"),
    ({"r2": bgp("r2", "r1")}, {}, "r2: fabric_bgp.neighbors[r1] is no router with fabric_bgp"),
    ({"r1": bgp("r1"), "r2": bgp("r2", "r1")}, {}, "r1 neither has r2 among its fabric_bgp.neighbors nor listens for"),
    (
        {},
        {"fabric_links": chain("r1", "r9")},
        "fabric_links[r1-r9].ends names r9, which is no host of the fabric; known here: r1, r2.",
    ),
    (
        {},
        {"fabric_links": chain("r1", "r2") + [{"ends": ["r1:right", "r2:other"], "name": "b"}]},
        "are both plugged into r1:right",
    ),
    (
        {},
        {"fabric_links": [{"ends": ["r1-eth1", "r2:eth1"]}]},
        "'r1-eth1' is no end of a link; write it as host:interface",
    ),
    (
        {},
        {"fabric_links": chain("r1", "r2") + [{"name": "b", "ends": ["r1:x", "r2:x"]}]},
        "join the same two hosts; give one of them a subnet",
    ),
    (
        {},
        {"fabric_links": chain("r1", "r2", hello_interval=4, dead_interval=4)},
        "which must be less than its dead interval 4",
    ),
    ({}, {"fabric_links": chain("r1", "r2", area="x")}, "'x' is no area"),
    ({}, {"fabric_links": chain("r1", "r2", cost=0)}, "fabric_links[r1-r2].cost must be 1 to 65535, not 0."),
    (
        {},
        {"fabric_links": chain("r1", "r2", key="a secret")},
        "fabric_links[r1-r2].key has to have 1 to 16 printable characters",
    ),
    ({}, {"fabric_links": chain("r1", "r2", subnet="10.255.0.0/30")}, "overlaps fabric_routing.loopbacks"),
    (
        {},
        {"fabric_routing": {"loopback": "10.0.0.0/24"}},
        "fabric_routing has no option 'loopback'; did you mean loopbacks?",
    ),
    (
        {"r3": {}},
        {"fabric_links": chain("r1", "r2", area="1") + chain("r2", "r3", area="2")},
        "has no router in the backbone, area 0",
    ),
    (
        {},
        {"fabric_routing": {"areas": [{"area": "7", "type": "stub"}]}},
        "fabric_routing.areas[7] is the area of no link",
    ),
    (
        {"r2": {"fabric_router": {"static": [{"prefix": "10.60.0.0/16", "via": "10.9.9.9"}]}}},
        {},
        "r2: fabric_router.static[10.60.0.0/16].via 10.9.9.9 is no neighbor on a link of r2; its subnets are",
    ),
    (
        {"r2": {"fabric_router": {"static": [{"prefix": "10.60.0.0/16"}]}}},
        {},
        "needs either via, a next hop, or discard.",
    ),
    (
        {"r2": {"fabric_router": {"static": [{"prefix": "10.60.0.0/16", "via": "fd00::1"}]}}},
        {},
        "is IPv6, and the prefix IPv4",
    ),
    (
        {"r2": {"fabric_router": {"redistribute": [{"protocol": "static"}]}}},
        {"fabric_links": chain("r1", "r2", ospf=False)},
        "r2: fabric_router.redistribute[static]: r2 has no link with OSPF; leave it out.",
    ),
    (
        {"r2": {"fabric_router": {"redistribute": [{"protocol": "static"}]}}, "r3": {}},
        {
            "fabric_links": [*chain("r3", "r1"), *chain("r1", "r2", area="1")],
            "fabric_routing": {"areas": [{"area": "1", "type": "stub"}]},
        },
        "r2 is in the stub area 0.0.0.1 only, which takes no routes from outside; make it an NSSA.",
    ),
]


@pytest.mark.parametrize(("routers", "common", "sentence"), REFUSED)
def test_what_cannot_work_is_refused_with_a_sentence(routers, common, sentence):
    found = problems({"fabric_links": chain("r1", "r2"), **common}, routers={"r1": {}, "r2": {}, **routers})
    assert any(sentence in problem for problem in found), found


def test_every_host_of_a_routed_underlay_needs_a_link():
    found = problems({"fabric_links": [{"ends": ["kvm1:eth1", "r1:eth1"]}]}, {"kvm1": {}, "kvm2": {}}, {"r1": {}})
    assert found == ["kvm2 is the end of no link, but the underlay is routed; add a link to fabric_links."]


def test_the_links_of_a_routed_underlay_let_its_mtu_pass():
    links = [
        {"ends": ["kvm1:eth1", "r1:eth1"], "mtu": 1400},
        {"ends": ["kvm2:eth1", "r1:eth2"]},
        {"ends": ["r1:eth3", "r2:eth1"], "mtu": 1300},
    ]
    found = problems({"fabric_links": links}, {"kvm1": {}, "kvm2": {}}, {"r1": {}, "r2": {}})
    # A router that leads nowhere else is on no tunnel's way.
    assert not any("r2" in problem for problem in found)
    assert any("kvm1:eth1 has the MTU 1400, less than fabric_underlay.mtu 1500" in problem for problem in found)


# What verify makes of it


def told(made, name):
    """What FRR tells of a router on which all is as planned."""
    wanted = routing(made)[name]
    neighbors = [
        {"interface": row["port"], "router_id": row["router_id"], "state": "Full", "area": row["area"]}
        for row in wanted["adjacencies"]
    ]
    found = []
    for row in wanted["routes"]:
        hops = [{"address": hop["address"], "interface": hop["interface"], "active": True} for hop in row["nexthops"]]
        route = {"prefix": row["prefix"], "protocol": row["protocol"], "selected": True, "metric": row["cost"]}
        found.append({**route, "nexthops": hops})
    return {"ospf_neighbors": neighbors, "routes": found}


def test_verify_tells_what_differs_and_only_that():
    made = plan({"fabric_links": chain("r1", "r2", "r3")}, routers={"r1": {}, "r2": {}, "r3": {}})
    observed = {name: {"routers": told(made, name)} for name in made["routers"]}
    assert all(check["passed"] for check in judge(routing(made), observed))
    observed["r2"]["routers"]["ospf_neighbors"][1]["state"] = "ExStart"
    observed["r1"]["routers"]["routes"][0]["metric"] += 1
    observed["r3"]["routers"] = {"msg": "vtysh is not installed"}
    wrong = [check for check in judge(routing(made), observed) if not check["passed"]]
    assert [(check["kind"], check["from"], check["to"]) for check in wrong if check["from"][:2] != "r3"] == [
        ("route", "r1", observed["r1"]["routers"]["routes"][0]["prefix"]),
        ("adjacency", "r2:right", "r3:left"),
    ]
    assert {check["observed"] for check in wrong if check["from"][:2] == "r3"} == {
        "r3 was not read: vtysh is not installed"
    }


def test_an_address_of_every_end_is_in_its_links_subnet():
    made = plan(
        {"fabric_links": chain("r1", "r2", "r3"), "fabric_routing": {"links6": "fd00:254::/64"}},
        routers={"r1": {}, "r2": {}, "r3": {}},
    )
    for link in made["links"]:
        for option, subnet in (("address", link["subnet"]), ("address6", link["subnet6"])):
            found = [ipaddress.ip_address(end[option]) for end in link["ends"]]
            assert len(set(found)) == 2 and all(one in ipaddress.ip_network(subnet) for one in found)


@pytest.mark.parametrize(("name", "routed"), [("gre", False), ("lab", True)])
def test_only_a_fabric_with_routers_has_their_role_and_is_asked_for_routing(name, routed):
    """A host without FRR is asked nothing of it, and so warns of nothing."""
    made, _groups = inventory_plan(name)
    assert {"frr_router" in names for names in roles(made).values()} == {routed}
    assert {bool(read["routing"]) for read in reads(made).values()} == {routed}

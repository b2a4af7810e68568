# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From segment to segment. trace_edges_seen.json is what was read on a sound lab of test_trace_edges.py; each test changes one thing in it."""

from __future__ import annotations

import copy
import json
import pathlib

import pytest

from ansible_collections.overloom.fabric.plugins.plugin_utils._capture.points import points, questions
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import draw, mesh, nft, walk
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import View
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Packet, Route
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

SOUND = json.loads((pathlib.Path(__file__).parent / "trace_edges_seen.json").read_text(encoding="utf-8"))
COMMON = {
    "fabric_name": "trace-dev-e",
    "fabric_links": [
        {"ends": [f"kvm{number}:eth1", f"tor:eth{number}"], "ospf": False, "subnet": f"10.99.{number}.0/30"}
        for number in (1, 2, 3)
    ],
    "fabric_overlays": [{"encapsulation": "vxlan", "loop_guard": "rstp"}],
    "fabric_segments": [
        {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:0:1::/64", "dhcp": {}},
        {"name": "db", "vlan": 20, "subnet": "10.1.2.0/24", "subnet6": "2001:db8:0:2::/64"},
        {"name": "outside", "vlan": 30, "subnet": "10.9.0.0/24"},
    ],
    "fabric_edges": [
        {
            "name": "edge",
            "hosts": ["kvm1"],
            "legs": [
                {"segment": "web", "address": "10.1.1.1", "address6": "2001:db8:0:1::1"},
                {"segment": "db", "address": "10.1.2.1", "address6": "2001:db8:0:2::1"},
                {"segment": "outside", "address": "10.9.0.1", "gateway": False},
            ],
            "routes": [{"to": "default", "via": "10.9.0.2"}],
            "nat": [{"from": "web", "out": "outside"}, {"from": "db", "out": "outside", "address": "10.9.0.8"}],
            "forwards": [{"name": "www", "segment": "outside", "port": 80, "to": "kvm2/web2", "to_port": 8080}],
        }
    ],
    "fabric_policy": [
        {"name": "no-db2", "action": "deny", "from": ["kvm2/web2"], "to": ["kvm2/db2"]},
        {"name": "sql", "from": ["web"], "to": ["db"], "protocol": "tcp", "ports": ["5432"]},
        {"name": "pings", "from": ["web", "db"], "to": ["web", "db"], "protocol": "icmp"},
        {"name": "out", "from": ["web", "db"], "to": ["outside", "198.51.100.0/24"]},
    ],
}
POINTS = {f"kvm{number}": [{"name": f"db{number}", "segment": "db"}] for number in (1, 2, 3)}
POINTS["kvm1"].append({"name": "web1", "segment": "web"})
POINTS["kvm2"] += [{"name": "web2", "segment": "web"}, {"name": "ask2", "segment": "web", "address": "dhcp"}]
POINTS["kvm3"] += [
    {"name": "app3", "segment": "db", "kind": "container", "container": {"image": "lab"}},
    {"name": "world", "segment": "outside", "address": "10.9.0.2", "sysctls": {"net.ipv4.ip_forward": "1"}},
]


def bgp(asn: str, *names: str, networks: tuple = ()) -> dict:
    return {"asn": asn, "networks": list(networks), "neighbors": [{"name": name} for name in names]}


PLAN = compile_plan(
    {
        name: {
            **COMMON,
            "fabric_endpoints": points,
            "fabric_bgp": bgp(f"6451{name[-1]}", "tor", networks=(f"192.168.200.{name[-1]}/32",)),
        }
        for name, points in POINTS.items()
    },
    SPEC,
    routers={"tor": {**COMMON, "fabric_host_id": 9, "fabric_bgp": bgp("64510", "kvm1", "kvm2", "kvm3")}},
)
WEB, ROUTED, OUT = ("kvm1/web1", "kvm2/web2"), ("kvm1/web1", "kvm3/db3"), ("kvm2/web2", "kvm3/world")
DENIED, BEYOND, FORWARDED = ("kvm2/web2", "kvm2/db2"), ("kvm1/web1", "198.51.100.7"), ("kvm3/world", "10.9.0.1")
PING, HTTP = Packet(), Packet("tcp", 80)
SILENT = {"sent": 1, "received": 0}


def verdict(seen: dict, ends: tuple, packet: Packet = PING, measured: dict | None = None) -> dict:
    return walk.judge(Route(PLAN, *ends, packet), seen, measured)


def told(report: dict) -> str:
    return "\n".join(draw.lines(report))


def edge(seen: dict) -> dict:
    return seen["kvm1"]["spaces"]["edge"]


def hops(report: dict, way: str = "there") -> list:
    return [(hop["host"], hop["kind"]) for hop in report[way]["hops"]]


def notes(report: dict, way: str = "there") -> list:
    return [note for hop in report[way]["hops"] for note in hop["notes"]]


@pytest.mark.parametrize("ends", [ROUTED, OUT, BEYOND])
def test_a_sound_fabric_passes_from_segment_to_segment(ends):
    report = verdict(SOUND, ends)
    assert report["passed"] and not report["remark"], told(report)
    assert ("kvm1", "edge") in hops(report) and ("kvm1", "edge") in hops(report, "back")
    assert ("tor", "router") in hops(report)


def test_nat_is_translated_on_the_way_and_back():
    report = verdict(SOUND, OUT)
    assert "source 10.1.1.66 becomes 10.9.0.1" in notes(report)
    assert "target 10.9.0.1 becomes 10.1.1.66" in notes(report, "back")


def test_a_forwarded_port_is_followed_to_the_endpoint_behind_it():
    report = verdict(SOUND, FORWARDED, HTTP)
    assert "target 10.9.0.1:80 becomes 10.1.1.66:8080" in notes(report)
    assert "source 10.1.1.66:8080 becomes 10.9.0.1:80" in notes(report, "back")
    assert report["died"]["cause"] == "no-listener" and "port 8080" in report["died"]["because"]
    seen = copy.deepcopy(SOUND)
    seen["kvm2"]["spaces"]["web2"]["listening"]["tcp"] = [8080]
    assert verdict(seen, FORWARDED, HTTP)["passed"]
    # A ping is answered by the edge itself, and says nothing of the port.
    assert Route(PLAN, *FORWARDED, HTTP).probe() is None
    assert Route(PLAN, *FORWARDED, PING).probe()["probes"][0]["to"] == "10.9.0.1"


def test_a_forwarded_port_is_reached_from_the_own_segment_by_the_edge():
    way = Route(PLAN, "kvm1/web1", "10.9.0.1", HTTP)
    assert [(leg.source.id, leg.target.id) for leg in way.legs] == [
        ("kvm1/web1", "kvm1/edge"),
        ("kvm1/edge", "kvm2/web2"),
    ]
    assert (way.legs[1].packet.source, way.legs[1].packet.target) == ("10.1.1.1", "10.1.1.66")
    back = way.reversed().legs[-1]
    assert (back.packet.source, back.packet.target, back.packet.answer) == ("10.9.0.1", "10.1.1.65", True)


def test_what_the_intent_denies_is_told_by_its_rule():
    died = verdict(SOUND, DENIED)["died"]
    assert (died["cause"], died["mend"]) == ("policy", "fabric_policy[no-db2]") and "rule-no-db2" in died["because"]
    died = verdict(SOUND, ROUTED, HTTP)["died"]
    assert died["cause"] == "policy" and "no rule of fabric_policy allows it" in died["because"]
    assert died["at"]["kind"] == "edge"


@pytest.mark.parametrize("address", ["10.1.1.1", "10.1.2.1"])
def test_an_edge_takes_nothing_but_pings_itself(address):
    ends = ("kvm1/web1", address)
    assert verdict(SOUND, ends)["passed"]
    died = verdict(SOUND, ends, Packet("tcp", 22))["died"]
    assert (died["cause"], died["mend"]) == ("policy", "fabric_edges[].forwards"), died
    assert "takes nothing but pings itself" in died["because"]


def test_a_table_that_lets_pass_what_the_intent_denies_is_a_remark():
    seen = copy.deepcopy(SOUND)
    edge(seen)["firewall"] = [one for one in edge(seen)["firewall"] if "rule" not in one and "chain" not in one]
    report = verdict(seen, DENIED)
    assert report["passed"] and "fabric_policy[no-db2] denies it" in report["remark"]["because"]


def chainless(name: str):
    def change(seen: dict) -> None:
        rules = edge(seen)["firewall"]
        rules[:] = [one for one in rules if one.get("rule", {}).get("chain") != name]

    return change


def session(host: str, remote: str, **values):
    def change(seen: dict) -> None:
        (row,) = [row for row in seen[host]["frr"]["bgp_neighbors"] if row["neighbor"] == remote]
        row.update(values)

    return change


def unrouted(host: str, to: str, space: str = ""):
    def change(seen: dict) -> None:
        rows = seen[host]["spaces"][space]["routes"]
        kept = [row for row in rows if row["to"] != to]
        assert len(kept) < len(rows)
        rows[:] = kept

    return change


def both(*changes):
    def change(seen: dict) -> None:
        for one in changes:
            one(seen)

    return change


def put(*path: str, **values):
    def change(seen: dict) -> None:
        place = seen
        for name in path:
            place = place[name]
        place.update(values)

    return change


FULL = {"connections": 9, "connections_most": 9}
BROKEN = {
    "policy gone": (chainless("forward"), ROUTED, PING, "firewall", "kvm1", "policy drop"),
    "address of NAT gone": (
        lambda seen: seen["kvm1"]["spaces"]["edge"]["links"]["outside"]["addresses"].remove("10.9.0.8/24"),
        ("kvm2/db2", "kvm3/world"),
        PING,
        "address",
        "kvm1",
        "does not have the address 10.9.0.8",
    ),
    "source NAT gone": (chainless("postrouting"), OUT, PING, "nat", "kvm1", "does not translate the source"),
    "forward gone": (chainless("prerouting"), FORWARDED, HTTP, "nat", "kvm1", "does not translate the target"),
    "forwarding": (put("kvm1", "spaces", "edge", forwarding=0), ROUTED, PING, "forwarding", "kvm1", "ip_forward"),
    "forwarding of one interface": (
        put("kvm1", "spaces", "edge", "forwards", web=0),
        ROUTED,
        PING,
        "forwarding",
        "kvm1",
        "conf.web.forwarding",
    ),
    "no route of an edge": (unrouted("kvm1", "10.1.2.0/24", "edge"), ROUTED, PING, "wrong-route", "kvm1", "outside"),
    "no way out": (unrouted("kvm1", "default", "edge"), BEYOND, PING, "no-route", "kvm1", "198.51.100.7"),
    "no default route": (unrouted("kvm1", "default", "web1"), ROUTED, PING, "no-route", "kvm1", "10.1.2.67"),
    "TTL": (put("kvm1", "spaces", "web1", ttl=1), ROUTED, PING, "ttl", "kvm1", "sends with the TTL 1"),
    "TTL of the answer": (put("kvm3", "spaces", "db3", ttl=1), ROUTED, PING, "ttl", "kvm1", "kvm3/db3 sends with"),
    "connections full": (
        put("kvm1", "spaces", "edge", **FULL),
        ROUTED,
        PING,
        "conntrack-full",
        "kvm1",
        "9 of 9",
    ),
    "session": (
        both(unrouted("tor", "192.168.200.3"), session("tor", "10.99.3.1", state="Idle")),
        ROUTED,
        PING,
        "session",
        "tor",
        "kvm3 (10.99.3.1) is Idle",
    ),
    "filtered": (
        both(unrouted("tor", "192.168.200.3"), session("tor", "10.99.3.1", prefixes_received=0)),
        ROUTED,
        PING,
        "session",
        "tor",
        "brought 0 prefixes",
    ),
    "daemon of the far end": (
        both(
            unrouted("tor", "192.168.200.3"),
            session("tor", "10.99.3.1", state="Active"),
            put("kvm3", "frr", daemons=["zebra"]),
        ),
        ROUTED,
        PING,
        "frr-down",
        "kvm3",
        "bgpd",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_between_segments_is_named(name):
    change, ends, packet, cause, host, says = BROKEN[name]
    seen = copy.deepcopy(SOUND)
    change(seen)
    report = verdict(seen, ends, packet, SILENT)
    died = report["died"]
    assert died, told(report)
    assert (died["cause"], died["at"]["host"]) == (cause, host), told(report)
    assert says in died["because"], told(report)
    assert died["mend"], "every cause has what mends it"


def test_without_rstp_the_shortest_way_is_walked_and_with_it_the_one_that_is_not_blocked():
    states = {
        (host, name): port["rstp"].get("rstp_port_state")
        for host in ("kvm1", "kvm2", "kvm3")
        for name, port in SOUND[host]["switch"]["bridges"]["br-int"]["ports"].items()
        if name.startswith("vxlan-")
    }
    assert sorted(states.values()).count("Discarding") == 1
    (blocked,) = [{host, name[6:]} for (host, name), state in states.items() if state == "Discarding"]
    (third,) = {"kvm1", "kvm2", "kvm3"} - blocked
    one, other = sorted(blocked)
    way = Route(PLAN, f"{one}/db{one[-1]}", f"{other}/db{other[-1]}", PING)
    assert mesh.active(View(PLAN, SOUND), way) == [one, third, other]
    assert mesh.active(View(PLAN, SOUND), way.reversed()) == [other, third, one]
    assert {host: len(asked["traces"]) > 4 for host, asked in way.questions().items() if host != "tor"} == {
        "kvm1": True,
        "kvm2": True,
        "kvm3": True,
    }


def test_a_client_without_its_lease_and_a_container_that_does_not_run_are_named():
    way = Route(PLAN, "kvm1/web1", "kvm2/ask2", PING)
    assert way.questions()["kvm2"]["units"] == ["overloom-udhcpc-ask2.service"]
    app = Route(PLAN, "kvm1/web1", "kvm3/app3", Packet("tcp", 5432))
    assert app.questions()["kvm3"]["units"] == ["overloom-container-app3.service"]


def test_an_edge_on_two_hosts_is_crossed_where_it_is_active():
    """The virtual addresses tell where that is; both hosts are read, as nobody knows before."""
    (first, *_rest) = COMMON["fabric_edges"]
    both_hosts = {**COMMON, "fabric_edges": [{**first, "hosts": ["kvm1", "kvm2"]}]}
    sessions = {name: bgp(f"6451{name[-1]}", "tor", networks=(f"192.168.200.{name[-1]}/32",)) for name in POINTS}
    plan = compile_plan(
        {
            name: {**both_hosts, "fabric_endpoints": points, "fabric_bgp": sessions[name]}
            for name, points in POINTS.items()
        },
        SPEC,
        routers={"tor": {**both_hosts, "fabric_host_id": 9, "fabric_bgp": bgp("64510", "kvm1", "kvm2", "kvm3")}},
    )
    way = Route(plan, *ROUTED, PING)
    assert [[leg.target.host for leg in one.legs] for one in way.alternatives()] == [["kvm1", "kvm3"], ["kvm2", "kvm3"]]
    assert "edge" in way.questions()["kvm1"]["namespaces"] and "edge" in way.questions()["kvm2"]["namespaces"]
    (active,) = way.actives(lambda host, namespace, address: (host, namespace, address) == ("kvm2", "edge", "10.1.1.1"))
    assert [leg.source.id for leg in active.legs] == ["kvm1/web1", "kvm2/edge-db"]
    assert active.legs[1].source.address == "10.1.2.1"
    assert not way.actives(lambda *_any: False)
    # Where none of them runs, nobody has the virtual addresses.
    unit = "overloom-keepalived-edge.service"
    assert unit in way.questions()["kvm1"]["units"]
    assert unit not in Route(PLAN, *ROUTED, PING).questions()["kvm1"]["units"]
    seen = copy.deepcopy(SOUND)
    for interface in edge(seen)["links"].values():
        interface["addresses"] = []
    seen["kvm1"]["units"] = {unit: "inactive"}
    assert walk.judge(way, seen, None)["died"]["cause"] == "service-down"


def test_a_capture_has_its_points_on_each_segment_and_the_header_that_nat_makes():
    found = {point["name"]: point for point in points(Route(PLAN, *OUT, PING))}
    order = [*found]
    inside, outside = order.index("kvm1/edge:web"), order.index("kvm1/edge:outside")
    assert order[:2] == ["kvm2/web2:eth0", "kvm2:v-web2"] and order[-1] == "kvm3/world:eth0"
    assert order.index("kvm2:eth1") < inside < outside < order.index("kvm3:v-world")
    assert found["kvm1/edge:web"]["addresses"] == ["10.1.1.66", "10.9.0.2"]
    assert found["kvm1/edge:outside"]["addresses"] == ["10.9.0.1", "10.9.0.2"]
    # The NIC of the edge's host is passed on both.
    assert found["kvm1:eth1"]["addresses"] == ["10.1.1.66", "10.9.0.2", "10.9.0.1", "10.9.0.2"]
    asked = questions(Route(PLAN, *OUT, PING), list(found.values()), True, {"seconds": 5})
    assert asked["kvm1"]["points"][0].keys() == {"name", "namespace", "interface", "addresses"}
    assert asked["kvm2"]["ping"]["target"] == "10.9.0.2"


def reasons(host: str, remote: str, peer: str, **changed: object) -> dict:
    """What frr_info tells of a session of a host."""
    asn, other = (int(PLAN["routers"][name]["asn"]) for name in (host, peer))
    told = {"vrf": "default", "neighbor": remote, "remote_as": other, "local_as": asn, "shut_down": False}
    return {**told, "families": ["ipv4Unicast"], "reset": "", "notification": "", **changed}


@pytest.mark.parametrize(
    "changed,says,mends",
    [
        (None, "has no neighbor", "remote-as"),
        ({"shut_down": True}, "has it shut down", "shutdown"),
        ({"remote_as": 65099}, "to be AS 65099", "remote-as"),
        ({"local_as": 65098}, "is AS 65098", "site.yml"),
        ({"families": []}, "ipv4 unicast not activated", "activate"),
        ({}, "a password of one of them", "show bgp neighbors"),
    ],
)
@pytest.mark.parametrize("host", ["tor", "kvm3"])
def test_a_session_that_is_down_is_told_by_what_differs_and_at_which_end(host, changed, says, mends):
    seen = copy.deepcopy(SOUND)
    unrouted("tor", "192.168.200.3")(seen)
    session("tor", "10.99.3.1", state="Active")(seen)
    for name, remote, peer in (("tor", "10.99.3.1", "kvm3"), ("kvm3", "10.99.3.2", "tor")):
        changes = changed if name == host else {}
        seen[name]["frr"]["bgp_reasons"] = [] if changes is None else [reasons(name, remote, peer, **changes)]
    died = verdict(seen, ROUTED)["died"]
    assert died["cause"] == "session" and says in died["because"] and mends in died["mend"], died
    assert died["at"]["host"] == ("tor" if changed == {} else host)


def test_a_rule_against_bgp_is_the_reason_of_a_session_that_is_down():
    seen = copy.deepcopy(SOUND)
    unrouted("tor", "192.168.200.3")(seen)
    session("tor", "10.99.3.1", state="Active")(seen)
    port = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 179}}
    rule = {"family": "inet", "table": "byhand", "chain": "in", "handle": 3, "expr": [port, {"drop": None}]}
    chain = {"family": "inet", "table": "byhand", "name": "in", "hook": "input", "prio": 0, "policy": "accept"}
    seen["kvm3"]["spaces"][""]["firewall"] = [{"chain": chain}, {"rule": rule}]
    died = verdict(seen, ROUTED)["died"]
    assert (died["cause"], died["at"]["host"]) == ("firewall", "kvm3") and "tcp dport 179" in died["because"]


def test_the_ports_of_an_edge_are_counted_by_the_way_the_packet_takes():
    """Into the edge by one port, which sends, and out by another one, which receives: the edge has its packets, and the next one has none."""
    report, after = verdict(copy.deepcopy(SOUND), OUT, PING, SILENT), copy.deepcopy(SOUND)
    assert report["undecided"], report["died"]
    hops = [hop["name"] for hop in report["there"]["hops"] if hop["kind"] == "port"]
    assert hops[1:3] == ["v-edge-web", "v-edge-outside"], hops
    counted = (
        ("kvm2", "web2", "eth0", "sent"),
        ("kvm2", "", hops[0], "received"),
        ("kvm1", "", hops[1], "sent"),
        ("kvm1", "", hops[2], "received"),
    )
    for number, (host, space, name, key) in enumerate(counted):
        after[host]["spaces"][space]["links"][name][key] += 7
        found = walk.counters.stopped(Route(PLAN, *OUT, PING), report["there"], SOUND, after)
        names = [*hops, "kvm3/world"]
        assert found["cause"] == "lost" or not number, found
        assert not number or found["because"].startswith(f"{names[number]} on"), found


CT_NEW = {"match": {"op": "==", "left": {"ct": {"key": "state"}}, "right": "new"}}


@pytest.mark.parametrize(
    "statement,words",
    [
        (
            {"limit": {"rate": 10, "per": "second", "burst": 5, "inv": True}},
            "limit rate over 10/second burst 5 packets",
        ),
        ({"limit": {"rate": 2, "rate_unit": "mbytes", "per": "minute"}}, "limit rate 2 mbytes/minute"),
        ({"queue": {"num": 3}}, "queue num 3"),
    ],
)
def test_a_rule_is_printed_as_nft_writes_it(statement, words):
    table = {"family": "inet", "table": "byhand"}
    chain = {**table, "name": "forward", "hook": "forward", "prio": 0, "type": "filter", "policy": "accept"}
    rules = [
        {"chain": chain},
        {"rule": {**table, "chain": "forward", "handle": 2, "expr": [CT_NEW, statement, {"drop": None}]}},
    ]
    found = nft.verdict(rules, "forward", nft.Met("10.0.0.1", "10.0.0.2", "tcp", 80, "a", "b"))
    assert found and f"ct state new {words} drop" in found.rule, found


@pytest.mark.parametrize("ends,dies", [(OUT, True), (ROUTED, False)])
def test_an_edge_that_does_not_track_is_the_reason_where_it_has_to(ends, dies):
    """What is translated is lost for sure; what passes without its connection is a suspect alone."""
    table = {"family": "ip", "table": "byhand"}
    chain = {**table, "name": "pre", "hook": "prerouting", "prio": -300, "type": "filter", "policy": "accept"}
    seen = copy.deepcopy(SOUND)
    edge(seen)["firewall"] = [
        *edge(seen)["firewall"],
        {"chain": chain},
        {"rule": {**table, "chain": "pre", "handle": 7, "expr": [{"notrack": None}]}},
    ]
    died = walk.judge(Route(PLAN, *ends, PING), seen, {"sent": 5, "received": 0} if not dies else None)["died"]
    assert died and "does not track its connection" in died["because"], died
    assert died["mend"] == "on kvm1: ip netns exec edge nft delete rule ip byhand pre handle 7", died

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was read to the verdict. trace_seen.json is what trace_info and frr_info returned on a sound lab; each test changes one thing in it."""

from __future__ import annotations

import copy
import json
import pathlib
import re

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._frr.info import ospf_interfaces
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import owner_cookie
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.openflow import DEFAULT, SPOOFED
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import (
    counters,
    draw,
    kernel,
    ospf,
    switch,
    underlay,
    walk,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import ends as ends_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import ports as trace_ports
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import Died, Path, View
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Packet, Route, TraceError
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, one_each

SOUND = json.loads((pathlib.Path(__file__).parent / "trace_seen.json").read_text(encoding="utf-8"))
COMMON = {
    "fabric_name": "trace-0-r",
    "fabric_links": [{"ends": ["kvm1:eth1", "r1:eth1"]}, {"ends": ["kvm2:eth1", "r1:eth2"]}],
    "fabric_routing": {"hello_interval": 1, "dead_interval": 2},
    "fabric_overlays": [
        {"name": "gre", "encapsulation": "gre"},
        {"name": "keyed", "encapsulation": "geneve", "segments_by": "key", "bridge": "br-key"},
    ],
    "fabric_segments": [
        {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "overlay": "gre"},
        {"name": "acme", "key": 5001, "subnet": "10.2.1.0/24", "overlay": "keyed"},
    ],
}
POINTS = {f"kvm{number}": one_each(number, ("web", "acme")) for number in (1, 2)}
POINTS["kvm2"].append({"name": "vm2", "kind": "guest", "segment": "acme", "guest": {"image": "lab"}})
PLAN = compile_plan(
    {name: {**COMMON, "fabric_endpoints": points} for name, points in POINTS.items()},
    SPEC,
    routers={"r1": dict(COMMON)},
)
# Endpoints with both families.
RED = {"name": "red", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8::/64"}
DUAL = compile_plan(
    {
        f"kvm{number}": {
            "fabric_name": "dual",
            "fabric_overlays": [{"encapsulation": "gre"}],
            "fabric_segments": [RED],
            "fabric_endpoints": [
                {"name": f"red{number}", "segment": "red", "address6": f"2001:db8::{number}:{number}"}
            ],
        }
        for number in (1, 2)
    },
    SPEC,
)
WEB, KEY, VM = ("kvm1/web1", "kvm2/web2"), ("kvm1/acme1", "kvm2/acme2"), ("kvm1/acme1", "kvm2/vm2")
# Two hosts whose underlay is a bond each.
BONDED = compile_plan(
    {
        f"kvm{number}": {
            "fabric_name": "bonded",
            "fabric_underlay": {"vlan": 200, "bond": {"interfaces": ["eth1", "eth2"], "mode": "lacp"}},
            "fabric_segments": [{"name": "red", "vlan": 10, "subnet": "10.1.1.0/24"}],
            "fabric_endpoints": [{"name": f"red{number}", "segment": "red"}],
        }
        for number in (1, 2)
    },
    SPEC,
)
VIEW = View(PLAN, SOUND)
ANSWERED = {"sent": 5, "received": 5, "rtt_ms": 1.0}
SILENT = {"sent": 1, "received": 0}


PING = Packet()


def verdict(seen: dict, ends: tuple = WEB, packet: Packet = PING, measured: dict | None = None) -> dict:
    return walk.judge(Route(PLAN, *ends, packet), seen, measured)


def port(host: str, bridge: str, name: str):
    return lambda seen: seen[host]["switch"]["bridges"][bridge]["ports"][name]


def link(host: str, space: str, name: str):
    return lambda seen: seen[host]["spaces"][space]["links"][name]


def the_space(host: str, name: str = ""):
    return lambda seen: seen[host]["spaces"][name]


def put(where, **values):
    """A change: values in the place that `where` finds."""
    return lambda seen: where(seen).update(values)


def options(where, **values):
    return lambda seen: where(seen)["options"].update(values)


def gone(where, name: str):
    return lambda seen: where(seen).pop(name)


def bridges(host: str):
    return lambda seen: seen[host]["switch"]["bridges"]


def ports(host: str, bridge: str):
    return lambda seen: seen[host]["switch"]["bridges"][bridge]["ports"]


def unrouted(host: str, to: str, space: str = ""):
    def change(seen: dict) -> None:
        rows = seen[host]["spaces"][space]["routes"]
        kept = [row for row in rows if row["to"] != to]
        assert len(kept) < len(rows)
        rows[:] = kept

    return change


def routed(host: str, to: str, space: str = "", **values):
    row = {"to": to, "type": "unicast", "table": "main", "protocol": "boot", "metric": 0, "dead": False, "hops": []}
    return lambda seen: seen[host]["spaces"][space]["routes"].append({**row, **values})


def neighbor(host: str, space: str, dev: str, to: str, mac: str | None, state: str):
    def change(seen: dict) -> None:
        entries = seen[host]["spaces"][space]["neighbors"]
        entries[:] = [entry for entry in entries if entry["to"] != to]
        entries.append({"to": to, "dev": dev, "mac": mac, "state": state})

    return change


def answer(host: str, ends: tuple, text: str):
    return lambda seen: seen[host]["switch"]["traces"].update({" to ".join(ends): text})


def trace_text(bridge: str, step: str, actions: str) -> str:
    return f'bridge("{bridge}")\n---\n{step}\n\nFinal flow: unchanged\nMegaflow: x\nDatapath actions: {actions}\n'


def rules(hook: str, *expr: dict, policy: str = "accept") -> list:
    chain = {"family": "inet", "table": "t", "name": "c", "hook": hook, "prio": 0, "policy": policy}
    return [
        {"chain": chain},
        *({"rule": {"family": "inet", "table": "t", "chain": "c", "expr": list(expr)}} for _one in expr[:1]),
    ]


def at_interface(hook: str, device: str, *expr: dict) -> list:
    """A rule at an interface."""
    place = {"family": "netdev", "table": "t"}
    chain = {**place, "name": "c", "hook": hook, "dev": device, "prio": 0, "policy": "accept"}
    return [{"chain": chain}, {"rule": {**place, "chain": "c", "handle": 2, "expr": list(expr)}}]


def both(*changes):
    def change(seen: dict) -> None:
        for one in changes:
            one(seen)

    return change


# A NIC that works.
NIC = {"name": "eth9", "mac": "02:00:00:00:09:09", "mtu": 1500, "up": True, "carrier": True, "addresses": []}
GRE = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": "gre"}}
ESTABLISHED = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "established"}}
COUNTED = {"counter": {"packets": 7, "bytes": 700}}
DROP = {"drop": None}
WRONG = "02:00:00:00:00:99"

# What is changed, which packet, and cause, host and name of the hop.
CAUSES = {
    "namespace gone": (gone(lambda seen: seen["kvm2"]["spaces"], "web2"), WEB, "namespace-gone", "kvm2", "kvm2/web2"),
    "interface gone": (
        gone(lambda seen: seen["kvm1"]["spaces"]["web1"]["links"], "eth0"),
        WEB,
        "interface-gone",
        "kvm1",
        "kvm1/web1",
    ),
    "interface down": (put(link("kvm1", "web1", "eth0"), up=False), WEB, "interface-down", "kvm1", "kvm1/web1"),
    "address missing": (put(link("kvm2", "web2", "eth0"), addresses=[]), WEB, "address", "kvm2", "kvm2/web2"),
    "address other": (
        put(link("kvm1", "web1", "eth0"), addresses=["10.1.1.9/24"]),
        WEB,
        "address",
        "kvm1",
        "kvm1/web1",
    ),
    "MAC address": (put(link("kvm1", "acme1", "eth0"), mac=WRONG), KEY, "mac", "kvm1", "kvm1/acme1"),
    "no route in the endpoint": (unrouted("kvm1", "10.1.1.0/24", "web1"), WEB, "no-route", "kvm1", "kvm1/web1"),
    "route elsewhere": (
        routed("kvm1", "10.1.1.66", "web1", hops=[{"via": None, "dev": "lo"}]),
        WEB,
        "wrong-route",
        "kvm1",
        "kvm1/web1",
    ),
    "unreachable": (routed("kvm1", "10.1.1.66", "web1", type="unreachable"), WEB, "route-refuses", "kvm1", "kvm1/web1"),
    "tag": (put(port("kvm1", "br-int", "v-web1"), tag=77), WEB, "tag", "kvm1", "v-web1"),
    "tag of the target": (put(port("kvm2", "br-int", "v-web2"), tag=None), WEB, "tag", "kvm2", "v-web2"),
    "port not in the bridge": (gone(ports("kvm1", "br-int"), "v-web1"), WEB, "port-gone", "kvm1", "v-web1"),
    "port that fails": (
        put(port("kvm1", "br-int", "v-web1"), ofport=-1, error="no device"),
        WEB,
        "port-error",
        "kvm1",
        "v-web1",
    ),
    "port down": (put(link("kvm1", "", "v-web1"), up=False), WEB, "port-down", "kvm1", "v-web1"),
    "bridge gone": (gone(bridges("kvm1"), "br-int"), WEB, "bridge-gone", "kvm1", "v-web1"),
    "ARP off": (put(link("kvm1", "web1", "eth0"), arp=False), WEB, "arp-off", "kvm1", "kvm1/web1"),
    "MTU of a port": (put(link("kvm1", "", "v-web1"), mtu=80), WEB, "mtu", "kvm1", "v-web1"),
    "ovs-vswitchd": (answer("kvm1", WEB, "error: ovs-appctl: cannot read pidfile"), WEB, "ovs-down", "kvm1", "br-int"),
    "tunnel endpoint on a router": (
        put(link("r1", "", "eth1"), addresses=["10.254.0.11/31", "192.168.200.2/32"]),
        WEB,
        "duplicate-address",
        "r1",
        "r1",
    ),
    "loop of routers": (
        routed("r1", "192.168.200.2", hops=[{"via": "10.254.0.10", "dev": "eth1"}]),
        WEB,
        "loop",
        "r1",
        "r1",
    ),
    "no flow": (
        answer("kvm1", WEB, trace_text("br-int", " 0. No match.\n    drop", "drop")),
        WEB,
        "no-flow",
        "kvm1",
        "br-int",
    ),
    "drop flow of others": (
        answer("kvm2", WEB, trace_text("br-int", " 0. icmp, priority 9, cookie 0xbad\n    drop", "drop")),
        WEB,
        "foreign-flow",
        "kvm2",
        "br-int",
    ),
    "own flow that drops": (
        answer("kvm1", KEY, trace_text("br-key", "40. priority 0, cookie 0x6f76000000000000\n    drop", "drop")),
        KEY,
        "foreign-flow",
        "kvm1",
        "br-key",
    ),
    "learned elsewhere": (
        answer(
            "kvm1",
            WEB,
            trace_text("br-int", " 0. priority 0\n    NORMAL\n     -> forwarding to learned port", "v-twin"),
        ),
        WEB,
        "wrong-port",
        "kvm1",
        "br-int",
    ),
    "tunnel missing": (gone(ports("kvm1", "br-int"), "gre-kvm2"), WEB, "tunnel-gone", "kvm1", "gre-kvm2"),
    "tunnel that fails": (put(port("kvm1", "br-int", "gre-kvm2"), ofport=-1), WEB, "tunnel-error", "kvm1", "gre-kvm2"),
    "remote_ip": (
        options(port("kvm1", "br-int", "gre-kvm2"), remote_ip="192.168.200.9"),
        WEB,
        "tunnel-remote-ip",
        "kvm1",
        "gre-kvm2",
    ),
    "local_ip": (
        options(port("kvm2", "br-int", "gre-kvm1"), local_ip="192.168.200.9"),
        WEB,
        "tunnel-local-ip",
        "kvm2",
        "gre-kvm1",
    ),
    "key": (options(port("kvm2", "br-int", "gre-kvm1"), key="7"), WEB, "tunnel-key", "kvm2", "gre-kvm1"),
    "type": (put(port("kvm1", "br-int", "gre-kvm2"), type="vxlan"), WEB, "tunnel-type", "kvm1", "gre-kvm2"),
    "trunks": (put(port("kvm1", "br-int", "gre-kvm2"), trunks=["20-30"]), WEB, "trunks", "kvm1", "gre-kvm2"),
    "tunnel endpoint's address": (put(link("kvm1", "", "tep0"), addresses=[]), WEB, "underlay-address", "kvm1", "kvm1"),
    "no underlay route": (unrouted("kvm1", "192.168.200.2"), WEB, "no-route", "kvm1", "kvm1"),
    "no underlay route, while the frame is flooded": (
        both(
            unrouted("kvm1", "192.168.200.2"),
            answer(
                "kvm1",
                WEB,
                trace_text(
                    "br-int",
                    " 0. priority 0\n    NORMAL\n     -> no learned MAC for destination, flooding\n"
                    "     -> output to native tunnel\n     >> native tunnel routing failed",
                    "push_vlan(vid=10,pcp=0),br-int",
                ),
            ),
        ),
        WEB,
        "no-route",
        "kvm1",
        "kvm1",
    ),
    "underlay link down": (put(link("r1", "", "eth2"), up=False), WEB, "underlay-down", "r1", "r1"),
    "cable cut": (put(link("kvm1", "", "eth1"), carrier=False), WEB, "underlay-down", "kvm1", "kvm1"),
    "underlay tag": (put(port("kvm1", "br-underlay", "eth1"), tag=9), WEB, "tag", "kvm1", "kvm1"),
    "MTU of the underlay": (put(link("r1", "", "eth2"), mtu=120), WEB, "mtu", "r1", "r1"),
    "forwarding": (put(the_space("r1"), forwarding=0), WEB, "forwarding", "r1", "r1"),
    "route on a router": (unrouted("r1", "192.168.200.2"), WEB, "no-route", "r1", "r1"),
    "blackhole": (routed("r1", "192.168.200.2", type="blackhole"), WEB, "route-refuses", "r1", "r1"),
    "reverse path": (
        both(
            put(the_space("r1"), rp_filter={"all": 1}),
            routed("r1", "192.168.200.1", hops=[{"via": None, "dev": "eth2"}]),
        ),
        WEB,
        "rp-filter",
        "r1",
        "r1",
    ),
    "rule": (put(the_space("r1"), firewall=rules("forward", GRE, COUNTED, DROP)), WEB, "firewall", "r1", "r1"),
    "policy": (
        put(the_space("kvm2", "web2"), firewall=rules("input", policy="drop")),
        WEB,
        "firewall",
        "kvm2",
        "kvm2/web2",
    ),
    "permanent neighbor": (
        neighbor("kvm1", "web1", "eth0", "10.1.1.66", WRONG, "PERMANENT"),
        WEB,
        "neighbor",
        "kvm1",
        "kvm1/web1",
    ),
    "duplicate address": (
        neighbor("kvm1", "web1", "eth0", "10.1.1.66", WRONG, "REACHABLE"),
        WEB,
        "duplicate-address",
        "kvm1",
        "kvm1/web1",
    ),
    "neighbor on the underlay": (
        neighbor("r1", "", "eth2", "10.254.0.18", WRONG, "PERMANENT"),
        WEB,
        "neighbor",
        "r1",
        "r1",
    ),
    "guest off": (lambda seen: seen["kvm2"].update(guests={"vm2": "shut off"}), VM, "guest", "kvm2", "kvm2/vm2"),
    "guest gone": (lambda seen: seen["kvm2"].update(guests={}), VM, "guest", "kvm2", "kvm2/vm2"),
    "libvirt": (lambda seen: seen["kvm2"].update(guests=None), VM, "libvirt-down", "kvm2", "kvm2/vm2"),
    "Open vSwitch": (
        lambda seen: seen["kvm1"].update(switch={"error": "no database", "bridges": {}, "traces": {}}),
        KEY,
        "ovs-down",
        "kvm1",
        "v-acme1",
    ),
    "FRR": (
        both(unrouted("kvm1", "192.168.200.2"), lambda seen: seen["r1"]["frr"].update(daemons=["zebra"])),
        WEB,
        "frr-down",
        "r1",
        "r1",
    ),
    "adjacency": (
        both(unrouted("r1", "192.168.200.2"), lambda seen: seen["r1"]["frr"].update(ospf_neighbors=[])),
        WEB,
        "adjacency",
        "r1",
        "r1",
    ),
    "host down": (
        lambda seen: seen.update(kvm2={"unreachable": True, "msg": "timed out"}),
        WEB,
        "host-down",
        "kvm2",
        "kvm2",
    ),
    "router unread": (lambda seen: seen.update(r1={"failed": True, "msg": "no ip"}), WEB, "unread", "r1", "r1"),
}


@pytest.mark.parametrize("ends", [WEB, KEY, VM, WEB[::-1], VM[::-1], ("kvm1", "kvm2"), ("kvm1", "r1"), ("r1", "kvm2")])
def test_a_sound_fabric_gives_no_alarm(ends):
    for packet in (Packet(), Packet("tcp", 443), Packet(size=1400)):
        report = verdict(copy.deepcopy(SOUND), ends, packet)
        assert report["passed"] and not report["died"] and not report["there"]["doubts"], "\n".join(draw.lines(report))


@pytest.mark.parametrize("name", CAUSES)
def test_each_cause_is_named_at_its_hop_with_a_way_to_mend_it(name):
    change, ends, cause, host, hop = CAUSES[name]
    seen = copy.deepcopy(SOUND)
    change(seen)
    report = verdict(seen, ends)
    shown = "\n".join(draw.lines(report))
    died = report["died"]
    assert died and (died["cause"], died["at"]["host"], died["at"]["name"]) == (cause, host, hop), shown
    assert died["mend"] and died["mend"] in shown and died["because"] in shown
    json.dumps(report)


def test_without_a_way_back_a_loose_filter_drops_the_question_already():
    seen = copy.deepcopy(SOUND)
    unrouted("r1", "192.168.200.1")(seen)
    died = verdict(seen)["died"]
    assert (died["direction"], died["at"]["host"], died["cause"]) == ("there", "r1", "no-route")
    assert "to 192.168.200.1" in died["because"]


def test_what_dies_on_the_way_back_is_told_as_such():
    seen = copy.deepcopy(SOUND)
    unrouted("r1", "192.168.200.1")(seen)
    seen["r1"]["spaces"][""]["rp_filter"] = {"all": 0}
    died = verdict(seen)["died"]
    assert (died["direction"], died["at"]["host"], died["cause"]) == ("back", "r1", "no-route")


def test_an_answer_outweighs_what_was_read_unless_somebody_else_gives_it():
    seen = copy.deepcopy(SOUND)
    put(port("kvm1", "br-int", "v-web1"), tag=77)(seen)
    report = verdict(seen, measured=ANSWERED)
    assert (
        report["passed"] and report["remark"]["cause"] == "tag" and "but port v-web1" in "\n".join(draw.lines(report))
    )
    seen = copy.deepcopy(SOUND)
    neighbor("kvm1", "web1", "eth0", "10.1.1.66", WRONG, "STALE")(seen)
    assert not verdict(seen, measured=ANSWERED)["passed"]


@pytest.mark.parametrize("packet", [PING, Packet("udp", 53)])
def test_where_an_answer_speaks_against_what_was_read_a_second_read_decides(packet):
    """Routes and what switches have learned may settle between the read and the packets."""
    way, settling, refusing = Route(PLAN, *WEB, packet), copy.deepcopy(SOUND), copy.deepcopy(SOUND)
    unrouted("r1", "192.168.200.1")(settling)
    routed("r1", "192.168.200.2", type="blackhole")(refusing)
    assert verdict(settling, packet=packet, measured=ANSWERED)["unsure"]
    assert verdict(settling, packet=packet, measured=SILENT)["unsure"]
    assert not verdict(refusing, packet=packet, measured=SILENT)["unsure"]
    assert not verdict(SOUND, packet=packet, measured=ANSWERED)["unsure"]
    settled = walk.judge_again(way, settling, SOUND, ANSWERED)
    assert settled["passed"] and not settled["remark"] and not settled["there"]["died"]
    still = walk.judge_again(way, refusing, refusing, ANSWERED)
    assert (still["remark"] or still["died"])["cause"] == "route-refuses" and still["passed"] is (packet is PING)


@pytest.mark.parametrize("packet", [PING, Packet("udp", 53)])
def test_a_state_of_the_moment_is_read_once_more_and_no_alarm_where_packets_are_answered(packet):
    """A route that is not there though all is set as planned, and an adjacency on its way: either may have come when the packets went."""
    way = Route(PLAN, *WEB, packet)
    for settling in (without_adjacency({}), adjacent("ExStart")):
        first = verdict(settling, WEB, packet=packet, measured=SILENT)
        assert first["unsure"] and walk.patience(first) == walk.SETTLING, first["died"]
        assert walk.judge_again(way, settling, SOUND, ANSWERED)["died"] is None
        moment = walk.judge_again(way, settling, settling, ANSWERED)
        assert moment["passed"] and not moment["remark"] and moment["died"] is None
        assert "adjacency" in "\n".join(draw.lines(moment)), "it is told where it was read"
        lasting = walk.judge_again(way, settling, settling, SILENT)
        assert not lasting["passed"] and lasting["died"]["cause"] == "adjacency"
    area = verdict(without_adjacency({"area": "0.0.0.9"}), WEB, packet=packet, measured=SILENT)
    assert not area["unsure"] and area["died"]["cause"] == "adjacency", "what is set otherwise does not settle"


def adjacent(state: str, seconds: int | None = 7, **changed) -> dict:
    """Between r1 and kvm2 the adjacency is in a state since some seconds. changed: what OSPF's interface of r1 has."""
    seen = without_adjacency(changed)
    row = {"interface": "eth2", "state": state, "uptime_seconds": seconds, "router_id": "10.255.0.2"}
    seen["r1"]["frr"]["ospf_neighbors"] = [row]
    return seen


@pytest.mark.parametrize("state", ["ExStart", "Exchange", "Loading"])
def test_an_adjacency_that_exchanges_is_told_by_what_was_read_of_the_mtu(state):
    def said(seen: dict) -> str:
        died = verdict(seen, WEB)["died"]
        assert died["cause"] == "adjacency", died
        return str(died["because"])

    alike = said(adjacent(state))
    assert f"has the state {state} for 7 s, though all that OSPF shows is alike" in alike and "MTU" not in alike
    assert "key" not in alike, "they hear each other's hellos"
    assert f"has the state {state}, though" in said(adjacent(state, None))
    smaller = adjacent(state, mtu=1400)
    assert "eth2 of r1 has the MTU 1400, and the other end 1500" in said(smaller)
    for host, dev, taken in (("kvm2", "ul-eth1", False), ("r1", "eth2", True)):
        # The end with the smaller MTU refuses (RFC 2328, section 10.6): it is the one that must be told to take it.
        told = copy.deepcopy(smaller)
        lines = f"interface {dev}\n ip ospf mtu-ignore\nexit\nrouter ospf\nexit\n"
        told[host]["frr"]["running_config"] = lines
        assert ("has the MTU 1400" in said(told)) is not taken
    unread = adjacent(state)
    del unread["kvm2"]["frr"]["ospf_interfaces"]
    assert "the MTU of kvm2 was not read" in said(unread)


def test_a_doubt_is_a_cause_only_when_packets_are_lost():
    seen = copy.deepcopy(SOUND)
    neighbor("kvm1", "web1", "eth0", "10.1.1.66", None, "FAILED")(seen)
    assert verdict(seen)["passed"] and verdict(seen, measured=ANSWERED)["passed"]
    assert verdict(seen, measured=SILENT)["died"]["cause"] == "arp-unanswered"


def test_a_reason_on_the_way_back_is_told_before_what_follows_from_it():
    seen = copy.deepcopy(SOUND)
    neighbor("kvm1", "web1", "eth0", "10.1.1.66", None, "FAILED")(seen)
    put(link("kvm2", "", "eth1"), queue="tbf")(seen)
    died = verdict(seen, measured=SILENT)["died"]
    assert (died["cause"], died["direction"], died["at"]["name"]) == ("queue", "back", "kvm2")


def test_a_loss_that_nothing_explains_is_found_by_counters():
    report = verdict(copy.deepcopy(SOUND), measured=SILENT)
    assert report["undecided"]
    after = copy.deepcopy(SOUND)
    for where, key in (
        (link("kvm1", "web1", "eth0"), "sent"),
        (link("kvm1", "", "v-web1"), "received"),
    ):
        where(after)[key] += 7
    found = counters.stopped(Route(PLAN, *WEB, Packet()), report["there"], SOUND, after)
    assert walk.judge_again(Route(PLAN, *WEB, Packet()), SOUND, after, SILENT)["died"] == {
        **found,
        "direction": "there",
        "at": report["there"]["hops"][found["hop"]],
    }
    assert report["there"]["hops"][found["hop"]]["name"] == "v-web2" and "saw 0 of 7" in found["because"]
    assert counters.stopped(Route(PLAN, *WEB, Packet()), report["there"], SOUND, SOUND)["cause"] == "unsent"


def test_an_open_checksum_kills_tcp_and_no_ping():
    seen = copy.deepcopy(SOUND)
    seen["kvm1"]["spaces"]["web1"]["tx_checksum"] = {"eth0": True}
    assert verdict(seen)["passed"]
    assert verdict(seen, packet=Packet("tcp", 80))["died"]["cause"] == "checksum"


def test_a_ping_speaks_for_tcp_unless_a_rule_drops_pings_alone():
    seen = copy.deepcopy(SOUND)
    tcp = Packet("tcp", 80)
    assert verdict(seen, packet=tcp, measured=SILENT)["undecided"]
    echo = {"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": "echo-request"}}
    seen["kvm2"]["spaces"]["web2"]["firewall"] = rules("input", echo, DROP)
    assert verdict(seen, packet=tcp, measured=SILENT)["passed"]
    assert verdict(seen, measured=SILENT)["died"]["cause"] == "firewall"


# A segment whose policy lets one port pass, and no pings.
ONE_PORT = {"name": "pay", "from": ["acme"], "to": ["acme"], "protocol": "tcp", "ports": ["8443"]}
JUDGED = {
    **COMMON,
    "fabric_overlays": [COMMON["fabric_overlays"][0], {**COMMON["fabric_overlays"][1], "policy": "deny"}],
    "fabric_policy": [ONE_PORT],
}
JUDGED_PLAN = compile_plan(
    {name: {**JUDGED, "fabric_endpoints": points} for name, points in POINTS.items()},
    SPEC,
    routers={"r1": dict(JUDGED)},
)


def test_a_ping_that_the_policy_denies_does_not_speak_for_a_port_that_it_allows():
    for port_number, undecided in ((8443, False), (None, True)):
        plan, packet = (JUDGED_PLAN, Packet("tcp", port_number)) if port_number else (PLAN, Packet("tcp", 8443))
        report = walk.judge(Route(plan, *KEY, packet), copy.deepcopy(SOUND), SILENT)
        assert (report["passed"], report["undecided"]) == (not undecided, undecided)


@pytest.mark.parametrize(
    "packet,cookie,cause,mend,planned",
    [
        (Packet("tcp", 8443), DEFAULT, "flow", "ansible-playbook site.yml", "fabric_policy lets it pass"),
        (Packet("tcp", 8444), DEFAULT, "policy", "fabric_policy; here", "the same: the intent denies it"),
        (Packet("tcp", 8443), SPOOFED, "flow", "ansible-playbook site.yml", "the packet passes, as"),
    ],
)
def test_what_a_flow_of_the_policy_drops_is_held_against_the_intent(packet, cookie, cause, mend, planned):
    seen = copy.deepcopy(SOUND)
    number = owner_cookie(JUDGED_PLAN["hosts"]["kvm1"]["owner"]) | cookie
    step = f"25. metadata=0x1389, priority 10, cookie {number:#x}\n    drop"
    answer("kvm1", KEY, trace_text("br-key", step, "drop"))(seen)
    died = walk.judge(Route(JUDGED_PLAN, *KEY, packet), seen, None)["died"]
    assert died["cause"] == cause and died["mend"].startswith(mend) and died["planned"].startswith(planned)
    # An answer is of the connection that the question opened.
    seen = copy.deepcopy(SOUND)
    answer("kvm2", KEY[::-1], trace_text("br-key", step, "drop"))(seen)
    died = walk.judge(Route(JUDGED_PLAN, *KEY, packet), seen, None)["died"]
    assert (died["direction"], died["cause"]) == ("back", cause)


def test_flows_that_send_with_another_key_or_do_not_remember_the_connection_are_told():
    """The flow is one of ours by its cookie, and what it does is not: somebody has changed it, or taken one away before it."""
    name = " to ".join(KEY)
    sound = SOUND["kvm1"]["switch"]["traces"][name]
    assert switch.parse(sound).keys == (5001,)
    seen = copy.deepcopy(SOUND)
    answer("kvm1", KEY, sound.replace("geneve(vni=0x1389)", "geneve(vni=0x138a)"))(seen)
    died = verdict(seen, KEY)["died"]
    assert (died["cause"], died["at"]["name"], died["planned"]) == ("tunnel-key", "br-key", "key 5001"), died
    assert "send it with the key 5002" in died["because"] and died["mend"] == "ansible-playbook site.yml"
    for acts, cause in (("goto_table:30", "flow"), ("ct(commit,zone=20569)\n    drop\n    goto_table:30", None)):
        after = 'bridge("br-underlay")'
        answer("kvm1", KEY, sound.replace(after, f"27. priority 0\n    {acts}\n\n{after}"))(seen)
        assert verdict(seen, KEY)["passed"], "without packets that are lost it is no cause"
        died = verdict(seen, KEY, measured=SILENT)["died"]
        assert (died and died["cause"]) == cause, died
    step = f"30. priority 100, cookie {owner_cookie(PLAN['hosts']['kvm1']['owner']):#x}\n    output:3"
    answer("kvm1", KEY, trace_text("br-key", step, "v-other"))(seen)
    died = verdict(seen, KEY)["died"]
    assert died["cause"] == "wrong-port" and "fdb" not in died["mend"] and died["mend"].startswith("ansible-playbook")


def test_a_router_forwards_by_rules_of_both_interfaces():
    def accepted(iif: str, oif: str) -> dict:
        met = [({"meta": {"key": key}}, value) for key, value in (("iifname", iif), ("oifname", oif))]
        expr = [{"match": {"op": "==", "left": left, "right": right}} for left, right in met]
        return {"rule": {"family": "inet", "table": "t", "chain": "c", "expr": [*expr, {"accept": None}]}}

    seen = copy.deepcopy(SOUND)
    chain = rules("forward", policy="drop")
    seen["r1"]["spaces"][""]["firewall"] = [*chain, accepted("eth1", "eth2"), accepted("eth2", "eth1")]
    assert verdict(seen)["passed"]
    seen["r1"]["spaces"][""]["firewall"].pop()
    died = verdict(seen)["died"]
    assert (died["cause"], died["direction"], died["at"]["host"]) == ("firewall", "back", "r1")


@pytest.mark.parametrize("ends", [("kvm1", "r1"), ("r1", "kvm1")])
def test_a_router_that_others_manage_is_not_asked(ends):
    others = {"r1": {**COMMON, "fabric_router": {"managed": False}}}
    plan = compile_plan(
        {name: {**COMMON, "fabric_endpoints": own} for name, own in POINTS.items()}, SPEC, routers=others
    )
    way = Route(plan, *ends, PING)
    assert sorted(way.questions()) == ["kvm1"]
    assert walk.judge(way, copy.deepcopy(SOUND), None)["there"]["hops"][-1]["kind"] == "outside"


def test_ipv6_is_off_where_the_interfaces_own_parameter_says_so():
    way = Route(DUAL, "kvm1/red1", "2001:db8::2:2", PING)
    link_of = {"name": "eth0", "up": True, "mac": way.source.mac, "addresses": ["2001:db8::1:1/64"]}
    for off, cause in (({"all": 1, "eth0": 0}, None), ({"all": 0, "eth0": 1}, "ipv6-off"), ({"all": 1}, "ipv6-off")):
        space = {"links": {"eth0": link_of}, "ipv6_off": off}
        view = View(DUAL, {"kvm1": {"spaces": {"red1": space}}})
        try:
            found = ends_of.interface(view, way.source) and None
        except Died as died:
            found = died.cause
        assert found == cause


def test_a_packet_too_large_for_its_segment_dies_at_the_sender():
    died = verdict(copy.deepcopy(SOUND), packet=Packet(size=1459))["died"]
    assert died["cause"] == "mtu" and died["at"]["name"] == "kvm1/web1"


@pytest.mark.parametrize(
    "ends,says",
    [
        (("kvm1/wbe1", "kvm2/web2"), "did you mean kvm1/web1?"),
        (("8.8.8.8", "kvm2/web2"), "the plan has no endpoint"),
        (("kvm1/web1", "kvm1/web1"), "name two"),
        (("kvm1/web1", "nowhere at all"), "no host of this name"),
        (("kvm1/web1", "2001:db8::1"), "kvm1/web1 has no IPv6 address"),
        (("2001:db8::1", "kvm1/web1"), "the plan has no endpoint"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(ends, says):
    with pytest.raises(TraceError, match=says.replace("?", r"\?")):
        Route(PLAN, *ends, Packet())


def test_an_address_is_that_of_the_segment_and_only_hosts_on_the_way_are_asked():
    way = Route(PLAN, "kvm1/web1", "10.1.1.66", Packet())
    assert way.target.id == "kvm2/web2"
    asked = way.questions()
    assert sorted(asked) == ["kvm1", "kvm2", "r1"]
    assert asked["kvm1"]["namespaces"] == ["web1"] and not asked["r1"]["switch"]
    assert sorted(Route(PLAN, "kvm1/web1", "kvm1/acme1", Packet()).questions()) == ["kvm1", "r1"]


@pytest.mark.parametrize(
    "ends,family",
    [
        (("kvm1/red1", "kvm2/red2"), 4),
        (("kvm1/red1", "2001:db8::2:2"), 6),
        (("2001:db8::1:1", "kvm2/red2"), 6),
        (("kvm1/red1", "2001:db8:ffff::9"), 6),
    ],
)
def test_the_family_of_a_packet_is_that_of_the_address_that_is_named(ends, family):
    segment = {"name": "red", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8::/64"}
    common = {"fabric_name": "dual", "fabric_overlays": [{"encapsulation": "gre"}], "fabric_segments": [segment]}
    hosts = {
        f"kvm{number}": {
            **common,
            "fabric_endpoints": [
                {"name": f"red{number}", "segment": "red", "address6": f"2001:db8::{number}:{number}"}
            ],
        }
        for number in (1, 2)
    }
    way = Route(compile_plan(hosts, SPEC), *ends, Packet())
    assert way.packet.family == family
    assert {":" in end.address for end in (way.source, way.target)} == {family == 6}


def test_segments_that_are_kept_apart_are_told_as_such():
    died = verdict(copy.deepcopy(SOUND), ("kvm1/web1", "kvm2/acme2"))["died"]
    assert died["cause"] == "no-route" and "kept apart" in died["planned"]


def test_an_address_outside_ends_at_the_edge_of_what_the_plan_knows():
    report = verdict(copy.deepcopy(SOUND), ("kvm1/web1", "192.0.2.1"))
    assert report["died"]["cause"] == "no-route"
    seen = copy.deepcopy(SOUND)
    routed("kvm1", "default", "web1", hops=[{"via": "10.1.1.1", "dev": "eth0"}])(seen)
    report = verdict(seen, ("kvm1/web1", "192.0.2.1"))
    assert report["passed"] and report["there"]["hops"][-1]["kind"] == "outside"


def test_a_ping_over_ipv6_is_asked_in_the_words_of_the_switch():
    """ofproto/trace takes icmp_type for ICMP of IPv4 only."""
    way = Route(DUAL, "kvm1/red1", "2001:db8::2:2", Packet())
    (question,) = way.questions()["kvm1"]["traces"][:1]
    assert ",icmpv6_type=128,icmpv6_code=0" in question["flow"] and "icmp6," in question["flow"]


def test_the_switch_says_why_it_drops_a_learned_address():
    seen = copy.deepcopy(SOUND)
    step = " 0. priority 0\n    NORMAL\n     -> learned port is input port, dropping"
    answer("kvm1", WEB, trace_text("br-int", step, "drop"))(seen)
    died = verdict(seen)["died"]
    assert died["cause"] == "flow" and "(learned port is input port, dropping)" in died["because"]
    assert died["mend"].startswith("on kvm1: ovs-appctl fdb/show br-int; ovs-appctl fdb/del br-int 10 ")


@pytest.mark.parametrize("protected", [False, True])
def test_a_protected_tunnel_on_a_hub_keeps_spokes_apart(protected):
    overlay = {"encapsulation": "vxlan", "topology": "hub_and_spoke", "hubs": ["kvm1"]}
    hub = {**COMMON, "fabric_links": [], "fabric_overlays": [overlay], "fabric_segments": COMMON["fabric_segments"][:1]}
    hub["fabric_segments"] = [{**hub["fabric_segments"][0], "overlay": "vxlan"}]
    points = {f"kvm{number}": [{"name": f"web{number}", "segment": "web"}] for number in (1, 2, 3)}
    plan = compile_plan({name: {**hub, "fabric_endpoints": own} for name, own in points.items()}, SPEC)
    way = Route(plan, "kvm2/web2", "kvm3/web3", Packet())
    assert way.hosts == ["kvm2", "kvm1", "kvm3"]
    row = {**port("kvm1", "br-int", "gre-kvm2")(SOUND), "type": "vxlan", "protected": protected}
    row["options"] = {
        "local_ip": way.tunnel("kvm1", "kvm3")["local_ip"],
        "remote_ip": way.tunnel("kvm1", "kvm3")["remote_ip"],
    }
    seen = {
        "kvm1": {
            "spaces": {"": {"links": {}}},
            "switch": {"error": None, "bridges": {"br-int": {"ports": {"vxlan-kvm3": row}}}},
        }
    }
    try:
        trace_ports.tunnel(View(plan, seen), Path(), "kvm1", "kvm3", way, "on")
        died = None
    except Died as reason:
        died = reason
    assert bool(died) is protected
    if died:
        assert died.cause == "split-horizon" and died.mend.endswith("protected=false")


def bonded(**members: bool) -> View:
    """A host whose bond has these members, each with or without a partner in LACP."""
    links = {name: {"name": name, "mtu": 1500, "up": True, "carrier": True} for name in ("tep0", "eth1", "eth2")}
    port = {"tag": None, "error": None, "ofport": 1}
    bond = {**port, "members": {name: {"link_state": "up", "lacp_current": lacp} for name, lacp in members.items()}}
    bridge = {"ports": {"bond0": bond, "tep0": {**port, "tag": 200}}, "datapath_type": "netdev"}
    traces = {f"tunnel by {name}": trace_text("br-underlay", " 0. priority 0", "tep0") for name in members}
    switch = {"error": None, "bridges": {"br-underlay": bridge}, "traces": traces}
    return View(BONDED, {"kvm1": {"spaces": {"": {"links": links}}, "switch": switch}})


def crossed(view: View) -> list[str]:
    outer = underlay.Outer("192.168.200.1", "192.168.200.2", 1500, "udp", 4789, True)
    return underlay._carried(underlay.Underlay(view), view.space("kvm1", ""), "kvm1", "tep0", outer)


def test_a_bond_carries_a_packet_as_long_as_one_of_its_nics_works():
    view = bonded(eth1=True, eth2=True)
    assert crossed(view) == ["bond bond0 of eth1, eth2"]
    view.space("kvm1", "")["links"]["eth1"]["up"] = False
    assert crossed(view) == ["bond bond0 of eth2", "eth1 on kvm1 is down"]
    view.space("kvm1", "")["links"]["eth2"]["carrier"] = False
    with pytest.raises(Died, match="^no NIC of bond bond0 works: eth1 on kvm1 is down; eth2 on kvm1 has no carrier"):
        crossed(view)


def test_a_nic_that_has_no_partner_or_is_not_in_the_bond_carries_nothing():
    said = "no partner in LACP answers eth2 of bond bond0 on kvm1"
    assert crossed(bonded(eth1=True, eth2=False)) == ["bond bond0 of eth1", said]
    assert crossed(bonded(eth1=True)) == ["bond bond0 of eth1", "bond bond0 on kvm1 has no member eth2"]
    with pytest.raises(Died, match=said) as died:
        crossed(bonded(eth1=False, eth2=False))
    assert died.value.cause == "lacp" and died.value.mend == "on kvm1: ovs-appctl lacp/show bond0"


def test_the_tag_of_a_bond_and_the_room_of_each_of_its_nics_are_held_against_the_plan():
    view = bonded(eth1=True, eth2=True)
    view.switch("kvm1")["bridges"]["br-underlay"]["ports"]["bond0"]["tag"] = 7
    with pytest.raises(Died, match="port bond0 on kvm1 has tag 7"):
        crossed(view)
    view = bonded(eth1=True, eth2=True)
    # Nobody knows which of them a packet takes.
    view.space("kvm1", "")["links"]["eth2"]["mtu"] = 1400
    with pytest.raises(Died, match="1500 bytes do not fit into the MTU 1400 of eth2"):
        crossed(view)


def test_what_comes_in_by_a_bond_may_be_taken_from_one_nic_only():
    view = bonded(eth1=True, eth2=True)
    traces = view.switch("kvm1")["traces"]
    dropped = trace_text("br-underlay", " 0. priority 0\n    NORMAL", "drop")
    traces["tunnel by eth2"] = dropped
    trace_ports.received(view, "kvm1", ("eth1", "eth2"), "br-underlay")
    traces["tunnel by eth1"] = dropped
    view.switch("kvm1")["bridges"]["br-underlay"]["fail_mode"] = "standalone"
    with pytest.raises(Died, match="bridge br-underlay on kvm1 drops it"):
        trace_ports.received(view, "kvm1", ("eth1", "eth2"), "br-underlay")


def test_both_nics_of_a_bond_are_asked():
    asked = Route(BONDED, "kvm1/red1", "kvm2/red2", PING).questions()
    names = [one["name"] for one in asked["kvm2"]["traces"]]
    assert {"tunnel by eth1", "tunnel by eth2"} <= set(names)


TRACE_OUT = 'Flow: in_port="v-web1"\n\nbridge("br-int")\n-------\n 0. priority 0\n{}\nFinal flow: unchanged\nDatapath actions: drop\n'
MAIN = {"priority": 32766, "src": "all", "dst": None, "iif": None, "table": "main", "action": None, "decided": True}
RULE = {"priority": 9, "src": "all", "dst": None, "iif": None, "table": None, "action": "prohibit"}
# Changes that only measured loss makes a cause, and what is told then.
SUSPECTS = {
    "ARP ignored": (put(the_space("kvm2", "web2"), arp_ignore={"all": 0, "eth0": 8}), WEB, "arp-off", "kvm2/web2"),
    "queue": (put(link("kvm1", "web1", "eth0"), queue="tbf"), WEB, "queue", "kvm1/web1"),
    "connections": (
        put(the_space("kvm2", "web2"), connections=5, connections_most=5),
        WEB,
        "conntrack-full",
        "kvm2/web2",
    ),
    "rule by mark": (
        put(the_space("kvm1", "web1"), rules=[MAIN, {**RULE, "decided": False}]),
        WEB,
        "policy-routing",
        "kvm1/web1",
    ),
    "policing": (put(port("kvm1", "br-int", "v-web1"), policing=8), WEB, "policing", "v-web1"),
    "TTL of a tunnel": (options(port("kvm1", "br-int", "gre-kvm2"), ttl="1"), WEB, "tunnel-option", "gre-kvm2"),
    "queue of a port": (put(link("kvm2", "", "v-web2"), queue="netem"), WEB, "queue", "v-web2"),
    "queue of a NIC": (put(link("kvm1", "", "eth1"), queue="tbf"), WEB, "queue", "kvm1"),
    "rule against what comes later": (
        put(the_space("kvm2", "web2"), firewall=rules("input", ESTABLISHED, DROP)),
        WEB,
        "firewall",
        "kvm2/web2",
    ),
    "program of XDP": (put(link("kvm2", "web2", "eth0"), xdp=True), WEB, "xdp", "kvm2/web2"),
    "impairment of a NIC": (
        put(the_space("kvm1"), firewall=at_interface("egress", "eth1", GRE, {"mangle": {}}, {"fwd": {"dev": "lo"}})),
        WEB,
        "firewall",
        "kvm1",
    ),
}
CERTAIN = {
    "rule at a NIC": (
        put(the_space("kvm1"), firewall=at_interface("egress", "eth1", GRE, DROP)),
        WEB,
        "firewall",
        "kvm1",
    ),
    "rule at the target's port": (
        put(the_space("kvm2"), firewall=at_interface("egress", "v-web2", DROP)),
        WEB,
        "firewall",
        "v-web2",
    ),
    "pings ignored by a host": (put(the_space("r1"), echo_ignored=1), ("kvm1", "r1"), "echo-ignored", "r1"),
    "mode of a tunnel's port": (put(port("kvm1", "br-int", "gre-kvm2"), vlan_mode="access"), WEB, "trunks", "gre-kvm2"),
    "port down at the sender": (
        both(
            put(link("kvm1", "", "v-web1"), up=False, carrier=False),
            put(link("kvm1", "web1", "eth0"), carrier=False),
            unrouted("kvm1", "10.1.1.0/24", "web1"),
        ),
        WEB,
        "port-down",
        "v-web1",
    ),
    "ovs-vswitchd hangs": (
        answer("kvm2", WEB, "error: ovs-appctl: no answer of ovs-vswitchd in 10 s"),
        WEB,
        "ovs-down",
        "br-int",
    ),
    "enslaved": (put(link("kvm2", "web2", "eth0"), master="br9"), WEB, "enslaved", "kvm2/web2"),
    "echo ignored": (put(the_space("kvm2", "web2"), echo_ignored=1), WEB, "echo-ignored", "kvm2/web2"),
    "own address": (
        routed("kvm1", "10.1.1.66", "web1", type="local", table="local", hops=[{"via": None, "dev": "lo"}]),
        WEB,
        "duplicate-address",
        "kvm1/web1",
    ),
    "rule that refuses": (
        put(the_space("kvm1", "web1"), rules=[{**RULE, "decided": True}]),
        WEB,
        "route-refuses",
        "kvm1/web1",
    ),
    "key of one direction": (options(port("kvm2", "br-int", "gre-kvm1"), in_key="9"), WEB, "tunnel-option", "gre-kvm1"),
    "no-receive": (answer("kvm1", WEB, TRACE_OUT.format("")), WEB, "port-config", "br-int"),
    "no-forward": (
        answer("kvm1", WEB, TRACE_OUT.format("    NORMAL\n     >> OFPPC_NO_FWD set, skipping output")),
        WEB,
        "port-config",
        "br-int",
    ),
    "mirror": (
        answer(
            "kvm1",
            WEB,
            TRACE_OUT.format(
                "    NORMAL\n     >>>> dropping packet received on port v-web1, which is reserved exclusively for mirroring <<<<"
            ),
        ),
        WEB,
        "mirror",
        "br-int",
    ),
    "guest paused": (lambda seen: seen["kvm2"]["guests"].update(vm2="paused"), VM, "guest", "kvm2/vm2"),
    "guest unplugged": (lambda seen: seen["kvm2"].update(plugs={"v-vm2": "down"}), VM, "unplugged", "kvm2/vm2"),
    "ARP off at a NIC": (put(link("kvm2", "", "ul-eth1"), arp=False), WEB, "arp-off", "kvm2"),
    "forwarding of one interface": (put(the_space("r1"), forwards={"eth1": 0}), WEB, "forwarding", "r1"),
}


@pytest.mark.parametrize("name", SUSPECTS)
def test_a_suspect_is_a_cause_when_packets_are_lost_and_none_when_they_arrive(name):
    change, ends, cause, at = SUSPECTS[name]
    seen = copy.deepcopy(SOUND)
    change(seen)
    died = verdict(seen, ends, measured=SILENT)["died"]
    assert died and (died["cause"], died["at"]["name"]) == (cause, at)
    assert verdict(seen, ends, measured=ANSWERED)["passed"]


def test_what_the_kernel_was_not_answered_is_no_matter_to_a_switch_that_knows_the_neighbor():
    seen = copy.deepcopy(SOUND)
    neighbor("kvm1", "", "ul-eth1", "10.254.0.11", None, "FAILED")(seen)
    put(link("kvm1", "web1", "eth0"), queue="tbf")(seen)
    assert verdict(seen, measured=SILENT)["died"]["cause"] == "queue"
    # A switch that writes no MAC address by itself, as with the kernel's datapath, sends by what the kernel knows.
    traces = seen["kvm1"]["switch"]["traces"]
    sent = (
        "Datapath actions: push_vlan(vid=10,pcp=0),set(tunnel(src=192.168.200.1,dst=192.168.200.2,ttl=64,flags(df))),4"
    )
    traces["kvm1/web1 to kvm2/web2"] = re.sub("Datapath actions:.*", sent, traces["kvm1/web1 to kvm2/web2"])
    died = verdict(seen, measured=SILENT)["died"]
    assert died["cause"] == "neighbor" and "nobody answers kvm1 for 10.254.0.11" in died["because"]


@pytest.mark.parametrize("name", CERTAIN)
def test_what_certainly_stops_a_packet_is_named_without_measuring(name):
    change, ends, cause, at = CERTAIN[name]
    seen = copy.deepcopy(SOUND)
    change(seen)
    report = verdict(seen, ends)
    died = report["died"]
    assert died and (died["cause"], died["at"]["name"]) == (cause, at), "\n".join(draw.lines(report))
    assert died["mend"]


def test_a_port_that_nobody_listens_on_is_told_where_it_was_read():
    seen = copy.deepcopy(SOUND)
    seen["kvm2"]["spaces"]["web2"]["listening"] = {"tcp": [80], "udp": []}
    assert verdict(seen, WEB, Packet("tcp", 80))["passed"]
    died = verdict(seen, WEB, Packet("tcp", 81))["died"]
    assert died["cause"] == "no-listener" and "TCP port 81" in died["because"]


def test_a_question_for_an_address_that_a_switch_drops_is_a_suspect():
    seen = copy.deepcopy(SOUND)
    text = trace_text("br-int", " 0. arp, priority 100, cookie 0xbad\n    drop", "drop")
    seen["kvm2"]["switch"]["traces"]["kvm1/web1 asks for kvm2/web2"] = text
    died = verdict(seen, WEB, measured=SILENT)["died"]
    assert died["cause"] == "foreign-flow" and "the ARP question for 10.1.1.66" in died["because"]
    assert verdict(seen, WEB, measured=ANSWERED)["passed"]


def test_over_ipv6_the_question_is_a_neighbor_solicitation():
    way = Route(DUAL, "kvm1/red1", "2001:db8::2:2", Packet())
    asked = {one["name"]: one["flow"] for one in way.questions()["kvm1"]["traces"]}
    flow = asked[way.arp_name()]
    assert "icmp6,icmpv6_type=135,icmpv6_code=0" in flow and "nd_target=2001:db8::2:2" in flow
    assert "dl_dst=33:33:ff:02:00:02" in flow and "ipv6_dst=ff02::1:ff02:0002" in flow


def ospf_row(host: str, dev: str, **changed: object) -> dict:
    """An interface of OSPF as frr_info shows it."""
    wanted = next(one for one in PLAN["routers"][host]["ospf"]["instances"][0]["interfaces"] if one["name"] == dev)
    row = {
        "vrf": "default",
        "interface": dev,
        "router_id": PLAN["routers"][host]["router_id"],
        "mtu": 1500,
        "passive": wanted["passive"],
        "authentication": "",
        **{key: wanted.get(key) for key in ("area", "network_type", "hello_interval", "dead_interval")},
    }
    return {**row, **changed}


def without_adjacency(changed: dict | None = None, host: str = "r1") -> dict:
    """Between r1 and kvm2 there is no adjacency, and r1 has no route. changed: what an interface of a host has, None where it has none."""
    seen = copy.deepcopy(SOUND)
    unrouted("r1", "192.168.200.2")(seen)
    seen["r1"]["frr"]["ospf_neighbors"] = []
    rows = {"r1": ospf_row("r1", "eth2"), "kvm2": ospf_row("kvm2", "ul-eth1")}
    for name, row in rows.items():
        kept = [] if name == host and changed is None else [{**row, **(changed or {})} if name == host else row]
        seen[name]["frr"]["ospf_interfaces"] = kept
    return seen


@pytest.mark.parametrize("host,dev", [("r1", "eth2"), ("kvm2", "ul-eth1")])
@pytest.mark.parametrize(
    "changed,says,mends",
    [
        (None, "does not run", "ip ospf area 0.0.0.0"),
        ({"passive": True}, "is passive", "no ip ospf passive"),
        ({"area": "0.0.0.9"}, "has the area 0.0.0.9", "ip ospf area 0.0.0.0"),
        ({"network_type": "broadcast"}, "has the network type broadcast", "ip ospf network point-to-point"),
        ({"hello_interval": 7}, "has the hello interval 7", "ip ospf hello-interval 1"),
        ({"dead_interval": 9}, "has the dead interval 9", "ip ospf dead-interval 2"),
        ({"authentication": "message-digest"}, "authenticates by message-digest", "no ip ospf authentication"),
        (
            {"router_id": PLAN["routers"]["kvm2"]["router_id"]},
            "has the router ID",
            "'; vtysh -c 'clear ip ospf process'",
        ),
        ({"mtu": 1400}, "has the MTU 1400, and the other end 1500", "1500"),
    ],
)
def test_an_adjacency_that_is_missing_is_told_by_what_differs_and_at_which_end(host, dev, changed, says, mends):
    if changed and "router_id" in changed and host == "kvm2":
        changed = {"router_id": PLAN["routers"]["r1"]["router_id"]}
    died = verdict(without_adjacency(changed, host), WEB)["died"]
    assert died["cause"] == "adjacency" and died["at"]["host"] == host, died
    assert says in died["because"] and f"OSPF on {dev} of {host}" in died["because"], died
    assert mends in died["mend"] and died["mend"].startswith(f"on {host}: ") and dev in died["mend"]


# What `show ip ospf vrf all interface json` said of an interface in FRR 8.4.4, and what FRR 10.3 adds.
FRR_8 = {
    "ifUp": True,
    "mtuBytes": 1500,
    "ospfEnabled": True,
    "ipAddress": "10.7.0.1",
    "ipAddressPrefixlen": 31,
    "ospfIfType": "Broadcast",
    "area": "0.0.0.0",
    "routerId": "10.255.0.1",
    "networkType": "POINTOPOINT",
    "cost": 10,
    "state": "Point-To-Point",
    "timerMsecs": 1000,
    "timerDeadSecs": 2,
    "timerWaitSecs": 2,
    "nbrCount": 0,
}
FRR_10 = {
    **FRR_8,
    "opaqueCapable": True,
    "timerRetransmitWindowMsecs": 50,
    "prefixSuppression": False,
    "nbrFilterPrefixList": "N/A",
    "grHelloDelaySecs": 10,
}


@pytest.mark.parametrize("base", [FRR_8, FRR_10], ids=["FRR 8", "FRR 10"])
@pytest.mark.parametrize(
    "changed,says",
    [
        ({"ospfEnabled": False}, "does not run"),
        ({"area": "0.0.0.9"}, "has the area 0.0.0.9"),
        ({"area": "0.0.0.9 [Stub]"}, "has the area 0.0.0.9"),
        ({"area": "0.0.0.0 [NSSA]"}, None),
        ({"networkType": "BROADCAST", "state": "DR"}, "has the network type broadcast"),
        ({"timerMsecs": 7000}, "has the hello interval 7"),
        ({"timerDeadSecs": 40}, "has the dead interval 40"),
        ({"timerPassiveIface": True}, "is passive"),
        ({"authentication": "authenticationMessageDigest"}, "authenticates by message-digest"),
        ({"authentication": "authenticationSimplePassword"}, "authenticates by password"),
        ({"authentication": "authenticationNone"}, None),
        ({"mtuBytes": 1400}, "has the MTU 1400, and the other end 1500"),
        ({"routerId": PLAN["routers"]["kvm2"]["router_id"]}, "has the router ID"),
        ({}, None),
    ],
)
def test_what_differs_in_ospf_is_read_from_the_words_of_both_releases(base, changed, says):
    """Beside what FRR itself answered: rows of an interface as both releases print it, with one thing changed."""
    row = {**base, "routerId": PLAN["routers"]["r1"]["router_id"], **changed}
    seen = without_adjacency({})
    answered = {"default": {"vrfName": "default", "vrfId": 0, "interfaces": {"eth2": row}}}
    seen["r1"]["frr"]["ospf_interfaces"] = ospf_interfaces(answered)
    died = verdict(seen, WEB)["died"]
    assert died["cause"] == "adjacency" and died["at"]["host"] == "r1", died
    assert (says or "all that OSPF shows is alike at both ends") in died["because"], died


def test_a_link_with_a_key_is_not_told_as_one_that_should_have_none():
    """Asked for an address of the link itself, which its owner announces as planned."""
    plan = copy.deepcopy(PLAN)
    link = next(one for one in plan["links"] if one["name"] == "kvm2-r1")
    link["key_id"] = 3
    cable = next(end for end in link["ends"] if end["host"] == "kvm2")
    seen = copy.deepcopy(SOUND)
    keyed = ospf_row("kvm2", cable["port"], authentication="message-digest")
    seen["kvm2"]["frr"]["ospf_interfaces"] = [keyed, ospf_row("kvm2", "tep0")]
    below = underlay.Underlay(View(plan, seen))
    assert underlay._unannounced(below, Path(), cable["address"]) is None
    seen["kvm2"]["frr"]["ospf_interfaces"][0]["authentication"] = ""
    assert underlay._unannounced(below, Path(), cable["address"]).cause == "unannounced"


def test_an_adjacency_whose_ends_are_alike_lacks_a_key_or_a_rule_drops_its_packets():
    died = verdict(without_adjacency({}), WEB)["died"]
    assert "leaves a key of its authentication" in died["because"]
    seen = without_adjacency({})
    rule = {
        "family": "inet",
        "table": "byhand",
        "chain": "in",
        "handle": 3,
        "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": 89}},
            {"drop": None},
        ],
    }
    chain = {"family": "inet", "table": "byhand", "name": "in", "hook": "input", "prio": 0, "policy": "accept"}
    seen["kvm2"]["spaces"][""]["firewall"] = [{"chain": chain}, {"rule": rule}]
    died = verdict(seen, WEB)["died"]
    assert (died["cause"], died["at"]["host"]) == ("firewall", "kvm2") and "protocol 89" in died["because"]


def test_a_daemon_that_hangs_is_named_where_it_runs():
    """Its neighbors have no route any more, and FRR on its host says nothing at all."""
    seen = copy.deepcopy(SOUND)
    unrouted("kvm1", "192.168.200.2")(seen)
    seen["r1"]["frr"] = {"failed": True, "msg": "vtysh had no answer", "hanging": ["ospfd"]}
    died = verdict(seen)["died"]
    assert (died["cause"], died["at"]["name"], died["because"]) == (
        "frr-hangs",
        "r1",
        "ospfd of FRR on r1 does not answer: it hangs",
    )
    assert died["mend"] == "on r1: systemctl restart frr"


def test_a_rule_that_leads_a_router_to_a_table_of_others_is_taken_away():
    seen = copy.deepcopy(SOUND)
    routed("r1", "default", type="unreachable", table="77")(seen)
    seen["r1"]["spaces"][""]["rules"] = [
        {**RULE, "decided": True, "dst": "192.168.200.2", "action": None, "table": "77"},
        MAIN,
    ]
    died = verdict(seen)["died"]
    assert died["because"].endswith("unreachable to default in table 77, to which a rule leads")
    assert died["mend"] == "on r1: ip rule del priority 9"


def test_the_smaller_mtu_of_a_link_is_mended_at_its_interface():
    said = ospf.Difference("r1", "eth2", "has the MTU 1400, and the other end 1500", "MTU 1500", ()).mend(
        View(PLAN, {})
    )
    assert said == "on r1: ip link set eth2 mtu 1500; ansible-playbook site.yml makes it last"


def test_an_address_that_its_owner_does_not_announce_is_told_there():
    seen = copy.deepcopy(SOUND)
    unrouted("r1", "192.168.200.2")(seen)
    seen["kvm2"]["frr"]["ospf_interfaces"] = [ospf_row("kvm2", "ul-eth1")]
    died = verdict(seen, WEB)["died"]
    assert (died["cause"], died["at"]["host"]) == ("unannounced", "kvm2")
    assert "kvm2 does not announce 192.168.200.2: OSPF on tep0 does not run" in died["because"]
    down = copy.deepcopy(seen)
    link("kvm2", "", "tep0")(down)["up"] = False
    died = verdict(down, WEB)["died"]
    assert (died["cause"], died["mend"]) == ("underlay-down", "on kvm2: ip link set tep0 up"), died
    seen["kvm2"]["frr"]["ospf_interfaces"] = [ospf_row("kvm2", "ul-eth1"), ospf_row("kvm2", "tep0")]
    assert verdict(seen, WEB)["died"]["cause"] == "no-route", "it is announced as planned"


@pytest.mark.parametrize("six", [False, True])
def test_a_rule_that_leads_to_a_table_of_others_is_named_and_taken_away(six):
    target, space = ("2001:db8::2", "rules6") if six else ("10.1.1.66", "rules")
    rule = {"src": "all", "dst": target, "priority": 32765, "iif": None, "table": "98", "action": None, "decided": True}
    usual = {**rule, "dst": None, "priority": 32766, "table": "main"}
    refused = {"to": "default", "type": "unreachable", "table": "98", "metric": 0, "dead": False, "hops": []}
    found = kernel.route({space: [usual, rule], "routes": [refused]}, target)
    assert found and found["type"] == "unreachable"
    gone = kernel.ruled({space: [usual, rule]}, found, target, None)
    assert gone == f"{'-6 ' if six else ''}rule del priority 32765"
    assert kernel.ruled({space: [usual]}, {**refused, "table": "main"}, target, None) is None


def test_a_flood_that_leaves_a_port_out_and_a_spanning_tree_of_others_are_named():
    found = {"fail_mode": "standalone", "datapath_type": "netdev", "ports": {}}
    flood = switch.Matched("br-int", 0, "priority 0", 0, ("NORMAL", "-> no learned MAC for destination, flooding"))
    traced = switch.Traced(None, (flood,), ("br-int",), {}, False, entry="v-web1")
    died = trace_ports.lost(VIEW, "kvm1", "br-int", traced, found, {}, "tunnel gre-kvm2")
    assert died.cause == "port-config" and "leaves out gre-kvm2" in died.because
    assert died.mend.endswith("ovs-ofctl mod-port br-int gre-kvm2 flood")
    died = trace_ports.lost(VIEW, "kvm1", "br-int", traced, {**found, "spanning_tree": "stp"}, {}, "tunnel gre-kvm2")
    assert died.cause == "spanning-tree" and died.mend == "on kvm1: ovs-vsctl set bridge br-int stp_enable=false"


def test_a_tunnel_that_sends_from_another_address_is_told_with_both():
    seen = copy.deepcopy(SOUND)
    for name, text in seen["kvm1"]["switch"]["traces"].items():
        seen["kvm1"]["switch"]["traces"][name] = text.replace(
            "src=192.168.200.1,dst=192.168.200.2", "src=10.254.0.10,dst=192.168.200.2"
        )
    died = verdict(seen, WEB)["died"]
    assert (
        died["cause"] == "tunnel-local-ip"
        and "from 10.254.0.10, and kvm2 takes them from 192.168.200.1" in died["because"]
    )


def test_a_wrong_prefix_length_is_the_reason_of_a_wrong_route_and_else_a_remark():
    def masked(length: int, *routes: str) -> dict:
        seen = copy.deepcopy(SOUND)
        space = seen["kvm1"]["spaces"]["web1"]
        space["links"]["eth0"]["addresses"] = [f"10.1.1.65/{length}"]
        space["routes"] = [{**space["routes"][0], "to": to} for to in routes] + space["routes"][1:]
        return verdict(seen)

    died = masked(32)["died"]
    assert died["cause"] == "address" and "10.1.1.65/32, another prefix length" in died["because"]
    assert died["mend"].startswith(
        "on kvm1: ip -n web1 address del 10.1.1.65/32 dev eth0; ip -n web1 address add 10.1.1.65/24"
    )
    wide = masked(16, "10.1.0.0/16")
    assert wide["passed"] and wide["remark"]["cause"] == "address"
    sound = masked(24, "10.1.1.0/24")
    assert sound["passed"] and not sound["remark"]


def test_a_route_that_prefers_another_source_is_a_doubt_of_a_question_alone():
    seen = copy.deepcopy(SOUND)
    for host, name in (("kvm1", "web1"), ("kvm2", "web2")):
        for one in seen[host]["spaces"][name]["routes"]:
            one["source"] = "10.99.0.1" if one["to"] == "10.1.1.0/24" else None
    assert verdict(seen, measured=ANSWERED)["passed"] and verdict(seen)["passed"]
    died = verdict(seen, measured=SILENT)["died"]
    assert (died["cause"], died["at"]["name"]) == ("source", "kvm1/web1") and "from 10.99.0.1" in died["because"]


NAT_RULE = {"snat": {"addr": "10.77.0.1"}}


@pytest.mark.parametrize(
    "host,name,hook,at",
    [
        ("kvm1", "web1", "postrouting", "kvm1/web1"),
        ("kvm2", "web2", "prerouting", "kvm2/web2"),
        ("r1", "", "postrouting", "r1"),
    ],
)
def test_nat_of_others_is_a_doubt(host, name, hook, at):
    seen = copy.deepcopy(SOUND)
    ruleset = rules(hook, NAT_RULE)
    ruleset[0]["chain"]["type"] = "nat"
    seen[host]["spaces"][name]["firewall"] = ruleset
    assert verdict(seen, measured=ANSWERED)["passed"]
    died = verdict(seen, measured=SILENT)["died"]
    assert (died["cause"], died["at"]["name"]) == ("nat", at) and "translates it by" in died["because"]
    assert "nft delete rule inet byhand" in died["mend"] or "nft -a list chain" in died["mend"]


def test_a_policy_that_drops_is_mended_by_another_one_and_an_edge_by_the_intent():
    seen = copy.deepcopy(SOUND)
    for family_and_table, mend in (
        ({}, "nft add chain inet {} c '{{ policy accept; }}'"),
        ({"table": "edge"}, "ansible-playbook site.yml"),
    ):
        ruleset = rules("forward", policy="drop")
        ruleset[0]["chain"].update(family_and_table)
        seen["r1"]["spaces"][""]["firewall"] = ruleset
        died = verdict(seen)["died"]
        assert died["cause"] == "firewall" and "has the policy drop" in died["because"]
        assert died["mend"].endswith(mend.format(ruleset[0]["chain"]["table"])), died


@pytest.mark.parametrize(
    "to,hops,metric,cause",
    [
        (
            "192.168.200.2",
            [{"via": "10.254.0.18", "dev": "eth2"}, {"via": "10.254.0.77", "dev": "eth2"}],
            20,
            "wrong-route",
        ),
        ("192.168.200.2", [{"via": "10.254.0.10", "dev": "eth1"}], 0, "loop"),
        ("192.168.200.2/31", [{"via": "10.254.0.77", "dev": "eth2"}], 0, "wrong-route"),
    ],
)
def test_a_wrong_route_is_mended_in_its_place(to, hops, metric, cause):
    """By prefix and metric the kernel knows which route is meant."""
    seen = copy.deepcopy(SOUND)
    unrouted("r1", "192.168.200.2")(seen)
    routed("r1", to, hops=hops, metric=metric)(seen)
    died = verdict(seen, measured=SILENT)["died"]
    assert (died["cause"], died["at"]["host"]) == (cause, "r1")
    ending = f" metric {metric}" if metric else ""
    assert died["mend"] == f"on r1: ip route replace {to} via 10.254.0.18 dev eth2 proto boot{ending}"


@pytest.mark.parametrize(
    "away,mend",
    [
        (True, "on r1: ip route replace 192.168.200.1 via 10.254.0.10 dev eth1 proto boot"),
        (False, "on r1: sysctl -w net.ipv4.conf.all.rp_filter=0"),
    ],
)
def test_a_reverse_path_filter_is_mended_by_the_way_back_or_is_turned_off(away, mend):
    seen = copy.deepcopy(SOUND)
    seen["r1"]["spaces"][""]["rp_filter"] = {"all": 1}
    if away:
        routed("r1", "192.168.200.1", hops=[{"via": "10.254.0.18", "dev": "eth2"}], metric=-1)(seen)
    else:
        # The plan's next hop, by another interface.
        unrouted("r1", "192.168.200.1")(seen)
        routed("r1", "192.168.200.1", hops=[{"via": "10.254.0.10", "dev": "eth2"}])(seen)
    died = verdict(seen)["died"]
    assert (died["cause"], died["at"]["host"]) == ("rp-filter", "r1")
    assert died["mend"].replace(" metric -1", "") == mend


def test_the_ttl_of_a_host_is_used_up_by_routers():
    seen = copy.deepcopy(SOUND)
    seen["kvm1"]["spaces"][""]["ttl"] = 1
    died = verdict(seen, ("kvm1", "kvm2"))["died"]
    assert (died["cause"], died["at"]["host"]) == ("ttl", "r1") and "sysctl -w net.ipv4.ip_default_ttl=64" in died[
        "mend"
    ]
    seen["kvm1"]["spaces"][""]["ttl"] = 2
    assert verdict(seen, ("kvm1", "kvm2"))["passed"]


def test_a_process_of_ospf_that_is_gone_is_made_anew_by_the_playbook():
    seen = without_adjacency(None, "r1")
    seen["r1"]["frr"]["running_config"] = "router bgp 1\nexit\n"
    died = verdict(seen, WEB)["died"]
    assert "has no line 'router ospf'" in died["because"] and died["mend"] == "ansible-playbook site.yml", died
    seen["r1"]["frr"]["running_config"] = "router ospf\nexit\n"
    assert "ip ospf area" in verdict(seen, WEB)["died"]["mend"]


def test_a_permanent_neighbor_explains_an_adjacency_that_comes_and_goes():
    """By multicast hellos still arrive, and BFD's packets do not: FRR has the route at one time, and the kernel has not at another."""
    seen = copy.deepcopy(SOUND)
    seen["kvm1"]["frr"]["routes"] = [
        {
            "vrf": "default",
            "prefix": "192.168.200.2/32",
            "protocol": "ospf",
            "selected": True,
            "nexthops": [{"address": "10.254.0.11", "interface": "ul-eth1", "active": True, "installed": True}],
        }
    ]
    unrouted("kvm1", "192.168.200.2")(seen)
    assert "somebody has deleted it there" in verdict(seen)["died"]["because"]
    neighbor("r1", "", "eth2", "10.254.0.18", "02:00:00:00:00:99", "PERMANENT")(seen)
    died = verdict(seen)["died"]
    assert (died["cause"], died["at"]["host"]) == ("neighbor", "r1") and "ip neighbor del 10.254.0.18 dev eth2" in died[
        "mend"
    ]


def test_the_mtu_of_a_port_of_a_switch_is_set_by_the_switch():
    """What `ip link` gives it, ovs-vswitchd takes back."""
    seen = copy.deepcopy(SOUND)
    seen["kvm1"]["spaces"][""]["links"]["eth1"]["mtu"] = 100
    died = verdict(seen)["died"]
    assert (died["cause"], died["mend"]) == ("mtu", "on kvm1: ovs-vsctl set interface eth1 mtu_request=1500"), died


def test_a_wrong_route_by_a_rule_of_others_is_mended_by_taking_the_rule_away():
    seen = copy.deepcopy(SOUND)
    routed("r1", "default", table="77", hops=[{"via": "10.254.0.77", "dev": "eth2"}])(seen)
    every = {"src": "all", "iif": None, "action": None, "decided": True}
    seen["r1"]["spaces"][""]["rules"] = [
        {**every, "priority": 5, "dst": "192.168.200.2", "table": "77"},
        {**every, "priority": 32766, "dst": None, "table": "main"},
    ]
    died = verdict(seen)["died"]
    assert (died["cause"], died["mend"]) == ("wrong-route", "on r1: ip rule del priority 5"), died


def test_connections_that_the_switch_has_no_room_for_are_a_doubt():
    seen = copy.deepcopy(SOUND)
    seen["kvm2"]["switch"]["tracked"] = [5, 5]
    assert verdict(seen)["passed"]
    assert verdict(seen, measured=SILENT)["died"]["cause"] == "conntrack-full"
    for having in ([4, 5], [0, 0], None):
        seen["kvm2"]["switch"]["tracked"] = having
        assert verdict(seen, measured=SILENT)["undecided"]


@pytest.mark.parametrize(
    "host,name,counter,cause,at",
    [
        ("kvm1", "web1", "XfrmOutPolBlock", "ipsec", "kvm1/web1"),
        ("kvm2", "web2", "TcpExtIPReversePathFilter", "rp-filter", "kvm2/web2"),
        ("r1", "", "IpExtInNoRoutes", "no-route", "r1"),
        ("r1", "", "ConntrackDrop", "conntrack-full", "r1"),
        ("kvm2", "web2", "IpInAddrErrors", "discarded", "kvm2/web2"),
    ],
)
def test_a_kernel_that_says_why_it_gave_packets_up_is_named_before_interfaces(host, name, counter, cause, at):
    report = verdict(copy.deepcopy(SOUND), measured=SILENT)
    assert report["undecided"] and report["unsure"]
    after = copy.deepcopy(SOUND)
    after[host]["spaces"][name]["discards"] = {counter: 5}
    counters.decide(Route(PLAN, *WEB, Packet()), report, SOUND, after)
    died = report["died"]
    assert (died["cause"], died["at"]["name"]) == (cause, at) and "gave up 5 packets" in died["because"]
    # What was given up before, or by the way, is no reason.
    report = verdict(copy.deepcopy(SOUND), measured=SILENT)
    before = copy.deepcopy(after)
    after[host]["spaces"][name]["discards"] = {counter: 7}
    counters.decide(Route(PLAN, *WEB, Packet()), report, before, after)
    assert report["died"]["cause"] == "unsent"


def test_a_ping_does_not_speak_against_a_doubt_that_is_tcps_alone():
    marked = {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 7}}
    of_port = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}
    seen = copy.deepcopy(SOUND)
    seen["kvm2"]["spaces"]["web2"]["firewall"] = rules("input", marked, of_port, DROP)
    report = verdict(seen, packet=Packet("tcp", 80), measured=ANSWERED)
    assert report["passed"] and report["remark"]["cause"] == "firewall"
    assert not verdict(seen, packet=Packet("tcp", 81), measured=ANSWERED)["remark"]
    seen["kvm2"]["spaces"]["web2"]["firewall"] = rules("input", marked, DROP)
    assert not verdict(seen, packet=Packet("tcp", 80), measured=ANSWERED)["remark"]


def test_a_sender_that_was_given_the_targets_address_answers_itself():
    seen = copy.deepcopy(SOUND)
    seen["kvm1"]["spaces"]["web1"]["links"]["eth0"]["addresses"] = ["10.1.1.66/24"]
    report = verdict(seen, measured=ANSWERED)
    assert not report["passed"] and report["died"]["cause"] == "address"
    seen["kvm1"]["spaces"]["web1"]["links"]["eth0"]["addresses"] = ["10.1.1.67/24"]
    assert verdict(seen, measured=ANSWERED)["passed"]


def test_protected_ports_are_told_with_what_mends_them():
    seen = copy.deepcopy(SOUND)
    step = " 0. priority 0\n    NORMAL\n     >>>> Flow is between protected ports, skipping output. <<<<"
    answer("kvm2", WEB, trace_text("br-int", step, "drop"))(seen)
    died = verdict(seen)["died"]
    assert died["cause"] == "split-horizon" and died["mend"] == "on kvm2: ovs-vsctl set port v-web2 protected=false", (
        died
    )


def test_a_flood_leaves_out_what_is_protected_from_where_it_comes_in():
    seen = copy.deepcopy(SOUND)
    step = " 0. priority 0\n    NORMAL\n     -> no learned MAC for destination, flooding"
    text = trace_text("br-int", step, "1")
    text = text.replace('bridge("br-int")', 'Flow: icmp,in_port=gre-kvm1,dl_vlan=10\n\nbridge("br-int")')
    answer("kvm2", WEB, text)(seen)
    assert verdict(seen)["died"]["cause"] == "port-config"
    for name in ("v-web2", "gre-kvm1"):
        port("kvm2", "br-int", name)(seen)["protected"] = True
    died = verdict(seen)["died"]
    assert (died["cause"], died["at"]["host"]) == ("split-horizon", "kvm2"), died
    assert died["mend"].count("protected=false") == 2, died

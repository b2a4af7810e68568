# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes that FRR has and the kernel does not, and lines of its configuration that stop a session or a prefix. Each test changes one thing."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._frr.info import gather
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils import test_trace, test_trace_edges

Item = t.Dict[str, t.Any]

WEB, ROUTED = test_trace.WEB, test_trace_edges.ROUTED
# The configurations of both ends of a session, as FRR shows them.
LINES = {
    host: f"""router bgp {asn}
 bgp router-id 192.168.200.{number}
 no bgp ebgp-requires-policy
 neighbor {peer} remote-as {other}
 neighbor {peer} description {name}
 !
 address-family ipv4 unicast
  {network}
  neighbor {peer} activate
 exit-address-family
exit
"""
    for host, number, asn, peer, other, name, network in (
        ("kvm3", 3, 64513, "10.99.3.2", 64510, "tor", "network 192.168.200.3/32"),
        ("tor", 9, 64510, "10.99.3.1", 64513, "kvm3", "maximum-paths 1"),
    )
}
PEER = {"kvm3": "10.99.3.2", "tor": "10.99.3.1"}


def zebra_route(**changed: t.Any) -> Item:
    """The route to the far tunnel endpoint, as frr_info tells it of the router."""
    hop = {"address": "10.254.0.18", "interface": "eth2", "active": True, "installed": True, "discard": False}
    route = {"vrf": "default", "prefix": "192.168.200.2/32", "protocol": "ospf", "selected": True, "nexthops": [hop]}
    hop.update({key: value for key, value in changed.items() if key in hop})
    return {**route, **{key: value for key, value in changed.items() if key not in hop}}


@pytest.mark.parametrize(
    "changed,config,says,mends",
    [
        ({}, "", "somebody has deleted it there", "ip route add 192.168.200.2/32 via 10.254.0.18 dev eth2 proto ospf"),
        (
            {"installed": False},
            "ip protocol ospf route-map byhand\n",
            "keeps it from the kernel: it has the line 'ip protocol ospf route-map byhand'",
            "-c 'no ip protocol ospf route-map byhand'",
        ),
        ({"installed": False, "active": False}, "", "its next hop 10.254.0.18 is not reachable", "show ip route"),
        ({"prefix": "192.168.200.1/32"}, "", "though links and neighbors are as planned", "show ip route"),
        ({"protocol": "connected"}, "", "though links and neighbors are as planned", "show ip route"),
    ],
)
def test_a_route_that_frr_has_and_the_kernel_has_not_is_told(changed: Item, config: str, says: str, mends: str) -> None:
    seen = copy.deepcopy(test_trace.SOUND)
    seen["r1"]["frr"].update(routes=[zebra_route(**changed)], running_config=config)
    assert test_trace.verdict(seen, WEB)["passed"], "with the kernel's route, what FRR has is no matter"
    test_trace.unrouted("r1", "192.168.200.2")(seen)
    died = test_trace.verdict(seen, WEB)["died"]
    assert (died["cause"], died["at"]["host"]) == ("no-route", "r1"), died
    assert says in died["because"] and mends in died["mend"], died


def sessions(state: str, received: int | None = None, **config: str) -> Item:
    """What is read where the router has lost its route to a host. config: lines of hosts that are not the planned ones."""
    seen = copy.deepcopy(test_trace_edges.SOUND)
    test_trace_edges.unrouted("tor", "192.168.200.3")(seen)
    told = {"state": state} if received is None else {"state": state, "prefixes_received": received}
    test_trace_edges.session("tor", "10.99.3.1", **told)(seen)
    for host, peer in (("tor", "kvm3"), ("kvm3", "tor")):
        seen[host]["frr"]["bgp_reasons"] = [test_trace_edges.reasons(host, PEER[host], peer)]
        seen[host]["frr"]["running_config"] = config.get(host, LINES[host])
    return seen


def with_line(host: str, line: str, family: bool = False, lines: str = "") -> str:
    """A configuration with one line more. lines: it; else the planned one."""
    before = f"  neighbor {PEER[host]} activate" if family else f" neighbor {PEER[host]} description"
    assert before in LINES[host]
    return (lines or LINES[host]).replace(before, f"{'  ' if family else ' '}{line}\n{before}")


@pytest.mark.parametrize("host", ["tor", "kvm3"])
@pytest.mark.parametrize(
    "line,family",
    [
        ("neighbor {} ttl-security hops 1", False),
        ("neighbor {} password 8", False),
        ("neighbor {} update-source lo", False),
        ("neighbor {} ebgp-multihop 2", False),
        ("neighbor {} local-as 65099", False),
        ("neighbor {} passive", False),
        ("neighbor {} strict-capability-match", False),
        ("bgp shutdown", False),
        ("neighbor {} maximum-prefix 1", True),
    ],
)
def test_a_line_that_stops_a_session_is_told_with_its_end(host: str, line: str, family: bool) -> None:
    line = line.format(PEER[host])
    died = test_trace_edges.verdict(sessions("Active", **{host: with_line(host, line, family)}), ROUTED)["died"]
    assert (died["cause"], died["at"]["host"]) == ("session", host), died
    assert f"{host} has the line '{line}'" in died["because"] and "-c 'no " in died["mend"], died
    assert ("address-family ipv4 unicast" in died["mend"]) is family


@pytest.mark.parametrize(
    "line,family",
    [
        ("neighbor {} timers 1 3", False),
        ("neighbor {} bfd", False),
        ("neighbor {} send-community large", True),
        ("neighbor {} route-map byhand in", True),
    ],
)
def test_a_line_that_stops_no_session_is_not_told(line: str, family: bool) -> None:
    seen = sessions("Active", tor=with_line("tor", line.format(PEER["tor"]), family))
    died = test_trace_edges.verdict(seen, ROUTED)["died"]
    assert died["cause"] == "session" and "both ends are as planned" in died["because"], died


def test_a_line_that_the_plan_has_and_one_that_it_lacks() -> None:
    plan, bgp = copy.deepcopy(test_trace_edges.PLAN), "neighbor 10.99.3.1 ebgp-multihop"
    (row,) = [
        one for one in plan["routers"]["tor"]["bgp"]["instances"][0]["neighbors"] if one["neighbor"] == PEER["tor"]
    ]
    row["ebgp_multihop"] = 2
    # As the plan has it.
    row["password"] = "<tor: fabric_bgp.neighbors[kvm3].password>"
    secret = "neighbor 10.99.3.1 password ********"
    with_secret = LINES["tor"].replace(" neighbor 10.99.3.1 description", f" {secret}\n neighbor 10.99.3.1 description")
    for config, says, mends in (
        (with_line("tor", f"{bgp} 2", lines=with_secret), "both ends are as planned", "show bgp neighbors"),
        (with_line("tor", f"{bgp} 3", lines=with_secret), f"has the line '{bgp} 3'", f"-c '{bgp} 2'"),
        (with_secret, f"tor has no line '{bgp} 2'", f"-c '{bgp} 2'"),
        (with_line("tor", f"{bgp} 2"), f"tor has no line '{secret}'", "ansible-playbook site.yml"),
    ):
        way = Route(plan, *ROUTED, test_trace_edges.PING)
        died = test_trace_edges.walk.judge(way, sessions("Active", tor=config), None)["died"]
        assert died["cause"] == "session" and says in died["because"] and mends in died["mend"], died
        assert "fabric_bgp" not in str(died)


def test_what_one_end_told_the_other_is_in_the_sentence() -> None:
    seen = sessions("Active")
    seen["kvm3"]["frr"]["bgp_reasons"][0]["notification"] = "Cease/Maximum Number of Prefixes Reached"
    died = test_trace_edges.verdict(seen, ROUTED)["died"]
    assert "as kvm3 last said or was told: Cease/Maximum Number of Prefixes Reached" in died["because"], died
    assert "last said" not in test_trace_edges.verdict(sessions("Active"), ROUTED)["died"]["because"]


@pytest.mark.parametrize(
    "host,line,says",
    [
        (
            "tor",
            "neighbor 10.99.3.1 prefix-list byhand in",
            "tor filters what it takes from kvm3 by prefix-list byhand",
        ),
        ("tor", "neighbor 10.99.3.1 distribute-list 7 in", "tor filters what it takes from kvm3 by distribute-list 7"),
        ("kvm3", "neighbor 10.99.3.2 route-map byhand out", "kvm3 filters what it sends to tor by route-map byhand"),
        (
            "kvm3",
            "neighbor 10.99.3.2 filter-list byhand out",
            "kvm3 filters what it sends to tor by filter-list byhand",
        ),
    ],
)
def test_a_filter_is_told_with_its_end_and_direction(host: str, line: str, says: str) -> None:
    died = test_trace_edges.verdict(sessions("Established", 0, **{host: with_line(host, line, True)}), ROUTED)["died"]
    assert (died["cause"], died["at"]["host"]) == ("session", host) and says in died["because"], died
    assert f"-c 'address-family ipv4 unicast' -c 'no {line}'" in died["mend"]


def test_a_filter_of_the_other_direction_and_one_of_the_plan_are_not_told() -> None:
    line = "neighbor 10.99.3.1 prefix-list known out"
    died = test_trace_edges.verdict(sessions("Established", 0, tor=with_line("tor", line, True)), ROUTED)["died"]
    assert died["cause"] == "session" and "one of the two filters it" in died["because"], died
    plan = copy.deepcopy(test_trace_edges.PLAN)
    (row,) = [
        one for one in plan["routers"]["tor"]["bgp"]["instances"][0]["neighbors"] if one["neighbor"] == PEER["tor"]
    ]
    row["address_families"][0]["prefix_list_in"] = "known"
    seen = sessions("Established", 0, tor=with_line("tor", line.replace("out", "in"), True))
    died = test_trace_edges.walk.judge(Route(plan, *ROUTED, test_trace_edges.PING), seen, None)["died"]
    assert "one of the two filters it" in died["because"], died


def test_a_network_that_its_owner_does_not_announce_is_told_there() -> None:
    quiet = LINES["kvm3"].replace("network 192.168.200.3/32", "maximum-paths 1")
    for received in (0, None):
        died = test_trace_edges.verdict(sessions("Established", received, kvm3=quiet), ROUTED)["died"]
        assert died["at"]["host"] == "kvm3" and died["cause"] in ("session", "unannounced"), died
        assert "no line 'network 192.168.200.3/32'" in died["because"]
        assert died["mend"].startswith("on kvm3: ") and "-c 'network 192.168.200.3/32'" in died["mend"]


def test_a_route_to_everything_does_not_hide_what_the_planned_one_is_missing_for() -> None:
    """Hosts have a default route of their own, which then takes the packet."""
    seen = copy.deepcopy(test_trace.SOUND)
    away = test_trace.routed("r1", "default", hops=[{"via": "198.51.100.1", "dev": "eth9"}])
    for change in (away, test_trace.put(lambda read: read["r1"]["spaces"][""]["links"], eth9=test_trace.NIC)):
        change(seen)
    assert test_trace.verdict(seen, WEB)["passed"]
    test_trace.unrouted("r1", "192.168.200.2")(seen)
    died = test_trace.verdict(seen, WEB)["died"]
    assert died["cause"] == "wrong-route" and "198.51.100.1" in died["because"], died
    seen["r1"]["frr"]["ospf_neighbors"] = []
    assert test_trace.verdict(seen, WEB)["died"]["cause"] == "adjacency"


def test_the_configuration_is_read_in_words_and_without_its_secrets() -> None:
    said = "frr version 8.4.4\nrouter bgp 1\n neighbor 192.0.2.1 password hunter2\nexit\n!\nend"
    daemons = "zebra bgpd"

    class Runner:
        def run(self, argv: t.Sequence[str]) -> t.Tuple[int, str, str]:
            if len(argv) == 3:
                return 0, f" {daemons}\n", ""
            assert argv[2] == "show running-config no-header"
            return 0, f"{said}\n {daemons}\n", ""

    _daemons, found = gather(t.cast(t.Any, Runner()), ["running_config"])
    assert "hunter2" not in found["running_config"] and "neighbor 192.0.2.1 password" in found["running_config"]


@pytest.mark.parametrize(
    "line,mend", [("ip route 192.168.200.2/32 blackhole", "vtysh"), ("ip route 10.0.0.0/8 Null0", "ip route del")]
)
def test_a_route_that_refuses_is_taken_away_where_it_is_written(line: str, mend: str) -> None:
    seen = copy.deepcopy(test_trace.SOUND)
    test_trace.routed("r1", "192.168.200.2", type="blackhole")(seen)
    seen["r1"]["frr"]["running_config"] = f"{line}\n"
    died = test_trace.verdict(seen, WEB)["died"]
    assert died["cause"] == "route-refuses" and died["mend"].startswith(f"on r1: {mend}"), died
    assert (f"-c 'no {line}'" in died["mend"]) is (mend == "vtysh")

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traces from segment to segment: by an edge with its policy and NAT, over tunnels that RSTP guards, on an underlay that BGP routes."""

from __future__ import annotations

import os
import typing as t

import pytest
from harness import wait
from test_site import Fabric
from test_trace import Break, by_hand, nft
from tracer import Packet, Tracer
from verifier import plan_of

LAB = "edges"
HOSTS = (1, 2, 3)
WEB, ROUTED, OUT = ("kvm1/web1", "kvm2/web2"), ("kvm1/web1", "kvm3/db3"), ("kvm2/web2", "kvm3/world")
DENIED, BEYOND = ("kvm2/web2", "kvm2/db2"), ("kvm1/web1", "198.51.100.7")
FORWARDED, APP = ("kvm3/world", "10.9.0.1"), ("kvm1/web1", "kvm3/app3")
LEASED, SNAT = ("kvm1/web1", "kvm2/ask2"), ("kvm3/db3", "kvm3/world")
# Behind an edge on two hosts.
PAIR = ("kvm1/lan1", "kvm3/dmz3")
SOUND = (WEB, ROUTED, OUT, LEASED, APP, SNAT, PAIR, ("kvm1/web1", "2001:db8:0:2::1:3"))
HTTP, SQL = Packet("tcp", 80), Packet("tcp", 5432)
TABLE = "systemctl restart overloom-nft-edge-inet-edge"
VTYSH = "vtysh -c 'configure terminal' "
FAMILY = "-c 'router bgp 64510' -c 'address-family ipv4 unicast' "
IN_EDGE = "ip netns exec edge "


def flushed(chain: str) -> str:
    return f"{IN_EDGE}nft flush chain inet edge {chain}"


def edge(do: str, undo: str, cause: str, says: str = "", name: str = "kvm1/edge", **more: t.Any) -> Break:
    """A break in the edge's namespace."""
    return Break(LAB, "kvm1", do, undo, cause, ("kvm1", name), says, **{"ends": ROUTED, **more})


def bgp(host: str, do: str, undo: str, says: str, family: str = "") -> Break:
    """A break of the session between the router and the third host, in the configuration of one end. {}: its neighbor."""
    asn, peer = {"tor": (64510, "10.99.3.1"), "kvm3": (64513, "10.99.3.2")}[host]
    blocks = f"-c 'router bgp {asn}' " + (f"-c '{family}' " if family else "")
    # What FRR takes up when a session begins anew.
    done, undone = (
        f"{VTYSH}-c 'ip prefix-list byhand deny any' {blocks}-c '{line.format('neighbor ' + peer)}'; vtysh -c 'clear bgp {peer}'"
        for line in (do, undo)
    )
    gone = f"{VTYSH}-c 'no ip prefix-list byhand'"
    return Break(LAB, host, done, f"{undone}; {gone}", "session", (host, host), says, ROUTED)


KEEPALIVED = "overloom-keepalived-pair.service"
DEAF = nft("input", "ip protocol vrrp counter drop", namespace="pair")


def pair(host: str, do: str, undo: str, cause: str, says: str) -> Break:
    """A break of the edge on two hosts, which carries packets on, so that a trace remarks it."""
    return Break(LAB, host, do, undo, cause, ("kvm2|kvm3", "kvm2/pair|kvm3/pair"), says, PAIR)


# What a trace remarks of packets that arrive.
REMARKED = {
    "the VRRP routers of an edge do not hear each other": pair(
        "kvm2|kvm3",
        DEAF,
        "ip netns exec pair nft delete table inet byhand",
        "duplicate-address",
        "is active on kvm2 and kvm3 at once, so that each answers for its addresses: kvm2/pair drops it by nftables",
    ),
    "the VRRP router of one host stopped": pair(
        "kvm3",
        f"systemctl stop {KEEPALIVED}",
        f"systemctl start {KEEPALIVED}",
        "service-down",
        f"{KEEPALIVED} of kvm3/pair is inactive",
    ),
    "the VRRP router of the other host stopped": pair(
        "kvm2",
        f"systemctl stop {KEEPALIVED}",
        f"systemctl start {KEEPALIVED}",
        "service-down",
        f"{KEEPALIVED} of kvm2/pair is inactive",
    ),
    "a virtual address by hand": pair(
        "kvm2|kvm3",
        "ip -n pair address show dev lan | grep -q '10.4.1.1/' || ip -n pair address add 10.4.1.1/32 dev lan",
        "systemctl restart " + KEEPALIVED,
        "duplicate-address",
        "its keepalived has not put it there",
    ),
}

BREAKS = {
    # The way to the edge.
    "default route gone": Break(
        LAB,
        "kvm1",
        "ip -n web1 route del default",
        "ip -n web1 route add default via 10.1.1.1",
        "no-route",
        ("kvm1", "kvm1/web1"),
        ends=ROUTED,
    ),
    "default route by another": Break(
        LAB,
        "kvm1",
        "ip -n web1 route replace default via 10.1.1.66",
        "ip -n web1 route replace default via 10.1.1.1",
        "wrong-route",
        ("kvm1", "kvm1/web1"),
        "via 10.1.1.66",
        ends=ROUTED,
    ),
    "default route gone at the target": Break(
        LAB,
        "kvm3",
        "ip -n db3 route del default",
        "ip -n db3 route add default via 10.1.2.1",
        "no-route",
        ("kvm3", "kvm3/db3"),
        ends=ROUTED,
        direction="back",
    ),
    "gateway's MAC address fixed": Break(
        LAB,
        "kvm1",
        "ip -n web1 neighbor replace 10.1.1.1 lladdr 02:00:00:00:00:99 dev eth0",
        "ip -n web1 neighbor del 10.1.1.1 dev eth0",
        "neighbor",
        ("kvm1", "kvm1/web1"),
        "permanent",
        ends=ROUTED,
    ),
    "tag of an edge's port": edge(
        "ovs-vsctl set port v-edge-db tag=77", "ovs-vsctl set port v-edge-db tag=20", "tag", "tag 77", "v-edge-db"
    ),
    # The edge.
    "an edge's interface down": edge(
        "ip -n edge link set db down", "ip -n edge link set db up", "interface-down", "db of kvm1/edge-db"
    ),
    "an edge's address": edge(
        "ip -n edge address del 10.1.2.1/24 dev db",
        "ip -n edge address add 10.1.2.1/24 dev db",
        "address",
        "no address",
    ),
    "an edge that does not forward": edge(
        f"{IN_EDGE}sysctl -qw net.ipv4.ip_forward=0",
        f"{IN_EDGE}sysctl -qw net.ipv4.ip_forward=1",
        "forwarding",
        "ip_forward is 0",
    ),
    "an edge's route": edge(
        "ip -n edge route add blackhole 10.1.2.67",
        "ip -n edge route del blackhole 10.1.2.67",
        "route-refuses",
        "blackhole",
    ),
    "an edge's neighbor": edge(
        "ip -n edge neighbor replace 10.1.2.67 lladdr 02:00:00:00:00:99 dev db",
        "ip -n edge neighbor del 10.1.2.67 dev db",
        "neighbor",
        "permanent",
    ),
    "strict reverse path filter of an edge": edge(
        f"{IN_EDGE}sysctl -qw net.ipv4.conf.web.rp_filter=1; ip -n edge route add 10.1.1.65 dev db",
        f"{IN_EDGE}sysctl -qw net.ipv4.conf.web.rp_filter=0; ip -n edge route del 10.1.1.65 dev db",
        "rp-filter",
        "leads by db",
    ),
    "a rule of others in an edge": edge(
        nft("forward", "ip protocol icmp counter drop", namespace="edge"),
        f"{IN_EDGE}nft delete table inet byhand",
        "firewall",
        "inet byhand forward",
    ),
    "a rule by hand in the edge's table": edge(
        f"{IN_EDGE}nft insert rule inet edge forward icmp type echo-request counter drop",
        TABLE,
        "firewall",
        "icmp type echo-request",
    ),
    "a rule of the policy gone": edge(flushed("forward"), TABLE, "firewall", "policy drop"),
    "table of an edge gone": edge(
        f"{IN_EDGE}nft delete table inet edge", TABLE, "nat", "does not translate the source", ends=OUT
    ),
    "source NAT gone": edge(flushed("postrouting"), TABLE, "nat", "does not translate the source", ends=OUT),
    "a forwarded port gone": edge(
        flushed("prerouting"), TABLE, "nat", "does not translate the target", ends=FORWARDED, packet=HTTP
    ),
    "way out of an edge": edge(
        "ip -n edge route del default",
        "ip -n edge route add default via 10.9.0.2",
        "no-route",
        "198.51.100.7",
        ends=BEYOND,
    ),
    # As the intent has it.
    "a rule that denies": Break(
        LAB, "kvm1", "true", "true", "policy", ("kvm1", "kvm1/edge"), "fabric_policy[no-db2]", DENIED
    ),
    "no rule that allows": Break(
        LAB, "kvm1", "true", "true", "policy", ("kvm1", "kvm1/edge"), "no rule of fabric_policy", ROUTED, HTTP
    ),
    # Behind the edge.
    "nothing listens behind a forwarded port": Break(
        LAB, "kvm2", "true", "true", "no-listener", ("kvm2", "kvm2/web2"), "TCP port 8080", FORWARDED, HTTP
    ),
    "a container that is stopped": Break(
        LAB,
        "kvm3",
        "systemctl stop overloom-container-app3",
        "systemctl start overloom-container-app3",
        "service-down",
        ("kvm3", "kvm3/app3"),
        "overloom-container-app3",
        APP,
        SQL,
    ),
    "a lease that is gone": Break(
        LAB,
        "kvm2",
        "systemctl stop overloom-udhcpc-ask2; ip -n ask2 -4 address flush dev eth0",
        "systemctl start overloom-udhcpc-ask2",
        "service-down|lease",
        ("kvm2", "kvm2/ask2"),
        "udhcpc",
        LEASED,
    ),
    "a router outside that does not lead on": Break(
        LAB, "kvm3", "true", "true", "no-route", ("kvm3", "kvm3/world"), "198.51.100.7", BEYOND
    ),
    # The underlay.
    "a session shut down": Break(
        LAB,
        "tor",
        VTYSH + "-c 'router bgp 64510' -c 'neighbor 10.99.3.1 shutdown'",
        VTYSH + "-c 'router bgp 64510' -c 'no neighbor 10.99.3.1 shutdown'",
        "session",
        ("tor|kvm3|kvm1", "tor|kvm3|kvm1"),
        "BGP session",
        ROUTED,
    ),
    "a prefix filtered": Break(
        LAB,
        "tor",
        VTYSH + "-c 'ip prefix-list byhand deny any' " + FAMILY + "-c 'neighbor 10.99.3.1 prefix-list byhand in'",
        VTYSH
        + FAMILY
        + "-c 'no neighbor 10.99.3.1 prefix-list byhand in' -c exit -c exit -c 'no ip prefix-list byhand'",
        "session",
        ("tor", "tor"),
        "tor filters what it takes from kvm3 by prefix-list byhand",
        ROUTED,
    ),
    "FRR gone on a host": Break(
        LAB,
        "kvm3",
        "systemctl stop frr",
        "systemctl start frr",
        "frr-down|session",
        ("kvm3|tor", "kvm3|tor"),
        "",
        ROUTED,
    ),
}

# A long run takes these, too.
MORE = {
    "prefix length of an edge's address": edge(
        "ip -n edge address del 10.1.2.1/24 dev db; ip -n edge address add 10.1.2.1/32 dev db",
        "ip -n edge address del 10.1.2.1/32 dev db; ip -n edge address add 10.1.2.1/24 dev db",
        "address",
        "10.1.2.1/32, another prefix length",
    ),
    "a neighbor of another AS": bgp("tor", "{} remote-as 65099", "{} remote-as 64513", "takes kvm3 to be AS 65099"),
    "a password at one end": bgp(
        "tor", "{} password byhand", "no {} password", "has the line 'neighbor 10.99.3.1 password"
    ),
    "a filter of what is sent": bgp(
        "kvm3",
        "{} prefix-list byhand out",
        "no {} prefix-list byhand out",
        "kvm3 filters what it sends to tor by prefix-list byhand",
        "address-family ipv4 unicast",
    ),
    "a network that is not announced": bgp(
        "kvm3",
        "no network 192.168.200.3/32",
        "network 192.168.200.3/32",
        "no line 'network 192.168.200.3/32'",
        "address-family ipv4 unicast",
    ),
}


def fabric_of(folder: t.Any, name: str) -> Fabric:
    """Three hosts and a router; tunnels in a triangle; an edge between three segments, on the first host."""
    fabric = Fabric(folder, name)
    fabric.intent.update(
        fabric_links=[
            {"ends": [f"kvm{number}:eth1", f"tor:eth{number}"], "ospf": False, "subnet": f"10.99.{number}.0/30"}
            for number in HOSTS
        ],
        fabric_overlays=[{"encapsulation": "vxlan", "loop_guard": "rstp"}],
        fabric_segments=[
            {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:0:1::/64", "dhcp": {}},
            {"name": "db", "vlan": 20, "subnet": "10.1.2.0/24", "subnet6": "2001:db8:0:2::/64"},
            {"name": "outside", "vlan": 30, "subnet": "10.9.0.0/24"},
            {"name": "lan", "vlan": 40, "subnet": "10.4.1.0/24"},
            {"name": "dmz", "vlan": 50, "subnet": "10.4.2.0/24"},
        ],
        fabric_edges=[_edge(), _pair()],
        fabric_policy=[
            {"name": "no-db2", "action": "deny", "from": ["kvm2/web2"], "to": ["kvm2/db2"]},
            {"name": "sql", "from": ["web"], "to": ["db"], "protocol": "tcp", "ports": ["5432"]},
            {"name": "pings", "from": ["web", "db"], "to": ["web", "db"], "protocol": "icmp"},
            {"name": "out", "from": ["web", "db"], "to": ["outside", "198.51.100.0/24"]},
            {"name": "lan", "from": ["lan"], "to": ["dmz"]},
        ],
    )
    sessions = [{"name": f"kvm{number}"} for number in HOSTS]
    fabric.routers = {"tor": {"fabric_host_id": 9, "fabric_bgp": {"asn": "64510", "neighbors": sessions}}}
    fabric.hosts = {
        f"kvm{number}": {
            "fabric_bgp": {
                "asn": f"6451{number}",
                "networks": [f"192.168.200.{number}/32"],
                "neighbors": [{"name": "tor"}],
            },
            "fabric_endpoints": [{"name": f"db{number}", "segment": "db"}],
        }
        for number in HOSTS
    }
    points = {
        "kvm1": [{"name": "web1", "segment": "web"}, {"name": "lan1", "segment": "lan"}],
        "kvm2": [{"name": "web2", "segment": "web"}, {"name": "ask2", "segment": "web", "address": "dhcp"}],
        "kvm3": [
            {"name": "app3", "segment": "db", "kind": "container", "container": {"image": "lab"}},
            {"name": "dmz3", "segment": "dmz"},
            {"name": "world", "segment": "outside", "address": "10.9.0.2", "sysctls": {"net.ipv4.ip_forward": "1"}},
        ],
    }
    for host, more in points.items():
        fabric.hosts[host]["fabric_endpoints"] += more
    fabric.write()
    return fabric


def _edge() -> dict[str, t.Any]:
    return {
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


def _pair() -> dict[str, t.Any]:
    legs = [{"segment": "lan", "address": "10.4.1.1"}, {"segment": "dmz", "address": "10.4.2.1"}]
    return {"name": "pair", "hosts": ["kvm2", "kvm3"], "legs": legs}


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    made = fabric_of(tmp_path_factory.mktemp("edges"), f"trace-{os.getpid()}-e")
    try:
        made.play("playbooks/lab.yml")
        made.play("site.yml")
        yield made
    finally:
        made.play("playbooks/lab_down.yml")


@pytest.fixture(scope="module")
def tracer(fabric):
    made = Tracer(plan_of(fabric.folder), fabric.lab)
    # Sessions, the spanning tree and what switches have learned settle after a boot.
    made.converge(*SOUND)
    return made


# `make test` says that it takes every fourth.
CHOSEN = [*BREAKS, *MORE] if os.environ.get("OVERLOOM_LONG") else list(BREAKS)[::4]
INTENDED = ("a rule that denies", "no rule that allows")


@pytest.mark.parametrize("name", CHOSEN)
def test_a_trace_names_the_hop_and_the_cause(fabric, tracer, name):
    broken = {**BREAKS, **MORE}[name]
    try:
        by_hand(fabric, tracer, broken.host, broken.do)
        for _attempt in range(20 if broken.cause.startswith(("session", "frr-down")) else 1):
            # BGP takes its time to notice, and takes the routes of the one direction away before those of the other.
            report = tracer.run(*broken.ends, broken.packet)
            found = report["died"] or {"cause": "", "direction": "", "because": ""}
            known = found["cause"] in broken.cause.split("|") and broken.says in found["because"]
            if known and found["direction"] == broken.direction:
                break
    finally:
        by_hand(fabric, tracer, broken.host, broken.undo)
    shown, died = "\n".join(report["lines"]), report["died"]
    assert died and died["cause"] in broken.cause.split("|"), shown
    hosts, names = (part.split("|") for part in broken.at)
    assert died["at"]["host"] in hosts and died["at"]["name"] in names, shown
    assert broken.says in died["because"] and died["direction"] == broken.direction, shown
    if broken.do != "true":
        after = tracer.passes(*broken.ends, 90, measure=broken.packet.protocol == "icmp" and broken.ends != BEYOND)
        assert after["passed"] or broken.packet.protocol != "icmp" or broken.ends == BEYOND, "\n".join(after["lines"])


@pytest.mark.parametrize("name", REMARKED)
def test_what_an_edge_on_two_hosts_lacks_is_remarked_while_packets_arrive(fabric, tracer, name):
    broken = REMARKED[name]
    tracer.converge(broken.ends)

    def told() -> dict[str, t.Any] | None:
        found = tracer.run(*broken.ends)
        remark = found["remark"]
        known = found["passed"] and remark and remark["cause"] == broken.cause and broken.says in remark["because"]
        return {**remark, "at": found["there"]["hops"][remark["hop"]]} if known else None

    def shown() -> str:
        return "\n".join(tracer.run(*broken.ends)["lines"])

    try:
        for host in broken.host.split("|"):
            by_hand(fabric, tracer, host, broken.do)
        # Who is active changes within three adverts.
        remark = wait(told, f"a remark of {broken.says!r}", 30, shown)
    finally:
        for host in broken.host.split("|"):
            by_hand(fabric, tracer, host, broken.undo)
    assert remark["at"]["kind"] == "edge" and remark["at"]["name"] in broken.at[1].split("|"), remark
    tracer.converge(broken.ends)


def test_an_edge_that_is_active_nowhere_ends_the_way_at_a_stopped_router(fabric, tracer):
    """Who remembers the host that was active sends there as long as it remembers."""
    tracer.converge(PAIR)
    for host in ("kvm2", "kvm3"):
        fabric.on(host, "systemctl", "stop", KEEPALIVED)
    try:
        fabric.on("kvm1", "ip", "-n", "lan1", "neighbor", "flush", "dev", "eth0")
        fabric.on("kvm3", "ip", "-n", "dmz3", "neighbor", "flush", "dev", "eth0")
        report = tracer.run(*PAIR)
    finally:
        for host in ("kvm2", "kvm3"):
            fabric.on(host, "systemctl", "start", KEEPALIVED)
    died = report["died"]
    assert died and died["cause"] == "service-down" and died["at"]["kind"] == "edge", "\n".join(report["lines"])
    tracer.converge(PAIR)


@pytest.mark.parametrize("ends", SOUND)
def test_a_sound_fabric_gives_no_alarm(tracer, ends):
    report = tracer.passes(*ends, 30, measure=True)
    shown = "\n".join(report["lines"])
    assert report["passed"] and not report["remark"], shown
    assert report["measured"]["received"] == report["measured"]["sent"] > 0, shown


def test_nat_is_shown_on_the_way_and_back(tracer):
    report = tracer.passes(*OUT, 30, measure=True)
    notes = {way: [note for hop in report[way]["hops"] for note in hop["notes"]] for way in ("there", "back")}
    assert "source 10.1.1.66 becomes 10.9.0.1" in notes["there"]
    assert "target 10.9.0.1 becomes 10.1.1.66" in notes["back"]
    fixed = tracer.run(*SNAT, measure=False)
    assert any("source 10.1.2.67 becomes 10.9.0.8" in hop["notes"] for hop in fixed["there"]["hops"])


def crossed(report: dict[str, t.Any]) -> list[str]:
    """The hosts whose switches a packet passes on its way there."""
    return [hop["host"] for hop in report["there"]["hops"] if hop["kind"] == "switch"]


def test_a_blocked_tunnel_is_no_fault_and_the_way_round_is_walked(fabric, tracer):
    """Of a triangle one side is blocked. Who takes another one away sees the packet go the other way."""
    pairs = (("kvm1/db1", "kvm2/db2"), ("kvm1/db1", "kvm3/db3"), ("kvm2/db2", "kvm3/db3"))

    def one_is_blocked() -> list[int] | None:
        # The spanning tree may still move after all is answered.
        tracer.converge(*pairs)
        ways = [len(crossed(tracer.run(*ends))) for ends in pairs]
        return ways if sorted(ways) == [2, 2, 3] else None

    direct = pairs[wait(one_is_blocked, "a tree in which one of three tunnels is blocked", 90).index(2)]
    host, far = (end.partition("/")[0] for end in direct)
    name = f"vxlan-{far}"
    fabric.on(host, "ovs-vsctl", "set", "port", name, "other_config:rstp-path-cost=200000")
    fabric.on(far, "ovs-vsctl", "set", "port", f"vxlan-{host}", "other_config:rstp-path-cost=200000")

    def goes_round() -> bool:
        report = tracer.run(*direct)
        return bool(report["passed"]) and len(crossed(report)) == 3

    try:
        tracer.passes(*direct, 30, measure=True)
        wait(goes_round, "the way round", 90, lambda: "\n".join(tracer.run(*direct)["lines"]))
    finally:
        for one, other in ((host, far), (far, host)):
            fabric.on(one, "ovs-vsctl", "remove", "port", f"vxlan-{other}", "other_config", "rstp-path-cost")

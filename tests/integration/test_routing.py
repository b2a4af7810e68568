# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What routers do over VLANs and tunnels: OSPF's claims one by one, each beside another that holds at the same time."""

from __future__ import annotations

import json
import time
import typing as t

import pytest
from harness import Host, wait
from netns import inside
from routers import by_hand, full, settle

pytestmark = pytest.mark.usefixtures("frr_stopped_afterwards")

Item = t.Dict[str, t.Any]


def vlan(number: int, tag: int, mtu: int = 1500, **more: t.Any) -> Item:
    """A router's interface on a VLAN of the cable: a port of Open vSwitch, as this kernel may have no VLANs of its own."""
    return {
        "name": f"v{tag}",
        "type": "internal",
        "tag": tag,
        "mtu": mtu,
        "addresses": [f"10.0.{tag}.{number}/24"],
        "up": True,
        **more,
    }


def trunk(host: Host, *ports: Item) -> None:
    """The cable as a trunk, with interfaces on its VLANs."""
    host.module(
        "ovs_bridge", {"name": "br-trunk", "datapath_type": "netdev", "ports": [{"name": "eth1", "up": True}, *ports]}
    )


def speak(tag: int, **more: t.Any) -> Item:
    """OSPF on a VLAN."""
    return {
        "name": f"v{tag}",
        "area": "0",
        "network_type": "point-to-point",
        "hello_interval": 1,
        "dead_interval": 30,
        **more,
    }


# In a broadcast network a router listens for a dead interval before it is the designated one.
LAN: Item = speak(20, network_type="broadcast", cost=100, dead_interval=8, retransmit_interval=6)


def states(host: Host) -> dict[str, str]:
    """The state of the neighbor on each interface."""
    return {one["interface"]: one["state"] for one in host.module("frr_info", {"gather": ["ospf"]})["ospf_neighbors"]}


def history(host: Host) -> dict[str, tuple[int, int]]:
    """Of the neighbor on each interface, how often its state has changed, and the seconds since it last did."""
    return {
        one["interface"]: (one["state_changes"], one["uptime_seconds"])
        for one in host.module("frr_info", {"gather": ["ospf"]})["ospf_neighbors"]
    }


def known(host: Host) -> Item:
    """What OSPF has calculated: by prefix the type, the area and the cost."""
    return json.loads(host.run(["vtysh", "-c", "show ip ospf route json"]))


def costs(host: Host) -> dict[str, int]:
    """The costs of the networks behind the other router, by a part of their addresses; none until all are known."""
    found = known(host)
    if not {"10.0.98.0/24", "10.0.99.0/24", "10.0.50.0/24"} <= set(found):
        return {}
    return {net: found[f"10.0.{net}.0/24"]["cost"] for net in ("99", "98")}


def interfaces(host: Host) -> Item:
    """What OSPF knows of its interfaces."""
    return json.loads(host.run(["vtysh", "-c", "show ip ospf interface json"]))["interfaces"]


@pytest.fixture
def routers(pair: tuple[Host, Host]) -> t.Iterator[tuple[Host, Host]]:
    """Two hosts with FRR."""
    for host in pair:
        settle(host)
    yield pair


def test_ospf_on_the_vlans_of_a_trunk(routers: tuple[Host, Host]) -> None:
    """Five VLANs between two routers, each with a claim of its own; all adjacencies are there together."""
    first, second = routers
    mtus = {10: 1400, 20: 1280, 30: 1320, 40: 1400, 50: 1500}
    for number, host in enumerate(routers, 1):
        # VLAN 40 has another MTU at the other end.
        ports = [vlan(number, tag, 1300 if tag == 40 and number == 2 else mtu) for tag, mtu in mtus.items()]
        trunk(host, *ports, *([vlan(2, 98), vlan(2, 99)] if number == 2 else []))
    cheap = {"name": "v10", "area": "0", "network_type": "point-to-point", "hello_multiplier": 4, "cost": 20}
    links = [LAN, speak(30, area="1", cost=100), speak(40, cost=100)]
    first.apply("frr_ospf", {"router_id": "1.1.1.1", "interfaces": [cheap, *links, speak(50, cost=100, passive=True)]})
    behind = [
        {"name": "v98", "area": "2", "passive": True, "cost": 3},
        {"name": "v99", "area": "0", "passive": True, "cost": 7},
    ]
    second.apply(
        "frr_ospf",
        {
            "router_id": "2.2.2.2",
            "interfaces": [cheap, {**links[0], "priority": 0}, *links[1:], speak(50, cost=100), *behind],
        },
    )

    wait(lambda: all(full(first, f"v{tag}") for tag in (10, 20, 30)), "adjacencies over the MTUs 1400, 1280 and 1320")
    # The costs of the link and of the network behind it; before all adjacencies are there, a dearer way may be the only one.
    found = wait(lambda: costs(first) == {"99": 27, "98": 23} and known(first), "the networks behind the other")
    assert found["10.0.99.0/24"]["nexthops"][0]["ip"] == "10.0.10.2"
    # A network in another area, told by the router that is in both.
    assert (found["10.0.99.0/24"]["routeType"], found["10.0.98.0/24"]["routeType"]) == ("N", "N IA")
    assert found["10.0.98.0/24"]["area"] == found["10.0.99.0/24"]["area"] == "0.0.0.0"
    # Network types and timers, as FRR has them.
    seen = interfaces(first)
    assert (seen["v10"]["networkType"], seen["v20"]["networkType"], seen["v20"]["state"]) == (
        "POINTOPOINT",
        "BROADCAST",
        "DR",
    )
    assert (seen["v10"]["timerMsecs"], seen["v10"]["timerDeadSecs"]) == (250, 1)
    assert (seen["v20"]["timerMsecs"], seen["v20"]["timerDeadSecs"]) == (1000, 8)
    assert seen["v30"]["area"] == "0.0.0.1"
    # Nobody on a passive interface, though its network is known; and no adjacency where the MTUs differ.
    wait(lambda: all("v40" in states(host) for host in routers), "a hello where the MTUs differ")
    for host in routers:
        now = states(host)
        assert "v50" not in now and now["v40"] != "Full"
    for host in routers:
        host.apply("frr_ospf", {"interfaces": [{"name": "v40", "mtu_ignore": True}]})
    wait(lambda: full(first, "v40"), "the adjacency that ignores the MTU")

    # Changed by hand, a cost and a timer are repaired, and the other adjacencies do not notice.
    before = history(first)
    by_hand(first, "interface v10", "ip ospf cost 77", "exit", "interface v20", "ip ospf retransmit-interval 9")
    done = first.apply("frr_ospf", {"interfaces": [cheap, *links]})
    sent = done["commands"][0].splitlines()[1:-2]
    assert sent == [
        "interface v10",
        " ip ospf cost 20",
        "exit",
        "interface v20",
        " ip ospf retransmit-interval 6",
        "exit",
    ]
    wait(lambda: costs(first).get("99") == 27, "the cost as it was")
    time.sleep(5)
    after = history(first)
    # That of v10 ends after a second without a packet, which a busy machine may bring about by itself.
    for tag in (20, 30, 40):
        assert after[f"v{tag}"][0] == before[f"v{tag}"][0] and after[f"v{tag}"][1] >= before[f"v{tag}"][1] + 5


def test_ospf_across_vxlan_in_a_tenant(routers: tuple[Host, Host]) -> None:
    """Two routers in a network by tunnel key are neighbors; in one whose keys differ at the ends they are not."""
    for number, host in enumerate(routers, 1):
        trunk(host, {"name": "tep0", "type": "internal", "addresses": [f"192.0.2.{number}/24"], "up": True})
        tenants = [
            {
                "name": f"br-{name}",
                "datapath_type": "netdev",
                "ports": [
                    {
                        "name": name,
                        "type": "internal",
                        "mtu": 1450,
                        "addresses": [f"10.0.{net}.{number}/24"],
                        "up": True,
                    }
                ],
            }
            for name, net in (("one", 1), ("two", 2))
        ]
        host.module("ovs_bridge", {"bridges": tenants})
        ends = {"type": "vxlan", "local_ip": f"192.0.2.{number}", "remote_ip": f"192.0.2.{3 - number}"}
        keys = {"one": 5001, "two": 6000 + number}
        host.module(
            "ovs_tunnel",
            {
                "tunnels": [
                    {"bridge": f"br-{name}", "name": f"vx-{name}", "key": key, **ends} for name, key in keys.items()
                ]
            },
        )
        both = [
            {"name": name, "area": "0", "network_type": "broadcast", "hello_interval": 1, "dead_interval": 4}
            for name in ("one", "two")
        ]
        lo = {"name": "lo", "area": "0", "passive": True}
        host.run(["ip", "address", "replace", f"10.255.0.{number}/32", "dev", "lo"])
        host.apply("frr_ospf", {"router_id": f"10.255.0.{number}", "interfaces": [lo, *both]})
    first, second = routers
    try:
        wait(lambda: full(first, "one"), "the adjacency across VXLAN")
        wait(lambda: known(first).get("10.255.0.2/32"), "the other's loopback")
        full_packet = ["ping", "-c", "1", "-W", "1", "-M", "do", "-s", "1422", "-I", "10.255.0.1", "10.255.0.2"]
        wait(lambda: "1 received" in first.run(full_packet, ok=None), "a full packet")
        assert "two" not in states(first) and "two" not in states(second)
    finally:
        for number, host in enumerate(routers, 1):
            host.run(["ip", "address", "delete", f"10.255.0.{number}/32", "dev", "lo"])


def test_a_router_on_a_stick(routers: tuple[Host, Host]) -> None:
    """One cable to a router with an interface on each VLAN: what is on different VLANs reaches each other through it alone."""
    hosts, router = routers
    trunk(hosts)
    spaces = [
        {
            "name": name,
            "bridge": "br-trunk",
            "tag": tag,
            "addresses": [f"10.0.{tag}.1/24"],
            "routes": [{"to": "default", "via": f"10.0.{tag}.254"}],
        }
        for name, tag in (("red", 10), ("blue", 20))
    ]
    hosts.module("netns_veth", {"namespaces": spaces})
    ping = inside("red", "ping", "-c", "1", "-W", "1", "10.0.20.1")
    assert "0 received" in hosts.run(ping, ok=None)
    trunk(router, vlan(254, 10), vlan(254, 20))
    router.run(["sysctl", "-q", "net.ipv4.ip_forward=1"])
    wait(lambda: "ttl=63" in hosts.run(ping, ok=None), "an answer from the other VLAN, over one router")
    # The positive control's other side: it was the router's doing.
    router.run(["sysctl", "-q", "net.ipv4.ip_forward=0"])
    time.sleep(0.2)
    assert "0 received" in hosts.run(ping, ok=None)
    assert hosts.answered("10.0.10.254", inside("red"))

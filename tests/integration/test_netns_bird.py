# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netns_bird: the real BIRD in a namespace of a lab host, and a provider's router in another one that gives a default route by OSPF and BGP."""

from __future__ import annotations

import json
import typing as t

import pytest
from harness import wait
from netns import bridge, everything, inside, routes

if t.TYPE_CHECKING:
    from harness import Host

Item = t.Dict[str, t.Any]
PATIENCE = 90
TIMERS = {"hello_interval": 1, "dead_interval": 4}
OSPF: Item = {"name": "edge", "router_id": "10.9.0.1", "announce": ["10.1.1.0/24", "fd00:1::/64"]}
OSPF["ospf"] = {"interfaces": ["eth0"], "families": ["ipv4", "ipv6"], **TIMERS}
BGP: Item = {
    "name": "edge",
    "router_id": "10.9.0.1",
    "announce": ["10.1.1.0/24", "fd00:1::/64"],
    "asn": 64512,
    "neighbors": [
        {"address": "10.9.0.254", "local": "10.9.0.1", "asn": 64500},
        {"address": "fd00:9::fe", "local": "fd00:9::1", "asn": 64500},
    ],
}
# It gives more than a default route, none of which may come through.
PROVIDER = """
router id 10.9.0.254;
protocol device {}
protocol kernel { ipv4 { export all; }; }
protocol kernel { ipv6 { export all; }; }
protocol static given4 { ipv4; route 0.0.0.0/0 unreachable; route 192.0.2.0/24 unreachable; }
protocol static given6 { ipv6; route ::/0 unreachable; route 2001:db8:9::/64 unreachable; }
protocol ospf v2 { ipv4 { export where proto = "given4"; }; area 0 { interface "eth0" { hello 1; dead 4; }; }; }
protocol ospf v3 { ipv6 { export where proto = "given6"; }; area 0 { interface "eth0" { hello 1; dead 4; }; }; }
protocol bgp { local as 64500; neighbor 10.9.0.1 as 64512; ipv4 { import all; export where proto = "given4"; }; }
protocol bgp { local fd00:9::fe as 64500; neighbor fd00:9::1 as 64512; ipv6 { import all; export where proto = "given6"; }; }
"""
DEFAULTS = {"default 10.9.0.254", "default fd00:9::fe"}
INSIDE = {"10.1.1.0/24", "fd00:1::/64"}


@pytest.fixture(name="host")
def with_provider(host: Host) -> t.Iterator[Host]:
    """A host with the namespaces edge and isp on one bridge, and a router in the latter."""
    bridge(host, "br0")
    spaces = [
        {"name": name, "bridge": "br0", "tx_checksum": "off", "addresses": [f"10.9.0.{four}/24", f"fd00:9::{six}/64"]}
        for name, four, six in (("edge", 1, "1"), ("isp", 254, "fe"))
    ]
    host.module("netns_veth", {"namespaces": spaces})
    start_provider(host)
    yield host
    host.run(["systemctl", "stop", "isp"], ok=None)


def start_provider(host: Host) -> None:
    """The provider's router runs until it is stopped."""
    host.write("/run/isp.conf", PROVIDER)
    command = ["bird", "-f", "-c", "/run/isp.conf", "-s", "/run/isp.ctl"]
    host.run(["systemd-run", "--quiet", "--collect", "--unit=isp", "ip", "netns", "exec", "isp", *command])


def learned(host: Host, netns: str) -> set[str]:
    """The routes of a namespace that come from its router, as destination, or of a default route with its next hop."""
    rows = [
        row
        for family in ("-4", "-6")
        for row in json.loads(host.run(["ip", "-n", netns, family, "-json", "route", "show", "proto", "bird"]))
    ]
    return {f"{row['dst']} {row['gateway']}" if row.get("gateway") else row["dst"] for row in rows}


def wait_for(host: Host, netns: str, wanted: t.Callable[[set[str]], bool]) -> None:
    """Wait until the routes of a namespace are right."""
    wait(
        lambda: wanted(learned(host, netns)),
        f"the routes of {netns}",
        PATIENCE,
        lambda: (learned(host, netns), log(host)),
    )


def log(host: Host) -> str:
    """What the routers have told last."""
    return host.run(["journalctl", "--no-pager", "--lines=60", "--unit", "overloom-*"])


def is_default(found: set[str]) -> bool:
    """A default route of each family, and nothing else; the next hop of IPv6 is link-local with OSPF."""
    return len(found) == 2 and all(one.startswith("default ") for one in found)


def shown(host: Host) -> Item:
    """What the sister says of the only router."""
    return t.cast(Item, host.module("netns_bird_info", {})["routers"][0])


@pytest.mark.parametrize("item", [OSPF, BGP], ids=["ospf", "bgp"])
def test_it_takes_the_default_route_and_announces_what_it_is_told(host: Host, item: Item) -> None:
    host.apply("netns_bird", item)
    wait_for(host, "edge", is_default)
    wait_for(host, "isp", lambda found: {one.partition(" ")[0] for one in found} >= INSIDE)
    row = shown(host)
    assert (
        row["running"] and row["namespace"] == "edge" and sorted(row["defaults"]) == row["awaited"] == ["ipv4", "ipv6"]
    )
    assert row["defaults"]["ipv4"] == [{"via": "10.9.0.254", "interface": "eth0"}]
    assert row["sessions"] == {one["address"]: "Established" for one in item.get("neighbors", ())}
    # netns_veth leaves these routes alone, and the router what others have in the namespace.
    host.run(["ip", "-n", "edge", "route", "add", "198.51.100.0/24", "via", "10.9.0.254"])
    before = host.run(["systemctl", "show", "--property=MainPID", "overloom-bird-edge"])
    done = host.apply("netns_bird", {**item, "announce": ["10.1.2.0/24"]})
    assert any("HUP" in command for command in done["commands"])
    wait_for(
        host,
        "isp",
        lambda found: {one.partition(" ")[0] for one in found} & {*INSIDE, "10.1.2.0/24"} == {"10.1.2.0/24"},
    )
    assert host.run(["systemctl", "show", "--property=MainPID", "overloom-bird-edge"]) == before
    assert "198.51.100.0/24 10.9.0.254" in routes(host, "edge")
    wait_for(host, "edge", is_default)


def test_a_neighbor_that_dies_takes_its_default_route_along(host: Host) -> None:
    host.apply("netns_bird", OSPF)
    wait_for(host, "edge", is_default)
    host.run(["systemctl", "kill", "--signal=KILL", "isp"])
    wait_for(host, "edge", lambda found: not found)
    assert shown(host)["defaults"] == {} and shown(host)["running"]
    host.run(["systemctl", "reset-failed"], ok=None)
    start_provider(host)
    wait_for(host, "edge", is_default)
    # After a reboot both are there again.
    host.reboot()
    start_provider(host)
    wait_for(host, "edge", is_default)


def pair(host: Host) -> None:
    """Two routers of one group, each with an address of its own; whoever is active has the subnets in a table, which BIRD announces."""
    # The first has the addresses that edge had: two with one address are refused as soon as the kernel has found the other (RFC 4862).
    host.apply("netns_veth", {"name": "edge", "state": "absent"})
    own = {"r1": ("10.9.0.1", "fd00:9::1"), "r2": ("10.9.0.2", "fd00:9::2")}
    spaces, routers, speakers = [], [], []
    for name, (four, six) in own.items():
        peer = next(address for other, (address, _six) in own.items() if other != name)
        addresses = [f"{four}/24", f"{six}/64"]
        spaces.append({"name": name, "bridge": "br0", "tx_checksum": "off", "addresses": addresses})
        spaces[-1]["virtual_addresses"] = ["10.9.0.9/32"]
        leg = {"interface": "eth0", "addresses": ["10.9.0.9/32"], "source": four, "peers": [peer]}
        routers.append({"name": name, "vrid": 7, "priority": 200 - len(routers), "interval": 200, "table": 100})
        routers[-1]["interfaces"] = [{**leg, "routes": sorted(INSIDE)}]
        sessions = [{"address": "10.9.0.254", "local": four, "asn": 64500}] if name == "r1" else []
        speakers.append({**OSPF, "name": name, "router_id": four, "announce": [], "announce_table": 100})
        speakers[-1].update(neighbors=sessions, asn=64512)
    host.apply("netns_veth", {"namespaces": spaces})
    host.apply("netns_bird", {"routers": speakers})
    # Who begins is active, and stays so.
    host.apply("netns_keepalived", routers[0])
    wait_for_way(host, "10.9.0.1")
    host.apply("netns_keepalived", routers[1])


def led(host: Host, netns: str) -> Item:
    """By which next hop of IPv4 a namespace reaches what is inside, and how many ways of IPv6 it has there."""
    rows = json.loads(host.run(["ip", "-n", netns, "-json", "route", "show", "10.1.1.0/24"]))
    six = json.loads(host.run(["ip", "-n", netns, "-6", "-json", "route", "show", "fd00:1::/64"]))
    hops = [hop for row in rows for hop in row.get("nexthops", [row])]
    return {"four": sorted(hop.get("gateway", "") for hop in hops), "six": len(six)}


def wait_for_way(host: Host, by: str | None) -> None:
    """Wait until the provider has one way to what is inside, by this router, or none."""
    wanted = {"four": [by] if by else [], "six": 1 if by else 0}
    wait(lambda: led(host, "isp") == wanted, f"the way {wanted}", PATIENCE, lambda: (led(host, "isp"), log(host)))


def test_of_two_routers_the_active_one_announces(host: Host) -> None:
    # Its session of BGP is with r1, which announces there, too.
    pair(host)
    for name in ("r1", "r2"):
        wait_for(host, name, is_default)
    wait_for_way(host, "10.9.0.1")
    host.run(["systemctl", "stop", "overloom-keepalived-r1"])
    wait_for_way(host, "10.9.0.2")
    assert is_default(learned(host, "r1"))
    # A kill leaves the routes behind; keepalived comes back, on standby, and takes them away.
    host.run(["systemctl", "start", "overloom-keepalived-r1"])
    host.run(["systemctl", "kill", "--signal=KILL", "overloom-keepalived-r2"])
    wait_for_way(host, "10.9.0.1")
    # netns_veth knows nothing of these routes, and leaves them.
    spaces = [{"name": "r1", "bridge": "br0", "tx_checksum": "off", "addresses": ["10.9.0.1/24", "fd00:9::1/64"]}]
    spaces[0]["virtual_addresses"] = ["10.9.0.9/32"]
    assert not host.module("netns_veth", {"namespaces": spaces})["changed"]
    host.run(["systemctl", "stop", "overloom-keepalived-r1", "overloom-keepalived-r2"])
    wait_for_way(host, None)
    for name in ("r1", "r2"):
        assert host.run(["ip", "-n", name, "route", "show", "table", "100"], ok=None) == ""


def test_drift_is_repaired_and_removal_leaves_nothing(host: Host) -> None:
    before = everything(host)
    host.apply("netns_bird", OSPF)
    drifts: list[list[str]] = [
        ["systemctl", "stop", "overloom-bird-edge"],
        ["systemctl", "disable", "--quiet", "overloom-bird-edge"],
        ["sed", "-i", "s/cost 10/cost 20/", "/etc/overloom/bird/edge/bird.conf"],
        ["rm", "/etc/overloom/bird/edge/bird.conf"],
    ]
    for drift in drifts:
        host.run(drift)
        assert host.apply("netns_bird", OSPF)["changed"], drift
    assert "belongs to the owner" in host.module("netns_bird", {**OSPF, "owner": "b"}, ok=False)["msg"]
    wait_for(host, "edge", is_default)
    assert host.run(["stat", "-c", "%a %U", "/etc/overloom/bird/edge/bird.conf"]).split() == ["640", "root"]
    host.apply("netns_bird", {"name": "edge", "state": "absent"})
    left = host.run(["find", "/etc", "/run", "-name", "*overloom-bird*", "-o", "-path", "/etc/overloom*"], ok=None)
    assert left == "" and learned(host, "edge") == set()
    assert [line for line in everything(host).splitlines() if "default" in line] == [
        line for line in before.splitlines() if "default" in line
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"namespace": "nowhere"}, "there is no network namespace nowhere"),
        ({"router_id": "fd00::1"}, "router_id fd00::1 must be IPv4"),
        ({"ospf": None}, "router_id, and ospf or neighbors, are needed"),
        ({"announce": ["10.1.1.1/24"]}, "'10.1.1.1/24' is no prefix"),
        ({"neighbors": BGP["neighbors"]}, "asn is missing"),
        ({"announce_table": 254}, "announce_table 254 is the main one"),
        ({"ospf": {**OSPF["ospf"], "dead_interval": 1}}, "dead_interval 1 is not above hello_interval 1"),
    ],
)
def test_bad_input_is_one_sentence(host: Host, change: Item, said: str) -> None:
    item = {option: value for option, value in {**OSPF, **change}.items() if value is not None}
    assert said in host.module("netns_bird", item, ok=False)["msg"]
    assert host.run(inside("edge", "true")) == "" and not host.module("netns_bird_info", {})["routers"]

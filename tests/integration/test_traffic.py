# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes through, and what does not, once the modules have done their work: real frames between namespaces on two and three hosts."""

from __future__ import annotations

import json
import typing as t

import harness
import pytest
import roots
from harness import Host, wait
from netns import inside

UNDERLAY = {4: "192.0.2.{}", 6: "2001:db8:1::{}"}
LENGTHS = {4: 24, 6: 64}


def underlay(host: Host, number: int, family: int) -> None:
    """A tunnel endpoint on a bridge with the cable, and a bridge for what is inside."""
    tep = {
        "name": "tep0",
        "type": "internal",
        "addresses": [f"{UNDERLAY[family].format(number)}/{LENGTHS[family]}"],
        "up": True,
    }
    bridges = [
        {"name": "br-under", "datapath_type": "netdev", "ports": [{"name": "eth1", "up": True}, tep]},
        {"name": "br0", "datapath_type": "netdev"},
    ]
    host.module("ovs_bridge", {"bridges": bridges})


def tunnel(host: Host, number: int, peer: int, family: int, **options: t.Any) -> dict[str, t.Any]:
    """Make or change the tunnel of a host to another."""
    ends = {"local_ip": UNDERLAY[family].format(number), "remote_ip": UNDERLAY[family].format(peer)}
    return host.module("ovs_tunnel", {"bridge": "br0", "name": f"t{peer}", **ends, **options})


def space(name: str, number: int, **options: t.Any) -> dict[str, t.Any]:
    """A namespace on br0 with an address of each family."""
    return {
        "name": name,
        "bridge": "br0",
        "addresses": [f"10.0.0.{number}/24", f"fd00::{number}/64"],
        "mtu": 1400,
        **options,
    }


def spaces(host: Host, *items: dict[str, t.Any]) -> None:
    host.module("netns_veth", {"namespaces": list(items)})


def reaches(host: Host, netns: str, address: str, size: int = 56) -> bool:
    """Whether three pings of so many bytes are answered, be it late; first some seconds are given for the neighbors' addresses."""
    host.answered(address, inside(netns), 6)
    # With -w, ping waits for three answers, and else for the last one no longer than an interval.
    out = host.run(inside(netns, "ping", "-c", "3", "-i", "0.05", "-w", "5", "-s", str(size), address), ok=None)
    return "3 received" in out


# Prints how many datagrams come before one that says "end".
COUNT_DATAGRAMS = """
import socket, sys
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 5002))
server.settimeout(10)
count = 0
while server.recv(4096) != b"end":
    count += 1
print(count)
"""
SEND_DATAGRAMS = """
import socket, sys, time
client = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
for number in range(50):
    client.sendto(bytes(1000), (sys.argv[1], 5002))
    time.sleep(0.002)
client.sendto(b"end", (sys.argv[1], 5002))
"""
# Prints how many bytes come by one TCP connection.
COUNT_BYTES = """
import socket, sys
server = socket.create_server((sys.argv[1], 5002), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
server.settimeout(10)
connection, peer = server.accept()
connection.settimeout(10)
count = 0
while data := connection.recv(65536):
    count += len(data)
print(count)
"""
SEND_BYTES = """
import socket, sys
with socket.create_connection((sys.argv[1], 5002), timeout=10) as client:
    client.sendall(bytes(1 << 20))
"""


def arrived(server: Host, client: Host, netns: str, address: str, count: str, send: str) -> int:
    """What the program count has counted in the server's namespace of what the program send has sent from the client's."""
    server.write("/run/count.py", count)
    unit = ["systemd-run", "--quiet", "--unit=count", "--property=StandardOutput=truncate:/run/counted"]
    server.run([*unit, *inside(netns, "python3", "/run/count.py", address)])
    listening = inside(netns, "ss", "-lntu")
    wait(lambda: ":5002 " in server.run(listening), "a listener")
    client.run(inside(netns, "python3", "-c", send, address))
    server.run(["timeout", "60", "sh", "-c", "while systemctl --quiet is-active count; do sleep 0.1; done"])
    return int(server.run(["cat", "/run/counted"]) or 0)


@pytest.mark.parametrize("family", [4, 6], ids=["over IPv4", "over IPv6"])
@pytest.mark.parametrize("kind", ["gre", "vxlan", "geneve"])
def test_small_full_and_fragmented_packets_tcp_and_udp_pass_with_and_without_key(
    pair: tuple[Host, Host], kind: str, family: int
) -> None:
    """Untagged and on a VLAN; packets of 1600 and 3200 bytes are fragmented inside, as the endpoints' MTU is 1400."""
    one, other = pair
    for host, number, peer in ((one, 1, 2), (other, 2, 1)):
        underlay(host, number, family)
        tunnel(host, number, peer, family, type=kind)
        spaces(host, space("plain", number), space("tagged", number, tag=100))
    for key in ("", 4242):
        for host, number, peer in ((one, 1, 2), (other, 2, 1)):
            tunnel(host, number, peer, family, type=kind, key=key)
        for netns in ("plain", "tagged"):
            for address in ("10.0.0.2", "fd00::2"):
                for size in (64, 1600, 3200):
                    assert reaches(one, netns, address, size), (
                        f"{size} bytes from {netns} to {address} with the key {key!r}"
                    )
    assert not one.run(
        inside("plain", "ping", "-c", "1", "-W", "1", "-M", "do", "-s", "1373", "10.0.0.2"), ok=None
    ).count("1 received")
    for address in ("10.0.0.2", "fd00::2"):
        assert arrived(other, one, "tagged", address, COUNT_DATAGRAMS, SEND_DATAGRAMS) == 50
        assert arrived(other, one, "plain", address, COUNT_BYTES, SEND_BYTES) == 1 << 20
    # The negative control: another key at one end is another tunnel.
    tunnel(other, 2, 1, family, type=kind, key=4243)
    assert not reaches(one, "plain", "10.0.0.2")


def test_two_segments_with_the_same_subnet_stay_apart(pair: tuple[Host, Host]) -> None:
    """The same addresses on two VLANs: each namespace reaches its own peer, told by the MAC address that answers."""
    one, other = pair
    for host, number, peer in ((one, 1, 2), (other, 2, 1)):
        underlay(host, number, 4)
        tunnel(host, number, peer, 4, type="gre")
    spaces(one, space("red", 1, tag=10), space("blue", 1, tag=20))
    spaces(other, space("red", 2, tag=10, mac="02:00:00:00:00:10"), space("blue", 2, tag=20, mac="02:00:00:00:00:20"))
    for netns, mac in (("red", "02:00:00:00:00:10"), ("blue", "02:00:00:00:00:20")):
        assert reaches(one, netns, "10.0.0.2")
        assert mac in one.run(["ip", "-n", netns, "neigh", "show", "10.0.0.2"])


def test_vlan_one_tagged_and_native_and_beside_another_native(pair: tuple[Host, Host]) -> None:
    """VLAN 1 has no special meaning: on the trunk it is a tag like any other, unless the trunk's native VLAN is 1."""
    one, other = pair
    for host, number in ((one, 1), (other, 2)):
        underlay(host, number, 4)
        spaces(host, space("first", number, tag=1), space("second", number, tag=2))
    for native, mode in (("", ""), (1, "native-untagged"), (2, "native-untagged"), (1, "native-tagged")):
        for host, number, peer in ((one, 1, 2), (other, 2, 1)):
            tunnel(host, number, peer, 4, type="gre", trunks=[1, 2], tag=native, vlan_mode=mode)
        for netns in ("first", "second"):
            assert reaches(one, netns, "10.0.0.2"), f"{netns} with the native VLAN {native!r} {mode}"


def test_untagged_frames_do_not_leak_from_a_trunk(pair: tuple[Host, Host]) -> None:
    """A trunk of VLANs 10 and 20 carries neither untagged frames nor VLAN 30; with 0 in its list it carries the first."""
    one, other = pair
    for host, number, peer in ((one, 1, 2), (other, 2, 1)):
        underlay(host, number, 4)
        tunnel(host, number, peer, 4, type="gre", trunks=[10, 20])
        spaces(host, space("ten", number, tag=10), space("thirty", number, tag=30), space("plain", number))
    assert reaches(one, "ten", "10.0.0.2")
    assert not reaches(one, "thirty", "10.0.0.2") and not reaches(one, "plain", "10.0.0.2")
    for host, number, peer in ((one, 1, 2), (other, 2, 1)):
        tunnel(host, number, peer, 4, type="gre", trunks=[0, 10, 20])
    assert reaches(one, "plain", "10.0.0.2") and not reaches(one, "thirty", "10.0.0.2")


def test_different_natives_at_the_two_ends_join_the_two_vlans(pair: tuple[Host, Host]) -> None:
    """What a native VLAN is: its frames are untagged on the wire, so the other end's native VLAN takes them."""
    one, other = pair
    for host, number, peer, native in ((one, 1, 2, 10), (other, 2, 1, 20)):
        underlay(host, number, 4)
        tunnel(host, number, peer, 4, type="gre", trunks=[10, 20], tag=native, vlan_mode="native-untagged")
        spaces(host, space("ten", number, tag=10), space("twenty", number + 10, tag=20))
    assert reaches(one, "ten", "10.0.0.12") and not reaches(one, "ten", "10.0.0.2")


def test_a_triangle_has_no_loop_and_everyone_reaches_everyone(machine: harness.Machine) -> None:
    """Three hosts with a tunnel between each two: a broadcast arrives once, because no tunnel forwards to another."""
    lab = harness.Lab(machine, harness.lab_name("-triangle"), roots.lab_root())
    names = ("a", "b", "c")
    try:
        lab.make(names, [[f"{name}:eth1" for name in names]])
        hosts = [lab.host(name) for name in names]
        for number, host in enumerate(hosts, 1):
            host.run(["systemctl", "start", "--quiet", "openvswitch-switch"])
            underlay(host, number, 4)
            for peer in {1, 2, 3} - {number}:
                tunnel(host, number, peer, 4, type="gre", protected=True)
            spaces(host, space("red", number, tag=10))
        for host in hosts:
            for number in (1, 2, 3):
                assert reaches(host, "red", f"10.0.0.{number}")
        before = [received(host) for host in hosts]
        hosts[0].run(inside("red", "ping", "-b", "-c", "20", "-i", "0.02", "-W", "1", "10.0.0.255"), ok=None)
        after = [received(host) for host in hosts]
        # Each of the two others got the twenty broadcasts once, and a few frames of the neighbor protocols.
        assert all(20 <= after[i] - before[i] < 40 for i in (1, 2)), (before, after)
    finally:
        lab.remove()


def received(host: Host) -> int:
    """Frames that the namespace red has received."""
    return json.loads(host.run(["ip", "-n", "red", "-json", "-statistics", "link", "show", "dev", "eth0"]))[0][
        "stats64"
    ]["rx"]["packets"]

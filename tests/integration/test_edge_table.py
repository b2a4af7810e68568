# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an edge's planned table does with packets that no other test sends: forged sources, and TCP that thinks too much of its path."""

from __future__ import annotations

import re
import typing as t

import pytest
from harness import wait
from netns import bridge, inside

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

if t.TYPE_CHECKING:
    from harness import Host

INTENT: dict[str, t.Any] = {
    "fabric_name": "test",
    "fabric_segments": [
        {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "mtu": 1400},
        {"name": "outside", "vlan": 30, "subnet": "10.9.0.0/24", "mtu": 1446},
    ],
    "fabric_edges": [
        {
            "name": "edge",
            "hosts": ["kvm1"],
            "legs": [
                {"segment": "web", "address": "10.1.1.1"},
                {"segment": "outside", "address": "10.9.0.1", "gateway": False},
            ],
        }
    ],
    "fabric_policy": [
        {"name": "out", "from": ["web"], "to": ["outside"]},
        {"name": "in", "from": ["outside"], "to": ["web"]},
    ],
    "fabric_endpoints": [
        {"name": "web1", "segment": "web", "address": "10.1.1.2"},
        {
            "name": "client",
            "segment": "outside",
            "address": "10.9.0.2",
            "routes": [{"to": "10.1.1.0/24", "via": "10.9.0.1"}],
        },
    ],
}
# Says how much of a segment the one who connects takes, without timestamps.
LISTENER = (
    "import socket; l = socket.create_server(('10.9.0.2', 7000))\n"
    "while True: c, _ = l.accept(); c.sendall(b'%d' % c.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)); c.close()\n"
)
ASKER = "import socket; print(socket.create_connection(('10.9.0.2', 7000), 5).recv(10).decode())"


@pytest.fixture(name="host")
def with_an_edge(host: Host) -> t.Iterator[Host]:
    """A host with the namespaces and the table of the plan."""
    (plan,) = compile_plan({"kvm1": INTENT}, SPEC)["hosts"].values()
    bridge(host, "br-int")
    host.module("netns_veth", {"namespaces": plan["namespaces"]})
    host.module("nft_table", {"tables": plan["nft_tables"]})
    host.run(inside("web1", "sysctl", "-q", "net.ipv4.tcp_timestamps=0"))
    yield host
    host.module("nft_table", {"tables": [], "purge": True})


def spoofed(host: Host) -> int:
    """How many packets the table has dropped for their source."""
    said = host.run(inside("edge", "nft", "list", "counter", "inet", "edge", "spoofed"))
    return int(re.findall(r"packets (\d+)", said)[0])


@pytest.mark.parametrize(
    ("sender", "forged", "target"),
    [("web1", "192.0.2.9", "10.9.0.2"), ("client", "10.1.1.77", "10.1.1.2")],
)
def test_a_forged_source_is_dropped_and_counted(host: Host, sender: str, forged: str, target: str) -> None:
    ping = ["ping", "-c", "2", "-i", "0.2", "-W", "1"]
    assert host.answered(target, inside(sender)) and spoofed(host) == 0
    host.run(["ip", "-n", sender, "address", "add", f"{forged}/32", "dev", "lo"])
    host.run(inside(sender, *ping, "-I", forged, target), ok=False)
    assert spoofed(host) == 2
    host.run(inside(sender, *ping, target))


def test_tcp_is_told_of_the_smaller_mtu(host: Host) -> None:
    # One that has set its MTU by itself, and would learn of the edge's by lost packets.
    host.run(["ip", "-n", "web1", "link", "set", "eth0", "mtu", "1446"])
    host.run(["systemd-run", "--unit=edge-listener", "--collect", *inside("client", "python3", "-c", LISTENER)])
    wait(lambda: ":7000" in host.run(inside("client", "ss", "-ltn")), "a listener")
    assert host.answered("10.9.0.2", inside("web1"))
    asked = inside("web1", "python3", "-c", ASKER)
    assert int(host.run(asked)) == 1400 - 40
    # The control.
    host.run(inside("edge", "nft", "flush", "chain", "inet", "edge", "clamping"))
    assert int(host.run(asked)) == 1446 - 40
    host.run(["systemctl", "stop", "edge-listener"])

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ovs_info against a real Open vSwitch."""

from __future__ import annotations

import typing as t

import pytest
from harness import wait
from netns import inside
from ovs import exit_switch, veth

if t.TYPE_CHECKING:
    from harness import Host

KINDS = ["switch", "bridges", "statistics", "tunnels", "fdb", "flows", "groups", "meters", "tables", "datapath_flows"]


@pytest.fixture
def busy(host: Host) -> Host:
    """A host with two bridges, a tunnel, a flow, a group, and two namespaces that talk on VLAN 10."""
    veth(host, "p1", "p2")
    ports = [{"name": "p1", "tag": 10, "up": True}, {"name": "p2", "tag": 10, "up": True}]
    host.module(
        "ovs_bridge",
        {
            "bridges": [
                {"name": "br0", "datapath_type": "netdev", "ports": ports},
                {"name": "br1", "datapath_type": "netdev"},
            ]
        },
    )
    host.module(
        "ovs_tunnel",
        {
            "bridge": "br0",
            "name": "gre0",
            "type": "gre",
            "remote_ip": "192.0.2.1",
            "check_route": False,
            "bfd": {"enable": True},
        },
    )
    for number in (1, 2):
        host.run(["ip", "netns", "add", f"n{number}"])
        host.run(["ip", "link", "set", f"p{number}p", "netns", f"n{number}"])
        host.run(f"ip -n n{number} address add 10.1.1.{number}/24 dev p{number}p".split())
        host.run(f"ip -n n{number} link set p{number}p up".split())
    group = {"group_id": 1, "type": "all", "buckets": [{"actions": ["output:p1"]}]}
    host.module(
        "ovs_flow",
        {"bridge": "br0", "flows": [{"table": 1, "match": {"ip": True}, "actions": ["group:1"]}], "groups": [group]},
    )
    assert host.answered("10.1.1.2", inside("n1"))
    return host


def test_all_that_the_switch_says_is_typed(busy: Host) -> None:
    # Open vSwitch writes what BFD says a moment after the tunnel is made.
    wait(lambda: busy.module("ovs_info", {"gather": ["tunnels"]})["tunnels"][0]["bfd_status"].get("state"), "BFD")
    seen = busy.module("ovs_info", {"gather": KINDS})
    assert seen["switch"]["ovs_version"] and "gre" in seen["switch"]["iface_types"]
    assert [bridge["name"] for bridge in seen["bridges"]] == ["br0", "br1"]
    port = next(port for port in seen["bridges"][0]["ports"] if port["name"] == "p1")
    assert port["tag"] == 10 and {"statistics", "status", "rstp_status"} <= set(port)
    tunnel = seen["tunnels"][0]
    assert (tunnel["name"], tunnel["error"], tunnel["bfd_status"]["state"]) == ("gre0", None, "down")
    learned = {(entry["bridge"], entry["port"], entry["vlan"]) for entry in seen["fdb"]}
    assert {("br0", "p1", 10), ("br0", "p2", 10)} <= learned
    assert all(
        isinstance(entry["age"], int) and entry["static"] is False and entry["mac"].count(":") == 5
        for entry in seen["fdb"]
    )
    flow = next(flow for flow in seen["flows"] if flow["table"] == 1)
    assert (flow["bridge"], flow["ours"], flow["match"], flow["n_packets"]) == ("br0", True, {"ip": True}, 0)
    assert seen["groups"][0]["bridge"] == "br0" and seen["groups"][0]["group_id"] == 1 and seen["meters"] == []
    assert {table["table"] for table in seen["tables"] if table["bridge"] == "br0"} == {0, 1}

    def used() -> list[dict[str, t.Any]]:
        busy.run("ip netns exec n1 ping -c 3 -i 0.2 -W 5 10.1.1.2".split())
        found = busy.module("ovs_info", {"gather": ["datapath_flows"]})["datapath_flows"]
        return found if any(flow["n_packets"] and flow["used"] is not None for flow in found) else []

    assert {flow["bridge"] for flow in wait(used, "a flow of the datapath that is used")} == {"br0"}


def test_only_what_is_asked_for_is_read(busy: Host) -> None:
    seen = busy.module("ovs_info")
    assert seen["spawned"] == 1 and {"switch", "bridges", "tunnels"} <= set(seen) and "fdb" not in seen
    assert "statistics" not in seen["bridges"][0]["ports"][0]
    assert busy.module("ovs_info", {"bridges": ["br"]})["bridges"] == [], "a part of a name is not the name"
    only = busy.module("ovs_info", {"bridges": ["br1"], "gather": ["bridges", "tunnels", "fdb"]})
    assert [bridge["name"] for bridge in only["bridges"]] == ["br1"] and only["tunnels"] == [] and only["spawned"] == 2
    busy.run("ovs-vsctl add-br foreign -- set Bridge foreign datapath_type=netdev".split())
    assert "foreign" not in [bridge["name"] for bridge in busy.module("ovs_info", {"owned": True})["bridges"]]


def test_counters_come_with_the_ports(busy: Host) -> None:
    def counted() -> int:
        (bridge,) = busy.module("ovs_info", {"gather": ["bridges", "statistics"], "bridges": ["br0"]})["bridges"]
        ports = [port for port in bridge["ports"] if port["name"] in ("p1", "p2")]
        return sum(port["statistics"].get("rx_packets", 0) for port in ports)

    # Open vSwitch writes them every five seconds.
    wait(counted, "a counted packet")


def test_a_static_address_has_no_age(busy: Host) -> None:
    busy.run("ovs-appctl fdb/add br0 p1 10 02:00:00:00:00:99".split())
    entry = next(e for e in busy.module("ovs_info", {"gather": ["fdb"]})["fdb"] if e["mac"] == "02:00:00:00:00:99")
    assert (entry["port"], entry["static"], entry["age"]) == ("p1", True, None)


def test_a_stopped_switch_and_a_remote_database_are_one_sentence(host: Host) -> None:
    failed = host.module("ovs_info", {"database": "tcp:127.0.0.1:1", "gather": ["fdb", "bridges"]}, ok=False)
    assert "gather: fdb needs the host itself" in failed["msg"]
    host.module("ovs_bridge", {"name": "br0", "datapath_type": "netdev"})
    exit_switch(host)
    try:
        failed = host.module("ovs_info", {"gather": ["fdb"]}, ok=False)
    finally:
        host.run(["systemctl", "restart", "ovs-vswitchd"])
    assert "check that its service runs" in failed["msg"] and "\n" not in failed["msg"]

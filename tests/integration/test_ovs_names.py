# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports whose names Open vSwitch takes and the kernel would not, GENEVE options, and bridges of old OpenFlow versions, on a real switch."""

from __future__ import annotations

import typing as t

import pytest
from harness import wait
from ovs import column, ports

if t.TYPE_CHECKING:
    from harness import Host

PATCHES = [
    {
        "name": "br-int",
        "datapath_type": "netdev",
        "ports": [{"name": "patch-br-int-to-br-ex", "type": "patch", "peer": "patch-br-ex-to-br-int"}],
    },
    {
        "name": "br-ex",
        "datapath_type": "netdev",
        "ports": [{"name": "patch-br-ex-to-br-int", "type": "patch", "peer": "patch-br-int-to-br-ex"}],
    },
]
BR = {"name": "br-int", "datapath_type": "netdev"}
TUNNEL = {
    "bridge": "br-int",
    "name": "vxlan-to-compute-rack12",
    "type": "vxlan",
    "remote_ip": "192.0.2.9",
    "check_route": False,
}


def flows(host: Host, bridge: str = "br-int", version: str = "OpenFlow15") -> list[str]:
    """The bridge's flows by numbers, without counters and cookies."""
    lines = host.run(["ovs-ofctl", "-O", version, "dump-flows", bridge, "--no-stats", "--no-names"]).splitlines()
    lines = [line.strip() for line in lines if "actions=" in line]
    return sorted(line.partition(", ")[2] if line.startswith("cookie=") else line for line in lines)


def tlvs(host: Host, bridge: str = "br-int") -> list[list[str]]:
    """The rows of the bridge's map of GENEVE options."""
    lines = host.run(["ovs-ofctl", "dump-tlv-map", bridge]).splitlines()
    return [line.split() for line in lines if "tun_metadata" in line]


def until(claim: t.Callable[[], t.Any], wanted: t.Any, seconds: float = 60) -> None:
    """Wait until a claim holds, and assert that it does."""
    wait(lambda: claim() == wanted, f"{wanted}", seconds, claim)


@pytest.fixture
def long(host: Host) -> Host:
    """Two bridges with a patch cable and a tunnel whose names are longer than those of devices."""
    host.apply("ovs_bridge", {"bridges": PATCHES})
    host.apply("ovs_tunnel", TUNNEL)
    return host


def test_patch_ports_and_tunnels_with_long_names_come_and_go(long: Host) -> None:
    assert ports(long, "br-int") == ["patch-br-int-to-br-ex", "vxlan-to-compute-rack12"]
    assert (
        column(long, "Interface", "patch-br-int-to-br-ex", "error") == []
        and column(long, "Interface", TUNNEL["name"], "ofport") > 0
    )
    long.apply("ovs_tunnel", {"tunnels": [], "purge": True})
    long.apply("ovs_bridge", {"bridges": [], "purge": True})
    assert long.run(["ovs-vsctl", "list-br"]) == ""


@pytest.mark.parametrize("name", ["a b", 'q"x.y', "1234", "a,b(c)=d:e", "sl/ash", "ünïcode", "x" * 200, "it's"])
def test_names_with_signs_that_open_vswitch_takes(host: Host, name: str) -> None:
    host.apply("ovs_bridge", BR)
    host.apply("ovs_tunnel", {**TUNNEL, "name": name})
    assert column(host, "Interface", name, "ofport") > 0
    number = column(host, "Interface", name, "ofport")
    # A name of digits would be a number, were it not quoted.
    port = f'"{name}"' if name.isdigit() else name
    args = {"bridge": "br-int", "match": {"in_port": port}, "actions": ["ct_clear", {"output": port}]}
    host.apply("ovs_flow", args)
    # What comes in is not sent back to where it came from, so this flow is only compared.
    wanted = sorted([f"in_port={number} actions=ct_clear,output:{number}", "priority=0 actions=NORMAL"])
    assert flows(host) == wanted
    host.run(["systemctl", "restart", "openvswitch-switch"])
    until(lambda: flows(host), wanted)
    assert not host.apply("ovs_flow", args)["changed"]
    host.apply("ovs_tunnel", {"name": name, "state": "absent"})
    assert name not in ports(host, "br-int")


@pytest.mark.parametrize("kind", ["internal", "tap", "system"])
def test_a_long_name_for_a_device_of_the_kernel_is_refused(host: Host, kind: str) -> None:
    said = host.module("ovs_bridge", {**BR, "ports": [{"name": "internal-name-longer", "type": kind}]}, ok=False)["msg"]
    assert "bridge br-int: ports: name 'internal-name-longer' is not a name for a network device; give 1 to 15" in said
    assert host.run(["ovs-vsctl", "list-br"]) == ""


def test_flows_on_ports_with_long_names_work_and_come_back_after_a_restart_and_a_reboot(long: Host) -> None:
    patch, tunnel = (column(long, "Interface", name, "ofport") for name in ("patch-br-int-to-br-ex", TUNNEL["name"]))
    declared = [
        {"match": {"in_port": "patch-br-int-to-br-ex"}, "actions": [{"output": TUNNEL["name"]}]},
        {"flow": f"priority=7,in_port={tunnel},actions=output:{patch}"},
        {"flow": "priority=8,ip,actions=vxlan-to-compute-rack12,resubmit(patch-br-int-to-br-ex,3)"},
    ]
    args = {"bridge": "br-int", "flows": declared, "purge": True}
    done = long.apply("ovs_flow", args)
    assert done["flows"][0]["match"] == {"in_port": "patch-br-int-to-br-ex"} and done["flows"][0]["actions"] == [
        'output:"vxlan-to-compute-rack12"'
    ]
    wanted = sorted(
        [
            f"in_port={patch} actions=output:{tunnel}",
            f"priority=7,in_port={tunnel} actions=output:{patch}",
            f"priority=8,ip actions=output:{tunnel},resubmit({patch},3)",
            "priority=0 actions=NORMAL",
        ]
    )
    assert flows(long) == wanted
    long.run(["systemctl", "restart", "openvswitch-switch"])
    until(lambda: flows(long), wanted)
    long.reboot()
    until(lambda: flows(long), wanted)
    assert not long.apply("ovs_flow", args)["changed"]


def test_flows_follow_a_port_with_a_long_name_to_another_number(long: Host) -> None:
    args = {"bridge": "br-int", "flow": "in_port=vxlan-to-compute-rack12,actions=drop"}
    long.apply("ovs_flow", args)
    long.apply("ovs_tunnel", {**TUNNEL, "ofport_request": 77})
    long.apply("ovs_flow", args)
    assert "in_port=77 actions=drop" in flows(long)
    long.run(["systemctl", "restart", "openvswitch-switch"])
    until(lambda: [line for line in flows(long) if "drop" in line], ["in_port=77 actions=drop"])


# GENEVE options

OPTION = {"class": "0xffff", "type": 1, "length": 4, "field": "tun_metadata0"}
GENEVE = {
    "bridge": "br-int",
    "tlvs": [OPTION],
    "flow": "tun_metadata0=0x1234,actions=set_field:0x5678->tun_metadata0,normal",
}


def test_flows_on_geneve_options_come_back_after_a_restart_and_a_reboot(host: Host) -> None:
    host.apply("ovs_bridge", BR)
    done = host.apply("ovs_flow", GENEVE)
    assert done["tlvs"] == [OPTION] and tlvs(host) == [["0xffff", "0x1", "4", "tun_metadata0"]]
    wanted = flows(host)
    assert any("tun_metadata0=0x1234" in line for line in wanted)
    assert host.module("ovs_flow_info", {"bridge": "br-int"})["tlvs"] == [OPTION]
    assert host.module("ovs_info", {"gather": ["tlvs"]})["tlvs"] == [{"bridge": "br-int", **OPTION}]
    for again in (lambda: host.run(["systemctl", "restart", "openvswitch-switch"]), host.reboot):
        again()
        until(lambda: flows(host), wanted)
        assert tlvs(host) == [["0xffff", "0x1", "4", "tun_metadata0"]]
    assert not host.apply("ovs_flow", GENEVE)["changed"]


def test_geneve_options_of_others_are_left_alone(host: Host) -> None:
    host.apply("ovs_bridge", BR)
    host.run(["ovs-ofctl", "add-tlv-map", "br-int", "{class=0x102,type=0x80,len=4}->tun_metadata1"])
    others = ["0x102", "0x80", "4", "tun_metadata1"]
    for option in (
        {"class": "0x102", "type": 128, "length": 8, "field": "tun_metadata2"},
        {**OPTION, "field": "tun_metadata1"},
    ):
        said = host.module("ovs_flow", {"bridge": "br-int", "tlvs": [option]}, ok=False)["msg"]
        assert "which is not ours; choose another field, or give adopt: true" in said
    assert tlvs(host) == [others]
    host.apply(
        "ovs_flow",
        {"bridge": "br-int", "tlvs": [OPTION, {"class": "0x102", "type": 128, "length": 4, "field": "tun_metadata1"}]},
    )
    assert len(tlvs(host)) == 2
    host.apply("ovs_flow", {"bridge": "br-int", "tlvs": [{**OPTION, "length": 8, "field": "tun_metadata5"}]})
    assert sorted(tlvs(host)) == sorted([others, ["0xffff", "0x1", "8", "tun_metadata5"]])
    host.apply("ovs_flow", {"bridge": "br-int", "tlvs": [], "purge": True})
    assert tlvs(host) == [others]


def test_a_geneve_option_goes_with_its_flow_and_not_before(host: Host) -> None:
    host.apply("ovs_bridge", BR)
    host.apply("ovs_flow", GENEVE)
    said = host.module("ovs_flow", {"bridge": "br-int", "tlvs": [{**OPTION, "state": "absent"}]}, ok=False)["msg"]
    assert (
        "field tun_metadata0 is still used by the flow table=0,priority=32768,tun_metadata0=0x1234; remove that flow first"
        in said
    )
    host.apply("ovs_flow", {"bridge": "br-int", "flows": [], "tlvs": [], "purge": True})
    assert tlvs(host) == [] and flows(host) == ["priority=0 actions=NORMAL"]
    assert not host.exists("/etc/overloom/flows")


# Versions of OpenFlow


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14"])
def test_a_bridge_of_one_version_is_read(host: Host, version: str) -> None:
    host.apply("ovs_bridge", BR)
    host.run(["ovs-ofctl", "add-flow", "br-int", "cookie=0x5,priority=3,ip,actions=drop"])
    host.apply("ovs_bridge", {"name": "br-int", "protocols": [version]})
    found = host.module("ovs_flow_info", {"bridge": "br-int"})
    assert {"cookie": "0x5", "priority": 3, "match": {"ip": True}}.items() <= found["flows"][-1].items() or len(
        found["flows"]
    ) == 2
    assert found["tables"][0]["active"] == 2 and found["groups"] == [] and found["tlvs"] == []
    assert len(host.module("ovs_info", {"gather": ["flows", "groups", "meters", "tables", "tlvs"]})["flows"]) == 2
    unchanged = {"bridge": "br-int", "flow": "priority=3,ip,actions=drop"}
    assert not host.apply("ovs_flow", {**unchanged, "persist": False})["changed"]


@pytest.mark.parametrize("version", ["OpenFlow13", "OpenFlow14"])
def test_flows_groups_and_meters_of_a_newer_version_are_written_and_come_back(host: Host, version: str) -> None:
    host.apply("ovs_bridge", {**BR, "protocols": [version]})
    args = {
        "bridge": "br-int",
        "flows": [{"flow": "arp,actions=group:7"}],
        "groups": [{"group_id": 7, "type": "all", "buckets": [{"actions": ["normal"]}]}],
        "meters": [{"meter_id": 3, "unit": "kbps", "bands": [{"rate": 100}]}],
    }
    host.apply("ovs_flow", args)
    wanted = flows(host, version=version)
    assert "arp actions=group:7" in wanted
    host.run(["systemctl", "restart", "openvswitch-switch"])
    until(lambda: flows(host, version=version), wanted)
    assert not host.apply("ovs_flow", args)["changed"]


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow11", "OpenFlow12"])
def test_a_change_on_a_bridge_without_bundles_is_told_what_it_lacks(host: Host, version: str) -> None:
    host.apply("ovs_bridge", {**BR, "protocols": [version]})
    for check in (True, False):
        said = host.module("ovs_flow", {"bridge": "br-int", "flow": "arp,actions=drop"}, check=check, ok=False)["msg"]
        assert said.startswith(
            f"bridge br-int speaks nothing newer than {version}, and a change needs bundles, which came with OpenFlow13; add"
        )

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host as people have it: what its tools have made is told of where the plan has the same name, and is left as it is beside ours."""

from __future__ import annotations

import typing as t

import pytest
from harness import Host

# Podman's and Docker's bridges, Incus's, a firewall's tables, policy routing; OVN's settings without its controller, DPDK's without its NICs.
THEIRS = """
for bridge in podman0 docker0 incusbr0; do ip link add $bridge type bridge; ip link set $bridge up; done
ip address add 10.88.0.1/16 dev podman0
ip address add 10.99.1.1/24 dev incusbr0
ip link set eth1 up
ip link add macvtap0 link eth1 type macvtap mode bridge
ip rule add from 10.99.1.0/24 lookup 99 priority 900
ip route add 192.0.2.0/24 dev incusbr0 table 99
nft add table inet firewalld
nft add chain inet firewalld filter_FORWARD '{ type filter hook forward priority 10; policy accept; }'
nft add rule inet firewalld filter_FORWARD ip saddr 10.99.1.0/24 counter accept
nft add table ip nat
nft add chain ip nat DOCKER
ovs-vsctl set Open_vSwitch . other_config:dpdk-socket-mem=512,0 other_config:dpdk-lcore-mask=0x1 other_config:n-handler-threads=1 \
  external_ids:ovn-bridge-mappings=physnet1:br-provider external_ids:rundir=/var/run/openvswitch
ovs-vsctl add-br br-provider -- set bridge br-provider datapath_type=netdev external_ids:ovn-openstack=yes
ip netns add web
ip netns exec web sleep 900 </dev/null >/dev/null 2>&1 &
until ip netns pids web | grep -q .; do sleep 0.1; done
"""
FILES = {
    "/etc/systemd/network/50-theirs.netdev": "[NetDev]\nName=br-storage\nKind=bridge\n",
    "/etc/NetworkManager/system-connections/nm.nmconnection": "[connection]\ntype=ovs-bridge\ninterface-name=br-nm\n",
    "/etc/network/interfaces.d/theirs": "iface br-up inet static\n  address 192.0.2.9/24\n  bridge_ports none\n",
}
LOOKS = {
    "rules": "ip rule show; ip route show table 99",
    "firewall": "nft -s list table inet firewalld; nft -s list table ip nat",
    "switch": "ovs-vsctl --columns=other_config list Open_vSwitch; ovs-vsctl get Open_vSwitch . external_ids:ovn-bridge-mappings; "
    "ovs-vsctl --columns=name,external_ids,other_config,datapath_type,fail_mode list bridge br-provider",
    "bridges": "for bridge in podman0 docker0 incusbr0; do ip -br address show $bridge; done; ip -br link show macvtap0 | cut -c1-30",
    "files": f"sha256sum {' '.join(FILES)}",
    "namespace": "ip netns pids web; ip -n web -br address",
}


@pytest.fixture
def crowded(host: Host) -> t.Iterator[Host]:
    """A host with all of that."""
    host.run(["mkdir", "-p", *{path.rpartition("/")[0] for path in FILES}])
    for path, text in FILES.items():
        host.write(path, text)
    host.run(["sh", "-ec", THEIRS])
    yield host
    host.run(
        [
            "sh",
            "-c",
            "for name in podman0 docker0 incusbr0 macvtap0; do ip link delete $name; done; ip rule del priority 900; nft flush ruleset; "
            "kill $(ip netns pids web); ip netns delete web; ovs-vsctl del-br br-provider; "
            "ovs-vsctl clear Open_vSwitch . other_config -- remove Open_vSwitch . external_ids ovn-bridge-mappings; rm -f "
            + " ".join(FILES),
        ],
        ok=None,
    )


def look(host: Host) -> dict[str, str]:
    return {name: host.run(["sh", "-c", command]) for name, command in LOOKS.items()}


def test_names_that_others_have_are_told_with_what_shows_it_and_the_ways_on(crowded: Host) -> None:
    before = look(crowded)
    wanted = {
        ("bridge", "podman0"): "an interface of the kind bridge",
        ("bridge", "docker0"): "an interface of the kind bridge",
        ("bridge", "incusbr0"): "an interface of the kind bridge",
        ("bridge", "br-provider"): "external_ids ovn-openstack",
        ("bridge", "br-storage"): "configured in /etc/systemd/network/50-theirs.netdev",
        ("bridge", "br-nm"): "configured in /etc/NetworkManager/system-connections/nm.nmconnection",
        ("interface", "br-up"): "configured in /etc/network/interfaces.d/theirs",
        ("nic", "eth1"): "macvtap macvtap0",
        ("namespace", "web"): "1 process",
    }
    claims = [
        {"kind": kind, "name": name, "on": "br-int", "instead": "name another one"}
        for kind, name in [*wanted, ("bridge", "br-int"), ("namespace", "free")]
    ]
    found = crowded.module("ownership_info", {"owner": "test", "claims": claims})
    told = {(one["kind"], one["name"]): one["msg"] for one in found["findings"]}
    assert told == {
        (kind, name): f"{kind} {name} was there before the fabric and is in use ({traces}); name another one, "
        "or set fabric_adopt to let the fabric use this one"
        for (kind, name), traces in wanted.items()
    }
    adopted = crowded.module("ownership_info", {"owner": "test", "claims": claims, "adopt": ["*"]})
    assert adopted["findings"] == [] and len(adopted["adopted"]) == len(wanted)
    # A tunnel endpoint in a subnet that the host has already is told, and none in another.
    for address, told_of in (("10.99.1.7/24", 1), ("10.99.2.7/24", 0)):
        claim = {"kind": "address", "name": address, "on": "tep0"}
        warned = crowded.module("ownership_info", {"owner": "test", "claims": [claim]})
        assert warned["findings"] == [] and len(warned.get("warnings", [])) == told_of, warned
        assert all(
            text.startswith(f"incusbr0 has 10.99.1.1/24 in the subnet of {address}, which tep0 gets")
            for text in warned.get("warnings", [])
        )
    assert look(crowded) == before


def test_beside_a_fabric_all_of_it_stays(crowded: Host) -> None:
    before = look(crowded)
    owner = {"owner": "test"}
    crowded.apply(
        "ovs_bridge", {"bridges": [{"name": "br-int", "datapath_type": "netdev", "fail_mode": "secure"}], **owner}
    )
    spaces = [{"name": "red", "bridge": "br-int", "addresses": ["10.1.1.1/24"], "sysctls": {"net.ipv4.ip_forward": 1}}]
    crowded.apply("netns_veth", {"namespaces": spaces, **owner})
    crowded.apply("ovs_flow", {"bridge": "br-int", "flows": [{"priority": 1, "actions": ["normal"]}], **owner})
    crowded.apply(
        "ovs_tunnel", {"bridge": "br-int", "name": "gnv0", "type": "geneve", "remote_ip": "10.88.0.9", **owner}
    )
    crowded.apply("nft_table", {"tables": [{"family": "inet", "name": "ours", "content": "chain x { }"}], **owner})
    assert look(crowded) == before
    for module, many in (("nft_table", "tables"), ("netns_veth", "namespaces"), ("ovs_bridge", "bridges")):
        crowded.apply(module, {many: [], "purge": True, **owner})
    assert look(crowded) == before

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that were built by plain commands, as articles show them: imported, adopted while they work, and there after a reboot."""

from __future__ import annotations

import json
import os
import re
import typing as t

import pytest
from test_site import Fabric, changed

ANSWERS = "/run/hand-ping.log"
PING = f"ip netns exec red ping -n -i 0.01 10.1.2.2 > {ANSWERS}"
END = "systemctl kill --signal=INT --kill-who=all hand-ping; while systemctl is-active -q hand-ping; do sleep 0.1; done"
LEFT = "ovs-vsctl show; ovs-vsctl list port; ip -details link; ip -n red -details link; ls /etc/systemd/system"
# For each test the commands of the two hosts, of which {own} and {far} are the last numbers of the addresses.
UNDERLAY = """
systemctl start openvswitch-switch
ovs-vsctl add-br br-ul -- set bridge br-ul datapath_type=netdev
{nic}
ovs-vsctl add-port br-ul tep1 {tep} -- set interface tep1 type=internal
ip link set eth1 up; ip link set tep1 up; ip addr add 192.168.200.{own}/24 dev tep1
ovs-vsctl add-br br2 -- set bridge br2 datapath_type=netdev
ovs-vsctl add-port br2 {tunnel} options:remote_ip=192.168.200.{far}
"""
ENDPOINT = """
ip netns add {name}
ip link add {outer} type veth peer name {inner} netns {name}
ovs-vsctl add-port br2 {outer} {tag}
ip link set {outer} up
ip -n {name} link set {inner} mtu 1400 up
ip -n {name} addr add {address}/24 dev {inner}
ip netns exec {name} ethtool -K {inner} tx off
"""
TRUNK = {
    "nic": "ovs-vsctl add-port br-ul eth1",
    "tep": "",
    "tunnel": "gre0 trunks=10,20 -- set interface gre0 type=gre",
}
BOND = {
    "nic": "ip link set eth2 up; ovs-vsctl add-bond br-ul bond7 eth1 eth2 bond_mode=active-backup",
    "tep": "tag=200",
    "tunnel": "vx0 -- set interface vx0 type=vxlan options:key=5000",
}


class ByHand(Fabric):
    """Hosts of which the inventory knows how they are reached, and no more."""

    def built(self, kind: dict[str, str], endpoints: t.Sequence[t.Callable[[int], dict[str, str]]]) -> None:
        """Build the network. endpoints: from the host's number to what fills in its commands."""
        for number, far in ((1, 2), (2, 1)):
            script = UNDERLAY.format(own=19 + number, far=19 + far, **kind)
            script += "".join(ENDPOINT.format(**endpoint(number)) for endpoint in endpoints)
            self.on(f"kvm{number}", "sh", "-ec", script)

    def imported(self) -> dict[str, t.Any]:
        """Import, and give the inventory what was imported; returns the report."""
        folder = self.folder / "imported"
        self.play("playbooks/import.yml", "-e", f"importer_folder={folder}", "-e", f"importer_report={self.folder}")
        (self.folder / "group_vars").symlink_to(folder / "group_vars")
        return json.loads((self.folder / "import.json").read_text())

    def adopt(self) -> tuple[int, int]:
        """Run site.yml with fabric_adopt under a ping every 10 ms; returns how many answers came, and how many did not."""
        self.on("kvm1", "systemd-run", "--unit=hand-ping", "--collect", "sh", "-c", PING)
        self.taken_over("site.yml", "-e", "fabric_adopt=true")
        self.on("kvm1", "sh", "-c", END)
        answers = self.on("kvm1", "cat", ANSWERS)
        answered = [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", answers)]
        return len(answered), max(answered) - len(set(answered))

    def taken_over(self, name: str, *argv: str) -> str:
        """Run a playbook on the imported inventory."""
        return self.play(name, "-i", str(self.folder / "imported/hosts.yml"), *argv)


@pytest.fixture
def by_hand(tmp_path):
    fabric = ByHand(tmp_path, f"hand-{os.getpid()}")
    fabric.intent = {
        "fabric_name": "mine",
        "ansible_connection": "overloom.fabric.lab",
        "lab_name": f"hand-{os.getpid()}",
        "lab_links": [["kvm1:eth1", "kvm2:eth1"], ["kvm1:eth2", "kvm2:eth2"]],
    }
    fabric.hosts = {"kvm1": {}, "kvm2": {}}
    fabric.write()
    fabric.play("playbooks/lab.yml")
    try:
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


def red(number: int) -> dict[str, str]:
    return {"name": "red", "outer": "veth0", "inner": "veth1", "tag": "tag=20", "address": f"10.1.2.{number}"}


def blue(number: int) -> dict[str, str]:
    return {"name": "blue", "outer": "vb0", "inner": "eth0", "tag": "tag=10", "address": f"10.1.1.{3 - number}"}


def untagged(number: int) -> dict[str, str]:
    return {**red(number), "tag": ""}


@pytest.mark.parametrize(
    ("kind", "endpoints"),
    [
        pytest.param(TRUNK, (red, blue), id="gre-vlan"),
        pytest.param(BOND, (untagged,), id="bond-vxlan", marks=pytest.mark.long),
    ],
)
def test_a_network_built_by_hand_is_imported_adopted_and_there_after_a_reboot(by_hand, kind, endpoints):
    by_hand.built(kind, endpoints)
    report = by_hand.imported()
    assert (report["hosts"], report["unread"], report["unknown"], report["refused"]) == (["kvm1", "kvm2"], {}, [], [])
    assert {change["planned"].split()[0] for change in report["changes"]} == {"mtu"}
    answered, lost = by_hand.adopt()
    assert answered > 100
    # In user space Open vSwitch reads all routes anew when an interface gets its mark, and may drop a packet meanwhile.
    # A port that is made anew loses tens of them; a busy machine, a few more.
    assert lost <= 8
    assert set(changed(by_hand.taken_over("site.yml")).values()) == {0}
    by_hand.lab.host("kvm1").reboot()
    by_hand.taken_over("playbooks/verify.yml")
    by_hand.taken_over("playbooks/teardown.yml")
    # Given back, and as it was: it works on.
    assert "overloom" not in by_hand.on("kvm2", "sh", "-c", LEFT)
    by_hand.on("kvm2", "ip", "netns", "exec", "red", "ping", "-n", "-c3", "-i0.2", "-W2", "10.1.2.1")

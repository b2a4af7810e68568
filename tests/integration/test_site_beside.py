# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as people have them: a fabric is built beside Docker, Incus, Calico, Neutron, a VPN, keepalived and firewalls, rebooted and taken down.

All that is theirs (beside.py) is the same at each step, and where a firewall of theirs stands in the way, verify says so in a sentence.
"""

from __future__ import annotations

import os
import typing as t

import beside
import pytest
from harness import wait
from test_site import Fabric, changed

HOSTS = ("kvm1", "kvm2", "r1")
# As udev's rules of NetworkManager's package leave them alone on a host that has udev.
NO_UDEV = "[keyfile]\nunmanaged-devices=interface-name:v-*;interface-name:cali*\n"
# What matches every interface, as some images bring it; and, as it would take away the addresses of their interfaces (since
# release 257), their blackhole routes and rules by itself, not these.
ANY = "[Match]\nName=*\nType=ether\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nKeepConfiguration=yes\n"
KEEP = "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n"


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Fabric]:
    """Two KVM hosts and a router between them, with all that is theirs; systemd-networkd manages kvm1, NetworkManager kvm2."""
    fabric = Fabric(tmp_path_factory.mktemp("beside"), f"beside-{os.getpid()}")
    fabric.intent["fabric_underlay"] = {"bridge": "br-oursul", "tep": "tep-ours"}
    fabric.intent["fabric_overlays"] = [{"name": "gnv", "encapsulation": "geneve", "bridge": "br-ours"}]
    fabric.intent["fabric_links"] = [{"ends": ["kvm1:eth1", "r1:eth1"]}, {"ends": ["kvm2:eth1", "r1:eth2"]}]
    fabric.intent["fabric_routing"] = {"hello_interval": 1}
    fabric.routers = {"r1": {}}
    fabric.write()
    fabric.play("playbooks/lab.yml")
    try:
        for name in HOSTS:
            beside.crowd(fabric.lab.host(name))
        fabric.lab.host("kvm1").write("/etc/systemd/network/99-any.network", ANY)
        fabric.lab.host("kvm1").write("/etc/systemd/networkd.conf", KEEP)
        fabric.on("kvm1", "systemctl", "enable", "--now", "--quiet", "systemd-networkd")
        fabric.lab.host("kvm2").write("/etc/NetworkManager/conf.d/udev.conf", NO_UDEV)
        fabric.on("kvm2", "systemctl", "enable", "--now", "--quiet", "NetworkManager")
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


def same(fabric: Fabric, before: dict[str, dict[str, str]], step: str) -> None:
    """Wait until all that is theirs is as it was; after a boot their own daemons take their time."""

    def changed(name: str) -> list[str]:
        return beside.differences(before[name], beside.look(fabric.lab.host(name)))

    for name in HOSTS:
        wait(lambda name=name: not changed(name), f"{step}: what was on {name}", 90, lambda name=name: changed(name))


def forward(fabric: Fabric, policy: str) -> None:
    """Set the policy of the router's chain FORWARD, which is Docker's."""
    fabric.on("r1", "nft", f"chain ip filter FORWARD {{ policy {policy}; }}")


def causes(fabric: Fabric) -> list[dict[str, t.Any]]:
    """What verify says of a fabric in which something fails."""
    return fabric.verify(ok=False)["causes"]


def test_all_that_others_have_is_as_it_was_and_a_firewall_in_the_way_is_named(fabric: Fabric) -> None:
    before = {name: beside.look(fabric.lab.host(name)) for name in HOSTS}
    fabric.play("site.yml")
    assert set(changed(fabric.play("site.yml")).values()) == {0}
    same(fabric, before, "built")
    assert fabric.verify()["failed"] == 0
    # Their managers and firewalls start again, which takes away whatever they do not know.
    fabric.on("kvm1", "systemctl", "restart", "systemd-networkd", "nftables")
    fabric.on("kvm2", "systemctl", "restart", "NetworkManager", "nftables")
    for name in HOSTS:
        fabric.lab.host(name).reboot(180)
    same(fabric, before, "rebooted")
    assert fabric.verify()["failed"] == 0
    assert set(changed(fabric.play("site.yml")).values()) == {0}

    forward(fabric, "drop")
    (cause,) = causes(fabric)
    assert cause["because"][0] == (
        "r1's own firewall does not forward from kvm1 to kvm2 (192.168.200.1 to 192.168.200.2), "
        "from kvm2 to kvm1 (192.168.200.2 to 192.168.200.1): nftables chain ip filter FORWARD has the policy drop"
    )
    assert cause["look"] == "on r1: nft -a list chain ip filter FORWARD"
    forward(fabric, "accept")
    beside.firewall(fabric.lab.host("kvm1"), "")
    fabric.on("kvm1", "systemctl", "restart", "nftables")
    # OSPF keeps a neighbor for its dead interval.
    neighbor = ("r1", "vtysh", "-c", "show ip ospf neighbor 192.168.200.1")
    wait(lambda: "Full" not in fabric.on(*neighbor), "the end of the adjacency")
    (cause,) = causes(fabric)
    assert cause["title"] == "link kvm1:eth1 <-> r1:eth1"
    assert any(
        text.startswith("kvm1's own firewall drops ")
        and "OSPF from r1 on ul-eth1 (protocol 89)" in text
        and text.endswith(": nftables chain inet filter input has the policy drop")
        for text in cause["because"]
    )
    beside.firewall(fabric.lab.host("kvm1"), beside.KNOWS)
    fabric.on("kvm1", "systemctl", "restart", "nftables")
    assert fabric.verify()["failed"] == 0

    fabric.play("playbooks/teardown.yml")
    # Their own nftables.service has flushed the tables of their others there, as it was restarted.
    del before["kvm1"]["firewall"]
    same(fabric, before, "taken down")

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fabric is broken by hand, and the first screen of verify names the break. Then it is mended, and verify is content."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from test_site import Fabric, one_each
from verifier import Verifier, give_library, plan_of

# Lines of a terminal, counted from its end, which hold the causes and the recap.
SCREEN = 24


class Break(t.NamedTuple):
    """What somebody does by hand on a host, how it is undone, and what verify has to say of it."""

    host: str
    do: list[list[str]]
    undo: list[list[str]]
    title: str
    says: str = ""
    look: str = "on "


def ovs(*words: str) -> list[list[str]]:
    return [["ovs-vsctl", *words]]


def ip(*words: str) -> list[list[str]]:
    return [["ip", *words]]


TUNNEL = "tunnel kvm1 <-> kvm2 of overlay gre"
BREAKS = {
    "remote_ip": Break(
        "kvm1",
        ovs("set", "interface", "gre-kvm2", "options:remote_ip=192.168.200.99"),
        ovs("set", "interface", "gre-kvm2", "options:remote_ip=192.168.200.2"),
        TUNNEL,
        "remote_ip 192.168.200.99; planned is remote_ip 192.168.200.2",
        "on kvm1: ovs-vsctl list interface gre-kvm2",
    ),
    "tunnel key": Break(
        "kvm2",
        ovs("set", "interface", "gre-kvm1", "options:key=7"),
        ovs("remove", "interface", "gre-kvm1", "options", "key"),
        TUNNEL,
        "key 7",
    ),
    "tag": Break(
        "kvm1",
        ovs("set", "port", "v-web1", "tag=77"),
        ovs("set", "port", "v-web1", "tag=10"),
        "endpoint kvm1/web1",
        "tag 77; planned is tag 10",
    ),
    "port down": Break(
        "kvm1",
        ip("link", "set", "v-db1", "down"),
        ip("link", "set", "v-db1", "up"),
        "endpoint kvm1/db1",
        "link_state down",
    ),
    "MTU": Break(
        "r1",
        ip("link", "set", "eth2", "mtu", "1300"),
        ip("link", "set", "eth2", "mtu", "1500"),
        "link kvm2:eth1 <-> r1:eth2",
        "ExStart in area 0.0.0.0; planned is Full in area 0.0.0.0; it stays there where the MTUs of the two ends differ",
        "on kvm2: vtysh",
    ),
    "address": Break(
        "kvm2",
        ip("-n", "web2", "addr", "del", "10.1.1.66/24", "dev", "eth0"),
        ip("-n", "web2", "addr", "add", "10.1.1.66/24", "dev", "eth0"),
        "endpoint kvm2/web2",
        "planned is addresses 10.1.1.66/24",
        "on kvm2: ip -n web2 addr",
    ),
    "forwarding": Break(
        "r1",
        [["sysctl", "-qw", "net.ipv4.ip_forward=0"]],
        [["sysctl", "-qw", "net.ipv4.ip_forward=1"]],
        "underlay kvm1 <-> kvm2",
        "tep-ping",
    ),
    "flow": Break(
        "kvm2",
        [["ovs-ofctl", "del-flows", "br-int"]],
        [["ovs-ofctl", "add-flow", "br-int", "priority=0,actions=NORMAL"]],
        "bridge br-int on kvm2",
        "ping",
        "on kvm2: ovs-ofctl",
    ),
    "checksum": Break(
        "kvm1",
        [["ip", "netns", "exec", "web1", "ethtool", "-K", "eth0", "tx", "on"]],
        [["ip", "netns", "exec", "web1", "ethtool", "-K", "eth0", "tx", "off"]],
        "endpoint kvm1/web1",
        "TCP does not",
        "ethtool -k eth0",
    ),
    "leak": Break(
        "kvm1",
        ovs("set", "port", "v-db1", "tag=10"),
        ovs("set", "port", "v-db1", "tag=20"),
        "endpoint kvm1/db1",
        "tag 10; planned is tag 20",
    ),
    "FRR": Break(
        "r1",
        [["systemctl", "stop", "frr"]],
        [["systemctl", "start", "frr"]],
        "FRR on r1",
        "do not run",
        "on r1: systemctl status frr",
    ),
    "guest": Break(
        "kvm1",
        [["virsh", "-q", "destroy", "vm1"]],
        [["virsh", "-q", "start", "vm1"]],
        "guest kvm1/vm1",
        "not",
        "on kvm1: virsh domstate vm1",
    ),
    "Open vSwitch": Break(
        "kvm2",
        [["systemctl", "stop", "openvswitch-switch", "ovs-vswitchd", "ovsdb-server"]],
        [["systemctl", "start", "openvswitch-switch"]],
        "Open vSwitch on kvm2",
        "",
        "on kvm2: systemctl status openvswitch-switch",
    ),
}


def routed(folder: pathlib.Path, name: str) -> Fabric:
    """Two hosts with a router between them, two segments, a guest; not built yet."""
    fabric = Fabric(folder, name)
    fabric.intent.update(
        fabric_links=[{"ends": ["kvm1:eth1", "r1:eth1"]}, {"ends": ["kvm2:eth1", "r1:eth2"]}],
        fabric_routing={"hello_interval": 1, "dead_interval": 3},
        fabric_segments=[
            {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24"},
            {"name": "db", "vlan": 20, "subnet": "10.1.2.0/24"},
        ],
    )
    guest = {"name": "vm1", "kind": "guest", "segment": "web", "guest": {"image": "lab"}}
    fabric.hosts = {f"kvm{number}": one_each(number, ("web", "db")) for number in (1, 2)}
    fabric.hosts["kvm1"]["fabric_endpoints"].append(guest)
    fabric.routers = {"r1": {}}
    fabric.write()
    return fabric


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    with routed(tmp_path_factory.mktemp("breaks"), f"breaks-{os.getpid()}").built() as fabric:
        yield fabric


@pytest.fixture(scope="module")
def verifier(fabric):
    found = measuring(fabric)
    report = found.run()
    assert report["failed"] == 0, "\n".join(report["lines"])
    return found


def measuring(fabric: Fabric) -> Verifier:
    """The measurements, without Ansible's start of each task."""
    found = Verifier(plan_of(fabric.folder), fabric.lab)
    for host in found.hosts.values():
        give_library(host)
    return found


def screen(report: dict) -> str:
    return "\n".join(report["lines"][-SCREEN:])


@pytest.mark.parametrize("name", BREAKS)
def test_the_first_screen_names_the_break(fabric, verifier, name):
    broken = BREAKS[name]
    for command in broken.do:
        fabric.on(broken.host, *command)
    try:
        report = verifier.run()
    finally:
        for command in broken.undo:
            fabric.on(broken.host, *command)
        verifier.recover()
    shown = screen(report)
    assert [cause["title"] for cause in report["causes"]] == [broken.title], shown
    (line,) = [line for line in shown.splitlines() if f"✗ {broken.title}:" in line]
    assert broken.says in line, shown
    assert f"look {broken.look}" in shown or broken.look in shown, shown
    covered = sorted(number for cause in report["causes"] for number in cause["checks"])
    assert covered == [number for number, check in enumerate(report["checks"]) if not check["passed"]]


def test_mended_all_is_well_again(verifier):
    """At the latest in the third run: once, right after a tunnel was mended on a busy machine, frames into it were lost for a run."""
    verifier.settle = 10
    for _attempt in range(3):
        report = verifier.run()
        if report["failed"] == 0:
            break
    assert report["failed"] == 0, "\n".join(report["lines"])

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fabric is broken by hand, and the first screen of verify names the break. Then it is mended, and verify is content."""

from __future__ import annotations

import concurrent.futures
import json
import os
import time
import typing as t

import pytest
from test_site import Fabric
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
        "ExStart in area 0.0.0.0; planned is Full in area 0.0.0.0; the MTUs of the two ends differ",
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


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    """Two hosts with a router between them, two segments, a guest."""
    fabric = Fabric(tmp_path_factory.mktemp("breaks"), f"breaks-{os.getpid()}")
    fabric.intent.update(
        fabric_links=[{"ends": ["kvm1:eth1", "r1:eth1"]}, {"ends": ["kvm2:eth1", "r1:eth2"]}],
        fabric_routing={"hello_interval": 1, "dead_interval": 3},
        fabric_segments=[
            {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24"},
            {"name": "db", "vlan": 20, "subnet": "10.1.2.0/24"},
        ],
    )
    guest = {"name": "vm1", "kind": "guest", "segment": "web", "guest": {"image": "lab"}}
    fabric.hosts = {
        f"kvm{n}": {"fabric_endpoints": [{"name": f"{name}{n}", "segment": name} for name in ("web", "db")]}
        for n in (1, 2)
    }
    fabric.hosts["kvm1"]["fabric_endpoints"].append(guest)
    fabric.routers = {"r1": {}}
    fabric.write()
    fabric.play("playbooks/lab.yml")
    try:
        fabric.play("site.yml")
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


@pytest.fixture(scope="module")
def verifier(fabric):
    """The measurements, without Ansible's start of each task."""
    found = Verifier(plan_of(fabric.folder), fabric.lab)
    for host in found.hosts.values():
        give_library(host)
    report = found.run()
    assert report["failed"] == 0, "\n".join(report["lines"])
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


def test_a_host_that_is_down_is_asked_once_and_named_once_by_the_playbook(fabric):
    """The whole way, as its user goes it, after all the breaks were mended: one sentence, and a next command on a host that answers."""
    fabric.on("kvm2", "systemctl", "poweroff")
    time.sleep(3)
    said = fabric.play(
        "playbooks/verify.yml", "-e", f"verify_report={fabric.folder}/reports", "-e", "verify_settle=2", ok=False
    )
    report = json.loads((fabric.folder / "reports/verify.json").read_text())
    assert [cause["title"] for cause in report["causes"]] == ["host kvm2 does not answer"], said
    assert said.count("UNREACHABLE") == 1 and "1 cause: host kvm2 does not answer" in said
    assert "on kvm1: ping -c 3 192.168.200.2" in said and "look on kvm2" not in said


def test_mended_all_is_well_again_and_two_runs_side_by_side_do_not_disturb_each_other(fabric, verifier):
    fabric.play("playbooks/lab.yml")
    fabric.play("site.yml")
    give_library(verifier.hosts["kvm2"])
    verifier.settle = 10
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        reports = list(pool.map(lambda _number: verifier.run(), range(2)))
    verifier.settle = 1
    for report in reports:
        assert report["failed"] == 0, "\n".join(report["lines"])


def test_a_run_that_was_killed_leaves_the_next_one_alone_and_no_old_report(fabric):
    """Killed while it listens, as by Ctrl-C: its listeners answer nobody else, and its report is not taken for the next one's."""
    old = fabric.folder / "reports/verify.json"
    old.parent.mkdir(exist_ok=True)
    old.write_text("{}")
    process = fabric.start("ansible-playbook", "playbooks/verify.yml", "-e", f"verify_report={fabric.folder}/reports")
    for line in process.stdout:
        if "Transfer by TCP" in line:
            break
    process.kill()
    process.communicate()
    assert not old.exists()
    assert fabric.verify()["failed"] == 0


def test_a_switch_that_is_being_restarted_is_asked_again(fabric):
    """It answers nobody for some moments; one question falls into them, and no more."""
    once = '#!/bin/sh\nrm -- "$0"\necho "ovs-ofctl: br-int is not a bridge or a socket" >&2\nexit 1\n'
    place = "/usr/local/sbin/ovs-ofctl"
    fabric.on("kvm1", "sh", "-c", f"printf '%s' '{once}' > {place}; chmod 755 {place}")
    said = fabric.play("playbooks/verify.yml", "-e", f"verify_report={fabric.folder}/reports")
    assert "RETRYING: [kvm1]: Read the switch" in said.replace("verify : ", ""), said
    assert json.loads((fabric.folder / "reports/verify.json").read_text())["failed"] == 0

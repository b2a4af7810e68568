# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts on which others were at work before the fabric: what is theirs is refused before the first change, or adopted and given back."""

from __future__ import annotations

import os
import re

import pytest
from test_site import Fabric, changed

SECURE = ["ovs-vsctl", "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail_mode=secure"]


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    fabric = Fabric(tmp_path_factory.mktemp("others"), f"others-{os.getpid()}")
    fabric.play("playbooks/lab.yml")
    fabric.on("kvm1", "systemctl", "start", "openvswitch-switch")
    try:
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


@pytest.fixture
def empty(fabric):
    """The fabric's hosts without the fabric, and after the test without what others made."""
    fabric.play("playbooks/teardown.yml")
    yield fabric
    fabric.intent.pop("fabric_adopt", None)
    fabric.write()
    fabric.play("playbooks/teardown.yml")
    for command in (
        "for bridge in $(ovs-vsctl list-br); do ovs-vsctl del-br $bridge; done",
        "for name in $(ls /run/netns); do ip netns delete $name; done",
    ):
        fabric.on("kvm1", "sh", "-c", command)


def refused(fabric: Fabric, *arguments: str) -> str:
    """What site.yml says as it refuses, on one line; no host was changed."""
    out = fabric.play("site.yml", *arguments, ok=False)
    assert set(changed(out).values()) == {0}, out
    return " ".join(out.split())


def test_a_bridge_of_another_controller_is_refused_in_one_sentence_and_left_as_it_is(empty):
    empty.on("kvm1", *SECURE)
    for cookie in ("0x2a", "0x2b"):
        empty.on("kvm1", "ovs-ofctl", "add-flow", "br-int", f"cookie={cookie},in_port={int(cookie, 16)},actions=drop")

    def look() -> str:
        return empty.on("kvm1", "ovs-vsctl", "list", "bridge") + empty.on(
            "kvm1", "ovs-ofctl", "dump-flows", "--no-stats", "br-int"
        )

    before = look()
    for arguments in (["--limit", "kvm1"], ["--limit", "kvm1", "--check"], []):
        said = refused(empty, *arguments)
        assert (
            "1. kvm1: bridge br-int was there before the fabric and is in use (fail_mode secure, 2 flows with cookie 0x2a, 0x2b);"
            in said
        )
        assert (
            "name another bridge in fabric_overlays[gre].bridge, or set fabric_adopt to let the fabric use this one."
            in said
        )
        assert look() == before


def test_all_that_others_use_is_told_of_all_hosts_at_once(empty):
    empty.on("kvm1", "ovs-vsctl", "add-br", "br-int", "--", "set-controller", "br-int", "tcp:192.0.2.9")
    empty.on(
        "kvm1",
        "ovs-vsctl",
        "add-br",
        "br-underlay",
        "--",
        "add-port",
        "br-underlay",
        "p0",
        "--",
        "set",
        "interface",
        "p0",
        "type=internal",
    )
    empty.on("kvm1", "ip", "netns", "add", "red")
    empty.on("kvm1", "ip", "link", "add", "v-red", "type", "veth", "peer", "name", "theirs", "netns", "red")
    empty.on("kvm1", "ip", "address", "add", "192.168.200.1/24", "dev", "v-red")
    empty.on("kvm2", "ip", "address", "add", "192.0.2.7/24", "dev", "eth1")
    try:
        said = refused(empty)
    finally:
        empty.on("kvm2", "ip", "address", "flush", "dev", "eth1")
    for sentence in (
        "kvm1: bridge br-int was there before the fabric and is in use (controller tcp:192.0.2.9)",
        "kvm1: bridge br-underlay was there before the fabric and is in use (port p0); name another bridge in fabric_underlay.bridge",
        "kvm1: namespace red was there before the fabric and is in use (interface theirs); give the endpoint red another name in fabric_endpoints of kvm1",
        "kvm1: interface v-red was there before the fabric and is in use (an interface of the kind veth)",
        "kvm1: address 192.168.200.1/24 was there before the fabric and is in use (interface v-red has it); take it off there",
        "kvm2: nic eth1 was there before the fabric and is in use (address 192.0.2.7/24); name another one in fabric_underlay_interface of kvm2",
    ):
        assert sentence in said
    assert len(set(re.findall(r"\d\. kvm\d: ", said))) == 6


def test_another_fabrics_things_are_refused_by_its_name(empty):
    empty.on(
        "kvm1", "ovs-vsctl", "add-br", "br-int", "--", "set", "bridge", "br-int", "external_ids:overloom-owner=blue"
    )
    assert "kvm1: bridge br-int belongs to the owner blue; name another bridge" in refused(empty)


def test_a_wrong_nic_is_an_error_that_names_those_that_are_there_in_check_mode_too(empty):
    empty.intent["fabric_underlay"] = {"interface": "enp7s0"}
    empty.write()
    try:
        for arguments in ([], ["--check"]):
            said = refused(empty, *arguments)
            assert (
                "kvm1: there is no interface enp7s0; the host has eth1; name another one in fabric_underlay_interface of kvm1."
                in said
            )
            assert "kvm2: there is no interface enp7s0" in said
    finally:
        del empty.intent["fabric_underlay"]
        empty.write()


def test_open_vswitch_that_was_restarted_by_hand_is_taken_as_it_runs(empty):
    empty.play("site.yml")
    empty.on("kvm1", "/usr/share/openvswitch/scripts/ovs-ctl", "restart")
    state = empty.on("kvm1", "systemctl", "show", "--property=ActiveState", "--value", "ovs-vswitchd.service")
    assert state.strip() != "active", "systemd knows of it here"
    empty.play("site.yml")
    assert set(changed(empty.play("site.yml")).values()) == {0}
    assert empty.verify()["failed"] == 0
    empty.on("kvm1", "systemctl", "stop", "ovs-vswitchd.service")
    empty.on("kvm1", "/usr/share/openvswitch/scripts/ovs-ctl", "stop")
    empty.play("site.yml")
    assert empty.verify()["failed"] == 0


def test_two_runs_at_once_take_turns_and_a_killed_one_leaves_no_lock(empty):
    runs = [empty.start("ansible-playbook", "site.yml") for _number in range(2)]
    for run in runs:
        out, _err = run.communicate(timeout=600)
        assert run.returncode == 0, out
    assert set(changed(empty.play("site.yml")).values()) == {0}
    hold = "import socket,time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('\\0overloom-lock/network'); print(1, flush=True); time.sleep(600)"
    empty.on("kvm1", "sh", "-c", f'python3 -c "{hold}" >/dev/null 2>&1 & echo $! >/run/holder')
    empty.on("kvm1", "sh", "-c", "kill -KILL $(cat /run/holder)")
    assert set(changed(empty.play("site.yml")).values()) == {0}


def test_an_empty_bridge_and_namespace_that_a_person_prepared_are_used(empty):
    empty.on("kvm1", "ovs-vsctl", "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev")
    empty.on("kvm1", "ip", "netns", "add", "red")
    empty.play("site.yml")
    assert set(changed(empty.play("site.yml")).values()) == {0}
    empty.play("playbooks/teardown.yml")
    assert empty.on("kvm1", "ovs-vsctl", "list-br").split() == ["br-int"]
    assert empty.on("kvm1", "ip", "netns", "list").split()[:1] == ["red"]


def test_an_adopted_bridge_keeps_what_its_controller_set_and_is_given_back(empty):
    empty.on("kvm1", *SECURE)
    empty.on("kvm1", "ovs-ofctl", "add-flow", "br-int", "cookie=0x2a,priority=5,actions=normal")

    def look() -> str:
        columns = "--columns=name,fail_mode,controller,external_ids,other_config,datapath_type,protocols"
        return empty.on("kvm1", "ovs-vsctl", columns, "list", "bridge", "br-int") + empty.on(
            "kvm1", "ovs-ofctl", "dump-flows", "--no-stats", "br-int"
        )

    before = look()
    empty.intent["fabric_adopt"] = ["br-int"]
    empty.write()
    empty.play("site.yml")
    assert "secure" in empty.on("kvm1", "ovs-vsctl", "get", "bridge", "br-int", "fail_mode")
    assert "cookie=0x2a" in empty.on("kvm1", "ovs-ofctl", "dump-flows", "br-int")
    assert set(changed(empty.play("site.yml")).values()) == {0}
    assert empty.verify()["failed"] == 0
    empty.play("playbooks/teardown.yml")
    assert look() == before

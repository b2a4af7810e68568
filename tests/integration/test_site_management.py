# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml on hosts whose only NIC has their default route: refused, moved with a way back, undone, given back."""

from __future__ import annotations

import json
import os
import re

import pytest
from harness import PATH
from test_site import Fabric, changed

HOSTS = ("kvm1", "kvm2")
ALLOWED = ("-e", "kvm_host_take_default_route_interface=true")


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    fabric = Fabric(tmp_path_factory.mktemp("management"), f"mgmt-{os.getpid()}")
    fabric.play("playbooks/lab.yml")
    try:
        for number, name in enumerate(HOSTS, 1):
            fabric.on(name, "ip", "address", "add", f"192.0.2.{number}/24", "dev", "eth1")
            fabric.on(name, "ip", "link", "set", "eth1", "up")
            fabric.on(name, "ip", "route", "add", "default", "via", "192.0.2.9", "dev", "eth1", "proto", "static")
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


def network(fabric: Fabric) -> dict[str, str]:
    """Where each host's address and default route are."""
    found = {}
    for name in HOSTS:
        address = fabric.on(name, "ip", "-oneline", "address", "show", "to", "192.0.2.0/24").split()
        route = fabric.on(name, "ip", "route", "show", "default").split()
        found[name] = f"{address[1]} {address[3]} {' '.join(route)}"
    return found


def there(device: str) -> dict[str, str]:
    routes = f"default via 192.0.2.9 dev {device} proto static"
    return {name: f"{device} 192.0.2.{number}/24 {routes}" for number, name in enumerate(HOSTS, 1)}


def test_the_nic_is_refused_and_nothing_is_made(fabric):
    output = re.sub(r"\s+", " ", fabric.play("site.yml", ok=False))
    for name in HOSTS:
        assert f"{name}: the underlay has the NIC eth1, which carries the host's default route" in output
    assert "which moves its addresses to the bridge, with a way back" in output
    assert network(fabric) == there("eth1")


def test_a_host_that_undoes_the_change_is_told_of(fabric):
    """As soon as the NIC is on the bridge the host takes its time for up."""
    undo = f"overloom-checkpoint-{fabric.intent['fabric_name']}.service"
    early = f"until ovs-vsctl port-to-br eth1; do sleep 0.05; done; sleep 1; systemctl start {undo}"
    fabric.on("kvm1", "systemd-run", f"--setenv=PATH={PATH}", "sh", "-c", early)
    output = re.sub(r"\s+", " ", fabric.play("site.yml", *ALLOWED, "--limit", "kvm1", ok=False))
    assert "kvm1: with eth1 on br-underlay the change was not confirmed" in output
    assert network(fabric) == there("eth1")
    assert "eth1" not in fabric.on("kvm1", "ovs-vsctl", "list-ports", "br-underlay")


def test_a_task_that_comes_too_late_changes_nothing(fabric):
    """The host takes its time for up before the NIC is put on the bridge, and has undone the change by then."""
    name = fabric.intent["fabric_name"]
    undo, takeover = f"overloom-checkpoint-{name}.service", "/etc/systemd/system/overloom-takeover-eth1.service"
    early = f"until test -e {takeover}; do sleep 0.05; done; systemctl start {undo}"
    fabric.on("kvm1", "systemd-run", f"--setenv=PATH={PATH}", "sh", "-c", early)
    output = re.sub(r"\s+", " ", fabric.play("site.yml", *ALLOWED, "--limit", "kvm1", ok=False))
    assert f"checkpoint {name} is not armed any more, as its time ran out, so nothing was changed" in output
    assert network(fabric) == there("eth1")
    assert "eth1" not in fabric.on("kvm1", "ovs-vsctl", "--columns=name", "list", "Port")


def test_the_nic_moves_and_everything_holds_also_after_a_reboot(fabric):
    foretold = changed(fabric.play("site.yml", *ALLOWED, "--check"))
    assert all(foretold.values()) and network(fabric) == there("eth1")
    assert all(changed(fabric.play("site.yml", *ALLOWED)).values())
    assert network(fabric) == there("br-underlay")
    assert set(changed(fabric.play("site.yml", *ALLOWED)).values()) == {0}
    assert fabric.verify()["failed"] == 0
    fabric.lab.host("kvm1").reboot()
    fabric.lab.host("kvm1").run(["systemctl", "is-system-running", "--wait"], ok=None)
    assert network(fabric) == there("br-underlay")
    assert fabric.verify()["failed"] == 0
    assert set(changed(fabric.play("site.yml", *ALLOWED)).values()) == {0}
    # The word is still needed.
    assert "which carries the host's" in fabric.play("site.yml", ok=False)


def test_a_run_after_an_interrupted_one_confirms_it(fabric):
    """Nothing is left to be changed, and a way back of before is armed, which would undo it all."""
    name = fabric.intent["fabric_name"]
    fabric.play("site.yml", *ALLOWED)
    armed = {"name": name, "owner": name, "interfaces": ["eth1", "br-underlay"], "timeout": 600}
    fabric.run("ansible", "kvm1", "-m", "overloom.fabric.host_checkpoint", "-a", json.dumps(armed))
    host = fabric.lab.host("kvm1")
    assert host.exists(f"/var/lib/overloom/checkpoint/{name}.json")
    fabric.play("site.yml", *ALLOWED, "--limit", "kvm1")
    assert not host.exists("/var/lib/overloom/checkpoint") and network(fabric) == there("br-underlay")


def test_a_teardown_gives_the_nic_back(fabric):
    fabric.play("site.yml", *ALLOWED)
    fabric.play("playbooks/teardown.yml")
    assert network(fabric) == there("eth1")
    for name in HOSTS:
        assert fabric.on(name, "ovs-vsctl", "list-br") == ""
        assert fabric.on(name, "find", "/etc/systemd", "-name", "*overloom-*") == ""
    assert set(changed(fabric.play("playbooks/teardown.yml")).values()) == {0}

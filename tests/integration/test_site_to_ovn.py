# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of an overlay changes in place, and nothing else of the intent: what is left of the former one, and who tells."""

from __future__ import annotations

import copy
import json
import os
import typing as t

import pytest
from test_site import Fabric, changed

BEFORE: dict[str, t.Any] = {"name": "ov", "encapsulation": "geneve"}
# What an overlay says besides, for each of the engines.
ENGINES: dict[str, dict[str, str]] = {"bridges": {}, "flows": {"segments_by": "key"}, "ovn": {"engine": "ovn"}}
# Each of the six ways from one to another.
WAYS = ("bridges", "flows", "bridges", "ovn", "flows", "ovn", "bridges")
INTENT: dict[str, t.Any] = {
    "fabric_overlays": [BEFORE, {"name": "office", "encapsulation": "vlan"}],
    "fabric_segments": [
        {"name": "web", "vlan": 10, "key": 1010, "overlay": "ov", "subnet": "10.1.1.0/24"},
        {"name": "db", "vlan": 20, "key": 1020, "overlay": "ov", "subnet": "10.1.2.0/24"},
        {"name": "wan", "vlan": 30, "overlay": "office", "subnet": "10.9.0.0/24"},
    ],
    "fabric_edges": [
        {
            "name": "gw",
            "hosts": ["kvm1"],
            "legs": [
                {"segment": "web", "address": "10.1.1.1"},
                {"segment": "db", "address": "10.1.2.1"},
                {"segment": "wan", "address": "10.9.0.1", "gateway": False},
            ],
            "nat": [{"from": "web", "out": "wan"}],
        }
    ],
    "fabric_policy": [{"name": "all", "from": ["web", "db"]}],
}
ENDPOINTS = {
    "kvm1": [{"name": "web1", "segment": "web"}, {"name": "isp", "segment": "wan", "address": "10.9.0.2"}],
    "kvm2": [{"name": "web2", "segment": "web"}, {"name": "db2", "segment": "db"}],
}


@pytest.fixture(name="fabric")
def with_an_edge_in_a_namespace(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Fabric]:
    fabric = Fabric(tmp_path_factory.mktemp("to_ovn"), f"toovn-{os.getpid()}")
    fabric.intent.update(copy.deepcopy(INTENT))
    fabric.hosts = {name: {"fabric_endpoints": points} for name, points in copy.deepcopy(ENDPOINTS).items()}
    fabric.write()
    try:
        fabric.play("playbooks/lab.yml")
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


def spaces(fabric: Fabric) -> set[str]:
    return {line.split()[0] for line in fabric.on("kvm1", "ip", "netns", "list").splitlines()}


def test_the_namespace_is_told_of_by_drift_and_gone_with_the_change(fabric: Fabric) -> None:
    fabric.play("site.yml")
    assert {"gw", "web1", "isp"} <= spaces(fabric)
    fabric.on("kvm1", "ip", "netns", "exec", "web1", "ping", "-c", "1", "-W", "5", "10.1.1.1")
    fabric.intent["fabric_overlays"] = [{**BEFORE, "engine": "ovn"}, INTENT["fabric_overlays"][1]]
    # What OVN alone can do besides, of which nothing may count as another's.
    mirrors = [{"to": "192.168.200.99", "direction": "sent"}]
    fabric.hosts["kvm1"]["fabric_endpoints"][0].update(mirrors=mirrors, qos={"dscp": 46})
    fabric.write()
    told = fabric.play("playbooks/drift.yml", ok=False)
    assert "of the fabric, and no longer in the intent" in told and "kvm1 namespace gw" in told
    fabric.play("site.yml")
    # Neither the namespace nor its ends, tables and unit are left.
    assert spaces(fabric) == {"web1", "isp"}
    assert "gw" not in fabric.on("kvm1", "ovs-vsctl", "list-ports", "br-underlay")
    assert not fabric.on("kvm1", "find", "/etc/systemd/system", "-maxdepth", "1", "-name", "*gw*").strip()
    tunnel = f"ovn-{fabric.lab.name}/gre:192.168.200.99:0"
    assert tunnel in fabric.on("kvm1", "ovs-vsctl", "list-ports", "br-ovn").split()
    assert tunnel not in fabric.play("playbooks/drift.yml")
    report = fabric.verify()
    assert report["failed"] == 0, report
    fabric.play("playbooks/teardown.yml")
    for host in ENDPOINTS:
        assert not fabric.on(host, "ovs-vsctl", "list-br").strip(), host


# What there is on a host: bridges with their ports, settings of Open vSwitch, switches of OVN, namespaces, interfaces, units and files.
# OVN's databases stay where they were, empty (docs/scenarios/ovn.md).
LOOK = """
for bridge in $(ovs-vsctl list-br); do echo bridge $bridge $(ovs-vsctl list-ports $bridge); done
ovs-vsctl --columns=external_ids,other_config list Open_vSwitch
ovn-nbctl --timeout=10 --bare --columns=name list Logical_Switch
ip netns list | sed 's/ (id.*//'
ip -o link | sed 's/^[0-9]*: //; s/[@:].*//'
systemctl list-units --type=service --all --no-legend --plain 'overloom*' 'ovn-host*' 'ovn-controller*' |
  while read unit load active rest; do echo $unit $active; done
find /etc/systemd/system /etc/overloom /etc/netns /var/lib/overloom /etc/sysctl.d /etc/modules-load.d ! -type d ! -name ovn-central.service
true
"""


def things(fabric: Fabric) -> dict[str, set[str]]:
    return {host: set(fabric.on(host, "sh", "-c", f"({LOOK}) 2>/dev/null").splitlines()) for host in ENDPOINTS}


# Who sends to which address of the edge.
GATEWAYS = {
    ("kvm1", "web1"): "10.1.1.1",
    ("kvm1", "isp"): "10.9.0.1",
    ("kvm2", "web2"): "10.1.1.1",
    ("kvm2", "db2"): "10.1.2.1",
}


def gateways(fabric: Fabric) -> dict[tuple[str, str], str]:
    """The MAC address by which each endpoint reaches the edge, as soon as that answers."""
    found = {}
    for (host, name), address in GATEWAYS.items():
        fabric.on(host, "ip", "netns", "exec", name, "ping", "-c", "1", "-w", "60", address)
        known = json.loads(fabric.on(host, "ip", "-json", "-n", name, "neighbor", "show", address))
        found[host, name] = known[0]["lladdr"]
    return found


def test_one_intent_goes_from_each_engine_to_each_other(fabric: Fabric) -> None:
    """Nothing of a former engine is left, so what there is with one does not hang on those before it."""
    seen: dict[str, dict[str, set[str]]] = {}
    known: dict[tuple[str, str], str] = {}
    for engine in WAYS:
        fabric.intent["fabric_overlays"] = [{**BEFORE, **ENGINES[engine]}, INTENT["fabric_overlays"][1]]
        fabric.write()
        fabric.play("site.yml")
        assert set(changed(fabric.play("site.yml")).values()) == {0}, engine
        # No endpoint has to learn another MAC address of the edge.
        known = known or gateways(fabric)
        assert gateways(fabric) == known, engine
        report = fabric.verify()
        assert report["failed"] == 0, (engine, report)
        now = things(fabric)
        first = seen.setdefault(engine, now)
        assert now == first, (engine, {host: now[host] ^ first[host] for host in now})

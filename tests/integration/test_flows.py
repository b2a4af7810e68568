# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipeline of tenants and the user's own flows on real switches: as planned, changed by hand, changed in the intent, restarted."""

from __future__ import annotations

import contextlib
import itertools
import os
import re

import pytest
from test_site import Fabric, changed

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, scale

TENANTS = {
    "fabric_overlays": [{"encapsulation": "vxlan", "segments_by": "key"}],
    "fabric_segments": [
        {
            "name": "acme",
            "tenant": "acme",
            "key": 5001,
            "subnet": "10.0.0.0/24",
            "subnet6": "2001:db8::/64",
            "learn": True,
        },
        {"name": "bolt", "tenant": "bolt", "key": 70001, "subnet": "10.0.0.0/24", "subnet6": "2001:db8::/64"},
    ],
}


class Site(Fabric):
    """A fabric with an intent of its own."""

    def __init__(self, folder, name, hosts, intent):
        super().__init__(folder, name)
        self.hosts = hosts
        self.intent = {"fabric_name": name, "ansible_connection": "overloom.fabric.lab", **intent}
        self.write()

    def plan(self):
        return compile_plan({name: {**self.intent, **host} for name, host in self.hosts.items()}, SPEC)

    def try_on(self, host, *argv):
        """A command whose end does not matter."""
        return self.lab.host(host).run(argv, ok=None)


@contextlib.contextmanager
def standing(folder, name, hosts, intent):
    """The site, built on a lab of its own, which is taken away in the end."""
    with Site(folder, f"{name}-{os.getpid()}", hosts, intent).built() as site:
        yield site


def points(*names):
    """Endpoints, each on the segment that its name begins with, with the number at its end as address."""
    return [
        {"name": name, "segment": name[:4], "address": f"10.0.0.{name[4:]}", "address6": f"2001:db8::{name[4:]}"}
        for name in names
    ]


@pytest.fixture(scope="module")
def tenants(tmp_path_factory):
    hosts = {
        "kvm1": {"fabric_endpoints": points("acme1", "bolt1")},
        "kvm2": {"fabric_endpoints": points("acme2", "bolt2", "bolt4")},
        "kvm3": {"fabric_endpoints": points("bolt3")},
    }
    with standing(tmp_path_factory.mktemp("tenants"), "tenants", hosts, TENANTS) as fabric:
        yield fabric


def flows(fabric, host):
    """The fabric's own flows and others on a host's integration bridge, without counters."""
    return fabric.on(
        host, "ovs-ofctl", "-O", "OpenFlow15", "--names", "--no-stats", "dump-flows", "br-int"
    ).splitlines()


def test_tenants_with_one_subnet_are_apart_and_a_second_run_changes_nothing(tenants):
    assert set(changed(tenants.play("site.yml")).values()) == {0}
    assert " table=isolate," in tenants.on(
        "kvm1", "ovs-ofctl", "-O", "OpenFlow15", "--names", "dump-flows", "br-int"
    ), "tables have names"
    report = tenants.verify()
    assert report["failed"] == 0
    kinds = {kind: sum(check["kind"] == kind for check in report["checks"]) for kind in ("flows", "ping", "isolation")}
    assert kinds == {"flows": 3, "ping": 2 * (2 + 12), "isolation": 2 * 2 * 8}


def test_the_switch_traces_each_pair_as_the_plan_says(tenants):
    """ofproto/trace of a frame from each endpoint to the MAC address of each other: to its port, to the tunnel to its host, or not at all."""
    plan = tenants.plan()
    spaces = {f"{name}/{space['name']}": space for name, host in plan["hosts"].items() for space in host["namespaces"]}
    for one, other in itertools.permutations(plan["endpoints"], 2):
        frame = f'in_port="{spaces[one["id"]]["outer"]}",dl_src={one["mac"]},dl_dst={other["mac"]},dl_type=0x0800'
        said = tenants.on(one["host"], "ovs-appctl", "ofproto/trace", "br-int", frame)
        if one["segment"] == "bolt" != other["segment"]:
            assert "Datapath actions: drop" in said
        elif one["segment"] != other["segment"]:
            # acme learns, so what it does not know goes to all of acme, and to no other.
            keys = set(re.findall("set_field:(0x[0-9a-f]+)->tun_id", said))
            assert (
                keys == {"0x1389"}
                and f"output:{number_of(tenants, one['host'], spaces[one['id']]['outer'].replace('acme', 'bolt'))}\n"
                not in said
            )
        elif one["host"] == other["host"]:
            assert f"output:{number_of(tenants, one['host'], spaces[other['id']]['outer'])}\n" in said
        else:
            key = next(segment["key"] for segment in plan["segments"] if segment["name"] == one["segment"])
            assert f"set_field:{key:#x}->tun_id" in said and "tnl_push" in said
            assert f"output:{number_of(tenants, one['host'], 'vxlan-' + other['host'])}\n" in said


def number_of(fabric, host, port):
    return fabric.on(host, "ovs-vsctl", "get", "Interface", port, "ofport").strip()


def test_a_segment_is_not_flooded_to_a_host_that_has_none_of_it(tenants):
    """A broadcast of acme's reaches kvm2, where acme is, and no packet of it kvm3. The control is bolt's, which does reach kvm3."""

    def came(row):
        # What the datapath has counted is with the flows only after its next round.
        tenants.on("kvm3", "ovs-appctl", "revalidator/wait")
        said = tenants.on("kvm3", "ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "br-int", "table=0")
        return int(re.search(rf"n_packets=(\d+),.* {row} ", said).group(1))

    unclaimed, bolt = came("priority=0"), came("priority=100,tun_id=0x11171")
    for space in ("acme1", "bolt1"):
        tenants.try_on(
            "kvm1", "ip", "netns", "exec", space, "ping", "-c", "5", "-i", "0.2", "-W", "0.2", "-b", "10.0.0.255"
        )
    assert came("priority=100,tun_id=0x11171") >= bolt + 5
    assert came("priority=0") == unclaimed


def plugged_in(fabric, host, number):
    """A namespace of which the plan knows nothing, plugged by hand into the wire of the segment acme. Returns its MAC address."""
    ports = next(
        bridge["ports"] for bridge in fabric.plan()["hosts"][host]["bridges"] if bridge["name"] == "br-int-plug"
    )
    vlan = next(port["tag"] for port in ports if port["name"] == "t-acme")
    space, mac = f"stranger{number}", f"0a:00:00:00:00:{number:02x}"
    fabric.on(host, "ip", "netns", "add", space)
    fabric.on(
        host, "ip", "link", "add", f"x-{number}", "type", "veth", "peer", "name", "eth0", "address", mac, "netns", space
    )
    for argv in (["link", "set", "eth0", "mtu", "1400", "up"], ["addr", "add", f"10.0.0.{number}/24", "dev", "eth0"]):
        fabric.on(host, "ip", "-n", space, *argv)
    fabric.on(host, "ip", "-n", space, "addr", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")
    fabric.on(host, "ip", "link", "set", f"x-{number}", "up")
    fabric.on(host, "ovs-vsctl", "add-port", "br-int-plug", f"x-{number}", f"tag={vlan}")
    return mac


@pytest.fixture
def strangers(tenants):
    """Two such namespaces, on two hosts; their MAC addresses."""
    places = (("kvm1", 201), ("kvm2", 202))
    yield [plugged_in(tenants, host, number) for host, number in places]
    for host, number in places:
        tenants.on(host, "ovs-vsctl", "del-port", "br-int-plug", f"x-{number}")
        tenants.on(host, "ip", "netns", "del", f"stranger{number}")


def test_endpoints_that_no_plan_knows_talk_across_hosts_and_to_nobody_of_another_tenant(tenants, strangers):
    def reaches(host, space, address):
        return tenants.lab.host(host).answered(address, ["ip", "netns", "exec", space])

    def silent(host, space, address):
        return not tenants.lab.host(host).answered(address, ["ip", "netns", "exec", space], 1)

    places = {("kvm1", "stranger201"): "10.0.0.202", ("kvm2", "stranger202"): "10.0.0.201"}
    for (host, space), other in places.items():
        # With each other, with planned endpoints of the same and of the other host, and back; in IPv6, too.
        for address in (
            other,
            "10.0.0.1",
            "10.0.0.2",
            other.replace("10.0.0.", "2001:db8::"),
            "2001:db8::1",
            "2001:db8::2",
        ):
            assert reaches(host, space, address), (host, address)
        # Only bolt has these.
        for address in ("10.0.0.3", "10.0.0.4", "2001:db8::3"):
            assert silent(host, space, address), (host, address)
    assert reaches("kvm1", "acme1", "10.0.0.202") and silent("kvm1", "bolt1", "10.0.0.202")
    assert reaches("kvm1", "bolt1", "10.0.0.4")
    for host in ("kvm1", "kvm2"):
        learned = [line for line in flows(tenants, host) if "table=learned" in line]
        assert all("cookie=0x1389," in line and "metadata=0x1389" in line for line in learned)
        assert all(any(f"dl_dst={mac}" in line for line in learned) for mac in strangers)
    # What is learned is the switch's own, and nothing of it concerns the host that has no acme.
    assert tenants.verify()["failed"] == 0
    assert set(changed(tenants.play("site.yml")).values()) == {0}
    assert not any("table=learn" in line for line in flows(tenants, "kvm3"))


@pytest.mark.usefixtures("strangers")
def test_a_stranger_cannot_take_a_planned_endpoints_place(tenants):
    """It gives itself the address, then also the MAC address of acme2: acme1 still finds acme2, and its frames."""
    planned = next(point for point in tenants.plan()["endpoints"] if point["id"] == "kvm2/acme2")
    tenants.on("kvm1", "ip", "-n", "stranger201", "addr", "add", "10.0.0.2/24", "dev", "eth0")
    for mac in ("0a:00:00:00:00:c9", planned["mac"]):
        tenants.on("kvm1", "ip", "-n", "stranger201", "link", "set", "eth0", "address", mac)
        tenants.on("kvm1", "ip", "-n", "acme1", "neigh", "flush", "all")
        tenants.try_on(
            "kvm1",
            "ip",
            "netns",
            "exec",
            "stranger201",
            "ping",
            "-c",
            "2",
            "-i",
            "0.2",
            "-W",
            "0.3",
            "-I",
            "10.0.0.2",
            "10.0.0.1",
        )
        assert tenants.lab.host("kvm1").answered("10.0.0.2", ["ip", "netns", "exec", "acme1"])
        assert planned["mac"] in tenants.on("kvm1", "ip", "-n", "acme1", "neigh", "show", "10.0.0.2")
    assert tenants.verify()["failed"] == 0


def test_neighbors_are_answered_on_the_host(tenants):
    """With the tunnel's far end gone, addresses are still known: ARP and neighbor discovery need no one else."""
    tenants.on("kvm2", "ovs-vsctl", "set", "Interface", "vxlan-kvm1", "options:remote_ip=192.168.200.99")
    try:
        tenants.on("kvm1", "ip", "-n", "acme1", "neigh", "flush", "all")
        for address in ("10.0.0.2", "2001:db8::2"):
            tenants.try_on("kvm1", "ip", "netns", "exec", "acme1", "ping", "-c", "1", "-W", "1", address)
            seen = tenants.on("kvm1", "ip", "-n", "acme1", "neigh", "show", address)
            mac = next(point["mac"] for point in tenants.plan()["endpoints"] if point["id"] == "kvm2/acme2")
            assert mac in seen, seen
    finally:
        tenants.play("site.yml")


def test_flows_changed_by_hand_fail_verify_are_foretold_and_repaired_and_foreign_ones_stay(tenants):
    planned = {host: flows(tenants, host) for host in tenants.hosts}
    foreign = "cookie=0x7,table=99,priority=5,actions=drop"
    tenants.on("kvm1", "ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br-int", foreign)
    tenants.on("kvm1", "ovs-ofctl", "-O", "OpenFlow15", "--strict", "del-flows", "br-int", "table=30,priority=0")
    tenants.on("kvm2", "ovs-ofctl", "-O", "OpenFlow15", "mod-flows", "br-int", "table=40,metadata=5001,actions=drop")
    failed = {(check["kind"], check["from"]) for check in tenants.verify(ok=False)["checks"] if not check["passed"]}
    assert {("flows", "kvm1:br-int"), ("flows", "kvm2:br-int"), ("ping", "kvm1/acme1")} <= failed and (
        "flows",
        "kvm3:br-int",
    ) not in failed
    foretold = tenants.play("site.yml", "--check", "--diff")
    assert changed(foretold) == {"kvm1": 1, "kvm2": 1, "kvm3": 0}
    assert re.search(r"(?m)^\+table=30,.*goto_table:40", foretold) and re.search(
        r"(?m)^-table=40,.*actions=drop", foretold
    )
    assert changed(tenants.play("site.yml")) == {"kvm1": 1, "kvm2": 1, "kvm3": 0}
    left = flows(tenants, "kvm1")
    assert [line for line in left if "cookie=0x7," in line] and sorted(
        line for line in left if "cookie=0x7," not in line
    ) == sorted(planned["kvm1"])
    tenants.on("kvm1", "ovs-ofctl", "-O", "OpenFlow15", "del-flows", "br-int", "cookie=0x7/-1")
    assert sorted(flows(tenants, "kvm2")) == sorted(planned["kvm2"]) and tenants.verify()["failed"] == 0


def test_flows_are_there_again_after_a_reboot_and_after_a_restart_of_the_switch(tenants):
    tenants.run("ansible", "kvm1", "-m", "ansible.builtin.reboot")
    tenants.on("kvm2", "systemctl", "restart", "ovs-vswitchd.service")
    tenants.on("kvm3", "systemctl", "restart", "openvswitch-switch.service")
    assert tenants.verify()["failed"] == 0
    assert set(changed(tenants.play("site.yml")).values()) == {0}


def test_a_tenant_that_leaves_the_intent_leaves_no_flow(tenants):
    kept, tenants.intent["fabric_segments"] = tenants.intent["fabric_segments"], tenants.intent["fabric_segments"][1:]
    endpoints = {name: host["fabric_endpoints"] for name, host in tenants.hosts.items()}
    for host in tenants.hosts.values():
        host["fabric_endpoints"] = [point for point in host["fabric_endpoints"] if point["segment"] == "bolt"]
    tenants.write()
    try:
        tenants.play("site.yml")
        assert not any("0x1389" in line for host in tenants.hosts for line in flows(tenants, host))
        assert tenants.verify()["failed"] == 0
    finally:
        tenants.intent["fabric_segments"] = kept
        for name, host in tenants.hosts.items():
            host["fabric_endpoints"] = endpoints[name]
        tenants.write()
    tenants.play("site.yml")


def test_from_keys_to_vlans_and_to_nothing_leaves_no_flow_and_no_file(tenants):
    """The same hosts, told apart by VLAN now: the bridge switches by itself again."""
    tenants.intent["fabric_overlays"] = [{"encapsulation": "vxlan"}]
    tenants.intent["fabric_segments"] = [
        {"name": "acme", "vlan": 10, "subnet": "10.0.0.0/24", "subnet6": "2001:db8::/64", "tenant": "acme"},
        {"name": "bolt", "vlan": 20, "subnet": "10.0.0.0/24", "subnet6": "2001:db8::/64", "tenant": "bolt"},
    ]
    tenants.write()
    tenants.play("site.yml")
    for host in tenants.hosts:
        assert [line.strip() for line in flows(tenants, host)] == ["priority=0 actions=NORMAL"]
        assert tenants.on(host, "find", "/etc", "-name", "*br-int*").strip() == ""
    assert tenants.verify()["failed"] == 0
    assert set(changed(tenants.play("site.yml")).values()) == {0}


LAN = {
    "fabric_segments": [{"name": "lan", "subnet": "10.1.1.0/24"}],
    "fabric_denied": [
        {"from": one, "to": other, "probes": ["tcp"]} for one, other in (("kvm1/a", "kvm2/b"), ("kvm2/b", "kvm1/a"))
    ],
}
DROP = {"priority": 9, "match": {"in_port": "v-a", "tcp": True, "nw_dst": "10.1.1.2"}, "actions": []}


@pytest.fixture(scope="module")
def lan(tmp_path_factory):
    hosts = {
        "kvm1": {
            "fabric_endpoints": [{"name": "a", "segment": "lan", "address": "10.1.1.1"}],
            "fabric_flows": [DROP, {"priority": 8, "actions": ["normal"]}],
        },
        "kvm2": {
            "fabric_endpoints": [
                {"name": "b", "segment": "lan", "address": "10.1.1.2"},
                {"name": "c", "segment": "lan", "address": "10.1.1.3"},
            ]
        },
    }
    with standing(tmp_path_factory.mktemp("lan"), "lan", hosts, LAN) as fabric:
        yield fabric


def test_what_flows_drop_is_dropped_and_all_else_passes(lan):
    report = lan.verify()
    assert report["failed"] == 0 and sum(check["kind"] == "denied-tcp" for check in report["checks"]) == 2
    assert set(changed(lan.play("site.yml")).values()) == {0}


def test_what_comes_through_in_spite_of_the_intent_fails_verify(lan):
    lan.on(
        "kvm1",
        "ovs-ofctl",
        "-O",
        "OpenFlow15",
        "--strict",
        "del-flows",
        "br-int",
        "priority=9,tcp,in_port=v-a,nw_dst=10.1.1.2",
    )
    failed = {
        (check["kind"], check["from"], check.get("leak"))
        for check in lan.verify(ok=False)["checks"]
        if not check["passed"]
    }
    assert failed == {("flows", "kvm1:br-int", None), ("denied-tcp", "kvm1/a", True), ("denied-tcp", "kvm2/b", True)}
    lan.play("site.yml")
    assert lan.verify()["failed"] == 0


def test_a_flow_more_leaves_the_counters_of_the_others(lan):
    def packets():
        said = lan.on("kvm1", "ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "br-int")
        return int(re.search(r"n_packets=(\d+),.* priority=8 ", said).group(1))

    assert lan.lab.host("kvm1").answered("10.1.1.3", ["ip", "netns", "exec", "a"])
    # What the datapath has counted is with the flows only after its next round.
    lan.on("kvm1", "ovs-appctl", "revalidator/wait")
    before = packets()
    assert before > 0
    lan.hosts["kvm1"]["fabric_flows"].append({"table": 3, "actions": []})
    lan.write()
    foretold = lan.play("site.yml", "--check", "--diff")
    added = [line for line in foretold.splitlines() if re.match(r"[+-]table=", line)]
    assert len(added) == 1 and added[0].startswith("+table=3,")
    assert changed(lan.play("site.yml")) == {"kvm1": 1, "kvm2": 0}
    assert packets() >= before


def test_flows_that_leave_the_intent_leave_the_bridge_its_file_and_its_service(lan):
    lan.hosts["kvm1"]["fabric_flows"] = []
    lan.intent["fabric_denied"] = []
    lan.write()
    lan.play("site.yml")
    assert [line.strip() for line in flows(lan, "kvm1")] == ["priority=0 actions=NORMAL"]
    assert lan.on("kvm1", "find", "/etc", "-name", "*br-int*").strip() == ""
    assert lan.verify()["failed"] == 0


def test_flows_of_a_bridge_that_is_gone_leave_no_file_and_only_root_reads_it(host):
    host.run(["ovs-vsctl", "add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev"])
    host.apply("ovs_flow", {"bridge": "br0", "owner": "o", "flow": "priority=5,actions=drop"})
    path = "/etc/overloom/flows/br0:o.flows"
    assert host.run(["stat", "-c", "%a %U", path]) == "600 root\n"
    host.run(["ovs-vsctl", "del-br", "br0"])
    refused = host.module("ovs_flow", {"bridge": "br0", "owner": "o", "flow": "priority=5,actions=drop"}, ok=None)
    assert refused["failed"] and "bridge br0 is not there" in refused["msg"]
    host.apply("ovs_flow", {"bridge": "br0", "owner": "o", "flows": [], "purge": True})
    assert not host.exists(path) and host.run(["find", "/etc/systemd/system", "-name", "*br0*"]) == ""
    assert not host.module("ovs_flow", {"bridge": "br0", "owner": "o", "flows": [], "purge": True})["changed"]


def test_a_hosts_part_of_five_thousand_segments_over_ten_hosts_is_one_call_and_one_bundle(host):
    part = compile_plan(scale(5000), SPEC)["hosts"]["kvm1"]
    flows = part["flows"][0]["flows"]
    host.run(
        ["ovs-vsctl", "add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev", "fail_mode=secure"]
    )
    # Patch ports without a peer have a number, which is all that flows need, and no device.
    ports = [*(space["outer"] for space in part["namespaces"]), *(tunnel["name"] for tunnel in part["tunnels"])]
    for start in range(0, len(ports), 500):
        few = ports[start : start + 500]
        some = [
            ["--", "add-port", "br-int", port, "--", "set", "Interface", port, "type=patch", f"options:peer=x-{port}"]
            for port in few
        ]
        host.run(["ovs-vsctl", *(word for part in some for word in part)])
    options = {"bridge": "br-int", "owner": "o", "flows": flows, "purge": True}
    made = host.module("ovs_flow", options)
    assert (
        made["changed"]
        and sum(command.startswith("ovs-ofctl") and " bundle " in command for command in made["commands"]) == 1
    )
    assert host.run(["ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "br-int"]).count(" cookie=") == len(flows) > 10000
    again = host.module("ovs_flow", options)
    assert not again["changed"] and again["spawned"] <= 3 and made["spawned"] <= 6

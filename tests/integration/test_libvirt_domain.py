# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests in a lab host: real libvirt, real QEMU (without KVM), real Open vSwitch."""

from __future__ import annotations

import json
import re
import time
import typing as t
import xml.etree.ElementTree as ET

import guests
import harness
import pytest
from guests import guest

FABRIC = {
    "name": "fab",
    "mode": "openvswitch",
    "bridge": "br0",
    "portgroups": [
        {"name": "blue", "vlan": 10},
        {"name": "red", "vlan": 20},
        {"name": "trunk", "trunks": ["10", "20"], "native_vlan": 10},
    ],
}


@pytest.fixture
def kvm(machine: harness.Machine, host: harness.Host) -> t.Iterator[harness.Host]:
    """A host with libvirt running, the network `fab` on the bridge br0, and no guest."""
    guests.prepare(machine, host)
    guests.clean(host)
    guests.bridge(host)
    host.module("libvirt_network", FABRIC)
    yield host
    guests.clean(host)


def live(host: harness.Host, name: str) -> ET.Element:
    return ET.fromstring(host.run(["virsh", "dumpxml", name]))


def edit(host: harness.Host, name: str, old: str, new: str) -> None:
    """Change the definition by hand."""
    text = host.run(["virsh", "dumpxml", "--inactive", name])
    assert old in text
    host.run(["virsh", "define", "/dev/stdin"], stdin=text.replace(old, new))


def test_a_guest_on_a_vlan_through_power_cycle_and_drift(kvm: harness.Host) -> None:
    guests.namespace(kvm, "blue", 10, "10.1.1.1/24")
    guests.namespace(kvm, "red", 20, "10.1.1.9/24")
    wanted = guest("vm1", "10.1.1.2/24", nics=[{"network": "fab", "portgroup": "blue", "model": "e1000", "rom": False}])
    made = kvm.apply("libvirt_domain", wanted)
    assert made["domains"]["vm1"]["accelerator"] == "tcg" and made["domains"]["vm1"]["autostart"]
    guests.reaches(kvm, "blue", "10.1.1.2")
    guests.silent(kvm, "red", "10.1.1.2")

    # The power cycle brings tag and reachability back without a run.
    kvm.run(["virsh", "destroy", "vm1"])
    kvm.run(["virsh", "start", "vm1"])
    guests.reaches(kvm, "blue", "10.1.1.2")
    assert not kvm.module("libvirt_domain", wanted, check=True)["changed"]

    # Changed by hand on the port, in the definition, and to another portgroup in the intent.
    dev = live(kvm, "vm1").find("devices/interface/target").get("dev")
    kvm.run(["ovs-vsctl", "set", "port", dev, "tag=20"])
    repaired = kvm.apply("libvirt_domain", wanted)
    assert repaired["commands"] == [f"ovs-vsctl -- clear Port {dev} tag trunks vlan_mode -- set Port {dev} tag=10"]
    guests.reaches(kvm, "blue", "10.1.1.2")
    edit(kvm, "vm1", "portgroup='blue'", "portgroup='red'")
    repaired = kvm.apply("libvirt_domain", wanted)
    assert "portgroup: red" in repaired["diff"]["before"] and "portgroup: blue" in repaired["diff"]["after"]
    wanted["nics"][0]["portgroup"] = "red"
    moved = kvm.apply("libvirt_domain", wanted)
    assert moved["restart_required"] == {}
    guests.reaches(kvm, "red", "10.1.1.2")
    guests.silent(kvm, "blue", "10.1.1.2")

    # A portgroup's VLAN reaches the guest that runs in it.
    groups = [{**group, "vlan": 30} if group["name"] == "red" else group for group in FABRIC["portgroups"]]
    kvm.apply("libvirt_network", {**FABRIC, "portgroups": groups})
    assert guests.port(kvm, dev)["tag"] == 30
    assert not kvm.module("libvirt_domain", wanted, check=True)["changed"]
    trunked = {**wanted, "nics": [{**wanted["nics"][0], "portgroup": "trunk"}]}
    kvm.apply("libvirt_domain", trunked)
    assert guests.port(kvm, dev) == {"tag": 10, "trunks": [10, 20], "vlan_mode": "native-untagged"}
    kvm.run(["virsh", "destroy", "vm1"])
    kvm.run(["virsh", "start", "vm1"])
    assert not kvm.module("libvirt_domain", trunked, check=True)["changed"], (
        "libvirt gives a trunk other columns at the start"
    )
    users = kvm.module("libvirt_network", {**FABRIC, "portgroups": FABRIC["portgroups"][:2]}, ok=False)
    assert "portgroup trunk is used by domain vm1" in users["msg"]


def test_a_guest_is_there_again_after_a_reboot_of_the_host(kvm: harness.Host) -> None:
    wanted = guest(
        "vm1", "10.1.1.2/24,mtu=1400", nics=[{"network": "fab", "portgroup": "blue", "mtu": 1400, "rom": False}]
    )
    kvm.module("libvirt_domain", wanted)
    kvm.reboot()
    # libvirt starts the guest a moment after it has started itself.
    harness.wait(lambda: "vm1" in kvm.run(["virsh", "list", "--name"], ok=None), "the guest", 120)
    kvm.module("guest_wait", {"name": "vm1", "kind": "agent", "timeout": 180})
    guests.namespace(kvm, "blue", 10, "10.1.1.1/24")
    guests.reaches(kvm, "blue", "10.1.1.2")
    dev = live(kvm, "vm1").find("devices/interface/target").get("dev")
    assert guests.port(kvm, dev)["tag"] == 10 and kvm.run(["cat", f"/sys/class/net/{dev}/mtu"]).strip() == "1400"
    assert not kvm.module("libvirt_domain", wanted, check=True)["changed"]
    assert not kvm.module("libvirt_network", FABRIC, check=True)["changed"]


def test_devices_change_while_the_guest_runs_and_memory_waits_for_its_restart(kvm: harness.Host) -> None:
    nic = {"network": "fab", "portgroup": "blue", "rom": False}
    wanted = guest(
        "vm1", "10.1.1.2/24", nics=[nic], disks=[{"size": "64MiB"}], cloud_init={"user_data": {"hostname": "vm1"}}
    )
    kvm.apply("libvirt_domain", wanted)
    kvm.module("guest_wait", {"name": "vm1", "kind": "agent", "timeout": 180})

    wanted = {
        **wanted,
        "nics": [nic, {"bridge": "br0", "vlan": 30, "rom": False}],
        "disks": [{"size": "64MiB"}, {"size": "32MiB", "format": "raw"}],
    }
    assert kvm.apply("libvirt_domain", wanted)["restart_required"] == {}
    running = live(kvm, "vm1")
    assert (
        len(running.findall("devices/interface")) == 2 and running.find("devices/disk/target[@dev='vdb']") is not None
    )
    # The seed is a disc that the guest's kernel reads.
    seed = guests.inside(
        kvm,
        "vm1",
        "modprobe isofs; mkdir /tmp/seed; mount -r -t iso9660 /dev/sr0 /tmp/seed && ls /tmp/seed && cat /tmp/seed/user-data",
    )
    assert seed.split()[:3] == ["meta-data", "user-data", "#cloud-config"] and json.loads(
        seed.split("#cloud-config")[1]
    ) == {"hostname": "vm1"}
    wanted = {**wanted, "nics": [{**nic, "link": "down"}], "disks": [{"size": "96MiB"}]}
    assert kvm.apply("libvirt_domain", wanted)["restart_required"] == {}
    running = live(kvm, "vm1")
    assert len(running.findall("devices/interface")) == 1 and running.find("devices/disk/target[@dev='vdb']") is None
    assert running.find("devices/interface/link").get("state") == "down"
    assert "100663296" in kvm.run(["virsh", "domblkinfo", "vm1", "vda"])
    # Detached by hand while it runs, the definition untouched.
    kvm.run(["virsh", "detach-interface", "vm1", "bridge", "--live"])
    harness.wait(lambda: not live(kvm, "vm1").findall("devices/interface"), "the end of the guest's NIC")
    assert "attach-device" in kvm.apply("libvirt_domain", wanted)["commands"][0]

    for change in ({"memory": "160MiB"}, {"boot": ["cdrom", "hd"]}, {"vcpus": 2}, {"machine": "q35"}):
        wanted.update(change)
        told = kvm.apply("libvirt_domain", wanted)
        assert list(change)[0] in told["restart_required"]["vm1"]
    assert kvm.module("libvirt_domain", wanted, check=True)["restart_required"]["vm1"]
    wanted["restart"] = True
    done = kvm.apply("libvirt_domain", wanted)
    assert done["restart_required"] == {} and live(kvm, "vm1").findtext("memory") == str(160 * 1024)
    edit(kvm, "vm1", "<vcpu placement='static'>2</vcpu>", "<vcpu placement='static'>1</vcpu>")
    assert "vcpus: 1" in kvm.apply("libvirt_domain", wanted)["diff"]["before"]


def test_states_removal_and_foreign_guests(kvm: harness.Host) -> None:
    wanted = guest("vm1", disks=[{"size": "64MiB"}], nics=[], force=False)
    kvm.apply("libvirt_domain", {**wanted, "state": "paused"})
    kvm.apply("libvirt_domain", {**wanted, "state": "running"})
    kvm.module("guest_wait", {"name": "vm1", "kind": "console", "text": "^overloom guest vm1 is up", "timeout": 180})
    # Shut down by itself: the guest hears the power button.
    kvm.apply("libvirt_domain", {**wanted, "state": "shutoff", "guest_agent": False})
    kvm.module("libvirt_domain", {**wanted, "state": "paused", "kernel": "", "initrd": "", "cmdline": ""})
    stubborn = kvm.module("libvirt_domain", {**wanted, "state": "absent", "shutdown_timeout": 1}, ok=False)
    assert "has not shut down in 1 s" in stubborn["msg"] and "force" in stubborn["msg"]

    kvm.run(
        ["virsh", "define", "/dev/stdin"],
        stdin="<domain type='qemu'><name>vm1-foreign</name><memory>65536</memory><os><type>hvm</type></os></domain>",
    )
    for check in (True, False):
        refused = kvm.module("libvirt_domain", {"name": "vm1-foreign", "state": "absent"}, check=check, ok=False)
        assert "domain vm1-foreign was not made by this collection and stays; leave it out" in refused["msg"]
    # The names are exact: vm1 is removed, vm1-foreign is not, neither by absent nor by purge.
    gone = kvm.apply(
        "libvirt_domain", {"domains": [], "purge": True, "force": True, "shutdown_timeout": 0, "remove_storage": True}
    )
    assert "rm -f /var/lib/libvirt/images/vm1-vda.qcow2" in gone["commands"]
    assert kvm.run(["virsh", "list", "--all", "--name"]).split() == ["vm1-foreign"]
    assert not kvm.exists("/var/lib/libvirt/images/vm1-vda.qcow2")
    assert not kvm.apply("libvirt_domain", {"name": "vm1", "state": "absent"})["changed"]
    adopted = kvm.apply("libvirt_domain", {"name": "vm1-foreign", "adopt": True})
    assert adopted["domains"]["vm1-foreign"]["owner"] == "overloom.fabric"
    given = kvm.module("libvirt_domain", {"name": "vm1-foreign", "state": "absent"})
    assert "was there before it was adopted: it is given back" in str(given["warnings"])
    assert kvm.run(["virsh", "list", "--all", "--name"]).split() == ["vm1-foreign"]
    kvm.apply("libvirt_domain", {"name": "vm1-foreign", "state": "absent", "adopt": True})


EVERYTHING = {
    "title": "One",
    "description": "a <b> & 'c'",
    "metadata": {"role": "web"},
    "machine": "q35",
    "vcpus": 2,
    "cpu_mode": "custom",
    "cpu_model": "qemu64",
    "boot": ["cdrom", "hd", "network"],
    "cmdline": "a=$(reboot) 'b' \"c\" ;d",
    "kernel": "/var/lib/libvirt/images/vmlinux",
    "autostart": True,
    "disks": [
        {"size": "64MiB", "cache": "unsafe", "discard": "unmap", "serial": "S1"},
        {"size": "64MiB", "format": "raw", "bus": "scsi", "shareable": True, "cache": "none"},
        {"device": "cdrom", "path": ""},
    ],
    "cloud_init": {"user_data": {"hostname": "x"}, "network_config": {"version": 2}},
    "nics": [
        {"network": "fab", "portgroup": "trunk", "model": "e1000", "mac": "52:54:00:AA:00:01", "rom": False},
        {"bridge": "br0", "trunks": ["10", "20-22"], "native_vlan": 10, "mtu": 1400, "queues": 2, "dev": "web-1"},
        {"bridge": "br0", "vlan": 30, "link": "down"},
    ],
    "serial": {"type": "tcp", "port": 4555},
    "graphics": [{"type": "vnc", "listen": "127.0.0.1", "port": 5905, "password": "s3cret"}],
    "video": "vga",
    "hostdevs": [{"usb": "046d:c077"}],
    "guest_agent": True,
    "xml": "<domain><memoryBacking><nosharepages/></memoryBacking>"
    "<devices><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>",
}
CLEARED = {
    "title": "", "description": "", "metadata": {}, "boot": [], "cmdline": "", "kernel": "", "autostart": False, "disks": [], "cloud_init": {}, "nics": [],
    "serial": {}, "graphics": [], "video": "none", "hostdevs": [], "guest_agent": False, "machine": "pc", "vcpus": 1, "cpu_model": "kvm64",
}  # fmt: skip


def test_each_option_is_applied_alone_and_all_together_and_cleared(kvm: harness.Host) -> None:
    kvm.apply("libvirt_domain", {"name": "vm1", "memory": "64MiB"})
    for key, value in EVERYTHING.items():
        done = kvm.module(
            "libvirt_domain",
            {"name": "vm1", key: value, **({"cpu_model": "qemu64"} if key == "cpu_mode" else {})},
            diff=True,
        )
        # The processor's model is what libvirt chose already.
        assert done["changed"] or key in ("cpu_mode", "cpu_model", "video"), key
        assert "s3cret" not in str(done["commands"]) + str(done.get("diff"))
    assert not kvm.module("libvirt_domain", {"name": "vm1", "memory": "64MiB", **EVERYTHING}, check=True)["changed"]
    kvm.apply("libvirt_domain", {"name": "vm1", **CLEARED})
    kvm.apply("libvirt_domain", {"name": "vm1", **EVERYTHING})
    # Omitted is left as it is.
    assert not kvm.apply("libvirt_domain", {"name": "vm1"})["changed"]
    kvm.apply(
        "libvirt_domain",
        {"name": "vm2", "memory": "64MiB", **EVERYTHING, "nics": EVERYTHING["nics"][1:2], "state": "shutoff"},
    )


def test_what_is_refused_has_changed_nothing(kvm: harness.Host) -> None:
    kvm.run(["dd", "if=/dev/zero", "of=/var/lib/libvirt/images/plain.img", "bs=1M", "count=1", "status=none"])
    refused = [
        ({"memory": "64TiB"}, "memory 64TiB"),
        ({"memory": "64MiB", "nics": [{"network": "fab", "portgroup": "green"}]}, "portgroup green"),
        ({"memory": "64MiB", "nics": [{"network": "no"}]}, "network no does not exist"),
        ({"memory": "64MiB", "disks": [{"path": "/srv/none.qcow2"}]}, "/srv/none.qcow2 does not exist"),
        (
            {"memory": "64MiB", "disks": [{"path": "/var/lib/libvirt/images/plain.img", "format": "qcow2"}]},
            "is raw, not qcow2",
        ),
        ({"memory": "64MiB", "xml": "<domain><nonsense/></domain>"}, "domain bad is refused"),
        ({"memory": "64MiB", "machine": "pdp-11"}, "domain bad is refused"),
    ]
    backing = {"backing_path": "/var/lib/libvirt/images/plain.img"}
    mac, uuid = "52:54:00:00:00:01", "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
    kvm.module(
        "libvirt_domain", {"name": "good", "memory": "64MiB", "uuid": uuid, "nics": [{"bridge": "br0", "mac": mac}]}
    )
    refused += [
        (
            {"memory": "64MiB", "disks": [{"backing_path": "/srv/none.qcow2"}]},
            "backing_path /srv/none.qcow2 does not exist: put the image there",
        ),
        ({"memory": "64MiB", "disks": [backing]}, "plain.img is raw, not qcow2: correct backing_format"),
        ({"memory": "64MiB", "nics": [{"bridge": "br0", "mac": mac}]}, f"mac {mac} is domain good's already"),
        ({"memory": "64MiB", "uuid": uuid}, f"uuid {uuid} is domain good's already"),
        ({"memory": "64MiB", "disks": [{"size": "8MiB", "bus": "ide"}] * 5}, "domain bad is refused"),
    ]
    for options, part in refused:
        result = kvm.module("libvirt_domain", {"name": "bad", **options}, ok=False)
        assert part in result["msg"] and "\n" not in result["msg"], result["msg"]
    assert kvm.run(["virsh", "list", "--all", "--name"]).split() == ["good"]
    assert [name for name in kvm.run(["ls", guests.IMAGES]).split() if name.startswith("bad")] == []
    # Two of one call, too.
    twins = [
        {"name": f"twin{n}", "memory": "64MiB", "nics": [{"bridge": "br0", "mac": "52:54:00:00:00:02"}]} for n in (1, 2)
    ]
    assert "is domain twin1's already" in kvm.module("libvirt_domain", {"domains": twins}, ok=False)["msg"]
    lost = kvm.module("libvirt_domain", {"name": "bad", "uri": "qemu+unix:///system?socket=/nowhere"}, ok=False)
    assert "cannot be connected to" in lost["msg"] and "libvirtd" in lost["msg"]


def test_ten_guests_start_and_end_in_one_run(kvm: harness.Host) -> None:
    many = [guest(f"vm{n}", nics=[{"network": "fab", "portgroup": "blue", "rom": False}]) for n in range(10)]
    made = kvm.module("libvirt_domain", {"domains": many})
    assert {entry["state"] for entry in made["domains"].values()} == {"running"}
    kvm.module("libvirt_domain", {"domains": [], "purge": True, "shutdown_timeout": 0, "force": True})
    assert kvm.run(["virsh", "list", "--all", "--name"]).split() == []


def test_waits_end_and_say_why(kvm: harness.Host) -> None:
    kvm.module(
        "libvirt_network",
        {
            "name": "lan",
            "mode": "isolated",
            "bridge": "lan0",
            "addresses": [{"address": "10.5.0.1/24", "dhcp_ranges": [{"start": "10.5.0.10", "end": "10.5.0.20"}]}],
        },
    )
    made = kvm.module(
        "libvirt_domain",
        guest(
            "vm1",
            "dhcp",
            nics=[{"network": "lan", "rom": False}],
            cmdline="console=ttyS0 quiet no_timer_check overloom.hostname=vm1 overloom.eth0=dhcp overloom.http=80",
        ),
    )
    mac = made["domains"]["vm1"]["nics"][0]["mac"]
    kvm.module(
        "guest_wait",
        {
            "waits": [
                {"kind": "dhcp_lease", "network": "lan", "mac": mac},
                {"name": "vm1", "kind": "agent"},
                {"name": "vm1", "kind": "console", "text": "vm1 is up"},
            ]
        },
    )
    address = kvm.run(["virsh", "net-dhcp-leases", "lan", "--mac", mac]).split("ipv4")[1].split()[0].split("/")[0]
    kvm.module(
        "guest_wait",
        {
            "waits": [
                {"kind": "http", "url": f"http://{address}/", "times": 2},
                {"kind": "tcp", "host": address, "port": 80},
                {"kind": "arp", "host": address, "interface": "lan0"},
                {"kind": "ping", "host": address},
            ]
        },
    )
    # Each kind once more, for what never comes: it ends, and tells why and where the guest stands.
    kvm.module("libvirt_domain", guest("vm2", nics=[], guest_agent=False))
    kvm.module("guest_wait", {"name": "vm2", "kind": "console", "text": "vm2 is up"})
    never = {
        "agent": ({"name": "vm2"}, "agent"),
        "arp": ({"host": "10.5.0.99", "interface": "lan0"}, "no answer"),
        "console": ({"text": "never said"}, "has not come"),
        "dhcp_lease": ({"network": "lan", "mac": "52:54:00:00:00:99"}, "no lease yet"),
        "http": ({"url": f"http://{address}/none"}, "status 404"),
        "ping": ({"host": "10.5.0.99"}, "no answer"),
        "ssh": ({"host": address, "port": 80}, "connected"),
        "tcp": ({"host": address, "port": 81}, "refused"),
    }
    begun = time.monotonic()
    waits = [{"name": "vm1", "timeout": 6, "kind": kind, **options} for kind, (options, _why) in never.items()]
    failed = kvm.module("guest_wait", {"waits": waits}, ok=False)
    assert time.monotonic() - begun < 6 * len(waits), "they do not wait for each other"
    told = re.split(r"^(?=[a-z_]+ of vm)", failed["msg"], flags=re.M)[1:]
    for (kind, (options, why)), sentence in zip(never.items(), told):
        name = options.get("name", "vm1")
        assert (
            sentence.startswith(f"{kind} of {name}: not ready after 6 s (since ")
            and f"overloom guest {name} is up" in sentence
        ), sentence
        assert why in sentence.split("; its console")[0], sentence
    assert len(told) == len(never)
    info = kvm.module("libvirt_info")
    assert info["domains"]["vm1"]["interfaces"][0]["mac"] == mac and info["networks"]["lan"]["state"] == "active"
    kvm.run(["virsh", "destroy", "vm1"])
    assert "does not run" in kvm.module("guest_wait", {"name": "vm1", "kind": "agent", "timeout": 60}, ok=False)["msg"]

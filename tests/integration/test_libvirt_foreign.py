# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that others made, backed up, plugged elsewhere or moved, on a real libvirt; each test is named after what somebody does."""

from __future__ import annotations

import json
import os
import re
import time
import typing as t

import guests
import harness
import pytest
from guests import IMAGES, guest
from libvirt_others import DOCUMENTS, STEPS, besides, canonical

# As virt-manager writes it, with what people add by hand.
FOREIGN = """<domain type='qemu'>
  <name>theirs</name>
  <metadata><libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
    <libosinfo:os id="http://debian.org/debian/12"/></libosinfo:libosinfo></metadata>
  <memory unit='MiB'>256</memory>
  <memoryBacking><nosharepages/><locked/></memoryBacking>
  <vcpu placement='static' cpuset='0-1'>4</vcpu>
  <cputune><shares>2048</shares><vcpupin vcpu='0' cpuset='0'/></cputune>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <features><acpi/><apic/><vmport state='off'/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model><topology sockets='1' dies='1' cores='2' threads='2'/>
    <feature policy='disable' name='svm'/><numa><cell id='0' cpus='0-3' memory='256' unit='MiB'/></numa></cpu>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <devices>
    <interface type='bridge'><mac address='52:54:00:0a:00:01'/><source bridge='br0'/><virtualport type='openvswitch'/>
      <vlan trunk='yes'><tag id='42' nativeMode='tagged'/><tag id='47'/></vlan><model type='virtio'/><driver name='vhost' queues='4'/>
      <boot order='1'/></interface>
    <interface type='direct'><mac address='52:54:00:0a:00:02'/><source dev='eth1' mode='bridge'/><model type='virtio'/></interface>
    <interface type='vhostuser'><mac address='52:54:00:0a:00:03'/><source type='unix' path='/run/vhu1' mode='server'/><model type='virtio'/></interface>
    <interface type='hostdev' managed='yes'><mac address='52:54:00:0a:00:04'/>
      <source><address type='pci' domain='0x0000' bus='0x03' slot='0x10' function='0x0'/></source></interface>
    <serial type='pty'><log file='/var/log/libvirt/qemu/theirs-console.log' append='on'/><target port='0'/></serial>
    <serial type='unix'><source mode='bind' path='/run/second'/><target port='1'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <console type='pty'><target type='virtio' port='1'/></console>
    <graphics type='vnc' port='5977' autoport='no' keymap='de' sharePolicy='force-shared' passwd='hidden'>
      <listen type='address' address='127.0.0.1'/></graphics>
    <video><model type='vga' vram='16384' heads='1' primary='yes'/></video>
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>
    <rng model='virtio'><rate bytes='1024' period='1000'/><backend model='random'>/dev/urandom</backend></rng>
  </devices>
  <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-no-hpet'/></qemu:commandline>
</domain>"""
FAB = {
    "name": "fab",
    "mode": "openvswitch",
    "bridge": "br0",
    "portgroups": [{"name": "blue", "vlan": 10}, {"name": "red", "vlan": 20}],
}
FOUR = [
    {"bridge": "br0", "mac": "52:54:00:0a:00:01"},
    {"direct": "eth1", "mac": "52:54:00:0a:00:02"},
    {"vhostuser": "/run/vhu1", "mac": "52:54:00:0a:00:03"},
    {"hostdev": "0000:03:10.0", "mac": "52:54:00:0a:00:04"},
]
# Each option with the lines of the definition that go and come, as a person reads them.
CHANGES: list[tuple[dict[str, t.Any], list[str], list[str]]] = [
    ({"title": "New"}, [], ["<title>New</title>"]),
    ({"memory": "384MiB"}, ["<memory unit='KiB'>262144", "<currentMemory", "<cell id='0'"], ["393216"]),
    (
        {"vcpus": 2},
        ["<vcpu placement='static' cpuset='0-1'>4</vcpu>"],
        ["<vcpu placement='static' cpuset='0-1' current='2'>4</vcpu>"],
    ),
    ({"cpu_mode": "maximum"}, ["<cpu mode='custom'", "qemu64"], ["<cpu mode='maximum'"]),
    ({"graphics": [{"type": "vnc", "port": 5978}]}, ["port='5977'"], ["port='5978'"]),
    ({"serial": {"log": "/var/log/libvirt/qemu/new-console.log"}}, ["theirs-console.log"], ["new-console.log"]),
    ({"boot": ["hd"]}, ["<boot order='1'/>"], ["<boot dev='hd'/>"]),
    ({"video": "virtio"}, ["type='vga'"], ["type='virtio'"]),
    ({"hostdevs": []}, [], []),
    ({"nics": [FOUR[0]]}, [], []),
    (
        {"nics": [{**FOUR[0], "trunks": ["42", "47", "50"], "native_vlan": 42, "native_mode": "tagged"}]},
        [],
        ["<tag id='50'/>"],
    ),
    (
        {"nics": [{**FOUR[0], "trunks": ["42", "47"], "native_vlan": 42}]},
        ["nativeMode='tagged'"],
        ["nativeMode='untagged'"],
    ),
    ({"nics": [{**FOUR[1], "direct_mode": "private"}]}, ["mode='bridge'"], ["mode='private'"]),
    (
        {"nics": [*FOUR, {"network": "fab", "portgroup": "blue", "mac": "52:54:00:0a:00:09"}]},
        [],
        ["<source network='fab' portgroup='blue'/>"],
    ),
    ({"guest_agent": True}, [], ["org.qemu.guest_agent.0"]),
]


# As other tools leave them: without a CPU, with a boot order on devices, with UEFI, with metadata of others, with a password.
ODD = {
    "small": "<memory>65536</memory><os><type>hvm</type></os>",
    "ordered": """<metadata><nova:instance xmlns:nova="urn:nova" a="1">x</nova:instance></metadata><memory>65536</memory>
      <os><type machine='q35'>hvm</type></os><cpu mode='host-model' check='partial'/>
      <devices><disk type='file'><driver name='qemu' type='qcow2'/><source file='/srv/a.qcow2'/><target dev='vda' bus='virtio'/><boot order='1'/></disk>
      <graphics type='egl-headless'/></devices>""",
    "uefi": """<memory>65536</memory><os><type machine='q35'>hvm</type>
      <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader></os><features><acpi/></features>
      <cpu mode='host-passthrough' check='none' migratable='on'/><devices><interface type='user'><mac address='52:54:00:0a:00:07'/></interface></devices>""",
}
# What libvirt adds to more than was asked for: the console of a serial port, a controller, an audio device, a boot order, attributes of a CPU.
DRAWS: list[dict[str, t.Any]] = [
    {"cpu_mode": "host-passthrough"},
    {"cpu_mode": "custom", "cpu_model": "qemu64"},
    {"serial": {"log": "/var/log/libvirt/qemu/new-console.log"}},
    {"graphics": [{"type": "vnc", "password": "abc"}]},
    {"disks": []},
    {"disks": [{"path": f"{IMAGES}/more.qcow2", "size": "1MiB", "bus": "sata"}]},
    {"guest_agent": True},
    {"nics": [{"network": "fab", "portgroup": "blue"}]},
    {"video": "virtio"},
]


def restart_libvirtd(host: harness.Host) -> None:
    """Restart libvirtd under the running guest vm1. It takes up the connection to it, with that to its agent, side by side with its first answers."""
    host.run(["systemctl", "restart", "libvirtd"])
    host.module("guest_wait", {"name": "vm1", "kind": "agent", "timeout": 60})


@pytest.fixture
def kvm(machine: harness.Machine, host: harness.Host) -> t.Iterator[harness.Host]:
    """A host with libvirt running, a bridge with a network, and no guest."""
    guests.prepare(machine, host)
    guests.clean(host)
    guests.bridge(host)
    host.module("libvirt_network", FAB)
    yield host
    guests.clean(host)


def definition(host: harness.Host, name: str) -> list[str]:
    """The lines of a definition, without our mark."""
    text = host.run(["virsh", "dumpxml", "--inactive", "--security-info", name])
    text = re.sub(r"<overloom:fabric[^>]*/>|<overloom:fabric.*?</overloom:fabric>", "", text, flags=re.S)
    # Where a prefix is declared says nothing.
    text = re.sub(r" xmlns:(libosinfo|nova|overloom)=(\"[^\"]*\"|'[^']*')", "", text)
    return [line.strip() for line in text.splitlines() if line.strip()]


def difference(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """The lines that went and that came."""
    gone = [line for line in before if before.count(line) > after.count(line)]
    return gone, [line for line in after if after.count(line) > before.count(line)]


def test_one_option_of_a_guest_that_virt_manager_made(kvm: harness.Host) -> None:
    """Each option by itself on the same definition: what libvirt then has differs in the lines of that option only."""
    for options, gone, come in CHANGES:
        kvm.run(["virsh", "define", "/dev/stdin"], stdin=FOREIGN)
        before = definition(kvm, "theirs")
        done = kvm.apply("libvirt_domain", {"name": "theirs", "adopt": True, **options})
        left, new = difference(before, definition(kvm, "theirs"))
        for part in gone:
            assert any(part in line for line in left), (options, part, left)
        for part in come:
            assert any(part in line for line in new), (options, part, new)
        # No other line went.
        assert [line for line in left if not any(part in line for part in gone)] == [], options
        shown = done["diff"]["before"] + done["diff"]["after"]
        for kept in ("keymap='de'", "passwd='hidden'", "<numa>", "<feature policy='disable' name='svm'/>", "/run/second", "type='virtio' port='1'", "mdev",
                     "-no-hpet", "<topology", "vcpupin", "type='vhostuser'", "type='hostdev'"):  # fmt: skip
            assert any(kept in line for line in definition(kvm, "theirs")), f"{options}: {kept} is gone"
        assert "hidden" not in shown
        kvm.run(["virsh", "undefine", "theirs"])


def test_options_of_guests_of_every_kind_of_people_and_all_is_given_back_after_a_reboot(kvm: harness.Host) -> None:
    """Each guest gets one option after the other, all guests in one call; libvirt itself has taken what they wrote first."""

    def documents() -> dict[str, str]:
        return {name: kvm.run(["virsh", "dumpxml", "--inactive", "--security-info", name]) for name in DOCUMENTS}

    for name, text in DOCUMENTS.items():
        kvm.run(["virsh", "define", "/dev/stdin"], stdin=text.replace("<name>vm1<", f"<name>{name}<", 1))
    # libvirt sorts the devices as it reads its own documents.
    for text in documents().values():
        kvm.run(["virsh", "define", "/dev/stdin"], stdin=text)
    first = documents()
    for part in ("<!-- since 2019 -->", "<?backup run now?>", "<backup:b>night</backup:b> at 2</backup:note>"):
        assert part in first["metadata"], "libvirt keeps what others have in the metadata"
    declared: dict[str, dict[str, t.Any]] = {name: {"name": name} for name in DOCUMENTS}
    before = first
    for turn in range(0, len(STEPS), 1 if os.environ.get("OVERLOOM_LONG") else 3):
        may = {}
        for number, name in enumerate(DOCUMENTS):
            # A MAC address is one guest's.
            options, may[name] = json.loads(
                json.dumps(STEPS[(turn + number) % len(STEPS)]).replace("0b:00:09", f"0b:00:{number:02x}")
            )
            declared[name].update(options)
            if options.get("cpu_mode") == "maximum":
                declared[name].pop("cpu_model", None)
        kvm.apply("libvirt_domain", {"domains": list(declared.values()), "adopt": True})
        after = documents()
        for name, pattern in may.items():
            # libvirt gives out addresses, controllers, and a card for the first graphics.
            drawn = "devices/.*address/@.*|devices/controller.*" + (
                "" if "<video" in before[name] else "|devices/video.*"
            )
            lines = besides(before[name], after[name], f"({pattern})|{drawn}")
            assert lines == [], (name, declared[name])
        before = after
    kvm.reboot()
    kvm.run(["systemctl", "is-system-running", "--wait"], ok=None)
    assert documents() == before
    assert not kvm.module("libvirt_domain", {"domains": list(declared.values())})["changed"]
    kvm.apply("libvirt_domain", {"domains": [], "purge": True})
    for name, text in documents().items():
        gone, come = (canonical(one) - canonical(other) for one, other in ((first[name], text), (text, first[name])))
        # A password is not remembered; ours stays.
        assert [line for line in [*gone, *come] if not re.search("address/@|@passwd", line[0])] == [], name


def test_a_guest_of_somebody_is_not_changed_unasked_and_is_given_back(kvm: harness.Host) -> None:
    kvm.run(["virsh", "define", "/dev/stdin"], stdin=FOREIGN)
    before = definition(kvm, "theirs")
    for check in (True, False):
        refused = kvm.module("libvirt_domain", {"name": "theirs", "memory": "384MiB"}, check=check, ok=False)["msg"]
        assert (
            "domain theirs is not ours, and memory would be replaced; choose another name, or give adopt: true"
            in refused
        )
    assert sorted(definition(kvm, "theirs")) == sorted(before)
    # Adopting alone changes nothing but the mark.
    kvm.apply("libvirt_domain", {"name": "theirs", "adopt": True})
    assert sorted(definition(kvm, "theirs")) == sorted(before)
    nics = [
        {"network": "fab", "portgroup": "blue", "mac": "52:54:00:0a:00:01"},
        {"network": "fab", "mac": "52:54:00:0a:00:09"},
    ]
    kvm.apply("libvirt_domain", {"name": "theirs", "nics": nics})
    given = kvm.module("libvirt_domain", {"name": "theirs", "state": "absent"}, check=True)
    assert "was there before it was adopted: it is given back, not removed" in str(given["warnings"])
    kvm.run(["systemctl", "restart", "libvirtd"])
    assert kvm.module("libvirt_domain", {"name": "theirs", "state": "absent"})["changed"]
    again = kvm.module("libvirt_domain", {"name": "theirs", "state": "absent"}, ok=False)
    assert "domain theirs was not made by this collection and stays" in again["msg"]
    assert not kvm.apply("libvirt_domain", {"domains": [], "purge": True})["changed"]
    after = [line for line in definition(kvm, "theirs") if "metadata" not in line]
    gone, come = difference([line for line in before if "metadata" not in line], after)
    assert [line for line in [*gone, *come] if "address type" not in line] == [], "the NICs are those that it had"


def test_all_that_was_changed_on_a_guest_of_somebody_goes_back(kvm: harness.Host) -> None:
    for options, _gone, _come in CHANGES:
        kvm.run(["virsh", "define", "/dev/stdin"], stdin=FOREIGN)
        before = sorted(definition(kvm, "theirs"))
        kvm.apply("libvirt_domain", {"name": "theirs", "adopt": True, "autostart": True, **options})
        # systemd starts nothing so often.
        kvm.run(["systemctl", "reset-failed", "libvirtd"])
        kvm.run(["systemctl", "restart", "libvirtd"])
        given = kvm.apply("libvirt_domain", {"domains": [], "purge": True})
        assert "hidden" not in str(given["diff"])
        after = sorted(definition(kvm, "theirs"))
        gone, come = difference(before, after)
        assert [line for line in [*gone, *come] if "address type" not in line] == [], options
        assert re.search(r"Autostart: +disable", kvm.run(["virsh", "dominfo", "theirs"]))
        assert not kvm.apply("libvirt_domain", {"domains": [], "purge": True})["changed"]
        kvm.run(["virsh", "undefine", "theirs"])


def test_what_libvirt_adds_to_a_change_goes_with_it(kvm: harness.Host) -> None:
    """Two runs with other options and another restart of libvirtd, then it is given back."""
    for name, inner in ODD.items():
        document = f"<domain type='qemu'><name>{name}</name>{inner}</domain>"
        for options, more in zip(DRAWS, [*DRAWS[1:], DRAWS[0]]):
            kvm.run(["virsh", "define", "/dev/stdin"], stdin=document)
            # libvirt sorts the devices as it reads its own document.
            kvm.run(["virsh", "define", "/dev/stdin"], stdin=kvm.run(["virsh", "dumpxml", "--inactive", name]))
            before = sorted(definition(kvm, name))
            kvm.apply("libvirt_domain", {"name": name, "adopt": True, **options})
            kvm.apply("libvirt_domain", {"name": name, **options, **more})
            kvm.apply("libvirt_domain", {"domains": [], "purge": True})
            gone, come = difference(before, sorted(definition(kvm, name)))
            assert [line for line in [*gone, *come] if "address type" not in line] == [], (name, options, more)
            kvm.run(["virsh", "undefine", "--nvram", name])


def test_graphics_whose_password_is_not_remembered_are_told_of_as_they_stay_away(kvm: harness.Host) -> None:
    graphics = "<devices><graphics type='vnc' passwd='hidden'/></devices>"
    document = f"<domain type='qemu'><name>theirs</name>{ODD['small']}{graphics}</domain>"
    kvm.run(["virsh", "define", "/dev/stdin"], stdin=document)
    kvm.apply("libvirt_domain", {"name": "theirs", "adopt": True, "graphics": []})
    given = kvm.apply("libvirt_domain", {"domains": [], "purge": True})
    assert "its devices/graphics[vnc] had a password, which is not remembered: it is not put back" in str(
        given["warnings"]
    )
    assert "<graphics" not in kvm.run(["virsh", "dumpxml", "theirs"]), "without its password it would be open"


def test_what_its_owner_changed_since_stays_and_so_do_the_snapshots(kvm: harness.Host) -> None:
    image = "/var/lib/libvirt/images/theirs.qcow2"
    kvm.run(["qemu-img", "create", "-f", "qcow2", image, "16M"])
    disk = f"<disk type='file'><driver name='qemu' type='qcow2'/><source file='{image}'/><target dev='vda' bus='virtio'/></disk>"
    text = f"<domain type='qemu'><name>theirs</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices>{disk}</devices></domain>"
    kvm.run(["virsh", "define", "/dev/stdin"], stdin=text)
    kvm.run(["virsh", "snapshot-create-as", "theirs", "s1"])
    before = definition(kvm, "theirs")
    disks = [{"path": image, "cache": "unsafe", "discard": "unmap"}]
    kvm.apply(
        "libvirt_domain",
        {"name": "theirs", "adopt": True, "memory": "128MiB", "vcpus": 2, "title": "x", "disks": disks},
    )
    kvm.run(["virsh", "desc", "theirs", "--config", "--title", "mine"])
    kvm.run(["virsh", "snapshot-create-as", "theirs", "s2"])
    assert kvm.module("libvirt_domain", {"name": "theirs", "state": "absent"})["changed"]
    gone, come = difference(before, definition(kvm, "theirs"))
    assert (gone, come) == ([], ["<title>mine</title>"])
    assert kvm.run(["virsh", "snapshot-list", "theirs", "--name"]).split() == ["s1", "s2"]
    kvm.run(["virsh", "undefine", "theirs", "--snapshots-metadata"])


def test_a_guest_is_backed_up_by_snapshots_and_the_playbook_runs_again(kvm: harness.Host) -> None:
    """virsh snapshot-create-as --disk-only, twice, while it runs; then committed; then removed."""
    wanted = guest("vm1", nics=[], disks=[{"size": "64MiB", "cache": "unsafe"}])
    image = f"{IMAGES}/vm1-vda.qcow2"
    kvm.apply("libvirt_domain", wanted)
    kvm.module("guest_wait", {"name": "vm1", "kind": "agent", "timeout": 180})
    for name in ("s1", "s2"):
        kvm.run(["virsh", "snapshot-create-as", "vm1", name, "--disk-only", "--no-metadata"])
        result = kvm.apply("libvirt_domain", wanted)
        assert not result["changed"] and result["restart_required"] == {}
        assert f"vm1-vda.{name}" in kvm.run(["virsh", "dumpxml", "--inactive", "vm1"])
    guests.inside(kvm, "vm1", "echo written after the snapshot | dd of=/dev/vda conv=fsync")
    # Another option of the same disk is changed on the image that the guest writes to.
    kvm.apply("libvirt_domain", {**wanted, "disks": [{"size": "96MiB", "cache": "unsafe", "serial": "S1"}]})
    text = kvm.run(["virsh", "dumpxml", "--inactive", "vm1"])
    assert "vm1-vda.s2" in text and "<serial>S1</serial>" in text
    wanted["disks"] = [{"size": "96MiB", "cache": "unsafe", "serial": "S1"}]
    restart_libvirtd(kvm)
    kvm.run(["virsh", "destroy", "vm1"])
    kvm.apply("libvirt_domain", wanted)
    kvm.module("guest_wait", {"name": "vm1", "kind": "agent", "timeout": 180})
    assert "written after the snapshot" in guests.inside(kvm, "vm1", "head -c 64 /dev/vda")
    # Removed with its storage, the snapshot's image keeps the one that it lies upon.
    foretold = kvm.module(
        "libvirt_domain", {"name": "vm1", "state": "absent", "remove_storage": True, "force": True}, check=True
    )
    assert f"{image} stays, as {IMAGES}/vm1-vda.s2 lies upon it" in str(foretold["warnings"])
    kvm.run(["virsh", "blockcommit", "vm1", "vda", "--active", "--pivot", "--wait"])
    assert not kvm.apply("libvirt_domain", wanted)["changed"]
    assert image in kvm.run(["virsh", "dumpxml", "--inactive", "vm1"])
    kvm.run(["virsh", "destroy", "vm1"])
    kvm.run(["virsh", "snapshot-create-as", "vm1", "inner"])
    kvm.run(["virsh", "start", "vm1"])
    kvm.run(["virsh", "managedsave", "vm1"])
    gone = kvm.apply("libvirt_domain", {"name": "vm1", "state": "absent", "remove_storage": True})
    assert f"rm -f {image}" in gone["commands"] and not kvm.exists(image)


def test_a_snapshot_whose_image_is_out_of_reach(kvm: harness.Host) -> None:
    kvm.apply("libvirt_domain", {"name": "vm1", "memory": "64MiB", "disks": [{"size": "8MiB"}]})
    text = kvm.run(["virsh", "dumpxml", "--inactive", "vm1"]).replace("vm1-vda.qcow2", "not-there.s1")
    kvm.run(["virsh", "define", "/dev/stdin"], stdin=text)
    result = kvm.apply("libvirt_domain", {"name": "vm1", "disks": [{"size": "8MiB"}]})
    assert not result["changed"] and "not-there.s1 does not exist" in str(result["warnings"])


def test_the_segment_of_a_running_guest_is_changed_in_the_intent(kvm: harness.Host) -> None:
    """VLAN at once, without a restart; the MTU is told on this run and on the next."""
    guests.namespace(kvm, "blue", 10, "10.1.1.1/24")
    guests.namespace(kvm, "red", 20, "10.1.1.9/24")
    nic = {"network": "fab", "portgroup": "blue", "mtu": 1500, "rom": False}
    wanted = guest("vm1", "10.1.1.2/24", nics=[nic], cloud_init={"network_config": {"version": 2}, "bus": "sata"})
    kvm.apply("libvirt_domain", wanted)
    guests.reaches(kvm, "blue", "10.1.1.2")
    pid = kvm.run(["cat", "/run/libvirt/qemu/vm1.pid"])
    wanted.update(
        nics=[{**nic, "portgroup": "red", "mtu": 1400}],
        cloud_init={"network_config": {"version": 2, "ethernets": {}}, "bus": "sata"},
    )
    foretold = kvm.module("libvirt_domain", wanted, check=True)["restart_reasons"]
    assert kvm.apply("libvirt_domain", wanted)["restart_reasons"] == foretold
    guests.reaches(kvm, "red", "10.1.1.2")
    guests.silent(kvm, "blue", "10.1.1.2")
    again = kvm.module("libvirt_domain", wanted)
    assert not again["changed"] and [
        (each["name"], each["option"].split()[0]) for each in again["restart_reasons"]
    ] == [("vm1", "nics"), ("vm1", "cloud_init")]
    assert "mtu: the guest runs with 1500, 1400 is declared" in again["restart_reasons"][0]["reason"]
    assert kvm.run(["cat", "/run/libvirt/qemu/vm1.pid"]) == pid
    restart_libvirtd(kvm)
    assert kvm.module("libvirt_domain", wanted)["restart_required"] == again["restart_required"]
    done = kvm.apply("libvirt_domain", {**wanted, "restart": True})
    assert done["restart_reasons"] == [] and kvm.run(["cat", "/run/libvirt/qemu/vm1.pid"]) != pid


def test_the_host_is_rebooted_after_a_backup_and_a_changed_segment(kvm: harness.Host) -> None:
    """What is saved is what runs: the snapshot's image with what was written into it, the portgroup, its VLAN, a foreign guest as it was."""
    nic = {"network": "fab", "portgroup": "blue"}
    wanted = guest("vm1", "10.1.1.2/24", nics=[nic], autostart=True, disks=[{"size": "64MiB"}])
    kvm.run(["virsh", "define", "/dev/stdin"], stdin=FOREIGN)
    foreign = sorted(definition(kvm, "theirs"))
    kvm.apply("libvirt_domain", wanted)
    kvm.module("guest_wait", {"name": "vm1", "kind": "agent", "timeout": 180})
    kvm.run(["virsh", "snapshot-create-as", "vm1", "s1", "--disk-only", "--no-metadata"])
    guests.inside(kvm, "vm1", "echo written after the snapshot | dd of=/dev/vda conv=fsync")
    moved = {**FAB, "portgroups": [FAB["portgroups"][0], {"name": "red", "vlan": 30}]}
    kvm.apply("libvirt_network", {**moved, "autostart": True})
    wanted["nics"] = [{**nic, "portgroup": "red"}]
    assert kvm.apply("libvirt_domain", wanted)["restart_reasons"] == []
    saved = definition(kvm, "vm1")
    for rebooted in (False, True):
        if rebooted:
            kvm.reboot()
            kvm.run(["systemctl", "is-system-running", "--wait"], ok=None)
            kvm.module("guest_wait", {"name": "vm1", "kind": "agent", "timeout": 180})
        assert definition(kvm, "vm1") == saved and "vm1-vda.s1" in str(saved)
        assert "vm1-vda.s1" in kvm.run(["virsh", "domblklist", "vm1"])
        assert "written after the snapshot" in guests.inside(kvm, "vm1", "head -c 64 /dev/vda")
        tap = kvm.run(["virsh", "domiflist", "vm1"]).splitlines()[2].split()[0]
        assert guests.port(kvm, tap)["tag"] == 30
        assert sorted(definition(kvm, "theirs")) == foreign
        for module, options in (("libvirt_network", moved), ("libvirt_domain", wanted)):
            again = kvm.module(module, options)
            assert not again["changed"] and not again.get("restart_reasons"), again
    guests.namespace(kvm, "red", 30, "10.1.1.9/24")
    guests.reaches(kvm, "red", "10.1.1.2")


def test_a_guest_is_migrated_by_hand_and_the_playbook_runs_on_both_hosts(
    pair: tuple[harness.Host, harness.Host], machine: harness.Machine
) -> None:
    first, second = pair
    for number, host in enumerate(pair, 1):
        guests.prepare(machine, host)
        guests.clean(host)
        host.run(["ip", "link", "set", "eth1", "up"])
        host.run(["ip", "address", "replace", f"192.0.2.{number}/24", "dev", "eth1"])
        host.run(["hostnamectl", "hostname", f"kvm{number}"], ok=None)
    wanted = guest(
        "vm1",
        nics=[],
        serial={},
        guest_agent=False,
        machine="pc",
        cpu_mode="custom",
        cpu_model="qemu64",
        owner="fabric-1",
    )
    try:
        first.module("libvirt_domain", wanted)
        second.run(
            ["systemctl", "stop", "libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket"],
            ok=None,
        )
        second.write("/etc/libvirt/libvirtd.conf", 'auth_tcp = "none"\nlisten_addr = "192.0.2.2"\n')
        second.run(["systemctl", "enable", "--now", "libvirtd-tcp.socket", "libvirtd.socket"])
        moved = [
            "virsh",
            "migrate",
            "--live",
            "--persistent",
            "--unsafe",
            "vm1",
            "qemu+tcp://192.0.2.2/system",
            "tcp://192.0.2.2:49500",
        ]
        first.run(moved, timeout=180)
        assert "migrated" in second.run(["virsh", "domstate", "--reason", "vm1"])
        for restarted in (False, True):
            told = first.module("libvirt_domain", wanted, ok=False)["msg"]
            assert "domain vm1 was migrated from this host to another" in told and "virsh start" in told, restarted
            purge = {"domains": [], "purge": True, "owner": "fabric-1", "force": True}
            assert (
                "domain vm1 was migrated to this host and runs"
                in second.module("libvirt_domain", purge, ok=False)["msg"]
            )
            assert "running" in second.run(["virsh", "domstate", "vm1"]) and "shut off" in first.run(
                ["virsh", "domstate", "vm1"]
            )
            first.run(["systemctl", "restart", "libvirtd"])
        first.run(["virsh", "undefine", "vm1"])
        assert "not defined here any more" in first.module("libvirt_domain", wanted, ok=False)["msg"]
        assert not second.module("libvirt_domain", {**wanted, "kernel": None, "initrd": None}, check=True)["changed"]
    finally:
        for host in pair:
            guests.clean(host)
            host.run(["rm", "-f", "/var/log/libvirt/qemu/vm1.log"])
        second.run(["systemctl", "disable", "--now", "libvirtd-tcp.socket"], ok=None)


def test_a_kvm_that_executes_nothing_is_not_taken(kvm: harness.Host) -> None:
    """The device is there and QEMU hangs with it: bounded in time, asked once a boot."""
    hangs = '#!/bin/sh\ncase "$*" in *accel=kvm*isa-debug-exit*) exec sleep 60;; esac\nexec /usr/bin/qemu-system-x86_64 "$@"\n'
    kvm.write("/usr/local/bin/qemu-system-x86_64", hangs)
    kvm.run(["chmod", "755", "/usr/local/bin/qemu-system-x86_64"])
    kvm.run(["touch", "/dev/kvm"])
    try:
        begun = time.monotonic()
        made = kvm.module("libvirt_domain", {"name": "vm1", "memory": "64MiB"})
        assert made["domains"]["vm1"]["accelerator"] == "tcg" and time.monotonic() - begun < 60
        again = kvm.module("libvirt_domain", {"name": "vm2", "memory": "64MiB"})
        assert again["domains"]["vm2"]["accelerator"] == "tcg" and again["spawned"] == 0
    finally:
        kvm.run(["rm", "-f", "/dev/kvm", "/usr/local/bin/qemu-system-x86_64", "/run/overloom/kvm.json"])

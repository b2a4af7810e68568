# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module libvirt_migrate with a disk that is copied, between two lab hosts."""

from __future__ import annotations

import guests
import harness

LISTEN = """
set -e
printf 'auth_tcp = "none"\\nlisten_addr = "%s"\\n' "$1" > /etc/libvirt/libvirtd.conf
systemctl stop --quiet libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket
systemctl start libvirtd-tcp.socket libvirtd.socket libvirtd.service
"""
QUIET = "rm -f /etc/libvirt/libvirtd.conf /var/log/libvirt/qemu/vm1.log; systemctl stop libvirtd-tcp.socket"
DISK = f"{guests.IMAGES}/vm1-vda.qcow2"


def test_a_guest_goes_with_its_disk_and_comes_back(
    pair: tuple[harness.Host, harness.Host], machine: harness.Machine
) -> None:
    for number, host in enumerate(pair, 1):
        guests.prepare(machine, host)
        guests.clean(host)
        host.run(["ip", "link", "set", "eth1", "up"])
        host.run(["ip", "address", "replace", f"192.0.2.{number}/24", "dev", "eth1"])
        host.run(["hostnamectl", "hostname", f"kvm{number}"], ok=None)
        host.run(["sh", "-c", LISTEN, "sh", f"192.0.2.{number}"])
    wanted = guests.guest(
        "vm1", nics=[], cpu_mode="custom", cpu_model="qemu64", owner="fabric-1", disks=[{"size": "32MiB"}]
    )
    first, second = pair
    try:
        first.module("libvirt_domain", wanted)
        first.module("guest_wait", {"name": "vm1", "kind": "agent", "timeout": 180})
        guests.inside(first, "vm1", "echo written before the move | dd of=/dev/vda conv=fsync")
        boot = guests.inside(first, "vm1", "cat /proc/sys/kernel/random/boot_id")
        other = {"name": "vm1", "destination": "qemu+tcp://192.0.2.2/system", "data": "tcp://192.0.2.2"}
        told = first.module("libvirt_migrate", other, ok=False)["msg"]
        assert "domain vm1 belongs to fabric-1, so it is not migrated" in told
        for number, (source, target) in enumerate(((first, second), (second, first)), 1):
            there = f"192.0.2.{3 - number}"
            move = {
                "name": "vm1",
                "destination": f"qemu+tcp://{there}/system",
                "data": f"tcp://{there}",
                "owner": "fabric-1",
            }
            # Not defined there, its disk is missing: it runs on here.
            told = source.module("libvirt_migrate", move, ok=False)["msg"]
            assert "domain vm1 was not migrated to" in told and "runs on here as before" in told
            target.module("libvirt_domain", {**wanted, "state": "present"})
            assert target.exists(DISK)
            moved = source.apply("libvirt_migrate", move)
            assert moved["changed"] and "--copy-storage-inc" in moved["commands"][0]
            assert "running" in target.run(["virsh", "domstate", "vm1"])
            assert source.run(["virsh", "list", "--all", "--name"]).split() == [] and not source.exists(DISK)
            assert "written before the move" in guests.inside(target, "vm1", "head -c 64 /dev/vda", 60)
            assert guests.inside(target, "vm1", "cat /proc/sys/kernel/random/boot_id", 60) == boot
            assert not target.module("libvirt_domain", wanted)["changed"]
    finally:
        for host in pair:
            guests.clean(host)
            host.run(["sh", "-c", QUIET], ok=None)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests as the intent changes and as hands change them, by the playbooks alone."""
from __future__ import annotations

import os

from test_site import Fabric, changed, endpoint

LAB = {"image": "lab", "nics": [{"trunks": ["blue", "red"]}]}


def guest(name: str, segment: str, **options: object) -> dict:
    return {**endpoint(name, segment, "10.1.1.2" if segment == "blue" else "10.1.3.2"), "kind": "guest", "guest": {**LAB, **options}}


def test_guests_follow_the_intent_and_drift_is_seen(tmp_path):
    fabric = Fabric(tmp_path, f"guests-{os.getpid()}")
    points = [guest("vm1", "blue"), endpoint("one", "blue", "10.1.1.1"), endpoint("two", "green", "10.1.3.1")]
    # The second host is the other end of the cable only.
    fabric.hosts = {"kvm1": {"fabric_endpoints": points}, "kvm2": {"fabric_endpoints": []}}
    fabric.write()
    fabric.play("playbooks/lab.yml")
    try:
        fabric.play("site.yml")
        report = fabric.verify()
        assert report["failed"] == 0 and {"ping", "mtu", "tcp", "isolation"} <= {c["kind"] for c in report["checks"] if c["from"] == "kvm1/vm1"}

        # Moved to another segment, with another trunk and more memory; the trunk's old portgroup goes in the same run.
        moved = guest("vm1", "green", memory="160MiB", restart=True, nics=[{"trunks": ["blue", "red", "green"]}])
        fabric.hosts["kvm1"]["fabric_endpoints"][0] = moved
        fabric.write()
        foretold = fabric.play("site.yml", "--check", "--diff")
        assert "portgroup: green" in foretold and "160MiB" in foretold
        fabric.play("site.yml")
        assert fabric.verify()["failed"] == 0
        assert set(changed(fabric.play("site.yml")).values()) == {0}
        network = fabric.on("kvm1", "virsh", "net-dumpxml", f"{fabric.intent['fabric_name']}-br-int")
        assert "trunk-10-20-30" in network and "'trunk-10-20'" not in network

        # By hand: a tag, then the guest itself. A guest of somebody else stays.
        foreign = "<domain type='qemu'><name>foreign</name><memory>65536</memory><os><type>hvm</type></os></domain>"
        fabric.on("kvm1", "python3", "-c", f"import libvirt; libvirt.open('qemu:///system').defineXML({foreign!r})")
        fabric.on("kvm1", "ovs-vsctl", "set", "port", "v-vm1", "tag=10")
        assert any(c["kind"] == "port" and not c["passed"] for c in fabric.verify(ok=False)["checks"])
        fabric.play("site.yml")
        assert fabric.verify()["failed"] == 0
        del fabric.hosts["kvm1"]["fabric_endpoints"][0]
        fabric.write()
        fabric.play("site.yml")
        assert fabric.on("kvm1", "virsh", "list", "--all", "--name").split() == ["foreign"]
        # libvirt need not run to be torn down: its sockets start it.
        mark = f"<metadata><o:fabric xmlns:o='urn:overloom.fabric' owner='{fabric.intent['fabric_name']}' module='libvirt_domain'/></metadata>"
        ours = foreign.replace("<name>foreign</name>", f"<name>ours</name>{mark}")
        fabric.on("kvm1", "python3", "-c", f"import libvirt; libvirt.open('qemu:///system').defineXML({ours!r})")
        fabric.on("kvm1", "systemctl", "stop", "libvirtd.service")
        fabric.play("playbooks/teardown.yml")
        assert fabric.on("kvm1", "virsh", "list", "--all", "--name").split() == ["foreign"]
        assert fabric.on("kvm1", "virsh", "net-list", "--all", "--name").split() == []
    finally:
        fabric.play("playbooks/lab_down.yml")

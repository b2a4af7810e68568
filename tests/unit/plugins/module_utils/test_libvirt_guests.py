# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of declared domains on a host: the steps, their order, what is told, and what is refused."""

from __future__ import annotations

import copy
import pathlib
import sys
import typing as t
import xml.etree.ElementTree as ET

import pytest
from ansible_collections.overloom.fabric.plugins.module_utils._image import Image
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt_domain import SPEC, view, want
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt_guests import Actions, Found, Here, plan, try_kvm
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt_xml import parse
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from libvirt_documents import filled  # noqa: E402  # pylint: disable=wrong-import-position

OWNER = "fabric-1"
ACTIONS = Actions(None, "qemu:///system")
NETWORK = ET.fromstring(
    "<network><name>fab</name><forward mode='bridge'/><bridge name='br0'/><virtualport type='openvswitch'/>"
    "<portgroup name='blue'><vlan><tag id='10'/></vlan></portgroup>"
    "<portgroup name='trunk'><vlan trunk='yes'><tag id='10' nativeMode='untagged'/><tag id='20'/></vlan></portgroup></network>"
)
POLICY = {"remove_storage": False, "shutdown_timeout": 60, "force": False}


def wanted(**values: t.Any) -> t.Any:
    return want(filled(SPEC, {"name": "vm1", **values}), OWNER)


def host(**values: t.Any) -> Found:
    return Found(
        **{
            **{
                "domains": {},
                "networks": {"fab": NETWORK},
                "images": {},
                "volumes": {},
                "seeds": {},
                "ports": {},
                "memory": 2**30,
                "vcpus": 2,
                "accelerator": "tcg",
                "order": {},
            },
            **values,
        }
    )


def commands(found: Found, *domains: t.Any, adopt: bool = False, purge: t.Any = None, check: bool = False) -> list[str]:
    """The first line of each step's command, without documents."""
    change = plan(found, domains, OWNER, adopt, purge, ACTIONS, check).change()
    assert bool(change.steps) == (change.before != change.after)
    return [step.shown().split("\n")[0].replace(" /dev/stdin", "").replace(" <<'EOF'", "") for step in change.steps]


def defined(domain: t.Any, state: str = "shutoff", autostart: bool = False) -> Here:
    """The domain as it is on the host after its definition."""
    step = plan(
        host(images={d["path"]: Image(True, "qcow2", 2**30) for d in domain.options.get("disks", ())}), [domain], OWNER, False, None, ACTIONS, False
    ).define[0]
    root = parse(step.stdin, "x")
    return Here(root, copy.deepcopy(root) if state != "shutoff" else None, state, autostart)


@pytest.mark.parametrize("space, kept", [(frozenset({"br0"}), "off"), (frozenset({"br1"}), "on")])
def test_offload_is_left_to_the_host_unless_its_datapath_is_in_user_space(space: frozenset[str], kept: str) -> None:
    nics = [{"network": "fab", "offload": "auto"}, {"bridge": "br0", "offload": "auto"}, {"network": "fab", "model": "e1000", "offload": "auto"}]
    domain = wanted(memory="64MiB", nics=nics)
    step = plan(host(user_space=space), [domain], OWNER, False, None, ACTIONS, False).define[0]
    root = parse(step.stdin, "x")
    assert [nic["offload"] for nic in view(root)["nics"]] == [kept, kept, "on"]
    here = Here(root, None, "shutoff", False)
    assert commands(host(user_space=space, domains={"vm1": here}), domain) == []
    # A datapath that has become another one is a change, and what was declared by hand is kept.
    other = host(user_space=frozenset({"br0"}) - space, domains={"vm1": here})
    assert commands(other, domain) == ["virsh define --validate"]
    assert commands(other, wanted(nics=[{**nic, "offload": kept} for nic in nics[:2]] + nics[2:])) == []


def test_a_new_domain_is_defined_then_its_disks_are_made_then_it_starts() -> None:
    domain = wanted(state="running", memory="64MiB", disks=[{"size": "1GiB"}], cloud_init={"user_data": "x"})
    found = host(images={"/var/lib/libvirt/images/vm1-vda.qcow2": Image()})
    assert commands(found, domain) == [
        "virsh define --validate",
        "qemu-img create -q -f qcow2 /var/lib/libvirt/images/vm1-vda.qcow2 1073741824",
        "genisoimage -quiet -o /var/lib/libvirt/images/vm1-seed.iso -V cidata -J meta-data user-data",
        "virsh autostart vm1",
        "virsh start vm1",
    ]


def test_as_declared_is_unchanged() -> None:
    domain = wanted(state="shutoff", memory="64MiB", nics=[{"network": "fab", "portgroup": "blue"}])
    assert commands(host(domains={"vm1": defined(domain)}), domain) == []


@pytest.mark.parametrize(
    ("state", "goal", "expected"),
    [
        ("shutoff", "running", ["virsh start vm1"]),
        ("shutoff", "paused", ["virsh start vm1 --paused"]),
        ("shutoff", "present", []),
        ("running", "present", []),
        ("running", "paused", ["virsh suspend vm1"]),
        ("running", "shutoff", ["virsh shutdown vm1  # within 60 s"]),
        ("paused", "running", ["virsh resume vm1"]),
        ("paused", "shutoff", ["virsh shutdown vm1  # within 60 s"]),
        ("running", "absent", ["virsh shutdown vm1  # within 60 s", "virsh undefine vm1 --managed-save --snapshots-metadata --checkpoints-metadata --nvram"]),
        ("shutoff", "absent", ["virsh undefine vm1 --managed-save --snapshots-metadata --checkpoints-metadata --nvram"]),
    ],
)
def test_from_each_state_to_each_other(state: str, goal: str, expected: list[str]) -> None:
    found = host(domains={"vm1": defined(wanted(memory="64MiB"), state)})
    assert commands(found, wanted(state=goal)) == expected


def test_memory_of_a_running_guest_waits_for_a_restart_or_does_it() -> None:
    here = defined(wanted(memory="64MiB"), "running")
    found = host(domains={"vm1": here})
    result = plan(found, [wanted(memory="128MiB", state="running")], OWNER, False, None, ACTIONS, False)
    assert [step.argv[1] for step in result.change().steps] == ["define"] and result.restart == {"vm1": ["memory"]}
    assert commands(found, wanted(memory="128MiB", state="running", restart=True, force=True)) == [
        "virsh define --validate",
        "virsh shutdown vm1  # within 60 s, else virsh destroy",
        "virsh start vm1",
    ]


def test_nics_of_a_running_guest_are_attached_changed_and_detached_live() -> None:
    one, two, three = ({"network": "fab", "portgroup": "blue", "mac": f"52:54:00:00:00:0{n}"} for n in (1, 2, 3))
    here = defined(wanted(memory="64MiB", nics=[one, two]), "running")
    for number, nic in enumerate(here.live.findall("devices/interface")):
        nic.append(ET.fromstring("<virtualport type='openvswitch'/>"))
        nic.append(ET.fromstring("<vlan><tag id='10'/></vlan>"))
        nic.append(ET.fromstring(f"<target dev='vnet{number}'/>"))
    port = {"tag": 10, "trunks": [], "vlan_mode": None}
    found = host(domains={"vm1": here}, ports={"vnet0": port, "vnet1": port})
    assert commands(found, wanted(nics=[one, two])) == []
    assert commands(found, wanted(nics=[{**one, "portgroup": "trunk"}, three])) == [
        "virsh define --validate",
        "virsh detach-device vm1 --live",
        "virsh update-device vm1 --live",
        "ovs-vsctl -- clear Port vnet0 tag trunks vlan_mode -- set Port vnet0 tag=10 trunks=10,20 vlan_mode=native-untagged",
        "virsh attach-device vm1 --live",
    ]
    drifted = found._replace(ports={"vnet0": {**port, "tag": 99}, "vnet1": port})
    assert commands(drifted, wanted(nics=[one, two])) == ["ovs-vsctl -- clear Port vnet0 tag trunks vlan_mode -- set Port vnet0 tag=10"]


def test_a_foreign_domain_is_configured_and_never_removed() -> None:
    here = defined(wanted(memory="64MiB"))
    here.inactive.remove(here.inactive.find("metadata"))
    found = host(domains={"vm1": here})
    assert commands(found, wanted(memory="64MiB")) == []
    assert commands(found, purge=POLICY) == []
    with pytest.raises(FabricError, match="vm1 carries no mark of fabric-1.*adopt"):
        commands(found, wanted(state="absent"))
    assert commands(found, wanted(memory="64MiB"), adopt=True) == ["virsh define --validate"]
    assert commands(found, wanted(state="absent"), adopt=True)[-1].startswith("virsh undefine vm1")


def test_another_owners_domain_is_left_alone() -> None:
    here = defined(wanted(memory="64MiB"))
    here.inactive.find("metadata")[0].set("owner", "fabric-2")
    with pytest.raises(FabricError, match="belongs to fabric-2"):
        commands(host(domains={"vm1": here}), wanted(memory="64MiB"))
    assert commands(host(domains={"vm1": here}), purge=POLICY) == []


def test_purge_removes_what_is_ours_and_not_declared() -> None:
    found = host(domains={"vm1": defined(wanted(memory="64MiB")), "vm2": defined(wanted(name="vm2", memory="64MiB"))})
    assert [line.split()[2] for line in commands(found, wanted(memory="64MiB"), purge=POLICY)] == ["vm2"]


def test_only_storage_that_was_made_for_the_guest_is_removed() -> None:
    domain = wanted(memory="64MiB", disks=[{"size": "1GiB"}, {"path": "/srv/user.qcow2", "format": "qcow2"}, {"pool": "p", "volume": "v", "size": "1GiB"}])
    found = host(images={"/var/lib/libvirt/images/vm1-vda.qcow2": Image(), "/srv/user.qcow2": Image(True, "qcow2", 2**30)}, volumes={("p", "v"): Image()})
    step = plan(found, [domain], OWNER, False, None, ACTIONS, False).define[0]
    here = host(domains={"vm1": Here(parse(step.stdin, "x"), None, "shutoff", False)})
    assert commands(here, wanted(state="absent", remove_storage=True))[1:] == ["rm -f /var/lib/libvirt/images/vm1-vda.qcow2", "virsh vol-delete v --pool p"]
    assert len(commands(here, wanted(state="absent"))) == 1


DISK = {"path": "/srv/a.img", "format": "qcow2"}
REFUSED = [
    ({"memory": "2GiB"}, {}, "memory 2GiB is more than the host's 1GiB"),
    ({}, {}, "memory is missing"),
    ({"memory": "64MiB", "nics": [{"network": "fab", "portgroup": "green"}]}, {}, "no portgroup green, only blue, trunk"),
    ({"memory": "64MiB", "nics": [{"network": "nope"}]}, {}, "network nope does not exist"),
    ({"memory": "64MiB", "disks": [DISK]}, {"images": {"/srv/a.img": Image()}}, "/srv/a.img does not exist"),
    ({"memory": "64MiB", "disks": [DISK]}, {"images": {"/srv/a.img": Image(True, "vmdk", 2**20)}}, "/srv/a.img is vmdk, not qcow2"),
    ({"memory": "64MiB", "disks": [{**DISK, "size": "1MiB"}]}, {"images": {"/srv/a.img": Image(True, "qcow2", 2**30)}}, "never shrunk"),
    ({"memory": "64MiB", "disks": [{"pool": "p", "volume": "v"}]}, {"volumes": {("p", "v"): None}}, "pool p does not exist"),
    ({"memory": "64MiB", "kernel": "/srv/vmlinux"}, {"images": {"/srv/vmlinux": Image()}}, "kernel /srv/vmlinux does not exist"),
    ({"memory": "64MiB", "nics": [{"bridge": "no-such-bridge"}], "state": "running"}, {}, "bridge no-such-bridge does not exist"),
]


@pytest.mark.parametrize(("values", "found", "part"), REFUSED, ids=[part for _v, _f, part in REFUSED])
def test_what_the_host_has_not_is_refused_before_anything_is_defined(values: dict[str, t.Any], found: dict[str, t.Any], part: str) -> None:
    with pytest.raises(FabricError) as caught:
        commands(host(**found), wanted(**values))
    assert part in str(caught.value) and "domain vm1" in str(caught.value) and "\n" not in str(caught.value)


def test_check_mode_warns_of_what_an_earlier_task_may_bring() -> None:
    result = plan(host(networks={}), [wanted(memory="64MiB", nics=[{"network": "fab", "portgroup": "blue"}])], OWNER, False, None, ACTIONS, True)
    assert len(result.change().steps) == 1 and "network fab does not exist" in result.warnings[0]


def test_duplicate_macs_and_uuids_are_refused() -> None:
    nic = {"network": "fab", "mac": "52:54:00:00:00:01"}
    here = defined(wanted(name="vm2", memory="64MiB", nics=[nic]))
    with pytest.raises(FabricError, match="mac 52:54:00:00:00:01 is domain vm2's already"):
        commands(host(domains={"vm2": here}), wanted(memory="64MiB", nics=[nic]))
    uuid = view(here.inactive)["uuid"]
    with pytest.raises(FabricError, match="uuid .* is domain vm2's already"):
        commands(host(domains={"vm2": here}), wanted(memory="64MiB", uuid=uuid))
    with pytest.raises(FabricError, match="uuid .*cannot change"):
        commands(host(domains={"vm2": here}), wanted(name="vm2", uuid="11111111-2222-3333-4444-555555555555"))
    both = [wanted(name=name, memory="64MiB", nics=[nic]) for name in ("a", "b")]
    with pytest.raises(FabricError, match="domain b: mac"):
        commands(host(), *both)


def test_secrets_are_in_no_command_and_no_diff() -> None:
    result = plan(host(), [wanted(memory="64MiB", graphics=[{"type": "vnc", "password": "s3cret"}])], OWNER, False, None, ACTIONS, False)
    change = result.change()
    assert all("s3cret" not in step.shown() for step in change.steps)
    assert "s3cret" not in str(change.before) + str(change.after)


class Capable:
    """A connection that says KVM is there."""

    def getDomainCapabilities(self, *_args: t.Any) -> str:  # noqa: N802
        return "<domainCapabilities><path>/usr/bin/qemu-system-x86_64</path></domainCapabilities>"


@pytest.mark.parametrize(("status", "expected"), [(0, "kvm"), (1, "tcg")])
def test_kvm_is_tried_and_not_only_looked_for(tmp_path: pathlib.Path, status: int, expected: str) -> None:
    device = tmp_path / "kvm"
    runner = Runner(lambda argv, stdin: (status, "", "failed to set MSR 0x10a"))
    assert try_kvm(Capable(), runner, str(device)) == "tcg" and runner.spawned == 0
    device.touch()
    assert try_kvm(Capable(), runner, str(device)) == expected and runner.spawned == 1

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of declared domains on a host: the steps, their order, what is told, and what is refused."""

from __future__ import annotations

import copy
import pathlib
import threading
import typing as t
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils import _accelerator
from ansible_collections.overloom.fabric.plugins.module_utils._guest.image import Image
from ansible_collections.overloom.fabric.plugins.module_utils._guest.iso import iso_image
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.chain import Chain
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.devices import write_disk
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain import view
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_declaration import SPEC, want
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_plan import Actions, left_host, try_kvm
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.guest_plan import Found, Here, plan
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.patch import lines
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import parse
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner
from ansible_collections.overloom.fabric.tests.integration.libvirt_options import AT_ONCE, BASE, DOMAIN
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils.libvirt_documents import filled

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
        host(images={d["path"]: Image(True, d.get("format", "qcow2"), 2**30) for d in domain.options.get("disks", ())}),
        [domain],
        OWNER,
        False,
        None,
        ACTIONS,
        False,
    ).define[0]
    root = parse(step.stdin, "x")
    return Here(root, copy.deepcopy(root) if state != "shutoff" else None, state, autostart)


@pytest.mark.parametrize("space, kept", [(frozenset({"br0"}), "off"), (frozenset({"br1"}), "on")])
def test_offload_is_left_to_the_host_unless_its_datapath_is_in_user_space(space: frozenset[str], kept: str) -> None:
    nics = [
        {"network": "fab", "offload": "auto"},
        {"bridge": "br0", "offload": "auto"},
        {"network": "fab", "model": "e1000", "offload": "auto"},
    ]
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


def test_ten_guests_start_side_by_side() -> None:
    domains = [wanted(name=f"vm{n}", state="running", memory="64MiB") for n in range(10)]
    steps = plan(host(), domains, OWNER, False, None, ACTIONS, False).change().steps
    starts = [step for step in steps if "start" in step.argv]
    # It opens when all ten are there: one that waits for another ends in BrokenBarrierError.
    gate = threading.Barrier(10)
    for call in starts[0].group.calls:
        call.act = lambda: gate.wait(30)
    starts[0].do()
    assert len(starts) == 10 and {id(step.group) for step in starts} == {id(starts[0].group)} and starts[0].group.done


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
        (
            "running",
            "absent",
            [
                "virsh shutdown vm1  # within 60 s",
                "virsh undefine vm1 --managed-save --snapshots-metadata --checkpoints-metadata --nvram",
            ],
        ),
        (
            "shutoff",
            "absent",
            ["virsh undefine vm1 --managed-save --snapshots-metadata --checkpoints-metadata --nvram"],
        ),
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


class Recorder(Actions):
    """Keeps the document that is defined, with its secrets."""

    def define(self, name: str, root: ET.Element, secrets: t.Sequence[str], remember: t.Any = None) -> t.Any:
        self.defined = copy.deepcopy(root)
        return super().define(name, root, secrets, remember)


@pytest.mark.parametrize("name", DOMAIN)
def test_each_option_of_a_running_guest_is_changed_at_once_or_waits_for_its_restart(name: str) -> None:
    """And it is told again until the guest was restarted, but not afterwards."""
    row = DOMAIN[name]
    files = ("plain.img", "vmlinux", "initrd")
    everything = {f"/var/lib/libvirt/images/{each}": Image(True, "raw", 2**23) for each in files}
    everything[BASE] = Image(True, "qcow2", 2**23)
    begun, then = (wanted(**{"memory": "64MiB", **options}) for options in (row.first, {**row.first, **row.second}))
    for domain in (begun, then):
        everything.update({disk["path"]: Image(True, disk["format"], 2**23) for disk in _made(domain)})
    networks = {each: ET.fromstring(ET.tostring(NETWORK)) for each in ("fab", "other")}
    for network in networks.values():
        network.append(ET.fromstring("<portgroup name='red'/>"))
    around = {
        "images": everything,
        "volumes": {("one", each): Image(True, "raw", 2**23) for each in ("a.img", "b.img")},
        "places": {("one", each): f"/srv/{each}" for each in ("a.img", "b.img")},
        "chains": {path: Chain((), "") for path in (*everything, "/srv/a.img", "/srv/b.img")},
        "networks": networks,
        "user_space": frozenset({"br0"}),
    }
    actions = Recorder(None, "qemu:///system")

    def run(root: ET.Element, live: ET.Element, seed: t.Any, young: bool) -> t.Any:
        seeds = {"vm1": iso_image(seed)} if seed is not None else {}
        names = frozenset({"vm1"} if young else ())
        found = host(
            **around, domains={"vm1": Here(root, live, "running", False)}, seeds=seeds, stale=names, edited=names
        )
        result = plan(found, [then], OWNER, False, None, actions, False)
        return result, [option.split()[0] for option in result.restart.get("vm1", [])]

    plan(host(**around), [begun], OWNER, False, None, actions, False)
    live = copy.deepcopy(actions.defined)
    result, waits = run(actions.defined, live, begun.files, False)
    assert result.change().steps
    if name in AT_ONCE:
        assert waits == []
        return
    # The row's option, or the list that it is in.
    option = name.partition(".")[0]
    assert waits == [{"cpu_model": "cpu_mode"}.get(option, option)] or option in waits
    again, told = run(actions.defined, live, then.files, True)
    assert again.define == [] and told == waits
    assert run(actions.defined, copy.deepcopy(actions.defined), then.files, False)[1] == []


def _made(domain: t.Any) -> list[dict[str, t.Any]]:
    """The disks that would be made for it."""
    return [disk for disk in domain.options.get("disks", ()) if disk["target"] in domain.sizes]


def test_what_libvirt_writes_anew_at_a_start_waits_for_no_restart() -> None:
    raw = (
        "<domain><cpu mode='host-model'/><devices><graphics type='vnc' port='-1' autoport='yes'/>"
        "<interface type='network'><mac address='52:54:00:00:00:09'/><source network='fab'/></interface></devices></domain>"
    )
    guest = wanted(memory="64MiB", xml=raw)
    here = defined(guest, "running")
    here.live.find("cpu").set("mode", "custom")
    here.live.find("devices/graphics").set("port", "5900")
    here.live.find("devices/interface").set("type", "bridge")
    for edited in (frozenset({"vm1"}), frozenset()):
        assert (
            plan(host(domains={"vm1": here}, edited=edited), [guest], OWNER, False, None, ACTIONS, False).restart == {}
        )
    # The control: what the running guest has not.
    here.live.find("devices").remove(here.live.find("devices/graphics"))
    told = plan(host(domains={"vm1": here}, edited=frozenset({"vm1"})), [guest], OWNER, False, None, ACTIONS, False)
    assert told.restart == {"vm1": ["xml"]}


def test_another_accelerator_or_a_cpu_of_the_host_waits_for_a_restart() -> None:
    here = defined(wanted(memory="64MiB", accelerator="tcg", cpu_mode="maximum"), "running")
    then = wanted(accelerator="kvm", cpu_mode="host-model")
    result = plan(host(domains={"vm1": here}), [then], OWNER, False, None, ACTIONS, False)
    assert result.restart == {"vm1": ["accelerator", "cpu_mode"]}
    # libvirt writes the model that it found into the document of a guest that runs with it.
    here.live.set("type", "kvm")
    here.live.find("cpu").set("mode", "custom")
    assert plan(host(domains={"vm1": here}), [then], OWNER, False, None, ACTIONS, False).restart == {}


def test_nics_of_a_running_guest_in_another_order_wait_for_its_restart() -> None:
    first, second = ({"bridge": "br0", "mac": f"52:54:00:00:00:0{number}"} for number in (1, 2))
    here = defined(wanted(memory="64MiB", nics=[first, second]), "running")
    for number, nic in enumerate(here.live.findall("devices/interface")):
        ET.SubElement(nic, "address", {"type": "pci", "bus": "0x00", "slot": f"0x0{number + 3}", "function": "0x0"})

    def waits(*nics: dict[str, t.Any]) -> dict[str, list[str]]:
        return plan(host(domains={"vm1": here}), [wanted(nics=nics)], OWNER, False, None, ACTIONS, False).restart

    assert waits(first, second) == {}
    assert waits(second, first) == {"vm1": ["nics"]}
    # One that was plugged out and in again stands last in the document, and in its old place on the bus.
    devices = here.live.find("devices")
    nic = devices.find("interface")
    devices.remove(nic)
    devices.append(nic)
    assert waits(first, second) == {}


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
    assert commands(drifted, wanted(nics=[one, two])) == [
        "ovs-vsctl -- clear Port vnet0 tag trunks vlan_mode -- set Port vnet0 tag=10"
    ]


def foreign(state: str = "shutoff", **values: t.Any) -> Here:
    """A domain that somebody else made."""
    here = defined(wanted(memory="64MiB", **values), state)
    for root in (here.inactive, here.live):
        if root is not None:
            root.remove(root.find("metadata"))
    return here


@pytest.mark.parametrize("check", [True, False])
def test_a_guest_of_others_is_changed_only_when_it_is_adopted_and_never_removed(check: bool) -> None:
    found = host(domains={"vm1": foreign("running", nics=[{"network": "fab", "mac": "52:54:00:00:00:01"}])})
    assert commands(found, wanted(memory="64MiB"), check=check) == []
    assert commands(found, purge=POLICY) == []
    with pytest.raises(FabricError, match="domain vm1 was not made by this collection and stays; leave it out"):
        commands(found, wanted(state="absent"), check=check)
    with pytest.raises(
        FabricError,
        match=r"domain vm1 is not ours and is in use \(it runs\), and memory would be replaced; choose another name, or give adopt",
    ):
        commands(found, wanted(memory="128MiB"), check=check)
    with pytest.raises(FabricError, match="state would be replaced"):
        commands(found, wanted(state="shutoff"), check=check)
    # What replaces nothing is done.
    assert commands(found, wanted(title="One"), check=check) == ["virsh define --validate"]
    assert commands(found, wanted(memory="128MiB"), adopt=True, check=check) == ["virsh define --validate"]


def adopted(here: Here, **values: t.Any) -> Here:
    """The same after a run that adopts it."""
    images = {disk["path"]: Image(True, disk.get("format", "qcow2"), 2**30) for disk in values.get("disks", ())}
    found = host(domains={"vm1": here}, images=images, vcpus=4)
    step = plan(found, [wanted(**values)], OWNER, True, None, ACTIONS, False).define[0]
    return here._replace(inactive=parse(step.stdin, "x"))


def test_an_adopted_guest_is_given_back_as_it_was_and_removed_only_by_another_word() -> None:
    before = foreign(
        nics=[{"network": "fab", "mac": "52:54:00:00:00:01"}, {"bridge": "br9", "mac": "52:54:00:00:00:02"}]
    )
    nics = [
        {"network": "fab", "portgroup": "blue", "mac": "52:54:00:00:00:01"},
        {"network": "fab", "mac": "52:54:00:00:00:03"},
    ]
    # Adopted first, and its NICs declared by a later run.
    here = adopted(adopted(before), nics=nics)
    assert [nic["mac"][-1] for nic in view(here.inactive)["nics"]] == ["1", "2", "3"], (
        "a NIC that is not declared stays"
    )
    found = host(domains={"vm1": here})
    assert commands(found, wanted(nics=nics)) == []
    result = plan(found, [wanted(state="absent")], OWNER, False, None, ACTIONS, False)
    assert "domain vm1 was there before it was adopted: it is given back, not removed" in result.warnings[0]
    assert commands(found, wanted(state="absent"), adopt=True)[-1].startswith("virsh undefine vm1")
    assert commands(found, purge=POLICY) == commands(found, wanted(state="absent")) == ["virsh define --validate"]
    step = plan(found, [], OWNER, False, POLICY, ACTIONS, False).define[0]
    assert lines(parse(step.stdin, "x")) == lines(before.inactive)


def test_what_was_changed_on_an_adopted_guest_goes_back_and_what_its_owner_changed_since_stays() -> None:
    before = foreign("shutoff", vcpus=2, title="theirs", disks=[{"path": "/srv/theirs.qcow2", "cache": "none"}])
    disk = {"path": "/srv/theirs.qcow2", "cache": "unsafe", "discard": "unmap"}
    here = adopted(before, memory="128MiB", disks=[disk], guest_agent=True)
    # A later run changes one of ours again, and another setting for the first time.
    here = adopted(here, memory="96MiB", disks=[{**disk, "cache": "writeback"}], vcpus=4, title="")
    given = plan(host(domains={"vm1": here}), [], OWNER, False, POLICY, ACTIONS, False)
    assert lines(parse(given.define[0].stdin, "x")) == lines(before.inactive)
    assert given.before["vm1"]["settings"]["memory"] == "98304" and given.after["vm1"]["settings"]["memory"] == "65536"
    # Its owner gives it other memory, another cache, and a title.
    here.inactive.find("memory").text = "262144"
    here.inactive.find("devices/disk/driver").set("cache", "directsync")
    here.inactive.insert(1, ET.fromstring("<title>mine</title>"))
    step = plan(host(domains={"vm1": here}), [], OWNER, False, POLICY, ACTIONS, False).define[0]
    root = parse(step.stdin, "x")
    assert root.findtext("memory") == "262144" and root.findtext("vcpu") == "2" and root.findtext("title") == "mine"
    driver = root.find("devices/disk/driver")
    assert driver.get("cache") == "directsync" and driver.get("discard") is None
    assert root.find("devices/channel") is None


PLACED = """<domain type='kvm'><name>vm1</name><memory>65536</memory><vcpu>1</vcpu><os><type machine='pc-i440fx-7.2'>hvm</type></os><devices>
<controller type='pci' index='0' model='pci-root'/>
<controller type='usb' index='0'><address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x2'/></controller>
<interface type='network'><mac address='52:54:00:00:00:01'/><source network='fab'/><model type='virtio'/>
<address type='pci' domain='0x0000' bus='0x00' slot='0x0b' function='0x0'/></interface>{}</devices></domain>"""


@pytest.mark.parametrize(("slot", "kept"), [("0x0c", True), ("0x0b", False)])
def test_a_guest_that_had_another_chipset_meanwhile_gets_its_places_on_the_bus_back(slot: str, kept: bool) -> None:
    """Else its NICs would have other names."""
    here = adopted(Here(ET.fromstring(PLACED.format("")), None, "shutoff", False), machine="q35")
    assert here.inactive.find("devices/controller[@type='pci']") is None
    # Its owner has added a device meanwhile, perhaps where the NIC was.
    more = f"<rng model='virtio'><address type='pci' domain='0x0000' bus='0x00' slot='{slot}' function='0x0'/></rng>"
    here.inactive.find("devices").append(ET.fromstring(more))
    step = plan(host(domains={"vm1": here}), [], OWNER, False, POLICY, ACTIONS, False).define[0]
    root = parse(step.stdin, "x")
    assert (lines(root) == lines(ET.fromstring(PLACED.format(more)))) is kept
    # What cannot be so, libvirt places anew.
    assert (root.find("devices/interface/address") is not None) is kept


LUN = """<domain type='kvm'><name>vm1</name><memory>65536</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices>
<disk type='block' device='lun' rawio='yes' sgio='unfiltered'><driver name='qemu' type='raw'/><source dev='/dev/sdb'/><target dev='sda' bus='scsi'/></disk>
</devices></domain>"""


def test_a_lun_that_hands_scsi_commands_on_does_so_as_long_as_it_is_a_block_device() -> None:
    before = ET.fromstring(LUN)
    disk = {"target": "sda", "device": "disk", "bus": "scsi", "path": "/dev/sdb", "format": "raw", "cache": "none"}
    here = adopted(Here(before, None, "shutoff", False), disks=[disk])
    assert here.inactive.find("devices/disk").attrib == before.find("devices/disk").attrib
    images = {"/dev/sdb": Image(True, "raw", 2**30)}
    assert commands(host(domains={"vm1": here}, images=images), wanted(disks=[disk])) == []
    given = plan(host(domains={"vm1": here}), [], OWNER, False, POLICY, ACTIONS, False).define[0]
    assert lines(parse(given.stdin, "x")) == lines(before)
    found = here.inactive.find("devices/disk")
    for path, kind in (("/dev/sdc", ("lun", "yes", "block")), ("/srv/a.img", ("disk", None, "file"))):
        write_disk(found, {**disk, "path": path})
        assert (found.get("device"), found.get("rawio"), found.get("type")) == kind


FAILOVER = """<domain type='kvm'><name>vm1</name><memory>65536</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices>
<interface type='network'><mac address='52:54:00:00:00:01'/><source network='fab'/><model type='virtio'/>
<teaming type='persistent'/><alias name='ua-nic'/></interface>
<interface type='hostdev' managed='yes'><mac address='52:54:00:00:00:01'/>
<source><address type='pci' domain='0x0000' bus='0x03' slot='0x10' function='0x0'/></source><teaming type='transient' persistent='ua-nic'/></interface>
</devices></domain>"""


def test_the_second_of_a_failover_pair_goes_where_the_first_goes() -> None:
    """Both have one MAC address; the virtual function is the guest's way for as long as it stays on this host."""
    before = ET.fromstring(FAILOVER)
    nics = [{"network": "fab", "mac": "52:54:00:00:00:01", "mtu": 1400}]
    here = adopted(Here(before, None, "shutoff", False), nics=nics)
    after = dict(lines(here.inactive) - lines(before))
    assert [path for path, _value in after if not path.startswith("metadata")] == [
        "devices/interface[52:54:00:00:00:01]/mtu/@size"
    ]
    assert commands(host(domains={"vm1": here}), wanted(nics=nics)) == []
    live = here._replace(live=here.inactive, state="running")
    assert commands(host(domains={"vm1": live}), wanted(nics=nics)) == []
    given = plan(host(domains={"vm1": here}), [], OWNER, False, POLICY, ACTIONS, False).define[0]
    assert lines(parse(given.stdin, "x")) == lines(before)


def test_a_guest_starts_with_its_host_as_before_it_was_adopted() -> None:
    here = adopted(foreign("shutoff"), autostart=True)._replace(autostart=True)
    assert commands(host(domains={"vm1": here}), purge=POLICY) == [
        "virsh define --validate",
        "virsh autostart vm1 --disable",
    ]
    # Its owner has changed that since.
    assert commands(host(domains={"vm1": here._replace(autostart=False)}), purge=POLICY) == ["virsh define --validate"]


def test_a_nic_that_others_added_stays_and_one_that_was_declared_goes() -> None:
    here = defined(wanted(memory="64MiB", nics=[{"network": "fab"}, {"network": "fab", "portgroup": "blue"}]))
    other = ET.fromstring(
        "<interface type='direct'><mac address='52:54:00:00:00:99'/><source dev='eth1' mode='bridge'/><model type='virtio'/></interface>"
    )
    here.inactive.find("devices").append(other)
    found = host(domains={"vm1": here})
    assert commands(found, wanted(nics=[{"network": "fab"}, {"network": "fab", "portgroup": "blue"}])) == []
    step = plan(found, [wanted(nics=[{"network": "fab"}])], OWNER, False, None, ACTIONS, False).define[0]
    assert [nic["direct"] for nic in view(parse(step.stdin, "x"))["nics"]] == ["", "eth1"]
    # A NIC without a MAC address does not take the place of somebody else's.
    more = [{"network": "fab"}, {"network": "fab", "portgroup": "blue"}, {"network": "fab"}]
    step = plan(found, [wanted(nics=more)], OWNER, False, None, ACTIONS, False).define[0]
    assert [nic["direct"] for nic in view(parse(step.stdin, "x"))["nics"]] == ["", "", "eth1", ""]


def snapshot(here: Here, path: str) -> Here:
    """What `virsh snapshot-create-as vm1 s1 --disk-only` makes of the documents."""
    for root in (here.inactive, here.live):
        if root is not None:
            source = root.find("devices/disk/source")
            source.set("file", path)
            root.find("devices/disk/driver").set("type", "qcow2")
    return here


@pytest.mark.parametrize("state", ["shutoff", "running"])
def test_a_disk_with_snapshots_upon_it_is_the_declared_disk(state: str) -> None:
    disk = {"size": "1GiB", "format": "raw"}
    base, top = "/var/lib/libvirt/images/vm1-vda.raw", "/var/lib/libvirt/images/vm1-vda.s2"
    here = snapshot(defined(wanted(memory="64MiB", disks=[disk]), state), top)
    images = {base: Image(True, "raw", 2**30), top: Image(True, "qcow2", 2**30, "vm1-vda.s1")}
    found = host(
        domains={"vm1": here}, images=images, chains={top: Chain((top, "/var/lib/libvirt/images/vm1-vda.s1", base))}
    )
    assert commands(found, wanted(disks=[disk])) == []
    # Other options of it, and its size, are those of the image that the guest writes to.
    assert commands(found, wanted(disks=[{**disk, "cache": "none"}])) == ["virsh define --validate"]
    step = plan(found, [wanted(disks=[{**disk, "cache": "none"}])], OWNER, False, None, ACTIONS, False).define[0]
    assert view(parse(step.stdin, "x"))["disks"][0]["path"] == top
    grown = commands(found, wanted(disks=[{**disk, "size": "2GiB"}]))
    assert grown == (
        ["virsh blockresize vm1 vda 2147483648B"]
        if state == "running"
        else [f"qemu-img resize -q -f qcow2 {top} 2147483648"]
    )


def test_a_chain_that_cannot_be_read_is_left_alone_and_told() -> None:
    disk = {"path": "/srv/a.qcow2", "format": "qcow2"}
    here = snapshot(defined(wanted(memory="64MiB", disks=[disk])), "/srv/a.s1")
    images = {"/srv/a.qcow2": Image(True, "qcow2", 2**30), "/srv/a.s1": Image(True)}
    found = host(
        domains={"vm1": here}, images=images, chains={"/srv/a.s1": Chain(("/srv/a.s1",), "/srv/a.s1 cannot be read")}
    )
    result = plan(found, [wanted(disks=[disk])], OWNER, False, None, ACTIONS, False)
    assert result.change().steps == []
    assert result.warnings == [
        "domain vm1: disk vda stays on /srv/a.s1: whether it lies upon /srv/a.qcow2 cannot be seen (/srv/a.s1 cannot be read)"
    ]
    # A chain that was read to its end, and is another's: the declared image is put there.
    found = found._replace(chains={"/srv/a.s1": Chain(("/srv/a.s1", "/srv/b.qcow2"))})
    assert commands(found, wanted(disks=[disk])) == ["virsh define --validate"]


def test_a_disk_that_was_copied_elsewhere_does_not_go_back_to_the_older_image() -> None:
    disk = {"size": "1GiB"}
    image = "/var/lib/libvirt/images/vm1-vda.qcow2"
    step = plan(
        host(images={image: Image()}), [wanted(memory="64MiB", disks=[disk])], OWNER, False, None, ACTIONS, False
    ).define[0]
    here = snapshot(Here(parse(step.stdin, "x"), None, "shutoff", False), "/srv/pulled.qcow2")
    for exists in (True, False):
        images = {image: Image(exists, "qcow2", 2**30), "/srv/pulled.qcow2": Image(True, "qcow2", 2**30)}
        found = host(domains={"vm1": here}, images=images, chains={"/srv/pulled.qcow2": Chain(("/srv/pulled.qcow2",))})
        result = plan(found, [wanted(disks=[disk])], OWNER, False, None, ACTIONS, False)
        assert result.change().steps == [] and "somebody has replaced it since" in result.warnings[0]


def test_removed_storage_leaves_no_snapshot_without_what_it_lies_upon() -> None:
    image = "/var/lib/libvirt/images/vm1-vda.qcow2"
    step = plan(
        host(images={image: Image()}),
        [wanted(memory="64MiB", disks=[{"size": "1GiB"}])],
        OWNER,
        False,
        None,
        ACTIONS,
        False,
    ).define[0]
    here = snapshot(Here(parse(step.stdin, "x"), None, "shutoff", False), "/srv/vm1.s1")
    found = host(domains={"vm1": here}, chains={"/srv/vm1.s1": Chain(("/srv/vm1.s1", image))})
    result = plan(found, [wanted(state="absent", remove_storage=True)], OWNER, False, None, ACTIONS, False)
    assert [step.shown().split()[1] for step in result.change().steps] == ["undefine"]
    assert result.warnings == [
        f"domain vm1: {image} stays, as /srv/vm1.s1 lies upon it, which was not made here: remove both by hand when they are not needed"
    ]
    alone = host(domains={"vm1": here}, chains={"/srv/other": Chain(("/srv/other",))})
    assert f"rm -f {image}" in commands(alone, wanted(state="absent", remove_storage=True))


def test_a_guest_that_was_migrated_is_neither_started_here_nor_killed_there() -> None:
    away = defined(wanted(memory="64MiB"))._replace(migrated=True)
    for goal in ("running", "paused"):
        with pytest.raises(FabricError, match="vm1 was migrated from this host to another.*virsh start"):
            commands(host(domains={"vm1": away}), wanted(state=goal))
        with pytest.raises(FabricError, match="vm1 was migrated from this host.*not defined here any more"):
            commands(host(gone=frozenset({"vm1"})), wanted(state=goal, memory="64MiB"))
    assert commands(host(domains={"vm1": away}), wanted(state="shutoff")) == []
    assert len(commands(host(domains={"vm1": away}), purge=POLICY)) == 1
    came = defined(wanted(memory="64MiB"), "running")._replace(migrated=True)
    for removal in ({"purge": POLICY}, {"state": "absent"}):
        with pytest.raises(FabricError, match="vm1 was migrated to this host and runs"):
            commands(
                host(domains={"vm1": came}),
                *([] if "purge" in removal else [wanted(**removal)]),
                purge=removal.get("purge"),
            )
    assert commands(host(domains={"vm1": came}), wanted(state="running")) == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "2026-11-28 04:00:00.000+0000: starting up libvirt version: 9.0.0\n2026-11-28 04:01:00.000+0000: shutting down, reason=migrated\n",
            True,
        ),
        (
            "2026-11-28 04:00:00.000+0000: shutting down, reason=migrated\n2026-11-28 04:01:00.000+0000: starting up libvirt version: 9.0.0\n",
            False,
        ),
        ("2026-11-28 04:01:00.000+0000: shutting down, reason=destroyed\n", False),
        ("a guest may say: shutting down, reason=migrated\n", False),
        ("", False),
    ],
)
def test_the_log_tells_of_a_migration_after_libvirt_has_forgotten_it(
    tmp_path: pathlib.Path, text: str, left: bool
) -> None:
    (tmp_path / "vm1.log").write_text(text, encoding="ascii")
    assert left_host("vm1", f"{tmp_path}/{{}}.log") is left
    assert not left_host("vm2", f"{tmp_path}/{{}}.log")


def test_a_changed_address_waits_for_a_restart_of_the_guest_and_is_told_each_time() -> None:
    seed = {"user_data": "x", "network_config": {"version": 2}}
    begun = wanted(memory="64MiB", cloud_init=seed)
    here = defined(begun, "running")
    content = iso_image(begun.files)
    assert (
        plan(host(domains={"vm1": here}, seeds={"vm1": content}), [begun], OWNER, False, None, ACTIONS, False).restart
        == {}
    )
    changed = wanted(memory="64MiB", cloud_init={**seed, "network_config": {"version": 2, "ethernets": {}}})
    for found in (
        host(domains={"vm1": here}, seeds={"vm1": content}),
        host(domains={"vm1": here}, seeds={"vm1": iso_image(changed.files)}, stale=frozenset({"vm1"})),
    ):
        result = plan(found, [changed], OWNER, False, None, ACTIONS, False)
        assert result.restart == {"vm1": ["cloud_init"]}
        assert [reason["option"] for reason in result.reasons] == ["cloud_init"] and "instance-id" in result.reasons[0][
            "reason"
        ]


def test_the_segment_changes_at_once_and_the_mtu_is_told() -> None:
    nic = {"network": "fab", "portgroup": "blue", "mac": "52:54:00:00:00:01", "mtu": 1500}
    here = defined(wanted(memory="64MiB", nics=[nic]), "running")
    for text in ("<virtualport type='openvswitch'/>", "<vlan><tag id='10'/></vlan>", "<target dev='vnet0'/>"):
        here.live.find("devices/interface").append(ET.fromstring(text))
    found = host(
        domains={"vm1": here}, ports={"vnet0": {"tag": 10, "trunks": [], "vlan_mode": None}}, mtus={"vnet0": 1500}
    )
    result = plan(
        found, [wanted(nics=[{**nic, "portgroup": "trunk", "mtu": 1400}])], OWNER, False, None, ACTIONS, False
    )
    assert [step.shown().split()[1] for step in result.live] == ["update-device", "--", "link"]
    assert '<mtu size="1500"' in result.live[0].stdin, "libvirt takes no other MTU while the guest runs"
    assert result.reasons == [
        {"name": "vm1", "option": "nics 52:54:00:00:00:01", "reason": "mtu: the guest runs with 1500, 1400 is declared"}
    ]


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
    domain = wanted(
        memory="64MiB",
        disks=[
            {"size": "1GiB"},
            {"path": "/srv/user.qcow2", "format": "qcow2"},
            {"pool": "p", "volume": "v", "size": "1GiB"},
        ],
    )
    found = host(
        images={"/var/lib/libvirt/images/vm1-vda.qcow2": Image(), "/srv/user.qcow2": Image(True, "qcow2", 2**30)},
        volumes={("p", "v"): Image()},
    )
    step = plan(found, [domain], OWNER, False, None, ACTIONS, False).define[0]
    here = host(domains={"vm1": Here(parse(step.stdin, "x"), None, "shutoff", False)})
    assert commands(here, wanted(state="absent", remove_storage=True))[1:] == [
        "rm -f /var/lib/libvirt/images/vm1-vda.qcow2",
        "virsh vol-delete v --pool p",
    ]
    assert len(commands(here, wanted(state="absent"))) == 1


DISK = {"path": "/srv/a.img", "format": "qcow2"}
REFUSED = [
    ({"memory": "2GiB"}, {}, "memory 2GiB is more than the host's 1GiB"),
    ({}, {}, "memory is missing"),
    (
        {"memory": "64MiB", "nics": [{"network": "fab", "portgroup": "green"}]},
        {},
        "no portgroup green, only blue, trunk",
    ),
    ({"memory": "64MiB", "nics": [{"network": "nope"}]}, {}, "network nope does not exist"),
    ({"memory": "64MiB", "disks": [DISK]}, {"images": {"/srv/a.img": Image()}}, "/srv/a.img does not exist"),
    (
        {"memory": "64MiB", "disks": [DISK]},
        {"images": {"/srv/a.img": Image(True, "vmdk", 2**20)}},
        "/srv/a.img is vmdk, not qcow2",
    ),
    (
        {"memory": "64MiB", "disks": [{**DISK, "size": "1MiB"}]},
        {"images": {"/srv/a.img": Image(True, "qcow2", 2**30)}},
        "never shrunk",
    ),
    (
        {"memory": "64MiB", "disks": [{"pool": "p", "volume": "v"}]},
        {"volumes": {("p", "v"): None}},
        "pool p does not exist",
    ),
    (
        {"memory": "64MiB", "kernel": "/srv/vmlinux"},
        {"images": {"/srv/vmlinux": Image()}},
        "kernel /srv/vmlinux does not exist",
    ),
    (
        {"memory": "64MiB", "nics": [{"bridge": "no-such-bridge"}], "state": "running"},
        {},
        "bridge no-such-bridge does not exist",
    ),
]


@pytest.mark.parametrize(("values", "found", "part"), REFUSED, ids=[part for _v, _f, part in REFUSED])
def test_what_the_host_has_not_is_refused_before_anything_is_defined(
    values: dict[str, t.Any], found: dict[str, t.Any], part: str
) -> None:
    with pytest.raises(FabricError) as caught:
        commands(host(**found), wanted(**values))
    assert part in str(caught.value) and "domain vm1" in str(caught.value) and "\n" not in str(caught.value)


def test_check_mode_warns_of_what_an_earlier_task_may_bring() -> None:
    result = plan(
        host(networks={}),
        [wanted(memory="64MiB", nics=[{"network": "fab", "portgroup": "blue"}])],
        OWNER,
        False,
        None,
        ACTIONS,
        True,
    )
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
    result = plan(
        host(),
        [wanted(memory="64MiB", graphics=[{"type": "vnc", "password": "s3cret"}])],
        OWNER,
        False,
        None,
        ACTIONS,
        False,
    )
    change = result.change()
    assert all("s3cret" not in step.shown() for step in change.steps)
    assert "s3cret" not in str(change.before) + str(change.after)


class Capable:
    """A connection that says KVM is there."""

    def getDomainCapabilities(self, *_args: t.Any) -> str:  # noqa: N802
        return "<domainCapabilities/>"


@pytest.mark.parametrize(
    ("status", "expected", "why"),
    [
        (_accelerator.ENDED, "kvm", "the boot sector was executed"),
        (0, "tcg", "a virtual CPU was made, and ended otherwise"),
        (-6, "tcg", "failed to set MSR 0x10a"),
        (137, "tcg", "it executed nothing, and was ended after its time"),
    ],
)
def test_kvm_is_taken_only_where_it_executes_and_tried_once_a_boot(
    tmp_path: pathlib.Path, status: int, expected: str, why: str
) -> None:
    device, cache = tmp_path / "kvm", tmp_path / "run" / "kvm.json"
    runner = Runner(lambda _argv, _stdin: (status, "", why))

    def choice() -> str:
        return try_kvm(Capable(), runner, str(device), str(cache))

    assert choice() == "tcg" and runner.spawned == 0
    device.touch()
    assert choice() == expected and runner.spawned == 1
    assert choice() == expected and runner.spawned == 1, "the answer is kept"
    cache.write_text("{", encoding="ascii")
    assert choice() == expected and runner.spawned == 2
    # Another device is another question.
    device.rename(tmp_path / "old")
    device.touch()
    assert choice() == expected and runner.spawned == 3

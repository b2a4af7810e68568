# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains: every typed option is written as libvirt's schema wants it, is read back as it was given, and changes into any other."""

from __future__ import annotations

import copy
import random
import typing as t
import uuid
import xml.etree.ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain import (
    differences,
    settle,
    shown,
    skeleton,
    view,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_declaration import BOOT, SPEC, want
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.patch import patch
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    Mark,
    contains,
    derived_mac,
    derived_uuid,
    parse,
    read_mark,
    to_xml,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils.libvirt_documents import assert_valid, filled

SETTINGS = settings(max_examples=700, deadline=None, suppress_health_check=list(HealthCheck))
OWNER = "fabric-1"
MARK = Mark(OWNER, "libvirt_domain", ("/var/lib/libvirt/images/a.qcow2",), (("k", "v"),))


def mark(wanted: t.Any) -> Mark:
    """The mark that the module writes with what is wanted."""
    return MARK._replace(items=tuple(wanted.options["metadata"].items())) if "metadata" in wanted.options else MARK


def item(**values: t.Any) -> dict[str, t.Any]:
    """A domain's options."""
    return filled(SPEC, {"name": "vm1", **values})


def made(**values: t.Any) -> tuple[ET.Element, t.Any]:
    """The document of a new domain and what was wanted."""
    wanted = settle(want(item(**values), OWNER), None)
    root = skeleton(wanted, OWNER, "tcg")
    patch(root, wanted, mark(wanted))
    return root, wanted


LETTERS = "abcXYZ019.-_<>&'\";=$(){}[]#äß"


class Draw:
    """Draws options from a seed: much cheaper than a strategy for each option, so that thousands of documents are tried."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, **options: t.Callable[[], t.Any]) -> dict[str, t.Any]:
        """About half of the options."""
        return {key: make() for key, make in options.items() if self.random.random() < 0.5}

    def one(self, *values: t.Any) -> t.Any:
        return copy.deepcopy(self.random.choice(values))

    def line(self) -> str:
        return "".join(self.random.choice(LETTERS) for _n in range(self.random.randint(1, 12)))

    def name(self) -> str:
        return "".join(self.random.choice("abz09") for _n in range(self.random.randint(1, 8)))

    def path(self) -> str:
        return f"/{self.name()}/{self.name()}.img"

    def vlans(self) -> dict[str, t.Any]:
        vlan = self.random.randint(1, 4074)
        return self.one(
            {},
            {"vlan": vlan},
            {"vlan": 0},
            {"trunks": []},
            {"trunks": [str(vlan), "5"]},
            {"trunks": [f"{vlan}-{vlan + 20}"], "native_vlan": vlan + 3},
        )

    def nics(self) -> list[dict[str, t.Any]]:
        result = []
        for number in range(self.random.randint(0, 4)):
            nic = self.some(
                model=lambda: self.one("virtio", "e1000", "rtl8139", "e1000e"),
                dev=lambda: self.one("tap-a", "web.1", ""),
                link=lambda: self.one("up", "down"),
                mtu=lambda: self.one(0, 68, 1400, 9000),
                queues=lambda: self.one(0, 1, 4),
                offload=lambda: self.one("auto", "on", "off"),
                rom=lambda: self.one(True, False),
                mac=lambda number=number: f"52:54:01:00:00:{number:02X}",
            )
            if self.one(True, False):
                nic.update(network=self.name(), **self.some(portgroup=lambda: self.one(self.name(), "")))
            else:
                nic.update(bridge=self.one("br0", "br-int"), ovs=self.one(True, False))
            if nic.get("ovs", True):
                nic.update(self.vlans())
            if nic.get("model", "virtio") != "virtio":
                nic.pop("offload", None)
            result.append(nic)
        return result

    def disks(self) -> list[dict[str, t.Any]]:
        result = []
        for _number in range(self.random.randint(0, 4)):
            disk = self.some(
                format=lambda: self.one("raw", "qcow2", "vmdk"),
                cache=lambda: self.one("none", "unsafe", "default"),
                discard=lambda: self.one("unmap", "ignore"),
            )
            if self.one(True, True, False):
                disk.update(
                    self.some(
                        bus=lambda: self.one("virtio", "ide", "scsi", "usb"),
                        serial=self.name,
                        readonly=lambda: self.one(True, False),
                        shareable=lambda: self.one(True, False),
                    )
                )
            else:
                disk.update(device="cdrom", bus=self.one("ide", "scsi"))
            disk.update(
                self.one({"path": self.path()}, {"pool": self.name(), "volume": self.name()}, {"size": "512MiB"})
            )
            result.append(disk)
        return result

    def domain(self) -> dict[str, t.Any]:
        """Any domain that can be declared."""
        values = self.some(
            uuid=lambda: str(uuid.UUID(int=self.random.getrandbits(128))),
            title=lambda: self.one(self.line(), ""),
            description=lambda: self.one(self.line(), "two\nlines <&>\"'"),
            metadata=lambda: self.one({}, {self.line(): self.line(), "b": self.line()}),
            accelerator=lambda: self.one("auto", "kvm", "tcg"),
            machine=lambda: self.one("pc", "q35", "pc-q35-7.2"),
            firmware=lambda: self.one("bios", "efi"),
            vcpus=lambda: self.random.randint(1, 64),
            boot=lambda: self.random.sample(BOOT, self.random.randint(0, 4)),
            kernel=lambda: self.one(self.path(), ""),
            initrd=lambda: self.one(self.path(), ""),
            cmdline=lambda: self.one(self.line(), "console=ttyS0 a=$(reboot) 'b' \"c\" ;d"),
            disks=self.disks,
            nics=self.nics,
            cloud_init=lambda: self.one({}, {"user_data": {"a": 1}}, {"user_data": "x", "bus": "virtio"}),
            serial=lambda: self.one(
                {},
                {"type": "pty"},
                {"log": "/l/x"},
                {"type": "tcp", "port": 4555},
                {"type": "unix", "path": "/s"},
                {"type": "file", "path": "/f", "log": ""},
            ),
            graphics=lambda: self.one(
                [],
                [{}],
                [{"type": "vnc", "listen": "127.0.0.1", "port": 5901, "password": "s3cret"}],
                [{"type": "spice"}, {"type": "vnc", "port": 0}],
            ),
            video=lambda: self.one("vga", "virtio", "none", "qxl"),
            tpm=lambda: self.one({}, {"model": "tpm-crb", "version": "2.0"}, {"backend": "passthrough"}),
            hostdevs=lambda: self.one([], [{"pci": "0000:0A:00.1"}], [{"usb": "046D:c077"}, {"pci": "0000:01:00.0"}]),
            guest_agent=lambda: self.one(True, False),
        )
        values["memory"] = f"{self.random.randint(1, 2**20)}KiB"
        values.update(
            self.one(
                {}, {"cpu_mode": "custom", "cpu_model": "qemu64"}, {"cpu_mode": "host-model"}, {"cpu_mode": "maximum"}
            )
        )
        return values


SEEDS = st.integers(0, 2**32)


@given(SEEDS)
@SETTINGS
def test_a_new_domain_is_valid_and_reads_back_as_declared(seed: int) -> None:
    values = Draw(seed).domain()
    root, wanted = made(**values)
    assert_valid(root)
    assert differences(wanted.options, view(root)) == []
    assert read_mark(root) == mark(wanted)


@given(SEEDS, SEEDS)
@SETTINGS
def test_any_domain_changes_into_any_other_and_keeps_what_is_not_declared(one: int, other: int) -> None:
    first, second = Draw(one).domain(), Draw(other).domain()
    second.pop("uuid", None)
    root, _wanted = made(**first)
    # What libvirt or a person added, and no option declares.
    ET.SubElement(root.find("devices"), "watchdog", {"model": "i6300esb", "action": "reset"})
    ET.SubElement(root, "on_crash").text = "destroy"
    before = view(root)
    wanted = settle(want(item(**second), OWNER), root)
    patch(root, wanted, mark(wanted))
    assert_valid(root)
    assert differences(wanted.options, view(root)) == []
    assert root.find("devices/watchdog[@model='i6300esb']") is not None and root.findtext("on_crash") == "destroy"
    orders = any(entry.get("boot_order") for key in ("disks", "nics") for entry in wanted.options.get(key, ()))
    linked = {"boot"} if orders else set()
    for key in set(before) - set(wanted.options) - linked - {"cpu_mode", "cpu_model", "seed", "metadata"}:
        assert view(root)[key] == before[key], key
    again = copy.deepcopy(root)
    patch(again, wanted, mark(wanted))
    assert to_xml(again, secret=True) == to_xml(root, secret=True)


@given(SEEDS)
@SETTINGS
def test_what_libvirt_adds_is_never_a_change(seed: int) -> None:
    values = Draw(seed).domain()
    root, wanted = made(**values)
    for number, device in enumerate(root.findall("devices/*")):
        if device.tag in ("disk", "interface", "channel"):
            ET.SubElement(device, "alias", {"name": f"ua-{number}"})
            ET.SubElement(
                device,
                "address",
                {"type": "pci", "domain": "0x0000", "bus": "0x00", "slot": f"0x{number:02x}", "function": "0x0"},
            )
        if device.tag == "interface" and device.find("virtualport") is not None:
            ET.SubElement(device.find("virtualport"), "parameters", {"interfaceid": derived_uuid("x", str(number))})
    kind = root.find("os/type")
    kind.set("arch", "x86_64")
    kind.set(
        "machine",
        {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2", None: "pc-i440fx-7.2"}.get(
            kind.get("machine"), kind.get("machine")
        ),
    )
    if root.find("os/boot") is None:
        ET.SubElement(root.find("os"), "boot", {"dev": "hd"})
    ET.SubElement(root, "currentMemory", {"unit": "KiB"}).text = root.findtext("memory")
    ET.SubElement(root.find("devices"), "memballoon", {"model": "virtio"})
    # libvirt sorts the disks.
    devices = root.find("devices")
    found = devices.findall("disk")
    for disk in found:
        devices.remove(disk)
    devices.extend(reversed(found))
    assert differences(wanted.options, view(root)) == []


def test_uuid_and_macs_follow_from_owner_and_name() -> None:
    first, _wanted = made(memory="64MiB", nics=[{"network": "n"}, {"network": "n"}])
    second, _wanted = made(memory="1GiB", nics=[{"network": "m"}, {"bridge": "b"}])
    assert first.findtext("uuid") == second.findtext("uuid") == derived_uuid("libvirt_domain", OWNER, "vm1")
    macs = [nic["mac"] for nic in view(first)["nics"]]
    assert (
        macs
        == [nic["mac"] for nic in view(second)["nics"]]
        == [derived_mac(OWNER, "vm1", "0"), derived_mac(OWNER, "vm1", "1")]
    )
    assert len(set(macs)) == 2 and all(mac.startswith("52:54:00:") for mac in macs)


def test_a_nic_without_mac_takes_the_one_that_stands_in_its_place() -> None:
    root, _wanted = made(
        memory="64MiB",
        nics=[{"network": "n", "mac": "52:54:00:00:00:01"}, {"network": "n", "mac": "52:54:00:00:00:02"}],
    )
    wanted = settle(want(item(nics=[{"network": "n"}, {"network": "m"}]), OWNER), root)
    assert [nic["mac"] for nic in wanted.options["nics"]] == ["52:54:00:00:00:01", "52:54:00:00:00:02"]


def test_a_nic_without_mac_is_the_one_that_is_already_what_it_declares() -> None:
    there = [
        {"network": "n", "mac": "52:54:00:00:00:01"},
        {"bridge": "br0", "vlan": 10, "mac": "52:54:00:00:00:02"},
        {"bridge": "br0", "vlan": 20, "mac": "52:54:00:00:00:03"},
    ]
    root, _wanted = made(memory="64MiB", nics=there)

    def bound(*nics: dict[str, t.Any]) -> list[str]:
        wanted = settle(want(item(nics=list(nics)), OWNER), root)
        return [nic["mac"][-1] for nic in wanted.options["nics"]]

    assert bound({"bridge": "br0"}) == ["2"]
    assert bound({"bridge": "br0", "vlan": 20}) == ["3"]
    # As it is plugged in; what it has besides is changed.
    assert bound({"bridge": "br0", "vlan": 30}) == ["2"]
    # One that is on no bridge yet takes the place that is left.
    assert bound({"bridge": "br0", "vlan": 20}, {"bridge": "br1"}, {"network": "n"}) == ["3", "2", "1"]
    assert bound({"bridge": "br0", "vlan": 10}, {"bridge": "br1"}) == ["2", "1"]
    # One that is declared by its address is nobody else's.
    assert bound({**there[1]}, {"bridge": "br0", "vlan": 10}, {"network": "n"}) == ["2", "3", "1"]


def test_reordered_nics_get_their_places_on_the_bus_anew() -> None:
    one, two = {"network": "n", "mac": "52:54:00:00:00:01"}, {"network": "n", "mac": "52:54:00:00:00:02"}
    root, _wanted = made(memory="64MiB", nics=[one, two])
    for slot, nic in enumerate(root.findall("devices/interface")):
        ET.SubElement(nic, "address", {"type": "pci", "slot": str(slot)})
    appended = copy.deepcopy(root)
    patch(root, settle(want(item(nics=[two, one]), OWNER), root), MARK)
    assert [nic["mac"] for nic in view(root)["nics"]] == [two["mac"], one["mac"]]
    assert root.find("devices/interface/address") is None
    patch(appended, settle(want(item(nics=[one, two, {"network": "n"}]), OWNER), appended), MARK)
    assert len(appended.findall("devices/interface/address")) == 2


def test_a_password_is_kept_when_it_is_not_declared_and_never_shown() -> None:
    root, _wanted = made(memory="64MiB", graphics=[{"type": "vnc", "password": "s3cret"}])
    patch(root, want(item(graphics=[{"type": "vnc", "port": 5999}]), OWNER), MARK)
    assert view(root)["graphics"][0]["password"] == "s3cret"
    assert "s3cret" not in to_xml(root) and "s3cret" in to_xml(root, secret=True)
    assert "s3cret" not in str(shown(view(root)))


def test_raw_xml_adds_what_no_option_says_and_is_then_contained() -> None:
    raw = (
        "<domain><memtune><hard_limit unit='GiB'>1</hard_limit></memtune><features><hyperv><relaxed state='on'/></hyperv></features>"
        "<devices><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>"
    )
    root, wanted = made(memory="64MiB", xml=raw)
    assert_valid(root)
    assert contains(root, wanted.raw) and root.find("features/acpi") is not None
    # libvirt writes sizes in its own unit.
    limit = root.find("memtune/hard_limit")
    limit.set("unit", "KiB")
    limit.text = str(2**20)
    assert contains(root, wanted.raw)
    root.find("devices/rng/backend").text = "/dev/random"
    assert not contains(root, wanted.raw)
    patch(root, wanted, MARK)
    assert contains(root, wanted.raw) and len(root.findall("devices/rng")) == 1


BAD = [
    ({"name": "-x"}, "name '-x'"),
    ({"name": "a/b"}, "a/b"),
    ({"memory": "512"}, "memory '512' is no size"),
    ({"memory": "0MiB"}, "is no size"),
    ({"vcpus": 0}, "vcpus 0"),
    ({"uuid": "x"}, "uuid 'x'"),
    ({"title": "a\nb"}, "one line"),
    ({"title": "a\x00b"}, "cannot carry"),
    ({"cpu_mode": "custom"}, "needs cpu_model"),
    ({"cpu_model": "qemu64", "cpu_mode": "host-model"}, "cpu_model needs"),
    ({"kernel": "boot/vmlinuz"}, "absolute path"),
    ({"nics": [{}]}, "nics[0] has neither network nor bridge"),
    ({"nics": [{"network": "n", "bridge": "b"}]}, "exclude each other"),
    ({"nics": [{"network": "n", "mac": "01:00:5e:00:00:01"}]}, "unicast"),
    (
        {"nics": [{"network": "n", "mac": "52:54:00:00:00:01"}, {"network": "n", "mac": "52:54:00:00:00:01"}]},
        "declared twice",
    ),
    ({"nics": [{"bridge": "b", "vlan": 4095}]}, "4094"),
    ({"nics": [{"bridge": "b", "vlan": 5, "trunks": ["6"]}]}, "set one of them"),
    ({"nics": [{"bridge": "b", "native_vlan": 5}]}, "needs trunks"),
    ({"nics": [{"bridge": "b", "ovs": False, "vlan": 5}]}, "Open vSwitch"),
    ({"nics": [{"bridge": "a-bridge-with-a-long-name"}]}, "no interface name"),
    ({"nics": [{"bridge": "b", "portgroup": "g"}]}, "needs a network"),
    ({"nics": [{"network": "n", "dev": "vnet7"}]}, "vnet0"),
    ({"nics": [{"network": "n", "mtu": 67}]}, "68"),
    ({"nics": [{"network": "n", "model": "e1000", "offload": "off"}]}, "offload off is for the model virtio"),
    ({"nics": [{"network": "n", "model": "e1000; reboot"}]}, "model"),
    ({"disks": [{}]}, "neither path nor pool nor size"),
    ({"disks": [{"path": "x.img"}]}, "absolute path"),
    ({"disks": [{"path": "/x", "target": "fda", "bus": "virtio"}]}, "does not fit bus virtio"),
    ({"disks": [{"path": "/x", "target": "vda1"}]}, "does not fit bus virtio"),
    ({"disks": [{"device": "floppy", "path": "/x", "target": "hda"}]}, "does not fit bus fdc"),
    ({"disks": [{"path": "/x", "target": "vda"}, {"path": "/y", "target": "vda"}]}, "declared twice"),
    ({"disks": [{"pool": "p"}]}, "pool and volume"),
    ({"disks": [{"path": "/x", "pool": "p", "volume": "v"}]}, "exclude"),
    ({"disks": [{"size": "1000B"}]}, "512"),
    ({"disks": [{"size": "1GiB", "backing_path": "/b", "format": "raw"}]}, "needs format qcow2"),
    ({"disks": [{"device": "cdrom", "bus": "virtio", "path": "/x"}]}, "cannot be on bus"),
    ({"boot": ["hd"], "disks": [{"path": "/x", "boot_order": 1}]}, "exclude"),
    ({"cloud_init": {"user_data": ["x"]}}, "text or a mapping"),
    ({"cloud_init": {"user_data": "x"}, "disks": [{"path": "/x", "bus": "sata", "target": "sdf"}]}, "seed"),
    ({"serial": {"type": "tcp"}}, "needs port"),
    ({"serial": {"type": "unix"}}, "needs path"),
    ({"serial": {"log": "/var/log/libvirt/qemu/vm1.log"}}, "QEMU's own log"),
    ({"graphics": [{"type": "vnc", "password": "longer than eight"}]}, "8 characters"),
    ({"graphics": [{}, {}]}, "twice"),
    ({"hostdevs": [{}]}, "pci or usb"),
    ({"hostdevs": [{"pci": "1:2"}]}, "0000:01:00.0"),
    ({"xml": "<domain"}, "well-formed"),
    ({"xml": "<network/>"}, "wrap it"),
    ({"xml": "<domain><name>x</name></domain>"}, "option name"),
    ({"xml": "<!DOCTYPE a [<!ENTITY b 'c'>]><domain/>"}, "entity"),
    ({"xml": "<domain><devices><interface type='user'/></devices></domain>", "nics": []}, "option nics"),
    ({"shutdown_timeout": -1}, "shutdown_timeout"),
]


@pytest.mark.parametrize(
    ("disk", "bus"),
    [
        ({"target": "hda", "bus": "virtio"}, "virtio"),
        ({"target": "xvda", "bus": "scsi"}, "scsi"),
        ({"target": "vdb", "bus": "sata", "device": "cdrom"}, "sata"),
        # Without a bus, a disk's is that of its target's letters, as libvirt has it; a cdrom's stays what it always is.
        ({"target": "hda"}, "ide"),
        ({"target": "sda"}, "scsi"),
        ({"target": "vda"}, "virtio"),
        ({"target": "hda", "device": "cdrom"}, "sata"),
    ],
)
def test_the_letters_of_a_target_are_not_those_of_its_bus(disk: dict[str, t.Any], bus: str) -> None:
    root, wanted = made(disks=[{"path": "/x", **disk}], memory="64MiB")
    assert wanted.options["disks"][0]["bus"] == bus
    assert [dict(found.attrib) for found in root.findall("devices/disk/target")] == [
        {"dev": disk["target"], "bus": bus}
    ]
    assert_valid(root)
    assert differences(wanted.options, view(root)) == []


@pytest.mark.parametrize(("values", "part"), BAD, ids=[part for _values, part in BAD])
def test_bad_input_gets_one_sentence_that_names_it(values: dict[str, t.Any], part: str) -> None:
    with pytest.raises(FabricError) as caught:
        want(item(**values), OWNER)
    text = str(caught.value)
    assert part in text and "\n" not in text
    assert values.get("name", "vm1") in text


@given(st.text(max_size=20))
@SETTINGS
def test_free_text_is_kept_as_it_is_or_refused(text: str) -> None:
    for key in ("title", "cmdline", "description"):
        try:
            root, wanted = made(memory="64MiB", **{key: text})
        except FabricError:
            continue
        reread = parse(to_xml(root), "x")
        assert view(reread)[key] == wanted.options[key] == (text.strip() if key == "description" else text)

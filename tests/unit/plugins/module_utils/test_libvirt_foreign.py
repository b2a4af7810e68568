# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents that others wrote are patched: what differs afterwards is what the diff says, and nothing else.

OVERLOOM_LONG=1 tries 10,000 documents of each property.
"""

from __future__ import annotations

import collections
import copy
import os
import random
import re
import typing as t
import xml.etree.ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from ansible_collections.overloom.fabric.plugins.module_utils._guest.image import Image
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.devices import NIC_KINDS
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain import view
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_declaration import BUSES, SPEC, want
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_plan import Actions
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.guest_plan import Found, Here, Plan, plan
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import libvirt_document, to_xml
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.tests.integration.libvirt_options import DOMAIN
from ansible_collections.overloom.fabric.tests.integration.libvirt_others import DOCUMENTS, NEWER, STEPS, besides
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils.libvirt_documents import assert_valid, filled
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils.libvirt_foreign import Compose

LONG = bool(os.environ.get("OVERLOOM_LONG"))
SETTINGS = settings(
    max_examples=10000 if LONG else 200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=not LONG
)
SEEDS = st.integers(0, 2**40)
MARK = "{urn:overloom.fabric}fabric"

# The lines that an option may change, as a reader of libvirt's documentation would say it.
NIC = {
    "network": r"@type|@managed|source/.*|virtualport/.*|vlan/.*",
    "bridge": r"@type|@managed|source/.*|virtualport/.*|vlan/.*",
    "direct": r"@type|@managed|source/.*|virtualport/.*|vlan/.*",
    "portgroup": r"source/@portgroup",
    "ovs": r"virtualport/.*",
    "vlan": r"vlan/.*",
    "model": r"model/@type",
    "mtu": r"mtu/@size",
    "link": r"link/@state",
    "offload": r"driver/(host|guest)/@(csum|gso|tso4|tso6|ecn|ufo)",
    "rom": r"rom/@enabled",
}
DISK = {
    "path": r"@type|source/@(file|dev|pool|volume|mode)|backingStore/.*|backingStore",
    "format": r"driver/@type",
    "cache": r"driver/@cache",
    "discard": r"driver/@discard",
    "serial": r"serial",
}
OPTIONS = {
    "title": r"title",
    "description": r"description",
    "accelerator": r"@type",
    "memory": r"memory(/@unit)?|currentMemory(/@unit)?|cpu/numa/cell/@(memory|unit)",
    "vcpus": r"vcpu(/@current)?|cpu/topology/@sockets",
    "cpu_mode": r"cpu|cpu/@(mode|match|check|migratable)|cpu/(model|vendor)(/@fallback)?",
    "cpu_model": r"cpu|cpu/@(mode|match)|cpu/model(/@fallback)?",
    "machine": r"os/type/@machine|devices/.*/address/@.*|devices/controller.*",
    "firmware": r"os/(@firmware|loader.*|nvram.*|firmware.*)",
    "boot": r"os/boot/@dev|devices/[^/]*/boot/@order",
    "kernel": r"os/kernel",
    "cmdline": r"os/cmdline",
    "video": r"devices/video/model/@(type|ram|vram|vram64|vgamem)",
    "serial": r"devices/(serial 0|console serial)/(@type|source.*|protocol.*|log/@.*)",
    "guest_agent": r"devices/channel org\.qemu\.guest_agent\.0/.*",
    "tpm": r"devices/tpm/.*",
}


def canonical(root: ET.Element) -> collections.Counter[tuple[str, str]]:
    """Each attribute and text by its path, written anew from the document's text by another library; without the owner's mark."""
    parsed = etree.fromstring(ET.tostring(root))
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    for element in parsed.iter():
        steps = [_step(each) for each in reversed([element, *element.iterancestors()])][1:]
        if MARK in steps:
            continue
        path = "/".join(steps)
        for name, value in element.attrib.items():
            found[f"{path}/@{name}".lstrip("/"), value] += 1
        text = (element.text or "").strip()
        if text or not element.attrib and not len(element) and path != "metadata":
            found[path, text] += 1
    return found


def _step(element: t.Any) -> str:
    parent = element.getparent()
    if parent is None or parent.tag != "devices":
        return element.tag
    keys = {
        "disk": "target/@dev",
        "interface": "mac/@address",
        "graphics": "@type",
        "serial": "target/@port",
        "channel": "target/@name",
    }
    keys.update(console="target/@type", controller="concat(@type, ' ', @index)")
    name = element.xpath(f"string({keys[element.tag]})") if element.tag in keys else ""
    return f"{element.tag} {name}".strip()


class Recorder(Actions):
    """Keeps the document that is defined."""

    def define(self, name: str, root: ET.Element, secrets: t.Sequence[str], remember: t.Any = None) -> t.Any:
        self.defined = copy.deepcopy(root)
        return super().define(name, root, secrets, remember)


def applied(root: ET.Element, options: dict[str, t.Any]) -> tuple[ET.Element, Plan]:
    """The document after a run that adopts it, and the run."""
    actions = Recorder(None, "qemu:///system")
    actions.defined = root
    wanted = want(filled(SPEC, {"name": "vm1", **options}), "fabric-1")
    paths = {
        disk["path"]: Image(True, disk.get("format", "raw"), 2**30)
        for disk in wanted.options.get("disks", ())
        if disk.get("path")
    }
    paths.update({wanted.options[key]: Image(True) for key in ("kernel", "initrd") if wanted.options.get(key)})
    volumes = {
        (disk["pool"], disk["volume"]): Image(True, disk.get("format", "raw"), 2**30)
        for disk in wanted.options.get("disks", ())
        if disk.get("pool")
    }
    groups = "".join(f"<portgroup name='{name}'/>" for name in ("old", "blue"))
    networks = {
        name: ET.fromstring(f"<network><name>{name}</name>{groups}</network>")
        for name in ("default", "fab", "vagrant-libvirt")
    }
    found = Found(
        {"vm1": Here(copy.deepcopy(root), None, "shutoff", False)},
        networks,
        paths,
        volumes,
        {},
        {},
        2**50,
        64,
        "tcg",
        {},
    )
    run = plan(found, [wanted], "fabric-1", True, None, actions, False)
    return actions.defined, run


class Options:
    """Options for a document, each with a value of its own or with the one that is there."""

    def __init__(self, seed: int, root: ET.Element) -> None:
        self.random, self.seen = random.Random(seed), view(root)

    def draw(self, changes: bool) -> dict[str, t.Any]:
        """Some options. changes: whether their values may differ from those that are there."""
        seen = self.seen
        there = {
            "title": seen["title"], "description": seen["description"], "accelerator": seen["accelerator"], "machine": seen["machine"],
            "firmware": seen["firmware"], "memory": f"{seen['memory']}B", "vcpus": seen["vcpus"], "kernel": seen["kernel"], "cmdline": seen["cmdline"],
            "video": seen["video"], "guest_agent": seen["guest_agent"],
            "nics": [self.nic(nic) for nic in seen["nics"]], "disks": [self.disk(disk) for disk in seen["disks"]],
            "graphics": [dict(each) for each in seen["graphics"]],
        }  # fmt: skip
        there["nics"] = [nic for nic in there["nics"] if nic]
        if seen["boot"]:
            there["boot"] = seen["boot"]
        if seen["serial"]:
            there["serial"] = {
                key: value for key, value in seen["serial"].items() if self.random.random() < 0.7 or key != "log"
            }
        if seen["tpm"]:
            there["tpm"] = {key: value for key, value in seen["tpm"].items() if value}
        mode = {"cpu_mode": seen["cpu_mode"]} if seen["cpu_mode"] else {}
        if seen["cpu_mode"] == "custom":
            mode["cpu_model"] = seen["cpu_model"]
        names = self.random.sample(sorted([*there, "cpu_mode"]), self.random.randint(1, 4))
        result = {name: there[name] for name in names if name in there}
        result.update(mode if "cpu_mode" in names else {})
        if changes:
            self.change(result, names)
        if any(each.get("boot_order") for key in ("disks", "nics") for each in result.get(key, ())):
            result.pop("boot", None)
        return result

    def some(self, values: dict[str, t.Any]) -> dict[str, t.Any]:
        return {key: value for key, value in values.items() if self.random.random() < 0.5}

    def nic(self, nic: dict[str, t.Any]) -> dict[str, t.Any]:
        kind = next((kind for kind in ("network", "bridge", "direct", "hostdev", "vhostuser") if nic[kind]), None)
        if kind is None:
            return {}
        result = {"mac": nic["mac"], kind: nic[kind]}
        looks = ("boot_order",) if kind == "hostdev" else ("link", "mtu", "rom", "boot_order", "queues")
        result.update(self.some({key: nic[key] for key in looks}))
        result.update({"ovs": nic["ovs"]} if kind == "bridge" else {})
        result.update(self.some({"model": nic["model"]}) if nic["model"] else {})
        result.update(self.some({"portgroup": nic["portgroup"]}) if kind == "network" else {})
        if kind == "bridge" and nic["ovs"] and nic["trunks"]:
            result.update(
                trunks=[str(vlan) for vlan in nic["trunks"]],
                native_vlan=nic["native_vlan"],
                native_mode=nic["native_mode"],
            )
        return result

    def disk(self, disk: dict[str, t.Any]) -> dict[str, t.Any]:
        result = {key: disk[key] for key in ("target", "device")}
        # What others have may be on a bus that no option says.
        result.update(self.some({"bus": disk["bus"]}) if disk["bus"] in BUSES else {})
        result.update({"path": disk["path"]} if not disk["pool"] else {"pool": disk["pool"], "volume": disk["volume"]})
        result["format"] = disk["format"]
        result.update(self.some({key: disk[key] for key in ("cache", "discard", "serial", "shareable", "boot_order")}))
        return result

    def change(self, result: dict[str, t.Any], names: t.Sequence[str]) -> None:
        choose = self.random.choice
        new = {
            "title": choose(["New", ""]), "description": choose(["New", ""]), "accelerator": choose(["kvm", "tcg"]),
            "machine": choose(["q35", "pc", "pc-q35-7.1"]), "firmware": choose(["bios", "efi"]), "memory": choose(["1GiB", "3GiB", "256MiB"]),
            "vcpus": choose([1, 2, 3, 4, 8]), "kernel": choose(["", "/boot/new"]), "cmdline": choose(["", "quiet"]), "video": choose(["vga", "virtio", "none"]),
            "guest_agent": choose([True, False]), "boot": choose([["hd"], ["network", "hd"], ["cdrom"]]),
            "serial": choose([{}, {"type": "pty"}, {"type": "tcp", "port": 4600}, {"log": "/var/log/new.log"}, {"type": "file", "path": "/var/tmp/new"}]),
            "graphics": choose([[], [{"type": "vnc", "port": 5999}], [{"type": "spice", "listen": "127.0.0.1"}], [{"type": "vnc", "password": "new"}]]),
            "tpm": choose([{}, {"model": "tpm-tis", "version": "2.0"}, {"model": "tpm-tis"}]),
        }  # fmt: skip
        if "cpu_mode" in names:
            result.pop("cpu_model", None)
            result.update(
                choose(
                    [
                        {"cpu_mode": "host-passthrough"},
                        {"cpu_mode": "maximum"},
                        {"cpu_mode": "custom", "cpu_model": "qemu64"},
                    ]
                )
            )
        for name in names:
            if name in ("nics", "disks"):
                self.change_each(result[name], name)
            elif name in new:
                result[name] = new[name]

    def change_each(self, items: list[dict[str, t.Any]], name: str) -> None:
        choose = self.random.choice
        for item in items:
            if name == "disks":
                item.update(self.some({"cache": choose(["none", "writeback"]), "serial": choose(["", "N1"])}))
                if "path" in item and self.random.random() < 0.3:
                    item["path"] = f"/srv/new-{item['target']}"
            elif "hostdev" in item:
                item.update(self.some({"vlan": 99}))
            else:
                item.update(
                    self.some({"link": choose(["up", "down"]), "mtu": choose([0, 1400]), "rom": choose([True, False])})
                )
                if item.get("model") in (None, "virtio") and self.random.random() < 0.3:
                    item["offload"] = choose(["on", "off"])
                if "bridge" in item and item["ovs"] and self.random.random() < 0.5:
                    item.update(trunks=["42", "47", "50"], native_vlan=42, native_mode=choose(["tagged", "untagged"]))
                elif "network" in item and self.random.random() < 0.5:
                    item.update(network="fab", portgroup="blue")
        if name == "nics" and self.random.random() < 0.3:
            items.append({"mac": "52:54:00:0b:00:01", "network": "fab"})


def may_change(path: str, options: dict[str, t.Any]) -> bool:
    """Whether a declared option may change this line."""
    if any(name in options and re.fullmatch(pattern, path) for name, pattern in OPTIONS.items()):
        return True
    # Without a NIC, none stays.
    if options.get("video") == "none" and path.startswith("devices/video"):
        return True
    for tag, option, by, table in (("disk", "disks", "target", DISK), ("interface", "nics", "mac", NIC)):
        match = re.fullmatch(rf"devices/{tag} ([^/]*)/(.*)", path)
        if match and option in options:
            item = next((item for item in options[option] if item[by] == match[1]), None)
            # A disk that is not listed goes; a NIC that is listed and was not there comes.
            if item is None:
                return tag == "disk"
            if match[1] == "52:54:00:0b:00:01" or any(
                key in item and re.fullmatch(pattern, match[2]) for key, pattern in table.items()
            ):
                return True
            return tag == "interface" and "trunks" in item and match[2].startswith("vlan/")
    graphics = re.match(r"devices/graphics (vnc|spice)/(.*)", path)
    if graphics and "graphics" in options:
        kinds = [item["type"] for item in options["graphics"]]
        return graphics[1] not in kinds or bool(
            re.fullmatch(r"@(type|port|autoport|listen|passwd)|listen.*", graphics[2])
        )
    # An order of kinds and an order on devices exclude each other.
    ordered = any(item.get("boot_order") for key in ("disks", "nics") for item in options.get(key, ()))
    return ordered and path == "os/boot/@dev"


@given(SEEDS, SEEDS)
@SETTINGS
def test_an_option_changes_its_own_lines_and_the_diff_says_each(seed: int, other: int) -> None:
    root = Compose(seed).document()
    options = Options(other, root).draw(changes=True)
    try:
        after, run = applied(root, options)
    except FabricError as error:
        assert re.search("NUMA|topology|spice|exclude|plugged in|which no option says", str(error)), error
        return
    change = run.change()
    old, new = canonical(root), canonical(after)
    lines = [path for path, _value in [*(old - new), *(new - old)]]
    # A serial port that comes or goes does so as a whole.
    if "serial" in options:
        moved = _serial_ports(old) ^ _serial_ports(new)
        lines = [path for path in lines if not path.startswith("devices/") or path.split("/")[1] not in moved]
    assert [path for path in lines if not may_change(path, options)] == []
    # Each line is shown: by an option whose value differs, or beside.
    before, told = change.before.get("vm1", {}), change.after.get("vm1", {})
    differing = {key: options[key] for key in options if before.get(key) != told.get(key)}
    beside = {_spelled(path) for side in (before, told) for path in side.get("besides", {})}
    assert [path for path in lines if path not in beside and not may_change(path, differing)] == [], (
        "the diff is silent"
    )
    assert not [path for path in beside if path not in lines], "the diff tells of what did not change"


def _serial_ports(lines: t.Iterable[tuple[str, t.Any]]) -> set[str]:
    """The first serial port and its console, as `canonical` calls them."""
    ports = ("devices/serial 0", "devices/console serial")
    return {path.split("/")[1] for path, _value in lines if path.startswith(ports)}


def _spelled(path: str) -> str:
    """A line of the diff as `canonical` calls it."""
    return re.sub(r"devices/(\w+)\[([^]]*)\]", lambda match: f"devices/{match[1]} {match[2]}".strip(), path)


@given(SEEDS, SEEDS)
@SETTINGS
def test_what_is_there_already_and_a_second_run_change_nothing(seed: int, other: int) -> None:
    root = Compose(seed).document()
    options = Options(other, root).draw(changes=False)
    after, _run = applied(root, options)
    assert canonical(after) == canonical(root)
    options = Options(other, root).draw(changes=True)
    try:
        once, _run = applied(root, options)
    except FabricError:
        return
    twice, run = applied(once, options)
    assert run.change().steps == [], run.change()
    assert twice is once


@given(SEEDS, SEEDS)
@SETTINGS
def test_nics_that_are_declared_without_their_addresses_and_are_there_stay_as_they_are(seed: int, other: int) -> None:
    root = Compose(seed).document()
    drawn = Options(other, root)
    # Any of them, by where it is plugged in, and what it has besides in part.
    nics = [nic for nic in map(drawn.nic, drawn.seen["nics"]) if nic and drawn.random.random() < 0.6]
    places = [[nic[kind] for kind in NIC_KINDS if kind in nic] for nic in nics]
    for nic, place in zip(nics, places):
        if places.count(place) == 1 and alone(place, drawn.seen["nics"]):
            del nic["mac"]
    after, _run = applied(root, {"nics": nics})
    assert canonical(after) == canonical(root)


def alone(place: list[str], nics: t.Sequence[dict[str, t.Any]]) -> bool:
    """Whether only one NIC is plugged in there."""
    return sum(place == [nic[kind] for kind in NIC_KINDS if nic[kind]] for nic in nics) == 1


@given(SEEDS)
@SETTINGS
def test_the_documents_are_such_as_libvirt_knows(seed: int) -> None:
    assert_valid(Compose(seed).document())


@given(SEEDS, SEEDS)
@settings(SETTINGS, max_examples=2000 if LONG else 60)
def test_a_patched_document_is_such_as_libvirt_knows(seed: int, other: int) -> None:
    root = Compose(seed).document()
    try:
        after, _run = applied(root, Options(other, root).draw(changes=True))
    except FabricError:
        return
    assert_valid(after)


# Which lines the rows of the table of all options may change, by the first word of their names.
ROWS = {
    **OPTIONS,
    "disks": "devices/disk .*|os/boot/@dev",
    "cloud_init": "devices/disk (sdf|hdd).*",
    # Those that are declared, and the one that stands in the place of a declared one.
    "nics": r"devices/interface (52:54:00:(?!0c:)|52:54:00:0c:00:0[456]).*|os/boot/@dev",
    "graphics": "devices/graphics (vnc|spice).*",
    "hostdevs": "devices/hostdev.*",
    "initrd": "os/initrd",
    "xml": "memoryBacking.*",
    "video": "devices/video.*",
    "serial": "devices/(serial|console).*",
    "metadata": "",
}


@pytest.mark.parametrize("name", [*DOCUMENTS, *NEWER])
def test_each_option_of_a_guest_of_every_kind_of_people(name: str) -> None:
    """Each documented option by itself: nothing else differs, and whatever else libvirt would be given is what they wrote."""
    text = {**DOCUMENTS, **NEWER}[name]
    root, refused, done = libvirt_document(text), 0, 0
    if name in DOCUMENTS:
        assert_valid(root)
    rows = [{**row.first, **row.second} for row in DOMAIN.values()]
    steps = [(options, "|".join(ROWS[key] for key in options)) for options in rows if not set(options) - set(ROWS)]
    for options, may in [*steps, *STEPS]:
        if "backing_path" in str(options):
            continue
        try:
            after, run = applied(root, options)
        except FabricError:
            refused += 1
            continue
        done += 1
        assert besides(text, to_xml(after, secret=True), may) == [], options
        # What is shown to people hides what nobody is to see.
        assert "c00kie" not in str(run.change()) + to_xml(after)
    assert done > 60 and refused < 40


@pytest.mark.parametrize("bus", ["sata", "usb", "sd", "xen", "virtio"])
def test_a_disk_whose_bus_is_not_declared_stays_on_its_bus(bus: str) -> None:
    text = DOCUMENTS["cloud"].replace("dev='vda' bus='virtio'", f"dev='sda' bus='{bus}'")
    options: dict[str, t.Any] = {"disks": [{"target": "sda", "path": "/srv/x.qcow2", "cache": "none"}]}
    after, _run = applied(libvirt_document(text), options)
    assert besides(text, to_xml(after, secret=True), "devices/disk sda/driver/@cache") == []
    assert after.find("devices/disk/driver").attrib["cache"] == "none"
    assert applied(after, options)[1].change().steps == []
    options["disks"][0]["bus"] = "scsi"
    assert applied(after, options)[0].find("devices/disk/target").attrib == {"dev": "sda", "bus": "scsi"}


def test_metadata_of_others_is_written_back_as_it_was() -> None:
    text = DOCUMENTS["metadata"]
    after, _run = applied(libvirt_document(text), {"title": "New", "metadata": {"role": "web"}})
    theirs = text[text.index("<metadata>") + 10 : text.index("</metadata>")]
    written = to_xml(after, secret=True)
    for part in re.split(r"(?<=up -->)|(?<=policy>)|\n\s*(?=<nova)", theirs):
        assert part.strip() in written
    # Libvirt moves the declaration of a prefix to the element around it.
    again = written.replace("<metadata>", '<metadata xmlns:backup="urn:backup">').replace(
        " xmlns:backup='urn:backup'", ""
    )
    assert " xmlns:backup=\"urn:backup\" keep='7'" in to_xml(libvirt_document(again), secret=True)


def test_memory_has_room_beside_the_modules_that_are_plugged_in() -> None:
    root = libvirt_document(DOCUMENTS["plugged-memory"])
    after, run = applied(root, {"memory": "600MiB"})
    assert after.find("cpu/numa/cell").attrib["memory"] == str((600 - 512) * 1024)
    assert applied(after, {"memory": "600MiB"})[1].change().steps == [] and run.change().steps
    with pytest.raises(
        FabricError, match="memory 512MiB is no more than the modules that are plugged in, 512MiB: raise"
    ):
        applied(root, {"memory": "512MiB"})


def test_a_console_on_a_socket_gets_a_port_only_with_an_address() -> None:
    root = libvirt_document(DOCUMENTS["sockets"])
    with pytest.raises(
        FabricError, match=r"graphics vnc listens on a socket, which has no port: declare listen with the port, or"
    ):
        applied(root, {"graphics": [{"type": "vnc", "port": 5907}]})
    after, _run = applied(root, {"graphics": [{"type": "vnc", "port": 5907, "listen": "127.0.0.1"}]})
    assert_valid(after)
    assert after.find("devices/graphics/listen").attrib == {"type": "address", "address": "127.0.0.1"}

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain's document is patched: each option changes its own element or attribute, and all that no option says stays. Pure.

Some changes draw others after them (a chipset its buses, an order on devices the order of kinds). `besides` finds those, for the diff.
This file is private to the collection.
"""

from __future__ import annotations

import collections
import functools
import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.devices import (
    patch_agent,
    patch_disks,
    patch_graphics,
    patch_hostdevs,
    patch_nics,
    patch_serial,
    patch_tpm,
    patch_video,
    pci_address,
    view_hostdev,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain import (
    differences,
    machine_family,
    memory_bytes,
    view_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_declaration import Domain, seed_path
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    Mark,
    attribute,
    contains,
    document_lines,
    drop,
    element,
    make,
    merge,
    set_text,
    shown_size,
    size,
    write_mark,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import MASK, FabricError

# What stands behind the metadata and behind the devices in libvirt's own order; only for the reader's eyes.
AFTER_METADATA = ("maxMemory", "memory", "currentMemory", "vcpu", "os", "devices")


def patch(root: ET.Element, domain: Domain, mark: Mark) -> None:
    """Make a document say what is wanted. root is changed in place. Raises FabricError."""
    options, seen = domain.options, view_of(root, domain)
    changed = set(differences(options, seen))
    what = f"domain {domain.name}:"
    if "uuid" in changed:
        set_text(root, "uuid", options["uuid"])
    for key in ("title", "description"):
        if key in changed:
            set_text(root, key, options[key], ("metadata", *AFTER_METADATA))
    write_mark(root, mark, AFTER_METADATA)
    if "accelerator" in changed and options["accelerator"] != "auto":
        root.set("type", "kvm" if options["accelerator"] == "kvm" else "qemu")
    if "memory" in changed:
        _patch_memory(root, options["memory"], what)
    if "vcpus" in changed:
        _patch_vcpus(root, options["vcpus"], what)
    _patch_os(root, options, seen, changed)
    if changed & {"cpu_mode", "cpu_model"}:
        _patch_cpu(root, options, seen)
    _patch_devices(root, domain, changed, what)
    if domain.raw is not None and not contains(root, domain.raw):
        merge(root, domain.raw, ("devices",), frozenset(options))


def _patch_devices(root: ET.Element, domain: Domain, changed: set[str], what: str) -> None:
    devices, options = make(root, "devices"), domain.options
    if changed & {"disks", "seed"}:
        patch_disks(
            devices, {key: options[key] for key in ("disks", "seed") if key in options}, seed_path(domain.name), what
        )
    if "nics" in changed:
        patch_nics(root, options["nics"], domain.left)
    if "serial" in changed:
        patch_serial(devices, options["serial"])
    if "graphics" in changed:
        patch_graphics(devices, options["graphics"], what)
    if "video" in changed:
        patch_video(devices, options["video"])
    if "tpm" in changed:
        patch_tpm(devices, options["tpm"])
    if "hostdevs" in changed:
        patch_hostdevs(devices, options["hostdevs"])
    if "guest_agent" in changed:
        patch_agent(devices, options["guest_agent"])


def _patch_memory(root: ET.Element, wanted: int, what: str) -> None:
    memory = make(root, "memory", ("vcpu", "os"))
    cells = root.findall("cpu/numa/cell")
    if len(cells) > 1:
        raise FabricError(
            f"{what} memory is shared out among {len(cells)} NUMA cells: change the cells with virsh edit, or leave memory out"
        )
    old = kibibytes(memory)
    balloon = root.find("currentMemory")
    # What the balloon leaves to the guest stays, as far as there is so much.
    if balloon is not None and (kibibytes(balloon) == old or kibibytes(balloon) * 1024 > wanted):
        set_kibibytes(balloon, wanted // 1024)
    for cell in cells:
        # The document's memory also counts the modules that are plugged in.
        amount = size(f"{cell.get('memory')} {cell.get('unit', 'KiB')}", f"{what} NUMA cell") // 1024
        rest = amount + wanted // 1024 - old
        if rest < 1:
            raise FabricError(
                f"{what} memory {shown_size(wanted)} is no more than the modules that are plugged in, {shown_size((old - amount) * 1024)}: "
                "raise it, or remove modules with virsh edit"
            )
        cell.set("unit", "KiB")
        cell.set("memory", str(rest))
    set_kibibytes(memory, wanted // 1024)


def kibibytes(holder: ET.Element) -> int:
    """The amount of a memory element."""
    return memory_bytes(holder) // 1024


def set_kibibytes(holder: ET.Element, amount: int) -> None:
    """Write an amount; whatever else the element says stays."""
    holder.set("unit", "KiB")
    holder.text = str(amount)


def _patch_vcpus(root: ET.Element, wanted: int, what: str) -> None:
    vcpu = make(root, "vcpu", ("os",))
    most = int(vcpu.text or 1)
    topology = root.find("cpu/topology")
    # Whatever names single CPUs would be refused if they were no more: then only fewer of them are there when the guest starts.
    named = [
        root.find(path)
        for path in ("cpu/topology", "cpu/numa/cell[@cpus]", "cputune/*[@vcpu]", "cputune/*[@vcpus]", "vcpus/vcpu")
    ]
    if wanted > most:
        _raise_vcpus(root, wanted, topology, what)
        vcpu.attrib.pop("current", None)
        vcpu.text = str(wanted)
    elif "current" in vcpu.attrib or any(found is not None for found in named):
        vcpu.attrib.pop("current", None)
        if wanted < most:
            vcpu.set("current", str(wanted))
    else:
        vcpu.text = str(wanted)
    states = root.findall("vcpus/vcpu")
    for number, state in enumerate(sorted(states, key=lambda state: int(state.get("id", "0")))):
        _switch_vcpu(state, number < wanted)


def _raise_vcpus(root: ET.Element, wanted: int, topology: ET.Element | None, what: str) -> None:
    if root.find("cpu/numa/cell[@cpus]") is not None:
        raise FabricError(
            f"{what} vcpus {wanted} is more than its NUMA cells have: change the cells with virsh edit, or lower vcpus"
        )
    if root.find("vcpus") is not None:
        raise FabricError(
            f"{what} vcpus {wanted} is more than its <vcpus> lists one by one: change that with virsh edit, or lower vcpus"
        )
    if topology is None:
        return
    socket = 1
    for key in ("dies", "clusters", "cores", "threads"):
        socket *= int(topology.get(key, "1"))
    if wanted % socket:
        raise FabricError(
            f"{what} vcpus {wanted} does not fit its topology, whose sockets have {socket} each: take a multiple of {socket}"
        )
    topology.set("sockets", str(wanted // socket))


def _switch_vcpu(state: ET.Element, on: bool) -> None:
    if (state.get("enabled") == "yes") == on:
        return
    state.set("enabled", "yes" if on else "no")
    if not on:
        state.set("hotpluggable", "yes")


def _patch_os(root: ET.Element, options: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any], changed: set[str]) -> None:
    os_element = make(root, "os", ("devices",))
    kind = make(os_element, "type")
    kind.text = kind.text or "hvm"
    if "machine" in changed:
        if seen["machine"] and machine_family(seen["machine"]) != machine_family(options["machine"]):
            leave_buses(make(root, "devices"), options["machine"])
        kind.set("machine", options["machine"])
    if "firmware" in changed:
        drop(os_element, "loader", "nvram", "firmware")
        os_element.attrib.pop("firmware", None)
        if options["firmware"] == "efi":
            os_element.set("firmware", "efi")
    for key in ("kernel", "initrd", "cmdline"):
        if key in changed:
            set_text(os_element, key, options[key], ("boot",))
    # libvirt takes an order of kinds or an order on devices, not both.
    if any(item.get("boot_order") for key in ("disks", "nics") for item in options.get(key, ())):
        drop(os_element, "boot")
    if "boot" in changed:
        for device in root.findall("devices/*[boot]"):
            drop(device, "boot")
        drop(os_element, "boot")
        os_element.extend(element("boot", {"dev": dev}) for dev in options["boot"])


def leave_buses(devices: ET.Element, machine: str) -> None:
    """Another chipset has other buses: libvirt gives the addresses on them out anew."""
    for device in list(devices):
        bus = device.get("type") if device.tag == "controller" else ""
        if bus == "pci" or bus == "ide" and machine_family(machine) != "pc":
            devices.remove(device)
        elif attribute(device, "address", "type") == "pci":
            drop(device, "address")


def buses_fit(devices: ET.Element, machine: str) -> bool:
    """Whether the addresses are such as a chipset has: its own root, a controller for each bus, and no place twice."""
    buses = {found.get("index", ""): found.get("model") for found in devices.findall("controller[@type='pci']")}
    root = {"pc": "pci-root", "q35": "pcie-root", "virt": "pcie-root"}.get(machine_family(machine))
    places = [pci_address(found) for found in devices.iterfind("*/address[@type='pci']")]
    return (
        root is not None
        and buses.get("0") == root
        and len({*places}) == len(places)
        and all(str(int(place[5:7], 16)) in buses for place in places)
    )


def _patch_cpu(root: ET.Element, options: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> None:
    mode = options.get("cpu_mode", "custom")
    cpu = make(root, "cpu", ("clock", "on_poweroff", "devices"))
    if mode != seen["cpu_mode"]:
        # libvirt sets these for the mode that is left.
        for key in ("match", "check", *(("migratable",) if mode not in ("host-passthrough", "maximum") else ())):
            cpu.attrib.pop(key, None)
        cpu.set("mode", mode)
        if mode == "custom":
            cpu.set("match", "exact")
        else:
            drop(cpu, "model", "vendor")
    if mode == "custom":
        model = cpu.find("model")
        if model is None:
            model = element("model", {"fallback": "forbid"})
            cpu.insert(0, model)
        model.text = options.get("cpu_model") or seen["cpu_model"]


# ---- what a change drew after it

# The lines of a document that an option says, by their paths.
_SAYS = {
    "uuid": "uuid",
    "title": "title",
    "description": "description",
    "accelerator": "@type",
    "machine": "os/type/@machine",
    "firmware": "os/@firmware",
    "memory": "(memory|currentMemory)(/@unit)?|cpu/numa/cell/@(memory|unit)",
    "vcpus": "vcpu(/@current)?|vcpus/vcpu/@(enabled|hotpluggable)",
    "cpu_mode": "cpu/@(mode|match|check)",
    "cpu_model": "cpu/(model(/@fallback)?|@mode|@match)",
    "boot": "os/boot/@dev",
    "kernel": "os/kernel",
    "initrd": "os/initrd",
    "cmdline": "os/cmdline",
    "video": "devices/video/model/@type",
    "serial": r"devices/(serial|console)\[[^]]*\]/(@type|(source|protocol|log)/.*)",
    "tpm": "devices/tpm/(@model|backend/@(type|version)|backend/device/@path)",
}
_DISK_SAYS = {
    "path": "@type|source/@(file|dev|pool|volume)",
    "pool": "@type|source/@(file|dev|pool|volume)",
    "format": "driver/@type",
    "cache": "driver/@cache",
    "discard": "driver/@discard",
    "device": "@device",
    "bus": "target/@bus",
    "serial": "serial",
    "readonly": "readonly",
    "shareable": "shareable",
    "boot_order": "boot/@order",
}
_NIC_SAYS = {
    "network": "@type|source/@(network|bridge|dev|mode|path)",
    "bridge": "@type|source/@(network|bridge|dev|mode|path)",
    "direct": "@type|source/@(network|bridge|dev|mode|path)",
    "hostdev": "@type|@managed|source/(@(network|bridge|dev|mode|path)|address/.*)",
    "vhostuser": "@type|source/@(network|bridge|dev|mode|path|type)",
    "portgroup": "source/@portgroup",
    "ovs": "virtualport/@type",
    "interface_id": "virtualport/(@type|parameters/@interfaceid)",
    "vlan": "vlan/.*",
    "model": "model/@type",
    "dev": "target/@dev",
    "link": "link/@state",
    "mtu": "mtu/@size",
    "queues": "driver/@(name|queues)",
    "offload": "driver/(host|guest)/@.*",
    "rom": "rom/@enabled",
    "boot_order": "boot/@order",
}
_GRAPHICS_SAYS = {"listen": "@listen|listen/@(type|address)", "port": "@port|@autoport", "password": "@passwd"}
# A device that comes or goes as a whole is shown by its option.
_OPTION_OF = {
    "disk": "disks", "interface": "nics", "graphics": "graphics", "serial": "serial", "console": "serial", "hostdev": "hostdevs", "tpm": "tpm",
    "channel": "guest_agent",
}  # fmt: skip


def name_of(device: ET.Element) -> str:
    """A device's tag with whatever tells it from others of its kind."""
    keys: dict[str, t.Callable[[], t.Any]] = {
        "disk": lambda: attribute(device, "target", "dev"),
        "interface": lambda: str.lower(attribute(device, "mac", "address") or ""),
        "graphics": functools.partial(device.get, "type"),
        "serial": lambda: attribute(device, "target", "port") or "0",
        "console": lambda: (
            f"{attribute(device, 'target', 'type') or 'serial'} {attribute(device, 'target', 'port') or '0'}"
        ),
        "channel": lambda: attribute(device, "target", "name"),
        "hostdev": lambda: " ".join(view_hostdev(device).values()),
        "controller": lambda: f"{device.get('type')} {device.get('index') or '0'}",
    }
    return f"{device.tag}[{keys[device.tag]()}]" if device.tag in keys else device.tag


def lines(root: ET.Element) -> collections.Counter[tuple[str, str]]:
    """Each attribute and text of a document with its path."""
    devices = root.find("devices")
    own = set() if devices is None else {id(device) for device in devices}
    return document_lines(root, lambda each: name_of(each) if id(each) in own else each.tag)


def _explained(path: str, options: t.Mapping[str, t.Any], whole: t.Container[str]) -> bool:
    """Whether the typed part of the diff shows this line already."""
    if any(key in options and re.fullmatch(pattern, path) for key, pattern in _SAYS.items()):
        return True
    match = re.match(r"devices/((\w+)(?:\[([^]]*)\])?)/?(.*)", path)
    if not match:
        return False
    device, tag, key, rest = match.groups()
    if device in whole and (_OPTION_OF.get(tag) in options or tag == "disk" and "seed" in options):
        return True
    tables = {
        "disk": (_DISK_SAYS, "disks", "target"),
        "interface": (_NIC_SAYS, "nics", "mac"),
        "graphics": (_GRAPHICS_SAYS, "graphics", "type"),
    }
    if tag not in tables:
        return False
    says, option, by = tables[tag]
    items = [*options.get(option, ()), *([options["seed"]] if tag == "disk" and options.get("seed") else [])]
    item: t.Mapping[str, t.Any] = next((item for item in items if item[by] == key), {})
    return any(name in item and re.fullmatch(pattern, rest) for name, pattern in says.items())


def besides(before: ET.Element, after: ET.Element, domain: Domain) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """The lines of two documents that differ and that no declared option shows: each path with what is there before, and after."""
    old, new = lines(before), lines(after)
    names = [{name_of(device) for device in root.findall("devices/*")} for root in (before, after)]
    whole = names[0] ^ names[1]
    raw = {path for path, _value in lines(domain.raw)} if domain.raw is not None else set()
    sides: tuple[dict[str, t.Any], dict[str, t.Any]] = ({}, {})
    for side, gone in zip(sides, (old - new, new - old)):
        for path, value in sorted(gone.elements()):
            if path in raw or path == "metadata" or _explained(path, domain.options, whole):
                continue
            value = MASK if path.endswith("@passwd") else value
            side[path] = value if path not in side else f"{side[path]}, {value}"
    return sides

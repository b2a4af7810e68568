# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains: the typed options, what a document says of them, and how a document is patched to say what is wanted. Pure.

After https://libvirt.org/formatdomain.html. A domain's options are compared one by one with its inactive document, and only those
that the caller declared; what libvirt adds by itself is therefore never a change. This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._image import FORMATS
from ansible_collections.overloom.fabric.plugins.module_utils._iso import seed_files
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt_xml import (
    Mark,
    attribute,
    check_address,
    check_line,
    check_mac,
    check_name,
    check_number,
    check_path,
    check_text,
    check_uuid,
    check_vlan,
    contains,
    derived_mac,
    derived_uuid,
    drop,
    element,
    make,
    merge,
    parse,
    parse_vlan,
    read_mark,
    set_attribute,
    set_text,
    set_vlan,
    shown_size,
    size,
    write_mark,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import MASK, FabricError

MODULE = "libvirt_domain"
IMAGES = "/var/lib/libvirt/images"
STATES = ("present", "running", "shutoff", "paused", "absent")
BOOT = ("hd", "cdrom", "network", "fd")
BUSES = {"virtio": "vd", "ide": "hd", "sata": "sd", "scsi": "sd", "usb": "sd", "fdc": "fd"}
HOTPLUG_BUSES = ("virtio", "scsi", "usb")
SEED_TARGETS = {"ide": "hdd", "sata": "sdf", "scsi": "sdf", "usb": "sdf", "virtio": "vdz"}
AGENT = "org.qemu.guest_agent.0"
# What stands behind the metadata and behind the devices in libvirt's own order; only for the reader's eyes.
AFTER_METADATA = ("maxMemory", "memory", "currentMemory", "vcpu", "os", "devices")

DISK = {
    "target": {"type": "str"},
    "device": {"type": "str", "choices": ["disk", "cdrom", "floppy"], "default": "disk"},
    "bus": {"type": "str", "choices": list(BUSES)},
    "path": {"type": "str"},
    "pool": {"type": "str"},
    "volume": {"type": "str"},
    "format": {"type": "str", "choices": [name for name in FORMATS if name != "iso"]},
    "size": {"type": "str"},
    "backing_path": {"type": "str"},
    "backing_format": {"type": "str", "choices": ["raw", "qcow2", "vmdk"], "default": "qcow2"},
    "readonly": {"type": "bool"},
    "shareable": {"type": "bool"},
    "cache": {"type": "str", "choices": ["default", "none", "writethrough", "writeback", "directsync", "unsafe"]},
    "discard": {"type": "str", "choices": ["ignore", "unmap"]},
    "serial": {"type": "str"},
    "boot_order": {"type": "int"},
}
NIC = {
    "mac": {"type": "str"},
    "model": {"type": "str"},
    "network": {"type": "str"},
    "portgroup": {"type": "str"},
    "bridge": {"type": "str"},
    "ovs": {"type": "bool", "default": True},
    "vlan": {"type": "int"},
    "trunks": {"type": "list", "elements": "str"},
    "native_vlan": {"type": "int"},
    "dev": {"type": "str"},
    "link": {"type": "str", "choices": ["up", "down"]},
    "mtu": {"type": "int"},
    "queues": {"type": "int"},
    "offload": {"type": "str", "choices": ["auto", "on", "off"]},
    "rom": {"type": "bool"},
    "boot_order": {"type": "int"},
}
SERIAL = {
    "type": {"type": "str", "choices": ["pty", "tcp", "unix", "file"]},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "path": {"type": "str"},
    "log": {"type": "str"},
}
GRAPHICS = {
    "type": {"type": "str", "choices": ["vnc", "spice"], "default": "vnc"},
    "listen": {"type": "str"},
    "port": {"type": "int"},
    "password": {"type": "str", "no_log": True},
}
TPM = {
    "model": {"type": "str", "choices": ["tpm-tis", "tpm-crb", "tpm-spapr"]},
    "backend": {"type": "str", "choices": ["emulator", "passthrough"]},
    "version": {"type": "str", "choices": ["1.2", "2.0"]},
    "device": {"type": "str"},
}
CLOUD_INIT = {
    "user_data": {"type": "raw"},
    "meta_data": {"type": "raw"},
    "network_config": {"type": "raw"},
    "bus": {"type": "str", "choices": list(SEED_TARGETS), "default": "sata"},
}
HOSTDEV = {"pci": {"type": "str"}, "usb": {"type": "str"}}
SPEC: dict[str, t.Any] = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": list(STATES), "default": "present"},
    "uuid": {"type": "str"},
    "title": {"type": "str"},
    "description": {"type": "str"},
    "metadata": {"type": "dict"},
    "accelerator": {"type": "str", "choices": ["auto", "kvm", "tcg"]},
    "machine": {"type": "str"},
    "firmware": {"type": "str", "choices": ["bios", "efi"]},
    "memory": {"type": "str"},
    "vcpus": {"type": "int"},
    "cpu_mode": {"type": "str", "choices": ["custom", "host-model", "host-passthrough", "maximum"]},
    "cpu_model": {"type": "str"},
    "boot": {"type": "list", "elements": "str", "choices": list(BOOT)},
    "kernel": {"type": "str"},
    "initrd": {"type": "str"},
    "cmdline": {"type": "str"},
    "autostart": {"type": "bool"},
    "disks": {"type": "list", "elements": "dict", "options": DISK},
    "cloud_init": {"type": "dict", "options": CLOUD_INIT},
    "nics": {"type": "list", "elements": "dict", "options": NIC},
    "serial": {"type": "dict", "options": SERIAL},
    "graphics": {"type": "list", "elements": "dict", "options": GRAPHICS},
    "video": {"type": "str"},
    "tpm": {"type": "dict", "options": TPM},
    "hostdevs": {"type": "list", "elements": "dict", "options": HOSTDEV},
    "guest_agent": {"type": "bool"},
    "xml": {"type": "str"},
    "remove_storage": {"type": "bool", "default": False},
    "shutdown_timeout": {"type": "int", "default": 60},
    "force": {"type": "bool", "default": False},
    "restart": {"type": "bool", "default": False},
}
# Tags below devices that typed options own, and the option.
OWNED_DEVICES = {
    "disk": "disks",
    "interface": "nics",
    "serial": "serial",
    "console": "serial",
    "graphics": "graphics",
    "video": "video",
    "tpm": "tpm",
    "hostdev": "hostdevs",
}
# What a virtio NIC leaves to its host (formatdomain, "Setting NIC driver-specific options"): to send, and to receive.
OFFLOADS = {"host": ("csum", "gso", "tso4", "tso6", "ecn", "ufo"), "guest": ("csum", "tso4", "tso6", "ecn", "ufo")}
# What takes effect in a running guest at once, or never has to.
LIVE_OPTIONS = ("title", "description", "metadata", "disks", "nics", "xml", "autostart", "accelerator", "uuid")


class Domain(t.NamedTuple):
    """A wanted domain, checked.

    options: the declared ones, in the shape of `view`. raw: the caller's own XML. files: the content of its cloud-init seed, or None.
    sizes: for each disk's target (size in bytes, backing path, backing format). policy: the options that say how, not what.
    """

    name: str
    state: str
    options: dict[str, t.Any]
    raw: ET.Element | None
    files: dict[str, bytes] | None
    sizes: dict[str, tuple[int, str, str]]
    policy: dict[str, t.Any]
    secrets: tuple[str, ...]


def seed_path(name: str) -> str:
    """Where a domain's seed lies."""
    return f"{IMAGES}/{name}-seed.iso"


# ---- from the caller's options


def want(item: t.Mapping[str, t.Any], owner: str) -> Domain:
    """Check one item and bring it into the shape of `view`. Raises FabricError."""
    name = check_name(item["name"], "domain name")
    if "/" in name:
        raise FabricError(f"domain name {name!r} holds a slash: leave it out")
    what = f"domain {name}:"
    options: dict[str, t.Any] = {}

    def take(key: str, check: t.Callable[[t.Any, str], t.Any]) -> None:
        if item.get(key) is not None:
            options[key] = check(item[key], f"{what} {key}")

    take("uuid", check_uuid)
    take("title", check_line)
    take("description", lambda value, w: check_text(value, w).strip())
    if item.get("metadata") is not None:
        options["metadata"] = {
            check_line(str(k), f"{what} metadata"): check_text(str(v), f"{what} metadata").strip() for k, v in sorted(item["metadata"].items())
        }
    take("accelerator", lambda value, w: value)
    take("machine", check_line)
    take("firmware", lambda value, w: value)
    take("memory", lambda value, w: -(-size(value, w) // 1024) * 1024)
    take("vcpus", lambda value, w: check_number(value, w, 1, 4096))
    take("cpu_mode", lambda value, w: value)
    take("cpu_model", check_line)
    if options.get("cpu_model") and options.get("cpu_mode", "custom") != "custom":
        raise FabricError(f"{what} cpu_model needs cpu_mode custom, not {options['cpu_mode']}")
    if options.get("cpu_mode") == "custom" and not options.get("cpu_model"):
        raise FabricError(f"{what} cpu_mode custom needs cpu_model")
    take("boot", lambda value, w: value or ["hd"])
    for key in ("kernel", "initrd"):
        take(key, lambda value, w: value and check_path(value, w))
    take("cmdline", check_line)
    take("autostart", lambda value, w: value)
    sizes: dict[str, tuple[int, str, str]] = {}
    if item.get("disks") is not None:
        options["disks"] = _want_disks(name, item["disks"], sizes)
    if item.get("nics") is not None:
        options["nics"] = _want_nics(name, owner, item["nics"])
    files = _want_seed(name, owner, item, options, what)
    take("serial", _want_serial)
    if options.get("serial", {}).get("log") == f"/var/log/libvirt/qemu/{name}.log":
        raise FabricError(f"{what} serial log {options['serial']['log']} is QEMU's own log: choose another file")
    take("graphics", _want_graphics)
    take("video", check_line)
    take("tpm", _want_tpm)
    take("hostdevs", _want_hostdevs)
    take("guest_agent", lambda value, w: value)
    if options.get("boot") is not None and any(d.get("boot_order") for key in ("disks", "nics") for d in options.get(key, ())):
        raise FabricError(f"{what} boot and boot_order exclude each other: name the order in one of them")
    policy = {key: item[key] for key in ("remove_storage", "shutdown_timeout", "force", "restart")}
    check_number(policy["shutdown_timeout"], f"{what} shutdown_timeout", 0, 3600)
    secrets = tuple(g["password"] for g in options.get("graphics", ()) if g.get("password"))
    return Domain(name, item["state"], options, _want_raw(item.get("xml"), options, what), files, sizes, policy, secrets)


def _declared(value: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {key: entry for key, entry in value.items() if entry is not None}


def _want_disks(name: str, disks: t.Sequence[t.Mapping[str, t.Any]], sizes: dict[str, tuple[int, str, str]]) -> list[dict[str, t.Any]]:
    wanted: list[dict[str, t.Any]] = []
    counts: dict[str, int] = {}
    for position, disk in enumerate(disks):
        removable = disk["device"] != "disk"
        bus = disk["bus"] or {"disk": "virtio", "cdrom": "sata", "floppy": "fdc"}[disk["device"]]
        prefix = BUSES[bus]
        target = disk["target"]
        if target is None:
            target = prefix + _letters(counts.get(prefix, 0))
        what = f"domain {name}: disk {target}"
        if not re.fullmatch(prefix + "[a-z]{1,2}", target):
            raise FabricError(f"{what}: target does not fit bus {bus}: write it like {prefix}a")
        counts[prefix] = counts.get(prefix, 0) + 1
        if any(other["target"] == target for other in wanted):
            raise FabricError(f"{what} is declared twice: give each disk a target of its own")
        if disk["device"] == "cdrom" and bus in ("virtio", "fdc") or disk["device"] == "floppy" and bus != "fdc":
            raise FabricError(f"{what}: a {disk['device']} cannot be on bus {bus}")
        found: dict[str, t.Any] = {"target": target, "device": disk["device"], "bus": bus}
        if bool(disk["pool"]) != bool(disk["volume"]):
            raise FabricError(f"{what}: pool and volume go together")
        if disk["pool"] and disk["path"]:
            raise FabricError(f"{what}: path and pool exclude each other")
        capacity = size(disk["size"], f"{what}: size") if disk["size"] is not None else 0
        if capacity % 512:
            raise FabricError(f"{what}: size {disk['size']} is no multiple of 512 bytes")
        backing = disk["backing_path"] or ""
        kind = disk["format"]
        if disk["pool"]:
            found.update(pool=check_name(disk["pool"], f"{what}: pool"), volume=check_line(disk["volume"], f"{what}: volume"), path="")
        elif disk["path"] is not None:
            found.update(path=check_path(disk["path"], f"{what}: path") if disk["path"] else "", pool="", volume="")
        elif capacity or backing:
            found.update(path=f"{IMAGES}/{name}-{target}.{kind or 'qcow2'}", pool="", volume="")
        elif not removable:
            raise FabricError(f"{what} has neither path nor pool nor size: say where it lies or how large it shall be")
        if (capacity or backing) and kind is None:
            kind = "qcow2"
        if backing and kind != "qcow2":
            raise FabricError(f"{what}: backing_path needs format qcow2, not {kind}")
        if kind is not None:
            found["format"] = kind
        for key in ("readonly", "shareable", "cache", "discard"):
            if disk[key] is not None:
                found[key] = disk[key]
        if disk["device"] == "cdrom" and found.get("readonly") is False:
            raise FabricError(f"{what}: a cdrom cannot be written: leave readonly out")
        if disk["serial"] is not None:
            found["serial"] = check_line(disk["serial"], f"{what}: serial")
            if not re.fullmatch(r"[A-Za-z0-9_.+ -]*", found["serial"]):
                raise FabricError(f"{what}: serial {disk['serial']!r} may hold letters, digits, blanks and _.+- only")
        if disk["boot_order"] is not None:
            found["boot_order"] = check_number(disk["boot_order"], f"{what}: boot_order", 0, 9999)
        if capacity or backing:
            sizes[target] = (capacity, check_path(backing, f"{what}: backing_path") if backing else "", disk["backing_format"] if backing else "")
        wanted.append(found)
    return wanted


def _letters(number: int) -> str:
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def _want_nics(name: str, owner: str, nics: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    wanted: list[dict[str, t.Any]] = []
    for position, nic in enumerate(nics):
        what = f"domain {name}: nics[{position}]"
        found: dict[str, t.Any] = {}
        if nic["mac"] is not None:
            found["mac"] = check_mac(nic["mac"], f"{what} mac")
        else:
            found.update(mac=derived_mac(owner, name, str(position)), derived=True)
        if nic["network"] and nic["bridge"]:
            raise FabricError(f"{what}: network and bridge exclude each other")
        if not nic["network"] and not nic["bridge"]:
            raise FabricError(f"{what} has neither network nor bridge: say where it is plugged in")
        vlan = check_vlan(nic, what)
        if nic["network"]:
            found["network"] = check_name(nic["network"], f"{what} network")
            if nic["portgroup"] is not None:
                found["portgroup"] = nic["portgroup"] and check_name(nic["portgroup"], f"{what} portgroup")
        else:
            if nic["portgroup"]:
                raise FabricError(f"{what}: portgroup {nic['portgroup']} needs a network")
            found.update(bridge=check_line(nic["bridge"], f"{what} bridge"), ovs=nic["ovs"])
            if not re.fullmatch(r"[!-.0-~]{1,15}", nic["bridge"]) or nic["bridge"].startswith("-"):
                raise FabricError(f"{what}: bridge {nic['bridge']!r} is no interface name")
            if vlan and not nic["ovs"] and (vlan["vlan"] or vlan["trunks"]):
                raise FabricError(f"{what}: libvirt sets VLANs on Open vSwitch bridges only: leave ovs true, or use a bridge for each VLAN")
        found.update(vlan or {})
        if nic["model"] is not None:
            found["model"] = nic["model"]
            if not re.fullmatch(r"[a-zA-Z0-9_-]+", nic["model"]):
                raise FabricError(f"{what}: model {nic['model']!r} may hold letters, digits, _ and - only")
        if nic["dev"] is not None:
            found["dev"] = nic["dev"]
            if nic["dev"] and (not re.fullmatch(r"[A-Za-z0-9_.:-]{1,15}", nic["dev"]) or re.match(r"-|(vnet|vif|macvtap|macvlan)\d", nic["dev"])):
                raise FabricError(
                    f"{what}: dev {nic['dev']!r} is no name that libvirt keeps: use up to 15 letters, digits and _.:-, and not vnet0 and the like"
                )
        for key in ("link", "rom"):
            if nic[key] is not None:
                found[key] = nic[key]
        for key, least, most in (("mtu", 0, 65535), ("queues", 0, 256), ("boot_order", 0, 9999)):
            if nic[key] is not None:
                found[key] = check_number(nic[key], f"{what} {key}", least, most)
        if nic["offload"] is not None:
            found["offload"] = nic["offload"]
            if nic["offload"] != "auto" and nic["model"] not in (None, "virtio"):
                raise FabricError(f"{what}: offload {nic['offload']} is for the model virtio, not {nic['model']}: leave it out, or make it auto")
        if found.get("mtu") and found["mtu"] < 68:
            raise FabricError(f"{what} mtu {found['mtu']} is below 68 bytes, IPv4's least")
        if any(other["mac"] == found["mac"] for other in wanted):
            raise FabricError(f"{what}: mac {found['mac']} is declared twice")
        wanted.append(found)
    return wanted


def _want_seed(name: str, owner: str, item: t.Mapping[str, t.Any], options: dict[str, t.Any], what: str) -> dict[str, bytes] | None:
    value = item.get("cloud_init")
    if value is None:
        return None
    if all(value[key] is None for key in ("user_data", "meta_data", "network_config")):
        options["seed"] = {}
        return None
    for key in ("user_data", "meta_data", "network_config"):
        if value[key] is not None and not isinstance(value[key], (str, dict)):
            raise FabricError(f"{what} cloud_init {key} must be a text or a mapping")
    target = SEED_TARGETS[value["bus"]]
    if any(disk["target"] == target for disk in options.get("disks", ())):
        raise FabricError(f"{what} disk {target} is where the cloud-init seed goes: give the disk another target, or cloud_init another bus")
    options["seed"] = {
        "target": target,
        "device": "disk" if value["bus"] == "virtio" else "cdrom",
        "bus": value["bus"],
        "path": seed_path(name),
        "format": "raw",
    }
    if value["bus"] == "virtio":
        options["seed"]["readonly"] = True
    identity = options.get("uuid") or derived_uuid(MODULE, owner, name)
    return seed_files(value, name, identity)


def _want_serial(value: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any]:
    if not _declared(value):
        return {}
    kind = value["type"] or "pty"
    found: dict[str, t.Any] = {"type": kind}
    if kind == "tcp":
        if value["port"] is None:
            raise FabricError(f"{what} type tcp needs port")
        found.update(host=check_line(value["host"] or "127.0.0.1", f"{what} host"), port=check_number(value["port"], f"{what} port", 1, 65535))
    elif kind in ("unix", "file"):
        if not value["path"]:
            raise FabricError(f"{what} type {kind} needs path")
        found["path"] = check_path(value["path"], f"{what} path")
    if value["log"] is not None:
        found["log"] = value["log"] and check_path(value["log"], f"{what} log")
    return found


def _want_tpm(value: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any]:
    found = _declared(value)
    if not found:
        return {}
    found.setdefault("backend", "emulator")
    if found["backend"] == "passthrough":
        found["device"] = check_path(found.get("device") or "/dev/tpm0", f"{what} device")
    elif "device" in found:
        raise FabricError(f"{what} device needs backend passthrough")
    if found["backend"] == "passthrough" and "version" in found:
        raise FabricError(f"{what} version is the device's own with backend passthrough: leave it out")
    return found


def _want_graphics(values: t.Sequence[t.Mapping[str, t.Any]], what: str) -> list[dict[str, t.Any]]:
    wanted = []
    for value in values:
        found = _declared(value)
        if "listen" in found:
            found["listen"] = check_address(found["listen"], f"{what} listen") if found["listen"] else ""
        if "port" in found:
            check_number(found["port"], f"{what} port", 0, 65535)
        if len(check_line(found.get("password", ""), f"{what} password")) > 8 and found["type"] == "vnc":
            raise FabricError(f"{what} password is longer than the 8 characters that VNC compares")
        if any(other["type"] == found["type"] for other in wanted):
            raise FabricError(f"{what} names {found['type']} twice: libvirt allows one of each")
        wanted.append(found)
    return wanted


def _want_hostdevs(values: t.Sequence[t.Mapping[str, t.Any]], what: str) -> list[dict[str, t.Any]]:
    wanted = []
    for value in values:
        pci, usb = value["pci"], value["usb"]
        if bool(pci) == bool(usb):
            raise FabricError(f"{what}: each device needs pci or usb, and not both")
        if pci and not re.fullmatch(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7]", pci):
            raise FabricError(f"{what} pci {pci!r} is no address: write it like 0000:01:00.0")
        if usb and not re.fullmatch(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{4}", usb):
            raise FabricError(f"{what} usb {usb!r} is no device: write vendor and product like 046d:c077")
        wanted.append({"pci": pci.lower()} if pci else {"usb": usb.lower()})
    return wanted


def _want_raw(text: str | None, options: t.Mapping[str, t.Any], what: str) -> ET.Element | None:
    if not text:
        return None
    root = parse(text, f"{what} xml")
    if root.tag != "domain":
        raise FabricError(f"{what} xml begins with {root.tag}: wrap it in <domain>")
    for tag in ("name", "uuid", "metadata"):
        if root.find(tag) is not None:
            raise FabricError(f"{what} xml holds {tag}: use the option {tag}")
    for child in root.findall("devices/*"):
        option = OWNED_DEVICES.get(child.tag)
        if option and options.get(option) is not None:
            raise FabricError(f"{what} xml holds the device {child.tag}, which the option {option} declares too: say it in one place")
    return root


# ---- from a document


def view(root: ET.Element) -> dict[str, t.Any]:
    """All typed options that a document states."""
    mark = read_mark(root)
    seed = seed_path(root.findtext("name", ""))
    disks = [view_disk(disk) for disk in root.findall("devices/disk")]
    os_element = root.find("os")
    os_element = ET.Element("os") if os_element is None else os_element
    loader = os_element.find("loader")
    vcpu = root.find("vcpu")
    memory = root.find("memory")
    efi = os_element.get("firmware") == "efi" or loader is not None and loader.get("type") == "pflash"
    video = root.find("devices/video/model")
    return {
        "uuid": root.findtext("uuid", ""),
        "title": root.findtext("title", ""),
        "description": root.findtext("description", "").strip(),
        "metadata": dict(sorted(mark.items)),
        "accelerator": "kvm" if root.get("type") == "kvm" else "tcg",
        "machine": attribute(root, "os/type", "machine") or "",
        "firmware": "efi" if efi else "bios",
        "memory": 0 if memory is None else _bytes(memory),
        "vcpus": 1 if vcpu is None else int(vcpu.get("current") or vcpu.text or 1),
        "cpu_mode": attribute(root, "cpu", "mode") or ("custom" if root.find("cpu/model") is not None else ""),
        "cpu_model": root.findtext("cpu/model", ""),
        "boot": [boot.get("dev", "") for boot in os_element.findall("boot")] or ["hd"],
        "kernel": os_element.findtext("kernel", ""),
        "initrd": os_element.findtext("initrd", ""),
        "cmdline": os_element.findtext("cmdline", ""),
        "disks": [disk for disk in disks if disk["path"] != seed],
        "seed": next((disk for disk in disks if disk["path"] == seed), {}),
        "nics": [view_nic(nic) for nic in root.findall("devices/interface")],
        "serial": _view_serial(root),
        "graphics": [_view_graphics(found) for found in root.findall("devices/graphics")],
        "video": "none" if video is None else video.get("type", ""),
        "tpm": _view_tpm(root),
        "hostdevs": [_view_hostdev(found) for found in root.findall("devices/hostdev")],
        "guest_agent": any(channel.get("name") == AGENT for channel in root.findall("devices/channel/target")),
    }


def _bytes(holder: ET.Element) -> int:
    return size(f"{holder.text} {holder.get('unit', 'KiB')}", "memory") if (holder.text or "").strip() != "0" else 0


def view_disk(disk: ET.Element) -> dict[str, t.Any]:
    """A disk's typed options."""
    source, driver = disk.find("source"), disk.find("driver")
    source = ET.Element("source") if source is None else source
    driver = ET.Element("driver") if driver is None else driver
    return {
        "target": attribute(disk, "target", "dev") or "",
        "device": disk.get("device", "disk"),
        "bus": attribute(disk, "target", "bus") or "",
        "path": source.get("file") or source.get("dev") or "",
        "pool": source.get("pool", ""),
        "volume": source.get("volume", ""),
        "format": driver.get("type", "raw"),
        "readonly": disk.find("readonly") is not None,
        "shareable": disk.find("shareable") is not None,
        "cache": driver.get("cache", "default"),
        "discard": driver.get("discard", "ignore"),
        "serial": disk.findtext("serial", ""),
        "boot_order": int(attribute(disk, "boot", "order") or 0),
    }


def view_nic(nic: ET.Element) -> dict[str, t.Any]:
    """A NIC's typed options. In the document of a running guest the source still names the network that it comes from."""
    source = nic.find("source")
    source = ET.Element("source") if source is None else source
    network = source.get("network", "")
    return {
        "mac": (attribute(nic, "mac", "address") or "").lower(),
        "model": attribute(nic, "model", "type") or "",
        "network": network,
        "portgroup": source.get("portgroup", ""),
        "bridge": "" if network else source.get("bridge", ""),
        "ovs": attribute(nic, "virtualport", "type") == "openvswitch",
        **parse_vlan(nic),
        "dev": attribute(nic, "target", "dev") or "",
        "link": attribute(nic, "link", "state") or "up",
        "mtu": int(attribute(nic, "mtu", "size") or 0),
        "queues": int(attribute(nic, "driver", "queues") or 0),
        "offload": "off" if attribute(nic, "driver/host", "csum") == "off" else "on",
        "rom": attribute(nic, "rom", "enabled") != "no",
        "boot_order": int(attribute(nic, "boot", "order") or 0),
    }


def _view_serial(root: ET.Element) -> dict[str, t.Any]:
    found = root.find("devices/serial")
    if found is None:
        return {}
    kind = found.get("type", "pty")
    source = found.find("source")
    source = ET.Element("source") if source is None else source
    seen: dict[str, t.Any] = {"type": kind, "log": attribute(found, "log", "file") or ""}
    if kind == "tcp":
        seen.update(host=source.get("host", ""), port=int(source.get("service") or 0))
    elif kind != "pty":
        seen["path"] = source.get("path", "")
    return seen


def _view_graphics(found: ET.Element) -> dict[str, t.Any]:
    port = int(found.get("port") or 0)
    listen = attribute(found, "listen", "address") or found.get("listen", "")
    return {
        "type": found.get("type", ""),
        "listen": listen,
        "port": 0 if found.get("autoport") == "yes" or port < 0 else port,
        "password": found.get("passwd", ""),
    }


def _view_tpm(root: ET.Element) -> dict[str, t.Any]:
    found = root.find("devices/tpm")
    if found is None:
        return {}
    return {
        "model": found.get("model", ""),
        "backend": attribute(found, "backend", "type") or "",
        "version": attribute(found, "backend", "version") or "",
        "device": attribute(found, "backend/device", "path") or "",
    }


def _view_hostdev(found: ET.Element) -> dict[str, t.Any]:
    address = found.find("source/address")
    if found.get("type") == "pci" and address is not None:
        domain, bus, slot, function = (int(address.get(key) or "0", 0) for key in ("domain", "bus", "slot", "function"))
        return {"pci": f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"}
    vendor, product = attribute(found, "source/vendor", "id"), attribute(found, "source/product", "id")
    if vendor and product:
        return {"usb": f"{int(vendor, 0):04x}:{int(product, 0):04x}"}
    return {"other": found.get("type", "")}


# ---- comparison


def settle(domain: Domain, found: ET.Element | None, in_user_space: t.Callable[[t.Mapping[str, t.Any]], bool] = lambda nic: False) -> Domain:
    """The wanted domain with each NIC that names no MAC bound to the NIC that stands in its place already, and its offload decided.

    in_user_space: whether a NIC is on a bridge whose datapath is in user space; asked where that decides.
    """
    if "nics" not in domain.options:
        return domain
    models = {} if found is None else {view_nic(nic)["mac"]: view_nic(nic)["model"] for nic in found.findall("devices/interface")}
    here = list(models)
    taken = {nic["mac"] for nic in domain.options["nics"] if not nic.get("derived") or nic["mac"] in here}
    nics = []
    for position, nic in enumerate(domain.options["nics"]):
        mac = nic["mac"]
        if nic.get("derived") and mac not in here and position < len(here) and here[position] not in taken:
            mac = here[position]
        nic = {**{key: value for key, value in nic.items() if key != "derived"}, "mac": mac}
        if nic.get("offload") == "auto":
            if nic.get("model", models.get(mac, "virtio")) == "virtio":
                nic["offload"] = "off" if in_user_space(nic) else "on"
            else:
                del nic["offload"]
        nics.append(nic)
    return domain._replace(options={**domain.options, "nics": nics})


def same_machine(wanted: str, found: str) -> bool:
    """Whether a machine type is the wanted one; an alias (q35, pc) stands for each of its versions."""
    families = {"q35": "pc-q35-", "pc": "pc-i440fx-", "virt": "virt-"}
    return wanted == found or (wanted in families and found.startswith(families[wanted]))


def restrict(options: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What a document says of the declared options, in their shape, so that equal means nothing to do.

    Lists are compared as a whole: an item that is not declared is in the result, so the two differ.
    """
    result: dict[str, t.Any] = {}
    for key, wanted in options.items():
        if key not in seen:
            continue
        found = seen[key]
        if key == "machine" and same_machine(wanted, found):
            found = wanted
        elif key == "accelerator" and wanted == "auto":
            found = wanted
        elif key in ("serial", "tpm", "seed") and wanted and found:
            found = {name: found.get(name, "") for name in wanted}
        elif key in ("disks", "nics", "graphics"):
            by = {"disks": "target", "nics": "mac", "graphics": "type"}[key]
            declared = {item[by]: item for item in wanted}
            if key != "nics":
                # libvirt sorts disks in its own way; the order of NICs is the guest's.
                found = sorted(found, key=lambda item: list(declared).index(item[by]) if item[by] in declared else len(declared))
            found = [{name: item[name] for name in declared[item[by]]} if item[by] in declared else dict(item) for item in found]
        result[key] = found
    return result


def patch(root: ET.Element, domain: Domain, mark: Mark) -> None:
    """Make a document say what is wanted. root is changed in place."""
    options, seen = domain.options, view(root)
    if options.get("uuid"):
        set_text(root, "uuid", options["uuid"])
    for key in ("title", "description"):
        if key in options and seen[key] != options[key]:
            set_text(root, key, options[key], ("metadata", *AFTER_METADATA))
    write_mark(root, mark, AFTER_METADATA)
    if options.get("accelerator") in ("kvm", "tcg"):
        root.set("type", "kvm" if options["accelerator"] == "kvm" else "qemu")
    if "memory" in options and seen["memory"] != options["memory"]:
        drop(root, "currentMemory")
        memory = make(root, "memory", ("vcpu", "os"))
        memory.attrib.clear()
        memory.set("unit", "KiB")
        memory.text = str(options["memory"] // 1024)
    if "vcpus" in options and seen["vcpus"] != options["vcpus"]:
        vcpu = make(root, "vcpu", ("os",))
        vcpu.attrib.pop("current", None)
        vcpu.text = str(options["vcpus"])
        # A topology of the old number would be refused.
        if root.find("cpu/topology") is not None:
            drop(root.find("cpu"), "topology")
    _patch_os(root, options, seen)
    _patch_cpu(root, options, seen)
    devices = make(root, "devices")
    if "disks" in options or "seed" in options:
        _patch_disks(devices, options, seen)
    if "nics" in options:
        _patch_nics(devices, options["nics"], seen["nics"])
    if "serial" in options and restrict(options, seen)["serial"] != options["serial"]:
        _patch_serial(devices, options["serial"], seen["serial"])
    if "graphics" in options and restrict(options, seen)["graphics"] != options["graphics"]:
        _patch_graphics(devices, options["graphics"], seen["graphics"])
    if "video" in options and seen["video"] != options["video"]:
        drop(devices, "video")
        devices.append(element("video", None, element("model", {"type": options["video"]})))
    if "tpm" in options and restrict(options, seen)["tpm"] != options["tpm"]:
        drop(devices, "tpm")
        if options["tpm"]:
            same = seen["tpm"].get("backend") == options["tpm"]["backend"]
            made = {**(seen["tpm"] if same else {}), **options["tpm"]}
            device = [element("device", {"path": made["device"]})] if made.get("device") else []
            backend = element("backend", {"type": made["backend"], "version": made.get("version") or None}, *device)
            devices.append(element("tpm", {"model": made.get("model") or None}, backend))
    if "hostdevs" in options and seen["hostdevs"] != options["hostdevs"]:
        _patch_hostdevs(devices, options["hostdevs"])
    if "guest_agent" in options and seen["guest_agent"] != options["guest_agent"]:
        for channel in devices.findall("channel"):
            if attribute(channel, "target", "name") == AGENT:
                devices.remove(channel)
        if options["guest_agent"]:
            devices.append(element("channel", {"type": "unix"}, element("target", {"type": "virtio", "name": AGENT})))
    if domain.raw is not None and not contains(root, domain.raw):
        merge(root, domain.raw, ("devices",))


def _patch_os(root: ET.Element, options: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> None:
    os_element = make(root, "os", ("devices",))
    kind = make(os_element, "type")
    kind.text = kind.text or "hvm"
    if "machine" in options and not same_machine(options["machine"], seen["machine"]):
        if seen["machine"]:
            # Another chipset has other buses: libvirt gives out the addresses anew.
            devices = make(root, "devices")
            for device in list(devices):
                if device.tag == "controller" and device.get("type") in ("pci", "usb", "ide", "sata"):
                    devices.remove(device)
                elif attribute(device, "address", "type") == "pci":
                    drop(device, "address")
        kind.set("machine", options["machine"])
    if "firmware" in options and seen["firmware"] != options["firmware"]:
        drop(os_element, "loader", "nvram", "firmware")
        os_element.attrib.pop("firmware", None)
        if options["firmware"] == "efi":
            os_element.set("firmware", "efi")
    for key in ("kernel", "initrd", "cmdline"):
        if key in options and seen[key] != options[key]:
            set_text(os_element, key, options[key], ("boot",))
    if any(item.get("boot_order") for key in ("disks", "nics") for item in options.get(key, ())):
        drop(os_element, "boot")
    if "boot" in options and seen["boot"] != options["boot"]:
        for device in root.findall("devices/*"):
            if device.tag in ("disk", "interface", "hostdev"):
                drop(device, "boot")
        drop(os_element, "boot")
        os_element.extend(element("boot", {"dev": dev}) for dev in options["boot"])


def _patch_cpu(root: ET.Element, options: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> None:
    if all(key not in options or seen[key] == options[key] for key in ("cpu_mode", "cpu_model")):
        return
    mode = options.get("cpu_mode", "custom")
    old = root.find("cpu")
    topology = None if old is None else old.find("topology")
    drop(root, "cpu")
    cpu = make(root, "cpu", ("clock", "on_poweroff", "devices"))
    cpu.set("mode", mode)
    if mode == "custom":
        cpu.set("match", "exact")
        cpu.append(element("model", {"fallback": "forbid"}, text=options.get("cpu_model") or seen["cpu_model"]))
    if topology is not None:
        cpu.append(topology)


def _patch_disks(devices: ET.Element, options: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> None:
    wanted = [*options.get("disks", seen["disks"])]
    keep_seed = options.get("seed", seen["seed"])
    wanted += [keep_seed] if keep_seed else []
    targets = {disk["target"] for disk in wanted}
    for disk in devices.findall("disk"):
        if view_disk(disk)["target"] not in targets:
            devices.remove(disk)
    here = {view_disk(disk)["target"]: disk for disk in devices.findall("disk")}
    for item in wanted:
        disk = here.get(item["target"])
        if disk is None:
            disk = element("disk")
            place = list(devices).index(devices.findall("disk")[-1]) + 1 if devices.find("disk") is not None else len(devices)
            devices.insert(place, disk)
        write_disk(disk, item)


def write_disk(disk: ET.Element, item: t.Mapping[str, t.Any]) -> None:
    """Make a <disk> say what is wanted."""
    seen = view_disk(disk)
    if all(seen[key] == value for key, value in item.items()) and len(disk):
        return
    disk.set("device", item["device"])
    if "path" in item and any(seen[key] != item[key] for key in ("path", "pool", "volume") if key in item) or disk.get("type") is None:
        drop(disk, "source", "backingStore")
        if item.get("pool"):
            disk.set("type", "volume")
            disk.insert(0, element("source", {"pool": item["pool"], "volume": item["volume"]}))
        else:
            path = item.get("path", "")
            block = path.startswith("/dev/")
            disk.set("type", "block" if block else "file")
            if path:
                disk.insert(0, element("source", {"dev" if block else "file": path}))
    if "format" in item or disk.find("driver") is None:
        driver = make(disk, "driver", ("source",))
        driver.set("name", "qemu")
        driver.set("type", item.get("format", seen["format"]))
    for key in ("cache", "discard"):
        if key in item and seen[key] != item[key]:
            set_attribute(disk, "driver", key, None if item[key] in ("default", "ignore") else item[key])
    if seen["bus"] != item["bus"]:
        drop(disk, "address")
        set_attribute(disk, "target", "bus", item["bus"])
    set_attribute(disk, "target", "dev", item["target"])
    if item.get("serial", seen["serial"]) != seen["serial"]:
        set_text(disk, "serial", item["serial"])
    for key in ("readonly", "shareable"):
        if key in item and seen[key] != item[key]:
            drop(disk, key)
            if item[key]:
                disk.append(element(key))
    if item["device"] == "cdrom" and disk.find("readonly") is None:
        disk.append(element("readonly"))
    if "boot_order" in item:
        set_attribute(disk, "boot", "order", item["boot_order"] or None)


def _patch_nics(devices: ET.Element, wanted: t.Sequence[t.Mapping[str, t.Any]], seen: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    here = {view_nic(nic)["mac"]: nic for nic in devices.findall("interface")}
    order = [nic["mac"] for nic in wanted]
    for mac, nic in here.items():
        if mac not in order:
            devices.remove(nic)
    kept = [nic["mac"] for nic in seen if nic["mac"] in order]
    for item in wanted:
        nic = here.get(item["mac"])
        if nic is None:
            nic = element("interface", None, element("mac", {"address": item["mac"]}))
            devices.append(nic)
            here[item["mac"]] = nic
        write_nic(nic, item)
    if kept != order[: len(kept)]:
        # A guest counts its NICs along the bus: give the addresses out anew, in the declared order.
        for nic in here.values():
            drop(nic, "address")
    elements = [here[mac] for mac in order]
    if devices.findall("interface") != elements:
        places = [n for n, child in enumerate(devices) if child.tag == "interface"]
        for place, nic in zip(places, elements):
            devices[place] = nic


def write_nic(nic: ET.Element, item: t.Mapping[str, t.Any]) -> None:
    """Make an <interface> say what is wanted."""
    seen = view_nic(nic)
    if "network" in item and (seen["network"] != item["network"] or nic.get("type") is None):
        drop(nic, "source", "virtualport", "vlan")
        nic.set("type", "network")
        nic.append(element("source", {"network": item["network"]}))
    if item.get("bridge") and (seen["bridge"] != item["bridge"] or nic.get("type") is None):
        drop(nic, "source")
        if nic.get("type") != "bridge":
            drop(nic, "virtualport", "vlan")
        nic.set("type", "bridge")
        nic.append(element("source", {"bridge": item["bridge"]}))
    if "portgroup" in item:
        set_attribute(nic, "source", "portgroup", item["portgroup"])
    if "ovs" in item and item["ovs"] != (attribute(nic, "virtualport", "type") == "openvswitch"):
        drop(nic, "virtualport")
        if item["ovs"]:
            nic.append(element("virtualport", {"type": "openvswitch"}))
    if "vlan" in item:
        set_vlan(nic, item)
    if "dev" in item:
        set_attribute(nic, "target", "dev", item["dev"])
    if "model" in item or seen["model"] == "":
        set_attribute(nic, "model", "type", item.get("model", "virtio"))
    if "queues" in item and seen["queues"] != item["queues"]:
        if item["queues"]:
            make(nic, "driver").set("name", "vhost" if attribute(nic, "driver", "name") is None else attribute(nic, "driver", "name"))
        set_attribute(nic, "driver", "queues", item["queues"] or None)
    if "offload" in item and seen["offload"] != item["offload"]:
        driver = make(nic, "driver")
        drop(driver, *OFFLOADS)
        if item["offload"] == "off":
            driver.extend(element(way, dict.fromkeys(names, "off")) for way, names in OFFLOADS.items())
        elif not driver.attrib and not len(driver):
            nic.remove(driver)
    if "link" in item and seen["link"] != item["link"]:
        set_attribute(nic, "link", "state", item["link"])
    if "mtu" in item:
        set_attribute(nic, "mtu", "size", item["mtu"] or None)
    if "rom" in item and seen["rom"] != item["rom"]:
        set_attribute(nic, "rom", "enabled", None if item["rom"] else "no")
    if "boot_order" in item:
        set_attribute(nic, "boot", "order", item["boot_order"] or None)


def _patch_serial(devices: ET.Element, wanted: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> None:
    first = devices.find("serial")
    if first is not None:
        devices.remove(first)
    drop(devices, "console")
    if not wanted:
        return
    made = {**(seen if seen.get("type") == wanted["type"] else {}), **wanted}
    serial = element("serial", {"type": made["type"]})
    if made["type"] == "tcp":
        serial.append(element("source", {"mode": "bind", "host": made["host"], "service": made["port"]}))
        serial.append(element("protocol", {"type": "raw"}))
    elif made["type"] == "unix":
        serial.append(element("source", {"mode": "bind", "path": made["path"]}))
    elif made["type"] == "file":
        serial.append(element("source", {"path": made["path"]}))
    if made.get("log"):
        serial.append(element("log", {"file": made["log"], "append": "off"}))
    serial.append(element("target", {"port": 0}))
    devices.insert(0, serial)


def _patch_graphics(devices: ET.Element, wanted: t.Sequence[t.Mapping[str, t.Any]], seen: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    drop(devices, "graphics")
    for item in wanted:
        made = {"listen": "", "port": 0, "password": "", **next((old for old in seen if old["type"] == item["type"]), {}), **item}
        port = {"port": made["port"], "autoport": "no"} if made["port"] else {"autoport": "yes"}
        listen = [element("listen", {"type": "address", "address": made["listen"]})] if made["listen"] else []
        devices.append(element("graphics", {"type": made["type"], **port, "passwd": made["password"] or None}, *listen))


def _patch_hostdevs(devices: ET.Element, wanted: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    here = devices.findall("hostdev")
    for found in here:
        if _view_hostdev(found) not in wanted:
            devices.remove(found)
    known = [_view_hostdev(found) for found in here]
    for item in wanted:
        if item in known:
            continue
        if "pci" in item:
            domain, bus, slot, function = re.split("[:.]", item["pci"])
            address = {"domain": f"0x{domain}", "bus": f"0x{bus}", "slot": f"0x{slot}", "function": f"0x{function}"}
            devices.append(element("hostdev", {"mode": "subsystem", "type": "pci", "managed": True}, element("source", None, element("address", address))))
        else:
            vendor, product = item["usb"].split(":")
            source = element("source", None, element("vendor", {"id": f"0x{vendor}"}), element("product", {"id": f"0x{product}"}))
            devices.append(element("hostdev", {"mode": "subsystem", "type": "usb", "managed": True}, source))


def skeleton(domain: Domain, owner: str, accelerator: str) -> ET.Element:
    """The document that a new domain begins with: ACPI, which a graceful shutdown needs, and a serial console."""
    root = element("domain", {"type": "kvm" if accelerator == "kvm" else "qemu"}, element("name", text=domain.name))
    root.append(element("uuid", text=domain.options.get("uuid") or derived_uuid(MODULE, owner, domain.name)))
    root.append(element("os", None, element("type", text="hvm")))
    root.append(element("features", None, element("acpi"), element("apic")))
    devices = element("devices")
    if domain.options.get("serial") is None and (domain.raw is None or domain.raw.find("devices/serial") is None):
        devices.append(element("serial", {"type": "pty"}, element("target", {"port": 0})))
    root.append(devices)
    return root


def shown(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Options as a person writes them, without secrets."""
    result = dict(options)
    if "memory" in result:
        result["memory"] = shown_size(result["memory"])
    if "graphics" in result:
        result["graphics"] = [{**item, "password": MASK} if item.get("password") else dict(item) for item in result["graphics"]]
    return result


def differences(options: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> list[str]:
    """The declared options that a document states otherwise."""
    found = restrict(options, seen)
    return [key for key in found if found[key] != options[key]]

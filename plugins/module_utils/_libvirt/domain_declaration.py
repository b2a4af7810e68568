# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user declares of a domain: the options and their check. Pure.

After https://libvirt.org/formatdomain.html. This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._guest.image import FORMATS
from ansible_collections.overloom.fabric.plugins.module_utils._guest.iso import seed_files
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.devices import (
    NIC_KINDS,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
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
    derived_mac,
    derived_uuid,
    parse,
    size,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

MODULE = "libvirt_domain"
IMAGES = "/var/lib/libvirt/images"
STATES = ("present", "running", "shutoff", "paused", "absent")
BOOT = ("hd", "cdrom", "network", "fd")
BUSES = {"virtio": "vd", "ide": "hd", "sata": "sd", "scsi": "sd", "usb": "sd", "fdc": "fd"}
HOTPLUG_BUSES = ("virtio", "scsi", "usb")
SEED_TARGETS = {"ide": "hdd", "sata": "sdf", "scsi": "sdf", "usb": "sdf", "virtio": "vdz"}
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
    "interface_id": {"type": "str"},
    "bridge": {"type": "str"},
    "ovs": {"type": "bool", "default": True},
    "direct": {"type": "str"},
    "direct_mode": {"type": "str", "choices": ["bridge", "vepa", "private", "passthrough"]},
    "hostdev": {"type": "str"},
    "vhostuser": {"type": "str"},
    "vhostuser_mode": {"type": "str", "choices": ["server", "client"]},
    "vlan": {"type": "int"},
    "trunks": {"type": "list", "elements": "str"},
    "native_vlan": {"type": "int"},
    "native_mode": {"type": "str", "choices": ["untagged", "tagged"]},
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
# What takes effect in a running guest at once, never has to, or is compared by its parts.
LIVE_OPTIONS = ("title", "description", "metadata", "disks", "nics", "uuid")


class Domain(t.NamedTuple):
    """A wanted domain, checked.

    options: the declared ones, in the shape of `view`. raw: the caller's own XML. files: the content of its cloud-init seed, or None.
    sizes: for each disk's target (size in bytes, backing path, backing format). policy: the options that say how, not what.
    left: MAC addresses of NICs that others added, which are left alone. declared: a disk as it was declared, by its target, where it is bound
    to the image that lies upon the declared one. without_bus: the targets of the disks that declare no bus.
    """

    name: str
    state: str
    options: dict[str, t.Any]
    raw: ET.Element | None
    files: dict[str, bytes] | None
    sizes: dict[str, tuple[int, str, str]]
    policy: dict[str, t.Any]
    secrets: tuple[str, ...]
    left: frozenset[str] = frozenset()
    declared: t.Mapping[str, dict[str, t.Any]] = {}
    without_bus: frozenset[str] = frozenset()


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
    options = _taken(item, _MACHINE, what)
    _check_cpu(options, what)
    options.update(_taken(item, _BOOT, what))
    sizes: dict[str, tuple[int, str, str]] = {}
    if item.get("disks") is not None:
        options["disks"] = _want_disks(name, item["disks"], sizes)
    if item.get("nics") is not None:
        options["nics"] = _want_nics(name, owner, item["nics"])
    files = _want_seed(name, owner, item, options, what)
    options.update(_taken(item, {"serial": _want_serial}, what))
    if options.get("serial", {}).get("log") == f"/var/log/libvirt/qemu/{name}.log":
        raise FabricError(f"{what} serial log {options['serial']['log']} is QEMU's own log: choose another file")
    devices: dict[str, _Check] = {
        "graphics": _want_graphics,
        "video": check_line,
        "tpm": _want_tpm,
        "hostdevs": _want_hostdevs,
        "guest_agent": _as_it_is,
    }
    options.update(_taken(item, devices, what))
    _check_boot_order(options, what)
    policy = {key: item[key] for key in ("remove_storage", "shutdown_timeout", "force", "restart")}
    check_number(policy["shutdown_timeout"], f"{what} shutdown_timeout", 0, 3600)
    secrets = tuple(g["password"] for g in options.get("graphics", ()) if g.get("password"))
    without_bus = [
        disk["target"] for disk, said in zip(options.get("disks", ()), item.get("disks") or ()) if said["bus"] is None
    ]
    raw = _want_raw(item.get("xml"), options, what)
    domain = Domain(name, item["state"], options, raw, files, sizes, policy, secrets)
    return domain._replace(without_bus=frozenset(without_bus))


_Check = t.Callable[[t.Any, str], t.Any]


def _taken(item: t.Mapping[str, t.Any], checks: t.Mapping[str, _Check], what: str) -> dict[str, t.Any]:
    """The options among these that are declared, checked."""
    return {key: check(item[key], f"{what} {key}") for key, check in checks.items() if item.get(key) is not None}


def _as_it_is(value: t.Any, _what: str) -> t.Any:
    return value


def _stripped(value: str, what: str) -> str:
    return check_text(value, what).strip()


def _want_metadata(value: t.Mapping[t.Any, t.Any], what: str) -> dict[str, str]:
    return {check_line(str(key), what): _stripped(str(text), what) for key, text in sorted(value.items())}


def _want_file(value: str, what: str) -> str:
    return value and check_path(value, what)


_MACHINE: dict[str, _Check] = {
    "uuid": check_uuid,
    "title": check_line,
    "description": _stripped,
    "metadata": _want_metadata,
    "accelerator": _as_it_is,
    "machine": check_line,
    "firmware": _as_it_is,
    # libvirt keeps it in KiB.
    "memory": lambda value, what: -(-size(value, what) // 1024) * 1024,
    "vcpus": lambda value, what: check_number(value, what, 1, 4096),
    "cpu_mode": _as_it_is,
    "cpu_model": check_line,
}
_BOOT: dict[str, _Check] = {
    "boot": lambda value, _what: value or ["hd"],
    "kernel": _want_file,
    "initrd": _want_file,
    "cmdline": check_line,
    "autostart": _as_it_is,
}


def _check_cpu(options: t.Mapping[str, t.Any], what: str) -> None:
    if options.get("cpu_model") and options.get("cpu_mode", "custom") != "custom":
        raise FabricError(f"{what} cpu_model needs cpu_mode custom, not {options['cpu_mode']}")
    if options.get("cpu_mode") == "custom" and not options.get("cpu_model"):
        raise FabricError(f"{what} cpu_mode custom needs cpu_model")


def _check_boot_order(options: t.Mapping[str, t.Any], what: str) -> None:
    devices = [*options.get("disks", ()), *options.get("nics", ())]
    if options.get("boot") is not None and any(device.get("boot_order") for device in devices):
        raise FabricError(f"{what} boot and boot_order exclude each other: name the order in one of them")


def _declared(value: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {key: entry for key, entry in value.items() if entry is not None}


def _want_disks(
    name: str, disks: t.Sequence[t.Mapping[str, t.Any]], sizes: dict[str, tuple[int, str, str]]
) -> list[dict[str, t.Any]]:
    """The declared disks. sizes: gets the size, backing image and its format of each disk that may have to be made, by target."""
    wanted: list[dict[str, t.Any]] = []
    counts: dict[str, int] = {}
    for disk in disks:
        bus = disk["bus"] or _usual_bus(disk)
        prefix = BUSES[bus]
        target = prefix + _letters(counts.get(prefix, 0)) if disk["target"] is None else disk["target"]
        what = f"domain {name}: disk {target}"
        counts[prefix] = counts.get(prefix, 0) + 1
        if any(other["target"] == target for other in wanted):
            raise FabricError(f"{what} is declared twice: give each disk a target of its own")
        _check_bus(disk["device"], bus, target, what)
        capacity = size(disk["size"], f"{what}: size") if disk["size"] is not None else 0
        if capacity % 512:
            raise FabricError(f"{what}: size {disk['size']} is no multiple of 512 bytes")
        backing = disk["backing_path"] or ""
        kind = _disk_format(disk, bool(capacity), what)
        found: dict[str, t.Any] = {"target": target, "device": disk["device"], "bus": bus}
        found.update(_want_source(disk, f"{IMAGES}/{name}-{target}.{kind or 'qcow2'}", bool(capacity or backing), what))
        if kind is not None:
            found["format"] = kind
        found.update(_want_traits(disk, what))
        if capacity or backing:
            image = check_path(backing, f"{what}: backing_path") if backing else ""
            sizes[target] = (capacity, image, disk["backing_format"] if backing else "")
        wanted.append(found)
    return wanted


def _usual_bus(disk: t.Mapping[str, t.Any]) -> str:
    """The bus of a disk that declares none: libvirt, too, takes it from the letters of a disk's target (virDiskNameToBusDeviceIndex)."""
    named = {"hd": "ide", "sd": "scsi"}.get((disk["target"] or "")[:2], "virtio")
    return {"disk": named, "cdrom": "sata", "floppy": "fdc"}[disk["device"]]


def _check_bus(device: str, bus: str, target: str, what: str) -> None:
    """A target's letters need not be those of its bus (the guest does not see them), but a floppy's; and not every bus takes every device."""
    kinds = "fd" if bus == "fdc" else "hd|sd|vd|xvd"
    if not re.fullmatch(f"({kinds})[a-z]{{1,2}}", target):
        raise FabricError(f"{what}: target does not fit bus {bus}: write it like {BUSES[bus]}a")
    if device == "cdrom" and bus in ("virtio", "fdc") or device == "floppy" and bus != "fdc":
        raise FabricError(f"{what}: a {device} cannot be on bus {bus}")


def _want_source(disk: t.Mapping[str, t.Any], default: str, made: bool, what: str) -> dict[str, t.Any]:
    """Where a disk's image lies. default: its path, for one that is made here (made) and says none."""
    if bool(disk["pool"]) != bool(disk["volume"]):
        raise FabricError(f"{what}: pool and volume go together")
    if disk["pool"] and disk["path"]:
        raise FabricError(f"{what}: path and pool exclude each other")
    if disk["pool"]:
        pool, volume = check_name(disk["pool"], f"{what}: pool"), check_line(disk["volume"], f"{what}: volume")
        return {"pool": pool, "volume": volume, "path": ""}
    if disk["path"] is not None:
        path = check_path(disk["path"], f"{what}: path") if disk["path"] else ""
        return {"path": path, "pool": "", "volume": ""}
    if made:
        return {"path": default, "pool": "", "volume": ""}
    if disk["device"] == "disk":
        raise FabricError(f"{what} has neither path nor pool nor size: say where it lies or how large it shall be")
    return {}


def _disk_format(disk: t.Mapping[str, t.Any], sized: bool, what: str) -> str | None:
    """The format of a disk's image: what is made here is qcow2 by default, and has to be for an image behind it."""
    kind = disk["format"]
    if kind is None and (sized or disk["backing_path"]):
        kind = "qcow2"
    if disk["backing_path"] and kind != "qcow2":
        raise FabricError(f"{what}: backing_path needs format qcow2, not {kind}")
    return kind


def _want_traits(disk: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any]:
    """How a disk is used: caching and the like, its serial number, its place in the boot order."""
    found = {key: disk[key] for key in ("readonly", "shareable", "cache", "discard") if disk[key] is not None}
    if disk["device"] == "cdrom" and found.get("readonly") is False:
        raise FabricError(f"{what}: a cdrom cannot be written: leave readonly out")
    if disk["serial"] is not None:
        found["serial"] = check_line(disk["serial"], f"{what}: serial")
        if not re.fullmatch(r"[A-Za-z0-9_.+ -]*", found["serial"]):
            raise FabricError(f"{what}: serial {disk['serial']!r} may hold letters, digits, blanks and _.+- only")
    if disk["boot_order"] is not None:
        found["boot_order"] = check_number(disk["boot_order"], f"{what}: boot_order", 0, 9999)
    return found


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
        kinds = [kind for kind in NIC_KINDS if nic[kind]]
        if len(kinds) > 1:
            raise FabricError(f"{what}: {kinds[0]} and {kinds[1]} exclude each other")
        if not kinds:
            raise FabricError(
                f"{what} has neither network nor bridge, direct, hostdev or vhostuser: say where it is plugged in"
            )
        found.update(_want_plug(nic, kinds[0], what))
        found.update(_want_looks(nic, what))
        if any(other["mac"] == found["mac"] for other in wanted):
            raise FabricError(f"{what}: mac {found['mac']} is declared twice")
        wanted.append(found)
    return wanted


def _want_plug(nic: t.Mapping[str, t.Any], kind: str, what: str) -> dict[str, t.Any]:
    """Where a NIC is plugged in, and its VLANs."""
    vlan = check_vlan(nic, what) or {}
    if kind != "network" and nic["portgroup"]:
        raise FabricError(f"{what}: portgroup {nic['portgroup']} needs a network")
    found: dict[str, t.Any] = {}
    for key in ("direct_mode", "vhostuser_mode"):
        if nic[key] is not None:
            if not key.startswith(kind):
                raise FabricError(f"{what}: {key} needs {key.partition('_')[0]}")
            found[key] = nic[key]
    found.update(_want_place(nic, kind, what))
    if nic["interface_id"] is not None:
        found["interface_id"] = check_uuid(nic["interface_id"], f"{what} interface_id")
        if kind not in ("network", "bridge") or kind == "bridge" and not nic["ovs"]:
            raise FabricError(f"{what}: interface_id is of a port in Open vSwitch: give network, or bridge with ovs")
    without_vlans = kind in ("direct", "vhostuser") or kind == "bridge" and not nic["ovs"]
    if without_vlans and vlan and (vlan["vlan"] or vlan["trunks"]):
        raise FabricError(
            f"{what}: libvirt sets VLANs on Open vSwitch bridges only: leave ovs true, or use a bridge for each VLAN"
        )
    return {**found, **vlan}


def _want_place(nic: t.Mapping[str, t.Any], kind: str, what: str) -> dict[str, t.Any]:
    """What a NIC is plugged into."""
    if kind == "network":
        place = {"network": check_name(nic["network"], f"{what} network")}
        if nic["portgroup"] is not None:
            place["portgroup"] = nic["portgroup"] and check_name(nic["portgroup"], f"{what} portgroup")
        return place
    if kind == "hostdev":
        return {"hostdev": _check_pci(nic["hostdev"], f"{what} hostdev")}
    if kind == "vhostuser":
        return {"vhostuser": check_path(nic["vhostuser"], f"{what} vhostuser")}
    interface = check_line(nic[kind], f"{what} {kind}")
    if not re.fullmatch(r"[!-.0-~]{1,15}", nic[kind]) or nic[kind].startswith("-"):
        raise FabricError(f"{what}: {kind} {nic[kind]!r} is no interface name")
    return {"bridge": interface, "ovs": nic["ovs"]} if kind == "bridge" else {"direct": interface}


def _want_looks(nic: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any]:
    """What a NIC is to the guest, and its end on the host."""
    found: dict[str, t.Any] = {}
    for key, check in (("model", _check_model), ("dev", _check_dev), ("link", _as_it_is), ("rom", _as_it_is)):
        if nic[key] is not None:
            found[key] = check(nic[key], what)
    for key, least, most in (("mtu", 0, 65535), ("queues", 0, 256), ("boot_order", 0, 9999)):
        if nic[key] is not None:
            found[key] = check_number(nic[key], f"{what} {key}", least, most)
    if nic["offload"] is not None:
        found["offload"] = nic["offload"]
        if nic["offload"] != "auto" and nic["model"] not in (None, "virtio"):
            raise FabricError(
                f"{what}: offload {nic['offload']} is for the model virtio, not {nic['model']}: leave it out, or make it auto"
            )
    if found.get("mtu") and found["mtu"] < 68:
        raise FabricError(f"{what} mtu {found['mtu']} is below 68 bytes, IPv4's least")
    if nic["hostdev"]:
        _check_passed_through(found, what)
    return found


def _check_model(model: str, what: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9_-]+", model):
        raise FabricError(f"{what}: model {model!r} may hold letters, digits, _ and - only")
    return model


def _check_dev(dev: str, what: str) -> str:
    """The name of the interface on the host: libvirt gives one of its own kinds of names away again, as it likes."""
    kept = re.fullmatch(r"[A-Za-z0-9_.:-]{1,15}", dev) and not re.match(r"-|(vnet|vif|macvtap|macvlan)\d", dev)
    if dev and not kept:
        raise FabricError(
            f"{what}: dev {dev!r} is no name that libvirt keeps: use up to 15 letters, digits and _.:-, and not vnet0 and the like"
        )
    return dev


def _check_passed_through(found: t.Mapping[str, t.Any], what: str) -> None:
    """Refuse what only the device itself decides."""
    alien = next((key for key in ("dev", "mtu", "queues", "offload", "link") if found.get(key)), None)
    if alien:
        raise FabricError(f"{what}: {alien} is the device's own with hostdev: leave it out")


def _check_pci(value: str, what: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7]", value):
        raise FabricError(f"{what} {value!r} is no address: write it like 0000:01:00.0")
    return value.lower()


def _want_seed(
    name: str, owner: str, item: t.Mapping[str, t.Any], options: dict[str, t.Any], what: str
) -> dict[str, bytes] | None:
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
        raise FabricError(
            f"{what} disk {target} is where the cloud-init seed goes: give the disk another target, or cloud_init another bus"
        )
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
        found.update(
            host=check_line(value["host"] or "127.0.0.1", f"{what} host"),
            port=check_number(value["port"], f"{what} port", 1, 65535),
        )
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
    wanted: list[dict[str, t.Any]] = []
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
        if pci:
            _check_pci(pci, f"{what} pci")
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
        if child.tag == "interface" and child.find("mac") is not None:
            mac = (attribute(child, "mac", "address") or "").lower()
            if mac not in [nic["mac"] for nic in options.get("nics", ())]:
                continue
        if option and options.get(option) is not None:
            raise FabricError(
                f"{what} xml holds the device {child.tag}, which the option {option} declares too: say it in one place"
            )
    return root

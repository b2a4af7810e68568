# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of a domain: the typed options that an element states, and how the element is patched to state others. Pure.

An element is changed attribute by attribute; what no option says of it stays. This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    attribute,
    drop,
    element,
    make,
    parse_vlan,
    set_attribute,
    set_text,
    set_vlan,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

AGENT = "org.qemu.guest_agent.0"
# Where a NIC is plugged in; libvirt's type of the interface. Other types are left alone, as no option says them.
NIC_KINDS = ("network", "bridge", "direct", "hostdev", "vhostuser")
# Disks of other types (a cluster's image, an NVMe device) are left alone.
DISK_KINDS = ("file", "block", "volume")
GRAPHICS_KINDS = ("vnc", "spice")
# What a virtio NIC leaves to its host (formatdomain, "Setting NIC driver-specific options"): to send, and to receive.
OFFLOADS = {"host": ("csum", "gso", "tso4", "tso6", "ecn", "ufo"), "guest": ("csum", "tso4", "tso6", "ecn", "ufo")}


def child(parent: ET.Element, tag: str) -> ET.Element:
    """The first child with the tag, or an empty one that belongs to nobody."""
    found = parent.find(tag)
    return ET.Element(tag) if found is None else found


def _prune(parent: ET.Element, tag: str) -> None:
    """Remove a child that says nothing any more."""
    found = parent.find(tag)
    if found is not None and not found.attrib and not len(found) and not (found.text or "").strip():
        parent.remove(found)


# ---- disks


def view_disk(disk: ET.Element) -> dict[str, t.Any]:
    """A disk's typed options."""
    source, driver = child(disk, "source"), child(disk, "driver")
    return {
        "target": attribute(disk, "target", "dev") or "",
        # A LUN is a disk that hands SCSI commands on, which no option says.
        "device": {"lun": "disk"}.get(disk.get("device", "disk"), disk.get("device", "disk")),
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


def is_ours_to_say(disk: ET.Element) -> bool:
    """Whether the options of a disk can say where it lies."""
    return disk.get("type", "file") in DISK_KINDS


def write_disk(disk: ET.Element, item: t.Mapping[str, t.Any]) -> None:
    """Make a <disk> say what is wanted."""
    fresh = disk.get("type") is None
    seen = view_disk(disk)
    other_device = fresh or seen["device"] != item["device"]
    if other_device:
        disk.set("device", item["device"])
    if fresh or any(seen[key] != item[key] for key in ("path", "pool", "volume") if key in item):
        _write_source(disk, item)
    _write_disk_driver(disk, item, seen, fresh)
    if seen["bus"] != item["bus"]:
        drop(disk, "address")
        set_attribute(disk, "target", "bus", item["bus"])
    if seen["target"] != item["target"]:
        set_attribute(disk, "target", "dev", item["target"])
    if item.get("serial", seen["serial"]) != seen["serial"]:
        set_text(disk, "serial", item["serial"])
    _write_flags(disk, item, seen, other_device)
    if item.get("boot_order", seen["boot_order"]) != seen["boot_order"]:
        set_attribute(disk, "boot", "order", item["boot_order"] or None)


def _write_disk_driver(disk: ET.Element, item: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any], fresh: bool) -> None:
    """How QEMU reads and writes the image."""
    if fresh:
        make(disk, "driver", ("source",)).set("name", "qemu")
    if fresh or item.get("format", seen["format"]) != seen["format"]:
        make(disk, "driver", ("source",)).set("type", item.get("format", seen["format"]))
    for key, usual in (("cache", "default"), ("discard", "ignore")):
        if item.get(key, seen[key]) != seen[key]:
            set_attribute(disk, "driver", key, None if item[key] == usual else item[key])


def _write_flags(
    disk: ET.Element, item: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any], other_device: bool
) -> None:
    for key in ("readonly", "shareable"):
        if item.get(key, seen[key]) != seen[key]:
            drop(disk, key)
            if item[key]:
                disk.append(element(key))
    # libvirt itself adds it.
    if other_device and item["device"] == "cdrom" and disk.find("readonly") is None:
        disk.append(element("readonly"))


def _write_source(disk: ET.Element, item: t.Mapping[str, t.Any]) -> None:
    """Another image: the chain of the old one goes; labels, reservations and the like stay."""
    drop(disk, "backingStore")
    path = item.get("path", "")
    if not path and not item.get("pool"):
        drop(disk, "source")
        disk.set("type", disk.get("type", "file"))
        return
    source = disk.find("source")
    if source is None:
        source = element("source")
        disk.insert(0, source)
    for key in ("file", "dev", "pool", "volume", "index", "mode"):
        source.attrib.pop(key, None)
    if item.get("pool"):
        disk.set("type", "volume")
        source.set("pool", item["pool"])
        source.set("volume", item["volume"])
        return
    block = path.startswith("/dev/")
    disk.set("type", "block" if block else "file")
    if disk.get("device") == "lun" and not block:
        disk.set("device", "disk")
        for key in ("rawio", "sgio"):
            disk.attrib.pop(key, None)
    source.set("dev" if block else "file", path)


def patch_disks(devices: ET.Element, options: t.Mapping[str, t.Any], seed: str, what: str) -> None:
    """Make the disks say what is wanted. seed: the path of the domain's own cloud-init seed. Raises FabricError."""
    wanted = [*options.get("disks", ())]
    if options.get("seed"):
        wanted.append(options["seed"])
    targets = {disk["target"] for disk in wanted}
    for stale in devices.findall("disk"):
        seen = view_disk(stale)
        listed = "seed" if seen["path"] == seed else "disks"
        if seen["target"] not in targets and listed in options and is_ours_to_say(stale):
            devices.remove(stale)
    here = {view_disk(disk)["target"]: disk for disk in devices.findall("disk")}
    for item in wanted:
        disk = here.get(item["target"])
        if disk is None:
            disk = element("disk")
            last = devices.findall("disk")[-1:]
            devices.insert(list(devices).index(last[0]) + 1 if last else len(devices), disk)
        else:
            _check_taken(disk, item, options, seed, what)
        write_disk(disk, item)


def _check_taken(
    disk: ET.Element, item: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any], seed: str, what: str
) -> None:
    """Refuse to make something else of a disk that is not meant."""
    place = f"{what} disk {item['target']}"
    if not is_ours_to_say(disk):
        raise FabricError(
            f"{place} is of type {disk.get('type')}, which no option says: give the declared disk another target"
        )
    if (
        item["path" if "path" in item else "pool"] == seed
        and "disks" not in options
        and view_disk(disk)["path"] != seed
    ):
        raise FabricError(f"{place} is there already, where the cloud-init seed would go: give cloud_init another bus")


# ---- NICs


def nic_kind(nic: ET.Element) -> str:
    """Where a NIC is plugged in. A running guest's still names the network that it comes from."""
    return "network" if child(nic, "source").get("network") else nic.get("type", "")


def nics_of(root: ET.Element) -> list[ET.Element]:
    """The NICs of a domain, but for the second one of a failover pair, which has the MAC address of the first and goes where that goes."""
    nics = root.findall("devices/interface")
    firsts = {attribute(nic, "mac", "address") for nic in nics if not _is_second(nic)}
    return [nic for nic in nics if not (_is_second(nic) and attribute(nic, "mac", "address") in firsts)]


def _is_second(nic: ET.Element) -> bool:
    return attribute(nic, "teaming", "type") == "transient"


def pci_address(address: ET.Element | None) -> str:
    """A PCI address as lspci writes it, or an empty text."""
    if address is None or address.get("type", "pci") != "pci":
        return ""
    domain, bus, slot, function = (int(address.get(key) or "0", 0) for key in ("domain", "bus", "slot", "function"))
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def pci_attributes(address: str) -> dict[str, str]:
    """The attributes of the <address> of a PCI device."""
    domain, bus, slot, function = re.split("[:.]", address)
    return {"domain": f"0x{domain}", "bus": f"0x{bus}", "slot": f"0x{slot}", "function": f"0x{function}"}


def view_nic(nic: ET.Element) -> dict[str, t.Any]:
    """A NIC's typed options."""
    source, kind = child(nic, "source"), nic_kind(nic)
    return {
        "mac": (attribute(nic, "mac", "address") or "").lower(),
        "model": attribute(nic, "model", "type") or "",
        "network": source.get("network", ""),
        "portgroup": source.get("portgroup", ""),
        "bridge": source.get("bridge", "") if kind == "bridge" else "",
        "direct": source.get("dev", "") if kind == "direct" else "",
        "direct_mode": source.get("mode", "vepa") if kind == "direct" else "",
        "hostdev": pci_address(source.find("address")) if kind == "hostdev" else "",
        "vhostuser": source.get("path", "") if kind == "vhostuser" else "",
        "vhostuser_mode": source.get("mode", "") if kind == "vhostuser" else "",
        "ovs": attribute(nic, "virtualport", "type") == "openvswitch",
        "interface_id": attribute(nic, "virtualport/parameters", "interfaceid") or "",
        **parse_vlan(nic),
        "dev": attribute(nic, "target", "dev") or "",
        "link": attribute(nic, "link", "state") or "up",
        "mtu": int(attribute(nic, "mtu", "size") or 0),
        "queues": int(attribute(nic, "driver", "queues") or 0),
        "offload": _view_offload(nic),
        "rom": attribute(nic, "rom", "enabled") != "no",
        "boot_order": int(attribute(nic, "boot", "order") or 0),
    }


def _view_offload(nic: ET.Element) -> str:
    """on or off, or partly, which no option declares."""
    states = [attribute(nic, f"driver/{way}", name) == "off" for way, names in OFFLOADS.items() for name in names]
    return "off" if all(states) else "partly" if any(states) else "on"


def write_nic(nic: ET.Element, item: t.Mapping[str, t.Any]) -> None:
    """Make an <interface> say what is wanted."""
    fresh = nic.get("type") is None
    kind = next((kind for kind in NIC_KINDS if item.get(kind)), None)
    if kind is not None:
        _plug(nic, kind, item)
    seen = view_nic(nic)
    if item.get("portgroup", seen["portgroup"]) != seen["portgroup"]:
        set_attribute(nic, "source", "portgroup", item["portgroup"])
    if item.get("ovs", seen["ovs"]) != seen["ovs"]:
        drop(nic, "virtualport")
        if item["ovs"]:
            nic.append(element("virtualport", {"type": "openvswitch"}))
    _write_interface_id(nic, item, seen)
    if "vlan" in item:
        set_vlan(nic, item)
    if "model" in item or fresh and kind != "hostdev":
        set_attribute(nic, "model", "type", item.get("model", "virtio"))
    for key, tag, name in (
        ("dev", "target", "dev"),
        ("link", "link", "state"),
        ("mtu", "mtu", "size"),
        ("boot_order", "boot", "order"),
    ):
        if item.get(key, seen[key]) != seen[key]:
            set_attribute(nic, tag, name, item[key] or None)
    if item.get("rom", seen["rom"]) != seen["rom"]:
        set_attribute(nic, "rom", "enabled", None if item["rom"] else "no")
    _write_driver(nic, item, seen)


def _plug(nic: ET.Element, kind: str, item: t.Mapping[str, t.Any]) -> None:
    """Plug a NIC in; from one place of a kind to another only the place changes."""
    seen = view_nic(nic)
    fresh = nic_kind(nic) != kind
    if fresh:
        drop(nic, "source", *(("virtualport", "vlan") if nic.get("type") else ()))
        nic.set("type", kind)
    if not fresh and all(seen[key] == item[key] for key in (kind, f"{kind}_mode") if key in item):
        return
    source = make(nic, "source")
    if kind == "hostdev":
        drop(source, "address")
        source.append(element("address", {"type": "pci", **pci_attributes(item["hostdev"])}))
        if fresh:
            nic.set("managed", "yes")
    elif kind == "vhostuser":
        source.set("type", "unix")
        source.set("path", item["vhostuser"])
        source.set("mode", item.get("vhostuser_mode") or ("server" if fresh else seen["vhostuser_mode"]))
    elif kind == "direct":
        source.set("dev", item["direct"])
        source.set("mode", item.get("direct_mode") or ("bridge" if fresh else seen["direct_mode"]))
    else:
        if seen[kind] != item[kind]:
            # A portgroup is one of the network that is left.
            source.attrib.pop("portgroup", None)
        source.set(kind, item[kind])


def _write_interface_id(nic: ET.Element, item: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> None:
    if item.get("interface_id", seen["interface_id"]) == seen["interface_id"]:
        return
    port = make(nic, "virtualport")
    port.set("type", "openvswitch")
    make(port, "parameters").set("interfaceid", item["interface_id"])


def _write_driver(nic: ET.Element, item: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> None:
    if item.get("queues", seen["queues"]) != seen["queues"]:
        if item["queues"] and attribute(nic, "driver", "name") is None and nic_kind(nic) != "vhostuser":
            make(nic, "driver").set("name", "vhost")
        set_attribute(nic, "driver", "queues", item["queues"] or None)
    if item.get("offload", seen["offload"]) == seen["offload"]:
        return
    driver = make(nic, "driver")
    for way, names in OFFLOADS.items():
        settings = make(driver, way)
        for name in names:
            if item["offload"] == "off":
                settings.set(name, "off")
            elif settings.get(name) == "off":
                del settings.attrib[name]
        _prune(driver, way)
    _prune(nic, "driver")


def patch_nics(root: ET.Element, wanted: t.Sequence[t.Mapping[str, t.Any]], left: t.Container[str]) -> None:
    """Make the NICs of a domain say what is wanted. left: MAC addresses of those that are left alone."""
    devices = make(root, "devices")
    order = [nic["mac"] for nic in wanted]
    here: dict[str, ET.Element] = {}
    for nic in nics_of(root):
        mac = view_nic(nic)["mac"]
        if mac in left or mac in here:
            continue
        if mac in order:
            here[mac] = nic
        else:
            devices.remove(nic)
    kept = list(here)
    for item in wanted:
        if item["mac"] not in here:
            here[item["mac"]] = element("interface", None, element("mac", {"address": item["mac"]}))
            devices.append(here[item["mac"]])
        write_nic(here[item["mac"]], item)
    if kept == order[: len(kept)]:
        return
    # A guest counts its NICs along the bus: give the addresses out anew, in the declared order.
    ours = {id(nic) for nic in here.values()}
    places = [n for n, device in enumerate(devices) if id(device) in ours]
    for place, mac in zip(places, order):
        drop(here[mac], "address")
        devices[place] = here[mac]


# ---- the first serial port


def first_serial(devices: ET.Element) -> ET.Element | None:
    """The serial port that the guest counts as the first."""
    return next(
        (found for found in devices.findall("serial") if (attribute(found, "target", "port") or "0") == "0"), None
    )


def view_serial(devices: ET.Element) -> dict[str, t.Any]:
    """The first serial port's typed options."""
    found = first_serial(devices)
    if found is None:
        return {}
    kind, source = found.get("type", "pty"), child(found, "source")
    seen: dict[str, t.Any] = {"type": kind, "log": attribute(found, "log", "file") or ""}
    if kind == "tcp":
        seen.update(host=source.get("host", ""), port=int(source.get("service") or 0))
    elif kind != "pty":
        seen["path"] = source.get("path", "")
    return seen


def patch_serial(devices: ET.Element, wanted: t.Mapping[str, t.Any]) -> None:
    """Make the first serial port, and the console on it, say what is wanted; further ports and consoles stay."""
    first = first_serial(devices)
    console = next(iter(devices.findall("console")), None)
    # libvirt shows the first port a second time, as a console.
    if console is not None and attribute(console, "target", "type") not in (None, "serial"):
        console = None
    if not wanted:
        for device in (first, console):
            if device is not None:
                devices.remove(device)
        return
    if first is None:
        first = element("serial", None, element("target", {"port": 0}))
        devices.insert(0, first)
        if console is not None:
            devices.remove(console)
            console = None
    for device in (first, console):
        if device is not None:
            _write_serial(device, wanted)


def _write_serial(serial: ET.Element, wanted: t.Mapping[str, t.Any]) -> None:
    if serial.get("type") != wanted["type"]:
        drop(serial, "source", "protocol")
        serial.set("type", wanted["type"])
        if wanted["type"] == "tcp":
            serial.insert(0, element("protocol", {"type": "raw"}))
        if wanted["type"] in ("tcp", "unix"):
            serial.insert(0, element("source", {"mode": "bind"}))
    names = {"host": "host", "port": "service", "path": "path"}
    for key, name in names.items():
        if key in wanted and child(serial, "source").get(name) != str(wanted[key]):
            make(serial, "source", ("protocol", "log", "target")).set(name, str(wanted[key]))
    if "log" in wanted and (attribute(serial, "log", "file") or "") != wanted["log"]:
        if not wanted["log"]:
            drop(serial, "log")
            return
        if serial.find("log") is None:
            make(serial, "log", ("target",)).set("append", "off")
        make(serial, "log").set("file", wanted["log"])


# ---- graphics, video, TPM


def view_graphics(found: ET.Element) -> dict[str, t.Any]:
    """A graphical console's typed options."""
    port = int(found.get("port") or 0)
    return {
        "type": found.get("type", ""),
        "listen": attribute(found, "listen", "address") or found.get("listen", ""),
        "port": 0 if found.get("autoport") == "yes" or port < 0 else port,
        "password": found.get("passwd", ""),
    }


def patch_graphics(devices: ET.Element, wanted: t.Sequence[t.Mapping[str, t.Any]], what: str) -> None:
    """Make the consoles of the kinds that the option has say what is wanted. Raises FabricError."""
    types = [item["type"] for item in wanted]
    for stale in devices.findall("graphics"):
        if stale.get("type") in GRAPHICS_KINDS and stale.get("type") not in types:
            if stale.get("type") == "spice":
                _check_spice(devices, what)
            devices.remove(stale)
    for item in wanted:
        found = next((found for found in devices.findall("graphics") if found.get("type") == item["type"]), None)
        if found is None:
            found = element("graphics", {"type": item["type"], "autoport": "yes"})
            devices.append(found)
        _check_listener(found, item, what)
        _write_graphics(found, item)


def _check_spice(devices: ET.Element, what: str) -> None:
    """A guest whose devices speak SPICE does not start without it."""
    for tag in ("channel", "redirdev", "smartcard"):
        if any(found.get("type") in ("spicevmc", "spiceport") for found in devices.findall(tag)):
            raise FabricError(
                f"{what} graphics leaves out spice, which its {tag} needs: keep spice, or remove the {tag} with virsh edit first"
            )


def _check_listener(found: ET.Element, item: t.Mapping[str, t.Any], what: str) -> None:
    """A console that listens on a socket, or on nothing, has no port."""
    listener = "socket" if found.get("socket") else attribute(found, "listen", "type")
    if item.get("port") and not item.get("listen") and listener in ("socket", "none"):
        place = "a socket" if listener == "socket" else "nothing"
        raise FabricError(
            f"{what} graphics {item['type']} listens on {place}, which has no port: declare listen with the port, or leave port out"
        )


def _write_graphics(found: ET.Element, item: t.Mapping[str, t.Any]) -> None:
    seen = view_graphics(found)
    if item.get("port", seen["port"]) != seen["port"]:
        found.attrib.pop("port", None)
        found.set("autoport", "no" if item["port"] else "yes")
        if item["port"]:
            found.set("port", str(item["port"]))
    if item.get("listen", seen["listen"]) != seen["listen"]:
        for key in ("listen", "socket"):
            found.attrib.pop(key, None)
        listen = found.find("listen")
        if listen is not None:
            found.remove(listen)
        if item["listen"]:
            found.insert(0, element("listen", {"type": "address", "address": item["listen"]}))
    if item.get("password", seen["password"]) != seen["password"]:
        found.attrib.pop("passwd", None)
        if item["password"]:
            found.set("passwd", item["password"])


def view_video(devices: ET.Element) -> str:
    """The model of the first graphics card."""
    return attribute(devices, "video/model", "type") or "none"


def patch_video(devices: ET.Element, model: str) -> None:
    """Make the first graphics card of this model; sizes of its memory are the old model's and go."""
    if model == "none":
        # libvirt takes no other card beside one of this model.
        drop(devices, "video")
        devices.append(element("video", None, element("model", {"type": "none"})))
        return
    video = make(devices, "video")
    found = make(video, "model")
    if found.get("type") == "none":
        found.attrib.clear()
    for key in ("ram", "vram", "vram64", "vgamem"):
        found.attrib.pop(key, None)
    found.set("type", model)


def view_tpm(devices: ET.Element) -> dict[str, t.Any]:
    """The first TPM's typed options."""
    found = devices.find("tpm")
    if found is None:
        return {}
    return {
        "model": found.get("model", ""),
        "backend": attribute(found, "backend", "type") or "",
        "version": attribute(found, "backend", "version") or "",
        "device": attribute(found, "backend/device", "path") or "",
    }


def patch_tpm(devices: ET.Element, wanted: t.Mapping[str, t.Any]) -> None:
    """Make the first TPM say what is wanted; its encryption and banks stay as long as the backend does."""
    tpm = devices.find("tpm")
    if not wanted:
        if tpm is not None:
            devices.remove(tpm)
        return
    if tpm is None:
        tpm = element("tpm")
        devices.append(tpm)
    seen = view_tpm(devices)
    if seen["backend"] != wanted["backend"]:
        drop(tpm, "backend")
    backend = make(tpm, "backend")
    backend.set("type", wanted["backend"])
    if "model" in wanted:
        tpm.set("model", wanted["model"])
    if "version" in wanted:
        backend.set("version", wanted["version"])
    if "device" in wanted:
        set_attribute(backend, "device", "path", wanted["device"])


# ---- the host's devices, and the agent's channel


def view_hostdev(found: ET.Element) -> dict[str, t.Any]:
    """How the option names a device of the host; empty for one that it cannot name, which is left alone."""
    if found.get("type") == "pci" and found.find("source/address") is not None:
        return {"pci": pci_address(found.find("source/address"))}
    vendor, product = attribute(found, "source/vendor", "id"), attribute(found, "source/product", "id")
    if vendor and product and found.get("type") == "usb":
        return {"usb": f"{int(vendor, 0):04x}:{int(product, 0):04x}"}
    return {}


def view_hostdevs(devices: ET.Element) -> list[dict[str, t.Any]]:
    """The devices that the option can name."""
    return [seen for seen in map(view_hostdev, devices.findall("hostdev")) if seen]


def patch_hostdevs(devices: ET.Element, wanted: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Pass these devices to the guest, and take others of their kinds back."""
    for found in devices.findall("hostdev"):
        if view_hostdev(found) and view_hostdev(found) not in wanted:
            devices.remove(found)
    known = view_hostdevs(devices)
    for item in wanted:
        if item not in known:
            devices.append(_hostdev(item))


def _hostdev(item: t.Mapping[str, str]) -> ET.Element:
    if "pci" in item:
        source = element("source", None, element("address", pci_attributes(item["pci"])))
    else:
        vendor, product = item["usb"].split(":")
        source = element(
            "source", None, element("vendor", {"id": f"0x{vendor}"}), element("product", {"id": f"0x{product}"})
        )
    return element("hostdev", {"mode": "subsystem", "type": "pci" if "pci" in item else "usb", "managed": True}, source)


def has_agent(devices: ET.Element) -> bool:
    """Whether there is a channel of the QEMU guest agent."""
    return any(target.get("name") == AGENT for target in devices.findall("channel/target"))


def patch_agent(devices: ET.Element, wanted: bool) -> None:
    """Add or remove the channel of the QEMU guest agent."""
    if wanted:
        devices.append(element("channel", {"type": "unix"}, element("target", {"type": "virtio", "name": AGENT})))
        return
    for channel in devices.findall("channel"):
        if attribute(channel, "target", "name") == AGENT:
            devices.remove(channel)

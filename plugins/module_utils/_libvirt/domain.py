# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains: what a document says of the typed options, and which NIC or disk of it a declared one is. Pure.

After https://libvirt.org/formatdomain.html. A domain's options are compared one by one with its inactive document, and only those
that the caller declared; what libvirt adds by itself is therefore never a change. This file is private to the collection.
"""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.devices import (
    GRAPHICS_KINDS,
    NIC_KINDS,
    has_agent,
    is_ours_to_say,
    nic_kind,
    nics_of,
    view_disk,
    view_graphics,
    view_hostdevs,
    view_nic,
    view_serial,
    view_tpm,
    view_video,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_declaration import (
    MODULE,
    Domain,
    seed_path,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    Mark,
    attribute,
    derived_uuid,
    element,
    read_mark,
    shown_size,
    size,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import MASK

# ---- from a document


def view(root: ET.Element) -> dict[str, t.Any]:
    """All typed options that a document states."""
    mark = read_mark(root)
    seed = seed_path(root.findtext("name", ""))
    disks = [view_disk(disk) for disk in root.findall("devices/disk") if is_ours_to_say(disk)]
    devices = _child(root, "devices")
    os_element = _child(root, "os")
    memory = root.find("memory")
    return {
        "uuid": root.findtext("uuid", ""),
        "title": root.findtext("title", ""),
        "description": root.findtext("description", "").strip(),
        "metadata": dict(sorted(mark.items)),
        "accelerator": {"qemu": "tcg"}.get(root.get("type", "qemu"), root.get("type")),
        "machine": attribute(root, "os/type", "machine") or "",
        "firmware": _view_firmware(os_element),
        "memory": 0 if memory is None else memory_bytes(memory),
        "vcpus": _view_vcpus(root),
        "cpu_mode": attribute(root, "cpu", "mode") or ("custom" if root.find("cpu/model") is not None else ""),
        "cpu_model": root.findtext("cpu/model", ""),
        "boot": _view_boot(root, os_element),
        "kernel": os_element.findtext("kernel", ""),
        "initrd": os_element.findtext("initrd", ""),
        "cmdline": os_element.findtext("cmdline", ""),
        "disks": [disk for disk in disks if disk["path"] != seed],
        "seed": next((disk for disk in disks if disk["path"] == seed), {}),
        "nics": [view_nic(nic) for nic in nics_of(root)],
        "serial": view_serial(devices),
        "graphics": [
            view_graphics(found) for found in devices.findall("graphics") if found.get("type") in GRAPHICS_KINDS
        ],
        "video": view_video(devices),
        "tpm": view_tpm(devices),
        "hostdevs": view_hostdevs(devices),
        "guest_agent": has_agent(devices),
    }


def _child(root: ET.Element, tag: str) -> ET.Element:
    """An element of a document; an empty one where it has none."""
    found = root.find(tag)
    return ET.Element(tag) if found is None else found


def _view_firmware(os_element: ET.Element) -> str:
    loader = os_element.find("loader")
    by_loader = loader is not None and loader.get("type") == "pflash"
    return "efi" if by_loader or os_element.get("firmware") == "efi" else "bios"


def _view_vcpus(root: ET.Element) -> int:
    vcpu = root.find("vcpu")
    return 1 if vcpu is None else int(vcpu.get("current") or vcpu.text or 1)


def _view_boot(root: ET.Element, os_element: ET.Element) -> list[str]:
    """The kinds of devices to boot from; none where there is an order on devices, which stands in their place."""
    kinds = [boot.get("dev", "") for boot in os_element.findall("boot")]
    return kinds or ([] if root.find("devices/*/boot") is not None else ["hd"])


def view_of(root: ET.Element, domain: Domain) -> dict[str, t.Any]:
    """All typed options that a document states, without the NICs that are left alone."""
    seen = view(root)
    return {**seen, "nics": [nic for nic in seen["nics"] if nic["mac"] not in domain.left]}


def memory_bytes(holder: ET.Element) -> int:
    """The bytes of a memory element."""
    amount = (holder.text or "0").strip()
    return 0 if amount == "0" else size(f"{amount} {holder.get('unit', 'KiB')}", "memory")


# ---- comparison


def settle(
    domain: Domain,
    found: ET.Element | None,
    in_user_space: t.Callable[[t.Mapping[str, t.Any]], bool] = lambda _nic: False,
) -> Domain:
    """The wanted domain with each NIC that names no MAC bound to the NIC that stands in its place already, and its offload decided.

    A disk that is there and whose bus is not declared stays on its bus. A NIC that is not declared is left alone, unless the mark says that
    it was declared once.
    in_user_space: whether a NIC is on a bridge whose datapath is in user space; asked where that decides.
    """
    domain = _keep_buses(domain, found)
    if "nics" not in domain.options:
        return domain
    elements = [] if found is None else nics_of(found)
    here = {view_nic(nic)["mac"]: nic for nic in elements}
    ours = _ours(found, here)
    macs = _bind(domain.options["nics"], here, ours)
    nics = []
    for nic, mac in zip(domain.options["nics"], macs):
        nic = {**{key: value for key, value in nic.items() if key != "derived"}, "mac": mac}
        if nic.get("offload") == "auto":
            there = view_nic(here[mac])["model"] if mac in here else "virtio"
            if nic.get("model", there) == "virtio" and (nic.get("network") or nic.get("bridge")):
                nic["offload"] = "off" if in_user_space(nic) else "on"
            else:
                del nic["offload"]
        nics.append(nic)
    mark = Mark() if found is None else read_mark(found)
    theirs = mark.nics is None and (mark.adopted or not mark.owner)
    left = frozenset(mac for mac in here if mac not in macs and (theirs or mac not in ours))
    return domain._replace(options={**domain.options, "nics": nics}, left=left)


def _keep_buses(domain: Domain, found: ET.Element | None) -> Domain:
    """The wanted domain with the bus of each disk that is there and whose bus is not declared, whatever it is."""
    if found is None or not domain.without_bus:
        return domain
    seen = {disk["target"]: disk for disk in map(view_disk, found.findall("devices/disk"))}

    def bus(disk: t.Mapping[str, t.Any]) -> str:
        there = seen.get(disk["target"], {}) if disk["target"] in domain.without_bus else {}
        stays = there.get("bus") and there["device"] == disk["device"]
        return there["bus"] if stays else disk["bus"]

    disks = [{**disk, "bus": bus(disk)} for disk in domain.options["disks"]]
    return domain._replace(options={**domain.options, "disks": disks})


def _ours(found: ET.Element | None, here: t.Mapping[str, ET.Element]) -> set[str]:
    """The NICs that a run has declared before; without such a note, those that an option could have declared."""
    noted = None if found is None else read_mark(found).nics
    return {mac for mac, nic in here.items() if (nic_kind(nic) in NIC_KINDS if noted is None else mac in noted)}


def _bind(
    wanted: t.Sequence[t.Mapping[str, t.Any]], here: t.Mapping[str, ET.Element], ours: t.Container[str]
) -> list[str]:
    """The MAC address of each wanted NIC.

    One without takes that of a NIC which already is what it declares, or is plugged in there, or else of the one that stands in its place
    among those of its kind.
    """

    def group(kind: str) -> str:
        return "plugged" if kind in ("network", "bridge") else kind

    taken = {nic["mac"] for nic in wanted if not nic.get("derived") or nic["mac"] in here}
    places: dict[str, list[str]] = {}
    for mac, nic in here.items():
        if mac in ours:
            places.setdefault(group(nic_kind(nic)), []).append(mac)
    counts: dict[str, int] = {}
    macs = [nic["mac"] for nic in wanted]
    # The NICs without an address, each with its place among those that stand there.
    bare = []
    for number, declared in enumerate(wanted):
        kind = group(next(kind for kind in NIC_KINDS if declared.get(kind)))
        counts[kind] = place = counts.get(kind, -1) + 1
        if declared.get("derived") and declared["mac"] not in here:
            bare.append((number, places.get(kind, []), place))
    seen = {mac: view_nic(nic) for mac, nic in here.items()}
    for fits in (_is_as_declared, _is_plugged_alike, None):
        for number, standing, place in bare:
            own = standing[place : place + 1]
            free = [mac for mac in (*own, *(standing if fits else ())) if mac not in taken]
            alike = [mac for mac in free if not fits or fits(seen[mac], wanted[number])]
            if not alike or macs[number] in here:
                continue
            macs[number] = alike[0]
            taken.add(alike[0])
            if own and own[0] != alike[0]:
                # Who stands there gets this one's place.
                standing[standing.index(alike[0])] = own[0]
                standing[place] = alike[0]
    return macs


def _is_as_declared(nic: t.Mapping[str, t.Any], declared: t.Mapping[str, t.Any]) -> bool:
    """Whether a NIC is all that is declared of it."""
    return all(nic[key] == value for key, value in declared.items() if key in nic and key != "mac" and value != "auto")


def _is_plugged_alike(nic: t.Mapping[str, t.Any], declared: t.Mapping[str, t.Any]) -> bool:
    """Whether a NIC is plugged in where it is declared to be."""
    return all(nic[kind] == declared.get(kind, "") for kind in NIC_KINDS)


MACHINES = {"q35": "pc-q35-", "pc": "pc-i440fx-", "virt": "virt-"}


def machine_family(machine: str) -> str:
    """The machine type without its version."""
    return next(
        (alias for alias, prefix in MACHINES.items() if machine == alias or machine.startswith(prefix)), machine
    )


def same_machine(wanted: str, found: str) -> bool:
    """Whether a machine type is the wanted one; an alias (q35, pc) stands for each of its versions."""
    return wanted == found or (wanted in MACHINES and found.startswith(MACHINES[wanted]))


def restrict(options: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What a document says of the declared options, in their shape, so that equal means nothing to do.

    Lists are compared as a whole: an item that is not declared is in the result, so the two differ.
    """
    result: dict[str, t.Any] = {}
    for key, wanted in options.items():
        if key not in seen:
            continue
        found = seen[key]
        if key == "machine" and same_machine(wanted, found) or key == "accelerator" and wanted == "auto":
            found = wanted
        elif key in ("serial", "tpm", "seed") and wanted and found:
            found = {name: found.get(name, "") for name in wanted}
        elif key in ("disks", "nics", "graphics"):
            by = {"disks": "target", "nics": "mac", "graphics": "type"}[key]
            declared = {item[by]: item for item in wanted}
            if key != "nics":
                # libvirt sorts disks in its own way; the order of NICs is the guest's.
                found = sorted(
                    found, key=lambda item: list(declared).index(item[by]) if item[by] in declared else len(declared)
                )
            found = [_as_declared(item, declared.get(item[by])) for item in found]
        result[key] = found
    return result


def _as_declared(item: dict[str, t.Any], wanted: dict[str, t.Any] | None) -> dict[str, t.Any]:
    """The declared options of an item, as it has them; all that it has where it is not declared."""
    return dict(item) if wanted is None else {name: item[name] for name in wanted}


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
        result["graphics"] = [
            {**item, "password": MASK} if item.get("password") else dict(item) for item in result["graphics"]
        ]
    return result


def differences(options: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> list[str]:
    """The declared options that a document states otherwise."""
    found = restrict(options, seen)
    return [key for key in found if found[key] != options[key]]

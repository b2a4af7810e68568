# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running guest: the declared options that it takes at once, and those that wait for its restart. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import copy
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import port_command
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.devices import (
    is_ours_to_say,
    nics_of,
    pci_address,
    view_disk,
    view_nic,
    write_disk,
    write_nic,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain import (
    differences,
    restrict,
    shown,
    view_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_declaration import (
    HOTPLUG_BUSES,
    LIVE_OPTIONS,
    Domain,
    seed_path,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    contains,
    drop,
    parse_vlan,
    port_columns,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Step

# Changes of a NIC that a running guest takes without losing the NIC.
LIVE_NIC = ("link", "network", "portgroup", "bridge", "vlan", "trunks", "native_vlan", "native_mode")
MEDIA = ("path", "pool", "volume", "format")


class Pending(t.NamedTuple):
    """A declared option that the running guest does not have and cannot take without a restart, and why."""

    option: str
    reason: str


def pending_of(domain: Domain, live: ET.Element, inactive: ET.Element, edited: bool, stale: bool) -> list[Pending]:
    """What waits for a restart. inactive: the definition as it is now. edited: whether it has changed since the guest started.

    stale: whether the guest began with another seed.
    """
    seen = view_of(live, domain)
    pending = [
        *_pending_options(domain, seen),
        *_pending_nics(domain, seen),
        *_pending_order(domain, live),
        *_pending_disks(domain, seen),
    ]
    if stale and domain.files is not None:
        pending.append(
            Pending(
                "cloud_init",
                "the guest started with another seed; cloud-init reads it at a start, and takes it for a new guest's if the instance-id is another",
            )
        )
    elif "seed" in differences(domain.options, seen):
        pending.append(Pending("cloud_init", "the guest runs with another seed, or with one that is not declared"))
    # A guest that began with this definition has what libvirt made of it.
    if (edited or lacks(inactive, domain)) and lacks(_as_defined(live, inactive), domain):
        pending.append(Pending("xml", "the definition has it, the running guest has not"))
    return pending


def _as_defined(live: ET.Element, inactive: ET.Element) -> ET.Element:
    """A running guest's document with its definition's words where libvirt writes others at a start."""
    made = copy.deepcopy(live)
    cpu, defined = made.find("cpu"), inactive.find("cpu")
    if cpu is not None and defined is not None and (cpu.get("mode"), defined.get("mode")) == ("custom", "host-model"):
        made[list(made).index(cpu)] = defined
    for found, was in zip(made.findall("devices/graphics"), inactive.findall("devices/graphics")):
        if was.get("autoport") == "yes" and "port" in was.attrib:
            found.set("port", was.attrib["port"])
    for nic in made.findall("devices/interface"):
        if nic.find("source[@network]") is not None:
            nic.set("type", "network")
    return made


def _pending_options(domain: Domain, seen: t.Mapping[str, t.Any]) -> list[Pending]:
    pending = []
    runs, declared = shown(restrict(domain.options, seen)), shown(domain.options)
    for key in differences(domain.options, seen):
        if key == "cpu_mode" and domain.options[key] == "host-model" and seen[key] == "custom":
            continue  # libvirt writes the model that it found into the running guest's document.
        if key not in (*LIVE_OPTIONS, "seed"):
            pending.append(Pending(key, _reason(runs[key], declared[key])))
    return pending


def _reason(runs: t.Any, declared: t.Any) -> str:
    """Plain values are told; of longer ones, that they differ."""
    short = all(isinstance(value, (int, str)) and len(str(value)) < 60 for value in (runs, declared))
    return (
        f"the guest runs with {runs or 'none'}, {declared or 'none'} is declared"
        if short
        else "the guest runs with other values"
    )


def _pending_nics(domain: Domain, seen: t.Mapping[str, t.Any]) -> list[Pending]:
    live = {nic["mac"]: nic for nic in seen["nics"]}
    pending = []
    for nic in domain.options.get("nics", ()):
        found = live.get(nic["mac"])
        if found is None:
            continue
        late = [key for key in nic if key not in LIVE_NIC and found[key] != nic[key]]
        if late:
            pending.append(
                Pending(f"nics {nic['mac']}", "; ".join(f"{key}: {_reason(found[key], nic[key])}" for key in late))
            )
    return pending


def _pending_order(domain: Domain, live: ET.Element) -> list[Pending]:
    """A guest counts its NICs along the bus; one that is plugged in while it runs comes last, wherever it is declared."""
    declared = [nic["mac"] for nic in domain.options.get("nics", ())]
    here = [nic for nic in nics_of(live) if view_nic(nic)["mac"] in declared]
    along = sorted(here, key=lambda nic: pci_address(nic.find("address")))
    orders = [[view_nic(nic)["mac"] for nic in nics] for nics in (here, along)]
    wanted = [mac for mac in declared if mac in orders[0]]
    return [] if wanted in orders else [Pending("nics", "the guest runs with them in another order")]


def _pending_disks(domain: Domain, seen: t.Mapping[str, t.Any]) -> list[Pending]:
    disks = {disk["target"]: disk for disk in [*seen["disks"], seen["seed"]] if disk}
    pending = []
    for disk in domain.options.get("disks", ()):
        found = disks.get(disk["target"])
        if found is None:
            if disk["bus"] not in HOTPLUG_BUSES:
                reason = f"bus {disk['bus']} takes no disk while the guest runs"
                pending.append(Pending(f"disks {disk['target']}", reason))
            continue
        late = [key for key in disk if found[key] != disk[key] and not (is_media(disk) and key in MEDIA)]
        if late:
            pending.append(
                Pending(
                    f"disks {disk['target']}", "; ".join(f"{key}: {_reason(found[key], disk[key])}" for key in late)
                )
            )
    if "disks" in domain.options:
        declared = [disk["target"] for disk in domain.options["disks"]]
        stays = [disk for disk in seen["disks"] if disk["target"] not in declared and disk["bus"] not in HOTPLUG_BUSES]
        pending += [
            Pending(f"disks {disk['target']}", f"bus {disk['bus']} releases no disk while the guest runs")
            for disk in stays
        ]
    return pending


def is_media(disk: t.Mapping[str, t.Any]) -> bool:
    """Whether a disk is a drive whose medium is exchanged while the guest runs."""
    return disk["device"] in ("cdrom", "floppy")


class Live:
    """Brings the NICs and disks of one running guest to what is declared.

    steps: the calls. notes: what differed, for the diff. networks, ports, mtus: as in `Found`.
    """

    def __init__(
        self,
        domain: Domain,
        live: ET.Element,
        actions: t.Any,
        networks: t.Mapping[str, ET.Element],
        ports: t.Mapping[str, t.Any],
        mtus: t.Mapping[str, int],
    ) -> None:
        self.domain, self.live, self.actions = domain, live, actions
        self.networks, self.ports, self.mtus = networks, ports, mtus
        self.steps: list[t.Any] = []
        self.notes: dict[str, tuple[t.Any, t.Any]] = {}

    def run(self) -> Live:
        """Compare NICs, then disks."""
        if "nics" in self.domain.options:
            self._nics()
        if "disks" in self.domain.options:
            self._disks()
        return self

    def _device(self, verb: str, what: str, device: ET.Element, note: tuple[t.Any, t.Any]) -> None:
        self.steps.append(self.actions.device(verb, self.domain.name, what, device))
        self.notes[what[0].lower() + what[1:] if not what.startswith("NIC") else "nic" + what[3:]] = note

    def _nics(self) -> None:
        elements = {view_nic(nic)["mac"]: nic for nic in nics_of(self.live)}
        declared = {nic["mac"] for nic in self.domain.options["nics"]}
        for mac, nic in elements.items():
            if mac not in declared and mac not in self.domain.left:
                self._device("detach", f"NIC {mac}", nic, ("attached", "detached"))
        for item in self.domain.options["nics"]:
            if item["mac"] in elements:
                self._nic(item, elements[item["mac"]])
                continue
            made = ET.Element("interface")
            ET.SubElement(made, "mac", {"address": item["mac"]})
            write_nic(made, item)
            self._device("attach", f"NIC {item['mac']}", made, ("detached", "attached"))

    def _nic(self, item: t.Mapping[str, t.Any], nic: ET.Element) -> None:
        seen = view_nic(nic)
        late = {key for key in item if key not in LIVE_NIC and seen[key] != item[key]}
        if late & {"ovs", "direct", "direct_mode", "hostdev", "vhostuser", "vhostuser_mode"}:
            return  # It is plugged in elsewhere by other means; half of that would plug it in where nobody wants it.
        now, wanted = parse_vlan(nic), expected_vlan(item, self.networks, seen["ovs"])
        other = [key for key in LIVE_NIC if key in item and key not in now and seen[key] != item[key]]
        before, after = {key: seen[key] for key in other}, {key: item[key] for key in other}
        if wanted is not None and wanted != now:
            before.update(now)
            after.update(wanted)
        if after:
            made = live_interface(nic)
            write_nic(made, {"mac": item["mac"], **{key: item[key] for key in LIVE_NIC if key in item}})
            self._device("update", f"NIC {item['mac']}", made, (before, after))
        if seen["ovs"] and wanted is not None:
            self._port(seen["dev"], now, wanted)
        self._mtu(item, seen["dev"])

    def _port(self, dev: str, now: dict[str, t.Any], wanted: dict[str, t.Any]) -> None:
        """libvirt 9 empties a port's VLANs when it shall become a trunk; and somebody may have changed the port by hand."""
        port, columns = self.ports.get(dev), port_columns(wanted)
        if port is None or (port == columns and wanted == now):
            return
        self.steps.append(Step(port_command(dev, columns)))
        if port != columns:
            self.notes[f"port {dev}"] = (dict(port), columns)

    def _mtu(self, item: t.Mapping[str, t.Any], dev: str) -> None:
        """The host's end takes its MTU at once; the guest's driver is told when the guest starts."""
        found = self.mtus.get(dev)
        if item.get("mtu") and found and found != item["mtu"]:
            self.steps.append(Step(("ip", "link", "set", "dev", dev, "mtu", str(item["mtu"]))))
            self.notes[f"interface {dev}"] = ({"mtu": found}, {"mtu": item["mtu"]})

    def _disks(self) -> None:
        elements = {view_disk(disk)["target"]: disk for disk in self.live.findall("devices/disk")}
        declared = {disk["target"] for disk in self.domain.options["disks"]}
        for target, stale in elements.items():
            seen = view_disk(stale)
            ours = is_ours_to_say(stale) and seen["path"] != seed_path(self.domain.name)
            if target not in declared and ours and seen["bus"] in HOTPLUG_BUSES:
                self._device("detach", f"disk {target}", stale, ("attached", "detached"))
        for item in self.domain.options["disks"]:
            disk = elements.get(item["target"])
            if disk is not None:
                self._medium(item, disk)
            elif item["bus"] in HOTPLUG_BUSES:
                made = ET.Element("disk")
                write_disk(made, item)
                self._device("attach", f"disk {item['target']}", made, ("detached", "attached"))

    def _medium(self, item: t.Mapping[str, t.Any], disk: ET.Element) -> None:
        seen = view_disk(disk)
        if not is_media(item) or all(seen[key] == item[key] for key in MEDIA if key in item):
            return
        made = copy.deepcopy(disk)
        drop(made, "source", "backingStore")
        write_disk(made, item)
        place = item.get("path") or f"{item.get('pool')}/{item.get('volume')}"
        self._device("update", f"disk {item['target']}", made, (seen["path"], place))


def live_interface(nic: ET.Element) -> ET.Element:
    """A running guest's NIC as libvirt takes it back: plugged into its network, which gives out bridge and VLAN again."""
    made = copy.deepcopy(nic)
    source = made.find("source")
    if source is not None and source.get("network"):
        made.set("type", "network")
        source.attrib.pop("portid", None)
        source.attrib.pop("bridge", None)
        drop(made, "vlan")
    return made


def expected_vlan(
    item: t.Mapping[str, t.Any], networks: t.Mapping[str, ET.Element], ovs: bool
) -> dict[str, t.Any] | None:
    """The VLANs that a NIC's port must have: its own, or its portgroup's, or its network's. None when nothing says."""
    if "vlan" in item:
        return {key: item[key] for key in ("vlan", "trunks", "native_vlan", "native_mode")}
    network = networks.get(item.get("network", ""))
    if network is None or not ovs:
        return None
    groups = network.findall("portgroup")
    group = next((g for g in groups if g.get("name") == item.get("portgroup")), None) if item.get("portgroup") else None
    if group is None and not item.get("portgroup"):
        group = next((g for g in groups if g.get("default") == "yes"), None)
    return parse_vlan(group if group is not None and group.find("vlan") is not None else network)


def lacks(root: ET.Element, domain: Domain) -> bool:
    """Whether a document lacks what the caller's own XML says."""
    return domain.raw is not None and not contains(root, domain.raw)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests: what endpoints of the kind guest say of them, checked.

A guest's endpoint is its first NIC; `guest.nics` are the others. Names, MAC addresses and UUIDs follow from the intent, so a guest
that is made again is the same one to its neighbors and to licences that hang on them.

This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    check_uuid,
    derived_uuid,
    shown_size,
    size,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import default_outer
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Endpoint, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import read_address, read_mac
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, show, suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.placement import REFUSE
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]

IMAGES = "/var/lib/libvirt/images"
# What the roles bring to a host themselves: the lab's small guest, and what stands in for a vendor's image in tests.
BUILT = IMAGES + "/overloom-{}"
LAB, STAND_IN = "lab", "stand-in"
# Kernel and initramfs lie in it side by side while it boots.
LAB_MEMORY = "128MiB"
_USER = re.compile("[a-z_][a-z0-9_-]{0,31}")
FORMATS = {".qcow2": "qcow2", ".vmdk": "vmdk", ".img": "raw", ".raw": "raw"}


class Kind(t.NamedTuple):
    """What a role's guests are if the intent does not say otherwise, and what they cannot be.

    first: the name of the first NIC as the guest sees it. most: NICs by model, after the vendor or the free slots of the PCI bus.
    buses: of the disk. built: the word for an image that the role brings along.
    """

    first: str
    memory: str
    vcpus: int
    model: str
    most: dict[str, int]
    buses: tuple[str, ...]
    built: str


KINDS = {
    "linux": Kind("eth0", "512MiB", 1, "virtio", {"virtio": 24, "e1000": 24}, ("virtio", "ide", "sata", "scsi"), LAB),
    "veos": Kind("Management1", "2GiB", 2, "e1000", {"virtio": 24, "e1000": 7}, ("ide",), STAND_IN),
    "chr": Kind(
        "ether1", "256MiB", 1, "virtio", {"virtio": 24, "e1000": 24}, ("ide", "virtio", "sata", "scsi"), STAND_IN
    ),
}


# An address with its subnet.
Pair = t.Tuple[t.Any, t.Any]


class Nic(t.NamedTuple):
    """A NIC as the plan settles it. segment: the one it is an access port of, or None for a trunk of several."""

    segment: Segment | None
    trunks: tuple[Segment, ...]
    native: Segment | None
    mac: str
    dev: str
    addresses: list[Pair]
    routes: list[dict[str, str]]
    mtu: int

    @property
    def vlans(self) -> list[int]:
        """The VLAN IDs that a trunk carries."""
        return sorted(segment.vlan for segment in self.trunks if segment.vlan is not None)


class Guest(t.NamedTuple):
    """A guest of the intent, checked. options: as the user wrote them, with defaults."""

    endpoint: Endpoint
    kind: Kind
    options: Item
    uuid: str
    memory: int
    nics: list[Nic]
    folder: str

    @property
    def built(self) -> bool:
        """Whether its role brings the image along."""
        return self.options["image"] == self.kind.built


class Guests:
    """All guests of the fabric, each settled once. What is wrong goes to the values' problems."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.problems = values.problems
        self.macs = {value.mac.value: values_id for values_id, value in values.addressed.items() if value.mac.value}
        self.taken = {
            (values.segments[e.segment].name, values.addressed[e.id].address.value): e.id
            for e in values.endpoints
            if e.id in values.addressed
        }
        self.uuids: dict[str, str] = {}
        self.by_host: dict[str, list[Guest]] = {name: [] for name in values.intent.hosts}
        for endpoint in values.endpoints:
            guest = self._guest(endpoint)
            if guest is not None:
                self.by_host[endpoint.host].append(guest)
        self._memory()

    def _guest(self, endpoint: Endpoint) -> Guest | None:
        if endpoint.kind != "guest":
            if endpoint.guest:
                self.problems.append(f"{endpoint.where}.guest is for the kind guest; set kind: guest, or leave it out.")
            return None
        where, options = f"{endpoint.where}.guest", endpoint.guest
        if options is None:
            self.problems.append(f"{where} is missing; the kind guest needs it, with an image at least.")
        if not options or endpoint.segment not in self.values.segments or endpoint.id not in self.values.addressed:
            return None
        if endpoint.sysctls:
            self.problems.append(f"{endpoint.where}.sysctls is for namespaces; a guest sets its own.")
        kind = KINDS.get(options["role"])
        if kind is None or any(options[name] is INVALID for name in options):
            return None
        self._image(where, kind, options)
        self._limits(where, kind, options)
        self._texts(where, options)
        self._place(endpoint, where, options)
        nics = self._nics(endpoint, where, options)
        uuid = options["uuid"] or derived_uuid("guest", str(self.values.intent.name), endpoint.identity)
        try:
            uuid = check_uuid(uuid, f"{where}.uuid")
            memory = size(
                options["memory"] or (LAB_MEMORY if options["image"] == LAB else kind.memory), f"{where}.memory"
            )
        except FabricError as error:
            self.problems.append(f"{error}.")
            return None
        if options["image"] == LAB and memory < size(LAB_MEMORY, "memory"):
            self.problems.append(
                f"{where}.memory {shown_size(memory)} is too little for {LAB}, which does not boot with less than {LAB_MEMORY}; raise it."
            )
        other = self.uuids.setdefault(uuid, endpoint.id)
        if other != endpoint.id:
            self.problems.append(
                f"{other} and {endpoint.id} both have the UUID {uuid}; give one of them another guest.uuid, or leave it out."
            )
        return Guest(endpoint, kind, options, uuid, memory, nics, BUILT.format(self.values.intent.name))

    def _image(self, where: str, kind: Kind, options: Item) -> None:
        """Images are paths of files on the KVM host; whether they are there, and what they hold, is seen there."""
        role, image = options["role"], options["image"]
        if image == kind.built:
            return
        if not image.startswith("/"):
            self.problems.append(
                f"{where}.image {show(image)} must be the absolute path of a file on the KVM host, or {kind.built}."
            )
        elif not image.endswith(tuple(FORMATS)):
            self.problems.append(
                f"{where}.image {image} has no known format; its name must end in {', '.join(FORMATS)}."
            )
        aboot = options["aboot"]
        if aboot is not None and role != "veos":
            self.problems.append(f"{where}.aboot is for the role veos; leave it out with {role}.")
        elif aboot is not None and not re.fullmatch(r"/.+\.iso", aboot):
            self.problems.append(
                f"{where}.aboot {show(aboot)} must be the absolute path of an ISO image on the KVM host."
            )
        for option in ("image_sha256", "aboot_sha256"):
            if options[option] is not None and not re.fullmatch("[0-9a-f]{64}", options[option]):
                self.problems.append(
                    f"{where}.{option} {show(options[option])} is no SHA-256; write its 64 digits in lower case."
                )

    def _place(self, endpoint: Endpoint, where: str, options: Item) -> None:
        """Which guests may be on another host than the one they were made on."""
        if endpoint.movable and options["role"] != "linux":
            self.problems.append(
                f"{endpoint.where}.host is not for guests of the role {options['role']}, which cannot be moved yet; state it in the variables"
                " of its host."
            )
        if not endpoint.movable and options["placement"] != REFUSE:
            self.problems.append(
                f"{where}.placement is for a guest that may move; state it once for the fabric, with its host, in group_vars/all.yml."
            )

    def _limits(self, where: str, kind: Kind, options: Item) -> None:
        role, bus = options["role"], options["disk_bus"]
        if bus is not None and bus not in kind.buses:
            self.problems.append(
                f"{where}.disk_bus {bus} is not for {role}, which boots from {' or '.join(kind.buses)} only; leave it out."
            )
        model = options["model"] or kind.model
        count = 1 + len(options["nics"] or ())
        if count > kind.most[model]:
            self.problems.append(
                f"{where}.nics makes {count} NICs with its endpoint's, but {role} takes {kind.most[model]} of the model {model}; remove some."
            )
        if options["vcpus"] is not None and not 1 <= options["vcpus"] <= 255:
            self.problems.append(f"{where}.vcpus must be 1 to 255, not {options['vcpus']}.")

    def _texts(self, where: str, options: Item) -> None:
        """What is written into a device's configuration: lines, and never a password in clear."""
        role = options["role"]
        for name in ("keys", "config", "user"):
            self._lines(f"{where}.{name}", name, options[name])
        self._password(f"{where}.password_hash", role, options["password_hash"])
        for name, roles in (("ospf", ("veos", "chr")), ("bgp", ("veos",)), ("config", ("veos", "chr"))):
            if options[name] and role not in roles:
                self.problems.append(f"{where}.{name} is for the role {' or '.join(roles)}; leave it out with {role}.")
        self._extra_disks(f"{where}.extra_disks", role, options["extra_disks"] or ())

    def _lines(self, place: str, name: str, given: t.Any) -> None:
        """Single lines; the user's name is a name, too."""
        for line in [given] if name == "user" else given or ():
            if line is INVALID:
                continue
            if not line.isprintable() or name == "user" and not _USER.fullmatch(line):
                kind = "name of a user" if name == "user" else "single line"
                self.problems.append(f"{place} {show(line)} is no {kind}; correct it.")

    def _password(self, place: str, role: str, hashed: str | None) -> None:
        """A hash, for a role that takes one."""
        if hashed is None:
            return
        if not re.fullmatch(r"\$6\$\S+" if role == "veos" else r"\$\w+\$\S+", hashed):
            self.problems.append(f"{place} is no hash of crypt(5); make one with: openssl passwd -6.")
        if role == "chr":
            self.problems.append(
                f"{place} is not for chr, which takes none; give the role's variable chr_guest_password."
            )

    def _extra_disks(self, place: str, role: str, paths: t.Sequence[t.Any]) -> None:
        for path in paths:
            if path is INVALID:
                continue
            if role != "veos" or not path.startswith("/") or not path.endswith(tuple(FORMATS)):
                self.problems.append(
                    f"{place} {show(path)} must be the absolute path of an image for the role veos, ending in {', '.join(FORMATS)}."
                )
        if len(paths) > 2:
            self.problems.append(f"{place} has more than the 2 that IDE has room for; remove some.")

    def _nics(self, endpoint: Endpoint, where: str, options: Item) -> list[Nic]:
        addressed, segment = self.values.addressed[endpoint.id], self.values.segments[endpoint.segment]
        pairs = [(addressed.address.value, segment.subnet), (addressed.address6.value, segment.subnet6)]
        mtu = self.values.mtus[segment.name].value
        self._untagged(f"{endpoint.where}.segment", segment)
        first = Nic(
            segment,
            (),
            None,
            addressed.mac.value,
            default_outer(endpoint.name, "eth0"),
            [pair for pair in pairs if pair[0]],
            endpoint.routes,
            mtu,
        )
        nics = [first]
        for number, item in enumerate(options["nics"] or (), 1):
            place = f"{where}.nics[{number - 1}]"
            if item is not INVALID and INVALID not in item.values():
                nic = self._nic(endpoint, place, number, item)
                if nic:
                    nics.append(nic)
        bridges = {self.values.bridge_of(s) for nic in nics for s in (nic.segment, *nic.trunks) if s}
        if INVALID in bridges:
            return []
        return nics

    def _segment(self, name: str, place: str) -> Segment | None:
        segment = self.values.segments.get(name)
        if segment is None:
            self.problems.append(f"{place} {word(name)} is no segment{suggest(name, self.values.segments)}")
        return segment

    def _nic(self, endpoint: Endpoint, place: str, number: int, item: Item) -> Nic | None:
        """A NIC besides the first: an access port of a segment, or a trunk of several."""
        if bool(item["segment"]) == bool(item["trunks"]):
            self.problems.append(
                f"{place} needs either segment or trunks; name a segment, or the segments that it carries tagged."
            )
            return None
        names = [item["segment"]] if item["segment"] else item["trunks"]
        looked_up = [self._segment(name, f"{place}.{'segment' if item['segment'] else 'trunks'}") for name in names]
        segments = [segment for segment in looked_up if segment is not None]
        native = self._segment(item["native"], f"{place}.native") if item["native"] else None
        mac = read_mac(item["mac"], f"{place}.mac", self.problems) if item["mac"] else None
        address = read_address(item["address"], f"{place}.address", self.problems)
        if len(segments) < len(names) or INVALID in (mac, address) or item["native"] and native is None:
            return None
        who = f"{endpoint.id} (guest.nics[{number - 1}])"
        mac = self._mac(mac or addresses.derived_mac(self.values.intent, f"{endpoint.identity}/{number}"), who)
        if item["trunks"]:
            pairs = self._of_trunk(place, segments, native, address)
        else:
            pairs = self._of_access(place, segments[0], address, who)
        if pairs is None:
            return None
        return Nic(
            None if item["trunks"] else segments[0],
            tuple(segments) if item["trunks"] else (),
            native,
            mac,
            default_outer(endpoint.name, f"eth{number}"),
            pairs,
            [],
            min((self.values.mtus[segment.name].value for segment in segments), key=lambda value: value or 0),
        )

    def _mac(self, mac: str, who: str) -> str:
        """The MAC address, noted as that of one NIC."""
        other = self.macs.setdefault(mac, who)
        if other != who:
            self.problems.append(f"{other} and {who} both have the MAC address {mac}; give one of them another mac.")
        return mac

    def _of_access(
        self, place: str, segment: Segment, address: addresses.Address | None, who: str
    ) -> list[Pair] | None:
        """The addresses of an access port; None if what is given is wrong."""
        self._untagged(f"{place}.segment", segment)
        if not address:
            return []
        pair = self._address(f"{place}.address", segment, address, who)
        return None if pair is None else [pair]

    def _of_trunk(
        self, place: str, segments: list[Segment], native: Segment | None, address: addresses.Address | None
    ) -> list[Pair] | None:
        """A trunk has no address; None if it cannot be as it is given."""
        if address or native and native not in segments:
            self.problems.append(f"{place}: a trunk has no address, and its native segment is one of its trunks.")
            return None
        return [] if self._trunk(place, segments) else None

    def _trunk(self, place: str, segments: list[Segment]) -> bool:
        """Whether one port can carry the segments of a trunk."""
        for segment in segments:
            if segment.vlan is None and not self.values.keyed(segment):
                self.problems.append(
                    f"{place}.trunks has segment {segment.name}, which is untagged; give it a vlan, or take it out."
                )
        if len({self.values.bridge_of(segment) for segment in segments}) > 1:
            self.problems.append(f"{place}.trunks has segments of different bridges; name those of one.")
            return False
        return True

    def _address(self, place: str, segment: Segment, address: addresses.Address, who: str) -> Pair | None:
        """The address of a further NIC with its subnet, or None if it is outside of the segment."""
        subnets = [net for net in segment.subnets if net.version == address.version]
        if not subnets or address not in subnets[0]:
            self.problems.append(
                f"{place} {address} is outside segment {segment.name}; give an address inside, or leave it out."
            )
            return None
        other = self.taken.setdefault((segment.name, address), who)
        if other != who:
            self.problems.append(
                f"{other} and {who} both have the address {address}; give one of them another address."
            )
        return address, subnets[0]

    def _untagged(self, place: str, segment: Segment) -> None:
        """libvirt knows access ports and trunks; a port that carries untagged frames only, among others, it does not."""
        bridge = self.values.bridge_of(segment)
        if segment.vlan is None and any(
            other.vlan and self.values.bridge_of(other) == bridge for other in self.values.segments.values()
        ):
            self.problems.append(
                f"{place} {segment.name} is untagged on a bridge with VLANs, where no guest can be; give the segment a vlan."
            )

    def _memory(self) -> None:
        for name, guests in self.by_host.items():
            given = self.values.intent.hosts[name].guest_memory
            if not given:
                continue
            try:
                most = size(given, f"{name}: fabric_guest_memory")
            except FabricError as error:
                self.problems.append(f"{error}.")
                continue
            total = sum(guest.memory for guest in guests)
            if total > most:
                self.problems.append(
                    f"{name}: its {len(guests)} guests take {shown_size(total)} of memory, but fabric_guest_memory is {shown_size(most)};"
                    " lower guest.memory, or move a guest."
                )

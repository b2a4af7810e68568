# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests: what endpoints of the kind guest say of them checked, and each as the module libvirt_domain takes it.

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
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses, wires
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guest_configs import Port, autorun, startup_config
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.ovn_guests import interface_id
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.placement import REFUSE, STATED
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]

IMAGES = "/var/lib/libvirt/images"
# What the roles bring to a host themselves: the lab's small guest, and what stands in for a vendor's image in tests.
BUILT = IMAGES + "/overloom-{}"
LAB, STAND_IN = "lab", "stand-in"
# Kernel and initramfs lie in it side by side while it boots.
LAB_MEMORY = "128MiB"
CONSOLE = "/var/log/libvirt/qemu/{}-console.log"
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
        for option in ("aboot",):
            if options[option] is not None and role != "veos":
                self.problems.append(f"{where}.{option} is for the role veos; leave it out with {role}.")
            elif options[option] is not None and not re.fullmatch(r"/.+\.iso", options[option]):
                self.problems.append(
                    f"{where}.{option} {show(options[option])} must be the absolute path of an ISO image on the KVM host."
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

    # ---- what each host gets

    def parts(self, name: str) -> Item:
        """What a host gets for its guests: the guests themselves, their images, memory and libvirt networks."""
        guests = self.by_host[name]
        return {
            "guests": [self._item(guest) for guest in guests],
            "guest_images": BUILT.format(self.values.intent.name),
            "guest_memory": sum(guest.memory for guest in guests),
            "networks": self._networks(guests),
        }

    def points(self) -> dict[str, Item]:
        """What the endpoints that are guests have besides others, by their id."""
        return {guest.endpoint.id: self._point(guest) for guests in self.by_host.values() for guest in guests}

    def _point(self, guest: Guest) -> Item:
        # A transfer needs tools that only the lab's guest is known to have. Without an agent, a guest's own API is asked.
        linux = guest.options["role"] == "linux"
        device = None if linux else _device(guest, self._spaces(guest))
        return {
            "interface": guest.endpoint.interface if linux else guest.kind.first,
            "port": guest.nics[0].dev,
            "measures": linux or device is not None,
            "sends": linux and guest.built,
            "device": device,
            "nics": [_further(guest, number, nic) for number, nic in enumerate(guest.nics) if number and nic.addresses],
        }

    def sources(self) -> dict[str, str]:
        """Where the values of points() came from."""
        return {
            f"endpoints.{guest.endpoint.id}.interface": f"derived: first NIC of {guest.options['role']}"
            for guests in self.by_host.values()
            for guest in guests
        }

    def _spaces(self, guest: Guest) -> list[Endpoint]:
        """The namespaces on the guest's host and segment, from which it can be asked."""
        here = self.values.intent.hosts[guest.endpoint.host].endpoints
        return [e for e in here if (e.kind, e.segment) == ("namespace", guest.endpoint.segment)]

    def _bridge(self, nic: Nic) -> str:
        """The bridge that libvirt plugs a NIC into."""
        bridge = self.values.bridge_of(nic.segment or nic.trunks[0])
        return wires.plug_bridge(bridge) if nic.segment and self.values.keyed(nic.segment) else bridge

    def _portgroup(self, nic: Nic) -> str:
        """The portgroup of a NIC: named after its wire, its segment, or the VLANs of its trunk."""
        return nic.dev if nic.segment and self.values.keyed(nic.segment) else portgroup(nic)

    def _networks(self, guests: list[Guest]) -> list[Item]:
        """A libvirt network for each bridge that guests are on: a portgroup for each of its segments, and for each trunk that is used."""
        found: dict[str, Item] = {}
        for guest in guests:
            for nic in guest.nics:
                bridge = self._bridge(nic)
                name = network_name(self.values.intent.name, bridge)
                if name not in found:
                    groups = [_access(s) for s in self.values.segments.values() if self.values.bridge_of(s) == bridge]
                    groups += [
                        {"name": wire.name, "vlan": wire.vlan}
                        for wire in self.values.wires[guest.endpoint.host]
                        if wires.plug_bridge(self.values.bridge_of(wire.segment)) == bridge
                    ]
                    found[name] = {"name": name, "mode": "openvswitch", "bridge": bridge, "portgroups": groups}
                if nic.trunks and portgroup(nic) not in [group["name"] for group in found[name]["portgroups"]]:
                    trunk = {"name": portgroup(nic), "trunks": [str(vlan) for vlan in _vlans(nic)]}
                    found[name]["portgroups"].append({**trunk, "native_vlan": nic.native.vlan} if nic.native else trunk)
        return list(found.values())

    def _logical(self, guest: Guest, number: int, nic: Nic) -> Item:
        """The logical port that a NIC on a segment of OVN is."""
        if nic.segment is None or not self.values.ovn(nic.segment):
            return {}
        return {"interface_id": interface_id(self.values.intent.name, guest.endpoint, number)}

    def _item(self, guest: Guest) -> Item:
        """A guest with the domain as the module takes it, what to wait for, and what its role needs besides."""
        endpoint, options = guest.endpoint, guest.options
        domain = {
            "name": endpoint.name,
            "state": "running",
            "uuid": guest.uuid,
            "title": f"{options['role']} guest {endpoint.name} of fabric {self.values.intent.name}",
            "machine": "pc",
            "memory": shown_size(guest.memory),
            "vcpus": options["vcpus"] or (1 if guest.built else guest.kind.vcpus),
            "nics": [
                {
                    "mac": nic.mac,
                    "model": options["model"] or guest.kind.model,
                    "offload": "auto",
                    "network": network_name(self.values.intent.name, self._bridge(nic)),
                    "portgroup": self._portgroup(nic),
                    "dev": nic.dev,
                    "mtu": nic.mtu,
                    "rom": False,
                    **self._logical(guest, number, nic),
                }
                for number, nic in enumerate(guest.nics)
            ],
            "serial": {"log": CONSOLE.format(endpoint.name)},
            "graphics": [],
            "guest_agent": options["role"] == "linux",
            **_stated(endpoint),
            "autostart": True,
            "restart": options["restart"],
            "force": options["restart"],
        }
        return {
            "name": endpoint.name,
            "role": options["role"],
            "image": options["image"],
            "placement": options["placement"],
            "storage": options["storage"],
            "sums": [
                {"path": options[name], "sha256": options[f"{name}_sha256"]}
                for name in ("image", "aboot")
                if options[name] and options[f"{name}_sha256"]
            ],
            "user": options["user"],
            "addresses": [
                {"nic": number, "address": addresses.with_prefix(*pair)}
                for number, nic in enumerate(guest.nics)
                for pair in nic.addresses
            ],
            "built": guest.built,
            "domain": {**domain, **_MACHINES[options["role"]](guest)},
            "wait": _wait(guest, self._spaces(guest)),
            "flash": _flash(guest),
        }


def _stated(endpoint: Endpoint) -> Item:
    """What tells a guest that others have migrated from one that the intent moves; one that is still to be moved keeps what it has."""
    return {"metadata": {STATED: endpoint.stated}} if endpoint.movable and not endpoint.moving else {}


def _further(guest: Guest, number: int, nic: Nic) -> Item:
    """A NIC besides the first, as verify measures it: in the form of an endpoint, as far as it differs from the guest's."""
    name = {"linux": "eth", "veos": "Ethernet", "chr": "ether"}[guest.options["role"]] + str(
        number + (guest.options["role"] == "chr")
    )
    by_version = {address.version: (str(address), subnet.prefixlen) for address, subnet in nic.addresses}
    (address, prefix), (address6, prefix6) = (by_version.get(version, (None, None)) for version in (4, 6))
    return {
        "id": f"{guest.endpoint.id}:{name}",
        "interface": name,
        "segment": nic.segment.name if nic.segment else None,
        "address": address,
        "prefix": prefix,
        "address6": address6,
        "prefix6": prefix6,
        "mac": nic.mac,
        "mtu": nic.mtu,
        "port": nic.dev,
    }


class _Api(t.NamedTuple):
    """How a vendor's management is spoken to."""

    name: str
    scheme: str
    port: int


_APIS = {"veos": _Api("eos", "https", 443), "chr": _Api("routeros", "http", 80)}


def _device(guest: Guest, spaces: t.Sequence[Endpoint]) -> Item | None:
    """How a switch or router is asked to measure, or None when there is no namespace that could ask it."""
    if not spaces or not guest.nics[0].addresses:
        return None
    api, scheme, port = _APIS[guest.options["role"]]
    address = next((f"[{a}]" if a.version == 6 else str(a) for a, _subnet in guest.nics[0].addresses))
    # The stand-in speaks no TLS.
    url = f"http://{address}:{port}" if guest.built and port != 80 else f"{scheme}://{address}"
    return {
        "api": api,
        "url": url,
        "user": guest.options["user"] if api == "eos" else "admin",
        "namespace": spaces[0].space,
    }


def network_name(fabric: str, bridge: str) -> str:
    """The libvirt network of a fabric's bridge: several fabrics share a host, and each has its own."""
    return f"{fabric}-{bridge}"


def portgroup(nic: Nic) -> str:
    """The portgroup of a NIC: named after its segment, or after the VLANs of its trunk."""
    if nic.segment:
        return nic.segment.name
    return "trunk-" + "-".join(map(str, _vlans(nic))) + (f"-native-{nic.native.vlan}" if nic.native else "")


def _vlans(nic: Nic) -> list[int]:
    return sorted(segment.vlan for segment in nic.trunks if segment.vlan is not None)


def _access(segment: Segment) -> Item:
    return {"name": segment.name, **({"vlan": segment.vlan} if segment.vlan else {})}


def _linux(guest: Guest) -> Item:
    """A cloud image with a seed for cloud-init, or the lab's small guest, which reads its kernel's command line."""
    endpoint, options = guest.endpoint, guest.options
    if guest.built:
        # On a busy machine without KVM, the kernel's check of the timer's interrupts may fail, and it panics.
        words = ["console=ttyS0", "quiet", "no_timer_check", f"overloom.hostname={endpoint.name}"]
        for number, nic in enumerate(guest.nics):
            items = [f"mtu={nic.mtu}", *(addresses.with_prefix(*pair) for pair in nic.addresses)]
            items += [f"gateway={route['via']}" for route in nic.routes if route["to"] == "default"]
            words.append(f"overloom.eth{number}={','.join(items)}")
        return {
            "kernel": f"{guest.folder}/lab-guest/vmlinux",
            "initrd": f"{guest.folder}/lab-guest/initrd",
            "cmdline": " ".join(words),
            "disks": [],
        }
    user = {
        "name": options["user"],
        "ssh_authorized_keys": options["keys"] or [],
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
    }
    if options["password_hash"]:
        user.update(passwd=options["password_hash"], lock_passwd=False)
    return {
        "disks": [{**_disk(guest, "virtio"), **({"size": options["disk_size"]} if options["disk_size"] else {})}],
        "cloud_init": {
            "meta_data": {"instance-id": guest.uuid, "local-hostname": endpoint.name},
            "user_data": {
                "hostname": endpoint.name,
                "users": [user],
                "ssh_pwauth": bool(options["password_hash"]),
                "packages": [],
            },
            "network_config": {
                "version": 2,
                "ethernets": {f"eth{n}": _ethernet(n, nic, endpoint) for n, nic in enumerate(guest.nics)},
            },
            "bus": "ide",
        },
    }


def _ethernet(number: int, nic: Nic, endpoint: Endpoint) -> Item:
    """A NIC in the network configuration of cloud-init, version 2."""
    name = endpoint.interface if number == 0 else f"eth{number}"
    found = {
        "match": {"macaddress": nic.mac},
        "set-name": name,
        "mtu": nic.mtu,
        "dhcp4": number == 0 and endpoint.dhcp,
        "dhcp6": False,
        "addresses": [
            addresses.with_prefix(*pair)
            for pair in nic.addresses
            if not (number == 0 and endpoint.dhcp and pair[0].version == 4)
        ],
    }
    routes = [
        {"to": {"default": "0.0.0.0/0" if "." in r["via"] else "::/0"}.get(r["to"], r["to"]), "via": r["via"]}
        for r in nic.routes
    ]
    return {**found, "routes": routes} if routes else found


def _disk(guest: Guest, bus: str) -> Item:
    """The guest's own disk, which lies upon the image and leaves that as it is."""
    image = guest.options["image"]
    return {
        "bus": guest.options["disk_bus"] or bus,
        "backing_path": image,
        "backing_format": FORMATS[image[image.rindex(".") :]],
    }


def _veos(guest: Guest) -> Item:
    """IDE and nothing else; the Aboot ISO, where there is one, comes first in the boot order."""
    folder = f"{guest.folder}/stand-in"
    aboot = f"{folder}/boot.iso" if guest.built else guest.options["aboot"]
    flash = (
        {"bus": "ide", "backing_path": f"{folder}/flash.qcow2", "backing_format": "qcow2"}
        if guest.built
        else _disk(guest, "ide")
    )
    disks = [{**flash, "target": "hda"}]
    for number, path in enumerate(guest.options["extra_disks"] or ()):
        disks.append(
            {
                "target": "hd" + "bd"[number],
                "bus": "ide",
                "backing_path": path,
                "backing_format": FORMATS[path[path.rindex(".") :]],
            }
        )
    if aboot:
        disks.append({"target": "hdc", "bus": "ide", "device": "cdrom", "path": aboot, "format": "raw"})
    return {"disks": disks, "boot": ["cdrom", "hd"] if aboot else ["hd"]}


def _chr(guest: Guest) -> Item:
    """One disk."""
    if guest.built:
        folder = f"{guest.folder}/stand-in"
        return {
            "disks": [
                {"bus": "ide", "target": "hda", "backing_path": f"{folder}/flash.qcow2", "backing_format": "qcow2"},
                {"target": "hdc", "bus": "ide", "device": "cdrom", "path": f"{folder}/boot.iso", "format": "raw"},
            ],
            "boot": ["cdrom", "hd"],
        }
    return {"disks": [{**_disk(guest, "ide"), "target": "hda"}], "boot": ["hd"]}


_MACHINES: dict[str, t.Callable[[Guest], Item]] = {"linux": _linux, "veos": _veos, "chr": _chr}


def _ports(guest: Guest) -> list[Port]:
    return [_port(nic) for nic in guest.nics]


def _port(nic: Nic) -> Port:
    return Port(
        [addresses.with_prefix(*pair) for pair in nic.addresses],
        nic.mtu,
        nic.segment.vlan if nic.segment else None,
        _vlans(nic),
        nic.native.vlan if nic.native else None,
        nic.routes,
    )


def _flash(guest: Guest) -> Item | None:
    """What is written to a device's flash partition, the second one, before its first boot."""
    role, name = guest.options["role"], guest.endpoint.name
    if role == "linux":
        return None
    if role == "chr":
        files = {"/rw/autorun.scr": autorun(name, _ports(guest), guest.options)}
    else:
        carried = [
            *(segment for nic in guest.nics for segment in nic.trunks),
            *(n.segment for n in guest.nics[1:] if n.segment and not n.addresses),
        ]
        vlans = {segment.vlan: segment.name for segment in carried if segment.vlan}
        files = {
            "/startup-config": startup_config(name, _ports(guest), guest.options, vlans),
            "/zerotouch-config": "DISABLE=True\n",
        }
    return {
        "image": f"{IMAGES}/{name}-hda.qcow2",
        "partition": 2,
        "files": [{"path": path, "content": content} for path, content in files.items()],
        "secrets": [guest.options["password_hash"]] if guest.options["password_hash"] else [],
    }


def _wait(guest: Guest, spaces: t.Sequence[Endpoint]) -> Item:
    """What must answer before a guest is called ready. spaces: namespaces on the guest's host and segment, from which it can be asked.

    The KVM host itself has no address on a segment; without a namespace there, the guest's console tells.
    """
    role = guest.options["role"]
    common = {"name": guest.endpoint.name, "timeout": guest.options["ready_timeout"]}
    if role == "linux":
        return {**common, "kind": "agent"}
    device = _device(guest, spaces)
    if device is None:
        text = f"API on port {_APIS[role].port}" if guest.built else {"veos": "login:", "chr": "Login:"}[role]
        return {**common, "kind": "console", "text": text}
    asked: Item = {"namespace": device["namespace"], "times": 2}
    if role == "chr":
        # Which answers with 401 when it wants a password.
        return {**common, **asked, "kind": "http", "url": f"{device['url']}/rest/system/resource", "status": [200, 401]}
    asked["host"] = str(guest.nics[0].addresses[0][0])
    return (
        {**common, **asked, "kind": "tcp", "port": _APIS[role].port}
        if guest.built
        else {**common, **asked, "kind": "ssh"}
    )

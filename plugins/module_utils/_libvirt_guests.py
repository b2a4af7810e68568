# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains on a host: read them all once, compare, and the calls that change them, side by side where guests do not wait for each other.

This file is private to the collection.
"""

from __future__ import annotations

import copy
import os
import shlex
import time
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils import _image
from ansible_collections.overloom.fabric.plugins.module_utils._iso import iso_image
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt import (
    Call,
    Group,
    asked,
    connect_or_foresee,
    items_of,
    libvirt,
    order_steps,
    port_command,
    read_order,
    read_ports,
    read_user_space,
    said,
    virsh,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt_domain import (
    HOTPLUG_BUSES,
    LIVE_OPTIONS,
    MODULE,
    SPEC,
    Domain,
    differences,
    patch,
    restrict,
    seed_path,
    settle,
    shown,
    skeleton,
    view,
    view_disk,
    view_nic,
    want,
    write_disk,
    write_nic,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt_xml import (
    Mark,
    attribute,
    check_owner,
    contains,
    drop,
    parse_vlan,
    port_columns,
    read_mark,
    shown_size,
    to_xml,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    MASK,
    Change,
    FabricError,
    Remove,
    Runner,
    Step,
    module_runner,
    reconcile,
)

DETACH_SECONDS = 30.0
# How to remove a domain; beside a list of domains they say it for those that are purged.
PURGE_OPTIONS = ("remove_storage", "shutdown_timeout", "force")
# Changes of a NIC that a running guest takes without losing the NIC.
LIVE_NIC = {"link", "portgroup", "vlan", "trunks", "native_vlan"}


class Here(t.NamedTuple):
    """A domain on the host. live is the document of the running guest, or None."""

    inactive: ET.Element
    live: ET.Element | None
    state: str
    autostart: bool


class Found(t.NamedTuple):
    """What one read of the host brings.

    volumes: (pool, volume) to its image, None when the pool is missing. networks: name to its document. user_space: the Open vSwitch
    bridges whose datapath is there, when somebody asks.
    """

    domains: dict[str, Here]
    networks: dict[str, ET.Element]
    images: dict[str, _image.Image]
    volumes: dict[tuple[str, str], _image.Image | None]
    seeds: dict[str, bytes]
    ports: dict[str, dict[str, t.Any]]
    memory: int
    vcpus: int
    accelerator: str
    order: dict[str, bool]
    user_space: frozenset[str] = frozenset()


# ---- reading


def read(connection: t.Any, runner: Runner, uri: str, wanted: t.Sequence[Domain], accelerator: t.Callable[[], str]) -> Found:
    """Read the host once. accelerator is asked only when a domain is to be made without a declared one."""
    names = {domain.name for domain in wanted}
    domains = read_domains(connection, names)
    networks = {}
    used = {nic["network"] for domain in wanted for nic in domain.options.get("nics", ()) if "network" in nic}
    for handle in asked("the networks cannot be listed", connection.listAllNetworks) if used else ():
        if handle.name() in used:
            networks[handle.name()] = ET.fromstring(asked(f"network {handle.name()}", handle.XMLDesc))
    disks = [disk for domain in wanted if domain.state != "absent" for disk in domain.options.get("disks", ())]
    paths = {disk["path"] for disk in disks if disk.get("path")}
    paths |= {backing for domain in wanted for _size, backing, _format in domain.sizes.values() if backing}
    paths |= {domain.options[key] for domain in wanted for key in ("kernel", "initrd") if domain.options.get(key)}
    volumes = {(disk["pool"], disk["volume"]): None for disk in disks if disk.get("pool")}
    seeds = {}
    for domain in wanted:
        if "seed" in domain.options:
            try:
                with open(seed_path(domain.name), "rb") as stream:
                    seeds[domain.name] = stream.read()
            except OSError:
                pass
    ovs = any(
        here.live is not None and here.live.find("devices/interface/virtualport[@type='openvswitch']") is not None
        for name, here in domains.items()
        if name in names
    )
    creates = any(domain.name not in domains and domain.options.get("accelerator", "auto") == "auto" and domain.state != "absent" for domain in wanted)
    asks = any(nic.get("offload") == "auto" for domain in wanted for nic in domain.options.get("nics", ()))
    info = asked("the host's memory cannot be read", connection.getInfo)
    return Found(
        domains,
        networks,
        {path: _image.look(path) for path in sorted(paths)},
        {key: _read_volume(connection, *key) for key in volumes},
        seeds,
        read_ports(runner) if ovs else {},
        info[1] * 2**20,
        info[2],
        accelerator() if creates else "",
        read_order(uri),
        read_user_space(runner) if asks else frozenset(),
    )


def read_domains(connection: t.Any, declared: t.Container[str] | None = None) -> dict[str, Here]:
    """All domains of the host; of those that are not declared only what is needed to keep clear of them."""
    domains = {}
    for handle in asked("the domains cannot be listed", connection.listAllDomains):
        try:
            name = handle.name()
            domains[name] = _read_domain(handle, declared is None or name in declared)
        except libvirt.libvirtError as error:
            # Removed by somebody else since the list was made.
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise FabricError(f"a domain cannot be read: {said(error)}") from error
    return domains


def _read_domain(handle: t.Any, declared: bool) -> Here:
    names = {libvirt.VIR_DOMAIN_PAUSED: "paused", libvirt.VIR_DOMAIN_SHUTOFF: "shutoff", libvirt.VIR_DOMAIN_CRASHED: "shutoff"}
    state = names.get(handle.state()[0], "running")
    # Without the flag SECURE a password would be lost when the document is written back.
    inactive = ET.fromstring(handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
    live = ET.fromstring(handle.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)) if declared and state != "shutoff" else None
    return Here(inactive, live, state, bool(handle.autostart()) if declared and handle.isPersistent() else False)


def _read_volume(connection: t.Any, pool: str, volume: str) -> _image.Image | None:
    try:
        handle = connection.storagePoolLookupByName(pool)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise FabricError(f"pool {pool} cannot be read: {said(error)}") from error
        return None
    try:
        found = ET.fromstring(handle.storageVolLookupByName(volume).XMLDesc())
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise FabricError(f"pool {pool}: volume {volume} cannot be read: {said(error)}") from error
        return _image.Image()
    kind = found.find("target/format")
    return _image.Image(
        True, "raw" if kind is None else kind.get("type", "raw"), int(found.findtext("capacity", "0")), found.findtext("backingStore/path", "")
    )


def try_kvm(connection: t.Any, runner: Runner, device: str = "/dev/kvm") -> str:
    """ "kvm" when a virtual CPU really starts with it, else "tcg": the device may be there and still refuse to run a guest."""
    if not os.path.exists(device):
        return "tcg"
    try:
        capabilities = ET.fromstring(connection.getDomainCapabilities(None, None, None, "kvm"))
    except libvirt.libvirtError:
        return "tcg"
    emulator = capabilities.findtext("path", "")
    argv = ("timeout", "10", emulator, "-nodefaults", "-display", "none", "-machine", "accel=kvm", "-cpu", "host", "-m", "16", "-S", "-monitor", "stdio")
    try:
        runner(Step(argv, "quit\n"))
    except FabricError:
        return "tcg"
    return "kvm"


# ---- the calls


class Actions:
    """Makes the calls of one connection; each is shown as its virsh command. Tests make one without a connection."""

    def __init__(self, connection: t.Any, uri: str) -> None:
        self.connection, self.uri = connection, uri

    def _domain(self, name: str) -> t.Any:
        return self.connection.lookupByName(name)

    def define(self, name: str, root: ET.Element, secrets: t.Sequence[str]) -> Call:
        """Define, or define anew, from a document that libvirt checks against its schema."""
        text = to_xml(root, secret=True)
        return Call(
            f"domain {name} is refused",
            virsh(self.uri, "define", "--validate", "/dev/stdin"),
            lambda: self.connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE),
            to_xml(root),
            secrets,
        )

    def device(self, verb: str, name: str, what: str, device: ET.Element) -> Call:
        """attach, update or detach a device of the running guest."""
        text = to_xml(device, secret=True)

        def act() -> None:
            domain = self._domain(name)
            flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
            {"attach": domain.attachDeviceFlags, "update": domain.updateDeviceFlags, "detach": domain.detachDeviceFlags}[verb](text, flags)
            if verb == "detach":
                self._wait_detached(domain, name, what, device)

        return Call(f"domain {name}: {what} ({verb})", virsh(self.uri, f"{verb}-device", name, "/dev/stdin", "--live"), act, to_xml(device))

    @staticmethod
    def _wait_detached(domain: t.Any, name: str, what: str, device: ET.Element) -> None:
        """A guest lets go of a device in its own time; libvirt's call returns before that."""
        nic = device.tag == "interface"
        key = view_nic(device)["mac"] if nic else view_disk(device)["target"]
        end = time.monotonic() + DETACH_SECONDS
        while time.monotonic() < end:
            devices = ET.fromstring(domain.XMLDesc()).findall(f"devices/{device.tag}")
            if key not in [view_nic(found)["mac"] if nic else view_disk(found)["target"] for found in devices]:
                return
            time.sleep(0.1)
        raise FabricError(f"domain {name}: the guest has not released {what} in {DETACH_SECONDS:.0f} s: set restart, or look at the guest")

    def autostart(self, name: str, wanted: bool) -> Call:
        """Start the domain with the host, or not."""
        argv = virsh(self.uri, "autostart", name, *([] if wanted else ["--disable"]))
        return Call(f"domain {name}: autostart", argv, lambda: self._domain(name).setAutostart(int(wanted)))

    def stop(self, name: str, paused: bool, seconds: int, force: bool) -> Call:
        """Shut down gracefully within so many seconds, then by force if allowed."""

        def act() -> None:
            domain = self._domain(name)
            if paused and seconds:
                domain.resume()
            end = time.monotonic() + seconds
            again = 0.0
            while time.monotonic() < end and domain.isActive():
                # A guest that is still booting does not hear the first call.
                if time.monotonic() >= again:
                    again = time.monotonic() + 5
                    try:
                        domain.shutdown()
                    except libvirt.libvirtError as error:
                        if domain.isActive() and not force:
                            raise FabricError(f"domain {name} cannot be shut down: {said(error)}: set force") from error
                time.sleep(0.1)
            if not domain.isActive():
                return
            if not force:
                raise FabricError(f"domain {name} has not shut down in {seconds} s: raise shutdown_timeout, or set force")
            domain.destroy()

        if not seconds:
            return Call(f"domain {name}: destroy", virsh(self.uri, "destroy", name), act)
        note = f"within {seconds} s" + (", else virsh destroy" if force else "")
        return Call(f"domain {name}: shutdown", virsh(self.uri, "shutdown", name), act, note=note)

    def start(self, name: str, paused: bool) -> Call:
        """Start the guest."""
        flags = libvirt.VIR_DOMAIN_START_PAUSED if paused and libvirt else 0
        argv = virsh(self.uri, "start", name, *(["--paused"] if paused else []))
        return Call(f"domain {name} does not start", argv, lambda: self._domain(name).createWithFlags(flags))

    def switch(self, verb: str, name: str) -> Call:
        """suspend or resume."""

        def act() -> None:
            getattr(self._domain(name), verb)()

        return Call(f"domain {name}: {verb}", virsh(self.uri, verb, name), act)

    def undefine(self, name: str) -> Call:
        """Forget the domain with all that libvirt keeps for it; its disks stay."""

        def act() -> None:
            flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            try:
                domain = self._domain(name)
            except libvirt.libvirtError as error:
                # A transient domain is gone once it is stopped.
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return
                raise
            domain.undefineFlags(flags)

        argv = virsh(self.uri, "undefine", name, "--managed-save", "--snapshots-metadata", "--checkpoints-metadata", "--nvram")
        return Call(f"domain {name}: undefine", argv, act)

    def create_volume(self, disk: t.Mapping[str, t.Any], capacity: int, backing: str, backing_format: str) -> Call:
        """Make a volume in a pool."""
        pool, volume = disk["pool"], disk["volume"]
        root = ET.Element("volume")
        ET.SubElement(root, "name").text = volume
        ET.SubElement(root, "capacity", {"unit": "bytes"}).text = str(capacity)
        ET.SubElement(ET.SubElement(root, "target"), "format", {"type": disk["format"]})
        if backing:
            store = ET.SubElement(root, "backingStore")
            ET.SubElement(store, "path").text = backing
            ET.SubElement(store, "format", {"type": backing_format})
        text = to_xml(root)
        return Call(
            f"pool {pool}: volume {volume} cannot be made",
            virsh(self.uri, "vol-create", pool, "/dev/stdin"),
            lambda: self.connection.storagePoolLookupByName(pool).createXML(text),
            text,
        )

    def grow_volume(self, pool: str, volume: str, capacity: int) -> Call:
        """Grow a volume that no guest has open."""
        argv = virsh(self.uri, "vol-resize", volume, str(capacity), "--pool", pool)
        return Call(
            f"pool {pool}: volume {volume} cannot be grown",
            argv,
            lambda: self.connection.storagePoolLookupByName(pool).storageVolLookupByName(volume).resize(capacity),
        )

    def grow_live(self, name: str, target: str, capacity: int) -> Call:
        """Grow a disk of the running guest."""
        argv = virsh(self.uri, "blockresize", name, target, f"{capacity}B")
        return Call(
            f"domain {name}: disk {target} cannot be grown",
            argv,
            lambda: self._domain(name).blockResize(target, capacity, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES),
        )

    def remove_volume(self, pool: str, volume: str) -> Call:
        """Remove a volume from its pool."""

        def act() -> None:
            try:
                self.connection.storagePoolLookupByName(pool).storageVolLookupByName(volume).delete()
            except libvirt.libvirtError as error:
                if error.get_error_code() not in (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL):
                    raise

        return Call(f"pool {pool}: volume {volume} cannot be removed", virsh(self.uri, "vol-delete", volume, "--pool", pool), act)


# ---- planning


class Plan:
    """The steps for all domains, in phases, and what the caller is told."""

    def __init__(self) -> None:
        # Definitions come first: what libvirt refuses then has changed nothing else.
        self.define: list[t.Any] = []
        self.storage: list[t.Any] = []
        self.live: list[t.Any] = []
        self.stop, self.start = Group(), Group()
        self.stops: list[t.Any] = []
        self.remove: list[t.Any] = []
        self.starts: list[t.Any] = []
        self.before: dict[str, t.Any] = {}
        self.after: dict[str, t.Any] = {}
        self.warnings: list[str] = []
        self.restart: dict[str, list[str]] = {}

    def change(self) -> Change:
        """All of it; equal entries are left out of the diff."""
        names = [name for name in self.after if self.before[name] != self.after[name]]
        steps = [*self.define, *self.storage, *self.live, *self.stops, *self.remove, *self.starts]
        return Change(steps, {n: self.before[n] for n in names}, {n: self.after[n] for n in names}, tuple(self.warnings))


def plan(found: Found, wanted: t.Sequence[Domain], owner: str, adopt: bool, purge: dict[str, t.Any] | None, actions: Actions, check: bool) -> Plan:
    """Compare. purge: the policy for domains that are not declared any more, or None. check: whether this is check mode. Raises FabricError."""
    result = Plan()

    def in_user_space(nic: t.Mapping[str, t.Any]) -> bool:
        if "network" not in nic:
            return nic["bridge"] in found.user_space
        network = found.networks.get(nic["network"])
        return network is not None and attribute(network, "bridge", "name") in found.user_space

    wanted = [settle(domain, found.domains[domain.name].inactive if domain.name in found.domains else None, in_user_space) for domain in wanted]
    _check_unique(found, wanted, owner)
    for domain in wanted:
        here = found.domains.get(domain.name)
        if domain.state == "absent":
            if here is not None:
                check_owner(read_mark(here.inactive), owner, adopt, f"domain {domain.name}", removing=True)
                _remove(result, domain.name, here, domain.policy, actions)
        else:
            _check_host(result, found, domain, here, check)
            _one(result, found, domain, here, owner, adopt, actions)
    if any(nic.get("bridge") and nic["ovs"] for domain in wanted if domain.state != "absent" for nic in domain.options.get("nics", ())):
        steps = order_steps(found.order, True)
        if steps:
            result.storage += steps
            result.before["boot"], result.after["boot"] = {"waits_for_open_vswitch": False}, {"waits_for_open_vswitch": True}
    if purge is not None:
        declared = {domain.name for domain in wanted}
        for name, here in sorted(found.domains.items()):
            mark = read_mark(here.inactive)
            if name not in declared and mark.owner == owner and mark.module == MODULE:
                _remove(result, name, here, purge, actions)
    return result


def _check_unique(found: Found, wanted: t.Sequence[Domain], owner: str) -> None:
    """No two domains of the host with one MAC address or UUID."""
    macs: dict[str, str] = {}
    uuids: dict[str, str] = {}
    declared = {domain.name: domain for domain in wanted}
    for name, here in found.domains.items():
        if name in declared and declared[name].state == "absent":
            continue
        uuids[here.inactive.findtext("uuid", "")] = name
        if "nics" not in (declared[name].options if name in declared else {}):
            macs.update({view_nic(nic)["mac"]: name for nic in here.inactive.findall("devices/interface")})
    for domain in wanted:
        if domain.state == "absent":
            continue
        for nic in domain.options.get("nics", ()):
            other = macs.setdefault(nic["mac"], domain.name)
            if other != domain.name:
                raise FabricError(f"domain {domain.name}: mac {nic['mac']} is domain {other}'s already: give each NIC a MAC address of its own")
        if domain.options.get("uuid"):
            other = uuids.setdefault(domain.options["uuid"], domain.name)
            if other != domain.name:
                raise FabricError(f"domain {domain.name}: uuid {domain.options['uuid']} is domain {other}'s already: give each domain a UUID of its own")


def _check_host(result: Plan, found: Found, domain: Domain, here: Here | None, check: bool) -> None:
    """What the host must have for this domain. In check mode an earlier task may still bring what is missing."""
    what = f"domain {domain.name}"
    options = domain.options

    def missing(text: str) -> None:
        if not check:
            raise FabricError(text)
        result.warnings.append(text)

    if options.get("memory", 0) > found.memory:
        raise FabricError(f"{what}: memory {shown_size(options['memory'])} is more than the host's {shown_size(found.memory)}: lower it")
    if here is None:
        if "memory" not in options:
            raise FabricError(f"{what} does not exist and memory is missing: say how much it shall have, such as 512MiB")
    elif options.get("uuid") and here.inactive.findtext("uuid") != options["uuid"]:
        raise FabricError(f"{what} exists with uuid {here.inactive.findtext('uuid')}, which cannot change: leave uuid out, or remove the domain first")
    for nic in options.get("nics", ()):
        network = nic.get("network")
        if network and network not in found.networks:
            missing(f"{what}: network {network} does not exist: make it with libvirt_network")
        elif nic.get("portgroup"):
            groups = [group.get("name") for group in found.networks[network].findall("portgroup")]
            if nic["portgroup"] not in groups:
                missing(
                    f"{what}: network {network} has no portgroup {nic['portgroup']}, only {', '.join(sorted(groups)) or 'none'}: correct portgroup, or add it"
                )
        elif nic.get("bridge") and not os.path.isdir(f"/sys/class/net/{nic['bridge']}") and domain.state in ("running", "paused"):
            missing(f"{what}: bridge {nic['bridge']} does not exist: make it first")
    for key in ("kernel", "initrd"):
        if options.get(key) and not found.images[options[key]].exists:
            missing(f"{what}: {key} {options[key]} does not exist: put it there first")
    for disk in options.get("disks", ()):
        _check_disk(f"{what}: disk {disk['target']}", found, domain, disk, missing)


def _image_of(found: Found, disk: t.Mapping[str, t.Any]) -> _image.Image | None:
    return found.volumes[(disk["pool"], disk["volume"])] if disk.get("pool") else found.images.get(disk.get("path", ""), _image.Image())


def _check_disk(what: str, found: Found, domain: Domain, disk: t.Mapping[str, t.Any], missing: t.Callable[[str], None]) -> None:
    if not disk.get("path") and not disk.get("pool"):
        return
    place = f"{disk['pool']}/{disk['volume']}" if disk.get("pool") else disk["path"]
    image = _image_of(found, disk)
    capacity, backing, backing_format = domain.sizes.get(disk["target"], (0, "", ""))
    if image is None:
        missing(f"{what}: pool {disk['pool']} does not exist: make it with libvirt_pool")
        return
    if backing:
        base = found.images[backing]
        if not base.exists:
            missing(f"{what}: backing_path {backing} does not exist: put the image there first")
        elif base.format != backing_format:
            raise FabricError(f"{what}: backing_path {backing} is {base.format}, not {backing_format}: correct backing_format")
        elif capacity and base.size > capacity:
            raise FabricError(f"{what}: size {shown_size(capacity)} is less than its backing file's {shown_size(base.size)}: raise it")
    if not image.exists:
        if not capacity and not backing:
            missing(f"{what}: {place} does not exist: put the image there, or give a size to have an empty one made")
        return
    if "format" in disk and image.format != disk["format"] and disk["format"] != "raw":
        raise FabricError(f"{what}: {place} is {image.format}, not {disk['format']}: correct format")
    if disk.get("format") == "raw" and image.format == "qcow2":
        raise FabricError(f"{what}: {place} is qcow2, not raw: correct format")
    if capacity and image.size > capacity:
        raise FabricError(f"{what}: {place} has {shown_size(image.size)} and size says {shown_size(capacity)}: a disk is never shrunk, raise size")
    if backing and image.backing and image.backing != backing:
        raise FabricError(f"{what}: {place} lies on {image.backing}, not on {backing}: remove the file, or correct backing_path")


def _one(result: Plan, found: Found, domain: Domain, here: Here | None, owner: str, adopt: bool, actions: Actions) -> None:
    name, options = domain.name, domain.options
    old = Mark() if here is None else read_mark(here.inactive)
    check_owner(old, owner, adopt, f"domain {name}")
    storage = list(old.storage)
    for step, place in _storage(found, domain, here, actions):
        result.storage.append(step)
        if place and place not in storage:
            storage.append(place)
    if domain.files is not None:
        content = iso_image(domain.files)
        path = seed_path(name)
        if found.seeds.get(name) != content:
            result.storage.append(
                _image.WriteBytes(path, content, shlex.join(["genisoimage", "-quiet", "-o", path, "-V", "cidata", "-J", *sorted(domain.files)]))
            )
        if path not in storage:
            storage.append(path)
    elif options.get("seed") == {} and seed_path(name) in storage:
        storage.remove(seed_path(name))
        if name in found.seeds:
            result.remove.append(Remove(seed_path(name)))
    marked = here is None or adopt or old.owner == owner
    items = tuple(options["metadata"].items()) if "metadata" in options else old.items
    mark = Mark(owner if marked else old.owner, MODULE if marked else old.module, tuple(storage), items)

    root = skeleton(domain, owner, _accelerator(domain, found)) if here is None else copy.deepcopy(here.inactive)
    seen = view(root)
    before = {} if here is None else {"owner": old.owner, **shown(restrict(options, seen))}
    after = {"owner": mark.owner, **shown({key: value for key, value in options.items() if key in seen})}
    if before.get("graphics") and before["graphics"] == after["graphics"] and "graphics" in differences(options, seen):
        # Nothing but a secret differs.
        before["graphics"] = [{**item, "password": f"another {MASK}"} if item.get("password") else item for item in before["graphics"]]
    changed = here is None or bool(differences(options, seen)) or mark != old or _lacks(root, domain)
    if changed:
        patch(root, domain, mark)
        if domain.raw is not None and _lacks(here.inactive if here is not None else ET.Element("domain"), domain):
            after["xml"] = to_xml(domain.raw)
            before["xml"] = None
        result.define.append(actions.define(name, root, domain.secrets))
    if storage != list(old.storage):
        before["storage"], after["storage"] = list(old.storage), storage
    autostart = options.get("autostart", domain.state == "running" if here is None else None)
    if autostart is not None and autostart != (here is not None and here.autostart):
        result.live.append(actions.autostart(name, autostart))
        before["autostart"], after["autostart"] = here is not None and here.autostart, autostart
    for target, note in _growth(found, domain):
        before.setdefault("sizes", {})[target], after.setdefault("sizes", {})[target] = note
    if domain.files is not None and found.seeds.get(name) != iso_image(domain.files):
        before["cloud_init"], after["cloud_init"] = ("absent" if name not in found.seeds else "other content"), "as declared"

    state = "absent" if here is None else here.state
    restart = _pending(domain, here) if here is not None and here.live is not None else []
    if restart and domain.raw is not None and "xml" in restart and not changed:
        restart.remove("xml")
    goal = {"present": state if state != "absent" else "shutoff"}.get(domain.state, domain.state)
    if here is not None and here.live is not None and goal != "shutoff":
        if restart and domain.policy["restart"]:
            result.stops.append(result.stop.add(actions.stop(name, here.state == "paused", domain.policy["shutdown_timeout"], domain.policy["force"])))
            result.starts.append(result.start.add(actions.start(name, goal == "paused")))
            before["running_with_old"], after["running_with_old"] = restart, []
            state = goal
        else:
            if restart:
                result.restart[name] = restart
            notes = _live(result, found, domain, here, actions)
            if notes:
                before["running"] = {place: pair[0] for place, pair in notes.items()}
                after["running"] = {place: pair[1] for place, pair in notes.items()}
    if state != goal:
        _switch(result, domain, state, goal, actions)
    before["state"], after["state"] = "absent" if here is None else here.state, goal
    result.before[name], result.after[name] = before if here is not None else {"state": "absent"}, after


def _accelerator(domain: Domain, found: Found) -> str:
    declared = domain.options.get("accelerator", "auto")
    return found.accelerator if declared == "auto" else declared


def _lacks(root: ET.Element, domain: Domain) -> bool:
    return domain.raw is not None and not contains(root, domain.raw)


def _storage(found: Found, domain: Domain, here: Here | None, actions: Actions) -> t.Iterator[tuple[t.Any, str]]:
    """The steps that make or grow disks, and for those that are made, what the mark remembers."""
    for disk in domain.options.get("disks", ()):
        capacity, backing, backing_format = domain.sizes.get(disk["target"], (0, "", ""))
        image = _image_of(found, disk)
        if not capacity and not backing:
            continue
        if image is None or not image.exists:
            if disk.get("pool"):
                base = found.images.get(backing)
                yield actions.create_volume(disk, capacity or (base.size if base else 0), backing, backing_format), f"{disk['pool']}/{disk['volume']}"
            else:
                yield _image.create(disk["path"], disk["format"], capacity, backing, backing_format), disk["path"]
        elif capacity > image.size > 0:
            if here is not None and here.live is not None:
                yield actions.grow_live(domain.name, disk["target"], capacity), ""
            elif disk.get("pool"):
                yield actions.grow_volume(disk["pool"], disk["volume"], capacity), ""
            else:
                yield _image.grow(disk["path"], image.format, capacity), ""


def _growth(found: Found, domain: Domain) -> t.Iterator[tuple[str, tuple[str, str]]]:
    for disk in domain.options.get("disks", ()):
        capacity = domain.sizes.get(disk["target"], (0, "", ""))[0]
        image = _image_of(found, disk)
        size = image.size if image is not None and image.exists else 0
        if capacity and size != capacity:
            yield disk["target"], (shown_size(size) if size else "absent", shown_size(capacity))


def _pending(domain: Domain, here: Here) -> list[str]:
    """The declared options that the running guest does not have and cannot take without a restart."""
    seen = view(here.live)
    pending = []
    for key in differences(domain.options, seen):
        if key == "cpu_mode" and domain.options[key] == "host-model":
            continue  # libvirt writes the model that it found into the running guest's document.
        if key not in LIVE_OPTIONS:
            pending.append(key)
    live = {nic["mac"]: nic for nic in seen["nics"]}
    for nic in domain.options.get("nics", ()):
        found = live.get(nic["mac"])
        if found and any(found[key] != value for key, value in nic.items() if key not in LIVE_NIC):
            pending.append(f"nics {nic['mac']}")
    disks = {disk["target"]: disk for disk in [*seen["disks"], seen["seed"]] if disk}
    for disk in domain.options.get("disks", ()):
        found = disks.get(disk["target"])
        if found is None and disk["bus"] not in HOTPLUG_BUSES:
            pending.append(f"disks {disk['target']}")
        elif found is not None and any(
            found[key] != value for key, value in disk.items() if not (_media(disk) and key in ("path", "pool", "volume", "format"))
        ):
            pending.append(f"disks {disk['target']}")
    if "disks" in domain.options:
        declared = {disk["target"] for disk in domain.options["disks"]}
        pending += [f"disks {disk['target']}" for disk in seen["disks"] if disk["target"] not in declared and disk["bus"] not in HOTPLUG_BUSES]
    if _lacks(here.inactive, domain):
        pending.append("xml")
    return pending


def _media(disk: t.Mapping[str, t.Any]) -> bool:
    return disk["device"] in ("cdrom", "floppy")


def _live(result: Plan, found: Found, domain: Domain, here: Here, actions: Actions) -> dict[str, tuple[t.Any, t.Any]]:
    """Bring the running guest's NICs and disks to what is declared; returns what differed, for the diff."""
    notes: dict[str, tuple[t.Any, t.Any]] = {}
    name = domain.name
    if "nics" in domain.options:
        elements = {view_nic(nic)["mac"]: nic for nic in here.live.findall("devices/interface")}
        declared = {nic["mac"] for nic in domain.options["nics"]}
        for mac, nic in elements.items():
            if mac not in declared:
                result.live.append(actions.device("detach", name, f"NIC {mac}", nic))
                notes[f"nic {mac}"] = ("attached", "detached")
        for item in domain.options["nics"]:
            nic = elements.get(item["mac"])
            if nic is None:
                made = ET.Element("interface")
                ET.SubElement(made, "mac", {"address": item["mac"]})
                write_nic(made, item)
                result.live.append(actions.device("attach", name, f"NIC {item['mac']}", made))
                notes[f"nic {item['mac']}"] = ("detached", "attached")
            else:
                _live_nic(result, found, domain, item, nic, actions, notes)
    if "disks" in domain.options:
        elements = {view_disk(disk)["target"]: disk for disk in here.live.findall("devices/disk")}
        declared = {disk["target"] for disk in domain.options["disks"]}
        seed = seed_path(name)
        for target, disk in elements.items():
            seen = view_disk(disk)
            if target not in declared and seen["path"] != seed and seen["bus"] in HOTPLUG_BUSES:
                result.live.append(actions.device("detach", name, f"disk {target}", disk))
                notes[f"disk {target}"] = ("attached", "detached")
        for item in domain.options["disks"]:
            disk = elements.get(item["target"])
            if disk is None and item["bus"] in HOTPLUG_BUSES:
                made = ET.Element("disk")
                write_disk(made, item)
                result.live.append(actions.device("attach", name, f"disk {item['target']}", made))
                notes[f"disk {item['target']}"] = ("detached", "attached")
            elif disk is not None and _media(item) and any(view_disk(disk)[key] != item[key] for key in ("path", "pool", "volume", "format") if key in item):
                made = copy.deepcopy(disk)
                drop(made, "source", "backingStore")
                write_disk(made, item)
                result.live.append(actions.device("update", name, f"disk {item['target']}", made))
                notes[f"disk {item['target']}"] = (view_disk(disk)["path"], item.get("path") or f"{item.get('pool')}/{item.get('volume')}")
    return notes


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


def _live_nic(
    result: Plan, found: Found, domain: Domain, item: t.Mapping[str, t.Any], nic: ET.Element, actions: Actions, notes: dict[str, tuple[t.Any, t.Any]]
) -> None:
    seen = view_nic(nic)
    if any(seen[key] != value for key, value in item.items() if key not in LIVE_NIC):
        return  # It needs a restart; half of the change would plug the NIC in where nobody wants it.
    wanted = expected_vlan(item, found.networks, seen["ovs"])
    now = parse_vlan(nic)
    other = {key for key in ("link", "portgroup") if key in item and seen[key] != item[key]}
    port = found.ports.get(seen["dev"]) if seen["ovs"] else None
    if other or wanted is not None and wanted != now:
        made = live_interface(nic)
        write_nic(made, item)
        result.live.append(actions.device("update", domain.name, f"NIC {item['mac']}", made))
        before, after = {key: seen[key] for key in other}, {key: item[key] for key in other}
        if wanted is not None and wanted != now:
            before.update(now)
            after.update(wanted)
        notes[f"nic {item['mac']}"] = (before, after)
    # libvirt 9 empties a port's VLANs when it shall become a trunk; and somebody may have changed the port by hand.
    if port is not None and wanted is not None and (port != port_columns(wanted) or wanted != now):
        result.live.append(Step(port_command(seen["dev"], port_columns(wanted))))
        if port != port_columns(wanted):
            notes[f"port {seen['dev']}"] = (dict(port), port_columns(wanted))


def expected_vlan(item: t.Mapping[str, t.Any], networks: t.Mapping[str, ET.Element], ovs: bool) -> dict[str, t.Any] | None:
    """The VLANs that a NIC's port must have: its own, or its portgroup's, or its network's. None when nothing says."""
    if "vlan" in item:
        return {key: item[key] for key in ("vlan", "trunks", "native_vlan")}
    network = networks.get(item.get("network", ""))
    if network is None or not ovs:
        return None
    groups = network.findall("portgroup")
    group = next((g for g in groups if g.get("name") == item.get("portgroup")), None) if item.get("portgroup") else None
    if group is None and not item.get("portgroup"):
        group = next((g for g in groups if g.get("default") == "yes"), None)
    return parse_vlan(group if group is not None and group.find("vlan") is not None else network)


def _switch(result: Plan, domain: Domain, state: str, goal: str, actions: Actions) -> None:
    name, policy = domain.name, domain.policy
    if goal == "shutoff":
        if state in ("running", "paused"):
            result.stops.append(result.stop.add(actions.stop(name, state == "paused", policy["shutdown_timeout"], policy["force"])))
    elif state in ("shutoff", "absent"):
        result.starts.append(result.start.add(actions.start(name, goal == "paused")))
    else:
        result.starts.append(result.start.add(actions.switch("suspend" if goal == "paused" else "resume", name)))


def _remove(result: Plan, name: str, here: Here, policy: t.Mapping[str, t.Any], actions: Actions) -> None:
    if here.state != "shutoff":
        result.stops.append(result.stop.add(actions.stop(name, here.state == "paused", policy["shutdown_timeout"], policy["force"])))
    result.remove.append(actions.undefine(name))
    storage = read_mark(here.inactive).storage
    gone = [place for place in storage if policy["remove_storage"] or place == seed_path(name)]
    for place in gone:
        pool, slash, volume = place.partition("/")
        result.remove.append(actions.remove_volume(pool, volume) if pool and slash else Remove(place))
    result.before[name] = {"state": here.state, **({"storage": gone} if gone else {})}
    result.after[name] = {"state": "absent"}


# ---- the result


def state_of(domains: t.Mapping[str, Here], names: t.Iterable[str], restart: t.Mapping[str, list[str]]) -> dict[str, t.Any]:
    """The typed state of these domains, without secrets."""
    result = {}
    for name in names:
        here = domains.get(name)
        if here is None:
            continue
        mark = read_mark(here.inactive)
        typed = shown(view(here.inactive))
        typed.update(state=here.state, autostart=here.autostart, owner=mark.owner, storage=list(mark.storage), restart_required=restart.get(name, []))
        result[name] = typed
    return result


def run(module: t.Any) -> t.NoReturn:
    """The whole of libvirt_domain."""
    params, runner = module.params, module_runner(module)
    try:
        wanted = [want(item, params["owner"]) for item in items_of(params, SPEC, "domains", "domain", PURGE_OPTIONS)]
        connection = connect_or_foresee(module, wanted, domains={}, restart_required={})
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=runner.spawned)
    actions = Actions(connection, params["uri"])
    purge = {key: params[key] for key in PURGE_OPTIONS} if params["purge"] else None
    latest: dict[str, Plan] = {}

    def compare(found: Found) -> Change:
        latest["plan"] = plan(found, wanted, params["owner"], params["adopt"], purge, actions, module.check_mode)
        return latest["plan"].change()

    def judge(found: Found) -> list[str]:
        """What libvirt did not keep, or what did not last: a second comparison must find nothing."""
        change = compare(found)
        return [f"domain {name} is not as declared after the change: {_still(change, name)}" for name in change.after] if change.steps else []

    def state(found: Found) -> dict[str, t.Any]:
        restart = latest["plan"].restart
        return {"domains": state_of(found.domains, [domain.name for domain in wanted], restart), "restart_required": restart}

    reconcile(module, lambda: read(connection, runner, params["uri"], wanted, lambda: try_kvm(connection, runner)), compare, runner, state, judge)


def _still(change: Change, name: str) -> str:
    before, after = change.before[name], change.after[name]
    return "; ".join(f"{key} is {before.get(key)!r}, not {after[key]!r}" for key in after if before.get(key) != after[key])

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains on a host: read them all once, compare, and the calls that change them, side by side where guests do not wait for each other.

This file is private to the collection.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils import _accelerator
from ansible_collections.overloom.fabric.plugins.module_utils._guest import image as _image
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.chain import read_chains
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import (
    Call,
    asked,
    begin,
    items_of,
    libvirt,
    read_order,
    read_ports,
    read_user_space,
    said,
    virsh,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.devices import view_disk, view_nic
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain import shown, view
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_declaration import (
    SPEC,
    Domain,
    seed_path,
    want,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.guest_plan import Found, Here, Plan, plan
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.patch import AFTER_METADATA
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    Mark,
    libvirt_document,
    read_mark,
    to_xml,
    write_mark,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Runner,
    reconcile,
)

DETACH_SECONDS = 30.0
# How to remove a domain; beside a list of domains they say it for those that are purged.
PURGE_OPTIONS = ("remove_storage", "shutdown_timeout", "force")
# Where QEMU's own words of a guest are kept; libvirt adds why it ended.
LOG = "/var/log/libvirt/qemu/{}.log"
PID = "/run/libvirt/qemu/{}.pid"
DEFINITION = "/etc/libvirt/qemu/{}.xml"
EMULATORS = ("qemu-system-x86_64", "/usr/libexec/qemu-kvm", "qemu-kvm")


# ---- reading


def read(
    connection: t.Any,
    runner: Runner,
    uri: str,
    wanted: t.Sequence[Domain],
    accelerator: t.Callable[[], str],
    removes: bool = False,
) -> Found:
    """Read the host once. accelerator is asked only when a domain is to be made without a declared one. removes: storage may go."""
    names = {domain.name for domain in wanted}
    domains = read_domains(connection, names)
    disks = [disk for domain in wanted if domain.state != "absent" for disk in domain.options.get("disks", ())]
    volumes = _read_volumes(connection, disks)
    chains = read_chains(_documents(here for name, here in domains.items() if removes or name in names))
    running = [here.live for name, here in domains.items() if name in names and here.live is not None]
    info = asked("the host's memory cannot be read", connection.getInfo)
    return Found(
        domains=domains,
        networks=_used_networks(connection, wanted),
        # A disk may turn out to be the image that lies upon the declared one.
        images={path: _look(path, path in chains) for path in sorted({*_paths(wanted, disks), *chains})},
        volumes={key: image for key, (image, _path) in volumes.items()},
        seeds=_read_seeds(wanted),
        ports=read_ports(runner) if any(map(_is_in_switch, running)) else {},
        memory=info[1] * 2**20,
        vcpus=info[2],
        accelerator=accelerator() if _leaves_accelerator(wanted, domains) else "",
        order=read_order(uri),
        user_space=read_user_space(runner) if _leaves_offload(wanted) else frozenset(),
        chains=chains,
        places={key: path for key, (_image, path) in volumes.items()},
        stale=_younger(names, seed_path),
        gone=frozenset(name for name in names - set(domains) if left_host(name)),
        mtus=_read_mtus(running),
        edited=_younger(names, DEFINITION.format),
    )


def _paths(wanted: t.Sequence[Domain], disks: t.Iterable[t.Mapping[str, t.Any]]) -> set[str]:
    """The files that declarations name: images, what lies beneath them, and what is booted."""
    paths = {disk["path"] for disk in disks if disk.get("path")}
    for domain in wanted:
        paths |= {backing for _size, backing, _format in domain.sizes.values() if backing}
        paths |= {domain.options[key] for key in ("kernel", "initrd") if domain.options.get(key)}
    return paths


def _documents(domains: t.Iterable[Here]) -> list[ET.Element]:
    return [root for here in domains for root in (here.inactive, here.live) if root is not None]


def _is_in_switch(root: ET.Element) -> bool:
    return root.find("devices/interface/virtualport[@type='openvswitch']") is not None


def _leaves_accelerator(wanted: t.Iterable[Domain], domains: t.Container[str]) -> bool:
    """Whether a domain is to be made that leaves its accelerator to the host."""
    new = [domain for domain in wanted if domain.name not in domains and domain.state != "absent"]
    return any(domain.options.get("accelerator", "auto") == "auto" for domain in new)


def _read_volumes(
    connection: t.Any, disks: t.Iterable[t.Mapping[str, t.Any]]
) -> dict[tuple[str, str], tuple[_image.Image | None, str]]:
    """The volumes that disks name, each with its path."""
    pooled = {(disk["pool"], disk["volume"]) for disk in disks if disk.get("pool")}
    return {key: _read_volume(connection, *key) for key in pooled}


def _leaves_offload(wanted: t.Iterable[Domain]) -> bool:
    """Whether a NIC leaves to its bridge's datapath who makes checksums."""
    return any(nic.get("offload") == "auto" for domain in wanted for nic in domain.options.get("nics", ()))


def _look(path: str, found: bool) -> _image.Image:
    """What a path holds. found: it is one of a domain's own, which may be out of reach."""
    try:
        return _image.look(path)
    except FabricError:
        if not found:
            raise
        return _image.Image(True)


def _used_networks(connection: t.Any, wanted: t.Sequence[Domain]) -> dict[str, ET.Element]:
    used = {nic["network"] for domain in wanted for nic in domain.options.get("nics", ()) if "network" in nic}
    networks = {}
    for handle in asked("the networks cannot be listed", connection.listAllNetworks) if used else ():
        if handle.name() in used:
            networks[handle.name()] = ET.fromstring(asked(f"network {handle.name()}", handle.XMLDesc))
    return networks


def _read_seeds(wanted: t.Sequence[Domain]) -> dict[str, bytes]:
    seeds = {}
    for domain in wanted:
        if "seed" in domain.options:
            try:
                with open(seed_path(domain.name), "rb") as stream:
                    seeds[domain.name] = stream.read()
            except OSError:
                pass
    return seeds


def _younger(names: t.Iterable[str], path: t.Callable[[str], str]) -> frozenset[str]:
    """The guests whose seed or definition is younger than their process, which therefore still has the old one. path: that of a guest's file."""
    return frozenset(name for name in names if _written(path(name)) > _written(PID.format(name)) > 0)


def _written(path: str) -> int:
    """When a file was written, in nanoseconds; 0 if it is not there, which then is not younger than anything, nor anything than it."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _read_mtus(running: t.Iterable[ET.Element]) -> dict[str, int]:
    mtus = {}
    for root in running:
        for target in root.findall("devices/interface/target"):
            try:
                with open(f"/sys/class/net/{target.get('dev')}/mtu", encoding="ascii") as stream:
                    mtus[target.get("dev", "")] = int(stream.read())
            except (OSError, ValueError):
                pass
    return mtus


def left_host(name: str, log: str = LOG) -> bool:
    """Whether a guest was last seen here when it was migrated away, as its log tells, which outlives libvirt and the host's boot."""
    try:
        with open(log.format(name), "rb") as stream:
            stream.seek(max(os.fstat(stream.fileno()).st_size - 65536, 0))
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return False
    events = re.findall(r"^\S+ \S+: (starting up libvirt|shutting down, reason=\w+)", text, re.M)
    return bool(events) and events[-1].endswith("reason=migrated")


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


def _definition(handle: t.Any) -> ET.Element:
    """What a domain starts with. Without the flag SECURE a password would be lost when the document is written back."""
    return libvirt_document(handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))


def _read_domain(handle: t.Any, declared: bool) -> Here:
    names = {
        libvirt.VIR_DOMAIN_PAUSED: "paused",
        libvirt.VIR_DOMAIN_SHUTOFF: "shutoff",
        libvirt.VIR_DOMAIN_CRASHED: "shutoff",
    }
    state = names.get(handle.state()[0], "running")
    inactive = _definition(handle)
    live = ET.fromstring(handle.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)) if declared and state != "shutoff" else None
    came = [libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_MIGRATED]
    left = [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED]
    migrated = list(handle.state()) in (came, left) or declared and state == "shutoff" and left_host(handle.name())
    # One that was adopted may be given back.
    asks = (declared or read_mark(inactive).adopted) and handle.isPersistent()
    return Here(inactive, live, state, bool(handle.autostart()) if asks else False, migrated)


def _read_volume(connection: t.Any, pool: str, volume: str) -> tuple[_image.Image | None, str]:
    """What a volume holds, None when its pool is missing, and its path."""
    try:
        handle = connection.storagePoolLookupByName(pool)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise FabricError(f"pool {pool} cannot be read: {said(error)}") from error
        return None, ""
    try:
        found = ET.fromstring(handle.storageVolLookupByName(volume).XMLDesc())
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise FabricError(f"pool {pool}: volume {volume} cannot be read: {said(error)}") from error
        return _image.Image(), ""
    kind = found.find("target/format")
    image = _image.Image(
        True,
        "raw" if kind is None else kind.get("type", "raw"),
        int(found.findtext("capacity", "0")),
        found.findtext("backingStore/path", ""),
    )
    return image, found.findtext("target/path", "")


def try_kvm(
    connection: t.Any, runner: Runner, device: str = _accelerator.DEVICE, cache: str = _accelerator.CACHE
) -> str:
    """ "kvm" when libvirt offers it and it really executes a guest, else "tcg". What executes is tried once a boot."""
    if not os.path.exists(device):
        return "tcg"
    emulator = next(filter(None, map(shutil.which, EMULATORS)), "")
    # The boot sector is for a PC; elsewhere libvirt is believed.
    if (
        platform.machine() == "x86_64"
        and _accelerator.choose(emulator, lambda argv: runner.run(argv)[0], device, cache) != "kvm"
    ):
        return "tcg"
    try:
        connection.getDomainCapabilities(None, None, None, "kvm")
    except libvirt.libvirtError:
        return "tcg"
    return "kvm"


# ---- the calls


class Actions:
    """Makes the calls of one connection; each is shown as its virsh command. Tests make one without a connection."""

    def __init__(self, connection: t.Any, uri: str) -> None:
        self.connection, self.uri = connection, uri

    def _domain(self, name: str) -> t.Any:
        return self.connection.lookupByName(name)

    def define(
        self,
        name: str,
        root: ET.Element,
        secrets: t.Sequence[str],
        remember: t.Callable[[ET.Element], Mark] | None = None,
    ) -> Call:
        """Define, or define anew, from a document that libvirt checks against its schema.

        remember: the mark of an adopted domain, from what libvirt made of the document, since it adds to it by itself.
        """
        text = to_xml(root, secret=True)

        def act() -> None:
            domain = self.connection.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
            if remember is None:
                return
            made = _definition(domain)
            mark = remember(made)
            if mark != read_mark(made):
                write_mark(made, mark, AFTER_METADATA)
                self.connection.defineXMLFlags(to_xml(made, secret=True), 0)

        argv = virsh(self.uri, "define", "--validate", "/dev/stdin")
        return Call(f"domain {name} is refused", argv, act, to_xml(root), secrets)

    def device(self, verb: str, name: str, what: str, device: ET.Element) -> Call:
        """attach, update or detach a device of the running guest."""
        text = to_xml(device, secret=True)

        def act() -> None:
            domain = self._domain(name)
            flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
            {
                "attach": domain.attachDeviceFlags,
                "update": domain.updateDeviceFlags,
                "detach": domain.detachDeviceFlags,
            }[verb](text, flags)
            if verb == "detach":
                self._wait_detached(domain, name, what, device)

        return Call(
            f"domain {name}: {what} ({verb})",
            virsh(self.uri, f"{verb}-device", name, "/dev/stdin", "--live"),
            act,
            to_xml(device),
        )

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
        raise FabricError(
            f"domain {name}: the guest has not released {what} in {DETACH_SECONDS:.0f} s: set restart, or look at the guest"
        )

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
                raise FabricError(
                    f"domain {name} has not shut down in {seconds} s: raise shutdown_timeout, or set force"
                )
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

        argv = virsh(
            self.uri, "undefine", name, "--managed-save", "--snapshots-metadata", "--checkpoints-metadata", "--nvram"
        )
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

        return Call(
            f"pool {pool}: volume {volume} cannot be removed",
            virsh(self.uri, "vol-delete", volume, "--pool", pool),
            act,
        )


# ---- the result


def state_of(
    domains: t.Mapping[str, Here], names: t.Iterable[str], restart: t.Mapping[str, list[str]]
) -> dict[str, t.Any]:
    """The typed state of these domains, without secrets."""
    result = {}
    for name in names:
        here = domains.get(name)
        if here is None:
            continue
        mark = read_mark(here.inactive)
        typed = shown(view(here.inactive))
        typed.update(
            state=here.state,
            autostart=here.autostart,
            owner=mark.owner,
            adopted=mark.adopted,
            storage=list(mark.storage),
            restart_required=restart.get(name, []),
        )
        result[name] = typed
    return result


def run(module: t.Any) -> None:
    """The whole of libvirt_domain."""
    params = module.params

    def wants() -> list[Domain]:
        return [want(item, params["owner"]) for item in items_of(params, SPEC, "domains", "domain", PURGE_OPTIONS)]

    wanted, connection, runner = begin(module, wants, domains={}, restart_required={}, restart_reasons=[])
    actions = Actions(connection, params["uri"])
    purge = {key: params[key] for key in PURGE_OPTIONS} if params["purge"] else None
    latest: dict[str, Plan] = {}

    def compare(found: Found) -> Change:
        # What has been given back is nobody's any more when the change is judged.
        released = latest["plan"].released if latest else set()
        asked_for = [domain for domain in wanted if domain.name not in released]
        latest["plan"] = plan(found, asked_for, params["owner"], params["adopt"], purge, actions, module.check_mode)
        return latest["plan"].change()

    def judge(found: Found) -> list[str]:
        """What libvirt did not keep, or what did not last: a second comparison must find nothing."""
        change = compare(found)
        return (
            [f"domain {name} is not as declared after the change: {change.still(name)}" for name in change.after]
            if change.steps
            else []
        )

    def state(found: Found) -> dict[str, t.Any]:
        restart = latest["plan"].restart
        domains = state_of(found.domains, [domain.name for domain in wanted], restart)
        return {"domains": domains, "restart_required": restart, "restart_reasons": latest["plan"].reasons}

    removes = params["purge"] or any(domain.state == "absent" for domain in wanted)

    def find() -> Found:
        return read(connection, runner, params["uri"], wanted, lambda: try_kvm(connection, runner), removes)

    reconcile(module, find, compare, runner, state, judge)

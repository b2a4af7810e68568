# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of declared domains on a host: the steps, in their order, what is told of them, and what is refused. Pure but for bridges.

This file is private to the collection.
"""

from __future__ import annotations

import copy
import os
import shlex
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._guest import image as _image
from ansible_collections.overloom.fabric.plugins.module_utils._guest.iso import iso_image
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt import former
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.chain import Chain, bind, upon
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import Group, order_steps
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.devices import nics_of, view_disk, view_nic
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain import (
    differences,
    machine_family,
    restrict,
    settle,
    shown,
    skeleton,
    view_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_declaration import (
    MODULE,
    Domain,
    seed_path,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.live import Live, Pending, lacks, pending_of
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.patch import (
    AFTER_METADATA,
    besides,
    buses_fit,
    leave_buses,
    name_of,
    patch,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.planned import Planned
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    Mark,
    attribute,
    check_change,
    check_owner,
    make,
    read_mark,
    replaces,
    shown_size,
    to_xml,
    write_mark,
)
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, may_remove, returned
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import MASK, Change, FabricError, Remove

if t.TYPE_CHECKING:
    # That module imports this one.
    from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_plan import Actions


class Here(t.NamedTuple):
    """A domain on the host. live is the document of the running guest, or None.

    migrated: a guest that runs came from another host; one that does not run left for another.
    """

    inactive: ET.Element
    live: ET.Element | None
    state: str
    autostart: bool
    migrated: bool = False


class Found(t.NamedTuple):
    """What one read of the host brings.

    volumes: (pool, volume) to its image, None when the pool is missing. networks: name to its document. user_space: the Open vSwitch
    bridges whose datapath is there, when somebody asks. chains: the images beneath each disk's. places: (pool, volume) to its path.
    stale: guests that began with another seed. edited: those that began with another definition. gone: names of guests that left this
    host and are not defined here any more.
    mtus: the MTU of the host's end of each running guest's NIC.
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
    chains: t.Mapping[str, Chain] = {}
    places: t.Mapping[tuple[str, str], str] = {}
    stale: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    mtus: t.Mapping[str, int] = {}
    edited: frozenset[str] = frozenset()


class Plan:
    """The steps for all domains, in phases, and what the caller is told.

    pending: for each running guest what waits for its restart.
    """

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
        self.pending: dict[str, list[Pending]] = {}
        self.released: set[str] = set()

    @property
    def restart(self) -> dict[str, list[str]]:
        """The options that wait for a restart of their guest."""
        return {name: [each.option for each in pending] for name, pending in self.pending.items()}

    @property
    def reasons(self) -> list[dict[str, str]]:
        """The same with the reasons, one by one."""
        return [{"name": name, **each._asdict()} for name, pending in self.pending.items() for each in pending]

    def change(self) -> Change:
        """All of it; equal entries are left out of the diff."""
        names = [name for name in self.after if self.before[name] != self.after[name]]
        steps = [*self.define, *self.storage, *self.live, *self.stops, *self.remove, *self.starts]
        return Change(
            steps, {n: self.before[n] for n in names}, {n: self.after[n] for n in names}, tuple(self.warnings)
        )


def plan(
    found: Found,
    wanted: t.Sequence[Domain],
    owner: str,
    adopt: bool,
    purge: dict[str, t.Any] | None,
    actions: t.Any,
    check: bool,
) -> Plan:
    """Compare. purge: the policy for domains that are not declared any more, or None. check: whether this is check mode. Raises FabricError."""
    result = Plan()
    wanted = [_settled(result, found, domain) for domain in wanted]
    _check_unique(found, wanted)
    for domain in wanted:
        here = found.domains.get(domain.name)
        if domain.state != "absent":
            _check_host(result, found, domain, here, check)
            PlannedDomain(result, found, domain, here, actions).plan(owner, adopt)
        elif here is not None:
            mark = read_mark(here.inactive)
            may_remove(f"domain {domain.name}", mark.owner or None, Caller(owner, adopt))
            if mark.adopted and not adopt:
                result.warnings.append(returned(f"domain {domain.name}"))
                _give_back(result, domain.name, here, actions)
            else:
                _check_moved(domain.name, here)
                _remove(result, found, domain.name, here, domain.policy, actions)
    if any(
        nic.get("bridge") and nic["ovs"]
        for domain in wanted
        if domain.state != "absent"
        for nic in domain.options.get("nics", ())
    ):
        steps = order_steps(found.order, True)
        if steps:
            result.storage += steps
            result.before["boot"], result.after["boot"] = (
                {"waits_for_open_vswitch": False},
                {"waits_for_open_vswitch": True},
            )
    if purge is not None:
        _purge(result, found, {domain.name for domain in wanted}, owner, purge, actions)
    return result


def _settled(result: Plan, found: Found, domain: Domain) -> Domain:
    """A wanted domain with its NICs and disks bound to those that are there."""
    here = found.domains.get(domain.name)

    def in_user_space(nic: t.Mapping[str, t.Any]) -> bool:
        if "network" not in nic:
            return nic["bridge"] in found.user_space
        network = found.networks.get(nic["network"])
        return network is not None and attribute(network, "bridge", "name") in found.user_space

    def place(disk: t.Mapping[str, t.Any]) -> str:
        return found.places.get((disk["pool"], disk["volume"]), "") if disk.get("pool") else disk.get("path", "")

    domain = settle(domain, here.inactive if here is not None else None, in_user_space)
    if here is None or domain.state == "absent":
        return domain
    domain, told = bind(domain, here.inactive, read_mark(here.inactive), found.chains, place)
    result.warnings += told
    return domain


def _purge(
    result: Plan, found: Found, declared: set[str], owner: str, policy: dict[str, t.Any], actions: t.Any
) -> None:
    for name, here in sorted(found.domains.items()):
        mark = read_mark(here.inactive)
        if name in declared or mark.owner != owner or mark.module != MODULE:
            continue
        if mark.adopted:
            _give_back(result, name, here, actions)
        else:
            _check_moved(name, here)
            _remove(result, found, name, here, policy, actions)


def _check_unique(found: Found, wanted: t.Sequence[Domain]) -> None:
    """No two domains of the host with one MAC address or UUID."""
    macs: dict[str, str] = {}
    uuids: dict[str, str] = {}
    declared = {domain.name: domain for domain in wanted}
    for name, here in found.domains.items():
        if name in declared and declared[name].state == "absent":
            continue
        uuids[here.inactive.findtext("uuid", "")] = name
        wants = name in declared and "nics" in declared[name].options
        found_macs = {view_nic(nic)["mac"] for nic in here.inactive.findall("devices/interface")}
        macs.update(dict.fromkeys(found_macs & declared[name].left if wants else found_macs, name))
    for domain in wanted:
        if domain.state == "absent":
            continue
        for nic in domain.options.get("nics", ()):
            other = macs.setdefault(nic["mac"], domain.name)
            if other != domain.name:
                raise FabricError(
                    f"domain {domain.name}: mac {nic['mac']} is domain {other}'s already: give each NIC a MAC address of its own"
                )
        if domain.options.get("uuid"):
            other = uuids.setdefault(domain.options["uuid"], domain.name)
            if other != domain.name:
                raise FabricError(
                    f"domain {domain.name}: uuid {domain.options['uuid']} is domain {other}'s already: give each domain a UUID of its own"
                )


def _check_host(result: Plan, found: Found, domain: Domain, here: Here | None, check: bool) -> None:
    """What the host must have for this domain. In check mode an earlier task may still bring what is missing."""
    what = f"domain {domain.name}"
    options = domain.options

    def missing(text: str) -> None:
        if not check:
            raise FabricError(text)
        result.warnings.append(text)

    _check_identity(domain, here, found.memory)
    for nic in options.get("nics", ()):
        _check_nic(nic, found, domain, missing)
    for key in ("kernel", "initrd"):
        if options.get(key) and not found.images[options[key]].exists:
            missing(f"{what}: {key} {options[key]} does not exist: put it there first")
    for disk in options.get("disks", ()):
        _check_disk(f"{what}: disk {disk['target']}", found, domain, domain.declared.get(disk["target"], disk), missing)


def _check_identity(domain: Domain, here: Here | None, memory: int) -> None:
    """Memory and UUID: what no earlier task can still bring. memory: the host's."""
    what, options = f"domain {domain.name}", domain.options
    if options.get("memory", 0) > memory:
        raise FabricError(
            f"{what}: memory {shown_size(options['memory'])} is more than the host's {shown_size(memory)}: lower it"
        )
    if here is None:
        if "memory" not in options:
            raise FabricError(
                f"{what} does not exist and memory is missing: say how much it shall have, such as 512MiB"
            )
    elif options.get("uuid") and here.inactive.findtext("uuid") != options["uuid"]:
        raise FabricError(
            f"{what} exists with uuid {here.inactive.findtext('uuid')}, which cannot change: leave uuid out, or remove the domain first"
        )


def _check_nic(nic: t.Mapping[str, t.Any], found: Found, domain: Domain, missing: t.Callable[[str], None]) -> None:
    """What a NIC is plugged into has to be there."""
    what, network, bridge = f"domain {domain.name}", nic.get("network", ""), nic.get("bridge")
    if network and network not in found.networks:
        missing(f"{what}: network {network} does not exist: make it with libvirt_network")
    elif nic.get("portgroup"):
        groups = [group.get("name", "") for group in found.networks[network].findall("portgroup")]
        if nic["portgroup"] not in groups:
            missing(
                f"{what}: network {network} has no portgroup {nic['portgroup']}, only {', '.join(sorted(groups)) or 'none'}: correct portgroup, or add it"
            )
    elif bridge and domain.state in ("running", "paused") and not os.path.isdir(f"/sys/class/net/{bridge}"):
        missing(f"{what}: bridge {bridge} does not exist: make it first")


def _image_of(found: Found, disk: t.Mapping[str, t.Any]) -> _image.Image | None:
    return (
        found.volumes[(disk["pool"], disk["volume"])]
        if disk.get("pool")
        else found.images.get(disk.get("path", ""), _image.Image())
    )


def _check_disk(
    what: str, found: Found, domain: Domain, disk: t.Mapping[str, t.Any], missing: t.Callable[[str], None]
) -> None:
    if not disk.get("path") and not disk.get("pool"):
        return
    image = _image_of(found, disk)
    if image is None:
        missing(f"{what}: pool {disk['pool']} does not exist: make it with libvirt_pool")
        return
    place = f"{disk['pool']}/{disk['volume']}" if disk.get("pool") else disk["path"]
    capacity, backing, backing_format = domain.sizes.get(disk["target"], (0, "", ""))
    if backing:
        _check_backing(what, found.images[backing], backing, backing_format, capacity, missing)
    if image.exists:
        _check_format(what, place, disk, image)
        _check_image(what, place, image, capacity, backing)
    elif disk["target"] not in domain.declared and not capacity and not backing:
        # One that the guest has left for a snapshot upon it need not be there.
        missing(f"{what}: {place} does not exist: put the image there, or give a size to have an empty one made")


def _check_backing(
    what: str, base: _image.Image, path: str, kind: str, capacity: int, missing: t.Callable[[str], None]
) -> None:
    """The image that a disk of this size shall lie upon."""
    if not base.exists:
        missing(f"{what}: backing_path {path} does not exist: put the image there first")
    elif base.format != kind:
        raise FabricError(f"{what}: backing_path {path} is {base.format}, not {kind}: correct backing_format")
    elif capacity and base.size > capacity:
        raise FabricError(
            f"{what}: size {shown_size(capacity)} is less than its backing file's {shown_size(base.size)}: raise it"
        )


def _check_format(what: str, place: str, disk: t.Mapping[str, t.Any], image: _image.Image) -> None:
    """Any image can be taken as raw, but a qcow2 one is not meant then."""
    declared = disk.get("format", image.format)
    if declared != image.format and (declared != "raw" or image.format == "qcow2"):
        raise FabricError(f"{what}: {place} is {image.format}, not {declared}: correct format")


def _check_image(what: str, place: str, image: _image.Image, capacity: int, backing: str) -> None:
    """What cannot be changed of an image that is there."""
    if capacity and image.size > capacity:
        raise FabricError(
            f"{what}: {place} has {shown_size(image.size)} and size says {shown_size(capacity)}: a disk is never shrunk, raise size"
        )
    if backing and image.backing and image.backing != backing:
        raise FabricError(
            f"{what}: {place} lies on {image.backing}, not on {backing}: remove the file, or correct backing_path"
        )


class PlannedDomain(Planned[Here]):
    """The plan for one declared domain."""

    def __init__(self, result: Plan, found: Found, domain: Domain, here: Here | None, actions: t.Any) -> None:
        super().__init__(f"domain {domain.name}", here)
        self.result, self.found, self.domain, self.actions = result, found, domain, actions
        self.name, self.options = domain.name, domain.options

    def plan(self, owner: str, adopt: bool) -> None:
        """All of it. Raises FabricError."""
        check_owner(self.old, owner, adopt, f"domain {self.name}")
        self._check_left()
        storage = self._storage()
        marked = self.here is None or adopt or self.old.owner == owner
        self._define(self._mark(owner, marked, storage), _accelerator(self.domain, self.found), owner)
        if storage != list(self.old.storage):
            self.note("storage", list(self.old.storage), storage)
        self._autostart()
        state = self._running()
        goal = self._goal()
        if state != goal:
            _switch(self.result, self.domain, state, goal, self.actions)
        self.note("state", "absent" if self.here is None else self.here.state, goal)
        if not marked:
            self._check_foreign()
        self.result.before[self.name] = self.before if self.here is not None else {"state": "absent"}
        self.result.after[self.name] = self.after

    def _check_left(self) -> None:
        """A guest that was migrated away runs elsewhere: a second one here would have its disks, addresses and identity."""
        away = (
            self.here.migrated and self.here.state == "shutoff"
            if self.here is not None
            else self.name in self.found.gone
        )
        if away and self._goal() in ("running", "paused"):
            raise FabricError(
                f"domain {self.name} was migrated from this host to another, where it may run; declare it there, migrate it back, "
                f"or, if it runs nowhere, start it here once with virsh start"
                + (
                    ""
                    if self.here is not None
                    else f" (it is not defined here any more: remove /var/log/libvirt/qemu/{self.name}.log then)"
                )
            )

    def _goal(self) -> str:
        state = "absent" if self.here is None else self.here.state
        return {"present": state if state != "absent" else "shutoff"}.get(self.domain.state, self.domain.state)

    def _storage(self) -> list[str]:
        """Plan disks and seed; the images that were made for the guest, then."""
        storage = list(self.old.storage)
        for step, place in _disk_steps(self.found, self.domain, self.here, self.actions):
            self.result.storage.append(step)
            if place and place not in storage:
                storage.append(place)
        path, seed = seed_path(self.name), self.found.seeds.get(self.name)
        if self.domain.files is not None:
            content = iso_image(self.domain.files)
            if seed != content:
                command = shlex.join(
                    ["genisoimage", "-quiet", "-o", path, "-V", "cidata", "-J", *sorted(self.domain.files)]
                )
                self.result.storage.append(_image.WriteBytes(path, content, command))
                self.note("cloud_init", "absent" if seed is None else "other content", "as declared")
            if path not in storage:
                storage.append(path)
        elif self.options.get("seed") == {} and path in storage:
            storage.remove(path)
            if seed is not None:
                self.result.remove.append(Remove(path))
        for target, note in _growth(self.found, self.domain):
            self.before.setdefault("sizes", {})[target], self.after.setdefault("sizes", {})[target] = note
        return storage

    def _mark(self, owner: str, marked: bool, storage: list[str]) -> Mark:
        old = self.old
        items = tuple(self.options["metadata"].items()) if "metadata" in self.options else old.items
        if not marked:
            return old._replace(storage=tuple(storage), items=items)
        nics = tuple(nic["mac"] for nic in self.options["nics"]) if "nics" in self.options else old.nics
        adopted = old.adopted or self.here is not None and not old.owner
        if not adopted:
            return Mark(owner, MODULE, tuple(storage), items, nics)
        cells = former.unpacked(old.former)
        if self.options.get("autostart") is not None:
            cells = former.switched(cells, former.AUTOSTART, self.there.autostart, self.options["autostart"])
        return Mark(owner, MODULE, tuple(storage), items, nics, adopted, self._nics_before(nics), former.packed(cells))

    def _nics_before(self, nics: tuple[str, ...] | None) -> tuple[str, ...]:
        """Of a domain that was adopted, the NICs as they were before they were declared, so that they can be given back."""
        known = {view_nic(ET.fromstring(text))["mac"] for text in self.old.before} | set(self.old.nics or ())
        elements = {view_nic(nic)["mac"]: nic for nic in nics_of(self.there.inactive)}
        taken = [mac for mac in nics or () if mac in elements and mac not in known]
        return (*self.old.before, *(to_xml(elements[mac]) for mac in taken))

    def _define(self, mark: Mark, accelerator: str, owner: str) -> None:
        here = self.here
        root = skeleton(self.domain, owner, accelerator) if here is None else copy.deepcopy(here.inactive)
        differing = self._tell(mark, view_of(root, self.domain))
        if here is not None and not differing and mark == self.old and not lacks(root, self.domain):
            return
        if self.domain.raw is not None and lacks(root, self.domain):
            self.note("xml", None, to_xml(self.domain.raw))
        if here is not None and (mark.nics, mark.adopted) != (self.old.nics, self.old.adopted):
            self.note("noted_nics", list(self.old.nics or ()), list(mark.nics or ()))
            self.note("adopted", self.old.adopted, mark.adopted)
        patch(root, self.domain, mark)
        if here is not None:
            self._note_besides(root)
        if not mark.adopted:
            self.result.define.append(self.actions.define(self.name, root, self.domain.secrets))
            return

        def remember(made: ET.Element) -> Mark:
            nics = {f"interface[{mac}]" for mac in mark.nics or ()}
            cells = former.recorded(former.unpacked(mark.former), self.there.inactive, made, name_of, nics)
            return mark._replace(former=former.packed(cells))

        write_mark(root, remember(root), AFTER_METADATA)
        self.result.define.append(self.actions.define(self.name, root, self.domain.secrets, remember))

    def _tell(self, mark: Mark, seen: dict[str, t.Any]) -> list[str]:
        """Show the declared options as they are and as they will be; those that differ. seen: what there is of all."""
        options, differing = self.options, differences(self.options, seen)
        if self.here is not None:
            self.before = {"owner": self.old.owner, **shown(restrict(options, seen)), **self.before}
        wanted = shown({key: value for key, value in options.items() if key in seen})
        self.after = {"owner": mark.owner, **wanted, **self.after}
        before = self.before.get("graphics")
        if before and before == self.after["graphics"] and "graphics" in differing:
            # Nothing but a secret differs.
            self.before["graphics"] = [
                {**item, "password": f"another {MASK}"} if item.get("password") else item for item in before
            ]
        return differing

    def _note_besides(self, root: ET.Element) -> None:
        """What the change draws after it, which no declared option shows."""
        gone, come = besides(self.there.inactive, root, self.domain)
        if gone or come:
            self.note("besides", gone, come)

    def _autostart(self) -> None:
        found = self.here is not None and self.here.autostart
        wanted = self.options.get("autostart", self.domain.state == "running" if self.here is None else None)
        if wanted is not None and wanted != found:
            self.result.live.append(self.actions.autostart(self.name, wanted))
            self.note("autostart", found, wanted)

    def _running(self) -> str:
        """Plan the running guest's restart, or its changes without one; its state then."""
        here, result = self.here, self.result
        if here is None or here.live is None or self._goal() == "shutoff":
            return "absent" if here is None else here.state
        stale = self.name in self.found.stale or "cloud_init" in self.after
        pending = pending_of(self.domain, here.live, here.inactive, self.name in self.found.edited, stale)
        if pending and self.domain.policy["restart"]:
            policy = self.domain.policy
            result.stops.append(
                result.stop.add(
                    self.actions.stop(self.name, here.state == "paused", policy["shutdown_timeout"], policy["force"])
                )
            )
            result.starts.append(result.start.add(self.actions.start(self.name, self._goal() == "paused")))
            self.note("running_with_old", [each.option for each in pending], [])
            return self._goal()
        if pending:
            result.pending[self.name] = pending
        live = Live(self.domain, here.live, self.actions, self.found.networks, self.found.ports, self.found.mtus).run()
        result.live += live.steps
        if live.notes:
            self.note(
                "running",
                {key: pair[0] for key, pair in live.notes.items()},
                {key: pair[1] for key, pair in live.notes.items()},
            )
        return here.state

    def _check_foreign(self) -> None:
        """Refuse to replace what others set on a domain that carries no mark. Additions replace nothing."""
        changed = [key for key in self.after if replaces(self.before.get(key), self.after[key])]
        changed += [path for path in self.before.get("besides", {}) if "besides" in self.after]
        uses = ["it runs"] if self.there.live is not None else []
        check_change(
            f"domain {self.name}", [key for key in changed if key not in ("besides", "storage", "owner")], uses
        )


def _accelerator(domain: Domain, found: Found) -> str:
    declared = domain.options.get("accelerator", "auto")
    return found.accelerator if declared == "auto" else declared


def _disk_steps(found: Found, domain: Domain, here: Here | None, actions: t.Any) -> t.Iterator[tuple[t.Any, str]]:
    """The steps that make or grow disks, and for those that are made, what the mark remembers."""
    for disk in domain.options.get("disks", ()):
        capacity, backing, backing_format = domain.sizes.get(disk["target"], (0, "", ""))
        image = _image_of(found, disk)
        if not capacity and not backing:
            continue
        if image is None or not image.exists:
            if disk["target"] in domain.declared:
                continue  # It is another's to make.
            yield _make_disk(found, disk, (capacity, backing, backing_format), actions)
        elif capacity > image.size > 0:
            yield _grow_disk(domain.name, disk, image, capacity, here, actions), ""


def _make_disk(
    found: Found, disk: t.Mapping[str, t.Any], size: tuple[int, str, str], actions: t.Any
) -> tuple[t.Any, str]:
    capacity, backing, backing_format = size
    if disk.get("pool"):
        base = found.images.get(backing)
        step = actions.create_volume(disk, capacity or (base.size if base else 0), backing, backing_format)
        return step, f"{disk['pool']}/{disk['volume']}"
    return _image.create(disk["path"], disk["format"], capacity, backing, backing_format), disk["path"]


def _grow_disk(
    name: str, disk: t.Mapping[str, t.Any], image: _image.Image, capacity: int, here: Here | None, actions: t.Any
) -> t.Any:
    if here is not None and here.live is not None:
        return actions.grow_live(name, disk["target"], capacity)
    if disk.get("pool"):
        return actions.grow_volume(disk["pool"], disk["volume"], capacity)
    return _image.grow(disk["path"], image.format, capacity)


def _growth(found: Found, domain: Domain) -> t.Iterator[tuple[str, tuple[str, str]]]:
    for disk in domain.options.get("disks", ()):
        capacity = domain.sizes.get(disk["target"], (0, "", ""))[0]
        image = _image_of(found, disk)
        size = image.size if image is not None and image.exists else 0
        if capacity and size != capacity:
            yield disk["target"], (shown_size(size) if size else "absent", shown_size(capacity))


def _switch(result: Plan, domain: Domain, state: str, goal: str, actions: Actions) -> None:
    name, policy = domain.name, domain.policy
    if goal == "shutoff":
        if state in ("running", "paused"):
            result.stops.append(
                result.stop.add(actions.stop(name, state == "paused", policy["shutdown_timeout"], policy["force"]))
            )
    elif state in ("shutoff", "absent"):
        result.starts.append(result.start.add(actions.start(name, goal == "paused")))
    else:
        result.starts.append(result.start.add(actions.switch("suspend" if goal == "paused" else "resume", name)))


def _check_moved(name: str, here: Here) -> None:
    if here.migrated and here.state == "running":
        raise FabricError(
            f"domain {name} was migrated to this host and runs, so it is not removed: declare it here, migrate it back, or shut it down first"
        )


def _remove(result: Plan, found: Found, name: str, here: Here, policy: t.Mapping[str, t.Any], actions: t.Any) -> None:
    if here.state != "shutoff":
        result.stops.append(
            result.stop.add(actions.stop(name, here.state == "paused", policy["shutdown_timeout"], policy["force"]))
        )
    result.remove.append(actions.undefine(name))
    mark = read_mark(here.inactive)
    gone = [place for place in mark.storage if policy["remove_storage"] or place == seed_path(name)]
    for place in list(gone):
        pool, _slash, volume = place.partition("/")
        path = found.places.get((pool, volume), place)
        top = upon(mark, found.chains, path)
        if top:
            gone.remove(place)
            result.warnings.append(
                f"domain {name}: {place} stays, as {top} lies upon it, which was not made here: remove both by hand when they are not needed"
            )
            continue
        pool, slash, volume = place.partition("/")
        result.remove.append(actions.remove_volume(pool, volume) if pool and slash else Remove(place))
    result.before[name] = {"state": here.state, **({"storage": gone} if gone else {})}
    result.after[name] = {"state": "absent"}


def _give_back(result: Plan, name: str, here: Here, actions: t.Any) -> None:
    """Take the mark from a domain that was there before: what we changed becomes what it was, the guest stays and runs on."""
    result.released.add(name)
    root = copy.deepcopy(here.inactive)
    mark = read_mark(root)
    nics = _nics_back(root, mark)
    ours, was = _settings_back(root, mark)
    result.warnings += [
        f"domain {name}: its {label} had a password, which is not remembered: it is not put back; add it with virsh edit"
        for label in former.withheld(root, former.unpacked(mark.former), name_of)
    ]
    write_mark(root, Mark(), AFTER_METADATA)
    result.define.append(actions.define(name, root, ()))
    if here.state != "shutoff" and (nics or ours):
        kept = " and ".join([*(["NICs"] if nics else []), *(["settings"] if ours else [])])
        result.warnings.append(
            f"domain {name} is given back and runs on with the {kept} that it has until its next start"
        )
    for cell in former.unpacked(mark.former):
        if cell.kind == former.AUTOSTART and cell.ours == here.autostart:
            result.live.append(actions.autostart(name, cell.was))
            ours[cell.label], was[cell.label] = cell.ours, cell.was
    seed = seed_path(name)
    if seed in mark.storage and seed not in [view_disk(disk)["path"] for disk in root.findall("devices/disk")]:
        result.remove.append(Remove(seed))
    result.before[name] = {"owner": mark.owner, **({"nics": dict.fromkeys(nics, "declared")} if nics else {})}
    result.after[name] = {"owner": "", **({"nics": nics} if nics else {})}
    if ours:
        result.before[name]["settings"], result.after[name]["settings"] = ours, was


def _nics_back(root: ET.Element, mark: Mark) -> dict[str, str]:
    """The declared NICs become those that the domain had. Returns what becomes of each, by its MAC address."""
    devices = make(root, "devices")
    was = {view_nic(nic)["mac"]: nic for nic in map(ET.fromstring, mark.before)}
    told: dict[str, str] = {}
    for nic in nics_of(root):
        mac = view_nic(nic)["mac"]
        if mac not in (mark.nics or ()):
            continue
        if mac not in was:
            devices.remove(nic)
            told[mac] = "removed"
        elif view_nic(was[mac]) != view_nic(nic):
            devices[list(devices).index(nic)] = was[mac]
            told[mac] = "as it was before"
    return told


def _settings_back(root: ET.Element, mark: Mark) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """All other settings become what they were, but for those that the domain's owner has changed since. For the diff, before and after."""
    machine = attribute(root, "os/type", "machine") or ""
    ours, was = former.give_back(root, former.unpacked(mark.former), name_of)
    restored = attribute(root, "os/type", "machine") or ""
    devices = make(root, "devices")
    if machine_family(restored) != machine_family(machine) and not buses_fit(devices, restored):
        leave_buses(devices, restored)
    return ours, was

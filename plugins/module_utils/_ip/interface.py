# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses, MTU and state of interfaces that exist already, a router's NICs and its loopback; and VLANs on NICs, which it makes.

This file is private to the collection. The kernel has them now, a systemd unit gives them again at boot, and notes whose they
are. Addresses that the unit does not note are another's, and are left.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils import _network_manager
from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Runner,
    Write,
    module_runner,
    reconcile,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    Unit,
    booted,
    device_unit,
    devices_told,
    ip_commands,
    oneshot,
    read_units,
    unit_name,
    unit_steps,
)

KIND = "interface"

INTERFACE: dict[str, t.Any] = {
    "name": {"type": "str"},
    "parent": {"type": "str"},
    "vlan": {"type": "int"},
    "addresses": {"type": "list", "elements": "str"},
    "mtu": {"type": "int"},
    "up": {"type": "bool"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


class Item(t.NamedTuple):
    """One declared interface. None leaves as it is; empty addresses clear those that were given before."""

    name: str
    addresses: tuple[str, ...] | None
    mtu: int | None
    up: bool | None
    present: bool
    parent: str = ""
    vlan: int | None = None


class Found(t.NamedTuple):
    """What is on the host: its interfaces, the units of the module, by file name, and what NetworkManager has of the interfaces.

    devices: can a unit wait for a NIC?
    """

    interfaces: dict[str, _ip.Interface]
    units: dict[str, Unit]
    devices: bool = False
    network_manager: _network_manager.Found = _network_manager.Found()


class Kept(t.NamedTuple):
    """What a unit gives its interface at boot.

    others: those of its addresses that were there before, and so are never taken away. was_mtu, was_up: what the interface was before
    either was declared, which it becomes again; None for what was not declared. parent_up: the same of the NIC of a VLAN.
    """

    owner: str
    addresses: tuple[str, ...] = ()
    mtu: int | None = None
    up: bool | None = None
    others: tuple[str, ...] = ()
    parent: str = ""
    vlan: int | None = None
    was_mtu: int | None = None
    was_up: bool | None = None
    parent_up: bool | None = None


def items(params: dict[str, t.Any]) -> list[Item]:
    """The declared interfaces. Raises FabricError with the first wrong input."""
    made = [_item(row) for row in _ip.listed(params, "interfaces", "interface")]
    _ip.check_once([item.name for item in made], "interface")
    return made


def _item(row: t.Mapping[str, t.Any]) -> Item:
    """One declared interface, checked."""
    if not row["name"]:
        raise FabricError("name is missing; give the interface, such as eth1")
    name = _ip.check_interface_name(row["name"], "name")
    what = f"interface {name}"
    addresses = None if row["addresses"] is None else _ip.check_addresses(row["addresses"], f"{what}: addresses")
    mtu = None if row["mtu"] is None else _ip.check_mtu(row["mtu"], addresses or (), f"{what}: mtu")
    if addresses and row["up"] is False:
        raise FabricError(f"{what}: up is false, but an interface with addresses is up; leave one of them out")
    parent, vlan = row["parent"] or "", row["vlan"]
    _check_vlan(name, parent, vlan)
    return Item(name, addresses, mtu, row["up"], row["state"] == "present", parent, vlan)


def _check_vlan(name: str, parent: str, vlan: int | None) -> None:
    """A VLAN has a number and a NIC, which is another interface."""
    what = f"interface {name}"
    if bool(parent) != (vlan is not None):
        raise FabricError(f"{what}: parent and vlan belong together; give both, or none")
    if parent and _ip.check_interface_name(parent, f"{what}: parent") == name:
        raise FabricError(f"{what}: parent is the interface itself; give the NIC that carries the VLAN")
    if vlan is not None and not 1 <= vlan <= 4094:
        raise FabricError(f"{what}: vlan {vlan} is out of range; a VLAN is 1 to 4094")


def kept(unit: Unit | None) -> Kept | None:
    """What a unit notes, or None if there is none of ours."""
    notes = unit.notes() if unit else {}
    if "Owner" not in notes:
        return None
    numbers = {key: int(notes[key]) if notes.get(key, "").isdigit() else None for key in ("Mtu", "Vlan", "WasMtu")}
    states = {key: {"yes": True, "no": False}.get(notes.get(key, "")) for key in ("Up", "WasUp", "ParentUp")}
    addresses, others = (tuple(notes.get(key, "").split()) for key in ("Addresses", "Others"))
    return Kept(
        notes["Owner"],
        addresses,
        numbers["Mtu"],
        states["Up"],
        others,
        notes.get("Parent", ""),
        numbers["Vlan"],
        numbers["WasMtu"],
        states["WasUp"],
        states["ParentUp"],
    )


def unit(name: str, wanted: Kept, devices: bool) -> Unit:
    """The unit that gives an interface at boot what is declared. devices: whether it can wait for its NIC, which may come late."""
    notes = {"Owner": wanted.owner, "Addresses": " ".join(wanted.addresses)}
    for key, number in (("Mtu", wanted.mtu), ("WasMtu", wanted.was_mtu)):
        notes.update({} if number is None else {key: str(number)})
    for key, state in (("Up", wanted.up), ("WasUp", wanted.was_up), ("ParentUp", wanted.parent_up)):
        notes.update({} if state is None else {key: "yes" if state else "no"})
    if wanted.others:
        notes["Others"] = " ".join(wanted.others)
    if wanted.vlan is not None:
        notes.update(Parent=wanted.parent, Vlan=str(wanted.vlan))
    lines = _create(name, wanted)
    lines += _ip.interface_batch(None, _ip.Wanted(name, mtu=wanted.mtu, up=wanted.up, addresses=wanted.addresses))
    # FRR announces what it finds, so the addresses come first. It is itself before network.target, so these must not be after that.
    nic = wanted.parent or name
    wants = [device_unit(nic)] if devices and nic != "lo" else []
    return oneshot(
        KIND,
        name,
        f"Addresses of the interface {name}",
        notes,
        ip_commands(lines),
        wanted_by=["multi-user.target"],
        after=["network-pre.target", *wants],
        before=["frr.service", "network.target"],
        wants=wants,
    )


def _create(name: str, wanted: Kept) -> list[str]:
    """The lines that make a VLAN; its NIC has to be up before the VLAN can be."""
    if wanted.vlan is None:
        return []
    parent = _ip.word(wanted.parent)
    return [f"link set dev {parent} up", f"link add link {parent} name {_ip.word(name)} type vlan id {wanted.vlan}"]


def _vlan(item: Item, old: Kept, interface: _ip.Interface | None, adopt: bool) -> tuple[Item, list[str]]:
    """The lines that make a declared VLAN, or make it anew; and the item without the VLAN where somebody else made it."""
    parent, vlan = (item.parent, item.vlan) if item.parent else (old.parent, old.vlan)
    if vlan is None:
        return item, []
    there = (interface.parent, interface.vlan) if interface else None
    if there == (parent, vlan):
        # Not ours to remove, nor to make at boot.
        return (item if old.vlan is not None or adopt else item._replace(parent="", vlan=None)), []
    if there not in (None, (old.parent, old.vlan)):
        raise FabricError(
            f"interface {item.name} exists and is not VLAN {vlan} of {parent}; remove it, or take another name"
        )
    gone = [f"link delete dev {_ip.word(item.name)}"] if there else []
    return item, gone + _create(item.name, Kept("", parent=parent, vlan=vlan))


def compare(
    found: Found, declared: t.Sequence[Item], owner: str, adopt: bool, purge: bool, check: bool, running: bool
) -> Change:
    """The pure comparison. check: an interface may be missing yet. running: does systemd run this host?"""
    gone = [
        Item(one.notes()["Name"], None, None, None, False)
        for one in found.units.values()
        if _purged(one, declared, owner, purge)
    ]
    stays = {item.name: item.present for item in [*declared, *gone]}
    comparison = _Comparison(found, owner, adopt, check, stays)
    for item in [*declared, *gone]:
        comparison.add(item)
    return comparison.change(running)


class _Comparison:
    """What becomes of each interface, gathered: the lines for ip(8), the units, and both sides of the diff.

    stays: of each interface that this run is about, whether it is declared, and not given back.
    interim: units that note what comes and what goes until it is done, so that a run that is killed leaves nothing that nobody knows.
    unmanaged: interfaces that NetworkManager leaves alone from now on; managed: those that are its own again.
    """

    def __init__(self, found: Found, owner: str, adopt: bool, check: bool, stays: t.Mapping[str, bool]) -> None:
        self.found, self.owner, self.adopt, self.check, self.stays = found, owner, adopt, check, stays
        self.units: dict[str, Unit | None] = {}
        self.interim: dict[str, Unit | None] = {}
        self.lines: list[str] = []
        self.unmanaged: list[str] = []
        self.managed: list[str] = []
        self.before: dict[str, t.Any] = {}
        self.after: dict[str, t.Any] = {}
        self.warnings: list[str] = []

    def add(self, item: Item) -> None:
        """One declared interface, or one that is no longer declared."""
        file = unit_name(KIND, item.name)
        noted = kept(self.found.units.get(file))
        if not item.present and noted is None:
            return
        if noted is not None and noted.owner != self.owner and not self.adopt:
            raise FabricError(f"interface {item.name} belongs to {noted.owner}; set adopt to take it over")
        self._check_there(item, noted)
        old = noted or Kept(self.owner)
        interface = self.found.interfaces.get(item.name)
        made: list[str] = []
        if item.present:
            item, made = _vlan(item, old, interface, self.adopt)
        if made:
            # What was there under the name is gone then.
            interface = None
        new = self._kept(item, old, interface, bool(made)) if item.present else None
        self._note(file, item.name, old, new)
        if new is None and old.vlan is not None:
            # What was made here goes as a whole.
            self.lines += [f"link delete dev {_ip.word(item.name)}"] if interface else []
            self.lines += self._parent_down(old)
            self._tell(item.name, interface, (), old, new)
            return
        there = interface
        if interface is not None:
            interface = self._released(interface, new)
        target = self._target(old, new, interface)
        self.lines += made
        if interface is not None or item.present:
            mtu, up = (new.mtu, new.up) if new else self._former(old, interface, target)
            self.lines += _ip.interface_batch(interface, _ip.Wanted(item.name, mtu=mtu, up=up, addresses=target))
        self._tell(item.name, there, target, noted, new)

    def _check_there(self, item: Item, noted: Kept | None) -> None:
        """The interface has to be there; a VLAN is made, and needs its NIC."""
        needed = item.parent or (noted.parent if noted else "") or item.name
        if not item.present or needed in self.found.interfaces:
            return
        sentence = f"interface {needed} does not exist; make it first, or correct the name"
        if not self.check:
            raise FabricError(sentence)
        self.warnings.append(sentence)

    def _released(self, interface: _ip.Interface, new: Kept | None) -> _ip.Interface:
        """The interface as it is once NetworkManager leaves it alone, or has it again."""
        name, found = interface.name, self.found.network_manager
        if new is None:
            self.managed += [name] if name in found.unmanaged else []
            return interface
        # NetworkManager leaves a VLAN alone that it has not made.
        if not new.up or new.vlan is not None or name not in found.manages:
            return interface
        self.unmanaged.append(name)
        # As it lets go, NetworkManager takes the interface down if it had brought it up, and away what it gave.
        stay = tuple(
            address for address in interface.addresses if not found.manages[name].silent or not _link_local(address)
        )
        if found.manages[name].silent and not stay:
            # The kernel makes its link-local address as the interface comes up.
            word = _ip.word(name)
            self.lines += [f"link set dev {word} down", f"link set dev {word} addrgenmode eui64"]
        return interface._replace(up=False, addresses=stay)

    def _former(
        self, old: Kept, interface: _ip.Interface | None, addresses: t.Collection[str]
    ) -> tuple[int | None, bool | None]:
        """MTU and state that an interface gets back, None for what stays: what others have changed since, and a link that they use."""
        if interface is None:
            return None, None
        mtu = old.was_mtu if interface.mtu == old.mtu else None
        up = old.was_up if interface.up == old.up else None
        if up is False and (addresses or interface.master or interface.busy or self._carries(interface.name)):
            up = None
        return mtu, up

    def _carries(self, name: str) -> bool:
        """Whether an interface has others upon it that stay."""
        return any(one.upon == name and self.stays.get(one.name, True) for one in self.found.interfaces.values())

    def _parent_down(self, old: Kept) -> list[str]:
        """The line that takes the NIC of a VLAN down again, if nobody uses it any more."""
        nic = self.found.interfaces.get(old.parent)
        line = f"link set dev {_ip.word(old.parent)} down"
        kept_up = self.stays.get(old.parent, unit_name(KIND, old.parent) in self.found.units)
        if old.parent_up is not False or nic is None or not nic.up or kept_up or line in self.lines:
            return []
        return [] if nic.addresses or nic.master or nic.busy or self._carries(old.parent) else [line]

    def _parent_was_up(self, parent: str) -> bool | None:
        """Whether a NIC was up before a VLAN of ours came onto it."""
        nic = self.found.interfaces.get(parent)
        others = [kept(one) for one in self.found.units.values()]
        if any(one and one.parent == parent and one.parent_up is False for one in others):
            return False
        return nic.up if nic else None

    def _kept(self, item: Item, old: Kept, interface: _ip.Interface | None, made: bool) -> Kept:
        """What is noted of a declared interface: each option, or what it was. made: whether the VLAN is made now."""
        given = {key: getattr(item, key) for key in ("addresses", "mtu", "up") if getattr(item, key) is not None}
        new = old._replace(owner=self.owner, others=(), **given)
        if item.parent:
            new = new._replace(parent=item.parent, vlan=item.vlan)
        if new.addresses and new.up is None:
            new = new._replace(up=True)
        if made and old.parent != new.parent:
            new = new._replace(parent_up=self._parent_was_up(new.parent))
        if interface is not None and new.vlan is None:
            new = new._replace(
                was_mtu=interface.mtu if old.mtu is None and new.mtu is not None else old.was_mtu,
                was_up=interface.up if old.up is None and new.up is not None else old.was_up,
            )
        if self.adopt:
            return new
        held = interface.addresses if interface else ()
        others = tuple(a for a in new.addresses if a in old.others or (a in held and a not in old.addresses))
        return new._replace(others=others)

    def _note(self, file: str, name: str, old: Kept, new: Kept | None) -> None:
        """The unit, and the one that stands while it is changed."""
        devices = self.found.devices
        self.units[file] = unit(name, new, devices) if new else None
        if new:
            foreign = () if self.adopt else old.others
            both = new._replace(addresses=_both(new.addresses, old.addresses), others=_both(new.others, foreign))
            self.interim[file] = unit(name, both, devices)

    def _target(self, old: Kept, new: Kept | None, interface: _ip.Interface | None) -> tuple[str, ...]:
        """All addresses: in the declared order, after what others gave; what was given before and is declared no longer goes."""
        held = interface.addresses if interface else ()
        foreign = () if self.adopt else old.others
        ours = new.addresses if new else ()
        stay = tuple(a for a in held if a not in old.addresses or a in foreign or a in ours)
        return stay + tuple(a for a in ours if a not in held)

    def _tell(
        self, name: str, interface: _ip.Interface | None, target: tuple[str, ...], old: Kept | None, new: Kept | None
    ) -> None:
        """An interface as it is and as it will be, and what it gets at boot."""
        held = list(interface.addresses if interface else ())
        self.before[name] = {"addresses": held, "at_boot": _spelled(old)}
        self.after[name] = {"addresses": list(target), "at_boot": _spelled(new)}
        former = self._former(old, interface, target) if old and old.vlan is None and not new else (None, None)
        for names, by in ((self.unmanaged, "nobody"), (self.managed, "NetworkManager")):
            if name in names:
                self.after[name]["managed_by"] = by
                self.before[name]["managed_by"] = "NetworkManager" if by == "nobody" else "nobody"
        for key, value in zip(("mtu", "up"), (new.mtu, new.up) if new else former):
            if value is not None:
                self.before[name][key], self.after[name][key] = getattr(interface, key, None), value

    def change(self, running: bool) -> Change:
        """The steps in their order: what is noted meanwhile, the interfaces, the units."""
        changes = unit_steps(self.found.units, self.units, running)
        first = [step for step in unit_steps(self.found.units, self.interim, running).put if isinstance(step, Write)]
        put = [step for step in changes.put if step not in first]
        found = self.found.network_manager
        released = _network_manager.unmanage(found, self.unmanaged, self.owner)
        given_back = _network_manager.manage(found, self.managed)
        steps = [*first, *released, *_ip.batch_steps(self.lines), *put, *given_back, *changes.drop]
        if not steps:
            return Change([], {}, {}, tuple(self.warnings))
        return Change(steps, self.before, self.after, tuple(self.warnings))


def _link_local(address: str) -> bool:
    return ipaddress.ip_interface(address).is_link_local


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _purged(one: Unit, declared: t.Sequence[Item], owner: str, purge: bool) -> bool:
    old = kept(one)
    return bool(
        purge and old and old.owner == owner and one.notes().get("Name") not in {item.name for item in declared}
    )


def _spelled(what: Kept | None) -> dict[str, t.Any] | None:
    if what is None:
        return None
    # Most interfaces are no VLANs, and have no addresses of others, and say nothing of it.
    unsaid = {"others"} if not what.others else set()
    unsaid |= {"parent", "vlan"} if what.vlan is None else set()
    unsaid |= {key for key in ("was_mtu", "was_up", "parent_up") if getattr(what, key) is None}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in what._asdict().items()
        if key not in unsaid
    }


def run(module: t.Any) -> None:
    """Do what the module's parameters ask for."""
    runner = module_runner(module)
    params = module.params
    try:
        declared = items(params)
    except FabricError as error:
        module.fail_json(msg=str(error), commands=[], spawned=0)

    def state(found: Found) -> dict[str, t.Any]:
        return {
            "interfaces": [_state(found.interfaces[item.name]) for item in declared if item.name in found.interfaces]
        }

    reconcile(
        module,
        lambda: read(runner),
        lambda found: compare(
            found, declared, params["owner"], params["adopt"], params["purge"], module.check_mode, booted()
        ),
        runner,
        state,
        lambda found: _late(found, declared),
    )


def _late(found: Found, declared: t.Sequence[Item]) -> list[str]:
    """Addresses that another node on the link has already, which the kernel tells only after a while."""
    rows = [(item.name, found.interfaces.get(item.name)) for item in declared if item.present]
    return [
        f"interface {name}: {address} is in use by another node" for name, row in rows if row for address in row.broken
    ]


def read(runner: Runner) -> Found:
    """Read the host once; spawns one process."""
    interfaces = _ip.read_interfaces(runner)
    indexes = {name: one.ifindex for name, one in interfaces.items() if name != "lo"}
    return Found(interfaces, read_units(KIND), devices_told(), _network_manager.read(indexes))


def _state(interface: _ip.Interface) -> dict[str, t.Any]:
    return {
        "name": interface.name,
        "mtu": interface.mtu,
        "mac": interface.mac,
        "up": interface.up,
        "addresses": list(interface.addresses),
    }

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold the declared interfaces against the host, and say what its manager has to be told.

This file is private to the collection. Everything here is pure but `run`.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host_network import ifupdown, networkd, networkmanager
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.declaration import (
    Item,
    Kept,
    items,
    merged,
)
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.reader import (
    IFUPDOWN,
    MANAGERS,
    NETWORKD,
    NETWORKMANAGER,
    Claim,
    Found,
    read,
    read_links,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import (
    UPON,
    batch_steps,
    parse_interfaces,
    word,
)
from ansible_collections.overloom.fabric.plugins.module_utils._owner import (
    Settings,
    may_declare,
    may_remove,
    returned,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    AnyStep,
    Change,
    FabricError,
    Remove,
    Runner,
    Step,
    Write,
    module_runner,
    reconcile,
)

_RENDER = {NETWORKD: networkd.files, NETWORKMANAGER: networkmanager.files, IFUPDOWN: ifupdown.files}
_IN_WORDS = {NETWORKD: "systemd-networkd", NETWORKMANAGER: "NetworkManager", IFUPDOWN: "ifupdown"}
# Seconds until what was written has to be there; a manager acts in its own time.
PATIENCE = 30
Link = t.Mapping[str, t.Any]


# --- what is there ----------------------------------------------------------------------------------------------------------


def unlike(item: Item, links: t.Mapping[str, Link]) -> list[str]:
    """What of an interface is not as wanted, in words."""
    link = links.get(item.name)
    if link is None:
        return ["it does not exist"]
    info = link.get("linkinfo", {})
    data, found = info.get("info_data", {}), []
    if item.kind != "nic" and info.get("info_kind") != item.kind:
        return [f"it is of the kind {info.get('info_kind', 'hardware')}"]
    if item.members:
        wanted = item.bond_settings()
        found += [f"{key} is {data.get(key)}, not {value}" for key, value in wanted.items() if data.get(key) != value]
        there = members(item.name, links)
        found += [f"{name} is no member" for name in item.members if name not in there]
        found += [f"{name} is a member" for name in there if name not in item.members]
    if item.parent:
        found += [] if data.get("id") == item.vlan else [f"its VLAN is {data.get('id')}, not {item.vlan}"]
        found += [] if link.get("link") == item.parent else [f"it is on {link.get('link')}, not on {item.parent}"]
    if item.mtu and link["mtu"] != item.mtu:
        found.append(f"its MTU is {link['mtu']}, not {item.mtu}")
    held = _addresses(link)
    found += [f"it has no address {address}" for address in item.addresses or () if address not in held]
    return found + ([] if "UP" in link.get("flags", ()) else ["it is down"])


def members(bond: str, links: t.Mapping[str, Link]) -> list[str]:
    """The NICs that are members of a bond."""
    return sorted(name for name, link in links.items() if link.get("master") == bond)


def _addresses(link: Link) -> list[str]:
    """The addresses of an interface that somebody gave it."""
    interface = parse_interfaces([dict(link)])[link["ifname"]]
    return list(interface.addresses)


def _of_others(link: Link) -> list[str]:
    """Those of a NIC that somebody may need: link-local ones are made by the kernel, or by a manager at each start."""
    return [one for one in _addresses(link) if not ipaddress.ip_interface(one.split(" ")[0]).ip.is_link_local]


def _in_use(link: Link) -> list[str]:
    """All of a NIC by which somebody may reach the host, also those of DHCP and of router advertisements, which `_addresses` leaves out."""
    lasting = [{**entry, "dynamic": False} for entry in link.get("addr_info", ())]
    return _of_others({**link, "addr_info": lasting})


def states(runner: Runner, names: t.Iterable[str]) -> list[dict[str, t.Any]]:
    """Interfaces as they are, by one process; those that are not there have nothing but the name."""
    found = Found(read_links(runner), frozenset())
    return [state_of(name, found) for name in names]


def state_of(name: str, found: Found) -> dict[str, t.Any]:
    """An interface as the module returns it."""
    manager, kept = next(((one, rows[name]) for one, rows in found.kept.items() if name in rows), (None, None))
    link = found.links.get(name)
    state: dict[str, t.Any] = {
        "name": name,
        "manager": manager,
        "owner": kept.owner if kept else None,
        "exists": link is not None,
    }
    if link is None:
        return state
    info = link.get("linkinfo", {})
    state.update(
        kind=info.get("info_kind") or "nic",
        up="UP" in link.get("flags", ()),
        mtu=link["mtu"],
        addresses=_addresses(link),
    )
    state["link_state"] = "up" if "LOWER_UP" in link.get("flags", ()) else "down"
    if info.get("info_kind") == "vlan":
        state.update(parent=link.get("link"), vlan=info["info_data"]["id"])
    if info.get("info_kind") == "bond":
        state.update(_bond_state(name, info["info_data"], found.links))
    return state


def _bond_state(name: str, data: Link, links: t.Mapping[str, Link]) -> dict[str, t.Any]:
    """The settings of a bond, and its members. With LACP a member whose partner answers is in the aggregator of the bond."""
    active = data.get("ad_info", {}).get("aggregator")
    answered = data.get("ad_info", {}).get("partner_mac", "00:00:00:00:00:00") != "00:00:00:00:00:00"
    found: dict[str, dict[str, t.Any]] = {}
    for member in members(name, links):
        told = links[member].get("linkinfo", {}).get("info_slave_data", {})
        lacp = answered and told.get("ad_aggregator_id") == active if data.get("mode") == "802.3ad" else None
        found[member] = {"link_state": str(told.get("mii_status", "")).lower() or "down", "lacp_current": lacp}
    keys = ("mode", "miimon", "updelay", "downdelay", "primary", "active_slave", "ad_lacp_rate", "xmit_hash_policy")
    return {"settings": {key: data[key] for key in keys if key in data}, "members": found}


# --- who configures the host ---------------------------------------------------------------------------------------------------


def manager_of(found: Found, told: str, declared: t.Sequence[Item], owner: str) -> str:
    """The manager that makes the declared interfaces: the one that is told, that has them already, or that runs their NICs."""
    if told != "auto":
        if told not in found.running:
            what = "is not installed, or has no /etc/network/interfaces" if told == IFUPDOWN else "does not run"
            raise FabricError(
                f"manager {told}: {_IN_WORDS[told]} {what} on this host; start it, or name another manager"
            )
        return told
    has = [one for one in MANAGERS if any(kept.owner == owner for kept in found.kept.get(one, {}).values())]
    if has and has[0] in found.running:
        return has[0]
    nics = {name for item in declared for name in item.uses() if name in found.links}
    if NETWORKMANAGER in found.running and (nics & found.managed or not found.running - {NETWORKMANAGER}):
        return NETWORKMANAGER
    running = [one for one in MANAGERS if one in found.running and one != NETWORKMANAGER]
    if not running:
        raise FabricError(
            "neither systemd-networkd nor NetworkManager runs on this host, and ifupdown is not installed; start one of them"
        )
    return running[0]


# --- comparing -----------------------------------------------------------------------------------------------------------------


class Goal(t.NamedTuple):
    """What shall be: the manager, and what is ours before and after, by name."""

    manager: str
    old: dict[str, Kept]
    new: dict[str, Kept]


def goal(found: Found, declared: t.Sequence[Item], settings: Settings, told: str) -> Goal:
    """What shall be of the declared interfaces. Raises FabricError for what cannot be, or would touch what is not ours."""
    manager = manager_of(found, told, declared, settings.owner)
    _check_manager(found, declared, manager)
    all_kept = found.kept.get(manager, {})
    old = {name: kept for name, kept in all_kept.items() if kept.owner == settings.owner}
    named = {item.name for item in declared}
    new = {name: kept for name, kept in old.items() if not (settings.purge and name not in named)}
    for item in declared:
        kept = all_kept.get(item.name)
        if not item.present:
            if kept is not None or item.name in found.claims:
                may_remove(f"interface {item.name}", kept.owner if kept else None, settings.caller)
            if kept is not None:
                old[item.name] = kept
            new.pop(item.name, None)
            continue
        may_declare(f"interface {item.name}", kept.owner if kept else None, settings.caller)
        if kept is not None:
            old[item.name] = kept
        new[item.name] = Kept(settings.owner, merged(item, kept.item if kept else None), kept.former if kept else {})
    made = Goal(manager, old, new)
    _check(found, made, [item.name for item in declared if item.present], settings)
    return made._replace(new={name: _with_former(found, kept, made) for name, kept in new.items()})


def _check_manager(found: Found, declared: t.Sequence[Item], manager: str) -> None:
    """Refuse an interface that ours made by another manager."""
    for other, rows in found.kept.items():
        for item in declared:
            if other != manager and item.name in rows:
                raise FabricError(
                    f"interface {item.name} is made by {_IN_WORDS[other]}'s files already, not by {_IN_WORDS[manager]}'s;"
                    f" remove it there first with state: absent and manager: {other}, or leave manager out"
                )


def _with_former(found: Found, kept: Kept, made: Goal) -> Kept:
    """It with what each of its NICs was before, unless that is known already."""
    known = {nic: former for one in made.old.values() for nic, former in one.former.items()}
    former: dict[str, t.Mapping[str, t.Any]] = {}
    for name in kept.item.uses():
        link = found.links.get(name)
        if name in made.new and name != kept.item.name:
            continue
        if name in known:
            former[name] = known[name]
        elif link is not None:
            former[name] = {
                "up": "UP" in link.get("flags", ()),
                "mtu": link["mtu"],
                "addresses": _of_others(link),
                # Whose file ours comes before: systemd-networkd does not tell any more.
                "by": [claim.where for claim in found.claims.get(name, ())],
            }
    return kept._replace(former=former)


def _check(found: Found, made: Goal, declared: t.Sequence[str], settings: Settings) -> None:
    """Refuse what is not there, what others have, and what two interfaces of ours would share."""
    paths = [ifupdown.path_of(name) for name in declared] if made.manager == IFUPDOWN else []
    if not all(any(fnmatch.fnmatch(path, one) for one in found.sources) for path in paths):
        raise FabricError(
            f"/etc/network/interfaces does not read {ifupdown.FOLDER}, where the interfaces would be; add the line 'source {ifupdown.FOLDER}/*' to it"
        )
    member_of: dict[str, str] = {}
    for name, kept in made.new.items():
        for member in kept.item.members or ():
            if member in member_of:
                raise FabricError(
                    f"{kept.item.what}: {member} is a member of {member_of[member]} already; name another NIC"
                )
            if member in made.new:
                raise FabricError(
                    f"{kept.item.what}: {member} is declared as an interface of its own, too; leave one of them out"
                )
            member_of[member] = name
    for name in declared:
        item = made.new[name].item
        if item.parent in member_of:
            raise FabricError(
                f"{item.what}: {item.parent} is a member of {member_of[item.parent]}; name that as parent"
            )
        _check_device(found, made, item)
        for nic in item.uses():
            _check_nic(found, made, item, nic, settings)


def _check_device(found: Found, made: Goal, item: Item) -> None:
    """Refuse a bond or VLAN that others made under this name."""
    claim = next(iter(found.claims.get(item.name, ())), None)
    if item.kind == "nic" or item.name in made.old or (item.name not in found.links and claim is None):
        return
    by = f"made by {claim.where}" if claim else "there, and no file of ours made it"
    raise FabricError(f"{item.what} is {by}; choose another name, or remove it there first")


class _Nic(t.NamedTuple):
    """A NIC that a declared interface uses. what: it in words. had: whether ours used it before. upon: what of others is on it."""

    name: str
    what: str
    link: Link
    had: bool
    upon: list[str]


def _check_nic(found: Found, made: Goal, item: Item, name: str, settings: Settings) -> None:
    """Refuse a NIC that is not there, or that others use."""
    if name in made.new and name != item.name:
        return
    nic = _nic(found, made, item, name)
    master = nic.link.get("master", "")
    if item.kind != "vlan" and master and master not in made.old:
        raise FabricError(f"{nic.what} is a port of {master}; take it from there, or name another NIC")
    for claim in found.claims.get(name, ()):
        # A file for whichever NIC there is, as images have it, is nobody's word on one that has no addresses.
        meant = claim.exact or bool(nic.upon)
        _check_claim(item, nic.what, claim, made.manager, settings.adopt or nic.had or not meant)
    if nic.had or (item.kind == "vlan" and made.manager != NETWORKD):
        return
    if made.manager != NETWORKMANAGER and name in found.managed:
        raise FabricError(
            f"{nic.what} is NetworkManager's, which would configure it as well; give manager: networkmanager, or tell NetworkManager to leave it unmanaged"
        )
    # A parent that no file is for gets one of ours, and systemd-networkd then takes away what it does not say.
    gets_file = item.kind != "vlan" or not found.claims.get(name)
    if gets_file and not settings.adopt:
        _check_use(item, nic)


def _nic(found: Found, made: Goal, item: Item, name: str) -> _Nic:
    """A NIC as it is. Raises FabricError if there is none."""
    what = item.what if name == item.name else f"{item.what}: {'parent' if item.parent else 'member'} {name}"
    link = found.links.get(name)
    if link is None:
        raise FabricError(f"{what} does not exist on this host; correct the name")
    had = any(name in kept.item.uses() for kept in made.old.values())
    upon = [other for other in _upon(name, found.links) if other not in made.old and other not in made.new]
    return _Nic(name, what, link, had, upon)


def _check_use(item: Item, nic: _Nic) -> None:
    """Refuse a NIC with addresses of others, or with devices of others upon it."""
    spare = [one for one in _in_use(nic.link) if one not in (item.addresses or ())]
    if spare:
        raise FabricError(
            f"{nic.what} has the address {spare[0]}, which is not ours; name another NIC, or give adopt: true,"
            " which takes the address away until it is given back"
        )
    if nic.upon and item.kind != "vlan":
        raise FabricError(
            f"{nic.what} carries {nic.upon[0]}, which is not ours; name another NIC, remove that first, or give adopt: true"
        )


def _upon(nic: str, links: t.Mapping[str, Link]) -> list[str]:
    """The VLANs and the like that a NIC has upon it."""
    kinds = {name: link.get("linkinfo", {}).get("info_kind") for name, link in links.items()}
    return [name for name, link in links.items() if link.get("link") == nic and kinds[name] in UPON]


def _check_claim(item: Item, what: str, claim: Claim, manager: str, may_precede: bool) -> None:
    """Refuse a NIC that others configure, where ours would not come before theirs, or must not."""
    by = f"{what} is configured by {claim.where}"
    if item.kind == "vlan" and claim.manager == manager:
        if manager == NETWORKD and not claim.exact:
            raise FabricError(
                f"{by}, which is for more interfaces than {item.parent}, and each of them would get the VLAN;"
                f" give {item.parent} a file of its own, or name another parent"
            )
        return
    if claim.manager != manager and item.kind == "vlan" and manager != NETWORKD:
        return
    if claim.manager != manager or manager == IFUPDOWN:
        raise FabricError(
            f"{by} ({_IN_WORDS[claim.manager]}), which would go on doing so; take it out of there, or name another NIC"
        )
    if not may_precede:
        raise FabricError(
            f"{by}; name another NIC, or give adopt: true, which lets ours come before it and leaves that file as it is"
        )


def compare(found: Found, aim: Goal) -> Change:
    """The pure comparison of what is there and what shall be."""
    foreign = _networkd_files(found)
    render = _RENDER[aim.manager]
    there = found.files.get(aim.manager, {})
    wanted = render(aim.new.values(), foreign)
    former = [path for path in render(aim.old.values(), foreign) if path in there]
    former += [path for path in there if any(path.endswith(f"/{networkd.DROPIN}{name}.conf") for name in aim.old)]
    work = _Work(found, aim)
    whole = aim.manager == NETWORKD and work.makes_devices()
    work.writes = [Write(path, *what) for path, what in wanted.items() if whole or there.get(path) != what[0]]
    # What notes an interface goes last, and comes first.
    work.removes = [Remove(path) for path in dict.fromkeys(reversed(former)) if path not in wanted]
    steps = work.steps() if work.busy() else []
    touched = [name for name in dict.fromkeys([*aim.old, *aim.new]) if work.is_touched(name)] if steps else []
    return Change(
        steps,
        {name: _told(aim.old.get(name), found) for name in touched},
        {name: _foretold(aim.new.get(name), aim.manager) for name in touched},
        tuple(returned(f"interface {nic}") for nic, former in work.left.items() if former.get("by")),
    )


def _networkd_files(found: Found) -> dict[str, str]:
    """The files of others by which systemd-networkd configures interfaces, by the interface."""
    claims = [(name, claim) for name, claims in found.claims.items() for claim in claims]
    return {name: claim.where for name, claim in claims if claim.manager == NETWORKD}


def _told(kept: Kept | None, found: Found) -> dict[str, t.Any]:
    """An interface as it is, in words for a diff."""
    if kept is None:
        return {}
    return {**_options(kept.item), **({"differs": wrong} if (wrong := unlike(kept.item, found.links)) else {})}


def _foretold(kept: Kept | None, manager: str) -> dict[str, t.Any]:
    return {"manager": manager, **_options(kept.item)} if kept else {}


def _options(item: Item) -> dict[str, t.Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in item._asdict().items()
        if value is not None and key not in ("name", "present")
    }


class _Work:
    """What has to be done, before it is said in a manager's words."""

    def __init__(self, found: Found, aim: Goal) -> None:
        self.found = found
        self.aim = aim
        self.writes: list[Write] = []
        self.removes: list[Remove] = []
        links = found.links
        self.wrong = {name: unlike(kept.item, links) for name, kept in aim.new.items()}
        # A VLAN goes before its bond, and comes after it.
        rank = {"nic": 0, "bond": 1, "vlan": 2}
        self.order = sorted(aim.new, key=lambda name: rank[aim.new[name].item.kind])
        gone = [name for name in aim.old if name not in aim.new]
        self.gone = sorted(gone, key=lambda name: -rank[aim.old[name].item.kind])
        self.anew = [name for name in self.order if self._anew(name)]
        self.left = self._left()

    def _anew(self, name: str) -> bool:
        """Whether a device has to be made anew, as what differs cannot be changed on it."""
        item, link = self.aim.new[name].item, self.found.links.get(name)
        if link is None or item.kind == "nic":
            return False
        data = link.get("linkinfo", {}).get("info_data", {})
        if item.kind == "vlan":
            return bool(data.get("id") != item.vlan or link.get("link") != item.parent)
        return any(data.get(key) != value for key, value in item.bond_settings().items())

    def _left(self) -> dict[str, t.Mapping[str, t.Any]]:
        """The NICs that are ours no longer, with what they were before."""
        still = {nic for kept in self.aim.new.values() for nic in kept.item.uses()}
        had: dict[str, t.Mapping[str, t.Any]] = {}
        for kept in self.aim.old.values():
            had.update({nic: former for nic, former in kept.former.items() if nic not in still})
        return {nic: former for nic, former in had.items() if nic in self.found.links}

    def makes_devices(self) -> bool:
        """Whether a bond or VLAN is to be made. systemd-networkd knows the one of before by files that have not been written since."""
        missing = [name for name in self.order if name not in self.found.links]
        return bool(self.anew or missing)

    def busy(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.writes or self.removes or self.gone or any(self.wrong.values()))

    @property
    def changed(self) -> list[str]:
        """The files that change."""
        return [step.path for step in self.writes] + [step.path for step in self.removes]

    def is_touched(self, name: str) -> bool:
        """Whether an interface is declared otherwise than before, or is otherwise than declared."""
        old, new = self.aim.old.get(name), self.aim.new.get(name)
        paths = {path for kept in (old, new) if kept for path in _RENDER[self.aim.manager]([kept], {})}
        changed = any(path in paths for path in self.changed)
        return changed or name in self.gone or bool(self.wrong.get(name))

    def again(self) -> list[str]:
        """Interfaces that have to be started (again), those below first."""
        touched = [name for name in self.order if self.is_touched(name)]
        upon = [name for name in self.order if self.aim.new[name].item.parent in {*touched, *self.anew}]
        return [name for name in self.order if name in {*touched, *upon}]

    def steps(self) -> list[AnyStep]:
        """All of it in the words of the manager."""
        return {NETWORKD: self._networkd, NETWORKMANAGER: self._networkmanager, IFUPDOWN: self._ifupdown}[
            self.aim.manager
        ]()

    def _deletions(self, names: t.Iterable[str]) -> list[str]:
        kinds = {name: kept.item.kind for name, kept in {**self.aim.old, **self.aim.new}.items()}
        return [f"link delete dev {word(name)}" for name in names if kinds[name] != "nic" and name in self.found.links]

    def _lines_back(self) -> list[str]:
        """The lines of ip(8) that make NICs what they were before, but for those that others of the manager configure."""
        lines: list[str] = []
        for nic, former in self.left.items():
            link, device = self.found.links[nic], word(nic)
            if link.get("master") in self.aim.old:
                lines.append(f"link set dev {device} nomaster")
            if former.get("by") or nic in self.found.claims:
                continue
            own = self.aim.old[nic].item.addresses or () if nic in self.aim.old else ()
            lines += [
                f"address flush dev {device} to {ipaddress.ip_interface(one).ip}"
                for one in own
                if one not in former["addresses"]
            ]
            lines += [f"link set dev {device} mtu {former['mtu']}"] if link["mtu"] != former["mtu"] else []
            lines += [f"address replace {one} dev {device}" for one in former["addresses"]]
            lines.append(f"link set dev {device} {'up' if former['up'] else 'down'}")
        return lines

    def _taken_away(self) -> list[str]:
        """The lines of ip(8) that take away the addresses which a member of a bond had before."""
        lines = []
        for name in self.again():
            for nic in self.aim.new[name].item.members or ():
                link = self.found.links.get(nic)
                lines += [f"address flush dev {word(nic)} scope global"] if link and _in_use(link) else []
        return lines

    def _networkd(self) -> list[AnyStep]:
        """A device is made when its file is read and there is none of its name."""
        again = self.again()
        lines = [*self._deletions([*self.gone, *reversed(self.anew)]), *self._taken_away()]
        steps: list[AnyStep] = [*self.writes, *self.removes, *batch_steps(lines)]
        steps.append(Step(("networkctl", "reload")))
        used = [nic for name in again for nic in self.aim.new[name].item.uses() if nic in self.found.links]
        # A VLAN goes with its bond.
        made = {*self.anew, *(name for name in again if self.aim.new[name].item.parent in self.anew)}
        settle = [name for name in dict.fromkeys([*used, *again]) if name in self.found.links and name not in made]
        steps += [Step(("networkctl", "reconfigure", *settle))] if settle else []
        return [*steps, *batch_steps(self._lines_back())]

    def _networkmanager(self) -> list[AnyStep]:
        """A connection whose file is gone is stopped, and its device with it. A bond starts its NICs."""
        steps: list[AnyStep] = [*self.writes, *self.removes, *batch_steps(self._taken_away())]
        steps.append(Step(("nmcli", "connection", "reload")))
        for name in self.again():
            identity = networkmanager.uuid_of(self.aim.new[name].owner, name)
            steps.append(Step(("nmcli", "--wait", str(PATIENCE), "connection", "up", "uuid", identity)))
        return steps

    def _ifupdown(self) -> list[AnyStep]:
        """What runs is stopped by the file that started it, before that changes."""
        again = self.again()
        stop = [*self.gone, *(name for name in reversed(again) if name in self.aim.old)]
        steps: list[AnyStep] = [Step(("ifdown", "--force", "--ignore-errors", name)) for name in stop]
        steps += [*batch_steps(self._taken_away()), *self.writes, *self.removes]
        # It keeps its own list of what is up, which may be wrong.
        steps += [Step(("ifup", "--force", name)) for name in again]
        return [*steps, *batch_steps(self._lines_back())]


# --- running -------------------------------------------------------------------------------------------------------------------


def patient(inner: Runner, pause: t.Callable[[float], None] = time.sleep) -> Runner:
    """A Runner that starts a connection again whose bond is not ready yet, for a bounded time."""

    def run(argv: t.Sequence[str], stdin: str | None) -> tuple[int, str, str]:
        tries = 1
        while True:
            status, out, error = inner.run(Step(tuple(argv), stdin))
            if not networkmanager.once_more(argv, status, out + error, tries):
                return status, out, error
            tries += 1
            runner.spawned += 1
            pause(networkmanager.PAUSE)

    runner = Runner(run)
    return runner


def run(module: t.Any) -> None:
    """Do what the module's parameters ask for."""
    runner = patient(module_runner(module))
    params = module.params
    settings = Settings(params["owner"], params["adopt"], params["purge"])
    aims: list[Goal] = []
    try:
        declared = items(params)
    except FabricError as error:
        module.fail_json(msg=str(error), commands=[], spawned=0)

    def look() -> Found:
        """The first time at once; after the change as soon as all is there, or the time is up."""
        until = time.monotonic() + (PATIENCE if aims else 0)
        while True:
            found = read(runner)
            if time.monotonic() >= until or not late(found):
                return found
            time.sleep(0.25)

    def late(found: Found) -> list[str]:
        wanted = aims[-1].new if aims else {}
        gone = [
            name
            for one in aims[-1:]
            for name, kept in one.old.items()
            if name not in one.new and kept.item.kind != "nic"
        ]
        missing = [(kept.item.what, unlike(kept.item, found.links)) for kept in wanted.values()]
        still = [f"interface {name} is still there" for name in gone if name in found.links]
        return [f"{what}: {'; '.join(words)}" for what, words in missing if words] + still

    def compared(found: Found) -> Change:
        aims.append(goal(found, declared, settings, params["manager"]))
        return compare(found, aims[-1])

    def back(found: Found) -> list[AnyStep]:
        """What came to nothing is taken back, so that the host is as it was."""
        aim = aims[-1]
        return compare(found, Goal(aim.manager, aim.new, aim.old)).steps

    reconcile(
        module,
        look,
        compared,
        runner,
        lambda found: {"interfaces": [state_of(item.name, found) for item in declared]},
        late,
        back,
    )

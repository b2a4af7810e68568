# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has of network namespaces, veth pairs and their ports: read once, and told in plain types.

This file is private to the collection. Reading spawns one process for the host, one for each namespace of interest, and
one for Open vSwitch where it is of interest.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host import content
from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._ip.sysctl import in_force
from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.module_utils._netns import namespace as _netns
from ansible_collections.overloom.fabric.plugins.module_utils._netns import source as _source
from ansible_collections.overloom.fabric.plugins.module_utils._netns.rules import Rule, read_rules
from ansible_collections.overloom.fabric.plugins.module_utils._netns.source import Place, Source
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    empty_database,
    ovs_vsctl,
    read_database,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.lost import lost_devices
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Option, Text, view
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.port import PORT_OPTIONS
from ansible_collections.overloom.fabric.plugins.module_utils._owner import interface_alias
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, Step
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Unit, read_units

UNIT_KIND = "netns"
# The kernel's numbers for the modes of `ip link set ... addrgenmode`.
ADDRGEN = {"0": "eui64", "1": "none", "2": "stable_secret", "3": "random"}
OVS_BEGIN = ovs_vsctl(None, 60)
# Of the port, and of the interface behind it.
OVS_OPTIONS = [
    *(option for option in PORT_OPTIONS if option.name in ("tag", "trunks", "vlan_mode")),
    Option("iface_id", "Interface", "external_ids", Text(), "iface-id"),
]


class Kept(t.NamedTuple):
    """What was declared of a veth pair so far, as the unit notes it; None was never declared.

    tx: the transmit checksum offload to set, None to leave it. virtual: addresses that another program sets.
    addresses, virtual, routes, rules: lists, because JSON has no tuples.
    former: what an adopted pair was before (former.py); None for one that the module made.
    """

    outer: str
    up: bool = True
    addresses: list | None = None
    routes: list | None = None
    rules: list | None = None
    mtu: int | None = None
    mac: str | None = None
    tx: bool | None = None
    bridge: str | None = None
    former: dict | None = None
    virtual: list | None = None

    def all_routes(self) -> tuple[_ip.Route, ...] | None:
        """The routes as such."""
        return None if self.routes is None else tuple(_ip.Route(*route) for route in self.routes)

    def all_rules(self) -> tuple[Rule, ...] | None:
        """The rules as such."""
        return None if self.rules is None else tuple(Rule(*rule) for rule in self.rules)


class Space(t.NamedTuple):
    """What the unit of a namespace notes.

    made: the module made the namespace; otherwise it was there before, and only the interfaces are the module's.
    veths: by the name of the inner interface. sysctls: key with slashes -> value. source: of a container or a process.
    adopted: the alias and the state (up) that the loopback had before the namespace was adopted; None for one that the module made.
    """

    owner: str
    made: bool
    veths: dict[str, Kept]
    sysctls: dict[str, str]
    source: Source | None = None
    adopted: dict | None = None


class Inside(t.NamedTuple):
    """A namespace seen from inside. sysctls: those asked for. offloads: whether transmit checksums are left to the other end.

    rules: the policy rules that people made. taken: the places of all routes, each with what it goes through.
    """

    interfaces: dict[str, _ip.Interface]
    routes: dict[str, tuple[_ip.Route, ...]]
    sysctls: dict[str, str | None]
    offloads: dict[str, bool | None]
    rules: tuple[Rule, ...] = ()
    taken: tuple[tuple[tuple[str, int, int], str], ...] = ()


class Found(t.NamedTuple):
    """What was read.

    host: the host's interfaces. ids: name -> id by which the host's interfaces refer to a namespace, None without one;
    its keys are all namespaces that are there. stale: names whose file is there without the namespace.
    inside: the namespaces of interest. units, spaces: of all namespaces, by unit name, and by namespace.
    tried: namespace -> sysctl -> what a new namespace says to the value that is wanted or kept.
    processes: namespace -> process ids, for the namespaces of interest.
    places: of the declared namespaces of containers and processes. scripts: what the programs that follow containers say.
    following: the namespaces whose containers are followed. lost: the host's interfaces that ovs-vswitchd has lost.
    """

    host: dict[str, _ip.Interface]
    ids: dict[str, int | None]
    stale: frozenset[str]
    inside: dict[str, Inside]
    units: dict[str, Unit]
    spaces: dict[str, Space]
    database: Database
    tried: dict[str, dict[str, _netns.Sysctl]] = {}
    processes: dict[str, list[int]] = {}
    places: dict[str, Place] = {}
    scripts: dict[str, str] = {}
    following: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()

    def joined(self, name: str, interface: str, outer: str) -> bool:
        """Whether an interface of the host and one of a namespace of interest are the two ends of one veth pair."""
        near, far = self.host.get(outer), self.look(name).interfaces.get(interface)
        if near is None or far is None or near.kind != "veth":
            return False
        crosswise = near.link_index == far.ifindex and far.link_index == near.ifindex
        return crosswise and near.link_netnsid is not None and near.link_netnsid == self.ids.get(name)

    def look(self, name: str) -> Inside:
        """A namespace of interest from inside; one that is not there is empty."""
        return self.inside.get(name, Inside({}, {}, {}, {}))

    def live_owner(self, name: str) -> str | None:
        """Whose mark a namespace of interest carries: the alias of its loopback interface."""
        loopback = self.look(name).interfaces.get("lo")
        return alias_owner(loopback.alias) if loopback else None

    def outer_of(self, name: str, interface: str) -> str | None:
        """The host's end of a veth pair, by the inner end."""
        return next(
            (outer for outer, end in self.host.items() if end.kind == "veth" and self.joined(name, interface, outer)),
            None,
        )


def alias_owner(alias: str) -> str | None:
    """Whose mark an interface carries, None if it carries none."""
    begin = interface_alias("")
    return alias[len(begin) :] if alias.startswith(begin) else None


def space_of(unit: Unit) -> tuple[str, Space] | None:
    """The namespace's name and what a unit notes of it; None if the notes are not readable, as after a change by hand."""
    notes = unit.notes()
    try:
        veths = {interface: Kept(**fields) for interface, fields in json.loads(notes["Interfaces"]).items()}
        made = {"made": True, "found": False}[notes["Namespace"]]
        source = Source(*json.loads(notes["Source"])) if "Source" in notes else None
        adopted = json.loads(notes.get("Adopted", "null"))
        return notes["Name"], Space(notes["Owner"], made, veths, dict(json.loads(notes["Sysctls"])), source, adopted)
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def notes_of(space: Space) -> dict[str, str]:
    """The notes from which `space_of` gets a namespace back."""
    veths = {}
    for interface, kept in space.veths.items():
        veths[interface] = {key: value for key, value in kept._asdict().items() if value is not None}
    return {
        "Owner": space.owner,
        "Namespace": "made" if space.made else "found",
        "Interfaces": json.dumps(veths),
        "Sysctls": json.dumps(space.sysctls),
        **({"Source": json.dumps(space.source)} if space.source else {}),
        **({"Adopted": json.dumps(space.adopted)} if space.adopted else {}),
    }


def read_host(
    runner: Runner,
    interests: t.Callable[[dict[str, Space], t.Collection[str]], dict[str, dict[str, str]]],
    wants_ovs: t.Callable[[dict[str, Space]], bool],
    read_ovs: t.Callable[[], Database] | None = None,
    sources: t.Mapping[str, Source] | None = None,
) -> Found:
    """Read the host.

    interests: from what the units note and the names of the namespaces there are, to the namespaces of interest, each with
        the sysctls to read and to try (key with slashes -> value).
    wants_ovs: from what the units note to whether Open vSwitch is read. read_ovs: reads it.
    sources: of the declared namespaces of containers and processes.
    """
    units = {**read_units(UNIT_KIND), **read_units(_source.UNIT_KIND)}
    spaces = dict(filter(None, (space_of(unit) for unit in units.values())))
    places = {name: _source.find(runner, name, source) for name, source in (sources or {}).items()}
    named = _netns.existing()
    _check_named(places, spaces)
    # Such a namespace is there with its process, with or without its name.
    paths = {name: place.path for name, place in places.items() if place.pid and not place.attached}
    names = sorted({*named, *paths} - {name for name, place in places.items() if not place.pid})
    wanted = interests(spaces, names)
    near, listed = _answers(runner(_ip.read_step("address show", "netns list")))
    numbers = {row["name"]: row.get("id") for row in listed}
    inside, stale = _look_inside(runner, {name: wanted[name] for name in wanted if name in names}, paths)
    database = empty_database()
    if wants_ovs(spaces):
        database = read_ovs() if read_ovs else read_database(runner, OVS_BEGIN)
    return Found(
        host=_with_addrgen(_ip.parse_interfaces(near)),
        ids={name: None if name in paths else numbers.get(name) for name in names if name not in stale},
        stale=stale,
        inside=inside,
        units=units,
        spaces=spaces,
        database=database,
        tried=_tried(wanted),
        processes=_netns.processes_of(list(inside)),
        places=places,
        lost=lost_devices(database),
        **_followers(runner, [*places, *(name for name, space in spaces.items() if space.source)]),
    )


def _look_inside(
    runner: Runner, wanted: t.Mapping[str, t.Iterable[str]], paths: t.Mapping[str, str]
) -> tuple[dict[str, Inside], frozenset[str]]:
    """What is in each namespace of interest, and the names of those that cannot be entered. wanted: name to the sysctls to read."""

    def question(sysctls: t.Iterable[str]) -> t.Callable[[], tuple[dict, dict, tuple[Rule, ...]]]:
        return lambda: ({path: in_force(path) for path in sysctls}, _netns.checksum_offloads(), read_rules())

    answers = _netns.visit({name: question(sysctls) for name, sysctls in wanted.items()}, paths)
    inside = {}
    for name, answer in answers.items():
        if answer is not None:
            addresses, routes = _answers(runner(_read_inside(name, paths.get(name))))
            inside[name] = Inside(
                _ip.parse_interfaces(addresses), _ip.parse_routes(routes), *answer, _ip.routes_taken(routes)
            )
    return inside, frozenset(name for name, answer in answers.items() if answer is None)


def _with_addrgen(host: dict[str, _ip.Interface]) -> dict[str, _ip.Interface]:
    """The host's interfaces, the ends of veth pairs and the loopback with how they make link-local addresses."""
    for name, end in host.items():
        if end.kind == "veth" or name == "lo":
            mode = in_force(f"net/ipv6/conf/{name}/addr_gen_mode")
            host[name] = end._replace(addrgen=ADDRGEN.get(mode or "", ""))
    return host


def _tried(wanted: t.Mapping[str, dict[str, str]]) -> dict[str, dict[str, _netns.Sysctl]]:
    """What a new namespace says to the sysctls of each namespace; the same ones are tried once."""
    tried: dict[tuple, dict[str, _netns.Sysctl]] = {}
    for sysctls in wanted.values():
        if tuple(sysctls.items()) not in tried:
            tried[tuple(sysctls.items())] = _netns.try_sysctls(sysctls)
    return {name: tried[tuple(sysctls.items())] for name, sysctls in wanted.items()}


def _read_inside(name: str, path: str | None) -> Step:
    """The questions inside a namespace, which is entered by its path where it has no name."""
    questions = ("address show", "route show table all")
    if path is None:
        return _ip.read_step(*questions, netns=name)
    step = _ip.read_step(*questions)
    return step._replace(argv=("nsenter", f"--net={path}", *step.argv))


def _check_named(places: t.Mapping[str, Place], spaces: t.Mapping[str, Space]) -> None:
    """A name that is another namespace's is not taken from it."""
    for name, place in places.items():
        if place.taken and name not in spaces:
            raise FabricError(
                f"namespace {name} is there already, and is not that of process {place.pid}; give another name"
            )


def _followers(runner: Runner, names: t.Iterable[str]) -> dict[str, t.Any]:
    """The programs that follow containers, and which of them run."""
    every = list(dict.fromkeys(names))
    if not every:
        return {}
    scripts = {name: content(_source.script(name)) for name in every}
    _status, out, _err = runner.run(("systemctl", "is-active", *map(_source.follow_name, every)))
    active = frozenset(name for name, state in zip(every, out.split()) if state == "active")
    return {"scripts": {name: text for name, text in scripts.items() if text}, "following": active}


def _answers(text: str) -> tuple[list, list]:
    """Two answers of one call. An empty list of namespaces or routes may be told by printing nothing."""
    first, second = [*documents(text), [], []][:2]
    return first, second


def describe(found: Found, name: str) -> dict[str, t.Any]:
    """A namespace of interest in plain types, as netns_info returns it."""
    space, inside = found.spaces.get(name), found.look(name)
    owner = space.owner if space else found.live_owner(name)
    interfaces = []
    for interface in sorted(inside.interfaces.values(), key=lambda i: i.ifindex):
        if interface.name == "lo":
            continue
        outer = found.outer_of(name, interface.name)
        interfaces.append(
            {
                "name": interface.name,
                "kind": interface.kind,
                "addresses": list(interface.addresses),
                "routes": [shown_route(route) for route in inside.routes.get(interface.name, ())],
                "mtu": interface.mtu,
                "mac": interface.mac,
                "up": interface.up,
                "tx_checksum": inside.offloads.get(interface.name),
                "outer": outer,
                **port_view(found.database, outer),
            }
        )
    return {
        "name": name,
        "owner": owner,
        "foreign": not (space.made if space else owner is not None),
        "processes": found.processes.get(name, []),
        "sysctls": {path: value for path, value in inside.sysctls.items() if value is not None},
        "rules": [rule.shown() for rule in inside.rules],
        "interfaces": interfaces,
    }


def shown_route(route: _ip.Route) -> dict[str, t.Any]:
    """A route as its options."""
    return route._asdict()


def port_view(database: Database, outer: str | None) -> dict[str, t.Any]:
    """The bridge of an interface of the host, its VLANs there, and who it is to a controller; None where it is no port."""
    bridge = database.bridge_of.get(outer) if outer else None
    empty = {option.name: None for option in OVS_OPTIONS}
    if not outer or not bridge:
        return {"bridge": None, **empty}
    of_interface = view(database, "Interface", outer, OVS_OPTIONS) if outer in database.tables["Interface"] else {}
    return {"bridge": bridge, **empty, **view(database, "Port", outer, OVS_OPTIONS), **of_interface}

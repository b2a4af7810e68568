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

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._ip.sysctl import in_force
from ansible_collections.overloom.fabric.plugins.module_utils._netns import namespace as _netns
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    empty_database,
    ovs_vsctl,
    read_database,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import view
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.port import PORT_OPTIONS
from ansible_collections.overloom.fabric.plugins.module_utils._owner import interface_alias
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Unit, read_units

UNIT_KIND = "netns"
# The kernel's numbers for the modes of `ip link set ... addrgenmode`.
ADDRGEN = {"0": "eui64", "1": "none", "2": "stable_secret", "3": "random"}
OVS_BEGIN = ovs_vsctl(None, 60)
VLAN_OPTIONS = [option for option in PORT_OPTIONS if option.name in ("tag", "trunks", "vlan_mode")]


class Kept(t.NamedTuple):
    """What was declared of a veth pair so far, as the unit notes it; None was never declared.

    tx: the transmit checksum offload to set, None to leave it. addresses, routes: lists, because JSON has no tuples.
    """

    outer: str
    up: bool = True
    addresses: list | None = None
    routes: list | None = None
    mtu: int | None = None
    mac: str | None = None
    tx: bool | None = None
    bridge: str | None = None

    def all_routes(self) -> tuple[_ip.Route, ...] | None:
        """The routes as such."""
        return None if self.routes is None else tuple(_ip.Route(*route) for route in self.routes)


class Space(t.NamedTuple):
    """What the unit of a namespace notes.

    made: the module made the namespace; otherwise it was there before, and only the interfaces are the module's.
    veths: by the name of the inner interface. sysctls: key with slashes -> value.
    """

    owner: str
    made: bool
    veths: dict[str, Kept]
    sysctls: dict[str, str]


class Inside(t.NamedTuple):
    """A namespace seen from inside. sysctls: those asked for. offloads: whether transmit checksums are left to the other end."""

    interfaces: dict[str, _ip.Interface]
    routes: dict[str, tuple[_ip.Route, ...]]
    sysctls: dict[str, str | None]
    offloads: dict[str, bool | None]


class Found(t.NamedTuple):
    """What was read.

    host: the host's interfaces. ids: name -> id by which the host's interfaces refer to a namespace, None without one;
    its keys are all namespaces that are there. stale: names whose file is there without the namespace.
    inside: the namespaces of interest. units, spaces: of all namespaces, by unit name, and by namespace.
    tried: namespace -> sysctl -> what a new namespace says to the value that is wanted or kept.
    processes: namespace -> process ids, for the namespaces of interest.
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
        return notes["Name"], Space(notes["Owner"], made, veths, dict(json.loads(notes["Sysctls"])))
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def notes_of(space: Space) -> dict[str, str]:
    """The notes from which `space_of` gets a namespace back."""
    veths = {
        interface: {key: value for key, value in kept._asdict().items() if value is not None}
        for interface, kept in space.veths.items()
    }
    return {
        "Owner": space.owner,
        "Namespace": "made" if space.made else "found",
        "Interfaces": json.dumps(veths),
        "Sysctls": json.dumps(space.sysctls),
    }


def read_host(
    runner: Runner,
    interests: t.Callable[[dict[str, Space], t.Collection[str]], dict[str, dict[str, str]]],
    wants_ovs: t.Callable[[dict[str, Space]], bool],
    read_ovs: t.Callable[[], Database] | None = None,
) -> Found:
    """Read the host.

    interests: from what the units note and the names of the namespaces there are, to the namespaces of interest, each with
        the sysctls to read and to try (key with slashes -> value).
    wants_ovs: from what the units note to whether Open vSwitch is read. read_ovs: reads it.
    """
    units = read_units(UNIT_KIND)
    spaces = dict(filter(None, (space_of(unit) for unit in units.values())))
    names = _netns.existing()
    wanted = interests(spaces, names)
    near, listed = _answers(runner(_ip.read_step("address show", "netns list")))
    numbers = {row["name"]: row.get("id") for row in listed}

    def question(paths: t.Iterable[str]) -> t.Callable[[], tuple[dict, dict]]:
        return lambda: ({path: in_force(path) for path in paths}, _netns.checksum_offloads())

    answers = _netns.visit({name: question(sysctls) for name, sysctls in wanted.items() if name in names})
    inside = {}
    for name, answer in answers.items():
        if answer is not None:
            addresses, routes = _answers(runner(_ip.read_step("address show", "route show table all", netns=name)))
            inside[name] = Inside(_ip.parse_interfaces(addresses), _ip.parse_routes(routes), *answer)
    host = _ip.parse_interfaces(near)
    for name, end in host.items():
        if end.kind == "veth" or name == "lo":
            mode = in_force(f"net/ipv6/conf/{name}/addr_gen_mode")
            host[name] = end._replace(addrgen=ADDRGEN.get(mode or "", ""))
    stale = frozenset(name for name, answer in answers.items() if answer is None)
    tried: dict[tuple, dict[str, _netns.Sysctl]] = {}
    for sysctls in wanted.values():
        if tuple(sysctls.items()) not in tried:
            tried[tuple(sysctls.items())] = _netns.try_sysctls(sysctls)
    database = empty_database()
    if wants_ovs(spaces):
        database = read_ovs() if read_ovs else read_database(runner, OVS_BEGIN)
    return Found(
        host=host,
        ids={name: numbers.get(name) for name in names if name not in stale},
        stale=stale,
        inside=inside,
        units=units,
        spaces=spaces,
        database=database,
        tried={name: tried[tuple(sysctls.items())] for name, sysctls in wanted.items()},
        processes=_netns.processes_of(list(inside)),
    )


def _answers(text: str) -> tuple[list, list]:
    """Two answers of one call. An empty list of namespaces or routes may be told by printing nothing."""
    first, second = [*_ip.documents(text), [], []][:2]
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
        "interfaces": interfaces,
    }


def shown_route(route: _ip.Route) -> dict[str, t.Any]:
    """A route as its options."""
    return route._asdict()


def port_view(database: Database, outer: str | None) -> dict[str, t.Any]:
    """The bridge of an interface of the host, and its VLANs there; None where it is no port."""
    bridge = database.bridge_of.get(outer) if outer else None
    empty = {option.name: None for option in VLAN_OPTIONS}
    if not outer or not bridge:
        return {"bridge": None, **empty}
    return {"bridge": bridge, **view(database, "Port", outer, VLAN_OPTIONS)}

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose the things of a host are that somebody wants to make there: marks, and the traces of those who use them.

This file is private to the collection. Reading spawns one process for the interfaces and one for Open vSwitch; further ones only
for a bridge or a namespace that is there and has no mark.
"""

from __future__ import annotations

import glob
import ipaddress
import json
import os
import re
import shutil
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._container.podman import (
    Container,
    containers,
    image_ids,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.conf import CONF
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import NOTES
from ansible_collections.overloom.fabric.plugins.module_utils._host import OVS_DATABASES, SBIN, content
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.reader import Noted, read_notes
from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import read_mark
from ansible_collections.overloom.fabric.plugins.module_utils._netns import namespace as _netns
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import (
    OVS_BEGIN,
    UNIT_KIND,
    Space,
    alias_owner,
    space_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._network_files import Named
from ansible_collections.overloom.fabric.plugins.module_utils._network_files import read as network_files
from ansible_collections.overloom.fabric.plugins.module_utils._ovn import raft
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.chassis import MARK
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.before import users
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    NoSwitch,
    empty_database,
    ovs_runner,
    read_database,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.held import Reader, others
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import owner_of
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import ROOT
from ansible_collections.overloom.fabric.plugins.module_utils._owner import in_words
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner
from ansible_collections.overloom.fabric.plugins.module_utils._service.reader import Found as Placed
from ansible_collections.overloom.fabric.plugins.module_utils._service.reader import read_host as placed
from ansible_collections.overloom.fabric.plugins.module_utils._service.reconcile import refusal
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import read_units

KINDS = (
    "address",
    "bridge",
    "chassis",
    "cluster",
    "container",
    "guest",
    "interface",
    "namespace",
    "network",
    "nic",
    "port",
    "router",
    "service",
)
# Persistent definitions, and what runs.
LIBVIRT = {
    "guest": ("/etc/libvirt/qemu", "/run/libvirt/qemu"),
    "network": ("/etc/libvirt/qemu/networks", "/run/libvirt/network"),
}
# What cannot be shared: an address, and what a teardown would not give back.
NOT_ADOPTABLE = ("address", "cluster", "container", "guest", "network", "service")
# Seconds that ovs-vswitchd has to answer.
_PATIENCE = 10


class Claim(t.NamedTuple):
    """A thing that is to be made.

    on: the bridge of a port, the interface of an address or in a namespace, the image of a container, the members of a cluster.
    instead: the way on besides adoption.
    """

    kind: str
    name: str
    on: str
    instead: str

    @property
    def what(self) -> str:
        """How sentences call it."""
        # "router ospf" says what it is.
        return self.name if self.kind == "router" else f"{self.kind} {self.name}"


class Host(t.NamedTuple):
    """What was read.

    switch: whether Open vSwitch answered; if not, its devices are there without anybody who knows them. flows: of others on a
    bridge, in words. spaces: what our units note of namespaces. guests, networks: name to (owner or "", whether it runs).
    images: those of the claims that are there. placed: the services of the claims. files: what the host's own network configuration names.
    noted: what host_network has made there. databases: what this host's servers of OVN's databases say of their cluster.
    """

    interfaces: dict[str, _ip.Interface]
    database: Database
    flows: dict[str, list[str]]
    spaces: dict[str, Space]
    inside: dict[str, dict[str, _ip.Interface]]
    processes: dict[str, list[int]]
    guests: t.Dict[str, t.Tuple[str, bool]] = {}
    networks: t.Dict[str, t.Tuple[str, bool]] = {}
    routers: t.Sequence[str] = ()
    notes: t.Dict[str, t.Set[str]] = {}
    switch: bool = True
    containers: t.Dict[str, Container] = {}
    images: t.FrozenSet[str] = frozenset()
    placed: Placed | None = None
    files: t.Sequence[Named] = ()
    noted: t.Sequence[Noted] = ()
    databases: t.Dict[str, t.Dict[str, t.Any]] = {}

    def owners(self, name: str) -> set[str]:
        """Whose an interface is by files that host_network has made."""
        return {one.owner for one in self.noted if one.name == name}

    def configured(self, name: str, *, whole: bool) -> list[str]:
        """The traces of an interface in the host's own network configuration. whole: whether it counts that it is made there; else that it is used."""
        named = [one for one in self.files if one.name == name and (one.made if whole else one.used)]
        return [f"configured in {path}" for path in dict.fromkeys(one.path for one in named)]


class Use(t.NamedTuple):
    """Why a thing is not free. owner: whose mark it has, or "". traces: of those who use it, in words."""

    owner: str
    traces: list[str]


# What is there ---------------------------------------------------------------------------------------------------------


def read_host(runner: Runner, claims: t.Sequence[Claim]) -> Host:
    """Read what the claims ask for."""
    names: dict[str, list[str]] = {}
    for claim in claims:
        names.setdefault(claim.kind, []).append(claim.name)
    host = _read_network(runner, names)
    if "router" in names:
        host = host._replace(routers=re.findall(r"(?m)^router .*\S", content(CONF)), notes=_noted())
    if "container" in names:
        images = {claim.on for claim in claims if claim.kind == "container" and claim.on}
        host = host._replace(containers=containers(runner) or {}, images=frozenset(image_ids(runner, images)))
    for members in (claim.on.split(",") for claim in claims if claim.kind == "cluster"):
        host = host._replace(databases=_databases(runner, members))
    return host._replace(
        guests=defined("guest") if "guest" in names else {},
        networks=defined("network") if "network" in names else {},
        placed=placed(runner, names["service"]) if "service" in names else None,
        noted=read_notes(),
    )


def _databases(runner: Runner, members: t.Sequence[str]) -> dict[str, dict[str, t.Any]]:
    """What the servers of OVN's databases say; those of a cluster that is to change may find each other first."""
    rows = raft.members(runner, 0)
    return raft.members(runner, _PATIENCE) if raft.changes(rows, members) else rows


def _read_network(runner: Runner, names: t.Mapping[str, t.Sequence[str]]) -> Host:
    """What the kernel, Open vSwitch and the host's own configuration have. names: those of the claims, by kind."""
    has_ip = shutil.which("ip", path=SBIN) is not None
    interfaces = _ip.read_interfaces(runner) if has_ip else {}
    answered = read_switch(runner)
    database = answered or empty_database()
    spaces = dict(filter(None, (space_of(unit) for unit in read_units(UNIT_KIND).values())))
    there = set(_netns.existing()) if "namespace" in names and has_ip else set()
    foreign = sorted({name for name in names.get("namespace", ()) if name in there and name not in spaces})
    return Host(
        interfaces=interfaces,
        database=database,
        switch=answered is not None,
        flows=_flows_of_others(runner, database, names.get("bridge", ())),
        spaces=spaces,
        inside={name: _inside(runner, name) for name in foreign},
        processes=_netns.processes_of(foreign) if foreign else {},
        files=network_files() if names.keys() & {"bridge", "interface", "nic", "port"} else (),
    )


def _flows_of_others(runner: Runner, database: Database, names: t.Sequence[str]) -> dict[str, list[str]]:
    """The flows, in words, of those bridges that nobody has marked."""
    bridges = database.tables["Bridge"]
    unmarked = [name for name in names if name in bridges and not owner_of(bridges[name])]
    return {name: others(Reader(runner, name, bridges[name], _PATIENCE).flows()) for name in unmarked}


def read_switch(runner: Runner) -> Database | None:
    """Open vSwitch's database; None where it does not run."""
    if not any(os.path.exists(path) for path in OVS_DATABASES):
        return None
    try:
        return read_database(runner, OVS_BEGIN)
    except NoSwitch:
        return None


def _inside(runner: Runner, name: str) -> dict[str, _ip.Interface]:
    try:
        return _ip.read_interfaces(runner, name)
    except FabricError:
        # A file that an interrupted `ip netns add` has left.
        return {}


def defined(kind: str) -> dict[str, tuple[str, bool]]:
    """Guests or networks of libvirt, from its own files, so that no daemon has to run: name to (owner, whether it runs)."""
    found: dict[str, tuple[str, bool]] = {}
    for root, runs in documents(kind):
        name = root.findtext("name")
        if name:
            found[name] = (read_mark(root).owner or found.get(name, ("", False))[0], runs)
    return found


def documents(kind: str) -> t.Iterator[tuple[ET.Element, bool]]:
    """The definitions of guests or networks that libvirt keeps, and those of what runs (True)."""
    for folder, runs in zip(LIBVIRT[kind], (False, True)):
        for path in sorted(glob.glob(f"{folder}/*.xml")):
            try:
                document = ET.fromstring(content(path))
            except ET.ParseError:
                continue
            tag = "domain" if kind == "guest" else "network"
            root = document if document.tag == tag else document.find(tag)
            if root is not None:
                yield root, runs


def _noted() -> dict[str, set[str]]:
    """The parts of FRR's configuration that each owner's notes have."""
    found: dict[str, set[str]] = {}
    for path in sorted(glob.glob(f"{glob.escape(NOTES)}/*-frr_*.json")):
        owner = os.path.basename(path).rpartition("-frr_")[0]
        try:
            found.setdefault(owner, set()).update(json.loads(content(path)))
        except ValueError:
            continue
    return found


# Whose it is -----------------------------------------------------------------------------------------------------------


def use_of(claim: Claim, host: Host, owner: str) -> Use | None:
    """Who has a claimed thing; None if it is free, ours, or there but used by nobody."""
    return _JUDGES[claim.kind](claim, host, owner)


def _used(mark: str | None, owner: str, traces: list[str]) -> Use | None:
    """The use of a thing with this mark: another's in any case, nobody's if there are traces."""
    if mark == owner:
        return None
    return Use(mark or "", traces) if mark or traces else None


def _bridge(claim: Claim, host: Host, owner: str) -> Use | None:
    row = host.database.tables["Bridge"].get(claim.name)
    if row is None:
        return _other_device(claim, host, owner)
    traces = users(host.database, claim.name, owner, lambda bridge: host.flows.get(bridge, []))
    return _used(owner_of(row), owner, traces + host.configured(claim.name, whole=True))


def _chassis(_claim: Claim, host: Host, owner: str) -> Use | None:
    """A host is the chassis of one OVN; without a mark, that of whoever has told it where the southbound database is."""
    ids = host.database.tables["Open_vSwitch"][ROOT]["external_ids"]
    remote = ids.get("ovn-remote")
    return _used(ids.get(MARK), owner, [f"ovn-remote {remote}"] if remote else [])


def chassis_of(database: Database) -> dict[str, str | None]:
    """Whose chassis of OVN the host is, or None, and the integration bridge that ovn-controller was told of."""
    ids = database.tables["Open_vSwitch"][ROOT]["external_ids"]
    return {"owner": ids.get(MARK), "bridge": ids.get("ovn-bridge")}


def _other_device(claim: Claim, host: Host, owner: str) -> Use | None:
    """The use of an interface of the kernel that has the name which Open vSwitch would need."""
    if claim.name in host.database.bridge_of:
        return None
    there, traces = host.interfaces.get(claim.name), host.configured(claim.name, whole=True)
    if there is None:
        return _used(None, owner, traces)
    # A daemon that stopped leaves its devices, and only its database knows whose they are.
    if not host.switch and there.kind in ("openvswitch", "tun"):
        return None
    mark = next(iter(host.owners(claim.name)), None) or alias_owner(there.alias)
    return _used(mark, owner, [f"an interface of the kind {there.kind or 'hardware'}", *traces])


def _port(claim: Claim, host: Host, owner: str) -> Use | None:
    """A port that is to be made, or a NIC that is to be plugged in: on another's bridge it is another's."""
    bridge = host.database.bridge_of.get(claim.name)
    if bridge is None or claim.name == bridge:
        return None
    mark, bridge_mark = (
        owner_of(host.database.tables["Port"][claim.name]),
        owner_of(host.database.tables["Bridge"][bridge]),
    )
    # On the bridge itself it is among the traces of the bridge, if that is another's.
    if bridge == claim.on or (mark is None and bridge_mark == owner):
        return None if mark in (None, owner) else Use(mark or "", [])
    return _used(mark, owner, [f"a port of bridge {bridge}"])


def _interface(claim: Claim, host: Host, owner: str) -> Use | None:
    if claim.name in host.database.bridge_of:
        return _port(claim, host, owner)
    if any(
        kept.outer == claim.name
        for space in host.spaces.values()
        if space.owner == owner
        for kept in space.veths.values()
    ):
        return None
    return _other_device(claim, host, owner)


def _nic(claim: Claim, host: Host, owner: str) -> Use | None:
    """The NIC of the underlay.

    on: the bridge or bond that it is to be plugged into, itself where it is to have an address, or "" where it is used as it is.
    """
    there = host.interfaces.get(claim.name)
    if there is None or not claim.on:
        return None
    port = next((port for port, members in host.database.members.items() if claim.name in members), None)
    if port is not None:
        # Perhaps a bond, which has other NICs besides.
        return _port(claim._replace(name=port), host, owner)
    # A daemon that stopped leaves its datapath, and only its database knows whose ports these are.
    left = not host.switch and there.master == "ovs-system"
    ours = {one.name for one in host.noted if one.owner == owner}
    traces = [f"a part of {there.master}"] if there.master and not left and there.master not in ours else []
    default = any(line.split()[:2] == [claim.name, "00000000"] for line in content("/proc/net/route").splitlines())
    # In a bridge, it would have no frames for them any more.
    traces += [
        f"{one.kind} {one.name}" for one in host.interfaces.values() if one.upon == claim.name and one.name not in ours
    ]
    # That it carries the default route is told where the role looks at it, with the way on.
    if not default and claim.name not in ours:
        traces += [f"address {address}" for address in there.addresses if not _of_manager(address)]
        traces += host.configured(claim.name, whole=False)
    others = (host.owners(claim.name) | host.owners(there.master)) - {owner}
    return _used(next(iter(sorted(others)), None), owner, traces)


def _of_manager(address: str) -> bool:
    """Whether nobody needs an address: NetworkManager gives a link-local one to each NIC that is nobody's."""
    return ":" in address and ipaddress.ip_interface(address.split(" ")[0]).ip.is_link_local


def missing(claim: Claim, host: Host) -> str | None:
    """The sentence about what has to be there and is not: a NIC, the image of a container, the unit of a service, or most of a cluster that changes."""
    if claim.kind == "container" and claim.on and claim.on not in host.images:
        return f"container {claim.name} needs the image {claim.on}, which is not there; bring it with podman pull, load or build, or correct container.image"
    if claim.kind == "service" and host.placed:
        return refusal(claim.name, host.placed.services[claim.name])
    if claim.kind == "cluster":
        return raft.refused_change(host.databases, claim.on.split(",")) if host.databases else None
    return missing_nic(claim, host)


def missing_nic(claim: Claim, host: Host) -> str | None:
    """The sentence about a NIC that is not there, with those that are."""
    name = claim.name
    if claim.kind != "nic" or not host.interfaces or name in host.interfaces or name in host.database.bridge_of:
        return None
    made = {
        port
        for port, bridge in host.database.bridge_of.items()
        if port == bridge or host.database.interface(port)["type"] == "internal"
    }
    nics = [
        interface.name
        for interface in host.interfaces.values()
        if interface.name not in {"lo", *made}
        and interface.kind not in ("openvswitch", "tun")
        and alias_owner(interface.alias) is None
    ]
    return f"there is no interface {name}; the host has {', '.join(sorted(nics)) or 'none but lo'}; {claim.instead}"


def _namespace(claim: Claim, host: Host, owner: str) -> Use | None:
    space = host.spaces.get(claim.name)
    if space is not None:
        return _used(space.owner, owner, [])
    inside = host.inside.get(claim.name, {})
    loopback = inside.get("lo")
    running = host.processes.get(claim.name, [])
    traces = [f"{len(running)} process{'es' * (len(running) > 1)}"] if running else []
    traces += [f"interface {name}" for name in sorted(inside) if name != "lo"]
    return _used(alias_owner(loopback.alias) if loopback else None, owner, traces)


def _domain(claim: Claim, host: Host, owner: str) -> Use | None:
    found = (host.guests if claim.kind == "guest" else host.networks).get(claim.name)
    if found is None:
        return None
    mark, runs = found
    return _used(mark, owner, ["it runs" if runs else "it is defined"])


def _container(claim: Claim, host: Host, owner: str) -> Use | None:
    found = host.containers.get(claim.name)
    return _used(found.owner, owner, found.uses()) if found else None


def _service(claim: Claim, host: Host, owner: str) -> Use | None:
    mark = host.placed.owner(claim.name) if host.placed else None
    return Use(mark, []) if mark not in (None, owner) else None


def _router(claim: Claim, host: Host, owner: str) -> Use | None:
    """on: the name that the notes have for it. Of BGP there is one process, whatever its AS number."""
    same = re.compile(r"router bgp \S+" if claim.name.startswith("router bgp ") else re.escape(claim.name))
    found = [line for line in host.routers if same.fullmatch(line.strip())]
    names = {claim.on, *(f"BGP {line.split()[2]} default" for line in found if line.startswith("router bgp "))}
    if not found or names & host.notes.get(owner, set()):
        return None
    rival = next((other for other, things in host.notes.items() if names & things), "")
    return Use(rival, [f"frr.conf has {found[0].strip()}"])


def _address(claim: Claim, host: Host, owner: str) -> Use | None:
    """An address that another interface has already, or that another fabric has the subnet of. What is ours goes by itself when the plan moves the address.

    Two fabrics with one subnet on a host would send to each other's tunnel endpoints. What of a host's own networks holds another is the host's routing.
    """
    wanted = ipaddress.ip_interface(claim.name)
    for interface in host.interfaces.values():
        if interface.name == claim.on:
            continue
        marks = _marks(interface, host)
        if owner in marks:
            continue
        mark = next(iter(sorted(marks)), "")
        for address in interface.addresses:
            there = ipaddress.ip_interface(address)
            if there.ip == wanted.ip:
                return Use(mark, [f"interface {interface.name} has it"])
            if mark and there.version == wanted.version and there.network.overlaps(wanted.network):
                return Use(mark, [f"interface {interface.name} has {address} of the same subnet"])
    return None


def _marks(interface: _ip.Interface, host: Host) -> set[str]:
    """The owners of an interface: by itself, by files of host_network, by its port and its bridge."""
    marks = {alias_owner(interface.alias), *host.owners(interface.name)}
    bridge = host.database.bridge_of.get(interface.name)
    if bridge is not None:
        marks |= {
            owner_of(host.database.tables["Port"].get(interface.name, {"external_ids": {}})),
            owner_of(host.database.tables["Bridge"][bridge]),
        }
    return set(filter(None, marks))


_JUDGES: dict[str, t.Callable[[Claim, Host, str], Use | None]] = {
    "address": _address,
    "bridge": _bridge,
    "chassis": _chassis,
    "cluster": lambda _claim, _host, _owner: None,
    "container": _container,
    "guest": _domain,
    "interface": _interface,
    "namespace": _namespace,
    "network": _domain,
    "nic": _nic,
    "port": _port,
    "router": _router,
    "service": _service,
}


def sentence(claim: Claim, use: Use) -> str:
    """What a person reads: the thing, what shows that it is used, and the ways on."""
    told = f" ({in_words(use.traces)})" if use.traces else ""
    whose = f"belongs to the owner {use.owner}" if use.owner else "was there before the fabric and is in use"
    way = (
        f"name {claim.name} in fabric_adopt to take it over"
        if use.owner
        else "set fabric_adopt to let the fabric use this one"
    )
    return f"{claim.what} {whose}{told}; {claim.instead}" + ("" if claim.kind in NOT_ADOPTABLE else f", or {way}")


# The module ------------------------------------------------------------------------------------------------------------


def findings(claims: t.Iterable[Claim], host: Host, owner: str) -> list[dict[str, t.Any]]:
    """All claimed things that are not free, each with its sentence; pure."""
    found: list[dict[str, t.Any]] = []
    for claim in claims:
        lack = missing(claim, host)
        use = None if lack else use_of(claim, host, owner)
        if lack:
            found.append({**_finding(claim, None), "adoptable": False, "msg": lack})
        elif use:
            found.append({**_finding(claim, use), "msg": sentence(claim, use)})
    return found


def shared_subnets(claims: t.Sequence[Claim], host: Host) -> list[str]:
    """Sentences about interfaces of others that are in the subnet of an address to be made; pure.

    Nothing is refused for that: it works while the kernel happens to send by the right one. A wider network of the host's is none of this,
    as the more specific route wins.
    """
    bridges = {claim.name: claim.on for claim in claims if claim.kind == "interface"}
    # The addresses of NICs are told as findings, or move to the bridge.
    skipped = {"lo", *(claim.name for claim in claims if claim.kind == "nic")}
    others = [one for one in host.interfaces.values() if one.up and one.name not in skipped and not _marks(one, host)]
    found = []
    for claim in claims:
        if claim.kind != "address":
            continue
        for one in others:
            # On one bridge, both are on the same link.
            if one.name == claim.on or host.database.bridge_of.get(one.name) == bridges.get(claim.on, ""):
                continue
            found += [
                f"{one.name} has {address} in the subnet of {claim.name}, which {claim.on} gets: packets may leave by either, and each of the two "
                "may answer for the other's address; take another subnet for one of them"
                for address in (*one.addresses, *one.leased)
                if _within(address, claim.name)
            ]
    return found


def _within(address: str, wanted: str) -> bool:
    """Whether the subnet of an address is that of the wanted one, or a part of it."""
    there, network = ipaddress.ip_interface(address.split(" ")[0]), ipaddress.ip_interface(wanted).network
    return there.network.prefixlen >= network.prefixlen and there.network.network_address in network


def may_adopt(finding: dict[str, t.Any], adopt: t.Collection[str]) -> bool:
    """Whether a thing that is not free may be used all the same. What is another owner's has to be named: `*` is for what nobody has marked."""
    return finding["adoptable"] and (finding["name"] in adopt or ("*" in adopt and not finding["owner"]))


def _finding(claim: Claim, use: Use | None) -> dict[str, t.Any]:
    """A thing that is not free, but for the sentence."""
    return {
        "kind": claim.kind,
        "name": claim.name,
        "owner": (use.owner or None) if use else None,
        "traces": use.traces if use else [],
        "adoptable": claim.kind not in NOT_ADOPTABLE,
    }


def run(module: t.Any, more: t.Callable[[Runner], dict[str, t.Any]]) -> None:
    """The module ownership_info. more: reads what else it returns."""
    runner = ovs_runner(module)
    claims = [Claim(row["kind"], row["name"], row["on"] or "", row["instead"]) for row in module.params["claims"]]
    adopt = module.params["adopt"]
    found: list[dict[str, t.Any]] = []
    rest: dict[str, t.Any] = {}
    try:
        if claims:
            host = read_host(runner, claims)
            found = findings(claims, host, module.params["owner"])
            for warning in shared_subnets(claims, host):
                module.warn(warning)
            if any(claim.kind == "chassis" for claim in claims):
                rest["chassis"] = chassis_of(host.database)
        rest.update(more(runner))
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    left = [one for one in found if not may_adopt(one, adopt)]
    module.exit_json(
        changed=False, findings=left, adopted=[one for one in found if one not in left], spawned=runner.spawned, **rest
    )

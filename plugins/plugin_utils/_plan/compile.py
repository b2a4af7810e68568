# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: from the intent of all hosts to what each host gets. Pure: plain data in, plain data out.

This file is private to the collection.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.edges import read_edges, read_policy
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    OPENVSWITCH,
    RESULTS,
    Bond,
    Endpoint,
    Overlay,
    Peer,
    Segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.load import check_names, check_others, load
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.routers import secrets
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.bridges import bridges
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.checks import check
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.claims import claims
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.containers import Containers
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.dhcp import DhcpServices, add_servers
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.duties import reads, roles
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.edges import Edges, add_legs
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.flows import flows, secure
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guest_items import GuestItems
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guests import Guests
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.host_network import interfaces
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.items import (
    LEAST_NEIGHBORS,
    namespaces,
    neighbor_limits,
    tunnels,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.ovn import Ovn
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.policy import Policy
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.router_items import plan_links, plan_routers
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.routers import End, underlay_mac
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.services import Services
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Plan = t.Dict[str, t.Any]


def compile_plan(
    hosts: dict[str, dict[str, t.Any]],
    spec: dict[str, t.Any],
    others: dict[str, dict[str, t.Any]] | None = None,
    lab: t.Collection[str] = (),
    routers: dict[str, dict[str, t.Any]] | None = None,
    central: t.Sequence[str] = (),
    places: t.Mapping[str, tuple[str, bool]] | None = None,
) -> Plan:
    """The plan of the whole fabric.

    hosts: the hosts of the fabric, name to variables: plain data, templates resolved.
    spec: the options of roles/plan/meta/argument_specs.yml.
    others: the hosts of the inventory that are not in the fabric, likewise, to find misplaced variables.
    routers: the hosts of the fabric that are routers only, likewise.
    central: the hosts of OVN's databases, by name.
    places: guests that are on another host than the intent names, by name: the host, and whether they are to be moved from there.
    lab: the variables of the lab, which are the role lab's concern; here only their names are checked.
    Secrets are not in it, only the places where they stand: see intent_secrets().
    Raises PlanError with all that is wrong, one sentence each. The order of the hosts means nothing.
    """
    problems: list[str] = []
    routers = routers or {}
    if not hosts and not routers:
        raise PlanError(["The group kvm_hosts has no host; put the fabric's hosts into it."])
    others = others or {}
    everyone = {**others, **routers, **hosts}
    check_names(everyone, "fabric_", {*spec, *RESULTS}, problems)
    if lab:
        check_names(everyone, "lab_", lab, problems)
    check_others(others, problems)
    intent = load(hosts, spec, problems, routers, others, places)
    edges, stated = read_edges(intent.common, problems), read_policy(intent.common, problems)
    add_servers(intent, problems)
    add_legs(intent, edges, problems)
    values = Values(intent, problems)
    check(values)
    guests = Guests(values)
    containers, services = Containers(values), Services(values)
    policy = Policy(values, guests, edges, stated)
    dhcp, edge_routers = DhcpServices(values, guests, edges), Edges(values, edges, policy)
    ovn = Ovn(values, edges, edge_routers, central, dhcp, guests)
    if problems:
        raise PlanError(problems)
    plan = _Writer(values, guests, containers, services, dhcp, edge_routers, policy, ovn).plan()
    return {**plan, "claims": claims(plan, values.intent), "roles": roles(plan), "reads": reads(plan)}


def intent_secrets(
    hosts: dict[str, dict[str, t.Any]], spec: dict[str, t.Any], routers: dict[str, dict[str, t.Any]]
) -> dict[str, str]:
    """The secrets of the intent, by the place that stands for each of them in the plan. Raises PlanError; the arguments are those of compile_plan."""
    problems: list[str] = []
    intent = load(hosts, spec, problems, routers)
    if problems:
        raise PlanError(problems)
    return secrets(intent.common, {name: host.routing for name, host in {**intent.hosts, **intent.routers}.items()})


def _bond(bond: Bond | None) -> Plan | None:
    """A bond as plain data, but for its NICs' place in the intent."""
    return None if bond is None else {k: v for k, v in dataclasses.asdict(bond).items() if k != "where"}


def _peer(peer: Peer) -> Plan:
    endpoints = [{"segment": segment, "address": str(address)} for segment, address in peer.endpoints]
    return {"name": peer.name, "address": str(peer.address), "endpoints": endpoints}


def _link_end(end: End, mac: str) -> Plan:
    pairs = ((end.address, end.link.subnet), (end.address6, end.link.subnet6))
    return {
        "interface": end.interface,
        "port": end.port,
        "vlan": end.inner_vlan,
        "mtu": end.mtu,
        "mac": mac,
        "addresses": [addresses.with_prefix(address, net) for address, net in pairs if address and net],
    }


class _Writer:
    """The values as plain data, and where each of them came from."""

    def __init__(
        self,
        values: Values,
        guests: Guests,
        containers: Containers,
        services: Services,
        dhcp: DhcpServices,
        edges: Edges,
        policy: Policy,
        ovn: Ovn,
    ) -> None:
        self.values = values
        self.guests, self.guest_items = guests, GuestItems(guests)
        self.containers = containers
        self.services = services
        self.dhcp = dhcp
        self.edges = edges
        self.policy = policy
        self.ovn = ovn
        self.sources: dict[str, str] = {}

    def plan(self) -> Plan:
        """The whole plan."""
        values, intent, underlay = self.values, self.values.intent, self.values.intent.underlay
        self._state("fabric", "fabric_name")
        for option in ("engine", "subnet", "mtu", "bridge", "interface", "bond", "tep", "vlan"):
            self._state(f"underlay.{option}", f"fabric_underlay.{option}")
        overlays = [self._overlay(overlay) for overlay in values.overlays.values()]
        segments = [self._segment(segment) for segment in values.segments.values()]
        of_guests = self.guest_items.points()
        called = {endpoint.identity: endpoint for endpoint in values.endpoints}
        endpoints = [
            {**self._endpoint(endpoint), **of_guests.get(endpoint.id, {})}
            for name in values.order
            for endpoint in intent.hosts[name].endpoints
        ]
        self.sources.update(self.guest_items.sources())
        hosts = self._hosts(endpoints)
        for name, router in values.routing.routers.items():
            self.sources.update({f"routers.{name}.{key}": source for key, source in router.sources.items()})
        return {
            "fabric": intent.name,
            "underlay": {
                "engine": underlay.engine,
                "subnet": str(underlay.subnet),
                "mtu": underlay.mtu,
                "bridge": underlay.bridge,
                "interface": underlay.interface,
                "bond": _bond(underlay.bond),
                "tep": underlay.tep,
                "vlan": underlay.vlan,
            },
            "hosts": hosts,
            "overlays": overlays,
            "segments": segments,
            "endpoints": endpoints,
            "denied": [
                {"from": called[denied.source].id, "to": called[denied.target].id, "probes": denied.probes}
                for denied in intent.denied
            ],
            "edges": self.edges.plan(),
            "policy": self.policy.plan(),
            "links": plan_links(values.routing),
            "routers": plan_routers(values.routing),
            # What may be on another host tomorrow, each with the one that it is on.
            "movable": {endpoint.name: endpoint.host for endpoint in values.endpoints if endpoint.movable},
            # The host of each guest, by the UUID of its domain.
            "guest_hosts": {guest["domain"]["uuid"]: name for name, host in hosts.items() for guest in host["guests"]},
            # Guests that are elsewhere, and are to be moved: see _plan/placement.py.
            "moves": [],
            "teps": [
                {"host": name, "address": str(values.teps[name].value), "mtu": underlay.mtu} for name in values.order
            ],
            "sources": self.sources,
        }

    def _state(self, key: str, *places: str) -> None:
        """Note whether the value at key was given, at one of the places, or is the default."""
        place = next((place for place in places if place in self.values.intent.given), None)
        self.sources[key] = f"given: {place}" if place else "default"

    def _overlay(self, overlay: Overlay) -> Plan:
        guard, why = self.values.guards[overlay.name]
        for option in ("name", "engine", "encapsulation", "topology", "bridge", "key", "segments_by"):
            self._state(f"overlays.{overlay.name}.{option}", f"{overlay.where}.{option}")
        self.sources[f"overlays.{overlay.name}.loop_guard"] = why
        return {
            "name": overlay.name,
            "engine": overlay.engine,
            "encapsulation": overlay.encapsulation,
            "topology": overlay.topology,
            "bridge": overlay.bridge,
            "key": overlay.key,
            "segments_by": overlay.segments_by,
            "loop_guard": guard,
            "tunnels": [list(pair) for pair in self.values.edges[overlay.name]],
            "tunnel_names": overlay.tunnel_names,
            "local_ip": overlay.local_ip,
            "peers": [_peer(peer) for peer in overlay.peers],
            **{name: value for name, value in overlay.options.items() if value is not None},
        }

    def _segment(self, segment: Segment) -> Plan:
        key = f"segments.{segment.name}"
        for option in ("vlan", "key", "learn", "tenant", "subnet", "subnet6"):
            self._state(f"{key}.{option}", f"{segment.where}.{option}")
        self._state(f"{key}.overlay", f"{segment.where}.overlay")
        if self.sources[f"{key}.overlay"] == "default":
            self.sources[f"{key}.overlay"] = "derived: the only overlay" if segment.overlay else "derived: no overlay"
        self.sources[f"{key}.mtu"] = self.values.mtus[segment.name].source
        return {
            "name": segment.name,
            "vlan": segment.vlan,
            "key": segment.key,
            "learn": segment.learn,
            "tenant": segment.tenant,
            "subnet": str(segment.subnet),
            "subnet6": str(segment.subnet6) if segment.subnet6 else None,
            "mtu": self.values.mtus[segment.name].value,
            "overlay": segment.overlay,
            "bridge": self.values.bridge_of(segment),
            "engine": self.values.overlays[segment.overlay].engine if segment.overlay else OPENVSWITCH,
            "encapsulation": self.values.overlays[segment.overlay].encapsulation if segment.overlay else None,
            "dhcp": self.dhcp.of_segment(segment),
        }

    def _endpoint(self, endpoint: Endpoint) -> Plan:
        segment, addressed = self.values.segments[endpoint.segment], self.values.addressed[endpoint.id]
        key = f"endpoints.{endpoint.id}"
        self._state(f"{key}.kind", f"{endpoint.where}.kind")
        self._state(f"{key}.interface", f"{endpoint.where}.interface")
        self.sources[f"{key}.mtu"] = f"derived: MTU of segment {segment.name}"
        for option in ("address", "address6", "mac"):
            value = getattr(addressed, option)
            if value.value is not None:
                self.sources[f"{key}.{option}"] = value.source
        six = addressed.address6.value
        return {
            "id": endpoint.id,
            "name": endpoint.name,
            "host": endpoint.host,
            "kind": endpoint.kind,
            "segment": segment.name,
            "address": str(addressed.address.value),
            "prefix": segment.subnet.prefixlen,
            "address6": str(six) if six else None,
            "prefix6": segment.subnet6.prefixlen if six and segment.subnet6 else None,
            "mac": addressed.mac.value,
            "interface": endpoint.interface,
            "mtu": self.values.mtus[segment.name].value,
            "dhcp": endpoint.dhcp,
            "secured": self.values.ovn(segment),
            **self.containers.of_endpoint(endpoint),
            **self.services.of_endpoint(endpoint),
            **self.edges.of_endpoint(endpoint),
            **self.policy.of_endpoint(endpoint),
            **self.ovn.of_endpoint(endpoint),
        }

    def _tep(self, address: addresses.Address) -> str:
        """A tunnel endpoint as an interface has it; on a routed underlay it is alone in its subnet."""
        if self.values.routing.routed:
            return f"{address}/{address.max_prefixlen}"
        return addresses.with_prefix(address, self.values.intent.underlay.subnet)

    def _hosts(self, endpoints: list[Plan]) -> dict[str, Plan]:
        """What each host gets."""
        values = self.values
        by_tunnels, by_namespaces = tunnels(values), namespaces(values, self.ovn.logical_port)
        by_flows, limits = flows(values, self.guests, self.policy.judged), neighbor_limits(endpoints)
        hosts: dict[str, Plan] = {}
        for name in values.order:
            underlay, guests = self._underlay(name), self.guest_items.parts(name)
            plugged = [network["bridge"] for network in guests["networks"]]
            hosts[name] = {
                "id": values.ids[name].value,
                "owner": values.intent.name,
                "underlay": underlay,
                "bridges": bridges(values, name, underlay, secure(by_flows[name]), plugged),
                "host_network": interfaces(underlay),
                "tunnels": by_tunnels[name],
                "namespaces": by_namespaces[name],
                "flows": by_flows[name],
                "neighbor_limit": limits.get(name, LEAST_NEIGHBORS),
                **guests,
                **self.containers.part(name),
                **self.services.part(name),
                **self.dhcp.part(name),
                **self.edges.part(name),
                **self.ovn.part(name),
            }
        return hosts

    def _underlay(self, name: str) -> Plan:
        """How a host is on the underlay. Where the kernel has it, there is no bridge."""
        host, underlay = self.values.intent.hosts[name], self.values.intent.underlay
        key = f"hosts.{name}"
        self.sources[f"{key}.id"] = self.values.ids[name].source
        self.sources[f"{key}.underlay.tep.address"] = self.values.teps[name].source
        links = self._links(name)
        places = (f"{name}: fabric_underlay_bond", f"{name}: fabric_underlay_interface")
        common = ("fabric_underlay.bond", "fabric_underlay.interface")
        self._state(f"{key}.underlay.nics", *(("fabric_links",) if links else (*places, *common)))
        self._state(f"{key}.underlay.engine", f"{name}: fabric_underlay_engine", "fabric_underlay.engine")
        return {
            "engine": self.values.intent.engine_of(host),
            "bridge": None if self.values.intent.by_kernel(host) else underlay.bridge,
            "nics": [link["interface"] for link in links] or self.values.intent.nics_of(host),
            "bond": _bond(self.values.intent.bond_of(host)),
            "links": links,
            "mtu": underlay.mtu,
            "tep": {
                "name": self.values.intent.tep_of(host),
                "address": self._tep(self.values.teps[name].value),
                "vlan": underlay.vlan,
            },
        }

    def _links(self, name: str) -> list[Plan]:
        """The ends of links on a KVM host with a routed underlay, whose interfaces are then the NICs on the underlay bridge."""
        router = self.values.routing.routers.get(name)
        mac = underlay_mac(self.values.intent.name, name)
        return [_link_end(end, mac) for end in (router.ends if router else ())]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OVN: what of the intent its northbound database holds, what makes a host a chassis, and what of the intent it is refused.

A segment is a logical switch, an endpoint a logical port with its MAC address and addresses (port security), an edge between segments of OVN a
distributed router, and the policy ACLs on groups of ports. How packets pass is then OVN's own concern.

This file is private to the collection.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.edges import Edge, Leg
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    DST_PORTS,
    IN_NAMESPACE,
    Address,
    Endpoint,
    Network,
    Overlay,
    Segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import (
    addresses,
    ovn_dhcp,
    ovn_guests,
    ovn_mirrors,
    ovn_qos,
    ovn_routes,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.dhcp import DhcpServices
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.edges import Edges
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guests import Guests
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.ovn_gateways import (
    Gateways,
    active_name,
    bracketed,
    holders,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.ovn import (
    Asked,
    Place,
    Side,
    acls,
    leaving,
    meter,
    sources,
)

Item = t.Dict[str, t.Any]

CENTRAL = "ovn_central"
# The port of the southbound database (ovn-sb(5)). The northbound one is asked on its own host alone.
SOUTHBOUND_PORT = 6642
# That of chassis with a role, where ovn-northd comes by the other one, as it does in a cluster.
RBAC_PORT = 16642
NORTHBOUND_PORT = 6641
# One host's databases stand alone. Of a cluster of two none may be lost, of one of four no more than of one of three.
SIZES = (1, 3, 5)
# What a chassis may be called (the module ovn_chassis).
_CHASSIS = re.compile("[A-Za-z0-9][A-Za-z0-9_.:-]*")


# Names in the databases, which several fabrics may share ---------------------------------------------------------------


def switch_name(fabric: str, segment: str) -> str:
    """The logical switch of a segment, and likewise the logical router of an edge."""
    return f"{fabric}/{segment}"


def leg_name(fabric: str, edge: str, segment: str) -> str:
    """The port of a router."""
    return f"{fabric}/{edge}:{segment}"


def plug_name(fabric: str, edge: str, segment: str) -> str:
    """The port of a switch that leads to a router. No two ports have one name, whatever they are of."""
    return f"{fabric}/{segment}@{edge}"


def group_name(fabric: str, edge: str, segment: str) -> str:
    """The group of a segment's ports; a name that a match can have (ovn-sb(5))."""
    digest = hashlib.sha256(f"{fabric}/{edge}/{segment}".encode()).hexdigest()[:5]
    return "pg_" + re.sub("[^A-Za-z0-9]", "_", f"{fabric}_{edge}_{segment}") + f"_{digest}"


def meter_name(fabric: str) -> str:
    """The meter of what is logged."""
    return f"{fabric}/log"


# The plan --------------------------------------------------------------------------------------------------------------


class Ovn:
    """What the fabric has of OVN, each checked once. What is wrong goes to the values' problems.

    central: the hosts of the group ovn_central. edges: all edges; those of OVN are distributed. routers: their policy and NAT.
    dhcp: what the plan says of each segment's DHCP.
    """

    def __init__(
        self,
        values: Values,
        edges: t.Iterable[Edge],
        routers: Edges,
        central: t.Sequence[str],
        dhcp: DhcpServices,
        guests: Guests,
    ) -> None:
        self.values = values
        self.problems = values.problems
        self.fabric = values.intent.name
        self.overlay = next((overlay for overlay in values.overlays.values() if overlay.ovn), None)
        self.edges = [edge for edge in edges if edge.distributed]
        self.legs: dict[str, list[tuple[Edge, Leg]]] = {}
        for edge in self.edges:
            for leg in edge.legs:
                self.legs.setdefault(leg.segment, []).append((edge, leg))
        self.routers = routers
        self.central = central
        self.dhcp = dhcp
        self.guests = guests
        self.segments = [segment for segment in values.segments.values() if values.ovn(segment)]
        self.points: dict[str, list[Endpoint]] = {segment.name: [] for segment in self.segments}
        for endpoint in values.endpoints:
            self.points.get(endpoint.segment, []).append(endpoint)
        self.further: dict[str, list[ovn_guests.Further]] = {segment.name: [] for segment in self.segments}
        for nic in ovn_guests.further(
            self.fabric, (one for here in guests.by_host.values() for one in here), values.ovn
        ):
            self.further[nic.segment].append(nic)
        self.gateways = Gateways(values, self.edges, routers, guests)
        self._check()

    def part(self, host: str) -> Item:
        """What a host gets: how it is a chassis, as the module ovn_chassis takes it, and what its databases hold, if it has them."""
        if self.overlay is None:
            return {"ovn_chassis": None, "ovn_central": None}
        return {
            "ovn_chassis": {
                **self._chassis(host),
                "bridge": self.overlay.bridge,
                "remotes": [self._remote(one) for one in self.central],
                "ssl": self.overlay.tls or {},
                **self.gateways.chassis(host),
            },
            "ovn_central": {**self._databases(), **self._served(host)} if host in self.central else None,
        }

    def _chassis(self, host: str) -> Item:
        overlay = t.cast(Overlay, self.overlay)
        return {
            "name": host,
            "encapsulations": [overlay.encapsulation],
            "encapsulation_ip": str(self.values.teps[host].value),
        }

    def _databases(self) -> Item:
        """What the databases hold: northbound as the module ovn_northbound takes it, and which chassis and bindings come of it."""
        return {
            "chassis": [self._chassis(host) for host in self.values.order],
            "northbound": self._northbound(),
            "gateways": {
                active_name(leg_name(self.fabric, edge.name, edge.provider.segment)): edge.hosts
                for edge in self.gateways.edges
                if edge.provider
            },
            "bindings": self._bindings(),
        }

    def _northbound(self) -> Item:
        """The northbound database, as the module ovn_northbound takes it."""
        gateways = self.gateways
        groups = [self._group(edge, leg) for edge in self.edges for leg in edge.legs if leg is not edge.provider]
        logs = any(acl["log"] for group in groups for acl in group["acls"])
        clients = [segment for segment in self.segments if segment.dhcp]
        return {
            "switches": [
                *(self._switch(segment) for segment in self.segments),
                *(self._provider(segment) for segment in gateways.providers()),
            ],
            "routers": [self._router(edge) for edge in self.edges],
            "port_groups": groups,
            "meters": [meter(meter_name(self.fabric))] if logs else [],
            "dhcp_options": [row for one in clients for row in ovn_dhcp.options(one, self._told(one))],
            "dns": [self._names(segment) for segment in clients],
            "mirrors": ovn_mirrors.rows(self.values),
            "load_balancers": gateways.balancers(),
            "ha_chassis_groups": gateways.groups(),
            "nb_global_options": gateways.options(),
        }

    def _bindings(self) -> dict[str, str]:
        """The host of each logical port."""
        result = {}
        for segment in self.segments:
            for endpoint in self.points[segment.name]:
                result[ovn_guests.logical_port(self.fabric, endpoint)] = endpoint.host
        for nics in self.further.values():
            result.update({nic.name: nic.endpoint.host for nic in nics})
        return result

    def _served(self, host: str) -> Item:
        """How a host's databases are served: their listeners, TLS, and the cluster of several hosts.

        Members of a cluster have their listeners in common, so by TLS each listens on all its addresses; by TCP the module lets it listen on one.
        """
        overlay = t.cast(Overlay, self.overlay)
        tls = overlay.tls or {}
        members = [str(self.values.teps[one].value) for one in self.central]
        served: Item = {"ssl": tls, "hosts": list(self.central), "cluster": {}, "northbound_listeners": []}
        # One host's answer is enough, and each question reads the whole southbound database.
        served["hops"] = self._hops() if host == self.central[0] else []
        if len(members) == 1:
            # Its ovn-northd asks by the local socket.
            listeners = [f"{'pssl' if tls else 'ptcp'}:{SOUTHBOUND_PORT}:{self._address(host)}"]
            return {
                **served,
                "southbound_listeners": [] if overlay.rbac else listeners,
                "southbound_rbac": listeners if overlay.rbac else [],
            }
        return {
            **served,
            "cluster": {"address": members[self.central.index(host)], "members": members},
            "northbound_listeners": [f"pssl:{NORTHBOUND_PORT}"] if tls else [],
            "southbound_listeners": [f"pssl:{SOUTHBOUND_PORT}"] if tls else [],
            "southbound_rbac": [f"pssl:{RBAC_PORT}"] if overlay.rbac else [],
        }

    def _hops(self) -> list[Item]:
        """What OVN is asked about routes of sources, as the option hops of the module status_info, with the planned next hops."""
        return [
            {"router": switch_name(self.fabric, edge.name), **question}
            for edge in self.edges
            for question in ovn_routes.questions(
                self.values,
                edge,
                functools.partial(leg_name, self.fabric, edge.name),
                functools.partial(self._mac, edge),
            )
        ]

    def logical_port(self, endpoint: Endpoint) -> str | None:
        """The logical port that an endpoint is; None if it is on no segment of OVN."""
        return ovn_guests.logical_port(self.fabric, endpoint) if endpoint.segment in self.points else None

    def of_endpoint(self, endpoint: Endpoint) -> Item:
        """What the plan says of an endpoint besides, if it is on OVN."""
        return (
            {"logical_port": ovn_guests.logical_port(self.fabric, endpoint)} if endpoint.segment in self.points else {}
        )

    def _address(self, host: str) -> str:
        """Where a host's databases are asked."""
        return bracketed(self.values.teps[host].value)

    def _remote(self, host: str) -> str:
        overlay = t.cast(Overlay, self.overlay)
        port = RBAC_PORT if overlay.rbac and len(self.central) > 1 else SOUTHBOUND_PORT
        return f"{'ssl' if overlay.tls else 'tcp'}:{self._address(host)}:{port}"

    def _told(self, segment: Segment) -> ovn_dhcp.Told:
        """What clients of a segment with DHCP are told."""
        return ovn_dhcp.Told(
            switch_name(self.fabric, segment.name),
            addresses.derived_mac(self.values.intent, f"dhcp:{segment.name}"),
            t.cast(Item, self.dhcp.of_segment(segment)),
            self.values.mtus[segment.name].value,
        )

    def _names(self, segment: Segment) -> Item:
        """The names of a segment's endpoints."""
        told = self._told(segment)
        leases = self.dhcp.leases(self.dhcp.served[segment.name])
        return {"name": told.name, "records": ovn_dhcp.records(leases, told.planned["domain"])}

    def _switch(self, segment: Segment) -> Item:
        name = switch_name(self.fabric, segment.name)
        return {
            "name": name,
            "other_config": ovn_qos.snooping(segment, self._querier(segment), self._router_of(segment)),
            "qos_rules": [
                rule
                for endpoint in self.points[segment.name]
                for rule in ovn_qos.rules(ovn_guests.logical_port(self.fabric, endpoint), endpoint.qos)
            ],
            "dns_records": [name] if segment.dhcp else [],
            "load_balancers": self.gateways.balancers_of(segment.name),
            "ports": [
                *(
                    {**self._port(endpoint), **ovn_dhcp.of_port(segment, name)}
                    for endpoint in self.points[segment.name]
                ),
                *({**self._further(nic), **ovn_dhcp.of_port(segment, name)} for nic in self.further[segment.name]),
                *self._plugs(segment.name),
            ],
        }

    def _querier(self, segment: Segment) -> str:
        """The MAC address that asks who is a member of which group of multicast."""
        return addresses.derived_mac(self.values.intent, f"multicast:{segment.name}")

    def _router_of(self, segment: Segment) -> Address | None:
        """The IPv4 address of a segment's gateway, or else of any router on it."""
        legs = [leg for _edge, leg in self.legs.get(segment.name, ())]
        found = [leg.address for leg in sorted(legs, key=lambda leg: not leg.gateway)]
        return next((address for address in found if address.version == 4), None)

    def _provider(self, segment: Segment) -> Item:
        """The switch of a provider network."""
        return {
            "name": switch_name(self.fabric, segment.name),
            "dns_records": [],
            "load_balancers": [],
            "ports": [self.gateways.outside(segment), *self._plugs(segment.name)],
        }

    def _plugs(self, segment: str) -> list[Item]:
        """The ends of routers' ports at a switch."""
        return [self._plug(edge, segment) for edge, _leg in self.legs.get(segment, ())]

    def _plug(self, edge: Edge, segment: str) -> Item:
        """The end of a router's port at a switch."""
        return {
            "name": plug_name(self.fabric, edge.name, segment),
            "type": "router",
            "addresses": ["router"],
            "options": {
                "router-port": leg_name(self.fabric, edge.name, segment),
                **self.gateways.plug(edge, segment),
            },
        }

    def _port(self, endpoint: Endpoint) -> Item:
        """A port with what its endpoint may send. A router sends what others have sent to it, so of that one the MAC address alone is held."""
        addressed = self.values.addressed[endpoint.id]
        own = [addressed.address.value, addressed.address6.value, *endpoint.further]
        known = " ".join([addressed.mac.value, *(str(address) for address in own if address)])
        return {
            "name": ovn_guests.logical_port(self.fabric, endpoint),
            "type": "",
            "addresses": [known],
            "port_security": [addressed.mac.value if endpoint.is_router else known],
            "mirror_rules": ovn_mirrors.rules(self.fabric, endpoint.mirrors),
            **_placed(endpoint),
            **({} if endpoint.kind in IN_NAMESPACE else {"external_ids": ovn_guests.called(self.fabric, endpoint, 0)}),
        }

    def _further(self, nic: ovn_guests.Further) -> Item:
        """The port of a guest's further NIC. With one that has no address, its MAC address alone is held."""
        known = " ".join([nic.mac, *nic.addresses])
        return {
            "name": nic.name,
            "type": "",
            "addresses": [known],
            "port_security": [nic.mac if nic.endpoint.is_router else known],
            "external_ids": {"neutron:port_name": nic.called},
            **_placed(nic.endpoint),
        }

    def _router(self, edge: Edge) -> Item:
        return {
            "name": switch_name(self.fabric, edge.name),
            "ports": [{**self._leg(edge, leg), **self.gateways.port(edge, leg)} for leg in edge.legs],
            "policies": [
                *sources([self._side(edge, leg) for leg in edge.legs]),
                *ovn_routes.rows(self.values, edge, functools.partial(leg_name, self.fabric, edge.name)),
            ],
            **self.gateways.router(edge),
            "static_routes": [
                {"ip_prefix": _prefix(route["to"], route["via"]), "nexthop": route["via"]} for route in edge.routes
            ],
        }

    def _leg(self, edge: Edge, leg: Leg) -> Item:
        segment = self.values.segments[leg.segment]
        pairs = ((leg.address, segment.subnet), (leg.address6, segment.subnet6))
        return {
            "name": leg_name(self.fabric, edge.name, leg.segment),
            "mac": self._mac(edge, leg),
            "networks": [addresses.with_prefix(address, net) for address, net in pairs if address and net],
            "ipv6_ra_configs": ovn_dhcp.advertised(self._told(segment))
            if segment.dhcp and leg.gateway and any(one and one.version == 6 for one in (leg.address, leg.address6))
            else {},
        }

    def _mac(self, edge: Edge, leg: Leg) -> str:
        return addresses.derived_mac(self.values.intent, edge.nic(leg))

    def _side(self, edge: Edge, leg: Leg) -> Side:
        subnets = self.values.segments[leg.segment].subnets
        return Side(leg_name(self.fabric, edge.name, leg.segment), subnets, inner=bool(leg.gateway))

    def _group(self, edge: Edge, leg: Leg) -> Item:
        """The ports of a segment, before which an edge's policy stands."""
        segment = self.values.segments[leg.segment]
        name = group_name(self.fabric, edge.name, leg.segment)
        rules, log = self.routers.rules_of(edge), bool(edge.log)
        place = Place(name, leg.segment, segment.subnets, self._mac(edge, leg), meter_name(self.fabric))
        listed = acls(rules, place, log)
        if edge.provider:
            asked = [Asked(one.counter, one.address, one.protocol, one.port) for one in self.gateways.forwarded(edge)]
            asked = list(dict.fromkeys(asked))
            listed += leaving(rules, place, edge.provider.segment, self._inside(edge), asked, log)
        return {
            "name": name,
            "ports": [
                *(ovn_guests.logical_port(self.fabric, endpoint) for endpoint in self.points[leg.segment]),
                *(nic.name for nic in self.further[leg.segment]),
            ],
            "acls": listed,
        }

    def _inside(self, edge: Edge) -> list[Network]:
        """The subnets of all of an edge's legs but that which leads outside."""
        legs = [leg for leg in edge.legs if leg is not edge.provider]
        return [net for leg in legs for net in self.values.segments[leg.segment].subnets]

    # Checks

    def _check(self) -> None:
        ovn_qos.check(self.values)
        ovn_mirrors.check(self.values)
        if self.overlay is None:
            return
        self._check_overlays(self.overlay)
        self._check_central(self.overlay)
        for host in self.values.order:
            if not _CHASSIS.fullmatch(host):
                self.problems.append(
                    f"The host {host} is a chassis of OVN, whose name begins with a letter or digit and has A-Z, a-z, 0-9, '_', '.', ':' and '-';"
                    " give it another name in the inventory."
                )
        for segment in self.segments:
            self._check_segment(segment)
        for endpoint in self.values.endpoints:
            self._check_endpoint(endpoint)
        for edge in self.edges:
            self._check_edge(edge)
        for denied in self.values.intent.denied:
            if any(end.identity == denied.source for ends in self.points.values() for end in ends):
                self.problems.append(
                    f"{denied.where}.from {denied.source} is on an overlay with the engine ovn, which has no flows of the intent's;"
                    " leave it out, or take the engine openvswitch."
                )

    def _check_overlays(self, overlay: Overlay) -> None:
        """A host has one ovn-controller, with a bridge and keys of its own."""
        port = DST_PORTS.get(overlay.encapsulation)
        for other in self.values.overlays.values():
            if other is overlay:
                continue
            if other.ovn:
                self.problems.append(
                    f"{overlay.where} and {other.where} both have the engine ovn, of which a host can have one; put their segments on one overlay."
                )
                continue
            if other.bridge and other.bridge == overlay.bridge:
                self.problems.append(
                    f"{overlay.where}.bridge {overlay.bridge} is also that of {other.name}, but OVN needs one for itself; give it another bridge."
                )
            same = (other.encapsulation, other.options["dst_port"] or port) == (overlay.encapsulation, port)
            if same and (other.keyed or other.key):
                self.problems.append(
                    f"{other.where} is {other.encapsulation} with {'segments by key' if other.keyed else f'the key {other.key}'},"
                    f" but OVN gives out the keys of {overlay.encapsulation} on overlay {overlay.name}; give one of them another encapsulation."
                )

    def _check_central(self, overlay: Overlay) -> None:
        """The databases are on one host or a cluster of them, which the others know by their tunnel endpoints."""
        strangers = [host for host in self.central if host not in self.values.intent.hosts]
        if not self.central:
            self.problems.append(
                f"{overlay.where}.engine ovn needs a host for OVN's databases; put one of the KVM hosts into the group {CENTRAL}."
            )
        elif len(self.central) not in SIZES:
            self.problems.append(
                f"The group {CENTRAL} has the {len(self.central)} hosts {', '.join(self.central)}, but a cluster of databases has three or five, of which"
                " one or two may be lost; leave one host there, or put as many there."
            )
        for host in strangers:
            self.problems.append(
                f"{host} is in the group {CENTRAL} and is no KVM host; put a host there that is in kvm_hosts, too,"
                " as the others ask it by its tunnel endpoint."
            )

    def _check_segment(self, segment: Segment) -> None:
        if segment.learn:
            self.problems.append(
                f"{segment.where}.learn is for overlays with segments_by: key; leave it out, as OVN knows its ports."
            )
        stated = segment.policy or (self.overlay.policy if self.overlay else None)
        if stated and stated != "none":
            self.problems.append(
                f"{segment.where} has a policy within the segment, which is for overlays with segments_by: key; leave it out,"
                " as edges between segments of OVN enforce fabric_policy."
            )

    def _check_endpoint(self, endpoint: Endpoint) -> None:
        """A trunk would be several logical ports behind one."""
        guest = endpoint.guest if endpoint.kind == "guest" and isinstance(endpoint.guest, dict) else {}
        for number, nic in enumerate(guest.get("nics") or ()):
            names = [name for name in (nic["trunks"] or () if isinstance(nic, dict) else ()) if name in self.points]
            if names:
                self.problems.append(
                    f"{endpoint.where}.guest.nics[{number}].trunks has segment {names[0]}, whose overlay has the engine ovn and no VLANs;"
                    " give it a NIC of its own."
                )

    def _check_edge(self, edge: Edge) -> None:
        if edge.vrid:
            self.problems.append(
                f"{edge.where}.vrid is for an edge on two hosts, and this one is on every host, as its segments are OVN's; leave it out."
            )
        self._check_taking_over(edge)
        self._check_routes(edge)
        ovn_routes.check(self.values, edge)
        for leg in edge.legs:
            self._check_leg(leg)

    def _check_taking_over(self, edge: Edge) -> None:
        """How one host takes over from another is for edges of which several hosts lead outside."""
        stated = [name for name in ("advert_interval", "preempt") if f"{edge.where}.{name}" in self.values.intent.given]
        for option in stated if not (edge.provider and edge.redundant) else ():
            where = "on one" if edge.provider else "on every host, as its segments are OVN's"
            self.problems.append(
                f"{edge.where}.{option} is for an edge with several hosts of which one is active, and this one is {where}; leave it out."
            )
        if "preempt" in stated and edge.provider and edge.redundant and edge.preempt is False:
            self.problems.append(
                f"{edge.where}.preempt is false, but with OVN the first host is the gateway again as soon as it is back; leave it out, or set it to true."
            )

    def _check_routes(self, edge: Edge) -> None:
        """Each route is stated once, and leads to another router."""
        own = {str(address) for leg in edge.legs for address in (leg.address, leg.address6) if address}
        seen = set()
        for route in edge.routes:
            way = (_prefix(route["to"], route["via"]), route["via"])
            where = f"{edge.where}.routes to {route['to']} via {route['via']}"
            if way in seen:
                self.problems.append(f"{where} is there twice; leave one of them out.")
            elif route["via"] in own:
                self.problems.append(f"{where} leads to the edge itself; give the address of another router.")
            seen.add(way)

    def _check_leg(self, leg: Leg) -> None:
        """A router's address is on its segment, and nobody else's."""
        segment = self.values.segments.get(leg.segment) if leg.segment else None
        if segment is None:
            if leg.segment:
                known = [segment.name for segment in self.segments]
                self.problems.append(
                    f"{leg.where}.segment {word(leg.segment)} is no segment{suggest(leg.segment, known)}"
                )
            return
        self._check_left_out(leg, segment)
        if any(edge.provider is leg for edge in self.edges):
            # Its addresses are held against all others there.
            return
        others = [one for _edge, one in self.legs[leg.segment] if one is not leg]
        for option, subnet in (("address", segment.subnet), ("address6", segment.subnet6)):
            address = getattr(leg, option)
            if not address or not subnet:
                continue
            where = f"{leg.where}.{option} {address}"
            if address.version != subnet.version or address not in subnet or addresses.reserved(subnet, address):
                self.problems.append(f"{where} is no address of segment {segment.name} ({subnet}); give one there.")
            for holder in holders(self.values, self.guests, segment.name, address):
                self.problems.append(f"{where} is also that of {holder}; give one of them another address.")
            for other in others:
                if address in (other.address, other.address6) and leg.where > other.where:
                    self.problems.append(f"{where} is also that of {other.where}; give one of them another address.")

    def _check_left_out(self, leg: Leg, segment: Segment) -> None:
        """What a leg of a namespace may have, and the address of a family that the segment does not have."""
        if leg.interface:
            self.problems.append(
                f"{leg.where}.interface is for edges in a namespace; leave it out, as OVN's router has no interface of the host's."
            )
        for option, given in (("host_addresses", leg.own), ("host_addresses6", leg.own6)):
            if given is not None:
                self.problems.append(
                    f"{leg.where}.{option} is for an edge on two hosts; leave it out, as OVN's router has one address for all hosts."
                )
        if leg.address6 and segment.subnet6 is None:
            self.problems.append(
                f"{leg.where}.address6 {leg.address6} is given, but segment {segment.name} has no subnet6; give it one, or leave the address out."
            )


def _placed(endpoint: Endpoint) -> Item:
    """While an endpoint moves, it is on two hosts, and this decides which of them has its ports."""
    if not endpoint.movable:
        return {}
    # The first of two has it until the guest is announced from the second.
    hosts = f"{endpoint.host},{endpoint.stated}" if endpoint.moving else endpoint.host
    return {"options": {"requested-chassis": hosts}}


def _prefix(to: str, via: str) -> str:
    """The destination of a route as OVN has it."""
    if to != "default":
        return to
    return "0.0.0.0/0" if ipaddress.ip_address(via).version == 4 else "::/0"

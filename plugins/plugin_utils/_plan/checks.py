# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not be in a fabric, beyond what a single value shows.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host_network.declaration import MIIMON, is_name
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    DST_PORTS,
    Bond,
    Host,
    Overlay,
    Peer,
    Segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, suggest, word
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses, mesh
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import flows as _plan_flows
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.wires import plug_bridge


def check(values: Values) -> None:
    """All checks; what is wrong goes to the values' problems."""
    _endpoints(values)
    _networks(values)
    _vlans(values)
    _bridges(values)
    _keys(values)
    _reach(values)
    _bare(values)
    _beside(values)
    _bonds(values)
    _by_kernel(values)
    _peers(values)
    _interfaces(values)
    _plan_flows.check(values)


def _endpoints(values: Values) -> None:
    """Each endpoint's segment exists, and its routes leave through it."""
    for endpoint in values.endpoints:
        if endpoint.segment is INVALID:
            continue
        segment = values.segments.get(endpoint.segment)
        if segment is None:
            if "fabric_segments" not in values.intent.refused:
                values.problems.append(
                    f"{endpoint.where}.segment {word(endpoint.segment)} is no segment{suggest(endpoint.segment, values.segments)}"
                )
            continue
        nets = segment.subnets
        if segment.subnet is INVALID or segment.subnet6 is INVALID:
            continue
        for route in endpoint.routes:
            if not any(addresses.contains(net, route["via"]) for net in nets):
                values.problems.append(
                    f"{endpoint.where}.routes to {route['to']} goes via {route['via']}, which is not on segment {segment.name}"
                    f" ({', '.join(map(str, nets))}); give a next hop there."
                )
        # An edge's are of all its segments together.
        for to, via, second in () if endpoint.edge else addresses.second_hops(endpoint.routes):
            values.problems.append(
                f"{endpoint.where}.routes to {to} goes via {via} and {second}; leave one of them out."
            )


def _networks(values: Values) -> None:
    """No two networks share an address, but those of different tenants."""
    tenants: dict[str | None, list[tuple[addresses.Network, str]]] = {}
    for segment in values.segments.values():
        networks = tenants.setdefault(segment.tenant, [])
        networks += [
            (net, f"{segment.where}.{option}") for option in ("subnet", "subnet6") if (net := getattr(segment, option))
        ]
    for networks in tenants.values():
        if values.intent.underlay.subnet and values.intent.hosts:
            networks.append((values.intent.underlay.subnet, "fabric_underlay.subnet"))
        addresses.overlaps(networks, values.problems)


def _vlans(values: Values) -> None:
    """A VLAN of a bridge is one segment, and so is the untagged traffic."""
    seen: dict[tuple[str, int | None], Segment] = {}
    for segment in values.segments.values():
        bridge = values.bridge_of(segment)
        if not bridge or segment.vlan is INVALID or values.keyed(segment) or values.ovn(segment):
            continue
        other = seen.setdefault((bridge, segment.vlan), segment)
        if other is not segment:
            what = "are both untagged" if segment.vlan is None else f"both have VLAN {segment.vlan}"
            values.problems.append(
                f"{other.where} and {segment.where} {what} on bridge {bridge}; give one of them another vlan."
            )


def _bridges(values: Values) -> None:
    """Overlays that share a bridge stay apart by their VLANs, which RSTP does not know."""
    carried = values.carried()
    by_bridge: dict[str, list[Overlay]] = {}
    for overlay in values.overlays.values():
        if overlay.bridge:
            by_bridge.setdefault(overlay.bridge, []).append(overlay)
    for bridge, sharing in by_bridge.items():
        if bridge == values.intent.underlay.bridge and not sharing[0].bare:
            values.problems.append(
                f"{sharing[0].where}.bridge {bridge} is the underlay's bridge too; give the overlay its own."
            )
        if len(sharing) < 2:
            continue
        for overlay in sharing:
            others = ", ".join(o.name for o in sharing if o is not overlay)
            if values.guards.get(overlay.name, ("", ""))[0] == "rstp":
                values.problems.append(
                    f"{overlay.where}.bridge {bridge} is shared with {others}, but RSTP needs a bridge of its own; give it another bridge."
                )
            if not carried[overlay.name] and all(s.overlay is not INVALID for s in values.segments.values()):
                values.problems.append(
                    f"{overlay.where} has no segment, but shares bridge {bridge} with {others};"
                    " give it a segment or another bridge, or leave it out."
                )


def _keys(values: Values) -> None:
    """Open vSwitch tells tunnels between the same two endpoints apart by protocol, key and port alone."""
    seen: dict[tuple[t.Any, ...], Overlay] = {}
    told = set()
    for name, pairs in values.edges.items():
        overlay = values.overlays[name]
        port = overlay.options["dst_port"] or DST_PORTS.get(overlay.encapsulation)
        if INVALID in (overlay.encapsulation, overlay.key, port):
            continue
        for pair in pairs:
            key = "flow" if overlay.keyed else overlay.key
            other = seen.setdefault((frozenset(pair), overlay.encapsulation, key, port), overlay)
            if other is not overlay and (other.name, name) not in told:
                told.add((other.name, name))
                what = (
                    "segments by key"
                    if overlay.keyed
                    else "no key"
                    if overlay.key is None
                    else f"the key {overlay.key}"
                )
                values.problems.append(
                    f"{other.where} and {overlay.where} are both {overlay.encapsulation} with {what} between {pair[0]} and {pair[1]};"
                    f" give one of them another {'encapsulation or dst_port' if overlay.keyed else 'key'}."
                )


def _reach(values: Values) -> None:
    """All hosts with endpoints of a segment are joined by its overlay."""
    joined = values.joined()
    for name, hosts in values.members().items():
        segment = values.segments[name]
        first = next(iter(hosts))
        if segment.overlay is None and len(hosts) > 1:
            values.problems.append(
                f"{segment.where} has endpoints on {', '.join(hosts)}, but fabric_overlays is empty, so nothing joins them; add an overlay."
            )
        elif segment.overlay in joined and INVALID not in (
            values.overlays[segment.overlay].hubs,
            values.overlays[segment.overlay].links,
        ):
            part = joined[segment.overlay]
            for host in hosts:
                if part[host] != part[first]:
                    values.problems.append(
                        f"{segment.where} has endpoints on {first} and {host}, but overlay {segment.overlay} does not join"
                        " these hosts; add a tunnel, or take another topology."
                    )
                    break


def _bare(values: Values) -> None:
    """VLANs on the underlay itself stay apart from the tunnel endpoints' own network, and need an underlay that carries frames."""
    for name, segments in values.carried().items():
        overlay = values.overlays[name]
        if not overlay.bare:
            continue
        if values.routing.routed:
            values.problems.append(
                f"{overlay.where} has the encapsulation vlan, but fabric_links makes the underlay routed, and no VLAN passes a router;"
                " take a tunnel, as vxlan."
            )
        for segment in segments:
            if segment.vlan is None:
                values.problems.append(
                    f"{segment.where}.vlan is missing; overlay {name} has no tunnels, so only a VLAN keeps its segments apart."
                )
            elif segment.vlan and segment.vlan == values.intent.underlay.vlan:
                values.problems.append(
                    f"{segment.where}.vlan {segment.vlan} is fabric_underlay.vlan too; give the segment another."
                )


def _beside(values: Values) -> None:
    """A router on a segment that is a VLAN of the underlay is in that VLAN, and has an address that no endpoint has."""
    ends = [end for router in values.routing.routers.values() for end in router.ends]
    for segment in values.segments.values() if ends else ():
        names = [link.name for link in values.routing.beside(segment)]
        for end in (one for one in ends if one.link.name in names):
            if end.vlan and segment.vlan and end.vlan[1] != segment.vlan:
                values.problems.append(
                    f"{end.link.where}: {end.name} is VLAN {end.vlan[1]}, and its subnet is that of segment {segment.name}, which is VLAN"
                    f" {segment.vlan}; give both the same."
                )
            for address in (end.address, end.address6):
                for holder in values.holders(segment.name, address):
                    values.problems.append(
                        f"{end.link.where}: the address {address} of {end.name} is also that of {holder}; give that another address."
                    )


def _bonds(values: Values) -> None:
    """A routed underlay has a NIC for each link, and no other."""
    found = [(values.intent.bond_of(host), values.intent.by_kernel(host)) for host in values.intent.hosts.values()]
    bonds = [(bond, kernel) for bond, kernel in found if bond]
    for where in dict.fromkeys(bond.where for bond, _kernel in bonds if values.routing.routed):
        values.problems.append(
            f"{where} is for a switched underlay, but fabric_links makes it routed, with a NIC for each link; leave one of them out."
        )
    unfit = [f"{bond.where}.{problem}" for bond, kernel in bonds for problem in _unfit(bond, kernel)]
    values.problems.extend(dict.fromkeys(unfit))


def _unfit(bond: Bond, kernel: bool) -> t.Iterator[str]:
    """What of a bond its engine does not have."""
    other = ("balance-slb",) if kernel else ("balance-xor", "balance-tlb", "balance-alb")
    whose, engine = ("Open vSwitch's", "openvswitch") if kernel else ("the kernel's", "kernel")
    if bond.mode in other:
        yield f"mode {bond.mode} is {whose}; take active-backup or lacp, or the engine {engine} in fabric_underlay."
    for option in ("up_delay", "down_delay"):
        value = getattr(bond, option)
        if value is not None and not kernel and bond.lacp:
            yield f"{option} is for the modes without LACP, which has timers of its own; leave it out with lacp."
        if value and kernel and value % MIIMON:
            yield f"{option} {value} is no multiple of {MIIMON}, as the kernel looks at the links every {MIIMON} ms; round it."


def _by_kernel(values: Values) -> None:
    """Where the kernel has the underlay, no bridge of Open vSwitch is on it."""
    intent = values.intent
    hosts = {name: host for name, host in intent.hosts.items() if intent.by_kernel(host)}
    if not hosts:
        return
    some = next(iter(hosts))
    where = f"{some}: fabric_underlay_engine" if hosts[some].engine else "fabric_underlay.engine"
    if values.routing.routed:
        values.problems.append(
            f"{where} kernel is for a switched underlay, but fabric_links makes it routed; leave one of them out."
        )
    for name in values.carried():
        overlay = values.overlays[name]
        if overlay.bare:
            values.problems.append(
                f"{overlay.where} has the encapsulation vlan, but {some} has no underlay bridge to plug endpoints into, as {where} is kernel;"
                " take a tunnel, as vxlan, or the engine openvswitch."
            )
    for option, unused in (("bridge", True), ("tep", not intent.underlay.vlan)):
        if unused and len(hosts) == len(intent.hosts) and f"fabric_underlay.{option}" in intent.given:
            values.problems.append(f"fabric_underlay.{option} {_WITHOUT[option]}; leave it out.")
    for name, host in hosts.items():
        values.problems += _odd_names(values, name, host)


_WITHOUT = {
    "bridge": "is Open vSwitch's, and the kernel has the underlay of each host",
    "tep": "names the interface of a VLAN, and fabric_underlay.vlan is not given",
}


def _odd_names(values: Values, name: str, host: Host) -> t.Iterator[str]:
    """The names of interfaces that some manager of a host's network would not take as they are."""
    bond = values.intent.bond_of(host)
    for one in (*values.intent.nics_of(host), *([bond.name] if bond else []), values.intent.tep_of(host)):
        if one and not is_name(one):
            yield f"{name}: the name {one} is none that systemd-networkd, NetworkManager and ifupdown take; use letters, digits and _.@+-."


def _peers(values: Values) -> None:
    """A peer is no host of the fabric, can be reached from it, and has endpoints on its overlay's segments."""
    subnet = values.intent.underlay.subnet
    teps = {values.teps[host].value: host for host in values.order}
    carried = values.carried()
    for overlay in values.overlays.values():
        seen: dict[t.Any, str] = {}
        for peer in overlay.peers:
            if peer.name in values.intent.hosts:
                values.problems.append(
                    f"{peer.where} has the name of the host {peer.name}, which has its tunnels anyway; leave it out, or rename it."
                )
            if peer.address and subnet:
                _peer_address(values, peer, teps, seen)
            for index, (name, address) in enumerate(peer.endpoints):
                place = f"{peer.where}.endpoints[{index}]"
                _peer_endpoint(values, overlay.name, carried[overlay.name], place, name, address)


def _peer_address(values: Values, peer: Peer, teps: dict[t.Any, str], seen: dict[t.Any, str]) -> None:
    """A peer's tunnel endpoint is one of its own, of the underlay's family. seen: the other peers' addresses."""
    subnet, where = values.intent.underlay.subnet, peer.where
    if peer.address.version != subnet.version:
        values.problems.append(
            f"{where}.address {peer.address} is IPv{peer.address.version}, but fabric_underlay.subnet {subnet} is IPv{subnet.version};"
            f" give an IPv{subnet.version} address."
        )
    elif peer.address in teps:
        values.problems.append(
            f"{where}.address {peer.address} is the tunnel endpoint of {teps[peer.address]}; give the peer's own."
        )
    elif seen.setdefault(peer.address, where) != where:
        values.problems.append(f"{seen[peer.address]} and {where} both have the address {peer.address}; leave one out.")


def _peer_endpoint(
    values: Values, overlay: str, segments: list[Segment], place: str, name: str, address: addresses.Address | None
) -> None:
    """An endpoint behind a peer is on a segment of the overlay."""
    if name is INVALID:
        return
    segment = next((segment for segment in segments if segment.name == name), None)
    if segment is None:
        known = [segment.name for segment in segments]
        values.problems.append(f"{place}.segment {word(name)} is no segment of overlay {overlay}{suggest(name, known)}")
        return
    if not address or INVALID in (segment.subnet, segment.subnet6):
        return
    if not any(addresses.contains(subnet, str(address)) for subnet in segment.subnets):
        values.problems.append(f"{place}.address {address} is not on segment {name}; give an address in its subnet.")


def _interfaces(values: Values) -> None:
    """Each name on a host, and in a namespace, is one thing."""
    told = set()
    for name in values.intent.hosts:
        taken: dict[str, str] = {}
        things = [*_underlay_names(values, name), *_tunnel_names(values, name), *_port_names(values, name)]
        for thing, what in things:
            clash = taken.setdefault(thing, what) if thing else what
            if clash != what and (clash, what) not in told:
                told.add((clash, what))
                values.problems.append(f"{name}: the name {thing} is both {clash} and {what}; rename one of them.")
    _check_tunnel_names(values)
    for endpoint in values.endpoints:
        if endpoint.interface == "lo":
            values.problems.append(f"{endpoint.where}.interface lo is the loopback; take another name.")
        if endpoint.given_outer and endpoint.kind == "guest":
            values.problems.append(f"{endpoint.where}.outer is for endpoints in namespaces; leave it out with a guest.")


def _underlay_names(values: Values, name: str) -> t.Iterator[tuple[str, str]]:
    """The names of a host's bridges, NICs and tunnel endpoint, each with what it is."""
    underlay, host = values.intent.underlay, values.intent.hosts[name]
    kernel = values.intent.by_kernel(host)
    if not kernel:
        yield underlay.bridge, "fabric_underlay.bridge"
    if name in values.routing.routers:
        for end in values.routing.routers[name].ends:
            yield end.interface, f"the end of {end.link.name}"
            yield end.port, f"the port of {end.link.name}"
    else:
        bond = values.intent.bond_of(host)
        for nic in values.intent.nics_of(host):
            yield nic, f"a NIC of {bond.where}" if bond else "the underlay's NIC"
        if bond:
            yield bond.name, f"{bond.where}.name"
    if not kernel or underlay.vlan:
        yield underlay.tep, "fabric_underlay.tep"
    # Overlays may share a bridge.
    bridges = {overlay.bridge: f"{overlay.where}.bridge" for overlay in values.overlays.values() if overlay.bridge}
    yield from ((bridge, place) for bridge, place in bridges.items() if bridge != underlay.bridge)


def _tunnel_names(values: Values, name: str) -> t.Iterator[tuple[str, str]]:
    """The names of a host's tunnels, each with what it is."""
    for overlay in values.overlays.values():
        for peer in _far_ends(values, overlay, name):
            yield (
                mesh.tunnel_name(overlay.name, overlay.tunnel_names, name, peer),
                f"the tunnel of {overlay.name} to {peer}",
            )


def _far_ends(values: Values, overlay: Overlay, name: str) -> list[str]:
    """The hosts and peers at the other ends of a host's tunnels."""
    pairs = [pair for pair in values.edges.get(overlay.name, ()) if name in pair]
    others = [other for pair in pairs for other in pair if other != name]
    return [*others, *(peer.name for peer in overlay.peers)]


def _check_tunnel_names(values: Values) -> None:
    """Each tunnel whose name is given is one."""
    for overlay in values.overlays.values():
        there = {host: set(_far_ends(values, overlay, host)) for host in values.order}
        for host, names in overlay.tunnel_names.items():
            where = f"{overlay.where}.tunnel_names"
            if host not in there:
                values.problems.append(f"{where} {word(host)} is no host of the fabric{suggest(host, there)}")
                continue
            for peer in names:
                if peer not in there[host]:
                    ending = suggest(peer, there[host])
                    values.problems.append(f"{where}.{host} {word(peer)} is at no tunnel of {host}{ending}")


def _port_names(values: Values, name: str) -> t.Iterator[tuple[str, str]]:
    """The names of the ports of a host's endpoints, each with what it is."""
    for endpoint in values.intent.hosts[name].endpoints:
        if endpoint.interface:
            yield endpoint.outer, f"the outer end of {endpoint.id}"
    for wire in values.wires[name]:
        for end in (wire.port, wire.far):
            yield end, f"an end of the wire of {wire.name}"
        bridge = values.bridge_of(wire.segment)
        if bridge:
            yield plug_bridge(bridge), f"the plug bridge of {bridge}"

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A packet leaves its endpoint, and arrives at one. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import kernel, nft
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import Died, Path, View, sizes
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import End, Route

Item = t.Dict[str, t.Any]

# States of neighbor entries in which the kernel sends without asking.
KNOWN = ("REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT", "NOARP")


def met(way: Route, iif: str, oif: str, answer: bool) -> nft.Met:
    """The packet as a firewall sees it."""
    packet = way.packet
    return nft.Met(way.source.address, way.target.address, packet.protocol, packet.port, iif, oif, answer)


def filtered(path: Path, space: Item, hook: str, packet: nft.Met, host: str, where: str) -> None:
    """Let a packet through the firewall of a namespace."""
    ruling = nft.verdict(space["firewall"], hook, packet)
    if ruling is None:
        return
    counted = "" if ruling.packets is None else f" (its counter: {ruling.packets} packets)"
    died = Died(
        "firewall", f"{where} drops it by {ruling.rule}{counted}", "no rule of the fabric", f"on {host}: {ruling.look}"
    )
    if ruling.certain:
        raise died
    path.doubt(died)


def entered(namespace: str, command: str) -> str:
    """A command of ip(8) in a namespace."""
    return f"ip -n {namespace} {command}" if namespace else f"ip {command}"


def interface(view: View, end: End) -> tuple[Item, Item]:
    """The namespace and the interface of an endpoint, which is up and has its address."""
    host, name = end.host or "", end.space or ""
    space = view.space(host, name)
    link = space["links"].get(end.interface)
    on = f"on {host}: "
    if link is None:
        raise Died("interface-gone", f"there is no interface {end.interface} in {end.id}", f"interface {end.interface}")
    if not link["up"]:
        raise Died(
            "interface-down",
            f"{end.interface} of {end.id} is down",
            f"{end.interface} is up",
            on + entered(name, f"link set {end.interface} up"),
        )
    if not link.get("arp", True):
        raise Died(
            "arp-off",
            f"{end.interface} of {end.id} neither asks nor answers by ARP",
            "ARP on",
            on + entered(name, f"link set {end.interface} arp on"),
        )
    if not any(kernel.bare(one) == end.address for one in link["addresses"]):
        six = ":" in end.address
        of_family = [one for one in link["addresses"] if (":" in one) == six and not one.startswith("fe80")]
        having = ", ".join(of_family) or "no address"
        raise Died(
            "address",
            f"{end.interface} of {end.id} has {having}",
            f"address {end.address}",
            on + entered(name, f"address show dev {end.interface}") + "; then ansible-playbook site.yml",
        )
    if end.mac and link["mac"] != end.mac:
        raise Died(
            "mac",
            f"{end.interface} of {end.id} has the MAC address {link['mac']}",
            f"MAC address {end.mac}",
            on + entered(name, f"link set {end.interface} address {end.mac}"),
        )
    return space, link


def guest(view: View, path: Path, end: End) -> None:
    """A guest that runs: it is not read from inside."""
    notes = path.at(end.host or "", "guest", end.id)
    states = view.host(end.host or "").get("guests")
    on = f"on {end.host}: "
    if states is None:
        raise Died(
            "libvirt-down", f"libvirt on {end.host} does not answer", "libvirt runs", on + "systemctl start libvirtd"
        )
    state = states.get(end.guest)
    if state != "running":
        raise Died(
            "guest",
            f"guest {end.guest} on {end.host} is {state or 'not there'}",
            f"guest {end.guest} runs",
            on + f"virsh start {end.guest}" if state else "ansible-playbook site.yml",
        )
    notes.append(f"runs, {end.address} on {end.interface}")


def leave(view: View, path: Path, way: Route, answer: bool) -> None:
    """From the endpoint's route to its interface."""
    source, target = way.source, way.target
    if source.guest:
        guest(view, path, source)
        return
    notes = path.at(source.host or "", "endpoint", source.id)
    space, link = interface(view, source)
    notes.append(f"{source.address} on {source.interface}, MTU {link['mtu']}")
    hop = _route(space, way)
    notes.append(f"route to {target.address}: dev {hop.dev}" + (f" via {hop.via}" if hop.via else ""))
    planned = _mtu(way, source)
    mend = f"on {source.host}: " + entered(source.space or "", f"link set {hop.dev} mtu {planned}")
    sizes(link, way.packet.size, planned, source.host or "", mend)
    _checksums(view, way, space)
    leaving = met(way, "", hop.dev, answer)
    for hook in ("output", "postrouting"):
        filtered(path, space, hook, leaving, source.host or "", source.id)
    _neighbor(path, way, space, hop)


def _checksums(view: View, way: Route, space: Item) -> None:
    """The switch in user space hands on what it gets, and a veth leaves the checksum of TCP to its other end."""
    source = way.source
    left_open = (space.get("tx_checksum") or {}).get(source.interface)
    if way.packet.protocol == "icmp" or not left_open:
        return
    bridge = view.switch(source.host or "")["bridges"].get(source.bridge) or {}
    if bridge.get("datapath_type") == "netdev":
        raise Died(
            "checksum",
            f"{source.interface} of {source.id} leaves checksums to its other end, which does not make them",
            "transmit checksums made by the endpoint",
            f"on {source.host}: ip netns exec {source.space} ethtool -K {source.interface} tx off",
        )


def _mtu(way: Route, end: End) -> int | None:
    point = way.world.points.get(end.id)
    return point["mtu"] if point else None


def _route(space: Item, way: Route) -> kernel.Hop:
    """The way out of the endpoint."""
    source, target = way.source, way.target
    found = kernel.route(space, target.address, source.address)
    look = f"on {source.host}: " + entered(source.space or "", f"route get {target.address}")
    planned = f"{target.address} is on the link of {source.interface}" if way.same_segment else ""
    if found is None:
        if not way.same_segment and target.segment:
            planned = f"segments {source.segment} and {target.segment} are kept apart; fabric_endpoints[].routes would lead there"
        raise Died("no-route", f"{source.id} has no route to {target.address}", planned, look)
    if found["type"] in kernel.REFUSED:
        raise Died("route-refuses", f"{source.id} has a route of type {found['type']} to {found['to']}", planned, look)
    hop = kernel.hops(found)[0]
    if way.same_segment and (hop.dev != source.interface or hop.via):
        leads = f"dev {hop.dev}" + (f" via {hop.via}" if hop.via else "")
        raise Died(
            "wrong-route", f"the route of {source.id} to {target.address} leads elsewhere: {leads}", planned, look
        )
    return hop


def _neighbor(path: Path, way: Route, space: Item, hop: kernel.Hop) -> None:
    """The MAC address that the endpoint writes on the frame."""
    source, target = way.source, way.target
    entry = kernel.neighbor(space, hop.dev, hop.via or target.address)
    if entry is None or not way.same_segment:
        return
    name = source.space or ""
    clear = f"on {source.host}: " + entered(name, f"neighbor del {entry['to']} dev {hop.dev}")
    planned = f"{target.address} is at {target.mac}"
    if not any(state in KNOWN for state in entry["state"].split()):
        path.doubt(Died("arp-unanswered", f"nobody answers {source.id} for {entry['to']}", planned, clear))
    elif entry["mac"] != target.mac:
        fixed = "PERMANENT" in entry["state"]
        said = "by a permanent entry" if fixed else "as somebody else answers for this address"
        raise Died(
            "neighbor" if fixed else "duplicate-address",
            f"{source.id} takes {entry['to']} to be at {entry['mac']}, {said}",
            planned,
            clear,
        )


def arrive(view: View, path: Path, way: Route, answer: bool) -> None:
    """Into the endpoint."""
    target = way.target
    if target.guest:
        guest(view, path, target)
        return
    notes = path.at(target.host or "", "endpoint", target.id)
    space, link = interface(view, target)
    planned = _mtu(way, target)
    mend = f"on {target.host}: " + entered(target.space or "", f"link set {target.interface} mtu {planned}")
    sizes(link, way.packet.size, planned, target.host or "", mend)
    dropped = kernel.reverse_path(space, target.interface or "", way.source.address)
    if dropped:
        raise Died(
            "rp-filter",
            f"the reverse path filter of {target.id} drops it: {dropped}",
            "",
            f"on {target.host}: " + entered(target.space or "", f"route get {way.source.address}"),
        )
    coming = met(way, target.interface or "", "", answer)
    for hook in ("ingress", "prerouting", "input"):
        filtered(path, space, hook, coming, target.host or "", target.id)
    notes.append(f"{target.address} on {target.interface}: arrived")

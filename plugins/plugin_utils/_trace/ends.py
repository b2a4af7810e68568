# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A packet leaves its endpoint, and arrives at one. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._systemd import unit_name
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.edge_table import TO_EDGE
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.edges import TABLE
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import kernel, nft, parameters
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import SITE, Died, Path, View, sizes
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import End, Route

Item = t.Dict[str, t.Any]

# States of neighbor entries in which the kernel sends without asking.
KNOWN = ("REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT", "NOARP")

# The table of an edge.
OURS = ("inet", TABLE)


def met(way: Route, iif: str, oif: str) -> nft.Met:
    """The packet as a firewall sees it."""
    packet = way.packet
    return nft.Met(packet.source, packet.target, packet.protocol, packet.port, iif, oif, packet.answer)


def filtered(
    path: Path, space: Item, hook: str, packet: nft.Met, at: parameters.Place, planned: str = "no rule of the fabric"
) -> None:
    """Let a packet through the firewall of a namespace."""
    ruling = nft.verdict(space["firewall"], hook, packet)
    if ruling is None:
        # Of a connection the first packet may pass alone.
        ruling = nft.verdict(space["firewall"], hook, packet._replace(later=True))
        ruling = ruling and ruling._replace(certain=False)
    if ruling is None:
        return
    counted = "" if ruling.packets is None else f" (its counter: {ruling.packets} packets)"
    # What the edge's own table drops in the end is let through by a rule that is missing there.
    mend = SITE if ruling.policy and ruling.table == OURS else at.inside(ruling.mend)
    died = Died("firewall", f"{at.who} drops it by {ruling.rule}{counted}", planned, mend)
    if ruling.certain:
        raise died
    path.doubt(died)


def rewritten(path: Path, space: Item, hook: str, packet: nft.Met, at: parameters.Place) -> None:
    """NAT where the fabric has none: what is sent or answered may no longer be what the other end waits for."""
    found = None if packet.reply else nft.translation(space["firewall"], hook, packet)
    if found:
        said = f"{at.who} translates it by {found.rule}"
        path.doubt(Died("nat", said, "no NAT of others", at.inside(found.mend)))


def entered(namespace: str, command: str) -> str:
    """A command of ip(8) in a namespace."""
    return f"ip -n {namespace} {command}" if namespace else f"ip {command}"


def _by_hand(end: End, words: str) -> str:
    """A command of `ip` in an endpoint's namespace, as a person would enter it."""
    return f"on {end.host}: " + entered(end.space or "", words)


def interface(view: View, end: End, way: Route | None = None) -> tuple[Item, Item]:
    """The namespace and the interface of an endpoint, which is up and has its address. way: to know of leases and services."""
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
    _usable(space, link, end)
    if not any(kernel.bare(one) == end.address for one in link["addresses"]):
        six = ":" in end.address
        of_family = [one for one in link["addresses"] if (":" in one) == six and not one.startswith("fe80")]
        having = ", ".join(of_family) or "no address"
        if way and not six and way.leased(end):
            raise _unleased(view, end, having)
        for unit, state in (view.host(host).get("units") or {}).items():
            if unit == unit_name("keepalived", name) and state != "active":
                raise _stopped(end, unit, state)
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


def _unleased(view: View, end: End, having: str) -> Died:
    """Why a client of DHCP does not have its address."""
    for unit, state in (view.host(end.host or "").get("units") or {}).items():
        if "udhcpc" in unit and state != "active":
            return _stopped(end, unit, state)
    said = f"{end.interface} of {end.id} has {having}: its DHCP client was not given {end.address}"
    restart = f"on {end.host}: systemctl restart {unit_name('udhcpc', end.space or '')}"
    return Died(
        "lease",
        said,
        f"{end.address} by DHCP",
        restart + "; journalctl of the segment's overloom-dnsmasq-* tells what they gave",
    )


def _stopped(end: End, unit: str, state: str | None) -> Died:
    return Died(
        "service-down", f"{unit} of {end.id} is {state}", f"{unit} is active", f"on {end.host}: systemctl start {unit}"
    )


def services(view: View, path: Path, way: Route) -> None:
    """What listens at the target, and whether what the endpoint stands for runs."""
    target, packet = way.target, way.packet
    states = view.host(target.host or "").get("units") or {}
    down = next(
        (_stopped(target, unit, states[unit]) for unit in way.units(target) if states.get(unit, "active") != "active"),
        None,
    )
    listening = (view.space(target.host or "", target.space or "").get("listening") or {}).get(packet.protocol)
    if (
        packet.protocol == "icmp"
        or packet.answer
        or packet.port is None
        or listening is None
        or packet.port in listening
    ):
        if down:
            path.remark(down)
        return
    said = f"nothing listens on {packet.protocol.upper()} port {packet.port} in {target.id}"
    look = f"on {target.host}: ip netns exec {target.space} ss -ln{packet.protocol[0]}"
    raise down or Died("no-listener", said, "", look)


def _usable(space: Item, link: Item, end: End) -> None:
    """An interface that is the endpoint's own, and an address of IPv6 that the kernel lets be used."""
    on = f"on {end.host}: "
    if link.get("master"):
        said = f"{end.interface} of {end.id} is a port of {link['master']}, so that what comes in goes there"
        mend = on + entered(end.space or "", f"link set {end.interface} nomaster")
        raise Died("enslaved", said, f"{end.interface} is nobody's port", mend)
    if ":" not in end.address:
        return
    # That of all is written into each interface, and the interface's own decides.
    off = space.get("ipv6_off") or {}
    name = "all" if off.get(end.interface) is None else end.interface
    if off.get(name):
        parameter = f"net.ipv6.conf.{name}.disable_ipv6"
        mend = f"{on}ip netns exec {end.space} sysctl -w {parameter}=0; then ansible-playbook site.yml"
        raise Died("ipv6-off", f"{end.id} has IPv6 turned off: {parameter} is 1", f"{parameter} is 0", mend)
    if end.address in link.get("unusable", ()):
        said = f"{end.address} on {end.interface} of {end.id} is not used, as duplicate address detection has found it elsewhere, or still asks"
        mend = on + entered(end.space or "", f"address replace {end.address} dev {end.interface} nodad")
        raise Died("duplicate-address", said, f"{end.address} is {end.id}'s", mend)


def place(end: End) -> parameters.Place:
    """An endpoint's namespace."""
    return parameters.Place(end.host or "", end.space or "", end.id)


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
            on + f"virsh {'resume' if state == 'paused' else 'start'} {end.guest}"
            if state
            else "ansible-playbook site.yml",
        )
    if (view.host(end.host or "").get("plugs") or {}).get(end.port) == "down":
        raise Died(
            "unplugged",
            f"the NIC {end.port} of guest {end.guest} on {end.host} is unplugged",
            "its link is up",
            on + f"virsh domif-setlink {end.guest} {end.port} up",
        )
    _attached(view, end)
    notes.append(f"runs, {end.address} on {end.interface}")


def _attached(view: View, end: End) -> None:
    """The MAC address of a guest's NIC, as libvirt tells the switch."""
    bridge = (view.host(end.host or "").get("switch") or {}).get("bridges", {}).get(end.bridge) or {"ports": {}}
    found = (bridge["ports"].get(end.port) or {}).get("attached_mac")
    if found and end.mac and found != end.mac:
        said = f"the NIC {end.port} of guest {end.guest} on {end.host} has the MAC address {found}"
        raise Died("mac", said, f"MAC address {end.mac}", f"{SITE}, which defines the guest anew")


def leave(view: View, path: Path, way: Route) -> None:
    """From the endpoint's route to its interface."""
    source = way.source
    if source.guest:
        guest(view, path, source)
        return
    notes = path.at(source.host or "", "endpoint", source.id)
    space, link = interface(view, source, way)
    notes.append(f"{source.address} on {source.interface}, MTU {link['mtu']}")
    hop = routed(space, way, link)
    masked = _masked(way, source, link)
    if masked:
        path.remark(masked)
    notes.append(f"route to {way.packet.target}: dev {hop.dev}" + (f" via {hop.via}" if hop.via else ""))
    _chosen(path, space, way)
    planned = mtu(way, source)
    mend = _by_hand(source, f"link set {hop.dev} mtu {planned}")
    sizes(link, way.packet.size, planned, source.host or "", mend)
    _route_mtu(path, way, hop)
    parameters.doubts(path, space, hop.dev, place(source))
    _checksums(view, way, space)
    leaving = met(way, "", hop.dev)
    asked(path, space, way, source)
    for hook in ("output", "postrouting", "egress"):
        filtered(path, space, hook, leaving, place(source))
        rewritten(path, space, hook, leaving, place(source))
    neighbor(path, way, space, hop)


def routed(space: Item, way: Route, link: Item, iif: str = "lo") -> kernel.Hop:
    """The way out, which a wrong prefix length of the address may be the reason of, as the kernel makes its route to the segment of it."""
    try:
        return route(space, way, iif)
    except Died as died:
        masked = _masked(way, way.source, link)
        raise (masked if masked and died.cause in ("no-route", "wrong-route") else died) from died


def _masked(way: Route, end: End, link: Item) -> Died | None:
    """The endpoint's address with another prefix length than the planned one."""
    host = way.plan["hosts"].get(end.host or "") or {"namespaces": ()}
    here = [one for one in host["namespaces"] if (one["name"], one["interface"]) == (end.space, end.interface)]
    planned = (address for one in here for address in one["addresses"] if kernel.bare(address) == end.address)
    wanted = next(planned, None)
    return masked(link, wanted, "address", place(end)) if wanted else None


def masked(link: Item, wanted: str, cause: str, at: parameters.Place) -> Died | None:
    """An address of an interface with another prefix length than the planned one, for which the kernel's route to the subnet is another."""
    having = next((one for one in link["addresses"] if kernel.bare(one) == kernel.bare(wanted)), wanted)
    if having == wanted:
        return None
    changes = (f"address {what} dev {link['name']}" for what in (f"del {having}", f"add {wanted}"))
    mend = "; ".join(entered(at.namespace, change) for change in changes)
    said = f"{link['name']} of {at.who} has {having}, another prefix length"
    return Died(cause, said, wanted, f"on {at.host}: {mend}; then {SITE}")


def _chosen(path: Path, space: Item, way: Route) -> None:
    """The source that the kernel writes where a program names none: that of the route."""
    packet, source = way.packet, way.source
    found = kernel.route(space, packet.target, packet.source)
    chosen = found.get("source") if found else None
    if not found or not chosen or chosen == packet.source or packet.answer:
        return
    said = f"{source.id} sends to {packet.target} from {chosen}, as its route to {found['to']} prefers"
    mend = _by_hand(source, f"route get {packet.target}")
    path.doubt(Died("source", said, f"from {packet.source}", mend))


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


def _route_mtu(path: Path, way: Route, hop: kernel.Hop) -> None:
    """A route may have an MTU of its own, which programs keep to that ask the kernel."""
    source, to = way.source, way.packet.target
    if hop.mtu and way.packet.size > hop.mtu:
        said = f"{way.packet.size} bytes do not fit into the MTU {hop.mtu} of the route of {source.id} to {to}"
        look = _by_hand(source, f"route get {to}")
        path.doubt(Died("mtu", said, "a route without an MTU", look))
        path.remark(Died("mtu", said, "a route without an MTU", look))


def mtu(way: Route, end: End) -> int | None:
    """The planned MTU of an endpoint."""
    point = way.world.points.get(end.id)
    return point["mtu"] if point else None


def route(space: Item, way: Route, iif: str = "lo") -> kernel.Hop:
    """The way out of the endpoint, to the target itself or to the router that the plan has between. iif: where it came in."""
    source, packet = way.source, way.packet
    found = kernel.route(space, packet.target, packet.source, iif)
    planned = _planned(way)
    if found is None:
        raise _no_route(space, way, planned)
    ruled = kernel.ruled(space, found, packet.target, packet.source, iif)
    if found["type"] in kernel.REFUSED:
        said = f"{source.id} has a route of type {found['type']} to {found['to']}{kernel.in_table(found).rstrip(',')}"
        gone = ruled or f"route del {found['type']} {found['to']}"
        raise Died("route-refuses", said, planned.words, _by_hand(source, gone))
    if found["type"] == "local":
        if own_address(way):
            return kernel.Hop("lo", None)
        raise _keeps(space, way)
    choices = kernel.hops(found) or [kernel.Hop("lo", None)]
    hop = next((one for one in choices if (one.dev, one.via) != (source.interface, planned.via)), choices[0])
    if way.switched and (hop.dev != source.interface or hop.via != planned.via):
        leads = f"dev {hop.dev}" + (f" via {hop.via}" if hop.via else "")
        said = f"the route of {source.id} to {packet.target}{kernel.in_table(found)} leads elsewhere: {leads}"
        raise Died("wrong-route", said, planned.words, _by_hand(source, ruled) if ruled else planned.mend)
    return hop


class _Planned(t.NamedTuple):
    """The planned way out of an endpoint: its next hop (None on the link), the same in words, and what mends another one."""

    via: str | None
    words: str
    mend: str


def _planned(way: Route) -> _Planned:
    """The planned way to the target; where the plan has none, a look at what there is mends nothing."""
    source, target, packet = way.source, way.target, way.packet
    via = None if way.on_link(packet.target) else (way.gateways[0] or target).address
    look = _by_hand(source, f"route get {packet.target}")
    if not way.switched and target.host is not None:
        apart = f"segments {source.segment} and {target.segment or target.id} are kept apart"
        return _Planned(via, f"{apart}; fabric_endpoints[].routes would lead there", look)
    if via and source.host is not None and not way.crossing.way_out(source, packet.target):
        # A server of DHCP is for its segment alone.
        return _Planned(via, f"the plan has no route of {source.id} beyond its segment", look)
    if via:
        return _Planned(via, f"{packet.target} via {via}", _by_hand(source, f"route replace {packet.target} via {via}"))
    words = f"{packet.target} is on the link of {source.interface}"
    return _Planned(via, words, _by_hand(source, f"route replace {packet.target} dev {source.interface}"))


def _no_route(space: Item, way: Route, planned: _Planned) -> Died:
    """Why nothing leads to the target."""
    source, packet = way.source, way.packet
    said = f"{source.id} has no route to {packet.target}"
    if ":" not in packet.target and not kernel.asks_main(space):
        mend = _by_hand(source, "rule add table main priority 32766")
        return Died("no-route", f"{said}: no rule of policy routing leads to the table main", planned.words, mend)
    return Died("no-route", said, planned.words if way.target.host else "", planned.mend)


def _keeps(space: Item, way: Route) -> Died:
    """The sender has the target's address by itself."""
    source, to = way.source, way.packet.target
    dev = kernel.has_address(space, to) or source.interface
    mend = _by_hand(source, f"address del {to}/{128 if ':' in to else 32} dev {dev}")
    said = f"{source.id} has the address {to} itself, and keeps the packet"
    return Died("duplicate-address", said, f"{to} is not on {dev}", mend)


def own_address(way: Route) -> bool:
    """Whether the packet's target is planned to be in its sender's own namespace, as a virtual address may be."""
    host = way.plan["hosts"].get(way.source.host or "") or {"namespaces": ()}
    here = [one for one in host["namespaces"] if one["name"] == way.source.space]
    return any(
        kernel.bare(address) == way.packet.target
        for one in here
        for address in [*one["addresses"], *one["virtual_addresses"]]
    )


def neighbor(path: Path, way: Route, space: Item, hop: kernel.Hop) -> None:
    """The MAC address that the endpoint writes on the frame."""
    source, target, mac = way.source, way.target, way.next_mac
    entry = kernel.neighbor(space, hop.dev, hop.via or way.packet.target)
    if entry is None or not (way.switched or target.host is None):
        return
    clear = _by_hand(source, f"neighbor del {entry['to']} dev {hop.dev}")
    planned = f"{entry['to']} is at {mac}" if mac else f"{entry['to']} answers"
    if not any(state in KNOWN for state in entry["state"].split()):
        path.doubt(Died("arp-unanswered", f"nobody answers {source.id} for {entry['to']}", planned, clear))
    elif mac and entry["mac"] != mac:
        former = _sibling(way, entry["mac"])
        if former:
            said = f"{source.id} still takes {entry['to']} to be at {entry['mac']}, which is {former}'s, where the edge is not active"
            raise Died("neighbor", said, planned, clear)
        fixed = "PERMANENT" in entry["state"]
        said = "by a permanent entry" if fixed else "as somebody else answers for this address"
        raise Died(
            "neighbor" if fixed else "duplicate-address",
            f"{source.id} takes {entry['to']} to be at {entry['mac']}, {said}",
            planned,
            clear,
        )


def _sibling(way: Route, mac: str) -> str | None:
    """Another host's interface of the edge that the way goes to, by its MAC address."""
    edge = (way.world.points.get(way.target.id) or {}).get("edge")
    found = [one for one in way.world.points.values() if one["mac"] == mac and one.get("edge") == edge]
    return str(found[0]["id"]) if edge and found else None


def arrive(view: View, path: Path, way: Route) -> None:
    """Into the endpoint."""
    target = way.target
    if target.guest:
        guest(view, path, target)
        return
    notes = path.at(target.host or "", "endpoint", target.id)
    space, link = interface(view, target, way)
    planned = mtu(way, target)
    mend = _by_hand(target, f"link set {target.interface} mtu {planned}")
    sizes(link, way.packet.size, planned, target.host or "", mend)
    reverse_path(space, way)
    coming = met(way, target.interface or "", "")
    for hook in ("ingress", "prerouting"):
        filtered(path, space, hook, coming, place(target))
        rewritten(path, space, hook, coming, place(target))
    parameters.doubts(path, space, target.interface or "", place(target))
    asked(path, space, way, target)
    if kernel.has_address(space, way.packet.target) is None:
        _handed_on(path, space, way)
        return
    _taken(space, coming, target)
    filtered(path, space, "input", coming, place(target))
    if way.packet.protocol == "icmp" and not way.packet.answer:
        parameters.refused(space, way.packet.family == 6, place(target))
    services(view, path, way)
    notes.append(f"{way.packet.target} on {target.interface}: arrived")


def _taken(space: Item, coming: nft.Met, target: End) -> None:
    """What an edge does not take itself, by its own table."""
    ruling = nft.verdict(space["firewall"], "input", coming)
    if ruling and ruling.certain and (ruling.table, ruling.counter) == (OURS, TO_EDGE):
        said = f"{target.id} takes nothing but pings itself (its counter {TO_EDGE}: {ruling.packets} packets)"
        raise Died("policy", said, "the same: no port of fabric_edges[].forwards is for it", "fabric_edges[].forwards")


def asked(path: Path, space: Item, way: Route, end: End) -> None:
    """Rules against ARP or its like of IPv6, by which a packet is lost as soon as nobody remembers the address."""
    kind, dev = "nd" if way.packet.family == 6 else "arp", end.interface or ""
    packet = nft.Met(way.packet.source, way.packet.target, kind, None, dev, dev)
    # An answer of ARP is told from a question by nothing that rules are read for here.
    kinds = (packet, packet._replace(reply=True)) if kind == "nd" else (packet,)
    for hook, one in itertools.product(("output", "input"), kinds):
        try:
            filtered(path, space, hook, one, place(end))
        except Died as died:
            path.doubt(died)


def reverse_path(space: Item, way: Route) -> None:
    """Hold the packet's source against the reverse path filter of where it came in."""
    target = way.target
    dropped = kernel.reverse_path(space, target.interface or "", way.packet.source)
    if dropped:
        back = _planned(way.reversed())
        raise Died(
            "rp-filter",
            f"the reverse path filter of {target.id} drops it: {dropped}",
            f"the way back: {back.words}" if back.words else "",
            back.mend,
        )


def _handed_on(path: Path, space: Item, way: Route) -> None:
    """Through a router that the fabric does not plan: whether it forwards, and by which route."""
    target, to = way.target, way.packet.target
    forwards(space, target, to, f"{target.id} forwards")
    found = kernel.route(space, to, way.packet.source)
    look = _by_hand(target, f"route get {to}")
    if found is None:
        # It may have been reached all the same, by what a router of others does.
        path.doubt(Died("no-route", f"{target.id} has no route to {to}", "", look))
    elif found["type"] in kernel.REFUSED:
        raise Died("route-refuses", f"{target.id} has a route of type {found['type']} to {found['to']}", "", look)


def forwards(space: Item, end: End, to: str, planned: str) -> None:
    """Hold a namespace to forwarding packets that come in by an interface."""
    off = kernel.not_forwarding(space, end.interface or "", to)
    if off:
        command = f"ip netns exec {end.space} sysctl -w {off}=1"
        raise Died("forwarding", f"{end.id} does not forward: {off} is 0", planned, f"on {end.host}: {command}")

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow a packet from end to end and back, and say where it ends. Pure: from the plan, what was read, and what was measured.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import tep_address
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mtu import overhead
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import (
    chassis,
    counters,
    edges,
    ends,
    inward,
    kernel,
    mesh,
    ports,
    switch,
    underlay,
    vrrp,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import Died, Path, View
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route, udp_port

Item = t.Dict[str, t.Any]

# What is seen of a loss wherever the reason is.
SYMPTOMS = ("arp-unanswered",)
# Seconds that a busy host may take to answer, and that a protocol of routing takes at most when a packet of it was lost:
# OSPF sends it again after five (RFC 2328, RxmtInterval), and then routes are computed.
BUSY, SETTLING = 5, 12


def follow(way: Route, seen: t.Mapping[str, Item]) -> Item:
    """One direction: the hops, the end if it dies, and doubts that only measured loss makes a cause."""
    view, path = View(way.plan, seen), Path()
    died = None
    try:
        _walk(view, path, way)
    except Died as reason:
        if not path.hops:
            path.at(way.source.host or "", "host", way.source.host or "")
        died = reason.data(len(path.hops) - 1)
    return {
        "from": way.source.id,
        "to": way.target.id,
        "hops": path.hops,
        "died": died,
        "doubts": path.doubts,
        "remarks": path.remarks,
    }


def _walk(view: View, path: Path, way: Route) -> None:
    source, target = way.source, way.target
    if source.segment is None and source.host is not None:
        _routed(view, path, way)
        return
    if source.host is None and not way.crossed:
        path.at(source.id, "outside", source.id, _outside(way, source.id))
        return
    before, routers = None, 0
    for leg in way.legs:
        if before is not None:
            routers += 1
            host = leg.source.host or ""
            path.at(host, "edge", f"{host}/{leg.source.space}")
            _lives(view, way, routers)
        _leg(view, path, before, leg)
        if leg.gateways[0] is not None:
            routers += 1
            _lives_in_ovn(view, path, way, routers)
        before = leg
    if not way.crossed and not way.switched:
        _left(view, path, way)
    elif before and before.target.host is not None:
        ends.arrive(view, path, before)
    if way.crossed and before and before.target.id != target.id and not edges.own(before, target):
        path.at(
            before.target.host or "",
            "outside",
            target.id,
            f"handed to {before.target.address}; what it does is not read",
        )


def _left(view: View, path: Path, way: Route) -> None:
    """Off the segment, where the plan has no other end of the way."""
    if way.turn:
        _into_ovn(view, path, way, way.turn)
        return
    if way.outward:
        _by_gateway(view, path, way)
    if way.landing:
        return
    path.at(way.source.host or "", "outside", way.target.id, _beyond(way))
    apart = _apart(way)
    if apart:
        path.doubt(apart)


def _outside(way: Route, name: str) -> str:
    """What is not read of an end, in words."""
    if name in way.world.points:
        return "behind a gateway of OVN; what it does is not read"
    return "the plan does not know it; what it does is not read"


def _beyond(way: Route) -> str:
    """What becomes of a packet that leaves its segment, in words."""
    to = way.packet.target
    if ends.own_address(way):
        return f"{to} is {way.source.id}'s own"
    edge = way.crossing.edges[way.outward.edge] if way.outward else way.crossing.translated_by(to)
    if edge:
        hosts = " or ".join(edge["hosts"])
        return f"by edge {edge['name']}, OVN's gateway on {hosts}; what it translates and sends on is not read"
    return "beyond the segment: the plan does not know what its gateway does"


def _apart(way: Route) -> Died | None:
    """Why no packet comes from an endpoint to another segment, whatever it sends: nothing that is planned leads there."""
    source, target = way.source, way.target
    if not source.segment or not target.segment:
        return None
    if way.crossing.way_out(source, way.packet.target) and not way.on_link(way.packet.target):
        return None
    said = (
        f"nothing leads from {source.id} to {target.id}: segments {source.segment} and {target.segment} are kept apart"
    )
    return Died("no-route", said, "the same", "fabric_edges, or fabric_endpoints[].routes, would lead there")


def _lives(view: View, way: Route, routers: int) -> None:
    """A packet's TTL is enough for the routers that it has passed."""
    source = way.source
    known = source.host is not None and source.space is not None
    ttl = view.space(source.host or "", source.space or "").get("ttl") if known else None
    if routers and ttl is not None and ttl <= routers and ":" not in source.address:
        name, inside = "net.ipv4.ip_default_ttl", f"ip netns exec {source.space} " if source.space else ""
        count = "1 router" if routers == 1 else f"{routers} routers"
        said = f"{source.id} sends with the TTL {ttl}, which ends at {count}: {name} is {ttl}"
        raise Died("ttl", said, f"{name} is 64", f"on {source.host}: {inside}sysctl -w {name}=64")


def _lives_in_ovn(view: View, path: Path, way: Route, routers: int) -> None:
    """The same of a router of OVN, where the path then ends."""
    try:
        _lives(view, way, routers)
    except Died:
        last = max((number for number, hop in enumerate(path.hops) if hop["kind"] == "logical"), default=len(path.hops))
        del path.hops[last + 1 :]
        raise


def _leg(view: View, path: Path, before: Route | None, leg: Route) -> None:
    """One segment: from the endpoint, or from the edge that the packet came to, to the port of the next end."""
    source, target = leg.source, leg.target
    if source.host is None:
        path.at(source.id, "outside", source.id, "the plan does not know it; what it does is not read")
        return
    if before is None:
        path.at(source.host, "guest" if source.guest else "endpoint", source.id)
        _linked(view, path, leg)
        ends.leave(view, path, leg)
    else:
        _linked(view, path, leg)
        edges.through(view, path, before, leg)
    if not leg.switched:
        return
    ports.plugged(view, path, source, leg)
    if leg.logical:
        _by_ovn(view, path, leg)
        ports.plugged(view, path, target, leg)
        return
    hosts = mesh.active(view, leg)
    if leg.wired and len(hosts) > 1:
        _by_wire(view, path, leg)
    else:
        for number in range(len(hosts)):
            _through(view, path, leg, hosts, number)
    ports.plugged(view, path, target, leg)


def _linked(view: View, path: Path, leg: Route) -> None:
    """An interface without a carrier has no routes in the end: its port is the reason, and not the endpoint."""
    source = leg.source
    known = source.space is not None and not source.guest and leg.switched
    spaces = view.host(source.host or "")["spaces"] if known else {}
    link = spaces.get(source.space, {"links": {}})["links"].get(source.interface)
    if link and link["up"] and not link["carrier"]:
        _first(path, lambda trial: ports.plugged(view, trial, source, leg))


def _routed(view: View, path: Path, way: Route) -> None:
    """From a host itself, over the underlay."""
    packet, host = way.packet, way.source.host or ""
    path.at(host, "endpoint", host, f"from {way.source.address}")
    outer = underlay.Outer(
        way.source.address, way.target.address, packet.size, packet.protocol, packet.port, False, packet.answer
    )
    underlay.cross(view, path, host, outer, {})
    routers = list(dict.fromkeys(hop["host"] for hop in path.hops))[1:-1]
    for number, router in enumerate(routers, 1):
        try:
            _lives(view, way, number)
        except Died:
            last = max(place for place, hop in enumerate(path.hops) if hop["host"] == router)
            del path.hops[last + 1 :]
            raise


def _through(view: View, path: Path, way: Route, hosts: list[str], number: int) -> None:
    """Through the switch of one host, and to the next one if there is one."""
    host, before = hosts[number], hosts[number - 1] if number else None
    bridge = way.source.bridge if before is None else None
    bridge = bridge or way.segments[way.source.segment or ""]["bridge"]
    if before is not None:
        ports.tunnel(view, path, host, before, way, f"from {before}")
    elif way.keyed:
        path.at(host, "switch", bridge)
        ports.answered(view, path, host, way)
    if number == len(hosts) - 1:
        _here(view, path, way, host, bridge, before)
        return
    far = hosts[number + 1]
    traced = _onward(view, path, way, host, far, bridge, before)
    ports.tunnel(view, path, host, far, way, _described(way, host, far))
    _cross(view, path, way, host, far, traced)


def _by_wire(view: View, path: Path, way: Route) -> None:
    """From host to host on a VLAN of the underlay itself."""
    near, far = way.hosts[0], way.hosts[-1]
    bridge, segment = way.source.bridge or "", way.segments[way.source.segment or ""]
    nics = way.plan["hosts"][near]["underlay"]["nics"]
    path.at(near, "switch", bridge)
    _first(path, lambda trial: underlay.wire(view, trial, near, way.packet.size, segment["vlan"]))
    goal = f"NIC {' or '.join(nics)}"
    passage = ports.Passage(bridge, goal, None, lambda traced: any(nic in traced.outputs for nic in nics))
    ports.tables(view, path, near, way, passage)
    for host in (near, far):
        underlay.wire(view, path, host, way.packet.size, segment["vlan"])
    if len(way.plan["hosts"][far]["underlay"]["nics"]) == 1:
        _here(view, path, way, far, segment["bridge"], near)
    else:
        # Of a bond only some members take what comes in.
        path.at(far, "switch", segment["bridge"])


def _by_gateway(view: View, path: Path, way: Route) -> None:
    """From an endpoint out of OVN: by its router, to the host that is the gateway, and onto the provider network, as far as that is planned."""
    near, outward, landing = way.source.host or "", way.outward, way.landing
    ports.plugged(view, path, way.source, way)
    chassis.bound(view, path, way.source)
    chassis.pipeline(view, path, way)
    host = chassis.gateway(view, path, way)
    if host != near:
        chassis.tunnel(view, path, way, near, host, chassis.described(way, near, host, _outer_size(way, near, host)))
        _cross(view, path, way, near, host, None)
        chassis.tunnel(view, path, way, host, near, f"from {near}")
    provider = way.crossing.edges[outward.edge]["provider"] if outward else ""
    vlan = way.segments[provider]["vlan"]
    underlay.wire(view, path, host, way.packet.size, vlan)
    if landing:
        underlay.wire(view, path, landing.host or "", way.packet.size, vlan)
        ports.plugged(view, path, landing, way)
        path.at(landing.host or "", "guest" if landing.guest else "endpoint", landing.id)
        if not landing.guest:
            ends.interface(view, landing)


def _into_ovn(view: View, path: Path, way: Route, turn: Route) -> None:
    """From an endpoint of a provider network to one behind OVN's router: by the gateway's host. turn: the way back."""
    near, inner = way.source.host or "", turn.source
    vlan = way.segments[way.source.segment or ""]["vlan"]
    ports.plugged(view, path, way.source, way)
    underlay.wire(view, path, near, way.packet.size, vlan)
    host = chassis.gateway(view, path, turn)
    underlay.wire(view, path, host, way.packet.size, vlan)
    into = inward.pipeline(view, path, way, turn)
    far = inner.host or ""
    if host != far:
        chassis.tunnel(view, path, turn, host, far, chassis.described(turn, host, far, _outer_size(turn, host, far)))
        _cross(view, path, turn, host, far, None)
        chassis.tunnel(view, path, turn, far, host, f"from {host}")
    chassis.bound(view, path, inner)
    ports.plugged(view, path, inner, turn)
    ends.arrive(view, path, into)


def _by_ovn(view: View, path: Path, way: Route) -> None:
    """From a logical port to another: what the databases say, and then what the chassis do. What is wrong at the far one explains more than flows."""
    near, far, target = way.hosts[0], way.hosts[-1], way.target
    chassis.bound(view, path, way.source)
    chassis.pipeline(view, path, way)
    path.at(near, "switch", way.source.bridge or "")
    _first(path, lambda trial: chassis.bound(view, trial, target))
    _first(path, lambda trial: ports.plugged(view, trial, target, way))
    if near == far:
        chassis.flows(view, path, way, f"port {target.port}", lambda traced: target.port in traced.outputs)
        return
    _first(path, lambda trial: chassis.tunnel(view, trial, way, near, far, ""))
    remote = tep_address(way.plan, far)
    traced = chassis.flows(
        view, path, way, f"the tunnel to {far}", lambda traced: remote in traced.tunnels or traced.unresolved
    )
    chassis.tunnel(view, path, way, near, far, chassis.described(way, near, far, _outer_size(way, near, far)))
    _cross(view, path, way, near, far, traced)
    chassis.tunnel(view, path, way, far, near, f"from {near}")
    chassis.arrived(view, path, way)


def _here(view: View, path: Path, way: Route, host: str, bridge: str, before: str | None) -> None:
    """To the target's own port. A port that is not as it must be explains more than where the switch sends the packet."""
    target = way.target
    goal = f"port {target.port}"
    path.at(host, "switch", bridge)
    _first(path, lambda trial: ports.plugged(view, trial, target, way))
    ports.tables(
        view, path, host, way, ports.Passage(bridge, goal, before, lambda traced: target.port in traced.outputs)
    )


def _onward(view: View, path: Path, way: Route, host: str, far: str, bridge: str, before: str | None) -> switch.Traced:
    """To the tunnel to the next host. A tunnel that is not as it must be explains more than where the switch sends the packet."""
    path.at(host, "switch", bridge)
    _first(path, lambda trial: ports.tunnel(view, trial, host, far, way, ""))
    planned = way.tunnel(host, far) or {}

    def reached(traced: switch.Traced) -> bool:
        # The underlay then tells what the outer packet lacks.
        return planned["remote_ip"] in traced.tunnels or traced.unresolved

    if way.guarded:
        # RSTP blocks what it hears nothing by: then the underlay is the reason, and not where the switch sends the packet.
        _first(path, lambda trial: _cross(view, trial, way, host, far, None))
    return ports.tables(view, path, host, way, ports.Passage(bridge, f"tunnel {planned.get('name')}", before, reached))


def _first(path: Path, check: t.Callable[[Path], None]) -> None:
    """A check of what comes next; where it ends, the path goes there."""
    trial = Path()
    try:
        check(trial)
    except Died:
        path.hops += trial.hops
        raise


def _described(way: Route, near: str, far: str) -> str:
    """The tunnel in words: outer addresses, key, and the size of the outer packet."""
    planned = way.tunnel(near, far) or {}
    key = way.segments[way.source.segment or ""]["key"] if way.keyed else planned.get("key") or None
    return (
        f"{planned.get('type')} {tep_address(way.plan, near)} → {planned.get('remote_ip')}, "
        + (f"key {key}, " if key is not None else "")
        + f"outer packet {_outer_size(way, near, far)} bytes"
    )


def _outer_size(way: Route, near: str, far: str) -> int:
    planned = way.tunnel(near, far) or {}
    segment = way.segments[way.source.segment or ""]
    version = 6 if ":" in str(planned.get("remote_ip")) else 4
    keyed = way.keyed or bool(planned.get("key"))
    tagged = segment["vlan"] is not None
    # Over IPv6 a tunnel of GRE has a type of its own in Open vSwitch.
    parts = overhead(segment["encapsulation"], version, keyed, bool(planned.get("csum")), tagged, way.logical)
    return way.packet.size + sum(size for _what, size in parts)


def _cross(view: View, path: Path, way: Route, near: str, far: str, traced: switch.Traced | None) -> None:
    planned = way.tunnel(near, far) or {}
    port = udp_port(planned)
    protocol = "udp" if port else "gre"
    outer = underlay.Outer(
        tep_address(way.plan, near),
        planned["remote_ip"],
        _outer_size(way, near, far),
        protocol,
        port,
        True,
        entry=way.entry_name(near),
    )
    _sourced(path, way, near, far, traced)
    underlay.cross(view, path, near, outer, traced.tunnels if traced else {})
    if traced and "routing failed" in traced.remark:
        said = (
            f"the switch on {near} has no route to {planned['remote_ip']}, though the kernel has one: {traced.remark}"
        )
        path.doubt(Died("tunnel-route", said, "the kernel's route", f"on {near}: ovs-appctl ovs/route/show"))


def _sourced(path: Path, way: Route, near: str, far: str, traced: switch.Traced | None) -> None:
    """The outer source, by which the far end knows the tunnel: without local_ip the route decides."""
    planned = tep_address(way.plan, near)
    made = traced.sources.get((way.tunnel(near, far) or {})["remote_ip"]) if traced else None
    ours = way.logical or (way.tunnel(near, far) or {}).get("local_ip")
    if ours and made and made not in (planned, "0.0.0.0", "::"):
        said = f"the switch on {near} sends the tunnel's packets from {made}, and {far} takes them from {planned} alone"
        option = "ovs-vsctl set open_vswitch . external_ids:ovn-set-local-ip=true"
        mend = option if way.logical else f"ovs-vsctl set interface {path.hops[-1]['name']} options:local_ip={planned}"
        raise Died("tunnel-local-ip", said, f"from {planned}", f"on {near}: {mend}")


def _only_pings_die(way: Route, seen: t.Mapping[str, Item]) -> bool:
    """Whether what was read explains why a ping gets no answer, which then says nothing of another protocol."""
    if way.packet.protocol == "icmp":
        return False
    echo = way.with_packet(way.packet._replace(protocol="icmp", port=None))
    if way.turn and not inward.permitted(echo):
        return True
    # The switches were asked about the packet itself: what flows make of a ping is in the plan.
    if not all(ports.permitted(leg) for leg in echo.legs):
        return True
    return bool(follow(echo, seen)["died"] or follow(echo.reversed(), seen)["died"])


def _answers_itself(way: Route, seen: t.Mapping[str, Item]) -> bool:
    """Whether the sender has the target's address, which it is not planned to have: then its kernel answers."""
    source = way.source
    space = (seen.get(source.host or "") or {}).get("spaces", {}).get(source.space or "")
    return bool(space and kernel.has_address(space, way.packet.target)) and not ends.own_address(way)


def _of_the_protocol(way: Route, seen: t.Mapping[str, Item], doubts: t.Sequence[Item]) -> Item | None:
    """Of doubts the first that a ping has none of, so that its answer does not speak against it."""
    if way.packet.protocol == "icmp" or not doubts:
        return None
    echo = way.with_packet(way.packet._replace(protocol="icmp", port=None))
    known = {one["because"] for leg in (echo, echo.reversed()) for one in follow(leg, seen)["doubts"]}
    return next((one for one in doubts if one["because"] not in known), None)


def _suspect(doubts: t.Sequence[Item]) -> Item | None:
    """Of doubts, the first that is a reason: who gets no answer may be told of by what follows from one."""
    return next((one for one in doubts if one["cause"] not in SYMPTOMS), next(iter(doubts), None))


def _lasting(direction: Item) -> Item | None:
    """What ends a direction though packets are answered. A state of the moment has passed by then: a note of its hop."""
    died: Item | None = direction["died"]
    if died and died["settles"]:
        direction["hops"][died["hop"]]["notes"].append(died["because"])
        return None
    return died


def patience(report: Item) -> int:
    """Seconds to wait for an answer before the hosts are read once more: what settles by itself has its time."""
    return SETTLING if report["died"] and report["died"]["settles"] else BUSY


def judge(way: Route, seen: t.Mapping[str, Item], measured: Item | None) -> Item:
    """Both directions and the verdict.

    measured: what the module probe observed of the packet, or None. What comes back decides for ICMP: nothing that was read can contradict it.
    """
    ways = vrrp.actives(way, seen)
    way = ways[0]
    there = vrrp.likeliest([follow(one, seen) for one in ways])
    back = vrrp.likeliest([follow(one.reversed(), seen) for one in ways])
    vrrp.second(ways, there, seen, follow)
    died = there["died"] or back["died"]
    dies = bool(died)
    # An answer is none when somebody else gives it.
    elsewhere = died and (died["cause"] == "duplicate-address" or _answers_itself(way, seen))
    answered = bool(measured and measured.get("received")) and not elsewhere
    if answered:
        died = _lasting(there) or _lasting(back)
    lost = bool(measured and measured.get("sent")) and not answered and not _only_pings_die(way, seen)
    if not died and lost:
        # The last is nearest to the reason: who gets no packet is not asked.
        died = _suspect([*there["doubts"][::-1], *back["doubts"][::-1]])
    direction = "there" if died in (there["died"], *there["doubts"]) else "back"
    rest = None if died or lost else _of_the_protocol(way, seen, [*there["doubts"], *back["doubts"]])
    alive = answered if measured and way.packet.protocol == "icmp" and answered else not died and not lost
    return {
        "from": way.source.id,
        "to": way.target.id,
        "packet": way.packet._asdict(),
        "passed": alive,
        "there": there,
        "back": back,
        "died": None
        if alive or not died
        else {**died, "direction": direction, "at": (there if direction == "there" else back)["hops"][died["hop"]]},
        "remark": died
        if alive and died
        else next(iter([*filter(None, [rest]), *there["remarks"], *back["remarks"]]), None),
        "undecided": not alive and not died,
        # Packets and what was read disagree: by now, either may have changed.
        "unsure": dies if measured and measured.get("received") else not alive and (not dies or died["settles"]),
        "measured": measured,
    }


def judge_again(way: Route, seen: t.Mapping[str, Item], after: t.Mapping[str, Item], measured: Item | None) -> Item:
    """The verdict where the hosts were read before and after the packets were sent.

    Routes, spanning trees and what was learned may have settled in between: where the packet ends by the first read, the second one decides.
    """
    report = judge(way, seen, measured)
    if report["there"]["died"] or report["back"]["died"]:
        return judge(way, after, measured)
    if report["undecided"] or (report["died"] and report["died"]["cause"] in SYMPTOMS):
        later = judge(way, after, measured)
        if later["died"] and later["died"]["cause"] not in SYMPTOMS:
            return later
    if report["undecided"]:
        counters.decide(way, report, seen, after)
    return report

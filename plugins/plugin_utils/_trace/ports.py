# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports, tunnels and tables of a switch on a packet's way. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Vlans
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.pipeline import COMMIT, LEARNED
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.unset import as_read
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import passes
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.openflow import DEFAULT, SPOOFED, WITHOUT_RULE
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import ends, parameters, switch
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.crossing import inside
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import SITE, Died, Path, View, sizes
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import End, Route
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.policy import Judges, first_packet

Item = t.Dict[str, t.Any]


def plugged(view: View, path: Path, end: End, way: Route) -> None:
    """The port that an endpoint hangs at."""
    host, name = end.host or "", end.port or ""
    notes = path.at(host, "port", name)
    try:
        row = present(view, host, end.bridge or "", name)
        _link(view, host, name, row)
        _room(view, host, name, way.packet.size, way.segments[end.segment or ""]["mtu"])
    except Died as died:
        if died.cause in ("port-error", "no-carrier") or (end.guest and died.cause == "port-gone"):
            _behind(view, path, end)
        raise
    _wired(view, host, end)
    limited(path, host, name, row)
    _held(view, path, end, way)
    # Flows alone decide on their bridge; tags count where the bridge switches.
    if not way.keyed or end.guest:
        _tag(host, name, end, row)
    notes.append(f"in {end.bridge}" + (f", VLAN {row['tag']}" if row["tag"] is not None else ", untagged"))


def _held(view: View, path: Path, end: End, way: Route) -> None:
    """What the kernel does at the port itself. A switch in user space gets a packet before the rules for what comes in see it."""
    host, name = end.host or "", end.port or ""
    space, place = view.space(host, ""), parameters.Place(host, "", host)
    parameters.queued(path, space, name, place)
    if end == way.target:
        ends.filtered(path, space, "egress", ends.met(way, "", name), place)
    elif view.bridge(host, end.bridge or "")["datapath_type"] != "netdev":
        ends.filtered(path, space, "ingress", ends.met(way, name, ""), place)


def _wired(view: View, host: str, end: End) -> None:
    """The wire from a guest's bridge to that of the flows."""
    names = (f"q-{(end.port or '')[2:]}", f"p-{(end.port or '')[2:]}")
    for bridge in view.plan["hosts"][host]["bridges"]:
        for port in bridge.get("ports", ()):
            if port.get("type") == "patch" and port["name"] in names:
                row = present(view, host, bridge["name"], port["name"])
                _tag(host, port["name"], end._replace(tag=as_read(port["tag"])), row)


def limited(path: Path, host: str, name: str, row: Item) -> None:
    """A rate that the port takes at most."""
    if row.get("policing"):
        said = f"port {name} on {host} takes {row['policing']} kbit/s at most, and drops the rest"
        mend = f"on {host}: ovs-vsctl set interface {name} ingress_policing_rate=0"
        path.doubt(Died("policing", said, "no limit", mend))


def _room(view: View, host: str, name: str, size: int, planned: int) -> None:
    """The port's own MTU: a veth takes nothing that is larger."""
    link = view.space(host, "")["links"].get(name)
    if link:
        sizes(link, size, planned, host, f"on {host}: ip link set {name} mtu {planned}")


def _behind(view: View, path: Path, end: End) -> None:
    """A port stands and falls with what hangs at it: where that is the reason, the path ends there."""
    trial = Path()
    trial.at(end.host or "", "guest" if end.guest else "endpoint", end.id)
    try:
        if end.guest:
            ends.guest(view, trial, end)
        else:
            ends.interface(view, end)
    except Died:
        path.hops += trial.hops
        raise


def present(view: View, host: str, bridge: str, name: str) -> Item:
    """A port of a bridge that works."""
    ports = view.bridge(host, bridge)["ports"]
    if name not in ports:
        others = [other for other, one in view.switch(host)["bridges"].items() if name in one["ports"]]
        where = f"it is in {others[0]}" if others else "no bridge has it"
        raise Died("port-gone", f"bridge {bridge} on {host} has no port {name}: {where}", f"port {name} in {bridge}")
    row: Item = ports[name]
    if row["error"] or (row["ofport"] is not None and row["ofport"] < 0):
        said = row["error"] or "ofport -1"
        raise Died(
            "port-error",
            f"port {name} on {host} does not work: {said}",
            "",
            f"on {host}: ovs-vsctl list interface {name}",
        )
    return row


def _link(view: View, host: str, name: str, row: Item) -> None:
    link = view.space(host, "")["links"].get(name)
    if link is not None and not link["up"]:
        raise Died("port-down", f"{name} on {host} is down", f"{name} is up", f"on {host}: ip link set {name} up")
    if row["link_state"] == "down" or (link is not None and not link["carrier"]):
        raise Died("no-carrier", f"{name} on {host} has no carrier: its other end is down or gone", f"{name} is up")


def _tag(host: str, name: str, end: End, row: Item) -> None:
    found, planned = row["tag"], end.tag
    mode = row["vlan_mode"] if row["vlan_mode"] not in (None, "access") else None
    if found != planned or (mode and planned is not None):
        has = f"tag {found}" if found is not None else "no tag"
        wanted = f"tag={planned}" if planned is not None else "tag=[]"
        raise Died(
            "tag",
            f"port {name} on {host} has {has}" + (f" and vlan_mode {mode}" if mode else ""),
            f"tag {planned}" if planned is not None else "no tag",
            f"on {host}: ovs-vsctl set port {name} {wanted}" + (" vlan_mode=[]" if mode else ""),
        )
    if planned is None and row["trunks"] and 0 not in row["trunks"]:
        carried = f"port {name} on {host} carries only the VLANs {row['trunks']}"
        raise Died("trunks", carried, "untagged frames", f"on {host}: ovs-vsctl clear port {name} trunks")


TUNNEL_OPTIONS = ("remote_ip", "local_ip", "key", "dst_port")
# Options that no plan has, and what each does to packets.
FOREIGN_OPTIONS = {
    "in_key": "takes packets with this key alone",
    "out_key": "sends with this key",
    "ttl": "lets the outer packet cross so many routers",
    "exts": "has extensions that the far end does not know",
    "packet_type": "carries another kind of packets",
    "remote_name": "sends elsewhere",
    "seq": "numbers its packets",
}


def tunnel(view: View, path: Path, host: str, far: str, way: Route, note: str) -> None:
    """The tunnel of a host to another, as both ends need it."""
    planned = way.tunnel(host, far)
    if planned is None:
        overlay = way.segments[way.source.segment or ""]["overlay"]
        raise Died(
            "no-tunnel", f"the plan has no tunnel from {host} to {far}", "", f"fabric_overlays[{overlay}].tunnels"
        )
    name = planned["name"]
    notes = path.at(host, "tunnel", name)
    try:
        row = present(view, host, planned["bridge"], name)
    except Died as died:
        if died.cause == "bridge-gone":
            raise
        raise Died(
            "tunnel-" + died.cause.partition("-")[2],
            died.because.replace("port", "tunnel"),
            f"tunnel {name} to {far}",
            died.mend,
        ) from died
    _options(host, name, planned, row)
    _added(path, host, name, row)
    _rival(view, path, host, name, way, planned)
    _overridden(view, path, host, planned["remote_ip"])
    _carries(host, name, way, planned, row)
    # From tunnel to tunnel, that is; an endpoint's port is never protected.
    if host in way.hosts[1:-1] and row.get("protected") and not planned["protected"]:
        raise Died(
            "split-horizon",
            f"tunnel {name} on {host} is protected, so nothing passes to it from another protected port",
            "protected false",
            f"on {host}: ovs-vsctl set port {name} protected=false",
        )
    notes.append(note)


def _options(host: str, name: str, planned: Item, row: Item) -> None:
    if row["type"] != planned["type"]:
        raise Died(
            "tunnel-type",
            f"tunnel {name} on {host} is of type {row['type'] or 'none'}",
            f"type {planned['type']}",
            f"on {host}: ovs-vsctl set interface {name} type={planned['type']}",
        )
    for option in (option for option in TUNNEL_OPTIONS if option in planned):
        found, wanted = _number(row["options"].get(option)), _number(planned[option])
        if found != wanted:
            command = (
                f"set interface {name} options:{option}={wanted}"
                if wanted
                else f"remove interface {name} options {option}"
            )
            raise Died(
                "tunnel-" + option.replace("_", "-"),
                f"tunnel {name} on {host} has {option} {found or 'not set'}",
                f"{option} {wanted or 'not set'}",
                f"on {host}: ovs-vsctl {command}",
            )


def _added(path: Path, host: str, name: str, row: Item) -> None:
    """Options of a tunnel that somebody has added."""
    for option, does in FOREIGN_OPTIONS.items():
        found = row["options"].get(option)
        if found is None:
            continue
        said = f"tunnel {name} on {host} has {option} {found}: it {does}"
        died = Died(
            "tunnel-option", said, f"{option} not set", f"on {host}: ovs-vsctl remove interface {name} options {option}"
        )
        if option in ("in_key", "out_key") and _number(found) != _number(row["options"].get("key")):
            raise died
        path.doubt(died)


def _overridden(view: View, path: Path, host: str, remote: str) -> None:
    """A route that somebody has given to the switch, beside those of the kernel."""
    for route in view.switch(host).get("overridden") or ():
        if not inside(remote, route["to"]):
            continue
        said = f"the switch on {host} has a route of its own to {remote} by {route['dev']}, before the kernel's"
        mend = f"on {host}: ovs-appctl ovs/route/del {route['to']}"
        path.doubt(Died("tunnel-route", said, "the kernel's route", mend))


def _rival(view: View, path: Path, host: str, name: str, way: Route, planned: Item) -> None:
    """Another tunnel from the same far end, with the very key of the segment, by which the switch takes what has the key."""
    if not way.keyed:
        return
    key = str(way.segments[way.source.segment or ""]["key"])
    for bridge, one in view.switch(host)["bridges"].items():
        for other, row in one["ports"].items():
            taken = _number(row["options"].get("in_key") or row["options"].get("key"))
            same = (row["type"], row["options"].get("remote_ip")) == (planned["type"], planned["remote_ip"])
            if other != name and same and taken == key and not row["error"]:
                said = f"tunnel {other} in {bridge} on {host} takes what comes with key {key}, before {name}"
                mend = f"on {host}: ovs-vsctl del-port {bridge} {other}"
                path.doubt(Died("tunnel-key", said, f"key {key} by {name} alone", mend))


def _number(value: t.Any) -> str | None:
    """An option of a tunnel; without a key is the key 0, and numbers have many spellings."""
    text = str(as_read(value) or "").strip('"')
    if text[:2].lower() == "0x" or text.isdigit():
        text = str(int(text, 0) if text[:2].lower() == "0x" else int(text))
    return None if text in ("", "0") else text


def _carries(host: str, name: str, way: Route, planned: Item, row: Item) -> None:
    """Whether a tunnel carries the segment's VLAN."""
    vlan = way.segments[way.source.segment or ""]["vlan"]
    if way.keyed:
        return
    wanted = ",".join(str(one) for one in planned["trunks"])
    mend = f"on {host}: ovs-vsctl set port {name} tag=[] vlan_mode=[] trunks=" + (wanted or "[]")
    carried = f"VLANs {wanted}" if wanted else "all VLANs"
    access = row["vlan_mode"] in ("access", "dot1q-tunnel")
    if row["tag"] is not None or access:
        which = f"is an access port of VLAN {row['tag'] or 0}" + (f" (vlan_mode {row['vlan_mode']})" if access else "")
        raise Died("trunks", f"tunnel {name} on {host} {which}", carried, mend)
    if row["trunks"] and (vlan or 0) not in Vlans().parse(row["trunks"], "trunks"):
        raise Died(
            "trunks", f"tunnel {name} on {host} does not carry VLAN {vlan or 0}, but {row['trunks']}", carried, mend
        )


class Passage(t.NamedTuple):
    """Through a bridge. goal: where the packet should leave, in words; before: the host that it comes from, None for an endpoint's port."""

    bridge: str
    goal: str
    before: str | None
    reached: t.Callable[[switch.Traced], bool]


def tables(view: View, path: Path, host: str, way: Route, passage: Passage) -> switch.Traced:
    """What the switch does with the packet."""
    bridge, goal = passage.bridge, passage.goal
    found = view.bridge(host, bridge)
    answers = view.switch(host)["traces"]
    traced = switch.parse(answers.get(way.trace_name(passage.before)) or "error: the switch was not asked")
    notes = path.at(host, "switch", bridge)
    names = {one["table"]: one["name"] for one in _flow_tables(view, host, bridge)}
    for flow in traced.flows:
        # Of OVN's flows there are a hundred on a way, and the logical ones say the same.
        if flow.bridge == bridge and _tells(flow) and not way.logical:
            rule = _rule(view, host, flow)
            notes.append(switch.in_words(flow, names) + (f" ({rule})" if rule else ""))
    if not passage.reached(traced):
        died = lost(view, host, bridge, traced, found, names, goal)
        if way.keyed and died.cause == "wrong-port":
            # Flows decide there, and nothing is learned.
            died.mend = f"{SITE}; on {host}: ovs-ofctl -O OpenFlow15 --names dump-flows {bridge}"
        elif "fdb/show" in died.mend:
            vlan = way.segments[way.source.segment or ""]["vlan"] or 0
            died.mend += f"; ovs-appctl fdb/del {bridge} {vlan} {way.target.mac}"
        if died.cause == "policy":
            _held_to_intent(died, switch.last(traced), way)
        raise died
    if way.keyed:
        _by_flows(path, host, bridge, way, traced)
    notes.append(f"leaves by {goal}")
    _tracked(view, path, host)
    _suspects(view, path, host, traced, names)
    asked = answers.get(way.arp_name(passage.before))
    if asked and not way.keyed and not way.logical:
        question = switch.parse(asked)
        if not question.error and not passage.reached(question):
            died = lost(view, host, bridge, question, found, names, goal)
            word = "neighbor solicitation" if way.packet.family == 6 else "ARP question"
            died.because = f"the {word} for {way.target.address} does not pass: {died.because}"
            path.doubt(died)
    return traced


def _tracked(view: View, path: Path, host: str) -> None:
    """Connections that a switch has no more room for, and one that takes none as it waits."""
    if view.switch(host).get("paused"):
        said = f"Open vSwitch on {host} waits for its flows to be restored, and forwards nothing new: other_config:flow-restore-wait is true"
        mend = f"on {host}: ovs-vsctl remove open_vswitch . other_config flow-restore-wait"
        path.doubt(Died("ovs-down", said, "flow-restore-wait not set", mend))
    count, most = view.switch(host).get("tracked") or (0, 0)
    if most and count >= most:
        said = f"connection tracking of Open vSwitch on {host} is full: {count} of {most}"
        mend = f"on {host}: ovs-appctl dpctl/ct-set-maxconns {max(3000000, most * 2)}"
        path.doubt(Died("conntrack-full", said, "room for new connections", mend))
    for zone, (limit, count) in (view.switch(host).get("zones") or {}).items():
        if count is None or count >= limit:
            where, words = ("each zone", "default=0") if zone == "default" else (f"zone {zone}", f"zone={zone}")
            said = f"connection tracking of Open vSwitch on {host} takes {limit} connections of {where} at most"
            gone = "ct-set-limits default=0" if zone == "default" else f"ct-del-limits {words}"
            path.doubt(Died("conntrack-full", said, "no limit", f"on {host}: ovs-appctl dpctl/{gone}"))


def _by_flows(path: Path, host: str, bridge: str, way: Route, traced: switch.Traced) -> None:
    """What flows of a pipeline do besides: the key that they send it with, and the connection that they remember for the answer."""
    key = way.segments[way.source.segment or ""]["key"]
    if traced.keys and key not in traced.keys:
        said = f"the flows of {bridge} on {host} send it with the key {traced.keys[0]}"
        raise Died("tunnel-key", said, f"key {key}")
    committing = [flow for flow in traced.flows if (flow.bridge, flow.table) == (bridge, COMMIT)]
    acts = [action for flow in traced.flows for action in flow.actions]
    if committing and not way.packet.answer and not any(one.startswith("ct(commit") for one in acts):
        said = f"the flows of {bridge} on {host} let it pass and do not remember its connection, so that the answer is dropped"
        path.doubt(Died("flow", said, f"table {COMMIT} commits each new connection"))


def permitted(leg: Route) -> bool:
    """Whether the policies that flows hold a leg's packet to let its connection pass, as the plan has them."""
    packet, judges = leg.packet, Judges(leg.plan)
    layers = []
    for end in (leg.source, leg.target):
        point = leg.world.points.get(end.id)
        if point and not {packet.source, packet.target} & judges.exempt.get(point["segment"], set()):
            layers += judges.at(point)
    ends_ = (packet.target, packet.source) if packet.answer else (packet.source, packet.target)
    return passes(layers, first_packet(*ends_, packet.protocol, packet.port or 0))


def _held_to_intent(died: Died, end: switch.Matched | None, way: Route) -> None:
    """Hold what a flow of the policy drops against the intent: flows may have drifted. What is of no rule is not the rules' to tell."""
    number = end.cookie & 0xFFFF if end else DEFAULT
    if end is None or number in WITHOUT_RULE.keys() - {DEFAULT, SPOOFED}:
        return
    if number == SPOOFED:
        # The packet that is asked about has the planned addresses.
        died.cause, died.planned, died.mend = "flow", "the packet passes, as its addresses are the endpoints' own", SITE
    elif permitted(way):
        died.cause, died.planned, died.mend = "flow", "fabric_policy lets it pass", SITE
    else:
        died.planned = "the same: the intent denies it"


def _suspects(view: View, path: Path, host: str, traced: switch.Traced, names: t.Mapping[int, str]) -> None:
    """Flows of others that the packet met on its way: they may have changed it, or pass some of many."""
    owner = view.plan["hosts"][host]["owner"]
    for flow in traced.flows:
        if _foreign(view, flow, owner):
            path.doubt(_by_others(host, flow, owner, names, "no flow of others"))


def _flow_tables(view: View, host: str, bridge: str) -> list[Item]:
    bridges = view.plan["hosts"][host]["bridges"]
    return next((one.get("flow_tables") or [] for one in bridges if one["name"] == bridge), [])


def _tells(flow: switch.Matched) -> bool:
    """Whether a line says more than that the packet went on."""
    return not (flow.match == "priority 0" and len(flow.actions) == 1 and flow.actions[0].startswith("goto_table"))


def answered(view: View, path: Path, host: str, way: Route) -> None:
    """Hold the answer of flows to the ARP question: who has learned the MAC address goes without it for a while."""
    text = view.switch(host)["traces"].get(way.arp_name())
    traced = switch.parse(text) if text else None
    if traced is None or traced.error or way.source.port in traced.outputs:
        return
    bridge = way.source.bridge or ""
    names = {one["table"]: one["name"] for one in _flow_tables(view, host, bridge)}
    died = lost(view, host, bridge, traced, view.bridge(host, bridge), names, f"port {way.source.port}, as an answer")
    died.because = f"nobody answers the ARP question for {way.target.address}: {died.because}"
    died.cause = "arp-unanswered"
    path.doubt(died)


def received(view: View, host: str, nics: t.Sequence[str], bridge: str, entry: str = "") -> None:
    """Let a tunnel's packet from a NIC into the bridge of the underlay. A bond takes it from some of its NICs only."""
    texts = [view.switch(host)["traces"].get(f"tunnel by {nic}{entry}") for nic in nics]
    traced = [switch.parse(text) for text in texts if text]
    if traced and all(one.dropped for one in traced):
        raise lost(view, host, bridge, traced[0], view.bridge(host, bridge), {}, "the tunnel endpoint")


def lost(
    view: View, host: str, bridge: str, traced: switch.Traced, found: Item, names: t.Mapping[int, str], goal: str
) -> Died:
    """Why the switch does not hand the packet on."""
    dump = f"on {host}: ovs-ofctl -O OpenFlow15 --names dump-flows {bridge}"
    end = switch.last(traced)
    if traced.error and "ovs-appctl:" in traced.error and "returned an error" not in traced.error:
        start = f"on {host}: systemctl restart openvswitch-switch"
        return Died("ovs-down", f"ovs-vswitchd on {host} does not answer: {traced.error}", "Open vSwitch runs", start)
    if traced.error or end is None:
        return Died("switch", f"bridge {bridge} on {host} cannot say what it does with it: {traced.error}", "", dump)
    owner = view.plan["hosts"][host]["owner"]
    foreign = next((flow for flow in traced.flows if _foreign(view, flow, owner)), None)
    if foreign:
        return _by_others(host, foreign, owner, names, f"leaves by {goal}")
    line = switch.in_words(end, names)
    if end.match is None:
        why = f"fail_mode {found['fail_mode']}, and no flow matches in {line.partition(':')[0]}"
        return Died("no-flow", f"bridge {end.bridge} on {host} drops it: {why}", f"leaves by {goal}")
    blocked = (
        _by_tree(view, host, bridge, found, goal)
        or _blocked(host, traced, end, goal)
        or _protected(view, host, bridge, traced, goal)
    )
    if blocked:
        return blocked
    if not traced.outputs and not traced.tunnels:
        said = f" ({traced.remark})" if traced.remark else ""
        rule = _rule(view, host, end)
        if rule:
            return Died(
                "policy",
                f"bridge {end.bridge} on {host} drops it ({rule}) in {line}",
                f"leaves by {goal}",
                _MEND_POLICY,
            )
        died = Died("flow", f"bridge {end.bridge} on {host} drops it in {line}{said}", f"leaves by {goal}")
        if "NORMAL" in end.actions:
            died.mend = f"on {host}: ovs-appctl fdb/show {end.bridge}"
        return died
    left_out = _left_out(host, bridge, traced, goal)
    if left_out:
        return left_out
    where = ", ".join([*traced.outputs, *(f"tunnel to {remote}" for remote in traced.tunnels)])
    return Died(
        "wrong-port",
        f"bridge {bridge} on {host} sends it to {where}",
        f"leaves by {goal}",
        f"on {host}: ovs-appctl fdb/show {bridge}",
    )


def _by_tree(view: View, host: str, bridge: str, found: Item, goal: str) -> Died | None:
    """A spanning tree that somebody has turned on: it blocks ports, and each of them for half a minute at first."""
    planned: Item = next((one for one in view.plan["hosts"][host]["bridges"] if one["name"] == bridge), {})
    tree = found.get("spanning_tree")
    if not tree or planned.get("rstp"):
        return None
    said = f"bridge {bridge} on {host} has {tree.upper()} turned on, which blocks a port on the way ({goal})"
    mend = f"on {host}: ovs-vsctl set bridge {bridge} {tree}_enable=false"
    return Died("spanning-tree", said, f"no {tree.upper()}", mend)


def _protected(view: View, host: str, bridge: str, traced: switch.Traced, goal: str) -> Died | None:
    """Two ports that somebody has protected, between which nothing passes, also not what is flooded."""
    rows, name = view.bridge(host, bridge)["ports"], goal.rpartition(" ")[2]
    pair = [one for one in (traced.entry, name) if (rows.get(one) or {}).get("protected")]
    if len(pair) < 2 and "between protected ports" not in traced.remark:
        return None
    planned = {one["name"] for one in view.plan["hosts"][host]["tunnels"] if one["protected"]}
    freed = [one for one in pair if one not in planned] or [name]
    said = f"bridge {bridge} on {host} hands nothing from {traced.entry or 'where it comes in'} to {name}: both ports are protected"
    mend = "; ".join(f"ovs-vsctl set port {one} protected=false" for one in freed)
    return Died("split-horizon", said, "its ports are not protected from each other", f"on {host}: {mend}")


def _left_out(host: str, bridge: str, traced: switch.Traced, goal: str) -> Died | None:
    """A port that a flood does not go to, though it carries the VLAN."""
    if not any("flooding" in action for flow in traced.flows for action in flow.actions):
        return None
    name = goal.rpartition(" ")[2]
    said = f"bridge {bridge} on {host} floods it and leaves out {name}: OpenFlow has the port set to no-flood, or a spanning tree has left it so"
    twice = "; ".join(f"ovs-ofctl mod-port {bridge} {name} {word}" for word in ("no-flood", "flood"))
    return Died("port-config", said, goal, f"on {host}: {twice}")


def _blocked(host: str, traced: switch.Traced, end: switch.Matched, goal: str) -> Died | None:
    """What drops the packet besides flows: how a port is set in OpenFlow, a spanning tree, a mirror."""
    if "mirroring" in traced.remark:
        clear = f"on {host}: ovs-vsctl list mirror; ovs-vsctl clear bridge {end.bridge} mirrors"
        return Died(
            "mirror", f"port {traced.entry} on {host} is the output of a mirror, and takes nothing", goal, clear
        )
    if "NO_FWD" in traced.remark:
        said = (
            f"bridge {end.bridge} on {host} sends nothing to its port, as that is set to no-forward in OpenFlow: {goal}"
        )
        return Died(
            "port-config", said, goal, f"on {host}: ovs-ofctl mod-port {end.bridge} {goal.rpartition(' ')[2]} forward"
        )
    if not traced.outputs and not traced.tunnels and end is traced.flows[0] and not end.actions:
        said = f"bridge {end.bridge} on {host} takes nothing from its port {traced.entry}: OpenFlow has it set to no-receive, or a spanning tree blocks it"
        return Died("port-config", said, goal, f"on {host}: ovs-ofctl mod-port {end.bridge} {traced.entry} receive")
    return None


def _by_others(host: str, flow: switch.Matched, owner: str, names: t.Mapping[int, str], planned: str) -> Died:
    line, by = switch.in_words(flow, names), switch.whose(flow, owner)
    mend = f"on {host}: ovs-ofctl -O OpenFlow15 del-flows {flow.bridge} cookie={flow.cookie:#x}/-1"
    return Died("foreign-flow", f"a flow of others on {host} ({by}) takes it: {line}", planned, mend)


_MEND_POLICY = (
    "fabric_policy; here: ansible-playbook playbooks/plan.yml -e 'plan_query=policy[].rules[].[name, action]'"
)


def _rule(view: View, host: str, flow: switch.Matched) -> str | None:
    """The rule of the policy that a flow is of, in words; None for a flow of none."""
    number = flow.cookie & 0xFFFF
    if not number or switch.whose(flow, view.plan["hosts"][host]["owner"]) != "ours":
        return None
    rules = {rule["number"]: rule["name"] for one in view.plan.get("policy", ()) for rule in one["rules"]}
    named = {**WITHOUT_RULE, **{number: f"rule {name}" for number, name in rules.items()}}
    return f"policy: {named[number]}" if number in named else None


def _foreign(view: View, flow: switch.Matched, owner: str) -> bool:
    """Whether somebody else made a flow. On a bridge without flows of ours, that with priority 0 is the switch's own."""
    planned = {entry["bridge"] for host in view.plan["hosts"].values() for entry in host["flows"]}
    if flow.match is None or switch.whose(flow, owner) == "ours":
        return False
    chassis = [host.get("ovn_chassis") for host in view.plan["hosts"].values()]
    if flow.bridge in {one["bridge"] for one in chassis if one}:
        # Flows of OVN are by ovn-controller, and carry no mark.
        return False
    # The switch's own, of segments that learn: see docs/pipeline.md.
    learned = flow.bridge in planned and flow.table == LEARNED
    return not learned and not (flow.match == "priority 0" and not flow.cookie)

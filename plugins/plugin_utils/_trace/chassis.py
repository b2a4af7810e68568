# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Through OVN: a logical port and where it is bound, the logical pipeline with its ACLs, the chassis and the tunnel between two. Pure.

This file is private to the collection. Sources: ovn-architecture(7), ovn-controller(8), ovn-nb(5).
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import tep_address
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.ovn import DENIED
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import edges, logical, nft, ports, switch
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.crossing import inside
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.packet import End
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import SITE, Died, Path, View
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.switch import Traced
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route

Item = t.Dict[str, t.Any]

# What ovn-trace says of a next hop that OVN knows.
_BINDING = re.compile(r"MAC binding to ([0-9a-f:]{17})")
# Where a flow of routing sets the next hop, of both families.
_HOP = re.compile(r"^(?:xx)?reg0 = (\S+);$")

RECOMPUTE = "systemctl restart ovn-controller"
# What stops ovn-northd stops the databases, too (ovn-ctl(8), stop_northd), and nothing starts them again with it.
DATABASES = "systemctl restart ovn-ovsdb-server-nb ovn-ovsdb-server-sb"
# The beginning of the name of an ACL that a rule of the policy was made to.
RULE = "rule-"


def answers(view: View) -> Item:
    """What OVN's databases said; empty where they did not answer, as packets go on without them."""
    read = view.seen.get(logical.central(view.plan)) or {}
    found: Item = read.get("logical") or {}
    return {} if found.get("error") else found


def bound(view: View, path: Path, end: End) -> None:
    """A logical port that is on its host: plugged in by its name there, bound there, on a chassis as planned."""
    host, name = end.host or "", logical.port_of(view.plan, end.id)
    path.at(host, "port", end.port or "")
    row = ports.present(view, host, end.bridge or "", end.port or "")
    if row.get("iface_id") != name:
        said = f"port {end.port} on {host} has the iface-id {row.get('iface_id') or 'none'}, by which OVN knows its logical port"
        mend = f"on {host}: ovs-vsctl set interface {end.port} external_ids:iface-id={name}"
        raise Died("binding", said, f"iface-id {name}", mend)
    chassis(view, path, host)
    found, rival = answers(view), _claimed(view, host, end.port or "", name)
    if rival:
        path.doubt(rival)
        path.remark(rival)
    if not found:
        return
    there = next((one for one in found["bindings"] if one["name"] == name), None)
    if there is None and name in found["ports"]:
        said = f"logical port {name} is in the northbound database, and not in the southbound one"
        raise not_in_force(view) if not found["northd"] else Died("binding", said, f"bound on {host}")
    if there is not None and there["chassis"] != host:
        if rival:
            raise rival
        where = f"bound on {there['chassis']}" if there["chassis"] else "bound nowhere"
        asked = _requested(found, name)
        if asked and asked != host:
            said = f"logical port {name} is {where}, as the northbound database requests the chassis {asked} for it"
            mend = f"on {logical.central(view.plan)}: ovn-nbctl remove Logical_Switch_Port {name} options requested-chassis; then {SITE}"
            raise Died("binding", said, f"bound on {host}", mend)
        changed = _port_changed(view, found, "switch", name) if name in found["ports"] else None
        if changed:
            raise changed
        look = (
            f"on {host}: {RECOMPUTE}; on {logical.central(view.plan)}: ovn-sbctl find Port_Binding logical_port={name}"
        )
        raise Died("binding", f"logical port {name} is {where}", f"bound on {host}", look)


def _claimed(view: View, host: str, port: str, name: str) -> Died | None:
    """Another port, here or on another host that was read, by which a logical port is claimed."""
    for other in view.seen:
        bridges = ((view.seen[other] or {}).get("switch") or {}).get("bridges") or {}
        for claims, row in ((claims, row) for one in bridges.values() for claims, row in one["ports"].items()):
            if row.get("iface_id") == name and (other, claims) != (host, port):
                said = f"port {claims} on {other} has the iface-id {name}, too, so that OVN may take it for {port} on {host}"
                gone = f"on {other}: ovs-vsctl remove interface {claims} external_ids iface-id"
                mend = f"{gone}; on {host}: {RECOMPUTE}"
                return Died("binding", said, f"iface-id {name} on {port} alone", mend)
    return None


def _requested(found: Item, name: str) -> str | None:
    """The chassis that the northbound database wants a port on, if it says so."""
    options = (found["ports"].get(name) or {}).get("options") or {}
    return options.get("requested-chassis") or None


def chassis(view: View, path: Path, host: str) -> None:
    """A host that is the chassis it is planned to be. One without its ovn-controller goes on as it was, unless it gave its ports back."""
    planned = view.plan["hosts"][host]["ovn_chassis"]
    wanted = {
        "system-id": planned["name"],
        "ovn-remote": ",".join(planned["remotes"]),
        "ovn-encap-type": ",".join(planned["encapsulations"]),
        "ovn-encap-ip": planned["encapsulation_ip"],
        "ovn-bridge": planned["bridge"],
        "ovn-set-local-ip": "true",
    }
    ids = view.switch(host).get("ids") or {}
    for key, value in wanted.items():
        if ids.get(key) != value:
            said = f"the chassis {host} has external_ids:{key} {ids.get(key) or 'not set'}"
            mend = f"on {host}: ovs-vsctl set open_vswitch . external_ids:{key}={value}"
            raise Died("chassis", said, f"{key} {value}", mend)
    found, stopped = answers(view), _cut_off(view, host)
    there = next((one for one in found.get("chassis", ()) if one["name"] == host), None)
    if found and there is None:
        raise stopped or Died("chassis", f"OVN knows no chassis {host}", f"chassis {host}", f"on {host}: {RECOMPUTE}")
    if there and there["address"] != planned["encapsulation_ip"]:
        said = f"OVN has the chassis {host} at {there['address']}, to which others send their tunnels"
        raise stopped or Died("chassis", said, f"at {planned['encapsulation_ip']}", f"on {host}: {RECOMPUTE}")
    if stopped:
        path.doubt(stopped)
        path.remark(stopped)


def _cut_off(view: View, host: str) -> Died | None:
    """Why nothing new comes to a chassis: its ovn-controller, the databases, or the way to them."""
    controller = view.host(host).get("controller")
    central = logical.central(view.plan)
    error = ((view.seen.get(central) or {}).get("logical") or {}).get("error")
    if controller is None:
        start = f"on {host}: systemctl start ovn-controller"
        return Died("chassis", f"ovn-controller on {host} does not run", "ovn-controller runs", start)
    if error:
        start = f"on {central}: {DATABASES}"
        return Died("ovn-down", f"OVN's databases on {central} do not answer: {error}", "they run", start)
    if controller != "connected":
        said = f"ovn-controller on {host} does not reach the databases on {central}: {controller}"
        return Died("chassis", said, "connected", f"on {host}: journalctl -u ovn-controller")
    return None


def not_in_force(view: View) -> Died:
    """What is in the northbound database alone."""
    on = f"on {logical.central(view.plan)}: "
    said = "ovn-northd does not run: what was changed in OVN's northbound database since then is not in force"
    return Died("northd", said, "ovn-northd runs", f"{on}systemctl restart ovn-northd; {DATABASES}")


def pipeline(view: View, path: Path, way: Route) -> None:
    """The verdict of OVN's logical switches and routers."""
    source, found = way.source, answers(view)
    notes = path.at(source.host or "", "logical", source.segment or "")
    if not found:
        notes.append(f"OVN's databases on {logical.central(view.plan)} were not read")
        return
    target = logical.goal(way)
    answer = answered(view, way, target)
    notes += [f"{name}: {where}" for name, where in legs(answer)]
    rules = [_rule(view, found["made"].get(step.uuid or "")) for step in answer.steps]
    notes += [f"passes by {rule}" for rule in dict.fromkeys(filter(None, rules))] if target in answer.outputs else []
    northd(view, path)
    for step in answer.steps:
        if any("set_meter(" in one for one in step.actions):
            said = f"OVN limits the rate in {step.stage} of {step.datapath}: {step.match}"
            look = f"on {logical.central(view.plan)}: ovn-nbctl qos-list {step.datapath}"
            path.doubt(Died("policing", said, "a rate that is enough, by fabric_endpoints[].qos, or none", look))
    if target not in answer.outputs:
        raise stopped(view, way, way, found, answer)
    if way.outward:
        notes += _outward(view, path, way, found, answer)


def answered(view: View, way: Route, target: str) -> logical.Answer:
    """OVN's answer about a packet, in which the target's port has its own name."""
    text = answers(view)["traces"].get(way.trace_name(None)) or ""
    return _named(logical.parse(text), _planned(view).get(target) or {}, target)


def northd(view: View, path: Path) -> None:
    """Note that what was changed since ovn-northd stopped is not in force."""
    if not answers(view)["northd"]:
        path.doubt(not_in_force(view))
        path.remark(not_in_force(view))


def _named(answer: logical.Answer, planned: Item, target: str) -> logical.Answer:
    """An answer that calls the target's port by its own name: ovn-trace calls a guest's by the name for people, as that of OVN is a UUID."""
    friendly = (planned.get("external_ids") or {}).get("neutron:port_name")
    return answer._replace(outputs=tuple(target if one == friendly else one for one in answer.outputs))


def _outward(view: View, path: Path, way: Route, found: Item, answer: logical.Answer) -> list[str]:
    """What decides on the way out besides that the packet goes there: ports, route, translation, who has the next hop; in words."""
    changed = _changed(view, way, found) or _misrouted(view, way, answer)
    if changed:
        raise changed
    router = logical.router_of(way)
    wanted, _distributed = way.crossing.outer(way.outward, way.packet.source) if way.outward else (None, False)
    rows = (found.get("translations") or {}).get(router)
    if rows is not None and _translated(rows, way.packet.source) != wanted:
        made = _translated(rows, way.packet.source)
        said = f"OVN's router {router} {f'makes the source {made}' if made else 'does not translate the source'}"
        planned = f"the source {way.packet.source} " + (f"becomes {wanted}" if wanted else "stays")
        look = f"on {logical.central(view.plan)}: ovn-nbctl lr-nat-list {router}; then {SITE}"
        raise Died("nat", said, planned, look)
    hop = way.crossing.next_hop(router, way.packet.target)
    if any(step.stage == "lr_in_arp_request" for step in answer.steps):
        look = f"on {logical.central(view.plan)}: ovn-sbctl find MAC_Binding ip={hop}"
        path.doubt(Died("arp-unanswered", f"nobody answers OVN's router {router} for {hop}", f"{hop} answers", look))
    set_ = [
        row["mac"]
        for row in found.get("neighbors", ())
        if (row["logical_port"], row["ip"]) == (logical.outer_port(way), hop)
    ]
    learned = next((mac for step in answer.steps for mac in _learned(step)), None) or next(iter(set_), None)
    real = way.crossing.landing(way.outward, hop) if way.outward else None
    if learned and real and real.mac and learned != real.mac:
        said = f"OVN's router {router} takes {hop} to be at {learned}"
        look = f"on {logical.central(view.plan)}: ovn-nbctl static-mac-binding-del {logical.outer_port(way)} {hop}; ovn-sbctl --all destroy MAC_Binding"
        raise Died("neighbor", said, f"{real.id} has {real.mac}", look)
    return [f"source {way.packet.source} becomes {wanted}"] if wanted else []


def _learned(step: logical.Step) -> list[str]:
    """The MAC address by which OVN knows a next hop."""
    return _BINDING.findall(" ".join(step.actions)) if step.stage == "lr_in_arp_resolve" else []


def _translated(rows: t.Sequence[Item], source: str) -> str | None:
    """The address that a router's rows make of a source, by the longest prefix."""
    nets = [(ipaddress.ip_network(row["logical_ip"], strict=False), row) for row in rows if "snat" in row["type"]]
    fitting = [(net.prefixlen, str(row["external_ip"])) for net, row in nets if inside(source, str(net))]
    return max(fitting)[1] if fitting else None


def _misrouted(view: View, way: Route, answer: logical.Answer) -> Died | None:
    """A route of OVN's that drops the packet, or sends it to another next hop than the planned one."""
    for step in answer.steps:
        if step.stage != "lr_in_ip_routing":
            continue
        to, router = way.packet.target, step.datapath
        planned, look = (
            way.crossing.next_hop(router, to),
            f"on {logical.central(view.plan)}: ovn-nbctl lr-route-list {router}",
        )
        goal = f"to {to} itself" if planned == to else f"{to} via {planned}"
        if step == answer.steps[-1] or "drop;" in step.actions:
            by = f" by its route of {step.match}" if step.uuid and "drop;" in step.actions else ""
            said = (
                f"OVN's router {router} drops what is for {to}{by}"
                if by
                else f"OVN's router {router} has no route to {to}"
            )
            return Died("route-refuses" if by else "no-route", said, goal, f"{look}; then {SITE}")
        hop = next((found[1] for found in map(_HOP.match, step.actions) if found), None)
        if hop and hop not in ("ip4.dst", "ip6.dst", planned):
            said = f"OVN's router {router} sends what is for {to} to {hop}, by its route of {step.match}"
            return Died("wrong-route", said, goal, f"{look}; then {SITE}")
    return None


def gateway(view: View, path: Path, way: Route) -> str:
    """The host that is OVN's gateway for the packet: bound as planned, a chassis, with the provider network on its bridge."""
    exits, found = way.exits, answers(view)
    there = next((row for row in found.get("bindings", ()) if row["name"] == logical.gateway_port(way)), None)
    host = exits[0]
    if found and exits != [way.source.host]:
        planned = f"one of {', '.join(exits)}" if len(exits) > 1 else exits[0]
        look = f"on {logical.central(view.plan)}: ovn-sbctl find Port_Binding logical_port={logical.gateway_port(way)}; then {SITE}"
        where = there["chassis"] if there else None
        if where not in exits:
            for end in exits:
                stopped = _cut_off(view, end)
                if stopped and where is None:
                    path.at(end, "switch", view.plan["hosts"][end]["ovn_chassis"]["bridge"])
                    raise stopped
            said = f"the gateway of edge {way.outward.edge if way.outward else ''} is " + (where or "on no host")
            raise Died("binding", said, planned, look)
        host = where
    path.at(host, "gateway", way.outward.edge if way.outward else "")
    chassis(view, path, host)
    _mapped(view, way, host)
    return host


def _mapped(view: View, way: Route, host: str) -> None:
    """The provider network is where it is planned to be: by the chassis' setting, and by the port that ovn-controller makes of it."""
    planned = view.plan["hosts"][host]["ovn_chassis"]
    ids = view.switch(host).get("ids") or {}
    have = [one.strip() for one in (ids.get("ovn-bridge-mappings") or "").split(",")]
    for network, bridge in planned["bridge_mappings"].items():
        if f"{network}:{bridge}" not in have:
            said = (
                f"the chassis {host} has external_ids:ovn-bridge-mappings {ids.get('ovn-bridge-mappings') or 'not set'}"
            )
            mend = f"on {host}: ovs-vsctl set open_vswitch . external_ids:ovn-bridge-mappings={network}:{bridge}"
            raise Died("chassis", said, f"ovn-bridge-mappings {network}:{bridge}", mend)
    network = (_planned(view).get(logical.goal(way)) or {}).get("options", {}).get("network_name")
    bridge = planned["bridge_mappings"].get(network)
    if bridge:
        ports.present(view, host, bridge, f"patch-{logical.goal(way)}-to-{planned['bridge']}")


def legs(answer: logical.Answer) -> list[tuple[str, str]]:
    """Each logical switch and router on the way, and how far the packet came there."""
    last: dict[str, str] = {}
    for step in answer.steps:
        last[step.datapath] = f"{step.stage}: {step.match}"
    return [*last.items()]


def stopped(view: View, ports_of: Route, way: Route, found: Item, answer: logical.Answer) -> Died:
    """Why OVN does not bring the packet to its target. ports_of: the way whose logical ports are crossed, in either direction."""
    died = (
        _changed(view, ports_of, found) or _misrouted(view, way, answer) or _ended(view, ports_of, way, found, answer)
    )
    # What the intent denies is denied with and without it.
    return died if found["northd"] or died.cause == "policy" else not_in_force(view)


def _ended(view: View, ports_of: Route, way: Route, found: Item, answer: logical.Answer) -> Died:
    """The stage of OVN's pipeline where the packet ends."""
    if answer.error or not answer.steps:
        said = f"OVN cannot say what it does with it: {answer.error}"
        return Died("logical", said, "", f"on {logical.central(view.plan)}: ovn-nbctl show")
    # A packet that is refused goes on as the refusal, back to its sender.
    refused = [step for step in answer.steps if "_acl" in step.stage and any("reject" in one for one in step.actions)]
    end = refused[0] if refused else answer.steps[-1]
    if "_acl" in end.stage:
        return _denied(view, way, found["made"].get(end.uuid or ""), end)
    if answer.outputs:
        return Died("wrong-port", f"OVN sends it to {', '.join(answer.outputs)}", f"to {logical.goal(ports_of)}")
    stage, where = end.stage, f"{end.stage} of {end.datapath}"
    done = end.actions[-1] if end.actions else "no flow matches"
    cause = "port-security" if "port_sec" in stage else "logical"
    look = (
        f"on {logical.central(view.plan)}: ovn-nbctl {'lr' if stage.startswith('lr_') else 'ls'}-list; ovn-nbctl show"
    )
    if "_policy" in stage:
        look = f"on {logical.central(view.plan)}: ovn-nbctl lr-policy-list {end.datapath}"
    return Died(cause, f"OVN drops it in {where}: {end.match} → {done}", "no such flow of the fabric", look)


def _changed(view: View, way: Route, found: Item) -> Died | None:
    """What of the logical ports on a way is not as planned in the northbound database."""
    router = logical.router_of(way)
    if router in found.get("disabled", ()):
        said = f"logical router {router} is disabled in OVN's northbound database"
        mend = f"on {logical.central(view.plan)}: ovn-nbctl set Logical_Router {router} enabled=true"
        return Died("northbound", said, "enabled", mend)
    every = [(kind, name) for kind, names in logical.ports(way).items() for name in names]
    return next(filter(None, (_port_changed(view, found, kind, name) for kind, name in every)), None)


def _port_changed(view: View, found: Item, kind: str, name: str) -> Died | None:
    """What of a logical port is not as planned. kind: switch or router."""
    row, wanted = found["ports"].get(name), _planned(view).get(name) or {}
    if row is None:
        return Died("northbound", f"OVN's northbound database has no port {name}", f"port {name}")
    if row.get("enabled") is False:
        said = f"logical port {name} is disabled in OVN's northbound database"
        command = f"ovn-nbctl {'lsp' if kind == 'switch' else 'lrp'}-set-enabled {name} enabled"
        return Died("northbound", said, "enabled", f"on {logical.central(view.plan)}: {command}")
    for key in ("type", "tag", "addresses", "port_security", "mac", "networks", "options"):
        value = wanted.get(key)
        if value is not None and key in row and not _same(row[key], value):
            said = f"logical port {name} has {key} {_spelled(row[key])} in OVN's northbound database"
            return Died("northbound", said, f"{key} {_spelled(value)}", SITE)
    return None


def _same(found: t.Any, wanted: t.Any) -> bool:
    """Whether a cell is as planned; of options, those that are planned."""
    if isinstance(wanted, dict):
        return all((found or {}).get(key) == value for key, value in wanted.items())
    return bool(found == (sorted(wanted) if isinstance(wanted, list) else wanted))


def _spelled(value: t.Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={one}" for key, one in sorted(value.items())) or "none"
    return (", ".join(value) or "none") if isinstance(value, list) else str("none" if value in (None, "") else value)


def _northbound(view: View) -> Item:
    found: Item = view.plan["hosts"][logical.central(view.plan)]["ovn_central"]["northbound"]
    return found


def _planned(view: View) -> Item:
    """The planned ports of switches and routers by name."""
    north = _northbound(view)
    return {port["name"]: port for one in [*north["switches"], *north["routers"]] for port in one["ports"]}


def _acl(view: View, row: Item | None) -> Item | None:
    """The planned ACL that a row is."""
    groups = _northbound(view)["port_groups"]
    every = [acl for group in groups for acl in group["acls"]]
    same = ("name", "match", "action")
    return next((acl for acl in every if row and all(acl[key] == row[key] for key in same)), None)


def _rule(view: View, row: Item | None) -> str | None:
    """An ACL in words: the rule of the policy that it is, or another's."""
    if row is None:
        return None
    if _acl(view, row) is None:
        return f"ACL {row['name'] or row['uuid']} of others"
    return f"fabric_policy[{row['name'][len(RULE) :]}]" if row["name"].startswith(RULE) else None


def _denied(view: View, way: Route, row: Item | None, end: logical.Step) -> Died:
    """An ACL that drops the packet: of the policy, or of others."""
    where = f"OVN drops it in {end.stage} of {end.datapath}"
    if row is None:
        return Died(
            "acl", f"{where}: {end.match}", "no such ACL", f"on {logical.central(view.plan)}: ovn-nbctl list ACL"
        )
    if _acl(view, row) is None:
        said = f"{where} by the ACL {row['name'] or row['uuid']} of others: {row['match']}, priority {row['priority']}"
        gone = f"ovn-nbctl remove Logical_Switch {end.datapath} acls {row['uuid']}"
        mend = f"on {logical.central(view.plan)}: {gone}; one of a group of ports: ovn-nbctl find Port_Group acls{{>=}}{row['uuid']}"
        return Died("acl", said, "no ACL of others", mend)
    planned, router, came = "the same: the intent denies it", way.gateways[0] or way.outward, way.packet
    edge = router.edge if router else ""
    met = nft.Met(came.source, came.target, came.protocol, came.port, "", "", came.answer, came.original)
    allowed = edges.decision(way.crossing.edges[edge], met) if edge else None
    if allowed and allowed[1] == "allow":
        rule = f"fabric_policy[{allowed[0]}]" if allowed[0] else "the intent"
        said = f"{where} by the ACL {row['name']}, though {rule} allows it: its ACL is not there, or is not as planned"
        look = f"{SITE}; on {logical.central(view.plan)}: ovn-nbctl find ACL name={RULE}{allowed[0]}"
        return Died("acl", said, f"{rule} allows it", look)
    if row["name"] == DENIED:
        said = f"edge {edge} drops it, as no rule of fabric_policy allows it (ACL {DENIED})"
        return Died("policy", said, planned, "a rule of fabric_policy with action: allow")
    rule = f"fabric_policy[{row['name'][len(RULE) :]}]"
    return Died("policy", f"{where}, as {rule} denies it (ACL {row['name']})", planned, rule)


def flows(view: View, path: Path, way: Route, goal: str, reached: t.Callable[[Traced], bool]) -> Traced:
    """OVN's flows on the sender's chassis, which are to do what its databases say."""
    host, bridge = way.source.host or "", way.source.bridge or ""
    path.at(host, "switch", bridge)
    try:
        traced = ports.tables(view, path, host, way, ports.Passage(bridge, goal, None, reached))
    except Died as died:
        raise _explained(view, way, host, goal, way.trace_name(None), died) from died
    _asked(view, path, way, host)
    return traced


def arrived(view: View, path: Path, way: Route) -> None:
    """OVN's flows on the target's chassis, where they were asked: what the tunnel carries only the sender's chassis can tell."""
    host, bridge, goal = way.target.host or "", way.target.bridge or "", f"port {way.target.port}"
    traced = switch.parse(view.switch(host)["traces"].get(way.far_name()) or "")
    if traced.error or way.target.port in traced.outputs:
        return
    path.at(host, "switch", bridge)
    died = ports.lost(view, host, bridge, traced, view.bridge(host, bridge), {}, goal)
    raise _explained(view, way, host, goal, way.far_name(), died)


def _explained(view: View, way: Route, host: str, goal: str, question: str, died: Died) -> Died:
    """Why the flows of a chassis do not do what the databases say."""
    if died.cause not in ("flow", "no-flow", "wrong-port"):
        return died
    died.planned = f"leaves by {goal}, as OVN's databases have it"
    died.mend = f"on {host}: {RECOMPUTE}, which makes its flows anew"
    end = way.source if host == way.source.host else way.target
    rival = _claimed(view, host, end.port or "", logical.port_of(view.plan, end.id)) if end.port else None
    return rival or _by_others(view, way, host, goal, question) or _cut_off(view, host) or died


def _asked(view: View, path: Path, way: Route, host: str) -> None:
    """The search for the next MAC address, which OVN answers on the sender's own chassis, where it was asked."""
    traced = switch.parse(view.switch(host)["traces"].get(way.arp_name(None)) or "")
    if not traced.error and traced.dropped:
        bridge = way.source.bridge or ""
        died = ports.lost(view, host, bridge, traced, view.bridge(host, bridge), {}, f"port {way.source.port}")
        end = switch.last(traced)
        by = f" (cookie {end.cookie:#x})" if end and end.cookie else ""
        died.because = f"the ARP question of {way.source.id} does not pass: {died.because}{by}"
        died.planned, died.mend = "OVN answers it", f"on {host}: {RECOMPUTE}, which makes its flows anew"
        path.doubt(died)


def _by_others(view: View, way: Route, host: str, goal: str, question: str) -> Died | None:
    """A flow of others that drops the packet, which the databases bring to its target: its cookie is of no row of theirs on the way."""
    end = switch.last(switch.parse(view.switch(host)["traces"].get(question) or ""))
    told = answers(view).get("traces", {}).get(way.trace_name(None)) or ""
    # The cookie is the beginning of the UUID of what a flow was made from.
    if end is None or not end.cookie or not told or f"{end.cookie:08x}" in told:
        return None
    said = f"a flow of others on {host} (cookie {end.cookie:#x}) takes it: {switch.in_words(end, {})}"
    gone = f"ovs-ofctl -O OpenFlow15 del-flows {end.bridge} cookie={end.cookie:#x}/-1"
    return Died("foreign-flow", said, f"leaves by {goal}, as OVN's databases have it", f"on {host}: {gone}")


def tunnel(view: View, path: Path, way: Route, host: str, far: str, note: str) -> None:
    """The tunnel that a chassis has to another."""
    planned = logical.tunnel(view.plan, way.segments[way.source.segment or ""], far)
    rows = view.bridge(host, planned["bridge"])["ports"]
    name = next((port for port, row in rows.items() if row["options"].get("remote_ip") == planned["remote_ip"]), None)
    path.at(host, "tunnel", name or planned["name"])
    if name is None:
        for end in (host, far):
            stopped = _cut_off(view, end)
            if stopped:
                raise stopped
        said = f"bridge {planned['bridge']} on {host} has no tunnel to {far} at {planned['remote_ip']}"
        raise Died("tunnel-gone", said, f"a tunnel to {planned['remote_ip']}", f"on {host}: {RECOMPUTE}")
    row = ports.present(view, host, planned["bridge"], name)
    if row["type"] != planned["type"]:
        said = f"tunnel {name} on {host} is of type {row['type']}"
        raise Died("tunnel-type", said, f"type {planned['type']}", f"on {host}: {RECOMPUTE}")
    path.at(host, "tunnel", name, note)


def described(way: Route, near: str, far: str, size: int) -> str:
    """The tunnel in words."""
    plan = way.plan
    kind = way.segments[way.source.segment or ""]["encapsulation"]
    return f"{kind} {tep_address(plan, near)} → {tep_address(plan, far)}, outer packet {size} bytes"

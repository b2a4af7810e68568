# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Through OVN: a logical port and where it is bound, the logical pipeline with its ACLs, the chassis and the tunnel between two. Pure.

This file is private to the collection. Sources: ovn-architecture(7), ovn-controller(8), ovn-nb(5).
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import tep_address
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.ovn import DENIED
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import logical, ports
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.packet import End
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import SITE, Died, Path, View
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.switch import Traced
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route

Item = t.Dict[str, t.Any]

RECOMPUTE = "systemctl restart ovn-controller"
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
    found = answers(view)
    if not found:
        return
    there = next((one for one in found["bindings"] if one["name"] == name), None)
    if there is None and name in found["ports"]:
        said = f"logical port {name} is in the northbound database, and not in the southbound one"
        raise _northd(view) if not found["northd"] else Died("binding", said, f"bound on {host}")
    if there is not None and there["chassis"] != host:
        where = f"bound on {there['chassis']}" if there["chassis"] else "bound nowhere"
        look = (
            f"on {host}: {RECOMPUTE}; on {logical.central(view.plan)}: ovn-sbctl find Port_Binding logical_port={name}"
        )
        raise Died("binding", f"logical port {name} is {where}", f"bound on {host}", look)


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
        start = f"on {central}: systemctl restart ovn-central"
        return Died("ovn-down", f"OVN's databases on {central} do not answer: {error}", "they run", start)
    if controller != "connected":
        said = f"ovn-controller on {host} does not reach the databases on {central}: {controller}"
        return Died("chassis", said, "connected", f"on {host}: journalctl -u ovn-controller")
    return None


def _northd(view: View) -> Died:
    on = f"on {logical.central(view.plan)}: "
    said = "ovn-northd does not run: what was changed in OVN's northbound database since then is not in force"
    return Died("northd", said, "ovn-northd runs", on + "systemctl restart ovn-northd")


def pipeline(view: View, path: Path, way: Route) -> None:
    """The verdict of OVN's logical switches and routers."""
    source, found = way.source, answers(view)
    notes = path.at(source.host or "", "logical", source.segment or "")
    if not found:
        notes.append(f"OVN's databases on {logical.central(view.plan)} were not read")
        return
    answer = logical.parse(found["traces"].get(way.trace_name(None)) or "")
    target = logical.port_of(view.plan, way.target.id)
    notes += [f"{name}: {where}" for name, where in _legs(answer)]
    rules = [_rule(view, found["made"].get(step.uuid or "")) for step in answer.steps]
    notes += [f"passes by {rule}" for rule in dict.fromkeys(filter(None, rules))] if target in answer.outputs else []
    if not found["northd"]:
        path.doubt(_northd(view))
        path.remark(_northd(view))
    if target not in answer.outputs:
        raise _stopped(view, way, found, answer)


def _legs(answer: logical.Answer) -> list[tuple[str, str]]:
    """Each logical switch and router on the way, and how far the packet came there."""
    last: dict[str, str] = {}
    for step in answer.steps:
        last[step.datapath] = f"{step.stage}: {step.match}"
    return [*last.items()]


def _stopped(view: View, way: Route, found: Item, answer: logical.Answer) -> Died:
    """Why OVN does not bring the packet to its target."""
    changed = _changed(view, way, found)
    if changed:
        return changed
    if answer.error or not answer.steps:
        said = f"OVN cannot say what it does with it: {answer.error}"
        return Died("logical", said, "", f"on {logical.central(view.plan)}: ovn-nbctl show")
    # A packet that is refused goes on as the refusal, back to its sender.
    refused = [step for step in answer.steps if "_acl" in step.stage and any("reject" in one for one in step.actions)]
    end = refused[0] if refused else answer.steps[-1]
    if "_acl" in end.stage:
        return _denied(view, way, found["made"].get(end.uuid or ""), end)
    if answer.outputs:
        goal = logical.port_of(view.plan, way.target.id)
        return Died("wrong-port", f"OVN sends it to {', '.join(answer.outputs)}", f"to {goal}")
    if not found["northd"]:
        return _northd(view)
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
    planned = _planned(view)
    on = f"on {logical.central(view.plan)}: ovn-nbctl "
    for kind, names in logical.ports(way).items():
        short = "lsp" if kind == "switch" else "lrp"
        for name in names:
            row, wanted = found["ports"].get(name), planned.get(name)
            if row is None:
                return Died("northbound", f"OVN's northbound database has no port {name}", f"port {name}")
            if row.get("enabled") is False:
                said = f"logical port {name} is disabled in OVN's northbound database"
                return Died("northbound", said, "enabled", f"{on}{short}-set-enabled {name} enabled")
            for key in ("addresses", "port_security", "mac", "networks"):
                value = (wanted or {}).get(key)
                if (
                    value is not None
                    and key in row
                    and row[key] != (sorted(value) if isinstance(value, list) else value)
                ):
                    said = f"logical port {name} has {key} {_spelled(row[key])} in OVN's northbound database"
                    return Died("northbound", said, f"{key} {_spelled(value)}", SITE)
    return None


def _spelled(value: t.Any) -> str:
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)


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
    planned = "the same: the intent denies it"
    if row["name"] == DENIED:
        edge = way.gateways[0].edge if way.gateways[0] else ""
        said = f"edge {edge} drops it, as no rule of fabric_policy allows it (ACL {DENIED})"
        return Died("policy", said, planned, "a rule of fabric_policy with action: allow")
    rule = f"fabric_policy[{row['name'][len(RULE) :]}]"
    return Died("policy", f"{where}, as {rule} denies it (ACL {row['name']})", planned, rule)


def flows(view: View, path: Path, way: Route, goal: str, reached: t.Callable[[Traced], bool]) -> Traced:
    """OVN's flows on the sender's chassis, which are to do what its databases say."""
    host, bridge = way.source.host or "", way.source.bridge or ""
    path.at(host, "switch", bridge)
    try:
        return ports.tables(view, path, host, way, ports.Passage(bridge, goal, None, reached))
    except Died as died:
        if died.cause in ("flow", "no-flow", "wrong-port") and _cut_off(view, host):
            raise t.cast(Died, _cut_off(view, host)) from died
        if died.cause in ("flow", "no-flow", "wrong-port"):
            died.planned = f"leaves by {goal}, as OVN's databases have it"
            died.mend = f"on {host}: {RECOMPUTE}, which makes its flows anew"
        raise


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

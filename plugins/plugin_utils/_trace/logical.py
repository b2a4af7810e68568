# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OVN is asked about a packet, and what it answered. Pure.

This file is private to the collection. Sources: ovn-trace(8), ovn-sb(5).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import tep_address
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.ovn import leg_name, plug_name, switch_name
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.ovn_gateways import active_name, outside_name

if t.TYPE_CHECKING:
    from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route

Item = t.Dict[str, t.Any]

_DATAPATH = re.compile(r'^(ingress|egress)\(dp="([^"]+)"')
_STEP = re.compile(r"^ *\d+\. (\w+)(?: \([^)]*\))?: (.*?)(?:, priority (\d+), uuid ([0-9a-f]+))?$")
_OUTPUT = re.compile(r'/\* output to "([^"]+)", type "([^"]*)" \*/')
_NEXT_HOP = re.compile(r"\b(?:xx)?reg0 = ([0-9a-fA-F.:]+);")
# Types of ports that lead from switch to router and back.
_INSIDE = ("patch", "router", "l3gateway")


class Step(t.NamedTuple):
    """A flow that the packet matched. uuid: its beginning, None where no flow matched."""

    datapath: str
    stage: str
    match: str
    uuid: str | None
    actions: tuple[str, ...]


class Answer(t.NamedTuple):
    """What ovn-trace said. outputs: the logical ports that the packet leaves by in the end."""

    error: str | None
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]


def port_of(plan: Item, endpoint: str) -> str:
    """The logical port of an endpoint, by its id."""
    return next(str(point["logical_port"]) for point in plan["endpoints"] if point["id"] == endpoint)


def goal(way: Route) -> str:
    """The logical port that OVN should send the packet to: the target's, or that to the provider network."""
    if way.outward is None:
        return port_of(way.plan, way.target.id)
    return outside_name(way.plan["fabric"], way.crossing.edges[way.outward.edge]["provider"])


def gateway_port(way: Route) -> str:
    """What OVN calls the port by which a router leads outside, on the host that is its gateway."""
    return active_name(outer_port(way))


def outer_port(way: Route) -> str:
    """The port by which a router leads outside."""
    edge = way.outward.edge if way.outward else ""
    return leg_name(way.plan["fabric"], edge, way.crossing.edges[edge]["provider"])


def central(plan: Item) -> str:
    """The host of OVN's databases."""
    return next(name for name, host in plan["hosts"].items() if host["ovn_central"])


def tunnel(plan: Item, segment: Item, far: str) -> Item:
    """The tunnel that OVN makes to another chassis, in the form of a planned one."""
    return {
        "name": f"to {far}",
        "type": segment["encapsulation"],
        "remote_ip": tep_address(plan, far),
        "bridge": segment["bridge"],
        "dst_port": "",
        "key": "",
        "csum": None,
        "protected": False,
    }


def ask(way: Route, options: Item) -> None:
    """Add what OVN is asked on the host of its databases about a way in this direction."""
    fabric = way.plan["fabric"]
    question = {
        "name": way.trace_name(None),
        "switch": switch_name(fabric, way.source.segment or ""),
        "flow": _flow(way),
    }
    options["logical_traces"].append({**question, "answer": way.packet.answer})
    for name, kind in (("switch_ports", "switch"), ("router_ports", "router")):
        options[name] = sorted({*options[name], *ports(way)[kind]})
    options["logical_routers"] = sorted({*options["logical_routers"], *filter(None, [router_of(way)])})


def ask_inwards(way: Route, options: Item) -> None:
    """Add what OVN is asked about a packet that enters it from a provider network."""
    fabric, segment, mac = way.plan["fabric"], way.source.segment or "", way.entrance.mac if way.entrance else ""
    question = {"name": way.trace_name(None), "switch": switch_name(fabric, segment)}
    flow = _fields(way, outside_name(fabric, segment), mac)
    options["logical_traces"].append({**question, "flow": flow, "answer": False})


def ports(way: Route) -> dict[str, list[str]]:
    """The logical ports that a way crosses, of switches and of routers."""
    fabric = way.plan["fabric"]
    if way.outward:
        edge, segment = way.outward.edge, way.source.segment or ""
        provider = way.crossing.edges[edge]["provider"]
        plugs = [plug_name(fabric, edge, one) for one in (segment, provider)]
        known = [port_of(way.plan, way.source.id), *plugs, goal(way)]
        return {"switch": known, "router": [way.outward.port, outer_port(way)]}
    found = {"switch": [port_of(way.plan, end.id) for end in (way.source, way.target)], "router": []}
    for end, gateway in zip((way.source, way.target), way.gateways):
        if gateway:
            found["switch"].append(plug_name(fabric, gateway.edge, end.segment or ""))
            found["router"].append(gateway.port)
    return found


def router_of(way: Route) -> str:
    """The logical router that the packet leaves by, or that lies between its ends; empty where none does."""
    gateway = way.outward or way.gateways[0]
    port = gateway.port if gateway else ""
    return next((one["name"] for one in way.crossing.routers if port in [row["name"] for row in one["ports"]]), "")


def _flow(way: Route) -> str:
    """The packet in OVN's words, as it comes from its endpoint."""
    return _fields(way, port_of(way.plan, way.source.id), way.next_mac or "")


def _fields(way: Route, inport: str, mac: str) -> str:
    """The packet as it enters by a logical port, for a MAC address."""
    packet, version = way.packet, way.packet.family
    echo = (129 if packet.answer else 128) if version == 6 else (0 if packet.answer else 8)
    parts = [
        f'inport == "{inport}"',
        f"eth.src == {way.source.mac}",
        f"eth.dst == {mac}",
        "ip.ttl == 64",
        f"ip{version}.src == {packet.source}",
        f"ip{version}.dst == {packet.target}",
    ]
    if packet.protocol == "icmp":
        parts.append(f"icmp{version}.type == {echo}")
    elif packet.port:
        parts.append(f"{packet.protocol}.{'src' if packet.answer else 'dst'} == {packet.port}")
    else:
        parts.append(packet.protocol)
    return " && ".join(parts)


def parse(text: str) -> Answer:
    """The answer of ovn-trace as data."""
    if text.startswith("error: ") or not text:
        return Answer(text.replace("error: ", "", 1) or "it was not asked", (), ())
    steps: list[Step] = []
    outputs: list[str] = []
    datapath = ""
    for line in text.splitlines():
        entered, step, left = _DATAPATH.match(line.strip()), _STEP.match(line), _OUTPUT.search(line)
        if entered:
            datapath = entered[2]
        elif step:
            steps.append(Step(datapath, step[1], step[2], step[4], ()))
        elif left and left[2] not in _INSIDE:
            outputs.append(left[1])
        elif steps and line.startswith("    "):
            steps[-1] = steps[-1]._replace(actions=(*steps[-1].actions, line.strip()))
    return Answer(None, tuple(steps), tuple(outputs))


def next_hop(answer: Answer) -> str | None:
    """The next hop that a router has chosen for a packet which entered it; None where it drops the packet."""
    hop, router = None, answer.steps[0].datapath if answer.steps else None
    for step in answer.steps:
        if step.datapath == router and step.stage.startswith(("lr_in_ip_routing", "lr_in_policy")):
            text = " ".join(step.actions)
            chosen = _NEXT_HOP.findall(text)
            hop = None if step.uuid is None or "drop;" in text else chosen[-1] if chosen else hop
    return hop

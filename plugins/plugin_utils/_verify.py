# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what must hold to what each host measures, and from what was observed to checks. Pure.

This file is private to the collection.
"""
from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils import _verify_routers
from ansible_collections.overloom.fabric.plugins.plugin_utils._expectations import addresses, points_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan_mesh import tunnel_name

Item = t.Dict[str, t.Any]

# All transfers of a fabric together, and the least that still says something of a rate; in bytes.
TRANSFER_TOTAL = 64 << 20
TRANSFER_LEAST = 16 << 10
# The most where guests take part, which may be emulated and then carry a few Mbit/s, less when the machine is busy.
TRANSFER_GUESTS = 256 << 10

# What hosts measure at the same time. No host may start transfers while another one still pings: a forwarder under full
# load drops packets, and the counted pings would then tell of the measurement instead of the network.
ROUNDS = {"pings": ("ping", "mtu"), "transfers": ("tcp", "isolation", "host")}

ALL_NODES = "ff02::1"
PROBE_OPTIONS = ("kind", "from", "to", "to_mac", "size", "control")


def probes(plan: Item, expected: Item) -> dict[str, list[Item]]:
    """For each host the probes that start there, in a fixed order.

    A probe has the options of the probe module, and `target` (the endpoint or host it measures), which verify alone needs.
    """
    host_of = {point["id"]: point["host"] for point in points_of(plan)}
    found: dict[str, list[Item]] = {name: [] for name in plan["hosts"]}
    for tep in expected["teps"]:
        base = {"from": tep["from"], "to": tep["address"], "target": tep["to"], "tep": True}
        found[tep["from"]] += [{**base, "kind": "ping"}, {**base, "kind": "mtu", "size": tep["mtu"]}]
    for pair in expected["pairs"]:
        base = {"from": pair["from"], "to": pair["address"], "target": pair["to"]}
        host = found[host_of[pair["from"]]]
        if pair["ping"]:
            host += [{**base, "kind": "ping"}, {**base, "kind": "mtu", "size": pair["mtu"]}]
        if pair["tcp"]:
            host.append({**base, "kind": "tcp"})
    for pair in expected["isolated"]:
        control = pair["control"] if pair["control"] and pair["control"]["family"] == pair["family"] else None
        found[host_of[pair["from"]]].append(
            {
                "kind": "isolation",
                "from": pair["from"],
                "to": pair["address"],
                "target": pair["to"],
                "to_mac": pair["mac"],
                "shared": pair["shared"],
                "control": control["address"] if control else None,
                "control_target": control["to"] if control else None,
            }
        )
    for alone in expected["alone"]:
        host = host_of[alone["from"]]
        found[host].append({"kind": "host", "from": alone["from"], "to": ALL_NODES, "target": host, "others": alone["others"]})
    return found


def options(plan: Item, expected: Item) -> tuple[dict[str, Item], int]:
    """For each host the option endpoints of the probe module and, for each round, its option probes; the length of a transfer in bytes."""
    points: dict[str, list[Item]] = {
        name: [{"id": name, "addresses": []}] for name in plan["hosts"]
    }
    for point in points_of(plan):
        base = {"id": point["id"], "interface": point["interface"], "addresses": [address for _family, address in addresses(point)]}
        if point["kind"] != "guest":
            points[point["host"]].append({**base, "namespace": point["name"]})
        elif point.get("device"):
            device = {key: value for key, value in point["device"].items() if key != "namespace"}
            points[point["host"]].append({**base, "device": device, "namespace": point["device"]["namespace"]})
        else:
            points[point["host"]].append({**base, "guest": point["name"], "listens": point["sends"]})
    refused = denials(plan, expected)
    hosts = {
        name: {
            "endpoints": points[name],
            "denied": [{key: probe[key] for key in PROBE_OPTIONS if probe.get(key) is not None} for probe in refused[name]],
            **{
                round_name: [{key: probe[key] for key in PROBE_OPTIONS if probe.get(key) is not None} for probe in todo if probe["kind"] in kinds]
                for round_name, kinds in ROUNDS.items()
            },
        }
        for name, todo in probes(plan, expected).items()
    }
    transfers = sum(pair["tcp"] for pair in expected["pairs"])
    most = TRANSFER_GUESTS if any(point["kind"] == "guest" for point in plan["endpoints"]) else TRANSFER_TOTAL
    return hosts, max(TRANSFER_LEAST, min(most, TRANSFER_TOTAL // max(1, transfers)))


def judge(plan: Item, expected: Item, observed: dict[str, Item]) -> list[Item]:
    """All checks, with what was expected and seen.

    observed: for each host, what its tasks returned under the keys pings, transfers, denied, bridges, tunnels, namespaces,
    flows and routers; a missing or failed one fails the checks that needed it.
    """
    checks: list[Item] = []
    # The hosts' state first: where that is wrong, it is the cause of what the packets did.
    for host, state in expected["hosts"].items():
        checks += _state(host, state, observed.get(host, {}))
    checks += _verify_routers.judge(expected["routers"], observed)
    for host, todo in probes(plan, expected).items():
        for round_name, kinds in ROUNDS.items():
            asked = [probe for probe in todo if probe["kind"] in kinds]
            result = observed.get(host, {}).get(round_name) or {}
            outcomes = result.get("observed")
            if outcomes is None or len(outcomes) != len(asked):
                outcomes = [{"error": f"{host} did not measure: {_why(result)}"}] * len(asked)
            checks += [_measured(plan, probe, outcome) for probe, outcome in zip(asked, outcomes)]
    _prove(plan, checks)
    return checks + _denied(plan, expected, observed, checks)


def _prove(plan: Item, checks: list[Item]) -> None:
    """Where flows answer for the addresses, a control that answers has to be reached too: they still answer when all else is lost."""
    overlays = {overlay["name"] for overlay in plan["overlays"] if overlay.get("segments_by") == "key"}
    segments = {segment["name"] for segment in plan["segments"] if segment["overlay"] in overlays}
    keyed = {point["id"] for point in points_of(plan) if point["segment"] in segments}
    # One packet that was lost is a failure of its own, and still shows that the control is reached.
    lost = {(c["from"], c["to"]) for c in checks if c["kind"] == "ping" and c["from"] in keyed and not c["passed"] and c["rtt_ms"] is None}
    for check in checks:
        if check["kind"] == "isolation" and check["passed"] and (check["from"], check["control"]) in lost:
            check.update(passed=False, observed=f"no answer, but pings to {check['control']} do not come through either: silence proves nothing")


def denials(plan: Item, expected: Item) -> dict[str, list[Item]]:
    """For each host the probes of what must not come through, in a fixed order. They are a round of their own, as each waits in vain."""
    host_of = {point["id"]: point["host"] for point in plan["endpoints"]}
    found: dict[str, list[Item]] = {name: [] for name in plan["hosts"]}
    for pair in expected["denied"]:
        # Asking for a neighbour's address as well as for an echo, this kind has nothing to settle.
        kind = {"ping": "isolation", "tcp": "tcp"}[pair["probe"]]
        found[host_of[pair["from"]]].append({"kind": kind, "from": pair["from"], "to": pair["address"], "target": pair["to"], "to_mac": pair["mac"]})
    return found


def _denied(plan: Item, expected: Item, observed: dict[str, Item], checks: list[Item]) -> list[Item]:
    """What must not come through. Silence proves something only of endpoints for which something else came through."""
    wanted = {end for pair in expected["pairs"] if pair["ping"] or pair["tcp"] for end in (pair["from"], pair["to"])}
    alive = {end for check in checks if check["kind"] in ("ping", "tcp") and check["passed"] for end in (check["from"], check["to"])}
    result = []
    for host, todo in denials(plan, expected).items():
        answer = observed.get(host, {}).get("denied") or {}
        outcomes = answer.get("observed")
        if outcomes is None or len(outcomes) != len(todo):
            outcomes = [None] * len(todo)
        for probe, outcome in zip(todo, outcomes):
            ends = (probe["from"], probe["target"])
            what, came = ("ping", "echo_replies") if probe["kind"] == "isolation" else ("tcp", "bytes")
            passed = False
            if outcome is None:
                seen = f"{host} did not measure: {_why(answer)}"
            elif outcome.get(came):
                seen = f"{outcome[came]} {'echo replies' if what == 'ping' else 'bytes arrived'}"
            elif [end for end in ends if end in wanted - alive]:
                seen = f"silence, but nothing else came through for {' and '.join(end for end in ends if end in wanted - alive)} either, so it proves nothing"
            elif [end for end in ends if end not in wanted]:
                seen, passed = f"silence; nothing is expected to come through for {' and '.join(end for end in ends if end not in wanted)} at all", True
            else:
                seen, passed = "silence, while other probes of both came through", True
            check = {"kind": f"denied-{what}", "from": ends[0], "to": ends[1], "address": probe["to"], "expected": "nothing comes through"}
            leak = bool(outcome and outcome.get(came))
            result.append({**check, "observed": seen, "passed": passed, "leak": leak, "look": _look(plan, probe)})
    return result


def _why(result: Item) -> str:
    return str(result.get("msg") or "no answer from the host").strip().splitlines()[0]


def _measured(plan: Item, probe: Item, outcome: Item) -> Item:
    """One measurement as a check."""
    kind = ("tep-" if probe.get("tep") else "") + probe["kind"]
    check = {"kind": kind, "from": probe["from"], "to": probe["target"], "address": probe["to"]}
    if probe["kind"] == "tcp":
        return {**check, **_transfer(outcome), "look": _look(plan, probe)}
    if probe["kind"] == "isolation":
        return {**check, **_isolation(probe, outcome), "look": _look(plan, probe)}
    if probe["kind"] == "host":
        return {**check, **_host(probe, outcome), "look": f"on {probe['target']}: ip -6 addr show scope link; it must have none on a port of a bridge"}
    return {**check, **_ping(probe, outcome), "look": _look(plan, probe)}


def _ping(probe: Item, outcome: Item) -> Item:
    size = f" of {probe['size']} bytes, not fragmented" if probe["kind"] == "mtu" else ""
    passed = bool(outcome.get("sent")) and outcome["sent"] == outcome.get("received") and not outcome.get("error")
    if outcome.get("sent"):
        seen = f"{outcome['received']} of {outcome['sent']} packets came back"
        if outcome.get("rtt_ms") is not None:
            seen += f", {outcome['rtt_ms']:.2f} ms"
        if outcome.get("settled_after") is None:
            seen += "; never any answer"
    else:
        seen = "nothing was sent"
    if outcome.get("error"):
        seen += f"; {outcome['error']}"
    return {"expected": f"every packet{size} comes back", "observed": seen, "passed": passed, "rtt_ms": outcome.get("rtt_ms")}


def _transfer(outcome: Item) -> Item:
    rate = outcome.get("mbit_per_second")
    if outcome.get("error"):
        seen = outcome["error"]
    else:
        seen = f"{outcome.get('bytes', 0)} bytes at {rate} Mbit/s"
    return {"expected": "a TCP transfer", "observed": seen, "passed": not outcome.get("error") and bool(outcome.get("bytes")), "mbit_per_second": rate}


def _isolation(probe: Item, outcome: Item) -> Item:
    leaks = []
    if outcome.get("answered_by"):
        leaks.append(f"{', '.join(outcome['answered_by'])} answered for the address")
    # Where the own segment has this address too, it is that one's reply.
    if outcome.get("echo_replies") and not probe["shared"]:
        leaks.append(f"{outcome['echo_replies']} echo replies")
    control = probe["control_target"]
    if "answered_by" not in outcome:
        seen, passed = outcome.get("error") or "nothing was measured", False
    elif leaks:
        seen, passed = "; ".join(leaks), False
    elif outcome.get("error"):
        seen, passed = f"nothing could be asked: {outcome['error']}", False
    elif control and not outcome.get("control_answered"):
        seen, passed = f"no answer, but none from {control} either, which must answer: silence proves nothing", False
    elif control:
        seen, passed = f"no answer, while {control} answered", True
    else:
        seen, passed = "no answer; the segment has no second endpoint that could show that asking works", True
    return {"expected": "no answer", "observed": seen, "passed": passed, "leak": bool(leaks), "control": control}


def _host(probe: Item, outcome: Item) -> Item:
    """An endpoint must not find its host on its link."""
    seen = outcome.get("answered_by")
    if seen:
        text, passed = f"{', '.join(seen)} of {probe['target']} answered", False
    elif seen is None or probe["others"] and outcome.get("error"):
        text, passed = outcome.get("error") or "nothing was measured", False
    elif probe["others"] and not outcome["others_answered"]:
        text, passed = "no answer, but none of the segment's others either, which must answer: silence proves nothing", False
    elif outcome["others_answered"]:
        text, passed = f"no answer, while {outcome['others_answered']} others answered", True
    else:
        text, passed = "no answer; nobody else is on the segment who could show that asking works", True
    return {"expected": "no answer of its own host", "observed": text, "passed": passed, "leak": bool(seen)}


def _look(plan: Item, probe: Item) -> str:
    """Commands that show where a packet of this probe may have died, the nearest first."""
    if probe.get("tep"):
        host = plan["hosts"][probe["from"]]["underlay"]
        return f"on {probe['from']}: ip route get {probe['to']}; ovs-vsctl list interface {host['interface']} {host['tep']['name']}"
    points = {point["id"]: point for point in points_of(plan)}
    one, other = points[probe["from"]], points.get(probe["target"])
    bridge = next(segment["bridge"] for segment in plan["segments"] if segment["name"] == one["segment"])
    places = [f"on {one['host']}: {_inspect(one)}; ovs-appctl fdb/show {bridge}"]
    far = other["host"] if other else probe["target"]
    if one["host"] != far:
        carrier = _carrier(plan, one, far)
        places[0] += f"; ovs-vsctl list interface {carrier}" if carrier else ""
    if other and one["host"] != far:
        places.append(f"on {other['host']}: {_inspect(other)}; ovs-appctl fdb/show {bridge}")
    return "; then ".join(places)


def _carrier(plan: Item, point: Item, far: str) -> str | None:
    """The port by which an endpoint's frames leave its host: a tunnel, or the card of the underlay."""
    name = next(segment["overlay"] for segment in plan["segments"] if segment["name"] == point["segment"])
    overlay = next((overlay for overlay in plan["overlays"] if overlay["name"] == name), None)
    if overlay and overlay["encapsulation"] == "vlan":
        return plan["hosts"][point["host"]]["underlay"]["interface"]
    return tunnel_name(name, far) if overlay else None


def _inspect(point: Item) -> str:
    """The command that shows an endpoint's addresses."""
    return f"virsh console {point['name']}" if point["kind"] == "guest" else f"ip -n {point['name']} addr"


# The state of the hosts


def _state(host: str, state: Item, observed: Item) -> list[Item]:
    """The host's bridges, ports, tunnels, namespaces and the flows of a bridge, each as one check."""
    found_bridges = _by_name(observed.get("bridges"), "bridges")
    found_ports = {
        port["name"]: {**port, "bridge": bridge["name"]} for bridge in (found_bridges or {}).values() for port in bridge.get("ports", ())
    }
    found_tunnels = _by_name(observed.get("tunnels"), "tunnels")
    if found_tunnels is not None:
        # Open vSwitch keeps most of what makes a tunnel in one map of texts.
        found_tunnels = {name: {**tunnel, **tunnel.get("options", {})} for name, tunnel in found_tunnels.items()}
    found_spaces = _by_name(observed.get("namespaces"), "namespaces")
    checks = []
    for kind, wanted, found, result, look in (
        ("bridge", state["bridges"], found_bridges, "bridges", "ovs-vsctl list bridge {name}"),
        ("port", state["ports"], None if found_bridges is None else found_ports, "bridges", "ovs-vsctl list port {name}"),
        ("tunnel", state["tunnels"], found_tunnels, "tunnels", "ovs-vsctl list interface {name}"),
        ("namespace", state["namespaces"], found_spaces, "namespaces", "ip -n {name} addr; ip -n {name} route"),
    ):
        for name, want in wanted.items():
            check = {"kind": kind, "from": f"{host}:{name}", "to": "", "look": f"on {host}: {look.format(name=name)}"}
            if found is None:
                seen, passed = f"{host} was not read: {_why(observed.get(result) or {})}", False
                checks.append({**check, "expected": "as planned", "observed": seen, "passed": passed})
                continue
            checks.append({**check, **_compared(kind, want, found.get(name))})
    return checks + [_flows(host, bridge, count, observed.get("flows") or {}) for bridge, count in state["flows"].items()]


def _flows(host: str, bridge: str, count: int, observed: Item) -> Item:
    """The flows of a bridge against what its switch makes of the planned ones: what a run would change is what differs."""
    check = {
        "kind": "flows", "from": f"{host}:{bridge}", "to": "", "expected": f"the {count} planned flows",
        "look": f"on {host}: ovs-ofctl -O OpenFlow15 --names --no-stats dump-flows {bridge}",
    }
    result = next((item for item in observed.get("results") or () if (item.get("item") or {}).get("bridge") == bridge), observed)
    if result.get("failed") or "commands" not in result:
        return {**check, "observed": f"{host} was not read: {_why(result)}", "passed": False}
    if not result["commands"]:
        return {**check, "observed": "as planned", "passed": True}
    wrong = [line for command in result["commands"] for line in command.splitlines() if line.startswith("flow ")]
    if not wrong:
        return {**check, "observed": "as planned, but the file or the service that brings them back after a restart is not", "passed": False}
    what, flow = wrong[0].split(" ", 2)[1:]
    return {**check, "observed": f"{len(wrong)} differ; the first is {'missing or changed' if what == 'add' else 'one too many'}: {flow}", "passed": False}


def _by_name(result: Item | None, key: str) -> dict[str, Item] | None:
    if not result or result.get("failed") or result.get("unreachable") or key not in result:
        return None
    return {item["name"]: item for item in result[key]}


def _compared(kind: str, want: Item, found: Item | None) -> Item:
    """One thing against the plan: only what differs is told."""
    if found is None:
        return {"expected": f"a {kind} as planned", "observed": "it is not there", "passed": False}
    if kind == "namespace":
        found = _inside(want["interface"], found)
    differing = {}
    for option, value in want.items():
        seen = _canonical(option, found.get(option))
        if seen != _canonical(option, value):
            differing[option] = (value, found.get(option))
    if not differing:
        return {"expected": "as planned", "observed": "as planned", "passed": True}
    return {
        "expected": ", ".join(f"{option} {_shown(wanted)}" for option, (wanted, _seen) in differing.items()),
        "observed": ", ".join(f"{option} {_shown(seen)}" for option, (_wanted, seen) in differing.items()),
        "passed": False,
    }


def _inside(interface: str, space: Item) -> Item:
    """A namespace's one interface together with its sysctls, in the form of the plan's items."""
    link = next((link for link in space.get("interfaces", ()) if link["name"] == interface), {})
    return {**link, "interface": link.get("name"), "sysctls": space.get("sysctls")}


def _canonical(option: str, value: t.Any) -> t.Any:
    """A value in a form in which equal means equal: what is not set, off and empty are one."""
    if option == "df_default":
        return str(value).lower() != "false"
    if value in (None, "", False, "false") or (isinstance(value, (list, dict)) and not value):
        return None
    if option == "trunks":
        return sorted(vlan for item in value for vlan in _vlans(str(item)))
    if option == "routes":
        return sorted(sorted((key, str(item[key])) for key in ("to", "via") if item.get(key)) for item in value)
    if isinstance(value, dict):
        return sorted((key, str(item).lower()) for key, item in value.items())
    if isinstance(value, list):
        return sorted(str(item).lower() for item in value)
    return str(value).lower()


def _vlans(text: str) -> t.Iterable[int]:
    """The VLANs of a number or a range as ovs_bridge_info writes it: 10 or 10-14."""
    first, _dash, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _shown(value: t.Any) -> str:
    if value is None or value == "" or (isinstance(value, (list, dict)) and not value):
        return "not set"
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return str(value)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what must hold to what each host measures, and from what was observed to checks. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import errno
import os
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._probe.sockets import NO_ANSWER
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import OVN
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import planned_tunnel
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import TCP, UDP
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import routers as _verify_routers
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import state as _verify_state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import addresses, points_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.state import why
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.vrrp import judge_active

Item = t.Dict[str, t.Any]

# Transfers that tell a rate: how many start on a host at most, and for how long each one sends.
RATED = 8
RATED_SECONDS = 0.25
# With a guest, which may be emulated and then carries a few Mbit/s, less when the machine is busy; and the others, which show that TCP passes.
GUEST_BYTES = 32 << 10
PLAIN_BYTES = 16 << 10

# A second time, more pings are counted than the first: one that gets through by chance must not do.
COUNT_AGAIN = 20

# What hosts measure at the same time. No host may start transfers while another one still pings: a forwarder under full
# load drops packets, and the counted pings would then tell of the measurement instead of the network.
ROUNDS = {"pings": ("ping", "mtu"), "transfers": ("tcp", "connect", "isolation", "host")}

ALL_NODES = "ff02::1"
PROBE_OPTIONS = ("kind", "from", "to", "to_mac", "size", "port", "protocol", "control", "bytes", "seconds")


def probes(plan: Item, expected: Item) -> dict[str, list[Item]]:
    """For each host the probes that start there, in a fixed order.

    A probe has the options of the probe module, and `target` (the endpoint or host it measures), which verify alone needs.
    """
    host_of = {point["id"]: point["host"] for point in points_of(plan)}
    guests = {point["id"] for point in points_of(plan) if point["kind"] == "guest"}
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
            host.append(
                {**base, "kind": "tcp", "bytes": GUEST_BYTES if guests & {pair["from"], pair["to"]} else PLAIN_BYTES}
            )
    for link in expected["connections"]:
        base = {"from": link["from"], "to": link["address"], "target": link["to"]}
        found[host_of[link["from"]]].append(
            {
                **base,
                "kind": "connect",
                "port": link["port"],
                "protocol": link.get("protocol", TCP),
                "target_port": link.get("target_port", link["port"]),
                "answers": link.get("answers", False),
            }
        )
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
        found[host].append(
            {"kind": "host", "from": alone["from"], "to": ALL_NODES, "target": host, "others": alone["others"]}
        )
    return {host: _underlay(plan, expected, host) + _rated(todo) for host, todo in found.items()}


def _rated(todo: list[Item]) -> list[Item]:
    """The probes, some of their transfers long enough to tell a rate: each other host is met before one is met twice."""
    candidates = [
        number for number, probe in enumerate(todo) if probe["kind"] == "tcp" and probe["bytes"] == PLAIN_BYTES
    ]
    met: collections.Counter[str] = collections.Counter()
    turn = {}
    for number in candidates:
        far = todo[number]["target"].split("/")[0]
        turn[number] = met[far]
        met[far] += 1
    chosen = set(sorted(candidates, key=lambda number: (turn[number], number))[:RATED])
    return [{**probe, "seconds": RATED_SECONDS} if number in chosen else probe for number, probe in enumerate(todo)]


def _underlay(plan: Item, expected: Item, host: str) -> list[Item]:
    """One transfer from this host's tunnel endpoint to another's, to hold the other rates against. A firewall may well forbid it."""
    for tep in expected["teps"]:
        if tep["from"] == host and tep["to"] in plan["hosts"]:
            return [
                {
                    "from": host,
                    "to": tep["address"],
                    "target": tep["to"],
                    "tep": True,
                    "kind": "tcp",
                    "seconds": RATED_SECONDS,
                }
            ]
    return []


def plain(probe: Item) -> Item:
    """A probe as the probe module takes it."""
    return {key: probe[key] for key in PROBE_OPTIONS if probe.get(key) is not None}


def options(plan: Item, expected: Item) -> dict[str, Item]:
    """For each host the option endpoints of the probe module and, for each round, its option probes."""
    teps = {tep["host"]: tep["address"] for tep in plan["teps"]}
    points: dict[str, list[Item]] = {
        name: [{"id": name, "addresses": [teps[name]] if name in teps else []}] for name in plan["hosts"]
    }
    for point in points_of(plan):
        base = {
            "id": point["id"],
            "interface": point["interface"],
            "addresses": [address for _family, address in addresses(point)],
            **({"secured": True} if point["secured"] else {}),
        }
        if point["kind"] != "guest":
            points[point["host"]].append({**base, "namespace": point.get("namespace", point["name"])})
        elif point.get("device"):
            device = {key: value for key, value in point["device"].items() if key != "namespace"}
            points[point["host"]].append({**base, "device": device, "namespace": point["device"]["namespace"]})
        else:
            points[point["host"]].append({**base, "guest": point["name"], "listens": point["sends"]})
    refused = denials(plan, expected)
    found: dict[str, Item] = {}
    for name, todo in probes(plan, expected).items():
        found[name] = {"endpoints": points[name], "denied": [plain(probe) for probe in refused[name]]}
        for round_name, kinds in ROUNDS.items():
            found[name][round_name] = [plain(probe) for probe in todo if probe["kind"] in kinds]
    return found


def again(plan: Item, expected: Item, observed: dict[str, Item]) -> dict[str, Item]:
    """For each host and round the probes that have to be taken once more, as the probe module takes them.

    What failed is asked again, as a busy machine loses a packet now and then; a leak is not, as nothing excuses it. What a
    host would have measured that was not reached, or of one that was not, is not asked again either.
    """
    found: dict[str, Item] = {}
    for host, rounds in _taken(plan, expected, observed).items():
        found[host] = {}
        for name, taken in rounds.items():
            found[host][name] = [plain(probe) for probe, outcome in taken if _open(probe, outcome, observed)]
    return found


def _open(probe: Item, outcome: Item, observed: dict[str, Item]) -> bool:
    """Whether a measurement has to be taken once more."""
    if "unreached" in outcome or (probe.get("tep") and probe["kind"] == "tcp"):
        return False
    if unreached(observed, probe["target"].split("/")[0]):
        return False
    verdict = _verdict(probe, outcome)
    return not verdict["passed"] and not verdict.get("leak")


def unreached(observed: dict[str, Item], host: str) -> str | None:
    """Why a host was not reached at all, if so."""
    reached = observed.get(host, {}).get("reached")
    return why(reached) if reached and (reached.get("unreachable") or reached.get("failed")) else None


def _taken(plan: Item, expected: Item, observed: dict[str, Item]) -> dict[str, dict[str, list[tuple[Item, Item]]]]:
    """For each host and round its probes, each with what came of it."""
    taken: dict[str, dict[str, list[tuple[Item, Item]]]] = {}
    for host, todo in probes(plan, expected).items():
        taken[host] = {}
        for name, kinds in ROUNDS.items():
            asked = [_with_listener(probe, observed) for probe in todo if probe["kind"] in kinds]
            taken[host][name] = list(zip(asked, _outcomes(host, observed, name, len(asked))))
    return taken


def _with_listener(probe: Item, observed: dict[str, Item]) -> Item:
    """A probe of UDP, with whether somebody has that port at the target, who need not answer."""
    if probe.get("protocol") != UDP:
        return probe
    ports = (observed.get(probe["target"].split("/")[0], {}).get("listening") or {}).get("udp") or {}
    return {**probe, "listens": probe["target_port"] in ports.get(probe["target"], ())}


def _outcomes(host: str, observed: dict[str, Item], name: str, count: int) -> list[Item]:
    """What a task's result says of so many probes."""
    result = observed.get(host, {}).get(name) or {}
    outcomes = result.get("observed")
    if outcomes is not None and len(outcomes) == count:
        return outcomes
    down = unreached(observed, host)
    if down or not result:
        return [{"error": f"{host} did not measure: {down or why(result)}", "unreached": True}] * count
    return [{"error": f"{host} did not measure: {why(result)}"}] * count


def judge(plan: Item, expected: Item, observed: dict[str, Item]) -> list[Item]:
    """All checks, with what was expected and seen.

    observed: for each host, what its tasks returned under the keys reached, pings, transfers, pings_again, transfers_again,
    denied, read, flows and routers; a missing or failed one fails the checks that needed it.
    """
    checks: list[Item] = []
    # The hosts' state first: where that is wrong, it is the cause of what the packets did.
    for host, state in expected["hosts"].items():
        seen = observed.get(host, {})
        checks += _verify_state.judge(host, state, seen.get("read"), seen.get("flows"))
    checks += judge_active(plan, {host: (observed.get(host) or {}).get("read") or {} for host in expected["hosts"]})
    checks += _verify_routers.judge(expected["routers"], observed)
    for host, rounds in _taken(plan, expected, observed).items():
        for name, taken in rounds.items():
            checks += _twice(plan, observed, host, name, taken)
    _prove(plan, checks)
    return checks + _denied(plan, expected, observed, checks)


def _twice(plan: Item, observed: dict[str, Item], host: str, name: str, taken: list[tuple[Item, Item]]) -> list[Item]:
    """A round's checks, each by its last measurement, with what the first one said."""
    asked = [_open(probe, outcome, observed) for probe, outcome in taken]
    result = observed.get(host, {}).get(f"{name}_again") or {}
    seconds = iter(result.get("observed") or [])
    measured = len(result.get("observed") or []) == sum(asked)
    checks = []
    for (probe, outcome), failed in zip(taken, asked):
        if probe.get("tep") and probe["kind"] == "tcp":
            continue
        check = _measured(plan, probe, outcome)
        if failed and measured:
            last = _measured(plan, probe, next(seconds))
            first = check["observed"]
            seen = f"{first}, twice" if first == last["observed"] else f"first {first}; asked again: {last['observed']}"
            check = {**last, "observed": seen, "unsteady": last["passed"]}
        checks.append(check)
    return checks


def underlay(plan: Item, expected: Item, observed: dict[str, Item]) -> list[Item]:
    """The rates between tunnel endpoints that could be measured: from, to, mbit_per_second."""
    return [
        {"from": probe["from"], "to": probe["target"], "mbit_per_second": outcome["mbit_per_second"]}
        for rounds in _taken(plan, expected, observed).values()
        for probe, outcome in rounds["transfers"]
        if probe.get("tep") and probe["kind"] == "tcp" and outcome.get("mbit_per_second")
    ]


def _prove(plan: Item, checks: list[Item]) -> None:
    """Where flows answer for the addresses, a control that answers has to be reached too: they still answer when all else is lost."""
    overlays = {overlay["name"] for overlay in plan["overlays"] if overlay.get("segments_by") in ("key", OVN)}
    segments = {segment["name"] for segment in plan["segments"] if segment["overlay"] in overlays}
    keyed = {point["id"] for point in points_of(plan) if point["segment"] in segments}
    # One packet that was lost is a failure of its own, and still shows that the control is reached.
    lost = {
        (c["from"], c["to"])
        for c in checks
        if c["kind"] == "ping" and c["from"] in keyed and not c["passed"] and c["rtt_ms"] is None
    }
    for check in checks:
        if check["kind"] == "isolation" and check["passed"] and (check["from"], check["control"]) in lost:
            check.update(
                passed=False,
                observed=f"no answer, but pings to {check['control']} do not come through either: silence proves nothing",
            )


def denials(plan: Item, expected: Item) -> dict[str, list[Item]]:
    """For each host the probes of what must not come through, in a fixed order. They are a round of their own, as each waits in vain."""
    host_of = {point["id"]: point["host"] for point in plan["endpoints"]}
    found: dict[str, list[Item]] = {name: [] for name in plan["hosts"]}
    for pair in expected["denied"]:
        # Asking for a neighbor's address as well as for an echo, this kind has nothing to settle.
        kind = {"ping": "isolation"}.get(pair["probe"], pair["probe"])
        ends = {"from": pair["from"], "to": pair["address"], "target": pair["to"]}
        more = {"port": pair["port"], "answers": True} if kind == "connect" else {"to_mac": pair["mac"]}
        found[host_of[pair["from"]]].append({"kind": kind, **ends, **more, "rule": pair.get("rule")})
    return found


def _denied(plan: Item, expected: Item, observed: dict[str, Item], checks: list[Item]) -> list[Item]:
    """What must not come through. Silence proves something only of endpoints for which something else came through."""
    wanted = {end for pair in expected["pairs"] if pair["ping"] or pair["tcp"] for end in (pair["from"], pair["to"])}
    arrived = [check for check in checks if check["kind"] in ("ping", "tcp") and check["passed"]]
    alive = {end for check in arrived for end in (check["from"], check["to"])}
    result = []
    for host, todo in denials(plan, expected).items():
        answer = observed.get(host, {}).get("denied") or {}
        outcomes = answer.get("observed")
        if outcomes is None or len(outcomes) != len(todo):
            outcomes = [None] * len(todo)
        for probe, outcome in zip(todo, outcomes):
            came = _came_through(probe, outcome or {})
            if outcome is None:
                seen, passed = f"{host} did not measure: {why(answer)}", False
            elif came:
                seen, passed = came, False
            else:
                seen, passed = _silence((probe["from"], probe["target"]), wanted, alive)
            check = _denial(host, probe)
            leak = bool(came)
            result.append({**check, "observed": seen, "passed": passed, "leak": leak, "look": _look(plan, probe)})
    return result


def _silence(ends: tuple[str, str], wanted: set[str], alive: set[str]) -> tuple[str, bool]:
    """What silence between two endpoints tells, and whether that is as planned.

    wanted: the endpoints of probes that must come through. alive: those of probes that did.
    """
    dead = [end for end in ends if end in wanted - alive]
    if dead:
        return f"silence, but nothing else came through for {' and '.join(dead)} either, so it proves nothing", False
    alone = [end for end in ends if end not in wanted]
    if alone:
        return f"silence; nothing is expected to come through for {' and '.join(alone)} at all", True
    return "silence, while other probes of both came through", True


def _denial(host: str, probe: Item) -> Item:
    """A probe that must not come through as a check, without what was seen."""
    rule = {"rule": probe["rule"]} if probe["rule"] else {}
    return {
        "kind": f"denied-{'ping' if probe['kind'] == 'isolation' else 'tcp'}",
        "host": host,
        "from": probe["from"],
        "to": probe["target"],
        "address": probe["to"],
        "expected": "nothing comes through" + (f", by {probe['rule']}" if rule else ""),
        **rule,
    }


def _came_through(probe: Item, outcome: Item) -> str:
    """What came through of a probe that must not, in words; nothing if it was silence."""
    if probe["kind"] == "isolation":
        return f"{outcome['echo_replies']} echo replies" if outcome.get("echo_replies") else ""
    if probe["kind"] == "tcp":
        return f"{outcome['bytes']} bytes arrived" if outcome.get("bytes") else ""
    if outcome.get("connected") or outcome.get("error") == os.strerror(errno.ECONNREFUSED):
        return f"port {probe['port']} answered"
    return ""


def _measured(plan: Item, probe: Item, outcome: Item) -> Item:
    """One measurement as a check."""
    kind = ("tep-" if probe.get("tep") else "") + probe["kind"]
    check = {
        "kind": kind,
        "host": probe["from"].split("/")[0],
        "from": probe["from"],
        "to": probe["target"],
        "address": probe["to"],
    }
    # A transfer's error is its outcome; of the others, one with nothing beside it says that nothing could be sent.
    if "unreached" in outcome or (
        set(outcome) == {"error"} and (probe["kind"] not in ("tcp", "connect") or "did not measure" in outcome["error"])
    ):
        check["unmeasured"] = outcome["error"]
    if probe["kind"] == "tcp":
        check["sort"] = "guest" if probe["bytes"] == GUEST_BYTES else "rated" if probe.get("seconds") else "plain"
    look = (
        _look(plan, probe)
        if probe["kind"] != "host"
        else f"on {probe['target']}: ip -6 addr show scope link; it must have none on a port of a bridge"
    )
    return {**check, **_verdict(probe, outcome), "look": look}


def _verdict(probe: Item, outcome: Item) -> Item:
    """What was expected and seen of a measurement, and whether it is good."""
    if probe["kind"] == "tcp":
        return _transfer(outcome)
    if probe["kind"] == "connect":
        return _connection(probe, outcome)
    if probe["kind"] == "isolation":
        return _isolation(probe, outcome)
    return _host(probe, outcome) if probe["kind"] == "host" else _ping(probe, outcome)


def _connection(probe: Item, outcome: Item) -> Item:
    """A connection to a service, or to a port where any answer shows that the packet came there: nobody may listen yet."""
    refused = outcome.get("error") == os.strerror(errno.ECONNREFUSED)
    what = f"an answer of {probe['protocol'].upper()} from" if probe["answers"] else "a TCP connection to"
    silent = bool(probe.get("listens")) and outcome.get("error") == NO_ANSWER
    seen = (
        "no answer; somebody listens there who need not answer, so nothing is shown" if silent else outcome.get("error")
    )
    return {
        "expected": f"{what} port {probe['port']}",
        "observed": seen or "connected",
        "passed": bool(outcome.get("connected")) or (probe["answers"] and refused) or silent,
    }


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
    return {
        "expected": f"every packet{size} comes back",
        "observed": seen,
        "passed": passed,
        "rtt_ms": outcome.get("rtt_ms"),
    }


def _transfer(outcome: Item) -> Item:
    rate = outcome.get("mbit_per_second")
    if outcome.get("error"):
        seen = outcome["error"]
    else:
        seen = f"{outcome.get('bytes', 0)} bytes at {rate} Mbit/s"
    received, sent = outcome.get("bytes"), outcome.get("sent_bytes")
    whole = bool(received) and sent in (None, received)
    if received and not whole:
        seen = f"{received} of {sent} bytes arrived"
    return {
        "expected": "a TCP transfer",
        "observed": seen,
        "passed": not outcome.get("error") and whole,
        "mbit_per_second": rate,
    }


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
        text, passed = (
            "no answer, but none of the segment's others either, which must answer: silence proves nothing",
            False,
        )
    elif outcome["others_answered"]:
        text, passed = f"no answer, while {outcome['others_answered']} others answered", True
    else:
        text, passed = "no answer; nobody else is on the segment who could show that asking works", True
    return {"expected": "no answer of its own host", "observed": text, "passed": passed, "leak": bool(seen)}


def _look(plan: Item, probe: Item) -> str:
    """Commands that show where a packet of this probe may have died, the nearest first."""
    if probe.get("tep"):
        host = plan["hosts"][probe["from"]]["underlay"]
        devices = " ".join([*host["nics"], host["tep"]["name"]])
        return f"on {probe['from']}: ip route get {probe['to']}; ovs-vsctl list interface {devices}"
    points = {point["id"]: point for point in points_of(plan)}
    one, other = points[probe["from"]], points.get(probe["target"])
    bridge = next(segment["bridge"] for segment in plan["segments"] if segment["name"] == one["segment"])
    if probe["kind"] == "connect" and other and not probe["answers"]:
        status = f"systemctl status {other['service']['unit']} --no-pager"
        return f"on {other['host']}: {status}; ip netns exec {other['name']} ss -ltn"
    places = [f"on {one['host']}: {_inspect(one)}; ovs-appctl fdb/show {bridge}"]
    far = other["host"] if other else probe["target"]
    if one["host"] != far:
        carrier = _carrier(plan, one, far)
        places[0] += f"; ovs-vsctl list interface {carrier}" if carrier else ""
    if other and one["host"] != far:
        places.append(f"on {other['host']}: {_inspect(other)}; ovs-appctl fdb/show {bridge}")
    return "; then ".join(places)


def _carrier(plan: Item, point: Item, far: str) -> str | None:
    """The interfaces by which an endpoint's frames leave its host: a tunnel, or the NICs of the underlay."""
    name = next(segment["overlay"] for segment in plan["segments"] if segment["name"] == point["segment"])
    overlay = next((overlay for overlay in plan["overlays"] if overlay["name"] == name), None)
    if overlay and overlay["encapsulation"] == "vlan":
        return " ".join(plan["hosts"][point["host"]]["underlay"]["nics"])
    return planned_tunnel(overlay, point["host"], far) if overlay else None


def _inspect(point: Item) -> str:
    """The command that shows an endpoint's addresses."""
    space = point.get("namespace", point["name"])
    return f"virsh console {point['name']}" if point["kind"] == "guest" else f"ip -n {space} addr"

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fabric at a glance: what was read of its hosts, held against the plan without sending a packet. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.openflow import DEFAULT, WITHOUT_RULE
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import routers as _verify_routers
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import state as _verify_state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import host_state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.state import SOME, why
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.vrrp import judge_active

Item = t.Dict[str, t.Any]

# The kinds of things, in the order in which they are shown.
KINDS = {
    "host": "hosts",
    "bridge": "bridges",
    "port": "ports",
    "interface": "bonds and VLANs of the kernel",
    "tunnel": "tunnels",
    "namespace": "namespaces",
    "container": "containers",
    "service": "services",
    "dhcp": "DHCP servers and clients",
    "vrrp": "VRRP routers of edges",
    "active": "edges with one active host",
    "uplink": "edges with OSPF or BGP",
    "table": "tables of edges",
    "northd": "ovn-northd",
    "member": "members of OVN's cluster",
    "chassis": "OVN's chassis",
    "binding": "OVN's ports",
    "gateway": "OVN's gateways",
    "guest": "guests",
    "adjacency": "adjacencies",
    "session": "sessions",
    "route": "routes",
}


# Of how many runs the rates of tunnels are known: half an hour, where it runs each minute.
RUNS_KEPT = 30


def report(plan: Item, seen: t.Mapping[str, Item], now: float, before: Item | None = None) -> Item:
    """What is as planned and what is not, as plain data.

    seen: for each host that was asked, what status_info returned. now: seconds since the epoch; before: the report of an earlier run,
    for the rates since then.
    """
    checks: list[Item] = []
    for name, found in seen.items():
        answers = _answers(name, found)
        checks.append(answers)
        if answers["passed"]:
            checks += _host_checks(plan, name, found)
    checks += judge_active(plan, seen)
    planned = collections.Counter(check["kind"] for check in checks)
    good = collections.Counter(check["kind"] for check in checks if check["passed"])
    things = {kind: {"planned": planned[kind], "good": good[kind]} for kind in KINDS if planned[kind]}
    problems = [check for check in checks if not check["passed"]]
    before = before if before and before.get("fabric") == plan["fabric"] else None
    return {
        "fabric": plan["fabric"],
        "time": round(now, 3),
        "times": [*(before or {}).get("times", ()), round(now, 3)][-RUNS_KEPT:],
        "passed": not problems,
        "things": things,
        "hosts": {check["host"]: check["observed"] for check in checks if check["kind"] == "host"},
        "tunnels": _tunnels(plan, seen, now, before),
        "segments": _segments(plan, seen, problems),
        "policy": _policy(plan, seen),
        "impaired": [{"host": host, **row} for host, found in seen.items() for row in found.get("impairments", ())],
        "problems": problems,
    }


def _answers(name: str, found: Item) -> Item:
    """Whether a host could be read."""
    passed = "unread" in found
    return {
        "kind": "host",
        "host": name,
        "thing": name,
        "from": name,
        "to": "",
        "expected": "answers",
        "observed": "answers" if passed else ("down: " if found.get("unreachable") else "not read: ") + why(found),
        "passed": passed,
        "look": f"ansible {name} -m ansible.builtin.ping",
    }


def _host_checks(plan: Item, name: str, found: Item) -> list[Item]:
    checks: list[Item] = []
    if name in plan["hosts"]:
        state = host_state(plan["hosts"][name])
        for bridge in state["bridges"].values():
            bridge["flow_count"] = SOME
        # Which flows there are, and where OVN's routers lead, are verify's questions.
        checks = _verify_state.judge(name, {**state, "flows": {}, "hops": {}}, found)
        checks = [_working(plan["hosts"][name], check, found) for check in checks]
        checks += [_guest(name, guest, found) for guest in plan["hosts"][name].get("guests", ())]
    routing = _verify_routers.routing(plan)
    if name in routing:
        checks += _verify_routers.judge({name: routing[name]}, {name: {"routers": found}})
    return checks


def _working(host: Item, check: Item, found: Item) -> Item:
    """A tunnel that is as planned works, too: without an error, and with BFD up where it is planned."""
    if check["kind"] != "tunnel" or not check["passed"]:
        return check
    row = _tunnel(found, check["thing"])
    planned = next(tunnel for tunnel in host["tunnels"] if tunnel["name"] == check["thing"])
    watched = str((planned["bfd"] or {}).get("enable", "")).lower() == "true"
    bfd = (row.get("bfd_status") or {}).get("state")
    if row.get("error"):
        return {**check, "expected": "no error", "observed": row["error"], "passed": False}
    if watched and bfd != "up":
        return {**check, "expected": "BFD up", "observed": f"BFD {bfd or 'has no session'}", "passed": False}
    return check


def _tunnel(found: Item, name: str) -> Item:
    return next((row for row in found.get("tunnels", ()) if row["name"] == name), {})


def _guest(name: str, guest: Item, found: Item) -> Item:
    if "guests" in found:
        state = found["guests"].get(guest["name"], "not there")
    else:
        state = f"{name} was not read: {found['unread']['guests']}"
    return {
        "kind": "guest",
        "host": name,
        "thing": guest["name"],
        "from": f"{name}/{guest['name']}",
        "to": "",
        "expected": "running",
        "observed": state,
        "passed": state == "running",
        "look": f"on {name}: virsh domstate --reason {guest['name']}",
    }


def _tunnels(plan: Item, seen: t.Mapping[str, Item], now: float, before: Item | None) -> list[Item]:
    """The planned tunnels of the hosts that were read, with their counters, and rates in bit/s since the earlier report.

    In `rates` are those of the runs at `times`, of which a tunnel that is new or was not read has fewer: its last ones are the last.
    """
    earlier = {(row["host"], row["name"]): row for row in (before or {}).get("tunnels", ())}
    seconds = now - (before or {"time": now})["time"]
    rows = []
    for host, found in seen.items():
        for planned in plan["hosts"].get(host, {}).get("tunnels", ()):
            row = _tunnel(found, planned["name"])
            statistics = row.get("statistics") or {}
            last = earlier.get((host, planned["name"]), {})
            rates = {way: _rate(statistics, last, f"{way}_bytes", seconds) for way in ("rx", "tx")}
            rows.append(
                {
                    "host": host,
                    "name": planned["name"],
                    "remote": planned["remote_ip"],
                    "there": bool(row),
                    "error": row.get("error"),
                    "bfd": (row.get("bfd_status") or {}).get("state"),
                    **statistics,
                    **{f"{way}_rate": rate for way, rate in rates.items()},
                    "rates": {
                        way: [*last.get("rates", {}).get(way, ()), rate][-RUNS_KEPT:] for way, rate in rates.items()
                    },
                }
            )
    return rows


def _rate(statistics: Item, last: Item, counter: str, seconds: float) -> int | None:
    """Bits a second, or None where nothing is known of before; a counter that is lower has begun anew."""
    new, old = statistics.get(counter), last.get(counter)
    if new is None or old is None or seconds <= 0 or new < old:
        return None
    return int((new - old) * 8 / seconds)


def _policy(plan: Item, seen: t.Mapping[str, Item]) -> list[Item]:
    """What each rule that flows enforce took on each host, in packets, and what was dropped without one."""
    rules = {
        rule["number"]: (f"rule {rule['name']}", rule["action"]) for one in plan["policy"] for rule in one["rules"]
    }
    defaults = {one["default"] for one in plan["policy"]}
    named = {**rules, **{number: (name, "deny") for number, name in WITHOUT_RULE.items()}}
    named[DEFAULT] = (WITHOUT_RULE[DEFAULT], defaults.pop() if len(defaults) == 1 else "allow or deny")
    rows = []
    for host, found in seen.items():
        for counted in found.get("policies", {}).values():
            for number, packets in counted.items():
                if int(number) in named:
                    rule, action = named[int(number)]
                    rows.append({"host": host, "rule": rule, "action": action, "packets": packets})
    return rows


def _segments(plan: Item, seen: t.Mapping[str, Item], problems: list[Item]) -> list[Item]:
    """Each segment with the number of its endpoints on the hosts that were asked, and how many of them have no problem of their own."""
    wrong = {
        (check["host"], check["thing"])
        for check in problems
        if check["kind"] in ("port", "namespace", "container", "service", "dhcp", "vrrp", "uplink", "table", "guest")
    }
    down = {check["host"] for check in problems if check["kind"] == "host"}
    rows = []
    for segment in plan["segments"]:
        points = [point for point in plan["endpoints"] if point["segment"] == segment["name"] and point["host"] in seen]
        good = [point for point in points if point["host"] not in down and not _touched(plan, point, wrong)]
        rows.append({"name": segment["name"], "endpoints": len(points), "good": len(good)})
    return rows


def _touched(plan: Item, point: Item, wrong: set[tuple[str, str]]) -> bool:
    """Whether an endpoint, or the port that it hangs at, is among what is wrong on its host."""
    return any((point["host"], thing) in wrong for thing in things_of(plan, point))


def things_of(plan: Item, point: Item) -> set[str]:
    """The names under which problems of an endpoint on its host are told: its own, and that of the port that it hangs at."""
    spaces = plan["hosts"][point["host"]]["namespaces"]
    place = (point.get("namespace", point["name"]), point["interface"])
    outer = next((s["outer"] for s in spaces if (s["name"], s["interface"]) == place), point.get("port"))
    return {point["name"]} | ({outer} if outer else set())

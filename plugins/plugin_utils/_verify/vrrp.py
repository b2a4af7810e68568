# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges on two hosts: what the plan expects of their VRRP routers, and that one of them is active. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

LOOK = "systemctl status overloom-keepalived-{name} --no-pager; journalctl -u overloom-keepalived-{name}"
ACTIVE, STANDBY = "active", "standby"


def expected_vrrp(host: Item) -> dict[str, Item]:
    """Each router runs, with its numbers. Which of them is active is judged for all hosts together."""
    found = {}
    for item in host["vrrp"]:
        numbers = {option: item[option] for option in ("namespace", "vrid", "priority")}
        found[item["name"]] = {"running": True, **numbers}
    return found


def judge_active(plan: Item, reads: t.Mapping[str, Item]) -> list[Item]:
    """For each edge on two hosts that one of them is active, and the other one on standby.

    reads: what status_info returned, of each host that was asked. Of an edge that was asked in part nothing is said, unless that has the active host.
    """
    checks = []
    for edge in plan["edges"]:
        hosts = [host for host in edge["hosts"] if host in reads]
        if edge["vrid"] and hosts:
            check = _judged(edge, hosts, reads)
            checks += [check] if check["passed"] or len(hosts) == len(edge["hosts"]) else []
    return checks


def _judged(edge: Item, hosts: list[str], reads: t.Mapping[str, Item]) -> Item:
    """One host is active. The other ones are on standby, or could not be read, which is told of them."""
    name = edge["name"]
    states = {host: _state(name, reads[host]) for host in hosts}
    active = [host for host, state in states.items() if state == ACTIVE]
    known = [state for state in states.values() if state != "not read"]
    others = [state for state in known if state != ACTIVE]
    passed = len(active) == 1 and all(state == STANDBY for state in others)
    # The active one may be that which was not asked.
    unread = not active and len(known) < len(edge["hosts"]) and all(state == STANDBY for state in known)
    return {
        "kind": "active",
        "host": (active or hosts)[0],
        "thing": name,
        "from": f"{(active or hosts)[0]}:{name}",
        "to": "",
        "expected": "one active host, and standby on the other",
        "observed": ", ".join(f"{host} {state}" for host, state in states.items()),
        "passed": passed,
        "look": f"on {' and '.join(hosts)}: ip -n {name} addr; {LOOK.format(name=name)}",
        **({"unread": True} if unread else {}),
    }


def _state(name: str, read: Item) -> str:
    """What a host's router says; one that does not run, or is not there, is none."""
    if "vrrp" not in read:
        return "not read"
    row: Item = next((row for row in read["vrrp"] if row["name"] == name), {})
    return str(row.get("state") or "not running")

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fabric of two hosts, and what status_info reads there when all is as planned."""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import host_state
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

COMMON = {
    "fabric_name": "f",
    "fabric_overlays": [{"encapsulation": "vxlan", "bfd": {"enable": "true"}}],
    "fabric_segments": [{"name": "web", "vlan": 10, "subnet": "10.1.1.0/24"}],
}
POINTS = {
    "kvm1": [
        {"name": "a", "segment": "web"},
        {"name": "vm", "segment": "web", "kind": "guest", "guest": {"image": "lab"}},
    ],
    "kvm2": [{"name": "b", "segment": "web"}],
}
PLAN = compile_plan({name: {**COMMON, "fabric_endpoints": points} for name, points in POINTS.items()}, SPEC)
BYTES = {"rx_bytes": 1000, "tx_bytes": 2000}


def tunnel_as_read(name: str, want: dict[str, t.Any]) -> dict[str, t.Any]:
    plain = ("bridge", "type", "bfd")
    options = {key: str(value).lower() for key, value in want.items() if key not in plain and value is not None}
    working = {"error": None, "bfd_status": {"state": "up"}, "statistics": dict(BYTES)}
    return {"name": name, **{key: want[key] for key in plain}, "options": options, **working}


def host_as_read(host: str) -> dict[str, t.Any]:
    state = host_state(PLAN["hosts"][host])
    bridges = {name: {"name": name, **want, "flow_count": 1, "ports": []} for name, want in state["bridges"].items()}
    for name, want in state["ports"].items():
        bridges[want["bridge"]]["ports"].append({"name": name, **want})
    return {
        "unread": {},
        "bridges": list(bridges.values()),
        "tunnels": [tunnel_as_read(name, want) for name, want in state["tunnels"].items()],
        "namespaces": [
            {"name": name, "sysctls": want["sysctls"], "interfaces": [{**want, "name": want["interface"]}]}
            for name, want in state["namespaces"].items()
        ],
        "guests": {guest["name"]: "running" for guest in PLAN["hosts"][host]["guests"]},
    }


def port(seen: dict[str, t.Any], host: str, name: str) -> dict[str, t.Any]:
    return next(one for bridge in seen[host]["bridges"] for one in bridge["ports"] if one["name"] == name)

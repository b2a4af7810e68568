# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OVN: what its southbound database must tell of chassis and of the ports that they have bound. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.raft import BASES, MEMBER
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.logical import next_hop, parse

Item = t.Dict[str, t.Any]

CHASSIS_LOOK = "ovn-sbctl list Chassis {name}; ovn-sbctl list Chassis_Private {name}"
NORTHD_LOOK = "systemctl status {name}"
GATEWAY_LOOK = "ovn-sbctl find Port_Binding logical_port={name}; ovn-sbctl list HA_Chassis_Group"
MEMBER_LOOK = "ovn-appctl -t /run/ovn/ovn{unit}_db.ctl cluster/status {name}"
HOP_LOOK = "ovn-nbctl lr-policy-list {router}; ovn-trace {router} '{flow}'"
BINDING_LOOK = "ovn-sbctl find Port_Binding logical_port={name}"


def expected_chassis(host: Item) -> dict[str, Item]:
    """The chassis by name, where the databases are: each has taken up what the northbound one holds."""
    central = host["ovn_central"] or {"chassis": ()}
    return {
        one["name"]: {
            "name": one["name"],
            "encapsulations": one["encapsulations"],
            "address": one["encapsulation_ip"],
            "current": True,
        }
        for one in central["chassis"]
    }


def expected_bindings(host: Item) -> dict[str, Item]:
    """The logical ports by name, where the databases are, each with the chassis that has it plugged in."""
    central = host["ovn_central"] or {"bindings": {}}
    return {port: {"name": port, "chassis": chassis, "up": True} for port, chassis in central["bindings"].items()}


def expected_northd(host: Item) -> dict[str, Item]:
    """ovn-northd, where the databases are: without it no change comes to the chassis."""
    return {"ovn-northd": {"name": "ovn-northd", "running": True}} if host["ovn_central"] else {}


def expected_gateways(host: Item) -> dict[str, Item]:
    """The routers' ports that lead outside, where the databases are, each on the first of its edge's hosts."""
    central = host["ovn_central"] or {"gateways": {}}
    return {port: {"name": port, "chassis": hosts[0]} for port, hosts in central["gateways"].items()}


def expected_hops(host: Item) -> dict[str, Item]:
    """Packets that OVN's routers are asked about, each with its planned next hops, of which it takes one."""
    central = host["ovn_central"] or {"hops": ()}
    return {one["name"]: one for one in central["hops"]}


def expected_members(host: Item) -> dict[str, Item]:
    """The databases by their schemas' names, where they are a cluster: each has a leader, and lacks none of the hosts."""
    central = host["ovn_central"]
    if not central or not central["cluster"]:
        return {}
    addresses = dict(zip(central["cluster"]["members"], central["hosts"]))
    wanted = {"status": MEMBER, "leader": "known", "gone": [], "behind": [], "addresses": addresses}
    return {base.schema: {"name": base.short, **wanted} for base in BASES}


def member_rows(found: Item, wanted: dict[str, Item]) -> dict[str, Item]:
    """What each database's server says of its cluster, with the hosts in the place of their addresses."""
    rows = {}
    for base in BASES:
        row, want = found.get("cluster", {}).get(base.name, {}), wanted.get(base.schema)
        if want is not None and row.get("model") == "clustered":
            rows[base.schema] = {**want, **_member(row, want["addresses"])}
    return rows


def _member(row: Item, hosts: t.Mapping[str, str]) -> Item:
    """What differs from a member that has a leader and lacks nobody. A host that no server is on has never joined, or was removed."""
    named = {hosts.get(_address(server["address"]), server["address"]): server for server in row["servers"]}
    known = [host for host, server in named.items() if server["connected"]]
    return {
        "status": row["status"],
        "leader": "known" if row["leader"] else None,
        "gone": sorted(set(hosts.values()) - set(known)) if row["servers"] else [],
        "behind": sorted(f"{host} by {server['behind']}" for host, server in named.items() if server.get("behind")),
    }


def _address(target: str) -> str:
    """The address in tcp:192.0.2.1:6643."""
    return target.partition(":")[2].rpartition(":")[0].strip("[]")


def northd_rows(found: Item, _wanted: dict[str, Item]) -> dict[str, Item]:
    """What was read of ovn-northd."""
    return {"ovn-northd": {"name": "ovn-northd", "running": found["northd"]}}


def chassis_rows(found: Item, _wanted: dict[str, Item]) -> dict[str, Item]:
    """What was read of the chassis, each with whether it has taken up the last change."""
    return {row["name"]: {**row, "current": row["nb_cfg"] >= found["nb_cfg"]} for row in found["chassis"]}


def binding_rows(found: Item, _wanted: dict[str, Item]) -> dict[str, Item]:
    """What was read of the logical ports."""
    return {row["name"]: row for row in found["bindings"]}


def hop_rows(found: Item, wanted: dict[str, Item]) -> dict[str, Item]:
    """The next hops that OVN's routers give packets. One of several that share the connections is as good as all."""
    rows = {}
    for name, want in wanted.items():
        answer = parse(found["hops"].get(name) or "")
        hop = answer.error or next_hop(answer)
        rows[name] = {**want, "nexthops": want["nexthops"] if hop in want["nexthops"] else [hop] if hop else []}
    return rows

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OVN: what its southbound database must tell of chassis and of the ports that they have bound. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

CHASSIS_LOOK = "ovn-sbctl list Chassis {name}; ovn-sbctl list Chassis_Private {name}"
NORTHD_LOOK = "systemctl status {name}"
GATEWAY_LOOK = "ovn-sbctl find Port_Binding logical_port={name}; ovn-sbctl list HA_Chassis_Group"
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


def northd_rows(found: Item, _wanted: dict[str, Item]) -> dict[str, Item]:
    """What was read of ovn-northd."""
    return {"ovn-northd": {"name": "ovn-northd", "running": found["northd"]}}


def chassis_rows(found: Item, _wanted: dict[str, Item]) -> dict[str, Item]:
    """What was read of the chassis, each with whether it has taken up the last change."""
    return {row["name"]: {**row, "current": row["nb_cfg"] >= found["nb_cfg"]} for row in found["chassis"]}


def binding_rows(found: Item, _wanted: dict[str, Item]) -> dict[str, Item]:
    """What was read of the logical ports."""
    return {row["name"]: row for row in found["bindings"]}

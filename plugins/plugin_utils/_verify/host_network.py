# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bonds, VLANs and NICs of the kernel: what must hold of them, and what was read in the same words. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host_network.declaration import Item as Declared

Item = t.Dict[str, t.Any]

LOOK = "ip -details address show dev {name}"


def expected_interfaces(host: Item) -> dict[str, Item]:
    """The interfaces of a host by name: up, with their addresses, and of a bond all members, of which the preferred one is in use."""
    return {item["name"]: _expected(item) for item in host["host_network"]}


def _expected(item: Item) -> Item:
    want = {"link_state": "up", "mtu": item["mtu"], "addresses": item["addresses"]}
    if "parent" in item:
        return {"kind": "vlan", "parent": item["parent"], "vlan": item["vlan"], **want}
    if "members" not in item:
        return want
    settings, members = Declared(**item).bond_settings(), item["members"]
    lacp = members if settings["mode"] == "802.3ad" else []
    active = {"active_slave": item["primary"]} if item["primary"] else {}
    return {
        "kind": "bond",
        **want,
        **settings,
        **active,
        "members": members,
        "members_up": members,
        "lacp_partners": lacp,
    }


def interface_rows(rows: t.Iterable[Item], wanted: dict[str, Item]) -> dict[str, Item]:
    """The interfaces that are there, by name. Addresses of others beside the planned ones are theirs."""
    return {row["name"]: _row(row, wanted.get(row["name"], {})) for row in rows if row["exists"]}


def _row(row: Item, want: Item) -> Item:
    members = row.get("members") or {}
    return {
        **row,
        **row.get("settings", {}),
        "addresses": [address for address in row["addresses"] if address in want.get("addresses", ())],
        "members": list(members),
        "members_up": [name for name, member in members.items() if member["link_state"] == "up"],
        "lacp_partners": [name for name, member in members.items() if member["lacp_current"]],
    }

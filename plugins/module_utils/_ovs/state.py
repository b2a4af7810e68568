# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridges, ports and tunnels as modules return them; fake bridges.

This file is private to the collection and pure. Source: ovs-vsctl(8), ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.before import users, was_there
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import Database
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.declaration import (
    BRIDGE_OPTIONS,
    INTERFACE_OPTIONS,
    OPTIONS,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    SECRET_OPTIONS,
    TUNNEL_TYPES,
    Item,
    failed_bridge,
    owner_of,
    view,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.port import PORT_OPTIONS


def is_fake(database: Database, name: str) -> bool:
    """Is there a fake bridge of this name?"""
    return database.tables["Port"].get(name, {}).get("fake_bridge", False)


def fake_ports(database: Database, name: str) -> list[str]:
    """The ports of a fake bridge, itself first: those of its parent with its tag (ovs-vsctl(8))."""
    rows = database.tables["Port"]
    alike = (port for port in database.ports_of(database.bridge_of[name]) if rows[port]["tag"] == rows[name]["tag"])
    return [name, *(port for port in alike if not rows[port]["fake_bridge"])]


def _member(database: Database, name: str) -> Item:
    """An interface of a bond."""
    row = database.tables["Interface"][name]
    seen = {key: row[key] for key in ("link_state", "lacp_current")}
    return {"name": name, **view(database, "Interface", name, INTERFACE_OPTIONS), **seen}


def port_state(database: Database, name: str) -> Item:
    """A port as the modules return it."""
    row = database.interface(name)
    members = database.members[name]
    result = {
        "name": name,
        "bridge": database.bridge_of.get(name),
        "owner": owner_of(database.tables["Port"][name]),
        "members": list(members),
        "ofport": row["ofport"],
        "error": next((e for e in (database.tables["Interface"][m]["error"] for m in members) if e), None),
        "mac_in_use": row["mac_in_use"],
        "mtu_in_use": row["mtu"],
        "admin_state": row["admin_state"],
        "link_state": row["link_state"],
        "lacp_current": row["lacp_current"],
        "active_member_mac": database.tables["Port"][name]["bond_active_slave"],
        **view(database, "Port", name, OPTIONS),
        **view(database, "Interface", members[0], OPTIONS),
    }
    if "statistics" in row:
        result["statistics"] = row["statistics"]
        result.update({key: database.tables["Port"][name][key] for key in ("status", "rstp_status")})
    if len(members) > 1:
        result["interfaces"] = [_member(database, member) for member in members]
    result["options"] = _masked(result["options"])
    return result


def _masked(options: t.Mapping[str, str]) -> dict[str, str]:
    """The options of an interface without what is secret of them."""
    return {key: "********" if key in SECRET_OPTIONS else value for key, value in options.items()}


def tunnel_names(database: Database) -> list[str]:
    """The ports that are tunnels, sorted."""
    return sorted(p for p in database.members if database.interface(p)["type"] in TUNNEL_TYPES)


def tunnel_state(database: Database, name: str) -> Item:
    """A tunnel as the modules return it."""
    row = database.interface(name)
    return {
        "name": name,
        "bridge": database.bridge_of.get(name),
        "owner": owner_of(database.tables["Port"][name]),
        "type": row["type"],
        "options": _masked(dict(sorted(row["options"].items()))),
        "ofport": row["ofport"],
        "error": row["error"],
        "bfd_status": row["bfd_status"],
        "cfm_fault": row["cfm_fault"],
        "egress_interface": row["status"].get("tunnel_egress_iface"),
        "egress_carrier": row["status"].get("tunnel_egress_iface_carrier"),
        "source_ip": row["status"].get("source_ip"),
        "link_state": row["link_state"],
        "mac_in_use": row["mac_in_use"],
        **view(database, "Port", name, PORT_OPTIONS),
        "bfd": dict(sorted(row["bfd"].items())),
    }


def bridge_state(
    database: Database, name: str, flows: t.Callable[[str], tuple[int | None, list[str]]] | None = None
) -> Item:
    """A bridge with its ports as the modules return it.

    flows: from a bridge to the number of its flows and those of others, in words; with it, those who use the bridge are told.
    """
    if is_fake(database, name):
        port = database.tables["Port"][name]
        return {
            "name": name,
            "parent": database.bridge_of[name],
            "vlan": port["tag"],
            "owner": owner_of(port),
            "error": database.interface(name)["error"],
            "ports": [port_state(database, x) for x in fake_ports(database, name)],
        }
    row = database.tables["Bridge"][name]
    local = database.interface(name)
    result: Item = {key: row[key] for key in ("status", "rstp_status") if key in row}
    if flows is not None:
        result["flow_count"], foreign = flows(name)
        result["users"] = users(database, name, None, lambda _bridge: foreign)
    return {
        **result,
        "name": name,
        "owner": owner_of(row),
        "adopted": was_there(row, owner_of(row) or ""),
        "datapath_id_in_use": row["datapath_id"],
        "mac_in_use": local["mac_in_use"],
        "error": failed_bridge(database, name),
        "parent": None,
        "vlan": None,
        **view(database, "Bridge", name, BRIDGE_OPTIONS),
        "ports": [port_state(database, port) for port in [name, *database.ports_of(name)] if port in database.members],
    }

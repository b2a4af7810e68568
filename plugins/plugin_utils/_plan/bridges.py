# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridges of each host: that of the underlay, the integration bridges, and the plug bridges beside those whose flows decide.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import wires
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.pipeline import TABLES
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.unset import UNSET, or_unset
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]


def bridges(values: Values, name: str, underlay: Item, secure: set[str], further: t.Iterable[str]) -> list[Item]:
    """The bridges of a host, as the module ovs_bridge takes them.

    underlay: of the host, as the plan has it. secure: bridges with a flow for all packets. further: bridges that guests' NICs are on.
    """
    cables = wires.cables(values.bridge_of, values.wires[name])
    integration = [bridge for bridge in _integration(values, name) if bridge != underlay["bridge"]]
    plugs = dict.fromkeys(far for _near, far in cables)
    others = [bridge for bridge in dict.fromkeys(further) if bridge not in {*integration, *plugs, underlay["bridge"]}]
    keyed = {overlay.bridge for overlay in values.overlays.values() if overlay.keyed}
    of_ovn = {overlay.bridge for overlay in values.overlays.values() if overlay.ovn}
    guarded = _guarded(values, name)
    found = []
    for bridge in (*integration, *plugs, *others):
        named = TABLES.items() if bridge in keyed else ()
        item: Item = {
            "name": bridge,
            "rstp": bridge in guarded,
            # Without a controller, Open vSwitch itself keeps NORMAL at table 0, priority 0 of a bridge that is not secure.
            "fail_mode": "secure" if bridge in secure | of_ovn else UNSET,
            "flow_tables": [{"table": table, "name": title} for table, title in named],
        }
        found.append({**item, **wires.ends(bridge, cables)})
    return [*([_underlay_bridge(underlay)] if underlay["bridge"] else []), *found]


def _integration(values: Values, name: str) -> list[str]:
    """The bridges of a host's tunnels, endpoints and wires."""
    wired = [values.bridge_of(wire.segment) for wire in values.wires[name]]
    return list(dict.fromkeys([*values.bridges_of(name), *wired]))


def _guarded(values: Values, name: str) -> set[str]:
    """The bridges of a host that RSTP keeps free of loops."""
    found = set()
    for overlay, pairs in values.edges.items():
        if values.guards[overlay][0] == "rstp" and any(name in pair for pair in pairs):
            found.add(values.overlays[overlay].bridge)
    return found


def _underlay_bridge(underlay: Item) -> Item:
    """The bridge of the physical NIC and the tunnel endpoint."""
    tep = underlay["tep"]
    if underlay["links"]:
        return _routed_bridge(underlay)
    return {
        "name": underlay["bridge"],
        "ports": [
            {
                **(_bond(underlay) if underlay["bond"] else {"name": underlay["nics"][0]}),
                "up": True,
                "tag": UNSET,
                "trunks": [],
                "vlan_mode": UNSET,
                "mtu": underlay["mtu"],
            },
            {
                "name": tep["name"],
                "type": "internal",
                "tag": or_unset(tep["vlan"]),
                "trunks": [],
                "vlan_mode": UNSET,
                "mtu": underlay["mtu"],
                "addresses": [tep["address"]],
            },
        ],
    }


def _bond(underlay: Item) -> Item:
    """What makes a port a bond. Of the modes of Open vSwitch, LACP goes with that which spreads connections over all members."""
    bond = underlay["bond"]
    lacp = bond["mode"] == "lacp"
    return {
        "name": bond["name"],
        "members": underlay["nics"],
        "bond_mode": "balance-tcp" if lacp else bond["mode"],
        "bond_primary": or_unset(bond["primary"]),
        "bond_updelay": or_unset(bond["up_delay"]),
        "bond_downdelay": or_unset(bond["down_delay"]),
        "lacp": "active" if lacp else UNSET,
        "lacp_time": or_unset(bond["lacp_rate"]),
    }


def _routed_bridge(underlay: Item) -> Item:
    """The bridge of a routed underlay: for each link its NIC and a port with the link's address, and the tunnel endpoint by itself.

    Each link is a VLAN inside the bridge, so that nothing passes from one to the other but through the kernel's routing. The ports
    share one MAC address: see underlay_mac().
    """
    common = {"type": "internal", "trunks": [], "vlan_mode": UNSET, "mac": underlay["links"][0]["mac"]}
    tep = {
        "name": underlay["tep"]["name"],
        "tag": UNSET,
        "mtu": underlay["mtu"],
        "addresses": [underlay["tep"]["address"]],
        **common,
    }
    ports = []
    for link in underlay["links"]:
        ports.append(
            {
                "name": link["interface"],
                "up": True,
                "tag": link["vlan"],
                "trunks": [],
                "vlan_mode": UNSET,
                "mtu": link["mtu"],
            }
        )
        ports.append(
            {"name": link["port"], "tag": link["vlan"], "mtu": link["mtu"], "addresses": link["addresses"], **common}
        )
    return {"name": underlay["bridge"], "ports": [*ports, tep]}

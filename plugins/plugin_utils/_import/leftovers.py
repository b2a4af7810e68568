# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What else hosts have that the intent does not take up, so that nothing is passed over in silence.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._import.reading import Host, Note

# Of a bridge: what takes part in what it does with frames, and what that is called.
BRIDGE_PARTS = {
    "controllers": "an OpenFlow controller",
    "mirrors": "mirrors",
    "netflow": "NetFlow",
    "sflow": "sFlow",
    "ipfix": "IPFIX",
    "stp": "STP",
    "mcast_snooping": "multicast snooping",
    "flood_vlans": "VLANs without learning",
    "fail_mode": "a fail mode",
    "auto_attach": "auto-attach",
}
STAYS = "it stays as it is"


def leftovers(host: Host, bridges: t.Collection[str], ports: t.Collection[str]) -> list[Note]:
    """The notes on a host. bridges, ports: those that the intent has."""
    notes = []
    for bridge in host.bridges.values():
        if bridge["name"] not in bridges:
            why = "no tunnel and no endpoint of the intent is on it"
            notes.append(Note(host.name, f"bridge {bridge['name']}", why, f"{STAYS}, with its ports"))
            continue
        parts = [words for part, words in BRIDGE_PARTS.items() if bridge[part]]
        if (bridge["flow_count"] or 0) > 1:
            parts.append(f"{bridge['flow_count']} flows")
        if parts:
            why = f"it has {', '.join(parts)}, which the intent does not have"
            notes.append(Note(host.name, f"bridge {bridge['name']}", why, STAYS))
    for port in host.ports.values():
        if port["bridge"] in bridges and port["name"] not in ports and port["name"] not in host.outers:
            notes.append(_port(host, port))
    for line in host.routing:
        way = "it stays as it is, as long as the intent has no fabric_links or fabric_bgp of this host"
        notes.append(Note(host.name, f"FRR '{line}'", "import does not read FRR's configuration", way))
    return notes


def _port(host: Host, port: dict[str, t.Any]) -> Note:
    """A port that the intent does not have."""
    name, bridge = port["name"], port["bridge"]
    vlan = f"VLAN {port['tag']}" if port["tag"] else "untagged frames"
    if name in host.guests:
        why = f"it is a NIC of guest {host.guests[name]} on {vlan} of bridge {bridge}, and guests of others are never taken"
        return Note(host.name, f"port {name}", why, STAYS)
    what = f"{port['type']} port" if port["type"] else "port"
    return Note(host.name, f"port {name}", f"the intent has no such {what} on bridge {bridge} ({vlan})", STAYS)

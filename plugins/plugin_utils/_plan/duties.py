# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which roles build a host, and what is read of it. A router that is no KVM host has both, too, so that no role asks which of the two a host is.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Plan = t.Dict[str, t.Any]

# What status asks of a router, as frr_info has it.
ROUTING = ("ospf", "ospf6", "bgp", "bgp_refused", "routes", "bfd")
# The parts of a KVM host of which only those are read that the plan has, by the option of status_info.
_PARTS = {
    "containers": ("containers",),
    "services": ("services",),
    "dhcp": ("dhcp_servers", "dhcp_clients"),
    "vrrp": ("vrrp",),
    "uplinks": ("uplinks",),
    "tables": ("nft_tables",),
    "ovn": ("ovn_central",),
    "guests": ("guests",),
}


def roles(plan: Plan) -> dict[str, list[str]]:
    """For each host of the fabric the names of the roles that build it."""
    return {name: _roles(plan["hosts"].get(name, {}), _managed(plan, name)) for name in _everyone(plan)}


def _roles(host: Plan, managed: bool) -> list[str]:
    """The roles of one host; one that is a router only has nothing of a KVM host."""
    of_guests = {guest["role"] for guest in host.get("guests", ())}
    return [
        *(["kvm_host"] if host else []),
        *(["frr_router"] if managed else []),
        *(role for role in ("ovn_central", "ovn_chassis") if host.get(role)),
        *(f"{kind}_guest" for kind in ("linux", "veos", "chr") if kind in of_guests),
    ]


def reads(plan: Plan) -> dict[str, Plan]:
    """For each host of the fabric what is read of it, as the options of the module status_info."""
    enforced = {rules["segment"] for rules in plan["policy"]}
    policed = {segment["bridge"] for segment in plan["segments"] if segment["name"] in enforced}
    return {
        name: {**_reads(plan["hosts"].get(name, {}), policed), "routing": [*ROUTING] if _managed(plan, name) else []}
        for name in _everyone(plan)
    }


def _reads(host: Plan, policed: t.Collection[str]) -> Plan:
    """What is read of one host beside its routing. policed: the bridges on which flows enforce the policy."""
    return {
        "switch": bool(host),
        "namespaces": [space["name"] for space in host.get("namespaces", ())],
        "host_network": [interface["name"] for interface in host.get("host_network", ())],
        **{option: any(host.get(part) for part in parts) for option, parts in _PARTS.items()},
        "hops": [_asked(hop) for hop in (host.get("ovn_central") or {"hops": ()})["hops"]],
        "policies": [flows["bridge"] for flows in host.get("flows", ()) if flows["bridge"] in policed],
    }


def _asked(hop: Plan) -> Plan:
    """What OVN is asked about a packet, without the answer that is planned."""
    return {option: hop[option] for option in ("name", "router", "flow")}


def _everyone(plan: Plan) -> list[str]:
    return sorted({*plan["hosts"], *plan["routers"]})


def _managed(plan: Plan, name: str) -> bool:
    """Whether the fabric configures the host's routing."""
    return bool(plan["routers"].get(name, {}).get("managed"))

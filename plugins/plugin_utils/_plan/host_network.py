# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The underlay of a host on which the kernel has it: bond, VLAN and the tunnel endpoint's address, in the host's own network configuration.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import KERNEL

Item = t.Dict[str, t.Any]


def interfaces(underlay: Item) -> list[Item]:
    """The interfaces of a host, as the module host_network takes them. underlay: of the host, as the plan has it.

    A NIC that only carries the VLAN is left as it is, with its MTU, as others may use it, too.
    """
    if underlay["engine"] != KERNEL:
        return []
    bond, tep, common = underlay["bond"], underlay["tep"], {"mtu": underlay["mtu"]}
    below = bond["name"] if bond else underlay["nics"][0]
    ends = {"addresses": [tep["address"]]}
    found = []
    if bond:
        found.append({**_bond(bond), **common, "addresses": [] if tep["vlan"] else [tep["address"]]})
    if tep["vlan"]:
        found.append({"name": tep["name"], "parent": below, "vlan": tep["vlan"], **common, **ends})
    return found or [{"name": below, **common, **ends}]


def _bond(bond: Item) -> Item:
    """What makes a bond. With LACP each connection is by one of its NICs, as with Open vSwitch; the kernel's own choice is by MAC address."""
    lacp = bond["mode"] == "lacp"
    return {
        "name": bond["name"],
        "members": bond["interfaces"],
        "mode": "802.3ad" if lacp else bond["mode"],
        # Empty values reset what was there before.
        "primary": bond["primary"] or "",
        "up_delay": bond["up_delay"] or 0,
        "down_delay": bond["down_delay"] or 0,
        "lacp_rate": bond["lacp_rate"] or "",
        "xmit_hash_policy": "layer3+4" if lacp or bond["mode"] == "balance-xor" else "",
    }

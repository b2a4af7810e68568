# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The underlay, and the bonds by which hosts are on it.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    IPV4_MIN_MTU,
    IPV6_MIN_MTU,
    LONGEST_DELAY,
    Bond,
    Underlay,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import (
    between,
    read_interface,
    read_network,
    read_vlan,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, suggest, word


def read_underlay(item: t.Any, given: set[str], problems: list[str]) -> Underlay:
    """The network between the hosts, as far as it is understood."""
    if item is INVALID:
        return Underlay(*[INVALID] * 8)
    where = "fabric_underlay"
    bond = read_bond(item["bond"], f"{where}.bond", problems)
    if bond is not None and f"{where}.interface" in given:
        problems.append(f"{where}.interface and {where}.bond exclude each other; leave one of them out.")
    subnet = read_network(item["subnet"], f"{where}.subnet", problems)
    low = IPV6_MIN_MTU if subnet and subnet.version == 6 else IPV4_MIN_MTU
    return Underlay(
        engine=item["engine"],
        subnet=subnet,
        mtu=between(item["mtu"], low, 65535, f"{where}.mtu", problems),
        bridge=read_interface(item["bridge"], f"{where}.bridge", problems),
        interface=read_interface(item["interface"], f"{where}.interface", problems) if bond is None else None,
        bond=bond,
        tep=read_interface(item["tep"], f"{where}.tep", problems),
        vlan=read_vlan(item["vlan"], f"{where}.vlan", problems),
    )


def read_bond(item: t.Any, where: str, problems: list[str]) -> Bond | None | t.Any:
    """A bond; of its NICs those that are understood."""
    if not isinstance(item, dict):
        return item
    mode, nics = item["mode"], item["interfaces"] or ()
    found = [nic for text in nics for nic in [read_interface(text, f"{where}.interfaces", problems)] if nic]
    for nic in dict.fromkeys(nic for nic in found if found.count(nic) > 1):
        problems.append(f"{where}.interfaces names {nic} twice; name each NIC once.")
    if item["interfaces"] is not INVALID and len(nics) < 2:
        few = f"names {found[0]} alone" if found else "names no NIC"
        problems.append(f"{where}.interfaces {few}; a bond needs two or more, and a single NIC is an interface.")
    for option, fits, modes in (
        ("primary", mode == "active-backup", "the mode active-backup"),
        ("lacp_rate", mode == "lacp", "the mode lacp"),
    ):
        if mode is not INVALID and item[option] is not None and not fits:
            problems.append(f"{where}.{option} is for {modes}; leave it out with {mode}.")
    if isinstance(item["primary"], str) and found and item["primary"] not in found:
        problems.append(
            f"{where}.primary {word(item['primary'])} is not among its NICs{suggest(item['primary'], found)}"
        )
    return Bond(
        where=where,
        name=read_interface(item["name"], f"{where}.name", problems),
        interfaces=found,
        mode=mode,
        primary=item["primary"],
        up_delay=between(item["up_delay"], 0, LONGEST_DELAY, f"{where}.up_delay", problems),
        down_delay=between(item["down_delay"], 0, LONGEST_DELAY, f"{where}.down_delay", problems),
        lacp_rate=item["lacp_rate"],
    )

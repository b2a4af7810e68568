# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The DHCP servers and clients of a host: what the plan expects of them. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

LOOK = (
    "systemctl status 'overloom-*-{name}' --no-pager; journalctl -u overloom-dnsmasq-{name} -u overloom-udhcpc-{name}"
)


def expected_dhcp(host: Item) -> dict[str, Item]:
    """Each server runs, and each client has what the plan gives its endpoint."""
    running = {
        item["name"]: {"running": True, "namespace": item["namespace"]}
        for item in (*host["dhcp_servers"], *host["dhcp_clients"])
    }
    return {name: {**found, **host["dhcp_leases"].get(name, {})} for name, found in running.items()}

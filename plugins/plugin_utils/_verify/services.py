# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of a host that run in namespaces: what the plan expects of them. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

LOOK = "systemctl status {unit} --no-pager; ip netns pids {name}"


def expected_services(host: Item) -> dict[str, Item]:
    """The services of a host, by their endpoints' names."""
    return {
        service["namespace"]: {
            "name": service["name"],
            "namespace": service["namespace"],
            "joined": service["namespace"],
            "running": True,
            "dns": service["dns"],
        }
        for service in host["services"]
    }

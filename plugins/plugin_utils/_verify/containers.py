# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers of a host: what the plan expects of them. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

LOOK = "systemctl status overloom-container-{name} --no-pager; podman ps --all"


def expected_containers(host: Item) -> dict[str, Item]:
    """The containers that the fabric runs on a host, by their endpoints' names."""
    return {
        container["namespace"]: {
            "name": container["name"],
            "image": container["image"],
            "running": True,
            "namespace": container["namespace"],
        }
        for container in host["containers"]
    }

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of what endpoints of OVN send or receive, in a tunnel to whoever looks at them. Source: ovn-nb(5), table Mirror.

Mirrors with one tunnel are one row, as Open vSwitch has no two tunnels alike.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Mirror
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]

# Which way a packet goes as OVN sees it, by the word that who is at the port has for it.
FILTERS = {"sent": "from-lport", "received": "to-lport"}


def name_of(fabric: str, mirror: Mirror) -> str:
    """The row, by its tunnel."""
    return f"{fabric}/{mirror.encapsulation}:{mirror.to}:{mirror.key}"


def rules(fabric: str, mirrors: t.Iterable[Mirror]) -> list[str]:
    """What a port says of its mirrors."""
    return [name_of(fabric, mirror) for mirror in mirrors]


def rows(values: Values) -> list[Item]:
    """The rows of all endpoints' mirrors, each once."""
    found = {
        name_of(values.intent.name, mirror): mirror for endpoint in values.endpoints for mirror in endpoint.mirrors
    }
    return [
        {
            "name": name,
            "filter": FILTERS[mirror.direction],
            "sink": str(mirror.to),
            "type": mirror.encapsulation,
            "index": mirror.key,
        }
        for name, mirror in found.items()
    ]


def check(values: Values) -> None:
    """Mirrors are OVN's, and a tunnel carries one direction."""
    first: dict[tuple[t.Any, ...], Mirror] = {}
    for endpoint in values.endpoints:
        segment = values.segments.get(endpoint.segment)
        if endpoint.mirrors and segment and not values.ovn(segment):
            values.problems.append(
                f"{endpoint.where}.mirrors is for endpoints on an overlay with the engine ovn; leave it out, and see elsewhere with playbooks/capture.yml."
            )
        for mirror in endpoint.mirrors:
            other = first.setdefault((mirror.to, mirror.encapsulation, mirror.key), mirror)
            if other.direction != mirror.direction:
                values.problems.append(
                    f"{mirror.where} is of what is {mirror.direction}, and {other.where} of what is {other.direction}, by the same tunnel to"
                    f" {mirror.to}; give one of them another key."
                )

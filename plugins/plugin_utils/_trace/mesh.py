# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tunnels of a mesh carry frames: RSTP blocks some, and then frames go the other way round. Pure.

This file is private to the collection. Source: ovs-vswitchd.conf.db(5), rstp_status.
"""

from __future__ import annotations

import collections

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import Died, View
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route

BLOCKED = ("Discarding", "Blocking", "Disabled")


def active(view: View, way: Route) -> list[str]:
    """The hosts from a way's source to its target by tunnels that RSTP does not block; the planned ones where there is no such way."""
    if not way.guarded:
        return way.hosts
    source, target = way.hosts[0], way.hosts[-1]
    before: dict[str, str] = {source: source}
    todo = collections.deque([source])
    while todo and target not in before:
        here = todo.popleft()
        for near in way.neighbors(here):
            if near not in before and not _blocked(view, way, here, near) and not _blocked(view, way, near, here):
                before[near] = here
                todo.append(near)
    if target not in before:
        return way.hosts
    hosts = [target]
    while hosts[-1] != source:
        hosts.append(before[hosts[-1]])
    return hosts[::-1]


def _blocked(view: View, way: Route, host: str, far: str) -> bool:
    """Whether RSTP blocks a host's end of a tunnel."""
    planned = way.tunnel(host, far)
    if planned is None:
        return True
    try:
        row = view.bridge(host, planned["bridge"])["ports"].get(planned["name"]) or {}
    except Died:
        # Then the hosts are walked as planned, and the path ends there.
        return False
    return (row.get("rstp") or {}).get("rstp_port_state") in BLOCKED

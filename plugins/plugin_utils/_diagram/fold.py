# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts of a large fabric share a box in the picture. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

# Groups that say nothing of a host beyond that it is of the fabric.
COMMON = ("all", "ungrouped", "kvm_hosts", "routers")


def boxes(hosts: t.Sequence[str], groups: t.Mapping[str, t.Sequence[str]], most: int) -> dict[str, str]:
    """For each host the inventory's group that it is shown in; empty where all hosts fit.

    most: how many nodes there may be. The smallest groups tell most; where they are too many, the largest do.
    """
    if len(hosts) <= most:
        return {}
    fine = _by_group(hosts, groups, largest=False)
    return fine if len(set(fine.values())) <= most else _by_group(hosts, groups, largest=True)


def _by_group(hosts: t.Sequence[str], groups: t.Mapping[str, t.Sequence[str]], largest: bool) -> dict[str, str]:
    own = {name: set(members) & set(hosts) for name, members in groups.items() if name not in COMMON}
    several = [name for name, members in own.items() if 1 < len(members) < len(hosts)]
    order = sorted(several, key=lambda name: (-len(own[name]) if largest else len(own[name]), name))
    rest = [name for name in ("kvm_hosts", "routers") if name in groups]
    found = {}
    for host in hosts:
        inside = [name for name in order if host in own[name]] + [name for name in rest if host in groups[name]]
        found[host] = inside[0] if inside else "others"
    return found

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a veth pair was before it was adopted, and how it becomes that again.

This file is private to the collection. The rule is in _owner.py. The port in the bridge has its own record (_ovs/before.py).
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import Kept


class Former(t.NamedTuple):
    """A veth pair as it was found; outer_* is the host's end. mtu: in bytes. tx: whether transmit checksums are left to the other end.

    addresses, routes: lists, because the unit notes them as JSON.
    """

    outer_alias: str
    outer_mtu: int
    outer_addrgen: str
    outer_link_local: list
    alias: str
    mtu: int
    mac: str
    up: bool
    addresses: list
    routes: list
    tx: bool | None


class GivenBack(t.NamedTuple):
    """The lines for ip(8) on the host and inside, and the offload to set inside, None for none."""

    outside: list[str]
    inside: list[str]
    tx: bool | None


def of(near: _ip.Interface, far: _ip.Interface, routes: t.Sequence[_ip.Route], tx: bool | None) -> dict[str, t.Any]:
    """The record of a pair, as its unit notes it."""
    rows = [list(route) for route in routes]
    inside = (far.alias, far.mtu, far.mac, far.up, list(far.addresses), rows)
    return Former(near.alias, near.mtu, near.addrgen, list(near.link_local), *inside, tx)._asdict()


def given_back(kept: Kept, near: _ip.Interface, far: _ip.Interface, routes: t.Sequence[_ip.Route]) -> GivenBack:
    """What makes an adopted pair what it was. routes: those of its end inside."""
    former = Former(**(kept.former or {}))
    outside = _ip.interface_batch(
        near,
        _ip.Wanted(near.name, mtu=former.outer_mtu, alias=former.outer_alias, addrgen=former.outer_addrgen or None),
    )
    # The kernel makes them when a link comes up, and this one is.
    outside += [
        f"address replace {a} dev {_ip.word(near.name)}" for a in former.outer_link_local if a not in near.link_local
    ]
    addresses = tuple(former.addresses)
    wanted = _ip.Wanted(far.name, mtu=former.mtu, mac=former.mac, up=former.up, alias=former.alias, addresses=addresses)
    lines = _ip.interface_batch(far, wanted)
    before = tuple(_ip.Route(*route) for route in former.routes)
    first, last = _ip.route_batch(far.name, routes, before, again=_ip.disturbs_routes(lines))
    return GivenBack(outside, [*first, *lines, *last], former.tx)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One veth pair: what is noted of it, what its ends get, and how it is shown. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import (
    Veth,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import (
    Kept,
    alias_owner,
    shown_route,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    FabricError,
)


class Pair(t.NamedTuple):
    """A veth pair as it is; near and far are its ends on the host and inside, None for one that is made anew.

    mine: it is made at boot, too. routes, offload: of the end inside.
    """

    outer: str
    mine: bool = True
    near: _ip.Interface | None = None
    far: _ip.Interface | None = None
    routes: t.Sequence[_ip.Route] = ()
    offload: bool | None = True


def noted_pair(veth: Veth, outer: str, kept: Kept | None) -> Kept:
    """All that was declared of a veth pair, now or before."""
    old = kept or Kept(outer)
    return Kept(
        outer,
        up=veth.up,
        addresses=old.addresses if veth.addresses is None else list(veth.addresses),
        routes=old.routes if veth.routes is None else [list(route) for route in veth.routes],
        rules=old.rules if veth.rules is None else [list(rule) for rule in veth.rules],
        mtu=old.mtu if veth.mtu is None else veth.mtu,
        mac=old.mac if veth.mac is None else veth.mac,
        bridge=old.bridge if veth.bridge is None else (veth.bridge or None),
        virtual=old.virtual if veth.virtual is None else (list(veth.virtual) or None),
    )


def without_virtual(pair: Pair, keep: Kept) -> Pair:
    """A pair without the addresses that come and go by another program."""
    if pair.far is None or not keep.virtual:
        return pair
    return pair._replace(far=pair.far._replace(addresses=tuple(a for a in pair.far.addresses if a not in keep.virtual)))


def given_now(veth: Veth, keep: Kept, far: _ip.Interface | None) -> Kept:
    """What is left out is left as it is; but a pair that is made anew gets back what was declared of it before."""
    if far is None:
        return keep
    return keep._replace(
        addresses=None if veth.addresses is None else keep.addresses,
        routes=None if veth.routes is None else keep.routes,
        mtu=veth.mtu,
        mac=veth.mac,
    )


def checked_addresses(veth: Veth, keep: Kept, given: Kept, far: _ip.Interface | None) -> list[str]:
    """The addresses that the end inside will have, for which the MTU and the gateways have to fit."""
    addresses = list(far.addresses) if far is not None and given.addresses is None else (given.addresses or [])
    mtu = given.mtu or (far.mtu if far is not None else None)
    if mtu is not None:
        _ip.check_mtu(mtu, addresses, f"{veth.what}: mtu")
    # Routes of an earlier run too, if the addresses change below them.
    if (veth.addresses, veth.routes) != (None, None):
        for route in keep.all_routes() or ():
            _ip.check_gateway(route, addresses, f"{veth.what}: routes")
    return addresses


def route_lines(
    veth: Veth, pair: Pair, keep: Kept, given: Kept, addresses: t.Sequence[str], disturbed: bool
) -> tuple[list[str], list[str]]:
    """The lines for the routes of a pair, before and after those of its end inside. disturbed: by those, the kernel drops routes."""
    if not veth.up:
        return [], []
    target = given.all_routes()
    if target is None:
        target = _routes_left(veth, pair, keep, addresses) if disturbed else tuple(pair.routes)
    first, last = _ip.route_batch(veth.inner, pair.routes, target, again=disturbed)
    return [] if veth.routes is None else first, last


def _routes_left(veth: Veth, pair: Pair, keep: Kept, addresses: t.Sequence[str]) -> tuple[_ip.Route, ...]:
    """The kernel drops routes when their interface goes down, so those of an earlier run come back when it goes up."""
    goes_up = pair.far is not None and veth.up and not pair.far.up
    known = (*((keep.all_routes() or ()) if goes_up else ()), *pair.routes)
    return tuple({route.key(): route for route in known if _reachable(route, addresses)}.values())


def shown(veth: Veth, pair: Pair, keep: Kept, given: Kept, addrgen: str | None) -> dict[str, t.Any]:
    """A veth pair after the change, for the diff: only what is declared."""
    told = {
        "outer": pair.outer,
        "outer_up": True,
        "up": veth.up,
        "mtu": given.mtu,
        "outer_mtu": given.mtu,
        "mac": given.mac,
        "addresses": given.addresses,
        "routes": None if given.routes is None else [shown_route(_ip.Route(*r)) for r in given.routes],
        "tx_checksum": keep.tx,
        "outer_addrgenmode": addrgen,
        "outer_link_local": None if addrgen is None else [],
    }
    return {key: value for key, value in told.items() if value is not None}


def shown_before(pair: Pair, given: Kept, port: dict[str, t.Any], after: t.Collection[str]) -> dict[str, t.Any] | None:
    """A veth pair before the change, for the diff: what is shown of it after; None for one that was not there."""
    near, far = pair.near, pair.far
    if near is None or far is None:
        return None
    marks = {alias_owner(near.alias), alias_owner(far.alias)}
    kept = [a for a in (given.addresses or []) if a in far.addresses or a in far.link_local]
    was = {
        "outer": pair.outer,
        "owner": marks.pop() if len(marks) == 1 and pair.mine else None,
        "outer_up": near.up,
        "up": far.up,
        **port,
        "mtu": far.mtu,
        "outer_mtu": near.mtu,
        "mac": far.mac,
        "addresses": kept + [a for a in far.addresses if a not in kept],
        "routes": _in_order(pair.routes, given.all_routes() or ()),
        "tx_checksum": pair.offload,
        "outer_addrgenmode": near.addrgen,
        "outer_link_local": list(near.link_local),
    }
    return {key: was[key] for key in after}


def _reachable(route: _ip.Route, addresses: t.Iterable[str]) -> bool:
    try:
        _ip.check_gateway(route, addresses, "")
    except FabricError:
        return False
    return True


def _in_order(found: t.Sequence[_ip.Route], wanted: t.Sequence[_ip.Route]) -> list[dict[str, t.Any]]:
    """Routes in the order in which they are declared, for a comparison by eye."""
    declared = [route for route in wanted if route in found]
    others = [route for route in found if route not in wanted]
    return [shown_route(route) for route in (*declared, *others)]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The overlays of hosts that were built by hand: tunnels of one kind, on bridges of one name, are one.

This file is private to the collection.
"""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Vlans
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.reading import Host, Note
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.underlay import Underlay
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import KEY_BITS
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import default_tunnel_name

Item = t.Dict[str, t.Any]

KINDS = {"gre": "gre", "ip6gre": "gre", "vxlan": "vxlan", "geneve": "geneve"}
# Options of a tunnel that are the overlay's. remote_ip and local_ip are the plan's.
NUMBERS = ("key", "dst_port", "ttl", "tos")
FLAGS = {"csum": False, "df_default": True}
KNOWN = {"remote_ip", "local_ip", *NUMBERS, *FLAGS}


class Tunnel(t.NamedTuple):
    """A tunnel of a host to a peer. options: those of the overlay that are set. vlans: that pass, None for all.

    local_ip: whether it states the address that it sends from.
    """

    host: str
    peer: str
    name: str
    bridge: str
    encapsulation: str
    options: Item
    vlans: frozenset[int] | None
    local_ip: bool
    protected: bool
    rstp: bool

    def group(self) -> tuple[t.Any, ...]:
        """What tunnels of one overlay have in common."""
        return self.bridge, self.encapsulation, sorted(self.options.items(), key=str)


class Overlay(t.NamedTuple):
    """An overlay. item: as the intent has it. vlans: that some tunnel is limited to, None if none is."""

    item: Item
    vlans: frozenset[int] | None

    @property
    def name(self) -> str:
        """Its name."""
        return self.item["name"]

    @property
    def bridge(self) -> str:
        """Its bridge."""
        return self.item["bridge"]

    def carries(self, vlan: int | None) -> bool:
        """Whether frames of a VLAN pass its tunnels; None and 0 are untagged ones."""
        return self.vlans is None or (vlan or 0) in self.vlans


def overlays(hosts: t.Mapping[str, Host], underlay: Underlay, notes: list[Note]) -> list[Overlay]:
    """The overlays between the hosts of the underlay."""
    found: list[Tunnel] = []
    for name in underlay.places:
        for row in hosts[name].tunnels.values():
            tunnel = _tunnel(hosts[name], row, underlay, notes)
            found += [tunnel] if tunnel else []
    found = _with_both_ends(found, notes)
    found.sort(key=lambda tunnel: str(tunnel.group()))
    grouped = [list(tunnels) for _key, tunnels in itertools.groupby(found, key=Tunnel.group)]
    kinds = [tunnels[0].encapsulation for tunnels in grouped]
    result = []
    for number, tunnels in enumerate(grouped, 1):
        kind = tunnels[0].encapsulation
        result.append(_overlay(kind if kinds.count(kind) == 1 else f"{kind}{number}", tunnels, list(underlay.places)))
    return result


def _tunnel(host: Host, row: Item, underlay: Underlay, notes: list[Note]) -> Tunnel | None:
    """One tunnel, if the intent can have it."""
    peer = _peer(host, row, underlay)
    why = peer if isinstance(peer, _Why) else _odd(host, row, underlay)
    if why:
        way = "it stays as it is, outside of the fabric"
        notes.append(Note(host.name, f"tunnel {row['name']}", str(why.text), why.way or way))
        return None
    options: Item = {name: number for name in NUMBERS for number in [_number(row["options"].get(name))] if number}
    for flag, default in FLAGS.items():
        value = row["options"].get(flag, str(default)).lower() == "true"
        if value != default:
            options[flag] = value
    if row["bfd"]:
        options["bfd"] = {name: _plain(value) for name, value in row["bfd"].items()}
    return Tunnel(
        host.name,
        t.cast(str, peer),
        row["name"],
        row["bridge"],
        KINDS[row["type"]],
        options,
        frozenset(_vlans(row["trunks"])) if row["trunks"] else None,
        bool(row["options"].get("local_ip")),
        row["protected"],
        host.bridges[row["bridge"]]["rstp"],
    )


class _Why(t.NamedTuple):
    """Why a tunnel is not the intent's, and what to do about it."""

    text: str
    way: str = ""


def _peer(host: Host, row: Item, underlay: Underlay) -> str | _Why:
    """The host at the other end of a tunnel."""
    remote = row["options"].get("remote_ip")
    if not remote or remote == "flow":
        return _Why("flows decide where it leads (remote_ip=flow)", "an overlay with segments_by: key is built so")
    peer = underlay.host_of(remote)
    if peer is None:
        return _Why(
            f"it leads to {remote}, which is no tunnel endpoint of these hosts",
            "if every host has such a tunnel, state it in fabric_overlays[].peers",
        )
    if peer == host.name:
        return _Why("it leads to its own host")
    return peer


def _odd(host: Host, row: Item, underlay: Underlay) -> _Why | None:
    """What a tunnel has that the intent has no word for."""
    options, place = row["options"], underlay.places[host.name]
    if row["type"] not in KINDS:
        return _Why(f"the intent does not know the type {row['type']}")
    if row["owner"]:
        return _Why(f"it belongs to {row['owner']} already")
    if row["bridge"] == place.bridge:
        return _Why(f"it is on {row['bridge']}, the bridge of the NIC", "put it on a bridge of its own")
    unknown = sorted(set(options) - KNOWN)
    if unknown:
        return _Why(f"the intent has no {', '.join(unknown)}")
    if options.get("local_ip") not in (None, str(place.address.ip)):
        return _Why(f"its local_ip {options['local_ip']} is not the tunnel endpoint {place.address.ip}")
    for name in NUMBERS:
        if name in options and _number(options[name]) is None:
            return _Why(f"its {name} is {options[name]}, and the intent takes numbers only")
    if (_number(options.get("key")) or 0) >= 2 ** KEY_BITS[KINDS[row["type"]]]:
        return _Why(f"its key {options['key']} is too large for {row['type']}")
    if row["tag"] is not None or row["vlan_mode"] not in (None, "trunk"):
        return _Why("its port is the access port of a VLAN", "make it a trunk of that VLAN (trunks)")
    return None


def _number(text: str | None) -> int | None:
    """A number as Open vSwitch writes it, decimal or hexadecimal; None if it is none."""
    try:
        return int(text or "", 0)
    except ValueError:
        return None


def _plain(text: t.Any) -> t.Any:
    """A value of BFD as the intent has it."""
    words = {"true": True, "false": False}
    return words[str(text)] if str(text) in words else int(text) if str(text).isdigit() else text


def _vlans(trunks: t.Any) -> t.Iterable[int]:
    return t.cast(t.Iterable[int], Vlans().parse(trunks, "trunks"))


def _with_both_ends(found: list[Tunnel], notes: list[Note]) -> list[Tunnel]:
    """The tunnels that have one back, and only one."""
    ends: dict[t.Any, Tunnel] = {}
    for tunnel in found:
        key = (tunnel.host, tunnel.peer, str(tunnel.group()))
        if ends.setdefault(key, tunnel) is not tunnel:
            why = f"tunnel {ends[key].name} leads to {tunnel.peer}, too"
            notes.append(Note(tunnel.host, f"tunnel {tunnel.name}", why, "remove one of them"))
    result = []
    for (host, peer, group), tunnel in ends.items():
        if (peer, host, group) in ends:
            result.append(tunnel)
            continue
        why = f"{peer} has no tunnel back of the same kind, key and options on bridge {tunnel.bridge}"
        notes.append(Note(host, f"tunnel {tunnel.name}", why, "make the two ends alike, or remove it"))
    return result


def _overlay(name: str, tunnels: list[Tunnel], everyone: list[str]) -> Overlay:
    """The overlay of tunnels that have all in common."""
    first = tunnels[0]
    pairs = sorted({tuple(sorted((tunnel.host, tunnel.peer))) for tunnel in tunnels})
    item: Item = {"name": name, "encapsulation": first.encapsulation, "bridge": first.bridge, **first.options}
    if len(pairs) < len(everyone) * (len(everyone) - 1) // 2:
        item.update(topology="links", links=[list(pair) for pair in pairs])
    if all(tunnel.rstp for tunnel in tunnels):
        item["loop_guard"] = "rstp"
    elif all(tunnel.protected for tunnel in tunnels):
        item["loop_guard"] = "split_horizon"
    # Open vSwitch sets a tunnel up anew for it, which costs packets.
    if not all(tunnel.local_ip for tunnel in tunnels):
        item["local_ip"] = False
    names: dict[str, dict[str, str]] = {}
    for tunnel in sorted(tunnels, key=lambda tunnel: (tunnel.host, tunnel.peer)):
        if tunnel.name != default_tunnel_name(name, tunnel.peer):
            names.setdefault(tunnel.host, {})[tunnel.peer] = tunnel.name
    if names:
        item["tunnel_names"] = names
    limited = [tunnel.vlans for tunnel in tunnels if tunnel.vlans is not None]
    return Overlay(item, frozenset().union(*limited) if limited else None)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Overlays: their tunnels, peers and engines.

This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    BFD,
    DST_PORTS,
    KEY_BITS,
    OF_TUNNELS,
    OVN,
    OVN_BRIDGE,
    OVN_ENCAPSULATIONS,
    Overlay,
    Peer,
    Underlay,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import (
    between,
    matching,
    matching_name,
    read_address,
    read_interface,
    unique,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, conform, label, show

_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_SLUG_ALLOWED = "a-z, 0-9, '_' and '-'"


def read_overlay(
    item: dict[str, t.Any], index: int, underlay: Underlay, given: set[str], problems: list[str]
) -> Overlay:
    """An overlay; what does not go together with its encapsulation or engine is refused here."""
    name = item["name"] if item["name"] is not None else item["encapsulation"]
    where = f"fabric_overlays[{label(item, index)}]"
    encapsulation = item["encapsulation"]
    if encapsulation == "vlan":
        for option in [option for option in OF_TUNNELS if f"{where}.{option}" in given]:
            problems.append(
                f"{where}.{option} is for tunnels; leave it out with the encapsulation vlan, which has none."
            )
            item[option] = None
        item.update(topology="full_mesh", bridge=underlay.bridge)
    if item["engine"] == OVN:
        _check_ovn(item, where, given, problems)
    if item["dst_port"] is not None and encapsulation and encapsulation not in DST_PORTS:
        problems.append(f"{where}.dst_port is for vxlan and geneve; leave it out with {encapsulation}.")
    key = item["key"]
    if encapsulation in KEY_BITS and isinstance(key, int) and not 1 <= key < 2 ** KEY_BITS[encapsulation]:
        problems.append(
            f"{where}.key must be 1 to {2 ** KEY_BITS[encapsulation] - 1} ({KEY_BITS[encapsulation]} bits with {encapsulation}),"
            f" not {key}; leave it out for none."
        )
        key = INVALID
    _check_topology(item, where, problems)
    links = item["links"]
    if links:
        links = [_link(link, where, problems) for link in links]
    options = {
        "dst_port": between(item["dst_port"], 1, 65535, f"{where}.dst_port", problems),
        "csum": item["csum"],
        "ttl": between(item["ttl"], 1, 255, f"{where}.ttl", problems),
        "tos": _tos(item["tos"], f"{where}.tos", problems),
        "df_default": item["df_default"],
        "bfd": _bfd(item["bfd"], f"{where}.bfd", problems),
    }
    return Overlay(
        where=where,
        name=matching(name, _SLUG, _SLUG_ALLOWED, f"{where}.name", problems),
        encapsulation=encapsulation,
        topology=item["topology"],
        hubs=item["hubs"],
        links=links,
        bridge=read_interface(item["bridge"], f"{where}.bridge", problems),
        key=key,
        options=options,
        loop_guard=item["loop_guard"],
        segments_by=item["segments_by"],
        peers=unique(
            [peer for peer in _peers(item["peers"], where, problems) if peer.name is not INVALID],
            f"{where}.peers",
            problems,
        ),
        tunnel_names=_tunnel_names(item["tunnel_names"], f"{where}.tunnel_names", problems),
        local_ip=item["local_ip"] is not False,
        policy=item["policy"],
        engine=item["engine"],
        tls=_tls(item, where, problems),
        rbac=_rbac(item, where, problems),
    )


def _tls(item: dict[str, t.Any], where: str, problems: list[str]) -> dict[str, str] | None:
    """The files of TLS, all of them or none, on overlays of OVN alone."""
    tls = item["tls"]
    if not tls:
        return None
    if item["engine"] not in (OVN, INVALID):
        problems.append(
            f"{where}.tls is for the engine ovn, whose databases are asked by it; leave it out with {item['engine']}."
        )
        return None
    for name, path in tls.items():
        if not path:
            problems.append(
                f"{where}.tls.{name} is missing; give all of {', '.join(tls)}, which are files on each host."
            )
        elif not re.fullmatch(r"/[A-Za-z0-9._/+@-]+", path):
            problems.append(
                f"{where}.tls.{name} is {path!r}; give the path of a file on each host, of A-Z, a-z, 0-9, '.', '_', '/', '+', '@' and '-'."
            )
    return t.cast("dict[str, str]", tls)


def _rbac(item: dict[str, t.Any], where: str, problems: list[str]) -> bool:
    """Whether chassis have a role, which goes by their certificates."""
    if item["rbac"] and item["engine"] not in (OVN, INVALID):
        problems.append(
            f"{where}.rbac is for the engine ovn, whose chassis have a role by it; leave it out with {item['engine']}."
        )
    elif item["rbac"] and not item["tls"]:
        problems.append(
            f"{where}.rbac needs tls, as a chassis is known by its certificate; give {where}.tls, with certificates whose common name (CN) is the host's name."
        )
    return item["rbac"] is True


def _check_ovn(item: dict[str, t.Any], where: str, given: set[str], problems: list[str]) -> None:
    """An overlay of OVN says how its tunnels are wrapped, and nothing else of them; its bridge is its own."""
    if item["encapsulation"] and item["encapsulation"] not in OVN_ENCAPSULATIONS:
        problems.append(
            f"{where}.encapsulation {item['encapsulation']} is for the engine openvswitch; with ovn it is {' or '.join(OVN_ENCAPSULATIONS)}."
        )
        item["encapsulation"] = INVALID
    for option in [option for option in OF_TUNNELS if option != "bridge" and f"{where}.{option}" in given]:
        problems.append(
            f"{where}.{option} is for the engine openvswitch; leave it out with ovn, whose tunnels are a full mesh of its own making."
        )
        item[option] = None
    item.update(topology="full_mesh", segments_by=OVN)
    if f"{where}.bridge" not in given:
        item["bridge"] = OVN_BRIDGE


def _tunnel_names(value: t.Any, where: str, problems: list[str]) -> dict[str, dict[str, str]]:
    """The given names of tunnels by host and peer, those that are understood."""
    found: dict[str, dict[str, str]] = {}
    for host, names in (value or {}).items():
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            problems.append(f"{where}.{host} must be names by peer, as {{kvm2: gre0}}, not {show(names)}.")
            continue
        for peer, text in names.items():
            name = read_interface(text, f"{where}.{host}.{peer}", problems)
            if name:
                found.setdefault(str(host), {})[str(peer)] = name
    return found


def _check_topology(item: dict[str, t.Any], where: str, problems: list[str]) -> None:
    """The topology of an overlay comes with its own option, and with no other's."""
    topology = item["topology"]
    for option, needed in (("hubs", "hub_and_spoke"), ("links", "links")):
        if topology is INVALID or item[option] is INVALID:
            continue
        if topology == needed and not item[option]:
            problems.append(f"{where}.{option} is missing; topology {needed} needs it.")
            item[option] = INVALID
        elif topology != needed and item[option] is not None:
            problems.append(f"{where}.{option} is for topology {needed}; leave it out with {topology}.")
            item[option] = INVALID


def _peers(items: t.Any, where: str, problems: list[str]) -> list[Peer]:
    """The tunnel endpoints that others manage."""
    found = []
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict):
            place = f"{where}.peers[{label(item, index)}]"
            behind = [(i, end) for i, end in enumerate(item["endpoints"] or []) if isinstance(end, dict)]
            found.append(
                Peer(
                    where=place,
                    name=matching_name(item["name"], f"{place}.name", problems),
                    address=read_address(item["address"], f"{place}.address", problems),
                    endpoints=[
                        (end["segment"], read_address(end["address"], f"{place}.endpoints[{i}].address", problems))
                        for i, end in behind
                    ],
                )
            )
    return found


def _link(link: t.Any, where: str, problems: list[str]) -> tuple[str, str] | t.Any:
    if link is INVALID:
        return INVALID
    if len(link) != 2 or not all(isinstance(end, str) for end in link):
        problems.append(f"{where}.links has {show(link)}; write each link as the names of two hosts, [kvm1, kvm2].")
        return INVALID
    return tuple(link)


def _bfd(value: t.Any, where: str, problems: list[str]) -> dict[str, t.Any] | None | t.Any:
    """BFD as the module takes it: a dictionary."""
    if value is None:
        return None
    if not isinstance(value, dict):
        enable = conform(value, {"type": "bool"}, where, problems)
        return INVALID if enable is INVALID else {"enable": enable}
    spec = {"type": "dict", "options": BFD.spec["options"]}
    result = {key: item for key, item in conform(value, spec, where, problems).items() if item is not None}
    try:
        BFD.parse({key: item for key, item in result.items() if item is not INVALID}, where)
    except FabricError as error:
        problems.append(f"{error}.")
    return result


def _tos(value: t.Any, where: str, problems: list[str]) -> int | None | t.Any:
    if isinstance(value, int) and (not 0 <= value <= 252 or value % 4):
        problems.append(
            f"{where} must be 0 to 252 in steps of 4, not {value}; its two lowest bits are ECN, which is not settable."
        )
        return INVALID
    return value

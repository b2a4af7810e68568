# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router's part of the plan as the modules take it: interfaces, OSPF, BGP, kernel parameters.

Of a secret, the plan has only the place where it stands, in angle brackets: `<fabric_routing.key>`.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.routers import Accept, Session, Static
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.bgp import exchange
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.routers import End, Peering, Router, Routers
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.spf import fib, loopback_area, loopback_cost

Item = t.Dict[str, t.Any]

# FRR watches its neighbors by this profile. Each of the two modules that use it has its own, so that each can remove its own.
OSPF_PROFILE, BGP_PROFILE = "fabric-ospf", "fabric-bgp"


def secret(place: str) -> str:
    """What stands in the plan for a secret."""
    return f"<{place}>"


def plan_routers(routers: Routers) -> Item:
    """All routers as plain data, by name; see docs/intent.md for what each key is."""
    by_bgp = exchange(routers)
    static = {name: [_expected(route) for route in router.static] for name, router in routers.routers.items()}
    by_ospf = fib(routers, static, by_bgp)
    return {
        name: _router(routers, router, _selected(static[name] + by_ospf[name] + by_bgp.get(name, [])))
        for name, router in routers.routers.items()
    }


def _selected(table: list[Item]) -> list[Item]:
    """Of the routes to one prefix that of the least administrative distance."""
    best: Item = {}
    for row in table:
        if row["prefix"] not in best or row["distance"] < best[row["prefix"]]["distance"]:
            best[row["prefix"]] = row
    return list(best.values())


def _expected(route: Static) -> Item:
    hops = [{"address": str(route.via), "interface": None}] if route.via else []
    return {
        "prefix": str(route.prefix),
        "cost": None,
        "protocol": "static",
        "distance": route.distance,
        "nexthops": hops,
    }


def _static(route: Static) -> Item:
    """The options of frr_static that are given."""
    options = {
        "prefix": str(route.prefix),
        "via": str(route.via) if route.via else None,
        "discard": route.discard,
        "distance": route.distance,
    }
    return {key: value for key, value in options.items() if value is not None}


def plan_links(routers: Routers) -> list[Item]:
    """All links as plain data."""
    if not routers.routers:
        return []
    made = []
    for link in routers.links.values():
        ends = [end for router in routers.routers.values() for end in router.ends if end.link is link]
        ends.sort(key=lambda end: link.ends.index((end.host, end.interface)))
        made.append(
            {
                "name": link.name,
                "subnet": str(link.subnet) if link.subnet else None,
                "subnet6": str(link.subnet6) if link.subnet6 else None,
                "ospf": link.ospf,
                "area": link.area if link.ospf else None,
                "key_id": link.key_id if link.key else None,
                "ends": [_end(end) for end in ends],
            }
        )
    return made


def _end(end: End) -> Item:
    return {
        "host": end.host,
        "interface": end.interface,
        "port": end.port,
        "address": str(end.address) if end.address else None,
        "address6": str(end.address6) if end.address6 else None,
        "mtu": end.mtu,
        "cost": end.cost,
        "network_type": end.network_type,
        "hello_interval": end.hello_interval,
        "dead_interval": end.dead_interval,
        "hello_multiplier": end.hello_multiplier,
        "passive": end.passive,
        "priority": end.priority,
        "bfd": end.bfd,
    }


def _addresses(end: End) -> list[str]:
    pairs = ((end.address, end.link.subnet), (end.address6, end.link.subnet6))
    return [addresses.with_prefix(address, subnet) for address, subnet in pairs if address and subnet]


def _router(routers: Routers, router: Router, table: list[Item]) -> Item:
    loopbacks = [f"{address}/{address.max_prefixlen}" for address in (router.loopback, router.loopback6) if address]
    # A KVM host's ports are Open vSwitch's, and made with its bridges.
    own = [] if router.kvm else [{"name": router.loopback_port, "addresses": loopbacks}, *_interfaces(router)]
    return {
        "managed": router.managed,
        "kvm": router.kvm,
        "id": router.number,
        "router_id": router.router_id,
        "loopback": str(router.loopback) if router.loopback else None,
        "loopback6": str(router.loopback6) if router.loopback6 else None,
        "areas": router.areas,
        "interfaces": own,
        "ospf": _ospf(routers, router),
        "bgp": _bgp(routers, router) if router.bgp else {},
        "static": [_static(route) for route in router.static],
        "sysctls": _sysctls(router),
        "routes": table,
        "asn": router.bgp.asn if router.bgp else None,
        "networks": [str(net) for net in router.bgp.networks] if router.bgp else [],
        "sessions": [_peering(routers, one) for one in routers.peerings if one.router == router.name],
    }


def _interfaces(router: Router) -> list[Item]:
    """The options of ip_interface for the ends of links, NICs before what is on them."""
    # The NIC of VLANs is up, and its MTU lets all of them pass.
    nics: dict[str, int] = {}
    for end in router.ends:
        if end.vlan:
            nics[end.vlan[0]] = max(end.mtu, nics.get(end.vlan[0], 0))
    plain = {end.port for end in router.ends}
    carriers = [{"name": nic, "mtu": mtu, "up": True} for nic, mtu in nics.items() if nic not in plain]
    ends = [
        {
            "name": end.port,
            **({"parent": end.vlan[0], "vlan": end.vlan[1]} if end.vlan else {}),
            "addresses": _addresses(end),
            "mtu": end.mtu,
            "up": True,
        }
        for end in sorted(router.ends, key=lambda end: bool(end.vlan))
    ]
    return [*carriers, *ends]


def _sysctls(router: Router) -> Item:
    """Only the port of a link may answer for its address, not the NIC beneath it, which has another MAC address.

    In user space, Open vSwitch and the kernel both see what a NIC receives.
    """
    if not router.kvm:
        return {}
    return {f"net/ipv4/conf/{end.interface}/arp_ignore": 1 for end in router.ends}


def _ospf(routers: Routers, router: Router) -> Item:
    """The options of frr_ospf."""
    ends = [end for end in router.ends if end.link.ospf]
    if not ends:
        return {}
    instances = []
    for version in (2, 3):
        mine = [end for end in ends if (end.address if version == 2 else end.address6)]
        if not mine:
            continue
        loopback = router.loopback if version == 2 else router.loopback6
        interfaces = [_ospf_interface(end, version) for end in mine]
        if loopback:
            interfaces.insert(0, _ospf_loopback(router, version))
        instance: Item = {
            "version": version,
            "router_id": router.router_id,
            "log_adjacency_changes": "detail",
            "maximum_paths": routers.routing.maximum_paths or 0,
            "areas": [_area(area, version) for area in routers.routing.areas if area.area in router.areas],
            "redistribute": router.redistribute,
            "interfaces": interfaces,
        }
        instances.append(instance)
    bfd = routers.routing.bfd
    profile = {
        "name": OSPF_PROFILE,
        "receive_interval": bfd["interval"],
        "transmit_interval": bfd["interval"],
        "detect_multiplier": bfd["multiplier"],
    }
    return {"instances": instances, "bfd_profiles": [profile] if any(end.bfd for end in ends) else []}


def _area(area: t.Any, version: int) -> Item:
    item: Item = {"area": area.area, "type": area.type}
    if version == 2:
        item["ranges"] = [{"prefix": str(prefix)} for prefix in area.ranges]
        if area.type != "normal":
            item["default_cost"] = area.default_cost if area.default_cost is not None else 0
    return item


def _ospf_loopback(router: Router, version: int) -> Item:
    item: Item = {
        "name": router.loopback_port,
        "area": loopback_area(router, version),
        "passive": True,
        "cost": loopback_cost(router, version),
    }
    if router.kvm and version == 2:
        # FRR takes a /32 on a point-to-point interface for an unnumbered one, and announces nothing.
        item["network_type"] = "broadcast"
    return item


def _ospf_interface(end: End, version: int) -> Item:
    item: Item = {
        "name": end.port,
        "area": end.link.area,
        "cost": end.cost,
        "network_type": end.network_type,
        "passive": end.passive,
        "mtu_ignore": end.mtu_ignore,
        "bfd": end.bfd,
        "bfd_profile": OSPF_PROFILE if end.bfd else "",
        "priority": 1 if end.priority is None else end.priority,
    }
    if end.hello_multiplier and version == 2:
        item["hello_multiplier"] = end.hello_multiplier
    else:
        item.update(hello_interval=end.hello_interval, dead_interval=max(end.dead_interval, end.hello_interval + 1))
    key = end.link.key
    if version == 2:
        item["authentication"] = "message_digest" if key else ""
        item["message_digest_keys"] = [{"id": end.link.key_id, "key": secret(key)}] if key else []
    elif key:
        # Of the algorithms, MD5 and this one are in every FRR (RFC 7166).
        item.update(
            authentication="key",
            authentication_key=secret(key),
            authentication_key_id=end.link.key_id,
            authentication_algorithm="hmac-sha-256",
        )
    else:
        item["authentication"] = ""
    return item


def _bgp(routers: Routers, router: Router) -> Item:
    """The options of frr_bgp."""
    bgp = router.speaker
    lists: list[Item] = []
    neighbors, groups = [], []
    for peering in routers.peerings:
        if peering.router == router.name and peering.group is None:
            neighbors.append(
                {"neighbor": str(peering.remote), **_peer(routers, router, peering.session, peering, lists)}
            )
    for session in bgp.listen:
        groups.append({"name": session.name, **_peer(routers, router, session, None, lists)})
    families = []
    for family, version in (("ipv4_unicast", 4), ("ipv6_unicast", 6)):
        networks = [{"prefix": str(prefix)} for prefix in bgp.networks if prefix.version == version]
        families.append(
            {
                "family": family,
                "networks": networks,
                # FRR takes several paths by itself; the plan says how many.
                "maximum_paths": bgp.maximum_paths,
                "maximum_paths_ibgp": bgp.maximum_paths,
            }
        )
    instance = {
        "asn": str(bgp.asn),
        "router_id": router.router_id,
        "log_neighbor_changes": True,
        # The filters are the plan's; and what is best must not hang on which session came up first.
        "ebgp_requires_policy": False,
        "compare_router_id": True,
        "multipath_relax": bgp.maximum_paths > 1,
        "network_import_check": False,
        "listen_ranges": [{"prefix": str(session.prefix), "peer_group": session.name} for session in bgp.listen],
        "peer_groups": groups,
        "neighbors": neighbors,
        "address_families": families,
    }
    interval = routers.routing.bfd
    profile = {
        "name": BGP_PROFILE,
        "receive_interval": interval["interval"],
        "transmit_interval": interval["interval"],
        "detect_multiplier": interval["multiplier"],
    }
    watched = any(one.get("bfd") for one in neighbors + groups)
    return {"instances": [instance], "prefix_lists": lists, "bfd_profiles": [profile] if watched else []}


def _peer(routers: Routers, router: Router, session: Session, peering: Peering | None, lists: list[Item]) -> Item:
    """What a neighbor and a group of them have in common; its filter goes to lists."""
    asn = session.asn or routers.routers[session.name].speaker.asn
    outside = asn != router.speaker.asn
    item: Item = {
        "remote_as": str(asn),
        "description": session.name,
        "bfd": session.bfd,
        "bfd_profile": BGP_PROFILE if session.bfd else "",
        "password": secret(session.password) if session.password else "",
    }
    far = peering is not None and peering.loopback
    if peering is not None:
        item["update_source"] = str(peering.local) if far else ""
        item["ebgp_multihop"] = 8 if far and outside else 0
    far_end = peering.remote if peering else session.prefix
    version = 6 if far_end is not None and far_end.version == 6 else 4
    family: Item = {
        "family": "ipv4_unicast" if version == 4 else "ipv6_unicast",
        "activate": True,
        "route_reflector_client": session.reflector_client and not outside,
        "next_hop_self": "plain" if session.next_hop_self else "none",
        "maximum_prefix": {"limit": session.maximum_prefix or 0},
        # What is refused can then be counted, and a changed filter needs no new session.
        "soft_reconfiguration_inbound": session.accept is not None,
        "prefix_list_in": "",
    }
    if session.accept is not None:
        name = f"FROM-{session.name}"
        family["prefix_list_in"] = name
        lists.append({"name": name, "family": f"ipv{version}", "entries": _entries(session.accept)})
    item["address_families"] = [family]
    return item


def _entries(accept: list[Accept]) -> list[Item]:
    entries: list[Item] = []
    for one in accept:
        entry: Item = {"prefix": str(one.prefix)}
        for option in ("ge", "le"):
            value = getattr(one, option)
            if value is not None:
                entry[option] = value
        if one.ge is not None and one.le is None:
            entry["le"] = one.prefix.max_prefixlen
        entries.append(entry)
    return entries or [{"prefix": "any", "action": "deny"}]


def _peering(routers: Routers, one: Peering) -> Item:
    return {
        "peer": one.peer,
        "local": str(one.local),
        "remote": str(one.remote),
        "asn": routers.routers[one.peer].speaker.asn,
        "group": one.group,
        "bfd": one.session.bfd,
        **routers.counts.get((one.router, one.peer), {}),
    }

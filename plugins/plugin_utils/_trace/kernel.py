# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel's decisions about a packet, from what trace_info read: routes, reverse path filter, neighbors. Pure.

This file is private to the collection. Sources: ip-route(8), ip-sysctl.rst of the kernel, RFC 3704.
"""

from __future__ import annotations

import ipaddress
import typing as t

Item = t.Dict[str, t.Any]

REFUSED = ("unreachable", "blackhole", "prohibit", "throw")
# The kernel asks the tables in this order, unless policy rules say otherwise.
TABLES = ("local", "main", "default")


class Hop(t.NamedTuple):
    """Where a route leads: the interface, and the gateway or None for the destination itself. mtu: the route's own, in bytes."""

    dev: str
    via: str | None
    mtu: int | None = None


def bare(address: str) -> str:
    """An address without its prefix length."""
    return address.partition("/")[0]


def has_address(space: Item, address: str) -> str | None:
    """The interface of a namespace that has an address, or None."""
    for link in space["links"].values():
        if any(bare(one) == bare(address) for one in link["addresses"]):
            return str(link["name"])
    return None


def route(space: Item, to: str, source: str | None = None, iif: str = "lo") -> Item | None:
    """The route that the kernel takes: of the first table that has one, the longest prefix with the lowest metric.

    A rule of policy routing may name another table, or refuse. iif: where the packet came in; lo where it is made.
    """
    target = ipaddress.ip_address(bare(to))
    for table in _tables(space, to, source, iif):
        if table in REFUSED:
            return {"to": to, "type": table, "table": "rule", "hops": [], "metric": 0}
        fitting = [one for one in space["routes"] if one["table"] == table and _covers(one, target)]
        if fitting:
            return min(fitting, key=lambda one: (-_network(one["to"], target.version).prefixlen, one["metric"]))
    return None


def _tables(space: Item, to: str, source: str | None, iif: str) -> list[str]:
    """The tables in the order in which the kernel asks them, and the word of a rule that refuses."""
    if not space.get("rules6" if ":" in to else "rules"):
        return list(TABLES)
    return [rule["action"] or rule["table"] for rule in _fitting(space, to, source, iif)]


def _fitting(space: Item, to: str, source: str | None, iif: str) -> list[Item]:
    """The rules of policy routing that a packet meets, in their order."""
    rules = space.get("rules6" if ":" in to else "rules") or ()
    return [
        rule
        for rule in sorted(rules, key=lambda one: one.get("priority") or 0)
        if rule["decided"]
        and _within(rule["dst"], to)
        and (_within(rule["src"], source) if source else rule["src"] == "all")
        and rule.get("iif") in (None, iif)
    ]


def ruled(space: Item, found: Item, to: str, source: str | None, iif: str = "lo") -> str | None:
    """The command of ip(8) that takes away the rule which has led a packet to a route of a table of others, or has refused it; or None."""
    table = found["type"] if found["table"] == "rule" else found["table"]
    if table in TABLES:
        return None
    for rule in _fitting(space, to, source, iif):
        if (rule["action"] or rule["table"]) == table:
            return f"{'-6 ' if ':' in to else ''}rule del priority {rule['priority']}"
    return None


def in_table(found: Item) -> str:
    """The table of others that a rule of policy routing has led to, in words."""
    return "" if found["table"] in (*TABLES, "rule") else f" in table {found['table']}, to which a rule leads,"


def asks_main(space: Item) -> bool:
    """Whether a rule of policy routing leads to the table main."""
    return not space.get("rules") or any(rule["table"] == "main" for rule in space["rules"])


def undecided(space: Item) -> list[str]:
    """Rules of policy routing that more decides than addresses and interface, in words."""
    return [
        f"priority {rule.get('priority')}, {rule['action'] or 'table ' + str(rule['table'])}"
        for rule in space.get("rules", ())
        if not rule["decided"]
    ]


def _within(prefix: str | None, address: str) -> bool:
    if prefix in (None, "all"):
        return True
    network, one = ipaddress.ip_network(prefix, strict=False), ipaddress.ip_address(bare(address))
    return network.version == one.version and one in network


def _covers(one: Item, target: t.Any) -> bool:
    if one["dead"] or one["type"] in ("broadcast", "multicast", "anycast"):
        return False
    # `default` says nothing of its family: its gateway does.
    if one["to"] == "default" and any(
        hop["via"] and (":" in hop["via"]) != (target.version == 6) for hop in one["hops"]
    ):
        return False
    network = _network(one["to"], target.version)
    return network.version == target.version and target in network


def _network(to: str, version: int) -> t.Any:
    everything = "0.0.0.0/0" if version == 4 else "::/0"
    return ipaddress.ip_network(everything if to == "default" else to, strict=False)


def hops(found: Item) -> list[Hop]:
    """All next hops of a route."""
    return [Hop(hop["dev"], hop["via"], found.get("mtu")) for hop in found["hops"] if hop["dev"]]


def not_forwarding(space: Item, interface: str, to: str) -> str | None:
    """The parameter by which the kernel does not forward what comes in by an interface, or None."""
    if ":" in to:
        return "net.ipv6.conf.all.forwarding" if space["forwarding6"] == 0 else None
    if space["forwarding"] == 0:
        return "net.ipv4.ip_forward"
    own = (space.get("forwards") or {}).get(interface)
    return f"net.ipv4.conf.{interface}.forwarding" if own == 0 else None


def reverse_path(space: Item, interface: str, source: str) -> str | None:
    """Why the reverse path filter drops a packet that came in by an interface, or None (RFC 3704; IPv4 only)."""
    filters = space["rp_filter"]
    mode = max(filters.get("all") or 0, filters.get(interface) or 0)
    if ":" in source or not mode:
        return None
    back = route(space, source)
    devices = [] if back is None or back["type"] in REFUSED else [hop.dev for hop in hops(back)]
    if mode == 1 and interface not in devices:
        return f"the way back to {source} leads {'by ' + devices[0] if devices else 'nowhere'}"
    if mode == 2 and not devices:
        return f"there is no way back to {source}"
    return None


def neighbor(space: Item, dev: str, address: str) -> Item | None:
    """The entry of an address in the neighbor table, or None."""
    return next((one for one in space["neighbors"] if one["to"] == address and one["dev"] == dev), None)

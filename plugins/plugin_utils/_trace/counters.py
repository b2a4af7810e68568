# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where counters stop to rise: between two reads the packets were sent, so the first hop that did not see them is behind the loss. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import Died
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route

Item = t.Dict[str, t.Any]

# Fewer packets than this may be anybody's.
LEAST = 3
# What a counter of the kernel says: cause, words, and what shows more (snmp_counter.rst and xfrm_proc.rst of the kernel).
DISCARDS = {
    "TcpExtIPReversePathFilter": ("rp-filter", "by its reverse path filter", "sysctl -ar 'rp_filter$'"),
    "IpExtInNoRoutes": ("no-route", "for want of a route", "ip route"),
    "IpOutNoRoutes": ("no-route", "for want of a route", "ip route"),
    "Ip6InNoRoutes": ("no-route", "for want of a route", "ip -6 route"),
    "Ip6OutNoRoutes": ("no-route", "for want of a route", "ip -6 route"),
    "ConntrackDrop": ("conntrack-full", "that it could not track", "sysctl net.netfilter.nf_conntrack_max"),
    "NeighborTableFull": (
        "neighbor-table-full",
        "as its table of neighbors is full",
        "sysctl -a -r 'neigh.default.gc_thresh'",
    ),
    "Xfrm": ("ipsec", "by its policies of IPsec", "ip xfrm policy"),
}
# Whom a port is plugged in for.
ENDS = ("endpoint", "guest", "edge")
OTHER = ("discarded", "as not deliverable, or by a rule", "nstat -asz")


def decide(way: Route, report: Item, before: t.Mapping[str, Item], after: t.Mapping[str, Item]) -> None:
    """Blame the first hop whose counters did not rise, there or back, in the report."""
    for judge, (direction, route) in itertools.product((given_up, stopped), (("there", way), ("back", way.reversed()))):
        found = judge(route, report[direction], before, after)
        if found:
            at = report[direction]["hops"][found["hop"]]
            report.update(died={**found, "direction": direction, "at": at}, undecided=False)
            return


def given_up(way: Route, direction: Item, before: t.Mapping[str, Item], after: t.Mapping[str, Item]) -> Item | None:
    """The hop of a direction whose kernel says why it gave the packets up, or None."""
    for number, hop in enumerate(direction["hops"]):
        space = _space(way, hop)
        first, second = (
            ((read.get(hop["host"]) or {}).get("spaces") or {}).get(space, {}).get("discards", {})
            for read in (before, after)
        )
        rises = {name: count - first.get(name, 0) for name, count in second.items()}
        name = max(rises, key=lambda one: rises[one], default="")
        if name and rises[name] >= LEAST:
            cause, word, look = next((more for key, more in DISCARDS.items() if name.startswith(key)), OTHER)
            inside = f"ip netns exec {space} " if space else ""
            said = f"the kernel of {hop['name']} gave up {rises[name]} packets {word} (its counter {name})"
            return Died(cause, said, "", f"on {hop['host']}: {inside}{look}").data(number)
    return None


def _space(way: Route, hop: Item) -> str:
    """The namespace of a hop; that of the host is without a name."""
    if hop["kind"] == "edge":
        return str(hop["name"]).partition("/")[2]
    ends = [end for leg in way.legs for end in (leg.source, leg.target)]
    return next((end.space or "" for end in ends if hop["kind"] == "endpoint" and end.id == hop["name"]), "")


def stopped(way: Route, direction: Item, before: t.Mapping[str, Item], after: t.Mapping[str, Item]) -> Item | None:
    """The hop of a direction that did not see the packets, or None."""
    passed: int | None = None
    last = ""
    for number, hop in enumerate(direction["hops"]):
        first, second = (_count(way, hop, number, direction["hops"], read) for read in (before, after))
        if first is None or second is None:
            continue
        rise = second - first
        if passed is None:
            if rise < LEAST:
                because = f"{hop['name']} on {hop['host']} sent {rise} packets, of at least {LEAST}"
                return Died("unsent", because, "", "").data(number)
            passed = rise
        elif rise < passed / 2:
            because = f"{hop['name']} on {hop['host']} saw {rise} of {passed} packets; {last} saw them"
            look = f"on {hop['host']}: tcpdump -ni {hop['name']}"
            if any(leg.logical for leg in way.legs) and hop["kind"] == "port":
                # By which port of OVN's the packet comes there only its databases know, so the switch is not asked.
                because += "; what the flows of OVN there do was not read"
                look = f"on {hop['host']}: systemctl restart ovn-controller, which makes its flows anew; tcpdump -ni {hop['name']}"
            return Died("lost", because, "", look).data(number)
        last = f"{hop['name']} on {hop['host']}"
    return None


def _count(way: Route, hop: Item, number: int, hops: list[Item], read: t.Mapping[str, Item]) -> int | None:
    """The counter of a hop for this direction; None where it has none of its own."""
    # From an endpoint, or from an edge on its way: then a port receives what that sends.
    leaves = not number or hops[number - 1]["kind"] in ENDS
    seen = read.get(hop["host"]) or {}
    space, name = "", hop["name"]
    if hop["kind"] == "endpoint" and name in way.world.points:
        end = way.source if name == way.source.id else way.target
        space, name = end.space or "", end.interface
    elif hop["kind"] != "port":
        # The switch tells of its tunnels every few seconds only.
        return None
    link = ((seen.get("spaces") or {}).get(space) or {"links": {}})["links"].get(name)
    sends = leaves == (hop["kind"] == "endpoint")
    return link["sent" if sends else "received"] if link else None

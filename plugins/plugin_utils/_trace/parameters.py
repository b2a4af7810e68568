# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a namespace's kernel stands in the way of packets besides routes and rules: parameters, tables that are full, queues. Pure.

This file is private to the collection. Source: ip-sysctl.rst and nf_conntrack-sysctl.rst of the kernel.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import kernel
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import Died, Path

Item = t.Dict[str, t.Any]

# With these values of arp_ignore a host does not answer for an address of the very interface that is asked.
SILENT = (8,)


class Place(t.NamedTuple):
    """A namespace: its host, its name (empty for the host's own), and what is told of as its owner."""

    host: str
    namespace: str
    who: str

    def inside(self, command: str) -> str:
        """A command in the namespace, as a person gives it on the host."""
        return f"on {self.host}: " + (f"ip netns exec {self.namespace} {command}" if self.namespace else command)


def doubts(path: Path, space: Item, dev: str, place: Place) -> None:
    """What may stop a packet at an interface, and only loss tells."""
    answers = max((space.get("arp_ignore") or {}).get(one) or 0 for one in ("all", dev))
    if answers in SILENT:
        which = next(one for one in (dev, "all") if space["arp_ignore"].get(one) == answers)
        name = f"net.ipv4.conf.{which}.arp_ignore"
        said = f"{place.who} does not answer ARP: {name} is {answers}"
        path.doubt(Died("arp-off", said, f"{name} is 0", place.inside(f"sysctl -w {name}=0")))
    queued(path, space, dev, place)
    count, most = space.get("connections"), space.get("connections_most")
    if count and most and count >= most:
        said = f"connection tracking of {place.who} is full: {count} of {most}"
        name = "net.netfilter.nf_conntrack_max"
        path.doubt(
            Died("conntrack-full", said, "room for new connections", f"on {place.host}: sysctl -w {name}={most * 2}")
        )
    for rule in kernel.undecided(space):
        said = f"a rule of policy routing of {place.who} may take it: {rule}"
        gone = place.inside(f"ip rule del {rule.partition(',')[0]}")
        path.doubt(Died("policy-routing", said, "no rule of others", gone))


def queued(path: Path, space: Item, dev: str, place: Place) -> None:
    """What may stop a packet at an interface below all rules: a queue, or a program of XDP."""
    link = space["links"].get(dev) or {}
    if link.get("queue"):
        said = f"{dev} of {place.who} has the queue {link['queue']}, which may drop or delay"
        path.doubt(Died("queue", said, "no queue of others", place.inside(f"tc -s qdisc show dev {dev}")))
    if link.get("filters"):
        said = f"{dev} of {place.who} has filters of tc, which may drop"
        path.doubt(Died("queue", said, "no filters of others", place.inside(f"tc filter show dev {dev} ingress")))
    if link.get("xdp"):
        said = f"{dev} of {place.who} has a program of XDP, which may drop what comes in"
        path.doubt(Died("xdp", said, "no program of others", place.inside(f"ip link set {dev} xdp off")))


def refused(space: Item, six: bool, place: Place) -> None:
    """Pings that the kernel does not answer."""
    name = "net.ipv6.icmp.echo_ignore_all" if six else "net.ipv4.icmp_echo_ignore_all"
    if space.get("echo_ignored6" if six else "echo_ignored"):
        said = f"{place.who} does not answer pings: {name} is 1"
        raise Died("echo-ignored", said, f"{name} is 0", place.inside(f"sysctl -w {name}=0"))

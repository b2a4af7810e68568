# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A path as it is followed: its hops, where it ended, and what was read of the hosts. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

SITE = "ansible-playbook site.yml"


class Died(Exception):
    """The end of a packet.

    cause: a word for programs; because: a sentence; planned: what the intent says there instead; mend: a command.
    settles: a state of the moment while all that is set is as planned: it may have passed by the next read.
    """

    def __init__(self, cause: str, because: str, planned: str = "", mend: str = SITE, *, settles: bool = False) -> None:
        super().__init__(because)
        self.cause = cause
        self.because = because
        self.planned = planned
        self.mend = mend
        self.settles = settles

    def data(self, hop: int) -> Item:
        """As plain data."""
        told = {"cause": self.cause, "because": self.because, "planned": self.planned, "mend": self.mend}
        return {"hop": hop, **told, "settles": self.settles}


class Path:
    """The hops so far. doubts: what a static read finds odd, and only measured loss makes a cause. remarks: what differs and lets it pass."""

    def __init__(self) -> None:
        self.hops: list[Item] = []
        self.doubts: list[Item] = []
        self.remarks: list[Item] = []

    def at(self, host: str, kind: str, name: str, *notes: str) -> list[str]:
        """Come to a hop; returns its notes, to which more may be added."""
        if self.hops and (self.hops[-1]["host"], self.hops[-1]["kind"], self.hops[-1]["name"]) == (host, kind, name):
            self.hops[-1]["notes"].extend(notes)
        else:
            self.hops.append({"host": host, "kind": kind, "name": name, "notes": list(notes)})
        known: list[str] = self.hops[-1]["notes"]
        return known

    def doubt(self, died: Died) -> None:
        """Note what may be the end of the packet, at the hop at hand."""
        self.doubts.append(died.data(len(self.hops) - 1))

    def remark(self, died: Died) -> None:
        """Note what is not as planned at the hop at hand, and lets the packet pass."""
        self.remarks.append(died.data(len(self.hops) - 1))


class View:
    """What was read. seen: for each host what trace_info returned, with `frr` for what frr_info did."""

    def __init__(self, plan: Item, seen: t.Mapping[str, Item]) -> None:
        self.plan = plan
        self.seen = seen

    def known(self, host: str) -> bool:
        """Whether the host is one that the fabric configures."""
        router = self.plan["routers"].get(host)
        return host in self.plan["hosts"] or bool(router and router["managed"])

    def host(self, host: str) -> Item:
        """All that was read of a host."""
        found = self.seen.get(host) or {"msg": "it was not read"}
        if found.get("unreachable"):
            raise Died(
                "host-down",
                f"{host} does not answer: {_line(found)}",
                f"{host} is up",
                f"ansible {host} -m ansible.builtin.ping",
            )
        if "spaces" not in found:
            raise Died(
                "unread",
                f"{host} could not be read: {_line(found)}",
                "",
                f"ansible {host} -b -m overloom.fabric.trace_info",
            )
        return found

    def space(self, host: str, name: str) -> Item:
        """A network namespace of a host; the empty name is the host's own."""
        spaces: Item = self.host(host)["spaces"]
        if name not in spaces:
            raise Died("namespace-gone", f"there is no network namespace {name} on {host}", f"namespace {name}")
        found: Item = spaces[name]
        return found

    def switch(self, host: str) -> Item:
        """Open vSwitch of a host."""
        found: Item = self.host(host).get("switch") or {"error": "it was not read", "bridges": {}, "traces": {}}
        if found["error"]:
            raise Died(
                "ovs-down",
                f"Open vSwitch on {host} does not answer: {found['error']}",
                "Open vSwitch runs",
                f"on {host}: systemctl restart openvswitch-switch",
            )
        return found

    def bridge(self, host: str, name: str) -> Item:
        """A bridge of a host."""
        bridges = self.switch(host)["bridges"]
        if name not in bridges:
            raise Died("bridge-gone", f"there is no bridge {name} on {host}", f"bridge {name}")
        found: Item = bridges[name]
        return found

    def frr(self, host: str) -> Item:
        """What FRR of a host said; empty where it was not asked."""
        found: Item = (self.seen.get(host) or {}).get("frr") or {}
        return found

    def daemons(self, host: str) -> list[str] | None:
        """The daemons of FRR that run on a host; None when that was not read."""
        return self.frr(host).get("daemons")


def _line(found: Item) -> str:
    return (str(found.get("msg") or "nothing was said").splitlines() or [""])[0]


def sizes(link: Item, size: int, planned: int | None, host: str, mend: str) -> None:
    """Let a packet through an interface that has room for it."""
    if link["mtu"] is not None and size > link["mtu"]:
        because = (
            f"{size} bytes do not fit into the MTU {link['mtu']} of {link['name']} on {host}, and may not be fragmented"
        )
        ours = planned is not None and planned != link["mtu"]
        smaller = "trace a smaller size, or raise fabric_underlay.mtu"
        raise Died("mtu", because, f"MTU {planned}" if planned else "", mend if ours else smaller)


def with_mtu(plan: Item, host: str, dev: str, mtu: t.Any) -> str:
    """The command that gives an interface of the underlay an MTU: Open vSwitch sets that of its ports by itself."""
    switched = (plan["hosts"].get(host) or {"underlay": {"bridge": None}})["underlay"]["bridge"]
    command = f"ovs-vsctl set interface {dev} mtu_request={mtu}" if switched else f"ip link set {dev} mtu {mtu}"
    return f"on {host}: {command}"

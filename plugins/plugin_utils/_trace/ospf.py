# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why two routers of OSPF are no neighbors: what differs at either end of a link, from the plan and from the other end. Pure.

This file is private to the collection. Source: RFC 2328, sections 8.2, 9.5 and 10.6.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import zebra
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import SITE, View, with_mtu

Item = t.Dict[str, t.Any]

# What both ends must have alike: the column, what a person calls it, and the line of FRR that sets it.
ALIKE = (
    ("area", "area", "ip ospf area {}"),
    ("network_type", "network type", "ip ospf network {}"),
    ("hello_interval", "hello interval", "ip ospf hello-interval {}"),
    ("dead_interval", "dead interval", "ip ospf dead-interval {}"),
)
# States of neighbors that hear each other, and have not yet all of each other's databases (RFC 2328, section 10.1).
EXCHANGING = ("ExStart", "Exchange", "Loading")


class Difference(t.NamedTuple):
    """What is not as planned at an end of a link: its host and interface, in words what is there and what is planned, and what mends it.

    lines: of the interface's block; after: a command of vtysh by which they take effect.
    """

    host: str
    dev: str
    has: str
    planned: str
    lines: tuple[str, ...]
    after: str = ""

    def mend(self, view: View) -> str:
        """The command."""
        if not self.lines and self.planned.startswith("MTU "):
            return (
                f"{with_mtu(view.plan, self.host, self.dev, self.planned[4:])}; ansible-playbook site.yml makes it last"
            )
        if not self.lines:
            return SITE
        said = " ".join(f"-c '{line}'" for line in ("configure terminal", f"interface {self.dev}", *self.lines))
        said += f"; vtysh -c '{self.after}'" if self.after else ""
        return f"on {self.host}: vtysh {said}; ansible-playbook site.yml makes it last"


def rows(view: View, host: str) -> dict[str, Item] | None:
    """The interfaces of OSPF of a host, by name; None where they were not read."""
    found = view.frr(host).get("ospf_interfaces")
    return None if found is None else {row["interface"]: row for row in found if row["vrf"] == "default"}


def planned(view: View, host: str) -> dict[str, Item]:
    """The planned interfaces of OSPFv2 of a host, by name."""
    instances = ((view.plan["routers"].get(host) or {}).get("ospf") or {}).get("instances") or []
    return {one["name"]: one for instance in instances if instance["version"] == 2 for one in instance["interfaces"]}


def difference(view: View, ends: t.Sequence[tuple[str, str]], link: Item | None) -> Difference | None:
    """What of the two ends of a link, each a host and its interface, is not as planned; or None."""
    found = [(host, dev, rows(view, host)) for host, dev in ends]
    for host, dev, read in found:
        wanted = planned(view, host).get(dev)
        if read is None or wanted is None:
            continue
        row = read.get(dev)
        if row is None and _without_process(view, host):
            return Difference(host, dev, "does not run, as FRR has no line 'router ospf'", "router ospf", ())
        if row is None:
            return Difference(host, dev, "does not run", f"area {wanted['area']}", (f"ip ospf area {wanted['area']}",))
        if row["passive"] != wanted["passive"]:
            line = "ip ospf passive" if wanted["passive"] else "no ip ospf passive"
            return Difference(host, dev, _passive(row["passive"]), _passive(wanted["passive"]), (line,))
        for column, name, line in ALIKE:
            value = wanted.get(column)
            if value and row[column] and str(row[column]) != str(value):
                return Difference(host, dev, f"has the {name} {row[column]}", f"{name} {value}", (line.format(value),))
        keyed = _keyed(row["authentication"])
        secured = link is not None and link["key_id"] is not None
        if secured != bool(row["authentication"]):
            wants = _keyed("message-digest" if secured else "")
            lines = () if secured else ("no ip ospf authentication",)
            return Difference(host, dev, keyed, wants, lines)
    return _same_router(view, found) or _mtu(view, found)


def alike(view: View, far: str, row: Item | None) -> str:
    """What is left where no end differs, as a part of a sentence. far: the other end; row: the neighbor, None where there is none."""
    if row is None or not row["state"].startswith(EXCHANGING):
        return "; all that OSPF shows is alike at both ends, which leaves a key of its authentication"
    since = row.get("uptime_seconds")
    said = "" if since is None else f" for {since} s"
    if rows(view, far) is None:
        return f"{said}; the MTU of {far} was not read, and may be another one"
    return f"{said}, though all that OSPF shows is alike at both ends: it gets on by itself, or the link loses packets of its databases"


def _without_process(view: View, host: str) -> bool:
    """Whether FRR's configuration was read, and has no process of OSPF."""
    config = zebra.config(view, host)
    return config is not None and ("router ospf",) not in config


def _passive(passive: bool) -> str:
    return "is passive: it neither sends nor takes hellos" if passive else "is not passive"


def _keyed(authentication: str) -> str:
    return f"authenticates by {authentication}" if authentication else "does not authenticate"


def _same_router(view: View, found: t.Sequence[tuple[str, str, dict[str, Item] | None]]) -> Difference | None:
    """Two routers that say to be the same one."""
    known = [(host, dev, (read or {}).get(dev, {}).get("router_id")) for host, dev, read in found]
    if len(known) < 2 or not known[0][2] or known[0][2] != known[1][2]:
        return None
    for host, dev, router_id in known:
        wanted = view.plan["routers"][host]["router_id"]
        if wanted != router_id:
            said = f"has the router ID {router_id}, as the other end has"
            lines = ("exit", "router ospf", f"ospf router-id {wanted}")
            return Difference(host, dev, said, f"router ID {wanted}", lines, "clear ip ospf process")
    return None


def _mtu(view: View, found: t.Sequence[tuple[str, str, dict[str, Item] | None]]) -> Difference | None:
    """Interfaces whose MTUs differ: neighbors then do not come beyond ExStart, unless the smaller end is told to take it."""
    known = [(host, dev, (read or {}).get(dev, {}).get("mtu")) for host, dev, read in found]
    if len(known) < 2 or None in (known[0][2], known[1][2]) or known[0][2] == known[1][2]:
        return None
    host, dev, mtu = min(known, key=lambda one: t.cast(int, one[2]))
    if (f"interface {dev}", "ip ospf mtu-ignore") in (zebra.config(view, host) or {}):
        return None
    most = max(t.cast(int, one[2]) for one in known)
    return Difference(host, dev, f"has the MTU {mtu}, and the other end {most}", f"MTU {most}", ())

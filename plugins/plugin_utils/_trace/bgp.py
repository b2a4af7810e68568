# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a session of BGP does not stand, or does not bring a route: what differs at either end from the plan. Pure.

This file is private to the collection. Sources: RFC 4271, section 6.2; FRR's manual, BGP.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr import bgp as frr_bgp
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import Found
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import MASK, Address, Config, hide, negation
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import conform_options
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import zebra
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.crossing import inside
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import SITE, View

Item = t.Dict[str, t.Any]

# What is left where both ends are as planned.
ALIKE = "; both ends are as planned but for what FRR does not show: a password of one of them, its source address, or what lies between"
FAMILIES = {"ipv4_unicast": "ipv4Unicast", "ipv6_unicast": "ipv6Unicast"}
# Settings of a neighbor by which no session fails to stand, whatever they are.
HARMLESS = ("description", "timers", "advertisement-interval", "bfd")
_FILTER = re.compile(r"neighbor \S+ ((?:prefix-list|route-map|filter-list|distribute-list) \S+) (in|out)$")


class Difference(t.NamedTuple):
    """What is not as planned at an end of a session, in words, what is planned, and what mends it."""

    host: str
    has: str
    planned: str
    mend: str


def difference(view: View, here: str, session: Item) -> Difference | None:
    """What of the two ends of a session is not as planned; None where nothing is, or where it was not read."""
    for host, peer, address in ((here, session["peer"], session["remote"]), (session["peer"], here, session["local"])):
        reasons = view.frr(host).get("bgp_reasons")
        if reasons is None:
            continue
        row = next((one for one in reasons if one["neighbor"] == address), None)
        found = _of_end(view, host, peer, address, row)
        if found:
            return found
    return None


def last_word(view: View, here: str, session: Item) -> str:
    """What one end told the other as it ended the session, as a part of a sentence; empty where nothing was told."""
    for host, address in ((here, session["remote"]), (session["peer"], session["local"])):
        rows = view.frr(host).get("bgp_reasons") or ()
        said = next((row["notification"] for row in rows if row["neighbor"] == address), "")
        if said:
            return f", as {host} last said or was told: {said}"
    return ""


def _of_end(view: View, host: str, peer: str, address: str, row: Item | None) -> Difference | None:
    routers = view.plan["routers"]
    own, other = str(routers[host]["asn"]), str((routers.get(peer) or {}).get("asn"))
    router = (_header(view, host),)
    if row is None:
        said = f"{host} has no neighbor {address}"
        return Difference(
            host, said, f"neighbor {address}", _mend(host, router, f"neighbor {address} remote-as {other}")
        )
    if row["shut_down"]:
        gone = _mend(host, router, f"no neighbor {address} shutdown")
        return Difference(host, f"{host} has it shut down", "not shut down", gone)
    if str(row["local_as"]) != own:
        return Difference(host, f"{host} is AS {row['local_as']}", f"AS {own}", SITE)
    if str(row["remote_as"]) != other and other != "None":
        line = _mend(host, router, f"neighbor {address} remote-as {other}")
        return Difference(host, f"{host} takes {peer} to be AS {row['remote_as']}", f"AS {other}", line)
    for family in _families(view, host, address):
        if FAMILIES.get(family) not in row["families"]:
            words = family.replace("_", " ")
            line = _mend(host, (*router, f"address-family {words}"), f"neighbor {address} activate")
            return Difference(host, f"{host} has {words} not activated for {peer}", f"{words} activated", line)
    return _by_lines(view, host, address)


def _mend(host: str, path: t.Sequence[str], line: str) -> str:
    """The command that takes a line away, or adds one, in the blocks of its path."""
    words = " ".join(f"-c '{one}'" for one in ("configure terminal", *path, line))
    return f"on {host}: vtysh {words}; {SITE} makes it last"


class _Lines(t.NamedTuple):
    """The lines about a neighbor, by their addresses in the configuration. wanted: as frr_bgp writes them of the plan, passwords masked."""

    running: Config
    wanted: Config

    def of_others(self) -> t.Iterator[tuple[Address, str]]:
        """Those that run and that the plan does not have, or has otherwise; one that waits for the other end comes last."""
        added = [(at, line) for at, line in self.running.items() if self.wanted.get(at) != line]
        return iter(sorted(added, key=lambda one: "passive" in one[1]))

    def missing(self) -> t.Iterator[tuple[Address, str]]:
        """Those of the plan that do not run."""
        return ((at, line) for at, line in self.wanted.items() if at not in self.running)


def _lines(view: View, host: str, address: str) -> _Lines | None:
    """None where the configuration was not read, or the plan has no such neighbor."""
    config, instances = zebra.config(view, host), (view.plan["routers"][host].get("bgp") or {}).get("instances") or []
    if config is None:
        return None
    found = Found(config, view.frr(host)["running_config"], (), "", {})
    for instance in instances:
        items = [conform_options(_masked(frr_bgp.INSTANCE, instance), frr_bgp.INSTANCE, "", [])]
        for thing in frr_bgp.things({}, items, found, "", False)[0]:
            if thing.name.endswith(f" neighbor {address}"):
                wanted = {at: hide(line) for at, line in thing.lines.items() if line}
                return _Lines({at: line for at, line in config.items() if thing.holds(at)}, wanted)
    return None


def _masked(spec: t.Mapping[str, Item], item: Item) -> Item:
    """An item of a module's options without its secrets: the plan has them by their place, and FRR's configuration was read without them."""
    values = dict(item)
    for name, value in item.items():
        option = spec.get(name) or {}
        inner = option.get("options")
        if option.get("no_log") and value:
            values[name] = MASK
        elif inner and isinstance(value, list):
            values[name] = [_masked(inner, one) for one in value]
        elif inner and value is not None:
            values[name] = _masked(inner, value)
    return values


def _by_lines(view: View, host: str, address: str) -> Difference | None:
    """A line of the configuration about a session that is not as planned."""
    config, header = zebra.config(view, host) or {}, _header(view, host)
    if (header, "bgp shutdown") in config:
        gone = _mend(host, (header,), "no bgp shutdown")
        return Difference(host, f"{host} has the line 'bgp shutdown'", "no such line", gone)
    lines = _lines(view, host, address)
    if lines is None:
        return None
    for at, line in lines.of_others():
        if _stops(at, line):
            planned = lines.wanted.get(at)
            said = f"{host} has the line '{line}'"
            return Difference(host, said, planned or "no such line", _mend(host, at[:-1], planned or negation(line)))
    for at, line in lines.missing():
        if _stops(at, line):
            secret = hide(line) != line or MASK in line
            return Difference(
                host, f"{host} has no line '{line}'", line, SITE if secret else _mend(host, at[:-1], line)
            )
    return None


def _stops(at: Address, line: str) -> bool:
    """Whether a session may fail to stand by a line. What an address family takes or sends keeps none from it, but too much of it."""
    word = line.partition("neighbor ")[2].split()[1]
    return word == "maximum-prefix" if len(at) > 2 else word not in HARMLESS


def _header(view: View, host: str) -> str:
    return f"router bgp {view.plan['routers'][host]['asn']}"


def _families(view: View, host: str, address: str) -> list[str]:
    """The planned address families of a neighbor."""
    instances = (view.plan["routers"][host].get("bgp") or {}).get("instances") or []
    rows = [one for instance in instances for one in instance["neighbors"] if one["neighbor"] == address]
    return [family["family"] for row in rows for family in row["address_families"] if family.get("activate")]


def dropped(view: View, here: str, session: Item) -> Difference | None:
    """Why a session that stands brings fewer prefixes: what its sender sends, or its taker takes, is not as planned."""
    peer = session["peer"]
    for host, other, address, way in ((peer, here, session["local"], "out"), (here, peer, session["remote"], "in")):
        lines = _lines(view, host, address) if host in view.plan["routers"] else None
        found = lines and (
            _filtered(host, other, lines, way) or (_next_hop(host, other, lines) if way == "out" else None)
        )
        if found:
            return found
    return None


def _filtered(host: str, other: str, lines: _Lines, way: str) -> Difference | None:
    """A filter of one direction that the plan does not have."""
    for at, line in lines.of_others():
        kind = _FILTER.match(line)
        if kind and kind[2] == way:
            does = "takes from" if way == "in" else "sends to"
            said = f"{host} filters what it {does} {other} by {kind[1]}"
            return Difference(host, said, "no such filter", _mend(host, at[:-1], f"no {line}"))
    return None


def _next_hop(host: str, other: str, lines: _Lines) -> Difference | None:
    """A next hop that is left as it is, and that the other end may not reach."""
    for at, line in lines.missing():
        if "next-hop-self" in line:
            said = f"{host} does not make itself the next hop of what it sends to {other}"
            return Difference(host, said, "next-hop-self", _mend(host, at[:-1], line))
    return None


def silent(view: View, owner: str, target: str) -> Difference | None:
    """A network that the router which has an address does not announce, though it is planned to; None also where its lines were not read."""
    router, config = view.plan["routers"].get(owner) or {}, zebra.config(view, owner)
    net = next((one for one in router.get("networks") or () if inside(target, one)), None)
    if net is None or config is None or _announced(config, net):
        return None
    path = (_header(view, owner), f"address-family {'ipv6' if ':' in net else 'ipv4'} unicast")
    said = f"{owner} does not announce {net}: its BGP has no line 'network {net}'"
    return Difference(owner, said, f"network {net}", _mend(owner, path, f"network {net}"))


def _announced(config: Config, net: str) -> bool:
    return any(path[-1] == f"network {net}" for path in config)

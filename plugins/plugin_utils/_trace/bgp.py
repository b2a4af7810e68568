# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a session of BGP does not stand, or does not bring a route: what differs at either end from the plan. Pure.

This file is private to the collection. Sources: RFC 4271, section 6.2; FRR's manual, BGP.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import Config, negation
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import zebra
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.crossing import inside
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import SITE, View

Item = t.Dict[str, t.Any]

# What is left where both ends are as planned.
ALIKE = "; both ends are as planned but for what FRR does not show: a password of one of them, its source address, or what lies between"
FAMILIES = {"ipv4_unicast": "ipv4Unicast", "ipv6_unicast": "ipv6Unicast"}
# Lines about a neighbor that keep no session from standing.
HARMLESS = (
    "remote-as",
    "description",
    "bfd",
    "timers",
    "advertisement-interval",
    "peer-group",
    "interface",
    "shutdown",
)
# Options of the plan that are not called as the word of their line.
OPTIONS = {"ttl-security": "ttl_security_hops", "capability": "extended_nexthop"}
# Lines that both ends of a session need, or none.
SHARED = ("password", "ttl_security_hops", "ebgp_multihop", "update_source", "disable_connected_check")
_FILTER = re.compile(r"neighbor \S+ (prefix-list|route-map|filter-list|distribute-list) (\S+) (in|out)$")
_FILTERS = {"prefix-list": "prefix_list_", "route-map": "route_map_", "filter-list": "as_path_list_"}

# Words of lines that belong to an address family.
_FAMILY_WORDS = (
    "activate",
    "route-reflector-client",
    "route-server-client",
    "next-hop-self",
    "send-community",
    "soft-reconfiguration",
    "default-originate",
    "weight",
    "allowas-in",
    "as-override",
    "remove-private-AS",
    "addpath-tx-all-paths",
    "attribute-unchanged",
    *_FILTERS,
    "distribute-list",
)


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


def _by_lines(view: View, host: str, address: str) -> Difference | None:
    """A line of the configuration about a session that is not as planned; one that waits for the other end is told last."""
    found = _lines(view, host, address)
    wanted = _neighbor(view, host, address)
    if found is None or wanted is None:
        return None
    for path, line in sorted(found, key=lambda one: "passive" in one[1]):
        if not _as_planned(line, wanted):
            said = f"{host} has the line '{line}'"
            return Difference(host, said, "no such line", _mend(host, path, negation(line)))
    having = {_option(line) for _path, line in found}
    for option in SHARED:
        if wanted.get(option) and option not in having and not wanted.get("peer_group"):
            said = f"{host} has no {option.replace('_', ' ')} for it"
            return Difference(host, said, f"{option.replace('_', ' ')} as in the intent", SITE)
    return None


def _lines(view: View, host: str, address: str) -> list[tuple[tuple[str, ...], str]] | None:
    """The lines about a neighbor, and that which shuts all down, each with the blocks around it; None where they were not read."""
    config, header = zebra.config(view, host), _header(view, host)
    if config is None:
        return None
    return [
        (path[:-1], line)
        for path, line in config.items()
        if path[0] == header and (line.startswith(f"neighbor {address} ") or line == "bgp shutdown")
    ]


def _header(view: View, host: str) -> str:
    return f"router bgp {view.plan['routers'][host]['asn']}"


def _option(line: str) -> str:
    word = line.split()[2] if line.startswith("neighbor ") else line
    return OPTIONS.get(word, word.replace("-", "_"))


def _as_planned(line: str, wanted: Item) -> bool:
    """Whether a line about a session is one of the plan. What an address family takes or sends keeps no session from standing, but too much of it."""
    if line == "bgp shutdown":
        return False
    word, rest = line.split()[2], line.split()[3:]
    if word == "maximum-prefix":
        limits = [(one.get("maximum_prefix") or {}).get("limit") for one in wanted["address_families"]]
        return rest[0] in map(str, limits)
    if word in HARMLESS or word in _FAMILY_WORDS:
        return True
    value = wanted.get(_option(line))
    return bool(value) and (isinstance(value, bool) or word == "password" or not rest or str(value) in rest)


def _neighbor(view: View, host: str, address: str) -> Item | None:
    """A neighbor as the plan has it."""
    instances = (view.plan["routers"][host].get("bgp") or {}).get("instances") or []
    return next((one for instance in instances for one in instance["neighbors"] if one["neighbor"] == address), None)


def _families(view: View, host: str, address: str) -> list[str]:
    """The planned address families of a neighbor."""
    found = _neighbor(view, host, address) or {"address_families": []}
    return [family["family"] for family in found["address_families"] if family.get("activate")]


def dropped(view: View, here: str, session: Item) -> Difference | None:
    """A filter at an end of a session that the plan does not have, or a next hop that is left as it is."""
    peer = session["peer"]
    for host, other, address, way in (
        (peer, here, session["local"], "out"),
        (here, peer, session["remote"], "in"),
    ):
        if host not in view.plan["routers"]:
            continue
        wanted = (_neighbor(view, host, address) or {}).get("address_families") or []
        found = _lines(view, host, address) or []
        for path, line in found:
            kind = _FILTER.match(line)
            if not kind or kind[3] != way:
                continue
            option = _FILTERS.get(kind[1], "distribute_list_") + way
            if kind[2] not in [one.get(option) for one in wanted]:
                does = "takes from" if way == "in" else "sends to"
                said = f"{host} filters what it {does} {other} by {kind[1]} {kind[2]}"
                return Difference(host, said, "no such filter", _mend(host, path, f"no {line}"))
        itself = [one for one in wanted if one.get("next_hop_self") in ("plain", "force") and one.get("activate")]
        if way == "out" and found and itself and not any("next-hop-self" in line for _path, line in found):
            said = f"{host} does not make itself the next hop of what it sends to {other}"
            path = (_header(view, host), "address-family " + itself[0]["family"].replace("_", " "))
            return Difference(host, said, "next-hop-self", _mend(host, path, f"neighbor {address} next-hop-self"))
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

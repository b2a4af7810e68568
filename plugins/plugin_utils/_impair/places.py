# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a tunnel, a link or an endpoint's port is impaired: the interfaces that its packets leave by, on each host. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import difflib
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._impair.effects import EFFECTS, declared
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import DST_PORTS, IN_NAMESPACE
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import tep_address

Item = t.Dict[str, t.Any]
# The ends of a cable, each as host:interface.
Cable = t.Sequence[str]
# A host and its NIC.
End = t.Tuple[str, str]

OFF = "off"
KINDS = ("tunnel", "link", "endpoint")
_GRE, _UDP = 47, 17


class ImpairError(Exception):
    """What cannot be impaired, in one sentence."""


def effect(text: str) -> Item:
    """The options of an effect in words, such as `delay=50ms,loss=1%` or `cut`. Raises ImpairError."""
    words = [word for word in re.split(r"[\s,=]+", text.strip()) if word]
    found: Item = {}
    while words:
        key = words.pop(0)
        if key not in EFFECTS:
            raise ImpairError(f"impair={text!r}: {key!r} is none of {', '.join(EFFECTS)}; or give off, to end one.")
        if key != "cut" and not words:
            raise ImpairError(f"impair={text!r}: {key} has no value; write it like impair=delay=50ms,loss=1%.")
        found[key] = True if key == "cut" else words.pop(0)
    if not found:
        raise ImpairError("impair is empty; give cut, off, or an effect like impair=delay=50ms,loss=1%.")
    return found


def cables_of(plan: Item, given: t.Sequence[Cable]) -> list[Cable]:
    """The cables of a fabric: those of the lab, those of the plan's links, and without either the underlay's switch, which all NICs are plugged into."""
    linked = [[f"{end['host']}:{end['interface']}" for end in link["ends"]] for link in plan["links"]]
    cables = [list(cable) for cable in given] + [cable for cable in linked if len(cable) > 1]
    if not cables:
        nics = [f"{host}:{nic}" for host, one in plan["hosts"].items() for nic in one["underlay"]["nics"]]
        cables = [nics] if len(nics) > 1 else []
    return list({tuple(sorted(cable)): cable for cable in cables}.values())


def places(plan: Item, cables: t.Sequence[Cable], kind: str, name: str) -> dict[str, list[Item]]:
    """For each host the interfaces that are impaired, with the packets if it is not all, as options of link_impairment. Raises ImpairError."""
    find = {"tunnel": _tunnel, "link": _link, "endpoint": _endpoint}[kind]
    found: dict[str, list[Item]] = {}
    for host, place in find(plan, cables, name):
        label = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{kind}-{name.replace('/', '-')}-{place['interface']}")
        found.setdefault(host, []).append({"name": label[:64], **place})
    return found


def with_effect(found: dict[str, list[Item]], options: Item, length: str) -> dict[str, list[Item]]:
    """The places with their effect, checked as the hosts will. Raises ImpairError."""
    try:
        made = {host: [{**place, **options, "for": length} for place in items] for host, items in found.items()}
        for items in made.values():
            for item in items:
                declared(item)
    except FabricError as error:
        raise ImpairError(f"{error}.") from None
    return made


def pairs_with_tunnels(plan: Item) -> list[tuple[str, str]]:
    """The pairs of hosts with a tunnel of whichever overlay between them, each once."""
    hosts = list(plan["hosts"])
    return [
        (one, other) for number, one in enumerate(hosts) for other in hosts[number + 1 :] if _matches(plan, one, other)
    ]


def _two(plan: Item, kind: str, name: str) -> tuple[str, str]:
    one, slash, other = name.partition("/")
    if not (slash and one and other):
        example = "kvm1/web1" if kind == "endpoint" else "kvm1/kvm2"
        raise ImpairError(f"{kind}={name}: write it like {kind}={example}.")
    hosts = [*plan["hosts"], *(router for router in plan["routers"] if router not in plan["hosts"])]
    if one not in hosts:
        raise ImpairError(f"{kind}={name}: the plan has no host {one}{_meant(one, hosts)}.")
    return one, other


def _meant(name: str, names: t.Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]}?"[:-1] if close else f"; it has {', '.join(sorted(names)[:12])}"


def _matches(plan: Item, host: str, peer: str) -> list[Item]:
    """The outer headers of the tunnels from a host to another; none where they have no tunnel."""
    ends = {name: tep_address(plan, name) for name in (host, peer)}
    found = [
        _outer(row["type"], row["dst_port"]) for row in plan["hosts"][host]["tunnels"] if row["remote_ip"] == ends[peer]
    ]
    if plan["hosts"][host]["ovn_chassis"] and plan["hosts"][peer]["ovn_chassis"]:
        found += [_outer(one, "") for one in plan["hosts"][host]["ovn_chassis"]["encapsulations"]]
    rows = [{"source": ends[host], "destination": ends[peer], **outer} for outer in found]
    return [row for number, row in enumerate(rows) if row not in rows[:number]]


def _outer(encapsulation: str, port: t.Any) -> Item:
    if encapsulation in DST_PORTS:
        return {"protocol": _UDP, "port": int(port or DST_PORTS[encapsulation])}
    return {"protocol": _GRE} if encapsulation in ("gre", "ip6gre") else {}


def _tunnel(plan: Item, _cables: t.Sequence[Cable], name: str) -> t.Iterator[tuple[str, Item]]:
    one, other = _two(plan, "tunnel", name)
    known = pairs_with_tunnels(plan)
    if (one, other) not in known and (other, one) not in known:
        names = [f"{first}/{second}" for first, second in known]
        raise ImpairError(
            f"tunnel={name}: the plan has no tunnel between {one} and {other}; it has {', '.join(names[:12]) or 'none'}."
        )
    if plan["underlay"]["vlan"] is not None:
        raise ImpairError(
            f"tunnel={name}: the underlay's packets have the VLAN tag {plan['underlay']['vlan']} on their NICs, so their addresses are not seen;"
            " impair a link instead."
        )
    for host, peer in ((one, other), (other, one)):
        for nic in plan["hosts"][host]["underlay"]["nics"]:
            yield host, {"interface": nic, "matches": _matches(plan, host, peer)}


def _link(plan: Item, cables: t.Sequence[Cable], name: str) -> t.Iterator[tuple[str, Item]]:
    one, other = _two(plan, "link", name)
    split = [[_host_and_nic(end) for end in cable] for cable in cables]
    by_nic = next((cable for cable in split if (one, other) in cable), None)
    for host, nic in _ends_at(by_nic, (one, other)) if by_nic else _ends_between(split, one, other, name):
        yield host, {"interface": nic}


def _host_and_nic(end: str) -> End:
    host, _colon, nic = end.partition(":")
    return host, nic


def _ends_at(cable: t.Sequence[End], end: End) -> list[End]:
    """A NIC, and the other end of its cable: all packets from there are for this one. From a switch they are not."""
    return [end, *(one for one in cable if one != end)] if len(cable) == 2 else [end]


def _ends_between(cables: t.Sequence[t.Sequence[End]], one: str, other: str, name: str) -> list[End]:
    """Both ends of each cable from host to host."""
    between = [cable for cable in cables if {one, other} <= {host for host, _nic in cable}]
    direct = [cable for cable in between if len(cable) == 2]
    if between and not direct:
        nics = [f"{host}/{nic}" for host, nic in between[0] if host in (one, other)]
        raise ImpairError(
            f"link={name}: both are plugged into a switch with others; name a NIC, as in link={nics[0]}, or a tunnel."
        )
    if not direct:
        names = ["/".join(host for host, _nic in cable) for cable in cables if len(cable) == 2]
        raise ImpairError(
            f"link={name}: there is no cable between {one} and {other}, and no NIC {other} of {one} that has one;"
            f" there are {', '.join(names[:12]) or 'none'}."
        )
    return [end for cable in direct for end in cable]


def _endpoint(plan: Item, _cables: t.Sequence[Cable], name: str) -> t.Iterator[tuple[str, Item]]:
    host, _name = _two(plan, "endpoint", name)
    point = next((one for one in plan["endpoints"] if one["id"] == name), None)
    if point is None:
        raise ImpairError(
            f"endpoint={name}: the plan has no such endpoint{_meant(name, [one['id'] for one in plan['endpoints']])}."
        )
    place = (point.get("namespace", point["name"]), point["interface"])
    outer = next((s["outer"] for s in plan["hosts"][host]["namespaces"] if (s["name"], s["interface"]) == place), None)
    if point["kind"] not in IN_NAMESPACE or outer is None:
        raise ImpairError(
            f"endpoint={name}: it is a {point['kind']}, whose own packets the host sees only as they come; name a tunnel or a link."
        )
    yield host, {"interface": outer}
    yield host, {"interface": place[1], "netns": place[0]}

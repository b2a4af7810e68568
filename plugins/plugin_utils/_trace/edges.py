# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Through an edge: from one segment to the next by a namespace that routes, with its policy and NAT. Pure.

This file is private to the collection. Source: netfilter's packet flow, nft(8).
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.edges import TABLE
from ansible_collections.overloom.fabric.plugins.plugin_utils._policy.model import from_data
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import ends, kernel, nft, parameters
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.crossing import inside
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.packet import End, Packet
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import Died, Path, View, sizes
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route

Item = t.Dict[str, t.Any]

DENIED = "denied"


def own(leg: Route, target: End) -> bool:
    """Whether the end of a leg is the edge that has the target's address on another interface."""
    return (leg.target.host, leg.target.space) == (target.host, target.space)


def through(view: View, path: Path, before: Route, leg: Route) -> None:
    """In by the end of one leg, and out by the beginning of the next."""
    entry, leaving = before.target, leg.source
    host, name = leaving.host or "", leaving.space or ""
    notes = path.at(host, "edge", f"{host}/{name}")
    if entry.host is not None:
        space = _entered(view, path, before)
    space, link = ends.interface(view, leaving)
    if entry.host is not None:
        ends.forwards(space, entry, leg.packet.target, "an edge forwards")
    hop = ends.routed(space, leg, link, entry.interface or "lo")
    notes.append(f"route to {leg.packet.target}: dev {hop.dev}" + (f" via {hop.via}" if hop.via else ""))
    _room(leg, link, leaving)
    _forwarded(path, space, before, leg)
    for end in (entry, leaving):
        parameters.doubts(path, space, end.interface or "", ends.place(leaving))
    _owned(space, before.packet, leg)
    notes += _translation(before.packet, leg.packet)
    ends.neighbor(path, leg, space, hop)


def _owned(space: Item, came: Packet, leg: Route) -> None:
    """The address that the source becomes, which nobody but the edge answers for."""
    address, end = leg.packet.source, leg.source
    asked = not leg.packet.answer and address != came.source and leg.crossing.on_link(end.segment or "", address)
    if asked and kernel.has_address(space, address) is None:
        said = f"{end.host}/{end.space} does not have the address {address}, which it makes the source, so that no answer comes back"
        raise Died("address", said, f"{address} on {end.interface}")


def _entered(view: View, path: Path, before: Route) -> Item:
    """In by an interface of the edge, as far as the translation of the target."""
    entry = before.target
    space, link = ends.interface(view, entry)
    _room(before, link, entry)
    ends.reverse_path(space, before)
    coming = ends.met(before, entry.interface or "", "")
    for hook in ("ingress", "prerouting"):
        ends.filtered(path, space, hook, coming, ends.place(entry))
    return space


def _room(leg: Route, link: Item, end: End) -> None:
    planned = ends.mtu(leg, end)
    mend = f"on {end.host}: " + ends.entered(end.space or "", f"link set {end.interface} mtu {planned}")
    sizes(link, leg.packet.size, planned, end.host or "", mend)


def _forwarded(path: Path, space: Item, before: Route, leg: Route) -> None:
    """The policy, and NAT as the table has it against NAT as planned."""
    host, name = leg.source.host or "", leg.source.space or ""
    came, left = before.packet, leg.packet
    iif, oif = before.target.interface or "", leg.source.interface or ""
    original = left.original if not left.answer else None
    arrived = nft.Met(came.source, came.target, came.protocol, came.port, iif, "", came.answer)
    _tracked(path, space, before, leg, arrived)
    if not left.answer:
        wanted = (left.target, left.port) if left.original and not came.original else None
        _nat(space, "prerouting", arrived, wanted, host, name)
    met = nft.Met(
        came.source, left.target, left.protocol, (came if left.answer else left).port, iif, oif, left.answer, original
    )
    _policy(path, space, leg, met)
    ends.filtered(path, space, "postrouting", met, ends.place(leg.source))
    if not left.answer:
        _nat(space, "postrouting", met, (left.source, None) if left.source != came.source else None, host, name)
    ends.filtered(path, space, "egress", met, ends.place(leg.source))


def _tracked(path: Path, space: Item, before: Route, leg: Route, arrived: nft.Met) -> None:
    """A rule of others by which the edge does not know the packet's connection: it is not translated then, and no answer."""
    rule, name = nft.untracked(space["firewall"], "prerouting", arrived), leg.source.space or ""
    if rule is None:
        return
    said = (
        f"edge {name} does not track its connection, so that there is neither NAT nor an answer of it, by {rule.rule}"
    )
    died = Died("firewall", said, "no rule of the fabric", ends.place(leg.source).inside(rule.mend))
    unknown = arrived._replace(oif=leg.source.interface or "", untracked=True)
    translated = (before.packet.source, before.packet.target) != (leg.packet.source, leg.packet.target)
    if rule.certain and (translated or nft.verdict(space["firewall"], "forward", unknown)):
        raise died
    path.doubt(died)


def _policy(path: Path, space: Item, leg: Route, met: nft.Met) -> None:
    """The chain of the policy: what it drops as declared is told by the rule of the intent."""
    name = leg.source.space or ""
    edge = next(one for one in leg.plan["edges"] if one["name"] == name)
    ruling, declared = nft.verdict(space["firewall"], "forward", met), decision(edge, met)
    if ruling and ruling.certain and ruling.table == ends.OURS and declared and declared[1] == "deny":
        counted = "" if ruling.packets is None else f" (its counter {ruling.counter}: {ruling.packets} packets)"
        rule = f"fabric_policy[{declared[0]}]" if declared[0] else "no rule of fabric_policy"
        said = f"{rule} denies it" if declared[0] else f"{rule} allows it"
        mend = rule if declared[0] else "a rule of fabric_policy with action: allow"
        raise Died("policy", f"edge {name} drops it, as {said}{counted}", "the same: the intent denies it", mend)
    planned = f"fabric_policy[{declared[0]}] allows it" if declared and declared[0] else "no rule of the fabric"
    ends.filtered(path, space, "forward", met, ends.place(leg.source), planned)
    if declared and declared[1] == "deny" and not ruling:
        rule = f"fabric_policy[{declared[0]}] denies it" if declared[0] else "no rule of fabric_policy allows it"
        path.remark(
            Died("policy", f"edge {name} lets it pass, though {rule}: its table of nftables is not as planned", rule)
        )


def decision(edge: Item, met: nft.Met) -> tuple[str, str] | None:
    """Name and action of the rule of the intent that decides; without a name where none does. None for answers."""
    if met.reply:
        return None
    for data in edge["rules"]:
        rule = from_data(data)
        ports = rule.protocol not in ("tcp", "udp") or not rule.ports or _between(met.port, rule.ports)
        places = [(rule.sources, met.source), (rule.targets, met.target)]
        here = all(not side or any(inside(address, str(one.network)) for one in side) for side, address in places)
        if here and ports and rule.protocol in (None, met.protocol):
            return rule.name, data["action"]
    return ("", "allow") if met.original else ("", "deny")


def _between(port: int | None, ranges: t.Iterable[tuple[int, int]]) -> bool:
    return port is not None and any(low <= port <= high for low, high in ranges)


def _nat(space: Item, hook: str, met: nft.Met, wanted: tuple[str, int | None] | None, host: str, name: str) -> None:
    """Hold the translation that the tables make against the planned one. wanted: address and port, or None for none."""
    if space["firewall"] is None:
        return
    found = nft.translation(space["firewall"], hook, met)
    made = None if found is None else (found.address, found.port)
    # Masquerade takes the address of the interface.
    if wanted and found and (found.address in (None, wanted[0])) and found.port in (None, wanted[1]):
        return
    if made is None and wanted is None:
        return
    which = "target" if hook == "prerouting" else "source"
    planned = f"the {which} becomes {_spelled(*wanted)}" if wanted else f"the {which} stays"
    done = f"translates the {which} by {found.rule}" if found else f"does not translate the {which}"
    look = f"on {host}: ip netns exec {name} nft list table inet {TABLE}; then ansible-playbook site.yml"
    raise Died("nat", f"edge {name} {done}", planned, look)


def _translation(came: Packet, left: Packet) -> list[str]:
    """What becomes of the header, in words."""
    notes = []
    if came.target != left.target:
        ports = (came.port, left.port) if not left.answer else (None, None)
        notes.append(f"target {_spelled(came.target, ports[0])} becomes {_spelled(left.target, ports[1])}")
    if came.source != left.source:
        ports = (came.port, left.port) if left.answer else (None, None)
        notes.append(f"source {_spelled(came.source, ports[0])} becomes {_spelled(left.source, ports[1])}")
    return notes


def _spelled(address: str, port: int | None) -> str:
    shown = f"[{address}]" if ":" in address and port else address
    return f"{shown}:{port}" if port else address

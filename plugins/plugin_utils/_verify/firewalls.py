# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hosts' own firewalls drop of the fabric's underlay, by their rules: tunnels, pings between tunnel endpoints, routing, what routers forward. Pure.

What a rule drops is a reason for checks that fail, and nothing by itself. This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.nft import Met, Ruling, verdict

Item = t.Dict[str, t.Any]

# The port or protocol of each encapsulation (RFC 8926, RFC 7348; Linux's old VXLAN port is not Open vSwitch's).
TUNNELS: t.Dict[str, t.Tuple[str, t.Optional[int]]] = {
    "geneve": ("udp", 6081),
    "vxlan": ("udp", 4789),
    "gre": ("gre", None),
}
# Where OSPF speaks to all routers, and the port of BFD's control packets (RFC 2328, RFC 5881).
ALL_ROUTERS = {4: "224.0.0.5", 6: "ff02::5"}
BFD, BGP = 3784, 179


class Packet(t.NamedTuple):
    """A packet of the fabric at a host.

    hook: `input` or `forward`. what: it in words. kinds: the checks that fail without it; none is all that cross a tunnel. ends: the two hosts
    between which these are.
    """

    host: str
    hook: str
    met: Met
    what: str
    kinds: tuple[str, ...]
    ends: frozenset[str]


class Dropped(t.NamedTuple):
    """A packet with the rule or policy that drops it."""

    packet: Packet
    ruling: Ruling

    @property
    def look(self) -> str:
        """The command that shows the rule."""
        return f"on {self.packet.host}: {self.ruling.look}"


# How many packets a sentence tells of.
TOLD = 2


def sentences(found: t.Sequence[Dropped]) -> list[str]:
    """For a person, one of each rule: whose firewall drops what."""
    by_rule: dict[tuple[str, str, str], list[str]] = {}
    for one in found:
        by_rule.setdefault((one.packet.host, one.packet.hook, one.ruling.rule), []).append(one.packet.what)
    told = []
    for (host, hook, rule), whats in by_rule.items():
        verb = "does not forward" if hook == "forward" else "drops"
        more = f" and {len(whats) - TOLD} more" if len(whats) > TOLD else ""
        told.append(f"{host}'s own firewall {verb} {', '.join(whats[:TOLD])}{more}: {rule}")
    return told


def dropped(plan: Item, seen: t.Mapping[str, Item]) -> list[Dropped]:
    """What is certainly dropped. seen: what trace_info returned of hosts and routers; nothing where it was not asked."""
    kernel = {
        (host, name)
        for host, one in seen.items()
        for name, bridge in ((one.get("switch") or {}).get("bridges") or {}).items()
        if bridge["datapath_type"] != "netdev"
    }
    found = []
    rules: dict[tuple[str, str], list[Item]] = {}
    for packet in packets(plan, kernel):
        place = (packet.host, packet.hook)
        if place not in rules:
            space = (seen.get(packet.host) or {}).get("spaces", {}).get("") or {}
            rules[place] = _filtering(space.get("firewall") or [], packet.hook)
        ruling = verdict(rules[place], packet.hook, packet.met)
        if ruling and ruling.certain:
            found.append(Dropped(packet, ruling))
    return found


def _filtering(ruleset: t.Sequence[Item], hook: str) -> list[Item]:
    """The tables that filter at a hook: the thousands of rules of a NAT, as Kubernetes has them, need not be gone through for each packet."""
    chains = [one["chain"] for one in ruleset if one.get("chain")]
    hooked = [chain for chain in chains if chain.get("hook") == hook and chain.get("type") != "nat"]
    tables = {(chain["family"], chain["table"]) for chain in hooked}
    return [one for one in ruleset for row in one.values() if (row.get("family"), row.get("table")) in tables]


def packets(plan: Item, kernel: t.Container[tuple[str, str]]) -> list[Packet]:
    """What the hosts have to take in and to forward. kernel: the bridges, (host, name), whose tunnels pass the kernel's firewall."""
    return [*_tunnels(plan, kernel), *_pings(plan), *_routing(plan), *_sessions(plan), *_forwarded(plan)]


def _teps(plan: Item) -> dict[str, str]:
    return {tep["host"]: tep["address"] for tep in plan["teps"]}


def _entry(plan: Item, host: str, source: str) -> str:
    """The interface by which a host's packets from an address come in: its tunnel endpoint's, or on a routed underlay the link's."""
    hop = _hop(plan, host, source)
    return hop[0] if hop else str(plan["hosts"][host]["underlay"]["tep"]["name"])


def _tunnels(plan: Item, kernel: t.Container[tuple[str, str]]) -> t.Iterator[Packet]:
    host_of = {address: host for host, address in _teps(plan).items()}
    for name, host in plan["hosts"].items():
        for tunnel in host["tunnels"]:
            far = host_of.get(tunnel["remote_ip"])
            local = _teps(plan).get(name)
            if tunnel["type"] not in TUNNELS or not far or not local or (name, tunnel["bridge"]) not in kernel:
                continue
            protocol, port = TUNNELS[tunnel["type"]]
            port = int(tunnel["dst_port"]) if port and tunnel["dst_port"] else port
            said = f"UDP port {port}" if port else "GRE (protocol 47)"
            met = Met(tunnel["remote_ip"], local, protocol, port, _entry(plan, name, tunnel["remote_ip"]), "")
            what = f"tunnels from {far} ({said} from {tunnel['remote_ip']})"
            yield Packet(name, "input", met, what, (), frozenset((name, far)))


def _pings(plan: Item) -> t.Iterator[Packet]:
    teps = _teps(plan)
    for name, own in teps.items():
        for far, address in teps.items():
            if name == far or name not in plan["hosts"] or (":" in own) != (":" in address):
                continue
            met = Met(address, own, "icmp", None, _entry(plan, name, address), "")
            what = f"pings from {far} to its tunnel endpoint ({address} to {own})"
            yield Packet(name, "input", met, what, ("tep-ping", "tep-mtu"), frozenset((name, far)))


def _routing(plan: Item) -> t.Iterator[Packet]:
    """OSPF and BFD of links, at both ends."""
    for link in plan["links"]:
        for end in link["ends"]:
            for far in link["ends"]:
                if far is end or not link["ospf"] or end["passive"] or far["passive"]:
                    continue
                ends = frozenset((end["host"], far["host"]))
                # Those of OSPFv3 come from link-local addresses.
                for version, source, target in ((4, far["address"], end["address"]), (6, "fe80::1", "fe80::2")):
                    if not (end["address"] if version == 4 else end["address6"]):
                        continue
                    met = Met(source, ALL_ROUTERS[version], "ospf", None, end["port"], "")
                    what = f"OSPF from {far['host']} on {end['port']} (protocol 89)"
                    yield Packet(end["host"], "input", met, what, ("adjacency",), ends)
                    if end["bfd"]:
                        met = met._replace(target=target, protocol="udp", port=BFD)
                        what = f"BFD from {far['host']} on {end['port']} (UDP port {BFD})"
                        yield Packet(end["host"], "input", met, what, ("adjacency",), ends)


def _sessions(plan: Item) -> t.Iterator[Packet]:
    """BGP, from a peer that begins the connection."""
    for name, router in plan["routers"].items():
        for session in router["sessions"]:
            own = session.get("local")
            if router["managed"] and own:
                met = Met(session["remote"], own, "tcp", BGP, "", "")
                what = f"BGP from {session['peer']} ({session['remote']}, TCP port {BGP})"
                yield Packet(name, "input", met, what, ("session",), frozenset((name, session["peer"])))


def _hop(plan: Item, host: str, target: str) -> tuple[str, str] | None:
    """Where a router sends packets for a tunnel endpoint: its own interface, and the address of the next one."""
    routes = (plan["routers"].get(host) or {"routes": ()})["routes"]
    route = next((one for one in routes if one["prefix"].partition("/")[0] == target), None)
    hop = route["nexthops"][0] if route and route["nexthops"] else None
    return (hop["interface"], hop["address"] or "") if hop else None


def _forwarded(plan: Item) -> t.Iterator[Packet]:
    """What comes by a router on its way between two tunnel endpoints."""
    owners = {end["address"]: end for link in plan["links"] for end in link["ends"] if end["address"]}
    teps = _teps(plan)
    for source, address in teps.items():
        for target, far in teps.items():
            here, passed = source, {source}
            while here != target:
                hop = _hop(plan, here, far)
                entered = owners.get(hop[1]) if hop else None
                if entered is None or entered["host"] in passed:
                    break
                here = entered["host"]
                passed.add(here)
                onward = _hop(plan, here, far)
                if here != target and onward:
                    met = Met(address, far, "icmp", None, entered["port"], onward[0])
                    what = f"from {source} to {target} ({address} to {far})"
                    yield Packet(here, "forward", met, what, ("tep-ping", "tep-mtu"), frozenset((source, target)))

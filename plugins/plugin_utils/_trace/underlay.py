# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A packet crosses the underlay: NICs, routes, routers, their filters, the host at the end. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Vlans
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.unset import as_read
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import bgp, kernel, nft, ospf, parameters, zebra
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.crossing import inside
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.ends import KNOWN, filtered, masked, rewritten
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import (
    SITE,
    Died,
    Path,
    View,
    sizes,
    with_mtu,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.ports import limited, present, received

Item = t.Dict[str, t.Any]

# AllSPFRouters (RFC 2328).
OSPF_ROUTERS = "224.0.0.5"
# RFC 4271.
BGP_PORT = 179
# More routers than this are a loop: the TTL that tunnels start with.
LONGEST = 64


class Outer(t.NamedTuple):
    """The packet on the underlay. tunnel: of Open vSwitch, which hands it to the NIC itself in user space. entry: what its questions are called by."""

    source: str
    target: str
    size: int
    protocol: str = "icmp"
    port: int | None = None
    tunnel: bool = False
    answer: bool = False
    entry: str = ""


class Cable(t.NamedTuple):
    """Where an address of the underlay is: host, the interface that has it, the NICs behind, the bridge between, and their MTU as planned.

    port: that of the bridge which the NICs are; of several it is a bond, and one that works is enough. lacp: whether they need a partner.
    Without a bridge, port is the kernel's, and vlan the number of the interface upon it.
    """

    host: str
    dev: str
    nics: tuple[str, ...]
    bridge: str | None
    port: str
    mtu: int | None
    lacp: bool = False
    vlan: int | None = None

    @property
    def bond(self) -> bool:
        """Whether the NICs are a bond."""
        return len(self.nics) > 1


class Underlay:
    """The underlay as the plan has it."""

    def __init__(self, view: View) -> None:
        self.view, self.plan = view, view.plan
        self.cables: dict[str, Cable] = {}
        for link in self.plan["links"]:
            for end in link["ends"]:
                for address in (end["address"], end["address6"]):
                    if address:
                        self.cables[address] = self._link(end)
        for name, host in self.plan["hosts"].items():
            self._tep(name, host["underlay"])

    def _link(self, end: Item) -> Cable:
        host = self.plan["hosts"].get(end["host"])
        if host is None:
            nic, port = end["interface"], end["port"]
            return Cable(end["host"], port, (nic,) if nic != port else (), None, nic, end["mtu"])
        bridge = host["underlay"]["bridge"]
        return Cable(end["host"], end["port"], (end["interface"],), bridge, end["interface"], end["mtu"])

    def _tep(self, name: str, underlay: Item) -> None:
        tep = underlay["tep"]
        if tep and tep["address"]:
            bond = underlay["bond"]
            nics = () if underlay["links"] else tuple(underlay["nics"])
            port = bond["name"] if bond else (*nics, "")[0]
            lacp = bool(bond) and bond["mode"] == "lacp"
            address = kernel.bare(tep["address"])
            bridge, vlan = underlay["bridge"], None if underlay["bridge"] else tep["vlan"]
            self.cables[address] = Cable(name, tep["name"], nics, bridge, port, underlay["mtu"], lacp, vlan)

    def owner(self, address: str) -> str | None:
        """The host that an address belongs to."""
        if address in self.cables:
            return self.cables[address].host
        loopbacks = (
            (name, router.get(key))
            for name, router in self.plan["routers"].items()
            for key in ("loopback", "loopback6")
        )
        return next((name for name, one in loopbacks if one and kernel.bare(one) == address), None)

    def cable(self, host: str, dev: str) -> Cable | None:
        """The planned cable of a host's interface."""
        found = [one for one in self.cables.values() if one.host == host and one.dev == dev]
        return found[0] if found else None

    def userspace(self, host: str) -> bool:
        """Whether a host's tunnels bypass its kernel's filters."""
        if host not in self.plan["hosts"]:
            return False
        bridges: Item = self.view.switch(host)["bridges"]
        bridge = bridges.get(self.plan["hosts"][host]["underlay"]["bridge"])
        return bridge is not None and bridge["datapath_type"] == "netdev"


def cross(view: View, path: Path, near: str, outer: Outer, macs: t.Mapping[str, str]) -> None:
    """From a host to the address outer.target. macs: what the switch writes on the frame, by the outer target."""
    underlay = Underlay(view)
    here, came = near, None
    been: set[str] = set()
    for number in range(LONGEST):
        if not view.known(here):
            path.at(here, "outside", here, "the fabric does not configure it; what it does is not read")
            return
        space = view.space(here, "")
        if number:
            _enter(underlay, path, space, here, came, outer)
        at = kernel.has_address(space, outer.target)
        if at:
            path.at(here, _kind(underlay, here), here)
            _rightful(underlay, here, at, outer.target)
        if number and at:
            _deliver(underlay, path, space, here, came or at, outer)
            return
        been.add(here)
        before, entered = here, came
        here, came = _leave(underlay, path, space, here, came, outer, macs if not number else {})
        if came is None:
            return
        if here in been:
            # Whose route is not the planned one is to blame, or the last.
            said = f"the route of {before} to {outer.target} leads back to {here}: the packet goes in a circle"
            mend = _reroute(underlay, space, before, outer, entered)
            raise Died("loop", said, _planned(underlay, before, outer.target), mend)
    raise Died("loop", f"the routers send it in a circle; it is lost after {LONGEST} of them")


def _enter(underlay: Underlay, path: Path, space: Item, here: str, came: str | None, outer: Outer) -> None:
    path.at(here, _kind(underlay, here), here)
    if came is None:
        return
    _carried(underlay, space, here, came, outer)
    if outer.tunnel and underlay.userspace(here) and kernel.has_address(space, outer.target):
        return
    dropped = kernel.reverse_path(space, came, outer.source)
    if dropped and kernel.route(space, outer.source) is None:
        back = outer._replace(target=outer.source)
        raise _unrouted(underlay, path, here, back, _planned(underlay, here, back.target))
    if dropped:
        mode = max(space["rp_filter"].get(name) or 0 for name in ("all", came))
        raise Died(
            "rp-filter",
            f"the reverse path filter of {here} ({mode}) drops what comes in by {came}: {dropped}",
            "no filter that routes in two directions fail",
            _let_in(underlay, space, here, came, outer),
        )


def _let_in(underlay: Underlay, space: Item, here: str, came: str, outer: Outer) -> str:
    """What mends a reverse path filter that drops: the way back as planned, or no filter where it is so already."""
    found = kernel.route(space, outer.source)
    planned = {hop["address"] for hop in _hops(underlay, here, outer.source)}
    if found and planned and not any(hop.via in planned for hop in kernel.hops(found)):
        return _reroute(underlay, space, here, outer._replace(source=outer.target, target=outer.source), None)
    names = [name for name in ("all", came) if space["rp_filter"].get(name)]
    return f"on {here}: sysctl -w " + " ".join(f"net.ipv4.conf.{name}.rp_filter=0" for name in names)


def _rightful(underlay: Underlay, here: str, at: str, target: str) -> None:
    """Whoever has the address takes the packet."""
    owner = underlay.owner(target)
    if owner not in (None, here):
        raise Died(
            "duplicate-address",
            f"{here} has the address {target}, too, on {at}, and takes the packet",
            f"{target} is {owner}'s",
            f"on {here}: ip address del {_prefixed(underlay, here, target)} dev {at}",
        )


def _deliver(underlay: Underlay, path: Path, space: Item, here: str, came: str, outer: Outer) -> None:
    cable = underlay.cable(here, came)
    parameters.doubts(path, space, came, parameters.Place(here, "", here))
    if cable and cable.bridge:
        rows = underlay.view.bridge(here, cable.bridge)["ports"]
        for nic in cable.nics:
            limited(path, here, nic, rows.get(nic) or {})
        if outer.tunnel:
            received(underlay.view, here, cable.nics, cable.bridge, outer.entry)
    if not (outer.tunnel and underlay.userspace(here)):
        for hook in ("ingress", "prerouting", "input"):
            filtered(path, space, hook, _met(outer, came, ""), parameters.Place(here, "", here))
    if outer.protocol == "icmp" and not outer.answer:
        parameters.refused(space, ":" in outer.target, parameters.Place(here, "", here))
    if outer.tunnel:
        path.at(here, "underlay", here, f"arrives at {outer.target}")
    else:
        path.at(here, "endpoint", here, f"{outer.target}: arrived")


def _met(outer: Outer, iif: str, oif: str) -> nft.Met:
    return nft.Met(outer.source, outer.target, outer.protocol, outer.port, iif, oif, outer.answer)


def _leave(
    underlay: Underlay, path: Path, space: Item, here: str, came: str | None, outer: Outer, macs: t.Mapping[str, str]
) -> tuple[str, str | None]:
    """Out of a host by its route; returns the next host, and by which of its interfaces the packet comes there (None: the end of the plan)."""
    notes = path.at(here, _kind(underlay, here), here)
    if came is None:
        _sourced(underlay, space, here, outer)
    else:
        _forwards(space, here, came, outer)
        for hook in ("ingress", "prerouting"):
            filtered(path, space, hook, _met(outer, came, ""), parameters.Place(here, "", here))
    hop = _next(underlay, path, space, here, came, outer)
    notes.append(f"route to {outer.target}: dev {hop.dev}" + (f" via {hop.via}" if hop.via else ""))
    notes += _carried(underlay, space, here, hop.dev, outer)
    for dev in dict.fromkeys((came or hop.dev, hop.dev)):
        parameters.doubts(path, space, dev, parameters.Place(here, "", here))
    if came is not None or not (outer.tunnel and underlay.userspace(here)):
        for hook in ("forward" if came else "output", "postrouting", "egress"):
            filtered(path, space, hook, _met(outer, came or "", hop.dev), parameters.Place(here, "", here))
        _route_mtu(path, here, hop, outer)
        rewritten(path, space, "postrouting", _met(outer, came or "", hop.dev), parameters.Place(here, "", here))
    _sent(underlay, path, space, here, hop.dev, outer)
    address = hop.via or outer.target
    after = underlay.owner(address)
    if after is None:
        notes.append(f"handed to {address}, which the plan does not know")
        if underlay.owner(outer.target):
            # A route to everything takes what another one is missing for.
            raise _missing(underlay, path, here, outer.target) or Died(
                "wrong-route",
                f"the route of {here} to {outer.target} leads to {address}, which nobody of the fabric has",
                _planned(underlay, here, outer.target),
                _reroute(underlay, space, here, outer, came),
            )
        return here, None
    beyond = _beyond(underlay, path, space, here, hop, address, after, macs.get(outer.target))
    return after, beyond


def _sent(underlay: Underlay, path: Path, space: Item, here: str, dev: str, outer: Outer) -> None:
    """Out by a NIC behind an interface, which its own rules and its queue hold even what a switch in user space sends. Of a bond it is one of several."""
    cable, place = underlay.cable(here, dev), parameters.Place(here, "", here)
    for nic in cable.nics if cable else ():
        parameters.queued(path, space, nic, place)
        if not (cable and cable.bond):
            filtered(path, space, "egress", _met(outer, "", nic), place)


def _sourced(underlay: Underlay, space: Item, here: str, outer: Outer) -> None:
    if not kernel.has_address(space, outer.source):
        cable = underlay.cables.get(outer.source)
        dev = cable.dev if cable else "its interface"
        prefix = _prefixed(underlay, here, outer.source)
        raise Died(
            "underlay-address",
            f"{here} does not have the address {outer.source}",
            f"{outer.source} on {dev}",
            f"on {here}: ip address add {prefix} dev {dev}",
        )


def _prefixed(underlay: Underlay, host: str, address: str) -> str:
    """An address with its planned prefix length."""
    tep = (underlay.plan["hosts"].get(host) or {}).get("underlay", {}).get("tep")
    if tep and kernel.bare(tep["address"]) == address:
        return str(tep["address"])
    for link in underlay.plan["links"]:
        if any(address in (end["address"], end["address6"]) for end in link["ends"]):
            subnet = link["subnet6"] if ":" in address else link["subnet"]
            return f"{address}/{subnet.partition('/')[2]}"
    return f"{address}/{128 if ':' in address else 32}"


def _forwards(space: Item, here: str, came: str, outer: Outer) -> None:
    off = kernel.not_forwarding(space, came, outer.target)
    if off:
        raise Died("forwarding", f"{here} does not forward: {off} is 0", f"{off} is 1", f"on {here}: sysctl -w {off}=1")


def _next(underlay: Underlay, path: Path, space: Item, here: str, came: str | None, outer: Outer) -> kernel.Hop:
    found = kernel.route(space, outer.target, outer.source, came or "lo")
    look = f"on {here}: ip route get {outer.target}"
    planned = _planned(underlay, here, outer.target)
    if found is None:
        raise _unrouted(underlay, path, here, outer, planned)
    if found["type"] in kernel.REFUSED:
        ruled = kernel.ruled(space, found, outer.target, outer.source, came or "lo")
        line = zebra.static(underlay.view, here, found["to"])
        by_hand = f"ip {ruled or 'route del ' + found['type'] + ' ' + found['to']}"
        raise Died(
            "route-refuses",
            f"{here} has a route of type {found['type']} to {found['to']}{kernel.in_table(found).rstrip(',')}",
            planned,
            f"on {here}: " + (f"vtysh -c 'configure terminal' -c 'no {line}'" if line and not ruled else by_hand),
        )
    choices = kernel.hops(found)
    if not choices:
        raise Died("no-route", f"{here} has a route to {found['to']} that leads nowhere", planned, look)
    wanted = {hop["address"] for hop in _hops(underlay, here, outer.target)}
    hop = next((hop for hop in choices if hop.via in wanted), choices[0])
    # Over link-local addresses the plan has no next hop's address.
    if None in wanted:
        return hop
    if hop.via is None and not _on_wire(space, hop.dev, outer.target):
        said = f"the route of {here} to {outer.target} leads to {hop.dev}, where nobody has it"
        raise Died("wrong-route", said, planned, _reroute(underlay, space, here, outer, came))
    for other in choices:
        if wanted and other.via not in wanted and len(choices) > 1:
            said = f"one of {len(choices)} next hops of {here} to {outer.target} is {other.via or other.dev}"
            path.doubt(Died("wrong-route", said, planned, _reroute(underlay, space, here, outer, came)))
    return hop


def _reroute(underlay: Underlay, space: Item, here: str, outer: Outer, came: str | None) -> str:
    """The command that makes the route to an address lead as planned, in its place; a look at it where the plan has none, or a rule leads to it."""
    found = kernel.route(space, outer.target, outer.source, came or "lo")
    planned = [hop for hop in _hops(underlay, here, outer.target) if hop["address"] and hop["interface"]]
    ruled = kernel.ruled(space, found, outer.target, outer.source, came or "lo") if found else None
    if ruled:
        return f"on {here}: ip {ruled}"
    if not found or not planned:
        return f"on {here}: ip route get {outer.target}"
    ways = [f"via {hop['address']} dev {hop['interface']}" for hop in planned]
    led = ways[0] if len(ways) == 1 else " ".join(f"nexthop {way}" for way in ways)
    family = "-6 " if ":" in outer.target else ""
    # By its metric the kernel knows the route that is replaced.
    metric = f" metric {found['metric']}" if found["metric"] else ""
    to = found["to"] if found["to"] != "default" else outer.target
    kept = f" proto {found['protocol']}" if found.get("protocol") else ""
    return f"on {here}: ip {family}route replace {to} {led}{kept}{metric}"


def _on_wire(space: Item, dev: str, address: str) -> bool:
    """Whether an address is of a subnet of an interface."""
    return any(inside(address, net) for net in (space["links"].get(dev) or {"addresses": ()})["addresses"])


def _route_mtu(path: Path, here: str, hop: kernel.Hop, outer: Outer) -> None:
    """A route may have an MTU of its own."""
    if hop.mtu and outer.size > hop.mtu:
        said = f"{outer.size} bytes do not fit into the MTU {hop.mtu} of the route of {here} to {outer.target}"
        look = f"on {here}: ip route get {outer.target}"
        path.doubt(Died("mtu", said, "a route without an MTU", look))


def _hops(underlay: Underlay, here: str, target: str) -> list[Item]:
    """The planned next hops of a host to an address."""
    router = underlay.plan["routers"].get(here)
    rows = [
        {
            "to": row["prefix"],
            "type": "unicast",
            "table": "main",
            "metric": 0,
            "dead": False,
            "hops": [],
            "nexthops": row["nexthops"],
        }
        for row in (router or {}).get("routes", ())
    ]
    found = kernel.route({"routes": rows}, target)
    return found["nexthops"] if found else []


def _planned(underlay: Underlay, here: str, target: str) -> str:
    hops = _hops(underlay, here, target)
    # BGP leaves it to the kernel by which interface a next hop is reached.
    ways = [f"{hop['address']} on {hop['interface']}" if hop["interface"] else str(hop["address"]) for hop in hops]
    return f"{target} via " + " or ".join(ways) if ways else ""


def _unrouted(underlay: Underlay, path: Path, here: str, outer: Outer, planned: str) -> Died:
    """Why a host has no route: its daemons, the planned link to the next router, the far end of it, the adjacency over it."""
    reason = _missing(underlay, path, here, outer.target)
    if reason:
        return reason
    look = (
        f"on {here}: vtysh -c 'show ip route {outer.target}' -c 'show ip ospf neighbor'"
        if planned
        else f"on {here}: ip route"
    )
    said = f"{here} has no route to {outer.target}"
    if planned and underlay.view.daemons(here):
        said += ", though links and neighbors are as planned: its FRR keeps it from the kernel (ip protocol, distance), or a router filters it"
    return Died("no-route", said, planned, look, settles=bool(planned))


def _missing(underlay: Underlay, path: Path, here: str, target: str) -> Died | None:
    """Why the kernel of a host has no planned route to an address, nearest first; None where that is not found."""
    return (
        _daemons(underlay.view, here)
        or _mismasked(underlay, underlay.view.space(here, ""), here, target)
        or zebra.withheld(underlay.view, here, target)
        or _why_missing(underlay, path, here, target)
        # Also where a route comes and goes, as with an adjacency that does not last: then a link says why.
        or zebra.deleted(underlay.view, here, target)
    )


def _mismasked(underlay: Underlay, space: Item, here: str, target: str = "", only: str = "") -> Died | None:
    """An address of the underlay with another prefix length than planned, so that the kernel has no route to its subnet.

    target: an address of that subnet; only: an interface, else each of the host.
    """
    for address, cable in underlay.cables.items():
        wanted = _prefixed(underlay, here, address)
        link = space["links"].get(cable.dev) if cable.host == here and only in ("", cable.dev) else None
        found = masked(link, wanted, "underlay-address", parameters.Place(here, "", here)) if link else None
        if found and (not target or inside(target, wanted)):
            return found
    return None


def _why_missing(underlay: Underlay, path: Path, here: str, target: str) -> Died | None:
    """What is wrong along the planned way to an address, link by link; the path then ends there.

    A session that brings fewer prefixes than planned is the reason where nothing nearer to the target is.
    """
    fewer: tuple[str, Died] | None = None
    for _number in range(LONGEST):
        space = underlay.view.space(here, "")
        planned = _hops(underlay, here, target)
        reasons = [_why_link(underlay, path, space, here, hop) for hop in planned if _on_link(underlay, here, hop)]
        reason = next(filter(None, [*reasons, _why_session(underlay, path, here, target)]), None)
        if reason:
            return reason
        fewer = _fewer(underlay, here, target) or fewer
        after = underlay.owner(planned[0]["address"] or "") if planned else None
        if after is None or not underlay.view.known(after):
            break
        here = after
    if fewer is None:
        return _unannounced(underlay, path, target)
    _blame(underlay, path, fewer[0])
    return fewer[1]


def _unannounced(underlay: Underlay, path: Path, target: str) -> Died | None:
    """An address whose owner does not tell the others of it: OSPF is not as planned on its interface."""
    quiet = bgp.silent(underlay.view, underlay.owner(target) or "", target)
    if quiet:
        _blame(underlay, path, quiet.host)
        return Died("unannounced", quiet.has, quiet.planned, quiet.mend)
    cable = underlay.cables.get(target)
    if cable is None:
        return None
    read = ((underlay.view.seen.get(cable.host) or {}).get("spaces") or {}).get("")
    try:
        # On an interface that is down OSPF does not run.
        if read:
            _linked(read, cable.host, cable.dev)
    except Died as died:
        _blame(underlay, path, cable.host)
        return died
    link = next((link for link, _end in _ends(underlay, cable.host, cable)), None)
    found = ospf.difference(underlay.view, [(cable.host, cable.dev)], link)
    if found is None or "passive" in found.has:
        return None
    _blame(underlay, path, cable.host)
    said = f"{cable.host} does not announce {target}: OSPF on {cable.dev} {found.has}"
    return Died("unannounced", said, found.planned, found.mend(underlay.view))


def _on_link(underlay: Underlay, here: str, hop: Item) -> bool:
    """Whether a planned next hop is on a link of the host; BGP also names those behind other routers."""
    return underlay.cable(here, hop["interface"]) is not None


def _sessions(underlay: Underlay, here: str, target: str) -> list[tuple[Item, list[Item]]]:
    """The planned sessions of a router that has its route to an address by BGP, each with what was read of it."""
    router = underlay.plan["routers"].get(here) or {}
    planned = next((row for row in router.get("routes", ()) if _holds(row["prefix"], target)), None)
    seen = underlay.view.frr(here).get("bgp_neighbors")
    if planned is None or planned["protocol"] != "bgp" or seen is None:
        return []
    rows: dict[str, list[Item]] = {}
    for row in seen:
        rows.setdefault(row["neighbor"], []).append(row)
    return [(session, rows.get(session["remote"], [])) for session in router.get("sessions", ())]


def _why_session(underlay: Underlay, path: Path, here: str, target: str) -> Died | None:
    """The session of BGP that is not established, and so has not brought the route to an address."""
    for session, rows in _sessions(underlay, here, target):
        state = rows[0]["state"] if rows else "not there"
        if state == "Established":
            continue
        said = f"the BGP session of {here} with {session['peer']} ({session['remote']}) is {state}"
        host, died = _why_down(underlay, here, session, said)
        _blame(underlay, path, host)
        return died
    return None


def _why_down(underlay: Underlay, here: str, session: Item, said: str) -> tuple[str, Died]:
    """Why a session does not stand, and at which of its ends."""
    peer, planned = session["peer"], f"Established, with {session['accepted']} prefixes"
    stopped = _far_daemons(underlay, peer)
    if stopped:
        return peer, stopped
    found = bgp.difference(underlay.view, here, session)
    if found:
        return found.host, Died("session", f"{said}: {found.has}", f"{found.planned}; {planned}", found.mend)
    look = f"on {here}: vtysh -c 'show bgp neighbors {session['remote']}'"
    alike = f"{said}{bgp.last_word(underlay.view, here, session)}{bgp.ALIKE}"
    return _unheard(underlay, here, session) or (here, Died("session", alike, planned, look, settles=True))


def _unheard(underlay: Underlay, here: str, session: Item) -> tuple[str, Died] | None:
    """A rule by which one end of a session takes no packets from the other, and the end."""
    ends = ((here, session["remote"], session["local"]), (session["peer"], session["local"], session["remote"]))
    for host, source, target in ends:
        space = underlay.view.space(host, "") if underlay.view.known(host) else None
        if space is None:
            continue
        packet = nft.Met(source, target, "tcp", BGP_PORT, kernel.has_address(space, target) or "", "")
        out = nft.Met(target, source, "tcp", BGP_PORT, "", packet.iif)
        try:
            for hook, one in (("ingress", packet), ("prerouting", packet), ("input", packet), ("output", out)):
                filtered(Path(), space, hook, one, parameters.Place(host, "", host))
        except Died as died:
            return host, died
    return None


def _fewer(underlay: Underlay, here: str, target: str) -> tuple[str, Died] | None:
    """The router and its session that stands and brings fewer prefixes than planned."""
    for session, rows in _sessions(underlay, here, target):
        got = next((row["prefixes_received"] for row in rows if row["family"] == _family(target)), None)
        if got is not None and got < session["accepted"]:
            found = bgp.silent(underlay.view, underlay.owner(target) or "", target) or bgp.dropped(
                underlay.view, here, session
            )
            if found:
                said = f"{here} has no route to {target} by BGP: {found.has}"
                return found.host, Died("session", said, found.planned, found.mend)
            peer = f"{session['peer']} ({session['remote']})"
            said = f"the BGP session of {here} with {peer} brought {got} prefixes, and none for {target}: one of the two filters it, or does not announce it"
            shown = f"on {here} and {session['peer']}: vtysh -c 'show running-config' | grep -e prefix-list -e route-map -e network"
            return here, Died("session", said, f"{session['accepted']} prefixes", shown, settles=True)
    return None


def _blame(underlay: Underlay, path: Path, here: str) -> None:
    path.at(here, _kind(underlay, here), here)


def _far_daemons(underlay: Underlay, peer: str) -> Died | None:
    return _daemons(underlay.view, peer) if underlay.view.known(peer) else None


def _family(address: str) -> str:
    return "ipv6_unicast" if ":" in address else "ipv4_unicast"


def _holds(prefix: str, address: str) -> bool:
    one, net = ipaddress.ip_address(address), ipaddress.ip_network(prefix, strict=False)
    return one.version == net.version and one in net


def _daemons(view: View, host: str) -> Died | None:
    silent = view.frr(host).get("hanging")
    if silent:
        verb = "does" if len(silent) == 1 else "do"
        said = f"{' and '.join(silent)} of FRR on {host} {verb} not answer: it hangs"
        return Died("frr-hangs", said, "FRR runs", f"on {host}: systemctl restart frr")
    running = view.daemons(host)
    router = view.plan["routers"].get(host) or {}
    if running is None or not router.get("managed"):
        return None
    needed = [
        "zebra",
        *(["ospfd"] if (router.get("ospf") or {}).get("instances") else []),
        *(["bgpd"] if router.get("sessions") else []),
    ]
    missing = [name for name in needed if name not in running]
    if not missing:
        return None
    verb = "does" if len(missing) == 1 else "do"
    return Died(
        "frr-down",
        f"{' and '.join(missing)} of FRR {verb} not run on {host}",
        "FRR runs",
        f"on {host}: systemctl start frr",
    )


def _why_link(underlay: Underlay, path: Path, space: Item, here: str, hop: Item) -> Died | None:
    """What is wrong with the planned link to a next hop, if anything is; the path then ends at that end of it."""
    outer = Outer("", "", 0)
    far = underlay.cables.get(hop["address"] or "")
    mine = underlay.cable(here, hop["interface"])
    try:
        _near(underlay, path, space, here, hop["interface"], outer)
        if far and underlay.view.known(far.host):
            there = underlay.view.space(far.host, "")
            _far(underlay, path, there, far, outer)
            if mine:
                _known_by(underlay, path, mine, far)
                _known_by(underlay, path, far, mine)
        if mine and far and _by_ospf(underlay, here, mine):
            _adjacent(underlay, path, here, mine, far)
    except Died as died:
        return died
    return None


def _known_by(underlay: Underlay, path: Path, one: Cable, other: Cable) -> None:
    """A permanent entry by which one end of a link sends what is for the other end to another MAC address: multicast still arrives."""
    space, there = underlay.view.space(one.host, ""), underlay.view.space(other.host, "")
    for address in (at for at, cable in underlay.cables.items() if cable == other):
        entry = kernel.neighbor(space, one.dev, address)
        real = there["links"].get(other.dev, {}).get("mac")
        if entry and real and "PERMANENT" in entry["state"] and entry["mac"] != real:
            _blame(underlay, path, one.host)
            planned = f"{other.host} has {real} there"
            _addressed_to(path, one.host, kernel.Hop(one.dev, address), address, entry, real, planned)


def _ends(underlay: Underlay, here: str, cable: Cable) -> list[tuple[Item, Item]]:
    """The planned links behind a cable, each with the end on this host."""
    return [
        (link, end)
        for link in underlay.plan["links"]
        for end in link["ends"]
        if end["host"] == here and end["port"] == cable.dev
    ]


def _by_ospf(underlay: Underlay, here: str, cable: Cable) -> bool:
    """Whether OSPF runs on a link."""
    return all(link.get("ospf", True) for link, _end in _ends(underlay, here, cable))


def _agreed(underlay: Underlay, here: str, cable: Cable) -> str:
    """What both ends of a link must have alike for an adjacency, as planned (RFC 2328, section 10.5)."""
    for link, end in _ends(underlay, here, cable):
        passive = "passive" if end["passive"] else "not passive"
        key = f", key {link['key_id']}" if link["key_id"] else ", no authentication"
        timers = f"hello {end['hello_interval']} s, dead {end['dead_interval']} s"
        return f": area {link['area']}, {end['network_type']}, {timers}, MTU {end['mtu']}, {passive}{key}"
    return ""


def _near(underlay: Underlay, path: Path, space: Item, here: str, dev: str, outer: Outer) -> None:
    try:
        _carried(underlay, space, here, dev, outer)
        _addressed(underlay, space, underlay.cable(here, dev))
    except Died:
        path.at(here, _kind(underlay, here), here)
        raise


def _kind(underlay: Underlay, host: str) -> str:
    """A host that has endpoints, or a router alone."""
    return "underlay" if host in underlay.plan["hosts"] else "router"


def _far(underlay: Underlay, path: Path, there: Item, far: Cable, outer: Outer) -> None:
    try:
        _carried(underlay, there, far.host, far.dev, outer)
        _addressed(underlay, there, far)
        stopped = _daemons(underlay.view, far.host)
        if stopped:
            raise stopped
    except Died:
        path.at(far.host, _kind(underlay, far.host), far.host)
        raise


def _addressed(underlay: Underlay, space: Item, cable: Cable | None) -> None:
    """Hold the addresses of a cable's end against the plan."""
    for address, other in underlay.cables.items():
        if cable == other and kernel.has_address(space, address) is None:
            raise Died(
                "underlay-address",
                f"{cable.host} does not have the address {address}",
                f"{address} on {cable.dev}",
                f"on {cable.host}: ip address add {_prefixed(underlay, cable.host, address)} dev {cable.dev}",
            )
    masked = _mismasked(underlay, space, cable.host, only=cable.dev) if cable else None
    if masked:
        raise masked


def _adjacent(underlay: Underlay, path: Path, here: str, mine: Cable, far: Cable) -> None:
    """The OSPF adjacency over a link."""
    read = underlay.view.frr(here)
    if "ospf_neighbors" not in read:
        return
    rows = [one for one in read["ospf_neighbors"] if one["interface"] == mine.dev]
    if any(row["state"].startswith("Full") for row in rows):
        return
    why = f"has the state {rows[0]['state']}" if rows else "is not there"
    said = f"the OSPF adjacency of {here} to {far.host} on {mine.dev} {why}"
    agreed = f"Full with {far.host}{_agreed(underlay, here, mine)}"
    link = next((link for link, _end in _ends(underlay, here, mine)), None)
    found = ospf.difference(underlay.view, [(here, mine.dev), (far.host, far.dev)], link)
    if found:
        path.at(found.host, _kind(underlay, found.host), found.host)
        because = f"{said}: OSPF on {found.dev} of {found.host} {found.has}"
        raise Died("adjacency", because, f"{found.planned}; {agreed}", found.mend(underlay.view))
    _heard(underlay, path, here, mine, far)
    _heard(underlay, path, far.host, far, mine)
    path.at(here, _kind(underlay, here), here)
    shown = f"on {here} and {far.host}: vtysh -c 'show running-config' | grep -e ^interface -e message-digest-key"
    because = said + ospf.alike(underlay.view, far.host, rows[0] if rows else None)
    raise Died("adjacency", because, agreed, f"{SITE}; {shown}", settles=True)


def _heard(underlay: Underlay, path: Path, here: str, mine: Cable, far: Cable) -> None:
    """Rules by which a router takes no packets of OSPF from the other end of a link, or sends none."""
    if not underlay.view.known(here):
        return
    own, other = (next(at for at, cable in underlay.cables.items() if cable == one) for one in (mine, far))
    space, place, trial = underlay.view.space(here, ""), parameters.Place(here, "", here), Path()
    trial.at(here, _kind(underlay, here), here)
    try:
        for hook in ("ingress", "prerouting", "input"):
            filtered(trial, space, hook, nft.Met(other, OSPF_ROUTERS, "ospf", None, mine.dev, ""), place)
        for hook, dev in [(hook, mine.dev) for hook in ("output", "egress")] + [("egress", nic) for nic in mine.nics]:
            filtered(trial, space, hook, nft.Met(own, OSPF_ROUTERS, "ospf", None, "", dev), place)
    except Died:
        path.hops += trial.hops
        raise


def _carried(underlay: Underlay, space: Item, host: str, dev: str, outer: Outer) -> list[str]:
    """Interface, and the NIC behind it in the bridge, carry the packet; of a bond, one NIC at least, and the NICs are a note."""
    cable = underlay.cable(host, dev)
    if cable and cable.bridge:
        # Without its daemon the ports of a bridge are down, too.
        underlay.view.switch(host)
    _room(underlay, _linked(space, host, dev), host, cable, outer)
    if cable is None:
        return []
    _free(space, cable)
    notes = _behind(underlay, space, cable, outer)
    if cable.bridge:
        _plugged(underlay, cable)
    elif cable.vlan:
        _numbered(space, cable)
    return notes


def _free(space: Item, cable: Cable) -> None:
    """An interface of the kernel's own that is in no bridge, where what comes in would go."""
    master = space["links"][cable.dev].get("master")
    if master and not cable.bridge:
        said = f"{cable.dev} on {cable.host} is a port of {master}, so that what comes in goes there"
        mend = f"on {cable.host}: ip link set {cable.dev} nomaster"
        raise Died("enslaved", said, f"{cable.dev} is nobody's port", mend)


def _numbered(space: Item, cable: Cable) -> None:
    """The kernel's VLAN, and what it is upon."""
    _linked(space, cable.host, cable.port)
    found = space["links"][cable.dev]["vlan"]
    if found != cable.vlan:
        said = f"{cable.dev} on {cable.host} is " + (f"VLAN {found}" if found else "no VLAN")
        raise Died("tag", said, f"VLAN {cable.vlan}", f"on {cable.host}: ip -details link show dev {cable.dev}")


def _behind(underlay: Underlay, space: Item, cable: Cable, outer: Outer) -> list[str]:
    """The NICs behind an interface: one of them at least carries the packet."""
    host = cable.host
    reasons: dict[str, Died] = {}
    for nic in cable.nics:
        try:
            link = _linked(space, host, nic)
            if cable.bond:
                _joined(underlay, cable, nic, link)
        except Died as died:
            reasons[nic] = died
        else:
            _room(underlay, link, host, cable, outer)
    if cable.nics and len(reasons) == len(cable.nics):
        raise _cut_off(cable, list(reasons.values()))
    used = ", ".join(nic for nic in cable.nics if nic not in reasons)
    return [f"bond {cable.port} of {used}", *(died.because for died in reasons.values())] if cable.bond else []


def wire(view: View, path: Path, host: str, size: int, vlan: int | None) -> None:
    """The NIC or bond by which a host has a VLAN of the underlay itself."""
    underlay = Underlay(view)
    cable = next((one for one in underlay.cables.values() if one.host == host and one.bridge and one.nics), None)
    if cable is None:
        return
    notes = path.at(host, "underlay", host)
    notes += _behind(underlay, view.space(host, ""), cable, Outer("", "", size))
    row, planned = present(view, host, cable.bridge or "", cable.port), _tag(underlay, cable, cable.port)
    mend = f"on {host}: ovs-vsctl clear port {cable.port} "
    if row["tag"] != planned:
        said = f"port {cable.port} on {host} has {_tag_in_words(row['tag'])}"
        raise Died("tag", said, _tag_in_words(planned), mend + "tag")
    if row["trunks"] and (vlan or 0) not in Vlans().parse(row["trunks"], "trunks"):
        said = f"port {cable.port} on {host} carries only the VLANs {row['trunks']}"
        raise Died("trunks", said, f"VLAN {vlan or 0}", mend + "trunks")
    notes.append(f"VLAN {vlan}" if vlan else "untagged")


def _linked(space: Item, host: str, name: str) -> Item:
    """An interface that has a link."""
    link: Item | None = space["links"].get(name)
    if link is None:
        raise Died("underlay-interface", f"{host} has no interface {name}", f"interface {name}")
    if not link["up"]:
        raise Died("underlay-down", f"{name} on {host} is down", f"{name} is up", f"on {host}: ip link set {name} up")
    if not link.get("arp", True) and name != "lo":
        said = f"{name} on {host} neither asks nor answers by ARP"
        raise Died("arp-off", said, "ARP on", f"on {host}: ip link set {name} arp on")
    if not link["carrier"]:
        raise Died(
            "underlay-down",
            f"{name} on {host} has no carrier: the cable or its other end is down",
            f"{name} is up",
            f"on {host}: ip link show {name}",
        )
    return link


def _room(underlay: Underlay, link: Item, host: str, cable: Cable | None, outer: Outer) -> None:
    mend = with_mtu(underlay.plan, host, link["name"], cable.mtu) if cable else ""
    sizes(link, outer.size, cable.mtu if cable else None, host, mend)


def _joined(underlay: Underlay, cable: Cable, nic: str, link: Item) -> None:
    """A NIC that is a member of its bond, and agreed on with the partner in LACP."""
    if cable.bridge is None:
        if link["master"] != cable.port:
            raise Died("port-gone", f"bond {cable.port} on {cable.host} has no member {nic}", f"{nic} is a member")
        return
    members = present(underlay.view, cable.host, cable.bridge, cable.port)["members"]
    if nic not in members:
        raise Died("port-gone", f"bond {cable.port} on {cable.host} has no member {nic}", f"{nic} is a member")
    if cable.lacp and not members[nic]["lacp_current"]:
        raise Died(
            "lacp",
            f"no partner in LACP answers {nic} of bond {cable.port} on {cable.host}",
            "LACP is agreed on with the switch",
            f"on {cable.host}: ovs-appctl lacp/show {cable.port}",
        )


def _cut_off(cable: Cable, reasons: list[Died]) -> Died:
    """Why none of the NICs carries the packet."""
    if not cable.bond:
        return reasons[0]
    because = "; ".join(dict.fromkeys(died.because for died in reasons))
    return Died(reasons[0].cause, f"no NIC of bond {cable.port} works: {because}", reasons[0].planned, reasons[0].mend)


def _plugged(underlay: Underlay, cable: Cable) -> None:
    """The ports of the underlay's bridge."""
    for name in filter(None, (cable.dev, cable.port)):
        row = present(underlay.view, cable.host, cable.bridge or "", name)
        planned = _tag(underlay, cable, name)
        if (
            planned is None
            and row["tag"] is None
            and row.get("trunks")
            and 0 not in Vlans().parse(row["trunks"], "trunks")
        ):
            carried = f"port {name} on {cable.host} carries only the VLANs {row['trunks']}"
            raise Died("trunks", carried, "untagged frames", f"on {cable.host}: ovs-vsctl clear port {name} trunks")
        if row["tag"] != planned:
            wanted = f"tag={planned}" if planned else "tag=[]"
            raise Died(
                "tag",
                f"port {name} on {cable.host} has {_tag_in_words(row['tag'])}",
                _tag_in_words(planned),
                f"on {cable.host}: ovs-vsctl set port {name} {wanted}",
            )


def _tag_in_words(tag: int | None) -> str:
    return "no tag" if tag is None else f"tag {tag}"


def _tag(underlay: Underlay, cable: Cable, name: str) -> t.Any:
    host = underlay.plan["hosts"][cable.host]
    ports = [port for bridge in host["bridges"] if bridge["name"] == cable.bridge for port in bridge.get("ports", ())]
    return next((as_read(port.get("tag")) for port in ports if port["name"] == name), None)


def _beyond(
    underlay: Underlay,
    path: Path,
    space: Item,
    here: str,
    hop: kernel.Hop,
    address: str,
    after: str,
    written: str | None,
) -> str | None:
    """The interface of the next host where the packet comes in, if the frame has its MAC address."""
    if not underlay.view.known(after):
        return "?"
    try:
        there = underlay.view.space(after, "")
    except Died:
        path.at(after, _kind(underlay, after), after)
        raise
    cable = underlay.cables.get(address)
    dev = kernel.has_address(there, address)
    if dev is None and cable:
        path.at(after, _kind(underlay, after), after)
        _carried(underlay, there, after, cable.dev, Outer("", "", 0))
        _addressed(underlay, there, cable)
    dev = dev or (cable.dev if cable else None)
    real = there["links"].get(dev or "", {}).get("mac")
    entry = kernel.neighbor(space, hop.dev, address)
    if entry and written and written == real and not _is_known(entry):
        # A switch in user space has asked by itself: what the kernel has not been answered, once, is no matter.
        entry = None
    _addressed_to(path, here, hop, address, entry, real, f"{after} has {real} there")
    if written and real and written != real:
        raise Died(
            "neighbor",
            f"the switch on {here} takes {address} to be at {written}",
            f"{after} has {real} there",
            f"on {here}: ovs-appctl tnl/neigh/flush",
        )
    return dev


def _is_known(entry: Item) -> bool:
    return any(state in KNOWN for state in entry["state"].split())


def _addressed_to(
    path: Path, here: str, hop: kernel.Hop, address: str, entry: Item | None, real: str | None, planned: str
) -> None:
    if entry is None:
        return
    clear = f"on {here}: ip neighbor del {address} dev {hop.dev}"
    if not _is_known(entry):
        path.doubt(
            Died("neighbor", f"nobody answers {here} for {address} on {hop.dev} ({entry['state']})", planned, clear)
        )
    elif real and entry["mac"] and entry["mac"] != real:
        fixed = "PERMANENT" in entry["state"]
        said = "by a permanent entry" if fixed else "as somebody else answers for this address"
        cause = "neighbor" if fixed else "duplicate-address"
        raise Died(cause, f"{here} takes {address} to be at {entry['mac']}, {said}", planned, clear)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From failed checks to their causes: one fault makes many checks fail, and is told once. Pure.

A part is a thing of the fabric that a packet crosses, as a tuple of its sort and its names: ("host", "kvm1"), ("tunnel", "gre", "kvm1",
"kvm2"), ("endpoint", "kvm1/web1"). Causes are found in three steps, and each failed check has exactly one:

1. hosts that were not reached, and what could not be read or differs from the plan, are faults by themselves;
2. a failed measurement that crosses such a part belongs to that fault;
3. of the rest, the part on which every measurement of a kind fails, and which explains the most, is the cause.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import itertools
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import IN_NAMESPACE
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import planned_tunnel
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import points_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.firewalls import Dropped, sentences

Item = t.Dict[str, t.Any]
Part = t.Tuple[str, ...]

# Of parts that explain as much, the first is the cause.
ORDER = ("router", "underlay", "nic", "tunnel", "bridge", "switch", "endpoint", "segment", "pair")
# Checks of what is inside of an endpoint's namespace.
INSIDE = (*IN_NAMESPACE, "dhcp", "vrrp", "active", "uplink", "table")
STATE = (
    "bridge",
    "port",
    "interface",
    "tunnel",
    *INSIDE,
    "northd",
    "member",
    "chassis",
    "binding",
    "gateway",
    "hop",
    "flows",
)
ROUTING = ("adjacency", "session", "route")
# A ping that fails explains why larger packets and transfers fail.
SYMPTOMS = (
    ("ping", "tep-ping"),
    ("mtu", "tep-mtu"),
    ("tcp",),
    ("connect",),
    ("isolation", "host"),
    ("denied-ping", "denied-tcp"),
)
SAMPLES = 3
# Faults that take routes away.
UPSTREAM = ("link", "router", "host", "switch", "nic", "session")


class World:
    """The plan, as far as causes need it: what lies between two ends."""

    def __init__(self, plan: Item, down: t.Mapping[str, str]) -> None:
        self.plan = plan
        self.down = down
        self.points = {point["id"]: point for point in points_of(plan)}
        self.overlays = {overlay["name"]: overlay for overlay in plan["overlays"]}
        self.segments = {segment["name"]: segment for segment in plan["segments"]}
        peers = [peer for overlay in plan["overlays"] for peer in overlay["peers"]]
        self.behind = {end["address"]: peer["name"] for peer in peers for end in peer["endpoints"]}
        self.ports = self._ports()
        self.tunnels = self._tunnels()

    def _tunnels(self) -> dict[tuple[str, str], Part]:
        """For each port of a tunnel, which there may be, its tunnel."""
        found: dict[tuple[str, str], Part] = {}
        for overlay in self.plan["overlays"]:
            ends = [*self.plan["hosts"], *(peer["name"] for peer in overlay["peers"])]
            for host, far in itertools.product(self.plan["hosts"], ends):
                found[host, planned_tunnel(overlay, host, far)] = _between("tunnel", overlay["name"], host, far)
        return found

    def _ports(self) -> dict[tuple[str, str], Part]:
        """For each port of a host the part that stands or falls with it."""
        found: dict[tuple[str, str], Part] = {}
        for name, host in self.plan["hosts"].items():
            for bridge in host["bridges"]:
                part = (
                    ("nic", name) if bridge["name"] == host["underlay"]["bridge"] else ("bridge", name, bridge["name"])
                )
                found.update({(name, port["name"]): part for port in bridge.get("ports", ())})
            found.update(
                {(name, space["outer"]): ("endpoint", f"{name}/{space['name']}") for space in host["namespaces"]}
            )
            for guest in host.get("guests", ()):
                found.update(
                    {(name, nic["dev"]): ("endpoint", f"{name}/{guest['name']}") for nic in guest["domain"]["nics"]}
                )
        return found

    def part_of_state(self, check: Item) -> Part:
        """The part that a check of a host's state is about."""
        host, name, kind = check["host"], check["thing"], check["kind"]
        if kind in INSIDE:
            return ("endpoint", self.owner(f"{host}/{name}"))
        if kind == "interface":
            return ("nic", host)
        if kind == "chassis":
            return ("switch", name)
        if kind in ("gateway", "hop"):
            return ("ovn", host)
        if kind == "binding":
            # Behind the fabric's name is the endpoint's id.
            return ("endpoint", self.owner(name.partition("/")[2]))
        if kind in ("bridge", "flows"):
            return ("nic", host) if name == self.plan["hosts"][host]["underlay"]["bridge"] else ("bridge", host, name)
        return self.tunnels.get((host, name)) or self.ports.get((host, name)) or ("switch", host)

    def owner(self, end: str) -> str:
        """The endpoint that an id stands for: a guest's further NIC fails with the guest."""
        return self.points[end].get("of", end) if end in self.points else end

    def host_of(self, end: str) -> str:
        """The host of an endpoint; hosts and peers are their own."""
        return self.points[end]["host"] if end in self.points else end.split("/")[0]

    def path(self, check: Item) -> list[Part]:
        """The parts that a measurement crosses, with which it stands or falls."""
        one, other = self.host_of(check["from"]), self.host_of(check["to"])
        if check["kind"].startswith("tep-"):
            ends = [(sort, host) for sort in ("nic", "switch") for host in (one, other) if host in self.plan["hosts"]]
            return [_between("underlay", one, other), *ends]
        if check["kind"] == "isolation" and not check.get("leak"):
            # Silence that proves nothing: the control was not reached.
            return self._path(check["from"], check.get("control") or check["from"])
        if check["kind"] == "host" and check["from"] in self.points and not check.get("leak"):
            return self._to_segment(self.points[check["from"]])
        return self._path(check["from"], check["to"])

    def _to_segment(self, point: Item) -> list[Part]:
        """The parts between an endpoint and all others of its segment."""
        others = [
            other["id"]
            for other in self.points.values()
            if other["segment"] == point["segment"] and other["kind"] in IN_NAMESPACE
        ]
        parts = dict.fromkeys(
            part
            for other in others
            for part in self._path(point["id"], other)
            if part[0] not in ("endpoint", "segment")
        )
        return [("endpoint", self.owner(point["id"])), *parts, ("segment", point["segment"])]

    def _path(self, source: str, target: str) -> list[Part]:
        parts: list[Part] = [("endpoint", self.owner(end)) for end in (source, target) if end in self.points]
        point = self.points.get(source) or self.points.get(target)
        if point is None:
            return parts
        segment = self.segments[point["segment"]]
        far = self.host_of(target)
        ends = [
            self.host_of(source),
            *([far] if far in self.plan["hosts"] or target in self.points else self._peer(segment, target)),
        ]
        hops = self.hops(segment["overlay"], ends[0], ends[-1])
        for one, other in zip(hops, hops[1:]):
            parts += [
                _between("tunnel", segment["overlay"], one, other),
                _between("underlay", one, other),
                ("nic", one),
                ("nic", other),
            ]
        for host in hops:
            if host in self.plan["hosts"]:
                parts += [("bridge", host, segment["bridge"]), ("switch", host)]
        return [*dict.fromkeys(parts), ("segment", segment["name"])]

    def _peer(self, segment: Item, target: str) -> list[str]:
        peers = self.overlays[segment["overlay"]]["peers"] if segment["overlay"] in self.overlays else []
        return [peer["name"] for peer in peers if peer["name"] == target]

    def hops(self, overlay: str | None, one: str, other: str) -> list[str]:
        """The hosts from one to the other along the overlay's tunnels."""
        if one == other:
            return [one]
        edges = [*map(tuple, self.overlays[overlay]["tunnels"])] if overlay in self.overlays else []
        edges += [
            (host, peer["name"])
            for host in self.plan["hosts"]
            for peer in (self.overlays[overlay]["peers"] if overlay in self.overlays else ())
        ]
        before: dict[str, str] = {one: one}
        todo = collections.deque([one])
        while todo and other not in before:
            here = todo.popleft()
            for edge in edges:
                if here in edge:
                    near = edge[1] if edge[0] == here else edge[0]
                    if near not in before:
                        before[near] = here
                        todo.append(near)
        if other not in before:
            return [one, other]
        hops = [other]
        while hops[-1] != one:
            hops.append(before[hops[-1]])
        return hops[::-1]


def _between(sort: str, *names: str) -> Part:
    """A part between two hosts, whichever comes first."""
    return (sort, *names[:-2], *sorted(names[-2:]))


class Faults:
    """The causes found so far, and which failed checks are open."""

    def __init__(self, checks: t.Sequence[Item]) -> None:
        self.checks = checks
        self.open = {number for number, check in enumerate(checks) if not check["passed"]}
        self.by_part: dict[Part, Item] = {}

    def add(self, part: Part, numbers: t.Iterable[int], because: str = "", look: str = "") -> None:
        """Give open checks to the fault of a part; what is said of it first is kept, what is said later is added."""
        mine = [number for number in numbers if number in self.open]
        if not mine:
            return
        self.open.difference_update(mine)
        fault = self.by_part.setdefault(part, {"part": part, "because": [], "look": look, "checks": []})
        fault["checks"] += mine
        if because and because not in fault["because"]:
            fault["because"].append(because)


def causes(
    plan: Item, checks: t.Sequence[Item], down: t.Mapping[str, str], dropped: t.Sequence[Dropped] = ()
) -> list[Item]:
    """The causes of all failed checks, the most telling first.

    down: hosts that were not reached, and why. dropped: what the hosts' own firewalls drop. A cause has title, because (sentences), checks
    (their numbers), samples (the failed measurements that show it) and look (commands on a host that answers).
    """
    world, faults = World(plan, down), Faults(checks)
    _unreached(world, faults)
    _unread(world, faults)
    _differing(world, faults)
    _routing(faults)
    _crossing(world, faults)
    _inferred(world, faults)
    for number in sorted(faults.open):
        faults.add(("pair", checks[number]["from"], checks[number]["to"]), [number], "", checks[number].get("look", ""))
    for fault in faults.by_part.values():
        _firewalled(world, checks, fault, dropped)
    return [_told(world, checks, fault) for fault in faults.by_part.values()]


def _firewalled(world: World, checks: t.Sequence[Item], fault: Item, dropped: t.Sequence[Dropped]) -> None:
    """Say of a fault which firewall drops what its checks need. Of a host that is down it is not known."""
    if fault["part"][0] == "host":
        return
    found = [one for one in dropped if any(_needs(world, checks[number], one) for number in fault["checks"])]
    fault["because"] += sentences(found)
    fault["look"] = found[0].look if found else fault["look"]


def _needs(world: World, check: Item, dropped: Dropped) -> bool:
    """Whether a failed check needs a packet that is dropped."""
    packet = dropped.packet
    if packet.kinds:
        ends = [check[end].partition(":")[0].partition(" ")[0].partition("/")[0] for end in ("from", "to")]
        return check["kind"] in packet.kinds and packet.ends == frozenset(ends)
    if check["kind"] in (*STATE, *ROUTING):
        return False
    return any(part[0] == "tunnel" and packet.ends == frozenset(part[2:]) for part in world.path(check))


def _unreached(world: World, faults: Faults) -> None:
    """Hosts that did not answer: all that was to be read or measured there, and all that was asked of them."""
    for host, reason in world.down.items():
        own = _addresses(world.plan, host)
        numbers = [number for number in faults.open if _asked_of(world, faults.checks[number], host, own)]
        faults.add(("host", host), sorted(numbers), reason)


def _asked_of(world: World, check: Item, host: str, own: t.Collection[str]) -> bool:
    """Whether a check reads or measures something at a host, or asks something of it. own: its addresses and subnets."""
    ends = [world.host_of(check[end]) for end in ("from", "to") if check[end]]
    return (
        host in (check["host"], *ends)
        or bool(check.get("control") and world.host_of(check["control"]) == host)
        or check["to"].partition(":")[0] == host
        or (check["kind"] == "route" and check["to"].partition("/")[0] in own)
    )


def _addresses(plan: Item, host: str) -> set[str]:
    """The addresses and subnets by which routes lead to a host."""
    tep = plan["hosts"][host]["underlay"]["tep"]["address"] if host in plan["hosts"] else ""
    links = [link["subnet"] for link in plan["links"] if any(end["host"] == host for end in link["ends"])]
    loopbacks = [plan["routers"][host].get(key) for key in ("loopback", "loopback6")] if host in plan["routers"] else []
    return {str(address).partition("/")[0] for address in [tep, *links, *loopbacks] if address}


def _unread(world: World, faults: Faults) -> None:
    """What could not be read on a host that answers: a service does not run."""
    for number in sorted(faults.open):
        check = faults.checks[number]
        if check.get("unread"):
            sort = "router" if check["kind"] in ROUTING else "namespaces" if check["kind"] in INSIDE else "switch"
            faults.add((sort, check["host"]), [number], check["observed"].partition(": ")[2])
        elif check.get("unmeasured", "").startswith(f"{check['host']} did not measure"):
            faults.add(("probe", check["host"]), [number], check["unmeasured"].partition(": ")[2])
        elif check.get("unmeasured") and check["from"] in world.points:
            faults.add(("endpoint", world.owner(check["from"])), [number], check["unmeasured"])


def _differing(world: World, faults: Faults) -> None:
    """What was read, and differs: a bridge that is gone takes its ports with it."""
    for kind in STATE:
        for number in sorted(faults.open):
            check = faults.checks[number]
            if check["kind"] != kind:
                continue
            part = world.part_of_state(check)
            above = ("bridge", check["host"], _bridge_of(world, check))
            if kind in ("port", "tunnel") and above in faults.by_part and check["observed"] == "it is not there":
                part = above
            faults.add(part, [number], _difference(check), check["look"])


def _bridge_of(world: World, check: Item) -> str:
    host = world.plan["hosts"][check["host"]]
    for tunnel in host["tunnels"]:
        if tunnel["name"] == check["thing"]:
            return tunnel["bridge"]
    point = world.points.get((world.ports.get((check["host"], check["thing"])) or ("", ""))[1])
    return world.segments[point["segment"]]["bridge"] if point else ""


def _difference(check: Item) -> str:
    if check["observed"] == "it is not there":
        return f"{check['kind']} {check['thing']} is not there"
    return (
        f"{check['kind']} {check['thing']} on {check['host']} has {check['observed']}; planned is {check['expected']}"
    )


def _routing(faults: Faults) -> None:
    """A router that does not run fails its neighbors' checks, a lost adjacency its routes, and both the ways between tunnel endpoints."""
    # On a KVM host the router's interfaces are ports of Open vSwitch.
    dead = {part[1]: part for part in faults.by_part if part[0] in ("switch", "nic", "router", "host")}
    for number in sorted(faults.open):
        check = faults.checks[number]
        if check["kind"] not in ("adjacency", "session"):
            continue
        ends = [check["from"].partition(":")[0], check["to"].partition(":")[0].partition(" ")[0]]
        gone = next((end for end in ends if end in dead), None)
        if gone:
            faults.add(dead[gone], [number])
        else:
            sort = "link" if check["kind"] == "adjacency" else "session"
            seen = f"{check['from']} sees {check['observed']}; planned is {check['expected']}"
            # RFC 2328, section 10.6: a neighbor with another MTU never gets further.
            stuck = (
                "; it stays there where the MTUs of the two ends differ"
                if "ExStart" in seen or "Exchange" in seen
                else ""
            )
            faults.add(_between(sort, check["from"], check["to"]), [number], seen + stuck, check["look"])
    routes = [number for number in sorted(faults.open) if faults.checks[number]["kind"] == "route"]
    for number in routes:
        check = faults.checks[number]
        seen = f"to {check['to']}: {check['observed']}; planned is {check['expected']}"
        upstream = next((part for part in faults.by_part if part[0] in UPSTREAM), None)
        faults.add(upstream or ("routes", check["host"]), [number], "" if upstream else seen, check["look"])


def _crossing(world: World, faults: Faults) -> None:
    """Failed measurements over a part that has a fault already; of several, the one on which most of that kind fails."""
    blame = _Blame(world, faults)
    routing = next((part for part in faults.by_part if part[0] in ("link", "router", "routes")), None)
    lost = {
        part
        for number, check in enumerate(faults.checks)
        if check["kind"] == "tep-ping" and not check["passed"]
        for part in world.path(check)
        if part[0] == "underlay"
    }
    for number in sorted(faults.open):
        check = faults.checks[number]
        parts = [part for part in blame.paths.get(number, ()) if part in faults.by_part]
        if routing and lost & set(blame.paths.get(number, ())):
            parts.append(routing)
        if parts:
            best = max(
                parts,
                key=lambda part: (blame.share(part, check["kind"]) if part is not routing else 1.0, -parts.index(part)),
            )
            faults.add(best, [number])


class _Blame:
    """How much of what crosses a part fails."""

    def __init__(self, world: World, faults: Faults) -> None:
        measured = {
            number: check for number, check in enumerate(faults.checks) if check["kind"] not in (*STATE, *ROUTING)
        }
        self.paths = {number: world.path(check) for number, check in measured.items()}
        self.all: collections.Counter[tuple[Part, str]] = collections.Counter()
        self.failed: collections.Counter[tuple[Part, str]] = collections.Counter()
        for number, parts in self.paths.items():
            kind = measured[number]["kind"]
            for part in parts:
                self.all[part, _plain(kind)] += 1
                self.failed[part, _plain(kind)] += not measured[number]["passed"]
        # The underlay is blamed only where packets that need nothing else fail.
        self.bare = {
            part
            for number, parts in self.paths.items()
            for part in parts
            if measured[number]["kind"].startswith("tep-") and not measured[number]["passed"]
        }

    def share(self, part: Part, kind: str) -> float:
        """The failed share of a kind of check over a part."""
        return self.failed[part, _plain(kind)] / max(1, self.all[part, _plain(kind)])

    def suspect(self, part: Part, kind: str) -> bool:
        """Whether nothing of a kind of check passes over a part."""
        return self.share(part, kind) == 1.0 and (part[0] not in ("underlay", "nic") or part in self.bare)


def _plain(kind: str) -> str:
    """What a check sends, wherever it does so."""
    return kind[4:] if kind.startswith("tep-") else kind


def _inferred(world: World, faults: Faults) -> None:
    """What only packets show. A kind is looked at after those that explain it; a part is blamed when nothing of that kind crosses it."""
    blame = _Blame(world, faults)
    for place, kinds in enumerate(SYMPTOMS):
        later = [kind for these in SYMPTOMS[place:] for kind in these]
        while True:
            mine = [number for number in sorted(faults.open) if faults.checks[number]["kind"] in kinds]
            leak = next((number for number in mine if faults.checks[number].get("leak")), None)
            if leak is not None:
                _blame_leak(world, faults, mine, leak)
            elif mine:
                _blame_worst(faults, blame, mine, later)
            else:
                break


def _blame_leak(world: World, faults: Faults, mine: list[int], first: int) -> None:
    """Lay a leak to where it is, with all others that are there."""
    part = _leak(world, faults.checks[first])
    leaks = [number for number in mine if faults.checks[number].get("leak")]
    same = [number for number in leaks if _leak(world, faults.checks[number]) == part]
    faults.add(part, same, "", faults.checks[first]["look"])


def _blame_worst(faults: Faults, blame: _Blame, mine: list[int], later: t.Collection[str]) -> None:
    """Lay failures to the part that explains the most of them, with all that crosses it. later: these kinds, and those that they explain."""
    part = _worst(faults, blame, mine)
    number = next(number for number in mine if part == ("pair", str(number)) or part in blame.paths[number])
    first = faults.checks[number]
    if part[0] == "pair":
        part = ("pair", first["from"], first["to"])
        crossing = [
            number
            for number in sorted(faults.open)
            if (faults.checks[number]["from"], faults.checks[number]["to"]) == part[1:]
        ]
    else:
        crossing = [
            number
            for number in sorted(faults.open)
            if part in blame.paths.get(number, ()) and not faults.checks[number].get("leak")
        ]
    faults.add(part, [number for number in crossing if faults.checks[number]["kind"] in later], "", first["look"])


def _leak(world: World, check: Item) -> Part:
    if check["kind"] == "host":
        return ("leak", check["host"])
    ends = [world.points[end]["segment"] if end in world.points else end for end in (check["from"], check["to"])]
    if check.get("rule"):
        return ("policy", check["rule"])
    if check["kind"].startswith("denied-"):
        return ("leak", check["from"], check["to"])
    return ("leak", *sorted(ends))


def _worst(faults: Faults, blame: _Blame, numbers: list[int]) -> Part:
    """The part that explains the most of these failed checks, or the first one's pair."""
    explained: collections.Counter[Part] = collections.Counter()
    for number in numbers:
        for part in blame.paths.get(number, ()):
            if blame.suspect(part, faults.checks[number]["kind"]):
                explained[part] += 1
    if not explained:
        return ("pair", str(numbers[0]))
    return min(explained, key=lambda part: (-explained[part], ORDER.index(part[0]), part))


TITLES = {
    "host": "host {0} does not answer",
    "switch": "Open vSwitch on {0}",
    "router": "FRR on {0}",
    "ovn": "OVN's routers, as the databases on {0} have them",
    "namespaces": "namespaces of {0}",
    "probe": "measuring on {0}",
    "tunnel": "tunnel {1} <-> {2} of overlay {0}",
    "underlay": "underlay {0} <-> {1}",
    "nic": "underlay of {0}",
    "bridge": "bridge {1} on {0}",
    "endpoint": "endpoint {0}",
    "segment": "segment {0}",
    "link": "link {0} <-> {1}",
    "session": "session {0} <-> {1}",
    "routes": "routes of {0}",
    "pair": "from {0} to {1}",
    "policy": "policy is violated: {0}",
}


def _told(world: World, checks: t.Sequence[Item], fault: Item) -> Item:
    """A fault as the report shows it."""
    part, mine = fault["part"], [checks[number] for number in fault["checks"]]
    packets = [check for check in mine if check["kind"] not in (*STATE, *ROUTING)]
    pairs = {(check["from"], check["to"]) for check in packets}
    because = list(fault["because"])
    if packets:
        kinds = ", ".join(dict.fromkeys(check["kind"] for check in packets))
        because.append(f"{len(pairs)} {'pair fails' if len(pairs) == 1 else 'pairs fail'} ({kinds})")
    if not fault["because"]:
        because += _symptom(packets)
    return {
        "title": _title(world, part),
        "because": because,
        "checks": sorted(fault["checks"]),
        # Of a host that is down, each would say the same once more.
        "samples": [_sample(check) for check in _samples(packets)] if part[0] != "host" else [],
        "look": _where(world, part, mine, fault["look"]),
    }


def _title(world: World, part: Part) -> str:
    sort, *names = part
    if sort == "leak":
        if len(names) == 1:
            return f"leak: {names[0]} itself answers on the links of its endpoints"
        return f"leak: {names[0]} and {names[1]} must be kept apart"
    if sort == "endpoint":
        kind = "guest" if names[0] in world.points and world.points[names[0]]["kind"] == "guest" else "endpoint"
        return f"{kind} {names[0]}"
    return TITLES[sort].format(*names)


def _symptom(packets: list[Item]) -> list[str]:
    """What it means that only some kinds fail."""
    kinds = {check["kind"] for check in packets}
    if kinds and kinds <= {"mtu", "tep-mtu", "tcp"} and kinds & {"mtu", "tep-mtu"}:
        return ["small packets pass, full ones do not: an MTU on the way is too small"]
    if kinds == {"connect"}:
        return ["its host is reached, the service is not: where it listens, or a firewall"]
    if kinds == {"tcp"}:
        return ["pings pass, TCP does not: checksum offload, a firewall, or a guest that does not listen"]
    return []


def _samples(packets: list[Item]) -> list[Item]:
    """Some failed measurements, of different kinds first."""
    seen: dict[str, Item] = {}
    for check in packets:
        seen.setdefault(check["kind"], check)
    return list(seen.values())[:SAMPLES]


def _sample(check: Item) -> str:
    address = f" ({check['address']})" if check.get("address") else ""
    return f"{check['kind']} {check['from']} -> {check['to']}{address}: {check['observed']}"


def _where(world: World, part: Part, mine: list[Item], look: str) -> str:
    """The next commands, on hosts that answer."""
    sort, *names = part
    if sort == "host":
        other = next((host for host in world.plan["hosts"] if host not in world.down), None)
        tep = (
            world.plan["hosts"]
            .get(names[0], {})
            .get("underlay", {})
            .get("tep", {})
            .get("address", "")
            .partition("/")[0]
        )
        here = f"here: ansible {names[0]} -m ansible.builtin.ping"
        return f"{here}; then on {other}: ping -c 3 {tep}" if other and tep else here
    if sort == "switch":
        return f"on {names[0]}: systemctl status openvswitch-switch ovs-vswitchd ovsdb-server --no-pager"
    if sort == "router":
        return f"on {names[0]}: systemctl status frr --no-pager"
    if sort == "endpoint" and {check["kind"] for check in mine} == {"tcp"} and names[0] in world.points:
        point = world.points[names[0]]
        if point["kind"] in IN_NAMESPACE:
            return f"on {point['host']}: ip netns exec {point['name']} ethtool -k {point['interface']} (tx-checksumming must be off in user space)"
    if sort == "endpoint" and world.points.get(names[0], {}).get("kind") == "guest":
        return f"on {world.points[names[0]]['host']}: virsh domstate {world.points[names[0]]['name']}; virsh console {world.points[names[0]]['name']}"
    if sort == "bridge":
        return f"on {names[0]}: ovs-ofctl --names --no-stats dump-flows {names[1]}; ovs-appctl fdb/show {names[1]}"
    return answering(look or next((check["look"] for check in mine if check.get("look")), ""), world.down)


def answering(look: str, down: t.Container[str]) -> str:
    """The commands without those on hosts that do not answer. A look is "on HOST: commands", several joined by "; then "."""
    parts = [part for part in look.split("; then ") if part.partition(":")[0].replace("on ", "", 1) not in down]
    return "; then ".join(parts)

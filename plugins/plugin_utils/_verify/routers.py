# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routers held against the plan: each adjacency by its two ends, each route with its next hops and cost, each session with its counts. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

# How many rows of routes a terminal gets.
ROUTES_SHOWN = 4


def routing(plan: Item) -> dict[str, Item]:
    """For each router that the fabric configures what FRR must tell of it: adjacencies, routes, sessions."""
    return {
        name: {"adjacencies": _adjacencies(plan, name), "routes": router["routes"], "sessions": router["sessions"]}
        for name, router in plan["routers"].items()
        if router["managed"]
    }


def _adjacencies(plan: Item, name: str) -> list[Item]:
    made = []
    for link in plan["links"]:
        mine = [end for end in link["ends"] if end["host"] == name]
        if not link["ospf"]:
            continue
        for end in mine:
            for other in link["ends"]:
                if other is end or end["passive"] or other["passive"]:
                    continue
                for version, option in ((2, "address"), (3, "address6")):
                    if end[option] and other[option]:
                        made.append(
                            {
                                "version": version,
                                "interface": end["interface"],
                                "port": end["port"],
                                "peer": f"{other['host']}:{other['interface']}",
                                "router_id": plan["routers"][other["host"]]["router_id"],
                                "address": other["address"] if version == 2 else None,
                                "area": link["area"],
                                "bfd": end["bfd"],
                                # Of many on one network, only the designated routers are adjacent to all (RFC 2328, section 10.4).
                                "full": end["network_type"] == "point-to-point" or len(link["ends"]) <= 3,
                            }
                        )
    return made


def judge(expected: dict[str, Item], observed: dict[str, Item]) -> list[Item]:
    """All checks of the routers.

    observed: for each host what frr_info returned, under `routers`, and under `routers_again` where they were read once more, which
    then counts.
    """
    checks: list[Item] = []
    for name, wanted in expected.items():
        seen = _last_read(observed.get(name, {}))
        why = _unread(wanted, seen)
        for row in wanted["adjacencies"]:
            checks.append(_adjacency(name, row, seen, why))
        for row in wanted["routes"]:
            checks.append(_route(name, row, seen, why))
        for row in wanted["sessions"]:
            checks.append(_session(name, row, seen, why))
    return checks


def _last_read(observed: Item) -> Item:
    """What a router was last seen to know; a task that was skipped has read nothing."""
    again = observed.get("routers_again") or {}
    return again if again and not again.get("skipped") else observed.get("routers") or {}


def _unread(wanted: Item, seen: Item) -> str | None:
    """Why nothing can be told of a router, if so: it was not read, or a daemon that it needs does not run."""
    if "ospf_neighbors" not in seen:
        return str(seen.get("msg") or "no answer from the host").splitlines()[0]
    versions = {row["version"] for row in wanted["adjacencies"]}
    needed = {
        "ospfd": 2 in versions,
        "ospf6d": 3 in versions,
        "bgpd": bool(wanted["sessions"]),
        "zebra": bool(wanted["routes"]),
    }
    stopped = [name for name, due in needed.items() if due and name not in seen.get("daemons", needed)]
    return f"{' and '.join(stopped)} {'does' if len(stopped) == 1 else 'do'} not run" if stopped else None


def _check(kind: str, source: str, target: str, expected: str, observed: str, look: str, **more: t.Any) -> Item:
    host = source.partition(":")[0]
    more["unread"] = observed.startswith(f"{host} was not read")
    ends = {"kind": kind, "host": host, "from": source, "to": target}
    return {**ends, "expected": expected, "observed": observed, "passed": expected == observed, "look": look, **more}


def _adjacency(name: str, row: Item, seen: Item, why: str | None) -> Item:
    family = "" if row["version"] == 2 else "OSPFv3 "
    states = "Full" if row["full"] else "Full or 2-Way"
    expected = f"{family}{states} in area {row['area']}" + (", BFD up" if row["bfd"] else "")
    found = next(
        (
            one
            for one in seen.get("ospf_neighbors" if row["version"] == 2 else "ospf6_neighbors", ())
            if one["interface"] == row["port"] and one["router_id"] == row["router_id"]
        ),
        None,
    )
    if why:
        observed = f"{name} was not read: {why}"
    elif found is None:
        observed = "no neighbor"
    else:
        state = "2-Way" if found["state"].lower() in ("2-way", "twoway") else found["state"]
        state = states if state == "Full" or (state == "2-Way" and not row["full"]) else state
        observed = f"{family}{state} in area {_dotted(found['area'])}" + (
            f", BFD {_bfd(row, seen)}" if row["bfd"] else ""
        )
    tool = "ip ospf" if row["version"] == 2 else "ipv6 ospf6"
    look = f"on {name}: vtysh -c 'show {tool} interface {row['port']}' -c 'show {tool} neighbor'"
    return _check("adjacency", f"{name}:{row['interface']}", row["peer"], expected, observed, look, area=row["area"])


def _dotted(area: str) -> str:
    """An area as the plan writes it."""
    return ".".join(str(int(area) >> shift & 255) for shift in (24, 16, 8, 0)) if area.isdigit() else area


def _bfd(row: Item, seen: Item) -> str:
    for one in seen.get("bfd_peers", ()):
        if one["peer"] == row["address"] or (
            row["version"] == 3 and one["interface"] == row["port"] and ":" in one["peer"]
        ):
            return one["state"]
    return "has no session"


def _hops(hops: t.Iterable[str]) -> str:
    return ", ".join(sorted(hops)) or "nowhere"


def _route(name: str, row: Item, seen: Item, why: str | None) -> Item:
    wanted = [hop["address"] or hop["interface"] for hop in row["nexthops"]]
    expected = f"by {row['protocol']} via {_hops(wanted)}" + ("" if row["cost"] is None else f", cost {row['cost']}")
    found = next((one for one in seen.get("routes", ()) if one["prefix"] == row["prefix"] and one["selected"]), None)
    if why:
        observed = f"{name} was not read: {why}"
    elif found is None:
        observed = "no route"
    else:
        hops = [hop for hop in found["nexthops"] if hop["active"]]
        # OSPFv3's next hops are link-local addresses, which no plan knows.
        by_address = any(hop["address"] for hop in row["nexthops"])
        names = {hop["address"] if by_address else hop["interface"] for hop in hops}
        observed = f"by {found['protocol']} via {_hops(names)}" + (
            "" if row["cost"] is None else f", cost {found['metric']}"
        )
    look = f"on {name}: vtysh -c 'show ip{'v6' if ':' in row['prefix'] else ''} route {row['prefix']}'"
    return _check("route", name, row["prefix"], expected, observed, look)


def _session(name: str, row: Item, seen: Item, why: str | None) -> Item:
    expected = f"Established with AS {row['asn']}, {row['accepted']} prefixes taken" + (
        f", {row['refused']} refused" if row["refused"] else ""
    )
    found = next((one for one in seen.get("bgp_neighbors", ()) if one["neighbor"] == row["remote"]), None)
    if why:
        observed = f"{name} was not read: {why}"
    elif found is None:
        observed = "no neighbor"
    else:
        observed = f"{found['state']} with AS {found['remote_as']}, {found['prefixes_received']} prefixes taken"
        if row["refused"] or found.get("prefixes_refused"):
            observed += f", {found.get('prefixes_refused')} refused"
    look = f"on {name}: vtysh -c 'show bgp neighbors {row['remote']}' -c 'show bgp summary'"
    return _check("session", name, f"{row['peer']} ({row['remote']})", expected, observed, look)


# A line of the terminal: the mark, who, with whom or where to, and what was observed.
Row = t.Tuple[str, str, str, str]


def terminal(checks: t.Sequence[Item]) -> list[str]:
    """Adjacencies, sessions and routes as they were observed, for a terminal: what is as planned in few lines."""
    lines: list[str] = []
    for kind, title, rows_of in (
        ("adjacency", "Adjacencies", _both_ways),
        ("session", "Sessions", _each),
        ("route", "Routes", _by_router),
    ):
        rows = rows_of([check for check in checks if check["kind"] == kind])
        if not rows:
            continue
        one, other = (max(len(row[column]) for row in rows) for column in (1, 2))
        lines += ["", f"  {title}"] if lines else [f"  {title}"]
        lines += [
            f"  {mark} {ends.ljust(one)}  {peer.ljust(other)}  {seen}".rstrip() for mark, ends, peer, seen in rows
        ]
    return lines + [""] if lines else []


def _each(checks: t.Sequence[Item]) -> list[Row]:
    """A line for each check."""
    return [("●" if check["passed"] else "✗", check["from"], check["to"], check["observed"]) for check in checks]


def _both_ways(checks: t.Sequence[Item]) -> list[Row]:
    """Adjacencies: two ends that say the same of each other share a line."""
    rows: list[Row] = []
    for mark, one, other, seen in _each(checks):
        back = (mark, other, one, seen)
        if back in rows:
            rows[rows.index(back)] = (mark, other, f"<-> {one}", seen)
        else:
            rows.append((mark, one, other, seen))
    return rows


def _by_router(checks: t.Sequence[Item]) -> list[Row]:
    """Routes: those of a router that are as planned share a line; of the others, some have one each."""
    rows: list[Row] = []
    for name in dict.fromkeys(check["from"] for check in checks):
        own = [check for check in checks if check["from"] == name]
        good = [check["to"] for check in own if check["passed"]]
        if good:
            rows.append(("●", name, f"{len(good)} as planned", ", ".join(good[:ROUTES_SHOWN]) + _more(len(good))))
        wrong = _each([check for check in own if not check["passed"]])
        rows += wrong[:ROUTES_SHOWN]
        if len(wrong) > ROUTES_SHOWN:
            rows.append(("✗", name, f"{len(wrong)} not as planned", "all of them are in the report"))
    return rows


def _more(count: int) -> str:
    return f" and {count - ROUTES_SHOWN} more" if count > ROUTES_SHOWN else ""

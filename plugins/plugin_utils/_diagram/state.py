# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report of status tells of the things in the picture. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

# Kinds of problems of what an endpoint is made of.
OF_ENDPOINTS = ("port", "namespace", "container", "service", "dhcp", "table", "guest")


_PROBLEM = {"kind", "host", "from", "to", "expected", "observed"}


def usable(report: Item) -> bool:
    """Whether something that was read has the form of a report of status."""
    when, hosts, problems = (report.get(name) for name in ("time", "hosts", "problems"))
    # Up to the year 9999.
    if not isinstance(when, (int, float)) or not 0 <= when < 253402300800:
        return False
    if not isinstance(hosts, dict) or not isinstance(problems, list):
        return False
    return all(isinstance(one, dict) and one.keys() >= _PROBLEM for one in problems)


class Verdict(t.NamedTuple):
    """A thing's state: `good`, `wrong`, or empty where nothing is known; and a line for each problem."""

    state: str
    problems: tuple[str, ...] = ()

    def mark(self, name: str) -> str:
        """The name as it is shown; what is wrong is not told by a color alone."""
        return f"✗ {name}" if self.state == "wrong" else name


class State:
    """A report of status, asked for one thing at a time. Without a report, nothing is known of any."""

    def __init__(self, report: Item | None) -> None:
        self._hosts: dict[str, str] = (report or {}).get("hosts", {})
        self._problems: list[Item] = (report or {}).get("problems", [])

    def host(self, name: str) -> Verdict:
        """A host with all that is on it."""
        return self._verdict([name], [one for one in self._problems if one["host"] == name])

    def things(self, host: str, kinds: t.Collection[str], names: t.Collection[str]) -> Verdict:
        """What a host has under any of the names."""
        found = [
            one for one in self._problems if one["host"] == host and one["kind"] in kinds and one.get("thing") in names
        ]
        return self._verdict([host], found)

    def both(self, ends: t.Sequence[tuple[str, str]], kind: str) -> Verdict:
        """A thing with two ends, each with its host and its name there."""
        found = [one for one in self._problems if one["kind"] == kind and (one["host"], one.get("thing")) in ends]
        return self._verdict([host for host, _name in ends], found)

    def adjacency(self, ends: t.Collection[str], everybody: bool) -> Verdict:
        """Adjacencies between ends, each `HOST:INTERFACE`. everybody: with any other end, too."""
        found = [
            one
            for one in self._problems
            if one["kind"] == "adjacency"
            and (one["from"] in ends or one["to"] in ends if everybody else {one["from"], one["to"]} <= set(ends))
        ]
        return self._verdict([end.partition(":")[0] for end in ends], found)

    def routing(self, host: str) -> Verdict:
        """All that a router is to have learned."""
        kinds = ("adjacency", "session", "route")
        return self._verdict([host], [one for one in self._problems if one["host"] == host and one["kind"] in kinds])

    def session(self, pairs: t.Sequence[tuple[str, str]]) -> Verdict:
        """A session of BGP, by the router and the far end as each of its ends is reported."""
        found = [one for one in self._problems if one["kind"] == "session" and (one["host"], one["to"]) in pairs]
        return self._verdict([host for host, _far in pairs], found)

    def _verdict(self, hosts: t.Sequence[str], problems: t.Sequence[Item]) -> Verdict:
        if problems:
            return Verdict("wrong", tuple(_line(one) for one in problems))
        read = [host for host in hosts if host in self._hosts]
        # Of a host that did not answer, the report knows nothing else.
        if not read or any(self._hosts[host] != "answers" for host in read):
            return Verdict("")
        return Verdict("good")


def _line(problem: Item) -> str:
    where = problem["from"] + (f" → {problem['to']}" if problem["to"] else "")
    return f"✗ {problem['kind']} {where}: {problem['observed']}; planned: {problem['expected']}"

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of iptables-legacy in the form in which nft lists its own, so that one judgement serves both. Pure.

What a rule asks that has no such form is a statement of its own, which nobody can decide. This file is private to the collection.
Sources: iptables-save(8), libnftables-json(5).
"""

from __future__ import annotations

import shlex
import typing as t

Item = t.Dict[str, t.Any]

# The hook of a built-in chain, and where a table stands among those of nft (netfilter's priorities).
HOOKS = {
    "PREROUTING": "prerouting",
    "INPUT": "input",
    "FORWARD": "forward",
    "OUTPUT": "output",
    "POSTROUTING": "postrouting",
}
PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
VERDICTS = {"DROP": "drop", "REJECT": "reject", "ACCEPT": "accept", "RETURN": "return"}
NATS = {"DNAT": "dnat", "SNAT": "snat", "MASQUERADE": "masquerade", "REDIRECT": "redirect"}


def ruleset(text: str, family: str) -> list[Item]:
    """What iptables-legacy-save printed as chains and rules. family: ip or ip6."""
    found: list[Item] = []
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            found.append({"chain": _chain(line, table, family)})
        elif "-A " in line:
            found.append({"rule": _rule(line, table, family)})
    return found


def _chain(line: str, table: str, family: str) -> Item:
    name, policy = line[1:].split()[:2]
    made: Item = {"family": family, "table": f"legacy-{table}", "name": name}
    if name in HOOKS:
        kind = "nat" if table == "nat" else "filter"
        made.update(type=kind, hook=HOOKS[name], prio=PRIORITIES.get(table, 0), policy=policy.lower())
    return made


def _rule(line: str, table: str, family: str) -> Item:
    words = shlex.split(line)
    expr: list[Item] = []
    if words[0].startswith("["):
        packets, _mark, size = words.pop(0).strip("[]").partition(":")
        expr.append({"counter": {"packets": int(packets), "bytes": int(size)}})
    chain = words[words.index("-A") + 1]
    rest = words[words.index("-A") + 2 :]
    protocol = rest[rest.index("-p") + 1] if "-p" in rest else ""
    while rest:
        negated = rest[0] == "!"
        word = rest.pop(0) if not negated else (rest.pop(0), rest.pop(0))[1]
        values = []
        while rest and not rest[0].startswith("-") and rest[0] != "!":
            values.append(rest.pop(0))
        statement = _statement(word, values, protocol, family, rest)
        if negated and "match" in (statement or {}):
            statement["match"]["op"] = "!="  # type: ignore[index]
        expr += [statement] if statement else []
    return {"family": family, "table": f"legacy-{table}", "chain": chain, "expr": expr}


def _statement(word: str, values: list[str], protocol: str, family: str, rest: list[str]) -> Item | None:
    value = values[0] if values else ""
    payload = {
        "-s": (family, "saddr"),
        "-d": (family, "daddr"),
        "--sport": (protocol, "sport"),
        "--dport": (protocol, "dport"),
    }
    if word in payload:
        named, field = payload[word]
        return _match({"payload": {"protocol": named, "field": field}}, _value(value))
    if word in ("-i", "-o"):
        return _match({"meta": {"key": "iifname" if word == "-i" else "oifname"}}, value.replace("+", "*"))
    if word == "-p":
        return _match({"meta": {"key": "l4proto"}}, value)
    if word in ("--state", "--ctstate"):
        return _match({"ct": {"key": "state"}}, [state.lower() for state in value.split(",")])
    if word in ("--icmp-type", "--icmpv6-type"):
        return _match({"payload": {"protocol": word[2:].partition("-")[0], "field": "type"}}, value.partition("/")[0])
    if word in ("-m", "--reject-with", "--comment"):
        known = ("tcp", "udp", "icmp", "icmp6", "state", "conntrack", "comment")
        return None if word != "-m" or value in known else {value: None}
    if word in ("-j", "-g"):
        return _target(word, value, rest)
    return {word: value}


def _target(word: str, value: str, rest: list[str]) -> Item:
    if value in VERDICTS:
        return {VERDICTS[value]: None}
    if value in NATS:
        # The rest of the rule says to where.
        to = next(
            (rest[number + 1] for number, one in enumerate(rest) if one in ("--to-destination", "--to-source")), ""
        )
        rest.clear()
        address, _mark, port = to.partition(":")
        return {NATS[value]: {"addr": address or None, "port": int(port) if port.isdigit() else None}}
    if value in ("LOG", "NFLOG"):
        rest.clear()
        return {"log": None}
    return {"jump" if word == "-j" else "goto": {"target": value}}


def _match(left: Item, right: t.Any) -> Item:
    return {"match": {"op": "==", "left": left, "right": right}}


def _value(text: str) -> t.Any:
    """An address, a prefix, a port or a range of ports."""
    address, mark, length = text.partition("/")
    if mark and length.isdigit():
        return {"prefix": {"addr": address, "len": int(length)}}
    low, mark, high = text.partition(":")
    if mark and low.isdigit() and high.isdigit():
        return {"range": [int(low), int(high)]}
    return int(text) if text.isdigit() else text

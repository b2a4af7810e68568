# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of a fabric for a terminal, and for Prometheus. Pure.

This file is private to the collection. Source: Prometheus' text exposition format, version 0.0.4.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._status.summary import KINDS

Item = t.Dict[str, t.Any]

TUNNELS_SHOWN = 12
PROBLEMS_SHOWN = 12
RULES_SHOWN = 12


def lines(report: Item) -> list[str]:
    """The report for a terminal: a line a kind, the tunnels where they are few, and last what is wrong."""
    width = max((len(KINDS[kind]) for kind in report["things"]), default=0)
    shown = [f"  fabric {report['fabric']}"]
    for kind, count in report["things"].items():
        mark = "●" if count["good"] == count["planned"] else "✗"
        shown.append(f"  {mark} {KINDS[kind]:{width}}  {count['good']} of {count['planned']}")
    shown += _tunnels(report["tunnels"]) + _policy(report["policy"]) + _impaired(report["impaired"])
    return shown + _problems(report["problems"])


def _tunnels(rows: t.Sequence[Item]) -> list[str]:
    if not 0 < len(rows) <= TUNNELS_SHOWN:
        return []
    name = max(len(f"{row['host']} {row['name']}") for row in rows)
    remote = max(len(row["remote"]) for row in rows)
    shown = [""]
    for row in rows:
        bfd = f", BFD {row['bfd']}" if row["bfd"] else ""
        who = f"{row['host']} {row['name']}"
        shown.append(f"    {who:{name}}  → {row['remote']:{remote}}  {_traffic(row)}{bfd}")
    return shown


def _traffic(row: Item) -> str:
    """The rates since the last run, or without one what the tunnel carried so far."""
    if not row["there"]:
        return "not there"
    if None in (row["tx_rate"], row["rx_rate"]):
        return f"{_bytes(row['tx_bytes'])} out, {_bytes(row['rx_bytes'])} in"
    return f"{rate(row['tx_rate'])} out, {rate(row['rx_rate'])} in"


def _scaled(value: float, units: t.Sequence[str]) -> str:
    for unit in units[:-1]:
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} {units[-1]}"


def _bytes(value: int) -> str:
    return _scaled(value, ("B", "kB", "MB", "GB", "TB"))


def rate(value: int) -> str:
    return _scaled(value, ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"))


def _policy(rows: t.Sequence[Item]) -> list[str]:
    """What was dropped by the policy, on all hosts, most first."""
    dropped: dict[str, int] = {}
    for row in rows:
        if row["action"] != "allow" and row["packets"]:
            dropped[row["rule"]] = dropped.get(row["rule"], 0) + row["packets"]
    shown = sorted(dropped.items(), key=lambda pair: -pair[1])[:RULES_SHOWN]
    width = max((len(rule) for rule, _packets in shown), default=0)
    lines_ = [f"    {rule:{width}}  {packets} packets" for rule, packets in shown]
    return ["", "  dropped by the policy", *lines_] if lines_ else []


def _impaired(rows: t.Sequence[Item]) -> list[str]:
    """What is impaired on purpose, and how long it will be."""
    shown = [
        f"  ! {row['host']} {row['interface']}{' in ' + row['netns'] if row['netns'] else ''} is impaired by {row['name']}"
        f" ({row['effect']}), {row['left']} s left"
        for row in rows
    ]
    return ["", *shown] if shown else []


def _problems(problems: t.Sequence[Item]) -> list[str]:
    if not problems:
        return ["", "  all as planned"]
    shown = [""]
    for check in problems[:PROBLEMS_SHOWN]:
        where = check["from"] + (f" → {check['to']}" if check["to"] else "")
        shown.append(f"  ✗ {check['kind']} {where}: {check['observed']}; planned: {check['expected']}")
        shown.append(f"      look {check['look']}")
    more = len(problems) - PROBLEMS_SHOWN
    return shown + ([f"    and {more} more in the report"] if more > 0 else [])


def sentence(report: Item) -> str:
    """What is wrong, in one sentence."""
    wrong = [
        f"{count['planned'] - count['good']} of {count['planned']} {KINDS[kind]}"
        for kind, count in report["things"].items()
        if count["good"] < count["planned"]
    ]
    return f"Not as planned: {', '.join(wrong)}."


def prometheus(report: Item) -> str:
    """The report as metrics."""
    fabric = {"fabric": report["fabric"]}
    hosts = [({**fabric, "host": name}, int(state == "answers")) for name, state in report["hosts"].items()]
    planned = [({**fabric, "kind": kind}, count["planned"]) for kind, count in report["things"].items()]
    good = [({**fabric, "kind": kind}, count["good"]) for kind, count in report["things"].items()]
    tunnels = [
        ({**fabric, "host": row["host"], "tunnel": row["name"], "remote": row["remote"]}, row)
        for row in report["tunnels"]
    ]
    moved = [
        ({**labels, "direction": way}, row[f"{way}_bytes"])
        for labels, row in tunnels
        for way in ("rx", "tx")
        if f"{way}_bytes" in row
    ]
    policy = []
    for row in report["policy"]:
        labels = {label: row[label] for label in ("host", "rule", "action")}
        policy.append(({**fabric, **labels}, row["packets"]))
    up = [(labels, int(row["there"] and not row["error"] and row["bfd"] in (None, "up"))) for labels, row in tunnels]
    parts = [
        _metric("overloom_as_planned", "gauge", "Whether all is as planned.", [(fabric, int(report["passed"]))]),
        _metric("overloom_host_up", "gauge", "Whether a host could be read.", hosts),
        _metric("overloom_planned", "gauge", "Things of the plan, by kind.", planned),
        _metric("overloom_good", "gauge", "Things that are as planned, by kind.", good),
        _metric(
            "overloom_tunnel_up", "gauge", "Whether a tunnel is there, without error, and its BFD session not down.", up
        ),
        _metric("overloom_tunnel_bytes_total", "counter", "Bytes that a tunnel carried.", moved),
        _metric("overloom_policy_packets_total", "counter", "Packets that a rule of the policy took.", policy),
        _metric("overloom_status_timestamp_seconds", "gauge", "When this was read.", [(fabric, report["time"])]),
    ]
    return "".join(parts)


Sample = t.Tuple[t.Dict[str, str], t.Any]


def _metric(name: str, kind: str, text: str, samples: t.Iterable[Sample]) -> str:
    rows = [f"{name}{{{','.join(_label(*pair) for pair in labels.items())}}} {value}" for labels, value in samples]
    return "\n".join([f"# HELP {name} {text}", f"# TYPE {name} {kind}", *rows]) + "\n"


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{name}="{escaped}"'

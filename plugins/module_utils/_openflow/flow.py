# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenFlow flows: structured data and ovs-ofctl's text.

This file is private to the collection and pure: it runs nothing. Sources: ovs-ofctl(8) for the text of flows and of what the dump
commands print, ovs-fields(7) for matches, ovs-actions(7) for actions.

A flow's canonical form is what Open vSwitch itself prints of its match and its actions: `ovs-ofctl parse-flows` prints it of
any text, `dump-flows` of what is in the switch. Two flows mean the same if and only if their canonical forms are equal. Ports
are numbers in it; `with_numbers` and `with_names` of text.py go from names to numbers and back.
"""

from __future__ import annotations

import json
import re
import string
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import (
    WORD,
    Key,
    one_line,
    split_top,
    unquoted,
    whole,
    with_names,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

DEFAULT_PRIORITY = 32768
FLAGS = ("send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts")


class Flow(t.NamedTuple):
    """One flow in canonical form: match and actions are ovs-ofctl's text, flags the sorted names of those that are set."""

    table: int = 0
    priority: int = DEFAULT_PRIORITY
    match: str = ""
    cookie: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    importance: int = 0
    flags: t.Tuple[str, ...] = ()
    actions: str = "drop"

    @property
    def key(self) -> Key:
        """What a switch can have only once."""
        return (self.table, self.priority, self.match)

    def text(self, names: t.Mapping[int, str]) -> str:
        """The flow as ovs-ofctl reads it, with names of ports."""
        settings = [f"{k}={v}" for k, v in zip(self._fields[4:7], self[4:7]) if v]
        head = [f"table={self.table},cookie={self.cookie:#x},priority={self.priority}", *settings, *self.flags]
        if self.match:
            head.append(with_names(self.match, names))
        return ",".join(head) + ",actions=" + with_names(self.actions, names)

    def identity(self, names: t.Mapping[int, str]) -> str:
        """What names the flow in a message, or in a strict deletion."""
        return f"table={self.table},priority={self.priority}" + (
            f",{with_names(self.match, names)}" if self.match else ""
        )

    def data(self, names: t.Mapping[int, str]) -> dict[str, t.Any]:
        """The flow as the modules' options state it, without timeouts and flags that are not set."""
        return {
            "table": self.table,
            "priority": self.priority,
            "match": match_data(with_names(self.match, names)),
            "actions": [] if self.actions == "drop" else split_top(with_names(self.actions, names)),
            "cookie": f"{self.cookie:#x}",
            **{name: value for name, value in zip(self._fields[4:7], self[4:7]) if value},
            **dict.fromkeys(self.flags, True),
        }

    def full_data(self, names: t.Mapping[int, str]) -> dict[str, t.Any]:
        """The flow as the modules' options state it, each of them."""
        return {**dict.fromkeys(self._fields[4:7], 0), **dict.fromkeys(FLAGS, False), **self.data(names)}


# What Open vSwitch puts by itself into a bridge that no controller rules.
DEFAULT_FLOW = Flow(priority=0, actions="NORMAL")


def match_data(text: str) -> dict[str, t.Any]:
    """A canonical match as a dictionary; a protocol's word such as `ip` becomes a key whose value is true."""
    pairs = (part.partition("=") for part in split_top(text))
    return {key: unquoted(value) if equals and value else True for key, equals, value in pairs}


_SETTINGS = {
    "table": "table",
    "cookie": "cookie",
    "idle": "idle_timeout",
    "idle_timeout": "idle_timeout",
    "hard": "hard_timeout",
    "hard_timeout": "hard_timeout",
    "importance": "importance",
}
_COUNTERS = {"duration": float, "n_packets": int, "n_bytes": int, "idle_age": int, "hard_age": int}


# A line of dump-flows, and one of parse-flows from behind its ADD, that has none of the settings which few flows have.
_MATCHED = r"(?:priority=(?P<priority>[0-9]+),?)?(?P<match>\S*) ?"
_PLAIN = re.compile(
    rf" ?cookie=(?P<cookie>0x[0-9a-f]+), (?:table=(?P<table>[0-9]+), )?{_MATCHED}actions=(?P<actions>.+)"
)
_PLAIN_ADD = re.compile(
    rf"(?:table:(?P<table>[0-9]+) )?{_MATCHED}(?:cookie:(?P<cookie>0x[0-9a-f]+) )?actions=(?P<actions>.+)"
)


def _plain_flow(found: t.Match | None) -> Flow | None:
    if found is None:
        return None
    table, priority, match, cookie, actions = found.group("table", "priority", "match", "cookie", "actions")
    if match in FLAGS or match.endswith(",") or ":" in match.partition("=")[0]:
        return None
    return Flow(
        int(table) if table else 0,
        int(priority) if priority else DEFAULT_PRIORITY,
        match,
        int(cookie, 16) if cookie else 0,
        actions=actions,
    )


_KEY_LETTERS = string.ascii_lowercase + "_"


def parse_flow(line: str) -> tuple[Flow, dict[str, t.Any]]:
    """One line of dump-flows, or one of parse-flows from behind its ADD: the flow and its counters, if it has any."""
    # An empty match leaves nothing, not even a blank, before `actions=` in some places.
    head, _equals, actions = line.partition("actions=")
    values: dict[str, t.Any] = {}
    counters, flags, match = {}, [], ""
    for token in head.split():
        token = token.rstrip(",")
        rest = token.lstrip(_KEY_LETTERS)
        key, sign, value = token[: len(token) - len(rest)], rest[:1] in ("=", ":"), rest[1:]
        if token in FLAGS:
            flags.append(token)
        elif sign and key in _SETTINGS:
            values[_SETTINGS[key]] = whole(value)
        elif sign and key in _COUNTERS:
            counters[key] = _COUNTERS[key](value.rstrip("s"))
        else:
            match = token
    first, _comma, rest = match.partition(",")
    if first.startswith("priority="):
        values["priority"], match = int(first[9:]), rest
    return Flow(match=match, flags=tuple(sorted(flags)), actions=actions.strip() or "drop", **values), counters


def parse_dump(text: str) -> list[tuple[Flow, dict[str, t.Any]]]:
    """The flows, with their counters, in what `ovs-ofctl dump-flows` printed."""
    found = []
    for line in text.splitlines():
        if "actions=" in line:
            plain = _plain_flow(_PLAIN.fullmatch(line))
            found.append((plain, {}) if plain else parse_flow(line))
    return found


def parse_parsed(text: str) -> list[Flow | str]:
    """What `ovs-ofctl parse-flows` printed, in the order of its input: a flow, or why it is none."""
    found: list[Flow | str] = []
    for line in text.splitlines():
        match = re.match(r"\S+ (?:\(OF[0-9.]+\) )?\(xid=0x[0-9a-f]+\): ", line)
        if match:
            body = line[match.end() :]
            if body.startswith("ADD "):
                found.append(_plain_flow(_PLAIN_ADD.fullmatch(body, 4)) or parse_flow(body[4:])[0])
            else:
                found.append(body.strip("* "))
    return found


_NO_FIELDS = {*_SETTINGS, *_COUNTERS, *FLAGS, "priority", "actions", "action", "cookie_mask", "out_port", "out_group"}

# A quoted name, a word, or a pair in parentheses (packet_type).
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,()"\'=\\]+|\([^\s()"\'=\\]*\)')


def match_text(match: t.Mapping[str, t.Any], where: str) -> str:
    """A match as text: a value of true gives the key alone (`ip`). Raises FabricError for what would be another field."""
    parts = []
    for key, value in match.items():
        at = f"{where}, option match, field {key}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", str(key)) or key in _NO_FIELDS:
            raise FabricError(
                f"{where}, option match: {key!r} is no field of ovs-fields(7); priority, cookie and the like are options of their own"
            )
        if value is True or value in ("true", "True"):
            parts.append(key)
            continue
        text = one_line(value, at)
        if key == "in_port" and WORD.fullmatch(text) is None and not text.isdigit() and text[:1] != '"':
            text = json.dumps(text)
        if value is None or value is False or not _VALUE.fullmatch(text):
            raise FabricError(
                f"{at} is {value!r}; give one value without blanks, commas, quotes and =, or true for a protocol such as ip"
            )
        parts.append(f"{key}={text}")
    return ",".join(parts)


def actions_text(actions: t.Sequence[t.Any], where: str) -> str:
    """A list of actions as text; each is text, or a dictionary with one key (`_action`). An empty list drops."""
    return ",".join(_action(action, f"{where}, option actions") for action in actions) or "drop"


def _action(action: t.Any, where: str) -> str:
    """One action: {output: 1} is output:1, {normal: true} is normal, {ct: {commit: true, zone: 1}} is ct(commit,zone=1),
    {resubmit: ["", 3]} is resubmit(,3), and within parentheses a list stands for actions: {exec: [..]}."""
    if not isinstance(action, dict):
        return one_line(action, where)
    if len(action) != 1:
        raise FabricError(f"{where}: {action!r} must have exactly one key, the action's name")
    ((name, value),) = action.items()
    name = one_line(name, where)
    if value is True:
        return name
    if isinstance(value, dict):
        return f"{name}({','.join(_argument(k, v, where) for k, v in value.items())})"
    if isinstance(value, list):
        return f"{name}({','.join(_action(v, where) for v in value)})"
    text = one_line(value, where)
    if name == "output" and re.search(r'[\s,()"=]', text) and text[0] != '"':
        # A port's name; what else output takes has none of these.
        text = json.dumps(text)
    return f"{name}:{text}"


def _argument(key: str, value: t.Any, where: str) -> str:
    if value is True or isinstance(value, (dict, list)):
        return _action({key: value}, where)
    return f"{one_line(key, where)}={one_line(value, where)}"

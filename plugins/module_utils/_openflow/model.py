# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenFlow flows, groups and meters: structured data, ovs-ofctl's text, and the difference between two sets of them.

This file is private to the collection and pure: it runs nothing. Sources: ovs-ofctl(8) for the text of flows, groups and
meters and of what the dump commands print, ovs-fields(7) for matches, ovs-actions(7) for actions.

A flow's canonical form is what Open vSwitch itself prints of its match and its actions: `ovs-ofctl parse-flows` prints it of
any text, `dump-flows` of what is in the switch. Two flows mean the same if and only if their canonical forms are equal. Ports
are numbers in it; `with_numbers` and `with_names` go from names to numbers and back.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, may_change
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

DEFAULT_PRIORITY = 32768
FLAGS = ("send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts")

# Cookies -----------------------------------------------------------------------------------------------------------

# Bits 63 to 48 say that the collection made a flow ("ov" in ASCII), bits 47 to 16 for which owner, bits 15 to 0 are free.
COOKIE_PREFIX = 0x6F76
COOKIE_MASK = 0xFFFFFFFFFFFF0000
ALL_BITS = 0xFFFFFFFFFFFFFFFF


def owner_cookie(owner: str) -> int:
    """The cookie of an owner's flows: the collection's prefix and the first 32 bits of the owner's SHA-256."""
    digest = hashlib.sha256(owner.encode()).digest()
    return COOKIE_PREFIX << 48 | int.from_bytes(digest[:4], "big") << 16


class Cookie(t.NamedTuple):
    """A set of cookies: those that equal value in the bits of mask."""

    value: int
    mask: int = ALL_BITS

    def holds(self, cookie: int) -> bool:
        """Whether a cookie is in the set."""
        return cookie & self.mask == self.value & self.mask

    def __str__(self) -> str:
        return f"{self.value:#x}" + ("" if self.mask == ALL_BITS else f"/{self.mask:#x}")


def parse_cookie(value: t.Any, where: str) -> Cookie:
    """A cookie, or cookie/mask, as decimal or 0x... numbers of 64 bits; a mask of -1 has all bits."""
    match = re.fullmatch(r"\s*(0[xX][0-9a-fA-F]+|[0-9]+)(?:/(0[xX][0-9a-fA-F]+|[0-9]+|-1))?\s*", str(value))
    numbers = (
        [
            int(n, 16 if n[:2] in ("0x", "0X") else 10) & ALL_BITS if n == "-1" else _number(n)
            for n in match.groups()
            if n
        ]
        if match
        else []
    )
    if not numbers or max(numbers) > ALL_BITS:
        raise FabricError(
            f"{where} is {value!r}; give a 64-bit number such as 0x6f760000 or 5, if need be with a mask: 0x5/0xff"
        )
    return Cookie(*numbers)


def _number(text: str) -> int:
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)


# Text in general ---------------------------------------------------------------------------------------------------


# By the separators: a string in double quotes as a whole, and each character that opens, closes or separates.
_BREAKS = {separators: re.compile(rf'(?s)"(?:[^"\\]|\\.?)*"?|[()\[\]{separators}]') for separators in (",", ", ")}
_NESTED = re.compile(r'[("\[]')


def split_top(text: str, separators: str = ",") -> list[str]:
    """Split at separators that stand outside parentheses, brackets and double quotes; nothing empty comes out."""
    if separators == "," and not _NESTED.search(text):
        return [part for part in map(str.strip, text.split(",")) if part]
    parts, depth, start = [], 0, 0
    for found in _BREAKS[separators].finditer(text):
        character = found.group()[0]
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character != '"' and depth <= 0:
            parts.append(text[start : found.start()])
            start = found.end()
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def one_line(value: t.Any, where: str) -> str:
    """The text of value. Raises FabricError for what would begin another line, or a comment, in ovs-ofctl's input."""
    text = str(value)
    if not text.isprintable() or "#" in text:
        raise FabricError(f"{where} is {text!r}; it must be one line of printable characters without #")
    return text


# Ports -------------------------------------------------------------------------------------------------------------

# Words that stand for ports in Open vSwitch's own language, or where a port could stand (ovs-ofctl(8), "Flow Syntax").
_RESERVED = frozenset("in_port table normal flood all controller local any none unset".split())
# Fields whose value may say where to output to.
_REGISTER = re.compile(r"x{0,2}reg[0-9]+|(?:NXM|OXM)_\w+")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PORT = _QUOTED + r'|[^\s,()"=:\[\]]+'
# A quoted name elsewhere is passed over as a whole, whatever stands in it.
_KEYED = re.compile(
    r"(?<![\w.\"-])("
    r"(?:in_port|actset_output|watch_port)\s*[=:]\s*"
    r"|(?:output|resubmit|enqueue)\s*:\s*"
    r"|(?:resubmit|enqueue)\s*\(\s*"
    r"|output\s*\((?:[^()\"]*,)?\s*port\s*[=:]\s*"
    rf")({_PORT})(?=[\s,():]|$)|{_QUOTED}"
)
_MEMBERS = re.compile(rf'\b((?:members|slaves)\s*[:=]\s*)((?:{_QUOTED}|[^()"])*)')
_WORD = re.compile(r"[A-Za-z_][\w.-]*")

# What may name a port, or hold its number, in any of the places above.
_PORTED = re.compile(r"port|output|resubmit(?!\(,)|enqueue|members|slaves")
# A name alone as an action.
_BARE = re.compile(r"(?:^|[=,])\s*([A-Za-z_][\w.-]*)\s*(?=,|$)")

Translate = t.Callable[[str, bool], str]


def _each_port(text: str, translate: Translate, bare: bool) -> str:
    """Pass each port in text through translate(port as it stands, whether a port must stand there).

    bare: whether an action may be just the name of a port, which means to output to it.
    """

    def keyed(match: t.Match) -> str:
        return match.group(1) + translate(match.group(2), True) if match.group(1) else match.group(0)

    def members(match: t.Match) -> str:
        return match.group(1) + ",".join(translate(part, True) for part in split_top(match.group(2)))

    text = _KEYED.sub(keyed, text)
    if "members" in text or "slaves" in text:
        text = _MEMBERS.sub(members, text)
    if bare:
        text = ",".join(
            translate(part, False) if _WORD.fullmatch(part) or part[0] == '"' else part for part in split_top(text)
        )
    return text


def _actions_apart(text: str) -> tuple[str, str | None]:
    """The part before `actions=`, and what stands behind it (None if there is none)."""
    found = re.search(r"(?:^|[\s,])actions?\s*=", text)
    return (text, None) if not found else (text[: found.start()], text[found.end() :])


def with_numbers(text: str, ports: t.Mapping[str, int], unknown: t.Callable[[str], int]) -> str:
    """A flow or group text with numbers for the names of ports.

    ports: number by name. unknown: called with a name that is not there; gives the number to use, or raises.
    """

    def translate(word: str, must: bool) -> str:
        name = unquoted(word)
        if word[0] != '"' and (name.lower() in _RESERVED or re.fullmatch(r"0[xX][0-9a-fA-F]+|[0-9]+", name)):
            return word
        number = ports.get(name)
        if number is None:
            if word[0] != '"' and (not must or _REGISTER.fullmatch(name)):
                # Some other action such as strip_vlan, or the field that has the port.
                return word
            number = unknown(name)
        return str(number) if must else f"output:{number}"

    if '"' not in text and not _PORTED.search(text) and not any(word in ports for word in _BARE.findall(text)):
        return text
    head, actions = _actions_apart(text)
    head = _each_port(head, translate, False)
    return head if actions is None else f"{head},actions={_each_port(actions, translate, True)}".lstrip(",")


def with_names(text: str, names: t.Mapping[int, str]) -> str:
    """Canonical text with the names of ports for their numbers, where the number has a name."""

    def translate(word: str, _must: bool) -> str:
        name = names.get(int(word)) if word.isascii() and word.isdigit() else None
        return word if name is None else quoted(name)

    if not _PORTED.search(text):
        return text
    return _each_port(text, translate, False)


# What ovs-ofctl takes for a port's name in every place, quoted or not.
_SPOKEN = re.compile(r"[A-Za-z_][\w.@+-]{0,14}", re.ASCII)


def speakable(names: t.Mapping[int, str]) -> dict[int, str]:
    """The names by which ovs-ofctl finds ports.

    It sees the first 15 bytes of each only (OpenFlow 1.5, 7.2.1), and splits some quoted ones at blanks and commas (tried with 3.1).
    """
    seen: dict[str, int] = {}
    for name in names.values():
        seen[name[:15]] = seen.get(name[:15], 0) + 1
    return {port: name for port, name in names.items() if _SPOKEN.fullmatch(name) and seen[name] == 1}


def unquoted(word: str) -> str:
    """The name behind a word that may be quoted as in JSON."""
    if word[0] != '"':
        return word
    try:
        return json.loads(word)
    except ValueError:
        raise FabricError(f"{word} is not a quoted name as in JSON") from None


def quoted(name: str) -> str:
    """A port's name for a flow: quoted unless it is a letter followed by letters and digits, and no word of ovs-ofctl's."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", name) and name.lower() not in _RESERVED
    return name if plain else json.dumps(name)


# Flows -------------------------------------------------------------------------------------------------------------

Key = t.Tuple[int, int, str]


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
            values[_SETTINGS[key]] = _number(value)
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


# From structured data to text --------------------------------------------------------------------------------------

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
        if key == "in_port" and _WORD.fullmatch(text) is None and not text.isdigit() and text[:1] != '"':
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


# Groups ------------------------------------------------------------------------------------------------------------


class Bucket(t.NamedTuple):
    """One bucket of a group; watch_port is a number's or keyword's text."""

    bucket_id: int
    weight: int
    watch_port: str | None
    watch_group: int | None
    actions: str

    def text(self, select: bool, names: t.Mapping[int, str]) -> str:
        """The bucket as ovs-ofctl reads it."""
        parts = [f"bucket_id:{self.bucket_id}"]
        if self.weight != int(select):
            parts.append(f"weight:{self.weight}")
        if self.watch_port is not None:
            parts.append(with_names(f"watch_port:{self.watch_port}", names))
        if self.watch_group is not None:
            parts.append(f"watch_group:{self.watch_group}")
        return "bucket=" + ",".join([*parts, "actions=" + with_names(self.actions, names)])


class Group(t.NamedTuple):
    """One group; type is all, select, indirect or ff."""

    group_id: int
    type: str
    selection_method: str
    selection_method_param: int
    fields: t.Tuple[str, ...]
    buckets: t.Tuple[Bucket, ...]

    def text(self, names: t.Mapping[int, str]) -> str:
        """The group as ovs-ofctl reads it, with names of ports."""
        parts = [f"group_id={self.group_id}", f"type={self.type}"]
        if self.selection_method:
            parts.append(f"selection_method={self.selection_method}")
        if self.selection_method_param:
            parts.append(f"selection_method_param={self.selection_method_param}")
        if self.fields:
            parts.append(f"fields({','.join(self.fields)})")
        return ",".join(parts + [bucket.text(self.type == "select", names) for bucket in self.buckets])

    def data(self, names: t.Mapping[int, str]) -> dict[str, t.Any]:
        """The group as the modules' options state it."""
        buckets = []
        for bucket in self.buckets:
            port = (
                None
                if bucket.watch_port is None
                else unquoted(with_names(f"watch_port:{bucket.watch_port}", names).partition(":")[2])
            )
            actions = [] if bucket.actions == "drop" else split_top(with_names(bucket.actions, names))
            buckets.append({**bucket._asdict(), "watch_port": port, "actions": actions})
        return {**self._asdict(), "fields": list(self.fields), "buckets": buckets}


# Open vSwitch prints the new names of fields, and reads both.
_FIELD_ALIASES = {
    "dl_src": "eth_src",
    "dl_dst": "eth_dst",
    "dl_type": "eth_type",
    "nw_src": "ip_src",
    "nw_dst": "ip_dst",
    "nw_proto": "ip_proto",
}
GROUP_TYPES = ("all", "select", "indirect", "ff")


def parse_group(text: str, where: str) -> Group:
    """A group from its text, as a person writes it or dump-groups prints it."""
    head, *buckets = re.split(r"[\s,]*\bbuckets?\s*=", text)
    values: dict[str, str] = {}
    fields: list[str] = []
    for part in split_top(head, ", "):
        match = re.fullmatch(r"fields(?:=|\()(.*?)\)?", part)
        if match:
            fields = split_top(match.group(1))
        else:
            key, _equals, value = part.partition("=")
            if key not in ("group_id", "type", "selection_method", "selection_method_param"):
                raise FabricError(
                    f"{where} has {part!r}; a group has group_id, type, selection_method, selection_method_param, fields and buckets"
                )
            values[key] = value
    if "group_id" not in values or "type" not in values:
        raise FabricError(f"{where} needs group_id=NUMBER and type=all, select, indirect or ff")
    return make_group(
        where,
        values["group_id"],
        values["type"],
        [_bucket(bucket) for bucket in buckets],
        values.get("selection_method", ""),
        values.get("selection_method_param", 0),
        fields,
    )


def _bucket(text: str) -> dict[str, t.Any]:
    values: dict[str, t.Any] = {}
    while True:
        match = re.match(rf"[\s,]*(bucket_id|weight|watch_port|watch_group)\s*[:=]\s*({_PORT})[\s,]*", text)
        if not match:
            break
        values[match.group(1)] = match.group(2)
        text = text[match.end() :]
    values["actions"] = re.sub(r"^\s*actions\s*=\s*", "", text).strip(" ,") or "drop"
    return values


def make_group(
    where: str,
    group_id: t.Any,
    kind: str,
    buckets: t.Sequence[dict],
    method: str,
    param: t.Any,
    fields: t.Iterable[str],
) -> Group:
    """A group with its numbers checked, and each bucket given an id: the lowest free one, as Open vSwitch itself does."""
    kind = "ff" if kind == "fast_failover" else kind
    if kind not in GROUP_TYPES:
        raise FabricError(f"{where}, type is {kind!r}; give one of {', '.join(GROUP_TYPES)}")
    if method and not re.fullmatch(r"[a-z_]{1,15}", method):
        raise FabricError(f"{where}, selection_method is {method!r}; give hash or dp_hash")
    if kind != "select" and (method or fields):
        raise FabricError(f"{where}, selection_method and fields are for type select only")
    given = [
        number(b["bucket_id"], 0, 0xFFFFFF00, where, "bucket_id") for b in buckets if b.get("bucket_id") is not None
    ]
    if len(set(given)) < len(given):
        raise FabricError(f"{where} has two buckets with one bucket_id; give each its own")
    free = iter(n for n in range(len(buckets) + len(given) + 1) if n not in given)
    made = []
    for bucket in buckets:
        watch = bucket.get("watch_group")
        port = bucket.get("watch_port")
        made.append(
            Bucket(
                next(free)
                if bucket.get("bucket_id") is None
                else number(bucket["bucket_id"], 0, 0xFFFFFF00, where, "bucket_id"),
                int(kind == "select")
                if bucket.get("weight") is None
                else number(bucket["weight"], 0, 65535, where, "weight"),
                None if port in (None, "", "any", "none") else str(port),
                None if watch is None else number(watch, 0, 0xFFFFFF00, where, "watch_group"),
                bucket["actions"],
            )
        )
    names = tuple(sorted(_FIELD_ALIASES.get(field, field) for field in fields))
    for field in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]*(=[0-9a-fA-Fx.:]+)?", field):
            raise FabricError(f"{where}, fields has {field!r}; give fields of ovs-fields(7)")
    return Group(
        number(group_id, 0, 0xFFFFFF00, where, "group_id"),
        kind,
        method,
        number(param, 0, ALL_BITS, where, "selection_method_param"),
        names,
        tuple(made),
    )


def number(value: t.Any, low: int, high: int, where: str, option: str) -> int:
    """A whole number in its bounds, from a number or its decimal or 0x... text."""
    text = str(value).strip()
    if not isinstance(value, bool) and re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]+", text) and low <= _number(text) <= high:
        return _number(text)
    raise FabricError(f"{where}, {option} is {value!r}; give a whole number from {low} to {high}")


def parse_groups(text: str) -> dict[int, Group]:
    """The groups in what `ovs-ofctl -O OpenFlow15 dump-groups` printed."""
    found = [
        parse_group(line.strip(), "dump-groups") for line in text.splitlines() if line.strip().startswith("group_id=")
    ]
    return {group.group_id: group for group in found}


# What a bucket's actions need to be matched before Open vSwitch takes them in a flow; the first row that fits is used.
_PREREQUISITES = (
    (r"nd_(sll|tll|target)|nd_options_type|nd_reserved", "icmp6,icmp_type=135"),
    (r"icmpv6", "icmp6"),
    (r"icmp_", "icmp"),
    (r"arp_|NXM_OF_ARP|NXM_NX_ARP|OXM_OF_ARP", "arp"),
    (r"(?i)sctp", "sctp"),
    (r"(?i)udp", "udp"),
    (r"(?i)tcp|mod_tp_|(tp|_)_src_port", "tcp"),
    (r"(?i)mpls(?!:0x)|mpls_ttl", "mpls"),
    (r"(?i)ipv6", "ipv6"),
    (r"(?i)nw_|\bip_|ipv4|_of_ip_|nx_ip_|dec_ttl|ct\(|ct_clear|nat", "ip"),
    (r"(?i)vlan_(vid|pcp)\b", "vlan_tci=0x1000/0x1000"),
)


def bucket_line(actions: str) -> str:
    """A flow that holds a bucket's actions, for parse-flows: groups have no such command, and need no match."""
    match = next((match for pattern, match in _PREREQUISITES if re.search(pattern, actions)), "")
    return f"{match},actions={actions}".lstrip(",")


# Meters ------------------------------------------------------------------------------------------------------------


class Band(t.NamedTuple):
    """One band of a meter; rate and burst_size are in the meter's unit (kilobits or packets)."""

    type: str
    rate: int
    burst_size: int | None = None
    prec_level: int | None = None


class Meter(t.NamedTuple):
    """One meter; unit is kbps or pktps, meter_id a number's text, `controller` or `slowpath`."""

    meter_id: str
    unit: str
    stats: bool
    bands: t.Tuple[Band, ...]

    def text(self) -> str:
        """The meter as ovs-ofctl reads it."""
        parts = [f"meter={self.meter_id}", self.unit]
        if any(band.burst_size is not None for band in self.bands):
            parts.append("burst")
        if self.stats:
            parts.append("stats")
        bands = [
            ",".join(f"{key}={value}" for key, value in band._asdict().items() if value is not None)
            for band in self.bands
        ]
        return ",".join(parts) + ",bands=" + ",".join(bands)

    def data(self) -> dict[str, t.Any]:
        """The meter as the modules' options state it."""
        return {**self._asdict(), "bands": [band._asdict() for band in self.bands]}


def parse_meter(text: str, where: str) -> Meter:
    """A meter from its text, as a person writes it or dump-meters prints it."""
    head, _equals, bands = text.partition("bands=")
    words = head.replace(",", " ").split()
    ids = [word[6:] for word in words if word.startswith("meter=")]
    rest = [word for word in words if not word.startswith("meter=")]
    if len(ids) != 1 or not set(rest) <= {"kbps", "pktps", "burst", "stats"}:
        raise FabricError(f"{where} is {text!r}; give meter=NUMBER, kbps or pktps, perhaps burst and stats, and bands=")
    made: list[dict[str, str]] = []
    for word in bands.replace(",", " ").split():
        key, _equals, value = word.partition("=")
        if key == "type":
            made.append({})
        if not made or key not in Band._fields:
            raise FabricError(
                f"{where}: {word!r} is no part of a band; a band is type=drop,rate=NUMBER and perhaps burst_size=NUMBER"
            )
        made[-1][key] = value
    return make_meter(where, ids[0], "".join(w for w in rest if w in ("kbps", "pktps")), "stats" in rest, made)


def make_meter(where: str, meter_id: t.Any, unit: str, stats: bool, bands: t.Sequence[t.Mapping[str, t.Any]]) -> Meter:
    """A meter with its numbers checked. If one band has a burst_size, all have one, 0 by default (a flag of the meter)."""
    if unit not in ("kbps", "pktps"):
        raise FabricError(f"{where}, unit is {unit!r}; give kbps or pktps")
    if not bands:
        raise FabricError(f"{where} has no bands; give at least one, such as type drop with a rate")
    burst = any(band.get("burst_size") is not None for band in bands)
    made = []
    for band in bands:
        kind = band.get("type") or "drop"
        level = band.get("prec_level")
        if kind not in ("drop", "dscp_remark"):
            raise FabricError(f"{where}, the type of a band is {kind!r}; give drop or dscp_remark")
        made.append(
            Band(
                kind,
                number(band.get("rate"), 0, 0xFFFFFFFF, where, "rate"),
                number(band.get("burst_size") or 0, 0, 0xFFFFFFFF, where, "burst_size") if burst else None,
                None if level is None else number(level, 0, 255, where, "prec_level"),
            )
        )
    virtual = str(meter_id) in ("controller", "slowpath")
    name = str(meter_id) if virtual else str(number(meter_id, 1, 0xFFFF0000, where, "meter_id"))
    return Meter(name, unit, bool(stats), tuple(made))


def parse_meters(text: str) -> dict[str, Meter]:
    """The meters in what `ovs-ofctl dump-meters` printed."""
    found = [parse_meter("meter=" + part, "dump-meters") for part in re.split(r"(?m)^\s*meter=", text)[1:]]
    return {meter.meter_id: meter for meter in found}


# Counters ----------------------------------------------------------------------------------------------------------


def _counts(text: str) -> dict[str, t.Any]:
    """Counters such as packet_count=1 or packet_count:1 by name; a duration is in seconds."""
    pairs = re.findall(r"\b([a-z_]+)[=:]([0-9]+(?:\.[0-9]+)?)", text)
    return {key: float(value) if key == "duration" else int(value) for key, value in pairs}


def parse_group_stats(text: str) -> dict[int, dict[str, t.Any]]:
    """The counters in what `ovs-ofctl dump-group-stats` printed, by group; `buckets` are in the order of the group's."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*group_id=([0-9]+),", line)
        if match:
            head, *buckets = re.split(r",bucket[0-9]+:", line[match.end() :])
            found[int(match.group(1))] = {**_counts(head), "buckets": [_counts(bucket) for bucket in buckets]}
    return found


def parse_meter_stats(text: str) -> dict[str, dict[str, t.Any]]:
    """The counters in what `ovs-ofctl meter-stats` printed, by meter; `bands` are in the order of the meter's."""
    found = {}
    for part in re.split(r"(?m)^\s*meter:", text)[1:]:
        name, _blank, rest = part.partition(" ")
        head, _bands, bands = rest.partition("bands:")
        found[name] = {**_counts(head), "bands": [_counts(band) for band in re.findall(r"(?m)^[0-9]+:(.*)$", bands)]}
    return found


def parse_tables(text: str) -> list[dict[str, int]]:
    """The tables that have flows, in what `ovs-ofctl dump-tables` printed: table, active, lookup, matched."""
    found = []
    for match in re.finditer(r"(?m)^\s*table ([0-9]+)[^\n]*:\s*\n\s*(active=[^\n]*)", text):
        counts = _counts(match.group(2))
        if counts["active"]:
            found.append({"table": int(match.group(1)), **counts})
    return found


# GENEVE options ----------------------------------------------------------------------------------------------------


class Tlv(t.NamedTuple):
    """One entry of a bridge's map from GENEVE options to fields (ovs-ofctl(8), add-tlv-map): tun_metadataNUMBER holds it.

    option_class and type: of the option (RFC 8926, 3.5). length: of its data in bytes.
    """

    option_class: int
    type: int
    length: int
    number: int

    def text(self) -> str:
        """The entry as ovs-ofctl reads it."""
        return f"{{class={self.option_class:#x},type={self.type:#x},len={self.length}}}->tun_metadata{self.number}"

    def data(self) -> dict[str, t.Any]:
        """The entry as the modules' options state it."""
        return {
            "class": f"{self.option_class:#06x}",
            "type": self.type,
            "length": self.length,
            "field": f"tun_metadata{self.number}",
        }


def parse_tlvs(text: str) -> list[Tlv]:
    """The entries in what `ovs-ofctl dump-tlv-map` printed."""
    rows = re.findall(r"(?m)^\s*(0x[0-9a-f]+|0)\s+(0x[0-9a-f]+|0)\s+([0-9]+)\s+tun_metadata([0-9]+)\s*$", text)
    return [
        Tlv(_number(option_class), _number(kind), int(length), int(index)) for option_class, kind, length, index in rows
    ]


def tlvs_text(tlvs: t.Iterable[Tlv]) -> str:
    """Entries as one argument of ovs-ofctl."""
    return ",".join(tlv.text() for tlv in tlvs)


# Versions ----------------------------------------------------------------------------------------------------------

# The newest first; the first has all of groups.
VERSIONS = tuple(f"OpenFlow1{minor}" for minor in range(5, -1, -1))
# Those that have bundles, in which all happens at once or nothing (ovs-ofctl(8), "bundle").
BUNDLED = VERSIONS[:3]


def spoken(protocols: t.Collection[str]) -> str:
    """The newest version that a bridge speaks, from its column protocols."""
    return next((version for version in VERSIONS if version in protocols), VERSIONS[0])


# Comparing ---------------------------------------------------------------------------------------------------------


class Switch(t.NamedTuple):
    """What a bridge holds, or a file of an owner: flows by key, groups and meters by id."""

    flows: t.Dict[Key, Flow]
    groups: t.Dict[int, Group]
    meters: t.Dict[str, Meter]


class WantedFlow(t.NamedTuple):
    """One declared flow. where: how a message names it. declared: the fields of Flow that it states, and flags by name."""

    where: str
    flow: Flow
    declared: t.FrozenSet[str]
    present: bool = True


class WantedGroup(t.NamedTuple):
    """One declared group: the values of Group that it states; buckets are dictionaries with canonical actions."""

    where: str
    group_id: int
    values: t.Dict[str, t.Any]
    present: bool = True


class WantedMeter(t.NamedTuple):
    """One declared meter: the values of Meter that it states."""

    where: str
    meter_id: str
    values: t.Dict[str, t.Any]
    present: bool = True


class Wanted(t.NamedTuple):
    """All that a call declares; None for a kind of things that it does not speak of."""

    flows: t.Optional[t.List[WantedFlow]]
    groups: t.Optional[t.List[WantedGroup]]
    meters: t.Optional[t.List[WantedMeter]]


class Scope(t.NamedTuple):
    """What a call may remove and take over.

    cookie: our flows. tables: the tables that the call is about (None: all).
    own_groups, own_meters: ids of ours. others: owner by ("group" or "meter", id) of what is another owner's.
    standalone: whether the bridge switches by itself, by the flow that Open vSwitch puts there once (fail_mode, no controller).
    """

    cookie: Cookie
    tables: t.Optional[t.FrozenSet[int]] = None
    purge: bool = False
    adopt: bool = False
    own_groups: t.FrozenSet[int] = frozenset()
    own_meters: t.FrozenSet[str] = frozenset()
    others: t.Mapping[t.Tuple[str, t.Any], str] = {}
    standalone: bool = False

    @property
    def caller(self) -> Caller:
        """The caller, for the rule of owners; what it owns is known by the cookie, not by the name."""
        return Caller("", self.adopt)


class Plan(t.NamedTuple):
    """What is to be done. Each of put_groups and put_meters is (whether it is new, the thing).

    own_groups, own_meters: ids of ours afterwards.
    wanted: the declared things as they are to be.
    """

    put_flows: t.List[Flow]
    del_flows: t.List[Flow]
    put_groups: t.List[t.Tuple[bool, Group]]
    del_groups: t.List[int]
    put_meters: t.List[t.Tuple[bool, Meter]]
    del_meters: t.List[str]
    wanted: Switch
    own_groups: t.FrozenSet[int]
    own_meters: t.FrozenSet[str]

    def __bool__(self) -> bool:
        return any(self[:6])


def compare(wanted: Wanted, found: Switch, scope: Scope, names: t.Mapping[int, str]) -> Plan:
    """From what is wanted and found to what is to be done. Raises FabricError for what must not be done."""
    put_flows, del_flows, stated = _compare_flows(wanted.flows, found.flows, scope, names)
    put_groups, del_groups, groups, own_groups = _compare_things(
        "group", wanted.groups, found.groups, scope.own_groups, scope, _merge_group
    )
    put_meters, del_meters, meters, own_meters = _compare_things(
        "meter", wanted.meters, found.meters, scope.own_meters, scope, _merge_meter
    )
    _refuse_foreign_users(
        "group", [group.group_id for new, group in put_groups if not new], found.flows, scope, scope.own_groups
    )
    _refuse_foreign_users(
        "meter", [meter.meter_id for new, meter in put_meters if not new], found.flows, scope, scope.own_meters
    )
    plan = Plan(
        put_flows,
        del_flows,
        put_groups,
        del_groups,
        put_meters,
        del_meters,
        Switch(stated, groups, meters),
        own_groups,
        own_meters,
    )
    _refuse_used(plan, found, names)
    return plan


def _compare_flows(
    wanted: list[WantedFlow] | None, found: t.Mapping[Key, Flow], scope: Scope, names: t.Mapping[int, str]
) -> tuple[list[Flow], list[Flow], dict[Key, Flow]]:
    put: list[Flow] = []
    drop: list[Flow] = []
    stated: dict[Key, Flow] = {}
    seen: dict[Key, str] = {}
    for item in wanted or ():
        flow = item.flow
        if flow.key in seen:
            raise FabricError(
                f"{item.where} and {seen[flow.key]} are the same flow: {flow.identity(names)}; declare it once"
            )
        seen[flow.key] = item.where
        _check_scope(item, scope)
        present = found.get(flow.key)
        if present is not None:
            _check_cookie(item, present, scope)
        if not item.present:
            if present is not None:
                drop.append(present)
            continue
        merged = _merge_flow(item, None, scope, True) if present is None else _changed_flow(item, present, scope)
        stated[flow.key] = merged
        if merged != present:
            put.append(merged)
    if scope.purge and wanted is not None:
        drop += [flow for key, flow in found.items() if key not in seen and _in_scope(flow, scope)]
    replaced_default = any(flow.key == DEFAULT_FLOW.key and flow != DEFAULT_FLOW for flow in drop)
    if scope.standalone and replaced_default:
        # What had replaced the flow by which the bridge switches goes, and Open vSwitch does not put that flow back.
        drop = [flow for flow in drop if flow.key != DEFAULT_FLOW.key]
        put.append(DEFAULT_FLOW)
    return put, drop, stated


def _check_scope(item: WantedFlow, scope: Scope) -> None:
    """Refuse a flow in a table or with a cookie that the call is not about."""
    if scope.tables is not None and item.flow.table not in scope.tables:
        raise FabricError(
            f"{item.where} is in table {item.flow.table}, but tables has only {', '.join(map(str, sorted(scope.tables)))}"
        )
    if "cookie" in item.declared and not scope.cookie.holds(item.flow.cookie):
        raise FabricError(
            f"{item.where} has the cookie {item.flow.cookie:#x}, which is not in {scope.cookie}; state the cookie of the call in option cookie"
        )


def _in_scope(flow: Flow, scope: Scope) -> bool:
    """Is a flow of the bridge one of those that the call is about?"""
    return scope.cookie.holds(flow.cookie) and (scope.tables is None or flow.table in scope.tables)


def _check_cookie(item: WantedFlow, present: Flow, scope: Scope) -> None:
    """Refuse a flow that is on the bridge with another's cookie, unless it is adopted or stays as it is."""
    if scope.adopt or scope.cookie.holds(present.cookie):
        return
    if present.cookie >> 48 == COOKIE_PREFIX:
        raise FabricError(
            f"{item.where} is on the bridge with the cookie {present.cookie:#x} of another owner; set adopt to take it over"
        )
    if not item.present:
        raise FabricError(
            f"{item.where} is on the bridge with the cookie {present.cookie:#x}, which is not ours, and stays;"
            " leave it out of the task, or give adopt: true to remove it"
        )
    if "cookie" in item.declared and present.cookie != item.flow.cookie:
        raise FabricError(
            f"{item.where} is on the bridge with the cookie {present.cookie:#x}; set adopt to give it another cookie"
        )


def _changed_flow(item: WantedFlow, present: Flow, scope: Scope) -> Flow:
    """A flow that is on the bridge, as it is to be. Refuses to change another's unless it is adopted."""
    ours = scope.cookie.holds(present.cookie)
    default = present == DEFAULT_FLOW
    merged = _merge_flow(item, present, scope, ours)
    if default and merged != present and "cookie" not in item.declared:
        merged = merged._replace(cookie=scope.cookie.value)
    if not (ours or default or scope.adopt) and _lasting(merged) == _lasting(present):
        merged = present
    if merged != present and not (ours or default):
        what = f"{item.where} is on the bridge with the cookie {present.cookie:#x}: it"
        may_change(what, None, scope.caller, "it would be changed", way="give yours another priority or table")
    return merged


def _lasting(flow: Flow) -> Flow:
    """A flow without what counts only while it is sent, and which Open vSwitch notes by itself for a controller of OpenFlow 1.0."""
    return flow._replace(flags=tuple(flag for flag in flow.flags if flag != "reset_counts"))


_WHOLE = frozenset((*Flow._fields[4:7], *FLAGS, "actions"))


def _merge_flow(item: WantedFlow, present: Flow | None, scope: Scope, ours: bool) -> Flow:
    """The flow as it is to be: what is declared, and for the rest what is there."""
    flow = item.flow
    if present is None:
        if "actions" not in item.declared:
            raise FabricError(f"{item.where} is not on the bridge, and has no actions; state them ([] drops)")
        return flow if "cookie" in item.declared else flow._replace(cookie=scope.cookie.value)
    if item.declared >= _WHOLE and (ours or not scope.adopt):
        # Nothing of what is there stays but the cookie, and that unless it is declared too.
        return flow if "cookie" in item.declared else flow._replace(cookie=present.cookie)
    kept = {field: getattr(present, field) for field in Flow._fields[4:7] + ("actions",) if field not in item.declared}
    flags = {flag for flag in FLAGS if (flag in flow.flags if flag in item.declared else flag in present.flags)}
    if "cookie" not in item.declared:
        kept["cookie"] = present.cookie if ours or not scope.adopt else scope.cookie.value
    return flow._replace(flags=tuple(sorted(flags)), **kept)


def _compare_things(
    kind: str,
    wanted: t.Sequence[t.Any] | None,
    found: t.Mapping[t.Any, t.Any],
    own: t.FrozenSet[t.Any],
    scope: Scope,
    merge: t.Callable[[t.Any, t.Any], t.Any],
) -> tuple[list[tuple[bool, t.Any]], list[t.Any], dict[t.Any, t.Any], t.FrozenSet[t.Any]]:
    """Groups or meters, which have no cookie: ours are those in own."""
    put, drop, stated = [], [], {}
    ours = set(own)
    seen: dict[t.Any, str] = {}
    for item in wanted or ():
        name = item[1]
        if name in seen:
            raise FabricError(f"{item.where} and {seen[name]} are the same {kind}; declare it once")
        seen[name] = item.where
        other = scope.others.get((kind, name))
        present = found.get(name)
        if other is not None and not scope.adopt:
            raise FabricError(f"{item.where} belongs to the owner {other}; set adopt to take it over")
        if not item.present:
            if present is not None and name not in own and not scope.adopt:
                raise FabricError(
                    f"{item.where} is on the bridge, but not ours, and stays; leave it out of the task, or give adopt: true to remove it"
                )
            ours.discard(name)
            if present is not None:
                drop.append(name)
            continue
        if present is None or scope.adopt:
            ours.add(name)
        stated[name] = merge(item, present)
        if stated[name] != present:
            put.append((present is None, stated[name]))
    if scope.purge and wanted is not None:
        gone = sorted(own - set(seen))
        drop += [name for name in gone if name in found]
        ours -= set(gone)
    return put, drop, stated, frozenset(ours)


def _refuse_foreign_users(
    kind: str, changed: t.Iterable[t.Any], flows: t.Mapping[Key, Flow], scope: Scope, own: t.Container[t.Any]
) -> None:
    """A group or meter that was not made here, and that a flow of others uses, is theirs."""
    for name in changed:
        for flow in flows.values():
            used = re.search(rf"\b{kind}:{name}\b", flow.actions)
            if used and name not in own and not scope.cookie.holds(flow.cookie):
                user = f"the flow {flow.identity({})} with cookie {flow.cookie:#x}"
                may_change(
                    f"{kind} {name}", None, scope.caller, "it would be changed", [user], way="choose another number"
                )


def _merge_group(item: WantedGroup, present: Group | None) -> Group:
    values = dict(item.values)
    if present is None:
        if values.get("type") is None:
            raise FabricError(
                f"{item.where} is not on the bridge, and has no type; give one of {', '.join(GROUP_TYPES)}"
            )
    else:
        kind = values.setdefault("type", present.type)
        if kind == "select":
            # Of another type, they could not stay.
            values.setdefault("selection_method", present.selection_method)
            values.setdefault(
                "selection_method_param", present.selection_method_param if values["selection_method"] else 0
            )
            values.setdefault("fields", present.fields if values["selection_method"] else ())
        values.setdefault("buckets", [bucket._asdict() for bucket in present.buckets])
    return make_group(
        item.where,
        item.group_id,
        values["type"],
        values.get("buckets", ()),
        values.get("selection_method", ""),
        values.get("selection_method_param", 0),
        values.get("fields", ()),
    )


def _merge_meter(item: WantedMeter, present: Meter | None) -> Meter:
    values = dict(item.values)
    if present is not None:
        values = {
            "unit": present.unit,
            "stats": present.stats,
            "bands": [band._asdict() for band in present.bands],
            **values,
        }
    return make_meter(
        item.where, item.meter_id, values.get("unit", ""), values.get("stats", False), values.get("bands", ())
    )


def apply(found: Switch, plan: Plan) -> Switch:
    """What the bridge holds after the plan: the model behind the diff, and behind the tests."""
    gone = {flow.key for flow in plan.del_flows}
    return Switch(
        {**{k: v for k, v in found.flows.items() if k not in gone}, **{flow.key: flow for flow in plan.put_flows}},
        {
            **{k: v for k, v in found.groups.items() if k not in plan.del_groups},
            **{g.group_id: g for _new, g in plan.put_groups},
        },
        {
            **{k: v for k, v in found.meters.items() if k not in plan.del_meters},
            **{m.meter_id: m for _new, m in plan.put_meters},
        },
    )


def _refuse_used(plan: Plan, found: Switch, names: t.Mapping[int, str]) -> None:
    """Open vSwitch deletes the flows that use a deleted group or meter, whosever they are: not with us."""
    for kind, ids in (("group", plan.del_groups), ("meter", plan.del_meters)):
        if not ids:
            continue
        pattern = re.compile(rf"\b{kind}:({'|'.join(map(str, ids))})\b")
        after = apply(found, plan)
        users = [(f"flow {flow.identity(names)}", flow.actions) for flow in after.flows.values()]
        users += [(f"group {g.group_id}", bucket.actions) for g in after.groups.values() for bucket in g.buckets]
        for user, actions in users:
            match = pattern.search(actions)
            if match:
                raise FabricError(f"{kind} {match.group(1)} is still used by the {user}; remove or change that first")


def kept(record: Switch, wanted: Wanted, plan: Plan, scope: Scope) -> Switch:
    """What an owner's file holds after the plan: what is declared, and what it held and the call does not speak of."""
    absent = {item.flow.key for item in wanted.flows or () if not item.present}
    purged = scope.purge and wanted.flows is not None
    flows = {
        key: flow
        for key, flow in record.flows.items()
        if key not in absent
        and not (purged and scope.cookie.holds(flow.cookie) and (scope.tables is None or flow.table in scope.tables))
    }
    gone_groups = {item.group_id for item in wanted.groups or ()} | (scope.own_groups - plan.own_groups)
    gone_meters = {item.meter_id for item in wanted.meters or ()} | (scope.own_meters - plan.own_meters)
    return Switch(
        {**flows, **plan.wanted.flows},
        {**{k: v for k, v in record.groups.items() if k not in gone_groups}, **plan.wanted.groups},
        {**{k: v for k, v in record.meters.items() if k not in gone_meters}, **plan.wanted.meters},
    )


def bundle_lines(plan: Plan, names: t.Mapping[int, str]) -> list[str]:
    """The lines for `ovs-ofctl bundle`: groups before the flows that use them, deletions of groups last.

    Adding a flow that is there keeps its counters (without reset_counts), and unlike modify_strict it also sets timeouts and
    flags, and does not come to nothing if the flow has just expired.
    """
    lines = [f"group {'add' if new else 'modify'} {group.text(names)}" for new, group in plan.put_groups]
    lines += [f"flow delete_strict cookie={flow.cookie:#x}/-1,{flow.identity(names)}" for flow in plan.del_flows]
    lines += [f"flow add {flow.text(names)}" for flow in plan.put_flows]
    lines += [f"group delete group_id={group}" for group in plan.del_groups]
    return lines


def restore_lines(switch: Switch, names: t.Mapping[int, str]) -> list[str]:
    """The lines for `ovs-ofctl bundle` that make groups and flows anew, whatever is there already."""
    groups = [f"group add_or_mod {group.text(names)}" for _id, group in sorted(switch.groups.items())]
    flows = sorted(switch.flows.values(), key=lambda flow: (flow.table, -flow.priority, flow.match))
    return groups + [f"flow add {flow.text(names)}" for flow in flows]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ovs-ofctl's text: lists with nested parentheses, quotation, and ports by name or number.

This file is private to the collection and pure. Source: ovs-ofctl(8).
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError


def whole(text: str) -> int:
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)


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


# Words that stand for ports in Open vSwitch's own language, or where a port could stand (ovs-ofctl(8), "Flow Syntax").
_RESERVED = frozenset("in_port table normal flood all controller local any none unset".split())
# Fields whose value may say where to output to.
_REGISTER = re.compile(r"x{0,2}reg[0-9]+|(?:NXM|OXM)_\w+")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
PORT = _QUOTED + r'|[^\s,()"=:\[\]]+'
# A quoted name elsewhere is passed over as a whole, whatever stands in it.
_KEYED = re.compile(
    r"(?<![\w.\"-])("
    r"(?:in_port|actset_output|watch_port)\s*[=:]\s*"
    r"|(?:output|resubmit|enqueue)\s*:\s*"
    r"|(?:resubmit|enqueue)\s*\(\s*"
    r"|output\s*\((?:[^()\"]*,)?\s*port\s*[=:]\s*"
    rf")({PORT})(?=[\s,():]|$)|{_QUOTED}"
)
_MEMBERS = re.compile(rf'\b((?:members|slaves)\s*[:=]\s*)((?:{_QUOTED}|[^()"])*)')
WORD = re.compile(r"[A-Za-z_][\w.-]*")

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
            translate(part, False) if WORD.fullmatch(part) or part[0] == '"' else part for part in split_top(text)
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


Key = t.Tuple[int, int, str]


def number(value: t.Any, low: int, high: int, where: str, option: str) -> int:
    """A whole number in its bounds, from a number or its decimal or 0x... text."""
    text = str(value).strip()
    if not isinstance(value, bool) and re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]+", text) and low <= whole(text) <= high:
        return whole(text)
    raise FabricError(f"{where}, {option} is {value!r}; give a whole number from {low} to {high}")


def counters(text: str) -> dict[str, t.Any]:
    """Counters such as packet_count=1 or packet_count:1 by name; a duration is in seconds."""
    pairs = re.findall(r"\b([a-z_]+)[=:]([0-9]+(?:\.[0-9]+)?)", text)
    return {key: float(value) if key == "duration" else int(value) for key, value in pairs}

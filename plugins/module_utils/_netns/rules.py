# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policy rules of a network namespace (ip-rule(8)): read without a process, checked, compared.

This file is private to the collection. Rules are the namespace's, not an interface's. The kernel's own and those of routing
daemons are told by their protocol and left alone.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import check_interface_name, check_table
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Step

# The kernel's own rules are 0 (local), 32766 (main) and 32767 (default).
LAST_PRIORITY = 32765
_EVERY = {4: "0.0.0.0/0", 6: "::/0"}

# linux/rtnetlink.h, linux/fib_rules.h
_GETRULE, _DUMP, _DONE, _ERROR = 34, 0x301, 3, 2
_TO_TABLE = 1
_DST, _SRC, _IIF, _PRIORITY, _SUPPRESS, _TABLE, _OIF, _PROTOCOL = 1, 2, 3, 6, 14, 15, 17, 21
_KNOWN = {_DST, _SRC, _IIF, _PRIORITY, _TABLE, _OIF, _PROTOCOL}
# What every answer has, whether it says anything or not: without a limit, it is -1.
_PADDING, _UNLIMITED = 18, 0xFFFFFFFF
# Protocols of people: none, `boot` (that of `ip rule add`) and `static`.
_BY_HAND = (0, 3, 4)


class Rule(t.NamedTuple):
    """One policy rule: packets of `source` to `to`, that came in by `iif` or leave by a socket on `oif`, look into `table`.

    source, to: canonical prefixes of one family; 0.0.0.0/0 and ::/0 stand for all.
    other: it has a selector or an action that is never declared here.
    """

    priority: int
    source: str
    to: str
    table: int
    iif: str = ""
    oif: str = ""
    other: bool = False

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.source else 4

    def shown(self) -> dict[str, t.Any]:
        """Its options."""
        every = _EVERY[self.family]
        shown: dict[str, t.Any] = {"priority": self.priority, "from": self.source, "table": self.table}
        return {
            **shown,
            **({"to": self.to} if self.to != every else {}),
            **{key: value for key, value in (("iif", self.iif), ("oif", self.oif)) if value},
            **({"other": True} if self.other else {}),
        }


def argument_spec() -> dict[str, t.Any]:
    """The options of a rule."""
    return {
        "priority": {"type": "int", "required": True},
        "from": {"type": "str"},
        "to": {"type": "str"},
        "iif": {"type": "str"},
        "oif": {"type": "str"},
        "table": {"type": "int", "required": True},
    }


# --- checking ----------------------------------------------------------------------------------------------------------


def check_rule(item: t.Mapping[str, t.Any], what: str) -> Rule:
    """One declared rule in canonical form."""
    priority = item["priority"]
    if not 1 <= priority <= LAST_PRIORITY:
        raise FabricError(f"{what}: priority {priority} is out of range; give 1 to {LAST_PRIORITY}")
    ends = [
        _prefix(item[key], f"{what}: {key} of the rule {priority}") if item.get(key) else None for key in ("from", "to")
    ]
    versions = {end.version for end in ends if end}
    if len(versions) != 1:
        wrong = "from and to of the rule {} are of two address families" if versions else "the rule {} needs from or to"
        raise FabricError(
            f"{what}: {wrong.format(priority)}; give prefixes of one family, such as 0.0.0.0/0 for all of IPv4"
        )
    source, to = (str(end or _EVERY[min(versions)]) for end in ends)
    iif, oif = (
        check_interface_name(item[key], f"{what}: {key} of the rule {priority}") if item.get(key) else ""
        for key in ("iif", "oif")
    )
    return Rule(priority, source, to, check_table(item["table"], f"{what}: table of the rule {priority}"), iif, oif)


def _prefix(text: str, what: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise FabricError(
            f"{what}: {text!r} is no address and no prefix without host bits; write it like 10.1.1.1 or 10.1.0.0/16"
        ) from None


# --- reading -----------------------------------------------------------------------------------------------------------


def read_rules() -> tuple[Rule, ...]:
    """The rules of this thread's namespace that people made, by family and priority."""
    found: list[Rule] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        found += [rule for rule in map(parse_rule, _messages(family)) if rule]
    return tuple(found)


def _messages(family: int) -> t.Iterator[bytes]:
    """The answers of rtnetlink(7), without their headers; none from a kernel without such rules."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
        request = struct.pack("=BBBBBBBBI", family, *[0] * 8)
        link.send(struct.pack("=IHHII", 16 + len(request), _GETRULE, _DUMP, 1, 0) + request)
        while True:
            data = link.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (_DONE, _ERROR):
                    return
                yield data[16:length]
                data = data[_aligned(length) :]


def parse_rule(message: bytes) -> Rule | None:
    """A rule from its message (struct fib_rule_hdr, then attributes); None for one that no person made."""
    family, to_length, from_length, tos, table, _r1, _r2, action, flags = struct.unpack_from("=BBBBBBBBI", message)
    attributes = dict(_attributes(message[12:]))
    if attributes.get(_PROTOCOL, b"\0")[0] not in _BY_HAND:
        return None
    version = 6 if family == socket.AF_INET6 else 4
    strange = {
        key
        for key, value in attributes.items()
        if key not in _KNOWN | {_PADDING} and not (key == _SUPPRESS and _number(value) == _UNLIMITED)
    }
    return Rule(
        _number(attributes.get(_PRIORITY, bytes(4))),
        _network(attributes.get(_SRC), from_length, version),
        _network(attributes.get(_DST), to_length, version),
        _number(attributes[_TABLE]) if _TABLE in attributes else table,
        _text(attributes.get(_IIF, b"")),
        _text(attributes.get(_OIF, b"")),
        # Flag 2 turns a rule round (FIB_RULE_INVERT).
        other=bool(strange or tos or action != _TO_TABLE or flags & 2),
    )


def _attributes(data: bytes) -> t.Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind, data[4:length]
        data = data[_aligned(max(length, 4)) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _number(value: bytes) -> int:
    return int(struct.unpack("=I", value)[0])


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("ascii", "replace")


def _network(value: bytes | None, length: int, version: int) -> str:
    return _EVERY[version] if value is None else str(ipaddress.ip_network((value, length)))


# --- comparing ---------------------------------------------------------------------------------------------------------


class Compared(t.NamedTuple):
    """The commands for the rules of a namespace, and both sides for the diff."""

    steps: list[Step]
    before: list[dict[str, t.Any]]
    after: list[dict[str, t.Any]]


def compare_rules(name: str, found: t.Sequence[Rule], wanted: t.Sequence[Rule]) -> Compared:
    """The commands that make the rules of a namespace those wanted. found: those that are governed here.

    A rule is known by its family and priority: one that differs goes, with all beside it, before the right one comes.
    """
    places = sorted({(rule.family, rule.priority) for rule in (*found, *wanted)})
    steps: list[Step] = []
    for place in places:
        there = [rule for rule in found if (rule.family, rule.priority) == place]
        target = [rule for rule in wanted if (rule.family, rule.priority) == place]
        if there != target:
            steps += [Step(delete_command(name, *place)) for _rule in there]
            steps += [Step(add_command(name, rule)) for rule in target]
    order = {place: number for number, place in enumerate(places)}

    def told(rules: t.Sequence[Rule]) -> list[dict[str, t.Any]]:
        return [rule.shown() for rule in sorted(rules, key=lambda rule: order[rule.family, rule.priority])]

    return Compared(steps, told(found), told(wanted))


def add_command(name: str, rule: Rule) -> tuple[str, ...]:
    """The command that makes a rule. The batches of ip(8) know no family, and take IPv4's."""
    words = ["from", rule.source, "to", rule.to]
    for key, value in (("iif", rule.iif), ("oif", rule.oif)):
        words += [key, value] if value else []
    begin = ("ip", "-n", name, f"-{rule.family}", "rule", "add", "priority", str(rule.priority))
    return (*begin, *words, "table", str(rule.table))


def delete_command(name: str, family: int, priority: int) -> tuple[str, ...]:
    """The command that removes a rule."""
    return ("ip", "-n", name, f"-{family}", "rule", "delete", "priority", str(priority))

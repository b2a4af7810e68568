# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policy rules of namespaces: declared, told apart, compared."""

from __future__ import annotations

import itertools
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._netns import rules as _rules
from ansible_collections.overloom.fabric.plugins.module_utils._netns.rules import Rule
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

PREFIXES = {4: ["0.0.0.0/0", "10.0.0.1/32", "10.1.0.0/16"], 6: ["::/0", "fd00::1/128", "fd01::/64"]}
EVERY = [
    Rule(priority, source, to, table, iif, other=other)
    for prefixes in PREFIXES.values()
    for priority, source, to, table, iif, other in itertools.product(
        (1, 2), prefixes, prefixes[:2], (100, 254), ("", "lo"), (False, True)
    )
]
RULES = st.sampled_from(EVERY)
DECLARED = st.lists(
    st.sampled_from([rule for rule in EVERY if not rule.other]),
    unique_by=lambda rule: (rule.family, rule.priority),
    max_size=4,
)


def after(found: list[Rule], commands: list[tuple[str, ...]]) -> list[Rule]:
    """The rules after the commands, as ip-rule(8) does them."""
    now = list(found)
    for argv in commands:
        options = dict(zip(argv[6::2], argv[7::2]))
        family, priority = int(argv[3][1:]), int(options["priority"])
        if argv[5] == "delete":
            now.remove(next(rule for rule in now if (rule.family, rule.priority) == (family, priority)))
        else:
            ends = options.get("iif", ""), options.get("oif", "")
            now.append(Rule(priority, options["from"], options["to"], int(options["table"]), *ends))
    return now


@given(st.lists(RULES, max_size=6), DECLARED)
def test_the_commands_lead_to_the_declared_rules_and_a_second_run_has_none(
    found: list[Rule], wanted: list[Rule]
) -> None:
    compared = _rules.compare_rules("red", found, wanted)
    now = after(found, [step.argv for step in compared.steps])
    assert sorted(now) == sorted(wanted)
    assert not _rules.compare_rules("red", now, wanted).steps
    assert (compared.before == compared.after) == (not compared.steps)


def message(protocol: int, *attributes: tuple[int, bytes], action: int = 1, flags: int = 0, length: int = 0) -> bytes:
    """A rule as the kernel tells it."""
    head = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, length, 0, 254, 0, 0, action, flags)
    every = [*attributes, (21, bytes([protocol])), (14, b"\xff\xff\xff\xff")]
    return head + b"".join(struct.pack("=HH", 4 + len(v), k) + v + bytes(-len(v) % 4) for k, v in every)


def test_rules_of_the_kernel_and_of_daemons_are_not_told() -> None:
    priority = (6, struct.pack("=I", 1000))
    source = (2, socket.inet_aton("10.0.0.1"))
    for protocol in (2, 11, 186):
        assert _rules.parse_rule(message(protocol, priority)) is None
    for protocol in (0, 3, 4):
        found = _rules.parse_rule(message(protocol, priority, source, (15, struct.pack("=I", 70000)), length=32))
        assert found == Rule(1000, "10.0.0.1/32", "0.0.0.0/0", 70000)
    assert _rules.parse_rule(message(3, priority, (3, b"eth0\0"))) == Rule(1000, "0.0.0.0/0", "0.0.0.0/0", 254, "eth0")
    for strange in (
        message(3, priority, (10, bytes(4))),
        message(3, priority, action=6),
        message(3, priority, flags=2),
    ):
        found = _rules.parse_rule(strange)
        assert found is not None and found.other


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"priority": 0, "from": "10.0.0.1"}, "priority 0 is out of range"),
        ({"priority": 32766, "from": "10.0.0.1"}, "priority 32766 is out of range"),
        ({"priority": 5}, "the rule 5 needs from or to"),
        ({"priority": 5, "from": "10.0.0.1", "to": "fd00::/64"}, "of two address families"),
        ({"priority": 5, "from": "10.0.0.1/24"}, "no prefix without host bits"),
        ({"priority": 5, "from": "web"}, "'web' is no address"),
        ({"priority": 5, "from": "10.0.0.1", "iif": "a b"}, "is no interface name"),
        ({"priority": 5, "from": "10.0.0.1", "table": 255}, "255 is no routing table"),
    ],
)
def test_bad_rules_are_one_sentence(item: dict, said: str) -> None:
    with pytest.raises(FabricError, match=said):
        _rules.check_rule({"table": 100, **item}, "namespace red, interface eth0: rules")

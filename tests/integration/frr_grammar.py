# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random files of FRR's whole grammar: each command that FRR itself lists in a node, filled with values that vtysh takes.

What stands in which block is known without reading a file, as a line is used only where a dry run says that it stays in its node.
"""

from __future__ import annotations

import random
import re
import typing as t

import frr_files
import harness
import vtysh_batch

# Blocks, none of them ours, each with the blocks around it.
BGP = "router bgp 64999"
BLOCKS: tuple[tuple[str, ...], ...] = (
    (),
    (BGP,),
    (BGP, "address-family ipv4 unicast"),
    (BGP, "address-family ipv6 unicast"),
    (BGP, "address-family l2vpn evpn"),
    (BGP, "address-family ipv4 vpn"),
    ("router ospf vrf V9",),
    ("router ospf6 vrf V9",),
    ("router isis I9",),
    ("router openfabric O9",),
    ("router eigrp 9",),
    ("router rip vrf V9",),
    ("router ripng vrf V9",),
    ("router babel",),
    ("interface eth9",),
    ("route-map R9 permit 10",),
    ("pbr-map P9 seq 5",),
    ("nexthop-group N9",),
    ("vrf V9",),
    ("mpls ldp",),
    ("l2vpn L9 type vpls",),
    ("segment-routing", "traffic-eng"),
)
_TOKEN = re.compile(r"[\[\]<>{}|]|[^\s\[\]<>{}|]+")
_LEFT_OUT = re.compile(
    r"(?:no |\[no\] )?(?:exit|quit|end|list|find|show|do|configure|line|output|hostname|frr|banner)\b"
)
_VALUES = {
    "A.B.C.D/M": "10.{}.0.0/16",
    "A.B.C.D": "192.0.2.{}",
    "X:X::X:X/M": "2001:db8:{}::/48",
    "X:X::X:X": "2001:db8::{}",
    "X:X:X:X:X:X": "02:00:00:00:00:{:02x}",
    "AA:NN": "65000:{}",
    "AA:AA:NN": "1:2:{}",
}
Pool = t.Dict[t.Tuple[str, ...], t.List[str]]


def listed(host: harness.Host) -> Pool:
    """The commands that the FRR of a host lists in each block."""
    found = {}
    for path in BLOCKS:
        words = [word for line in ("configure terminal", *path, "list") for word in ("-c", line)]
        lines = (" ".join(line.split()) for line in host.run(["vtysh", *words], ok=None).splitlines())
        found[path] = [line for line in lines if line and not line.startswith("%") and not _LEFT_OUT.match(line)]
    return found


def filled(rng: random.Random, command: str) -> str:
    """A line of a command: each choice made, each value given."""
    return " ".join(_sequence(rng, iter([*_TOKEN.findall(command), "]"])))


def _sequence(rng: random.Random, tokens: t.Iterator[str]) -> list[str]:
    """The words up to the end of a group; of its choices one."""
    choices: list[list[str]] = [[]]
    for token in tokens:
        if token in "]>}":
            break
        if token == "|":
            choices.append([])
        elif token in "[<{":
            inner = _sequence(rng, tokens)
            choices[-1] += inner if token != "[" or rng.random() < 0.5 else []
        else:
            choices[-1].append(_word(rng, token))
    return rng.choice(choices)


def _word(rng: random.Random, token: str) -> str:
    """A value for a token, or the keyword that it is."""
    token = token.removesuffix("...")
    span = re.fullmatch(r"\((\d+)-(\d+)\)", token)
    if span:
        return str(rng.randint(int(span[1]), min(int(span[2]), int(span[1]) + 200)))
    if token in _VALUES:
        return _VALUES[token].format(rng.randint(1, 99))
    return f"W{rng.randint(1, 9)}" if token.isupper() else token


def known(commands: Pool, seed: int) -> Pool:
    """Lines of the commands, in each block those that vtysh takes there, and that lead nowhere else."""
    rng = random.Random(seed)
    pool = {}
    for path, listing in commands.items():
        lines = [filled(rng, command) for command in listing]
        inside = _nodes(path, lines)
        around = _nodes(path[:-1], lines) if path else [(0, 0)] * len(lines)
        # What opens the same kind of block from outside may be a second block or a line in the first.
        pool[path] = [
            line
            for line, (before, after), (_outside, led) in zip(lines, inside, around)
            if before == after and led != after
        ]
    return pool


def _nodes(path: tuple[str, ...], lines: t.Sequence[str]) -> list[tuple[int, int]]:
    """For each line in a block: the nodes of FRR's grammar before and after it, and -1 after a line that it does not take."""
    asked: list[str] = []
    probes = []
    for line in lines:
        asked += ["hostname overloom", *path, "overloom-asks"]
        probes.append(len(asked))
        asked += [line, "overloom-asks"]
    _out, err = vtysh_batch.ask(("vtysh", "-C", "-f", "/dev/stdin"), "".join(f"{line}\n" for line in asked))
    said = {int(number): int(node) for number, node in re.findall(r"^line (\d+): % .*?\[(\d+)\]: ", err, re.M)}
    return [(said.get(at, -1), -1 if at + 1 in said else said.get(at + 2, -1)) for at in probes]


def draw(rng: random.Random, pool: Pool) -> list[frr_files.Stanza]:
    """A file's blocks with lines of theirs, in any order, some of them opened twice."""
    stanzas: list[frr_files.Stanza] = []
    for path in rng.choices(BLOCKS, k=rng.randint(3, 9)):
        lines: list[frr_files.Stanza] = list(rng.sample(pool[path], min(len(pool[path]), rng.randint(1, 8))))
        for header in reversed(path):
            lines = [(header, lines)]
        stanzas += lines
    rng.shuffle(stanzas)
    return stanzas

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""frr.conf as FRR reads it: in which block each line stands, and an editor that touches no other byte.

This file is private to the collection. The structure is not parsed here: vtysh tells it. A dry run (`vtysh -C`, which
needs no daemon) says of an unknown line in which node of its grammar it stands, so an unknown line after each line of the
file shows where that line led. One more dry run tells lines that open a block from lines in it. Everything but the
callable that asks vtysh is pure.
"""

from __future__ import annotations

import collections
import functools
import re
import typing as t

Path = t.Tuple[str, ...]
# From a command and its standard input to its standard output and standard error.
Ask = t.Callable[[t.Tuple[str, ...], str], t.Tuple[str, str]]

CONF = "/etc/frr/frr.conf"

_DRY_RUN = ("vtysh", "-C", "-f", "/dev/stdin")
# Prints a file with the closings that it leaves out.
_MARK = ("vtysh", "-m", "-f", "/dev/stdin")

# No command of FRR begins so.
_PROBE = "overloom-asks"
_ANSWER = re.compile(r"^line (\d+): % (?:Unknown command|Ambiguous command|Command incomplete)\[(\d+)\]: ", re.M)
# A second one at the top would end vtysh, so each is followed by the way back into the configuration.
_MAY_LEAVE = re.compile(r"(?:e|en|end|ex|exi|exit|q|qu|qui|quit)$")
_AGAIN = "configure terminal"
# Known at the top only, so that it leads there from anywhere.
_TOP = "hostname overloom"
_CLOSING = re.compile(r"(?:end|exi?t?|qui?t?|exit-.*)$")
_SPACES = re.compile(r"[ \t\r\n]+")
# vtysh reads longer lines in pieces.
_LONGEST = 4000
# The node of a line that vtysh does not read, as since FRR 10 all after a closing outside all blocks.
_ENDED = -2
# Stands before each closing of a block that nobody had closed, so that it goes again with what it was needed for.
CLOSED = "! closed for what overloom.fabric put behind it"
# An empty block that parts our lines from those that FRR refuses, with what tells that it is ours. All daemons know it, and finish what they have
# been told before it. It has no closing: should its first line be refused with one of ours, that would end the configuration.
PARTING = "line vty"
PARTED = "! parts what overloom.fabric put before it from what FRR refuses"
# Blocks lie five deep in FRR; each round settles at least one level.
_ROUNDS = 9


class Line(t.NamedTuple):
    """One line of the file.

    raw: with its line break; path: the blocks around it, as the file spells them; text: the words, empty for what FRR does
    not take from here: a comment, a closing, a line that this FRR does not know, and all after the end of the configuration.
    inside: how many blocks are open after it; dead: FRR does not read it, as the configuration has ended, or a daemon refused
    a block before (refused.py), and then it keeps its text and block. refused: a daemon may refuse it, and with it what it gets together
    with it; idle: it has done so, and ours stands elsewhere. kept: the block in which a daemon takes it, where that one never left it though vtysh had.
    """

    raw: str
    text: str = ""
    path: Path = ()
    opens: bool = False
    closes: bool = False
    unknown: bool = False
    dead: bool = False
    inside: int = 0
    refused: bool = False
    idle: bool = False
    kept: Path = ()

    @property
    def lives(self) -> bool:
        """Whether FRR takes it. What it does not take stays as it is."""
        return not (self.dead or self.idle)


def split(text: str) -> list[str]:
    """The lines of a file with their line breaks; only a line feed breaks a line for FRR."""
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])


@functools.lru_cache(maxsize=1 << 16)
def words(raw: str) -> str:
    """A line without spaces around and runs of spaces in it; empty for a comment."""
    line = _SPACES.sub(" ", raw).strip(" ")
    return "" if line[:1] in ("!", "#") else line


def read(
    text: str, ask: Ask, block: t.Callable[[str], t.Any] = lambda _line: False, refused: int | None = None
) -> list[Line]:
    """The lines of a file, each in the block in which FRR puts it.

    refused: the place of a line that a daemon refuses, which leaves FRR where it was, as an unknown line does.
    """
    raws = split(text)
    if not any(map(words, raws)):
        return by_indentation(text, block)
    asked: list[str] = [_PROBE]
    after: list[int] = []
    lines: list[int] = []
    for place, raw in enumerate(raws):
        asked.append(_PROBE if place == refused else _plain(raw))
        lines.append(len(asked))
        asked.append(_PROBE)
        after.append(len(asked))
        if _MAY_LEAVE.match(words(raw)):
            asked.append(_AGAIN)
    said = _answers(ask, asked)
    nodes = [said.get(number, _ENDED) for number in after]
    read_on = nodes.index(_ENDED) if _ENDED in nodes else len(nodes)
    if 1 not in said or not read_on or set(nodes[read_on:]) > {_ENDED}:
        # A vtysh of another kind, or none.
        return by_indentation(text, block)
    unknown = [number in said for number in lines]
    walk = _Walk(raws, nodes, unknown, said[1], {}, {})
    for _round in range(_ROUNDS):
        if not walk.leading and not walk.falling:
            break
        known = {**walk.known, **_lead(walk.leading, ask)}
        walk = _Walk(raws, nodes, unknown, said[1], known, {**walk.falls, **_fall(walk.falling, ask)})
    return walk.lines


def _plain(raw: str) -> str:
    """A line for the dry run: nothing that vtysh would cut, and a comment for what it has nothing to say about."""
    line = words(raw)
    return re.sub(r"[^ -~]", "x", line) if line and len(raw) < _LONGEST else "!"


def _answers(ask: Ask, lines: t.Iterable[str]) -> dict[int, int]:
    """The nodes in which lines are unknown, by their numbers from 1."""
    _out, said = ask(_DRY_RUN, "".join(line + "\n" for line in lines))
    return {int(number): int(node) for number, node in _ANSWER.findall(said)}


Question = t.Tuple[int, str]


def _lead(questions: t.Mapping[Question, Path], ask: Ask) -> dict[Question, int]:
    """For nodes and lines, each with headers that lead to the node: the node after the line; -1 where it cannot be told."""
    if not questions:
        return {}
    asked: list[str] = []
    probes: dict[tuple[int, str], tuple[int, int]] = {}
    for (node, line), path in questions.items():
        asked += [_TOP, *map(_plain, path), _PROBE]
        begin = len(asked)
        asked += [_plain(line), _PROBE]
        probes[node, line] = begin, len(asked)
    said = _answers(ask, asked)
    led = {}
    for (node, line), (begin, end) in probes.items():
        taken = said.get(begin) == node and begin + 1 not in said
        led[node, line] = said.get(end, -1) if taken else -1
    return led


def _fall(questions: t.Mapping[Question, Path], ask: Ask) -> dict[Question, bool]:
    """For the same: whether the node does not know the line, which then is one of a block around."""
    if not questions:
        return {}
    asked: list[str] = []
    for number, ((_node, line), path) in enumerate(questions.items()):
        asked += [_TOP, *map(_plain, path), f"! {_PROBE} {number}", _plain(line)]
    # Some of vtysh's rules look at the first columns; far from them, only its grammar counts.
    out, _err = ask(_MARK, "".join(f"        {line}\n" for line in asked))
    told = out.splitlines()
    follow = {
        line.split()[-1]: after.strip()
        for line, after in zip(told, told[1:])
        if line.strip().startswith(f"! {_PROBE} ")
    }
    return {question: bool(_CLOSING.match(follow.get(str(number), ""))) for number, question in enumerate(questions)}


class _Walk:
    """One way through the file with what is known so far; what had to be guessed becomes a question."""

    def __init__(
        self,
        raws: t.Sequence[str],
        nodes: t.Sequence[int],
        unknown: t.Sequence[bool],
        top: int,
        known: t.Mapping[Question, int],
        falls: t.Mapping[Question, bool],
    ) -> None:
        self.known, self.falls = known, falls
        self.leading: dict[Question, Path] = {}
        self.falling: dict[Question, Path] = {}
        self.lines: list[Line] = []
        # The nodes around, each with the header that led there.
        self.around: list[tuple[int, str]] = [(top, "")]
        left = False
        for raw, node, foreign in zip(raws, nodes, unknown):
            text = words(raw)
            inside = len(self.around) - 1
            left = left or (node == _ENDED and not _CLOSING.match(text))
            if left or not text:
                self.lines.append(Line(raw, path=self.path(), dead=left, inside=inside))
            elif foreign or len(raw) >= _LONGEST:
                self.lines.append(Line(raw, path=self.path(), unknown=True, inside=inside))
            elif _CLOSING.match(text):
                left = self.close(raw, node)
            else:
                self.take(raw, text, node)

    def path(self, depth: int | None = None) -> Path:
        """The headers of the blocks around."""
        return tuple(header for _node, header in self.around[1:][:depth])

    def close(self, raw: str, node: int) -> bool:
        """A closing; true when it leaves the configuration."""
        path = self.path()
        depth = self.depth(node)
        left = depth is None
        del self.around[(depth or 0) + 1 :]
        self.lines.append(Line(raw, path=path, closes=True, dead=left, inside=len(self.around) - 1))
        return left

    def depth(self, node: int) -> int | None:
        """At which depth a node is open."""
        return next((depth for depth, (one, _header) in enumerate(self.around) if one == node), None)

    def leads(self, depth: int, text: str) -> int:
        """Where a line leads from the block at a depth."""
        node = self.around[depth][0]
        if (node, text) not in self.known:
            self.leading[node, text] = self.path(depth)
        return self.known.get((node, text), -1)

    def again(self, depth: int, text: str) -> bool:
        """Whether a line that leaves the node at a depth as it is opens another block of the kind."""
        node, header = self.around[depth]
        if depth == 0 or self.leads(depth - 1, text) != node:
            return False
        # `key 2` is known in the block of `key 1` and opens another; `nexthop 192.0.2.1` would open a `nexthop-group` elsewhere.
        if text.split()[0] == header.split()[0]:
            return True
        if (node, text) not in self.falls:
            self.falling[node, text] = self.path(depth)
        return self.falls.get((node, text), False)

    def take(self, raw: str, text: str, node: int) -> None:
        """A line that FRR takes, and after which it is in a node."""
        depth = self.depth(node)
        if depth is not None:
            opens = self.again(depth, text)
            del self.around[depth + (not opens) :]
        else:
            opens = True
            # vtysh tries the blocks around from the inmost on, so where all lead there, the outmost is the one that takes it.
            leading = [at for at in range(len(self.around)) if self.leads(at, text) == node]
            del self.around[(leading[0] if leading else len(self.around) - 1) + 1 :]
        path = self.path()
        if opens:
            self.around.append((node, text))
        self.lines.append(Line(raw, text, path, opens, inside=len(self.around) - 1))


def by_indentation(text: str, block: t.Callable[[str], t.Any] = lambda _line: False) -> list[Line]:
    """The lines of a file as FRR itself writes it: what is indented more stands in the block of the line before.

    block: whether a line opens a block although nothing is in it.
    """
    raws = split(text)
    depths = [len(raw) - len(raw.lstrip(" \t")) for raw in raws]
    around: list[tuple[int, str]] = []
    lines = []
    for number, (raw, depth) in enumerate(zip(raws, depths)):
        line = words(raw)
        if not line:
            lines.append(Line(raw, path=tuple(header for _depth, header in around), inside=len(around)))
            continue
        if _CLOSING.match(line):
            while len(around) > 1 and around[-1][0] > depth:
                around.pop()
            path = tuple(header for _depth, header in around)
            del around[-1:]
            lines.append(Line(raw, path=path, closes=True, inside=len(around)))
            continue
        while around and around[-1][0] >= depth:
            around.pop()
        path = tuple(header for _depth, header in around)
        follow = next((n for n in range(number + 1, len(raws)) if words(raws[n])), None)
        opens = follow is not None and (
            depths[follow] > depth or (depths[follow] == depth and bool(_CLOSING.match(words(raws[follow]))))
        )
        opens = (opens and words(raws[t.cast(int, follow)]) != "end") or bool(block(line))
        if opens:
            around.append((depth, line))
        lines.append(Line(raw, line, path, opens, inside=len(around)))
    return lines


def closed(lines: t.Sequence[Line]) -> bool:
    """Whether each block is closed in words before the next line outside it, so that no order or indentation is needed."""
    inside = 0
    for line in lines:
        if line.text and len(line.path) != inside:
            return False
        inside = line.inside
    return inside == 0


# --- editing ---------------------------------------------------------------------------------------------------------

Address = t.Tuple[str, ...]
# What a line sets: addresses of settings, each with its line in the one spelling. For a line that opens a block, the block's own.
Entries = t.Sequence[t.Tuple[Address, str]]


class Said(t.NamedTuple):
    """A line in the words of FRR or of somebody, and what it sets. block: the address of the block that it is in, if it is not that of its setting."""

    text: str
    entries: Entries
    block: Address | None = None


class Grammar(t.NamedTuple):
    """What the editor has to know of FRR's lines.

    opens: whether a line opens a block; rank: its place among the lines of its block; vanishes: whether a block without a line means
    nothing; needs: the addresses of the settings that have to stand before a line; together: whether a line, or what is in a block, is
    taken as a whole with the lines of its kind nearby, up to a block of another kind; leaves: whether such a block, or line, has the
    daemons leave one of that kind.
    """

    opens: t.Callable[[str], bool]
    rank: t.Callable[[str], int]
    vanishes: t.Callable[[str], bool]
    needs: t.Callable[[Address], t.Sequence[Address]]
    together: t.Callable[[str], bool] = lambda _line: False
    leaves: t.Callable[[str], bool] = lambda _line: True


# Sub-blocks stand after the settings of their block.
_SUB_BLOCK = 8


class _Node:
    """A line of the file with the lines of the block that it opens, and what it sets."""

    def __init__(self, line: Line, entries: Entries, around: _Node | None, rank: int = 5, added: bool = False) -> None:
        self.line, self.entries, self.around, self.rank, self.added = line, entries, around, rank, added
        self.inside: list[_Node] = []
        self.gone = self.touched = False
        # Whether FRR reads no further than to this line, or into its block.
        self.dead = False
        # Whether it stands where another one stood.
        self.replaces = False
        # The last place where a line was put, as the next one often follows.
        self.last: tuple[int, int] = (-1, 0)
        # The lines in it that undo others, as `no router rip`.
        self.undoing: list[_Node] = []

    @property
    def setting(self) -> bool:
        """Whether FRR, or somebody who reads the file, would miss this line."""
        return bool(self.line.text or self.line.unknown or (self.line.dead and words(self.line.raw)))

    @property
    def marks(self) -> bool:
        """Whether the closing that follows is ours."""
        return self.line.raw.strip() == CLOSED and not self.line.dead

    @property
    def parting(self) -> bool:
        """Whether it is a block of ours that parts lines."""
        return self.line.opens and any(inner.line.raw.strip() == PARTED for inner in self.inside)

    @property
    def shortened(self) -> bool:
        """Whether it is a block whose first word is not written in full."""
        full = self.entries[0][1] if self.entries else self.line.text
        return self.line.opens and full.split()[0] != self.line.text.split()[0]

    def closed(self, depth: int | None = None) -> bool:
        """Whether the block is closed in words, which may stand in a block within that nobody closed."""
        depth = len(self.line.path) if depth is None else depth
        closings = [node for node in self.inside if node.line.closes and not node.gone]
        return any(node.line.inside <= depth for node in closings) or any(
            node.closed(depth) for node in self.inside if node.line.opens
        )


class Edited(t.NamedTuple):
    """A changed file: its text, how often a line has to stand in a block of it, and the lines that are new, each with its block.

    closed: the same with all blocks closed before which something went, for where FRR reads the text otherwise.
    """

    text: str
    lines: collections.Counter[tuple[Address, str]]
    added: frozenset[tuple[Address, str]]
    closed: str


class _Out:
    """The text of a file while it is written.

    still: the indentations of the blocks before that no line has closed, the inmost last. FRR would look in those first for a line, so a new
    line gets them closed. ours: the places of our closings before which no line has followed yet; freed: whether what stood behind them
    went. lean: close nothing for a line that was there before.
    """

    def __init__(self, eol: str, lean: bool) -> None:
        self.eol, self.lean = eol, lean
        self.raws: list[str] = []
        self.still: list[str] = []
        self.ours: list[int] = []
        self.freed = False

    def follow(self, added: bool, moved: bool) -> None:
        """Another line comes. added: a new one; moved: one behind others that went."""
        if added or (moved and not self.lean):
            self.close()
        self.still.clear()
        self.settle(needed=added)

    def settle(self, needed: bool = False) -> None:
        """Take away our closings that nothing needs any more."""
        if self.freed and self.lean and not needed:
            for place in self.ours:
                self.raws[place] = ""
        self.ours, self.freed = [], False

    def close(self) -> None:
        """Close what is still open."""
        while self.still:
            indent = self.still.pop()
            self.raws += [f"{indent}{CLOSED}{self.eol}", f"{indent}exit{self.eol}"]


class Editor:
    """The file as a tree of lines, with settings changed in it. A line that takes no part in a change keeps each byte and its place."""

    def __init__(self, lines: t.Sequence[Line], meant: t.Sequence[Entries], grammar: Grammar) -> None:
        self.grammar = grammar
        self.words: dict[Address, t.Sequence[Said]] = {}
        self.top = _Node(Line("", opens=True), [((), "")], None)
        self.found: dict[Address, list[_Node]] = {}
        self.eol = "\r\n" if lines and lines[0].raw.endswith("\r\n") else "\n"
        # Whether FRR refuses lines that it takes together with others.
        self.refused = any(line.refused for line in lines)
        # The lines of the file, in their order.
        self.nodes: list[_Node] = []
        around = [self.top]
        for line, entries in zip(lines, meant):
            # A line that closes a block is the last one in it.
            del around[len(line.path) + 1 :]
            rank = grammar.rank(entries[0][1]) if entries else 5
            if line.opens and len(around) > 1:
                rank = max(rank, _SUB_BLOCK)
            node = _Node(line, entries, around[-1], rank)
            self.nodes.append(node)
            around[-1].inside.append(node)
            if entries and entries[0][1].startswith("no "):
                around[-1].undoing.append(node)
            for holder in (*around[1:], node) if line.dead else ():
                holder.dead = True
            for address, _one in entries:
                self.found.setdefault(address, []).append(node)
            if line.opens:
                around.append(node)
            else:
                del around[line.inside + 1 :]

    def change(
        self, changes: t.Mapping[Address, str | None], words: t.Mapping[Address, t.Sequence[Said]] | None = None
    ) -> Edited:
        """Have each setting as wanted; None takes it away.

        words: the lines by which FRR says some of them; the others are said in one line, in the one spelling.
        """
        self.words = {address: words[address] for address in changes if words and address in words}
        removed = [address for address, line in changes.items() if line is None]
        for address in removed:
            self.clear(address)
        for address, line in changes.items():
            if line is not None:
                self.put(address, line)
        self.prune(self.top)
        for address in sorted(removed, key=len, reverse=True):
            for node in self.found.get(address, ()):
                self.drop(node)
        self.prune(self.top)
        self.unpart()
        counted: collections.Counter[tuple[Address, str]] = collections.Counter()
        added: set[tuple[Address, str]] = set()
        self.count(self.top, (), counted, added)
        return Edited(self.text(lean=True), counted, frozenset(added), self.text(lean=False))

    def text(self, lean: bool) -> str:
        """The text of the file. lean: with no closing for lines that were there before."""
        out = _Out(self.eol, lean)
        self.write(self.top, out)
        out.settle()
        return self.joined([raw for raw in out.raws if raw])

    def clear(self, address: Address) -> list[_Node]:
        """Take away the lines that say a setting; what they say besides is said by lines of its own. Blocks are left for later.

        What FRR does not take of it says nothing.
        """
        cleared: list[_Node] = []
        if address and self.grammar.opens(address[-1]):
            # What undoes a block is a line of others.
            return cleared
        for node in self.found.get(address, ()):
            if node.gone or node.line.opens or not node.line.lives:
                continue
            node.gone = True
            around = t.cast(_Node, node.around)
            around.touched = True
            cleared.append(node)
            for other, line in node.entries:
                # What FRR has words for is said in these.
                if other != address and other not in self.words:
                    self.add(other, line, around if self.path(around) == other[:-1] else self.block(other), after=node)
        return cleared

    def path(self, node: _Node) -> Address:
        """The address of a block."""
        return node.entries[0][0] if node.entries else (*self.path(t.cast(_Node, node.around)), node.line.text)

    def put(self, address: Address, line: str) -> None:
        """Have a line, in the place of the one that it replaces, or by its rank."""
        if self.grammar.opens(line):
            if not self.instances(address):
                self.block((*address, ""))
            return
        said = self.words.get(address) or (Said(line, ((address, line),)),)
        if self.lines_of(address) == [one.text for one in said]:
            return
        cleared = self.clear(address)
        # The last line in each block, which the next one follows.
        stood = {self.path(t.cast(_Node, node.around)): node for node in reversed(cleared)}
        for one in said:
            path = address[:-1] if one.block is None else one.block
            same = stood.get(path)
            around = t.cast(_Node, same.around) if same else self.block((*path, address[-1]))
            stood[path] = self.add(address, one.text, around, after=same, entries=one.entries)

    def lines_of(self, address: Address) -> list[str]:
        """The lines that say a setting; none of a block that FRR does not read."""
        return [node.line.text for node in self.found.get(address, ()) if not node.gone and node.line.lives]

    def instances(self, address: Address) -> list[_Node]:
        """The blocks of an address, which a file may open several times."""
        nodes = [node for node in self.found.get(address, ()) if not node.gone and not node.line.dead]
        # A line such as `no router rip` undoes those before it.
        undone = max((at for at, node in enumerate(nodes) if not node.line.opens), default=-1)
        return nodes[undone + 1 :]

    def block(self, address: Address) -> _Node:
        """The block for a new line: the last of its kind, as what the line needs may stand in it or before it; or a new one."""
        at = self.top
        needed = [node for one in self.grammar.needs(address) for node in self.found.get(one, ()) if not node.gone]
        for depth in range(1, len(address)):
            path = address[:depth]
            last = self.last_instance(address, depth, at, needed)
            if last is None or not self.takes(last, at, path[-1], needed):
                last = self.add(path, path[-1], at, opens=True)
            at = last
        return at

    def last_instance(self, address: Address, depth: int, around: _Node, needed: t.Sequence[_Node]) -> _Node | None:
        """The last block for a new line at a depth, or the last that has the block in it which comes next, where nothing needed stands elsewhere."""
        instances = [node for node in self.instances(address[:depth]) if node.around is around]
        deeper = self.instances(address[: depth + 1]) if depth + 1 < len(address) else []
        holding = [node for node in instances if any(one.around is node for one in deeper)]
        if holding and all(node.around is holding[-1] for node in needed):
            return holding[-1]
        return instances[-1] if instances else None

    def takes(self, block: _Node, around: _Node, header: str, needed: t.Sequence[_Node]) -> bool:
        """Whether a new line may go into a block that is there. needed: the lines without which FRR refuses the new one."""
        if words(block.line.raw) != block.line.text:
            # `interface eth1 vrf V1`, which frr-reload.py takes for another one.
            return False
        whole = around is self.top and self.refused and self.grammar.together(header)
        if whole and self.fails(around.inside.index(block)):
            return False
        late = [node for node in needed if node.around is around]
        if late and next(node for node in reversed(around.inside) if node is block or node in late) is not block:
            return False
        # An empty one that vanishes is somebody's, and stays when ours goes.
        return not self.grammar.vanishes(header) or any(node.setting and not node.gone for node in block.inside)

    def add(
        self,
        address: Address,
        line: str,
        around: _Node,
        after: _Node | None = None,
        opens: bool = False,
        entries: Entries = (),
    ) -> _Node:
        """Put a line into a block: after a line of it, or after all that its rank lets stand before it.

        entries: what the line sets, where that is more than the setting of the address, or said in other words.
        """
        entries = entries or ((address, line),)
        # However it is spelled.
        meaning = entries[0][1]
        rank = self.grammar.rank(meaning)
        if opens and around is not self.top:
            rank = max(rank, _SUB_BLOCK)
        indent = self.indent(around)
        made = Line(f"{indent}{line}{self.eol}", line, (), opens)
        node = _Node(made, entries, around, rank, added=True)
        node.replaces = bool(after and after.around is around)
        place = around.inside.index(t.cast(_Node, after)) + 1 if node.replaces else self.place(around, rank)
        if opens and not node.replaces:
            place = self.ahead(around, place)
        behind = self.behind_undoing(around, meaning)
        late = behind > place
        place = max(place, behind)
        if not node.replaces:
            needing = self.ahead_of_needing(around, entries)
            late, place = late or needing < place, min(place, needing)
        if around is self.top and not node.replaces:
            place = self.outside(place, meaning)
        if around is self.top and after is None and self.refused and self.grammar.together(meaning):
            place, late = self.part(self.apart(place)), True
        around.inside.insert(place, node)
        around.last = (rank, place + 1) if after is None and not late else (-1, 0)
        for one, _line in entries:
            self.found.setdefault(one, []).append(node)
        return node

    @staticmethod
    def behind_undoing(around: _Node, line: str) -> int:
        """The first place in a block behind all that would undo a new line there, such as `no neighbor 192.0.2.1`."""
        places = [
            around.inside.index(one) + 1
            for one in around.undoing
            if undoes(one.entries[0][1], line) and not (one.gone or one.line.dead)
        ]
        return max(places, default=0)

    @functools.cached_property
    def needing(self) -> dict[Address, list[_Node]]:
        """The lines that the file had, by the settings that have to stand before them."""
        found: dict[Address, list[_Node]] = {}
        for address, nodes in self.found.items():
            for one in self.grammar.needs(address):
                found.setdefault(one, []).extend(node for node in nodes if not (node.added or node.line.dead))
        return found

    def ahead_of_needing(self, around: _Node, entries: Entries) -> int:
        """The last place in a block ahead of all lines that need a new one there."""
        needing = [node for address, _line in entries for node in self.needing.get(address, ()) if not node.gone]
        places = [around.inside.index(inner) for inner in map(functools.partial(_inside, around), needing) if inner]
        return min(places, default=len(around.inside))

    def place(self, around: _Node, rank: int) -> int:
        """Where a new line of a rank stands in a block."""
        if around.last[0] == rank:
            return around.last[1]
        end = next((number for number, node in enumerate(around.inside) if node.dead), len(around.inside))
        while end and not (
            around.inside[end - 1].setting
            and not around.inside[end - 1].line.dead
            and around.inside[end - 1].rank <= rank
        ):
            end -= 1
        return end

    def ahead(self, around: _Node, place: int) -> int:
        """A place ahead of blocks with a shortened first word, which frr-reload.py does not know: with their end, the block around ends for it."""
        short = next((number for number, node in enumerate(around.inside[:place]) if node.shortened), place)
        if around is self.top or any(node.setting and not node.line.opens for node in around.inside[short:]):
            return place
        return short

    def outside(self, place: int, line: str) -> int:
        """A place for a new line that no daemon takes into a block that it has not left, and that has none leave one which it has to be in later."""
        nodes = self.top.inside
        for number, node in enumerate(nodes[:place]):
            if not node.line.opens or node.gone or node.closed():
                continue
            if any(one.line.kept == (node.line.text,) for one in nodes[place:]):
                return number
            between = [one for one in nodes[number + 1 : place] if one.setting and not one.gone]
            left = not between or any(self.leaves(one) for one in between)
            if not left and self.together(node) and self.grammar.together(line) and not self.grammar.opens(line):
                return number
        return place

    def leaves(self, node: _Node) -> bool:
        """Whether a line has daemons leave a block of routes."""
        return self.grammar.leaves(node.entries[0][1] if node.entries else node.line.text)

    def apart(self, place: int) -> int:
        """A place where nothing stands together with a line that FRR refuses: an earlier one, or else a later one; the same if there is none."""
        blocks = [number for number, node in enumerate(self.top.inside) if self.parts(node)]
        before = [number for number in reversed(blocks) if number < place]
        behind = [number + 1 for number in blocks if number >= place and not self.top.inside[number].dead]
        return next((number for number in (place, *before, *behind) if not self.fails(number)), place)

    def part(self, place: int) -> int:
        """A place where nothing stands together with a line that FRR refuses, made where there is none: ahead of the lines of its kind."""
        if not self.fails(place):
            return place
        nodes = self.top.inside
        begin = next((number for number in range(place - 1, -1, -1) if self.parts(nodes[number])), -1)
        kin = (number for number in range(begin + 1, len(nodes)) if self.together(nodes[number]))
        first = next(kin)
        parting = _Node(Line(f"{PARTING}{self.eol}", PARTING, (), True), [((PARTING,), PARTING)], self.top, added=True)
        parting.inside.append(_Node(Line(f"{PARTED}{self.eol}"), (), parting, added=True))
        nodes.insert(first, parting)
        return first

    def together(self, node: _Node) -> bool:
        """Whether a line, or what is in a block, is taken as a whole with the lines of its kind nearby."""
        return self.grammar.together(node.entries[0][1] if node.entries else node.line.text)

    def fails(self, place: int) -> bool:
        """Whether a line at a place outside blocks would be refused with another one."""
        nodes = self.top.inside
        begin = next((number for number in range(place - 1, -1, -1) if self.parts(nodes[number])), -1)
        end = next((number for number in range(place, len(nodes)) if self.parts(nodes[number])), len(nodes))
        return any(node.line.refused or any(one.line.refused for one in node.inside) for node in nodes[begin + 1 : end])

    def groups(self) -> list[list[int]]:
        """The numbers of the lines that FRR takes together, as a whole or not at all: up to what parts them, or the closing of their block."""
        numbers = {id(node): number for number, node in enumerate(self.nodes)}
        groups: list[list[int]] = [[]]
        for node in self.top.inside:
            taken = self.together(node)
            if taken:
                routes = node.inside if node.line.opens else [node]
                groups[-1] += [numbers[id(one)] for one in routes if one.line.text]
            if self.parts(node) or (taken and node.line.opens and node.closed()):
                groups.append([])
        return groups

    def parts(self, node: _Node) -> bool:
        """Whether what stands before a block is not taken together with what follows it: vtysh has all daemons finish when it is closed.

        A block that is left without a word does nothing of the kind, but for that of vtysh's own lines.
        """
        finished = node.closed() or node.line.text == PARTING
        return node.line.opens and finished and not node.gone and not self.together(node)

    def indent(self, around: _Node) -> str:
        """The spaces before the lines of a block."""
        if around is self.top:
            return ""
        sibling = next((node.line.raw for node in around.inside if node.line.text), None)
        if sibling is None:
            header = around.line.raw
            return header[: len(header) - len(header.lstrip(" \t"))] + " "
        return sibling[: len(sibling) - len(sibling.lstrip(" \t"))]

    def drop(self, node: _Node) -> None:
        """Take a block away when nothing of anybody is left in it."""
        if node.line.opens and not any(inner.setting and not inner.gone for inner in node.inside):
            node.gone = True
            t.cast(_Node, node.around).touched = True
            for inner in node.inside:
                inner.gone = inner.gone or inner.line.closes or inner.marks

    def prune(self, around: _Node) -> None:
        """Take away the blocks that existed only for lines that are gone."""
        for node in around.inside:
            if not node.line.opens or node.gone:
                continue
            self.prune(node)
            remarks = any(
                words(inner.line.raw.replace("!", "").replace("#", ""))
                for inner in node.inside
                if not (inner.line.closes or inner.marks or inner.gone)
            )
            if node.touched and not remarks and self.vanishes(node):
                self.drop(node)

    def vanishes(self, node: _Node) -> bool:
        """Whether a block means nothing where it is empty, of itself or as it is opened elsewhere, too."""
        elsewhere = (one for one in self.instances(self.path(node)) if one is not node)
        return self.grammar.vanishes(node.entries[0][1] if node.entries else node.line.text) or any(elsewhere)

    def unpart(self) -> None:
        """Take away the blocks that part nothing any more, as our lines ahead of them have gone."""
        ahead: _Node | None = None
        for node in self.top.inside:
            if node.gone or not node.setting:
                continue
            if node.parting and not (ahead and self.together(ahead)):
                for one in (node, *node.inside):
                    one.gone = True
            else:
                ahead = node

    def write(self, around: _Node, out: _Out) -> None:
        """The lines of a block."""
        moved = marked = False
        for node in around.inside:
            if node.gone:
                moved = True
                out.freed = out.freed or node.setting
                # Remarks in a block that goes stay.
                self.write(node, out)
                continue
            if node.marks or (marked and node.line.closes):
                out.ours.append(len(out.raws))
            elif node.setting or node.line.closes:
                out.follow(node.added and not node.replaces, moved or node.replaces)
            moved = moved and not (node.setting or node.line.closes)
            marked = node.marks
            out.raws.append(node.line.raw)
            if node.line.opens:
                self.write_block(node, out)

    def write_block(self, node: _Node, out: _Out) -> None:
        """The lines in a block, and its closing if it is ours."""
        self.write(node, out)
        indent = node.line.raw[: len(node.line.raw) - len(node.line.raw.lstrip(" \t"))]
        if node.parting:
            return
        if node.added:
            out.close()
            out.raws.append(f"{indent}{closing(node.line.text)}{self.eol}")
        elif not node.closed():
            out.still.insert(0, indent)

    def count(
        self,
        around: _Node,
        path: Address,
        counted: collections.Counter[tuple[Address, str]],
        added: set[tuple[Address, str]],
    ) -> None:
        """How often each line stands in each block, and which of them are new."""
        for node in around.inside:
            if node.gone:
                continue
            if node.line.text:
                text = node.entries[0][1] if node.line.opens and node.entries else node.line.text
                counted[node.line.kept or path, text] += 1
            elif node.line.unknown:
                counted[path, words(node.line.raw)] += 1
            if node.added:
                added.add((path, node.line.text))
            if node.line.opens:
                self.count(node, self.path(node), counted, added)

    def joined(self, out: t.Sequence[str]) -> str:
        """The text of the file, with a line break between any two lines, and at the end only where there was one."""
        ends = not self.last_raw() or self.last_raw().endswith("\n")
        text = "".join(raw if raw.endswith("\n") else raw + self.eol for raw in out)
        return text if ends else text[: -len(self.eol)] if text.endswith(self.eol) else text

    def last_raw(self) -> str:
        """The last line that the file had."""
        node = self.top
        while True:
            old = [inner for inner in node.inside if not inner.added]
            if not old:
                return node.line.raw
            node = old[-1]


def counted(lines: t.Sequence[Line], meant: t.Sequence[Entries]) -> collections.Counter[tuple[Address, str]]:
    """How often each line stands in each block of a file, as Editor counts it."""
    editor = Editor(
        lines, meant, Grammar(lambda _line: False, lambda _line: 5, lambda _line: False, lambda _address: ())
    )
    found: collections.Counter[tuple[Address, str]] = collections.Counter()
    editor.count(editor.top, (), found, set())
    return found


def _inside(around: _Node, node: _Node) -> _Node | None:
    """The line of a block that is another line, or that has it in its own block."""
    inner: _Node | None = node
    while inner and inner.around is not around:
        inner = inner.around
    return inner


def undoes(line: str, other: str) -> bool:
    """Whether a line takes another one away that stands before it, alone or with all that begins so: `no neighbor 192.0.2.1`."""
    return line.startswith("no ") and f"{other} ".startswith(f"{line[3:]} ")


def closing(header: str) -> str:
    """How FRR's own writer closes a block."""
    if header.startswith("address-family "):
        return "exit-address-family"
    return "exit-vrf" if header.startswith("vrf ") else "exit"

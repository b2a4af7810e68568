# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that change FRR: one `vtysh -f` that is taken back when a line is refused, frr.conf, and the notes.

This file is private to the collection.
"""

from __future__ import annotations

import re
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr import vtysh
from ansible_collections.overloom.fabric.plugins.module_utils._frr.conf import CONF
from ansible_collections.overloom.fabric.plugins.module_utils._frr.difference import difference, untaken
from ansible_collections.overloom.fabric.plugins.module_utils._frr.files import rewrite
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import READ, Found, divided
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import (
    BLOCK,
    CLOSING,
    Address,
    Config,
    canonical,
    hide,
    needs,
    parse,
    render,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Remove, Runner, Step, Write

LOAD = ("vtysh", "-f", vtysh.STDIN)
VALIDATE = ("vtysh", "-C", "-f", vtysh.STDIN)
# How often, and how many seconds apart, lines are looked for that a daemon takes late.
LATE_TRIES, LATE_PAUSE = 5, 0.2
# How often what was changed is taken back, as a line may take others away with it: `no neighbor 192.0.2.1 peer-group G` the whole neighbor.
BACK_TRIES = 3


class Save:
    """frr.conf with the change in it; nothing else in the file is touched.

    content: what is known of it before FRR has taken the change; `Apply` says what FRR made of it.
    """

    path = CONF

    def __init__(self, content: str) -> None:
        self.content = content

    def shown(self) -> str:
        """A comment: the file may hold a thousand lines that are not ours."""
        return f"# {self.path} takes the same lines (by hand: vtysh -c 'write memory')"

    def do(self) -> None:
        """Write the file as a whole."""
        rewrite(self.path, self.content)


class Note:
    """The file that remembers what was made; without content, there is none."""

    def __init__(self, path: str, content: str) -> None:
        self.path, self.content = path, content
        self._shown = f"# {path} remembers what was made" if content else Remove(path).shown()

    def shown(self) -> str:
        """A comment, as no command writes this, or the removal; as it was foretold, whatever FRR adds."""
        return self._shown

    def do(self) -> None:
        """Write the file as a whole, or remove it."""
        (Write(self.path, self.content, 0o600) if self.content else Remove(self.path)).do()


class Apply:
    """One `vtysh -f` with all changed lines. When FRR refuses one, what had changed is taken back.

    before: what runs before; changes: the settings to reach. `last` is what READ printed afterwards.
    """

    path = "vtysh"

    def __init__(self, runner: Runner, text: str, before: Found, changes: t.Mapping[Address, t.Optional[str]]) -> None:
        self.runner, self.text, self.changes = runner, text, changes
        self.config, self.daemons = before.running, before.daemons
        # FRR answers before its daemons have taken the lines, as it does with mgmtd, so that a refusal shows in what runs alone.
        self.late = "mgmtd" in before.daemons
        # Notes of what comes, written before it comes, so that a run that is killed leaves no line that nobody knows; and what undoes them.
        self.ahead: t.Sequence[Note] = ()
        self.back: t.Sequence[Note] = ()
        # Is told the running configuration once FRR has taken the lines, as what is written down follows from it.
        self.settle: t.Callable[[str], None] = lambda _text: None
        self.last: str | None = None

    def shown(self) -> str:
        """The command as a person would type it, with the secrets masked."""
        return hide(vtysh.shown(self.text))

    def validate(self) -> None:
        """Have vtysh check the lines without applying them. Raises FabricError that names the first unknown line."""
        status, out, err = self.runner.run(Step(VALIDATE, self.text))
        refused = refusals(self.text, out, err)
        if status or refused:
            raise FabricError("FRR does not know " + (refused[0] if refused else f"a line: {hide(out + err).strip()}"))

    def do(self) -> None:
        """Apply the lines. Raises FabricError that names the lines that FRR refused."""
        for note in self.ahead:
            note.do()
        status, out, err = self.runner.run(Step(LOAD, self.text))
        refused = refusals(self.text, out, err)
        text = ""
        if not refused and (status == 0 or not re.search(r"^%", out, re.M)):
            text, refused = self.look()
            if not refused:
                self.settle(text)
                return
        self.last = None
        self.undo(self.running())
        said = "; ".join(refused) or " ".join(hide(out).split())
        raise FabricError(f"FRR refused {said}; what it had taken of this change was taken back")

    def running(self) -> Config:
        """What FRR has now."""
        return parse(divided(self.runner(READ))[0])

    def look(self) -> tuple[str, list[str]]:
        """What runs now, and the lines that do not though nothing was said against them, where FRR takes lines late.

        Raises FabricError when a daemon is gone.
        """
        for _attempt in range(LATE_TRIES):
            out = self.runner(READ)
            text, daemons = divided(out)
            ended = [daemon for daemon in self.daemons if daemon not in daemons]
            if ended:
                # It starts with frr.conf as it was before, and the others go back to that.
                self.undo(parse(text))
                raise FabricError(
                    f"the FRR daemon {ended[0]} ended at this change; what the others had taken of it was taken back;"
                    " see why with journalctl --unit frr"
                )
            left = untaken(parse(text), self.changes)
            if not left:
                self.last = out
            if not left or not self.late:
                break
            time.sleep(LATE_PAUSE)
        return text, left if self.late else []

    def undo(self, now: Config) -> None:
        """Take the change back from what FRR has now, and then out of the notes."""
        for _attempt in range(BACK_TRIES):
            if not self.take_back(now):
                break
            now = self.running()
        for step in self.back:
            step.do()

    def take_back(self, now: Config) -> bool:
        """Bring what FRR has now of the change back to what it had before, wherever a line went. Returns whether anything was to be done."""
        new = [
            address
            for address in self.changes
            if address not in self.config and address in now and BLOCK.match(now[address])
        ]
        inside = [address for address in now if any(address[: len(block)] == block for block in new)]
        # When FRR refuses a line late, the header after it may fail as well, and what stands below that goes into another block, as into the default VRF.
        sent = {one for line in self.text.splitlines() for one in canonical(line)}
        astray = [address for address, line in now.items() if line in sent and self.config.get(address) != line]
        back = difference(now, {address: self.config.get(address) for address in [*self.changes, *inside, *astray]}, ())
        if back:
            self.runner.run(Step(LOAD, render(back)))
        return bool(back)


def refusals(text: str, out: str, err: str) -> list[str]:
    """The lines of a change that vtysh refused, each with its blocks and what FRR said of it."""
    late = _refused_late(out)
    if late:
        # The lines that vtysh numbers are those after them.
        return [late]
    lines = text.splitlines()
    found = []
    said = [line.strip("% ").strip() for line in out.splitlines() if line.strip()]
    for number in sorted({int(n) for n in re.findall(r"^line (\d+): ", err, re.M)}):
        if 0 < number <= len(lines) and not CLOSING.match(lines[number - 1].strip()):
            found.append(_refused(lines, number))
    if found and said:
        found[-1] += ": " + hide("; ".join(dict.fromkeys(said)))
    return found


def _refused(lines: t.Sequence[str], number: int) -> str:
    """The line of a number, counted from 1, with the blocks around it."""
    line = lines[number - 1]
    around: list[str] = []
    depth = len(line) - len(line.lstrip())
    for earlier in reversed(lines[: number - 1]):
        if len(earlier) - len(earlier.lstrip()) < depth and not CLOSING.match(earlier.strip()):
            depth = len(earlier) - len(earlier.lstrip())
            around.insert(0, earlier.strip())
    return f"the line '{hide(line.strip())}'" + (f" in '{' / '.join(around)}'" if around else "") + needs(line)


def _refused_late(out: str) -> str:
    """The lines that a daemon refused together, after it had taken each, and why; empty if there are none."""
    rejected = [line[1:].strip() for line in out.splitlines() if line.startswith("- ")]
    if "Configuration failed" not in out or not rejected:
        return ""
    why = re.search(r"^Error description: (.*)", out, re.M)
    named = ", ".join(f"'{hide(line)}'" for line in dict.fromkeys(rejected))
    return f"the line{'s' * (len(rejected) > 1)} {named}" + (f": {why.group(1).strip('% ')}" if why else "")

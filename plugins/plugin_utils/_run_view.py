# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a readable run: pure, from the events of a playbook run to text. The callback plugin `readable` prints them."""

from __future__ import annotations

import typing as t

# Kinds of lines, which the callback gives their colors.
Line = t.Tuple[str, str]
# A task that ran for so many seconds is told, also when it changed nothing; so long a wait is told again.
SLOW = 10.0
WAIT = 10.0


class Outcome(t.NamedTuple):
    """How a task ended on a host that a person has to hear of."""

    host: str
    kind: str
    # What there is to say, the sentence first: of a failure, or a difference.
    text: str = ""


def grouped(outcomes: t.Iterable[Outcome]) -> t.Dict[t.Tuple[str, str], t.List[str]]:
    """The hosts by what happened on them, in the order in which it happened first."""
    groups: t.Dict[t.Tuple[str, str], t.List[str]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.kind, outcome.text), []).append(outcome.host)
    return groups


def seconds(span: float) -> str:
    """A duration as a person says it."""
    if span < 60:
        return f"{span:.0f} s"
    return f"{int(span) // 60} min {int(span) % 60} s"


def indented(text: str, margin: str) -> t.List[str]:
    """The lines of a text behind a margin."""
    return [f"{margin}{line}".rstrip() for line in text.splitlines()]


class View:
    """Holds a task until it is over, so that its hosts share a line."""

    def __init__(self) -> None:
        self._task = ""
        self._begun = 0.0
        self._outcomes: t.List[Outcome] = []
        self._notes: t.Dict[str, t.List[str]] = {}
        self._foretold: t.Set[str] = set()
        self._waits: t.Dict[str, float] = {}
        self._looks = False

    def play(self, name: str, now: float, looks: bool = False) -> t.List[Line]:
        """A play begins, and the last task of the one before is over. looks: it only looks, by itself, and reports what it sees."""
        lines = [*self.task("", now), ("play", name)]
        self._looks = looks
        return lines

    def task(self, name: str, now: float) -> t.List[Line]:
        """A task begins, and the one before is over."""
        lines = self._ended(now)
        self._task, self._begun, self._outcomes = name, now, []
        return lines

    def outcome(self, outcome: Outcome) -> None:
        """The running task ended on a host."""
        told = self._looks and outcome.kind == "changed"
        if not told and outcome not in self._outcomes:
            self._outcomes.append(outcome)
        if outcome.kind == "changed":
            self._foretold.add(outcome.host)

    def waiting(self, task: str, host: str, attempt: int, tries: int, now: float) -> t.List[Line]:
        """A task is tried again, which is no failure. It is told at first, and from time to time."""
        if now - self._waits.get(f"{host} {task}", -WAIT) < WAIT:
            return []
        self._waits[f"{host} {task}"] = now
        return [("wait", f"  waiting: {task} ({host}), try {attempt} of {tries}")]

    def running(self, now: float) -> t.List[Line]:
        """What is told while a task lasts."""
        return [("wait", f"  running: {self._task}, for {seconds(now - self._begun)}")] if self._task else []

    def note(self, host: str, text: str) -> bool:
        """Keep a warning of check mode for the end, when it may be about what this run would have made first."""
        if host not in self._foretold:
            return False
        hosts = self._notes.setdefault(text, [])
        if host not in hosts:
            hosts.append(host)
        return True

    def _ended(self, now: float) -> t.List[Line]:
        """The task that is over: where it changed or failed, or that it took long."""
        lines: t.List[Line] = []
        for (kind, text), hosts in grouped(self._outcomes).items():
            lines.append((kind, f"  {kind:8} {self._task}: {', '.join(sorted(hosts))}"))
            margin = "" if kind == "changed" else "    "
            lines += [("diff" if kind == "changed" else kind, line) for line in indented(text, margin)]
        if not lines and self._task and now - self._begun >= SLOW:
            lines.append(("ok", f"  {'ok':8} {self._task} ({seconds(now - self._begun)})"))
        return lines

    def end(
        self, hosts: t.Dict[str, t.Dict[str, int]], now: float, span: float, check: bool, file: str
    ) -> t.List[Line]:
        """The run is over: `hosts` are the counters of Ansible's recap."""
        lines = self.task("", now)
        if self._notes:
            lines += [("play", ""), ("play", "Not there yet, as seen without the changes above")]
            lines += [("note", f"  {', '.join(sorted(names))}: {text}") for text, names in self._notes.items()]
        lines.append(("play", ""))
        if self._looks:
            hosts = {name: {**counts, "changed": 0} for name, counts in hosts.items()}
        recap, verdict = _recap(hosts, check)
        total = f"{len(hosts)} host{'' if len(hosts) == 1 else 's'}"
        where = f"; all output: {file}" if file else ""
        return [*lines, *recap, ("end", f"{total}{verdict}, {seconds(span)}{where}")]


def _recap(hosts: t.Dict[str, t.Dict[str, int]], check: bool) -> t.Tuple[t.List[Line], str]:
    """Lines on hosts with something to tell, those that ended alike together; or, if all did, what the last line says of them."""
    told: t.Dict[t.Tuple[str, str], t.List[str]] = {}
    for name, counts in sorted(hosts.items()):
        told.setdefault((_worst(counts), _count(counts, check)), []).append(name)
    if set(told) <= {("ok", "")}:
        return [], f", {'nothing would change' if check else 'nothing changed'}"
    if len(told) == 1:
        worst, count = next(iter(told))
        if worst != "failed":
            return [], f", {count}{' each' if len(hosts) > 1 else ''}"
    return [(worst, f"{count}: {', '.join(names)}") for (worst, count), names in told.items() if count], ""


def _count(counts: t.Dict[str, int], check: bool) -> str:
    """What the recap has to say of a host; nothing when all was as it should be."""
    names = {
        "failures": "failed",
        "unreachable": "unreachable",
        "changed": "would change" if check else "changed",
        "rescued": "rescued",
        "ignored": "ignored",
    }
    return ", ".join(f"{counts[key]} {name}" for key, name in names.items() if counts.get(key))


def _worst(counts: t.Dict[str, int]) -> str:
    """The kind of line that a host's recap is."""
    if counts.get("failures") or counts.get("unreachable"):
        return "failed"
    return "changed" if counts.get("changed") else "ok"

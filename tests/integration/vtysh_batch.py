# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many files asked of vtysh at once: it needs 50 ms to start, and 5 ms for what is asked of a file.

Files are judged in threads. What these ask meanwhile goes to one vtysh, one part after the other, and each gets the answers of its part.
"""

from __future__ import annotations

import bisect
import concurrent.futures
import contextlib
import queue
import re
import typing as t

import harness

Argv = t.Tuple[str, ...]
Answer = t.Tuple[str, str]
T = t.TypeVar("T")

# Known at the top only, so that it leads there from wherever the part before has ended.
_TOP = "hostname overloom"
_PART = "! overloom-part"
_MARKED = re.compile(rf"^ *{_PART} \d+\n", re.M)
# No command begins so: where a dry run does not complain, it reads no more.
_SENTINEL = "overloom-reads"
_NUMBER = re.compile(r"^line (\d+): ")
# Seconds in which other files may join a question, and how many do.
_GATHER = 0.02
_MOST = 64


def ask(argv: t.Sequence[str], text: str) -> Answer:
    """One vtysh, without a daemon."""
    done = harness.execute(argv, None, text)
    return done.stdout, done.stderr


def ask_together(argv: Argv, texts: t.Sequence[str]) -> list[Answer]:
    """One vtysh for several texts. What it has no answer for, as it ended before, is asked alone."""
    answers = _marked(argv, texts) if "-m" in argv else _complaints(argv, texts)
    return [answer or ask(argv, text) for answer, text in zip(answers, texts)]


def _marked(argv: Argv, texts: t.Sequence[str]) -> list[Answer | None]:
    """For `vtysh -m`: the output of each part, which is whole when the next part has begun."""
    parts = "".join(f"{_TOP}\n{_PART} {number}\n{text}" for number, text in enumerate(texts))
    out, _err = ask(argv, f"{parts}{_TOP}\n{_PART} {len(texts)}\n")
    shown = _MARKED.split(out)[1:-1]
    return [(text, "") for text in shown] + [None] * (len(texts) - len(shown))


def _complaints(argv: Argv, texts: t.Sequence[str]) -> list[Answer | None]:
    """For `vtysh -C`: the complaints of each part, numbered as if it were alone."""
    lines: list[str] = []
    begins: list[int] = []
    for text in texts:
        lines += [_TOP, _SENTINEL]
        begins.append(len(lines))
        lines += text.splitlines()
    _out, err = ask(argv, "".join(f"{line}\n" for line in lines))
    said: dict[int, list[str]] = {}
    for line in err.splitlines(keepends=True):
        found = _NUMBER.match(line)
        if found:
            number = int(found.group(1))
            part = bisect.bisect_right(begins, number) - 1
            said.setdefault(part, []).append(f"line {number - begins[part]}: {line[found.end() :]}")
    return [
        ("", "".join(said[part][1:])) if said.get(part, [""])[0].startswith("line 0: ") else None
        for part in range(len(texts))
    ]


class Batch:
    """Questions of many threads, answered together."""

    def __init__(self) -> None:
        self.asked: queue.Queue[tuple[Argv, str, concurrent.futures.Future[Answer]]] = queue.Queue()

    def ask(self, argv: Argv, text: str) -> Answer:
        """As `ask`, for one of the threads."""
        answer: concurrent.futures.Future[Answer] = concurrent.futures.Future()
        self.asked.put((argv, text, answer))
        return answer.result()

    def answer(self) -> None:
        """Answer what is asked, if something is."""
        waiting = []
        with contextlib.suppress(queue.Empty):
            while len(waiting) < _MOST:
                waiting.append(self.asked.get(timeout=_GATHER))
        for argv in {argv for argv, _text, _answer in waiting}:
            mine = [(text, answer) for one, text, answer in waiting if one == argv]
            for (_text, answer), said in zip(mine, ask_together(argv, [text for text, _answer in mine])):
                answer.set_result(said)


def each(judge: t.Callable[[T, Batch], None], items: t.Iterable[T]) -> None:
    """Judge many items side by side, with two processes of vtysh at a time. Raises what the first one that failed raised."""
    batch = Batch()
    with concurrent.futures.ThreadPoolExecutor(2 * _MOST) as pool, concurrent.futures.ThreadPoolExecutor(2) as askers:
        judged = [pool.submit(judge, item, batch) for item in items]

        def answer() -> None:
            while not all(future.done() for future in judged):
                batch.answer()

        asking = [askers.submit(answer) for _asker in range(2)]
    for future in [*asking, *judged]:
        future.result()

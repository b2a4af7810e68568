# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: readable
type: stdout
short_description: Changes, waits and failures on the screen, all else in a file
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Shows each play, the tasks that changed something and on which hosts, the tasks that took longer than ten seconds, waits, warnings,
    differences (with C(--diff)), and failures in full with their message first.
  - A task that lasts is told while it does, see O(patience). Texts of M(ansible.builtin.debug) are shown.
  - A task that is tried again is a wait. It is no failure until the last try.
  - The recap has a line for a host only when something changed or failed there.
  - What the callback P(ansible.builtin.default#callback) would have shown is written into a file, which the last line names.
  - With C(-v) and more, it is also shown on the screen, in place of the short lines.
  - A play that sets C(check_mode) by itself reports what it sees by itself; the changes that its tasks foretell are in the file alone.
  - In check mode, a warning of a host on which an earlier task would change something may be about what that task would have made.
    Such warnings come once, at the end.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  folder:
    description:
      - The folder of the files. Each has the name of its playbook, and is of the last run of that playbook. Only its owner can read it.
      - When it cannot be written, the run goes on without a file. An empty text means no file.
    type: str
    default: reports
    env:
      - name: OVERLOOM_RUN_FOLDER
    ini:
      - section: callback_readable
        key: folder
  patience:
    description: After so many seconds a task that still runs is told, and again each time when twice as many have passed.
    type: float
    default: 20
    env:
      - name: OVERLOOM_RUN_PATIENCE
    ini:
      - section: callback_readable
        key: patience
"""

import contextlib
import os
import sys
import threading
import time
import typing as t

from ansible import constants as C
from ansible import context
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.release import __version__

from ansible_collections.overloom.fabric.plugins.plugin_utils._run_view import Line, Outcome, View

# What a failure's details leave out: said already, or Ansible's own.
SAID = {"msg", "changed", "failed", "unreachable", "exception", "warnings", "deprecations", "invocation", "diff"}
TWICE = {"stdout_lines", "stderr_lines", "attempts", "results", "censored"}
COLORS = {
    "changed": C.COLOR_CHANGED,
    "failed": C.COLOR_ERROR,
    "unreachable": C.COLOR_UNREACHABLE,
    "warning": C.COLOR_WARN,
    "ok": C.COLOR_OK,
}

# The module whose text is for a person.
SAYING = ("debug", "ansible.builtin.debug")

# Before ansible-core 2.21, a retry names the try that was; since then the one that comes.
BEHIND = int(tuple(map(int, __version__.split(".")[:2])) < (2, 21))


class Recorder:
    """A display for the default callback: it writes into a file what that would show, and shows it when asked to."""

    def __init__(self, screen: t.Any) -> None:
        self._screen = screen
        self._file: t.IO[str] | None = None
        self.path = ""

    def open(self, folder: str, name: str) -> None:
        """Begin the file of a playbook; without one when the folder cannot be written."""
        self.close()
        path = os.path.join(folder, f"{name}.log")
        with contextlib.suppress(OSError):
            os.makedirs(folder, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            # Of this run only, also while another one of the same playbook writes its own.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(handle, "w", encoding="utf-8", errors="replace", buffering=1)
            self.path = path

    def close(self) -> None:
        """End the file."""
        if self._file:
            self._file.close()
        self._file, self.path = None, ""

    def write(self, text: str) -> None:
        """Put a text into the file; a full disk ends the file, not the run."""
        if self._file:
            try:
                self._file.write(text.rstrip("\n") + "\n")
            except OSError:
                self._file = None

    def display(self, msg: str, *args: t.Any, **options: t.Any) -> None:
        if not options.get("screen_only") or not msg:
            self.write(msg)
        if self.verbosity:
            self._screen.display(msg, *args, **options)

    def banner(self, msg: str, *args: t.Any, **options: t.Any) -> None:
        self.write(f"\n{msg} {'*' * max(3, 78 - len(msg))}")
        if self.verbosity:
            self._screen.banner(msg, *args, **options)

    def warning(self, msg: t.Any, *_args: t.Any, **_options: t.Any) -> None:
        self.write(f"[WARNING]: {sentence(msg)}")

    _warning = deprecated = _deprecated = warning

    def _error(self, msg: t.Any, *_args: t.Any, **_options: t.Any) -> None:
        self.write(f"[ERROR]: {sentence(msg)}")

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._screen, name)


def sentence(message: t.Any) -> str:
    """The text of a warning or an error: since ansible-core 2.19 these are objects."""
    return str(getattr(getattr(message, "event", None), "msg", message))


def data_of(result: t.Any) -> dict[str, t.Any]:
    """The data of a task's result: before ansible-core 2.19 it has another name."""
    return result.result if hasattr(result, "result") else result._result


class CallbackModule(Default):
    """The default callback on a recorder, and the short lines on the screen."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "overloom.fabric.readable"
    _display: t.Any

    def __init__(self) -> None:
        super().__init__()
        self._screen = self._display
        self._display = self._recorder = Recorder(self._screen)
        self._on_screen = self._screen.display
        self._view = View()
        self._begun = time.monotonic()
        self._host = ""
        self._check = False
        self._diffs: dict[str, str] = {}
        self._items: dict[str, list[str]] = {}
        self._timer: threading.Timer | None = None

    def _watch(self, span: float) -> None:
        """Tell the running task after so many seconds, unless it has ended by then. 0: no more."""
        if self._timer:
            self._timer.cancel()
        self._timer = threading.Timer(span, self._still, (2 * span,)) if span else None
        if self._timer:
            self._timer.daemon = True
            self._timer.start()

    def _still(self, span: float) -> None:
        """The task of the timer still runs."""
        self._show(self._view.running(time.monotonic()))
        sys.stdout.flush()
        self._watch(span)

    def _show(self, lines: t.Iterable[Line]) -> None:
        """Put lines on the screen, unless all of it is shown there."""
        if self._screen.verbosity:
            return
        for kind, text in lines:
            failure = kind in ("failed", "unreachable") and self.get_option("display_failed_stderr")
            self._on_screen(text, color=COLORS.get(kind), stderr=failure)

    def _listen(self) -> None:
        """Have in the file, too, what plugins show by themselves, such as the tables of a plan."""
        owner = os.getpid()

        def display(msg: str, *args: t.Any, **options: t.Any) -> None:
            # Workers hand it to this process, where it comes by again.
            if os.getpid() == owner and not self._screen.verbosity:
                self._recorder.write(msg)
            self._on_screen(msg, *args, **options)

        self._screen.display = display

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        folder = self.get_option("folder")
        if folder:
            self._recorder.open(folder, os.path.splitext(os.path.basename(playbook._file_name))[0])
        self._view = View()
        self._begun = time.monotonic()
        self._listen()
        super().v2_playbook_on_start(playbook)

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._check = bool(context.CLIARGS.get("check") or play.check_mode)
        looks = self._check and not context.CLIARGS.get("check")
        self._show(self._view.play(play.get_name().strip(), time.monotonic(), looks))
        super().v2_playbook_on_play_start(play)

    def _task_start(self, task: t.Any, prefix: str | None = None) -> None:
        # A role's name before a task's own says little on a short line.
        name = (task.name or task.get_name()).strip()
        self._show(self._view.task(name, time.monotonic()))
        sys.stdout.flush()
        self._items.clear()
        self._watch(self.get_option("patience"))
        super()._task_start(task, prefix=prefix)

    def _outcome(self, result: t.Any, kind: str, text: str = "") -> None:
        self._view.outcome(Outcome(self.host_label(result), kind, text))

    def _handle_warnings(self, res: t.Any) -> None:
        for warning in res.get("warnings") or ():
            if not (self._check and self._view.note(self._host, sentence(warning))):
                self._view.outcome(Outcome(self._host, "warning", sentence(warning)))
        super()._handle_warnings(res)

    def _failure(self, data: dict[str, t.Any]) -> str:
        """All that a failure says, its sentence first."""
        first = str(data.get("msg") or data.get("censored") or data.get("reason") or "It failed without a message.")
        rest = {
            name: value for name, value in data.items() if name not in SAID | TWICE and not name.startswith("_ansible_")
        }
        # Empty output and the like is nothing to read.
        rest = {name: value for name, value in rest.items() if value not in ("", None, [], {})}
        return first + ("\n" + self._dump_results(rest).strip("\n") if rest else "")

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._host = self.host_label(result)
        if data_of(result).get("changed") and not isinstance(result._task, TaskInclude):
            self._outcome(result, "changed", self._diffs.pop(self._host, ""))
        if result._task.action in SAYING and isinstance(data_of(result).get("msg"), str):
            self._show([("ok", f"  {data_of(result)['msg']}")])
        super().v2_runner_on_ok(result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._host = self.host_label(result)
        for text in self._items.pop(self._host, [self._failure(data_of(result))]):
            self._outcome(result, "ignored" if ignore_errors else "failed", text)
        super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._host = self.host_label(result)
        self._outcome(result, "unreachable", self._failure(data_of(result)))
        super().v2_runner_on_unreachable(result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._host = self.host_label(result)
        super().v2_runner_on_skipped(result)

    def v2_runner_item_on_ok(self, result: t.Any) -> None:
        self._host = self.host_label(result)
        super().v2_runner_item_on_ok(result)

    def v2_runner_item_on_failed(self, result: t.Any) -> None:
        self._host = self.host_label(result)
        data = data_of(result)
        self._items.setdefault(self._host, []).append(f"{self._get_item_label(data)}: {self._failure(data)}")
        super().v2_runner_item_on_failed(result)

    def v2_on_file_diff(self, result: t.Any) -> None:
        data = data_of(result)
        parts = data["results"] if result._task.loop and "results" in data else [data]
        diffs = [self._get_diff(part["diff"]) for part in parts if part.get("diff") and part.get("changed")]
        self._diffs[self.host_label(result)] = "".join(diffs)
        super().v2_on_file_diff(result)

    def v2_runner_retry(self, result: t.Any) -> None:
        data = data_of(result)
        name = (result._task.name or result._task.get_name()).strip()
        lines = self._view.waiting(
            name, self.host_label(result), data["attempts"] + BEHIND, data["retries"], time.monotonic()
        )
        self._show(lines)
        sys.stdout.flush()
        super().v2_runner_retry(result)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._show([("ok", "  no host of the inventory is in this play")])
        super().v2_playbook_on_no_hosts_matched()

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._watch(0)
        hosts = {name: stats.summarize(name) for name in stats.processed}
        super().v2_playbook_on_stats(stats)
        now = time.monotonic()
        self._show(self._view.end(hosts, now, now - self._begun, self._check, self._recorder.path))
        self._screen.display = self._on_screen
        self._recorder.close()

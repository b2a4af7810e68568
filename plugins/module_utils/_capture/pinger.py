# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pings beside a capture, which end by themselves.

This file is private to the collection.
"""

# run_command waits for a command's end, and these run beside a capture.
# pylint: disable=ansible-bad-function
from __future__ import annotations

import subprocess
import threading
import typing as t

# Seconds between two pings, and until the first one, so that all hosts listen by then.
INTERVAL = 0.5
DELAY = 1.0


class Pinger:
    """Sends pings as long as its block lasts, and never longer than the seconds. said: the last line of ping, or None."""

    def __init__(self, ping: dict[str, str] | None, seconds: int) -> None:
        self.said: str | None = None
        self._argv = argv(ping, seconds) if ping else []
        self._timer: threading.Timer | None = None
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Pinger:
        if self._argv:
            self._timer = threading.Timer(DELAY, self._start)
            self._timer.daemon = True
            self._timer.start()
        return self

    def _start(self) -> None:
        pipe: t.Any = subprocess.PIPE
        try:
            self._process = subprocess.Popen(self._argv, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        except OSError as error:
            self.said = f"{self._argv[0]}: {error.strerror}"

    def __exit__(self, *_error: object) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer.join()
        if self._process:
            self._process.terminate()
            told = self._process.communicate()[0].strip().splitlines()
            self.said = next((line for line in told[::-1] if "packets" in line), told[-1] if told else None)


def argv(ping: dict[str, str], seconds: int) -> list[str]:
    """The command; it ends by itself one second before the capture, also when nobody is left to end it."""
    enter = ["ip", "netns", "exec", ping["namespace"]] if ping["namespace"] else []
    bounds = ["-i", str(INTERVAL), "-w", str(max(1, int(seconds - DELAY - 1)))]
    return [*enter, "ping", "-n", "-q", *bounds, "-I", ping["source"], ping["target"]]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""guest_wait in Ansible: real runs, with ports of this machine as the guests."""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import typing as t

from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT


def run(**args: t.Any) -> tuple[str, float]:
    """What Ansible printed, and how long it took, in seconds."""
    ansible = str(pathlib.Path(sys.executable).parent / "ansible")
    argv = [
        ansible,
        "localhost",
        "-i",
        "localhost,",
        "-c",
        "local",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
    ]
    begun = time.monotonic()
    done = subprocess.run(
        [*argv, "-m", "overloom.fabric.guest_wait", "-a", json.dumps(args)],
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr, time.monotonic() - begun


def test_progress_is_told_while_it_lasts_and_the_wait_ends_as_declared() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = {"kind": "ssh", "host": "127.0.0.1", "port": server.getsockname()[1], "timeout": 12}
        said, seconds = run(waits=[silent, {**silent, "kind": "tcp"}])
    assert "waiting on localhost for ssh of 127.0.0.1, since " in said and "no banner came" in said
    # A busy machine looks later.
    waited = re.search(r"not ready after ([0-9]+) s", said)
    assert waited and 12 <= int(waited[1]) <= seconds
    # What was ready in the first slice stays in the result.
    assert '"accepts connections"' in said


def test_one_wait_by_plain_options_ends_as_soon_as_it_is_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        said, _seconds = run(kind="tcp", host="127.0.0.1", port=server.getsockname()[1])
    assert "accepts connections" in said and "waiting on" not in said

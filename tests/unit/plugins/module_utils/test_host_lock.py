# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs take turns on a host; who waits in vain says for whom; a killed holder holds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._host_lock import caller, holder, host_lock

PART = f"test-{os.getpid()}"


def test_one_at_a_time_and_the_waiting_one_names_the_holder() -> None:
    with host_lock(PART, caller("ovs_bridge", "blue")):
        assert holder(PART) == f"ovs_bridge for blue, process {os.getpid()}"
        told = rf"another run is changing this host \(ovs_bridge for blue, process {os.getpid()}\)"
        with pytest.raises(TimeoutError, match=told), host_lock(PART, "second", patience=0.1):
            pytest.fail("both have the lock")
        with host_lock(PART + "-other", "another part of the host"):
            pass
    assert holder(PART) is None


def test_it_is_waited_for() -> None:
    order = []

    def second() -> None:
        with host_lock(PART, "second"):
            order.append("second")

    with host_lock(PART, "first"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_killed_holder_leaves_no_lock() -> None:
    hold = (
        "import socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
        f" s.bind('\\0overloom-lock/{PART}'); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(TimeoutError, match="unknown"), host_lock(PART, "us", patience=0.1):
            pytest.fail("both have the lock")
        process.kill()
    with host_lock(PART, "us", patience=5):
        pass

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benches that run in a lab host share: a module without Ansible's start, and the clock."""

from __future__ import annotations

import os
import subprocess
import time


class Done(Exception):
    """The module has ended."""


class Module:
    """What a module sees of Ansible, without Ansible."""

    check_mode = _diff = False

    def __init__(self, params):
        self.params = params
        self.result = None

    def run_command(self, argv, data=None, pass_fds=(), **_options):
        done = subprocess.run(argv, input=data, capture_output=True, text=True, check=False, pass_fds=pass_fds)
        return done.returncode, done.stdout, done.stderr

    def warn(self, text):
        raise AssertionError(text)

    def exit_json(self, **result):
        self.result = result
        raise Done

    def fail_json(self, **result):
        raise AssertionError(result["msg"])


def processor():
    """The processor time in seconds of this process and of those that it started and that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def measured(seen, name, action):
    """The result of an action; its seconds are added to seen[name], and those of the processor to seen["cpu_" + name]."""
    begun, spent = time.monotonic(), processor()
    result = action()
    seen.setdefault(name, []).append(time.monotonic() - begun)
    seen.setdefault(f"cpu_{name}", []).append(processor() - spent)
    return result


def run_to_end(run, module):
    """The result of a module, whose logic run is."""
    try:
        run(module)
    except Done:
        return module.result
    raise AssertionError("the module did not end")

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benches that run in a lab host share: a module without Ansible's start, and the clock."""
from __future__ import annotations

import subprocess
import time


class Done(Exception):
    """The module has ended."""


class Module:
    """What a module sees of Ansible, without Ansible."""

    check_mode = _diff = False

    def __init__(self, spec, **options):
        self.params = {**{name: option.get("default") for name, option in spec.items()}, **options}
        self.result = None

    def run_command(self, argv, data=None, **_options):
        done = subprocess.run(argv, input=data, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def warn(self, text):
        raise AssertionError(text)

    def exit_json(self, **result):
        self.result = result
        raise Done

    def fail_json(self, **result):
        raise AssertionError(result["msg"])


def timed(action):
    """The seconds that an action took, and what it returned."""
    begun = time.monotonic()
    result = action()
    return time.monotonic() - begun, result


def module(run, spec, **options):
    """The result of a module."""
    one = Module(spec, **options)
    try:
        run(one)
    except Done:
        return one.result
    raise AssertionError("the module did not end")

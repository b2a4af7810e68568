# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs modules in a host, each in a process of its own that is forked after the imports which all of them share.

A run takes a tenth of a second instead of half of one. A request is a line of JSON on standard input: the module's name, and what it reads.
The answer is one on standard output: its exit status, and what it printed on both streams.
"""

import json
import os
import runpy
import sys
import traceback

from ansible.module_utils import basic


def run(name, given):
    """Run a module in this process and return the exit status; what Ansible's own wrapper does, with the arguments at hand."""
    basic._ANSIBLE_ARGS = given.encode()
    basic._ANSIBLE_PROFILE = "legacy"
    try:
        runpy.run_module(
            f"ansible_collections.overloom.fabric.plugins.modules.{name}", run_name="__main__", alter_sys=True
        )
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else bool(end.code)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def answer(name, given):
    """Fork, run the module there, and collect what it printed."""
    streams = [os.memfd_create(stream) for stream in ("stdout", "stderr")]
    child = os.fork()
    if child == 0:
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
        status = run(name, given)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    _child, ended = os.waitpid(child, 0)
    printed = []
    for stream in streams:
        with open(stream, encoding="utf-8", errors="replace") as text:
            text.seek(0)
            printed.append(text.read())
    return [os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else -os.WTERMSIG(ended), *printed]


def main():
    # A child of the host's process 1, which waits for it when the host goes down.
    if os.fork():
        return
    # The modules' own streams are others, and no program that a module starts inherits these two.
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number)
    # Python puts the working folder first, whose names would hide others.
    sys.path.pop(0)
    for line in requests:
        print(json.dumps(answer(*json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()

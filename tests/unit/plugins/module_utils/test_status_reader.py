# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A read of a host costs what it asks for: code of other parts is neither imported nor compiled."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

COLLECTIONS = pathlib.Path(__file__).parents[4] / ".collections"
ROOMS = (
    "_bird",
    "_container.reconcile",
    "_dhcp",
    "_frr.info",
    "_host_network",
    "_libvirt",
    "_nft",
    "_ovn",
    "_service",
    "_vrrp",
)
PROGRAM = """
import sys
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner
from ansible_collections.overloom.fabric.plugins.module_utils._status.reader import read
runner = Runner(lambda argv, stdin: (127, "", "no answer"))
print(sorted(read(runner, runner, {sys.argv[1]: ["x"]})[1]))
print(*(name.partition("module_utils.")[2] for name in sys.modules if "module_utils._" in name))
"""


@pytest.mark.parametrize(
    "part,room",
    [
        ("policies", ""),
        ("guests", "_libvirt"),
        ("routing", "_frr.info"),
        ("ovn", "_ovn"),
        ("host_network", "_host_network"),
    ],
)
def test_the_code_of_a_part_is_imported_where_it_is_asked_for(part, room):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, part],
        env={"PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=True,
    )
    unread, names = done.stdout.splitlines()
    assert unread == f"['{part}']"
    loaded = {one for one in ROOMS if any(name.startswith(one) for name in names.split())}
    assert loaded == ({room} if room else set())

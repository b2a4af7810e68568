# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of guests, read without libvirt's Python binding.

This file is private to the collection. Source: virsh(1).
"""

from __future__ import annotations

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner


def guest_states(runner: Runner) -> dict[str, str] | None:
    """The state of each guest by its name; None when libvirt does not answer."""
    status, out, _err = runner.run(["virsh", "-q", "list", "--all"])
    if status:
        return None
    rows = [line.split(None, 2) for line in out.splitlines()]
    return {row[1]: row[2].strip() for row in rows if len(row) == 3}

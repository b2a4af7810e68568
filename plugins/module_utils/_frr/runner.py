# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of FRR that end, and who may give them.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr import vtysh
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner


class HangsError(FabricError):
    """FRR does not answer. daemons: those of it that hang; none where it is not known."""

    def __init__(self, message: str, daemons: t.Sequence[str]) -> None:
        super().__init__(message)
        self.daemons = list(daemons)


def frr_runner(module: t.Any, longest: int = vtysh.LONGEST) -> Runner:
    """A Runner whose commands end, also when a daemon hangs, and read their lines from a file. longest: seconds until then."""

    def run(argv: t.Sequence[str], stdin: str | None) -> tuple[int, str, str]:
        status, out, err = vtysh.execute(module, argv, stdin, longest)
        if status in (124, 137):
            silent = vtysh.hanging()
            see = f"restart it: {' and '.join(silent)} does not answer"
            mend = see if silent else "see with systemctl status frr which daemon hangs"
            raise HangsError(f"{argv[0]} had no answer of FRR in {longest} s; {mend}, then run this again", silent)
        return status, out, err

    return Runner(run)


def check_allowed(status: int, said: str) -> None:
    """Tell a user without rights, to whom FRR looks as if it did not run. Raises FabricError."""
    if status and "Permission denied" in said:
        raise FabricError("FRR answers only root and the group frrvty; run the task with become: true")

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routing daemons of a host's edges, read and not changed.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._bird import router as _router
from ansible_collections.overloom.fabric.plugins.module_utils._netns.daemon import read_all
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner

KINDS = (_router.KIND,)


def uplinks(runner: Runner) -> list[dict[str, t.Any]]:
    """The routers in plain types."""
    return read_all(runner, KINDS)["routers"]

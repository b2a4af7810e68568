# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The DHCP servers and clients of a host, read and not changed.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._dhcp import client as _client
from ansible_collections.overloom.fabric.plugins.module_utils._dhcp import server as _server
from ansible_collections.overloom.fabric.plugins.module_utils._netns.daemon import read_all
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner

KINDS = (_server.KIND, _client.KIND)


def dhcp(runner: Runner) -> dict[str, t.Any]:
    """Servers and clients in plain types."""
    return t.cast(t.Dict[str, t.Any], read_all(runner, KINDS))

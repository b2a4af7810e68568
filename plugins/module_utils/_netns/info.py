# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All network namespaces of a host, told in plain types.

This file is private to the collection.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns import namespace as _netns
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import (
    OVS_BEGIN,
    Space,
    describe,
    read_host,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    empty_database,
    ovs_runner,
    read_database,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import tool


def run(module: t.Any) -> None:
    """Read and return what the module's parameters ask for."""
    names, owner = module.params["names"], module.params["owner"]
    runner = ovs_runner(module)
    try:
        wanted = None if names is None else {_netns.check_name(name, "names") for name in names}

        def interests(spaces: dict[str, Space], there: t.Collection[str]) -> dict[str, dict[str, str]]:
            chosen = [name for name in there if wanted is None or name in wanted]
            return {name: spaces[name].sysctls if name in spaces else {} for name in chosen}

        def read_ovs() -> Database:
            try:
                return read_database(runner, OVS_BEGIN)
            except FabricError as error:
                # Everything else can be told without it.
                module.warn(f"bridges and VLANs of the interfaces are not known: {error}")
                return empty_database()

        found = read_host(runner, interests, lambda _spaces: os.path.exists(tool("ovs-vsctl")), read_ovs)
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    namespaces = [describe(found, name) for name in sorted(found.inside)]
    module.exit_json(
        changed=False,
        namespaces=[space for space in namespaces if owner is None or space["owner"] == owner],
        spawned=runner.spawned,
    )

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
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import tool


def namespaces(
    runner: Runner, wanted: t.Container[str] | None, read_ovs: t.Callable[[], Database]
) -> list[dict[str, t.Any]]:
    """The namespaces of these names, sorted; all of them with None. read_ovs: reads the database, where Open vSwitch is installed."""

    def interests(spaces: dict[str, Space], there: t.Collection[str]) -> dict[str, dict[str, str]]:
        chosen = [name for name in there if wanted is None or name in wanted]
        return {name: spaces[name].sysctls if name in spaces else {} for name in chosen}

    found = read_host(runner, interests, lambda _spaces: os.path.exists(tool("ovs-vsctl")), read_ovs)
    return [describe(found, name) for name in sorted(found.inside)]


def run(module: t.Any) -> None:
    """Read and return what the module's parameters ask for."""
    names, owner = module.params["names"], module.params["owner"]
    runner = ovs_runner(module)

    def read_ovs() -> Database:
        try:
            return read_database(runner, OVS_BEGIN)
        except FabricError as error:
            # Everything else can be told without it.
            module.warn(f"bridges and VLANs of the interfaces are not known: {error}")
            return empty_database()

    try:
        wanted = None if names is None else {_netns.check_name(name, "names") for name in names}
        found = namespaces(runner, wanted, read_ovs)
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    module.exit_json(
        changed=False,
        namespaces=[space for space in found if owner is None or space["owner"] == owner],
        spawned=runner.spawned,
    )

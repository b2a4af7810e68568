# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ovn_northbound: OVN's northbound database made what is declared.

This file is private to the collection. Source: ovn-nb(5), ovn-nbctl(8).
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.client import (
    begin,
    client_argument_spec,
    client_runner,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.compare import Wanted, compare, state
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.database import GLOBAL, Tables, read_tables
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.declaration import argument_spec as lists_spec
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.declaration import declared
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.slow import read_lag
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Item, SomePairs
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Settings, owner_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Change, FabricError, Module, reconcile

_OPTIONS = SomePairs()


def argument_spec() -> Item:
    """The options of the module."""
    return {
        **lists_spec(),
        "nb_global_options": dict(_OPTIONS.spec),
        "wait_for": {"type": "str", "choices": ["none", "sb", "hv"], "default": "none"},
        **owner_argument_spec(),
        **client_argument_spec(),
    }


def run(module: Module) -> None:
    """The module."""
    params = module.params
    runner = client_runner(module, "ovn-nbctl")
    settings = Settings(params["owner"], params["adopt"], params["purge"])
    read_begin = begin("ovn-nbctl", params)
    waiting = params["wait_for"]
    write_begin = read_begin if waiting == "none" else [*read_begin, f"--wait={waiting}"]
    try:
        wanted = Wanted(declared(params), _options(params["nb_global_options"]))
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)

    changed: list[bool] = []

    def compared(found: Tables) -> Change:
        change = compare(found, wanted, settings, write_begin)
        changed.append(bool(change.steps))
        return change

    def judge(found: Tables) -> list[str]:
        # What was given back is no longer ours, and to ask once more for its absence is an error.
        there = wanted._replace(nodes=[node for node in wanted.nodes if node.present])
        if compare(found, there, settings, write_begin).steps:
            return [
                "the northbound database is not as declared after the change: others change it, too; run this again"
            ]
        # Who has nothing there does not mind how far others have come.
        if not any(changed) and not there.nodes:
            return []
        # After a change, ovn-nbctl has waited already.
        return read_lag(runner, found, waiting, params, 0 if any(changed) else params["timeout"])

    def shown(found: Tables) -> Item:
        options = next(iter(found[GLOBAL].values()), {}).get("options", {})
        return {"northbound": {**state(found, wanted.nodes, settings.owner), "nb_global_options": options}}

    reconcile(module, lambda: read_tables(runner, read_begin), compared, runner, shown, judge)


def _options(declared_options: Item | None) -> dict[str, t.Any] | None:
    return None if declared_options is None else _OPTIONS.parse(declared_options, "nb_global_options")

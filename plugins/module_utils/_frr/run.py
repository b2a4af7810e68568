# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `main` of each FRR module does.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.compare import Options, compare, judge
from ansible_collections.overloom.fabric.plugins.module_utils._frr.files import check_writable
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import Found, read
from ansible_collections.overloom.fabric.plugins.module_utils._frr.runner import frr_runner
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import Address, show
from ansible_collections.overloom.fabric.plugins.module_utils._frr.wanted import Index, Thing
from ansible_collections.overloom.fabric.plugins.module_utils._frr.writer import Apply, Save
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Change, FabricError, reconcile


def run(
    module: t.Any,
    name: str,
    option: str,
    plain: t.Mapping[str, t.Any],
    things: t.Callable[[t.Sequence[t.Mapping[str, t.Any]], Found], tuple[list[Thing], tuple[str, ...]]],
    daemons: t.Callable[[t.Sequence[t.Mapping[str, t.Any]]], tuple[str, ...]],
) -> None:
    """What `main` of each FRR module does.

    name: the module's; option: its list of items; plain: the argument spec of one item, which are plain options too.
    things: from the items and what was found to the things wanted and the beginnings of names to leave alone;
    daemons: those that the items need.
    """
    runner = frr_runner(module)
    params = module.params
    wanted: list[Thing] = []
    changes: dict[Address, t.Optional[str]] = {}
    applied: list[Apply] = []

    def read_once() -> Found:
        return read(runner, name, applied[0].last if applied else None)

    def change(found: Found) -> Change:
        items = params[option]
        if items is None:
            items = [{key: params[key] for key in plain}]
        else:
            extra = [key for key, spec in plain.items() if params[key] != spec.get("default")]
            if extra:
                raise FabricError(
                    f"{extra[0]} and {option} exclude each other; put {extra[0]} into an item of {option}"
                )
        wanted[:], kept = things(items, found)
        needed = daemons([item for item in items if item.get("state") != "absent"])
        options = Options(name, params["owner"], params["adopt"], params["purge"], module.check_mode, kept, needed)
        planned = compare(runner, found, wanted, options)
        for step in planned.steps:
            if isinstance(step, Apply):
                changes.update(step.changes)
                applied.append(step)
            elif isinstance(step, Save):
                check_writable(step.path)
        return planned

    def state(found: Found) -> dict[str, t.Any]:
        index = Index(found.running)
        ours = {address for thing in wanted for address in index.inside(thing.scope)}
        return {
            "running": show((address, line) for address, line in found.running.items() if address in ours).splitlines()
        }

    reconcile(module, read_once, change, runner, state, lambda found: judge(found, changes))

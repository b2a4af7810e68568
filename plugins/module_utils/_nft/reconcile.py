# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a host, read and made through nft(8).

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import existing
from ansible_collections.overloom.fabric.plugins.module_utils._nft.table import (
    FAMILIES,
    UNIT_KIND,
    Found,
    Item,
    Place,
    Settings,
    Wanted,
    compare,
    declared,
    parse_names,
    place_of,
    questions,
    refusal,
)
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, owner_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Runner,
    module_runner,
    reconcile,
    text_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    booted,
    property_blocks,
    read_units,
)


def argument_spec() -> Item:
    """The options of the module."""
    item: Item = {
        "name": {"type": "str"},
        "family": {"type": "str", "choices": list(FAMILIES), "default": FAMILIES[0]},
        "netns": {"type": "str"},
        "content": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }
    listed = {**item, "name": {"type": "str", "required": True}}
    return {**item, "tables": {"type": "list", "elements": "dict", "options": listed}, **owner_argument_spec()}


def listing(runner: Runner, place: Place) -> str:
    """What nft lists of one table, without counters. Raises FabricError."""
    return runner(place.command("nft", "--stateless", "list", "table", place.family, place.name)).strip()


def read_host(runner: Runner, wanted: t.Sequence[Wanted]) -> Found:
    """The tables that are declared or ours. Spawns a process for each network namespace, one for each table, and one for the units."""
    units = read_units(UNIT_KIND)
    places = {one.place for one in wanted} | {place for unit in units.values() for place in [place_of(unit)] if place}
    spaces = frozenset(existing())
    listings: dict[Place, str] = {}
    for netns in sorted({place.netns for place in places}):
        if not netns or netns in spaces:
            listings.update(_listings(runner, [place for place in places if place.netns == netns]))
    paths = [path for place in places for path in (place.script, place.listing, place.former)]
    files = {path: text for path in paths for text in [text_of(path)] if text is not None}
    return Found(listings, spaces, units, _active(runner, sorted(units)), files)


def _listings(runner: Runner, places: t.Sequence[Place]) -> dict[Place, str]:
    """What nft lists of tables in one namespace, of those that are there."""
    status, out, err = runner.run(places[0].command("nft", "list", "tables"))
    if status == 127:
        raise FabricError("nft is not installed on this host; install the package nftables")
    if status:
        raise FabricError(f"nft cannot list the tables: {err.strip() or out.strip()}; run the task with become: true")
    there = set(parse_names(out))
    # One by one: of several in one call, nft 1.0.6 finds but the last, and all rules of a host may be many thousands.
    return {place: listing(runner, place) for place in places if (place.family, place.name) in there}


def _active(runner: Runner, units: t.Sequence[str]) -> frozenset[str]:
    if not units or not booted():
        return frozenset()
    out = runner(("systemctl", "show", "--property=Id,ActiveState", *units))
    return frozenset(row["Id"] for row in property_blocks(out) if row.get("ActiveState") == "active")


def run(module: t.Any) -> None:
    """The module nft_table."""
    params, runner = module.params, module_runner(module)
    try:
        wanted = declared([params] if params["tables"] is None else params["tables"])
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)
    settings = Settings(
        caller=Caller(params["owner"], params["adopt"]),
        purge=params["purge"],
        running=booted(),
        lenient=module.check_mode,
        read=lambda place: listing(runner, place),
    )

    def compared(found: Found) -> Change:
        change = compare(found, wanted, settings)
        for place, question in questions(found, wanted):
            status, out, err = runner.run(question)
            if status:
                raise FabricError(refusal(place, err or out))
        return change

    def state(found: Found) -> Item:
        places = [one.place for one in wanted if one.present and one.place in found.listings]
        return {"tables": [{**place._asdict(), "listing": found.listings[place]} for place in places]}

    reconcile(module, lambda: read_host(runner, wanted), compared, runner, state)

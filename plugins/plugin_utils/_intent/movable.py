# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints that are stated once for the whole fabric, each with its host, so that they may move.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import ENDPOINTS, Endpoint
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.hosts import read_endpoint
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import items_of, note
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, conform, label, suggest, word

Item = t.Dict[str, t.Any]
Variables = t.Dict[str, Item]


def without_movable(variables: Item) -> Item:
    """A host's variables without the endpoints that are stated for the whole fabric."""
    items = variables.get(ENDPOINTS)
    if not isinstance(items, list) or not any(map(_is_movable, items)):
        return variables
    return {**variables, ENDPOINTS: [item for item in items if not _is_movable(item)]}


def read_movable(
    everyone: Variables,
    hosts: t.Collection[str],
    spec: Item,
    problems: list[str],
    given: set[str],
    places: t.Mapping[str, tuple[str, bool]],
) -> list[Endpoint]:
    """The endpoints that are stated with their host.

    everyone: the variables of all hosts of the inventory. A host's own list hides that of its group from that host alone, so an endpoint counts
    whosever variables it is found in. hosts: the names of the KVM hosts. places: guests that are on another host than the intent names, by name, and
    whether they are to be moved from there.
    """
    values = {ENDPOINTS: conform(_stated(everyone, problems), spec[ENDPOINTS], ENDPOINTS, problems)}
    found: list[Endpoint] = []
    for i, item in items_of(values, ENDPOINTS):
        where = f"{ENDPOINTS}[{label(item, i)}]"
        note(item, where, given)
        if item["host"] is not INVALID and item["host"] not in hosts:
            problems.append(
                f"{where}.host {word(item['host'])} is no KVM host of the fabric{suggest(item['host'], hosts)}"
            )
        elsewhere, moving = places.get(str(item["name"]), ("", False)) if item["kind"] == "guest" else ("", False)
        read = read_endpoint(item, where, elsewhere or str(item["host"]), problems)
        for endpoint in read:
            endpoint.stated, endpoint.moving = str(item["host"]), moving
        found += read
    for nth, endpoint in enumerate(found):
        endpoint.movable, endpoint.nth = True, nth
    return found


def _is_movable(item: t.Any) -> bool:
    """Whether an item of fabric_endpoints says its host."""
    return isinstance(item, dict) and item.get("host") is not None


def _stated(everyone: Variables, problems: list[str]) -> list[Item]:
    """The items that say their host, each once."""
    lists: list[list[t.Any]] = []
    for name in sorted(everyone):
        items = everyone[name].get(ENDPOINTS)
        if isinstance(items, list) and any(map(_is_movable, items)) and items not in lists:
            lists.append(items)
    stated: dict[str, Item] = {}
    for items in lists:
        here = [(label(item, index), item) for index, item in enumerate(items) if _is_movable(item)]
        times = collections.Counter(name for name, _item in here)
        for name, item in here:
            if stated.setdefault(name, item) != item or times[name] > 1:
                problems.append(
                    f"{ENDPOINTS}[{name}] has a host and is stated twice; state it once for the fabric, in group_vars/all.yml."
                )
    return list(stated.values())

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a host that are ours, read and not changed.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._nft.reconcile import read_host
from ansible_collections.overloom.fabric.plugins.module_utils._nft.table import Found, Place, place_of
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner

Item = t.Dict[str, t.Any]


def tables(runner: Runner) -> list[Item]:
    """Each table with its owner, whether its service has run, and whether it is what was loaded. Raises FabricError."""
    found = read_host(runner, [])
    places = [place for unit in found.units.values() for place in [place_of(unit)] if place]
    return [_row(found, place) for place in sorted(places)]


def _row(found: Found, place: Place) -> Item:
    listing = found.listings.get(place)
    return {
        **place._asdict(),
        "owner": found.owner(place),
        "running": place.unit in found.active,
        "as_loaded": listing is not None and found.files.get(place.listing) == f"{listing}\n",
    }

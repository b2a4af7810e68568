# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the guests of a plan are, and what becomes of one that is not on its host: it is moved, left, or the run is refused. Pure.

A guest keeps in its metadata, which migrates with it, the host that the intent named when it was last built. So one that is elsewhere
although the intent still names that host was migrated by somebody else; else the intent has changed, and the guest is to be moved.

This file is private to the collection.
"""

from __future__ import annotations

import copy
import re
import typing as t

Item = t.Dict[str, t.Any]

# The key of a guest's metadata.
STATED = "host"
FOLLOW, REFUSE, RETURN = "follow", "refuse", "return"
PLACEMENTS = (REFUSE, FOLLOW, RETURN)
COPY, SHARED = "copy", "shared"
# What libvirt_info says of a host that never had a guest.
_NO_LIBVIRT = re.compile("No such file|is missing for this Python")


class Place(t.NamedTuple):
    """The host that a guest is on instead of the one that is stated. moving: it is to be moved there, else it stays."""

    host: str
    moving: bool


class Placement(t.NamedTuple):
    """The decision for all guests.

    places: guests that are elsewhere, by name. moves: what is to be done, each with name, from and to. problems: sentences about guests that
    nobody said what to do with.
    """

    places: dict[str, Place]
    moves: list[Item]
    problems: list[str]


class _Guest(t.NamedTuple):
    """A guest of the plan. seen: host to what libvirt has of it there. runs: the hosts on which it runs. blind: hosts that could not be asked."""

    item: Item
    host: str
    movable: bool
    seen: dict[str, Item]
    runs: list[str]
    blind: list[str]

    @property
    def name(self) -> str:
        return str(self.item["name"])

    @property
    def where(self) -> str:
        return f"fabric_endpoints[{self.name}]"


def place(plan: Item, looked: t.Mapping[str, Item]) -> Placement:
    """Decide.

    plan: as the intent states it. looked: for each host of the run what libvirt_info returned of the fabric's guests, or the error.
    """
    result = Placement({}, [], [])
    domains, blind = _domains(plan, looked)
    for host in plan["hosts"]:
        for item in plan["hosts"][host]["guests"]:
            seen = {
                name: domain
                for name, found in domains.items()
                for domain in found.values()
                if domain.get("uuid") == item["domain"]["uuid"]
            }
            runs = [name for name, domain in seen.items() if domain["state"] != "shutoff"]
            movable = plan["movable"].get(item["name"]) == host
            _decide(_Guest(item, host, movable, seen, runs, blind), host in domains, result)
    return result


def _domains(plan: Item, looked: t.Mapping[str, Item]) -> tuple[dict[str, Item], list[str]]:
    """The fabric's guests on each host that could be asked, and the hosts that could not."""
    domains: dict[str, Item] = {}
    blind = []
    for host in plan["hosts"]:
        found = looked.get(host) or {}
        if "domains" in found:
            domains[host] = found["domains"]
        elif _NO_LIBVIRT.search(str(found.get("msg", ""))):
            domains[host] = {}
        else:
            blind.append(host)
    return domains, blind


def _decide(guest: _Guest, asked: bool, result: Placement) -> None:
    """What becomes of one guest. asked: whether its host could be asked."""
    if len(guest.runs) > 1:
        result.problems.append(
            f"Guest {guest.name} runs on {' and on '.join(guest.runs)}, or is just being migrated; wait for that, or shut it down on one of them,"
            " which both write to its disks and have its addresses."
        )
    elif guest.runs == [guest.host] or (not guest.runs and guest.host in guest.seen):
        if guest.movable and guest.runs:
            # What a move that was interrupted has left.
            result.moves.extend(_move(guest, other) for other in guest.seen if other != guest.host)
    elif guest.seen:
        _elsewhere(guest, (guest.runs or list(guest.seen))[0], asked, result)
    elif asked and guest.movable and guest.blind:
        result.problems.append(
            f"Guest {guest.name} is not on {guest.host} yet, and may run on {' or '.join(guest.blind)}, which could not be asked;"
            f" run it with all KVM hosts, or take a host that is gone for good out of the group kvm_hosts."
        )


def _move(guest: _Guest, source: str) -> Item:
    return {"name": guest.name, "from": source, "to": guest.host}


def _elsewhere(guest: _Guest, found: str, asked: bool, result: Placement) -> None:
    """The guest is on another host than the intent states."""
    domain, placement = guest.seen[found], guest.item["placement"]
    by_hand = (domain.get("metadata") or {}).get(STATED) in (None, guest.host)
    if not guest.movable:
        result.problems.append(
            f"{_told(guest, found)}; migrate it back, or state it once for the fabric, with host: {found} and the uuid, the mac and the address"
            " that the plan shows."
        )
    elif by_hand and placement == FOLLOW:
        result.places[guest.name] = Place(found, False)
    elif by_hand and placement == REFUSE:
        result.problems.append(
            f"{_told(guest, found)}; set {guest.where}.host: {found} to have it there, guest.placement: follow to leave its place to others,"
            " or guest.placement: return to have it migrated back."
        )
    elif not guest.runs and domain.get("storage") and guest.item["storage"] == COPY:
        result.problems.append(
            f"Guest {guest.name} is shut off on {found}, with its disks, and {guest.where}.host is {guest.host}; start it there"
            f" (virsh start {guest.name}), as only a guest that runs is moved with them, or set guest.storage: shared if both hosts have the same."
        )
    else:
        result.places[guest.name] = Place(found, asked)
        result.moves.extend([_move(guest, found)] if asked else [])


def _told(guest: _Guest, found: str) -> str:
    state = "runs" if guest.runs else "is shut off"
    return (
        f"Guest {guest.name} {state} on {found}, where somebody has migrated it, and the intent has it on {guest.host}"
    )


def prepared(plan: Item, stated: Item, moves: t.Sequence[Item]) -> Item:
    """The plan while guests are moved: they are where they were found, and their next hosts are ready for them.

    plan: with the guests where they are. stated: with the guests where the intent has them.
    Each move gets the next host's tunnel endpoint, as a URI has it: `address`.
    """
    teps = {tep["host"]: tep["address"] for tep in plan["teps"]}
    result = {**plan, "hosts": dict(plan["hosts"]), "moves": []}
    for move in moves:
        here, there = result["hosts"][move["to"]], stated["hosts"][move["to"]]
        result["hosts"][move["to"]] = {
            **here,
            "bridges": _joined(here["bridges"], there["bridges"], "ports"),
            "networks": _joined(here["networks"], there["networks"], "portgroups"),
        }
        guest = next(item for item in there["guests"] if item["name"] == move["name"])
        result["moves"].append({**move, "guest": guest, "address": _in_uri(teps[move["to"]])})
    return result


def _in_uri(address: str) -> str:
    """An address as a URI has it."""
    return f"[{address}]" if ":" in address else address


def _joined(some: t.Sequence[Item], more: t.Sequence[Item], inner: str) -> list[Item]:
    """Both lists, by name, and below each of their items likewise."""
    found = {item["name"]: copy.deepcopy(item) for item in some}
    for item in more:
        known = found.setdefault(item["name"], copy.deepcopy(item))
        if inner in item:
            names = {one["name"] for one in known.get(inner, ())}
            known[inner] = [*known.get(inner, ()), *(one for one in item[inner] if one["name"] not in names)]
    return list(found.values())

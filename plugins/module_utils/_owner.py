# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one rule of owners: which objects a module may create, change and remove.

This file is private to the collection. It knows no tool: a module says whose mark an object carries, and who uses it.
docs/architecture.md ("The owner mark") has the rule in prose.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

DEFAULT_OWNER = "overloom.fabric"

# Keys of external_ids in Open vSwitch (Bridge and Port).
OVS_OWNER = "overloom-owner"
OVS_MODULE = "overloom-module"
# With an owner behind it: what this owner found on an object that was there before it (_ovs/before.py).
OVS_BEFORE = "overloom-before:"

# How many users of an object a sentence names.
_NAMED = 4


def owner_argument_spec() -> dict:
    """The options that every module which removes things shares (doc fragment `owner`)."""
    return {
        "owner": {"type": "str", "default": DEFAULT_OWNER},
        "adopt": {"type": "bool", "default": False},
        "purge": {"type": "bool", "default": False},
    }


def is_ovs_mark(key: t.Any) -> bool:
    """Is it a key of external_ids that belongs to this collection?"""
    return isinstance(key, str) and (key in (OVS_OWNER, OVS_MODULE) or key.startswith(OVS_BEFORE))


def interface_alias(owner: str) -> str:
    """The alias (`ip link set dev X alias ...`) of an interface that belongs to owner."""
    return "overloom:" + owner


class Caller(t.NamedTuple):
    """Who calls a module: the owner, and whether it adopts what it declares."""

    owner: str
    adopt: bool = False


class Settings(t.NamedTuple):
    """What holds for all items of a call. lenient: in check mode, a namespace that an earlier task may still make is none missing."""

    owner: str
    adopt: bool = False
    purge: bool = False
    lenient: bool = False

    @property
    def caller(self) -> Caller:
        """Who calls."""
        return Caller(self.owner, self.adopt)


def in_words(users: t.Sequence[str]) -> str:
    """The users of an object for a sentence: the first ones, and how many more there are."""
    more = len(users) - _NAMED
    return ", ".join([*map(_on_one_line, users[:_NAMED]), *([f"{more} more"] if more > 0 else [])])


def _on_one_line(text: str) -> str:
    """A name that others chose, whose line breaks and control characters must not break a sentence."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def may_declare(what: str, mark: str | None, caller: Caller) -> None:
    """Refuse to declare another owner's object, unless it is adopted."""
    if mark not in (None, caller.owner) and not caller.adopt:
        raise FabricError(f"{what} belongs to the owner {mark}; give that owner, or adopt: true to take it over")


def may_change(
    what: str,
    mark: str | None,
    caller: Caller,
    change: str,
    users: t.Sequence[str] = (),
    way: str = "choose another name",
) -> None:
    """Refuse to replace or empty what others set on an object without the caller's mark, unless it is adopted.

    change: what would be done to the object, as in "its fail_mode would be emptied". users: who uses it, as in "controller tcp:192.0.2.1".
    way: what to do other than to adopt it.
    """
    if mark == caller.owner or caller.adopt:
        return
    whose = f"belongs to the owner {mark}" if mark else "is not ours"
    used = f" and is in use ({in_words(users)})" if users else ""
    raise FabricError(f"{what} {whose}{used}, and {change}; {way}, or give adopt: true to take it over")


def may_remove(what: str, mark: str | None, caller: Caller) -> None:
    """Refuse to remove what the caller's owner did not make, unless it is adopted: "absent" would be no true answer."""
    if mark == caller.owner or caller.adopt:
        return
    whose = f"belongs to the owner {mark}" if mark else "was not made by this collection"
    way = "give that owner" if mark else "leave it out of the task"
    raise FabricError(f"{what} {whose} and stays; {way}, or give adopt: true to remove it")


def returned(what: str) -> str:
    """The warning for a thing that goes from our care, and stays, as it was there before us."""
    return f"{what} was there before it was adopted: it is given back, not removed; give adopt: true to remove it"

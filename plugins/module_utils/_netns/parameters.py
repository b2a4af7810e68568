# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel parameters and policy rules of a namespace: what is declared, beside what is there. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns import namespace as _netns
from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import (
    Veth,
    joined_rules,
    joined_sysctls,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import Found, Kept, Space
from ansible_collections.overloom.fabric.plugins.module_utils._netns.rules import Compared, Rule, compare_rules
from ansible_collections.overloom.fabric.plugins.module_utils._netns.unit import sysctl_step
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Step


class Sysctls(t.NamedTuple):
    """What comes of a namespace's kernel parameters. keep: those to note, path to value. before, after: for the diff."""

    keep: dict[str, str]
    steps: list[Step]
    before: dict[str, str | None]
    after: dict[str, str]


def noted_sysctls(space: Space | None, interfaces: t.Collection[str | None]) -> dict[str, str]:
    """The sysctls that are noted of a namespace, but for those of interfaces that are gone."""
    noted = space.sysctls if space else {}
    return {path: value for path, value in noted.items() if _netns.sysctl_interface(path) in {*interfaces, None}}


def compare_sysctls(
    name: str,
    items: t.Sequence[Veth],
    found: Found,
    known: t.Collection[str | None],
    remade: t.Container[str | None],
) -> Sysctls:
    """Make the sysctls of a namespace those that are declared.

    known: the interfaces that there will be. remade: those that are new.
    """
    inside, tried = found.look(name), found.tried.get(name, {})
    old = noted_sysctls(found.spaces.get(name), known)
    given = joined_sysctls(items, name)
    keep = dict(old) if given is None else _accepted(name, given, tried, known)
    held = keep
    if given is None and inside.interfaces:
        # Left out, they are left as they are, except where something is made anew.
        held = {path: value for path, value in keep.items() if _netns.sysctl_interface(path) in remade}
    now = {path: None if _netns.sysctl_interface(path) in remade else value for path, value in inside.sysctls.items()}
    reset = {path: tried[path].default for path in old if path not in keep and path in tried}
    wanted = {path: value for path, value in reset.items() if value and now.get(path) != value}
    wanted.update(held)
    differs = any(now.get(path) != value for path, value in wanted.items())
    # All again and in their order: one may change another, as ip_forward does.
    steps = [sysctl_step(name, wanted)] if differs else []
    return Sysctls(keep, steps, {path: now.get(path) for path in wanted}, wanted)


def _accepted(
    name: str, given: t.Iterable[str], tried: t.Mapping[str, t.Any], known: t.Container[str | None]
) -> dict[str, str]:
    """The declared sysctls with the values that the kernel makes of them. Raises FabricError for one that it refuses, or that has no interface."""
    for path in given:
        owner = _netns.sysctl_interface(path)
        if owner is not None and owner not in known:
            raise FabricError(f"namespace {name}: sysctls has {path}, but the namespace has no interface {owner}")
        if tried[path].refused:
            raise FabricError(f"namespace {name}: the sysctl {path} {tried[path].refused}")
    return {path: tried[path].value for path in given}


def change_rules(
    name: str, items: t.Sequence[Veth], found: Found, veths: t.Mapping[str, Kept], made: bool
) -> Compared | None:
    """Make the policy rules of a namespace those that are declared; None where nothing is said of them.

    veths: what is noted from now on. made: the namespace is the module's.

    Left out, they are left as they are, except in a namespace that is made anew, and those of an interface that goes.
    """
    space = found.spaces.get(name)
    noted = [rule for kept in (space.veths.values() if space else ()) for rule in kept.all_rules() or ()]
    said = {veth.inner: veth.rules for veth in items if veth.present and veth.rules is not None}
    target = joined_rules([*said.values(), *(k.all_rules() for i, k in veths.items() if i not in said)]) or []
    gone = any(rule not in target for rule in noted)
    if not (said or gone or (target and name not in found.ids)):
        return None
    governed = list(found.look(name).rules)
    if not made:
        # In a namespace of others, the rules at other places are theirs.
        places = {(rule.family, rule.priority) for rule in (*noted, *target)}
        governed = [rule for rule in governed if (rule.family, rule.priority) in places]
        _check_rules(name, governed, noted, target)
    return compare_rules(name, governed, target)


def _check_rules(name: str, there: t.Sequence[Rule], noted: t.Collection[Rule], wanted: t.Collection[Rule]) -> None:
    """Refuse a policy rule with the priority of another one that is not ours."""
    for rule in there:
        if rule not in noted and rule not in wanted:
            raise FabricError(
                f"namespace {name}: rules has priority {rule.priority}, and there is one already that is not ours "
                f"(from {rule.source} to {rule.to}, table {rule.table}); give another priority"
            )

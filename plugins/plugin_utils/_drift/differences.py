# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a task's result in check mode to the differences that it found, each with the thing that it is on. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

# Tasks that only remove: what they would change is there and in no intent any more.
REMOVALS = ("former_", "moved_", "no_", "unused_")
# The end of a block, which FRR adds by itself.
_BLOCK_ENDS = ("exit", "!", "end")


def differences(concern: str, result: Item) -> list[Item]:
    """What a task would change: for each thing its name, its kind (differs, missing, orphaned) and the details."""
    if isinstance(result.get("results"), list) and "changed" in result and "diff" not in result:
        return [found for part in result["results"] for found in _looped(concern, part)]
    if not result.get("changed"):
        return []
    diffs = [diff for diff in as_list(result.get("diff")) if diff]
    found = [one for diff in diffs for one in _of_diff(diff, _name(concern, result))]
    found = found or [_thing(_name(concern, result), "differs", [])]
    if concern.startswith(REMOVALS):
        return [{**one, "kind": "orphaned"} for one in found]
    return found


def _looped(concern: str, part: Item) -> list[Item]:
    """What one turn of a loop would change; where the result has no name, its item is the name."""
    item = part.get("item")
    names = {} if _name("", part) or not isinstance(item, str) else {"name": item}
    return differences(concern, {**part, **names})


def as_list(value: t.Any) -> list[t.Any]:
    """A diff is one or a list of them."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _name(concern: str, result: Item) -> str:
    """The thing of a result that names none in its diff: a file, a service, or the concern itself."""
    told = next((result[key] for key in ("path", "dest", "name") if isinstance(result.get(key), str)), "")
    return told or concern.replace("_", " ")


def _of_diff(diff: Item, name: str) -> list[Item]:
    """The things of one diff: a module of this collection gives its data, others give text or a file's attributes."""
    sides = diff.get("data", diff)
    before, after = sides.get("before"), sides.get("after")
    if isinstance(before, dict) and isinstance(after, dict):
        if "data" not in diff:
            return [_thing(name, "differs", leaves(before, after))]
        keys = dict.fromkeys([*before, *after])
        return [_compared(str(key), before.get(key), after.get(key)) for key in keys]
    return _of_text(str(before or ""), str(after or ""), name)


def _compared(name: str, before: t.Any, after: t.Any) -> Item:
    """A thing that is not there, or not in the intent, or different in some options."""
    if _absent(after):
        return _thing(name, "orphaned", [])
    if _absent(before):
        return _thing(name, "missing", [])
    return _thing(name, "differs", leaves(before, after))


def _absent(side: t.Any) -> bool:
    return side is None or (isinstance(side, dict) and side.get("state") == "absent")


def leaves(before: t.Any, after: t.Any, path: str = "") -> list[Item]:
    """The options that differ, each by the keys that lead to it."""
    if isinstance(before, dict) and isinstance(after, dict):
        found: list[Item] = []
        for key in dict.fromkeys([*before, *after]):
            found += leaves(before.get(key), after.get(key), f"{path} {key}".lstrip())
        return found
    if _is_of_dicts(before) and _is_of_dicts(after) and len(before) == len(after):
        return leaves(dict(enumerate(before)), dict(enumerate(after)), path)
    return [] if before == after else [{"option": path, "is": before, "planned": after}]


def _is_of_dicts(value: t.Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, dict) for part in value)


def _of_text(before: str, after: str, name: str) -> list[Item]:
    """The blocks of two configurations that differ, each with the lines that only one of them has."""
    old, new = blocks(before), blocks(after)
    found = []
    for block in dict.fromkeys([*old, *new]):
        gone = [line for line in old.get(block, []) if line not in new.get(block, [])]
        come = [line for line in new.get(block, []) if line not in old.get(block, [])]
        # The first line of a block that has others is told by these.
        headed = {*old, *new} if not block else set()
        gone, come = ([line for line in side if line not in headed] for side in (gone, come))
        if gone or come:
            detail = {"option": "lines", "is": gone, "planned": come}
            found.append(_thing(block or name, "differs", [detail]))
    return found


def blocks(text: str) -> dict[str, list[str]]:
    """The lines of a configuration below the line that each block begins with; lines outside of a block are below "".

    A line deeper in a block has the lines that lead to it before it.
    """
    found: dict[str, list[str]] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        word = line.strip()
        if not word or word in _BLOCK_ENDS:
            continue
        depth = len(line) - len(line.lstrip())
        above = [entry for entry in above if entry[0] < depth]
        names = [entry[1] for entry in above]
        found.setdefault(names[0] if names else "", []).append(" / ".join([*names[1:], word]))
        above.append((depth, word))
    return found


def _thing(name: str, kind: str, details: list[Item]) -> Item:
    return {"thing": name, "kind": kind, "details": details}

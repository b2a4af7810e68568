# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A value against an argument specification, with sentences that name the place and the fix.

Ansible's own validator ends at the first error of a level, does not say which item of a list it means, and words
its errors differently in each release; this one walks the same specification and finds all of them.

This file is private to the collection.
"""

from __future__ import annotations

import difflib
import re
import typing as t


class PlanError(Exception):
    """All that is wrong with the intent, one sentence each, in `problems`."""

    def __init__(self, problems: t.Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


class _Invalid:
    """Stands for a value that was refused, so that no further error is told about it."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "INVALID"


INVALID = _Invalid()

_TRUE = {"y", "yes", "on", "1", "true", "t"}
_FALSE = {"n", "no", "off", "0", "false", "f"}


def suggest(name: str, known: t.Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or all of them, but for those that were refused."""
    known = sorted(one for one in known if one is not INVALID)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    if known and len(known) <= 20:
        return f"; known here: {', '.join(known)}."
    return "."


def show(value: t.Any) -> str:
    """A refused value as it appears in a sentence: short, and on one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def word(name: str) -> str:
    """A name that was not found as it appears in a sentence: bare where it is one word."""
    return name if re.fullmatch(r"[!-~]{1,60}", name) else show(name)


def conform(value: t.Any, spec: dict[str, t.Any], where: str, problems: list[str]) -> t.Any:
    """The value converted to the type of spec, with defaults filled in; INVALID, and a sentence in problems, if it cannot be.

    value: plain data; None counts as left out.
    spec: one option of an argument specification (type, choices, default, required, elements, options).
    where: the option's place as a user finds it, such as `fabric_segments[blue].vlan`.
    """
    if value is None:
        value = spec.get("default")
    if value is None:
        if spec.get("required"):
            problems.append(f"{where} is missing; it is required.")
            return INVALID
        return None
    convert = _CONVERT[spec.get("type", "str")]
    try:
        value = convert(value)
    except ValueError as error:
        problems.append(f"{where} must be {error}, not {show(value)}.")
        return INVALID
    if "choices" in spec and not isinstance(value, list) and value not in spec["choices"]:
        problems.append(
            f"{where} must be {'one of ' * (len(spec['choices']) > 1)}{', '.join(map(str, spec['choices']))}, not {show(value)}"
            + (suggest(value, spec["choices"]) if difflib.get_close_matches(str(value), spec["choices"]) else ".")
        )
        return INVALID
    if isinstance(value, list) and "elements" in spec:
        element = {"type": spec["elements"], "options": spec.get("options"), "required": True}
        if "choices" in spec:
            element["choices"] = spec["choices"]
        items = [conform(item, element, f"{where}[{label(item, i)}]", problems) for i, item in enumerate(value)]
        # What is read further item by item tells its errors item by item; a list of plain values is good or it is not.
        return items if spec.get("options") or INVALID not in items else INVALID
    if isinstance(value, dict) and spec.get("options"):
        return conform_options(value, spec["options"], where, problems)
    return value


def conform_options(
    value: dict[str, t.Any], options: dict[str, t.Any], where: str, problems: list[str]
) -> dict[str, t.Any]:
    """Each option of a dictionary by conform(); a key that is no option is told, with the nearest one that is."""
    result = {
        name: conform(value.get(name), spec, f"{where}.{name}", problems)
        for name, spec in options.items()
        if name in value or not spec.get("required")
    }
    unknown = [str(key) for key in value if key not in options]
    for key in unknown:
        ending = suggest(key, options)
        problems.append(f"{where} has no option {show(key)}{ending}")
        for near in difflib.get_close_matches(key, list(options), n=1, cutoff=0.6):
            if near not in value:
                result[near] = INVALID
    for name in options:
        if name not in result:
            problems.append(f"{where}.{name} is missing; it is required.")
            result[name] = INVALID
    return result


def label(item: t.Any, index: int) -> str:
    """An item of a list by its name, where it has one, else by its position from 0."""
    name = item.get("name") if isinstance(item, dict) else None
    if isinstance(name, (str, int)) and not isinstance(name, bool) and str(name).strip() and str(name).isprintable():
        return str(name)
    return str(index)


def _text(value: t.Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("text (in quotes, if need be)")
    return value


def _whole(value: t.Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,20}\s*", value):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("a whole number")
    return value


def _truth(value: t.Any) -> bool:
    text = str(value).lower()
    if isinstance(value, (bool, int, str)) and text in _TRUE | _FALSE:
        return text in _TRUE
    raise ValueError("true or false")


def _list(value: t.Any) -> list[t.Any]:
    if not isinstance(value, list):
        raise ValueError("a list")
    return value


def _dict(value: t.Any) -> dict[str, t.Any]:
    if not isinstance(value, dict):
        raise ValueError("a dictionary")
    return value


_CONVERT: dict[str, t.Callable[[t.Any], t.Any]] = {
    "str": _text,
    "int": _whole,
    "bool": _truth,
    "list": _list,
    "dict": _dict,
    "raw": lambda value: value,
}

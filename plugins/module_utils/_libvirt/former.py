# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an adopted domain's or network's document said before our changes, cell by cell, so that it can be given back. Pure.

A cell is one attribute, one text, or all elements of one name in one place. It knows the value before us and ours: whatever
its owner has changed since is no longer ours, and stays. NICs have a record of their own in the mark.
This file is private to the collection.
"""

from __future__ import annotations

import json
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import contains, to_xml
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import MASK

# The names of the elements around a cell, each with its number among those of the same name.
Path = t.Tuple[t.Tuple[str, int], ...]
NameOf = t.Callable[[ET.Element], str]
ATTRIBUTE, TEXT, ELEMENTS = "attribute", "text", "elements"
# Of the whole, beside its document: whether it starts with the host, and whether it runs.
AUTOSTART, ACTIVE = "autostart", "active"
# A password would be readable in the mark. Whatever was before, ours stays.
_SECRET = "passwd"


class Cell(t.NamedTuple):
    """was, ours: the text of an attribute or an element, or None; of elements a list of documents; of the whole a truth value."""

    path: Path
    kind: str
    name: str
    was: t.Any
    ours: t.Any

    @property
    def place(self) -> tuple[Path, str, str]:
        """What tells cells apart."""
        return self.path, self.kind, self.name

    @property
    def label(self) -> str:
        """The place for a person's eyes."""
        names = [name if not number else f"{name}[{number + 1}]" for name, number in self.path]
        last = {ATTRIBUTE: [f"@{self.name}"], ELEMENTS: [self.name], AUTOSTART: [AUTOSTART], ACTIVE: [ACTIVE]}.get(
            self.kind, []
        )
        return "/".join([*names, *last])

    def covers(self, path: Path) -> bool:
        """Whether a path lies in the elements of this cell."""
        depth = len(self.path)
        return (
            self.kind == ELEMENTS
            and path[:depth] == self.path
            and path[depth : depth + 1] != ()
            and path[depth][0] == self.name
        )


def packed(cells: t.Sequence[Cell]) -> str:
    """Cells as the mark keeps them."""
    return json.dumps(cells, separators=(",", ":")) if cells else ""


def unpacked(text: str) -> list[Cell]:
    """Cells from the mark; what somebody has written into it and cannot be read cannot be given back."""
    try:
        rows = json.loads(text) if text else []
        return [Cell(tuple((name, number) for name, number in path), *rest) for path, *rest in rows]
    except (ValueError, TypeError):
        return []


def recorded(
    old: t.Sequence[Cell], before: ET.Element, after: ET.Element, name_of: NameOf, besides: t.Container[str] = ()
) -> list[Cell]:
    """The cells after one more change of a document. What its owner has changed since our last one is what was before.

    besides: the names of devices that are remembered elsewhere.
    """
    cells = {cell.place: cell for cell in old}
    for new in _changes(before, after, (), name_of):
        if any(name in besides for name, _number in (*new.path, (new.name, 0))):
            continue
        whole = next((cell for cell in cells.values() if cell.covers(new.path)), None)
        if whole is not None:
            parent = _located(after, whole.path, name_of)
            ours = _texts(_group(parent, whole.name, name_of)) if parent is not None else []
            cells[whole.place] = whole._replace(ours=ours)
            continue
        _note(cells, new)
    return [cell for cell in cells.values() if cell.was != cell.ours]


def switched(old: t.Sequence[Cell], kind: str, found: bool, wanted: bool) -> list[Cell]:
    """The cells once it starts with the host (AUTOSTART), or runs (ACTIVE), or does not any more."""
    cells = {cell.place: cell for cell in old}
    if found != wanted:
        _note(cells, Cell((), kind, kind, found, wanted))
    return [cell for cell in cells.values() if cell.was != cell.ours]


def _note(cells: dict[tuple[Path, str, str], Cell], new: Cell) -> None:
    known = cells.get(new.place)
    cells[new.place] = new._replace(was=known.was) if known is not None and known.ours == new.was else new


def give_back(root: ET.Element, cells: t.Sequence[Cell], name_of: NameOf) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Put back what is still ours. root is changed in place. Returns what was told for the diff, before and after."""
    before: dict[str, t.Any] = {}
    after: dict[str, t.Any] = {}
    for cell in cells:
        holder = _located(root, cell.path, name_of)
        if holder is not None and _put_back(holder, cell, name_of):
            before[cell.label], after[cell.label] = cell.ours, cell.was
    return before, after


def withheld(root: ET.Element, cells: t.Sequence[Cell], name_of: NameOf) -> list[str]:
    """The devices that are not put back, as they had a password and would be open to everybody without it."""
    found = []
    for cell in cells:
        holder = _located(root, cell.path, name_of)
        if cell.kind == ELEMENTS and any(MASK in text for text in cell.was) and holder is not None:
            found += [cell.label] if _untouched(_group(holder, cell.name, name_of), cell) else []
    return found


def _untouched(now: t.Sequence[ET.Element], cell: Cell) -> bool:
    """Whether these are the elements that we have made, but for passwords, which are not kept."""
    ours = [ET.fromstring(text) for text in cell.ours]
    for one in ours:
        if one.get(_SECRET) == MASK:
            del one.attrib[_SECRET]
    return len(now) == len(ours) and all(contains(one, other) for one, other in zip(now, ours))


def _put_back(holder: ET.Element, cell: Cell, name_of: NameOf) -> bool:
    if cell.kind == ELEMENTS:
        return _put_elements_back(holder, cell, name_of)
    now = holder.get(cell.name) if cell.kind == ATTRIBUTE else (holder.text or "").strip()
    # libvirt fills in what we leave out.
    if cell.kind not in (ATTRIBUTE, TEXT) or cell.ours not in (None, now) or now == cell.was:
        return False
    if cell.kind == TEXT:
        holder.text = cell.was
    elif cell.was is None:
        holder.attrib.pop(cell.name, None)
    else:
        holder.set(cell.name, cell.was)
    return True


def _put_elements_back(holder: ET.Element, cell: Cell, name_of: NameOf) -> bool:
    now = _group(holder, cell.name, name_of)
    if not _untouched(now, cell) or any(MASK in text for text in cell.was):
        return False
    place = list(holder).index(now[0]) if now else len(holder)
    for one in now:
        holder.remove(one)
    for number, text in enumerate(cell.was):
        holder.insert(place + number, ET.fromstring(text))
    return True


def _changes(before: ET.Element, after: ET.Element, path: Path, name_of: NameOf) -> t.Iterator[Cell]:
    """The cells in which two documents differ."""
    for key in sorted({*before.attrib, *after.attrib} - {_SECRET}):
        if before.get(key) != after.get(key):
            yield Cell(path, ATTRIBUTE, key, before.get(key), after.get(key))
    old_text, new_text = ((root.text or "").strip() for root in (before, after))
    if old_text != new_text:
        yield Cell(path, TEXT, "", old_text, new_text)
    for name in dict.fromkeys(name_of(child) for root in (before, after) for child in root):
        if not path and name == "metadata":
            continue
        old, new = _group(before, name, name_of), _group(after, name, name_of)
        if len(old) != len(new):
            yield Cell(path, ELEMENTS, name, _texts(old), _texts(new))
            continue
        for number, (one, other) in enumerate(zip(old, new)):
            yield from _changes(one, other, (*path, (name, number)), name_of)


def _group(parent: ET.Element, name: str, name_of: NameOf) -> list[ET.Element]:
    return [child for child in parent if name_of(child) == name]


def _located(root: ET.Element, path: Path, name_of: NameOf) -> ET.Element | None:
    for name, number in path:
        group = _group(root, name, name_of)
        if number >= len(group):
            return None
        root = group[number]
    return root


def _texts(elements: t.Iterable[ET.Element]) -> list[str]:
    return [to_xml(one) for one in elements]

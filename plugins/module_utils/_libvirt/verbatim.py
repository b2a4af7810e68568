# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others keep in a document's metadata, as they wrote it: libvirt hands out even the remarks in it. Pure.

In the tree each of their elements, remarks and processing instructions is one element without children that holds its text, which is
written back character by character. This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t
import xml.etree.ElementTree as ET
from xml.parsers import expat
from xml.sax.saxutils import quoteattr, unescape

VERBATIM = "overloom-verbatim"


class _Part(t.NamedTuple):
    """One thing in the metadata. tag: in braces its namespace, then its name; empty for what is no element. text: as it is written."""

    tag: str
    text: str


def read(text: str, ours: str) -> ET.Element:
    """The root of a document that libvirt wrote. ours: the tag of the element in the metadata that is no other's."""
    root = ET.fromstring(text)
    metadata = root.find("metadata")
    if metadata is None:
        return root
    elements = iter(list(metadata))
    children = []
    for part in _parts(text):
        mine = next(elements) if part.tag else None
        if mine is None or part.tag != ours:
            mine = ET.Element(VERBATIM)
            mine.text = part.text
        children.append(mine)
    metadata[:] = children
    return root


def written(text: str) -> str:
    """A document with what others wrote in its place."""
    return re.sub(f"<{VERBATIM}>(.*?)</{VERBATIM}>", lambda match: unescape(match[1]), text, flags=re.DOTALL)


def _parts(text: str) -> list[_Part]:
    """The elements, remarks and processing instructions that stand in the metadata, in their order."""
    raw = text.encode()
    seen = _Places()
    seen.parse(raw)
    ends = [place for place, _tag in seen.places[1:]]
    # What is between them is blank, or the text of somebody who is not known.
    found = [(tag, raw[place:end].decode().strip()) for (place, tag), end in zip(seen.places, ends) if tag is not None]
    return [_Part(tag, _whole(part, seen.prefixes) if tag else part) for tag, part in found]


def _whole(part: str, prefixes: t.Mapping[str, str]) -> str:
    """An element that declares each prefix that it uses; some are declared around it."""
    name = re.match(r"<[^\s/>]+", part)
    start = re.match(r"<[^>]*>", part)
    if not name or not start:
        return part
    missing = [
        f" xmlns:{prefix}={quoteattr(uri)}"
        for prefix, uri in prefixes.items()
        if re.search(rf"[<\s/]{re.escape(prefix)}:", part) and f"xmlns:{prefix}=" not in start[0]
    ]
    return name[0] + "".join(missing) + part[name.end() :]


class _Places:
    """Where the things in the metadata begin, as (place, tag): None for a text and for the end. prefixes: those that are declared around them."""

    def __init__(self) -> None:
        self.places: list[tuple[int, str | None]] = []
        self.prefixes: dict[str, str] = {}
        self.path: list[str] = []
        self.parser = expat.ParserCreate("utf-8", " ")
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.StartNamespaceDeclHandler = self.declare
        self.parser.CharacterDataHandler = lambda _text: self.note(None)
        self.parser.CommentHandler = lambda _text: self.note("")
        self.parser.ProcessingInstructionHandler = lambda _target, _text: self.note("")

    def parse(self, raw: bytes) -> None:
        """Read a document."""
        self.parser.Parse(raw, True)

    def note(self, tag: str | None) -> None:
        """Something begins here."""
        if self.path[1:] == ["metadata"]:
            self.places.append((self.parser.CurrentByteIndex, tag))

    def start(self, name: str, _attributes: object) -> None:
        """An element begins."""
        uri, _blank, local = name.rpartition(" ")
        self.note(f"{{{uri}}}{local}" if uri else local)
        self.path.append(name)

    def end(self, _name: str) -> None:
        """An element ends."""
        if self.path[1:] == ["metadata"]:
            self.note(None)
        self.path.pop()

    def declare(self, prefix: str | None, uri: str | None) -> None:
        """A prefix is declared, right before the element with the declaration begins."""
        if prefix and uri and len(self.path) < 2:
            self.prefixes[prefix] = uri

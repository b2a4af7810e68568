# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DOT, the language of Graphviz, as text. Pure.

A text of the plan means something to DOT (quotes, backslash escapes), to its HTML-like labels (markup, entities) and to SVG, and releases of
Graphviz differ in what they escape again. So the characters that mean something in any of them travel through `dot` as characters of
Unicode's private use area, which mean nothing to anybody, and become XML in the SVG.

This file is private to the collection. Sources: graphviz.org/doc/info/lang.html, shapes.html#html, attrs.html.
"""

from __future__ import annotations

import re
import typing as t
import urllib.parse

# What each of them is in an XML document.
_SPECIAL = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "\\": "\\", "\n": "&#10;"}
_FIRST = 0xE000
_SEALED = {character: chr(_FIRST + number) for number, character in enumerate(_SPECIAL)}
_OPENED = {sealed: _SPECIAL[character] for character, sealed in _SEALED.items()}
# Control characters, halves of surrogate pairs and non-characters are in no XML document, and the sealed ones are taken.
_UNSEEN = re.compile(f"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff{''.join(_OPENED)}]")
# `dot` itself writes a title for each node and edge, which a browser would show instead of ours.
_TITLE = re.compile(r"<title>n\d+(&#45;&#45;n\d+)?</title>\n")
_SEALED_ANYHOW = re.compile("|".join(f"{one}|&#{ord(one)};|&#x{ord(one):x};" for one in _OPENED), re.IGNORECASE)


def seal(text: t.Any) -> str:
    """A text as it may stand anywhere in DOT; what XML cannot hold becomes the replacement character."""
    plain = _UNSEEN.sub("\ufffd", str(text))
    return "".join(_SEALED.get(character, character) for character in plain)


def unseal(svg: str) -> str:
    """The SVG that `dot` made of sealed texts."""
    svg = _TITLE.sub("", svg)
    return _SEALED_ANYHOW.sub(lambda match: _OPENED[_character(match[0])], svg)


def _character(written: str) -> str:
    if not written.startswith("&"):
        return written
    number = written[2:-1].lower()
    return chr(int(number[1:], 16) if number.startswith("x") else int(number))


def reference(kind: str, name: str) -> str:
    """The address of a thing on the page that holds the picture; its name is percent-encoded."""
    return f"#{kind}:{urllib.parse.quote(name, safe='/:', errors='replace')}"


def attributes(values: t.Mapping[str, t.Any]) -> str:
    """Attributes of a node, an edge, or an HTML-like element. What is None is left out."""
    return " ".join(f'{name}="{seal(value)}"' for name, value in values.items() if value is not None)


def text(words: t.Any, bold: bool = False, size: int | None = None) -> str:
    """A text in a cell, on one line."""
    shown = seal(" ".join(str(words).split()))
    shown = f"<B>{shown}</B>" if bold and shown else shown
    return f'<FONT POINT-SIZE="{size}">{shown}</FONT>' if size and shown else shown


def lines(*texts: str) -> str:
    """What text() made, one below the other, all beginning at the left."""
    return "".join(f'{one}<BR ALIGN="LEFT"/>' for one in texts)


def cell(content: str, link: str | None = None, tip: t.Sequence[str] = (), **more: t.Any) -> str:
    """A cell. content: what text() or table() made; tip: the lines of its tooltip; more: its attributes, such as BGCOLOR."""
    given = {"HREF": link, "TOOLTIP": "\n".join(tip) or None, "ALIGN": "LEFT", **more}
    return f"<TD {attributes(given)}>{content}</TD>"


def table(rows: t.Iterable[t.Sequence[str]], **more: t.Any) -> str:
    """A table of rows of cells."""
    given = {"BORDER": 0, "CELLBORDER": 1, "CELLSPACING": 0, "CELLPADDING": 6, **more}
    return f"<TABLE {attributes(given)}>{''.join(f'<TR>{chr(10).join(row)}</TR>' for row in rows)}</TABLE>"


def node(name: str, label: str) -> str:
    """A node whose label is a table."""
    return f"{name} [label=<{label}>]"


def edge(tail: str, head: str, values: t.Mapping[str, t.Any]) -> str:
    """An edge between two nodes."""
    return f"{tail} -- {head} [{attributes(values)}]"

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTML whose texts cannot be anything else than text: what is no Html is escaped wherever it is put. Pure.

This file is private to the collection. Source: html.spec.whatwg.org, 13.1 Writing HTML documents.
"""

from __future__ import annotations

import html
import re
import typing as t

# HTML knows no other control characters, and no halves of surrogate pairs.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_EMPTY = ("meta", "input")


class Html(str):
    """A piece of a document."""


def escaped(content: t.Any) -> Html:
    """A text as a piece of a document; a piece stays as it is."""
    return content if isinstance(content, Html) else Html(html.escape(_UNSEEN.sub("\ufffd", str(content))))


def join(*content: t.Any) -> Html:
    """Pieces and texts, one after the other."""
    return Html("".join(map(escaped, content)))


def tag(element: str, /, *content: t.Any, **attributes: t.Any) -> Html:
    """An element. An underscore at the end of an attribute's name is dropped, one inside is a hyphen; a value of None leaves it out."""
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    start = f"<{element}{''.join(f' {key}={quoted(value)}' for key, value in given.items())}>"
    return Html(start if element in _EMPTY else f"{start}{join(*content)}</{element}>")


def quoted(value: t.Any) -> str:
    """The value of an attribute, which is a text whatever it is."""
    return f'"{escaped(str.__str__(value) if isinstance(value, str) else value)}"'


def table(head: t.Sequence[t.Any], rows: t.Iterable[t.Sequence[t.Any]], **attributes: t.Any) -> Html:
    """A table, each row a thing that the search finds by itself."""
    body = [tag("tr", *(tag("td", cell) for cell in row)) for row in rows]
    return tag(
        "table",
        tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))),
        tag("tbody", *body),
        **attributes,
    )

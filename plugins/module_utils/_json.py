# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON as tools print it that answer several questions at once. This file is private to the collection."""

from __future__ import annotations

import json
import typing as t


def documents(text: str) -> list[t.Any]:
    """The documents of a text, one after the other. ip(8) prints nothing at all for some empty lists. Raises ValueError."""
    decoder = json.JSONDecoder()
    found: list[t.Any] = []
    text = text.strip()
    at = 0
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        found.append(document)
        while at < len(text) and text[at].isspace():
            at += 1
    return found

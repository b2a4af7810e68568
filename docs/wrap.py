# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrap the prose of the documentation, so that an editor shows it and a diff says which sentence changed: python docs/wrap.py

Tables, code, headings and what docs/generate.py writes stay as they are.
"""

from __future__ import annotations

import pathlib
import re
import textwrap
import typing as t

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/scenarios/*.md", "roles/*/README.md")
WIDTH = 120
_ITEM = re.compile(r"( *(?:[-*]|[0-9]+\.) +)\S")
# Lines that are no prose, and end a paragraph.
_ALONE = re.compile(r" *(?:#|\||<!--|!\[|>|\[[^]]+\]:)|$")
# What would be a list, a heading or a quotation at the beginning of a line.
_MARK = re.compile(r"(?:[-*+#>|]|[0-9]+\.)$")
_GENERATED = ("<!-- generated", "<!-- end")


def _paragraph(lines: list[str]) -> list[str]:
    """A paragraph or an item of a list, of lines that fit."""
    item = _ITEM.match(lines[0])
    first = item.group(1) if item else lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    words = " ".join(line.strip() for line in [lines[0][len(first) :], *lines[1:]]).split()
    # A mark stays behind the word before it.
    for index in range(len(words) - 1, 0, -1):
        if _MARK.match(words[index]):
            words[index - 1 : index + 1] = [f"{words[index - 1]}\0{words[index]}"]
    found = textwrap.wrap(
        " ".join(words),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in found]


def _split(lines: t.Iterable[str]) -> t.Iterator[tuple[bool, list[str]]]:
    """The paragraphs of a page, and what stands between them: (whether it is prose, lines)."""
    prose: list[str] = []
    fence = generated = False
    for line in lines:
        fenced = line.lstrip().startswith("```")
        fence ^= fenced
        generated = line.startswith(_GENERATED[0]) or (generated and not line.startswith(_GENERATED[1]))
        alone = fence or fenced or generated or _ALONE.match(line)
        if prose and (alone or _ITEM.match(line)):
            yield True, prose
            prose = []
        if alone:
            yield False, [line]
        else:
            prose.append(line)
    if prose:
        yield True, prose


def wrap(text: str) -> str:
    """A page with its prose wrapped."""
    found: list[str] = []
    for prose, lines in _split(text.splitlines()):
        found += _paragraph(lines) if prose else lines
    return "\n".join(found) + "\n"


def main() -> None:
    for page in sorted(page for pattern in PAGES for page in CHECKOUT.glob(pattern)):
        page.write_text(wrap(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

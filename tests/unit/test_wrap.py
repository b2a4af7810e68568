# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prose of the documentation is wrapped without another change."""

from __future__ import annotations

import importlib.util
import pathlib
import types

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
WORDS = "word " * 40


@pytest.fixture(name="wrap", scope="module")
def fixture_wrap() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("wrap", CHECKOUT / "docs/wrap.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_paragraphs_and_items_are_wrapped_and_all_else_stays(wrap: types.ModuleType) -> None:
    stays = f"| {WORDS} |\n\n```text\n{WORDS}\n```\n\n# {WORDS}\n<!-- generated: begin -->\n{WORDS}\n<!-- end -->\n"
    text = f"{WORDS}\nmore\n\n- {WORDS}\n  more\n- b\n\n{stays}"
    lines = wrap.wrap(text).splitlines()
    assert lines[1].endswith("word more") and lines[2] == ""
    assert (
        lines[3].startswith("- word")
        and lines[4].startswith("  word")
        and lines[4].endswith("more")
        and lines[5] == "- b"
    )
    assert wrap.wrap(text).endswith("- b\n\n" + stays)
    assert all(len(line) <= wrap.WIDTH for line in lines[:6])
    assert wrap.wrap(wrap.wrap(text)) == wrap.wrap(text)


def test_no_line_begins_with_what_would_be_a_mark(wrap: types.ModuleType) -> None:
    text = "x" * 117 + " - no item 2. nor this " + "y" * 99 + " # no heading\n"
    lines = wrap.wrap(text).splitlines()
    assert len(lines) > 1 and not any(line.startswith(("- ", "2. ", "# ")) for line in lines)


def test_of_all_pages_nothing_but_the_lines_changes(wrap: types.ModuleType) -> None:
    pages = sorted(page for pattern in wrap.PAGES for page in CHECKOUT.glob(pattern))
    assert len(pages) > 30
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert wrap.wrap(text).split() == text.split(), page

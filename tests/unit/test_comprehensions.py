# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A comprehension is read once: at most two `for`, or one with another inside it on the same line (CONTRIBUTING.md, Python)."""

from __future__ import annotations

import ast
import pathlib

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDERS = ("plugins", "tools", "docs", "tests")
SOURCES = sorted(path for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*.py"))
KINDS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def hard_to_read(source: str) -> list[int]:
    """The lines where a comprehension begins that has to be a loop, or a helper with a name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, KINDS):
            inside = sum(isinstance(other, KINDS) for other in ast.walk(node)) - 1
            on_one_line = node.lineno == node.end_lineno
            if len(node.generators) > 2 or inside and (inside > 1 or len(node.generators) > 1 or not on_one_line):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("[a for b in c for a in b]", []),
        ("{b: [a for a in c[b]] for b in c}", []),
        ("[d for b in c for a in b for d in a]", [1]),
        ("{\n  b: [a for a in c[b]]\n  for b in c}", [1]),
        ("x = 1\n[[a for a in d] for b in c for d in b]", [2]),
        ("[[a for a in b] + [a for a in d] for b in c]", [1]),
    ],
)
def test_the_rule(source, lines):
    assert hard_to_read(source) == lines


def test_the_sources_keep_it():
    assert len(SOURCES) > 100
    found = {str(path.relative_to(CHECKOUT)): hard_to_read(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {path: lines for path, lines in found.items() if lines} == {}

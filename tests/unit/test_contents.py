# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/contents.md names all that the collection has, and nothing that it has not."""

from __future__ import annotations

import pathlib
import re

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs/contents.md").read_text(encoding="utf-8")
PARTS = dict(zip(("plugins", "roles", "networks"), re.split(r"^## .*\n", PAGE, flags=re.M)[1:]))


def first_column(part: str) -> set[str]:
    """The names in the first column of a part's table."""
    cells = re.findall(r"^\| (`.*?) \|", PARTS[part], re.M)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def names(pattern: str) -> set[str]:
    """The names of files, or of the folders that they are in."""
    return {path.stem if path.suffix == ".py" else path.name for path in CHECKOUT.glob(pattern)}


def test_each_module_and_stdout_callback_is_listed() -> None:
    assert first_column("plugins") >= names("plugins/modules/*.py") | names("plugins/callback/*.py")
    assert first_column("plugins") <= names("plugins/*/*.py")


def test_each_role_is_listed() -> None:
    assert first_column("roles") == names("roles/*")


@pytest.mark.parametrize("guide", sorted((CHECKOUT / "docs/scenarios").glob("*.md")), ids=lambda path: path.stem)
def test_each_guide_is_listed(guide: pathlib.Path) -> None:
    assert f"(scenarios/{guide.name})" in PARTS["networks"]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of docs/architecture.md that tells a newcomer which files a change needs is true."""

from __future__ import annotations

import itertools
import pathlib
import re

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs/architecture.md").read_text(encoding="utf-8")
# A newcomer reads no more files than these for a usual task.
FILES = 4


def tasks() -> dict[str, str]:
    """The rows of the table: task to the files, as written."""
    table = PAGE[PAGE.index("### Where to begin") :]
    rows = re.findall(r"^\| (?!task |---)([^|]+?) \| (.+) \|$", table, re.M)
    return dict(rows)


def named(row: str) -> tuple[list[pathlib.Path], list[str]]:
    """The files of a row, and the names that are to be found in them. A file without a folder is beside the one before it."""
    files: list[pathlib.Path] = []
    words = []
    for word in re.findall(r"`([^`]+)`", row):
        if "/" in word or word.endswith((".py", ".yml")):
            beside = [files[-1].parent / word] if files and "/" not in word else []
            places = [CHECKOUT / word, *beside, *(CHECKOUT / "plugins/plugin_utils").glob(word)]
            files.append(next((place for place in places if place.exists()), CHECKOUT / word))
        else:
            words.append(word)
    return files, words


def test_the_usual_tasks_are_told() -> None:
    assert len(tasks()) >= 5


@pytest.mark.parametrize("task", tasks())
def test_a_usual_task_needs_few_files_which_are_there_with_what_is_named(task: str) -> None:
    files, words = named(tasks()[task])
    # "A file of its own", "the role": said without a name.
    assert 2 <= len(files) <= FILES
    for path in files:
        assert path.exists(), f"{path} is named for {task!r}"
    text = "\n".join(path.read_text(encoding="utf-8") for path in files if path.is_file())
    for word in words:
        assert re.search(rf"\b{re.escape(word)}\b", text), f"{word} is in none of the files that are named for {task!r}"


@pytest.mark.parametrize("place", ["module_utils", "plugin_utils"])
def test_the_layout_names_each_room_and_no_other(place: str) -> None:
    layout = PAGE[PAGE.index("## Repository layout") : PAGE.index("### Where to begin")]
    lines = layout[layout.index(f"plugins/{place}/") :].splitlines()[1:]
    told = [word for line in itertools.takewhile(lambda line: line.startswith("  "), lines) for word in line.split()]
    rooms = {path.parent.name for path in (CHECKOUT / "plugins" / place).glob("_*/*.py")}
    assert {word.rstrip("/") for word in told if word.endswith("/")} == rooms

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's picture of `make lab` is of a run of today's inventory, and tools/picture.py draws what a command prints."""

from __future__ import annotations

import collections
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, inventory

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
PICTURE = CHECKOUT / "docs/images/lab.svg"
# A terminal on a laptop shows some fifty lines.
TWO_SCREENS = 100
# The width of a character in the picture's units.
COLUMN = 12.2


def lines_of(picture: pathlib.Path) -> list[str]:
    """The text of a picture of a terminal, line by line, without its title."""
    rows: dict[float, str] = {}
    for text in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text"):
        if text.get("clip-path"):
            # Blanks are left out, and what follows them says where it stands.
            row, column = float(text.attrib["y"]), round(float(text.attrib["x"]) / COLUMN)
            rows[row] = rows.get(row, "").ljust(column) + "".join(text.itertext())
    return [rows[row].replace("\xa0", " ").rstrip() for row in sorted(rows)]


def planned() -> dict[str, int]:
    """How many checks of each kind the default inventory has."""
    hosts, routers, _groups = inventory("lab")
    plan = compile_plan(hosts, SPEC, routers=routers)
    return dict(collections.Counter(check["kind"] for check in judge.judge(plan, expectations(plan), {})))


def test_the_readme_shows_a_run_of_today():
    lines = lines_of(PICTURE)
    shown = {
        kind: (int(good), int(of))
        for kind, good, of in re.findall(r"(?m)^  ok +(\S+) +(\d+) of (\d+) ", "\n".join(lines))
    }
    assert shown == {kind: (count, count) for kind, count in planned().items()}, "draw it anew: make picture"
    assert any(re.fullmatch(rf"  {sum(planned().values())} passed, 0 failed in .* s", line) for line in lines)


def test_make_lab_fits_on_two_screens_with_nothing_that_looks_like_a_failure():
    lines = lines_of(PICTURE)
    assert len(lines) <= TWO_SCREENS
    assert not [line for line in lines if re.search(r"(?i:warning|fatal)|FAILED|[1-9]\d* failed", line)]


def draw(file: pathlib.Path, *command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, CHECKOUT / "tools/picture.py", file, *command], capture_output=True, text=True, check=False
    )


def test_a_picture_has_the_lines_and_colors_of_a_command_and_loads_nothing(tmp_path):
    file = tmp_path / "one.svg"
    done = draw(file, "printf", "  \\033[32mgreen\\033[0m <&>\\n\\nlast\\n")
    assert done.returncode == 0 and "last" in done.stdout
    assert lines_of(file) == ["  green <&>", "", "last"]
    text = file.read_text()
    assert "@font-face" not in text and "url(http" not in text and "#98a84b" in text


def test_a_command_that_fails_leaves_the_picture(tmp_path):
    file = tmp_path / "one.svg"
    file.write_text("old")
    done = draw(file, "false")
    assert done.returncode and f"{file} stays as it was" in done.stderr and file.read_text() == "old"

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every block of shell commands in the documentation is run by a test, or says why it cannot be."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.overloom.fabric.tests import guides

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
BLOCKS = [block for page in guides.pages() for block in guides.blocks(page)]
# Pages that are run by a part of tests/run.py; each guide is run by the Molecule scenario of its name.
RUN = {
    "README.md",
    "docs/intent.md",
    "docs/diagram.md",
    *(f"docs/scenarios/{path.parent.name}.md" for path in CHECKOUT.glob("molecule/*/molecule.yml")),
}


def starts(table):
    return [start for start in table if any(line.startswith(start) for block in BLOCKS for line in block.commands)]


def test_the_pages_are_found():
    assert len(BLOCKS) > 20 and set(guides.pages()) >= RUN


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_every_block_is_run_or_says_why_not(block):
    assert block.page in RUN or block.reason(), "run it (tests/guides.py), or state the reason in NOT_RUN"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_guide_names_its_own_inventory(block):
    """Only then does the scenario run what the line says."""
    if block.page.startswith("docs/scenarios/"):
        name = pathlib.Path(block.page).stem
        assert all(f"-i inventory/{name} " in line for line in block.commands if guides.BY_THE_SCENARIO.match(line))


@pytest.mark.parametrize("table", ["ON_A_HOST", "NOT_RUN", "FAILING", "LEFT_OUT"])
def test_no_exception_is_left_over(table):
    exceptions = getattr(guides, table)
    assert starts(exceptions) == list(exceptions)


def test_a_block_goes_on_after_a_backslash(monkeypatch, tmp_path):
    monkeypatch.setattr(guides, "CHECKOUT", tmp_path)
    (tmp_path / "page.md").write_text("text\n```sh\na \\\n  b\n\nc\n```\n```yaml\nd: 1\n```\n", encoding="utf-8")
    assert guides.blocks("page.md") == [guides.Block("page.md", 2, ("a    b", "c"))]


def test_a_line_that_fails_ends_the_run():
    guides.shell("true")
    guides.shell("false", ok=False)
    for line, ok in (("false", True), ("true", False)):
        with pytest.raises(SystemExit, match="which the page does not say"):
            guides.shell(line, ok=ok)

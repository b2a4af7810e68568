# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every block of shell commands in the documentation is run by a test, or says why it cannot be."""

from __future__ import annotations

import pathlib
import re

import pytest

from ansible_collections.overloom.fabric.tests import guides

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
BLOCKS = [block for page in guides.pages() for block in guides.blocks(page)]
TEXTS = [one for page in guides.pages() for one in guides.shown(page) if isinstance(one, guides.Text)]
# Pages that are run by a part of tests/run.py; each guide is run by the Molecule scenario of its name.
RUN = {
    "README.md",
    "docs/intent.md",
    *guides.ON_DEFAULT_LAB,
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


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{text.page}:{text.line}")
def test_every_output_is_compared_or_says_why_not(text):
    """A run has printed it: that of the commands above it, or one after a fault."""
    above = [one for one in guides.shown(text.page) if one.line < text.line and isinstance(one, guides.Block)]
    compared = text.page in RUN and (text.fault() or (above and guides.todo(above[-1])))
    assert text.reason or compared, "compare it (tests/guides.py), or state the reason in a line above it"


def test_what_looks_like_an_output_is_one():
    """What is neither commands nor data nor an output is a drawing."""
    for page in guides.pages():
        fences = re.findall(r"^```(\w*)\n(.*?)^```", (CHECKOUT / page).read_text(encoding="utf-8"), re.M | re.S)
        drawings = [body for kind, body in fences if kind not in ("sh", "text", "yaml")]
        assert all(re.search("[─│═►┌]|plugins/modules/", drawing) for drawing in drawings), page


@pytest.mark.parametrize("fault", guides.FAULTS)
def test_each_fault_is_that_of_an_output(fault):
    assert any(text.page == fault[0] and text.fault() for text in TEXTS)


def test_outputs_differ_in_what_varies_only():
    shown = guides.Text("page", 1, ("  ● 3 of 3  5 kB out", "  kvm1 10.1.1.65  0.4 ms"))
    printed = "begin\n  kvm1   10.1.1.65  12 ms\n\n  ●  12 of 12 840 bit/s out\n"
    assert guides.missing(shown, printed) == []
    assert guides.missing(shown, printed.replace("kvm1", "kvm2")) == ["  kvm1 10.1.1.65  0.4 ms"]
    assert guides.missing(shown, printed.replace(".65", ".66")) == ["  kvm1 10.1.1.65  0.4 ms"]
    twice = guides.Text("page", 1, ("a 1", "a 2"))
    assert guides.missing(twice, "a 1\n") == ["a 2"] and guides.missing(twice, "a 1\na 7\n") == []
    with pytest.raises(SystemExit, match="page:1 shows what the run did not print"):
        guides.compare(shown, "nothing")


@pytest.mark.parametrize("table", ["ON_A_HOST", "NOT_RUN", "FAILING", "LEFT_OUT"])
def test_no_exception_is_left_over(table):
    exceptions = getattr(guides, table)
    assert starts(exceptions) == list(exceptions)


def test_a_block_goes_on_after_a_backslash(monkeypatch, tmp_path):
    monkeypatch.setattr(guides, "CHECKOUT", tmp_path)
    (tmp_path / "page.md").write_text("text\n```sh\na \\\n  b\n\nc\n```\n```yaml\nd: 1\n```\n", encoding="utf-8")
    assert guides.blocks("page.md") == [guides.Block("page.md", 2, ("a    b", "c"))]


def test_a_reason_stands_above_an_output(monkeypatch, tmp_path):
    monkeypatch.setattr(guides, "CHECKOUT", tmp_path)
    page = "```sh\na\n```\n\n```text\nb\n```\n\n<!-- not compared: why -->\n\n```text\nc\n```\n"
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    texts = [guides.Text("page.md", 5, ("b",)), guides.Text("page.md", 11, ("c",), "why")]
    assert guides.shown("page.md") == [guides.Block("page.md", 1, ("a",)), *texts]


def test_a_line_that_fails_ends_the_run():
    assert guides.shell("echo 1; echo 2 >&2") == "1\n2\n"
    guides.shell("false", ok=False)
    for line, ok in (("false", True), ("true", False)):
        with pytest.raises(SystemExit, match="which the page does not say"):
            guides.shell(line, ok=ok)

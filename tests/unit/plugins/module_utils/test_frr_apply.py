# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that FRR takes late, or leaves out without a word, as releases with mgmtd do."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._frr import reader as frr_reader
from ansible_collections.overloom.fabric.plugins.module_utils._frr import setting as frr_setting
from ansible_collections.overloom.fabric.plugins.module_utils._frr import writer as frr_writer
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import Found
from ansible_collections.overloom.fabric.plugins.module_utils._frr.writer import Apply
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

ROUTE = ("ip route 10.1.0.0/16 192.0.2.1",)
OTHER = ("ip route 10.2.0.0/16 192.0.2.1",)
CHANGES: dict[frr_setting.Address, str | None] = {ROUTE: ROUTE[0], OTHER: OTHER[0]}


class Frr:
    """FRR that answers nothing, and has the lines of `answers` one after the other."""

    def __init__(self, *answers: t.Iterable[frr_setting.Address]) -> None:
        self.answers = list(answers)
        self.loaded: list[str] = []

    def __call__(self, argv: t.Sequence[str], stdin: str | None) -> tuple[int, str, str]:
        if tuple(argv) == frr_reader.READ:
            lines = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            return 0, "".join(f"{address[0]}\n" for address in lines) + "\nend\nmgmtd staticd", ""
        self.loaded.append(stdin or "")
        return 0, "", ""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frr_writer, "LATE_PAUSE", 0)


def apply(frr: Frr, late: bool = True) -> None:
    before = Found({}, "", ("mgmtd", "staticd") if late else ("staticd",), "", {})
    Apply(Runner(frr), "\n".join([ROUTE[0], OTHER[0], ""]), before, CHANGES).do()


def test_a_line_that_comes_late_is_waited_for() -> None:
    frr = Frr([], [ROUTE], [ROUTE, OTHER])
    apply(frr)
    assert len(frr.loaded) == 1


def test_a_line_that_does_not_come_is_named_and_the_rest_is_taken_back() -> None:
    frr = Frr(*[[OTHER]] * (frr_writer.LATE_TRIES + 1), [])
    with pytest.raises(FabricError, match="FRR refused the line 'ip route 10.1.0.0/16 192.0.2.1'; what it had taken"):
        apply(frr)
    assert len(frr.loaded) == 2 and "no ip route 10.2.0.0/16 192.0.2.1" in frr.loaded[1]


def test_what_went_with_a_line_that_is_taken_back_is_brought_back_as_well() -> None:
    before = Found({OTHER: OTHER[0]}, "", ("staticd",), "", {})
    frr = Frr([], [OTHER])
    Apply(Runner(frr), "", before, CHANGES).undo({ROUTE: ROUTE[0], OTHER: OTHER[0]})
    assert frr.loaded == [f"no {ROUTE[0]}\n", f"{OTHER[0]}\n"]


def test_a_release_that_says_what_it_refuses_is_not_asked_again() -> None:
    frr = Frr([])
    apply(frr, late=False)
    assert len(frr.loaded) == 1

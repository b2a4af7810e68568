# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenarios of Molecule: what each of them runs."""

from __future__ import annotations

import pathlib

import pytest
import yaml

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
SHARED = CHECKOUT / ".config/molecule/config.yml"
SCENARIOS = sorted(CHECKOUT.glob("molecule/*/molecule.yml"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.parent.name)
def test_after_the_reboot_all_is_verified_and_site_changes_nothing(path: pathlib.Path) -> None:
    shared, own = (yaml.safe_load(one.read_text(encoding="utf-8")) or {} for one in (SHARED, path))
    sequence = own.get("scenario", shared["scenario"])["test_sequence"]
    after = sequence[sequence.index("side_effect") :]
    assert after == ["side_effect", "verify", "idempotence", "cleanup", "destroy"]
    playbooks = {**shared["ansible"]["playbooks"], **own.get("ansible", {}).get("playbooks", {})}
    side_effect = (path.parent / playbooks["side_effect"]).read_text(encoding="utf-8")
    assert "reboot" in side_effect


def test_a_short_run_does_in_the_same_order_all_that_proves_a_scenario() -> None:
    whole, short = (
        yaml.safe_load(path.read_text(encoding="utf-8"))["scenario"]["test_sequence"]
        for path in (SHARED, SHARED.with_name("short.yml"))
    )
    # `in` goes on behind what it found last.
    rest = iter(whole)
    assert all(action in rest for action in short)
    assert {"converge", "idempotence", "side_effect", "verify", "cleanup", "destroy"} <= set(short)
    assert short[short.index("side_effect") :] == ["side_effect", "verify", "idempotence", "cleanup", "destroy"]


def test_all_scenarios_are_looked_at() -> None:
    assert len(SCENARIOS) >= 10

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nft_table makes of what is declared and what was found, as pure functions."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._nft import table as room
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

PLACE = room.Place("", "inet", "guard")
LIVE = "table inet guard {\n\tchain c {\n\t}\n}"
WANTED = room.Wanted(PLACE, content="chain c { }")
NOTHING = room.Found({}, frozenset(), {}, frozenset(), {})


def settings(**more: t.Any) -> room.Settings:
    options = {"purge": False, "running": True, "lenient": False, "read": lambda _place: LIVE, **more}
    return room.Settings(caller=Caller(options.pop("owner", "me"), options.pop("adopt", False)), **options)


def loaded(owner: str = "me") -> room.Found:
    """A host on which WANTED was loaded."""
    unit = room.unit_of(PLACE, owner)
    files = {PLACE.script: room.script_of(PLACE, WANTED.content), PLACE.listing: f"{LIVE}\n"}
    return room.Found({PLACE: LIVE}, frozenset(), {unit.name: unit}, frozenset({unit.name}), files)


def commands(found: room.Found, wanted: t.Sequence[room.Wanted] = (WANTED,), **more: t.Any) -> list[str]:
    return [step.shown().splitlines()[0] for step in room.compare(found, wanted, settings(**more)).steps]


def test_what_was_loaded_and_runs_is_no_change() -> None:
    change = room.compare(loaded(), [WANTED], settings())
    assert change.steps == [] and change.before == change.after


@pytest.mark.parametrize(
    "differs",
    [
        {"listings": {}},
        {"listings": {PLACE: LIVE.replace("chain c", "chain d")}},
        {"active": frozenset()},
        {"files": {}},
        {"units": {}, "listings": {}},
    ],
)
def test_whatever_differs_loads_the_table_and_is_shown(differs: dict[str, t.Any]) -> None:
    change = room.compare(loaded()._replace(**differs), [WANTED], settings())
    shown = [step.shown() for step in change.steps]
    assert f"systemctl restart {PLACE.unit}" in shown and any(PLACE.listing in step for step in shown)
    assert change.before != change.after


def test_a_table_is_replaced_in_one_transaction() -> None:
    script = room.script_of(PLACE, "chain c { }")
    assert script.splitlines()[1:4] == ["table inet guard", "delete table inet guard", "table inet guard {"]


def test_the_unit_comes_after_what_drops_tables_or_makes_the_namespace() -> None:
    text = room.unit_of(PLACE, "me").content
    for line in (
        "After=nftables.service local-fs.target",
        "PartOf=nftables.service",
        "ReloadPropagatedFrom=nftables.service",
    ):
        assert line in text
    assert "ExecReload=" in text
    inside = room.unit_of(PLACE._replace(netns="r"), "me").content
    assert "After=overloom-netns-r.service" in inside and "nftables.service" not in inside
    assert room.place_of(room.unit_of(PLACE._replace(netns="r"), "me")) == PLACE._replace(netns="r")


def test_owners() -> None:
    with pytest.raises(FabricError, match="belongs to the owner me"):
        commands(loaded(), owner="you")
    foreign = NOTHING._replace(listings={PLACE: LIVE})
    with pytest.raises(FabricError, match="is not ours, and its chains, sets and rules would be replaced"):
        commands(foreign)
    assert f"install -m 0600 /dev/stdin {PLACE.former} <<'EOF'" in commands(foreign, adopt=True)
    # One that is empty is nobody's loss.
    assert commands(NOTHING._replace(listings={PLACE: "table inet guard {\n}"}))
    gone = [room.Wanted(PLACE, present=False)]
    with pytest.raises(FabricError, match="was not made by this collection and stays"):
        commands(foreign, gone)
    assert "nft delete table inet guard" in commands(loaded(), gone) and commands(NOTHING, gone) == []
    back = room.compare(loaded()._replace(files={**loaded().files, PLACE.former: f"{LIVE}\n"}), gone, settings())
    assert back.warnings and any(LIVE in step.shown() for step in back.steps)


def test_purge_takes_what_is_ours_alone() -> None:
    assert "nft delete table inet guard" in commands(loaded(), (), purge=True)
    assert commands(loaded("you"), (), purge=True) == [] and commands(loaded(), ()) == []


TEXT = st.text(st.sampled_from('{}"# \nax'), max_size=20)


@given(TEXT)
def test_content_never_leaves_the_table(content: str) -> None:
    """Whatever is accepted, the table's own closing brace is the one that closes it."""
    try:
        accepted = room.check_content(content, "table")
    except FabricError:
        return
    depth, quoted, comment = 1, False, False
    for letter in accepted:
        comment = letter != "\n" and (comment or (letter == "#" and not quoted))
        quoted ^= letter == '"' and not comment
        depth += 0 if quoted or comment else {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 1
    assert depth == 1 and not quoted


def test_what_nft_says_is_told_with_the_line_of_content() -> None:
    said = "/dev/stdin:6:16-22: Error: syntax error, unexpected string\n  tcp dport 80 acccept\n"
    assert room.refusal(PLACE, said) == (
        "table inet guard: nft does not take line 2 of content: syntax error, unexpected string"
    )
    assert room.refusal(PLACE, "").endswith("it does not say why")


def test_a_namespace_has_tables_of_its_own() -> None:
    item = {"name": "x", "content": ""}
    assert len(room.declared([item, {**item, "netns": "r"}, {**item, "family": "ip"}])) == 3
    with pytest.raises(FabricError, match="declared twice"):
        room.declared([item, item])
    with pytest.raises(FabricError, match="would have one file"):
        room.declared(
            [{**item, "netns": "inet-ip", "name": "x"}, {**item, "netns": "inet", "family": "ip", "name": "inet-x"}]
        )

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils import _systemd
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Remove, Step, Write

# No surrogates: they are not in any file. No null: no argument can hold it.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


# A piece of a word of an ExecStart= line, as systemd takes it apart (systemd.service(5), systemd.syntax(7)).
PIECE = re.compile(
    r"""\\x(?P<hex>[0-9a-f]{2}) | \\(?P<escaped>[\\"]) | (?P<quote>") | (?P<space>[ ]) | (?P<doubled>%%|[$][$]) | (?P<plain>[^\\%$])""",
    re.X,
)


def read_words(line: str) -> list[str]:
    """How systemd takes an ExecStart= line apart: quotes, C escapes, doubled specifiers and variables."""
    words: list[bytes] = []
    at, word, quoted = 0, None, False
    while at < len(line):
        piece = PIECE.match(line, at)
        assert piece, "an unknown escape, or a specifier or variable that is expanded"
        kind, text = piece.lastgroup, piece[piece.lastgroup or 0]
        if kind == "quote":
            assert quoted or word is None, "a quote inside a word"
            quoted, word = not quoted, word or b""
        elif kind == "space" and not quoted:
            assert word != b";" or line[at - 1] == '"'
            words += [] if word is None else [word]
            word = None
        else:
            assert text != "'" or quoted, "an open quote"
            word = (word or b"") + (bytes([int(text, 16)]) if kind == "hex" else text[-1:].encode())
        at = piece.end()
    assert not quoted
    return [w.decode() for w in [*words, *([] if word is None else [word])]]


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_a_command_gets_its_arguments_as_they_are(words: list[str]) -> None:
    line = " ".join(map(_systemd.exec_word, words))
    assert read_words(line) == words
    # No line of a unit ends early, goes on, or is a comment or a second command.
    assert not re.search(r"[\n\r]|\\$", line) and line != ";"


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
    st.text(min_size=1, max_size=20),
)
def test_unit_names_are_valid_and_differ(one: str, other: str) -> None:
    try:
        names = [_systemd.unit_name("netns", name) for name in (one, other)]
    except UnicodeEncodeError:
        return
    assert re.fullmatch(r"overloom-netns-[A-Za-z0-9:_.\\-]+\.service", names[0])
    assert (names[0] == names[1]) == (one == other)


def test_a_name_too_long_for_a_unit_gets_one_sentence() -> None:
    assert len(_systemd.unit_name("netns", "a" * 64)) < 255
    with pytest.raises(FabricError, match="makes a name of 276 characters for systemd's unit, which takes 255"):
        _systemd.unit_name("netns", "a" + "@" * 63)


@given(st.dictionaries(st.sampled_from(["Owner", "Namespace", "Interfaces"]), TEXT.filter(str.isprintable)))
def test_notes_are_read_back(notes: dict[str, str]) -> None:
    notes = {key: value for key, value in notes.items() if not value.endswith("\\")}
    unit = _systemd.oneshot("netns", "red", "x", notes, [], ["multi-user.target"])
    assert unit.notes() == {**notes, "Name": "red"}


@pytest.mark.parametrize("text", ["a\nExecStart=/bin/false", "a\\", "\r", "\x1b[0m"])
def test_what_would_begin_another_setting_is_refused(text: str) -> None:
    with pytest.raises(FabricError, match="cannot stand in a systemd unit"):
        _systemd.oneshot("netns", "red", text, {}, [], [])
    with pytest.raises(FabricError, match="cannot stand in a systemd unit"):
        _systemd.oneshot("netns", "red", "x", {"Owner": text}, [], [])


def apply(folder: pathlib.Path, steps: list) -> list[tuple[str, ...]]:
    """Take the steps in a folder, with the links that systemctl would make; returns the commands."""
    commands = []
    for step in steps:
        if isinstance(step, (Write, Remove)):
            step.do()
            continue
        assert isinstance(step, Step)
        commands.append(step.argv)
        for name in step.argv[2:]:
            for link in folder.glob(f"*.wants/{name}"):
                link.unlink()
            wanted_by = (
                re.findall(r"^WantedBy=(.*)$", (folder / name).read_text(), re.MULTILINE)
                if (folder / name).exists()
                else []
            )
            for unit in wanted_by[0].split() if step.argv[1] == "reenable" and wanted_by else []:
                (folder / f"{unit}.wants").mkdir(exist_ok=True)
                (folder / f"{unit}.wants" / name).symlink_to(folder / name)
    return commands


def reach(folder: pathlib.Path, wanted: dict) -> list[tuple[str, ...]]:
    """Make the units what is wanted, once; returns the commands."""
    found = _systemd.read_units("port", str(folder))
    put, drop = _systemd.unit_steps(found, wanted, folder=str(folder))
    commands = apply(folder, put + drop)
    assert _systemd.unit_steps(_systemd.read_units("port", str(folder)), wanted, folder=str(folder)) == ([], [])
    return commands


def test_units_are_written_enabled_changed_and_removed_with_one_process_each(tmp_path: pathlib.Path) -> None:
    (tmp_path / "overloom-netns-other.service").write_text("")
    units = {
        name: _systemd.ovs_port_unit(name, {"Owner": "x"}, ["address replace 10.0.0.1/24 dev a"]) for name in ("a", "b")
    }
    wanted = {unit.name: unit for unit in units.values()}
    assert reach(tmp_path, wanted) == [("systemctl", "reenable", "overloom-port-a.service", "overloom-port-b.service")]
    assert (tmp_path / "ovs-vswitchd.service.wants" / "overloom-port-a.service").is_symlink()
    assert reach(tmp_path, wanted) == []
    changed = {"overloom-port-a.service": _systemd.ovs_port_unit("a", {"Owner": "y"}, [])}
    assert reach(tmp_path, changed) == [("systemctl", "daemon-reload")]
    (tmp_path / "multi-user.target.wants" / "overloom-port-b.service").unlink()
    assert reach(tmp_path, wanted)[0][:2] == ("systemctl", "reenable")
    gone = dict.fromkeys(wanted)
    assert reach(tmp_path, gone) == [
        ("systemctl", "disable", "--now", "overloom-port-a.service", "overloom-port-b.service")
    ]
    assert reach(tmp_path, gone) == []
    assert sorted(path.name for path in tmp_path.glob("overloom*")) == ["overloom-netns-other.service"]


def test_without_systemd_running_units_are_prepared_for_the_next_boot(tmp_path: pathlib.Path) -> None:
    unit = _systemd.oneshot("port", "a", "x", {}, [], ["multi-user.target"])
    put, _drop = _systemd.unit_steps({}, {unit.name: unit}, running=False, folder=str(tmp_path))
    apply(tmp_path, put)
    found = _systemd.read_units("port", str(tmp_path))
    assert _systemd.unit_steps(found, {unit.name: unit._replace(content="y")}, running=False).put[1:] == []
    assert _systemd.unit_steps(found, {unit.name: None}, running=False).drop[0].argv == (
        "systemctl",
        "disable",
        unit.name,
    )


def test_a_unit_file_that_is_no_file_is_replaced(tmp_path: pathlib.Path) -> None:
    (tmp_path / "overloom-port-a.service").symlink_to("/dev/null")
    unit = _systemd.oneshot("port", "a", "x", {}, [], [])
    reach(tmp_path, {unit.name: unit})
    assert (tmp_path / "overloom-port-a.service").read_text() == unit.content


def test_no_folder_means_no_units(tmp_path: pathlib.Path) -> None:
    assert _systemd.read_units("port", str(tmp_path / "none")) == {}

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run of all parts: which of those that failed are tried again, and what comes of it."""

from __future__ import annotations

import importlib.util
import pathlib
import shutil
import sys
import types

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "run.py"


@pytest.fixture(name="run")
def fixture_run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The program as a module, with its output in a folder of the test."""
    spec = importlib.util.spec_from_file_location("run_of_all_parts", SOURCE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "OUTPUT", tmp_path)
    return module


def script(path: pathlib.Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    return [sys.executable, str(path)]


def test_a_part_that_boots_hosts_is_tried_twice_more(run: types.ModuleType, tmp_path: pathlib.Path) -> None:
    mark = tmp_path / "been"
    flaky = script(
        tmp_path / "flaky.py",
        f"import pathlib; mark = pathlib.Path({str(mark)!r})\nif not mark.exists(): mark.touch(); raise SystemExit(1)",
    )
    # Fails as often as there are tries before the last.
    twice = script(
        tmp_path / "twice.py",
        f"import pathlib; marks = [pathlib.Path({str(tmp_path)!r}, name) for name in 'ab']\n"
        "for mark in marks:\n    if not mark.exists(): mark.touch(); raise SystemExit(1)",
    )
    broken = script(tmp_path / "broken.py", "raise SystemExit(1)")
    commands = {"molecule-flaky": flaky, "molecule-twice": twice, "molecule-broken": broken, "unit": flaky}
    failed = [name for name, command in commands.items() if not run.run_part(name, command)[1]]
    assert failed == ["molecule-flaky", "molecule-twice", "molecule-broken"]
    assert run.try_again(failed, commands) == ["molecule-flaky", "molecule-twice"]
    assert (tmp_path / "molecule-broken.third.log").exists() and not (tmp_path / "molecule-flaky.third.log").exists()
    assert (tmp_path / "molecule-flaky.log").exists() and (tmp_path / "molecule-flaky.second.log").exists()


def test_what_the_machine_cannot_have_caused_is_not_tried_again(run: types.ModuleType, tmp_path: pathlib.Path) -> None:
    passing = script(tmp_path / "passing.py", "")
    assert run.try_again(["unit"], {"unit": passing}) == []
    names = [f"molecule-{number}" for number in range(run.TRIED_AGAIN + 1)]
    assert run.try_again(names, dict.fromkeys(names, passing)) == []
    assert run.try_again(names[1:], dict.fromkeys(names, passing)) == names[1:]


def test_a_test_file_is_tried_by_its_failed_tests(
    run: types.ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "CHECKOUT", tmp_path)
    # Its profile of hypothesis is known in this checkout alone.
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    tests, mark = tmp_path / "test_x.py", tmp_path / "been"
    tests.write_text(
        f"import pathlib\nmark = pathlib.Path({str(mark)!r})\n"
        "def test_sound(): assert not mark.exists()\n"
        "def test_flaky():\n    there = mark.exists()\n    mark.touch()\n    assert there\n",
        encoding="utf-8",
    )
    commands = {
        "integration-x": [sys.executable, "-m", "pytest", "-q", "-o", "cache_dir=integration-x.cache", str(tests)]
    }
    assert not run.run_part("integration-x", commands["integration-x"])[1]
    assert run.try_again(["integration-x"], commands) == ["integration-x"]
    assert "1 passed" in run.summary_of("integration-x.second")


def test_a_part_that_does_not_end_is_killed_and_its_labs_are_removed(
    run: types.ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of others stay, whatever their names are like."""
    monkeypatch.setattr(run, "CLEANUP_TIMEOUT", 1)
    monkeypatch.setattr(run, "PART_TIMEOUT", 3)
    monkeypatch.setattr(run, "remove_labs", lambda name, labs: removed.append((name, labs)))
    monkeypatch.setattr(run.harness, "LABS", tmp_path / "labs")
    removed: list[tuple[str, list[str]]] = []
    made = {
        "site-{}": "/tmp/x",
        "test-{}-2": "",
        "test-{}0": "",
        "test-1{}": "",
        "gre": f"{run.CHECKOUT}/inventory/gre",
    }
    stubborn = (
        "import json, os, pathlib, signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"for name, inventory in {made!r}.items():\n"
        f"    folder = pathlib.Path({str(tmp_path / 'labs')!r}, name.format(os.getpid()))\n"
        "    folder.mkdir(parents=True)\n"
        "    (folder / 'lab.json').write_text(json.dumps({'inventory': inventory}))\n"
        "print(os.getpid(), flush=True)\ntime.sleep(60)\n"
    )
    for name, own in (("integration-x", []), ("molecule-gre", ["gre"])):
        assert not run.run_part(name, script(tmp_path / "stubborn.py", stubborn))[1]
        pid = (tmp_path / f"{name}.log").read_text(encoding="utf-8").split()[0]
        assert removed.pop() == (name, sorted([f"site-{pid}", f"test-{pid}-2", *own]))
        shutil.rmtree(tmp_path / "labs")


def test_each_file_of_unit_tests_is_in_one_part(run: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """And `unit` stands for all of these parts, in the order of all parts."""
    monkeypatch.setattr(run, "OUTPUT", run.CHECKOUT / "tests/output")
    units = {name: command for name, command in run.parts().items() if name.startswith("unit-")}

    def takes(command: list[str], file: pathlib.Path) -> bool:
        ignored = [word.partition("=")[2] for word in command if word.startswith("--ignore=")]
        return run.CHECKOUT / command[-1] in file.parents and not any(
            run.CHECKOUT / one in file.parents for one in ignored
        )

    files = list((run.CHECKOUT / "tests/unit").rglob("test_*.py"))
    assert len(files) > 100
    for file in files:
        assert [takes(command, file) for command in units.values()].count(True) == 1, file
    known = run.parts()
    assert run.chosen_parts(["gates", "unit"], known) == [*units, "gates"]
    assert run.chosen_parts(["unit-others", "gatez"], known) == ["unit-others", "gatez"]


def test_without_the_tools_of_the_tests_one_sentence_says_how_to_get_them(
    run: types.ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `make lab` alone, whose environment has no pytest and no Molecule."""
    monkeypatch.setattr(run, "BIN", tmp_path)
    monkeypatch.setattr(run, "OUTPUT", run.CHECKOUT / "tests/output")
    monkeypatch.setattr(sys, "argv", ["run.py", "unit"])
    with pytest.raises(SystemExit, match="lacks the tools of the tests .* run `make check` once"):
        run.main()

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import shlex

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Remove,
    Runner,
    Step,
    Write,
    differing,
    mask,
    module_runner,
    reconcile,
    to_text,
)

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
WORDS_THAT_YAML_READS_OTHERWISE = (
    "1 1.5 1e3 0x1f 0o7 yes null ~ on 2024-01-01 12:30 10.0.0.1 10.0.0.0/24 fe80::1 - ? a:b a: #a ="
)
TRAPS = st.sampled_from([*WORDS_THAT_YAML_READS_OTHERWISE.split(" "), "a: b", "a #b", " a", "a ", ""])
SCALARS = TRAPS | st.none() | st.booleans() | st.integers() | WORDS
KEYS = st.text("abcdefgh_-", min_size=1, max_size=6).filter(lambda key: key[0] not in "-_")
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


class Ended(Exception):
    def __init__(self, result):
        self.result = result


class FakeModule:
    """Stands for AnsibleModule: ends by an exception that carries the result."""

    def __init__(self, check_mode=False, diff=True):
        self.check_mode, self._diff, self.warnings = check_mode, diff, []

    def warn(self, text):
        self.warnings.append(text)

    def exit_json(self, **result):
        raise Ended(result)

    def fail_json(self, **result):
        raise Ended({"failed": True, **result})


def run_reconcile(module, change, judge=lambda _found: ()):
    ran = []

    def run(argv, _stdin):
        ran.append(list(argv))
        return 0, "", ""

    runner = Runner(run)
    with pytest.raises(Ended) as ended:
        reconcile(
            module, lambda: runner(["read"]), lambda _found: change, runner, lambda found: {"state": found}, judge
        )
    return ended.value.result, ran


CHANGED = Change([Step(("make", "it"))], {"it": False}, {"it": True}, ("careful",))
SAME = Change([], {"it": True}, {"it": True})


def test_a_change_is_read_written_and_read_again():
    module = FakeModule()
    result, ran = run_reconcile(module, CHANGED)
    assert ran == [["read"], ["make", "it"], ["read"]]
    assert (result["changed"], result["commands"], result["spawned"]) == (True, ["make it"], 3)
    data = {"before": {"it": False}, "after": {"it": True}}
    assert result["diff"] == {"before": "it: false\n", "after": "it: true\n", "data": data}
    assert module.warnings == ["careful"]


def test_of_a_failed_change_the_last_command_is_the_one_that_failed():
    change = CHANGED._replace(steps=[Step(("make", "it")), Step(("break", "it")), Step(("never", "reached"))])
    runner = Runner(lambda argv, _stdin: (int(argv[0] == "break"), "", "no"))
    with pytest.raises(Ended) as ended:
        reconcile(FakeModule(), lambda: None, lambda _found: change, runner, lambda _found: {})
    assert ended.value.result["commands"] == ["make it", "break it"] and ended.value.result["failed"]


def test_check_mode_foretells_the_commands_and_writes_nothing():
    result, ran = run_reconcile(FakeModule(check_mode=True), CHANGED)
    assert ran == [["read"]]
    assert (result["changed"], result["commands"]) == (True, ["make it"])


def test_nothing_to_do_is_one_read():
    result, ran = run_reconcile(FakeModule(), SAME)
    assert ran == [["read"]]
    assert (result["changed"], result["commands"]) == (False, [])
    assert "diff" not in result


def test_an_error_that_the_tool_reports_late_fails_the_task():
    result, _ran = run_reconcile(FakeModule(), CHANGED, judge=lambda _found: ["port x has no device"])
    assert result["failed"] and result["msg"] == "port x has no device" and result["changed"]


def test_a_refused_command_fails_with_what_it_said_and_without_its_secret():
    runner = Runner(lambda _argv, _stdin: (1, "", "cannot use hunter2"))
    with pytest.raises(FabricError) as error:
        runner(Step(("tool", "key=hunter2"), secrets=("hunter2",)))
    assert "hunter2" not in str(error.value) and "ended with 1: cannot use ********" in str(error.value)


def test_a_tool_that_dies_while_it_is_written_to_is_an_error_like_any_other():
    class Module:
        def run_command(self, _argv, **_options):
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(FabricError, match="tool ended with 1: it ended before it had read all of its input"):
        module_runner(Module())(Step(("tool",), "input"))


def test_a_missing_tool_is_told_by_its_name():
    def missing(argv, _stdin):
        raise FileNotFoundError(argv[0])

    with pytest.raises(FabricError, match="nonesuch ended with 127: not installed"):
        Runner(missing)(["nonesuch"])


def test_a_file_is_put_in_place_whole_with_its_mode_and_removed_again(tmp_path):
    path = tmp_path / "a" / "b"
    runner = Runner(lambda _argv, _stdin: pytest.fail("no process is needed"))
    runner.do(Write(str(path), "text\n", 0o600))
    assert path.read_text() == "text\n" and path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["b"]
    runner.do(Remove(str(path)))
    runner.do(Remove(str(path)))
    assert not path.exists()


@given(DATA)
def test_text_of_any_data_reads_back_as_the_same_yaml(data):
    assert yaml.safe_load(to_text({"data": data})) == {"data": data}


TREES = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)


@settings(max_examples=1000, deadline=None)
@given(TREES, TREES)
def test_a_diff_keeps_what_differs_below_its_names_and_nothing_that_is_equal(before, after):
    old, new = differing(before, after)
    assert (old == new) == (before == after)
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() & after.keys():
            assert (key in old) == (key in new) == (before[key] != after[key])
        assert {key: new.get(key, value) for key, value in after.items()}.keys() == after.keys()
        assert all(old[key] == before[key] for key in before.keys() - after.keys())


@given(st.lists(st.text(min_size=1, max_size=8), max_size=4), st.text(max_size=40))
def test_no_secret_survives_masking(secrets, text):
    masked = mask(text + "".join(secrets), secrets)
    assert not any(secret in masked.replace("********", "") for secret in secrets if "*" not in secret)


@given(st.text(min_size=4, max_size=12).filter(lambda text: "*" not in text and "\0" not in text))
def test_no_secret_survives_the_quotes_of_a_shell_or_of_a_tool(secret):
    for spelled in (secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        step = Step(("tool", "--", f"psk={spelled}"), secrets=(secret,))
        word = shlex.split(step.shown())[-1]
        assert word.strip('"') == "psk=********" or word == 'psk="********"'

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each boolean option of a role given as text, as `-e kvm_host_install=no` gives it: "no" is no truth."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import conform

ROLES = pathlib.Path(__file__).resolve().parents[2] / "roles"
# Where a task asks for a truth; a module converts what it is given.
CONDITIONS = ("when", "until", "failed_when", "changed_when", "that")
# What Jinja holds for true unless it is converted.
TEXTS = {"no": False, "false": False, "off": False, "0": False, "yes": True, "true": True}


def options(spec: dict[str, t.Any], at: str = "") -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """Each boolean option of a specification, with its place."""
    for name, option in spec.items():
        if option.get("type") == "bool":
            yield f"{at}{name}", option
        yield from options(option.get("options") or {}, f"{at}{name}.")


def of_roles() -> list[tuple[str, str, dict[str, t.Any]]]:
    """Each boolean option of each role: the role, its place, and its specification."""
    found: dict[tuple[str, str], dict[str, t.Any]] = {}
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            found.update(((path.parts[-3], place), option) for place, option in options(entry.get("options") or {}))
    return [(role, place, option) for (role, place), option in found.items()]


def conditions(tasks: t.Any) -> t.Iterator[str]:
    """Each condition of a role's tasks."""
    for value in tasks if isinstance(tasks, list) else tasks.values() if isinstance(tasks, dict) else ():
        yield from conditions(value)
    for name in CONDITIONS if isinstance(tasks, dict) else ():
        said = tasks.get(name, ())
        yield from (str(one) for one in (said if isinstance(said, list) else [said]))


def unconverted(condition: str, option: str) -> bool:
    """Whether a condition takes an option as it is."""
    return bool(re.search(rf"\b{option}\b(?!\s*\|\s*bool\b)", re.sub(r"'[^']*'|\"[^\"]*\"", "''", condition)))


@pytest.mark.parametrize("role, place, option", of_roles(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_boolean_that_is_given_as_text_is_what_it_says(role: str, place: str, option: dict[str, t.Any]) -> None:
    if role == "plan":
        # The plan converts the intent by its specification.
        for text, truth in TEXTS.items():
            problems: list[str] = []
            assert conform(text, option, place, problems) is truth and not problems
        return
    files = sorted(ROLES.glob(f"{role}/tasks/*.yml"))
    texts = [path.read_text(encoding="utf-8") for path in files]
    assert any(re.search(rf"\b{place}\b", text) for text in texts), "nobody uses it"
    assert not [one for text in texts for one in conditions(yaml.safe_load(text)) if unconverted(one, place)]
    # Where a template asks for a truth, too.
    assert not re.search(rf"{{%-? *(?:el)?if (?:not )?{place}\b(?! *\| *bool)", "".join(texts))
    assert not re.search(rf"{{{{[^}}]* if (?:not )?{place}\b(?! *\| *bool)", "".join(texts))


def test_a_condition_that_takes_text_for_a_truth_is_found() -> None:
    tasks = yaml.safe_load("- block:\n    - debug:\n      when: [not asked | bool, told]\n  when: asked\n")
    assert [one for one in conditions(tasks) if unconverted(one, "asked")] == ["asked"]
    assert [one for one in conditions(tasks) if unconverted(one, "told")] == ["told"]

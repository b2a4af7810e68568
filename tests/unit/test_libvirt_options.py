# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No option of the libvirt modules is documented without a row in the table by which it is tried on a real host."""

from __future__ import annotations

import importlib
import re
import typing as t

import pytest
import yaml

from ansible_collections.overloom.fabric.tests.integration import libvirt_options
from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT


def paths(options: dict[str, t.Any], before: str = "") -> t.Iterator[str]:
    """Each option by its path, such as nics.vlan."""
    for name, option in options.items():
        yield before + name
        yield from paths(option.get("suboptions") or {}, f"{before}{name}.")


@pytest.mark.parametrize(
    "module, many",
    [
        ("libvirt_domain", "domains"),
        ("libvirt_network", "networks"),
        ("libvirt_pool", "pools"),
        ("libvirt_volume", "volumes"),
    ],
)
def test_each_documented_option_has_two_values_or_a_test_of_its_own(module: str, many: str) -> None:
    place = "ansible_collections.overloom.fabric.plugins"
    fragment = yaml.safe_load(importlib.import_module(f"{place}.doc_fragments.owner").ModuleDocFragment.DOCUMENTATION)
    options = yaml.safe_load(importlib.import_module(f"{place}.modules.{module}").DOCUMENTATION)["options"]
    # The list takes the same options as a single one.
    item = options[many].pop("suboptions")
    assert all(options[name].get("suboptions") == option.get("suboptions") for name, option in item.items())
    table, elsewhere = libvirt_options.TABLES[module], libvirt_options.ELSEWHERE[module]
    assert sorted(paths({**options, **fragment["options"]})) == sorted([*table, *elsewhere])
    for name, row in table.items():
        assert row.first != row.second, name
    tests = "".join(path.read_text() for path in (CHECKOUT / "tests/integration").glob("test_*.py"))
    for name, test in elsewhere.items():
        assert re.search(rf"^def {test}\(", tests, re.M), f"{name}: there is no {test}"

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions of the controller print works as printed."""

from __future__ import annotations

import os

import pytest
from ansible import constants

from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import in_inventory
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.state import why

SHOWN = (
    "look here: ansible kvm1 -m ansible.builtin.ping; then on kvm2: ping -c 3 192.0.2.1, and ansible-playbook site.yml"
)


@pytest.mark.parametrize(
    ("sources", "options"),
    [
        ([os.path.join(os.getcwd(), "inventory/mine")], "-i inventory/mine "),
        (["/etc/my hosts", "kvm1,"], "-i '/etc/my hosts' -i kvm1, "),
        ([], ""),
    ],
)
def test_a_command_that_is_shown_names_the_inventory_of_the_run(sources: list[str], options: str) -> None:
    assert in_inventory(SHOWN, sources) == SHOWN.replace("ansible kvm1", f"ansible {options}kvm1")


def test_the_configured_inventory_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_HOST_LIST", ["/here/inventory/lab"])
    assert in_inventory(SHOWN, ["/here/inventory/lab"]) == SHOWN
    assert in_inventory(SHOWN, ["/here/inventory/gre"]) != SHOWN


def test_a_failure_is_told_without_the_words_that_it_is_one() -> None:
    assert why({"msg": "Task failed: Module failed: no such host\nmore"}) == "no such host"
    assert why({"msg": "Task failed: "}) == "Task failed:" and why({}) == "no answer from the host"

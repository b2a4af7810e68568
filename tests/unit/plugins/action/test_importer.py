# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts count as read by import."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.action.importer import _unread

READ: dict[str, t.Any] = {
    "importer_namespaces": {"namespaces": []},
    "importer_switch": {"bridges": [], "tunnels": []},
    "importer_host": {"spaces": {}},
    "importer_guests": {"domains": {}},
    "importer_frr": {"content": ""},
}


@pytest.mark.parametrize(
    ("name", "result", "why"),
    [
        ("importer_frr", {"skipped": True}, None),
        ("importer_guests", {"skipped": True}, None),
        # FRR is there, and has no configuration yet.
        ("importer_frr", {"failed": False, "msg": "file not found: /etc/frr/frr.conf"}, None),
        ("importer_frr", {"failed": True, "msg": "file is not readable: /etc/frr/frr.conf"}, "file is not readable"),
        ("importer_guests", {"failed": True, "msg": "uri qemu:///system cannot be connected to\nmore"}, "cannot be"),
        ("importer_switch", {"unreachable": True}, "it does not answer"),
        ("importer_host", None, "it does not answer"),
    ],
)
def test_a_host_counts_as_read_without_what_it_does_not_have(name: str, result: t.Any, why: str | None) -> None:
    assert _unread(READ) is None
    said = _unread({**READ, name: result})
    assert said is None if why is None else why in str(said) and "\n" not in str(said)

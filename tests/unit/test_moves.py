# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role kvm_host takes off the old host of an endpoint that has moved: nothing before the new one has it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

ROLE = pathlib.Path(__file__).resolve().parents[2] / "roles/kvm_host"
OURS = {"owner": "test"}
# web and db were on kvm1, with a container, a service and clients of DHCP. kvm1 has a dup of its own, and kvm2 one that may move.
PLAN: dict[str, t.Any] = {
    "movable": {"web": "kvm2", "db": "kvm3", "dup": "kvm2"},
    "hosts": dict.fromkeys(
        ("kvm1", "kvm2", "kvm3"),
        {
            "owner": "test",
            "containers": [],
            "services": [],
            "dhcp_clients": [{"name": "dup"}],
            "dhcp_servers": [],
            "namespaces": [{"name": "dup"}],
        },
    ),
}
FOUND: dict[str, t.Any] = {
    "containers": [{**OURS, "name": name} for name in ("web", "db", "former")],
    "placed": [{**OURS, "name": f"{name}.service", "namespace": name} for name in ("web", "db", "former")],
    "dhcp": [{**OURS, "name": name, "kind": "client"} for name in ("web", "db", "former", "dup")],
}
SHOWN = {
    "containers": ("kvm_host_containers_gone", "kvm_host_containers_moved"),
    "services": ("kvm_host_services_gone", "kvm_host_services_moved"),
    # Those that the first purge keeps, and the last.
    "namespaces": ("kvm_host_elsewhere", "kvm_host_awaited"),
    "clients": ("kvm_host_dhcp_gone.clients", "kvm_host_dhcp_moved.clients"),
}


def of_kvm1(folder: pathlib.Path, failed: str, *options: str) -> dict[str, list[list[str]]]:
    """What kvm1 removes of each kind, at once and at the end of the moves, in a run in which a host has failed."""
    shown = ", ".join(f"'{kind}': [{', '.join(names)}]" for kind, names in SHOWN.items())
    unless = [{"name": "Fail", "ansible.builtin.fail": {}, "when": f"inventory_hostname == '{failed}'"}]
    content = {"content": f"{{{{ {{{shown}}} | to_json }}}}", "dest": f"{folder}/seen"}
    values = {"fabric_plan": PLAN, "kvm_host_found": FOUND, "ansible_connection": "local"}
    common: dict[str, t.Any] = {"hosts": "all", "gather_facts": False}
    looked = {"name": "Show", "ansible.builtin.copy": content, "when": "inventory_hostname == 'kvm1'"}
    plays = [
        {**common, "tasks": unless},
        {**common, "vars_files": [f"{ROLE}/vars/main.yml"], "vars": values, "tasks": [looked]},
    ]
    (folder / "play.yml").write_text(json.dumps(plays), encoding="utf-8")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "kvm1,kvm2,kvm3,", *options, str(folder / "play.yml")]
    subprocess.run(command, check=False, capture_output=True, env={**os.environ, "ANSIBLE_LOCALHOST_WARNING": "0"})
    seen: dict[str, list[list[str]]] = json.loads((folder / "seen").read_text(encoding="utf-8"))
    return {kind: [sorted(names) for names in lists] for kind, lists in seen.items()}


@pytest.mark.parametrize(
    ("failed", "options", "moved"),
    [
        ("", (), ["db", "web"]),
        ("kvm2", (), ["db"]),
        ("", ("--limit", "kvm1,kvm2"), ["web"]),
        ("", ("--limit", "kvm1"), []),
    ],
)
def test_only_what_a_built_host_has_by_now_goes(
    tmp_path: pathlib.Path, failed: str, options: tuple[str, ...], moved: list[str]
) -> None:
    seen = of_kvm1(tmp_path, failed, *options)
    arrived = {*moved, *(["dup"] if "web" in moved else [])}
    services = [f"{name}.service" for name in moved]
    # What is declared on kvm1 itself stays, though it is called like one of another host's.
    assert seen == {
        "containers": [["former"], moved],
        "services": [["former.service"], services],
        "namespaces": [["db", "dup", "web"], sorted({"db", "web", "dup"} - arrived)],
        "clients": [["former"], moved],
    }

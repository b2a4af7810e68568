# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When verify reads a host once more: Ansible itself judges the conditions of the role's tasks."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import typing as t

import yaml

Item = t.Dict[str, t.Any]
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
PLAN: Item = {"hosts": {"localhost": {"bridges": [{"name": "br-int"}]}}}


def tasks(found: t.Any) -> t.Iterator[Item]:
    """Each task of a file, those of blocks too."""
    for one in found:
        yield one
        yield from tasks(one.get("block", ()))


def task(name: str, register: str) -> Item:
    """A task of the role verify by what it registers."""
    text = (CHECKOUT / f"roles/verify/tasks/{name}.yml").read_text(encoding="utf-8")
    return next(one for one in tasks(yaml.safe_load(text)) if one.get("register") == register)


def read(count: int | None = 3, **more: t.Any) -> Item:
    """What status_info returned."""
    bridges = [{"name": "br-int", "flow_count": count}, {"name": "of-others", "flow_count": None}, {"name": "fake"}]
    return {"failed": False, "changed": False, "unread": {}, "bridges": bridges, **more}


READINGS = {
    "whole": (read(), True),
    "a switch that does not answer for its flows": (read(None), False),
    "a switch that has no flow yet": (read(0), False),
    "a switch that does not answer at all": (read(bridges=[], unread={"switch": "no such file"}), False),
    "a service that does not answer": (read(unread={"services": "timed out"}), False),
    "a module that failed": ({"failed": True, "msg": "x"}, False),
}


def test_what_could_not_be_read_is_read_again_a_few_times(tmp_path):
    asks = task("measure", "verify_read")
    assert asks["retries"] * asks["delay"] <= 10 and task("flows", "verify_flows")["retries"] <= 5
    checks = [
        {
            "name": name,
            "ansible.builtin.assert": {"that": [asks["until"] if whole else f"not ({asks['until']})"]},
            "vars": {"verify_read": reading, "fabric_plan": PLAN},
        }
        for name, (reading, whole) in READINGS.items()
    ]
    play = [{"name": "Conditions", "hosts": "localhost", "gather_facts": False, "tasks": checks}]
    (tmp_path / "play.yml").write_text(json.dumps(play))
    program = pathlib.Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run([program, "play.yml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and f"ok={len(checks)} " in done.stdout, done.stdout + done.stderr

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Outputs: prints what a fabric gives its user, and writes it for programs. The work is done in plugin_utils."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import ControllerAction, display
from ansible_collections.overloom.fabric.plugins.plugin_utils._outputs import ways
from ansible_collections.overloom.fabric.plugins.plugin_utils._outputs.entries import render, restart_sentence, told

FILES = ("outputs.json", "ssh_config", "guests.yml")


class ActionModule(ControllerAction):
    """Runs on the controller and touches no host."""

    ARGUMENTS = {"plan": {"type": "dict", "required": True}, "report": {"type": "path"}}

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        plan, folder = options["plan"], options["report"]
        found = told(plan["outputs"], _restarts(variables))
        lines = [render(found)]
        if folder:
            _report_files.write(folder, _files(plan, variables["hostvars"], os.path.abspath(folder)))
            files = ", ".join(os.path.join(folder, name) for name in FILES)
            lines.append(f"  in full, for programs, for ssh -F and for a next play: {files}")
        display(lines)
        warnings = [restart_sentence(output) for output in found if output["restart_required"]]
        return {"outputs": found, "warnings": warnings}


def _files(plan: dict[str, t.Any], hostvars: t.Any, folder: str) -> dict[str, str]:
    """The files by their names; they have the whole plan, whatever hosts the run reached. folder: absolute."""
    hosts: dict[str, dict[str, t.Any]] = {}
    for name in {*plan["hosts"], *plan["routers"]}:
        hosts[name] = {variable: hostvars[name][variable] for variable in ways.VARIABLES if variable in hostvars[name]}
    root = os.geteuid() == 0
    guests = ways.guests(plan, hosts, root)
    texts = (
        json.dumps(ways.document(plan, hosts, root), indent=1) + "\n",
        ways.ssh_config(plan["fabric"], guests),
        ways.inventory(plan["fabric"], guests, os.path.join(folder, "ssh_config")),
    )
    return dict(zip(FILES, texts))


def _restarts(task_vars: dict[str, t.Any]) -> dict[str, dict[str, list[str]]]:
    """For each host that the run reached, the options that a running guest does not have yet. The guests' roles keep what their module returned."""
    found: dict[str, dict[str, list[str]]] = {}
    for host in task_vars.get("ansible_play_hosts", ()):
        guests = found.setdefault(str(host), {})
        for role in ("linux", "veos", "chr"):
            made = task_vars["hostvars"][host].get(f"{role}_guest_made_guests") or {}
            for guest, options in made.get("restart_required", {}).items():
                guests[str(guest)] = [str(option) for option in options]
    return found

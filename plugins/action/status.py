# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Status: holds what was read of the hosts against the plan, and shows the fabric at a glance. The work is done in plugin_utils."""

from __future__ import annotations

import json
import os
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import (
    ControllerAction,
    display,
    failed,
    write_json,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._status import show, summary

FILE = "status.json"


class ActionModule(ControllerAction):
    """Runs on the controller; another task read the hosts, so check mode is the same."""

    ARGUMENTS = {
        "plan": {"type": "dict", "required": True},
        "observed": {"type": "str", "required": True},
        "report": {"type": "path"},
        "prometheus": {"type": "path"},
    }

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        seen = {
            str(host): variables["hostvars"][host].get(options["observed"]) or {}
            for host in variables["ansible_play_hosts_all"]
        }
        folder = options["report"]
        report = summary.report(options["plan"], seen, time.time(), _earlier(folder))
        display(show.lines(report), variables)
        write_json(folder, FILE, report)
        if options["prometheus"]:
            where, name = os.path.split(options["prometheus"])
            _report_files.write(where or ".", {name: show.prometheus(report)})
        # What is wrong is in the report, and on the terminal: here it would be a second time.
        wrong = {} if report["passed"] else failed(show.sentence(report))
        return {"passed": report["passed"], "problems": len(report["problems"]), **wrong}


def _earlier(folder: str | None) -> dict[str, t.Any] | None:
    """The report of an earlier run, if there is a readable one."""
    try:
        with open(os.path.join(folder or "", FILE), encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "time" in found else None

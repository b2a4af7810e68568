# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Status: holds what was read of the hosts against the plan, and shows the fabric at a glance. The work is done in plugin_utils."""

from __future__ import annotations

import json
import os
import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._status import show, summary

FILE = "status.json"
ARGUMENTS = {
    "plan": {"type": "dict", "required": True},
    "observed": {"type": "str", "required": True},
    "report": {"type": "path"},
    "prometheus": {"type": "path"},
}


class ActionModule(ActionBase):
    """Runs on the controller; another task read the hosts, so check mode is the same."""

    _requires_connection = False
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        seen = {
            str(host): variables["hostvars"][host].get(options["observed"]) or {}
            for host in variables["ansible_play_hosts_all"]
        }
        folder = options["report"]
        report = summary.report(options["plan"], seen, time.time(), _earlier(folder))
        Display().display("\n".join(["", *show.lines(report), ""]))
        if folder:
            _report_files.write(folder, {FILE: json.dumps(report, indent=1) + "\n"})
        if options["prometheus"]:
            where, name = os.path.split(options["prometheus"])
            _report_files.write(where or ".", {name: show.prometheus(report)})
        # What is wrong is in the report, and on the terminal: here it would be a second time.
        result.update(changed=False, passed=report["passed"], problems=len(report["problems"]))
        if not report["passed"]:
            result.update(failed=True, msg=show.sentence(report))
        return result


def _earlier(folder: str | None) -> dict[str, t.Any] | None:
    """The report of an earlier run, if there is a readable one."""
    try:
        with open(os.path.join(folder or "", FILE), encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "time" in found else None

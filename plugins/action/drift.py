# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift: shows what the roles of site.yml found in check mode. The work is done in plugin_utils."""

from __future__ import annotations

import json
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._drift import report as drift_report
from ansible_collections.overloom.fabric.plugins.plugin_utils._drift import show

FILE = "drift.json"
ARGUMENTS = {"plan": {"type": "dict", "required": True}, "report": {"type": "path"}}


class ActionModule(ActionBase):
    """Runs on the controller; other tasks looked at the hosts, so check mode is the same."""

    _requires_connection = False
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        seen = {str(host): _seen(variables["hostvars"][host]) for host in variables["ansible_play_hosts_all"]}
        report = drift_report.report(options["plan"], seen)
        Display().display("\n".join(["", *show.lines(report), ""]))
        if options["report"]:
            _report_files.write(options["report"], {FILE: json.dumps(report, indent=1) + "\n"})
        counts = {name: len(report[name]) for name in ("differing", "orphaned", "restarts", "foreign")}
        result.update(changed=False, passed=report["passed"], **counts)
        if not report["passed"]:
            result.update(failed=True, msg=show.sentence(report))
        return result


def _seen(variables: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the roles kept of a host."""
    made = {name: variables[name] for name in variables if drift_report.KEPT.fullmatch(name)}
    return {
        "others": variables.get("drift_others") or {},
        "failed": variables.get("drift_failed") or [],
        "made": {name: result for name, result in made.items() if isinstance(result, dict)},
    }

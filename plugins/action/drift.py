# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift: shows what the roles of site.yml found in check mode. The work is done in plugin_utils."""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import (
    ControllerAction,
    display,
    failed,
    write_json,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._drift import report as drift_report
from ansible_collections.overloom.fabric.plugins.plugin_utils._drift import show

FILE = "drift.json"


class ActionModule(ControllerAction):
    """Runs on the controller; other tasks looked at the hosts, so check mode is the same."""

    ARGUMENTS = {"plan": {"type": "dict", "required": True}, "report": {"type": "path"}}

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        seen = {str(host): _seen(variables["hostvars"][host]) for host in variables["ansible_play_hosts_all"]}
        report = drift_report.report(options["plan"], seen)
        display(show.lines(report))
        write_json(options["report"], FILE, report)
        counts = {name: len(report[name]) for name in ("differing", "orphaned", "restarts", "foreign")}
        return {"passed": report["passed"], **counts, **({} if report["passed"] else failed(show.sentence(report)))}


def _seen(variables: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the roles kept of a host."""
    made = {name: variables[name] for name in variables if drift_report.KEPT.fullmatch(name)}
    return {
        "others": variables.get("drift_others") or {},
        "failed": variables.get("drift_failed") or [],
        "made": {name: result for name, result in made.items() if isinstance(result, dict)},
        "members": variables.get("ovn_central_members") or {},
    }

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify: derives what every host measures, and judges what came of it. The work is done in plugin_utils."""
from __future__ import annotations

import json
import os
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.overloom.fabric.plugins.plugin_utils import _report, _verify
from ansible_collections.overloom.fabric.plugins.plugin_utils._expectations import expectations, points_of

# The report's files hold all of them.
FAILURES_RETURNED = 5
OBSERVED = (*_verify.ROUNDS, "denied", "bridges", "tunnels", "namespaces", "flows")
OPTIONAL = ("routers",)
ARGUMENTS = {
    "plan": {"type": "dict", "required": True},
    "observed": {"type": "dict", "options": {
        **{name: {"type": "str", "required": True} for name in OBSERVED},
        **{name: {"type": "str"} for name in OPTIONAL},
    }},
    "report": {"type": "path"},
    "isolation_limit": {"type": "int", "default": 2000},
}


class ActionModule(ActionBase):
    """Runs on the controller; the hosts were measured by other tasks, so check mode is the same."""

    _requires_connection = False
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        result["changed"] = False
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        plan = options["plan"]
        expected = expectations(plan, options["isolation_limit"])
        if not options["observed"]:
            result["hosts"], result["tcp_bytes"] = _verify.options(plan, expected)
            return result
        hostvars = (task_vars or {})["hostvars"]
        observed = {
            host: {key: hostvars[host].get(variable) for key, variable in options["observed"].items()}
            for host in {**plan["hosts"], **plan["routers"]}
            if host in hostvars
        }
        checks = _verify.judge(plan, expected, observed)
        seconds = sum(
            max(((seen.get(name) or {}).get("seconds") or 0 for seen in observed.values()), default=0) for name in (*_verify.ROUNDS, "denied")
        )
        report = _report.summary(plan["fabric"], checks, seconds, expected["isolation"])
        if options["report"]:
            _write(options["report"], report)
        lines = _report.terminal(report, points_of(plan))
        Display().display("\n".join(["", *lines, ""]))
        failures = [check for check in checks if not check["passed"]]
        result.update({key: report[key] for key in ("fabric", "passed", "seconds", "isolation")})
        # `failed` is Ansible's own word in a result: there it says whether the task did.
        result.update(failures=failures[:FAILURES_RETURNED], failed=bool(failures))
        if failures:
            first = failures[0]
            result["msg"] = (
                f"{len(failures)} of {len(checks)} checks failed; the first is {first['kind']} {_report.pair(first)}:"
                f" expected {first['expected']}, observed {first['observed']}. Look {first['look']}."
            )
        return result


def _write(folder: str, report: dict[str, t.Any]) -> None:
    """Put the report's two files in place; each whole or not at all."""
    os.makedirs(folder, exist_ok=True)
    for name, text in (("verify.json", json.dumps(report, indent=1) + "\n"), ("verify.xml", _report.junit(report))):
        path = os.path.join(folder, name)
        with open(path + ".new", "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(path + ".new", path)

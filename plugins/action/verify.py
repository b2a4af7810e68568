# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify: derives what every host measures, and judges what came of it. The work is done in plugin_utils."""

from __future__ import annotations

import json
import random
import typing as t

from ansible.utils.display import Display

from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import ControllerAction, display, failed
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge as _verify
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import report as _report
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import routers as _routers
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.causes import causes
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations, points_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.firewalls import dropped

# Of the ports that IANA leaves for private use, those above the range from which Linux takes the ports of outgoing connections.
PORTS = range(61000, 65536)
FILES = ("verify.json", "verify.xml")
REQUIRED = (*_verify.ROUNDS, "denied", "read", "flows")
OPTIONAL = ("reached", "listening", "pings_again", "transfers_again", "routers", "routers_again", "firewall")


class ActionModule(ControllerAction):
    """Runs on the controller; the hosts were measured by other tasks, so check mode is the same."""

    ARGUMENTS = {
        "plan": {"type": "dict"},
        "observed": {
            "type": "dict",
            "options": {
                **{name: {"type": "str", "required": True} for name in REQUIRED},
                **{name: {"type": "str"} for name in OPTIONAL},
            },
        },
        "again": {"type": "bool", "default": False},
        "report": {"type": "path"},
        "isolation_limit": {"type": "int", "default": 2000},
    }

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        plan = options["plan"]
        if not options["observed"]:
            _report_files.remove(options["report"], FILES)
        if not plan:
            return {}
        expected = expectations(plan, options["isolation_limit"])
        if not options["observed"]:
            # Runs side by side listen on ports of their own.
            return {"hosts": _verify.options(plan, expected), "port": random.choice(PORTS)}
        observed = _observed(plan, options["observed"], variables["hostvars"])
        if options["again"]:
            hosts = _verify.again(plan, expected, observed)
            open_ones = sum(len(probes) for rounds in hosts.values() for probes in rounds.values())
            if open_ones:
                Display().display(
                    f"{open_ones} of the measurements failed, and are taken once more before they are judged"
                )
            firewalls = bool(open_ones) or not all(
                check["passed"] for check in _routers.judge(expected["routers"], observed)
            )
            return {
                "hosts": hosts,
                "count": _verify.COUNT_AGAIN,
                "firewalls": firewalls,
                "routers": bool(open_ones),
            }
        return self._judged(plan, expected, observed, options["report"], variables)

    @staticmethod
    def _judged(
        plan: dict[str, t.Any],
        expected: dict[str, t.Any],
        observed: dict[str, t.Any],
        folder: str | None,
        variables: dict[str, t.Any],
    ) -> dict[str, t.Any]:
        """Judge, report, and return what the task says of it."""
        checks = _verify.judge(plan, expected, observed)
        down = {host: reason for host in observed for reason in [_verify.unreached(observed, host)] if reason}
        report = _report.summary(plan["fabric"], checks, _seconds(observed), expected["isolation"])
        seen = {host: one.get("firewall") or {} for host, one in observed.items()}
        report["causes"] = causes(plan, checks, down, dropped(plan, seen))
        report["underlay"] = _verify.underlay(plan, expected, observed)
        if folder:
            texts = (json.dumps(report, indent=1) + "\n", _report.junit(report))
            _report_files.write(folder, dict(zip(FILES, texts)))
        display(_report.terminal(report, points_of(plan)), variables)
        measured = sum("unmeasured" not in check and not check.get("unread") for check in checks)
        result = {key: report[key] for key in ("fabric", "passed", "seconds", "isolation")}
        # What failed is in the report, and on the terminal: here it would be a second time.
        result["failed_checks"] = report["failed"]
        if report["failed"]:
            result.update(failed(_report.sentence(report, folder)))
        elif not measured:
            result.update(failed("Nothing was measured: the plan has no host that could be asked for anything."))
        return result


def _observed(plan: dict[str, t.Any], variables: dict[str, str | None], hostvars: t.Any) -> dict[str, dict[str, t.Any]]:
    """For each host of the plan what its tasks have registered."""
    found = {}
    for host in {**plan["hosts"], **plan["routers"]}:
        if host in hostvars:
            found[host] = {key: hostvars[host].get(variable) for key, variable in variables.items() if variable}
    return found


def _seconds(observed: dict[str, dict[str, t.Any]]) -> float:
    """How long the slowest host measured, all rounds together."""
    rounds = (*_verify.ROUNDS, "pings_again", "transfers_again", "denied")
    total: float = 0
    for name in rounds:
        total += max(((seen.get(name) or {}).get("seconds") or 0 for seen in observed.values()), default=0)
    return total

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drill: says what is cut and who watches, judges each cut, and reports. The work is done in plugin_utils."""

from __future__ import annotations

import json
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._drill.watch import check_times
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import (
    ControllerAction,
    display,
    failed,
    write_json,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._drill import cuts, report
from ansible_collections.overloom.fabric.plugins.plugin_utils._impair.places import ImpairError, cables_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._status import summary

FILE = "drill.json"
REBOOT = 20


class ActionModule(ControllerAction):
    """One task a stage: `planned`, `begun` and `judged` for each cut, `reported`."""

    ARGUMENTS: t.ClassVar[dict[str, t.Any]] = {
        "plan": {"type": "dict", "required": True},
        "stage": {"type": "str", "choices": ["planned", "begun", "judged", "reported"], "required": True},
        "cables": {"type": "list", "elements": "list", "default": []},
        "kinds": {"type": "list", "elements": "str", "default": list(cuts.KINDS)},
        "hosts": {"type": "bool", "default": False},
        "seconds": {"type": "int", "default": 0},
        "lead": {"type": "int", "default": 5},
        "recovery": {"type": "int", "default": 60},
        "number": {"type": "int", "default": 0},
        "drill": {"type": "dict", "default": {}},
        "results": {"type": "list", "elements": "dict", "default": []},
        "before": {"type": "str"},
        "observed": {"type": "str"},
        "compare": {"type": "path"},
        "report": {"type": "path", "default": "reports"},
    }

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        stages = {"planned": _planned, "begun": _begun, "judged": _judged, "reported": _reported}
        found = stages[options["stage"]](options, variables)
        if options["stage"] == "planned" and self._task.check_mode and "drill" in found:
            display(report.foretold(found["drill"]))
        return found


Values = t.Dict[str, t.Any]


def _planned(options: Values, variables: Values) -> Values:
    """The cuts, and what each host pings meanwhile."""
    plan = options["plan"]
    unknown = sorted(set(options["kinds"]) - set(cuts.KINDS))
    if unknown:
        return failed(f"drill_kinds: {unknown[0]!r} is none of {', '.join(cuts.KINDS)}.")
    try:
        if options["compare"]:
            _earlier(options["compare"])
        check_times(options, "drill_")
        found = cuts.drill(plan, cables_of(plan, options["cables"]), options["hosts"], options["kinds"])
        length = cuts.seconds(plan, options["seconds"])
    except ImpairError as error:
        return failed(str(error))
    except FabricError as error:
        return failed(f"{error}.")
    missing = sorted(_needed(found) - set(variables["ansible_play_hosts_all"]))
    if missing:
        return failed(f"{missing[0]} would be cut or measured, but is not among the hosts of this run; extend --limit.")
    for cut in found["cuts"]:
        # What a host needs to go down, at least: it is back when it is back.
        cut["seconds"] = max(length, REBOOT) if cut["kind"] == "host" else length
    probes: dict[str, list[Values]] = {}
    for pair in found["pairs"]:
        row = {"pair": f"{pair['from']} {pair['to']}", "namespace": pair["sender"]["namespace"], "to": pair["address"]}
        probes.setdefault(pair["from"].partition("/")[0], []).append(row)
    display([f"  {len(found['cuts'])} cuts of {length} s, {len(found['pairs'])} pairs measured"])
    return {"drill": {**found, "seconds": length, "probes": probes}}


def _needed(found: Values) -> set[str]:
    hosts = {host for cut in found["cuts"] for host in cut["places"]}
    return hosts | {cut["name"] for cut in found["cuts"] if cut["kind"] in ("router", "host")}


def _begun(options: Values, _variables: Values) -> Values:
    """Tell what is cut now."""
    every, number = options["drill"]["cuts"], options["number"]
    cut = every[number]
    display([f"  cutting {cut['kind']} {cut['name']}, {number + 1} of {len(every)}, {cut['seconds']} s"])
    return {}


def _seen(name: str, variables: Values) -> Values:
    """What a task returned on each host of the run."""
    hostvars = variables["hostvars"]
    return {str(host): hostvars[host].get(name) or {} for host in variables["ansible_play_hosts_all"]}


def _judged(options: Values, variables: Values) -> Values:
    """What came of a cut."""
    drill = options["drill"]
    result = report.judge(drill["cuts"][options["number"]], drill["pairs"], _seen(options["observed"], variables))
    display(report.lines(result))
    return {"result": result}


def _reported(options: Values, variables: Values) -> Values:
    """The report."""
    before, after = (_problems(options["plan"], _seen(options[key], variables)) for key in ("before", "observed"))
    whole = report.report(options["plan"]["fabric"], options["results"], before, after)
    try:
        compared = report.compare(_earlier(options["compare"]), whole) if options["compare"] else None
    except ImpairError as error:
        return failed(str(error))
    display(report.closing(whole, compared))
    _report_files.remove(options["report"], [FILE])
    write_json(options["report"], FILE, {**whole, "time": round(time.time(), 3), "compared": compared})
    done = {"passed": whole["passed"], "compared": compared}
    return done if whole["passed"] else {**done, **failed(report.sentence(whole))}


def _problems(plan: Values, seen: Values) -> list[str]:
    """What status finds not as planned, and what is impaired."""
    found = summary.report(plan, seen, time.time())
    problems = [f"{row['kind']} {row['from']} {row['to']}: {row['observed']}" for row in found["problems"]]
    return problems + [f"{row['host']} {row['interface']} is impaired by {row['name']}" for row in found["impaired"]]


def _earlier(path: str) -> Values:
    """The report of an earlier drill. Raises ImpairError."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError) as error:
        raise ImpairError(f"drill_compare: {path} cannot be read ({error}); give the drill.json of a drill.") from None
    if not isinstance(found, dict) or "cuts" not in found:
        raise ImpairError(f"drill_compare: {path} is no report of a drill; give the drill.json of one.")
    return found

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture: says what each host on a packet's way takes, and merges what they took. The work is done in plugin_utils."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._capture import merge, points, show
from ansible_collections.overloom.fabric.plugins.plugin_utils._capture.pcapng import pcapng
from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import ControllerAction, display, failed
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Packet, Route, TraceError


class ActionModule(ControllerAction):
    """Runs on the controller; another task takes the packets, so check mode is the same."""

    ARGUMENTS = {
        "plan": {"type": "dict", "required": True},
        "from": {"type": "str", "required": True},
        "to": {"type": "str", "required": True},
        "seconds": {"type": "int", "default": 10},
        "packets": {"type": "int", "default": 1000},
        "snap": {"type": "int", "default": 256},
        "ping": {"type": "bool", "default": True},
        "observed": {"type": "str"},
        "report": {"type": "path", "default": "reports"},
    }

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        name = f"capture-{_plain(options['from'])}-{_plain(options['to'])}.pcapng"
        if not options["observed"]:
            _report_files.remove(options["report"], [name])
        try:
            if not 4 <= options["seconds"] <= 600:
                raise TraceError(f"seconds {options['seconds']}: give a number of 4 to 600.")
            way = Route(options["plan"], options["from"], options["to"], Packet())
        except TraceError as error:
            return failed(str(error))
        found = points.points(way)
        if not options["observed"]:
            bounds = {key: options[key] for key in ("seconds", "packets", "snap")}
            return {"hosts": points.questions(way, found, options["ping"], bounds)}
        hostvars = variables["hostvars"]
        hosts = {point["host"] for point in found}
        seen = {host: (hostvars[host].get(options["observed"]) or {}) if host in hostvars else {} for host in hosts}
        return _merged(way, found, seen, options, name)


def _plain(name: str) -> str:
    """A name as a part of a file's."""
    return re.sub(r"[^\w.-]+", "_", name)


def _merged(
    way: Route, found: list[dict[str, t.Any]], seen: dict[str, t.Any], options: dict[str, t.Any], name: str
) -> dict[str, t.Any]:
    """The file, the table, and what the task says of it."""
    merged = merge.merge(found, seen, way.packet.family)
    report = {"from": way.source.id, "to": way.target.id, "seconds": options["seconds"], **merged}
    report["passed"] = show.arrived(report)
    path = os.path.join(options["report"], name)
    comment = f"{way.source.id} to {way.target.id}, fabric {way.plan['fabric']}"
    _report_files.write(options["report"], {name: pcapng(merged["points"], merged["packets"], comment)})
    display([*show.lines(report), f"    {len(merged['packets'])} packets in {path}"])
    if report["passed"]:
        return {"path": path, "points": merged["points"], "passed": True}
    # The table is on the terminal: here it would be a second time.
    told = show.sentence(report)
    return {"path": path, "passed": False, **failed(f"{told[0].upper()}{told[1:]}.")}

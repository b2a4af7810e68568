# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trace: says what the hosts on a packet's way are asked, and where it ends by what they answered. The work is done in plugin_utils."""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import (
    ControllerAction,
    display,
    failed,
    write_json,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import draw, walk
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.packet import DEFAULT_SIZE, PROTOCOLS, Packet
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route, TraceError

FILE = "trace.json"
OBSERVED = ("read", "routers", "probe", "again", "routers_again", "probe_again")


class ActionModule(ControllerAction):
    """Runs on the controller; other tasks read the hosts, so check mode is the same."""

    ARGUMENTS = {
        "plan": {"type": "dict", "required": True},
        "from": {"type": "str", "required": True},
        "to": {"type": "str", "required": True},
        "protocol": {"type": "str", "choices": list(PROTOCOLS), "default": "icmp"},
        "port": {"type": "int"},
        "size": {"type": "int", "default": DEFAULT_SIZE},
        "observed": {"type": "dict", "options": {name: {"type": "str"} for name in OBSERVED}},
        "report": {"type": "path"},
    }

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        if not options["observed"]:
            _report_files.remove(options["report"], [FILE])
        try:
            way = _way(options)
        except TraceError as error:
            return failed(str(error))
        if not options["observed"]:
            return _questions(way)
        return _judged(way, options, variables)


def _way(options: dict[str, t.Any]) -> Route:
    size, port = options["size"], options["port"]
    if not 28 <= size <= 65535:
        raise TraceError(f"size {size}: give the length of the IP packet in bytes, of 28 to 65535.")
    if options["protocol"] == "icmp" and port:
        raise TraceError(f"port {port}: ICMP has none; give protocol tcp or udp, too.")
    if port is not None and not 0 < port < 65536:
        raise TraceError(f"port {port}: give one of 1 to 65535.")
    return Route(options["plan"], options["from"], options["to"], Packet(options["protocol"], port, size))


def _questions(way: Route) -> dict[str, t.Any]:
    """What each host is asked, who asks FRR, and who sends."""
    asked = way.questions()
    routers = [name for name in asked if way.plan["routers"].get(name, {}).get("managed")]
    prefixes = way.prefixes(asked)
    return {
        "hosts": asked,
        "routers": routers,
        "prefixes": prefixes,
        "sender": way.source.host,
        "probe": way.probe(),
    }


def _judged(way: Route, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
    """The verdict, its report, and what the task says of it."""
    names, hostvars = options["observed"], variables["hostvars"]

    def registered(host: str, name: str) -> dict[str, t.Any]:
        return (hostvars[host].get(names[name]) or {}) if names[name] and host in hostvars else {}

    def read(name: str, routers: str) -> dict[str, t.Any]:
        return {host: {**registered(host, name), "frr": registered(host, routers)} for host in way.questions()}

    seen = read("read", "routers")
    probes = [registered(way.source.host or "", name).get("observed") for name in ("probe_again", "probe")]
    measured = next((found[0] for found in probes if found), None)
    if names["again"]:
        report = walk.judge_again(way, seen, read("again", "routers_again"), measured)
    else:
        report = walk.judge(way, seen, measured)
        if report["unsure"]:
            # A host with much to do may have answered too late, and a fabric may have settled since it was read.
            return {"undecided": True, "settle": walk.patience(report), "hosts": way.questions_again(seen)}
    display(draw.lines(report), variables)
    write_json(options["report"], FILE, {"fabric": way.plan["fabric"], **report})
    wrong = {} if report["passed"] else failed(draw.sentence(report))
    return {**{name: report[name] for name in ("undecided", "passed", "died")}, **wrong}

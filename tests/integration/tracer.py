# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reads and the judgement of the role trace, without Ansible's start of each task: the same modules, the same plan, in a second."""

from __future__ import annotations

import concurrent.futures
import hashlib
import time
import typing as t

from harness import Lab
from verifier import give_library

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import counters, draw, walk
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Packet, Route

Item = t.Dict[str, t.Any]

PING = Packet()

# What a person or a fabric has set on a host, without counters, ages and caches.
STATE = (
    "ovs-vsctl --format=json --columns=name,ports,fail_mode,controller,external_ids,other_config list bridge",
    "ovs-vsctl --format=json --columns=name,tag,trunks,vlan_mode,external_ids,other_config list port",
    "ovs-vsctl --format=json --columns=name,type,options,external_ids,ofport_request list interface",
    "ip -oneline -details link",
    "ip -json address",
    "ip -json route show table all",
    "ip -json rule",
    "nft list ruleset",
    "ip netns list",
    "find /etc/overloom /var/lib/overloom /etc/frr /etc/systemd/system -type f -newermt 2000-01-01 -printf %p:%s:%T@\\n",
)
SPACE = ("ip -json address", "ip -json route show table all", "nft list ruleset")


class Tracer:
    """Traces in one fabric."""

    def __init__(self, plan: Item, lab: Lab) -> None:
        self.plan = plan
        self.hosts = {name: lab.host(name) for name in {**plan["hosts"], **plan["routers"]}}
        for host in self.hosts.values():
            give_library(host)

    def run(self, source: str, target: str, packet: Packet = PING, measure: bool = True) -> Item:
        """Read, send, and judge; the report."""
        way = Route(self.plan, source, target, packet)
        asked = way.questions()
        probe = way.probe() if measure else None
        with concurrent.futures.ThreadPoolExecutor(max_workers=len(asked) + 1) as pool:
            # The role sends when it has read: what a packet leaves behind is not what it met.
            seen = dict(zip(asked, pool.map(lambda host: self.read(host, asked[host]), asked)))
        sender = self.hosts[way.source.host or ""]
        sent = self.ask(sender.name, "probe", {**probe, "settle": 0.7}) if probe else {}
        report = walk.judge(way, seen, next(iter(sent.get("observed") or []), None))
        if report["unsure"] and probe:
            sent = self.ask(sender.name, "probe", {**probe, "settle": 5})
            report = walk.judge(way, seen, next(iter(sent.get("observed") or []), None))
        if report["undecided"]:
            after = {host: self.read(host, asked[host]) for host in asked}
            counters.decide(way, report, seen, after)
        report["lines"] = draw.lines(report)
        return report

    def read(self, host: str, options: Item) -> Item:
        """What the role reads of a host."""
        found = self.ask(host, "trace_info", options)
        if self.plan["routers"].get(host, {}).get("managed"):
            found["frr"] = self.ask(host, "frr_info", {"gather": ["ospf", "bgp", "ospf_interfaces", "bgp_reasons"]})
        return found

    def ask(self, host: str, module: str, options: Item) -> Item:
        """Run a module on a host that may be down."""
        if self.hosts[host].leader is None:
            return {"unreachable": True, "msg": "the host does not answer"}
        return self.hosts[host].module(module, options, ok=None)

    def passes(self, source: str, target: str, seconds: float, measure: bool = False) -> Item:
        """Trace until the packet arrives, for so long at most; the last report. measure: packets, too."""
        until = time.monotonic() + seconds
        while True:
            report = self.run(source, target, measure=measure)
            if report["passed"] or time.monotonic() > until:
                return report
            time.sleep(0.2)

    def state(self, host: str) -> dict[str, str]:
        """What is set on a host, by the command that shows it."""
        found = {line: self.hosts[host].run(line.split(), ok=None) for line in STATE}
        names = [line.split()[0] for line in found["ip netns list"].splitlines() if line.strip()]
        for name in sorted(names):
            for line in SPACE:
                found[f"{name}: {line}"] = self.hosts[host].run(["ip", "netns", "exec", name, *line.split()], ok=None)
        for bridge in self.hosts[host].run(["ovs-vsctl", "list-br"], ok=None).split():
            flows = self.hosts[host].run(["ovs-ofctl", "--no-stats", "dump-flows", bridge], ok=None)
            found[f"flows of {bridge}"] = hashlib.sha256(flows.encode()).hexdigest()
        return found

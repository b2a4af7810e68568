# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reads and the judgement of the role trace, without Ansible's start of each task: the same modules, the same plan, in a second.

    python tests/integration/tracer.py INVENTORY RUNS [--load PROCESSES]

traces a sound lab that stands so many times, each pair that its plan has in turn, with processes beside it that keep the processors busy,
and counts the traces that found fault.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import itertools
import time
import typing as t

from harness import Lab
from verifier import chosen_runs, expectations, give_library, plan_of

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import draw, walk
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
        self.prefixes: list[str] = []
        self.hosts = {name: lab.host(name) for name in {**plan["hosts"], **plan["routers"]}}
        for host in self.hosts.values():
            give_library(host)

    def run(self, source: str, target: str, packet: Packet = PING, measure: bool = True) -> Item:
        """Read, send, and judge; the report."""
        way = Route(self.plan, source, target, packet)
        asked = way.questions()
        self.prefixes = way.prefixes(asked)
        probe = way.probe() if measure else None
        sender = way.source.host or ""
        # The role sends when it has read: what a packet leaves behind is not what it met.
        seen = self.read_all(asked)
        measured = self.send(sender, {**probe, "settle": 0.7}) if probe else None
        report = walk.judge(way, seen, measured)
        if report["unsure"] and probe:
            measured = self.send(sender, {**probe, "settle": walk.patience(report)}) or measured
            report = walk.judge_again(way, seen, self.read_all(way.questions_again(seen)), measured)
        report["lines"] = draw.lines(report)
        return report

    def read_all(self, asked: dict[str, Item]) -> dict[str, Item]:
        """What the role reads of all hosts on the way."""
        with concurrent.futures.ThreadPoolExecutor(max_workers=len(asked) + 1) as pool:
            return dict(zip(asked, pool.map(lambda host: self.read(host, asked[host]), asked)))

    def send(self, sender: str, probe: Item) -> Item | None:
        """What came back of the packets that the role sends; None when none were sent."""
        observed: list[Item] = self.ask(sender, "probe", probe).get("observed") or []
        return next(iter(observed), None)

    def read(self, host: str, options: Item) -> Item:
        """What the role reads of a host."""
        found = self.ask(host, "trace_info", options)
        if self.plan["routers"].get(host, {}).get("managed"):
            gather = ["ospf", "bgp", "ospf_interfaces", "bgp_reasons", "routes", "running_config"]
            found["frr"] = self.ask(host, "frr_info", {"gather": gather, "prefixes": self.prefixes})
        return found

    def ask(self, host: str, module: str, options: Item) -> Item:
        """Run a module on a host that may be down."""
        if self.hosts[host].leader is None:
            return {"unreachable": True, "msg": "the host does not answer"}
        return self.hosts[host].module(module, options, ok=None)

    def passes(self, source: str, target: str, seconds: float, measure: bool = False) -> Item:
        """Trace until the packet arrives, for so long at most; the last report.

        measure: packets, too. Then until nothing is remarked either: after a boot or a change, packets may be answered before all has settled.
        """
        until = time.monotonic() + seconds
        while True:
            report = self.run(source, target, measure=measure)
            sound = report["passed"] and not (measure and report["remark"])
            if sound or time.monotonic() > until:
                return report
            time.sleep(0.2)

    def converge(self, *pairs: tuple[str, str], seconds: float = 90) -> None:
        """Wait until each of the pairs is sound: after a boot or a change, routes and what switches have learned settle."""
        for ends in pairs:
            report = self.passes(*ends, seconds, measure=True)
            assert report["passed"] and not report["remark"], "\n".join(report["lines"])

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


def sound(plan: Item) -> list[tuple[str, str]]:
    """The pairs that reach each other by plan, hosts and endpoints."""
    expected = expectations(plan)
    known = {point["id"] for point in plan["endpoints"]}
    reached = [(tep["from"], tep["to"]) for tep in expected["teps"]]
    for pair in expected["pairs"]:
        if pair["ping"]:
            # An address may be that of several tenants.
            by_name = pair["family"] == 4 and pair["to"] in known
            reached.append((pair["from"], pair["to"] if by_name else pair["address"]))
    return list(dict.fromkeys(reached))


def main() -> None:
    chosen = chosen_runs(__doc__.splitlines()[0])
    plan = plan_of(chosen.inventory)
    tracer, pairs = Tracer(plan, Lab(None, plan["fabric"])), sound(plan)
    alarms = unmeasured = 0
    for ends in itertools.islice(itertools.cycle(pairs), chosen.runs):
        report = tracer.run(*ends)
        unmeasured += not report["measured"]
        if report["remark"] or not report["passed"]:
            alarms += 1
            print("\n".join(report["lines"]), flush=True)
    print(f"{chosen.runs} traces of {len(pairs)} pairs: {alarms} found fault, {unmeasured} were not measured")


if __name__ == "__main__":
    main()

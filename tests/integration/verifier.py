# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The measurements of the role verify, without Ansible's start of each task: the same modules, the same plan, the same judgement, in seconds.

    python tests/integration/verifier.py INVENTORY RUNS [--load PROCESSES]

measures a lab that stands so many times, with processes beside it that keep the processors busy, and counts the runs in which anything failed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import pathlib
import random
import sys
import time
import typing as t

import ansible
import yaml
from harness import LIBRARY, REPOSITORY, Host, Lab, execute, privileged

# Run by itself, without pytest's configuration, it needs the path first: so what comes from there is imported below (E402).
sys.path.insert(0, str(REPOSITORY / ".collections"))

from ansible_collections.overloom.fabric.plugins.filter.as_planned import as_planned  # noqa: E402
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan  # noqa: E402
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.duties import ROUTING  # noqa: E402
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge  # noqa: E402
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import report as reporting  # noqa: E402
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.causes import causes  # noqa: E402
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations, points_of  # noqa: E402
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC  # noqa: E402

Item = t.Dict[str, t.Any]
GATHER = [*ROUTING]
READS = ("namespaces", "host_network", "containers", "services", "dhcp", "vrrp", "uplinks", "tables", "ovn")


def give_library(host: Host) -> None:
    """Have a host of a lab that playbooks made see the collection's modules."""
    target = host.folder / "merged" / LIBRARY.strip("/")
    collection = target / "ansible_collections/overloom/fabric"
    execute(privileged(["mkdir", "-p", str(collection)]))
    execute(privileged(["cp", "-r", str(REPOSITORY / "plugins"), str(collection)]))
    execute(privileged(["cp", "-r", str(pathlib.Path(ansible.__file__).parent), str(target)]))


class Verifier:
    """Measures one fabric. The hosts of its lab must have been given the library."""

    def __init__(self, plan: Item, lab: Lab, settle: float = 1.0) -> None:
        self.plan = plan
        self.settle = settle
        self.hosts = {name: lab.host(name) for name in {**plan["hosts"], **plan["routers"]}}
        self.expected = expectations(plan)

    def everywhere(self, name: str, options: t.Callable[[str], Item | None], hosts: t.Iterable[str]) -> dict[str, Item]:
        """Run a module on hosts side by side; options says which, or None for no run there."""

        def one(host: str) -> Item:
            given = options(host)
            return {} if given is None else self.hosts[host].module(name, given, ok=None)

        hosts = list(hosts)
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
            return dict(zip(hosts, pool.map(one, hosts)))

    def routers(self, up: list[str]) -> dict[str, Item]:
        """What the routers know, at the latest after some tries."""
        read: dict[str, Item] = {}
        managed = [name for name in up if self.plan["routers"].get(name, {}).get("managed")]
        for _attempt in range(max(1, int(self.settle * 2))):
            read = self.everywhere("frr_info", lambda _host: {"gather": GATHER}, managed)
            if all(as_planned(read[name], self.plan, name) for name in managed):
                break
            time.sleep(0.5)
        return read

    def recover(self, seconds: float = 120) -> None:
        """Wait until routers know their ways and guests answer, after what was broken has been mended."""
        deadline = time.monotonic() + seconds
        names = [name for name in self.hosts if self.plan["routers"].get(name, {}).get("managed")]
        while time.monotonic() < deadline:
            read = self.everywhere("frr_info", lambda _host: {"gather": GATHER}, names)
            if all(as_planned(read[name], self.plan, name) for name in names):
                break
            time.sleep(0.5)
        waits = {name: [guest["wait"] for guest in host["guests"]] for name, host in self.plan["hosts"].items()}
        self.everywhere("guest_wait", lambda host: {"waits": waits[host]} if waits[host] else None, waits)

    def observe(self) -> dict[str, Item]:
        """What the hosts saw, as the role's tasks register it."""
        port = random.choice(range(61000, 65536))
        todo = judge.options(self.plan, self.expected)
        up = [name for name, host in self.hosts.items() if host.leader is not None]
        kvm = [name for name in up if name in self.plan["hosts"]]
        seen: dict[str, Item] = {
            name: {
                "reached": {"ping": "pong"} if name in up else {"unreachable": True, "msg": "the host does not answer"}
            }
            for name in self.hosts
        }

        def keep(key: str, results: dict[str, Item]) -> None:
            for name, result in results.items():
                seen[name][key] = result

        def probes(key: str, which: dict[str, Item], **more: t.Any) -> dict[str, Item]:
            return self.everywhere(
                "probe",
                lambda host: (
                    {"endpoints": todo[host]["endpoints"], "probes": which[host][key], "port": port, **more}
                    if which[host][key]
                    else None
                ),
                kvm,
            )

        keep("routers", self.routers(up))
        keep("pings", probes("pings", todo, settle=self.settle))
        listening = {"name": self.plan["fabric"], "port": port}
        self.everywhere(
            "probe", lambda host: {"state": "listening", "endpoints": todo[host]["endpoints"], **listening}, kvm
        )
        keep("transfers", probes("transfers", todo, settle=2))
        keep("denied", probes("denied", todo, tcp_timeout=3))
        again = judge.again(self.plan, self.expected, seen)
        if any(probes for rounds in again.values() for probes in rounds.values()):
            keep("routers_again", self.routers(up))
        keep("pings_again", probes("pings", again, settle=self.settle, count=judge.COUNT_AGAIN))
        keep("transfers_again", probes("transfers", again, settle=self.settle))
        self.everywhere(
            "probe", lambda host: {"state": "stopped", "endpoints": todo[host]["endpoints"], **listening}, kvm
        )
        keep("read", self.everywhere("status_info", self._reads, kvm))
        for name in kvm:
            seen[name]["flows"] = {"results": [self.flows(name, entry) for entry in self.plan["hosts"][name]["flows"]]}
        return seen

    def _reads(self, name: str) -> Item:
        """What the role asks a KVM host for."""
        return {option: self.plan["reads"][name][option] for option in READS}

    def flows(self, name: str, entry: Item) -> Item:
        """What a run would change of a bridge's flows, as a loop's item."""
        options = {
            "owner": self.plan["hosts"][name]["owner"],
            "bridge": entry["bridge"],
            "flows": entry["flows"],
            "purge": True,
        }
        return {**self.hosts[name].module("ovs_flow", options, check=True, ok=None), "item": entry}

    def run(self) -> Item:
        """Measure and judge; the report, with the terminal's lines."""
        begun = time.monotonic()
        seen = self.observe()
        checks = judge.judge(self.plan, self.expected, seen)
        down = {name: reason for name in seen for reason in [judge.unreached(seen, name)] if reason}
        report = reporting.summary(self.plan["fabric"], checks, time.monotonic() - begun, self.expected["isolation"])
        report["causes"] = causes(self.plan, checks, down)
        report["underlay"] = judge.underlay(self.plan, self.expected, seen)
        report["lines"] = reporting.terminal(report, points_of(self.plan))
        return report


def plan_of(folder: pathlib.Path) -> Item:
    """The plan of an inventory that is one hosts.yml, with group_vars/all.yml if there is one."""
    inventory = yaml.safe_load((folder / "hosts.yml").read_text())["all"]
    shared = folder / "group_vars/all.yml"
    common = {**inventory.get("vars", {}), **(yaml.safe_load(shared.read_text()) if shared.exists() else {})}
    common = {name: value for name, value in common.items() if name.startswith("fabric_")}
    groups = {name: group.get("hosts") or {} for name, group in inventory["children"].items()}

    def variables(group: str) -> Item:
        return {name: {**common, **(own or {})} for name, own in groups.get(group, {}).items()}

    hosts, routers = variables("kvm_hosts"), variables("routers")
    return compile_plan(hosts, SPEC, routers=routers or None, central=list(groups.get("ovn_central", ())))


def spin() -> None:
    """Keep a processor busy."""
    while True:
        pass


def chosen_runs(description: str) -> argparse.Namespace:
    """What is asked for on the command line: an inventory, a number of runs, and a load, which then keeps processors busy."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("inventory", type=pathlib.Path)
    parser.add_argument("runs", type=int)
    parser.add_argument("--load", type=int, default=0)
    chosen = parser.parse_args()
    for _number in range(chosen.load):
        multiprocessing.Process(target=spin, daemon=True).start()
    return chosen


def main() -> None:
    chosen = chosen_runs(__doc__.splitlines()[0])
    plan = plan_of(chosen.inventory)
    verifier = Verifier(plan, Lab(None, plan["fabric"]), settle=10)
    for host in verifier.hosts.values():
        give_library(host)
    failed = unsteady = 0
    for number in range(1, chosen.runs + 1):
        report = verifier.run()
        steady = [check for check in report["checks"] if check.get("unsteady")]
        failed += bool(report["failed"])
        unsteady += bool(steady)
        print(
            f"{number}: {report['failed']} failed, {len(steady)} passed when asked again, {report['seconds']:.1f} s",
            flush=True,
        )
        for check in [check for check in report["checks"] if not check["passed"] or check.get("unsteady")]:
            print(f"    {check['kind']} {reporting.pair(check)}: {check['observed']}", flush=True)
    print(f"{chosen.runs} runs: {failed} failed, {unsteady} had something that passed when asked again")


if __name__ == "__main__":
    main()

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed as ratios within one run, so that the machine's own speed cancels out.

    python -m tests.bench [NAME ...]

A figure with a bound that is not kept makes the exit status 1. It is not a part of `make test`: a noisy machine fails no test.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / ".collections"), str(CHECKOUT / "tests/integration")]

import ovn  # noqa: E402
from harness import LIBRARY, PYTHON, Host, Lab, Machine  # noqa: E402

BIN = pathlib.Path(sys.executable).parent
ROUNDS = 5
HOSTS = 4
MANY = 20


class Figures:
    """Prints each figure as it comes, and remembers whether all bounds were kept."""

    def __init__(self) -> None:
        self.kept = True

    def ratio(self, what: str, pairs: list[tuple[float, float]], bound: float | None = None) -> None:
        """The median of the ratios of paired times in seconds."""
        ratios = sorted(mine / other for mine, other in pairs)
        value = statistics.median(ratios)
        kept = bound is None or value <= bound
        self.kept &= kept
        mine, other = (statistics.median(times) for times in zip(*pairs))
        limit = "" if bound is None else f"  (at most {bound:g}: {'kept' if kept else 'NOT KEPT'})"
        print(
            f"  {what:62} {value:6.2f}  [{ratios[0]:.2f} to {ratios[-1]:.2f}]  {mine * 1000:.0f} ms / {other * 1000:.0f} ms{limit}",
            flush=True,
        )

    def count(self, what: str, value: int, bound: int) -> None:
        """A number that must not exceed its bound."""
        self.kept &= value <= bound
        print(f"  {what:62} {value:6}  (at most {bound}: {'kept' if value <= bound else 'NOT KEPT'})", flush=True)


Times = t.Dict[str, t.List[float]]


def line(figures: Figures, curve: dict[int, Times]) -> None:
    """Is the work for more things a line? What one more takes between the largest two counts, and from the smallest on.

    In the processor's time, of which the rest of the machine takes nothing away from one count and not from another.
    """
    least, middle, most = (sorted(curve)[index] for index in (0, -2, -1))
    for name in ("make", "again", "change"):
        first, second, third = (statistics.median(curve[count][f"cpu_{name}"]) for count in (least, middle, most))
        pair = ((third - second) / (most - middle), (second - first) / (middle - least))
        figures.ratio(f"{name}: one more from {middle} to {most} / from {least} to {middle}", [pair], 2)


def bench_tunnels(figures: Figures, machine: Machine) -> None:
    """The module ovs_tunnel against ovs-vsctl by hand, in a lab host."""
    curve: dict[int, Times] = {}
    lab = Lab(machine, f"bench-{os.getpid()}")
    try:
        lab.make(["a"])
        host = lab.host("a")
        host.run(["systemctl", "start", "openvswitch-switch"])
        for tunnels in (10, 100, 500, 1000):
            script = f"{LIBRARY}/ansible_collections/overloom/fabric/tests/bench/tunnels.py"
            out = host.run(["env", f"PYTHONPATH={LIBRARY}", PYTHON, script, str(tunnels), str(ROUNDS)], timeout=600)
            seen = curve[tunnels] = json.loads(out)
            print(
                f"\n{tunnels} GRE tunnels, the module's own work against one hand-written ovs-vsctl transaction of the same"
            )
            bound = 1.5 if tunnels >= 500 else None
            figures.ratio("make and re-check / hand-written transaction", list(zip(seen["make"], seen["hand"])), bound)
            figures.ratio(
                "check again (nothing to do) / hand-written transaction", list(zip(seen["again"], seen["hand"]))
            )
            figures.ratio("one tunnel changed / hand-written transaction", list(zip(seen["change"], seen["hand"])))
            if seen["loop"]:
                figures.ratio(
                    "make and re-check / a loop of one ovs-vsctl call a tunnel", list(zip(seen["make"], seen["loop"]))
                )
            figures.count("processes spawned to make them", seen["spawned_make"], 3)
            figures.count("processes spawned to change one", seen["spawned_change"], 3)
            figures.count("processes spawned when nothing is to do", seen["spawned_again"], 1)
        print("\nis it a line?")
        line(figures, curve)
    finally:
        lab.remove()


def timed_flows(host: Host, ports: list[str], flows: list[dict[str, str]], rounds: int) -> Times:
    """What flows.py measures in a lab host."""
    host.write("/run/flows.json", json.dumps({"ports": ports, "flows": flows}))
    script = f"{LIBRARY}/ansible_collections/overloom/fabric/tests/bench/flows.py"
    out = host.run(["env", f"PYTHONPATH={LIBRARY}", PYTHON, script, "/run/flows.json", str(rounds)], timeout=600)
    return json.loads(out.splitlines()[0])


def bench_flows(figures: Figures, machine: Machine) -> None:
    """The module ovs_flow against a hand-written bundle of ovs-ofctl, in a lab host."""
    curve: dict[int, Times] = {}
    lab = Lab(machine, f"bench-{os.getpid()}")
    try:
        lab.make(["a"])
        host = lab.host("a")
        host.run(["systemctl", "start", "openvswitch-switch"])
        for count in (10, 1000, 5000):
            match = "table=1,priority=100,ip,nw_dst=10.{}.{}.{}"
            flows = [
                f"{match.format(i // 62500, i // 250 % 250, i % 250 + 1)},actions=load:{i}->NXM_NX_REG0[],resubmit(,2)"
                for i in range(count)
            ]
            seen = curve[count] = timed_flows(host, [], [{"flow": flow} for flow in flows], 3)
            print(f"\n{count} flows, the module's own work against one hand-written ovs-ofctl bundle of the same")
            for what, name in (
                ("make and re-check", "make"),
                ("one flow changed", "change"),
                ("check again (nothing to do)", "again"),
            ):
                figures.ratio(f"{what} / hand-written bundle", list(zip(seen[name], seen["hand"])))
            figures.count("processes spawned to make them", seen["spawned_make"], 5)
            figures.count("processes spawned when nothing is to do", seen["spawned_again"], 3)
        print("\nis it a line?")
        line(figures, curve)
    finally:
        lab.remove()


class Took(t.NamedTuple):
    """What a play took in seconds: on the clock, and of all processors, of which others take nothing away."""

    clock: float
    processors: float


class Plays:
    """An inventory of hosts with two segments, and the time that a play on it takes."""

    def __init__(self, folder: str, hosts: int) -> None:
        self.inventory = pathlib.Path(folder, "hosts.yml")
        self.ping = pathlib.Path(folder, "ping.yml")
        endpoints = [{"name": name, "segment": name} for name in ("red", "blue")]
        named = {f"kvm{number}": {"fabric_endpoints": endpoints} for number in range(1, hosts + 1)}
        variables = {
            "fabric_name": f"bench-{os.getpid()}",
            "fabric_overlays": [{"name": "gre", "encapsulation": "gre"}],
            "fabric_segments": [
                {"name": "red", "vlan": 10, "subnet": "10.1.1.0/24"},
                {"name": "blue", "vlan": 20, "subnet": "10.1.2.0/24"},
            ],
            "ansible_connection": "overloom.fabric.lab",
            **dict.fromkeys(("status_report", "trace_report"), folder),
        }
        children = {"kvm_hosts": {"hosts": named}}
        self.inventory.write_text(json.dumps({"all": {"vars": variables, "children": children}}), encoding="utf-8")
        task = "- hosts: kvm_hosts\n  gather_facts: false\n  tasks:\n    - ansible.builtin.ping:\n"
        self.ping.write_text(task, encoding="utf-8")

    def __call__(self, name: str | pathlib.Path, *options: str) -> Took:
        begun, used = time.monotonic(), _processors()
        environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}
        done = subprocess.run(
            [BIN / "ansible-playbook", "-i", self.inventory, name, *options],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        return Took(time.monotonic() - begun, _processors() - used)


def _processors() -> float:
    """The processors' time in seconds of all programs that have ended, those in lab hosts among them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bench_site(figures: Figures, machine: Machine) -> None:
    """site.yml against a play with one ping task on as many hosts."""
    del machine  # A lab of its own, through the playbook, as a user makes it.
    with tempfile.TemporaryDirectory(prefix="overloom-bench-") as folder:
        play = Plays(folder, HOSTS)
        try:
            play("playbooks/lab.yml")
            play(play.ping)
            first, again = [], []
            for _round in range(3):
                first.append((play("site.yml").clock, play(play.ping).clock))
                again.append((play("site.yml").clock, play(play.ping).clock))
                play("playbooks/teardown.yml")
            print(f"\nsite.yml on {HOSTS} hosts against a play of one ping task on them")
            figures.ratio("the first run / ping", first)
            figures.ratio("the second run, nothing changed / ping", again)
        finally:
            play("playbooks/lab_down.yml")


def bench_glance(figures: Figures, machine: Machine) -> None:
    """status.yml and trace.yml on twenty hosts against a play with one ping task on them."""
    del machine  # As above.
    with tempfile.TemporaryDirectory(prefix="overloom-bench-") as folder:
        play = Plays(folder, MANY)
        try:
            play("playbooks/lab.yml")
            play("site.yml")
            ends = ("-e", "from=kvm1/red", "-e", f"to=kvm{MANY}/red")
            play(play.ping)
            took: dict[str, list[tuple[Took, Took]]] = {"status": [], "trace": []}
            for _round in range(3):
                took["status"].append((play("playbooks/status.yml"), play(play.ping)))
                took["trace"].append((play("playbooks/trace.yml", *ends), play(play.ping)))
            print(f"\non {MANY} hosts, against a play of one ping task on them")
            for name, ratio, seconds in (("status", 4, 10), ("trace", 6, 15)):
                pairs = took[name]
                figures.ratio(f"{name}.yml / ping", [(mine.clock, ping.clock) for mine, ping in pairs], ratio)
                spent = [(mine.processors, ping.processors) for mine, ping in pairs]
                figures.ratio("the same in the processors' time", spent, ratio)
                # Of the fastest round, as a busy machine only adds to it.
                best = min(mine.clock for mine, _ping in pairs)
                figures.count(f"{name}.yml at its best, in tenths of a second", round(10 * best), 10 * seconds)
        finally:
            play("playbooks/lab_down.yml")


def bench_tenants(figures: Figures, machine: Machine) -> None:
    """Thousands of segments by tunnel key: the plan of all hosts, and one host's part of it on a switch."""
    from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
    from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, scale

    def compiled(segments: int) -> tuple[float, dict]:
        intent = scale(segments)
        begun = time.process_time()
        plan = compile_plan(intent, SPEC)
        return time.process_time() - begun, plan

    print("\n5,000 segments over 10 hosts, compiled (processor time)")
    pairs = [(compiled(5000)[0], compiled(1000)[0]) for _round in range(3)]
    figures.ratio("5,000 segments / 1,000 segments", pairs, 8)
    figures.count(
        "milliseconds to compile 5,000", round(1000 * statistics.median(mine for mine, _other in pairs)), 5000
    )
    lab = Lab(machine, f"bench-{os.getpid()}")
    try:
        lab.make(["a"])
        host = lab.host("a")
        host.run(["systemctl", "start", "openvswitch-switch"])
        for segments in (500, 5000):
            part = compiled(segments)[1]["hosts"]["kvm1"]
            (entry,) = part["flows"]
            ports = [space["outer"] for space in part["namespaces"]] + [tunnel["name"] for tunnel in part["tunnels"]]
            seen = timed_flows(host, ports, entry["flows"], 3)
            count = len(entry["flows"])
            print(
                f"\n{segments} segments over 10 hosts: the {count} flows of one of them, in one call, against one hand-written ovs-ofctl bundle"
            )
            figures.ratio("make and re-check / hand-written bundle", list(zip(seen["make"], seen["hand"])), 20)
            figures.ratio("one flow changed / hand-written bundle", list(zip(seen["change"], seen["hand"])))
            figures.ratio("check again (nothing to do) / hand-written bundle", list(zip(seen["again"], seen["hand"])))
            figures.count("processes spawned to make them", seen["spawned_make"], 5)
            figures.count("processes spawned when nothing is to do", seen["spawned_again"], 3)
    finally:
        lab.remove()


def bench_frr(figures: Figures, machine: Machine) -> None:
    """A large router: the modules frr_ospf and frr_bgp against frr-reload.py on the same configuration, in a lab host."""
    lab = Lab(machine, f"bench-{os.getpid()}")
    try:
        lab.make(["a"])
        host = lab.host("a")
        host.run(["install", "-d", "-o", "frr", "-g", "frr", "-m", "0750", "/etc/frr", "/run/frr"])
        host.write("/etc/frr/daemons", "ospfd=yes\nbgpd=yes\nbfdd=yes\nvtysh_enable=yes\n")
        host.write("/etc/frr/vtysh.conf", "service integrated-vtysh-config\n")
        host.write("/etc/frr/frr.conf", "")
        host.run(["chown", "-R", "frr:frr", "/etc/frr"])
        script = f"{LIBRARY}/ansible_collections/overloom/fabric/tests/bench/frr.py"
        out = host.run(["env", f"PYTHONPATH={LIBRARY}", PYTHON, script, "500", "200", "3"], timeout=600)
        seen = json.loads(out.splitlines()[-1])
        print(
            "\nA router of 500 interfaces by OSPF and 200 neighbors by BGP, against frr-reload.py on the same configuration"
        )
        figures.ratio(
            "make and re-check, both modules / frr-reload.py --reload", list(zip(seen["make"], seen["reload"])), 1
        )
        figures.ratio(
            "check again (nothing to do) / frr-reload.py --test", list(zip(seen["again"], seen["reload_again"]))
        )
        # Of so short a time, only the processor's tells something on a machine that does other things.
        figures.ratio("the same in the processor's time", list(zip(seen["cpu_again"], seen["cpu_reload_again"])), 1)
        # One read, a check of the lines, one write, one read again.
        figures.count("processes that a module spawned to make its part", seen["spawned_make"], 4)
        figures.count("processes that it spawned when nothing was to do", seen["spawned_again"], 1)
    finally:
        lab.remove()


def bench_ovn(figures: Figures, machine: Machine) -> None:
    """200 hosts, 1,000 segments and 10,000 endpoints on OVN: the plan, the northbound database in one call, and northd, against a fifth of them."""
    from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
    from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, scale_ovn

    def compiled(part: int) -> tuple[float, dict]:
        intent = scale_ovn(200 // part, 1000 // part, 10000 // part)
        begun = time.process_time()
        plan = compile_plan(intent, SPEC, central=["kvm1"])
        return time.process_time() - begun, plan["hosts"]["kvm1"]["ovn_central"]["northbound"]

    print("\n200 hosts, 100 tenants with a router and ten segments each, 10,000 endpoints: compiled (processor time)")
    pairs = [(compiled(1)[0], compiled(5)[0]) for _round in range(3)]
    figures.ratio("all / a fifth of it", pairs, 8)
    lab = Lab(machine, f"bench-{os.getpid()}")
    curve: dict[int, Times] = {}
    try:
        lab.make(["a"])
        host = lab.host("a")
        ovn.start(host)
        script = f"{LIBRARY}/ansible_collections/overloom/fabric/tests/bench/northbound.py"
        for part in (5, 1):
            host.write("/run/northbound.json", json.dumps(compiled(part)[1]))
            command = ["env", f"PYTHONPATH={LIBRARY}", PYTHON, script, "/run/northbound.json", "2"]
            seen = curve[part] = json.loads(host.run(command, timeout=7200).splitlines()[-1])
            print(f"\n{10000 // part} endpoints, the module's own work against ovn-nbctl by hand with the same")
            print("  " + ", ".join(f"{name} {seen[name]}" for name in seen if name.startswith(("rows_", "mb_"))))
            for what, name in (
                ("make and re-check", "make"),
                ("one endpoint more", "one"),
                ("check again (nothing to do)", "again"),
                ("all of it removed", "gone"),
                ("northd's southbound database", "northd"),
                ("the same for one endpoint more", "northd_one"),
            ):
                figures.ratio(f"{what} / by hand", list(zip(seen[name], seen["hand"])))
            figures.count("transactions for one endpoint more", seen["calls_one"], 1)
            figures.count("processes when nothing is to do", seen["spawned_again"], 1)
        print("\nis it a line? all against a fifth, in the processor's time")
        for name in ("make", "again", "one", "gone"):
            figures.ratio(name, list(zip(curve[1][f"cpu_{name}"], curve[5][f"cpu_{name}"])), 8)
        # The kernel takes 2 MiB of arguments a call.
        figures.count("transactions to make all", curve[1]["calls_make"], 6)
    finally:
        lab.remove()


def bench_chassis(figures: Figures, machine: Machine) -> None:
    """Ten of 40 hosts with 200 segments and 2,000 endpoints on OVN, simulated: until all have taken up all of it, and one endpoint more."""
    from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
    from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, scale_ovn

    del figures  # Seconds, which have no bound on a machine that may be busy.
    plan = compile_plan(scale_ovn(40, 200, 2000), SPEC, central=["kvm1"])["hosts"]["kvm1"]["ovn_central"]
    lab = Lab(machine, f"bench-{os.getpid()}")
    try:
        lab.make(["a"])
        host = lab.host("a")
        ovn.start(host)
        host.write("/run/chassis.json", json.dumps({name: plan[name] for name in ("northbound", "bindings")}))
        script = f"{LIBRARY}/ansible_collections/overloom/fabric/tests/bench/chassis.py"
        out = host.run(["env", f"PYTHONPATH={LIBRARY}", PYTHON, script, "/run/chassis.json", "10"], timeout=7200)
        seen = json.loads(out.splitlines()[-1])
        print("\n2,000 endpoints, of which ten simulated chassis have 50 each")
        print("  " + ", ".join(f"{name} {value}" for name, value in seen.items()))
        assert seen["ports"] == 500
    finally:
        lab.remove()


BENCHES = {
    "tunnels": bench_tunnels,
    "flows": bench_flows,
    "frr": bench_frr,
    "tenants": bench_tenants,
    "ovn": bench_ovn,
    "chassis": bench_chassis,
    "site": bench_site,
    "glance": bench_glance,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    chosen = parser.parse_args().names or list(BENCHES)
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="overloom-bench-library-") as library:
        machine = Machine(pathlib.Path(library))
        for name in chosen:
            BENCHES[name](figures, machine)
    sys.exit(0 if figures.kept else 1)


if __name__ == "__main__":
    main()

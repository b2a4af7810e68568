# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the shell commands that pages of the documentation show, as they are written there, and compare the outputs that they show.

    python tests/guides.py PAGE standing|empty

A Molecule scenario calls it for its guide, on the lab that it has made: once while the fabric stands and once after the
teardown. The part `guide-readme` of tests/run.py runs README.md on the default lab, and after it the pages of ON_DEFAULT_LAB.

A block of `text` is what a run prints: that of the block of commands above it, or of a command after a fault (FAULTS). Numbers
and sizes may differ, lines may be left out. A block that cannot be compared says why, in a line above it:
<!-- not compared: the reason -->
"""

from __future__ import annotations

import collections
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import typing as t

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(sys.executable).parent
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/scenarios/*.md")
# What Molecule itself runs in every scenario, with the same inventory: create, prepare, converge, verify, cleanup and destroy.
BY_THE_SCENARIO = re.compile(
    r"ansible-playbook -i inventory/\w+ "
    r"(playbooks/(lab|verify|teardown|lab_down|up|down)\.yml( -e stack_web_count=3)?|site\.yml|molecule/shared/bird\.yml|molecule/vxlan/peer\.yml"
    r"|molecule/netns_service/website\.yml|molecule/ovn_cluster/prepare\.yml)\s*(#.*)?$"
)
TIMEOUT = 1200
DEFAULT_LAB = pathlib.Path("/run/overloom/labs/lab")
ON_DEFAULT_LAB = tuple(f"docs/{name}.md" for name in ("status", "verify", "trace", "capture", "drift", "diagram"))


class Place(t.NamedTuple):
    """A block that is typed on a host: where, when, and what makes the host ready for it."""

    host: str
    inventory: str
    phase: str
    before: tuple[str, ...] = ()
    # A playbook that proves what was typed.
    after: str = ""


class Fault(t.NamedTuple):
    """What was broken by hand on the default lab before a command printed what a page shows: commands by host, and those that mend it."""

    broken: dict[str, str]
    mended: dict[str, str]
    command: str


# By the first line of the block.
ON_A_HOST = {
    "ovs-vsctl add-br br-underlay": Place("kvm1", "inventory/gre", "empty"),
    "ip netns add hand": Place(
        "kvm1",
        "inventory/geneve_containers",
        "standing",
        ("podman tag localhost/overloom-geneve-containers:lab localhost/app:1",),
        "playbooks/verify.yml",
    ),
    "ip address replace 192.168.200.101/24": Place(
        "legacy1",
        "inventory/vxlan",
        "standing",
        ("ip link delete vx5000", "ip address flush dev eth1"),
        "playbooks/verify.yml",
    ),
}
NO_FORWARDING = ({"r1": "sysctl -w net.ipv4.ip_forward=0"}, {"r1": "sysctl -w net.ipv4.ip_forward=1"})
_PAIR = "-e from=kvm1/web1 -e to=kvm2/web2"
# By page and first line of the block of text.
FAULTS = {
    ("docs/status.md", "✗ port kvm2:v-db2:"): Fault(
        {"kvm1": "ovs-vsctl set interface gre-kvm2 options:remote_ip=192.168.200.9", "kvm2": "ip link set v-db2 down"},
        {"kvm1": "ovs-vsctl set interface gre-kvm2 options:remote_ip=192.168.200.2", "kvm2": "ip link set v-db2 up"},
        "ansible-playbook playbooks/status.yml",
    ),
    ("docs/trace.md", "kvm1/web1 → kvm2/web2:"): Fault(*NO_FORWARDING, f"ansible-playbook playbooks/trace.yml {_PAIR}"),
    ("docs/capture.md", "point"): Fault(*NO_FORWARDING, f"ansible-playbook playbooks/capture.yml {_PAIR}"),
    # The README breaks the same.
    ("docs/verify.md", "✗ tunnel kvm1 <-> kvm2"): Fault({}, {}, "ansible-playbook playbooks/verify.yml"),
}
NOT_RUN = {
    "ansible-playbook -i hosts playbooks/import.yml": "names hosts that a person has; tests/integration/test_import.py runs these playbooks",
    "ansible-playbook playbooks/impair.yml": "a delay needs a kernel with netem; tests/integration/test_link_impairment.py sets such effects",
    "ansible-playbook playbooks/drill.yml": "takes half a minute for each part of a fabric; tests/integration/test_drill.py cuts and measures",
    "make test-machines": "the command is a part of .ci/run itself",
    ".venv/bin/python -m tests.machines": "waits for a person",
    "make scenario": "runs a test; tests/run.py runs the same scenario",
    "make build": "installs into the person's own collections; tests/sanity.py does the same in a folder of its own",
    "make check": "runs the tests, of which this is one",
    "bash .ci/run": "runs the tests, of which this is one",
    ". .venv/bin/activate": "runs a test; tests/run.py runs the same scenario",
    "cp -r inventory/example inventory/mine": "names hosts that a person has; tests/machines runs these playbooks over SSH",
    'ansible-playbook playbooks/plan.yml -e "plan_query=hosts.kvm1.bridges': "names of a fabric of one's own; the guide on tenants runs the same",
    "ansible-playbook -i molecule/stack/beside": "the drills of the scenario run the same, while they look at both stacks",
    "ovs-appctl ofproto/trace": "addresses of a fabric of one's own",
}
# Lines that are to fail: something was broken by hand before.
FAILING = {
    "ansible-playbook playbooks/verify.yml           #",
    "ansible-playbook playbooks/trace.yml -e from=kvm1/web1 -e to=kvm2/web2   ",
    "ansible-playbook -i inventory/policy playbooks/trace.yml -e from=branch2/laptop",
    "ansible-playbook -i inventory/capture playbooks/capture.yml -e from=kvm1/web1 -e to=kvm2/vm2 -e seconds=6  ",
    "ansible-playbook -i inventory/capture playbooks/trace.yml -e from=kvm1/web1 -e to=kvm2/vm2  ",
}
# Lines of a block that runs otherwise.
LEFT_OUT = {"make test ": "runs the tests, of which this is one"}


class Block(t.NamedTuple):
    """A block of shell commands."""

    page: str
    line: int
    commands: tuple[str, ...]

    def place(self) -> Place | None:
        """Where it is typed, if not on the controller."""
        return _by_start(ON_A_HOST, self.commands[0])

    def reason(self) -> str | None:
        """Why it is not run, if so."""
        return _by_start(NOT_RUN, self.commands[0])


class Text(t.NamedTuple):
    """An output that a page shows. reason: why it is not compared, if so."""

    page: str
    line: int
    lines: tuple[str, ...]
    reason: str | None = None

    def fault(self) -> Fault | None:
        """What was broken before."""
        first = self.lines[0].strip()
        return next(
            (found for (page, start), found in FAULTS.items() if page == self.page and first.startswith(start)), None
        )


def _by_start(table: dict[str, t.Any], line: str) -> t.Any:
    return next((value for start, value in table.items() if line.startswith(start)), None)


def shown(page: str) -> list[Block | Text]:
    """The blocks of commands and of outputs of a page; a command that ends with a backslash goes on."""
    found: list[Block | Text] = []
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    pattern = r"^(?:<!-- not compared: (?P<reason>[^\n]*) -->\n+)?```(?P<kind>sh|text)\n(?P<body>.*?)^```"
    for match in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start("kind")) + 1
        body = match["body"] if match["kind"] == "text" else match["body"].replace("\\\n", " ")
        lines = tuple(one for one in body.splitlines() if one.strip())
        found.append(Block(page, line, lines) if match["kind"] == "sh" else Text(page, line, lines, match["reason"]))
    return found


def blocks(page: str) -> list[Block]:
    """The blocks of commands of a page."""
    return [one for one in shown(page) if isinstance(one, Block)]


def pages() -> list[str]:
    """All pages."""
    return sorted(str(path.relative_to(CHECKOUT)) for pattern in PAGES for path in CHECKOUT.glob(pattern))


# What may differ from run to run.
_VARIES = (
    # Of a tunnel, status shows what it carried, and in a later run its rate.
    (re.compile(r"\b[0-9.]+ [kMG]?(B|bit/s)(?!\w)"), "SIZE"),
    # A number by itself, and none in a name or an address.
    (re.compile(r"(?<![\w.:/-])[0-9]+(\.[0-9]+)?(?![\w:/-]|\.[0-9])"), "N"),
    (re.compile(r"\s+"), " "),
)


def _stable(line: str) -> str:
    """A line without what varies."""
    for pattern, name in _VARIES:
        line = pattern.sub(name, line)
    return line.strip()


def missing(text: Text, printed: str) -> list[str]:
    """The lines of a shown output that a run did not print, as often as they are shown."""
    left = collections.Counter(_stable(line) for line in printed.splitlines())
    lost = []
    for line in text.lines:
        if left[_stable(line)] < 1:
            lost.append(line)
        left[_stable(line)] -= 1
    return lost


def compare(text: Text, printed: str) -> None:
    """End this program when a page shows what a run does not print."""
    lost = missing(text, printed)
    if lost:
        sys.exit("\n".join([f"{text.page}:{text.line} shows what the run did not print:", *lost]))
    print(f"{text.page}:{text.line} shows what was printed", flush=True)


# What commands that are to fail have printed, by the command.
complaints: dict[str, str] = {}


def shell(line: str, ok: bool = True) -> str:
    """Run a line as a person's shell does, with the virtual environment activated; what it printed is shown and returned."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    environment["LAB_ROOT"] = os.environ.get("OVERLOOM_TEST_ROOT", "")
    environment["PATH"] = f"{BIN}:{environment['PATH']}"
    print("$", line, flush=True)
    # A group of its own, so that what the line has started ends with it.
    streams: dict[str, t.Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "encoding": "utf-8",
    }
    with subprocess.Popen(
        ["bash", "-c", line], cwd=CHECKOUT, env=environment, start_new_session=True, **streams
    ) as process:
        overdue = threading.Timer(TIMEOUT, os.killpg, (process.pid, signal.SIGTERM))
        overdue.start()
        printed = []
        try:
            for one in process.stdout or ():
                print(one, end="", flush=True)
                printed.append(one)
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
        finally:
            overdue.cancel()
    if (status == 0) is not ok:
        sys.exit(f"ended with {status}, which the page does not say: {line}")
    if not ok:
        complaints[line.partition("#")[0].strip()] = "".join(printed)
    return "".join(printed)


def on_host(place: Place, line: str) -> None:
    """Run a line on a host."""
    tool = [str(BIN / "python"), str(CHECKOUT / "tools/enter.py"), place.inventory, place.host, "bash", "-c", line]
    print(f"{place.host} #", line, flush=True)
    subprocess.run(
        tool,
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")},
        timeout=TIMEOUT,
        check=True,
    )


def todo(block: Block) -> list[str]:
    """The commands of a block that are run on the controller."""
    if block.place() or block.reason():
        return []
    return [line for line in block.commands if not BY_THE_SCENARIO.match(line) and not _by_start(LEFT_OUT, line)]


def run(block: Block, phase: str) -> tuple[int, str]:
    """Run what a block has for this phase; the number of commands, and what they printed."""
    place = block.place()
    if place and place.phase == phase:
        for line in (*place.before, *block.commands):
            on_host(place, line)
        if place.after:
            shell(f"ansible-playbook -i {place.inventory} {place.after}")
        return len(block.commands), ""
    lines = [] if phase == "empty" else todo(block)
    printed = [shell(line, ok=not any(line.startswith(start) for start in FAILING)) for line in lines]
    return len(lines), "".join(printed)


def complaint(fault: Fault) -> str:
    """What is printed after a fault, which is mended then."""
    if fault.broken or fault.command not in complaints:
        for host, line in fault.broken.items():
            shell(f"ansible {host} -b -a '{line}'")
        try:
            shell(fault.command, ok=False)
        finally:
            for host, line in fault.mended.items():
                shell(f"ansible {host} -b -a '{line}'")
    return complaints[fault.command]


def run_page(page: str, phase: str) -> int:
    """Run a page, and compare what it shows; the number of commands."""
    count, printed = 0, ""
    for one in shown(page):
        if isinstance(one, Block):
            ran, printed = run(one, phase)
            count += ran
        elif not one.reason and phase == "standing":
            fault = one.fault()
            compare(one, complaint(fault) if fault else printed)
    return count


def main() -> None:
    page, phase = sys.argv[1:]
    own_lab = page == "README.md"
    if own_lab and DEFAULT_LAB.exists():
        sys.exit("the lab of inventory/lab is up, and may be somebody's; remove it with make lab-down")
    try:
        for one in (page, *(ON_DEFAULT_LAB if own_lab else ())):
            print(f"{one}: {run_page(one, phase)} commands ran as written", flush=True)
    finally:
        if own_lab:
            shell("make lab-down")


if __name__ == "__main__":
    main()

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the shell commands that a page of the documentation shows, as they are written there.

    python tests/guides.py PAGE standing|empty

A Molecule scenario calls it for its guide, on the lab that it has made: once while the fabric stands and once after the
teardown. README.md is run on the default lab by the part `guide-readme` of tests/run.py.
"""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys
import typing as t

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(sys.executable).parent
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/scenarios/*.md")
# What Molecule itself runs in every scenario, with the same inventory: create, prepare, converge, verify, cleanup and destroy.
BY_THE_SCENARIO = re.compile(
    r"ansible-playbook -i inventory/\w+ "
    r"(playbooks/(lab|verify|teardown|lab_down|up|down)\.yml( -e stack_web_count=3)?|site\.yml|molecule/shared/bird\.yml|molecule/vxlan/peer\.yml"
    r"|molecule/netns_service/website\.yml)\s*(#.*)?$"
)
TIMEOUT = 1200
DEFAULT_LAB = pathlib.Path("/run/overloom/labs/lab")


class Place(t.NamedTuple):
    """A block that is typed on a host: where, when, and what makes the host ready for it."""

    host: str
    inventory: str
    phase: str
    before: tuple[str, ...] = ()
    # A playbook that proves what was typed.
    after: str = ""


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
NOT_RUN = {
    "make test-machines": "the command is a part of .ci/run itself",
    ".venv/bin/python -m tests.machines": "waits for a person",
    "make scenario": "runs a test; tests/run.py runs the same scenario",
    "make build": "installs into the person's own collections; tests/sanity.py does the same in a folder of its own",
    "make check": "runs the tests, of which this is one",
    "bash .ci/run": "runs the tests, of which this is one",
    ". .venv/bin/activate": "runs a test; tests/run.py runs the same scenario",
    "ansible-playbook -i inventory/example": "names hosts that a person has; tests/machines runs these playbooks over SSH",
    'ansible-playbook playbooks/plan.yml -e "plan_query=hosts.kvm1.bridges': "names of a fabric of one's own; the guide on tenants runs the same",
    "ansible-playbook -i molecule/stack/beside": "the drills of the scenario run the same, while they look at both stacks",
    "ovs-appctl ofproto/trace": "addresses of a fabric of one's own",
}
# Lines that are to fail: something was broken by hand before.
FAILING = {
    "ansible-playbook playbooks/verify.yml           #",
    "ansible-playbook playbooks/trace.yml -e from=kvm1/web1",
    "ansible-playbook -i inventory/policy playbooks/trace.yml -e from=branch2/laptop",
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


def _by_start(table: dict[str, t.Any], line: str) -> t.Any:
    return next((value for start, value in table.items() if line.startswith(start)), None)


def blocks(page: str) -> list[Block]:
    """The blocks of a page; a line that ends with a backslash goes on."""
    found = []
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    for match in re.finditer(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        commands = match[1].replace("\\\n", " ").splitlines()
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, tuple(command for command in commands if command.strip())))
    return found


def pages() -> list[str]:
    """All pages."""
    return sorted(str(path.relative_to(CHECKOUT)) for pattern in PAGES for path in CHECKOUT.glob(pattern))


def shell(line: str, ok: bool = True) -> None:
    """Run a line as a person's shell does, with the virtual environment activated."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    environment["LAB_ROOT"] = os.environ.get("OVERLOOM_TEST_ROOT", "")
    environment["PATH"] = f"{BIN}:{environment['PATH']}"
    print("$", line, flush=True)
    # A group of its own, so that what the line has started ends with it.
    with subprocess.Popen(["bash", "-c", line], cwd=CHECKOUT, env=environment, start_new_session=True) as process:
        try:
            status = process.wait(TIMEOUT)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if (status == 0) is not ok:
        sys.exit(f"ended with {status}, which the page does not say: {line}")


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


def run(block: Block, phase: str) -> int:
    """Run what a block has for this phase; the number of commands."""
    place = block.place()
    if place and place.phase == phase:
        for line in (*place.before, *block.commands):
            on_host(place, line)
        if place.after:
            shell(f"ansible-playbook -i {place.inventory} {place.after}")
        return len(block.commands)
    if place or block.reason() or phase == "empty":
        return 0
    todo = [line for line in block.commands if not BY_THE_SCENARIO.match(line) and not _by_start(LEFT_OUT, line)]
    for line in todo:
        shell(line, ok=not any(line.startswith(start) for start in FAILING))
    return len(todo)


def main() -> None:
    page, phase = sys.argv[1:]
    own_lab = page == "README.md"
    if own_lab and DEFAULT_LAB.exists():
        sys.exit("the lab of inventory/lab is up, and may be somebody's; remove it with make lab-down")
    try:
        count = sum(run(block, phase) for block in blocks(page))
    finally:
        if own_lab:
            shell("make lab-down")
    print(f"{page}: {count} commands ran as written")


if __name__ == "__main__":
    main()

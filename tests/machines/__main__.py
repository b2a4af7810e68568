# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove the collection on two real machines over SSH: python -m tests.machines [--short] [--hold]

Boots two Debian machines under QEMU, whose kernel has Open vSwitch's own datapath, and does with them what a user does. What
the commands printed is in tests/output/machines/.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from .drills import CHECKOUT, Drills
from .image import BuildError, image
from .machine import Machine, MachineError, accelerator, make_key

LOGS = CHECKOUT / "tests/output/machines"


def boot(folder: pathlib.Path, started: list[Machine]) -> None:
    """Boot both machines and wait until they are up. Each is in `started` from before its QEMU starts."""
    key = folder / "key"
    make_key(key)
    base = image()
    accel = accelerator()
    print(f"        booting two machines with {accel}", flush=True)
    for number in (1, 2):
        machine = Machine(f"kvm{number}", number, folder / f"kvm{number}", base, key)
        machine.make_disk()
        started.append(machine)
        machine.start(accel)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(Machine.wait, started))


class Tally:
    """The steps of a run, told one by one, and how many passed."""

    def __init__(self) -> None:
        self.passed = self.failed = 0
        self._begun = time.monotonic()

    def step(self, name: str, action: Callable[[], None]) -> bool:
        """Take one step; whether it passed."""
        begun = time.monotonic()
        problem = None
        try:
            action()
            self.passed += 1
        except (MachineError, BuildError, OSError, subprocess.SubprocessError) as error:
            self.failed += 1
            problem = error
        now = time.monotonic()
        verdict = "FAILED" if problem else "passed"
        print(f"{now - self._begun:6.0f} s  {verdict}  {name:52} {now - begun:4.0f} s", flush=True)
        if problem:
            print(f"        {problem}", flush=True)
        return problem is None


def drill(tally: Tally, folder: pathlib.Path, machines: list[Machine], options: argparse.Namespace) -> Drills | None:
    """Boot the machines and do the drills; None if they do not boot."""
    if not tally.step("the machines boot", lambda: boot(folder, machines)):
        return None
    drills = Drills(machines, folder, LOGS)
    drills.write_inventory()
    for name, action in [] if options.boot_only else drills.steps(options.short, options.bonds):
        drills.step = name
        tally.step(name, action)
    return drills


def hold(drills: Drills, machines: list[Machine]) -> None:
    """Keep the machines until Enter is pressed."""
    for machine in machines:
        print(shlex.join(machine.ssh_argv()))
    print(f"ansible -i {drills.inventory} ...; press Enter to end the machines: ", flush=True)
    sys.stdin.readline()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.machines", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--hold", action="store_true", help="after the drills, keep the machines until Enter is pressed"
    )
    parser.add_argument("--boot-only", action="store_true", help="no drills; with --hold, machines to try things on")
    parser.add_argument(
        "--short",
        action="store_true",
        help="without drift, VLAN, bond and the management interface, and verified once, as CI does",
    )
    parser.add_argument("--bonds", action="store_true", help="the bonds of the kernel alone")
    options = parser.parse_args()
    # debugfs and mke2fs are there, which a user's own path may lack.
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    # A terminated run ends its machines as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    # Not /tmp, which may be memory: the disks are there.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="overloom-machines-", dir="/var/tmp"))
    machines: list[Machine] = []
    tally = Tally()
    try:
        drills = drill(tally, folder, machines, options)
        if options.hold and drills:
            hold(drills, machines)
    finally:
        for machine in machines:
            machine.stop()
            if machine.console.exists():
                shutil.copy(machine.console, LOGS / f"{machine.name}.console.log")
        shutil.rmtree(folder)
    print(f"\n{tally.passed} passed, {tally.failed} failed")
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the parts of the test suite side by side, one more than there are cores, and say what came of them.

    python tests/run.py [PART ...] [--short] [--jobs N]

Without a part, all of them but those that are left out; the first word of names stands for all that begin with it, as in `unit`.
What a part printed is in tests/output/PART.log; of a failed one it is also shown.

A short run fits into the time of CI. It leaves out the parts of NOT_IN_SHORT and the tests that are marked as long, takes the same
few random cases each time (tests/conftest.py), has sanity look at the collection alone, and verifies a scenario once, after its
drill and its reboot (.config/molecule/short.yml).

The parts share the machine, and whole hosts boot in them: a part whose machine was too busy fails though nothing is wrong. So a few
that boot hosts are tried again when all has ended, alone, twice at most, a test file by its failed tests (PART.second.log, PART.third.log). What passes
then counts as passed and is named, to be looked at: PART.log tells what had failed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing as t

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT / "tests/integration"))

import harness  # noqa: E402  # pylint: disable=wrong-import-position
import roots  # noqa: E402  # pylint: disable=wrong-import-position

OUTPUT = CHECKOUT / "tests/output"
BIN = pathlib.Path(sys.executable).parent
PART_TIMEOUT = 1800
# A part that is interrupted removes its lab, for which a busy machine takes its time.
CLEANUP_TIMEOUT = 180

# What these prove is in part proved by other parts, too.
NOT_IN_SHORT = (
    "integration-flows",
    "integration-site_beside",
    "integration-site_cluster",
    "integration-site_guests",
    "integration-site_management",
    "integration-site_moves",
    "integration-site_others",
    "integration-site_to_ovn",
    "integration-traffic",
    "integration-verify_breaks",
    "integration-verify_runs",
    "molecule-capture",
    "molecule-chr",
    "molecule-edge_vrrp",
    "molecule-geneve_containers",
    "molecule-gre",
    "molecule-moves",
    "molecule-openflow",
    "molecule-ovn_cluster",
    "molecule-stack",
    "molecule-vxlan",
)
# What pytest is told in a short run.
SHORT_TESTS = ("-m", "not long", "--hypothesis-profile=short")
# The longest parts begin first, so that none is left alone at the end.
LONGEST = (
    "integration-site",
    "unit-plugin_utils",
    "integration-flows",
    "integration-site_beside",
    "integration-site_cluster",
    "integration-site_guests",
    "integration-site_management",
    "integration-intent_examples",
    "integration-verify_breaks",
    "molecule-stack",
    "integration-trace",
    "pylint",
    "sanity",
    "unit-module_utils",
    "unit-others",
)
# The folders of unit tests that are parts of their own, as all of them together take longer than anything else of `make check`.
UNITS = ("module_utils", "plugin_utils")
# The parts that boot hosts.
IN_LABS = ("molecule-", "integration-", "guide-readme")

# More than these fail for a reason of their own, and are not tried again.
TRIED_AGAIN = 5
TRIES = ("second", "third")

running: dict[str, subprocess.Popen[bytes]] = {}


def parts(short: bool = False) -> dict[str, list[str]]:
    """Every part's command, the longest ones first."""
    python = str(BIN / "python")
    molecule = [str(BIN / "molecule")]
    if short:
        # The second is merged over the first.
        molecule += [f"--base-config=.config/molecule/{name}.yml" for name in ("config", "short")]
    scenarios = sorted(path.parent.name for path in (CHECKOUT / "molecule").glob("*/molecule.yml"))
    integration = sorted(path.stem for path in (CHECKOUT / "tests/integration").glob("test_*.py"))
    pytest = [python, "-m", "pytest", "-q", "--durations=5", *(SHORT_TESTS if short else ())]
    found = {f"molecule-{name}": [*molecule, "test", "--scenario-name", name] for name in scenarios}
    found["guide-readme"] = [python, "tests/guides.py", "README.md", "standing"]
    found["guide-intent"] = [python, "tests/guides.py", "docs/intent.md", "standing"]
    for name in integration:
        # What failed is kept there, for the next try.
        cache = f"cache_dir={OUTPUT.relative_to(CHECKOUT)}/integration-{name[5:]}.cache"
        found[f"integration-{name[5:]}"] = [*pytest, "-o", cache, f"tests/integration/{name}.py"]
    found["gates"] = [python, "tests/gates.py"]
    for name, which in (("sanity", "--without"), ("pylint", "--only")):
        found[name] = [python, "tests/sanity.py", which, "pylint", *(["--short"] if short else [])]
    folders = {name: f"tests/unit/plugins/{name}" for name in UNITS}
    for name, folder in folders.items():
        found[f"unit-{name}"] = [*pytest, "-p", "no:cacheprovider", folder]
    others = [f"--ignore={folder}" for folder in folders.values()]
    found["unit-others"] = [*pytest, "-p", "no:cacheprovider", *others, "tests/unit"]
    found["lint"] = [str(BIN / "ansible-lint"), "--offline", "--profile", "production", "--strict", "-q"]
    return {name: found[name] for name in (*LONGEST, *(name for name in found if name not in LONGEST))}


def chosen_parts(said: t.Sequence[str], known: t.Iterable[str]) -> list[str]:
    """The parts of a command line, in the order of all of them; a name that is none stays, to be refused."""
    names = [name for name in known if name in said or name.partition("-")[0] in said]
    firsts = {name.partition("-")[0] for name in names}
    return [*names, *(name for name in said if name not in names and name not in firsts)]


def end(name: str, process: subprocess.Popen[bytes]) -> None:
    """Interrupt a part as from the keyboard, so that it cleans up; kill what does not end in time, and remove the labs that it has left."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(CLEANUP_TIMEOUT)
            break
    remove_labs(name, labs_of(name, process.pid))


def labs_of(name: str, pid: int) -> list[str]:
    """The labs that stand of a part: a test file's have the number of its process in their names, a scenario's is of its inventory."""
    scenario = CHECKOUT / "inventory" / name.partition("-")[2] if name.startswith("molecule-") else None
    found = []
    for record in sorted(harness.LABS.glob("*/lab.json")):
        with contextlib.suppress(OSError, ValueError):
            inventory = json.loads(record.read_text(encoding="utf-8")).get("inventory")
            if re.search(rf"-{pid}(?!\d)", record.parent.name) or (scenario and inventory == str(scenario)):
                found.append(record.parent.name)
    return found


def remove_labs(name: str, labs: list[str]) -> None:
    """Remove labs that a part has left."""
    with tempfile.TemporaryDirectory() as library:
        machine = harness.Machine(pathlib.Path(library)) if labs else None
        for lab in labs:
            try:
                harness.Lab(machine, lab).remove()
                print(f"removed the lab {lab}, which {name} had left", flush=True)
            except (harness.Failed, subprocess.TimeoutExpired, OSError) as error:
                print(f"{name} has left the lab {lab}, which cannot be removed: {error}", flush=True)


def run_part(name: str, command: list[str], log_name: str = "") -> tuple[str, bool, float]:
    """Run one part with its output in a file (log_name: another than its own); returns its name, whether it passed, and its seconds."""
    begun = time.monotonic()
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
        # Each part has a home for Ansible's own files, so that side by side none sees another's.
        "ANSIBLE_HOME": str(OUTPUT / f"{name}.home"),
        "ANSIBLE_NOCOLOR": "1",
        # Much of the controller's time is spent on packing the same modules: see there.
        "ANSIBLE_CALLBACK_PLUGINS": str(CHECKOUT / "tests/callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "kept_payloads",
        # Tests read the recap.
        "ANSIBLE_STDOUT_CALLBACK": "default",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with open(OUTPUT / f"{log_name or name}.log", "w", encoding="utf-8") as log:
        # A group of its own, so that what the part has started ends with it.
        streams: dict[str, t.Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, cwd=CHECKOUT, env=environment, start_new_session=True, **streams) as process:
            running[name] = process
            try:
                passed = process.wait(PART_TIMEOUT) == 0
            except subprocess.TimeoutExpired:
                log.write(f"\nended after {PART_TIMEOUT} s: it took too long\n")
                end(name, process)
                passed = False
            except KeyboardInterrupt:
                # Of a part that is tried again; the others have threads, which are not interrupted.
                end(name, process)
                raise
            finally:
                del running[name]
    return name, passed, time.monotonic() - begun


def try_again(failed: list[str], commands: dict[str, list[str]]) -> list[str]:
    """Run the failed parts again, one after the other, where that says something; returns those that pass now."""
    passed: list[str] = []
    for number in TRIES if len(failed) <= TRIED_AGAIN else ():
        for name in failed:
            if not name.startswith(IN_LABS) or name in passed:
                continue
            print(f"{name} once more, alone, as a busy machine may be why it failed", flush=True)
            only = ["--last-failed"] if name.startswith("integration-") else []
            if run_part(name, [*commands[name], *only], f"{name}.{number}")[1]:
                passed.append(name)
                print(
                    f"PASSED AT THE {number.upper()} TRY: {name}; look at the end of {name}.log for what had failed",
                    flush=True,
                )
    return passed


def summary_of(name: str) -> str:
    """The closing line of a part's output."""
    lines = [
        line.strip("= ")
        for line in (OUTPUT / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    return lines[-1][:100] if lines else ""


def tell(failed: list[str], unstable: list[str], count: int) -> int:
    """Show the end of what failed, and count; returns the exit status."""
    for name in failed:
        for log in (OUTPUT / f"{name}.log", *(OUTPUT / f"{name}.{number}.log" for number in TRIES)):
            if log.exists():
                print(f"\n----- {name}: the end of {log.relative_to(CHECKOUT)} -----")
                print("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-80:]))
    lost = len(failed) - len(unstable)
    print(f"\n{count - lost} passed, {len(unstable)} of them at a later try, {lost} failed")
    return 1 if lost else 0


def forget(names: t.Iterable[str]) -> None:
    """Remove what an earlier run of these parts has left."""
    for name in names:
        shutil.rmtree(OUTPUT / f"{name}.cache", ignore_errors=True)
        for number in TRIES:
            (OUTPUT / f"{name}.{number}.log").unlink(missing_ok=True)


def tell_left_out(short: bool) -> None:
    """Say what a run of all parts does not do."""
    if short:
        print(
            f"left out of a short run: {', '.join(NOT_IN_SHORT)}, tests that are marked as long, "
            "three of four random cases, sanity of the tests, a second verify of scenarios",
            flush=True,
        )
    if not os.environ.get("OVERLOOM_LONG"):
        print(
            "integration-trace takes every fifth broken fabric, integration-ovn_northbound three seeds; OVERLOOM_LONG=1 takes more",
            flush=True,
        )


def main() -> None:
    known = parts()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(known))
    parser.add_argument("--short", action="store_true", help="leave out what takes long, as CI does")
    # Much of a scenario is waiting: boots, adjacencies, reboots, guests.
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1)
    chosen = parser.parse_args()
    names = chosen_parts(chosen.parts, known)
    wrong = sorted(set(names) - set(known))
    if wrong:
        parser.error(f"no such part: {', '.join(wrong)}; there are {', '.join(known)}")
    if not (BIN / "molecule").exists():
        sys.exit(
            f"{BIN} lacks the tools of the tests (it may be of `make lab`); run `make check` once, which installs them"
        )
    left_out = NOT_IN_SHORT if chosen.short else ()
    commands = parts(chosen.short)
    todo = {name: commands[name] for name in names or (name for name in known if name not in left_out)}
    OUTPUT.mkdir(parents=True, exist_ok=True)
    if any(name.startswith(IN_LABS) for name in todo):
        os.environ[roots.VARIABLE] = roots.lab_root()
    print(
        f"{len(todo)} parts, {chosen.jobs} side by side; what they print is in {OUTPUT.relative_to(CHECKOUT)}/",
        flush=True,
    )
    if not chosen.parts:
        tell_left_out(chosen.short)
    failed = []
    forget(todo)
    begun = time.monotonic()
    # A terminated run ends its parts as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with concurrent.futures.ThreadPoolExecutor(chosen.jobs) as pool:
        try:
            for future in concurrent.futures.as_completed([pool.submit(run_part, *item) for item in todo.items()]):
                name, passed, seconds = future.result()
                print(
                    f"{time.monotonic() - begun:6.0f} s  {'passed' if passed else 'FAILED'}  {name:28} {seconds:5.0f} s  {summary_of(name)}",
                    flush=True,
                )
                if not passed:
                    failed.append(name)
            unstable = try_again(failed, todo)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for item in list(running.items()):
                end(*item)
            sys.exit(130)
    sys.exit(tell(failed, unstable, len(todo)))


if __name__ == "__main__":
    main()

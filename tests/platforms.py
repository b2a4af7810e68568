# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the tests on the platforms that the README names, and say what passed, and what could not be tried.

    python tests/platforms.py [PLATFORM ...]

debian13: the module tests and the scenarios on hosts of Debian 13, which takes hours; each part has a time of its own (tests/run.py),
and is told when it ends. core-2.18 and so on: units, sanity and the default lab with that ansible-core as controller, in an
environment of its own; each step is told when it begins, and core-2.18/lab is that step alone. Without a platform, all of them. What they
print is in tests/output/.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import typing as t

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
OUTPUT = CHECKOUT / "tests/output"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "overloom/cores"
PACKAGES = ["netaddr", "jmespath", "pytest", "hypothesis", "lxml", "antsibull-docs", "galaxy-importer"]
# Of one step with a core, in seconds.
TIMEOUT = 3600

# The releases of Python that each ansible-core takes as controller; the first one that is there is used.
CORES = {
    "2.18": ("3.11", "3.12", "3.13"),
    "2.19": ("3.11", "3.12", "3.13"),
    "2.20": ("3.12", "3.13", "3.14"),
    "2.21": ("3.12", "3.13", "3.14"),
}
# What is done with each of them.
STEPS = ("units", "sanity", "lab")
# The playbooks of the default lab, in order; True where nothing may change.
LAB = [
    ("playbooks/lab.yml", False),
    ("site.yml", False),
    ("site.yml", True),
    ("molecule/shared/reboot.yml", False),
    ("site.yml", True),
    ("playbooks/verify.yml", False),
    ("playbooks/teardown.yml", False),
    ("playbooks/lab_down.yml", False),
]


class Failed(Exception):
    """A step did not end as it has to."""


def run(name: str, argv: list[str], environment: dict[str, str] | None = None) -> str:
    """Run one step of a platform, with its output in the platform's file; returns the output."""
    print(f"{name}: {' '.join(argv[1:])}", flush=True)
    done = subprocess.run(
        argv,
        cwd=CHECKOUT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    with open(OUTPUT / f"{name}.log", "a", encoding="utf-8") as log:
        log.write(f"+ {' '.join(argv)}\n{done.stdout}\n")
    if done.returncode:
        raise Failed(f"{' '.join(argv[:3])} ended with {done.returncode}")
    return done.stdout


def run_parts(name: str, parts: list[str], environment: dict[str, str]) -> None:
    """Run parts of the test suite, each of which has a time of its own; what they print is shown, and in the platform's file."""
    argv = [sys.executable, "tests/run.py", *parts]
    with open(OUTPUT / f"{name}.log", "a", encoding="utf-8") as log, subprocess.Popen(
        argv,
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            log.write(line)
    if process.returncode:
        raise Failed(f"tests/run.py ended with {process.returncode}")


def debian13(name: str) -> None:
    """The module tests and the scenarios on hosts of Debian 13."""
    integration = sorted(f"integration-{path.stem[5:]}" for path in (CHECKOUT / "tests/integration").glob("test_*.py"))
    scenarios = sorted(f"molecule-{path.parent.name}" for path in (CHECKOUT / "molecule").glob("*/molecule.yml"))
    run_parts(name, [*scenarios, *integration], {"OVERLOOM_TEST_ROOT": "trixie"})


def interpreter(release: str) -> str | None:
    """A Python of a release, from the path or from pyenv."""
    installed = sorted(pathlib.Path.home().glob(f".pyenv/versions/{release}.*/bin/python3"))
    return str(installed[-1]) if installed else shutil.which(f"python{release}")


def core_environment(name: str, core: str, python: str) -> pathlib.Path:
    """The programs of an environment with an ansible-core, made once and kept in the person's cache."""
    folder = CACHE / core
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run(name, [python, "-m", "venv", str(folder)])
        pip = [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
        run(name, [*pip, f"ansible-core~={core}.0", *PACKAGES])
        (folder / "complete").touch()
    return folder / "bin"


def with_core(name: str, core: str, python: str, steps: t.Sequence[str]) -> None:
    """Units, sanity and the default lab with an ansible-core as controller, or some of these steps."""
    programs = core_environment(name, core, python)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
        "ANSIBLE_HOME": str(OUTPUT / f"{name}.home"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": "default",
    }
    python = str(programs / "python")
    if "units" in steps:
        run(name, [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"], environment)
    if "sanity" in steps:
        run(name, [python, "tests/sanity.py"], environment)
    if "lab" in steps:
        default_lab(name, str(programs / "ansible-playbook"), core, environment)


def default_lab(name: str, program: str, core: str, environment: dict[str, str]) -> None:
    """The playbooks of the default lab, with a name of its own: it stands beside another one."""
    play = [program, "-i", "inventory/lab", "-e", f"fabric_name=core-{core.replace('.', '-')}"]
    try:
        for playbook, unchanged in LAB:
            printed = run(name, [*play, playbook], environment)
            if unchanged and re.search(r"changed=[1-9]", printed):
                raise Failed(f"{playbook}, run again, changed something")
            if "[DEPRECATION WARNING]" in printed:
                raise Failed(f"{playbook} uses a thing that is deprecated")
    except Failed:
        subprocess.run(
            [*play, "playbooks/lab_down.yml"],
            cwd=CHECKOUT,
            env={**os.environ, **environment},
            capture_output=True,
            check=False,
        )
        raise


def main() -> None:
    known = ["debian13", *(f"core-{core}" for core in CORES)]
    chosen = sys.argv[1:] or known
    parts = [f"core-{core}/{step}" for core in CORES for step in STEPS]
    wrong = sorted(set(chosen) - {*known, *parts})
    if wrong:
        sys.exit(f"no such platform: {', '.join(wrong)}; there are {', '.join([*known, *parts])}")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    told = []
    for asked in chosen:
        platform, _slash, step = asked.partition("/")
        # Also the name of the log.
        name = asked.replace("/", "-")
        (OUTPUT / f"{name}.log").write_text("", encoding="utf-8")
        core = platform.partition("-")[2]
        python = next(filter(None, map(interpreter, CORES.get(core, ()))), None)
        try:
            if name == "debian13":
                debian13(name)
            elif python:
                with_core(name, core, python, [step] if step else STEPS)
            else:
                told.append(("not tried", name, f"none of Python {', '.join(CORES[core])} is here"))
                continue
            told.append(("passed", name, python or ""))
        except (Failed, subprocess.TimeoutExpired) as error:
            told.append(("FAILED", name, f"{error}; see tests/output/{name}.log"))
        print(*told[-1], flush=True)
    results = [result for result, _name, _why in told]
    for result, name, why in told:
        if result == "not tried":
            print(result, name, why)
    print(
        f"\n{results.count('passed')} passed, {results.count('FAILED')} failed, {results.count('not tried')} not tried"
    )
    sys.exit(1 if "FAILED" in results else 0)


if __name__ == "__main__":
    main()

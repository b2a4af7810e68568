# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold all files against the linters, formatters and the type checker.

    python tests/gates.py [--shrink]

Files that were there before a gate are listed in tests/gates.txt until they are clean. The list only becomes shorter:
a finding in any other file fails, and --shrink takes off the list what is clean by now.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import typing as t

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
LIST = CHECKOUT / "tests/gates.txt"
BIN = pathlib.Path(sys.executable).parent
COLLECTION = ".collections/ansible_collections/overloom/fabric/"
# Besides the collection itself.
TYPED = (
    "docs",
    "tests/gates.py",
    "tests/integration/roots.py",
    "tests/machines",
    "tests/packages.py",
    "tests/platforms.py",
    "tests/run.py",
    "tools",
)


class Gate(t.NamedTuple):
    """A tool, and how its findings name their files."""

    name: str
    command: tuple[str, ...]
    finding: str


GATES = (
    Gate(
        "ruff-check", ("ruff", "check", "--no-cache", "--quiet", "--output-format=concise", "."), r"([^:\s]+):\d+:\d+: "
    ),
    Gate("ruff-format", ("ruff", "format", "--no-cache", "--check", "."), r"\s+--> ([^:\s]+):\d+:\d+"),
    Gate("mypy", ("mypy", "--no-error-summary", COLLECTION + "plugins"), r"([^:\s]+):\d+: error: "),
    Gate("mypy-tools", ("mypy", "--no-error-summary", *TYPED), r"([^:\s]+):\d+: error: "),
    Gate("yamllint", ("yamllint", "--strict", "--format=parsable", "."), r"([^:\s]+):\d+:\d+: "),
)


def findings(gate: Gate, output: str) -> dict[str, list[str]]:
    """The lines of a tool's output by the file that they are about."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        match = re.match(gate.finding, line)
        if match:
            name = match[1].removeprefix("./").removeprefix(COLLECTION)
            found.setdefault(name, []).append(line)
    return found


def run(gate: Gate) -> dict[str, list[str]]:
    """The findings of a gate. Ends the program when the tool itself fails."""
    command = [str(BIN / gate.command[0]), *gate.command[1:]]
    try:
        done = subprocess.run(
            command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except FileNotFoundError:
        sys.exit(f"{gate.command[0]} is not in {BIN}; `make check` installs it")
    found = findings(gate, done.stdout)
    if bool(done.returncode) != bool(found):
        sys.exit(f"{gate.name} ended with {done.returncode}:\n{done.stdout}")
    return found


def listed() -> set[tuple[str, str]]:
    """The pairs of gate and file that are not clean yet."""
    return {
        (words[0], words[1])
        for words in map(str.split, LIST.read_text(encoding="utf-8").splitlines())
        if words and words[0] != "#"
    }


def shrink(left: t.Iterable[tuple[str, str]]) -> None:
    """Write the list anew."""
    comments = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    LIST.write_text("\n".join([*comments, *(" ".join(pair) for pair in sorted(left))]) + "\n", encoding="utf-8")


def main() -> None:
    known = listed()
    dirty: set[tuple[str, str]] = set()
    failed = 0
    for gate in GATES:
        found = run(gate)
        new = [name for name in found if (gate.name, name) not in known]
        for name in new:
            print(*found[name], sep="\n")
        dirty |= {(gate.name, name) for name in found}
        failed += len(new)
        print(f"{gate.name}: {len(new)} files fail, {len(found) - len(new)} more are on the list", flush=True)
    if "--shrink" in sys.argv[1:]:
        shrink(known & dirty)
    print(
        f"gates: {failed} files fail, {len(known & dirty)} findings are listed, {len(known - dirty)} of the list are clean by now"
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

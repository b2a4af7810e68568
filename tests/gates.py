# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold all files against the linters, formatters and the type checker: python tests/gates.py"""

from __future__ import annotations

import pathlib
import subprocess
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(sys.executable).parent
COLLECTION = ".collections/ansible_collections/overloom/fabric/"
# Typed besides the collection itself.
TOOLS = (
    "docs",
    "tests/gates.py",
    "tests/integration/roots.py",
    "tests/machines",
    "tests/packages.py",
    "tests/platforms.py",
    "tests/run.py",
    "tools",
)
# mypy by itself for the tools, as a file is in one package only.
GATES = (
    ("ruff", "check", "--no-cache", "."),
    ("ruff", "format", "--no-cache", "--check", "."),
    ("mypy", COLLECTION + "plugins"),
    ("mypy", *TOOLS),
    ("yamllint", "--strict", "."),
    ("antsibull-changelog", "lint"),
)


def passes(program: str, *arguments: str) -> bool:
    """Run a gate; what it says is printed."""
    print(f"{program} {arguments[0]}", flush=True)
    try:
        return subprocess.run([str(BIN / program), *arguments], cwd=CHECKOUT, check=False).returncode == 0
    except FileNotFoundError:
        sys.exit(f"{program} is not in {BIN}; `make check` installs it")


def main() -> None:
    failed = sum(not passes(*gate) for gate in GATES)
    print(f"gates: {len(GATES) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

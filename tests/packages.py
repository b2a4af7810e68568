# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages that packages.txt declares.

    python3 tests/packages.py USE...

prints the packages of these uses whose first program this machine lacks. Needs Python alone: the Makefile asks it first of all.
"""

from __future__ import annotations

import glob
import os
import pathlib
import shutil
import sys
import typing as t

DECLARED = pathlib.Path(__file__).resolve().parent.parent / "packages.txt"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USES = ("base", "lab", "host", "test", "machines")


class Package(t.NamedTuple):
    """A line of the list. everywhere: whether each release of Debian has the package."""

    name: str
    uses: tuple[str, ...]
    programs: tuple[str, ...]
    everywhere: bool = True

    @property
    def pattern(self) -> str:
        """What apt takes for the package, also in a release without it."""
        return self.name if self.everywhere else f"?exact-name({self.name})"

    def is_here(self) -> bool:
        """Whether this machine has its first program."""
        program = self.programs[0]
        return bool(
            glob.glob(program)
            if program.startswith("/")
            else shutil.which(program, path=f"{os.environ.get('PATH', '')}:{PATH}")
        )


def declared() -> list[Package]:
    """All lines of the list."""
    packages = []
    for number, line in enumerate(DECLARED.read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        uses = tuple(words[1].split(",")) if len(words) > 2 else ()
        if not uses or set(uses) - set(USES):
            raise ValueError(
                f"{DECLARED.name}:{number}: write PACKAGE USES PROGRAM..., uses being of {', '.join(USES)}"
            )
        name = words[0].rstrip("?")
        if name != words[0] and uses != ("host",):
            raise ValueError(f"{DECLARED.name}:{number}: only hosts can do without {name}")
        packages.append(Package(name, uses, tuple(words[2:]), name == words[0]))
    return packages


def of(*uses: str) -> list[Package]:
    """The packages for any of these uses."""
    return [package for package in declared() if set(uses) & set(package.uses)]


if __name__ == "__main__":
    print(*(package.name for package in of(*sys.argv[1:]) if not package.is_here()))

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root of the tests' lab hosts: a minimal Debian that holds what packages.txt declares for hosts, and nothing else.

So a test that starts a program of an undeclared package fails, by the program's name, whatever is installed on the machine.

    python tests/integration/roots.py [SUITE]

makes it, if it is not there yet, and prints its folder.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import sys
import time

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests/integration")]

import harness  # noqa: E402  # pylint: disable=wrong-import-position

from tests import packages  # noqa: E402  # pylint: disable=wrong-import-position

SUITE = "bookworm"
# A folder or a release of Debian to boot the tests' hosts from: another one, or "/", the machine's own root.
VARIABLE = "OVERLOOM_TEST_ROOT"
BUILD_TIMEOUT = 1200
UNUSED_DAYS = 14
# What has Python on the hosts compile the modules that Ansible sends once: see there.
COMPILED_ONCE = pathlib.Path(__file__).with_name("compiled_once.py")
PYTHON_FOLDER = "/usr/lib/python3/dist-packages"
# Documentation that no test reads.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")


def lab_root() -> str:
    """The folder that the tests' lab hosts boot from, as the environment says."""
    chosen = os.environ.get(VARIABLE) or SUITE
    return chosen if chosen.startswith("/") else str(debian_root(chosen))


def debian_root(suite: str = SUITE) -> pathlib.Path:
    """A minimal root of a release of Debian: made once, in about a minute, and kept in the person's cache.

    It is another one when the list of packages changes. One that was not used for two weeks is removed when another is made.
    """
    include = sorted(package.pattern for package in packages.of("lab", "host"))
    command = [
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        *(f"--include={pattern}" for pattern in include),
    ]
    command += [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    # Another place of this checkout makes no other root.
    told = [*command, suite, COMPILED_ONCE.read_text(encoding="utf-8")]
    key = hashlib.sha256("\0".join(told).encode()).hexdigest()[:12]
    command += [
        f"--customize-hook=copy-in {COMPILED_ONCE} {PYTHON_FOLDER}",
        f"--customize-hook=echo import {COMPILED_ONCE.stem} > $1{PYTHON_FOLDER}/{COMPILED_ONCE.stem}.pth",
    ]

    def make(path: pathlib.Path) -> None:
        _remove_unused(path.parent)
        print(
            f"making a root of Debian {suite} for lab hosts in {path.parent}, once, about a minute",
            file=sys.stderr,
            flush=True,
        )
        harness.execute(harness.privileged([*command, suite, str(path)]), timeout=BUILD_TIMEOUT)

    root = harness.cached(f"root-{suite}-{key}", make)
    harness.execute(harness.privileged(["touch", str(root)]))
    return root


def _remove_unused(cache: pathlib.Path) -> None:
    for root in cache.glob("root-*"):
        # One that is being made has the times of the packages' files, and is its maker's.
        if root.is_dir() and root.suffix != ".new" and time.time() - root.stat().st_mtime > UNUSED_DAYS * 86400:
            harness.execute(harness.privileged(["rm", "-rf", "--one-file-system", str(root)]))


if __name__ == "__main__":
    print(debian_root(*sys.argv[1:2]))

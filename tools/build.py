# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection's tarball from the files that belong to it, and from nothing else that lies in the checkout.

    python tools/build.py [FOLDER]

ansible-galaxy takes all that galaxy.yml does not name, also a person's inventory and keys. So it builds a copy of the files that
the list below allows. (An allow list in galaxy.yml itself would make every installation from git need another Python library.)
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import tempfile

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
ALLOWED = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "COPYING",
    "README.md",
    "galaxy.yml",
    "packages.txt",
    "requirements.txt",
    "changelogs/*.yaml",
    "docs/*.md",
    "docs/*.py",
    "docs/images/*.png",
    "docs/images/*.svg",
    "docs/scenarios/*.md",
    "meta/runtime.yml",
    "playbooks/capture.yml",
    "playbooks/diagram.yml",
    "playbooks/down.yml",
    "playbooks/drift.yml",
    "playbooks/drill.yml",
    "playbooks/impair.yml",
    "playbooks/import.yml",
    "playbooks/lab.yml",
    "playbooks/lab_down.yml",
    "playbooks/outputs.yml",
    "playbooks/plan.yml",
    "playbooks/site.yml",
    "playbooks/status.yml",
    "playbooks/teardown.yml",
    "playbooks/trace.yml",
    "playbooks/up.yml",
    "playbooks/verify.yml",
    "plugins/**/*.py",
    "plugins/plugin_utils/_page/page.css",
    "plugins/plugin_utils/_page/page.js",
    "roles/*/README.md",
    *(f"roles/*/{folder}/*.yml" for folder in ("defaults", "handlers", "meta", "tasks", "vars")),
    "roles/*/templates/*.j2",
    "tests/*.py",
    "tests/bench/*.py",
    "tests/integration/*.py",
    "tests/machines/*.py",
    "tests/unit/**/*.py",
    "tools/*.py",
)


def files(checkout: pathlib.Path) -> list[pathlib.Path]:
    """The files of the collection, as paths in the checkout."""
    found = {
        path.relative_to(checkout)
        for pattern in ALLOWED
        for path in checkout.glob(pattern)
        if path.is_file() and not path.is_symlink()
    }
    return sorted(path for path in found if not any(part.startswith(".") for part in path.parts))


def build(checkout: pathlib.Path, target: pathlib.Path) -> None:
    """Write the tarball of a checkout into a folder. Raises CalledProcessError when ansible-galaxy fails, which says why."""
    tool = pathlib.Path(sys.executable).parent / "ansible-galaxy"
    with tempfile.TemporaryDirectory(prefix="overloom-build-") as folder:
        copy = pathlib.Path(folder) / "fabric"
        for path in files(checkout):
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / path, copy / path)
        subprocess.run(
            [str(tool), "collection", "build", "--force", "--output-path", str(target)], cwd=copy, check=True
        )


if __name__ == "__main__":
    try:
        build(CHECKOUT, pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection and hold the tarball against what the community's review asks.

ansible-test sanity (without an ignore file), antsibull-docs, galaxy-importer, and an installation from the tarball
whose playbooks run by their full names. Needs only the Python package index.

    python tests/sanity.py [--short] [--only pylint | --without pylint]

A short run lets ansible-test leave out the tests, which take it a third of its time. Pylint takes most of the rest, so it can run by itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(sys.executable).parent

# ansible-test fetches this script from a host that a closed network does not reach; Python carries a pip of its own.
GET_PIP = "import ensurepip\nensurepip.bootstrap(upgrade=True, default_pip=True)\n"


def run(*argv: object, cwd: pathlib.Path, env: dict[str, str] | None = None) -> str:
    """Run a command and show it; its output is shown and returned. Ends this program when the command fails."""
    line = [str(word) for word in argv]
    print("+", " ".join(line), flush=True)
    done = subprocess.run(
        line,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    print(done.stdout, flush=True)
    if done.returncode:
        sys.exit(f"failed with {done.returncode}: {' '.join(line)}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="without the tests")
    pylint = parser.add_mutually_exclusive_group()
    pylint.add_argument("--only", choices=["pylint"], help="nothing but this")
    pylint.add_argument("--without", choices=["pylint"], help="all but this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overloom-sanity-") as folder:
        work = pathlib.Path(folder)
        os.environ["PATH"] = f"{BIN}:{os.environ['PATH']}"
        # The built collection is judged, so nothing may lead Ansible to the checkout.
        for name in ("ANSIBLE_CONFIG", "ANSIBLE_COLLECTIONS_PATH"):
            os.environ.pop(name, None)
        run(sys.executable, CHECKOUT / "tools/build.py", work, cwd=CHECKOUT)
        tarball = next(work.glob("overloom-fabric-*.tar.gz"))
        run(BIN / "ansible-galaxy", "collection", "install", "--offline", "--force", tarball, "-p", work, cwd=work)
        installed = work / "ansible_collections/overloom/fabric"

        # ansible-test takes its list of files from git, as in a clone.
        run("git", "init", "-q", cwd=installed)
        run("git", "add", "-A", cwd=installed)
        home = work / "home"
        cache = pathlib.Path.home() / ".ansible/test/cache"
        cache.mkdir(parents=True, exist_ok=True)
        requirements = (
            pathlib.Path(importlib.util.find_spec("ansible_test").origin or "").parent
            / "_internal/python_requirements.py"
        )
        for pip in set(re.findall(r"pip=['\"]([0-9.]+)['\"]", requirements.read_text(encoding="utf-8"))):
            script = cache / f"get_pip_{pip.replace('.', '_')}.py"
            if not script.exists():
                script.write_text(GET_PIP, encoding="utf-8")
        if list((installed / "tests").glob("sanity/ignore*")):
            sys.exit("there is an ignore file for ansible-test sanity; mend what it hides instead")
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        run(
            BIN / "ansible-test",
            "sanity",
            "--local",
            "--requirements",
            "--python",
            python,
            "--color",
            "no",
            *(["--exclude", "tests/"] if options.short else []),
            *(["--test", options.only] if options.only else []),
            *(["--skip-test", options.without] if options.without else []),
            cwd=installed,
        )
        if options.only:
            return
        run(BIN / "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", ".", cwd=installed)
        # ansible-lint is a part of its own, with more rules; here it would have 180 s, which a busy machine does not keep.
        importer = {"HOME": str(home), "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false"}
        said = run(sys.executable, "-m", "galaxy_importer.main", tarball, cwd=work, env=importer)
        doubts = [line for line in said.splitlines() if line.startswith(("WARNING", "ERROR"))]
        if doubts:
            sys.exit("galaxy-importer has doubts:\n" + "\n".join(doubts))
        run(
            BIN / "ansible-playbook",
            "overloom.fabric.plan",
            "-i",
            CHECKOUT / "inventory/gre_vlan",
            cwd=work,
            env={"ANSIBLE_COLLECTIONS_PATH": str(work)},
        )
    print("sanity: everything holds")


if __name__ == "__main__":
    main()

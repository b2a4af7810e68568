# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Enter a host of an inventory, for a shell or one command: a lab host by its namespaces, another one over SSH.

python tools/enter.py INVENTORY HOST [COMMAND...]
"""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import subprocess
import sys
import typing as t

LABS = pathlib.Path("/run/overloom/labs")
LAB = "overloom.fabric.lab"
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "USER=root",
    "LANG=C.UTF-8",
)


def inventory(path: str) -> dict[str, dict[str, t.Any]]:
    """The variables of each host."""
    tool = pathlib.Path(sys.executable).parent / "ansible-inventory"
    done = subprocess.run([str(tool), "-i", path, "--list"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)["_meta"]["hostvars"]


def command(name: str, variables: dict[str, t.Any], argv: list[str], folder: pathlib.Path = LABS) -> list[str]:
    """What enters the host. Raises LookupError with a sentence when its lab is not up."""
    if variables.get("ansible_connection") != LAB:
        user = [f"-l{variables['ansible_user']}"] if "ansible_user" in variables else []
        port = [f"-p{variables['ansible_port']}"] if "ansible_port" in variables else []
        return [
            "ssh",
            "-t",
            *user,
            *port,
            str(variables.get("ansible_host", name)),
            *([shlex.join(argv)] if argv else []),
        ]
    lab = variables.get("lab_name", variables["fabric_name"])
    try:
        leader = (folder / lab / "hosts" / name / "leader").read_text(encoding="ascii").split()[0]
    except (OSError, IndexError):
        raise LookupError(f"host {name} of lab {lab} is not up; boot it with make lab") from None
    terminal = [f"TERM={os.environ.get('TERM', 'dumb')}"]
    enter = [
        "nsenter",
        f"--target={leader}",
        *NAMESPACES,
        "--",
        "env",
        "-i",
        # Not nsenter's own option, which means a folder of the machine, from where no folder of the host is found.
        "--chdir=/root",
        *ENVIRONMENT,
        *terminal,
        *(argv or ["bash", "-l"]),
    ]
    return enter if os.geteuid() == 0 else ["sudo", *enter]


def guests(variables: dict[str, t.Any]) -> list[str]:
    """The guests that a host's variables list. Where a template makes the list, it is a text here, and has none."""
    points = variables.get("fabric_endpoints", [])
    return [one["name"] for one in points if isinstance(one, dict) and one.get("kind") == "guest"]


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit("name the inventory and the host: python tools/enter.py INVENTORY HOST [COMMAND...]")
    path, name, *argv = sys.argv[1:]
    hosts = inventory(path)
    if name not in hosts:
        sys.exit(
            f"{path} has no host {name or 'without a name'}; say HOST=NAME, NAME being one of: {', '.join(sorted(hosts))}"
        )
    if "" in argv:
        sys.exit(f"say GUEST=NAME; guests of {name}: {', '.join(guests(hosts[name])) or 'none'}")
    try:
        line = command(name, hosts[name], argv)
    except LookupError as error:
        sys.exit(str(error))
    os.execvp(line[0], line)


if __name__ == "__main__":
    main()

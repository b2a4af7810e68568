# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the next commands for a lab that stands, as they work for its inventory.

python tools/hints.py INVENTORY
"""

from __future__ import annotations

import sys
import typing as t

from enter import guests, inventory

DEFAULT = "inventory/lab"


def hints(path: str, hosts: dict[str, dict[str, t.Any]]) -> list[tuple[str, str]]:
    """Commands, and what each is for."""
    ansible, make = ("", "") if path == DEFAULT else (f" -i {path}", f" INVENTORY={path}")
    carriers = sorted(name for name, variables in hosts.items() if variables.get("fabric_endpoints"))
    host = (carriers or sorted(hosts))[0]
    there = guests(hosts[host])
    lines = [
        (f"ansible-playbook{ansible} site.yml", "again: nothing changes"),
        (f"ansible-playbook{ansible} playbooks/plan.yml", "every decision, and its reason"),
        (f"ansible{ansible} {host} -m ovs_tunnel_info", "the tunnels of a host, typed"),
        (f"make shell{make} HOST={host}", "a shell there: change something by hand,"),
        (f"ansible-playbook{ansible} site.yml --check --diff", "and see it found; without --check, repaired"),
    ]
    if there:
        lines.append((f"make console{make} HOST={host} GUEST={there[0]}", "a guest's console; Ctrl-] leaves it"))
    return [*lines, (f"make lab-down{make}", "leave nothing behind")]


def main() -> None:
    path = sys.argv[1]
    lines = hints(path, inventory(path))
    width = max(len(command) for command, _purpose in lines)
    print(f"\nThe fabric of {path} stands and is proved. Next, with '. .venv/bin/activate':")
    for command, purpose in lines:
        print(f"  {command:{width}}  {purpose}")


if __name__ == "__main__":
    main()

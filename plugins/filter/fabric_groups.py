# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The groups of an inventory that the fabric consists of."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fabric_groups
short_description: The groups of an inventory that the fabric consists of
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Returns those of the groups C(kvm_hosts) and C(routers) that have hosts, for the C(hosts) of a play.
  - Fails when there is none, and when a limit leaves none of their hosts. Ansible itself ends a play that matches no host with success.
  - Fails when a file of the inventory is no YAML, with its path and line, which Ansible leaves out for files of variables.
positional: limit
options:
  _input:
    description: The inventory's groups with their hosts, which is the variable C(groups).
    type: dict
    required: true
  limit:
    description: The run's limit, which is the variable C(ansible_limit).
    type: str
    default: ''
  sources:
    description: The inventory's paths, which are the variable C(ansible_inventory_sources).
    type: list
    elements: str
    default: []
  lab:
    description:
      - The play makes or removes the inventory's lab. It needs a host of whatever group, and runs on this machine, so V(localhost) is returned.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Measure the fabric against its plan
  hosts: "{{ groups | overloom.fabric.fabric_groups(ansible_limit | default(''), sources=ansible_inventory_sources | default([])) }}"
  roles:
    - role: overloom.fabric.plan
    - role: overloom.fabric.verify
"""

RETURN = r"""
_value:
  description: The names of the groups.
  type: list
  elements: str
"""

import difflib
import pathlib
import re
import typing as t

import yaml
from ansible import context
from ansible.errors import AnsibleFilterError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

GROUPS = ("kvm_hosts", "routers")
_BUILT_IN = ("all", "ungrouped")
# Files in which Ansible looks for variables, and for hosts in a folder.
_YAML = ("", ".yml", ".yaml")


def fabric_groups(
    groups: dict[str, list[str]], limit: str = "", sources: t.Sequence[str] = (), lab: bool = False
) -> list[str]:
    """The groups of the fabric that have hosts; an error that names the groups that are there, if there is none."""
    broken = next(filter(None, map(_broken, _files(sources))), None)
    if broken:
        raise AnsibleFilterError(f"{broken} No host was touched.")
    there = [name for name in GROUPS if groups.get(name)]
    # A check of the syntax needs no inventory, and touches no host.
    if not (groups.get("all") if lab else there) and not context.CLIARGS.get("syntax"):
        raise AnsibleFilterError(_nothing(groups, ", ".join(sources)))
    if lab:
        return ["localhost"]
    left = _limited(groups, limit)
    if left is not None and not any(host in left for name in there for host in groups[name]):
        raise AnsibleFilterError(
            f"The limit {limit!r} leaves no host of the fabric; its groups are {' and '.join(map(_with_hosts(groups), there))}. No host was touched."
        )
    return there


def _files(sources: t.Sequence[str]) -> t.Iterator[pathlib.Path]:
    """The files of an inventory that are YAML by their names: its hosts, and the variables beside them."""
    for source in map(pathlib.Path, sources):
        folder = source if source.is_dir() else source.parent
        yield from sorted(folder.glob("*.y*ml")) if source.is_dir() else [source] * (source.suffix in _YAML[1:])
        for name in ("group_vars", "host_vars"):
            found = sorted(folder.glob(f"{name}/**/*"))
            yield from (path for path in found if path.suffix in _YAML and not path.name.startswith("."))


def _broken(path: pathlib.Path) -> str | None:
    """The sentence about a file that is no YAML, with the line; None if it is, is encrypted, or cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        if not text.startswith("$ANSIBLE_VAULT"):
            for _event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                pass
    except (OSError, UnicodeDecodeError):
        return None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line if mark else 0
        shown = (text.splitlines() or [""])[line : line + 1]
        why = (
            "it begins with a tab; indent with blanks"
            if any(re.match(r" *\t", one) for one in shown)
            else getattr(error, "problem", None)
        )
        return f"{path}, line {line + 1}, is no YAML: {why or error}."
    return None


def _nothing(groups: dict[str, list[str]], where: str) -> str:
    """The sentence about an inventory without a host of the fabric."""
    inventory = f"The inventory {where}" if where else "The inventory"
    own = [name for name in groups if name not in _BUILT_IN]
    if not own and not groups.get("all"):
        return f"{inventory} has no host at all; correct its path (-i), or put hosts into the group kvm_hosts. No host was touched."
    known = (
        f"its groups are {', '.join(map(_with_hosts(groups), own))}"
        if own
        else f"its hosts, {', '.join(groups['all'])}, are in no group"
    )
    return f"{inventory} has no host in the group kvm_hosts or routers; {known}{_meant(own)}. Put the fabric's hosts into kvm_hosts. No host was touched."


def _with_hosts(groups: dict[str, list[str]]) -> t.Callable[[str], str]:
    """What tells a group with its hosts; of many hosts, the first three."""

    def shown(name: str) -> str:
        hosts = groups[name]
        more = f" and {len(hosts) - 3} more" if len(hosts) > 3 else ""
        return f"{name} ({', '.join(hosts[:3]) + more if hosts else 'no host'})"

    return shown


def _meant(own: list[str]) -> str:
    """A question, where a group's name is nearly one of the fabric's."""
    for wanted in GROUPS:
        for near in difflib.get_close_matches(wanted, [name for name in own if name not in GROUPS], n=1, cutoff=0.8):
            return f" (did you mean {wanted} with {near}?)"
    return ""


def _limited(groups: dict[str, list[str]], limit: str) -> set[str] | None:
    """The hosts that a limit leaves, as Ansible itself resolves patterns; None if there is no limit, or if it is in a file."""
    if not limit or "@" in limit:
        return None
    manager = InventoryManager(DataLoader(), parse=False)
    for group, hosts in groups.items():
        manager.add_group(group)
        for host in hosts:
            manager.add_host(host, group=group)
    return {str(host) for host in manager.list_hosts(limit)}


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {"fabric_groups": fabric_groups}

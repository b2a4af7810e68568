# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame of the actions that run on the controller: plan, verify, status and their sisters.

This file is private to the collection.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import typing as t

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files

_AD_HOC = re.compile(r"\bansible (?=\S+ -[a-z] )")


class ControllerAction(ActionBase):
    """An action without a host: other tasks read and change hosts, so check mode is the same.

    A plugin states its ARGUMENTS and answers in act().
    """

    _requires_connection = False
    _supports_check_mode = True
    TRANSFERS_FILES = False
    ARGUMENTS: t.ClassVar[dict[str, t.Any]]

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=self.ARGUMENTS)
        return {**result, "changed": False, **self.act(options, task_vars or {})}

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """What the task returns. options: as ARGUMENTS has them; variables: those of the task, with hostvars and groups."""
        raise NotImplementedError


def failed(message: str) -> dict[str, t.Any]:
    """What a task returns besides, when it fails."""
    return {"failed": True, "msg": message}


def display(lines: t.Iterable[str], variables: t.Mapping[str, t.Any] | None = None) -> None:
    """Lines on the terminal, apart from what stands around. variables: of the task, so that commands in the lines name its inventory."""
    text = "\n".join(["", *lines, ""])
    Display().display(in_inventory(text, (variables or {}).get("ansible_inventory_sources") or []))


def in_inventory(text: str, sources: t.Sequence[str]) -> str:
    """A text whose ad-hoc commands (`ansible HOST -m ...`) work as printed: with -i, unless the inventory is the configured one."""
    if list(sources) == [str(path) for path in C.DEFAULT_HOST_LIST]:
        return text
    here = os.getcwd() + os.sep
    options = "".join(
        f"-i {shlex.quote(source[len(here) :] if source.startswith(here) else source)} " for source in sources
    )
    return _AD_HOC.sub(lambda _found: f"ansible {options}", text)


def write_json(folder: str | None, name: str, report: dict[str, t.Any]) -> None:
    """A report as a file, for programs; nothing without a folder."""
    if folder:
        _report_files.write(folder, {name: json.dumps(report, indent=1) + "\n"})

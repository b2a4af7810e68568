# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Diagram: draws the plan, by Graphviz. What is drawn is decided in plugin_utils."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram import dot, picture

FILE, STATUS = "fabric.svg", "status.json"
# Seconds. Graphviz needs less than one for the largest pictures there are, as large fabrics are folded.
TIMEOUT = 120
LAYERS = [*picture.LAYERS, "state"]
ARGUMENTS = {
    "plan": {"type": "dict", "required": True},
    "layers": {"type": "list", "elements": "str", "choices": LAYERS, "default": LAYERS},
    "report": {"type": "path", "default": "reports"},
}


class ActionModule(ActionBase):
    """Runs on the controller; no host is touched, so check mode is the same."""

    _requires_connection = False
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        plan, folder, layers = options["plan"], options["report"], options["layers"]
        status, why_not = read_status(folder, plan["fabric"]) if "state" in layers else (None, "")
        groups = {str(name): [str(host) for host in hosts] for name, hosts in (task_vars or {})["groups"].items()}
        svg = dot.unseal(_drawn(picture.picture(plan, layers, groups, status)))
        _report_files.write(folder, {FILE: svg})
        path = os.path.join(folder, FILE)
        lines = [f"  {path}: {picture.told(plan, status)}", *([f"  {why_not}"] if why_not else [])]
        Display().display("\n".join(["", *lines, ""]))
        return {**result, "changed": False, "path": path, "state": status is not None}


def _drawn(text: str) -> str:
    """The SVG that Graphviz makes of a text in DOT."""
    try:
        done = subprocess.run(
            ["dot", "-Tsvg"], input=text.encode("utf-8"), capture_output=True, check=False, timeout=TIMEOUT
        )
    except FileNotFoundError:
        raise AnsibleActionFail(
            "Drawing needs the program dot on the controller; install Graphviz, whose package is called graphviz. No host was touched."
        ) from None
    except subprocess.TimeoutExpired:
        raise AnsibleActionFail(
            f"Graphviz did not lay the picture out within {TIMEOUT} s; leave out a layer (diagram_layers)."
        ) from None
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"it ended with {done.returncode}"]
        raise AnsibleActionFail(f"Graphviz could not lay the picture out: {told[0]}")
    return done.stdout.decode("utf-8")


def read_status(folder: str, fabric: str) -> tuple[dict[str, t.Any] | None, str]:
    """The report of status on this fabric, and why one that is there is not shown."""
    path = os.path.join(folder, STATUS)
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
        report = {key: found[key] for key in ("fabric", "time", "hosts", "problems")}
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, KeyError, TypeError):
        return None, f"{path} is no report of status, so the picture shows no state."
    if report["fabric"] != fabric:
        return None, f"{path} is of fabric {report['fabric']}, so the picture shows no state."
    return report, ""

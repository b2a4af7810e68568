# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Diagram: draws the plan, by Graphviz. What is drawn is decided in plugin_utils."""

from __future__ import annotations

import json
import os
import subprocess
import time
import typing as t

from ansible.errors import AnsibleActionFail

from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import ControllerAction, display
from ansible_collections.overloom.fabric.plugins.plugin_utils._diagram import dot, picture, state
from ansible_collections.overloom.fabric.plugins.plugin_utils._page import page

FILES = ("fabric.svg", "fabric.html")
# Seconds. Graphviz needs less than one for the largest pictures there are, as large fabrics are folded.
TIMEOUT = 120
LAYERS = [*picture.LAYERS, "state"]


class ActionModule(ControllerAction):
    """Runs on the controller; no host is touched, so check mode is the same."""

    ARGUMENTS = {
        "plan": {"type": "dict", "required": True},
        "layers": {"type": "list", "elements": "str", "choices": LAYERS, "default": LAYERS},
        "report": {"type": "path", "default": "reports"},
    }

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        plan, folder = options["plan"], options["report"]
        reports, left_out = read_reports(folder, plan["fabric"])
        status = reports["status"].data if "state" in options["layers"] and "status" in reports else None
        groups = {str(name): [str(host) for host in hosts] for name, hosts in variables["groups"].items()}
        svg = dot.unseal(_drawn(picture.picture(plan, options["layers"], groups, status)))
        _report_files.write(folder, dict(zip(FILES, (svg, page.page(plan, svg, groups, reports, time.time())))))
        drawn, written = (os.path.join(folder, name) for name in FILES)
        told = f", with the reports of {', '.join(reports)}" if reports else ""
        lines = [f"{drawn}: {picture.told(plan, status)}", f"{written}: the same with all details{told}", *left_out]
        display(f"  {line}" for line in lines)
        return {"path": drawn, "page": written, "reports": list(reports)}


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


def read_reports(folder: str, fabric: str) -> tuple[dict[str, page.Report], list[str]]:
    """The reports on this fabric that there are, by their names, and why others are left out."""
    found, left_out = {}, []
    for name in page.REPORTS:
        path = os.path.join(folder, f"{name}.json")
        try:
            with open(path, encoding="utf-8") as stream:
                data, written = json.load(stream), os.fstat(stream.fileno()).st_mtime
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            data, written = None, 0.0
        if not isinstance(data, dict) or "fabric" not in data or (name == "status" and not state.usable(data)):
            left_out.append(f"{path} is no report of {name}, and is left out.")
        elif data["fabric"] != fabric:
            left_out.append(f"{path} is of fabric {data['fabric']}, and is left out.")
        else:
            found[name] = page.Report(data, written)
    return found, left_out

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import: an inventory from what the role read of hosts that were built by hand. The work is done in plugin_utils."""

from __future__ import annotations

import base64
import json
import os
import re
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.overloom.fabric.plugins.action.plan import plain, specification
from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._import import show
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.intent import imported

FILE = "import.json"
ARGUMENTS = {
    "fabric": {"type": "str", "required": True},
    "folder": {"type": "path", "required": True},
    "report": {"type": "path"},
}
# What the role has read, by the names of its results.
PARTS = ("importer_namespaces", "importer_switch", "importer_host")
OPTIONAL_PARTS = ("importer_guests", "importer_frr")
ROUTING = re.compile(r"^router .*", re.M)


class ActionModule(ActionBase):
    """Runs on the controller; other tasks looked at the hosts."""

    _requires_connection = False
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        seen = {str(host): variables["hostvars"][host] for host in variables["ansible_play_hosts_all"]}
        unread = {host: why for host, found in seen.items() for why in [_unread(found)] if why}
        reads = {host: plain(_read(found)) for host, found in seen.items() if host not in unread}
        found = imported(reads, plain(options["fabric"]), specification("plan"))
        Display().display("\n".join(["", *show.lines(found, unread, options["folder"]), ""]))
        if options["report"]:
            report = json.dumps(show.report(found, unread), indent=1)
            _report_files.write(options["report"], {FILE: report + "\n"})
        texts = show.files(found) if found.hosts else {}
        result.update(changed=False, unknown=len(found.unknown), changes=len(found.changes), hosts=sorted(found.hosts))
        edited = [path for path, text in texts.items() if _edited(os.path.join(options["folder"], path), text)]
        if edited:
            files = " and ".join(edited)
            msg = f"{options['folder']} has another {files}, which stays as it is; name another folder in importer_folder, or remove the file."
            return {**result, "failed": True, "msg": msg}
        result["changed"] = any(not os.path.exists(os.path.join(options["folder"], path)) for path in texts)
        if result["changed"] and not self._task.check_mode:
            for path, text in texts.items():
                folder, name = os.path.split(os.path.join(options["folder"], path))
                _report_files.write(folder, {name: text})
        if not found.hosts or found.refused or unread:
            result.update(
                failed=True,
                msg="Import: not all of the hosts gave an intent that the plan takes; the reasons are above.",
            )
        return result


def _edited(path: str, text: str) -> bool:
    """Whether there is another file already, which may be somebody's work."""
    if not os.path.exists(path):
        return False
    with open(path, encoding="utf-8") as stream:
        return stream.read() != text


def _unread(variables: t.Mapping[str, t.Any]) -> str | None:
    """Why a host could not be read, if so. Without libvirt and FRR, their tasks were skipped."""
    for name in (*PARTS, *OPTIONAL_PARTS):
        result = variables.get(name) or {"failed": True}
        if result.get("unreachable") or result.get("failed"):
            return str(result.get("msg") or "it does not answer").strip().splitlines()[0]
    return None


def _read(variables: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the role has read of a host, in one. The switch is read without namespaces, so these come last."""
    namespaces, switch, host = (variables[name] for name in PARTS)
    text = base64.b64decode(variables["importer_frr"].get("content") or "").decode(errors="replace")
    guests = variables["importer_guests"].get("domains")
    return {
        **{name: switch[name] for name in ("bridges", "tunnels")},
        "namespaces": namespaces["namespaces"],
        "spaces": host["spaces"],
        "domains": guests,
        "routing": ROUTING.findall(text),
    }

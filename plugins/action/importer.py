# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import: an inventory from what the role read of hosts that were built by hand. The work is done in plugin_utils."""

from __future__ import annotations

import base64
import os
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.action.plan import plain, specification
from ansible_collections.overloom.fabric.plugins.plugin_utils import _report_files
from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import (
    ControllerAction,
    display,
    failed,
    write_json,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._import import show
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.intent import imported

FILE = "import.json"
# What the role has read, by the names of its results.
PARTS = ("importer_namespaces", "importer_switch", "importer_host")
OPTIONAL_PARTS = ("importer_guests", "importer_frr")
ROUTING = re.compile(r"^router .*", re.M)


class ActionModule(ControllerAction):
    """Runs on the controller; other tasks looked at the hosts."""

    ARGUMENTS = {
        "fabric": {"type": "str", "required": True},
        "folder": {"type": "path", "required": True},
        "report": {"type": "path"},
    }

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        seen = {str(host): variables["hostvars"][host] for host in variables["ansible_play_hosts_all"]}
        unread = {host: why for host, found in seen.items() for why in [_unread(found)] if why}
        reads = {host: plain(_read(found)) for host, found in seen.items() if host not in unread}
        found = imported(reads, plain(options["fabric"]), specification("plan"))
        display(show.lines(found, unread, options["folder"]))
        write_json(options["report"], FILE, show.report(found, unread))
        texts = show.files(found) if found.hosts else {}
        result = {"unknown": len(found.unknown), "changes": len(found.changes), "hosts": sorted(found.hosts)}
        paths = {os.path.join(options["folder"], path): text for path, text in texts.items()}
        edited = [path for path, text in texts.items() if _edited(os.path.join(options["folder"], path), text)]
        if edited:
            files = " and ".join(edited)
            message = f"{options['folder']} has another {files}, which stays as it is; name another folder in importer_folder, or remove the file."
            return {**result, **failed(message)}
        result["changed"] = not all(map(os.path.exists, paths))
        if result["changed"] and not self._task.check_mode:
            for path, text in paths.items():
                folder, name = os.path.split(path)
                _report_files.write(folder, {name: text})
        if not found.hosts or found.refused or unread:
            result.update(
                failed("Import: not all of the hosts gave an intent that the plan takes; the reasons are above.")
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

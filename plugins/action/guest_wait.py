# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""guest_wait in slices, so that a person sees what is waited for while it lasts."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

SLICE_SECONDS = 10
COMMON = ("uri", "slice")
display = Display()


class ActionModule(ActionBase):
    """Runs the module on the host for some seconds at a time and tells what is pending in between."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The result is that of one long run of the module."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        if args.get("slice") or self._task.check_mode or not isinstance(args.get("waits", []), list):
            return self._execute_module(module_args=args, task_vars=task_vars)
        args = _listed(args)
        open_waits = dict(enumerate(args["waits"]))
        outcomes: dict[int, dict[str, t.Any]] = {}
        while True:
            result = self._execute_module(
                module_args={**args, "waits": list(open_waits.values()), "slice": SLICE_SECONDS}, task_vars=task_vars
            )
            if "waits" not in result:
                return result
            for number, outcome in zip(list(open_waits), result["waits"]):
                outcomes[number] = outcome
                if outcome["ready"] or outcome["error"] or outcome["over"]:
                    del open_waits[number]
                else:
                    open_waits[number] = {**open_waits[number], "since": outcome["begun"]}
                    host = (task_vars or {}).get("inventory_hostname", "the host")
                    display.display(f"waiting on {host} for {_pending(outcome)}")
            if result.get("failed") or not open_waits:
                result["waits"] = [outcomes[number] for number in sorted(outcomes)]
                return result


def _listed(args: dict[str, t.Any]) -> dict[str, t.Any]:
    """The arguments with a list of waits; the plain options are one."""
    if "waits" in args:
        return args
    one = {key: value for key, value in args.items() if key not in COMMON}
    return {"waits": [one], **{key: args[key] for key in COMMON if key in args}}


def _pending(outcome: dict[str, t.Any]) -> str:
    """A wait that is not over, in words."""
    last_line = f" | {outcome['console'][-1]}" if outcome["console"] else ""
    return f"{outcome['what']}, since {outcome['since']}, until {outcome['until']}: {outcome['last']}{last_line}"

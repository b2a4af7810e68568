# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Impair: says which interfaces of which hosts a tunnel, a link or an endpoint is. The work is done in plugin_utils."""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import ControllerAction, failed
from ansible_collections.overloom.fabric.plugins.plugin_utils._impair import places


class ActionModule(ControllerAction):
    """Finds the interfaces; another task changes the hosts."""

    ARGUMENTS: t.ClassVar[dict[str, t.Any]] = {
        "plan": {"type": "dict", "required": True},
        "effect": {"type": "str", "required": True},
        "for": {"type": "str", "default": "30s"},
        "cables": {"type": "list", "elements": "list", "default": []},
        **{kind: {"type": "str"} for kind in places.KINDS},
    }

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        try:
            asked = _asked(options)
        except places.ImpairError as error:
            return failed(str(error))
        missing = sorted(set(asked["hosts"]) - set(variables["ansible_play_hosts_all"]))
        if missing:
            return failed(
                f"{missing[0]} would be impaired, too, but is not among the hosts of this run; extend --limit."
            )
        return asked


def _asked(options: dict[str, t.Any]) -> dict[str, t.Any]:
    """What the hosts are told. Raises ImpairError."""
    named = [kind for kind in places.KINDS if options[kind]]
    off = options["effect"].strip().lower() == places.OFF
    if off and not named:
        return {"hosts": {}, "state": "absent", "all": True}
    if len(named) != 1:
        given = " and ".join(named) or "none of them"
        raise places.ImpairError(f"{given} given; name one of {', '.join(places.KINDS)}, as in -e tunnel=kvm1/kvm2.")
    (kind,) = named
    plan = options["plan"]
    found = places.places(plan, places.cables_of(plan, options["cables"]), kind, options[kind])
    if off:
        return {"hosts": found, "state": "absent", "all": False}
    made = places.with_effect(found, places.effect(options["effect"]), options["for"])
    return {"hosts": made, "state": "present", "all": False}

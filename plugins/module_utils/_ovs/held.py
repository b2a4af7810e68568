# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flows, groups, meters and GENEVE options that a bridge holds in the memory of ovs-vswitchd: whose they are, and how they come back.

This file is private to the collection. Source: ovs-ofctl(8).
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import COOKIE_PREFIX
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.flow import DEFAULT_FLOW, Flow, parse_dump
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.group import Group, parse_groups
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.meter import Meter, parse_meters
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.switch import (
    BUNDLED,
    Tlv,
    parse_tlvs,
    spoken,
    tlvs_text,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner, Step


class Held(t.NamedTuple):
    """What a bridge holds, but for the flow that Open vSwitch put there itself."""

    flows: tuple[Flow, ...] = ()
    groups: tuple[Group, ...] = ()
    meters: tuple[Meter, ...] = ()
    tlvs: tuple[Tlv, ...] = ()


def others(flows: t.Iterable[Flow]) -> list[str]:
    """The flows that were not made by this collection, in words."""
    cookies = [flow.cookie for flow in flows if flow.cookie >> 48 != COOKIE_PREFIX]
    if not cookies:
        return []
    some = sorted(set(cookies))
    shown = ", ".join(f"{cookie:#x}" for cookie in some[:3]) + (", ..." if len(some) > 3 else "")
    return [f"{len(cookies)} flow{'s' if len(cookies) > 1 else ''} with cookie {shown}"]


class Reader:
    """Reads one bridge; nothing is there if ovs-vswitchd does not answer for it, as for a bridge that it could not make."""

    def __init__(self, runner: Runner, name: str, row: t.Mapping[str, t.Any], timeout: int) -> None:
        self._runner, self._name, self._row = runner, name, row
        self._protocol = spoken(row["protocols"])
        self._begin = ["ovs-ofctl", f"--timeout={timeout}", "-O", self._protocol]

    def _ask(self, command: str, *arguments: str) -> str | None:
        status, out, _err = self._runner.run([*self._begin, command, self._name, *arguments])
        return None if status else out

    def _ofctl(self, command: str, *arguments: str) -> str:
        return self._ask(command, *arguments) or ""

    def all_flows(self) -> tuple[Flow, ...] | None:
        """Its flows, with the one that Open vSwitch put there itself; None if ovs-vswitchd does not answer."""
        dump = self._ask("dump-flows", "--no-names", "--no-stats")
        return None if dump is None else tuple(flow for flow, _counters in parse_dump(dump))

    def flows(self) -> tuple[Flow, ...]:
        """Its flows, but for the one that Open vSwitch put there itself."""
        return self.made(self.all_flows() or ())

    def made(self, flows: tuple[Flow, ...]) -> tuple[Flow, ...]:
        """Of its flows those that somebody made."""
        return flows if self._row["fail_mode"] == "secure" else tuple(flow for flow in flows if flow != DEFAULT_FLOW)

    def held(self, tlvs: bool) -> Held:
        """All that it holds; tlvs: the GENEVE options, too."""
        return Held(
            self.flows(),
            tuple(parse_groups(self._ofctl("dump-groups", "--no-names")).values()),
            tuple(parse_meters(self._ofctl("dump-meters")).values()) if self._protocol >= "OpenFlow13" else (),
            tuple(parse_tlvs(self._ofctl("dump-tlv-map"))) if tlvs else (),
        )


def put_back(held: Held, name: str, protocols: t.Collection[str], timeout: int) -> list[Step]:
    """The commands that make it all again after Open vSwitch has dropped it."""
    begin = ("ovs-ofctl", f"--timeout={timeout}", "-O", spoken(protocols))
    steps = []
    if held.tlvs:
        steps.append(Step((*begin, "add-tlv-map", name, tlvs_text(held.tlvs))))
    steps += [Step((*begin, "add-meter", name, meter.text())) for meter in held.meters]
    lines = [f"group add_or_mod {group.text({})}\n" for group in held.groups] + [
        f"flow add {flow.text({})}\n" for flow in held.flows
    ]
    if lines and spoken(protocols) in BUNDLED:
        return [*steps, Step((*begin, "bundle", name, "-"), "".join(lines))]
    for command, things in (("add-groups", held.groups), ("add-flows", held.flows)):
        if things:
            steps.append(Step((*begin, command, name, "-"), "".join(f"{thing.text({})}\n" for thing in things)))
    return steps

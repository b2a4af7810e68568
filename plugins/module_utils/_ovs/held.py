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
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.before import flushes
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import Database
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


class Holdings:
    """What bridges hold in the memory of ovs-vswitchd; it is read only where it matters.

    remote: is the database another host's, so that nothing can be read?
    """

    def __init__(self, runner: t.Any, database: Database, timeout: int, remote: bool = False) -> None:
        self._runner, self._database, self._timeout, self._remote = runner, database, timeout, remote

    def _reader(self, bridge: str) -> Reader:
        return Reader(self._runner, bridge, self._database.tables["Bridge"][bridge], self._timeout)

    def others(self, bridge: str) -> list[str]:
        """The flows of others on a bridge, in words."""
        return [] if self._remote else others(self._reader(bridge).flows())

    def flows(self, bridge: str) -> tuple[int | None, list[str]]:
        """How many flows a bridge has, None if that cannot be read, and those of others, in words."""
        reader = self._reader(bridge)
        flows = None if self._remote else reader.all_flows()
        return (None, []) if flows is None else (len(flows), others(reader.made(flows)))

    def put_back(self, after: Database) -> list[Step]:
        """The commands that bring back what Open vSwitch drops by the side when the database becomes this."""
        steps: list[Step] = []
        for name, row in sorted(self._database.tables["Bridge"].items()):
            later = after.tables["Bridge"].get(name)
            if later is not None and flushes(row, later) and not self._remote:
                # A new datapath makes the bridge anew, and its map of GENEVE options with it.
                held = self._reader(name).held(tlvs=row["datapath_type"] != later["datapath_type"])
                steps += put_back(held, name, later["protocols"], self._timeout)
        return steps

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of what an owner has in a switch, and the unit that brings it back at boot.

This file is private to the collection. An OpenFlow switch keeps nothing over a restart, so a file does.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.compare import Scope
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.declaration import Declaration
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.switch import Switch, Tlv, restore_lines
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import speakable
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Command, Unit, oneshot, unit_name

FOLDER = "/etc/overloom/flows"
# For how many seconds a restart of Open vSwitch waits for the ports that flows name.
_PORT_WAIT = 10


# The file that brings things back ----------------------------------------------------------------------------------


class Record(t.NamedTuple):
    """An owner's file for a bridge. flows and groups are lines for `ovs-ofctl bundle`, meters are texts.

    ports: names by the numbers that the lines have, of ports that ovs-ofctl does not find by name.
    """

    owner: str = ""
    own_groups: frozenset[int] = frozenset()
    own_meters: frozenset[str] = frozenset()
    flows: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()
    tlvs: tuple[Tlv, ...] = ()
    ports: t.Mapping[int, str] = {}


class Seen(t.Dict[int, str]):
    """Names by number as ovs-ofctl knows them, which notes the ports that are asked for.

    used: the names of these. numbered: by number, the names of those that ovs-ofctl does not find by name.
    """

    def __init__(self, names: t.Mapping[int, str]) -> None:
        super().__init__(speakable(names))
        self._all = names
        self.used: set[str] = set()
        self.numbered: dict[int, str] = {}

    def get(self, key: int, default: t.Any = None) -> t.Any:
        """As of any mapping."""
        name = super().get(key, default)
        if name is not None:
            self.used.add(name)
        elif key in self._all:
            self.numbered[key] = self._all[key]
        return name


def parse_record(text: str) -> Record:
    """An owner's file; what is in no line's known form is passed over."""
    notes = dict(re.findall(r"(?m)^# (owner|own groups|own meters): (.*)$", text))
    return Record(
        notes.get("owner", ""),
        frozenset(int(word) for word in notes.get("own groups", "").split() if word.isdigit()),
        frozenset(notes.get("own meters", "").split()),
        tuple(re.findall(r"(?m)^flow add (.*)$", text)),
        tuple(re.findall(r"(?m)^group add_or_mod (.*)$", text)),
        tuple(re.findall(r"(?m)^# meter (.*)$", text)),
        tuple(
            Tlv(*map(int, numbers)) for numbers in re.findall(r"(?m)^# tlv ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+)$", text)
        ),
        {int(port): name for port, name in re.findall(r"(?m)^# port ([0-9]+): (.*)$", text)},
    )


def record_text(
    bridge: str,
    owner: str,
    switch: Switch,
    own_groups: t.Iterable[int],
    own_meters: t.Iterable[str],
    tlvs: t.Sequence[Tlv],
    names: Seen,
) -> str:
    """An owner's file for a bridge; empty when there is nothing to bring back."""
    if not any(switch) and not tlvs:
        return ""
    restored = restore_lines(switch, names)
    lines = [
        "# Made by overloom.fabric; the next run of it replaces what is changed here.",
        f"# bridge: {bridge}",
        f"# owner: {owner}",
        f"# own groups: {' '.join(map(str, sorted(own_groups)))}".rstrip(),
        f"# own meters: {' '.join(sorted(own_meters))}".rstrip(),
        *(f"# port {number}: {name}" for number, name in sorted(names.numbered.items())),
        *(f"# tlv {tlv.option_class} {tlv.type} {tlv.length} {tlv.number}" for tlv in tlvs),
        *(f"# meter {meter.text()}" for _id, meter in sorted(switch.meters.items())),
        *restored,
    ]
    return "\n".join(lines) + "\n"


def declared_all(declared: Declaration) -> bool:
    """Does the call say what all flows of its scope are?"""
    return declared.scope.purge and declared.flows is not None


def in_scope(text: str, scope: Scope) -> bool:
    """Is a flow, as the file has it, surely one of those that the call is about?"""
    match = re.match(r"table=([0-9]+),cookie=(0x[0-9a-f]+),", text)
    return (
        match is not None
        and scope.cookie.holds(int(match.group(2), 16))
        and (scope.tables is None or int(match.group(1)) in scope.tables)
    )


def record_path(bridge: str, owner: str) -> str:
    """Where an owner's file for a bridge lies."""
    return os.path.join(FOLDER, unit_name("flows", f"{bridge}:{owner}", "flows")[len("overloom-flows-") :])


def restore_unit(
    bridge: str, owner: str, protocol: str, meters: t.Iterable[str], tlvs: t.Sequence[Tlv], ports: Seen
) -> Unit:
    """The service that fills the bridge whenever ovs-vswitchd has started, because only that keeps flows, in its memory.

    meters: their texts. ports: that have to be there first.
    """
    begin_wait = ["ovs-vsctl", f"--timeout={_PORT_WAIT}"]
    wait = [*begin_wait, "wait-until", "Bridge", bridge]
    for name in sorted(ports.used):
        wait += ["--", "wait-until", "Interface", name, "ofport>0"]
    # Without a port ovs-ofctl refuses the whole bundle, and says which; that is this unit's failure, not the wait's.
    commands = [Command(tuple(wait), may_fail=True)]
    # The database keeps a port's number. Should it have another one all the same, the flows must not reach the wrong port.
    for number_, name in sorted(ports.numbered.items()):
        commands.append(Command((*begin_wait, "wait-until", "Interface", name, f"ofport={number_}")))
    begin = ("ovs-ofctl", f"--timeout={_PORT_WAIT}", "-O", protocol)
    commands += [Command((*begin, "add-tlv-map", bridge, tlv.text()), may_fail=True) for tlv in tlvs]
    commands += [Command((*begin, "add-meter", bridge, meter), may_fail=True) for meter in meters]
    commands.append(Command((*begin, "bundle", bridge, record_path(bridge, owner))))
    return oneshot(
        "flows",
        f"{bridge}:{owner}",
        f"OpenFlow of the bridge {bridge} for {owner}",
        {"Owner": owner, "Bridge": bridge},
        commands,
        # Wanted by the daemon itself, so that it also starts after a restart that finds this unit stopped.
        wanted_by=["multi-user.target", "ovs-vswitchd.service"],
        after=["ovs-vswitchd.service"],
        part_of=["ovs-vswitchd.service"],
    )

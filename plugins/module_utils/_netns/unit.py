# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units that make network namespaces with their veth pairs at boot, and the commands that they share with a run.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._netns import namespace as _netns
from ansible_collections.overloom.fabric.plugins.module_utils._netns import source as _source
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import UNIT_KIND, Kept, Space, notes_of
from ansible_collections.overloom.fabric.plugins.module_utils._netns.rules import add_command
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.lost import LOOSE
from ansible_collections.overloom.fabric.plugins.module_utils._owner import interface_alias
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Step
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    Command,
    Unit,
    ip_commands,
    oneshot,
    path_unit,
)


def units_of(name: str, space: Space) -> list[Unit]:
    """What makes a namespace with its declared interfaces at boot.

    There is no order to Open vSwitch: a bridge takes a port's device whenever it appears.
    """
    commands = _made(name, space.owner) if space.made else []
    for interface, kept in space.veths.items():
        commands += _pair(name, space, interface, kept)
    if space.sysctls:
        commands.append(Command(sysctl_step(name, space.sysctls).argv))
    for interface, kept in space.veths.items():
        commands += _inside(name, space.owner, interface, kept)
    file = f"{_netns.FOLDER}/{name}"
    service = oneshot(
        UNIT_KIND,
        name,
        f"Network namespace {name}",
        notes_of(space),
        commands,
        # A namespace that somebody else makes is waited for.
        wanted_by=["multi-user.target"] if space.made else [],
        after=["network-pre.target"],
        before=["network.target"] if space.made else [],
        # A container may start as often as it likes.
        unit=["StartLimitIntervalSec=0"] if space.source else [],
    )
    if space.source:
        follows = [_source.follow_unit(name, space.source, service.name)] if space.source.container else []
        return [service, *follows]
    return (
        [service] if space.made else [service, path_unit(UNIT_KIND, name, f"Wait for network namespace {name}", file)]
    )


def _made(name: str, owner: str) -> list[Command]:
    """Make the namespace, with its loopback up and marked."""
    loopback = _ip.interface_batch(None, _ip.Wanted("lo", alias=interface_alias(owner), up=True))
    return [Command(("ip", "netns", "add", name), may_fail=True), *ip_commands(loopback, name)]


def _pair(name: str, space: Space, interface: str, kept: Kept) -> list[Command]:
    """Make a veth pair, and set its end on the host."""
    # A namespace of others comes back as fast as it goes, with a device under the same name: Open vSwitch in user space would keep the former one.
    port = kept.outer if kept.bridge and not space.made else None
    commands = [_typed(port, LOOSE)] if port else []
    if space.source:
        # The pair of a container that has just ended may be about to go.
        commands.append(Command(("ip", "link", "delete", "dev", kept.outer), may_fail=True))
    add = ip_commands([add_line(name, interface, kept.outer)])
    commands += [Command(command.argv, may_fail=True) for command in add]
    alias, addrgen = interface_alias(space.owner), outer_addrgen(kept)
    outer = _ip.Wanted(kept.outer, mtu=kept.mtu, alias=alias, up=True, addrgen=addrgen)
    # A kernel without IPv6 has no such mode.
    commands += [
        command._replace(may_fail="addrgenmode" in command.argv)
        for command in ip_commands(_ip.interface_batch(None, outer))
    ]
    return [*commands, *([_typed(port, '""')] if port else [])]


def _inside(name: str, owner: str, interface: str, kept: Kept) -> list[Command]:
    """Set the end of a pair that is in the namespace, with its routes and rules."""
    lines = _ip.interface_batch(None, inner_end(owner, interface, kept, mine=True))
    if kept.up:
        lines += _ip.route_batch(interface, (), kept.all_routes() or ())[1]
    commands = ip_commands(lines, name)
    if kept.tx is not None:
        commands.append(Command(offload_step(name, interface, kept.tx).argv))
    # One that is there already is told as a failure.
    return [*commands, *(Command(add_command(name, rule), may_fail=True) for rule in kept.all_rules() or ())]


def _typed(port: str, kind: str) -> Command:
    """Give the interface of a port a type, if it is there and Open vSwitch runs."""
    return Command(
        ("ovs-vsctl", "--timeout=10", "--", "--if-exists", "set", "Interface", port, f"type={kind}"), may_fail=True
    )


def add_line(name: str, interface: str, outer: str) -> str:
    return f"link add dev {_ip.word(outer)} type veth peer name {_ip.word(interface)} netns {name}"


def inner_end(owner: str, interface: str, kept: Kept, mine: bool) -> _ip.Wanted:
    """The end inside as it is declared."""
    return _ip.Wanted(
        interface,
        mtu=kept.mtu,
        mac=kept.mac,
        up=kept.up,
        alias=interface_alias(owner) if mine else None,
        addresses=None if kept.addresses is None else tuple(kept.addresses),
    )


def outer_addrgen(kept: Kept) -> str | None:
    """How the kernel shall make the link-local address of the host's end: of a port in a bridge, not at all.

    In the datapath in user space the kernel sees the frames too, so that a guest would reach its host at this address.
    """
    return "none" if kept.bridge else None


def sysctl_step(name: str, sysctls: t.Mapping[str, str]) -> Step:
    return Step(
        ("ip", "netns", "exec", name, "sysctl", "-q", "-w", *(f"{path}={value}" for path, value in sysctls.items()))
    )


def offload_step(name: str, interface: str, tx: bool) -> Step:
    return Step(("ip", "netns", "exec", name, "ethtool", "-K", interface, "tx", "on" if tx else "off"))

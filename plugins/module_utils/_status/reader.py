# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's part of a fabric, read in one go and not judged: the switch, namespaces, containers, services, guests, routing.

Open vSwitch's database is read once for all, FRR by two processes, guests by one. This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._impair.reader import impairments
from ansible_collections.overloom.fabric.plugins.module_utils._netns.info import namespaces
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import COOKIE_PREFIX
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    OvsRunner,
    empty_database,
    ovs_vsctl,
    read_database,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.held import Holdings
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.state import bridge_state, tunnel_names, tunnel_state
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import STATE
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

Item = t.Dict[str, t.Any]

TIMEOUT = 10
COUNTERS = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped")


def read(runner: OvsRunner, frr: Runner, options: Item) -> tuple[Item, dict[str, str]]:
    """All that was asked for, and why what is missing of it could not be read, by its key.

    frr: runs what asks FRR. options: as the module status_info has them; a part that is not named is not read.
    """
    found: Item = {"namespaces": [], "impairments": impairments()}
    unread: dict[str, str] = {}

    def take(part: str, reader: t.Callable[[], Item]) -> None:
        if options.get(part):
            try:
                found.update(reader())
            except FabricError as error:
                found.pop(part, None)
                unread[part] = str(error)

    database = empty_database()

    def switch() -> Item:
        nonlocal database
        database = read_database(runner, ovs_vsctl(None, TIMEOUT), STATE)
        return _switch(runner, database)

    take("switch", switch)
    take("namespaces", lambda: {"namespaces": namespaces(runner, options["namespaces"], lambda: database)})
    take("policies", lambda: {"policies": {bridge: policy_packets(runner, bridge) for bridge in options["policies"]}})
    take("host_network", lambda: {"host_network": _host_network(runner, options["host_network"])})
    take("containers", lambda: {"containers": _containers(runner)})
    take("services", lambda: {"services": _services(runner)})
    take("dhcp", lambda: {"dhcp": _dhcp(runner)})
    take("vrrp", lambda: {"vrrp": _vrrp(runner)})
    take("uplinks", lambda: {"uplinks": _uplinks(runner)})
    take("tables", lambda: {"tables": _tables(runner)})
    take("ovn", lambda: {"ovn": _ovn(runner, options.get("hops") or ())})
    take("guests", lambda: {"guests": _guests(runner)})
    take("routing", lambda: _routing(frr, options["routing"]))
    return found, unread


_COUNTED = re.compile(r"cookie=(0x[0-9a-f]+),.*? n_packets=(\d+),")


def policy_packets(runner: Runner, bridge: str) -> dict[str, int]:
    """The packets that each rule of the policy took on a bridge, by its number, which its flows have in the free bits of their cookies."""
    found: dict[str, int] = {}
    for line in runner(["ovs-ofctl", f"--timeout={TIMEOUT}", "-O", "OpenFlow15", "dump-flows", bridge]).splitlines():
        counted = _COUNTED.search(line)
        cookie = int(counted[1], 16) if counted else 0
        number = str(cookie & 0xFFFF)
        if counted and cookie >> 48 == COOKIE_PREFIX and number != "0":
            found[number] = found.get(number, 0) + int(counted[2])
    return found


def _switch(runner: OvsRunner, database: Database) -> Item:
    """Bridges with their ports and the number of their flows; tunnels with their counters."""
    held = Holdings(runner, database, TIMEOUT)
    bridges = [bridge_state(database, name, held.flows) for name in sorted(database.tables["Bridge"])]
    tunnels = []
    for name in tunnel_names(database):
        statistics = database.interface(name).get("statistics") or {}
        counters = {counter: int(statistics.get(counter, 0)) for counter in COUNTERS}
        tunnels.append({**tunnel_state(database, name), "statistics": counters})
    return {"bridges": bridges, "tunnels": tunnels}


# Below, code is imported where it is of use: a module comes to its host as text, and to compile all of it takes longer than to read a host.


def _host_network(runner: Runner, names: list[str]) -> list[Item]:
    from ansible_collections.overloom.fabric.plugins.module_utils._host_network.compare import states

    return states(runner, names)


def _containers(runner: Runner) -> list[Item]:
    from ansible_collections.overloom.fabric.plugins.module_utils._container.reconcile import described

    return described(runner)


def _services(runner: Runner) -> list[Item]:
    from ansible_collections.overloom.fabric.plugins.module_utils._service.reconcile import described

    return described(runner)


def _dhcp(runner: Runner) -> Item:
    from ansible_collections.overloom.fabric.plugins.module_utils._dhcp.info import dhcp

    return dhcp(runner)


def _vrrp(runner: Runner) -> list[Item]:
    from ansible_collections.overloom.fabric.plugins.module_utils._vrrp.info import vrrp

    return vrrp(runner)


def _uplinks(runner: Runner) -> list[Item]:
    from ansible_collections.overloom.fabric.plugins.module_utils._bird.info import uplinks

    return uplinks(runner)


def _tables(runner: Runner) -> list[Item]:
    from ansible_collections.overloom.fabric.plugins.module_utils._nft.info import tables

    return tables(runner)


def _ovn(runner: Runner, hops: t.Sequence[Item]) -> Item:
    """OVN's databases, and the way of packets by its routers, one process each."""
    from ansible_collections.overloom.fabric.plugins.module_utils._ovn.info import southbound
    from ansible_collections.overloom.fabric.plugins.module_utils._ovn.raft import members
    from ansible_collections.overloom.fabric.plugins.module_utils._trace.logical import traced

    asked = {one["name"]: traced(runner, one["router"], one["flow"]) for one in hops}
    return {**southbound(runner), "cluster": members(runner, TIMEOUT), "hops": asked}


def _guests(runner: Runner) -> dict[str, str]:
    from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.states import guest_states

    states = guest_states(runner)
    if states is None:
        raise FabricError("libvirt does not answer")
    return states


def _routing(frr: Runner, wanted: list[str]) -> Item:
    from ansible_collections.overloom.fabric.plugins.module_utils._frr.info import facts

    return facts(frr, wanted)

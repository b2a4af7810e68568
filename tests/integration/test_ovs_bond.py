# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bonds of two links between two switches: traffic, a pulled link, a reboot."""

from __future__ import annotations

import re
import typing as t

import pytest
from harness import wait
from netns import inside
from ovs import veth

if t.TYPE_CHECKING:
    from harness import Host

BOND = {"bond_updelay": 100}
MODES: dict[str, dict[str, t.Any]] = {
    "active-backup": {"bond_mode": "active-backup"},
    "balance-slb": {"bond_mode": "balance-slb"},
    "balance-tcp": {"bond_mode": "balance-tcp", "lacp": "active", "lacp_time": "fast"},
}
# Echo requests come this often, in seconds.
EVERY = 0.05


def switches(mode: dict[str, t.Any]) -> dict[str, t.Any]:
    """Two switches that a bond of two links joins, each with an end in a VLAN."""
    one = [{**BOND, "name": "bond1", "members": ["l0", "l1"], **mode}]
    # With LACP both know of the bond, and the second waits for the first to begin. Without, the second is a switch that knows of none.
    other = (
        [{**BOND, "name": "bond2", "members": ["l0p", "l1p"], **mode, "lacp": "passive"}]
        if "lacp" in mode
        else [{"name": "l0p"}, {"name": "l1p"}]
    )
    sides = enumerate((one, other), 1)
    return {
        "bridges": [
            {"name": f"br{n}", "datapath_type": "netdev", "ports": [*side, {"name": f"v-n{n}", "tag": 7}]}
            for n, side in sides
        ]
    }


def cabled(host: Host) -> None:
    """The two links between the switches."""
    veth(host, "l0", "l1")
    for link in ("l0", "l1", "l0p", "l1p"):
        host.run(["ip", "link", "set", link, "up"])


def ends() -> dict[str, t.Any]:
    return {
        "namespaces": [
            {"name": f"n{number}", "addresses": [f"10.0.0.{number}/24"], "tx_checksum": "off"} for number in (1, 2)
        ]
    }


def settled(host: Host) -> bool:
    """Whether each bond uses both links, and LACP, where it is on, is agreed on."""
    shown = host.run(["ovs-appctl", "bond/show"])
    bonds = len(re.findall(r"(?m)^---- bond\d ----", shown))
    return (
        bonds > 0
        and len(re.findall(r"(?m)^(?:member|slave) \S+: enabled", shown)) == 2 * bonds
        and "lacp_status: configured" not in shown
    )


def settle(host: Host) -> None:
    """Wait until it is so."""
    wait(lambda: settled(host), "both links of each bond", look=lambda: told(host))


def told(host: Host) -> str:
    """What Open vSwitch says of them."""
    return "".join(host.run(["ovs-appctl", f"{kind}/show"]) for kind in ("bond", "lacp"))


def lost(host: Host, link: str) -> float:
    """Seconds of traffic that are lost while a link is pulled."""
    count = 60
    # One process in the host does both, so that nothing but the bond takes time.
    script = (
        f"ip netns exec n1 ping -n -q -c {count} -i {EVERY} -W 1 10.0.0.2 & sleep 0.8; ip link set {link} down; wait"
    )
    said = host.run(["sh", "-c", script])
    received = int(re.search(r"(\d+) received", said)[1])
    assert received, said
    return (count - received) * EVERY


@pytest.mark.parametrize("mode", MODES)
def test_a_pulled_link_of_a_bond_loses_less_than_a_second_and_all_is_there_after_a_reboot(
    host: Host, mode: str
) -> None:
    cabled(host)
    host.apply("netns_veth", ends())
    host.apply("ovs_bridge", switches(MODES[mode]))
    settle(host)
    assert host.answered("10.0.0.2", inside("n1"))
    # Whichever of them carries the traffic: each is pulled once.
    for link in ("l0", "l1"):
        # A busy machine adds to what the bond loses by itself.
        for attempt in range(3):
            seconds = lost(host, link)
            shown = host.run("ovs-appctl bond/show".split())
            host.run(["ip", "link", "set", link, "up"])
            settle(host)
            if seconds < 1:
                break
            assert attempt < 2, (seconds, shown)
    host.reboot()
    # A NIC is there at boot, and these cables are not; all else the host makes itself.
    cabled(host)
    settle(host)
    assert host.answered("10.0.0.2", inside("n1"))
    assert not host.module("ovs_bridge", switches(MODES[mode]))["changed"]

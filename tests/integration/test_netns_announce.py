# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netns_announce against a bridge that learns, and what netns_veth keeps of namespaces that are to go later."""

from __future__ import annotations

import typing as t

from harness import wait
from netns import bridge, names

if t.TYPE_CHECKING:
    from harness import Host

RED = {
    "name": "red",
    "bridge": "br0",
    "tag": 20,
    "addresses": ["10.0.0.1/24", "fd00::1/64"],
    "mac": "02:00:00:00:00:01",
}
BLUE = {"name": "blue", "bridge": "br0", "tag": 10, "addresses": ["10.1.0.1/24"], "mac": "02:00:00:00:00:02"}


def learned(host: Host) -> list[tuple[str, str]]:
    """VLAN and MAC address of what the bridge has learned."""
    rows = host.run(["ovs-appctl", "fdb/show", "br0"]).splitlines()[1:]
    return sorted((row.split()[1], row.split()[2]) for row in rows if row.split()[2].startswith("02:00:00:00:00:"))


def test_a_bridge_learns_where_an_announced_address_is(host: Host) -> None:
    bridge(host, "br0")
    host.module("netns_veth", {"namespaces": [RED, BLUE]})
    foretold: dict[str, t.Any] = {}

    def nothing_by_check_mode() -> bool:
        # A new address of IPv6 makes reports of multicast groups, for some seconds and at random moments: a bridge learns from them, too.
        host.run(["ovs-appctl", "fdb/flush", "br0"])
        foretold.update(host.module("netns_announce", {"namespaces": ["red"]}, check=True))
        return not learned(host)

    wait(nothing_by_check_mode, "a moment in which nothing is learned")
    said = host.module("netns_announce", {"namespaces": ["red"], "count": 1})
    wait(lambda: ("20", "02:00:00:00:00:01") in learned(host), "the announced address")
    assert said["announced"] == foretold["announced"] and not said["changed"]
    assert {"10.0.0.1", "fd00::1"} <= {one["address"] for one in said["announced"]}


def test_what_cannot_be_announced_is_one_sentence(host: Host) -> None:
    host.module("netns_veth", {"name": "red"})
    for options, sentence in (
        (
            {"namespaces": ["red", "green"]},
            "namespace green does not exist on this host; make it with netns_veth first",
        ),
        ({"namespaces": ["red"], "count": 0}, "count must be 1 or more, not 0"),
    ):
        assert host.module("netns_announce", options, ok=False)["msg"] == sentence


def test_a_namespace_that_is_kept_goes_with_the_next_purge(host: Host) -> None:
    bridge(host, "br0")
    both = {"owner": "fabric", "namespaces": [RED, BLUE], "purge": True}
    host.module("netns_veth", both)
    later = host.module("netns_veth", {**both, "namespaces": [BLUE], "keep": ["red", "blue", "green"]})
    assert not later["changed"] and later["kept"] == ["red"]
    gone = host.module("netns_veth", {**both, "namespaces": [BLUE]})
    assert gone["changed"] and gone["kept"] == []
    assert names(host) == {"blue"}

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the Open vSwitch modules share: reading the database beside the modules."""

from __future__ import annotations

import json
import typing as t

import harness


def column(host: harness.Host, table: str, record: str, name: str) -> t.Any:
    """A column as plain data: sets as sorted lists (empty: []), maps as dicts."""
    text = host.run(["ovs-vsctl", "--format=json", f"--columns={name}", "list", table, record])
    return plain(json.loads(text)["data"][0][0])


def plain(value: t.Any) -> t.Any:
    """The JSON of RFC 7047, 5.1, as plain data."""
    if isinstance(value, list):
        kind, content = value
        if kind == "map":
            return dict(content)
        if kind == "set":
            return sorted(plain(item) for item in content)
        return content
    return value


def ports(host: harness.Host, bridge: str) -> list[str]:
    """The ports of a bridge."""
    return host.run(["ovs-vsctl", "list-ports", bridge]).split()


def bridges(host: harness.Host) -> list[str]:
    """All bridges."""
    return host.run(["ovs-vsctl", "list-br"]).split()


def veth(host: harness.Host, *names: str) -> None:
    """A veth pair for each name; the other end is named with a trailing p."""
    for name in names:
        host.run(["ip", "link", "add", name, "type", "veth", "peer", "name", name + "p"])


def exit_switch(host: harness.Host) -> None:
    """Have ovs-vswitchd end, as it was told to, and wait until it has."""
    pid = host.run(["cat", "/run/openvswitch/ovs-vswitchd.pid"]).strip()
    host.run(["ovs-appctl", "-t", "ovs-vswitchd", "exit"])
    harness.wait(lambda: not host.exists(f"/proc/{pid}"), "the end of ovs-vswitchd")


def unseen(host: harness.Host, *lines: str) -> None:
    """Change the host by lines of a shell while ovs-vswitchd stands still, so that it sees only what came of all of them."""
    daemon = "$(cat /run/openvswitch/ovs-vswitchd.pid)"
    host.run(["sh", "-ec", f"trap 'kill -CONT {daemon}' EXIT; kill -STOP {daemon}; " + "; ".join(lines)])

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the namespace modules share: looking at namespaces beside the modules."""

from __future__ import annotations

import json
import typing as t

from harness import wait

if t.TYPE_CHECKING:
    from harness import Host


def bridge(host: Host, *names: str) -> None:
    """Bridges with the datapath in user space."""
    for name in names:
        host.run(["ovs-vsctl", "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev"])


def inside(name: str, *argv: str) -> list[str]:
    """A command in a namespace."""
    return ["ip", "netns", "exec", name, *argv]


def link(host: Host, name: str, netns: str | None = None) -> dict[str, t.Any]:
    """An interface, as ip(8) tells it."""
    where = ["-n", netns] if netns else []
    return json.loads(host.run(["ip", *where, "-json", "-details", "address", "show", "dev", name]))[0]


def addresses(host: Host, netns: str, name: str = "eth0") -> set[str]:
    """Its global addresses."""
    return {f"{a['local']}/{a['prefixlen']}" for a in link(host, name, netns)["addr_info"] if a["scope"] == "global"}


def routes(host: Host, netns: str) -> set[str]:
    """Destination and gateway of the routes with a gateway."""
    rows = [row for v in ("-4", "-6") for row in json.loads(host.run(["ip", "-n", netns, v, "-json", "route", "show"]))]
    return {f"{row['dst']} {row['gateway']}" for row in rows if "gateway" in row}


def sysctl(host: Host, netns: str, key: str) -> str:
    """A sysctl's value."""
    return host.run(inside(netns, "sysctl", "-n", key)).strip()


def offload(host: Host, netns: str, name: str = "eth0") -> str:
    """on or off."""
    text = host.run(inside(netns, "ethtool", "-k", name))
    return next(line.split()[1] for line in text.splitlines() if line.startswith("tx-checksumming:"))


def names(host: Host) -> set[str]:
    """All namespaces."""
    return {line.split()[0] for line in host.run(["ip", "netns", "list"]).splitlines()}


def links(host: Host) -> set[str]:
    """All interfaces of the host."""
    return {row["ifname"] for row in json.loads(host.run(["ip", "-json", "link", "show"]))}


def units(host: Host) -> set[str]:
    """The units of namespaces, and links to them."""
    return set(host.run(["find", "/etc/systemd/system", "-name", "overloom-netns-*"]).split())


def everything(host: Host) -> str:
    """All that the module could change, as text to compare."""
    found = [
        host.run(["ip", "-details", "address", "show"]),
        host.run(["ovs-vsctl", "--columns=name,tag,trunks,external_ids", "list", "Port"]),
    ]
    for name in sorted(names(host)):
        found.append(
            name
            + host.run(["ip", "-n", name, "-details", "address", "show"])
            + host.run(["ip", "-n", name, "route", "show", "table", "all"])
        )
    return "\n".join([*found, *(name + host.run(["cat", name]) for name in sorted(units(host)))])


def settled(host: Host) -> str:
    """`everything`, when the kernel has looked for duplicates of all addresses, which takes it a second or two."""

    def found() -> str:
        text = everything(host)
        return "" if "tentative" in text else text

    return str(wait(found, "the end of the search for duplicates", look=lambda: everything(host)))


def tcp(host: Host, server: str, address: str, client: str) -> float:
    """Bytes that TCP carries from one namespace to another in a second."""
    host.run(inside(server, "iperf3", "--server", "--one-off", "--daemon", "--pidfile", "/run/iperf3.pid"))
    try:
        # It is a daemon before it listens.
        wait(lambda: ":5201" in host.run(inside(server, "ss", "-ltn")), "a listener of iperf3")
        text = host.run(
            inside(client, "iperf3", "--client", address, "--json", "--time", "1", "--connect-timeout", "3000"), ok=None
        )
        return json.loads(text).get("end", {}).get("sum_received", {}).get("bytes", 0)
    finally:
        pid = host.run(["cat", "/run/iperf3.pid"], ok=None).strip("\0\n ")
        if pid.isdigit():
            host.run(["kill", pid], ok=None)


def ping(host: Host, netns: str, address: str, ok: bool | None = True) -> str:
    """Three echo requests after at most half a minute of waiting for the first answer."""
    if ok:
        assert host.answered(address, inside(netns), 30), f"{address} does not answer {netns}"
    return host.run(inside(netns, "ping", "-c", "3", "-i", "0.2", "-W", "1", address), ok=ok)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netns_dnsmasq and netns_udhcpc: the real dnsmasq and the real udhcpc in namespaces of a lab host."""

from __future__ import annotations

import json
import re
import time
import typing as t

import pytest
from harness import wait
from netns import bridge, inside, link, settled

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.pipeline import Point, Tenancy, pipeline

if t.TYPE_CHECKING:
    from harness import Host

Item = t.Dict[str, t.Any]
MAC = "02:00:00:00:00:05"
WEB: Item = {"mac": MAC, "addresses": ["10.1.1.5", "fd00:1::5"], "name": "web"}
ROUTES = [{"to": "10.9.0.0/16", "via": "10.1.1.1"}]


def server(name: str = "dhcp1", **options: t.Any) -> Item:
    """A server with a lease for the client."""
    found = {
        "name": name,
        "subnets": ["10.1.1.0/24", "fd00:1::/64"],
        "leases": [WEB],
        "router": "10.1.1.1",
        "dns": ["10.1.1.2", "10.1.1.3"],
        "domain": "lab.example",
        "mtu": 1400,
        "routes": ROUTES,
        **options,
    }
    return {option: value for option, value in found.items() if value is not None}


@pytest.fixture(name="host")
def with_segment(host: Host) -> Host:
    """A host with the namespaces dhcp1, dhcp2 and web on one bridge; the last has no IPv4 address."""
    bridge(host, "br0")
    common = {"bridge": "br0", "tx_checksum": "off"}
    spaces = [
        {"name": "dhcp1", "addresses": ["10.1.1.2/24", "fd00:1::2/64"], **common},
        {"name": "dhcp2", "addresses": ["10.1.1.3/24", "fd00:1::3/64"], **common},
        {"name": "web", "addresses": [], "mac": MAC, **common},
    ]
    host.module("netns_veth", {"namespaces": spaces})
    return host


def lease(host: Host, name: str = "web") -> Item | None:
    """What the client was given."""
    rows = host.module("netns_dhcp_info", {})["clients"]
    return next((row["lease"] for row in rows if row["name"] == name), None)


def wait_for_lease(host: Host, server_address: str | None = None, timeout: float = 60) -> Item:
    """The lease of the client, of a certain server if one is named."""

    def found() -> Item | None:
        held = lease(host)
        return held if held and server_address in (None, held["server"]) else None

    log = ["journalctl", "--no-pager", "--lines=60", "--unit", "overloom-*"]
    return t.cast("Item", wait(found, "the lease", timeout, lambda: host.run(log)))


def pid(host: Host, unit: str) -> str:
    """The first process of a service."""
    return host.run(["systemctl", "show", "--property=MainPID", "--value", unit]).strip()


def live(host: Host, namespace: str = "web") -> set[str]:
    """All global IPv4 addresses of eth0, those with a lifetime too."""
    rows = json.loads(host.run(["ip", "-n", namespace, "-json", "-4", "address", "show", "dev", "eth0"]))
    return {f"{one['local']}/{one['prefixlen']}" for row in rows for one in row.get("addr_info", ())}


def test_a_client_gets_address_mtu_and_classless_routes(host: Host) -> None:
    done = host.apply("netns_dnsmasq", server())
    assert done["servers"][0]["running"] and done["servers"][0]["namespace"] == "dhcp1"
    host.apply("netns_udhcpc", {"name": "web"})
    found = wait_for_lease(host)
    assert found["address"] == "10.1.1.5/24" and found["mtu"] == 1400 and found["server"] == "10.1.1.2"
    assert found["routes"] == [*ROUTES, {"to": "0.0.0.0/0", "via": "10.1.1.1"}] and found["router"] == "10.1.1.1"
    assert found["dns"] == ["10.1.1.2", "10.1.1.3"] and found["domain"] == "lab.example" and found["seconds"] == 3600
    assert live(host) == {"10.1.1.5/24"} and link(host, "eth0", "web")["mtu"] == 1400
    every = host.run(["ip", "-n", "web", "-4", "route"])
    assert (
        "default via 10.1.1.1 dev eth0 proto dhcp" in every and "10.9.0.0/16 via 10.1.1.1 dev eth0 proto dhcp" in every
    )
    host.run(inside("web", "ping", "-c1", "-W2", "10.1.1.2"))
    # What DHCP has set is no drift of the namespace.
    space = host.module("netns_info", {"names": ["web"]})["namespaces"][0]["interfaces"]
    assert [(row["addresses"], row["routes"]) for row in space if row["name"] == "eth0"] == [([], [])]
    again = host.module(
        "netns_veth", {"name": "web", "addresses": [], "mac": MAC, "bridge": "br0", "tx_checksum": "off"}
    )
    assert not again["changed"], again["commands"]
    assert live(host) == {"10.1.1.5/24"}
    given = host.module("netns_dhcp_info", {})["servers"][0]["leases"]
    assert [(row["mac"], row["address"], row["name"]) for row in given] == [(MAC, "10.1.1.5", "web")]


def test_names_are_answered_and_nothing_is_passed_on(host: Host) -> None:
    host.write("/etc/hosts", "127.0.0.1 localhost\n192.0.2.9 of-the-host\n")
    host.apply("netns_dnsmasq", server())
    host.module("netns_veth", {"name": "web", "addresses": ["10.1.1.9/24"], "bridge": "br0", "tx_checksum": "off"})
    ask = ["busybox", "nslookup", "-type=a"]
    assert "10.1.1.5" in host.run(inside("web", *ask, "web.lab.example", "10.1.1.2"))
    for unknown in ("of-the-host", "debian.org"):
        said = host.run(inside("web", *ask, unknown, "10.1.1.2"), ok=None)
        assert "192.0.2.9" not in said and re.search("REFUSED|NXDOMAIN|can't find", said), said


def test_unknown_machines_get_addresses_of_the_ranges_alone(host: Host) -> None:
    host.apply("netns_dnsmasq", server(leases=[], ranges=["10.1.1.100-10.1.1.101"], subnets=["10.1.1.0/24"]))
    host.apply("netns_udhcpc", {"name": "web"})
    assert wait_for_lease(host)["address"] in ("10.1.1.100/24", "10.1.1.101/24")


def test_without_a_range_unknown_machines_get_nothing(host: Host) -> None:
    host.module("netns_dnsmasq", server(leases=[]))
    host.module("netns_udhcpc", {"name": "web"})
    time.sleep(3)
    assert lease(host) is None and live(host) == set()
    host.module("netns_dnsmasq", server())
    assert wait_for_lease(host)["address"] == "10.1.1.5/24"


def test_leases_and_options_are_read_again_without_a_restart(host: Host) -> None:
    host.apply("netns_dnsmasq", server())
    host.apply("netns_udhcpc", {"name": "web"})
    wait_for_lease(host)
    before = pid(host, "overloom-dnsmasq-dhcp1")
    other: Item = {"mac": "02:00:00:00:00:06", "addresses": ["10.1.1.6"], "name": "app"}
    for change in ({"leases": [WEB, other]}, {"router": None}, {"routes": [], "dns": []}):
        assert host.apply("netns_dnsmasq", server(**change))["changed"]
    assert pid(host, "overloom-dnsmasq-dhcp1") == before
    host.apply("netns_dnsmasq", server(domain="other.example"))
    assert pid(host, "overloom-dnsmasq-dhcp1") != before
    # What was given out is known after a restart.
    given = host.module("netns_dhcp_info", {})["servers"][0]["leases"]
    assert [row["address"] for row in given] == ["10.1.1.5"]


def test_a_client_renews_its_address_at_the_other_server(host: Host) -> None:
    both = [server("dhcp1", ranges=["10.1.1.100-10.1.1.149"]), server("dhcp2", ranges=["10.1.1.150-10.1.1.199"])]
    host.apply("netns_dnsmasq", {"servers": both, "purge": True, "owner": "f"})
    host.apply("netns_udhcpc", {"name": "web"})
    first = wait_for_lease(host)["server"]
    dead, other = ("dhcp1", "10.1.1.3") if first == "10.1.1.2" else ("dhcp2", "10.1.1.2")
    # As when its host dies: nobody is told, and nobody answers for it.
    host.run(["ip", "-n", dead, "link", "set", "eth0", "down"])
    monitor = "setsid ip -n web -4 monitor address >/var/tmp/seen 2>&1 </dev/null & echo $! >/var/tmp/pid"
    host.run(["sh", "-c", monitor])
    host.run(["systemctl", "kill", "--signal=USR1", "overloom-udhcpc-web"])
    assert wait_for_lease(host, other)["address"] == "10.1.1.5/24"
    host.run(["sh", "-c", "kill $(cat /var/tmp/pid)"])
    assert "Deleted" not in host.run(["cat", "/var/tmp/seen"]) and live(host) == {"10.1.1.5/24"}


def test_after_a_reboot_both_are_there_again(host: Host) -> None:
    host.apply("netns_dnsmasq", server())
    host.apply("netns_udhcpc", {"name": "web"})
    wait_for_lease(host)
    host.reboot()
    assert wait_for_lease(host)["address"] == "10.1.1.5/24"
    assert not host.module("netns_dnsmasq", server(), check=True)["changed"]
    assert not host.module("netns_udhcpc", {"name": "web"}, check=True)["changed"]


def solicit(host: Host) -> None:
    """Have the client ask for routers of IPv6, as at its start."""
    host.run(inside("web", "sysctl", "-q", "net.ipv6.conf.eth0.disable_ipv6=1"))
    host.run(inside("web", "sysctl", "-q", "net.ipv6.conf.eth0.accept_ra=2", "net.ipv6.conf.eth0.disable_ipv6=0"))


def is_advertised(host: Host) -> bool:
    """Whether the client was told of the segment's prefix; it has no address there."""
    return "fd00:1::/64" in host.run(["ip", "-n", "web", "-6", "route"])


def test_router_advertisements_carry_the_mtu_and_no_default_route(host: Host) -> None:
    host.apply("netns_dnsmasq", server())
    solicit(host)
    mtu = inside("web", "sysctl", "-n", "net.ipv6.conf.eth0.mtu")
    wait(lambda: host.run(mtu).strip() == "1400", "an advertisement with the MTU")
    six = host.run(["ip", "-n", "web", "-6", "route"])
    assert "fd00:1::/64" in six and "default" not in six
    # Addresses are DHCPv6's: nobody makes one up.
    assert "scope global" not in host.run(["ip", "-n", "web", "-6", "address", "show", "dev", "eth0"])


# What machines have that ask for their addresses by themselves, and how they are started in a namespace, as on machines of their own.
NETWORKD = """[Match]
Name=eth0
[Network]
DHCP=yes
IPv6AcceptRA=yes
[DHCPv4]
UseDNS=no
UseHostname=no
UseMTU=yes
[DHCPv6]
UseDNS=no
"""
CLIENTS: dict[str, list[list[str]]] = {
    "systemd-networkd": [["/lib/systemd/systemd-networkd"]],
    "dhclient": [["dhclient", "-d", version, "-lf", "/run/l", "-pf", "/run/p", "eth0"] for version in ("-4", "-6")],
}


@pytest.fixture(name="theirs")
def with_theirs(host: Host) -> t.Iterator[Host]:
    """The host with what the clients read and write."""
    host.write("/run/systemd/network/10-eth0.network", NETWORKD)
    host.write("/var/tmp/resolv.conf", "")
    yield host
    host.run(["systemctl", "stop", "theirs-*"])
    host.run(["rm", "/run/systemd/network/10-eth0.network", "/var/tmp/resolv.conf"])


def ask_as(host: Host, client: str, name: str) -> dict[str, str]:
    """Start a client in a namespace, and wait for its address of each family."""
    # dhclient ends where it cannot bind to the address yet.
    local = ["ip", "-n", name, "-6", "address", "show", "dev", "eth0", "scope", "link"]
    wait(lambda: "inet6" in host.run(local) and "tentative" not in host.run(local), f"the link-local address of {name}")
    common = [
        f"--property=NetworkNamespacePath=/run/netns/{name}",
        "--property=BindPaths=/var/tmp/resolv.conf:/etc/resolv.conf",
    ]
    for number, command in enumerate(CLIENTS[client]):
        own = [
            f"--unit=theirs-{name}-{number}",
            "--property=PrivateTmp=yes",
            "--property=RuntimeDirectory=systemd/netif",
        ]
        host.run(["systemd-run", "--quiet", *common, *own, *command])

    def addresses() -> dict[str, str] | None:
        show = ["ip", "-n", name, "-json", "address", "show", "dev", "eth0", "scope", "global"]
        rows = [one for row in json.loads(host.run(show)) for one in row.get("addr_info", ())]
        found = {row["family"]: row["local"] for row in rows if "local" in row and "tentative" not in row}
        return found if len(found) == 2 else None

    log = ["journalctl", "--no-pager", "--lines=60", "--unit=theirs-*", "--unit=overloom-*"]
    return t.cast("dict[str, str]", wait(addresses, f"both addresses of {name}", 60, lambda: host.run(log)))


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_that_machines_have_get_what_is_planned(theirs: Host, client: str) -> None:
    host = theirs
    six = {"mac": "02:00:00:00:00:06", "addresses": ["10.1.1.6", "fd00:1::6"], "name": "six"}
    ranges = ["10.1.1.100-10.1.1.149", "fd00:1::100-fd00:1::1ff"]
    host.module("netns_dnsmasq", server(leases=[WEB, six], ranges=ranges))
    for name, mac in (("six", six["mac"]), ("stranger", "02:00:00:00:00:07")):
        host.module("netns_veth", {"name": name, "addresses": [], "mac": mac, "bridge": "br0", "tx_checksum": "off"})
    assert ask_as(host, client, "six") == {"inet": "10.1.1.6", "inet6": "fd00:1::6"}
    routes = ("default via 10.1.1.1", "10.9.0.0/16 via 10.1.1.1")
    show = ["ip", "-n", "six", "-4", "route"]
    wait(lambda: all(route in host.run(show) for route in routes), "the routes", 30, lambda: host.run(show))
    assert link(host, "eth0", "six")["mtu"] == 1400
    # The control: another machine has one of the ranges.
    other = ask_as(host, client, "stranger")
    assert re.fullmatch(r"10\.1\.1\.1[0-4][0-9]", other["inet"]) and re.fullmatch(
        "fd00:1::1[0-9a-f]{2}", other["inet6"]
    )


def test_another_dnsmasq_is_not_touched(host: Host) -> None:
    host.write("/etc/dnsmasq.conf", "domain=theirs\n")
    host.run(["ip", "link", "add", "theirs0", "type", "veth", "peer", "name", "theirs1"])
    host.run(["ip", "address", "add", "10.1.1.2/24", "dev", "theirs0"])
    host.run(["ip", "link", "set", "theirs0", "up"])
    theirs = ["--port=5353", "--interface=theirs0", "--bind-interfaces", "--pid-file=/run/theirs.pid"]
    host.run(["dnsmasq", "--conf-file=/etc/dnsmasq.conf", "--dhcp-leasefile=/var/tmp/theirs", *theirs])
    process = host.run(["cat", "/run/theirs.pid"]).strip()
    host.apply("netns_dnsmasq", server())
    host.apply("netns_dnsmasq", {"name": "dhcp1", "state": "absent"})
    host.module("netns_dnsmasq", {"servers": [], "purge": True})
    host.run(["kill", "-0", process])
    assert host.run(["cat", "/etc/dnsmasq.conf"]) == "domain=theirs\n"
    host.run(["kill", process])


def test_removal_leaves_nothing(host: Host) -> None:
    before = settled(host)
    # Without IPv6, whose advertised routes stay in the kernel until they expire.
    four = {"subnets": ["10.1.1.0/24"], "leases": [{**WEB, "addresses": ["10.1.1.5"]}]}
    host.apply("netns_dnsmasq", server(**four))
    host.apply("netns_udhcpc", {"name": "web"})
    wait_for_lease(host)
    host.apply("netns_udhcpc", {"name": "web", "state": "absent"})
    host.apply("netns_dnsmasq", {"name": "dhcp1", "state": "absent"})
    assert live(host) == set() and "proto dhcp" not in host.run(["ip", "-n", "web", "-4", "route"])
    places = ["/etc/overloom", "/var/lib/overloom", "/run", "/etc/systemd/system"]
    left = host.run(["find", *places, "-name", "*dnsmasq*", "-o", "-name", "*udhcpc*"], ok=None).split()
    assert [path for path in left if "/systemd/" not in path or "overloom" in path] == []
    host.run(["ip", "-n", "web", "link", "set", "eth0", "mtu", "1500"])
    assert settled(host) == before


def test_where_segments_have_keys_only_the_server_answers(host: Host) -> None:
    macs = {"dhcp1": "02:00:00:00:00:01", "dhcp2": "02:00:00:00:00:02", "web": MAC}
    spaces = [
        {"name": name, "bridge": "br0", "mac": mac, "addresses": given, "tx_checksum": "off"}
        for (name, mac), given in zip(macs.items(), (["10.1.1.2/24"], ["10.1.1.3/24", "fd00:1::3/64"], []))
    ]
    host.module("netns_veth", {"namespaces": spaces})
    # The second one is no server in the plan, and answers and advertises all the same.
    subnets = {"subnets": ["10.1.1.0/24"], "leases": [{**WEB, "addresses": ["10.1.1.5"]}]}
    host.module("netns_dnsmasq", server("dhcp2"))
    for guarded in (True, False):
        points = [Point(f"v-{name}", mac, [], serves=name == "dhcp1") for name, mac in macs.items()]
        flows = [{"flow": flow} for flow in pipeline([Tenancy(7, points, [], [], guarded=guarded)])]
        host.module("ovs_flow", {"bridge": "br0", "flows": flows, "purge": True})
        solicit(host)
        host.module("netns_udhcpc", {"name": "web"})
        if guarded:
            time.sleep(4)
            assert lease(host) is None and not is_advertised(host)
            host.module("netns_dnsmasq", server("dhcp1", **subnets))
            assert wait_for_lease(host)["server"] == "10.1.1.2"
            host.module("netns_dnsmasq", {"name": "dhcp1", "state": "absent"})
            host.module("netns_udhcpc", {"name": "web", "state": "absent"})
    # The control.
    assert wait_for_lease(host)["server"] == "10.1.1.3"
    wait(lambda: is_advertised(host), "an advertisement")


def test_another_owner_keeps_its_own(host: Host) -> None:
    host.apply("netns_dnsmasq", server(owner="a"))
    assert "belongs to the owner a" in host.module("netns_dnsmasq", server(), ok=False)["msg"]
    host.module("netns_dnsmasq", {"servers": [], "purge": True})
    assert (
        "belongs to the owner a and stays"
        in host.module("netns_dnsmasq", {"name": "dhcp1", "state": "absent"}, ok=False)["msg"]
    )
    assert host.module("netns_dhcp_info", {"owner": "a"})["servers"][0]["running"]


def test_drift_is_repaired(host: Host) -> None:
    host.apply("netns_dnsmasq", server())
    drifts: list[list[str]] = [
        ["systemctl", "stop", "overloom-dnsmasq-dhcp1"],
        ["systemctl", "disable", "--quiet", "overloom-dnsmasq-dhcp1"],
        ["sed", "-i", "s/RestartSec=1/RestartSec=9/", "/etc/systemd/system/overloom-dnsmasq-dhcp1.service"],
        ["sed", "-i", "s/lab.example/theirs/", "/etc/overloom/dnsmasq/dhcp1/dnsmasq.conf"],
        ["rm", "/etc/overloom/dnsmasq/dhcp1/leases"],
    ]
    for drift in drifts:
        host.run(drift)
        assert host.apply("netns_dnsmasq", server())["changed"], drift
    # Its namespace was made anew: it has to move there.
    host.run(["ip", "netns", "delete", "dhcp1"])
    again = {"name": "dhcp1", "addresses": ["10.1.1.2/24", "fd00:1::2/64"], "bridge": "br0", "tx_checksum": "off"}
    host.module("netns_veth", again)
    host.module("netns_dnsmasq", server())
    assert host.module("netns_dhcp_info", {})["servers"][0]["namespace"] == "dhcp1"
    assert not host.module("netns_dnsmasq", server(), check=True)["changed"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"namespace": "nowhere"}, "there is no network namespace nowhere"),
        ({"subnets": []}, "subnets needs the subnet"),
        ({"ranges": ["10.1.2.1-10.1.2.9"]}, "ranges has 10.1.2.1, which is outside of"),
        ({"ranges": ["10.1.1.9-10.1.1.1"]}, "ends before it begins"),
        ({"ranges": ["10.1.1.10-10.1.1.20", "10.1.1.20-10.1.1.30"]}, "overlap"),
        ({"leases": [WEB, WEB]}, "twice"),
        ({"leases": [{**WEB, "addresses": ["10.2.1.5"]}]}, "leases has 10.2.1.5, which is outside of"),
        ({"leases": [{**WEB, "name": "a,b\nc"}]}, "is no name of a host"),
        ({"domain": "a b"}, "is no domain"),
        ({"lease_time": 5}, "must be 120 to"),
        ({"router": "10.1.1.1/24"}, "is no address"),
        ({"interface": "lo"}, "interface lo is the loopback"),
    ],
)
def test_bad_input_is_one_sentence(host: Host, item: Item, said: str) -> None:
    message = host.module("netns_dnsmasq", server(**item), ok=False)["msg"]
    assert re.search(said, message) and "\n" not in message, message

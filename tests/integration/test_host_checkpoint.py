# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of the host's own network is undone by the host itself unless it is confirmed; a bridge takes over its NIC's addresses.

Host b stands for the controller, at the other end of the cable of a's eth1.
"""

from __future__ import annotations

import json
import time
import typing as t

import harness
import pytest
from harness import wait

MINE, ITS = "192.0.2.1", "192.0.2.2"
BRIDGE = {"name": "br0", "datapath_type": "netdev", "ports": [{"name": "eth1", "up": True}], "owner": "test"}
TAKEOVER = {"name": "eth1", "bridge": "br0", "mac": "02:00:00:00:0a:01", "owner": "test"}
ARMED = {"name": "test", "interfaces": ["eth1", "br0"], "owner": "test"}
NOTE = "/var/lib/overloom/checkpoint/test.undone"


@pytest.fixture
def managed(pair: tuple[harness.Host, harness.Host]) -> t.Iterator[tuple[harness.Host, harness.Host]]:
    """Host a is reached by eth1, with a default route over it."""
    host, controller = pair
    for one, address in ((host, MINE), (controller, ITS)):
        one.run(["ip", "address", "add", f"{address}/24", "broadcast", "192.0.2.255", "dev", "eth1"])
        one.run(["ip", "address", "add", f"2001:db8::{address[-1]}/64", "nodad", "dev", "eth1"])
        one.run(["ip", "link", "set", "eth1", "up"])
    host.run(["ip", "route", "add", "default", "via", ITS, "dev", "eth1", "metric", "50"])
    host.run(["ip", "route", "add", "198.51.100.0/24", "via", ITS, "dev", "eth1", "table", "77", "proto", "static"])
    host.run(["ip", "-6", "route", "add", "default", "via", "2001:db8::2", "dev", "eth1"])
    yield pair
    host.run(["ip", "route", "flush", "table", "77"], ok=None)
    host.run(
        ["rm", "-rf", "/etc/systemd/network/00-overloom-eth1.network", "/etc/systemd/network/00-overloom-br0.network"]
    )


def network(host: harness.Host, *devices: str) -> dict[str, t.Any]:
    """Addresses and routes of interfaces, in a form that can be compared."""
    found: dict[str, t.Any] = {}
    rows = json.loads(host.run(["ip", "-json", "address", "show"]))
    for device in devices:
        held = [one for row in rows if row["ifname"] == device for one in row["addr_info"] if one["scope"] == "global"]
        found[device] = [(one["local"], one["prefixlen"], one.get("broadcast")) for one in held]
    routes = [host.run(["ip", six, "route", "show", "table", "all"]) for six in ("-4", "-6")]
    kept = [line for text in routes for line in text.splitlines() if " dev eth1" in line or " dev br0" in line]
    found["routes"] = sorted(" ".join(line.split()) for line in kept if "fe80" not in line and "ff00" not in line)
    return found


def reached(controller: harness.Host, within: float = 20) -> bool:
    """Whether the controller reaches the host, by both families."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        if all(_answers(controller, address) for address in (MINE, "2001:db8::1")):
            return True
    return False


def _answers(controller: harness.Host, address: str) -> bool:
    return "1 received" in controller.run(["ping", "-n", "-c", "1", "-W", "1", address], ok=None)


def note(host: harness.Host) -> dict[str, t.Any]:
    return json.loads(host.run(["cat", NOTE]))


def move(host: harness.Host) -> None:
    """Have br0 take over eth1, and put eth1 on br0."""
    host.module("ovs_takeover", TAKEOVER)
    host.module("ovs_bridge", BRIDGE)
    wait(lambda: network(host, "br0")["br0"], "the bridge has the addresses")


def left(host: harness.Host) -> str:
    """Units and files of checkpoints and takeovers."""
    looked = "find /etc/systemd /run/overloom /var/lib/overloom -name '*checkpoint*' -o -name '*takeover*' -o -name '00-overloom*'"
    return host.run(["sh", "-c", f"{looked} 2>/dev/null || :"])


def test_the_nic_is_moved_confirmed_and_given_back(managed: tuple[harness.Host, harness.Host]) -> None:
    """The bridge has what the NIC had, also after a reboot, and the NIC has it again in the end."""
    host, controller = managed
    before = network(host, "eth1")
    host.apply("host_checkpoint", {**ARMED, "timeout": 300})
    assert host.module("ovs_takeover", TAKEOVER)["changed"]
    host.module("ovs_bridge", BRIDGE)
    wait(lambda: not host.module("ovs_takeover", TAKEOVER, check=True)["changed"], "the addresses are moved")
    assert reached(controller)
    moved = network(host, "eth1", "br0")
    assert moved["eth1"] == [] and moved["br0"] == before["eth1"]
    assert moved["routes"] == [line.replace("dev eth1", "dev br0") for line in before["routes"]]
    assert host.apply("host_checkpoint", {"name": "test", "state": "confirmed"})["changed"]
    assert "checkpoint" not in left(host)
    # A takeover is passed over at a boot with any checkpoint armed, and begins when that is undone.
    host.run(["ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1"])
    host.module("host_checkpoint", {**ARMED, "name": "other", "interfaces": ["other0"], "timeout": 3000})
    host.reboot()
    host.run(["systemctl", "is-system-running", "--wait"], ok=None)
    wait(lambda: network(host, "br0")["br0"] == before["eth1"], "the bridge has the addresses after the reboot")
    assert host.apply("host_checkpoint", {"name": "other", "state": "absent"})["changed"]
    assert reached(controller)
    wait(lambda: not host.module("ovs_takeover", TAKEOVER, check=True)["changed"], "all is the bridge's")
    assert host.apply("ovs_takeover", {"takeovers": [], "purge": True, "owner": "test"})["changed"]
    assert network(host, "eth1") == before and left(host) == ""
    assert host.run(["ovs-vsctl", "list-ports", "br0"]) == ""
    assert reached(controller)


def test_a_bridge_of_others_gets_its_mac_address_back(managed: tuple[harness.Host, harness.Host]) -> None:
    """Somebody had given the bridge one before it took over the NIC's addresses."""
    host, controller = managed
    bridge = ["set", "Bridge", "br0", "datapath_type=netdev", 'other_config:hwaddr="02:00:00:00:0b:01"']
    host.run(["ovs-vsctl", "add-br", "br0", "--", *bridge])
    host.module("ovs_takeover", TAKEOVER)
    host.run(["ovs-vsctl", "add-port", "br0", "eth1"])
    wait(lambda: not host.module("ovs_takeover", TAKEOVER, check=True)["changed"], "the addresses are moved")
    hwaddr = ["ovs-vsctl", "get", "Bridge", "br0", "other_config:hwaddr"]
    assert host.run(hwaddr).strip() == f'"{TAKEOVER["mac"]}"' and reached(controller)
    host.apply("ovs_takeover", {"name": "eth1", "state": "absent", "owner": "test"})
    assert host.run(hwaddr).strip() == '"02:00:00:00:0b:01"' and reached(controller)
    assert left(host) == ""


def test_a_change_that_cuts_the_host_off_is_undone(managed: tuple[harness.Host, harness.Host]) -> None:
    """Nobody confirms, as the NIC is on a bridge and its addresses lead nowhere; what others did meanwhile stays."""
    host, controller = managed
    assert reached(controller)
    before = network(host, "eth1", "br0")
    host.module("host_checkpoint", {**ARMED, "timeout": 30})
    begun = time.monotonic()
    # The bridge takes the addresses, and puts the NIC into a VLAN that nobody else is in.
    host.module("ovs_takeover", TAKEOVER)
    host.module("ovs_bridge", {**BRIDGE, "ports": [{"name": "eth1", "up": True, "tag": 99}]})
    wait(lambda: network(host, "br0")["br0"], "the bridge has the addresses")
    assert not reached(controller, 3)
    host.run(["ip", "link", "set", "eth1", "mtu", "1400"])
    host.run(["ovs-vsctl", "add-port", "br0", "theirs", "--", "set", "Interface", "theirs", "type=internal"])
    wait(lambda: host.exists(NOTE), "the change is undone", 30 + 60)
    assert time.monotonic() - begun >= 29
    after = network(host, "eth1", "br0")
    assert set(after["routes"]) ^ set(before["routes"]) == set() and after == before
    assert " mtu 1500 " in host.run(["ip", "link", "show", "eth1"])
    assert host.run(["ovs-vsctl", "list-ports", "br0"]).split() == ["theirs"]
    assert note(host)["why"] == "not confirmed" and note(host)["problems"] == []
    assert reached(controller)
    assert [line for line in left(host).split() if line != NOTE] == ["/var/lib/overloom/checkpoint"]
    said = host.module("host_checkpoint", {"name": "test", "state": "confirmed"}, ok=False)["msg"]
    assert "the host undid the change" in said and "nobody did within 30 s" in said
    host.apply("host_checkpoint", {"name": "test", "state": "absent"})
    assert left(host) == ""
    # The timer of before has run out in this boot already. An address by DHCP comes back as one.
    lease = ["192.0.2.77/24", "dev", "eth1", "valid_lft", "600", "preferred_lft", "600"]
    host.run(["ip", "address", "add", *lease])
    host.module("host_checkpoint", {**ARMED, "timeout": 10})
    host.run(["ip", "address", "flush", "dev", "eth1"])
    wait(lambda: host.exists(NOTE), "the second change is undone", 10 + 60)
    assert note(host)["problems"] == [] and reached(controller)
    assert set(network(host, "eth1")["eth1"]) == {*before["eth1"], ("192.0.2.77", 24, None)}
    assert " dynamic " in host.run(["ip", "-oneline", "address", "show", "to", "192.0.2.77/32"])
    host.run(["ip", "address", "delete", "192.0.2.77/24", "dev", "eth1"])


def test_an_undoing_waits_for_the_module_that_changes_the_host(managed: tuple[harness.Host, harness.Host]) -> None:
    """Somebody holds the host's lock while the time runs out."""
    host, _controller = managed
    host.module("host_checkpoint", {**ARMED, "timeout": 10})
    hold = "import socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('\\0overloom-lock/network'); time.sleep(600)"
    host.run(["systemd-run", "--collect", "--unit=hold-lock", harness.PYTHON, "-c", hold])
    wait(lambda: "activating" in _undoing(host), "the undoing has begun")
    time.sleep(2)
    assert host.exists("/var/lib/overloom/checkpoint/test.json") and not host.exists(NOTE)
    host.run(["systemctl", "stop", "hold-lock"])
    wait(lambda: host.exists(NOTE), "the change is undone")


def _undoing(host: harness.Host) -> str:
    return host.run(["systemctl", "show", "--property=ActiveState", "overloom-checkpoint-test.service"])


def test_a_reboot_undoes_what_was_not_confirmed(managed: tuple[harness.Host, harness.Host]) -> None:
    """The time has not run out, and the host's own configuration, which a lab's host does not have, may say nothing of the addresses."""
    host, controller = managed
    before = network(host, "eth1")
    host.module("host_checkpoint", {**ARMED, "timeout": 3000})
    move(host)
    assert reached(controller)
    host.reboot()
    wait(lambda: host.exists(NOTE), "the change is undone")
    assert note(host)["why"] == "rebooted" and note(host)["problems"] == []
    assert network(host, "eth1") == before
    assert host.run(["ovs-vsctl", "list-ports", "br0"]) == ""
    assert reached(controller)


def test_ports_are_put_back_with_their_settings(managed: tuple[harness.Host, harness.Host]) -> None:
    """A bridge of others with the NIC on it: the NIC's port is changed, then the bridge is gone."""
    host, _controller = managed
    host.run(
        [
            "ovs-vsctl",
            "add-br",
            "br0",
            "--",
            "set",
            "Bridge",
            "br0",
            "datapath_type=netdev",
            "other_config:mac-aging-time=77",
        ]
    )
    host.run(["ovs-vsctl", "add-port", "br0", "eth1", "tag=7", "--", "set", "Port", "eth1", "external_ids:who=them"])

    def rows() -> list[str]:
        columns = {"Bridge": "name,datapath_type,other_config", "Port": "name,tag,trunks,external_ids"}
        return [
            host.run(["ovs-vsctl", "--columns=" + columns[one], "list", one, name])
            for one, name in (("Bridge", "br0"), ("Port", "eth1"))
        ]

    before = rows()
    for change in (["set", "Port", "eth1", "tag=8", "trunks=1,2"], ["del-port", "br0", "eth1"], ["del-br", "br0"]):
        host.module("host_checkpoint", {**ARMED, "timeout": 300})
        host.run(["ovs-vsctl", *change])
        assert host.module("host_checkpoint", {"name": "test", "state": "absent"})["changed"]
        assert rows() == before
        assert "br0" in host.run(["ovs-vsctl", "list-ifaces", "br0"]) or "eth1" in host.run(
            ["ovs-vsctl", "list-ports", "br0"]
        )


@pytest.mark.parametrize(
    ("name", "args", "sentence"),
    [
        ("host_checkpoint", {**ARMED, "interfaces": ["eth9"]}, "none of the interfaces eth9 exists"),
        ("host_checkpoint", {**ARMED, "interfaces": []}, "interfaces is empty"),
        ("host_checkpoint", {**ARMED, "timeout": 1}, "timeout is 1 s, too short"),
        ("ovs_takeover", {"name": "eth1"}, "bridge is missing"),
        ("ovs_takeover", {"name": "eth9", "bridge": "br0"}, "NIC eth9 does not exist"),
        ("ovs_takeover", {"name": "eth1", "bridge": "br0"}, "has no address that br0 could take over"),
        ("ovs_takeover", {"name": "eth1", "bridge": "eth1"}, "bridge is the NIC itself"),
    ],
)
def test_wrong_input_is_refused(host: harness.Host, name: str, args: dict[str, t.Any], sentence: str) -> None:
    said = host.module(name, args, ok=False)
    assert sentence in said["msg"] and left(host) == ""


def test_an_address_by_dhcp_is_refused(managed: tuple[harness.Host, harness.Host]) -> None:
    host, _controller = managed
    host.run(["ip", "address", "add", "192.0.2.77/24", "dev", "eth1", "valid_lft", "600", "preferred_lft", "600"])
    said = host.module("ovs_takeover", TAKEOVER, ok=False)["msg"]
    assert "eth1 has the address 192.0.2.77 by DHCP" in said and left(host) == ""


@pytest.fixture
def by_networkd(pair: tuple[harness.Host, harness.Host]) -> t.Iterator[tuple[harness.Host, harness.Host]]:
    """Host a's NIC is configured by systemd-networkd, which gives it its addresses at each boot and when they are lost."""
    host, controller = pair
    for address in (f"{ITS}/24", "2001:db8::2/64"):
        controller.run(["ip", "address", "add", address, "dev", "eth1"])
    controller.run(["ip", "link", "set", "eth1", "up"])
    network = (
        f"[Match]\nName=eth1\n[Network]\nAddress={MINE}/24\nAddress=2001:db8::1/64\nGateway={ITS}\nDNS=192.0.2.53\n"
    )
    host.write("/etc/systemd/network/50-nic.network", network)
    host.run(["systemctl", "enable", "--now", "--quiet", "systemd-networkd"])
    try:
        wait(lambda: _default(host) == "eth1", "systemd-networkd has configured eth1")
        yield pair
    finally:
        host.run(
            ["systemctl", "disable", "--now", "--quiet", "systemd-networkd.service", "systemd-networkd.socket"], ok=None
        )
        host.run(["sh", "-c", "rm -f /etc/systemd/network/*"])


def _default(host: harness.Host) -> str:
    words = host.run(["ip", "route", "show", "default"]).split()
    return words[words.index("dev") + 1] if words else ""


def test_systemd_networkd_is_told_and_told_otherwise(by_networkd: tuple[harness.Host, harness.Host]) -> None:
    """It configures the bridge as it did the NIC, at a boot too; what was not confirmed at a reboot is the NIC's again."""
    host, controller = by_networkd
    assert reached(controller)
    host.module("host_checkpoint", {**ARMED, "timeout": 3000})
    move(host)
    wait(lambda: _default(host) == "br0", "the default route is the bridge's")
    host.reboot()
    wait(lambda: host.exists(NOTE), "the change is undone")
    assert note(host)["problems"] == []
    wait(lambda: _default(host) == "eth1", "the default route is the NIC's again")
    assert reached(controller) and "00-overloom" not in left(host)
    host.module("host_checkpoint", {**ARMED, "timeout": 3000})
    move(host)
    host.module("host_checkpoint", {"name": "test", "state": "confirmed"})
    host.run(["networkctl", "reload"])
    host.reboot()
    host.run(["systemctl", "is-system-running", "--wait"], ok=None)
    wait(lambda: network(host, "eth1", "br0")["br0"], "the bridge has the addresses after the reboot")
    wait(lambda: network(host, "eth1")["eth1"] == [] and _default(host) == "br0", "all is the bridge's")
    assert reached(controller)
    assert "192.0.2.53" in host.run(["networkctl", "status", "br0"])
    wait(lambda: not host.module("ovs_takeover", TAKEOVER, check=True)["changed"], "nothing is left to do")
    host.apply("ovs_takeover", {"takeovers": [], "purge": True, "owner": "test"})
    wait(lambda: _default(host) == "eth1", "the default route is the NIC's")
    assert left(host) == "" and reached(controller)

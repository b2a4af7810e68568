# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ip_interface does to the interfaces of a real host."""

from __future__ import annotations

import json
import time
import typing as t

import harness
import pytest


def held(host: harness.Host, name: str) -> dict[str, t.Any]:
    """An interface as ip(8) tells it: its addresses, MTU and flags."""
    row = json.loads(host.run(["ip", "-json", "address", "show", "dev", name]))[0]
    found = [f"{one['local']}/{one['prefixlen']}" for one in row["addr_info"] if one["scope"] == "global"]
    return {"addresses": found, "mtu": row["mtu"], "up": "UP" in row["flags"]}


@pytest.fixture(autouse=True)
def nothing_left(host: harness.Host) -> t.Iterator[None]:
    """The loopback outlives a test."""
    yield
    host.module("ip_interface", {"interfaces": [], "purge": True, "owner": "test"}, ok=None)


def test_an_interface_is_made_changed_and_cleared(host: harness.Host) -> None:
    """Each option is set, changed and cleared; check mode foretells each."""
    host.apply(
        "ip_interface", {"name": "eth1", "addresses": ["10.254.0.1/31", "fd00::1/127"], "mtu": 1400, "owner": "test"}
    )
    assert held(host, "eth1") == {"addresses": ["10.254.0.1/31", "fd00::1/127"], "mtu": 1400, "up": True}
    host.apply("ip_interface", {"name": "eth1", "addresses": ["10.254.0.3/31"], "owner": "test"})
    assert held(host, "eth1") == {"addresses": ["10.254.0.3/31"], "mtu": 1400, "up": True}
    host.apply("ip_interface", {"name": "eth1", "state": "absent", "owner": "test"})
    assert held(host, "eth1") == {"addresses": [], "mtu": 1500, "up": False}
    assert not host.exists("/etc/systemd/system/overloom-interface-eth1.service")


def test_addresses_of_others_stay(host: harness.Host) -> None:
    """The loopback keeps what the kernel and people gave it, and a purge takes what is ours alone."""
    host.run(["ip", "address", "add", "10.9.9.9/32", "dev", "lo"])
    try:
        host.apply("ip_interface", {"interfaces": [{"name": "lo", "addresses": ["10.255.0.1/32"]}], "owner": "test"})
        assert held(host, "lo")["addresses"] == ["10.9.9.9/32", "10.255.0.1/32"]
        host.apply("ip_interface", {"interfaces": [], "purge": True, "owner": "test"})
        assert held(host, "lo")["addresses"] == ["10.9.9.9/32"]
        assert "127.0.0.1" in host.run(["ip", "address", "show", "dev", "lo"])
    finally:
        host.run(["ip", "address", "del", "10.9.9.9/32", "dev", "lo"])


def test_it_is_there_again_at_boot(host: harness.Host) -> None:
    """The unit gives the addresses, the MTU and the state."""
    host.apply(
        "ip_interface", {"interfaces": [{"name": "eth1", "addresses": ["10.254.0.1/31"], "mtu": 1400}], "owner": "test"}
    )
    host.run(["ip", "address", "flush", "dev", "eth1"])
    host.run(["ip", "link", "set", "eth1", "mtu", "1500", "down"])
    host.reboot()
    host.run(["systemctl", "is-system-running", "--wait"], ok=None)
    assert held(host, "eth1") == {"addresses": ["10.254.0.1/31"], "mtu": 1400, "up": True}


@pytest.mark.parametrize("way", ["absent", "purge"])
def test_it_gets_back_its_mtu_and_its_state_also_after_a_reboot(host: harness.Host, way: str) -> None:
    """A NIC that was down and had another MTU before it was declared; the kernel forgets both at the reboot, and the unit does not."""
    host.run(["ip", "link", "set", "eth1", "mtu", "1450", "down"])
    host.apply("ip_interface", {"name": "eth1", "addresses": ["10.254.0.1/31"], "mtu": 1400, "owner": "test"})
    host.apply("ip_interface", {"name": "eth1", "mtu": 1380, "owner": "test"})
    if way == "purge":
        host.reboot()
        host.run(["systemctl", "is-system-running", "--wait"], ok=None)
    assert held(host, "eth1") == {"addresses": ["10.254.0.1/31"], "mtu": 1380, "up": True}
    gone = {"interfaces": [], "purge": True} if way == "purge" else {"name": "eth1", "state": "absent"}
    host.apply("ip_interface", {**gone, "owner": "test"})
    assert held(host, "eth1") == {"addresses": [], "mtu": 1450, "up": False}
    assert not host.apply("ip_interface", {**gone, "owner": "test"})["changed"]


def test_what_was_changed_by_hand_is_repaired(host: harness.Host) -> None:
    """An address that was taken away by hand is given again."""
    args = {"name": "eth1", "addresses": ["10.254.0.1/31"], "owner": "test"}
    host.apply("ip_interface", args)
    host.run(["ip", "address", "del", "10.254.0.1/31", "dev", "eth1"])
    assert host.apply("ip_interface", args)["changed"]
    assert held(host, "eth1")["addresses"] == ["10.254.0.1/31"]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (
            {"name": "eth9", "addresses": ["10.0.0.1/24"]},
            "interface eth9 does not exist; make it first, or correct the name",
        ),
        (
            {"name": "eth1", "addresses": ["10.0.0.0/24"]},
            "interface eth1: addresses: '10.0.0.0/24' is the address of the subnet itself",
        ),
        ({"name": "eth1", "mtu": 20}, "interface eth1: mtu: 20 is out of range"),
        ({"interfaces": [{"name": "eth1"}, {"name": "eth1"}]}, "interface eth1 is declared twice; leave one out"),
        ({"addresses": []}, "name is missing; give the interface, such as eth1"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(
    host: harness.Host, args: dict[str, t.Any], sentence: str
) -> None:
    before = host.run(["ip", "-json", "address"])
    result = host.module("ip_interface", args, ok=False)
    assert result["msg"].startswith(sentence) and not result.get("changed")
    assert host.run(["ip", "-json", "address"]) == before


def test_another_owner_is_respected(host: harness.Host) -> None:
    """What belongs to another is refused, unless it is adopted."""
    host.module("ip_interface", {"name": "eth1", "addresses": ["10.0.0.1/24"], "owner": "other"})
    result = host.module("ip_interface", {"name": "eth1", "addresses": ["10.0.0.2/24"], "owner": "test"}, ok=False)
    assert result["msg"] == "interface eth1 belongs to other; set adopt to take it over"
    host.apply("ip_interface", {"name": "eth1", "addresses": ["10.0.0.2/24"], "owner": "test", "adopt": True})
    assert held(host, "eth1")["addresses"] == ["10.0.0.2/24"]


def nm_state(host: harness.Host, name: str) -> str:
    """How NetworkManager has an interface."""
    return host.run(["nmcli", "-g", "GENERAL.STATE", "device", "show", name]).partition("(")[2].strip(" )\n")


@pytest.fixture
def network_manager(pair: tuple[harness.Host, harness.Host]) -> t.Iterator[harness.Host]:
    """NetworkManager runs, and asks by each NIC for a lease that nobody gives."""
    host, other = pair
    other.run(["ip", "link", "set", "dev", "eth1", "up"])
    host.write("/etc/NetworkManager/conf.d/test.conf", "[connection]\nipv4.dhcp-timeout=2\n")
    host.run(["systemctl", "enable", "--now", "--quiet", "NetworkManager"])
    harness.wait(
        lambda: nm_state(host, "eth1").startswith("connecting"),
        "NetworkManager asks for a lease by eth1",
        look=lambda: host.run(["nmcli", "device"]),
    )
    yield host
    host.run(["systemctl", "disable", "--now", "--quiet", "NetworkManager"])
    host.run(["rm", "-r", "/etc/NetworkManager/conf.d/test.conf", "/run/NetworkManager"])
    host.run(["ip", "link", "set", "dev", "eth1", "addrgenmode", "eui64"])


def test_networkmanager_takes_away_what_a_person_gives_a_nic_that_is_nobodys(network_manager: harness.Host) -> None:
    """The control: without the module the address is gone when no server has answered."""
    network_manager.run(["ip", "address", "add", "10.254.0.1/31", "dev", "eth1"])
    harness.wait(lambda: not held(network_manager, "eth1")["addresses"], "the address is gone")


def test_networkmanager_leaves_a_nic_alone_and_has_it_again(network_manager: harness.Host) -> None:
    """The address stays, also over NetworkManager's own restart and the host's; then NetworkManager has its NIC again."""
    host = network_manager
    host.apply("ip_interface", {"name": "eth1", "addresses": ["10.254.0.1/31"], "owner": "test"})
    for start in (lambda: host.run(["systemctl", "restart", "NetworkManager"]), host.reboot):
        # Longer than it asks for a lease.
        time.sleep(5)
        assert held(host, "eth1") == {"addresses": ["10.254.0.1/31"], "mtu": 1500, "up": True}
        assert nm_state(host, "eth1") == "unmanaged"
        assert "fe80::" in host.run(["ip", "-6", "address", "show", "dev", "eth1"])
        start()
    host.run(["systemctl", "is-system-running", "--wait"], ok=None)
    assert held(host, "eth1")["addresses"] == ["10.254.0.1/31"] and nm_state(host, "eth1") == "unmanaged"
    host.apply("ip_interface", {"name": "eth1", "state": "absent", "owner": "test"})
    assert not host.exists("/etc/NetworkManager/conf.d/overloom-unmanaged-eth1.conf")
    harness.wait(lambda: nm_state(host, "eth1").startswith("connecting"), "NetworkManager asks for a lease again")


def test_a_nic_with_a_connection_that_somebody_made_stays_networkmanagers(network_manager: harness.Host) -> None:
    """The address of the module is there beside that of the connection."""
    host = network_manager
    host.run(
        ["nmcli", "connection", "add", "type", "ethernet", "ifname", "eth1", "con-name", "mine", "autoconnect", "yes"]
        + ["ipv4.method", "manual", "ipv4.addresses", "192.0.2.1/24", "ipv6.method", "disabled"]
    )
    host.run(["nmcli", "connection", "up", "mine"])
    try:
        host.apply("ip_interface", {"name": "eth1", "addresses": ["10.254.0.1/31"], "owner": "test"})
        time.sleep(5)
        assert held(host, "eth1")["addresses"] == ["192.0.2.1/24", "10.254.0.1/31"]
        assert nm_state(host, "eth1") == "connected"
        assert not host.exists("/etc/NetworkManager/conf.d/overloom-unmanaged-eth1.conf")
    finally:
        host.run(["nmcli", "connection", "delete", "mine"])

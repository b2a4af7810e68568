# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own manager makes interfaces: systemd-networkd, NetworkManager and ifupdown as they are.

The kernel of the machine that the tests run on may have no bonds and no VLANs (802.1Q), so here are the NICs alone. What the files say of bonds is in the
unit tests.
"""

from __future__ import annotations

import json
import typing as t

import pytest
from harness import wait
from ovs import veth

if t.TYPE_CHECKING:
    from harness import Host

ADDRESS = "192.0.2.1/24"
MANAGERS = ("networkd", "networkmanager", "ifupdown")
FILES = {
    "networkd": "/etc/systemd/network/00-overloom-net-n1.network",
    "networkmanager": "/etc/NetworkManager/system-connections/overloom-n1.nmconnection",
    "ifupdown": "/etc/network/interfaces.d/overloom-n1",
}
# A file of others for the same NIC.
THEIRS = {
    "networkd": ("/etc/systemd/network/n1.network", "[Match]\nName=n1\n[Network]\nAddress=198.51.100.7/24\n"),
    "networkmanager": (
        "/etc/NetworkManager/system-connections/theirs.nmconnection",
        "[connection]\nid=theirs\nuuid=0a0b0c0d-0000-4000-8000-000000000001\ntype=ethernet\ninterface-name=n1\n"
        "[ipv4]\nmethod=manual\naddress1=198.51.100.7/24\n[ipv6]\nmethod=disabled\n",
    ),
    "ifupdown": ("/etc/network/interfaces.d/theirs", "auto n1\niface n1 inet static\n    address 198.51.100.7/24\n"),
}


@pytest.fixture
def managed(host: Host) -> t.Iterator[Host]:
    """A host with two NICs of nobody's; its managers stand still."""
    yield host
    for name in ("n1", "n1p"):
        host.run(["ip", "link", "delete", name], ok=None)
    host.run(["systemctl", "disable", "--now", "NetworkManager", "systemd-networkd"], ok=None)
    host.run(
        [
            "sh",
            "-c",
            "rm -f /etc/systemd/network/* /etc/NetworkManager/system-connections/* /etc/network/interfaces.d/*",
        ]
    )


def started(host: Host, manager: str) -> None:
    """Have a manager run, and a NIC that it may have."""
    veth(host, "n1")
    host.run(["ip", "link", "set", "n1p", "up"])
    # Without udev, NetworkManager knows of no driver; with it, it leaves cables between namespaces alone.
    host.write("/etc/NetworkManager/conf.d/test.conf", "[keyfile]\nunmanaged-devices=none\n")
    host.write("/etc/network/interfaces", "source /etc/network/interfaces.d/*\n")
    service = {"networkd": "systemd-networkd", "networkmanager": "NetworkManager"}.get(manager)
    for one in ("systemd-networkd", "NetworkManager"):
        host.run(["systemctl", *(("enable", "--now") if one == service else ("disable", "--now")), one])
    if manager == "networkmanager":
        # It sets up each NIC by itself first.
        host.run(
            ["sh", "-c", "for i in $(seq 300); do ip link show dev n1 | grep -q ,UP && exit; sleep 0.1; done; exit 1"]
        )


def addresses(host: Host, name: str = "n1") -> list[str]:
    rows = json.loads(host.run(["ip", "-json", "address", "show", "dev", name]))
    return [f"{one['local']}/{one['prefixlen']}" for one in rows[0]["addr_info"] if one["family"] == "inet"]


def has(host: Host, address: str) -> None:
    """Wait until the NIC has an address, which a manager gives in its own time."""
    host.run(
        [
            "sh",
            "-c",
            f"for i in $(seq 300); do ip address show dev n1 | grep -q {address} && exit; sleep 0.1; done; exit 1",
        ]
    )


def mtu(host: Host) -> int:
    return json.loads(host.run(["ip", "-json", "link", "show", "dev", "n1"]))[0]["mtu"]


@pytest.mark.parametrize("manager", MANAGERS)
def test_each_manager_makes_an_interface_changes_it_has_it_after_a_reboot_and_gives_it_back(
    managed: Host, manager: str
) -> None:
    host = managed
    started(host, manager)
    state = host.apply("host_network", {"name": "n1", "addresses": [ADDRESS], "mtu": 1400})["interfaces"][0]
    assert (state["manager"], state["owner"], state["addresses"]) == (manager, "overloom.fabric", [ADDRESS])
    assert addresses(host) == [ADDRESS] and mtu(host) == 1400 and host.exists(FILES[manager])
    # Left out: as it was. Another address: that one alone.
    host.apply("host_network", {"name": "n1", "addresses": ["192.0.2.2/24", "192.0.2.3/24"]})
    assert addresses(host) == ["192.0.2.2/24", "192.0.2.3/24"] and mtu(host) == 1400
    # What is changed by hand is seen, and made so again.
    host.run(["ip", "address", "delete", "192.0.2.2/24", "dev", "n1"])
    host.apply("host_network", {"name": "n1"})
    assert "192.0.2.2/24" in addresses(host)
    host.reboot()
    veth(host, "n1")
    host.run(["ip", "link", "set", "n1p", "up"])
    host.run(["sh", "-c", "systemctl is-system-running --wait || true"])
    if manager == "ifupdown":
        # A NIC is there at boot, and this cable is not; the unit that starts a NIC that comes later is udev's.
        host.run(["ifup", "--all"])
    for address in ("192.0.2.2/", "192.0.2.3/"):
        has(host, address)
    again = host.module("host_network", {"name": "n1", "addresses": ["192.0.2.2/24", "192.0.2.3/24"], "mtu": 1400})
    assert not again["changed"] and not again["commands"], again
    assert addresses(host) == ["192.0.2.2/24", "192.0.2.3/24"] and mtu(host) == 1400
    host.apply("host_network", {"name": "n1", "state": "absent"})
    assert not addresses(host) and not host.exists(FILES[manager])


@pytest.mark.parametrize("manager", MANAGERS)
def test_what_others_configure_is_refused_in_a_sentence_and_untouched(managed: Host, manager: str) -> None:
    host = managed
    started(host, manager)
    path, text = THEIRS[manager]
    host.write(path, text)
    if manager == "networkmanager":
        host.run(["chmod", "600", path])
    start = {
        "networkd": ["networkctl", "reload"],
        "networkmanager": ["sh", "-c", "nmcli connection reload; nmcli connection up theirs"],
        "ifupdown": ["ifup", "n1"],
    }
    host.run(start[manager])
    has(host, "198.51.100.7")
    wanted = {"name": "n1", "addresses": [ADDRESS]}
    refused = host.module("host_network", wanted, ok=False)
    assert refused["msg"].startswith(f"NIC n1 is configured by {path}") and "name another NIC" in refused["msg"]
    assert not refused["commands"] and host.run(["cat", path]) == text
    foreign = host.module("host_network", {"name": "n1", "state": "absent"}, ok=False)["msg"]
    assert "was not made by this collection and stays" in foreign
    if manager == "ifupdown":
        # It would use both files.
        assert "take it out of there" in host.module("host_network", {**wanted, "adopt": True}, ok=False)["msg"]
        return
    host.apply("host_network", {**wanted, "adopt": True})
    assert addresses(host) == [ADDRESS] and host.run(["cat", path]) == text
    given_back = host.module("host_network", {"name": "n1", "state": "absent"})
    assert given_back["warnings"][0].startswith("interface n1 was there before it was adopted: it is given back")
    wait(lambda: addresses(host) == ["198.51.100.7/24"], "the address of the others alone")
    assert host.run(["cat", path]) == text


def test_wrong_input_is_one_sentence_and_changes_nothing(managed: Host) -> None:
    host = managed
    started(host, "networkd")
    bond = {"name": "bond7", "members": ["n1", "n1p"]}
    for more, said in (
        ({"members": ["n1", "gone0"]}, "bond bond7: member gone0 does not exist on this host; correct the name"),
        ({"members": ["n1"]}, "bond bond7: members names n1 alone; a bond needs two or more NICs"),
        ({"up_delay": 150}, "bond bond7: up_delay 150 is no multiple of miimon 100; correct one of them"),
        (
            {"manager": "networkmanager"},
            "manager networkmanager: NetworkManager does not run on this host; start it, or name another manager",
        ),
        ({"mode": "balance-slb"}, "value of mode must be one of: active-backup, balance-rr,"),
    ):
        refused = host.module("host_network", {**bond, **more}, ok=False)
        assert refused["msg"].startswith(said), refused["msg"]
    assert not host.run(["sh", "-c", "ls /etc/systemd/network"]).strip()
    host.run(["ip", "address", "add", "198.51.100.9/24", "dev", "n1p"])
    said = host.module("host_network", bond, ok=False)["msg"]
    assert said.startswith(
        "bond bond7: member n1p has the address 198.51.100.9/24, which is not ours; name another NIC"
    )


def test_what_does_not_come_up_is_taken_back(managed: Host) -> None:
    """A kernel without bonds, or a manager that refuses: nothing is left, and the sentence says what is missing."""
    host = managed
    started(host, "networkd")
    if host.run(["sh", "-c", "ip link add b9 type bond && ip link delete b9 || true"], ok=None) == "" and bonds(host):
        pytest.fail("this kernel has bonds: prove them here")
    failed = host.module("host_network", {"name": "bond7", "members": ["n1", "n1p"]}, ok=False)
    assert failed["msg"] == "bond bond7: it does not exist"
    assert not host.run(["sh", "-c", "ls /etc/systemd/network"]).strip()


def bonds(host: Host) -> bool:
    return "Unknown device type" not in host.run(["ip", "link", "add", "b9", "type", "bond"], ok=None)

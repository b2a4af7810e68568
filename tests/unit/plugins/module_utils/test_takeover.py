# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bridge takes over from its NIC, what is refused, and the files for systemd-networkd."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._checkpoint.checkpoint import networkd_file
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import takeover
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Settings
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Step, Write
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Unit

ADDRESS = {"family": "inet", "local": "192.0.2.1", "prefixlen": 24, "scope": "global"}
ROUTE = {"dst": "default", "gateway": "192.0.2.2", "dev": "eth0", "protocol": "static"}
NETWORK = """# by the administrator
[Match]
Name=eth*
[Network]
Address=192.0.2.1/24
DNS=192.0.2.53
VLAN=eth0.30
[Route]
Gateway=192.0.2.2
"""


def link(name: str, *addresses: dict[str, t.Any]) -> dict[str, t.Any]:
    return {"ifname": name, "ifindex": 2, "address": "52:54:00:00:00:01", "flags": ["UP"], "addr_info": list(addresses)}


def found(**given: t.Any) -> takeover.Found:
    """A host with an address and a default route on eth0."""
    held = takeover.Found({"eth0": link("eth0", ADDRESS)}, [ROUTE], {}, {}, {}, {}, frozenset())
    return held._replace(**given)


def item(**given: t.Any) -> takeover.Item:
    row = {"name": "eth0", "bridge": "br0", "mac": None, "state": "present", **given}
    return takeover.items({"takeovers": [row], "name": None})[0]


def compared(held: takeover.Found, *declared: takeover.Item, owner: str = "us", purge: bool = False) -> t.Any:
    return takeover.compare(held, declared, Settings(owner, False, purge), True)


def moved(held: takeover.Found) -> takeover.Found:
    """The host after the unit has run."""
    change = compared(held, item())
    written = [step for step in change.steps if isinstance(step, Write)]
    name = "overloom-takeover-eth0.service"
    unit = next(
        Unit(name, step.content, ("multi-user.target", "ovs-vswitchd.service"))
        for step in written
        if step.path.endswith(name)
    )
    files = {step.path: step.content for step in written if step.path.endswith(".network")}
    links = {"eth0": link("eth0"), "br0": link("br0", ADDRESS)}
    routes = [{**ROUTE, "dev": "br0"}]
    return held._replace(links=links, routes=routes, units={name: unit}, on={"eth0": "br0"}, files=files, networks={})


@pytest.mark.parametrize("network", ["", NETWORK])
def test_what_was_moved_changes_nothing_and_is_given_back(network):
    after = moved(found(networks={"eth0": network}))
    assert not compared(after, item()).steps
    back = compared(after, purge=True)
    text = "\n".join(step.shown() for step in back.steps)
    assert back.after["eth0"]["interface"] == "eth0" and back.before["eth0"]["interface"] == "br0"
    for line in (
        "route delete 0.0.0.0/0 via 192.0.2.2 proto static dev br0",
        "address delete 192.0.2.1/24 dev br0",
        "del-port br0 eth0",
        "address replace 192.0.2.1/24 dev eth0",
        "route replace 0.0.0.0/0 via 192.0.2.2 proto static dev eth0",
    ):
        assert line in text
    # The unit's file alone knows what the NIC had.
    assert back.steps[-1].shown() == "rm -f /etc/systemd/system/overloom-takeover-eth0.service"
    assert ("00-overloom-br0.network" in text) == ("networkctl reload" in text) == bool(network)


@pytest.mark.parametrize("theirs", ["", "52:54:00:00:00:99"])
def test_the_address_that_others_gave_the_bridge_is_given_back(theirs):
    after = moved(found(hwaddr={"br0": theirs}))
    # By now it is the NIC's.
    after = after._replace(hwaddr={"br0": "52:54:00:00:00:01"})
    assert not compared(after, item()).steps
    text = "\n".join(step.shown() for step in compared(after, purge=True).steps)
    assert (f"set Bridge br0 'other_config:hwaddr=\"{theirs}\"'" in text) == bool(theirs)
    assert ("remove Bridge br0 other_config hwaddr" in text) != bool(theirs)


def test_what_the_bridge_did_not_get_is_told(monkeypatch):
    monkeypatch.setattr(takeover, "booted", lambda: True)
    after = moved(found())
    assert not takeover.refused(after, [item()])
    assert takeover.refused(after._replace(routes=[]), [item()]) == [
        "NIC eth0: br0 did not get 0.0.0.0/0 via 192.0.2.2 proto static; see the journal of overloom-takeover-eth0.service"
    ]
    # Before the bridge has the NIC, the unit waits.
    assert not takeover.refused(after._replace(routes=[], on={}), [item()])


@pytest.mark.parametrize(("mac", "quiet"), [("02:00:00:00:00:07", True), (None, False)])
def test_a_port_with_a_mac_address_of_its_own_answers_for_its_own_addresses_alone(mac, quiet):
    """In user space, tunnels go to whoever answers ARP for their end."""
    [unit] = [
        step.content
        for step in compared(found(), item(mac=mac)).steps
        if isinstance(step, Write) and step.path.endswith(".service")
    ]
    assert ("/proc/sys/net/ipv4/conf/br0/arp_ignore" in unit) is quiet
    assert "/proc/sys/net/ipv4/conf/br0/arp_notify" in unit


def test_a_boot_is_not_the_only_try_and_what_is_refused_keeps_nothing_away():
    lines = next(iter(moved(found()).units.values())).content.splitlines()
    assert "Restart=on-failure" in lines and "RestartSec=5" in lines
    assert any(line.startswith("After=") and line.endswith(" ifup@eth0.service") for line in lines)
    given = [line for line in lines if " replace " in line]
    assert len(given) == 2 and all(line.startswith("ExecStart=-") for line in given)


def test_the_unit_waits_before_the_bridge_has_the_nic_and_is_waited_for_afterwards():
    assert compared(found(), item()).steps[-1] == Step(
        ("systemctl", "restart", "--no-block", "overloom-takeover-eth0.service")
    )
    assert compared(found(on={"eth0": "br0"}), item()).steps[-1] == Step(
        ("systemctl", "restart", "overloom-takeover-eth0.service")
    )


@pytest.mark.parametrize("lost", [{"links": {"eth0": link("eth0"), "br0": link("br0")}}, {"routes": []}])
def test_what_was_taken_from_the_bridge_by_hand_is_moved_again(lost):
    steps = compared(moved(found())._replace(**lost), item()).steps
    assert steps == [Step(("systemctl", "restart", "overloom-takeover-eth0.service"))]


def test_an_address_that_the_nic_has_got_since_is_taken_too():
    after = moved(found())
    more = {**ADDRESS, "local": "198.51.100.1"}
    links = {**after.links, "eth0": link("eth0", more)}
    change = compared(after._replace(links=links), item())
    assert change.after["eth0"]["addresses"] == ["192.0.2.1/24", "198.51.100.1/24"]


def test_systemd_networkd_configures_the_bridge_as_it_did_the_nic():
    texts = takeover.networkd_texts("eth0", "br0", NETWORK)
    bridge, nic = texts[networkd_file("br0")], texts[networkd_file("eth0")]
    for line in ("Name=br0", "Address=192.0.2.1/24", "DNS=192.0.2.53", "[Route]", "Gateway=192.0.2.2"):
        assert f"\n{line}\n" in bridge and (line in nic) == (line == "no")
    assert "Name=eth*" not in bridge and "VLAN" not in bridge
    assert "Name=eth0\n" in nic and "\nVLAN=eth0.30\n" in nic


@pytest.mark.parametrize(
    ("held", "given", "sentence"),
    [
        ({}, {"name": "eth9"}, "NIC eth9 does not exist"),
        ({"links": {"eth0": link("eth0")}}, {}, "has no address that br0 could take over"),
        ({"links": {"eth0": link("eth0", {**ADDRESS, "dynamic": True})}}, {}, "192.0.2.1 by DHCP"),
        ({"on": {"eth0": "br7"}}, {}, "is on the bridge br7, not on br0"),
        ({"manager": frozenset({"eth0"})}, {}, "is NetworkManager's"),
        (
            {"routes": [{"dst": "default", "nexthops": [{"dev": "eth0"}, {"dev": "eth1"}]}]},
            {},
            "one of several gateways of the route to default",
        ),
        ({}, {"bridge": "eth0"}, "bridge is the NIC itself"),
        ({}, {"bridge": None}, "bridge is missing"),
        ({}, {"mac": "x"}, "no MAC address"),
        ({}, {"name": None}, "name is missing"),
    ],
)
def test_what_cannot_be_taken_over_is_one_sentence(held, given, sentence):
    with pytest.raises(FabricError, match=sentence):
        compared(found(**held), item(**given))


def test_another_owners_takeover_is_left_alone():
    after = moved(found())
    with pytest.raises(FabricError, match="belongs to the owner us"):
        compared(after, item(), owner="them")
    with pytest.raises(FabricError, match="belongs to the owner us"):
        compared(after, item(state="absent"), owner="them")
    assert not compared(after, owner="them", purge=True).steps


@pytest.mark.parametrize(
    "params",
    [
        {"takeovers": [], "name": "eth0"},
        {"takeovers": [{"name": "eth0", "bridge": "b", "mac": None, "state": "present"}] * 2, "name": None},
    ],
)
def test_the_list_and_the_plain_options_exclude_each_other(params):
    with pytest.raises(FabricError, match="exclude each other|declared twice"):
        takeover.items(params)

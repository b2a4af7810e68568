# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VLANs on NICs, compared without a kernel that has them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils import _network_manager
from ansible_collections.overloom.fabric.plugins.module_utils._ip import interface as _ip_interface
from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Step, Write
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Unit

NIC = _ip.Interface("eth1", 2, 1500, "02:00:00:00:00:01", True, "", "", ())
# What `ip -json -details address show` tells of a VLAN.
SHOWN = {
    "ifindex": 7,
    "ifname": "eth1.10",
    "link": "eth1",
    "flags": ["BROADCAST", "UP"],
    "mtu": 1500,
    "address": "02:00:00:00:00:01",
    "linkinfo": {"info_kind": "vlan", "info_data": {"protocol": "802.1Q", "id": 10, "flags": ["REORDER_HDR"]}},
    "addr_info": [{"family": "inet", "local": "10.1.10.1", "prefixlen": 24, "scope": "global"}],
}
VLAN = _ip.parse_interfaces([SHOWN])["eth1.10"]


def item(**given: t.Any) -> _ip_interface.Item:
    """A declared interface."""
    row = {
        "name": "eth1.10",
        "parent": None,
        "vlan": None,
        "addresses": None,
        "mtu": None,
        "up": None,
        "state": "present",
        **given,
    }
    return _ip_interface.items({"interfaces": [row], "name": None})[0]


def change(
    found: list[_ip.Interface],
    units: dict[str, Unit],
    *declared: _ip_interface.Item,
    purge: bool = False,
    manages: t.Sequence[str] = (),
) -> tuple[list[str], dict[str, Unit]]:
    """The lines for ip(8), and the units that are there afterwards. manages: the interfaces that NetworkManager manages."""
    devices = {name: _network_manager.Device(number, True) for number, name in enumerate(manages)}
    there = {one.name: one for one in found}
    state = _ip_interface.Found(there, units, network_manager=_network_manager.Found(devices))
    made = _ip_interface.compare(state, declared, "test", False, purge, False, True)
    lines = [
        line
        for step in made.steps
        if isinstance(step, Step) and step.argv[0] == "ip"
        for line in step.stdin.splitlines()
    ]
    written = {step.path.rpartition("/")[2]: step.content for step in made.steps if isinstance(step, Write)}
    return lines, {name: Unit(name, content, ("multi-user.target",)) for name, content in written.items()}


ON_A_STICK = {"parent": "eth1", "vlan": 10, "addresses": ["10.1.10.1/24"]}


def test_a_vlan_is_made_now_and_at_boot_and_goes_as_a_whole() -> None:
    lines, units = change([NIC], {}, item(**ON_A_STICK))
    assert lines == [
        "link set dev eth1 up",
        "link add link eth1 name eth1.10 type vlan id 10",
        "address replace 10.1.10.1/24 dev eth1.10",
        "link set dev eth1.10 up",
    ]
    (unit,) = units.values()
    assert [line.split(" ", 1)[1] for line in unit.content.splitlines() if line.startswith("ExecStart=")] == lines
    # There, it is no change, said again or not; gone, it is made again from what is noted.
    for declared in (item(**ON_A_STICK), item()):
        assert change([NIC, VLAN], units, declared) == ([], {})
        assert change([NIC], units, declared)[0] == lines
    # NetworkManager counts it among its own, as it does all that have addresses, and leaves it alone.
    assert change([NIC, VLAN], units, item(**ON_A_STICK), manages=["eth1.10"]) == ([], {})
    assert change([NIC], {}, item(name="eth1", up=True), manages=["eth1"]) != ([], {})
    assert (
        change([NIC, VLAN], units, purge=True)[0]
        == change([NIC, VLAN], units, item(state="absent"))[0]
        == ["link delete dev eth1.10"]
    )


def test_another_number_makes_the_vlan_anew() -> None:
    units = change([NIC], {}, item(**ON_A_STICK))[1]
    lines, _units = change([NIC, VLAN], units, item(parent="eth1", vlan=11))
    assert lines[:3] == [
        "link delete dev eth1.10",
        "link set dev eth1 up",
        "link add link eth1 name eth1.10 type vlan id 11",
    ]
    assert "address replace 10.1.10.1/24 dev eth1.10" in lines


def test_a_vlan_that_others_made_is_not_removed() -> None:
    units = change([NIC, VLAN], {}, item(**ON_A_STICK))[1]
    assert "Vlan" not in str(units)
    assert change([NIC, VLAN], units, purge=True)[0] == []


def test_an_interface_of_others_is_never_taken_for_the_vlan() -> None:
    other = VLAN._replace(parent="eth2")
    with pytest.raises(
        FabricError, match="interface eth1.10 exists and is not VLAN 10 of eth1; remove it, or take another name"
    ):
        change([NIC, other], {}, item(**ON_A_STICK))
    with pytest.raises(FabricError, match="interface eth1 does not exist"):
        change([], {}, item(**ON_A_STICK))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"vlan": 10}, "parent and vlan belong together"),
        ({"parent": "eth1"}, "parent and vlan belong together"),
        ({"parent": "eth1", "vlan": 4095}, "vlan 4095 is out of range"),
        ({"parent": "eth1.10", "vlan": 10}, "parent is the interface itself"),
    ],
)
def test_bad_input_is_one_sentence(given: dict[str, t.Any], said: str) -> None:
    with pytest.raises(FabricError, match=said):
        item(**given)


def test_the_nic_of_vlans_is_down_again_after_the_last_of_them() -> None:
    down, first = NIC._replace(up=False), item(**ON_A_STICK)
    second = item(name="eth1.20", parent="eth1", vlan=20)
    _lines, units = change([down], {}, first)
    other = VLAN._replace(name="eth1.20", ifindex=8, vlan=20, addresses=())
    # The NIC is up already when the second comes.
    units.update(change([NIC, VLAN], units, first, second)[1])
    found = [NIC, VLAN, other]
    assert change(found, units, first, purge=True)[0] == ["link delete dev eth1.20"]
    gone = ["link delete dev eth1.10", "link delete dev eth1.20", "link set dev eth1 down"]
    assert sorted(change(found, units, purge=True)[0]) == gone
    # Somebody uses the NIC meanwhile, or it is declared itself.
    assert change([NIC._replace(addresses=("192.0.2.1/24",)), VLAN, other], units, purge=True)[0] == gone[:2]
    assert change([NIC, VLAN, other, other._replace(name="theirs")], units, purge=True)[0] == gone[:2]
    assert change([NIC._replace(busy=True), VLAN, other], units, purge=True)[0] == gone[:2]
    assert gone[2] not in change(found, units, item(name="eth1", up=True), purge=True)[0]
    # One that was up stays so.
    _lines, units = change([NIC], {}, first)
    assert change([NIC, VLAN], units, purge=True)[0] == gone[:1]


def test_a_nic_with_a_lease_or_in_a_switch_in_user_space_is_busy_and_stays_up() -> None:
    row = {"ifname": "eth1", "ifindex": 2, "mtu": 1500, "flags": ["UP"], "promiscuity": 0}
    lease = {"family": "inet", "local": "192.0.2.9", "prefixlen": 24, "scope": "global", "dynamic": True}
    for more, busy in (({}, False), ({"promiscuity": 1}, True), ({"addr_info": [lease]}, True)):
        (there,) = _ip.parse_interfaces([{**row, **more}]).values()
        assert there.busy is busy and there.addresses == ()
        before = there._replace(up=False, busy=False)
        units = change([before], {}, item(name="eth1", up=True))[1]
        assert ("link set dev eth1 down" in change([there], units, purge=True)[0]) is not busy

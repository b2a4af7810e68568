# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of interfaces that exist: what becomes of them on a model of a host, whose each step may be the last of a run."""

from __future__ import annotations

import typing as t

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils import _network_manager
from ansible_collections.overloom.fabric.plugins.module_utils._ip import interface as ip_interface
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Change, Step
from ansible_collections.overloom.fabric.tests.unit.kernel import World

POOL = ["10.0.0.1/24", "10.0.0.2/24", "10.0.1.1/31", "fd00::1/64"]
NO_NETWORK_MANAGER = _network_manager.Found()
addresses = st.lists(st.sampled_from(POOL), unique=True)


def plan(
    world: World,
    items: list[dict[str, t.Any]],
    purge: bool = True,
    adopt: bool = False,
    network_manager: _network_manager.Found = NO_NETWORK_MANAGER,
) -> Change:
    every = [
        {"parent": None, "vlan": None, "addresses": None, "mtu": None, "up": None, "state": "present", **item}
        for item in items
    ]
    wanted = ip_interface.items({"interfaces": every, "name": None})
    found = ip_interface.Found(world.read({}).host, dict(world.units), network_manager=network_manager)
    return ip_interface.compare(found, wanted, "us", adopt, purge, check=False, running=True)


def run(world: World, items: list[dict[str, t.Any]], last: int | None = None, **options: bool) -> None:
    """One run, which is killed after so many steps."""
    for step in plan(world, items, **options).steps[:last]:
        world.do(step)


def nic(held: t.Iterable[str] = ()) -> World:
    """A host with a NIC that somebody has given addresses."""
    world = World()
    world.add(None, "eth1").addresses = list(held)
    return world


def held(world: World) -> list[str]:
    return world.spaces[None]["eth1"].addresses


@given(st.data(), addresses, addresses, addresses)
@settings(max_examples=250, deadline=None)
def test_what_others_gave_is_there_after_all_runs_and_nothing_else(data, others, one, two):
    world = nic(others)
    for wanted in (one, two):
        item = {"name": "eth1", "addresses": wanted}
        run(world, [item], last=data.draw(st.integers(0, 6)))
        run(world, [item])
        assert set(held(world)) == {*others, *wanted}
        assert not plan(world, [item]).steps
    run(world, [], last=data.draw(st.integers(0, 6)))
    run(world, [])
    assert set(held(world)) == set(others) and not world.units


def test_a_run_that_is_foretold_is_the_one_that_is_done():
    change = plan(nic(), [{"name": "eth1", "addresses": POOL, "mtu": 1400}])
    assert [step.stdin for step in change.steps if isinstance(step, Step) and step.stdin]
    assert change.before["eth1"]["addresses"] == [] and change.after["eth1"]["addresses"] == POOL


def test_an_adopted_address_is_taken_away_with_the_others():
    world = nic(POOL[:2])
    run(world, [{"name": "eth1", "addresses": POOL[:1]}], adopt=True)
    run(world, [])
    assert held(world) == POOL[1:2]


states = st.fixed_dictionaries(
    {"name": st.just("eth1")},
    optional={
        "addresses": st.lists(st.sampled_from(POOL), unique=True),
        "mtu": st.sampled_from([1400, 1500, 9000]),
        "up": st.just(True),
    },
)


@given(st.data(), states, states, st.booleans(), st.sampled_from([1300, 1500]))
@settings(max_examples=250, deadline=None)
def test_mtu_and_state_are_afterwards_what_they_were(data, one, two, up, mtu):
    world = nic()
    link = world.spaces[None]["eth1"]
    link.up, link.mtu = up, mtu
    for item in (one, two):
        run(world, [item], last=data.draw(st.integers(0, 6)))
        run(world, [item])
        assert not plan(world, [item]).steps
    run(world, [], last=data.draw(st.integers(0, 6)))
    run(world, [])
    assert (link.up, link.mtu, held(world)) == (up, mtu, [])


def test_what_others_made_of_it_since_stays():
    for change, mtu, up in (
        (lambda link: setattr(link, "mtu", 1280), 1280, False),
        (lambda link: link.addresses.append("192.0.2.1/24"), 1500, True),
        (lambda link: setattr(link, "up", False), 1500, False),
    ):
        world = nic()
        link = world.spaces[None]["eth1"]
        run(world, [{"name": "eth1", "mtu": 1400, "up": True}])
        assert (link.mtu, link.up) == (1400, True)
        change(link)
        run(world, [])
        assert (link.mtu, link.up) == (mtu, up)


def test_at_boot_a_unit_waits_for_its_nic_where_somebody_tells_of_it() -> None:
    for name, kept, device in (
        ("eth1", ip_interface.Kept("lab", up=True), "sys-subsystem-net-devices-eth1.device"),
        ("eth1.30", ip_interface.Kept("lab", parent="br-x", vlan=30), r"sys-subsystem-net-devices-br\x2dx.device"),
        ("lo", ip_interface.Kept("lab", up=True), ""),
    ):
        lines = ip_interface.unit(name, kept, devices=True).content.splitlines()
        assert [line for line in lines if line.startswith("Wants=")] == ([f"Wants={device}"] if device else [])
        assert f"After=network-pre.target {device}".strip() in lines
        assert ".device" not in ip_interface.unit(name, kept, devices=False).content


def shown(change: Change) -> list[str]:
    return [step.shown() for step in change.steps]


def place(steps: list[str], words: str) -> int:
    """The place of the one step that has these words."""
    (number,) = (number for number, step in enumerate(steps) if words in step)
    return number


def test_networkmanager_leaves_alone_what_is_configured_here_before_that_and_has_it_again_before_the_unit_goes() -> (
    None
):
    world, item = nic(), {"name": "eth1", "addresses": POOL[:1]}
    devices = {"eth1": _network_manager.Device(2, True), "eth9": _network_manager.Device(3, True)}
    steps = shown(plan(world, [item], network_manager=_network_manager.Found(devices)))
    order = ("overloom-unmanaged-eth1.conf", "try-reload-or-restart", "managed=true", "addrgenmode eui64")
    places = [place(steps, words) for words in order]
    assert places == sorted(places) and "link set dev eth1 up" in steps[places[-1]]
    assert not [step for step in steps if "eth9" in step]

    run(world, [item])
    ours = _network_manager.Found({}, frozenset({"eth1"}))
    assert not plan(world, [item], network_manager=ours).steps
    steps = shown(plan(world, [], network_manager=ours))
    removed = place(steps, "rm -f /etc/NetworkManager/conf.d/overloom-unmanaged-eth1.conf")
    assert removed < place(steps, "rm -f /etc/systemd/system/overloom-interface-eth1.service")


def test_networkmanager_keeps_what_is_not_up_by_the_module() -> None:
    manages = _network_manager.Found({"eth1": _network_manager.Device(2, True)})
    assert not [
        step
        for step in shown(plan(nic(), [{"name": "eth1", "mtu": 1400}], network_manager=manages))
        if "NetworkManager" in step
    ]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netns_keepalived: the real keepalived in namespaces of a lab host, two routers of one name on a bridge."""

from __future__ import annotations

import re
import time
import typing as t

import pytest
from harness import wait
from netns import addresses, bridge, inside, settled

if t.TYPE_CHECKING:
    from harness import Host

Item = t.Dict[str, t.Any]
VIRTUAL = ["10.1.1.1/32", "fd00:1::1/128"]
OWN = {"r1": "10.1.1.2", "r2": "10.1.1.3"}
# Three seconds that it listens, three adverts, and a busy machine.
PATIENCE = 90


def space(name: str, **options: t.Any) -> Item:
    """The namespace of a router."""
    own = [f"{OWN[name]}/24", f"fd00:1::{OWN[name][-1]}/64"]
    return {
        "name": name,
        "bridge": "br0",
        "tx_checksum": "off",
        "addresses": own,
        "virtual_addresses": VIRTUAL,
        **options,
    }


def router(name: str, **options: t.Any) -> Item:
    """A router that hears of the other one alone. Its interface is the namespace's."""
    peer = next(address for other, address in OWN.items() if other != name)
    leg = {"interface": "eth0", "addresses": VIRTUAL, "source": OWN[name], "peers": [peer]}
    priority = {"r1": 200, "r2": 100}[name]
    return {"name": name, "vrid": 7, "priority": priority, "interval": 200, "interfaces": [leg], **options}


@pytest.fixture(name="host")
def with_segment(host: Host) -> Host:
    """A host with the namespaces r1, r2 and web on one bridge."""
    bridge(host, "br0")
    web = {"name": "web", "bridge": "br0", "tx_checksum": "off", "addresses": ["10.1.1.9/24", "fd00:1::9/64"]}
    host.module("netns_veth", {"namespaces": [space("r1"), space("r2"), web]})
    return host


def states(host: Host) -> dict[str, str | None]:
    """Who is active."""
    return {row["name"]: row["state"] for row in host.module("netns_keepalived_info", {})["routers"]}


def wait_for(host: Host, **wanted: str | None) -> None:
    """Wait until the routers are in these states."""
    log = ["journalctl", "--no-pager", "--lines=60", "--unit", "overloom-keepalived-*"]
    wait(lambda: states(host) == wanted, f"the states {wanted}", PATIENCE, lambda: host.run(log))


def both(host: Host) -> None:
    """Two routers, of which the first is active."""
    host.apply("netns_keepalived", router("r1"))
    wait_for(host, r1="active")
    host.apply("netns_keepalived", router("r2"))
    # It might take over after the seconds that it listens.
    time.sleep(5)
    wait_for(host, r1="active", r2="standby")


def pid(host: Host, name: str) -> str:
    """The first process of a router."""
    return host.run(["systemctl", "show", "--property=MainPID", "--value", f"overloom-keepalived-{name}"]).strip()


def reaches(host: Host, address: str) -> None:
    """A neighbor reaches it within seconds, although it has known it at another MAC address."""
    assert host.answered(address, inside("web"), 10), address


def test_one_is_active_and_the_other_takes_over_both_families(host: Host) -> None:
    both(host)
    every = {address.partition("/")[0] for address in VIRTUAL}
    assert set(VIRTUAL) <= addresses(host, "r1") and not set(VIRTUAL) & addresses(host, "r2")
    for address in every:
        reaches(host, address)
    row = host.module("netns_keepalived_info", {"owner": "overloom.fabric"})["routers"][0]
    assert (row["vrid"], row["priority"], row["namespace"], row["addresses"]) == (7, 200, "r1", VIRTUAL)
    assert host.run(["stat", "-c", "%a %U", "/etc/overloom/keepalived/r1/keepalived.conf"]).split() == ["640", "root"]
    # Its death, without a word to the other.
    host.run(inside("r1", "ip", "link", "set", "eth0", "down"))
    wait(lambda: set(VIRTUAL) <= addresses(host, "r2"), "the addresses on r2", PATIENCE)
    for address in every:
        reaches(host, address)
    # The one that is back does not take over: it would disturb connections once more.
    host.run(inside("r1", "ip", "link", "set", "eth0", "up"))
    time.sleep(3)
    wait_for(host, r1="standby", r2="active")
    # With preempt it does.
    host.apply("netns_keepalived", router("r1", preempt=True))
    wait_for(host, r1="active", r2="standby")
    reaches(host, "10.1.1.1")


def test_who_is_stopped_hands_over_at_once(host: Host) -> None:
    both(host)
    host.run(["systemctl", "stop", "overloom-keepalived-r1"])
    wait_for(host, r1=None, r2="active")
    assert not set(VIRTUAL) & addresses(host, "r1")
    reaches(host, "10.1.1.1")


def test_a_killed_one_comes_back_and_leaves_no_address_twice(host: Host) -> None:
    both(host)
    host.run(["systemctl", "kill", "--signal=KILL", "overloom-keepalived-r1"])
    time.sleep(2)
    wait_for(host, r1="standby", r2="active")
    reaches(host, "10.1.1.1")


def test_a_change_is_read_again_and_the_active_one_stays(host: Host) -> None:
    both(host)
    before = pid(host, "r1"), pid(host, "r2")
    more = [*VIRTUAL, "10.1.1.8/32"]
    for name in ("r1", "r2"):
        host.module("netns_veth", space(name, virtual_addresses=more))
        item = router(name, interval=300)
        item["interfaces"][0]["addresses"] = more
        done = host.apply("netns_keepalived", item)
        assert any("HUP" in command for command in done["commands"])
    wait_for(host, r1="active", r2="standby")
    assert (pid(host, "r1"), pid(host, "r2")) == before
    wait(lambda: set(more) <= addresses(host, "r1"), "the new virtual address")
    reaches(host, "10.1.1.8")


def test_virtual_addresses_are_not_the_namespaces(host: Host) -> None:
    both(host)
    assert not host.module("netns_veth", {"namespaces": [space("r1"), space("r2")]})["changed"]
    # Another address of its own beside them.
    own = [f"{OWN['r1']}/24", "fd00:1::2/64", "10.1.1.77/24"]
    host.apply("netns_veth", space("r1", addresses=own))
    assert {*own, *VIRTUAL} <= addresses(host, "r1") and states(host)["r1"] == "active"
    # One that was its own becomes virtual, as for an edge that gets a second host, and back.
    host.apply("netns_veth", {**space("r1", addresses=own[:2]), "virtual_addresses": [*VIRTUAL, "10.1.1.77/24"]})
    assert "10.1.1.77/24" in addresses(host, "r1")
    host.module("netns_keepalived", {"name": "r1", "state": "absent"})
    assert not set(VIRTUAL) & addresses(host, "r1")
    host.apply("netns_veth", space("r1", virtual_addresses=[]))
    assert addresses(host, "r1") == set(own[:2])
    said = host.module("netns_veth", space("r1", addresses=VIRTUAL), ok=False)["msg"]
    assert "is in addresses and in virtual_addresses; give it once" in said


def test_multicast_without_peers(host: Host) -> None:
    for name in ("r1", "r2"):
        legs = [{"interface": "eth0", "addresses": VIRTUAL}]
        host.apply("netns_keepalived", router(name, interfaces=legs, preempt=True))
    wait_for(host, r1="active", r2="standby")


def test_drift_is_repaired(host: Host) -> None:
    host.apply("netns_keepalived", router("r1"))
    drifts: list[list[str]] = [
        ["systemctl", "stop", "overloom-keepalived-r1"],
        ["systemctl", "disable", "--quiet", "overloom-keepalived-r1"],
        ["sed", "-i", "s/RestartSec=1/RestartSec=9/", "/etc/systemd/system/overloom-keepalived-r1.service"],
        ["sed", "-i", "s/priority 200/priority 20/", "/etc/overloom/keepalived/r1/keepalived.conf"],
        ["rm", "/etc/overloom/keepalived/r1/keepalived.conf"],
    ]
    for drift in drifts:
        host.run(drift)
        assert host.apply("netns_keepalived", router("r1"))["changed"], drift
    # Its namespace was made anew: it has to move there.
    host.run(["ip", "netns", "delete", "r1"])
    host.module("netns_veth", space("r1"))
    host.module("netns_keepalived", router("r1"))
    wait_for(host, r1="active")
    assert not host.module("netns_keepalived", router("r1"), check=True)["changed"]


def test_after_a_reboot_they_are_there_again(host: Host) -> None:
    both(host)
    host.reboot()
    wait(
        lambda: sorted(map(str, states(host).values())) == ["active", "standby"],
        "one active and one on standby",
        PATIENCE,
        lambda: states(host),
    )


def test_the_distributions_service_and_other_owners_are_left_alone(host: Host) -> None:
    assert host.run(["systemctl", "is-active", "keepalived"], ok=None).strip() == "inactive"
    host.apply("netns_keepalived", router("r1", owner="a"))
    assert "belongs to the owner a" in host.module("netns_keepalived", router("r1"), ok=False)["msg"]
    host.module("netns_keepalived", {"routers": [], "purge": True})
    gone = host.module("netns_keepalived", {"name": "r1", "state": "absent"}, ok=False)["msg"]
    assert "belongs to the owner a and stays" in gone
    assert host.module("netns_keepalived_info", {"owner": "a"})["routers"][0]["running"]
    host.module("netns_keepalived", {"routers": [], "purge": True, "owner": "a"})
    assert states(host) == {}
    assert host.run(["systemctl", "is-active", "keepalived"], ok=None).strip() == "inactive"


def test_removal_leaves_nothing(host: Host) -> None:
    before = settled(host)
    host.apply("netns_keepalived", router("r1"))
    wait_for(host, r1="active")
    host.apply("netns_keepalived", {"name": "r1", "state": "absent"})
    left = host.run(
        ["find", "/etc", "/run", "-name", "*overloom-keepalived*", "-o", "-path", "/etc/overloom*"], ok=None
    )
    assert left == "" and settled(host) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"namespace": "nowhere"}, "there is no network namespace nowhere"),
        ({"vrid": None}, "vrid and interfaces are needed"),
        ({"vrid": 256}, "vrid must be 1 to 255, not 256"),
        ({"priority": 255}, "priority must be 1 to 254, not 255"),
        ({"interval": 5}, "interval must be 10 to 40950, not 5"),
        ({"interval": 105}, "interval 105 is no multiple of 10 ms"),
        ({"interfaces": []}, "vrid and interfaces are needed"),
    ],
)
def test_bad_input_is_one_sentence(host: Host, change: Item, said: str) -> None:
    item = {option: value for option, value in router("r1", **change).items() if value is not None}
    message = host.module("netns_keepalived", item, ok=False)["msg"]
    assert re.search(said, message) and "\n" not in message, message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"interface": "eth{0}"}, "keepalived's file takes letters"),
        ({"addresses": ["fd00:1::1/128"]}, "addresses has none of IPv4"),
        ({"addresses": ["10.1.1.1"]}, "is no address with a prefix length"),
        ({"source": None}, "source is missing; with peers"),
        ({"peers": ["10.1.1.2"]}, "source and peers must be different IPv4 addresses"),
        ({"peers": ["fd00:1::3"]}, "source and peers must be different IPv4 addresses"),
    ],
)
def test_bad_interfaces_are_one_sentence(host: Host, change: Item, said: str) -> None:
    item = router("r1")
    leg = {**item["interfaces"][0], **change}
    item["interfaces"] = [{option: value for option, value in leg.items() if value is not None}]
    message = host.module("netns_keepalived", item, ok=False)["msg"]
    assert re.search(said, message) and "\n" not in message, message

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the FRR modules do to a real FRR, whose daemons form real adjacencies and sessions."""

from __future__ import annotations

import collections
import os
import random
import re
import time
import typing as t

import frr_configs
import harness
import pytest
from harness import wait
from routers import by_hand, deleted, full, in_blocks, loaded, restart, running, settle

pytestmark = pytest.mark.usefixtures("frr_stopped_afterwards")


@pytest.fixture
def router(host: harness.Host) -> t.Iterator[harness.Host]:
    """A host with FRR and three interfaces."""
    settle(host)
    for name in ("eth2", "eth3"):
        host.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"p{name}"])
    host.run(["ip", "address", "add", "10.0.1.1/24", "dev", "eth1"])
    for name in ("eth1", "eth2", "eth3"):
        host.run(["ip", "link", "set", name, "up"])
    yield host


@pytest.fixture
def routers(pair: tuple[harness.Host, harness.Host]) -> t.Iterator[tuple[harness.Host, harness.Host]]:
    """Two hosts with FRR, connected by 10.0.1.0/30 on eth1."""
    for number, host in enumerate(pair, 1):
        settle(host)
        host.run(["ip", "address", "add", f"10.0.1.{number}/30", "dev", "eth1"])
        host.run(["ip", "link", "set", "eth1", "up"])
        host.run(["ip", "address", "replace", f"10.255.0.{number}/32", "dev", "lo"])
    yield pair
    for number, host in enumerate(pair, 1):
        host.run(["ip", "address", "delete", f"10.255.0.{number}/32", "dev", "lo"])


def ospf(number: int, **interface: t.Any) -> dict[str, t.Any]:
    """A router on the cable."""
    link = {
        "name": "eth1",
        "area": "0",
        "network_type": "point-to-point",
        "hello_interval": 1,
        "dead_interval": 4,
        "cost": 20,
        **interface,
    }
    return {"router_id": f"10.255.0.{number}", "interfaces": [{"name": "lo", "area": "0", "passive": True}, link]}


# --- every option, twice, and back -----------------------------------------------------------------------------------


# A reload and a restart cost more than what is asked of each configuration: of how many there is one.
RELOADED = 1 if os.environ.get("OVERLOOM_LONG") else 4
RESTARTED = 1 if os.environ.get("OVERLOOM_LONG") else 10


def unsaved(host: harness.Host) -> list[tuple[str, ...]]:
    """The settings in which what runs and what is saved differ, each with its blocks, but for what FRR writes into every file, and empty blocks."""
    texts = running(host), host.run(["cat", "/etc/frr/frr.conf"])
    kept = [collections.Counter({path: n for path, n in in_blocks(text).items() if is_said(path)}) for text in texts]
    return sorted([*(kept[0] - kept[1]), *(kept[1] - kept[0])])


def is_said(path: tuple[str, ...]) -> bool:
    """Whether a line of a configuration says something that somebody has set."""
    return not re.match(
        r"(?:!|end|exit\S*|(?:interface|vrf|address-family) .*|bfd|no ip(?:v6)? forwarding|frr .*|hostname .*|service .*)$",
        path[-1],
    )


@pytest.mark.parametrize("module", ["frr_ospf", "frr_bgp", "frr_rip", "frr_static"])
def test_random_configurations_are_taken_once_and_leave_nothing(router: harness.Host, module: str) -> None:
    router.write("/etc/frr/frr.conf", "frr defaults traditional\nhostname a\n")
    before, saved = running(router), router.run(["cat", "/etc/frr/frr.conf"])
    gone = deleted(router)
    assert gone is not None
    for seed in range(frr_configs.SEEDS):
        options = frr_configs.MODULES[module](random.Random(seed))
        try:
            router.module(module, options)
            again = router.module(module, options, check=True)
            assert not again["changed"], again["commands"]
            # vtysh is asked besides where the file is not spelled as FRR shows it.
            assert again["spawned"] <= 3
            assert not unsaved(router)
            if seed % RELOADED == 1 % RELOADED:
                would_go = deleted(router)
                assert would_go is not None and not would_go - gone
            if seed % RESTARTED == 0:
                restart_keeps(router, module, options)
        except AssertionError as error:
            raise AssertionError(f"{module} with the configuration of seed {seed}: {error}") from error
    router.apply(module, frr_configs.empty(module))
    assert running(router) == before
    assert router.run(["cat", "/etc/frr/frr.conf"]).strip("!\n") == saved.strip("!\n")


def test_what_frr_makes_of_the_neighbors_of_others_is_saved_and_goes_again(router: harness.Host) -> None:
    lines = ("router bgp 65000", " neighbor 10.0.1.2 remote-as 65001", " neighbor 10.0.1.3 remote-as 65001", "exit")
    file = "".join(f"{line}\n" for line in lines)
    by_hand(router, *lines)
    router.write("/etc/frr/frr.conf", file)
    # FRR shows now that those are active which were so unsaid.
    shown = kept(router, "frr_bgp", {"asn": "65000", "default_ipv4_unicast": False})
    assert shown.count(" activate\n") == 2 and not unsaved(router)
    assert router.module("frr_bgp", {"asn": "65000", "state": "absent"})["warnings"]
    assert router.run(["cat", "/etc/frr/frr.conf"]) == file and not unsaved(router)
    assert not router.module("frr_bgp", {"asn": "65000", "adopt": True}, check=True).get("warnings")


def test_the_bgp_by_which_others_leak_routes_stays_empty_and_goes_without_them(router: harness.Host) -> None:
    theirs, family = "router bgp 65000 vrf V1", "address-family l2vpn evpn"
    by_hand(router, theirs, family, "advertise ipv4 unicast", "exit-address-family", "exit")
    router.write(
        "/etc/frr/frr.conf", f"{theirs}\n !\n {family}\n  advertise ipv4 unicast\n exit-address-family\nexit\n"
    )
    ours = {"asn": "65000", "neighbors": [{"neighbor": "10.0.1.2", "remote_as": "65001"}]}
    router.apply("frr_bgp", ours)
    warned = router.apply("frr_bgp", {"asn": "65000", "state": "absent"})["warnings"]
    assert f"router bgp 65000 stays, empty, as {theirs} needs it to leak routes" in warned
    assert "neighbor 10.0.1.2" not in running(router) and not unsaved(router)
    restart(router)
    wait(lambda: not unsaved(router), "all that is saved")
    assert {("router bgp 65000",), (theirs, family, "advertise ipv4 unicast")} <= set(in_blocks(running(router)))
    # Beside others who leak none it goes.
    by_hand(router, theirs, family, "no advertise ipv4 unicast", "exit-address-family", "exit")
    assert not router.apply("frr_bgp", {"asn": "65000", "state": "absent"}).get("warnings")
    assert ("router bgp 65000",) not in in_blocks(running(router))
    assert not router.exists("/etc/overloom/frr/overloom.fabric-frr_bgp.json")


def test_what_others_have_not_saved_runs_on_and_is_not_saved(router: harness.Host) -> None:
    lines = ("router bgp 65000", " neighbor 10.0.1.2 remote-as 65001", "exit")
    file = "".join(f"{line}\n" for line in lines)
    bgp, family = "router bgp 65000", "address-family ipv4 unicast"
    peer, withheld = "neighbor 10.0.1.9 remote-as 65009", "no neighbor 10.0.1.2 send-community extended"
    by_hand(router, *lines, bgp, peer, family, withheld)
    router.write("/etc/frr/frr.conf", file)
    before = in_blocks(running(router))
    options = {"asn": "65000", "default_ipv4_unicast": False}
    router.apply("frr_bgp", options)
    assert not before - in_blocks(running(router)) and {(bgp, peer), (bgp, family, withheld)} <= set(before)
    # FRR shows both as active; only the saved one is saved so.
    assert running(router).count(" activate\n") == 2
    made, notes = (
        router.run(["cat", path]) for path in ("/etc/frr/frr.conf", "/etc/overloom/frr/overloom.fabric-frr_bgp.json")
    )
    assert re.findall(" neighbor (.*) activate", made) == ["10.0.1.2"]
    assert not re.search("10.0.1.9|extended", made + notes)
    restart(router)
    # FRR takes every line of the file, and what was not saved is gone, as it would be without ours.
    wait(lambda: not unsaved(router), "all that is saved")
    assert "no bgp default ipv4-unicast" in running(router) and "neighbor 10.0.1.2 activate" in running(router)
    assert not router.module("frr_bgp", options, check=True)["changed"]
    router.module("frr_bgp", {"asn": "65000", "state": "absent"})
    assert router.run(["cat", "/etc/frr/frr.conf"]) == file


def test_an_exception_of_others_from_a_default_stays_theirs(router: harness.Host) -> None:
    text = "interface eth2\n no ip ospf passive\nexit\nrouter ospf\n maximum-paths 5\nexit\n"
    by_hand(router, *text.splitlines())
    router.write("/etc/frr/frr.conf", text)
    assert " no ip ospf passive\n" in running(router)
    shown = kept(router, "frr_ospf", {"passive_default": True})
    assert " passive-interface default\n" in shown and " no ip ospf passive\n" in shown
    router.apply("frr_ospf", {"passive_default": False})
    assert router.run(["cat", "/etc/frr/frr.conf"]) == text


def test_an_exception_of_others_that_is_declared_too_is_there_after_a_teardown(router: harness.Host) -> None:
    text = "interface eth2\n no ip ospf passive\nexit\nrouter ospf\n maximum-paths 5\nexit\n"
    by_hand(router, *text.splitlines())
    router.write("/etc/frr/frr.conf", text)
    declared = {
        "passive_default": True,
        "interfaces": [{"name": "eth2", "passive": False}, {"name": "eth3", "passive": False}],
    }
    shown = kept(router, "frr_ospf", declared)
    assert shown.count(" no ip ospf passive\n") == 2 and "interface eth3" in router.run(["cat", "/etc/frr/frr.conf"])
    router.module("frr_ospf", {"instances": [], "purge": True})
    # Ours is gone, theirs is not.
    assert router.run(["cat", "/etc/frr/frr.conf"]) == text
    restart(router)
    wait(lambda: not unsaved(router), "all that is saved")


BGP = "router bgp 65000"


@pytest.mark.parametrize(
    "typed, declared, needs, also",
    [
        (
            ["neighbor 10.0.1.9 remote-as 65009"],
            {"neighbors": [{"neighbor": "10.0.1.9", "description": "rack"}]},
            "neighbor 10.0.1.9 remote-as 65009",
            {"neighbors": [{"neighbor": "10.0.1.9", "remote_as": "65009", "description": "rack"}]},
        ),
        (
            ["neighbor eth2 interface remote-as external"],
            {"neighbors": [{"neighbor": "eth2", "description": "rack"}]},
            "neighbor eth2 interface remote-as external",
            {"neighbors": [{"neighbor": "eth2", "remote_as": "external", "description": "rack"}]},
        ),
        (
            ["neighbor G peer-group"],
            {"neighbors": [{"neighbor": "10.0.1.2", "peer_group": "G"}]},
            "neighbor G peer-group",
            {"peer_groups": [{"name": "G"}], "neighbors": [{"neighbor": "10.0.1.2", "peer_group": "G"}]},
        ),
        (
            ["neighbor G peer-group", "neighbor G remote-as 65009"],
            {"listen_ranges": [{"prefix": "10.7.0.0/16", "peer_group": "G"}]},
            "neighbor G peer-group",
            {
                "peer_groups": [{"name": "G", "remote_as": "65009"}],
                "listen_ranges": [{"prefix": "10.7.0.0/16", "peer_group": "G"}],
            },
        ),
    ],
    ids=["a neighbor", "a neighbor without an address", "the group of a neighbor", "the group of a range"],
)
def test_what_needs_lines_that_others_have_not_saved_is_refused_unless_these_are_declared(
    router: harness.Host, typed: list[str], declared: dict[str, t.Any], needs: str, also: dict[str, t.Any]
) -> None:
    """FRR would not take such a line from the file, and what others have not saved, as filters, is not saved for them."""
    file = f"{BGP}\n neighbor 10.0.1.2 remote-as external\nexit\n"
    by_hand(router, *file.splitlines(), BGP, *typed, "neighbor 10.0.1.2 timers 5 15")
    router.write("/etc/frr/frr.conf", file)
    before = running(router)
    for check in (True, False):
        refused = router.module("frr_bgp", {"asn": "65000", **declared}, check=check, ok=False)
        assert f"cannot be saved: it needs '{needs}', which somebody else" in refused["msg"]
    assert (running(router), router.run(["cat", "/etc/frr/frr.conf"])) == (before, file)
    # The first way on.
    options = {"asn": "65000", **also}
    router.apply("frr_bgp", options)
    made = router.run(["cat", "/etc/frr/frr.conf"])
    assert f" {needs}\n" in made and "timers" not in made
    restart(router)
    wait(lambda: not unsaved(router), "all that is saved")
    assert not router.module("frr_bgp", options, check=True)["changed"]
    # The other one.
    by_hand(router, f"no {BGP}", *file.splitlines(), BGP, *typed)
    router.run(["vtysh", "-c", "write memory"])
    router.run(["rm", "-r", "/etc/overloom/frr"])
    kept(router, "frr_bgp", {"asn": "65000", **declared})


def test_a_filter_of_others_that_is_not_saved_is_told_of(router: harness.Host) -> None:
    file = f"{BGP}\n neighbor 10.0.1.2 remote-as 65001\nexit\n"
    by_hand(router, *file.splitlines(), "ip prefix-list PL permit 10.0.0.0/8", "route-map RM permit 10")
    router.write("/etc/frr/frr.conf", file)
    family = {"family": "ipv4_unicast", "route_map_in": "RM", "prefix_list_out": "PL"}
    options = {"asn": "65000", "neighbors": [{"neighbor": "10.0.1.2", "address_families": [family]}]}
    for check in (True, False):
        told = router.module("frr_bgp", options, check=check)["warnings"]
        assert sorted(one.partition(" runs and is not in ")[0] for one in told) == [
            "prefix list ipv4 PL",
            "route map RM",
        ]
    router.run(["vtysh", "-c", "write memory"])
    assert not router.module("frr_bgp", options).get("warnings")


def test_ours_in_a_vrf_and_on_an_interface_of_which_others_have_saved_nothing_stands_alone(
    router: harness.Host,
) -> None:
    by_hand(router, "vrf RED", "vni 77", "exit-vrf", "interface eth2", "description up", "ip ospf hello-interval 7")
    options = {
        "frr_static": {"prefix": "10.41.0.0/16", "via": "192.0.2.9", "vrf": "RED"},
        "frr_ospf": {"interfaces": [{"name": "eth2", "cost": 9, "area": "0"}]},
    }
    for module, declared in options.items():
        router.apply(module, declared)
    made = router.run(["cat", "/etc/frr/frr.conf"])
    assert not re.search("vni|description|hello", made)
    assert {" ip route 10.41.0.0/16 192.0.2.9", " ip ospf cost 9"} <= set(made.splitlines())
    restart(router)
    wait(lambda: not unsaved(router), "all that is saved")
    for module, declared in options.items():
        assert not router.module(module, declared, check=True)["changed"]


def test_a_neighbor_that_moves_into_a_group_is_saved_as_it_runs(router: harness.Host) -> None:
    def speaker(**peer: t.Any) -> dict[str, t.Any]:
        families = [{"family": "ipv6_unicast", "activate": True}]
        groups = [{"name": "G", "remote_as": "65001"}]
        return {
            "asn": "65000",
            "peer_groups": groups,
            "neighbors": [{"neighbor": "10.0.1.2", "address_families": families, **peer}],
        }

    kept(router, "frr_bgp", speaker(remote_as="65002", ttl_security_hops=1))
    grouped = {**speaker(peer_group="G")}
    del grouped["neighbors"][0]["address_families"]
    # It is made anew with all that it has but its AS.
    text = kept(router, "frr_bgp", grouped)
    assert "neighbor 10.0.1.2 remote-as" not in text and not unsaved(router)


@pytest.mark.parametrize(
    "kinds, withheld",
    [
        ([], [" all"]),
        (["standard"], [" extended", " large"]),
        (["extended", "large"], [""]),
        (["standard", "extended", "large"], []),
    ],
)
def test_exactly_the_kinds_of_communities_are_sent(router: harness.Host, kinds: list[str], withheld: list[str]) -> None:
    family = {"family": "ipv4_unicast", "send_community": kinds}
    peer = {"neighbor": "10.0.1.2", "remote_as": "65001", "address_families": [family]}
    text = kept(router, "frr_bgp", {"asn": "65000", "neighbors": [peer]})
    assert re.findall("no neighbor 10.0.1.2 send-community(.*)", text) == withheld


# --- one change ------------------------------------------------------------------------------------------------------


def test_a_change_sends_only_the_lines_that_differ(router: harness.Host) -> None:
    # The modules ask while FRR still reads its file.
    wait(lambda: loaded(router), "a FRR that has read its file")
    router.apply("frr_ospf", ospf(1))
    done = router.apply("frr_ospf", ospf(1, cost=27))
    assert done["commands"][0].splitlines()[1:-2] == ["interface eth1", " ip ospf cost 27", "exit"]
    assert " ip ospf cost 20\n" in done["diff"]["before"] and " ip ospf cost 27\n" in done["diff"]["after"]
    # Read, check, apply, read again; as FRR would write it, frr.conf is written without a question.
    assert done["spawned"] == 4


def test_the_default_for_ipv4_turns_and_groups_turn_with_it(router: harness.Host) -> None:
    def speaker(default: bool, active: bool) -> dict[str, t.Any]:
        group = {
            "name": "G",
            "remote_as": "65001",
            "address_families": [{"family": "ipv4_unicast", "activate": active}],
        }
        return {
            "asn": "65000",
            "default_ipv4_unicast": default,
            "peer_groups": [group],
            "neighbors": [{"neighbor": "10.0.1.2", "peer_group": "G"}],
        }

    for default, active, shown in (
        (True, True, ""),
        (False, False, ""),
        (False, True, "  neighbor G activate"),
        (True, False, "  no neighbor G activate"),
    ):
        router.apply("frr_bgp", speaker(default, active))
        assert [line for line in running(router).splitlines() if "activate" in line] == ([shown] if shown else [])


def test_an_interface_is_passive_also_after_it_was_excepted_from_a_default(router: harness.Host) -> None:
    router.apply("frr_ospf", {**ospf(1, passive=False), "passive_default": True})
    router.apply("frr_ospf", {**ospf(1), "passive_default": False})
    # FRR keeps the exception.
    assert " no ip ospf passive\n" in running(router)
    router.apply("frr_ospf", ospf(1, passive=True))
    text = running(router)
    assert text.count(" ip ospf passive\n") == 2 and "no ip ospf passive" not in text


def test_an_omitted_option_stays_and_an_empty_one_clears(router: harness.Host) -> None:
    router.apply("frr_ospf", ospf(1))
    assert not router.module("frr_ospf", {"interfaces": [{"name": "eth1"}]})["changed"]
    router.apply(
        "frr_ospf",
        {
            "router_id": "",
            "interfaces": [{"name": "eth1", "cost": 0, "network_type": "", "hello_interval": 0, "dead_interval": 0}],
        },
    )
    text = running(router)
    assert "router-id" not in text and "cost" not in text and "hello" not in text and "ip ospf area" in text


def test_check_mode_changes_nothing(router: harness.Host) -> None:
    before = running(router)
    foretold = router.module("frr_bgp", {"asn": "1.10", "router_id": "10.255.0.1"}, check=True, diff=True)
    assert foretold["changed"] and "router bgp 65546" in foretold["diff"]["after"]
    assert running(router) == before
    assert not router.exists("/etc/overloom/frr")


def test_secrets_are_nowhere_in_the_result(router: harness.Host) -> None:
    options = {
        "asn": "65000",
        "neighbors": [{"neighbor": "10.0.1.2", "remote_as": "65001", "password": "tellnobody"}],
    }
    done = router.apply("frr_bgp", options)
    assert "tellnobody" not in str({**done, "invocation": None})
    assert "neighbor 10.0.1.2 password tellnobody" in running(router)
    options["neighbors"][0]["password"] = "another"
    by_hand(router, "router bgp 65000", "neighbor 10.0.1.2 password foreign")
    done = router.apply("frr_bgp", options)
    assert "foreign" not in str({**done, "invocation": None})


def test_what_frr_refuses_is_named_and_taken_back(router: harness.Host) -> None:
    router.apply("frr_bgp", {"asn": "65000"})
    before = running(router)
    # The own AS is no other one to appear as.
    bad = {"neighbor": "10.0.1.2", "remote_as": "65001", "description": "new", "local_as": "65000"}
    done = router.module("frr_bgp", {"asn": "65000", "neighbors": [bad]}, ok=False)
    assert "the line 'neighbor 10.0.1.2 local-as 65000' in 'router bgp 65000'" in done["msg"]
    assert "Cannot have local-as same as BGP AS number" in done["msg"]
    assert running(router) == before


def test_an_unknown_line_is_refused_before_anything_changes(router: harness.Host) -> None:
    before = running(router)
    maps = [{"name": "RM", "entries": [{"set": ["nonsense 5"]}]}]
    for check in (True, False):
        done = router.module("frr_bgp", {"asn": "65000", "route_maps": maps}, check=check, ok=False)
        assert "FRR does not know the line 'set nonsense 5' in 'route-map RM permit 10'" in done["msg"]
    assert running(router) == before


# --- what others made ------------------------------------------------------------------------------------------------


def test_what_was_made_by_hand_stays(router: harness.Host) -> None:
    by_hand(
        router,
        "interface eth2",
        "ip ospf cost 5",
        "exit",
        "ip route 10.99.0.0/16 blackhole",
        "ip prefix-list HAND permit any",
    )
    router.write(
        "/etc/frr/frr.conf", "! a comment\nip route 10.99.0.0/16 blackhole\n!\ninterface eth2\n ip ospf cost 5\nexit\n"
    )
    before, saved = running(router), router.run(["cat", "/etc/frr/frr.conf"])
    router.apply("frr_ospf", {**ospf(1), "purge": True})
    router.apply("frr_static", {"prefix": "10.98.0.0/16", "discard": "blackhole", "purge": True})
    assert "ip ospf cost 5" in running(router) and "10.99.0.0/16" in running(router)
    absent = {"prefix": "10.99.0.0/16", "discard": "blackhole", "state": "absent"}
    for check in (True, False):
        refused = router.module("frr_static", absent, check=check, ok=False)
        assert "was not made by this collection and stays; leave it out of the task" in refused["msg"]
    router.apply("frr_static", {"routes": [], "purge": True})
    router.apply("frr_ospf", frr_configs.empty("frr_ospf"))
    assert running(router) == before
    assert router.run(["cat", "/etc/frr/frr.conf"]) == saved
    router.apply("frr_static", {"prefix": "10.99.0.0/16", "discard": "blackhole", "state": "absent", "adopt": True})
    assert "10.99.0.0/16" not in running(router)


def test_a_process_with_lines_of_others_in_it_stays(router: harness.Host) -> None:
    router.apply(
        "frr_bgp",
        {"asn": "65000", "router_id": "10.255.0.1", "neighbors": [{"neighbor": "10.0.1.2", "remote_as": "65001"}]},
    )
    by_hand(router, "router bgp 65000", "neighbor 10.0.1.3 remote-as 65002")
    done = router.module("frr_bgp", {"asn": "65000", "state": "absent"})
    assert "10.0.1.3" in str(done["warnings"])
    text = running(router)
    assert "10.0.1.3 remote-as 65002" in text and "10.0.1.2" not in text and "router-id" not in text


def test_another_owner_is_respected(router: harness.Host) -> None:
    route = {"prefix": "10.98.0.0/16", "discard": "blackhole"}
    router.apply("frr_static", {**route, "owner": "first"})
    router.apply("frr_static", {"routes": [], "owner": "second", "purge": True})
    assert "10.98.0.0/16" in running(router)
    assert "first" in router.module("frr_static", {**route, "owner": "second"}, ok=False)["msg"]
    router.apply("frr_static", {**route, "owner": "second", "adopt": True})
    router.apply("frr_static", {"routes": [], "owner": "first", "purge": True})
    assert "10.98.0.0/16" in running(router)
    router.apply("frr_static", {"routes": [], "owner": "second", "purge": True})
    assert "10.98.0.0/16" not in running(router)


def test_another_as_number_makes_the_process_anew(router: harness.Host) -> None:
    router.apply("frr_bgp", {"asn": "65000", "neighbors": [{"neighbor": "10.0.1.2", "remote_as": "65001"}]})
    router.apply("frr_bgp", {"asn": "65010", "neighbors": [{"neighbor": "10.0.1.3", "remote_as": "65001"}]})
    text = running(router)
    assert "router bgp 65010\n" in text and "router bgp 65000\n" not in text and "10.0.1.2" not in text


# --- options with a test of their own --------------------------------------------------------------------------------


def kept(router: harness.Host, module: str, options: dict[str, t.Any]) -> str:
    """Apply options, and restart FRR. The running configuration."""
    router.apply(module, options)
    return restart_keeps(router, module, options)


def restart_keeps(router: harness.Host, module: str, options: dict[str, t.Any]) -> str:
    """Restart FRR: what runs is the same, and nothing is left to do for the options. The running configuration."""
    before = running(router)
    restart(router)
    # FRR shows interfaces and the like in the order in which it met them.
    wait(lambda: in_blocks(running(router)) == in_blocks(before), "what ran before the restart")
    assert not router.module(module, options, check=True)["changed"]
    return before


def test_an_as_that_was_taken_over_appears_with_its_words(router: harness.Host) -> None:
    def peer(**options: t.Any) -> dict[str, t.Any]:
        return {"asn": "65000", "neighbors": [{"neighbor": "10.0.1.2", "remote_as": "65001", **options}]}

    def shown(text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if "local-as" in line]

    line = "neighbor 10.0.1.2 local-as 65123"
    assert shown(kept(router, "frr_bgp", peer(local_as="65123", local_as_replace_as=True))) == [
        f"{line} no-prepend replace-as"
    ]
    # A plain number, the same or another, and an omitted one leave the words as they are.
    assert (
        not router.module("frr_bgp", peer(local_as="65123"))["changed"]
        and not router.module("frr_bgp", peer())["changed"]
    )
    assert shown(kept(router, "frr_bgp", peer(local_as="65124"))) == [
        "neighbor 10.0.1.2 local-as 65124 no-prepend replace-as"
    ]
    assert shown(kept(router, "frr_bgp", peer(local_as="65123", local_as_replace_as=False))) == [f"{line} no-prepend"]
    assert shown(kept(router, "frr_bgp", peer(local_as_no_prepend=False))) == [line]
    assert shown(kept(router, "frr_bgp", peer(local_as=""))) == []
    assert "need local_as" in router.module("frr_bgp", peer(local_as_no_prepend=True), ok=False)["msg"]


def test_words_that_somebody_typed_stay_with_a_plain_number(router: harness.Host) -> None:
    options = {"asn": "65000", "neighbors": [{"neighbor": "10.0.1.2", "remote_as": "65001", "local_as": "65123"}]}
    router.apply("frr_bgp", options)
    by_hand(router, "router bgp 65000", "neighbor 10.0.1.2 local-as 65123 no-prepend replace-as")
    assert "local-as 65123 no-prepend replace-as" in kept(router, "frr_bgp", options)
    assert "local-as 65123 no-prepend replace-as" in router.run(["cat", "/etc/frr/frr.conf"])


def test_neighbors_on_a_network_without_multicast(routers: tuple[harness.Host, harness.Host]) -> None:
    def options(number: int, *neighbors: dict[str, t.Any]) -> dict[str, t.Any]:
        return {**ospf(number, network_type="non-broadcast"), "neighbors": list(neighbors)}

    first, second = routers
    other = {"address": "10.0.1.2", "poll_interval": 1, "priority": 5}
    second.apply("frr_ospf", options(2, {"address": "10.0.1.1", "poll_interval": 1, "priority": 5}))
    assert " neighbor 10.0.1.2 priority 5 poll-interval 1\n" in kept(first, "frr_ospf", options(1, other))
    wait(lambda: full(first), "a Full adjacency", 60)
    assert " neighbor 10.0.1.2 poll-interval 1\n" in kept(first, "frr_ospf", options(1, {**other, "priority": 0}))
    text = kept(first, "frr_ospf", options(1, {"address": "10.0.1.2"}, {"address": "10.0.1.3"}))
    assert " neighbor 10.0.1.2\n neighbor 10.0.1.3\n" in text
    # An omitted list leaves them.
    assert not first.module("frr_ospf", {"router_id": "10.255.0.1"})["changed"]
    assert "neighbor" not in kept(first, "frr_ospf", options(1))


@pytest.mark.parametrize("family", ["ipv4_unicast", "ipv6_unicast", "l2vpn_evpn"])
def test_activation_where_somebody_turned_the_default(router: harness.Host, family: str) -> None:
    words = family.replace("_", "-")
    by_hand(router, "router bgp 65000", f"bgp default {words}")
    router.run(["vtysh", "-c", "write memory"])

    def peer(active: bool) -> dict[str, t.Any]:
        families = [{"family": family, "activate": active}]
        return {
            "asn": "65000",
            "neighbors": [{"neighbor": "10.0.1.2", "remote_as": "65001", "address_families": families}],
        }

    def active() -> bool:
        return "10.0.1.2" in router.run(["vtysh", "-c", f"show bgp {family.replace('_', ' ')} summary json"])

    for wanted in (True, False, True):
        kept(router, "frr_bgp", peer(wanted))
        assert active() == wanted


def test_only_what_was_gathered_is_returned(router: harness.Host) -> None:
    assert set(router.module("frr_info", {"gather": ["ospf"]})) >= {"ospf_neighbors", "daemons"}
    for subset, name in (("ospf", "ospf_neighbors"), ("bgp_refused", "bgp_neighbors"), ("bfd", "bfd_peers")):
        told = router.module("frr_info", {"gather": [subset]})
        assert {"ospf_neighbors", "ospf6_neighbors", "bgp_neighbors", "routes", "interfaces", "bfd_peers"} & set(
            told
        ) == {name}


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_input_is_one_sentence_and_changes_nothing(router: harness.Host) -> None:
    before = running(router)
    peer = {"neighbor": "10.0.1.2", "remote_as": "2", "description": "x\n shutdown"}
    bad: list[tuple[str, dict[str, t.Any], str]] = [
        (
            "frr_ospf",
            {"areas": [{"area": "0", "type": "stub"}]},
            "OSPFv2 default area 0.0.0.0: type: the backbone cannot be stub",
        ),
        ("frr_ospf", {"router_id": "10.0.0.1", "instances": []}, "router_id and instances exclude each other"),
        ("frr_bgp", {}, "asn is missing"),
        ("frr_bgp", {"asn": "1", "neighbors": [peer]}, "line break"),
        ("frr_static", {"prefix": "10.0.0.0/8", "discard": "blackhole", "owner": "../x"}, "file name"),
    ]
    for module, options, said in bad:
        done = router.module(module, options, ok=False)
        assert said in done["msg"] and "\n" not in done["msg"], (options, done["msg"])
    assert running(router) == before
    assert not router.exists("/etc/overloom/frr")


def test_free_text_is_kept_as_it_is(router: harness.Host) -> None:
    texts = ("a 'quoted' \"word\"", "$(reboot); `id` && x > y", "--option=value", "! no comment # either")
    neighbors = [
        {"neighbor": f"10.0.1.{n}", "remote_as": "65001", "description": text} for n, text in enumerate(texts, 2)
    ]
    router.apply("frr_bgp", {"asn": "65000", "neighbors": neighbors})
    for neighbor in neighbors:
        assert f" neighbor {neighbor['neighbor']} description {neighbor['description']}\n" in running(router)


def test_a_daemon_that_does_not_run_is_named(router: harness.Host) -> None:
    router.write("/etc/frr/daemons", "bgpd=no\nospfd=yes\nvtysh_enable=yes\n")
    router.run(["systemctl", "restart", "frr"])
    options = {"asn": "65000"}
    assert "bgpd does not run" in router.module("frr_bgp", options, ok=False)["msg"]
    foretold = router.module("frr_bgp", options, check=True)
    assert foretold["changed"] and "bgpd does not run" in foretold["warnings"][0]


# --- adjacencies and sessions ----------------------------------------------------------------------------------------


def established(host: harness.Host) -> dict[str, t.Any] | None:
    """The BGP session once it is up."""
    found = host.module("frr_info", {"gather": ["bgp"]})["bgp_neighbors"]
    return next((one for one in found if one["state"] == "Established"), None)


def test_ospf_drift_is_repaired_without_dropping_the_adjacency(routers: tuple[harness.Host, harness.Host]) -> None:
    first, second = routers
    # What is repaired drops no adjacency, and a busy machine must not either.
    keys = {"authentication": "message_digest", "message_digest_keys": [{"id": 1, "key": "weave"}], "dead_interval": 30}
    first.apply("frr_ospf", ospf(1, **keys))
    second.apply("frr_ospf", ospf(2, **keys))
    neighbor = wait(lambda: full(first), "a Full adjacency")
    assert neighbor["router_id"] == "10.255.0.2" and neighbor["address"] == "10.0.1.2" and neighbor["area"] == "0.0.0.0"
    info = wait(
        lambda: [
            route
            for route in first.module("frr_info", {"gather": ["routes"], "prefixes": ["10.255.0.2/32"]})["routes"]
            if route["protocol"] == "ospf" and route["nexthops"]
        ],
        "the other's loopback",
    )
    assert (
        info[0]["metric"] == 20
        and info[0]["nexthops"][0]["address"] == "10.0.1.2"
        and info[0]["nexthops"][0]["interface"] == "eth1"
    )

    changes = neighbor["state_changes"]
    by_hand(first, "interface eth1", "ip ospf cost 99", "ip ospf retransmit-interval 9")
    done = first.apply("frr_ospf", ospf(1, retransmit_interval=5, **keys))
    assert done["commands"][0].splitlines()[1:-2] == [
        "interface eth1",
        " no ip ospf retransmit-interval 9",
        " ip ospf cost 20",
        "exit",
    ]
    time.sleep(5)
    after = full(first)
    assert after and after["state_changes"] == changes and after["uptime_seconds"] >= neighbor["uptime_seconds"] + 5
    assert after["dropped_seconds"] is None


def test_ospf_timers_that_do_not_match_form_no_adjacency(routers: tuple[harness.Host, harness.Host]) -> None:
    first, second = routers
    first.module("frr_ospf", ospf(1))
    second.module("frr_ospf", ospf(2))
    wait(lambda: full(first), "a Full adjacency")
    second.module("frr_ospf", ospf(2, hello_interval=2))
    wait(lambda: not full(first), "the end of the adjacency")
    second.module("frr_ospf", ospf(2))
    wait(lambda: full(first), "a Full adjacency again")


def test_ospfv3_and_sub_second_hellos(routers: tuple[harness.Host, harness.Host]) -> None:
    first, second = routers
    for number, host in enumerate(routers, 1):
        link = {"name": "eth1", "area": "0", "network_type": "point-to-point", "hello_interval": 1, "dead_interval": 3}
        fast = ospf(number, hello_multiplier=4)
        for option in ("hello_interval", "dead_interval"):
            del fast["interfaces"][1][option]
        host.apply(
            "frr_ospf", {"instances": [fast, {"version": 3, "router_id": f"10.255.0.{number}", "interfaces": [link]}]}
        )
    wait(lambda: full(first), "a Full adjacency")
    neighbors = wait(
        lambda: [
            n
            for n in second.module("frr_info", {"gather": ["ospf6"]})["ospf6_neighbors"]
            if n["state"].startswith("Full")
        ],
        "a Full adjacency of OSPFv3",
    )
    assert neighbors[0]["router_id"] == "10.255.0.1" and neighbors[0]["interface"] == "eth1"


def test_a_bgp_filter_changed_by_hand_is_repaired_without_dropping_the_session(
    routers: tuple[harness.Host, harness.Host],
) -> None:
    first, second = routers

    def options(number: int) -> dict[str, t.Any]:
        peer = {
            "neighbor": f"10.0.1.{3 - number}",
            "remote_as": f"6500{3 - number}",
            "password": "weave",
            "timers": {"keepalive": 2, "hold": 30},
            "connect_timer": 1,
            "bfd_profile": "SLOW",
            "address_families": [
                {"family": "ipv4_unicast", "route_map_in": "LOOPBACKS", "soft_reconfiguration_inbound": True}
            ],
        }
        return {
            "asn": f"6500{number}",
            "router_id": f"10.255.0.{number}",
            "ebgp_requires_policy": False,
            "neighbors": [peer],
            "address_families": [{"family": "ipv4_unicast", "redistribute": [{"protocol": "connected"}]}],
            "prefix_lists": [{"name": "LOOPBACKS", "entries": [{"prefix": "10.255.0.0/24", "ge": 32}]}],
            "bfd_profiles": [
                {"name": "SLOW", "detect_multiplier": 60, "receive_interval": 500, "transmit_interval": 500}
            ],
            "route_maps": [{"name": "LOOPBACKS", "entries": [{"match": ["ip address prefix-list LOOPBACKS"]}]}],
        }

    first.apply("frr_bgp", options(1))
    second.apply("frr_bgp", options(2))
    session = wait(lambda: established(first), "an established session")
    assert session["remote_as"] == 65002 and session["family"] == "ipv4_unicast"
    wait(lambda: (established(first) or {}).get("prefixes_received") == 1, "exactly the other's loopback")
    peers = wait(
        lambda: [p for p in first.module("frr_info", {"gather": ["bfd"]})["bfd_peers"] if p["state"] == "up"],
        "a BFD session",
    )
    assert peers[0]["peer"] == "10.0.1.2"

    session = established(first)
    assert session
    by_hand(first, "ip prefix-list LOOPBACKS seq 1 permit any", "router bgp 65001", "neighbor 10.0.1.2 timers 7 21")
    wait(lambda: (established(first) or {}).get("prefixes_received") == 2, "what the filter now lets through")
    done = first.apply("frr_bgp", options(1))
    assert "no ip prefix-list LOOPBACKS seq 1 permit any" in done["commands"][0]
    wait(lambda: (established(first) or {}).get("prefixes_received") == 1, "exactly the other's loopback")
    after = established(first)
    assert (
        after
        and after["dropped_count"] == session["dropped_count"]
        and after["uptime_seconds"] >= session["uptime_seconds"]
    )


def test_rpki_is_passed_through_in_the_spelling_of_this_frr(router: harness.Host) -> None:
    started = router.run(["cat", "/etc/frr/daemons"])
    polling, *caches = [
        "rpki polling_period 600",
        "rpki cache 127.0.0.1 3323 preference 1",
        "rpki cache tcp 127.0.0.1 3324 preference 2",
    ]
    options = {
        "asn": "65000",
        "route_maps": [{"name": "RM", "entries": [{"seq": 10, "action": "permit", "match": ["rpki valid"]}]}],
    }

    def shown() -> list[str]:
        return [
            line.strip().replace(" tcp ", " ") for line in running(router).splitlines() if line.startswith(" rpki ")
        ]

    try:
        router.write("/etc/frr/daemons", started + 'bgpd_options="-A 127.0.0.1 -M rpki"\n')
        restart(router)
        router.apply("frr_bgp", {**options, "rpki": [polling, *caches]})
        wanted = [polling, "rpki cache 127.0.0.1 3323 preference 1", "rpki cache 127.0.0.1 3324 preference 2"]
        assert sorted(shown()) == sorted(wanted)
        restart(router)
        wait(lambda: sorted(shown()) == sorted(wanted), "both caches after a restart")
        assert not router.module("frr_bgp", {**options, "rpki": [polling, *caches]}, check=True)["changed"]
        router.apply("frr_bgp", {**options, "rpki": [polling]})
        assert shown() == [polling]
    finally:
        router.write("/etc/frr/daemons", started)
        restart(router)


def test_info_without_frr_says_so(host: harness.Host) -> None:
    host.run(["systemctl", "stop", "frr"])
    info = host.module("frr_info")
    assert info["daemons"] == [] and info["bfd_peers"] == []
    assert (
        "does not run" in host.module("frr_static", {"prefix": "10.0.0.0/8", "discard": "blackhole"}, ok=False)["msg"]
    )

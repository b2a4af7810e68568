# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""frr.conf as text: how it is read where vtysh is not asked, edited, and understood."""

from __future__ import annotations

import collections
import itertools
import random
import re
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._frr import conf
from ansible_collections.overloom.fabric.plugins.module_utils._frr import profile as profiles
from ansible_collections.overloom.fabric.plugins.module_utils._frr import saved as frr_saved
from ansible_collections.overloom.fabric.plugins.module_utils._frr import setting as frr_setting
from ansible_collections.overloom.fabric.plugins.module_utils._frr.refused import File, mark_unread
from ansible_collections.overloom.fabric.plugins.module_utils._frr.spelling import Speller
from ansible_collections.overloom.fabric.plugins.module_utils._frr.uses import orphans
from ansible_collections.overloom.fabric.plugins.module_utils._frr.words import written_out
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner
from ansible_collections.overloom.fabric.tests.integration import frr_files, frr_habits

BGP = ("router bgp 1",)
FAMILY = (*BGP, "address-family ipv4 unicast")
ROUTE = {
    ("ip route 10.9.0.0/16 blackhole",): "ip route 10.9.0.0/16 blackhole",
    ("interface eth1", "ip ospf cost"): "ip ospf cost 5",
}


def meant(text: str) -> frr_setting.Config:
    """What a file sets."""
    lines = conf.by_indentation(text)
    return frr_saved.settings(lines, frr_saved.meanings(lines))


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_a_line_comes_and_goes_and_no_byte_of_others_changes(seed: int) -> None:
    rng = random.Random(seed)
    stanzas = frr_files.draw(rng)
    text = frr_files.written(rng, stanzas, frr_files.hand(rng)._replace(indent=" "))
    lines = conf.by_indentation(text)
    assert sorted((line.path, line.text) for line in lines if line.text) == sorted(frr_files.placed(stanzas))
    changed = frr_saved.edit(text, ROUTE)
    assert {address: meant(changed).get(address) for address in ROUTE} == ROUTE
    rest = iter(changed.splitlines())
    assert all(line in rest for line in text.splitlines())
    assert frr_saved.edit(changed, dict.fromkeys(ROUTE)) == text


# What blocks take, by the first word of their header.
TAKES = {
    "address-family": "(?:network|neighbor|redistribute) ",
    "bfd": "(?:profile|peer) ",
    "interface": "(?:description|ip ospf) ",
    "line": "exec-timeout ",
    "nexthop-group": "nexthop ",
    "pbr-map": "(?:match|set) ",
    "peer": "detect-multiplier ",
    "profile": "(?:transmit|receive)-interval ",
    "route-map": "(?:match|set) ",
    "router": "(?:no bgp|neighbor|address-family|network) ",
    "segment-list": "index ",
    "segment-routing": "traffic-eng$",
    "traffic-eng": "segment-list ",
    "vrf": "ip route ",
}
WRITTEN = (
    "blocks of all kinds without indentation, with carriage returns",
    "tabs, and blocks that are opened twice",
    "lists without numbers, and blocks that nothing closes",
    "remarks and descriptions that look like closings",
)
OURS = {
    **ROUTE,
    ("ip prefix-list OURS seq 5",): "ip prefix-list OURS seq 5 permit any",
    ("vrf V1", "ip route 10.9.0.0/16 blackhole"): "ip route 10.9.0.0/16 blackhole",
    ("bfd", "profile US"): "profile US",
    ("bfd", "profile US", "transmit-interval"): "transmit-interval 77",
    ("router bgp 65000",): "router bgp 65000",
    ("router bgp 65000", "neighbor 192.0.2.1 remote-as"): "neighbor 192.0.2.1 remote-as 65002",
    ("router bgp 65000", "address-family ipv4 unicast", "network 10.9.0.0/16"): "network 10.9.0.0/16",
}


def as_frr_reads(text: str) -> list[conf.Line]:
    """The lines of a file in their blocks, whatever their indentation: a block ends with its closing, or at a line that it does not take."""
    path: list[str] = []
    lines = []
    for raw in conf.split(text):
        line = conf.words(raw)
        around = tuple(path)
        if frr_setting.CLOSING.match(line):
            path.pop()
            lines.append(conf.Line(raw, path=around, closes=True, inside=len(path)))
            continue
        while line and path and not re.match(TAKES[path[-1].split()[0]], line):
            path.pop()
        around = tuple(path)
        opens = line.split(" ")[0] in TAKES
        path += [line] * opens
        lines.append(conf.Line(raw, line, around, opens, inside=len(path)))
    return lines


def in_blocks(lines: t.Iterable[conf.Line]) -> collections.Counter[tuple[tuple[str, ...], str]]:
    """How often each line stands in each block."""
    return collections.Counter((line.path, line.text) for line in lines if line.text)


@pytest.mark.parametrize("habit", WRITTEN)
def test_ours_come_and_go_in_what_people_write(habit: str) -> None:
    text = frr_habits.HABITS[habit]
    lines = as_frr_reads(text)
    changed = frr_saved.edit(text, OURS, lines)
    again = as_frr_reads(changed)
    assert not in_blocks(lines) - in_blocks(again)
    config = frr_saved.settings(again, frr_saved.meanings(again))
    assert {address: config.get(address) for address in OURS} == OURS
    blocks = {(address[:depth], address[depth]) for address in OURS for depth in range(len(address) - 1)}
    new = {(address[:-1], line) for address, line in OURS.items()} | blocks
    assert set(in_blocks(again) - in_blocks(lines)) <= new
    # No line of theirs moves, or changes a byte, and ours end as theirs do.
    assert changed.count("\r\n") in (0, changed.count("\n"))
    rest = iter(conf.split(changed))
    assert all(raw in rest for raw in conf.split(text))
    # Ours go without a trace, but that a block may be closed that was not.
    theirs = {(*path, line) for path, line in in_blocks(lines)}
    left = frr_saved.edit(changed, dict.fromkeys(address for address in OURS if address not in theirs), again)
    assert in_blocks(as_frr_reads(left)) == in_blocks(lines)
    assert [raw for raw in conf.split(left) if raw.strip() != "exit"] == [
        raw for raw in conf.split(text) if raw.strip() != "exit"
    ]


def test_a_block_of_others_stays_though_it_is_empty() -> None:
    text = "interface eth1\nexit\n"
    changed = frr_saved.edit(text, ROUTE)
    assert "interface eth1\nexit\n" in changed and "interface eth1\n ip ospf cost 5\nexit\n" in changed
    assert frr_saved.edit(changed, dict.fromkeys(ROUTE)) == text


def test_a_block_that_nobody_closed_is_closed_before_a_new_line() -> None:
    lines = [conf.Line("vrf A\n", "vrf A", (), True, inside=1), conf.Line(" vni 5\n", "vni 5", ("vrf A",), inside=1)]
    made = conf.Editor(lines, frr_saved.meanings(lines), frr_saved.GRAMMAR).change(
        {("ip route 10.9.0.0/16 blackhole",): "ip route 10.9.0.0/16 blackhole"}
    )
    assert made.text == f"vrf A\n vni 5\n{conf.CLOSED}\nexit\nip route 10.9.0.0/16 blackhole\n"


OPEN = """\
router bgp 1
 neighbor 192.0.2.9 remote-as 2
 address-family ipv4 unicast
  network 10.3.0.0/16
! theirs
vrf A
 vni 5
"""
FIRST = ("ip route 10.9.0.0/16 blackhole",)
SECOND = ("ip route 10.8.0.0/16 blackhole",)


def set_to(text: str, changes: t.Mapping[tuple[str, ...], str | None]) -> str:
    """A file changed, as FRR reads it."""
    lines = conf.by_indentation(text, frr_setting.BLOCK.match)
    return conf.Editor(lines, frr_saved.meanings(lines), frr_saved.GRAMMAR).change(changes).text


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST)])
def test_a_closing_of_ours_goes_with_the_last_line_that_needs_it(order: tuple[tuple[str, ...], ...]) -> None:
    text = set_to(OPEN, {FIRST: FIRST[0]})
    assert text == f"{OPEN}{conf.CLOSED}\nexit\n{FIRST[0]}\n"
    text = set_to(text, {SECOND: SECOND[0]})
    assert text == f"{OPEN}{conf.CLOSED}\nexit\n{FIRST[0]}\n{SECOND[0]}\n"
    for address in order:
        text = set_to(text, {address: None})
    assert text == OPEN
    # What somebody has closed since stays so.
    assert set_to(f"{OPEN}exit\n{FIRST[0]}\n", {FIRST: None}) == f"{OPEN}exit\n"


def test_closings_of_ours_go_from_blocks_of_others_that_stand_in_one_another() -> None:
    """Ours comes between two blocks of theirs, and into the second one."""
    ours = {
        ("ip prefix-list P seq 5",): "ip prefix-list P seq 5 permit any",
        ("interface eth1", "ip ospf cost"): "ip ospf cost 7",
    }
    text = (
        "ip prefix-list P seq 3 permit any\n" + OPEN.partition("! theirs")[0] + "interface eth1\n ip ospf priority 3\n"
    )
    lines = {**ours, FIRST: FIRST[0], ("bfd", "profile US"): "profile US"}
    made = set_to(text, lines)
    assert made.count(conf.CLOSED) == 2 and meant(made) == {**meant(text), **lines}
    assert set_to(made, dict.fromkeys([*lines, ("bfd",)])) == text
    assert set_to(set_to(made, dict.fromkeys(ours)), dict.fromkeys([*lines, ("bfd",)])) == text


def test_a_line_that_takes_the_place_of_another_one_closes_no_block() -> None:
    text = OPEN + "ip route 10.9.0.0/16 192.0.2.1 254\n"
    address = ("ip route 10.9.0.0/16 192.0.2.1",)
    made = set_to(text, {address: "ip route 10.9.0.0/16 192.0.2.1 99"})
    assert made == OPEN + "ip route 10.9.0.0/16 192.0.2.1 99\n"
    assert set_to(made, {address: "ip route 10.9.0.0/16 192.0.2.1 254"}) == text


def test_a_file_that_frr_would_read_otherwise_without_our_closing_keeps_it() -> None:
    """Where no lines of ours are behind it any more."""
    lines = conf.by_indentation(f"vrf A\n vni 5\n{conf.CLOSED}\nexit\n{FIRST[0]}\nip route 10.1.0.0/16 blackhole\n")
    made = conf.Editor(lines, frr_saved.meanings(lines), frr_saved.GRAMMAR).change({FIRST: None})
    assert made.text == "vrf A\n vni 5\nip route 10.1.0.0/16 blackhole\n"
    assert made.closed == f"vrf A\n vni 5\n{conf.CLOSED}\nexit\nip route 10.1.0.0/16 blackhole\n"
    # As FRR has routes in VRFs, too.
    text = frr_saved.checked(
        Runner(by_grammar), made, "frr version 8.4\nvrf A\n vni 5\nip route 10.1.0.0/16 blackhole\n"
    )
    assert text == made.closed


def test_an_interface_that_is_named_with_its_vrf_is_that_interface() -> None:
    """As FRR 7 writes it, and shows it no more. Where VRFs are namespaces, each may have one of the name."""
    text = "interface eth1 vrf RED\n ip ospf cost 12\nexit\nint eth3 vr BLUE\n ip ospf cost 4\nexit\n"
    runs = "interface eth1\n ip ospf cost 12\nexit\n!\ninterface eth3\n ip ospf cost 4\nexit\n"
    lines = frr_saved.without_vrfs(conf.by_indentation(text), runs)
    assert frr_saved.settings(lines, frr_saved.meanings(lines)) == frr_setting.parse(runs)
    first, third = (("interface eth1", "ip ospf cost"), ("interface eth3", "ip ospf cost"))
    assert frr_saved.edit(text, {first: "ip ospf cost 5", third: None}, lines) == text[:24] + "ip ospf cost 5\nexit\n"
    spaces = conf.by_indentation(text)
    for shown in (text, "vrf RED\n netns /run/netns/red\nexit-vrf\n"):
        assert frr_saved.without_vrfs(spaces, shown) == spaces


def test_a_new_setting_of_such_an_interface_gets_a_block_that_everybody_knows() -> None:
    text = "interface eth1 vrf RED\n ip ospf cost 12\nexit\n"
    lines = frr_saved.without_vrfs(conf.by_indentation(text), "interface eth1\n ip ospf cost 12\nexit\n")
    new = ("interface eth1", "ip ospf priority")
    made = frr_saved.edit(text, {new: "ip ospf priority 3"}, lines)
    assert made == text + "interface eth1\n ip ospf priority 3\nexit\n"
    again = frr_saved.without_vrfs(conf.by_indentation(made), "")
    assert frr_saved.edit(made, {new: None}, again) == text


# In vtysh `router bgp` leaves the VRF; staticd is not told of it, and takes the next route outside all blocks into that VRF.
NEVER_LEFT = """\
vrf V9
 ip route 10.50.0.0/16 blackhole
router bgp 1
 neighbor 192.0.2.9 remote-as 2
! of V9
ip route 10.53.0.0 255.255.0.0 Null0
"""
NOT_LEFT_RUNS = """\
vrf V9
 ip route 10.50.0.0/16 blackhole
 ip route 10.53.0.0/16 Null0
exit-vrf
router bgp 1
 neighbor 192.0.2.9 remote-as 2
exit
"""


def as_it_runs(text: str, runs: str) -> list[conf.Line]:
    """A file as vtysh reads it, with what the daemons make of it."""
    lines = conf.by_indentation(runs)
    running = frozenset(entry for entries in frr_saved.meanings(lines) for entry in entries)
    return frr_saved.mark_kept(as_frr_reads(text), running)


def test_a_route_behind_a_vrf_that_is_never_left_is_one_of_that_vrf() -> None:
    lines = as_it_runs(NEVER_LEFT, NOT_LEFT_RUNS)
    assert frr_saved.settings(lines, frr_saved.meanings(lines)) == meant(NOT_LEFT_RUNS)
    # Where it runs outside, or the VRF is closed, it is none.
    for text, runs in (
        (NEVER_LEFT, f"{NOT_LEFT_RUNS.replace(' ip route 10.53.0.0/16 Null0', '')}ip route 10.53.0.0/16 Null0\n"),
        (NEVER_LEFT.replace("router", "exit-vrf\nrouter"), NOT_LEFT_RUNS),
    ):
        assert not any(line.kept for line in as_it_runs(text, runs))


def test_ours_come_ahead_of_a_vrf_that_is_never_left_and_go_without_a_trace() -> None:
    lines = as_it_runs(NEVER_LEFT, NOT_LEFT_RUNS)
    changed = conf.Editor(lines, frr_saved.meanings(lines), frr_saved.GRAMMAR).change(OURS)
    before, _vrf, behind = changed.text.partition("vrf V9\n")
    assert "ip route 10.9.0.0/16 blackhole\n" in before
    # Between its header and the route that it keeps, nothing comes that has staticd leave it; behind that, no route.
    between, _route, rest = behind.partition("ip route 10.53.0.0 255.255.0.0 Null0\n")
    assert not re.search("^(?:exit|interface|vrf|ip|bfd)", between, re.M) and not re.search("^ip route", rest, re.M)
    again = as_it_runs(changed.text, NOT_LEFT_RUNS)
    assert conf.counted(again, frr_saved.meanings(again)) == changed.lines
    config = frr_saved.settings(again, frr_saved.meanings(again))
    assert {address: config.get(address) for address in OURS} == OURS
    assert frr_saved.edit(changed.text, dict.fromkeys(OURS), again) == NEVER_LEFT


def test_a_route_of_ours_does_not_follow_a_vrf_that_only_vtysh_has_left() -> None:
    """Nothing of others hangs behind it, but ours would."""
    text = "vrf V9\n ip route 10.50.0.0/16 blackhole\nrouter bgp 1\n neighbor 192.0.2.9 remote-as 2\n"
    lists = "ip prefix-list P seq 5 permit any\nip route 10.1.0.0/16 blackhole\n"
    assert frr_saved.edit(text + lists, {FIRST: FIRST[0]}, as_frr_reads(text + lists)) == f"{FIRST[0]}\n{text}{lists}"
    # An interface has staticd leave it.
    left = f"{text}interface eth1\n ip ospf cost 5\nexit\nip route 10.1.0.0/16 blackhole\n"
    assert frr_saved.edit(left, {FIRST: FIRST[0]}, as_frr_reads(left)) == f"{left}{FIRST[0]}\n"


def test_a_block_of_ours_stands_ahead_of_a_shortened_one() -> None:
    """frr-reload.py does not know that one for a block, so all behind its end is for it outside the block around."""
    address = (*BGP, "address-family l2vpn evpn", "neighbor 1.1.1.1 activate")
    ours = " address-family l2vpn evpn\n  neighbor 1.1.1.1 activate\n exit-address-family\n"
    begin = "router bgp 1\n neighbor 1.1.1.1 remote-as 2\n"
    for short in (" addr ipv4 uni\n  neigh 1.1.1.1 soft in\n exit\n", " vrf V8\n  label 5\n"):
        made = frr_saved.edit(begin + short + "exit\n", {address: address[-1]})
        assert made == begin + ours + short + "exit\n"
        assert frr_saved.edit(made, {address: None}) == begin + short + "exit\n"
    # What it needs stands before it all the same.
    late = begin.replace("1.1.1.1", "1.1.1.2") + " addr ipv4 uni\n exit\n neighbor 1.1.1.1 remote-as 2\nexit\n"
    assert frr_saved.edit(late, {address: address[-1]}) == late.replace("2\nexit", f"2\n{ours}exit")


def test_what_makes_a_neighbor_stands_ahead_of_all_that_needs_it() -> None:
    begin = "router bgp 1\n neighbor G peer-group\n"
    rest = " neighbor 1.1.1.1 description x\n neighbor 1.1.1.2 remote-as 2\nexit\n"
    member, made = ((*BGP, f"neighbor 1.1.1.1 {how}") for how in ("peer-group", "remote-as"))
    text = f"{begin} neighbor 1.1.1.1 peer-group G\n{rest}"
    alone = frr_saved.edit(text, {member: None, made: "neighbor 1.1.1.1 remote-as 3"})
    assert alone == f"{begin} neighbor 1.1.1.1 remote-as 3\n{rest}"
    assert frr_saved.edit(alone, {made: None, member: "neighbor 1.1.1.1 peer-group G"}) == text
    # The control: where nothing needs it, it comes last of its kind.
    assert frr_saved.edit(f"{begin}{rest}", {(*BGP, "neighbor 1.1.1.3 remote-as"): "neighbor 1.1.1.3 remote-as 3"}) == (
        f"{begin}{rest}".replace("exit\n", " neighbor 1.1.1.3 remote-as 3\nexit\n")
    )


def test_ours_stands_in_the_block_that_has_its_own_though_it_is_opened_again_and_leaves_none() -> None:
    text = "bfd\n profile A\n  detect-multiplier 5\n exit\nexit\nbfd\n peer 192.0.2.1\n exit\nexit\n"
    address = ("bfd", "profile A", "transmit-interval")
    made = frr_saved.edit(text, {address: "transmit-interval 77"})
    assert made == text.replace(" 5\n", " 5\n  transmit-interval 77\n")
    assert frr_saved.edit(made, {address: None}) == text
    # One that was opened again for ours goes with it; the only one stays, though it is empty.
    again = text.replace(" exit\nexit\n", " exit\n profile A\n  transmit-interval 77\n exit\nexit\n", 1)
    assert frr_saved.edit(again, {address: None}) == text
    alone = "bfd\n profile A\n  transmit-interval 77\n exit\nexit\n"
    assert frr_saved.edit(alone, {address: None}) == alone.replace("  transmit-interval 77\n", "")


def test_a_block_parts_our_routes_from_those_that_frr_refuses() -> None:
    theirs = "hostname a\n! theirs\nip route 10.1.0.0/16 blackhole\nip route 10.2.0.0/16 192.0.2.1 label 16\n"
    in_vrf = ("vrf A", *SECOND)
    parted = f"{conf.PARTING}\n{conf.PARTED}\n"

    def refusing(text: str, changes: t.Mapping[tuple[str, ...], str | None]) -> str:
        lines = [
            one._replace(refused="label" in one.text) for one in conf.by_indentation(text, frr_setting.BLOCK.match)
        ]
        return conf.Editor(lines, frr_saved.meanings(lines), frr_saved.GRAMMAR).change(changes).text

    first = refusing(theirs, {FIRST: FIRST[0]})
    assert first == theirs.replace("! theirs\n", f"! theirs\n{FIRST[0]}\n{parted}")
    both = refusing(first, {in_vrf: SECOND[0]})
    assert both == first.replace(parted, f"vrf A\n {SECOND[0]}\nexit-vrf\n{parted}")
    assert refusing(refusing(both, {FIRST: None}), {in_vrf: None}) == theirs
    assert refusing(both, {FIRST: None, in_vrf: None}) == theirs


def by_grammar(_argv: t.Sequence[str], asked: str | None) -> tuple[int, str, str]:
    """A vtysh that knows VRFs, with their routes, and routes."""
    inside, said = 4, []
    for number, line in enumerate((asked or "").splitlines(), 1):
        text = line.strip()
        if text.startswith("vrf "):
            inside = 18
        elif text in ("exit", "hostname overloom"):
            inside = 4
        elif text.startswith("overloom-"):
            said.append(f"line {number}: % Unknown command[{inside}]: {text}")
    return 0, "", "\n".join(said)


def test_without_vtysh_the_indentation_counts() -> None:
    text = "router ospf\n ospf router-id 1.1.1.1\nexit\n"
    for said in ("", "line 1: % Unknown command: overloom-asks\n"):
        assert conf.read(text, lambda _argv, _asked, said=said: ("", said)) == conf.by_indentation(text)


@pytest.mark.parametrize(
    "path, line, place, shown",
    [
        (BGP, "network 10.0.0.0", FAMILY, "network 10.0.0.0/8"),
        (BGP, "network 172.16.0.0 mask 255.240.0.0", FAMILY, "network 172.16.0.0/12"),
        (BGP, "no neighbor 1.1.1.1 activate", FAMILY, "no neighbor 1.1.1.1 activate"),
        (BGP, "neighbor 2001:DB8::1 remote-as 1", BGP, "neighbor 2001:db8::1 remote-as 1"),
        (FAMILY, "neighbor 1.1.1.1 peer-group G", BGP, "neighbor 1.1.1.1 peer-group G"),
        (BGP, "address-family ipv4", BGP, "address-family ipv4 unicast"),
        (BGP, "addr vpnv4", BGP, "addr vpnv4"),
        (("router ospf",), "passive-interface eth1", ("interface eth1",), "ip ospf passive"),
        (("router ospf",), "passive-interface default", ("router ospf",), "passive-interface default"),
        (
            ("router ospf",),
            "redistribute static route-map A metric 5",
            ("router ospf",),
            "redistribute static metric 5 route-map A",
        ),
        (("router ospf6",), "interface eth1 area 0", ("interface eth1",), "ipv6 ospf6 area 0"),
        (("interface eth1",), "ospf cost 5", ("interface eth1",), "ip ospf cost 5"),
        ((), "ip route 10.1.2.3 255.255.0.0 null0 7", (), "ip route 10.1.0.0/16 Null0 7"),
        (
            (),
            "ip route 10.1.0.0/16 1.1.1.1 table 5 20 tag 7 onlink",
            (),
            "ip route 10.1.0.0/16 1.1.1.1 tag 7 20 table 5 onlink",
        ),
        ((), "ip route 10.1.0.0/16 1.1.1.1 vrf A", ("vrf A",), "ip route 10.1.0.0/16 1.1.1.1"),
        (("router rip",), "network 10.1.1.1/16", ("router rip",), "network 10.1.0.0/16"),
        (("key chain K",), "key 007", ("key chain K",), "key 7"),
        ((), "ip prefix-list P seq 005 permit any", (), "ip prefix-list P seq 5 permit any"),
        (
            (),
            "ip community-list standard C seq 010 permit 1:01",
            (),
            "bgp community-list standard C seq 10 permit 1:01",
        ),
        ((), "ip prefix-list P description seq 05", (), "ip prefix-list P description seq 05"),
        ((), "route-map R permit 010", (), "route-map R permit 10"),
        ((), "ip route 10.1.0.0/16 1.1.1.1 vrf default", (), "ip route 10.1.0.0/16 1.1.1.1"),
        (("vrf default",), "ip route 10.1.0.0/16 1.1.1.1 tag 5", (), "ip route 10.1.0.0/16 1.1.1.1 tag 5"),
        ((), "ip route 10.1.0.0/16 1.1.1.1 nexthop-vrf default", (), "ip route 10.1.0.0/16 1.1.1.1"),
        (("vrf A",), "ip route 10.1.0.0/16 1.1.1.1 nexthop-vrf A", ("vrf A",), "ip route 10.1.0.0/16 1.1.1.1"),
        ((), "router bgp 1 vrf default", (), "router bgp 1"),
        ((), "router ospf vrf default", (), "router ospf"),
        ((), "interf eth1 vr A", (), "interface eth1 vrf A"),
        (("route-map A permit 10",), "continue 20", ("route-map A permit 10",), "on-match goto 20"),
        (("route-map A permit 10",), "continue", ("route-map A permit 10",), "on-match next"),
        (BGP, "neigh 1.1.1.1 remote 2", BGP, "neighbor 1.1.1.1 remote-as 2"),
        (("router ospf",), "red stat rou r", ("router ospf",), "redistribute static route-map r"),
        # Of two that begin so, none is taken.
        (BGP, "neighbor 1.1.1.1 pas x", BGP, "neighbor 1.1.1.1 password x"),
        (BGP, "neighbor 1.1.1.1 pas", BGP, "neighbor 1.1.1.1 passive"),
        (BGP, "neighbor 1.1.1.1 a", BGP, "neighbor 1.1.1.1 a"),
    ],
)
def test_another_spelling_has_the_place_and_words_of_today(path: t.Any, line: str, place: t.Any, shown: str) -> None:
    assert Speller().respelled(path, line) == [(place, shown)]
    assert Speller().respelled(place, shown) == [(place, shown)]


@pytest.mark.parametrize("made_by", ["remote-as external", "peer-group G"])
@pytest.mark.parametrize("interface", ["interface", "interface v6only"])
def test_a_neighbor_that_is_an_interface_is_made_by_one_line(interface: str, made_by: str) -> None:
    text = f"router bgp 1\n neighbor G peer-group\n neighbor eth1 {interface}\n neighbor eth1 {made_by}\n neighbor 1.1.1.1 {made_by}\nexit\n"
    runs = text.replace(f"{interface}\n neighbor eth1", interface)
    assert meant(text) == meant(runs) == frr_setting.parse(runs)
    address = (*BGP, "neighbor eth1 interface")
    said = "neighbor eth1 interface remote-as 5"
    assert meant(frr_saved.edit(text, {address: said}))[address] == said
    assert not [a for a in meant(frr_saved.edit(text, {address: None})) if "eth1" in a[-1]]


def test_lists_without_numbers_are_numbered_as_frr_does() -> None:
    speller = Speller()
    rules = [
        "ip prefix-list A permit 10.0.0.0/8",
        "ip prefix-list A seq 12 permit any",
        "ip prefix-list A deny any",
        "ip prefix-list B deny any",
    ]
    assert [speller.respelled((), rule)[0][1].split()[4] for rule in rules] == ["5", "12", "15", "5"]


# For each switch of FRR: in traditional of an old and of a new release, in datacenter of an old and of a new one.
SWITCHES = {
    "bgp network import-check": ("7.3", "7.4", False, True, True, True),
    "bgp default show-hostname": ("7.3", "10.3", False, False, True, True),
    "bgp default show-nexthop-hostname": ("7.3", "10.3", False, False, True, True),
    "bgp log-neighbor-changes": ("7.3", "10.3", False, False, True, True),
    "bgp deterministic-med": ("7.3", "10.3", False, False, True, True),
    "bgp ebgp-requires-policy": ("7.3", "7.4", False, True, False, False),
    "bgp suppress-duplicates": ("7.5.1", "7.6", False, True, False, True),
    "bgp graceful-restart notification": ("8.2", "8.3", False, True, False, True),
    "bgp hard-administrative-reset": ("8.2", "8.3", False, True, False, True),
    "bgp default software-version-capability": ("8.4", "10.3", False, False, True, True),
    "bgp default dynamic-capability": ("8.4", "10.3", False, False, True, True),
    "bgp enforce-first-as": ("9.0.2", "9.1", False, True, False, True),
    "bgp route-reflector allow-outbound-policy": ("8.4", "10.3", False, False, False, False),
    "bgp bestpath aigp": ("8.4", "10.3", False, False, False, False),
    "log-adjacency-changes": ("7.3", "10.3", False, False, True, True),
}


def _address_of(switch: str) -> tuple[str, ...]:
    return ("router ospf" if switch.startswith("log-") else BGP[0], switch)


@pytest.mark.parametrize("switch", SWITCHES)
def test_what_is_unsaid_depends_on_profile_and_release(switch: str) -> None:
    old, new, *expected = SWITCHES[switch]
    address = _address_of(switch)
    stated = itertools.product(("traditional", "datacenter"), (old, new))
    for (name, version), on in zip(stated, expected):
        profile = profiles.stated([f"frr version {version}", f"frr defaults {name}"])
        said, other = (switch, f"no {switch}") if on else (f"no {switch}", switch)
        assert profiles.default(address, {}, profile) == said, (name, version)
        assert profiles.unsaid({address: said}, {}, profile) == {address: None}
        assert profiles.unsaid({address: other}, {}, profile) == {address: other}
        assert profiles.effective(address, {}, profile) == said
        assert profiles.effective(address, {address: other}, profile) == other


def test_each_switch_of_the_table_is_tested() -> None:
    rows = {line for lines in profiles._RULES.values() for line in lines}
    assert rows == {*SWITCHES, "timers bgp"}
    for name, timers in (("traditional", "60 180"), ("datacenter", "3 9")):
        assert profiles.default((BGP[0], "timers bgp"), {}, profiles.Profile(name)) == f"timers bgp {timers}"


def test_a_file_without_a_release_has_the_defaults_of_today() -> None:
    profile = profiles.stated(["frr defaults traditional"])
    assert profiles.default(_address_of("bgp enforce-first-as"), {}, profile) == "bgp enforce-first-as"


def test_a_definition_that_is_used_is_found_with_its_user() -> None:
    before = frr_setting.parse(
        "router bgp 1\n neighbor G peer-group\n neighbor 1.1.1.1 peer-group G\nexit\nrouter bgp 2 vrf A\n neighbor 1.1.1.2 peer-group G\nexit\n"
    )
    after = {address: line for address, line in before.items() if line != "neighbor G peer-group"}
    assert list(orphans(before, after)) == [
        (("peer group", "G of router bgp 1"), (*BGP, "neighbor 1.1.1.1 peer-group"))
    ]
    assert not list(orphans(before, before))


def test_keywords_are_written_out_in_our_blocks_only() -> None:
    assert written_out(("pbr-map M seq 5",), "set nexthop-g A") == "set nexthop-g A"


TRAP = """\
router bgp 1
 neighbor 1.1.1.1 remote-as 2
 bmp targets T
  bmp monitor ipv4 unicast pre-policy
 exit
 neighbor 1.1.1.2 remote-as 2
exit
ip route 10.0.0.0/8 blackhole
"""
RUNS_BEFORE = "router bgp 1\n neighbor 1.1.1.1 remote-as 2\nexit\n"


def _refused(text: str, place: int) -> list[conf.Line]:
    """What is left of a file whose block at a place is refused, and whose closings then leave the configuration."""
    lines = conf.by_indentation(text)
    return [*lines[:place], *(line._replace(text="", inside=0, dead=True) for line in lines[place:])]


def _dead(running: str, apart: bool, text: str = TRAP) -> list[int]:
    """The lines, counted from 0, that FRR does not read."""
    lines = conf.by_indentation(text)
    shown = frozenset(one for entries in frr_saved.meanings(conf.by_indentation(running)) for one in entries)
    file = File(lines, frr_saved.meanings(lines), shown)
    marked = mark_unread(file, lambda place: _refused(text, place), apart)
    return [number for number, line in enumerate(marked) if line.dead]


def test_nothing_is_read_behind_a_block_that_the_daemon_refuses() -> None:
    assert _dead(RUNS_BEFORE, apart=False) == [2, 3, 4, 5, 7]
    # A block that runs is none that is refused.
    assert not _dead(TRAP, apart=False)


def test_a_block_whose_daemon_is_off_is_passed_over_and_what_follows_is_read() -> None:
    assert not _dead(RUNS_BEFORE + "ip route 10.0.0.0/8 blackhole\n", apart=False)


def test_the_daemons_of_frr_10_read_by_themselves() -> None:
    assert _dead(RUNS_BEFORE + "ip route 10.0.0.0/8 blackhole\n", apart=True) == [2, 3, 4, 5]


def test_a_block_that_a_later_line_undoes_is_not_taken_for_refused() -> None:
    text = "router rip\n network eth2\nexit\nno router rip\n"
    assert not _dead("", apart=False, text=text)
    assert _dead("", apart=False, text=text.replace("no router rip", "no ip prefix-list A"))


def test_what_is_said_ahead_proves_nothing() -> None:
    ahead = "ip route 10.0.0.0/8 blackhole\n"
    assert _dead(ahead + RUNS_BEFORE, apart=False, text=ahead + TRAP) == [3, 4, 5, 6, 8]


def test_settings_come_ahead_of_what_is_not_read_and_go_without_a_trace() -> None:
    lines = conf.by_indentation(TRAP)
    lines = [line._replace(dead=number in (2, 3, 4, 5, 7)) for number, line in enumerate(lines)]
    route = {("ip route 10.0.0.0/8 blackhole",): "ip route 10.0.0.0/8 blackhole"}
    changed = frr_saved.edit(
        TRAP, {(*BGP, "neighbor 1.1.1.3 remote-as"): "neighbor 1.1.1.3 remote-as 3", **route}, lines
    )
    added = " neighbor 1.1.1.3 remote-as 3\n bmp targets T\n"
    assert changed == "ip route 10.0.0.0/8 blackhole\n" + TRAP.replace(" bmp targets T\n", added)


UNDOING = """\
router rip
 network eth2
exit
no router rip
router bgp 1
 neighbor 1.1.1.1 remote-as 2
 address-family ipv4 unicast
  neighbor 1.1.1.1 weight 5
 exit-address-family
 no neighbor 1.1.1.1
exit
router bgp 1 vrf A
exit
no router bgp 2
route-map RM permit 10
exit
no route-map RM
"""


def test_what_a_later_line_undoes_is_not_there_and_ours_comes_behind_it() -> None:
    assert set(meant(UNDOING).values()) - {line for line in meant(UNDOING).values() if line.startswith("no ")} == {
        "router bgp 1",
        "router bgp 1 vrf A",
    }
    ours = {
        ("router rip", "network eth2"): "network eth2",
        (*BGP, "neighbor 1.1.1.1 remote-as"): "neighbor 1.1.1.1 remote-as 2",
        ("route-map RM permit 10",): "route-map RM permit 10",
    }
    changed = frr_saved.edit(UNDOING, ours)
    assert {address: meant(changed).get(address) for address in ours} == ours
    rest = iter(changed.splitlines())
    assert all(line in rest for line in UNDOING.splitlines())
    assert frr_saved.edit(changed, dict.fromkeys([*ours, ("router rip",)])) == UNDOING


def test_the_router_of_a_vrf_does_not_go_with_the_one_of_the_default() -> None:
    text = "router ospf vrf A\nexit\nrouter ospf\n maximum-paths 3\nexit\nno router ospf\n"
    assert ("router ospf vrf A",) in meant(text) and ("router ospf", "maximum-paths") not in meant(text)


def test_a_route_that_frr_refuses_stays_where_ours_takes_its_place() -> None:
    label = "ip route 10.99.0.0/16 192.0.2.7 label 16/17\n"
    theirs = f"{label}ip route 10.9.0.0/16 192.0.2.9 200\nvrf V1\n ip route 10.9.0.0/16 192.0.2.9\nexit-vrf\n"
    ours = "ip route 10.9.0.0/16 192.0.2.9"
    wanted = {(ours,): ours, ("vrf V1", ours): ours}

    def change(text: str, running: str, changes: t.Mapping[tuple[str, ...], str | None]) -> str:
        runs = frozenset(frr_setting.parse(running).items())
        lines = frr_saved.mark_refused(conf.by_indentation(text, frr_setting.BLOCK.match), runs)
        config = frr_saved.settings(lines, frr_saved.meanings(lines))
        differing = {address: line for address, line in changes.items() if config.get(address) != line}
        return frr_saved.edit(text, differing, lines)

    block = f"vrf V1\n {ours}\nexit-vrf\n"
    # FRR by itself takes the route of the VRF into the default one.
    made = change(theirs, "ip route 10.9.0.0/16 192.0.2.9\n", {("vrf V1", ours): ours})
    assert made == f"{block}{conf.PARTING}\n{conf.PARTED}\n{theirs}"
    made = change(theirs, "", wanted)
    assert made == f"{ours}\n{block}{conf.PARTING}\n{conf.PARTED}\n{theirs}"
    runs = f"{ours}\n{block}"
    assert change(made, runs, wanted) == made
    assert change(made, runs, dict.fromkeys(wanted)) == theirs
    # Another group, in which nothing is refused, is changed in its place.
    both = f"{theirs}interface eth1\nexit\nip route 10.8.0.0/16 192.0.2.9 200\n"
    route = {("ip route 10.8.0.0/16 192.0.2.9",): "ip route 10.8.0.0/16 192.0.2.9"}
    assert change(both, "ip route 10.8.0.0/16 192.0.2.9 200\n", route) == both.replace("9 200\n", "9\n").replace(
        "ip route 10.9.0.0/16 192.0.2.9\nvrf", "ip route 10.9.0.0/16 192.0.2.9 200\nvrf"
    )


def test_what_is_not_read_stays_though_ours_says_it() -> None:
    text = "ip route 10.7.0.0/16 blackhole\nend\nip route 10.9.0.0/16 192.0.2.9 200\n"
    lines = [line._replace(dead=number == 2) for number, line in enumerate(conf.by_indentation(text))]
    ours = "ip route 10.9.0.0/16 192.0.2.9"
    made = frr_saved.edit(text, {(ours,): ours}, lines)
    assert made == text.replace("end\n", f"{ours}\nend\n")


REFUSED = "ip route 10.99.0.0/16 192.0.2.7 label 16/17\n"
ROUTES = {
    ("ip route 10.9.0.0/16 blackhole",): "ip route 10.9.0.0/16 blackhole",
    ("vrf V1", "ip route 10.9.0.0/16 blackhole"): "ip route 10.9.0.0/16 blackhole",
}
OUR_ROUTES = "ip route 10.9.0.0/16 blackhole\nvrf V1\n ip route 10.9.0.0/16 blackhole\nexit-vrf\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "interface eth1\n description x\nexit\n" + REFUSED,
            OUR_ROUTES + "interface eth1\n description x\nexit\n" + REFUSED,
        ),
        (
            REFUSED + "interface eth1\n description x\nexit\n",
            REFUSED + "interface eth1\n description x\nexit\n" + OUR_ROUTES,
        ),
        # Theirs is a VRF whose header FRR refuses.
        (
            f"router ospf\nexit\n{REFUSED}vrf V1\n vni 5\nexit-vrf\n",
            f"{OUR_ROUTES}router ospf\nexit\n{REFUSED}vrf V1\n vni 5\nexit-vrf\n",
        ),
        # Nothing is refused.
        (
            f"router ospf\nexit\n{REFUSED.replace(' label 16/17', '')}",
            f"router ospf\nexit\n{REFUSED.replace(' label 16/17', '')}{OUR_ROUTES}",
        ),
    ],
)
def test_no_route_of_ours_stands_together_with_one_that_frr_refuses(text: str, expected: str) -> None:
    lines = [line._replace(refused="label" in line.raw) for line in conf.by_indentation(text)]
    changed = frr_saved.edit(text, ROUTES, lines)
    assert changed == expected
    assert frr_saved.edit(changed, dict.fromkeys(ROUTES)) == text

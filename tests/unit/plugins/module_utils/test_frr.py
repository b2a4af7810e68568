# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import pathlib
import random
import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._frr import bgp as _frr_bgp
from ansible_collections.overloom.fabric.plugins.module_utils._frr import conf as frr_conf
from ansible_collections.overloom.fabric.plugins.module_utils._frr import ospf as _frr_ospf
from ansible_collections.overloom.fabric.plugins.module_utils._frr import reader as frr_reader
from ansible_collections.overloom.fabric.plugins.module_utils._frr import rip as _frr_rip
from ansible_collections.overloom.fabric.plugins.module_utils._frr import saved as frr_saved
from ansible_collections.overloom.fabric.plugins.module_utils._frr import static as _frr_static
from ansible_collections.overloom.fabric.plugins.module_utils._frr import writer as frr_writer
from ansible_collections.overloom.fabric.plugins.module_utils._frr.compare import Options, compare
from ansible_collections.overloom.fabric.plugins.module_utils._frr.difference import difference
from ansible_collections.overloom.fabric.plugins.module_utils._frr.info import (
    _clock,
    bgp_neighbors,
    document,
    gather,
    ospf_neighbors,
    routes,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import Found, notes_path, read
from ansible_collections.overloom.fabric.plugins.module_utils._frr.runner import frr_runner
from ansible_collections.overloom.fabric.plugins.module_utils._frr.saved import edit
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import (
    ACTIVE,
    Address,
    hide,
    key_of,
    negation,
    parse,
    render,
    show,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.uses import used
from ansible_collections.overloom.fabric.plugins.module_utils._frr.wanted import Lines, Thing
from ansible_collections.overloom.fabric.plugins.module_utils._frr.writer import refusals
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner
from ansible_collections.overloom.fabric.tests.integration import frr_configs

# A configuration as FRR 8.4 shows it.
SHOWN = """\
frr version 8.4.4
frr defaults traditional
hostname r1
service integrated-vtysh-config
!
key chain KC
 key 1
  key-string abc
 exit
exit
!
ip route 10.50.0.0/16 10.0.1.254 tag 5 20
!
interface eth1
 ip ospf area 0
 ip ospf cost 10
 ip ospf message-digest-key 1 md5 word
exit
!
interface eth2
exit
!
router bgp 65000
 neighbor 10.0.1.2 remote-as 65001
 neighbor 10.0.1.2 timers 3 9
 !
 address-family ipv4 unicast
  neighbor 10.0.1.2 route-map RM in
 exit-address-family
exit
!
router ospf
 ospf router-id 10.0.0.1
 area 3 nssa\x20
 area 4 nssa\x20
 area 4 nssa no-summary
exit
!
ip prefix-list P seq 5 permit 10.0.0.0/8
!
route-map RM permit 10
 set metric 5
exit
!
end
"""


def nothing(_argv: t.Sequence[str], _stdin: str | None) -> tuple[int, str, str]:
    """A vtysh that finds no fault."""
    return 0, "", ""


def found(text: str = "", saved: str = "", notes: dict[str, t.Any] | None = None) -> Found:
    """What a read would have seen."""
    return Found(parse(text), text, ("zebra", "staticd", "ospfd", "ospf6d", "bgpd", "ripd"), saved, notes or {})


def test_settings_are_told_apart_by_what_they_set() -> None:
    config = parse(SHOWN)
    assert config["interface eth1", "ip ospf cost"] == "ip ospf cost 10"
    assert config["interface eth1", "ip ospf area"] == "ip ospf area 0.0.0.0"
    assert (
        config["router bgp 65000", "address-family ipv4 unicast", "neighbor 10.0.1.2 route-map in"]
        == "neighbor 10.0.1.2 route-map RM in"
    )
    assert config["router ospf", "area 0.0.0.3 type"] == "area 0.0.0.3 nssa"
    assert config["router ospf", "area 0.0.0.4 type"] == "area 0.0.0.4 nssa no-summary"
    assert config["key chain KC", "key 1", "key-string"] == "key-string abc"
    assert config["ip route 10.50.0.0/16 10.0.1.254",] == "ip route 10.50.0.0/16 10.0.1.254 tag 5 20"
    assert ("interface eth2",) not in config and ("router bgp 65000",) in config


@pytest.mark.parametrize(
    "one, other",
    [
        ("router ospf\n router-id 10.0.0.1", "router ospf\n ospf router-id 10.0.0.1"),
        ("router ospf\n area 77 stub", "router ospf\n area 0.0.0.77 stub"),
        ("router ospf\n network 10.0.0.0/8 area 1", "router ospf\n network 10.0.0.0/8 area 0.0.0.1"),
        ("router bgp 1.10", "router bgp 65546"),
        ("router bgp 1\n neighbor A remote-as 1.10", "router bgp 1\n neighbor A remote-as 65546"),
        ("interface a\n ip ospf hello-interval 10", "interface a\n"),
        (
            "router bgp 1\n no neighbor A send-community all",
            "router bgp 1\n no neighbor A send-community\n no neighbor A send-community extended\n no neighbor A send-community large",
        ),
        (
            "router bgp 1\n no neighbor A send-community both",
            "router bgp 1\n no neighbor A send-community\n no neighbor A send-community extended",
        ),
        (
            "router bgp 1\n neighbor A maximum-prefix 5 75 restart 3",
            "router bgp 1\n neighbor A maximum-prefix 5 restart 3",
        ),
        ("router ospf\n redistribute bgp metric 5 metric-type 2", "router ospf\n redistribute bgp metric 5"),
        ("ip route 10.0.0.0/8 blackhole 1", "ip route 10.0.0.0/8 blackhole"),
        ("interface a\n no ip ospf passive", ""),
        ("router rip\n allow-ecmp 25", "router rip\n allow-ecmp"),
        ("router rip\n allow-ecmp 1", "router rip"),
    ],
)
def test_two_spellings_are_one_setting(one: str, other: str) -> None:
    assert parse(one) == parse(other)


@pytest.mark.parametrize(
    ("header", "ours", "theirs"),
    [
        ("router bgp 1", "neighbor A timers 3 9", "neighbor A timers delayopen 10"),
        ("router bgp 1", "neighbor A bfd", "neighbor A bfd check-control-plane-failure"),
        ("router bgp 1", "neighbor A shutdown", "neighbor A shutdown rtt 5 count 3"),
        ("router bgp 1", "neighbor A capability extended-nexthop", "neighbor A capability dynamic"),
        ("router ospf", "distance 77", "distance ospf external 25"),
        ("router ospf", "graceful-restart helper enable", "graceful-restart helper enable 192.0.2.1"),
        ("router ospf", "graceful-restart helper enable", "graceful-restart helper planned-only"),
        ("router ospf", "area 0.0.0.7 nssa no-summary", "area 0.0.0.7 nssa suppress-fa"),
        ("router ospf", "redistribute table 7 metric 3", "redistribute table 10"),
        ("router ospf6", "distance 77", "distance ospf6 external 25"),
        ("router rip", "distance 77", "distance 9 10.9.9.0/24 A"),
    ],
)
def test_a_line_that_begins_as_another_may_be_another_setting(header: str, ours: str, theirs: str) -> None:
    config = parse(f"{header}\n {ours}\n {theirs}\n")
    assert len(parse(f"{header}\n {ours}\n")) == 2 and len(config) == 3 and {ours, theirs} < set(config.values())


def test_one_setting_has_one_key_with_any_value() -> None:
    for pair in (
        ("neighbor 10.0.1.2 timers 3 9", "neighbor 10.0.1.2 timers 1 3"),
        ("no neighbor 10.0.1.2 activate", "neighbor 10.0.1.2 activate"),
        ("ip ospf message-digest-key 1 md5 a", "ip ospf message-digest-key 1 md5 b"),
        ("ip prefix-list P seq 5 permit any", "ip prefix-list P seq 5 deny 10.0.0.0/8"),
        ("ip route 10.0.0.0/8 10.0.1.2 5", "ip route 10.0.0.0/8 10.0.1.2 tag 7"),
    ):
        assert key_of(pair[0]) == key_of(pair[1])
    for pair in (
        ("neighbor 10.0.1.2 timers 3 9", "neighbor 10.0.1.2 timers connect 3"),
        ("neighbor 10.0.1.2 route-map RM in", "neighbor 10.0.1.2 route-map RM out"),
        ("ip ospf bfd", "ip ospf bfd profile P"),
        ("ip route 10.0.0.0/8 10.0.1.2", "ip route 10.0.0.0/8 10.0.1.3"),
        ("neighbor 10.0.1.2 shutdown", "neighbor 10.0.1.22 shutdown"),
    ):
        assert key_of(pair[0]) != key_of(pair[1])


# --- properties of the comparison ------------------------------------------------------------------------------------

WORD = st.sampled_from(["a", "b", "c", "d"])
LINES = {
    "router ospf": [
        "ospf router-id 10.0.0.{}",
        "maximum-paths {}",
        "network 10.{}.0.0/16 area 0.0.0.0",
        "redistribute static metric {}",
    ],
    "router bgp 65000": ["bgp router-id 10.0.0.{}", "neighbor 10.0.0.{} shutdown", "bgp listen limit {}"],
    "interface eth1": ["ip ospf cost {}", "ip ospf mtu-ignore", "ipv6 ospf6 cost {}"],
    "route-map RM permit 10": ["set metric {}", "description word{}"],
}


@st.composite
def configs(draw: st.DrawFn) -> dict[Address, str]:
    """A configuration of some blocks with some lines."""
    text = ""
    for header, lines in LINES.items():
        if draw(st.booleans()):
            text += header + "\n"
            for line in lines:
                if draw(st.booleans()):
                    text += " " + line.format(draw(st.integers(2, 9))) + "\n"
    for number in draw(st.sets(st.integers(1, 4))):
        text += f"ip prefix-list P seq {number} permit 10.{draw(st.integers(0, 9))}.{number}.0/24\n"
    return parse(text)


def obey(config: dict[Address, str], lines: t.Iterable[tuple[Address, str]]) -> dict[Address, str]:
    """What a router that takes every line would have afterwards."""
    config = dict(config)
    for path, line in lines:
        for depth in range(1, len(path) + 1):
            if not path[depth - 1].startswith("interface "):
                config.setdefault(path[:depth], path[depth - 1])
        if line.startswith("no ") and path + (line[3:],) in config:
            config = {a: value for a, value in config.items() if a[: len(path) + 1] != path + (line[3:],)}
        elif line.startswith("no "):
            config.pop(path + (key_of(line),), None)
        elif line in LINES:
            config[path + (line,)] = line
        else:
            config[path + (key_of(line),)] = line
    return config


@given(configs(), configs())
def test_the_difference_leads_from_one_configuration_to_the_other(
    before: dict[Address, str], after: dict[Address, str]
) -> None:
    changes: dict[Address, t.Optional[str]] = {**dict.fromkeys(before), **after}
    lines = difference(before, changes, ())
    assert obey(before, lines) == after
    assert difference(after, changes, ()) == []


@given(configs(), configs())
def test_the_file_ends_with_the_same_settings(before: dict[Address, str], after: dict[Address, str]) -> None:
    text = show(before.items())
    changes: dict[Address, t.Optional[str]] = {**dict.fromkeys(before), **after}
    assert parse(edit(text, changes)) == after


def test_what_begins_as_another_line_goes_ahead_of_it() -> None:
    """FRR takes the profile away, and leaves a session that has none."""
    path = ("router bgp 65000",)
    lines = ["neighbor 10.0.1.2 bfd", "neighbor 10.0.1.2 passive", "neighbor 10.0.1.2 bfd profile FAST"]
    config = {(*path, key_of(line)): line for line in lines}
    gone = [line for _path, line in difference(config, dict.fromkeys(config), ())]
    assert gone == [f"no {lines[2]}", f"no {lines[0]}", f"no {lines[1]}"]


@given(configs())
def test_what_is_shown_is_read_back(config: dict[Address, str]) -> None:
    assert parse(show(config.items())) == config
    assert edit(show(config.items()), {}) == show(config.items())


def test_lines_go_before_lines_come_and_definitions_come_first() -> None:
    before = parse("router ospf\n redistribute static\nip prefix-list OLD seq 5 permit any\n")
    changes = {
        ("router ospf", "redistribute static"): "redistribute static route-map RM",
        ("route-map RM permit 10",): "route-map RM permit 10",
        ("ip prefix-list OLD seq 5",): None,
    }
    assert [line for _path, line in difference(before, changes, ())] == [
        "no redistribute static",
        "route-map RM permit 10",
        "redistribute static route-map RM",
        "no ip prefix-list OLD seq 5 permit any",
    ]


def test_a_filter_is_replaced_without_a_moment_without_it() -> None:
    at = ("router bgp 1", "address-family ipv4 unicast", "neighbor 10.0.1.2 route-map in")
    lines = difference({at: "neighbor 10.0.1.2 route-map A in"}, {at: "neighbor 10.0.1.2 route-map B in"}, ())
    assert lines == [(at[:2], "neighbor 10.0.1.2 route-map B in")]


def test_blocks_are_entered_once_and_closed() -> None:
    at = ("router bgp 1", "address-family ipv4 unicast")
    assert render(
        [(at, "maximum-paths 2"), (at, "network 10.0.0.0/8"), (("vrf a",), "ip route 10.0.0.0/8 blackhole")]
    ) == (
        "router bgp 1\n address-family ipv4 unicast\n  maximum-paths 2\n  network 10.0.0.0/8\n exit-address-family\nexit\n"
        "vrf a\n ip route 10.0.0.0/8 blackhole\nexit-vrf\n"
    )


# --- frr.conf --------------------------------------------------------------------------------------------------------


def test_the_file_keeps_comments_and_foreign_lines() -> None:
    text = "! mine\nlog syslog\n!\ninterface eth1\n ! slow\n ip ospf cost 5\n description link\nexit\n!\nline vty\n!\nend\n"
    changed = edit(
        text,
        {
            ("interface eth1", "ip ospf cost"): "ip ospf cost 7",
            ("router ospf",): "router ospf",
            ("router ospf", "maximum-paths"): "maximum-paths 2",
        },
    )
    assert changed == (
        "! mine\nlog syslog\nrouter ospf\n maximum-paths 2\nexit\n!\n"
        "interface eth1\n ! slow\n ip ospf cost 7\n description link\nexit\n!\nline vty\n!\nend\n"
    )


def test_a_setting_that_the_file_says_twice_is_said_once() -> None:
    text = "interface eth1\n ip ospf cost 5\nexit\ninterface eth1\n ip ospf cost 6\nexit\n"
    assert parse(edit(text, {("interface eth1", "ip ospf cost"): "ip ospf cost 7"})) == {
        ("interface eth1", "ip ospf cost"): "ip ospf cost 7"
    }


def test_in_the_file_what_others_need_stands_first() -> None:
    path = ("router bgp 1",)
    text = "router bgp 1\n neighbor 10.0.1.2 remote-as 2\n neighbor 10.0.1.2 description a\nexit\n"
    changed = edit(
        text,
        {
            path + ("neighbor G peer-group",): "neighbor G peer-group",
            path + ("neighbor 10.0.1.2 remote-as",): "neighbor 10.0.1.2 remote-as 3",
        },
    )
    assert changed.split("\n")[1:4] == [
        " neighbor G peer-group",
        " neighbor 10.0.1.2 remote-as 3",
        " neighbor 10.0.1.2 description a",
    ]


def test_a_block_that_a_later_line_undoes_is_none_to_put_ours_into() -> None:
    text = "router rip\n network eth2\nexit\nno router rip\nrouter ospf\nexit\n"
    ours = {("router rip",): "router rip", ("router rip", "network eth3"): "network eth3"}
    made = edit(text, ours)
    assert made == text + "router rip\n network eth3\nexit\n"
    assert edit(made, dict.fromkeys(ours)) == text


# --- what is ours ----------------------------------------------------------------------------------------------------


def route(name: str, line: str, present: bool = True) -> Thing:
    """A thing of one line."""
    lines = Lines({})
    lines.put((), line)
    return Thing(name, lines.wanted, (((), key_of(line) + "\n"),), None, present)


def plan(before: Found, things: list[Thing], vtysh: t.Any = nothing, **options: t.Any) -> t.Any:
    """What compare finds."""
    return compare(Runner(vtysh), before, things, Options("frr_static", options.pop("owner", "us"), **options))


def test_only_what_was_made_is_purged() -> None:
    notes = {"us": {"one": {"lines": [["ip route 10.1.0.0/16 blackhole"]], "scope": [], "drop": None}}}
    before = found("ip route 10.1.0.0/16 blackhole\nip route 10.2.0.0/16 blackhole\n", notes=notes)
    change = plan(before, [], purge=True)
    assert change.steps[0].text == "no ip route 10.1.0.0/16 blackhole\n"
    assert plan(before, []).steps == []


LEAKING = (
    "router bgp 65000 vrf V1\n !\n address-family l2vpn evpn\n  advertise ipv4 unicast\n exit-address-family\nexit\n"
)
VNI = "vrf V1\n vni 100\nexit-vrf\n!\nrouter bgp 65000 vrf V1\nexit\n"
IMPORTING = "router bgp 65000 vrf V1\n !\n address-family ipv4 unicast\n  import {}\n exit-address-family\nexit\n"


@pytest.mark.parametrize(
    ("theirs", "stays"),
    [
        (LEAKING, True),
        (VNI, True),
        (IMPORTING.format("vpn"), True),
        (IMPORTING.format("vrf V2"), True),
        # Routes of the default VRF itself, or none at all.
        (IMPORTING.format("vrf default"), False),
        ("router bgp 65000 vrf V1\n bgp router-id 10.0.0.1\nexit\n", False),
        (VNI.replace("router bgp 65000 vrf V1", "router bgp 65000 vrf V2"), False),
    ],
)
def test_the_bgp_by_which_others_leak_routes_stays_empty(theirs: str, stays: bool) -> None:
    """FRR says: Cannot delete default BGP instance. Dependent VRF instances exist."""
    ours = "router bgp 65000\n neighbor 10.0.0.2 remote-as 65001\nexit\n!\n"
    lines = [["router bgp 65000"], ["router bgp 65000", "neighbor 10.0.0.2 remote-as"]]
    scope = [[["router bgp 65000"], ""]]
    notes = {"us": {"BGP 65000": {"lines": lines, "scope": scope, "drop": [[], "no router bgp 65000"]}}}
    change = plan(found(ours + theirs, ours + theirs, notes), [], purge=True)
    sent = change.steps[0].text
    assert ("no router bgp 65000\n" in sent) is not stays
    assert ("no neighbor 10.0.0.2" in sent) is stays
    told = [text for text in change.warnings if "stays, empty, as router bgp 65000 vrf V1 needs it" in text]
    assert len(told) == stays


def test_what_a_saved_line_uses_does_not_go() -> None:
    """The user does not run, but would after a restart, without its filter."""
    line, user = "route-map RM permit 10", "router ospf\n redistribute static route-map RM\nexit\n"
    notes = {"us": {"RM": {"lines": [[line]], "scope": [], "drop": None}}}
    for running, saved, where in ((user, "", ""), ("", user, " of /etc/frr/frr.conf")):
        before = found(f"{line}\nexit\n{running}", f"{line}\nexit\n{saved}", notes)
        with pytest.raises(FabricError) as refused:
            plan(before, [], purge=True)
        said = f"is used by 'redistribute static route-map RM' in 'router ospf'{where}, which somebody else"
        assert said in str(refused.value)
    # The control: without a user it goes.
    assert plan(found(f"{line}\nexit\n", f"{line}\nexit\n", notes), [], purge=True).steps


BGP_IPV4 = ("router bgp 65000", "address-family ipv4 unicast")
# Lines of others by which a definition is used, each with the blocks around it: every command of FRR 8 to 10 that takes such a name.
USES: dict[tuple[str, str], list[tuple[tuple[str, ...], str]]] = {
    ("route map", "X"): [
        ((), "ip protocol bgp route-map X"),
        (("vrf RED",), "ip nht bgp route-map X"),
        (BGP_IPV4, "neighbor 192.0.2.9 route-map X in"),
        (BGP_IPV4, "neighbor 192.0.2.9 unsuppress-map X"),
        (BGP_IPV4, "neighbor 192.0.2.9 advertise-map X exist-map OTHER"),
        (BGP_IPV4, "neighbor 192.0.2.9 advertise-map OTHER non-exist-map X"),
        (BGP_IPV4, "neighbor 192.0.2.9 allowas-in route-map X 2"),
        (BGP_IPV4, "aggregate-address 10.0.0.0/8 suppress-map X"),
        (BGP_IPV4, "table-map X"),
        (BGP_IPV4, "import vrf route-map X"),
        (BGP_IPV4, "route-map vpn import X"),
        (("router rip",), "route-map X in eth1"),
        (("router isis A",), "redistribute ipv4 bgp level-2 metric 5 route-map X"),
        (("route-map OTHER permit 10",), "call X"),
        (("interface eth1",), "ip igmp route-map X"),
    ],
    ("prefix list ipv4", "X"): [
        ((), "ip pim register-accept-list X"),
        ((), "ip pim rp 192.0.2.7 prefix-list X"),
        (BGP_IPV4, "neighbor 2001:db8::9 prefix-list X out"),
        (("router ospf",), "area 0.0.0.1 filter-list prefix X in"),
        (("router rip",), "distribute-list prefix X out eth1"),
        (("router pim",), "register-accept-list X"),
        (("interface eth1",), "ip multicast boundary oil X"),
        (("interface eth1",), "ip ospf neighbor-filter X"),
        (("route-map OTHER permit 10",), "match ip next-hop prefix-list X"),
    ],
    ("prefix list ipv6", "X"): [
        (("router bgp 65000", "address-family ipv6 unicast"), "neighbor 192.0.2.9 prefix-list X in"),
        (("router ospf6",), "area 0.0.0.1 filter-list prefix X out"),
        (("router ripng",), "ipv6 distribute-list prefix X in"),
        (("interface eth1",), "ipv6 ospf6 advertise prefix-list X"),
        (("route-map OTHER permit 10",), "match ipv6 address prefix-list X"),
    ],
    ("community list", "X"): [
        (("route-map OTHER permit 10",), "match community X exact-match"),
        (("route-map OTHER permit 10",), "set comm-list X delete"),
        (("route-map OTHER permit 10",), "set comm-list delete X"),
    ],
    ("large-community list", "X"): [(("route-map OTHER permit 10",), "set large-comm-list X delete")],
    ("extcommunity list", "X"): [(("route-map OTHER permit 10",), "set extended-comm-list X delete")],
    ("AS path list", "X"): [
        (BGP_IPV4, "neighbor 192.0.2.9 filter-list X in"),
        (("route-map OTHER permit 10",), "set as-path exclude as-path-access-list X"),
    ],
    ("key chain", "X"): [
        (("interface eth1",), "ip rip authentication key-chain X"),
        (("interface eth1",), "ip authentication key-chain eigrp 1 X"),
        (("interface eth1",), "ipv6 ospf6 authentication keychain X"),
        (("router ospf",), "area 0.0.0.1 virtual-link 192.0.2.7 authentication key-chain X"),
    ],
    ("BFD profile", "X"): [
        ((), "ip route 10.0.0.0/8 192.0.2.9 bfd multi-hop source 192.0.2.1 profile X"),
        (("router rip",), "bfd default-profile X"),
        (("interface eth1",), "isis bfd profile X"),
        (("bfd", "peer 192.0.2.9"), "profile X"),
    ],
    ("peer group", "X of router bgp 65000"): [
        (("router bgp 65000",), "bgp listen range 192.0.2.0/24 peer-group X"),
        (("router bgp 65000",), "neighbor eth1 interface v6only peer-group X"),
    ],
}


@pytest.mark.parametrize(("definition", "around", "line"), [(d, *use) for d, uses in USES.items() for use in uses])
def test_whatever_takes_a_name_uses_its_definition(
    definition: tuple[str, str], around: tuple[str, ...], line: str
) -> None:
    address = (*around, key_of(line))
    assert definition in list(used(address, line)) and not list(used(address, f"no {line}"))


@pytest.mark.parametrize(
    ("around", "line"),
    [
        ((), "route-map X permit 10"),
        ((), "ip prefix-list X seq 5 permit any"),
        ((), "ip prefix-list X description beside route-map X"),
        ((), "bgp as-path access-list X seq 5 permit ^1 route-map X"),
        (("bfd",), "profile X"),
        (("router bgp 65000",), "neighbor X peer-group"),
        (("router bgp 65000",), "neighbor 192.0.2.9 description behind route-map X and peer-group X"),
        (("interface eth1",), "description bfd profile X"),
        (BGP_IPV4, "neighbor 192.0.2.9 capability orf prefix-list both"),
        (("router ospf",), "area 0.0.0.1 range 10.0.0.0/8"),
    ],
)
def test_a_definition_and_free_text_use_nothing(around: tuple[str, ...], line: str) -> None:
    assert not list(used((*around, key_of(line)), line))


def test_notes_of_nothing_are_no_file() -> None:
    one, two = (f"ip route 10.{number}.0.0/16 blackhole" for number in (1, 2))
    notes = {
        "us": {name: {"lines": [[line]], "scope": [], "drop": None} for name, line in (("one", one), ("two", two))}
    }
    before = found(f"{one}\n{two}\n", notes=notes)
    path = "/etc/overloom/frr/us-frr_static.json"
    assert plan(before, [], purge=True).steps[-1].shown() == f"rm -f {path}"
    assert plan(before, [route("one", one)], purge=True).steps[-1].shown() == f"# {path} remembers what was made"
    assert plan(found(notes={"us": {}}), [], purge=True).steps == []


ROUTER = "router ospf\nexit\n"
AREA = Thing(
    "area",
    {
        ("router ospf",): "router ospf",
        ("router ospf", "area 0.0.0.1 type"): "area 0.0.0.1 nssa no-summary",
        ("router ospf", "area 0.0.0.2 default-cost"): "area 0.0.0.2 default-cost 5",
    },
    ((("router ospf",), "area "),),
)
# FRR shows two lines for the first, another beside the second, and takes one of others away.
HAS = "router ospf\n area 0.0.0.1 nssa\n area 0.0.0.1 nssa no-summary\n area 0.0.0.2 default-cost 5\n area 0.0.0.2 stub\nexit\n"


def lasting(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    before: Found,
    things: list[Thing],
    shows: str,
    **more: t.Any,
) -> tuple[str, dict[str, t.Any]]:
    """frr.conf and the notes after a change that FRR shows so."""
    monkeypatch.setattr(frr_reader, "NOTES", str(tmp_path))
    monkeypatch.setattr(frr_writer.Save, "path", str(tmp_path / "frr.conf"))
    (tmp_path / "frr.conf").write_text(before.saved)
    shown = f"{shows}\nend\n" + " ".join(before.daemons)
    change = plan(before, things, lambda argv, _stdin: (0, shown if "-c" in argv else "", ""), **more)
    for step in change.steps:
        step.do()
    notes = tmp_path / "us-frr_static.json"
    return (tmp_path / "frr.conf").read_text(), json.loads(notes.read_text()) if notes.exists() else {}


def test_what_frr_shows_beside_ours_is_saved_noted_and_goes_with_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = "router ospf\n maximum-paths 5\nexit\n"
    file, notes = lasting(tmp_path, monkeypatch, found(theirs, theirs), [AREA], HAS)
    # What FRR took away of others' stays, as they may want it back.
    assert parse(file) == {**parse(HAS), ("router ospf", "maximum-paths"): "maximum-paths 5"}
    assert " area 0.0.0.1 nssa\n area 0.0.0.1 nssa no-summary\n" in file
    assert notes["beside"]["lines"] == [["router ospf", "area 0.0.0.2 type"]]
    after = found(HAS, file, {"us": notes})
    assert plan(after, [AREA]).steps == []
    file, notes = lasting(tmp_path, monkeypatch, after, [], ROUTER, purge=True)
    assert (file, notes) == (theirs, {})


FAMILY = " address-family ipv4 unicast\n  {}\n exit-address-family\n"
SPEAKER = "router bgp 65000\n neighbor 10.0.1.2 remote-as 65001\n"
OFF = Thing(
    "speaker",
    {("router bgp 65000", "bgp default ipv4-unicast"): "no bgp default ipv4-unicast"},
    ((("router bgp 65000",), "bgp default"),),
)


@pytest.mark.parametrize(
    "running, saved, shown, left",
    [
        # Only the neighbor that is saved is saved as active.
        (
            SPEAKER + " neighbor 10.0.0.9 remote-as 65009\nexit\n",
            SPEAKER + "exit\n",
            SPEAKER
            + " no bgp default ipv4-unicast\n neighbor 10.0.0.9 remote-as 65009\n"
            + FAMILY.format("neighbor 10.0.0.9 activate\n  neighbor 10.0.1.2 activate")
            + "exit\n",
            "10.0.0.9",
        ),
        # Of a block that is not saved, nothing is.
        (
            SPEAKER + "exit\nrouter ospf\n area 0.0.0.2 default-cost 5\nexit\n",
            SPEAKER + "exit\n",
            SPEAKER
            + " no bgp default ipv4-unicast\n"
            + FAMILY.format("neighbor 10.0.1.2 activate")
            + "exit\nrouter ospf\n area 0.0.0.2 default-cost 5\n area 0.0.0.2 stub\nexit\n",
            "area 0.0.0.2",
        ),
        # The file's word stays where others have typed another one and not saved it.
        (
            SPEAKER + " neighbor 10.0.1.3 remote-as 65009\nexit\n",
            SPEAKER
            + " neighbor 10.0.1.3 remote-as 65009\n"
            + FAMILY.format("no neighbor 10.0.1.3 activate")
            + "exit\n",
            SPEAKER
            + " no bgp default ipv4-unicast\n neighbor 10.0.1.3 remote-as 65009\n"
            + FAMILY.format("neighbor 10.0.1.2 activate\n  neighbor 10.0.1.3 activate")
            + "exit\n",
            "  neighbor 10.0.1.3 activate",
        ),
    ],
    ids=["a neighbor", "a block", "another value"],
)
def test_what_others_have_not_saved_is_not_saved_with_ours(
    running: str, saved: str, shown: str, left: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, notes = lasting(tmp_path, monkeypatch, found(running, saved), [OFF], shown)
    assert left in shown and left not in file and left.strip() not in json.dumps(notes)
    # The control: what is saved of others comes with what FRR shows of it, and stays.
    assert "  neighbor 10.0.1.2 activate\n" in file
    assert [address[-1] for address in notes["beside"]["lines"]] == ["neighbor 10.0.1.2 activate"]
    assert not parse(saved).items() - parse(file).items()


def sends(*kinds: str) -> str:
    """A speaker whose neighbor is not sent some kinds of communities, or two kinds said in one word."""
    return (
        SPEAKER + FAMILY.format("\n  ".join(f"no neighbor 10.0.1.2 send-community {kind}" for kind in kinds)) + "exit\n"
    )


STANDARD, EXTENDED = (f"no neighbor 10.0.1.2 send-community {kind}" for kind in ("standard", "extended"))
WITHHELD = Thing(
    "peer",
    {("router bgp 65000", "address-family ipv4 unicast", STANDARD[3:]): STANDARD},
    ((("router bgp 65000", "address-family ipv4 unicast"), STANDARD[3:]),),
)


def test_a_word_for_ours_and_for_what_others_have_not_saved_is_not_saved(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, alone = sends("both"), SPEAKER + "exit\n"
    file, notes = lasting(tmp_path, monkeypatch, found(sends("extended"), alone), [WITHHELD], shown)
    assert parse(file) == parse(sends("standard")) and list(notes) == ["peer"]
    # Ours goes, and theirs is shown in another word, which is no reason to save it.
    assert lasting(tmp_path, monkeypatch, found(shown, file, {"us": notes}), [], sends("extended"), purge=True) == (
        alone,
        {},
    )
    # What they have saved stays as it is spelled, while ours comes and goes.
    theirs = sends("extended")
    file, notes = lasting(tmp_path, monkeypatch, found(theirs, theirs), [WITHHELD], shown)
    assert (file.count(EXTENDED), file.count(STANDARD), "both" in file) == (1, 1, False)
    assert lasting(tmp_path, monkeypatch, found(shown, file, {"us": notes}), [], theirs, purge=True) == (theirs, {})
    # The control: one word for two of ours is FRR's.
    both = WITHHELD._replace(lines={**WITHHELD.lines, (*next(iter(WITHHELD.lines))[:2], EXTENDED[3:]): EXTENDED})
    assert lasting(tmp_path, monkeypatch, found(alone, alone), [both], shown)[0] == shown


BGP = ("router bgp 65000",)


def test_what_frr_shows_in_a_new_router_because_of_the_release_of_the_file_goes_with_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, file, said = "frr version 8.4\n", "frr version 8.1\n", " no bgp hard-administrative-reset\n"
    router = Thing("router", {BGP: BGP[0]}, ((BGP, ""),))
    shown = f"{runs}{BGP[0]}\n{said}exit\n"
    made, notes = lasting(tmp_path, monkeypatch, found(runs, file), [router], shown)
    assert made == f"{file}{BGP[0]}\n{said}exit\n"
    assert lasting(tmp_path, monkeypatch, found(shown, made, {"us": notes}), [], runs, purge=True) == (file, {})
    # The control: where others have a line in it, it stays as it is.
    theirs = " bgp cluster-id 10.0.0.9\n"
    both, has = (text.replace(said, said + theirs) for text in (shown, made))
    kept = lasting(tmp_path, monkeypatch, found(both, has, {"us": notes}), [], both, purge=True)
    assert kept == (has, {})


def test_a_block_that_frr_makes_of_itself_is_neither_saved_nor_noted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the pimd of FRR 10 does for each VRF, and goes on to show it when the VRF has gone."""
    line = "ip route 10.1.0.0/16 blackhole"
    red = Thing("red", {("vrf RED", line): line}, ((("vrf RED",), line),))
    itself = "router pim vrf RED\n no autorp discovery\nexit\n"
    shown = f"{ROUTER}vrf RED\n {line}\nexit-vrf\n{itself}"
    file, notes = lasting(tmp_path, monkeypatch, found(ROUTER, ROUTER), [red], shown)
    assert f" {line}\n" in file and "pim" not in file + json.dumps(notes) and list(notes) == ["red"]
    assert lasting(tmp_path, monkeypatch, found(shown, file, {"us": notes}), [], ROUTER + itself, purge=True) == (
        ROUTER,
        {},
    )


def declares(*lines: tuple[tuple[str, ...], str]) -> Thing:
    """A thing of some lines, each with its blocks."""
    wanted = Lines({})
    for path, line in lines:
        wanted.put(path, line)
    return Thing("declared", wanted.wanted, ((BGP, ""), ((), "bgp ")))


THEIRS = SPEAKER + " neighbor G peer-group\n neighbor 10.0.0.9 remote-as 65009\nexit\n"
DESCRIBED = (BGP, "neighbor 10.0.0.9 description rack")
RANGE = (BGP, "bgp listen range 10.7.0.0/16 peer-group G")


@pytest.mark.parametrize(
    "line, maker",
    [
        (DESCRIBED, "neighbor 10.0.0.9 remote-as 65009"),
        ((BGP, "neighbor 10.0.1.2 peer-group G"), "neighbor G peer-group"),
        (RANGE, "neighbor G peer-group"),
    ],
)
def test_a_line_that_needs_what_others_have_not_saved_is_refused(line: tuple[tuple[str, ...], str], maker: str) -> None:
    said = f"'{line[1]}' in 'router bgp 65000' cannot be saved: it needs '{maker}', which somebody else has configured"
    with pytest.raises(FabricError, match=said):
        plan(found(THEIRS, SPEAKER + "exit\n"), [declares(line)])
    # The controls: what it needs is declared, saved, or of nobody, so that FRR itself has the word.
    assert plan(found(THEIRS, SPEAKER + "exit\n"), [declares((BGP, maker), line)]).steps
    assert plan(found(THEIRS, THEIRS), [declares(line)]).steps
    assert plan(found(SPEAKER + "exit\n", SPEAKER + "exit\n"), [declares(line)]).steps
    # What is taken away needs nothing.
    assert plan(
        found(THEIRS, THEIRS.replace(maker, "bgp cluster-id 1")),
        [declares(line)._replace(lines={(*line[0], key_of(line[1])): None})],
    )


def test_a_filter_of_others_that_is_not_saved_is_told_of() -> None:
    line = (*BGP, "address-family ipv4 unicast"), "neighbor 10.0.1.2 route-map RM in"
    runs = f"{SPEAKER}exit\nroute-map RM permit 10\nexit\n"
    (told,) = plan(found(runs, SPEAKER + "exit\n"), [declares(line)]).warnings
    assert told.startswith(
        "route map RM runs and is not in /etc/frr/frr.conf, so 'neighbor 10.0.1.2 route-map RM in' has none"
    )
    # The controls: one that is saved, and one of nobody.
    assert not plan(found(runs, runs), [declares(line)]).warnings
    assert not plan(found(SPEAKER, SPEAKER), [declares(line)]).warnings


@pytest.mark.parametrize("runs", [True, False])
def test_a_line_that_others_have_already_is_theirs_when_it_is_declared_too(
    runs: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, exception = "passive-interface default", ("interface eth2", "ip ospf passive")
    lines = {("router ospf", key): key, exception: ACTIVE, ("interface eth3", "ip ospf passive"): ACTIVE}
    passive = Thing(
        "passive", lines, ((("router ospf",), key), (("interface eth2",), "ip ospf"), (("interface eth3",), "ip ospf"))
    )
    theirs = f"interface eth2\n {ACTIVE}\nexit\n{ROUTER}"
    before = found(theirs if runs else ROUTER, theirs)
    shown = f"{theirs[:-5]} {key}\nexit\ninterface eth3\n {ACTIVE}\nexit\n"
    made, notes = lasting(tmp_path, monkeypatch, before, [passive], shown)
    assert sorted(notes["passive"]["lines"]) == [["interface eth3", "ip ospf passive"], ["router ospf", key]]
    assert lasting(tmp_path, monkeypatch, found(shown, made, {"us": notes}), [], theirs, purge=True) == (theirs, {})


@pytest.mark.parametrize("saved", [True, False])
def test_an_exception_of_others_that_comes_to_mean_something_stays_theirs(
    saved: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "passive-interface default"
    passive = Thing("passive", {("router ospf", key): key}, ((("router ospf",), key),))
    theirs = "interface eth2\n no ip ospf passive\nexit\n"
    runs, shown = theirs + ROUTER, theirs + f"router ospf\n {key}\nexit\n"
    file = runs if saved else ROUTER
    made, notes = lasting(tmp_path, monkeypatch, found(runs, file), [passive], shown)
    assert f" {key}\n" in made and list(notes) == ["passive"] and ("eth2" in made) == saved
    assert lasting(tmp_path, monkeypatch, found(shown, made, {"us": notes}), [], runs, purge=True) == (file, {})


def test_what_frr_loads_meanwhile_stays_of_others_and_as_they_spell_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a module that comes while FRR starts sees it: lines of the file come between its two reads."""
    theirs = "interface eth1\n ip ospf area 0\n ip ospf cost 7\nexit\n"
    shows = ROUTER + "interface eth1\n ip ospf area 0.0.0.0\n ip ospf cost 7\nexit\n"
    line = "ip route 10.1.0.0/16 blackhole"
    file, notes = lasting(
        tmp_path, monkeypatch, found(ROUTER, ROUTER + theirs), [route("one", line)], f"{line}\n{shows}"
    )
    assert file.replace(f"{line}\n", "") == ROUTER + theirs
    assert list(notes) == ["one"]


def test_a_daemon_that_ends_at_a_change_leaves_the_file_and_the_others_as_they_were(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "ip route 10.1.0.0/16 blackhole"
    monkeypatch.setattr(frr_reader, "NOTES", str(tmp_path))
    loaded: list[str] = []

    def vtysh(argv: t.Sequence[str], stdin: str | None) -> tuple[int, str, str]:
        if "-c" in argv:
            # staticd has taken its line, and ospfd is gone with all of its own.
            return 0, f"{line}\nend\nzebra staticd", ""
        loaded.append(stdin or "")
        assert list(tmp_path.iterdir()), "what may run is noted until it is taken back"
        return 0, "", ""

    change = plan(found(ROUTER, ROUTER), [AREA, route("one", line)], nothing)
    change.steps[0].runner = Runner(vtysh)
    with pytest.raises(FabricError, match="ospfd ended at this change; what the others had taken of it was taken back"):
        change.steps[0].do()
    assert f"no {line}" in loaded[1] and "area" not in loaded[1]
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_killed_leaves_no_line_that_nobody_knows(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frr_reader, "NOTES", str(tmp_path))
    line = "ip route 10.1.0.0/16 blackhole"

    def killed(_argv: t.Any, _stdin: t.Any) -> t.Any:
        raise KeyboardInterrupt

    applied = plan(found(), [route("one", line)]).steps[0]
    applied.runner = Runner(killed)
    with pytest.raises(KeyboardInterrupt):
        applied.do()
    notes = {"us": json.loads((tmp_path / "us-frr_static.json").read_text())}
    assert plan(found(line + "\n", line + "\n", notes=notes), [], purge=True).steps[0].text == f"no {line}\n"
    assert plan(found(notes=notes), [route("one", line)]).steps[0].ahead == []
    # What FRR refused is not remembered.
    applied.runner = Runner(
        lambda argv, _stdin: (1, "% Unknown command", "line 1: Failure") if "-f" in argv else (0, "\nend\n", "")
    )
    with pytest.raises(FabricError, match="FRR refused"):
        applied.do()
    assert not list(tmp_path.iterdir())


# --- what others had before ------------------------------------------------------------------------------------------

SET_BY_OTHERS = """\
interface eth1
 ip ospf co 5
 ip ospf hello-interval 7
exit
router bgp 65000
 bgp network import-check
 neighbor 10.0.1.2 remote-as 65001
 neigh 10.0.1.2 timers 10 30
 neighbor 10.0.1.2 description theirs
 neighbor 10.0.1.2 weight 7
 address-family ipv4 unicast
  neigh 10.0.1.2 weight 7
 exit-address-family
exit
"""
# The first line of BGP says what FRR does anyway, and one setting is said twice, as people have it who have added the family later.
RUNS = (
    SET_BY_OTHERS.replace(" bgp network import-check\n", "")
    .replace(" neighbor 10.0.1.2 weight 7\n", "", 1)
    .replace("ip ospf co ", "ip ospf cost ")
    .replace("neigh ", "neighbor ")
)
COST, HELLO = ("interface eth1", "ip ospf cost"), ("interface eth1", "ip ospf hello-interval")
TIMERS = ("router bgp 65000", "neighbor 10.0.1.2 timers")
DESCRIPTION = ("router bgp 65000", "neighbor 10.0.1.2 description")
WEIGHT = ("router bgp 65000", "address-family ipv4 unicast", "neighbor 10.0.1.2 weight")
IMPORT = ("router bgp 65000", "bgp network import-check")


class Router:
    """An FRR that takes every line, with its file and its notes."""

    def __init__(self, tmp_path: pathlib.Path, running: str, saved: str) -> None:
        self.file, self.notes = tmp_path / "frr.conf", tmp_path / "us-frr_static.json"
        self.begin(running, saved)

    def begin(self, running: str, saved: str) -> None:
        """Start with this, and without ours."""
        self.config = parse(running)
        self.file.write_text(saved)
        if self.notes.exists():
            self.notes.unlink()

    def saved(self) -> dict[Address, str]:
        """What the file sets."""
        lines = frr_conf.by_indentation(self.file.read_text())
        return frr_saved.settings(lines, frr_saved.meanings(lines))

    def found(self) -> Found:
        """What a read sees."""
        notes = {"us": json.loads(self.notes.read_text())} if self.notes.exists() else {}
        return found(self.text(), self.file.read_text(), notes)

    def text(self) -> str:
        """The running configuration."""
        return render((address[:-1], line) for address, line in self.config.items())

    def run(self, argv: t.Sequence[str], stdin: str | None) -> tuple[int, str, str]:
        """What vtysh does."""
        if argv[:2] == ("vtysh", "-f"):
            self.load(stdin or "")
        return 0, f"{self.text()}\nend\nzebra staticd ospfd ospf6d bgpd ripd" if "-c" in argv else "", ""

    def load(self, text: str) -> None:
        """Take lines."""
        lines = (
            (line.path, line.text)
            for line in frr_conf.by_indentation(text)
            if line.text and not line.text.startswith("interface ")
        )
        self.config = obey(self.config, lines)
        # It shows no family for itself, and of this setting what is no default.
        self.config.pop(WEIGHT[:2], None)
        if IMPORT[:1] in self.config and IMPORT[1] in text:
            self.config.pop(IMPORT, None)
            self.config.update({IMPORT: f"no {IMPORT[1]}"} if f"no {IMPORT[1]}" in text else {})

    def apply(self, things: list[Thing], **options: t.Any) -> bool:
        """Run a module, and again, which changes nothing. Returns whether the first run changed something."""
        change = plan(self.found(), things, self.run, **options)
        for step in change.steps:
            step.do()
        assert not plan(self.found(), things, self.run, **options).steps
        return bool(change.steps)


@pytest.fixture(name="router")
def fixture_router(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Router:
    monkeypatch.setattr(frr_reader, "NOTES", str(tmp_path))
    monkeypatch.setattr(frr_writer.Save, "path", str(tmp_path / "frr.conf"))
    return Router(tmp_path, RUNS, SET_BY_OTHERS)


def sets(lines: dict[Address, str | None]) -> Thing:
    """A thing that sets lines on an interface and of a neighbor of others."""
    peer = "neighbor 10.0.1.2 "
    scope = ((WEIGHT[:1], peer), (WEIGHT[:2], peer), (IMPORT[:1], IMPORT[1] + "\n"), (COST[:1], "ip ospf "))
    return Thing("it", lines, scope)


VALUES = st.fixed_dictionaries(
    {},
    optional={
        COST: st.sampled_from([None, "ip ospf cost 5", "ip ospf cost 10", "ip ospf cost 20"]),
        HELLO: st.sampled_from([None, "ip ospf hello-interval 3"]),
        ("interface eth1", "ip ospf priority"): st.just("ip ospf priority 9"),
        TIMERS: st.sampled_from([None, "neighbor 10.0.1.2 timers 3 9", "neighbor 10.0.1.2 timers 10 30"]),
        DESCRIPTION: st.sampled_from([None, "neighbor 10.0.1.2 description ours"]),
        WEIGHT: st.sampled_from([None, "neighbor 10.0.1.2 weight 7", "neighbor 10.0.1.2 weight 9"]),
        IMPORT: st.just("no bgp network import-check"),
    },
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=4), st.booleans())
def test_what_others_had_is_back_when_ours_goes_however_often_ours_changed(
    router: Router, changes: list[dict[Address, str | None]], purge: bool
) -> None:
    router.begin(RUNS, SET_BY_OTHERS)
    for lines in changes:
        router.apply([sets(lines)])
        assert {address: router.config.get(address) for address in lines} == lines
        assert {address: router.saved().get(address) for address in lines} == lines
        # In whatever order the lines come: a setting that was cleared may come from what is there, or not.
        assert not plan(router.found(), [sets(dict(reversed(lines.items())))], router.run).steps
    noted = router.notes.exists()
    if purge or noted:
        change = [] if purge else [sets({})._replace(present=False)]
        plan(router.found(), change, router.run, purge=purge)
        for step in plan(router.found(), change, router.run, purge=purge).steps:
            step.do()
    assert router.config == parse(RUNS) and not router.notes.exists()
    # Every line is in its block again, in the words of its owner.
    in_file = [(line.path, line.text) for line in frr_conf.by_indentation(router.file.read_text()) if line.text]
    assert sorted(in_file) == sorted(
        (line.path, line.text) for line in frr_conf.by_indentation(SET_BY_OTHERS) if line.text
    )


def test_a_changed_line_of_others_is_back_in_its_place_byte_by_byte(router: Router) -> None:
    router.apply([sets({COST: "ip ospf cost 10", TIMERS: "neighbor 10.0.1.2 timers 3 9"})])
    assert " ip ospf cost 10\n" in router.file.read_text() and "timers 10 30" not in router.file.read_text()
    router.apply([], purge=True)
    assert router.file.read_text() == SET_BY_OTHERS


def test_a_setting_that_is_said_twice_is_back_in_both_places(router: Router) -> None:
    router.apply([sets({WEIGHT: "neighbor 10.0.1.2 weight 9", IMPORT: "no bgp network import-check"})])
    file = router.file.read_text()
    assert file.count("weight") == 1 and file.count("import-check") == 1
    router.apply([], purge=True)
    assert router.file.read_text() == SET_BY_OTHERS
    # Of another value than the one that counts, what stands in another block might count afterwards.
    in_family, under_router = "  neigh 10.0.1.2 weight 7\n", " neighbor 10.0.1.2 weight 7\n"
    for old, new, back in (
        (under_router, under_router.replace("7", "5"), 1),
        (in_family, in_family.replace("7", "5") + in_family, 2),
    ):
        router.begin(RUNS, SET_BY_OTHERS.replace(old, new, 1))
        router.apply([sets({WEIGHT: None})])
        assert "weight" not in router.file.read_text()
        router.apply([], purge=True)
        assert router.saved()[WEIGHT] == "neighbor 10.0.1.2 weight 7"
        assert router.file.read_text().count("weight") == back + (old == in_family)


def test_what_others_have_changed_since_is_theirs(router: Router) -> None:
    router.apply([sets({COST: "ip ospf cost 10"})])
    for text in ("ip ospf cost 44", "no ip ospf cost"):
        router.load(f"interface eth1\n {text}\n")
        config = dict(router.config)
        kept = router.notes.read_text()
        file = router.file.read_text()
        router.apply([], purge=True)
        assert router.config == config and router.file.read_text() == SET_BY_OTHERS
        router.notes.write_text(kept)
        router.file.write_text(file)
    # Where ours is declared again over it, that is what comes back.
    router.load("interface eth1\n ip ospf cost 44\n")
    router.apply([sets({COST: "ip ospf cost 10"})])
    router.apply([], purge=True)
    assert router.config[COST] == "ip ospf cost 44" and router.file.read_text() == SET_BY_OTHERS


def test_what_others_had_not_saved_or_only_saved_is_so_again(router: Router) -> None:
    router.load("interface eth1\n ip ospf cost 6\n no ip ospf hello-interval\n")
    config = dict(router.config)
    router.apply([sets({COST: "ip ospf cost 10", HELLO: "ip ospf hello-interval 3"})])
    router.apply([], purge=True)
    assert router.config == config and router.file.read_text() == SET_BY_OTHERS


def test_what_is_taken_over_is_not_given_back(router: Router) -> None:
    router.apply([sets({COST: "ip ospf cost 10"})], adopt=True)
    router.apply([], purge=True)
    assert COST not in router.config and DESCRIPTION not in router.config


def test_a_run_that_is_killed_forgets_no_former_line(router: Router) -> None:
    router.apply([sets({COST: "ip ospf cost 10"})])
    applied = plan(router.found(), [sets({COST: "ip ospf cost 20"})], router.run).steps[0]
    for note in applied.ahead:
        note.do()
    # Before FRR has the line, and after it.
    for _time in range(2):
        kept = router.notes.read_text()
        before = router.config, router.file.read_text()
        router.apply([], purge=True)
        assert router.config[COST] == "ip ospf cost 5" and "ip ospf co 5" in router.file.read_text()
        router.notes.write_text(kept)
        router.config = before[0]
        router.file.write_text(before[1])
        router.load("interface eth1\n ip ospf cost 20\n")


def test_what_was_there_is_not_taken_over() -> None:
    before = found("ip route 10.1.0.0/16 blackhole\n", "ip route 10.1.0.0/16 blackhole\n")
    assert plan(before, [route("one", "ip route 10.1.0.0/16 blackhole")]).steps == []
    adopted = plan(before, [route("one", "ip route 10.1.0.0/16 blackhole")], adopt=True)
    assert [step.path for step in adopted.steps] == ["/etc/overloom/frr/us-frr_static.json"]
    assert adopted.before != adopted.after
    with pytest.raises(
        FabricError, match="^one was not made by this collection and stays; leave it out of the task, or"
    ):
        plan(before, [route("one", "ip route 10.1.0.0/16 blackhole", present=False)])


def test_an_absent_thing_that_is_missing_is_no_change() -> None:
    assert plan(found(), [route("one", "ip route 10.1.0.0/16 blackhole", present=False)]).steps == []


def test_a_line_that_is_only_missing_in_the_file_is_saved() -> None:
    change = plan(
        found("ip route 10.1.0.0/16 blackhole\n", "hostname a\n"), [route("one", "ip route 10.1.0.0/16 blackhole")]
    )
    assert change.steps[0].content == "hostname a\nip route 10.1.0.0/16 blackhole\n"
    assert change.before != change.after


def test_an_owner_that_is_no_file_name_is_refused() -> None:
    for owner in ("../x", "", "a/b", "a b", "-x"):
        with pytest.raises(FabricError, match="owner"):
            notes_path(owner, "frr_ospf")


# --- what FRR says ---------------------------------------------------------------------------------------------------


def test_a_refused_line_is_named_with_its_blocks() -> None:
    text = "router bgp 1\n address-family ipv4 unicast\n  neighbor 10.0.1.2 activate\n exit-address-family\nexit\n"
    said = refusals(
        text,
        "% Specify remote-as or peer-group commands first\n",
        "line 3: Failure to communicate[13] to bgpd, line:   neighbor ...\n",
    )
    assert said == [
        "the line 'neighbor 10.0.1.2 activate' in 'router bgp 1 / address-family ipv4 unicast': Specify remote-as or peer-group commands first"
    ]


def test_a_daemon_that_hangs_ends_the_task() -> None:
    class Module:
        """As much of AnsibleModule as running a command takes."""

        @staticmethod
        def run_command(argv: list[str], **_options: t.Any) -> tuple[int, str, str]:
            assert argv[:3] == ["timeout", "--kill-after=5", "300"] and argv[3] == "vtysh"
            return 124, "", ""

    with pytest.raises(FabricError, match="no answer of FRR in 300 s"):
        read(frr_runner(Module()), "frr_ospf")


def test_a_user_without_rights_is_told_so() -> None:
    said = "% Can't open configuration file /etc/frr/vtysh.conf due to 'Permission denied'.\nExiting: failed to connect to any daemons.\n"
    runner = Runner(lambda _argv, _stdin: (1, said, ""))
    for ask in (lambda: read(runner, "frr_ospf"), lambda: gather(runner, [])):
        with pytest.raises(FabricError, match="become: true"):
            ask()


def test_a_line_that_another_frr_would_take_says_what_it_needs() -> None:
    text = "interface eth1\n ip ospf authentication key-chain KC\nexit\n"
    (said,) = refusals(text, "% Unknown command:  ip ospf authentication key-chain KC\n", "line 2: Unknown command\n")
    assert said.startswith(
        "the line 'ip ospf authentication key-chain KC' in 'interface eth1'; it needs a newer FRR than 8.4: "
    )


def test_secrets_are_masked() -> None:
    for line in (
        "neighbor 10.0.1.2 password word",
        "no neighbor 10.0.1.2 password word",
        "ip ospf message-digest-key 1 md5 word",
        "ip ospf authentication-key word",
        "key-string word",
        "ip rip authentication string word",
        "ipv6 ospf6 authentication key-id 3 hash-algo hmac-sha-256 key word",
    ):
        assert "word" not in hide(f"interface a\n {line}\nexit\n").replace("password", "")


@given(st.text("abc |?\n\t\r\x00\x0b\x85\u2028!#;$`", max_size=8))
def test_no_text_gets_a_second_line_into_vtysh(text: str) -> None:
    options = {
        "asn": "1",
        "neighbors": [{"neighbor": "10.0.1.2", "remote_as": "2", "description": text, "password": text}],
    }
    try:
        things = declared("frr_bgp", options)
    except FabricError as error:
        assert "\n" not in str(error)
        return
    sent = render((address[:-1], line) for thing in things for address, line in thing.lines.items() if line)
    wanted = sum(line is not None for thing in things for line in thing.lines.values())
    assert len(sent.splitlines()) == wanted + 1
    assert all(thing.lines == parse_again(thing) for thing in things)


def parse_again(thing: Thing) -> dict[Address, t.Optional[str]]:
    """A thing's lines after FRR has read and shown them."""
    config = parse(render((address[:-1], line) for address, line in thing.lines.items() if line))
    config.setdefault(("router bgp 1",), "router bgp 1")
    return {address: config.get(address) for address in thing.lines}


# --- options ---------------------------------------------------------------------------------------------------------


def declared(module: str, options: dict[str, t.Any], text: str = "") -> list[Thing]:
    """The things that a module's options declare."""
    utils = {"frr_ospf": _frr_ospf, "frr_bgp": _frr_bgp, "frr_rip": _frr_rip}
    if module == "frr_static":
        validated = ArgumentSpecValidator(_frr_static.ROUTE).validate(options)
        assert not validated.error_messages
        return _frr_static.things([validated.validated_parameters], found(text))[0]
    util = utils[module]
    validated = ArgumentSpecValidator({**util.INSTANCE, **util.LISTS}).validate(options)
    assert not validated.error_messages
    params = validated.validated_parameters
    extra = (False,) if module == "frr_bgp" else ()
    return util.things(params, [params], found(text), "us", *extra)[0]


PEER = {"neighbor": "10.0.1.2", "remote_as": "2"}
BAD: list[tuple[str, dict[str, t.Any], str]] = [
    ("frr_ospf", {"areas": [{"area": "0", "type": "stub"}]}, "the backbone cannot be stub"),
    ("frr_ospf", {"areas": [{"area": "1"}, {"area": "0.0.0.1"}]}, "declared twice"),
    ("frr_ospf", {"areas": [{"area": "1.2"}]}, "is no area"),
    (
        "frr_ospf",
        {"interfaces": [{"name": "eth1", "hello_interval": 10, "dead_interval": 10}]},
        "has to be less than dead_interval",
    ),
    ("frr_ospf", {"interfaces": [{"name": "eth1\n exit", "cost": 1}]}, "is no interface name"),
    ("frr_ospf", {"interfaces": [{"name": "a-name-with-16by", "cost": 1}]}, "1 to 15 bytes"),
    ("frr_ospf", {"interfaces": [{"name": "eth1", "cost": 65536}]}, "out of range"),
    (
        "frr_ospf",
        {"interfaces": [{"name": "eth1", "area": "0"}], "networks": [{"prefix": "10.0.0.0/8", "area": "0"}]},
        "exclude each other",
    ),
    ("frr_ospf", {"router_id": "10.0.0.256"}, "is no IP address"),
    ("frr_ospf", {"version": 3, "passive_default": True}, "for OSPFv2 only"),
    ("frr_ospf", {"redistribute": [{"protocol": "connected\n no router ospf"}]}, "cannot redistribute"),
    ("frr_ospf", {"default_information": {"originate": True, "route_map": "a map"}}, "is no name for FRR"),
    ("frr_bgp", {"asn": "0"}, "is no AS number"),
    ("frr_bgp", {"asn": "4294967296"}, "is no AS number"),
    ("frr_bgp", {"asn": "65536.1"}, "is no AS number"),
    ("frr_bgp", {}, "asn is missing"),
    ("frr_bgp", {"asn": "1", "neighbors": [{"neighbor": "10.0.1.2"}]}, "needs remote_as or peer_group"),
    (
        "frr_bgp",
        {"asn": "1", "neighbors": [{"neighbor": "10.0.1.300", "remote_as": "2"}]},
        "neither an address nor an interface",
    ),
    ("frr_bgp", {"asn": "1", "neighbors": [{**PEER, "description": "x\n shutdown"}]}, "line break"),
    ("frr_bgp", {"asn": "1", "neighbors": [{**PEER, "description": "x | include y"}]}, "vtysh"),
    ("frr_bgp", {"asn": "1", "neighbors": [{**PEER, "password": "two words"}]}, "one word"),
    ("frr_bgp", {"asn": "1", "neighbors": [{**PEER, "timers": {"keepalive": 9, "hold": 9}}]}, "a third of hold"),
    ("frr_bgp", {"asn": "1", "route_maps": [{"name": "RM!", "entries": [{}]}]}, "is no name for FRR"),
    ("frr_bgp", {"asn": "1", "route_maps": [{"name": "RM", "entries": [{"match": ["tag 5\nexit"]}]}]}, "line break"),
    (
        "frr_bgp",
        {"asn": "1", "prefix_lists": [{"name": "P", "entries": [{"prefix": "10.0.0.0/8", "ge": 7}]}]},
        "out of range",
    ),
    (
        "frr_bgp",
        {"asn": "1", "prefix_lists": [{"name": "P", "entries": [{"prefix": "2001:db8::/32"}]}]},
        "is no IPv4 prefix",
    ),
    ("frr_static", {"prefix": "10.0.0.0", "via": "10.0.1.2"}, "is no prefix"),
    ("frr_static", {"prefix": "10.0.0.0/8"}, "next hop"),
    ("frr_static", {"prefix": "10.0.0.0/8", "via": "2001:db8::1"}, "is no IPv4 address"),
    ("frr_rip", {"networks": ["eth1 eth2"]}, "is no interface name"),
]


@pytest.mark.parametrize("module, options, said", BAD)
def test_bad_input_is_one_sentence(module: str, options: dict[str, t.Any], said: str) -> None:
    with pytest.raises(FabricError) as error:
        declared(module, options)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_an_omitted_option_is_not_touched_and_an_empty_one_is_cleared() -> None:
    path = ("interface eth1",)
    lines = declared("frr_ospf", {"interfaces": [{"name": "eth1", "cost": 0, "area": "5"}]})[-1].lines
    assert lines == {path + ("ip ospf cost",): None, path + ("ip ospf area",): "ip ospf area 0.0.0.5"}


# What says which thing it is, what another option needs, and lists whose rows are single lines.
KEPT = {
    *(
        "asn",
        "vrf",
        "remote_as",
        "peer_group",
        "area",
        "key_chain",
        "authentication_key",
        "authentication_key_id",
        "bfd_profile",
    ),
    "default_originate_route_map",
    *("networks", "ranges", "summaries", "redistribute", "aggregates", "listen_ranges"),
}


def emptied(values: dict[str, t.Any], spec: dict[str, t.Any]) -> dict[str, t.Any]:
    """The same things with each of their options empty, as far as it can be."""
    empty = {"str": "", "int": 0, "bool": False}
    made = {}
    for name, value in values.items():
        option = spec[name]
        if name in KEPT or option.get("required") or option.get("choices") or option["type"] == "dict":
            made[name] = value
        elif option.get("options"):
            made[name] = [emptied(row, option["options"]) for row in value]
        else:
            made[name] = empty.get(option["type"], value)
    return made


@pytest.mark.parametrize("module", ["frr_ospf", "frr_bgp", "frr_rip"])
def test_an_empty_option_is_about_the_setting_that_a_value_sets(module: str) -> None:
    """Else clearing it would find nothing to clear, and say that nothing is to do."""
    spec = {"frr_ospf": _frr_ospf, "frr_bgp": _frr_bgp, "frr_rip": _frr_rip}[module].INSTANCE
    for seed in range(200):
        for instance in frr_configs.MODULES[module](random.Random(seed))["instances"]:
            if module == "frr_bgp":
                # A member of a group says nothing of what its group says as well.
                instance["neighbors"] = [row for row in instance.get("neighbors", ()) if not row.get("peer_group")]
            full = {thing.name: thing for thing in declared(module, instance)}
            empty = {thing.name: thing for thing in declared(module, emptied(instance, spec))}
            for name, thing in full.items():
                missed = {address for address, line in thing.lines.items() if line} - set(empty[name].lines)
                assert not missed, (seed, name, missed)


def test_rpki_caches_are_spelled_as_this_release_does() -> None:
    caches = [
        "rpki cache 192.0.2.1 323 preference 1",
        "rpki cache tcp 192.0.2.1 324 source 192.0.2.9 preference 2",
        "rpki cache ssh 192.0.2.1 22 me /key preference 3",
    ]
    shown = {}
    for release in ("8.4.4", "10.3"):
        rpki = _frr_bgp._rpki(caches, found(f"frr version {release}\n"))
        shown[release] = [line for line in rpki.lines.values() if line and line != "rpki"]
    assert shown["8.4.4"] == [caches[0], caches[1].replace(" tcp ", " "), caches[2]]
    assert shown["10.3"] == [caches[0].replace("cache ", "cache tcp "), *caches[1:]]


def test_a_list_of_values_is_the_whole_list() -> None:
    text = "router ospf\n network 10.1.0.0/16 area 0\n network 10.2.0.0/16 area 0\n"
    options = {"networks": [{"prefix": "10.1.0.9/16", "area": "0"}]}
    lines = declared("frr_ospf", options, text)[0].lines
    assert lines["router ospf", "network 10.2.0.0/16"] is None
    assert lines["router ospf", "network 10.1.0.0/16"] == "network 10.1.0.0/16 area 0.0.0.0"
    assert not any("network" in address[-1] for address in declared("frr_ospf", {}, text)[0].lines)


def test_a_neighbor_that_leaves_its_group_keeps_the_rest() -> None:
    text = "router bgp 1\n neighbor G peer-group\n neighbor G remote-as 2\n neighbor 10.0.1.2 peer-group G\n neighbor 10.0.1.2 description kept\n"
    things = declared("frr_bgp", {"asn": "1", "neighbors": [{**PEER, "peer_group": ""}]}, text)
    change = plan(found(text, text), things)
    assert change.steps[0].text.splitlines()[:-1] == [
        "router bgp 1",
        " no neighbor 10.0.1.2",
        " neighbor 10.0.1.2 remote-as 2",
        " neighbor 10.0.1.2 description kept",
    ]


def test_negations_take_away_the_whole_setting() -> None:
    assert negation("no neighbor 10.0.1.2 activate") == "neighbor 10.0.1.2 activate"
    assert negation("area 0.0.0.1 stub no-summary") == "no area 0.0.0.1 stub"
    assert negation("ip ospf cost 5") == "no ip ospf cost 5"
    # FRR 8 does not know `no receive-interval`.
    assert negation("receive-interval 150") == "receive-interval 300"


def test_what_others_have_set_of_an_area_is_said_once_more_where_frr_forgets_it_with_the_type() -> None:
    config = parse("router ospf\n area 0.0.0.7 nssa no-summary\n area 0.0.0.7 nssa suppress-fa\n area 0.0.0.70 nssa")
    assert [
        line for _path, line in difference(config, {("router ospf", "area 0.0.0.7 type"): "area 0.0.0.7 nssa"}, ())
    ] == [
        "no area 0.0.0.7 nssa",
        "area 0.0.0.7 nssa",
        "area 0.0.0.7 nssa suppress-fa",
    ]


# --- facts -----------------------------------------------------------------------------------------------------------


def test_durations_are_seconds() -> None:
    assert [_clock(text) for text in ("00:01:05", "1d02h03m", "2w1d00h", "never", None)] == [
        65,
        93780,
        1296000,
        None,
        None,
    ]


def test_answers_in_words_are_empty() -> None:
    assert document("% BGP instance not found\n") == {} and document("") == {}
    assert document('{"a": 1}\n{"b": 2}\n') == {"a": 1, "b": 2}
    assert ospf_neighbors({}) == bgp_neighbors({}) == routes({}, []) == []


def test_an_adjacency_has_its_history() -> None:
    row = {
        "nbrState": "Full/-",
        "ifaceName": "eth1:10.0.1.1",
        "areaId": "0.0.0.0",
        "stateChangeCounter": 12,
        "lastPrgrsvChangeMsec": 2500,
    }
    (steady,) = ospf_neighbors({"default": {"neighbors": {"10.0.0.2": [row]}}})
    row.update(lastRegressiveChangeMsec=9100, lastRegressiveChangeReason="1-WayReceived")
    (fallen,) = ospf_neighbors({"default": {"neighbors": {"10.0.0.2": [row]}}})
    assert (steady["state_changes"], steady["uptime_seconds"], steady["dropped_seconds"], steady["dropped_reason"]) == (
        12,
        2,
        None,
        "",
    )
    assert (fallen["dropped_seconds"], fallen["dropped_reason"]) == (9, "1-WayReceived")


def test_routes_are_filtered_by_prefix() -> None:
    rows = {
        "10.1.0.0/16": [{"prefix": "10.1.0.0/16", "protocol": "ospf", "metric": 20}],
        "10.2.0.0/16": [{"protocol": "static"}],
    }
    assert [row["prefix"] for row in routes({"default": rows}, ["10.1.0.0/16"])] == ["10.1.0.0/16"]
    assert [row["metric"] for row in routes(rows, [])] == [20, 0]

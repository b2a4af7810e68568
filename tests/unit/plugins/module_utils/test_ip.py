# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import ipaddress
import json
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner
from ansible_collections.overloom.fabric.tests.unit.kernel import World

# What iproute2 6.1 printed for one veth pair, shortened to what matters.
ADDRESSES = [
    {
        "ifindex": 1,
        "ifname": "lo",
        "flags": ["LOOPBACK", "UP", "LOWER_UP"],
        "mtu": 65536,
        "address": "00:00:00:00:00:00",
        "ifalias": "overloom:x",
        "addr_info": [
            {"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host", "label": "lo"},
            {"family": "inet6", "local": "::1", "prefixlen": 128, "scope": "host"},
        ],
    },
    {},
    {
        "ifindex": 3,
        "link_index": 5,
        "ifname": "eth1",
        "flags": ["BROADCAST", "MULTICAST"],
        "mtu": 1400,
        "address": "02:00:00:00:00:05",
        "link_netnsid": 0,
        "linkinfo": {"info_kind": "veth"},
        "addr_info": [
            {"family": "inet", "local": "10.1.1.1", "prefixlen": 24, "scope": "global"},
            {"family": "inet", "local": "10.1.1.1", "prefixlen": 32, "scope": "global"},
            {"family": "inet", "local": "10.2.2.1", "address": "10.2.2.2", "prefixlen": 32, "scope": "global"},
            {"family": "inet", "local": "10.3.3.1", "prefixlen": 24, "scope": "global", "dynamic": True},
            {
                "family": "inet6",
                "local": "fd00::1",
                "prefixlen": 64,
                "scope": "global",
                "dadfailed": True,
                "tentative": True,
            },
            {"family": "inet6", "local": "fe80::ff:fe00:5", "prefixlen": 64, "scope": "link"},
            {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
            {"family": "inet6", "local": "fe80::2", "prefixlen": 64, "scope": "link", "protocol": "kernel_ll"},
            {"family": "inet6", "local": "fe80::3", "prefixlen": 64, "scope": "link", "stable-privacy": True},
        ],
    },
]
ROUTES = [
    {
        "type": "unicast",
        "dst": "default",
        "gateway": "10.1.1.254",
        "dev": "eth1",
        "table": "main",
        "protocol": "boot",
        "metric": 5,
        "flags": ["linkdown"],
    },
    {
        "type": "unicast",
        "dst": "10.1.1.0/24",
        "dev": "eth1",
        "table": "main",
        "protocol": "kernel",
        "scope": "link",
        "flags": [],
    },
    {
        "type": "unicast",
        "dst": "10.9.0.0/16",
        "gateway": "10.8.8.8",
        "dev": "eth1",
        "table": "main",
        "protocol": "static",
        "flags": ["onlink"],
    },
    {
        "type": "unicast",
        "dst": "10.7.0.0/16",
        "gateway": "10.1.1.2",
        "dev": "eth1",
        "table": "main",
        "protocol": "ospf",
        "flags": [],
    },
    {
        "type": "unicast",
        "dst": "10.6.0.1",
        "gateway": "10.1.1.2",
        "dev": "eth1",
        "table": "main",
        "protocol": "boot",
        "flags": [],
    },
    {
        "type": "unicast",
        "dst": "default",
        "gateway": "fe80::9",
        "dev": "eth1",
        "table": "main",
        "protocol": "ra",
        "metric": 1024,
        "flags": [],
    },
    {
        "type": "unicast",
        "dst": "default",
        "gateway": "fd00::ff",
        "dev": "eth1",
        "table": "main",
        "protocol": "boot",
        "metric": 1024,
        "flags": [],
    },
    {
        "type": "unicast",
        "dst": "10.5.0.0/16",
        "gateway": "10.1.1.2",
        "dev": "eth1",
        "table": "7",
        "protocol": "boot",
        "flags": [],
    },
    {"type": "local", "dst": "10.1.1.1", "dev": "eth1", "table": "local", "protocol": "kernel", "flags": []},
    {"type": "blackhole", "dst": "10.4.0.0/16", "table": "main", "protocol": "boot", "flags": []},
    {
        "type": "unicast",
        "dst": "10.3.0.0/16",
        "table": "main",
        "protocol": "boot",
        "nexthops": [{"gateway": "10.1.1.2", "dev": "eth1"}],
        "flags": [],
    },
]


def test_interfaces_are_read_in_one_call() -> None:
    calls = []
    runner = Runner(lambda argv, stdin: (calls.append((argv, stdin)), (0, json.dumps(ADDRESSES) + "\n", ""))[1])
    found = _ip.read_interfaces(runner, "red")
    assert calls == [(("ip", "-n", "red", "-json", "-details", "-batch", "-"), "address show\n")]
    assert set(found) == {"lo", "eth1"} and found["lo"].up and found["lo"].alias == "overloom:x"
    eth1 = found["eth1"]
    assert (eth1.kind, eth1.up, eth1.mtu, eth1.mac, eth1.link_index, eth1.link_netnsid) == (
        "veth",
        False,
        1400,
        "02:00:00:00:00:05",
        5,
        0,
    )


def test_what_the_kernel_made_is_no_address_of_a_person() -> None:
    eth1 = _ip.parse_interfaces(ADDRESSES)["eth1"]
    assert eth1.addresses == ("10.1.1.1/24", "10.1.1.1/32", "10.2.2.1 peer 10.2.2.2/32", "fd00::1/64", "fe80::1/64")
    assert eth1.link_local == ("fe80::ff:fe00:5/64", "fe80::2/64", "fe80::3/64")
    assert eth1.broken == ("fd00::1/64",)


def test_only_routes_that_people_make_are_seen() -> None:
    assert _ip.parse_routes(ROUTES) == {
        "eth1": (
            _ip.Route("default", "10.1.1.254", 5),
            _ip.Route("10.9.0.0/16", "10.8.8.8", 0, True),
            _ip.Route("10.6.0.1/32", "10.1.1.2", 0),
            _ip.Route("default", "fd00::ff", 1024),
            _ip.Route("10.5.0.0/16", "10.1.1.2", 0, table=7),
        )
    }


def test_a_range_has_both_its_ends() -> None:
    assert [_ip.check_range(value, 1, 3, "clock: interval") for value in (1, 3)] == [1, 3]
    for value, unit, said in ((0, "", "1 to 3, not 0"), (4, "seconds", "1 to 3 seconds, not 4")):
        with pytest.raises(FabricError, match=f"^clock: interval must be {said}$"):
            _ip.check_range(value, 1, 3, "clock: interval", unit)


def test_tables_have_names() -> None:
    text = "#\n255\tlocal\n100 inbound # comment\n0x7 odd\nword\n"
    assert _ip.parse_tables(text) == {"local": 255, "inbound": 100}
    assert [_ip.table_number(name) for name in ("main", "local", "default", "4294967295")] == [
        254,
        255,
        253,
        4294967295,
    ]


@given(
    st.lists(
        st.recursive(st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)).map(
            lambda value: [value]
        ),
        max_size=5,
    )
)
def test_documents_are_taken_apart(values: list) -> None:
    assert documents("\n".join(map(json.dumps, values)) + "\n") == values
    assert documents("".join(json.dumps(value, indent=1) for value in values)) == values


POOL = [f"10.{subnet}.0.{host}/24" for subnet in (0, 1) for host in (1, 2, 3)] + [
    f"fd00:{subnet}::{host}/64" for subnet in (1, 2) for host in (1, 2)
]
ADDRESS_LISTS = st.lists(st.sampled_from(POOL), unique=True, max_size=6)
WANTED = st.builds(
    _ip.Wanted,
    st.just("eth0"),
    mtu=st.none() | st.sampled_from([1280, 1500, 9000]),
    mac=st.none() | st.sampled_from(["02:00:00:00:00:01", "02:00:00:00:00:02"]),
    up=st.none() | st.booleans(),
    alias=st.none() | st.sampled_from(["", "overloom:x"]),
    addresses=st.none() | ADDRESS_LISTS.map(tuple),
    addrgen=st.none() | st.sampled_from(["none", "eui64"]),
)


@settings(deadline=None, max_examples=400)
@given(st.lists(WANTED, min_size=1, max_size=3))
def test_a_batch_makes_an_interface_what_is_wanted_and_leaves_the_rest(steps: list[_ip.Wanted]) -> None:
    world = World()
    link = world.add(None, "eth0")
    for wanted in steps:
        before = world.read({}).host["eth0"]
        for line in _ip.interface_batch(before, wanted):
            world._line(None, shlex.split(line))
        found = world.read({}).host["eth0"]
        assert not (wanted.addrgen == "none" and found.link_local)
        for field in ("mtu", "mac", "up", "alias", "addrgen"):
            value = getattr(wanted, field)
            assert getattr(found, field) == (getattr(before, field) if value is None else value)
        assert set(found.addresses) == set(before.addresses if wanted.addresses is None else wanted.addresses)
        assert _ip.interface_batch(found, wanted) == []
        assert link is world.spaces[None]["eth0"]


@settings(deadline=None)
@given(WANTED)
def test_a_new_interface_gets_everything(wanted: _ip.Wanted) -> None:
    world = World()
    world.add(None, "eth0")
    for line in _ip.interface_batch(None, wanted):
        world._line(None, shlex.split(line))
    assert _ip.interface_batch(world.read({}).host["eth0"], wanted) == []


def test_a_link_local_address_that_the_kernel_made_is_there_already() -> None:
    found = _ip.parse_interfaces(ADDRESSES)["eth1"]
    assert _ip.interface_batch(found, _ip.Wanted("eth1", addresses=(*found.addresses, *found.link_local))) == []


def test_an_address_with_a_peer_is_deleted_with_its_peer() -> None:
    found = _ip.parse_interfaces(ADDRESSES)["eth1"]
    lines = _ip.interface_batch(found, _ip.Wanted("eth1", addresses=("10.1.1.1/24",)))
    assert (
        "address delete 10.2.2.1 peer 10.2.2.2/32 dev eth1" in lines and "address delete fd00::1/64 dev eth1" in lines
    )


def test_one_route_is_swapped_and_several_of_one_key_are_replaced() -> None:
    old, new = _ip.Route("default", "10.0.0.1", 0), _ip.Route("default", "10.0.0.2", 0)
    assert _ip.route_batch("eth0", [old], [new]) == ([], ["route replace default via 10.0.0.2 dev eth0"])
    six = [_ip.Route("default", f"fd00::{n}", 1024) for n in (1, 2)]
    assert _ip.route_batch("eth0", six, six[:1]) == (["route delete default via fd00::2 dev eth0"], [])
    assert _ip.route_batch("eth0", [old], []) == (["route delete default via 10.0.0.1 dev eth0"], [])
    assert _ip.route_batch("eth0", [old], [old], again=True) == ([], ["route replace default via 10.0.0.1 dev eth0"])
    rest = _ip.route_batch("eth0", [], [_ip.Route("10.0.0.0/8", "10.0.0.1", 7, True)])
    assert rest == ([], ["route replace 10.0.0.0/8 via 10.0.0.1 dev eth0 metric 7 onlink"])


@pytest.mark.parametrize("name", ["eth0", "a", "x" * 15, "v-red@1", "br.10", "_", "a'b", 'a"b', "a;b", "$(id)", "a=b"])
def test_interface_names_that_the_kernel_takes(name: str) -> None:
    assert _ip.check_interface_name(name, "x") == name


@pytest.mark.parametrize(
    "name", ["", "x" * 16, "a b", "a\tb", "a\n", "a/b", "-a", "--", ".", "..", "a:b", "eth%d", "é", "\u2028", "a\0"]
)
def test_interface_names_that_nobody_takes(name: str) -> None:
    with pytest.raises(FabricError, match=r"(?s)^bridge: name: .* is no interface name"):
        _ip.check_interface_name(name, "bridge: name")


@given(st.text(max_size=12))
def test_a_word_of_a_batch_means_itself_or_is_refused(value: str) -> None:
    try:
        line = _ip.word(value)
    except FabricError:
        assert set(value) & set("#\\\"'") or not value.isprintable()
        return
    assert _tokens(f"link set dev {line} up") == ["link", "set", "dev", value, "up"]


def _tokens(line: str) -> list[str]:
    """How ip(8) takes a line apart (lib/utils.c: getcmdline, makeargs)."""
    line = line.split("#")[0]
    words, at = [], 0
    while at < len(line):
        if line[at] in " \t\r\n":
            at += 1
        elif line[at] in "'\"":
            end = line.index(line[at], at + 1)
            words.append(line[at + 1 : end])
            at = end + 1
        else:
            end = at
            while end < len(line) and line[end] not in " \t\r\n":
                end += 1
            words.append(line[at:end])
            at = end
    return words


@given(st.ip_addresses(), st.integers(0, 128))
def test_an_address_is_canonical_or_refused(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int
) -> None:
    text = f"{address.exploded.upper()}/{length}"
    try:
        found = _ip.check_address(text, "x")
    except FabricError as error:
        assert "\n" not in str(error)
        return
    assert found == str(ipaddress.ip_interface(text)) and _ip.check_address(found, "x") == found


def _is_address(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_interface(text))
    return False


@given(st.text(max_size=20).filter(lambda text: not _is_address(text)))
def test_anything_else_is_no_address_mac_or_route(text: str) -> None:
    for check in (
        lambda: _ip.check_address(text, "x"),
        lambda: _ip.check_mac(text, "x"),
        lambda: _ip.check_route(text, text, None, False, "x"),
    ):
        with pytest.raises(FabricError, match="^x: "):
            check()


def test_a_mac_address_is_canonical() -> None:
    assert _ip.check_mac("02-00-AA-00-00-01", "x") == "02:00:aa:00:00:01"


def test_a_route_is_canonical() -> None:
    assert _ip.check_route("0.0.0.0/0", "10.0.0.1", None, False, "x") == _ip.Route("default", "10.0.0.1", 0)
    assert _ip.check_route("FD00::/64", "fe80:0::1", None, False, "x") == _ip.Route("fd00::/64", "fe80::1", 1024)
    assert _ip.check_route("10.0.0.1", "10.0.0.2", 5, True, "x") == _ip.Route("10.0.0.1/32", "10.0.0.2", 5, True)

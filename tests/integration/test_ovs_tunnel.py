# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ovs_tunnel against a real Open vSwitch."""

from __future__ import annotations

import typing as t

import pytest
from harness import wait
from ovs import bridges, column, ports, veth
from test_ovs_bridge import PORT_CASES, run_cases

from ansible_collections.overloom.fabric.plugins.module_utils._ovs import port as _ovs_port

if t.TYPE_CHECKING:
    from harness import Host

BR = {"name": "br2", "datapath_type": "netdev"}
GRE = {"bridge": "br2", "name": "gre0", "type": "gre", "remote_ip": "192.0.2.21"}

# types, option, (value, another value, the clearing value), what options holds after each of the three
V4 = ("gre", "vxlan", "stt", "lisp", "gtpu", "bareudp", "erspan")
V6 = ("ip6gre", "ip6erspan", "geneve")
CASES = [
    (V4, "remote_ip", ("192.0.2.22", "192.0.2.23", None), ("192.0.2.22", "192.0.2.23", None)),
    (V4, "local_ip", ("192.0.2.1", "192.0.2.2", ""), ("192.0.2.1", "192.0.2.2", None)),
    (V6, "remote_ip", ("2001:db8::22", "2001:db8::23", None), ("2001:db8::22", "2001:db8::23", None)),
    (V6, "local_ip", ("2001:db8::1", "2001:db8::2", ""), ("2001:db8::1", "2001:db8::2", None)),
    (
        ("gre", "ip6gre", "geneve", "lisp", "gtpu", "erspan", "ip6erspan"),
        "key",
        (100, "flow", ""),
        ("100", "flow", None),
    ),
    (("gre", "ip6gre", "geneve", "bareudp", "vxlan"), "csum", (True, False, None), ("true", "false", None)),
    (V4 + V6, "ttl", (64, "inherit", ""), ("64", "inherit", None)),
    (V4 + V6, "tos", ("0x20", "inherit", ""), ("32", "inherit", None)),
    (V4 + V6, "df_default", (False, True, None), ("false", "true", None)),
    (V4 + V6, "egress_pkt_mark", (1, 2, ""), ("1", "2", None)),
    (("stt", "lisp", "gtpu", "geneve"), "dst_port", (8472, 9000, ""), ("8472", "9000", None)),
    (("gre", "geneve", "vxlan", "stt"), "psk", ("secret-one", "secret-two", ""), ("secret-one", "secret-two", None)),
    (("gre", "geneve", "vxlan", "stt"), "remote_cert", ("a.pem", "b.pem", ""), ("a.pem", "b.pem", None)),
    (("gre", "geneve", "vxlan", "stt"), "remote_name", ("a", "b", ""), ("a", "b", None)),
    ("lisp", "packet_type", ("legacy_l3", "ptap", ""), ("legacy_l3", "ptap", None)),
    ("vxlan", "packet_type", ("legacy_l2", "ptap", ""), ("legacy_l2", "ptap", None)),
    ("gre", "packet_type", ("legacy_l3", "ptap", ""), ("legacy_l3", "ptap", None)),
    ("gre", "seq", (True, False, None), ("true", "false", None)),
    (("vxlan", "stt"), "in_key", (1, "flow", ""), ("1", "flow", None)),
    (("vxlan", "stt"), "out_key", (2, "flow", ""), ("2", "flow", None)),
    ("vxlan", "dst_port", (8472, 4789, ""), ("8472", "4789", None)),
    ("vxlan", "exts", ("gbp", "gbp,gpe", ""), ("gbp", "gbp,gpe", None)),
    ("vxlan", "options", ({"a": 1}, {"b": "2"}, {}), None),
    (("erspan", "ip6erspan"), "erspan_ver", (1, 2, ""), ("1", "2", None)),
    (("erspan", "ip6erspan"), "erspan_idx", (7, 8, ""), ("7", "8", None)),
    (("erspan", "ip6erspan"), "erspan_dir", (1, 0, ""), ("1", "0", None)),
    (("erspan", "ip6erspan"), "erspan_hwid", (1, 2, ""), ("1", "2", None)),
    ("bareudp", "payload_type", ("ip", "0x8847", None), ("ip", "0x8847", None)),
    ("bareudp", "dst_port", (6635, 6636, None), ("6635", "6636", None)),
]
FIRST = {
    "bareudp": {"dst_port": 6635, "payload_type": "0x8847"},
    "erspan": {"key": 9, "erspan_ver": 1, "erspan_idx": 5},
    "ip6erspan": {"key": 9, "erspan_ver": 1, "erspan_idx": 5},
}


@pytest.fixture
def br2(host: Host) -> Host:
    """A host with the bridge br2, and an underlay in which the tunnels' other ends are."""
    host.module("ovs_bridge", BR)
    host.run("ip address add 192.0.2.1/24 dev eth1".split())
    host.run("ip address add 2001:db8::1/64 dev eth1 nodad".split())
    host.run("ip link set eth1 up".split())
    return host


@pytest.mark.parametrize("kind", V4 + V6)
def test_every_option_is_set_changed_and_cleared(br2: Host, kind: str) -> None:
    name = kind + "0"
    remote = "2001:db8::21" if kind in V6 else "192.0.2.21"
    br2.apply("ovs_tunnel", {"bridge": "br2", "name": name, "type": kind, "remote_ip": remote, **FIRST.get(kind, {})})
    cases = [case[1:] for case in CASES if case[0] == kind or kind in case[0] and not isinstance(case[0], str)]
    for step in range(3):
        chosen = [case for case in cases if case[1][step] is not None]
        declared = {option: values[step] for option, values, _held in chosen}
        if kind == "erspan" and step == 2:
            # It cannot be without a version.
            declared.pop("erspan_ver")
        done = br2.apply("ovs_tunnel", {"bridge": "br2", "name": name, **declared})
        assert done["changed"] and len(done["commands"]) == 1
        held = column(br2, "Interface", name, "options")
        for option, values, expected in chosen:
            if expected is None:
                assert {key: held.get(key) for key in ("a", "b")} == {
                    "a": None,
                    "b": None,
                    **{k: str(v) for k, v in values[step].items()},
                }
            elif option in declared:
                assert held.get(option) == expected[step], (option, step)
        assert not br2.module("ovs_tunnel", {"bridge": "br2", "name": name})["changed"], "what is left out stays"


def test_every_option_that_all_ports_have_is_set_changed_and_cleared(br2: Host) -> None:
    shared = {option.name for option in _ovs_port.PORT_OPTIONS}
    cases = [(*case[:5], "gre0", *case[5:]) for case in PORT_CASES if case[0] in shared]
    br2.module("ovs_tunnel", GRE)

    def run(wanted: t.Callable[[str], bool]) -> None:
        run_cases(
            br2,
            [case for case in cases if wanted(case[0])],
            lambda options: {"bridge": "br2", "name": "gre0", **options},
            (),
            "ovs_tunnel",
        )

    # A trunk has no tag, and a map as a whole is told apart from the options that live in it.
    run(lambda name: name not in ("trunks", "other_config", "interface_other_config"))
    run(lambda name: name == "trunks")
    br2.module("ovs_tunnel", {"tunnels": [], "purge": True})
    br2.module("ovs_tunnel", GRE)
    run(lambda name: name in ("other_config", "interface_other_config"))


def test_both_ends_of_a_tunnel_are_left_to_openflow_and_fixed_again(br2: Host) -> None:
    args = {**GRE, "type": "geneve"}
    br2.apply("ovs_tunnel", {**args, "remote_ip": "flow", "local_ip": "flow", "key": "flow"})
    assert column(br2, "Interface", "gre0", "options") == {"remote_ip": "flow", "local_ip": "flow", "key": "flow"}
    br2.apply("ovs_tunnel", {**args, "local_ip": "", "key": ""})
    assert column(br2, "Interface", "gre0", "options") == {"remote_ip": "192.0.2.21"}


@pytest.mark.parametrize("kind", ["gre", "vxlan", "geneve", "ip6gre"])
@pytest.mark.parametrize("remote", ["192.0.2.21", "2001:db8::21"])
def test_a_tunnel_comes_and_goes_over_both_families(br2: Host, kind: str, remote: str) -> None:
    args = {"bridge": "br2", "name": "t0", "type": kind, "remote_ip": remote, "key": 5}
    if kind == "ip6gre" and "." in remote:
        assert "use type gre" in br2.module("ovs_tunnel", args, ok=False)["msg"]
        return
    done = br2.apply("ovs_tunnel", args)
    tunnel = done["tunnels"][0]
    assert (tunnel["bridge"], tunnel["type"], tunnel["options"]) == ("br2", kind, {"remote_ip": remote, "key": "5"})
    assert tunnel["ofport"] > 0 and tunnel["error"] is None and tunnel["owner"] == "overloom.fabric"
    br2.apply("ovs_tunnel", {"name": "t0", "state": "absent"})
    assert ports(br2, "br2") == []


def test_vlans_and_bfd_of_a_tunnel(br2: Host) -> None:
    bfd = {"enable": True, "min_rx": 100, "min_tx": 100}
    br2.apply("ovs_tunnel", {**GRE, "trunks": [10, "20-22"], "protected": True, "bfd": bfd, "external_ids": {"a": "b"}})
    assert column(br2, "Port", "gre0", "trunks") == [10, 20, 21, 22]
    assert column(br2, "Port", "gre0", "protected") is True
    assert column(br2, "Interface", "gre0", "bfd") == {"enable": "true", "min_rx": "100", "min_tx": "100"}
    told = wait(lambda: br2.module("ovs_tunnel", GRE)["tunnels"][0]["bfd_status"].get("state"), "what BFD says")
    assert told == "down"
    br2.apply("ovs_tunnel", {**GRE, "trunks": [], "tag": 5, "bfd": {"enable": True}, "external_ids": {"c": "d"}})
    assert set(column(br2, "Port", "gre0", "external_ids")) == {"c", "overloom-owner", "overloom-module"}
    assert column(br2, "Interface", "gre0", "bfd") == {"enable": "true"}
    br2.apply("ovs_tunnel", {**GRE, "tag": "", "bfd": {}, "external_ids": {}})
    assert column(br2, "Interface", "gre0", "bfd") == {} and column(br2, "Port", "gre0", "tag") == []


@pytest.mark.parametrize(
    ("by_hand", "table", "name"),
    [
        ("options:remote_ip=192.0.2.99", "Interface", "options"),
        ("options:key=6", "Interface", "options"),
        ("options:csum=false", "Interface", "options"),
        ("type=geneve", "Interface", "type"),
        ("bfd:min_rx=7", "Interface", "bfd"),
        ("trunks=7", "Port", "trunks"),
        ("protected=false", "Port", "protected"),
        ("external_ids:a=x", "Port", "external_ids"),
    ],
)
def test_user_changes_a_tunnel_by_hand_and_the_next_run_repairs_it(
    br2: Host, by_hand: str, table: str, name: str
) -> None:
    args = {
        **GRE,
        "key": 5,
        "csum": True,
        "trunks": [10],
        "protected": True,
        "bfd": {"enable": True},
        "external_ids": {"a": "b"},
    }
    br2.module("ovs_tunnel", args)
    before = column(br2, table, "gre0", name)
    br2.run(["ovs-vsctl", "set", table, "gre0", by_hand])
    assert column(br2, table, "gre0", name) != before
    assert br2.apply("ovs_tunnel", args)["changed"]
    assert column(br2, table, "gre0", name) == before


def test_user_gives_a_gre_port_made_by_hand_another_remote_ip(br2: Host) -> None:
    br2.run("ovs-vsctl add-port br2 gre0 -- set Interface gre0 type=gre options:remote_ip=192.0.2.50".split())
    assert "its remote_ip would be changed" in br2.module("ovs_tunnel", GRE, ok=False)["msg"]
    for check in (True, False):
        refused = br2.module("ovs_tunnel", {"name": "gre0", "state": "absent"}, check=check, ok=False)
        assert refused["msg"].startswith(
            "tunnel gre0 was not made by this collection and stays; leave it out of the task"
        )
    assert column(br2, "Interface", "gre0", "options") == {"remote_ip": "192.0.2.50"}
    done = br2.apply("ovs_tunnel", {**GRE, "adopt": True})
    assert done["changed"] and column(br2, "Interface", "gre0", "options") == {"remote_ip": "192.0.2.21"}
    assert done["tunnels"][0]["owner"] == "overloom.fabric"
    assert "given back" in br2.module("ovs_tunnel", {"name": "gre0", "state": "absent"})["warnings"][0]
    assert column(br2, "Interface", "gre0", "options") == {"remote_ip": "192.0.2.50"}


def test_a_changed_type_makes_the_tunnel_anew_in_one_transaction(br2: Host) -> None:
    br2.module("ovs_tunnel", {**GRE, "type": "vxlan", "dst_port": 8472, "exts": "gbp", "key": 5, "tag": 7})
    done = br2.apply("ovs_tunnel", GRE)
    assert len(done["commands"]) == 1
    assert column(br2, "Interface", "gre0", "options") == {"remote_ip": "192.0.2.21", "key": "5"}
    assert column(br2, "Port", "gre0", "tag") == 7 and column(br2, "Interface", "gre0", "ofport") > 0
    assert "(gre: key=5, remote_ip=192.0.2.21)" in br2.run(["ovs-appctl", "dpif/show"])


def test_a_tunnel_on_another_bridge_moves(br2: Host) -> None:
    br2.module("ovs_bridge", {**BR, "name": "br3"})
    br2.module("ovs_tunnel", {**GRE, "tag": 5})
    br2.apply("ovs_tunnel", {**GRE, "bridge": "br3", "key": 3})
    assert ports(br2, "br2") == [] and ports(br2, "br3") == ["gre0"]
    assert column(br2, "Port", "gre0", "tag") == 5 and column(br2, "Interface", "gre0", "ofport") > 0
    assert not br2.apply("ovs_tunnel", {"bridge": "br2", "name": "gre0", "state": "absent"})["changed"]


def test_a_port_of_another_kind_is_refused(br2: Host) -> None:
    veth(br2, "v0")
    br2.module("ovs_bridge", {**BR, "ports": [{"name": "v0"}]})
    failed = br2.module("ovs_tunnel", {**GRE, "name": "v0"}, ok=False)
    assert "tunnel v0" in failed["msg"] and "another type (system)" in failed["msg"]
    assert "tunnel br2" in br2.module("ovs_tunnel", {**GRE, "name": "br2"}, ok=False)["msg"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"remote_ip": "kvm2"}, "tunnel gre0: remote_ip is 'kvm2'"),
        ({"remote_ip": "192.0.2.300"}, "remote_ip is '192.0.2.300'"),
        ({"remote_ip": "224.0.0.1"}, "unicast"),
        ({"remote_ip": "fe80::1%eth1"}, "remote_ip"),
        ({"remote_ip": "192.0.2.1"}, "tunnel gre0: remote_ip 192.0.2.1 is an address of this host, a tunnel to itself"),
        ({"remote_ip": "2001:db8::1"}, "is an address of this host"),
        ({"remote_ip": "127.0.0.1"}, "is an address of this host"),
        ({"local_ip": "192.0.2.21"}, "a tunnel to itself"),
        ({"local_ip": "2001:db8::1"}, "same address family"),
        ({"local_ip": "flow"}, "only with remote_ip flow"),
        ({"key": 2**32}, "tunnel gre0: key 4294967296 does not fit into the 32 bits of gre"),
        ({"type": "vxlan", "key": 2**24}, "24 bits of vxlan"),
        ({"type": "geneve", "key": 2**24}, "24 bits of geneve"),
        ({"type": "gtpu", "key": 2**32}, "32 bits of gtpu"),
        ({"type": "stt", "key": 2**64}, "key is"),
        ({"type": "bareudp", "key": 1}, "does not apply to type bareudp"),
        ({"key": -1}, "key is -1"),
        ({"key": "all"}, "key is 'all'"),
        ({"key": 1, "in_key": 2}, "key sets in_key and out_key"),
        ({"dst_port": 4789}, "dst_port does not apply to type gre"),
        ({"type": "vxlan", "dst_port": 70000}, "dst_port is 70000"),
        ({"ttl": 256}, "ttl is 256"),
        ({"tos": 1}, "steps of 4"),
        ({"type": "ipip"}, "ipip"),
        ({"tag": 4095}, "tunnel gre0: tag is 4095"),
        ({"trunks": ["ten"]}, "trunks holds 'ten'"),
        ({"bfd": {"mult": 300}}, "bfd.mult is 300"),
        ({"bfd": {"min": 300}}, "bfd"),
        ({"remote_ip": "198.51.100.7"}, "tunnel gre0: this host has no route to remote_ip 198.51.100.7"),
        ({"remote_ip": "2001:db8:1::7"}, "has no route to remote_ip 2001:db8:1::7"),
        ({"bridge": "br9"}, "tunnel gre0: there is no bridge br9 on this host"),
        ({"bridge": "a-name-over-15-b"}, "tunnel gre0: bridge 'a-name-over-15-b'"),
        ({"options": {"key": "1"}}, "use key"),
        ({"type": None}, "type is missing"),
        ({"remote_ip": None}, "remote_ip is missing"),
        ({"remote_ip": ""}, "remote_ip"),
        ({"bridge": None}, "bridge is missing"),
        ({"type": "srv6"}, "does not support the type srv6"),
    ],
)
def test_a_wrong_input_is_one_sentence_and_changes_nothing(br2: Host, args: dict[str, t.Any], said: str) -> None:
    failed = br2.module(
        "ovs_tunnel", {key: value for key, value in {**GRE, **args}.items() if value is not None}, ok=False
    )
    assert said in failed["msg"], failed["msg"]
    assert "\n" not in failed["msg"]
    assert ports(br2, "br2") == []


def test_srv6_is_passed_through_or_refused_by_name(br2: Host) -> None:
    tunnel = {
        **GRE,
        "type": "srv6",
        "remote_ip": "2001:db8::21",
        "srv6_segs": "2001:db8::1,2001:db8::2",
        "srv6_flowlabel": "copy",
    }
    done = br2.module("ovs_tunnel", tunnel, ok=None)
    if done.get("failed"):
        known = column(br2, "Open_vSwitch", ".", "iface_types")
        assert (
            "srv6" not in known and "does not support the type srv6; it has" in done["msg"] and ports(br2, "br2") == []
        )
    else:
        assert column(br2, "Interface", "gre0", "options")["srv6_segs"] == "2001:db8::1,2001:db8::2"
        br2.apply("ovs_tunnel", {**tunnel, "srv6_segs": "2001:db8::3", "srv6_flowlabel": "zero"})
        br2.apply("ovs_tunnel", {**tunnel, "srv6_segs": "", "srv6_flowlabel": ""})
        assert set(column(br2, "Interface", "gre0", "options")) == {"remote_ip"}


def test_missing_bridge_and_route_are_warnings_in_check_mode(br2: Host) -> None:
    foretold = br2.module("ovs_tunnel", {**GRE, "bridge": "br9", "remote_ip": "198.51.100.7"}, check=True)
    assert foretold["changed"] and len(foretold["warnings"]) == 2
    assert "add-port br9 gre0" in foretold["commands"][0]


def test_a_route_that_comes_up_later(br2: Host) -> None:
    br2.apply("ovs_tunnel", {**GRE, "remote_ip": "198.51.100.7", "check_route": False})
    br2.run("ip route add 198.51.100.0/24 via 192.0.2.9".split())
    assert not br2.apply("ovs_tunnel", {**GRE, "remote_ip": "198.51.100.7"})["changed"]
    br2.run("ip route add unreachable 198.51.100.7".split())
    assert "no route" in br2.module("ovs_tunnel", {**GRE, "remote_ip": "198.51.100.7"}, ok=False)["msg"]


def test_two_tunnels_that_cannot_be_told_apart_are_refused_by_name(br2: Host) -> None:
    two = {"tunnels": [GRE, {**GRE, "name": "gre1"}]}
    failed = br2.module("ovs_tunnel", two, ok=False)
    assert "tunnel gre1 and tunnel gre0" in failed["msg"] and ports(br2, "br2") == []
    br2.apply("ovs_tunnel", {"tunnels": [GRE, {**GRE, "name": "gre1", "key": 1}]})
    br2.module("ovs_bridge", {**BR, "name": "br3"})
    br2.run("ovs-vsctl add-port br3 byhand -- set Interface byhand type=gre options:remote_ip=192.0.2.77".split())
    failed = br2.module("ovs_tunnel", {**GRE, "name": "gre2", "remote_ip": "192.0.2.77"}, ok=False)
    assert "tunnel gre2 and tunnel byhand" in failed["msg"]
    br2.apply("ovs_tunnel", {**GRE, "name": "vx", "type": "vxlan", "remote_ip": "192.0.2.77"})
    failed = br2.module(
        "ovs_tunnel",
        {**GRE, "name": "vy", "type": "vxlan", "remote_ip": "192.0.2.77", "dst_port": 4789, "key": 0},
        ok=False,
    )
    assert "tunnel vy and tunnel vx" in failed["msg"], "defaults count as what they stand for"


def test_the_place_of_a_purged_tunnel_is_free_for_another(br2: Host) -> None:
    br2.module("ovs_tunnel", GRE)
    done = br2.apply("ovs_tunnel", {"tunnels": [{**GRE, "name": "gre1"}], "purge": True})
    assert ports(br2, "br2") == ["gre1"] and column(br2, "Interface", "gre1", "ofport") > 0
    assert done["commands"][1].endswith("clear Interface gre1 error")


def test_the_place_of_a_tunnel_that_turns_elsewhere_is_free_for_another(br2: Host) -> None:
    br2.module("ovs_tunnel", GRE)
    done = br2.apply("ovs_tunnel", {"tunnels": [{**GRE, "remote_ip": "192.0.2.22"}, {**GRE, "name": "gre1"}]})
    assert all(tunnel["ofport"] > 0 for tunnel in done["tunnels"])


def test_a_tunnel_moves_without_any_other_change(br2: Host) -> None:
    br2.module("ovs_bridge", {**BR, "name": "br3"})
    br2.module("ovs_tunnel", GRE)
    assert br2.apply("ovs_tunnel", {**GRE, "bridge": "br3"})["tunnels"][0]["ofport"] > 0
    br2.apply("ovs_bridge", {**BR, "ports": [{"name": "gre0"}]})
    assert column(br2, "Interface", "gre0", "ofport") > 0


def test_two_tunnels_exchange_their_ends(br2: Host) -> None:
    other = {**GRE, "name": "gre1", "remote_ip": "192.0.2.22"}
    br2.module("ovs_tunnel", {"tunnels": [GRE, other]})
    br2.apply("ovs_tunnel", {"tunnels": [{**GRE, "remote_ip": "192.0.2.22"}, {**other, "remote_ip": "192.0.2.21"}]})
    assert "gre0 (gre: ::->192.0.2.22" in br2.run(["ovs-appctl", "ofproto/list-tunnels"])


def test_what_the_switch_refuses_late_is_an_error_and_is_taken_back(br2: Host) -> None:
    # Open vSwitch reports only afterwards that this option makes no sense.
    failed = br2.module("ovs_tunnel", {**GRE, "type": "bareudp", "payload_type": "nonsense"}, ok=False)
    assert "tunnel gre0 of bridge br2 was refused by ovs-vswitchd" in failed["msg"]
    assert ports(br2, "br2") == []
    assert "del-port br2 gre0" in failed["commands"][-1]


def test_a_tunnel_that_broke_later_is_an_error(br2: Host) -> None:
    args = {**GRE, "type": "bareudp", "dst_port": 6635}
    br2.module("ovs_tunnel", {**args, "payload_type": "ip"})
    br2.run("ovs-vsctl set Interface gre0 options:payload_type=nonsense".split())
    failed = br2.module("ovs_tunnel", args, ok=False)
    assert "tunnel gre0 of bridge br2 was refused by ovs-vswitchd" in failed["msg"] and failed["commands"] == []
    assert ports(br2, "br2") == ["gre0"], "what was there before is not removed"


def test_purge_removes_own_tunnels_and_nothing_else(br2: Host) -> None:
    veth(br2, "v0")
    br2.module("ovs_bridge", {**BR, "ports": [{"name": "v0"}]})
    br2.run("ovs-vsctl add-port br2 byhand -- set Interface byhand type=gre options:remote_ip=192.0.2.77".split())
    br2.module("ovs_tunnel", {"tunnels": [GRE, {**GRE, "name": "gre1", "key": 1}]})
    br2.module("ovs_tunnel", {**GRE, "name": "gre2", "key": 2, "owner": "else"})
    br2.apply("ovs_tunnel", {"tunnels": [GRE], "purge": True})
    assert ports(br2, "br2") == ["byhand", "gre0", "gre2", "v0"]
    br2.apply("ovs_tunnel", {"tunnels": [], "purge": True})
    assert ports(br2, "br2") == ["byhand", "gre2", "v0"]
    assert "owner" in br2.module("ovs_tunnel", {**GRE, "name": "gre2", "key": 2}, ok=False)["msg"]


def test_a_secret_is_never_shown(br2: Host) -> None:
    for psk in ("hush-hush", "another-hush"):
        done = br2.apply("ovs_tunnel", {**GRE, "psk": psk})
        assert "tunnel gre0: this host has no ovs-monitor-ipsec, so packets go without encryption" in str(
            done["warnings"]
        )
        assert "hush" not in str({key: value for key, value in done.items() if key != "invocation"})
        assert column(br2, "Interface", "gre0", "options")["psk"] == psk
    assert "hush" not in str(br2.module("ovs_bridge_info"))
    assert "hush" not in str(br2.module("ovs_tunnel_info"))


def test_awkward_values_are_kept_as_they_are(br2: Host) -> None:
    wanted = {
        text: text
        for text in ["a b", '"', "'", "=", "--", ",", "{}", "a\nb", "; reboot", "$(reboot)", "\\", "ü€😀", "", "-1"]
    }
    br2.apply("ovs_tunnel", {**GRE, "external_ids": wanted, "remote_name": 'a b="c" -- d, $(reboot)'})
    held = column(br2, "Port", "gre0", "external_ids")
    assert {key: held.get(key) for key in wanted} == wanted
    assert column(br2, "Interface", "gre0", "options")["remote_name"] == 'a b="c" -- d, $(reboot)'


def test_hundreds_of_tunnels_are_one_transaction(br2: Host) -> None:
    many = [
        {**GRE, "name": f"gre{i}", "remote_ip": f"192.0.2.{i % 200 + 20}", "key": i, "trunks": [10, 20]}
        for i in range(500)
    ]
    done = br2.apply("ovs_tunnel", {"tunnels": many})
    assert done["spawned"] == 3 and len(done["commands"]) == 1
    assert len(ports(br2, "br2")) == 500 and all(tunnel["ofport"] > 0 for tunnel in done["tunnels"])
    again = br2.module("ovs_tunnel", {"tunnels": many})
    assert again["spawned"] == 1 and not again["changed"]
    many[250]["key"] = 1000
    done = br2.apply("ovs_tunnel", {"tunnels": many})
    assert done["spawned"] == 3 and "gre250" in done["commands"][0] and "gre251" not in done["commands"][0]
    br2.apply("ovs_tunnel", {"tunnels": [], "purge": True})
    assert ports(br2, "br2") == []


def test_tunnels_are_there_after_a_reboot(br2: Host) -> None:
    br2.module("ovs_tunnel", {**GRE, "key": 5})
    br2.reboot()
    br2.run(["systemctl", "is-system-running", "--wait"], ok=None)
    assert not br2.module("ovs_tunnel", {**GRE, "key": 5, "check_route": False})["changed"]


@pytest.mark.parametrize("net", ["192.0.2.{}", "2001:db8::{}"], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("kind", ["gre", "vxlan", "geneve"])
def test_frames_go_through_a_tunnel_and_bfd_comes_up(pair: tuple[Host, Host], kind: str, net: str) -> None:
    for number, host in enumerate(pair, 1):
        prefix = "/24" if "." in net else "/64"
        tep = {"name": "tep0", "type": "internal", "addresses": [net.format(number) + prefix]}
        inner = {"name": "in0", "type": "internal", "mtu": 1400, "addresses": [f"10.10.10.{number}/24"]}
        underlay = {**BR, "name": "br-ul", "ports": [{"name": "eth1", "up": True}, tep]}
        host.module("ovs_bridge", {"bridges": [underlay, {**BR, "ports": [inner]}]})
        bfd = {"enable": True, "min_rx": 100, "min_tx": 100}
        host.module("ovs_tunnel", {**GRE, "type": kind, "remote_ip": net.format(3 - number), "key": 7, "bfd": bfd})
    first = pair[0]
    wait(
        lambda: shown(first)["bfd_status"].get("state") == "up",
        "BFD",
        look=lambda: first.run(["ovs-vsctl", "list", "Interface", "gre0"]),
    )
    assert first.answered("10.10.10.2")


def test_cfm_sees_the_other_end(pair: tuple[Host, Host]) -> None:
    for number, host in enumerate(pair, 1):
        tep = {"name": "tep0", "type": "internal", "addresses": [f"192.0.2.{number}/24"]}
        host.module(
            "ovs_bridge", {"bridges": [{**BR, "name": "br-ul", "ports": [{"name": "eth1", "up": True}, tep]}, BR]}
        )
        cfm = {"cfm_mpid": number, "cfm_interval": 100, "cfm_extended": True}
        host.module("ovs_tunnel", {**GRE, "remote_ip": f"192.0.2.{3 - number}", **cfm})
    wait(
        lambda: shown(pair[0])["cfm_fault"] is False,
        "the other end",
        look=lambda: pair[0].run(["ovs-appctl", "cfm/show"]),
    )


def shown(host: Host) -> dict[str, t.Any]:
    """What the sister says of gre0."""
    return t.cast("dict[str, t.Any]", host.module("ovs_tunnel_info", {"name": "gre0"})["tunnels"][0])


def test_the_state_is_typed_and_filtered(br2: Host) -> None:
    br2.module(
        "ovs_tunnel", {"tunnels": [{**GRE, "key": 5, "trunks": ["10-12"]}, {**GRE, "name": "vx0", "type": "vxlan"}]}
    )
    all_of_them = br2.module("ovs_tunnel_info")
    assert [tunnel["name"] for tunnel in all_of_them["tunnels"]] == ["gre0", "vx0"] and all_of_them["spawned"] == 1
    (one,) = br2.module("ovs_tunnel_info", {"name": "gre0"})["tunnels"]
    assert (one["bridge"], one["trunks"], one["options"]["key"], one["protected"]) == ("br2", ["10-12"], "5", False)
    assert br2.module("ovs_tunnel_info", {"bridge": "br9"})["tunnels"] == []
    assert [tunnel["name"] for tunnel in br2.module("ovs_tunnel_info", {"type": "vxlan"})["tunnels"]] == ["vx0"]
    (bridge,) = br2.module("ovs_bridge_info", {"name": "br2"})["bridges"]
    assert [port["name"] for port in bridge["ports"]] == ["br2", "gre0", "vx0"]
    assert br2.module("ovs_bridge_info", {"name": "br"})["bridges"] == [], "a part of a name is not the name"
    assert bridges(br2) == ["br2"]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture: the points of a way, the clocks of hosts, where packets stop, and the file that Wireshark opens."""

from __future__ import annotations

import base64
import struct
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._capture import merge, show
from ansible_collections.overloom.fabric.plugins.plugin_utils._capture.pcapng import pcapng
from ansible_collections.overloom.fabric.plugins.plugin_utils._capture.points import points, questions, sender_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Packet, Route
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

FLAT = {
    "fabric_name": "f",
    "fabric_overlays": [{"encapsulation": "gre"}],
    "fabric_segments": [{"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8::/64"}],
}
ROUTED = {
    **FLAT,
    "fabric_links": [{"ends": ["kvm1:eth1", "r1:eth1"]}, {"ends": ["kvm2:eth1", "r1:eth2"]}],
    "fabric_routing": {},
}
GUEST = {"name": "vm2", "segment": "web", "kind": "guest", "guest": {"image": "lab"}}
SECOND = 10**9
SPAN = {"begun": 100 * SECOND, "ended": 110 * SECOND}


def plan_of(common: dict[str, t.Any], **routers: t.Any) -> dict[str, t.Any]:
    ends = {"kvm1": [{"name": "web1", "segment": "web"}], "kvm2": [{"name": "web2", "segment": "web"}, GUEST]}
    return compile_plan(
        {host: {**common, "fabric_endpoints": some} for host, some in ends.items()}, SPEC, None, [], routers
    )


def names(plan: dict[str, t.Any], source: str, target: str) -> list[str]:
    return [point["name"] for point in points(Route(plan, source, target, Packet()))]


def test_the_points_are_the_hops_in_their_order():
    ends = ("kvm1/web1", "kvm2/web2")
    flat = ["kvm1/web1:eth0", "kvm1:v-web1", "kvm1:eth1", "kvm2:eth1", "kvm2:v-web2", "kvm2/web2:eth0"]
    assert names(plan_of(FLAT), *ends) == flat
    routed = plan_of(ROUTED, r1=ROUTED)
    assert names(routed, *ends) == [*flat[:3], "r1:eth1", "r1:eth2", *flat[3:]]
    assert names(routed, "kvm1/web1", "kvm2/vm2")[-2:] == ["kvm2:eth1", "kvm2:v-vm2"]
    assert names(routed, "kvm1", "kvm2") == ["kvm1:eth1", "r1:eth1", "r1:eth2", "kvm2:eth1"]


def test_pings_are_sent_by_an_end_that_is_no_guest():
    plan = plan_of(FLAT)
    way = Route(plan, "kvm2/vm2", "kvm1/web1", Packet())
    asked = questions(way, points(way), True, {"seconds": 5})
    assert [host for host, options in asked.items() if options["ping"]] == ["kvm1"]
    assert asked["kvm1"]["ping"]["namespace"] == "web1" and asked["kvm1"]["ping"]["target"] == way.source.address
    assert not [options for options in questions(way, points(way), False, {}).values() if options["ping"]]
    assert sender_of(Route(plan, "kvm2/vm2", "192.0.2.1", Packet())) is None


def packet(when: int, number: int, back: bool, around: bytes = b"") -> dict[str, t.Any]:
    """A ping of a number, with outer headers around it."""
    one, other = b"\x0a\x01\x01\x01", b"\x0a\x01\x01\x02"
    ends = other + one if back else one + other
    inner = struct.pack("!BBHHHBBH", 0x45, 0, 84, number, 0, 64, 1, 0) + ends + b"x" * 64
    frame = around + b"\0" * 14 + inner
    data = base64.b64encode(frame).decode()
    at = len(around) + 26
    return {"time": when, "out": True, "length": len(frame), "at": at, "back": back, "data": data}


def point(host: str, what: str = "NIC") -> dict[str, t.Any]:
    return {"name": f"{host}:eth1", "host": host, "namespace": "", "interface": "eth1", "what": what}


def row(name: str, packets: list[dict[str, t.Any]], error: str | None = None) -> dict[str, t.Any]:
    return {"name": name, "error": error, "packets": packets, "full": False, "missed": 0}


WAY = [point("kvm1"), point("r1"), point("kvm2")]


def captured(reach_there: int, reach_back: int, ahead: t.Sequence[int] = (0, 0, 0), pings: int = 4) -> dict[str, t.Any]:
    """What three hosts took. reach: how many points saw the requests from the sender on, and the answers from the receiver on."""
    found: dict[str, t.Any] = {}
    for place, spot in enumerate(WAY):
        taken = []
        for number in range(pings):
            sent = 102 * SECOND + number * SECOND // 2
            if place < reach_there:
                taken.append(packet(sent + place * 1000 + ahead[place], number, False, b"o" * 24 * place))
            if len(WAY) - place <= reach_back:
                taken.append(packet(sent + (6 - place) * 1000 + ahead[place], number + 100, True, b"o" * 24 * place))
        span = {name: when + ahead[place] for name, when in SPAN.items()}
        found[spot["host"]] = {"points": [row(spot["name"], taken)], **span}
    return found


def report_of(seen: dict[str, t.Any]) -> dict[str, t.Any]:
    report = {"from": "a", "to": "b", "seconds": 10, **merge.merge(WAY, seen, 4)}
    return {**report, "passed": show.arrived(report)}


def test_packets_that_arrive_are_counted_at_each_point_once():
    report = report_of(captured(3, 3))
    assert report["passed"] and [(r["there"], r["back"]) for r in report["points"]] == [(4, 4)] * 3
    assert "answers come back" in show.lines(report)[-1]


@pytest.mark.parametrize(
    ("there", "back", "told"),
    [
        (0, 0, "no packet was sent: kvm1:eth1 saw none"),
        (1, 0, "on the way there after kvm1:eth1 (NIC); r1:eth1 (NIC) saw none"),
        (2, 0, "on the way there after r1:eth1 (NIC); kvm2:eth1"),
        (3, 0, "no answer was sent: kvm2:eth1 saw none"),
        (3, 1, "on the way back after kvm2:eth1 (NIC); r1:eth1"),
        (3, 2, "on the way back after r1:eth1 (NIC); kvm1:eth1"),
    ],
)
def test_where_packets_stop_is_told(there, back, told):
    report = report_of(captured(there, back))
    assert not report["passed"] and told in show.sentence(report)


def test_a_host_that_could_not_take_packets_decides_nothing():
    seen = captured(3, 3)
    seen["r1"] = {"unreachable": True, "msg": "no route"}
    report = report_of(seen)
    assert report["passed"] and report["points"][1]["error"] == "no route"
    assert any("r1:eth1" in line and "no route" in line for line in show.lines(report))


def test_hosts_that_did_not_listen_at_once_are_no_verdict():
    seen = captured(0, 0)
    seen["kvm2"].update(begun=109 * SECOND, ended=119 * SECOND)
    report = report_of(seen)
    assert not report["passed"] and "listened at once for 1.0 s only" in show.sentence(report)


def test_what_was_sent_before_a_host_listened_is_kept_and_not_counted():
    seen = captured(3, 3)
    seen["kvm1"]["points"][0]["packets"].append(packet(SPAN["begun"] - 1, 77, False))
    report = report_of(seen)
    assert report["points"][0]["there"] == 4 and len(report["packets"]) == 25


@given(st.lists(st.integers(-(10**12), 10**12), min_size=2, max_size=2))
def test_clocks_that_differ_are_corrected_by_the_packets(ahead):
    report = report_of(captured(3, 3, [0, *ahead]))
    assert list(report["ahead"].values()) == [0, *ahead]
    times = [packet["time"] for packet in report["packets"]]
    assert times == sorted(times) and [r["there"] for r in report["points"]] == [4, 4, 4]


@given(st.integers(-(10**12), 10**12))
def test_with_one_direction_alone_nothing_arrives_before_it_was_sent(ahead):
    seen = captured(2, 0, [0, ahead, 0])
    found = merge.clocks(["kvm1", "r1"], {host: seen[host]["points"][0]["packets"] for host in ("kvm1", "r1")}, 4)
    assert found["r1"] == (0 if ahead >= -1000 else ahead + 1000)


PACKETS = st.lists(
    st.builds(
        lambda data, when, number, out: {
            "data": base64.b64encode(data).decode(),
            "time": when,
            "point": number,
            "out": out,
            "length": len(data) + 3,
        },
        st.binary(max_size=80),
        st.integers(0, 2**63),
        st.integers(0, 1),
        st.booleans(),
    ),
    max_size=5,
)


def blocks(data: bytes) -> t.Iterator[tuple[int, bytes]]:
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert length % 4 == 0 and struct.unpack_from("<I", data, length - 4)[0] == length
        yield kind, data[8 : length - 4]
        data = data[length:]


@given(PACKETS)
def test_a_file_has_all_packets_and_names_all_interfaces(packets):
    found = list(blocks(pcapng(WAY[:2], packets, "a comment")))
    assert [kind for kind, _body in found] == [0x0A0D0D0A, 1, 1, *([6] * len(packets))]
    assert b"a comment" in found[0][1] and b"kvm1:eth1" in found[1][1] and b"r1:eth1" in found[2][1]
    for (_kind, body), one in zip(found[3:], packets):
        number, high, low, length, original = struct.unpack_from("<IIIII", body)
        data = base64.b64decode(one["data"])
        assert (number, (high << 32) + low, original) == (one["point"], one["time"], one["length"])
        assert body[20 : 20 + length] == data


def test_a_packet_is_known_again_in_a_tunnel_and_behind_a_router():
    plain, tunneled = packet(1, 7, False), packet(2, 7, False, b"outer" * 8)
    frame = bytearray(base64.b64decode(plain["data"]))
    frame[14 + 8] = 63
    frame[14 + 10] = 9
    routed = {**plain, "data": base64.b64encode(bytes(frame)).decode()}
    assert merge.key(plain, 4) == merge.key(tunneled, 4) == merge.key(routed, 4)
    assert merge.key(plain, 4) != merge.key(packet(1, 8, False), 4)

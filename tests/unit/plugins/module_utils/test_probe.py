# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
import os
import signal
import socket
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._probe import packets, responder, sockets
from ansible_collections.overloom.fabric.plugins.module_utils._probe import prober as prober_module
from ansible_collections.overloom.fabric.plugins.module_utils._probe.prober import PING_COUNT, Prober

MACS = st.binary(min_size=6, max_size=6)
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str)


@given(st.binary(max_size=200))
def test_a_packet_with_its_checksum_in_it_sums_up_to_zero(data):
    data += bytes(len(data) % 2)
    assert packets.internet_checksum(data + struct.pack("!H", packets.internet_checksum(data))) == 0


@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 1500))
def test_an_echo_request_is_answered_by_its_identifier_and_sequence(identifier, sequence, payload):
    for version, reply in ((4, 0), (6, 129)):
        request = packets.echo_request(version, identifier, sequence, payload)
        assert len(request) == 8 + payload
        header = b"\x45" + bytes(19) if version == 4 else b""
        assert packets.parse_echo_reply(version, header + bytes([reply]) + request[1:]) == (identifier, sequence)
        assert packets.parse_echo_reply(version, header + request) is None


@given(st.binary(max_size=100))
def test_whatever_arrives_is_parsed_or_passed_over(frame):
    for parse in (packets.parse_arp_reply, packets.parse_neighbor_advert):
        parse(frame)
    packets.parse_echo_reply(4, frame)
    packets.parse_echo_reply(6, frame)


@given(MACS, IPV4)
def test_an_arp_probe_has_no_sender_address_and_its_answer_names_the_owner(mac, target):
    frame = packets.arp_probe(mac, target)
    assert frame[:6] == b"\xff" * 6 and frame[6:12] == mac and frame[28:32] == bytes(4)
    assert frame[38:42] == socket.inet_aton(target)
    reply = frame[:20] + b"\x00\x02" + mac + socket.inet_aton(target) + frame[32:]
    assert packets.parse_arp_reply(reply) == (target, mac.hex(":"))
    assert packets.parse_arp_reply(frame) is None


@given(MACS, IPV6)
def test_a_neighbor_probe_goes_to_the_solicited_node_group_from_no_address(mac, target):
    frame = packets.neighbor_probe(mac, target)
    packed = socket.inet_pton(socket.AF_INET6, target)
    assert frame[:6] == b"\x33\x33\xff" + packed[-3:] and frame[12:14] == b"\x86\xdd"
    assert frame[22:38] == bytes(16) and frame[38:54] == bytes.fromhex("ff0200000000000000000001ff") + packed[-3:]
    assert frame[62:78] == packed
    body = frame[54:]
    pseudo = frame[22:54] + struct.pack("!IxxxB", len(body), 58)
    assert packets.internet_checksum(pseudo + body) == 0


@given(MACS, IPV4, IPV4, IPV6, IPV6)
def test_a_secured_endpoint_asks_with_its_own_address(mac, four, own_four, six, own_six):
    frame = packets.arp_probe(mac, four, own_four)
    assert frame[28:32] == socket.inet_aton(own_four) and frame[38:42] == socket.inet_aton(four) and len(frame) == 42
    frame = packets.neighbor_probe(mac, six, own_six)
    assert frame[22:38] == socket.inet_pton(socket.AF_INET6, own_six)
    # Who is asked answers to the MAC address that the question tells of (RFC 4861, 4.6.1).
    assert frame[78:] == b"\x01\x01" + mac
    body = frame[54:]
    pseudo = frame[22:54] + struct.pack("!IxxxB", len(body), 58)
    assert packets.internet_checksum(pseudo + body) == 0


def test_the_loop_serves_timers_in_their_order_and_ends_at_its_deadline():
    loop, seen, begun = sockets.Loop(), [], time.monotonic()
    loop.at(begun + 0.02, lambda: seen.append("later"))
    loop.at(begun + 0.01, lambda: seen.append("sooner"))
    loop.at(begun + 9.0, lambda: seen.append("never"))
    loop.run(lambda: False, begun + 0.05)
    assert seen == ["sooner", "later"] and 0.05 <= time.monotonic() - begun < 1


def test_the_loop_ends_as_soon_as_all_is_done():
    loop, seen, begun = sockets.Loop(), [], time.monotonic()
    loop.at(begun, lambda: seen.append(1))
    loop.run(lambda: bool(seen), begun + 30)
    assert time.monotonic() - begun < 5


def test_an_endpoint_that_is_gone_fails_alone():
    prober = Prober([sockets.Sender("here", None, "lo"), sockets.Sender("gone", "no-such-namespace", "eth0")])
    here, gone = prober.measure(
        [{"kind": "ping", "from": "here", "to": "127.0.0.1"}, {"kind": "ping", "from": "gone", "to": "127.0.0.1"}],
        1,
        1,
        1,
    )
    assert here["received"] == here["sent"] == PING_COUNT
    assert "no-such-namespace does not exist" in gone["error"]


class LateControl:
    """A link on which the control answers at its seventh question, and nobody else at all."""

    def __init__(self):
        self.asked = collections.Counter()
        self.version, self.answers, self.heard, self.expected = 4, {}, {}, {}

    def send(self, to):
        self.asked[to] += 1
        if to == "127.0.0.8" and self.asked[to] >= 7:
            self.heard[to] = time.monotonic()
            self.expected.pop(to, lambda: None)()


@pytest.mark.parametrize(("settle", "answered"), [(0, False), (30, True)])
def test_a_silent_control_is_asked_again_as_long_as_it_may_take(monkeypatch, settle, answered):
    monkeypatch.setattr(prober_module, "SILENCE_WINDOW", 0.02)
    monkeypatch.setattr(prober_module, "ASK_INTERVAL", 0.01)
    prober, link = Prober([sockets.Sender("here", None, "lo")]), LateControl()
    prober._layer2["here", 4] = link
    probe = {"kind": "isolation", "from": "here", "to": "127.0.0.9", "control": "127.0.0.8"}
    (outcome,) = prober.measure([probe], settle, 1, 1)
    assert outcome["control_answered"] is answered and outcome["answered_by"] == []
    # What answers is not asked for any longer.
    assert link.asked["127.0.0.8"] == (7 if answered else 5)


def answering(name, port, lifetime=20):
    """A responder on loopback, in the background."""
    background = responder.Background(f"test-{os.getpid()}-{name}", port)
    return background, background.start([(None, "127.0.0.1")], lifetime)


def transfer(port, **options):
    prober = Prober([sockets.Sender("here", None, "lo")], port)
    (outcome,) = prober.measure([{"kind": "tcp", "from": "here", "to": "127.0.0.1", **options}], 1, 300_000, 5)
    return outcome


def gone(pid):
    """Whether a process ends within two seconds."""
    for _attempt in range(100):
        if responder.process_start(pid) is None:
            return True
        time.sleep(0.02)
    return False


def test_a_transfer_over_loopback_is_counted_by_the_far_end():
    background, pid = answering("one", 61901)
    try:
        assert background.running() == pid
        outcome = transfer(61901)
        assert outcome["bytes"] == outcome["sent_bytes"] == 300_000 and outcome["mbit_per_second"] > 0
        assert transfer(61901, bytes=1000)["bytes"] == 1000
    finally:
        assert background.stop()
    assert gone(pid) and background.running() is None
    assert transfer(61901)["error"] == "Connection refused"


def test_a_timed_transfer_ends_in_its_time_and_is_counted_whole():
    background, _pid = answering("timed", 61902)
    try:
        begun = time.monotonic()
        outcome = transfer(61902, seconds=0.2)
        assert outcome["seconds"] >= 0.2 and time.monotonic() - begun < 3
        assert outcome["bytes"] == outcome["sent_bytes"] > 300_000
    finally:
        background.stop()


def test_two_runs_side_by_side_answer_and_end_each_by_itself():
    first, first_pid = answering("same", 61903)
    second, second_pid = answering("same", 61904)
    try:
        assert transfer(61903)["bytes"] == transfer(61904)["bytes"] == 300_000
        assert first.stop() and gone(first_pid)
        assert transfer(61904)["bytes"] == 300_000 and second.running() == second_pid
    finally:
        first.stop()
        second.stop()


def test_a_run_that_died_leaves_no_responder_and_the_next_one_no_note_of_a_killed_one():
    background, pid = answering("dead", 61905, lifetime=0.3)
    assert transfer(61905)["bytes"] == 300_000
    assert gone(pid) and not os.path.exists(background.path)
    killed, pid = answering("dead", 61906)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid) and os.path.exists(killed.path)
    later, _pid = answering("dead", 61907)
    try:
        assert not os.path.exists(killed.path) and os.path.exists(later.path)
    finally:
        later.stop()


def test_a_connection_is_taken_or_refused():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        asked = {"kind": "connect", "from": "here", "to": "127.0.0.1", "port": port}
        prober = Prober([sockets.Sender("here", None, None)])
        assert prober.measure([asked], 1, 1, 1) == [{"connected": True}]
    assert prober.measure([asked], 1, 1, 1) == [{"error": "Connection refused"}]


def test_a_datagram_is_answered_by_a_listener_or_by_nobody_and_not_by_one_that_is_silent(monkeypatch):
    monkeypatch.setattr(sockets, "DATAGRAM_TIMEOUT", 0.1)
    prober = Prober([sockets.Sender("here", None, None)])
    for address, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        with socket.socket(family, socket.SOCK_DGRAM) as server:
            server.bind((address, 0))
            port = server.getsockname()[1]
            asked = {"kind": "connect", "from": "here", "to": address, "port": port, "protocol": "udp"}
            assert port in sockets.listening_datagrams(None)
            assert prober.measure([asked], 1, 1, 1) == [{"error": "no answer"}]
            # What it was asked is still there, and so is who asked.
            for _attempt in range(sockets.DATAGRAMS):
                _data, peer = server.recvfrom(10)
            assert peer[0] == address
        assert port not in sockets.listening_datagrams(None)
        assert prober.measure([asked], 1, 1, 1) == [{"error": "Connection refused"}]

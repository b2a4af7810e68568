# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest is asked to run, and what its answers mean."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._probe import guest

ADDRESSES = st.ip_addresses().map(str)
PROBES = st.one_of(
    st.fixed_dictionaries({"kind": st.sampled_from(["ping", "tcp"]), "to": ADDRESSES}),
    st.fixed_dictionaries({"kind": st.just("mtu"), "to": ADDRESSES, "size": st.integers(1280, 9000)}),
    st.fixed_dictionaries({"kind": st.just("isolation"), "to": ADDRESSES, "control": st.one_of(st.none(), ADDRESSES)}),
)
LIMITS = guest.Limits(10.0, 65536, 10.0, 61234, 7)
BUSYBOX = (
    "0 PING 10.1.1.1 (10.1.1.1): 1430 data bytes 1438 bytes from 10.1.1.1: seq=0 ttl=64 time=9.951 ms"
    " --- 10.1.1.1 ping statistics --- 5 packets transmitted, {} packets received, 0% packet loss round-trip min/avg/max = 1.580/3.949/9.951 ms"
)
IPUTILS = "2 PING --- 10.1.1.1 ping statistics --- 5 packets transmitted, 5 received, 0% packet loss, time 801ms rtt min/avg/max/mdev = 0.1/0.25/0.4/0.1 ms"


@given(PROBES, st.integers(0, 99))
def test_a_job_holds_nothing_that_a_simple_agent_cannot_read(probe, number):
    text = guest.job(number, probe, "eth0", LIMITS)
    assert not set(text) & set("\"'[]\\\n`") and text.endswith("&") and f"echo @{number} " in text


@pytest.mark.parametrize("to", ["10.1.1.1; reboot", "$(reboot)", "-f", ""])
def test_a_value_that_is_no_address_never_reaches_a_shell(to):
    with pytest.raises(ValueError):
        guest.job(0, {"kind": "ping", "to": to}, "eth0", LIMITS)


@pytest.mark.parametrize(
    "words, received, rtt, settled",
    [(BUSYBOX.format(5), 5, 3.949, 0.0), (BUSYBOX.format(3), 3, 3.949, 0.0), (IPUTILS, 5, 0.25, 2.0)],
)
def test_pings_are_read_from_busybox_and_from_iputils(words, received, rtt, settled):
    seen = guest.outcome({"kind": "ping", "to": "10.1.1.1"}, words, 10, 1500)
    assert seen == {"sent": 5, "received": received, "rtt_ms": rtt, "error": None, "settled_after": settled}


def test_a_packet_that_the_guest_would_send_in_pieces_is_no_measurement():
    probe = {"kind": "mtu", "to": "10.1.1.1", "size": 1458}
    assert guest.outcome(probe, BUSYBOX.format(5), 10, 1400)["error"] == "its interface has the MTU 1400"
    assert guest.outcome(probe, BUSYBOX.format(5), 10, 1458)["error"] is None


def test_silence_that_never_ended_is_told_with_the_pings_own_words():
    seen = guest.outcome({"kind": "ping", "to": "10.1.1.1"}, "10 ping: sendto: Network unreachable", 10, 1500)
    assert seen["settled_after"] is None and re.search("unreachable", seen["error"])


def test_isolation_counts_an_answer_on_the_link_even_without_an_echo():
    probe = {"kind": "isolation", "to": "10.1.2.1", "control": "10.1.1.1", "to_mac": "02:0a:c8:53:ec:21"}
    quiet = guest.outcome(probe, "1 0 10.1.2.1 ref 1 used 0/0/0 probes 6 INCOMPLETE", 10, 1500)
    assert quiet["answered_by"] == [] and quiet["control_answered"] and not quiet["echo_replies"]
    leak = guest.outcome(probe, "1 0 10.1.2.1 lladdr 2:a:c8:53:ec:21 ref 1 STALE", 10, 1500)
    assert leak["answered_by"] == ["02:0a:c8:53:ec:21"]
    assert guest.outcome(probe, "1 1 ", 10, 1500)["control_answered"] is False


def test_a_transfer_is_what_the_other_end_confirmed():
    probe = {"kind": "tcp", "to": "10.1.1.1", "bytes": 1048576}
    seen = guest.outcome(probe, "10.00 10.50 00 00 00 00 00 10 00 00", 10, 1500)
    assert seen == {"bytes": 1048576, "sent_bytes": 1048576, "seconds": 0.5, "mbit_per_second": 16.8}
    assert "confirm" in guest.outcome(probe, "10.00 10.50", 10, 1500)["error"]


def test_a_question_over_ipv6_lends_the_guest_a_route_and_takes_it_back():
    text = guest.job(3, {"kind": "isolation", "to": "fd00:2::1", "control": "fd00:1::1"}, "eth0", LIMITS)
    lent = "fd00:2::1/128 dev eth0 metric"
    assert (
        text.index(f"ip -6 route add {lent}")
        < text.index("ping -6 -c 3")
        < text.index("@3")
        < text.index(f"ip -6 route del {lent}")
    )
    assert "route" not in guest.job(3, {"kind": "isolation", "to": "10.1.2.1"}, "eth0", LIMITS)


def test_a_run_stops_the_answering_of_its_own_port_only_and_lets_many_wait_to_be_accepted():
    """With a short queue a busy guest resets what it was sent: see BACKLOG."""
    script = guest.listening(61234, 60)
    assert (
        "-p 61234" in script
        and "/run/counting.61234" in script
        and f" -{'l' * 64} " in script
        and "timeout 300 " in script
    )
    assert "/run/counting.61234" in guest.stopping(61234) and "61235" not in guest.stopping(61234)
    assert not set(script + guest.stopping(61234)) & set("\"'[]\\\n`")


def test_a_job_takes_the_port_the_count_and_the_length_that_it_is_told():
    assert "nc -w 10 10.1.1.1 61234" in guest.job(0, {"kind": "tcp", "to": "10.1.1.1"}, "eth0", LIMITS)
    assert "head -c 999 " in guest.job(0, {"kind": "tcp", "to": "10.1.1.1", "bytes": 999}, "eth0", LIMITS)
    assert "-c 7 " in guest.job(0, {"kind": "ping", "to": "10.1.1.1"}, "eth0", LIMITS)
    assert "metric 61234" in guest.job(0, {"kind": "isolation", "to": "fd00::1"}, "eth0", LIMITS)

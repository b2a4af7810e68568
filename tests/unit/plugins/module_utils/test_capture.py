# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture on a host: which frames are of two addresses, and how pings are bounded."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._capture import sniffer
from ansible_collections.overloom.fabric.plugins.module_utils._capture.pinger import argv
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

ONE, OTHER = b"\x0a\x01\x01\x01", b"\x0a\x01\x01\x02"
PAIR = sniffer.pair_of(["10.1.1.1", "10.1.1.2"])


@given(st.binary(max_size=80).filter(lambda data: b"\x0a" not in data), st.binary(max_size=40), st.booleans())
def test_a_frame_with_both_addresses_is_found_below_any_header(before, after, back):
    both = OTHER + ONE if back else ONE + OTHER
    assert sniffer.found_in(before + both + after.replace(b"\x0a", b""), PAIR) == (len(before), back)
    assert sniffer.found_in(before + ONE, PAIR) is None


@pytest.mark.parametrize("addresses", [["10.1.1.1", "x"], ["10.1.1.1", "2001:db8::1"], ["10.1.1.1"]])
def test_addresses_that_are_no_pair_are_refused(addresses):
    with pytest.raises(FabricError, match="addresses: .*give two"):
        sniffer.pair_of(addresses)


def test_a_tag_that_the_kernel_took_out_is_back():
    frame = bytes(range(20))
    auxiliary = struct.pack("IIIHHHH", sniffer.VLAN_VALID, 20, 20, 0, 0, 10, 0x8100)
    assert sniffer._with_tag(frame, auxiliary) == frame[:12] + b"\x81\x00\x00\x0a" + frame[12:]
    assert sniffer._with_tag(frame, struct.pack("IIIHHHH", 0, 20, 20, 0, 0, 10, 0x8100)) == frame


def test_pings_end_by_themselves_before_the_capture_does():
    words = argv({"namespace": "web1", "source": "10.1.1.1", "target": "10.1.1.2"}, 10)
    assert words[:4] == ["ip", "netns", "exec", "web1"] and words[words.index("-w") + 1] == "8"
    assert argv({"namespace": "", "source": "10.1.1.1", "target": "10.1.1.2"}, 1)[0] == "ping"

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ovs-appctl prints, as ovs_info reads it."""

from __future__ import annotations

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.info import parse_datapath_flows, parse_fdb

FDB = """ port  VLAN  MAC                Age
LOCAL     0  02:00:00:00:00:01    3
    2    10  02:00:00:00:00:02  static
   17    10  02:00:00:00:00:03  299
"""


def test_learned_addresses_are_read_with_the_names_of_ports() -> None:
    entries = parse_fdb(FDB, {"LOCAL": "br0", "2": "p2"})
    assert [(e["port"], e["vlan"], e["age"], e["static"]) for e in entries] == [
        ("br0", 0, 3, False),
        ("p2", 10, None, True),
        ("17", 10, 299, False),
    ]


# As the datapath in user space, the kernel's, and one with offloading print it.
FLOWS = """recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth(src=02:00:00:00:00:01),eth_type(0x0800),ipv4(frag=no), packets:3, bytes:294, used:0.5s, actions:3
recirc_id(0),in_port(3),eth_type(0x0806), packets:0, bytes:0, used:never, actions:drop
in_port(1),eth_type(0x0800), packets:9, bytes:900, used:12.001s, flags:SFP., offloaded:yes, dp:tc, actions:push_vlan(vid=10,pcp=0),2
"""


def test_datapath_flows_are_read() -> None:
    first, second, third = parse_datapath_flows(FLOWS + "\nsomething else\n")
    assert (first["n_packets"], first["n_bytes"], first["used"], first["actions"], first["offloaded"]) == (
        3,
        294,
        0.5,
        "3",
        False,
    )
    assert first["match"].endswith("ipv4(frag=no)")
    assert (second["used"], second["actions"]) == (None, "drop")
    assert (third["used"], third["actions"], third["offloaded"]) == (12.001, "push_vlan(vid=10,pcp=0),2", True)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What BIRD says on its control socket, and what netns_bird writes for it."""

from __future__ import annotations

import pathlib
import socket
import threading

from ansible_collections.overloom.fabric.plugins.module_utils._bird import control, router
from ansible_collections.overloom.fabric.plugins.module_utils._netns import daemon

ITEM = {
    "name": "edge",
    "router_id": "10.9.0.1",
    "announce": ["10.1.1.0/24", "fd00:1::/64"],
    "ospf": {"interfaces": ["outside"], "families": ["ipv4", "ipv6"]},
    "asn": 64512,
    "neighbors": [{"address": "10.9.0.254", "local": "10.9.0.1", "asn": 64500}],
}
END = "0000 \n"
PROTOCOLS = (
    """\
2002-Name       Proto      Table      State  Since         Info
1002-kernel4    Kernel     master4    up     09:00:00.000
 ospf4      OSPF       master4    up     09:00:00.000  Running
 bgp1       BGP        ---        start  09:00:00.000  Active        Socket: Connection refused
 bgp2       BGP        ---        up     09:00:00.000  Established
"""
    + END
)
ROUTE = (
    """\
1007-Table master4:
 0.0.0.0/0            unicast [ospf4 09:00:00.000] * E2 (150/10/10000) [10.9.0.254]
 \tvia 10.9.0.254 on outside
"""
    + END
)


def test_the_control_socket_is_asked_in_one_connection(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "ctl")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve() -> None:
        link = listener.accept()[0]
        link.sendall(b"0001 BIRD 2.0.12 ready.\n")
        for answer in (PROTOCOLS, ROUTE, "8001 Network not found\n"):
            link.recv(100)
            # In two pieces, as long answers come.
            link.sendall(answer[:30].encode())
            link.sendall(answer[30:].encode())
        link.close()

    thread = threading.Thread(target=serve)
    thread.start()
    states, four, six = control.ask(path, ["show protocols", "show route 0.0.0.0/0 primary", "show route ::/0 primary"])
    thread.join()
    listener.close()
    assert control.protocols(states) == {"ospf4": "Running", "bgp1": "Active", "bgp2": "Established"}
    assert control.next_hops(four) == [{"via": "10.9.0.254", "interface": "outside"}] and control.next_hops(six) == []
    # Nobody answers there any more.
    assert control.ask(path, ["show protocols"]) == [[]] == control.ask(str(tmp_path / "none"), ["show protocols"])


def test_the_file_takes_default_routes_alone() -> None:
    text = daemon.declared(ITEM, router.KIND, "me").reread[router.file("edge")]
    imports = [line.strip() for line in text.splitlines() if "import" in line]
    assert imports == [
        "ipv4 { import none; export where net = 0.0.0.0/0; };",
        "ipv6 { import none; export where net = ::/0; };",
        "ipv4 { import where net = 0.0.0.0/0; export none; };",
        "ipv6 { import where net = ::/0; export none; };",
        "ipv4 { import where net = 0.0.0.0/0; export where source = RTS_STATIC; };",
    ]
    assert "stubnet 10.1.1.0/24 { cost 10; };" in text and "stubnet fd00:1::/64 { cost 10; };" in text
    # What BGP announces is of the neighbor's family.
    assert "route 10.1.1.0/24 blackhole;" in text and "route fd00:1::/64" not in text


def test_what_is_in_a_table_of_the_kernel_is_announced_beside_what_is_declared() -> None:
    text = daemon.declared({**ITEM, "announce": [], "announce_table": 100}, router.KIND, "me").reread[
        router.file("edge")
    ]
    lines = [line.strip() for line in text.splitlines()]
    for family in (4, 6):
        # It learns from there, and writes nothing there.
        at = lines.index(f"protocol kernel held{family} {{")
        told = f"ipv{family} {{ table table{family}; import all; export none; }};"
        assert lines[at + 1 : at + 4] == ["kernel table 100;", "learn;", told]
        assert any(f'if proto != "held{family}" then reject; ospf_metric1 = 10; accept;' in line for line in lines)
    assert 'export where source = RTS_STATIC || proto = "held4"' in text
    assert "held" not in daemon.declared(ITEM, router.KIND, "me").reread[router.file("edge")]

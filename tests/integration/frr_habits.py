# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files frr.conf in the ways in which people write them, each with its habit."""

from __future__ import annotations

HABITS = {
    "carriage returns": (
        "frr defaults traditional\r\ninterface eth2\r\n ip ospf cost 12\r\nexit\r\nip route 10.50.0.0/16 Null0\r\n"
    ),
    "no line break at the end": ("frr defaults traditional\ninterface eth2\n ip ospf cost 12"),
    "a block at the end without a line break": (
        "frr defaults traditional\nvrf V1\n ip route 10.50.0.0/16 blackhole\nexit-vrf"
    ),
    "tabs": (
        "frr defaults traditional\n"
        "router bgp 65000\n"
        "\tneighbor 192.0.2.9 remote-as 65001\n"
        "\taddress-family ipv4 unicast\n"
        "\t\tnetwork 10.3.0.0/16\n"
        "\texit-address-family\n"
        "exit\n"
    ),
    "no indentation": (
        "frr defaults traditional\n"
        "router bgp 65000\n"
        "neighbor 192.0.2.9 remote-as 65001\n"
        "address-family ipv6 unicast\n"
        "neighbor 192.0.2.9 activate\n"
        "exit-address-family\n"
        "interface eth2\n"
        "ip ospf cost 12\n"
        "exit\n"
    ),
    "remarks between": (
        "! head\n"
        "frr defaults traditional\n"
        "!\n"
        "router bgp 65000\n"
        " ! who\n"
        " neighbor 192.0.2.9 remote-as 65001\n"
        "#\n"
        " neighbor 192.0.2.9 description a ! b # c\n"
        "! between\n"
        "exit\n"
        "! foot\n"
    ),
    "routes in VRFs": (
        "frr defaults traditional\n"
        "vrf V1\n"
        " ip route 10.50.0.0/16 Null0\n"
        " ip route 10.51.0.0/16 192.0.2.9 nexthop-vrf default\n"
        " ipv6 route 2001:db8::/32 blackhole\n"
        "exit-vrf\n"
        "!\n"
        "vrf V2\n"
        " ip route 10.50.0.0/16 blackhole\n"
        "exit-vrf\n"
        "!\n"
        "ip route 10.50.0.0/16 192.0.2.9\n"
    ),
    "segment routing": (
        "frr defaults traditional\n"
        "segment-routing\n"
        " traffic-eng\n"
        "  segment-list SL\n"
        "   index 10 mpls label 16010\n"
        "  exit\n"
        "  policy color 1 endpoint 192.0.2.9\n"
        "   name one\n"
        "   binding-sid 1111\n"
        "   candidate-path preference 100 name c explicit segment-list SL\n"
        "  exit\n"
        " exit\n"
        "exit\n"
    ),
    "policies": (
        "frr defaults traditional\n"
        "pbr-map M seq 5\n"
        " match src-ip 192.0.2.0/24\n"
        " match dst-ip 198.51.100.0/24\n"
        " set nexthop 192.0.2.1\n"
        "exit\n"
        "!\n"
        "pbr-map M seq 10\n"
        " match mark 7\n"
        " set nexthop 192.0.2.2\n"
        "exit\n"
        "!\n"
        "interface eth1\n"
        " pbr-policy M\n"
        "exit\n"
    ),
    "NHRP": (
        "frr defaults traditional\n"
        "nhrp nflog-group 7\n"
        "interface eth2\n"
        " ip nhrp holdtime 300\n"
        " ip nhrp network-id 1\n"
        " ip nhrp shortcut\n"
        "exit\n"
    ),
    "key chains": (
        "frr defaults traditional\n"
        "key chain K\n"
        " key 1\n"
        "  key-string one\n"
        "  accept-lifetime 00:00:00 Jan 1 2024 infinite\n"
        " exit\n"
        " key 2\n"
        "  key-string two\n"
        " exit\n"
        "exit\n"
        "interface eth2\n"
        " ip rip authentication key-chain K\n"
        "exit\n"
    ),
    "many processes": (
        "frr defaults traditional\n"
        "interface eth1\n"
        " ip router isis A\n"
        " ip pim\n"
        "exit\n"
        "router isis A\n"
        " is-type level-2-only\n"
        " net 49.0001.1921.6800.1001.00\n"
        "exit\n"
        "router eigrp 7\n"
        " network 10.3.0.0/16\n"
        "exit\n"
        "router bgp 65000\n"
        " neighbor 192.0.2.9 remote-as 65001\n"
        "exit\n"
        "router bgp 65000 view W\n"
        " neighbor 192.0.2.8 remote-as 65001\n"
        "exit\n"
        "router rip\n"
        " network eth2\n"
        "exit\n"
    ),
    "an old head and foot": (
        "hostname r1\n"
        "log syslog informational\n"
        "password zebra\n"
        "enable password zebra\n"
        "service advanced-vty\n"
        "banner motd line hello ! there\n"
        "access-list A seq 5 permit 10.0.0.0/8\n"
        "access-list vty permit 127.0.0.0/8\n"
        "!\n"
        "interface eth2\n"
        " description  two  blanks \n"
        "!\n"
        "line vty\n"
        " access-class vty\n"
        " exec-timeout 0 0\n"
        "!\n"
    ),
    "another release": (
        "frr version 10.3\n"
        "frr defaults traditional\n"
        "hostname r1\n"
        "no ipv6 forwarding\n"
        "service integrated-vtysh-config\n"
        "!\n"
        "router bgp 65000\n"
        " no bgp enforce-first-as\n"
        " bgp default dynamic-capability\n"
        " neighbor 192.0.2.9 remote-as 65001\n"
        " !\n"
        " address-family ipv4 unicast\n"
        "  network 10.3.0.0/16\n"
        " exit-address-family\n"
        "exit\n"
        "!\n"
        "end\n"
    ),
    "lines after the end": (
        "frr defaults traditional\ninterface eth2\n ip ospf cost 12\nexit\nend\nip route 10.50.0.0/16 blackhole\n"
    ),
    "MPLS": (
        "frr defaults traditional\n"
        "mpls ldp\n"
        " router-id 10.0.0.9\n"
        " !\n"
        " address-family ipv4\n"
        "  discovery transport-address 10.0.0.9\n"
        "  !\n"
        "  interface eth2\n"
        "  exit\n"
        "  !\n"
        " exit-address-family\n"
        " !\n"
        "exit\n"
        "!\n"
        "mpls label bind 10.3.0.0/16 implicit-null\n"
    ),
    # FRR reads nothing after it.
    "RPKI without its module": (
        "frr defaults traditional\n"
        "rpki\n"
        " rpki polling_period 60\n"
        " rpki cache 192.0.2.9 3323 preference 1\n"
        "exit\n"
        "ip route 10.50.0.0/16 blackhole\n"
    ),
}

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fabric is broken by hand, one thing at a time, and a trace names the hop where the packet ends and the cause. Then it is mended."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import subprocess
import typing as t

import pytest
from test_site import Fabric, one_each
from tracer import Packet, Tracer
from verifier import plan_of

WEB = ("kvm1/web1", "kvm2/web2")
KEY = ("kvm1/acme1", "kvm2/acme2")
VM = ("kvm1/acme1", "kvm2/vm2")
TCP = Packet("tcp", 80)


class Break(t.NamedTuple):
    """What somebody does by hand on a host, how it is undone, and what a trace has to say of it.

    lab: flat or routed. at: host and name of the hop where the packet ends. says: words of the sentence.
    """

    lab: str
    host: str
    do: str
    undo: str
    cause: str
    at: tuple[str, str]
    says: str = ""
    ends: tuple[str, str] = WEB
    packet: Packet = Packet()
    direction: str = "there"


F, R = "flat", "routed"
SOUND = ((F, WEB), (R, WEB), (R, KEY), (R, VM), (R, ("kvm1", "r1")), (R, ("kvm1", "kvm2")))
FLUSH = "nft delete table inet byhand"
OSPF_ROUTE = "192.168.200.2/32 via 10.254.0.18 dev eth2 proto ospf metric 20"
GRE = "-- set interface gre-kvm2 type=gre options:local_ip=192.168.200.1 options:remote_ip=192.168.200.2"
FLOWS = "systemctl restart overloom-flows-br-key:{fabric}.service"


def nft(hook: str, rule: str, policy: str = "accept", namespace: str = "", table: str = "inet byhand") -> str:
    """A table with one rule or a policy, as somebody adds it by hand."""
    enter = f"ip netns exec {namespace} " if namespace else ""
    chain = f"{table} {hook.partition(' ')[0]}"
    based = f"'{{ type filter hook {hook} priority 0; policy {policy}; }}'"
    lines = [f"{enter}nft add table {table}", f"{enter}nft add chain {chain} {based}"]
    return "\n".join([*lines, *([f"{enter}nft add rule {chain} {rule}"] if rule else [])])


def until(condition: str) -> str:
    """Wait for what a command does later; fail where it does not come."""
    return f"for turn in $(seq 100); do if {condition}; then exit 0; fi; sleep 0.1; done; exit 1"


BREAKS = {
    # Endpoints.
    "namespace gone": Break(
        F,
        "kvm2",
        "ip netns del web2",
        # As netns_veth does it: in user space, Open vSwitch may go on with the device that is gone.
        "ovs-vsctl set interface v-web2 type=patch\nsystemctl restart overloom-netns-web2\novs-vsctl set interface v-web2 type=system",
        "namespace-gone",
        ("kvm2", "kvm2/web2"),
        "web2",
    ),
    "interface down at the source": Break(
        F,
        "kvm1",
        "ip -n web1 link set eth0 down",
        "ip -n web1 link set eth0 up",
        "interface-down",
        ("kvm1", "kvm1/web1"),
    ),
    "interface down at the target": Break(
        F,
        "kvm2",
        "ip -n web2 link set eth0 down",
        "ip -n web2 link set eth0 up",
        "port-down|interface-down",
        ("kvm2", "v-web2|kvm2/web2"),
    ),
    "address missing": Break(
        F,
        "kvm2",
        "ip -n web2 address del 10.1.1.66/24 dev eth0",
        "ip -n web2 address add 10.1.1.66/24 dev eth0",
        "address",
        ("kvm2", "kvm2/web2"),
        "no address",
    ),
    "another address": Break(
        F,
        "kvm1",
        "ip -n web1 address del 10.1.1.65/24 dev eth0; ip -n web1 address add 10.1.1.77/24 dev eth0",
        "ip -n web1 address del 10.1.1.77/24 dev eth0; ip -n web1 address add 10.1.1.65/24 dev eth0",
        "address",
        ("kvm1", "kvm1/web1"),
        "10.1.1.77",
    ),
    "no route": Break(
        F,
        "kvm1",
        "ip -n web1 route del 10.1.1.0/24",
        "ip -n web1 route add 10.1.1.0/24 dev eth0 src 10.1.1.65 proto kernel scope link",
        "no-route",
        ("kvm1", "kvm1/web1"),
    ),
    "no route back": Break(
        F,
        "kvm2",
        "ip -n web2 route del 10.1.1.0/24",
        "ip -n web2 route add 10.1.1.0/24 dev eth0 src 10.1.1.66 proto kernel scope link",
        "no-route",
        ("kvm2", "kvm2/web2"),
        direction="back",
    ),
    "blackhole": Break(
        F,
        "kvm1",
        "ip -n web1 route add blackhole 10.1.1.66",
        "ip -n web1 route del blackhole 10.1.1.66",
        "route-refuses",
        ("kvm1", "kvm1/web1"),
        "blackhole",
    ),
    "MTU of an endpoint": Break(
        F,
        "kvm1",
        "ip -n web1 link set eth0 mtu 1300",
        "ip -n web1 link set eth0 mtu 1458",
        "mtu",
        ("kvm1", "kvm1/web1"),
        "1300",
        packet=Packet(size=1400),
    ),
    "permanent neighbor": Break(
        F,
        "kvm1",
        "ip -n web1 neighbor replace 10.1.1.66 lladdr 02:00:00:00:00:99 dev eth0",
        "ip -n web1 neighbor del 10.1.1.66 dev eth0",
        "neighbor",
        ("kvm1", "kvm1/web1"),
        "permanent",
    ),
    # The twin pings to be learned, not to be answered: the answer goes to either, so the ping may fail (|| true).
    # Who was learned within the last second would stay (neigh/locktime), so web1 forgets first; a new port forwards when the switch has time.
    "duplicate address": Break(
        F,
        "kvm1",
        "ip netns add twin; ip link add v-twin type veth peer name eth0 netns twin; ip link set v-twin up; ip -n twin link set eth0 up; "
        "ip -n twin address add 10.1.1.66/24 dev eth0; ovs-vsctl add-port br-int v-twin tag=10; "
        "mac=$(ip netns exec twin cat /sys/class/net/eth0/address); for turn in $(seq 30); do "
        "ip -n web1 neighbor flush dev eth0; ip netns exec twin ping -c 1 -W 1 10.1.1.65 || true; "
        "if ip -n web1 neighbor show 10.1.1.66 | grep -q $mac; then exit 0; fi; done; exit 1",
        "ovs-vsctl del-port v-twin; ip netns del twin; ip -n web1 neighbor del 10.1.1.66 dev eth0",
        "duplicate-address",
        ("kvm1", "kvm1/web1"),
        "somebody else",
    ),
    "rule in a namespace": Break(
        F,
        "kvm2",
        nft("input", "tcp dport 80 counter drop", namespace="web2"),
        f"ip netns exec web2 {FLUSH}",
        "firewall",
        ("kvm2", "kvm2/web2"),
        "tcp dport 80",
        packet=TCP,
    ),
    "rule with a counter": Break(
        F,
        "kvm2",
        nft("input", "ip saddr 10.1.1.0/24 icmp type echo-request counter drop", namespace="web2"),
        f"ip netns exec web2 {FLUSH}",
        "firewall",
        ("kvm2", "kvm2/web2"),
        "its counter: ",
    ),
    "reverse path filter of an endpoint": Break(
        F,
        "kvm2",
        "ip netns exec web2 sysctl -qw net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.all.rp_filter=1; ip -n web2 route add 10.1.1.65 dev lo",
        "ip netns exec web2 sysctl -qw net.ipv4.conf.eth0.rp_filter=0; ip -n web2 route del 10.1.1.65 dev lo",
        "rp-filter",
        ("kvm2", "kvm2/web2"),
        "leads by lo",
    ),
    # Ports.
    "tag": Break(
        F,
        "kvm1",
        "ovs-vsctl set port v-web1 tag=77",
        "ovs-vsctl set port v-web1 tag=10",
        "tag",
        ("kvm1", "v-web1"),
        "tag 77",
    ),
    "tag at the target": Break(
        F,
        "kvm2",
        "ovs-vsctl set port v-web2 tag=20",
        "ovs-vsctl set port v-web2 tag=10",
        "tag",
        ("kvm2", "v-web2"),
        "tag 20",
    ),
    "port down": Break(F, "kvm2", "ip link set v-web2 down", "ip link set v-web2 up", "port-down", ("kvm2", "v-web2")),
    "port not in the bridge": Break(
        F,
        "kvm2",
        "ovs-vsctl del-port v-web2",
        "ovs-vsctl add-port br-int v-web2 tag=10",
        "port-gone",
        ("kvm2", "v-web2"),
        "no bridge has it",
    ),
    "port in another bridge": Break(
        F,
        "kvm1",
        "ovs-vsctl del-port v-web1 -- add-port br-underlay v-web1 tag=99",
        "ovs-vsctl del-port v-web1 -- add-port br-int v-web1 tag=10",
        "port-gone",
        ("kvm1", "v-web1"),
        "br-underlay",
    ),
    # Tables.
    "foreign drop flow": Break(
        F,
        "kvm2",
        "ovs-ofctl add-flow br-int cookie=0xbad,priority=100,icmp,actions=drop",
        "ovs-ofctl del-flows br-int cookie=0xbad/-1",
        "foreign-flow",
        ("kvm2", "br-int"),
        "0xbad",
    ),
    "flows deleted": Break(
        F,
        "kvm1",
        "ovs-ofctl del-flows br-int",
        "ovs-ofctl add-flow br-int priority=0,actions=NORMAL",
        "no-flow",
        ("kvm1", "br-int"),
        "no flow matches",
    ),
    "fail mode secure": Break(
        F,
        "kvm2",
        "ovs-vsctl set-fail-mode br-int secure",
        "ovs-vsctl del-fail-mode br-int; ovs-ofctl add-flow br-int priority=0,actions=NORMAL",
        "no-flow",
        ("kvm2", "br-int"),
        "fail_mode secure",
    ),
    "own flow deleted": Break(
        R,
        "kvm1",
        "ovs-ofctl -O OpenFlow15 del-flows br-key table=40,cookie=0/0",
        FLOWS,
        "no-flow|flow",
        ("kvm1", "br-key"),
        "remote",
        KEY,
    ),
    "foreign flow before ours": Break(
        R,
        "kvm2",
        "ovs-ofctl -O OpenFlow15 add-flow br-key table=30,cookie=0xbad,priority=500,ip,actions=drop",
        "ovs-ofctl -O OpenFlow15 del-flows br-key cookie=0xbad/-1",
        "foreign-flow",
        ("kvm2", "br-key"),
        "table 30 local",
        KEY,
    ),
    "another MAC address": Break(
        R,
        "kvm1",
        "ip -n acme1 link set eth0 address 02:00:00:00:00:42",
        "ip -n acme1 link set eth0 address {acme1}",
        "mac",
        ("kvm1", "kvm1/acme1"),
        "02:00:00:00:00:42",
        KEY,
    ),
    # Tunnels.
    "tunnel missing": Break(
        F,
        "kvm1",
        "ovs-vsctl del-port gre-kvm2",
        f"ovs-vsctl add-port br-int gre-kvm2 trunks=10 {GRE}",
        "tunnel-gone",
        ("kvm1", "gre-kvm2"),
    ),
    "remote_ip": Break(
        F,
        "kvm1",
        "ovs-vsctl set interface gre-kvm2 options:remote_ip=192.168.200.99",
        "ovs-vsctl set interface gre-kvm2 options:remote_ip=192.168.200.2",
        "tunnel-remote-ip",
        ("kvm1", "gre-kvm2"),
        "192.168.200.99",
    ),
    "remote_ip at the far end": Break(
        F,
        "kvm2",
        "ovs-vsctl set interface gre-kvm1 options:remote_ip=192.168.200.99",
        "ovs-vsctl set interface gre-kvm1 options:remote_ip=192.168.200.1",
        "tunnel-remote-ip",
        ("kvm2", "gre-kvm1"),
    ),
    "tunnel key": Break(
        F,
        "kvm2",
        "ovs-vsctl set interface gre-kvm1 options:key=7",
        "ovs-vsctl remove interface gre-kvm1 options key",
        "tunnel-key",
        ("kvm2", "gre-kvm1"),
        "key 7",
    ),
    "key of flows": Break(
        R,
        "kvm2",
        "ovs-vsctl set interface keyed-kvm1 options:key=7",
        "ovs-vsctl set interface keyed-kvm1 options:key=flow",
        "tunnel-key",
        ("kvm2", "keyed-kvm1"),
        ends=KEY,
    ),
    "tunnel type": Break(
        F,
        "kvm1",
        "ovs-vsctl set interface gre-kvm2 type=vxlan",
        "ovs-vsctl set interface gre-kvm2 type=gre",
        "tunnel-type",
        ("kvm1", "gre-kvm2"),
        "vxlan",
    ),
    "tunnel that does not work": Break(
        F,
        "kvm1",
        "ovs-vsctl remove interface gre-kvm2 options remote_ip",
        "ovs-vsctl set interface gre-kvm2 options:remote_ip=192.168.200.2",
        "tunnel-error",
        ("kvm1", "gre-kvm2"),
    ),
    "trunks": Break(
        F,
        "kvm2",
        "ovs-vsctl set port gre-kvm1 trunks=20",
        "ovs-vsctl set port gre-kvm1 trunks=10",
        "trunks",
        ("kvm2", "gre-kvm1"),
        "VLAN 10",
    ),
    # The underlay.
    "MTU of the underlay": Break(
        F,
        "kvm1",
        "ovs-vsctl set interface eth1 mtu_request=1400",
        "ovs-vsctl set interface eth1 mtu_request=1500",
        "mtu",
        ("kvm1", "kvm1"),
        "1400",
        packet=Packet(size=1458),
    ),
    "MTU of a router": Break(
        R,
        "r1",
        "ip link set eth2 mtu 1300",
        "ip link set eth2 mtu 1500",
        "adjacency|mtu",
        ("r1", "r1"),
        "",
        packet=Packet(size=1458),
    ),
    "tunnel endpoint without an address": Break(
        F,
        "kvm2",
        "ip address del 192.168.200.2/24 dev tep0",
        "ip address add 192.168.200.2/24 dev tep0",
        "underlay-address",
        ("kvm2", "kvm2"),
        "192.168.200.2",
    ),
    "no route on the underlay": Break(
        F,
        "kvm1",
        "ip route del 192.168.200.0/24",
        "ip route add 192.168.200.0/24 dev tep0 src 192.168.200.1 proto kernel scope link",
        "no-route",
        ("kvm1", "kvm1"),
    ),
    "NIC down": Break(
        F, "kvm2", "ip link set eth1 down", "ip link set eth1 up", "underlay-down", ("kvm1|kvm2", "kvm1|kvm2"), "eth1"
    ),
    "wrong neighbor of the switch": Break(
        F,
        "kvm1",
        "ovs-appctl tnl/neigh/set br-underlay 192.168.200.2 02:00:00:00:00:77",
        "ovs-appctl tnl/neigh/flush",
        "neighbor",
        ("kvm1", "kvm1"),
        "02:00:00:00:00:77",
    ),
    # Routers.
    "forwarding": Break(
        R,
        "r1",
        "sysctl -qw net.ipv4.ip_forward=0",
        "sysctl -qw net.ipv4.ip_forward=1",
        "forwarding",
        ("r1", "r1"),
        "ip_forward",
    ),
    "reverse path filter": Break(
        R,
        "r1",
        "sysctl -qw net.ipv4.conf.eth1.rp_filter=1 net.ipv4.conf.all.rp_filter=1; ip route add 192.168.200.1/32 via 10.254.0.18 dev eth2",
        "ip route del 192.168.200.1/32 via 10.254.0.18 dev eth2; sysctl -qw net.ipv4.conf.eth1.rp_filter=2 net.ipv4.conf.all.rp_filter=2",
        "rp-filter",
        ("r1", "r1"),
        "eth1",
    ),
    "rule of a router": Break(
        R, "r1", nft("forward", "ip protocol gre counter drop"), FLUSH, "firewall", ("r1", "r1"), "ip protocol gre"
    ),
    "policy of a router": Break(
        R,
        "r1",
        nft("forward", "", "drop"),
        FLUSH,
        "firewall",
        ("r1", "r1"),
        "policy drop",
        KEY,
    ),
    "blackhole on a router": Break(
        R,
        "r1",
        "ip route add blackhole 192.168.200.2/32",
        "ip route del blackhole 192.168.200.2/32",
        "route-refuses",
        ("r1", "r1"),
        "blackhole",
    ),
    "link of a router down": Break(
        R, "r1", "ip link set eth2 down", "ip link set eth2 up", "underlay-down", ("r1", "r1"), "eth2"
    ),
    "address of a router": Break(
        R,
        "r1",
        "ip address del 10.254.0.19/31 dev eth2",
        "ip address add 10.254.0.19/31 dev eth2",
        "underlay-address",
        ("r1|kvm2", "r1|kvm2"),
        "10.254.0.19",
    ),
    "FRR down": Break(R, "r1", "systemctl stop frr", "systemctl start frr", "frr-down", ("r1", "r1"), "FRR"),
    "OSPF timers": Break(
        R,
        "r1",
        "vtysh -c conf\\ t -c int\\ eth2 -c ip\\ ospf\\ hello-interval\\ 7",
        "vtysh -c conf\\ t -c int\\ eth2 -c ip\\ ospf\\ hello-interval\\ 1",
        "adjacency",
        ("r1", "r1"),
        "OSPF on eth2 of r1 has the hello interval 7",
    ),
    "loop of routers": Break(
        R,
        "r1",
        "ip route add 192.168.200.2/32 via 10.254.0.10",
        "ip route del 192.168.200.2/32 via 10.254.0.10",
        "loop",
        ("r1", "r1"),
        "circle",
    ),
    "address of a tunnel endpoint on a router": Break(
        R,
        "r1",
        "ip address add 192.168.200.2/32 dev lo",
        "ip address del 192.168.200.2/32 dev lo",
        "duplicate-address",
        ("r1", "r1"),
        "takes the packet",
    ),
    "flow of others on the underlay's bridge": Break(
        F,
        "kvm2",
        "ovs-ofctl add-flow br-underlay cookie=0xbad,priority=9,ip,nw_proto=47,actions=drop",
        "ovs-ofctl del-flows br-underlay cookie=0xbad/-1",
        "foreign-flow",
        ("kvm2", "kvm2"),
        "0xbad",
    ),
    "answers to ARP deleted": Break(
        R,
        "kvm1",
        "ovs-ofctl -O OpenFlow15 del-flows br-key table=21; ip -n acme1 neighbor flush dev eth0",
        FLOWS,
        "arp-unanswered",
        ("kvm1", "br-key"),
        "reply",
        KEY,
    ),
    "wire of a guest gone": Break(
        R,
        "kvm2",
        "ovs-vsctl del-port p-vm2",
        "ovs-vsctl add-port br-key p-vm2 -- set interface p-vm2 type=patch options:peer=q-vm2; sleep 1; " + FLOWS,
        "port-gone",
        ("kvm2", "v-vm2"),
        "p-vm2",
        VM,
    ),
    "MTU of a port": Break(
        F,
        "kvm1",
        "ip link set v-web1 mtu 1300",
        "ip link set v-web1 mtu 1458",
        "mtu",
        ("kvm1", "v-web1"),
        "1300",
        packet=Packet(size=1400),
    ),
    "ARP off": Break(
        F,
        "kvm2",
        "ip -n web2 link set eth0 arp off",
        "ip -n web2 link set eth0 arp on",
        "arp-off",
        ("kvm2", "kvm2/web2"),
    ),
    "open checksums": Break(
        F,
        "kvm1",
        "ip netns exec web1 ethtool -K eth0 tx on",
        "ip netns exec web1 ethtool -K eth0 tx off",
        "checksum",
        ("kvm1", "kvm1/web1"),
        "checksums",
        packet=TCP,
    ),
    "loss that only counters tell": Break(
        F,
        "kvm2",
        "ip -n web2 xfrm policy add dir out src 10.1.1.66/32 dst 10.1.1.65/32 action block",
        "ip -n web2 xfrm policy delete dir out src 10.1.1.66/32 dst 10.1.1.65/32",
        "unsent",
        ("kvm2", "kvm2/web2"),
        "sent",
        direction="back",
    ),
    "policy routing": Break(
        F,
        "kvm1",
        "ip -n web1 rule add to 10.1.1.66 prohibit",
        "ip -n web1 rule del to 10.1.1.66 prohibit",
        "route-refuses",
        ("kvm1", "kvm1/web1"),
        "prohibit",
    ),
    "drop at an interface": Break(
        F,
        "kvm2",
        "ip netns exec web2 nft add table netdev byhand\nip netns exec web2 nft add chain netdev byhand in "
        "'{ type filter hook ingress device eth0 priority 0; policy drop; }'",
        "ip netns exec web2 nft delete table netdev byhand",
        "firewall",
        ("kvm2", "kvm2/web2"),
        "netdev byhand in",
    ),
    # What a kernel, a switch or a person may also do.
    "the target's address in the sender's namespace": Break(
        F,
        "kvm1",
        "ip -n web1 address add 10.1.1.66/32 dev lo",
        "ip -n web1 address del 10.1.1.66/32 dev lo",
        "duplicate-address",
        ("kvm1", "kvm1/web1"),
        "itself",
    ),
    "an endpoint's interface in a bridge": Break(
        F,
        "kvm2",
        "ip -n web2 link add br9 type bridge; ip -n web2 link set eth0 master br9",
        "ip -n web2 link del br9",
        "enslaved",
        ("kvm2", "kvm2/web2"),
        "br9",
    ),
    "ARP ignored": Break(
        F,
        "kvm2",
        "ip netns exec web2 sysctl -qw net.ipv4.conf.eth0.arp_ignore=8; ip -n web2 neighbor flush dev eth0; {forget}",
        "ip netns exec web2 sysctl -qw net.ipv4.conf.eth0.arp_ignore=0",
        "arp-off",
        ("kvm2", "kvm2/web2"),
        "arp_ignore is 8",
    ),
    "rule of the table main gone": Break(
        F,
        "kvm1",
        "ip -n web1 rule del table main",
        "ip -n web1 rule add table main priority 32766",
        "no-route",
        ("kvm1", "kvm1/web1"),
    ),
    "rule by interface": Break(
        R,
        "r1",
        "ip rule add iif eth1 to 192.168.200.2 blackhole",
        "ip rule del iif eth1 to 192.168.200.2 blackhole",
        "route-refuses",
        ("r1", "r1"),
        "blackhole",
    ),
    "rule by mark": Break(
        F,
        "kvm1",
        "ip -n web1 rule add ipproto icmp unreachable",
        "ip -n web1 rule del ipproto icmp unreachable",
        "policy-routing",
        ("kvm1", "kvm1/web1"),
        "unreachable",
    ),
    "queue": Break(
        F,
        "kvm1",
        "ip netns exec web1 tc qdisc add dev eth0 root tbf rate 8bit burst 10 limit 10",
        "ip netns exec web1 tc qdisc del dev eth0 root",
        "queue",
        ("kvm1", "kvm1/web1"),
        "tbf",
    ),
    "flow of others against ARP": Break(
        F,
        "kvm2",
        "ovs-ofctl add-flow br-int cookie=0xbad,priority=100,arp,actions=drop; ip -n web2 neighbor flush dev eth0; {forget}",
        "ovs-ofctl del-flows br-int cookie=0xbad/-1",
        "foreign-flow",
        ("kvm2", "br-int"),
        "the ARP question",
    ),
    "flow of others that rewrites": Break(
        F,
        "kvm1",
        "ovs-ofctl add-flow br-int cookie=0xbad,priority=100,icmp,actions=mod_dl_dst:02:00:00:00:00:77,NORMAL",
        "ovs-ofctl del-flows br-int cookie=0xbad/-1",
        "foreign-flow",
        ("kvm1", "br-int"),
        "0xbad",
    ),
    "group without buckets": Break(
        F,
        "kvm2",
        "ovs-ofctl -O OpenFlow13 add-group br-int group_id=9,type=all; ovs-ofctl -O OpenFlow13 add-flow br-int cookie=0xbad,priority=100,icmp,actions=group:9",
        "ovs-ofctl -O OpenFlow13 del-flows br-int cookie=0xbad/-1; ovs-ofctl -O OpenFlow13 del-groups br-int group_id=9",
        "foreign-flow",
        ("kvm2", "br-int"),
        "group:9",
    ),
    "flow to a wrong port": Break(
        F,
        "kvm2",
        "ovs-ofctl add-flow br-int cookie=0xbad,priority=100,icmp,actions=LOCAL",
        "ovs-ofctl del-flows br-int cookie=0xbad/-1",
        "foreign-flow",
        ("kvm2", "br-int"),
        "0xbad",
    ),
    "static MAC entry": Break(
        F,
        "kvm1",
        "ovs-appctl fdb/add br-int br-int 10 {web2}",
        "ovs-appctl fdb/del br-int 10 {web2}; ovs-appctl fdb/flush br-int",
        "wrong-port|flow",
        ("kvm1", "br-int"),
        "",
    ),
    "port that does not receive": Break(
        F,
        "kvm1",
        "ovs-ofctl mod-port br-int v-web1 no-receive",
        "ovs-ofctl mod-port br-int v-web1 receive",
        "port-config",
        ("kvm1", "br-int|v-web1"),
        "v-web1",
    ),
    "port that does not forward": Break(
        F,
        "kvm2",
        "ovs-ofctl mod-port br-int v-web2 no-forward",
        "ovs-ofctl mod-port br-int v-web2 forward",
        "port-config",
        ("kvm2", "br-int|v-web2"),
        "v-web2",
    ),
    "TTL of a tunnel": Break(
        R,
        "kvm1",
        "ovs-vsctl set interface gre-kvm2 options:ttl=1",
        "ovs-vsctl remove interface gre-kvm2 options ttl",
        "tunnel-option",
        ("kvm1", "gre-kvm2"),
        "ttl 1",
    ),
    "key of one direction": Break(
        F,
        "kvm2",
        "ovs-vsctl set interface gre-kvm1 options:in_key=9",
        "ovs-vsctl remove interface gre-kvm1 options in_key",
        "tunnel-option",
        ("kvm2", "gre-kvm1"),
        "in_key 9",
    ),
    "iptables-legacy": Break(
        F,
        "kvm2",
        "ip netns exec web2 iptables-legacy -A INPUT -s 10.1.1.65 -p icmp -j DROP",
        "ip netns exec web2 iptables-legacy -F INPUT",
        "firewall",
        ("kvm2", "kvm2/web2"),
        "legacy-filter INPUT",
    ),
    "iptables by nft": Break(
        F,
        "kvm2",
        "ip netns exec web2 iptables-nft -A INPUT -s 10.1.1.65/32 -j DROP",
        "ip netns exec web2 iptables-nft -F INPUT",
        "firewall",
        ("kvm2", "kvm2/web2"),
        "ip filter INPUT",
    ),
    "rule against ARP": Break(
        F,
        "kvm2",
        nft("input", "", "drop", "web2", "arp byhand") + "\nip -n web2 neighbor flush dev eth0; {forget}",
        "ip netns exec web2 nft delete table arp byhand",
        "firewall",
        ("kvm2", "kvm2/web2"),
        "arp byhand",
    ),
    "rule at the way out of an interface": Break(
        F,
        "kvm1",
        nft("egress device eth0", "", "drop", "web1", "netdev byhand"),
        "ip netns exec web1 nft delete table netdev byhand",
        "firewall",
        ("kvm1", "kvm1/web1"),
        "netdev byhand",
    ),
    "pings ignored": Break(
        F,
        "kvm2",
        "ip netns exec web2 sysctl -qw net.ipv4.icmp_echo_ignore_all=1",
        "ip netns exec web2 sysctl -qw net.ipv4.icmp_echo_ignore_all=0",
        "echo-ignored",
        ("kvm2", "kvm2/web2"),
        "icmp_echo_ignore_all",
    ),
    "nothing listens": Break(
        F,
        "kvm2",
        "true",
        "true",
        "no-listener",
        ("kvm2", "kvm2/web2"),
        "TCP port 80",
        packet=TCP,
    ),
    "guest paused": Break(
        R,
        "kvm2",
        "virsh -q suspend vm2",
        "virsh -q resume vm2",
        "guest",
        ("kvm2", "kvm2/vm2"),
        "paused",
        VM,
    ),
    "tag of the underlay's NIC": Break(
        F,
        "kvm2",
        "ovs-vsctl set port eth1 tag=99",
        "ovs-vsctl set port eth1 tag=[]",
        "tag",
        ("kvm2", "kvm2"),
        "tag 99",
    ),
    "trunks of the underlay's NIC": Break(
        F,
        "kvm1",
        "ovs-vsctl set port eth1 trunks=5",
        "ovs-vsctl set port eth1 trunks=[]",
        "trunks",
        ("kvm1", "kvm1"),
        "eth1",
    ),
    "forwarding of one interface": Break(
        R,
        "r1",
        "sysctl -qw net.ipv4.conf.eth1.forwarding=0",
        "sysctl -qw net.ipv4.conf.eth1.forwarding=1",
        "forwarding",
        ("r1", "r1"),
        "eth1.forwarding",
    ),
    "OSPF passive": Break(
        R,
        "r1",
        "vtysh -c conf\\ t -c int\\ eth2 -c ip\\ ospf\\ passive",
        "vtysh -c conf\\ t -c int\\ eth2 -c no\\ ip\\ ospf\\ passive",
        "adjacency",
        ("r1", "r1"),
        "OSPF on eth2 of r1 is passive",
    ),
    "OSPF area": Break(
        R,
        "kvm2",
        "vtysh -c conf\\ t -c int\\ ul-eth1 -c no\\ ip\\ ospf\\ area -c ip\\ ospf\\ area\\ 9",
        "vtysh -c conf\\ t -c int\\ ul-eth1 -c no\\ ip\\ ospf\\ area -c ip\\ ospf\\ area\\ 0",
        "adjacency",
        ("kvm2", "kvm2"),
        "OSPF on ul-eth1 of kvm2 has the area 0.0.0.9",
    ),
    "OSPF authentication": Break(
        R,
        "r1",
        "vtysh -c conf\\ t -c int\\ eth2 -c ip\\ ospf\\ authentication",
        "vtysh -c conf\\ t -c int\\ eth2 -c no\\ ip\\ ospf\\ authentication",
        "adjacency",
        ("r1", "r1"),
        "OSPF on eth2 of r1 authenticates by password",
    ),
    "unreachable on a host": Break(
        R,
        "kvm1",
        "ip route add unreachable 192.168.200.2/32 metric 1",
        "ip route del unreachable 192.168.200.2/32 metric 1",
        "route-refuses",
        ("kvm1", "kvm1"),
        "unreachable",
    ),
    "prefix length": Break(
        F,
        "kvm1",
        "ip -n web1 address del 10.1.1.65/24 dev eth0; ip -n web1 address add 10.1.1.65/32 dev eth0",
        "ip -n web1 address del 10.1.1.65/32 dev eth0; ip -n web1 address add 10.1.1.65/24 dev eth0",
        "address",
        ("kvm1", "kvm1/web1"),
    ),
    "table of others": Break(
        F,
        "kvm2",
        "ip -n web2 rule add from 10.1.1.66 table 98; ip -n web2 route add unreachable default table 98",
        "ip -n web2 rule del from 10.1.1.66 table 98; ip -n web2 route flush table 98",
        "route-refuses",
        ("kvm2", "kvm2/web2"),
        "in table 98",
        direction="back",
    ),
    "rule of IPv6": Break(
        F,
        "kvm1",
        "ip -n web1 -6 rule add to 2001:db8:1::1:2 prohibit",
        "ip -n web1 -6 rule del to 2001:db8:1::1:2 prohibit",
        "route-refuses",
        ("kvm1", "kvm1/web1"),
        "prohibit",
        ends=("kvm1/web1", "2001:db8:1::1:2"),
    ),
    "spanning tree": Break(
        F,
        "kvm1",
        "ovs-vsctl set bridge br-int stp_enable=true; sleep 1",
        "ovs-vsctl set bridge br-int stp_enable=false; ovs-ofctl mod-port br-int gre-kvm2 no-flood; ovs-ofctl mod-port br-int gre-kvm2 flood",
        "spanning-tree",
        ("kvm1", "br-int"),
        "STP",
    ),
    "OSPF off on a link": Break(
        R,
        "kvm2",
        "vtysh -c conf\\ t -c int\\ ul-eth1 -c no\\ ip\\ ospf\\ area",
        "vtysh -c conf\\ t -c int\\ ul-eth1 -c ip\\ ospf\\ area\\ 0",
        "adjacency",
        ("kvm2", "kvm2"),
        "OSPF on ul-eth1 of kvm2 does not run",
    ),
    # Guests and services.
    "guest": Break(
        R,
        "kvm2",
        "virsh -q destroy vm2",
        "virsh -q start vm2",
        "guest|port-gone",
        ("kvm2", "kvm2/vm2|v-vm2"),
        "shut off",
        VM,
    ),
    "plug of a guest": Break(
        R,
        "kvm2",
        "ovs-vsctl set port v-vm2 tag=5",
        "ovs-vsctl set port v-vm2 tag={plug}",
        "tag",
        ("kvm2", "v-vm2"),
        "tag 5",
        VM,
    ),
    "Open vSwitch": Break(
        R,
        "kvm2",
        "systemctl stop openvswitch-switch ovs-vswitchd ovsdb-server",
        "systemctl start openvswitch-switch",
        "ovs-down",
        ("kvm2", "kvm2"),
        ends=KEY,
    ),
    # What hangs, and what is below all rules.
    "a switch that hangs": Break(
        F,
        "kvm2",
        "kill -STOP $(pidof ovs-vswitchd)",
        "kill -CONT $(pidof ovs-vswitchd)",
        "ovs-down",
        ("kvm2", "br-int"),
        "ovs-vswitchd on kvm2 does not answer",
    ),
    "a daemon of FRR that hangs": Break(
        R,
        "r1",
        "kill -STOP $(pidof ospfd); sleep 3",
        "kill -CONT $(pidof ospfd)",
        "frr-hangs",
        ("r1", "r1"),
        "ospfd of FRR on r1 does not answer",
    ),
    "port down at the source": Break(
        F, "kvm1", "ip link set v-web1 down", "ip link set v-web1 up", "port-down", ("kvm1", "v-web1")
    ),
    "mode of a tunnel's port": Break(
        F,
        "kvm1",
        "ovs-vsctl set port gre-kvm2 vlan_mode=access",
        "ovs-vsctl clear port gre-kvm2 vlan_mode",
        "trunks",
        ("kvm1", "gre-kvm2"),
        "vlan_mode access",
    ),
    "rule at a NIC of the underlay": Break(
        F,
        "kvm1",
        nft("egress device eth1", "ip protocol gre drop", table="netdev byhand"),
        "nft delete table netdev byhand",
        "firewall",
        ("kvm1", "kvm1"),
        "netdev byhand",
    ),
    "rule at the target's port": Break(
        F,
        "kvm2",
        nft("egress device v-web2", "", "drop", table="netdev byhand"),
        "nft delete table netdev byhand",
        "firewall",
        ("kvm2", "v-web2"),
        "netdev byhand",
    ),
    "pings ignored by a host": Break(
        R,
        "kvm1",
        "sysctl -qw net.ipv4.icmp_echo_ignore_all=1",
        "sysctl -qw net.ipv4.icmp_echo_ignore_all=0",
        "echo-ignored",
        ("kvm1", "kvm1"),
        "icmp_echo_ignore_all",
        ("kvm2", "kvm1"),
    ),
    "table of others on a router": Break(
        R,
        "r1",
        "ip rule add pref 5 to 192.168.200.2 lookup 77; ip route add unreachable default table 77",
        "ip rule del pref 5; ip route flush table 77",
        "route-refuses",
        ("r1", "r1"),
        "in table 77",
    ),
}

# A long run takes these, too.
MORE = {
    # FRR and the kernel.
    "route that zebra keeps from the kernel": Break(
        R,
        "r1",
        "vtysh -c conf\\ t -c route-map\\ byhand\\ deny\\ 10 -c exit -c ip\\ protocol\\ ospf\\ route-map\\ byhand; "
        + until("! ip route show 192.168.200.2 | grep -q ."),
        "vtysh -c conf\\ t -c no\\ ip\\ protocol\\ ospf\\ route-map\\ byhand -c no\\ route-map\\ byhand",
        "no-route",
        ("r1", "r1"),
        "ip protocol ospf route-map byhand",
    ),
    "blackhole of FRR": Break(
        R,
        "r1",
        "vtysh -c conf\\ t -c ip\\ route\\ 192.168.200.2/32\\ blackhole; "
        + until("ip route show type blackhole | grep -q 192.168.200.2"),
        "vtysh -c conf\\ t -c no\\ ip\\ route\\ 192.168.200.2/32\\ blackhole",
        "route-refuses",
        ("r1", "r1"),
        "blackhole",
    ),
    "MTU of a router's route": Break(
        R,
        "r1",
        f"ip route replace {OSPF_ROUTE} mtu lock 1300",
        f"ip route replace {OSPF_ROUTE}",
        "mtu",
        ("r1", "r1"),
        "MTU 1300 of the route of r1",
        packet=Packet(size=1400),
    ),
    "a router's interface in a bridge": Break(
        R,
        "r1",
        "ip link add br9 type bridge; ip link set br9 up; ip link set eth2 master br9",
        "ip link del br9",
        "enslaved",
        ("r1", "r1"),
        "eth2 on r1 is a port of br9",
    ),
    # Sets, maps and hooks of nftables.
    "a named set": Break(
        F,
        "kvm2",
        nft("input", "", namespace="web2")
        + "\nip netns exec web2 nft add set inet byhand bad '{ type ipv4_addr; elements = { 10.1.1.65 }; }'"
        + "\nip netns exec web2 nft add rule inet byhand input ip saddr @bad counter drop",
        f"ip netns exec web2 {FLUSH}",
        "firewall",
        ("kvm2", "kvm2/web2"),
        "ip saddr @bad drop",
    ),
    "a map of verdicts": Break(
        F,
        "kvm2",
        nft("input", "ip saddr vmap '{ 10.1.1.65 : drop }'", namespace="web2"),
        f"ip netns exec web2 {FLUSH}",
        "firewall",
        ("kvm2", "kvm2/web2"),
        "ip saddr 10.1.1.65 drop",
    ),
    "a rule that writes the TTL": Break(
        R,
        "r1",
        nft("prerouting", "ip protocol gre ip ttl set 1"),
        FLUSH,
        "firewall",
        ("r1", "r1"),
        "ip ttl set 1",
    ),
    "rule before routing at a host": Break(
        R,
        "kvm1",
        nft("prerouting", "icmp type echo-request drop"),
        FLUSH,
        "firewall",
        ("kvm1", "kvm1"),
        "icmp type echo-request drop",
        ("kvm2", "kvm1"),
    ),
    # Addresses, routes and tunnels beside the planned ones.
    "prefix length of a tunnel endpoint": Break(
        F,
        "kvm1",
        "ip address del 192.168.200.1/24 dev tep0; ip address add 192.168.200.1/32 dev tep0",
        "ip address del 192.168.200.1/32 dev tep0; ip address add 192.168.200.1/24 dev tep0",
        "underlay-address",
        ("kvm1", "kvm1"),
        "192.168.200.1/32, another prefix length",
    ),
    "route to an interface of nobody": Break(
        R,
        "r1",
        "ip link add byhand0 type veth peer name byhand1; ip link set byhand0 up; ip link set byhand1 up; ip route add 192.168.200.2/32 dev byhand0",
        "ip link del byhand0",
        "wrong-route",
        ("r1", "r1"),
        "leads to byhand0, where nobody has it",
    ),
    "the far tunnel endpoint's address on a host": Break(
        F,
        "kvm1",
        "ip address add 192.168.200.2/32 dev lo",
        "ip address del 192.168.200.2/32 dev lo",
        "duplicate-address",
        ("kvm1", "kvm1"),
        "kvm1 has the address 192.168.200.2",
    ),
}


def fabric_of(folder: t.Any, routed: bool) -> Fabric:
    """Two hosts, on one wire, or with a router between them and a second overlay by key."""
    fabric = Fabric(folder, f"trace-{os.getpid()}-{'r' if routed else 'f'}")
    segments = [{"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:1::/64", "overlay": "gre"}]
    if routed:
        segments.append({"name": "acme", "key": 5001, "subnet": "10.2.1.0/24", "overlay": "keyed"})
        fabric.intent.update(
            fabric_links=[{"ends": ["kvm1:eth1", "r1:eth1"]}, {"ends": ["kvm2:eth1", "r1:eth2"]}],
            fabric_routing={"hello_interval": 1, "dead_interval": 2},
        )
        fabric.intent["fabric_overlays"].append(
            {"name": "keyed", "encapsulation": "geneve", "segments_by": "key", "bridge": "br-key"}
        )
        fabric.routers = {"r1": {}}
    fabric.intent["fabric_segments"] = segments
    names = [segment["name"] for segment in segments]
    fabric.hosts = {f"kvm{number}": one_each(number, names) for number in (1, 2)}
    if routed:
        guest = {"name": "vm2", "kind": "guest", "segment": "acme", "guest": {"image": "lab"}}
        container = {"name": "app2", "kind": "container", "segment": "web", "container": {"image": "lab"}}
        fabric.hosts["kvm2"]["fabric_endpoints"] += [guest, container]
    fabric.write()
    return fabric


@pytest.fixture(scope="module")
def fabrics(tmp_path_factory):
    """Both fabrics, built side by side."""
    made = {name: fabric_of(tmp_path_factory.mktemp(name), name == R) for name in (F, R)}

    def build(fabric: Fabric) -> None:
        fabric.play("playbooks/lab.yml")
        fabric.play("site.yml")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        try:
            list(pool.map(build, made.values()))
            yield made
        finally:
            list(pool.map(lambda fabric: fabric.play("playbooks/lab_down.yml"), made.values()))


@pytest.fixture(scope="module")
def tracers(fabrics):
    made = {name: Tracer(plan_of(fabric.folder), fabric.lab) for name, fabric in fabrics.items()}
    for name, ends in SOUND:
        # Adjacencies and what switches have learned settle after a boot.
        made[name].converge(ends)
    return made


def by_hand(fabric: Fabric, tracer: Tracer, host: str, commands: str) -> None:
    plan = tracer.plan
    words = {"fabric": plan["fabric"], "acme1": "", "plug": ""}
    words.update({point["name"]: point["mac"] for point in plan["endpoints"]})
    for bridge in plan["hosts"].get(host, {}).get("bridges", ()):
        words["plug"] = next(
            (port["tag"] for port in bridge.get("ports", ()) if port["name"] == "q-vm2"), words["plug"]
        )
    # The other side's memory, where a break is about asking for an address.
    words["forget"] = "true"
    if "{forget}" in commands:
        fabric.on("kvm1", "ip", "-n", "web1", "neighbor", "flush", "dev", "eth0")
    for name, value in words.items():
        commands = commands.replace("{" + name + "}", str(value))
    fabric.on(host, "bash", "-ec", commands)


# Each takes some ten seconds. `make test` says that it takes every fifth.
CHOSEN = [*BREAKS, *MORE] if os.environ.get("OVERLOOM_LONG") else list(BREAKS)[::5]


@pytest.mark.parametrize("name", CHOSEN)
def test_a_trace_names_the_hop_and_the_cause(fabrics, tracers, name):
    broken = {**BREAKS, **MORE}[name]
    fabric, tracer = fabrics[broken.lab], tracers[broken.lab]
    try:
        by_hand(fabric, tracer, broken.host, broken.do)
        if broken.cause in ("adjacency", "frr-down", "frr-hangs", "underlay-down"):
            # Until the neighbors have noticed.
            for _attempt in range(20):
                report = tracer.run(*broken.ends, broken.packet)
                died = report["died"] or {"cause": "", "direction": ""}
                if (died["cause"], died["direction"]) == (broken.cause, broken.direction):
                    break
        else:
            report = tracer.run(*broken.ends, broken.packet)
    finally:
        by_hand(fabric, tracer, broken.host, broken.undo)
    shown = "\n".join(report["lines"])
    died = report["died"]
    assert died, shown
    assert died["cause"] in broken.cause.split("|"), shown
    hosts, names = (part.split("|") for part in broken.at)
    assert died["at"]["host"] in hosts and died["at"]["name"] in names, shown
    assert broken.says in died["because"], shown
    assert died["direction"] == broken.direction, shown
    assert not report["passed"] and died["because"] in shown
    after = tracer.passes(*broken.ends, 30, measure=True)
    assert after["passed"], "mended, but " + "\n".join(after["lines"])


@pytest.mark.parametrize("lab,ends", SOUND)
def test_a_sound_fabric_gives_no_alarm_and_a_trace_changes_nothing(tracers, lab, ends):
    tracer = tracers[lab]
    tracer.converge(ends)
    hosts = list(tracer.hosts)
    before = {host: tracer.state(host) for host in hosts}
    reports = [tracer.run(*ends) for _number in range(3)]
    after = {host: tracer.state(host) for host in hosts}
    for report in reports:
        assert report["passed"] and not report["remark"], "\n".join(report["lines"])
        assert report["measured"]["received"] == report["measured"]["sent"] > 0
    assert before == after


def test_ipv6_is_followed_to_the_address_that_is_named(fabrics, tracers):
    tracer = tracers[F]
    target = next(point["address6"] for point in tracer.plan["endpoints"] if point["id"] == "kvm2/web2")
    ends = ("kvm1/web1", target)
    report = tracer.passes(*ends, 30, measure=True)
    assert report["passed"] and not report["remark"], "\n".join(report["lines"])
    assert report["packet"]["family"] == 6 and report["measured"]["received"] > 0
    fabrics[F].on("kvm2", "ip", "-n", "web2", "address", "delete", f"{target}/64", "dev", "eth0")
    try:
        died = tracer.run(*ends)["died"]
    finally:
        fabrics[F].on("kvm2", "ip", "-n", "web2", "address", "add", f"{target}/64", "dev", "eth0", "nodad")
    assert (died["cause"], died["at"]["name"]) == ("address", "kvm2/web2")


def test_the_playbook_draws_the_path_and_its_exit_status_tells(fabrics, tracers):
    """The whole way, as its user goes it."""
    fabric = fabrics[R]
    tracers[R].converge(WEB)
    options = ["-e", "from=kvm1/web1", "-e", "to=kvm2/web2", "-e", f"trace_report={fabric.folder}"]
    said = fabric.play("playbooks/trace.yml", *options)
    assert "● arrives" in said and "route to 192.168.200.2: dev eth2 via" in said
    assert json.loads((fabric.folder / "trace.json").read_text())["passed"] is True
    fabric.on("r1", "sysctl", "-qw", "net.ipv4.ip_forward=0")
    try:
        said = fabric.play("playbooks/trace.yml", *options, ok=False)
    finally:
        fabric.on("r1", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    assert "ends at r1, router r1 (there): r1 does not forward" in said
    assert "mend: on r1: sysctl -w net.ipv4.ip_forward=1" in said
    died = json.loads((fabric.folder / "trace.json").read_text())["died"]
    assert (died["cause"], died["at"]["host"]) == ("forwarding", "r1")
    said = fabric.play("playbooks/trace.yml", "-e", "from=kvm1/wbe1", "-e", "to=kvm2/web2", ok=False)
    assert "did you mean kvm1/web1?" in said


def tool(*argv: object) -> str:
    return subprocess.run([str(word) for word in argv], check=True, capture_output=True, text=True).stdout


def test_a_capture_shows_each_packet_at_every_hop_and_where_it_stops(fabrics, tracers):
    """Wireshark's own tools read the file; hosts are as they were."""
    fabric, tracer = fabrics[R], tracers[R]
    tracer.converge(WEB)
    options = ["-e", "from=kvm1/web1", "-e", "to=kvm2/web2", "-e", "seconds=8", "-e", f"capture_report={fabric.folder}"]
    before = {host: tracer.state(host) for host in tracer.hosts}
    said = fabric.play("playbooks/capture.yml", *options)
    assert "packets arrive, and answers come back" in said
    assert {host: tracer.state(host) for host in tracer.hosts} == before
    assert "ping" not in fabric.on("kvm1", "bash", "-c", "cat /proc/[0-9]*/comm || true").split()
    file = fabric.folder / "capture-kvm1_web1-kvm2_web2.pcapng"
    points = [
        "kvm1/web1:eth0",
        "kvm1:v-web1",
        "kvm1:eth1",
        "r1:eth1",
        "r1:eth2",
        "kvm2:eth1",
        "kvm2:v-web2",
        "kvm2/web2:eth0",
    ]
    told = tool("capinfos", file)
    assert re.findall(r"Name = (\S+)", told) == points and "Comment = NIC of the underlay" in told
    assert "Strict time order:   True" in told
    fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.protocols", "-e", "icmp.seq"]
    rows = [line.split("\t") for line in tool("tshark", "-r", file, "-Y", "icmp.type == 8", *fields).splitlines()]
    seen = {point: {row[2] for row in rows if row[0] == point} for point in points}
    assert set.intersection(*seen.values()), f"no ping was seen at all points: {seen}"
    assert all(("gre" in row[1]) == (row[0] in points[2:6]) for row in rows)
    fabric.on("r1", "sysctl", "-qw", "net.ipv4.ip_forward=0")
    try:
        said = fabric.play("playbooks/capture.yml", *options, ok=False)
    finally:
        fabric.on("r1", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    assert "packets stop on the way there after r1:eth1 (link of the router); r1:eth2" in said


# What a person changes by hand, on which host, and a line of drift's text that must tell of it.
BY_HAND = {
    "the tag of a port": ("kvm1", "ovs-vsctl set port v-web1 tag=20", "interfaces eth0 tag: 20; planned: 10"),
    "a deleted port": ("kvm2", "ovs-vsctl del-port v-web2", "interfaces eth0 plugged: no; planned: yes"),
    "the remote end of a tunnel": (
        "kvm1",
        "ovs-vsctl set interface gre-kvm2 options:remote_ip=192.0.2.9",
        "remote_ip: 192.0.2.9; planned: 192.168.200.2",
    ),
    "a tunnel that is in no intent any more": (
        "kvm2",
        "ovs-vsctl add-port br-int gre-old -- set interface gre-old type=gre options:remote_ip=192.0.2.7 options:key=9"
        " -- set port gre-old external_ids:overloom-owner={fabric} external_ids:overloom-module=ovs_tunnel",
        "kvm2 tunnel gre-old",
    ),
    "deleted flows": ("kvm1", "ovs-ofctl del-flows br-key table=0", "kvm1 flows"),
    "an address": (
        "kvm1",
        "ip -n acme1 address flush dev eth0 scope global",
        "interfaces eth0 addresses: none; planned: 10.2.1.",
    ),
    "a line of FRR": (
        "r1",
        "vtysh -c 'configure terminal' -c 'interface eth1' -c 'ip ospf cost 77'",
        "lines: ip ospf cost 77; planned: ip ospf cost 10",
    ),
    "a kernel parameter": ("r1", "sysctl -qw net.ipv4.ip_forward=0", "net/ipv4/ip_forward: 0; planned: 1"),
    "a unit": (
        "kvm2",
        "echo '# by hand' >> /etc/systemd/system/overloom-netns-acme2.service",
        "at_boot: otherwise; planned: yes",
    ),
    "a guest": ("kvm2", "virsh setmaxmem vm2 200M --config", "memory: 200MiB; planned: 128MiB"),
    "a container": ("kvm2", "systemctl stop overloom-container-app2", "running: no; planned: yes"),
}
FOREIGN = "ovs-vsctl add-br br-foreign -- set bridge br-foreign datapath_type=netdev; ip netns add foreign"


def test_drift_names_all_that_was_changed_by_hand_changes_nothing_and_site_repairs_it(fabrics, tracers):
    """The last test of this module, as it breaks all of a fabric at once."""
    fabric, tracer = fabrics[R], tracers[R]
    options = ["-e", f"drift_report={fabric.folder}"]
    fabric.on("kvm2", "bash", "-ec", FOREIGN)
    sound = {host: tracer.state(host) for host in tracer.hosts}
    said = fabric.play("playbooks/drift.yml", *options)
    assert "no drift" in said and "hosts compared  3 of 3" in said
    foreign = json.loads((fabric.folder / "drift.json").read_text())["foreign"]
    assert [(one["kind"], one["name"]) for one in foreign] == [("bridge", "br-foreign"), ("namespace", "foreign")]
    assert {host: tracer.state(host) for host in tracer.hosts} == sound
    for host, commands, _told in BY_HAND.values():
        by_hand(fabric, tracer, host, commands)
    broken = {host: tracer.state(host) for host in tracer.hosts}
    said = fabric.play("playbooks/drift.yml", *options, ok=False)
    assert {host: tracer.state(host) for host in tracer.hosts} == broken
    for what, (_host, _commands, told) in BY_HAND.items():
        assert told in said, f"{what} is not told:\n{said}"
    report = json.loads((fabric.folder / "drift.json").read_text())
    assert [one["thing"] for one in report["orphaned"]] == ["tunnel gre-old"] and not report["failed"]
    fabric.play("site.yml")
    assert "no drift" in fabric.play("playbooks/drift.yml", *options)
    fabric.on("kvm2", "bash", "-ec", "ovs-vsctl del-br br-foreign; ip netns del foreign")

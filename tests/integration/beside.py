# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host as other people's software leaves it, made by the same objects with the real tools: it is there now, and again at each boot.

Docker, Incus, Calico and kube-proxy, firewalld and nftables.service, Neutron, a VPN, keepalived, a policy of routes, sysctl files, and
units and files with names that are like those of the collection.
"""

from __future__ import annotations

import typing as t

from harness import Host, wait

# At boot, as their own daemons do it. No `set -e` where a lab host keeps what a real one loses: rules outlive its reboot.
UP = """#!/bin/sh
set -eu
bridge() { [ -e /sys/class/net/$1 ] || ip link add $1 type bridge; ip link set $1 up; ip address replace $2 dev $1; }
bridge docker0 172.17.0.1/16
bridge lxdbr0 10.99.1.1/24
bridge cni0 10.244.0.1/24
# A container of theirs, by Calico: a veth with a route of its own, and what is not used of its block is dropped.
ip netns add theirs
ip link add cali7a1b type veth peer name eth0 netns theirs
ip link set cali7a1b up
ip -n theirs link set eth0 up
ip -n theirs address add 10.245.0.7/32 dev eth0
ip route replace 10.245.0.7 dev cali7a1b scope link proto 80
ip route replace blackhole 10.245.0.0/26 proto 80
# A VPN.
ip tuntap add wg0 mode tun
ip address replace 10.9.0.1/24 dev wg0
ip link set wg0 up
# Docker's and kube-proxy's chains.
iptables -P FORWARD $FORWARD
for chain in DOCKER DOCKER-USER KUBE-FORWARD; do iptables -N $chain || true; done
iptables -A FORWARD -j DOCKER-USER
iptables -A FORWARD -i docker0 -j ACCEPT
iptables -A DOCKER-USER -j RETURN
iptables -t nat -N KUBE-SERVICES || true
iptables -t nat -A PREROUTING -j KUBE-SERVICES
iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
nft -f - <<END
table inet incus {
  chain pstrt.lxdbr0 { type nat hook postrouting priority srcnat; ip saddr 10.99.1.0/24 ip daddr != 10.99.1.0/24 masquerade; }
}
table inet firewalld {
  chain filter_INPUT { type filter hook input priority filter + 10; policy accept; jump filter_IN_public; }
  chain filter_IN_public { ct state established,related accept; }
}
END
# Policy routing.
ip rule list priority 900 | grep -q . || ip rule add from 10.99.1.0/24 lookup 99 priority 900
ip route replace default via 10.99.1.254 table 99
# Neutron's bridges.
ovs-vsctl --may-exist add-br br-int -- set bridge br-int datapath_type=netdev fail_mode=secure external_ids:ct-zone-p1=7 \\
  -- --may-exist add-br br-ex -- set bridge br-ex datapath_type=netdev external_ids:bridge-id=br-ex \\
  -- --may-exist add-br br-tun -- set bridge br-tun datapath_type=netdev fail_mode=secure \\
  -- --may-exist add-port br-int patch-tun -- set interface patch-tun type=patch options:peer=patch-int \\
  -- --may-exist add-port br-tun patch-int -- set interface patch-int type=patch options:peer=patch-tun \\
  -- --may-exist add-port br-tun vxlan-c0a80a0b -- set interface vxlan-c0a80a0b type=vxlan options:remote_ip=192.0.2.11 options:key=flow
ovs-vsctl set Open_vSwitch . external_ids:ovn-bridge-mappings=physnet1:br-ex
ovs-ofctl del-flows br-int
ovs-ofctl add-flow br-int cookie=0x1f00,priority=7,ip,nw_dst=10.77.9.9,actions=drop
"""
UNIT = """[Unit]
After=openvswitch-switch.service nftables.service
Wants=openvswitch-switch.service
[Service]
Type=oneshot
RemainAfterExit=yes
Environment=FORWARD={forward}
ExecStart=/usr/local/sbin/theirs-up
[Install]
WantedBy=multi-user.target
"""
# dnsmasq of Incus, on its bridge alone.
DHCP = """[Unit]
After=theirs.service
Requires=theirs.service
[Service]
ExecStart=/usr/sbin/dnsmasq --keep-in-foreground --conf-file=/dev/null --strict-order --except-interface=lo --interface=lxdbr0 --bind-interfaces \
  --dhcp-range=10.99.1.10,10.99.1.99,1h --listen-address=10.99.1.1 --pid-file= --port=0
[Install]
WantedBy=multi-user.target
"""
VIRTUAL = "10.99.1.250/24"
VRRP = f"""vrrp_instance theirs {{
  interface lxdbr0
  virtual_router_id 77
  priority 100
  advert_int 1
  virtual_ipaddress {{ {VIRTUAL} }}
}}
"""
# Takes all tables away at each boot and restart; then a host that takes in what it knows. {more}: rules of those who know of the fabric.
NFT = """#!/usr/sbin/nft -f
flush ruleset
table inet filter {{
  chain input {{
    type filter hook input priority filter; policy drop;
    iif lo accept
    ct state established,related accept
    meta l4proto ipv6-icmp accept
    tcp dport 22 accept
    {more}
  }}
  chain forward {{ type filter hook forward priority filter; policy accept; }}
}}
"""
KNOWS = "icmp type echo-request accept; meta l4proto {gre, ospf} accept; udp dport {3784, 4789, 6081} accept; tcp dport >= 61000 accept"
FILES = {
    "/etc/systemd/system/overloom-backup.service": "[Service]\nExecStart=/bin/true\n",
    "/etc/systemd/system/overloom-netns-spare.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "/etc/systemd/system/overloom-port-docker0.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "/etc/netns/theirs/resolv.conf": "nameserver 192.0.2.53\n",
    "/etc/sysctl.d/99-theirs.conf": "net.ipv4.tcp_fin_timeout = 33\n",
    "/etc/netplan/50-cloud-init.yaml": "network:\n  version: 2\n  ethernets:\n    eth9: {dhcp4: true}\n",
    "/etc/keepalived/keepalived.conf": VRRP,
    # It ends where its interface is not there yet.
    "/etc/systemd/system/keepalived.service.d/theirs.conf": "[Unit]\nAfter=theirs.service\n",
}
LOOKS = {
    "firewall": "for t in 'inet filter' 'inet incus' 'inet firewalld' 'ip filter' 'ip nat'; do nft -s list table $t; done; true",
    "switch": "for b in br-int br-ex br-tun; do ovs-vsctl --columns=name,fail_mode,datapath_type,external_ids,other_config list bridge $b; "
    "ovs-vsctl list-ports $b; done; "
    "ovs-vsctl get Open_vSwitch . external_ids:ovn-bridge-mappings; ovs-ofctl --no-stats dump-flows br-int",
    "rules": "ip rule show; ip route show table 99; ip route show proto 80; ip route show type blackhole",
    "interfaces": "for i in docker0 lxdbr0 cni0 cali7a1b wg0; do ip -o address show dev $i scope global | sed 's/^[0-9]*//; s/valid.*//'; "
    "cat /sys/class/net/$i/flags; done",
    "namespace": "ip -n theirs -o address show dev eth0 scope global | sed 's/^[0-9]*//'; ip -n theirs route",
    "files": f"sha256sum {' '.join(sorted([*FILES, '/etc/nftables.conf']))}",
    "services": "systemctl is-active theirs theirs-dhcp keepalived nftables; systemctl is-enabled theirs theirs-dhcp keepalived nftables",
    "sysctl": "sysctl net.ipv4.tcp_fin_timeout",
}


def crowd(host: Host, forward: str = "ACCEPT", more: str = KNOWS) -> None:
    """Put all of that onto a host. forward: what Docker sets the policy of FORWARD to. more: what the host's own firewall takes in besides."""
    for path, text in FILES.items():
        host.write(path, text)
    firewall(host, more)
    host.write("/usr/local/sbin/theirs-up", UP)
    host.write("/etc/systemd/system/theirs.service", UNIT.format(forward=forward))
    host.write("/etc/systemd/system/theirs-dhcp.service", DHCP)
    host.run(["chmod", "755", "/usr/local/sbin/theirs-up", "/etc/nftables.conf"])
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "enable", "--now", "--quiet", "openvswitch-switch", "nftables", "theirs", "theirs-dhcp"])
    host.run(["systemctl", "unmask", "--quiet", "keepalived"], ok=None)
    host.run(["systemctl", "enable", "--quiet", "keepalived"])
    host.run(["systemctl", "restart", "keepalived"])
    host.run(["sysctl", "--quiet", "--load", "/etc/sysctl.d/99-theirs.conf"])
    # keepalived takes its address a few seconds after its start; what is looked at before that would be something else than theirs.
    addresses = ["ip", "-oneline", "address", "show", "dev", "lxdbr0"]
    wait(lambda: VIRTUAL in host.run(addresses), "keepalived's address", 60, lambda: host.run(addresses))


def firewall(host: Host, more: str) -> None:
    """Write what the host's own firewall takes in; it is loaded when nftables.service is started again."""
    host.write("/etc/nftables.conf", NFT.format(more=more))


def look(host: Host) -> dict[str, str]:
    """All of it as it is now."""
    return {name: host.run(["sh", "-c", command]) for name, command in LOOKS.items()}


def differences(before: t.Mapping[str, str], after: t.Mapping[str, str]) -> list[str]:
    """What is not as it was, line by line."""
    found = []
    for part, text in before.items():
        was, there = text.splitlines(), after[part].splitlines()
        found += [f"{part}: gone: {line}" for line in was if line not in there]
        found += [f"{part}: new: {line}" for line in there if line not in was]
    return found

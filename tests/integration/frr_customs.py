# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""More files frr.conf, each short and with one custom of those who write them: as pasted, generated, merged, translated from another router."""

from __future__ import annotations

CUSTOMS = {
    "NCLU of Cumulus: unnumbered sessions without a family": """\
frr version 4.0+cl3u13
frr defaults datacenter
hostname leaf01
username cumulus nopassword
!
service integrated-vtysh-config
!
log syslog informational
!
interface eth2
 ipv6 nd ra-interval 10
 no ipv6 nd suppress-ra
!
router bgp 65011
 bgp router-id 10.0.0.11
 bgp bestpath as-path multipath-relax
 neighbor fabric peer-group
 neighbor fabric remote-as external
 neighbor fabric description Internal Fabric Network
 neighbor fabric capability extended-nexthop
 neighbor eth2 interface peer-group fabric
 neighbor eth3 interface v6only remote-as external
 !
 address-family ipv4 unicast
  network 10.0.0.11/32
  neighbor fabric prefix-list dc-leaf-in in
 exit-address-family
!
ip prefix-list dc-leaf-in seq 10 permit 0.0.0.0/0
ip prefix-list dc-leaf-in seq 20 permit 10.0.0.0/24 le 32
!
line vty
!
""",
    "files of daemons put one behind the other": """\
! Zebra configuration saved from vty
!   2011/03/09 12:00:00
!
hostname zebra
password zebra
log file /var/log/frr/zebra.log
!
interface eth2
 description from zebra.conf
!
line vty
!
! -*- ospf -*-
hostname ospfd
password zebra
log file /var/log/frr/ospfd.log
!
interface eth2
 ip ospf cost 12
!
router ospf
 ospf router-id 10.0.0.5
 network 10.7.0.0/16 area 0.0.0.1
!
line vty
!
! -*- bgp -*-
hostname bgpd
password zebra
router bgp 65000
 bgp router-id 10.0.0.5
 neighbor 192.0.2.9 remote-as 65001
!
line vty
!
""",
    "blanks before everything, as copied out of a page": """\
    frr defaults traditional
    !
    interface eth2
     ip ospf cost 12
    !
    router bgp 65000
     neighbor 192.0.2.9 remote-as 65001
     !
     address-family ipv4 unicast
      network 10.3.0.0/16
     exit-address-family
    !
    ip route 10.50.0.0/16 blackhole
    !
""",
    "an address family left by a line of the router": """\
frr defaults traditional
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 address-family ipv6 unicast
  neighbor 192.0.2.9 activate
 neighbor 192.0.2.8 remote-as 65002
 address-family l2vpn evpn
  neighbor 192.0.2.8 activate
 timers bgp 7 21
router ospf
 maximum-paths 3
interface eth2
 ip ospf cost 12
""",
    "the next family without the end of the last": """\
frr defaults traditional
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 address-family ipv4 unicast
  network 10.3.0.0/16
 address-family ipv6 unicast
  network 2001:db8:3::/48
 address-family ipv4 multicast
  network 10.4.0.0/16
 address-family l2vpn evpn
  advertise-all-vni
  vni 77
   rd 1:77
  vni 78
   rd 1:78
 address-family ipv4 vpn
  neighbor 192.0.2.9 activate
exit
""",
    "route maps out of order, with gaps and goto": """\
frr defaults traditional
route-map RM permit 65535
exit
route-map RM deny 30
 match ip address prefix-list NOT-THERE
exit
route-map RM permit 10
 match ip address prefix-list P
 on-match goto 40
exit
route-map RM permit 40
 set local-preference 7
exit
route-map RM permit 20
 match peer 192.0.2.9
 on-match next
exit
route-map rm permit 10
exit
ip prefix-list P seq 4294967295 permit any
ip prefix-list P seq 1 deny 10.0.0.0/8 ge 9 le 31
""",
    "names with every sign that FRR takes": """\
frr defaults traditional
ip prefix-list a.b-c_d:e/f seq 5 permit 10.0.0.0/8
ip prefix-list 10.0.0.0/8 seq 5 permit 10.0.0.0/8
ip prefix-list seq seq 5 permit 10.1.0.0/16
ip prefix-list permit seq 5 deny 10.2.0.0/16
ip prefix-list <all> seq 5 permit any
ip prefix-list "quoted" seq 5 permit any
ip prefix-list (x) seq 5 permit any
ip prefix-list a=b;c seq 5 permit any
bgp community-list expanded c$^ seq 5 permit ^65000:(1|2)+.*$
bgp as-path access-list a[1] seq 5 permit ^65001(_[0-9]+)*_65002$
bgp as-path access-list a[1] seq 10 deny _6500[3-9]_|^$
route-map {r} permit 10
 match ip address prefix-list <all>
exit
route-map permit permit 10
exit
router bgp 65000
 neighbor P*G peer-group
 neighbor P*G remote-as external
exit
""",
    "names of many words": """\
frr defaults traditional
ip prefix-list MY LIST seq 5 permit 10.0.0.0/8
route-map TO PEER permit 10
 match ip address prefix-list MY LIST
exit
router bgp 65000
 neighbor MY PEERS peer-group
 neighbor 192.0.2.9 remote-as 65001
exit
interface eth2
 ip ospf cost 12
exit
""",
    "passwords, a banner and line vty in the middle": """\
hostname r1
domainname example.net
password 8 LzyE5Ix/Ml1Bk
enable password 8 UMEcPjKk6HuLM
service password-encryption
banner motd default
log file /tmp/frr.log
log commands
line vty
 exec-timeout 5 30
 login
 no login
interface eth2
 ip ospf cost 12
ip route 10.50.0.0/16 blackhole
line vty
 exec-timeout 0 0
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
""",
    "a confederation of which it is a part": """\
frr defaults traditional
router bgp 65533
 bgp confederation identifier 64900
 bgp confederation peers 65530 65531 65532
 bgp deterministic-med
 bgp bestpath med confed missing-as-worst
 bgp bestpath as-path confed
 no bgp client-to-client reflection
 bgp cluster-id 10.9.9.9
 neighbor 192.0.2.9 remote-as 65530
 neighbor 192.0.2.9 ebgp-multihop
 neighbor 192.0.2.8 remote-as 65533
 neighbor 192.0.2.8 update-source 10.1.1.1
 neighbor 192.0.2.8 disable-connected-check
 neighbor 192.0.2.8 ttl-security hops 3
exit
""",
    "against the profile, twice and undone": """\
frr version 8.4
frr defaults datacenter
router bgp 65000
 bgp ebgp-requires-policy
 no bgp ebgp-requires-policy
 no bgp log-neighbor-changes
 bgp log-neighbor-changes
 no bgp suppress-duplicates
 bgp reject-as-sets
 no bgp default ipv4-unicast
 bgp default ipv6-unicast
 bgp default show-hostname
 no bgp default show-nexthop-hostname
 timers bgp 60 180
 neighbor 192.0.2.9 remote-as 65001
exit
""",
    "groups in groups' families, with their members first": """\
frr defaults traditional
router bgp 65000
 neighbor LEAF peer-group
 neighbor 192.0.2.8 remote-as 65002
 neighbor 192.0.2.9 remote-as 65001
 neighbor SPINE peer-group
 neighbor SPINE timers 3 9
 neighbor SPINE timers connect 5
 neighbor SPINE advertisement-interval 0
 neighbor 192.0.2.9 peer-group SPINE
 neighbor 192.0.2.8 peer-group LEAF
 neighbor 192.0.2.8 timers 9 27
 neighbor LEAF password s p a c e s
 neighbor LEAF description  two  blanks, ! and # inside
 bgp listen range 10.200.0.0/16 peer-group LEAF
 !
 address-family ipv4 unicast
  neighbor SPINE soft-reconfiguration inbound
  neighbor 192.0.2.8 next-hop-self
  no neighbor LEAF activate
 exit-address-family
 !
 address-family ipv6 unicast
  neighbor SPINE activate
  neighbor 192.0.2.8 activate
  neighbor 192.0.2.8 default-originate route-map D
 exit-address-family
exit
route-map D permit 10
""",
    "leaks between VRFs, with routers that come only by it": """\
frr defaults traditional
vrf BLUE
 ip route 10.77.0.0/16 blackhole
exit-vrf
vrf GREEN
exit-vrf
router bgp 65000
 address-family ipv4 unicast
  import vrf BLUE
  import vrf GREEN
 exit-address-family
exit
router bgp 65000 vrf BLUE
 no bgp network import-check
 address-family ipv4 unicast
  redistribute static
  import vrf default
  import vrf GREEN
 exit-address-family
exit
router bgp 65000 vrf GREEN
 address-family ipv4 unicast
  label vpn export auto
  rd vpn export 65000:2
  rt vpn import 65000:2 65000:3
  rt vpn export 65000:2
  nexthop vpn export 10.0.0.9
  export vpn
  import vpn
 exit-address-family
exit
""",
    "static routes in every form": """\
frr defaults traditional
ip route 10.50.0.0/16 192.0.2.1
ip route 10.50.0.0/16 192.0.2.2
ip route 10.50.0.0/16 192.0.2.3 250
ip route 10.51.0.0/16 192.0.2.1 eth2
ip route 10.52.0.0/16 192.0.2.1 eth2 onlink
ip route 10.53.0.0/16 eth2 tag 100 150
ip route 10.54.0.0/16 192.0.2.1 table 1000
ip route 10.55.0.0/16 192.0.2.1 nexthop-vrf V9
ip route 10.56.0.0/16 blackhole tag 9
ip route 10.57.0.0/16 null0 200
ip route 10.58.0.0 255.254.0.0 192.0.2.1
ip route 10.59.0.0/16 192.0.2.1 color 7
ip mroute 10.60.0.0/16 192.0.2.1
ipv6 route 2001:db8:1::/48 2001:db8::1
ipv6 route 2001:DB8:2::/48 fe80::1 eth2 onlink
ipv6 route 2001:db8:3::/48 blackhole 210
ipv6 route 2001:db8:4::/48 from 2001:db8:5::/48 2001:db8::1
ipv6 route ::/0 Null0
vrf V9
 ip route 0.0.0.0/0 192.0.2.254 nexthop-vrf default
 ipv6 route ::/0 eth2
exit-vrf
ip route 10.61.0.0/16 192.0.2.1 vrf V9
""",
    "OSPF with areas in both spellings, and of interfaces": """\
frr defaults traditional
interface eth2
 ip ospf area 5
 ip ospf cost 10
 ip ospf cost 20 10.1.2.3
 ip ospf hello-interval 3
 ip ospf dead-interval minimal hello-multiplier 4
 ip ospf authentication-key plain
 ip ospf message-digest-key 1 md5 k1
 ip ospf message-digest-key 2 md5 k2
 ip ospf mtu-ignore
 ip ospf priority 0
 ip ospf transmit-delay 3
exit
router ospf
 ospf router-id 10.0.0.5
 network 10.1.1.0/24 area 1
 network 10.1.2.0/24 area 0.0.0.2
 network 10.1.0.0 0.0.255.255 area 3
 area 1 stub
 area 0.0.0.2 nssa translate-candidate
 area 3 authentication message-digest
 area 3 default-cost 9
 area 3 range 10.64.0.0/10 not-advertise
 area 3 range 10.128.0.0/10 substitute 10.192.0.0/10
 area 4 virtual-link 10.0.0.77
 area 4 virtual-link 10.0.0.77 hello-interval 5
 area 5 shortcut enable
 area 6 import-list A
 area 6 export-list B
 no compatible rfc1583
 max-metric router-lsa on-startup 60
 max-metric router-lsa administrative
 distance ospf intra-area 20 inter-area 30 external 40
 refresh timer 50
 passive-interface default
 no passive-interface eth2
 summary-address 10.9.0.0/16 tag 7
 aggregation timer 9
 graceful-restart helper enable
 graceful-restart grace-period 90
exit
""",
    "OSPF of VRFs, and the same interface in each spelling": """\
frr defaults traditional
vrf V9
exit-vrf
interface eth2
 ip ospf area 0
exit
interface eth3 vrf V9
 ip ospf area 0.0.0.9
exit
router ospf
 ospf router-id 10.0.0.5
exit
router ospf vrf V9
 ospf router-id 10.0.0.9
 default-information originate always
 redistribute bgp route-map NONE
exit
router ospf6
 ospf6 router-id 10.0.0.5
 area 0.0.0.1 stub no-summary
 area 1 range 2001:db8:1::/48 cost 5
 area 2 import-list L6
exit
router ospf6 vrf V9
 ospf6 router-id 10.0.0.9
 redistribute connected
exit
interface eth2
 ipv6 ospf6 area 1
 ipv6 ospf6 network point-to-point
 ipv6 ospf6 hello-interval 3
 ipv6 ospf6 bfd profile SLOW
exit
""",
    "instances of OSPF, where one daemon runs": """\
frr defaults traditional
interface eth2
 ip ospf 1 area 0
 ip ospf 2 area 7
exit
router ospf 1
 ospf router-id 10.0.0.1
 redistribute ospf 2
exit
router ospf 2
 ospf router-id 10.0.0.2
exit
ip route 10.50.0.0/16 blackhole
interface eth3
 ip ospf cost 12
exit
""",
    "IS-IS in two areas, with everything on the circuits": """\
frr defaults traditional
interface eth2
 ip router isis A
 ipv6 router isis A
 isis circuit-type level-1
 isis csnp-interval 20 level-1
 isis hello-interval level-1 5
 isis hello-multiplier level-1 9
 isis metric level-1 77
 isis password md5 geheim
 isis priority 5 level-1
 isis three-way-handshake
 isis fast-reroute lfa level-1
exit
interface eth3
 ip router isis B
 isis passive
exit
router isis A
 net 49.0001.0000.0000.0007.00
 is-type level-1
 area-password md5 geheim authenticate snp validate
 attached-bit send
 default-information originate ipv4 level-1 always metric 7
 lsp-gen-interval level-1 3
 max-lsp-lifetime 1800
 metric-style transition
 redistribute ipv6 static level-1 metric 4
 set-overload-bit on-startup 60
 spf-delay-ietf init-delay 10 short-delay 20 long-delay 30 holddown 40 time-to-learn 50
 spf prefix-priority critical CRIT
exit
router isis B
 net 49.0002.0000.0000.0007.00
 is-type level-2-only
exit
""",
    "EIGRP and Babel beside each other, without ends": """\
frr defaults traditional
router eigrp 10
 eigrp router-id 10.0.0.5
 network 10.8.0.0/16
 passive-interface eth2
 maximum-paths 3
 variance 7
 metric weights 0 1 0 1 0
 redistribute static
router babel
 network eth2
 network wired
 babel resend-delay 5000
 babel smoothing-half-life 5
 redistribute ipv6 connected
interface eth2
 bandwidth 100000
 babel split-horizon
 babel rxcost 77
 babel update-interval 30000
 babel channel 11
 ip hello-interval eigrp 9
 ip hold-time eigrp 27
""",
    "NHRP of a hub, with IPsec": """\
frr defaults traditional
nhrp nflog-group 1
nhrp multicast-nflog-group 2
interface eth2
 description DMVPN Tunnel Interface
 ip nhrp authentication secret
 ip nhrp network-id 1
 ip nhrp holdtime 300
 ip nhrp mtu 1400
 ip nhrp map multicast dynamic
 ip nhrp nhs 10.255.255.254 nbma hub.example.com
 ip nhrp redirect
 ip nhrp shortcut
 ipv6 nhrp network-id 1
 tunnel protection vici profile dmvpn
 tunnel source eth1
exit
""",
    "PIM for IPv6, IGMP and MLD": """\
frr defaults traditional
ip pim join-prune-interval 61
ip pim rp 192.0.2.77 239.1.0.0/16
ip pim spt-switchover infinity-and-beyond prefix-list SPT
ip pim register-suppress-time 50
ip pim v6-secondary
ip msdp mesh-group M source 192.0.2.5
ipv6 pim rp 2001:db8::77 ff00::/8
ipv6 pim keep-alive-timer 200
interface eth2
 ip igmp version 3
 ip igmp query-max-response-time 50
 ip pim
 ip pim use-source 192.0.2.5
 no ip pim bsm
 ipv6 mld
 ipv6 mld join ff0e::1
 ipv6 pim
 ipv6 pim drpriority 9
exit
ip prefix-list SPT seq 5 deny 239.9.0.0/16
""",
    "VRRP on many interfaces": """\
frr defaults traditional
vrrp default checksum-with-ipv4-pseudoheader
vrrp autoconfigure version 3
interface eth2
 vrrp 5
 vrrp 5 version 2
 vrrp 5 priority 254
 vrrp 5 advertisement-interval 100
 vrrp 5 ip 10.2.0.254
 no vrrp 5 preempt
 vrrp 5 shutdown
 vrrp 255 version 3
 vrrp 255 ipv6 fe80::ff
 vrrp 255 ipv6 2001:db8::ff
exit
interface eth3
 vrrp 5 version 3
 no vrrp 5 accept
exit
""",
    "BFD with peers of each kind, and users of its profiles": """\
frr defaults traditional
bfd
 profile FAST
  transmit-interval 50
  receive-interval 50
  detect-multiplier 3
 exit
 !
 profile fast
  shutdown
 exit
 !
 peer 192.0.2.4 vrf default interface eth2
  profile FAST
 exit
 !
 peer 192.0.2.5 multihop local-address 192.0.2.1
  minimum-ttl 100
  no shutdown
 exit
 !
 peer 2001:db8::4 local-address 2001:db8::5 interface eth2
  echo transmit-interval disabled
  echo-mode
 exit
 !
exit
interface eth2
 ip ospf bfd
 ip ospf bfd profile FAST
 ipv6 ospf6 bfd
exit
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 neighbor 192.0.2.9 bfd 4 100 100
 neighbor 192.0.2.8 remote-as 65001
 neighbor 192.0.2.8 bfd profile FAST
 neighbor 192.0.2.8 bfd check-control-plane-failure
exit
""",
    "policies of routes, with groups in other VRFs": """\
frr defaults traditional
nexthop-group one
 nexthop 192.0.2.1
nexthop-group TWO
 nexthop 192.0.2.1 eth2
 nexthop 192.0.2.2 eth3 nexthop-vrf V9
 nexthop 2001:db8::1 eth2
pbr-map m seq 700
 match src-ip 10.0.0.0/8
 match dst-ip 2001:db8::/32
 set nexthop-group one
pbr-map m seq 1
 match dst-port 443
 match ip-protocol udp
 match mark 255
 match pcp 3
 match vlan 10
 match vlan tagged
 set nexthop 192.0.2.7 eth2 nexthop-vrf V9
pbr-map M seq 1
 match dscp cs6
 match ecn 2
 set vrf V9
interface eth2
 pbr-policy m
interface eth3
 pbr-policy not-there
""",
    "segment routing of paths, with PCEP": """\
frr defaults traditional
segment-routing
 traffic-eng
  mpls-te import ospfv2
  segment-list A
   index 10 mpls label 16001
   index 20 mpls label 3
  exit
  segment-list "B C"
  exit
  policy color 4294967295 endpoint 2001:db8::9
   name six
   candidate-path preference 1 name d dynamic
    affinity include-any BIT-0
    metric abc 5 required
   exit
  exit
  pcep
   pce-config GROUP
    source-address ip 192.0.2.1
   exit
   pcc
    peer P1 precedence 10
   exit
  exit
 exit
exit
ip route 10.50.0.0/16 blackhole
""",
    "MPLS with labels bound by hand": """\
frr defaults traditional
mpls label global-block 16000 23999
mpls label bind 10.9.0.0/16 17
mpls label bind 2001:db8:9::/48 explicit-null
interface eth2
 mpls ldp-sync
 mpls ldp-sync holddown 7
 ip ospf mpls ldp-sync
exit
mpls ldp
 router-id 10.0.0.5
 discovery hello holdtime 9
 neighbor 10.0.0.6 password s p a c e
 wait-for-sync
 !
 address-family ipv4
  discovery transport-address 10.0.0.5
  discovery targeted-hello accept from T
  label local advertise for A
  label remote accept from B
  session holdtime 15
  !
  interface eth2
   disable-establish-hello
  exit
  !
  interface eth3
  exit
  !
 exit-address-family
 !
exit
router ospf
 mpls ldp-sync holddown 9
exit
""",
    "RIP for both families, with offsets and lists": """\
frr defaults traditional
router rip
 version 1
 network 10.0.0.0/8
 neighbor 192.0.2.7
 offset-list OFF in 3 eth2
 offset-list OFF out 4
 distribute-list DL in eth2
 distribute-list prefix P out
 default-information originate
 redistribute bgp metric 3
 distance 99 10.9.9.0/24
 timers basic 5 15 10
 no passive-interface eth3
 passive-interface eth2
exit
router ripng
 network eth2
 network 2001:db8::/32
 offset-list OFF6 in 3
 default-information originate
 passive-interface eth3
 timers basic 5 15 10
exit
access-list OFF seq 5 permit 10.0.0.0/8
ipv6 access-list OFF6 seq 5 permit any
""",
    "zebra's own: tables, filters, nexthops": """\
frr defaults traditional
zebra protodown reason-bit 9
zebra work-queue 9000
zebra import-table 5
ip import-table 77 distance 15 route-map IMP
ip protocol kernel route-map IMP
ip nht resolve-via-default
ip router-id 10.0.0.99
ipv6 router-id 2001:db8::99
ip forwarding
no ipv6 forwarding
ip prefix-list IMP seq 5 permit any
route-map IMP permit 10
 match ip address prefix-list IMP
 set src 10.0.0.99
exit
vrf V9
 ip router-id 10.9.9.9
 ip protocol any route-map IMP
 no ip nht resolve-via-default
 vni 4009
 netns /run/netns/none
exit-vrf
interface eth2
 evpn mh uplink
 ip address 10.222.0.1/24 label old
 ipv6 address 2001:db8:222::1/64
 no link-detect
 multicast
 ptm-enable
exit
""",
    "debugging of everything": """\
debug zebra kernel msgdump recv
debug zebra dplane detailed
debug zebra nexthop detail
frr defaults traditional
debug bgp updates prefix 10.0.0.0/8
debug bgp neighbor-events 192.0.2.9
debug bgp bestpath 10.0.0.0/8
debug bgp vpn leak-to-vrf
debug ospf lsa generate
debug ospf zebra interface
debug ospf6 route table
debug ospf6 message hello send
debug rip packet send
debug bfd network
debug static events
debug route-map
debug prefix-list P match any address-mode any
debug memstats-at-exit
log file /var/log/frr/debug.log debugging
log record-priority
log timestamp precision 6
log filter-text ! noise #
log filter-text two words
log syslog
no log monitor
log trap debugging
log facility daemon
ip route 10.50.0.0/16 blackhole
""",
    "remarks of every kind in every place": """\
#!/usr/bin/env vtysh
## head
!! twice
!ip route 10.48.0.0/16 blackhole
#ip route 10.49.0.0/16 blackhole
frr defaults traditional
router bgp 65000 ! our AS
 ! neighbor 192.0.2.7 remote-as 1
 neighbor 192.0.2.9 remote-as 65001 # provider
!
! neighbor 192.0.2.6 remote-as 1
 neighbor 192.0.2.9 description A ! B
!
 address-family ipv4 unicast
!
#
  network 10.3.0.0/16
!
 exit-address-family
!
exit
!
interface eth2
! cost
ip ospf cost 12
!
!
! hello
 ip ospf hello-interval 7
!
ip route 10.50.0.0/16 blackhole !
// another tool's remark
; and another's
-- and SQL's
/* and C's */
ip route 10.51.0.0/16 blackhole
""",
    "Windows: carriage returns, tabs, and one line in the old form": (
        "! edited with Notepad\r\n"
        "frr defaults traditional\r\n"
        "\r\n"
        "router bgp 65000\r\n"
        "\tbgp router-id 10.0.0.5\t\r\n"
        "\tneighbor 192.0.2.9\tremote-as\t65001\r\n"
        "\t!\r\n"
        "\taddress-family\tipv4 unicast\r\n"
        "\t\tnetwork\t10.3.0.0/16\r\n"
        "\t exit-address-family\r\n"
        "interface eth2\r\n"
        "\tip ospf\tcost 12\r\n"
        "\r\n"
        "ip route 10.50.0.0/16\tblackhole\r\n"
        "line vty\r\n"
    ),
    "Macintosh: carriage returns alone in it": (
        "frr defaults traditional\n"
        "interface eth2\n"
        " description one\rtwo\n"
        " ip ospf cost 12\n"
        "exit\n"
        "ip route 10.50.0.0/16 blackhole\n"
    ),
    "a file of one line": "ip route 10.50.0.0/16 blackhole",
    "a file of remarks": "! nothing\n!\n# yet\n\n",
    "an interface again and again": "".join(
        f"interface eth{n % 3 + 1}\n ip ospf {word}\n"
        for n, word in enumerate(("cost 7", "hello-interval 5", "dead-interval 25", "priority 3", "mtu-ignore"))
    ),
    "lists in parts, between other things": """\
frr defaults traditional
ip prefix-list P seq 10 permit 10.10.0.0/16
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
ip prefix-list P seq 5 permit 10.5.0.0/16
ip prefix-list P description in the middle
interface eth2
 ip ospf cost 12
ip prefix-list P seq 15 deny any
no ip prefix-list P seq 10 permit 10.10.0.0/16
ip prefix-list P permit 10.20.0.0/16
bgp community-list standard C permit 65000:1
router bgp 65000
 neighbor 192.0.2.9 description again
bgp community-list standard C permit 65000:2
access-list A permit 10.0.0.0/8
access-list A remark in the middle
access-list A seq 3 deny 10.1.0.0/16
""",
    "what another maker's router has": """\
! converted from IOS, by hand
version 15.2
service timestamps debug datetime msec
hostname R1
boot-start-marker
boot-end-marker
no aaa new-model
ip cef
!
interface eth2
 ip address 10.222.1.1 255.255.255.0
 ip ospf cost 12
 duplex auto
 speed auto
!
router ospf
 router-id 10.0.0.5
 log-adjacency-changes
 network 10.7.0.0 0.0.255.255 area 0
!
router bgp 65000
 bgp log-neighbor-changes
 neighbor 192.0.2.9 remote-as 65001
 neighbor 192.0.2.9 send-community
 network 10.3.0.0 mask 255.255.0.0
 no auto-summary
 no synchronization
!
ip classless
ip http server
ip route 10.50.0.0 255.255.0.0 Null0 254
!
control-plane
!
line con 0
line vty 0 4
 login
!
end
""",
    "a playbook's block in the middle, marked": """\
frr defaults traditional
ip route 10.50.0.0/16 blackhole
# BEGIN ANSIBLE MANAGED BLOCK
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
# END ANSIBLE MANAGED BLOCK
# BEGIN ANSIBLE MANAGED BLOCK ospf
interface eth2
 ip ospf cost 12
# END ANSIBLE MANAGED BLOCK ospf
! <<< puppet
ip route 10.51.0.0/16 blackhole
! >>> puppet
""",
    "VyOS, as its generator leaves it": """\
!
log syslog
log facility local7
!
frr version 9.1.3
frr defaults traditional
hostname vyos
service integrated-vtysh-config
!
ip prefix-list RFC1918 seq 10 permit 10.0.0.0/8 le 32
!
route-map ALLOW permit 10
exit
!
ip protocol static route-map ALLOW
!
vrf mgmt
 ip route 10.52.0.0/16 192.0.2.254 tag 3
 ip protocol bgp route-map ALLOW
exit-vrf
!
interface eth2
 description "to the ! north"
 ip ospf cost 12
 ip ospf dead-interval 40
exit
!
interface eth3 vrf mgmt
exit
!
router bgp 65000
 bgp log-neighbor-changes
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 no bgp network import-check
 neighbor 192.0.2.9 remote-as 65001
 !
 address-family ipv4 unicast
  neighbor 192.0.2.9 activate
  neighbor 192.0.2.9 soft-reconfiguration inbound
 exit-address-family
exit
!
router bgp 65000 vrf mgmt
 bgp log-neighbor-changes
 neighbor 192.0.2.8 remote-as 65001
exit
!
end
""",
    "OPNsense, which names everything by numbers": """\
frr version 8.5.4
frr defaults traditional
hostname OPNsense.localdomain
log syslog notifications
!
router bgp 65000
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 bgp graceful-restart
 bgp log-neighbor-changes
 neighbor 192.0.2.9 remote-as 65001
 neighbor 192.0.2.9 update-source eth2
 neighbor 192.0.2.9 local-as 65123 no-prepend replace-as
 !
 address-family ipv4 unicast
  redistribute connected route-map 7
  network 10.3.0.0/16
  neighbor 192.0.2.9 activate
  neighbor 192.0.2.9 prefix-list 3 in
  neighbor 192.0.2.9 route-map 7 out
 exit-address-family
 !
 address-family ipv6 unicast
 exit-address-family
exit
!
ip prefix-list 3 seq 1 permit 0.0.0.0/0 le 32
bgp as-path access-list 3 seq 1 permit .*
bgp community-list 3 seq 1 permit 65000:3
!
route-map 7 permit 7
 match ip address prefix-list 3
 match as-path 3
exit
!
line vty
!
""",
    "Calico's routers and kube-router's words": """\
frr defaults datacenter
hostname node-1
log stdout debugging
router bgp 64512
 bgp router-id 172.18.0.3
 bgp bestpath as-path multipath-relax
 bgp bestpath compare-routerid
 no bgp ebgp-requires-policy
 bgp graceful-restart
 neighbor tor peer-group
 neighbor tor remote-as 64513
 neighbor tor password "quoted ! secret"
 neighbor 172.18.0.1 peer-group tor
 address-family ipv4 unicast
  network 10.244.1.0/24
  redistribute kernel route-map pods
  neighbor tor route-map export-pods out
  maximum-paths 32
 exit-address-family
route-map pods permit 10
  match ip address prefix-list pods
route-map export-pods permit 10
  match ip address prefix-list pods
  set community 64512:100 no-advertise
route-map export-pods deny 65535
ip prefix-list pods seq 5 permit 10.244.0.0/16 ge 24 le 32
ip nht resolve-via-default
""",
    "EVPN with assisted replication and L3 by hand": """\
frr defaults datacenter
vrf T1
 vni 5001
exit-vrf
router bgp 65000
 neighbor 192.0.2.9 remote-as internal
 address-family l2vpn evpn
  neighbor 192.0.2.9 activate
  neighbor 192.0.2.9 allowas-in 2
  neighbor 192.0.2.9 route-reflector-client
  advertise-all-vni
  no use-es-l3nhg
  disable-ead-evi-rx
  disable-ead-evi-tx
  vni 10
   no advertise-default-gw
   advertise-subnet
   rd 10.0.0.5:10
   route-target both 65000:10
  exit-vni
  vni 11
  exit-vni
  advertise ipv6 unicast gateway-ip
  mac-vrf soo 65000:1
 exit-address-family
exit
router bgp 65000 vrf T1
 address-family ipv4 unicast
  redistribute connected
 exit-address-family
 address-family l2vpn evpn
  advertise-pip ip 10.0.0.5 mac 02:00:00:00:00:05
  advertise ipv4 unicast gateway-ip route-map A
  rd 10.0.0.5:5001
  route-target both 65000:5001 rt
 exit-address-family
exit
route-map A permit 10
exit
""",
    "an exit too many after each block": """\
frr defaults traditional
interface eth2
 ip ospf cost 12
exit
exit
ip route 10.50.0.0/16 blackhole
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
exit
exit
interface eth3
 ip ospf cost 13
exit
""",
    "a VRF that is never left": """\
frr defaults traditional
vrf V9
 ip route 10.50.0.0/16 blackhole
 vni 4009
ip route 10.51.0.0/16 192.0.2.9
!
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
vrf V8
 ip route 10.52.0.0/16 blackhole
!
! all of these are of V8
ip route 10.53.0.0/16 blackhole
ipv6 route 2001:db8:53::/48 blackhole
""",
    "keys of chains, and who uses them": """\
frr defaults traditional
key chain K
 key 1
  key-string a b ! c
  accept-lifetime 00:00:00 Jan 1 2024 23:59:59 Dec 31 2033
  send-lifetime 00:00:00 1 Jan 2024 duration 1000000
 exit
 key 2147483647
  key-string x
  cryptographic-algorithm hmac-sha-256
 exit
exit
key chain k
 key 1
exit
interface eth2
 ip rip authentication mode md5
 ip rip authentication key-chain K
 ip ospf authentication key-chain K
 ipv6 ospf6 authentication keychain K
exit
router rip
 network eth2
exit
""",
    "of FRR 10, with words that 8 does not know": """\
frr version 10.2.1
frr defaults traditional
hostname r1
log syslog informational
no ip forwarding
service integrated-vtysh-config
!
mgmt config apply
ip router-id 10.0.0.5
!
interface eth2
 ip ospf cost 12
 ip ospf capability opaque
 ip ospf prefix-suppression
exit
!
router bgp 65000
 no bgp ebgp-requires-policy
 no bgp enforce-first-as
 bgp bestpath bandwidth ignore
 no bgp default software-version-capability
 bgp default link-local-capability
 neighbor 192.0.2.9 remote-as auto
 neighbor 192.0.2.8 remote-as 65001
 neighbor 192.0.2.8 capability software-version
 neighbor 192.0.2.8 path-attribute discard 26
 neighbor 192.0.2.8 oad
 !
 address-family ipv4 unicast
  neighbor 192.0.2.8 addpath-rx-paths-limit 5
 exit-address-family
exit
!
router pim
 join-prune-interval 61
 rp 192.0.2.77 239.0.0.0/8
exit
!
affinity-map RED bit-position 7
router isis I
 flex-algo 128
  metric-type te
 exit
exit
ip route 10.50.0.0/16 192.0.2.1 bfd
ip route 10.51.0.0/16 192.0.2.1 segments 2001:db8::1
!
end
""",
    "SONiC's unified file, with frrcfgd's": """\
!
! =========== Managed by sonic-cfggen DO NOT edit manually! ====================
frr version 8.5.1
frr defaults traditional
hostname sonic
log syslog informational
zebra nexthop-group keep 1
fpm address 127.0.0.1
no zebra nexthop kernel enable
agentx
password zebra
enable password zebra
!
vrf Vrf01
 ip route 10.50.0.0/16 blackhole 200
exit-vrf
!
interface eth2
 ip ospf cost 12
exit
!
router bgp 65000
 bgp suppress-fib-pending
 bgp log-neighbor-changes
 no bgp default ipv4-unicast
 neighbor 192.0.2.9 remote-as 65001
 neighbor 192.0.2.9 shutdown
 !
 address-family ipv4 unicast
  neighbor 192.0.2.9 activate
  neighbor 192.0.2.9 allowas-in 1
 exit-address-family
exit
!
""",
}

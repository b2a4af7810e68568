# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files frr.conf as operators, distributions and controllers have them, each after whose it is or what is odd about it."""

from __future__ import annotations

OPERATORS = {
    "a provider's edge with IS-IS and segment routing": """\
frr version 8.4.4
frr defaults traditional
hostname pe1
log syslog informational
log timestamp precision 3
service integrated-vtysh-config
!
interface eth1
 description to P1 (circuit 4711 / "A")
 ip router isis CORE
 ipv6 router isis CORE
 isis circuit-type level-2-only
 isis hello-padding during-adjacency-only
 isis metric level-2 20
 isis network point-to-point
 isis bfd
 isis bfd profile THEIRS
exit
!
interface lo
 ip router isis CORE
 isis passive
exit
!
router isis CORE
 is-type level-2-only
 metric-style wide
 lsp-mtu 1400
 net 49.0001.0100.0000.0001.00
 topology ipv6-unicast
 log-adjacency-changes
 redistribute ipv4 connected level-2 route-map CONN
 mpls-te on
 mpls-te router-address 10.0.0.1
 segment-routing on
 segment-routing global-block 16000 23999 local-block 15000 15999
 segment-routing node-msd 8
 segment-routing prefix 10.0.0.1/32 index 1 no-php-flag
exit
!
bfd
 profile THEIRS
  detect-multiplier 5
  transmit-interval 150
  receive-interval 150
  echo-mode
 exit
 !
 peer 192.0.2.77 multihop local-address 10.0.0.1 vrf default
  profile THEIRS
  minimum-ttl 250
 exit
 !
exit
!
route-map CONN permit 10
 match interface lo
exit
!
end
""",
    "SRv6 and VPNs": """\
frr defaults datacenter
segment-routing
 srv6
  locators
   locator MAIN
    prefix 2001:db8:1::/48 block-len 32 node-len 16 func-bits 16
    behavior usid
   !
   locator OTHER
    prefix 2001:db8:2::/48
   !
  !
 !
!
router bgp 65000
 bgp router-id 10.0.0.9
 neighbor 2001:db8::9 remote-as 65000
 neighbor 2001:DB8:0:0::9 capability extended-nexthop
 !
 segment-routing srv6
  locator MAIN
 exit
 !
 address-family ipv4 vpn
  neighbor 2001:db8::9 activate
 exit-address-family
 !
 address-family ipv6 vpn
  neighbor 2001:db8::9 activate
 exit-address-family
exit
!
router bgp 65000 vrf V1
 bgp router-id 10.0.0.10
 sid vpn per-vrf export auto
 !
 address-family ipv4 unicast
  redistribute connected
  rd vpn export 65000:1
  rt vpn both 65000:100
  label vpn export auto
  export vpn
  import vpn
 exit-address-family
exit
!
""",
    "multicast with MSDP, without closings": """\
frr defaults traditional
ip multicast-routing
ip pim rp 192.0.2.77 239.0.0.0/8
ip pim rp 192.0.2.78 prefix-list RPS
ip pim ssm prefix-list SSM
ip pim ecmp
ip pim ecmp rebalance
ip pim keep-alive-timer 200
ip msdp mesh-group MG member 192.0.2.1
ip msdp mesh-group MG source 192.0.2.2
ip msdp peer 192.0.2.3 source 192.0.2.2
ip igmp generate-query-once
ip prefix-list RPS permit 238.0.0.0/8
ip prefix-list SSM seq 10 permit 232.0.0.0/8 le 32
interface eth1
 ip igmp
 ip igmp version 2
 ip igmp join 239.1.1.1 10.1.1.1
 ip igmp query-interval 30
 ip igmp last-member-query-count 3
 ip pim
 ip pim drpriority 77
 ip pim hello 5 20
 ip pim bfd
 ip mroute eth2 239.9.9.9
interface eth2
 ip pim passive
 ip multicast boundary oil MB
vrf V1
 ip pim rp 192.0.2.79 224.0.0.0/4
exit-vrf
""",
    "a leaf of Cumulus Linux: EVPN multihoming, VRRP": """\
! Cumulus style
frr version 7.5+cl4.4.0u4
frr defaults datacenter
hostname leaf01
log syslog informational
service integrated-vtysh-config
vrf RED
 vni 4001
 ip route 10.77.0.0/16 Null0
 ip nht resolve-via-default
exit-vrf
vrf BLUE
 vni 4002 prefix-routes-only
exit-vrf
interface bond1
 evpn mh es-df-pref 50000
 evpn mh es-id 1
 evpn mh es-sys-mac 44:38:39:BE:EF:AA
interface swp51
 evpn mh uplink
interface eth2
 vrrp 5 version 3
 vrrp 5 priority 200
 vrrp 5 advertisement-interval 1000
 vrrp 5 ip 10.0.2.254
 vrrp 5 ipv6 2001:db8::254
 no vrrp 5 preempt
evpn mh startup-delay 30
evpn mh mac-holdtime 100
vrrp autoconfigure version 3
router bgp 65101
 bgp router-id 10.10.10.1
 bgp bestpath as-path multipath-relax
 neighbor underlay peer-group
 neighbor underlay remote-as external
 neighbor swp51 interface peer-group underlay
 neighbor swp52 interface peer-group underlay
 !
 !
 address-family ipv4 unicast
  redistribute connected
 exit-address-family
 !
 address-family l2vpn evpn
  neighbor underlay activate
  advertise-all-vni
  advertise-default-gw
  advertise-svi-ip
  autort rfc8365-compatible
  dup-addr-detection max-moves 10 time 300
  dup-addr-detection freeze permanent
  flooding disable
  vni 20
   advertise-svi-ip
   rd 10.10.10.1:20
   route-target export 65101:20
  exit-vni
 exit-address-family
! end of router bgp 65101 vrf default
router bgp 65101 vrf RED
 bgp router-id 10.10.10.1
 address-family l2vpn evpn
  advertise ipv4 unicast route-map ADV
  default-originate ipv4
  route-target import *:4001
 exit-address-family
! end of router bgp 65101 vrf RED
route-map ADV permit 10
line vty
""",
    "a route server with views": """\
frr version 8.4
frr defaults traditional
!
router bgp 64999
 no bgp enforce-first-as
 bgp router-id 192.0.2.1
 bgp route-map delay-timer 5
 neighbor RS peer-group
 neighbor RS passive
 neighbor RS timers 30 90
 neighbor 192.0.2.101 remote-as 65101
 neighbor 192.0.2.101 peer-group RS
 neighbor 192.0.2.102 remote-as 65102
 neighbor 192.0.2.102 peer-group RS
 neighbor 192.0.2.102 shutdown message maintenance until ! 4 am # really
 neighbor 192.0.2.103 remote-as 65103
 neighbor 192.0.2.103 peer-group RS
 neighbor 192.0.2.103 password s3cr3t!#x
 !
 address-family ipv4 unicast
  neighbor RS route-server-client
  neighbor RS soft-reconfiguration inbound
  neighbor RS maximum-prefix 1000 80 restart 30
  neighbor RS route-map RS-IN in
  neighbor RS addpath-tx-all-paths
  neighbor 192.0.2.101 attribute-unchanged as-path next-hop med
  neighbor 192.0.2.102 filter-list AS102 in
  table-map TM
 exit-address-family
exit
!
router bgp 64999 view LAB
 neighbor 198.51.100.7 remote-as 65107
 !
 address-family ipv4 unicast
  neighbor 198.51.100.7 prefix-list NONE out
 exit-address-family
exit
!
ip prefix-list NONE seq 5 deny any
bgp as-path access-list AS102 seq 5 permit ^65102(_65102)*$
bgp as-path access-list AS102 seq 10 deny .*
bgp large-community-list standard LC seq 5 permit 64999:1:65101
bgp large-community-list expanded LX seq 5 permit ^64999:1:.*$
bgp extcommunity-list standard EC seq 5 permit rt 64999:1 soo 64999:2
bgp extcommunity-list expanded EX seq 5 permit RT:64999:.*
bgp community-list 10 seq 5 permit no-export
bgp community-list 110 seq 5 permit 64999:*
bgp community alias 64999:666 blackhole
!
route-map RS-IN permit 5
 match rpki valid
 on-match next
 set local-preference 200
exit
!
route-map RS-IN permit 10
 description what ! all get # here
 match community 10 exact-match
 match large-community LC
 match as-path AS102
 call TAG
 on-match goto 30
 set as-path prepend 64999 64999
 set as-path exclude 65000 65001
 set community 64999:1 no-export additive
 set large-community 64999:1:2 additive
 set extcommunity rt 64999:3
 set comm-list 110 delete
 set ip next-hop peer-address
 set metric +5
 set origin igp
 set weight 7
exit
!
route-map RS-IN deny 30
exit
!
route-map TAG permit 10
 set tag 99
 set src 192.0.2.1
 set table 9
exit
!
route-map TM permit 10
exit
!
end
""",
    "a border router of old, with lists without numbers": """\
hostname border
password zebra
enable password zebra
log file /var/log/frr/frr.log debugging
log stdout
log facility local3
log record-priority
service password-encryption
!
debug zebra events
debug bgp neighbor-events
debug bgp updates in 192.0.2.9
debug ospf packet all detail
debug ospf ism
debug rip events
!
interface eth1
 ip address 10.9.9.1/24
 link-detect
 bandwidth 100
 no shutdown
 ip ospf authentication message-digest
 ip ospf message-digest-key 1 md5 geheim
 ip ospf cost 7
!
interface eth2
 ipv6 nd ra-interval 10
 no ipv6 nd suppress-ra
 ipv6 nd prefix 2001:db8:7::/64
!
router-id 10.0.0.77
!
access-list 10 permit 10.0.0.0 0.255.255.255
access-list 10 deny any
access-list 110 permit ip 10.0.0.0 0.255.255.255 any
access-list NAMED remark what is ours
access-list NAMED permit 10.0.0.0/8 exact-match
access-list NAMED deny any
ipv6 access-list SIX permit 2001:db8::/32
ipv6 access-list SIX deny any
ip as-path access-list OURS permit ^$
ip as-path access-list OURS permit ^65000_
ip community-list standard CUST permit 65000:100
ip community-list expanded BLACK permit 65000:666
ip community-list 1 permit internet
ip extcommunity-list standard RT permit rt 65000:1
ip large-community-list standard BIG permit 65000:1:1
ip prefix-list BOGONS description never from outside
ip prefix-list BOGONS deny 10.0.0.0/8 le 32
ip prefix-list BOGONS deny 192.168.0.0/16 le 32
ip prefix-list BOGONS permit any le 24
no ip prefix-list sequence-number
!
route-map OUT permit 10
 match as-path OURS
 set community none
 continue 30
!
route-map OUT deny 20
!
route-map OUT permit 30
 match ip address 10
 set metric rtt
 set ipv6 next-hop local 2001:db8::1
!
router bgp 65000
 bgp router-id 10.0.0.77
 bgp log-neighbor-changes
 no synchronization
 bgp dampening 15 750 2000 60
 bgp confederation identifier 65100
 bgp confederation peers 65001 65002
 network 10.0.0.0 mask 255.0.0.0 route-map OUT
 aggregate-address 10.0.0.0/8 summary-only as-set
 timers bgp 10 30
 neighbor 192.0.2.9 remote-as 64500
 neighbor 192.0.2.9 send-community both
 neighbor 192.0.2.9 ebgp-multihop 2
 neighbor 192.0.2.9 route-map OUT out
 neighbor 192.0.2.9 prefix-list BOGONS in
 neighbor 192.0.2.9 filter-list OURS out
 neighbor 192.0.2.9 default-originate
 neighbor 192.0.2.9 maximum-prefix 500000 90 warning-only
 no auto-summary
 distance bgp 20 200 200
!
router ospf
 ospf router-id 10.0.0.77
 ospf abr-type cisco
 auto-cost reference-bandwidth 100000
 area 5 virtual-link 10.0.0.78
 area 7 stub no-summary
 area 8 nssa translate-always
 area 7 range 10.7.0.0/16 cost 5
 area 5 filter-list prefix BOGONS in
 network 10.9.9.0 0.0.0.255 area 0
 network 10.10.0.0/16 area 0.0.0.7
 redistribute kernel route-map OUT
 redistribute bgp metric 10 metric-type 1
 distribute-list 10 out static
 default-information originate always metric 5 metric-type 1
 timers throttle spf 10 100 5000
 passive-interface lo
 neighbor 10.9.9.7 poll-interval 30 priority 2
 no capability opaque
!
router rip
 version 2
 network 10.9.0.0/16
 network eth2
 neighbor 10.9.9.5
 redistribute ospf metric 3 route-map OUT
 distance 130
 timers basic 10 60 40
!
ip route 10.20.0.0 255.255.0.0 10.9.9.2 200
ip route 10.21.0.0/16 10.9.9.2 eth1
ip route 10.22.0.0/16 eth1 tag 7
ip route 10.23.0.0/16 blackhole 254
ip route 10.24.0.0/16 10.9.9.2 eth1 onlink
ip route 10.25.0.0/16 reject
ipv6 route 2001:DB8:AAAA::/48 Null0
!
line vty
 exec-timeout 0 0
!
""",
    "EIGRP, Babel, NHRP, RIPng and OpenFabric": """\
frr defaults traditional
router eigrp 7
 eigrp router-id 10.0.0.7
 network 10.3.0.0/16
 passive-interface eth2
 redistribute connected metric 1 2 3 4 5
 timers active-time 5
exit
router babel
 network eth1
 redistribute ipv4 connected
 babel diversity
exit
interface eth1
 babel wired
 babel hello-interval 4000
 delay 10
exit
interface eth2
 ip nhrp network-id 3
 ip nhrp nhs dynamic nbma 192.0.2.1
 ip nhrp map 10.255.255.1 192.0.2.1
 ip nhrp registration no-unique
 ip nhrp redirect
 tunnel source eth1
exit
router ripng
 network eth2
 redistribute static metric 3
 aggregate-address 2001:db8::/32
 route 2001:db8:9::/48
exit
router openfabric 1
 net 49.0000.0000.0001.00
 fabric-tier 0
exit
interface lo
 ip router openfabric 1
exit
sharp watch nexthop 192.0.2.1
nhrp nflog-group 224
""",
    "Proxmox VE's SDN": """\
frr version 8.5.2
frr defaults datacenter
hostname pve1
log syslog informational
service integrated-vtysh-config
!
!
vrf vrf_myzone
 vni 4000
exit-vrf
!
router bgp 65000
 bgp router-id 192.168.0.1
 no bgp hard-administrative-reset
 no bgp default ipv4-unicast
 coalesce-time 1000
 no bgp graceful-restart notification
 neighbor VTEP peer-group
 neighbor VTEP remote-as 65000
 neighbor VTEP bfd
 neighbor 192.168.0.2 peer-group VTEP
 neighbor 192.168.0.3 peer-group VTEP
 !
 address-family l2vpn evpn
  neighbor VTEP activate
  neighbor VTEP route-map MAP_VTEP_IN in
  neighbor VTEP route-map MAP_VTEP_OUT out
  advertise-all-vni
  autort as 65000
 exit-address-family
exit
!
router bgp 65000 vrf vrf_myzone
 bgp router-id 192.168.0.1
 no bgp hard-administrative-reset
 no bgp graceful-restart notification
 !
 address-family ipv4 unicast
  redistribute connected
 exit-address-family
 !
 address-family l2vpn evpn
  default-originate ipv4
  default-originate ipv6
  route-target import 65000:4000
 exit-address-family
exit
!
route-map MAP_VTEP_IN permit 1
exit
!
route-map MAP_VTEP_OUT permit 1
exit
!
line vty
!
""",
    "MetalLB": """\
log file /etc/frr_reloader/frr.log informational
log timestamp precision 3
hostname kind-worker
ip nht resolve-via-default
ipv6 nht resolve-via-default
ip prefix-list 10.2.2.254-allowed-ipv4 seq 1 permit 172.16.1.10/32
ip prefix-list 10.2.2.254-172.16.1.10/32-comm permit 172.16.1.10/32
ipv6 prefix-list 10.2.2.254-allowed-ipv6 seq 1 deny any

route-map 10.2.2.254-out permit 1
  match ip address prefix-list 10.2.2.254-172.16.1.10/32-comm
  set community 65000:1 additive
  on-match next

route-map 10.2.2.254-out permit 2
  match ip address prefix-list 10.2.2.254-allowed-ipv4
route-map 10.2.2.254-out permit 3
  match ipv6 address prefix-list 10.2.2.254-allowed-ipv6

route-map 10.2.2.254-in deny 20

router bgp 64512
  no bgp ebgp-requires-policy
  no bgp network import-check
  no bgp default ipv4-unicast
  bgp graceful-restart preserve-fw-state
  neighbor 10.2.2.254 remote-as 64513
  neighbor 10.2.2.254 port 179
  neighbor 10.2.2.254 timers 30 90
  neighbor 10.2.2.254 timers connect 10
  neighbor 10.2.2.254 bfd profile full1

  address-family ipv4 unicast
    neighbor 10.2.2.254 activate
    neighbor 10.2.2.254 route-map 10.2.2.254-in in
    neighbor 10.2.2.254 route-map 10.2.2.254-out out
    network 172.16.1.10/32
  exit-address-family

  address-family ipv6 unicast
    neighbor 10.2.2.254 activate
    neighbor 10.2.2.254 route-map 10.2.2.254-in in
    neighbor 10.2.2.254 route-map 10.2.2.254-out out
  exit-address-family

bfd
  profile full1
    receive-interval 60
    transmit-interval 61
    detect-multiplier 2
    echo-interval 62
    echo-mode
    passive-mode
    minimum-ttl 254

""",
    "SONiC": """\
!
! =========== Managed by sonic-cfggen DO NOT edit manually! ====================
! generated by templates/frr/bgpd.conf.j2 with config DB data
! file: bgpd.conf
!
!
! template: bgpd/bgpd.main.conf.j2
!
agentx
!
password zebra
enable password zebra
!
log syslog informational
log facility local4
!
  ip prefix-list PL_LoopbackV4 permit 10.1.0.32/32
  !
  ipv6 prefix-list PL_LoopbackV6 permit fc00:1::/64
!
router bgp 65100
  !
  bgp log-neighbor-changes
  no bgp default ipv4-unicast
  no bgp ebgp-requires-policy
  !
  bgp bestpath as-path multipath-relax
  bgp graceful-restart restart-time 240
  bgp graceful-restart
  bgp graceful-restart preserve-fw-state
  bgp graceful-restart select-defer-time 45
  bgp router-id 10.1.0.32
  network 10.1.0.32/32
  address-family ipv6
    network fc00:1::32/64
  exit-address-family
  !
  neighbor PEER_V4 peer-group
  address-family ipv4
    neighbor PEER_V4 allowas-in 1
    neighbor PEER_V4 soft-reconfiguration inbound
    neighbor PEER_V4 route-map FROM_BGP_PEER_V4 in
    maximum-paths 64
  exit-address-family
  neighbor 10.0.0.57 remote-as 64600
  neighbor 10.0.0.57 peer-group PEER_V4
  neighbor 10.0.0.57 description ARISTA01T1
  neighbor 10.0.0.57 timers 3 10
  address-family ipv4
    neighbor 10.0.0.57 activate
  exit-address-family
!
maximum-paths 64
!
route-map ALLOW_LIST_DEPLOYMENT_ID_0_V4 permit 65535
  set community 5060:12345 additive
!
route-map FROM_BGP_PEER_V4 permit 10
  call ALLOW_LIST_DEPLOYMENT_ID_0_V4
  on-match next
!
route-map FROM_BGP_PEER_V4 permit 100
!
route-map RM_SET_SRC permit 10
    set src 10.1.0.32
!
ip protocol bgp route-map RM_SET_SRC
!
""",
    "pfSense": """\
##################### DO NOT EDIT THIS FILE! ######################
###################################################################
# This file was created by an automatic configuration generator.  #
###################################################################
frr version 9.1.1
frr defaults traditional
hostname fw.example.com
password 8 geheim
enable password 8 geheim
service password-encryption
log syslog notifications
!
ip router-id 10.6.0.1
ip protocol ospf route-map DNR-MAP
ip prefix-list ACCEPTFILTER deny 10.6.0.0/24
ip prefix-list ACCEPTFILTER permit any
route-map ACCEPTFILTER permit 10
match ip address prefix-list ACCEPTFILTER
ip protocol rip route-map ACCEPTFILTER
!
interface eth1
  ip ospf area 0.0.0.0
  ip ospf network point-to-point
  description "WAN [opt1]"
interface eth2
  ip ospf area 0.0.0.0
  ip ospf passive
  ip ospf bfd
router ospf
  ospf router-id 10.6.0.1
  log-adjacency-changes detail
  redistribute connected route-map DNR-CONN
  distribute-list 22 out connected
route-map DNR-CONN deny 5
route-map DNR-CONN permit 10
""",
    "OpenStack's agent of BGP for OVN": """\
frr version 8.5
frr defaults traditional
hostname compute-0
log file /var/log/frr/frr.log debugging
log timestamp precision 3
service integrated-vtysh-config
line vty
debug bfd peer
debug bgp graceful-restart
debug zebra nht
router bgp 64999
  bgp router-id 172.30.1.1
  bgp log-neighbor-changes
  bgp graceful-shutdown
  no bgp default ipv4-unicast
  no bgp ebgp-requires-policy

  neighbor uplink peer-group
  neighbor uplink remote-as internal
  neighbor eth2 interface peer-group uplink

  address-family ipv4 unicast
    redistribute connected
    neighbor uplink activate
    neighbor uplink allowas-in origin
    neighbor uplink prefix-list only-host-prefixes out
    import vrf OVN-VRF
    import vrf route-map IMPORT
  exit-address-family

  address-family ipv6 unicast
    redistribute connected
    neighbor uplink activate
    import vrf OVN-VRF
  exit-address-family

  address-family l2vpn evpn
    neighbor uplink activate
    advertise-all-vni
    advertise ipv4 unicast
  exit-address-family

ip prefix-list only-default permit 0.0.0.0/0
ip prefix-list only-host-prefixes permit 0.0.0.0/0 ge 32

route-map rm-only-default permit 10
  match ip address prefix-list only-default
  set src 172.30.1.1
route-map IMPORT permit 10

ip protocol bgp route-map rm-only-default
ip nht resolve-via-default

router bgp 64999 vrf OVN-VRF
  bgp router-id 172.30.1.1
  address-family ipv4 unicast
    redistribute kernel
  exit-address-family
""",
    "OSPFv3 with the words of old releases": """\
frr version 7.2
frr defaults traditional
ipv6 forwarding
no ip forwarding
interface eth1
 ipv6 ospf6 cost 12
 ipv6 ospf6 priority 3
 ipv6 ospf6 instance-id 4
 ipv6 ospf6 p2p-p2mp connected-prefixes include
 ipv6 ospf6 advertise prefix-list P6
!
interface eth2
 ipv6 ospf6 area 0.0.0.5
 ipv6 ospf6 passive
!
router ospf6
 router-id 10.0.0.66
 ospf6 router-id 10.0.0.66
 area 0.0.0.5 stub
 area 5 range 2001:db8::/32
 area 0.0.0.7 nssa no-summary
 interface eth1 area 0
 interface eth2 area 0.0.0.5
 redistribute static route-map S6
 redistribute connected metric 9 metric-type 1
 stub-router administrative
 timers throttle spf 200 1000 10000
 auto-cost reference-bandwidth 40000
 write-multiplier 3
 maximum-paths 8
 summary-address 2001:db8:5::/48 tag 9
!
ipv6 prefix-list P6 permit 2001:db8::/32 ge 48
ipv6 prefix-list P6 seq 3 deny ::/0
route-map S6 permit 10
 match ipv6 address prefix-list P6
 match ipv6 next-hop prefix-list P6
 set metric 12
 set metric-type type-1
 set forwarding-address 2001:db8::1
!
ipv6 route ::/0 2001:db8::1 eth1 tag 7 200
ipv6 route 2001:db8:77::/48 fe80::1 eth1
ipv6 route 2001:db8:78::/48 eth2
""",
    "MPLS, pseudowires and traffic engineering": """\
frr defaults traditional
mpls label dynamic-block 100000 199999
mpls label bind 10.9.0.0/16 17
mpls lsp 100 192.0.2.2 explicit-null
interface eth1
 mpls enable
 mpls ldp-sync
 mpls ldp-sync holddown 40
 link-params
  enable
  metric 7
  max-bw 1.25e+09
  admin-grp 0x1
  exit-link-params
 ip ospf area 9
!
mpls ldp
 router-id 10.0.0.9
 ordered-control
 dual-stack transport-connection prefer ipv4
 neighbor 10.0.0.8 password geheim
 neighbor 10.0.0.8 session holdtime 60
 address-family ipv4
  discovery transport-address 10.0.0.9
  label local allocate host-routes
  label local advertise explicit-null
  neighbor 10.0.0.8 targeted
  ttl-security disable
  interface eth1
   discovery hello interval 10
  interface eth2
 address-family ipv6
  discovery transport-address 2001:db8::9
  interface eth1
exit
l2vpn CUST type vpls
 bridge br0
 mtu 1500
 member interface eth7
 member pseudowire mpw0
  neighbor lsr-id 10.0.0.8
  pw-id 100
 member pseudowire mpw1
  neighbor lsr-id 10.0.0.7
  pw-id 101
  pw-status disable
pseudowire mpw9
 mpls label local 200 remote 201
 neighbor 10.0.0.6
 control-word include
router ospf
 mpls ldp-sync
 mpls-te on
 mpls-te router-address 10.0.0.9
 mpls-te inter-as as
 router-info area 0.0.0.9
 segment-routing on
 segment-routing global-block 16000 23999
 segment-routing prefix 10.0.0.9/32 index 9
ip route 10.99.0.0/16 192.0.2.7 label 16/17
""",
    "policies of segment routing, without closings": """\
frr defaults traditional
debug pathd policy
segment-routing
 traffic-eng
  mpls-te on
  mpls-te import ospfv2
  segment-list SL1
   index 10 mpls label 16001
   index 20 nai prefix 10.1.2.1/32 iface 1
   index 30 nai adjacency 10.1.20.1 10.1.20.2
  segment-list SL2
   index 10 mpls label 16002
   index 20 mpls label 16004
  policy color 1 endpoint 192.0.2.8
   name default
   binding-sid 4000
   candidate-path preference 100 name CP1 explicit segment-list SL1
   candidate-path preference 200 name CP2 dynamic
    affinity exclude-any 0x10
    bandwidth 100000
    metric bound msd 16 required
    metric te 10
    objective-function mcp required
  policy color 2 endpoint 192.0.2.9
   name other
   binding-sid 4001
   candidate-path preference 50 name A explicit segment-list SL2
route-map COLOR permit 10
 set sr-te color 7
""",
    "a release that knows AS numbers with dots": (
        "frr version 8.4.4\n"
        "frr defaults traditional\n"
        "router bgp 65000.7\n"
        " bgp router-id 10.0.0.1\n"
        " bgp cluster-id 7\n"
        " bgp max-med administrative 50\n"
        " bgp update-delay 90 30\n"
        " bgp default link-local-capability\n"
        " bgp listen limit 300\n"
        " bgp listen range 10.128.0.0/9 peer-group DYN\n"
        " bgp fast-convergence\n"
        " bgp minimum-holdtime 3\n"
        " bgp tcp-keepalive 60 10 3\n"
        " read-quanta 7\n"
        " neighbor DYN peer-group\n"
        " neighbor DYN remote-as external\n"
        " neighbor DYN capability dynamic\n"
        " neighbor 192.0.2.9 remote-as 65000.7\n"
        " neighbor 192.0.2.9 update-source lo\n"
        " neighbor 192.0.2.9 solo\n"
        " neighbor 192.0.2.9 enforce-multihop\n"
        " neighbor 192.0.2.9 sender-as-path-loop-detection\n"
        " neighbor 192.0.2.9 graceful-restart\n"
        " neighbor 192.0.2.9 dont-capability-negotiate\n"
        " neighbor 192.0.2.9 strict-capability-match\n"
        ' neighbor 192.0.2.9 description "\xfcber K\xf6ln \u2014 3 \u20ac / na\xefve"\n'
        " address-family ipv4 labeled-unicast\n"
        "  neighbor 192.0.2.9 activate\n"
        " exit-address-family\n"
        " address-family ipv4 multicast\n"
        "  network 10.5.0.0/16\n"
        "  neighbor 192.0.2.9 activate\n"
        " exit-address-family\n"
        " address-family ipv4 vpn\n"
        "  neighbor 192.0.2.9 activate\n"
        "  network 10.6.0.0/16 rd 65000:1 label 17\n"
        " exit-address-family\n"
        " address-family vpnv6\n"
        "  neighbor 192.0.2.9 activate\n"
        " exit-address-family\n"
        " address-family ipv4 flowspec\n"
        "  neighbor 192.0.2.9 activate\n"
        "  local-install eth1\n"
        " exit-address-family\n"
        " address-family ipv4 unicast\n"
        "  bgp dampening\n"
        "  network 10.4.0.0/16 backdoor\n"
        "  network 10.4.1.0/24 label-index 7\n"
        "  aggregate-address 10.4.0.0/14 as-set summary-only route-map AGG matching-MED-only\n"
        "  neighbor 192.0.2.9 weight 7\n"
        "  neighbor 192.0.2.9 unsuppress-map U\n"
        "  neighbor 192.0.2.9 advertise-map A exist-map B\n"
        "  neighbor 192.0.2.9 capability orf prefix-list both\n"
        "  neighbor 192.0.2.9 next-hop-self force\n"
        "  neighbor 192.0.2.9 remove-private-AS all replace-AS\n"
        "  neighbor 192.0.2.9 allowas-in origin\n"
        "  neighbor 192.0.2.9 as-override\n"
        "  neighbor 192.0.2.9 maximum-prefix-out 7\n"
        "  neighbor 192.0.2.9 addpath-tx-bestpath-per-AS\n"
        "  neighbor 192.0.2.9 disable-addpath-rx\n"
        "  maximum-paths ibgp 4 equal-cluster-length\n"
        "  distance 5 10.4.0.0/16 NAMED\n"
        "  redistribute ospf 3 metric 4\n"
        "  redistribute table 10 metric 3\n"
        " exit-address-family\n"
        "exit\n"
        "router bgp 65001 vrf V2\n"
        " neighbor 192.0.2.7 remote-as internal\n"
        "exit\n"
    ),
    "the output of show running-config, pasted": """\
r1# show running-config
Building configuration...

Current configuration:
!
frr version 8.4.4
frr defaults traditional
hostname r1
no ipv6 forwarding
service integrated-vtysh-config
!
ip route 10.50.0.0/16 blackhole
!
interface eth2
 ip ospf cost 12
exit
!
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
exit
!
end
""",
    "conflict markers, templates and options of another release": """\
frr defaults traditional
interface eth2
<<<<<<< HEAD
 ip ospf cost 12
=======
 ip ospf cost 13
>>>>>>> site-b
exit
{{ ansible_managed }}
router bgp 65000
 {% for n in neighbors %}
 neighbor 192.0.2.9 remote-as 65001
 {% endfor %}
 neighbor 192.0.2.9 fancy-new-option 17
 address-family ipv4 unicast
  neighbor 192.0.2.9 soft-reconfiguration inbound
  neighbor 192.0.2.9 frobnicate
 exit-address-family
exit
ip route 10.50.0.0/16 blackhole
""",
    "ends and configure terminal between": """\
configure terminal
frr defaults traditional
interface eth2
 ip ospf cost 12
end
configure terminal
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
end
write memory
""",
    "keywords written short": """\
ho r1
int eth1
 desc uplink
 ip os cost 12
 ip os hello 7
 ip os dead 28
ex
int eth2
 ip ospf net point-to-p
quit
rou bgp 65000
 bgp rou 10.0.0.9
 no bgp default ipv4-u
 nei 192.0.2.9 remote 65001
 nei 192.0.2.9 desc who ever
 nei 192.0.2.9 timers 5 15
 nei FAB peer
 nei FAB remote ext
 nei 192.0.2.8 peer FAB
 address-f ipv4
  nei 192.0.2.9 act
  nei 192.0.2.9 soft in
  net 10.0.0.0/8
 exit-a
 address-f l2 e
  nei 192.0.2.9 act
  advertise-all
ex
rou ospf
 router-id 10.0.0.1
 net 10.5.0.0/16 a 0
 pass default
 red conn
 max 3
ex
rou rip
 net 10.6.0.0/16
 vers 2
ex
ip pref PL s 7 per 10.0.0.0/8 l 24
route-m RM per 10
 mat ip add prefix-l PL
 set met 7
ex
ip rou 10.77.0.0/16 Nu
""",
    "lines that undo others": """\
frr defaults traditional
interface eth2
 ip ospf cost 12
 no ip ospf cost
 ip ospf hello-interval 5
 description a
 no description
exit
ip route 10.50.0.0/16 blackhole
ip route 10.51.0.0/16 blackhole
no ip route 10.50.0.0/16 blackhole
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 neighbor 192.0.2.8 remote-as 65001
 neighbor 192.0.2.8 description gone
 no neighbor 192.0.2.8
 neighbor 192.0.2.9 description x
 no neighbor 192.0.2.9 description
 address-family ipv4 unicast
  network 10.0.0.0/8
  network 10.1.0.0/16
  no network 10.0.0.0/8
  neighbor 192.0.2.9 route-map RM in
  no neighbor 192.0.2.9 route-map RM in
 exit-address-family
exit
route-map RM permit 10
exit
no route-map RM
router rip
 network eth2
exit
no router rip
no ip prefix-list NONE
no router ospf6
""",
    "everything twice": """\
frr version 8.4
frr defaults traditional
frr version 7.5
frr defaults datacenter
hostname one
hostname two
interface eth1
 ip ospf cost 5
exit
interface eth1
 ip ospf cost 6
 ip ospf cost 6
exit
ip route 10.50.0.0/16 blackhole
ip route 10.50.0.0/16 blackhole
ip route 10.50.0.0/16 Null0
ip prefix-list P seq 5 permit 10.0.0.0/8
ip prefix-list P seq 5 permit 10.1.0.0/16
ip prefix-list P seq 7 permit 10.1.0.0/16
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 neighbor 192.0.2.9 description a
 neighbor 192.0.2.9 description b
 neighbor 192.0.2.9 remote-as 65002
 address-family ipv4 unicast
  network 10.1.0.0/16
 exit-address-family
 address-family ipv4 unicast
  network 10.2.0.0/16
  network 10.1.0.0/16 route-map R
 exit-address-family
exit
router bgp 65000
 address-family ipv4 unicast
  network 10.3.0.0/16
exit
route-map R permit 10
 set metric 5
 set metric 6
exit
route-map R permit 10
 set tag 7
exit
line vty
line vty
""",
    "a byte order mark, and letters of other alphabets": (
        "\ufefffrr defaults traditional\n"
        "hostname bom\n"
        "ip route 10.50.0.0/16 blackhole\n"
        "interface eth2\n"
        " description \xfcber K\xf6ln \u2014 \u20ac\n"
        " ip ospf cost 12\n"
        "exit\n"
        "router bgp 65000\n"
        " neighbor 192.0.2.9 remote-as 65001\n"
        " neighbor 192.0.2.9 description \u6771\u4eac\n"
        "exit\n"
    ),
    "letters of no alphabet, form feeds and blanks": (
        "frr defaults traditional\n"
        "interface eth2\n"
        " description latin1 \udce4\udcf6\udcfc \udca0nbsp\n"
        " ip ospf cost 12 \t \n"
        "exit  \n"
        "\x0c\n"
        "ip route 10.50.0.0/16 blackhole\x0b\n"
        " \t \n"
        "router bgp 65000\n"
        " neighbor 192.0.2.9 remote-as 65001\n"
        "\tneighbor 192.0.2.9 description xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
        "exit\n"
    ),
    "RIP with passive interfaces, BFD with all peers": """\
frr defaults traditional
key chain RIPK
 key 1
  key-string eins
 key 2
  key-string zwei zwei
interface eth1
 ip rip authentication mode md5 auth-length old-ripd
 ip rip authentication key-chain RIPK
 ip rip send version 1 2
 no ip rip split-horizon
interface eth2
 ip rip receive version 2
 ip rip v2-broadcast
router rip
 passive-interface default
 no passive-interface eth2
 network eth2
 network 10.9.0.0/16
 allow-ecmp
 default-information originate
 distance 99 10.9.9.0/24 A
 route-map RM in eth1
 route 10.8.0.0/16
 default-metric 5
 bfd default-profile SLOW
route-map RM permit 10
 set metric +3
bfd
 profile SLOW
  transmit-interval 900
  shutdown
 peer 192.0.2.4 interface eth1
  no shutdown
  label X
 peer 2001:db8::4 multihop local-address 2001:db8::5
  receive-interval 500
""",
    "closings that close nothing": """\
frr defaults traditional
exit-vrf
exit-address-family
interface eth2
 ip ospf cost 12
exit
exit-vrf
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 address-family ipv4 unicast
  network 10.0.0.0/8
 exit
 address-family ipv6 unicast
  network 2001:db8::/32
exit-address-family
exit
vrf V1
 ip route 10.50.0.0/16 blackhole
exit
vrf V2
 ip route 10.51.0.0/16 blackhole
 exit-vrf
interface eth3
 description exit
 exit
router ospf
 maximum-paths 3
quit
ip route 10.52.0.0/16 blackhole
""",
    "VRFs in both spellings": """\
frr version 8.1
frr defaults traditional
vrf mgmt
 ip route 0.0.0.0/0 192.0.2.254
 ip route 10.60.0.0/16 192.0.2.254 nexthop-vrf default
 ip protocol static route-map SM
 ip router-id 10.0.0.3
exit-vrf
!
ip route 10.61.0.0/16 192.0.2.9 vrf V1
ip route 10.62.0.0/16 blackhole vrf V1
ip route 10.63.0.0/16 192.0.2.9 nexthop-vrf mgmt
ip route 10.64.0.0/16 192.0.2.9 table 77
!
interface eth1 vrf mgmt
 description "in a VRF"
exit
interface eth2 vrf default
 ip ospf cost 12
exit
router ospf vrf mgmt
 ospf router-id 10.0.0.3
 network 10.1.1.0/24 area 0
exit
router ospf6 vrf mgmt
 ospf6 router-id 10.0.0.3
exit
router rip vrf mgmt
 network 10.2.2.0/24
exit
router bgp 65003 vrf mgmt
 no bgp ebgp-requires-policy
 neighbor 192.0.2.254 remote-as 65009
exit
route-map SM permit 10
exit
""",
    "options of zebra, groups of next hops and policies": """\
frr defaults traditional
zebra work-queue 10000
zebra nexthop-group keep 500
zebra route-map delay-timer 7
zebra dplane limit 300
no zebra nexthop kernel enable
allow-external-route-update
ip nht resolve-via-default
ip nht bgp route-map N
no ipv6 nht resolve-via-default
ip import-table 10 distance 9
ip protocol any route-map N
ipv6 protocol bgp route-map N
ip mroute 10.0.0.0/8 eth1
fpm address 127.0.0.1 port 2620
nexthop-group NG
 nexthop 192.0.2.1 eth1 onlink
 nexthop 192.0.2.2 nexthop-vrf V1 label 16
 backup-group NB
 resilient buckets 32 idle-timer 100 unbalanced-timer 500
nexthop-group NB
 nexthop 192.0.2.3
pbr-map P seq 1
 match src-ip 10.0.0.0/8
 match dscp af11
 match ip-protocol tcp
 set vrf V1
pbr-map P seq 2
 match src-port 80
 set vrf unchanged
 set queue-id 7
pbr table range 10000 11000
route-map N deny 5
 match ip address prefix-len 0
 match source-protocol kernel
 match interface eth2
route-map N permit 10
""",
    "tabs, carriage returns and an unfinished last line": (
        "frr version 8.4\r\n"
        "frr defaults traditional\r\n"
        "\r\n"
        "# Ansible managed\r\n"
        "router ospf\r\n"
        "\tospf router-id 10.0.0.5\r\n"
        "\tarea 0.0.0.2 nssa\r\n"
        "! c\r\n"
        "\tarea 0.0.0.2 default-cost 9\r\n"
        "router bgp 65000\r\n"
        "\tneighbor 192.0.2.9 remote-as 65001\r\n"
        "\taddress-family l2vpn evpn\r\n"
        "\t\tneighbor 192.0.2.9 activate\r\n"
        "\t\tadvertise-all-vni\r\n"
        "\t\tvni 77\r\n"
        "\t\t\trd 1:77\r\n"
        "\t\texit-vni\r\n"
        "\t\tadvertise-svi-ip\r\n"
        "\texit-address-family\r\n"
        "\tneighbor 192.0.2.9 description last"
    ),
    "line breaks of two kinds": (
        "frr defaults traditional\r\n"
        "interface eth2\n"
        " ip ospf cost 12\r\n"
        "exit\n"
        "\n"
        "\n"
        "!\r\n"
        "ip route 10.50.0.0/16 blackhole\n"
        "\r\n"
        "router bgp 65000\r\n"
        " neighbor 192.0.2.9 remote-as 65001\n"
        "!\n"
        "exit\r\n"
    ),
    "indentation that means nothing": """\
frr defaults traditional
   router bgp 65000
      neighbor 192.0.2.9 remote-as 65001
   neighbor 192.0.2.9 description at the same column
         address-family ipv4 unicast
   network 10.0.0.0/8
            exit-address-family
interface eth2
  ip ospf cost 12
     ip ospf hello-interval 7
 router ospf
 ospf router-id 10.0.0.5
      ip route 10.50.0.0/16 blackhole
         vrf V1
   ip route 10.51.0.0/16 blackhole
router rip
network eth2
""",
    "names that are keywords": """\
frr defaults traditional
hostname exit
banner motd line end of the line
interface exit
 description no exit
exit
interface end
 description end
exit
interface vrf
 ip ospf cost 7
exit
vrf exit
 ip route 10.50.0.0/16 blackhole
exit-vrf
route-map exit permit 10
 description exit
exit
ip prefix-list end seq 5 permit any
router bgp 65000
 neighbor exit peer-group
 neighbor exit remote-as external
 neighbor 192.0.2.9 peer-group exit
 neighbor 192.0.2.9 description router bgp 65000
 address-family ipv4 unicast
  neighbor exit route-map exit in
  neighbor exit prefix-list end out
 exit-address-family
exit
""",
}


def long() -> str:
    """A file of 4,467 lines."""
    lines = ["frr defaults traditional", "hostname big"]
    lines += [f"ip prefix-list BIG{n % 20} seq {n * 5 + 5} permit 10.{n // 250}.{n % 250}.0/24" for n in range(2200)]
    lines += [f"ip route 10.{200 + n // 250}.{n % 250}.0/24 192.0.2.{1 + n % 200}" for n in range(300)]
    for n in range(40):
        lines += [f"vrf V{n}", f" ip route 10.{n}.0.0/16 blackhole", "exit-vrf", "!"]
    lines.append("router bgp 65000")
    for n in range(150):
        lines += [
            f" neighbor 10.77.0.{n + 1} remote-as {65100 + n}",
            f" neighbor 10.77.0.{n + 1} description customer {n}",
        ]
    lines += [" !", " address-family ipv4 unicast"]
    for n in range(150):
        lines += [
            f"  neighbor 10.77.0.{n + 1} prefix-list BIG{n % 20} in",
            f"  neighbor 10.77.0.{n + 1} route-map RM{n} out",
        ]
    lines += [" exit-address-family", "exit"]
    for n in range(150):
        lines += [
            f"route-map RM{n} permit 10",
            f" match ip address prefix-list BIG{n % 20}",
            f" set community 65000:{n}",
        ]
        lines += ["exit", "!", f"route-map RM{n} deny 20", "exit", "!"]
    return "".join(f"{line}\n" for line in lines)


OPERATORS["4,467 lines"] = long()

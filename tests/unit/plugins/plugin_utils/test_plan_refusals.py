# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan refuses, with the exact sentence of each."""

from __future__ import annotations

import pytest

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

BLUE = {"name": "blue", "vlan": 10, "subnet": "10.1.1.0/24"}
RED = {"name": "red", "vlan": 20, "subnet": "10.1.2.0/24"}


def fabric(count=2, common=None, **own):
    """A valid fabric of so many hosts with an endpoint each, then what all hosts and single ones say otherwise."""
    base = {"fabric_name": "test", "fabric_segments": [BLUE, RED], **endpoint()}
    names = [f"kvm{number}" for number in range(1, count + 1)]
    return {name: {**base, **(common or {}), **own.get(name, {})} for name in names}


def endpoint(**options):
    return {"fabric_endpoints": [{"name": "a", "segment": "blue", **options}]}


def segments(*items):
    return {"fabric_segments": list(items)}


def mesh(**options):
    return {"fabric_overlays": [options]}


def bond(**options):
    return {"fabric_underlay": {"bond": {"interfaces": ["eth1", "eth2"], **options}}}


def refused(hosts):
    with pytest.raises(PlanError) as error:
        compile_plan(hosts, SPEC, lab=["lab_links", "lab_name"])
    return error.value.problems


REFUSED = [
    ("fabric name missing", fabric(common={"fabric_name": None}), ["fabric_name is missing; it is required."]),
    (
        "fabric name with capitals",
        fabric(common={"fabric_name": "My fabric"}),
        [
            "fabric_name 'My fabric' is not a valid name; use at most 32 of a-z, 0-9 and '-', the first a letter or digit."
        ],
    ),
    (
        "unknown variable",
        fabric(common={"fabric_segmants": []}),
        ["fabric_segmants (of kvm1, kvm2) is no variable of the fabric; did you mean fabric_segments?"],
    ),
    (
        "unknown lab variable",
        fabric(common={"lab_link": []}),
        ["lab_link (of kvm1, kvm2) is no variable of the lab; did you mean lab_links?"],
    ),
    (
        "unknown option",
        fabric(common=segments({**BLUE, "vlna": 5}, RED)),
        ["fabric_segments[blue] has no option 'vlna'; did you mean vlan?"],
    ),
    (
        "unknown option nothing like it",
        fabric(common=segments({**BLUE, "zzz": 5}, RED)),
        [
            "fabric_segments[blue] has no option 'zzz'; known here: dhcp, key, learn, mtu, multicast_snooping, name, overlay, policy, subnet, subnet6,"
            " tenant, vlan."
        ],
    ),
    ("segments no list", fabric(common={"fabric_segments": "blue"}), ["fabric_segments must be a list, not 'blue'."]),
    (
        "segment no dict",
        fabric(common=segments("blue", BLUE, RED)),
        ["fabric_segments[0] must be a dictionary, not 'blue'."],
    ),
    (
        "vlan ten",
        fabric(common=segments({**BLUE, "vlan": "ten"}, RED)),
        ["fabric_segments[blue].vlan must be a whole number, not 'ten'."],
    ),
    (
        "vlan 0",
        fabric(common=segments({**BLUE, "vlan": 0}, RED)),
        ["fabric_segments[blue].vlan must be 1 to 4094, not 0; leave it out for untagged."],
    ),
    (
        "vlan 4095",
        fabric(common=segments({**BLUE, "vlan": 4095}, RED)),
        ["fabric_segments[blue].vlan must be 1 to 4094, not 4095; leave it out for untagged."],
    ),
    (
        "vlan true",
        fabric(common=segments({**BLUE, "vlan": True}, RED)),
        ["fabric_segments[blue].vlan must be a whole number, not True."],
    ),
    (
        "name true",
        fabric(common=segments({**BLUE, "name": True}, RED)),
        ["fabric_segments[0].name must be text (in quotes, if need be), not True."],
    ),
    (
        "differs",
        fabric(kvm2={"fabric_name": "other"}),
        [
            "fabric_name differs between kvm1 and kvm2; it holds for the whole fabric, so state it once, in group_vars/all.yml."
        ],
    ),
    (
        "encapsulation",
        fabric(common=mesh(encapsulation="grx")),
        ["fabric_overlays[0].encapsulation must be one of gre, vxlan, geneve, vlan, not 'grx'; did you mean gre?"],
    ),
    (
        "encapsulation unlike",
        fabric(common=mesh(encapsulation="ipsec")),
        ["fabric_overlays[0].encapsulation must be one of gre, vxlan, geneve, vlan, not 'ipsec'."],
    ),
    (
        "no subnet",
        fabric(common=segments({"name": "blue"}, RED)),
        ["fabric_segments[blue].subnet is missing; it is required."],
    ),
    (
        "subnet malformed",
        fabric(common=segments({**BLUE, "subnet": "10.1.1/24"}, RED)),
        ["fabric_segments[blue].subnet '10.1.1/24' is no subnet; write it as 10.1.1.0/24 or 2001:db8:1::/64."],
    ),
    (
        "subnet no prefix",
        fabric(common=segments({**BLUE, "subnet": "10.1.1.0"}, RED)),
        ["fabric_segments[blue].subnet '10.1.1.0' is no subnet; write it as 10.1.1.0/24 or 2001:db8:1::/64."],
    ),
    (
        "host bits",
        fabric(common=segments({**BLUE, "subnet": "10.1.1.1/24"}, RED)),
        ["fabric_segments[blue].subnet 10.1.1.1/24 has host bits set; the subnet is 10.1.1.0/24."],
    ),
    (
        "multicast",
        fabric(common=segments({**BLUE, "subnet": "224.0.0.0/24"}, RED)),
        ["fabric_segments[blue].subnet 224.0.0.0/24 is a multicast range; take a unicast subnet."],
    ),
    (
        "overlap",
        fabric(common=segments({**BLUE, "subnet": "10.1.0.0/16"}, RED)),
        [
            "fabric_segments[red].subnet 10.1.2.0/24 overlaps fabric_segments[blue].subnet 10.1.0.0/16; give each its own range."
        ],
    ),
    (
        "same subnet",
        fabric(common=segments(BLUE, {**RED, "subnet": "10.1.1.0/24"})),
        [
            "fabric_segments[red].subnet 10.1.1.0/24 overlaps fabric_segments[blue].subnet 10.1.1.0/24; give each its own range."
        ],
    ),
    (
        "overlap underlay",
        fabric(common=segments({**BLUE, "subnet": "192.168.0.0/16"}, RED)),
        [
            "fabric_underlay.subnet 192.168.200.0/24 overlaps fabric_segments[blue].subnet 192.168.0.0/16; give each its own range."
        ],
    ),
    (
        "dup vlan",
        fabric(common=segments(BLUE, {**RED, "vlan": 10})),
        [
            "fabric_segments[blue] and fabric_segments[red] both have VLAN 10 on bridge br-int; give one of them another vlan."
        ],
    ),
    (
        "two untagged",
        fabric(common=segments({**BLUE, "vlan": None}, {**RED, "vlan": None})),
        [
            "fabric_segments[blue] and fabric_segments[red] are both untagged on bridge br-int; give one of them another vlan."
        ],
    ),
    (
        "dup segment",
        fabric(common=segments(BLUE, {**RED, "name": "blue"})),
        ["fabric_segments has the name blue twice; give each its own."],
    ),
    (
        "dup endpoint",
        fabric(kvm1={"fabric_endpoints": [{"name": "a", "segment": "blue"}, {"name": "a", "segment": "red"}]}),
        ["kvm1: fabric_endpoints has the name a twice; give each its own."],
    ),
    (
        "dup overlay",
        fabric(common={"fabric_overlays": [{"encapsulation": "gre"}, {"encapsulation": "gre", "key": 5}]}),
        ["fabric_overlays has the name gre twice; give each its own."],
    ),
    (
        "dup key",
        fabric(
            common={
                "fabric_overlays": [
                    {"name": "one", "encapsulation": "gre", "key": 5},
                    {"name": "two", "encapsulation": "gre", "key": 5},
                ],
                **segments({**BLUE, "overlay": "one"}, {**RED, "overlay": "two"}),
            }
        ),
        [
            "fabric_overlays[one] and fabric_overlays[two] are both gre with the key 5 between kvm1 and kvm2; give one of them another key."
        ],
    ),
    (
        "no keys",
        fabric(
            common={
                "fabric_overlays": [{"name": "one"}, {"name": "two"}],
                **segments({**BLUE, "overlay": "one"}, {**RED, "overlay": "two"}),
            }
        ),
        [
            "fabric_overlays[one] and fabric_overlays[two] are both vxlan with no key between kvm1 and kvm2; give one of them another key."
        ],
    ),
    (
        "dup host id",
        fabric(kvm2={"fabric_host_id": 1}),
        ["kvm1 and kvm2 both have the host id 1; give one of them another fabric_host_id."],
    ),
    (
        "same digits",
        {"kvm1": fabric(1)["kvm1"], "web1": fabric(1)["kvm1"]},
        ["kvm1 and web1 both have the host id 1; give one of them another fabric_host_id."],
    ),
    (
        "host id out of range",
        fabric(kvm2={"fabric_host_id": 64}),
        ["kvm2: fabric_host_id must be 1 to 63, not 64; enlarge fabric_underlay.subnet or raise fabric_max_hosts."],
    ),
    ("host id 0", fabric(kvm2={"fabric_host_id": 0}), ["kvm2: fabric_host_id must be 1 to 65535, not 0."]),
    (
        "dup address",
        fabric(kvm1=endpoint(address="10.1.1.5"), kvm2=endpoint(address="10.1.1.5")),
        [
            "kvm1/a (given: kvm1: fabric_endpoints[a].address) and kvm2/a (given: kvm2: fabric_endpoints[a].address) both have "
            "the address 10.1.1.5; give one of them another address."
        ],
    ),
    (
        "given takes allocated",
        fabric(kvm1=endpoint(address="10.1.1.66")),
        [
            "kvm1/a (given: kvm1: fabric_endpoints[a].address) and kvm2/a (allocated: block 1, host id 2 in "
            "fabric_segments[blue].subnet) both have the address 10.1.1.66; give one of them another address."
        ],
    ),
    (
        "dup mac",
        fabric(kvm1=endpoint(mac="02:00:00:00:00:01"), kvm2=endpoint(mac="02:00:00:00:00:01")),
        [
            "kvm1/a (given: kvm1: fabric_endpoints[a].mac) and kvm2/a (given: kvm2: fabric_endpoints[a].mac) both have the MAC "
            "address 02:00:00:00:00:01; give one of them another mac."
        ],
    ),
    (
        "mac malformed",
        fabric(kvm1=endpoint(mac="02-00-00-00-00")),
        [
            "kvm1: fabric_endpoints[a].mac '02-00-00-00-00' is no MAC address; write it in quotes, as '02:00:00:00:00:01'."
        ],
    ),
    (
        "mac multicast",
        fabric(kvm1=endpoint(mac="01:00:5e:00:00:01")),
        [
            "kvm1: fabric_endpoints[a].mac 01:00:5e:00:00:01 is no address of a single interface; its first byte must be even, and not all be zero."
        ],
    ),
    (
        "mac sexagesimal",
        fabric(kvm1=endpoint(mac=40716184321)),
        ["kvm1: fabric_endpoints[a].mac '40716184321' is no MAC address; write it in quotes, as '02:00:00:00:00:01'."],
    ),
    (
        "address outside",
        fabric(kvm1=endpoint(address="10.9.9.9")),
        [
            "kvm1: fabric_endpoints[a].address 10.9.9.9 is outside fabric_segments[blue].subnet 10.1.1.0/24; give an address inside, or leave it out."
        ],
    ),
    (
        "network address",
        fabric(kvm1=endpoint(address="10.1.1.0")),
        [
            "kvm1: fabric_endpoints[a].address 10.1.1.0 is the network address of fabric_segments[blue].subnet 10.1.1.0/24; give another."
        ],
    ),
    (
        "broadcast address",
        fabric(kvm1=endpoint(address="10.1.1.255")),
        [
            "kvm1: fabric_endpoints[a].address 10.1.1.255 is the broadcast address of fabric_segments[blue].subnet 10.1.1.0/24; give another."
        ],
    ),
    (
        "address with prefix",
        fabric(kvm1=endpoint(address="10.1.1.5/24")),
        [
            "kvm1: fabric_endpoints[a].address '10.1.1.5/24' is no address; leave out the prefix length, which is the segment's."
        ],
    ),
    (
        "address malformed",
        fabric(kvm1=endpoint(address="10.1.1.500")),
        ["kvm1: fabric_endpoints[a].address '10.1.1.500' is no address; write it as 10.1.1.2 or 2001:db8:1::2."],
    ),
    (
        "family",
        fabric(kvm1=endpoint(address="2001:db8::1")),
        [
            "kvm1: fabric_endpoints[a].address 2001:db8::1 is IPv6, but fabric_segments[blue].subnet 10.1.1.0/24 is IPv4; give an IPv4 address."
        ],
    ),
    (
        "address6 without subnet6",
        fabric(kvm1=endpoint(address6="2001:db8::1")),
        [
            "kvm1: fabric_endpoints[a].address6 is given, but segment blue has no subnet6; give fabric_segments[blue].subnet6, "
            "or leave the address out."
        ],
    ),
    (
        "subnet6 is v4",
        fabric(common=segments({**BLUE, "subnet6": "10.2.0.0/24"}, RED)),
        [
            "fabric_segments[blue].subnet6 10.2.0.0/24 must be IPv6; an IPv6 subnet stands alone in subnet, or in subnet6 beside an IPv4 one."
        ],
    ),
    (
        "subnet6 beside v6",
        fabric(common=segments({**BLUE, "subnet": "2001:db8:1::/64", "subnet6": "2001:db8:2::/64"}, RED)),
        [
            "fabric_segments[blue].subnet6 stands beside an IPv4 subnet only, and subnet 2001:db8:1::/64 is IPv6; leave one of them out."
        ],
    ),
    (
        "unknown segment",
        fabric(kvm1=endpoint(segment="bleu")),
        ["kvm1: fabric_endpoints[a].segment bleu is no segment; did you mean blue?"],
    ),
    (
        "unknown overlay",
        fabric(common=segments({**BLUE, "overlay": "gre"}, RED)),
        ["fabric_segments[blue].overlay gre is no overlay; known here: vxlan."],
    ),
    (
        "which overlay",
        fabric(common={"fabric_overlays": [{"name": "one"}, {"name": "two", "key": 2}]}),
        [
            "fabric_segments[blue].overlay is missing; there are several overlays, so name one: one, two.",
            "fabric_segments[red].overlay is missing; there are several overlays, so name one: one, two.",
        ],
    ),
    (
        "overlay when there is none",
        fabric(1, common={"fabric_overlays": [], **segments({**BLUE, "overlay": "gre"}, RED)}),
        ["fabric_segments[blue].overlay gre is no overlay; fabric_overlays is empty."],
    ),
    (
        "local across hosts",
        fabric(common={"fabric_overlays": []}),
        [
            "fabric_segments[blue] has endpoints on kvm1, kvm2, but fabric_overlays is empty, so nothing joins them; add an overlay."
        ],
    ),
    (
        "tunnel to itself",
        fabric(common=mesh(topology="links", links=[["kvm1", "kvm1"], ["kvm1", "kvm2"]])),
        ["fabric_overlays[0].links has a tunnel from kvm1 to itself; name two different hosts."],
    ),
    (
        "unknown host in links",
        fabric(common=mesh(topology="links", links=[["kvm1", "kvm2"], ["kvm1", "kmv2"]])),
        ["fabric_overlays[0].links names kmv2, which is no host of the fabric; did you mean kvm2?"],
    ),
    (
        "three ends",
        fabric(common=mesh(topology="links", links=[["kvm1", "kvm2"], ["kvm1", "kvm2", "kvm3"]])),
        [
            "fabric_overlays[0].links has ['kvm1', 'kvm2', 'kvm3']; write each link as the names of two hosts, [kvm1, kvm2]."
        ],
    ),
    (
        "link twice",
        fabric(common=mesh(topology="links", links=[["kvm1", "kvm2"], ["kvm2", "kvm1"]])),
        ["fabric_overlays[0].links has the tunnel between kvm2 and kvm1 twice; leave one out."],
    ),
    (
        "links missing",
        fabric(common=mesh(topology="links")),
        ["fabric_overlays[0].links is missing; topology links needs it."],
    ),
    (
        "links unused",
        fabric(common=mesh(links=[["kvm1", "kvm2"]])),
        ["fabric_overlays[0].links is for topology links; leave it out with full_mesh."],
    ),
    (
        "hubs missing",
        fabric(common=mesh(topology="hub_and_spoke")),
        ["fabric_overlays[0].hubs is missing; topology hub_and_spoke needs it."],
    ),
    (
        "unknown hub",
        fabric(common=mesh(topology="hub_and_spoke", hubs=["kvm1", "kvm9"])),
        ["fabric_overlays[0].hubs names kvm9, which is no host of the fabric; did you mean kvm2?"],
    ),
    (
        "hub twice",
        fabric(common=mesh(topology="hub_and_spoke", hubs=["kvm1", "kvm1"])),
        ["fabric_overlays[0].hubs names kvm1 twice; leave one out."],
    ),
    (
        "long bridge",
        fabric(common=mesh(bridge="br-integration-1")),
        [
            "fabric_overlays[0].bridge 'br-integration-1' is not a name for a network device; give 1 to 15 printable ASCII "
            "characters without spaces, slashes, ':' and '%', and no leading hyphen."
        ],
    ),
    (
        "bad interface",
        fabric(common={"fabric_underlay": {"interface": "eth 1"}}),
        [
            "fabric_underlay.interface 'eth 1' is not a name for a network device; give 1 to 15 printable ASCII characters "
            "without spaces, slashes, ':' and '%', and no leading hyphen."
        ],
    ),
    (
        "bad interface of host",
        fabric(kvm1={"fabric_underlay_interface": "-eth1"}),
        [
            "kvm1: fabric_underlay_interface '-eth1' is not a name for a network device; give 1 to 15 printable ASCII characters "
            "without spaces, slashes, ':' and '%', and no leading hyphen."
        ],
    ),
    (
        "bond of one",
        fabric(common=bond(interfaces=["eth1"])),
        [
            "fabric_underlay.bond.interfaces names eth1 alone; a bond needs two or more, and a single NIC is an interface."
        ],
    ),
    (
        "bond of none",
        fabric(kvm2={"fabric_underlay_bond": {"interfaces": []}}),
        [
            "kvm2: fabric_underlay_bond.interfaces names no NIC; a bond needs two or more, and a single NIC is an interface."
        ],
    ),
    (
        "bond without NICs",
        fabric(common={"fabric_underlay": {"bond": {}}}),
        ["fabric_underlay.bond.interfaces is missing; it is required."],
    ),
    (
        "bond of one NIC twice",
        fabric(common=bond(interfaces=["eth1", "eth2", "eth1"])),
        ["fabric_underlay.bond.interfaces names eth1 twice; name each NIC once."],
    ),
    (
        "bond of no name",
        fabric(common=bond(interfaces=["eth1", "eth/2"])),
        [
            "fabric_underlay.bond.interfaces 'eth/2' is not a name for a network device; give 1 to 15 printable ASCII characters "
            "without spaces, slashes, ':' and '%', and no leading hyphen."
        ],
    ),
    (
        "bond of a NIC that is the tunnel endpoint",
        fabric(count=1, common={"fabric_underlay": {**bond()["fabric_underlay"], "tep": "eth2"}}),
        ["kvm1: the name eth2 is both a NIC of fabric_underlay.bond and fabric_underlay.tep; rename one of them."],
    ),
    (
        "bond with the name of its NIC",
        fabric(count=1, kvm1={"fabric_underlay_bond": {"name": "eth1", "interfaces": ["eth1", "eth2"]}}),
        [
            "kvm1: the name eth1 is both a NIC of kvm1: fabric_underlay_bond and kvm1: fabric_underlay_bond.name; rename one of them."
        ],
    ),
    (
        "bond and interface",
        fabric(common={"fabric_underlay": {**bond()["fabric_underlay"], "interface": "eth1"}}),
        ["fabric_underlay.interface and fabric_underlay.bond exclude each other; leave one of them out."],
    ),
    (
        "bond and interface of a host",
        fabric(kvm1={"fabric_underlay_interface": "eth1", "fabric_underlay_bond": {"interfaces": ["eth1", "eth2"]}}),
        ["kvm1: fabric_underlay_interface and fabric_underlay_bond exclude each other; leave one of them out."],
    ),
    (
        "bond of an unknown mode",
        fabric(common=bond(mode="802.3ad")),
        [
            "fabric_underlay.bond.mode must be one of active-backup, balance-slb, lacp, balance-xor, balance-tlb, balance-alb,"
            " not '802.3ad'."
        ],
    ),
    (
        "rate of LACP without LACP",
        fabric(common=bond(mode="balance-slb", lacp_rate="fast")),
        ["fabric_underlay.bond.lacp_rate is for the mode lacp; leave it out with balance-slb."],
    ),
    (
        "delays and primary with LACP",
        fabric(common=bond(mode="lacp", up_delay=100, down_delay=0, primary="eth1")),
        [
            "fabric_underlay.bond.primary is for the mode active-backup; leave it out with lacp.",
            "fabric_underlay.bond.up_delay is for the modes without LACP, which has timers of its own; leave it out with lacp.",
            "fabric_underlay.bond.down_delay is for the modes without LACP, which has timers of its own; leave it out with lacp.",
        ],
    ),
    (
        "primary that is no member",
        fabric(common=bond(primary="eth3")),
        ["fabric_underlay.bond.primary eth3 is not among its NICs; did you mean eth2?"],
    ),
    (
        "delay below zero",
        fabric(common=bond(up_delay=-1)),
        ["fabric_underlay.bond.up_delay must be 0 to 2147483647, not -1."],
    ),
    (
        "bond on a routed underlay",
        fabric(common={**bond(), "fabric_links": [{"ends": ["kvm1:eth1", "kvm2:eth1"]}]}),
        [
            "fabric_underlay.bond is for a switched underlay, but fabric_links makes it routed, with a NIC for each link; leave one of them out."
        ],
    ),
    (
        "bridge twice",
        fabric(common=mesh(bridge="br-underlay")),
        ["fabric_overlays[0].bridge br-underlay is the underlay's bridge too; give the overlay its own."],
    ),
    (
        "tep as bridge",
        fabric(common={"fabric_underlay": {"tep": "br-int"}}),
        ["kvm1: the name br-int is both fabric_underlay.tep and fabric_overlays[0].bridge; rename one of them."],
    ),
    (
        "loopback",
        fabric(kvm1=endpoint(interface="lo")),
        ["kvm1: fabric_endpoints[a].interface lo is the loopback; take another name."],
    ),
    (
        "outer end of a guest",
        fabric(kvm1=endpoint(kind="guest", outer="vnet0", guest={"image": "lab"})),
        ["kvm1: fabric_endpoints[a].outer is for endpoints in namespaces; leave it out with a guest."],
    ),
    (
        "tunnel name of an unknown host",
        fabric(common=mesh(tunnel_names={"kvm9": {"kvm1": "gre0"}})),
        ["fabric_overlays[0].tunnel_names kvm9 is no host of the fabric; did you mean kvm2?"],
    ),
    (
        "tunnel name of no tunnel",
        fabric(common=mesh(tunnel_names={"kvm1": {"sw": "gre0"}})),
        ["fabric_overlays[0].tunnel_names.kvm1 sw is at no tunnel of kvm1; known here: kvm2."],
    ),
    (
        "tunnel name without its peer",
        fabric(common=mesh(tunnel_names={"kvm1": "gre0"})),
        ["fabric_overlays[0].tunnel_names.kvm1 must be names by peer, as {kvm2: gre0}, not 'gre0'."],
    ),
    (
        "tunnel called as the underlay's NIC",
        fabric(common=mesh(tunnel_names={"kvm1": {"kvm2": "eth1"}})),
        ["kvm1: the name eth1 is both the underlay's NIC and the tunnel of vxlan to kvm2; rename one of them."],
    ),
    (
        "gre key",
        fabric(common=mesh(encapsulation="gre", key=2**32)),
        ["fabric_overlays[0].key must be 1 to 4294967295 (32 bits with gre), not 4294967296; leave it out for none."],
    ),
    (
        "vni",
        fabric(common=mesh(key=2**24)),
        ["fabric_overlays[0].key must be 1 to 16777215 (24 bits with vxlan), not 16777216; leave it out for none."],
    ),
    (
        "key 0",
        fabric(common=mesh(key=0)),
        ["fabric_overlays[0].key must be 1 to 16777215 (24 bits with vxlan), not 0; leave it out for none."],
    ),
    (
        "port of gre",
        fabric(common=mesh(encapsulation="gre", dst_port=4789)),
        ["fabric_overlays[0].dst_port is for vxlan and geneve; leave it out with gre."],
    ),
    ("ttl", fabric(common=mesh(ttl=256)), ["fabric_overlays[0].ttl must be 1 to 255, not 256."]),
    (
        "tos",
        fabric(common=mesh(tos=3)),
        [
            "fabric_overlays[0].tos must be 0 to 252 in steps of 4, not 3; its two lowest bits are ECN, which is not settable."
        ],
    ),
    (
        "bfd option",
        fabric(common=mesh(bfd={"enabled": True})),
        ["fabric_overlays[0].bfd has no option 'enabled'; did you mean enable?"],
    ),
    ("bfd value", fabric(common=mesh(bfd="perhaps")), ["fabric_overlays[0].bfd must be true or false, not 'perhaps'."]),
    (
        "mtu too large",
        fabric(common=segments({**BLUE, "mtu": 1500}, RED)),
        [
            "fabric_segments[blue].mtu 1500 does not fit; at most 1446 = underlay 1500 - outer IPv4 20 - UDP 8 - VXLAN 8 - inner "
            "Ethernet 14 - inner VLAN tag 4: lower it, leave it out, or raise fabric_underlay.mtu."
        ],
    ),
    (
        "mtu too small",
        fabric(common=segments({**BLUE, "mtu": 60}, RED)),
        ["fabric_segments[blue].mtu must be 68 to 65535, not 60."],
    ),
    (
        "ipv6 mtu",
        fabric(common=segments({**BLUE, "subnet6": "2001:db8::/64", "mtu": 1200}, RED)),
        [
            "fabric_segments[blue].mtu 1200 is too small for IPv6, which needs 1280 (RFC 8200); raise it or leave it out."
        ],
    ),
    (
        "ipv6 derived",
        fabric(common={"fabric_underlay": {"mtu": 1300}, **segments({**BLUE, "subnet6": "2001:db8::/64"}, RED)}),
        [
            "fabric_segments[blue] gets the MTU 1246 = underlay 1300 - outer IPv4 20 - UDP 8 - VXLAN 8 - inner Ethernet 14 - "
            "inner VLAN tag 4, but IPv6 needs 1280; raise fabric_underlay.mtu."
        ],
    ),
    (
        "ipv6 underlay mtu",
        fabric(common={"fabric_underlay": {"mtu": 1200, "subnet": "fd00::/64"}}),
        ["fabric_underlay.mtu must be 1280 to 65535, not 1200."],
    ),
    (
        "underlay vlan",
        fabric(common={"fabric_underlay": {"vlan": 4095}}),
        ["fabric_underlay.vlan must be 1 to 4094, not 4095; leave it out for untagged."],
    ),
    (
        "tep outside",
        fabric(kvm1={"fabric_tep_address": "10.0.0.1"}),
        [
            "kvm1: fabric_tep_address 10.0.0.1 is outside fabric_underlay.subnet 192.168.200.0/24; give an address inside, or leave it out."
        ],
    ),
    (
        "tep prefix",
        fabric(kvm1={"fabric_tep_address": "192.168.200.1/16"}),
        [
            "kvm1: fabric_tep_address has the prefix length 16, but fabric_underlay.subnet is 192.168.200.0/24; leave the length out."
        ],
    ),
    (
        "tep prefix malformed",
        fabric(kvm1={"fabric_tep_address": "192.168.200.1/"}),
        [
            "kvm1: fabric_tep_address '192.168.200.1/' has no prefix length after the slash; write it as 192.168.200.1/24."
        ],
    ),
    (
        "tep twice",
        fabric(kvm1={"fabric_tep_address": "192.168.200.2"}),
        [
            "kvm1 (given: fabric_tep_address) and kvm2 (allocated: host id 2 in fabric_underlay.subnet) both have the tunnel "
            "endpoint 192.168.200.2; give one of them another fabric_tep_address."
        ],
    ),
    (
        "tep family",
        fabric(kvm1={"fabric_tep_address": "fd00::1"}),
        [
            "kvm1: fabric_tep_address fd00::1 is IPv6, but fabric_underlay.subnet 192.168.200.0/24 is IPv4; give an IPv4 address."
        ],
    ),
    (
        "tep no room",
        fabric(common={"fabric_underlay": {"subnet": "192.168.200.0/30"}}),
        [
            "kvm1: the host id 1 has no address in fabric_underlay.subnet 192.168.200.0/30; enlarge the subnet, set "
            "fabric_max_hosts, or give fabric_tep_address.",
            "kvm2: the host id 2 has no address in fabric_underlay.subnet 192.168.200.0/30; enlarge the subnet, set "
            "fabric_max_hosts, or give fabric_tep_address.",
        ],
    ),
    (
        "no room",
        fabric(1, kvm1={"fabric_endpoints": [{"name": f"e{i}", "segment": "blue"} for i in range(4)]}),
        [
            "kvm1: fabric_endpoints[e3].address cannot be allocated: fabric_segments[blue].subnet 10.1.1.0/24 has room for 3 "
            "endpoints of host id 1 (blocks of 64); enlarge the subnet, set fabric_max_hosts, or give the address."
        ],
    ),
    (
        "max_hosts",
        fabric(common={"fabric_max_hosts": 1}),
        ["fabric_max_hosts is 1, but the fabric has 2 hosts; raise it."],
    ),
    (
        "not joined",
        fabric(3, common=mesh(topology="links", links=[["kvm1", "kvm2"]])),
        [
            "fabric_segments[blue] has endpoints on kvm1 and kvm3, but overlay vxlan does not join these hosts; add a tunnel, or "
            "take another topology."
        ],
    ),
    (
        "loop none",
        fabric(3, common=mesh(loop_guard="none")),
        [
            "fabric_overlays[0].loop_guard none would let frames circle: kvm2 - kvm1 - kvm3 - kvm2; set it to rstp, or take out a tunnel."
        ],
    ),
    (
        "loop links",
        fabric(
            4,
            common=mesh(
                topology="links", links=[["kvm1", "kvm2"], ["kvm2", "kvm3"], ["kvm3", "kvm4"], ["kvm4", "kvm1"]]
            ),
        ),
        [
            "fabric_overlays[0].loop_guard auto would let frames circle: kvm4 - kvm3 - kvm2 - kvm1 - kvm4; set it to rstp, or take out a tunnel."
        ],
    ),
    (
        "two hubs",
        fabric(4, common=mesh(topology="hub_and_spoke", hubs=["kvm1", "kvm2"])),
        [
            "fabric_overlays[0].loop_guard auto would let frames circle: kvm2 - kvm1 - kvm3 - kvm2; set it to rstp, or take out a tunnel."
        ],
    ),
    (
        "split without mesh",
        fabric(4, common=mesh(topology="ring", loop_guard="split_horizon")),
        [
            "fabric_overlays[0].loop_guard split_horizon needs a full mesh, and kvm1 has no tunnel to kvm3; use rstp, or topology full_mesh."
        ],
    ),
    (
        "rstp shares",
        fabric(
            4,
            common={
                "fabric_overlays": [{"name": "one", "topology": "ring"}, {"name": "two", "key": 2}],
                **segments({**BLUE, "overlay": "one"}, {**RED, "overlay": "two"}),
            },
        ),
        [
            "fabric_overlays[one].bridge br-int is shared with two, but RSTP needs a bridge of its own; give it another bridge."
        ],
    ),
    (
        "overlay without segments",
        fabric(
            common={
                "fabric_overlays": [{"name": "one"}, {"name": "two", "key": 2}],
                **segments({**BLUE, "overlay": "one"}, {**RED, "overlay": "one"}),
            }
        ),
        [
            "fabric_overlays[two] has no segment, but shares bridge br-int with one; give it a segment or another bridge, or leave it out."
        ],
    ),
    (
        "route off link",
        fabric(kvm1=endpoint(routes=[{"to": "default", "via": "10.2.2.2"}])),
        [
            "kvm1: fabric_endpoints[a].routes to default goes via 10.2.2.2, which is not on segment blue (10.1.1.0/24); give a next hop there."
        ],
    ),
    (
        "route with two next hops",
        fabric(kvm1=endpoint(routes=[{"to": "default", "via": "10.1.1.2"}, {"to": "default", "via": "10.1.1.3"}])),
        ["kvm1: fabric_endpoints[a].routes to default goes via 10.1.1.2 and 10.1.1.3; leave one of them out."],
    ),
    (
        "route families",
        fabric(kvm1=endpoint(routes=[{"to": "2001:db8::/64", "via": "10.1.1.2"}])),
        [
            "kvm1: fabric_endpoints[a].routes to 2001:db8::/64 goes via 10.1.1.2; both must be of the same address family."
        ],
    ),
    (
        "route without via",
        fabric(kvm1=endpoint(routes=[{"to": "default"}])),
        ["kvm1: fabric_endpoints[a].routes[0].via is missing; it is required."],
    ),
    (
        "sysctl name",
        fabric(kvm1=endpoint(sysctls={"kernel.hostname": "x"})),
        [
            "kvm1: fabric_endpoints[a].sysctls: 'kernel.hostname' is no sysctl of a network namespace; only keys like net.ipv4.ip_forward are."
        ],
    ),
    (
        "sysctl value",
        fabric(kvm1=endpoint(sysctls={"net.ipv4.ip_forward": "1\n2"})),
        [
            "kvm1: fabric_endpoints[a].sysctls: the value '1\\n2' of net.ipv4.ip_forward is no number or single line of text."
        ],
    ),
    (
        "kind",
        fabric(kvm1=endpoint(kind="vm")),
        ["kvm1: fabric_endpoints[a].kind must be one of namespace, guest, container, service, not 'vm'."],
    ),
    (
        "name odd",
        fabric(kvm1=endpoint(name="a b;$(reboot)")),
        [
            "kvm1: fabric_endpoints[a b;$(reboot)].name 'a b;$(reboot)' is not a valid name; use at most 32 of A-Z, a-z, 0-9, "
            "'_', '.' and '-', the first a letter or digit."
        ],
    ),
    (
        "vlan with options of tunnels",
        fabric(common=mesh(encapsulation="vlan", key=7, bridge="br-x")),
        [
            "fabric_overlays[0].bridge is for tunnels; leave it out with the encapsulation vlan, which has none.",
            "fabric_overlays[0].key is for tunnels; leave it out with the encapsulation vlan, which has none.",
        ],
    ),
    (
        "vlan untagged, or the underlay's own",
        fabric(
            common={
                **mesh(encapsulation="vlan"),
                "fabric_underlay": {"vlan": 20},
                "fabric_segments": [{"name": "blue", "subnet": "10.1.1.0/24"}, RED],
            }
        ),
        [
            "fabric_segments[blue].vlan is missing; overlay vlan has no tunnels, so only a VLAN keeps its segments apart.",
            "fabric_segments[red].vlan 20 is fabric_underlay.vlan too; give the segment another.",
        ],
    ),
    (
        "peer that is a host, and one that is nowhere",
        fabric(
            common=mesh(
                encapsulation="vxlan",
                peers=[
                    {"name": "kvm2", "address": "192.168.200.2"},
                    {
                        "name": "far",
                        "address": "2001:db8::1",
                        "endpoints": [
                            {"segment": "blu", "address": "10.1.1.9"},
                            {"segment": "red", "address": "10.1.1.9"},
                        ],
                    },
                    {"name": "a", "address": "192.168.200.9"},
                    {"name": "b", "address": "192.168.200.9"},
                ],
            )
        ),
        [
            "fabric_overlays[0].peers[kvm2] has the name of the host kvm2, which has its tunnels anyway; leave it out, or rename it.",
            "fabric_overlays[0].peers[kvm2].address 192.168.200.2 is the tunnel endpoint of kvm2; give the peer's own.",
            "fabric_overlays[0].peers[far].address 2001:db8::1 is IPv6, but fabric_underlay.subnet 192.168.200.0/24 is IPv4; give an IPv4 address.",
            "fabric_overlays[0].peers[far].endpoints[0].segment blu is no segment of overlay vxlan; did you mean blue?",
            "fabric_overlays[0].peers[far].endpoints[1].address 10.1.1.9 is not on segment red; give an address in its subnet.",
            "fabric_overlays[0].peers[a] and fabric_overlays[0].peers[b] both have the address 192.168.200.9; leave one out.",
        ],
    ),
    (
        "peers beside a mesh that forwards",
        fabric(
            3, common=mesh(encapsulation="vxlan", topology="ring", peers=[{"name": "far", "address": "192.168.200.99"}])
        ),
        ["fabric_overlays[0].peers needs topology full_mesh, in which every host reaches a peer by itself; not ring."],
    ),
    ("no hosts", {}, ["The group kvm_hosts has no host; put the fabric's hosts into it."]),
]


@pytest.mark.parametrize("hosts, sentences", [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_is_refused_with_exactly_these_sentences(hosts, sentences):
    assert refused(hosts) == sentences


def test_what_the_cases_start_from_is_valid():
    compile_plan(fabric(4), SPEC)


def test_all_errors_are_told_at_once():
    broken = fabric(
        3,
        {
            "fabric_segmants": [],
            "fabric_underlay": {"mtu": "big"},
            **mesh(encapsulation="grx", loop_guard="none"),
            **segments({**BLUE, "vlan": "ten"}, {**RED, "subnet": "10.1.2.1/24"}),
        },
        kvm1=endpoint(segment="bleu"),
        kvm2={"fabric_host_id": 3},
    )
    assert refused(broken) == [
        "fabric_segmants (of kvm1, kvm2, kvm3) is no variable of the fabric; did you mean fabric_segments?",
        "fabric_underlay.mtu must be a whole number, not 'big'.",
        "fabric_overlays[0].encapsulation must be one of gre, vxlan, geneve, vlan, not 'grx'; did you mean gre?",
        "fabric_segments[blue].vlan must be a whole number, not 'ten'.",
        "fabric_segments[red].subnet 10.1.2.1/24 has host bits set; the subnet is 10.1.2.0/24.",
        "kvm2 and kvm3 both have the host id 3; give one of them another fabric_host_id.",
        "kvm1: fabric_endpoints[a].segment bleu is no segment; did you mean blue?",
    ]


def test_a_host_outside_the_fabric_with_endpoints_is_told():
    with pytest.raises(PlanError) as error:
        compile_plan(fabric(), SPEC, others={"web1": {"fabric_name": "test", **endpoint()}})
    assert error.value.problems == [
        "web1: fabric_endpoints is set, but the host is not in the fabric; put it into the group kvm_hosts."
    ]


def test_what_the_role_sets_is_no_unknown_variable():
    compile_plan(fabric(common={"fabric_plan": {}, "fabric_plan_result": {}}), SPEC)


VARIABLES = ("fabric_name", "fabric_segments", "fabric_overlays", "fabric_underlay", "fabric_endpoints")
ODD = [
    None,
    True,
    -1,
    0,
    10**30,
    1.5,
    "",
    " ",
    "'",
    '"',
    "a=b",
    "--",
    "a\nb",
    ";",
    "$(id)",
    "{{ x }}",
    "é",
    [],
    [[]],
    [None],
    {},
    {"": ""},
    {"name": []},
]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize(
    "place",
    [
        ("fabric_name",),
        ("fabric_underlay",),
        ("fabric_overlays",),
        ("fabric_segments",),
        ("fabric_max_hosts",),
        ("fabric_host_id",),
        ("fabric_tep_address",),
        ("fabric_underlay_interface",),
        ("fabric_underlay_bond",),
        ("fabric_underlay_bond", "interfaces"),
        ("fabric_underlay_bond", "mode"),
        ("fabric_endpoints",),
        *(("fabric_underlay", option) for option in SPEC["fabric_underlay"]["options"]),
        *(("fabric_overlays", 0, option) for option in SPEC["fabric_overlays"]["options"]),
        *(("fabric_segments", 0, option) for option in SPEC["fabric_segments"]["options"]),
        *(("fabric_endpoints", 0, option) for option in SPEC["fabric_endpoints"]["options"]),
    ],
    ids=lambda place: ".".join(map(str, place)),
)
def test_an_odd_value_in_any_place_is_planned_or_refused_but_never_a_crash(place, odd):
    variables = {
        "fabric_name": "test",
        "fabric_underlay": {},
        "fabric_overlays": [{}],
        "fabric_segments": [dict(BLUE)],
        **endpoint(),
    }
    if place[0] == "fabric_underlay_bond":
        variables["fabric_underlay_bond"] = {"interfaces": ["eth1", "eth2"]}
    holder = variables
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = odd
    try:
        compile_plan({"kvm1": variables}, SPEC)
    except PlanError as error:
        assert error.problems and all(
            problem.endswith((".", "?")) and "\n" not in problem for problem in error.problems
        )

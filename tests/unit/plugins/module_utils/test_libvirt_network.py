# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks: every typed option is written as libvirt's schema wants it, is read back as it was given, and changes into any other."""

from __future__ import annotations

import copy
import random
import typing as t
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.network import (
    besides,
    differences,
    patch,
    skeleton,
    view,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.network_declaration import SPEC, want
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    Mark,
    document_lines,
    parse_vlan,
    port_columns,
    read_mark,
    to_xml,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils.libvirt_documents import assert_valid, filled

SETTINGS = settings(max_examples=700, deadline=None)
MARK = Mark("fabric-1", "libvirt_network")
SEEDS = st.integers(0, 2**32)


def network(seed: int) -> dict[str, t.Any]:
    """Any network that can be declared, drawn from a seed."""
    draw = random.Random(seed)

    def one(*values: t.Any) -> t.Any:
        return copy.deepcopy(draw.choice(values))

    def limits() -> dict[str, int]:
        return one({}, {"average": 1000}, {"average": 1000, "peak": 5000, "burst": 1024})

    def vlans() -> dict[str, t.Any]:
        return one(
            {},
            {"vlan": draw.randint(1, 4094)},
            {"trunks": ["10", "20-25"]},
            {"trunks": ["30"], "native_vlan": draw.randint(1, 4094)},
        )

    def groups(tagged: bool) -> list[dict[str, t.Any]]:
        names = draw.sample(["blue", "red", "green", "a.b-c_d"], draw.randint(0, 4))
        return [
            {
                "name": name,
                "default": n == 0 and one(True, False),
                "inbound": limits(),
                "outbound": limits(),
                **(vlans() if tagged else {}),
            }
            for n, name in enumerate(names)
        ]

    mode = one("isolated", "nat", "routed", "open", "bridge", "openvswitch")
    values: dict[str, t.Any] = {"name": "n1", "mode": mode}
    if mode in ("bridge", "openvswitch"):
        values["bridge"] = one("br0", "br-int")
        if mode == "openvswitch":
            values.update(vlans())
    else:
        options: dict[str, t.Callable[[], t.Any]] = {
            "bridge": lambda: one("virbr7", "lan-0"),
            "mtu": lambda: one(0, 1400, 9000),
            "stp": lambda: one(True, False),
            "domain": lambda: one("", "lan.example"),
            "addresses": lambda: one(
                [],
                [{"address": "10.0.0.1/24"}],
                [
                    {
                        "address": "10.0.0.1/24",
                        "dhcp_ranges": [{"start": "10.0.0.9", "end": "10.0.0.99"}],
                        "dhcp_hosts": [{"mac": "52:54:00:00:00:0A", "address": "10.0.0.2"}],
                    }
                ],
                [
                    {"address": "fd00::1/64", "dhcp_ranges": []},
                    {"address": "10.9.0.1/16", "dhcp_hosts": [{"name": "w", "address": "10.9.1.1"}]},
                ],
            ),
            "routes": lambda: one(
                [], [{"to": "10.8.0.0/16", "via": "10.0.0.5"}], [{"to": "fd01::/48", "via": "fd00::5", "metric": 7}]
            ),
            "dns": lambda: one(True, False),
            "dns_forwarders": lambda: one([], ["192.0.2.1", "2001:db8::1"]),
            "dns_hosts": lambda: one([], [{"address": "10.0.0.3", "hostnames": ["a", "b.example"]}]),
            "inbound": limits,
            "outbound": limits,
        }
        values.update({key: make() for key, make in options.items() if draw.random() < 0.5})
        if values.get("dns") is False:
            values.update(dns_forwarders=[], dns_hosts=[])
        if mode in ("nat", "routed"):
            values.update(one({}, {"device": "eth0"}, {"device": ""}))
    if one(True, False):
        values["portgroups"] = groups(mode == "openvswitch")
    return values


def made(**values: t.Any) -> tuple[ET.Element, t.Any]:
    """The document of a new network and what was wanted."""
    wanted = want(filled(SPEC, {"name": "n1", **values}))
    root = skeleton(wanted, "fabric-1")
    patch(root, wanted, MARK)
    return root, wanted


@given(SEEDS)
@SETTINGS
def test_a_new_network_is_valid_and_reads_back_as_declared(seed: int) -> None:
    root, wanted = made(**network(seed))
    assert_valid(root, "network")
    assert differences(wanted.options, view(root)) == []
    assert read_mark(root) == MARK


@given(SEEDS, SEEDS)
@SETTINGS
def test_any_network_changes_into_any_other(one: int, other: int) -> None:
    root, _wanted = made(**network(one))
    wanted = want(filled(SPEC, network(other)))
    patch(root, wanted, MARK)
    assert differences(wanted.options, view(root)) == []
    again = copy.deepcopy(root)
    patch(again, wanted, MARK)
    assert to_xml(again) == to_xml(root)


def test_the_order_of_portgroups_and_leases_is_no_difference() -> None:
    groups = [{"name": "blue", "vlan": 10}, {"name": "red", "vlan": 20}]
    hosts = [{"name": "a", "address": "10.0.0.2"}, {"name": "b", "address": "10.0.0.3"}]
    root, _wanted = made(mode="openvswitch", bridge="br0", portgroups=groups)
    assert differences(want(filled(SPEC, {"name": "n1", "portgroups": groups[::-1]})).options, view(root)) == []
    root, _wanted = made(mode="isolated", addresses=[{"address": "10.0.0.1/24", "dhcp_hosts": hosts}])
    assert (
        differences(
            want(
                filled(SPEC, {"name": "n1", "addresses": [{"address": "10.0.0.1/24", "dhcp_hosts": hosts[::-1]}]})
            ).options,
            view(root),
        )
        == []
    )


def test_what_a_portgroup_means_for_the_port() -> None:
    root, _wanted = made(
        mode="openvswitch",
        bridge="br0",
        portgroups=[
            {"name": "a", "vlan": 10},
            {"name": "t", "trunks": ["10", "20-21"]},
            {"name": "n", "trunks": ["20"], "native_vlan": 10},
        ],
    )
    ports = [port_columns(parse_vlan(group)) for group in root.findall("portgroup")]
    assert ports == [
        {"tag": 10, "trunks": [], "vlan_mode": None},
        {"tag": None, "trunks": [10, 20, 21], "vlan_mode": None},
        {"tag": 10, "trunks": [10, 20], "vlan_mode": "native-untagged"},
    ]


BAD = [
    ({"mode": "openvswitch"}, "needs bridge"),
    ({"mode": "openvswitch", "bridge": "br0", "mtu": 1400}, "NIC"),
    ({"mode": "openvswitch", "bridge": "br0", "addresses": [{"address": "10.0.0.1/24"}]}, "addresses"),
    ({"mode": "openvswitch", "bridge": "br 0"}, "bridge 'br 0'"),
    ({"mode": "nat", "vlan": 5}, "openvswitch"),
    ({"mode": "nat", "portgroups": [{"name": "a", "vlan": 5}]}, "portgroup a"),
    ({"mode": "isolated", "device": "eth0"}, "device"),
    ({"portgroups": [{"name": "a", "vlan": 4095}]}, "4094"),
    ({"portgroups": [{"name": "a", "trunks": ["ten"]}]}, "'ten'"),
    ({"portgroups": [{"name": "a"}, {"name": "a"}]}, "declared twice"),
    ({"portgroups": [{"name": "a", "default": True}, {"name": "b", "default": True}]}, "default"),
    ({"addresses": [{"address": "10.0.0.1"}]}, "prefix"),
    ({"addresses": [{"address": "10.0.0.1/24"}, {"address": "10.0.0.9/16"}]}, "declared twice"),
    (
        {"addresses": [{"address": "10.0.0.1/24", "dhcp_ranges": [{"start": "10.0.1.1", "end": "10.0.1.9"}]}]},
        "10.0.1.1",
    ),
    ({"addresses": [{"address": "10.0.0.1/24", "dhcp_ranges": [{"start": "10.0.0.9", "end": "10.0.0.2"}]}]}, "before"),
    ({"addresses": [{"address": "10.0.0.1/24", "dhcp_hosts": [{"address": "10.0.0.2"}]}]}, "mac or name"),
    (
        {
            "addresses": [
                {
                    "address": "10.0.0.1/24",
                    "dhcp_hosts": [{"name": "a", "address": "10.0.0.2"}, {"name": "b", "address": "10.0.0.2"}],
                }
            ]
        },
        "twice",
    ),
    ({"routes": [{"to": "10.0.0.1/8", "via": "10.0.0.1"}]}, "host bits"),
    ({"routes": [{"to": "10.0.0.0/8", "via": "fd00::1"}]}, "families"),
    ({"dns_forwarders": ["a b"]}, "no IP address"),
    ({"domain": "a b"}, "DNS name"),
    ({"inbound": {"burst": 5}}, "average"),
    ({"dns": False, "dns_forwarders": ["192.0.2.1"]}, "dns is off"),
    ({"mtu": 10}, "68"),
    ({"uuid": "1"}, "UUID"),
    ({"xml": "<domain/>"}, "wrap it"),
    ({"xml": "<network><portgroup name='a'/></network>", "portgroups": []}, "option portgroups"),
]


@pytest.mark.parametrize(("values", "part"), BAD, ids=[part for _values, part in BAD])
def test_bad_input_gets_one_sentence_that_names_it(values: dict[str, t.Any], part: str) -> None:
    with pytest.raises(FabricError) as caught:
        want(filled(SPEC, {"name": "n1", **values}))
    text = str(caught.value)
    assert part in text and "\n" not in text and "n1" in text


# Networks as others write them.
FOREIGN = (
    """<network connections='1'><name>n1</name><forward mode='nat' dev='eth0'><nat><port start='1024' end='65535'/></nat><interface dev='eth0'/></forward>
    <bridge name='virbr0' zone='libvirt' stp='on' delay='0' macTableManager='kernel'/><mac address='52:54:00:5d:c7:9e'/><mtu size='9000'/>
    <domain name='lan.example' localOnly='yes'/>
    <dns forwardPlainNames='no'><forwarder domain='corp.example' addr='192.0.2.9'/><forwarder addr='192.0.2.1'/><txt name='a' value='b'/>
    <host ip='10.0.0.9'><hostname>nine</hostname></host><srv service='ldap' protocol='tcp' target='t' port='1'/></dns>
    <bandwidth><inbound average='1000' peak='5000' burst='5120'/></bandwidth>
    <ip address='10.0.0.1' netmask='255.255.255.0' localPtr='yes'><tftp root='/srv/tftp'/><dhcp><range start='10.0.0.10' end='10.0.0.99'>
    <lease expiry='24' unit='hours'/></range><host mac='52:54:00:00:00:0a' name='a' ip='10.0.0.5'><lease expiry='1'/></host>
    <bootp file='pxelinux.0'/></dhcp></ip>
    <route address='10.8.0.0' prefix='16' gateway='10.0.0.2' metric='5'/></network>""",
    """<network trustGuestRxFilters='yes'><name>n1</name><forward mode='bridge'/><bridge name='br0'/>
    <virtualport type='openvswitch'><parameters profileid='p'/></virtualport>
    <vlan trunk='yes'><tag id='42' nativeMode='tagged'/><tag id='47'/></vlan>
    <portgroup name='a' default='yes' trustGuestRxFilters='yes'><virtualport><parameters profileid='q'/></virtualport>
    <bandwidth><inbound average='10'/></bandwidth><vlan><tag id='10'/></vlan></portgroup><portgroup name='b'/></network>""",
    """<network><name>n1</name><forward mode='hostdev' managed='yes'><pf dev='eth3'/></forward><portgroup name='a'/></network>""",
)
CHANGES: tuple[tuple[int, dict[str, t.Any], set[str]], ...] = (
    (0, {"mtu": 1400}, {"mtu/@size"}),
    (0, {"stp": False}, {"bridge/@stp"}),
    (0, {"domain": "new.example"}, {"domain/@name"}),
    (0, {"domain": ""}, {"domain/@name", "domain/@localOnly"}),
    (0, {"dns_forwarders": ["192.0.2.2"]}, {"dns/forwarder/@addr"}),
    (
        0,
        {
            "dns_hosts": [
                {"address": "10.0.0.9", "hostnames": ["nine"]},
                {"address": "10.0.0.8", "hostnames": ["eight"]},
            ]
        },
        {"dns/host/@ip", "dns/host/hostname"},
    ),
    (
        0,
        {
            "addresses": [
                {
                    "address": "10.0.0.1/24",
                    "dhcp_hosts": [{"mac": "52:54:00:00:00:0a", "name": "a", "address": "10.0.0.5"}],
                }
            ]
        },
        set(),
    ),
    (
        0,
        {
            "addresses": [
                {
                    "address": "10.0.0.1/24",
                    "dhcp_ranges": [
                        {"start": "10.0.0.10", "end": "10.0.0.99"},
                        {"start": "10.0.0.200", "end": "10.0.0.210"},
                    ],
                }
            ]
        },
        {"ip[10.0.0.1]/dhcp/range/@start", "ip[10.0.0.1]/dhcp/range/@end"},
    ),
    (0, {"routes": [{"to": "10.8.0.0/16", "via": "10.0.0.2", "metric": 5}]}, set()),
    (
        0,
        {"inbound": {"average": 2000}},
        {"bandwidth/inbound/@average", "bandwidth/inbound/@peak", "bandwidth/inbound/@burst"},
    ),
    (0, {"device": "eth1"}, {"forward/@dev", "forward/interface/@dev"}),
    (0, {"mode": "routed", "device": "eth0"}, {"forward/@mode", "forward/nat/port/@start", "forward/nat/port/@end"}),
    (
        0,
        {"dns": False},
        {
            "dns/@enable",
            "dns/@forwardPlainNames",
            "dns/forwarder/@addr",
            "dns/forwarder/@domain",
            "dns/txt/@name",
            "dns/txt/@value",
            "dns/host/@ip",
            "dns/host/hostname",
            "dns/srv/@service",
            "dns/srv/@protocol",
            "dns/srv/@target",
            "dns/srv/@port",
        },
    ),  # fmt: skip
    (1, {"bridge": "br1"}, {"bridge/@name"}),
    (1, {"trunks": ["42", "47", "50"], "native_vlan": 42, "native_mode": "tagged"}, {"vlan/tag/@id"}),
    (1, {"trunks": ["42", "47"], "native_vlan": 42}, {"vlan/tag/@nativeMode"}),
    (
        1,
        {"portgroups": [{"name": "a", "default": True, "vlan": 11, "inbound": {"average": 10}}, {"name": "b"}]},
        {"portgroup[a]/vlan/tag/@id"},
    ),
    (1, {"portgroups": [{"name": "b"}, {"name": "a", "default": True, "vlan": 10, "inbound": {"average": 10}}]}, set()),
    (2, {"portgroups": [{"name": "a"}, {"name": "b"}]}, {"portgroup[b]/@name"}),
)


@pytest.mark.parametrize(
    ("which", "options", "expected"),
    CHANGES,
    ids=[f"{which}-{'-'.join(options)}-{len(exp)}" for which, options, exp in CHANGES],
)
def test_an_option_changes_its_own_lines_of_a_network_that_others_made(
    which: int, options: dict[str, t.Any], expected: set[str]
) -> None:
    before = ET.fromstring(FOREIGN[which])
    assert_valid(before, "network")
    root = copy.deepcopy(before)
    wanted = want(filled(SPEC, {"name": "n1", **options}))
    patch(root, wanted, MARK)

    def lines(document: ET.Element) -> t.Any:
        return document_lines(
            document,
            lambda each: (
                f"{each.tag}[{each.get('address') or each.get('name')}]"
                if each.tag in ("ip", "portgroup")
                else each.tag
            ),
        )

    old, new = lines(before), lines(root)
    assert {path for path, _value in [*(old - new), *(new - old)]} - {"metadata"} == expected
    assert differences(wanted.options, view(root)) == []
    # What no option shows is told beside.
    gone, _come = besides(before, root, wanted)
    differs = set(differences(wanted.options, view(before)))
    unsaid = {"domain/@localOnly", "forward/nat/port/@start", "forward/nat/port/@end"} | {
        path for path in expected if "dns" in differs and path != "dns/@enable"
    }
    assert set(gone) == expected & unsaid


def test_a_network_of_another_kind_of_virtual_port_keeps_none_of_its_parameters() -> None:
    """They say nothing to Open vSwitch, and libvirt would refuse them."""
    root = ET.fromstring(
        "<network><name>n1</name><forward dev='eth1' mode='vepa'><interface dev='eth1'/></forward><virtualport type='802.1Qbg'>"
        "<parameters managerid='11' typeid='1193047' typeidversion='2'/></virtualport></network>"
    )
    assert_valid(root, "network")
    patch(root, want(filled(SPEC, {"name": "n1", "mode": "openvswitch", "bridge": "br0"})), MARK)
    assert_valid(root, "network")
    assert view(root)["mode"] == "openvswitch" and root.find("virtualport/parameters") is None

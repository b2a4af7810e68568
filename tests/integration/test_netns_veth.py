# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netns_veth against real namespaces, systemd and Open vSwitch."""

from __future__ import annotations

import json
import subprocess
import time
import typing as t

import harness
import pytest
from harness import wait
from netns import (
    addresses,
    bridge,
    everything,
    inside,
    link,
    links,
    names,
    offload,
    ping,
    routes,
    settled,
    sysctl,
    tcp,
    units,
)
from ovs import column, ports, unseen

if t.TYPE_CHECKING:
    from harness import Host

MARK = "overloom:overloom.fabric"
FULL = {
    "name": "red",
    "addresses": ["10.0.0.1/24", "fd00::1/64"],
    "routes": [
        {"to": "default", "via": "10.0.0.254"},
        {"to": "fd01::/64", "via": "fd00::ff", "metric": 7},
        {"to": "10.9.0.0/16", "via": "10.8.8.8", "onlink": True},
        {"to": "default", "via": "10.0.0.253", "table": 100},
    ],
    "rules": [
        {"priority": 1000, "from": "10.0.0.1", "to": "10.0.0.0/24", "table": 254},
        {"priority": 1001, "from": "10.0.0.1", "table": 100},
        {"priority": 1001, "to": "fd02::/64", "iif": "lo", "table": 100000},
    ],
    "mtu": 1400,
    "mac": "02:00:00:00:00:01",
    "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv4.conf.eth0.rp_filter": 2},
    "bridge": "br0",
    "tag": 20,
}


def apply(host: Host, **options: t.Any) -> dict[str, t.Any]:
    """Foretell, do, foretell again."""
    return host.apply("netns_veth", options)


def rules(host: Host, name: str) -> list[str]:
    """The policy rules of both families, without the kernel's own."""
    text = "".join(host.run(["ip", "-n", name, family, "rule", "show"]) for family in ("-4", "-6"))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line.split(":")[0] not in ("0", "32766", "32767")]


def is_full(host: Host, name: str = "red", outer: str = "v-red") -> None:
    """The namespace is what FULL says."""
    near, far = link(host, outer), link(host, "eth0", name)
    assert near["ifalias"] == far["ifalias"] == link(host, "lo", name)["ifalias"] == MARK
    assert near["mtu"] == far["mtu"] == 1400 and far["address"] == "02:00:00:00:00:01"
    assert all("UP" in each["flags"] for each in (near, far, link(host, "lo", name)))
    assert addresses(host, name) == {"10.0.0.1/24", "fd00::1/64"}
    assert routes(host, name) == {"default 10.0.0.254", "fd01::/64 fd00::ff", "10.9.0.0/16 10.8.8.8"}
    assert "default via 10.0.0.253" in host.run(["ip", "-n", name, "route", "show", "table", "100"])
    assert rules(host, name) == [
        "1000: from 10.0.0.1 to 10.0.0.0/24 lookup main",
        "1001: from 10.0.0.1 lookup 100",
        "1001: from all to fd02::/64 iif lo lookup 100000",
    ]
    assert (
        sysctl(host, name, "net.ipv4.ip_forward") == "1" and sysctl(host, name, "net.ipv4.conf.eth0.rp_filter") == "2"
    )
    assert offload(host, name) == "off"
    assert ports(host, "br0") == [outer] and column(host, "Port", outer, "tag") == 20
    assert column(host, "Port", outer, "external_ids") == {
        "overloom-owner": "overloom.fabric",
        "overloom-module": "netns_veth",
    }
    assert column(host, "Interface", outer, "ofport") > 0
    assert not near["addr_info"], "a guest has no way to its host"


def test_a_namespace_is_made_as_declared_and_removed_without_a_trace(host: Host) -> None:
    bridge(host, "br0")
    before = links(host)
    made = apply(host, **FULL)
    is_full(host)
    assert made["namespaces"] == [
        {
            "name": "red",
            "owner": "overloom.fabric",
            "foreign": False,
            "processes": [],
            "sysctls": {"net/ipv4/ip_forward": "1", "net/ipv4/conf/eth0/rp_filter": "2"},
            "rules": [
                {"priority": 1000, "from": "10.0.0.1/32", "to": "10.0.0.0/24", "table": 254},
                {"priority": 1001, "from": "10.0.0.1/32", "table": 100},
                {"priority": 1001, "from": "::/0", "to": "fd02::/64", "iif": "lo", "table": 100000},
            ],
            "interfaces": [
                {
                    "name": "eth0",
                    "kind": "veth",
                    "outer": "v-red",
                    "bridge": "br0",
                    "tag": 20,
                    "trunks": [],
                    "vlan_mode": None,
                    "iface_id": None,
                    "addresses": FULL["addresses"],
                    "mtu": 1400,
                    "mac": FULL["mac"],
                    "up": True,
                    "tx_checksum": False,
                    "routes": [
                        {"to": "default", "via": "10.0.0.253", "metric": 0, "onlink": False, "table": 100},
                        {"to": "default", "via": "10.0.0.254", "metric": 0, "onlink": False, "table": 254},
                        {"to": "10.9.0.0/16", "via": "10.8.8.8", "metric": 0, "onlink": True, "table": 254},
                        {"to": "fd01::/64", "via": "fd00::ff", "metric": 7, "onlink": False, "table": 254},
                    ],
                }
            ],
        }
    ]
    apply(host, name="red", state="absent")
    assert names(host) == set() and units(host) == set() and ports(host, "br0") == [] and links(host) == before
    assert not host.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "overloom*"])


CASES: list[tuple[dict, dict, dict]] = [
    ({"addresses": ["10.0.0.1/24"]}, {"addresses": ["10.0.0.2/24", "10.0.0.3/24", "fd00::2/64"]}, {"addresses": []}),
    ({"addresses": ["10.0.0.1/24", "10.0.0.2/24"]}, {"addresses": ["10.0.0.2/24"]}, {"addresses": []}),
    ({"addresses": ["fe80::1/64", "10.0.0.1/32"]}, {"addresses": ["fe80::2/64"]}, {"addresses": []}),
    ({"mtu": 1300}, {"mtu": 9000}, {"mtu": 68}),
    ({"mac": "02:00:00:00:00:01"}, {"mac": "02-00-00-00-00-AA"}, {"mac": "02:00:00:00:00:02"}),
    ({"up": False}, {"up": True}, {}),
    ({"sysctls": {"net.ipv4.ip_forward": True}}, {"sysctls": {"net/ipv4/conf/all/arp_ignore": "1"}}, {"sysctls": {}}),
    (
        {"sysctls": {"net.ipv4.ping_group_range": "0\t100"}},
        {"sysctls": {"net.ipv4.ping_group_range": "0  200"}},
        {"sysctls": {}},
    ),
    ({"tx_checksum": "off"}, {"tx_checksum": "on"}, {"tx_checksum": "auto"}),
    ({"bridge": "br0"}, {"bridge": "br1"}, {"bridge": ""}),
    ({"bridge": "br0", "tag": 1}, {"bridge": "br0", "tag": "4094"}, {"bridge": "br0", "tag": ""}),
    ({"bridge": "br0", "trunks": [1, "5-7"]}, {"bridge": "br1", "trunks": ["0", 8]}, {"trunks": []}),
    (
        {"bridge": "br0", "tag": 5, "vlan_mode": "native-untagged"},
        {"vlan_mode": "access"},
        {"vlan_mode": "", "tag": ""},
    ),
    ({"bridge": "br0", "iface_id": "f/kvm1/a"}, {"bridge": "br0", "iface_id": "f/kvm1/b"}, {"iface_id": ""}),
    ({"outer": "one"}, {"outer": "two"}, {}),
    (
        {
            "addresses": ["10.0.0.1/24"],
            "routes": [{"to": "10.1.0.0/16", "via": "10.0.0.9", "metric": 5, "onlink": True, "table": 254}],
        },
        {"routes": [{"to": "10.2.0.0/16", "via": "10.0.0.8", "metric": 6, "onlink": False, "table": 9}]},
        {"routes": []},
    ),
]


# How the module returns what is declared, where it is not the same.
RETURNED: dict[str, t.Callable[[t.Any], t.Any]] = {
    "bridge": lambda name: name or None,
    "iface_id": lambda name: name or None,
    "mac": lambda mac: mac.lower().replace("-", ":"),
    "tag": lambda tag: int(tag) if tag else None,
    "tx_checksum": lambda mode: mode == "on",
    "vlan_mode": lambda mode: mode or None,
}


def check_options(host: Host, found: dict, options: dict) -> None:
    """What the module returns of an interface, and what there is, are the options."""
    for option, value in options.items():
        if option == "sysctls":
            for key, wanted in value.items():
                text = str(int(wanted) if isinstance(wanted, bool) else wanted)
                assert sysctl(host, "red", key).split() == text.split()
        elif option == "addresses":
            assert sorted(found[option]) == sorted(value)
        elif option != "trunks" and value != "auto":
            assert found[option] == RETURNED.get(option, lambda same: same)(value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case[0]))
def test_each_option_is_set_changed_and_cleared(host: Host, case: tuple[dict, dict, dict]) -> None:
    bridge(host, "br0", "br1")
    apply(host, name="red")
    for options in case:
        found = apply(host, name="red", **options)["namespaces"][0]["interfaces"][0]
        check_options(host, found, options)
        assert found["outer"] in links(host)
    if "sysctls" in case[0]:
        key = next(iter(case[0]["sysctls"]))
        assert sysctl(host, "red", key).split() == ("1 0" if "ping" in key else "0").split()
    for option in ("tag", "trunks", "vlan_mode", "bridge"):
        if case[2].get(option, True) in ("", []):
            assert not found[option]


RULES: list[list[dict[str, t.Any]]] = [
    [{"priority": 1000, "from": "10.0.0.1/32", "to": "10.0.0.0/24", "iif": "lo", "oif": "eth0", "table": 100}],
    [{"priority": 1001, "from": "10.0.0.2/32", "to": "10.2.0.0/16", "iif": "eth0", "oif": "lo", "table": 101}],
    [],
]


def test_each_option_of_a_rule_is_set_changed_and_cleared(host: Host) -> None:
    for wanted in RULES:
        assert apply(host, name="red", rules=wanted)["namespaces"][0]["rules"] == wanted
        assert len(rules(host, "red")) == len(wanted)
    assert rules(host, "red") == []


def test_options_that_are_left_out_stay_and_come_back_with_a_deleted_veth(host: Host) -> None:
    bridge(host, "br0")
    apply(host, **FULL)
    assert not apply(host, name="red")["changed"]
    host.run(["ip", "link", "delete", "v-red"])
    assert apply(host, name="red")["changed"]
    is_full(host)


def test_what_others_set_on_a_port_outlives_a_new_device(host: Host) -> None:
    bridge(host, "br0")
    both = [
        {"name": name, "bridge": "br0", "addresses": [f"10.0.0.{number}/24"]}
        for number, name in enumerate(("red", "blue"), 1)
    ]
    apply(host, namespaces=both)
    port = {
        "name": "v-red",
        "protected": True,
        "qos": {"type": "linux-noop"},
        "ofport_request": 77,
        "ingress_policing_rate": 100000,
        "cfm_mpid": 5,
    }
    host.apply("ovs_bridge", {"name": "br0", "ports": [port]})
    host.run(["ip", "-n", "red", "link", "delete", "eth0"])
    apply(host, namespaces=both)
    assert not host.module("ovs_bridge", {"name": "br0", "ports": [port]}, check=True)["changed"]
    assert len(host.run("ovs-vsctl --columns=_uuid list QoS".split()).split("_uuid")) == 2, (
        "and no second QoS is left behind"
    )
    assert column(host, "Interface", "v-red", "ofport") == 77
    ping(host, "red", "10.0.0.2")


def test_a_guest_does_not_reach_its_host_at_the_outer_end(host: Host) -> None:
    bridge(host, "br0")
    red = {"name": "red", "bridge": "br0", "addresses": ["10.0.0.1/24"]}
    apply(host, **red)
    mac = [int(byte, 16) for byte in link(host, "v-red")["address"].split(":")]
    at_host = (
        f"fe80::{(mac[0] ^ 2) << 8 | mac[1]:x}:{mac[2] << 8 | 0xFF:x}:{0xFE00 | mac[3]:x}:{mac[4] << 8 | mac[5]:x}%eth0"
    )
    ping(host, "red", at_host, ok=False)
    for words in ("addrgenmode eui64", "down", "up"):
        host.run(["ip", "link", "set", "dev", "v-red", *words.split()])
    ping(host, "red", at_host)
    assert apply(host, **red)["changed"]
    ping(host, "red", at_host, ok=False)


DRIFTS = {
    "address added": [["ip", "-n", "red", "address", "add", "10.0.0.77/24", "dev", "eth0"]],
    "address removed": [["ip", "-n", "red", "address", "delete", "10.0.0.1/24", "dev", "eth0"]],
    "address of IPv6 removed": [["ip", "-n", "red", "address", "delete", "fd00::1/64", "dev", "eth0"]],
    "mtu inside": [["ip", "-n", "red", "link", "set", "eth0", "mtu", "1300"]],
    "mtu outside": [["ip", "link", "set", "v-red", "mtu", "1300"]],
    "mtu too small for IPv6": [["ip", "-n", "red", "link", "set", "eth0", "mtu", "600"]],
    "mac": [["ip", "-n", "red", "link", "set", "eth0", "address", "02:00:00:00:00:99"]],
    "route removed": [["ip", "-n", "red", "route", "delete", "default"]],
    "route changed": [["ip", "-n", "red", "route", "replace", "default", "via", "10.0.0.9"]],
    "route added": [
        ["ip", "-n", "red", "route", "add", "10.7.0.0/16", "via", "10.0.0.9"],
        ["ip", "-n", "red", "route", "add", "fd07::/64", "via", "fd00::9"],
    ],
    "route of another table removed": [["ip", "-n", "red", "route", "flush", "table", "100"]],
    "route of another table added": [["ip", "-n", "red", "route", "add", "default", "via", "10.0.0.9", "table", "7"]],
    "rule removed": [["ip", "-n", "red", "rule", "delete", "priority", "1001"]],
    "rule of IPv6 removed": [["ip", "-n", "red", "-6", "rule", "delete", "priority", "1001"]],
    "rules added": [
        ["ip", "-n", "red", "rule", "add", "from", "10.0.0.1", "lookup", "7"],
        ["ip", "-n", "red", "rule", "add", "priority", "1001", "fwmark", "7", "blackhole"],
        ["ip", "-n", "red", "-6", "rule", "add", "not", "from", "fd00::1", "lookup", "7"],
    ],
    "sysctl": [inside("red", "sysctl", "-q", "-w", "net.ipv4.ip_forward=0")],
    "sysctl of the interface": [inside("red", "sysctl", "-q", "-w", "net.ipv4.conf.eth0.rp_filter=0")],
    "checksums": [inside("red", "ethtool", "-K", "eth0", "tx", "on")],
    "tag": [["ovs-vsctl", "set", "port", "v-red", "tag=30"]],
    "trunks beside the tag": [["ovs-vsctl", "clear", "port", "v-red", "tag"]],
    "port on another bridge": [["ovs-vsctl", "del-port", "v-red", "--", "add-port", "br1", "v-red"]],
    "port gone": [["ovs-vsctl", "del-port", "v-red"]],
    "port without its mark": [["ovs-vsctl", "clear", "port", "v-red", "external_ids"]],
    "veth deleted from outside": [["ip", "link", "delete", "v-red"]],
    "veth deleted from inside": [["ip", "-n", "red", "link", "delete", "eth0"]],
    "namespace deleted": [["ip", "netns", "delete", "red"]],
    "namespace an empty file": [["ip", "netns", "delete", "red"], ["touch", "/run/netns/red"]],
    "namespace made again by hand": [["ip", "netns", "delete", "red"], ["ip", "netns", "add", "red"]],
    "veth made again by hand": [
        ["ip", "link", "delete", "v-red"],
        ["ip", "link", "add", "v-red", "type", "veth", "peer", "name", "eth0", "netns", "red"],
    ],
    "a link-local address outside": [
        ["ip", "link", "set", "v-red", *words] for words in (["addrgenmode", "eui64"], ["down"], ["up"])
    ],
    "down inside": [["ip", "-n", "red", "link", "set", "eth0", "down"]],
    "down outside": [["ip", "link", "set", "v-red", "down"]],
    "loopback down": [["ip", "-n", "red", "link", "set", "lo", "down"]],
    "outer renamed": [["ip", "link", "set", "v-red", "down"], ["ip", "link", "set", "v-red", "name", "other"]],
    "inner renamed": [
        ["ip", "-n", "red", "link", "set", "eth0", "down"],
        ["ip", "-n", "red", "link", "set", "eth0", "name", "other"],
    ],
    "unit gone": [["rm", "/etc/systemd/system/overloom-netns-red.service"]],
    "unit emptied": [["cp", "/dev/null", "/etc/systemd/system/overloom-netns-red.service"]],
    "unit disabled": [["systemctl", "disable", "overloom-netns-red.service"]],
    "marks gone": [
        ["ip", "link", "set", "v-red", "alias", ""],
        *(["ip", "-n", "red", "link", "set", name, "alias", ""] for name in ("eth0", "lo")),
    ],
}


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS)
def test_what_was_changed_by_hand_is_set_back(host: Host, drift: list[list[str]]) -> None:
    bridge(host, "br0", "br1")
    apply(host, **FULL)
    for argv in drift:
        host.run(argv)
    if ["ip", "netns", "delete", "red"] in drift:
        # The kernel takes the interfaces of a deleted namespace away later.
        wait(lambda: "v-red" not in links(host), "the end of the namespace's interfaces")
    result = apply(host, **FULL)
    assert result["changed"] and result["diff"]["before"] != result["diff"]["after"]
    is_full(host)
    assert "other" not in links(host)
    assert host.run(["systemctl", "is-enabled", "overloom-netns-red.service"]).strip() == "enabled"
    assert "Name=red" in host.run(["cat", "/etc/systemd/system/overloom-netns-red.service"])


def test_a_veth_that_was_made_anew_by_hand_is_alive_after_the_next_run(host: Host) -> None:
    bridge(host, "br0")
    places = (("red", "10.0.0.1/24"), ("blue", "10.0.0.2/24"))
    both = [{"name": name, "bridge": "br0", "addresses": [address]} for name, address in places]
    apply(host, namespaces=both)
    ping(host, "red", "10.0.0.2")
    unseen(host, "ip link delete v-red", "systemctl restart overloom-netns-red.service")
    # Open vSwitch in user space goes on with the device that is gone.
    ping(host, "red", "10.0.0.2", ok=False)
    assert apply(host, namespaces=both)["changed"]
    ping(host, "red", "10.0.0.2")


def test_names_are_exact_and_never_parts_of_others(host: Host) -> None:
    apply(host, name="red-test", addresses=["10.0.0.1/24"])
    apply(host, name="red")
    assert names(host) == {"red", "red-test"}
    apply(host, name="red", state="absent")
    assert names(host) == {"red-test"} and addresses(host, "red-test") == {"10.0.0.1/24"}
    assert not apply(host, name="re", state="absent")["changed"]


def test_several_interfaces_make_a_router(host: Host) -> None:
    bridge(host, "br0", "br1")
    ends = [
        {
            "name": "one",
            "bridge": "br0",
            "addresses": ["10.1.0.1/24"],
            "routes": [{"to": "default", "via": "10.1.0.254"}],
        },
        {
            "name": "two",
            "bridge": "br1",
            "addresses": ["10.2.0.1/24"],
            "routes": [{"to": "default", "via": "10.2.0.254"}],
        },
    ]
    router = [
        {
            "name": "gateway",
            "interface": "inbound",
            "bridge": "br0",
            "addresses": ["10.1.0.254/24"],
            "sysctls": {"net.ipv4.ip_forward": 1},
        },
        {"name": "gateway", "interface": "outbound", "bridge": "br1", "addresses": ["10.2.0.254/24"], "outer": "v-out"},
    ]
    made = apply(host, namespaces=ends + router)
    assert [space["name"] for space in made["namespaces"]] == ["one", "two", "gateway"]
    outers = [i["outer"] for i in made["namespaces"][2]["interfaces"]]
    assert outers[0].startswith("v-gateway-") and len(outers[0]) == 15 and outers[1] == "v-out"
    ping(host, "one", "10.2.0.1")
    assert tcp(host, "two", "10.2.0.1", "one") > 1_000_000
    apply(host, name="gateway", interface="outbound", state="absent")
    assert {"gateway"} < names(host) and "v-out" not in links(host) and ports(host, "br1") == ["v-two"]
    ping(host, "one", "10.1.0.254")
    ping(host, "one", "10.2.0.1", ok=False)


def test_tcp_needs_and_gets_checksums_of_its_own_in_user_space(host: Host) -> None:
    bridge(host, "br0")
    both = [
        {"name": name, "bridge": "br0", "tag": 5, "addresses": [f"10.0.0.{number}/24"]}
        for number, name in enumerate(("red", "blue"), 1)
    ]
    apply(host, namespaces=both)
    ping(host, "red", "10.0.0.2")
    assert tcp(host, "blue", "10.0.0.2", "red") > 1_000_000
    for name in ("red", "blue"):
        host.run(inside(name, "ethtool", "-K", "eth0", "tx", "on"))
    assert tcp(host, "blue", "10.0.0.2", "red") == 0
    apply(host, namespaces=both)
    assert tcp(host, "blue", "10.0.0.2", "red") > 1_000_000


def test_the_port_works_again_after_a_restart_of_open_vswitch(host: Host) -> None:
    bridge(host, "br0")
    both = [
        {"name": name, "bridge": "br0", "tag": 5, "addresses": [f"10.0.0.{number}/24"]}
        for number, name in enumerate(("red", "blue"), 1)
    ]
    apply(host, namespaces=both)
    host.run(["systemctl", "restart", "openvswitch-switch"])
    ping(host, "red", "10.0.0.2")
    assert not apply(host, namespaces=both)["changed"]


def wait_until_up(host: Host) -> None:
    """Wait until the host has started everything."""
    wait(
        lambda: host.run(["systemctl", "is-system-running"], ok=None).strip() in ("running", "degraded"),
        "the end of the boot",
    )


def test_all_is_there_again_after_a_reboot_without_a_run(host: Host) -> None:
    bridge(host, "br0")
    blue = {"name": "blue", "bridge": "br0", "tag": 20, "addresses": ["10.0.0.2/24", "fd00::2/64"], "mtu": 1400}
    router = {"name": "red", "interface": "eth1", "addresses": ["10.5.0.1/24"]}
    quiet = {"name": "quiet", "up": False, "addresses": ["10.6.0.1/24"]}
    all_items = [FULL, blue, router, quiet]
    apply(host, namespaces=all_items)
    # Somebody else's namespace, which comes late.
    theirs = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=sleep 1\nExecStart=ip netns add theirs\n[Install]\nWantedBy=multi-user.target\n"
    host.write("/etc/systemd/system/theirs.service", theirs)
    host.run(["systemctl", "enable", "--now", "--quiet", "theirs.service"])
    apply(host, name="theirs", bridge="br0", tag=20, addresses=["10.0.0.3/24"], sysctls={"net.ipv4.ip_forward": 1})
    host.reboot()
    wait_until_up(host)
    failed = host.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend", "overloom*", "theirs*"])
    assert failed == "", failed + host.run(["journalctl", "--no-pager", "-b", "-u", "overloom*"])
    assert host.run(["systemctl", "is-active", "overloom-netns-red.service"]).strip() == "active"
    assert len(ports(host, "br0")) == 3
    host.run(["ovs-vsctl", "del-port", "v-theirs", "--", "del-port", "v-blue"])
    is_full(host)
    host.run(["ovs-vsctl", "add-port", "br0", "v-theirs", "tag=20", "--", "add-port", "br0", "v-blue", "tag=20"])
    ping(host, "red", "10.0.0.2")
    ping(host, "red", "fd00::2")
    wait(
        lambda: (
            "eth0" in host.run(["ip", "-n", "theirs", "-br", "link"], ok=None)
            and "10.0.0.3/24" in addresses(host, "theirs")
        ),
        "the interface in the namespace that comes late",
    )
    ping(host, "red", "10.0.0.3")
    assert sysctl(host, "theirs", "net.ipv4.ip_forward") == "1"
    assert tcp(host, "blue", "10.0.0.2", "red") > 1_000_000


def test_nothing_is_left_to_do_after_a_reboot(host: Host) -> None:
    bridge(host, "br0")
    quiet = {"name": "quiet", "up": False, "addresses": ["10.6.0.1/24", "fd06::1/64"], "mac": "02:00:00:00:00:06"}
    items = [FULL, {"name": "red", "interface": "eth1", "addresses": ["10.5.0.1/24"]}, quiet]
    apply(host, namespaces=items)
    host.reboot()
    wait_until_up(host)
    again = apply(host, namespaces=items)
    assert not again["changed"], again["commands"]
    # Starting the unit once more, as a person may, disturbs nothing.
    host.run(["systemctl", "restart", "overloom-netns-red.service", "overloom-netns-quiet.service"])
    assert not apply(host, namespaces=items)["changed"]


# Whose is what -------------------------------------------------------------------------------------------------------------


def test_a_foreign_namespace_is_used_but_stays(host: Host) -> None:
    host.run(["ip", "netns", "add", "theirs"])
    host.run(["ip", "-n", "theirs", "link", "add", "their-veth", "type", "veth", "peer", "name", "their-peer"])
    before = everything(host)
    made = apply(host, name="theirs", addresses=["10.0.0.1/24"])
    assert made["namespaces"][0]["foreign"] and "UP" not in link(host, "lo", "theirs")["flags"]
    refused = host.module("netns_veth", {"name": "theirs", "state": "absent"}, ok=False)
    assert "namespace theirs was not made by this collection" in refused["msg"] and "adopt" in refused["msg"]
    apply(host, name="theirs", interface="eth0", state="absent")
    assert everything(host) == before
    apply(host, name="theirs", addresses=["10.0.0.1/24"])
    apply(host, namespaces=[], purge=True)
    assert everything(host) == before
    apply(host, name="theirs", state="absent", adopt=True)
    assert names(host) == set()


def test_rules_of_others_in_their_namespace_stay(host: Host) -> None:
    host.run(["ip", "netns", "add", "red"])
    host.run(["ip", "-n", "red", "rule", "add", "priority", "500", "from", "10.0.0.9", "lookup", "5"])
    one = [{"priority": 1000, "from": "10.0.0.1", "table": 100}]
    apply(host, name="red", rules=one)
    theirs = "500: from 10.0.0.9 lookup 5"
    assert rules(host, "red") == [theirs, "1000: from 10.0.0.1 lookup 100"]
    assert not apply(host, name="red")["changed"], "left out, they are left as they are"
    apply(host, name="red", rules=[])
    assert rules(host, "red") == [theirs]
    apply(host, name="red", rules=one)
    apply(host, name="red", interface="eth0", state="absent")
    assert rules(host, "red") == [theirs]


def test_routes_and_rules_of_others_are_not_replaced_in_their_namespace_and_ours_go_with_purge(host: Host) -> None:
    """A namespace made by hand, as people have them: several hops, a blackhole, a table of its own, rules by address and by mark."""
    for line in (
        "netns add red",
        "link add theirs type veth peer name eth1 netns red",
        "-n red link set eth1 up",
        "link set theirs up",
        "-n red address add 10.7.0.1/24 dev eth1",
        "-n red route add 10.97.0.0/16 nexthop via 10.7.0.8 nexthop via 10.7.0.9",
        "-n red route add blackhole 10.98.0.0/16",
        "-n red route add 10.99.0.0/16 via 10.7.0.9 table 100",
        "-n red route add default via 10.7.0.9 metric 50",
        "-n red rule add priority 500 from 10.7.0.1 lookup 100",
        "-n red rule add priority 501 fwmark 0x1/0xff lookup 100",
    ):
        host.run(["ip", *line.split()])

    def look() -> list[str]:
        shown = host.run(["ip", "-n", "red", "-4", "route", "show", "table", "all"]).splitlines()
        return [line for line in shown if "local" not in line] + rules(host, "red")

    before, base = look(), {"name": "red", "addresses": ["10.1.0.1/24"]}
    for option, said in (
        ({"routes": [{"to": "10.97.0.0/16", "via": "10.1.0.9"}]}, "routes has 10.97.0.0/16, and there is one already that is not ours (eth1 and eth1)"),
        ({"routes": [{"to": "10.98.0.0/16", "via": "10.1.0.9"}]}, "is not ours (blackhole); give another metric or table"),
        ({"routes": [{"to": "10.99.0.0/16", "via": "10.1.0.9", "table": 100}]}, "is not ours (eth1)"),
        ({"routes": [{"to": "default", "via": "10.1.0.9", "metric": 50}]}, "routes has default"),
        ({"rules": [{"priority": 500, "from": "10.1.0.1", "table": 7}]}, "rules has priority 500, and there is one already that is not ours"),
        ({"rules": [{"priority": 501, "from": "10.1.0.1", "table": 7}]}, "rules has priority 501"),
    ):  # fmt: skip
        for check in (True, False):
            assert said in host.module("netns_veth", {**base, **option}, check=check, ok=False)["msg"]
        assert look() == before
    ours = {
        "routes": [{"to": "10.97.0.0/16", "via": "10.1.0.9", "metric": 7}],
        "rules": [{"priority": 502, "from": "10.1.0.1", "table": 7}],
    }
    apply(host, **base, **ours)
    assert set(before) < set(look())
    host.module("netns_veth", {"namespaces": [], "purge": True})
    assert look() == before and not host.module("netns_veth", {"namespaces": [], "purge": True})["changed"]


def test_a_foreign_veth_is_configured_and_removed_only_when_adopted(host: Host) -> None:
    host.run(["ip", "netns", "add", "theirs"])
    host.run(["ip", "link", "add", "v-theirs", "type", "veth", "peer", "name", "eth0", "netns", "theirs"])
    made = apply(host, name="theirs", addresses=["10.0.0.1/24"])
    assert "not made again at boot" in str(made["warnings"])
    assert (
        addresses(host, "theirs") == {"10.0.0.1/24"}
        and "ifalias" not in link(host, "v-theirs")
        and units(host) == set()
    )
    apply(host, namespaces=[], purge=True)
    assert "v-theirs" in links(host)
    refused = host.module("netns_veth", {"name": "theirs", "interface": "eth0", "state": "absent"}, ok=False)
    assert "v-theirs was not made by this collection" in refused["msg"]
    apply(host, name="theirs", adopt=True)
    apply(host, name="theirs", state="absent", adopt=True)
    assert "v-theirs" not in links(host) and names(host) == set()


def test_what_was_adopted_is_given_back(host: Host) -> None:
    bridge(host, "br0")
    for argv in (
        ["ip", "netns", "add", "theirs"],
        ["ip", "link", "add", "v-theirs", "type", "veth", "peer", "name", "eth0", "netns", "theirs"],
        ["ip", "link", "set", "v-theirs", "up", "alias", "rack 7"],
        ["ip", "-n", "theirs", "link", "set", "lo", "up"],
        ["ip", "-n", "theirs", "link", "set", "eth0", "up", "mtu", "1400"],
        ["ip", "-n", "theirs", "address", "add", "10.0.0.1/24", "dev", "eth0"],
        ["ip", "-n", "theirs", "route", "add", "default", "via", "10.0.0.9"],
        ["ovs-vsctl", "add-port", "br0", "v-theirs", "tag=10"],
    ):
        host.run(argv)
    before = settled(host)
    for changed in ({}, {"bridge": "br0", "tag": 20, "mtu": 1300, "addresses": ["10.0.0.2/24"], "tx_checksum": "off"}):
        apply(host, name="theirs", adopt=True, **changed)
        assert link(host, "v-theirs")["ifalias"] == "overloom:overloom.fabric" and units(host)
        given = host.module("netns_veth", {"name": "theirs", "state": "absent"})
        assert "given back, not removed" in str(given["warnings"]) and settled(host) == before
        apply(host, name="theirs", adopt=True, **changed)
        apply(host, namespaces=[], purge=True, adopt=True)
        assert settled(host) == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ([["ip", "link", "add", "v-red", "type", "veth", "peer", "name", "x"]], "outer v-red is an interface already"),
        ([["ip", "tuntap", "add", "v-red", "mode", "tap"]], "outer v-red is an interface already"),
        (
            [
                ["ip", "netns", "add", "blue"],
                ["ip", "link", "add", "v-red", "type", "veth", "peer", "name", "eth0", "netns", "blue"],
            ],
            "outer v-red is an interface already",
        ),
        (
            [
                ["ip", "netns", "add", "red"],
                ["ip", "-n", "red", "link", "add", "eth0", "type", "veth", "peer", "name", "x"],
            ],
            "interface eth0 is there already",
        ),
    ],
)
def test_a_foreign_interface_in_the_way_is_refused(host: Host, make: list[list[str]], message: str) -> None:
    for argv in make:
        host.run(argv)
    before = everything(host)
    for adopt in (False, True):
        assert message in host.module("netns_veth", {"name": "red", "adopt": adopt}, ok=False)["msg"]
    assert everything(host) == before


def test_two_owners_share_a_host(host: Host) -> None:
    bridge(host, "br0")
    apply(host, owner="one", namespaces=[{"name": "red", "bridge": "br0"}], purge=True)
    apply(host, owner="two", namespaces=[{"name": "blue", "bridge": "br0"}], purge=True)
    assert names(host) == {"red", "blue"}
    for options in ({"name": "red"}, {"name": "red", "state": "absent"}, {"name": "red", "interface": "eth1"}):
        refused = host.module("netns_veth", {**options, "owner": "two"}, ok=False)
        assert "namespace red belongs to the owner one" in refused["msg"]
    apply(host, owner="two", namespaces=[], purge=True)
    assert names(host) == {"red"} and ports(host, "br0") == ["v-red"]
    apply(host, owner="two", name="red", bridge="br0", adopt=True)
    apply(host, owner="one", namespaces=[], purge=True)
    assert names(host) == {"red"} and link(host, "v-red")["ifalias"] == "overloom:two"
    assert column(host, "Port", "v-red", "external_ids")["overloom-owner"] == "two"


def test_purge_removes_what_is_no_longer_declared_and_nothing_else(host: Host) -> None:
    bridge(host, "br0")
    host.run(["ip", "netns", "add", "theirs"])
    host.run(["ip", "link", "add", "v-theirs", "type", "veth", "peer", "name", "eth0", "netns", "theirs"])
    host.run(["ovs-vsctl", "add-port", "br0", "v-theirs"])
    items = [{"name": name, "bridge": "br0"} for name in ("red", "blue", "green")] + [
        {"name": "red", "interface": "eth1", "bridge": "br0"}
    ]
    apply(host, namespaces=items)
    apply(host, namespaces=items[:1], purge=True)
    assert names(host) == {"red", "theirs"} and ports(host, "br0") == ["v-red", "v-theirs"]
    assert {u.rsplit("/")[-1] for u in units(host)} == {"overloom-netns-red.service"} and "v-red-eth1" not in links(
        host
    )
    apply(host, namespaces=[], purge=True)
    assert names(host) == {"theirs"} and ports(host, "br0") == ["v-theirs"]


def test_purge_leaves_what_is_kept_for_now(host: Host) -> None:
    bridge(host, "br0")
    apply(host, namespaces=[{"name": name, "bridge": "br0"} for name in ("red", "blue")])
    done = apply(host, namespaces=[], keep=["red", "gone"], purge=True)
    assert done["kept"] == ["red"] and names(host) == {"red"} and ports(host, "br0") == ["v-red"]
    assert apply(host, namespaces=[], purge=True)["kept"] == [] and names(host) == set()


def test_processes_in_a_removed_namespace_are_named_and_live_on(host: Host) -> None:
    apply(host, name="red", addresses=["10.0.0.1/24"])
    with subprocess.Popen(host.command(inside("red", "sleep", "60")), stdin=subprocess.DEVNULL) as sleeper:
        try:
            (pid,) = wait(
                lambda: host.module("netns_info", {"names": ["red"]})["namespaces"][0]["processes"],
                "a process in the namespace",
            )
            gone = apply(host, name="red", state="absent")
            assert f"processes still run in it and go on without its interfaces: {pid}" in str(gone["warnings"])
            assert names(host) == set() and "v-red" not in links(host) and host.exists(f"/proc/{pid}")
            apply(host, name="red", addresses=["10.0.0.1/24"])
        finally:
            host.run(["kill", str(pid)], ok=None)
            sleeper.wait(60)


# Wrong input, missing things -------------------------------------------------------------------------------------------------

WRONG: list[tuple[dict, str]] = [
    ({"addresses": ["10.0.0.1"]}, "addresses: '10.0.0.1' is no address with a prefix length"),
    ({"addresses": ["10.0.0.1/24", "10.0.0.1/24"]}, "addresses: '10.0.0.1/24' is listed twice"),
    (
        {"addresses": ["10.0.0.1/24"], "routes": [{"to": "default", "via": "10.0.9.1"}]},
        "via 10.0.9.1 of the route to default is in no subnet",
    ),
    ({"mtu": 67}, "mtu: 67 is out of range"),
    ({"mtu": 65536}, "mtu: 65536 is out of range"),
    ({"mtu": 1279, "addresses": ["fd00::1/64"]}, "mtu: 1279 is too small for fd00::1/64"),
    ({"mac": "01:00:5e:00:00:01"}, "mac: '01:00:5e:00:00:01' is not the MAC address of one node"),
    ({"tag": 5}, "tag needs a port in a bridge"),
    ({"bridge": "br0", "tag": 0}, "tag is 0"),
    ({"bridge": "br0", "tag": 4095}, "tag is 4095"),
    ({"bridge": "br0", "tag": "ten"}, "tag is 'ten'"),
    ({"bridge": "nowhere"}, "bridge nowhere does not exist"),
    ({"sysctls": {"kernel.panic": 1}}, "'kernel.panic' is no sysctl of a network namespace"),
    ({"sysctls": {"net.ipv4.no_such_thing": 1}}, "net/ipv4/no_such_thing is not there in a network namespace"),
    ({"sysctls": {"net.ipv4.ip_forward": "many"}}, "net/ipv4/ip_forward does not take 'many'"),
    ({"sysctls": {"net.ipv4.conf.eth7.rp_filter": 1}}, "the namespace has no interface eth7"),
    ({"interface": "lo"}, "interface lo is the loopback"),
    ({"owner": "a b"}, "owner: 'a b' is no mark"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_wrong_input_is_one_sentence_and_changes_nothing(host: Host, options: dict, message: str) -> None:
    bridge(host, "br0")
    before = everything(host)
    refused = host.module("netns_veth", {"name": "red", **options}, ok=False)
    assert message in refused["msg"] and "\n" not in refused["msg"] and not refused["changed"]
    assert everything(host) == before and names(host) == set()


INJECTIONS = [
    "a b",
    'a"b',
    "a'b",
    "a;b",
    "$(touch /tmp/owned)",
    "`touch /tmp/owned`",
    "$(id)",
    "--help",
    "-x",
    "a\nb",
    "a/b",
    "..",
]
INJECTIONS += ["a#b", "a\\", "a=b c", "%n", "", "é"]


@pytest.mark.parametrize(
    "option", ["name", "interface", "outer", "owner", "bridge", "mac", "addresses", "via", "to", "sysctl", "value"]
)
def test_values_are_never_commands(host: Host, option: str) -> None:
    for value in INJECTIONS:
        options: dict[str, t.Any] = {"name": "red", option: value}
        if option == "addresses":
            options = {"name": "red", "addresses": [value]}
        elif option in ("via", "to"):
            options = {
                "name": "red",
                "addresses": ["10.0.0.1/24"],
                "routes": [{"to": "default", "via": "10.0.0.2", option: value}],
            }
        elif option in ("sysctl", "value"):
            options = {"name": "red", "sysctls": {"net.ipv4.ip_forward" if option == "value" else value: value}}
        result = host.module("netns_veth", options, ok=None)
        if result.get("failed"):
            assert "\n" not in result["msg"] and names(host) == set()
            continue
        if option in ("interface", "outer"):
            # Taken as it is: a name that the kernel takes.
            assert link(host, value, "red" if option == "interface" else None)["ifname"] == value
        else:
            assert (option, value) == ("bridge", "")
        host.run(["systemctl", "restart", "overloom-netns-red.service"])
        assert not host.module("netns_veth", options)["changed"]
        host.module("netns_veth", {"namespaces": [], "purge": True})
        assert names(host) == set()
    assert not host.exists("/tmp/owned")


def test_missing_things_are_warnings_in_check_mode(host: Host) -> None:
    foretold = host.module("netns_veth", {"name": "red", "bridge": "br0", "tag": 5}, check=True)
    assert foretold["changed"] and "bridge br0 does not exist yet" in str(foretold["warnings"])
    host.run(["systemctl", "stop", "openvswitch-switch", "ovs-vswitchd", "ovsdb-server"])
    try:
        foretold = host.module("netns_veth", {"name": "red", "bridge": "br0"}, check=True)
        assert "database cannot be reached" in str(foretold["warnings"])
        refused = host.module("netns_veth", {"name": "red", "bridge": "br0"}, ok=False)
        assert "database cannot be reached" in refused["msg"] and names(host) == set()
        # Without a bridge there is no need of it.
        apply(host, name="red", addresses=["10.0.0.1/24"])
    finally:
        host.run(["systemctl", "start", "openvswitch-switch"])


def test_an_address_that_another_node_has_is_an_error_of_the_task(host: Host) -> None:
    bridge(host, "br0")
    both = [{"name": name, "bridge": "br0", "addresses": ["fd00::1/64"]} for name in ("red", "blue")]
    apply(host, namespaces=both[:1])
    time.sleep(2)
    host.module("netns_veth", {"namespaces": both}, ok=None)
    # The kernel asks when it gets an address, here once more when the switch certainly forwards.
    for verb in ("delete", "add"):
        host.run(["ip", "-n", "blue", "address", verb, "fd00::1/64", "dev", "eth0"])
    show = ["ip", "-n", "blue", "address", "show", "dev", "eth0"]
    wait(lambda: "dadfailed" in host.run(show), "the kernel's finding of the duplicate")
    refused = host.module("netns_veth", {"namespaces": both}, ok=False)
    assert "namespace blue, interface eth0: another node on the link has the address fd00::1/64" in refused["msg"]


def test_options_beside_the_list_are_refused(host: Host) -> None:
    assert "mutually exclusive" in host.module("netns_veth", {"namespaces": [], "mtu": 1400}, ok=False)["msg"]
    assert "one of the following is required" in host.module("netns_veth", {"mtu": 1400}, ok=False)["msg"]


# Effort, interruption --------------------------------------------------------------------------------------------------------


def many(count: int) -> list[dict[str, t.Any]]:
    """So many namespaces on one bridge."""
    common = {"bridge": "br0", "mtu": 1400}
    return [
        {**common, "name": f"endpoint-{n}", "tag": n % 50 + 1, "addresses": [f"10.0.{n // 200}.{n % 200 + 1}/16"]}
        for n in range(count)
    ]


def test_twenty_namespaces_take_few_processes_and_little_time(host: Host) -> None:
    bridge(host, "br0")
    began = time.monotonic()
    by_hand(host, many(20))
    hand = time.monotonic() - began
    host.clean()
    bridge(host, "br0")
    began = time.monotonic()
    made = host.module("netns_veth", {"namespaces": many(20)})
    took = time.monotonic() - began
    # Read twice, one batch and one offload each, and for all together ip, ovs-vsctl, systemctl.
    assert made["spawned"] <= 2 * (2 + 20) + 2 * 20 + 3
    # Within a small factor of a script of single commands, which reads nothing; a busy machine may be busier in one of the two.
    assert took < max(10, 4 * hand), (took, hand)
    again = host.module("netns_veth", {"namespaces": many(20)})
    assert not again["changed"] and again["spawned"] <= 2 + 20
    few = host.module("netns_veth", {"namespaces": many(21)})
    assert len(few["commands"]) == 6


def by_hand(host: Host, items: list[dict[str, t.Any]]) -> None:
    """A script of single commands which makes the same once."""
    lines = []
    for item in items:
        name = item["name"]
        outer = f"h-{name}"
        lines += [
            f"ip netns add {name}",
            f"ip link add {outer} type veth peer name eth0 netns {name}",
            f"ip link set {outer} mtu 1400",
            f"ip link set {outer} up",
            f"ip -n {name} link set lo up",
            f"ip -n {name} link set eth0 mtu 1400",
            f"ip -n {name} link set eth0 up",
            f"ip -n {name} address add {item['addresses'][0]} dev eth0",
            f"ip netns exec {name} ethtool -K eth0 tx off",
            f"ovs-vsctl add-port br0 {outer} tag={item['tag']}",
        ]
    host.run(["sh", "-e"], stdin="\n".join(lines))


# Kills itself before the given step.
STOP = """
import os, signal, sys
from ansible_collections.overloom.fabric.plugins.module_utils import _reconcile
do, left = _reconcile.Runner.do, [int(sys.argv[2])]
def stop(self, step):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    do(self, step)
_reconcile.Runner.do = stop
"""


def killed_before_step(host: Host, number: int, options: dict[str, t.Any]) -> bool:
    """Run the module and kill it before a step; False if it had no such step."""
    driver = harness.DRIVER.replace("runpy.run_module", STOP + "\nrunpy.run_module")
    command = host.command(
        ["env", f"PYTHONPATH={host.library}", harness.PYTHON, "-c", driver, "netns_veth", str(number)]
    )
    done = harness.execute(command, None, harness.module_input(options, check=False, diff=False))
    return not done.stdout


CHANGES: list[tuple[dict, dict]] = [
    ({"namespaces": []}, {"namespaces": [FULL, {"name": "blue", "bridge": "br1"}]}),
    ({"namespaces": [FULL]}, {"namespaces": [{**FULL, "outer": "elsewhere"}]}),
    (
        {
            "namespaces": [
                FULL,
                {"name": "blue", "bridge": "br1"},
                {"name": "red", "interface": "eth1", "bridge": "br1"},
            ]
        },
        {
            "namespaces": [
                {"name": "red", "interface": "eth1", "bridge": "br0", "addresses": ["10.7.0.1/24"], "sysctls": {}}
            ],
            "purge": True,
        },
    ),
]


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_a_run_that_was_killed_anywhere_is_completed_by_the_next(host: Host, before: dict, after: dict) -> None:
    number, interrupted = 0, True
    while interrupted:
        host.clean()
        bridge(host, "br0", "br1")
        host.module("netns_veth", before)
        interrupted = killed_before_step(host, number, after)
        apply(host, **after)
        assert names(host) == {item["name"] for item in after["namespaces"]}
        outers = {i["outer"] for space in host.module("netns_info")["namespaces"] for i in space["interfaces"]}
        assert {name for name in links(host) if name.startswith(("v-", "elsewhere"))} == outers
        assert set(ports(host, "br0") + ports(host, "br1")) == outers
        number += 1
    assert number > 4


def test_commands_can_be_repeated_by_hand(host: Host) -> None:
    bridge(host, "br0")
    commands = apply(host, **FULL)["commands"]
    apply(host, name="red", state="absent")
    host.run(["sh", "-e"], stdin="\n".join(commands))
    is_full(host)
    assert not apply(host, **FULL)["changed"]


def test_the_diff_reads_as_a_person_would_write_it(host: Host) -> None:
    apply(host, name="red", mtu=1400, addresses=["10.0.0.1/24"])
    diff = apply(host, name="red", mtu=1300, addresses=["10.0.0.2/24"])["diff"]
    assert "mtu: 1400\n" in diff["before"] and "addresses: [10.0.0.1/24]\n" in diff["before"]
    assert "mtu: 1300\n" in diff["after"] and "addresses: [10.0.0.2/24]\n" in diff["after"]


def test_ad_hoc_strings_are_enough(host: Host) -> None:
    bridge(host, "br0")
    sysctls = json.dumps({"net.ipv4.ip_forward": 1})
    found = apply(
        host,
        name="red",
        bridge="br0",
        tag="20",
        addresses="10.0.0.1/24,fd00::1/64",
        mtu="1400",
        up="yes",
        sysctls=sysctls,
    )
    assert found["namespaces"][0]["interfaces"][0]["tag"] == 20

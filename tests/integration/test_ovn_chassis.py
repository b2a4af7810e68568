# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ovn_chassis and ovn_database on a lab host: a real ovn-controller finds a real southbound database."""

from __future__ import annotations

import json
import typing as t

import ovn
import ovs
import pytest
from harness import Host, wait

CHASSIS: dict[str, t.Any] = {
    "name": "kvm1",
    "remotes": ["tcp:192.0.2.1:6642"],
    "encapsulations": ["geneve", "vxlan"],
    "encapsulation_ip": "192.0.2.1",
    "bridge": "br-ovn",
    "datapath_type": "netdev",
    "bridge_mappings": {"outside": "br-ex"},
    "gateway": True,
}
FILE = "/etc/openvswitch/system-id.conf"


@pytest.fixture(name="host")
def with_nothing_of_ovn(host: Host) -> t.Iterator[Host]:
    yield host
    host.module("ovn_chassis", {"state": "absent"})
    if host.exists("/var/lib/ovn"):
        ovn.stop(host)


def ids(host: Host) -> dict[str, str]:
    """external_ids of the switch."""
    return t.cast("dict[str, str]", ovs.column(host, "Open_vSwitch", ".", "external_ids"))


def vlan_limit(host: Host) -> str | None:
    """How many VLAN headers Open vSwitch reads, which ovn-controller sets."""
    return t.cast("dict[str, str]", ovs.column(host, "Open_vSwitch", ".", "other_config")).get("vlan-limit")


def chassis(host: Host) -> list[str]:
    """The chassis that the southbound database knows."""
    return host.run(["ovn-sbctl", "--bare", "--columns=name", "list", "Chassis"]).split()


# option, two values, what external_ids hold of them, and the value that clears
CASES: list[tuple[str, t.Any, t.Any, str, list[str], t.Any]] = [
    ("encapsulation_csum", False, True, "ovn-encap-csum", ["false", "true"], None),
    ("set_local_ip", True, False, "ovn-set-local-ip", ["true", "false"], None),
    ("encapsulation_tos", "inherit", "4", "ovn-encap-tos", ["inherit", "4"], ""),
    ("monitor_all", True, False, "ovn-monitor-all", ["true", "false"], None),
    ("match_northd_version", True, False, "ovn-match-northd-version", ["true", "false"], None),
    ("remote_probe_interval", 1000, 0, "ovn-remote-probe-interval", ["1000", "0"], ""),
    ("openflow_probe_interval", 10, 0, "ovn-openflow-probe-interval", ["10", "0"], ""),
    ("enable_lflow_cache", False, True, "ovn-enable-lflow-cache", ["false", "true"], None),
    ("limit_lflow_cache", 100, 200, "ovn-limit-lflow-cache", ["100", "200"], ""),
    ("memlimit_lflow_cache_kb", 100, 200, "ovn-memlimit-lflow-cache-kb", ["100", "200"], ""),
    ("remotes", ["tcp:192.0.2.1:6642"], ["tcp:192.0.2.2:6642", "tcp:192.0.2.3:6642"], "ovn-remote",
     ["tcp:192.0.2.1:6642", "tcp:192.0.2.2:6642,tcp:192.0.2.3:6642"], []),
    ("encapsulations", ["geneve"], ["vxlan", "geneve"], "ovn-encap-type", ["geneve", "vxlan,geneve"], []),
    ("encapsulation_ip", "192.0.2.1", "2001:db8::1", "ovn-encap-ip", ["192.0.2.1", "2001:db8::1"], ""),
    ("bridge", "br-ovn", "br-int", "ovn-bridge", ["br-ovn", "br-int"], ""),
    ("datapath_type", "netdev", "system", "ovn-bridge-datapath-type", ["netdev", "system"], ""),
    ("bridge_mappings", {"a": "b"}, {"c": "d", "a": "e"}, "ovn-bridge-mappings", ["a:b", "a:e,c:d"], {}),
    ("gateway", True, False, "ovn-cms-options", ["enable-chassis-as-gw", ""], None),
]  # fmt: skip


def test_every_option_is_set_changed_and_cleared(host: Host) -> None:
    before = ids(host)
    for index in (0, 1):
        host.apply("ovn_chassis", {case[0]: case[1 + index] for case in CASES})
        held = ids(host)
        for option, _first, _second, key, expected, _cleared in CASES:
            assert held.get(key, "") == expected[index], option
    host.apply("ovn_chassis", {case[0]: case[5] for case in CASES})
    assert not {case[3] for case in CASES if case[5] is not None} & set(ids(host))
    host.apply("ovn_chassis", {"state": "absent"})
    assert ids(host) == before


def test_a_host_becomes_a_chassis_keeps_its_name_over_a_reboot_and_goes_without_a_trace(host: Host) -> None:
    file, before = host.run(["cat", FILE]), ids(host)
    assert host.module("ovn_chassis", {"state": "absent"})["changed"] is False
    # The packages enable their services, and a lab host has none of that.
    assert "active" not in host.run(["systemctl", "is-active", "ovn-central", "ovn-host"], ok=None).split()
    host.run(["ip", "address", "add", "192.0.2.1/24", "dev", "lo"])
    ovn.start(host)
    host.run(["systemctl", "enable", "--quiet", "ovn-central"])
    listens = host.apply("ovn_database", {"southbound": ["ptcp:6642:192.0.2.1"]})
    assert listens["databases"]["southbound"]["listeners"]["ptcp:6642:192.0.2.1"]["owner"] == "overloom.fabric"
    host.run(["ovs-vsctl", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2"])
    done = host.apply("ovn_chassis", CHASSIS)
    assert done["chassis"]["vlan_limit"] == vlan_limit(host) == "0"
    assert done["chassis"]["bridge_mappings"] == {"outside": "br-ex"} and done["chassis"]["gateway"]
    assert host.run(["cat", FILE]) == "kvm1\n" and ids(host)["overloom-ovn-chassis"] == "overloom.fabric"
    host.run(["systemctl", "enable", "--now", "--quiet", "ovn-host"])
    wait(lambda: chassis(host) == ["kvm1"], "the chassis")
    told = host.module("ovn_info", {"gather": ["chassis", "bindings", "progress", "northbound"]})
    assert told["spawned"] == 2 and told["bindings"] == [] and told["northbound"]["switches"] == []
    [one] = told["chassis"]
    assert (one["name"], one["encapsulations"], one["address"]) == ("kvm1", ["geneve", "vxlan"], "192.0.2.1")
    assert told["progress"]["slow"] == (["kvm1"] if one["lag"] else [])
    # A change of its name leaves none of the old name behind.
    host.apply("ovn_chassis", {"name": "kvm2"})
    wait(lambda: chassis(host) == ["kvm2"], "the chassis of the new name alone")
    host.reboot()
    # The address comes later than the server that is to listen on it.
    assert "kvm2" in ids(host)["system-id"]
    wait(lambda: host.exists("/run/ovn/ovnsb_db.sock"), "the database")
    assert ":6642" not in host.run(["ss", "-tln"])
    host.run(["ip", "address", "add", "192.0.2.1/24", "dev", "lo"])
    wait(lambda: ":6642" in host.run(["ss", "-tln"]), "a listener on the address that comes late")
    assert not host.module("ovn_database", {"southbound": ["ptcp:6642:192.0.2.1"]})["changed"]
    assert not host.module("ovn_chassis", {**CHASSIS, "name": "kvm2"})["changed"]
    host.apply("ovn_chassis", {"state": "absent"})
    assert chassis(host) == [], "ovn-controller's exit takes its chassis out"
    assert vlan_limit(host) == "2"
    host.run(["ovs-vsctl", "remove", "Open_vSwitch", ".", "other_config", "vlan-limit"])
    assert (
        ids(host) == {**before, "system-id": ids(host)["system-id"]} and host.run(["cat", FILE]).strip() == file.strip()
    )
    assert host.run(["systemctl", "is-enabled", "ovn-host"], ok=None).strip() == "disabled"
    host.apply("ovn_database", {"state": "absent"})
    wait(lambda: ":6642" not in host.run(["ss", "-tln"]), "the end of the listener")


def test_a_chassis_whose_southbound_database_is_gone_leaves_nothing_on_its_host(host: Host) -> None:
    ovn.start(host)
    before = ids(host)
    local = {"remotes": ["unix:/run/ovn/ovnsb_db.sock"], "bridge_mappings": {"outside": "br-ex"}}
    host.run(["ovs-vsctl", "add-br", "br-ex", "--", "set", "Bridge", "br-ex", "datapath_type=netdev"])
    host.apply("ovn_chassis", {**CHASSIS, **local})
    host.run(["systemctl", "enable", "--now", "--quiet", "ovn-host"])
    wait(lambda: chassis(host) == ["kvm1"], "the chassis")
    network = "ls-add s -- lsp-add s l -- lsp-set-type l localnet -- lsp-set-options l network_name=outside -- lsp-set-addresses l unknown"
    host.run(["ovn-nbctl", *network.split(), "--", "lsp-add", "s", "p"])
    host.run(["ovn-sbctl", "chassis-add", "kvm9", "geneve", "192.0.2.9"])
    host.run(
        [
            "ovs-vsctl",
            "add-port",
            "br-ovn",
            "p",
            "--",
            "set",
            "Interface",
            "p",
            "type=internal",
            "external_ids:iface-id=p",
        ]
    )
    wait(lambda: "patch-" in "".join(ovs.ports(host, "br-ex")), "the provider network")
    # Its last digit is the first that is free, which ovn-controller may do twice.
    wait(
        lambda: " ovn-kvm9-" in " ".join(["", *ovs.ports(host, "br-ovn")]),
        "the tunnel",
        look=lambda: host.run(["sh", "-c", "ovs-vsctl show; ovn-sbctl show; tail -50 /var/log/ovn/ovn-controller.log"]),
    )
    wait(
        lambda: (
            host.module("ovn_info", {"gather": ["bindings"]})["bindings"][-1]
            == {"name": "p", "type": "", "chassis": "kvm1", "up": True}
        ),
        "the port",
    )
    # One that is dead is behind as soon as anything changes.
    host.run(["ovn-sbctl", "create", "Chassis_Private", "name=kvm9"])
    host.run(["ovn-nbctl", "--wait=sb", "sync"])
    wait(lambda: "kvm9" in host.module("ovn_info")["progress"]["slow"], "the dead chassis among the slow ones")
    ovn.stop(host)
    assert "southbound database cannot be reached" in host.module("ovn_info", ok=False)["msg"]
    host.apply("ovn_chassis", {"state": "absent"})
    assert not ovs.ports(host, "br-ex") and ovs.ports(host, "br-ovn") == ["p"]
    assert ids(host) == before
    assert host.run(["systemctl", "is-active", "ovn-controller"], ok=None).strip() != "active"


@pytest.mark.parametrize(
    ("former", "others", "after"), [(None, None, None), ("0", None, "0"), (None, "1", "1"), ("2", "1", "1")]
)
def test_the_limit_of_vlan_headers_is_given_back_unless_others_have_changed_it(
    host: Host, former: str | None, others: str | None, after: str | None
) -> None:
    ovn.start(host)
    before = ids(host)
    for value in filter(None, [former]):
        host.run(["ovs-vsctl", "set", "Open_vSwitch", ".", f"other_config:vlan-limit={value}"])
    host.apply("ovn_chassis", {**CHASSIS, "remotes": ["unix:/run/ovn/ovnsb_db.sock"], "bridge_mappings": {}})
    host.run(["systemctl", "enable", "--now", "--quiet", "ovn-host"])
    wait(lambda: chassis(host) == ["kvm1"], "the chassis")
    assert vlan_limit(host) == "0"
    host.run(["systemctl", "stop", "ovn-host", "ovn-controller"])
    for value in filter(None, [others]):
        host.run(["ovs-vsctl", "set", "Open_vSwitch", ".", f"other_config:vlan-limit={value}"])
    host.apply("ovn_chassis", {"state": "absent"})
    assert vlan_limit(host) == after and ids(host) == before
    host.run(["ovs-vsctl", "remove", "Open_vSwitch", ".", "other_config", "vlan-limit"])


def test_a_chassis_finds_its_database_by_tls(host: Host) -> None:
    key, certificate = "/etc/ovn-test/key.pem", "/etc/ovn-test/cert.pem"
    host.run(["mkdir", "-p", "/etc/ovn-test"])
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=both"]
    host.run([*made, "-keyout", key, "-out", certificate])
    files = {"private_key": key, "certificate": certificate, "ca_cert": certificate}
    before = ids(host)
    ovn.start(host)
    host.apply("ovn_database", {"southbound": ["pssl:6642:127.0.0.1"], "ssl": files})
    host.apply("ovn_chassis", {**CHASSIS, "remotes": ["ssl:127.0.0.1:6642"], "ssl": files})
    host.run(["systemctl", "enable", "--now", "--quiet", "ovn-host"])
    wait(lambda: chassis(host) == ["kvm1"], "the chassis by TLS")
    host.apply("ovn_chassis", {"state": "absent"})
    assert chassis(host) == [] and ids(host) == before
    assert "Private key" not in host.run(["ovs-vsctl", "get-ssl"])
    host.apply("ovn_database", {"state": "absent"})
    assert not host.run(["ovn-sbctl", "get-ssl"]).strip() or "none" in host.run(["ovn-sbctl", "get-ssl"])
    host.run(["rm", "-r", "/etc/ovn-test"])


def test_a_chassis_with_another_hosts_certificate_writes_nothing(host: Host) -> None:
    folder, before = "/etc/ovn-test", ids(host)
    host.run(["mkdir", "-p", folder])
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    for name in ("ca", "kvm9", "kvm1"):
        signed = [] if name == "ca" else ["-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key"]
        host.run(
            [*made, "-subj", f"/CN={name}", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem", *signed]
        )

    def files(name: str) -> dict[str, str]:
        return {
            "private_key": f"{folder}/{name}.key",
            "certificate": f"{folder}/{name}.pem",
            "ca_cert": f"{folder}/ca.pem",
        }

    def said() -> str:
        return host.run(["cat", "/var/log/ovn/ovn-controller.log"], ok=None)

    ovn.start(host)
    listens = host.apply("ovn_database", {"southbound_rbac": ["pssl:16642:127.0.0.1"], "ssl": files("kvm9")})
    told = listens["databases"]["southbound"]["listeners"]["pssl:16642:127.0.0.1"]
    assert told == {"inactivity_probe": None, "owner": "overloom.fabric", "role": "ovn-controller"}
    host.run(["rm", "-f", "/var/log/ovn/ovn-controller.log"])
    host.apply("ovn_chassis", {**CHASSIS, "remotes": ["ssl:127.0.0.1:16642"], "ssl": files("kvm9")})
    host.run(["systemctl", "enable", "--now", "--quiet", "ovn-host"])
    refused = r"RBAC rules for client \"kvm9\" role \"ovn-controller\" prohibit row insertion into table"
    wait(lambda: refused in said(), "the refusal of another name's chassis", look=said)
    assert chassis(host) == []
    # The same with its own certificate, which a connection that stands does not ask for again.
    host.apply("ovn_chassis", {**CHASSIS, "remotes": ["ssl:127.0.0.1:16642"], "ssl": files("kvm1")})
    host.run(["systemctl", "restart", "ovn-controller"])
    wait(lambda: chassis(host) == ["kvm1"], "the chassis with its own certificate", look=said)
    # It goes as it came, and takes its row along.
    host.apply("ovn_chassis", {"state": "absent"})
    assert chassis(host) == [] and ids(host) == before
    host.apply("ovn_database", {"state": "absent"})
    host.run(["rm", "-r", folder])


def test_a_chassis_of_others_is_not_touched(host: Host) -> None:
    host.run(["ovs-vsctl", "set", "Open_vSwitch", ".", "external_ids:ovn-remote=tcp:192.0.2.9:6642"])
    before = ids(host)
    assert not host.module("ovn_chassis", {"state": "absent"})["changed"]
    refused = host.module("ovn_chassis", CHASSIS, ok=False)
    assert "chassis is not ours and is in use (ovn-remote tcp:192.0.2.9:6642)" in refused["msg"] and ids(host) == before
    host.apply("ovn_chassis", {"remotes": ["tcp:192.0.2.1:6642"], "owner": "a", "adopt": True})
    assert "belongs to the owner a" in host.module("ovn_chassis", CHASSIS, ok=False)["msg"]
    assert not host.module("ovn_chassis", {"state": "absent", "owner": "b"})["changed"]
    host.apply("ovn_chassis", {"state": "absent", "owner": "a"})
    assert ids(host) == before
    host.run(["ovs-vsctl", "remove", "Open_vSwitch", ".", "external_ids", "ovn-remote"])


def test_cms_options_of_others_stay(host: Host) -> None:
    host.run(["ovs-vsctl", "set", "Open_vSwitch", ".", "external_ids:ovn-cms-options=a,b"])
    host.apply("ovn_chassis", {"gateway": True, "adopt": True})
    assert ids(host)["ovn-cms-options"] == "a,b,enable-chassis-as-gw"
    host.apply("ovn_chassis", {"state": "absent"})
    assert ids(host)["ovn-cms-options"] == "a,b"
    host.run(["ovs-vsctl", "remove", "Open_vSwitch", ".", "external_ids", "ovn-cms-options"])


def test_listeners_of_others_stay_and_wrong_ones_are_told(host: Host) -> None:
    ovn.start(host)
    host.run(["ovn-sbctl", "set-connection", "ptcp:16642:127.0.0.1"])
    host.apply("ovn_database", {"southbound": ["ptcp:6642:127.0.0.1"], "northbound": ["ptcp:6641:127.0.0.1"]})
    ports = {":16642", ":6642", ":6641"}
    wait(
        lambda: (
            ports <= {line.split()[3].replace("127.0.0.1", "") for line in host.run(["ss", "-tln"]).splitlines()[1:]}
        ),
        "a listener",
    )
    missing = host.module("ovn_database", {"southbound": ["ptcp:6642:198.51.100.7"]}, ok=False)
    assert "southbound: ptcp:6642:198.51.100.7 is not listened on" in missing["msg"]
    wrong = host.module("ovn_database", {"southbound": ["tcp:192.0.2.1:6642"]}, ok=False)
    assert "southbound holds 'tcp:192.0.2.1:6642'; give where the server listens" in wrong["msg"]
    half = host.module("ovn_database", {"ssl": {"private_key": "/etc/k"}}, ok=False)
    assert "ssl: certificate and ca_cert is missing" in half["msg"]
    host.apply("ovn_database", {"state": "absent"})
    kept = json.loads(host.run(["ovn-sbctl", "--format=json", "--columns=target", "list", "Connection"]))["data"]
    assert kept == [["ptcp:16642:127.0.0.1"]]

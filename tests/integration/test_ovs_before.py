# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridges, ports, tunnels and flows that others made and use: refused, shared, adopted and given back, on a real Open vSwitch."""

from __future__ import annotations

import typing as t

import pytest
from harness import wait
from ovs import bridges, column, ports

if t.TYPE_CHECKING:
    from harness import Host

FOREIGN_FLOWS = ["cookie=0xc0ffee,priority=9,ip actions=drop", "cookie=0xc0ffee,priority=7,arp actions=NORMAL"]
# What the plan says of a bridge for which the intent says nothing.
FROM_PLAN = {
    "name": "br-int",
    "datapath_type": "netdev",
    "rstp": False,
    "fail_mode": "",
    "flow_tables": [],
    "flood_vlans": [],
}


def flows(host: Host, bridge: str = "br-int") -> list[str]:
    """The bridge's flows, without counters."""
    lines = host.run(["ovs-ofctl", "-O", "OpenFlow15", "dump-flows", bridge, "--no-stats"]).splitlines()
    return sorted(line.strip().replace(" reset_counts", "").replace(", ", ",", 1) for line in lines)


def fingerprint(host: Host) -> t.Any:
    """All that the database and the switch hold of br-int."""
    names = [
        "name",
        "fail_mode",
        "datapath_type",
        "controller",
        "external_ids",
        "other_config",
        "mirrors",
        "stp_enable",
        "protocols",
    ]
    bridge = {name: column(host, "Bridge", "br-int", name) for name in names}
    bridge["controllers"] = host.run(["ovs-vsctl", "get-controller", "br-int"]).split()
    bridge.pop("controller")
    held = {}
    for port in ports(host, "br-int"):
        held[port] = [column(host, "Port", port, name) for name in ("tag", "trunks", "external_ids")]
    groups = host.run(["ovs-ofctl", "-O", "OpenFlow15", "dump-groups", "br-int"]).splitlines()[1:]
    return bridge, held, flows(host), groups


@pytest.fixture
def neutron(host: Host) -> Host:
    """A host with a br-int as a controller leaves it: secure, with flows, a group and a port of its own."""
    host.run(
        "ovs-vsctl add-br br-int -- set Bridge br-int datapath_type=netdev fail_mode=secure external_ids:ovn-nb_cfg=7".split()
    )
    host.run(
        "ovs-vsctl add-port br-int tap1 -- set Interface tap1 type=internal external_ids:iface-id=vm1 -- set Port tap1 tag=5".split()
    )
    for flow in FOREIGN_FLOWS:
        host.run(["ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br-int", flow.replace(" actions", ",actions")])
    host.run(["ovs-ofctl", "-O", "OpenFlow15", "add-group", "br-int", "group_id=7,type=all,bucket=output:LOCAL"])
    return host


def test_the_plan_names_a_bridge_that_a_controller_runs_and_nothing_of_it_is_changed(neutron: Host) -> None:
    before = fingerprint(neutron)
    for check in (True, False):
        said = neutron.module("ovs_bridge", FROM_PLAN, check=check, ok=False)
        assert (
            "bridge br-int is not ours and is in use (fail_mode secure" in said["msg"]
            and "its fail_mode would be emptied" in said["msg"]
        )
        assert (
            "2 flows with cookie 0xc0ffee" in said["msg"] and "choose another name, or give adopt: true" in said["msg"]
        )
        assert said["commands"] == [] and not said["changed"]
    assert fingerprint(neutron) == before


@pytest.mark.parametrize(
    "option",
    [
        {"fail_mode": "standalone"},
        {"stp": True},
        {"datapath_type": "system"},
        {"controllers": [{"target": "ptcp:16653:127.0.0.1"}]},
        {"protocols": ["OpenFlow13"]},
        {"flood_vlans": [5]},
        {"netflow": {"targets": ["127.0.0.1:2055"]}},
        {"mac": "02:00:00:00:00:01"},
        {"ports": [{"name": "tap1", "tag": 6}]},
        {"ports": [{"name": "tap1", "trunks": [6]}]},
        {"ports": [{"name": "tap1", "protected": True}]},
        {"ports": [{"name": "br-int", "mtu": 1400}]},
    ],
    ids=str,
)
def test_a_change_of_what_others_set_or_use_is_refused_and_names_the_option(
    neutron: Host, option: dict[str, t.Any]
) -> None:
    before = fingerprint(neutron)
    name = next(iter(option)) if "ports" not in option else list(option["ports"][0])[-1]
    said = neutron.module("ovs_bridge", {"name": "br-int", **option}, ok=False)["msg"]
    assert f"its {name}" in said and said.endswith("choose another name, or give adopt: true to take it over")
    assert fingerprint(neutron) == before


def test_what_is_left_out_or_already_so_is_no_change_of_a_foreign_bridge(neutron: Host) -> None:
    assert not neutron.apply(
        "ovs_bridge", {"name": "br-int", "fail_mode": "secure", "ports": [{"name": "tap1", "tag": 5}]}
    )["changed"]


def test_own_ports_tunnels_mirrors_and_marks_come_and_go_on_a_foreign_bridge(neutron: Host) -> None:
    before = fingerprint(neutron)
    own = {"name": "ours0", "type": "internal", "tag": 30}
    neutron.apply("ovs_bridge", {"name": "br-int", "ports": [own]})
    neutron.apply(
        "ovs_tunnel",
        {"bridge": "br-int", "name": "gre0", "type": "gre", "remote_ip": "192.0.2.9", "check_route": False},
    )
    mirror = {"name": "ours", "select_all": True, "output_vlan": 9}
    neutron.apply(
        "ovs_bridge", {"name": "br-int", "mirrors": [mirror], "external_ids": {"ovn-nb_cfg": "7", "note": "x"}}
    )
    assert column(neutron, "Port", "ours0", "tag") == 30 and flows(neutron) == sorted(FOREIGN_FLOWS)
    assert "overloom-owner" not in column(neutron, "Bridge", "br-int", "external_ids")
    neutron.apply("ovs_tunnel", {"tunnels": [], "purge": True})
    neutron.apply("ovs_bridge", {"bridges": [], "purge": True})
    assert fingerprint(neutron) == before


def test_an_adopted_bridge_keeps_its_flows_and_is_given_back_with_its_settings(neutron: Host) -> None:
    before = fingerprint(neutron)
    args = {
        **FROM_PLAN,
        "fail_mode": "standalone",
        "stp": True,
        "adopt": True,
        "ports": [{"name": "ours0", "type": "internal"}, {"name": "tap1", "tag": 6}],
    }
    done = neutron.apply("ovs_bridge", args)
    assert done["bridges"][0]["owner"] == "overloom.fabric" and done["bridges"][0]["adopted"]
    held = fingerprint(neutron)
    assert set(FOREIGN_FLOWS) < set(held[2]) and held[3] == before[3], (
        "a change of fail_mode drops all flows in Open vSwitch"
    )
    assert column(neutron, "Port", "tap1", "tag") == 6
    neutron.run(["systemctl", "restart", "openvswitch-switch"])
    neutron.reboot()
    done = neutron.apply("ovs_bridge", {"bridges": [], "purge": True})
    assert done["changed"] and bridges(neutron) == ["br-int"]
    after = fingerprint(neutron)
    # What a controller keeps in the switch's memory comes back by the controller.
    assert after[:2] == before[:2]
    assert not neutron.apply("ovs_bridge", {"bridges": [], "purge": True})["changed"]


def test_what_is_saved_on_bridges_of_others_is_what_runs_after_a_restart_and_a_reboot(neutron: Host) -> None:
    """All kinds of changes at once: each is there after a restart of Open vSwitch and a reboot, and gone after the return, for good."""
    neutron.run(["ovs-vsctl", "set-controller", "br-int", "ptcp:16653:127.0.0.1"])
    neutron.run("ovs-vsctl add-port br-int tap2 -- set Interface tap2 type=internal".split())
    neutron.run(
        "ovs-vsctl add-port br-int ovn-1 -- set Interface ovn-1 type=geneve options:remote_ip=192.0.2.5 options:key=flow".split()
    )
    before, options = fingerprint(neutron), column(neutron, "Interface", "ovn-1", "options")
    tunnel = {"bridge": "br-int", "name": "ovn-1", "type": "geneve", "remote_ip": "192.0.2.6", "check_route": False}
    tasks: list[tuple[str, dict[str, t.Any]]] = [
        (
            "ovs_bridge",
            {
                "name": "br-int",
                "fail_mode": "standalone",
                "mac": "02:00:00:00:00:01",
                "controllers": [{"target": "ptcp:16654:127.0.0.1"}],
                "mirrors": [{"name": "ours", "select_all": True, "output_vlan": 9}],
                "ports": [{"name": "ours0", "type": "internal", "tag": 30}, {"name": "tap1", "tag": 6}],
                "adopt": True,
            },
        ),
        ("ovs_bridge", {"name": "br0", "datapath_type": "netdev", "ports": [{"name": "tap2"}], "adopt": True}),
        ("ovs_tunnel", {**tunnel, "adopt": True}),
        ("ovs_flow", {"bridge": "br-int", "match": {"arp": True}, "priority": 33, "actions": ["normal"]}),
    ]
    for module, arguments in tasks:
        assert neutron.apply(module, arguments)["changed"]
    saved = fingerprint(neutron)[:2]
    for event in (lambda: neutron.run(["systemctl", "restart", "openvswitch-switch"]), neutron.reboot):
        event()
        neutron.run(["systemctl", "is-system-running", "--wait"], ok=None)
        assert fingerprint(neutron)[:2] == saved
        # A service of its own puts them back, after the switch has started.
        wait(lambda: any("priority=33,arp" in flow for flow in flows(neutron)), "the flow that is kept")
        for module, arguments in tasks:
            assert not neutron.module(module, arguments, check=True)["changed"], module
    for module, purged in (
        ("ovs_flow", {"bridge": "br-int", "flows": []}),
        ("ovs_tunnel", {"tunnels": []}),
        ("ovs_bridge", {"bridges": []}),
    ):
        neutron.apply(module, {**purged, "purge": True})
    for _again in range(2):
        assert fingerprint(neutron)[:2] == before[:2] and bridges(neutron) == ["br-int"]
        assert column(neutron, "Interface", "ovn-1", "options") == options
        assert not any("priority=33,arp" in flow for flow in flows(neutron))
        neutron.run(["systemctl", "restart", "openvswitch-switch"])


def test_teardown_right_after_adoption_gives_back_the_flows_too(neutron: Host) -> None:
    before = fingerprint(neutron)
    neutron.apply("ovs_bridge", {"name": "br-int", "fail_mode": "standalone", "adopt": True})
    said = neutron.module("ovs_bridge", {"name": "br-int", "state": "absent"})
    assert "given back, not removed" in said["warnings"][0]
    assert fingerprint(neutron) == before
    again = neutron.module("ovs_bridge", {"name": "br-int", "state": "absent"}, ok=False)
    assert "bridge br-int was not made by this collection and stays" in again["msg"]
    assert fingerprint(neutron) == before
    refused = neutron.module("ovs_bridge", {"name": "br-int", "state": "absent", "adopt": True}, check=True)
    assert refused["changed"], "adopt removes it all the same"


def test_an_empty_value_on_an_adopted_bridge_leaves_what_others_set_and_takes_back_what_we_set(neutron: Host) -> None:
    before = fingerprint(neutron)
    neutron.apply("ovs_bridge", {**FROM_PLAN, "adopt": True})
    assert column(neutron, "Bridge", "br-int", "fail_mode") == "secure" and flows(neutron) == sorted(FOREIGN_FLOWS)
    neutron.apply("ovs_bridge", {"name": "br-int", "mac": "02:00:00:00:00:01", "fail_mode": "standalone"})
    neutron.apply("ovs_bridge", {"name": "br-int", "mac": "", "fail_mode": ""})
    assert (
        column(neutron, "Bridge", "br-int", "fail_mode") == "secure"
        and column(neutron, "Bridge", "br-int", "other_config") == {}
    )
    neutron.apply("ovs_bridge", {"bridges": [], "purge": True})
    assert fingerprint(neutron) == before


def test_controllers_of_an_adopted_bridge_come_back(neutron: Host) -> None:
    neutron.run(
        "ovs-vsctl set-controller br-int ptcp:16653:127.0.0.1 -- set Controller br-int max_backoff=2000 external_ids:a=b".split()
    )
    before = fingerprint(neutron)
    assert "controller ptcp:16653:127.0.0.1" in neutron.module("ovs_bridge", FROM_PLAN, ok=False)["msg"]
    neutron.apply("ovs_bridge", {"name": "br-int", "adopt": True, "controllers": [{"target": "ptcp:16654:127.0.0.1"}]})
    assert neutron.run(["ovs-vsctl", "get-controller", "br-int"]).split() != before[0]["controllers"]
    neutron.apply("ovs_bridge", {"bridges": [], "purge": True})
    assert fingerprint(neutron) == before
    assert column(neutron, "Controller", "br-int", "max_backoff") == 2000 and column(
        neutron, "Controller", "br-int", "external_ids"
    ) == {"a": "b"}


def test_adoption_of_one_port_marks_the_port_and_not_the_bridge(neutron: Host) -> None:
    before = fingerprint(neutron)
    neutron.apply("ovs_bridge", {"name": "br-int", "adopt": True, "ports": [{"name": "tap1", "tag": 6}]})
    assert column(neutron, "Port", "tap1", "external_ids")["overloom-owner"] == "overloom.fabric"
    assert not any(key.startswith("overloom") for key in column(neutron, "Bridge", "br-int", "external_ids"))
    neutron.module("ovs_bridge", {"name": "br-int", "ports": [{"name": "tap1", "state": "absent"}]})
    assert fingerprint(neutron) == before
    neutron.apply("ovs_bridge", {"name": "br-int", "adopt": True, "ports": [{"name": "tap1", "state": "absent"}]})
    assert ports(neutron, "br-int") == []
    assert not any(key.startswith("overloom") for key in column(neutron, "Bridge", "br-int", "external_ids"))
    # What is saved of it is what runs after a restart of the daemon and of the host.
    neutron.run("ovs-vsctl add-port br-int tap2 -- set interface tap2 type=internal".split())
    adopted = {"name": "br-int", "ports": [{"name": "tap2", "tag": 6}]}
    neutron.apply("ovs_bridge", {**adopted, "adopt": True})
    for again in (lambda: neutron.run(["systemctl", "restart", "openvswitch-switch"]), neutron.reboot):
        again()
        assert not neutron.module("ovs_bridge", adopted)["changed"]
        assert column(neutron, "Port", "tap2", "tag") == 6
        assert not any(key.startswith("overloom") for key in column(neutron, "Bridge", "br-int", "external_ids"))
    neutron.module("ovs_bridge", {"name": "br-int", "ports": [{"name": "tap2", "state": "absent"}]})
    assert column(neutron, "Port", "tap2", "tag") == [] and not column(neutron, "Port", "tap2", "external_ids")


def test_a_foreign_port_moves_to_our_bridge_only_when_adopted_and_goes_back(neutron: Host) -> None:
    before = fingerprint(neutron)
    args = {"name": "br0", "datapath_type": "netdev", "ports": [{"name": "tap1"}]}
    assert (
        "port tap1 of bridge br-int is not ours, and it would move to bridge br0"
        in neutron.module("ovs_bridge", args, ok=False)["msg"]
    )
    neutron.apply("ovs_bridge", {**args, "adopt": True})
    assert ports(neutron, "br0") == ["tap1"] and ports(neutron, "br-int") == []
    neutron.apply("ovs_bridge", {"bridges": [], "purge": True})
    assert bridges(neutron) == ["br-int"] and fingerprint(neutron) == before


def test_a_foreign_tunnel_is_changed_only_when_adopted_and_is_given_back(neutron: Host) -> None:
    neutron.run(
        "ovs-vsctl add-port br-int ovn-1 -- set Interface ovn-1 type=geneve options:remote_ip=192.0.2.5 options:key=flow".split()
    )
    before, options = fingerprint(neutron), column(neutron, "Interface", "ovn-1", "options")
    args = {"bridge": "br-int", "name": "ovn-1", "type": "geneve", "remote_ip": "192.0.2.6", "check_route": False}
    said = neutron.module("ovs_tunnel", args, ok=False)["msg"]
    assert "port ovn-1 of bridge br-int is not ours, and its remote_ip would be changed" in said
    neutron.apply("ovs_tunnel", {**args, "adopt": True})
    assert column(neutron, "Interface", "ovn-1", "options") == {"remote_ip": "192.0.2.6", "key": "flow"}
    neutron.apply("ovs_tunnel", {"tunnels": [], "purge": True})
    assert column(neutron, "Interface", "ovn-1", "options") == options and fingerprint(neutron) == before
    assert not column(neutron, "Interface", "ovn-1", "external_ids")


def test_a_fresh_bridge_made_by_hand_is_configured_without_adoption(host: Host) -> None:
    host.run("ovs-vsctl add-br br-int -- set Bridge br-int datapath_type=netdev fail_mode=standalone".split())
    before = fingerprint(host)
    host.apply("ovs_bridge", {**FROM_PLAN, "fail_mode": "secure", "ports": [{"name": "ours0", "type": "internal"}]})
    host.apply("ovs_bridge", {**FROM_PLAN, "stp": True, "ports": [{"name": "ours0", "type": "internal", "tag": 4}]})
    host.apply("ovs_bridge", {"bridges": [], "purge": True})
    assert fingerprint(host) == before


def test_flows_of_others_on_our_bridge_outlive_what_drops_all_flows(host: Host) -> None:
    host.apply("ovs_bridge", {"name": "br-int", "datapath_type": "netdev"})
    host.run(["ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br-int", "cookie=0x5,priority=3,ip,actions=drop"])
    host.run(["ovs-ofctl", "-O", "OpenFlow15", "add-meter", "br-int", "meter=3,kbps,band=type=drop,rate=100"])
    host.apply("ovs_flow", {"bridge": "br-int", "match": {"arp": True}, "actions": ["normal"]})
    wanted = set(flows(host)) - {"priority=0 actions=NORMAL"}
    controllers = [{"controllers": [{"target": target}]} for target in ("ptcp:16653:127.0.0.1", "tcp:127.0.0.1:16653")]
    steps = ({"fail_mode": "secure"}, *controllers, {"controllers": []}, {"fail_mode": ""})
    for option in steps:
        host.apply("ovs_bridge", {"name": "br-int", **option})
        assert wanted <= set(flows(host)), option
        assert "meter=3" in host.run(["ovs-ofctl", "-O", "OpenFlow15", "dump-meters", "br-int"]), option
        assert ("priority=0 actions=NORMAL" in flows(host)) == (option == {"fail_mode": ""}), option


def test_the_infos_tell_who_uses_a_bridge_before_it_is_touched(neutron: Host) -> None:
    (bridge,) = neutron.module("ovs_bridge_info", {"name": "br-int"})["bridges"]
    assert bridge["owner"] is None and not bridge["adopted"]
    assert bridge["users"] == [
        "fail_mode secure",
        "external_ids ovn-nb_cfg",
        "port tap1",
        "2 flows with cookie 0xc0ffee",
    ]
    neutron.run(["ovs-vsctl", "add-br", "fresh", "--", "set", "Bridge", "fresh", "datapath_type=netdev"])
    neutron.module(
        "ovs_bridge", {"name": "ours", "datapath_type": "netdev", "ports": [{"name": "p", "type": "internal"}]}
    )
    for name in ("fresh", "ours"):
        (bridge,) = neutron.module("ovs_bridge_info", {"name": name})["bridges"]
        assert bridge["users"] == [], name


def test_a_setting_of_the_switch_that_others_made_is_changed_only_when_adopted_and_comes_back(host: Host) -> None:
    host.run(
        ["ovs-vsctl", "set", "Open_vSwitch", ".", "other_config:max-idle=20000", "external_ids:ovn-encap-ip=192.0.2.1"]
    )
    before = [column(host, "Open_vSwitch", ".", name) for name in ("other_config", "external_ids")]
    try:
        for option, said in (
            ({"max_idle": 30000}, "max_idle"),
            ({"external_ids": {"ovn-encap-ip": "192.0.2.2"}}, "external_ids ovn-encap-ip"),
        ):
            failed = host.module("ovs_switch", option, ok=False)["msg"]
            assert (
                failed
                == f"switch is not ours, and its {said} would be changed; leave the option out, or give adopt: true to take it over"
            )
        assert "max_idle was set by others and stays" in host.module("ovs_switch", {"max_idle": ""})["warnings"][0]
        host.apply("ovs_switch", {"max_idle": 30000, "adopt": True})
        host.apply("ovs_switch", {"max_idle": 40000, "flow_limit": 1000})
        assert column(host, "Open_vSwitch", ".", "other_config")["max-idle"] == "40000"
        host.apply("ovs_switch", {"max_idle": "", "flow_limit": ""})
        held = [column(host, "Open_vSwitch", ".", name) for name in ("other_config", "external_ids")]
        assert "overloom-before:overloom.fabric" not in held[1], "an empty record stays"
        assert held == before
    finally:
        for name in (
            "other_config max-idle",
            "external_ids ovn-encap-ip",
            'external_ids "overloom-before:overloom.fabric"',
        ):
            host.run(["ovs-vsctl", "remove", "Open_vSwitch", ".", *name.split()])


def test_a_switch_of_a_container_is_told_by_its_process(host: Host) -> None:
    """Such as a Kubernetes network runs in the host's network; its program here only has the name."""
    assert host.module("host_info")["ovs_contained"] is None
    program = "cp /bin/sleep /run/ovs-vswitchd; mount -t tmpfs none /run/openvswitch; exec /run/ovs-vswitchd 300"
    pid = host.run(["sh", "-c", f"unshare --mount sh -c '{program}' >/dev/null 2>&1 & echo $!"]).strip()
    try:
        assert str(wait(lambda: host.module("host_info")["ovs_contained"], "the switch")) == pid
    finally:
        host.run(["kill", pid])


def test_ovs_ctl_restart_by_hand_leaves_a_switch_that_runs(host: Host) -> None:
    # systemd may start the database between ovs-ctl's own steps, and ovs-ctl then waits for ever; as a person would, it is tried again.
    # And where systemd has started the switch itself, nothing would be tried here.
    restart = (
        "timeout --kill-after=5 30 /usr/share/openvswitch/scripts/ovs-ctl restart --system-id=random >/dev/null 2>&1"
        " && ! systemctl --quiet is-active ovs-vswitchd"
    )
    host.run(["sh", "-c", f"for try in 1 2 3 4 5; do {restart} && exit; done; exit 1"], timeout=240)
    try:
        assert host.module("host_info")["ovs_running"]
        host.apply("ovs_bridge", {"name": "br0", "datapath_type": "netdev"})
        host.apply("ovs_flow", {"bridge": "br0", "flow": "arp,actions=drop"})
        host.run(["/usr/share/openvswitch/scripts/ovs-ctl", "stop"])
        assert not host.module("host_info")["ovs_running"]
    finally:
        host.run(["/usr/share/openvswitch/scripts/ovs-ctl", "stop"])
        host.run(["systemctl", "restart", "ovsdb-server", "ovs-vswitchd", "openvswitch-switch"])

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils import _host as host


def test_a_distribution_is_known_by_what_it_is_like():
    text = 'NAME="Oracle Linux Server"\nID="ol"\nID_LIKE="fedora rhel"\nVERSION_ID="9.4"\n# a comment=1\n'
    assert host.parse_os_release(text) == {"id": "ol", "like": ["fedora", "rhel"], "version": "9.4"}


def test_the_default_route_is_found_and_no_other():
    text = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"
    )
    assert host.parse_routes(text) == [{"interface": "eth0", "gateway": "192.0.2.1"}]


def test_an_ipv6_default_route_counts_too_and_the_kernels_unreachable_one_does_not():
    zero, gateway = "0" * 32, "fe80000000000000000000000000fffe"
    text = (
        f"20010db8000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth1\n"
        f"{zero} 00 {zero} 00 {gateway} 00000400 00000001 00000000 00000003     eth0\n"
        f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n"
    )
    assert host.parse_routes6(text) == [{"interface": "eth0", "gateway": "fe80::fffe"}]


def test_the_address_that_ssh_came_to_is_found_although_sudo_hides_it():
    above = [
        b"PATH=/bin\0SUDO_USER=me\0",
        b"SSH_CONNECTION=192.0.2.9 50000 192.0.2.1 22\0HOME=/\0",
        b"SSH_CONNECTION=a b c d\0",
    ]
    assert host.ssh_address(above) == "192.0.2.1"
    assert host.ssh_address([b"SSH_CONNECTION=fe80::9%eth0 50000 fe80::1%eth0 22\0"]) == "fe80::1"
    assert host.ssh_address([b"PATH=/bin\0"]) is None


def test_the_interface_of_an_address_is_found_in_both_families():
    inet6 = (
        "fe800000000000000000000000000001 02 40 20 80     eth7\n00000000000000000000000000000001 01 80 10 80       lo\n"
    )
    assert host.interface_of("127.0.0.1", ["lo"], "") == "lo"
    assert host.interface_of("::ffff:127.0.0.1", ["lo"], "") == "lo"
    assert host.interface_of("192.0.2.1", ["lo"], inet6) is None
    assert host.interface_of("fe80::1", [], inet6) == "eth7"


def test_the_environments_go_from_this_process_up_to_the_first_that_cannot_be_read():
    found = list(host.parent_environments())
    with open("/proc/self/environ", "rb") as stream:
        assert found[0] == stream.read()
    assert list(host.parent_environments("/nowhere")) == []


def test_an_interface_says_whether_it_answers_for_every_address(tmp_path):
    for name, ignore in (("eth0", None), ("eth1", "1")):
        folder = tmp_path / "sys/class/net" / name
        folder.mkdir(parents=True)
        (folder / "mtu").write_text("1500\n")
        (folder / "operstate").write_text("up\n")
        if ignore:
            (tmp_path / "proc/sys/net/ipv4/conf" / name).mkdir(parents=True)
            (tmp_path / "proc/sys/net/ipv4/conf" / name / "arp_ignore").write_text(ignore + "\n")
    found = host.read_interfaces(str(tmp_path))
    assert {name: (item["up"], item["arp_ignore"]) for name, item in found.items()} == {
        "eth0": (True, 0),
        "eth1": (True, 1),
    }


def test_the_neighbor_tables_have_a_limit_each_or_are_unknown(tmp_path):
    assert host.neighbor_limits(str(tmp_path)) == {}
    for family, size in (("ipv4", 4096), ("ipv6", 1024)):
        folder = tmp_path / f"proc/sys/net/{family}/neigh/default"
        folder.mkdir(parents=True)
        (folder / "gc_thresh3").write_text(f"{size}\n")
    assert host.neighbor_limits(str(tmp_path)) == {"ipv4": 4096, "ipv6": 1024}


def test_a_unit_is_active_and_enabled_or_not_there():
    text = (
        "Id=a.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n"
        "Id=b.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n"
    )
    assert host.parse_units(text) == {
        "a.service": {"exists": True, "active": True, "enabled": True},
        "b.service": {"exists": False, "active": False, "enabled": False},
    }


@pytest.mark.parametrize(
    ("loaded", "builtin", "loadable", "capability", "expected"),
    [
        (True, False, False, 0, True),
        (False, True, False, 0, True),
        (False, False, True, 1 << host.CAP_SYS_MODULE, True),
        # A container sees the files of its machine's modules and cannot load them.
        (False, False, True, 0, False),
        (False, False, False, 1 << host.CAP_SYS_MODULE, False),
    ],
)
def test_a_kernel_module_is_there_when_loaded_built_in_or_loadable(
    tmp_path, loaded, builtin, loadable, capability, expected
):
    modules = tmp_path / "lib/modules" / os.uname().release
    modules.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text(f"Name:\tx\nCapEff:\t{capability:016x}\n")
    if loaded:
        (tmp_path / "sys/module/openvswitch").mkdir(parents=True)
    (modules / "modules.builtin").write_text("kernel/net/openvswitch/openvswitch.ko\n" if builtin else "")
    its_own, of_another = (
        "kernel/net/openvswitch/openvswitch.ko.xz: kernel/net/nsh/nsh.ko\n",
        "kernel/x/y.ko: kernel/net/openvswitch/openvswitch.ko\n",
    )
    (modules / "modules.dep").write_text(its_own if loadable else of_another)
    assert host.kernel_has_module("openvswitch", str(tmp_path)) is expected


def test_a_command_is_missing_only_when_no_folder_has_it():
    assert host.missing_commands(["ip", "sh", "no-such-command"]) == ["no-such-command"]


@pytest.mark.parametrize(
    ("network", "folder", "program", "found"),
    [
        ("host", "its own", "ovs-vswitchd", 7),
        ("host", "the host's", "ovs-vswitchd", None),
        ("another", "its own", "ovs-vswitchd", None),
        ("host", "", "ovs-vswitchd", None),
        ("host", "its own", "ovsdb-server", None),
    ],
)
def test_an_open_vswitch_of_a_container_is_seen_by_its_run_folder(
    tmp_path: pathlib.Path, network: str, folder: str, program: str, found: int | None
) -> None:
    proc, run = tmp_path / "proc", tmp_path / "run"
    run.mkdir()
    for name in ("host", "another"):
        (tmp_path / name).write_text("")
    for process in ("self", "7"):
        (proc / process / "ns").mkdir(parents=True)
    (proc / "self/ns/net").symlink_to(tmp_path / "host")
    (proc / "7/ns/net").symlink_to(tmp_path / network)
    (proc / "7/comm").write_text(f"{program}\n")
    inside = proc / "7" / f"root{run}"
    inside.parent.mkdir(parents=True)
    if folder == "its own":
        inside.mkdir()
    elif folder:
        inside.symlink_to(run)
    assert host.contained_switch(str(proc), str(run)) == found

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

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
def test_a_kernel_module_is_there_when_loaded_built_in_or_loadable(tmp_path, loaded, builtin, loadable, capability, expected):
    modules = tmp_path / "lib/modules" / os.uname().release
    modules.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text(f"Name:\tx\nCapEff:\t{capability:016x}\n")
    if loaded:
        (tmp_path / "sys/module/openvswitch").mkdir(parents=True)
    (modules / "modules.builtin").write_text("kernel/net/openvswitch/openvswitch.ko\n" if builtin else "")
    its_own, of_another = "kernel/net/openvswitch/openvswitch.ko.xz: kernel/net/nsh/nsh.ko\n", "kernel/x/y.ko: kernel/net/openvswitch/openvswitch.ko\n"
    (modules / "modules.dep").write_text(its_own if loadable else of_another)
    assert host.kernel_has_module("openvswitch", str(tmp_path)) is expected


def test_a_command_is_missing_only_when_no_folder_has_it():
    assert host.missing_commands(["ip", "sh", "no-such-command"]) == ["no-such-command"]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What frr_daemons does to a real FRR."""

from __future__ import annotations

import typing as t

import harness
import pytest
from harness import wait
from routers import daemons

pytestmark = pytest.mark.usefixtures("frr_stopped_afterwards")


@pytest.fixture(name="router")
def without_configuration(host: harness.Host) -> t.Iterator[harness.Host]:
    """A host with FRR's packages, and FRR not started."""
    host.run(["systemctl", "disable", "--now", "frr"], ok=None)
    host.run(["rm", "-rf", "/etc/frr", "/run/frr"])
    yield host
    # Other tests find FRR's folders as they are after a package's installation.
    host.run(["install", "-d", "-o", "frr", "-g", "frr", "-m", "0750", "/etc/frr", "/run/frr"])


def test_from_nothing_to_daemons_that_answer_and_are_there_after_a_restart(router: harness.Host) -> None:
    result = router.apply("frr_daemons", {"daemons": ["ospfd", "bfdd"]})
    assert {"ospfd", "bfdd", "zebra"} <= set(result["daemons"]) and result["active"] and result["enabled"]
    assert router.run(["stat", "--format=%U %G %a", "/etc/frr/daemons"]).split() == ["frr", "frr", "640"]
    again = router.module("frr_daemons", {"daemons": ["ospfd", "bfdd"]})
    assert not again["changed"] and again["spawned"] == 1
    router.run(["systemctl", "restart", "frr"])
    wait(lambda: {"ospfd", "bfdd"} <= daemons(router), "FRR's daemons")
    assert not router.module("frr_daemons", {"daemons": ["ospfd", "bfdd"]})["changed"]


def test_after_a_reboot_a_second_run_changes_nothing_whatever_rights_the_boot_gave_the_folder_of_sockets(
    router: harness.Host,
) -> None:
    options = {"interfaces": [{"name": "lo", "area": "0", "passive": True}]}
    router.apply("frr_daemons", {"daemons": ["ospfd"]})
    router.apply("frr_ospf", options)
    # Debian's tmpfiles.d makes it at each boot, with other rights than a package's installation.
    for rights in ("0755", "0750"):
        router.write("/etc/tmpfiles.d/frr.conf", f"d /run/frr {rights} frr frr -\n")
        router.reboot()
        wait(lambda: "ospfd" in daemons(router), "FRR's daemons")
        assert router.run(["stat", "--format=%a", "/run/frr"]).strip() == rights.lstrip("0")
        assert not router.module("frr_daemons", {"daemons": ["ospfd"]})["changed"]
        assert not router.module("frr_ospf", options)["changed"]
    router.run(["rm", "/etc/tmpfiles.d/frr.conf"])


def test_one_more_daemon_does_not_interrupt_those_that_run(router: harness.Host) -> None:
    router.apply("frr_daemons", {"daemons": ["ospfd"]})
    process = router.run(["cat", "/run/frr/ospfd.pid"])
    result = router.apply("frr_daemons", {"daemons": ["bgpd"]})
    assert {"ospfd", "bgpd"} <= set(result["daemons"])
    assert router.run(["cat", "/run/frr/ospfd.pid"]) == process
    # One that was killed by hand, with its supervisor stopped, is started again.
    router.run(["systemctl", "stop", "frr"])
    assert not router.module("frr_daemons", {"daemons": ["bgpd"]}, check=True)["active"]
    assert "bgpd" in router.apply("frr_daemons", {"daemons": ["bgpd"]})["daemons"]


def test_the_owner_and_the_lines_of_a_file_that_is_there_stay(router: harness.Host) -> None:
    router.run(["install", "-d", "-o", "frr", "-g", "frr", "-m", "0755", "/etc/frr"])
    router.write("/etc/frr/vtysh.conf", "username admin nopassword\n")
    router.run(["chown", "frr:frrvty", "/etc/frr/vtysh.conf"])
    router.write("/etc/frr/daemons", 'ospfd=no # not yet\nzebra_options="-A 127.0.0.1"\n')
    router.apply("frr_daemons", {"daemons": ["ospfd"]})
    assert router.run(["stat", "--format=%G", "/etc/frr/vtysh.conf"]).strip() == "frrvty"
    assert "username admin nopassword\n" in router.run(["cat", "/etc/frr/vtysh.conf"])
    assert router.run(["cat", "/etc/frr/daemons"]) == 'ospfd=yes\nzebra_options="-A 127.0.0.1"\n'
    assert router.run(["stat", "--format=%a", "/etc/frr"]).strip() == "755"


def test_a_host_with_a_file_for_each_daemon_is_refused_and_told_how_to_go_on(router: harness.Host) -> None:
    router.run(["install", "-d", "-o", "frr", "-g", "frr", "-m", "0750", "/etc/frr"])
    router.write("/etc/frr/vtysh.conf", "no service integrated-vtysh-config\n")
    router.write("/etc/frr/staticd.conf", "ip route 192.0.2.0/24 blackhole\n")
    router.write("/etc/frr/daemons", 'ospfd=yes\nzebra_options="-A 127.0.0.1"\n')
    router.run(["chown", "-R", "frr:frr", "/etc/frr"])
    router.run(["install", "-d", "-o", "frr", "-g", "frr", "-m", "0755", "/run/frr"])
    router.run(["systemctl", "start", "frr"])
    wait(lambda: "ospfd" in daemons(router), "FRR's daemons")
    refused = router.module("frr_daemons", {"daemons": ["ospfd"]}, ok=False)
    assert "FRR keeps a file for each daemon here (/etc/frr/staticd.conf)" in refused["msg"]
    assert not router.exists("/etc/frr/frr.conf")
    # As it is told.
    router.write("/etc/frr/vtysh.conf", "service integrated-vtysh-config\n")
    router.run(["vtysh", "-c", "write integrated"])
    router.apply("frr_daemons", {"daemons": ["ospfd"]})
    router.run(["systemctl", "restart", "frr"])
    wait(lambda: "staticd" in daemons(router), "FRR's daemons")
    shown = ["vtysh", "-c", "show running-config"]
    wait(lambda: "ip route 192.0.2.0/24 blackhole" in router.run(shown, ok=None), "the route of the file")


def test_a_daemon_that_is_not_installed_is_refused_before_a_file_is_made(router: harness.Host) -> None:
    refused = router.module("frr_daemons", {"daemons": ["nosuchd"]}, ok=False)
    assert "FRR has no nosuchd in /usr/lib/frr here" in refused["msg"] and not router.exists("/etc/frr")

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kernel_sysctl does to the kernel of a real host, and to its files."""

from __future__ import annotations

import typing as t

import harness
import pytest

FILE = "/etc/sysctl.d/90-overloom-test.conf"
FORWARD = {"name": "test", "sysctls": {"net.ipv4.ip_forward": 1, "net/ipv4/ip_local_port_range": "20000\t60000"}}


def in_force(host: harness.Host, key: str) -> str:
    return " ".join(host.run(["sysctl", "-n", key]).split())


@pytest.fixture(autouse=True)
def as_before(host: harness.Host) -> t.Iterator[None]:
    """The kernel's values outlive a test."""
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
    yield
    host.run(["rm", "-f", FILE])


def test_parameters_are_set_changed_and_given_up(host: harness.Host) -> None:
    """Check mode foretells each; the file goes, and the value stays until the next boot."""
    host.apply("kernel_sysctl", FORWARD)
    assert in_force(host, "net.ipv4.ip_forward") == "1"
    assert in_force(host, "net.ipv4.ip_local_port_range") == "20000 60000"
    host.apply("kernel_sysctl", {"name": "test", "sysctls": {"net.ipv4.ip_forward": False}})
    assert in_force(host, "net.ipv4.ip_forward") == "0" and "port_range" not in host.run(["cat", FILE])
    host.apply("kernel_sysctl", {"name": "test", "state": "absent"})
    assert not host.exists(FILE)


@pytest.mark.parametrize("command", (["sysctl", "-qw", "net.ipv4.ip_forward=0"], ["sed", "-i", "$d", FILE]), ids=str)
def test_what_was_changed_by_hand_is_repaired(host: harness.Host, command: list[str]) -> None:
    host.apply("kernel_sysctl", FORWARD)
    host.run(command)
    assert host.apply("kernel_sysctl", FORWARD)["changed"]
    assert in_force(host, "net.ipv4.ip_forward") == "1"


def test_the_host_has_them_after_a_reboot(host: harness.Host) -> None:
    host.apply("kernel_sysctl", FORWARD)
    host.reboot()
    host.run(["systemctl", "is-system-running", "--wait"], ok=None)
    assert in_force(host, "net.ipv4.ip_forward") == "1"
    assert not host.module("kernel_sysctl", FORWARD)["changed"]


def test_a_parameter_that_the_kernel_lacks_is_refused_or_left_for_later(host: harness.Host) -> None:
    later = {"net.ipv4.ip_forward": 1, "net/ipv4/conf/later0.7/arp_ignore": 1}
    said = host.module("kernel_sysctl", {"name": "test", "sysctls": later}, ok=False)["msg"]
    assert said == (
        "sysctls: this kernel has no net/ipv4/conf/later0.7/arp_ignore; leave it out, load its module, or take optional=true"
    )
    assert not host.exists(FILE) and in_force(host, "net.ipv4.ip_forward") == "0"
    host.apply("kernel_sysctl", {"name": "test", "sysctls": later, "optional": True})
    assert "net/ipv4/conf/later0.7/arp_ignore = 1" in host.run(["cat", FILE])


@pytest.mark.parametrize("first", ("# made by hand", "# Made by overloom.fabric for other."))
def test_a_file_of_others_is_not_touched(host: harness.Host, first: str) -> None:
    host.write(FILE, f"{first}\nnet.ipv4.ip_forward = 0\n")
    for state in ({"sysctls": {"net.ipv4.ip_forward": 1}}, {"state": "absent"}):
        said = host.module("kernel_sysctl", {"name": "test", **state}, ok=False)["msg"]
        assert (
            said
            == f"{FILE} was not made for owner overloom.fabric; take another name, remove the file, or give adopt: true to take it over"
        )
    assert (
        host.run(["cat", FILE]) == f"{first}\nnet.ipv4.ip_forward = 0\n"
        and in_force(host, "net.ipv4.ip_forward") == "0"
    )


@pytest.mark.parametrize("first", ("# made by hand\n\n; a remark: ü", "# Made by overloom.fabric for other."))
def test_a_file_of_others_is_adopted_and_given_back_to_the_letter_also_after_a_reboot(
    host: harness.Host, first: str
) -> None:
    """Its values are in force again; what it did not state stays."""
    theirs = (
        f"{first}\nnet.ipv4.ip_forward = 0\n-net.ipv4.conf.*.arp_ignore=0\nnet/ipv4/ip_local_port_range = 30000\t50000"
    )
    host.write(FILE, theirs)
    host.run(["sysctl", "-q", "--load", FILE])
    host.apply("kernel_sysctl", {**FORWARD, "adopt": True})
    host.apply("kernel_sysctl", {"name": "test", "sysctls": {"net.ipv4.ip_forward": 1}})
    host.reboot()
    host.run(["systemctl", "is-system-running", "--wait"], ok=None)
    assert in_force(host, "net.ipv4.ip_forward") == "1"
    if "other" in first:
        # With adopt it goes as a whole.
        host.apply("kernel_sysctl", {"name": "test", "state": "absent", "adopt": True})
        assert not host.exists(FILE) and in_force(host, "net.ipv4.ip_forward") == "1"
        return
    absent = {"name": "test", "state": "absent"}
    foretold = host.module("kernel_sysctl", absent, check=True)
    given = host.module("kernel_sysctl", absent)
    assert given["commands"] == foretold["commands"]
    assert "was there before it was adopted: it is given back, not removed" in str(given["warnings"])
    assert host.run(["cat", FILE]) == theirs
    assert in_force(host, "net.ipv4.ip_forward") == "0"
    assert in_force(host, "net.ipv4.ip_local_port_range") == "30000 50000"


@pytest.mark.parametrize(
    ("options", "sentence"),
    (
        ({"name": "../x"}, "name: '../x' is no part of a file's name"),
        ({"sysctls": {}}, "sysctls: there is none; name some, or take state=absent"),
        ({"sysctls": {"forward": 1}}, "sysctls: 'forward' is no key; write it like net.ipv4.ip_forward"),
        ({"sysctls": {"net/../kernel/x": 1}}, "sysctls: 'net/../kernel/x' is no key"),
        ({"sysctls": {"net.ipv4.ip_forward": "1\n2"}}, "is no number or single line of text"),
        (
            {"sysctls": {"net.ipv4.ip_forward": 1, "net/ipv4/ip_forward": 0}},
            "sysctls: net/ipv4/ip_forward is declared twice, as 1 and as 0; leave one out",
        ),
    ),
    ids=str,
)
def test_a_wrong_input_gets_one_sentence(host: harness.Host, options: dict, sentence: str) -> None:
    assert sentence in host.module("kernel_sysctl", {**FORWARD, **options}, ok=False)["msg"]
    assert not host.exists(FILE)


def test_a_value_that_the_kernel_does_not_take_fails_the_task(host: harness.Host) -> None:
    said = host.module("kernel_sysctl", {"name": "test", "sysctls": {"net.ipv4.conf.lo.arp_ignore": "x"}}, ok=False)
    assert "arp_ignore" in said["msg"]


def test_a_file_of_others_that_overrules_at_boot_is_told(host: harness.Host) -> None:
    """Each time, until somebody corrects it; a reboot shows that it is true."""
    theirs = "/etc/sysctl.d/99-hardening.conf"
    host.run(["sh", "-c", f"echo net.ipv4.ip_forward=0 > {theirs}"])
    try:
        for changed in (True, False):
            result = host.module("kernel_sysctl", FORWARD)
            assert result["changed"] is changed
            assert [text for text in result["warnings"] if theirs in text and "until the next boot only" in text]
        host.run(["systemctl", "restart", "systemd-sysctl.service"])
        assert in_force(host, "net.ipv4.ip_forward") == "0"
    finally:
        host.run(["rm", theirs])
    assert host.apply("kernel_sysctl", FORWARD)["changed"]
    host.run(["systemctl", "restart", "systemd-sysctl.service"])
    assert in_force(host, "net.ipv4.ip_forward") == "1"

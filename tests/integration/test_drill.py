# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's part of a drill against real packets: what it measures while its cable is cut, and that the cut ends."""

from __future__ import annotations

import time
import typing as t

import harness
import pytest

PROBE = {"pair": "one other", "namespace": "one", "to": "10.9.1.2"}
WATCH: dict[str, t.Any] = {"probes": [PROBE], "seconds": 3, "lead": 3, "recovery": 30}
CUT = {**WATCH, "impairments": [{"name": "drill", "interface": "eth1"}]}


@pytest.fixture(name="sender")
def _sender(pair: tuple[harness.Host, harness.Host]) -> harness.Host:
    """A host with a namespace that reaches the other host by routing over the cable."""
    for number, one in enumerate(pair, 1):
        one.run(["ip", "address", "add", f"10.9.0.{number}/24", "dev", "eth1"])
        one.run(["ip", "link", "set", "eth1", "up"])
    first, second = pair
    first.run(["ip", "netns", "add", "one"])
    first.run(["ip", "link", "add", "v-one", "type", "veth", "peer", "name", "eth0", "netns", "one"])
    first.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    for words in (
        ["address", "add", "10.9.2.1/24", "dev", "v-one"],
        ["link", "set", "v-one", "up"],
        ["-n", "one", "address", "add", "10.9.2.2/24", "dev", "eth0"],
        ["-n", "one", "link", "set", "eth0", "up"],
        ["-n", "one", "route", "add", "default", "via", "10.9.2.1"],
    ):
        first.run(["ip", *words])
    second.run(["ip", "address", "add", "10.9.1.2/24", "dev", "eth1"])
    for to, via, one in (("10.9.2.0/24", "10.9.0.1", second), ("10.9.1.0/24", "10.9.0.2", first)):
        one.run(["ip", "route", "add", to, "via", via])
    return first


def test_a_cut_is_measured_and_ends(sender: harness.Host) -> None:
    """And without a cut, nothing is lost in the same time."""
    calm = sender.module("drill_watch", WATCH)
    assert calm["began"] is None and calm["observed"]["one other"]["outages"] == [], calm
    seen = sender.module("drill_watch", CUT)
    observed = seen["observed"]["one other"]
    assert observed["alive"] and seen["started"] < seen["began"]
    (outage,) = observed["outages"]
    # Three seconds, and what a busy machine adds.
    assert 2 < outage["seconds"] < 20 and -1 < outage["at"] - seen["began"] < 10, seen
    assert "overloom" not in sender.run(["nft", "list", "tables"])
    assert not sender.exists("/run/systemd/system/overloom-impair-drill.service")


def test_a_host_that_measures_nothing_does_not_wait_for_the_last_second(host: harness.Host) -> None:
    begun = time.monotonic()
    host.module("drill_watch", {"seconds": 1, "lead": 1, "recovery": 300})
    assert time.monotonic() - begun < 100


def test_check_mode_cuts_nothing(sender: harness.Host) -> None:
    seen = sender.module("drill_watch", CUT, check=True)
    assert seen["began"] is None and seen["observed"]["one other"]["lost"] == 0, seen


def test_a_cut_that_does_not_begin_is_an_error_and_leaves_nothing(sender: harness.Host) -> None:
    """Its unit fails as it starts: a cut that loses nothing would look like one that was survived."""
    drop_in = "/run/systemd/system/overloom-impair-drill.service.d"
    sender.run(["mkdir", "-p", drop_in])
    sender.write(f"{drop_in}/fail.conf", "[Service]\nExecStartPre=/bin/false\n")
    said = sender.module("drill_watch", CUT, ok=False)["msg"]
    sender.run(["rm", "-r", drop_in])
    assert said.startswith("the cut did not begin: Job for overloom-impair-drill.service failed"), said
    assert said.endswith("See journalctl -u overloom-impair-drill.service")
    assert "overloom" not in sender.run(["nft", "list", "tables"])
    assert not sender.exists("/run/systemd/system/overloom-impair-drill.service")


def test_a_router_that_does_not_run_is_not_started(host: harness.Host) -> None:
    host.run(["systemctl", "stop", "frr"], ok=None)
    said = host.module("drill_watch", {"router": True, "seconds": 1, "lead": 1}, ok=False)["msg"]
    assert said.startswith("FRR does not run on this host, so there is nothing to stop"), said
    assert host.run(["systemctl", "is-active", "frr"], ok=None).strip() != "active"
    assert not host.exists("/run/systemd/system/overloom-impair-drill-router.service")


@pytest.mark.parametrize("given", [{"lead": 0}, {"lead": 601}, {"recovery": -1}, {"recovery": 10**6}])
def test_nobody_waits_for_ever(host: harness.Host, given: dict[str, int]) -> None:
    (name,) = given
    said = host.module("drill_watch", {**WATCH, "probes": [], **given}, ok=False)["msg"]
    assert said.startswith(f"{name}: {given[name]} is not between "), said


def test_a_host_that_is_impaired_already_is_not_cut(sender: harness.Host) -> None:
    sender.module("link_impairment", {"name": "other", "interface": "eth1", "rate": "100mbit"})
    said = sender.module("drill_watch", CUT, ok=False)["msg"]
    assert said == "something is impaired on this host; end it with `impair.yml -e impair=off` first"
    sender.module("link_impairment", {"purge": True})

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What link_impairment does to packets, and that it always comes to an end: two hosts with a cable, and pings over it.

What needs netem is tried where the kernel has it; where it has not, the refusal is.
"""

from __future__ import annotations

import re
import time
import typing as t

import harness
import pytest

UNIT = "/run/systemd/system/overloom-impair-test.service"
CUT = {"name": "test", "interface": "eth1", "cut": True, "for": "60s"}
OTHER = {"source": "10.9.0.1", "destination": "10.9.0.99"}
ICMP = {"source": "10.9.0.1", "destination": "10.9.0.2", "protocol": 1}
HAS_NETEM = harness.execute(
    harness.privileged(["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem"]), None
).returncode == 0  # fmt: skip

Pair = t.Tuple[harness.Host, harness.Host]


@pytest.fixture(name="cable")
def _cable(pair: Pair) -> t.Iterator[Pair]:
    """Two hosts that reach each other over their cable."""
    for number, one in enumerate(pair, 1):
        one.run(["ip", "address", "add", f"10.9.0.{number}/24", "dev", "eth1"])
        one.run(["ip", "link", "set", "eth1", "up"])
    # A NIC that has just come up takes a moment.
    assert pair[0].answered("10.9.0.2")
    assert lost(pair[0], 3) == 0
    yield pair
    for one in pair:
        one.module("link_impairment", {"purge": True})


def lost(host: harness.Host, count: int, size: int = 56) -> int:
    """How many of some pings to the other host are not answered."""
    # ping waits for the last answer no longer than an interval.
    pings = ["ping", "-q", "-i", "0.02" if count > 10 else "0.2", "-W", "1", "-c", str(count), "-s", str(size)]
    said = host.run([*pings, "10.9.0.2"], ok=None)
    found = re.search(r"(\d+) received", said)
    assert found, said
    return count - int(found[1])


def traces(host: harness.Host) -> list[bool]:
    """Whether anything is left: of a unit, a table, a queueing discipline."""
    return [
        host.exists(UNIT),
        "overloom" in host.run(["nft", "list", "tables"]),
        "6f76:" in host.run(["tc", "qdisc", "show"]),
    ]


def wait_for_end(host: harness.Host, seconds: float) -> float:
    """Wait until a unit has ended; how long that took."""
    begun = time.monotonic()
    harness.wait(lambda: not host.exists(UNIT), "the end of the impairment", seconds)
    return time.monotonic() - begun


def test_a_cut_lasts_until_it_is_ended(cable: Pair) -> None:
    """Foretold, done, and the same again changes nothing; ended, everything is back."""
    first = cable[0]
    done = first.apply("link_impairment", CUT)
    assert done["impairments"][0]["effect"] == "cut" and 50 < done["impairments"][0]["left"] <= 60
    assert lost(first, 5) == 5
    first.apply("link_impairment", {"name": "test", "state": "absent"})
    assert lost(first, 5) == 0 and not any(traces(first))


def test_it_ends_by_itself(cable: Pair) -> None:
    first = cable[0]
    first.module("link_impairment", {**CUT, "for": "6s"})
    assert lost(first, 2) == 2
    wait_for_end(first, 60)
    assert lost(first, 5) == 0 and not any(traces(first))


def test_it_ends_when_somebody_kills_what_waits(cable: Pair) -> None:
    first = cable[0]
    first.module("link_impairment", {**CUT, "rate": "1mbit", "cut": False})
    assert traces(first) == [True, False, True]
    first.run(["systemctl", "kill", "--signal=KILL", "overloom-impair-test"])
    wait_for_end(first, 60)
    assert not any(traces(first))


def test_a_reboot_ends_it(cable: Pair) -> None:
    """Which is a real question in a lab, where the cables outlive a reboot."""
    first = cable[0]
    first.module("link_impairment", {**CUT, "cut": False, "loss": "50", "rate": "1mbit"})
    assert any(traces(first)[1:])
    first.reboot()
    assert not any(traces(first))


def test_only_what_matches_is_cut(cable: Pair) -> None:
    first = cable[0]
    first.apply("link_impairment", {**CUT, "matches": [OTHER]})
    assert lost(first, 5) == 0
    first.apply("link_impairment", {**CUT, "matches": [OTHER, ICMP]})
    assert lost(first, 5) == 5
    first.apply("link_impairment", {**CUT, "matches": [{**ICMP, "protocol": 17, "port": 4789}]})
    assert lost(first, 5) == 0


def test_some_of_the_packets_are_lost(cable: Pair) -> None:
    """Of 400 pings at 30 percent, 60 to 180 are more than six standard deviations around the mean."""
    first = cable[0]
    first.apply("link_impairment", {**CUT, "cut": False, "loss": "30"})
    assert 60 < lost(first, 400) < 180


def test_a_rate_holds_for_what_matches_and_for_nothing_else(cable: Pair) -> None:
    """20 packets of 1,400 bytes at 60 kbit/s take 3.7 s; without the rate, they take the 0.4 s of their intervals."""
    first = cable[0]
    rate = {**CUT, "cut": False, "rate": "60kbit"}

    def seconds() -> float:
        begun = time.monotonic()
        first.run(["ping", "-q", "-i", "0.02", "-c", "20", "-s", "1372", "-w", "20", "10.9.0.2"], ok=None)
        return time.monotonic() - begun

    first.apply("link_impairment", {**rate, "matches": [OTHER]})
    free = seconds()
    first.apply("link_impairment", {**rate, "matches": [ICMP]})
    held = seconds()
    assert held > free + 0.3, (free, held)


def test_delay_is_netems_or_refused_by_the_name_of_the_module(cable: Pair) -> None:
    first = cable[0]
    delay = {**CUT, "cut": False, "delay": "100ms", "jitter": "5ms", "duplicate": "1", "reorder": "5"}
    if HAS_NETEM:
        first.apply("link_impairment", delay)
        said = first.run(["ping", "-c", "3", "10.9.0.2"])
        assert all(float(one) > 90 for one in re.findall(r"time=([\d.]+)", said)[:1]), said
        return
    for check in (True, False):
        said = first.module("link_impairment", delay, check=check, ok=False)["msg"]
        assert said == (
            "impairment test: delay needs netem, which this kernel lacks; load its module sch_netem"
            " (in linux-modules-extra or kernel-modules-extra), or take loss, rate or cut"
        )
    assert not any(traces(first))


def test_in_a_namespace(cable: Pair) -> None:
    """Its interface is impaired, and the host's of the same name is not."""
    first = cable[0]
    first.run(["ip", "netns", "add", "inner"])
    first.run(["ip", "link", "add", "v-inner", "type", "veth", "peer", "name", "eth1", "netns", "inner"])
    first.apply("link_impairment", {**CUT, "netns": "inner"})
    assert "overloom" in first.run(["ip", "netns", "exec", "inner", "nft", "list", "tables"])
    assert lost(first, 3) == 0
    first.apply("link_impairment", {"purge": True})
    assert "overloom" not in first.run(["ip", "netns", "exec", "inner", "nft", "list", "tables"])


def test_what_is_of_others_stays(cable: Pair) -> None:
    """Their queueing discipline, and their impairment; a cut needs no queueing discipline."""
    first = cable[0]
    rate = {**CUT, "cut": False, "rate": "1mbit"}
    first.run(["tc", "qdisc", "add", "dev", "eth1", "root", "tbf", "rate", "1gbit", "burst", "64k", "latency", "50ms"])
    said = first.module("link_impairment", rate, ok=False)["msg"]
    assert re.fullmatch(
        r"impairment test: eth1 has a queueing discipline of others \(tbf \w+:\), which stays;"
        " take cut, or another interface, or remove it there",
        said,
    ), said
    first.apply("link_impairment", CUT)
    assert lost(first, 3) == 3
    for arguments in ({**CUT, "owner": "other"}, {"name": "test", "state": "absent", "owner": "other"}):
        assert "belongs to the owner overloom.fabric" in first.module("link_impairment", arguments, ok=False)["msg"]
    first.module("link_impairment", {"purge": True, "owner": "other"})
    assert lost(first, 3) == 3
    first.module("link_impairment", {"purge": True})
    assert "tbf" in first.run(["tc", "qdisc", "show", "dev", "eth1"])
    first.run(["tc", "qdisc", "del", "dev", "eth1", "root"])


def test_a_second_rate_on_an_interface_is_refused_and_a_changed_one_begins_anew(cable: Pair) -> None:
    first = cable[0]
    rate = {**CUT, "cut": False, "rate": "1mbit"}
    first.apply("link_impairment", rate)
    said = first.module("link_impairment", {**rate, "name": "second"}, ok=False)["msg"]
    assert said == (
        "impairment second: eth1 is impaired already, by test (rate 1 Mbit/s); end that first with state=absent"
    )
    done = first.apply("link_impairment", {**rate, "rate": "2mbit"})
    assert done["changed"] and [one["effect"] for one in done["impairments"]] == ["rate 2 Mbit/s"]
    assert "rate 2Mbit" in first.run(["tc", "class", "show", "dev", "eth1"])


def test_what_a_crash_left_is_replaced(cable: Pair) -> None:
    """A lab host that is killed leaves its cables as they are."""
    first = cable[0]
    rate = {**CUT, "cut": False, "rate": "1mbit"}
    first.run(["tc", "qdisc", "add", "dev", "eth1", "root", "handle", "6f76:", "htb"])
    first.apply("link_impairment", rate)
    first.apply("link_impairment", {"name": "test", "state": "absent"})
    assert not any(traces(first))


def test_what_was_written_and_not_started_begins(cable: Pair) -> None:
    """A run that is killed between its write and its start."""
    first = cable[0]
    first.module("link_impairment", CUT)
    text = first.run(["cat", UNIT])
    first.module("link_impairment", {"name": "test", "state": "absent"})
    first.write(UNIT, text)
    assert lost(first, 3) == 0
    assert first.apply("link_impairment", CUT)["changed"] and lost(first, 3) == 3


@pytest.mark.parametrize("interface", ("eth7", "nowhere"))
def test_an_interface_that_is_not_there_is_refused(cable: Pair, interface: str) -> None:
    said = cable[0].module("link_impairment", {**CUT, "interface": interface}, ok=False)["msg"]
    assert said.startswith(f"impairment test: there is no interface {interface} (") and "correct interface" in said

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ovn_database on three lab hosts whose databases are a cluster: made, asked, broken, shrunk, grown and ended."""

from __future__ import annotations

import functools
import typing as t

import harness
import ovn
import pytest
import roots
from harness import Host, wait

Hosts = t.List[Host]
MEMBERS = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
DEFAULTS = "/etc/default/ovn-central"
KEPT = "# a remark\nOVN_CTL_OPTS=--ovn-northd-n-threads=2\n"


@pytest.fixture(name="hosts", scope="module")
def three_hosts(machine: harness.Machine) -> t.Iterator[Hosts]:
    """Three hosts on one network, with the packages' own file beside which we write."""
    lab = harness.Lab(machine, harness.lab_name("o"), roots.lab_root())
    try:
        lab.make(["a", "b", "c"], [["a:eth1", "b:eth1", "c:eth1"]])
        yield [lab.host(name) for name in "abc"]
    finally:
        lab.remove()


@pytest.fixture(name="fresh")
def without_databases(hosts: Hosts) -> t.Iterator[Hosts]:
    for number, host in enumerate(hosts):
        host.write(DEFAULTS, KEPT)
        address(host, number)
    yield hosts
    for host in hosts:
        ovn.stop(host)
        host.run(["rm", "-f", "/etc/ovn/ovn-northd-db-params.conf"])


def address(host: Host, number: int) -> None:
    host.run(["ip", "link", "set", "eth1", "up"])
    host.run(["ip", "address", "replace", f"{MEMBERS[number]}/24", "dev", "eth1"])


def member(number: int, **more: t.Any) -> dict[str, t.Any]:
    """The option cluster of one host."""
    return {"cluster": {"address": MEMBERS[number], "members": MEMBERS, "create": number == 0, **more}}


def seen(host: Host, database: str = "northbound") -> dict[str, t.Any]:
    """What a host says of the cluster."""
    return t.cast("dict[str, t.Any]", host.module("ovn_info", {"gather": ["cluster"]})["cluster"][database])


def switches(host: Host, ok: bool | None = True) -> list[str]:
    """The logical switches that a host's own server knows."""
    out = host.run(
        ["ovn-nbctl", "--timeout=20", "--no-leader-only", "--bare", "--columns=name", "list", "Logical_Switch"], ok
    )
    return sorted(out.split())


def await_switches(names: list[str], *hosts: Host) -> None:
    """Wait until the servers of hosts know just these. One that has no leader for a moment closes its connections."""
    for host in hosts:
        wait(
            lambda host=host: switches(host, None) == names,
            f"the rows {names}",
            look=functools.partial(switches, host, None),
        )


def add(host: Host, name: str) -> None:
    """Make a logical switch by way of a host's own server, and wait until ovn-northd has seen it; a connection that was closed is made again."""
    command = ["ovn-nbctl", "--timeout=30", "--no-leader-only", "--wait=sb", "--may-exist", "ls-add", name]
    wait(lambda: "ovn-nbctl: " not in host.run(command, ok=None), f"the logical switch {name}", 120)


def active(host: Host, unit: str) -> bool:
    return host.run(["systemctl", "is-active", unit], ok=None).strip() == "active"


def leader(hosts: Hosts) -> Host:
    """The host whose northbound server leads."""
    wait(lambda: bool(seen(hosts[0])["leader"]), "a leader")
    led = seen(hosts[0])["leader"].split(":")[1]
    return hosts[MEMBERS.index(led)]


def make(hosts: Hosts) -> None:
    for number, host in enumerate(hosts):
        host.apply("ovn_database", member(number))


def test_a_cluster_is_made_of_what_is_there_outlives_its_leader_and_reboots_and_ends_with_its_rows(
    fresh: Hosts,
) -> None:
    first, second, third = fresh
    ovn.start(first)
    add(first, "theirs")
    # Another stand-alone database with rows is not emptied by joining.
    ovn.start(second)
    add(second, "mine")
    first.apply("ovn_database", member(0))
    refused = second.module("ovn_database", member(1), ok=False)
    assert "northbound: the stand-alone database of this host has 1 rows, which would be lost" in refused["msg"]
    assert switches(second) == ["mine"] and second.run(["cat", DEFAULTS]) == KEPT
    second.run(["ovn-nbctl", "ls-del", "mine"])
    second.apply("ovn_database", member(1))
    done = third.apply("ovn_database", member(2))
    assert done["cluster"]["southbound"]["status"] == "cluster member" and done["cluster"]["southbound"]["leader"]
    # A follower hears of what is agreed on a moment later.
    await_switches(["theirs"], *fresh)
    assert "--ovn-northd-n-threads=2 " in second.run(["cat", DEFAULTS])
    split = first.module("ovn_database", {"cluster": {**member(0)["cluster"], "address": "192.0.2.2"}}, ok=False)
    assert "this host is in a cluster as tcp:192.0.2.1:6643, and not as tcp:192.0.2.2:6643" in split["msg"]

    # The leader dies; another one is chosen, and what is asked of a follower is written.
    led = leader(fresh)
    others = [host for host in fresh if host is not led]
    for unit in ("nb", "sb"):
        led.run(["systemctl", "kill", "--signal=STOP", f"ovn-ovsdb-server-{unit}"])
    wait(lambda: seen(others[0])["leader"] not in (None, f"tcp:{MEMBERS[fresh.index(led)]}:6643"), "a new leader")
    add(others[0], "after")
    await_switches(["after", "theirs"], others[1])
    for unit in ("nb", "sb"):
        led.run(["systemctl", "kill", "--signal=CONT", f"ovn-ovsdb-server-{unit}"])
    await_switches(["after", "theirs"], led)

    # All of them reboot. The addresses come late, as nothing here gives them at boot.
    for host in fresh:
        host.run(["systemctl", "enable", "--quiet", "ovn-central"])
    for number, host in enumerate(fresh):
        host.reboot()
        address(host, number)
    wait(
        lambda: all(seen(host)["status"] == "cluster member" and seen(host)["leader"] for host in fresh),
        "members that find each other",
    )
    add(third, "rebooted")
    for number, host in enumerate(fresh):
        assert not host.module("ovn_database", member(number))["changed"]

    # Each keeps its rows as the cluster ends, and nothing of it is left in the file.
    assert not first.module("ovn_database", {"cluster": {}, "owner": "b"})["changed"]
    for host in fresh:
        host.apply("ovn_database", {"cluster": {}})
        assert host.run(["cat", DEFAULTS]) == KEPT.replace("=--ovn-northd-n-threads=2", '="--ovn-northd-n-threads=2"')
        wait(functools.partial(host.exists, "/run/ovn/ovnnb_db.sock"), "the database")
        assert not host.exists("/etc/ovn/ovn-northd-db-params.conf")
        assert seen(host) == {"model": "standalone", "rows": 3} and switches(host) == ["after", "rebooted", "theirs"]
        add(host, "alone")


@pytest.mark.long
def test_a_cluster_without_a_quorum_is_told_not_shrunk_and_a_lost_host_joins_again(fresh: Hosts) -> None:
    first, second, third = fresh
    for members, said in (
        (MEMBERS[:2], "cluster.members has 2 addresses; give three or five"),
        (["192.0.2.7", "192.0.2.8", "192.0.2.9"], "cluster.address 192.0.2.1 is not among cluster.members"),
        (["here", *MEMBERS[1:]], "cluster.members has 'here'; give an IP address"),
    ):
        assert said in first.module("ovn_database", member(0, members=members), ok=False)["msg"]
    both = first.module("ovn_database", {**member(0), "southbound": ["ptcp:6642"]}, ok=False)
    assert "cluster and listeners are declared in one task" in both["msg"] and not first.exists(
        "/var/lib/ovn/ovnnb_db.db"
    )
    make(fresh)
    # The death of ovn-northd is no database's.
    first.run(["systemctl", "restart", "ovn-northd"])
    second.run(["systemctl", "kill", "--signal=KILL", "ovn-northd"])
    add(first, "kept")
    wait(lambda: active(second, "ovn-northd"), "ovn-northd")
    assert active(first, "ovn-ovsdb-server-nb") and not second.module("ovn_database", member(1))["changed"]
    # The disk of the third is lost. It joins anew, and who it was is removed, both in its way and never to less than a quorum.
    ovn.stop(third)
    another = [*MEMBERS[:2], "192.0.2.4"]
    refused = first.module("ovn_database", member(0, members=another, create=True, kick=True), check=True)
    assert any("cluster/kick OVN_Northbound tcp:192.0.2.3:6643" in command for command in refused["commands"])
    second.run(["systemctl", "stop", "ovn-ovsdb-server-nb", "ovn-ovsdb-server-sb"])
    wait(lambda: not seen(first)["leader"], "a leader that knows that it is alone")
    alone = first.module("ovn_database", member(0, members=another, kick=True), ok=False)
    assert "tcp:192.0.2.3:6643 cannot be removed, as of the 2 servers that stay 1 can be reached" in alone["msg"]
    told = first.module("ovn_database", member(0), ok=False)
    assert "northbound: the cluster has no leader, as 1 of 3 servers can be reached; start the others" in told["msg"]
    again = second.apply("ovn_database", member(1))
    assert again["changed"] and "systemctl restart" in again["commands"][0]
    first.apply("ovn_database", member(0, members=another, kick=True))
    assert [one["address"] for one in seen(first)["servers"]] == ["tcp:192.0.2.1:6643", "tcp:192.0.2.2:6643"]
    third.write(DEFAULTS, KEPT)
    refused = third.module("ovn_database", {"cluster": {**member(2)["cluster"], "create": True}}, ok=False)
    assert "192.0.2.1 answers as the member of a cluster already; leave create out" in refused["msg"]
    third.apply("ovn_database", member(2))
    first.apply("ovn_database", member(0))
    second.apply("ovn_database", member(1))
    wait(lambda: switches(third, None) == ["kept"] and len(seen(third)["servers"]) == 3, "a whole third member")


def test_members_northd_and_clients_meet_by_tls(fresh: Hosts) -> None:
    key, certificate = "/etc/ovn-test/key.pem", "/etc/ovn-test/cert.pem"
    files = {"private_key": key, "certificate": certificate, "ca_cert": certificate}
    missing = fresh[0].module("ovn_database", {**member(0), "ssl": files}, ok=False)
    assert f"ssl.private_key: there is no file {key}" in missing["msg"]
    fresh[0].run(["mkdir", "-p", "/etc/ovn-test"])
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=all"]
    fresh[0].run([*made, "-keyout", key, "-out", certificate])
    fresh[0].run(["chmod", "0644", key])
    open_to_all = fresh[0].module("ovn_database", {**member(0), "ssl": files}, ok=False)
    assert f"ssl.private_key: everybody can read {key}; give it the mode 0600" in open_to_all["msg"]
    fresh[0].run(["chmod", "0600", key])
    for host in fresh[1:]:
        for path in (key, certificate):
            host.write(path, fresh[0].run(["cat", path]))
        host.run(["chmod", "0600", key])
    for number, host in enumerate(fresh):
        host.apply("ovn_database", {**member(number), "ssl": files})
    fresh[0].apply("ovn_database", {"northbound": ["pssl:6641"], "southbound": ["pssl:6642"]})
    add(fresh[2], "secret")
    assert seen(fresh[1])["address"] == "ssl:192.0.2.2:6643"
    await_switches(["secret"], fresh[1])
    keys = [f"--private-key={key}", f"--certificate={certificate}", f"--ca-cert={certificate}"]
    words = ["ovn-nbctl", "--timeout=10", "--no-leader-only", "--bare", "--columns=name"]
    asked = ["list", "Logical_Switch"]
    assert fresh[0].run([*words, *keys, "--db=ssl:192.0.2.2:6641", *asked]).split() == ["secret"]
    # Backed up by one member, and restored by another, whichever of them leads.
    file = "/etc/ovn-test/nb.db"
    fresh[2].apply("ovn_database", {"backup": file})
    fresh[1].write(file, fresh[2].run(["cat", file]))
    add(fresh[0], "lost")
    more = fresh[1].module("ovn_database", {"restore": file}, ok=False)
    assert "restore: the database has 2 rows, which would be replaced by the 1 of" in more["msg"]
    fresh[1].apply("ovn_database", {"restore": file, "force": True})
    await_switches(["secret"], *fresh)
    assert "0.0.0.0:6641" in fresh[1].run(["ss", "-tln"]) and ":6641" in fresh[0].run(["ss", "-tln"])
    fresh[0].run([*words, "--db=tcp:192.0.2.2:6641", *asked], ok=False)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters of OVN's databases: what servers say, the words of ovn-ctl, and what is refused."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._ovn import cluster, raft
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

MEMBERS = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
# Of OVN 23.03 on Debian 12.
STATUS = """\
6a35
Name: OVN_Northbound
Cluster ID: ff71 (ff71cf1e-9ef5-4f07-a68b-2eeab24aeb3b)
Server ID: 6a35 (6a35a0e6-c33a-4b14-94f1-3e9f0270f6b2)
Address: tcp:192.0.2.1:6643
Status: cluster member
Role: follower
Term: 2
Leader: 4d3b
Vote: unknown

Election timer: 1000
Log: [2, 11]
Entries not yet committed: 1
Entries not yet applied: 0
Connections: ->4d3b (->0120) <-4d3b
Disconnections: 0
Servers:
    4d3b (4d3b at tcp:192.0.2.3:6643) last msg 167 ms ago
    6a35 (6a35 at tcp:192.0.2.1:6643) (self)
    0120 (0120 at tcp:192.0.2.2:6643) last msg 2049 ms ago
"""


def wanted(**more: t.Any) -> cluster.Wanted:
    given = {"address": MEMBERS[0], "members": MEMBERS, "create": False, "kick": False, **more}
    found = cluster.declared(given, more.get("ssl"))
    assert found
    return found


def found(status: str = STATUS, **more: t.Any) -> cluster.Found:
    """A host that is in a cluster, with other words in its file than are declared."""
    bases = {"northbound": raft.parse_status(status), "southbound": raft.parse_status(status.replace(":6643", ":6644"))}
    return cluster.Found("", "", bases, {}, (), ())._replace(**more)


def steps(seen: cluster.Found, declared: cluster.Wanted | None, owner: str = "f") -> list[str]:
    """The commands."""

    def never(_argv: t.Sequence[str], _stdin: str | None) -> tuple[int, str, str]:
        raise AssertionError("a comparison runs nothing")

    change = cluster.compare(Runner(never), seen, declared, Caller(owner), 5)
    assert bool(change.steps) == (change.before != change.after)
    return [step.shown() for step in change.steps]


def test_what_a_server_says_is_read() -> None:
    row = raft.parse_status(STATUS)
    assert (row["role"], row["leader"], row["term"], row["uncommitted"]) == ("follower", "tcp:192.0.2.3:6643", 2, 1)
    assert {one["address"]: one["connected"] for one in row["servers"]} == {
        "tcp:192.0.2.1:6643": True,
        "tcp:192.0.2.2:6643": False,
        "tcp:192.0.2.3:6643": True,
    }
    own = raft.parse_status(STATUS.replace("Leader: 4d3b", "Leader: self"))
    assert own["leader"] == "tcp:192.0.2.1:6643"
    assert raft.parse_status(STATUS.replace("Leader: 4d3b", "Leader: unknown"))["leader"] is None


def test_the_leader_tells_who_is_behind() -> None:
    text = STATUS.replace("Role: follower", "Role: leader").replace("Leader: 4d3b", "Leader: self")
    text = text.replace("6643) last msg 167", "6643) next_index=11 match_index=10 last msg 167")
    text = text.replace("6643) last msg 2049", "6643) next_index=9 match_index=8 last msg 2049")
    assert [one["behind"] for one in raft.parse_status(text)["servers"]] == [None, 2, 0]
    assert not any(one["behind"] for one in raft.parse_status(STATUS)["servers"])


def test_words_of_others_stay_in_the_file_and_ours_go_without_a_trace() -> None:
    text = '# OVN_CTL_OPTS: Extra options\nOVN_CTL_OPTS="--ovn-northd-n-threads=2 --db-nb-cluster-local-addr=9"\nX=1\n'
    made = cluster.with_words(text, ["--db-nb-cluster-local-addr=192.0.2.1"], "f")
    assert cluster.words_of(made) == ["--ovn-northd-n-threads=2", "--db-nb-cluster-local-addr=192.0.2.1"]
    assert cluster.owner_of(made) == "f" and "X=1\n" in made and "# OVN_CTL_OPTS: Extra options\n" in made
    gone = cluster.with_words(made, [], "f")
    assert gone == '# OVN_CTL_OPTS: Extra options\nX=1\nOVN_CTL_OPTS="--ovn-northd-n-threads=2"\n'
    assert cluster.with_words("", [], "f") == ""


def test_a_member_is_configured_once_and_started_anew_for_what_its_server_needs_alone() -> None:
    first = steps(found(), wanted())
    assert "systemctl restart ovn-ovsdb-server-nb.service ovn-ovsdb-server-sb.service ovn-northd.service" in first
    done = found(
        text=cluster.with_words("", cluster._words(wanted(), None), "f"),
        asked=cluster._asked(wanted()),
    )
    assert steps(done, wanted()) == []
    more = steps(done, wanted(members=[*MEMBERS, "192.0.2.4", "192.0.2.5"]))
    assert [line for line in more if line.startswith("systemctl")] == ["systemctl restart ovn-northd.service"]
    other = done.text.replace("--db-nb-addr=192.0.2.1", "--db-nb-addr=192.0.2.9")
    with pytest.raises(
        FabricError, match="/etc/default/ovn-central belongs to the owner f, and its words for a cluster"
    ):
        steps(done._replace(text=other), wanted(), owner="g")


def test_who_joins_does_so_by_a_member_that_answers() -> None:
    alone = found(
        bases={"northbound": {"model": "standalone"}, "southbound": {"model": "absent"}}, rows={"northbound": 0}
    )
    assert "--db-sb-cluster-remote-addr=192.0.2.3" in steps(alone._replace(near=("192.0.2.3",)), wanted())[0]
    assert "--db-sb-cluster-remote-addr=192.0.2.2" in steps(alone, wanted())[0]
    assert "-cluster-remote-addr" not in steps(alone, wanted(create=True))[0]
    with pytest.raises(FabricError, match="192.0.2.3 answers as the member of a cluster already; leave create out"):
        steps(alone._replace(near=("192.0.2.3",)), wanted(create=True))
    with pytest.raises(FabricError, match="the stand-alone database of this host has 3 rows, which would be lost"):
        steps(alone._replace(rows={"northbound": 3}), wanted())


def test_a_cluster_is_not_shrunk_below_its_quorum() -> None:
    declared = wanted(members=["192.0.2.1", "192.0.2.2", "192.0.2.9"], kick=True)
    with pytest.raises(
        FabricError, match="192.0.2.3:6643 cannot be removed, as of the 2 servers that stay 1 can be reached"
    ):
        steps(found(), declared)
    near = STATUS.replace("(->0120) <-4d3b", "->0120 <-4d3b <-0120")
    kicked = [line for line in steps(found(near), declared) if "cluster/kick" in line]
    assert [line.split()[-2:] for line in kicked] == [
        ["OVN_Northbound", "tcp:192.0.2.3:6643"],
        ["OVN_Southbound", "tcp:192.0.2.3:6644"],
    ]
    assert not [line for line in steps(found(near), declared._replace(kick=False)) if "kick" in line]
    with pytest.raises(FabricError, match="the cluster has no leader, which is no quorum"):
        steps(found(near.replace("Leader: 4d3b", "Leader: unknown")), declared)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"members": MEMBERS[:2]}, "cluster.members has 2 addresses; give three or five"),
        ({"members": [*MEMBERS, "192.0.2.4"]}, "cluster.members has 4 addresses"),
        ({"address": "192.0.2.9"}, "cluster.address 192.0.2.9 is not among cluster.members"),
        ({"address": "a"}, "cluster.address has 'a'; give an IP address"),
        ({"ssl": {"private_key": "/a b"}}, "ssl.private_key '/a b' has a character that OVN_CTL_OPTS cannot have"),
    ],
)
def test_what_is_no_cluster_is_refused(given: dict[str, t.Any], said: str) -> None:
    with pytest.raises(FabricError, match=said):
        wanted(**given)


def test_a_cluster_of_another_owner_does_not_end() -> None:
    text = cluster.with_words("", cluster._words(wanted(), None), "f")
    assert steps(found(text=text), None, owner="g") == []
    ended = steps(found(text=text), None)
    assert "ovsdb-tool cluster-to-standalone /var/lib/ovn/ovnnb_db.db.standalone /var/lib/ovn/ovnnb_db.db" in ended
    assert ended[-1] == "systemctl start ovn-ovsdb-server-nb.service ovn-ovsdb-server-sb.service ovn-northd.service"


def servers(leader: str | None = "tcp:192.0.2.1:6643", **alive: bool) -> dict[str, raft.Row]:
    """What a host says of a cluster: of each server, by its last number, whether it is connected."""
    rows = [{"address": f"tcp:192.0.2.{name[1:]}:6643", "connected": up} for name, up in alive.items()]
    return {base.name: {"model": "clustered", "leader": leader, "servers": rows} for base in raft.BASES}


@pytest.mark.parametrize(
    ("rows", "wanted_members", "said"),
    [
        # It has them, whoever is there: nothing of it is to be changed.
        (servers(None, h1=True, h2=False, h3=False), MEMBERS, None),
        # It grows, and shrinks, while most are there and stay.
        (servers(h1=True, h2=True, h3=False), [*MEMBERS, "192.0.2.4", "192.0.2.5"], None),
        (servers(h1=True, h2=True, h3=True, h4=False, h5=False), MEMBERS, None),
        # One replaces another.
        (servers(h1=True, h2=True, h3=False), [*MEMBERS[:2], "192.0.2.4"], None),
        # A host that is in none yet does not judge.
        ({base.name: {"model": "standalone"} for base in raft.BASES}, MEMBERS, None),
        (
            servers(h1=True, h2=False, h3=False),
            [*MEMBERS, "192.0.2.4", "192.0.2.5"],
            "of its 3 servers 2 have to stay and be reached, and 1 does",
        ),
        (servers(None, h1=True, h2=True, h3=True), [*MEMBERS, "192.0.2.4", "192.0.2.5"], "and 3 do; start the others"),
        (
            servers(h1=True, h2=True, h3=False, h4=True, h5=True),
            MEMBERS,
            "of its 5 servers 3 have to stay and be reached, and 2 do",
        ),
        (
            servers(h1=True, h2=True, h3=True),
            ["192.0.2.3", "192.0.2.4", "192.0.2.5"],
            "2 have to stay and be reached, and 1 does",
        ),
    ],
)
def test_a_cluster_changes_only_by_most_of_its_servers(
    rows: dict[str, raft.Row], wanted_members: list[str], said: str | None
) -> None:
    refused = raft.refused_change(rows, wanted_members)
    assert refused is None if said is None else said in t.cast(str, refused)
    assert raft.changes(rows, wanted_members) or refused is None


def test_the_address_of_a_server_is_told_from_its_place() -> None:
    rows = {
        base.name: {"leader": "x", "servers": [{"address": "ssl:[2001:db8::1]:6643", "connected": True}]}
        for base in raft.BASES
    }
    assert not raft.changes(rows, ["2001:db8::1"])

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OVN's databases grow from one host to five and shrink again, by the hosts of the group ovn_central and site.yml alone."""

from __future__ import annotations

import os
import typing as t

import pytest
import yaml
from harness import wait
from test_site import Fabric, changed

HOSTS = [f"kvm{number}" for number in range(1, 6)]
SERVERS = ("ovn-ovsdb-server-nb", "ovn-ovsdb-server-sb")
# Tables of which no row may be lost, ours and of others.
TABLES = ("Logical_Switch", "Logical_Switch_Port", "Logical_Router", "Port_Group")


class Cluster(Fabric):
    """Five hosts, two of which have endpoints, with the databases on some of them."""

    def __init__(self, folder: t.Any) -> None:
        self.central = HOSTS[:1]
        super().__init__(folder, f"cluster-{os.getpid()}")

    def write(self) -> None:
        self.intent.update(
            fabric_overlays=[{"name": "ov", "engine": "ovn", "encapsulation": "geneve"}],
            fabric_segments=[
                {"name": "web", "overlay": "ov", "subnet": "10.1.1.0/24"},
                {"name": "db", "overlay": "ov", "subnet": "10.1.2.0/24"},
            ],
            fabric_edges=[
                {
                    "name": "gw",
                    "legs": [{"segment": "web", "address": "10.1.1.1"}, {"segment": "db", "address": "10.1.2.1"}],
                }
            ],
            fabric_policy=[{"name": "all", "from": ["web", "db"], "to": ["web", "db"]}],
        )
        self.hosts = {name: {} for name in HOSTS}
        self.hosts["kvm2"] = {
            "fabric_endpoints": [{"name": "web2", "segment": "web"}, {"name": "db2", "segment": "db"}]
        }
        self.hosts["kvm5"] = {"fabric_endpoints": [{"name": "web5", "segment": "web"}]}
        super().write()
        path = self.folder / "hosts.yml"
        inventory = yaml.safe_load(path.read_text())
        inventory["all"]["children"]["ovn_central"] = {"hosts": {name: {} for name in self.central}}
        path.write_text(yaml.safe_dump(inventory))

    def rows(self, host: str) -> list[str]:
        """The names of the rows that a host's own server has."""
        command = ["ovn-nbctl", "--timeout=20", "--no-leader-only", "--bare", "--columns=name"]
        # One that has just been started is asked again.
        said = [self.lab.host(host).run([*command, "list", table], ok=None) for table in TABLES]
        return sorted(" ".join(said).split())

    def await_rows(self, host: str, rows: list[str]) -> None:
        """Wait until a host's server has these rows."""
        wait(lambda: self.rows(host) == rows, f"the rows on {host}", look=lambda: self.rows(host))

    def members(self, host: str) -> int:
        """How many servers a host's cluster has; none for a database that stands alone."""
        shown = self.on(
            host, "sh", "-c", "ovn-appctl -t /run/ovn/ovnnb_db.ctl cluster/status OVN_Northbound 2>/dev/null; true"
        )
        return shown.count(" at tcp:192.168.200.")


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")).built() as fabric:
        yield fabric


def refused(fabric: Cluster) -> str:
    """What a run that fails says, in one line; no host was changed."""
    said = fabric.play("site.yml", ok=False)
    assert set(changed(said).values()) == {0}, said
    return " ".join(said.split())


def test_a_cluster_grows_and_shrinks_by_the_inventory_and_loses_no_row(fabric: Cluster) -> None:
    # Another controller's row beside ours.
    fabric.on("kvm1", "ovn-nbctl", "--timeout=20", "ls-add", "theirs")
    rows = fabric.rows("kvm1")
    assert "theirs" in rows and "gw" in " ".join(rows)
    for size in (5, 3, 1):
        fabric.central = HOSTS[:size]
        fabric.write()
        if size == 3:
            refuses_where_no_quorum_stays(fabric, rows)
        fabric.play("site.yml")
        assert set(changed(fabric.play("site.yml")).values()) == {0}, size
        for host in fabric.central:
            fabric.await_rows(host, rows)
            assert fabric.members(host) == (size if size > 1 else 0)
        report = fabric.verify()
        assert report["failed"] == 0, (size, report)


def refuses_where_no_quorum_stays(fabric: Cluster, rows: list[str]) -> None:
    """Two of the three that stay are stopped, so of five none decides that the others go."""
    for host in ("kvm2", "kvm3"):
        fabric.on(host, "systemctl", "stop", *SERVERS)
    said = refused(fabric)
    assert (
        "the cluster of 192.168.200.1, 192.168.200.2, 192.168.200.3, 192.168.200.4, 192.168.200.5 cannot become one of"
        in said
    )
    assert "as of its 5 servers 3 have to stay and be reached, and 1 does; start the others" in said
    for host in ("kvm2", "kvm3"):
        fabric.on(host, "systemctl", "start", *SERVERS)
        fabric.await_rows(host, rows)


@pytest.mark.parametrize("size", [2, 4])
def test_no_cluster_has_two_or_four_members(fabric: Cluster, size: int) -> None:
    fabric.central = HOSTS[:size]
    fabric.write()
    assert f"The group ovn_central has the {size} hosts" in refused(fabric)

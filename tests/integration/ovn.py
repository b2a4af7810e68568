# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the modules for OVN share: its databases in a lab host, read beside the modules."""

from __future__ import annotations

import json
import typing as t

import ovs
from harness import wait

if t.TYPE_CHECKING:
    import harness

# What northd and the counters of changes write by themselves.
RESTLESS = ("nb_cfg", "nb_cfg_timestamp", "sb_cfg", "sb_cfg_timestamp", "hv_cfg", "hv_cfg_timestamp", "up")


def start(host: harness.Host) -> None:
    """Start both databases and northd in a host, with nothing in them."""
    stop(host)
    host.run(["systemctl", "start", "ovn-central"])
    # The units count as started before their sockets are there.
    wait(lambda: all(host.exists(f"/run/ovn/ovn{name}_db.sock") for name in ("nb", "sb")), "the databases")
    host.run(["ovn-nbctl", "--timeout=60", "--wait=sb", "sync"])


def stop(host: harness.Host) -> None:
    """Stop them, and remove their files."""
    units = ["ovn-central", "ovn-northd", "ovn-ovsdb-server-nb", "ovn-ovsdb-server-sb"]
    host.run(["systemctl", "disable", "--now", "--quiet", *units], ok=None)
    host.run(["systemctl", "reset-failed", *units], ok=None)
    host.run(["rm", "-rf", "/var/lib/ovn"])


def dump(host: harness.Host, database: str = "nb") -> dict[str, t.Any]:
    """All rows of a database by table and UUID, but for what changes by itself; rows of a set in no order."""
    name = {"nb": "OVN_Northbound", "sb": "OVN_Southbound"}[database]
    text = host.run(["ovsdb-client", "--format=json", "dump", f"unix:/run/ovn/ovn{database}_db.sock", name])
    tables: dict[str, t.Any] = {}
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
        names = document["headings"]
        rows = [{n: ovs.plain(v) for n, v in zip(names, row) if n not in RESTLESS} for row in document["data"]]
        tables[document["caption"].split()[0]] = {row.pop("_uuid"): row for row in rows}
    return tables


def find(host: harness.Host, table: str, *conditions: str) -> list[dict[str, t.Any]]:
    """The rows of a table of the northbound database, by conditions as ovn-nbctl find takes them."""
    document = json.loads(host.run(["ovn-nbctl", "--format=json", "find", table, *conditions]))
    return [{n: ovs.plain(v) for n, v in zip(document["headings"], row)} for row in document["data"]]

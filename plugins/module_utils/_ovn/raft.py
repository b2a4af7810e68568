# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's two database servers say of the cluster that they are in.

This file is private to the collection. Source: ovsdb-server(1), cluster/status; ovsdb(5), the first line of a database's file.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner

Row = t.Dict[str, t.Any]
FOLDER = "/var/lib/ovn"
RUN = "/run/ovn"
# Tables of the northbound database that are there without anybody's intent.
HOUSEKEEPING = ("NB_Global", "Connection", "SSL")
# Seconds for which a port is tried.
_KNOCK = 2
# Seconds between two looks.
_PAUSE = 0.5
MEMBER = "cluster member"
_SERVER = re.compile(r"\s+(\w+) \(\w+ at ([^)]+)\)(?P<more>.*)")


class Base(t.NamedTuple):
    """One database. name: of the option; short: as the files have it; schema: as OVSDB knows it; port: of the cluster's members."""

    name: str
    short: str
    schema: str
    port: int

    @property
    def file(self) -> str:
        """The file that holds it."""
        return f"{FOLDER}/ovn{self.short}_db.db"

    @property
    def socket(self) -> str:
        """Where the server is asked."""
        return f"unix:{RUN}/ovn{self.short}_db.sock"

    @property
    def unit(self) -> str:
        """The service of Debian's and Ubuntu's packages."""
        return f"ovn-ovsdb-server-{self.short}.service"

    def control(self, *words: str) -> tuple[str, ...]:
        """A command to the server."""
        return ("ovn-appctl", "--timeout=10", "-t", f"{RUN}/ovn{self.short}_db.ctl", *words)


BASES = (Base("northbound", "nb", "OVN_Northbound", 6643), Base("southbound", "sb", "OVN_Southbound", 6644))


def parse_status(text: str) -> Row:
    """The answer to cluster/status."""
    pairs = [line.partition(": ")[::2] for line in text.splitlines()]
    said = {key: value.strip() for key, value in pairs if not key.startswith(" ")}
    near = re.findall(r"(?<!\()<-(\w+)", said.get("Connections", ""))
    last = int((re.findall(r"\d+", said.get("Log", "")) or ["1"])[-1]) - 1
    servers, sids = [], {}
    for match in filter(None, map(_SERVER.fullmatch, text.splitlines())):
        own = "(self)" in match["more"]
        sids["self" if own else match[1]] = match[2]
        # What a server has written, its leader alone tells.
        written = re.search(r"match_index=(\d+)", match["more"])
        behind = max(last - int(written[1]), 0) if written and said.get("Role") == "leader" else None
        connected = own or match[1] in near
        servers.append({"address": match[2], "self": own, "connected": connected, "behind": behind})
    return {
        "model": "clustered",
        "status": said.get("Status", ""),
        "role": said.get("Role", ""),
        "cluster_id": said.get("Cluster ID", "").rpartition("(")[2].rstrip(")") or None,
        "address": said.get("Address", ""),
        "leader": sids.get(said.get("Leader", "")),
        "term": int(said.get("Term") or 0),
        "uncommitted": int(said.get("Entries not yet committed") or 0),
        "servers": sorted(servers, key=lambda server: t.cast(str, server["address"])),
    }


def answers(address: str, port: int) -> bool:
    """Whether somebody listens at a port."""
    try:
        with socket.create_connection((address, port), _KNOCK):
            return True
    except OSError:
        return False


def read_model(base: Base) -> str:
    """absent, standalone or clustered, by the first word of the database's file."""
    try:
        with open(base.file, "rb") as stream:
            return "clustered" if stream.read(13) == b"OVSDB CLUSTER" else "standalone"
    except FileNotFoundError:
        return "absent"


def read_status(runner: Runner, base: Base) -> Row:
    """What is known of a database of this host; without a server that answers, status says so."""
    model = read_model(base)
    if model != "clustered":
        return {"model": model}
    status, out, err = runner.run(base.control("cluster/status", base.schema))
    if status:
        return {
            "model": model,
            "status": "left" if "unknown cluster" in err else "stopped",
            "leader": None,
            "servers": [],
        }
    return parse_status(out)


def settled(row: Row) -> bool:
    """Whether a database is a member of a cluster that has a leader."""
    return row["model"] == "clustered" and row["status"] == MEMBER and bool(row["leader"])


def members(runner: Runner, patience: float) -> dict[str, Row]:
    """What each database of this host is. patience: seconds in which one that has no leader, or lacks members, may find them."""
    until = time.monotonic() + patience
    rows = {base.name: read_status(runner, base) for base in BASES}
    while not all(map(_whole, rows.values())) and time.monotonic() < until:
        time.sleep(_PAUSE)
        rows = {base.name: read_status(runner, base) for base in BASES}
    return rows


def _whole(row: Row) -> bool:
    """Whether a database lacks nobody, as far as its server knows."""
    if row["model"] != "clustered":
        return True
    return settled(row) and all(server["connected"] and not server["behind"] for server in row["servers"])


def count_rows(runner: Runner, base: Base) -> int:
    """How many rows a stand-alone database has by somebody's intent."""
    if base.short != "nb" or not os.path.exists(base.file):
        # The southbound database is made from the northbound one.
        return 0
    with open(base.file, encoding="utf-8") as stream:
        stream.readline()
        tables = [name for name in json.loads(stream.readline())["tables"] if name not in HOUSEKEEPING]
    asked = [{"op": "select", "table": name, "where": [], "columns": ["_uuid"]} for name in tables]
    answers = json.loads(runner(("ovsdb-tool", "query", base.file, json.dumps([base.schema, *asked]))))
    return sum(len(answer["rows"]) for answer in answers)


def refused_change(rows: t.Mapping[str, Row], wanted: t.Sequence[str]) -> str | None:
    """Why a cluster cannot come to have these addresses as members, in words; None where it has them, or where most of its servers stay and are there.

    Each server that goes or comes is agreed on by most of those that there are until then. rows: what this host's servers say, by their databases' names.
    """
    for base in BASES:
        servers = _servers(rows[base.name])
        if not servers or set(servers) == set(wanted):
            continue
        staying = [server for address, server in servers.items() if address in wanted]
        reached, needed = sum(server["connected"] for server in staying), len(servers) // 2 + 1
        if not rows[base.name]["leader"] or reached < needed:
            return (
                f"OVN's {base.name} database: the cluster of {', '.join(sorted(servers))} cannot become one of {', '.join(sorted(wanted))}, as of its"
                f" {len(servers)} servers {needed} have to stay and be reached, and {reached} {'does' if reached == 1 else 'do'};"
                " start the others, or leave them in the group ovn_central"
            )
    return None


def changes(rows: t.Mapping[str, Row], wanted: t.Sequence[str]) -> bool:
    """Whether a cluster of this host's has other members than these addresses."""
    return any(set(_servers(row)) not in (set(), set(wanted)) for row in rows.values())


def _servers(row: Row) -> dict[str, Row]:
    """The servers of a cluster by their addresses, which stand in ssl:[2001:db8::1]:6643."""
    return {
        server["address"].partition(":")[2].rpartition(":")[0].strip("[]"): server for server in row.get("servers", ())
    }

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ovn_database: the northbound database into a file, and back.

The southbound one is none of it, as ovn-northd makes it from the northbound one. This file is private to the collection.
Source: ovsdb(7), Backing Up and Restoring a Database; ovsdb-client(1); ovsdb(5) for the file's first lines.
"""

# A step is done without an AnsibleModule, which run_command is of.
# pylint: disable=ansible-bad-function
from __future__ import annotations

import collections
import hashlib
import json
import os
import shlex
import stat
import subprocess
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.raft import BASES, HOUSEKEEPING, Row
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    AnyStep,
    Change,
    FabricError,
    Module,
    Runner,
    Write,
    module_runner,
    reconcile,
)

_BASE = BASES[0]
_MODE = 0o600
# What OVN itself writes into the northbound database (ovn-nb(5)): no two looks find it equal.
_PROGRESS = {
    "NB_Global": (
        "nb_cfg",
        "nb_cfg_timestamp",
        "sb_cfg",
        "sb_cfg_timestamp",
        "hv_cfg",
        "hv_cfg_timestamp",
    ),
    "Logical_Switch_Port": ("up", "dynamic_addresses"),
    "Logical_Router_Port": ("status",),
    "BFD": ("status",),
}


class Content(t.NamedTuple):
    """A database's content. version: of its schema; rows: how many of them are somebody's intent; digest: equal where the content is, whatever the UUIDs."""

    version: str
    rows: int
    digest: str


class Found(t.NamedTuple):
    """The running database, the file's content (None without a file) and its permission bits."""

    database: Content
    file: Content | None
    mode: int | None


def snapshot_argument_spec() -> Row:
    """The options of the module."""
    return {"backup": {"type": "path"}, "restore": {"type": "path"}, "force": {"type": "bool", "default": False}}


def _asked(schema: Row) -> str:
    """The question for all rows of a database."""
    rows = [{"op": "select", "table": name, "where": []} for name in sorted(schema["tables"])]
    return json.dumps([schema["name"], *rows])


def content_of(schema: Row, answers: t.Sequence[Row]) -> Content:
    """What a database holds, from the answer for all of its rows. Raises FabricError."""
    tables = sorted(schema["tables"])
    if [answer for answer in answers if "rows" not in answer] or len(answers) < len(tables):
        raise FabricError(f"{schema['name']} did not tell all of its rows; run this again")
    rows = {
        row["_uuid"][1]: (table, row) for table, answer in zip(tables, answers) for row in t.cast(list, answer["rows"])
    }
    digests = _Digests(schema, rows)
    counted = collections.Counter(digests.of(uuid) for uuid in rows)
    meant = sum(table not in HOUSEKEEPING for table, _row in rows.values())
    return Content(schema.get("version", ""), meant, _hash(sorted(counted.items())))


def _hash(value: t.Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class _Digests:
    """What each row says, with the content of the rows that it refers to in the place of their UUIDs, which a restore makes anew."""

    def __init__(self, schema: Row, rows: t.Mapping[str, tuple[str, Row]]) -> None:
        self._schema = schema
        self._rows = rows
        self._known: dict[str, str] = {}

    def of(self, uuid: str) -> str:
        """The digest of a row."""
        if uuid not in self._known:
            # Of a ring of references, which OVN has not, each member counts as this text.
            self._known[uuid] = "itself"
            table, row = self._rows[uuid]
            columns = self._schema["tables"][table]["columns"]
            kept = [
                name
                for name, column in columns.items()
                if not column.get("ephemeral") and name not in _PROGRESS.get(table, ())
            ]
            self._known[uuid] = _hash([table, {name: self._value(row.get(name)) for name in kept}])
        return self._known[uuid]

    def _value(self, value: t.Any) -> t.Any:
        """A value of OVSDB (RFC 7047, 5.1) in a form that knows no order."""
        if not isinstance(value, list):
            return value
        kind, inner = value
        if kind == "uuid":
            return ["row", self.of(inner) if inner in self._rows else ""]
        pairs = inner if kind == "map" else [[one] for one in inner]
        cells = sorted(([self._value(cell) for cell in pair] for pair in pairs), key=json.dumps)
        # A set of one is written as the one.
        return cells[0][0] if kind == "set" and len(cells) == 1 else [kind, cells]


def _schema_of(path: str, option: str) -> Row:
    """The schema in a file. Raises FabricError for what is no northbound database that stands alone."""
    try:
        with open(path, encoding="utf-8") as stream:
            first, schema = stream.readline(), json.loads(stream.readline() or "null")
    except (OSError, ValueError):
        first, schema = "", None
    if not first.startswith("OVSDB JSON ") or not isinstance(schema, dict) or schema.get("name") != _BASE.schema:
        kind = "a member of a cluster" if first.startswith("OVSDB CLUSTER ") else "no database"
        if isinstance(schema, dict) and schema.get("name"):
            kind = f"the database {schema['name']}"
        raise FabricError(f"{option}: {path} is {kind}, and not a backup of {_BASE.schema}; give another file")
    return schema


def _ask(words: t.Sequence[str], timeout: int) -> tuple[str, ...]:
    """A call of the server, whether it leads a cluster or not."""
    return ("ovsdb-client", f"--timeout={timeout}", "--no-leader-only", *words)


def _read_database(runner: Runner, timeout: int) -> Content:
    status, out, err = runner.run(_ask(("get-schema", _BASE.socket, _BASE.schema), timeout))
    if status:
        said = (err or out).strip().splitlines()[-1:] or ["nothing was said"]
        raise FabricError(
            f"OVN's {_BASE.name} database cannot be reached at {_BASE.socket} ({said[0]}); start the service ovn-central"
        )
    schema = json.loads(out)
    return content_of(schema, json.loads(runner(_ask(("query", _BASE.socket, _asked(schema)), timeout))))


def _read_file(runner: Runner, path: str, option: str) -> Content:
    schema = _schema_of(path, option)
    status, out, err = runner.run(("ovsdb-tool", "query", path, _asked(schema)))
    if status:
        said = (err or out).strip().splitlines()[-1:] or ["nothing was said"]
        raise FabricError(f"{option}: {path} cannot be read as a database ({said[0]}); give another file")
    return content_of(schema, json.loads(out))


def read(runner: Runner, params: t.Mapping[str, t.Any]) -> Found:
    """The database and the file."""
    option = "backup" if params["backup"] else "restore"
    path = params[option]
    if not os.path.exists(path):
        if option == "restore":
            raise FabricError(f"restore: there is no file {path}; give one that backup has written")
        return Found(_read_database(runner, params["timeout"]), None, None)
    file = _read_file(runner, path, option)
    return Found(_read_database(runner, params["timeout"]), file, stat.S_IMODE(os.stat(path).st_mode))


class Backup(t.NamedTuple):
    """Writes the database into a file that is whole or not there."""

    runner: Runner
    path: str
    timeout: int

    def _command(self) -> tuple[str, ...]:
        return _ask(("backup", _BASE.socket, _BASE.schema), self.timeout)

    def shown(self) -> str:
        """The command."""
        return f"umask 077; {shlex.join(self._command())} > {shlex.quote(self.path)}"

    def do(self) -> None:
        """Ask for it, and write it. Raises FabricError."""
        Write(self.path, self.runner(self._command()), _MODE).do()


class Restore(t.NamedTuple):
    """Replaces the database's content by that of a file, in one transaction."""

    path: str
    timeout: int

    def _command(self) -> tuple[str, ...]:
        return _ask(("restore", _BASE.socket, _BASE.schema), self.timeout)

    def shown(self) -> str:
        """The command."""
        return f"{shlex.join(self._command())} < {shlex.quote(self.path)}"

    def do(self) -> None:
        """Restore it. ovsdb-client seeks in what it reads, so it takes no pipe. Raises FabricError."""
        with open(self.path, "rb") as stream:
            done = subprocess.run(
                self._command(), stdin=stream, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            said = done.stdout.decode(errors="replace").strip() or "nothing was said"
            raise FabricError(f"restore: {self.path} was not restored, and the database is as it was: {said}")


def compare(runner: Runner, found: Found, params: t.Mapping[str, t.Any]) -> Change:
    """The step that makes one what the other is. Pure, but for the runner, which the step gets. Raises FabricError."""
    here, there = found.database, found.file
    equal = there is not None and here.digest == there.digest
    step: AnyStep
    if params["backup"]:
        if equal and found.mode == _MODE:
            return Change([], {}, {})
        step = Backup(runner, params["backup"], params["timeout"])
        before = {
            "rows": there.rows if there else None,
            "mode": found.mode if found.mode is None else f"{found.mode:04o}",
        }
        return Change([step], {"backup": before}, {"backup": {"rows": here.rows, "mode": f"{_MODE:04o}"}})
    file = t.cast(Content, there)
    if equal:
        return Change([], {}, {})
    if file.version != here.version:
        raise FabricError(
            f"restore: {params['restore']} has the schema {file.version or 'without a version'}, and the database {here.version}; convert a copy of the file"
            " by ovsdb-tool convert FILE /usr/share/ovn/ovn-nb.ovsschema, and give that"
        )
    if here.rows and not params["force"]:
        raise FabricError(
            f"restore: the database has {here.rows} rows, which would be replaced by the {file.rows} of {params['restore']}; back it up, then set force"
        )
    step = Restore(params["restore"], params["timeout"])
    return Change([step], {"database": {"rows": here.rows}}, {"database": {"rows": file.rows}})


def _judge(found: Found, params: t.Mapping[str, t.Any]) -> list[str]:
    """A restored database is what the file has. A backup may be of the moment before another's change."""
    if params["backup"] or found.file is None or found.file.digest == found.database.digest:
        return []
    return [
        f"restore: the database is not what {params['restore']} has: somebody else changes it meanwhile; stop that, then run this again"
    ]


def run(module: Module) -> None:
    """The module, where backup or restore is given."""
    params = module.params
    others = ("northbound", "southbound", "southbound_rbac", "ssl", "cluster")
    given = [name for name in others if params[name] is not None]
    if params["backup"] and params["restore"]:
        module.fail_json(msg="backup and restore are given in one task; give each a task of its own", changed=False)
    if given or params["state"] == "absent":
        option = "backup" if params["backup"] else "restore"
        other = given[0] if given else "state=absent"
        module.fail_json(
            msg=f"{option} and {other} are given in one task; give {option} a task of its own", changed=False
        )
    path = params["backup"] or params["restore"]
    if not path.startswith("/"):
        module.fail_json(msg=f"{path} is a relative path; give the path of a file from / on", changed=False)
    runner = module_runner(module)
    reconcile(
        module,
        lambda: read(runner, params),
        lambda found: compare(runner, found, params),
        runner,
        lambda found: {"snapshot": {"version": found.database.version, "rows": found.database.rows}},
        lambda found: _judge(found, params),
    )

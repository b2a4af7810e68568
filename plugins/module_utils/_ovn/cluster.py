# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ovn_database: this host's two databases as members of a cluster (raft).

This file is private to the collection. ovn-ctl itself makes and joins a cluster, by the words in OVN_CTL_OPTS, and keeps a copy of the stand-alone
database. Source: ovn-ctl(8), ovsdb(7), ovsdb-tool(1), ovsdb-server(1).
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host import content
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.raft import (
    BASES,
    Base,
    Row,
    answers,
    count_rows,
    read_status,
    settled,
)
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, in_words, may_change
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    AnyStep,
    Change,
    FabricError,
    Module,
    Remove,
    Runner,
    Step,
    Write,
    module_runner,
    reconcile,
)

FILE = "/etc/default/ovn-central"
# What ovn-northd asks. Where it is not there, the end of ovn-northd also ends the databases of its host (ovn-ctl, stop_northd).
NORTHD_FILE = "/etc/ovn/ovn-northd-db-params.conf"
NORTHD = "ovn-northd.service"
UNITS = (*(base.unit for base in BASES), NORTHD)
# The ports of clients (ovn-nb(5), ovn-sb(5)).
_CLIENTS = {"nb": 6641, "sb": 6642}
_SIZES = (3, 5)
_LINE = re.compile(r"\s*OVN_CTL_OPTS=(.*)")
_MARK = re.compile(r"# The cluster in OVN_CTL_OPTS belongs to (\S+), by overloom\.fabric\.")
_OURS = re.compile(r"--(db-(nb|sb)-(cluster-.+|create-insecure-remote|addr)|ovn-(nb|sb)-db-ssl-.+|ovn-northd-ssl-.+)")
_UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
# Seconds after which a cluster has a leader, if most of its servers can be reached: several elections.
_ELECTED = 20


class Wanted(t.NamedTuple):
    """The cluster as declared. address: this host's; create: make it where this host is in none; kick: remove who is no member."""

    address: str
    members: tuple[str, ...]
    create: bool
    kick: bool
    ssl: dict[str, str]

    @property
    def protocol(self) -> str:
        """tcp or ssl, for all that is said."""
        return "ssl" if self.ssl else "tcp"

    def place(self, base: Base, address: str) -> str:
        """Where a member is reached by the others."""
        return f"{self.protocol}:{bracketed(address)}:{base.port}"


class Found(t.NamedTuple):
    """text, asked: of the files with OVN_CTL_OPTS, and with what ovn-northd asks; bases: what each database is; rows: of a stand-alone one;
    near: other members that answer; stopped: services that do not run.
    """

    text: str
    asked: str
    bases: dict[str, Row]
    rows: dict[str, int]
    near: tuple[str, ...]
    stopped: tuple[str, ...]


def cluster_argument_spec() -> Row:
    """The option cluster."""
    return {
        "type": "dict",
        "options": {
            "address": {"type": "str"},
            "members": {"type": "list", "elements": "str"},
            "create": {"type": "bool", "default": False},
            "kick": {"type": "bool", "default": False},
        },
    }


def bracketed(address: str) -> str:
    """An address as a connection has it."""
    return f"[{address}]" if ":" in address else address


def declared(cluster: Row, ssl: dict[str, str] | None) -> Wanted | None:
    """The cluster as declared; None for none. Raises FabricError."""
    if not cluster.get("address") and not cluster.get("members"):
        return None
    address = _checked(cluster.get("address") or "", "cluster.address")
    members = tuple(dict.fromkeys(_checked(one, "cluster.members") for one in cluster.get("members") or ()))
    if len(members) not in _SIZES:
        raise FabricError(
            f"cluster.members has {len(members)} addresses; give three or five: two survive the loss of none, and four only that of one, as three do"
        )
    if address not in members:
        raise FabricError(
            f"cluster.address {address} is not among cluster.members; give the address by which the others reach this host"
        )
    for name, path in (ssl or {}).items():
        if re.search(r"[\s\"'\\$]", path):
            raise FabricError(f"ssl.{name} {path!r} has a character that OVN_CTL_OPTS cannot have; give another file")
    return Wanted(address, members, cluster["create"], cluster["kick"], ssl or {})


def _checked(address: str, where: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        raise FabricError(f"{where} has {address!r}; give an IP address of a host of the cluster") from None


def words_of(text: str) -> list[str]:
    """The words of OVN_CTL_OPTS; of several lines the last counts (systemd.exec(5))."""
    lines = [match[1] for match in map(_LINE.fullmatch, text.splitlines()) if match]
    return " ".join(shlex.split(lines[-1])).split() if lines else []


def owner_of(text: str) -> str | None:
    """Whose the cluster is."""
    marks = [match[1] for match in map(_MARK.fullmatch, text.splitlines()) if match]
    return marks[-1] if marks else None


def ours_of(words: t.Iterable[str]) -> list[str]:
    """The words that are about the cluster."""
    return [word for word in words if _OURS.fullmatch(word.partition("=")[0])]


def with_words(text: str, ours: t.Sequence[str], owner: str) -> str:
    """The file with these words for the cluster, and all else as it was."""
    words = [word for word in words_of(text) if word not in ours_of([word])] + list(ours)
    lines = [line for line in text.splitlines() if not (_LINE.fullmatch(line) or _MARK.fullmatch(line))]
    if ours:
        lines.append(f"# The cluster in OVN_CTL_OPTS belongs to {owner}, by overloom.fabric.")
    if words:
        lines.append(f'OVN_CTL_OPTS="{" ".join(words)}"')
    return "".join(f"{line}\n" for line in lines)


def _words(wanted: Wanted, joined: str | None) -> list[str]:
    """The words of a member. joined: through whom it joins, or has joined."""
    words = []
    here, files = bracketed(wanted.address), {"key": "private_key", "cert": "certificate", "ca-cert": "ca_cert"}
    for base in BASES:
        start = f"--db-{base.short}"
        words.append(f"{start}-cluster-local-addr={here}")
        if wanted.ssl:
            words.append(f"{start}-cluster-local-proto=ssl")
            words += [f"--ovn-{base.short}-db-ssl-{word}={wanted.ssl[name]}" for word, name in files.items()]
        else:
            words += [f"{start}-create-insecure-remote=yes", f"{start}-addr={here}"]
        if joined:
            words.append(f"{start}-cluster-remote-addr={bracketed(joined)}")
            words += [f"{start}-cluster-remote-proto=ssl"] if wanted.ssl else []
    return words + [f"--ovn-northd-ssl-{word}={wanted.ssl[name]}" for word, name in files.items() if wanted.ssl]


def _asked(wanted: Wanted) -> str:
    """What ovn-northd asks: all members, as it needs their leader."""
    words = []
    for base in BASES:
        remotes = (f"{wanted.protocol}:{bracketed(one)}:{_CLIENTS[base.short]}" for one in wanted.members)
        words.append(f"--ovn{base.short}-db={','.join(remotes)}")
    return " ".join(words) + "\n"


def read(runner: Runner, wanted: Wanted | None) -> Found:
    """What this host's databases are, and which other members answer where this one is in no cluster yet."""
    bases = {base.name: read_status(runner, base) for base in BASES}
    alone = [base for base in BASES if bases[base.name]["model"] != "clustered" or bases[base.name]["status"] == "left"]
    rows = {base.name: count_rows(runner, base) for base in alone if bases[base.name]["model"] == "standalone"}
    near: tuple[str, ...] = ()
    if wanted is not None and alone:
        others = [one for one in wanted.members if one != wanted.address]
        near = tuple(one for one in others if answers(one, alone[0].port))
    states = runner.run(("systemctl", "is-active", *UNITS))[1].split()
    stopped = tuple(unit for unit, state in zip(UNITS, states) if state in ("inactive", "failed"))
    return Found(content(FILE), content(NORTHD_FILE), bases, rows, near, stopped)


class Settled(t.NamedTuple):
    """Waits until a database is a member of a cluster that has a leader."""

    runner: Runner
    base: Base
    wanted: Wanted
    timeout: int

    @property
    def path(self) -> str:
        """The file."""
        return self.base.file

    def shown(self) -> str:
        """The command that waits for the same."""
        return shlex.join(
            ("ovsdb-client", f"--timeout={self.timeout}", "wait", self.base.socket, self.base.schema, "connected")
        )

    def do(self) -> None:
        """Wait. Raises FabricError."""
        until = time.monotonic() + self.timeout
        row = read_status(self.runner, self.base)
        while not settled(row):
            if time.monotonic() > until:
                raise FabricError(self._late(row))
            time.sleep(0.3)
            row = read_status(self.runner, self.base)

    def _late(self, row: Row) -> str:
        others = [one for one in self.wanted.members if one != self.wanted.address]
        silent = [self.wanted.place(self.base, one) for one in others if not answers(one, self.base.port)]
        why = f"{in_words(silent)} cannot be reached" if silent else "all others can be reached"
        return (
            f"{self.base.name}: no member of a cluster with a leader after {self.timeout} s (status: {row.get('status') or row['model']}); {why};"
            f" see /var/log/ovn/ovsdb-server-{self.base.short}.log here and there, then run this again"
        )


class Kick(t.NamedTuple):
    """Removes a server from a cluster, and waits until it is out."""

    runner: Runner
    base: Base
    server: str
    timeout: int

    @property
    def path(self) -> str:
        """The file."""
        return self.base.file

    def shown(self) -> str:
        """The command."""
        return shlex.join(self.base.control("cluster/kick", self.base.schema, self.server))

    def do(self) -> None:
        """Remove it. Raises FabricError."""
        self.runner(self.base.control("cluster/kick", self.base.schema, self.server))
        until = time.monotonic() + self.timeout
        while self.server in addresses(read_status(self.runner, self.base)):
            if time.monotonic() > until:
                raise FabricError(
                    f"{self.base.name}: {self.server} is still in the cluster {self.timeout} s after its removal began; run this again"
                )
            time.sleep(0.3)


def addresses(row: Row) -> list[str]:
    """The servers of a cluster."""
    return [server["address"] for server in row.get("servers", ())]


def compare(runner: Runner, found: Found, wanted: Wanted | None, caller: Caller, timeout: int) -> Change:
    """The steps that make this host's databases what is declared. Pure, but for the runner, which the steps get."""
    if wanted is None:
        return _dissolved(found, caller)
    for base in BASES:
        _check(base, found, wanted)
    change = Change([], _shown(found), _shown(found))
    fresh = [base for base in BASES if _fresh(found.bases[base.name])]
    touched = _configure(change, found, wanted, bool(fresh), caller)
    _start(change, found, fresh, touched)
    # Of a server that only lacks its leader, the judgement after it tells.
    started = t.cast("dict[str, t.Any]", change.after).get("started", ())
    change.steps.extend(Settled(runner, base, wanted, timeout) for base in BASES if base.unit in started)
    for base in BASES:
        for server in _surplus(base, found.bases[base.name], wanted):
            change.steps.append(Kick(runner, base, server, timeout))
            t.cast("dict[str, t.Any]", change.after).setdefault("kicked", []).append(server)
    return change


def _configure(change: Change, found: Found, wanted: Wanted, fresh: bool, caller: Caller) -> list[str]:
    """Write what ovn-ctl reads; which words are others, and NORTHD_FILE if that is."""
    after = t.cast("dict[str, t.Any]", change.after)
    held, words, asked = ours_of(words_of(found.text)), _words(wanted, _joined(found, wanted, fresh)), _asked(wanted)
    touched = sorted(set(words) ^ set(held))
    if touched:
        if held:
            _may_change(FILE, found, caller)
        change.steps.append(Write(FILE, with_words(found.text, words, caller.owner)))
        after["options"] = words
    if found.asked != asked:
        if found.asked:
            _may_change(NORTHD_FILE, found, caller)
        change.steps.append(Write(NORTHD_FILE, asked))
        after["northd"] = asked.strip()
        touched.append(NORTHD_FILE)
    return touched


def _may_change(file: str, found: Found, caller: Caller) -> None:
    change = "its words for a cluster would be changed"
    may_change(file, owner_of(found.text), caller, change, way="leave cluster out")


def _start(change: Change, found: Found, fresh: t.Sequence[Base], touched: t.Sequence[str]) -> None:
    """Start anew what has other words, is in no cluster yet, or does not run."""
    for base in fresh:
        if found.bases[base.name].get("status") == "left":
            change.steps.append(Step(("systemctl", "reset-failed", base.unit)))
            change.steps.append(Step(("mv", base.file, f"{base.file}.left")))
    units = [base.unit for base in BASES if base in fresh or base.unit in found.stopped or _restarts(base, touched)]
    if NORTHD in found.stopped or any(word.startswith(("--ovn-northd", NORTHD_FILE)) for word in touched):
        units.append(NORTHD)
    if units:
        t.cast("dict[str, t.Any]", change.after)["started"] = units
        change.steps.append(Step(("systemctl", "restart", *units)))


def _fresh(row: Row) -> bool:
    """Whether a database is in no cluster yet, or no more."""
    return row["model"] != "clustered" or row["status"] == "left"


def _restarts(base: Base, touched: t.Iterable[str]) -> bool:
    """Whether a server has to begin anew with other words; how a cluster was joined is of no use any more."""
    mine = (f"--ovn-{base.short}-db", f"--db-{base.short}")
    return any(word.startswith(mine) and "-cluster-remote-" not in word for word in touched)


def _joined(found: Found, wanted: Wanted, fresh: bool) -> str | None:
    """Through whom this host joins; one that is in a cluster keeps whom it had."""
    start = "--db-nb-cluster-remote-addr="
    held = [word[len(start) :].strip("[]") for word in words_of(found.text) if word.startswith(start)]
    if not fresh:
        return held[0] if held else None
    if wanted.create:
        return None
    others = [one for one in wanted.members if one != wanted.address]
    return next(iter(found.near), others[0])


def _check(base: Base, found: Found, wanted: Wanted) -> None:
    """Refuse what would lose rows, or split a cluster."""
    row = found.bases[base.name]
    if not _fresh(row):
        if row.get("address") not in (None, wanted.place(base, wanted.address)):
            raise FabricError(
                f"{base.name}: this host is in a cluster as {row['address']}, and not as {wanted.place(base, wanted.address)}; a member cannot change"
                " that in place: make it stand-alone with an empty map for cluster, let another member kick it, and let it join again"
            )
        return
    if wanted.create and found.near:
        raise FabricError(
            f"{base.name}: {found.near[0]} answers as the member of a cluster already; leave create out, and this host joins it"
        )
    if not wanted.create and found.rows.get(base.name):
        raise FabricError(
            f"{base.name}: the stand-alone database of this host has {found.rows[base.name]} rows, which would be lost as it joins a cluster; make the"
            " cluster on this host (create), or remove the rows"
        )


def _surplus(base: Base, row: Row, wanted: Wanted) -> list[str]:
    """The servers that have to go. Raises FabricError where no quorum would decide it, or be left."""
    members = [wanted.place(base, one) for one in wanted.members]
    surplus = [address for address in addresses(row) if address not in members] if wanted.kick else []
    if not surplus:
        return []
    left = [server for server in row["servers"] if server["address"] in members]
    alive = sum(server["connected"] for server in left)
    if not row["leader"] or 2 * alive <= len(left):
        raise FabricError(
            f"{base.name}: {in_words(surplus)} cannot be removed, as of the {len(left)} servers that stay {alive} can be reached"
            f"{'' if row['leader'] else ', and the cluster has no leader'}, which is no quorum; start the others first"
        )
    return surplus


def _dissolved(found: Found, caller: Caller) -> Change:
    """Make the databases stand-alone, with the rows that this host has of them."""
    owner, held = owner_of(found.text), ours_of(words_of(found.text))
    clustered = [base for base in BASES if found.bases[base.name]["model"] == "clustered"]
    if not (held or clustered) or (owner != caller.owner and not caller.adopt):
        return Change([], {}, {})
    steps: list[AnyStep] = [Step(("systemctl", "stop", *UNITS))]
    for base in clustered:
        aside = f"{base.file}.standalone"
        steps += [
            Step(("rm", "-f", aside)),
            Step(("ovsdb-tool", "cluster-to-standalone", aside, base.file)),
            Step(("mv", base.file, f"{base.file}.cluster")),
            Step(("mv", aside, base.file)),
        ]
    steps += [Write(FILE, with_words(found.text, (), caller.owner)), Remove(NORTHD_FILE)]
    steps += [Step(("systemctl", "reset-failed", *UNITS)), Step(("systemctl", "start", *UNITS))]
    after = {"options": [], "northd": "", "databases": {base.name: {"model": "standalone"} for base in BASES}}
    return Change(steps, _shown(found), after)


def _shown(found: Found) -> Row:
    bases = {}
    for base in BASES:
        row = found.bases[base.name]
        bases[base.name] = {name: row[name] for name in ("model", "address") if name in row}
    return {"options": ours_of(words_of(found.text)), "northd": found.asked.strip(), "databases": bases}


def _check_host(ssl: t.Mapping[str, str]) -> None:
    if not any(os.path.exists(f"{folder}/{BASES[0].unit}") for folder in _UNIT_FOLDERS):
        raise FabricError(
            f"cluster: this host has no service {BASES[0].unit}; install the package ovn-central (Debian, Ubuntu), as that of no other distribution is known"
        )
    for name, path in ssl.items():
        if not os.path.exists(path):
            raise FabricError(f"ssl.{name}: there is no file {path}; put it on this host first")
        if name == "private_key" and os.stat(path).st_mode & 0o007:
            raise FabricError(f"ssl.{name}: everybody can read {path}; give it the mode 0600")


def _await_leader(runner: Runner, found: Found) -> list[str]:
    """What to say of databases that have no leader, and get none in a while."""
    late = []
    until = time.monotonic() + _ELECTED
    for base in BASES:
        row = found.bases[base.name]
        while not settled(row) and time.monotonic() < until:
            time.sleep(0.3)
            row = read_status(runner, base)
        if not settled(row):
            near = sum(server["connected"] for server in row.get("servers", ()))
            late.append(
                f"{base.name}: the cluster has no leader, as {near} of {len(addresses(row))} servers can be reached; start the others"
            )
    return late


def run(module: Module) -> None:
    """The module, where cluster is given."""
    params = module.params
    runner = module_runner(module)
    try:
        ssl = {name: path for name, path in (params["ssl"] or {}).items() if path}
        wanted = declared(params["cluster"] or {}, ssl)
        if any(params[name] is not None for name in ("northbound", "southbound", "southbound_rbac")):
            raise FabricError(
                "cluster and listeners are declared in one task; give northbound and southbound in a task after it, as they are in the cluster's databases"
            )
        if wanted is not None:
            _check_host(ssl)
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)

    reconcile(
        module,
        lambda: read(runner, wanted),
        lambda found: compare(runner, found, wanted, Caller(params["owner"], params["adopt"]), params["timeout"]),
        runner,
        lambda found: {"cluster": found.bases},
        lambda found: _await_leader(runner, found) if wanted is not None else (),
    )

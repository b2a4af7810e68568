# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How ovn-nbctl and ovn-sbctl are called, and what they say when they cannot do their work.

This file is private to the collection. Source: ovn-nbctl(8), ovn-sbctl(8).
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import ovs_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Run, Runner, module_runner
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import booted

_DATABASES = {"ovn-nbctl": "northbound", "ovn-sbctl": "southbound"}
_REFUSED = "database connection failed "
# The services that start the databases: of Debian and Ubuntu, of other distributions.
_SERVICES = ("ovn-central.service", "ovn-northd.service")
# Seconds from the start of such a service until the databases answer, at the most.
_STARTING = 15


def client_argument_spec() -> dict[str, t.Any]:
    """How a database is reached: the options that the modules for Open vSwitch have, too."""
    return ovs_argument_spec()


def begin(program: str, params: t.Mapping[str, t.Any]) -> list[str]:
    """The beginning of every call."""
    files = {"private_key": "private-key", "certificate": "certificate", "ca_cert": "ca-cert"}
    words = [program, f"--timeout={params['timeout']}"]
    where = params.get("database")
    # The host's own server is asked even if it only follows in a cluster of others, where the client would wait for the leader in vain.
    words.append(f"--db={where}" if where else "--no-leader-only")
    given = [(word, params.get(f"database_{name}")) for name, word in files.items()]
    return words + [f"--{word}={path}" for word, path in given if path]


class NoDatabase(FabricError):
    """OVN is not installed, or its database does not answer."""


def client_runner(module: t.Any, *programs: str) -> Runner:
    """A Runner that says in one sentence why these clients of OVN's databases could not do their work."""
    inner = module_runner(module)._run

    def run(argv: t.Sequence[str], stdin: str | None) -> tuple[int, str, str]:
        try:
            status, out, err = inner(argv, stdin)
        except FileNotFoundError:
            if argv[0] not in programs:
                raise
            raise NoDatabase(
                f"{argv[0]} is not installed: install the package ovn-common (Debian, Ubuntu) or ovn (other distributions)"
            ) from None
        until = time.monotonic() + _STARTING
        local = argv[0] in programs and not any(word.startswith("--db=") for word in argv)
        while status and local and _REFUSED in err and _is_starting(inner) and time.monotonic() < until:
            time.sleep(0.5)
            status, out, err = inner(argv, stdin)
        if status and argv[0] in programs and _waited_in_vain(_DATABASES[argv[0]], status, argv, err):
            return 0, out, err
        return status, out, err

    return Runner(run)


def _is_starting(inner: Run) -> bool:
    """Whether a service is there that starts the databases: it counts as started before they answer."""
    try:
        return booted() and "active" in inner(("systemctl", "is-active", *_SERVICES), None)[1].split()
    except FileNotFoundError:
        return False


def _waited_in_vain(database: str, status: int, argv: t.Sequence[str], err: str) -> bool:
    """Whether the change is in the database, and only others did not take it up in time, which the judgement after it tells.

    Raises NoDatabase about a call that could not reach the database.
    """
    if "database connection failed" in err:
        said = (
            err.strip().splitlines()[-1].rpartition("database connection failed ")[2].strip("()") or "nothing was said"
        )
        raise NoDatabase(
            f"OVN's {database} database cannot be reached ({said}): start the service ovn-central (Debian, Ubuntu) or ovn-northd "
            "(other distributions), or correct the option database"
        )
    if status not in (-14, 142) and "signal 14" not in err:
        return False
    if not any(word.startswith("--wait=") for word in argv):
        seconds = argv[1].partition("=")[2]
        raise NoDatabase(
            f"OVN's {database} database did not answer in {seconds} s; check that its server runs, then run this again"
        )
    return True

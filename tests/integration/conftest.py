# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of the integration tests: see harness.py for what a host can do."""

from __future__ import annotations

import pathlib
import sys
import typing as t

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import harness  # noqa: E402  # pylint: disable=wrong-import-position
import roots  # noqa: E402  # pylint: disable=wrong-import-position

HOSTS = ("a", "b")


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> harness.Machine:
    """The machine that the tests run on."""
    machine = harness.Machine(tmp_path_factory.mktemp("library"))
    harness.remove_abandoned(machine)
    return machine


@pytest.fixture(scope="session")
def session_lab(machine: harness.Machine) -> t.Iterator[harness.Lab]:
    """Two hosts, a and b, cabled a:eth1 to b:eth1, with Open vSwitch enabled and started."""
    lab = harness.Lab(machine, harness.lab_name(), roots.lab_root())
    try:
        _make(lab)
        for name in HOSTS:
            lab.host(name).run(["systemctl", "enable", "--now", "--quiet", "openvswitch-switch"])
        yield lab
    finally:
        lab.remove()


def _make(lab: harness.Lab) -> None:
    lab.make(HOSTS, [["a:eth1", "b:eth1"]])


def _clean(lab: harness.Lab, names: t.Iterable[str]) -> list[harness.Host]:
    hosts = [lab.host(name) for name in names]
    if any(host.leader is None for host in hosts):
        _make(lab)
    for host in hosts:
        host.clean()
    return hosts


@pytest.fixture
def host(session_lab: harness.Lab) -> harness.Host:
    """A systemd host with Open vSwitch running and nothing in it.

    Its NIC eth1 is down and without address, as that of a fresh machine is.
    """
    return _clean(session_lab, HOSTS[:1])[0]


@pytest.fixture
def pair(session_lab: harness.Lab) -> tuple[harness.Host, harness.Host]:
    """Two such hosts, a and b, with a cable between the eth1 of both. Both NICs are down and without address."""
    first, second = _clean(session_lab, HOSTS)
    return first, second


@pytest.fixture(scope="module")
def frr_stopped_afterwards(session_lab: harness.Lab) -> t.Iterator[None]:
    """FRR goes on running between the tests of a file, and not after them."""
    yield
    for name in HOSTS:
        if session_lab.host(name).leader is not None:
            session_lab.host(name).run(["systemctl", "stop", "frr"], ok=None)

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host has: its interfaces, who configures each of them, and the files that are ours.

This file is private to the collection.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host import content
from ansible_collections.overloom.fabric.plugins.module_utils._host_network import ifupdown, networkd, networkmanager
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.declaration import Kept, noted
from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Runner
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import property_blocks

NETWORKD, NETWORKMANAGER, IFUPDOWN = "networkd", "networkmanager", "ifupdown"
MANAGERS = (NETWORKD, NETWORKMANAGER, IFUPDOWN)
_UNITS = {"systemd-networkd.service": NETWORKD, "NetworkManager.service": NETWORKMANAGER}
_INTERFACES = "/etc/network/interfaces"
_FOLDERS = {
    NETWORKD: (f"{networkd.FOLDER}/{networkd.PREFIX}*", f"{networkd.FOLDER}/*.network.d/{networkd.DROPIN}*.conf"),
    NETWORKMANAGER: (f"{networkmanager.FOLDER}/{networkmanager.PREFIX}*{networkmanager.SUFFIX}",),
    IFUPDOWN: (f"{ifupdown.FOLDER}/{ifupdown.PREFIX}*",),
}
_NOTES = {NETWORKD: networkd.NOTE, NETWORKMANAGER: networkmanager.NOTE, IFUPDOWN: ifupdown.NOTE}


class Claim(t.NamedTuple):
    """Who else configures an interface. exact: its file is for this interface alone."""

    manager: str
    where: str
    exact: bool = True


class Found(t.NamedTuple):
    """What is on the host.

    links: of `ip -details address show`, by name. running: managers that run. managed: interfaces that NetworkManager has not left alone.
    claims: who else configures an interface. files: those of ours, by manager and path. kept: what they note, by manager and interface.
    sources: the patterns that /etc/network/interfaces reads.
    """

    links: dict[str, dict[str, t.Any]]
    running: frozenset[str]
    managed: frozenset[str] = frozenset()
    claims: t.Mapping[str, t.Sequence[Claim]] = {}
    files: t.Mapping[str, t.Mapping[str, str]] = {}
    kept: t.Mapping[str, t.Mapping[str, Kept]] = {}
    sources: tuple[str, ...] = ()


def read(runner: Runner) -> Found:
    """Read the host: two processes, and two more where NetworkManager runs."""
    links = read_links(runner)
    running = _running(runner)
    files = {manager: _texts(patterns) for manager, patterns in _FOLDERS.items()}
    kept = {manager: _kept(texts.values(), _NOTES[manager]) for manager, texts in files.items()}
    ours = frozenset(path for texts in files.values() for path in texts)
    claims: dict[str, list[Claim]] = {}
    if NETWORKD in running:
        _add(claims, _by_networkd(links, ours))
    managed: frozenset[str] = frozenset()
    if NETWORKMANAGER in running:
        managed, found = _by_networkmanager(runner, ours)
        _add(claims, found)
    sources: tuple[str, ...] = ()
    if IFUPDOWN in running:
        sources, found = _by_ifupdown(ours)
        _add(claims, found)
    return Found(links, running, managed, claims, files, kept, sources)


def read_links(runner: Runner) -> dict[str, dict[str, t.Any]]:
    """The interfaces as ip(8) tells them, by name."""
    rows = documents(runner(("ip", "-json", "-details", "address", "show")))[0]
    return {row["ifname"]: row for row in rows if row.get("ifname")}


def _add(claims: dict[str, list[Claim]], found: t.Iterable[tuple[str, Claim]]) -> None:
    for name, claim in found:
        if claim not in claims.setdefault(name, []):
            claims[name].append(claim)


class Noted(t.NamedTuple):
    """An interface that files of ours make or configure. manager: whose files these are."""

    name: str
    owner: str
    manager: str


def read_notes() -> list[Noted]:
    """What files of ours note on this host, without a process."""
    return [
        Noted(name, kept.owner, manager)
        for manager, patterns in _FOLDERS.items()
        for name, kept in sorted(_kept(_texts(patterns).values(), _NOTES[manager]).items())
    ]


def _running(runner: Runner) -> frozenset[str]:
    """The managers that run; ifupdown, which is no daemon, where it is installed."""
    _status, out, _error = runner.run(("systemctl", "show", "--property=Id,ActiveState", *_UNITS))
    blocks = property_blocks(out)
    found = {_UNITS[one["Id"]] for one in blocks if one.get("Id") in _UNITS and one.get("ActiveState") == "active"}
    return frozenset(found | ({IFUPDOWN} if shutil.which("ifup") and os.path.exists(_INTERFACES) else set()))


def _texts(patterns: t.Iterable[str]) -> dict[str, str]:
    return {path: content(path) for pattern in patterns for path in sorted(glob.glob(pattern))}


def _kept(texts: t.Iterable[str], mark: str) -> dict[str, Kept]:
    """What files note of interfaces."""
    lines = (line for text in texts for line in text.splitlines() if line.startswith(mark))
    found = (noted(line[len(mark) :]) for line in lines)
    return {one.item.name: one for one in found if one is not None}


def _by_networkd(
    links: t.Mapping[str, t.Mapping[str, t.Any]], ours: t.Collection[str]
) -> t.Iterator[tuple[str, Claim]]:
    """The interfaces that other .network files match."""
    for name, link in links.items():
        state = dict(
            line.partition("=")[::2] for line in content(f"/run/systemd/netif/links/{link['ifindex']}").splitlines()
        )
        path = state.get("NETWORK_FILE", "")
        if path and path not in ours:
            yield name, Claim(NETWORKD, path, networkd.for_one(content(path)))


def _by_networkmanager(runner: Runner, ours: t.Collection[str]) -> tuple[frozenset[str], list[tuple[str, Claim]]]:
    """The interfaces that NetworkManager does not leave alone, and those that connections of others are for.

    A connection that it has made up by itself, as it does for each NIC, is below /run and nobody's; those of Netplan are there, too.
    """
    managed, active = set(), {}
    for line in runner(
        ("nmcli", "--terse", "--escape", "no", "--fields", "DEVICE,STATE,CON-UUID", "device")
    ).splitlines():
        name, state, connection = (*line.split(":"), "", "")[:3]
        if state != "unmanaged":
            managed.add(name)
        active[connection] = name
    found = []
    listed = runner(("nmcli", "--terse", "--escape", "no", "--fields", "UUID,FILENAME", "connection"))
    for connection, _colon, path in (line.partition(":") for line in listed.splitlines()):
        if path in ours or not networkmanager.kept(path):
            continue
        bound = re.findall(r"(?m)^interface-name=(\S+)\s*$", content(path))
        names = {*bound, *([active[connection]] if connection in active else [])}
        found += [(name, Claim(NETWORKMANAGER, path, bool(bound))) for name in sorted(names)]
    return frozenset(managed), found


def _by_ifupdown(ours: t.Collection[str]) -> tuple[tuple[str, ...], list[tuple[str, Claim]]]:
    """The patterns that the main file reads, and the interfaces that other files have a stanza for."""
    main = content(_INTERFACES)
    sources = tuple(os.path.join(os.path.dirname(_INTERFACES), one) for one in ifupdown.sourced(main))
    texts = {_INTERFACES: main, **_texts(sources)}
    return sources, [
        (name, Claim(IFUPDOWN, path))
        for path, text in texts.items()
        if path not in ours
        for name in ifupdown.defined(text)
    ]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backing chains: a disk whose chain leads to the declared image is that disk, whatever snapshots lie upon it.

This file is private to the collection.
"""

from __future__ import annotations

import json
import os
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._guest import image as _image
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.devices import view_disk
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_declaration import Domain
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import Mark
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

# libvirt itself follows no longer chain.
LONGEST = 200


class Chain(t.NamedTuple):
    """The images beneath one, the top first, each also by its real path. problem: the reason why they end early, or empty."""

    paths: tuple[str, ...]
    problem: str = ""

    def leads_to(self, path: str) -> bool:
        """Whether an image is one of them."""
        return path in self.paths or os.path.normpath(path) in self.paths


def backing_path(name: str, upper: str) -> str | None:
    """The path of an image's backing file by the name that its header has, or None for one that is no file.

    upper: the image's own path, to which a relative name belongs.
    """
    if name.startswith("json:"):
        try:
            found = json.loads(name[5:])
        except ValueError:
            return None
        found = found.get("file", found) if isinstance(found, dict) else {}
        name = found if isinstance(found, str) else found.get("filename") or found.get("file.filename") or ""
    name = name[5:] if name.startswith("file:") else name
    if not name or "://" in name or name.partition(":")[0] in ("rbd", "nbd", "iscsi", "fat"):
        return None
    return os.path.normpath(os.path.join(os.path.dirname(upper), name))


def follow(path: str, look: t.Callable[[str], _image.Image] = _image.look, known: t.Sequence[str] = ()) -> Chain:
    """Read a chain from the images' own headers. known: the chain that libvirt has seen, where a header cannot be read."""
    paths: list[str] = []
    while len(paths) < LONGEST:
        if path in paths:
            return Chain(tuple(paths), f"{path} lies upon itself")
        paths += dict.fromkeys([path, os.path.realpath(path)])
        try:
            image = look(path)
        except FabricError as error:
            return _known(paths, known, str(error))
        if not image.exists:
            return _known(paths, known, f"{path} does not exist")
        if not image.backing:
            return Chain(tuple(paths))
        below = backing_path(image.backing, path)
        if below is None:
            return _known(paths, known, f"{path} lies upon {image.backing}, which is no file")
        path = below
    return Chain(tuple(paths), "it has no end")


def _known(paths: list[str], known: t.Sequence[str], problem: str) -> Chain:
    return Chain((*paths, *known)) if known else Chain(tuple(paths), problem)


def stated(disk: ET.Element) -> list[str]:
    """The images beneath a disk as its document states them."""
    found = [source.get("file") or source.get("dev") or "" for source in disk.iterfind(".//backingStore/source")]
    return [path for path in found if path]


def read_chains(documents: t.Iterable[ET.Element]) -> dict[str, Chain]:
    """The chain of each disk of these documents that is a file or a block device, by the path of its top image."""
    chains: dict[str, Chain] = {}
    for root in documents:
        for disk in root.findall("devices/disk"):
            path = view_disk(disk)["path"]
            if path and disk.get("device", "disk") == "disk" and path not in chains:
                chains[path] = follow(path, known=stated(disk))
    return chains


def bind(
    domain: Domain,
    root: ET.Element,
    mark: Mark,
    chains: t.Mapping[str, Chain],
    places: t.Callable[[t.Mapping[str, t.Any]], str],
) -> tuple[Domain, list[str]]:
    """The wanted domain with each disk bound to the image that lies upon the declared one, and what is to be told.

    places: from a declared disk to the path of its image, empty when its pool does not tell.
    """
    seen = {view_disk(disk)["target"]: view_disk(disk) for disk in root.findall("devices/disk")}
    disks, declared, told = [], {}, []
    for disk in domain.options.get("disks", ()):
        there = seen.get(disk["target"])
        wanted = places(disk)
        if there is None or disk["device"] != "disk" or not there["path"] or there["path"] == wanted:
            disks.append(disk)
            continue
        chain = chains.get(there["path"], Chain((), "it was not read"))
        if not chain.leads_to(wanted):
            left = _left(disk, wanted, there["path"], chain, mark)
            if not left:
                disks.append(disk)
                continue
            told.append(f"domain {domain.name}: disk {disk['target']} stays on {there['path']}: {left}")
        declared[disk["target"]] = disk
        disks.append(
            {
                **disk,
                **{key: there[key] for key in ("path", "pool", "volume", "format") if key in disk or key == "path"},
            }
        )
    if not declared:
        return domain, told
    return domain._replace(options={**domain.options, "disks": disks}, declared=declared), told


def _left(disk: t.Mapping[str, t.Any], wanted: str, there: str, chain: Chain, mark: Mark) -> str:
    """Why a disk that lies elsewhere than declared is left there; empty when it is to be moved."""
    if not wanted:
        return f"the pool {disk['pool']} does not tell where {disk['volume']} lies"
    if chain.problem:
        return f"whether it lies upon {wanted} cannot be seen ({chain.problem})"
    place = f"{disk['pool']}/{disk['volume']}" if disk.get("pool") else wanted
    if place in mark.storage and there not in mark.storage:
        # A snapshot that was pulled together, or a copy: the image that was made for the guest is the older one.
        return f"{wanted} was made for the guest and somebody has replaced it since; declare the new path, or put {wanted} back with virsh edit"
    return ""


def upon(mark: Mark, chains: t.Mapping[str, Chain], place: str) -> str:
    """An image that lies upon one that was made for a guest and was not made by us, or empty: without the lower one it would be lost."""
    real = os.path.realpath(place)
    for top, chain in sorted(chains.items()):
        if (
            top not in mark.storage
            and os.path.realpath(top) != real
            and (chain.leads_to(place) or chain.leads_to(real))
        ):
            return top
    return ""

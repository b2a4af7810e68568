# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains as tools and people leave them, one of each kind (domains/*.xml); all are called vm1.

Unit tests patch each of them with each option; on a real host libvirt itself takes them first (test_libvirt_foreign.py).
"""

from __future__ import annotations

import collections
import functools
import pathlib
import re
import typing as t

from lxml import etree

FOLDER = pathlib.Path(__file__).with_name("domains")
DOCUMENTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.xml"))}
# What libvirt 9.0 does not know or take yet: only patched, never given to it.
NEWER = {name: DOCUMENTS.pop(name) for name in [*DOCUMENTS] if name.startswith("newer-")}

MARK = "{urn:overloom.fabric}fabric"
# Options that each of the documents can take, with the lines that may differ then, as a reader of libvirt's documentation would say it.
STEPS: list[tuple[dict[str, t.Any], str]] = [
    ({"title": "Neu – 新"}, "title"),
    ({"description": "a & <b>"}, "description"),
    ({"metadata": {"role": "web"}}, ""),
    ({"memory": "1GiB"}, "(memory|currentMemory)(/@unit)?|cpu/numa/cell/@(memory|unit)"),
    ({"vcpus": 1}, "vcpu(/@current)?"),
    ({"cpu_mode": "maximum"}, "cpu|cpu/@(mode|match|check|migratable)|cpu/(model|vendor)(/@fallback)?"),
    (
        {"cpu_mode": "custom", "cpu_model": "qemu64"},
        "cpu|cpu/@(mode|match|check|migratable)|cpu/(model|vendor)(/@fallback)?",
    ),
    ({"boot": ["network", "hd"]}, "os/boot/@dev|devices/.*/boot/@order"),
    ({"serial": {"log": "/var/log/libvirt/qemu/new-console.log"}}, "devices/(serial 0|console serial).*"),
    (
        {"graphics": [{"type": "vnc", "listen": "127.0.0.1", "port": 5978}, {"type": "spice"}]},
        "devices/(graphics (vnc|spice)|audio).*",
    ),
    ({"graphics": [{"type": "vnc", "password": "abc"}, {"type": "spice"}]}, "devices/(graphics (vnc|spice)|audio).*"),
    ({"video": "virtio"}, "devices/video/model/@(type|ram|vram|vram64|vgamem|heads|primary)|devices/video/address.*"),
    ({"guest_agent": True}, r"devices/(channel org\.qemu\.guest_agent\.0|controller virtio-serial).*"),
    ({"tpm": {"model": "tpm-tis", "version": "2.0"}}, "devices/tpm.*"),
    ({"nics": [{"bridge": "br0", "mac": "52:54:00:0b:00:09", "vlan": 10}]}, "devices/interface 52:54:00:0b:00:09.*"),
    ({"xml": "<domain><devices><input type='keyboard' bus='virtio'/></devices></domain>"}, "devices/input.*"),
]


@functools.lru_cache(maxsize=None)
def canonical(text: str | bytes) -> collections.Counter[tuple[str, str]]:
    """Each attribute, text, remark and instruction of a document by its path, without the owner's mark; a device by what tells it from others."""
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    for element in etree.fromstring(text).iter():
        steps = [_step(each) for each in reversed([element, *element.iterancestors()])][1:]
        # libvirt keeps remarks in the metadata alone.
        if MARK in steps or steps[-1:] == ["#"] and steps[0] != "metadata":
            continue
        path = "/".join(steps)
        for name, value in element.attrib.items():
            found[f"{path}/@{name}".lstrip("/"), value] += 1
        for words in (element.text, element.tail if "metadata/" in path else ""):
            if (words or "").strip():
                found[path, words.strip()] += 1
        if (
            not element.attrib
            and not len(element)
            and not (element.text or "").strip()
            and path not in ("metadata", "devices")
        ):
            found[path, ""] += 1
    return found


def _step(element: t.Any) -> str:
    parent = element.getparent()
    if not isinstance(element.tag, str):
        return "#"
    if parent is None or parent.tag != "devices":
        return element.tag
    keys = {
        "disk": "target/@dev",
        "interface": "mac/@address",
        "graphics": "@type",
        "serial": "target/@port",
        "channel": "target/@name",
        "console": "target/@type",
        "controller": "concat(@type, ' ', @index)",
    }
    return f"{element.tag} {element.xpath(f'string({keys[element.tag]})') if element.tag in keys else ''}".strip()


def besides(before: str | bytes, after: str | bytes, may: str) -> list[tuple[str, str]]:
    """The lines in which two documents differ and which an option may not change. may: the paths of its own, as a pattern."""
    old, new = canonical(before), canonical(after)
    return [line for line in [*(old - new), *(new - old)] if not re.fullmatch(may, line[0])]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An imported intent as the files of an inventory, and for a terminal. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import textwrap
import typing as t

import yaml

from ansible_collections.overloom.fabric.plugins.plugin_utils._import.intent import Imported
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.reading import Note

Item = t.Dict[str, t.Any]

WIDTH = 140


def files(found: Imported) -> dict[str, str]:
    """The files of the inventory by their paths in its folder."""
    hosts = {"all": {"children": {"kvm_hosts": {"hosts": found.hosts}}}}
    what = "What the hosts have for themselves, as import found it. How they are reached stands in the inventory that it was started with."
    return {
        "hosts.yml": f"---\n# {what}\n{_yaml(hosts)}",
        "group_vars/all.yml": f"---\n{''.join(_remarks(found))}{_yaml(found.common)}",
    }


class _Dumper(yaml.SafeDumper):
    """Writes YAML as yamllint wants it: with lists indented in what they belong to."""

    # Only of lists in brackets does the argument say anything else.
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless and flow)


def _yaml(data: t.Any) -> str:
    style = {"sort_keys": False, "allow_unicode": True, "width": WIDTH, "default_flow_style": None}
    return yaml.dump(data, Dumper=_Dumper, **style)


def _remarks(found: Imported) -> t.Iterator[str]:
    """What a reader of the file has to know."""
    yield "# The network of these hosts, as import found it.\n"
    yield from _listed("Not understood:", [note.sentence() for note in found.unknown])
    yield from _listed("What site.yml will set otherwise:", [_change(*change) for change in found.changes])
    yield from _listed("The plan refuses it:", found.refused)


def _listed(title: str, sentences: list[str]) -> t.Iterator[str]:
    """A list as comments."""
    if sentences:
        yield f"#\n# {title}\n"
    for sentence in sentences:
        lines = textwrap.wrap(sentence, WIDTH, initial_indent="# - ", subsequent_indent="#   ", break_long_words=False)
        yield "\n".join([*lines, ""])


def _change(host: str, thing: str, seen: str, planned: str) -> str:
    return f"{host} {thing}: {seen}; planned: {planned}"


def report(found: Imported, unread: t.Mapping[str, str]) -> Item:
    """For programs. unread: why hosts could not be read."""
    names = ("host", "thing", "found", "planned")
    return {
        "hosts": sorted(found.hosts),
        "unread": dict(unread),
        "unknown": [note._asdict() for note in found.unknown],
        "changes": [dict(zip(names, change)) for change in found.changes],
        "refused": found.refused,
    }


def lines(found: Imported, unread: t.Mapping[str, str], folder: str) -> list[str]:
    """For a terminal: what was understood, what was not, what a run will set otherwise."""
    common = found.common
    shown = [f"  {'●' if found.hosts else '✗'} hosts understood  {', '.join(found.hosts) or 'none'}"]
    shown += [f"  ✗ {host}: {why}" for host, why in unread.items()]
    for overlay in common.get("fabric_overlays", ()):
        shown.append(
            f"    overlay {overlay['name']}: {overlay['encapsulation']}, bridge {overlay.get('bridge', 'of the underlay')}"
        )
    for segment in common.get("fabric_segments", ()):
        points = [
            f"{host}/{point['name']}"
            for host, own in found.hosts.items()
            for point in own.get("fabric_endpoints", ())
            if point["segment"] == segment["name"]
        ]
        shown.append(f"    segment {segment['name']}: {segment['subnet']}, {', '.join(points)}")
    shown += _section("not understood", [line for note in found.unknown for line in _note(note)])
    changes = [line for change in found.changes for line in _change_lines(*change)]
    shown += _section("what site.yml will set otherwise", changes)
    shown += _section("the plan refuses it", [f"  ✗ {problem}" for problem in found.refused])
    return [*shown, "", f"  written to {folder}"] if found.hosts else shown


def _section(title: str, things: list[str]) -> list[str]:
    return ["", f"  {title}", *things] if things else []


def _note(note: Note) -> list[str]:
    return [f"  ? {note.host} {note.thing}", f"      {note.why}", f"      → {note.way}"]


def _change_lines(host: str, thing: str, seen: str, planned: str) -> list[str]:
    return [f"    {host} {thing}", f"      {seen}; planned: {planned}"]

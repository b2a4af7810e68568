# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last trace on the picture: which things the packet met on its way there and back, and at which it died. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t
import urllib.parse

from ansible_collections.overloom.fabric.plugins.plugin_utils._page.things import tunnel_ends

Item = t.Dict[str, t.Any]

# The kinds of hops that are things by the hop's own name.
NAMED = {"endpoint": "endpoint", "guest": "endpoint", "edge": "endpoint", "logical": "segment"}


def marked(svg: str, report: Item, plan: Item) -> str:
    """The picture with the classes `traced` at what the packet met, and `died` where it ended, for page.css."""
    met, last = trail(report, plan)

    def with_class(found: re.Match[str]) -> str:
        thing = urllib.parse.unquote(found.group(1))
        classes = "traced died" if thing in last else "traced" if thing in met else ""
        return f'<a class="{classes}"{found.group(0)[2:]}' if classes else found.group(0)

    return re.sub(r'<a xlink:href="#([^"]*)"', with_class, svg)


def trail(report: Item, plan: Item) -> tuple[set[str], set[str]]:
    """The ids of the things that the packet met, and of the thing at which it died, if it did."""
    tunnels: dict[tuple[str, str], str] = {}
    for overlay in plan["overlays"]:
        for one, other in overlay["tunnels"]:
            tunnels.update(dict.fromkeys(tunnel_ends(overlay, one, other), f"tunnel:{overlay['name']}/{one}/{other}"))
    links = {frozenset(end["host"] for end in link["ends"]): f"link:{link['name']}" for link in plan["links"]}
    met = set()
    for direction in ("there", "back"):
        hops, before = (report[direction] or {}).get("hops", ()), ""
        for hop in hops:
            met |= {f"host:{hop['host']}", f"router:{hop['host']}", *_thing(hop, tunnels)}
            met |= {links[ends] for ends in [frozenset((before, hop["host"]))] if ends in links}
            before = hop["host"]
    died = report["died"]
    return met, set(_thing(died["at"], tunnels) or [f"host:{died['at']['host']}"]) if died else set()


def _thing(hop: Item, tunnels: t.Mapping[tuple[str, str], str]) -> list[str]:
    """What a hop is besides a host, if the picture may have it."""
    host, kind, name = hop["host"], hop["kind"], hop["name"]
    if kind in NAMED:
        return [f"{NAMED[kind]}:{name}"]
    if kind == "switch":
        return [f"bridge:{host}/{name}"]
    return [tunnels[host, name]] if kind == "tunnel" and (host, name) in tunnels else []

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What FRR does unsaid, where that depends: on the profile (`frr defaults`) and the release (`frr version`) that a
configuration states, and for a neighbor's address families on `bgp default`.

This file is private to the collection, and pure.
"""

from __future__ import annotations

import re
import typing as t

Address = t.Tuple[str, ...]
Config = t.Mapping[Address, t.Optional[str]]

_SWITCHES = (
    "bgp ebgp-requires-policy",
    "bgp network import-check",
    "bgp log-neighbor-changes",
    "bgp deterministic-med",
    "log-adjacency-changes",
)
_TIMERS = "timers bgp"
_ACTIVATE = re.compile(r"neighbor \S+ activate$")
# Since this release, policy is required and networks are checked.
_STRICT = (7, 4)


class Profile(t.NamedTuple):
    """A set of defaults: its name, and the release that the configuration was written for."""

    name: str = "traditional"
    version: tuple[int, ...] = (99,)


def stated(lines: t.Iterable[str], otherwise: str = "traditional") -> Profile:
    """The profile that a configuration states."""
    name, version = otherwise, Profile().version
    for line in lines:
        found = re.match(r"\s*frr (defaults|version) (\S+)", line)
        if found and found.group(1) == "defaults":
            name = found.group(2)
        elif found:
            version = tuple(int(number) for number in re.findall(r"\d+", found.group(2))[:2]) or version
    return Profile(name, version)


def depends(address: Address) -> bool:
    """Whether the default of a setting depends on something."""
    if len(address) == 2 and address[0].startswith("router "):
        return address[1] in _SWITCHES or (address[1] == _TIMERS and address[0].startswith("router bgp"))
    return (
        len(address) == 3
        and address[0].startswith("router bgp ")
        and address[1] != "address-family ipv4 unicast"
        and bool(_ACTIVATE.match(address[2]))
    )


def default(address: Address, config: Config, profile: Profile) -> str:
    """The line that says of such a setting what FRR does unsaid."""
    key = address[-1]
    modern = profile.name == "datacenter"
    if key == _TIMERS:
        return f"{_TIMERS} 3 9" if modern else f"{_TIMERS} 60 180"
    if _ACTIVATE.match(key):
        family = address[1].partition(" ")[2].replace(" ", "-")
        active = (config.get((address[0], f"bgp default {family}")) or "no ").startswith("bgp ")
    elif key == "bgp ebgp-requires-policy":
        active = not modern and profile.version >= _STRICT
    elif key == "bgp network import-check":
        active = profile.version >= _STRICT
    else:
        active = modern
    return key if active else f"no {key}"


def unsaid(lines: t.Mapping[Address, str | None], config: Config, profile: Profile) -> dict[Address, str | None]:
    """Wanted lines with None for what FRR does anyway."""
    return {
        address: None if line is not None and depends(address) and line == default(address, config, profile) else line
        for address, line in lines.items()
    }


def said(config: t.Mapping[Address, str], profile: Profile) -> dict[Address, str]:
    """A configuration without the lines that say what FRR does anyway."""
    return {
        address: line
        for address, line in config.items()
        if not depends(address) or line != default(address, config, profile)
    }

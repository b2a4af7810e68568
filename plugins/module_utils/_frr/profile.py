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

_TIMERS = "timers bgp"
_ACTIVATE = re.compile(r"neighbor \S+ activate$")


class Rule(t.NamedTuple):
    """What a setting is unsaid, under a profile and for configurations written for a release before this one."""

    value: bool | str
    profile: str | None = None
    before: tuple[int, ...] | None = None

    def fits(self, stated: Profile) -> bool:
        """Whether it is for such configurations."""
        return self.profile in (None, stated.name) and (self.before is None or stated.version < self.before)


_NEVER = (Rule(False),)
_DATACENTER = (Rule(True, "datacenter"), Rule(False))
# The first rule that fits counts. They are FRR's own, up to 10.7: FRR_CFG_DEFAULT_* in the file named. What a configuration states decides, not
# the release that runs, which may not know the newer ones; those of neighbors (`timers connect`) are shown whenever they are said.
_RULES: dict[str, dict[str, tuple[Rule, ...]]] = {
    # bgpd/bgp_vty.c
    "router bgp": {
        "bgp network import-check": (Rule(False, "traditional", (7, 4)), Rule(True)),
        "bgp default show-hostname": _DATACENTER,
        "bgp default show-nexthop-hostname": _DATACENTER,
        "bgp log-neighbor-changes": _DATACENTER,
        "bgp deterministic-med": _DATACENTER,
        "bgp ebgp-requires-policy": (Rule(False, "datacenter"), Rule(False, before=(7, 4)), Rule(True)),
        "bgp suppress-duplicates": (Rule(False, before=(7, 6)), Rule(True)),
        "bgp graceful-restart notification": (Rule(False, before=(8, 3)), Rule(True)),
        "bgp hard-administrative-reset": (Rule(False, before=(8, 3)), Rule(True)),
        "bgp default software-version-capability": _DATACENTER,
        "bgp default dynamic-capability": _DATACENTER,
        "bgp enforce-first-as": (Rule(False, before=(9, 1)), Rule(True)),
        "bgp route-reflector allow-outbound-policy": _NEVER,
        "bgp bestpath aigp": _NEVER,
        _TIMERS: (Rule("3 9", "datacenter"), Rule("60 180")),
    },
    # ospfd/ospf_vty.c, ospf6d/ospf6_top.c
    "router ospf": {"log-adjacency-changes": _DATACENTER},
    "router ospf6": {"log-adjacency-changes": _DATACENTER},
}


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


def _rules(address: Address) -> tuple[Rule, ...]:
    """The rules of a setting; none for one that the profile does not decide."""
    if len(address) != 2:
        return ()
    return _RULES.get(" ".join(address[0].split()[:2]), {}).get(address[1], ())


def _activates(address: Address) -> bool:
    """Whether a setting activates a neighbor in an address family, which `bgp default` decides unsaid."""
    return (
        len(address) == 3
        and address[0].startswith("router bgp ")
        and address[1] != "address-family ipv4 unicast"
        and bool(_ACTIVATE.match(address[2]))
    )


def depends(address: Address) -> bool:
    """Whether the default of a setting depends on something."""
    return bool(_rules(address)) or _activates(address)


def default(address: Address, config: Config, profile: Profile) -> str:
    """The line that says of such a setting what FRR does unsaid."""
    key = address[-1]
    if _activates(address):
        family = address[1].partition(" ")[2].replace(" ", "-")
        active = (config.get((address[0], f"bgp default {family}")) or "no ").startswith("bgp ")
        return key if active else f"no {key}"
    value = next(rule.value for rule in _rules(address) if rule.fits(profile))
    if isinstance(value, str):
        return f"{key} {value}"
    return key if value else f"no {key}"


def effective(address: Address, config: Config, profile: Profile) -> str | None:
    """What a configuration makes of a setting, said or unsaid."""
    return config.get(address) or (default(address, config, profile) if depends(address) else None)


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

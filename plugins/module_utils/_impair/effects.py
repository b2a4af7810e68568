# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared of an impairment: checked, and made numbers. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import check_interface_name
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

EFFECTS = ("delay", "jitter", "loss", "duplicate", "reorder", "rate", "cut")
# Those that only netem(8) has.
NETEM_ONLY = ("delay", "jitter", "duplicate", "reorder")
LONGEST = 86400
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_TIME = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)?")
_MICROSECONDS = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6}
_RATE = re.compile(r"(\d+(?:\.\d+)?)([kmg]?)bit", re.I)
_BITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


class Match(t.NamedTuple):
    """Packets by their outer header. protocol: the IP protocol's number, or None for any; port: the UDP or TCP port that they go to."""

    source: str
    destination: str
    protocol: int | None = None
    port: int | None = None

    @property
    def six(self) -> bool:
        """Whether it is IPv6."""
        return ":" in self.destination


class Wanted(t.NamedTuple):
    """One impairment. matches: none for every packet. delay and jitter in microseconds, rate in bit/s, the others in percent; seconds: how long."""

    name: str
    interface: str
    netns: str | None
    matches: tuple[Match, ...]
    seconds: int
    delay: int = 0
    jitter: int = 0
    loss: float = 0
    duplicate: float = 0
    reorder: float = 0
    rate: int = 0
    cut: bool = False

    @property
    def where(self) -> str:
        """The interface, for a sentence."""
        return f"{self.interface} in the namespace {self.netns}" if self.netns else self.interface

    def words(self) -> str:
        """The effect, as a person says it."""
        if self.cut:
            return "cut"
        times = [f"{key} {getattr(self, key) / 1000:g} ms" for key in ("delay", "jitter") if getattr(self, key)]
        parts = [f"{key} {getattr(self, key):g} %" for key in ("loss", "duplicate", "reorder") if getattr(self, key)]
        rate = [f"rate {self.rate / 10**6:g} Mbit/s"] if self.rate else []
        return ", ".join([*times, *parts, *rate])


def microseconds(text: str, what: str, unit: str) -> int:
    """A time such as 50ms, 1.5s or 2m. unit: that of a number without one. Raises FabricError."""
    found = _TIME.fullmatch(str(text).strip())
    if not found:
        raise FabricError(f"{what}: {text!r} is no time; write it like 50ms, 30s or 2m")
    return round(float(found[1]) * _MICROSECONDS[found[2] or unit])


def seconds(text: str, what: str) -> int:
    """How long an impairment lasts. Raises FabricError."""
    found = microseconds(text, what, "s") / 10**6
    if not 1 <= found <= LONGEST:
        raise FabricError(
            f"{what}: {text!r} is not between 1s and 24h; an impairment has an end, which comes by itself"
        )
    return round(found)


def bits(text: str, what: str) -> int:
    """A rate such as 10mbit in bit/s. Raises FabricError."""
    found = _RATE.fullmatch(str(text).strip())
    rate = round(float(found[1]) * _BITS[found[2].lower()]) if found else 0
    if not 8000 <= rate <= 32 * 10**9:
        raise FabricError(f"{what}: {text!r} is no rate between 8kbit and 32gbit; write it like 10mbit")
    return rate


def percent(value: t.Any, what: str) -> float:
    """A part of the packets. Raises FabricError."""
    try:
        found = float(str(value).strip().rstrip("%"))
    except ValueError:
        found = -1
    # As finely as it is compiled for nftables.
    if not 0.01 <= found <= 100:
        raise FabricError(f"{what}: {value!r} is no part of the packets; give a percentage between 0.01 and 100")
    return found


def match(given: t.Mapping[str, t.Any], what: str) -> Match:
    """One of the matches. Raises FabricError."""
    try:
        ends = [ipaddress.ip_address(given[key]) for key in ("source", "destination")]
    except ValueError as error:
        raise FabricError(f"{what}: {error}; give addresses without a prefix length") from None
    if ends[0].version != ends[1].version:
        raise FabricError(f"{what}: {ends[0]} and {ends[1]} are not of one IP version")
    protocol, port = given.get("protocol"), given.get("port")
    if protocol is not None and not 0 <= protocol <= 255:
        raise FabricError(f"{what}: protocol {protocol} is no IP protocol; give a number of 0 to 255, as 47 for GRE")
    if port is not None and (protocol not in (6, 17) or not 1 <= port <= 65535):
        raise FabricError(f"{what}: port {port} needs a number of 1 to 65535, and protocol 6 (TCP) or 17 (UDP)")
    return Match(str(ends[0]), str(ends[1]), protocol, port)


def check_name(name: str) -> str:
    """The name of an impairment. Raises FabricError."""
    if not _NAME.fullmatch(name):
        raise FabricError(
            f"name: {name!r} is no name of an impairment; give up to 64 letters, digits, '_', '.' and '-'"
        )
    return name


def declared(item: t.Mapping[str, t.Any]) -> Wanted:
    """An item of the module's options. Raises FabricError with the first wrong input."""
    name = check_name(item["name"])
    if not item.get("interface"):
        raise FabricError(f"impairment {name}: interface is missing; name the one whose outgoing packets are impaired")
    check_interface_name(item["interface"], f"impairment {name}: interface")
    if re.search(r"[\"'\\\\{}]", item["interface"] + (item.get("netns") or "")):
        raise FabricError(
            f"impairment {name}: {item['interface']} has quotes, braces or backslashes in its name, which tc and nft do not take"
        )
    values: dict[str, t.Any] = {"cut": bool(item.get("cut"))}
    for key in ("delay", "jitter"):
        if item.get(key) not in (None, ""):
            values[key] = microseconds(item[key], f"impairment {name}: {key}", "ms")
    for key in ("loss", "duplicate", "reorder"):
        if item.get(key) not in (None, ""):
            values[key] = percent(item[key], f"impairment {name}: {key}")
    if item.get("rate") not in (None, ""):
        values["rate"] = bits(item["rate"], f"impairment {name}: rate")
    found = Wanted(
        name,
        item["interface"],
        item.get("netns") or None,
        tuple(match(one, f"impairment {name}: matches") for one in item.get("matches") or ()),
        seconds(item.get("for") or "30s", f"impairment {name}: for"),
        **values,
    )
    _check_effects(found)
    return found


def _check_effects(wanted: Wanted) -> None:
    given = [key for key in EFFECTS if getattr(wanted, key)]
    if not given:
        raise FabricError(f"impairment {wanted.name}: it has no effect; give one of {', '.join(EFFECTS)}")
    if wanted.cut and len(given) > 1:
        raise FabricError(f"impairment {wanted.name}: cut leaves nothing to {given[0]}; give one of them")
    for key in ("jitter", "reorder"):
        if getattr(wanted, key) and not wanted.delay:
            raise FabricError(f"impairment {wanted.name}: {key} needs a delay; give delay, too")
    if wanted.jitter > wanted.delay:
        raise FabricError(f"impairment {wanted.name}: jitter is more than the delay; give a delay that is as long")

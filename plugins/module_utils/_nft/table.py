# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of nftables: what is declared, the script that loads one, and the comparison with what runs. Pure: plain data in, texts and steps out.

This file is private to the collection. Sources: nft(8), systemd.unit(5).

A table is known by what nft lists of it. Its listing is kept after each load, so what a person has changed since is what differs from it,
in whatever spelling a release of nft lists it; and what is declared is compared with the script that was loaded.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import check_name as check_namespace
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import UNIT_KIND as NETNS
from ansible_collections.overloom.fabric.plugins.module_utils._owner import (
    Caller,
    may_change,
    may_declare,
    may_remove,
    returned,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    AnyStep,
    Change,
    FabricError,
    Remove,
    RemoveFolder,
    Step,
    Write,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    Command,
    Unit,
    oneshot,
    unit_name,
    unit_steps,
)

Item = t.Dict[str, t.Any]

FAMILIES = ("inet", "ip", "ip6", "arp", "bridge", "netdev")
UNIT_KIND = "nft"
# The scripts, and what nft listed after each was loaded.
SCRIPTS = "/etc/overloom/nftables"
LISTINGS = "/var/lib/overloom/nftables"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}", re.ASCII)
# The service of the distribution, which drops all tables when it is started, reloaded and stopped.
_FLUSHES = "nftables.service"
_HEAD = "# Made by overloom.fabric; the next run of it replaces what is changed here.\n"


class Place(t.NamedTuple):
    """Where a table is. netns: a named network namespace, or empty for the host."""

    netns: str
    family: str
    name: str

    @property
    def label(self) -> str:
        """Its name among units and files."""
        return "-".join(part for part in (self.netns, self.family, self.name) if part)

    @property
    def what(self) -> str:
        """Its name in a sentence."""
        return f"table {self.family} {self.name}" + (f" in the namespace {self.netns}" if self.netns else "")

    @property
    def unit(self) -> str:
        """The unit that loads it."""
        return unit_name(UNIT_KIND, self.label)

    @property
    def script(self) -> str:
        """The file that the unit loads."""
        return f"{SCRIPTS}/{self.label}.nft"

    @property
    def listing(self) -> str:
        """The file with what nft lists of it after it was loaded."""
        return f"{LISTINGS}/{self.label}.listing"

    @property
    def former(self) -> str:
        """The file with what nft listed of it before it was adopted."""
        return f"{LISTINGS}/{self.label}.former"

    def command(self, *words: str) -> tuple[str, ...]:
        """A command where the table is."""
        return (*(("ip", "netns", "exec", self.netns) if self.netns else ()), *words)


class Wanted(t.NamedTuple):
    """A declared table. content: what is between its braces."""

    place: Place
    present: bool = True
    content: str = ""


class Found(t.NamedTuple):
    """What the host has.

    listings: what nft lists of each table, without counters. spaces: the named namespaces.
    units: ours. active: those of them that have run. files: the scripts, listings and former listings that are there, by path.
    """

    listings: dict[Place, str]
    spaces: frozenset[str]
    units: dict[str, Unit]
    active: frozenset[str]
    files: dict[str, str]

    def owner(self, place: Place) -> str | None:
        """Whose a table is."""
        unit = self.units.get(place.unit)
        return unit.notes().get("Owner") if unit else None


# What is declared ------------------------------------------------------------------------------------------------------


def declared(items: t.Iterable[Item]) -> list[Wanted]:
    """The declared tables, checked as far as that goes without nft. Raises FabricError."""
    found: dict[Place, Wanted] = {}
    for item in items:
        wanted = _declared(item)
        if found.setdefault(wanted.place, wanted) is not wanted:
            raise FabricError(f"{wanted.place.what} is declared twice; give each item a table of its own")
    labels: dict[str, Place] = {}
    for place in found:
        if labels.setdefault(place.label, place) is not place:
            raise FabricError(f"{place.what} and {labels[place.label].what} would have one file; give one another name")
    return list(found.values())


def _declared(item: Item) -> Wanted:
    name = item.get("name") or ""
    if not _NAME.fullmatch(name):
        raise FabricError(f"name: {name!r} is no name of a table; take letters, digits and underscores")
    netns = check_namespace(item["netns"], "netns") if item.get("netns") else ""
    place = Place(netns, item.get("family") or FAMILIES[0], name)
    if item.get("state", "present") == "absent":
        return Wanted(place, present=False)
    if item.get("content") is None:
        raise FabricError(
            f"{place.what}: content is missing; give what is between the table's braces, as nft(8) takes it"
        )
    return Wanted(place, content=check_content(item["content"], place.what))


_TOKEN = re.compile(r'"[^"\n]*"?|#[^\n]*|[{}]')


def check_content(content: str, what: str) -> str:
    """What is between a table's braces, without blank ends. It stays within them. Raises FabricError."""
    depth = 0
    for match in _TOKEN.finditer(content):
        if re.fullmatch(r'"[^"]*', match.group()):
            raise FabricError(f"{what}: content has a quotation mark without its second one on its line")
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth < 0:
            break
    if depth:
        raise FabricError(
            f"{what}: content closes more braces than it opens, or fewer; it is what stands between the table's own braces"
        )
    return content.strip("\n").rstrip()


def script_of(place: Place, content: str) -> str:
    """The script that makes a table anew in one transaction: no packet meets half of it (nft(8), -f)."""
    start = f"table {place.family} {place.name}"
    return f"{_HEAD}{start}\ndelete {start}\n{start} {{\n{content}\n}}\n"


def unit_of(place: Place, owner: str) -> Unit:
    """The service that loads a table at boot, and again after the distribution's service or a new namespace has left none of it."""
    notes = {"Owner": owner, "Place": json.dumps(place._asdict())}
    load = Command(place.command("nft", "--file", place.script))
    after = [_FLUSHES] if not place.netns else [unit_name(NETNS, place.netns)]
    unit = ["DefaultDependencies=no", "Conflicts=shutdown.target"] if not place.netns else []
    lines = [*unit, *([f"ReloadPropagatedFrom={_FLUSHES}"] if not place.netns else [])]
    return oneshot(
        UNIT_KIND,
        place.label,
        f"nftables {place.what}",
        notes,
        [load],
        wanted_by=["multi-user.target", *after],
        after=[*after, "local-fs.target"] if not place.netns else after,
        # A host is not reached before its rules are there.
        before=["network-pre.target", "shutdown.target"] if not place.netns else (),
        wants=["network-pre.target"] if not place.netns else (),
        part_of=after,
        unit=lines,
        reload=None if place.netns else load,
    )


def place_of(unit: Unit) -> Place | None:
    """The table of a unit of ours; None for one whose notes are not readable."""
    try:
        return Place(**json.loads(unit.notes()["Place"]))
    except (KeyError, TypeError, ValueError):
        return None


def noted_tables(units: t.Iterable[Unit]) -> list[Item]:
    """The tables of units of ours, each with its owner."""
    return [
        {**place._asdict(), "owner": unit.notes().get("Owner")} for unit in units for place in [place_of(unit)] if place
    ]


# What runs -------------------------------------------------------------------------------------------------------------


def parse_names(text: str) -> list[tuple[str, str]]:
    """The families and names of `nft list tables`."""
    return [
        (words[1], words[2]) for words in map(str.split, text.splitlines()) if len(words) == 3 and words[0] == "table"
    ]


# The comparison --------------------------------------------------------------------------------------------------------


class Keep(t.NamedTuple):
    """The step that keeps what nft lists of a table which was just loaded. read: lists it."""

    place: Place
    read: t.Callable[[Place], str]

    @property
    def path(self) -> str:
        """The file."""
        return self.place.listing

    def shown(self) -> str:
        """The command that does the same."""
        words = " ".join(self.place.command("nft", "--stateless", "list", "table", self.place.family, self.place.name))
        return f"{words} > {self.path}"

    def do(self) -> None:
        """Write it. Raises FabricError."""
        Write(self.path, self.read(self.place) + "\n", 0o600).do()


def questions(found: Found, wanted: t.Iterable[Wanted]) -> list[tuple[Place, Step]]:
    """For each table whose script is new, the command that asks nft whether it would take it."""
    return [
        (one.place, Step(one.place.command("nft", "--check", "--file", "-"), stdin=script_of(one.place, one.content)))
        for one in wanted
        if one.present
        and found.files.get(one.place.script) != script_of(one.place, one.content)
        and (not one.place.netns or one.place.netns in found.spaces)
    ]


def refusal(place: Place, said: str) -> str:
    """What nft says of a script, with the line of content that it is about."""
    match = re.search(r"(?m)^\S+?:(\d+):\d+-\d+: Error: (.*)$", said)
    if not match:
        return f"{place.what}: nft does not take content: {said.strip().splitlines()[0] if said.strip() else 'it does not say why'}"
    line = int(match.group(1)) - script_of(place, "").count("\n") + 2
    return f"{place.what}: nft does not take line {line} of content: {match.group(2)}"


class Settings(t.NamedTuple):
    """What holds for all tables of a call. running: whether systemd runs the host. lenient: a namespace may still be made, in check mode."""

    caller: Caller
    purge: bool
    running: bool
    lenient: bool
    read: t.Callable[[Place], str]


def compare(found: Found, wanted: t.Sequence[Wanted], settings: Settings) -> Change:
    """The steps from what was found to what is declared. Raises FabricError."""
    plan = _Plan(found, settings)
    for one in wanted:
        if one.present:
            plan.keep(one)
        else:
            plan.remove(one.place)
    if settings.purge:
        named = {one.place for one in wanted}
        for unit in found.units.values():
            place = place_of(unit)
            if place and place not in named and found.owner(place) == settings.caller.owner:
                plan.remove(place)
    return plan.change()


class _Plan:
    """The steps by sort, collected table by table."""

    def __init__(self, found: Found, settings: Settings) -> None:
        self._found = found
        self._settings = settings
        self._units: dict[str, Unit | None] = {}
        self._files: list[AnyStep] = []
        self._load: list[str] = []
        self._listings: list[AnyStep] = []
        self._remove: list[AnyStep] = []
        self._before: Item = {}
        self._after: Item = {}
        self._warnings: list[str] = []

    def change(self) -> Change:
        """All steps: files first, then what loads them, at last what goes."""
        steps = unit_steps(self._found.units, self._units, self._settings.running)
        load: list[AnyStep] = [Step(("systemctl", "restart", *self._load))] if self._load else []
        every = [*self._files, *steps.put, *load, *self._listings, *steps.drop, *self._remove]
        return Change(every, self._before, self._after, tuple(self._warnings))

    def keep(self, wanted: Wanted) -> None:
        """Make a table what is declared, as a whole and at once."""
        place, found = wanted.place, self._found
        self._allowed(place)
        script, unit, live = (
            script_of(place, wanted.content),
            unit_of(place, self._settings.caller.owner),
            found.listings.get(place),
        )
        there = found.units.get(place.unit)
        self._units[place.unit] = unit
        same_script = found.files.get(place.script) == script
        as_loaded = live is not None and f"{live}\n" == found.files.get(place.listing)
        active = place.unit in found.active or not self._settings.running
        if not same_script:
            self._files.append(Write(place.script, script, 0o600))
        if live is not None and not found.owner(place):
            self._files.append(Write(place.former, f"{live}\n", 0o600))
        if not (same_script and as_loaded and active):
            self._reload(place)
        service = (
            "as declared" if there and there.content == unit.content and active else "otherwise" if there else None
        )
        self._tell(wanted, service, same_script, as_loaded)

    def _reload(self, place: Place) -> None:
        if self._settings.running:
            self._load.append(place.unit)
        else:
            self._listings.append(Step(place.command("nft", "--file", place.script)))
        self._listings.append(Keep(place, self._settings.read))

    def _allowed(self, place: Place) -> None:
        """Refuse what is another's, and a namespace that is not there."""
        found, caller = self._found, self._settings.caller
        if place.netns and place.netns not in found.spaces and not self._settings.lenient:
            raise FabricError(
                f"{place.what}: there is no network namespace {place.netns}; make it first, as with netns_veth, or correct netns"
            )
        mark = found.owner(place)
        may_declare(place.what, mark, caller)
        if place in found.listings and found.listings[place].count("\n") > 1:
            may_change(place.what, mark, caller, "its chains, sets and rules would be replaced")

    def _tell(self, wanted: Wanted, service: str | None, same_script: bool, as_loaded: bool) -> None:
        """Both sides for the diff: what was loaded and what is declared, or what runs and what was loaded."""
        place, found, label = wanted.place, self._found, wanted.place.what
        live = found.listings.get(place)
        after = found.files.get(place.listing, "").splitlines() if same_script else wanted.content.splitlines()
        if same_script and not after:
            after = wanted.content.splitlines()
        self._after[label] = {"owner": self._settings.caller.owner, "service": "as declared", "content": after}
        if live is None and service is None:
            return
        before = after if same_script and as_loaded else (live or "").splitlines()
        self._before[label] = {"owner": found.owner(place), "service": service, "content": before}

    def remove(self, place: Place) -> None:
        """Remove a table with its unit and files, or give back what was there before it was adopted."""
        found, caller = self._found, self._settings.caller
        mark = found.owner(place)
        if mark is None and place not in found.listings:
            return
        may_remove(place.what, mark, caller)
        self._units[place.unit] = None
        table = f"{place.family} {place.name}"
        former = found.files.get(place.former)
        if former and not caller.adopt:
            self._warnings.append(returned(place.what))
            self._after[place.what] = {"owner": None, "content": former.splitlines()}
            self._remove.append(
                Step(place.command("nft", "--file", "-"), stdin=f"table {table}\ndelete table {table}\n{former}")
            )
        elif place in found.listings:
            self._remove.append(Step(place.command("nft", "delete", "table", *table.split())))
        self._remove += [Remove(path) for path in (place.script, place.listing, place.former) if path in found.files]
        self._remove += [folder for folder in map(RemoveFolder, (SCRIPTS, LISTINGS)) if folder not in self._remove]
        self._before[place.what] = {"owner": mark, "content": found.listings.get(place, "").splitlines()}

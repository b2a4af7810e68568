# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must change so that things are as wanted: live, in frr.conf, and in the notes of what is ours.

This file is private to the collection.
"""

from __future__ import annotations

import functools
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr import conf, former
from ansible_collections.overloom.fabric.plugins.module_utils._frr import profile as profiles
from ansible_collections.overloom.fabric.plugins.module_utils._frr.conf import CONF
from ansible_collections.overloom.fabric.plugins.module_utils._frr.difference import (
    Drop,
    difference,
    turned_on,
    untaken,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.lasting import (
    BESIDE,
    Lasting,
    copied,
    lacking,
    leaving_blocks,
    unsaved,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import Found, Notes, made_by, notes_path
from ansible_collections.overloom.fabric.plugins.module_utils._frr.saved import meanings, needed, settings
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import (
    ACTIVE,
    BLOCK,
    SHOWN_ANYWAY,
    Address,
    Config,
    hide,
    rank,
    render,
    show,
    shown,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.uses import (
    Definition,
    dangling,
    defined,
    needed_blocks,
    orphans,
    used,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.wanted import Index, Thing, within
from ansible_collections.overloom.fabric.plugins.module_utils._frr.writer import Apply
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, may_remove, returned
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Change, FabricError, Runner


class Options(t.NamedTuple):
    """The options that every FRR module has.

    module: its name; kept: beginnings of names of things that an omitted list leaves alone; daemons: those it needs.
    """

    module: str
    owner: str
    adopt: bool = False
    purge: bool = False
    check: bool = False
    kept: tuple[str, ...] = ()
    daemons: tuple[str, ...] = ()


def _not_running(
    lines: t.Sequence[conf.Line],
    things: t.Sequence[Thing],
    running: Config,
    profile: profiles.Profile,
    to_save: t.Collection[Address],
) -> list[str]:
    """A warning about lines of frr.conf that stand where ours do, do not run, and are not changed here."""
    scopes = [pair for thing in things if thing.present for pair in thing.scope]
    # The last line of a setting counts.
    last = {
        address: (number, one)
        for number, (line, entries) in enumerate(zip(lines, meanings(lines)), 1)
        for address, one in (entries if line.lives and not line.opens else ())
    }
    found = []
    for address, (number, one) in last.items():
        # Where FRR shows nothing, it does not do what such a line takes away.
        idle = one.startswith("no ") and address not in running and not profiles.depends(address)
        differs = profiles.effective(address, running, profile) != one and not idle and one != ACTIVE
        if differs and address not in to_save and within(scopes, address):
            found.append(f"line {number}, '{hide(one)}'")
    if not found:
        return []
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    advice = "mend the file, or write what runs with vtysh -c 'write memory'"
    return [f"{CONF}: {'; '.join(found[:3])}{more}: not what runs, so FRR's next start changes it; {advice}"]


def _after(config: Config, changes: t.Mapping[Address, str | None]) -> dict[Address, str]:
    """A configuration with the changes made."""
    return {address: line for address, line in {**config, **changes}.items() if line is not None}


def _check_used(
    config: Config, changes: t.Mapping[Address, t.Optional[str]], ours: t.Container[Address], where: str = ""
) -> None:
    """Refuse to take away what lines of others use, which run or are saved. Raises FabricError."""
    after = _after(config, changes)
    for (kind, name), address in orphans(config, after):
        if address in ours or address in changes:
            continue
        inside = f" in '{' / '.join(address[:-1])}'" if address[:-1] else ""
        name = name.partition(" of ")[0]
        line = hide(after[address])
        raise FabricError(
            f"{kind} {name} is used by '{line}'{inside}{where}, which somebody else configured; take that away first, or keep the {kind}"
        )


def _check_saved(running: Config, saved: Config, to_save: t.Mapping[Address, str | None]) -> list[str]:
    """Refuse to save a line that FRR would not take from the file, as what it needs is of others, who have not saved it.

    Returns a warning for each list, route map, profile or key chain of theirs that a line would not find there. Raises FabricError.
    """
    comes = {address: line for address, line in {**saved, **to_save}.items() if line is not None}
    only_runs = defined(running) - defined(comes)
    warnings: dict[Definition, str] = {}
    for address, line in to_save.items():
        if line is None:
            continue
        missing = lacking(address, comes)
        theirs = [one for one in (missing, *needed(address)) if missing and one in running]
        if theirs:
            raise FabricError(_not_alone(address, line, running[theirs[0]]))
        for kind, name in used(address, line):
            if (kind, name) in only_runs and kind == "peer group":
                raise FabricError(_not_alone(address, line, f"neighbor {name.partition(' of ')[0]} peer-group"))
            if (kind, name) in only_runs:
                warnings.setdefault(
                    (kind, name),
                    f"{kind} {name} runs and is not in {CONF}, so '{hide(line)}' has none after FRR's next start; {_SAVE} if it is to stay",
                )
    return list(warnings.values())


_SAVE = "have it saved with vtysh -c 'write memory'"


def _not_alone(address: Address, line: str, needs: str) -> str:
    inside = f" in '{' / '.join(address[:-1])}'" if address[:-1] else ""
    return (
        f"'{hide(line)}'{inside} cannot be saved: it needs '{hide(needs)}', which somebody else has configured and not saved in {CONF};"
        f" declare that as well, or {_SAVE}"
    )


def _stood(
    found: Found, saved_as: t.Sequence[conf.Line], meant: t.Sequence[conf.Entries]
) -> frozenset[tuple[Address, str]]:
    """The settings that FRR shows or its file has, those that mean nothing now among them."""
    runs = (entry for one in shown(found.text, idle=True) for entry in one.entries)
    saved = (entry for line, entries in zip(saved_as, meant) if line.lives for entry in entries)
    return frozenset((*runs, *saved))


def _unsaid(found: Found, things: t.Sequence[Thing]) -> list[Thing]:
    """The things without what FRR does anyway, by what its configuration states."""
    profile = profiles.stated(found.text.splitlines())
    coming = dict(found.running)
    for thing in things:
        coming.update(t.cast(Config, thing.lines))
    return [thing._replace(lines=profiles.unsaid(thing.lines, coming, profile)) for thing in things]


# The address of the line that has a neighbor in a peer group.
_MEMBER = re.compile(r"(neighbor \S+) (peer-group|interface)$")


class _Comparison:
    """What one call changes, thing by thing: wanted settings, lines that take things away at once, and notes.

    changes: settings to reach; drops: lines that take away all of a thing; renewed: those of things that are made anew; base: what
    runs without these; kept: the settings that such a thing has anew as it had them, saved or not; notes: by owner, of which mine is
    ours; stood: what nobody makes who declares it, as it is there.
    leaving: what others had where ours goes; to_save, words: what frr.conf gets of it, and in which words.
    """

    def __init__(
        self,
        found: Found,
        saved: Config,
        options: Options,
        stood: t.Container[tuple[Address, str]],
        places: former.Places,
    ) -> None:
        self.found, self.saved, self.options, self.stood = found, saved, options, stood
        self.places = places
        self.leaving: former.Formers = {}
        self.to_save: dict[Address, str | None] = {}
        self.words: dict[Address, tuple[conf.Said, ...]] = {}
        self.made = made_by(options.owner)
        self.notes: dict[str, Notes] = copied(found.notes)
        self.forgotten: Notes = {}
        self.mine = self.notes.setdefault(options.owner, {})
        self.changes: dict[Address, str | None] = {}
        self.drops: list[Drop] = []
        self.renewed: list[tuple[Address, str]] = []
        self.kept: set[Address] = set()
        self.base = dict(found.running)
        self.warnings: list[str] = []
        self.index, self.saved_index = Index(found.running), Index(saved)

    def check_daemons(self) -> None:
        """Raises FabricError for a daemon that does not run; in check mode, an earlier task of the same play may start it."""
        missing = [daemon for daemon in self.options.daemons if daemon not in self.found.daemons]
        if not missing:
            return
        said = f"the FRR daemon {missing[0]} does not run; enable it in /etc/frr/daemons, as frr_router_daemons of the role frr_router does"
        if not self.options.check:
            raise FabricError(said)
        self.warnings.append(said)

    def take(self, thing: Thing) -> None:
        """Plan one thing. Raises FabricError for one of another owner."""
        self._claim(thing.name)
        there = self.index.inside(thing.scope)
        if thing.present:
            self._want(thing, there)
        else:
            self._leave(thing, there)

    def purge(self, declared: t.Container[str]) -> None:
        """Take away our things that are not declared."""
        for name in list(self.mine):
            if name != BESIDE and name not in declared and not name.startswith(self.options.kept or ("\n",)):
                self._forget(name)

    def give_back(self) -> None:
        """Have what others had before where ours goes: in what runs and in the file, as far as ours still stands there and nobody declares it."""
        # What others need comes first, as what makes a neighbor.
        for address, one in sorted(self.leaving.items(), key=lambda item: (len(item[0]), rank(item[0][-1]))):
            if self.changes.get(address) is not None:
                continue
            if self.found.running.get(address) in one.ours and self._has_place(
                address, self.found.running, self.changes
            ):
                self.changes[address] = one.was
            file = self.saved.get(address)
            if file not in one.ours:
                self.to_save[address] = file
                continue
            fits = self._has_place(address, self.saved, {**self.changes, **self.to_save})
            self.to_save[address] = one.saved if fits else None
            if fits and one.saved is not None and one.said:
                self.words[address] = one.said
        for address in [a for a in self.changes if _MEMBER.match(a[-1])]:
            self._give_back_member(address)

    def _give_back_member(self, address: Address) -> None:
        """Have a neighbor made anew, with all it has, that goes back to a peer group, or from one: FRR takes one away with what made it."""
        running, change = self.found.running, self.changes[address]
        begin, how = t.cast("re.Match[str]", _MEMBER.match(address[-1])).groups()
        made = change is not None or self.changes.get((*address[:-1], f"{begin} remote-as")) is not None
        if not made or change == running.get(address) or " peer-group " not in f"{running.get(address)} {change}":
            return
        there = self._has(address[:-1], f"{begin} ")
        drop = (address[:-1], f"no {begin}" + (f" {how}" if how == "interface" else ""))
        if there and drop not in self.renewed and not any((path, line) == drop for path, line, _scope in self.drops):
            self._renew(drop, there)

    @staticmethod
    def _has_place(address: Address, config: Config, changes: t.Mapping[Address, str | None]) -> bool:
        """Whether the blocks and the neighbor that a line needs are there after the changes."""
        return lacking(address, {**_after(config, changes), address: ""}) is None

    @functools.cached_property
    def _dangling(self) -> dict[Definition, set[Address]]:
        """The lines that name what is neither running nor saved, by that."""
        found: dict[Definition, set[Address]] = {}
        known = defined(self.found.running) | defined(self.saved)
        for definition, address in (*dangling(self.found.running), *dangling(self.saved)):
            if definition not in known:
                found.setdefault(definition, set()).add(address)
        return found

    def named_before(self) -> set[Address]:
        """The lines that named what goes before it was made: they are left as they were."""
        return {address for note in self.forgotten.values() for address in _named(note)}

    def note_said(self, thing: Thing, said: t.Mapping[Address, str | None]) -> None:
        """Note what the file says of a thing though FRR does it unsaid, as the file may state another profile or release."""
        had = {
            tuple(address)
            for address in self.found.notes.get(self.options.owner, {}).get(thing.name, {}).get("lines", ())
        }
        lines = {a: said.get(a) for a, line in thing.lines.items() if line is None and a not in self.found.running}
        new = [a for a, line in lines.items() if line is not None and (a in had or (a, line) not in self.stood)]
        if new:
            note = self.mine.setdefault(thing.name, {"lines": [], "scope": thing.scope, "drop": None})
            note["lines"] = sorted({*map(tuple, note["lines"]), *new})

    def leave_with_blocks(self) -> None:
        """Take away what FRR shows beside ours in blocks of ours that go; where others have lines in one, it stays."""
        lines = [tuple(address) for address in self.mine.get(BESIDE, {}).get("lines", ())]
        blocks = {a for a, line in self.changes.items() if line is None}
        inside = {a: block for a in lines for block in blocks if a[: len(block)] == block and a not in self.changes}
        staying = leaving_blocks(self.found.running, {**self.changes, **dict.fromkeys(inside)})
        self.changes.update({a: None for a, block in inside.items() if staying.get(block, ()) is None})

    def keep_needed(self) -> None:
        """Leave blocks, empty, that FRR refuses to take away while others need them; they stay ours."""
        running = self.found.running
        for block, user in needed_blocks(running, _after(running, self.changes)).items():
            del self.changes[block]
            self._keep_noted(block)
            self.warnings.append(f"{block[0]} stays, empty, as {user} needs it to leak routes")

    def _keep_noted(self, header: Address) -> None:
        """Have a block that stays noted as ours, so that it goes another time."""
        for name, note in self.forgotten.items():
            if header in map(tuple, note["lines"]):
                self.mine[name] = {"lines": [header], "scope": note["scope"], "drop": note.get("drop")}

    def _claim(self, name: str) -> None:
        rivals = [owner for owner in self.notes if owner != self.options.owner and name in self.notes[owner]]
        if rivals and not self.options.adopt:
            raise FabricError(f"{name} belongs to owner {rivals[0]}; set adopt to take it over")
        for rival in rivals:
            self.notes[rival].pop(name)

    def _leave(self, thing: Thing, there: list[Address]) -> None:
        if self.options.adopt and there:
            self.mine[thing.name] = {"lines": there, "scope": thing.scope, "drop": thing.drop}
        if thing.name not in self.mine:
            if there:
                may_remove(thing.name, None, Caller(self.options.owner))
            return
        self._forget(thing.name)
        if any(self.changes.get(address, "") is not None for address in there):
            self.warnings.append(returned(thing.name))

    def _forget(self, name: str) -> None:
        """Take away what the notes say that we made of a thing."""
        note = self.forgotten[name] = self.mine.pop(name)
        self.leaving.update(former.noted(note))
        addresses = [tuple(address) for address in note["lines"]]
        if note.get("drop"):
            where, line = note["drop"]
            self.drops.append((tuple(where), line, tuple(note["scope"])))
            addresses += self.index.inside(note["scope"]) + self.saved_index.inside(note["scope"])
        self.changes.update({address: None for address in addresses if address not in self.changes})

    def _want(self, thing: Thing, there: list[Address]) -> None:
        note = self.mine.get(thing.name)
        lines = _with_blocks(thing)
        had = {tuple(address) for address in note["lines"]} if note else set()
        if self.options.adopt:
            # What is taken over is ours, and is not given back.
            had |= set(there)
        beside = {tuple(address) for address in self.mine.get(BESIDE, {}).get("lines", ())}
        before = {} if self.options.adopt else former.noted(note)
        formers = former.remembered(before, lines, self.places, had | beside | self.made)
        self.words.update({a: one.said for a, one in before.items() if one.said and one.saved == lines.get(a, "")})
        self.changes.update(lines)
        if thing.renew and thing.drop:
            self._renew(thing.drop, self._has(*thing.scope[0]))
        # What runs in the place of theirs is given back, and as they had it, it is theirs.
        theirs = {address for address, one in {**before, **formers}.items() if one.was is not None}
        made = (had | self._made_now(lines) | (beside & lines.keys())) - theirs
        made -= {address for address, line in lines.items() if line is None}
        self._note(thing, made, formers, self.options.adopt or not there)
        self._note_named(thing)

    def _note_named(self, thing: Thing) -> None:
        """Note the lines that name what a thing defines, and did so before it was there."""
        note = self.mine.get(thing.name)
        comes = defined({address: line for address, line in thing.lines.items() if line is not None})
        named = {address for one in comes for address in self._dangling.get(one, ())}
        if note and named:
            note["named"] = sorted(named)

    def _note(self, thing: Thing, made: set[Address], formers: former.Formers, whole: bool) -> None:
        """Note which lines of a thing are ours. whole: it is, as nobody had it before."""
        note = self.mine.get(thing.name)
        if made or formers:
            drop = thing.drop if whole or (note and note.get("drop")) else None
            rows = {"lines": sorted(made), "scope": thing.scope, "drop": drop}
            named = {"named": note["named"]} if note and "named" in note else {}
            self.mine[thing.name] = {**rows, **named, **former.for_note(formers)}
        elif note:
            del self.mine[thing.name]

    def _made_now(self, lines: t.Mapping[Address, str | None]) -> set[Address]:
        """The lines that neither run nor stand in the file yet."""
        running, stood = self.found.running, self.stood
        wanted = {address: line for address, line in lines.items() if line is not None}
        return {address for address, line in wanted.items() if address not in running and (address, line) not in stood}

    def _has(self, path: Address, begin: str) -> list[Address]:
        """What runs of a neighbor, in whichever address family."""
        return [a for a in self.found.running if a[: len(path)] == path and a[-1].startswith(begin)]

    def _renew(self, drop: tuple[Address, str], there: list[Address]) -> None:
        """Make a thing anew with whatever else it has."""
        self.renewed.append(drop)
        for address in there:
            self.base.pop(address)
            if address not in self.changes:
                self.changes[address] = self.found.running[address]
                self.kept.add(address)


def _named(note: t.Mapping[str, t.Any]) -> t.Iterator[Address]:
    """The lines that named what a thing defines before it was there."""
    return map(tuple, note.get("named", ()))


def _with_blocks(thing: Thing) -> dict[Address, str | None]:
    """The lines of a thing with the blocks around them, which are made with them."""
    lines = dict(thing.lines)
    for address, line in thing.lines.items():
        for depth in range(1, len(address) if line is not None else 1):
            header = address[:depth]
            if thing.holds(header) and not SHOWN_ANYWAY.match(header[-1]):
                lines.setdefault(header, header[-1])
    return lines


def compare(runner: Runner, found: Found, things: t.Sequence[Thing], options: Options) -> Change:
    """What must change so that the things are as wanted, live, in frr.conf and in the notes.

    Raises FabricError for a thing of another owner.
    """
    saved_as = found.lines or conf.by_indentation(found.saved, BLOCK.match)
    starts_as = profiles.stated((line.text for line in saved_as), found.profile)
    runs_as = profiles.stated(found.text.splitlines())
    meant = meanings(saved_as)
    states = settings(saved_as, meant)
    saved = profiles.said(states, starts_as)
    found = found._replace(running=profiles.said(found.running, runs_as), lines=saved_as)
    explicit = _explicit(things)
    things = _unsaid(found, things)

    idle = {address: line for address, line in states.items() if address not in saved}
    places = former.Places(found.running, saved, idle, former.spelled(saved_as, meant))
    plan = _Comparison(found, saved, options, _stood(found, saved_as, meant), places)
    plan.check_daemons()
    for thing in things:
        plan.take(thing)
    if options.purge:
        plan.purge({thing.name for thing in things})
    plan.give_back()
    plan.leave_with_blocks()
    plan.keep_needed()
    changes = plan.changes
    said = profiles.unsaid(explicit, {**saved, **changes}, starts_as)
    for thing in things:
        plan.note_said(thing, said)
    to_save = {**{a: line for a, line in changes.items() if a not in plan.kept}, **said, **plan.to_save}
    excused = made_by(options.owner) | plan.named_before()
    _check_used(found.running, changes, excused)
    # What is saved runs after the next restart.
    _check_used(saved, to_save, excused, f" of {CONF}")
    warnings = plan.warnings + _check_saved(found.running, saved, to_save) + _staying(found.running, changes)
    if found.daemons:
        warnings += _not_running(saved_as, things, found.running, runs_as, to_save)

    # A router that is new has the defaults of the file that FRR started with, which may have been written for another release.
    of_new = {address: line for address, line in explicit.items() if address[:1] not in plan.base}
    lines = plan.renewed + difference(turned_on(plan.base, changes), {**changes, **of_new}, plan.drops)
    apply = Apply(runner, render(lines), found, changes) if lines else None
    if apply and found.daemons:
        apply.validate()
    steps = Lasting(runner, found, saved, plan.notes, options, to_save, plan.words).steps(apply)
    before, after = _views(found, saved, changes, lines, unsaved(saved, to_save))
    if steps and before == after:
        path = notes_path(options.owner, options.module)
        before, after = before + "! not yet noted as ours\n", after + f"! noted as {options.owner}'s in {path}\n"
    return Change(steps, before, after, tuple(warnings))


def _explicit(things: t.Sequence[Thing]) -> dict[Address, str | None]:
    """The wanted lines whose default depends on something."""
    lines = (item for thing in things if thing.present for item in thing.lines.items())
    return {address: line for address, line in lines if profiles.depends(address)}


def _staying(config: Config, changes: t.Mapping[Address, str | None]) -> list[str]:
    """A warning for each block that stays, as lines of others are in it."""
    return [
        f"'{' / '.join(block)}' stays, as somebody else configured '{hide(config[foreign])}' in it"
        for block, foreign in leaving_blocks(config, changes).items()
        if foreign
    ]


def _views(
    found: Found,
    saved: Config,
    changes: dict[Address, t.Optional[str]],
    lines: t.Sequence[t.Any],
    unsaved: t.Collection[Address],
) -> tuple[str, str]:
    """The declared settings before and after, as the running configuration shows them, and frr.conf's where it differs."""

    def view(config: Config) -> str:
        return show((address, config[address]) for address in changes if address in config)

    wanted = {address: line for address, line in changes.items() if line is not None}
    before, after = view(found.running), view(wanted)
    if not lines and unsaved:
        before, after = f"! {CONF}\n" + view(saved), f"! {CONF}\n" + after
    return before, after


def judge(found: Found, changes: t.Mapping[Address, t.Optional[str]]) -> list[str]:
    """After a write: each line that FRR did not take, named."""
    return [f"FRR did not take {line}" for line in untaken(found.running, changes)]

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces with veth pairs: what is declared, and the comparison with what is there.

This file is private to the collection. The marks of what the module makes: the alias of a namespace's loopback interface
and of both ends of a veth pair, the external_ids of a port, and the unit, which also keeps what was declared so far. The
unit notes a thing before it is made and until it is removed, so that a run that was interrupted anywhere knows it again.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._netns import former as _former
from ansible_collections.overloom.fabric.plugins.module_utils._netns import source as _source
from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import (
    Settings,
    Veth,
    default_outer,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.pair import (
    Pair,
    checked_addresses,
    given_now,
    noted_pair,
    route_lines,
    shown,
    shown_before,
    without_virtual,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.parameters import (
    change_rules,
    compare_sysctls,
    noted_sysctls,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.port import (
    End,
    compare_port,
    port_left,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import (
    OVS_BEGIN,
    UNIT_KIND,
    Found,
    Kept,
    Space,
    alias_owner,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.rules import compare_rules
from ansible_collections.overloom.fabric.plugins.module_utils._netns.source import Source
from ansible_collections.overloom.fabric.plugins.module_utils._netns.unit import (
    add_line,
    inner_end,
    offload_step,
    outer_addrgen,
    units_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Op,
    transaction,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.lost import in_userspace
from ansible_collections.overloom.fabric.plugins.module_utils._owner import (
    Caller,
    interface_alias,
    may_declare,
    may_remove,
    returned,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Remove,
    RemoveFolder,
    Step,
    Write,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    Unit,
    booted,
    unit_name,
    unit_steps,
)


def compare(found: Found, veths: t.Sequence[Veth], settings: Settings) -> Change:
    """The steps from what was found to what is declared."""
    plan = _Plan(found, veths, settings)
    for name in dict.fromkeys(veth.name for veth in veths):
        if name in plan.gone:
            plan.remove(name)
        else:
            plan.build(name, [veth for veth in veths if veth.name == name])
    for name in sorted(plan.purged):
        plan.remove(name)
    return plan.change()


class _Plan:
    """The steps by kind, collected namespace by namespace."""

    def __init__(self, found: Found, veths: t.Sequence[Veth], settings: Settings) -> None:
        self._found = found
        self._settings = settings
        self._mark = interface_alias(settings.owner)
        self.gone = {veth.name for veth in veths if veth.interface is None}
        names = {veth.name for veth in veths}
        mine = {name for name, space in found.spaces.items() if space.owner == settings.owner}
        self.purged = mine - names - settings.keep if settings.purge else set()
        self._ipv6 = any(interface.addrgen for interface in found.host.values())
        self._outers = self._resolve(veths)
        # Ports that stay, or come back, whatever else goes with their names.
        self._plugged = {
            self._outers[veth.name, veth.interface] for veth in veths if veth.interface and veth.present and veth.bridge
        }
        self._clear: list[Step] = []
        self._unplug: list[Op] = []
        # Dictionaries as ordered sets: two items may agree that a line is needed.
        self._delete: dict[str, None] = {}
        self._attach: list[str] = []
        self._make: list[str] = []
        self._inside: list[Step] = []
        self._ops: list[Op] = []
        self._finish: dict[str, None] = {}
        self._units: dict[str, Unit | None] = {}
        self._follow: list[Step] = []
        self._scripts: list[Write] = []
        self._leave_behind: list[Remove | RemoveFolder] = []
        # Units that note what goes as well, until it is gone; with what they note in the meantime.
        self._interim: dict[str, Unit] = {}
        self._before: dict[str, t.Any] = {}
        self._after: dict[str, t.Any] = {}
        self._warnings: list[str] = []

    def change(self) -> Change:
        """All steps in an order that an interruption does not harm."""
        units = unit_steps(self._found.units, self._units, booted())
        writes = {os.path.basename(step.path): step for step in units.put if isinstance(step, Write)}
        interim = unit_steps(self._found.units, self._interim, booted()).put
        steps: list[t.Any] = [step for step in interim if isinstance(step, Write)]
        steps += [step for name, step in writes.items() if name not in self._interim]
        steps += self._scripts
        steps += self._clear
        steps += transaction(OVS_BEGIN, self._unplug)
        if self._delete or self._attach or self._make:
            steps.append(_ip.batch_step([*self._delete, *self._attach, *self._make]))
        steps += self._inside
        steps += transaction(OVS_BEGIN, self._ops)
        # What had to make room for another is gone already.
        finish = [line for line in self._finish if line not in self._delete]
        if finish:
            steps.append(_ip.batch_step(finish))
        steps += [step for name, step in writes.items() if name in self._interim]
        steps += [step for step in units.put if not isinstance(step, Write)]
        steps += self._follow
        steps += units.drop
        steps += self._leave_behind
        return Change(steps, self._before, self._after, tuple(dict.fromkeys(self._warnings)))

    def _resolve(self, veths: t.Sequence[Veth]) -> dict[tuple[str, str], str]:
        """The host's end of each declared veth pair; none may be another's."""
        outers: dict[tuple[str, str], str] = {}
        users: dict[str, tuple[str, str]] = {}
        for veth in veths:
            if veth.interface is None:
                continue
            space = self._found.spaces.get(veth.name)
            kept = space.veths.get(veth.interface) if space else None
            outer = veth.outer or (kept.outer if kept else default_outer(veth.name, veth.interface))
            outers[veth.name, veth.interface] = outer
            if veth.present and users.setdefault(outer, (veth.name, veth.interface)) != (veth.name, veth.interface):
                name, interface = users[outer]
                raise FabricError(
                    f"{veth.what}: outer {outer} is that of namespace {name}, interface {interface} too; give one of them another outer"
                )
        names = {veth.name for veth in veths}
        for name, space in self._found.spaces.items():
            for interface, kept in space.veths.items():
                leaves = (
                    name in self.gone
                    or name in self.purged
                    or (self._settings.purge and name in names and space.owner == self._settings.owner)
                )
                if kept.outer in users and (name, interface) not in outers and not leaves:
                    user = users[kept.outer]
                    raise FabricError(
                        f"namespace {user[0]}, interface {user[1]}: outer {kept.outer} is that of namespace {name}, interface {interface}; give another outer"
                    )
        return outers

    def _allowed(self, what: str, *owners: str | None) -> None:
        """Refuse another owner's things, unless they are adopted."""
        for other in owners:
            may_declare(what, other, Caller(self._settings.owner, self._settings.adopt))

    # A namespace that shall be there

    def build(self, name: str, items: t.Sequence[Veth]) -> None:
        """Make a namespace what its items declare."""
        found = self._found
        space, live = found.spaces.get(name), found.live_owner(name)
        present = [veth for veth in items if veth.present]
        self._allowed(f"namespace {name}", space.owner if space else None, live)
        there = name in found.ids
        if not there and not present and space is None:
            return
        will_be = there or bool(present)
        before: dict[str, t.Any] = {"interfaces": {}}
        after: dict[str, t.Any] = {"interfaces": {}}
        source = next((veth.source for veth in present), None)
        if not self._plug_source(name, source, before, after):
            return
        made = source is None and self._makes(name, present)
        if present and not there:
            self._add_namespace(name)
        removed = self._removed(name, items, space)
        veths, parts = self._pairs(items, space, removed, before, after)
        gone = {veth.interface for veth in removed}
        known = ({*found.look(name).interfaces, *veths, "lo"} - gone) | set(parts)
        sysctls = noted_sysctls(space, known)
        if will_be:
            sysctls = self._sysctls(name, items, known, parts, before, after)
        self._run_inside(name, made and will_be, list(parts.values()))
        rules = change_rules(name, items, found, veths, made)
        if rules:
            self._inside += rules.steps
            before["rules"], after["rules"] = rules.before, rules.after
        self._keep(name, self._noted(name, made, veths, sysctls, source), before, after)
        self._tell_loopback(name, made and will_be, before, after)
        if there or before["interfaces"]:
            self._before[name] = before
        self._after[name] = after

    def _noted(
        self, name: str, made: bool, veths: dict[str, Kept], sysctls: dict[str, str], source: Source | None
    ) -> Space | None:
        """What the unit of a namespace notes; None where there is nothing to make at boot."""
        if not made and not veths:
            return None
        adopted = self._adopted(name) if made else None
        return Space(self._settings.owner, made, veths, sysctls, source, adopted)

    def _sysctls(
        self,
        name: str,
        items: t.Sequence[Veth],
        known: t.Collection[str | None],
        parts: t.Mapping[str, _Part],
        before: dict[str, t.Any],
        after: dict[str, t.Any],
    ) -> dict[str, str]:
        """Set the declared kernel parameters; returns what is to be noted of them."""
        remade = {interface for interface, part in parts.items() if not part.joined}
        compared = compare_sysctls(name, items, self._found, known, remade)
        self._inside += compared.steps
        before["sysctls"], after["sysctls"] = compared.before, compared.after
        return compared.keep

    def _pairs(
        self,
        items: t.Sequence[Veth],
        space: Space | None,
        removed: t.Sequence[Veth],
        before: dict[str, t.Any],
        after: dict[str, t.Any],
    ) -> tuple[dict[str, Kept], dict[str, _Part]]:
        """Remove pairs and make those that are declared; returns what is to be noted of pairs, and the parts of those that are declared."""
        veths = dict(space.veths) if space else {}
        for veth in removed:
            if self._remove_veth(veth, veths.pop(veth.inner, None), asked=veth in items):
                before["interfaces"][veth.interface] = "present"
        parts = {veth.inner: self._veth(veth, veths.get(veth.inner)) for veth in items if veth.present}
        for interface, part in parts.items():
            if part.kept is None:
                veths.pop(interface, None)
            else:
                veths[interface] = part.kept
            before["interfaces"].update(part.before)
            after["interfaces"].update(part.after)
        return veths, parts

    def _makes(self, name: str, present: t.Sequence[Veth]) -> bool:
        """Whether a namespace is made by the module, or was. One with interfaces that are not declared cannot be adopted whole."""
        space = self._found.spaces.get(name)
        if (
            name not in self._found.ids
            or (space and space.made)
            or self._found.live_owner(name) == self._settings.owner
        ):
            return True
        others = {*self._found.look(name).interfaces} - {"lo", *(veth.inner for veth in present)}
        return self._settings.adopt and not others

    def _adopted(self, name: str) -> dict[str, t.Any] | None:
        """What the loopback of an adopted namespace was; None for one that the module made."""
        found, space = self._found, self._found.spaces.get(name)
        if space and space.made:
            return space.adopted
        if name not in found.ids or found.live_owner(name) == self._settings.owner:
            return None
        loopback = found.look(name).interfaces.get("lo")
        return {"alias": loopback.alias, "up": loopback.up} if loopback else None

    def _plug_source(self, name: str, source: Source | None, before: dict[str, t.Any], after: dict[str, t.Any]) -> bool:
        """Give the namespace of a container or process its name; whether there is anything to plug in."""
        place, space = self._found.places.get(name), self._found.spaces.get(name)
        if source is None:
            if space and space.source and name in self._found.ids:
                raise FabricError(
                    f"namespace {name} is that of {space.source.what}; remove it first with state: absent, or give another name"
                )
            return True
        if place is None or not place.pid:
            self._warnings.append(
                f"namespace {name}: {source.what} does not run, so nothing is changed; run this again when it does"
            )
            return False
        before["attached"], after["attached"] = place.attached, True
        if not place.attached:
            if name in self._found.following:
                # It would name it at the same time.
                self._clear.insert(0, Step(("systemctl", "stop", _source.follow_name(name))))
            if place.taken:
                self._attach.append(f"netns delete {name}")
            self._attach.append(f"netns attach {name} {place.pid}")
        return True

    def _add_namespace(self, name: str) -> None:
        """Make a namespace; a file without one, which an interruption has left, goes first."""
        if name in self._found.stale:
            self._delete[f"netns delete {name}"] = None
        self._make.append(f"netns add {name}")

    def _removed(self, name: str, items: t.Sequence[Veth], space: Space | None) -> list[Veth]:
        """The veth pairs that shall be absent, and with purge those of ours that are no longer declared."""
        removed = [veth for veth in items if not veth.present]
        if self._settings.purge and space and space.owner == self._settings.owner:
            declared = {veth.interface for veth in items}
            removed += [Veth(name, interface, present=False) for interface in space.veths if interface not in declared]
        return removed

    def _run_inside(self, name: str, ours: bool, parts: t.Sequence[_Part]) -> None:
        """The lines of all veth pairs inside a namespace in one batch, and the offloads. ours: its loopback carries our mark."""
        loopback = self._found.look(name).interfaces.get("lo")
        first = [line for part in parts for line in part.first]
        lines = _ip.interface_batch(loopback, _ip.Wanted("lo", alias=self._mark, up=True)) if ours else []
        lines += [line for part in parts for line in part.lines]
        last = [line for part in parts for line in part.last]
        if first or lines or last:
            self._inside.append(_ip.batch_step([*first, *lines, *last], netns=name))
        for part in parts:
            self._inside += part.offloads

    def _tell_loopback(self, name: str, ours: bool, before: dict[str, t.Any], after: dict[str, t.Any]) -> None:
        """For the diff: the mark on the loopback, and whether it is up."""
        live, loopback = self._found.live_owner(name), self._found.look(name).interfaces.get("lo")
        before["owner"], after["owner"] = live, self._settings.owner if ours else live
        before["loopback_up"] = bool(loopback and loopback.up)
        after["loopback_up"] = ours or before["loopback_up"]

    def _keep(self, name: str, space: Space | None, before: dict[str, t.Any], after: dict[str, t.Any]) -> None:
        """Note the unit of a namespace, and whether it changes."""
        units = {unit.name: unit for unit in units_of(name, space)} if space else {}
        every = [unit_name(UNIT_KIND, name), unit_name(UNIT_KIND, name, "path"), _source.follow_name(name)]
        old = self._found.spaces.get(name)
        self._keep_follower(name, units, before, after)
        if space and old and _loses(old, space):
            both = space._replace(veths={**space.veths, **old.veths}, sysctls={**space.sysctls, **old.sysctls})
            self._interim.update({unit.name: unit for unit in units_of(name, both)})
        self._units.update({unit: units.get(unit) for unit in every})
        present = {unit: self._found.units[unit] for unit in every if unit in self._found.units}
        same = {u: (x.content, set(x.wanted_by)) for u, x in units.items()} == {
            u: (x.content, set(x.wanted_by)) for u, x in present.items()
        }
        after["at_boot"] = bool(units)
        before["at_boot"] = bool(units) if same else ("otherwise" if present else False)

    def _keep_follower(
        self, name: str, units: t.Mapping[str, Unit], before: dict[str, t.Any], after: dict[str, t.Any]
    ) -> None:
        """The program that follows a container runs as it is declared, or is gone."""
        found, unit = self._found, _source.follow_name(name)
        old, wanted, text = found.scripts.get(name), units.get(unit), _source.script_source()
        if wanted is None:
            if unit in found.units:
                # Before it sees its namespace go, which it would name again.
                self._clear.insert(0, Step(("systemctl", "stop", unit)))
            if old is not None:
                self._leave_behind += [Remove(_source.script(name)), RemoveFolder(_source.SCRIPTS)]
            return
        there = found.units.get(unit)
        if old != text:
            self._scripts.append(Write(_source.script(name), text))
        same = old == text and there is not None and there.content == wanted.content
        follows = same and name in found.following and found.places[name].attached
        if not follows and booted():
            self._follow.append(Step(("systemctl", "restart", unit)))
        before["followed"], after["followed"] = follows, True

    def _veth(self, veth: Veth, kept: Kept | None) -> _Part:
        """Make one veth pair what is declared."""
        pair = self._ends(veth, kept)
        keep = noted_pair(veth, pair.outer, kept)
        pair = without_virtual(pair, keep)
        end = End(pair.outer, pair.mine, anew=pair.far is None, lost=pair.outer in self._found.lost)
        port = compare_port(self._found.database, veth, end, self._settings)
        self._unplug += port.unplug
        self._ops += port.ops
        self._warnings += port.warnings
        userspace = in_userspace(self._found.database, keep.bridge)
        keep = keep._replace(tx={"on": True, "off": False, "auto": False if userspace else None}[veth.tx])
        keep = keep._replace(former=self._former(pair, kept))
        given = given_now(veth, keep, pair.far)
        self._check_places(veth, given)
        addresses = checked_addresses(veth, keep, given, pair.far)
        addrgen = outer_addrgen(keep) if self._ipv6 else None
        mark = self._mark if pair.mine else None
        self._make += _ip.interface_batch(
            pair.near, _ip.Wanted(pair.outer, mtu=given.mtu, alias=mark, up=True, addrgen=addrgen)
        )
        lines = _ip.interface_batch(pair.far, inner_end(self._settings.owner, veth.inner, given, pair.mine))
        first, last = route_lines(veth, pair, keep, given, addresses, _ip.disturbs_routes(lines))
        offloads = []
        if keep.tx is not None and pair.offload != keep.tx:
            offloads.append(offload_step(veth.name, veth.inner, keep.tx))
        after = {"owner": self._settings.owner if pair.mine else None, **shown(veth, pair, keep, given, addrgen)}
        after.update(port.after)
        was = shown_before(pair, given, port.before, after)
        before = {veth.inner: was} if was else {}
        joined, noted = pair.far is not None, keep if pair.mine else None
        return _Part(joined, first, lines, last, offloads, noted, before, {veth.inner: after})

    def _check_places(self, veth: Veth, given: Kept) -> None:
        """Refuse a route in the place of one through an interface that is not ours."""
        space = self._found.spaces.get(veth.name)
        ours = {veth.inner, *(space.veths if space else ()), *(i for name, i in self._outers if name == veth.name)}
        others = {place: through for place, through in self._found.look(veth.name).taken if through not in ours}
        for route in given.all_routes() or ():
            through = others.get((route.to, route.table, route.metric))
            if through:
                raise FabricError(
                    f"{veth.what}: routes has {route.to}, and there is one already that is not ours ({through}); "
                    "give another metric or table, or remove that one first"
                )

    def _former(self, pair: Pair, kept: Kept | None) -> dict[str, t.Any] | None:
        """What an adopted veth pair was; None for one that the module made."""
        if pair.near is None or pair.far is None:
            return None
        if kept is not None or pair.near.alias == self._mark or not self._settings.adopt:
            return kept.former if kept else None
        return _former.of(pair.near, pair.far, pair.routes, pair.offload)

    def _ends(self, veth: Veth, kept: Kept | None) -> Pair:
        """The two ends of a veth pair as they are. One that is not there is made, in a place that is made free."""
        found, inside = self._found, self._found.look(veth.name)
        outer = self._outers[veth.name, veth.inner]
        leaving = self._leave(kept.outer) if kept and kept.outer != outer else []
        if not found.joined(veth.name, veth.inner, outer):
            self._make_room(veth, outer, leaving)
            self._make.append(add_line(veth.name, veth.inner, outer))
            return Pair(outer)
        near = found.host[outer]
        self._allowed(f"interface {outer}", alias_owner(near.alias))
        mine = kept is not None or near.alias == self._mark or self._settings.adopt
        if not mine:
            self._warnings.append(
                f"{veth.what}: the veth pair was there before; it is configured, but not made again at boot, unless adopt is true"
            )
        routes, offload = inside.routes.get(veth.inner, ()), inside.offloads.get(veth.inner, True)
        return Pair(outer, mine, near, inside.interfaces[veth.inner], routes, offload)

    def _leave(self, outer: str) -> list[_ip.Interface]:
        """Remove a veth pair of our own by the host's end, with its port; returns the end if there was one."""
        self._drop_port(outer)
        near = self._found.host.get(outer)
        if near is None or near.kind != "veth" or near.alias != self._mark:
            return []
        self._delete[f"link delete dev {_ip.word(outer)}"] = None
        return [near]

    def _make_room(self, veth: Veth, outer: str, leaving: list[_ip.Interface]) -> None:
        """Remove remains of our own that stand where a veth pair shall be made; refuse anything else.

        leaving: the host's ends of veth pairs that are removed already.
        """
        found = self._found
        if outer in found.host:
            remains = found.host[outer]
            if remains.kind != "veth" or remains.alias != self._mark:
                raise FabricError(
                    f"{veth.what}: outer {outer} is an interface already, and not the other end of {veth.interface}; "
                    "give another outer, or remove that interface"
                )
            self._delete[f"link delete dev {_ip.word(outer)}"] = None
            leaving = [*leaving, remains]
        far = found.look(veth.name).interfaces.get(veth.inner)
        if far is None or any(end.link_index == far.ifindex and far.link_index == end.ifindex for end in leaving):
            return
        if far.alias != self._mark:
            raise FabricError(
                f"{veth.what} is there already, and is not the other end of {outer}; give another interface, the right outer, or remove it"
            )
        place = found.places.get(veth.name)
        if place and not place.attached:
            self._clear.append(Step(("nsenter", f"--net={place.path}", "ip", "link", "delete", "dev", far.name)))
        else:
            self._clear.append(_ip.batch_step([f"link delete dev {_ip.word(far.name)}"], netns=veth.name))

    # Things that shall not be there

    def _drop_port(self, outer: str, deletes: bool = False) -> None:
        """Remove the port of an interface that goes, if this module made it; one that was there is given back, unless deletes."""
        ops = [] if outer in self._plugged else port_left(self._found.database, outer, self._settings, deletes)
        self._ops += [op for op in ops if op not in self._ops]

    def _give_back(self, name: str, interface: str, kept: Kept) -> None:
        """Make an adopted veth pair what it was before."""
        inside = self._found.look(name)
        near, far = self._found.host[kept.outer], inside.interfaces[interface]
        back = _former.given_back(kept, near, far, inside.routes.get(interface, ()))
        self._finish.update(dict.fromkeys(back.outside))
        if back.inside:
            self._inside.append(_ip.batch_step(back.inside, netns=name))
        if back.tx is not None and inside.offloads.get(interface, back.tx) != back.tx:
            self._inside.append(offload_step(name, interface, back.tx))
        self._drop_port(kept.outer)

    def _remove_veth(self, veth: Veth, kept: Kept | None, asked: bool) -> bool:
        """Remove one veth pair and its port, or give it back; returns whether there was one. asked: by name."""
        found = self._found
        interface = veth.inner
        outer = self._outers.get((veth.name, interface)) or (
            kept.outer if kept else default_outer(veth.name, interface)
        )
        near = found.host.get(outer)
        if near is None or not found.joined(veth.name, interface, outer):
            if kept is not None:
                self._drop_port(outer)
            return kept is not None
        owner, deletes = alias_owner(near.alias), asked and self._settings.adopt
        self._allowed(f"interface {outer}", owner)
        if kept is None:
            may_remove(f"interface {outer}", owner, Caller(self._settings.owner, self._settings.adopt))
        elif kept.former and not deletes:
            self._warnings += [returned(veth.what)] if asked else []
            self._give_back(veth.name, interface, kept)
            return True
        self._drop_port(outer, deletes)
        self._finish[f"link delete dev {_ip.word(outer)}"] = None
        return True

    def remove(self, name: str) -> None:
        """Remove a namespace with its interfaces; what was adopted is given back, and one that is not ours loses only ours."""
        found, space = self._found, self._found.spaces.get(name)
        if name not in found.ids and name not in found.stale and space is None:
            return
        self._allowed(f"namespace {name}", space.owner if space else None, found.live_owner(name))
        deletes = self._settings.adopt and name in self.gone
        veths = space.veths if space else {}
        self._remove_links(name, veths, deletes)
        if space and name in found.ids and not deletes and not space.made:
            # The namespace stays, and rules go with no interface.
            noted = [rule for kept in veths.values() for rule in kept.all_rules() or ()]
            there = [rule for rule in found.look(name).rules if rule in noted]
            self._inside += compare_rules(name, there, []).steps
        if name in found.ids or name in found.stale:
            self._end(name, space, deletes)
        before: dict[str, t.Any] = {"interfaces": sorted(veths)}
        self._keep(name, None, before, {})
        self._before[name] = before

    def _remove_links(self, name: str, veths: t.Mapping[str, Kept], deletes: bool) -> None:
        """Remove the veth pairs into a namespace, with their ports. deletes: also what was there before."""
        found, number = self._found, self._found.ids.get(name)
        stay = set()
        for interface, kept in veths.items():
            if kept.former and not deletes and found.joined(name, interface, kept.outer):
                self._give_back(name, interface, kept)
                stay.add(kept.outer)
        noted = {kept.outer for kept in veths.values()} - stay
        for outer, near in found.host.items():
            leads_there = near.kind == "veth" and near.link_netnsid is not None and near.link_netnsid == number
            # Noted, but without an alias: an interrupted run had not got so far.
            ours = near.alias == self._mark or (outer in noted and not near.alias)
            if leads_there and outer not in stay and (deletes or ours):
                self._drop_port(outer, deletes)
                self._finish[f"link delete dev {_ip.word(outer)}"] = None
        for outer in sorted(noted):
            self._drop_port(outer, deletes)

    def _end(self, name: str, space: Space | None, deletes: bool) -> None:
        """The end of a namespace itself, if it is ours."""
        found, what = self._found, f"namespace {name}"
        if space and space.source:
            # Its process keeps it; only the name goes.
            self._finish[f"netns delete {name}"] = None
        elif space and space.adopted and not deletes:
            self._warnings += [returned(what)] if name in self.gone else []
            loopback = _ip.interface_batch(found.look(name).interfaces.get("lo"), _ip.Wanted("lo", **space.adopted))
            self._inside += [_ip.batch_step(loopback, netns=name)] if loopback else []
        elif deletes or (space.made if space else found.live_owner(name) == self._settings.owner):
            self._finish[f"netns delete {name}"] = None
            pids = found.processes.get(name, [])
            if pids:
                self._warnings.append(
                    f"{what}: processes still run in it and go on without its interfaces: {', '.join(map(str, pids))}"
                )
        elif name in self.gone:
            raise FabricError(
                f"{what} was not made by this collection and stays; give interface to remove only that, or adopt: true to remove the namespace"
            )


class _Part(t.NamedTuple):
    """What one veth pair adds to its namespace.

    joined: it was there. first, lines, last: lines for ip(8) inside. kept: for the unit, None if it is not ours.
    """

    joined: bool
    first: list[str]
    lines: list[str]
    last: list[str]
    offloads: list[Step]
    kept: Kept | None
    before: dict[str, t.Any]
    after: dict[str, t.Any]


def _loses(old: Space, new: Space) -> bool:
    """Whether the new notes leave out something of the old ones that has to be removed."""
    gone = any(
        interface not in new.veths or new.veths[interface].outer != kept.outer for interface, kept in old.veths.items()
    )
    return gone or not set(old.sysctls) <= set(new.sysctls)

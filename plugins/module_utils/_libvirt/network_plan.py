# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's networks on a host: read once, compare, and change the defined and the running network together.

This file is private to the collection.
"""

from __future__ import annotations

import copy
import os
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt import former
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import (
    Call,
    asked,
    begin,
    items_of,
    libvirt,
    order_steps,
    port_command,
    read_order,
    read_ports,
    said,
    virsh,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.devices import view_nic, write_nic
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.domain_plan import Actions as DomainActions
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.live import expected_vlan, live_interface
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.network import (
    BEHIND_METADATA,
    besides,
    check_new,
    check_whole,
    dhcp_host,
    dhcp_range,
    differences,
    dns_host,
    name_of,
    patch,
    portgroup,
    restrict,
    skeleton,
    view,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.network_declaration import (
    MANAGED,
    MODULE,
    SPEC,
    Network,
    want,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.planned import Planned
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    Mark,
    check_change,
    check_owner,
    contains,
    libvirt_document,
    parse_vlan,
    port_columns,
    read_mark,
    replaces,
    to_xml,
    write_mark,
)
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, may_remove, returned
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Runner,
    Step,
    reconcile,
)

# What libvirt changes in a running network (virNetworkUpdate); all else waits for its restart.
LIVE_OPTIONS = ("portgroups", "dns_hosts")


class Here(t.NamedTuple):
    """A network on the host. live is the document of the active network, or None."""

    inactive: ET.Element
    live: ET.Element | None
    autostart: bool

    @property
    def active(self) -> ET.Element:
        """The document of the active network. LookupError for one that is not."""
        if self.live is None:
            raise LookupError(f"network {self.inactive.findtext('name')} is not active")
        return self.live


class Guest(t.NamedTuple):
    """A domain with its documents; live is None when it does not run."""

    name: str
    inactive: ET.Element
    live: ET.Element | None


class Found(t.NamedTuple):
    """What one read of the host brings. guests and ports only where a portgroup may matter to them."""

    networks: dict[str, Here]
    guests: list[Guest]
    ports: dict[str, dict[str, t.Any]]
    order: dict[str, bool]


def read(connection: t.Any, runner: Runner, uri: str) -> Found:
    """Read the host once."""
    networks = read_networks(connection)
    guests = []
    for handle in asked("the domains cannot be listed", connection.listAllDomains):
        try:
            live = ET.fromstring(handle.XMLDesc()) if handle.isActive() else None
            guests.append(Guest(handle.name(), ET.fromstring(handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)), live))
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise FabricError(f"a domain cannot be read: {said(error)}") from error
    plugged = any(
        guest.live is not None and guest.live.find("devices/interface/source[@network]/../virtualport") is not None
        for guest in guests
    )
    return Found(networks, guests, read_ports(runner) if plugged else {}, read_order(uri))


def read_networks(connection: t.Any) -> dict[str, Here]:
    """All networks of the host."""
    networks = {}
    for handle in asked("the networks cannot be listed", connection.listAllNetworks):
        try:
            inactive = libvirt_document(handle.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE))
            live = ET.fromstring(handle.XMLDesc()) if handle.isActive() else None
            networks[handle.name()] = Here(inactive, live, bool(handle.autostart()))
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
                raise FabricError(f"a network cannot be read: {said(error)}") from error
    return networks


class Actions:
    """Makes the calls of one connection; each is shown as its virsh command."""

    def __init__(self, connection: t.Any, uri: str) -> None:
        self.connection, self.uri = connection, uri

    def define(self, name: str, root: ET.Element) -> Call:
        """Define, or define anew; a running network keeps running."""
        text = to_xml(root)

        def act() -> None:
            # The flag is there since libvirt 7.8; older ones check what they need.
            flag = getattr(libvirt, "VIR_NETWORK_DEFINE_VALIDATE", 0)
            if flag:
                self.connection.networkDefineXMLFlags(text, flag)
            else:
                self.connection.networkDefineXML(text)

        return Call(f"network {name} is refused", virsh(self.uri, "net-define", "/dev/stdin"), act, text)

    def update(self, name: str, command: str, section: str, entry: ET.Element, parent: int = -1) -> Call:
        """add-last, modify or delete an entry of the running network."""
        text = to_xml(entry)

        def act() -> None:
            numbers = {"add-last": "ADD_LAST", "modify": "MODIFY", "delete": "DELETE"}
            number = getattr(libvirt, "VIR_NETWORK_UPDATE_COMMAND_" + numbers[command])
            place = getattr(libvirt, "VIR_NETWORK_SECTION_" + section.upper().replace("-", "_"))
            self.connection.networkLookupByName(name).update(
                number, place, parent, text, libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
            )

        argv = virsh(
            self.uri,
            "net-update",
            name,
            command,
            section,
            "/dev/stdin",
            "--live",
            *(["--parent-index", str(parent)] if parent >= 0 else []),
        )
        return Call(f"network {name}: {section} ({command})", argv, act, text)

    def autostart(self, name: str, wanted: bool) -> Call:
        """Start the network with the host, or not."""
        argv = virsh(self.uri, "net-autostart", name, *([] if wanted else ["--disable"]))
        return Call(
            f"network {name}: autostart",
            argv,
            lambda: self.connection.networkLookupByName(name).setAutostart(int(wanted)),
        )

    def simple(self, verb: str, name: str) -> Call:
        """start, destroy or undefine."""
        calls = {"start": "create", "destroy": "destroy", "undefine": "undefine"}

        def act() -> None:
            try:
                handle = self.connection.networkLookupByName(name)
            except libvirt.libvirtError as error:
                # A transient network is gone once it is stopped.
                if verb == "undefine" and error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:
                    return
                raise
            getattr(handle, calls[verb])()

        return Call(f"network {name}: {verb}", virsh(self.uri, f"net-{verb}", name), act)


class Plan:
    """The steps for all networks and what the caller is told."""

    def __init__(self) -> None:
        self.steps: list[t.Any] = []
        self.before: dict[str, t.Any] = {}
        self.after: dict[str, t.Any] = {}
        self.warnings: list[str] = []
        self.restart: dict[str, list[str]] = {}
        self.released: set[str] = set()

    def change(self) -> Change:
        """All of it; equal entries are left out of the diff."""
        names = [name for name in self.after if self.before[name] != self.after[name]]
        return Change(
            self.steps, {n: self.before[n] for n in names}, {n: self.after[n] for n in names}, tuple(self.warnings)
        )


def plan(
    found: Found,
    wanted: t.Sequence[Network],
    owner: str,
    adopt: bool,
    purge: bool,
    actions: Actions,
    guests: DomainActions,
    check: bool,
) -> Plan:
    """Compare. check: whether this is check mode, where an earlier task may still bring a bridge. Raises FabricError."""
    result = Plan()
    _check_unique(found, wanted)
    for network in wanted:
        here = found.networks.get(network.name)
        if network.state != "absent":
            PlannedNetwork(result, found, network, here, actions).plan(owner, adopt, guests, check)
        elif here is not None:
            mark = read_mark(here.inactive)
            may_remove(f"network {network.name}", mark.owner or None, Caller(owner, adopt))
            if mark.adopted and not adopt:
                result.warnings.append(returned(f"network {network.name}"))
                _give_back(result, found, network.name, here, actions)
            else:
                _remove(result, found, network.name, here, actions)
    if purge:
        declared = {network.name for network in wanted}
        for name, here in sorted(found.networks.items()):
            mark = read_mark(here.inactive)
            if name not in declared and mark.owner == owner and mark.module == MODULE:
                if mark.adopted:
                    _give_back(result, found, name, here, actions)
                else:
                    _remove(result, found, name, here, actions)
    _order(result, found, wanted)
    return result


def _order(result: Plan, found: Found, wanted: t.Sequence[Network]) -> None:
    """libvirt's services wait for Open vSwitch at boot as long as a network or a guest of the collection needs it."""
    modes = {
        name: view(here.inactive)["mode"]
        for name, here in found.networks.items()
        if read_mark(here.inactive).module == MODULE or result.after.get(name, {}).get("owner")
    }
    modes.update({network.name: network.options["mode"] for network in wanted if "mode" in network.options})
    gone = result.released | {name for name, after in result.after.items() if after.get("state") == "absent"}
    gone |= {network.name for network in wanted if network.state == "absent"}
    plugged = any(
        guest.inactive.find("devices/interface/virtualport[@type='openvswitch']") is not None for guest in found.guests
    )
    needed = plugged or any(mode == "openvswitch" for name, mode in modes.items() if name not in gone)
    steps = order_steps(found.order, needed)
    if steps:
        result.steps += steps
        result.before["boot"], result.after["boot"] = (
            {"waits_for_open_vswitch": flag} for flag in (not needed, needed)
        )


def _check_unique(found: Found, wanted: t.Sequence[Network]) -> None:
    declared = {network.name: network for network in wanted}
    uuids = {here.inactive.findtext("uuid", ""): name for name, here in found.networks.items()}
    for network in wanted:
        uuid, here = network.options.get("uuid"), found.networks.get(network.name)
        if not uuid or network.state == "absent":
            continue
        other = uuids.get(uuid, network.name)
        if other != network.name and declared.get(other, network).state != "absent":
            raise FabricError(
                f"network {network.name}: uuid {uuid} is network {other}'s already: give each network a UUID of its own"
            )
        if here is not None and here.inactive.findtext("uuid") != uuid:
            raise FabricError(
                f"network {network.name} exists with uuid {here.inactive.findtext('uuid')}, which cannot change: leave uuid out, or remove the network first"
            )


def _users(found: Found, name: str, group: str | None = None, running: bool = True) -> list[str]:
    """The guests with a NIC in the network, or in one of its portgroups."""
    users = []
    for guest in found.guests:
        root = guest.live if running else guest.inactive
        nics = [] if root is None else [view_nic(nic) for nic in root.findall("devices/interface")]
        if any(nic["network"] == name and group in (None, nic["portgroup"]) for nic in nics):
            users.append(guest.name)
    return users


class PlannedNetwork(Planned[Here]):
    """The plan for one declared network."""

    def __init__(self, result: Plan, found: Found, network: Network, here: Here | None, actions: Actions) -> None:
        super().__init__(f"network {network.name}", here)
        self.result, self.found, self.network, self.actions = result, found, network, actions
        self.name = network.name

    @property
    def active(self) -> bool:
        """Whether the network runs."""
        return self.here is not None and self.here.live is not None

    def plan(self, owner: str, adopt: bool, guests: DomainActions, check: bool) -> None:
        """All of it. Raises FabricError."""
        check_owner(self.old, owner, adopt, f"network {self.name}")
        if self.here is None:
            check_new(self.network)
        self.network = self.network._replace(options=self._options())
        marked = self.here is None or adopt or self.old.owner == owner
        goal = {"present": self.active, "active": True, "inactive": False}[self.network.state]
        root = self._define(owner, marked, goal)
        self._check_bridge(root, goal, check)
        if self.active and goal:
            self._running()
            if "portgroups" in self.network.options or "vlan" in self.network.options:
                _replug(self.result, self.found, self.name, root, guests, self.before, self.after)
        elif goal:
            self.result.steps.append(self.actions.simple("start", self.name))
        elif self.active:
            _check_unused(self.found, self.name, self.there, "stopped")
            self.result.steps.append(self.actions.simple("destroy", self.name))
        self._autostart(goal)
        if self.here is not None:
            self.before["state"] = "active" if self.active else "inactive"
        self.after["state"] = "active" if goal else "inactive"
        if not marked:
            self._check_foreign()
        self.result.before[self.name], self.result.after[self.name] = self.before, self.after

    def _options(self) -> dict[str, t.Any]:
        """The declared options; a portgroup that is used and may stay is kept in the place where it is."""
        options = dict(self.network.options)
        if "portgroups" not in options or self.here is None:
            return options
        seen, declared = view(self.here.inactive), {group["name"] for group in options["portgroups"]}
        for group in seen["portgroups"]:
            users = _users(self.found, self.name, group["name"]) or _users(
                self.found, self.name, group["name"], running=False
            )
            if group["name"] in declared or not users:
                continue
            if not self.network.keep_used:
                raise FabricError(
                    f"network {self.name}: portgroup {group['name']} is used by domain {users[0]}: move its NIC first, or keep the portgroup"
                )
            options["portgroups"] = [*options["portgroups"]]
            options["portgroups"].insert(seen["portgroups"].index(group), group)
        return options

    def _mark(self, owner: str, goal: bool) -> Mark:
        """Our mark. In that of a network that was there before is also whether it ran, and started with the host."""
        here, old = self.here, self.old
        mark = old._replace(owner=owner, module=MODULE, adopted=old.adopted or here is not None and not old.owner)
        if here is None or not mark.adopted:
            return mark
        cells = former.switched(former.unpacked(old.former), former.ACTIVE, self.active, goal)
        if self.network.autostart is not None:
            cells = former.switched(cells, former.AUTOSTART, here.autostart, self.network.autostart)
        return mark._replace(former=former.packed(cells))

    def _define(self, owner: str, marked: bool, goal: bool) -> ET.Element:
        """Plan the definition; the document as it is then."""
        here, options, old = self.here, self.network.options, self.old
        root = skeleton(self.network, owner) if here is None else copy.deepcopy(here.inactive)
        seen = view(root)
        mark = self._mark(owner, goal) if marked else old
        self.before = {"state": "absent"} if here is None else {"owner": old.owner, **restrict(options, seen)}
        self.after = {"owner": mark.owner, **options}
        lacks = self.network.raw is not None and not contains(root, self.network.raw)
        if here is not None and not differences(options, seen) and mark == old and not lacks:
            return root
        if lacks and self.network.raw is not None:
            self.note("xml", None, to_xml(self.network.raw))
        patch(root, self.network, mark)
        check_whole(root, self.name)
        if here is not None:
            gone, come = besides(here.inactive, root, self.network)
            if gone or come:
                self.note("besides", gone, come)
        if here is not None and mark.adopted:
            cells = former.recorded(former.unpacked(mark.former), here.inactive, root, name_of)
            write_mark(root, mark._replace(former=former.packed(cells)), BEHIND_METADATA)
        self.result.steps.append(self.actions.define(self.name, root))
        return root

    def _check_bridge(self, root: ET.Element, goal: bool, check: bool) -> None:
        seen = view(root)
        if (
            goal
            and seen["mode"] in ("bridge", "openvswitch")
            and seen["bridge"]
            and not os.path.isdir(f"/sys/class/net/{seen['bridge']}")
        ):
            text = f"network {self.name}: bridge {seen['bridge']} does not exist: make it first, with ovs_bridge for Open vSwitch"
            if not check:
                raise FabricError(text)
            self.result.warnings.append(text)

    def _running(self) -> None:
        """Plan the running network's restart, or its changes without one."""
        options, live, name = self.network.options, self.there.active, self.name
        late = [key for key in differences(options, view(live)) if key not in LIVE_OPTIONS]
        pending = [key for key in late if not (key == "addresses" and _same_addresses(options, live))]
        pending += ["xml"] if "xml" in self.after else []
        if pending and self.network.restart:
            _check_unused(self.found, name, self.there, "restarted")
            self.result.steps += [self.actions.simple("destroy", name), self.actions.simple("start", name)]
            self.note("running_with_old", pending, [])
            return
        if pending:
            self.result.restart[name] = pending
        notes = _live(self.result, self.network, self.there, pending, self.actions)
        if notes:
            self.note("running", *notes)

    def _autostart(self, goal: bool) -> None:
        found = self.here is not None and self.here.autostart
        wanted = self.network.autostart if self.network.autostart is not None or self.here is not None else goal
        if wanted is not None and wanted != found:
            self.result.steps.append(self.actions.autostart(self.name, wanted))
            self.note("autostart", found, wanted)

    def _check_foreign(self) -> None:
        """Refuse to replace what others set on a network that carries no mark."""
        changed = [key for key in self.after if key in self.before and replaces(self.before[key], self.after[key])]
        users = [
            f"domain {name}" for name in _users(self.found, self.name) or _users(self.found, self.name, running=False)
        ]
        check_change(f"network {self.name}", [key for key in changed if key not in ("owner", "besides")], users)


def _same_addresses(options: t.Mapping[str, t.Any], live: ET.Element) -> bool:
    """Whether the running network has the declared addresses, so that only DHCP entries differ, which it takes at once."""
    return [item["address"] for item in restrict(options, view(live))["addresses"]] == [
        item["address"] for item in options["addresses"]
    ]


def _check_unused(found: Found, name: str, here: Here, what: str) -> None:
    """A guest on a bridge that libvirt makes would lose its network for good."""
    users = _users(found, name)
    if users and here.live is not None and view(here.live)["mode"] in MANAGED:
        raise FabricError(f"network {name} cannot be {what} while domain {users[0]} runs in it: stop the domain first")


def _live(
    result: Plan, network: Network, here: Here, pending: t.Sequence[str], actions: Actions
) -> tuple[dict[str, t.Any], dict[str, t.Any]] | None:
    """Bring the running network's portgroups, DHCP and DNS entries to what is declared; returns what differed."""
    options, live, name = network.options, view(here.active), network.name
    count = len(result.steps)
    if "portgroups" in options:
        _live_portgroups(result, name, here.active, options["portgroups"], actions)
    if "dns_hosts" in options:
        _live_entries(result, name, "dns-host", live["dns_hosts"], options["dns_hosts"], dns_host, -1, actions)
    if "addresses" in options and "addresses" not in pending:
        _live_dhcp(result, name, live["addresses"], options["addresses"], actions)
    if len(result.steps) == count:
        return None
    keys = [key for key in ("portgroups", "dns_hosts", "addresses") if key in differences(options, live)]
    before = restrict({key: options[key] for key in keys}, live)
    return before, {key: options[key] for key in keys}


def _live_portgroups(
    result: Plan, name: str, active: ET.Element, wanted: t.Sequence[t.Mapping[str, t.Any]], actions: Actions
) -> None:
    """Remove, change and add portgroups of a running network. active: its document."""
    now = {group["name"]: group for group in view(active)["portgroups"]}
    elements = {group.get("name"): group for group in active.findall("portgroup")}
    kept = {group["name"] for group in wanted}
    for key in now:
        if key not in kept:
            result.steps.append(actions.update(name, "delete", "portgroup", elements[key]))
    for group in wanted:
        if now.get(group["name"]) != group:
            there = elements.get(group["name"])
            command = "add-last" if there is None else "modify"
            changed = portgroup(group, copy.deepcopy(there))
            result.steps.append(actions.update(name, command, "portgroup", changed))


def _live_dhcp(
    result: Plan,
    name: str,
    live: t.Sequence[t.Mapping[str, t.Any]],
    wanted: t.Sequence[t.Mapping[str, t.Any]],
    actions: Actions,
) -> None:
    """The DHCP entries of a running network, subnet by subnet."""
    order = [item["address"] for item in live]
    sections = (("dhcp_ranges", "ip-dhcp-range", dhcp_range), ("dhcp_hosts", "ip-dhcp-host", dhcp_host))
    for item in wanted:
        place = order.index(item["address"])
        for key, section, made in sections:
            if key in item:
                _live_entries(result, name, section, live[place][key], item[key], made, place, actions)


def _live_entries(
    result: Plan,
    name: str,
    section: str,
    now: t.Sequence[t.Mapping[str, t.Any]],
    wanted: t.Sequence[t.Mapping[str, t.Any]],
    made: t.Callable[[t.Mapping[str, t.Any]], ET.Element],
    parent: int,
    actions: Actions,
) -> None:
    for entry in now:
        if entry not in wanted:
            result.steps.append(actions.update(name, "delete", section, made(entry), parent))
    for entry in wanted:
        if entry not in now:
            result.steps.append(actions.update(name, "add-last", section, made(entry), parent))


def _replug(
    result: Plan,
    found: Found,
    name: str,
    root: ET.Element,
    actions: DomainActions,
    before: dict[str, t.Any],
    after: dict[str, t.Any],
) -> None:
    """Bring the ports of running guests to their portgroup's VLANs: libvirt itself looks at those only when a guest starts."""
    for guest in found.guests:
        if guest.live is None:
            continue
        own = {
            view_nic(nic)["mac"] for nic in guest.inactive.findall("devices/interface") if nic.find("vlan") is not None
        }
        for nic in guest.live.findall("devices/interface"):
            seen = view_nic(nic)
            if seen["network"] != name or not seen["ovs"] or seen["mac"] in own:
                continue
            vlan = expected_vlan({"network": name, "portgroup": seen["portgroup"]}, {name: root}, True)
            if vlan is None:
                continue
            now, port = parse_vlan(nic), found.ports.get(seen["dev"])
            if now != vlan:
                made = live_interface(nic)
                write_nic(made, {"mac": seen["mac"]})
                result.steps.append(actions.device("update", guest.name, f"NIC {seen['mac']}", made))
            if port is not None and (port != port_columns(vlan) or now != vlan):
                result.steps.append(Step(port_command(seen["dev"], port_columns(vlan))))
            if now != vlan or port is not None and port != port_columns(vlan):
                before.setdefault("guests", {})[f"{guest.name} {seen['mac']}"] = port or now
                after.setdefault("guests", {})[f"{guest.name} {seen['mac']}"] = port_columns(vlan) if port else vlan


def _remove(result: Plan, found: Found, name: str, here: Here, actions: Actions) -> None:
    if here.live is not None:
        _check_unused(found, name, here, "removed")
        result.steps.append(actions.simple("destroy", name))
    result.steps.append(actions.simple("undefine", name))
    result.before[name], result.after[name] = (
        {"state": "active" if here.live is not None else "inactive"},
        {"state": "absent"},
    )


def _give_back(result: Plan, found: Found, name: str, here: Here, actions: Actions) -> None:
    """Take the mark from a network that was there before: what we changed becomes what it was."""
    result.released.add(name)
    root = copy.deepcopy(here.inactive)
    mark = read_mark(root)
    cells = former.unpacked(mark.former)
    ours, was = former.give_back(root, cells, name_of)
    write_mark(root, Mark(), ())
    result.steps.append(actions.define(name, root))
    if here.live is not None and ours:
        _give_back_live(result, name, here, root, actions)
    for cell in cells:
        if _switch_back(result, found, name, here, cell, actions):
            ours[cell.label], was[cell.label] = cell.ours, cell.was
    result.before[name], result.after[name] = {"owner": mark.owner}, {"owner": ""}
    if ours:
        result.before[name]["settings"], result.after[name]["settings"] = ours, was


def _give_back_live(result: Plan, name: str, here: Here, root: ET.Element, actions: Actions) -> None:
    """What a running network takes at once; the rest waits for its next start, and that is said."""
    now, then = view(here.inactive), view(root)
    changed = [key for key in then if now[key] != then[key]]
    at_once = {key: then[key] for key in changed if key in LIVE_OPTIONS}
    _live(result, Network(name, "present", at_once, None, None, False, False), here, (), actions)
    if len(at_once) < len(changed):
        result.warnings.append(
            f"network {name} is given back and runs on with the settings that it has until its next start"
        )


def _switch_back(result: Plan, found: Found, name: str, here: Here, cell: former.Cell, actions: Actions) -> bool:
    """Whether it starts with the host, and whether it runs, if that is still as we have it. One in use runs on."""
    if cell.kind == former.AUTOSTART and cell.ours == here.autostart:
        result.steps.append(actions.autostart(name, cell.was))
        return True
    if cell.kind != former.ACTIVE or cell.ours != (here.live is not None):
        return False
    if not cell.was and _users(found, name):
        result.warnings.append(
            f"network {name} is given back and runs on, as domain {_users(found, name)[0]} runs in it"
        )
        return False
    result.steps.append(actions.simple("start" if cell.was else "destroy", name))
    return True


def state_of(
    networks: t.Mapping[str, Here], names: t.Iterable[str], restart: t.Mapping[str, list[str]]
) -> dict[str, t.Any]:
    """The typed state of these networks."""
    result = {}
    for name in names:
        here = networks.get(name)
        if here is not None:
            state = "active" if here.live is not None else "inactive"
            owner = read_mark(here.inactive).owner
            result[name] = {
                **view(here.inactive),
                "state": state,
                "autostart": here.autostart,
                "owner": owner,
                "restart_required": restart.get(name, []),
            }
    return result


def run(module: t.Any) -> None:
    """The whole of libvirt_network."""
    params = module.params

    def wants() -> list[Network]:
        return [want(item) for item in items_of(params, SPEC, "networks", "network")]

    wanted, connection, runner = begin(module, wants, networks={}, restart_required={})
    actions, guests = Actions(connection, params["uri"]), DomainActions(connection, params["uri"])
    latest: dict[str, Plan] = {}

    def compare(found: Found) -> Change:
        # What has been given back is nobody's any more when the change is judged.
        released = latest["plan"].released if latest else set()
        asked_for = [network for network in wanted if network.name not in released]
        latest["plan"] = plan(
            found, asked_for, params["owner"], params["adopt"], params["purge"], actions, guests, module.check_mode
        )
        return latest["plan"].change()

    def judge(found: Found) -> list[str]:
        """What libvirt did not keep: a second comparison must find nothing."""
        change = compare(found)
        return [f"network {name} is not as declared after the change: {change.still(name)}" for name in change.after]

    def state(found: Found) -> dict[str, t.Any]:
        restart = latest["plan"].restart
        return {
            "networks": state_of(found.networks, [network.name for network in wanted], restart),
            "restart_required": restart,
        }

    reconcile(module, lambda: read(connection, runner, params["uri"]), compare, runner, state, judge)

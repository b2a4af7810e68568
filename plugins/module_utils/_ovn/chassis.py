# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ovn_chassis: a host as chassis of OVN, in the database of its Open vSwitch.

This file is private to the collection. Source: ovn-controller(8), ovs-vswitchd.conf.db(5), ovs-ctl(8) for system-id.conf.
"""

# A step is done without an AnsibleModule, which run_command is of.
# pylint: disable=ansible-bad-function
from __future__ import annotations

import os
import subprocess
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.before import Before, former_of
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    DelPort,
    Op,
    apply,
    ovs_runner,
    read_or_foresee,
    transaction,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.nested import SSL
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    Address,
    Flag,
    Integer,
    Item,
    Kind,
    Option,
    Text,
    Wanted,
    argument_spec,
    differences,
    marks_of,
    own_keys,
    parse,
    view,
    vsctl,
    words_for,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import ROOT
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import CLEAR, Put, checked_text
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, may_change, may_declare
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    AnyStep,
    Change,
    FabricError,
    Module,
    Remove,
    Runner,
    Step,
    Write,
    reconcile,
    text_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import booted, property_blocks

MODULE = "ovn_chassis"
# The key of external_ids that says whose chassis a host is.
MARK = "overloom-ovn-chassis"
# At each boot, ovs-ctl sets external_ids:system-id from it.
SYSTEM_ID = "/etc/openvswitch/system-id.conf"
# ovn-host on Debian and Ubuntu, whose stop stops the other.
SERVICES = ("ovn-host.service", "ovn-controller.service")
PID_FILE = "/run/ovn/ovn-controller.pid"
# Seconds that ovn-controller may take to connect and to end; until it tries to connect again, it waits for 8 at most.
_LONGEST = 30
_CONTROLLER = ("ovn-appctl", "-T", "10", "-t", "ovn-controller")
# What the name of a mirror's tunnel begins with; the mirror's own is the rest.
_MIRROR = "ovn-"
# Keys of external_ids by which ovn-controller knows the ports that it has made: tunnels, and patch ports to the bridges of provider networks.
_MADE = {"ovn-chassis-id", "ovn-localnet-port", "ovn-l2gateway-port", "ovn-l3gateway-port", "ovn-logical-patch-port"}
_GATEWAY = "enable-chassis-as-gw"
_TABLE = "Open_vSwitch"
_MANY = 2**31 - 1


class Joined(Kind):
    """A list of words in one string, with commas between them."""

    empty: t.Any = ()

    def __init__(self, pattern: str, *choices: str) -> None:
        self._advice = pattern
        self.spec = {"type": "list", "elements": "str", **({"choices": list(choices)} if choices else {})}

    def parse(self, value: t.Any, where: str) -> str:
        for word in value:
            checked_text(word, where)
            if not word or "," in word or word != word.strip():
                raise FabricError(f"{where} holds {word!r}; give {self._advice}")
        return ",".join(dict.fromkeys(value))

    def shown(self, value: t.Any) -> t.Any:
        return value.split(",") if value else []


class Mappings(Kind):
    """A map of names in one string: NETWORK:BRIDGE, with commas between them."""

    spec: Item = {"type": "dict"}
    empty: t.Any = {}

    def parse(self, value: t.Any, where: str) -> str:
        for network, bridge in value.items():
            if (
                not isinstance(bridge, str)
                or any(c in f"{network}{bridge}" for c in ":, ")
                or not network
                or not bridge
            ):
                raise FabricError(
                    f"{where} maps {network!r} to {bridge!r}; give names without colons, commas and blanks"
                )
        return ",".join(f"{network}:{bridge}" for network, bridge in sorted(value.items()))

    def canonical(self, value: t.Any) -> t.Any:
        return ",".join(sorted(value.split(","))) if value else value

    def shown(self, value: t.Any) -> t.Any:
        return dict(word.partition(":")[::2] for word in value.split(",")) if value else {}


def _setting(name: str, kind: Kind, key: str = "") -> Option:
    return Option(name, _TABLE, "external_ids", kind, key or f"ovn-{name.replace('_', '-')}")


OPTIONS = [
    _setting("name", Text(pattern=(r"[A-Za-z0-9][A-Za-z0-9_.:-]*", "letters, digits, _, ., : and -")), "system-id"),
    _setting("remotes", Joined("addresses such as tcp:192.0.2.1:6642"), "ovn-remote"),
    _setting("encapsulations", Joined("geneve or vxlan", "geneve", "vxlan"), "ovn-encap-type"),
    _setting("encapsulation_ip", Address(), "ovn-encap-ip"),
    _setting("encapsulation_csum", Flag(True), "ovn-encap-csum"),
    _setting("set_local_ip", Flag()),
    _setting("encapsulation_tos", Text(pattern=(r"inherit|[0-9]+", "inherit, or a number")), "ovn-encap-tos"),
    _setting("bridge", Text()),
    _setting("datapath_type", Text("system", "netdev"), "ovn-bridge-datapath-type"),
    _setting("bridge_mappings", Mappings()),
    _setting("monitor_all", Flag()),
    _setting("match_northd_version", Flag()),
    _setting("remote_probe_interval", Integer(0, _MANY)),
    _setting("openflow_probe_interval", Integer(0, _MANY)),
    _setting("enable_lflow_cache", Flag(True)),
    _setting("limit_lflow_cache", Integer(0, _MANY)),
    _setting("memlimit_lflow_cache_kb", Integer(0, _MANY)),
    Option("ssl", _TABLE, "ssl", SSL),
]
_CMS = _setting("cms_options", Text())
# What ovn-controller sets by itself, for any number of VLAN headers, and leaves behind. Set by us, the former value is known and comes back.
_VLAN_LIMIT = Option("vlan_limit", _TABLE, "other_config", Text(), "vlan-limit")
_ANY_NUMBER = "0"
_ALL = [*OPTIONS, _CMS, _VLAN_LIMIT]
OWNED = own_keys(_ALL)


class Service(t.NamedTuple):
    """The service that starts ovn-controller. active: it or ovn-controller; running: ovn-controller. units: both, where there are two."""

    name: str
    active: bool
    enabled: bool
    running: bool
    units: tuple[str, ...]

    def shown(self) -> str:
        """In words."""
        return f"{'active' if self.active else 'inactive'}, {'enabled' if self.enabled else 'disabled'}"


class Leave(t.NamedTuple):
    """ovn-controller takes its chassis out of the southbound database, and ends.

    One that was never connected since its start, as right after a boot, would end and leave its chassis there: so it is given time to connect.
    The service's own stop kills it after two seconds, and the chassis would stay. Where the southbound database is gone, both are waited for in vain.
    """

    path: str = PID_FILE

    def shown(self) -> str:
        """What a person would do."""
        # It is only shown, and like `do` goes on when the time is over.
        connected = f"{' '.join(_CONTROLLER)} connection-status | grep -qx connected"
        return (
            f"timeout {_LONGEST} sh -c 'until {connected}; do sleep 0.1; done' || true\n"
            f"{' '.join(_CONTROLLER)} exit\n"
            f"timeout {_LONGEST} sh -c 'while test -e {self.path}; do sleep 0.1; done' || true"
        )

    def do(self) -> None:
        """Wait, end it, and wait."""
        end = time.monotonic() + _LONGEST
        # Twice, as between its connection and its first sight of the database it would not know its chassis.
        seen = 0
        while seen < 2 and time.monotonic() < end:
            seen = seen + 1 if _asked("connection-status") == "connected" else 0
            time.sleep(0.1)
        _asked("exit")
        while os.path.exists(self.path) and time.monotonic() < end:
            time.sleep(0.1)


def _asked(word: str) -> str:
    """What ovn-controller answers; nothing if it does not run."""
    done = subprocess.run([*_CONTROLLER, word], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode("utf-8", "replace").strip()


class Found(t.NamedTuple):
    """What the host has: Open vSwitch's database, system-id.conf, and the service of ovn-controller, if there is one."""

    database: Database
    system_id: str | None
    service: Service | None

    @property
    def row(self) -> Item:
        """The row of the switch."""
        return self.database.tables[_TABLE][ROOT]

    @property
    def owner(self) -> str | None:
        """Whose chassis the host is."""
        return self.row["external_ids"].get(MARK)


def chassis_argument_spec() -> Item:
    """The options of the module's own."""
    return {
        **argument_spec(OPTIONS),
        "gateway": {"type": "bool"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


def _service(runner: Runner) -> Service | None:
    if not booted():
        return None
    shown = runner(("systemctl", "show", "--property=Id,LoadState,ActiveState,UnitFileState", *SERVICES))
    there = {row["Id"]: row for row in property_blocks(shown) if row.get("LoadState") == "loaded"}
    active = {name for name, row in there.items() if row["ActiveState"] in ("active", "activating", "reloading")}
    for name in SERVICES:
        if name in there:
            enabled = there[name]["UnitFileState"] in ("enabled", "enabled-runtime")
            units = tuple(unit for unit in SERVICES if unit in there)
            return Service(name, bool(active), enabled, SERVICES[-1] in active, units)
    return None


def with_gateway(row: Item, gateway: bool | None) -> list[Wanted]:
    """The CMS options with or without the word that makes a chassis a gateway; words of others stay."""
    if gateway is None:
        return []
    held = [word for word in (row["external_ids"].get(_CMS.key) or "").split(",") if word]
    words = [word for word in held if word != _GATEWAY] + [_GATEWAY] * gateway
    return [Wanted(_CMS, ",".join(words) or CLEAR)] if set(words) != set(held) else []


def compare(
    found: Found, wanted: list[Wanted], gateway: bool | None, present: bool, caller: Caller, begin: t.Sequence[str]
) -> Change:
    """The steps that make the host the chassis that is declared, or none of this owner's. Pure."""
    if not present and found.owner != caller.owner:
        return Change([], {}, {})
    # Whether the host is another's chassis is asked here; beyond that, no setting is anybody's.
    judged = Before(found.database, caller._replace(adopt=True), words_for(_ALL))
    if present:
        _may_be_chassis(found, caller)
        wanted = [*wanted, *with_gateway(found.row, gateway), Wanted(_VLAN_LIMIT, _ANY_NUMBER)]
        ops = judged.settle(differences(found.row, ROOT, wanted, OWNED, marks_of(caller.owner, MODULE)))
    else:
        back = judged.settle(_own(found.row, caller.owner))
        ops = [*_left_ports(found.database), *(op for op in back if not _of_others(found.row, op))]
    mark = caller.owner if present else CLEAR
    if found.owner != mark:
        ops.append(Put(_TABLE, ROOT, "external_ids", MARK, mark))
    after = apply(found.database, ops)
    named = {one.option.name for one in wanted}
    name = after.tables[_TABLE][ROOT]["external_ids"].get("system-id")
    files = _files(found, name) if any(_is_name(op) for op in ops) or "name" in named else []
    steps: list[AnyStep] = [*files, *transaction(begin, ops)]
    steps = _around(found, steps, present, renamed=name != found.row["external_ids"].get("system-id"))
    before, later = (_shown(database) for database in (found.database, after))
    if not present:
        before["ports"], later["ports"] = [op.port for op in ops if isinstance(op, DelPort)], []
    if files:
        before["system_id_file"], later["system_id_file"] = found.system_id, f"{name}\n" if name else None
    if not present and found.service:
        before["service"] = found.service.shown()
        later["service"] = found.service._replace(active=False, enabled=False).shown()
    return Change(steps, before, later, tuple(judged.left))


def _may_be_chassis(found: Found, caller: Caller) -> None:
    """Refuse a host that is a chassis of others, unless it is adopted."""
    may_declare("chassis", found.owner, caller)
    remote = found.row["external_ids"].get("ovn-remote")
    if remote and found.owner is None:
        way = "leave this host out"
        may_change("chassis", None, caller, "its settings would be changed", [f"ovn-remote {remote}"], way)


def _own(row: Item, owner: str) -> list[Op]:
    """The changes that clear all that this owner has set."""
    former = former_of(row, owner) or {}
    places = [(option.column, option.key) for option in _ALL]
    return [Put(_TABLE, ROOT, column, key, CLEAR) for column, key in places if (column, key) in former]


def _of_others(row: Item, op: Op) -> bool:
    """Whether a change would undo what others have made of the limit of VLAN headers since ovn-controller had its own."""
    cell = (op.column, op.key) if isinstance(op, Put) else None
    return cell == (_VLAN_LIMIT.column, _VLAN_LIMIT.key) and _VLAN_LIMIT.value(row) != _ANY_NUMBER


def _left_ports(database: Database) -> list[Op]:
    """The removal of what ovn-controller has made on bridges, which it leaves behind where it was killed."""
    return [
        DelPort(database.bridge_of[name], name, row["_uuid"])
        for name, row in sorted(database.tables["Port"].items())
        if _MADE & set(row["external_ids"]) or is_mirror(database, name)
    ]


def is_mirror(database: Database, port: str) -> bool:
    """Whether a port is the tunnel of a mirror of OVN's. It has nothing but its name to be known by."""
    bridge = database.tables["Bridge"].get(database.bridge_of.get(port, ""), {})
    return port.startswith(_MIRROR) and port[len(_MIRROR) :] in bridge.get("mirrors", {})


def _is_name(op: Op) -> bool:
    return isinstance(op, Put) and (op.column, op.key) == ("external_ids", "system-id")


def _files(found: Found, name: str | None) -> list[AnyStep]:
    """system-id.conf with the name; without one it goes, and ovs-ctl makes another at the next boot."""
    if (found.system_id or "").strip() == (name or ""):
        return []
    return [Write(SYSTEM_ID, f"{name}\n")] if name else [Remove(SYSTEM_ID)]


def _around(found: Found, steps: list[AnyStep], present: bool, renamed: bool) -> list[AnyStep]:
    """The steps with what stops ovn-controller before them, so that it takes its chassis out of the southbound database."""
    service = found.service
    if service is None or not steps:
        return steps
    leave: list[AnyStep] = [Leave()] if service.running else []
    # By name, as systemctl waits for no unit that only stops along with another.
    stop = [*leave, Step(("systemctl", "stop", *service.units))] if service.active else []
    if not present:
        return [*stop, *([Step(("systemctl", "disable", service.name))] if service.enabled else []), *steps]
    return [*stop, *steps, Step(("systemctl", "start", service.name))] if renamed and service.active else steps


def _shown(database: Database) -> Item:
    row = database.tables[_TABLE][ROOT]
    words = (row["external_ids"].get(_CMS.key) or "").split(",")
    return {
        **view(database, _TABLE, ROOT, [*OPTIONS, _VLAN_LIMIT]),
        "gateway": _GATEWAY in words,
        "owner": row["external_ids"].get(MARK),
    }


def run(module: Module) -> None:
    """The module."""
    params = module.params
    begin, runner = vsctl(params), ovs_runner(module)
    present = params["state"] == "present"
    caller = Caller(params["owner"], params["adopt"])
    try:
        wanted = parse(OPTIONS, {option.name: params[option.name] for option in OPTIONS}, "chassis") if present else []
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)

    def read() -> Found:
        return Found(read_or_foresee(module, runner, begin), text_of(SYSTEM_ID), _service(runner))

    reconcile(
        module,
        read,
        lambda found: compare(found, wanted, params["gateway"], present, caller, begin),
        runner,
        lambda found: {"chassis": _shown(found.database)},
    )

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to a host's Open vSwitch as a whole: managers, the key and certificates of its TLS, its settings.

This file is private to the collection. Source: ovs-vswitchd.conf.db(5), table Open_vSwitch.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.before import Before
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    apply,
    ovs_runner,
    read_or_foresee,
    transaction,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.diff import described
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.nested import DATAPATHS, MANAGERS, SSL
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    Flag,
    Integer,
    Item,
    Option,
    SomePairs,
    Text,
    argument_spec,
    differences,
    extra_columns,
    is_remote,
    marks_of,
    own_keys,
    parse,
    view,
    vsctl,
    words_for,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import ROOT
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Change, FabricError, reconcile

MODULE = "ovs_switch"
_MANY = 2**31 - 1


def _setting(name: str, kind: t.Any, key: str = "") -> Option:
    return Option(name, "Open_vSwitch", "other_config", kind, key or name.replace("_", "-"))


OPTIONS = [
    Option("managers", "Open_vSwitch", "manager_options", MANAGERS),
    Option("ssl", "Open_vSwitch", "ssl", SSL),
    Option("datapaths", "Open_vSwitch", "datapaths", DATAPATHS),
    _setting("ipsec_private_key", Text(), "private_key"),
    _setting("ipsec_certificate", Text(), "certificate"),
    _setting("ipsec_ca_cert", Text(), "ca_cert"),
    _setting("hw_offload", Flag()),
    _setting("tc_policy", Text("none", "skip_sw", "skip_hw")),
    _setting("flow_limit", Integer(0, _MANY)),
    _setting("max_idle", Integer(500, _MANY)),
    _setting("max_revalidator", Integer(100, _MANY)),
    _setting("n_handler_threads", Integer(1, _MANY)),
    _setting("n_revalidator_threads", Integer(1, _MANY)),
    _setting("vlan_limit", Integer(0, _MANY)),
    _setting("stats_update_interval", Integer(5000, _MANY)),
    _setting("userspace_tso", Flag(), "userspace-tso-enable"),
    _setting("dpdk_init", Text("false", "true", "try")),
    _setting("dpdk_lcore_mask", Text()),
    _setting("dpdk_socket_mem", Text()),
    _setting("dpdk_extra", Text()),
    _setting("pmd_cpu_mask", Text()),
    Option("other_config", "Open_vSwitch", "other_config", SomePairs()),
    Option("external_ids", "Open_vSwitch", "external_ids", SomePairs()),
]
OWNED = own_keys(OPTIONS)


def switch_argument_spec() -> dict:
    """The options of the switch."""
    return argument_spec(OPTIONS)


def missing_files(item: Item) -> list[str]:
    """A sentence for each file of ssl that is not on this host. The CA's certificate comes by itself where it is bootstrapped."""
    ssl = item.get("ssl") or {}
    names = ["private_key", "certificate"] + ([] if ssl.get("bootstrap_ca_cert") else ["ca_cert"])
    wanted = [(name, ssl[name]) for name in names if ssl.get(name)]
    return [
        f"ssl: {name}: there is no file {path} on this host; put it there first"
        for name, path in wanted
        if not os.path.exists(path)
    ]


def state(database: Database) -> Item:
    """The switch as the modules return it."""
    row = database.tables["Open_vSwitch"][ROOT]
    return {
        "ovs_version": database.version,
        "iface_types": list(database.types),
        "managers_connected": {
            target: manager["is_connected"] for target, manager in sorted(row["manager_options"].items())
        },
        **view(database, "Open_vSwitch", ROOT, OPTIONS),
    }


def run(module: t.Any) -> None:
    """The module ovs_switch."""
    params = module.params
    begin, runner = vsctl(params), ovs_runner(module)
    item = {name: params[name] for name in switch_argument_spec()}
    try:
        wanted = parse(OPTIONS, item, "switch")
        missing = [] if is_remote(params["database"]) else missing_files(item)
        if missing and not module.check_mode:
            raise FabricError("; ".join(missing))
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[])

    def find(found: Database) -> Change:
        ops = differences(found.tables["Open_vSwitch"][ROOT], ROOT, wanted, OWNED, marks_of(params["owner"], MODULE))
        judged = Before(found, Caller(params["owner"], params["adopt"]), words_for(OPTIONS))
        ops = judged.settle(ops)
        before, later = described(found, apply(found, ops), ops, OPTIONS, "port")
        return Change(list(transaction(begin, ops)), before, later, (*missing, *judged.left))

    def judge(found: Database) -> list[str]:
        if found.answered or runner.unanswered:
            return []
        return ["ovs-vswitchd has not taken up the last change; check that its service runs"]

    reconcile(
        module,
        read=lambda: read_or_foresee(
            module, runner, begin, extra_columns(OPTIONS, [item]), here=not is_remote(params["database"])
        ),
        compare=find,
        runner=runner,
        state=lambda found: {"switch": state(found)},
        judge=judge,
    )

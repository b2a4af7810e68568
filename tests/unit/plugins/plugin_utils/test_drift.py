# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift: from results of tasks in check mode to what a person reads, and the roles that have to keep these results."""

from __future__ import annotations

import copy
import json
import pathlib
import typing as t

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import differing
from ansible_collections.overloom.fabric.plugins.plugin_utils._drift import report as drift_report
from ansible_collections.overloom.fabric.plugins.plugin_utils._drift import show
from ansible_collections.overloom.fabric.plugins.plugin_utils._drift.differences import blocks, differences, leaves

CHECKOUT = pathlib.Path(__file__).resolve().parents[4]
PLAN = {"fabric": "f"}
OTHERS = {"others": [], "changed": False}

ROLES = ("kvm_host", "ovn_central", "ovn_chassis", "frr_router", "linux_guest", "veos_guest", "chr_guest")
# Modules that only look, or run other tasks.
LOOKING = {
    *(
        "fail",
        "include_tasks",
        "include_role",
        "stat",
        "find",
        "set_fact",
        "host_info",
        "libvirt_info",
        "frr_info",
        "netns_bird_info",
        "ovn_info",
        "ownership_info",
        "guest_wait",
        "netns_announce",
        "wait_for",
        "meta",
        "wait_for_connection",
    ),
}
# The lists of a package manager are no part of a fabric.
NO_DRIFT = {"Refresh the package lists"}

OPTIONS = st.dictionaries(st.sampled_from("abc"), st.none() | st.integers() | st.text("xy", max_size=2), max_size=3)
OBJECTS = st.dictionaries(st.sampled_from(["v-a", "v-b", "gre0"]), st.none() | OPTIONS, max_size=3)


def changed(before: t.Any, after: t.Any, **more: t.Any) -> dict[str, t.Any]:
    """A result of a module of this collection."""
    sides = dict(zip(("before", "after"), differing(before, after)))
    data = {"before": "", "after": "", "data": sides} if isinstance(before, dict) else sides
    return {"changed": before != after, "diff": data, **more}


def seen(**made: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    return {"kvm1": {"others": copy.deepcopy(OTHERS), "failed": [], "made": made}}


def shown(report: dict[str, t.Any]) -> str:
    return "\n".join(show.lines(report))


def test_a_sound_fabric_has_no_drift():
    results = {"kvm_host_made_tunnels": {"changed": False}, "kvm_host_made_flows": {"changed": False, "skipped": True}}
    report = drift_report.report(PLAN, seen(**results))
    assert report["passed"] and shown(report).endswith("no drift") and "1 of 1" in shown(report)


def test_a_changed_a_missing_and_an_orphaned_thing_are_told_apart():
    before = {"tunnel gre0": {"remote_ip": "192.0.2.9", "key": 7}, "tunnel old": {"bridge": "br-int"}}
    after = {"tunnel gre0": {"remote_ip": "192.0.2.1", "key": 7}, "tunnel new": {"bridge": "br-int"}}
    report = drift_report.report(PLAN, seen(kvm_host_made_tunnels=changed(before, after, commands=["ovs-vsctl x"])))
    assert [(one["thing"], one["kind"]) for one in report["differing"]] == [
        ("tunnel gre0", "differs"),
        ("tunnel new", "missing"),
    ]
    assert [one["thing"] for one in report["orphaned"]] == ["tunnel old"]
    text = shown(report)
    assert "remote_ip: 192.0.2.9; planned: 192.0.2.1" in text and "key" not in text
    assert "kvm1 tunnel new: not there" in text
    assert report["repairs"] == [{"host": "kvm1", "concern": "tunnels", "commands": ["ovs-vsctl x"]}]
    assert "2 differences, 1 orphaned thing." in show.sentence(report)


def test_lines_of_frr_are_told_with_the_block_that_they_are_in():
    before = "router ospf\n ospf router-id 1.1.1.1\nexit\ninterface eth0\n ip ospf cost 77\nexit\n"
    after = "router ospf\n ospf router-id 1.1.1.1\nexit\ninterface eth0\n ip ospf cost 10\nexit\n"
    report = drift_report.report(PLAN, seen(frr_router_made_ospf=changed(before, after)))
    assert "kvm1 FRR interface eth0\n      lines: ip ospf cost 77; planned: ip ospf cost 10" in shown(report)


def test_a_process_that_does_not_run_is_told_by_its_block_once():
    report = drift_report.report(
        PLAN, seen(frr_router_made_ospf=changed("", "router ospf\n ospf router-id 1.1.1.1\nexit\n"))
    )
    assert [one["thing"] for one in report["differing"]] == ["FRR router ospf"]


def test_of_a_list_of_nics_only_the_option_that_differs_is_told():
    nics = [{"mac": "a", "dev": "v1"}, {"mac": "b", "dev": "v2"}]
    report = drift_report.report(
        PLAN,
        seen(
            linux_guest_made_guests=changed(
                {"vm": {"nics": nics}}, {"vm": {"nics": [nics[0], {**nics[1], "dev": "v3"}]}}
            )
        ),
    )
    assert report["differing"][0]["details"] == [{"option": "nics 1 dev", "is": "v2", "planned": "v3"}]


def test_a_guest_that_is_not_defined_is_not_there():
    report = drift_report.report(
        PLAN,
        seen(
            linux_guest_made_guests=changed(
                {"vm": {"state": "absent", "memory": None}}, {"vm": {"state": "running", "memory": 1}}
            )
        ),
    )
    assert [one["kind"] for one in report["differing"]] == ["missing"]


def test_lines_deep_in_a_block_keep_the_way_to_them():
    text = "router bgp 1\n address-family ipv4\n  network 10.0.0.0/8\n exit\nexit\nip route 10.0.0.0/8 Null0\n"
    assert blocks(text) == {
        "": ["router bgp 1", "ip route 10.0.0.0/8 Null0"],
        "router bgp 1": ["address-family ipv4", "address-family ipv4 / network 10.0.0.0/8"],
    }


@pytest.mark.parametrize(
    ("result", "thing"),
    [
        ({"changed": True, "name": "frr.service", "state": "started"}, "service frr.service"),
        (
            {"changed": True, "dest": "/etc/frr/daemons", "diff": [{"before": "a\n", "after": "b\n"}, {}]},
            "service /etc/frr/daemons",
        ),
        (
            {"changed": True, "path": "/etc/frr", "diff": {"before": {"mode": "0755"}, "after": {"mode": "0750"}}},
            "service /etc/frr",
        ),
        (
            {"changed": True, "results": [{"changed": False, "item": "a"}, {"changed": True, "item": "ospfd"}]},
            "service ospfd",
        ),
        ({"changed": True}, "service libvirt"),
    ],
)
def test_results_of_ansibles_own_modules_name_their_thing(result, thing):
    report = drift_report.report(PLAN, seen(kvm_host_made_libvirt=result))
    assert [one["thing"] for one in report["differing"]] == [thing] and not report["passed"]


def test_what_a_task_would_only_remove_is_orphaned():
    report = drift_report.report(
        PLAN, seen(kvm_host_made_former_guests=changed({"vm": {"state": "running"}}, {"vm": {"state": "absent"}}))
    )
    assert [one["thing"] for one in report["orphaned"]] == ["guest vm"] and not report["differing"]


def test_a_thing_that_two_tasks_look_at_is_told_once():
    result = changed({"vm": {"memory": 1}}, {"vm": {"memory": 2}})
    found = drift_report.report(PLAN, seen(veos_guest_made_guests=result, veos_guest_made_started=result))
    assert len(found["differing"]) == 1


def test_a_guest_that_waits_for_a_restart_is_drift_though_nothing_would_be_changed():
    guests = {"changed": False, "restart_required": {"vm1": ["cmdline", "nics eth0 (mtu)"]}}
    # A role looks at the same guests once more as it starts them.
    report = drift_report.report(PLAN, seen(kvm_host_made_guests=guests, kvm_host_made_started=guests))
    assert not report["passed"] and [one["guest"] for one in report["restarts"]] == ["vm1"]
    assert (
        "kvm1: guest vm1 still runs as it was before a change of cmdline, nics eth0 (mtu), which needs a restart; "
        "set guest.restart: true for vm1" in shown(report)
    )
    assert show.sentence(report).startswith("Drift: 1 pending restart.")


def test_foreign_things_are_told_and_are_no_drift():
    found = seen()
    found["kvm1"]["others"]["others"] = [{"kind": "bridge", "name": "br-x", "owner": "them", "traces": ["it runs"]}]
    report = drift_report.report(PLAN, found)
    assert report["passed"] and "kvm1 bridge br-x (it runs, of the owner them)" in shown(report)


@pytest.mark.parametrize(
    ("others", "failed", "told"),
    [
        ({"unreachable": True, "msg": "no route"}, [], "kvm1: down: no route"),
        ({"failed": True, "msg": "ip is broken"}, [], "kvm1: not read: ip is broken"),
        (OTHERS, [{"task": "Configure the bridges", "msg": "no database"}], "kvm1: Configure the bridges: no database"),
    ],
)
def test_a_host_that_cannot_be_compared_is_no_sound_one(others, failed, told):
    report = drift_report.report(PLAN, {"kvm1": {"others": others, "failed": failed, "made": {}}})
    assert not report["passed"] and told in shown(report) and "1 host not compared" in show.sentence(report)


@given(OBJECTS, OBJECTS)
def test_each_difference_is_found_and_nothing_else(before, after):
    found = differences("tunnels", changed(before, after))
    wanted = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    # A thing that is null on both sides, or on one side only, is not there.
    assert wanted <= {one["thing"] for one in found} <= {*before, *after}
    for one in found:
        old, new = before.get(one["thing"]), after.get(one["thing"])
        assert one["kind"] == ("orphaned" if new is None else "missing" if old is None else "differs")
        if one["kind"] == "differs":
            told = {detail["option"]: (detail["is"], detail["planned"]) for detail in one["details"]}
            assert told == {key: (old.get(key), new.get(key)) for key in {*old, *new} if old.get(key) != new.get(key)}


@given(OPTIONS, OPTIONS)
def test_what_is_equal_has_no_details(before, after):
    assert leaves(before, before) == []
    assert bool(leaves(before, after)) == any(before.get(key) != after.get(key) for key in {*before, *after})


@given(OBJECTS, OBJECTS)
def test_every_report_can_be_shown_and_written(before, after):
    report = drift_report.report(PLAN, seen(kvm_host_made_bridges=changed(before, after)))
    assert json.loads(json.dumps(report)) == report and show.lines(report)
    assert report["passed"] == (not report["differing"] and not report["orphaned"])


# The roles --------------------------------------------------------------------------------------------------------------


def tasks_of(path: pathlib.Path) -> t.Iterator[dict[str, t.Any]]:
    """All tasks of a file, those in blocks too."""

    def within(tasks: list[dict[str, t.Any]]) -> t.Iterator[dict[str, t.Any]]:
        for task in tasks:
            parts = [part for key in ("block", "rescue", "always") for part in task.get(key, [])]
            if parts:
                yield from within(parts)
            else:
                yield task

    yield from within(yaml.safe_load(path.read_text(encoding="utf-8")))


def module_of(task: dict[str, t.Any]) -> str:
    return next(key.rpartition(".")[2] for key in task if "." in key)


def changing_tasks(role: str) -> list[dict[str, t.Any]]:
    """The tasks of a role that change the host; a teardown is run by nobody who compares, and what is foretold changes nothing."""
    files = [path for path in (CHECKOUT / "roles" / role / "tasks").glob("*.yml") if path.name != "teardown.yml"]
    if role == "frr_router":
        assert CHECKOUT / "roles/frr_router/tasks/remove.yml" in files
    return [
        task
        for path in sorted(files)
        for task in tasks_of(path)
        if module_of(task) not in LOOKING
        and task.get("delegate_to") != "localhost"
        and task["name"] not in NO_DRIFT
        and task.get("check_mode") is not True
    ]


def test_a_thing_has_the_word_of_its_kind_once():
    for name, told in (("made", "DHCP client web1"), ("made_former", "DHCP client web1")):
        result = changed({"web1": {"running": False}}, {"web1": {"running": True}})
        found = drift_report.report(PLAN, seen(**{f"kvm_host_{name}_dhcp_clients": result}))
        assert [one["thing"] for one in found["differing"] + found["orphaned"]] == [told]


@pytest.mark.parametrize("role", ROLES)
def test_every_task_that_changes_a_host_keeps_its_result_for_drift(role):
    tasks = [task for task in changing_tasks(role) if not task.get("vars", {}).get("ansible_connection")]
    assert tasks
    names = [task.get("register", "") for task in changing_tasks(role)]
    for task, name in zip(changing_tasks(role), names):
        assert name.startswith(f"{role}_made_") and drift_report.KEPT.fullmatch(name), task["name"]
    assert len(set(names)) == len(names)


def test_drift_runs_the_roles_of_site_in_its_order_and_in_check_mode():
    plays = yaml.safe_load((CHECKOUT / "playbooks/site.yml").read_text(encoding="utf-8"))
    site = [(role["role"], "main.yml") for play in plays for role in play.get("roles", ())]
    for play in plays[2:]:
        site += [called(task) for task in play.get("tasks", ()) if module_of(task) == "include_role"]
    # Who only compares plans no more, and changes nothing that chassis would have to take up.
    left_out = {("overloom.fabric.plan", "main.yml"), ("overloom.fabric.ovn_central", "chassis.yml")}
    site = [call for call in dict.fromkeys(site) if call not in left_out]
    includes = [task for task in tasks_of(CHECKOUT / "roles/drift/tasks/main.yml") if module_of(task) == "include_role"]
    assert [called(task) for task in includes] == site
    assert all(task["ansible.builtin.include_role"]["apply"] == {"check_mode": True, "diff": True} for task in includes)
    assert all(task["vars"] == {"fabric_check": True} for task in includes)


# What a comparison asks besides: the host answers, and its namespaces were compared before the moves.
OWN_CONDITIONS = {"drift_others is not unreachable", "(kvm_host_made_namespaces | default({})).kept is defined"}
# What the pattern of a play says by itself.
PATTERNS = {"kvm_hosts": {"'kvm_host' in fabric_plan.roles[inventory_hostname]"}}


def conditions(task: dict[str, t.Any]) -> set[str]:
    given_ = task.get("when", [])
    return set(given_ if isinstance(given_, list) else [given_])


def test_drift_compares_where_site_changes_and_nowhere_else():
    """Each role has the same conditions in both, so that neither forgets a host that the other knows."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for play in yaml.safe_load((CHECKOUT / "playbooks/site.yml").read_text(encoding="utf-8")):
        hosts = PATTERNS.get(play["hosts"], set())
        wanted.update({(role["role"], "main.yml"): hosts for role in play.get("roles", ())})
        included = [task for task in play.get("tasks", ()) if module_of(task) == "include_role"]
        wanted.update({called(task): hosts | conditions(task) for task in included})
    tasks = yaml.safe_load((CHECKOUT / "roles/drift/tasks/main.yml").read_text(encoding="utf-8"))
    found = {
        called(task): (conditions(block) | conditions(task)) - OWN_CONDITIONS
        for block in tasks
        for task in block.get("block", ())
    }
    assert len(found) == 11
    assert found == {name: wanted[name] for name in found}


def called(task: dict[str, t.Any]) -> tuple[str, str]:
    role = task["ansible.builtin.include_role"]
    return role["name"], role.get("tasks_from", "main.yml")

# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where guests are found, and what becomes of one that is not on its host: no guest is ever on a host of the plan that does not run it."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.placement import PLACEMENTS, Place, place, prepared
from ansible_collections.overloom.fabric.tests.unit.flowsim import Fabric
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

Item = t.Dict[str, t.Any]

HOSTS = ("kvm1", "kvm2", "kvm3")
UUID = "a0000000-0000-4000-8000-000000000001"
NOTHING: Item = {"domains": {}}
NO_LIBVIRT: Item = {"msg": "libvirt-python is missing for this Python: install python3-libvirt"}


def intent(host: str = "kvm1", own: bool = False, **options: t.Any) -> dict[str, Item]:
    """Three hosts with a NIC of a guest on each engine. own: the guest is stated in the variables of its host."""
    common = {
        "fabric_name": "test",
        "fabric_overlays": [
            {"name": "gre", "encapsulation": "gre", "bridge": "br-gre"},
            {"name": "vx", "encapsulation": "vxlan", "bridge": "br-vx", "segments_by": "key"},
            {"name": "ov", "engine": "ovn", "encapsulation": "geneve"},
        ],
        "fabric_segments": [
            {"name": "blue", "overlay": "gre", "vlan": 10, "subnet": "10.1.1.0/24"},
            {"name": "red", "overlay": "vx", "key": 20, "subnet": "10.1.2.0/24"},
            {"name": "green", "overlay": "ov", "subnet": "10.1.3.0/24"},
        ],
    }
    nics = [{"segment": "red", "address": "10.1.2.9"}, {"segment": "green", "address": "10.1.3.9"}]
    point = {
        "name": "vm1",
        "kind": "guest",
        "segment": "blue",
        "address": "10.1.1.9",
        "guest": {"image": "lab", "uuid": UUID, "nics": nics, **options},
    }
    if own:
        return {name: {**common, "fabric_endpoints": [point] if name == host else []} for name in HOSTS}
    return {name: {**common, "fabric_endpoints": [{**point, "host": host}]} for name in HOSTS}


def planned(*args: t.Any, places: dict[str, Place] | None = None, **options: t.Any) -> Item:
    return compile_plan(intent(*args, **options), SPEC, central=["kvm3"], places=places)


def domain(state: str = "running", stated: str | None = "kvm1", **more: t.Any) -> Item:
    metadata = {} if stated is None else {"host": stated}
    return {"domains": {"vm1": {"uuid": UUID, "state": state, "metadata": metadata, "storage": [], **more}}}


def looked(**found: Item) -> dict[str, Item]:
    return {**dict.fromkeys(HOSTS, NOTHING), **found}


MOVE = {"name": "vm1", "from": "kvm2", "to": "kvm1"}
AWAY = Place("kvm2", True)
# What the intent has, what is found, and the decision: the place, the moves, and a part of the sentence.
CASES: dict[str, tuple[Item, dict[str, Item], Place | None, list[Item], str]] = {
    "nowhere yet": (planned(), looked(), None, [], ""),
    "nowhere, and no libvirt": (planned(), looked(kvm2=NO_LIBVIRT), None, [], ""),
    "at home": (planned(), looked(kvm1=domain()), None, [], ""),
    "shut off at home": (planned(), looked(kvm1=domain("shutoff")), None, [], ""),
    "the intent moves it": (planned(), looked(kvm2=domain(stated="kvm2")), AWAY, [MOVE], ""),
    "the intent moves it, from where others had it": (planned(), looked(kvm2=domain(stated="kvm3")), AWAY, [MOVE], ""),
    "paused, the intent moves it": (planned(), looked(kvm2=domain("paused", "kvm2")), AWAY, [MOVE], ""),
    "shut off, the intent moves it": (planned(), looked(kvm2=domain("shutoff", "kvm2")), AWAY, [MOVE], ""),
    "shut off with disks": (
        planned(),
        looked(kvm2=domain("shutoff", "kvm2", storage=["/x"])),
        None,
        [],
        "start it there (virsh start vm1), as only a guest that runs is moved with them",
    ),
    "shut off with shared disks": (
        planned(storage="shared"),
        looked(kvm2=domain("shutoff", "kvm2", storage=["/x"])),
        AWAY,
        [MOVE],
        "",
    ),
    "moved by hand": (
        planned(),
        looked(kvm2=domain()),
        None,
        [],
        "Guest vm1 runs on kvm2, where somebody has migrated it",
    ),
    "moved by hand, and not known by whom": (planned(), looked(kvm2=domain(stated=None)), None, [], "runs on kvm2"),
    "moved by hand and shut off": (planned(), looked(kvm2=domain("shutoff")), None, [], "is shut off on kvm2"),
    "followed": (planned(placement="follow"), looked(kvm2=domain()), Place("kvm2", False), [], ""),
    "returned": (planned(placement="return"), looked(kvm2=domain()), AWAY, [MOVE], ""),
    "the intent moves what it else follows": (
        planned(placement="follow"),
        looked(kvm2=domain(stated="kvm2")),
        AWAY,
        [MOVE],
        "",
    ),
    "left by a move": (planned(), looked(kvm1=domain(), kvm2=domain("shutoff")), None, [MOVE], ""),
    "on two hosts": (
        planned(),
        looked(kvm1=domain(), kvm2=domain()),
        None,
        [],
        "runs on kvm1 and on kvm2, or is just being",
    ),
    "its next host is not in the run": (
        planned(),
        {"kvm2": domain(stated="kvm2"), "kvm3": NOTHING},
        Place("kvm2", False),
        [],
        "",
    ),
    "the host that may have it is not in the run": (
        planned(),
        {"kvm1": NOTHING, "kvm3": NOTHING},
        None,
        [],
        "Guest vm1 is not on kvm1 yet, and may run on kvm2, which could not be asked",
    ),
    "a host that does not answer": (planned(), looked(kvm2={"msg": "Connection refused"}), None, [], "may run on kvm2"),
    "of one host, at home": (planned(own=True), {"kvm1": NOTHING}, None, [], ""),
    "of one host, moved by hand": (
        planned(own=True),
        looked(kvm2=domain()),
        None,
        [],
        "the intent has it on kvm1; migrate it back, or state it once for the fabric, with host: kvm2",
    ),
}


@pytest.mark.parametrize("case", CASES, ids=list(CASES))
def test_where_a_guest_is_decides(case: str) -> None:
    plan, found, at, moves, sentence = CASES[case]
    result = place(plan, found)
    assert result.places == ({"vm1": at} if at else {})
    assert result.moves == moves
    assert [sentence in problem for problem in result.problems] == ([True] if sentence else []), result.problems


@given(
    st.fixed_dictionaries({name: st.sampled_from([None, "running", "shutoff", "blind"]) for name in HOSTS}),
    st.sampled_from([None, *HOSTS]),
    st.sampled_from(PLACEMENTS),
)
def test_a_guest_that_runs_is_planned_where_it_runs_or_the_run_is_refused(
    states: dict[str, str | None], stated: str | None, placement: str
) -> None:
    found = {
        name: NOTHING if state is None else {"msg": "Connection refused"} if state == "blind" else domain(state, stated)
        for name, state in states.items()
    }
    result = place(planned(placement=placement), found)
    runs = [name for name, state in states.items() if state == "running"]
    at = result.places["vm1"].host if result.places else "kvm1"
    assert result.problems or not runs or runs == [at]
    assert all(move["to"] == "kvm1" != move["from"] and states[move["from"]] for move in result.moves)


def test_while_a_guest_is_moved_both_hosts_are_ready() -> None:
    """Its old host keeps all of it, and the next one has portgroup, wire and logical port."""
    stated, found = planned("kvm1"), looked(kvm2=domain(stated="kvm2"))
    decided = place(stated, found)
    plan = prepared(planned("kvm1", places=decided.places), stated, decided.moves)
    before = planned("kvm2")
    assert plan["hosts"]["kvm2"]["networks"] == before["hosts"]["kvm2"]["networks"]
    assert plan["hosts"]["kvm1"]["guests"] == [] and plan["moves"][0]["guest"] == stated["hosts"]["kvm1"]["guests"][0]
    # The next host's tunnel endpoint, to which it is migrated, and who has it now.
    assert plan["moves"][0]["address"] == next(tep["address"] for tep in plan["teps"] if tep["host"] == "kvm1")
    assert plan["guest_hosts"] == {UUID: "kvm2"} and stated["guest_hosts"] == {UUID: "kvm1"}
    for part in ("bridges", "networks"):
        assert plan["hosts"]["kvm1"][part] == stated["hosts"]["kvm1"][part] != before["hosts"]["kvm1"][part]
    # What it has of the run that built it stays until it is moved.
    assert "metadata" not in plan["hosts"]["kvm2"]["guests"][0]["domain"]
    assert stated["hosts"]["kvm1"]["guests"][0]["domain"]["metadata"] == {"host": "kvm1"}
    ports = plan["hosts"]["kvm3"]["ovn_central"]["northbound"]["switches"][0]["ports"]
    assert [port["options"] for port in ports if "options" in port] == [{"requested-chassis": "kvm2,kvm1"}]


@pytest.mark.parametrize("learn", [False, True])
def test_while_a_guest_is_moved_flows_send_to_both_hosts_and_take_from_both(learn: bool) -> None:
    """So the moment at which it runs on the next host is libvirt's alone."""
    hosts = intent()
    asking = [{"name": f"ask-{host}", "host": host, "segment": "red"} for host in HOSTS]
    for variables in hosts.values():
        variables["fabric_segments"][1]["learn"] = learn
        variables["fabric_endpoints"] = [*variables["fabric_endpoints"], *asking]
    stated = compile_plan(hosts, SPEC, central=["kvm3"])
    moves = place(stated, looked(kvm2=domain(stated="kvm2"))).moves
    plan = prepared(compile_plan(hosts, SPEC, central=["kvm3"], places={"vm1": AWAY}), stated, moves)
    fabric = Fabric(plan)
    mac = plan["hosts"]["kvm2"]["guests"][0]["domain"]["nics"][1]["mac"]
    bridge, port = fabric.port["kvm2", "vm1#1"]
    (arriving,) = (name for (host, end), name in fabric.endpoint.items() if (host, end) == ("kvm1", port))
    points = {point["name"]: point for point in plan["endpoints"]}
    for one in asking:
        arrived, _hosts = fabric.send(points[one["name"]], protocol="ip", dl_dst=mac)
        assert sorted(name for name, _frame in arrived) == sorted([arriving, "kvm2/vm1#1"])
        for host in ("kvm1", "kvm2"):
            frame = {"protocol": "ip", "dl_src": mac, "dl_dst": points[one["name"]]["mac"]}
            arrived, _hosts = fabric.put(host, bridge, port, frame)
            assert [name for name, _frame in arrived] == [points[one["name"]]["id"]]
    after, _hosts = Fabric(stated).send(points["ask-kvm3"], protocol="ip", dl_dst=mac)
    assert [name for name, _frame in after] == ["kvm1/vm1#1"]


def test_a_followed_guest_keeps_the_host_that_the_intent_names() -> None:
    plan = planned("kvm1", placement="follow", places={"vm1": Place("kvm2", False)})
    (guest,) = plan["hosts"]["kvm2"]["guests"]
    assert guest["domain"]["metadata"] == {"host": "kvm1"} and plan["movable"] == {"vm1": "kvm2"}
    assert guest["domain"]["nics"] == planned("kvm1")["hosts"]["kvm1"]["guests"][0]["domain"]["nics"]
    ports = plan["hosts"]["kvm3"]["ovn_central"]["northbound"]["switches"][0]["ports"]
    assert [port["options"] for port in ports if "options" in port] == [{"requested-chassis": "kvm2"}]


def test_what_cannot_move_is_refused() -> None:
    hosts = intent(own=True, placement="follow")
    with pytest.raises(PlanError, match=r"guest.placement is for a guest that may move; state it once for the fabric"):
        compile_plan(hosts, SPEC, central=["kvm3"])


def test_a_tunnel_endpoint_of_ipv6_is_in_brackets_in_a_uri() -> None:
    stated, found = planned("kvm1"), looked(kvm2=domain(stated="kvm2"))
    decided = place(stated, found)
    plan = planned("kvm1", places=decided.places)
    plan["teps"] = [{**tep, "address": "fd00::1"} for tep in plan["teps"]]
    assert prepared(plan, stated, decided.moves)["moves"][0]["address"] == "[fd00::1]"

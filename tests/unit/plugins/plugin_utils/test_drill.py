# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill: what is cut, what should survive, and what is said of what was measured."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._drill import watch
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner
from ansible_collections.overloom.fabric.plugins.plugin_utils._drill import cuts, report
from ansible_collections.overloom.fabric.plugins.plugin_utils._impair.places import ImpairError, cables_of
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, fabrics, inventory_plan

OSPF = inventory_plan("ospf")[0]
GRE = inventory_plan("gre_vlan")[0]
PAIR = {"from": "a/x", "to": "b/y"}
CUT = {"kind": "link", "name": "a/eth1", "seconds": 10, "survives": [True]}


def drilled(plan, hosts=True):
    return cuts.drill(plan, cables_of(plan, ()), hosts)


def survivors(plan):
    """The cuts that all pairs should survive, by kind and name."""
    return {f"{cut['kind']} {cut['name']}" for cut in drilled(plan)["cuts"] if all(cut["survives"])}


def test_two_ways_over_two_routers_survive_all_but_the_tunnel_and_the_ends():
    found = drilled(OSPF)
    every = {f"{cut['kind']} {cut['name']}" for cut in found["cuts"]}
    assert len(every) == 1 + 6 + 5 + 5
    lost = every - survivors(OSPF)
    assert lost == {"tunnel kvm1/kvm2", "router kvm1", "router kvm2", "host kvm1", "host kvm2"}
    assert [(pair["from"], pair["to"]) for pair in found["pairs"]] == [("kvm1/red1", "kvm2/red2")]


@pytest.mark.parametrize("given", [-5, 3601, 10**9])
def test_a_cut_has_an_end_that_somebody_waits_for(given):
    assert cuts.seconds(OSPF) == cuts.drill(OSPF, cables_of(OSPF, ()), False)["seconds"]
    assert cuts.seconds(OSPF, 20) == 20
    with pytest.raises(ImpairError, match=f"^drill_seconds: {given} is not between 1 and 3600; leave it out"):
        cuts.seconds(OSPF, given)


@pytest.mark.parametrize("given", [0, -5, 86401])
def test_a_module_stops_no_router_without_an_end(given):
    with pytest.raises(FabricError, match="^seconds: '.*' is n"):
        watch.prepare(None, {"router": True, "seconds": given, "owner": "us"})


@pytest.mark.parametrize("given", [{"lead": 0}, {"lead": 601}, {"recovery": -1}, {"recovery": 3601}])
def test_a_drill_waits_neither_for_ever_nor_backwards(given):
    (name,) = given
    watch.check_times({"lead": 5, "recovery": 60})
    with pytest.raises(FabricError, match=f"^drill_{name}: {given[name]} is not between"):
        watch.check_times({"lead": 5, "recovery": 60, **given}, "drill_")


def test_a_router_that_was_stopped_before_stays_so():
    runner = Runner(lambda _argv, _stdin: (3, "", ""))
    with pytest.raises(FabricError, match="^FRR does not run on this host"):
        watch.prepare(runner, {"router": True, "seconds": 5, "owner": "us"})
    assert runner.spawned == 1


def test_a_router_is_started_again_whatever_was_started_before():
    lines = watch.router_unit(8, "us").content.splitlines()
    ends = [line.partition("systemctl ")[2] for line in lines if line.startswith("ExecStopPost=-")]
    assert ends[:2] == ["reset-failed frr.service", "start --no-block frr.service"]


def test_one_router_less_and_nothing_of_the_other_survives():
    plan = copy.deepcopy(OSPF)
    plan["links"] = [one for one in plan["links"] if not one["name"].endswith("-r2")]
    assert {"link kvm1/eth1", "link kvm2/eth1", "router r1"} & survivors(plan) == set()
    assert "router r3" in survivors(plan)


def mesh(guard, edges):
    """A plan with three hosts on one switch, of which the OSPF one gave the hosts."""
    plan = copy.deepcopy(GRE)
    for number in (3,):
        plan["hosts"][f"kvm{number}"] = copy.deepcopy(plan["hosts"]["kvm1"])
    plan["overlays"][0].update(loop_guard=guard, tunnels=[list(edge) for edge in edges])
    return cuts.Fabric(plan, [["kvm1:eth1", "kvm2:eth1", "kvm3:eth1"]])


RING = [("kvm1", "kvm2"), ("kvm2", "kvm3"), ("kvm1", "kvm3")]
TUNNEL = {"kind": "tunnel", "name": "kvm1/kvm2", "ends": []}
BLUE = {"from": "kvm1/a", "to": "kvm2/b", "segment": "blue"}


@pytest.mark.parametrize(
    ("guard", "edges", "cut", "survives"),
    [
        ("rstp", RING, TUNNEL, True),
        ("split_horizon", RING, TUNNEL, False),
        ("split_horizon", RING, {**TUNNEL, "name": "kvm2/kvm3"}, True),
        ("none", RING[1:], {**TUNNEL, "name": "kvm1/kvm3"}, False),
        ("rstp", RING, {"kind": "link", "name": "kvm3/eth1", "ends": [["kvm3", "eth1"]]}, True),
        ("rstp", RING, {"kind": "link", "name": "kvm1/eth1", "ends": [["kvm1", "eth1"]]}, False),
        ("rstp", RING, {"kind": "host", "name": "kvm3", "ends": []}, True),
        ("none", RING[1:], {"kind": "host", "name": "kvm3", "ends": []}, False),
        ("none", RING[1:], {"kind": "router", "name": "kvm3", "ends": []}, True),
    ],
)
def test_a_way_over_another_tunnel_is_one_where_frames_cross_two(guard, edges, cut, survives):
    assert mesh(guard, edges).survives(cut, BLUE) is survives


def test_a_fabric_without_a_pair_or_a_cut_is_no_drill():
    plan = copy.deepcopy(GRE)
    plan["endpoints"] = []
    with pytest.raises(ImpairError, match="a drill measures between endpoints in namespaces"):
        drilled(plan)
    with pytest.raises(ImpairError, match="no tunnel, link or router that a drill could cut"):
        cuts.drill(OSPF, [], False, kinds=())


def test_a_cut_lasts_until_the_slowest_timer_has_noticed_it():
    assert cuts.seconds(OSPF) == 8
    plan = copy.deepcopy(OSPF)
    for end in plan["links"][0]["ends"]:
        end.update(bfd=False, dead_interval=40)
    assert cuts.seconds(plan) == 46


@given(fabrics(most=4))
def test_the_cuts_of_any_fabric_are_each_there_once_and_a_host_does_not_survive_itself(hosts):
    plan = compile_plan(hosts, SPEC)
    try:
        found = drilled(plan)
    except ImpairError:
        return
    names = [(cut["kind"], cut["name"]) for cut in found["cuts"]]
    assert len(names) == len(set(names))
    for cut in found["cuts"]:
        for pair, survives in zip(found["pairs"], cut["survives"]):
            ends = {pair[end].partition("/")[0] for end in ("from", "to")}
            assert not (survives and cut["kind"] == "host" and cut["name"] in ends)


def seen(outages, lost=10, alive=True, events=(), started=90.0, began=100.0):
    observed = {"a/x b/y": {"sent": 100, "lost": lost, "outages": outages, "alive": alive}}
    return {
        "a": {"observed": observed, "events": list(events), "started": started, "began": began},
        "b": {"observed": {}, "events": [], "started": started, "began": None},
    }


OUTAGE = {"at": 100.2, "seconds": 2.0, "lost": 10}


@pytest.mark.parametrize(
    ("survives", "what", "wrong"),
    [
        (True, seen([OUTAGE]), None),
        (True, seen([]), None),
        (True, seen([{**OUTAGE, "seconds": 10.4}]), "it came back only with the end of the cut"),
        (False, seen([{**OUTAGE, "seconds": 10.4}]), None),
        (True, seen([{**OUTAGE, "seconds": None}]), "it did not come back"),
        (False, seen([{**OUTAGE, "seconds": None}]), "it did not come back"),
        (False, seen([], alive=False), "it had no connection before the cut"),
        (True, seen([OUTAGE], started=103.0), "a began to measure 3 s after the cut; give a longer drill_lead"),
    ],
)
def test_what_is_wrong_with_a_pair(survives, what, wrong):
    result = report.judge({**CUT, "survives": [survives]}, [PAIR], what)
    (row,) = result["pairs"]
    assert (row["wrong"] or "").startswith(wrong or "") and bool(row["wrong"]) == bool(wrong)
    assert result["passed"] == (wrong is None)


def test_who_noticed_is_told_with_the_seconds_since_the_cut():
    event = {"at": 100.4, "what": "BFD session 10.0.0.1", "was": "up", "is": "down"}
    result = report.judge(CUT, [PAIR], seen([OUTAGE], events=[event]))
    shown = report.lines(result)
    assert "      a/x → b/y: lost 10 of 100 packets, 2 s without an answer (planned to survive)" in shown
    assert "      after 0.4 s a noticed: BFD session 10.0.0.1 up → down" in shown


def test_a_cut_that_no_host_began_fails_and_says_why():
    result = report.judge(CUT, [PAIR], {"a": {"failed": True, "msg": "tc is not installed"}})
    assert not result["passed"] and report.lines(result)[1].strip() == "tc is not installed"


def test_a_cut_of_which_one_end_did_not_begin_fails_and_who_did_not_measure_is_told():
    places = {"a": [{}], "b": [{}]}
    half = {**seen([OUTAGE]), "b": {"failed": True, "msg": "the cut did not begin: Job failed."}}
    result = report.judge({**CUT, "places": places}, [PAIR], half)
    assert not result["passed"] and result["why"] == "the cut did not begin: Job failed."
    whole = {**CUT, "places": {"b": [{}]}}
    blind = {**seen([]), "b": {"began": 100.0, "started": 90.0}, "a": {"failed": True, "msg": "no python\nmore"}}
    result = report.judge(whole, [PAIR], blind)
    assert not result["passed"] and result["pairs"][0]["wrong"] == "a did not measure: no python"
    gone = report.judge({**whole, "kind": "host", "name": "a"}, [PAIR], blind)
    assert gone["passed"] and gone["pairs"][0]["note"] == "not measured, as its host was cut"


def test_check_mode_tells_the_cuts_and_who_would_be_lost():
    every = [{**cut, "seconds": 8} for cut in drilled(OSPF)["cuts"]]
    shown = report.foretold({**drilled(OSPF), "cuts": every})
    assert "  link kvm1/eth1 would be cut for 8 s" in "\n".join(shown) and len(shown) == len(every)
    (tunnel,) = [line for line in shown if line.startswith("  tunnel")]
    assert tunnel.endswith("planned to be lost: kvm1/red1 → kvm2/red2")


def test_what_is_broken_since_fails_the_drill_and_what_was_before_does_not():
    good = report.judge(CUT, [PAIR], seen([OUTAGE]))
    assert report.report("f", [good], ["old"], ["old"])["passed"]
    whole = report.report("f", [good], ["old"], ["old", "new"])
    assert not whole["passed"] and whole["broken"] == ["new"]
    assert report.sentence(whole) == "1 broken since."
    assert "  ✗ broken since: new" in report.closing(whole, None)


SECONDS = st.one_of(st.none(), st.floats(0, 60).map(lambda value: round(value, 1)))


@given(SECONDS, SECONDS)
def test_two_drills_compared_say_the_opposite_the_other_way(one, other):
    def whole(length):
        outages = [{**OUTAGE, "seconds": length}] if length != 0 else []
        return report.report("f", [report.judge(CUT, [PAIR], seen(outages))], [], [])

    there, back = (report.compare(*both) for both in ((whole(one), whole(other)), (whole(other), whole(one))))
    opposite = {"worse": "better", "better": "worse"}
    assert [opposite[row["what"]] for row in there] == [row["what"] for row in back]
    assert not report.compare(whole(one), whole(one))


def test_a_cut_that_one_of_two_drills_lacks_is_new_or_gone():
    whole = report.report("f", [report.judge(CUT, [PAIR], seen([OUTAGE]))], [], [])
    nothing = report.report("f", [], [], [])
    assert [row["what"] for row in report.compare(nothing, whole)] == ["new"]
    shown = report.closing(nothing, report.compare(whole, nothing))
    assert shown[-1] == "    gone   link a/eth1, a/x → b/y: 2 s → -"


@given(st.lists(st.booleans(), min_size=20, max_size=60))
def test_packets_make_outages(answered):
    """Each packet without an answer counts, two or more in a row are an outage, and one that is still out has no end."""
    rows = [[100 + number / 5, ok] for number, ok in enumerate(answered)]
    found = watch.summary(rows, 5)
    counted = [row for row in rows if row[1] or row[0] < rows[-1][0] - watch.REPLY]
    assert found["sent"] == len(counted) and found["lost"] == sum(not ok for _at, ok in counted)
    assert sum(row["lost"] for row in found["outages"]) <= found["lost"]
    assert all(row["lost"] > 1 for row in found["outages"])
    assert [row["seconds"] is None for row in found["outages"][:-1]] == [False] * (
        len(found["outages"]) - 1 if found["outages"] else 0
    )


def test_states_of_all_who_may_notice():
    states = watch.states_of(
        {
            "tunnels": [{"name": "gre-b", "bfd_status": {"state": "up"}}, {"name": "gre-c", "bfd_status": {}}],
            "bridges": [{"ports": [{"name": "gre-b", "rstp_status": {"rstp_port_role": "Root"}}, {"name": "x"}]}],
            "ospf_neighbors": [{"router_id": "1.1.1.1", "interface": "eth1", "state": "Full/DR"}],
            "bgp_neighbors": [{"neighbor": "10.0.0.1", "family": "ipv4_unicast", "state": "Established"}],
            "bfd_peers": [{"peer": "10.0.0.1", "state": "up"}],
            "vrrp": [{"name": "edge", "state": "active"}],
        }
    )
    assert states == {
        "BFD of tunnel gre-b": "up",
        "RSTP of port gre-b": "Root",
        "OSPF neighbor 1.1.1.1 on eth1": "Full",
        "BGP session 10.0.0.1 ipv4_unicast": "Established",
        "BFD session 10.0.0.1": "up",
        "VRRP router edge": "active",
    }


def test_a_router_starts_again_whatever_ends_its_unit():
    text = watch.router_unit(10, "x").content
    assert "/systemctl stop frr.service" in text and "ExecStopPost=-" in text and "start --no-block frr.service" in text

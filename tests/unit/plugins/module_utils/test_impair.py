# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Impairments: what is declared, by which means of the kernel, and that a unit takes back whatever it does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._impair import effects, impairment, reader
from ansible_collections.overloom.fabric.plugins.module_utils._impair.means import asks_netem, means
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Settings
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

ITEM = {"name": "t", "interface": "eth1"}
MATCH = {"source": "10.0.0.1", "destination": "10.0.0.2", "protocol": 47, "port": None}
TIMES = st.sampled_from(["20ms", "1s", "1500us", "7"])
PARTS = st.sampled_from(["1", "0.5%", "100"])
ITEMS = st.one_of(
    st.just({"cut": True}),
    st.fixed_dictionaries({"rate": st.sampled_from(["10mbit", "1gbit", "64kbit"])}, optional={"loss": PARTS}),
    st.fixed_dictionaries(
        {"delay": TIMES}, optional={"loss": PARTS, "duplicate": PARTS, "reorder": PARTS, "rate": st.just("5mbit")}
    ),
    st.fixed_dictionaries({"loss": PARTS}),
).flatmap(
    lambda item: st.fixed_dictionaries(
        {key: st.just(value) for key, value in {**ITEM, **item}.items()},
        optional={
            "netns": st.just("web"),
            "for": st.sampled_from(["5s", "2m", "90"]),
            "matches": st.lists(st.sampled_from([MATCH, {**MATCH, "protocol": 17, "port": 4789}]), max_size=2),
        },
    )
)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({}, "impairment t: it has no effect; give one of delay, jitter, loss, duplicate, reorder, rate, cut"),
        ({"cut": True, "loss": "1"}, "impairment t: cut leaves nothing to loss; give one of them"),
        ({"jitter": "1ms"}, "impairment t: jitter needs a delay; give delay, too"),
        ({"delay": "1ms", "jitter": "2ms"}, "impairment t: jitter is more than the delay"),
        ({"loss": "101"}, "impairment t: loss: '101' is no part of the packets; give a percentage between 0.01 and 100"),
        ({"loss": "some"}, "impairment t: loss: 'some' is no part of the packets"),
        ({"delay": "soon"}, "impairment t: delay: 'soon' is no time; write it like 50ms, 30s or 2m"),
        ({"rate": "10mb"}, "impairment t: rate: '10mb' is no rate between 8kbit and 32gbit; write it like 10mbit"),
        ({"cut": True, "for": "0"}, "impairment t: for: '0' is not between 1s and 24h"),
        ({"cut": True, "for": "2d"}, "impairment t: for: '2d' is no time"),
        ({"cut": True, "interface": ""}, "impairment t: interface is missing"),
        ({"cut": True, "interface": 'a"b'}, "impairment t: a\"b has quotes"),
        ({"cut": True, "name": "a b"}, "name: 'a b' is no name of an impairment"),
        ({"cut": True, "matches": [{**MATCH, "source": "10.0.0.1/24"}]}, "impairment t: matches: '10.0.0.1/24' does not"),
        ({"cut": True, "matches": [{**MATCH, "source": "fd00::1"}]}, "are not of one IP version"),
        ({"cut": True, "matches": [{**MATCH, "port": 5}]}, "port 5 needs a number of 1 to 65535, and protocol 6"),
        ({"cut": True, "matches": [{**MATCH, "protocol": 256}]}, "protocol 256 is no IP protocol"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_a_sentence(item, said):
    with pytest.raises(FabricError) as refused:
        effects.declared({**ITEM, **item})
    assert said in str(refused.value)


@given(ITEMS, st.booleans())
def test_what_a_unit_does_it_takes_back(item, netem):
    """For each table and queueing discipline that the start makes there is a line that removes it, in the same namespace; then its file goes."""
    wanted = effects.declared(item)
    if any(getattr(wanted, key) for key in effects.NETEM_ONLY) and not netem:
        with pytest.raises(FabricError, match="needs netem, which this kernel lacks; load its module sch_netem"):
            means(wanted, netem, "x")
        return
    how = means(wanted, netem, "x")
    text = impairment.unit_of(wanted, how, "x").content
    start = [line for line in text.splitlines() if line.startswith("ExecStartPre=")]
    stop = [line for line in text.splitlines() if line.startswith("ExecStopPost=")]
    assert start and f"sleep {wanted.seconds}\n" in text and stop[-1].endswith("overloom-impair-t.service")
    assert sum("root handle 6f76:" in line for line in start) == sum("root handle 6f76:" in line for line in stop)
    made = [re.search(r"overloom_impair_\w+", line) for line in start if "/nft " in line]
    gone = [re.search(r"overloom_impair_\w+", line) for line in stop if "/nft " in line]
    assert [one and one[0] for one in made] == [one and one[0] for one in gone]
    inside = [("ip netns exec web" in line) == bool(wanted.netns) for line in [*start, *stop[:-1]]]
    assert all(inside) and all(line.startswith("ExecStopPost=-") for line in stop[:-1])
    assert ("netem" in text) == (netem and asks_netem(wanted))


def test_only_what_matches_has_the_class_and_all_else_passes():
    rate = {**ITEM, "rate": "1mbit"}
    assert "htb default 1" in means(effects.declared(rate), False, "x").tc[0]
    some = means(effects.declared({**rate, "matches": [MATCH]}), False, "x").tc
    assert "htb default 0" in some[0] and "match ip protocol 47 0xff" in some[-1]
    six = {"source": "fd00::1", "destination": "fd00::2", "protocol": 17, "port": 6081}
    assert "protocol ipv6 u32 match ip6 src fd00::1/128" in means(
        effects.declared({**rate, "matches": [six]}), False, "x"
    ).tc[-1]  # fmt: skip
    table = means(effects.declared({**ITEM, "loss": "2.5", "matches": [six]}), False, 'ow"ner').table
    assert "ip6 saddr fd00::1 ip6 daddr fd00::2 udp dport 6081 numgen random mod 10000 < 250 ether daddr" in table
    assert 'comment "overloom:owner"' in table


def test_what_runs_as_declared_goes_on_and_the_rest_of_the_owner_is_purged():
    settings = Settings("x", purge=True)
    wanted = effects.declared({**ITEM, "cut": True})
    unit = impairment.unit_of(wanted, means(wanted, False, "x"), "x")
    other = impairment.unit_of(wanted._replace(name="old"), means(wanted, False, "x"), "x")
    foreign = impairment.unit_of(wanted._replace(name="theirs"), means(wanted, False, "y"), "y")
    units = {one.name: one for one in (unit, other, foreign)}
    asked = impairment.Declared((wanted,), ())
    change = impairment.compare(impairment.Found(units, {"t": unit}, {}), asked, settings)
    assert [step.shown() for step in change.steps][0] == "systemctl stop overloom-impair-old.service"
    assert "theirs" not in str(change.steps) and "overloom-impair-t." not in str(change.steps)
    assert not impairment.compare(
        impairment.Found({unit.name: unit}, {"t": unit}, {}), asked, settings
    ).steps  # fmt: skip
    idle = impairment.Found({unit.name: unit}, {"t": unit}, {}, frozenset([unit.name]))
    assert [step.shown().split("\n")[0] for step in impairment.compare(idle, asked, settings).steps][-1] == (
        "systemctl start overloom-impair-t.service"
    )
    longer = effects.declared({**ITEM, "cut": True, "for": "60s"})
    anew = impairment.unit_of(longer, means(longer, False, "x"), "x")
    steps = impairment.compare(impairment.Found(units, {"t": anew}, {}), asked, Settings("x")).steps
    shown = [step.shown().split("\n")[0] for step in steps]
    assert shown[0] == "systemctl stop overloom-impair-t.service" and shown[-1].startswith("systemctl start")
    for declared in (impairment.Declared((), ("theirs",)), impairment.Declared((), ("t",))):
        if declared.absent == ("theirs",):
            with pytest.raises(FabricError, match="impairment theirs belongs to the owner y and stays"):
                impairment.compare(impairment.Found(units, {}, {}), declared, Settings("x"))
        else:
            assert impairment.compare(impairment.Found(units, {}, {}), declared, Settings("x")).steps


def test_a_unit_that_systemd_does_not_run_is_idle():
    said = "Id=overloom-impair-a.service\nActiveState=active\n\nId=overloom-impair-b.service\nActiveState=inactive\n"
    runner = Runner(lambda _argv, _stdin: (0, said, ""))
    units = ["overloom-impair-a.service", "overloom-impair-b.service"]
    assert impairment.idle(runner, units) == {"overloom-impair-b.service"}
    assert impairment.idle(runner, []) == frozenset() and runner.spawned == 1


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"name": "t", "impairments": []}, "name and impairments are both given"),
        ({}, "there is nothing to do"),
        ({"impairments": [{**ITEM, "cut": True}] * 2}, "t is declared twice"),
    ],
)
def test_options_that_contradict_are_refused(params, said):
    given_ = {"name": None, "impairments": None, "purge": False, "state": "present", **params}
    with pytest.raises(FabricError, match=said):
        impairment.declaration(given_)


def test_the_time_that_is_left_comes_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "FOLDER", str(tmp_path))
    wanted = effects.declared({**ITEM, "cut": True, "for": "60s", "netns": "web"})
    unit = impairment.unit_of(wanted, means(wanted, False, "x"), "x")
    (tmp_path / unit.name).write_text(unit.content, encoding="utf-8")
    (row,) = reader.impairments()
    assert 58 <= row.pop("left") <= 60
    assert row == {"name": "t", "owner": "x", "interface": "eth1", "netns": "web", "effect": "cut", "seconds": 60}
    assert reader.impairments("y") == []


@pytest.mark.parametrize(
    ("shown", "roots"),
    [
        ("qdisc noqueue 0: root refcnt 2 \n", [("noqueue", "0:")]),
        (
            "qdisc mq 0: root \nqdisc fq_codel 0: parent :1 limit 10240p flows 1024\nqdisc clsact ffff: parent ffff:fff1 \n",
            [("mq", "0:")],
        ),
        ("qdisc tbf 8001: root refcnt 2 rate 1Gbit burst 64Kb lat 50ms \n", [("tbf", "8001:")]),
        (
            "qdisc htb 6f76: dev eth1 root refcnt 2 r2q 10 default 0x1\nqdisc netem 6f77: parent 6f76:1 limit 9\n",
            [("htb", "6f76:")],
        ),
        ("", []),
    ],
)
def test_the_root_of_an_interface_is_read_as_each_release_shows_it(shown, roots) -> None:
    assert impairment.roots(shown) == roots


def test_others_queueing_is_refused_and_no_json_is_asked_for() -> None:
    """Older releases print some kinds as words, whatever they are asked."""
    said = {"tbf": "qdisc tbf 8001: root refcnt 2 rate 1Gbit burst 64Kb lat 50ms \n"}
    asked = []

    def run(argv, _stdin):
        asked.append(argv)
        return 0, said["tbf"], ""

    one = effects.declared({**ITEM, "rate": "1mbit"})
    with pytest.raises(FabricError, match=r"eth1 has a queueing discipline of others \(tbf 8001:\), which stays"):
        impairment._look(Runner(run), one, means(one, False, "us"), {})
    assert [argv[0] for argv in asked] == ["tc"] and not any("json" in word for word in asked[0])

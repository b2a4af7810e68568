# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of ovn_northbound with random intents on random databases, and its tables against the installed schema."""

from __future__ import annotations

import itertools
import json
import pathlib
import random
import re
import shlex
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._ovn import chassis, database, listeners
from ansible_collections.overloom.fabric.plugins.module_utils._ovn import compare as ovn_compare
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.compare import Wanted, compare
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.database import GLOBAL, Tables, applied
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.declaration import argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.tables import TABLES, stored
from ansible_collections.overloom.fabric.plugins.module_utils._owner import OVS_OWNER, Caller, Settings
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils import ovn_draw as draw

OURS = Settings("overloom.fabric", purge=True)
NOTHING = Wanted([], None)
BEGIN = ["ovn-nbctl"]


def changed(found: Tables, wanted: Wanted, how: Settings, count: t.Iterator[int]) -> Tables:
    """The database after a call, as it is read again."""
    comparison = ovn_compare.compared(found, wanted, how)
    return draw.stored(applied(found, comparison.ops), count)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_a_second_call_changes_nothing_and_a_third_leaves_what_was_found(seed: int, beside: bool) -> None:
    rnd, count = random.Random(seed), itertools.count()
    start = draw.empty()
    if beside:
        others = changed(start, Wanted(draw.nodes(draw.intent(rnd)), None), Settings("others"), count)
        start = draw.foreign(others, rnd)
    wanted = Wanted(draw.nodes(draw.intent(rnd)), {"k": "v", "mine": "2"})
    try:
        there = changed(start, wanted, OURS, count)
    except FabricError:
        # What others have, one of them may have twice, or it is the same.
        assert beside
        return
    again = compare(there, wanted, OURS, BEGIN)
    assert again.steps == [] and again.before == again.after == {}
    # Into rows of others nothing of ours comes, but what hangs below them.
    assert draw.of_others(there) == draw.of_others(start)
    after = changed(there, NOTHING, OURS, count)
    assert after == start


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_from_any_intent_to_any_other(seed: int) -> None:
    rnd, count = random.Random(seed), itertools.count()
    first, second = (Wanted(draw.nodes(draw.intent(rnd)), None) for _number in range(2))
    there = changed(draw.empty(), first, OURS, count)
    try:
        change = compare(there, second, OURS, BEGIN)
    except FabricError as error:
        # An option that is left out stays, and names what goes.
        assert " is still the " in str(error)
        return
    then = changed(there, second, OURS, count)
    assert bool(change.steps) == (change.before != change.after)
    assert compare(then, second, OURS, BEGIN).steps == []
    # Each new reference is made in the call, and each row of the database that is named is there.
    words = {word for step in change.steps for word in shlex.split(step.shown().replace(",", " ").replace("=", " "))}
    made = {word[len("--id=") :] for step in change.steps for word in step.argv if word.startswith("--id=")}
    assert {word for word in words if word.startswith("@new") and word[4:].isdigit()} <= made | {"@new1"}


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_adopted_is_given_back(seed: int) -> None:
    rnd, count = random.Random(seed), itertools.count()
    lists = draw.intent(rnd)
    others = changed(draw.empty(), Wanted(draw.nodes(draw.intent(rnd)), None), Settings("others"), count)
    for rows in others.values():
        for row in rows.values():
            row["external_ids"].pop(OVS_OWNER, None)
    wanted = Wanted(draw.nodes(lists), None)
    there = changed(others, wanted, OURS._replace(adopt=True), count)
    assert compare(there, wanted, OURS, BEGIN).steps == []
    assert changed(there, NOTHING, OURS, count) == others


def test_a_change_too_long_for_one_call_is_some_calls_that_make_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [{"name": f"p{n}", "addresses": ["dynamic"]} for n in range(50)]
    lists = {
        "switches": [{"name": "s", "ports": ports}],
        "port_groups": [{"name": "g", "ports": [port["name"] for port in ports]}],
        "meters": [{"name": "m", "unit": "kbps", "bands": [{"rate": 1}]}],
    }
    whole = compare(draw.empty(), Wanted(draw.nodes(lists), None), OURS, BEGIN)
    assert len(whole.steps) == 1
    monkeypatch.setattr(database, "LONGEST", 2000)
    parts = compare(draw.empty(), Wanted(draw.nodes(lists), None), OURS, BEGIN)
    words = [word for step in parts.steps for word in t.cast("database.Step", step).argv]
    assert len(parts.steps) > 3 and words.count("Logical_Switch_Port") == 50
    assert "@" not in "".join(words) and parts == compare(draw.empty(), Wanted(draw.nodes(lists), None), OURS, BEGIN)
    made = [word[len("--id=") :] for word in words if word.startswith("--id=")]
    assert len(set(made)) == len(made) == 54
    first = {ref: index for index, step in enumerate(parts.steps) for ref in made if f"--id={ref}" in step.shown()}
    for index, step in enumerate(parts.steps):
        for ref in made:
            assert ref not in step.shown() or first[ref] <= index, "a row is named before it is made"


def test_what_is_still_referred_to_is_kept_with_a_sentence() -> None:
    count = itertools.count()
    lists = {
        "address_sets": [{"name": "a"}],
        "routers": [
            {
                "name": "r",
                "nat": [
                    {"type": "snat", "external_ip": "192.0.2.1", "logical_ip": "10.0.0.0/8", "allowed_ext_ips": "a"}
                ],
            }
        ],
    }
    there = changed(draw.empty(), Wanted(draw.nodes(lists), None), OURS, count)
    with pytest.raises(
        FabricError, match="address set a is still the allowed_ext_ips of NAT snat 192.0.2.1 10.0.0.0/8"
    ):
        compare(
            there,
            Wanted(draw.nodes({"address_sets": [{"name": "a", "state": "absent"}]}), None),
            OURS._replace(purge=False),
            BEGIN,
        )


@pytest.mark.parametrize(
    ("match", "unknown"),
    [
        ("outport == @web && ip4.src == {$trusted, $web_ip4} && ip6.src != $web_ip6", None),
        ('inport == "@gone" && ip', None),
        ("outport == @gone && ip", "port group gone"),
        ("ip4.src == $web", "address set web"),
        ("ip4.src == $gone_ip4", "address set gone_ip4"),
    ],
)
def test_a_match_about_a_group_that_nobody_has_is_refused(match: str, unknown: str | None) -> None:
    rule = {"direction": "to-lport", "priority": 1, "match": match, "action": "drop"}
    lists = {
        "switches": [{"name": "s", "acls": [rule]}],
        "port_groups": [{"name": "web"}],
        "address_sets": [{"name": "trusted"}],
    }
    wanted = Wanted(draw.nodes(lists), None)
    if unknown is None:
        assert compare(draw.empty(), wanted, OURS, BEGIN).steps
        return
    said = f"ACL to-lport 1 {match}: match names the {unknown}, which is neither declared nor in the database"
    with pytest.raises(FabricError, match=re.escape(said)):
        compare(draw.empty(), wanted, OURS, BEGIN)


@pytest.mark.parametrize(
    ("version", "refused"),
    [
        ("23.03.1-20.27.0-70.6", True),
        ("23.06.4-20.27.0-70.6", True),
        ("23.06.5-20.27.0-70.6", False),
        ("24.03.2-20.33.0-73.6", True),
        ("24.03.3-20.33.0-73.6", False),
        ("25.03.0-20.41.0-78.9", False),
        ("", False),
    ],
)
def test_a_second_forwarding_group_is_refused_where_northd_would_never_end(version: str, refused: bool) -> None:
    def wanted(*names: str) -> Wanted:
        groups = [
            {"name": name, "vip": f"192.0.2.{number}", "vmac": "02:00:00:00:00:01", "child_port": ["p"]}
            for number, name in enumerate(names, 1)
        ]
        return Wanted(draw.nodes({"switches": [{"name": "s", "forwarding_groups": groups}]}), None)

    there = draw.empty()
    there[GLOBAL]["global"]["options"]["northd_internal_version"] = version
    assert compare(there, wanted("one"), OURS, BEGIN).steps
    if not refused:
        assert compare(there, wanted("one", "two"), OURS, BEGIN).steps
        return
    said = f"switch s: forwarding_groups: it would have 2, and ovn-northd {version[:7]} takes one of a switch"
    with pytest.raises(FabricError, match=re.escape(said)):
        compare(there, wanted("one", "two"), OURS, BEGIN)
    # What is there already is not made worse.
    there = changed(draw.empty(), wanted("one", "two"), OURS, itertools.count())
    there[GLOBAL]["global"]["options"]["northd_internal_version"] = version
    more = {"switches": [{"name": "s"}, {"name": "t"}]}
    assert compare(there, Wanted(draw.nodes(more), None), OURS._replace(purge=False), BEGIN).steps


# The schema --------------------------------------------------------------------------------------------------------

SCHEMA = pathlib.Path("/usr/share/ovn/ovn-nb.ovsschema")
STATUS = "OVN writes it"
MARK = "holds the owner mark"
NO_MARK = "has no external_ids for an owner mark, so what is ours could not be told from what is not"
DATABASE = "the module ovn_database"
# Columns that no option sets, and why.
WITHOUT: dict[str, dict[str, str]] = {
    "NB_Global": {
        **dict.fromkeys("nb_cfg nb_cfg_timestamp sb_cfg sb_cfg_timestamp hv_cfg hv_cfg_timestamp".split(), STATUS),
        "name": "names an availability zone for ovn-ic, which joins several OVNs",
        "ipsec": "needs keys of each host, which are a matter of openvswitch-ipsec",
        "external_ids": MARK,
        "options": "the option nb_global_options",
        **dict.fromkeys(("connections", "ssl"), DATABASE),
    },
    "Connection": {
        "max_backoff": "for connections that the server makes, and ours are made by clients",
        "other_config": "has nothing that ovn-nb(5) names",
        **dict.fromkeys(("is_connected", "status"), STATUS),
        **dict.fromkeys(("target", "inactivity_probe", "external_ids"), DATABASE),
    },
    "SSL": {
        "bootstrap_ca_cert": "a server that trusts its first client lets in anybody",
        **dict.fromkeys(("ssl_protocols", "ssl_ciphers"), "those of the TLS library, which knows better"),
        **dict.fromkeys(("private_key", "certificate", "ca_cert", "external_ids"), DATABASE),
    },
    "Logical_Switch": {"load_balancer_group": NO_MARK},
    "Logical_Router": {"load_balancer_group": NO_MARK},
    "Load_Balancer_Group": dict.fromkeys(("name", "load_balancer"), NO_MARK),
    "Static_MAC_Binding": dict.fromkeys(("logical_port", "ip", "mac", "override_dynamic_mac"), NO_MARK),
    "Logical_Switch_Port": dict.fromkeys(("up", "dynamic_addresses"), STATUS),
    "Logical_Router_Port": {"ipv6_prefix": STATUS},
    "Logical_Router_Policy": {"nexthop": "ovn-nb(5) says to use nexthops"},
    "Gateway_Chassis": {"name": "follows from port and chassis, as ovn-nbctl makes it"},
    "Meter_Band": {"action": "drop is the only one"},
    "BFD": {"status": STATUS},
}
# Columns that came after OVN 23.03, and why no option sets them. A server that does not know a column refuses the whole write.
NEWER = "is newer than the oldest OVN that the collection knows"
LATER: dict[str, dict[str, str]] = {
    "ACL": dict.fromkeys(("tier", "sample_new", "sample_est", "network_function_group"), NEWER),
    "DHCP_Relay": dict.fromkeys(("name", "servers", "options", "external_ids"), NEWER),
    "DNS": {"options": NEWER},
    "Logical_Router_Policy": dict.fromkeys(("bfd_sessions", "chain", "jump_chain", "output_port"), NEWER),
    "Logical_Router_Port": {"dhcp_relay": NEWER, "status": STATUS},
    "Logical_Router_Static_Route": {"selection_fields": NEWER},
    "Logical_Switch_Port": dict.fromkeys(("peer", "health_checks"), NEWER),
    "Logical_Switch_Port_Health_Check": {
        **dict.fromkeys(("address", "options", "port", "protocol", "src_ip"), NO_MARK),
        "status": STATUS,
    },
    "Mirror": {"mirror_rules": NO_MARK},
    "Mirror_Rule": dict.fromkeys(("action", "match", "priority"), NO_MARK),
    "NAT": dict.fromkeys(("match", "priority"), NEWER),
    "Network_Function": dict.fromkeys(("name", "id", "inport", "outport", "health_check", "external_ids"), NEWER),
    "Network_Function_Group": {
        **dict.fromkeys(("name", "id", "mode", "fallback", "network_function", "external_ids"), NEWER),
        "network_function_active": STATUS,
    },
    "Network_Function_Health_Check": dict.fromkeys(("name", "options", "external_ids"), NEWER),
    "SSL": {"ssl_ciphersuites": "those of the TLS library, which knows better"},
    "Sample": dict.fromkeys(("collectors", "metadata"), NO_MARK),
    "Sample_Collector": dict.fromkeys(("id", "name", "probability", "set_id", "external_ids"), NEWER),
    "Sampling_App": dict.fromkeys(("id", "type", "external_ids"), NEWER),
}


def schema() -> dict[str, t.Any]:
    """The tables of the installed OVN."""
    return t.cast("dict[str, t.Any]", json.loads(SCHEMA.read_text(encoding="utf-8"))["tables"])


# The columns of later releases of OVN, from their ovn-nb.ovsschema.
RELEASES: dict[str, t.Any] = json.loads(
    (pathlib.Path(__file__).parent / "ovn_nb_columns.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("release", ["installed", *RELEASES])
def test_every_column_is_reached_by_an_option_or_is_not_for_people_to_set(release: str) -> None:
    tables: t.Mapping[str, t.Iterable[str]] = (
        {name: row["columns"] for name, row in schema().items()}
        if release == "installed"
        else {name: text.split() for name, text in RELEASES[release]["tables"].items()}
    )
    columns = {(table, column) for table, names in tables.items() for column in names}
    options = {(table, column) for table in TABLES for column in stored(table) if column != "_uuid"}
    without = {(table, column) for table, reasons in WITHOUT.items() for column in reasons}
    later = {(table, column) for table, reasons in LATER.items() for column in reasons}
    assert sorted(columns - options - without - later) == [], "columns that nobody has thought of"
    # Also what the modules read: of a server that is newer, too.
    assert sorted(options - columns) == [], "columns that the database does not have"
    assert sorted((without | later) & options) == [] and sorted(without - columns) == []


def test_no_reason_is_left_of_a_column_that_no_release_has() -> None:
    newest = RELEASES[max(RELEASES)]["tables"]
    assert [(name, column) for name in LATER for column in LATER[name] if column not in newest[name].split()] == []


KINDS = {
    "scalar": (1, 1),
    "optional": (0, 1),
    "set": (None, None),
    "map": (0, "unlimited"),
    "numbers": (0, "unlimited"),
}


def test_every_column_is_stored_as_the_schema_says() -> None:
    for name in TABLES:
        columns = schema()[name]["columns"]
        for column, spec in stored(name).items():
            if column == "_uuid":
                continue
            kind = columns[column]["type"]
            low, high = (kind.get("min", 1), kind.get("max", 1)) if isinstance(kind, dict) else (1, 1)
            assert ("value" in kind) == (spec.kind in ("map", "numbers")), (name, column)
            if spec.kind == "set":
                assert high == "unlimited", (name, column)
            else:
                assert KINDS[spec.kind] == (low, high), (name, column)


def test_every_choice_of_the_schema_is_one_of_the_option() -> None:
    for name, table in TABLES.items():
        for field in table.fields:
            kind = schema()[name]["columns"][field.column]["type"]
            key = kind.get("key") if isinstance(kind, dict) else None
            values = key.get("enum", ["set", []])[1] if isinstance(key, dict) else []
            choices = field.kind.spec.get("choices")
            if values and field.stored.kind != "numbers":
                assert set(values) == {choice for choice in choices if choice}, (name, field.name)


def test_rows_that_hang_nowhere_are_roots_of_the_schema_and_unique_ones_are_unique() -> None:
    below = {child.table.name for table in TABLES.values() for child in table.children}
    for name, table in TABLES.items():
        assert schema()[name].get("isRoot", False) == (name not in below), name
        indexes = [set(index) for index in schema()[name].get("indexes", [])]
        columns = {table.field(key).column for key in table.keys}
        assert table.unique == (columns in indexes), name


def test_the_options_are_those_of_the_documentation() -> None:
    spec = argument_spec()
    assert spec["switches"]["options"]["ports"]["options"]["name"]["required"]
    assert spec["switches"]["options"]["acls"]["options"]["direction"]["choices"] == ["from-lport", "to-lport"]


# Listeners and chassis ---------------------------------------------------------------------------------------------


def held(**connections: str | None) -> listeners.Held:
    """A database that listens on these ports of 127.0.0.1, each with its owner."""
    rows = {
        f"ptcp:{name[1:]}:127.0.0.1": {
            "_uuid": name,
            "target": f"ptcp:{name[1:]}:127.0.0.1",
            "role": "",
            "inactivity_probe": None,
            "external_ids": {OVS_OWNER: owner} if owner else {},
            "status": {"bound_port": name[1:]},
        }
        for name, owner in connections.items()
    }
    return listeners.Held(rows, None)


def listening(found: listeners.Found, **declared: t.Any) -> list[str]:
    """The words of the steps, without what begins each call."""
    nothing = dict.fromkeys(("ssl", "northbound", "southbound", "southbound_rbac"))
    params = {"state": "present", **nothing, **declared}
    change = listeners.compare(found, listeners.declared(params), None, Caller("f"), 5)
    assert bool(change.steps) == (change.before != change.after)
    return [" ".join(t.cast("database.Step", step).argv[3:]) for step in change.steps]


def test_listeners_of_this_owner_are_what_is_declared_and_those_of_others_stay() -> None:
    found = {"southbound": held(p1="f", p2=None, p3="g")}
    assert listening(found, southbound=["ptcp:1:127.0.0.1"]) == []
    assert listening(found, southbound=["ptcp:2:127.0.0.1"]) == ["-- remove SB_Global . connections p1"]
    assert listening(found, state="absent") == ["-- remove SB_Global . connections p1"]
    [made] = listening({"southbound": held()}, southbound=["pssl:6642"])
    assert made.startswith(
        '-- --id=@listener1 create Connection target="pssl:6642" external_ids:overloom-owner=f -- add'
    )


def test_a_listener_of_chassis_has_their_role_and_stands_beside_those_without_one() -> None:
    [made] = listening({"southbound": held()}, southbound_rbac=["pssl:16642"])
    assert made.startswith('-- --id=@listener1 create Connection target="pssl:16642" role=ovn-controller external_ids:')
    both = held(p1="f", p2="f")
    both.connections["ptcp:2:127.0.0.1"]["role"] = "ovn-controller"
    # Each list is about listeners of its own kind.
    assert listening({"southbound": both}, southbound=[]) == ["-- remove SB_Global . connections p1"]
    assert listening({"southbound": both}, southbound_rbac=[]) == ["-- remove SB_Global . connections p2"]
    assert listening({"southbound": both}, state="absent") == ["-- remove SB_Global . connections p1 p2"]
    ours = listeners.Held({"pssl:6642": {**both.connections["ptcp:1:127.0.0.1"], "target": "pssl:6642"}}, None)
    assert listening({"southbound": ours}, southbound=[], southbound_rbac=["pssl:6642"]) == [
        "-- set Connection p1 role=ovn-controller"
    ]
    ours.connections["pssl:6642"]["external_ids"] = {}
    with pytest.raises(FabricError, match="its role would be changed"):
        listening({"southbound": ours}, southbound_rbac=["pssl:6642"])
    with pytest.raises(FabricError, match="southbound_rbac holds ptcp:6642; a chassis is known by its certificate"):
        listening({}, southbound_rbac=["ptcp:6642"])
    with pytest.raises(FabricError, match="southbound_rbac and southbound both hold pssl:1"):
        listening({}, southbound=["pssl:1"], southbound_rbac=["pssl:1"])


@pytest.mark.parametrize("target", ["tcp:192.0.2.1:6642", "ptcp:6642:here", "unix:/x", "ptcp"])
def test_a_listener_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(FabricError, match="give where the server listens, such as ptcp:6642:192.0.2.1"):
        listening({}, southbound=[target])


@pytest.mark.parametrize(
    ("held_words", "gateway", "wanted"),
    [
        ("", True, "enable-chassis-as-gw"),
        ("a,b", True, "a,b,enable-chassis-as-gw"),
        ("a,enable-chassis-as-gw,b", True, None),
        ("a,enable-chassis-as-gw,b", False, "a,b"),
        ("enable-chassis-as-gw", False, ""),
        ("a", False, None),
        ("a", None, None),
    ],
)
def test_a_gateway_is_a_word_among_those_of_others(held_words: str, gateway: bool | None, wanted: str | None) -> None:
    found = chassis.with_gateway({"external_ids": {"ovn-cms-options": held_words}}, gateway)
    assert [one.value or "" for one in found] == ([] if wanted is None else [wanted])


def test_mappings_in_another_order_are_the_same() -> None:
    kind = chassis.Mappings()
    assert kind.canonical("b:y,a:x") == kind.canonical(kind.parse({"a": "x", "b": "y"}, "")) == "a:x,b:y"
    with pytest.raises(FabricError, match="bridge_mappings maps 'a' to 'x,y'; give names without"):
        kind.parse({"a": "x,y"}, "chassis: bridge_mappings")

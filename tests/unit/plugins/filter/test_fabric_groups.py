# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A play over the fabric's hosts matches one at least, or says what there is instead."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.overloom.fabric.plugins.filter.fabric_groups import fabric_groups

EMPTY = {"all": [], "ungrouped": []}


def test_the_groups_that_have_hosts_are_the_fabric() -> None:
    assert fabric_groups({**EMPTY, "all": ["kvm1"], "kvm_hosts": ["kvm1"]}) == ["kvm_hosts"]
    assert fabric_groups({**EMPTY, "all": ["kvm1", "r1"], "kvm_hosts": ["kvm1"], "routers": ["r1"]}, "r1") == [
        "kvm_hosts",
        "routers",
    ]
    assert fabric_groups({**EMPTY, "all": ["r1"], "kvm_hosts": [], "routers": ["r1"]}, "all:!kvm9") == ["routers"]


@pytest.mark.parametrize(
    ("groups", "limit", "sentences"),
    [
        (EMPTY, "", ["/some/hosts.yml has no host at all", "correct its path (-i)"]),
        ({**EMPTY, "all": ["a"], "ungrouped": ["a"]}, "", ["its hosts, a, are in no group"]),
        (
            {**EMPTY, "all": ["kvm1"], "kvmhosts": ["kvm1"]},
            "",
            ["its groups are kvmhosts (kvm1) (did you mean kvm_hosts with kvmhosts?)"],
        ),
        ({**EMPTY, "all": ["kvm1"], "kvmhosts": ["kvm1"]}, "kvm1", ["its groups are kvmhosts (kvm1)"]),
        (
            {**EMPTY, "all": list("abcde"), "web": list("abcde"), "kvm_hosts": []},
            "",
            ["web (a, b, c and 2 more), kvm_hosts (no host)"],
        ),
        (
            {**EMPTY, "all": ["kvm1", "x"], "kvm_hosts": ["kvm1"], "web": ["x"]},
            "web",
            ["The limit 'web' leaves no host", "kvm_hosts (kvm1)"],
        ),
    ],
)
def test_a_play_that_would_match_nothing_fails_and_names_the_groups_that_are_there(groups, limit, sentences) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        fabric_groups(groups, limit, ["/some/hosts.yml"])
    for sentence in [*sentences, "No host was touched"]:
        assert sentence in str(error.value)


ONE = {**EMPTY, "all": ["kvm1"], "kvm_hosts": ["kvm1"]}


@pytest.mark.parametrize(
    ("place", "text", "sentence"),
    [
        (
            "group_vars/all.yml",
            "---\n\tfabric_name: mine\n",
            "line 2, is no YAML: it begins with a tab; indent with blanks",
        ),
        ("group_vars/kvm_hosts/more.yaml", "a: [1\nb: 2\n", "line 2, is no YAML: did not find expected"),
        ("host_vars/kvm1", "a: b: c\n", "line 1, is no YAML: mapping values are not allowed"),
        ("hosts.yml", "all:\n\tchildren:\n", "line 2, is no YAML: it begins with a tab"),
    ],
)
def test_a_file_of_the_inventory_that_is_no_yaml_is_named_with_its_line(tmp_path, place, text, sentence) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.write_text("all: {}\n")
    for sources in ([str(tmp_path)], [str(hosts)]):
        assert fabric_groups(ONE, "", sources) == ["kvm_hosts"], "the files are good as they are"
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(text)
    for sources in ([str(tmp_path)], [str(hosts)]):
        for lab in (False, True):
            with pytest.raises(AnsibleFilterError) as error:
                fabric_groups(ONE, "", sources, lab)
            assert f"{tmp_path / place}, {sentence}" in str(error.value)


def test_what_ansible_itself_does_not_read_or_has_to_decrypt_is_left_to_it(tmp_path) -> None:
    folder = tmp_path / "group_vars"
    folder.mkdir()
    (folder / "notes.txt").write_text("\tno: yaml: at all")
    (folder / ".hidden").write_text("\tno: yaml: at all")
    (folder / "all.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n\t6162")
    (folder / "more.yml").write_text("key: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n")
    assert fabric_groups(ONE, "", [str(tmp_path), "kvm1,kvm2,"]) == ["kvm_hosts"]


def test_a_lab_is_made_of_any_hosts_on_this_machine_and_not_of_none() -> None:
    assert fabric_groups({**EMPTY, "all": ["a"], "ungrouped": ["a"]}, lab=True) == ["localhost"]
    with pytest.raises(AnsibleFilterError, match="/nowhere has no host at all; correct its path"):
        fabric_groups(EMPTY, "", ["/nowhere"], lab=True)

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
